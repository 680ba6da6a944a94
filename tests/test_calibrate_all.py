"""Everything that `qrt calibrate all` finds, through the whole loop, against the device that the twin was given.

Two labs: the reference lab, and one that is worse: design values 3 MHz off, of qubits and of resonators, and a tenth of the readout's
information, which is noise of ten times the power. Truths come from the device's numbers: what the references work out on paper, and
    error of a gate   the average infidelity of 30 ns with T1 and T2, by its own closed form, and what the angle's own error adds: nothing
    DRAG              the slope of the DAC's held samples at the qubit's intermediate frequency
Pulls are (found - truth) / standard error. In the normal suite a seed; the long proofs take 100 and 40, and are for `make prove`.
"""

from __future__ import annotations

from math import exp, pi, tan

import numpy as np
import pytest
from scipy.stats import chi2

from qrt.calibrate import rb
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Finding, require_found, updated
from qrt.calibrate.order import ALL, BY_NAME, take
from qrt.calibrate.sequences import nominal
from qrt.loop import Loop
from qrt.types import Calibration
from tests.reference_calibration import Found, numbers
from tests.reference_lab import QUBITS, SX_SAMPLES, Paper, lab_of

SECONDS = SX_SAMPLES * 1e-9
PERIOD_S = 1e-9


def worse(sign: float) -> dict[str, dict[str, float]]:
    """Return the device that the same lab file is 3 MHz wrong about, with a tenth of the information in its readout."""
    nominal_hz = {"q0": (4.95e9, 7.1e9), "q1": (5.25e9, 7.18e9)}
    return {
        name: one
        | {
            "frequency_hz": nominal_hz[name][0] + sign * 3e6,
            "resonator_hz": nominal_hz[name][1] - sign * 3e6,
            "efficiency": one["efficiency"] / 10.0,
        }
        for name, one in QUBITS.items()
    }


def calibrated(
    device: dict[str, dict[str, float]], seed: int, names: tuple[str, ...]
) -> tuple[Found, dict[str, Finding]]:
    """Return what is found from design values, and the last findings of each step by (step, qubit)."""
    findings: dict[str, Finding] = {}
    with Loop(lab_of(7e3, device), seed) as loop:
        bench, known = Bench(loop.lab, loop.measure, lambda _: None, loop.measure_swept), nominal(loop.lab)
        for name in names:
            found = take(bench, known, BY_NAME[name])
            require_found(found)
            known = updated(known, found)
            findings |= {f"{name} {qubit}": one for qubit, one in found.items()}
    return Found(device, Calibration("", 0, seed, known)), findings


def truths(device: dict[str, dict[str, float]], name: str) -> dict[str, float]:
    """Return the true numbers of findings, by step and number."""
    one, f = device[name], Paper(name, device).offset_hz
    lost = [1.0 - exp(-SECONDS / one[key]) for key in ("t1_s", "t2_s")]
    return {
        "echo t2_echo_s": one["t2_s"],
        "drag drag_s": PERIOD_S / 2.0 * (1.0 / tan(pi * f * PERIOD_S) - 1.0 / (pi * f * PERIOD_S)),
        "rb gate_error": lost[0] / 6.0 + lost[1] / 3.0,
        "qubit_spectroscopy frequency_hz": one["frequency_hz"],
        "resonator_spectroscopy resonator_hz": one["resonator_hz"] - one["chi_hz"],
    }


