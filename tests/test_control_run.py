"""Controllers in the loop of the kernel: the shot at which each update acts, the same rows on every clock, and what comes late.

The plant is a sequence that writes a bit where a ramp over the batch is below the controlled value: the bit's mean over a batch is
the value itself, to 1/W. So what a loop around it does is known to the last shot.
"""

import ctypes
import hashlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qrt import kernel
from qrt.batch import Asked, BatchProcess, EpochsTo, Points, Shape, Update
from qrt.kernel import Epochs, Kernel, MissClass, Pacing, Ring, Rings, Rule, Status, epoch_dtype
from qrt.types import Control

END, WRITE, ALU, LOAD = 0, 9, 10, 12
LESS = 8
ONE = 65536
ROW = kernel.row_dtype(0)
BAD = str(Path(__file__).with_name("bad_law.py"))
CALM = 10**12  # a tolerance that no busy machine exceeds
ENCODE = {"units": ["amplitude"], "offsets": ["0"], "factors": [{"u": "65536"}]}

PORT_C = """
#include "qrt_port.h"
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick) { (void)self; (void)shot; (void)tick; return QRT_OK; }
static qrt_status play(void *self, const qrt_play *p) { (void)self; (void)p; return QRT_OK; }
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out) { (void)self; (void)slot; (void)out; return QRT_OK; }
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {QRT_PORT_ABI, sizeof(qrt_port), 0, begin_shot, play, capture_begin, capture_end, safe, 100, 1, 1, 4, 1, 64, 16};
"""


