"""A program with some of its inputs left open, and its sequences at their values, made of that instead of the program.

Which inputs can be left open is found by leaving them open: who makes more of an input than words says so (qrt.qasm.shape,
qrt.compile.operands), or refuses to go on without its value. The pulses are lowered once. For other values the operands get other words;
where that could change the schedule it is proved anew, with all that a schedule refuses, and the sequence is the template of the way in
which it has decided, filled in. What does not fit (an amplitude beyond full scale, a duration off the grid, an angle of which there is no
pulse) is left to compiling, which has the right words for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from qrt.compile import Operands, Template, compile_template, decided, scheduled, written_template
from qrt.compile.operands import Words
from qrt.errors import ProgramError
from qrt.pulses.lowering import lower_open
from qrt.qasm import Program
from qrt.qasm.expressions import Exact, Value
from qrt.qasm.shape import ComputedError, Shape
from qrt.sweeps import Reach
from qrt.timeline import Timeline
from qrt.types import Calibration, Lab, PortLimits, Pulses, Sequence

OPEN: Final = frozenset(
    {"float", "angle", "duration", "int", "uint"}
)  # kinds of inputs; a bool has two values, each kept
WORD_MAX: Final = 1 << 63  # a whole number beyond is refused, or wraps
SHAPES_MAX: Final = 16  # ways in which one program's schedule has decided


class Asked(NamedTuple):
    """A program with values of all its inputs, and what it is compiled for."""

    program: Program
    inputs: Mapping[str, float]
    lab: Lab
    calibration: Calibration | None  # None: nominal values
    limits: PortLimits
    reach: Reach | None = None  # of inputs that vary from shot to shot
    rounds: bool = False  # durations off the grid, instead of refusing them


class Lowered(NamedTuple):
    """Pulses with open operands, and for which values they are the program's."""

    pulses: Pulses
    shape: Shape
    operands: Operands
    rounded: tuple[str, ...]

    @property
    def closed(self) -> frozenset[str]:
        """Inputs of which other values may have pulses of another shape."""
        return self.shape.closed | self.operands.computed


class Opened:
    """What is kept of a program, for the values of the inputs that are not `free`."""

    def __init__(self, asked: Asked, candidates: Collection[str]) -> None:
        """Leave open what can be, of these inputs."""
        self.free, self._lowered = _opened(asked, candidates)
        self._lab, self._limits = asked.lab, asked.limits
        self._proved: Template | None = None  # whatever the values are
        self._ways: list[tuple[Any, Template]] = []  # by how the schedule has decided, the latest last
        self._movable = self._lowered is not None and self._lowered.operands.timed

    @property
    def rounded(self) -> tuple[str, ...]:
        """Durations that were."""
        return () if self._lowered is None else self._lowered.rounded

    def filled(self, values: Mapping[str, Value]) -> tuple[Sequence, bool] | None:
        """Return the sequence at these values, and whether all of it but words was there; None where only compiling tells."""
        if self._lowered is None or not self._lowered.shape.holds(values):
            return None
        if any(isinstance(one, Exact) and not -WORD_MAX <= one.rational < WORD_MAX for one in values.values()):
            return None
        pulses, operands = self._lowered.pulses, self._lowered.operands
        words = operands.words(values, self._lab.timing.tick_ps)
        if words is None:
            return None
        try:
            if not self._movable:
                known = self._proved is not None
                self._proved = self._proved or compile_template(pulses, self._lab, self._limits, operands)
                return self._proved.filled(words), known
        except ProgramError:
            self._movable = True  # what any value could do is too much; these may be in order
        try:
            return self._scheduled(self._lowered, words)
        except ProgramError:
            return None

    def _scheduled(self, lowered: Lowered, words: Words) -> tuple[Sequence, bool]:
        """Return the same, with the schedule proved for these words. Raises ProgramError as scheduling does."""
        timeline = scheduled(lowered.operands.put(lowered.pulses, words), self._lab, self._limits, None)
        way = _way(timeline, lowered.operands, words)
        found = next((one for other, one in self._ways if other == way), None)
        hit = found is not None
        if found is None:
            found = written_template(
                lowered.pulses, self._lab, self._limits, timeline, operands=lowered.operands, words=words
            )
            self._ways.append((way, found))
            del self._ways[:-SHAPES_MAX]
        return found.filled(words, timeline), hit


def _way(timeline: Timeline, operands: Operands, words: Words) -> Any:
    """Return all that a schedule decides but the ticks that are filled in, and which waits have no instruction."""
    one = decided(timeline)
    nothing = tuple(index for index, word in enumerate(words) if operands.distinct[index].unit == "ticks" and not word)
    return one.branch_ticks.keys(), one.join_ticks.keys(), one.pads, one.tone_indices, nothing


def _opened(asked: Asked, candidates: Collection[str]) -> tuple[tuple[str, ...], Lowered | None]:
    """Return the inputs that are left open, and the program so; none of them, and nothing, where all would be closed."""
    free = tuple(candidates)
    while free:
        try:
            found = _lowered(asked, free)
        except ComputedError as error:
            free = tuple(name for name in free if name not in error.closed)
            continue
        if found is not None and found.closed.isdisjoint(free):
            return free, found
        if found is not None:
            free = tuple(name for name in free if name not in found.closed)
            continue
        left = tuple(name for name in free if _opens(asked, name))  # one of them has no business to be open
        free = left if len(left) < len(free) else ()
    return (), None


def _opens(asked: Asked, name: str) -> bool:
    """Say whether an input can be left open alone."""
    try:
        found = _lowered(asked, (name,))
    except ComputedError:
        return False
    return found is not None and name not in found.closed


def _lowered(asked: Asked, free: Collection[str]) -> Lowered | None:
    """Return a program with these inputs open; None where it is refused so. Raises ComputedError as elaboration does."""
    rounded: list[str] | None = [] if asked.rounds else None
    inputs = {name: value for name, value in asked.inputs.items() if name not in free}
    try:
        pulses, shape = lower_open(
            asked.program, asked.lab, asked.calibration, inputs, free, opened=free, rounded=rounded
        )
    except ProgramError:
        return None
    return Lowered(pulses, shape, Operands.of(pulses), tuple(rounded or ()))
