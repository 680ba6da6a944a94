"""Gates that the program defines: what a definition is, and the statements that its body becomes.

A body sees its arguments, its qubits and the program's constants alone. So where it becomes nothing but gates, the same angles on the same
qubits give the same statements, with the places in the body that they stand at: they are kept (`Run.bodies`) for as long as nothing is
declared that a body could see. Randomised benchmarking plays three definitions 2800 times, and half of the time of its elaboration was
the arithmetic of their angles. Kept is nothing of a program with defcals, where a gate may turn a frame, of a body that calls a function of
the lab, whose value may be another one each time, and of angles that are not exact numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from openqasm3 import ast

from qrt.qasm import flow
from qrt.qasm.completion import Completion
from qrt.qasm.context import STATEMENTS_MAX, Run
from qrt.qasm.expressions import Exact
from qrt.qasm.kinds import Typed
from qrt.qasm.program import Cz, Gate, Statement
from qrt.qasm.scope import Qubits, Scope

EXACT: Final = frozenset({int, Exact})  # of these, equal ones are the same; 0.0 and -0.0 are equal, too
GATES: Final = frozenset({Gate, Cz})


class GateDefinition(NamedTuple):
    """A gate that the program defines."""

    name: str
    parameters: tuple[str, ...]
    qubits: tuple[str, ...]
    body: Sequence[ast.QuantumStatement]


def definition(run: Run, node: ast.QuantumGateDefinition) -> Completion:
    """Define a gate."""
    if run.depth:
        raise run.refuse(
            node, f"gate {node.name.name!r} is defined inside a block; define it at the top of the program"
        )
    names = [one.name for one in (*node.arguments, *node.qubits)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise run.refuse(node, f"{twice!r} names two arguments of {node.name.name!r}")
    parameters, operands = (tuple(one.name for one in listed) for listed in (node.arguments, node.qubits))
    run.declare(node, node.name.name, GateDefinition(node.name.name, parameters, operands, node.body))
    run.defined.add(node.name.name)
    return None


def played(
    run: Run, node: ast.QuantumGate, defined: GateDefinition, arguments: Sequence[Typed], operands: tuple[int, ...]
) -> Sequence[Statement]:
    """Return the statements of a definition's body, those that it had before where they are the same."""
    key: Any = (defined.name, tuple(arguments), operands, len(run.globals.names))
    may_be_kept = all(type(one.value) in EXACT for one in arguments) and not (run.pulsing and run.pulsing.defcals)
    known = run.bodies.get(key) if may_be_kept and defined.name not in run.calls else None
    if known is not None and run.statement_count + len(known) <= STATEMENTS_MAX:
        run.statement_count += len(known)
        return known
    before = run.statement_count, run.iteration_count, run.lab_calls
    inside = inlined(run, node, defined, arguments, operands)
    after = run.statement_count - len(inside), run.iteration_count, run.lab_calls
    if may_be_kept and before == after and all(type(one) in GATES for one in inside):
        run.bodies[key] = tuple(inside)
    return inside


def inlined(
    run: Run, node: ast.QuantumGate, defined: GateDefinition, arguments: Sequence[Typed], operands: tuple[int, ...]
) -> list[Statement]:
    """Return the statements of a definition's body, elaborated."""
    if defined.name in run.calls:
        raise run.refuse(node, f"gate {defined.name!r} is defined by itself: {' -> '.join([*run.calls, defined.name])}")
    scope = Scope(run.globals, function=True)
    scope.names |= dict(zip(defined.parameters, arguments, strict=True))
    scope.names |= {name: Qubits((index,), sized=False) for name, index in zip(defined.qubits, operands, strict=True)}
    run.calls.append(defined.name)
    around, run.out = run.out, []
    loops, run.loops = run.loops, []
    in_gate, run.in_gate = run.in_gate, True
    completion = flow.block(run, defined.body, scope)
    run.in_gate = in_gate
    inside, run.out = run.out, around
    run.loops = loops
    run.calls.pop()
    if completion is not None:
        raise run.refuse(node, f"gate {defined.name!r} depends on outcomes; write it as a def")
    return inside
