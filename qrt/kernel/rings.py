"""Rings: fixed slots between one writer and its readers, in memory that processes share."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qrt.errors import BugError, MachineError
from qrt.kernel.binding import ffi, lib
from qrt.kernel.codes import READERS_MAX, Status


class Ring:
    """Fixed slots between one writer and one or two readers, in memory that processes share through a descriptor.

    A context manager. What `peek` returns is a view of the shared memory: it stays mapped as long as a view lives, but its content
    is the writer's again after `release`.
    """

    def __init__(self, memory: Any, descriptor: int, size: int) -> None:
        """Use `create` or `map`."""
        self.descriptor = descriptor
        self.size = size  # bytes, as the other process needs it
        self._ring = ffi.cast("qrt_ring *", memory)
        self._writable: NDArray[np.uint8] = np.frombuffer(
            ffi.buffer(memory, size), np.uint8
        )  # its buffer keeps `memory`
        self._bytes = self._writable.view()
        self._bytes.flags.writeable = False
        self._claimed = False
        self._address = int(ffi.cast("uintptr_t", memory))
        self.slot_size = int(lib.qrt_ring_slot_size(self._ring))

    @classmethod
    def create(cls, slot_size: int, slot_count: int, reader_count: int) -> Ring:
        """Return a new ring: slots of `slot_size` bytes (a multiple of 8), a power of two of them, 1 or 2 readers."""
        size = lib.qrt_ring_size(slot_size, slot_count)
        if not size:
            raise BugError(
                f"a ring of {slot_count} slots of {slot_size} bytes: a power of two of multiples of 8 is needed"
            )
        address, descriptor = ffi.new("void **"), ffi.new("int32_t *")
        if lib.qrt_shared_create(address, descriptor, size) != Status.OK:
            raise MachineError(f"no shared memory for {size} bytes; free memory, or shorten the ring")
        memory = _mapped(address[0], size)
        status = lib.qrt_ring_init(ffi.cast("qrt_ring *", memory), size, slot_size, slot_count, reader_count)
        if status != Status.OK:
            os.close(descriptor[0])
            raise BugError(
                f"a ring with {reader_count} readers: {Status(status).name}; 1 to {READERS_MAX} are possible"
            )
        return cls(memory, descriptor[0], size)

    @classmethod
    def map(cls, descriptor: int, size: int) -> Ring:
        """Return the ring that another process made; takes over the descriptor. BugError if there is none in it."""
        address = ffi.new("void **")
        status = lib.qrt_shared_map(address, descriptor, size)
        if status != Status.OK:
            raise BugError(f"descriptor {descriptor} is not shared memory of {size} bytes: {Status(status).name}")
        memory = _mapped(address[0], size)
        status = lib.qrt_ring_check(ffi.cast("qrt_ring *", memory), size)
        if status != Status.OK:
            raise BugError(f"the {size} bytes of descriptor {descriptor} hold no ring: {Status(status).name}")
        return cls(memory, descriptor, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the descriptor; the memory goes with the last view of it. Safe to call twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @property
    def closed(self) -> bool:
        """Whether the writer has closed it: no more slots will come. Look before the last `wait` or `peek`, not after."""
        return bool(lib.qrt_ring_closed(self._ring))

    @property
    def published(self) -> int:
        """Slots published since the beginning."""
        return int(lib.qrt_ring_published(self._ring))

    def wait(self, reader: int, minimum: int, timeout_s: float) -> int:
        """Sleep until `minimum` slots are readable, the ring is closed or the time is over; return how many are readable."""
        return int(lib.qrt_ring_wait(self._ring, reader, max(minimum, 0), int(max(timeout_s, 0.0) * 1e9)))

    def peek(self, reader: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return a read-only view [slots] of what is readable without wrapping; the rest follows after `release`."""
        dtype = self._slot_dtype(dtype)
        first = ffi.new("void **")
        count = lib.qrt_ring_peek(self._ring, reader, first)
        start = int(ffi.cast("uintptr_t", first[0])) - self._address
        return self._bytes[start : start + count * self.slot_size].view(dtype)

    def release(self, reader: int, count: int) -> None:
        """Give `count` slots back to the writer."""
        lib.qrt_ring_release(self._ring, reader, count)

    def detach(self, reader: int) -> None:
        """Let the writer go on without this reader, for good: its process has died."""
        lib.qrt_ring_detach(self._ring, reader)

    def claim(self, dtype: DTypeLike) -> NDArray[Any] | None:
        """Return the writer's next slot, a writable view [1], or None if a reader has not released it yet. `publish` follows."""
        dtype = self._slot_dtype(dtype)
        slot = lib.qrt_ring_claim(self._ring)
        self._claimed = slot != ffi.NULL
        if not self._claimed:
            return None
        start = int(ffi.cast("uintptr_t", slot)) - self._address
        return self._writable[start : start + self.slot_size].view(dtype)

    def publish(self) -> None:
        """Hand the claimed slot to the readers; it is theirs from now on."""
        if not self._claimed:
            raise BugError("a slot is published that was not claimed")
        self._claimed = False
        lib.qrt_ring_publish(self._ring)

    def write(self, records: NDArray[Any]) -> int:
        """Publish records [count] as the writer, and return how many had room. For tests and for writers in Python."""
        assert records.dtype.itemsize == self.slot_size
        data = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), self.slot_size)
        for written, record in enumerate(data):
            slot = lib.qrt_ring_claim(self._ring)
            if slot == ffi.NULL:
                return written
            ffi.memmove(slot, record.data, self.slot_size)
            lib.qrt_ring_publish(self._ring)
        return len(records)

    def finish(self) -> None:
        """Close it as the writer: readers see that no more will come."""
        lib.qrt_ring_close(self._ring)

    def _slot_dtype(self, dtype: DTypeLike) -> np.dtype[Any]:
        """Return what a slot is to be seen as."""
        dtype = np.dtype(dtype)
        if dtype.itemsize != self.slot_size:
            raise BugError(f"slots of {self.slot_size} bytes read as {dtype.itemsize}")
        return dtype

    @property
    def address(self) -> int:
        """Where it lies in this process."""
        return self._address

    @property
    def pointer(self) -> Any:
        """The qrt_ring pointer, for a Kernel."""
        return self._ring


def _mapped(address: Any, size: int) -> Any:
    """Return the address as an object that unmaps when the last user is gone."""
    return ffi.gc(address, lambda memory: lib.qrt_shared_unmap(memory, size))
