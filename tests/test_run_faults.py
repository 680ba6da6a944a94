"""A run that goes wrong, in every way that we can make it: a clear error, outputs off, a record that opens and says what happened."""

import errno
import os
import re
import select
import signal
import subprocess
import sys
import threading

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import qrt.loop
from qrt.__main__ import Commands
from qrt.calibrate import calibrate
from qrt.client import open_run
from qrt.commands.interrupt import Interrupt
from qrt.errors import CalibrationError, InstrumentError, RunError
from qrt.events import CalibrationStep, InstrumentsFound, Playing, Progress
from qrt.kernel import row_dtype
from qrt.loop import Loop
from qrt.reasons import StoppedError
from qrt.recorder import BUFFER_ROWS
from qrt.replay import replay
from qrt.run import run
from qrt.store import bound_hash, save_calibration
from tests.processes import children

ESTIMATED = """OPENQASM 3;
include "stdgates.inc";
qubit q;
bit c;
h q;
c = measure q;
"""
MANY = 50_000_000  # shots that nobody waits for


@pytest.fixture
def twins(monkeypatch):
    """Return the list of all twins that a run opens: looked at, not changed."""
    opened = []
    load = qrt.loop.load_twin

    def watched(lab):
        opened.append(load(lab))
        return opened[-1]

    monkeypatch.setattr(qrt.loop, "load_twin", watched)
    return opened


def outputs(twins):
    """Return every output and input that is still on."""
    *_, twin = twins  # the first is asked what it can do, before anything is opened
    return [
        (name, key)
        for name, instrument in twin.instruments.items()
        for key, value in instrument.values.items()
        if key[0] in {"output", "input"} and value
    ]


def folders(runs):
    """Return the run folders, half ones included."""
    return [path for path in runs.iterdir() if path.name != "calibrations"]


def record_of(runs):
    (folder,) = folders(runs)
    return open_run(folder)


def faulty(lab, calibration, name, timeout_s=0.1, **faults):
    """Return the lab with faults of one instrument, and the calibration for it."""
    parameters = lab.twin.parameters | {"faults": {name: faults}}
    instruments = {
        key: msgspec.structs.replace(one, timeout_s=timeout_s if key == name else one.timeout_s)
        for key, one in lab.instruments.items()
    }
    twin = msgspec.structs.replace(lab.twin, parameters=parameters)
    changed = msgspec.structs.replace(lab, instruments=instruments, twin=twin)
    return {"lab": changed, "calibration": msgspec.structs.replace(calibration, lab_hash=bound_hash(changed))}


class Trigger:
    """A stop or abort that is set once an event was seen."""

    def __init__(self, wanted):
        self._wanted = wanted
        self._set = threading.Event()
        self.seen = []

    def __call__(self, event):
        self.seen.append(event)
        if self._wanted(event):
            self._set.set()

    def is_set(self):
        return self._set.is_set()


def is_underway(event):
    return isinstance(event, Progress) and event.done > 0


# ---- Instruments ----------------------------------------------------------------------------------------------------------

FAULTS = [
    ("awg_q0", {"absent": True}, r"open: .*after \d+\.\d+ s"),
    ("lo_q1", {"absent": True}, "no serial line 'lo-q1'"),
    ("dig", {"silent_after": 0}, r"\(after \d+\.\d+ s\)"),
    ("lo_q0", {"silent_after": 0}, r"\(after \d+\.\d+ s\)"),
    ("awg_readout", {"silent_after": 8}, r"\(after \d+\.\d+ s\).*\n  last messages"),
    ("awg_q0", {"garbage": True}, "last messages"),
    ("lo_readout", {"garbage": True}, "last messages"),
    ("awg_readout", {"half_block": True}, r"`.*DATA\? .*`.*\n  last messages"),
    ("dig", {"idn": "ACME,Scope,1,1"}, r"`\*IDN\?`.*ACME"),
    ("awg_readout", {"corrupt_block": True}, r"`.*`.*last messages"),
    ("lo_q0", {"clamp": {"frequency_hz": 1e9}}, r"setting not taken: sent .*, read back 1e\+09|read back 1000000000"),
]


