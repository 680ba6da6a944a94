"""Statements on qubits: measure, reset, delay, barrier, box; and which qubits an operand names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from openqasm3 import ast

from qrt.qasm import flow, stretches
from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.durations import in_ticks
from qrt.qasm.expressions import Expression, Literal
from qrt.qasm.fixed import Fixed
from qrt.qasm.indices import indexed
from qrt.qasm.kinds import KNOWN, VARIED, Typed
from qrt.qasm.program import Barrier, Box, Branch, Cz, Delay, Gate, Measurement, Reset, Statement
from qrt.qasm.scope import Qubits
from qrt.qasm.words import a


def indices(run: Run, node: ast.QASMNode) -> tuple[int, ...]:
    """Return the qubits that an operand names; of one like `q[2]`, which most are, at once."""
    if type(node) is ast.IndexedIdentifier:
        name, inside = node.name.name, node.indices[0]
        found = run.scope.names.get(name) or run.scope.find(name)
        if type(found) is Qubits and found.sized and type(inside) is list and len(inside) == len(node.indices) == 1:
            place, indices = inside[0], found.indices
            if type(place) is ast.IntegerLiteral and place.value < len(indices):
                return (indices[place.value],)
    return qubits(run, node).indices


def qubits(run: Run, node: ast.QASMNode) -> Qubits:
    """Return the qubits that an operand names."""
    match node:
        case ast.Identifier(name=name):
            if name.startswith("$") and type(run.scope.find(name)) is not Qubits:
                return Qubits((_hardware(run, node, name),), sized=False)
            found: Qubits = run.find(node, name, "qubit", (Qubits,))
            return found
        case ast.IndexedIdentifier(name=ast.Identifier(name=name), indices=indices):
            register: Qubits = run.find(node, name, "qubit", (Qubits,))
            for index in indices:
                register = indexed(run, node, register, index, name)
            return register
        case ast.IndexExpression(collection=collection, index=index):
            name = collection.name if isinstance(collection, ast.Identifier) else "this register"
            return indexed(run, node, qubits(run, collection), index, name)
        case ast.Concatenation(lhs=left, rhs=right):
            return Qubits((*qubits(run, left).indices, *qubits(run, right).indices))
    raise run.refuse(node, "a qubit, a register, or a part of one such as q[0] is needed here")


def _hardware(run: Run, node: ast.QASMNode, name: str) -> int:
    names = run.qubit_names
    if names and not names[0].startswith("$"):
        raise run.refuse(node, "declared qubits and hardware qubits ($0, ...) in one program; use one of the two")
    if name not in names:
        names.append(name)
        check_present(run, node)
    return names.index(name)


def check_present(run: Run, node: ast.QASMNode) -> None:
    """Refuse qubits that the lab has not, where they become known."""
    reason = run.facts.absent(run.qubit_names)
    if reason is not None:
        raise run.refuse(node, reason)


def physical(run: Run, index: int) -> int:
    """Return which of the lab's qubits a qubit of the program is."""
    name = run.qubit_names[index]
    return int(name[1:]) if name.startswith("$") else index


def together(run: Run, node: ast.Statement, operands: Sequence[ast.QASMNode]) -> tuple[int, ...]:
    """Return the qubits of a statement that takes several, each once; all declared ones where it names none."""
    if len(operands) == 1:
        return tuple(dict.fromkeys(indices(run, operands[0])))
    if not operands:
        for name in _hardware_names(run.tree) if all(name.startswith("$") for name in run.qubit_names) else ():
            _hardware(run, node, name)
        if not run.qubit_names:
            raise run.refuse(node, "a statement without qubits means all that the program has, and there is none")
        return tuple(range(len(run.qubit_names)))
    return tuple(dict.fromkeys(index for operand in operands for index in indices(run, operand)))


