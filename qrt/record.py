"""The run folder: how results reach the disk. The shell around `journal.py`.

    <runs>/<uid>/
      shots.bin      raw rows, fixed size: the trace. `sha256sum shots.bin` is the run's digest
      lateness.bin   int64 per row: telemetry, outside the digest
      journal        commits of row ranges with their CRC-32, documents, hashes of the files put here (journal.py)
      layout.json    numpy's dtype of a row and the names of captures and bits
      README.txt     how to read all this with numpy alone
      image          what the kernel was armed with, as bytes (`write_image`); lab, program, calibration: whatever `put` was given

A row is acknowledged, `durable_shot` passes it, once it, its lateness and then the commit record that covers it have been synced, in this
order: three syncs a commit, so rows are committed in groups (recorder.py decides when). A commit holds the CRC-32 of its range and of the
whole file up to its end, so that one damaged commit does not orphan the rows behind it. The folder is built under a hidden name and renamed
when it is whole: it is there entirely or not at all.

No room: what the failed call wrote is cut off again, a reserve is given back to the file system so that the record can still be
closed, and MachineError says where and how much. A failed sync: the folder is dead, since the kernel may have dropped what it could not
write, and trying again would report success; every later call raises the same error.

One writer; calls from several threads are the caller's to serialise. Raw captures have files of their own (captured.py).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from qrt import wire
from qrt.errors import BugError, MachineError, RecordError, WorldError
from qrt.journal import FORMAT_VERSION, Kind, Writer
from qrt.layout import README, Layout, encode_image, encode_layout

RESERVE_BYTES: Final = 1 << 16  # enough for a last commit, a stop document and some misses
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OWN_NAMES: Final = frozenset({"shots.bin", "lateness.bin", "journal", "layout.json", "README.txt", "reserve"})
_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC


def new_uid(t_ns: int) -> str:
    """Return a new run's name: UTC time, so that names sort, and 32 random bits."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime(t_ns // 10**9)) + uuid.uuid4().hex[:8]


