"""How much later each event of a shot could begin without making anything late, and which due time says so.

With instants x, edges f and the delay d of one event that begins at instant u, every instant of the shot is max(t_x, P_x + d), where P_x
is the longest way from u to x: exact for each d that is a multiple of the port's grid, since edges commute with such a shift. So a due
time L after the instant b that holds for an end e is kept while

    P_e + d <= max(t_b, P_b + d) + L

which is d <= t_b + L - P_e, or always, if b moves along and P_e - P_b <= L. The smallest of these bounds, on whole steps of the grid, is
the event's slack: delayed by it nothing is late, by one step more something is. It is negative for what would have to come earlier.
Every static path is in the graph at once: the sides of a branch join at the later one, so that a tick holds on all of them.

Where durations vary, an event's slack is the smallest that it has at any point. This is looked at point by point, the durations' words
together in each combination that they have, up to POINTS_MAX of them. Beyond, the corners suffice if the period is the only due time: b is
the shot's start then, and d <= L - P_e bends downwards, for P_e is the largest of sums of durations. A box begins at a tick that moves
too, its slack may be smallest anywhere between, and none is given: `due` says UNKNOWN.

Where all durations are known, on a grid of one tick, and every due time begins with the shot, b never moves: then one walk backwards gives
the latest tick of each instant, in time with the edges. All else follows each event to each instant; beyond CELLS_MAX of
such pairs none is given, and `due` says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.timeline.events import Timeline
from qrt.timeline.graph import Due, Edge, Graph
from qrt.timeline.ticks import POINTS_MAX, Duration, Tick

NEVER = -(1 << 62)  # "no way leads there", and so far below any tick that no shift brings it near one
FREE = 1 << 61  # no due time holds
UNKNOWN = f"not known: varied durations come together in more than {POINTS_MAX} ways"
TOO_MANY = "not known: too many events to follow each to all that comes after it"
CELLS_MAX = 1 << 28  # ten seconds or so
COLUMNS = (
    2048  # delays at points that are followed at once: bounds the memory, 8 COLUMNS bytes for each instant of the shot
)

Ticks = NDArray[np.int64]


class Slack(NamedTuple):
    """How many ticks later something could begin; None: as late as one likes, or UNKNOWN. `due` names what binds."""

    ticks: int | None
    due: str


class _Points(NamedTuple):
    """A graph at some points: the words of its varied durations [points] and the ticks [instants, points]."""

    graph: Graph
    words: Mapping[int, Ticks]
    ticks: Ticks

    def duration(self, ticks: int | Duration) -> int | Ticks:
        """Return a duration, [points] if it varies."""
        return ticks if isinstance(ticks, int) else self.words[self.graph.ticks.reach.slot(ticks)]

    def after(self, edge: Edge, ticks: Ticks) -> Ticks:
        """Return what an edge says if its instant is at these ticks [..., points]; NEVER stays."""
        moved = ticks + self.duration(edge.ticks)
        return np.where(ticks > NEVER, moved if edge.grid == 1 else -(-moved // edge.grid) * edge.grid, NEVER)


def event_slacks(timeline: Timeline) -> list[Slack]:
    """Return the slack of each event's beginning, in the order of the timeline's events."""
    return slacks(timeline, [event.instant for event in timeline.events])


def outcome_slacks(timeline: Timeline) -> list[Slack]:
    """Return for each event that waits for outcomes how much later these could be ready, in the order of the timeline's events."""
    return slacks(timeline, [event.outcome_instant for event in timeline.events if event.outcome_instant])


