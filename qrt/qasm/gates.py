"""Gates: the native ones as statements, everything else in terms of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, Final

from openqasm3 import ast

from qrt.qasm.context import Completion, Run, a
from qrt.qasm.expressions import Expression, Literal
from qrt.qasm.kinds import ANGLE, KNOWN, RUNTIME, VARIED, Typed
from qrt.qasm.program import Gate
from qrt.qasm.quantum import qubits
from qrt.qasm.values import cast
from qrt.types import Classical, Source

NATIVE: Final = {"x": 0, "sx": 0, "rx": 1, "ry": 1, "rz": 1, "h": 0, "id": 0}  # name -> how many angles


def angle(run: Run, node: ast.QASMNode, value: Typed) -> Expression | Classical:
    """Return an angle as a gate has it."""
    if value.type.kind not in {"int", "uint", "float", "angle", "bool"}:
        raise run.refuse(node, f"an angle is a number, not {a(value.type)}")
    kind = type(value.value)
    if kind in RUNTIME and value.type.kind != "angle":
        raise run.refuse(
            node,
            f"an angle of outcomes is of type angle, which is exact in the sequencer, not {a(value.type)}: angle[16] t = ...; t * n",
        )
    found: Any = cast(run, node, value, ANGLE).value if value.type.kind != "angle" else value.value
    return Literal(found, run.source(node)) if kind in KNOWN else found


def gate(run: Run, node: ast.QuantumGate) -> Completion:
    """Apply a gate to qubits, or to each of registers."""
    name = node.name.name
    if name not in NATIVE:
        near = difflib.get_close_matches(name, NATIVE, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise run.refuse(node, f"gate {name!r} is not supported; {hint}supported gates: {', '.join(NATIVE)}")
    if node.modifiers:
        raise run.refuse(node, f"the modifier {node.modifiers[0].modifier.name} is not supported")
    if node.duration is not None:
        raise run.refuse(node, "a gate with a duration is not supported; box[...] { } gives one")
    arguments = [run.value(one) for one in node.arguments]
    if len(arguments) != NATIVE[name]:
        raise run.refuse(node, f"{name} takes {NATIVE[name]} angles, not {len(arguments)}")
    if len(node.qubits) != 1:
        raise run.refuse(node, f"{name} acts on one qubit, not {len(node.qubits)}")
    turn = angle(run, node.arguments[0], arguments[0]) if arguments else None
    source = run.source(node)
    for index in qubits(run, node.qubits[0]).indices:
        run.add(Gate(name, index, turn, source))
    return None


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {ast.QuantumGate: gate}

__all__ = ["HANDLERS", "NATIVE", "VARIED", "Sequence", "Source", "angle", "gate"]
