"""Raw captures of a run: from the kernel's ring to `captures.bin`, on a thread of its own, and back as arrays.

The file holds records of one size, in the order of their ends: shot, capture, sample count, int16 samples; `captures.json`, written once
the last record is there, says what numpy's `dtype` takes and which capture is which. The trace, and with it the digest, knows nothing of
them: a replay finds the same samples by playing the shots again. A run without raw captures has neither file.

The ring holds RING_BYTES; a run in virtual time waits for the disk, a paced one drops and counts (`raw_dropped`).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence as Sequences
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.errors import MachineError, ProgramError, RecordError
from qrt.layout import dtype_entry, plain_dtype
from qrt.record import RunFolder
from qrt.types import Sequence

DATA, LAYOUT = "captures.bin", "captures.json"
RING_BYTES: Final = 1 << 25
RUN_BYTES_MAX: Final = 1 << 36
LOOK_S: Final = 0.05


def check_captures(sequence: Sequence, shots: int) -> None:
    """Raise ProgramError for more raw captures than a run may write."""
    size = captures_size(sequence, shots)
    if size > RUN_BYTES_MAX:
        raise ProgramError(
            f"the raw captures of {shots} shots would be {size / 2**30:.1f} GiB; possible are {RUN_BYTES_MAX / 2**30:.0f} GiB: take "
            "fewer shots, or capture_v1, which keeps one point of each"
        )


def captures_size(sequence: Sequence, shots: int) -> int:
    """Return how many bytes the raw captures of so many shots take, at most."""
    return _records(sequence, shots) * kernel.raw_dtype(kernel.raw_samples_max(sequence)).itemsize


def _records(sequence: Sequence, shots: int) -> int:
    return shots * int(np.count_nonzero(sequence.captures["raw"]))


def raw_ring(stack: ExitStack, sequence: Sequence, shots: int) -> kernel.Ring | None:
    """Return the ring of a run's raw captures, None if there are none."""
    samples = kernel.raw_samples_max(sequence)
    if not samples:
        return None
    size = kernel.raw_dtype(samples).itemsize
    slots = 1 << max(1, (min(RING_BYTES // size, _records(sequence, shots)) - 1).bit_length())
    return stack.enter_context(kernel.Ring.create(size, slots, 1))


class Captured:
    """A context manager around a run: writes what comes, whatever happens to the run."""

    def __init__(self, folder: RunFolder, ring: kernel.Ring | None, names: Sequences[str]) -> None:
        """Take the ring of raw_ring; with None there is nothing to do."""
        self._folder, self._ring, self._names = folder, ring, names
        self._ended = threading.Event()
        self._failure: OSError | None = None
        self._sha256, self._count = hashlib.sha256(), 0
        self._thread = threading.Thread(target=self._run, name="qrt-captures", daemon=True)

    def __enter__(self) -> Self:
        if self._ring is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ring is None:
            return
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise MachineError(
                f"{self._folder.path / DATA}: cannot be written: {self._failure.strerror}; make room"
            ) from self._failure
        dtype = kernel.raw_dtype((self._ring.slot_size - kernel.raw_dtype(0).itemsize) // 2)
        body = {"dtype": dtype_entry(dtype), "captures": list(self._names), "records": self._count}
        self._folder.put(LAYOUT, json.dumps(body | {"sha256": self._sha256.hexdigest()}, indent=1).encode())

    def _run(self) -> None:
        """Bring records to the disk until the run has ended and the ring is empty; after a failure, only out of the ring."""
        assert self._ring is not None
        dtype = np.dtype((np.void, self._ring.slot_size))
        with (self._folder.path / DATA).open("wb") as file:
            while True:
                ended = self._ended.is_set()  # read first: what was published before it is drained below
                self._ring.wait(0, 1, 0.0 if ended else LOOK_S)
                records = self._ring.peek(0, dtype)
                if ended and not len(records):
                    return
                try:
                    if self._failure is None:
                        file.write(records.tobytes())
                        self._sha256.update(records.tobytes())
                        self._count += len(records)
                except OSError as error:
                    self._failure = error
                self._ring.release(0, len(records))


def read_captures(folder: Path, layout: bytes) -> dict[str, NDArray[np.int16]]:
    """Return each raw capture's samples [shots that executed it, samples], a view of the file. Raises RecordError for damage."""
    try:
        fields = json.loads(layout)
        dtype, names, count = plain_dtype(fields["dtype"]), fields["captures"], int(fields["records"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{folder / LAYOUT}: not the layout of raw captures: {error!r}") from error
    if not count:
        return {}
    path = folder / DATA
    if not path.is_file() or path.stat().st_size != count * dtype.itemsize:
        raise RecordError(f"{path}: not the {count} records of {dtype.itemsize} bytes that {LAYOUT} names")
    records: NDArray[Any] = np.memmap(path, dtype, "r")
    found = {}
    for index in np.unique(records["capture"]).tolist():
        own = records[records["capture"] == index]
        found[str(names[index])] = own["samples"][:, : int(own["sample_count"][0])]
    return found
