"""One seed, one digest: twice, in other processes, on every instruction set, however many listen, and on both clocks."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from qrt import kernel, wire
from qrt.calibrate import calibrate
from qrt.events import Playing
from qrt.firmware_sim import plant
from qrt.loop import Loop, derived_seed
from qrt.publisher import Tally
from qrt.replay import replay
from qrt.store import decode_calibration, save_calibration
from qrt.types import Stream

PROCESS_TIMEOUT_S = 300
SEED = 20


def command(*arguments, **environment):
    """Return the object that `qrt ARGUMENTS --json` ends with."""
    answer = subprocess.run(
        [sys.executable, "-m", "qrt", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROCESS_TIMEOUT_S,
        env={**os.environ, **environment},
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def test_one_seed_one_digest_and_another_seed_another(play):
    first, again, other = play(), play(), play(seed=2)
    assert first.summary.digest == again.summary.digest != other.summary.digest
    assert first.folder != again.folder
    assert np.array_equal(first.record.rows, again.record.rows)
    assert (first.iq["c"] != other.iq["c"]).any()


@pytest.mark.parametrize("isa", kernel.isa_names())
def test_every_instruction_set_in_a_process_of_its_own_gives_the_same_digest(
    play, tmp_path, project, demo_calibration, isa
):
    here = play()
    (tmp_path / "program.qasm").write_text(here.record.file("program.qasm").decode())
    answer = command(
        "run",
        tmp_path / "program.qasm",
        *("--lab", project / "configs/demo.toml", "--shots", 500, "--seed", 1, "--no-publish"),
        *("--runs", tmp_path, "--calibration", save_calibration(tmp_path, demo_calibration)),
        QRT_ISA=isa,
    )
    assert answer["digest"] == here.summary.digest
    there = msgspec.json.decode((Path(answer["run"]) / "lab.json").read_bytes())
    assert there["name"] == "demo"


def test_the_simulated_hardware_has_the_kernels_instruction_sets_and_takes_the_same_choice():
    assert plant.isa_names() == kernel.isa_names()
    choice = kernel.isa_names()[-1]
    text = (
        "from qrt import kernel; from qrt.firmware_sim import plant; print(kernel.isa_selected(), plant.isa_selected())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=True,
        timeout=PROCESS_TIMEOUT_S,
        env={**os.environ, "QRT_ISA": choice},
    )
    assert answer.stdout.split() == [choice, choice]


@pytest.mark.parametrize("module", ["qrt.kernel", "qrt.firmware_sim.plant"])
def test_an_instruction_set_that_is_not_there_is_refused_with_those_that_are(module):
    answer = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROCESS_TIMEOUT_S,
        env={**os.environ, "QRT_ISA": "mmx"},
    )
    assert "MachineError: QRT_ISA=mmx" in answer.stderr
    assert "baseline" in answer.stderr


def test_a_whole_session_with_its_calibration_repeats_in_another_process(tmp_path, project, demo_lab):
    program = project / "examples/active_reset.qasm"
    with Loop(demo_lab, SEED) as loop:
        here = calibrate(demo_lab, loop.measure, SEED, swept=loop.measure_swept)
    answer = command(
        "run",
        program,
        *("--lab", project / "configs/demo.toml", "--shots", 300, "--seed", SEED),
        *("--runs", tmp_path, "--no-publish"),
    )
    found = decode_calibration((Path(answer["run"]) / "calibration.json").read_bytes(), "there")
    for name, qubit in here.qubits.items():
        other = found.qubits[name]
        assert np.array_equal(other.weights, qubit.weights)
        assert np.array_equal(other.assignment, qubit.assignment)
        assert (other.threshold, other.frequency_hz, other.sx_amplitude, other.t1_s) == (
            qubit.threshold,
            qubit.frequency_hz,
            qubit.sx_amplitude,
            qubit.t1_s,
        )
    assert len(answer["estimates"]) == 2
    assert replay(answer["run"]).same


class Listeners:
    """Subscribers of one run: all are connected before its first shot, and the first never reads."""

    def __init__(self, address, count):
        self.context = zmq.Context()
        self.monitors, self.sockets = [], []
        for index in range(count):
            socket = self.context.socket(zmq.SUB)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RECONNECT_IVL, 5)
            socket.setsockopt(zmq.RCVHWM, 1 if index == 0 else 1000)
            self.monitors.append(socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED))
            socket.setsockopt_string(zmq.SUBSCRIBE, "run/")
            socket.connect(address)
            self.sockets.append(socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for socket in self.sockets:
            socket.disable_monitor()
            socket.close()
        for monitor in self.monitors:
            monitor.close()
        self.context.term()

    def wait(self, event):
        """Called with the run's events: let it go on once all are connected."""
        if isinstance(event, Playing):
            for monitor in self.monitors:
                assert monitor.poll(60_000)
                recv_monitor_message(monitor)

    def received(self, index):
        """Return the documents that a listener got, up to `stop`, and how many it missed."""
        tally, docs = Tally(), []
        while docs[-1:] != ["stop"]:
            assert self.sockets[index].poll(60_000)
            message = wire.decode(self.sockets[index].recv_multipart())
            tally.see(message)
            docs.append(message.header.doc)
        return docs, tally.skipped


def test_nobody_or_eight_listeners_of_whom_one_is_stalled_change_no_bit(play, tmp_path, demo_lab):
    alone = play(shots=20_000)
    address = f"ipc://{tmp_path}/stream"
    lab = msgspec.structs.replace(demo_lab, stream=Stream(address))
    with Listeners(address, 8) as listeners:
        watched = play(lab=lab, shots=20_000, publish=True, events=listeners.wait)
        for index in range(1, 8):
            docs, skipped = listeners.received(index)
            assert "event_page" in docs
            assert skipped == 0
    assert watched.summary.digest == alone.summary.digest
    assert watched.counters["kernel.sink_wait_count"] == 0


def test_virtual_and_real_time_give_the_same_digest(play, demo_lab):
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=60e9)
    lab = msgspec.structs.replace(demo_lab, timing=timing)
    virtual = play(lab=lab, shots=40, period_ns=1e6, pacing="virtual")
    real = play(lab=lab, shots=40, period_ns=1e6, pacing="real")
    assert real.record.start["clock"] == "real"
    assert real.summary.misses == virtual.summary.misses == 0
    assert real.summary.digest == virtual.summary.digest
    assert real.record.lateness_ns.min() >= 0
    assert not virtual.record.lateness_ns.any()


def test_two_runs_at_once_do_not_disturb_each_other(play):
    alone = play(shots=5000)
    digests = []
    threads = [threading.Thread(target=lambda: digests.append(play(shots=5000).summary.digest)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [alone.summary.digest] * 2


def test_every_arm_has_a_seed_of_its_own():
    seeds = {derived_seed(seed, arm) for seed in range(50) for arm in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 1 << 64 for seed in seeds)
