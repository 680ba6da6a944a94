"""Gates: the native ones become statements; the standard's others, definitions of the program (`bodies`) and modifiers are written in them.

Native are gates on one qubit, and cz on the pairs of the lab's qubits that a coupler joins; on other pairs whatever needs one (`cx`,
`ctrl @ x`) is refused by name. A global phase has no effect without a control and is left out. Where modifiers stand before a gate that the
program defines, its body is gathered as a list of gates, global phases included, which they change.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from openqasm3 import ast

from qrt.qasm import bodies
from qrt.qasm.bodies import GateDefinition
from qrt.qasm.calls import Subroutine, as_gate
from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.controlled import COUPLED, GPHASE, Applied, applied, controlled, decomposed
from qrt.qasm.expressions import Exact, Expression, Literal
from qrt.qasm.kinds import ANGLE, FLOAT, KNOWN, RUNTIME, WHOLE, Typed
from qrt.qasm.modifiers import inverse, power
from qrt.qasm.program import Cz, Gate
from qrt.qasm.quantum import indices, physical, qubits
from qrt.qasm.scope import Cell
from qrt.qasm.standard import NATIVE, STANDARD, Step, expanded
from qrt.qasm.values import CONSTANTS, cast
from qrt.qasm.words import a, counted
from qrt.types import NOWHERE, Classical

CONTROL_LEVELS: Final = {"ctrl": 1, "negctrl": 0}
PULSE_TYPES: Final = frozenset({"port", "frame", "waveform"})  # the grammar takes `frame f;` for a gate
NOTHING: Final = Exact(Fraction(0))  # an angle


class Control(NamedTuple):
    """A modifier `ctrl` or `negctrl`, on so many qubits."""

    level: int
    size: int


Change = Control | Typed | None  # a modifier: None inverts, a number is a power
Native = tuple[str, Expression | Classical | None]  # a gate on one qubit, with its angle as a statement has it


# ---- Applying ----------------------------------------------------------------------------------------------------------


def angle(run: Run, node: ast.QASMNode, value: Typed) -> Expression | Classical:
    """Return an angle as a gate has it."""
    type_, held = value
    kind = type(held)
    if type_.kind not in {"int", "uint", "float", "angle", "bool"}:
        raise run.refuse(node, f"an angle is a number, not {a(type_)}")
    if kind in RUNTIME and type_.kind != "angle":
        return in_turns(run, node, value)
    found: Any = cast(run, node, value, ANGLE).value if type_.kind in WHOLE else held
    return Literal(found, run.source(node)) if kind in KNOWN else found


def in_turns(run: Run, node: ast.QASMNode, value: Typed) -> Classical:
    """Return a number that outcomes decide as an angle in 2^-64 turns."""
    found: Classical = cast(run, node, cast(run, node, value, FLOAT), ANGLE).value
    return found


def gate(run: Run, node: ast.QuantumGate) -> Completion:
    """Apply a gate to qubits, or to each of registers."""
    name, operands = node.name.name, node.qubits
    defined = run.scope.find(name) if name in run.defined else None
    if type(defined) is Subroutine:
        as_gate(run, node, defined.node)
        return None
    if type(defined) is not GateDefinition:  # but a variable of that name
        defined = None
    arguments: list[Typed] | None = None
    if defined is None and run.gathered is None and len(operands) == 1 and not node.modifiers and node.duration is None:
        written = node.arguments
        natives: Sequence[Native] | None = None
        if not written:
            natives = run.natives.get(name) or _fixed(run, node, name)
        elif len(written) == 1 and NATIVE.get(name) == 1:
            turn: Expression | Classical | None = _alike(run, written[0])
            if turn is None:
                arguments = [run.value(written[0])]
                turn = angle(run, written[0], arguments[0])
            if type(turn) not in RUNTIME or name == "rz":
                natives = ((name, turn),)
        if natives is not None:
            source = run.source(node)
            for index in indices(run, operands[0]):
                for native, turn in natives:
                    run.add(Gate(native, index, turn, source))
            return None
    if node.duration is not None:
        raise run.refuse(node, "a gate with a duration is not supported; box[...] { } gives one")
    if arguments is None:
        arguments = [run.value(one) for one in node.arguments]
    return _general(run, node, defined, arguments)


def _fixed(run: Run, node: ast.QuantumGate, name: str) -> Sequence[Native] | None:
    """Return a gate without an angle in native ones; None for one that is not the standard's, or is made of the program's defcals."""
    if name not in NATIVE and (name not in STANDARD or (run.pulsing is not None and run.pulsing.defcals)):
        return None
    if NATIVE[name] if name in NATIVE else STANDARD[name].angles:
        return None
    natives = expanded(run, node, Step(name))
    found = tuple((one, None if turn is None else angle(run, node, turn)) for one, turn in natives)
    run.natives[name] = found
    return found


def _alike(run: Run, node: Any) -> Expression | None:
    """Return an angle of numbers and names; None for all else. Written alike and of the same values it is one object, and lowered once."""
    named: list[Any] = []
    plain = type(node) is ast.FloatLiteral
    key = node.value if plain else _written(run, node, named)
    if key is None:
        return None
    held = run.turns.get(key)
    if held is None:
        if plain and math.isfinite(key):  # a turn needs no more than a float
            turn: Any = Literal(key, NOWHERE)
        else:
            turn = angle(run, node, run.value(node))
        held = run.turns[key] = (turn, named)  # which are kept, so that nothing else has their identity
    alike: Expression = held[0]
    return alike


def _written(run: Run, node: Any, named: list[Any]) -> Any:
    """Return what an expression of numbers and names is, with what the names stand for, which is also put into `named`; None for others."""
    kind = type(node)
    if kind is ast.FloatLiteral or kind is ast.IntegerLiteral:
        return kind, node.value
    if kind is ast.Identifier:
        name = node.name
        found = run.scope.names.get(name) or run.scope.find(name) or CONSTANTS.get(name)
        if type(found) is Typed and type(found.value) not in RUNTIME:
            named.append(found)
            return id(found)
        if type(found) is Cell and type(found.value) is int:  # of a loop, say
            return found.type.kind, found.type.width, found.value
        return None
    if kind is ast.UnaryExpression:
        inner = _written(run, node.expression, named)
        return None if inner is None else (id(node.op), inner)
    if kind is not ast.BinaryExpression:
        return None
    left = _written(run, node.lhs, named)
    right = None if left is None else _written(run, node.rhs, named)
    return None if right is None else (id(node.op), left, right)


def _general(run: Run, node: ast.QuantumGate, defined: GateDefinition | None, arguments: Sequence[Typed]) -> Completion:
    """Apply a gate that is not native, or changed by modifiers, or gathered."""
    name = node.name.name
    if run.gathered is not None:
        for one, value in zip(node.arguments, arguments, strict=True):
            angle(run, one, value)
    if defined is not None:
        arguments = [_parameter(run, one, value) for one, value in zip(node.arguments, arguments, strict=True)]
    changes = _changes(run, node)
    own = _arguments(run, node, defined, len(arguments))
    wanted = own + sum(one.size for one in changes if type(one) is Control)
    for operands in _broadcast(run, node, node.qubits):
        if len(operands) != wanted:
            shown = " @ ".join([*(one.modifier.name for one in node.modifiers), name])
            raise run.refuse(node, f"{shown} acts on {_count(wanted)}, not {len(operands)}")
        inner = operands[len(operands) - own :]
        if defined is None:
            gates = applied(name, arguments, inner)
        elif changes or run.gathered is not None:
            gates = _gathered(run, node, defined, arguments, inner)
        else:
            run.out += bodies.played(run, node, defined, arguments, inner)
            continue
        _finish(run, node, _changed(run, node, gates, changes, operands))
    return None


def _parameter(run: Run, node: ast.QASMNode, value: Typed) -> Typed:
    """Return an argument as the body of a definition has it: of arbitrary precision, so that no angle wraps in it."""
    return cast(run, node, value, FLOAT) if value.type.kind == "angle" else value


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
        angles, operands = COUPLED[name].angles, COUPLED[name].controls + COUPLED[name].targets
    elif run.pulsing is not None and name in run.pulsing.defcals:
        raise run.refuse(
            node, f"{name} is a defcal of this program, which says nothing of it here: {_where(run, node)}"
        )
    else:
        known = [
            *NATIVE,
            *STANDARD,
            *COUPLED,
            *(one for one in run.scope.all_names() if isinstance(run.scope.find(one), GateDefinition)),
        ]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        if name in PULSE_TYPES:
            raise run.refuse(node, f"a {name} is declared in the body of a cal: cal {{ {name} ...; }}")
        raise run.refuse(node, f"gate {name!r} is not supported; {hint}supported gates: {', '.join(known)}")
    if count != angles:
        raise run.refuse(node, f"{name} takes {counted(angles, 'angle')}, not {count}")
    return operands


def _where(run: Run, node: ast.QuantumGate) -> str:
    """Return why a defcal does not serve for a call."""
    if node.modifiers or run.gathered is not None:
        return "modifiers need a gate that is defined, not its pulses"
    return "none of them is for these qubits and angles"


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


def _changed(
    run: Run, node: ast.QASMNode, gates: list[Applied], changes: Sequence[Change], operands: tuple[int, ...]
) -> list[Applied]:
    """Return gates with modifiers, the last one first; controls take their qubits from the end of what is left of the operands."""
    left = len(operands) - sum(one.size for one in changes if type(one) is Control)
    place = len(operands) - left
    for one in changes:
        if one is None:
            gates = inverse(run, node, gates)
        elif type(one) is Control:
            gates = controlled(gates, operands[place - one.size : place], one.level)
            place -= one.size
        else:
            gates = power(run, node, gates, one)  # type: ignore[arg-type]
    return gates


def _finish(run: Run, node: ast.QASMNode, gates: Sequence[Applied]) -> None:
    """Apply gates, or gather them for the modifiers around."""
    if run.gathered is not None:
        run.gathered += gates
        return
    for one in decomposed(run, node, gates):
        if one.controls:
            _couple(run, node, one.qubits)
        else:
            _steps(run, node, one.step, one.qubits[0])


def _steps(run: Run, node: ast.QASMNode, step: Step, qubit: int) -> None:
    source = run.source(node)
    for native, turn in expanded(run, node, step):
        if turn is not None and native == "rz":
            run.shape.apart(turn.value, NOTHING)
            if turn.value == NOTHING:
                continue
        if run.pulsing is not None and run.pulsing.gate(run, node, native, (qubit,), () if turn is None else (turn,)):
            continue
        run.add(Gate(native, qubit, None if turn is None else angle(run, node, turn), source))


def _couple(run: Run, node: ast.QASMNode, pair: tuple[int, ...]) -> None:
    """Apply cz, by the program's defcal for the pair in either order, or the calibration's. Raises ProgramError where it has neither."""
    if run.pulsing is not None and any(run.pulsing.gate(run, node, "cz", one, ()) for one in (pair, pair[::-1])):
        return
    one, other = pair
    reason = run.facts.uncoupled(physical(run, one), physical(run, other))
    if reason is not None:
        names = [run.qubit_names[index] for index in pair]
        called = node.name.name if isinstance(node, ast.QuantumGate) else "this"
        raise run.refuse(node, f"{called} needs cz between {names[0]} and {names[1]}: {reason}")
    run.add(Cz((one, other), run.source(node)))


def _gathered(
    run: Run, node: ast.QuantumGate, defined: GateDefinition, arguments: Sequence[Typed], operands: tuple[int, ...]
) -> list[Applied]:
    """Return the body of a definition as gates, for modifiers."""
    around, run.gathered = run.gathered, []
    handlers, run.handlers = run.handlers, {**run.handlers, **HANDLERS}  # no defcals: they are for gates as they are
    inside = bodies.inlined(run, node, defined, arguments, operands)
    run.handlers = handlers
    gates, run.gathered = run.gathered, around
    if inside:
        raise run.refuse(
            node,
            f"gate {defined.name!r} holds a {type(inside[0]).__name__.lower()}, so that no modifier can be applied to it",
        )
    return gates


# ---- Modifiers and phases ----------------------------------------------------------------------------------------------


def _changes(run: Run, node: ast.QuantumGate | ast.QuantumPhase) -> list[Change]:
    """Return the modifiers, the one next to the gate first."""
    changes: list[Change] = []
    for one in reversed(node.modifiers):
        kind = one.modifier.name
        if kind in CONTROL_LEVELS:
            count = 1 if one.argument is None else run.integer(one.argument)
            if count < 1:
                raise run.refuse(node, f"{kind}({count}); at least one control is needed")
            changes.append(Control(CONTROL_LEVELS[kind], count))
        elif kind == "inv":
            changes.append(None)
        else:
            assert one.argument is not None
            value = run.value(one.argument)
            if type(value.value) in RUNTIME:
                raise run.refuse(node, "a power that outcomes decide is not supported; use an angle: rx(t * n)")
            changes.append(value)
    return changes


def phase(run: Run, node: ast.QuantumPhase) -> Completion:
    """Take a global phase, which has no effect but under control: with one, it is a turn of that qubit about Z."""
    turn = run.value(node.argument)
    angle(run, node.argument, turn)
    changes = _changes(run, node)
    wanted = sum(one.size for one in changes if type(one) is Control)
    if node.qubits and not wanted:
        raise run.refuse(node, "gphase acts on no qubit; ctrl @ gphase(...) q; acts on one")
    for operands in _broadcast(run, node, node.qubits):
        if len(operands) != wanted:
            raise run.refuse(node, f"gphase under {wanted} controls acts on {_count(wanted)}, not {len(operands)}")
        _finish(run, node, _changed(run, node, [Applied(Step(GPHASE, turn), ())], changes, operands))
    return None


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.QuantumGate: gate,
    ast.QuantumGateDefinition: bodies.definition,
    ast.QuantumPhase: phase,
}
