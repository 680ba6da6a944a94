"""The C core's face in Python: instruction sets, demodulation, rings, and the kernel itself. The only importer of `qrt._core`.

What the C half lays out in memory is described here as numpy dtypes, field for field (checked when this module is loaded), so that rows,
events and misses are read where they lie. Python owns all memory that the kernel plays from; a `Kernel` holds on to it until
its thread has ended, whatever else is forgotten. Every call into C releases the interpreter lock.

Errors: a sequence or a size that the core refuses is our own mistake (BugError); what a run ended with is in its `Report`, for the
caller to judge.
"""

from __future__ import annotations

import atexit
import mmap
import os
import threading
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qrt._core import ffi, lib
from qrt.errors import BugError, MachineError
from qrt.lateness import HISTOGRAM_BUCKETS, HISTOGRAM_DTYPE, Lateness, lateness_of
from qrt.types import PortLimits, Sequence

BIT_NONE: Final[int] = lib.QRT_BIT_NONE
OUTCOME_NONE: Final[int] = lib.QRT_OUTCOME_NONE
ROW_SKIPPED: Final[int] = lib.QRT_ROW_SKIPPED
ROW_ERASED: Final[int] = lib.QRT_ROW_ERASED
READERS_MAX: Final[int] = lib.QRT_READERS_MAX
EVENT_OUTCOME: Final[int] = lib.QRT_EVENT_OUTCOME
EVENT_IQ: Final[int] = lib.QRT_EVENT_IQ

RAW_HEAD_SIZE: Final = 16
WAIT_STEP_S: Final = 0.002  # how often `Kernel.wait` looks


class Status(IntEnum):
    """How a call or a run ended: qrt_status."""

    OK = lib.QRT_OK
    NOT_READY = lib.QRT_NOT_READY
    STOPPED = lib.QRT_STOPPED
    ABORTED = lib.QRT_ABORTED
    ABI = lib.QRT_ERR_ABI
    ARGUMENT = lib.QRT_ERR_ARGUMENT
    MEMORY = lib.QRT_ERR_MEMORY
    TICK_ORDER = lib.QRT_ERR_TICK_ORDER
    LINE = lib.QRT_ERR_LINE
    SEGMENT = lib.QRT_ERR_SEGMENT
    CHANNEL = lib.QRT_ERR_CHANNEL
    CAPTURE_LENGTH = lib.QRT_ERR_CAPTURE_LENGTH
    WEAK_TONE = lib.QRT_ERR_WEAK_TONE
    DRIVE_IN_TONE = lib.QRT_ERR_DRIVE_IN_TONE
    UNDERFLOW = lib.QRT_ERR_UNDERFLOW
    BUDGET = lib.QRT_ERR_BUDGET
    OVERRUN = lib.QRT_ERR_OVERRUN
    INSTRUCTION = lib.QRT_ERR_INSTRUCTION
    DEADLOCK = lib.QRT_ERR_DEADLOCK
    CLOCK = lib.QRT_ERR_CLOCK
    LATE = lib.QRT_ERR_LATE
    PORT = lib.QRT_ERR_PORT
    OPERAND = lib.QRT_ERR_OPERAND
    TABLE = lib.QRT_ERR_TABLE


class Pacing(IntEnum):
    """What time is."""

    VIRTUAL = lib.QRT_PACING_VIRTUAL
    REAL = lib.QRT_PACING_REAL


class Policy(IntEnum):
    """What becomes of a shot that missed its release."""

    SKIP = lib.QRT_POLICY_SKIP
    ABORT = lib.QRT_POLICY_ABORT


class Order(IntEnum):
    """How a sweep goes through its points."""

    POINT = lib.QRT_ORDER_POINT  # all shots of a point together
    SHOT = lib.QRT_ORDER_SHOT  # every shot another point


class Rule(IntEnum):
    """How a slot follows its axis."""

    AFFINE = lib.QRT_RULE_AFFINE
    TABLE = lib.QRT_RULE_TABLE


