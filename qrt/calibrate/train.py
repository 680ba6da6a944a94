"""Train: the amplitude of sx to a few 1e-4, from up to 44 sx in a row, whose errors of angle add up.

After n of them the signal is c - b r^n cos(n theta). Odd counts show an error of the angle, with alternating sign for 1 and 3 modulo 4, so
that no offset looks like one; even counts show the contrast that is left, so that no loss looks like one.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, scan, train, turning_by
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit
from qrt.types import Estimated

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
qubit[QUBITS] q;
bit[QUBITS] c;
{gates}
barrier q;
c = measure q;
"""
COUNTS: Final = (0, 1, 2, 3, 4, 5, 7, 9, 11, 13, 16, 17, 19, 25, 27, 30, 33, 35, 41, 42, 43, 44)
SHOTS: Final = 600
OFF_MAX: Final = 0.15  # of the amplitude: a Rabi scan of clouds 2 sigma apart has an error of 3 %


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Play trains of sx."""
    shots, counts = [(PROGRAM.format(gates="sx q;\n" * count), qubits) for count in COUNTS], np.array(COUNTS, float)
    found: Findings = {}
    for name, seen in each(bench.each(shots, SHOTS)):
        of = Scan(
            name,
            "train of sx",
            f"The amplitude of the Rabi scan may be off by more than {OFF_MAX:.0%}, or the drive is not stable",
        )
        now = qubits[name].sx_amplitude.value
        found[name] = judged(of, seen, Drawn("number of sx", counts), partial(analyse, of, counts, seen, now))
    return found


def analyse(of: Scan, counts: Array, seen: Signal, now: float) -> Result:
    """Return the amplitude of sx, where `now` was played."""
    require_change(of, seen)
    grid = pi / 2.0 * np.linspace(1.0 - OFF_MAX, 1.0 + OFF_MAX, 301)
    angle, linear = scan(partial(turning_by, counts), seen.values, seen.sigma, grid)
    fit = require_fit(of, train, counts, seen, (linear[0], -linear[1] or 0.5, 0.998, angle))
    theta = fit.estimated(3)
    sx = Estimated(now * (pi / 2.0) / theta.value, now * theta.stderr / (pi / 2.0))
    text = f"sx at {sx.value:.5f} +- {sx.stderr:.5f} of full scale"
    return Result(text, {"sx_amplitude": sx}, train(fit.values, counts), {"sx_amplitude": sx})
