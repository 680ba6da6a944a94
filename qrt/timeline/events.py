"""What a schedule says: the events of a shot, the sides of branches that they stand under, and their table.

Every event carries its facts in fields of their own, and words made of them: `operands` and `condition` are for `qrt check` alone and may
change with it. Ticks count from the shot's start; `walk` makes all of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec

from qrt.classical import outcome_of
from qrt.timeline.graph import Graph
from qrt.types import Classical, Parameter, Source

COLUMNS = ("tick", "duration", "early", "sequencer", "event", "operands", "condition", "line", "source")

# Where an operation stands in its sequencer's block: index, then for each branch around it the side (0 then, 1 otherwise) and
# the index inside; for a box 0 and the index inside.
Path = tuple[int, ...]


class Step(NamedTuple):
    """One operation of one sequencer."""

    sequencer: str
    path: Path


class Branch(NamedTuple):
    """One side of a branch: that its condition holds, or that it does not."""

    number: int  # of the branch in the shot, from 1
    otherwise: bool  # the side on which it does not
    condition: Classical
    bits: tuple[str, ...]  # names of those that it needs
    text: str  # of the condition

    @property
    def outcome(self) -> int | None:
        """The outcome of the one bit on which this side is taken; None for a branch on anything else."""
        found = outcome_of(self.condition)
        return None if found is None else found[1] ^ self.otherwise

    @property
    def words(self) -> str:
        """What holds on this side, for a person: `c[0] == 1`."""
        if self.outcome is not None:
            return f"{self.bits[0]} == {self.outcome}"
        return f"!({self.text})" if self.otherwise else self.text


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a sequencer does at a tick of the shot, if the condition holds.

    `operands` and `condition` are words for a person; who needs what they say takes the fields behind them.
    """

    sequencer: str
    tick: int  # the earliest, of a shot with varied durations
    duration_ticks: int  # the shortest
    kind: str  # play, capture, wait, phase, frequency, sync, box, if, pad, write, assign, output; read: a wait for an operand's bits
    operands: str
    slack_ticks: (
        int | None
    )  # of what waits for outcomes, the least: own tick - tick at which they are ready: what one could bear unmoved
    condition: str  # "" always, else such as "c[0] == 1"
    source: Source
    branches: tuple[Branch, ...]  # what the condition says: the sides taken, outermost first
    envelope: str = ""  # of plays
    bit: str = ""  # that a capture or a write fills; "" none
    decides: int | None = None  # of an if: the number of its branch
    later_ticks: int = 0  # by how much the latest is behind the earliest
    longer_ticks: int = 0
    end_tick: int  # the latest
    path: Path = ()  # of the operation; of a pad: where one at the end of the padded block would stand
    instant: int = 0  # of the graph: the event's beginning
    outcome_instant: int = 0  # of what waits for outcomes: when they are ready; 0: it waits for none


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """An event that ends after it is due, or begins off the port's grid."""

    sequencer: str
    kind: str
    operands: str
    condition: str
    at_tick: int  # its end, the latest; its beginning if it is off the grid
    ticks: int  # by how much it is late where it is latest; to the next tick of the grid
    due: str  # what it is late for: the period, a box, the port's grid
    message: str  # all of it, for a person
    source: Source


class Pad(NamedTuple):
    """A wait of `ticks` + sum of count * varied duration, which is not negative at any point."""

    ticks: int
    varied: tuple[tuple[Parameter, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A shot as it will run, if nothing of it is late. Ticks count from the shot's start."""

    shot_ticks: int  # until the last cursor and the last capture have ended, at the latest
    period_ticks: int
    stretch_max: int  # periods that it may take beyond its own
    branch_ticks: Mapping[Step, int]  # at which what waits for outcomes goes on, where that is one tick
    join_ticks: Mapping[Step, int]  # at which the sides of a padded branch meet, or a box ends, where that is one tick
    pads: Mapping[Step, tuple[Pad, ...]]  # else: what `then` and `otherwise`, or the box, are padded by
    tone_indices: Mapping[
        Step, int | None
    ]  # of captures: the how-manieth readout tone of the qubit they see, if static
    late: tuple[Late, ...]  # by tick
    graph: Graph
    grid_ticks: int  # of the port
    tell: Callable[[], tuple[Event, ...]]  # makes the events

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The events, by tick."""
        return self.tell()


def format_timeline(timeline: Timeline) -> list[tuple[str, ...]]:
    """Return one row of texts per event, in the order of COLUMNS; ticks are ticks, `early` is empty but for branches.

    `100..2100`: from the earliest to the latest, or the shortest to the longest, of what varied durations move.
    """
    return [
        (
            span(event.tick, event.later_ticks),
            span(event.duration_ticks, event.longer_ticks),
            "" if event.slack_ticks is None else str(event.slack_ticks),
            event.sequencer,
            event.kind,
            event.operands,
            event.condition,
            str(event.source.line or ""),
            event.source.text,
        )
        for event in timeline.events
    ]


def span(low: int, more: int) -> str:
    """Return what something varies between, for a person."""
    return f"{low}..{low + more}" if more else str(low)
