"""Prediction is execution: on generated pulses every event's tick is the kernel's, and its slack is what a delay there can really be.

The kernel's log says at which tick each event of the executed path happened. Slack is tried out: a wait of so many ticks before the
event, scheduled again, makes nothing late, one step of the port's grid more does; and where the period binds, the kernel agrees.
"""

from collections import Counter
from contextlib import ExitStack

import msgspec
import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from qrt import kernel
from qrt.compile import (
    ALU,
    BRANCH,
    CAPTURE,
    END,
    IF_ALWAYS,
    PLAY,
    SET_FREQUENCY,
    SHIFT_PHASE,
    SYNC,
    WRITE,
    compile_pulses,
)
from qrt.compile.instructions import ALU_MOVE, EMIT, FIRST_FREE, PLAY_REGISTER
from qrt.errors import ProgramError
from qrt.kernel import Status
from qrt.timeline import event_slacks, outcome_slacks, schedule, survey
from qrt.timeline.graph import Due, Edge
from qrt.timeline.slack import TOO_MANY
from qrt.types import Bits, Box, Capture, Frame, If, Play, PortLimits, Pulses, Source, Sync, Wait, Weights, WriteBit
from tests.reference_delays import PERIOD_MAX, cases, delayed, executed, limits, seen
from tests.test_kernel_reference import ScriptedPort
from tests.test_timeline import LAB

EVENTS_MAX = 12  # tried of one program
KINDS = {
    PLAY: "play",
    CAPTURE: "capture",
    SHIFT_PHASE: "phase",
    SET_FREQUENCY: "frequency",
    WRITE: "write",
    SYNC: "sync",
    EMIT: "output",
    PLAY_REGISTER: "play",
}


def run(pulses: Pulses, port: PortLimits, levels: list[int], period: int):
    """Play one shot on a scripted port. Return status, log, and the sequence."""
    sequence = compile_pulses(msgspec.structs.replace(pulses, period_ticks=PERIOD_MAX), LAB, port)
    sequence = msgspec.structs.replace(sequence, period_ticks=period)
    scripted = ScriptedPort(levels, port.granularity_ticks)
    scripted._port.feedback_latency_ticks = port.feedback_latency_ticks
    scripted._port.outstanding_max = 16
    dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
    with ExitStack() as stack:
        rows = stack.enter_context(kernel.Ring.create(dtype.itemsize, 2, 1))
        loop = stack.enter_context(kernel.Kernel(kernel.Config(sequence, scripted.address, kernel.Rings(rows), 1)))
        loop.log_shot(0, 4096)
        loop.start()
        report = loop.join()
        return report.status, loop.events.copy(), sequence


def happened(log: np.ndarray, sequence) -> tuple[Counter, dict[tuple[str, int], int], dict[str, int]]:
    """Return what `seen` predicts, the outcomes by sequencer and tick of the capture, and the tick at which each sequencer ended."""
    found: Counter = Counter()
    outcomes: dict[tuple[str, int], int] = {}
    ends: dict[str, int] = {}
    for one in log:
        name, tick, op = sequence.sequencers[int(one["sequencer"])], int(one["tick"]), int(one["op"])
        if op in KINDS:
            found[name, tick, KINDS[op]] += 1
        elif op == ALU and int(one["b"]) == ALU_MOVE and int(one["a"]) == FIRST_FREE:  # the register of its variable
            found[name, tick, "assign"] += 1
        elif op == BRANCH and int(one["b"]) != IF_ALWAYS:
            found[name, tick, "if"] += 1
        elif op == kernel.EVENT_OUTCOME:
            found[name, tick, "outcome"] += 1
            begun = tick - int(sequence.captures[int(one["b"])]["sample_count"])
            outcomes[name, begun] = int(one["c"])
        elif op == END:
            ends[name] = tick
    return found, outcomes, ends


LEVELS = st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=5)


def compiles(pulses: Pulses, port: PortLimits) -> bool:
    try:
        compile_pulses(pulses, LAB, port)
    except ProgramError:
        return False  # more than 64 captures
    return True


def is_played_as_predicted(case, levels):
    pulses, port = case
    assume(compiles(pulses, port))
    timeline = schedule(pulses, port)
    status, log, sequence = run(pulses, port, levels, pulses.period_ticks)
    assume(status is not Status.CHANNEL)  # more than 16 captures at once
    assert status is Status.OK
    found, outcomes, ends = happened(log, sequence)
    path = executed(pulses, timeline, outcomes)
    assert found == seen(path)
    for name in pulses.blocks:
        assert ends[name] == max(
            (one.tick + one.duration_ticks for one in path if one.sequencer == name and one.kind != "capture"),
            default=0,
        )
    event(f"{len({one.condition for one in path})} conditions on the path")


