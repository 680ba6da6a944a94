"""What a schedule says: the events of a shot, the sides of branches that they stand under, and their table.

Every event carries its facts in fields of their own, and words made of them: `operands` and `condition` are for `qrt check` alone and may
change with it. Ticks count from the shot's start; `walk` makes all of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from qrt.types import Source

COLUMNS = ("tick", "duration", "slack", "sequencer", "event", "operands", "condition", "line", "source")

# Where an operation stands in its sequencer's block: index, then for each branch around it the side (0 then, 1 otherwise) and
# the index inside.
Path = tuple[int, ...]


class Step(NamedTuple):
    """One operation of one sequencer."""

    sequencer: str
    path: Path


class Branch(NamedTuple):
    """One side of a branch: that the bits, read together, are a value, or that they are not."""

    number: int  # of the branch in the shot, from 1
    otherwise: bool  # the side on which they are not
    bits: tuple[str, ...]  # names, the lowest first
    value: int

    @property
    def outcome(self) -> int | None:
        """The outcome of the one bit on which this side is taken; None for a branch on several bits."""
        return self.value ^ self.otherwise if len(self.bits) == 1 and self.value in {0, 1} else None

    @property
    def words(self) -> str:
        """The condition for a person: `c[0] is 1`."""
        names = " ".join(reversed(self.bits))
        if self.outcome is not None:
            return f"{names} is {self.outcome}"
        return f"{names} is {'not ' if self.otherwise else ''}{self.value:0{max(len(self.bits), 1)}b}"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a sequencer does at a tick of the shot, if the condition holds.

    `operands` and `condition` are words for a person; who needs what they say takes the fields behind them.
    """

    sequencer: str
    tick: int  # the earliest, of a shot with varied durations
    duration_ticks: int  # the shortest
    kind: str  # play, capture, wait, phase, frequency, sync, if, pad, write
    operands: str
    slack_ticks: int | None  # of branches: due tick - tick at which the outcomes are ready
    condition: str  # "" always, else such as "c[0] is 1"
    source: Source
    branches: tuple[Branch, ...]  # what the condition says: the sides taken, outermost first
    envelope: str = ""  # of plays
    bit: str = ""  # that a capture or a write fills; "" none
    decides: int | None = None  # of an if: the number of its branch
    later_ticks: int = 0  # by how much the latest is behind the earliest
    longer_ticks: int = 0


class Timeline(msgspec.Struct, frozen=True):
    """A shot as it will run. Ticks count from the shot's start."""

    events: tuple[Event, ...]  # by tick
    shot_ticks: int  # until the last cursor and the last capture have ended, at the latest
    period_ticks: int
    branch_ticks: Mapping[Step, int]  # at which a branch decides, where that is one tick
    join_ticks: Mapping[Step, int]  # at which the sides of a padded branch meet, where that is one tick
    pads: Mapping[Step, tuple[int, int]]  # else: what `then` and `otherwise` are padded by
    tone_indices: Mapping[
        Step, int | None
    ]  # of captures: the how-manieth readout tone of the qubit they see, if static


def format_timeline(timeline: Timeline) -> list[tuple[str, ...]]:
    """Return one row of texts per event, in the order of COLUMNS; ticks are ticks, an empty slack is no branch.

    `100..2100`: from the earliest to the latest, or the shortest to the longest, of what varied durations move.
    """
    return [
        (
            _range(event.tick, event.later_ticks),
            _range(event.duration_ticks, event.longer_ticks),
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


def _range(low: int, more: int) -> str:
    return f"{low}..{low + more}" if more else str(low)
