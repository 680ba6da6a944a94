"""Calibrations through the whole loop against the device that the twin was given, and both qubits read at once.

The calibration sees the lab file and what the loop measures. Two devices behind one lab file, with frequencies off to opposite sides, must
be found as what they are: nothing is copied. Each number is held against the truth in units of its own standard error; over all numbers
and devices the squares are a chi2. What a calibration should find for the error of x and for the assignment matrix is not in the twin's
parameters: it comes from the references.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy.stats import chi2

from qrt.calibrate import calibrate
from qrt.calibrate.feedline import spaced
from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from tests.reference_calibration import Found, neighbours_tone, numbers
from tests.reference_lab import QUBITS, Paper, lab_of

# The same lab file, another device: everything is off to the other side.
OTHER = {
    "q0": QUBITS["q0"]
    | {"frequency_hz": 4.9493e9, "resonator_hz": 7.0997e9, "t1_s": 33e-6, "t2_s": 22e-6, "rabi_hz_per_v": 75e6},
    "q1": QUBITS["q1"]
    | {"frequency_hz": 5.2507e9, "resonator_hz": 7.1804e9, "t1_s": 14e-6, "t2_s": 24e-6, "output_phase_rad": 2.5},
}
DEVICES = {"one": (QUBITS, 21), "other": (OTHER, 22)}
SHOTS = 20_000


def calibrated(device: dict[str, dict[str, float]], seed: int) -> Found:
    with Loop(lab_of(7e3, device), seed) as loop:
        return Found(device, calibrate(loop.lab, loop.measure, seed))


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    return {name: calibrated(*one) for name, one in DEVICES.items()}


def pulls(founds: list[Found]) -> np.ndarray:
    """Return (found - truth) / standard error, [calibrations x qubits, numbers]."""
    table = []
    for one in founds:
        for name in one.device:
            rows = numbers(one, name)
            for key, (value, stderr, truth) in rows.items():
                print(f"{name} {key}: {value:.10g} +- {stderr:.2g}, true {truth:.10g}, {(value - truth) / stderr:+.2f}")
            table.append([(value - truth) / stderr for value, stderr, truth in rows.values()])
    return np.array(table)


def test_calibrations_find_the_device_behind_the_loop(found):
    """28 numbers: one beyond 4 standard errors in 0.2 % of seeds, the sum of squares in 0.1 %; stated errors are no excuse."""
    away = pulls(list(found.values()))
    assert np.abs(away).max() < 4.0
    assert (away**2).sum() < chi2.ppf(0.999, away.size)
    assert (away**2).sum() > chi2.ppf(0.001, away.size)  # bars are not blown up
    for one in found.values():
        for qubit in one.calibration.qubits.values():
            assert qubit.frequency_hz.stderr < 1000
            assert qubit.t1_s.stderr < 0.1 * qubit.t1_s.value
            assert qubit.sx_amplitude.stderr < 2e-3 * qubit.sx_amplitude.value


@pytest.mark.prove
def test_calibrations_of_24_devices_are_unbiased_and_their_bars_are_right():
    """Devices drawn anew, 48 qubits: each number's mean within 3 standard errors of the mean (7 numbers: 2 %), its spread 0.7 to 1.35."""
    rng = np.random.default_rng(5)
    founds = []
    for seed in range(24):
        device = {
            name: one
            | {
                "frequency_hz": {"q0": 4.95e9, "q1": 5.25e9}[name] + rng.uniform(-1e6, 1e6),
                "resonator_hz": {"q0": 7.1e9, "q1": 7.18e9}[name] + rng.uniform(-0.5e6, 0.5e6),
                "t1_s": (t1_s := rng.uniform(14e-6, 35e-6)),
                "t2_s": t1_s * rng.uniform(0.7, 1.6),
                "rabi_hz_per_v": rng.uniform(75e6, 95e6),
                "output_phase_rad": rng.uniform(-3, 3),
            }
            for name, one in QUBITS.items()
        }
        founds.append(calibrated(device, 500 + seed))
    away = pulls(founds)
    mean, spread = away.mean(axis=0) * sqrt(len(away)), away.std(axis=0)
    print(f"means {mean.round(2)} spreads {spread.round(2)}")
    assert np.abs(mean).max() < 3.0
    assert np.all(spread < 1.35)


