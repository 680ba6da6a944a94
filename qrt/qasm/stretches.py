"""Stretch: delays whose length is found, so that lines of qubits are equally long.

A line is what one qubit does in a region: a box, or what stands between two barriers. In a region each line holds at most one
stretch, which may stand in several of its delays, with factors. In a box of a duration the line takes that long; otherwise the lines
take as long as the longest. Everything else (stretches that reach over a barrier, into a branch, or into lines that disagree) is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.expressions import Duration, Expression, Literal, Stretched
from qrt.qasm.kinds import DURATION, Typed
from qrt.qasm.operators import seconds_of
from qrt.qasm.program import Barrier, Box, Branch, Delay, Statement
from qrt.types import Source


class Part(NamedTuple):
    """A delay with stretches: known + factor * stretch seconds."""

    qubit: int
    known_s: Fraction
    stretch: int
    factor: Fraction
    source: Source


def declare(run: Run, node: ast.ClassicalDeclaration, name: str) -> Completion:
    """Declare a stretch: alone, or as a duration with stretches in it."""
    if node.init_expression is not None:
        value = run.value(node.init_expression)
        if value.type.kind != "duration":
            raise run.refuse(node, f"stretch {name!r} is a duration, not {value.type}")
        run.declare(node, name, value)
        return None
    number = len(run.stretch_names)
    run.stretch_names.append(name)
    run.declare(node, name, Typed(DURATION, Stretched(Duration(Fraction(0)), ((number, Fraction(1)),))))
    return None


def _is_stretched(one: Statement) -> bool:
    return type(one) is Delay and type(one.duration) is Literal and isinstance(one.duration.value, Stretched)


# ---- Regions -----------------------------------------------------------------------------------------------------------


def solved_box(run: Run, node: ast.Box, length: Expression, inside: Sequence[Statement]) -> Sequence[Statement]:
    """Return what is in a box with its stretches solved for the box's duration."""
    if not any(map(_is_stretched, inside)):
        return inside
    if type(length) is not Literal or not isinstance(length.value, Duration):
        raise run.refuse(node, "a stretch in a box whose duration varies is not supported")
    return _solved(run, inside, seconds_of(length.value, run.facts.sample_s))


def solved_lines(run: Run, inside: Sequence[Statement]) -> Sequence[Statement]:
    """Return statements whose lines take as long as the longest, with their stretches solved."""
    return _solved(run, inside, None) if any(map(_is_stretched, inside)) else inside


def solved_regions(run: Run, statements: Sequence[Statement]) -> Sequence[Statement]:
    """Return a program with the stretches between its barriers solved."""
    if not run.stretch_names:
        return statements
    result: list[Statement] = []
    region: list[Statement] = []
    for one in statements:
        if type(one) is Barrier and any(map(_is_stretched, region)):
            held = set(one.qubits)
            outside = next((part for part in region if _is_stretched(part) and not held.issuperset(part.qubits)), None)  # type: ignore[union-attr]
            if outside is not None:
                raise _refused(outside.source, "this stretch reaches over a barrier that does not hold its qubit")
            result += _solved(run, region, None)
            region = []
        if type(one) is Barrier:
            result += [*region, one]
            region = []
        else:
            region.append(one)
    _check_left(region)
    return [*result, *region]


def _check_left(statements: Sequence[Statement]) -> None:
    """Refuse stretches that nothing decides."""
    for one in statements:
        if _is_stretched(one):
            raise _refused(
                one.source,
                "nothing tells how long this stretch is: end its lines with a barrier, or put them into a box",
            )
        if type(one) is Branch:
            _check_left((*one.then, *one.otherwise))


def _refused(source: Source, message: str) -> ProgramError:
    return ProgramError(f"{source.where}{message}\n    {source.text}")


# ---- Lines -------------------------------------------------------------------------------------------------------------


def _solved(run: Run, inside: Sequence[Statement], length_s: Fraction | None) -> list[Statement]:
    """Return a region with its stretches solved: for a length, or for that of the longest line."""
    parts = {index: _part(run, one) for index, one in enumerate(inside) if _is_stretched(one)}
    for one in inside:
        if (type(one) is Barrier and len(one.qubits) > 1) or type(one) is Box or type(one) is Branch:
            raise _refused(
                one.source,
                "this stands in the region of a stretch, where lines do not meet: put a barrier before and after it",
            )
    rest = [one for index, one in enumerate(inside) if index not in parts]
    ends = dict(run.facts.lengths_s(rest, run.qubit_names)) if rest else {}
    factors: dict[int, Fraction] = {}
    stretches: dict[int, int] = {}
    for part in parts.values():
        if stretches.setdefault(part.qubit, part.stretch) != part.stretch:
            raise _refused(part.source, "a second stretch in the line of one qubit; one for each is possible")
        ends[part.qubit] = ends.get(part.qubit, Fraction(0)) + part.known_s
        factors[part.qubit] = factors.get(part.qubit, Fraction(0)) + part.factor
    target = max(ends.values()) if length_s is None else length_s
    found: dict[int, Fraction] = {}
    for part in parts.values():
        factor = factors[part.qubit]
        if factor <= 0:
            raise _refused(
                part.source, "the stretch in this line cancels out or makes it shorter; factors add up to more than 0"
            )
        value = (target - ends[part.qubit]) / factor
        if value < 0:
            takes, room = float(ends[part.qubit]) * 1e9, float(target) * 1e9
            raise _refused(part.source, f"the line of this stretch takes {takes:g} ns already, more than {room:g} ns")
        if found.setdefault(part.stretch, value) != value:
            raise _refused(
                part.source,
                "one stretch in lines of different lengths, so that no value suits all; use a stretch for each",
            )
    result = list(inside)
    for index, part in parts.items():
        duration = Duration(part.known_s + part.factor * found[part.stretch])
        result[index] = Delay((part.qubit,), Literal(duration, part.source), part.source)
    return result


def _part(run: Run, one: Any) -> Part:
    value: Stretched = one.duration.value
    if len(one.qubits) != 1:
        raise _refused(one.source, "a delay with a stretch is on one qubit; write one for each")
    factors = [(number, factor) for number, factor in value.factors if factor]
    if len(factors) != 1:
        raise _refused(one.source, "a delay with one stretch is possible, with a factor and a known duration")
    return Part(one.qubits[0], seconds_of(value.known, run.facts.sample_s), *factors[0], one.source)
