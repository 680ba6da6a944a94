"""What each tick of a shot comes from: instants, the edges between them, and the due times that they must hold.

The walk notes an instant at the start of each operation, where sequencers meet, where an outcome is ready, where the sides of a branch
join. An instant is the largest of what its edges say, so that a delay of one can be followed through all that comes after it,
which `slack` does. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Edge(NamedTuple):
    """Not before `ticks` after an instant, on the next multiple of `grid`."""

    instant: int
    ticks: int = 0
    grid: int = 1

    def after(self, tick: int) -> int:
        """Return what the edge says if its instant is at the tick."""
        return -(-(tick + self.ticks) // self.grid) * self.grid


class Due(NamedTuple):
    """Ends that may not come later than `ticks` after an instant begins; the instant 0 is the shot's start."""

    words: str
    begin: int
    ticks: int
    ends: tuple[Edge, ...]


class Graph:
    """The instants of a shot in an order in which every edge leads forward. Instant 0 is the shot's start."""

    def __init__(self) -> None:
        self.ticks = [0]
        self.edges: list[tuple[Edge, ...]] = [()]
        self.dues: list[Due] = []

    def add(self, *edges: Edge) -> int:
        """Return a new instant: the largest of what the edges say, of which there is at least one."""
        self.ticks.append(max(edge.after(self.ticks[edge.instant]) for edge in edges))
        self.edges.append(edges)
        return len(self.ticks) - 1

    def end(self, due: Due) -> int:
        """Return the latest tick at which something ends that the due time holds for."""
        return max((edge.after(self.ticks[edge.instant]) for edge in due.ends), default=0)

    def split(self, instant: int, count: int) -> Sequence[int]:
        """Return as many instants at the same tick, each of which can be delayed alone."""
        return [self.add(Edge(instant)) for _ in range(count)]
