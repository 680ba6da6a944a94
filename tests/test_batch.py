"""The batch process by itself: sums of rows that a ring brings, and the ways in which it can end."""

import os
import select
import signal
import socket
import subprocess
import sys

import msgpack
import numpy as np
import pytest

from qrt.batch import BATCH_READER, BatchProcess, Points, Shape
from qrt.batch.gathering import BatchMemory, Gathering
from qrt.batch.process import Work, pump
from qrt.errors import RunError
from qrt.kernel import ROW_ERASED, ROW_SKIPPED, Ring, row_dtype
from qrt.readout.estimate import LAG_COUNT, add_sums, no_sums
from tests.processes import children

ROW = row_dtype(2)
BATCH_SHOTS = 1000
TERMS = ((0,), (2,), (0, 2))
SHAPE = Shape(3, TERMS, BATCH_SHOTS, 2)
TABLES = np.array([[1.1, -0.9], [1.0, -1.0], [1.02, -1.04]])


def sample_rows(count, rng):
    rows = np.zeros(count, ROW)
    rows["shot"] = np.arange(count)
    rows["bits"] = rng.integers(0, 8, count)
    rows["flags"][rng.random(count) < 0.05] = ROW_SKIPPED
    rows["flags"][rng.random(count) < 0.02] = ROW_ERASED
    return rows


def rings(slots=4096):
    ring = Ring.create(ROW.itemsize, slots, 2)
    ring.detach(1 - BATCH_READER)
    return ring


def expected(rows):
    """Return the sums over batches of BATCH_SHOTS rows, in numpy."""
    bits = (rows["bits"][:, None] >> np.arange(3, dtype=np.uint64)) & np.uint64(1)
    valid = rows["flags"] == 0
    factors = np.where(bits == 0, TABLES[:, 0], TABLES[:, 1])
    signs = 1.0 - 2.0 * bits.astype(float)
    weight = np.stack([factors[:, list(term)].prod(axis=1) for term in TERMS], axis=1) * valid[:, None]
    raw = np.stack([signs[:, list(term)].prod(axis=1) for term in TERMS], axis=1) * valid[:, None]
    pairs, lagged = np.zeros(LAG_COUNT, np.int64), np.zeros((LAG_COUNT, 3))
    for start in range(0, len(rows), BATCH_SHOTS):
        part = slice(start, start + BATCH_SHOTS)
        for lag in range(1, LAG_COUNT + 1):
            pairs[lag - 1] += np.sum(valid[part][lag:] & valid[part][:-lag])
            lagged[lag - 1] += np.sum(weight[part][lag:] * weight[part][:-lag], axis=0)
    return valid.sum(), weight.sum(axis=0), raw.sum(axis=0), weight.T @ weight, pairs, lagged


def test_sums_are_those_of_the_rows_skipped_ones_left_out_and_the_last_batch_padded(rng):
    rows = sample_rows(3 * BATCH_SHOTS + 77, rng)
    with rings() as ring, BatchProcess(SHAPE) as batch:
        batch.wait_ready()
        assert {"jax", "jaxlib", "numpy"} == batch.versions.keys()
        batch.consume(ring, TABLES)
        assert ring.write(rows) == len(rows)
        ring.finish()
        total, indices = no_sums(TERMS), []
        for sums in batch.messages():
            indices.append(sums["batch"])
            total = add_sums(total, sums)
        assert batch.failure is None
        assert indices == [0, 1, 2, 3]
    shots, weight, raw, square, pairs, lagged = expected(rows)
    assert total.shots == shots
    np.testing.assert_allclose(total.weight[:3], weight, rtol=1e-12)
    np.testing.assert_allclose(total.raw, raw)
    np.testing.assert_allclose(total.square, square, rtol=1e-12)
    np.testing.assert_array_equal(total.pairs, pairs)
    np.testing.assert_allclose(total.weight_lagged, lagged, rtol=1e-9, atol=1e-9)


class Racing:
    """A ring into which the writer puts more rows just after the reader was told how many there are."""

    def __init__(self, ring, rows):
        self.ring, self.rows, self.taken = ring, rows, 0

    @property
    def closed(self):
        return self.ring.closed

    def wait(self, reader, minimum, timeout_s):
        count = self.ring.wait(reader, 1, 0.0)
        part = self.rows[self.taken : self.taken + 7]
        self.taken += len(part)
        self.ring.write(part)
        if not len(part):
            self.ring.finish()
        return count

    def peek(self, reader, dtype):
        return self.ring.peek(reader, dtype)

    def release(self, reader, count):
        self.ring.release(reader, count)


