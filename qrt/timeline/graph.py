"""What each tick of a shot comes from: instants, the edges between them, and the due times that they must hold.

The walk notes an instant at the start of each operation, where sequencers meet, where an outcome is ready, where the sides of a branch
join. An instant is the largest of what its edges say, so that a delay of one can be followed through all that comes after it,
which `slack` does. Varied durations stand in the edges, and make the instants after them move. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from qrt.timeline.ticks import Duration, Tick, Ticks


class Edge(msgspec.Struct, frozen=True, gc=False):
    """Not before `ticks` after an instant, on the next multiple of `grid`."""

    instant: int
    ticks: int | Duration = 0
    grid: int = 1


class Due(NamedTuple):
    """Ends that may not come later than `ticks` after an instant begins; the instant 0 is the shot's start."""

    words: str
    begin: int
    ticks: int | Duration
    ends: tuple[Edge, ...]


class Graph:
    """The instants of a shot in an order in which every edge leads forward. Instant 0 is the shot's start."""

    def __init__(self, ticks: Ticks) -> None:
        self.ticks = ticks
        self.at: list[Tick] = [0]  # of each instant
        self.edges: list[tuple[Edge, ...]] = [()]
        self.dues: list[Due] = []

    def add(self, *edges: Edge) -> int:
        """Return a new instant: the largest of what the edges say, of which there is at least one."""
        self.at.append(self.after(edges[0]) if len(edges) == 1 else self.ticks.largest(*map(self.after, edges)))
        self.edges.append(edges)
        return len(self.at) - 1

    def follow(self, instant: int, ticks: int | Duration) -> int:
        """Return a new instant, so much after one: `add` with one edge, which straight programs are made of."""
        at, known = self.at, self.at[instant]
        at.append(known + ticks if type(known) is int and type(ticks) is int else self.ticks.after(known, ticks))
        self.edges.append((Edge(instant, ticks),))
        return len(at) - 1

    def after(self, edge: Edge) -> Tick:
        """Return what an edge says."""
        tick, ticks = self.at[edge.instant], edge.ticks
        tick = tick + ticks if type(tick) is int and type(ticks) is int else self.ticks.after(tick, ticks)
        return tick if edge.grid == 1 else self.ticks.up(tick, edge.grid)

    def split(self, instant: int, count: int) -> Sequence[int]:
        """Return as many instants at the same tick, each of which can be delayed alone."""
        return [self.add(Edge(instant)) for _ in range(count)]