@pytest.mark.parametrize(("name", "faults", "said"), FAULTS, ids=lambda value: str(value)[:40])
def test_an_instrument_that_fails_is_named_with_address_command_time_and_messages(
    name, faults, said, play, twins, demo_lab, demo_calibration, tmp_path
):
    told = []
    with pytest.raises(InstrumentError) as caught:
        play(**faulty(demo_lab, demo_calibration, name, **faults), events=told.append)
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert f"{name} at {demo_lab.instruments[name].address}: " in text
    assert re.search(said, text, re.DOTALL), text
    assert not any(isinstance(event, Playing) for event in told)
    assert outputs(twins) == []
    assert folders(tmp_path) == []  # nothing was played, so nothing is on record


def test_all_instruments_that_are_missing_are_in_one_message(play, demo_lab, demo_calibration):
    given = faulty(demo_lab, demo_calibration, "awg_q0", absent=True)
    given["lab"].twin.parameters["faults"]["lo_q1"] = {"absent": True}
    given["calibration"] = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(given["lab"]))
    with pytest.raises(InstrumentError, match=r"(?s)awg_q0 at .*lo_q1 at "):
        play(**given)


def silent_after_the_last_shot(play, lab, calibration, runs):
    """Return what a run ends with whose source falls silent between the last shot and going safe."""
    for count in range(4, 30):
        try:
            play(**faulty(lab, calibration, "lo_q0", silent_after=count))
        except InstrumentError as error:
            if folders(runs):
                return error
    pytest.fail("never silent at that moment")


def test_an_output_that_does_not_go_off_after_the_run_is_unknown_and_the_record_says_so(
    play, demo_lab, demo_calibration, tmp_path
):
    error = silent_after_the_last_shot(play, demo_lab, demo_calibration, tmp_path)
    assert str(error).startswith("output state UNKNOWN: lo_q0 at serial:lo-q0: ")
    record = record_of(tmp_path)
    assert len(record.rows) == 500
    assert record.stop["exit_status"] == "fail"
    assert "UNKNOWN" in record.stop["reason"]
    assert record.cut == ""
    assert f"shots 0 to 499 are kept in {record.path}" in error.__notes__
    assert replay(record.path).same


def test_an_output_that_refuses_to_go_off_ends_the_run_before_it_begins(play, demo_lab, demo_calibration, tmp_path):
    with pytest.raises(InstrumentError, match="lo_q0 at"):
        play(**faulty(demo_lab, demo_calibration, "lo_q0", refuses_off=True))
    assert folders(tmp_path) == []


def test_an_output_that_was_on_is_off_afterwards(play, twins, demo_lab, demo_calibration):
    play(**faulty(demo_lab, demo_calibration, "lo_q0", starts_on=True))
    assert outputs(twins) == []


def test_the_command_prints_what_was_noted_on_an_error():
    error = InstrumentError("lo_q0 at serial:lo-q0: silent")
    error.add_note("shots 0 to 499 are kept in runs/x")
    error.add_note("while going safe: output state UNKNOWN")
    group = Commands("qrt")

    @group.command()
    def fail():
        raise error

    answer = CliRunner().invoke(group, ["fail"])
    assert answer.exit_code == InstrumentError.exit_code
    assert answer.stderr.splitlines() == [f"error: {error}", *error.__notes__]


def test_a_calibration_that_finds_nothing_leaves_no_folder(feedback, demo_lab, twins, tmp_path):
    wiring = demo_lab.twin.parameters["lines"] | {"drive_q0": {"drives": "q1"}, "drive_q1": {"drives": "q0"}}
    twin = msgspec.structs.replace(demo_lab.twin, parameters=demo_lab.twin.parameters | {"lines": wiring})
    lab = msgspec.structs.replace(demo_lab, twin=twin)
    with pytest.raises(CalibrationError):
        run(feedback, lab=lab, shots=100, seed=1, runs=tmp_path, publish=False)
    assert outputs(twins) == []
    assert folders(tmp_path) == []


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["stop", "abort"])
def test_a_run_that_is_told_to_end_keeps_everything_and_says_where(play, twins, tmp_path, asked):
    trigger = Trigger(is_underway)
    with pytest.raises(StoppedError) as caught:
        play(shots=MANY, events=trigger, **{asked: trigger})
    record = record_of(tmp_path)
    count = len(record.rows)
    assert 0 < count < MANY
    assert f"shots 0 to {count - 1} are kept in {record.path}" in str(caught.value)
    assert f"{'stopped' if asked == 'stop' else 'aborted'} as asked after {count} shots" in record.stop["reason"]
    assert record.stop["exit_status"] == "abort"
    assert record.stop["num_events"] == {"primary": count}
    assert record.stop["digest"] == record.digest()
    assert record.cut == ""
    assert outputs(twins) == []
    assert replay(record.path).same


