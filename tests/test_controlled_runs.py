"""Whole runs with controllers on the simulated lab: same bits however they run, refusals on record, errors with nothing open."""

from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from qrt.__main__ import cli
from qrt.batch.messages import Points
from qrt.client import open_run
from qrt.commands.screen import refusal_lines
from qrt.commands.watch import describe
from qrt.errors import ConfigError, ProgramError, RunError
from qrt.playback import playback_of
from qrt.reasons import StoppedError
from qrt.recompute import recompute
from qrt.replay import replay
from qrt.report import collect
from qrt.run import run
from qrt.store import save_calibration
from qrt.types import Control, Controller, Lab, Stream
from tests.test_determinism import Listeners
from tests.test_run_faults import Trigger, is_underway

BAD = str(Path(__file__).with_name("bad_law.py"))
W = 100
SERVO = Controller("integrator", "theta", "c", 0.5, 0.0, 3.1, parameters={"gain": -1.0})
PROGRAM = """OPENQASM 3;
include "stdgates.inc";
input float theta;
qubit q;
bit c;
reset q;
rx(theta) q;
c = measure q;
"""


@pytest.fixture
def control(demo_lab, demo_calibration, tmp_path):
    """Return `qrt.run` of PROGRAM with a servo from theta = 0.8 on, in batches of W shots."""
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=60e9)
    given = {
        "lab": msgspec.structs.replace(demo_lab, timing=timing, control=Control(batch_shots=W)),
        "calibration": demo_calibration,
        "runs": tmp_path,
        "shots": 4 * W,
        "seed": 1,
        "publish": False,
        "inputs": {"theta": 0.8},
        "controllers": {"servo": SERVO},
    }
    return lambda program=PROGRAM, **changes: partial(run, program, **given)(**changes)


def test_controlled_runs_are_the_same_on_both_clocks_and_with_eight_listeners(control, demo_lab, tmp_path):
    virtual = control(period_ns=2e6)
    real = control(period_ns=2e6, pacing="real")  # 200 ms for the laws of a batch
    assert real.summary.misses == 0
    assert real.summary.digest == virtual.summary.digest
    address = f"ipc://{tmp_path}/stream"
    lab = msgspec.structs.replace(demo_lab, stream=Stream(address), control=Control(batch_shots=W))
    with Listeners(address, 8) as listeners:
        watched = control(lab=lab, period_ns=2e6, publish=True, events=listeners.wait)
        assert [listeners.received(index)[0].count("epoch") for index in range(1, 8)] == [4] * 7
    assert watched.summary.digest == virtual.summary.digest
    rows, epochs = virtual.record.rows, [one.body for one in virtual.record.documents("epoch")]
    np.testing.assert_array_equal(rows["epoch"], np.repeat([0, 0, 2, 3], W))
    assert [(one["epoch"], one["first_shot"], one["batch"]) for one in epochs] == [
        (batch + 2, (batch + 2) * W, batch) for batch in range(4)
    ]
    value = 0.8
    for one, bits in zip(epochs, virtual.record.bits["c"].reshape(4, W), strict=True):
        value = min(max(value - (bits.mean() - 0.5), 0.0), 3.1)
        assert one["values"]["theta"] == pytest.approx(value, rel=1e-12)
        assert one["refused"] == []
    (servo,) = virtual.summary.controllers
    assert (servo.name, servo.output, servo.value, servo.refused) == (
        "servo",
        "theta",
        epochs[-1]["values"]["theta"],
        0,
    )
    assert virtual.counters["kernel.epochs_applied"] == 2
    assert virtual.counters["control.updates"] == 4


