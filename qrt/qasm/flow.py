"""How a program goes on: blocks, statement by statement, and branches on what only outcomes tell.

A block is executed through a table from the node's type to a handler `(run, node) -> Completion`. Most complete with None: go on. A
`Signal` (break, continue, return, end) leaves what is around it. Where one side of a branch on outcomes leaves and the other does not, the
branch stays open as a `Split`, and what follows is executed in each side that goes on (`resume`), until the signal has reached what it
leaves (`settle`) and both sides go on together again. So `while`, `break` and `return` on outcomes become nested branches, and each path
holds exactly the statements that it executes.

What variables hold is recorded while a side is elaborated and taken back at its end; where the sides differ, the variable becomes one of
the sequencers', assigned at the end of either side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from openqasm3 import ast

from qrt.qasm import fixed
from qrt.qasm.completion import Completion, Side, Signal, Split, goes_on, ways
from qrt.qasm.context import BOUNDS, Run
from qrt.qasm.kinds import Typed
from qrt.qasm.program import Assign, Branch, SetBit, Statement
from qrt.qasm.reals import number
from qrt.qasm.runtime import word_of
from qrt.qasm.scope import Cell, Lost, Scope
from qrt.types import Bits, Classical, Computed, Source, Variable

SEQUENCED: Final = frozenset({"bool", "bit", "int", "uint", "angle"})  # kinds that a sequencer holds as they are
REAL: Final = frozenset({"float", "duration"})  # kinds that it holds in steps (qrt.qasm.fixed)

# What is refused, as the language calls it.
CONSTRUCTS: Final[dict[type, str]] = {
    ast.CalibrationDefinition: "defcal",
    ast.CalibrationStatement: "cal",
}


# ---- Blocks --------------------------------------------------------------------------------------------------------


def block(run: Run, nodes: Sequence[ast.QASMNode], scope: Scope | None = None) -> Completion:
    """Execute a block in a scope of its own."""
    around, run.scope = run.scope, scope or Scope(run.scope)
    run.depth += 1
    life = run.scope.life
    completion = statements(run, nodes)
    life.is_over = True
    run.free_variables += life.variables
    run.free_bits += life.bits
    run.depth -= 1
    run.scope = around
    return completion


def statements(run: Run, nodes: Sequence[Any]) -> Completion:
    """Execute statements one after another, in the scope that is open."""
    handlers = run.handlers
    for index, node in enumerate(nodes):
        handler = handlers.get(type(node))
        if handler is None:
            raise run.refuse(node, f"{CONSTRUCTS.get(type(node), type(node).__name__)} is not supported")
        completion = handler(run, node)
        if completion is None:
            continue
        if isinstance(completion, Signal):
            return completion
        rest = functools.partial(statements, run, nodes[index + 1 :])
        return resume(run, completion, rest)
    return None


# ---- Branches on outcomes ------------------------------------------------------------------------------------------


def branch(
    run: Run, condition: Classical, then: Callable[[], Completion], otherwise: Callable[[], Completion], source: Source
) -> Completion:
    """Execute both sides of a branch on what is not known yet."""
    run.shape.computes(condition)
    one, other = _side(run, then, [], {}), _side(run, otherwise, [], {})
    if isinstance(condition, Computed) and condition.operator == "^" and condition.right == 1:  # not: the sides change
        return _joined(run, Split(condition.left, (other, one), source))
    return _joined(run, Split(condition, (one, other), source))


def _side(run: Run, body: Callable[[], Completion], out: list[Statement], held: Mapping[Cell, Any]) -> Side:
    """Execute a body as the continuation of one side of a branch."""
    around = (run.out, run.recorded, run.scope, run.globals)
    run.out, run.recorded, run.scope = out, {}, run.scope.copied()
    if around[2] is around[3]:  # what is declared from here on is seen by gates and subroutines, too
        run.globals = run.scope
    for cell, value in held.items():
        run.hold(cell, value)
    completion = body()
    after = {cell: cell.value for cell in run.recorded}
    for cell, value in run.recorded.items():
        cell.value = value
    run.out, run.recorded, run.scope, run.globals = around
    return Side(out, after, completion)


def apart(run: Run, body: Callable[[], Completion]) -> list[Statement]:
    """Return the statements of a body that is not part of the program: what it sets is as before afterwards."""
    return _side(run, body, [], {}).out


def resume(run: Run, completion: Completion, rest: Callable[[], Completion]) -> Completion:
    """Execute what follows, wherever the program goes on."""
    if completion is None:
        return rest()
    if isinstance(completion, Signal):
        return completion
    sides = [
        _side(run, lambda side=side: resume(run, side.completion, rest), side.out, side.held)  # type: ignore[misc]
        if goes_on(side.completion)
        else side
        for side in completion.sides
    ]
    return _joined(run, completion._replace(sides=(sides[0], sides[1])))


def settle(run: Run, completion: Completion, *signals: Signal) -> Completion:
    """Let these signals go on from here; sides that go on together again become one."""
    if completion is None or isinstance(completion, Signal):
        return None if completion in signals else completion
    if completion.ways.isdisjoint(signals):
        return completion
    sides = [
        _side(run, lambda side=side: settle(run, side.completion, *signals), side.out, side.held)  # type: ignore[misc]
        for side in completion.sides
    ]
    return _joined(run, completion._replace(sides=(sides[0], sides[1])))


def _joined(run: Run, split: Split) -> Completion:
    """Return an open branch, closed if both of its sides go on in one way."""
    then, otherwise = split.sides
    if isinstance(then.completion, Split) or then.completion is not otherwise.completion:
        return split._replace(leaves=True, ways=ways(then.completion) | ways(otherwise.completion))
    cells = [cell for cell in dict.fromkeys((*then.held, *otherwise.held)) if not cell.life.is_over]
    for cell in cells:
        if cell.type is BOUNDS:
            (one, other) = (side.held.get(cell, cell.value) for side in split.sides)
            run.hold(cell, (min(one[0], other[0]), max(one[1], other[1])))
    for cell in cells:
        if cell.type is not BOUNDS:
            _meet(run, cell, [(side, side.held.get(cell, cell.value)) for side in split.sides], split.source)
    if then.out or otherwise.out:
        run.out.append(
            Branch(split.condition, tuple(then.out), tuple(otherwise.out), source=split.source, leaves=split.leaves)
        )
    return then.completion


def _meet(run: Run, cell: Cell, sides: Sequence[tuple[Side, Any]], source: Source) -> None:
    """Let a cell hold what is true after either side of a branch."""
    (_, one), (_, other) = sides
    if type(one) is type(other) and one == other:
        run.hold(cell, one)
        return
    run.shape.by(one, other)  # known ones would be numbers of the sequencers
    if cell.is_bit:
        index = run.bit_index(cell)
        if cell.is_local:  # one that is known was not written
            for side, value in sides:
                if type(value) is int:
                    side.out.append(SetBit(index, value, source))
        run.hold(cell, Bits((index,)))
    elif cell.type.kind in SEQUENCED and not isinstance(one, Lost) and not isinstance(other, Lost):
        index = run.variable(cell)
        words = [word_of(Typed(cell.type, value), source) for _, value in sides]
        _set_on_sides(run, index, [(side, word) for (side, _), word in zip(sides, words, strict=True)], source)
        run.hold(cell, Variable(index))
    elif cell.type.kind in REAL and not isinstance(one, Lost) and not isinstance(other, Lost):
        _meet_real(run, cell, sides, source)
    else:
        run.hold(
            cell,
            Lost(
                f"{cell.name!r} of type {cell.type} differs on the two sides of the branch of line {source.line}, which depends on "
                "outcomes; only bool, bit, int, uint, angle, float and duration can: use it inside the branch"
            ),
        )


def _set_on_sides(run: Run, index: int, sides: Sequence[tuple[Side, Classical]], source: Source) -> None:
    """Set a variable at the end of either side, and note what it can be from there on."""
    found = []
    for side, word in sides:
        found.append(run.span(word, side.held))
        if word != Variable(index):
            side.out.append(Assign(index, word, source))
    run.bound(index, (min(low for low, _ in found), max(high for _, high in found)))


def _meet_real(run: Run, cell: Cell, sides: Sequence[tuple[Side, Any]], source: Source) -> None:
    """Let a cell hold a real number or a duration that differs on the two sides: in steps that both have."""
    try:
        numbers = fixed.together([number(run, Typed(cell.type, value)) for _, value in sides])
    except ValueError as error:
        run.hold(cell, Lost(f"{cell.name!r} differs on the two sides of the branch of line {source.line}: {error}"))
        return
    index = run.variable(cell)
    _set_on_sides(run, index, [(side, one.word) for (side, _), one in zip(sides, numbers, strict=True)], source)
    run.hold(cell, fixed.joined(numbers)._replace(word=Variable(index)))
