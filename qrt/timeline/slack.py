"""How much later each event of a shot could begin without making anything late, and which due time says so.

With instants x, edges f and the delay d of one event that begins at instant u, every instant of the shot is max(t_x, P_x + d), where P_x
is the longest way from u to x: exact for each d that is a multiple of the port's grid, since edges commute with such a shift. So a due
time L after the instant b that holds for an end e is kept while

    P_e + d <= max(t_b, P_b + d) + L

which is d <= t_b + L - P_e, or always, if b moves along and P_e - P_b <= L. The smallest of these bounds, on whole steps of the grid, is
the event's slack: delayed by it nothing is late, by one step more something is. It is negative for what would have to come earlier.
Every static path is in the graph at once: the sides of a branch join at the later one, so that a tick holds on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.timeline.events import Timeline
from qrt.timeline.graph import Due, Edge

NEVER = -(1 << 62)  # "no way leads there", and so far below any tick that no shift brings it near one
FREE = 1 << 61  # no due time holds
CHUNK = 256  # instants whose delays are followed at once: bounds the memory, 8 CHUNK bytes for each instant of the shot

Ticks = NDArray[np.int64]


class Slack(NamedTuple):
    """How many ticks later something could begin; None: as late as one likes. `due` names what binds."""

    ticks: int | None
    due: str


def event_slacks(timeline: Timeline) -> list[Slack]:
    """Return the slack of each event's beginning, in the order of the timeline's events."""
    return slacks(timeline, [event.instant for event in timeline.events])


def outcome_slacks(timeline: Timeline) -> list[Slack]:
    """Return for each branch how much later its outcomes could be ready, in the order of the timeline's events."""
    return slacks(timeline, [event.outcome_instant for event in timeline.events if event.kind == "if"])


def slacks(timeline: Timeline, instants: Sequence[int]) -> list[Slack]:
    """Return the slack of each of these instants."""
    wanted = sorted(set(instants))
    found: dict[int, Slack] = {}
    for first in range(0, len(wanted), CHUNK):
        chunk = wanted[first : first + CHUNK]
        found.update(zip(chunk, _slacks(timeline, chunk), strict=True))
    return [found[instant] for instant in instants]


def _slacks(timeline: Timeline, instants: Sequence[int]) -> list[Slack]:
    graph = timeline.graph
    ways = _longest_ways(timeline, instants)
    bounds: Ticks = np.full(len(instants), FREE, np.int64)
    binding = np.full(len(instants), -1)
    for number, due in enumerate(graph.dues):
        bound = _bound(timeline, due, ways)
        binding[bound < bounds] = number
        bounds = np.minimum(bounds, bound)
    words = [graph.dues[number].words if number >= 0 else "" for number in binding.tolist()]
    steps = bounds // timeline.grid_ticks * timeline.grid_ticks
    return [
        Slack(None if free else ticks, due)
        for free, ticks, due in zip((bounds >= FREE).tolist(), steps.tolist(), words, strict=True)
    ]


def _longest_ways(timeline: Timeline, instants: Sequence[int]) -> Ticks:
    """Return P [instants of the shot, delayed ones]: the tick to which each delayed one alone holds an instant, NEVER where it does not."""
    graph = timeline.graph
    ways: Ticks = np.full((len(graph.ticks), len(instants)), NEVER, np.int64)
    column = {instant: index for index, instant in enumerate(instants)}
    for instant, edges in enumerate(graph.edges):
        for edge in edges:
            np.maximum(ways[instant], _after(edge, ways[edge.instant]), out=ways[instant])
        if instant in column:
            ways[instant, column[instant]] = graph.ticks[instant]
    return ways


def _after(edge: Edge, ways: Ticks) -> Ticks:
    return np.where(ways > NEVER, -(-(ways + edge.ticks) // edge.grid) * edge.grid, NEVER)


def _bound(timeline: Timeline, due: Due, ways: Ticks) -> Ticks:
    """Return the largest delays with which the due time is kept."""
    begin, late = ways[due.begin], _is_late(timeline, due)
    bound: Ticks = np.full(ways.shape[1], FREE, np.int64)
    for edge in due.ends:
        end = _after(edge, ways[edge.instant])
        moves_along = (begin > NEVER) & ((end - begin <= due.ticks) | late)
        binds = (end > NEVER) & ~moves_along
        bound = np.where(binds, np.minimum(bound, timeline.graph.ticks[due.begin] + due.ticks - end), bound)
    return bound


def _is_late(timeline: Timeline, due: Due) -> bool:
    return timeline.graph.end(due) > timeline.graph.ticks[due.begin] + due.ticks
