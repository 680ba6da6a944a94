"""The shots of one batch, gathered from the rows ring in memory that outlives the process.

A batch is the shots with indices [kW, (k + 1)W). Rows are copied into shared memory that the run has made and keeps, then counted, then
given back to the ring, in this order: a process that is ended at any moment loses no row, and the one that takes its place counts none
twice. The header also says which law is stepping, for the run to name it if the process dies of it, and since when, for the run to end it.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from qrt.batch.messages import Points
from qrt.errors import MachineError
from qrt.kernel import ROW_SKIPPED

HEADER_BYTES: Final = 64
NEXT_SHOT: Final = 0  # words of the header
BATCH: Final = 1
STEPPING: Final = 2
BEGAN_NS: Final = 3  # when the laws began with the batch, on the monotonic clock, which all processes share
NOBODY: Final = -1


class Shots(NamedTuple):
    """A batch as the laws see it, but for what is each law's own: control.Observation has the meaning of the fields."""

    bits: NDArray[np.uint8]  # [batch, bits]
    outcomes: NDArray[np.uint8]  # [batch, captures]
    iq: NDArray[np.float64]  # [batch, captures, 2]
    valid: NDArray[np.bool_]  # [batch]
    point: NDArray[np.int64]  # [batch]
    epoch: NDArray[np.int64]  # [batch]


class BatchMemory:
    """Shared memory with a header and room for the rows of a batch. A context manager that gives up the descriptor."""

    def __init__(self, descriptor: int, size: int) -> None:
        """Use `create`, or give a descriptor that came from there."""
        self.descriptor, self.size = descriptor, size
        self._bytes = mmap.mmap(descriptor, size)
        self.header = np.frombuffer(self._bytes, np.int64, 4)

    @classmethod
    def create(cls, row_size: int, batch_shots: int) -> Self:
        """Return memory for a batch of rows of this size, at the run's beginning."""
        size = HEADER_BYTES + row_size * batch_shots
        try:
            descriptor = os.memfd_create("qrt-batch", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
            memory = cls(descriptor, size)
        except OSError as error:
            raise MachineError(
                f"no shared memory for {size} bytes; free memory, or lower `control.batch_shots`"
            ) from error
        memory.header[STEPPING] = NOBODY
        return memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    @property
    def stepping(self) -> int:
        """Which law is at work, NOBODY if none is."""
        return int(self.header[STEPPING])

    def begin(self) -> None:
        """Say that the laws begin with a batch."""
        self.header[BEGAN_NS] = time.monotonic_ns()

    def at(self, law: int) -> None:
        """Say which law is at work from now on."""
        self.header[STEPPING] = law

    @property
    def stepping_s(self) -> float:
        """How long the laws have been at work on a batch; 0 if none is."""
        return 0.0 if self.stepping == NOBODY else (time.monotonic_ns() - int(self.header[BEGAN_NS])) * 1e-9

    def rows(self, dtype: np.dtype[Any], batch_shots: int) -> NDArray[Any]:
        """Return its rows."""
        return np.frombuffer(self._bytes, dtype, batch_shots, HEADER_BYTES)


class Gathering:
    """Fills the memory, batch after batch."""

    def __init__(self, memory: BatchMemory, dtype: np.dtype[Any], batch_shots: int) -> None:
        """Go on with the batch that the memory holds."""
        self.dtype, self.memory = dtype, memory
        self._header = memory.header
        self._rows = memory.rows(dtype, batch_shots)
        self._bytes = self._rows.view(np.uint8).reshape(batch_shots, dtype.itemsize)
        if self.count == 0:
            self._blank()

    @property
    def batch(self) -> int:
        """Index of the batch."""
        return int(self._header[BATCH])

    @property
    def count(self) -> int:
        """How many of its shots have come."""
        return int(self._header[NEXT_SHOT]) - self.batch * len(self._rows)

    @property
    def missing(self) -> int:
        """How many of its shots have not."""
        return len(self._rows) - self.count

    def take(self, rows: NDArray[Any]) -> int:
        """Copy the rows that belong to this batch and were not there yet; return how many can be given back, in both cases."""
        first, end = self.batch * len(self._rows), (self.batch + 1) * len(self._rows)
        rows = rows[: int(np.searchsorted(rows["shot"], end))]
        new = rows[int(np.searchsorted(rows["shot"], self._header[NEXT_SHOT])) :]
        if len(new):
            self._bytes[new["shot"] - first] = new.view(np.uint8).reshape(len(new), -1)
            self._header[NEXT_SHOT] = new["shot"][-1] + 1
        return len(rows)

    def shots(self, bit_count: int, points: Points) -> Shots:
        """Return the batch; shots that have not come are not valid."""
        rows, first = self._rows, self.batch * len(self._rows)
        columns = np.arange(bit_count, dtype=np.uint64)
        valid = rows["flags"] == 0
        epoch = np.full(len(rows), rows["epoch"][self.count - 1])  # of its last shot; rows that never came say nothing
        return Shots(
            ((rows["bits"][:, None] >> columns) & np.uint64(1)).astype(np.uint8),
            rows["outcomes"].copy(),
            rows["iq"].astype(np.float64),
            valid,
            points.of(np.arange(first, first + len(rows))),
            epoch,
        )

    def next(self) -> None:
        """Begin the next batch."""
        self._blank()
        self._header[NEXT_SHOT] = (self.batch + 1) * len(self._rows)
        self._header[BATCH] += 1

    def _blank(self) -> None:
        """Mark every row as one that has not come."""
        self._bytes[:] = 0
        self._rows["flags"] = ROW_SKIPPED
