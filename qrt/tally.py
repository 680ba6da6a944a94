"""Numbers on record against the same numbers computed again: how many, the largest deviation, the first beyond its tolerance. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

TOLERANCE: Final = 1e-9  # relative, of each number
SCALE_MIN: Final = (
    1e-3  # a number below it is taken as so large: it is the small difference of averages of order 1, which are rounded
)


class Deviation(msgspec.Struct, frozen=True):
    """One number, as recorded and as computed again."""

    name: str  # of the estimate or the controller
    batch: int  # after which it was published
    field: str
    recorded: int | float
    computed: int | float | None  # None: there is no such number
    relative: float

    @property
    def text(self) -> str:
        """Return it in words."""
        again = "not there again" if self.computed is None else f"computed again {self.computed!r}"
        where = f"{self.name}, batch {self.batch}: {self.field}"
        return f"{where}: recorded {self.recorded!r}, {again}: off by {self.relative:.2g}"


class Tally:
    """Counts the numbers that were compared, keeps the largest deviation and the first that is off."""

    def __init__(self) -> None:
        self.numbers = 0
        self.largest: Deviation | None = None
        self.off: Deviation | None = None

    def add(self, name: str, batch: int, field: str, recorded: float, computed: float | None) -> None:
        """Take one number into account."""
        self._add(Deviation(name, batch, field, recorded, computed, deviation(recorded, computed)), TOLERANCE)

    def exact(self, name: str, batch: int, field: str, recorded: int, computed: int | None) -> None:
        """Take one whole number into account, which is the same or off."""
        relative = deviation(recorded, computed)
        self._add(Deviation(name, batch, field, recorded, computed, relative), 0.0)

    def _add(self, one: Deviation, tolerance: float) -> None:
        self.numbers += 1
        if one.recorded == one.computed:
            return
        if self.largest is None or one.relative > self.largest.relative:
            self.largest = one
        if self.off is None and one.relative > tolerance:
            self.off = one


def deviation(recorded: float, computed: float | None) -> float:
    """Return by how much two numbers differ, relative to the larger; 1 where there is none."""
    if computed is None:
        return 1.0
    return abs(recorded - computed) / max(abs(recorded), abs(computed), SCALE_MIN)
