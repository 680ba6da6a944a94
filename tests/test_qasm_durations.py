"""Lengths of time: durationof, stretch, boxes without a duration, and loops that end a shot early. Ticks are counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from qrt import config
from qrt.errors import ProgramError
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.types import Box, Emit, If, Op, Play, Pulses, Wait

LAB = config.load(Path(__file__).with_name("lab.toml"))
SX = int(LAB.qubits["q0"].pulse_ns)
READ = int(LAB.qubits["q0"].readout.duration_ns + LAB.qubits["q0"].readout.depletion_ns)


def lowered(body: str) -> Pulses:
    return lower(parse_program(f"qubit[2] q; bit[2] c; {body}", "p.qasm"), LAB, None, {})


def waits(ops: tuple[Op, ...]) -> list[object]:
    return [op.ticks for op in ops if isinstance(op, Wait)]


@pytest.mark.parametrize(
    ("inside", "ticks"),
    [
        ("x q[0];", 2 * SX),
        ("sx q[0]; rz(1) q[0]; h q[0]; rx(1) q[0]; ry(1) q[0]; id q[0];", 6 * SX),
        ("x q[0]; sx q[1];", 2 * SX),
        ("x q[0]; barrier q; sx q[1];", 3 * SX),
        ("delay[7ns + 2dt] q[0]; delay[1ns] q;", 10),
        ("measure q[0];", READ),
        ("box[100ns] { x q[0]; } sx q[0];", 100 + SX),
        ("for int i in [1:3] { delay[i * 10ns] q[1]; }", 60),
        ("c[0] = 1; int n = 3; delay[n * 1ns] q[0];", 3),
    ],
)
def test_durationof(inside: str, ticks: int) -> None:
    pulses = lowered(f"delay[durationof({{ {inside} }})] q[1];")
    assert waits(pulses.blocks["q1"]) == [ticks]
    assert pulses.blocks["q0"] == ()


def test_what_is_set_inside_of_durationof_is_as_before() -> None:
    pulses = lowered("int n = 3; delay[durationof({ n = 5; delay[n * 1ns] q[0]; })] q[0]; delay[n * 1ns] q[0];")
    assert waits(pulses.blocks["q0"]) == [5, 3]


def test_stretches_between_barriers_fill_the_longest_line() -> None:
    pulses = lowered(
        "stretch g; barrier q; delay[200ns] q[0]; delay[g] q[1]; sx q[1]; delay[g + 10ns] q[1]; barrier q;"
    )
    assert waits(pulses.blocks["q1"]) == [(190 - SX) // 2, (190 - SX) // 2 + 10]


def test_stretches_with_factors_and_negative_parts_in_a_box() -> None:
    text = "stretch s; duration half = -0.5 * durationof({x q[0];}) + s; box[402ns] { delay[half] q[0]; x q[0]; delay[half + s] q[0]; }"
    (box,) = lowered(text).blocks["q0"]
    assert isinstance(box, Box)
    assert waits(box.ops) == [402 // 3 - SX, 2 * 402 // 3 - SX]


def test_each_line_has_its_own_stretch() -> None:
    pulses = lowered(
        "stretch a; stretch b; box[100ns] { delay[a] q[0]; x q[0]; sx q[1]; delay[2 * b] q[1]; delay[b * 2] q[1]; }"
    )
    assert [waits(op.ops) for op in (pulses.blocks["q0"][0], pulses.blocks["q1"][0])] == [
        [100 - 2 * SX],
        [(100 - SX) // 2] * 2,
    ]  # type: ignore[union-attr]


def test_a_box_without_a_duration_holds_its_qubits_together() -> None:
    pulses = lowered("x q[1]; stretch g; box { x q[0]; x q[0]; delay[g] q[1]; sx q[1]; } x q[0];")
    assert [type(op).__name__ for op in pulses.blocks["q0"]] == ["Sync", *["Play"] * 4, "Sync", "Play", "Play"]
    assert waits(pulses.blocks["q1"]) == [3 * SX]


def test_the_last_loop_of_a_shot_is_not_padded() -> None:
    loop = "int n = 0; c[0] = measure q[0]; while (c[0] && n < 3) { n += 1; x q[0]; c[0] = measure q[0]; }"

    def pads(ops: tuple[Op, ...]) -> list[bool]:
        return [pad for op in ops if isinstance(op, If) for pad in (op.pad, *pads(op.then), *pads(op.otherwise))]

    assert pads(lowered(f"{loop} output int o; o = n;").blocks["q0"]) == [False] * 3
    assert pads(lowered(f"{loop} x q[0];").blocks["q0"]) == [True] * 3
    assert pads(lowered("c[0] = measure q[0]; if (c[0]) { x q[0]; }").blocks["q0"]) == [True]
    assert pads(lowered("c[0] = measure q[0]; if (c[0]) end; x q[0]; x q[1];").blocks["q0"]) == [False]


def test_a_variable_couples_only_those_who_use_it() -> None:
    count = "int n = 0; c[0] = measure q[0]; if (c[0]) n = 1; "
    alone = lowered(count + "x q[1]; output int o; o = n;")
    assert [type(op).__name__ for op in alone.blocks["q1"]] == ["Play", "Play"]
    both = lowered(count + "if (n == 1) x q[1];")
    assert [type(op).__name__ for op in both.blocks["q0"]] == ["Capture", "Play", "Wait", "Sync"]
    assert [type(op).__name__ for op in both.blocks["q1"]] == ["Sync", "If", "If"]
    unused = lowered(count + "x q[0];")
    assert not any(isinstance(op, If) for op in unused.blocks["q0"])


def test_angles_of_outcomes_are_shifts_of_phase_by_words() -> None:
    pulses = lowered("c = measure q; angle[2] a = c; rz(a) q[0]; rx(a) q[0];")
    assert sum(isinstance(op, Play) for op in pulses.blocks["q0"]) == 3  # the tone and two of sx
    of_another = lowered("c[0] = measure q[0]; rz(angle[1](c[0])) q[1];")  # no variable: the bit itself is read
    assert [type(op).__name__ for op in of_another.blocks["q1"]] == ["Sync", "ShiftPhase"]


def test_durations_that_are_put_out_are_ticks() -> None:
    pulses = lowered(
        "output duration d; d = 2 * durationof({ x q[0]; }) + 3ns; c[0] = measure q[0]; if (c[0]) { d = d; }"
    )
    assert [op.value for op in pulses.blocks["q0"] if isinstance(op, Emit)] == [4 * SX + 3]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("delay[durationof({ })] q[0];", "durationof of statements that act on no qubit"),
        ("delay[durationof({ reset q[0]; })] q[0];", "how long this takes depends on outcomes"),
        ("delay[durationof({ if (c[0]) { x q[0]; } })] q[0];", "how long this takes depends on outcomes"),
        ("input duration t; delay[durationof({ delay[t] q[0]; })] q[0];", "input 't' has no value"),
        ("stretch g; delay[g] q[0];", "nothing tells how long this stretch is"),
        ("stretch g; if (c[0]) { delay[g] q[0]; }", "nothing tells how long this stretch is"),
        ("stretch g; delay[g] q[0]; barrier q[1];", "this stretch reaches over a barrier that does not hold its qubit"),
        (
            "stretch g; box[10ns] { x q[0]; delay[g] q[0]; }",
            "the line of this stretch takes 60 ns already, more than 10 ns",
        ),
        (
            "stretch g; box[100ns] { delay[g] q[0]; delay[g] q[1]; x q[1]; }",
            "one stretch in lines of different lengths",
        ),
        (
            "stretch g; stretch f; box[100ns] { delay[g] q[0]; delay[f] q[0]; }",
            "a second stretch in the line of one qubit",
        ),
        ("stretch g; box[100ns] { delay[g] q[0]; delay[-1 * g] q[0]; }", "the stretch in this line cancels out"),
        ("stretch g; box[100ns] { delay[g] q; }", "a delay with a stretch is on one qubit"),
        ("stretch g; stretch f; box[100ns] { delay[g + f] q[0]; }", "a delay with one stretch is possible"),
        ("stretch g; box[100ns] { delay[g] q[0]; barrier q; }", "this stands in the region of a stretch"),
        ("stretch g; delay[g * g] q[0];", "a duration with stretches * duration has no meaning"),
        ("stretch g; box[101ns] { delay[g] q[0]; delay[g] q[0]; }", "a delay of 50.5 ns is no whole number of ticks"),
        ("stretch g = 3;", "stretch 'g' is a duration, not int"),
    ],
)
def test_lengths_that_mean_nothing(body: str, wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        lowered(body)
    assert wanted in str(caught.value)
