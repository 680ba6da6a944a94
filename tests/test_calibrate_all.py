"""What `qrt calibrate all` finds in a lab that is wrong and noisy, in one seed, and benchmarking from numbers that are right.

The lab has design values 3 MHz off, of qubits and of resonators, and ten times the noise (tests/calibrations). Four such labs in a hundred
seeds each are for `make prove`: tests/test_calibrate_seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from qrt.calibrate import rb
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Finding, updated
from qrt.calibrate.order import ALL
from qrt.loop import Loop
from qrt.types import Calibration, Estimated
from tests.calibrations import LABS, rows_of
from tests.reference_calibration import Found, steps
from tests.reference_lab import QUBITS, Paper, lab_of

QUICK = tuple(name for name in ALL if name not in {"allxy", "rb"})


def test_a_lab_that_is_wrong_and_noisy_is_found_as_it_is():
    """32 numbers: one beyond 4 standard errors in 0.2 % of seeds, their squares beyond the bound in 0.1 %."""
    rows = rows_of(LABS["noisy and off"].even, 32, QUICK)
    for row in rows:
        print(f"{row.qubit} {row.what}: {row.value:.9g} +- {row.stderr:.2g}, true {row.truth:.9g}, {row.pull:+.2f}")
    away = np.array([row.pull for row in rows])
    assert np.abs(away).max() < 4.0
    assert np.sum(away**2) < chi2.ppf(0.999, away.size)
    assert np.sum(away**2) > 0.6 * chi2.ppf(0.001, away.size)


def test_benchmarking_finds_what_relaxation_costs(monkeypatch):
    """The error of a gate within 10 % of the limit of T1 and T2, and within 4 of its own standard errors of the true one."""
    for name, value in (("LENGTH_MAX", 400), ("SEQUENCES", 3), ("SHOTS", 1500)):
        monkeypatch.setattr(rb, name, value)
    papers = {name: Paper(name, QUBITS).calibration() for name in QUBITS}
    truths = {name: steps(Found(QUBITS, Calibration("", 0, 0, papers)), name) for name in QUBITS}
    with Loop(lab_of(7e3, QUBITS), 8) as loop:
        bench = Bench(loop.lab, loop.measure, lambda _: None, loop.measure_swept)
        for name, truth in truths.items():
            drag = {"drag_s": Estimated(truth["drag", "drag_s"], 0.0)}
            papers = updated(papers, {name: Finding(name, "", "", {}, drag, ())})
        for name, one in rb.find(bench, papers).items():
            error, true = one.numbers["gate_error"], truths[name]["rb", "gate_error"]
            print(f"{name}: {error.value:.3e} +- {error.stderr:.1e}, true {true:.3e}, {error.value / true:.3f}")
            assert abs(error.value - true) < 4.0 * error.stderr
            assert error.stderr < 0.1 * true
            assert one.numbers["coherence_limit"].value == pytest.approx(true, rel=1e-6)
