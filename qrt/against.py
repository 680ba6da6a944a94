"""Two recorded runs, one against the other: what they were made of, and the first difference of what they did.

The looking goes from cheap to dear. What the runs were made of is compared as recorded: every number of their start documents, lab and
calibration files, the program line by line, the armed image array by array. Then the rows. Where one shot was skipped, began at another
tick or in another epoch, the row itself tells. Otherwise both images play that shot again with the full event log, and the logs are walked
side by side in the order of time: an event that differs, or the same event with other contents (a segment's samples, a frame, integration
weights), is the first difference. At last, one run may go on where the other ends. Nothing is executed for runs whose rows are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import documents, kernel
from qrt.client import Run, open_run
from qrt.errors import RecordError
from qrt.event_log import event_name, first_difference, parting
from qrt.kernel import ROW_SKIPPED
from qrt.layout import decode_image
from qrt.playback import CHUNK_ROWS, bytes_of, differing_field, first_wrong, logged, playback_of
from qrt.types import Sequence

NOT_SOURCES: Final = frozenset({"uid", "time", "operator", "machine", "instruments"})  # which run, by whom, when, where
FILES: Final = ("lab.json", "calibration.json")  # trees of values, compared leaf by leaf
VALUE_SIZE_MAX: Final = 60  # characters of a value in a text
ABSENT: Final = "absent"

Value = int | float | str | None


class SourceDifference(msgspec.Struct, frozen=True):
    """Something that the two runs were not made of alike."""

    name: str  # `seed`, `lab.timing.shot_period_ns`, `program line 5`
    a: str
    b: str


class Difference(msgspec.Struct, frozen=True):
    """Where two runs part. Without tick and sequencer: the row tells it, or one run ends there."""

    shot: int
    field: str
    a: Value
    b: Value
    tick: int | None = None  # from the shot's start
    sequencer: str = ""
    event: str = ""  # what is executed there


class Comparison(msgspec.Struct, frozen=True):
    """What comparing two runs found."""

    a: str  # folders
    b: str
    shots: tuple[int, int]
    digests: tuple[str, str]  # SHA-256, in hex, of the rows
    same: bool  # every row, in every bit
    sources: tuple[SourceDifference, ...]
    first: Difference | None
    difference: str  # the same as text; empty if none
    notes: tuple[str, ...]  # about the records: what was cut, what does not match


def compare(folder: str | Path, other: str | Path) -> Comparison:
    """Compare two run folders. RecordError if one cannot be read, or if their rows do not hold the same captures and bits."""
    a, b = open_run(folder), open_run(other)
    _check_comparable(a, b)
    notes = [f"{run.path}: {run.cut}" for run in (a, b) if run.cut]
    sources = tuple(_source_differences(a, b, notes))
    index = _first_row(a.committed_rows, b.committed_rows)
    first = None
    if index is not None:
        first = _row_tells(a, b, index) or _logs_tell(a, b, index, notes)
    return Comparison(
        a=str(a.path),
        b=str(b.path),
        shots=(len(a.committed_rows), len(b.committed_rows)),
        digests=(_digest(a.committed_rows), _digest(b.committed_rows)),
        same=first is None,
        sources=sources,
        first=first,
        difference="" if first is None else told(first),
        notes=tuple(notes),
    )


def told(first: Difference) -> str:
    """Return a difference in words."""
    shot = f"shot {first.shot}"
    if first.field == "length":
        ended, going = ("A", "B") if first.a is None else ("B", "A")
        return f"{shot}: {going} goes on, {ended} ends before it; every shot of {ended} is the same in both"
    if first.tick is None:
        return f"{shot}: field {first.field} of the row: A {first.a}, B {first.b}"
    where = f"{shot}: tick {first.tick}, sequencer {first.sequencer}"
    if not first.field:
        return f"{where}: {first.event} in {'A' if first.b is None else 'B'} only"
    if first.field == "op":
        return f"{where}: another operation: A {first.a}, B {first.b}"
    what = "the capture that ends there" if first.event in {"outcome", "iq"} else first.event
    return f"{where}: field {first.field} of {what}: A {first.a}, B {first.b}"


# ---- What they were made of ------------------------------------------------------------------------------------------------


def _check_comparable(a: Run, b: Run) -> None:
    for what in ("captures", "bits", "outputs", "output_kinds", "tick_ps", "shot_first", "dtype"):
        one, other = getattr(a.layout, what), getattr(b.layout, what)
        if one != other:
            told_a, told_b = (", ".join(value) if isinstance(value, tuple) else str(value) for value in (one, other))
            raise RecordError(
                f"{b.path}: cannot be compared with {a.path}: {what} of its rows: {told_b}; there: {told_a}. "
                "Give two runs of programs that measure the same bits"
            )
    for run in (a, b):
        if run.start is not None and not run.start.get("simulated", True):
            raise RecordError(
                f"{run.path}: a run on hardware, whose shots cannot be played again; give runs of a simulated lab"
            )


def _source_differences(a: Run, b: Run, notes: list[str]) -> Iterator[SourceDifference]:
    """Yield what the runs were not made of alike; what cannot be compared goes to the notes."""
    missing = [run for run in (a, b) if run.start is None]
    notes += [f"{run.path}: no start document: seed, inputs and the like are not compared" for run in missing]
    if not missing:
        ours, theirs = (
            {key: value for key, value in (run.start or {}).items() if key not in NOT_SOURCES} for run in (a, b)
        )
        yield from _leaf_differences("", ours, theirs)
    for name in FILES:
        data = _files(a, b, name, notes)
        if data is not None:
            trees = [msgspec.json.decode(one) for one in data]
            yield from _leaf_differences(name.removesuffix(".json"), *trees)
    data = _files(a, b, "program.qasm", notes)
    if data is not None:
        yield from _program_difference(*data)
    data = _files(a, b, "image", notes)
    if data is not None:
        yield from _leaf_differences("image", *(_image_tree(one) for one in data))


def _image_tree(data: bytes) -> dict[str, Any]:
    """Return an armed image as a tree of values: its fields, and a digest of each array.

    It tells what the sources do not: the seed of the arm, derived from the run's and from how often the lab was armed before, the state
    that the plant was in, and what another compiler has made of the same program.
    """
    image = decode_image(data)
    fields = {name: value for name, value in image.fields.items() if name != "shot_count"}  # `shots` is that already
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in image.arrays.items()}
    return fields | digests


def _files(a: Run, b: Run, name: str, notes: list[str]) -> tuple[bytes, bytes] | None:
    """Return a file of both runs, None if it is the same or cannot be had."""
    if a.files.get(name) == b.files.get(name):
        return None
    try:
        return a.file(name), b.file(name)
    except RecordError as error:
        notes.append(f"{error}; not compared")
        return None


def _leaf_differences(path: str, one: Any, other: Any) -> Iterator[SourceDifference]:
    """Yield the leaves in which two trees of maps differ; a list is a leaf."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            below = f"{path}.{key}" if path else key
            yield from _leaf_differences(below, one.get(key, ABSENT), other.get(key, ABSENT))
    elif one != other:
        yield SourceDifference(path, *_apart(one, other))


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """Return two different values as short texts that differ, too."""
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in (one, other)]
    if all(len(text) <= VALUE_SIZE_MAX for text in texts):
        return texts[0], texts[1]
    start = next((i for i, (x, y) in enumerate(zip(*texts, strict=False)) if x != y), min(map(len, texts)))
    first = max(0, start - VALUE_SIZE_MAX // 2)
    end = first + VALUE_SIZE_MAX
    cut = [("…" if first else "") + text[first:end] + ("…" if end < len(text) else "") for text in texts]
    return cut[0], cut[1]


def _program_difference(one: bytes, other: bytes) -> Iterator[SourceDifference]:
    """Yield the first line in which two programs differ."""
    lines = [text.decode(errors="replace").splitlines() for text in (one, other)]
    for index in range(max(map(len, lines))):
        pair = [text[index] if index < len(text) else ABSENT for text in lines]
        if pair[0] != pair[1]:
            yield SourceDifference(f"program line {index + 1}", *_apart(pair[0].strip(), pair[1].strip()))
            return


# ---- What they did -----------------------------------------------------------------------------------------------------------


def _first_row(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    """Return the index of the first row that is not the same in both, or that only one has; None if there is none."""
    count = min(len(a), len(b))
    for start in range(0, count, CHUNK_ROWS):
        part = slice(start, min(start + CHUNK_ROWS, count))
        wrong = first_wrong(bytes_of(a[part]), bytes_of(b[part]))
        if wrong is not None:
            return start + wrong
    return count if len(a) != len(b) else None


def _row_tells(a: Run, b: Run, index: int) -> Difference | None:
    """Return what the rows tell by themselves: an end, a skipped shot, another start or epoch; None if one has to look inside."""
    shot = a.layout.shot_first + index
    if index >= min(len(a.committed_rows), len(b.committed_rows)):
        counts = (len(a.committed_rows), len(b.committed_rows))
        ends = [None if index >= count else count for count in counts]
        return Difference(shot, "length", ends[0], ends[1])
    one, other = a.committed_rows[index], b.committed_rows[index]
    skipped = [bool(row["flags"] & ROW_SKIPPED) for row in (one, other)]
    if one["flags"] != other["flags"]:
        word = "skipped" if any(skipped) else "erased"
        return Difference(shot, word, _unplayed(a, shot), _unplayed(b, shot))
    field = next((name for name in ("tick", "epoch") if one[name] != other[name]), None)
    if field is None and all(skipped):
        return _row_field(shot, one, other)
    return None if field is None else Difference(shot, field, int(one[field]), int(other[field]))


def _unplayed(run: Run, shot: int) -> str:
    """Return whether a run skipped or erased a shot, and why as far as its misses tell."""
    flags = int(run.committed_rows["flags"][shot - run.layout.shot_first])
    if not flags:
        return "played"
    word = "skipped" if flags & ROW_SKIPPED else "erased"
    for miss in run.misses:
        erased = miss["class"] in documents.ERASING  # the erased shot itself is not one of those that were skipped
        first = miss["shot"] + (erased and word == "skipped")
        count = 1 if erased and word == "erased" else miss["skipped_count"]
        if first <= shot < first + count:
            return f"{word} ({miss['class']}, {miss['lateness_ns']} ns late, cause {miss['cause']})"
    return word


def _row_field(shot: int, one: Any, other: Any) -> Difference:
    """Return the first field in which two rows differ."""
    field = differing_field(one, other)
    if field is None:
        return Difference(shot, "padding", None, None)
    return Difference(shot, field, str(one[field].tolist()), str(other[field].tolist()))


def _logs_tell(a: Run, b: Run, index: int, notes: list[str]) -> Difference:
    """Return the first difference of a shot that both played, from the event logs of both images."""
    shot = a.layout.shot_first + index
    rows, logs, sequences = [], [], []
    for run in (a, b):
        playback, said = playback_of(run)
        notes += [note if str(run.path) in note else f"{run.path}: {note}" for note in said if note != run.cut]
        if index >= len(playback.rows):
            return _row_field(shot, a.committed_rows[index], b.committed_rows[index])
        row, events = logged(playback, index)
        if (bytes_of(row) != bytes_of(run.committed_rows[index : index + 1])).any():
            notes.append(
                f"{run.path}: its image no longer plays shot {shot} as recorded: `qrt replay {run.path} --verify` says where"
            )
        rows.append(run.committed_rows[index])
        logs.append(events)
        sequences.append(playback.at(index).sequence)
    found = _log_difference(shot, (logs[0], logs[1]), (sequences[0], sequences[1]))
    return found or _row_field(shot, rows[0], rows[1])


def _log_difference(
    shot: int, logs: tuple[NDArray[Any], NDArray[Any]], sequences: tuple[Sequence, Sequence]
) -> Difference | None:
    """Return where two logs of a shot part: in the contents of events that are the same, or in an event; None if nowhere."""
    end = parting(*logs)
    seen: set[tuple[int, ...]] = set()
    for event in logs[0][:end]:
        key = (int(event["op"]), int(event["a"]), int(event["b"]))
        if key in seen:
            continue
        seen.add(key)
        for (field, one), (_, other) in zip(*(_contents(sequence, event) for sequence in sequences), strict=True):
            if not np.array_equal(one, other):
                name = sequences[0].sequencers[int(event["sequencer"])]
                what = event_name(key[0])
                where, own, its = _element(field, one, other)
                return Difference(shot, where, own, its, int(event["tick"]), name, what)
    found = first_difference(*logs, (sequences[0].sequencers, sequences[1].sequencers))
    if found is None:
        return None
    values: list[Value] = list(found.values)
    if found.field == "op":
        values = [event_name(int(value)) for value in found.values if value is not None]
    return Difference(shot, found.field, values[0], values[1], found.tick, found.sequencer, found.event)


def _contents(sequence: Sequence, event: Any) -> tuple[tuple[str, Any], ...]:
    """Return what an event refers to in the image: field and value, in the order in which they are told. RecordError if it is not there."""
    try:
        return _referred(sequence, event, event_name(int(event["op"])))
    except (KeyError, IndexError) as error:
        raise RecordError(f"armed image: not whole: a shot plays what is not in it: {error!r}") from error


def _referred(sequence: Sequence, event: Any, what: str) -> tuple[tuple[str, Any], ...]:
    if what in {"play", "play_register"}:
        frame = sequence.frames[int(event["a"])]
        line = sequence.lines[int(frame["line"])]
        segment = sequence.segments[line][int(event["b"])]
        return (
            ("line", line),
            ("frame.frequency", int(frame["frequency"])),
            ("frame.phase", int(frame["phase"])),
            ("segment.i", segment.i),
            ("segment.q", segment.q),
        )
    if what == "capture":
        spec = sequence.captures[int(event["b"])]
        sets = 1 if spec["weights_slot"] == kernel.SLOT_NONE else int(spec["bank_count"])
        count, start = 2 * int(spec["sample_count"]) * sets, int(spec["weights_offset"])
        return (
            *((name, int(spec[name])) for name in ("sample_count", "channel", "bit", "threshold")),
            ("weights", sequence.weights[start : start + count]),
        )
    return ()


def _element(field: str, one: Any, other: Any) -> tuple[str, Value, Value]:
    """Return field and values of what differs; of two vectors the first element that does, or their lengths."""
    if not isinstance(one, np.ndarray):
        return field, one, other
    if len(one) != len(other):
        return f"{field}.size", len(one), len(other)
    index = int(np.flatnonzero(one != other)[0])
    return f"{field}[{index}]", int(one[index]), int(other[index])


def _digest(rows: NDArray[Any]) -> str:
    """Return the SHA-256, in hex, of rows."""
    sha256 = hashlib.sha256()
    for start in range(0, len(rows), CHUNK_ROWS):
        sha256.update(bytes_of(rows[start : start + CHUNK_ROWS]).data)
    return sha256.hexdigest()
