"""The kernel's Python face: layouts, the life of a run, raw captures, skips, real pacing, a reader in another process."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from qrt import kernel
from qrt._core import ffi, lib
from qrt.errors import BugError
from qrt.kernel import Kernel, Policy, Ring, Rings, Status

END, PLAY, CAPTURE = 0, 1, 2
PERIOD = 7000

# A port in a few lines of C, since the loop is to run at its own speed here. The captures' levels are 1, 2, ... in the order of their ends.
PORT_C = """
#include <string.h>
#include "qrt_port.h"
static int16_t samples[64];
static int64_t count;
int64_t begun_tick, played_tick;
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    (void)self; (void)shot;
    begun_tick = tick;
    count = 0;
    return QRT_OK;
}
static qrt_status play(void *self, const qrt_play *p) { (void)self; played_tick = p->tick; return QRT_OK; }
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out)
{
    (void)self; (void)slot; count++;
    for (int k = 0; k < 64; k++) samples[k] = (int16_t)count;
    *out = samples;
    return QRT_OK;
}
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {QRT_PORT_ABI, sizeof(qrt_port), 0, begin_shot, play, capture_begin, capture_end, safe, 0, 100, 1, 1, 4, 1, 64, 16};
"""


@pytest.fixture(scope="module")
def port_library(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    (folder / "port.c").write_text(PORT_C)
    command = ["gcc", "-shared", "-fPIC", "-O2", f"-I{project / 'ffi'}", "port.c", "-o", "port.so"]
    subprocess.run(command, cwd=folder, check=True)
    return str(folder / "port.so")


@pytest.fixture(scope="module")
def port(port_library):
    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(port_library), "port"))


def sequence(period=PERIOD, raw=(0, 0)):
    code = [(PLAY, 0, 0, 9, 0), (CAPTURE, 0, 0, 0, 0), (CAPTURE, 0, 1, 0, 0), (END, 0, 0, 0, 0)]
    captures = np.zeros(2, kernel.CAPTURE_DTYPE)
    captures["sample_count"], captures["bit"], captures["raw"] = (64, 30), (0, 1), raw
    captures["threshold_slot"] = captures["weights_slot"] = kernel.SLOT_NONE
    return SimpleNamespace(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=np.zeros(1, kernel.FRAME_DTYPE),
        captures=captures,
        weights=np.ones(128, np.int16),
        budget=20,
        period_ticks=period,
        table=np.zeros(0, np.int64),
        factors=np.zeros(0),
        emit_count=0,
        stretch_max=0,
    )


def drain(ring, dtype, reader=0):
    parts = []
    while len(view := ring.peek(reader, dtype)):
        parts.append(view.copy())
        ring.release(reader, len(view))
    return np.concatenate([np.zeros(0, dtype), *parts])


ROW = kernel.row_dtype(2)


def test_dtypes_are_the_structs_of_c():
    for dtype, name in (
        (kernel.INSTRUCTION_DTYPE, "qrt_instruction"),
        (kernel.FRAME_DTYPE, "qrt_frame"),
        (kernel.CAPTURE_DTYPE, "qrt_capture_spec"),
        (kernel.EVENT_DTYPE, "qrt_event"),
        (kernel.MISS_DTYPE, "qrt_miss"),
        (kernel.SKIP_DTYPE, "qrt_skip"),
        (kernel.SLOT_DTYPE, "qrt_slot"),
    ):
        assert dtype.itemsize == ffi.sizeof(name)
        named = {field for field, _ in ffi.typeof(name).fields}
        assert named - set(dtype.names) <= {"reserved"}
        assert all(dtype.fields[field][1] == ffi.offsetof(name, field) for field in dtype.names)
    for captures in range(65):
        dtype = kernel.row_dtype(captures)
        assert dtype.itemsize == lib.qrt_row_size(captures, 0)
        emitting = kernel.row_dtype(captures, 3)
        assert emitting.itemsize == dtype.itemsize + 24 == lib.qrt_row_size(captures, 3)
        assert [emitting.fields[name] for name in dtype.names] == [dtype.fields[name] for name in dtype.names]
        assert emitting.fields["emitted"][1] == dtype.itemsize
        assert dtype["outcomes"].shape == (captures,)
        assert dtype.fields["iq"][1] % 8 == 0


def test_a_kernel_goes_on_where_another_one_ended(port_library, port):
    library = ctypes.CDLL(port_library)
    rings = Rings(Ring.create(ROW.itemsize, 128, 1), Ring.create(8, 128, 1))
    for first, stays_open in ((0, True), (30, True), (70, False)):
        options = {"shot_first": first, "stretched_first": 2, "rings_stay_open": stays_open}
        origin = (first + 2) * PERIOD
        with Kernel(kernel.Config(sequence(), port, rings, 10, port_origin_tick=origin, **options)) as loop:
            loop.start()
            assert loop.join().status is Status.OK
        assert rings.rows.closed is rings.lateness.closed is not stays_open
        assert (
            ctypes.c_int64.in_dll(library, "begun_tick").value == 9 * PERIOD
        )  # the hardware counts from where it was armed
        assert ctypes.c_int64.in_dll(library, "played_tick").value == 9 * PERIOD
    rows = drain(rings.rows, ROW)
    assert rows["shot"].tolist() == [*range(10), *range(30, 40), *range(70, 80)]
    assert (rows["tick"] == (rows["shot"] + 2) * PERIOD).all()  # and the run from its beginning
    assert len(np.unique(rows["trace_hash"])) == 1
    for origin in (-1, 5 * PERIOD + 1):
        with pytest.raises(BugError, match="ARGUMENT"):
            Kernel(kernel.Config(sequence(), port, rings, 10, shot_first=5, port_origin_tick=origin)).arm()


def test_a_run_from_arm_to_report(port):
    rings = Rings(
        Ring.create(ROW.itemsize, 128, 1), Ring.create(8, 128, 1), Ring.create(kernel.MISS_DTYPE.itemsize, 4, 1)
    )
    with Kernel(kernel.Config(sequence(), port, rings, 100, shot_first=5)) as loop:
        loop.start()
        report = loop.join()
    assert loop.join() is report
    assert (report.status, report.safe_status, report.shots_executed) == (Status.OK, Status.OK, 100)
    assert (report.instructions, report.error_shot, report.miss_count) == (400, -1, 0)
    assert report.wall_ns > 0
    rows = drain(rings.rows, ROW)
    assert rows["shot"].tolist() == list(range(5, 105))
    assert (rows["tick"] == rows["shot"] * PERIOD).all()
    assert (rows["outcomes"] == 1).all()
    assert (rows["bits"] == 3).all()
    assert (rows["iq"] == [[2 * 64] * 2, [1 * 30] * 2]).all()  # the shorter capture ends first
    assert (rows["shot_weight"] == 1.0).all()
    assert len(np.unique(rows["trace_hash"])) == 1
    assert drain(rings.lateness, np.int64).tolist() == [0] * 100
    assert rings.rows.closed
    assert rings.misses.closed


def full_run(port, **options):
    """Return the rows of 40 shots that use loops, tables, random words, a sweep, and now and then two periods."""
    code = [
        (12, 1, 0, 0, 0),  # load: turns 0 to 4
        (12, 2, 1, 0, 0),  # load: an amplitude
        (14, 3, 0, 0, 2),  # draw: two bits
        (13, 4, 3, 0, 4),  # lookup
        (16, 4, 0, 0, 0),  # emit
        (15, 0, 3, 0, 4),  # weigh
        (20, 0, 4, 0, 0),  # shift the phase by it
        (17, 0, 0, 2, 0),  # 7: play
        (CAPTURE, 0, 0, 0, 0),
        (CAPTURE, 0, 1, 0, 0),
        (3, 0, 0, 0, 30_000),  # wait
        (8, 5, 0, 0, 0),  # read
        (10, 1, 2, 9, -1),
        (11, 1, 4, 7, 0),  # branch: again
        (END, 0, 0, 0, 0),
    ]
    played = sequence(period=100_000)
    played.instructions = np.array(code, kernel.INSTRUCTION_DTYPE)
    played.table, played.factors = np.array([1 << 60, 5, -7, 1 << 40]), np.array([0.5, -1.5, 1.25, 3.0])
    played.budget, played.emit_count, played.stretch_max = 100, 1, 1
    slots = np.array([(0, 4, 0, 0), (-65536, 65536, 1, 0)], kernel.SLOT_DTYPE)
    sweep = kernel.Sweep((5, 3), slots, order=kernel.Order.SHOT)
    dtype = kernel.row_dtype(2, 1)
    rings = Rings(Ring.create(dtype.itemsize, 64, 1))
    with Kernel(kernel.Config(played, port, rings, 40, sweep=sweep, seed=77, **options)) as loop:
        loop.start()
        report = loop.join()
    assert report.status == Status.OK
    assert report.stretched_periods > 0
    return drain(rings.rows, dtype)


def test_rows_are_the_same_on_every_instruction_set_and_pacing(port):
    selected = kernel.isa_selected()
    rows = full_run(port)
    assert len(np.unique(rows["trace_hash"])) > 15  # more than the sweep has points: what is drawn is in it
    assert len(np.unique(np.diff(rows["tick"]))) == 2
    try:
        for name in kernel.isa_names():
            kernel.select_isa(name)
            assert full_run(port).tobytes() == rows.tobytes()
    finally:
        kernel.select_isa(selected)
    real = full_run(port, pacing=kernel.Pacing.REAL, late_tolerance_ns=10**9)
    assert real.tobytes() == rows.tobytes()


def test_raw_captures_come_with_their_shot(port):
    played = sequence(raw=(1, 0))
    assert kernel.raw_samples_max(played) == 64
    assert kernel.raw_samples_max(sequence()) == 0
    dtype = kernel.raw_dtype(64)
    rings = Rings(Ring.create(ROW.itemsize, 64, 1), raw=Ring.create(dtype.itemsize, 64, 1))
    with Kernel(kernel.Config(played, port, rings, 10)) as loop:
        loop.start()
        assert loop.join().status == Status.OK
    raw = drain(rings.raw, dtype)
    assert raw["shot"].tolist() == list(range(10))
    assert set(raw["capture"]) == {0}
    assert set(raw["sample_count"]) == {64}
    assert (raw["samples"] == 2).all()


def test_virtual_time_waits_for_its_readers_and_counts_it(port):
    rings = Rings(Ring.create(ROW.itemsize, 16, 2))
    with Kernel(kernel.Config(sequence(), port, rings, 1000)) as loop:
        loop.start()
        assert rings.rows.wait(0, 16, 20.0) == 16
        assert not loop.wait(0.01)
        rows = []
        while not (rings.rows.closed and not rings.rows.wait(0, 1, 0.0)):
            rings.rows.wait(0, 8, 0.05)
            view = rings.rows.peek(0, ROW)
            rows.append(view["shot"].copy())
            rings.rows.release(0, len(view))
            rings.rows.release(1, len(rings.rows.peek(1, ROW)))
        report = loop.join()
    assert np.concatenate(rows).tolist() == list(range(1000))
    assert report.sink_wait_count > 0
    assert report.miss_count == 0


def test_skips_give_the_rows_of_the_run_that_missed(port):
    skips = np.array([(2, 3), (8, 1)], kernel.SKIP_DTYPE)
    rings = Rings(Ring.create(ROW.itemsize, 64, 1))
    with Kernel(kernel.Config(sequence(), port, rings, 10, skips=skips)) as loop:
        loop.start()
        report = loop.join()
    rows = drain(rings.rows, ROW)
    assert rows["flags"].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 1, 0]
    assert (rows["outcomes"][rows["flags"] == 1] == kernel.OUTCOME_NONE).all()
    assert (report.shots_executed, report.shots_skipped) == (6, 4)


def test_real_and_virtual_pacing_give_the_same_rows(port):
    def run(pacing):
        rings = Rings(Ring.create(ROW.itemsize, 64, 1), Ring.create(8, 64, 1))
        options = {"late_tolerance_ns": 10**9, "spin_ns": 20_000}  # nothing is late here: a busy machine is no failure
        with Kernel(kernel.Config(sequence(period=1_000_000), port, rings, 20, pacing=pacing, **options)) as loop:
            loop.start()
            report = loop.join()
        return report, drain(rings.rows, ROW), drain(rings.lateness, np.int64)

    _, virtual, _ = run(kernel.Pacing.VIRTUAL)
    report, real, lateness = run(kernel.Pacing.REAL)
    assert real.tobytes() == virtual.tobytes()
    assert report.wall_ns >= 19_000_000
    assert (lateness >= 0).all()
    assert lateness.any()


def test_a_late_release_is_one_miss_and_can_end_the_run(port):
    misses = Ring.create(kernel.MISS_DTYPE.itemsize, 64, 1)
    rings = Rings(Ring.create(ROW.itemsize, 64, 1), misses=misses)
    options = {"late_tolerance_ns": 0, "spin_ns": 0, "late_policy": Policy.ABORT}  # a wake-up is never 0 ns late
    config = kernel.Config(sequence(period=1_000_000), port, rings, 20, pacing=kernel.Pacing.REAL, **options)
    with Kernel(config) as loop:
        loop.start()
        report = loop.join()
    (miss,) = drain(misses, kernel.MISS_DTYPE)
    assert (report.status, report.miss_count, report.error_shot) == (Status.LATE, 1, miss["shot"])
    assert (miss["miss_class"], miss["policy"]) == (kernel.MissClass.RELEASE, Policy.ABORT)
    assert miss["lateness_ns"] > 0
    assert kernel.Cause(miss["cause"]) != kernel.Cause.SINK


@pytest.mark.parametrize(("how", "status"), [("stop", Status.STOPPED), ("abort", Status.ABORTED)])
def test_a_run_can_be_ended(port, how, status):
    rings = Rings(Ring.create(ROW.itemsize, 64, 1))
    period = 3_600_000_000_000  # an hour: the loop sleeps before the second shot
    with Kernel(
        kernel.Config(sequence(period=period), port, rings, 9, pacing=kernel.Pacing.REAL, late_tolerance_ns=10**9)
    ) as loop:
        loop.start()
        assert rings.rows.wait(0, 1, 20.0) == 1
        assert loop.running
        getattr(loop, how)()
        assert loop.wait(20.0)
        report = loop.join()
    assert (report.status, report.shots_executed, report.safe_status) == (status, 1, Status.OK)


def test_leaving_ends_the_thread_before_its_memory_goes(port):
    rings = Rings(Ring.create(ROW.itemsize, 64, 1))
    loop = Kernel(kernel.Config(sequence(), port, rings, 10**9))

    def interrupted():
        with loop:
            loop.start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not loop.running
    assert loop.join().status in {Status.STOPPED, Status.ABORTED}


def test_python_can_end_while_a_kernel_runs(port_library):
    program = """
