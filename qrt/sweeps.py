"""Sweeps: the words that the kernel loads at each point of a grid, and what the schedule must know of them. Pure.

`Reach` says what each varied operand of a program (`Parameter`) is over all points of a grid, for the schedule to prove the program with,
and `bind` makes the kernel's slots of it. So a run needs no compiling between points. Controlled inputs, which batches set
between shots, are operands of an epoch: `Encode` says how their values become words.

Rounding. An operand that is affine in an input on an evenly spaced axis has the words of its two ends, each rounded to nearest, and the
kernel goes from one to the other on the exact line, rounded to nearest, ties to even: within 1/2 of the line between the end words,
and so within 1 of the exact value; equal to the rounded exact value wherever the ends are whole words. All else is a table of
words, each the exact value rounded; a phase of more than half a turn, too, taken modulo one turn. Durations are never rounded: a point
at which one is no whole number of ticks is an error. In a list of floats, a duration counts as whole if it misses the tick by no more than
sums of floats do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.errors import ProgramError
from qrt.grids import TABLE_MAX, Axis, Grid, Line
from qrt.kernel import SLOT_DTYPE, Order, Rule, Sweep
from qrt.qasm.expressions import Duration, Exact, Value, as_float
from qrt.qasm.program import Program
from qrt.timeline import POINTS_MAX
from qrt.types import Parameter
from qrt.units import AMPLITUDE_ONE, TURN, signed64

INT64: Final = (-(1 << 63), (1 << 63) - 1)
FLOAT_ERROR: Final = Fraction(4, 1 << 52)  # relative, by which sums of floats miss a whole number
WHOLE: Final = {
    "ticks": " ticks; durations are whole ticks",
    "integer": "",
}  # units that are never rounded, and what to say of them
RANGES: Final = {
    "amplitude": (-AMPLITUDE_ONE, AMPLITUDE_ONE),
    "ticks": (0, 1 << 48),
    "frequency": (-TURN // 2, TURN // 2 - 1),
    "integer": INT64,
}


# ---- Words -------------------------------------------------------------------------------------------------------------


class Straight(NamedTuple):
    """Words on a line along an axis."""

    axis: int
    start: int
    stop: int
    length: int

    def all(self) -> list[int]:
        """Return all of them; whole, where they are ticks."""
        steps = max(self.length - 1, 1)
        return [round(Fraction(self.start * (steps - k) + self.stop * k, steps)) for k in range(self.length)]


class Tabled(NamedTuple):
    """Words one by one along an axis."""

    axis: int
    listed: tuple[int, ...]

    def all(self) -> list[int]:
        """Return all of them."""
        return list(self.listed)


class Ruled(NamedTuple):
    """A word that batches set: offset + sum of factor * value, with its bounds."""

    offset: Fraction
    factors: Mapping[str, Fraction]
    low: int
    high: int


Bounds = tuple[float | None, float | None]


class Reach:
    """What every varied operand is over a grid and over the bounds of controlled inputs: qrt.timeline.Reach."""

    def __init__(self, program: Program, grid: Grid | None, controlled: Mapping[str, Bounds] | None = None) -> None:
        self.grid, self.controlled = grid, dict(controlled or {})
        self._durations = {one.name for one in program.inputs if one.kind == "duration"}
        self._axes = {axis.name: index for index, axis in enumerate(grid.axes if grid else ())}
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
            self._numbers[key] = len(self._found)
            self._found.append(found)
        return self._numbers[key]

    def found(self, parameter: Parameter) -> Straight | Tabled | Ruled:
        """Return the words of an operand."""
        return self._found[self.slot(parameter)]

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the least and the largest value that sum of count * word has at any point: axes are independent, words on one are not."""
        low = high = 0
        along: dict[int, list[tuple[Straight | Tabled, int]]] = {}
        for slot, count in counts:
            one = self._found[slot]
            if isinstance(one, Ruled):
                low, high = low + min(count * one.low, count * one.high), high + max(count * one.low, count * one.high)
            else:
                along.setdefault(one.axis, []).append((one, count))
        for group in along.values():
            if not any(isinstance(one, Tabled) for one, _ in group):
                straight = [(one, count) for one, count in group if isinstance(one, Straight)]
                sums = [
                    sum(count * one.start for one, count in straight),
                    sum(count * one.stop for one, count in straight),
                ]
            else:
                columns = zip(*([count * word for word in one.all()] for one, count in group), strict=True)
                sums = [sum(column) for column in columns]
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
        groups: dict[object, list[int]] = {}  # by axis; an operand that batches set by itself
        for column, slot in enumerate(slots):
            one = self._found[slot]
            groups.setdefault(("set", slot) if isinstance(one, Ruled) else one.axis, []).append(column)
        listed: list[list[list[int]]] = []  # of each group for each slot its words
        count = 1
        for columns in groups.values():
            found = [self._found[slots[column]] for column in columns]
            straight = ends and not any(isinstance(one, Tabled) for one in found)
            count *= 2 if straight else _count(found[0])
            if count > POINTS_MAX:
                return None
            listed.append([list(_ends(one)) if straight else _all(one) for one in found])
        places = np.indices([len(part[0]) for part in listed]).reshape(len(listed), count)
        words = np.zeros((count, len(slots)), np.int64)
        for columns, part, place in zip(groups.values(), listed, places, strict=True):
            words[:, columns] = np.array(part, np.int64)[:, place].T
        return np.unique(words, axis=0) if slots else words

    # ---- One operand ---------------------------------------------------------------------------------------------------

    def _of(self, parameter: Parameter) -> Straight | Tabled | Ruled:
        names = parameter.word.names
        swept = [name for name in names if name in self._axes]
        if not swept:
            return self._ruled(parameter)
        if len(names) > 1:
            raise ProgramError(
                f"{parameter.source.where}one operand depends on {' and '.join(names)} together; each may follow one swept "
                "input, or controlled ones: write a gate or a delay for each, such as rz(a) q; rz(b) q; for rz(a + b) q;"
            )
        assert self.grid is not None
        index = self._axes[swept[0]]
        axis = self.grid.axes[index]
        if parameter.word.affine and isinstance(axis.points, Line):
            ends = [self._at(parameter, axis, k) for k in (0, axis.count - 1)]
            step = (ends[1] - ends[0]) / max(axis.count - 1, 1)
            if parameter.unit in WHOLE and ends[0].denominator == 1 and step.denominator != 1:
                self._whole(parameter, axis, 1, ends[0] + step)
            words = [self._word(parameter, axis, k, end) for k, end in zip((0, axis.count - 1), ends, strict=True)]
            if parameter.unit != "phase" or all(INT64[0] <= word <= INT64[1] for word in words):
                return Straight(index, words[0], words[1], axis.count)
        if axis.count > TABLE_MAX:
            raise ProgramError(
                f"{parameter.source.where}{axis.count} points of {axis.name} need a table of as many words here; {TABLE_MAX} are possible: "
                "take fewer points, or an angle within half a turn"
            )
        words = [self._word(parameter, axis, k, self._at(parameter, axis, k)) for k in range(axis.count)]
        return Tabled(index, tuple(signed64(word) if parameter.unit == "phase" else word for word in words))

    def _at(self, parameter: Parameter, axis: Axis, k: int) -> Fraction:
        try:
            return parameter.word.at({axis.name: axis.at(k)})
        except ProgramError as error:
            value = as_float(axis.exact(k))
            raise ProgramError(f"{parameter.source.where}{error} at {axis.name} = {value:.12g} (point {k})") from error

    def _whole(self, parameter: Parameter, axis: Axis, k: int, value: Fraction) -> int:
        """Return a duration's ticks, or a whole number."""
        near = round(value)
        if value != near and (isinstance(axis.points, Line) or abs(value - near) > FLOAT_ERROR * abs(value)):
            told = f"{float(value):.12g}"
            told = (
                f"duration is {told} ticks; durations are whole ticks"
                if parameter.unit == "ticks"
                else f"whole number is {told}"
            )
            raise ProgramError(
                f"{parameter.source.where}at {axis.name} = {as_float(axis.exact(k)):.12g} (point {k} of {axis.count}) this {told}: "
                "choose first, last and number of points so, or give values(...)"
            )
        return near

    def _word(self, parameter: Parameter, axis: Axis, k: int, value: Fraction) -> int:
        """Return the word of a value; ProgramError where the kernel or the line cannot take it."""
        word = self._whole(parameter, axis, k, value) if parameter.unit in WHOLE else round(value)
        low, high = RANGES.get(parameter.unit, (None, None))
        if low is not None and high is not None and not low <= word <= high:
            at = f"at {axis.name} = {as_float(axis.exact(k)):.12g} (point {k} of {axis.count})"
            raise ProgramError(f"{parameter.source.where}{at} {_beyond(parameter.unit, word)}")
        return word

    def _ruled(self, parameter: Parameter) -> Ruled:
        names = parameter.word.names
        if not parameter.word.affine:
            raise ProgramError(
                f"{parameter.source.where}{' and '.join(names)} are set by a controller and must enter affinely, as in 2*a + 1; "
                "here they do not"
            )
        where = parameter.source.where
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
                f"{where}at the bounds of {' and '.join(names)}, which a controller sets, {_beyond(parameter.unit, worst)}"
            )
        return Ruled(offset, factors, *words)

    def _value(self, name: str, number: int) -> Value:
        return Duration(Fraction(number)) if name in self._durations else Exact(Fraction(number))


