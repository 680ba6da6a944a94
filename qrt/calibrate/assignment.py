"""Assignment: how often level 0 and level 1 are read as 0 and 1, with weights and threshold as the kernel uses them.

Reference shots behind heralds, in a balanced design of which qubits get an x (`references`). Estimates rest on this matrix, so it comes
last, after the errors of x and T1, which say how well the levels were prepared.
"""

from __future__ import annotations

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Findings
from qrt.calibrate.references import assignments
from qrt.calibrate.sequences import Qubits


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Measure the references of all qubits."""
    return assignments(bench, qubits)
