"""A lab without noise: what the twin plays is the program's own distribution, and nothing else.

Its qubits do not decay (T1 and T2 of an hour) and begin cold. Each shot's outcome is certain: the two clouds are more than ten standard
deviations apart. The resonators are slow and far apart, and the wait after a tone is long, so that no tone turns another qubit by more
than 1e-3. The calibration is computed on paper (`reference_readout`), by nothing of the lab's own. Qubits keep their level from shot
to shot, so that programs begin with reset.
"""

from __future__ import annotations

import tomllib
from itertools import combinations
from math import pi, tau
from pathlib import Path

import msgspec
import numpy as np

from qrt.firmware_sim.plant_config import AdcConfig, QubitConfig
from qrt.types import Calibration, CouplerCalibration, Estimated, Lab, QubitCalibration
from tests.reference_readout import Readout, amplitude_for, cosine

HERE = Path(__file__).parent
VOLT = 0.5 * 32767 / 32768  # of full scale, as the converter holds an envelope's 1.0
ADC = AdcConfig(0.5 / 2**13, 2e-6, 14)
SX_SAMPLES, TONE_SAMPLES, TONE_AMPLITUDE = 30, 1000, 0.25
PERIOD_NS, DEPLETION_NS = 400e3, 3000.0
FEED_HZ = 7.0e9
TONES_HZ = {"q0": 100e6, "q1": 400e6, "q2": 200e6, "q3": 300e6}
DRIVES_HZ = {"q0": 4.85e9, "q1": 5.15e9, "q2": 4.65e9, "q3": 5.45e9}  # sources
# Held samples turn a qubit's phase by 4e-3 per sx at 100 MHz above the source, in proportion: at 10 MHz it is nobody's business.
OFFSETS_HZ = {"q0": 10e6, "q1": 0.0, "q2": 0.0, "q3": 10e6}
QUBIT = {
    "t1_s": 3600.0,
    "t2_s": 3600.0,
    "rabi_hz_per_v": 200e6,  # so that one pulse makes a turn and more
    "kappa_hz": 2.0e6,
    "chi_hz": -1.0e6,
    "readout_hz_per_v": 24e6,
    "efficiency": 1.0,
}


COUPLING = {"zz_hz_per_v2": -45e6, "stark_hz_per_v2": (16e6, -25e6)}
COUPLER_HZ, CZ_SAMPLES = 6.0e9, 120


def numbers(name: str) -> dict[str, float]:
    """Return the physics of a qubit."""
    return QUBIT | {"frequency_hz": DRIVES_HZ[name] + OFFSETS_HZ[name], "resonator_hz": FEED_HZ + TONES_HZ[name]}


def pairs(count: int) -> dict[str, tuple[str, str]]:
    """Return the couplers that join so many qubits, each with each."""
    return {f"{one}_{other}": (one, other) for one, other in combinations(list(TONES_HZ)[:count], 2)}


def ideal_lab(count: int = 2, *, coupled: bool = False) -> Lab:
    """Return the lab with so many qubits, up to four: those of the tests' lab, and others made like its second; joined, if `coupled`."""
    plain = tomllib.loads((HERE / "lab.toml").read_text())
    plain["timing"]["shot_period_ns"] = PERIOD_NS
    plain["stream"]["address"] = "tcp://127.0.0.1:5597"
    names = list(TONES_HZ)[:count]
    for name in names[2:]:
        plain["instruments"] |= {
            f"awg_{name}": {"driver": "qrt_awg2", "address": f"TCPIP0::awg-{name}::INSTR"},
            f"lo_{name}": {"driver": "qrt_source1", "address": f"serial:lo-{name}"},
        }
        line = {"awg": f"awg_{name}", "source": f"lo_{name}", "source_hz": DRIVES_HZ[name]}
        plain["lines"][f"drive_{name}"] = plain["lines"]["drive_q1"] | line
        plain["qubits"][name] = plain["qubits"]["q1"] | {"drive_line": f"drive_{name}"}
    for name in names:
        readout = {"frequency_hz": FEED_HZ + TONES_HZ[name], "depletion_ns": DEPLETION_NS}
        plain["qubits"][name] |= {"readout": plain["qubits"][name]["readout"] | readout}
    plain["twin"]["parameters"] = {
        "qubits": {name: numbers(name) for name in names},
        "lines": {f"drive_{name}": {"drives": name} for name in names} | {"readout": {"drives": "feedline"}},
        "adc": {"volts_per_root_photon_rate": ADC.volts_per_sqrt_hz_root, "bits": ADC.bits},
    }
    for name, pair in pairs(count).items() if coupled else ():
        plain["instruments"] |= {
            f"awg_{name}": {"driver": "qrt_awg2", "address": f"TCPIP0::awg-{name}::INSTR"},
            f"lo_{name}": {"driver": "qrt_source1", "address": f"serial:lo-{name}"},
        }
        line = {"awg": f"awg_{name}", "source": f"lo_{name}", "source_hz": COUPLER_HZ}
        plain["lines"][f"couple_{name}"] = plain["lines"]["drive_q1"] | line
        plain.setdefault("couplers", {})[name] = {
            "qubits": list(pair), "line": f"couple_{name}", "frequency_hz": COUPLER_HZ, "pulse_ns": float(CZ_SAMPLES)
        }  # fmt: skip
        plain["twin"]["parameters"].setdefault("couplers", {})[name] = {"qubits": list(pair)} | COUPLING
        plain["twin"]["parameters"]["lines"][f"couple_{name}"] = {"couples": name}
    return msgspec.convert(plain, Lab)