class MissClass(IntEnum):
    """What came late."""

    RELEASE = lib.QRT_MISS_RELEASE
    SINK = lib.QRT_MISS_SINK


class RequestKind(IntEnum):
    """What a mailbox asks its pump for."""

    SHOT = lib.QRT_REQUEST_SHOT
    PLAY = lib.QRT_REQUEST_PLAY
    CAPTURE = lib.QRT_REQUEST_CAPTURE
    FETCH = lib.QRT_REQUEST_FETCH
    SAFE = lib.QRT_REQUEST_SAFE


class MailboxFailure(IntEnum):
    """Why a mailbox failed."""

    WORKS = lib.QRT_MAILBOX_WORKS
    NO_ANSWER = lib.QRT_MAILBOX_NO_ANSWER
    ENDED = lib.QRT_MAILBOX_ENDED
    FULL = lib.QRT_MAILBOX_FULL
    LENGTH = lib.QRT_MAILBOX_LENGTH


class Cause(IntEnum):
    """What explains at least half of a miss's lateness, as far as the kernel's thread could see."""

    SINK = lib.QRT_CAUSE_SINK
    PAGE_FAULT = lib.QRT_CAUSE_PAGE_FAULT
    SWITCH = lib.QRT_CAUSE_SWITCH
    BUDGET = lib.QRT_CAUSE_BUDGET
    OUTSIDE = lib.QRT_CAUSE_OUTSIDE
    STEAL = lib.QRT_CAUSE_STEAL
    STOPPED = lib.QRT_CAUSE_STOPPED


# ---- Memory as C lays it out -------------------------------------------------------------------------------------------


def _like(c_name: str, formats: dict[str, str]) -> np.dtype[Any]:
    """Return the dtype of a C struct: these formats at the struct's own offsets. Padding and reserved words have no field."""
    fields = dict(ffi.typeof(c_name).fields)
    for name, format_ in formats.items():
        assert np.dtype(format_).itemsize == ffi.sizeof(fields[name].type), f"{c_name}.{name} is not {format_}"
    return np.dtype(
        {
            "names": list(formats),
            "formats": list(formats.values()),
            "offsets": [fields[name].offset for name in formats],
            "itemsize": ffi.sizeof(c_name),
        }
    )


INSTRUCTION_DTYPE: Final = _like("qrt_instruction", {"op": "u1", "a": "u1", "b": "<u2", "c": "<i4", "d": "<i8"})
FRAME_DTYPE: Final = _like("qrt_frame", {"frequency": "<i8", "phase": "<u8", "line": "<u2"})
CAPTURE_DTYPE: Final = _like(
    "qrt_capture_spec",
    {
        "threshold": "<i8",
        "sample_count": "<u4",
        "weights_offset": "<u4",
        "channel": "<u2",
        "bit": "u1",
        "raw": "u1",
    },
)
EVENT_DTYPE: Final = _like(
    "qrt_event",
    {"tick": "<i8", "op": "u1", "a": "u1", "b": "<u2", "c": "<i4", "d": "<i8", "sequencer": "<u2"},
)
MISS_DTYPE: Final = _like(
    "qrt_miss",
    {
        "shot": "<i8",
        "tick": "<i8",
        "lateness_ns": "<i8",
        "skipped_count": "<i8",
        "miss_class": "<u4",
        "policy": "<u4",
        "cause": "<u4",
    },
)
SLOT_DTYPE: Final = _like("qrt_slot", {"start": "<i8", "stop": "<i8", "axis": "<u4", "rule": "<u4"})
REQUEST_DTYPE: Final = _like(
    "qrt_request",
    {
        "ticket": "<i8",
        "shot": "<i8",
        "start_tick": "<i8",
        "tick": "<i8",
        "frequency": "<i8",
        "phase": "<u8",
        "amplitude": "<i4",
        "kind": "<u2",
        "line": "<u2",
        "item": "<u4",
        "capture": "<u4",
    },
)
assert HISTOGRAM_DTYPE.itemsize == ffi.sizeof("qrt_histogram")
assert HISTOGRAM_BUCKETS == lib.QRT_HISTOGRAM_BUCKETS
SKIP_DTYPE: Final = _like("qrt_skip", {"shot": "<i8", "count": "<i8"})
_ROW_HEAD: Final = _like(
    "qrt_row",
    {
        "shot": "<i8",
        "tick": "<i8",
        "epoch": "<i8",
        "trace_hash": "<u8",
        "shot_weight": "<f8",
        "bits": "<u8",
        "flags": "<u4",
        "capture_count": "<u4",
    },
)


