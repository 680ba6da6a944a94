"""Axes and grids as values: what a sweep goes through, exact, and how it stands in a document. Pure.

An `Axis` gives one name its values: an input of the program, or a setting of an instrument. Names that go along one dimension together
(`zip`) are one axis with others `beside` it. A `Grid` is the product of its axes, the last one fastest, with the order in which shots go
through it. Its axes are of two kinds: those of inputs alone are the kernel's (`inner`), and shots go through them without a pause; an axis
with a setting in it is walked by the host, and all of them come first (`outer`): a run has one leg for each of their points, and
everything of a leg is played before the next one is set up (legs.py). How sweeps are read from text and arrays is grids.py's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.qasm.expressions import Duration, Exact, Value, as_float

TABLE_MAX: Final = 1 << 14  # values of one axis that are not on a line, and words of one table

OrderName = Literal["point", "shot"]


class Line(NamedTuple):
    """Evenly spaced values."""

    first: Exact
    last: Exact
    length: int


class Axis(msgspec.Struct, frozen=True):
    """The values of one name; of a duration they are seconds."""

    name: str
    points: Line | tuple[Exact, ...]
    duration: bool = False
    setting: str | None = None  # of an instrument: its unit; None: an input of the program
    beside: tuple[Axis, ...] = ()  # as long, with nothing beside them: they go along with it, point by point

    @property
    def count(self) -> int:
        """How many there are."""
        return self.points.length if isinstance(self.points, Line) else len(self.points)

    @property
    def unit(self) -> str:
        """Of the values; empty for a plain number."""
        return self.setting if self.setting is not None else "s" * self.duration

    @property
    def together(self) -> tuple[Axis, ...]:
        """The axis and those beside it."""
        return (self, *self.beside)

    def exact(self, index: int) -> Exact:
        """Return one of them."""
        if not isinstance(self.points, Line):
            return self.points[index]
        first, last = self.points.first, self.points.last
        along = Fraction(index, max(self.points.length - 1, 1))
        return Exact(first.rational + (last.rational - first.rational) * along, first.pi + (last.pi - first.pi) * along)

    def at(self, index: int) -> Value:
        """Return one of them as the program's expressions take it."""
        value = self.exact(index)
        return Duration(value.rational) if self.duration else value

    def only(self, index: int) -> Axis:
        """Return the axis of one of its points, alone."""
        return Axis(self.name, (self.exact(index),), self.duration, self.setting)

    def floats(self) -> NDArray[np.float64]:
        """Return all of them, float64 [points]."""
        return np.array([as_float(self.exact(index)) for index in range(self.count)])


class Grid(msgspec.Struct, frozen=True):
    """The product of axes, the last one fastest, and how shots go through it. Axes with a setting come first."""

    axes: tuple[Axis, ...]
    order: OrderName
    shots_per_point: int  # of one pass
    averages: int = 1  # passes through all points; of a leg where there are several: one is played as a whole

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(axis.count for axis in self.axes)

    @property
    def points(self) -> int:
        """How many points there are."""
        return math.prod(self.shape)

    @property
    def shots(self) -> int:
        """How many shots all passes through all points have."""
        return self.points * self.shots_per_point * self.averages

    @property
    def names(self) -> tuple[str, ...]:
        """What varies: inputs and settings, in the order of the axes."""
        return tuple(one.name for axis in self.axes for one in axis.together)

    @property
    def outer(self) -> tuple[Axis, ...]:
        """The axes that the host walks: those with a setting in them."""
        return tuple(axis for axis in self.axes if any(one.setting is not None for one in axis.together))

    @property
    def legs(self) -> int:
        """How many points the outer axes have."""
        return math.prod(axis.count for axis in self.outer)

    def leg(self, index: int) -> tuple[dict[str, Axis], Grid]:
        """Return what the outer axes are at one of their points, each an axis of one value, and the kernel's grid there.

        Inputs on an outer axis are an axis of one point of that grid, so that they are operands as any swept input is.
        """
        places = np.unravel_index(index, [axis.count for axis in self.outer]) if self.outer else ()
        held = [one.only(int(place)) for axis, place in zip(self.outer, places, strict=True) for one in axis.together]
        inner = tuple(axis for axis in self.axes if axis not in self.outer)
        return {one.name: one for one in held}, self.with_held(held, inner)

    @property
    def of_inputs(self) -> Grid:
        """What inputs go through, settings left out: what a schedule must hold for."""
        kept = [[one for one in axis.together if one.setting is None] for axis in self.axes]
        alone = [[msgspec.structs.replace(one, beside=()) for one in axis] for axis in kept if axis]
        axes = tuple(msgspec.structs.replace(one[0], beside=tuple(one[1:])) for one in alone)
        return Grid(axes, self.order, self.shots_per_point, self.averages)

    def with_held(self, held: list[Axis], inner: tuple[Axis, ...]) -> Grid:
        """Return the kernel's grid where these have one value."""
        inputs = [one for one in held if one.setting is None]
        fixed = (msgspec.structs.replace(inputs[0], beside=tuple(inputs[1:])),) if inputs else ()
        return Grid((*fixed, *inner), self.order, self.shots_per_point, self.averages)


# ---- In documents ------------------------------------------------------------------------------------------------------


def to_document(grid: Grid) -> dict[str, Any]:
    """Return the grid as plain data for a `start` document; values of an axis are listed up to TABLE_MAX of them."""
    return {
        "axes": [{**_entry(axis), "beside": [_entry(one) for one in axis.beside]} for axis in grid.axes],
        "order": grid.order,
        "shots_per_point": grid.shots_per_point,
        "averages": grid.averages,
    }


def _entry(axis: Axis) -> dict[str, Any]:
    line = axis.points if isinstance(axis.points, Line) else None
    exact: list[Exact] = [line.first, line.last] if line else [axis.exact(index) for index in range(axis.count)]
    return {
        "name": axis.name,
        "kind": "duration" if axis.duration else "number" if axis.setting is None else "setting",
        "unit": axis.unit,
        "points": axis.count,
        "form": "linspace" if line else "values",
        "exact": [f"{value.rational}+{value.pi}*pi" for value in exact],
        "values": axis.floats().tolist() if axis.count <= TABLE_MAX else [],
    }


def from_document(document: Mapping[str, Any] | None) -> Grid | None:
    """Return the grid of a `start` document's field `sweep`; None where there was none."""
    if not document:
        return None
    axes = tuple(
        msgspec.structs.replace(_axis(one), beside=tuple(_axis(other) for other in one.get("beside", ())))
        for one in document["axes"]
    )
    return Grid(axes, document["order"], document["shots_per_point"], document.get("averages", 1))


def _axis(entry: Mapping[str, Any]) -> Axis:
    pairs = [text.removesuffix("*pi").split("+") for text in entry["exact"]]
    exact = [Exact(Fraction(rational), Fraction(multiple)) for rational, multiple in pairs]
    points = Line(exact[0], exact[1], entry["points"]) if entry["form"] == "linspace" else tuple(exact)
    kind = entry.get("kind", "duration" if entry["unit"] == "s" else "number")
    return Axis(entry["name"], points, kind == "duration", entry["unit"] if kind == "setting" else None)
