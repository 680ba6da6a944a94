"""What a calibration of the reference lab should find: the numbers of the device on paper, beside what was found.

What is no parameter of the device is worked out from them:

error of x, A     by the references of reference_readout
error of a gate   the average infidelity of 30 ns with T1 and T2, by its own closed form; what the angle's own error adds is nothing
DRAG              the slope of the DAC's held samples at the qubit's intermediate frequency
resonator         the one level whose tone through an empty resonator is nearest to that of a qubit in equilibrium
AllXY             the turn that the sx as found makes in its frame: the rotation vector of a product of matrices
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import exp, pi, tan, tau
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from qrt.firmware_sim.plant_config import AdcConfig, QubitConfig
from qrt.types import Calibration
from tests.reference_lab import ADC_BITS, ADC_VOLTS, SX_SAMPLES, VOLT, Paper, lab_of, qubit_of
from tests.reference_readout import SAMPLE_S, Readout, cosine, flip, pulse, tone_volts


class Found(NamedTuple):
    """A calibration, and the device behind it."""

    device: dict[str, dict[str, float]]
    calibration: Calibration


def neighbours_tone(one: Found, name: str) -> tuple[float, float]:
    """Return what the neighbour's tone adds to this qubit's iq through both resonators: its mean, its change with the neighbour's level."""
    lab, qubit = lab_of(), one.calibration.qubits[name]
    (other,) = set(one.device) - {name}
    adc = AdcConfig(lab.digitizer.range_v / 2 ** (ADC_BITS - 1), ADC_VOLTS, ADC_BITS)
    feed_hz, volt = lab.lines["readout"].source_hz, VOLT * one.calibration.qubits[other].readout_amplitude
    tone_hz = one.calibration.qubits[other].readout_hz - feed_hz
    theirs, ours = (
        Readout(qubit_of(one.device[at]), adc, feed_hz, tone_hz, volt, played=qubit.weights).clouds
        for at in (other, name)
    )
    return sum(theirs) / 2 + sum(ours) / 2, theirs[1] - theirs[0]


def numbers(one: Found, name: str) -> dict[str, tuple[float, float, float]]:
    """Return (found, standard error, truth) of everything that a calibration says with an error bar."""
    qubit, paper = one.calibration.qubits[name], Paper(name, one.device)
    volts = tone_volts(VOLT * paper.sx_amplitude, np.tile(_envelope(qubit.drag_s.value), 2), paper.offset_hz)
    flipped = flip(paper.qubit, paper.source_hz, volts)
    truths = {
        "frequency_hz": paper.qubit.frequency_hz,
        "t1_s": paper.qubit.t1_s,
        "t2_s": paper.qubit.t2_s,
        "sx_amplitude": paper.sx_amplitude,
        "x_error": (flipped[0, 0] + flipped[1, 1]) / 2,
    }
    result = {key: (getattr(qubit, key).value, getattr(qubit, key).stderr, truth) for key, truth in truths.items()}
    bars = np.hypot(qubit.assignment_stderr[1], qubit.preparation_stderr[1])
    expected = Paper(name, one.device, qubit)
    joint = expected.readout.joint(qubit.threshold - expected.shift - neighbours_tone(one, name)[0])
    for level in (0, 1):
        result[f"A[1, {level}]"] = (qubit.assignment[1, level], bars[level], joint.sum(axis=1)[1, level])
    return result


def _envelope(drag_s: float) -> np.ndarray:
    """Return the envelope of sx, with its slope in quadrature."""
    slope = pi / SX_SAMPLES * np.sin(tau * (np.arange(SX_SAMPLES) + 0.5) / SX_SAMPLES)
    return cosine(SX_SAMPLES) + 1j * drag_s / SAMPLE_S * slope


