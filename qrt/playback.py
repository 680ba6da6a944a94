"""A recorded image on a kernel once more: armed on a port made of the recorded plant, played in virtual time, or logged for one shot.

A run that armed several times has an image for each leg, and each is played on a port of its own. What a recorded run had beside its
images goes in as inputs: the shots that it skipped, read from its rows; those that it erased, with how far each of them came, from its
misses; and the epochs that came in time or were held, with the pauses for them (epochs.py). No instrument is opened and nothing is
compiled. What comes of it is compared elsewhere: replay.py holds it against the same run's rows, against.py against another's.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import documents, kernel
from qrt.client import Run
from qrt.epochs import entries_of
from qrt.errors import BugError, RecordError
from qrt.image import Played, from_image, with_part
from qrt.layout import Image, decode_image
from qrt.loop import READER, named_entry, power_of_two
from qrt.types import Sequence as ShotSequence

RING_SLOTS: Final = 1 << 13
FEED_S: Final = 0.001  # how often a full ring is looked at
CHUNK_ROWS: Final = 4096


class Playback(NamedTuple):
    """An image, and what else a recorded run had as its inputs."""

    played: Played
    rows: NDArray[Any]  # as recorded, as far as everything is known that they need: which were skipped
    entries: NDArray[Any] | None  # of the epochs ring, [due epochs]; None: the run had none
    erasures: NDArray[Any]  # [erased shots] kernel.ERASURE_DTYPE
    legs: tuple[Played, ...] = ()  # of a run that armed several times, the first one too: each leg's own image

    @property
    def images(self) -> tuple[Played, ...]:
        """What was armed, in order."""
        return self.legs or (self.played,)

    def at(self, index: int) -> Played:
        """Return what a shot was played from."""
        return next(one for one in reversed(self.images) if one.shot_first <= index)


def playback_of(run: Run) -> tuple[Playback, tuple[str, ...]]:
    """Return what there is to be played again, and what is to be said of the record. RecordError where it cannot be."""
    played, notes = recorded_image(run)
    rows, erasures, note = erasures_of(run.committed_rows, run.misses, str(run.path))
    notes += (note,) if note else ()
    if parts := run.image_parts:
        legs, end = _legs(decode_image((run.path / "image").read_bytes()), parts)
        if end < len(rows):
            notes += (f"{run.path}: the armed image of the leg from shot {end} on is not on record: not played again",)
        rows = rows[:end]
    else:
        legs = ()
    if played.epochs is None or not len(rows):
        return Playback(played, rows, None, erasures, legs), notes
    paced = (run.start or {}).get("clock", "real") != "virtual"
    found = entries_of(played, run.epochs, rows, paced=paced, where=str(run.path))
    notes += (found.note,) if found.note else ()
    return Playback(played, rows[: found.shot_end], found.entries, erasures, legs), notes


def _legs(base: Image, parts: Sequence[bytes]) -> tuple[tuple[Played, ...], int]:
    """Return the images of the legs that follow one another, and the shot after the last of them."""
    legs: list[Played] = []
    end = 0
    for part in parts:
        base = with_part(base, part)
        one = from_image(base)
        if one.shot_first != end:
            break
        legs.append(one)
        end += one.shot_count
    return tuple(legs), end


def recorded_image(run: Run) -> tuple[Played, tuple[str, ...]]:
    """Return the image as it lies in the folder, changed or not, and what is to be said of the record.

    RecordError where there is none, or none that a simulated port can play.
    """
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
def armed(playback: Playback, count: int, played: Played | None = None) -> Iterator[tuple[kernel.Kernel, kernel.Ring]]:
    """Yield an armed kernel for the shots of an image before shot `count`, and the ring that it writes.

    played: one of the playback's images, its first if None. RecordError if it cannot be armed.
    """
    played = playback.played if played is None else played
    first, count = played.shot_first, count - played.shot_first
    port = named_entry("qrt.ports", played.twin, "image: twin")(played.plant)  # lives as long as the kernel
    dtype = kernel.row_dtype(len(played.sequence.slots), played.sequence.emit_count)
    with ExitStack() as stack:
        try:
            ring = stack.enter_context(kernel.Ring.create(dtype.itemsize, min(RING_SLOTS, power_of_two(count)), 1))
            config = kernel.Config(
                sequence=_without_raw(played.sequence),
                port=port.address,
                rings=kernel.Rings(rows=ring),
                shot_count=count,
                shot_first=first,
                sweep=played.sweep,
                epochs=_epochs(playback, played, first + count, stack),
                stretched_first=played.stretched_first,
                port_origin_tick=(first + played.stretched_first) * played.sequence.period_ticks,
                tick_ps=played.tick_ps,
                seed=played.seed,
                skips=skips_of(playback.rows[first : first + count], first),
                erasures=_within(playback.erasures, first, first + count),
            )
            loop = stack.enter_context(kernel.Kernel(config))
        except (BugError, OverflowError) as error:  # from a compiler it would be a bug, from a file it is damage
            raise RecordError(f"armed image: not whole: {error}") from error
        yield loop, ring


def _within(erasures: NDArray[Any], first: int, end: int) -> NDArray[Any]:
    """Return those of the shots from `first` to before `end`."""
    return erasures[(erasures["shot"] >= first) & (erasures["shot"] < end)]


def _epochs(playback: Playback, played: Played, end: int, stack: ExitStack) -> kernel.Epochs | None:
    """Return where the kernel finds the epochs of an image's shots before `end`: a ring that is kept full until `stack` is left."""
    epochs = played.epochs
    if epochs is None or playback.entries is None:
        return None
    shots = playback.entries["number"] * epochs.batch_shots
    entries = playback.entries[(played.shot_first <= shots) & (shots < end)]
    slots = min(RING_SLOTS, power_of_two(len(entries)))
    ring = stack.enter_context(kernel.Ring.create(entries.dtype.itemsize, slots, 1))
    stack.enter_context(feeding(ring, entries))
    return kernel.Epochs(ring, epochs.values, epochs.delay, epochs.batch_shots, first=epochs.first)


