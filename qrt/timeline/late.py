"""What is late in a shot: events that end after the period or after a box, and those that begin off the port's grid.

Each is told with its place, by how many ticks, and for what. Nothing stops here: `survey` lists them, `schedule` refuses the first.
"""

from __future__ import annotations

from collections.abc import Iterable

from qrt.timeline.events import Event, Late
from qrt.types import PortLimits


def past_period(events: Iterable[Event], shot_ticks: int, period: int) -> list[Late]:
    """Return the events that end after the period."""
    due = f"the period of {period} ticks"
    return [
        _late(
            event,
            _end(event),
            _end(event) - period,
            due,
            f"the shot takes {shot_ticks} ticks, {shot_ticks - period} more than its period of {period} (timing.shot_period_ns); "
            f"the first event past it is {_named(event)}, which ends at tick {_end(event)}",
        )
        for event in sorted(events, key=_end)
        if _end(event) > period
    ]


def past_box(events: Iterable[Event], box: str, begin: int, end: int) -> list[Late]:
    """Return the events in a box that end after it."""
    return [
        _late(
            event,
            _end(event),
            _end(event) - end,
            box,
            f"{_named(event)} ends at tick {_end(event)}, {_end(event) - end} ticks after the end of {box}, which has {end - begin} ticks "
            f"from tick {begin} on: give it at least {_end(event) - begin}",
        )
        for event in sorted(events, key=_end)
        if _end(event) > end
    ]


def off_grid(event: Event, what: str, limits: PortLimits) -> list[Late]:
    """Return the event if it begins off the port's grid, with the nearest two ticks that are on it."""
    grid = limits.granularity_ticks
    if not event.tick % grid:
        return []
    below = event.tick // grid * grid
    nearest = f"nearest are {below} and {below + grid}"
    message = f"{what} would start at tick {event.tick}; the port starts on multiples of {grid} ticks: {nearest}"
    return [_late(event, event.tick, below + grid - event.tick, f"the port's grid of {grid} ticks", message)]


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


def _end(event: Event) -> int:
    return event.tick + event.duration_ticks
