"""Flips: the probability that x fails, half of the contrast that a train of x loses per x, whatever preparation and readout do.

The train turns twice one way and twice the other, x x -x -x. An angle that is a little off adds up over a turn and comes back, and so
does the pull of the decay towards level 0, which changes its side with every x; what is left is the loss.

The estimate is kept as it is, below 0 by chance, too: clamped, its mean over calibrations would be too large. A contrast that certainly
grows is no chance, and is refused.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, flips
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit
from qrt.calibrate.train import PROGRAM
from qrt.errors import CalibrationError
from qrt.types import Estimated

COUNTS: Final = (0, 1, 2, 3, 12, 13, 24, 25, 40, 41, 60, 61, 80, 81)
SHOTS: Final = 1200
ERROR_SIGMA: Final = 5.0  # how far below 0 chance may take the error of x
FORWARD, BACKWARD = "x q;\n", "rz(pi) q; x q; rz(-pi) q;\n"


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Play the first n of x x -x -x x x -x -x ..."""
    trains = ("".join(FORWARD if k % 4 < 2 else BACKWARD for k in range(count)) for count in COUNTS)
    shots, counts = [(PROGRAM.format(gates=gates), qubits) for gates in trains], np.array(COUNTS, float)
    found: Findings = {}
    for name, seen in each(bench.each(shots, SHOTS)):
        of = Scan(name, "train of x", "The drive may not be stable, or T1 is too short for x")
        found[name] = judged(of, seen, Drawn("number of x", counts), partial(analyse, of, counts, seen))
    return found


def analyse(of: Scan, counts: Array, seen: Signal) -> Result:
    """Return the error of x."""
    require_change(of, seen)
    start = (float(np.mean(seen.values)), 0.5 if seen.values[0] < seen.values[1] else -0.5, 0.998)
    fit = require_fit(of, flips, counts, seen, start)
    keep = fit.estimated(2)
    error = Estimated((1.0 - keep.value) / 2.0, keep.stderr / 2.0)
    if error.value < -ERROR_SIGMA * error.stderr:
        raise CalibrationError(
            f"{of.name}: {of.what}: the contrast grows with the number of x, as if x failed with {error.value:.1e} +- {error.stderr:.0e}; "
            f"from -{ERROR_SIGMA:g} sigma on is allowed. {of.advice}"
        )
    text = f"x fails with {error.value:.1e} +- {error.stderr:.0e}"
    return Result(text, {"x_error": error}, flips(fit.values, counts), {"x_error": error})