@pytest.mark.parametrize("pacing", ["virtual", "real"])
def test_in_real_time_too(play, tmp_path, pacing):
    trigger = Trigger(is_underway)
    with pytest.raises(StoppedError, match="kept in"):
        play(shots=MANY, events=trigger, stop=trigger, pacing=pacing, period_ns=1e6)
    assert record_of(tmp_path).complete


@pytest.mark.parametrize("asked", ["stop", "abort"])
def test_during_the_calibration_nothing_is_recorded(feedback, demo_lab, twins, tmp_path, asked):
    trigger = Trigger(lambda event: isinstance(event, CalibrationStep))
    with pytest.raises(StoppedError, match="before the first shot"):
        run(feedback, lab=demo_lab, shots=10, seed=1, runs=tmp_path, publish=False, events=trigger, **{asked: trigger})
    assert len(trigger.seen) == 2  # instruments, first step
    assert outputs(twins) == []
    assert folders(tmp_path) == []


def test_before_the_first_shot_nothing_is_recorded(play, twins, tmp_path):
    trigger = Trigger(lambda event: isinstance(event, InstrumentsFound))
    with pytest.raises(StoppedError, match="before the first shot"):
        play(events=trigger, stop=trigger)
    assert outputs(twins) == []
    assert folders(tmp_path) == []


def test_measuring_ends_when_told_to_even_if_each_part_is_short(demo_lab, demo_calibration):
    stop = threading.Event()
    with Loop(demo_lab, 1, stop=stop) as loop, pytest.raises(StoppedError):
        calibrate(demo_lab, loop.measure, 1, lambda _: stop.set())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_at_the_terminal_and_kill_are_passed_on(play, tmp_path, number):
    interrupt = Interrupt()

    def press(event):
        if is_underway(event) and not interrupt.stop.is_set():
            signal.raise_signal(number)

    with interrupt, pytest.raises(StoppedError):
        play(shots=MANY, events=press, stop=interrupt.stop, abort=interrupt.abort)
    assert record_of(tmp_path).stop["exit_status"] == "abort"


def test_a_keyboard_interrupt_of_the_callers_closes_the_record_too(play, twins, tmp_path):
    def press(event):
        if is_underway(event):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        play(shots=MANY, events=press)
    record = record_of(tmp_path)
    assert record.complete
    assert record.stop["exit_status"] == "abort"
    assert str(record.path) in caught.value.__notes__[0]
    assert outputs(twins) == []


@pytest.mark.parametrize("when", [Playing, Progress])
def test_a_bug_leaves_the_reason_on_record_and_the_outputs_off(play, twins, tmp_path, when):
    def stumble(event):
        if isinstance(event, when):
            raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        play(shots=MANY, events=stumble)
    record = record_of(tmp_path)
    assert record.stop["exit_status"] == "fail"
    assert record.stop["reason"] == "ZeroDivisionError: ours"
    assert record.complete
    assert outputs(twins) == []


# ---- Disk, batch process, SIGKILL -----------------------------------------------------------------------------------------

