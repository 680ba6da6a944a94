"""What a thread asks of the system, what it gets, and how long before a release it spins."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from qrt.errors import BugError
from qrt.kernel.binding import ffi, lib


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


def fill_thread(c: Any, asked: ThreadAsked) -> None:
    """Write what is asked for as C reads it."""
    for core in asked.cores:
        if not 0 <= core < 64 * lib.QRT_CORE_WORDS:
            raise BugError(f"core {core}: 0 to {64 * lib.QRT_CORE_WORDS - 1} exist at most")
        c.cores[core // 64] |= 1 << (core % 64)
    c.slack_ns, c.priority = asked.slack_ns, asked.priority


def thread_found(c: Any) -> ThreadFound:
    """Return what C read back."""
    cores = tuple(core for core in range(64 * lib.QRT_CORE_WORDS) if c.cores[core // 64] >> (core % 64) & 1)
    names = ("slack_ns", "policy", "priority", "cores_error", "slack_error", "priority_error")
    return ThreadFound(cores, *(int(getattr(c, name)) for name in names))


def try_thread(asked: ThreadAsked) -> ThreadFound:
    """Return what a thread gets that asks for this: a new one, which asks, reads back and ends. The caller keeps its own settings."""
    c_asked, c_found = ffi.new("qrt_thread_asked *"), ffi.new("qrt_thread_found *")
    fill_thread(c_asked, asked)
    thread = threading.Thread(target=lib.qrt_thread_apply, args=(c_asked, c_found), name="qrt-try")
    thread.start()
    thread.join()
    return thread_found(c_found)


def spin_ns(wake_ns: int, busy_ns: int, period_ns: int, share_permille: int) -> int:
    """Return how long before a release to spin: the kernel's own rule."""
    return int(lib.qrt_spin_ns(wake_ns, busy_ns, period_ns, share_permille))