def pulls(device: dict[str, dict[str, float]], seed: int, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Return the pulls of everything that one calibration finds, of both qubits."""
    one, findings = calibrated(device, seed, names)
    away: dict[str, list[float]] = {}
    for name in device:
        table = numbers(one, name)
        for key, truth in truths(device, name).items():
            step, number = key.split()
            if step in names:
                value = findings[f"{step} {name}"].numbers[number]
                table[key] = (value.value, value.stderr, truth)
        for key, (value, stderr, truth) in table.items():
            print(f"{name} {key}: {value:.9g} +- {stderr:.2g}, true {truth:.9g}, {(value - truth) / stderr:+.2f}")
            away.setdefault(key, []).append((value - truth) / stderr)
    return away


QUICK = tuple(name for name in ALL if name not in {"allxy", "rb"})


@pytest.mark.parametrize("sign", [-1.0])
def test_a_lab_that_is_wrong_and_noisy_is_found_as_it_is(sign):
    """24 numbers: one beyond 4 standard errors in 0.2 % of seeds, their squares beyond the bound in 0.1 %."""
    away = np.concatenate([np.array(values) for values in pulls(worse(sign), 31, QUICK).values()])
    assert np.abs(away).max() < 4.0
    assert np.sum(away**2) < chi2.ppf(0.999, away.size)
    assert np.sum(away**2) > 0.6 * chi2.ppf(0.001, away.size)


def shorter(monkeypatch):
    """Make benchmarking as quick as a proof of many seeds needs it: half as long sequences, a fifth of the shots."""
    monkeypatch.setattr(rb, "LENGTH_MAX", 400)
    monkeypatch.setattr(rb, "SEQUENCES", 3)
    monkeypatch.setattr(rb, "SHOTS", 1500)


def test_benchmarking_finds_what_relaxation_costs(monkeypatch):
    """The error of a gate within 10 % of the limit of T1 and T2, and within 4 of its own standard errors of the true one."""
    shorter(monkeypatch)
    papers = {name: Paper(name, QUBITS).calibration() for name in QUBITS}
    with Loop(lab_of(7e3, QUBITS), 8) as loop:
        bench = Bench(loop.lab, loop.measure, lambda _: None, loop.measure_swept)
        drags = {name: truths(QUBITS, name)["drag drag_s"] for name in QUBITS}
        for name, drag_s in drags.items():
            papers = updated(papers, {name: Finding(name, "", "", {}, {"drag_s": rb.Estimated(drag_s, 0.0)}, ())})
        for name, one in rb.find(bench, papers).items():
            error, true = one.numbers["gate_error"], truths(QUBITS, name)["rb gate_error"]
            print(f"{name}: {error.value:.3e} +- {error.stderr:.1e}, true {true:.3e}, {error.value / true:.3f}")
            assert abs(error.value - true) < 4.0 * error.stderr
            assert error.stderr < 0.1 * true
            assert one.numbers["coherence_limit"].value == pytest.approx(true, rel=1e-6)


def judge(founds: list[dict[str, list[float]]]) -> None:
    """Each number agrees within 1.96 standard errors in 95 % of seeds, three binomial standard errors granted; its chi2 in its bounds."""
    for key in founds[0]:
        away = np.array([one[key] for one in founds]).ravel()
        within = np.mean(np.abs(away) < 1.959964)
        print(
            f"{key}: {away.size}, within 1.96: {within:.3f}, chi2 {np.sum(away**2):.0f}, mean {away.mean() * away.size**0.5:+.1f} sigma"
        )
    for key in founds[0]:
        away = np.array([one[key] for one in founds]).ravel()
        assert np.mean(np.abs(away) < 1.959964) > 0.95 - 3.0 * (0.95 * 0.05 / away.size) ** 0.5, key
        assert np.sum(away**2) < chi2.ppf(0.9999, away.size), key
        assert np.sum(away**2) > 0.5 * away.size, key


@pytest.mark.prove
def test_a_hundred_seeds_agree_within_their_stated_uncertainty(monkeypatch):
    shorter(monkeypatch)
    names = tuple(name for name in ALL if name not in {"allxy", "resonator_spectroscopy"})
    judge([pulls(QUBITS, 1000 + seed, names) for seed in range(100)])


@pytest.mark.prove
def test_forty_seeds_of_wrong_and_noisy_labs_agree_as_well(monkeypatch):
    """But for assignment matrices: noisy weights see the neighbour's tone, and the reference does not know the jumps of its level."""
    shorter(monkeypatch)
    names = tuple(name for name in ALL if name != "allxy")
    founds = [pulls(worse(1.0 if seed % 2 else -1.0), 2000 + seed, names) for seed in range(40)]
    judge([{key: away for key, away in one.items() if not key.startswith("A[")} for one in founds])