@pytest.fixture(scope="module")
def port(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("null")
    (folder / "port.c").write_text(PORT_C)
    command = ["gcc", "-shared", "-fPIC", "-O2", f"-I{project / 'ffi'}", "port.c", "-o", "port.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(str(folder / "port.so")), "port"))


def sequence(period_ticks):
    """Write bit 0 where the ramp, slot 1, is below the controlled value, slot 0."""
    code = [(LOAD, 1, 1, 0, 0), (LOAD, 2, 0, 0, 0), (ALU, 1, LESS, 2, 0), (WRITE, 1, 0, 0, 0), (END, 0, 0, 0, 0)]
    return SimpleNamespace(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=np.zeros(0, kernel.FRAME_DTYPE),
        captures=np.zeros(0, kernel.CAPTURE_DTYPE),
        weights=np.zeros(0, np.int16),
        budget=20,
        period_ticks=period_ticks,
        table=np.zeros(0, np.int64),
        factors=np.zeros(0),
        emit_count=0,
        stretch_max=0,
    )


class Played:
    """A run of the plant with one controller, until the last row and the last update."""

    def __init__(
        self, port, law, parameters, *, delay, batch_shots, batches, start=0.25, setpoint=0.75, period=1000, **options
    ):
        asked = Asked("loop", law, "u", 0, (), setpoint, None, None, 1, parameters)
        shape = Shape(1, (), batch_shots, 0, (asked,))
        step = ONE // batch_shots
        slots = [(0, 0, 0, Rule.EPOCH), (0, step * (batch_shots - 1), 0, Rule.AFFINE)]
        ramp = kernel.Sweep((batch_shots,), np.array(slots, kernel.SLOT_DTYPE), order=kernel.Order.SHOT)
        shots = batch_shots * batches
        self.updates = []
        with (
            Ring.create(ROW.itemsize, 1 << (shots - 1).bit_length(), 2) as rows,
            Ring.create(kernel.MISS_DTYPE.itemsize, 1024, 1) as misses,
            Ring.create(epoch_dtype(1).itemsize, 16, 1) as epochs,
            BatchProcess(shape, Control(batch_shots=batch_shots, delay_batches=delay)) as batch,
        ):
            batch.wait_ready()
            first = np.array([round(start * ONE)])
            config = kernel.Config(
                sequence(period),
                port,
                Rings(rows, misses=misses),
                shots,
                sweep=ramp,
                epochs=Epochs(epochs, first, delay, batch_shots),
                late_tolerance_ns=CALM,
                **options,
            )
            with Kernel(config) as loop:
                batch.consume(
                    rows, np.zeros((1, 2)), Points(batch_shots), EpochsTo(delay, False, ENCODE, {"u": start}), epochs
                )
                loop.start()
                self.updates = [one for one in batch.messages() if isinstance(one, Update)]
                self.report = loop.join()
            assert batch.failure is None
            assert self.report.status is Status.OK
            self.rows = rows.peek(0, ROW).copy()
            self.misses = misses.peek(0, kernel.MISS_DTYPE).copy()

    @property
    def digest(self):
        return hashlib.sha256(self.rows.tobytes()).hexdigest()


def predicted(gain, *, delay, batch_shots, batches, start=0.25, setpoint=0.75):
    """Return epoch and bit of every shot of the integrator on the plant, in seven lines of Python."""
    values, latest = {0: start}, start
    epochs, bits = [], []
    for batch in range(batches):
        epoch = batch if batch > delay else 0
        word = round(values[epoch] * ONE)
        bit = [ONE // batch_shots * shot < word for shot in range(batch_shots)]
        epochs, bits = epochs + [epoch] * batch_shots, bits + bit
        latest += gain * (sum(bit) / batch_shots - setpoint)
        values[batch + 1 + delay] = latest
    return np.array(epochs), np.array(bits), values


@pytest.mark.parametrize(("delay", "gain"), [(0, -0.5), (1, -0.25), (3, -0.105)])
def test_a_loop_does_what_its_transfer_function_says_to_the_shot(port, delay, gain):
    given = {"delay": delay, "batch_shots": 1024, "batches": 24}
    played = Played(port, "integrator", {"gain": gain}, **given)
    epochs, bits, values = predicted(gain, **given)
    np.testing.assert_array_equal(played.rows["epoch"], epochs)
    np.testing.assert_array_equal(played.rows["bits"], bits)
    assert [update.values["u"] for update in played.updates] == pytest.approx(
        [values[k + 1 + delay] for k in range(24)]
    )
    error = np.zeros(24)  # e[k + 1] = e[k] + gain e[k - d], while the first results are under way e[0]
    error[: delay + 1] = -0.5
    for k in range(delay, 23):
        error[k + 1] = error[k] + gain * error[k - delay]
    seen = played.rows["bits"].reshape(24, -1).mean(axis=1) - 0.75
    np.testing.assert_allclose(
        seen, error, atol=24 * abs(gain) / 1024
    )  # each batch rounds the mean up by less than 1/W


def test_the_rows_are_the_same_on_the_virtual_and_on_the_real_clock(port):
    given = {"delay": 1, "batch_shots": 64, "batches": 8, "period": 1_000_000}
    virtual = Played(port, "integrator", {"gain": -0.25}, **given)
    real = Played(port, "integrator", {"gain": -0.25}, pacing=Pacing.REAL, **given)
    assert len(real.misses) == 0, "64 ms were not enough for a batch: a machine too busy for this test"
    assert real.digest == virtual.digest


def test_a_slow_controller_is_late_at_just_the_epochs_that_are_recorded_as_missed(port):
    given = {"delay": 1, "batch_shots": 32, "batches": 30, "period": 1_000_000}
    slow = {"kind": "slow", "at": 5, "gain": 0.01}  # in batch 5 the law sleeps for nine batches
    played = Played(port, BAD, slow, pacing=Pacing.REAL, **given)
    late = played.misses[played.misses["miss_class"] == MissClass.EPOCH]
    rows = played.rows[::32]
    due = np.arange(30)
    missing = due[(due >= 2) & (rows["epoch"] != due)]
    assert len(missing) >= 3
    assert {7, 8, 9} <= set(missing.tolist())  # of batches 5, 6, 7
    np.testing.assert_array_equal(late["shot"], missing * 32)
    assert set(late["cause"]) == {kernel.Cause.BATCH}
    assert played.report.epochs_applied == 28 - len(missing)
    values = {0: 0.25} | {update.epoch: update.values["u"] for update in played.updates}
    ramp = np.arange(30 * 32) % 32 * (ONE // 32)
    words = np.array([round(values[epoch] * ONE) for epoch in played.rows["epoch"]])
    executed = played.rows["flags"] == 0
    np.testing.assert_array_equal(played.rows["bits"][executed], (ramp < words)[executed])
