"""One controlled, streamed run on the real clock into which stalls are injected: every miss on record with its cause, none invented.

What tells the causes apart is in the kernel (ffi/core/evidence.c) and tested there shot by shot (tests/test_misses.py). Here the run is a
whole one in a process of its own (tests/stalled.py), and four different things hold it up: a stop signal, a thread of higher right
on the kernel's core, a law that is slow, and a disk that does not answer. What the machine does by itself besides, if it is busy, is in the
same record, so that every miss is held against what the rows say: their lateness, their epochs, and which of them were skipped.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from qrt.client import open_run
from qrt.replay import replay
from qrt.store import save_calibration
from tests.stalled import DELAY, PERIOD_NS, SLOW_BATCH, TOLERANCE_NS, W
from tests.test_determinism import Listeners

STALL_S = 0.4
LONG_NS = (
    0.5 * STALL_S * 1e9
)  # a miss that skips more than this was injected, or the machine is of no use for this test
DISK_S = 2.6  # the ring of rows holds 2.05 s
HOG = """
import os, sys, time
os.sched_setaffinity(0, [int(sys.argv[1])])
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    pass
"""


def pause(seconds):
    threading.Event().wait(
        seconds
    )  # the length of a stall, or of the quiet between two; not a wait for something to be done


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def core_of(process):
    """Return the core that the kernel's thread has for itself, by real-time right; None where there is no such right."""
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
            if os.sched_getscheduler(int(task.name)) == os.SCHED_FIFO:
                return min(os.sched_getaffinity(int(task.name)))
    return None


class Stalled:
    """The run and what is done to it, in order."""

    def __init__(self, project, tmp_path, calibration):
        address = f"ipc://{tmp_path}/stream"
        self.injected = []
        self.runs = tmp_path / "runs"
        stored = save_calibration(tmp_path, calibration)
        self.process = command("-m", "tests.stalled", self.runs, stored, address)
        self.listeners = Listeners(address, 2)

    def __enter__(self):
        self.listeners.__enter__()
        self.until("Playing", 0)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.listeners.__exit__()

    def until(self, event, done):
        """Wait for an event of the run: so many shots on disk."""
        for line in self.process.stdout:
            word, count, *_ = line.split()
            if word == event and int(count) >= done:
                return
        pytest.fail("the run ended early")

    def tell(self, text):
        self.process.stdin.write(text + "\n")

    def stop_the_process(self):
        self.process.send_signal(signal.SIGSTOP)
        pause(STALL_S)
        self.process.send_signal(signal.SIGCONT)
        self.injected.append(("late_release", "stopped"))

    def take_the_core(self):
        """A thread of higher right on the kernel's core; without rights nothing is of higher right, and the part is left out."""
        core = core_of(self.process)
        if core is None:
            return
        with command("-c", HOG, core, STALL_S) as hog:
            assert hog.stdout.readline() == "ready\n"
            hog.stdin.write("go\n")
            hog.wait()
        self.injected.append(("late_release", "switch"))

    def stall_the_disk(self):
        self.tell(f"disk {DISK_S}")
        pause(DISK_S)
        self.injected.append(("late_sink", "sink"))

    def ended(self):
        """Return the record of the run, ended as asked."""
        self.tell("end")
        lines = self.process.stdout.read().splitlines()
        assert self.process.wait() == 0
        assert lines[-2].startswith("ended stopped as asked after"), lines
        (folder,) = (path for path in self.runs.iterdir() if (path / "journal").exists())
        return open_run(folder)


def check_the_rows(record):
    """Every shot that is skipped is in one miss, every release beyond the tolerance is one, and nothing else is."""
    late, skipped = record.lateness_ns, (record.rows["flags"] & 1).astype(int)
    covered = np.zeros(len(record.rows), int)
    for miss in record.misses:
        if miss["class"] == "late_epoch":
            continue
        assert miss["policy"] == "skip"
        assert miss["skipped_count"] > 0
        covered[miss["shot"] : miss["shot"] + miss["skipped_count"]] += 1
        if miss["class"] == "late_release":
            assert TOLERANCE_NS < miss["lateness_ns"] <= late[miss["shot"]]
    np.testing.assert_array_equal(covered, skipped)
    assert (late[skipped == 0] <= TOLERANCE_NS).all()
    assert np.array_equal(record.rows["tick"], np.arange(len(record.rows)) * PERIOD_NS)


