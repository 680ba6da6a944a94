"""Epochs from Python: the shot at which they take effect, a loop closed over rows and epochs, what is late, and replays.

The port answers a capture with the amplitude of the last play, so that each row shows the value that its shot was played with.
"""

import ctypes
import hashlib
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from qrt import kernel
from qrt._core import ffi
from qrt.errors import BugError
from qrt.kernel import Epochs, Kernel, Pacing, Policy, Ring, Rings, Rule, Status, epoch_dtype

END, PLAY_REGISTER, CAPTURE, LOAD = 0, 17, 2, 12
SAMPLES, BATCH = 8, 16
NS = 1_000_000  # a period of real pacing
CALM = 10**12  # a tolerance that no busy machine exceeds
ROW, ENTRY = kernel.row_dtype(1), epoch_dtype(2)
HIGH = 1 << 40  # a threshold above every level

PORT_C = """
#include "qrt_port.h"
static int16_t samples[8];
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick) { (void)self; (void)shot; (void)tick; return QRT_OK; }
static qrt_status play(void *self, const qrt_play *p)
{
    (void)self;
    for (int k = 0; k < 8; k++) samples[k] = (int16_t)p->amplitude;
    return QRT_OK;
}
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out) { (void)self; (void)slot; *out = samples; return QRT_OK; }
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {QRT_PORT_ABI, sizeof(qrt_port), 0, begin_shot, play, capture_begin, capture_end, safe, 0, 100, 1, 1, 4, 1, 64, 16};
"""


