"""`box[duration] { ... }`: its qubits begin together, what follows begins exactly so much later, and what takes longer is late at its line.

Ticks by hand: sx 30, x 60, tone 1000, depletion 500, latency 300.
"""

import itertools
import json

import pytest
from click.testing import CliRunner

from qrt.__main__ import cli
from qrt.commands.check import LATE_STATUS
from qrt.errors import ProgramError
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.timeline import Timeline, event_slacks, schedule, survey
from tests.test_compile import LIMITS, compiled, executed, scheduled
from tests.test_timeline import LAB, refusal, ticks, timeline


def surveyed(body: str) -> Timeline:
    return survey(lower(parse_program(f"qubit[2] q; bit[2] c;\n{body}", "p.qasm"), LAB, None, {}), LIMITS)


def late(body: str) -> list[tuple[int, int, str]]:
    return [(one.source.line, one.ticks, one.due) for one in surveyed(body).late]


def test_what_follows_begins_exactly_a_box_later():
    found = timeline("box[200ns] { x q[0]; }\nx q[0];\nx q[1];")
    assert ticks(found, "play") == [(0, 30), (30, 30), (200, 30), (230, 30)]
    assert ticks(found, "pad") == [(60, 140)]
    assert ticks(found, "play", "q1") == [(0, 30), (30, 30)]  # it is not in the box
    assert found.shot_ticks == 260


def test_qubits_of_a_box_begin_together_and_end_together():
    found = timeline("x q[0];\nbox[100ns] { sx q[0]; x q[1]; }\nx q;")
    assert ticks(found, "box") == [(60, 0)]
    assert ticks(found, "box", "q1") == [(0, 60)]
    assert ticks(found, "play", "q1") == [(60, 30), (90, 30), (160, 30), (190, 30)]
    assert ticks(found, "play")[2:] == [(60, 30), (160, 30), (190, 30)]


def test_a_delay_in_a_box_takes_of_its_time():
    found = timeline("box[100ns] { delay[40ns] q[0]; x q[0]; }")
    assert ticks(found, "play") == [(40, 30), (70, 30)]
    assert ticks(found, "pad") == []
    assert late("box[100ns] {\ndelay[41ns] q[0];\nx q[0];\n}") == [(4, 1, "the box of line 2")]


def test_an_exact_fit_is_in_time_and_one_tick_less_is_not():
    assert timeline("box[60ns] { x q[0]; }").shot_ticks == 60
    assert late("box[59ns] {\nx q[0];\n}") == [(3, 1, "the box of line 2")]
    assert refusal("box[59ns] {\nx q[0];\n}").startswith(
        "p.qasm:3:1: play q0.sx x 0.25 on q0 ends at tick 60, 1 ticks after the end of the box of line 2, "
        "which has 59 ticks from tick 0 on: give it at least 60"
    )


def test_a_box_with_a_branch_has_time_for_either_side():
    body = "c[0] = measure q[0];\nbox[{}ns] {{\nif (c[0]) x q[0];\n}}\nsx q[0];"
    found = timeline(body.format(60))
    assert ticks(found, "play")[-1] == (1560, 30)
    assert late(body.format(50)) == [(4, 10, "the box of line 3")] * 2  # the second sx, and the other side's pad


def test_an_outcome_that_comes_in_the_box_takes_of_its_time():
    # The outcome is ready at 1300 + 500 of other latency; the box begins at 1500.
    body = "c[0] = measure q[0];\nbox[{}ns] {{ if (c[0]) x q[0]; }}"
    assert timeline(body.format(360), feedback_latency_ticks=800).shot_ticks == 1860
    message = refusal(body.format(359), feedback_latency_ticks=800)
    assert "1 ticks after the end of the box of line 3" in message


def test_a_box_inside_a_box_and_inside_a_branch():
    found = timeline("box[300ns] { x q[0]; box[100ns] { sx q[0]; } sx q[0]; }\nx q[0];")
    assert ticks(found, "play") == [(0, 30), (30, 30), (60, 30), (160, 30), (300, 30), (330, 30)]
    assert late("box[120ns] {\nx q[0];\nbox[50ns] {\nx q[0];\n}\nsx q[0];\n}") == [
        (5, 10, "the box of line 4"),
        (7, 30, "the box of line 2"),
    ]
    found = timeline("c[0] = measure q[0]; if (c[0]) { box[200ns] { x q[0]; } } sx q[0];")
    assert ticks(found, "play")[-1] == (1700, 30)


