"""Sweeps: the words that the kernel loads at each point of a grid, and what the schedule must know of them. Pure.

`Reach` says what each varied operand of a program (`Parameter`) is over all points of a grid, for the schedule to prove the program with;
slots.py makes the kernel's slots of it. So a run needs no compiling between points. Controlled inputs, which batches set
between shots, are operands of an epoch: encode.py says how their values become words.

Rounding. An operand that is affine in an input on an evenly spaced axis has the words of its two ends, each rounded to nearest, and the
kernel goes from one to the other on the exact line, rounded to nearest, ties to even: within 1/2 of the line between the end words,
and so within 1 of the exact value; equal to the rounded exact value wherever the ends are whole words. All else is a table of
words, each the exact value rounded; a phase of more than half a turn, too, taken modulo one turn. An operand that follows several axes
has a word at every point of their product: the kernel then walks these axes, and what lies between them, as one axis of so many points.
Durations are never rounded: a point at which one is no whole number of ticks is an error. In a list of floats, a duration counts as whole
if it misses the tick by no more than sums of floats do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from qrt.along import Found, Straight, Tabled, apart, both_ends, over, walked_as_one
from qrt.axes import TABLE_MAX, Axis, Grid, Line
from qrt.encode import INT64, RANGES, beyond
from qrt.errors import ProgramError
from qrt.qasm.expressions import Duration, Exact, Value, as_float
from qrt.qasm.program import Program
from qrt.timeline import POINTS_MAX
from qrt.types import Measured, Parameter, Pulses
from qrt.units import signed64

T = TypeVar("T")
FLOAT_ERROR: Final = Fraction(4, 1 << 52)  # relative, by which sums of floats miss a whole number
ROOM: Final = f"{TABLE_MAX} are possible: take fewer points"
SPLIT: Final = "write a gate or a delay for each, such as rz(a) q; rz(b) q; for rz(a + b) q;"
FACTORED: Final = "they can meet in a sum alone: let the controller set the product, or sweep neither of its factors"
APART: Final = f"let them go along one axis, as in --sweep 'a,b=zip(...)', or {SPLIT}"
WHOLE: Final = frozenset({"ticks", "integer"})  # units of operands that are never rounded


class Ruled(NamedTuple):
    """A word that batches set: offset + sum of factor * value, with its bounds."""

    offset: Fraction
    factors: Mapping[str, Fraction]
    low: int
    high: int


Bounds = tuple[float | None, float | None]
Place = Mapping[int, int]  # which point of each axis


class Reach:
    """What every varied operand is over a grid and over the bounds of controlled inputs: qrt.timeline.Reach."""

    def __init__(self, program: Program, grid: Grid | None, controlled: Mapping[str, Bounds] | None = None) -> None:
        self.grid, self.controlled = grid, dict(controlled or {})
        self._durations = {one.name for one in program.inputs if one.kind == "duration"}
        axes = grid.axes if grid else ()
        self._axes = {one.name: index for index, axis in enumerate(axes) for one in axis.together}
        self._columns = {one.name: one for axis in axes for one in axis.together}
        self._shape = grid.shape if grid else ()
        self._numbers: dict[tuple[str, Any], int] = {}
        self._found: list[Straight | Tabled | Ruled] = []

    @property
    def varied(self) -> tuple[str, ...]:
        """The inputs that vary."""
        return (*self._axes, *self.controlled)

    def slot(self, parameter: Parameter) -> int:
        """Return the number of an operand; those that are always equal share one. ProgramError for one that cannot be played."""
        key = (parameter.unit, parameter.word)
        if key not in self._numbers:
            found = self._of(parameter)
            self._check_room(parameter, found)
            self._numbers[key] = len(self._found)
            self._found.append(found)
        return self._numbers[key]

    def found(self, parameter: Parameter) -> Straight | Tabled | Ruled:
        """Return the words of an operand."""
        return self._found[self.slot(parameter)]

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the least and the largest value that sum of count * word has at any point: axes are independent, words on one are not."""
        low = high = 0
        swept: list[tuple[Found, int]] = []
        for slot, count in counts:
            one = self._found[slot]
            if isinstance(one, Ruled):
                low, high = low + min(count * one.low, count * one.high), high + max(count * one.low, count * one.high)
            else:
                swept.append((one, count))
        for axes in apart(one for one, _ in swept):
            group = [(one, count) for one, count in swept if one.axes[0] in axes]
            if all(isinstance(one, Straight) for one, _ in group):
                columns = [[count * word for word in both_ends(one)] for one, count in group]
            else:
                columns = [[count * word for word in over(one, axes, self._shape)] for one, count in group]
            sums = [sum(column) for column in zip(*columns, strict=True)]
            low, high = low + min(sums), high + max(sums)
        return low, high

    def steps(self, slot: int, grid: int) -> bool:
        """Return whether a word is a multiple of `grid` at every point."""
        one = self._found[slot]
        if isinstance(one, Ruled):
            return grid == 1
        if isinstance(one, Tabled):
            return all(word % grid == 0 for word in one.listed)
        return one.start % grid == 0 and (one.stop - one.start) % (grid * max(one.length - 1, 1)) == 0

    def points(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return the words of these slots at every point, each combination once, [points, slots]; None beyond POINTS_MAX.

        An operand that batches set has every word within its bounds, whatever the others have.
        """
        return self._together(slots, ends=False)

    def corners(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return those of the points at one of which any sum of count * word is largest, for each sum; None beyond POINTS_MAX.

        Words on lines along one axis have their extremes at its ends.
        """
        return self._together(slots, ends=True)

    def _together(self, slots: Sequence[int], *, ends: bool) -> NDArray[np.int64] | None:
        """Return the product of what the slots on each axis have together: all of it, or where it is on a line the ends."""
        found = [self._found[slot] for slot in slots]
        groups: list[list[int]] = [[column] for column, one in enumerate(found) if isinstance(one, Ruled)]
        listed: list[list[list[int]]] = []  # of each group for each slot its words
        count = 1
        for (column,) in groups:
            one = found[column]
            assert isinstance(one, Ruled)
            count *= 2 if ends else one.high - one.low + 1
            if count > POINTS_MAX:
                return None
            listed.append([[one.low, one.high] if ends else list(range(one.low, one.high + 1))])
        swept = {column: one for column, one in enumerate(found) if not isinstance(one, Ruled)}
        for axes in apart(swept.values()):
            own = {column: one for column, one in swept.items() if one.axes[0] in axes}
            straight = ends and all(isinstance(one, Straight) for one in own.values())
            count *= 2 if straight else prod(self._shape[axis] for axis in axes)
            if count > POINTS_MAX:
                return None
            groups.append(list(own))
            listed.append([list(both_ends(one)) if straight else over(one, axes, self._shape) for one in own.values()])
        places = np.indices([len(part[0]) for part in listed]).reshape(len(listed), count)
        words = np.zeros((count, len(slots)), np.int64)
        for columns, part, place in zip(groups, listed, places, strict=True):
            words[:, columns] = np.array(part, np.int64)[:, place].T
        return np.unique(words, axis=0) if slots else words

    def each(self, place: Parameter, made: Callable[[Mapping[str, Value]], T]) -> list[T]:
        """Return what is made of the inputs at each of the points that a place counts; an error says at which one."""
        along = self.found(place)
        assert not isinstance(along, Ruled)
        return [self._made(place, at, made) for at in self._places(along.axes)]

    # ---- One operand ---------------------------------------------------------------------------------------------------

    def _of(self, parameter: Parameter) -> Straight | Tabled | Ruled:
        names = parameter.word.names
        swept = [name for name in names if name in self._axes]
        if not swept:
            return self._ruled(parameter)
        assert self.grid is not None
        if len(swept) < len(names):
            others = [name for name in names if name not in swept]
            raise ProgramError(
                f"{parameter.source.where}one operand depends on {' and '.join(swept)}, swept, and on {' and '.join(others)}, which a "
                f"controller sets: {SPLIT if parameter.word.affine else FACTORED}"
            )
        moving = {self._axes[name] for name in swept if self._columns[name].count > 1} or {self._axes[swept[0]]}
        if len(moving) > 1:
            return self._crossed(parameter, tuple(sorted(moving)))
        (index,) = moving
        count = self.grid.axes[index].count
        if parameter.unit == "place":
            return Straight(index, 0, count - 1, count)
        if parameter.word.affine and all(
            self._columns[name].count < count or isinstance(self._columns[name].points, Line) for name in swept
        ):
            ends = [self._at(parameter, {index: k}) for k in (0, count - 1)]
            step = (ends[1] - ends[0]) / max(count - 1, 1)
            if parameter.unit in WHOLE and ends[0].denominator == 1 and step.denominator != 1:
                self._whole(parameter, {index: 1}, ends[0] + step)
            words = [self._word(parameter, {index: k}, end) for k, end in zip((0, count - 1), ends, strict=True)]
            if parameter.unit != "phase" or all(INT64[0] <= word <= INT64[1] for word in words):
                return Straight(index, words[0], words[1], count)
        if count > TABLE_MAX:
            raise ProgramError(
                f"{parameter.source.where}{count} points of {' and '.join(swept)} need a table of as many words here; {TABLE_MAX} are "
                "possible: take fewer points, or an angle within half a turn"
            )
        words = [self._word(parameter, {index: k}, self._at(parameter, {index: k})) for k in range(count)]
        return _tabled(parameter, (index,), words)

    def _crossed(self, parameter: Parameter, axes: tuple[int, ...]) -> Tabled:
        """Return the words of an operand that follows several axes, at each point of their product."""
        shape = [self._shape[axis] for axis in axes]
        if prod(shape) > TABLE_MAX:
            raise ProgramError(f"{_met(parameter)}, at {_times(shape)} points of the sweep; {ROOM}, {APART}")
        if parameter.unit == "place":
            return Tabled(axes, tuple(range(prod(shape))))
        return _tabled(
            parameter, axes, [self._word(parameter, at, self._at(parameter, at)) for at in self._places(axes)]
        )

    def _places(self, axes: tuple[int, ...]) -> Iterator[Place]:
        """Yield every place on the product of some axes, the last one fastest."""
        for place in np.ndindex(*(self._shape[axis] for axis in axes)):
            yield dict(zip(axes, map(int, place), strict=True))

    def _check_room(self, parameter: Parameter, found: Straight | Tabled | Ruled) -> None:
        """Raise ProgramError where the kernel would have to walk more points as one axis than a table has words."""
        if isinstance(found, Ruled) or len(found.axes) == 1:
            return
        swept = (one for one in (*self._found, found) if not isinstance(one, Ruled))
        for group in walked_as_one(swept, len(self._shape)):
            shape = [self._shape[axis] for axis in group]
            if len(group) > 1 and prod(shape) > TABLE_MAX:
                assert self.grid is not None
                names = ", ".join(self.grid.axes[axis].name for axis in group)
                raise ProgramError(
                    f"{_met(parameter)}, so that {names}, side by side in the sweep, are walked as one axis of {_times(shape)} points; "
                    f"{ROOM}, name the sweeps of inputs that meet one after the other, {APART}"
                )

    def _along(self, name: str, at: Place) -> tuple[Axis, int]:
        """Return the values of a swept input, and which one it has at a place on the axes that an operand follows."""
        column = self._columns[name]
        return column, at[self._axes[name]] if column.count > 1 else 0

    def _at(self, parameter: Parameter, at: Place) -> Fraction:
        """Return an operand's value at a place on the axes that it follows."""
        return self._made(parameter, at, parameter.word.at)

    def _made(self, parameter: Parameter, at: Place, made: Callable[[Mapping[str, Value]], T]) -> T:
        """Return what is made of an operand's inputs at a place on the axes that it follows."""
        values = {}
        for name in parameter.word.names:
            column, place = self._along(name, at)
            values[name] = column.at(place)
        try:
            return made(values)
        except ProgramError as error:
            raise ProgramError(f"{parameter.source.where}{error} {self._place(parameter, at)}") from error

    def _place(self, parameter: Parameter, at: Place) -> str:
        """Return where that is, in words."""
        told, moving = [], {}
        for name in parameter.word.names:
            column, place = self._along(name, at)
            told.append(f"{name} = {as_float(column.exact(place)):.12g}")
            if column.count > 1:
                moving[self._axes[name]] = f"point {place} of {column.count}"
        return f"at {', '.join(told)}" + (f" ({', '.join(moving.values())})" if moving else "")

    def _whole(self, parameter: Parameter, at: Place, value: Fraction) -> int:
        """Return what must be whole: a duration's ticks, an integer."""
        near, duration = round(value), parameter.unit == "ticks"
        exact = all(isinstance(self._columns[name].points, Line) for name in parameter.word.names)
        if value != near and (exact or not duration or abs(value - near) > FLOAT_ERROR * abs(value)):
            what = f"duration is {float(value):.12g} ticks" if duration else f"integer is {float(value):.12g}"
            raise ProgramError(
                f"{parameter.source.where}{self._place(parameter, at)} this {what}; {'durations are whole ticks' * duration}"
                f"{'it must be whole' * (not duration)}: choose first, last and number of points so, or give values(...)"
            )
        return near

    def _word(self, parameter: Parameter, at: Place, value: Fraction) -> int:
        """Return the word of a value; ProgramError where the kernel or the line cannot take it."""
        word = self._whole(parameter, at, value) if parameter.unit in WHOLE else round(value)
        low, high = RANGES.get(parameter.unit, (None, None))
        if low is not None and high is not None and not low <= word <= high:
            raise ProgramError(f"{parameter.source.where}{self._place(parameter, at)} {beyond(parameter.unit, word)}")
        return word

    def _ruled(self, parameter: Parameter) -> Ruled:
        names = parameter.word.names
        if parameter.unit == "place":
            raise ProgramError(
                f"{parameter.source.where}{' and '.join(names)} are set by a controller, and the integration weights of this capture, made "
                "before the run, depend on them: sweep them, or give them"
            )
        if not parameter.word.affine:
            raise ProgramError(
                f"{parameter.source.where}{' and '.join(names)} are set by a controller and must enter affinely, as in 2*a + 1; "
                "here they do not"
            )
        where = parameter.source.where
        if parameter.unit == "integer":
            raise ProgramError(
                f"{where}{' and '.join(names)} are set by a controller, whose values are no whole numbers: sweep the integer, or give it"
            )
        zero = {name: self._value(name, 0) for name in names}
        offset = parameter.word.at(zero)
        factors = {name: parameter.word.at({**zero, name: self._value(name, 1)}) - offset for name in names}
        low = high = offset
        for name, factor in factors.items():
            bounds = self.controlled[name]
            if bounds[0] is None or bounds[1] is None:
                if parameter.unit == "ticks":
                    raise ProgramError(
                        f"{where}{name} is a duration that a controller sets: give the controller a minimum and a maximum"
                    )
                full = RANGES.get(parameter.unit, INT64)
                return Ruled(offset, factors, *full)
            ends = [factor * Fraction(bound) for bound in bounds if bound is not None]
            low, high = low + min(ends), high + max(ends)
        words = round(low), round(high)
        limits = RANGES.get(parameter.unit, INT64)
        if parameter.unit != "phase" and not limits[0] <= words[0] <= words[1] <= limits[1]:
            worst = words[0] if words[0] < limits[0] else words[1]
            raise ProgramError(
                f"{where}at the bounds of {' and '.join(names)}, which a controller sets, {beyond(parameter.unit, worst)}"
            )
        return Ruled(offset, factors, *words)

    def _value(self, name: str, number: int) -> Value:
        return Duration(Fraction(number)) if name in self._durations else Exact(Fraction(number))


def _tabled(parameter: Parameter, axes: tuple[int, ...], words: Sequence[int]) -> Tabled:
    return Tabled(axes, tuple(signed64(word) if parameter.unit == "phase" else word for word in words))


def _met(parameter: Parameter) -> str:
    return f"{parameter.source.where}one operand depends on {' and '.join(parameter.word.names)} together"


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


class MeasureSwept(Protocol):
    """types.Measure over a grid: plays all its points in one arm, in the grid's order."""

    def __call__(self, pulses: Pulses, shots: int, reach: Reach) -> Measured: ...
