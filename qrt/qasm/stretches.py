"""Stretch: delays whose length is found, so that lines of qubits are equally long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openqasm3 import ast

from qrt.qasm.context import Completion, Run
from qrt.qasm.expressions import Expression
from qrt.qasm.program import Statement


def declare(run: Run, node: ast.ClassicalDeclaration, name: str) -> Completion:
    """Declare a stretch."""
    raise run.refuse(node, f"stretch {name!r} is not supported")


def expression(run: Run, node: ast.QASMNode, value: Any) -> Expression:
    """Return a duration with stretches in it."""
    raise run.refuse(
        node, f"a duration that depends on outcomes ({value}) is not supported: delay on either side of an if instead"
    )


def solved_box(run: Run, node: ast.QASMNode, length: Expression, inside: Sequence[Statement]) -> Sequence[Statement]:
    """Return what is in a box with its stretches solved."""
    return inside
