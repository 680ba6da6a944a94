"""What a kernel does with a sequence that never ends and with a port that answers late or never, and what a person is told of it.

Laws that misbehave are in test_batch_laws.py and test_controlled_runs.py, answers that come twice in test_mailbox.py.
"""

import ctypes
import subprocess

import numpy as np
import pytest

from qrt import kernel
from qrt.errors import RunError
from qrt.kernel import MissClass, Pacing, Policy, Ring, Rings, Status
from qrt.reasons import raise_for
from qrt.types import Sequence
from tests.test_kernel import drain

PERIOD, LENGTH, DEADLINE_NS = 1_000_000, 8, 400_000_000
END, CAPTURE, WAIT, SYNC, BRANCH, ALWAYS = 0, 2, 3, 5, 11, 0  # of qrt_core.h

PORT_C = """
#include "qrt_port.h"
static int16_t samples[8] = {1, 2, 3, 4, 5, 6, 7, 8};
int refusals; /* how often a capture is not ready yet; -1: always */
static int left;
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick) { (void)self; (void)shot; (void)tick; return QRT_OK; }
static qrt_status play(void *self, const qrt_play *p) { (void)self; (void)p; return QRT_OK; }
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; left = refusals; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out)
{
    (void)self; (void)slot;
    if (left != 0) { left -= left > 0; return QRT_NOT_READY; }
    *out = samples;
    return QRT_OK;
}
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .begin_shot = begin_shot, .play = play,
                 .capture_begin = capture_begin, .capture_end = capture_end, .safe = safe,
                 .feedback_latency_ticks = 40, .granularity_ticks = 1, .sample_ticks = 1,
                 .line_count = 4, .channel_count = 1, .capture_samples_max = 64, .outstanding_max = 16, .answer_ns_max = ANSWER_NS};
"""


@pytest.fixture(scope="module")
def library(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unready")
    (folder / "port.c").write_text(PORT_C)
    flags = ["-shared", "-fPIC", f"-I{project / 'ffi'}", f"-DANSWER_NS={DEADLINE_NS}"]
    subprocess.run(["gcc", *flags, "port.c", "-o", "port.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "port.so"))


def sequence(code, entries=(0,)):
    captures = np.zeros(1, kernel.CAPTURE_DTYPE)
    captures["sample_count"], captures["bit"] = LENGTH, 0
    captures["threshold_slot"] = captures["weights_slot"] = kernel.SLOT_NONE
    return Sequence(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.array(entries, np.uint32),
        frames=np.zeros(1, kernel.FRAME_DTYPE),
        captures=captures,
        weights=np.ones(2 * LENGTH, np.int16),
        budget=1000,
        period_ticks=PERIOD,
        segments={},
        lines=(),
        sequencers=("q0", "q1")[: len(entries)],
        bits=("c",),
        slots=(),
        source_lines=tuple(range(7, 7 + len(code))),
    )


def play(library, played, shots=3, refusals=0, *, slots=64, **options):
    """Return the report, the rows that were there at the end, and the misses. Nobody takes a row meanwhile."""
    ctypes.c_int.in_dll(library, "refusals").value = refusals
    rings = Rings(
        Ring.create(kernel.row_dtype(1).itemsize, slots, 1), misses=Ring.create(kernel.MISS_DTYPE.itemsize, 64, 1)
    )
    port = ctypes.addressof(ctypes.c_char.in_dll(library, "port"))
    with kernel.Kernel(kernel.Config(played, port, rings, shots, **options)) as loop:
        loop.start()
        report = loop.join()
    return report, drain(rings.rows, kernel.row_dtype(1)), drain(rings.misses, kernel.MISS_DTYPE)


TAKEN = [(CAPTURE, 0, 0, 0, 0), (END, 0, 0, 0, 0)]
ENDLESS = [
    (
        "jumps",
        [(WAIT, 0, 0, 0, 3), (BRANCH, 0, ALWAYS, 1, 0)],
        (0,),
        Status.BUDGET,
        3,
        8,
        "instruction budget of a shot",
    ),
    (
        "waits",
        [(WAIT, 0, 0, 0, 50_000), (BRANCH, 0, ALWAYS, 0, 0)],
        (0,),
        Status.OVERRUN,
        PERIOD,
        7,
        "longer than its period",
    ),
    (
        "meets",
        [(WAIT, 0, 0, 0, 5), (SYNC, 0, 0, 0, 3), (END, 0, 0, 0, 0)],
        (0, 2),
        Status.DEADLOCK,
        5,
        8,
        "wait for each other",
    ),
]


@pytest.mark.parametrize(
    ("code", "entries", "status", "tick", "line", "said"), [one[1:] for one in ENDLESS], ids=[one[0] for one in ENDLESS]
)
def test_a_sequence_that_never_ends_ends_the_run_with_its_place(library, code, entries, status, tick, line, said):
    played = sequence(code, entries)
    report, rows, _ = play(library, played)
    assert (report.status, report.error_shot, len(rows)) == (status, 0, 0)
    assert report.instructions <= played.budget
    with pytest.raises(RunError, match=rf"in shot 0, tick {tick}, sequencer q0, line {line} of the program: .*{said}"):
        raise_for(report, played)


def test_a_port_that_answers_late_changes_nothing(library):
    prompt, late = play(library, sequence(TAKEN)), play(library, sequence(TAKEN), refusals=50)
    assert prompt[0].status is late[0].status is Status.OK
    assert prompt[1].tobytes() == late[1].tobytes()
    assert (prompt[1]["iq"][:, 0, 0] == sum(range(1, LENGTH + 1))).all()


def test_a_port_that_never_answers_ends_the_run_after_its_own_time_with_the_rows_before(library):
    played = sequence(TAKEN)
    report, rows, _ = play(library, played, refusals=-1)
    assert (report.status, report.safe_status, report.error_shot, len(rows)) == (Status.PORT, Status.OK, 0, 0)
    assert report.wall_ns > DEADLINE_NS
    with pytest.raises(RunError, match=r"in shot 0, tick \d+.*: the port never gave the samples of a capture"):
        raise_for(report, played)


def test_a_full_results_ring_ends_a_paced_run_where_that_is_the_policy(library):
    played = sequence(TAKEN)
    options = {"pacing": Pacing.REAL, "late_policy": Policy.ABORT, "late_tolerance_ns": 60 * 10**9}
    report, rows, (miss,) = play(library, played, shots=100, slots=4, **options)
    assert (report.status, report.error_shot, len(rows)) == (Status.LATE, 4, 4)
    assert (miss["shot"], miss["miss_class"], miss["policy"], miss["skipped_count"]) == (
        4,
        MissClass.SINK,
        Policy.ABORT,
        0,
    )
    assert kernel.Cause(miss["cause"]) is kernel.Cause.SINK
    with pytest.raises(RunError, match="found no place for its row"):
        raise_for(report, played)