def _hardware_names(tree: Any) -> list[str]:
    """Return the hardware qubits that a program names anywhere but in what it defines, by number."""
    found, waiting = set(), [tree]
    while waiting:
        one = waiting.pop()
        if type(one) is ast.Identifier and one.name.startswith("$"):
            found.add(one.name)
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, ast.QASMNode) and not isinstance(one, ast.CalibrationDefinition):
            waiting += vars(one).values()
    return sorted(found, key=lambda name: int(name[1:]))


def reset(run: Run, node: ast.QuantumReset) -> Completion:
    """Reset a qubit, or each of a register."""
    source = run.source(node)
    for index in qubits(run, node.qubits).indices:
        if run.pulsing is None:
            run.add(Reset(index, source))
        else:
            run.pulsing.reset(run, node, index)
    return None


def duration(run: Run, node: ast.Expression) -> Expression:
    """Return a length of time as an expression."""
    if type(node) is not ast.DurationLiteral:
        return _expression(run, node, run.value(node))
    key: Any = (node.value, id(node.unit))  # one object for all that are written alike
    if key not in run.literals:
        run.literals[key] = Literal(run.value(node).value, run.source(node))
    found: Literal = run.literals[key]
    return found


def _expression(run: Run, node: ast.Expression, value: Typed) -> Expression:
    type_, held = value
    if type_.kind not in {"duration", "stretch"}:
        raise run.refuse(node, f"a duration is needed here, a number with ns, us, ms, s or dt, not {a(type_)}")
    if type(held) is Fixed:
        raise run.refuse(
            node,
            "outcomes cannot decide how long a box is, which is found before the run: delay in it, or write one on either side of an if",
        )
    if type(held) in KNOWN:
        return Literal(held, run.source(node))
    assert type(held) in VARIED
    found: Expression = held
    return found


def delay(run: Run, node: ast.DelayInstruction) -> Completion:
    """Wait on the named qubits, on all where none is named."""
    several, length = together(run, node, node.qubits), node.duration
    if type(length) is ast.DurationLiteral:
        run.add(Delay(several, duration(run, length), run.source(node)))
        return None
    value = run.value(length)
    decided = type(value.value) is Fixed and value.type.kind == "duration"
    lasts = in_ticks(run, length, value.value, "a delay") if decided else _expression(run, length, value)
    run.add(Delay(several, lasts, run.source(node)))
    return None


def barrier(run: Run, node: ast.QuantumBarrier) -> Completion:
    """Hold the named qubits together, all where none is named."""
    run.add(Barrier(together(run, node, node.qubits), run.source(node)))
    return None


def box(run: Run, node: ast.Box) -> Completion:
    """Give statements a duration for all of them; without one they begin and end together."""
    length, source = None if node.duration is None else duration(run, node.duration), run.source(node)
    around, run.out = run.out, []
    completion = flow.block(run, node.body)
    inside, run.out = run.out, around
    if completion is not None:
        raise run.refuse(node, "what leaves a box (break, continue, return, end) has no place in it")
    if not inside:
        raise run.refuse(
            node, "an empty box acts on no qubit; put what may take so long into it, or delay[...] the qubit"
        )
    if length is not None:
        run.add(Box(length, tuple(stretches.solved_box(run, node, length, inside)), source))
        return None
    held = tuple(sorted(acting(inside)))
    run.add(Barrier(held, source))
    run.out += stretches.solved_lines(run, inside)
    run.add(Barrier(held, source))
    return None


def acting(statements: Iterable[Statement]) -> set[int]:
    """Return the qubits that statements and those inside them act on."""
    found: set[int] = set()
    for one in statements:
        match one:
            case Gate(qubit=qubit) | Measurement(qubit=qubit) | Reset(qubit=qubit):
                found.add(qubit)
            case Cz(qubits=several) | Delay(qubits=several) | Barrier(qubits=several):
                found.update(several)
            case Branch(then=then, otherwise=otherwise):
                found |= acting(then) | acting(otherwise)
            case Box(inside=inside):
                found |= acting(inside)
    return found


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.QuantumReset: reset,
    ast.DelayInstruction: delay,
    ast.QuantumBarrier: barrier,
    ast.Box: box,
}
