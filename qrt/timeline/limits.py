"""What a port can take at once: open captures, and full scale.

Two intervals that stand on different sides of one branch never happen together, and are not counted together; two branches of different
sequencers are taken to be independent, so that what is refused here might in a rare case have run, and never the reverse. In the same
sense intervals at varied ticks happen together unless it is certain at every point that they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qrt.errors import ProgramError
from qrt.timeline.ticks import Tick, Ticks
from qrt.types import PortLimits, Source

FULL_SCALE = 1.0 + 1e-9  # a sum of rounded amplitudes may end a hair above 1


Sides = tuple[tuple[int, int], ...]  # branches, outermost first: number and side


class Interval(NamedTuple):
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
    for interval, others in _overlaps(ticks, captures):
        count = round(1 + _most([(other.sides, 1.0) for other in others]))
        if count > limits.outstanding_max:
            raise ProgramError(
                f"{interval.source.where}{count} captures at once from tick {ticks.span(interval.tick)[0]}; the port holds "
                f"{limits.outstanding_max}"
            )
    for line, intervals in plays.items():
        if _in_turn(intervals):
            continue
        for interval, others in _overlaps(ticks, intervals):
            total = interval.amplitude + _most([(other.sides, other.amplitude) for other in others])
            if total > FULL_SCALE:
                raise ProgramError(
                    f"{interval.source.where}plays on line {line!r} add up to {total:.4g} of full scale from tick "
                    f"{ticks.span(interval.tick)[0]}, and would clip; lower the amplitudes to a sum of at most 1"
                )


def _most(others: Sequence[tuple[Sides, float]]) -> float:
    """Return the most that intervals can be together: of those on different sides of one branch, the side with more."""
    total = 0.0
    branches: dict[int, dict[int, list[tuple[Sides, float]]]] = {}
    for sides, amount in others:
        if not sides:
            total += amount
            continue
        (number, side), *inside = sides
        branches.setdefault(number, {}).setdefault(side, []).append((tuple(inside), amount))
    return total + sum(max(_most(one) for one in both.values()) for both in branches.values())


class _Way:
    """One side of a branch, or the shot: until when anything on it, or on a way through what is inside it, plays."""

    def __init__(self, around: _Way | None, before: int) -> None:
        self.around = around
        self.before = before  # what it began behind: the end of all that may have come before it on any way here
        self.end = before
        self.inside: dict[tuple[int, int], _Way] = {}
        self.begun: dict[int, int] = {}  # branch -> the end of all before it


def _in_turn(intervals: Sequence[Interval]) -> bool:
    """Say whether on every way through the branches each ends before the next begins, at fixed ticks, none beyond full scale: most lines.

    It takes them in the order of a sequencer's program, so that a line of several sequencers may be in turn without being seen so here.
    """
    shot = _Way(None, 0)
    for one in intervals:
        if type(one.tick) is not int or type(one.end) is not int or one.amplitude > FULL_SCALE:
            return False
        way = shot
        for side in one.sides:
            inner = way.inside.get(side)
            if inner is None:
                before = way.begun.setdefault(side[0], way.end)
                inner = way.inside[side] = _Way(way, before)
            way = inner
        if one.tick < way.end:
            return False
        inner = way
        while inner is not None and inner.end < one.end:
            inner.end, inner = one.end, inner.around
    return True


def _overlaps(ticks: Ticks, intervals: Sequence[Interval]) -> list[tuple[Interval, list[Interval]]]:
    """Return each interval with those that are open when it starts, ties once, and that it can happen together with."""
    ordered = sorted(intervals, key=lambda one: (ticks.span(one.tick), ticks.span(one.end)))
    if any(not isinstance(one.end, int) or not isinstance(one.tick, int) for one in ordered):
        return [
            (
                one,
                [
                    other
                    for rank, other in enumerate(ordered)
                    if rank != index
                    and not _exclusive(one, other)
                    and _can_be_open(ticks, one, other, after=rank > index)
                ],
            )
            for index, one in enumerate(ordered)
        ]
    result: list[tuple[Interval, list[Interval]]] = []
    open_now: list[Interval] = []
    for interval in ordered:
        open_now = [other for other in open_now if ticks.ahead(other.end, interval.tick)[1] > 0]
        result.append((interval, [other for other in open_now if not _exclusive(interval, other)]))
        open_now.append(interval)
    return result


def _can_be_open(ticks: Ticks, one: Interval, other: Interval, *, after: bool) -> bool:
    """Say whether the other can be open when this one starts; of two that start together, the later listed is not yet."""
    lead = ticks.ahead(one.tick, other.tick)[1]
    return ticks.ahead(other.end, one.tick)[1] > 0 and (lead > 0 or (lead == 0 and not after))


def _exclusive(one: Interval, other: Interval) -> bool:
    """Say whether the two stand on different sides of one branch."""
    sides = dict(one.sides)
    return any(number in sides and sides[number] != side for number, side in other.sides)
