"""What a port can take at once: open captures, and full scale.

Two intervals that stand on different sides of one branch never happen together, and are not counted together; two branches of different
sequencers are taken to be independent, so that what is refused here might in a rare case have run, and never the reverse. In the same
sense intervals at varied ticks happen together unless it is certain at every point that they do not.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from qrt.errors import ProgramError
from qrt.timeline.ticks import Tick, Ticks
from qrt.types import PortLimits, Source

FULL_SCALE = 1.0 + 1e-9  # a sum of rounded amplitudes may end a hair above 1


Sides = tuple[tuple[int, int], ...]  # branches, outermost first: number and side


class Interval(msgspec.Struct, frozen=True, gc=False):
    """A stretch of ticks on a line or a converter."""

    tick: Tick
    end: Tick
    sides: Sides  # of the branches around it
    amplitude: float  # peak, of full scale; 0 for captures
    source: Source


def check_intervals(
    ticks: Ticks, captures: Sequence[Interval], plays: Mapping[str, Sequence[Interval]], limits: PortLimits
) -> None:
    """Raise ProgramError where more captures are open at once than the port holds, or plays add up beyond full scale."""
    for interval, most in most_together(ticks, captures, [1.0] * len(captures)):
        if round(most) > limits.outstanding_max:
            raise ProgramError(
                f"{interval.source.where}{round(most)} captures at once from tick {ticks.span(interval.tick)[0]}; the port holds "
                f"{limits.outstanding_max}"
            )
    for line, intervals in plays.items():
        if in_turn(intervals):
            continue
        for interval, most in most_together(ticks, intervals, [one.amplitude for one in intervals]):
            if most > FULL_SCALE:
                raise ProgramError(
                    f"{interval.source.where}plays on line {line!r} add up to {most:.4g} of full scale from tick "
                    f"{ticks.span(interval.tick)[0]}, and would clip; lower the amplitudes to a sum of at most 1"
                )


# ---- Together ------------------------------------------------------------------------------------------------------------


class _Side:
    """One side of a branch, or the shot, with what is open on it; `most`: of all that is inside, on the way with the most."""

    def __init__(self, around: _Side | None = None, branch: int = -1) -> None:
        self.around, self.branch = around, branch
        self.most = 0.0
        self.inside: dict[int, dict[int, _Side]] = {}  # branch -> side
        self.tops: dict[int, float] = {}  # branch -> the most of its sides

    def at(self, sides: Sides) -> _Side:
        """Return what is so far inside."""
        one = self
        for number, side in sides:
            both = one.inside.setdefault(number, {})
            one.tops.setdefault(number, 0.0)
            if side not in both:
                both[side] = _Side(one, number)
            one = both[side]
        return one

    def add(self, amount: float) -> None:
        """Open something here, or, with a negative amount, close it."""
        self.most += amount
        one = self
        while one.around is not None:
            around, before = one.around, one.around.tops[one.branch]
            top = max(side.most for side in around.inside[one.branch].values())
            if top == before:
                return
            around.tops[one.branch] = top
            around.most += top - before
            one = around

    def reached(self) -> float:
        """Return the most that can be open together with something here."""
        most, one = self.most, self
        while one.around is not None:
            most += one.around.most - one.around.tops[one.branch]
            one = one.around
        return most


def most_together(
    ticks: Ticks, intervals: Sequence[Interval], amounts: Sequence[float]
) -> Iterator[tuple[Interval, float]]:
    """Yield each interval, by tick, with the most that it and those that are open when it starts come to; of ties the later has both."""
    ranked = sorted(range(len(intervals)), key=lambda k: (ticks.span(intervals[k].tick), ticks.span(intervals[k].end)))
    ordered = [(intervals[k], amounts[k]) for k in ranked]
    if any(type(one.tick) is not int or type(one.end) is not int for one in intervals):
        for index, (one, amount) in enumerate(ordered):
            shot = _Side()
            for rank, (other, others) in enumerate(ordered):
                if rank != index and _can_be_open(ticks, one, other, after=rank > index):
                    shot.at(other.sides).add(others)
            yield one, amount + shot.at(one.sides).reached()
        return
    shot = _Side()
    ends: list[tuple[int, int]] = []  # of what is open, with its place in the order
    for index, (one, amount) in enumerate(ordered):
        while ends and ends[0][0] <= ticks.span(one.tick)[0]:
            closed, closing = ordered[heapq.heappop(ends)[1]]
            shot.at(closed.sides).add(-closing)
        side = shot.at(one.sides)
        yield one, amount + side.reached()
        side.add(amount)
        heapq.heappush(ends, (ticks.span(one.end)[0], index))


def _can_be_open(ticks: Ticks, one: Interval, other: Interval, *, after: bool) -> bool:
    """Say whether the other can be open when this one starts; of two that start together, the later listed is not yet."""
    lead = ticks.ahead(one.tick, other.tick)[1]
    return ticks.ahead(other.end, one.tick)[1] > 0 and (lead > 0 or (lead == 0 and not after))


# ---- One after another ---------------------------------------------------------------------------------------------------


class _Way:
    """One side of a branch, or the shot: until when anything on it, or on a way through what is inside it, plays."""

    def __init__(self, around: _Way | None, before: int) -> None:
        self.around = around
        self.before = before  # what it began behind: the end of all that may have come before it on any way here
        self.end = before
        self.inside: dict[tuple[int, int], _Way] = {}
        self.begun: dict[int, int] = {}  # branch -> the end of all before it


def in_turn(intervals: Sequence[Interval]) -> bool:
    """Say whether on every way through the branches each ends before the next begins, at fixed ticks, none beyond full scale: most lines.

    It takes them in the order of a sequencer's program, so that a line of several sequencers may be in turn without being seen so here.
    """
    shot = _Way(None, 0)
    sides: Sides = ()
    way = shot
    for one in intervals:
        tick, end = one.tick, one.end
        if type(tick) is not int or type(end) is not int or one.amplitude > FULL_SCALE:
            return False
        if one.sides is not sides:  # most follow another one on the same way
            sides, way = one.sides, shot
            for side in sides:
                inner = way.inside.get(side)
                if inner is None:
                    before = way.begun.setdefault(side[0], way.end)
                    inner = way.inside[side] = _Way(way, before)
                way = inner
        if tick < way.end:
            return False
        around: _Way | None = way
        while around is not None and around.end < end:
            around.end, around = end, around.around
    return True
