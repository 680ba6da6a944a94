"""A recorded run, opened: arrays by name, documents, and what of it can be trusted.

`open_run` reads a folder that record.py wrote, whether the run ended well, is still going on, or was killed. Nothing is written and no lock
is waited for. The rows of the run are those from the first shot on that commits cover and whose CRC-32 matches: `rows`. Whatever else was
found, a tail without a commit, bit rot, a journal cut short, is said in `cut`, and ranges behind a damage that still match are in
`ranges`, to be had from `file_rows`. Arrays are memory maps: opening 10^7 shots reads them once, to check, and keeps nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import documents, wire
from qrt.arrays import Columns, columns_of
from qrt.axes import from_document
from qrt.captured import LAYOUT, read_captures
from qrt.epochs import Epoch, epochs_of
from qrt.errors import RecordError
from qrt.image import Played, from_image, sweep_points
from qrt.journal import FORMAT_VERSION, Kind, Record, Scan, scan
from qrt.layout import Image, Layout, decode_image, decode_layout
from qrt.legs import PlayedLeg, recorded_legs, values_of
from qrt.shots import output_column
from qrt.types import Estimate

CHECK_BYTES: Final = 1 << 24  # read at a time when ranges are checked
PAGE_ROWS: Final = 4096


class Document(msgspec.Struct, frozen=True):
    """A document as recorded, with its place in the journal."""

    doc: str
    stream: str
    tick: int
    t_ns: int
    durable_shot: int
    body: dict[str, Any]
    rec: int = 0


class Commit(msgspec.Struct, frozen=True):
    """Rows [row, row + count) are on disk. crc is theirs, crc_total that of all rows up to their end."""

    row: Annotated[int, msgspec.Meta(ge=0)]
    count: Annotated[int, msgspec.Meta(ge=1)]
    crc: int
    crc_total: int
    lateness_crc: int
    rec: int = 0

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.row + self.count


class Run:
    """One run folder, read. Made by `open_run`.

    rows: [shots] structured, as in layout.json; lateness_ns: [shots] int64; outcomes[name]: [shots] uint8, 0, 1 or 255; iq[name]:
    [shots, 2] int64; bits[name]: [shots] uint8; values[name]: [shots] what an output of the program came to, int64 or uint64, of a bool
    bool, of an angle float64 in rad from 0 to 2 pi, of a duration float64 in s. `committed_rows` are those that commits cover,
    whether they still match or not. `cut` is empty if nothing is missing; `complete` means that and a stop document.
    """

    def __init__(self, path: Path, uid: str, layout: Layout, journal: Scan) -> None:
        self.path = path
        self.uid = uid
        self.layout = layout
        self.damage = journal.damage
        self._documents, self._commits, self._files, self._parts = _sorted_records(journal.records)
        self.file_rows: NDArray[Any] = _mapped(path / "shots.bin", layout.dtype)
        lateness = _mapped(path / "lateness.bin", np.dtype("<i8"))
        self.ranges, notes = check_ranges(self.file_rows, self._commits)
        count = self.ranges[0][1] if self.ranges and self.ranges[0][0] == 0 else 0
        self.rows = self.file_rows[:count]
        self.committed_rows = self.file_rows[: max((commit.end for commit in self._commits), default=0)]
        self.lateness_ns = lateness[:count]
        self.live = _is_live(path)
        notes += [str(damage) for damage in journal.damage]
        notes += _surplus_notes(path, layout, count, self._commits)
        notes += _lateness_notes(lateness, self._commits, count)
        if self.stop is None:
            notes.append(
                "no stop document: " + ("the run is still being written" if self.live else "the run was cut short")
            )
        self.cut = "; ".join(notes)
        rows = self.rows
        self.outcomes = Columns(layout.captures, lambda index: rows["outcomes"][:, index], "capture")
        self.iq = Columns(layout.captures, lambda index: rows["iq"][:, index, :], "capture")
        self.bits = Columns(
            layout.bits, lambda index: ((rows["bits"] >> np.uint64(index)) & np.uint64(1)).astype(np.uint8), "bit"
        )
        self.values = Columns(layout.outputs, lambda index: output_column(rows, layout, index), "output")

    def __repr__(self) -> str:
        return f"<run {self.uid}: {len(self.rows)} shots, {self.cut or _ended(self.stop)}>"

    @property
    def valid(self) -> NDArray[np.bool_]:
        """[shots]: whether a shot counts, which is to say that it was neither skipped nor erased."""
        valid: NDArray[np.bool_] = self.rows["flags"] == 0
        return valid

    @property
    def complete(self) -> bool:
        """Whether the run was closed and everything in it matches."""
        return not self.cut

    @property
    def start(self) -> dict[str, Any] | None:
        """The start document, None if the run was cut before it."""
        return self._one("start")

    @property
    def descriptor(self) -> dict[str, Any] | None:
        """The descriptor of the shots."""
        return self._one("descriptor")

    @property
    def stop(self) -> dict[str, Any] | None:
        """The stop document, None if the run was cut short or goes on."""
        return self._one("stop")

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The last estimate of each name, in the order in which the names came."""
        last = {document.body["name"]: document.body for document in self.documents("estimate")}
        try:
            return tuple(msgspec.convert(body, Estimate) for body in last.values())
        except msgspec.ValidationError as error:
            raise RecordError(f"{self.path}: an estimate of another version: {error}") from error

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """What controllers made of the batches, by number; whether one was in time, the rows say: `rows["epoch"]`."""
        return epochs_of((document.body for document in self.documents("epoch")), str(self.path))

    @cached_property
    def legs(self) -> tuple[PlayedLeg, ...]:
        """The legs of a sweep, between which settings were changed: one where none was, and none without a sweep."""
        bodies = (document.body for document in self.documents("leg"))
        return recorded_legs((self.start or {}).get("sweep"), bodies, str(self.path))

    @cached_property
    def axes(self) -> dict[str, NDArray[np.float64]]:
        """The values of each axis of a sweep, in the order of the grid, the last one fastest; none without a sweep.

        As asked for: what settings were is in `swept`. The points of an adaptive sweep are numbered.
        """
        sweep = (self.start or {}).get("sweep")
        if not sweep:
            return dict(self._played.axes)
        if "adaptive" in sweep:
            return {"point": np.arange(len(self.legs), dtype=np.float64)}
        grid = from_document(sweep)
        assert grid is not None
        return {axis.name: axis.floats() for axis in grid.axes}

    @cached_property
    def swept(self) -> Columns[NDArray[np.float64]]:
        """Per name that a sweep varies: float64 [shots], its value in each shot, of a setting as it was read back."""
        if self.legs:
            values = values_of(self.legs, self.rows["shot"])
            return Columns(tuple(values), lambda index: list(values.values())[index], "swept input or setting")
        sweep, axes = self._played.sweep, self.axes
        shape = tuple(map(len, self.axes.values()))
        points = sweep_points(sweep, shape, self.rows["shot"])
        return Columns(tuple(axes), lambda index: list(axes.values())[index][points[index]], "swept input")

    @cached_property
    def _played(self) -> Played:
        return from_image(self.image())

    @property
    def misses(self) -> tuple[dict[str, Any], ...]:
        """The misses, as their documents say them."""
        return tuple(document.body for document in self.documents("miss"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as the place where it is: a run is opened again."""
        return open_run, (self.path.absolute(),)

    def documents(self, doc: str) -> tuple[Document, ...]:
        """Return the recorded documents of a name, in order."""
        return tuple(document for document in self._documents if document.doc == doc)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of `rows`: that of shots.bin if nothing was cut."""
        sha256 = hashlib.sha256()
        for part in _parts(self.rows):
            sha256.update(part)
        return sha256.hexdigest()

    def file(self, name: str) -> bytes:
        """Return a file that was put into the folder; RecordError if it is not there or not the bytes that were put."""
        if name not in self._files:
            raise RecordError(f"{self.path}: no file {name!r} on record; there are: {', '.join(self._files) or 'none'}")
        data = _read(self.path / name)
        if (found := hashlib.sha256(data).hexdigest()) != self._files[name]:
            raise RecordError(
                f"{self.path / name}: SHA-256 {found[:16]}, on record is {self._files[name][:16]}: changed or damaged"
            )
        return data

    @property
    def files(self) -> dict[str, str]:
        """Name and SHA-256 of each file that was put into the folder."""
        return dict(self._files)

    @cached_property
    def captures(self) -> Mapping[str, NDArray[np.int16]]:
        """The raw captures by name: int16 [shots that executed it, samples], in the order of time; none where nothing was recorded raw."""
        found = read_captures(self.path, self.file(LAYOUT)) if LAYOUT in self._files else {}
        return columns_of(found, "raw capture (of capture_v3)")

    def image(self) -> Image:
        """Return what the kernel was armed with, in the first leg."""
        return decode_image(self.file("image"))

    @property
    def image_parts(self) -> tuple[bytes, ...]:
        """What the armed image of each leg has otherwise than the one before; none where nothing was set during the run."""
        return tuple(self._parts[leg] for leg in sorted(self._parts))

    def messages(self) -> Iterator[wire.Message]:
        """Yield what a listener who lost nothing would have got, pages from the rows, in the journal's order.

        Pages are cut at commits; `seq` counts afresh; heartbeats are not recorded.
        """
        last_seq: dict[str, int] = {}
        time_s = float(self.start["time"]) if self.start else 0.0
        entries: list[Document | Commit] = [*self._documents, *self._commits]
        for entry in sorted(entries, key=lambda entry: entry.rec):
            if isinstance(entry, Document):
                yield self._message(entry, last_seq)
                continue
            for first in range(entry.row, min(entry.end, len(self.rows)), PAGE_ROWS):
                part = slice(first, min(first + PAGE_ROWS, entry.end, len(self.rows)))
                rows, lateness = self.rows[part], self.lateness_ns[part]
                page = documents.event_page(self.uid, rows, lateness, time_s=time_s, tick_ps=self.layout.tick_ps)
                durable = self.layout.shot_first + entry.end
                tick = int(rows["tick"][-1])
                yield self._message(Document("event_page", "primary", tick, 0, durable, page, entry.rec), last_seq)

    def _message(self, document: Document, last_seq: dict[str, int]) -> wire.Message:
        topic = wire.topic_of(self.uid, document.stream, document.doc)
        last_seq[topic] = last_seq.get(topic, -1) + 1
        header = wire.Header(
            doc=document.doc,
            seq=last_seq[topic],
            rec=document.rec,
            run=self.uid,
            tick=document.tick,
            t_ns=document.t_ns,
            durable_shot=document.durable_shot,
        )
        return wire.Message(topic, header, document.body)

    def _one(self, doc: str) -> dict[str, Any] | None:
        found = self.documents(doc)
        return found[-1].body if found else None


def _ended(stop: Mapping[str, Any] | None) -> str:
    """Return how a closed run ended, in words."""
    status, reason = (stop or {}).get("exit_status"), (stop or {}).get("reason")
    return "complete" if status == "success" else f"{status}: {reason}"


def open_run(path: str | Path) -> Run:
    """Return the run in a folder; RecordError if it is not one, naming what is missing."""
    path = Path(path)
    if not path.is_dir():
        raise RecordError(f"{path}: no such folder; give a run's folder, as `qrt run` prints it at its end")
    for name in ("layout.json", "journal", "shots.bin", "lateness.bin"):
        if not (path / name).is_file():
            inside = sorted(child.name for child in path.iterdir() if (child / "layout.json").is_file())
            hint = f"; it holds runs, the last is {path / inside[-1]}" if inside else ""
            raise RecordError(f"{path}: not a run's folder: it has no {name}{hint}")
    uid, layout = decode_layout(_read(path / "layout.json"), path / "layout.json")
    journal = scan(_read(path / "journal"))
    head = next((record for record in journal.records if record.kind is Kind.HEAD), None)
    if head is not None:
        fields = wire.unbundle(head.body, f"{path / 'journal'} record {head.seq}")
        if fields.get("v") != FORMAT_VERSION or fields.get("run") != uid:
            found = f"version {fields.get('v')!r} of run {fields.get('run')!r}"
            raise RecordError(f"{path / 'journal'}: {found}; expected version {FORMAT_VERSION} of run {uid!r}")
    return Run(path, uid, layout, journal)


# ---- What can be trusted -------------------------------------------------------------------------------------------------


def check_ranges(rows: NDArray[Any], commits: Sequence[Commit]) -> tuple[tuple[tuple[int, int], ...], list[str]]:
    """Return the row ranges [first, end) whose commits match, joined where they touch, and a note for each that does not.

    Where commit records are missing, the next one's CRC of the whole file vouches for their rows, if all before those match.
    """
    ranges: list[tuple[int, int]] = []
    notes = []
    due = prefix = crc_prefix = 0  # where the next commit begins; rows [0, prefix) match and have this CRC
    for commit in commits:
        rows_text = f"rows {commit.row} to {commit.end - 1}"
        if commit.row < due or commit.end > len(rows):
            notes.append(
                f"commit record {commit.rec} is of {rows_text}; shots.bin has {len(rows)}, and row {due} was due"
            )
            continue
        first = commit.row
        good = _crc(rows[first : commit.end], 0) == commit.crc
        if not good:
            notes.append(f"shots.bin: {rows_text} do not match the CRC-32 of commit record {commit.rec}")
        if first > due:
            if good and prefix == due and _crc(rows[due : commit.end], crc_prefix) == commit.crc_total:
                first = due
            else:
                notes.append(
                    f"rows {due} to {first - 1}: no commit record is left, and what is there cannot be vouched for"
                )
        if good and prefix == first:
            prefix, crc_prefix = commit.end, commit.crc_total
        if good and ranges and ranges[-1][1] == first:
            ranges[-1] = (ranges[-1][0], commit.end)
        elif good:
            ranges.append((first, commit.end))
        due = commit.end
    return tuple(ranges), notes


def _sorted_records(
    records: Sequence[Record],
) -> tuple[list[Document], list[Commit], dict[str, str], dict[int, bytes]]:
    """Return documents, commits, files (name -> SHA-256) and parts of images (leg -> bytes) of a journal."""
    parts: dict[int, bytes] = {}
    found: list[Document] = []
    commits: list[Commit] = []
    files: dict[str, str] = {}
    for record in records:
        where = f"journal record {record.seq} at offset {record.offset}"
        body = wire.unbundle(record.body, where)
        try:
            if record.kind is Kind.DOCUMENT:
                inner = body.pop("body")
                found.append(Document(**msgspec.convert(body, dict[str, Any]), body=inner, rec=record.seq))
            elif record.kind is Kind.COMMIT:
                commits.append(msgspec.convert({**body, "rec": record.seq}, Commit))
            elif record.kind is Kind.FILE:
                files[str(body["name"])] = str(body["sha256"])
            elif record.kind is Kind.IMAGE:
                parts[int(body["leg"])] = body["image"].tobytes()
        except (KeyError, TypeError, ValueError, AttributeError, msgspec.ValidationError) as error:
            raise RecordError(f"{where}: a {record.kind.name.lower()} of another version: {error}") from error
    return found, commits, files, parts


def _surplus_notes(path: Path, layout: Layout, count: int, commits: Sequence[Commit]) -> list[str]:
    """Say what lies behind the last commit: rows that were never acknowledged."""
    end = max((commit.end for commit in commits), default=0)
    surplus = (path / "shots.bin").stat().st_size - end * layout.dtype.itemsize
    if surplus <= 0:
        return []
    rows, torn = divmod(surplus, layout.dtype.itemsize)
    return [
        f"shots.bin: {rows} rows and {torn} bytes after row {end} have no commit and are cut; {count} rows are kept"
    ]


def _lateness_notes(lateness: NDArray[np.int64], commits: Sequence[Commit], count: int) -> list[str]:
    return [
        f"lateness.bin: rows {commit.row} to {commit.end - 1} do not match the CRC-32 of commit record {commit.rec}"
        for commit in commits
        if commit.end <= count and _crc(lateness[commit.row : commit.end], 0) != commit.lateness_crc
    ]


def _parts(array: NDArray[Any]) -> Iterator[memoryview]:
    """Yield the bytes of an array in pieces."""
    step = max(CHECK_BYTES // array.dtype.itemsize, 1)
    for first in range(0, len(array), step):
        yield np.ascontiguousarray(array[first : first + step]).view(np.uint8).reshape(-1).data


def _crc(array: NDArray[Any], crc: int) -> int:
    for part in _parts(array):
        crc = zlib.crc32(part, crc)
    return crc


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a file's whole elements as a read-only memory map; an empty file cannot be mapped and is an empty array."""
    count = path.stat().st_size // dtype.itemsize
    if not count:
        return np.empty(0, dtype=dtype)
    try:
        return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error


def _is_live(path: Path) -> bool:
    """Return whether a writer still has the folder: it holds a lock that ends with its process."""
    with (path / "journal").open("rb") as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