def ideal_calibration(count: int = 2, *, coupled: bool = False) -> Calibration:
    """Return its calibration, on paper."""
    qubits = {name: _calibrated(name) for name in list(TONES_HZ)[:count]}
    return Calibration("", 0, 0, qubits, dict.fromkeys(pairs(count), _cz()) if coupled else {})


def _cz() -> CouplerCalibration:
    """Return a coupler's calibration: 2 pi |zz| times the integral of its squared volts is pi, and what Stark shifts add is taken back."""
    edge = np.sin(np.pi / 2 * (np.arange(CZ_SAMPLES // 4) + 0.5) / (CZ_SAMPLES // 4)) ** 2  # a rise like half a cosine
    squared = 2 * np.sum(edge**2) + CZ_SAMPLES - 2 * len(edge)
    zz, stark = abs(COUPLING["zz_hz_per_v2"]), COUPLING["stark_hz_per_v2"]
    amplitude = float(np.sqrt(0.5 / zz / (squared * 1e-9)) / VOLT)
    turns = tuple(Estimated(-pi * one / zz, 0.0) for one in stark)
    return CouplerCalibration(Estimated(amplitude, 0.0), Estimated(0.0, 0.0), turns)


def readout_of(name: str) -> Readout:
    """Return a qubit's readout on paper."""
    rates = {"rabi_hz_per_v": "drive_rad_per_s_per_v", "readout_hz_per_v": "readout_rad_per_s_per_v"}
    rates |= {"kappa_hz": "kappa_rad_per_s", "chi_hz": "chi_rad_per_s"}
    values = {rates.get(k, k): v * tau if k in rates else v for k, v in numbers(name).items()}
    qubit = QubitConfig(**{"thermal_population": 0.0, "output_phase_rad": 0.0} | values)
    return Readout(qubit, ADC, FEED_HZ, TONES_HZ[name], VOLT * TONE_AMPLITUDE, TONE_SAMPLES)


def _calibrated(name: str) -> QubitCalibration:
    """Return a qubit's calibration: exact gates, matched weights, the threshold in the middle."""
    readout = readout_of(name)
    qubit = readout.qubit
    sx = amplitude_for(pi / 2, qubit, VOLT, cosine(SX_SAMPLES), qubit.frequency_hz - DRIVES_HZ[name])
    return QubitCalibration(
        frequency_hz=Estimated(qubit.frequency_hz, 0.0),
        sx_amplitude=Estimated(sx, 0.0),
        x_error=Estimated(0.0, 0.0),
        readout_hz=FEED_HZ + TONES_HZ[name],
        readout_amplitude=TONE_AMPLITUDE,
        weights=readout.weights,
        threshold=round(readout.middle),
        assignment=np.eye(2),
        assignment_stderr=np.zeros((2, 2)),
        preparation_stderr=np.zeros((2, 2)),
        reference_count=1,
        t1_s=Estimated(qubit.t1_s, 0.0),
        t2_s=Estimated(qubit.t2_s, 0.0),
    )
