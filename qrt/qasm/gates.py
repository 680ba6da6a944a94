"""Gates: the native ones become statements; the standard's others, definitions of the program and modifiers are written in them.

The lab's qubits have no two-qubit gate yet, so that whatever needs one (`cx`, `ctrl @ x`) is refused by name. A global phase has no effect
without a control and is left out.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from openqasm3 import ast

from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.expressions import Exact, Expression, Literal
from qrt.qasm.kinds import ANGLE, KNOWN, RUNTIME, WHOLE, Typed
from qrt.qasm.modifiers import inverse, power
from qrt.qasm.program import Gate
from qrt.qasm.quantum import one_qubit, qubits
from qrt.qasm.scope import Qubits, Scope
from qrt.qasm.standard import COUPLED, NATIVE, STANDARD, Step, expanded
from qrt.qasm.values import CONSTANTS, cast
from qrt.qasm.words import a
from qrt.types import NOWHERE, Classical

CONTROLS: Final = frozenset({"ctrl", "negctrl"})
NOTHING: Final = Exact(Fraction(0))  # an angle
NO_COUPLING: Final = "the lab's qubits have no gate between two of them"

Turned = tuple[str, "Expression | Classical | None"]  # a native gate and its angle


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
    return None


# ---- Applying ----------------------------------------------------------------------------------------------------------


def angle(run: Run, node: ast.QASMNode, value: Typed) -> Expression | Classical:
    """Return an angle as a gate has it."""
    type_, held = value
    kind = type(held)
    if type_.kind not in {"int", "uint", "float", "angle", "bool"}:
        raise run.refuse(node, f"an angle is a number, not {a(type_)}")
    if kind in RUNTIME and type_.kind != "angle":
        raise run.refuse(
            node,
            f"an angle that outcomes decide is of type angle, which a sequencer has exactly, not {a(type_)}: angle t = ...; t * n",
        )
    found: Any = cast(run, node, value, ANGLE).value if type_.kind in WHOLE else held
    return Literal(found, run.source(node)) if kind in KNOWN else found


def gate(run: Run, node: ast.QuantumGate) -> Completion:
    """Apply a gate to qubits, or to each of registers."""
    name, operands = node.name.name, node.qubits
    defined = run.scope.find(name)
    if type(defined) is not GateDefinition:
        defined = None
        natives = None
        if len(operands) == 1 and not node.modifiers and node.duration is None:
            natives = _natives(run, node, name)
        if natives is not None:
            source, one = run.source(node), one_qubit(run, operands[0])
            for index in qubits(run, operands[0]).indices if one is None else (one,):
                for native, turn in natives:
                    run.add(Gate(native, index, turn, source))
            return None
    if node.duration is not None:
        raise run.refuse(node, "a gate with a duration is not supported; box[...] { } gives one")
    return _general(run, node, defined)


def _natives(run: Run, node: ast.QuantumGate, name: str) -> Sequence[Turned] | None:
    """Return what a call of a gate without modifiers is in native ones, at once; None for what `_general` sees to."""
    arguments = node.arguments
    if not arguments:
        found = run.natives.get(name)
        if found is None and (NATIVE.get(name) == 0 or (name in STANDARD and not STANDARD[name].angles)):
            found = run.natives[name] = _turned(run, node, Step(name))
        return found
    if len(arguments) != 1 or NATIVE.get(name) != 1:
        return None
    turn: Expression | Classical | None = _alike(run, arguments[0])
    if turn is None:
        value = run.value(arguments[0])
        turn = angle(run, arguments[0], value)
        if type(turn) in RUNTIME and name != "rz":
            return _turned(run, node, Step(name, value))
    return ((name, turn),)


def _alike(run: Run, node: Any) -> Literal | None:
    """Return an angle that is a number, a constant or like pi/4: written alike it is one object, and lowered once. None for all else."""
    kind = type(node)
    found = None
    key: Any
    if kind is ast.FloatLiteral:
        key = (node.value,)
    elif kind is ast.Identifier:
        found = run.scope.find(node.name)
        if type(found) is not Typed or type(found.value) not in KNOWN:
            return None
        key = id(found)  # which is kept, so that nothing else has it
    else:
        minus, inner = (id(node.op), node.expression) if kind is ast.UnaryExpression else (0, node)
        if type(inner) is not ast.BinaryExpression:
            return None
        left, right = inner.lhs, inner.rhs
        if type(left) is not ast.Identifier or type(right) is not ast.IntegerLiteral or left.name not in CONSTANTS:
            return None
        if run.scope.find(left.name) is not None:
            return None
        key = (minus, left.name, id(inner.op), right.value)
    held = run.turns.get(key)
    if held is None:
        if kind is ast.FloatLiteral and math.isfinite(node.value):  # a turn needs no more than a float
            turn: Any = Literal(node.value, NOWHERE)
        else:
            turn = angle(run, node, run.value(node))
        held = run.turns[key] = (turn, found)
    alike: Literal = held[0]
    return alike


def _turned(run: Run, node: ast.QASMNode, step: Step) -> list[Turned]:
    """Return a gate in native ones, with their angles as a gate has them; without turns by nothing."""
    return [
        (native, None if turn is None else angle(run, node, turn))
        for native, turn in expanded(run, node, step)
        if turn is None or native != "rz" or turn.value != NOTHING
    ]


def _general(run: Run, node: ast.QuantumGate, defined: GateDefinition | None) -> Completion:
    """Apply a gate that is not native, or changed by modifiers."""
    name = node.name.name
    arguments = [run.value(one) for one in node.arguments]
    controls, changes = _modifiers(run, node)
    wanted = _arguments(run, node, defined, len(arguments))
    if controls:
        raise run.refuse(node, f"{controls} @ {name} acts on several qubits: {NO_COUPLING}")
    for operands in _broadcast(run, node, node.qubits):
        if len(operands) != wanted:
            raise run.refuse(node, f"{name} acts on {_count(wanted)}, not {len(operands)}")
        _apply(run, node, defined, arguments, operands, changes)
    return None


def _count(wanted: int) -> str:
    return "one qubit" if wanted == 1 else f"{wanted} qubits"


def _arguments(run: Run, node: ast.QuantumGate, defined: GateDefinition | None, count: int) -> int:
    """Return on how many qubits a gate acts. Raises ProgramError for one that there is not, or that takes other angles."""
    name = node.name.name
    if defined is not None:
        angles, operands = len(defined.parameters), len(defined.qubits)
    elif name in NATIVE or name in STANDARD:
        angles, operands = NATIVE[name] if name in NATIVE else STANDARD[name].angles, 1
    elif name in COUPLED:
        raise run.refuse(node, f"{name} acts on {COUPLED[name]} qubits: {NO_COUPLING}")
    else:
        known = [
            *NATIVE,
            *STANDARD,
            *(one for one in run.scope.all_names() if isinstance(run.scope.find(one), GateDefinition)),
        ]
        near = difflib.get_close_matches(name, [*known, *COUPLED], 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise run.refuse(node, f"gate {name!r} is not supported; {hint}supported gates: {', '.join(known)}")
    if count != angles:
        raise run.refuse(node, f"{name} takes {angles} angles, not {count}")
    return operands


def _broadcast(run: Run, node: ast.QASMNode, operands: Sequence[ast.QASMNode]) -> list[tuple[int, ...]]:
    """Return the qubits of each application: registers go side by side, one qubit goes with each."""
    found = [qubits(run, operand) for operand in operands]
    sizes = {len(one.indices) for one in found if one.sized}
    if len(sizes) > 1:
        raise run.refuse(node, f"registers of {' and '.join(map(str, sorted(sizes)))} qubits do not go side by side")
    applications = [
        tuple(one.indices[position] if one.sized else one.indices[0] for one in found)
        for position in range(max(sizes, default=1))
    ]
    for one in applications:
        if len(set(one)) != len(one):
            raise run.refuse(node, f"{run.qubit_names[one[0]]} stands twice among the qubits of one gate")
    return applications


def _apply(  # noqa: PLR0917 - a gate is all of these
    run: Run,
    node: ast.QuantumGate,
    defined: GateDefinition | None,
    arguments: Sequence[Typed],
    operands: tuple[int, ...],
    changes: Sequence[Typed | None],
) -> None:
    """Apply a gate to one set of qubits, changed by modifiers, the last one first: None inverts, a number is a power."""
    if defined is not None:
        _apply_defined(run, node, defined, arguments, operands, changes)
        return
    steps = [Step(node.name.name, *arguments)]
    for change in changes:
        steps = inverse(run, node, steps) if change is None else power(run, node, steps, change)
    _steps(run, node, steps, operands[0])


def _steps(run: Run, node: ast.QASMNode, steps: Sequence[Step], qubit: int) -> None:
    source = run.source(node)
    for step in steps:
        for native, turn in _turned(run, node, step):
            run.add(Gate(native, qubit, turn, source))


def _apply_defined(  # noqa: PLR0917
    run: Run,
    node: ast.QuantumGate,
    defined: GateDefinition,
    arguments: Sequence[Typed],
    operands: tuple[int, ...],
    changes: Sequence[Typed | None],
) -> None:
    """Apply the body of a definition."""
    if defined.name in run.calls:
        raise run.refuse(node, f"gate {defined.name!r} is defined by itself: {' -> '.join([*run.calls, defined.name])}")
    scope = Scope(run.globals, function=True)
    scope.names |= dict(zip(defined.parameters, arguments, strict=True))
    scope.names |= {name: Qubits((index,), sized=False) for name, index in zip(defined.qubits, operands, strict=True)}
    run.calls.append(defined.name)
    around, run.out = run.out, []
    loops, run.loops = run.loops, []
    completion = run.block(defined.body, scope)
    inside, run.out = run.out, around
    run.loops = loops
    run.calls.pop()
    if completion is not None:
        raise run.refuse(node, f"gate {defined.name!r} depends on outcomes; write it as a def")
    if not changes:
        run.out += inside
        return
    steps: list[tuple[Step, int]] = []
    for one in inside:
        if type(one) is not Gate:
            raise run.refuse(
                node,
                f"gate {defined.name!r} holds a {type(one).__name__.lower()}, so that no modifier can be applied to it",
            )
        turned = () if one.angle is None else (_typed(one.angle),)
        steps.append((Step(one.name, *turned), one.qubit))
    for change in changes:
        if change is None:
            steps = [(back, qubit) for step, qubit in reversed(steps) for back in inverse(run, node, [step])]
        elif len(steps) == 1:
            steps = [(step, steps[0][1]) for step in power(run, node, [steps[0][0]], change)]
        else:
            steps = _repeated(run, node, steps, change)
    for step, qubit in steps:
        _steps(run, node, [step], qubit)


def _typed(turn: Any) -> Typed:
    """Return the angle of a statement as a value again."""
    return Typed(ANGLE, turn.value if type(turn) is Literal else turn)


def _repeated(run: Run, node: ast.QuantumGate, steps: list[tuple[Step, int]], change: Typed) -> list[tuple[Step, int]]:
    """Return several steps to a whole power."""
    if type(change.value) is not int:
        raise run.refuse(
            node, f"pow of {node.name.name!r}, which has {len(steps)} gates, needs a constant whole number"
        )
    if change.value < 0:
        steps = [(back, qubit) for step, qubit in reversed(steps) for back in inverse(run, node, [step])]
    return steps * abs(change.value)


# ---- Modifiers and phases ----------------------------------------------------------------------------------------------


def _modifiers(run: Run, node: ast.QuantumGate | ast.QuantumPhase) -> tuple[str, list[Typed | None]]:
    """Return the controls, in words, and the other modifiers, the one next to the gate first."""
    controls = ""
    changes: list[Typed | None] = []
    for one in reversed(node.modifiers):
        kind = one.modifier.name
        if kind in CONTROLS:
            count = 1 if one.argument is None else run.integer(one.argument)
            if count < 1:
                raise run.refuse(node, f"{kind}({count}); at least one control is needed")
            controls = kind if count == 1 else f"{kind}({count})"
        elif kind == "inv":
            changes.append(None)
        else:
            assert one.argument is not None
            value = run.value(one.argument)
            if type(value.value) in RUNTIME:
                raise run.refuse(node, "a power that outcomes decide is not supported; use an angle: rx(t * n)")
            changes.append(value)
    return controls, changes


def phase(run: Run, node: ast.QuantumPhase) -> Completion:
    """Take a global phase, which has no effect; with one control it is a turn of that qubit about Z."""
    turn = run.value(node.argument)
    angle(run, node.argument, turn)
    controls, changes = _modifiers(run, node)
    if not controls:
        if node.qubits:
            raise run.refuse(node, "gphase acts on no qubit; ctrl @ gphase(...) q; acts on one")
        return None
    if controls != "ctrl" or sum(one.modifier.name in CONTROLS for one in node.modifiers) != 1 or len(node.qubits) != 1:
        raise run.refuse(node, f"{controls} @ gphase on these qubits is not supported; ctrl @ gphase(...) q; is")
    steps = [Step("rz", turn)]
    for change in changes:
        steps = inverse(run, node, steps) if change is None else power(run, node, steps, change)
    for index in qubits(run, node.qubits[0]).indices:
        _steps(run, node, steps, index)
    return None


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.QuantumGate: gate,
    ast.QuantumGateDefinition: definition,
    ast.QuantumPhase: phase,
}