def slacks(timeline: Timeline, instants: Sequence[int]) -> list[Slack]:
    """Return the slack of each of these instants."""
    wanted, graph = sorted(set(instants)), timeline.graph
    bounds: Ticks = np.full(len(wanted), FREE, np.int64)
    binding = np.full(len(wanted), -1)
    slots = _slots(graph)
    if not slots and _is_fixed(graph):
        return _backwards(timeline, instants)
    words = _words(graph, slots)
    if words is None:
        return [Slack(None, UNKNOWN)] * len(instants)
    if len(graph.at) * len(wanted) * len(words) > CELLS_MAX:
        return [Slack(None, TOO_MANY)] * len(instants)
    for points in _pieces(graph, slots, words):
        step = max(COLUMNS // points.ticks.shape[1], 1)
        for first in range(0, len(wanted), step):
            chunk = slice(first, first + step)
            ways = _longest_ways(points, wanted[chunk])
            for number, due in enumerate(graph.dues):
                bound = _bound(points, due, ways).min(axis=-1)
                binding[chunk][bound < bounds[chunk]] = number
                bounds[chunk] = np.minimum(bounds[chunk], bound)
    steps = bounds // timeline.grid_ticks * timeline.grid_ticks
    found = {
        instant: Slack(None if bound >= FREE else ticks, graph.dues[number].words if number >= 0 else "")
        for instant, bound, ticks, number in zip(wanted, bounds.tolist(), steps.tolist(), binding.tolist(), strict=True)
    }
    return [found[instant] for instant in instants]


def _is_fixed(graph: Graph) -> bool:
    """Say whether due times begin with the shot and no edge waits for a grid; durations are known."""
    edges = itertools.chain(*graph.edges, *(due.ends for due in graph.dues))
    return all(due.begin == 0 for due in graph.dues) and all(edge.grid == 1 for edge in edges)


def _backwards(timeline: Timeline, instants: Sequence[int]) -> list[Slack]:
    """Return the slack of each of these instants, from the latest tick that each may have; the shot's start takes its due times along."""
    graph, none = timeline.graph, len(timeline.graph.dues)
    latest: list[tuple[int, int]] = [(FREE, none)] * len(graph.at)  # ticks, and the number of the due time that says so
    for number, due in enumerate(graph.dues):
        for edge in due.ends:
            latest[edge.instant] = min(latest[edge.instant], (_known(due.ticks) - _known(edge.ticks), number))
    for instant in range(len(latest) - 1, 0, -1):
        tick, number = latest[instant]
        for edge in graph.edges[instant] if number < none else ():
            latest[edge.instant] = min(latest[edge.instant], (tick - _known(edge.ticks), number))
    latest[0], grid = (FREE, none), timeline.grid_ticks
    slacks = []
    for instant in instants:
        tick, number = latest[instant]
        words = graph.dues[number].words if number < none else ""
        slacks.append(Slack((tick - _known(graph.at[instant])) // grid * grid if words else None, words))
    return slacks


def _known(ticks: Tick | Duration) -> int:
    assert isinstance(ticks, int)
    return ticks


def _slots(graph: Graph) -> list[int]:
    """Return the slots of all durations that vary."""
    durations = [edge.ticks for edges in graph.edges for edge in edges] + [due.ticks for due in graph.dues]
    return sorted({graph.ticks.reach.slot(one) for one in durations if not isinstance(one, int)})


def _words(graph: Graph, slots: Sequence[int]) -> Ticks | None:
    """Return the words [points, slots] at points of which one has the smallest slack; None if there are too many."""
    points = graph.ticks.reach.points(slots)
    if points is None and all(due.begin == 0 and isinstance(due.ticks, int) for due in graph.dues):
        points = graph.ticks.reach.corners(slots)
    return points


def _pieces(graph: Graph, slots: Sequence[int], words: Ticks) -> Iterator[_Points]:
    """Yield the graph at all points, at most COLUMNS of them at once."""
    for first in range(0, len(words), COLUMNS):
        part = words[first : first + COLUMNS]
        points = _Points(
            graph,
            dict(zip(slots, part.T, strict=True)),
            np.full((len(graph.at), len(part)), NEVER, np.int64),
        )
        points.ticks[0] = 0
        for instant, edges in enumerate(graph.edges):
            for edge in edges:
                np.maximum(
                    points.ticks[instant], points.after(edge, points.ticks[edge.instant]), out=points.ticks[instant]
                )
        yield points


def _longest_ways(points: _Points, instants: Sequence[int]) -> Ticks:
    """Return P [instants of the shot, delayed ones, points]: the tick to which each delayed one alone holds an instant, else NEVER."""
    graph, count = points.graph, points.ticks.shape[1]
    ways: Ticks = np.full((len(graph.at), len(instants), count), NEVER, np.int64)
    column = {instant: index for index, instant in enumerate(instants)}
    for instant, edges in enumerate(graph.edges[instants[0] :], instants[0]):
        for edge in edges:
            if edge.instant >= instants[0]:
                np.maximum(ways[instant], points.after(edge, ways[edge.instant]), out=ways[instant])
        if instant in column:
            ways[instant, column[instant]] = points.ticks[instant]
    return ways


def _bound(points: _Points, due: Due, ways: Ticks) -> Ticks:
    """Return the largest delays [delayed ones, points] with which the due time is kept."""
    begin, lasting = ways[due.begin], points.duration(due.ticks)
    end_at: Ticks = points.ticks[due.begin] + lasting
    ends = [points.after(edge, points.ticks[edge.instant]) for edge in due.ends]
    late = np.any([end > end_at for end in ends], axis=0)
    bound: Ticks = np.full(ways.shape[1:], FREE, np.int64)
    for edge in due.ends:
        end = points.after(edge, ways[edge.instant])
        moves_along = (begin > NEVER) & ((end - begin <= lasting) | late)
        binds = (end > NEVER) & ~moves_along
        bound = np.where(binds, np.minimum(bound, end_at - end), bound)
    return bound