# ---- Two qubits on one feedline ----------------------------------------------------------------------------------------


def test_tones_of_a_feedline_are_whole_multiples_apart(found):
    for one in found.values():
        tones = {name: qubit.readout_hz for name, qubit in one.calibration.qubits.items()}
        turns = (tones["q1"] - tones["q0"]) * 1000e-9  # of 1 us
        assert turns == pytest.approx(round(turns), abs=1e-9)
        for name, numbers_ in one.device.items():
            assert (
                abs(tones[name] - numbers_["resonator_hz"]) < 1.0e6
            )  # half a step, and what the search is uncertain by


def test_spacing_moves_tones_no_further_than_it_must():
    lab = lab_of()
    moved = spaced(lab, {"q0": 7.1002e9, "q1": 7.1797e9})
    assert moved["q1"] - moved["q0"] in {79e6, 80e6}
    assert abs(moved["q0"] - 7.1002e9) + abs(moved["q1"] - 7.1797e9) <= 0.5e6 + 2e3
    assert spaced(lab, {"q0": 7.1002e9}) == {"q0": 7.1002e9}


def test_weights_do_not_see_the_neighbour(found):
    """On paper, over the distance of the own clouds, 4 sigma: what the noise of the mean captures leaves in the weights."""
    one = found["one"]
    for name, qubit in one.calibration.qubits.items():
        own = Paper(name, one.device, qubit).readout.clouds
        offset, leak = (iq / (own[1] - own[0]) for iq in neighbours_tone(one, name))
        print(
            f"{name}: the neighbour's level moves iq by {leak:+.1e} of the clouds' distance, its tone by {offset:+.1e}"
        )
        assert abs(leak) < 0.01
        assert abs(offset) < 0.01


@pytest.mark.parametrize("which", DEVICES)
def test_both_qubits_read_at_once_are_read_as_calibrated(found, which):
    """Every preparation of both: outcomes follow the own level by the calibrated matrix, and do not follow the neighbour's."""
    one = found[which]
    names = tuple(one.device)
    shares, populations = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    with Loop(lab_of(300e3, one.device), 91) as loop:
        for a in (0, 1):
            for b in (0, 1):
                gates = "".join(f"{'x' if flip_ else 'id'} ${k};" for k, flip_ in enumerate((a, b)))
                text = f'OPENQASM 3; include "stdgates.inc"; bit[2] c; {gates} barrier $0, $1; c[0] = measure $0; c[1] = measure $1;'
                pulses = lower(parse_program(text, "program"), loop.lab, one.calibration, {})
                rows = loop.measure(pulses, SHOTS).rows
                for k, name in enumerate(names):
                    shares[k, a, b] = np.mean(rows["bits"] >> np.uint64(k) & np.uint64(1))
                    populations[k, a, b] = loop.truth.population[name, 0]
    for k, name in enumerate(names):
        qubit = one.calibration.qubits[name]
        matrix, bars = qubit.assignment, np.hypot(qubit.assignment_stderr[1], qubit.preparation_stderr[1])
        p = populations[k]
        expected = matrix[1, 0] * (1 - p) + matrix[1, 1] * p
        variance = expected * (1 - expected) / SHOTS
        bar = np.sqrt(variance + ((1 - p) * bars[0]) ** 2 + (p * bars[1]) ** 2)
        print(f"{name}: {((shares[k] - expected) / bar).round(2)}")
        assert np.abs((shares[k] - expected) / bar).max() < 3.5
        # The neighbour is the second axis for qubit 0, the first for qubit 1.
        change = np.diff(shares[k] - expected, axis=1 - k).ravel()
        noise = np.sqrt(np.sum(variance, axis=1 - k))
        print(f"{name}: the neighbour's level moves the share by {change} +- {noise}")
        assert np.all(np.abs(change) < 3.5 * noise)