def only_counting():
    def sums(_bits, valid, _tables):
        return {"shots": int(valid.sum())}

    return Work(3, Points(), TABLES, sums, None, lambda _: None, False, 0)


def test_rows_that_come_between_the_count_and_the_look_are_taken_once(rng):
    rows = sample_rows(BATCH_SHOTS + 100, rng)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, rings(2048) as ring:
        gathering = Gathering(BatchMemory.create(ROW.itemsize, BATCH_SHOTS), ROW, BATCH_SHOTS)
        pump(theirs, Racing(ring, rows), gathering, only_counting())
        messages = [msgpack.unpackb(ours.recv(1 << 16)) for _ in range(3)]
    valid = rows["flags"] == 0
    assert [message.get("shots") for message in messages[:2]] == [valid[:BATCH_SHOTS].sum(), valid[BATCH_SHOTS:].sum()]
    assert messages[2] == {"end": 2}


def test_a_batch_is_gathered_by_shot_whatever_comes_twice_or_never(rng):
    rows = sample_rows(3 * 10, rng)
    rows["flags"] = 0
    rows["bits"] = np.arange(30) % 8
    memory = BatchMemory.create(ROW.itemsize, 10)
    first = Gathering(memory, ROW, 10)
    assert first.take(rows[:6]) == 6
    again = Gathering(memory, ROW, 10)  # of the process that comes after: it does not know what was given back
    other = rows[:8].copy()
    other["bits"][:6] = 7
    assert again.take(other) == 8
    assert (again.count, again.missing) == (8, 2)
    assert again.take(rows[9:13]) == 1  # shot 8 never came, those from 10 on are the next batch's
    shots = again.shots(3, Points(4, 2))
    np.testing.assert_array_equal(shots.valid, np.arange(10) != 8)
    np.testing.assert_array_equal((shots.bits @ [1, 2, 4])[shots.valid], (np.arange(10) % 8)[shots.valid])
    np.testing.assert_array_equal(shots.point, [0, 0, 1, 1, 2, 2, 3, 3, 0, 0])
    again.next()
    assert (again.batch, again.count) == (1, 0)
    assert again.take(rows[5:12]) == 7
    np.testing.assert_array_equal(again.shots(3, Points()).valid, np.arange(10) < 2)


def test_a_process_that_dies_gives_up_its_place_at_the_ring_and_says_how(rng):
    with rings(1024) as ring, BatchProcess(SHAPE) as batch:
        batch.wait_ready()
        batch.kill()
        batch.consume(ring, TABLES)  # may or may not find it gone
        assert list(batch.messages()) == []
        assert "SIGKILL" in batch.failure
        assert ring.write(sample_rows(5000, rng)) == 5000  # nobody holds the writer


def test_a_process_that_dies_before_it_is_ready_is_an_error():
    with BatchProcess(SHAPE) as batch:
        batch.kill()
        with pytest.raises(RunError, match="did not become ready: the batch process was ended by SIGKILL"):
            batch.wait_ready()


def test_waiting_for_it_ends_when_the_run_is_asked_to():
    before = children()
    with BatchProcess(SHAPE) as batch:
        (process,) = children() - before
        os.kill(process, signal.SIGSTOP)  # it will never be ready
        batch.wait_ready(lambda: True)
        assert batch.versions == {}
    assert children() == before


def test_closing_twice_and_without_a_start_is_nothing():
    before = children()
    batch = BatchProcess(SHAPE)
    batch.close()
    batch.kill()
    batch.start()
    batch.close()
    batch.close()
    assert children() == before


PARENT = """
import sys
from qrt.batch import BatchProcess, Shape
batch = BatchProcess(Shape(1, ((0,),), 1000))
batch.start()
if "ready" in sys.argv:
    batch.wait_ready()
print(batch._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("phase", ["starting", "ready"])
def test_it_dies_with_its_parent(phase):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, phase], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        handle = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert parent.returncode == -signal.SIGKILL
    assert gone(handle)


def gone(handle):
    """Return whether the process behind a pidfd ends within a minute."""
    ready, _, _ = select.select([handle], [], [], 60.0)
    os.close(handle)
    return bool(ready)