@pytest.fixture(scope="module")
def port(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo")
    (folder / "port.c").write_text(PORT_C)
    command = ["gcc", "-shared", "-fPIC", "-O2", f"-I{project / 'ffi'}", "port.c", "-o", "port.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(str(folder / "port.so")), "port"))


def sequence():
    """Play the first value of the epoch; its capture is compared with the second."""
    captures = np.zeros(1, kernel.CAPTURE_DTYPE)
    captures["sample_count"], captures["bit"] = SAMPLES, kernel.BIT_NONE
    captures["threshold_slot"], captures["weights_slot"] = 1, kernel.SLOT_NONE
    code = [(LOAD, 1, 0, 0, 0), (PLAY_REGISTER, 0, 0, 1, 0), (CAPTURE, 0, 0, 0, 0), (END, 0, 0, 0, 0)]
    return SimpleNamespace(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=np.zeros(1, kernel.FRAME_DTYPE),
        captures=captures,
        weights=np.concatenate([np.ones(SAMPLES, np.int16), np.zeros(SAMPLES, np.int16)]),
        budget=20,
        period_ticks=NS,
        table=np.zeros(0, np.int64),
        factors=np.zeros(0),
        emit_count=0,
        stretch_max=0,
    )


SWEEP = kernel.Sweep((), np.array([(0, 0, 0, Rule.EPOCH), (1, 0, 0, Rule.EPOCH)], kernel.SLOT_DTYPE))


class Run:
    """A kernel with its rings, entered: rows so far, entries, and in the end the report."""

    def __init__(self, port, shots, delay, values=(5, HIGH), wait_s=30.0, **options):
        self.ring = Ring.create(ENTRY.itemsize, 64, 1)
        self.rings = Rings(Ring.create(ROW.itemsize, 1024, 1), misses=Ring.create(kernel.MISS_DTYPE.itemsize, 1024, 1))
        epochs = Epochs(self.ring, np.array(values), delay, BATCH, wait_s)
        config = kernel.Config(sequence(), port, self.rings, shots, sweep=SWEEP, epochs=epochs, **options)
        self.loop = Kernel(config)

    def __enter__(self):
        self.loop.arm()
        return self

    def __exit__(self, *error):
        self.loop.__exit__(*error)

    def write(self, number, values=(0, 0), flags=0, begin=0):
        entry = self.ring.claim(ENTRY)
        entry["number"], entry["flags"], entry["begin_period"], entry["values"] = number, flags, begin, values
        self.ring.publish()

    def batch(self, index):
        """Wait for the rows of a batch and return them."""
        assert self.rings.rows.wait(0, (index + 1) * BATCH, 30.0) >= (index + 1) * BATCH
        return self.rings.rows.peek(0, ROW)[index * BATCH : (index + 1) * BATCH]

    def end(self):
        report = self.loop.join()
        rows = self.rings.rows.peek(0, ROW).view(np.uint8).copy().view(ROW)  # padding is part of a digest
        return report, rows, self.rings.misses.peek(0, kernel.MISS_DTYPE).copy()


def digest(rows):
    return hashlib.sha256(rows.tobytes()).hexdigest()


def replayed(port, rows, delay, values, real):
    """Play the rows again in virtual time, with nothing but them and the epochs' values: what a replay does."""
    skipped = [(int(row["shot"]), 1) for row in rows if row["flags"] & kernel.ROW_SKIPPED]
    skips = np.array(skipped, kernel.SKIP_DTYPE)
    paused = np.diff(rows["tick"] // NS - rows["shot"], prepend=0)
    with Run(port, len(rows), delay, values(0), skips=skips) as run:
        for number in range(delay + 1, -(-len(rows) // BATCH)):
            first = number * BATCH
            flags = 0 if rows["epoch"][first] == number else kernel.EPOCH_HELD
            run.write(number, values(number), flags, rows["tick"][first] // NS)
        run.loop.start()
        report, again, _ = run.end()
    assert report.status == Status.OK
    assert report.paused_periods == real.paused_periods == paused.sum()
    return again


def played(rows):
    """The values that the shots of some rows were played with, -1 for a skipped one."""
    return np.where(rows["flags"] & kernel.ROW_SKIPPED, -1, rows["iq"][:, 0, 0] // SAMPLES)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_results_take_effect_at_the_first_shot_of_their_batch(port, delay):
    with Run(port, 8 * BATCH + 3, delay) as run:
        run.loop.start()
        for batch in range(8 - delay):
            run.batch(batch)
            number = batch + 1 + delay
            run.write(number, (100 * number, 800 * number - number % 2))
        report, rows, _ = run.end()
    assert (report.status, report.epochs_applied) == (Status.OK, 8 - delay)
    assert (report.epochs_held, report.epochs_discarded, report.miss_count, report.paused_periods) == (0, 0, 0, 0)
    batch = rows["shot"] // BATCH
    number = np.where(batch > delay, batch, 0)
    assert rows["epoch"].tolist() == number.tolist()
    assert played(rows).tolist() == np.where(number, 100 * number, 5).tolist()
    assert rows["outcomes"][:, 0].tolist() == (number % 2).tolist()  # iq is 800 times the number: above, or equal
    by_value = {int(n): set(rows["trace_hash"][number == n].tolist()) for n in set(number.tolist())}
    assert all(len(hashes) == 1 for hashes in by_value.values())
    assert len(set.union(*by_value.values())) == len(by_value)


@pytest.mark.parametrize(
    ("delay", "gain", "closed"),
    [(0, 2, lambda k: 2**-k), (1, 4, lambda k: (1 + k) * 2**-k)],  # z = 1 - 1/2; z^2 - z + 1/4 = 0: twice 1/2
)
def test_an_integrator_over_rows_and_epochs_follows_its_closed_form(port, delay, gain, closed):
    start, setpoint = 1 << 13, -3000
    value = setpoint + start
    with Run(port, 11 * BATCH, delay, (value, HIGH)) as run:
        run.loop.start()
        for batch in range(10 - delay):
            error = int(played(run.batch(batch)).mean()) - setpoint
            assert error % gain == 0  # the closed form is in integers
            value -= error // gain
            run.write(batch + 1 + delay, (value, HIGH))
        report, rows, _ = run.end()
    assert report.status == Status.OK
    expected = [setpoint + start * closed(float(k)) for k in range(11)]
    assert played(rows).tolist() == np.repeat(expected, BATCH).tolist()


def test_virtual_time_waits_and_counts_it(port):
    with Run(port, 3 * BATCH, 0) as run:
        run.loop.start()
        run.batch(0)
        assert not run.loop.wait(0.02)
        run.write(1)
        run.batch(1)
        assert not run.loop.wait(0.02)
        run.write(2)
        report, _, _ = run.end()
    assert (report.status, report.epoch_wait_count, report.epochs_applied) == (Status.OK, 2, 2)


@pytest.mark.parametrize("pacing", [Pacing.VIRTUAL, Pacing.REAL])
def test_a_wait_has_its_limit_on_the_wall(port, pacing):
    with Run(port, 3 * BATCH, 0, wait_s=0.01, pacing=pacing, late_tolerance_ns=CALM) as run:
        run.write(1)
        run.loop.start()
        report, rows, _ = run.end()
    assert (report.status, report.error_shot, len(rows)) == (Status.EPOCH, 2 * BATCH, 2 * BATCH)
    assert (report.epoch_wait_count, report.miss_count) == (1, 0)


def test_a_writer_that_has_finished_is_not_waited_for(port):
    with Run(port, 3 * BATCH, 0, wait_s=3600.0) as run:
        run.write(1)
        run.ring.finish()
        run.loop.start()
        report, rows, _ = run.end()
    assert (report.status, report.error_shot, len(rows)) == (Status.EPOCH, 2 * BATCH, 2 * BATCH)


def test_held_entries_keep_values_and_number(port):
    with Run(port, 4 * BATCH, 0) as run:
        run.write(1, (10, HIGH))
        run.write(2, (20, HIGH), kernel.EPOCH_HELD)
        run.write(3, (30, HIGH))
        run.loop.start()
        report, rows, _ = run.end()
    assert (report.epochs_applied, report.epochs_held) == (2, 1)
    assert rows["epoch"].tolist() == np.repeat([0, 1, 1, 3], BATCH).tolist()
    assert played(rows).tolist() == np.repeat([5, 10, 10, 30], BATCH).tolist()


def test_a_late_epoch_is_a_miss_and_its_entry_is_discarded(port):
    options = {"pacing": Pacing.REAL, "late_tolerance_ns": CALM}
    with Run(port, 10**6, 1, **options) as run:
        run.write(3, (30, HIGH))  # of the three that are due at first, the second is in time
        run.loop.start()
        run.batch(3)
        run.write(2, (20, HIGH))  # late: its first shot is over
        end = run.rings.rows.published // BATCH + 1
        run.batch(end)
        run.loop.stop()
        report, rows, misses = run.end()
    assert (report.status, report.epochs_applied, report.epochs_discarded) == (Status.STOPPED, 1, 1)
    due = np.arange(2, (len(rows) - 1) // BATCH + 1)
    late = due[due != 3]
    assert misses["shot"].tolist() == (late * BATCH).tolist()
    assert misses["tick"].tolist() == (late * BATCH * NS).tolist()
    for miss in misses:
        named = (kernel.MissClass(miss["miss_class"]), Policy(miss["policy"]), kernel.Cause(miss["cause"]))
        assert named == (kernel.MissClass.EPOCH, Policy.HOLD, kernel.Cause.BATCH)
        assert (miss["skipped_count"], miss["lateness_ns"]) == (0, 0)
    assert report.epochs_held == report.miss_count == len(late)
    assert set(rows["flags"]) == {0}
    in_force = np.where(rows["shot"] < 3 * BATCH, 0, 3)
    assert rows["epoch"].tolist() == in_force.tolist()
    assert played(rows).tolist() == np.where(in_force, 30, 5).tolist()
    again = replayed(port, rows, 1, lambda number: (10 * number or 5, HIGH), report)
    assert digest(again) == digest(rows)


def test_a_late_epoch_can_end_the_run(port):
    options = {"pacing": Pacing.REAL, "late_tolerance_ns": CALM, "late_epoch_policy": Policy.ABORT}
    with Run(port, 4 * BATCH, 1, **options) as run:
        run.loop.start()
        report, rows, (miss,) = run.end()
    assert (report.status, report.error_shot, len(rows)) == (Status.LATE, 2 * BATCH, 2 * BATCH)
    assert (miss["shot"], miss["miss_class"], miss["policy"]) == (2 * BATCH, kernel.MissClass.EPOCH, Policy.ABORT)


def values_of(number):
    return 100 * number + 5, 800 * number


@pytest.mark.parametrize("delay", [1, 3])
def test_virtual_and_real_time_give_the_same_digest(port, delay):
    found = []
    for pacing in (Pacing.VIRTUAL, Pacing.REAL):
        with Run(port, 6 * BATCH, delay, values_of(0), pacing=pacing, late_tolerance_ns=CALM) as run:
            for number in range(delay + 1, 6):
                run.write(number, values_of(number))
            run.loop.start()
            report, rows, _ = run.end()
        assert (report.status, report.epochs_applied, report.miss_count) == (Status.OK, 5 - delay, 0)
        found.append(digest(rows))
    assert found[0] == found[1]


def test_stop_and_wait_pauses_and_replays(port):
    with Run(port, 5 * BATCH, 0, values_of(0), pacing=Pacing.REAL, late_tolerance_ns=CALM) as run:
        run.loop.start()
        for batch in range(4):
            run.batch(batch)
            assert not run.loop.wait(0.005)  # thinking takes some periods
            run.write(batch + 1, values_of(batch + 1))
        report, rows, _ = run.end()
    assert (report.status, report.epochs_applied, report.miss_count) == (Status.OK, 4, 0)
    paused = np.diff(rows["tick"] // NS - rows["shot"], prepend=0)
    assert (paused >= 0).all()
    assert set(np.flatnonzero(paused) % BATCH) == {0}
    assert paused[BATCH::BATCH].min() >= 3
    assert report.stretched_periods == 0
    assert digest(replayed(port, rows, 0, values_of, report)) == digest(rows)


def test_late_releases_cross_batches_and_replay(port):
    # A wake-up is never 0 ns late, so that many shots are skipped, wherever they stand in their batch.
    options = {"pacing": Pacing.REAL, "late_tolerance_ns": 0, "spin_ns": 0}
    with Run(port, 8 * BATCH, 1, values_of(0), **options) as run:
        for number in (2, 3, 5, 7):
            run.write(number, values_of(number))
        run.loop.start()
        report, rows, misses = run.end()
    assert report.status == Status.OK
    assert report.shots_skipped > 0
    assert len(rows) == 8 * BATCH
    assert rows["epoch"].tolist() == np.repeat([0, 0, 2, 3, 3, 5, 5, 7], BATCH).tolist()
    late = misses["shot"][misses["miss_class"] == kernel.MissClass.EPOCH]
    assert late.tolist() == [4 * BATCH, 6 * BATCH]
    assert (report.epochs_applied, report.epochs_held) == (4, 2)
    assert digest(replayed(port, rows, 1, values_of, report)) == digest(rows)


def test_a_slot_is_claimed_filled_and_published():
    dtype = epoch_dtype(3)
    struct = {field for field, _ in ffi.typeof("qrt_epoch").fields}
    assert struct - set(dtype.names) == {"reserved"}
    assert all(dtype.fields[name][1] == ffi.offsetof("qrt_epoch", name) for name in dtype.names if name != "values")
    assert (dtype.fields["values"][1], dtype.itemsize) == (ffi.sizeof("qrt_epoch"), ffi.sizeof("qrt_epoch") + 24)
    with Ring.create(dtype.itemsize, 2, 1) as ring:
        for number in (1, 2):
            slot = ring.claim(dtype)
            assert slot.shape == (1,)
            slot["number"], slot["values"] = number, (number, -1, 1 << 62)
            assert len(ring.peek(0, dtype)) == number - 1
            ring.publish()
        assert ring.claim(dtype) is None
        with pytest.raises(BugError, match="not claimed"):
            ring.publish()
        with pytest.raises(BugError, match="slots of"):
            ring.claim(epoch_dtype(2))
        view = ring.peek(0, dtype)
        assert view["number"].tolist() == [1, 2]
        assert view["values"].tolist() == [[1, -1, 1 << 62], [2, -1, 1 << 62]]
        ring.release(0, 1)
        assert ring.claim(dtype) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"delay": -1},
        {"batch_shots": 0},
        {"wait_s": 0.0},
        {"first": 1},
        {"values": np.zeros(1, np.int64)},
        {"values": np.zeros(kernel.EPOCH_VALUES_MAX + 1, np.int64)},
        {"ring": Ring.create(8, 4, 1)},
    ],
)
def test_what_are_no_epochs_is_refused(port, change):
    given = {"ring": Ring.create(ENTRY.itemsize, 4, 1), "values": np.zeros(2, np.int64), "delay": 1, "batch_shots": 1}
    rings = Rings(Ring.create(ROW.itemsize, 64, 1))
    loop = Kernel(kernel.Config(sequence(), port, rings, 1, sweep=SWEEP, epochs=Epochs(**{**given, **change})))
    with pytest.raises(BugError, match="ARGUMENT"):
        loop.arm()


@pytest.mark.parametrize(
    "options", [{"late_epoch_policy": Policy.SKIP}, {"late_policy": Policy.HOLD}, {"pacing": Pacing.EXTERNAL}]
)
def test_policies_and_pacings_that_are_none_are_refused(port, options):
    loop = Run(port, 1, 1, **options).loop
    with pytest.raises(BugError, match="ARGUMENT"):
        loop.arm()
    assert isinstance(Kernel(kernel.Config(sequence(), port, loop.config.rings, 1)), Kernel)


def test_slots_that_follow_the_epoch_need_its_values(port):
    loop = Kernel(kernel.Config(sequence(), port, Rings(Ring.create(ROW.itemsize, 64, 1)), 1, sweep=SWEEP))
    with pytest.raises(BugError, match="ARGUMENT"):
        loop.arm()
    with pytest.raises(BugError, match="asks for 2 values of an epoch of 1"):
        kernel.sweep_slots(SWEEP, np.arange(3), np.zeros(1, np.int64))
    assert kernel.sweep_slots(SWEEP, np.arange(2), np.array([7, 8])).tolist() == [[7, 8], [7, 8]]
