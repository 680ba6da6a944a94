"""What is late in a shot: events that end after the period or after a box, and those that begin off the port's grid.

Each is told with its place, by how many ticks, and for what; where durations vary, it is late if it is at any point, by as much as where it
is latest. Nothing stops here: `survey` lists them, `schedule` refuses the first.
"""

from __future__ import annotations

from collections.abc import Iterable

from qrt.errors import ProgramError
from qrt.timeline.events import Event, Late
from qrt.timeline.found import Found
from qrt.timeline.noted import Noted
from qrt.timeline.ticks import Tick, Ticks
from qrt.types import PortLimits, Pulses


def stretched(period: str, pulses: Pulses) -> str:
    """Return what a shot is due by, for a person."""
    return f"{period}, stretched by {pulses.stretch_max} more" if pulses.stretch_max else period


def past_period(found: Found, shot_ticks: int, period: int) -> list[Late]:
    """Return the events that end after the period, stretched as far as it may be."""
    pulses = found.pulses
    if shot_ticks <= period:
        return []
    due = stretched(f"the period of {pulses.period_ticks} ticks", pulses)
    its = f"its period of {pulses.period_ticks} (timing.shot_period_ns)"
    more = (
        f" and the {pulses.stretch_max} by which it may be stretched (timing.stretch_max)" if pulses.stretch_max else ""
    )
    needed = -(-shot_ticks // pulses.period_ticks) - 1
    events = [found.event(noted) for noted in found.noted if found.ticks.span(noted.end)[1] > period]
    return [
        _late(
            event,
            event.end_tick,
            event.end_tick - period,
            due,
            f"the shot takes {shot_ticks} ticks, {shot_ticks - period} more than {its}{more}; "
            f"the first event past it is {_named(event)}, which ends at tick {event.end_tick}: give it a longer period, or let it take "
            f"more than one (--stretch {needed})",
        )
        for event in sorted(events, key=lambda one: (one.end_tick, one.tick))
    ]


def past_box(found: Found, inside: Iterable[Noted], box: str, begin: Tick, end: Tick) -> list[Late]:
    """Return the events in a box that end after it."""
    late, ticks = [], found.ticks
    ahead_of = [(ticks.most_ahead(noted.end, end), noted) for noted in inside]
    events = [(ahead, noted.end, found.event(noted)) for ahead, noted in ahead_of if ahead > 0]
    for ahead, ended, event in sorted(events, key=lambda one: one[2].end_tick):
        lasting, needed = ticks.lasting(end, begin), ticks.most_ahead(ended, begin)
        advice = f"give it at least {needed}" if lasting[0] == lasting[1] else f"what is in it takes up to {needed}"
        if all(isinstance(tick, int) for tick in (ended, begin, end)):
            message = (
                f"{_named(event)} ends at tick {ended}, {ahead} ticks after the end of {box}, which has {lasting[0]} ticks "
                f"from tick {begin} on: {advice}"
            )
        else:
            having = f"{lasting[0]} ticks" if lasting[0] == lasting[1] else f"{lasting[0]} to {lasting[1]} ticks"
            message = (
                f"{_named(event)} ends up to {ahead} ticks after the end of {box}, which has {having}, where the varied durations are "
                f"worst: {advice}"
            )
        late.append(_late(event, event.end_tick, ahead, box, message))
    return late


def off_grid(ticks: Ticks, event: Event, tick: Tick, what: str, limits: PortLimits) -> list[Late]:
    """Return the event if it begins off the port's grid, with the nearest two ticks that are on it.

    Raises ProgramError if varied durations take it there: what comes after it has no ticks that could be told.
    """
    grid = limits.granularity_ticks
    if ticks.on_grid(tick, grid):
        return []
    if not isinstance(tick, int):
        raise ProgramError(
            f"{event.source.where}{what} would start off the port's grid of {grid} ticks at some points of the sweep: let every varied "
            f"duration before it, and the sum of all others, be a multiple of {grid} ticks"
        )
    below = tick // grid * grid
    nearest = f"nearest are {below} and {below + grid}"
    message = f"{what} would start at tick {tick}; the port starts on multiples of {grid} ticks: {nearest}"
    return [_late(event, tick, below + grid - tick, f"the port's grid of {grid} ticks", message)]


def _late(event: Event, at_tick: int, ticks: int, due: str, message: str) -> Late:
    return Late(
        sequencer=event.sequencer,
        kind=event.kind,
        operands=event.operands,
        condition=event.condition,
        at_tick=at_tick,
        ticks=ticks,
        due=due,
        message=message,
        source=event.source,
    )


def _named(event: Event) -> str:
    return f"{event.kind} {event.operands} on {event.sequencer}"