def row_dtype(capture_count: int, emit_count: int = 0) -> np.dtype[Any]:
    """Return the dtype of a shot row: the head, uint8 outcomes[captures], int64 iq[captures, 2], int64 emitted[columns] if any.

    Little-endian; without emitted columns there is no such field.
    """
    assert _ROW_HEAD.names is not None
    assert _ROW_HEAD.fields is not None
    iq_offset = _ROW_HEAD.itemsize + -(-capture_count // 8) * 8
    size = int(lib.qrt_row_size(capture_count, emit_count))
    head = _ROW_HEAD.fields
    columns: list[tuple[str, Any, int]] = [(name, _ROW_HEAD[name], head[name][1]) for name in _ROW_HEAD.names]
    columns.append(("outcomes", ("u1", (capture_count,)), _ROW_HEAD.itemsize))
    columns.append(("iq", ("<i8", (capture_count, 2)), iq_offset))
    if emit_count:
        columns.append(("emitted", ("<i8", (emit_count,)), iq_offset + 16 * capture_count))
    assert size == iq_offset + 16 * capture_count + 8 * emit_count
    names, formats, offsets = zip(*columns, strict=True)
    return np.dtype({"names": list(names), "formats": list(formats), "offsets": list(offsets), "itemsize": size})


def raw_samples_max(sequence: Sequence) -> int:
    """Return the length of the longest capture that is recorded raw, 0 if none is."""
    return int(sequence.captures["sample_count"][sequence.captures["raw"] == 1].max(initial=0))


def raw_dtype(samples_max: int) -> np.dtype[Any]:
    """Return the dtype of a raw capture of up to `samples_max` samples: shot, capture, sample_count, int16 samples."""
    return np.dtype(
        {
            "names": ["shot", "capture", "sample_count", "samples"],
            "formats": ["<i8", "<u4", "<u4", ("<i2", (samples_max,))],
            "offsets": [0, 8, 12, RAW_HEAD_SIZE],
            "itemsize": RAW_HEAD_SIZE + -(-samples_max // 4) * 8,
        }
    )


def answer_dtype(samples_max: int) -> np.dtype[Any]:
    """Return the dtype of a mailbox's answer with room for `samples_max` samples: ticket, sample_count, int16 samples."""
    return np.dtype(
        {
            "names": ["ticket", "sample_count", "samples"],
            "formats": ["<i8", "<u4", ("<i2", (samples_max,))],
            "offsets": [0, 8, 16],
            "itemsize": int(lib.qrt_answer_size(samples_max)),
        }
    )


# ---- Instruction sets and demodulation ---------------------------------------------------------------------------------


def isa_names() -> tuple[str, ...]:
    """Return the instruction sets that this machine can run, best first."""
    return tuple(ffi.string(lib.qrt_isa_name(index)).decode() for index in range(lib.qrt_isa_count()))


def isa_selected() -> str:
    """Return the instruction set in use."""
    return str(ffi.string(lib.qrt_isa_selected()).decode())


def select_isa(name: str | None) -> None:
    """Use the named instruction set from now on: the value of QRT_ISA. None or nothing: leave the choice. MachineError."""
    if name and lib.qrt_isa_select(name.encode()) != Status.OK:
        raise MachineError(
            f"QRT_ISA={name}: this machine has {', '.join(isa_names())}; set one of these, or unset QRT_ISA"
        )


select_isa(os.environ.get("QRT_ISA"))  # for the whole process; forces one instruction set, for tests and benchmarks


def _pointer(array: NDArray[Any], c_type: str) -> Any:
    """Return a pointer to a contiguous array's data; NULL if it has none."""
    assert array.flags.c_contiguous
    return ffi.from_buffer(c_type, array) if array.size else ffi.NULL


def demodulate(samples: NDArray[np.int16], weights: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return iq = sum over samples of samples * weights, exactly.

    samples: int16 [samples] or [captures, samples], any value. weights: int16 [2, samples] (I, Q), within +-32767.
    iq: int64 [2] or [captures, 2]. ValueError for other shapes or dtypes, or a weight of -32768.
    """
    if samples.dtype != np.int16 or weights.dtype != np.int16 or samples.ndim not in (1, 2):
        raise ValueError(
            f"samples {samples.dtype}{samples.shape}, weights {weights.dtype}: int16 [n] or [m, n] is needed"
        )
    count = samples.shape[-1]
    if weights.shape != (2, count) or weights.min(initial=0) == np.iinfo(np.int16).min:
        raise ValueError(f"weights {weights.shape}: int16 [2, {count}] within +-32767 is needed")
    captures, weights = np.ascontiguousarray(np.atleast_2d(samples)), np.ascontiguousarray(weights)
    iq = np.zeros((len(captures), 2), np.int64)
    if iq.size and count:
        pointer = _pointer(weights, "int16_t[]")
        headroom = lib.qrt_weights_headroom(pointer, pointer + count, count)
        lib.qrt_demodulate_many(
            _pointer(iq, "int64_t[]"),
            _pointer(captures, "int16_t[]"),
            len(captures),
            pointer,
            pointer + count,
            count,
            headroom,
        )
    return iq if samples.ndim == 2 else iq[0]


def read_floor(samples: NDArray[np.int16]) -> int:
    """Return the sum of all samples (int16, contiguous): reads memory and does next to nothing else, for benchmarks."""
    assert samples.dtype == np.int16
    return int(lib.qrt_read_floor(_pointer(samples, "int16_t[]"), samples.size)) if samples.size else 0


# ---- Rings -------------------------------------------------------------------------------------------------------------


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
        self._bytes: NDArray[np.uint8] = np.frombuffer(ffi.buffer(memory, size), np.uint8)  # its buffer keeps `memory`
        self._bytes.flags.writeable = False
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
        dtype = np.dtype(dtype)
        if dtype.itemsize != self.slot_size:
            raise BugError(f"slots of {self.slot_size} bytes read as {dtype.itemsize}")
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

    @property
    def pointer(self) -> Any:
        """The qrt_ring pointer, for a Kernel."""
        return self._ring


def _mapped(address: Any, size: int) -> Any:
    """Return the address as an object that unmaps when the last user is gone."""
    return ffi.gc(address, lambda memory: lib.qrt_shared_unmap(memory, size))


# ---- Mailbox -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MailboxCounts:
    """What a mailbox counted, and why it failed, if it did: in which shot (-1: none), at which capture of it (-1: none)."""

    request_count: int
    answer_count: int
    late_count: int
    twice_count: int
    unasked_count: int
    failure: MailboxFailure
    shot: int
    capture: int


class Mailbox:
    """A port served by a pump: `requests` (REQUEST_DTYPE) from the kernel, `answers` (answer_dtype) to it. A context manager."""

    def __init__(
        self, limits: PortLimits, *, line_count: int, capture_samples_max: int, request_count: int, deadline_s: float
    ) -> None:
        """Make the rings: room for `request_count` requests, a power of two, and for one answer to each capture that may be open."""
        self.answer_dtype = answer_dtype(capture_samples_max)
        self.requests = Ring.create(REQUEST_DTYPE.itemsize, request_count, 1)
        self.answers = Ring.create(self.answer_dtype.itemsize, lib.QRT_OUTSTANDING_MAX, 1)
        self.limits = limits
        c_config = ffi.new("qrt_mailbox_config *")
        c_config.requests, c_config.answers = self.requests.pointer, self.answers.pointer
        c_config.deadline_ns = int(deadline_s * 1e9)
        c_config.line_count, c_config.channel_count = line_count, 1
        c_config.capture_samples_max = capture_samples_max
        for name in ("feedback_latency_ticks", "granularity_ticks", "sample_ticks", "outstanding_max"):
            setattr(c_config, name, getattr(limits, name))
        size = lib.qrt_mailbox_size()
        self._memory, self._port = ffi.new("int64_t[]", -(-size // 8)), ffi.new("qrt_port *")
        self._mailbox = ffi.cast("qrt_mailbox *", self._memory)
        status = lib.qrt_mailbox_init(self._mailbox, size, c_config, self._port)
        if status != Status.OK:
            raise BugError(f"no mailbox: {Status(status).name}: deadline_s = {deadline_s}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the rings' descriptors. Safe to call twice."""
        self.requests.close()
        self.answers.close()

    @property
    def address(self) -> int:
        """The qrt_port, for a Kernel; valid as long as this object lives."""
        return int(ffi.cast("uintptr_t", self._port))

    def counts(self) -> MailboxCounts:
        """Return what was counted; while no kernel plays on it."""
        report = ffi.new("qrt_mailbox_report *")
        lib.qrt_mailbox_read(self._mailbox, report)
        names = [name for name in MailboxCounts.__dataclass_fields__ if name != "failure"]
        return MailboxCounts(
            **{name: int(getattr(report, name)) for name in names}, failure=MailboxFailure(report.failure)
        )


# ---- Sweeps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """What each slot is worth in each shot: a pure function of the shot's index, on the grid of the axes, the last one fastest."""

    points: tuple[int, ...]  # of each axis
    slots: NDArray[Any]  # [slots] SLOT_DTYPE; affine: start and stop; table: start is the first entry, stop 0
    table: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    order: Order = Order.POINT
    shots_per_point: int = 1  # of Order.POINT; after the last point comes the first again


NO_SWEEP: Final = Sweep((), np.zeros(0, SLOT_DTYPE))


def sweep_slots(sweep: Sweep, shots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64 [shots, slots]: what the kernel loads in these shots. BugError for a sweep that it refuses."""
    lent: list[Any] = []
    c_sweep = ffi.new("qrt_sweep *")
    _fill_sweep(c_sweep, sweep, lent)
    if lib.qrt_sweep_check(c_sweep) != Status.OK:
        raise BugError(f"no sweep: {sweep}")
    slots = np.zeros((len(shots), len(sweep.slots)), np.int64)
    for row, shot in zip(slots, shots, strict=True):
        lib.qrt_sweep_slots(_pointer(row, "int64_t[]"), c_sweep, int(shot))
    return slots


def _lend(lent: list[Any], array: NDArray[Any], dtype: DTypeLike, c_type: str) -> tuple[Any, int]:
    """Return pointer and count of an array that lives as long as `lent`."""
    kept = np.ascontiguousarray(array, dtype=dtype)
    pointer = _pointer(kept, c_type)
    lent += [kept, pointer]
    return pointer, len(kept)


def _fill_sweep(c: Any, sweep: Sweep, lent: list[Any]) -> None:
    """Write a sweep as C reads it."""
    if len(sweep.points) > lib.QRT_AXES_MAX:
        raise BugError(f"a sweep of {len(sweep.points)} axes; the kernel has {lib.QRT_AXES_MAX}")
    c.slots, c.slot_count = _lend(lent, sweep.slots, SLOT_DTYPE, "qrt_slot[]")
    c.table, c.table_count = _lend(lent, sweep.table, np.int64, "int64_t[]")
    c.axis_count = len(sweep.points)
    for axis, points in enumerate(sweep.points):
        c.points[axis] = points
    c.order, c.shots_per_point = int(sweep.order), sweep.shots_per_point


# ---- What a thread asks of the system ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ThreadAsked:
    """What the kernel's thread asks the system for at its start; empty or 0: leave as it is."""

    cores: tuple[int, ...] = ()
    slack_ns: int = 1  # by how much an ordinary thread's wake-ups may be delayed; Linux allows itself 50 µs
    priority: int = 0  # 1 to 99: SCHED_FIFO


@dataclass(frozen=True)
class ThreadFound:
    """What was then in force, read back. An error is the system's number (errno); -1: the system did not tell."""

    cores: tuple[int, ...]
    slack_ns: int
    policy: int  # as os.SCHED_...
    priority: int
    cores_error: int
    slack_error: int
    priority_error: int


def _fill_thread(c: Any, asked: ThreadAsked) -> None:
    for core in asked.cores:
        if not 0 <= core < 64 * lib.QRT_CORE_WORDS:
            raise BugError(f"core {core}: 0 to {64 * lib.QRT_CORE_WORDS - 1} exist at most")
        c.cores[core // 64] |= 1 << (core % 64)
    c.slack_ns, c.priority = asked.slack_ns, asked.priority


def _thread_found(c: Any) -> ThreadFound:
    cores = tuple(core for core in range(64 * lib.QRT_CORE_WORDS) if c.cores[core // 64] >> (core % 64) & 1)
    names = ("slack_ns", "policy", "priority", "cores_error", "slack_error", "priority_error")
    return ThreadFound(cores, *(int(getattr(c, name)) for name in names))


def try_thread(asked: ThreadAsked) -> ThreadFound:
    """Return what a thread gets that asks for this: a new one, which asks, reads back and ends. The caller keeps its own settings."""
    c_asked, c_found = ffi.new("qrt_thread_asked *"), ffi.new("qrt_thread_found *")
    _fill_thread(c_asked, asked)
    thread = threading.Thread(target=lib.qrt_thread_apply, args=(c_asked, c_found), name="qrt-try")
    thread.start()
    thread.join()
    return _thread_found(c_found)


def spin_ns(wake_ns: int, busy_ns: int, period_ns: int, share_permille: int) -> int:
    """Return how long before a release to spin: the kernel's own rule."""
    return int(lib.qrt_spin_ns(wake_ns, busy_ns, period_ns, share_permille))


# ---- The kernel --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rings:
    """Where a kernel writes: a row a shot, its lateness, the misses, and raw captures where the sequence has any."""

    rows: Ring  # slots of row_dtype(captures, emitted columns).itemsize
    lateness: Ring | None = None  # slots of 8 bytes: int64 ns of each row
    misses: Ring | None = None  # slots of MISS_DTYPE.itemsize
    raw: Ring | None = None  # slots of raw_dtype(raw_samples_max(sequence)).itemsize


@dataclass(frozen=True)
class Config:
    """What a kernel plays, on what, how often, and against which clock."""

    sequence: Sequence
    port: int  # address of a qrt_port, valid until the kernel has been joined
    rings: Rings
    shot_count: int
    shot_first: int = 0
    stretched_first: int = 0  # periods by which the shots before the first were stretched
    sweep: Sweep = NO_SWEEP
    seed: int = 0  # of the random words that instructions draw, 0 to 2^64 - 1
    pacing: Pacing = Pacing.VIRTUAL
    late_policy: Policy = Policy.SKIP
    tick_ps: int = 1000
    late_tolerance_ns: int = 50_000
    spin_ns: int = 100_000
    spin_share_permille: int = (
        0  # not 0: the kernel sizes the spin itself; spin and shot take at most this share of the period
    )
    thread: ThreadAsked = ThreadAsked()  # a priority is for real pacing only, and asks for a share of at most 900
    start_delay_ns: int = 1_000_000
    skips: NDArray[Any] | None = None  # [skips] SKIP_DTYPE, ascending: a replay's input, virtual pacing only


@dataclass(frozen=True)
class Report:
    """How a run ended. error_*: where, if it ended inside a shot; -1 where there is no such place."""

    status: Status
    safe_status: Status  # what the port's `safe` returned at the end
    shots_executed: int
    shots_skipped: int
    instructions: int
    stretched_periods: int
    miss_count: int
    misses_dropped: int
    sink_wait_count: int
    raw_dropped: int
    wall_ns: int
    ran_ns: int  # of it, on a core
    spin_ns: int  # in force at the end
    wake_ns: int  # the lateness that 99.5 % of the wake-ups kept
    error_shot: int
    error_tick: int
    error_sequencer: int
    error_instruction: int
    memory_locked: bool
    thread: ThreadFound
    lateness: Lateness


def _report(c_report: Any, histogram: NDArray[Any]) -> Report:
    """Return a qrt_kernel_report and the histogram of its run as a Report."""
    numbers = {name: getattr(c_report, name) for name in Report.__dataclass_fields__ if name != "lateness"}
    return Report(
        **{
            **numbers,
            "status": Status(numbers["status"]),
            "safe_status": Status(numbers["safe_status"]),
            "memory_locked": bool(numbers["memory_locked"]),
            "thread": _thread_found(c_report.thread),
            "lateness": lateness_of(histogram["buckets"], int(histogram["maximum"])),
        }
    )


class Kernel:
    """One run of the loop on a thread of its own. A context manager: entering arms, leaving aborts what still runs.

    The order is arm, perhaps `log_shot`, start, perhaps `stop` or `abort`, join; once through, it is used up.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._memory = mmap.mmap(-1, lib.qrt_kernel_size())  # page-aligned, zeroed
        self._stack = mmap.mmap(-1, lib.qrt_kernel_stack_size())
        self._kernel = ffi.cast("qrt_kernel *", ffi.from_buffer(self._memory))
        self._histogram: NDArray[Any] = np.frombuffer(mmap.mmap(-1, HISTOGRAM_DTYPE.itemsize), HISTOGRAM_DTYPE)
        self._lent: list[Any] = [self._memory, self._stack]  # all that C has a pointer to, besides the config's own
        self._events: NDArray[Any] | None = None
        self._event_count = ffi.new("uint32_t *")
        self._report: Report | None = None
        self._started = False

    def __enter__(self) -> Self:
        self.arm()
        return self

    def __exit__(self, *_: object) -> None:
        if self._started and self._report is None:
            self.abort()
            self.join()

    def arm(self) -> None:
        """Check everything, lock the memory where limits allow. BugError: status, instruction."""
        c_config, c_report = ffi.new("qrt_kernel_config *"), ffi.new("qrt_kernel_report *")
        self._fill(c_config)
        status = lib.qrt_kernel_arm(self._kernel, lib.qrt_kernel_size(), c_config, c_report)
        if status != Status.OK:
            index = c_report.error_instruction
            what = f"instruction {index}, {self.config.sequence.instructions[index]}" if index >= 0 else "its arguments"
            raise BugError(f"the kernel refuses to arm: {Status(status).name}: {what}")

    def log_shot(self, shot: int, event_count_max: int = 1 << 16) -> None:
        """Record every event of one shot; call between arm and start. `events` has them after join."""
        events = np.zeros(event_count_max, EVENT_DTYPE)
        self._lent.append(events)
        status = lib.qrt_kernel_log_shot(
            self._kernel, shot, _pointer(events, "qrt_event[]"), event_count_max, self._event_count
        )
        if status != Status.OK:
            raise BugError(f"shot {shot} cannot be logged: {Status(status).name}; armed, and not started?")
        self._events = events

    def start(self) -> None:
        """Start the thread."""
        status = lib.qrt_kernel_start(self._kernel, ffi.from_buffer(self._stack), len(self._stack))
        if status != Status.OK:
            raise BugError(f"the kernel does not start: {Status(status).name}; armed, and not started before?")
        self._started = True
        _started.add(self)

    @property
    def running(self) -> bool:
        """Whether the loop runs."""
        return bool(lib.qrt_kernel_running(self._kernel))

    def stop(self) -> None:
        """Ask the loop to end at the next shot boundary."""
        lib.qrt_kernel_stop(self._kernel)

    def abort(self) -> None:
        """Ask the loop to end as soon as possible."""
        lib.qrt_kernel_abort(self._kernel)

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s`, open to Ctrl-C, and return whether the loop has ended."""
        deadline_s = time.monotonic() + timeout_s
        while self.running and (left_s := deadline_s - time.monotonic()) > 0.0:
            time.sleep(min(left_s, WAIT_STEP_S))
        return not self.running

    def join(self) -> Report:
        """Wait for the loop's end, however long, and return how it ended. The same report again if called again."""
        if self._report is None:
            c_report = ffi.new("qrt_kernel_report *")
            status = lib.qrt_kernel_join(self._kernel, c_report)
            if status != Status.OK:
                raise BugError(f"the kernel cannot be joined: {Status(status).name}; started?")
            self._report = _report(c_report, self._histogram[0])
            _started.discard(self)
        return self._report

    @property
    def histogram(self) -> NDArray[Any]:
        """[1] HISTOGRAM_DTYPE: the lateness of every row, valid after join."""
        assert self._report is not None
        return self._histogram

    @property
    def events(self) -> NDArray[Any]:
        """[events] EVENT_DTYPE: the logged shot, valid after join. BugError if there were more than `event_count_max`."""
        assert self._events is not None
        assert self._report is not None
        if self._event_count[0] > len(self._events):
            raise BugError(f"the shot had {self._event_count[0]} events, and room for {len(self._events)}")
        return self._events[: self._event_count[0]]

    def _fill(self, c: Any) -> None:
        """Write the config as C reads it."""
        config, sequence = self.config, self.config.sequence
        c.abi, c.size = lib.QRT_CORE_ABI, ffi.sizeof("qrt_kernel_config")
        s = c.sequence
        s.instructions, s.instruction_count = _lend(
            self._lent, sequence.instructions, INSTRUCTION_DTYPE, "qrt_instruction[]"
        )
        s.entries, s.sequencer_count = _lend(self._lent, sequence.entries, np.uint32, "uint32_t[]")
        s.frames, s.frame_count = _lend(self._lent, sequence.frames, FRAME_DTYPE, "qrt_frame[]")
        s.captures, s.capture_count = _lend(self._lent, sequence.captures, CAPTURE_DTYPE, "qrt_capture_spec[]")
        s.weights, s.weights_count = _lend(self._lent, sequence.weights, np.int16, "int16_t[]")
        s.table, s.table_count = _lend(self._lent, sequence.table, np.int64, "int64_t[]")
        s.factors, s.factor_count = _lend(self._lent, sequence.factors, np.float64, "double[]")
        s.slot_count, s.emit_count = len(config.sweep.slots), sequence.emit_count
        s.budget, s.period_ticks, s.stretch_max = sequence.budget, sequence.period_ticks, sequence.stretch_max
        _fill_sweep(c.sweep, config.sweep, self._lent)
        c.seed, c.stretched_first = config.seed, config.stretched_first
        c.port = ffi.cast("qrt_port *", config.port)
        for name in ("rows", "lateness", "misses", "raw"):
            ring = getattr(config.rings, name)
            setattr(c, name, ring.pointer if ring is not None else ffi.NULL)
        c.lateness_histogram = ffi.from_buffer("qrt_histogram *", self._histogram)
        self._lent.append(c.lateness_histogram)
        _fill_thread(c.thread, config.thread)
        c.spin_share_permille = config.spin_share_permille
        skips = config.skips if config.skips is not None else np.zeros(0, SKIP_DTYPE)
        c.skips, c.skip_count = _lend(self._lent, skips, SKIP_DTYPE, "qrt_skip[]")
        for name in ("pacing", "late_policy", "shot_first", "shot_count", "tick_ps", "late_tolerance_ns", "spin_ns"):
            setattr(c, name, int(getattr(config, name)))
        c.start_delay_ns = config.start_delay_ns


# Kernels whose thread may still use the memory that they hold: not forgotten before they are joined, and ended before Python ends.
_started: Final[set[Kernel]] = set()


@atexit.register
def _end_all() -> None:
    for kernel in tuple(_started):
        kernel.abort()
        kernel.join()
