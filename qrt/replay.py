"""Replay: the recorded run again, from its armed image, and the first difference if there is one.

`replay` plays the image of a run folder in virtual time, on a port made of the recorded plant, with the recorded misses as skipped shots,
and compares every row with the recorded one as it comes. No instrument is opened and nothing is compiled. If a row differs, its shot is
played once more with the full event log, and the difference is named by tick, sequencer and field:

1. The sequence is compiled again from the folder's own program, lab and calibration. If it is not the image's, the event logs of both are
   compared: the first event that differs is where the image was changed.
2. Otherwise the log is held against the recorded row: the first outcome or iq, in the order of time, that is another one.

What differs before any outcome does (tick of the shot, epoch, flags) is named as a field of the row.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.client import Run, open_run
from qrt.errors import RecordError, WorldError
from qrt.event_log import first_difference
from qrt.image import ARRAYS, Played
from qrt.playback import (
    CHUNK_ROWS,
    Playback,
    armed,
    bytes_of,
    differing_field,
    first_wrong,
    logged,
    playback_of,
    rows_of,
)
from qrt.reasons import place_of
from qrt.sources import compiled_again
from qrt.types import Sequence


class Verdict(msgspec.Struct, frozen=True):
    """What a replay found."""

    run: str
    shots: int  # replayed
    digest: str  # of the replay, SHA-256 in hex
    recorded: str  # digest of the record's rows
    same: bool
    difference: str  # empty if the same: shot, tick, sequencer, field, both values
    notes: tuple[str, ...]  # about the record: what was cut, files that are not the ones on record


def replay(folder: str | Path) -> Verdict:
    """Play a recorded run again and compare. RecordError if the folder does not hold a run that can be replayed.

    Rows that no longer match their commits are compared, too: that is how one learns what was changed in them.
    """
    run = open_run(folder)
    playback, notes = playback_of(run)
    rows = playback.rows
    if not len(rows):
        raise RecordError(f"{run.path}: no shot on record: {'; '.join(notes)}; there is nothing to replay")
    digest, recorded, first, end = _compare(playback)
    difference = "" if first is None else describe(run, playback, first, end)
    assert (digest == recorded) == (first is None)
    return Verdict(str(run.path), len(rows), digest, recorded, first is None, difference, notes)


def _compare(playback: Playback) -> tuple[str, str, int | None, str]:
    """Return both digests, the index of the first row that is not the recorded one, and how the kernel ended if it ended early."""
    ours, recorded = hashlib.sha256(), hashlib.sha256()
    first: int | None = None
    rows, done, ended = playback.rows, 0, ""
    for played in playback.images:
        if done < played.shot_first or done == len(rows):
            break  # the leg before it ended early, or it has no rows
        end = min(played.shot_first + played.shot_count, len(rows)) if playback.legs else len(rows)
        with armed(playback, end, played) as (loop, ring):
            for part in rows_of(loop, ring, rows.dtype):
                data, expected = bytes_of(part), bytes_of(rows[done : done + len(part)])
                ours.update(data.data)
                recorded.update(expected.data)
                if first is None:
                    wrong = first_wrong(data, expected)
                    first = None if wrong is None else done + wrong
                done += len(part)
            ended = _ended(loop.join(), played.sequence)
    for start in range(done, len(rows), CHUNK_ROWS):
        recorded.update(bytes_of(rows[start : start + CHUNK_ROWS]).data)
    if first is None and done < len(rows):
        first = done
    return ours.hexdigest(), recorded.hexdigest(), first, ended


def _ended(report: kernel.Report, sequence: Sequence) -> str:
    """Return where and how a kernel ended early; empty if it played every shot."""
    if report.status is kernel.Status.OK:
        return ""
    place = place_of(report, sequence).removeprefix(" in ") or "before the first shot"
    return f"{place}: the replay ends there: {report.status.name}"


def describe(run: Run, playback: Playback, index: int, ended: str) -> str:
    """Return where and how the replayed row `index` is not the recorded one; `ended`: how the kernel ended, if it ended early."""
    played = playback.at(index)
    replayed, events = logged(playback, index)
    recorded, row = playback.rows[index], replayed[0]
    shot = f"shot {index}"
    again, why_not = _compiled_again(run, played, index)
    if again is not None:
        _, expected = logged(playback._replace(played=again, legs=()), index)
        found = first_event_difference(expected, events, again.sequence)
        if found:
            return f"{shot}: {found}; the image is not what the folder's program, lab and calibration compile to"
    found = _first_result_difference(recorded, events, played.sequence)
    if found:
        return f"{shot}: {found}{why_not}"
    if ended:
        return f"{ended}{why_not}"
    field = differing_field(recorded, row)
    if field is None:
        return f"{shot}: bytes differ in the row's padding"
    where = f"{shot}, tick 0: field {field} of the row"
    return f"{where}: recorded {recorded[field]}, replayed {row[field]}{why_not}"


def first_event_difference(expected: NDArray[Any], events: NDArray[Any], sequence: Sequence) -> str:
    """Return the first event in which two logs of a shot differ: tick, sequencer, operation, field, values; empty if in none."""
    found = first_difference(expected, events, (sequence.sequencers, sequence.sequencers))
    if found is None:
        return ""
    where = f"tick {found.tick}, sequencer {found.sequencer}"
    if not found.field:
        return f"{where}: {found.event} {'expected' if found.values[1] is None else 'replayed'} only"
    return f"{where}: field {found.field} of {found.event}: expected {found.values[0]}, replayed {found.values[1]}"


def _first_result_difference(recorded: Any, events: NDArray[Any], sequence: Sequence) -> str:
    """Return the first outcome or iq of the log that is not the recorded row's; empty if all are."""
    capture = -1
    for event in events:
        if event["op"] == kernel.EVENT_OUTCOME:
            capture = int(event["b"])
            pairs = [
                ("outcome", int(recorded["outcomes"][capture]), int(event["c"])),
                ("iq[0]", int(recorded["iq"][capture, 0]), int(event["d"])),
            ]
        elif event["op"] == kernel.EVENT_IQ:
            pairs = [("iq[1]", int(recorded["iq"][capture, 1]), int(event["d"]))]
        else:
            continue
        for field, old, new in pairs:
            if old != new:
                where = f"tick {int(event['tick'])}, sequencer {sequence.sequencers[int(event['sequencer'])]}"
                return f"{where}: field {field} of capture {capture}: recorded {old}, replayed {new}"
    return ""


def _compiled_again(run: Run, played: Played, index: int) -> tuple[Played | None, str]:
    """Return the image with its sequence compiled from the folder's sources for a shot's leg, None if that is what it holds already.

    Where the sources cannot be compiled any more, None and the reason.
    """
    try:
        again = compiled_again(run, index)
    except (WorldError, ValueError) as error:
        return None, f"; the folder's program, lab and calibration do not compile: {error}"
    sequence, sweep = again.sequence, again.bound.sweep
    if all(np.array_equal(getattr(sequence, name), getattr(played.sequence, name)) for name in ARRAYS) and all(
        np.array_equal(getattr(sweep, name), getattr(played.sweep, name)) for name in ("slots", "table")
    ):
        return None, ""
    words = 0 if played.epochs is None else len(played.epochs.values)
    if (len(sequence.slots), len(again.bound.epoch_values)) != (len(played.sequence.slots), words):
        return None, "; the image is not what the folder's program, lab and calibration compile to"
    return msgspec.structs.replace(played, sequence=sequence, sweep=sweep), ""
