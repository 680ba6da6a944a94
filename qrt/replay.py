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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.client import Run, open_run
from qrt.compile import compile_pulses
from qrt.errors import BugError, RecordError, WorldError
from qrt.image import ARRAYS, Played, from_image
from qrt.layout import decode_image
from qrt.loop import READER, limits_of, named_entry, place_of, power_of_two
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.store import decode_calibration
from qrt.types import Lab, Sequence

RING_ROWS: Final = 1 << 14
CHUNK_ROWS: Final = 4096
EVENT_NAMES: Final = {
    0: "end", 1: "play", 2: "capture", 3: "wait", 4: "wait_until", 5: "sync", 6: "set_frequency", 7: "shift_phase",
    8: "read", 9: "write", 10: "alu", 11: "branch", kernel.EVENT_OUTCOME: "outcome", kernel.EVENT_IQ: "iq",
}  # fmt: skip
HEAD_FIELDS: Final = ("shot", "tick", "epoch", "flags", "shot_weight", "bits", "trace_hash")


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
    played, notes = _played(run)
    rows = run.committed_rows
    if not len(rows):
        raise RecordError(f"{run.path}: no shot on record: {run.cut}; there is nothing to replay")
    digest, recorded, first, end = _compare(played, rows)
    difference = "" if first is None else describe(run, played, first, end)
    assert (digest == recorded) == (first is None)
    return Verdict(str(run.path), len(rows), digest, recorded, first is None, difference, notes)


def _played(run: Run) -> tuple[Played, tuple[str, ...]]:
    """Return the image as it lies in the folder, changed or not, and what is to be said of the record."""
    notes = [run.cut] if run.cut else []
    path = run.path / "image"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be read: {error.strerror}; without the armed image there is no replay"
        ) from error
    if hashlib.sha256(data).hexdigest() != run.files.get("image"):
        notes.append(f"{path}: not the bytes on record: changed or damaged")
    played = from_image(decode_image(data))
    if not played.plant:
        raise RecordError(
            f"{run.path}: a run on hardware: only its schedule can be replayed, which comes in a later version"
        )
    if run.layout.dtype != kernel.row_dtype(len(played.sequence.slots), played.sequence.emit_count):
        raise RecordError(
            f"{path}: its {len(played.sequence.slots)} captures are not those of the recorded rows: changed or damaged"
        )
    return played, tuple(notes)


@contextmanager
def _kernel(played: Played, rows: NDArray[Any], count: int) -> Iterator[tuple[kernel.Kernel, kernel.Ring]]:
    """Yield an armed kernel for the first `count` shots and the ring that it writes. RecordError if the image cannot be armed."""
    port = named_entry("qrt.ports", played.twin, "image: twin")(played.plant)  # lives as long as the kernel
    dtype = kernel.row_dtype(len(played.sequence.slots), played.sequence.emit_count)
    with kernel.Ring.create(dtype.itemsize, min(RING_ROWS, power_of_two(count)), 1) as ring:
        config = kernel.Config(
            sequence=_without_raw(played.sequence),
            port=port.address,
            rings=kernel.Rings(rows=ring),
            shot_count=count,
            tick_ps=played.tick_ps,
            seed=played.seed,
            skips=skips_of(rows[:count]),
        )
        with ExitStack() as stack:
            try:
                loop = stack.enter_context(kernel.Kernel(config))
            except (BugError, OverflowError) as error:  # from a compiler it would be a bug, from a file it is damage
                raise RecordError(f"armed image: not whole: {error}") from error
            yield loop, ring


