"""The lab of the truth tests, twice: as the loop runs it (`lab_of`), and on paper (`Paper`), from numbers that stand here.

`Paper` plays gates by the matrices of reference_readout and says what outcomes a readout gives. It makes a calibration of these
numbers, too, so that programs run before any calibration is believed. `Paper` knows one tone at a time; the other qubit rests.
"""

from __future__ import annotations

import tomllib
from functools import cached_property
from math import pi, tau
from pathlib import Path

import msgspec
import numpy as np

from qrt.firmware_sim.plant_config import AdcConfig, QubitConfig
from qrt.types import Calibration, Estimated, Lab, QubitCalibration
from tests.reference_readout import SAMPLE_S, Readout, amplitude_for, cosine, pulse, tone_volts

HERE = Path(__file__).parent
VOLT = 0.5 * 32767 / 32768  # of full scale: amplitude_v belongs to 32768 counts, an envelope's 1.0 is 32767
SX_SAMPLES = 30
TONES_HZ = {"q0": 100e6, "q1": 180e6}
TONE_AMPLITUDE = 0.25

# Offsets from the lab's nominal numbers: qubits +0.8 and -0.9 MHz, resonators +0.2 and -0.1 MHz.
QUBITS = {
    "q0": {
        "frequency_hz": 4.9508e9,
        "t1_s": 24e-6,
        "t2_s": 30e-6,
        "thermal_population": 0.02,
        "rabi_hz_per_v": 90e6,
        "resonator_hz": 7.1002e9,
        "kappa_hz": 5.0e6,
        "chi_hz": -1.6e6,
        "readout_hz_per_v": 30e6,
        "efficiency": 0.2,
        "output_phase_rad": 0.4,
    },
    "q1": {
        "frequency_hz": 5.2491e9,
        "t1_s": 18e-6,
        "t2_s": 20e-6,
        "thermal_population": 0.03,
        "rabi_hz_per_v": 80e6,
        "resonator_hz": 7.1799e9,
        "kappa_hz": 5.6e6,
        "chi_hz": -1.8e6,
        "readout_hz_per_v": 30e6,
        "efficiency": 0.25,
        "output_phase_rad": -1.1,
    },
}
ADC_BITS, ADC_VOLTS = 14, 5.46e-7


def lab_of(
    period_ns: float = 300e3, qubits: dict[str, dict[str, float]] | None = None, faults: dict[str, dict] | None = None
) -> Lab:
    """Return the lab; `faults` are changes of the wiring by line, such as swap_iq. Shots are so rare that each begins in equilibrium."""
    plain = tomllib.loads((HERE / "lab.toml").read_text())
    plain["timing"]["shot_period_ns"] = period_ns
    plain["stream"]["address"] = "tcp://127.0.0.1:5598"
    wiring = {"drive_q0": {"drives": "q0"}, "drive_q1": {"drives": "q1"}, "readout": {"drives": "feedline"}}
    plain["twin"]["parameters"] = {
        "qubits": {name: dict(one) for name, one in (qubits or QUBITS).items()},
        "lines": {name: one | (faults or {}).get(name, {}) for name, one in wiring.items()},
        "adc": {"volts_per_root_photon_rate": ADC_VOLTS, "bits": ADC_BITS},
    }
    return msgspec.convert(plain, Lab)


def qubit_of(numbers: dict[str, float]) -> QubitConfig:
    """Return the numbers with angular rates."""
    rates = {"rabi_hz_per_v": "drive_rad_per_s_per_v", "readout_hz_per_v": "readout_rad_per_s_per_v"}
    rates |= {"kappa_hz": "kappa_rad_per_s", "chi_hz": "chi_rad_per_s"}
    return QubitConfig(**{rates.get(k, k): v * tau if k in rates else v for k, v in numbers.items()})