def _count(one: Straight | Tabled | Ruled) -> int:
    """Return how many words an operand has."""
    match one:
        case Straight(length=length):
            return length
        case Tabled(listed=listed):
            return len(listed)
        case Ruled(low=low, high=high):
            return high - low + 1


def _all(one: Straight | Tabled | Ruled) -> list[int]:
    """Return them."""
    return list(range(one.low, one.high + 1)) if isinstance(one, Ruled) else one.all()


def _ends(one: Straight | Tabled | Ruled) -> tuple[int, int]:
    """Return the first and the last of them."""
    match one:
        case Straight(start=start, stop=stop):
            return start, stop
        case Tabled(listed=listed):
            return listed[0], listed[-1]
        case Ruled(low=low, high=high):
            return low, high


def _beyond(unit: str, word: int) -> str:
    match unit:
        case "amplitude":
            return f"the pulse has {word / AMPLITUDE_ONE:.4g} of full scale; possible is -1 to 1: smaller angles, or two turns"
        case "ticks":
            return f"the duration is {word} ticks; possible is 0 to {RANGES['ticks'][1]}"
    return f"the {unit} is out of range"


# ---- For the kernel ----------------------------------------------------------------------------------------------------


class Encode(msgspec.Struct, frozen=True):
    """How values of controlled inputs become the words of an epoch: plain data, exact rationals as text."""

    units: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    factors: tuple[dict[str, str], ...] = ()


