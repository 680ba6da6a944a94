"""Operands that follow a sweep and a controller at once, as sums that the sequencer adds: one part from either's slot.

The kernel has a word for every point of a grid, and one for every epoch, but none for each pair. `rx(a + c)` with a on an axis and c set by
a controller is an amplitude that is the sum of two words, each rounded: within one of the exact word, where one operand would be within a
half. A sum beyond full scale ends the run, as of any amplitude that a sequencer computes. A delay becomes two, one after the other, and
neither may be negative. Where an operand is no such sum (a * c, how long a box is) it is left as it is, and `sweeps.Reach` says why it
cannot be played. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from typing import Final

import msgspec

from qrt.pulses import lower
from qrt.qasm import Program
from qrt.qasm.expressions import Binary, Expression, Negative, names
from qrt.qasm.formula import Formula
from qrt.sweeps import Reach
from qrt.types import (
    NOWHERE,
    Box,
    Calibration,
    Computed,
    If,
    Lab,
    Op,
    Parameter,
    Play,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Wait,
)

SUMMED: Final[Mapping[type, str]] = {Play: "amplitude", ShiftPhase: "phase_rad", SetFrequency: "frequency_hz"}


def lower_along(
    program: Program,
    lab: Lab,
    calibration: Calibration | None,
    inputs: Mapping[str, float],
    reach: Reach | None,
    *,
    rounded: list[str] | None = None,
) -> Pulses:
    """Return a program as pulses, open along what varies: `pulses.lower`, with its errors, and operands of two kinds in parts."""
    pulses = lower(program, lab, calibration, inputs, () if reach is None else reach.varied, rounded=rounded)
    mixed = reach is not None and reach.grid is not None and reach.controlled
    return parted(pulses, mixed) if mixed else pulses


def parted(pulses: Pulses, controlled: Collection[str]) -> Pulses:
    """Return pulses whose operands follow inputs that are `controlled`, or others, and as a sum both."""
    return msgspec.structs.replace(
        pulses, blocks={name: tuple(_ops(ops, controlled)) for name, ops in pulses.blocks.items()}
    )


def _ops(ops: tuple[Op, ...], controlled: Collection[str]) -> Iterator[Op]:
    for op in ops:
        match op:
            case If(then=then, otherwise=otherwise):
                sides = {"then": tuple(_ops(then, controlled)), "otherwise": tuple(_ops(otherwise, controlled))}
                yield msgspec.structs.replace(op, **sides)
            case Box(ops=inside):
                yield msgspec.structs.replace(op, ops=tuple(_ops(inside, controlled)))
            case Wait(ticks=Parameter() as whole):
                yield from (Wait(part, op.source) for part in _parts(whole, controlled))
            case _:
                yield _summed(op, controlled)


def _summed(op: Op, controlled: Collection[str]) -> Op:
    field = SUMMED.get(type(op), "")
    whole = getattr(op, field, None)
    if not isinstance(whole, Parameter):
        return op
    parts = _parts(whole, controlled)
    return op if len(parts) == 1 else msgspec.structs.replace(op, **{field: Computed("+", *parts)})


def _parts(whole: Parameter, controlled: Collection[str]) -> list[Parameter]:
    """Return an operand as two, of the others and of controlled inputs; as it is where it follows only one kind, or is no sum."""
    word = whole.word
    if not isinstance(word, Formula) or len({name in controlled for name in word.names}) < 2:
        return [whole]
    sides: tuple[list[Expression], list[Expression]] = ([], [])
    for term in _terms(word.expression):
        kinds = {name in controlled for name in names(term)}
        if len(kinds) > 1:
            return [whole]
        sides[kinds == {True}].append(term)  # what is constant goes with the sweep
    return [_part(whole, word, side) for side in sides]


def _part(whole: Parameter, word: Formula, terms: list[Expression]) -> Parameter:
    found = word._replace(expression=reduce(lambda one, other: Binary("+", one, other, NOWHERE), terms))
    return Parameter(whole.unit, found, f"({', '.join(found.names)})", whole.source)


def _terms(one: Expression) -> Iterator[Expression]:
    """Yield what an expression is the sum of; factors that are constant go into every term."""
    match one:
        case Negative(operand=operand):
            yield from (Negative(term, NOWHERE) for term in _terms(operand))
        case Binary(operator="+" | "-" as operator, left=left, right=right):
            yield from _terms(left)
            yield from _terms(right if operator == "+" else Negative(right, NOWHERE))
        case Binary(operator="*", left=left, right=right) if not any(names(left)):
            yield from (one._replace(right=term) for term in _terms(right))
        case Binary(operator="*" | "/", left=left, right=right) if not any(names(right)):
            yield from (one._replace(left=term) for term in _terms(left))
        case _:
            yield one
