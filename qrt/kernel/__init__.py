"""The C core's face in Python: instruction sets, demodulation, rings, sweeps, epochs, the mailbox, and the kernel itself.

`binding` is the only importer of `qrt._core`. What the C half lays out in memory is described in `layout`, so that rows, events and
misses are read where they lie.

Errors: a sequence or a size that the core refuses is our own mistake (BugError); what a run ended with is in its `Report`, for the
caller to judge.
"""

from qrt.kernel.codes import (
    BIT_NONE,
    ERASED_MAX,
    EVENT_IQ,
    EVENT_OUTCOME,
    OUTCOME_NONE,
    READERS_MAX,
    ROW_ERASED,
    ROW_SKIPPED,
    SLOT_NONE,
    WEIGHTS_MAX,
    Cause,
    MailboxFailure,
    MissClass,
    Order,
    Pacing,
    Policy,
    RequestKind,
    Rule,
    Status,
)
from qrt.kernel.demodulation import demodulate, isa_names, isa_selected, read_floor, select_isa
from qrt.kernel.epochs import EPOCH_HELD, EPOCH_VALUES_MAX, Epochs, epoch_dtype
from qrt.kernel.layout import (
    CAPTURE_DTYPE,
    ERASURE_DTYPE,
    EVENT_DTYPE,
    FRAME_DTYPE,
    INSTRUCTION_DTYPE,
    MISS_DTYPE,
    RAW_HEAD_SIZE,
    REQUEST_DTYPE,
    SKIP_DTYPE,
    SLOT_DTYPE,
    answer_dtype,
    raw_dtype,
    raw_samples_max,
    row_dtype,
)
from qrt.kernel.loop import WAIT_STEP_S, Config, Kernel, Report, Rings
from qrt.kernel.mailbox import Mailbox, MailboxCounts
from qrt.kernel.rings import Ring
from qrt.kernel.sweep import NO_SWEEP, Sweep, sweep_slots
from qrt.kernel.thread import ThreadAsked, ThreadFound, spin_ns, try_thread

__all__ = [
    "BIT_NONE",
    "CAPTURE_DTYPE",
    "EPOCH_HELD",
    "EPOCH_VALUES_MAX",
    "ERASED_MAX",
    "ERASURE_DTYPE",
    "EVENT_DTYPE",
    "EVENT_IQ",
    "EVENT_OUTCOME",
    "FRAME_DTYPE",
    "INSTRUCTION_DTYPE",
    "MISS_DTYPE",
    "NO_SWEEP",
    "OUTCOME_NONE",
    "RAW_HEAD_SIZE",
    "READERS_MAX",
    "REQUEST_DTYPE",
    "ROW_ERASED",
    "ROW_SKIPPED",
    "SKIP_DTYPE",
    "SLOT_DTYPE",
    "SLOT_NONE",
    "WAIT_STEP_S",
    "WEIGHTS_MAX",
    "Cause",
    "Config",
    "Epochs",
    "Kernel",
    "Mailbox",
    "MailboxCounts",
    "MailboxFailure",
    "MissClass",
    "Order",
    "Pacing",
    "Policy",
    "Report",
    "RequestKind",
    "Ring",
    "Rings",
    "Rule",
    "Status",
    "Sweep",
    "ThreadAsked",
    "ThreadFound",
    "answer_dtype",
    "demodulate",
    "epoch_dtype",
    "isa_names",
    "isa_selected",
    "raw_dtype",
    "raw_samples_max",
    "read_floor",
    "row_dtype",
    "select_isa",
    "spin_ns",
    "sweep_slots",
    "try_thread",
]
