"""The mailbox as Python sees it: rings, port and counters. What it is for stands in ffi/core/mailbox.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from qrt.errors import BugError
from qrt.kernel.binding import ffi, lib
from qrt.kernel.codes import MailboxFailure, Status
from qrt.kernel.layout import REQUEST_DTYPE, answer_dtype
from qrt.kernel.rings import Ring
from qrt.types import PortLimits


@dataclass(frozen=True)
class MailboxCounts:
    """What a mailbox counted, and what went wrong last, if anything: in which shot (-1: none), at which capture of it (-1: none)."""

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
        self,
        limits: PortLimits,
        *,
        line_count: int,
        capture_samples_max: int,
        request_count: int,
        deadline_s: float,
        plays_on: bool = False,
    ) -> None:
        """Make the rings: room for `request_count` requests, a power of two, and for one answer to each capture that may be open.

        plays_on: shots are alike, and each is played to its end whatever becomes of its captures.
        """
        self.answer_dtype = answer_dtype(capture_samples_max)
        self.requests = Ring.create(REQUEST_DTYPE.itemsize, request_count, 1)
        self.answers = Ring.create(self.answer_dtype.itemsize, lib.QRT_OUTSTANDING_MAX, 1)
        self.limits = limits
        c_config = ffi.new("qrt_mailbox_config *")
        c_config.requests, c_config.answers = self.requests.pointer, self.answers.pointer
        c_config.deadline_ns = int(deadline_s * 1e9)
        c_config.line_count, c_config.channel_count = line_count, 1
        c_config.capture_samples_max, c_config.plays_on = capture_samples_max, plays_on
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