def test_bits_of_others_are_waited_for_before_a_box_begins():
    found = timeline("c[0] = measure q[0];\nbox[100ns] { if (c[0]) x q[1]; }")
    assert ticks(found, "play", "q1") == [(1500, 30), (1530, 30)]
    assert ticks(found, "box", "q1") == [(1500, 0)]


def test_syncs_in_a_box():
    found = timeline("box[200ns] { x q[0]; barrier q; x q[1]; }\nx q;")
    assert ticks(found, "play", "q1") == [(60, 30), (90, 30), (200, 30), (230, 30)]


def test_slack_in_a_box_is_the_boxs_and_before_it_the_periods():
    found = surveyed("x q[0];\nbox[100ns] { sx q[0]; }\nx q[0];")
    slacks = [(e.kind, s.ticks, s.due) for e, s in zip(found.events, event_slacks(found), strict=True)]
    period = 7000 - 220
    assert slacks == [
        ("play", period, "the period"),
        ("play", period, "the period"),
        ("box", period, "the period"),
        ("play", 70, "the box of line 3"),
        ("pad", 70, "the box of line 3"),
        ("play", period, "the period"),
        ("play", period, "the period"),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("box[3] { x q[0]; }", "a duration is needed here"),
        ("box[-5ns] { x q[0]; }", "a box of -5 ns is negative"),
        ("box[10.5ns] { x q[0]; }", "a box of 10.5 ns is no whole number of ticks of 1 ns; nearest: 10 ns and 11 ns"),
        ("box[10ns] { }", "an empty box acts on no qubit"),
        ("box[10ns] { bit d; }", "an empty box acts on no qubit"),
    ],
)
def test_boxes_that_mean_nothing(body, message):
    with pytest.raises(ProgramError) as caught:
        timeline(body)
    assert message in str(caught.value)
    assert str(caught.value).startswith("p.qasm:2:")


def test_compiled_boxes_do_what_the_schedule_says():
    body = """h q[0];
    c[0] = measure q[0];
    box[400ns] {
      if (c[0]) {
        x q[0];
      } else {
        box[100ns] { sx q[0]; x q[1]; }
        x q[1];
      }
      x q[1];
    }
    x q;
    c = measure q;"""
    sequence, found = compiled(body)
    union = set()
    for outcomes in itertools.product([0, 1], repeat=len(sequence.captures)):
        shot = executed(sequence, LIMITS, outcomes)
        assert max(shot.cursor) == found.shot_ticks
        union |= shot.events
    assert union == scheduled(found, always=False)


# ---- qrt check -------------------------------------------------------------------------------------------------------------

LATE = """OPENQASM 3;
include "stdgates.inc";
qubit q;
bit c;
box[50ns] {
  x q;
}
c = measure q;
delay[6us] q;
x q;
"""


def call(*arguments: str):
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def test_check_lists_all_that_is_late_and_ends_with_the_status_of_a_refusal(tmp_path, project):
    program = tmp_path / "late.qasm"
    program.write_text(LATE)
    answer = call("check", program, "--lab", project / "configs/demo.toml")
    assert answer.exit_code == LATE_STATUS == ProgramError.exit_code == 2
    assert "LATE: 4 events" in answer.stdout
    answer = call("check", program, "--lab", project / "configs/demo.toml", "--json")
    assert answer.exit_code == LATE_STATUS
    told = json.loads(answer.stdout)
    assert [(one["line"], one["late_ticks"], one["event"], one["due"]) for one in told["late"]] == [
        (6, 10, "play", "the box of line 5"),
        (9, 560, "wait", "the period of 7000 ticks"),
        (10, 590, "play", "the period of 7000 ticks"),
        (10, 620, "play", "the period of 7000 ticks"),
    ]
    assert min(one["slack_ticks"] for one in told["events"]) == -620
    with pytest.raises(
        ProgramError,
        match=r"late\.qasm:6:3: .* 10 ticks after the end of the box of line 5.*; 3 more late: qrt check lists them",
    ):
        schedule(lower(parse_program(LATE, "late.qasm"), LAB, None, {}), LIMITS)


def test_check_of_what_is_in_time_ends_well(project):
    answer = call("check", project / "examples/active_reset.qasm", "--lab", project / "configs/demo.toml", "--json")
    assert answer.exit_code == 0
    told = json.loads(answer.stdout)
    assert told["late"] == []
    (branch,) = [one for one in told["events"] if one["event"] == "if"]
    assert (branch["early_ticks"], branch["slack_ticks"], branch["due"]) == (200, 3910, "the period")
