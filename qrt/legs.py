"""The legs of a run: the shots between two settings of the instruments, what is held in them, and how they stand on record. Pure.

A run whose sweep has settings in it has a leg for each point of its outer axes (axes.py); an adaptive sweep has one for each point
that its generator yields. Every leg is armed by itself: instruments are set and have settled, and the kernel goes through the inner grid
once. All legs are one run: shots, ticks and rows count on, and the record is one. What is held in a leg are settings, as they were read
back, and inputs, which are operands of the program as any swept input is: so nothing is compiled between legs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.axes import Axis, Grid, from_document
from qrt.errors import RecordError
from qrt.qasm.expressions import Exact, as_float


class Leg(msgspec.Struct, frozen=True):
    """What is asked for in a leg."""

    index: int
    shot_first: int
    held: Mapping[str, Axis]  # settings and inputs, each an axis of one value, in the order of the sweep's names
    grid: Grid | None  # the kernel's; None: there is nothing to go through

    @property
    def asked(self) -> dict[str, float]:
        """The values of all that is held."""
        return {name: as_float(axis.exact(0)) for name, axis in self.held.items()}

    @property
    def text(self) -> str:
        """Say what is asked for."""
        return f"leg {self.index}, {', '.join(f'{name} = {value:.12g}' for name, value in self.asked.items())}"

    @property
    def settings(self) -> dict[str, float]:
        """Those of instruments."""
        return {name: value for name, value in self.asked.items() if self.held[name].setting is not None}


class PlayedLeg(NamedTuple):
    """A leg as it is on record."""

    shot_first: int
    values: Mapping[str, float]  # of a setting what was read back
    grid: Grid  # the kernel's


def legs_of(grid: Grid) -> Iterator[Leg]:
    """Yield the legs of a grid in the order in which they are played."""
    for index in range(grid.legs):
        held, inner = grid.leg(index)
        yield Leg(index, index * inner.shots, held, inner)


def leg_of(index: int, values: Mapping[str, Fraction | float], units: Mapping[str, str | None], shots: int) -> Leg:
    """Return the leg of a point of an adaptive sweep. units: of settings; None of an input, "s" of a duration's seconds."""
    held = [_axis(name, value, units[name]) for name, value in values.items()]
    grid = Grid((), "point", shots).with_held(held, ())
    return Leg(index, index * shots, {one.name: one for one in held}, grid)


def _axis(name: str, value: Fraction | float, unit: str | None) -> Axis:
    exact = Exact(value if isinstance(value, Fraction) else Fraction(repr(value)))
    setting = "." in name  # no input of a program has one in its name
    return Axis(name, (exact,), duration=not setting and unit == "s", setting=unit if setting else None)


# ---- On record ---------------------------------------------------------------------------------------------------------


def recorded_legs(
    sweep: Mapping[str, Any] | None, bodies: Iterable[Mapping[str, Any]], where: str
) -> tuple[PlayedLeg, ...]:
    """Return the legs that a start document's `sweep` and `leg` documents tell; none for a run without a sweep.

    A sweep of inputs alone is one leg, without a document. RecordError names `where` and what does not hold.
    """
    if not sweep:
        return ()
    try:
        told = list(bodies)
        if "adaptive" in sweep:
            units = {one["name"]: one["unit"] or None for one in sweep["adaptive"]}
            shots = int(sweep["shots_per_point"])
            legs: Iterable[Leg] = (
                leg_of(index, {name: float(one["asked"][name]) for name in units}, units, shots)
                for index, one in enumerate(told)
            )
        else:
            grid = from_document(sweep)
            assert grid is not None
            if not grid.outer:
                return (PlayedLeg(0, {}, grid),)
            legs = legs_of(grid)
        found = []
        for leg, one in zip(legs, told, strict=False):  # of a run that was cut there are fewer documents
            assert leg.grid is not None
            if (one["leg"], one["first_shot"]) != (leg.index, leg.shot_first):
                raise RecordError(
                    f"{where}: leg {one['leg']} from shot {one['first_shot']} on, where leg {leg.index} is due"
                )
            values = {name: float(one["values"][name]) for name in leg.held}
            found.append(PlayedLeg(leg.shot_first, values, leg.grid))
        return tuple(found)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{where}: legs of another version: {error!r}") from error


def leg_at(legs: Sequence[PlayedLeg], shot: int) -> PlayedLeg:
    """Return the leg that a shot belongs to."""
    firsts = [one.shot_first for one in legs]
    return legs[int(np.searchsorted(firsts, shot, side="right")) - 1]


def values_of(legs: Sequence[PlayedLeg], shots: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return what each name of a sweep is in these shots, ascending: float64 [shots]."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    ends = [one.shot_first for one in legs[1:]] + [np.iinfo(np.int64).max]
    for one, end in zip(legs, ends, strict=True):
        first, last = np.searchsorted(shots, (one.shot_first, end))
        own = shots[first:last]
        each = one.grid.shots_per_point if one.grid.order == "point" else 1
        places = np.unravel_index(own // each % one.grid.points, one.grid.shape) if one.grid.axes else ()
        parts = {name: np.full(len(own), value) for name, value in one.values.items()}
        for axis, place in zip(one.grid.axes, places, strict=True):
            parts |= {column.name: column.floats()[place] for column in axis.together if column.name not in parts}
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
    return {name: np.concatenate(parts) for name, parts in found.items()}