class Paper:
    """One qubit of the lab, by hand."""

    def __init__(
        self, name: str, qubits: dict[str, dict[str, float]] | None = None, readout: QubitCalibration | None = None
    ) -> None:
        """Take the qubit's numbers, and tone, weights and threshold of a calibration where there is one."""
        qubits = qubits or QUBITS
        lab = lab_of()
        self.name, self.qubit = name, qubit_of(qubits[name])
        self.source_hz = lab.lines[f"drive_{name}"].source_hz
        adc = AdcConfig(lab.digitizer.range_v / 2 ** (ADC_BITS - 1), ADC_VOLTS, ADC_BITS)
        feed_hz = lab.lines["readout"].source_hz
        tone_hz = TONES_HZ[name] if readout is None else readout.readout_hz - feed_hz
        volt = VOLT * (TONE_AMPLITUDE if readout is None else readout.readout_amplitude)
        played = None if readout is None else readout.weights
        self.readout = Readout(self.qubit, adc, feed_hz, tone_hz, volt, played=played)
        others = [one for other, one in qubits.items() if other != name]
        # The other resonators hear this tone, too, far from their resonance: a constant on top.
        self.heard = [Readout(qubit_of(o), adc, feed_hz, tone_hz, volt, played=self.readout.weights) for o in others]
        self.shift = sum(float(one.iq(0)) for one in self.heard)
        self.threshold = round(self.readout.middle + self.shift) if readout is None else readout.threshold

    @property
    def offset_hz(self) -> float:
        """Return how far the qubit is above its source."""
        return self.qubit.frequency_hz - self.source_hz

    @cached_property
    def sx_amplitude(self) -> float:
        """Return the amplitude of a quarter turn, with the bits that the kernel keeps of it."""
        exact = amplitude_for(pi / 2, self.qubit, VOLT, cosine(SX_SAMPLES), self.offset_hz)
        return round(exact * 65536) / 65536

    @cached_property
    def joint(self) -> np.ndarray:
        """Return P(outcome m, level k at the end | level j at the start). [m, k, j]"""
        return self.readout.joint(self.threshold - self.shift)

    @cached_property
    def assignment(self) -> np.ndarray:
        """Return P(outcome m | level j). [m, j]"""
        return self.joint.sum(axis=1)

    def calibration(self, detuning_hz: float = 0.0) -> QubitCalibration:
        """Return these numbers as a calibration whose frame is `detuning_hz` below the qubit."""
        known = {
            "assignment": self.assignment,
            "assignment_stderr": np.zeros((2, 2)),
            "preparation_stderr": np.zeros((2, 2)),
        }
        return QubitCalibration(
            frequency_hz=Estimated(self.qubit.frequency_hz - detuning_hz, 0.0),
            sx_amplitude=Estimated(self.sx_amplitude, 0.0),
            x_error=Estimated(0.0, 0.0),
            readout_hz=self.readout.source_hz + self.readout.tone_hz,
            readout_amplitude=TONE_AMPLITUDE,
            weights=self.readout.weights,
            threshold=self.threshold,
            reference_count=1,
            t1_s=Estimated(self.qubit.t1_s, 0.0),
            t2_s=Estimated(self.qubit.t2_s, 0.0),
            **known,
        )

    def population(self, gates: list[tuple[str, float]], detuning_hz: float = 0.0) -> float:
        """Return P(level 1) after gates from equilibrium: ("sx", 0), ("rz", angle), ("wait", samples)."""
        state = np.array([1.0, 0.0, 0.0, 1.0 - 2.0 * self.qubit.thermal_population])
        frame_hz, phase, now = self.offset_hz - detuning_hz, 0.0, 0
        for gate, value in gates:
            if gate == "rz":
                phase -= value
            elif gate == "wait":
                # One step of the same law: an exponential of any length.
                state = _powered(pulse(self.qubit, self.source_hz, np.zeros(1)), round(value)) @ state
                now += round(value)
            else:
                start = tau * frame_hz * now * SAMPLE_S + phase
                volts = tone_volts(VOLT * self.sx_amplitude, cosine(SX_SAMPLES), frame_hz, start)
                state = pulse(self.qubit, self.source_hz, volts) @ state
                now += SX_SAMPLES
        return float((1 - state[3]) / 2)


def _powered(matrix: np.ndarray, count: int) -> np.ndarray:
    return np.linalg.matrix_power(matrix, count)


def calibration_of(*papers: Paper, detuning_hz: float = 0.0) -> Calibration:
    """Return a calibration of these qubits as on paper."""
    return Calibration("", 0, 0, {paper.name: paper.calibration(detuning_hz) for paper in papers})
