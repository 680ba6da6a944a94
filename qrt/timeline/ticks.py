"""Ticks that depend on varied durations: the largest of sums, exact for every value that the durations can have.

A cursor moves by constants and by varied waits, and where sequencers meet it becomes the largest of several: so a tick of the
shot is max over forms of (constant + sum of count * duration), and `Moving` holds these forms. Bounds are taken from `Reach`, which knows
which values the durations have together. A form is left out where another is at least as large at every point, and two ticks have a
constant gap where form for form they do; both are exact at every point, and at worst say nothing of two ticks that are related in a
less obvious way. `most_ahead` looks at each point where bounds could say too much. A tick without varied durations is an int, and costs
what an int costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from qrt.types import Lasting, Parameter

T = TypeVar("T")
FORMS_MAX: Final = (
    64  # of one tick; beyond, a program mixes more sequencers with varied waits than anybody could follow
)
POINTS_MAX: Final = 4096  # that are looked at one by one: a plane of 64 x 64 durations


class Form(NamedTuple):
    """constant + sum of count * duration, the durations named by their slots, ascending."""

    constant: int
    counts: tuple[tuple[int, int], ...] = ()

    def plus(self, other: Form, sign: int = 1) -> Form:
        """Return the sum of two, or their difference."""
        counts = dict(self.counts)
        for slot, count in other.counts:
            counts[slot] = counts.get(slot, 0) + sign * count
        kept = tuple(sorted((slot, count) for slot, count in counts.items() if count))
        return Form(self.constant + sign * other.constant, kept)


class Moving(NamedTuple):
    """The largest of its forms."""

    forms: tuple[Form, ...]


Tick = int | Moving
CONSTANT: Final = {int}  # the classes of ticks that do not move
Duration = Parameter | Lasting  # that is no constant


class Reach(Protocol):
    """What the varied operands of a shot are at the points that it is played at."""

    def slot(self, parameter: Any) -> int:
        """Return the slot of a parameter; those that are always equal share one. ProgramError for one that cannot be played."""

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the least and the largest value that sum of count * word has at any point."""

    def steps(self, slot: int, grid: int) -> bool:
        """Return whether the word is a multiple of `grid` at every point."""

    def points(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return the words of these slots at every point, each combination once, [points, slots]; None beyond POINTS_MAX."""

    def each(self, place: Parameter, made: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """Return what is made of the inputs at each of the points that a place counts."""

    def corners(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return those of these points at one of which any sum of count * word is largest, for each sum; None beyond POINTS_MAX."""


class Still:
    """The reach of a shot without varied operands."""

    def slot(self, parameter: Parameter) -> int:
        """Refuse: whoever varies an operand says what it can be."""
        raise AssertionError(f"{parameter.source.where}a varied operand, and no reach")

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the span of a sum of nothing."""
        assert not counts
        return 0, 0

    def steps(self, slot: int, grid: int) -> bool:
        """Return that nothing leaves the grid."""
        return True

    def points(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return the one point."""
        assert not slots
        return np.zeros((1, 0), np.int64)

    corners = points

    def each(self, place: Parameter, made: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """Refuse as `slot` does."""
        raise AssertionError(f"{place.source.where}{made}: a varied operand, and no reach")


class Ticks:
    """Arithmetic with ticks over one reach."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._durations: dict[int, Duration] = {}
        self._spans: dict[tuple[tuple[int, int], ...], tuple[int, int]] = {(): (0, 0)}

    def words(self, parameter: Parameter) -> tuple[int, int]:
        """Return the least and the largest word of a varied operand."""
        return self.reach.span(((self.reach.slot(parameter), 1),))

    def bounds(self, form: Form) -> tuple[int, int]:
        """Return the least and the largest value of a form."""
        if form.counts not in self._spans:
            self._spans[form.counts] = self.reach.span(form.counts)
        low, high = self._spans[form.counts]
        return form.constant + low, form.constant + high

    def after(self, tick: Tick, ticks: int | Duration) -> Tick:
        """Return the tick so much later."""
        if isinstance(tick, int) and isinstance(ticks, int):
            return tick + ticks
        more = self.form(ticks)
        return Moving(tuple(form.plus(more) for form in forms(tick)))

    def form(self, ticks: int | Duration) -> Form:
        """Return a duration as a form."""
        if isinstance(ticks, int):
            return Form(ticks)
        slot = self.reach.slot(ticks)
        self._durations.setdefault(slot, ticks)
        return Form(0, ((slot, 1),))

    def varied(self, form: Form) -> tuple[tuple[Duration, int], ...]:
        """Return the varied durations in a form, each with its count."""
        return tuple((self._durations[slot], count) for slot, count in form.counts)

    def up(self, tick: Tick, grid: int) -> Tick:
        """Return the first multiple of `grid` from a tick on, whose varied durations are multiples of it at every point."""
        if isinstance(tick, int):
            return -(-tick // grid) * grid
        return Moving(tuple(form._replace(constant=-(-form.constant // grid) * grid) for form in tick.forms))

    def largest(self, *ticks: Tick) -> Tick:
        """Return the largest of ticks: the forms that are not below another one at every point."""
        if set(map(type, ticks)) == CONSTANT:
            return max(ticks)
        kept: list[Form] = []
        for form in sorted({form for tick in ticks for form in forms(tick)}):
            if not any(self.bounds(form.plus(other, -1))[1] <= 0 for other in kept):
                kept = [other for other in kept if self.bounds(other.plus(form, -1))[1] > 0]
                kept.append(form)
        return kept[0].constant if len(kept) == 1 and not kept[0].counts else Moving(tuple(sorted(kept)))

    def span(self, tick: Tick) -> tuple[int, int]:
        """Return a bound from below and the largest value; the bound is met where every wait is shortest at one point."""
        if isinstance(tick, int):
            return tick, tick
        lows, highs = zip(*(self.bounds(form) for form in tick.forms), strict=True)
        return max(lows), max(highs)

    def ahead(self, later: Tick, earlier: Tick) -> tuple[int, int]:
        """Return bounds of later - earlier."""
        if isinstance(later, int) and isinstance(earlier, int):
            return later - earlier, later - earlier
        gaps = [[self.bounds(one.plus(other, -1)) for other in forms(earlier)] for one in forms(later)]
        return max(min(low for low, _ in row) for row in gaps), max(min(high for _, high in row) for row in gaps)

    def lasting(self, end: Tick, begin: Tick) -> tuple[int, int]:
        """Return bounds of end - begin, which is not negative; exact where it is one form."""
        form = difference(end, begin)
        low, high = self.ahead(end, begin) if form is None else self.bounds(form)
        return max(low, 0), max(high, 0)

    def most_ahead(self, later: Tick, earlier: Tick) -> int:
        """Return the largest value of later - earlier; more than that only where it is positive and the points are too many to see each."""
        most = self.ahead(later, earlier)[1]
        if most <= 0 or len(forms(earlier)) == 1:
            return most
        slots = sorted({slot for form in (*forms(later), *forms(earlier)) for slot, _ in form.counts})
        points = self.reach.points(slots)
        if points is None:
            return most
        words = dict(zip(slots, points.T, strict=True))
        return int((_at(later, words) - _at(earlier, words)).max())

    def on_grid(self, tick: Tick, grid: int) -> bool:
        """Return whether a tick is a multiple of `grid` at every point."""
        if isinstance(tick, int):
            return tick % grid == 0
        return all(
            form.constant % grid == 0 and all(self.reach.steps(slot, grid) for slot, _ in form.counts)
            for form in tick.forms
        )


def forms(tick: Tick) -> tuple[Form, ...]:
    """Return the forms of a tick."""
    return (Form(tick),) if isinstance(tick, int) else tick.forms


def difference(later: Tick, earlier: Tick) -> Form | None:
    """Return later - earlier if it is one form at every point, as far as the forms show; None if not."""
    if isinstance(later, int) and isinstance(earlier, int):
        return Form(later - earlier)
    ours, theirs = set(forms(later)), forms(earlier)
    if len(ours) != len(theirs):
        return None
    some = min(ours)
    found = (some.plus(other, -1) for other in theirs)
    return next((form for form in found if {other.plus(form) for other in theirs} == ours), None)


def gap(later: Tick, earlier: Tick) -> int | None:
    """Return later - earlier if it is one number at every point, as far as the forms show; None if not."""
    form = difference(later, earlier)
    return None if form is None or form.counts else form.constant


def _at(tick: Tick, words: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return a tick at each of the points at which the slots have these words."""
    zero = np.zeros(1, np.int64)
    sums = [form.constant + sum((count * words[slot] for slot, count in form.counts), zero) for form in forms(tick)]
    return np.asarray(np.max(np.broadcast_arrays(*sums), axis=0), np.int64)
