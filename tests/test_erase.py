"""Shots that the hardware was too late for, through the whole stack: on a simulated card that is late now and then, and on a mailbox.

Where in a shot it may be late, how often in a row, and against which clock, is enumerated in ffi/test_core_erase.c. Here the erased
shots are those that the seed says, all others are those of a run in which nothing was late, estimates leave the erased ones out, and
a replay takes the same branches.
"""

import tomllib

import msgspec
import numpy as np
import pytest

from qrt.against import compare
from qrt.commands.screen import erased_line
from qrt.config import checked
from qrt.errors import ConfigError, RunError
from qrt.kernel import ERASED_MAX, OUTCOME_NONE, ROW_ERASED, ROW_SKIPPED
from qrt.loop import Loop
from qrt.playback import erasures_of
from qrt.replay import replay
from qrt.report.collect import misses as miss_rows
from qrt.run import run
from qrt.store import bound_hash
from qrt.types import Capture, Frame, Mailbox, Pulses, Wait, Weights
from tests.conftest import FEEDBACK
from tests.test_mailbox_run import LATENCY_NS, QUIET
from tests.test_plant_adc import philox

ONE = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
h q[0];
x q[1];
c[0] = measure q[0];
c[1] = measure q[1];
"""
SHOTS = 300
SHARE = 0.02  # so that ERASED_MAX in a row are out of the question
CARD = {"answer_ns": 200_000.0}


def with_port(lab, port, policy="erase", mailbox=None, **faults):
    parameters = msgspec.to_builtins(lab.twin.parameters) | {"faults": faults}
    parameters["port"] = {**parameters.get("port", {}), **port}
    parameters["trigger"] = {}
    timing = msgspec.structs.replace(lab.timing, late_port_policy=policy, late_tolerance_ns=1e9)
    slow = {name: msgspec.structs.replace(one, timeout_s=2.0) for name, one in lab.instruments.items()}
    twin = msgspec.structs.replace(lab.twin, parameters=parameters)
    return msgspec.structs.replace(lab, twin=twin, timing=timing, mailbox=mailbox, instruments=slow)


def runner(demo_lab, demo_calibration, folder):
    """Return what runs a program on the demo lab with such a port."""

    def play(program, port, policy="erase", mailbox=None, faults=(), **given):
        lab = with_port(demo_lab, port, policy, mailbox, **dict(faults))
        calibration = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab))
        given = {"shots": SHOTS, "seed": 1, "publish": False, **given}
        return run(program, lab=lab, calibration=calibration, runs=folder, **given)

    return play


@pytest.fixture
def on(demo_lab, demo_calibration, tmp_path):
    return runner(demo_lab, demo_calibration, tmp_path)


@pytest.fixture(scope="module")
def pair(demo_lab, demo_calibration, tmp_path_factory):
    """One run on a card that is never late, and one on a card that is."""
    play = runner(demo_lab, demo_calibration, tmp_path_factory.mktemp("runs"))
    return play(ONE, CARD), play(ONE, late())


def late(share=SHARE, **more):
    return {**CARD, "faults": {"late_answers": share, **more}}


def erased_of(result):
    return np.flatnonzero(result.record.rows["flags"] & ROW_ERASED)


def arm_seed(result):
    return int(result.record.image().fields["seed"])


def drawn(seed, stream, shot, number):
    """Return what decides, of 2^32: the first Philox word of (seed, stream, shot, number)."""
    return philox([number, stream, shot, 0], [seed & 0xFFFFFFFF, seed >> 32])[0]


# ---- A card that is late ---------------------------------------------------------------------------------------------


def test_the_shots_that_the_seed_says_are_erased_and_no_other_is_touched(pair):
    well, result = pair
    seed = arm_seed(result)
    wanted = [
        shot
        for shot in range(SHOTS)
        if min(drawn(seed, 0x600, shot, 0), drawn(seed, 0x600, shot, 1)) < round(SHARE * 2**32)
    ]
    assert erased_of(result).tolist() == wanted
    assert 3 < len(wanted) < 30
    rows, others = result.record.rows, result.record.valid
    assert others.sum() == SHOTS - len(wanted)
    assert np.array_equal(
        rows[others], well.record.rows[others]
    )  # captures change nothing in the plant, and are the shot's last
    assert (rows["tick"] == well.record.rows["tick"]).all()
    assert not rows["shot_weight"][~others].any()
    for shot in wanted:  # the ends come together: first in the first capture, then in the second
        first_late = drawn(seed, 0x600, shot, 0) < round(SHARE * 2**32)
        ended = rows["outcomes"][shot] != OUTCOME_NONE
        assert ended.tolist() == [not first_late, False]
        kept = well.record.rows[shot]["iq"][ended]
        assert np.array_equal(rows["iq"][shot], [*kept.tolist(), *[[0, 0]] * int((~ended).sum())])


def test_every_erased_shot_is_one_miss_that_says_what_and_where(pair):
    _, result = pair
    period = int(result.record.rows["tick"][1])
    assert [miss["shot"] for miss in result.record.misses] == erased_of(result).tolist()
    for miss in result.record.misses:
        assert (miss["class"], miss["policy"], miss["cause"]) == ("late_port", "erase", "port")
        assert (miss["skipped_count"], miss["played_on"]) == (0, False)
        assert miss["lateness_ns"] >= 0
        assert miss["shot"] * period < miss["tick"] < (miss["shot"] + 1) * period
        assert miss["done_count"] == (result.record.rows["outcomes"][miss["shot"], 0] != OUTCOME_NONE)
    counters = result.record.stop["counters"]
    count = len(erased_of(result))
    assert (counters["kernel.shots_erased"], counters["kernel.misses"]) == (count, count)
    assert counters["kernel.shots_executed"] == SHOTS - count
    assert erased_line(result.record).startswith(f"{count} shots erased (late_port {count}): ")
    (row,) = miss_rows(result.record)
    assert (row.what, row.policy, row.count, row.skipped) == ("late_port", "erase", count, 0)


def test_estimates_leave_erased_shots_out(pair):
    well, result = pair
    for index, name in enumerate(("c[0]", "c[1]")):
        estimate = result.estimates[f"Z({name})"]
        counted = well.record.rows["outcomes"][result.record.valid, index]
        assert estimate.shots == len(counted) < SHOTS
        assert estimate.raw == pytest.approx(1 - 2 * counted.mean(), abs=1e-12)


@pytest.mark.parametrize("port", [late(), {"faults": {"late_decisions": 0.05}}, late(late_decisions=0.05)])
def test_a_replay_takes_the_same_branches(on, port):
    result = on(FEEDBACK, port)
    assert len(erased_of(result)) > 3
    verdict = replay(result.folder)
    assert verdict.same, verdict.difference


def test_a_late_decision_says_by_how_much(on):
    result = on(FEEDBACK, {"faults": {"late_decisions": 0.05, "late_decision_ns": 321.0}})
    assert {miss["class"] for miss in result.record.misses} == {"late_decision"}
    assert {miss["lateness_ns"] for miss in result.record.misses} == {321}
    rows = result.record.rows[erased_of(result)]
    assert (rows["outcomes"][:, 0] != OUTCOME_NONE).all()  # a decision follows an outcome
    assert (rows["outcomes"][:, 1] == OUTCOME_NONE).all()


def test_samples_that_come_late_but_in_time_change_nothing(on, pair):
    slow = {"answer_ns": 60e9, "faults": {"late_answers": 0.1, "late_answer_ns": 50_000.0}}
    assert on(ONE, slow).summary.digest == pair[0].summary.digest


def test_on_the_hardwares_clock_a_stall_is_one_miss_and_repeats(on):
    """The wait for samples takes two periods and more; the shots of these go with the erased one."""
    port = {"answer_ns": 2_000_000.0, "faults": {"late_answers": 0.01}}
    result = on(FEEDBACK, port, shots=200, pacing="external", period_ns=800_000.0)
    rows, covered = result.record.rows, np.zeros(200, int)
    assert len(erased_of(result)) > 0
    for miss in result.record.misses:
        erases = miss["class"] == "late_port"
        first = miss["shot"] + erases
        covered[first : first + miss["skipped_count"]] += 1
        if erases:
            assert rows["flags"][miss["shot"]] == ROW_ERASED
            assert miss["skipped_count"] >= min(2, 199 - miss["shot"])
    assert np.array_equal(covered, (rows["flags"] & ROW_SKIPPED) != 0)
    assert replay(result.folder).same


def test_by_policy_it_ends_the_run_with_the_reason(on):
    with pytest.raises(
        RunError,
        match=r"in shot \d+, tick \d+, sequencer q., line \d of the program: the port was too late .*late_port_policy",
    ):
        on(FEEDBACK, late(), policy="abort")


def test_too_many_in_a_row_end_the_run_whatever_the_policy(on):
    with pytest.raises(
        RunError,
        match=rf"in shot {ERASED_MAX - 1}.*: {ERASED_MAX} shots in a row were erased.*\nshots 0 to {ERASED_MAX - 1} are kept",
    ):
        on(FEEDBACK, late(1.0))


def test_measuring_leaves_erased_shots_out_and_counts_them(demo_lab):
    """Raw captures of the shots that count, and no others, in their order: calibrations hold them beside the rows."""
    weights = {name: Weights(np.full((2, 50), 100, np.int16), 0, "q0") for name in ("first", "second")}
    ops = (Capture("first", raw=True), Wait(100), Capture("second", raw=True), Wait(100))
    pulses = Pulses({"q0": ops}, {"q0.drive": Frame("drive_q0", 0.0)}, {}, weights, (), period_ticks=7000)
    with Loop(with_port(demo_lab, late(0.1)), 5) as loop:
        found = loop.measure(pulses, 200)
        counters = loop.counters
    counts = found.rows["flags"] == 0
    assert 10 < counters["measured.shots_erased"] == 200 - counts.sum() < 90
    for index in (0, 1):
        sums = found.raw[index].astype(np.int64).sum(axis=1) * 100
        assert np.array_equal(sums, found.rows["iq"][counts, index, 0])


# ---- A mailbox that is late ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_arm", [1, 8])
def test_a_late_answer_of_a_rack_is_no_other_shots(on, per_arm):
    """One reply of the digitizer comes after three deadlines: these shots are erased, their answers are refused when they come."""
    box = Mailbox(feedback_latency_ns=LATENCY_NS, deadline_s=0.1, shots_per_arm=per_arm)
    fault = {"dig": {"late_s": 0.35, "late_after": 40}}
    direct = on(QUIET, {"feedback_latency_ns": LATENCY_NS}, shots=120)
    result = on(QUIET, {}, mailbox=box, faults=fault, shots=120)
    rows, others, count = result.record.rows, result.record.valid, len(erased_of(result))
    assert 1 <= count < ERASED_MAX
    assert np.array_equal(rows[others], direct.record.rows[others])
    counters = result.record.stop["counters"]
    assert counters["mailbox.late_count"] == count
    assert (counters["mailbox.twice_count"], counters["mailbox.unasked_count"]) == (0, 0)
    assert counters["mailbox.answer_count"] >= 4 * (120 - count)
    assert {(miss["class"], miss["played_on"]) for miss in result.record.misses} == {("late_port", True)}
    assert replay(result.folder).same


def test_a_late_answer_where_shots_branch_and_its_replay(on):
    box = Mailbox(feedback_latency_ns=LATENCY_NS, deadline_s=0.1)
    result = on(FEEDBACK, {}, mailbox=box, faults={"dig": {"late_s": 0.35, "late_after": 40}}, shots=40, period_ns=10e6)
    assert 1 <= len(erased_of(result)) < ERASED_MAX
    assert {(miss["class"], miss["played_on"]) for miss in result.record.misses} == {("late_port", False)}
    assert result.record.stop["counters"]["mailbox.late_count"] == len(erased_of(result))
    assert replay(result.folder).same


# ---- Records and configuration ---------------------------------------------------------------------------------------


def test_a_run_that_was_killed_before_its_miss_is_played_up_to_there(pair):
    record = pair[1].record
    shots = np.flatnonzero(record.rows["flags"] & ROW_ERASED)
    rows, erasures, note = erasures_of(record.rows, record.misses, "here")
    assert (len(rows), note) == (SHOTS, "")
    assert erasures["shot"].tolist() == shots.tolist()
    rows, erasures, note = erasures_of(record.rows, record.misses[:2], "here")
    assert len(rows) == shots[2]
    assert erasures["shot"].tolist() == shots[:2].tolist()
    assert note.startswith(f"here: shot {shots[2]} was erased, and no miss on record says how far it came")


def test_two_runs_that_part_in_an_erased_shot_are_told_so(pair):
    well, result = pair
    found = compare(well.folder, result.folder).first
    assert found.shot == erased_of(result)[0]
    assert (found.field, found.a) == ("erased", "played")
    assert found.b.startswith("erased (late_port, ")


def test_a_calibration_holds_whatever_becomes_of_late_shots(demo_lab):
    assert bound_hash(with_port(demo_lab, {}, "abort")) == bound_hash(with_port(demo_lab, {}))


@pytest.mark.parametrize(
    ("port", "timing", "said"),
    [
        ({"faults": {"late_answers": 1.5}}, {}, r"late_answers: 1\.5 is out of range; a number, at least 0 and at most 1"),
        ({"faults": {"late": 1.0}}, {}, r"port\.faults\.late: unknown key; did you mean late_"),
        ({"answer_ns": 0.0}, {}, r"answer_ns: 0 is out of range"),
        ({}, {"late_port_policy": "skip"}, r"timing\.late_port_policy: 'skip' is not allowed; .*abort.*erase"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(project, port, timing, said):
    raw = tomllib.loads((project / "configs" / "demo.toml").read_text())
    raw["timing"] |= timing
    raw["twin"]["parameters"].setdefault("port", {}).update(port)
    with pytest.raises(ConfigError, match=said):
        checked(raw, "lab")
