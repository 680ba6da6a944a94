"""Definitions by `defcal`: which one a call means, and its body in place of the call.

A program's defcal comes before the calibration's gate, measurement or reset of that name on that qubit. Of several that match, the
most specific is taken, as the standard says: first by qubits that are named ($0 before q), then by arguments that are values (rx(pi/2)
before rx(angle t)); of equals the last. They count from the program's beginning, wherever they stand. A gate that is made of others (a
`gate` definition, the standard's own) finds the defcals of those; the calibration's x and h are not made of the program's sx.

A body is one unit: the qubits that it names and the frames that it plays and captures on meet before it and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import openpulse
from openqasm3 import ast

from qrt.qasm import flow
from qrt.qasm.assignment import store_bits
from qrt.qasm.completion import Completion, Signal
from qrt.qasm.context import Run
from qrt.qasm.expressions import as_float
from qrt.qasm.frames import held
from qrt.qasm.kinds import KNOWN, Typed
from qrt.qasm.measure import measured
from qrt.qasm.program import Box, Branch, Measurement, Reset
from qrt.qasm.pulses import PULSES, FrameBarrier, sequencers_of
from qrt.qasm.pulsing import OWN_NAMES, as_language
from qrt.qasm.quantum import physical
from qrt.qasm.scope import BitRegister, Qubits, Scope
from qrt.qasm.values import cast
from qrt.qasm.waves import ZERO
from qrt.qasm.written import type_of

SAME_RAD = 1e-12  # arguments nearer than this are the same


class Defcal(NamedTuple):
    """One definition."""

    node: Any  # openpulse.ast.CalibrationDefinition
    places: tuple[int | None, ...]  # of its qubits in the lab; None: any qubit


class Use(NamedTuple):
    """One call of a definition."""

    node: ast.QASMNode
    indices: Sequence[int]  # of the program's qubits
    arguments: Sequence[Typed] = ()


def enter(run: Run, statements: Iterable[Any]) -> dict[str, list[Defcal]]:
    """Return the definitions of a program by name."""
    found: dict[str, list[Defcal]] = {}
    for node in statements:
        if isinstance(node, openpulse.ast.CalibrationDefinition):
            places = tuple(
                int(one.name[1:]) if one.name[1:].isdigit() and one.name.startswith("$") else None
                for one in node.qubits
            )
            found.setdefault(node.name.name, []).append(Defcal(node, places))
    return found


def match(run: Run, name: str, indices: Sequence[int], arguments: Sequence[Typed]) -> Defcal | None:
    """Return the definition that a call means, None if there is none."""
    best, best_score = None, (-1, -1)
    for one in run.pulsing.defcals.get(name, ()):
        score = _score(run, one, indices, arguments)
        if score is not None and score >= best_score:
            best, best_score = one, score
    return best


def _score(run: Run, one: Defcal, indices: Sequence[int], arguments: Sequence[Typed]) -> tuple[int, int] | None:
    """Return how specific a definition is for a call, None if it is for others."""
    wanted = one.node.arguments
    if len(one.places) != len(indices) or len(wanted) != len(arguments):
        return None
    if any(
        place is not None and place != physical(run, index) for place, index in zip(one.places, indices, strict=True)
    ):
        return None
    values = 0
    for pattern, argument in zip(wanted, arguments, strict=True):
        if isinstance(pattern, ast.ClassicalArgument):
            continue
        run.shape.by(argument.value)
        if not _is_same(run.value(pattern), argument):
            return None
        values += 1
    return sum(place is not None for place in one.places), values


def _is_same(one: Typed, other: Typed) -> bool:
    if type(one.value) not in KNOWN or type(other.value) not in KNOWN or "duration" in {one.type.kind, other.type.kind}:
        return type(one.value) in KNOWN and one.value == other.value
    numbers = [value if isinstance(value, int) else as_float(value) for value in (one.value, other.value)]
    return abs(numbers[0] - numbers[1]) <= SAME_RAD


# ---- Bodies ------------------------------------------------------------------------------------------------------------


def execute(run: Run, one: Defcal, use: Use, register: BitRegister | None) -> Typed | None:
    """Put a definition's body in place of a call; return what it returns. A bit goes into the register, if there is one."""
    name, pulsing = one.node.name.name, run.pulsing
    if name in run.calls:
        raise run.refuse(use.node, f"defcal {name} calls itself: {' -> '.join((*run.calls, name))}")
    around = run.out, run.target, pulsing.target, pulsing.returned, pulsing.register, pulsing.alias
    outer = Scope(run.globals)
    outer.names = run.globals.names.setdefault(OWN_NAMES, {})
    scope = _bound(run, Scope(outer), one, use)
    run.out, run.target, pulsing.target = [], None, None
    pulsing.returned, pulsing.register, pulsing.alias = [], register, _returned_name(one)
    depth, pulsing.depth = pulsing.depth, len(run.frames)
    run.calls.append(name)
    with pulsing.body(run), pulsing.inside(run):
        completion = flow.block(run, one.node.body, scope)
    run.calls.pop()
    inside, returned = run.out, pulsing.returned
    run.out, run.target, pulsing.target, pulsing.returned, pulsing.register, pulsing.alias = around
    pulsing.depth = depth
    if completion not in {None, Signal.RETURN} or len(returned) > 1:
        raise run.refuse(
            one.node,
            f"defcal {name} returns from within a branch on outcomes, or leaves it otherwise; return once, at its end",
        )
    _add_unit(run, use, inside)
    return _result(run, use.node, one, returned[0] if returned else None, register)


