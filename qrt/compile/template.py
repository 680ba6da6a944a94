"""A sequence that holds for other values of some inputs, but for the words that these make: compiled once, filled in often.

While it is written, `Filling` notes which instruction takes which open operand: amplitudes, phases, frequencies, waits, and the ticks that
the schedule has found where outcomes decide. Filled in, a template is the sequence that compiling with those values gives, byte for byte.

What the values cannot change is proved once: `Given` stands in for operands that are no durations, each anything that it may be, and a
schedule that holds with it holds for all of them. Where that is not enough (durations, amplitudes that may clip together) the schedule is
proved anew for the values at hand, and a template serves where it decides what it decided then, but for the ticks.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import units
from qrt.compile.operands import Operands, Words
from qrt.errors import ProgramError
from qrt.timeline import Step, Timeline
from qrt.timeline.ticks import Still
from qrt.types import Parameter
from qrt.types import Sequence as ShotSequence

TIMELESS = frozenset({"amplitude", "phase", "frequency"})  # units of operands that move no tick


class Given(Still):
    """The reach of operands that are filled in later. Durations are not among them, so that ticks stand still."""

    def slot(self, parameter: Parameter) -> int:
        """Return 0: nobody asks which is which. Raises ProgramError for one that changes more than a word."""
        if parameter.unit not in TIMELESS:
            raise ProgramError(
                f"{parameter.source.where}{parameter.text} makes {parameter.unit}, which is no word to fill in"
            )
        return 0

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the bounds of an amplitude: all of full scale, which is what is proved."""
        return -units.AMPLITUDE_ONE * len(counts), units.AMPLITUDE_ONE * len(counts)


class Filling:
    """What is noted while a template is written. words: of the operands at hand; those of durations are asked for."""

    def __init__(self, operands: Operands, words: Words = ()) -> None:
        self._operands, self._words = operands, words
        # Instructions, and which operand each takes; of waits, which it takes besides.
        self.rows: list[tuple[int, int]] = []
        self.branches: list[tuple[int, Step]] = []  # waits until outcomes are there
        self.joins: list[tuple[int, Step]] = []  # waits until sides or boxes end

    def take(self, index: int, parameter: Parameter) -> None:
        """Note that an instruction takes an operand."""
        self.rows.append((index, self._operands.which[id(parameter)]))

    def ticks(self, parameter: Parameter) -> int:
        """Return the word of a duration."""
        word = self._words[self._operands.which[id(parameter)]]
        assert isinstance(word, int)
        return word


class Template(NamedTuple):
    """A sequence, and where the words of operands and ticks of the schedule stand in it."""

    sequence: ShotSequence
    units: tuple[str, ...]  # of the operands
    rows: tuple[NDArray[np.int64], ...]  # instructions that take each of them; of waits with repetitions
    bare: NDArray[np.int64]  # column `d` of all instructions, without durations
    branches: tuple[tuple[int, Step], ...]
    joins: tuple[tuple[int, Step], ...]

    @classmethod
    def of(cls, sequence: ShotSequence, operands: Operands, filling: Filling, words: Words = ()) -> Template:
        """Return the template of a sequence that was written with these words of durations."""
        rows: list[list[int]] = [[] for _ in operands.distinct]
        for index, which in filling.rows:
            rows[which].append(index)
        bare = sequence.instructions["d"].copy()
        for which, one in enumerate(operands.distinct):
            if one.unit == "ticks" and rows[which]:
                np.subtract.at(bare, rows[which], words[which])
        return cls(
            sequence,
            tuple(one.unit for one in operands.distinct),
            tuple(np.array(one, np.int64) for one in rows),
            bare,
            tuple(filling.branches),
            tuple(filling.joins),
        )

    def filled(self, words: Words, timeline: Timeline | None = None) -> ShotSequence:
        """Return the sequence with these words; `timeline`: the schedule with them, where it may be another one."""
        instructions = self.sequence.instructions.copy()
        if timeline is not None:
            instructions["d"] = self.bare
            for index, step in self.branches:
                instructions["d"][index] = timeline.branch_ticks[step]
            for index, step in self.joins:
                instructions["d"][index] = timeline.join_ticks[step]
        for unit, rows, word in zip(self.units, self.rows, words, strict=True):
            if unit == "amplitude":
                instructions["c"][rows] = units.amplitude_word(word)
            elif unit == "ticks":
                np.add.at(instructions["d"], rows, word)
            else:
                instructions["d"][rows] = word
        return msgspec.structs.replace(self.sequence, instructions=instructions)
