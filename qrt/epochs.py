"""The epochs of a recorded run: what its documents say of them, and what a replay puts into the kernel's ring for them. Pure.

The kernel takes at most one epoch at each batch's first shot, and every row says which one is in force. So rows and documents together are
all that a replay needs: at a boundary whose row shows the new number, its words came in time; at one whose row does not, they were held.
A run that stops and waits (delay 0) pauses between shots, by the clock; until when is told by the ticks, whatever was stretched before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.errors import RecordError
from qrt.image import Played
from qrt.kernel import EPOCH_HELD, epoch_dtype


class Epoch(msgspec.Struct, frozen=True, rename={"number": "epoch", "shot": "first_shot"}):
    """What the controllers made of a batch: one immutable set of values, in force from a shot on unless it was late."""

    number: int
    shot: int  # at which it takes effect
    batch: int  # that it was computed from
    values: dict[str, float]  # of each output
    words: tuple[int, ...]  # the same as the kernel loads them
    controllers: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()  # updates that were not taken, in words
    ended: tuple[str, ...] = ()  # controllers whose laws ended their process at this batch, and so did not step


class Entries(NamedTuple):
    """What a replay writes into the ring."""

    entries: NDArray[Any]  # [due epochs] kernel.epoch_dtype, ascending
    shot_end: int  # what is due from there on is not on record
    note: str  # why; empty if everything is


def epochs_of(bodies: Iterable[Mapping[str, Any]], where: str) -> tuple[Epoch, ...]:
    """Return the epochs that `epoch` documents tell, ascending. RecordError names `where` and what does not hold."""
    found: dict[int, Epoch] = {}
    for body in bodies:
        try:
            one = msgspec.convert(dict(body), Epoch)
        except msgspec.ValidationError as error:
            raise RecordError(f"{where}: an epoch of another version: {error}") from error
        if found.setdefault(one.number, one).words != one.words:
            raise RecordError(
                f"{where}: epoch {one.number} is on record twice, with other words: the record is damaged"
            )
    return tuple(found[number] for number in sorted(found))


def entries_of(played: Played, epochs: Iterable[Epoch], rows: NDArray[Any], *, paced: bool, where: str) -> Entries:
    """Return the ring's entries for these rows, of which row i is shot i. `paced`: played against a clock, so that it may have paused.

    RecordError where rows and documents cannot be what one run has written.
    """
    armed = played.epochs
    assert armed is not None
    known = {one.number: one for one in epochs}
    last = (len(rows) - 1) // armed.batch_shots
    numbers = np.arange(armed.delay + 1, last + 1)
    shots = numbers * armed.batch_shots
    entries = np.zeros(len(numbers), epoch_dtype(len(armed.values)))
    entries["number"] = numbers
    entries["flags"] = np.where(rows["epoch"][shots] == numbers, 0, EPOCH_HELD)
    if armed.delay == 0 and paced:
        entries["begin_period"] = np.maximum(rows["tick"][shots] // played.sequence.period_ticks, 0)
    for index in np.flatnonzero(entries["flags"] == 0):
        number = int(numbers[index])
        if number not in known:
            note = f"{where}: epoch {number} is in force from shot {shots[index]} on, and no document has its values"
            return Entries(entries[:index], int(shots[index]), note)
        entries["values"][index] = _words(known[number], len(armed.values), where)
    return Entries(entries, len(rows), "")


def _words(one: Epoch, count: int, where: str) -> NDArray[np.int64]:
    try:
        words = np.array(one.words, np.int64)
    except OverflowError as error:
        raise RecordError(f"{where}: epoch {one.number}: a word of {one.words} is beyond 64 bits") from error
    if len(words) != count:
        raise RecordError(f"{where}: epoch {one.number} has {len(words)} words; the armed image has {count}")
    return words