import ctypes, sys
from types import SimpleNamespace
import numpy as np
from qrt import kernel
port = ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(sys.argv[1]), "port"))
end = np.zeros(1, kernel.INSTRUCTION_DTYPE)
sequence = SimpleNamespace(instructions=end, entries=np.zeros(1, np.uint32), frames=np.zeros(0, kernel.FRAME_DTYPE),
    captures=np.zeros(0, kernel.CAPTURE_DTYPE), weights=np.zeros(0, np.int16), budget=1, period_ticks=100,
    table=np.zeros(0, np.int64), factors=np.zeros(0), emit_count=0, stretch_max=0)
rows = kernel.Ring.create(kernel.row_dtype(0).itemsize, 64, 1)
loop = kernel.Kernel(kernel.Config(sequence, port, kernel.Rings(rows), 10**9))
loop.arm()
loop.start()
rows.wait(0, 64, 20.0)
print(loop.running)
del loop, rows, sequence
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, port_library], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"instructions": np.array([(99, 0, 0, 0, 0), (0, 0, 0, 0, 0)], kernel.INSTRUCTION_DTYPE)},
            "INSTRUCTION: instruction 0",
        ),
        ({"weights": np.full(128, -32768, np.int16)}, "ARGUMENT"),
        ({"budget": 0}, "ARGUMENT"),
        ({"period_ticks": (1 << 48) + 1}, "ARGUMENT"),
        ({"entries": np.array([7], np.uint32)}, "ARGUMENT"),
    ],
)
def test_what_cannot_run_is_refused_at_arm(port, change, message):
    broken = SimpleNamespace(**{**vars(sequence()), **change})
    loop = Kernel(kernel.Config(broken, port, Rings(Ring.create(ROW.itemsize, 64, 1)), 1))
    with pytest.raises(BugError, match=message):
        loop.arm()
    with pytest.raises(BugError, match="does not start"):
        loop.start()
    with pytest.raises(BugError, match="cannot be joined"):
        loop.join()


def test_slots_of_another_size_are_refused(port):
    loop = Kernel(kernel.Config(sequence(), port, Rings(Ring.create(kernel.row_dtype(3).itemsize, 64, 1)), 1))
    with pytest.raises(BugError, match="ARGUMENT"):
        loop.arm()