@contextmanager
def feeding(ring: kernel.Ring, records: NDArray[Any]) -> Iterator[None]:
    """Write records into a ring, on a thread, as fast as its readers take them; leaving ends that, whatever is left."""
    left = threading.Event()

    def feed() -> None:
        done = 0
        while done < len(records) and not left.is_set():
            done += ring.write(records[done : done + RING_SLOTS])
            if done < len(records):
                left.wait(FEED_S)
        ring.finish()

    thread = threading.Thread(target=feed, name="qrt-feeding", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def skips_of(rows: NDArray[Any], first: int = 0) -> NDArray[Any]:
    """Return the ranges of skipped shots as the kernel takes them: SKIP_DTYPE [ranges], ascending. Row i is shot first + i."""
    skipped = np.flatnonzero((rows["flags"] & kernel.ROW_SKIPPED) != 0)
    if not len(skipped):
        return np.zeros(0, kernel.SKIP_DTYPE)
    starts = np.flatnonzero(np.diff(skipped, prepend=skipped[0] - 2) > 1)
    ranges = np.zeros(len(starts), kernel.SKIP_DTYPE)
    ranges["shot"] = first + skipped[starts]
    ranges["count"] = np.diff(np.append(starts, len(skipped)))
    return ranges


def erasures_of(
    rows: NDArray[Any], misses: Iterable[Mapping[str, Any]], where: str
) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Return the rows that can be played again, the erased shots as the kernel takes them, and what is to be said of the others.

    A run that was killed while it erased a shot may have its row and not its miss: the rows end before it.
    """
    erased = np.flatnonzero((rows["flags"] & kernel.ROW_ERASED) != 0)
    known = {miss["shot"]: miss for miss in misses if miss["class"] in documents.ERASING}
    erasures = np.zeros(len(erased), kernel.ERASURE_DTYPE)
    for place, shot in enumerate(erased.tolist()):
        miss = known.get(shot)
        if miss is None or not {"done_count", "played_on"} <= miss.keys():
            note = f"{where}: shot {shot} was erased, and no miss on record says how far it came: what follows cannot be played again"
            return rows[:shot], erasures[:place], note
        kind = documents.MISS_CLASSES.index(miss["class"])
        erasures[place] = (shot, kind, miss["done_count"], miss["played_on"])
    return rows, erasures, ""


def rows_of(loop: kernel.Kernel, ring: kernel.Ring, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Start the kernel and yield its rows, part by part, until it has ended. Each part is valid until the next is asked for."""
    loop.start()
    closed = False
    while not closed:
        closed = ring.closed
        ring.wait(READER, CHUNK_ROWS, 0.05)
        while len(part := ring.peek(READER, dtype)):
            yield part
            ring.release(READER, len(part))


def logged(playback: Playback, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return row [1] and events of one shot, played from its leg's beginning; a row of zeros if the kernel ends in it."""
    played = playback.at(index)
    sequence = played.sequence  # which may be another one than that of the recorded rows
    dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
    with armed(playback, index + 1, played) as (loop, ring):
        loop.log_shot(index)
        row = np.zeros(1, dtype)
        for part in rows_of(loop, ring, dtype):
            if part["shot"][-1] == index:
                bytes_of(row)[:] = bytes_of(part[-1:])  # a structured copy would leave the padding out
        loop.join()
        return row, loop.events.copy()


def bytes_of(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Return rows as bytes, [rows, size]."""
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)


def first_wrong(data: NDArray[np.uint8], expected: NDArray[np.uint8]) -> int | None:
    """Return the index of the first row, of rows as bytes, that differs; None if none does."""
    wrong = np.flatnonzero((data != expected).any(axis=1))
    return int(wrong[0]) if len(wrong) else None


def differing_field(row: Any, other: Any) -> str | None:
    """Return the first field in which two rows of one dtype differ, what a shot began with first; None if in none."""
    early, late = ("shot", "tick", "epoch", "flags"), ("trace_hash",)  # the last differs with whatever else does
    between = (name for name in row.dtype.names if name not in early + late)
    return next((name for name in (*early, *between, *late) if not np.array_equal(row[name], other[name])), None)


def _without_raw(sequence: ShotSequence) -> ShotSequence:
    """Return the sequence without recording captures raw, which leaves no trace."""
    captures = sequence.captures.copy()
    captures["raw"] = 0
    return msgspec.structs.replace(sequence, captures=captures)