@pytest.mark.parametrize("leg_shots", [150, 2 * W], ids=["in the middle of a batch", "between two batches"])
def test_epochs_go_on_where_instruments_are_set_between(control, leg_shots):
    """A leg begins with what the one before ended with, and takes what batches of that one gave, at the shot at which it is due."""
    sweep = {"lo_readout.power_dbm": [10.0, 9.8, 10.0, 9.9]}
    result = control(shots=leg_shots, sweep=sweep)
    rows, epochs = result.record.rows, [one.body for one in result.record.documents("epoch")]
    batches = 4 * leg_shots // W
    np.testing.assert_array_equal(rows["epoch"], np.repeat([0, 0, *range(2, batches)], W))
    assert [(one["epoch"], one["first_shot"], one["batch"]) for one in epochs] == [
        (batch + 2, (batch + 2) * W, batch) for batch in range(batches)
    ]
    value = 0.8
    for one, bits in zip(epochs, result.record.bits["c"].reshape(batches, W), strict=True):
        value = min(max(value - (bits.mean() - 0.5), 0.0), 3.1)
        assert one["values"]["theta"] == pytest.approx(value, rel=1e-12)
    images = playback_of(result.record)[0].images
    begun = [0 if first <= 2 * W else (first - 1) // W for first in (leg_shots * leg for leg in range(4))]
    assert [one.epochs.first for one in images] == begun
    told = {one["epoch"]: one["words"] for one in epochs}
    assert [list(one.epochs.values) for one in images if one.epochs.first] == [told[one] for one in begun if one]
    assert replay(result.folder).same
    assert recompute(result.folder).same
    assert control(shots=leg_shots, sweep=sweep, period_ns=2e6, pacing="real").summary.misses == 0


def test_a_law_sees_the_points_of_a_run_numbered_on_over_its_legs():
    shots = np.arange(24)
    order = [Points(2, each, leg_shots=8).of(shots).tolist() for each in (1, 2)]  # of 2 points in 3 legs
    assert order == [
        [leg * 2 + shot % 2 for leg in range(3) for shot in range(8)],
        [leg * 2 + shot // 2 % 2 for leg in range(3) for shot in range(8)],
    ]


def test_a_generator_of_points_and_a_controller_act_in_one_run(control):
    def search():
        seen = yield {"lo_readout.power_dbm": 10.0}
        seen = yield {"lo_readout.power_dbm": 10.0 - 0.1 * (seen.estimates["Z(c)"].value < 5)}
        yield {"lo_readout.power_dbm": seen.values["lo_readout.power_dbm"]}

    result = control(shots=250, sweep=search)
    np.testing.assert_array_equal(result.record.rows["epoch"], np.repeat([0, 0, 2, 3, 4, 5, 6, 7], W)[:750])
    assert list(result.record.axes["point"]) == [0, 1, 2]
    assert replay(result.folder).same


def test_what_a_law_does_wrong_is_on_record_and_the_run_goes_on(refused_run, demo_calibration):
    result = refused_run
    refused = [text for one in result.record.documents("epoch") for text in one.body["refused"]]
    assert refusal_lines(result.record) == [f"refused: {text}" for text in refused]
    assert refused == [
        "controller 'fails' at batch 2, value 0.25: raised ZeroDivisionError: division by zero",
        "controller 'dies' at batch 3, value 0.375: was ended with status 7",
    ]
    lab = msgspec.json.decode(result.record.file("lab.json"), type=Lab)
    drawn = {one.controller: one for one in collect.updates(result.record, lab)}
    assert {name: np.flatnonzero(one.refused).tolist() for name, one in drawn.items()} == {
        "servo": [],
        "fails": [2],
        "dies": [3],
        "cut": [],
    }
    assert [(one.value[-1], one.late.any(), one.reasons) for one in (drawn["fails"], drawn["dies"])] == [
        (0.625, False, (refused[0],)),
        (0.625, False, (refused[1],)),
    ]
    named = {one.name: one for one in result.summary.controllers}
    assert [(one.value, one.refused) for one in (named["fails"], named["dies"])] == [(0.625, 1), (0.625, 1)]
    stop = result.record.stop["counters"]
    assert (stop["control.refused"], stop["control.restarts"], stop["control.updates"]) == (2, 1, 6)
    assert stop["kernel.epochs_applied"] == 5
    assert result.summary.estimates[0].shots == 6 * W + 30  # no batch was lost, none counted twice
    thresholds = {0: demo_calibration.qubits["q0"].threshold}
    thresholds |= {
        one.body["epoch"]: round(one.body["values"]["threshold.q0"]) for one in result.record.documents("epoch")
    }
    in_force = np.array([thresholds[epoch] for epoch in result.record.rows["epoch"]])
    assert len(set(in_force.tolist())) == 6
    np.testing.assert_array_equal(result.bits["c"], result.record.rows["iq"][:, 0, 0] > in_force)


def test_under_the_policy_abort_the_run_ends_with_a_record_that_says_why(control, demo_lab, tmp_path):
    lab = msgspec.structs.replace(demo_lab, control=Control(batch_shots=W, policy="abort"))
    bad = {"bad": Controller(BAD, "theta", parameters={"kind": "nan", "at": 2})}
    told = "controller 'bad' at batch 2, value 0.8: gave nan, no finite number; `control.policy` is abort"
    with pytest.raises(RunError) as caught:
        control(lab=lab, controllers=bad, shots=1_000_000)
    assert told in str(caught.value)
    (folder,) = (path for path in tmp_path.iterdir() if path.name != "calibrations")
    record = open_run(folder)
    assert told in record.stop["reason"]
    assert record.stop["exit_status"] == "fail"
    assert 3 * W <= len(record.rows) <= 4 * W  # batch 2 was whole, and epoch 4 never came
    assert record.documents("epoch")[-1].body["refused"] == [told.removesuffix("; `control.policy` is abort")]


@pytest.mark.parametrize("asked", ["stop", pytest.param("abort", marks=pytest.mark.prove)])
def test_a_controlled_run_that_is_told_to_end_says_so_and_keeps_everything(control, asked):
    trigger = Trigger(is_underway)
    with pytest.raises(StoppedError, match=r"as asked after \d+ shots") as caught:
        control(shots=10_000_000, events=trigger, **{asked: trigger})
    record = open_run(str(caught.value).rpartition(" kept in ")[2])
    assert record.stop["exit_status"] == "abort"
    assert record.stop["digest"] == record.digest()
    assert record.stop["counters"]["control.refused"] == 0


def test_a_law_that_is_late_ends_the_run_under_the_policy_abort(control, demo_lab):
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=60e9)
    lab = msgspec.structs.replace(demo_lab, timing=timing, control=Control(batch_shots=20, policy="abort"))
    slow = {"slow": Controller(BAD, "theta", parameters={"kind": "slow", "at": 4})}
    with pytest.raises(RunError, match=r"an epoch its shot and `control\.policy` is") as caught:
        control(lab=lab, controllers=slow, shots=400, pacing="real", period_ns=1e6)
    record = open_run(str(caught.value).rpartition(" kept in ")[2])
    miss = record.misses[-1]
    assert (miss["class"], miss["policy"], miss["cause"]) == ("late_epoch", "abort", "batch")
    assert miss["shot"] % 20 == 0


def test_the_command_tells_what_controllers_came_to(demo_lab, demo_calibration, project, tmp_path):
    program = tmp_path / "servo.qasm"
    program.write_text(PROGRAM)
    calibration = save_calibration(tmp_path, demo_calibration)
    asked = "integrator:output=theta,bit=c,gain=-1,minimum=0,maximum=3.1"
    options = ["--shots", "2000", "--runs", tmp_path, "--no-publish", "--input", "theta=0.8", "--controller", asked]
    lab = ["--lab", project / "configs/demo.toml", "--calibration", calibration]
    answer = CliRunner().invoke(cli, ["run", str(program), *map(str, [*lab, *options])])
    assert answer.exit_code == 0, answer.output
    (line,) = [line for line in answer.output.splitlines() if line.split()[:2] == ["integrator", "theta"]]
    assert float(line.split()[2]) > 0.8
    assert line.split()[-1] == "0"
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir() and path.name != "calibrations")
    assert "no value has acted: the first would from shot 2 000 on; raise --shots" in answer.output
    page = (folder / "report.html").read_text()
    assert "integrator</strong> sets theta: " in page
    (first, _second) = [one for one in open_run(folder).messages() if one.header.doc == "epoch"]
    assert describe(first).startswith("2 from shot 2000 on: theta 1.")


