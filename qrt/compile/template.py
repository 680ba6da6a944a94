"""A sequence that holds for any values of some inputs, but for the words that these make: compiled once, filled in often.

`Given` stands in for what varies while a template is compiled: amplitudes and phases of given inputs, each anything that it may be. What
they cannot change is proved then; a duration could change every tick, so it is never among them. Filled in, a template is the sequence
that compiling with those values would give, byte for byte, or nothing where one of them is out of range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import units
from qrt.errors import ProgramError
from qrt.timeline.ticks import Still
from qrt.types import Parameter
from qrt.types import Sequence as ShotSequence


class Given(Still):
    """The reach of operands that are filled in later. Durations are not among them, so that ticks stand still."""

    def slot(self, parameter: Parameter) -> int:
        """Return 0: nobody asks which is which. Raises ProgramError for one that changes more than a word."""
        if parameter.unit not in {"amplitude", "phase"}:
            raise ProgramError(
                f"{parameter.source.where}{parameter.text} makes {parameter.unit}, which is no word to fill in"
            )
        return 0

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the bounds of an amplitude: all of full scale, which is what is proved."""
        return -units.AMPLITUDE_ONE * len(counts), units.AMPLITUDE_ONE * len(counts)


class Fill(NamedTuple):
    """An operand, and the instructions that hold its word: amplitudes in `c`, phases in `d`."""

    parameter: Parameter
    rows: NDArray[np.int64]


class Template(NamedTuple):
    """A sequence with zeros where words are filled in."""

    sequence: ShotSequence
    fills: tuple[Fill, ...]

    @classmethod
    def of(cls, sequence: ShotSequence, given: Sequence[tuple[int, Parameter]]) -> Template:
        """Return the template; `given`: each open instruction with its operand. Equal operands are filled in together."""
        same: dict[int, tuple[Parameter, list[int]]] = {}  # by identity, so that few are compared
        for index, parameter in given:
            same.setdefault(id(parameter), (parameter, []))[1].append(index)
        found: dict[tuple[str, Any], tuple[Parameter, list[int]]] = {}
        for parameter, rows in same.values():
            found.setdefault((parameter.unit, parameter.word), (parameter, []))[1].extend(rows)
        return cls(sequence, tuple(Fill(parameter, np.array(rows)) for parameter, rows in found.values()))

    def filled(self, values: Mapping[str, Any]) -> ShotSequence | None:
        """Return the sequence at these values of the inputs; None where an operand has no word."""
        instructions = self.sequence.instructions.copy()
        for parameter, rows in self.fills:
            try:
                exact = parameter.word.at(values)
            except ProgramError:
                return None  # compiling says why, and where
            if parameter.unit == "phase":
                instructions["d"][rows] = units.signed64(round(exact))
                continue
            amplitude = float(exact / units.AMPLITUDE_ONE)  # as a compiled one is rounded: to a float, then to a word
            if abs(amplitude) > 1.0:
                return None
            instructions["c"][rows] = units.amplitude_word(amplitude)
        return msgspec.structs.replace(self.sequence, instructions=instructions)