def skips_of(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the ranges of skipped shots as the kernel takes them: SKIP_DTYPE [ranges], ascending. Row i is shot i."""
    skipped = np.flatnonzero((rows["flags"] & kernel.ROW_SKIPPED) != 0)
    if not len(skipped):
        return np.zeros(0, kernel.SKIP_DTYPE)
    starts = np.flatnonzero(np.diff(skipped, prepend=skipped[0] - 2) > 1)
    ranges = np.zeros(len(starts), kernel.SKIP_DTYPE)
    ranges["shot"] = skipped[starts]
    ranges["count"] = np.diff(np.append(starts, len(skipped)))
    return ranges


def _rows_of(loop: kernel.Kernel, ring: kernel.Ring, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Start the kernel and yield its rows, part by part, until it has ended. Each part is valid until the next is asked for."""
    loop.start()
    closed = False
    while not closed:
        closed = ring.closed
        ring.wait(READER, CHUNK_ROWS, 0.05)
        while len(part := ring.peek(READER, dtype)):
            yield part
            ring.release(READER, len(part))


def _compare(played: Played, rows: NDArray[Any]) -> tuple[str, str, int | None, str]:
    """Return both digests, the index of the first row that is not the recorded one, and how the kernel ended if it ended early."""
    ours, recorded = hashlib.sha256(), hashlib.sha256()
    first: int | None = None
    done = 0
    with _kernel(played, rows, len(rows)) as (loop, ring):
        for part in _rows_of(loop, ring, rows.dtype):
            data, expected = _bytes_of(part), _bytes_of(rows[done : done + len(part)])
            ours.update(data.data)
            recorded.update(expected.data)
            if first is None:
                wrong = np.flatnonzero((data != expected).any(axis=1))
                first = done + int(wrong[0]) if len(wrong) else None
            done += len(part)
        report = loop.join()
    for start in range(done, len(rows), CHUNK_ROWS):
        recorded.update(_bytes_of(rows[start : start + CHUNK_ROWS]).data)
    if first is None and done < len(rows):
        first = done
    return ours.hexdigest(), recorded.hexdigest(), first, _ended(report, played.sequence)


def _bytes_of(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Return rows as bytes, [rows, size]."""
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)


def _ended(report: kernel.Report, sequence: Sequence) -> str:
    """Return where and how a kernel ended early; empty if it played every shot."""
    if report.status is kernel.Status.OK:
        return ""
    place = place_of(report, sequence).removeprefix(" in ") or "before the first shot"
    return f"{place}: the replay ends there: {report.status.name}"


def _logged(played: Played, rows: NDArray[Any], index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return row and events of one shot, played from the run's beginning; a row of zeros if the kernel ends in it."""
    with _kernel(played, rows, index + 1) as (loop, ring):
        loop.log_shot(index)
        row = np.zeros(1, rows.dtype)
        for part in _rows_of(loop, ring, rows.dtype):
            if part["shot"][-1] == index:
                row[:] = part[-1:]
        loop.join()
        return row[0], loop.events.copy()


def describe(run: Run, played: Played, index: int, ended: str) -> str:
    """Return where and how the replayed row `index` is not the recorded one; `ended`: how the kernel ended, if it ended early."""
    rows = run.committed_rows
    row, events = _logged(played, rows, index)
    recorded = rows[index]
    shot = f"shot {index}"
    again, why_not = _compiled_again(run, played)
    if again is not None:
        _, expected = _logged(again, rows, index)
        found = first_event_difference(expected, events, again.sequence)
        if found:
            return f"{shot}: {found}; the image is not what the folder's program, lab and calibration compile to"
    found = _first_result_difference(recorded, events, played.sequence)
    if found:
        return f"{shot}: {found}{why_not}"
    if ended:
        return f"{ended}{why_not}"
    for field in (*HEAD_FIELDS, "capture_count", "outcomes", "iq"):
        if not np.array_equal(recorded[field], row[field]):
            where = f"{shot}, tick 0: field {field} of the row"
            return f"{where}: recorded {recorded[field]}, replayed {row[field]}{why_not}"
    return f"{shot}: bytes differ in the row's padding"


def first_event_difference(expected: NDArray[Any], events: NDArray[Any], sequence: Sequence) -> str:
    """Return the first event in which two logs of a shot differ: tick, sequencer, operation, field, values; empty if in none."""
    for one, other in zip(expected, events, strict=False):
        for field in ("tick", "sequencer", "op", "a", "b", "c", "d"):
            if one[field] != other[field]:
                what = EVENT_NAMES.get(int(one["op"]), str(one["op"]))
                where = f"tick {int(one['tick'])}, sequencer {sequence.sequencers[int(one['sequencer'])]}"
                return f"{where}: field {field} of {what}: expected {int(one[field])}, replayed {int(other[field])}"
    if len(expected) != len(events):
        longer, which = (expected, "expected") if len(expected) > len(events) else (events, "replayed")
        extra = longer[min(len(expected), len(events))]
        what = EVENT_NAMES.get(int(extra["op"]), str(extra["op"]))
        return (
            f"tick {int(extra['tick'])}, sequencer {sequence.sequencers[int(extra['sequencer'])]}: {what} {which} only"
        )
    return ""


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


def _compiled_again(run: Run, played: Played) -> tuple[Played | None, str]:
    """Return the image with its sequence compiled from the folder's sources, None if that is what it holds already.

    Where the sources cannot be compiled any more, None and the reason.
    """
    try:
        lab = msgspec.json.decode(run.file("lab.json"), type=Lab)
        calibration = decode_calibration(run.file("calibration.json"), str(run.path / "calibration.json"))
        program = parse_program(run.file("program.qasm").decode(), str(run.path / "program.qasm"))
        inputs = (run.start or {}).get("inputs", {})
        sequence = compile_pulses(lower(program, lab, calibration, inputs), lab, limits_of(lab))
    except (WorldError, ValueError) as error:
        return None, f"; the folder's program, lab and calibration do not compile: {error}"
    if all(np.array_equal(getattr(sequence, name), getattr(played.sequence, name)) for name in ARRAYS):
        return None, ""
    if len(sequence.slots) != len(played.sequence.slots):
        return None, "; the image is not what the folder's program, lab and calibration compile to"
    return msgspec.structs.replace(played, sequence=sequence), ""


def _without_raw(sequence: Sequence) -> Sequence:
    """Return the sequence without recording captures raw, which leaves no trace."""
    captures = sequence.captures.copy()
    captures["raw"] = 0
    return msgspec.structs.replace(sequence, captures=captures)