def steps(one: Found, name: str) -> dict[tuple[str, str], float]:
    """Return the truth of numbers that steps of a calibration find besides those of `numbers`, by step and number."""
    device, paper, seconds = one.device[name], Paper(name, one.device), SX_SAMPLES * SAMPLE_S
    lost = [1.0 - exp(-seconds / device[key]) for key in ("t1_s", "t2_s")]
    halves = pi * paper.offset_hz * SAMPLE_S
    error = lost[0] / 6.0 + lost[1] / 3.0
    x, y, z = _sx(one, name)
    resonator_hz, kappa_hz = resting(name, tuple(device.items()))
    return {
        ("resonator_spectroscopy", "resonator_hz"): resonator_hz,
        ("resonator_spectroscopy", "kappa_hz"): kappa_hz,
        ("qubit_spectroscopy", "frequency_hz"): device["frequency_hz"],
        ("rabi", "sx_amplitude"): paper.sx_amplitude,
        ("detuning", "frequency_hz"): device["frequency_hz"],
        ("readout", "readout_hz"): device["resonator_hz"],  # half way between the levels' resonances
        ("drag", "drag_s"): SAMPLE_S / 2.0 * (1.0 / tan(halves) - 1.0 / halves),
        ("assignment", "thermal_population"): device["thermal_population"],
        ("echo", "t2_echo_s"): device["t2_s"],
        ("allxy", "angle_error"): float(np.hypot(x, y)) / (pi / 2.0) - 1.0,
        ("allxy", "phase_error_rad"): z,
        ("rb", "gate_error"): error,
        ("rb", "coherence_limit"): error,
    }


@cache
def resting(name: str, device: tuple[tuple[str, float], ...]) -> tuple[float, float]:
    """Return resonance and linewidth as a spectroscopy of the qubit at rest shows them: level 1 is in it, now and then."""
    lab, qubit, numbers = lab_of(), qubit_of(dict(device)), dict(device)
    feed_hz = lab.lines["readout"].source_hz
    tones_hz = lab.qubits[name].readout.frequency_hz - feed_hz + np.linspace(-8e6, 8e6, 17)
    adc = AdcConfig(lab.digitizer.range_v / 2 ** (ADC_BITS - 1), ADC_VOLTS, ADC_BITS)

    def seen(of: QubitConfig, level_1: float) -> np.ndarray:
        """Return |mean iq| of boxcar weights over the tones, of the largest."""
        sizes = []
        for hz in tones_hz.tolist():
            readout, carrier = Readout(of, adc, feed_hz, hz, VOLT), np.exp(-1j * tau * hz * SAMPLE_S * np.arange(1000))
            both = [readout.counts(level) @ carrier for level in (0, 1)]
            sizes.append(abs(both[0] + level_1 * (both[1] - both[0])))
        return np.array(sizes) / max(sizes)

    def away(moved: np.ndarray) -> np.ndarray:
        """Return how far a resonator with these shifts in MHz, and a scale, is from what a qubit at rest shows."""
        one = {
            "resonator_hz": qubit.resonator_hz + moved[0] * 1e6,
            "kappa_rad_per_s": qubit.kappa_rad_per_s + tau * moved[1] * 1e6,
        }
        return moved[2] * seen(replace(qubit, **one), 0.0) - at_rest

    at_rest = seen(qubit, qubit.thermal_population)
    best = least_squares(away, (0.0, 0.0, 1.0)).x
    return numbers["resonator_hz"] - numbers["chi_hz"] + best[0] * 1e6, numbers["kappa_hz"] + best[1] * 1e6


def _sx(one: Found, name: str) -> tuple[float, float, float]:
    """Return the turn of sx as it was found, in its own frame: a vector along the axis, as long as the angle."""
    qubit, paper = one.calibration.qubits[name], Paper(name, one.device)
    frame_hz = qubit.frequency_hz.value - paper.source_hz
    volts = tone_volts(VOLT * qubit.sx_amplitude.value, _envelope(qubit.drag_s.value), frame_hz)
    frame = Rotation.from_rotvec([0.0, 0.0, -tau * frame_hz * SX_SAMPLES * SAMPLE_S]).as_matrix()
    x, y, z = Rotation.from_matrix(frame @ pulse(paper.qubit, paper.source_hz, volts)[1:, 1:]).as_rotvec()
    return float(x), float(y), float(z)
