"""The full event log of a shot, compared: where two logs part, and what the numbers of an event are called. Pure.

Here lives what qrt_core.h says of an event's operands, as names for people. Where logs come from is playback.py's business, what they are
held against replay.py's and against.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel

EVENT_NAMES: Final[Mapping[int, str]] = {
    0: "end", 1: "play", 2: "capture", 3: "wait", 4: "wait_until", 5: "sync", 6: "set_frequency", 7: "shift_phase",
    8: "read", 9: "write", 10: "alu", 11: "branch", 12: "load", 13: "lookup", 14: "draw", 15: "weigh", 16: "emit",
    17: "play_register", 18: "wait_register", 19: "set_frequency_register", 20: "shift_phase_register",
    kernel.EVENT_OUTCOME: "outcome", kernel.EVENT_IQ: "iq",
}  # fmt: skip
FIELDS: Final = ("tick", "sequencer", "op", "a", "b", "c", "d")

# What a person calls an operand, where it is not the number of a register.
_OPERANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "play": {"a": "frame", "b": "segment", "c": "amplitude", "d": "restart"},
    "play_register": {"a": "frame", "b": "segment", "c": "amplitude", "d": "restart"},
    "capture": {"b": "capture"},
    "wait": {"d": "ticks"},
    "wait_register": {"d": "ticks"},
    "wait_until": {"d": "target"},
    "sync": {"d": "sequencers"},
    "set_frequency": {"a": "frame", "d": "frequency"},
    "set_frequency_register": {"a": "frame", "d": "frequency"},
    "shift_phase": {"a": "frame", "d": "phase"},
    "shift_phase_register": {"a": "frame", "d": "phase"},
    "read": {"b": "bit", "d": "value"},
    "write": {"b": "bit", "d": "value"},
    "load": {"b": "slot", "d": "value"},
    "lookup": {"d": "value"},
    "draw": {"d": "value"},
    "weigh": {"d": "factor"},
    "emit": {"b": "column", "d": "value"},
    "outcome": {"b": "capture", "c": "outcome", "d": "iq[0]"},
    "iq": {"b": "capture", "d": "iq[1]"},
}


class EventDifference(msgspec.Struct, frozen=True):
    """The first event in which two logs part."""

    tick: int  # the earlier of both
    sequencer: str
    event: str  # what was executed there
    field: str  # tick, sequencer, op, or the operand's name; empty: only one of them has this event
    values: tuple[int | None, int | None]  # None: it has no such event


def event_name(op: int) -> str:
    """Return the name of an event's operation; its number where it has none."""
    return EVENT_NAMES.get(op, str(op))


def parting(one: NDArray[Any], other: NDArray[Any]) -> int | None:
    """Return the index of the first event in which two logs (EVENT_DTYPE) differ, or that only one has; None if they are the same."""
    count = min(len(one), len(other))
    wrong = np.zeros(count, bool)
    for field in FIELDS:
        wrong |= one[field][:count] != other[field][:count]
    found = np.flatnonzero(wrong)
    if len(found):
        return int(found[0])
    return count if len(one) != len(other) else None


def first_difference(
    one: NDArray[Any], other: NDArray[Any], sequencers: tuple[tuple[str, ...], tuple[str, ...]]
) -> EventDifference | None:
    """Return where two logs of a shot part; `sequencers`: the names of each log's. None if they are the same."""
    index = parting(one, other)
    if index is None:
        return None
    if index >= min(len(one), len(other)):
        log, names = (one, sequencers[0]) if len(one) > len(other) else (other, sequencers[1])
        event = log[index]
        op = int(event["op"])
        values = (op, None) if log is one else (None, op)
        return EventDifference(int(event["tick"]), _named(names, event), event_name(op), "", values)
    first, second = one[index], other[index]
    field = next(name for name in FIELDS if first[name] != second[name])
    early, names = (second, sequencers[1]) if second["tick"] < first["tick"] else (first, sequencers[0])
    what = event_name(int(early["op"]))
    named = _OPERANDS.get(what, {}).get(field, field)
    return EventDifference(
        int(early["tick"]), _named(names, early), what, named, (int(first[field]), int(second[field]))
    )


def _named(names: tuple[str, ...], event: Any) -> str:
    index = int(event["sequencer"])
    return names[index] if index < len(names) else str(index)
