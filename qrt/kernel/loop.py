"""The kernel itself: what it plays, its thread's life, how it ended.

Python owns all memory that the kernel plays from; a `Kernel` holds on to it until its thread has ended, whatever else is forgotten.
"""

from __future__ import annotations

import atexit
import mmap
import time
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from qrt.errors import BugError
from qrt.kernel.binding import ffi, lend, lib, pointer
from qrt.kernel.codes import Pacing, Policy, Status
from qrt.kernel.epochs import Epochs, fill_epochs
from qrt.kernel.layout import (
    CAPTURE_DTYPE,
    ERASURE_DTYPE,
    EVENT_DTYPE,
    FRAME_DTYPE,
    INSTRUCTION_DTYPE,
    SKIP_DTYPE,
)
from qrt.kernel.rings import Ring
from qrt.kernel.sweep import NO_SWEEP, Sweep, fill_sweep
from qrt.kernel.thread import ThreadAsked, ThreadFound, fill_thread, thread_found
from qrt.lateness import HISTOGRAM_DTYPE, Lateness, lateness_of
from qrt.types import Sequence

NO_THREAD: Final = ThreadAsked()
WAIT_STEP_S: Final = 0.002  # how often `Kernel.wait` looks


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
    stretched_first: int = 0  # periods by which the shots before the first were stretched or paused
    port_origin_tick: int = (
        0  # of the run: where the port's ticks count from, the start of the first shot since it was armed
    )
    rings_stay_open: bool = False  # another kernel writes to them after this one
    sweep: Sweep = NO_SWEEP
    seed: int = 0  # of the random words that instructions draw, 0 to 2^64 - 1
    pacing: Pacing = Pacing.VIRTUAL
    late_policy: Policy = Policy.SKIP  # or ABORT
    late_port_policy: Policy = Policy.ERASE  # or ABORT: of what comes late for a port with a clock of its own
    epochs: Epochs | None = None
    late_epoch_policy: Policy = Policy.HOLD  # or ABORT
    tick_ps: int = 1000
    late_tolerance_ns: int = 50_000
    spin_ns: int = 100_000
    spin_share_permille: int = (
        0  # not 0: the kernel sizes the spin itself; spin and shot take at most this share of the period
    )
    thread: ThreadAsked = NO_THREAD  # a priority is for real pacing only, and asks for a share of at most 900
    start_delay_ns: int = 1_000_000
    skips: NDArray[Any] | None = None  # [skips] SKIP_DTYPE, ascending: a replay's input, virtual pacing only
    erasures: NDArray[Any] | None = None  # [erased shots] ERASURE_DTYPE, likewise


@dataclass(frozen=True)
class Report:
    """How a run ended. error_*: where, if it ended inside a shot; -1 where there is no such place."""

    status: Status
    safe_status: Status  # what the port's `safe` returned at the end
    shots_executed: int
    shots_skipped: int
    shots_erased: int
    instructions: int
    stretched_periods: int
    miss_count: int
    misses_dropped: int
    sink_wait_count: int
    epochs_applied: int
    epochs_held: int
    epochs_discarded: int
    epoch_wait_count: int
    paused_periods: int
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
            "thread": thread_found(c_report.thread),
            "lateness": lateness_of(histogram["buckets"], int(histogram["maximum"])),
        }
    )


class Kernel:
    """One run of the loop on a thread of its own. A context manager: entering arms, leaving aborts what still runs.

    The order is arm, perhaps `log_shot`, start, perhaps `stop` or `abort`, join; once through, it is used up.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._memory = mmap.mmap(-1, lib.qrt_kernel_size(len(config.sequence.instructions)))  # page-aligned, zeroed
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
        status = lib.qrt_kernel_arm(self._kernel, len(self._memory), c_config, c_report)
        if status != Status.OK:
            index = c_report.error_instruction
            what = f"instruction {index}, {self.config.sequence.instructions[index]}" if index >= 0 else "its arguments"
            raise BugError(f"the kernel refuses to arm: {Status(status).name}: {what}")

    def log_shot(self, shot: int, event_count_max: int = 1 << 16) -> None:
        """Record every event of one shot; call between arm and start. `events` has them after join."""
        events = np.zeros(event_count_max, EVENT_DTYPE)
        self._lent.append(events)
        status = lib.qrt_kernel_log_shot(
            self._kernel, shot, pointer(events, "qrt_event[]"), event_count_max, self._event_count
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
        s.instructions, s.instruction_count = lend(
            self._lent, sequence.instructions, INSTRUCTION_DTYPE, "qrt_instruction[]"
        )
        s.entries, s.sequencer_count = lend(self._lent, sequence.entries, np.uint32, "uint32_t[]")
        s.frames, s.frame_count = lend(self._lent, sequence.frames, FRAME_DTYPE, "qrt_frame[]")
        s.captures, s.capture_count = lend(self._lent, sequence.captures, CAPTURE_DTYPE, "qrt_capture_spec[]")
        s.weights, s.weights_count = lend(self._lent, sequence.weights, np.int16, "int16_t[]")
        s.table, s.table_count = lend(self._lent, sequence.table, np.int64, "int64_t[]")
        s.factors, s.factor_count = lend(self._lent, sequence.factors, np.float64, "double[]")
        s.slot_count, s.emit_count = len(config.sweep.slots), sequence.emit_count
        s.budget, s.period_ticks, s.stretch_max = sequence.budget, sequence.period_ticks, sequence.stretch_max
        fill_sweep(c.sweep, config.sweep, self._lent)
        if config.epochs is not None:
            fill_epochs(c, config.epochs, self._lent)
        c.late_epoch_policy, c.late_port_policy = config.late_epoch_policy, config.late_port_policy
        c.seed, c.stretched_first = config.seed, config.stretched_first
        c.port = ffi.cast("qrt_port *", config.port)
        for name in ("rows", "lateness", "misses", "raw"):
            ring = getattr(config.rings, name)
            setattr(c, name, ring.pointer if ring is not None else ffi.NULL)
        c.lateness_histogram = ffi.from_buffer("qrt_histogram *", self._histogram)
        self._lent.append(c.lateness_histogram)
        fill_thread(c.thread, config.thread)
        c.spin_share_permille = config.spin_share_permille
        skips = config.skips if config.skips is not None else np.zeros(0, SKIP_DTYPE)
        c.skips, c.skip_count = lend(self._lent, skips, SKIP_DTYPE, "qrt_skip[]")
        erasures = config.erasures if config.erasures is not None else np.zeros(0, ERASURE_DTYPE)
        c.erasures, c.erasure_count = lend(self._lent, erasures, ERASURE_DTYPE, "qrt_erasure[]")
        for name in ("pacing", "late_policy", "shot_first", "shot_count", "tick_ps", "late_tolerance_ns", "spin_ns"):
            setattr(c, name, int(getattr(config, name)))
        c.port_origin_tick, c.rings_stay_open = config.port_origin_tick, int(config.rings_stay_open)
        c.start_delay_ns = config.start_delay_ns


# Kernels whose thread may still use the memory that they hold: not forgotten before they are joined, and ended before Python ends.
_started: Final[set[Kernel]] = set()


@atexit.register
def _end_all() -> None:
    for kernel in tuple(_started):
        kernel.abort()
        kernel.join()
