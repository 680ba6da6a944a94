"""Lengths of time as values: `durationof`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.expressions import Duration
from qrt.qasm.kinds import DURATION, Typed


def duration_of(run: Run, node: ast.DurationOf) -> Typed:
    """Return how long statements take; nothing of them is executed."""
    inside = run.apart(lambda: run.block(node.target))
    if not inside:
        raise run.refuse(node, "durationof of statements that act on no qubit")
    lengths = run.facts.lengths_s(inside, run.qubit_names)
    return Typed(DURATION, Duration(max(lengths.values())))


EVALUATORS: dict[type, Callable[[Run, Any], Typed]] = {ast.DurationOf: duration_of}
