"""The reference lab with a coupler between its two qubits: as the loop runs it, and on paper, by joint states sample by sample.

`CoupledPaper` plays gates of both qubits by the matrices of reference_readout, and the coupler's tone by Lindblad's equation
(reference_joint): the joint state < sigma_mu (x) sigma_nu > as a vector of 16, each qubit in the frame of its source. It takes the numbers
of a calibration as they were found, so that what it says is the truth of what was played, not of what should have been.
"""

from __future__ import annotations

from functools import cache, cached_property
from math import inf, pi, tau

import msgspec
import numpy as np
from scipy.linalg import expm

from qrt.calibrate.cz import QUADRATURES
from qrt.calibrate.sequences import PERIOD_T1
from qrt.firmware_sim.plant import CouplerConfig, PlantConfig
from qrt.types import Calibration, CouplerCalibration, Lab
from tests.coupled_plant import ADC, LINES
from tests.reference_joint import rates_of
from tests.reference_lab import QUBITS, SX_SAMPLES, VOLT, lab_of, qubit_of
from tests.reference_readout import SAMPLE_S, cosine, pulse, tone_volts

PULSE_SAMPLES = 120
EDGE_SAMPLES = 30
READOUT_S = 1.5e-6  # tone and depletion, which belong to the rest
COUPLER = {"qubits": ["q0", "q1"], "zz_hz_per_v2": -45e6, "stark_hz_per_v2": [-24e6, 31e6]}
Gate = tuple[str, float]  # "sx", amplitude of one that is 1; "rz", angle; "wait", samples


def coupled_lab_of(coupler: dict | None = None) -> Lab:
    """Return the reference lab with a coupler, as configs/coupled.toml has it."""
    plain = msgspec.to_builtins(lab_of(7e3))
    plain["instruments"] |= {
        "awg_coupler": plain["instruments"]["awg_q0"] | {"address": "TCPIP0::awg-coupler::INSTR"},
        "lo_coupler": plain["instruments"]["lo_q0"] | {"address": "serial:lo-coupler"},
    }
    of_line = {"awg": "awg_coupler", "source": "lo_coupler", "source_hz": 6.0e9}
    plain["lines"]["coupler"] = plain["lines"]["drive_q0"] | of_line
    plain["couplers"] = {
        "q0_q1": {"qubits": ["q0", "q1"], "line": "coupler", "frequency_hz": 6.1e9, "pulse_ns": float(PULSE_SAMPLES)}
    }
    plain["twin"]["parameters"]["couplers"] = {"q0_q1": coupler or COUPLER}
    plain["twin"]["parameters"]["lines"]["coupler"] = {"couples": "q0_q1"}
    return msgspec.convert(plain, Lab)


def tone() -> np.ndarray:
    """Return |V|^2 of a cz pulse at full scale, as the DAC holds it. [samples]"""
    rise = 0.5 - 0.5 * np.cos(pi * (np.arange(EDGE_SAMPLES) + 0.5) / EDGE_SAMPLES)
    shape = np.concatenate((rise, np.ones(PULSE_SAMPLES - 2 * EDGE_SAMPLES), rise[::-1]))
    return np.asarray((np.round(shape * 32767) / 32767 * VOLT) ** 2)


def full_scale(coupler: dict) -> tuple[float, tuple[float, float]]:
    """Return the conditional phase of a pulse of full scale, and the phases by which it turns either qubit. rad"""
    weight = tau * float(tone().sum()) * SAMPLE_S
    return weight * coupler["zz_hz_per_v2"], tuple(weight * hz for hz in coupler["stark_hz_per_v2"])


