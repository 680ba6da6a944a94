"""The numbers of qrt_core.h and qrt_port.h under their names."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from qrt.kernel.binding import lib

SLOT_NONE: Final[int] = lib.QRT_SLOT_NONE  # of a capture: none, its one threshold, its one set of weights holds
WEIGHTS_MAX: Final[int] = lib.QRT_WEIGHTS_MAX  # integration weights of a sequence, int16
BIT_NONE: Final[int] = lib.QRT_BIT_NONE
OUTCOME_NONE: Final[int] = lib.QRT_OUTCOME_NONE
ROW_SKIPPED: Final[int] = lib.QRT_ROW_SKIPPED
ROW_ERASED: Final[int] = lib.QRT_ROW_ERASED
ERASED_MAX: Final[int] = lib.QRT_ERASED_MAX  # in a row, then the run ends
READERS_MAX: Final[int] = lib.QRT_READERS_MAX
EVENT_OUTCOME: Final[int] = lib.QRT_EVENT_OUTCOME
EVENT_IQ: Final[int] = lib.QRT_EVENT_IQ


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
    EPOCH = lib.QRT_ERR_EPOCH
    TRIGGER = lib.QRT_ERR_TRIGGER
    TOO_LATE = lib.QRT_ERR_TOO_LATE
    ERASED = lib.QRT_ERR_ERASED
    DRIVE_IN_COUPLING = lib.QRT_ERR_DRIVE_IN_COUPLING


class Pacing(IntEnum):
    """What time is."""

    VIRTUAL = lib.QRT_PACING_VIRTUAL
    REAL = lib.QRT_PACING_REAL
    EXTERNAL = lib.QRT_PACING_EXTERNAL  # the hardware's trigger releases the shots


class Policy(IntEnum):
    """What becomes of what came late: a shot is skipped or erased, or the values in force are held, or the run ends."""

    SKIP = lib.QRT_POLICY_SKIP
    ABORT = lib.QRT_POLICY_ABORT
    HOLD = lib.QRT_POLICY_HOLD
    ERASE = lib.QRT_POLICY_ERASE


class Order(IntEnum):
    """How a sweep goes through its points."""

    POINT = lib.QRT_ORDER_POINT  # all shots of a point together
    SHOT = lib.QRT_ORDER_SHOT  # every shot another point


class Rule(IntEnum):
    """What a slot follows: an axis, or the epoch."""

    AFFINE = lib.QRT_RULE_AFFINE
    TABLE = lib.QRT_RULE_TABLE
    EPOCH = lib.QRT_RULE_EPOCH


class MissClass(IntEnum):
    """What came late."""

    RELEASE = lib.QRT_MISS_RELEASE
    SINK = lib.QRT_MISS_SINK
    EPOCH = lib.QRT_MISS_EPOCH
    DECISION = lib.QRT_MISS_DECISION
    PORT = lib.QRT_MISS_PORT


class Cause(IntEnum):
    """What explains at least half of a miss's lateness, as far as the kernel's thread could see."""

    SINK = lib.QRT_CAUSE_SINK
    PAGE_FAULT = lib.QRT_CAUSE_PAGE_FAULT
    SWITCH = lib.QRT_CAUSE_SWITCH
    BUDGET = lib.QRT_CAUSE_BUDGET
    OUTSIDE = lib.QRT_CAUSE_OUTSIDE
    STEAL = lib.QRT_CAUSE_STEAL
    STOPPED = lib.QRT_CAUSE_STOPPED
    BATCH = lib.QRT_CAUSE_BATCH
    PORT = lib.QRT_CAUSE_PORT


class RequestKind(IntEnum):
    """What a mailbox asks its pump for."""

    SHOT = lib.QRT_REQUEST_SHOT
    PLAY = lib.QRT_REQUEST_PLAY
    CAPTURE = lib.QRT_REQUEST_CAPTURE
    FETCH = lib.QRT_REQUEST_FETCH
    SAFE = lib.QRT_REQUEST_SAFE
    ERASE = lib.QRT_REQUEST_ERASE


class MailboxFailure(IntEnum):
    """What went wrong last in a mailbox: why it failed, or NO_ANSWER, with which it works on."""

    WORKS = lib.QRT_MAILBOX_WORKS
    NO_ANSWER = lib.QRT_MAILBOX_NO_ANSWER
    ENDED = lib.QRT_MAILBOX_ENDED
    FULL = lib.QRT_MAILBOX_FULL
    LENGTH = lib.QRT_MAILBOX_LENGTH