def tried(timeline):
    """Events with their slack; but those that begin after a wait for their own operand, before which alone a delay can be put."""
    waiting = {(one.sequencer, one.path) for one in timeline.events if one.kind == "read"}
    pairs = zip(timeline.events, event_slacks(timeline), strict=True)
    return [(one, slack) for one, slack in pairs if one.kind == "read" or (one.sequencer, one.path) not in waiting]


def has_the_slack_that_it_says(case, random):
    pulses, port = case
    timeline = schedule(pulses, port)
    found = tried(timeline)
    random.shuffle(found)
    for one, slack in found[:EVENTS_MAX]:
        assert slack.ticks is not None
        assert slack.ticks >= 0
        assert slack.ticks % port.granularity_ticks == 0
        assert not survey(delayed(pulses, one, slack.ticks), port).late, (one, slack)
        late = survey(delayed(pulses, one, slack.ticks + port.granularity_ticks), port).late
        assert late, (one, slack)
        assert {due.due.startswith(slack.due) for due in late} >= {True}, (one, slack, late)
        event(slack.due.partition(" of ")[0])


def ends_where_it_says(case, levels, random):
    pulses, port = case
    assume(compiles(pulses, port))
    timeline = schedule(pulses, port)
    found = [(one, slack.ticks) for one, slack in tried(timeline) if slack.due == "the period" and not one.branches]
    random.shuffle(found)
    for one, ticks in found[:3]:
        status, *_ = run(delayed(pulses, one, ticks), port, levels, pulses.period_ticks)
        assume(status is not Status.CHANNEL)
        assert status is Status.OK
        beyond = delayed(pulses, one, ticks + port.granularity_ticks)
        late = survey(beyond, port).late
        if any(not other.condition and other.due.startswith("the period") for other in late):
            if any(not other.due.startswith("the period") for other in late):
                continue  # a box too small is the compiler's to refuse; the kernel knows none
            status, *_ = run(beyond, port, levels, pulses.period_ticks)
            assert status is Status.OVERRUN


RANDOMS = st.randoms(use_true_random=False)


@settings(max_examples=40)
@given(cases(), LEVELS)
def test_every_predicted_tick_is_the_kernels(case, levels):
    is_played_as_predicted(case, levels)


@settings(max_examples=40)
@given(cases(), RANDOMS)
def test_a_delay_of_the_slack_makes_it_and_one_more_does_not(case, random):
    has_the_slack_that_it_says(case, random)


@settings(max_examples=20)
@given(cases(), LEVELS, RANDOMS)
def test_the_kernel_agrees_where_the_period_binds(case, levels, random):
    ends_where_it_says(case, levels, random)


@pytest.mark.prove
@settings(max_examples=1000)
@given(cases(), LEVELS, RANDOMS)
def test_ticks_and_slack_of_many_programs(case, levels, random):
    has_the_slack_that_it_says(case, random)
    is_played_as_predicted(case, levels)
    ends_where_it_says(case, levels, random)


# ---- By hand ---------------------------------------------------------------------------------------------------------------


def hand(period: int = 200, **blocks) -> Pulses:
    frames = {"a.drive": Frame("drive_q0", 0.0), "b.drive": Frame("drive_q0", 0.0)}
    weights = {"w": Weights(np.ones((2, 20), np.int16), 0, "a")}
    return Pulses(blocks, frames, {"e": np.ones(10, np.complex128)}, weights, ("k", "l"), period)


def found(pulses: Pulses, latency: int = 30) -> list[tuple[str, str, int, int | None]]:
    timeline = survey(pulses, limits(latency, 1))
    slacks = event_slacks(timeline)
    return [(e.sequencer, e.kind, e.tick, s.ticks) for e, s in zip(timeline.events, slacks, strict=True)]


def play(name: str = "a", line: int = 0) -> Play:
    return Play(f"{name}.drive", "e", 0.1, source=Source(line, 1, "", "p"))


def test_slack_is_what_is_left_of_the_period_on_the_way_through():
    meet = Sync(("a", "b"))
    # a arrives at 30, b at 10: they go on at 30; a plays to 40, b waits to 90.
    pulses = hand(100, a=(play(), Wait(20), meet, play()), b=(play("b"), meet, Wait(60)))
    assert found(pulses) == [
        ("a", "play", 0, 10),
        ("b", "play", 0, 30),  # 20 until a comes, and 10
        ("a", "wait", 10, 10),
        ("b", "sync", 10, 30),
        ("a", "sync", 30, 10),
        ("a", "play", 30, 60),
        ("b", "wait", 30, 10),
    ]


