"""The updates of a recorded run's controllers, computed again: what a fresh batch process needs for that, and how they are compared.

Laws step over the recorded rows, which say what epoch was in force in each batch. Files that laws came from are taken from the record, so
what the user has changed since does not matter; laws of packages are those that are installed now. A law that ended its process at some
batch did not step there, and does not step there again.

Values of outputs are compared within the tolerance, since another machine's XLA may round otherwise. Words are whole numbers made of the
recorded values by exact arithmetic: they are made of those again, not of the values computed again, and are the same or off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from qrt.batch import Asked, EpochsTo, Points, Refused, Update
from qrt.client import Run
from qrt.controlling import asked_for, epochs_to, points_of
from qrt.encode import Encode, encoder
from qrt.epochs import Epoch
from qrt.errors import RecordError
from qrt.sources import compiled_again
from qrt.tally import Tally
from qrt.types import Control


class Laws(NamedTuple):
    """What the batch process of a run with controllers is asked for."""

    asked: tuple[Asked, ...]
    control: Control
    points: Points
    to: EpochsTo
    refused: tuple[Refused, ...]  # updates of laws that ended their process
    epochs: tuple[Epoch, ...]  # as recorded


def laws_of(run: Run, shots: int) -> tuple[Laws | None, tuple[str, ...]]:
    """Return what there is to be computed again from so many shots, None without controllers; and notes. RecordError where it cannot be."""
    epochs = run.epochs
    if not epochs:
        return None, ()
    again = compiled_again(run)
    batch_shots = again.lab.control.batch_shots
    known = tuple(one for one in epochs if (one.batch + 1) * batch_shots <= shots)
    notes: tuple[str, ...] = ()
    if len(known) < len(epochs):
        first = epochs[len(known)]
        notes = (f"epoch {first.number} and later are of batches whose rows are not all on record: not compared",)
    asked = asked_for(again.lab, again.sequence, _sources(run))
    if {one.name for one in asked} != set(epochs[0].controllers):
        raise RecordError(
            f"{run.path}: epoch {epochs[0].number} is of controllers {', '.join(epochs[0].controllers)}; the recorded lab has "
            f"{', '.join(one.name for one in asked)}: the record is damaged"
        )
    refused = tuple(
        Refused(name, one.batch, one.values[named.output], "ended its process", ended=True)
        for one in known
        for named in asked
        for name in (named.name,)
        if name in one.ended
    )
    control = msgspec.structs.replace(again.lab.control, policy="hold")  # what ended the run is compared like the rest
    leg_shots = run.legs[1].shot_first if len(run.legs) > 1 else 0
    to = epochs_to(again.lab, again.values, again.bound, abort=False)
    return Laws(asked, control, points_of(again.bound.sweep, leg_shots), to, refused, known), notes


def _sources(run: Run) -> dict[str, bytes]:
    """Return what the files held that laws came from, by controller."""
    laws: Sequence[dict[str, Any]] = (run.start or {}).get("laws", [])
    return {one["controller"]: run.file(one["file"]) for one in laws}


def compare(tally: Tally, laws: Laws, update: Update) -> None:
    """Hold what a batch gives now against what is on record of it."""
    for one in laws.epochs:
        if one.batch == update.batch:
            _compare(tally, laws, one, update)


def missing(tally: Tally, laws: Laws, batches: int) -> None:
    """Note the first epoch that was not computed again, where only so many batches were."""
    for one in laws.epochs:
        if one.batch >= batches:
            tally.exact(f"epoch {one.number}", one.batch, "epoch", one.number, None)


def _compare(tally: Tally, laws: Laws, one: Epoch, update: Update) -> None:
    tally.exact(f"epoch {one.number}", one.batch, "epoch", one.number, update.epoch)
    again = {refused.controller for refused in update.refused}
    for named in laws.asked:
        name = f"controller {named.name!r}"
        refused = any(text.startswith(f"{name} ") for text in one.refused)
        tally.exact(name, one.batch, "updates refused", int(refused), int(named.name in again))
        tally.add(name, one.batch, named.output, one.values.get(named.output, 0.0), update.values[named.output])
    encode = msgspec.convert(laws.to.encode, Encode)
    try:
        words = encoder(encode)(one.values)
    except (KeyError, ValueError, OverflowError):
        words = []
    for index, word in enumerate(one.words):
        names = " and ".join(encode.factors[index]) if index < len(encode.factors) else "nothing"
        tally.exact(
            f"epoch {one.number}",
            one.batch,
            f"word {index}, of {names}",
            word,
            words[index] if index < len(words) else None,
        )