def check_the_epochs(record):
    """An epoch is missed where it did not take effect at its shot, and then its values were not there yet."""
    rows = record.rows
    due = np.arange(DELAY + 1, (len(rows) - 1) // W + 1)
    missed = {miss["shot"] // W for miss in record.misses if miss["class"] == "late_epoch"}
    assert missed == set(due[rows["epoch"][due * W] != due].tolist())
    for miss in record.misses:
        assert (miss["class"] == "late_epoch") == (miss["cause"] == "batch") == (miss["policy"] == "hold")
    handled_ns = rows["tick"] + record.lateness_ns  # of each shot, from the run's start
    told_ns = {one.body["epoch"]: one.header.t_ns for one in record.messages() if one.header.doc == "epoch"}
    last_row = {number: handled_ns[(number - DELAY) * W - 1] for number in told_ns}
    took_ns = {number: told_ns[number] - last_row[number] for number in told_ns}
    quickest_ns = min(took_ns.values())  # the start on the host's clock, and some milliseconds for the laws
    for number in missed & told_ns.keys():
        had_ns = handled_ns[number * W] - last_row[number]
        assert took_ns[number] - quickest_ns > had_ns - 0.3 * DELAY * W * PERIOD_NS, number
    return missed


def check(stalled):
    """Everything that is true of a run, whatever was done to it, and that what was done is there."""
    record = stalled.ended()
    check_the_rows(record)
    missed = check_the_epochs(record)
    assert SLOW_BATCH + 1 + DELAY in missed
    counters = record.stop["counters"]
    classes = [miss["class"] for miss in record.misses]
    assert counters["kernel.misses"] == len(record.misses)
    assert counters["kernel.misses_dropped"] == counters["rows_lost"] == counters["control.refused"] == 0
    assert counters["kernel.shots_skipped"] == int((record.rows["flags"] & 1).sum())
    assert counters["kernel.shots_executed"] == int((record.rows["flags"] == 0).sum())
    assert counters["kernel.epochs_applied"] + classes.count("late_epoch") == (len(record.rows) - 1) // W - DELAY
    long = [(miss["class"], miss["cause"]) for miss in record.misses if miss["skipped_count"] * PERIOD_NS > LONG_NS]
    assert long == stalled.injected
    docs, lost = stalled.listeners.received(1)
    assert docs.count("miss") + lost >= len(record.misses) > 0
    assert lost or docs.count("miss") == len(record.misses)
    assert record.digest() == record.stop["digest"]
    verdict = replay(record.path)
    assert verdict.same, verdict.difference
    return record


def test_what_holds_a_run_up_is_on_record_with_its_cause_and_the_replay_is_the_same(
    project, tmp_path, demo_calibration
):
    with Stalled(project, tmp_path, demo_calibration) as stalled:
        stalled.until("Progress", (SLOW_BATCH + DELAY + 1) * W + W // 2)
        stalled.stop_the_process()
        pause(0.2)
        stalled.take_the_core()
        pause(0.1)
        check(stalled)


@pytest.mark.prove
def test_a_disk_that_stalls_too_and_each_twice_with_quiet_between(project, tmp_path, demo_calibration):
    with Stalled(project, tmp_path, demo_calibration) as stalled:
        stalled.until("Progress", (SLOW_BATCH + DELAY + 1) * W + W // 2)
        for _ in range(2):
            for stall in (stalled.stop_the_process, stalled.take_the_core, stalled.stall_the_disk):
                pause(0.5)
                stall()
        pause(0.5)
        record = check(stalled)
        for miss in record.misses:
            if (miss["class"], miss["skipped_count"] * PERIOD_NS > LONG_NS) == ("late_sink", True):
                assert miss["skipped_count"] * PERIOD_NS > (DISK_S - 2.05 - 0.3) * 1e9