class Bound(msgspec.Struct, frozen=True):
    """What the kernel needs of a grid and of controlled inputs."""

    sweep: Sweep
    epoch_values: NDArray[np.int64]  # of epoch 0
    encode: Encode


def bind(parameters: Sequence[Parameter], reach: Reach, initial: Mapping[str, float] | None = None) -> Bound:
    """Return the kernel's slots for the operands of a sequence, in their order; `initial`: what controlled inputs begin with."""
    slots = np.zeros(len(parameters), SLOT_DTYPE)
    table: list[int] = []
    units: list[str] = []
    offsets: list[str] = []
    factors: list[dict[str, str]] = []
    for row, parameter in zip(slots, parameters, strict=True):
        match reach.found(parameter):
            case Straight(axis=axis, start=start, stop=stop):
                row["rule"], row["axis"], row["start"], row["stop"] = Rule.AFFINE, axis, start, stop
            case Tabled(axis=axis, listed=listed):
                row["rule"], row["axis"], row["start"] = Rule.TABLE, axis, len(table)
                table += listed
            case Ruled() as ruled:
                row["rule"], row["start"] = Rule.EPOCH, len(units)
                units.append(parameter.unit)
                offsets.append(str(ruled.offset))
                factors.append({name: str(factor) for name, factor in ruled.factors.items()})
    encode = Encode(tuple(units), tuple(offsets), tuple(factors))
    grid = reach.grid
    sweep = Sweep(
        grid.shape if grid else (),
        slots,
        np.array(table, np.int64),
        Order.SHOT if grid and grid.order == "shot" else Order.POINT,
        grid.shots_per_point if grid else 1,
    )
    return Bound(sweep, words(encode, initial or {}), encode)


def words(encode: Encode, values: Mapping[str, float]) -> NDArray[np.int64]:
    """Return the words of an epoch, int64 [values]. ValueError names the value whose word is out of range."""
    return np.array(encoder(encode)(values), np.int64)


def encoder(encode: Encode) -> Callable[[Mapping[str, float]], list[int]]:
    """Return `words` for many epochs: rationals are brought to whole numbers once, and each word is one division, exact as before."""
    lines = tuple(_Line.of(*parts) for parts in zip(encode.units, encode.offsets, encode.factors, strict=True))
    return lambda values: [line.word(values) for line in lines]


class _Line(NamedTuple):
    """A word as (offset + sum of factor * value) / scale, all whole numbers but the values."""

    unit: str
    offset: int
    factors: tuple[tuple[str, int], ...]
    scale: int

    @classmethod
    def of(cls, unit: str, offset: str, factors: Mapping[str, str]) -> _Line:
        exact = {name: Fraction(factor) for name, factor in factors.items()}
        scale = lcm(Fraction(offset).denominator, *(factor.denominator for factor in exact.values()))
        whole = tuple((name, int(factor * scale)) for name, factor in exact.items())
        return cls(unit, int(Fraction(offset) * scale), whole, scale)

    def word(self, values: Mapping[str, float]) -> int:
        """Return it, rounded to nearest, ties to even. ValueError out of range, and for what is no number; OverflowError for infinity."""
        ratios = [(factor, *values[name].as_integer_ratio()) for name, factor in self.factors]
        power = lcm(*(below for _, _, below in ratios))
        total = self.offset * power + sum(factor * above * (power // below) for factor, above, below in ratios)
        word, rest = divmod(total, self.scale * power)
        twice = 2 * rest - self.scale * power
        word += twice > 0 or (twice == 0 and word % 2 == 1)
        if self.unit == "phase":
            return signed64(word)
        low, high = RANGES.get(self.unit, INT64)
        if not low <= word <= high:
            given = ", ".join(f"{name} = {values[name]:.9g}" for name, _ in self.factors)
            raise ValueError(f"{given}: {_beyond(self.unit, word)}")
        return word