def test_an_outcome_that_comes_long_before_its_branch_has_slack_of_its_own():
    pulses = hand(200, a=(Capture("w", 0), Wait(100), If(Bits((0,)), (play(),), ())))
    # Ready at 50, due at 100; the branch ends at 110, 90 before the period.
    assert [row[3] for row in found(pulses)] == [90, 90, 90, 90, 100]
    timeline = survey(pulses, limits(30, 1))
    assert [(one.ticks, one.due) for one in outcome_slacks(timeline)] == [(140, "the period")]
    assert not survey(pulses, limits(30 + 140, 1)).late
    assert survey(pulses, limits(30 + 141, 1)).late


def test_captures_end_before_the_period_too():
    assert found(hand(21, a=(Capture("w"),))) == [("a", "capture", 0, 1)]
    late = survey(hand(19, a=(Capture("w"),)), limits(0, 1)).late
    assert [(one.ticks, one.at_tick, one.due) for one in late] == [(1, 20, "the period of 19 ticks")]


def test_what_is_late_has_negative_slack_and_all_of_it_is_listed():
    pulses = hand(25, a=(play(line=1), play(line=2), play(line=3), play(line=4)))
    timeline = survey(pulses, limits(0, 1))
    assert [(one.source.line, one.ticks) for one in timeline.late] == [(3, 5), (4, 15)]
    assert [one.ticks for one in event_slacks(timeline)] == [-15] * 4
    with pytest.raises(
        ProgramError,
        match=r"p:3:1: the shot takes 40 ticks, 15 more .*ends at tick 30: .*--stretch 1\); 1 more late: qrt check lists them",
    ):
        schedule(pulses, limits(0, 1))


def test_off_the_grid_is_late_by_the_ticks_to_the_next():
    pulses = hand(100, a=(Wait(3), play(line=2), Wait(1), play(line=4)))
    late = survey(pulses, limits(0, 8)).late
    assert [(one.source.line, one.ticks, one.at_tick) for one in late] == [(2, 5, 3), (4, 2, 14)]
    assert {one.due for one in late} == {"the port's grid of 8 ticks"}


def test_without_a_due_time_there_is_no_slack():
    assert [row[3] for row in found(hand(0, a=(play(),)))] == [None]


def test_many_instants_are_followed_in_pieces():
    inside = tuple(play(line=k) for k in range(700))
    pulses = hand(10_000, a=(*inside, Box(40, (play(),))))
    slacks = [row[3] for row in found(pulses)]
    assert set(slacks[:-2]) == {10_000 - 7040}


def test_slack_of_long_programs_takes_time_with_their_length():
    """Followed each to each, 20 000 events would be 4e8 pairs."""
    pulses = hand(1_000_000, a=tuple(play(line=k) for k in range(20_000)))
    assert {row[3] for row in found(pulses)} == {800_000}


def test_a_long_program_with_a_box_has_no_slack_and_says_so():
    timeline = survey(hand(1_000_000, a=(*[play()] * 20_000, Box(40, (play(),)))), limits(30, 1))
    assert {(one.ticks, one.due) for one in event_slacks(timeline)} == {(None, TOO_MANY)}


@settings(max_examples=40)
@given(cases())
def test_slack_is_the_same_walked_backwards_and_followed_each_to_each(case):
    timeline = schedule(*case)
    assume(all(due.begin == 0 for due in timeline.graph.dues))
    slacks = event_slacks(timeline)
    timeline.graph.dues.append(
        Due("no one", len(timeline.graph.at) - 1, 0, (Edge(0),))
    )  # binds nothing, but begins within the shot
    assert event_slacks(timeline) == slacks


def test_an_outcome_from_before_a_box_that_another_holds_up_has_the_boxs_slack():
    inside = (If(Bits((0,)), (play(),), ()),)
    boxes = (Box(40, inside, sequencers=("a", "b")), Box(40, (), sequencers=("a", "b")))
    # b comes to the box at 100; the outcome is ready at 120, its branch ends at 130, and the box at 140.
    pulses = hand(1000, a=(Capture("w", 0), boxes[0]), b=(Wait(100), boxes[1]))
    slacks = {row[:2]: row[3] for row in found(pulses, latency=100)}
    assert slacks["a", "capture"] == 10
    assert slacks["b", "wait"] == 1000 - 140  # delayed, the box is too, and has the more time for the outcome


def test_a_write_after_a_capture_that_only_one_side_makes_has_one_tick_on_both():
    pulses = hand(100, a=(If(Bits((0,)), (Capture("w", 0),), ()), WriteBit(0, 1)))
    status, log, _ = run(pulses, limits(30, 1), [1], 100)
    assert status is Status.OK
    assert log["tick"][log["op"] == WRITE].tolist() == [20 + 30]
    assert [row[2] for row in found(pulses) if row[1] == "write"] == [0]