BEFORE = [
    (
        {"inputs": {}},
        ProgramError,
        r"input 'theta' is set by controller 'servo' and has no value to begin with; .*--input theta=",
    ),
    ({"inputs": {"theta": 4.0}}, ConfigError, "controllers.servo.maximum: 3.1, but theta begins with 4"),
    ({"inputs": {"theta": -1.0}}, ConfigError, "controllers.servo.minimum: 0, but theta begins with -1"),
    (
        {"controllers": {"servo": msgspec.structs.replace(SERVO, output="thet")}},
        ProgramError,
        "controllers.servo.output: the program has no input 'thet'; did you mean theta",
    ),
    (
        {"controllers": {"servo": msgspec.structs.replace(SERVO, bit="d")}},
        ConfigError,
        "controllers.servo.bit: 'd' is no bit of the program; allowed: c",
    ),
    (
        {"inputs": {}, "sweep": {"theta": "values(1, 2)"}},
        ProgramError,
        "input 'theta' is swept, and controller 'servo' sets it",
    ),
    (
        {"controllers": {"servo": msgspec.structs.replace(SERVO, parameters={"gains": 1})}},
        ConfigError,
        r"(?s)controllers.servo.parameters.gain.*nothing was opened|nothing was opened.*controllers.servo.parameters.gain",
    ),
]


@pytest.mark.parametrize(("changes", "kind", "told"), BEFORE, ids=lambda value: str(value)[:30])
def test_what_does_not_fit_is_told_before_an_instrument_is_opened(control, changes, kind, told, tmp_path):
    events = []
    with pytest.raises(kind, match=told):
        control(events=events.append, **changes)
    assert events == []
    assert list(tmp_path.iterdir()) == []