CHILD = """
import resource, signal, sys
from pathlib import Path
import msgspec
from qrt.config import load
from qrt.run import run
from qrt.types import Stream
runs, calibration, program, shots = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
lab = msgspec.structs.replace(load(sys.argv[5]), stream=Stream("tcp://127.0.0.1:*"))
if len(sys.argv) > 6:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[6]), int(sys.argv[6])))
try:
    run(program, lab=lab, shots=shots, seed=1, calibration=calibration, runs=runs, period_ns=1e6,
        events=lambda event: print(type(event).__name__, flush=True))
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""


def child(tmp_path, project, calibration, program, shots, *extra):
    path = tmp_path / "program.qasm"
    path.write_text(program)
    arguments = [tmp_path, save_calibration(tmp_path, calibration), path, shots, project / "configs/demo.toml", *extra]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)], stdout=subprocess.PIPE, text=True, bufsize=1
    )


def runs_of(tmp_path):
    return [path for path in tmp_path.iterdir() if (path / "journal").exists()]


def test_a_full_disk_ends_the_run_and_keeps_what_fitted(tmp_path, project, feedback, demo_calibration):
    limit = (
        3 * BUFFER_ROWS * row_dtype(2).itemsize
    )  # room for some commits however fast the machine is, not for all of them
    with child(tmp_path, project, demo_calibration, feedback, 200_000, limit) as process:
        lines = process.stdout.read().splitlines()
    said = next(index for index, line in enumerate(lines) if line.startswith("RunError"))
    assert os.strerror(errno.EFBIG) in lines[said]
    assert "kept in" in lines[said + 1]
    (folder,) = runs_of(tmp_path)
    record = open_run(folder)
    assert record.stop["exit_status"] == "fail"
    assert record.stop["counters"]["rows_lost"] > 0
    assert record.cut == ""
    assert 0 < len(record.rows) <= limit // row_dtype(2).itemsize
    assert replay(folder).same


@pytest.mark.parametrize("attempt", range(5))
def test_after_sigkill_the_run_opens_and_says_what_was_cut(
    tmp_path, project, feedback, demo_calibration, seed, attempt
):
    events = int(np.random.default_rng([seed, attempt]).integers(4, 13))  # 4: the first shot is about to start
    with child(tmp_path, project, demo_calibration, feedback, MANY) as process:
        for _ in range(events):
            assert process.stdout.readline()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (folder,) = runs_of(tmp_path)
    record = open_run(folder)
    assert "no stop document: the run was cut short" in record.cut
    assert record.start["seed"] == 1
    assert not record.live
    assert np.array_equal(record.rows["shot"], np.arange(len(record.rows)))
    assert (record.rows["capture_count"] == 2).all()


def test_before_the_first_shot_sigkill_leaves_no_run(tmp_path, project, feedback, demo_calibration):
    with child(tmp_path, project, demo_calibration, feedback, MANY) as process:
        assert process.stdout.readline() == "InstrumentsFound\n"
        process.send_signal(signal.SIGSTOP)
        process.kill()
    for folder in runs_of(tmp_path):  # if it was quicker than the signal
        assert "cut short" in open_run(folder).cut


def test_the_batch_process_dies_with_the_run(tmp_path, project, demo_calibration):
    with child(tmp_path, project, demo_calibration, ESTIMATED, MANY) as process:
        while process.stdout.readline() != "Progress\n":
            assert process.poll() is None
        (batch,) = children(process.pid)
        handle = os.pidfd_open(batch)
        process.kill()
    ready, _, _ = select.select([handle], [], [], 60.0)
    os.close(handle)
    assert ready
    assert "cut short" in open_run(runs_of(tmp_path)[0]).cut


def test_a_killed_batch_process_costs_the_estimates_and_no_shot(tmp_path, demo_lab, demo_calibration, twins):
    before = children(os.getpid())

    def kill(event):
        if isinstance(event, Playing):
            (batch,) = children(os.getpid()) - before
            os.kill(batch, signal.SIGKILL)

    given = {"calibration": demo_calibration, "runs": tmp_path, "publish": False, "events": kill}
    with pytest.raises(RunError, match=r"estimates ended early: .*SIGKILL.*\n.*shots 0 to 99999 are kept"):
        run(ESTIMATED, lab=demo_lab, shots=100_000, seed=1, **given)
    record = record_of(tmp_path)
    assert len(record.rows) == 100_000
    assert "SIGKILL" in record.stop["reason"]
    assert record.complete
    assert outputs(twins) == []
    assert children(os.getpid()) == before


def test_a_batch_process_that_hangs_is_ended_by_the_second_ctrl_c(tmp_path, demo_lab, demo_calibration):
    before, size, shots = children(os.getpid()), row_dtype(1).itemsize, 3000

    def hang(event):
        if isinstance(event, Playing):
            (batch,) = children(os.getpid()) - before
            os.kill(batch, signal.SIGSTOP)

    class Abort:
        """Set once every shot is on disk: the run then waits for its estimates alone."""

        def is_set(self):
            return any(path.stat().st_size == shots * size for path in tmp_path.glob("2*/shots.bin"))

    given = {"calibration": demo_calibration, "runs": tmp_path, "publish": False, "events": hang, "abort": Abort()}
    with pytest.raises(RunError, match="SIGKILL"):
        run(ESTIMATED, lab=demo_lab, shots=shots, seed=1, **given)
    assert len(record_of(tmp_path).rows) == shots
    assert children(os.getpid()) == before
