"""The operands of pulses that are open: what they are, which inputs make more than a word, and the pulses at values of the inputs.

An open operand is a `Parameter` that stands by itself: the amplitude of a play, a phase, a frequency, how long a wait or a box is. What is
computed in the shot from an input (a condition, a variable, an output) is no word of an instruction, and neither are weights that follow
one: such inputs are `computed`, and who wants to leave them open is told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from qrt import units
from qrt.classical import parameters_of
from qrt.errors import ProgramError
from qrt.types import (
    NOWHERE,
    Assign,
    Box,
    Capture,
    Emit,
    If,
    Lasting,
    Op,
    Parameter,
    Play,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Sync,
    Wait,
    WriteBit,
)

# Where an operation may hold an open operand, and its unit.
FIELDS: Final[Mapping[type, tuple[str, str]]] = {
    Play: ("amplitude", "amplitude"),
    ShiftPhase: ("phase_rad", "phase"),
    SetFrequency: ("frequency_hz", "frequency"),
    Wait: ("ticks", "ticks"),
    Box: ("ticks", "ticks"),
}
KNOWN: Final = frozenset({int, float})
PLAIN: Final = frozenset({Play, ShiftPhase, SetFrequency, Wait})  # with a number in it there is nothing to find
BARE: Final = frozenset({Sync, Capture, WriteBit})
Word = int | float  # of an amplitude its float, of full scale; of all else the kernel's own
Words = Sequence[Word]  # one for each operand


class Operands(NamedTuple):
    """The open operands of pulses; equal ones are one."""

    distinct: tuple[Parameter, ...]
    which: Mapping[int, int]  # the identity of each that stands in the pulses -> its place in `distinct`
    held: Mapping[str, tuple[int, ...]]  # block -> which of its operations may hold any, or have some inside
    computed: frozenset[str]  # inputs that make more than words

    @classmethod
    def of(cls, pulses: Pulses) -> Operands:
        """Return those of some pulses."""
        held = {name: tuple(_holding(ops)) for name, ops in pulses.blocks.items()}
        computed = {name for one in pulses.weights.values() for name in _followed(one.samples)}
        which: dict[int, int] = {}
        places: dict[tuple[str, Any], int] = {}
        distinct: list[Parameter] = []
        waiting = [pulses.blocks[name][index] for name, indices in held.items() for index in indices]
        while waiting:
            op = waiting.pop()
            waiting += _inside(op)
            operand = _open(op)
            if operand is None:
                computed.update(name for one in _computed(op) for name in one.word.names)
            elif id(operand) not in which:
                place = places.setdefault((operand.unit, operand.word), len(distinct))
                distinct += [operand] * (place == len(distinct))
                which[id(operand)] = place
        return cls(tuple(distinct), which, held, frozenset(computed))

    @property
    def timed(self) -> bool:
        """Whether any of them is a duration, of which the schedule is made."""
        return any(one.unit == "ticks" for one in self.distinct)

    def words(self, values: Mapping[str, Any], tick_ps: int) -> tuple[Word, ...] | None:
        """Return the word of each at values of the inputs; None where one has none, of which compiling says why and where."""
        try:
            return tuple(_word(one, values, tick_ps) for one in self.distinct)
        except (ProgramError, ValueError, OverflowError):
            return None

    def put(self, pulses: Pulses, words: Words) -> Pulses:
        """Return the pulses with words in them, as the schedule sees them: phases and frequencies, which it does not, are 0."""
        blocks = {}
        for name, ops in pulses.blocks.items():
            filled = list(ops)
            for index in self.held[name]:
                filled[index] = self._put(ops[index], words)
            blocks[name] = tuple(filled)
        return msgspec.structs.replace(pulses, blocks=blocks)

    def _put(self, op: Op, words: Words) -> Op:
        changes: dict[str, Any] = {}
        operand = _open(op)
        if operand is not None:
            timeless = operand.unit in {"phase", "frequency"}
            changes[FIELDS[type(op)][0]] = 0.0 if timeless else words[self.which[id(operand)]]
        match op:
            case If(then=then, otherwise=otherwise):
                changes["then"] = tuple(self._put(one, words) for one in then)
                changes["otherwise"] = tuple(self._put(one, words) for one in otherwise)
            case Box(ops=ops):
                changes["ops"] = tuple(self._put(one, words) for one in ops)
        return msgspec.structs.replace(op, **changes) if changes else op


def _holding(ops: Sequence[Op]) -> Iterator[int]:
    """Yield which operations may hold an open operand; most hold a number, which is seen at a glance."""
    for index, op in enumerate(ops):
        kind = type(op)
        if kind in BARE or (kind in PLAIN and type(getattr(op, FIELDS[kind][0])) in KNOWN):
            continue
        yield index


def _open(op: Op) -> Parameter | None:
    """Return the open operand of an operation."""
    field, unit = FIELDS.get(type(op), ("", ""))
    operand = getattr(op, field, None)
    return operand if isinstance(operand, Parameter) and operand.unit == unit else None


def _word(parameter: Parameter, values: Mapping[str, Any], tick_ps: int) -> Word:
    """Return a word as lowering and compiling make one of a known operand. ValueError where they would refuse it, or round it."""
    exact = parameter.word.at(values)
    match parameter.unit:
        case "phase":
            return units.signed64(round(exact))
        case "amplitude":
            amplitude = float(exact / units.AMPLITUDE_ONE)
            if abs(amplitude) <= 1.0:
                return amplitude
        case "frequency":
            hertz = float(exact * Fraction(units.PS_PER_S, units.TURN * tick_ps))
            return units.signed64(units.frequency_word(hertz, tick_ps))
        case "ticks":
            if exact.denominator == 1 and exact >= 0:
                return int(exact)
    raise ValueError(parameter.unit)


def _computed(op: Op) -> Iterator[Parameter]:
    """Yield the operands from inputs that an operation computes with in the shot."""
    match op:
        case If(condition=value) | Assign(value=value) | Emit(value=value) | Wait(ticks=Lasting(word=value)):
            yield from parameters_of(value)
        case Play(amplitude=value) | ShiftPhase(phase_rad=value) | SetFrequency(frequency_hz=value):
            if not isinstance(value, float):
                yield from parameters_of(value)


def _inside(op: Op) -> Iterable[Op]:
    match op:
        case If(then=then, otherwise=otherwise):
            return (*then, *otherwise)
        case Box(ops=ops):
            return ops
    return ()


def _followed(samples: Any) -> tuple[str, ...]:
    """Return the inputs that weights follow."""
    return () if isinstance(samples, np.ndarray) else tuple(samples.place(NOWHERE).word.names)
