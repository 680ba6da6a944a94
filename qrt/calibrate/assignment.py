"""Assignment: how often level 0 and level 1 are read as 0 and 1, with weights and threshold as the kernel uses them.

Reference shots behind heralds, in a balanced design of which qubits get an x (`references`). Estimates rest on this matrix, so it comes
last, after the errors of x and T1, which say how well the levels were prepared: qrt.readout.assignment corrects for that.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Findings, Result, ruled
from qrt.calibrate.heralds import Seen, classes, clouds, require_kept, require_separation
from qrt.calibrate.references import Times, prepared, times
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan
from qrt.errors import CalibrationError
from qrt.readout.assignment import Reference, fit_herald, reference_assignment
from qrt.types import Estimated, QubitCalibration

SHOTS: Final = 16_000  # per preparation; with two qubits each level of each is prepared in half of four
ETA_MIN: Final = 0.2  # A[1, 1] - A[1, 0]: below, mitigation widens every error bar more than five times


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Measure the references of all qubits."""
    found: Findings = {}
    for name, seen in prepared(bench, qubits, SHOTS, raw=False).items():
        of = Scan(name, "assignment", f"Raise qubits.{name}.readout: amplitude or duration_ns")
        values = classes(seen.flipped, [iq[:, 0] for iq in seen.seconds])
        picture = clouds(f"{name}: prepared without and with x", values, qubits[name].threshold)
        when = times(bench.lab, qubits, name)
        found[name] = ruled(of, picture, partial(analyse, of, seen, qubits[name], when))
    return found


def analyse(of: Scan, seen: Seen, qubit: QubitCalibration, when: Times) -> Result:
    """Return the assignment matrix."""
    assignment, thermal = reference_assignment(counted(of, seen, qubit.threshold, when), qubit.x_error, qubit.t1_s)
    matrix, bars = assignment.matrix, np.hypot(assignment.stderr, assignment.preparation_stderr)
    if matrix[1, 1] - matrix[1, 0] < ETA_MIN:
        raise CalibrationError(
            f"{of.name}: outcomes hardly depend on the level: P(1|0) = {matrix[1, 0]:.3f}, P(1|1) = {matrix[1, 1]:.3f}; their difference "
            f"must be at least {ETA_MIN:g}. {of.advice}"
        )
    error0, error1 = (Estimated(float(matrix[m, 1 - m]), float(bars[m, 1 - m])) for m in (1, 0))
    changes = {
        "assignment": matrix,
        "assignment_stderr": assignment.stderr,
        "preparation_stderr": assignment.preparation_stderr,
        "reference_count": assignment.reference_count,
    }
    text = (
        f"P(1|0) = {error0.value:.4f} +- {error0.stderr:.4f}, P(0|1) = {error1.value:.4f} +- {error1.stderr:.4f} from "
        f"{assignment.reference_count} kept shots per level; level 1 in equilibrium {thermal.value:.4f} +- {thermal.stderr:.4f}"
    )
    numbers = {"p_1_given_0": error0, "p_0_given_1": error1, "thermal_population": thermal}
    return Result(text, numbers, np.zeros(0), changes)


def counted(of: Scan, seen: Seen, threshold: int, when: Times) -> Reference:
    """Return the counts of one qubit. The shot before ended near equilibrium, so a herald reads that."""
    herald = fit_herald(np.concatenate([iq[:, 0] for iq in seen.heralds]))
    kept = [(iq[:, 0] < herald.cut) & (iq[:, 0] <= threshold) for iq in seen.heralds]
    both = classes(seen.flipped, [iq[keep, 0] for iq, keep in zip(seen.seconds, kept, strict=True)])
    require_kept(of, min(len(one) for one in both))
    first = np.concatenate([iq[:, 0] for iq, x in zip(seen.heralds, seen.flipped, strict=True) if not x])
    separation = (float(both[1].mean()) - float(both[0].mean())) / herald.sigma if herald.sigma > 0.0 else 0.0
    require_separation(of, "matched weights", separation)
    ones = [int(np.sum(one > threshold)) for one in both]
    shots = (len(both[0]), len(both[1]))
    return Reference((ones[0], ones[1]), shots, int(np.sum(first > threshold)), len(first), separation, *when)