def _bound(run: Run, scope: Scope, one: Defcal, use: Use) -> Scope:
    """Return the body's scope, with arguments and qubits under their names."""
    for pattern, argument in zip(one.node.arguments, use.arguments, strict=True):
        if isinstance(pattern, ast.ClassicalArgument):
            scope.names[pattern.name.name] = cast(run, pattern, argument, type_of(run, pattern.type))
    for qubit, index in zip(one.node.qubits, use.indices, strict=True):
        scope.names[qubit.name] = Qubits((index,), sized=False)  # $0, too: the program may have declared its qubits
    return scope


def _returned_name(one: Defcal) -> str | None:
    """Return the name that the body ends by returning. A bit of that name is the caller's, so that nothing is copied after the outcome."""
    last = one.node.body[-1] if one.node.body else None
    if isinstance(last, ast.ReturnStatement) and isinstance(last.expression, ast.Identifier):
        return str(last.expression.name)
    return None


def _add_unit(run: Run, use: Use, inside: Sequence[Any]) -> None:
    """Add the statements of a body, with its meetings."""
    named = [run.pulsing.lab_qubit(run, index) for index in use.indices]
    acting = tuple(dict.fromkeys((*(name for name in named if name is not None), *_acting(run, inside))))
    if len(acting) > 1:
        run.add(FrameBarrier(acting, run.source(use.node)))
    run.out.extend(inside)
    if len(acting) > 1:
        run.add(FrameBarrier(acting, run.source(use.node)))


def _acting(run: Run, statements: Iterable[Any]) -> Iterator[str]:
    """Yield the sequencers of statements."""
    for one in statements:
        if isinstance(one, PULSES):
            yield from sequencers_of(one)
        elif isinstance(one, Branch):
            yield from _acting(run, (*one.then, *one.otherwise))
        elif isinstance(one, Box):
            yield from _acting(run, one.inside)
        else:
            qubits = (one.qubit,) if hasattr(one, "qubit") else getattr(one, "qubits", ())
            yield from (name for qubit in qubits if (name := run.pulsing.lab_qubit(run, qubit)) is not None)


def _result(
    run: Run, node: ast.QASMNode, one: Defcal, returned: Typed | None, register: BitRegister | None
) -> Typed | None:
    """Return what a body returned, in the caller's bit if it has one."""
    name, wanted = one.node.name.name, one.node.return_type
    if wanted is None and returned is not None:
        raise run.refuse(
            one.node,
            f"defcal {name} returns {returned.type}, which it does not announce: write -> bit, or what it is, before its body",
        )
    if wanted is not None and returned is None:
        what = "a bit is" if isinstance(wanted, ast.BitType) else "a value is"
        raise run.refuse(
            one.node, f"defcal {name} returns nothing, where {what} needed: end it with return capture_v2(...);"
        )
    if isinstance(wanted, ast.BitType):
        assert returned is not None
        if returned.type.kind not in {"bit", "bool"}:
            raise run.refuse(one.node, f"defcal {name} returns {returned.type}, where a bit is needed")
        if register is not None:
            store_bits(run, node, register, returned)
    elif register is not None:
        raise run.refuse(one.node, f"defcal {name} returns no bit, where one is needed: write defcal {name} ... -> bit")
    return returned


def returns(run: Run, node: ast.ReturnStatement) -> Completion:
    """Leave a defcal's body with a value; a subroutine that it calls leaves as the language does."""
    if run.pulsing.depth != len(run.frames):
        return as_language(run, node)
    expression = node.expression
    if expression is not None:
        around, run.target = run.target, run.pulsing.register
        value = measured(run, expression) if isinstance(expression, ast.QuantumMeasurement) else run.value(expression)
        run.target = around
        run.pulsing.returned.append(value)
    return Signal.RETURN


# ---- Gates, measurements and resets -------------------------------------------------------------------------------------------


def gate(run: Run, node: ast.QASMNode, name: str, indices: Sequence[int], arguments: Sequence[Typed]) -> bool:
    """Apply a gate that others are made of by the program's definition; say whether there is one."""
    found = match(run, name, indices, arguments)
    if found is not None:
        execute(run, found, Use(node, indices, arguments), None)
    return found is not None


def measure(run: Run, node: ast.QASMNode, index: int, register: BitRegister | None) -> None:
    """Measure a qubit, by the program's definition or the calibration's."""
    found = match(run, "measure", (index,), ())
    if found is not None:
        execute(run, found, Use(node, (index,)), register)
        return
    _check_unchanged(run, node, index)
    run.pulsing.with_companions(run, node, (index,))
    cell = None if register is None else register.cells[0]
    run.add(Measurement(index, None if cell is None else run.outcome_bit(cell), run.source(node)))
    run.pulsing.with_companions(run, node, (index,))


def reset(run: Run, node: ast.QASMNode, index: int) -> None:
    """Reset a qubit, by the program's definition or the calibration's."""
    found = match(run, "reset", (index,), ())
    if found is not None:
        execute(run, found, Use(node, (index,)), None)
        return
    _check_unchanged(run, node, index)
    run.pulsing.with_companions(run, node, (index,))
    run.add(Reset(index, run.source(node)))
    run.pulsing.with_companions(run, node, (index,))


def _check_unchanged(run: Run, node: ast.QASMNode, index: int) -> None:
    """Refuse the calibration's measurement where the program has changed what it is made of."""
    if not run.pulsing.frames:
        return
    name = run.pulsing.lab_qubit(run, index)
    frame = run.pulsing.frames.get(f"{name}_readout")
    if frame is None:
        return
    frequency_hz, phase = held(run, node, frame.frequency), held(run, node, frame.phase)
    if phase != ZERO or frequency_hz != run.pulsing.start_hz(frame):
        raise run.refuse(
            node,
            f"the program has changed frequency or phase of {frame.name}, and the calibrated measurement of {name} is for the "
            "calibration's: set them back, or write a defcal measure",
        )
