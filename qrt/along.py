"""Words of an operand along the axes of a grid: on a line, or one by one, and how those of several operands go together. Pure.

`Straight` and `Tabled` are what a grid decides of an operand, `over` brings one to more axes than its own, and `walked_as_one` says which
axes the kernel can only walk together. Which words an operand has is found in sweeps.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np


class Straight(NamedTuple):
    """Words on a line along an axis."""

    axis: int
    start: int
    stop: int
    length: int

    @property
    def axes(self) -> tuple[int, ...]:
        """The axis."""
        return (self.axis,)

    def all(self) -> list[int]:
        """Return all of them; whole, where they are ticks."""
        steps = max(self.length - 1, 1)
        return [round(Fraction(self.start * (steps - k) + self.stop * k, steps)) for k in range(self.length)]


class Tabled(NamedTuple):
    """Words one by one along an axis, or over the product of several, the last one fastest."""

    axes: tuple[int, ...]  # ascending
    listed: tuple[int, ...]

    def all(self) -> list[int]:
        """Return all of them."""
        return list(self.listed)


Found = Straight | Tabled  # what the points of a grid decide


def over(one: Found, axes: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Return an operand's words at each point of the product of some axes, its own among them, the last one fastest. shape: of the grid."""
    if tuple(axes) == one.axes:
        return one.all()
    own = np.array(one.all(), object).reshape([shape[axis] if axis in one.axes else 1 for axis in axes])
    words: list[int] = np.broadcast_to(own, [shape[axis] for axis in axes]).ravel().tolist()
    return words


def walked_as_one(found: Iterable[Found], axis_count: int) -> list[range]:
    """Return which axes the kernel walks as one, all of them in their order: those that one operand follows, and what lies between."""
    groups = [range(axis, axis + 1) for axis in range(axis_count)]
    for one in found:
        first, last = one.axes[0], one.axes[-1]
        met = [group for group in groups if group.start <= last and first < group.stop]
        if len(met) > 1:
            place = groups.index(met[0])
            groups[place : place + len(met)] = [range(met[0].start, met[-1].stop)]
    return groups


def apart(found: Iterable[Found]) -> list[list[int]]:
    """Return the axes that operands follow, those together that one of them follows together; ascending."""
    groups: list[set[int]] = []
    for one in found:
        met = [group for group in groups if group.intersection(one.axes)]
        groups = [group for group in groups if group not in met] + [set(one.axes).union(*met)]
    return [sorted(group) for group in groups]


def both_ends(one: Found) -> tuple[int, int]:
    """Return the first and the last of its words."""
    return (one.start, one.stop) if isinstance(one, Straight) else (one.listed[0], one.listed[-1])
