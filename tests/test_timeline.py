"""The schedule of a shot, against ticks counted by hand: sx 30, tone 1000, depletion 500, latency 300 where nothing else is said."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.errors import ProgramError
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.timeline import COLUMNS, Order, Step, Timeline, format_timeline, schedule
from qrt.types import (
    Bits,
    Capture,
    Frame,
    If,
    Op,
    Play,
    PortLimits,
    Pulses,
    SetFrequency,
    Sync,
    Wait,
    Weights,
    WriteBit,
)

LAB = config.load(Path(__file__).with_name("lab.toml"))
LIMITS = PortLimits(
    feedback_latency_ticks=300,
    granularity_ticks=1,
    sample_ticks=1,
    capture_samples_max=8192,
    segment_count_max=64,
    segment_samples_max=65536,
    outstanding_max=4,
)


def limits(**changes: int) -> PortLimits:
    return msgspec.structs.replace(LIMITS, **changes)


def timeline(body: str, **changes: int) -> Timeline:
    program = parse_program(f"qubit[2] q; bit[2] c;\n{body}", "p.qasm")
    return schedule(lower(program, LAB, None, {}), limits(**changes))


def refusal(body: str, **changes: int) -> str:
    with pytest.raises(ProgramError) as caught:
        timeline(body, **changes)
    return str(caught.value)


def ticks(found: Timeline, kind: str, sequencer: str = "q0") -> list[tuple[int, int]]:
    return [(e.tick, e.duration_ticks) for e in found.events if e.kind == kind and e.sequencer == sequencer]


def pulses(period: int = 7000, **blocks: tuple[Op, ...]) -> Pulses:
    """Hand-made pulses: envelope `e` of 10 samples, weights `w` of 100 and `long` of 250 for qubit `a`."""
    frames = {"a.drive": Frame("drive_q0", 0.0), "a.readout": Frame("readout", 1e8), "b.readout": Frame("readout", 2e8)}
    weights = {
        "w": Weights(np.ones((2, 100), np.int16), 0, "a"),
        "long": Weights(np.ones((2, 250), np.int16), 0, "a"),
    }
    return Pulses(blocks, frames, {"e": np.ones(10, np.complex128)}, weights, ("k", "l", "m"), period)


def hand(**blocks: tuple[Op, ...]) -> Timeline:
    return schedule(pulses(**blocks), LIMITS)


# ---- Ticks by hand -----------------------------------------------------------------------------------------------------------


def test_active_reset_with_a_latency_that_hides_in_the_depletion() -> None:
    found = timeline("h q[0]; c[0] = measure q[0]; if (c[0]) x q[0]; c[1] = measure q[0];")
    assert ticks(found, "capture") == [(30, 1000), (1590, 1000)]
    assert ticks(found, "play") == [(0, 30), (30, 1000), (1530, 30), (1560, 30), (1590, 1000)]
    assert ticks(found, "pad") == [(1530, 60)]
    (branch,) = [event for event in found.events if event.kind == "if"]
    # Ready at 30 + 1000 + 300 = 1330, due at 30 + 1000 + 500 = 1530.
    assert (branch.tick, branch.duration_ticks, branch.slack_ticks) == (1530, 0, 200)
    assert found.shot_ticks == 1590 + 1500


def test_active_reset_with_a_latency_that_must_be_waited_for() -> None:
    found = timeline("h q[0]; c[0] = measure q[0]; if (c[0]) x q[0]; c[1] = measure q[0];", feedback_latency_ticks=2000)
    (branch,) = [event for event in found.events if event.kind == "if"]
    assert (branch.tick, branch.duration_ticks, branch.slack_ticks) == (1530, 1500, 0)
    assert ticks(found, "capture") == [(30, 1000), (3090, 1000)]
    assert found.branch_ticks == {Step("q0", (6,)): 3030}
    assert found.join_ticks == {Step("q0", (6,)): 3090}


def test_both_sides_are_listed_with_their_condition() -> None:
    found = timeline("c[0] = measure q[0]; if (c[0]) x q[0]; else delay[100ns] q[0]; sx q[0];")
    sides = [(e.kind, e.tick, e.duration_ticks, e.condition) for e in found.events if e.condition]
    assert sides == [
        ("play", 1500, 30, "c[0] == 1"),
        ("wait", 1500, 100, "c[0] == 0"),
        ("play", 1530, 30, "c[0] == 1"),
        ("pad", 1560, 40, "c[0] == 1"),
    ]
    assert ticks(found, "play")[-1] == (1600, 30)


def test_values_of_registers_are_compared_together() -> None:
    found = timeline("c = measure q; if (c == 2) x q[0];")
    assert {e.condition for e in found.events} == {"", "c[0:1] == 2", "!(c[0:1] == 2)"}
    # q0 waits for both bits: both captures start at 0, so both are ready at 1300 and the depletion ends at 1500.
    (branch,) = [event for event in found.events if event.kind == "if"]
    assert (branch.tick, branch.slack_ticks) == (1500, 200)


def test_feedback_to_another_qubit() -> None:
    found = timeline("x q[1]; c[0] = measure q[0]; if (c[0]) x q[1]; c[1] = measure q[1];")
    assert ticks(found, "sync", "q1") == [(60, 1440)]
    assert ticks(found, "play", "q1") == [(0, 30), (30, 30), (1500, 30), (1530, 30), (1560, 1000)]
    assert ticks(found, "sync", "q0") == [(1500, 0)]


def test_a_barrier_inside_a_branch_moves_both_sides_together() -> None:
    found = timeline("c[0] = measure q[0]; if (c[0]) { x q[0]; barrier q; x q[1]; } sx q[0]; sx q[1];")
    # Side 1: q0 plays 1500 to 1560, then q1 1560 to 1620. q0 joins at 1560, q1 at 1620, on both sides.
    assert ticks(found, "play")[-1] == (1560, 30)
    assert ticks(found, "play", "q1") == [(1560, 30), (1590, 30), (1620, 30)]
    assert ticks(found, "pad") == [(1500, 60)]
    assert ticks(found, "pad", "q1") == [(1500, 120)]


def test_nested_branches() -> None:
    found = timeline(
        "c[0] = measure q[0]; if (c[0]) { c[1] = measure q[0]; if (!c[1]) x q[0]; } sx q[0];",
        feedback_latency_ticks=600,
    )
    # Decides at 1600; measures 1600 to 3100; its outcome is ready at 3200; x ends at 3260.
    assert [(e.tick, e.duration_ticks, e.condition) for e in found.events if e.kind in {"if", "pad"}] == [
        (1500, 100, ""),
        (1600, 1660, "c[0] == 0"),
        (3100, 100, "c[0] == 1"),
        (3200, 60, "c[0] == 1, c[1] == 1"),
    ]
    assert ticks(found, "play")[-1] == (3260, 30)


def test_a_bit_that_only_one_side_measured_is_ready_at_one_tick_on_both() -> None:
    found = timeline(
        "c[0] = measure q[0]; if (c[0]) c[1] = measure q[0]; if (c[1]) x q[0];", feedback_latency_ticks=900
    )
    # First decision at 1900; second capture 1900 to 2900, ready at 3800, though the branch joins at 3400.
    assert list(found.branch_ticks.values()) == [1900, 3800]
    assert ticks(found, "play")[-1] == (3830, 30)


def test_a_read_waits_for_every_capture_of_its_bit() -> None:
    found = hand(a=(Capture("long", 0), Wait(10), Capture("w", 0), If(Bits((0,)), (), ())))
    assert list(found.branch_ticks.values()) == [250 + 300]


def test_tones_are_counted_where_that_is_static() -> None:
    found = timeline("measure q[0]; reset q[0]; if (c[0]) { measure q[0]; } measure q[0]; measure q[1];")
    assert [index for step, index in sorted(found.tone_indices.items()) if step.sequencer == "q0"] == [0, 1, 2, None]
    assert [index for step, index in found.tone_indices.items() if step.sequencer == "q1"] == [0]
    assert list(hand(a=(Capture("w"), Wait(200))).tone_indices.values()) == [None]


def test_ready_ticks_are_on_the_ports_grid() -> None:
    body = "delay[10ns] q[0]; c[0] = measure q[0]; if (c[0]) measure q[0];"
    found = timeline(body, granularity_ticks=10, feedback_latency_ticks=603)
    assert list(found.branch_ticks.values()) == [1620]


def test_samples_of_several_ticks() -> None:
    found = schedule(pulses(a=(Play("a.drive", "e", 1.0), Capture("w", 0), Wait(7))), limits(sample_ticks=4))
    assert ticks(found, "play", "a") == [(0, 40)]
    assert ticks(found, "capture", "a") == [(40, 400)]
    assert found.shot_ticks == 440


def test_other_operations() -> None:
    ops = (Wait(5), WriteBit(0, 1), SetFrequency("a.drive", 1e6), If(Bits((0,)), (Wait(3),), (), pad=True))
    rows = format_timeline(hand(a=ops))
    assert [dict(zip(COLUMNS, row, strict=True))["event"] for row in rows] == [
        "wait",
        "write",
        "frequency",
        "if",
        "wait",
        "pad",
    ]
    assert [row[0] for row in rows] == ["0", "5", "5", "5", "5", "5"]
    assert rows[3][:6] == ("5", "0", "0", "a", "if", "k == 1")


def test_events_carry_their_source() -> None:
    rows = format_timeline(timeline("x q[0];\n  reset q[1]; // now"))
    assert {(row[3], row[7], row[8]) for row in rows} == {("q0", "2", "x q[0];"), ("q1", "3", "reset q[1]; // now")}


# ---- What is refused ---------------------------------------------------------------------------------------------------------


def test_a_shot_longer_than_its_period_is_told_with_line_and_excess() -> None:
    body = "reset q[0];\nreset q[0];\nreset q[0];\nreset q[0];\nx q[0];\nreset q[0];"
    # Each reset takes 1560 ticks: the fifth begins at 6300, its tone ends at 7300, and all of it at 7860.
    message = refusal(body)
    assert message.startswith("p.qasm:7:1: the shot takes 7860 ticks, 860 more than its period of 7000")
    assert "which ends at tick 7300" in message


def test_ticks_off_the_grid_are_told_with_the_nearest_two() -> None:
    message = refusal("delay[13ns] q[0];\nx q[0];", granularity_ticks=10)
    assert message.startswith(
        "p.qasm:3:1: the play of q0.sx would start at tick 13; the port starts on multiples of 10 ticks: nearest are 10 and 20"
    )
    assert "the capture for q0 would start at tick 13" in refusal(
        "delay[13ns] q[0]; measure q[0];", granularity_ticks=10
    )


def test_captures_longer_than_the_ports_memory() -> None:
    message = refusal("x q[0];\nmeasure q[0];", capture_samples_max=999)
    assert message.startswith(
        "p.qasm:3:1: a capture of 1000 samples for q0; the port takes 1 to 999: change qubits.q0.readout.duration_ns"
    )


def test_too_many_captures_at_once() -> None:
    assert "2 captures at once from tick 0; the port holds 1" in refusal("measure q;", outstanding_max=1)
    assert timeline("measure q[0]; barrier q; measure q[1];", outstanding_max=1).shot_ticks == 3000
    # The two sides of a branch never happen together.
    ops = (Capture("w", 0), Wait(100), If(Bits((0,)), (Capture("w"),), (Capture("w"),)), Wait(200))
    assert schedule(pulses(a=ops), limits(outstanding_max=1)).shot_ticks == 600
    with pytest.raises(ProgramError, match="2 captures at once from tick 99"):
        schedule(pulses(a=(Capture("w"), Wait(99), Capture("w"), Wait(200))), limits(outstanding_max=1))


def test_plays_that_would_clip() -> None:
    plays = (Play("a.readout", "e", 0.6),), (Play("b.readout", "e", -0.6),)
    with pytest.raises(ProgramError, match=r"plays on line 'readout' add up to 1.2 of full scale from tick 0"):
        hand(a=plays[0], b=plays[1])
    assert hand(a=plays[0], b=(Wait(10), *plays[1])).shot_ticks == 20


def test_branches_of_variable_duration_may_only_end_a_block() -> None:
    branch = If(Bits((0,)), (Wait(30),), (Wait(50),), pad=False)
    assert hand(a=(branch,)).shot_ticks == 50
    with pytest.raises(ProgramError, match=r"variable duration \(30 or 50 ticks\)"):
        hand(a=(branch, Wait(1)))
    assert hand(a=(If(Bits((0,)), (Wait(30),), (Wait(30),), pad=False), Wait(1))).join_ticks == {}


def test_syncs_that_cannot_meet() -> None:
    meet = Sync(("a", "b"))
    with pytest.raises(ProgramError, match="a waits for b at a sync to which they never come"):
        hand(a=(meet,), b=())
    with pytest.raises(ProgramError, match="b waits for a at a sync"):
        hand(a=(meet, Wait(1)), b=(If(Bits((0,)), (meet,), ()),))
    with pytest.raises(ProgramError, match="b waits for a at a branch"):
        hand(a=(), b=(If(Bits((0,)), (), (), sequencers=("a", "b")),))


def test_races_for_a_bit() -> None:
    capture, read = (Capture("w", 0), Wait(100)), If(Bits((0,)), (), ())
    with pytest.raises(ProgramError, match="b reads k without a sync after a used it"):
        hand(a=capture, b=(Wait(1000), read))
    with pytest.raises(ProgramError, match="b writes k without a sync after a used it"):
        hand(a=(read,), b=(Wait(1), WriteBit(0, 1)))
    meet = Sync(("a", "b"))
    assert hand(a=(*capture, meet), b=(meet, read)).branch_ticks == {Step("b", (1,)): 400}


# ---- Order -------------------------------------------------------------------------------------------------------------------


def test_order_is_by_sequencer_or_by_sync_and_passes_on() -> None:
    order = Order("abc")
    order.access("a", 0, write=True)
    assert order.conflicts("a", 0, write=True) == set()
    assert order.conflicts("b", 0, write=False) == {"a"}
    order.sync("ab")
    assert order.conflicts("b", 0, write=False) == set()
    order.access("b", 0, write=False)
    assert order.conflicts("a", 0, write=False) == set()
    assert order.conflicts("a", 0, write=True) == {"b"}
    assert order.conflicts("c", 0, write=True) == {"a", "b"}
    order.sync("bc")
    assert order.conflicts("c", 0, write=True) == set()


def test_order_after_a_branch_holds_on_both_sides() -> None:
    before = Order("ab")
    one, two = before.copy(), before.copy()
    one.access("a", 0, write=True)
    one.access("a", 0, write=True)
    one.sync("ab")
    two.access("a", 0, write=True)
    assert one.joined(two).conflicts("b", 0, write=False) == {"a"}
    two.sync("ab")
    assert one.joined(two).conflicts("b", 0, write=False) == set()
    assert before.joined(one).conflicts("b", 0, write=False) == set()
