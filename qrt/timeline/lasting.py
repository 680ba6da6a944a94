"""Durations that outcomes decide, beside those that vary between shots: what all of them can be together.

To the proofs of a schedule both are the same: a duration that has some value of a set. Nothing is known of which of the sets' values come
together where outcomes decide, so every combination is taken for possible: what is proved holds, and a bound may be larger than need be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from qrt.timeline.ticks import POINTS_MAX, Duration, Reach
from qrt.types import Lasting, Parameter

Ends = Callable[[int], Iterable[int]]
T = TypeVar("T")
FIRST: Final = -1  # slot of the first such duration; the sweep's count from 0 on


class Together:
    """The reach of the varied operands with the durations that outcomes decide, each in a slot below 0."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._ticks: dict[int, tuple[int, ...]] = {}

    def slot(self, duration: Duration) -> int:
        """Return the slot of a duration or another varied operand."""
        if not isinstance(duration, Lasting):
            return self._reach.slot(duration)
        slot = FIRST - duration.number
        self._ticks[slot] = duration.ticks
        return slot

    def span(self, counts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """Return the least and the largest value that sum of count * word can have."""
        low, high = self._reach.span(tuple(one for one in counts if one[0] >= 0))
        for slot, count in counts:
            if slot < 0:
                ends = count * self._ticks[slot][0], count * self._ticks[slot][-1]
                low, high = low + min(ends), high + max(ends)
        return low, high

    def steps(self, slot: int, grid: int) -> bool:
        """Return whether a word is always a multiple of `grid`."""
        return self._reach.steps(slot, grid) if slot >= 0 else all(one % grid == 0 for one in self._ticks[slot])

    def points(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return the words of these slots in every combination, [combinations, slots]; None beyond POINTS_MAX."""
        return self._combined(slots, self._reach.points([slot for slot in slots if slot >= 0]), self._ticks.__getitem__)

    def corners(self, slots: Sequence[int]) -> NDArray[np.int64] | None:
        """Return those of them at one of which any sum is largest; None beyond POINTS_MAX."""
        swept = self._reach.corners([slot for slot in slots if slot >= 0])
        return self._combined(slots, swept, lambda slot: {self._ticks[slot][0], self._ticks[slot][-1]})

    def each(self, place: Parameter, made: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """Return what is made of the inputs at each of the points that a place counts."""
        return self._reach.each(place, made)

    def _combined(self, slots: Sequence[int], swept: NDArray[np.int64] | None, ticks: Ends) -> NDArray[np.int64] | None:
        own = [slot for slot in slots if slot < 0]
        if swept is None or not own:
            return swept
        choices = [sorted(ticks(slot)) for slot in own]
        count = len(swept) * int(np.prod([len(one) for one in choices], dtype=object))
        if count > POINTS_MAX:
            return None
        combinations = np.array(list(product(*choices)), np.int64).reshape(-1, len(own))
        columns = {slot: np.tile(combinations[:, place], len(swept)) for place, slot in enumerate(own)}
        others = [slot for slot in slots if slot >= 0]
        columns |= {slot: np.repeat(swept[:, place], len(combinations)) for place, slot in enumerate(others)}
        return np.stack([columns[slot] for slot in slots], axis=1)