class CoupledPaper:
    """Two qubits and what joins them, by hand."""

    def __init__(self, calibration: Calibration, coupler: dict | None = None, device: dict | None = None) -> None:
        """Take what is played from a calibration, and what is there from the device."""
        self.lab, self.calibration = lab_of(), calibration
        self.qubits = [qubit_of(one) for one in (device or QUBITS).values()]
        self.names = tuple(device or QUBITS)
        self.coupler = coupler or COUPLER

    @property
    def cz(self) -> CouplerCalibration:
        """What is known of the coupler."""
        return self.calibration.couplers["q0_q1"]

    @cached_property
    def power(self) -> np.ndarray:
        """The generator of the coupler's tone for one volt squared. [16, 16]"""
        one = CouplerConfig((0, 1), self.coupler["zz_hz_per_v2"], tuple(self.coupler["stark_hz_per_v2"]))
        return rates_of(PlantConfig(tuple(self.qubits), LINES, ADC, couplers=(one,)))[2][0]

    def rested(self, rest_s: float) -> np.ndarray:
        """Return the state so long after a readout that found either level equally often; inf: equilibrium. [16]"""
        kept = [1.0 - float(np.exp(-rest_s / one.t1_s)) for one in self.qubits]
        z = [(1.0 - 2.0 * one.thermal_population) * part for one, part in zip(self.qubits, kept, strict=True)]
        return np.kron(*([1.0, 0.0, 0.0, one] for one in z))

    def state(self, *stages: tuple[list[Gate], list[Gate]] | float, rest_s: float = inf) -> np.ndarray:
        """Return the joint state after stages: gates of either qubit that end together, or an amplitude of the coupler's pulse. [4, 4]"""
        state, now, phases = self.rested(rest_s), 0, [0.0, 0.0]
        for stage in stages:
            if isinstance(stage, tuple):
                lengths = [sum(_samples(gate) for gate in gates) for gates in stage]
                longest = max(lengths)
                maps = [
                    self._gates(k, [("wait", longest - lengths[k]), *gates], now, phases)
                    for k, gates in enumerate(stage)
                ]
                state, now = np.kron(*maps) @ state, now + longest
            else:
                state, now = self.coupled(stage) @ state, now + PULSE_SAMPLES
        return state.reshape(4, 4)

    @cache  # noqa: B019
    def coupled(self, amplitude: float) -> np.ndarray:
        """Return what the coupler's pulse does to the joint state. [16, 16]"""
        total, volts2, eye = np.eye(16), tone() * (round(amplitude * 65536) / 65536) ** 2, np.eye(4)
        laws = [self._law(k) for k in range(2)]
        free = np.kron(laws[0], eye) + np.kron(eye, laws[1])
        steps = {value: expm((free + value * self.power) * SAMPLE_S) for value in set(volts2.tolist())}
        for value in volts2.tolist():
            total = steps[value] @ total
        return total

    @cache  # noqa: B019
    def _sample(self, k: int) -> np.ndarray:
        """Return what a sample without any tone does to a qubit. [4, 4]"""
        return np.asarray(expm(self._law(k) * SAMPLE_S))

    @cache  # noqa: B019
    def _sx(self, k: int, amplitude: float, phase: float) -> np.ndarray:
        """Return what a pulse does to a qubit, in the frame of its source. [4, 4]"""
        found = self.calibration.qubits[self.names[k]]
        volts = tone_volts(VOLT * amplitude, cosine(SX_SAMPLES), found.frequency_hz.value - self._source_hz(k), phase)
        return pulse(self.qubits[k], self._source_hz(k), volts)

    def _law(self, k: int) -> np.ndarray:
        """Return the generator of a qubit by itself, in the frame of its source. [4, 4]"""
        qubit = self.qubits[k]
        delta, law = tau * (qubit.frequency_hz - self._source_hz(k)), np.zeros((4, 4))
        law[1:, 1:] = [[-1 / qubit.t2_s, -delta, 0.0], [delta, -1 / qubit.t2_s, 0.0], [0.0, 0.0, -1 / qubit.t1_s]]
        law[3, 0] = (1 - 2 * qubit.thermal_population) / qubit.t1_s
        return law

    def _source_hz(self, k: int) -> float:
        return self.lab.lines[f"drive_{self.names[k]}"].source_hz

    def _gates(self, k: int, gates: list[Gate], now: int, phases: list[float]) -> np.ndarray:
        """Return what gates do to a qubit, from sample `now` on; `phases` of its frame go on. [4, 4]"""
        total, found = np.eye(4), self.calibration.qubits[self.names[k]]
        frame_hz = found.frequency_hz.value - self._source_hz(k)
        for gate, value in gates:
            if gate == "rz":
                phases[k] -= value
                continue
            if gate == "wait":
                step = np.linalg.matrix_power(self._sample(k), round(value))
            else:
                start = tau * frame_hz * now * SAMPLE_S + phases[k]
                amplitude = round(value * found.sx_amplitude.value * 65536) / 65536
                step = self._sx(k, amplitude, start)
            total, now = step @ total, now + _samples((gate, value))
        return total

    # ---- Programs ------------------------------------------------------------------------------------------------------

    def scan(self, target: int, powers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return <Z> of target and of the other at the readout, of cz's program. [2 levels, powers, quadratures]"""
        ends = np.zeros((2, 2, len(powers), len(QUADRATURES)))
        sx = ("sx", 1.0)
        for index in np.ndindex(ends.shape[1:]):
            level, power, quadrature = index
            flip: list[Gate] = [("sx", 2.0)] if level else [("sx", 0.0)]
            last: list[Gate] = [("rz", -QUADRATURES[quadrature]), sx]
            first, then = (([sx], flip), (last, [])) if target == 0 else ((flip, [sx]), ([], last))
            state = self.state(first, float(powers[power]) ** 0.5, then)
            ends[(0, *index)], ends[(1, *index)] = (state[3, 0], state[0, 3])[:: 1 - 2 * target]
        return ends[0], ends[1]

    def bell(self) -> tuple[float, float, float]:
        """Return <XX>, <YY>, <ZZ> of the Bell state, as readouts of Z after the turns of `qrt.calibrate.bell` would have them.

        A shot begins so long after the one before as a calibration rests: some e^-6 of what that one's readout found is left.
        """
        rest_s = PERIOD_T1 * max(one.t1_s.value for one in self.calibration.qubits.values()) + READOUT_S
        turns: dict[str, list[Gate]] = {"XX": H, "YY": [("sx", 1.0)], "ZZ": []}
        z = []
        for turn in turns.values():
            after = tuple(
                [("rz", one.value), *gates] for one, gates in zip(self.cz.rz_rad, (turn, H + turn), strict=True)
            )
            z.append(float(self.state((H, H), self.cz.cz_amplitude.value, after, rest_s=rest_s)[3, 3]))
        return z[0], z[1], z[2]


H: list[Gate] = [("rz", pi / 2), ("sx", 1.0), ("rz", pi / 2)]


def _samples(gate: Gate) -> int:
    return {"sx": SX_SAMPLES, "rz": 0, "wait": int(gate[1])}[gate[0]]