def check_writable(runs: Path, size: int = 0) -> None:
    """Make the folder of runs if it is not there, and write a file without a name in it. MachineError if that fails.

    size: bytes of a run, for which the disk has to have room; it is not set aside, and a disk that fills up meanwhile closes the record.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs) as file:
            file.write(b"\xa5" * RESERVE_BYTES)
            file.flush()
    except OSError as error:
        raise MachineError(_unwritable(runs, error)) from error
    free = shutil.disk_usage(runs).free
    if size > free:
        raise MachineError(
            f"{runs}: the run would take {size / 2**30:.4g} GiB, and {free / 2**30:.4g} GiB are free: take fewer shots, "
            "free some space, or choose another folder (--runs)"
        )


def size_of(row: np.dtype[Any], shots: int) -> int:
    """Return how many bytes so many shots take: rows and their lateness."""
    return shots * (row.itemsize + np.dtype(np.int64).itemsize)


class RunFolder:
    """A run folder that is being written. Made by `create`; a context manager that closes it."""

    def __init__(self, path: Path, uid: str, layout: Layout, descriptors: Mapping[str, int]) -> None:
        self.path = path
        self.uid = uid
        self.layout = layout
        self.durable_shot = layout.shot_first  # every shot below it is on disk
        self.tick = 0  # of the last appended shot
        self.rec = 0  # number of the last journal record
        self.counters = {"commits": 0, "journal_retries": 0, "rows_refused": 0}
        self._fd = dict(descriptors)
        self._size = dict.fromkeys(descriptors, 0)
        self._writer = Writer()
        self._sha256 = hashlib.sha256()
        self._row_size = layout.dtype.itemsize
        self._committed = 0  # rows
        self._appended = 0  # rows
        self._crc = self._crc_total = self._crc_lateness = 0
        self._dead: MachineError | None = None

    @classmethod
    def create(cls, runs: Path, uid: str, layout: Layout) -> RunFolder:
        """Make `runs`/`uid`, durable when this returns. MachineError if it cannot be written or exists."""
        if not wire.UID_PATTERN.fullmatch(uid):
            raise RecordError(f"run uid {uid!r} does not match {wire.UID_PATTERN.pattern}")
        path, partial = runs / uid, runs / f".{uid}.partial"
        descriptors: dict[str, int] = {}
        try:
            runs.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            for name in ("shots.bin", "lateness.bin", "journal"):
                descriptors[name] = os.open(partial / name, _CREATE, 0o644)
            fcntl.flock(
                descriptors["journal"], fcntl.LOCK_EX
            )  # ends with the process: tells a live run from a dead one
            _write_file(partial / "layout.json", encode_layout(layout, uid))
            _write_file(partial / "README.txt", README.encode())
            _write_file(partial / "reserve", b"\xa5" * RESERVE_BYTES)
            folder = cls(path, uid, layout, descriptors)
            folder._journal(Kind.HEAD, {"format": "qrt-journal", "v": FORMAT_VERSION, "run": uid})
            _sync_folder(partial)
            if path.exists():
                raise MachineError(f"{path}: exists already; each run has a folder of its own: choose another uid")
            partial.rename(path)
            _sync_folder(runs)
        except (OSError, WorldError) as error:
            for descriptor in descriptors.values():
                os.close(descriptor)
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError):
                raise MachineError(_unwritable(runs, error)) from error
            raise
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def appended_shot(self) -> int:
        """Every shot below it has been appended; those from `durable_shot` on are not committed yet."""
        return self.layout.shot_first + self._appended

    def put(self, name: str, data: bytes) -> str:
        """Write a file of the folder, whole and durable, and its hash into the journal; return its SHA-256 in hex."""
        if name in _OWN_NAMES or not wire.UID_PATTERN.fullmatch(name):
            raise RecordError(
                f"file name {name!r}: taken by the folder itself, or does not match {wire.UID_PATTERN.pattern}"
            )
        self._check_alive()
        digest = hashlib.sha256(data).hexdigest()
        partial = self.path / f".{name}.partial"
        try:
            _write_file(partial, data)
            partial.rename(self.path / name)
            _sync_folder(self.path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise MachineError(_unwritable(self.path, error)) from error
        self._journal(Kind.FILE, {"name": name, "size": len(data), "sha256": digest})
        return digest

    def write_image(self, arrays: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]) -> str:
        """Write the armed image: named arrays, structured ones included, and plain fields; return its SHA-256 in hex."""
        return self.put("image", encode_image(arrays, fields))

    def append(self, rows: NDArray[Any], lateness_ns: NDArray[np.int64]) -> None:
        """Write rows [shots] and their lateness [shots]; not durable before `commit`.

        All or nothing: on MachineError none of them is in the record, and the record can still be closed.
        """
        self._check_alive()
        if not len(rows):
            return
        assert rows.dtype.itemsize == self._row_size
        assert len(rows) == len(lateness_ns)
        first = self.appended_shot
        if int(rows["shot"][0]) != first or int(rows["shot"][-1]) != first + len(rows) - 1:
            raise BugError(f"rows of shots {rows['shot'][0]} to {rows['shot'][-1]} where shot {first} is due")
        row_bytes = np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data
        lateness_bytes = np.ascontiguousarray(lateness_ns, dtype="<i8").view(np.uint8).data
        try:
            self._write("shots.bin", row_bytes)
            self._write("lateness.bin", lateness_bytes)
        except OSError as error:
            self._cut("shots.bin", self._appended * self._row_size)
            self._cut("lateness.bin", self._appended * 8)
            self.counters["rows_refused"] += len(rows)
            self._release_reserve()
            what = f"shots {first} to {first + len(rows) - 1} are not in the record, which ends before shot {first}"
            raise MachineError(f"{_unwritable(self.path, error)}; {what}") from error
        self._crc = zlib.crc32(row_bytes, self._crc)
        self._crc_total = zlib.crc32(row_bytes, self._crc_total)
        self._crc_lateness = zlib.crc32(lateness_bytes, self._crc_lateness)
        self._sha256.update(row_bytes)
        self._appended += len(rows)
        self.tick = int(rows["tick"][-1])

    def commit(self) -> int:
        """Make everything appended durable, acknowledge it, and return the commit's journal number (the last one if nothing was new)."""
        self._check_alive()
        if self._appended == self._committed:
            return self.rec
        self._sync("shots.bin")
        self._sync("lateness.bin")
        count = self._appended - self._committed
        crcs = {"crc": self._crc, "crc_total": self._crc_total, "lateness_crc": self._crc_lateness}
        self._journal(Kind.COMMIT, {"row": self._committed, "count": count, **crcs})
        self._crc = self._crc_lateness = 0
        self._committed = self._appended
        self.durable_shot = self.appended_shot
        self.counters["commits"] += 1
        return self.rec

    def document(self, doc: str, stream: str, body: Mapping[str, Any], *, t_ns: int, sync: bool = True) -> int:
        """Write a document into the journal and return its number; without `sync` the next commit or document makes it durable."""
        self._check_alive()
        head = {"doc": doc, "stream": stream, "tick": self.tick, "t_ns": t_ns, "durable_shot": self.durable_shot}
        self._journal(Kind.DOCUMENT, {**head, "body": dict(body)}, sync=sync)
        return self.rec

    def image_part(self, leg: int, part: bytes, *, sync: bool = True) -> int:
        """Write what a leg's armed image has otherwise into the journal, as a document is written."""
        self._check_alive()
        self._journal(Kind.IMAGE, {"leg": leg, "image": np.frombuffer(part, np.uint8)}, sync=sync)
        return self.rec

    def digest(self) -> str:
        """Return the SHA-256, in hex, of shots.bin as appended so far."""
        return self._sha256.hexdigest()

    def close(self) -> None:
        """Close the files. Commits nothing: what was not committed is not in the record. Safe to call twice."""
        for descriptor in self._fd.values():
            os.close(descriptor)
        if self._fd:
            self._release_reserve()
        self._fd = {}
        self._dead = self._dead or MachineError(f"{self.path}: the record is closed")

    # ---- Bytes ---------------------------------------------------------------------------------------------------------

    def _journal(self, kind: Kind, body: Mapping[str, Any], *, sync: bool = True) -> None:
        """Append a record; where there is no room, once more after the reserve has been given back."""
        packed = wire.bundle(body, kind.name.lower())  # refused before it takes a number
        number, start = self._writer.seq_next, self._size["journal"]
        data = self._writer.record(kind, packed)
        try:
            try:
                self._write("journal", data)
            except OSError as error:
                self._cut("journal", start)
                if error.errno not in _NO_ROOM or not self._release_reserve():
                    raise
                self.counters["journal_retries"] += 1
                self._write("journal", data)
        except OSError as error:
            self._cut("journal", start)
            self._die(MachineError(f"{_unwritable(self.path, error)}; the journal ends before record {number}"), error)
        if sync:
            self._sync("journal")
        self.rec = number

    def _write(self, name: str, data: bytes | memoryview) -> None:
        """Write all of it. OSError leaves a part of it in the file: the caller cuts."""
        view = memoryview(data)
        while view:
            written = os.write(self._fd[name], view)
            self._size[name] += written
            view = view[written:]

    def _cut(self, name: str, size: int) -> None:
        try:
            os.ftruncate(self._fd[name], size)
            os.lseek(self._fd[name], size, os.SEEK_SET)
        except OSError as error:
            self._die(MachineError(f"{_unwritable(self.path, error)}; {name} ends in a torn write"), error)
        self._size[name] = size

    def _sync(self, name: str) -> None:
        try:
            os.fdatasync(self._fd[name])
        except OSError as error:
            known = f"every shot below {self.durable_shot} is on disk, later ones may not be"
            fix = "the record is closed: check the disk, then start a new run"
            self._die(MachineError(f"{self.path / name}: cannot be synced: {error.strerror}; {known}; {fix}"), error)

    def _release_reserve(self) -> bool:
        try:
            (self.path / "reserve").unlink()
        except FileNotFoundError:
            return False
        return True

    def _die(self, death: MachineError, cause: OSError) -> None:
        self._dead = death
        raise death from cause

    def _check_alive(self) -> None:
        if self._dead is not None:
            raise self._dead


# ---- The file system ---------------------------------------------------------------------------------------------------------


def _write_file(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _CREATE, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> str:
    """Return what failed, where, and what to do about it."""
    if error.errno in _NO_ROOM:
        free = shutil.disk_usage(_existing(path)).free
        fix = f"{free} bytes are free on {_mount(path)}: free some space there, or choose another folder with --runs"
    else:
        fix = "make it writable, or choose another folder with --runs (or `runs` in the lab file)"
    return f"{path}: cannot be written: {error.strerror}; {fix}"


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _mount(path: Path) -> Path:
    path = _existing(path).resolve()
    while not path.is_mount():
        path = path.parent
    return path
