"""What a calibration of the reference lab should find: the numbers of the device on paper, beside what was found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qrt.firmware_sim.plant import AdcConfig
from qrt.types import Calibration
from tests.reference_lab import ADC_BITS, ADC_VOLTS, SX_SAMPLES, VOLT, Paper, lab_of, qubit_of
from tests.reference_readout import Readout, cosine, flip, tone_volts


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
    volts = tone_volts(VOLT * paper.sx_amplitude, np.tile(cosine(SX_SAMPLES), 2), paper.offset_hz)
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
