"""Programs with varied operands: what is proved beforehand is what the kernel does at every point, tick for tick and word for word.

The reference of a point is the same program compiled with that point's values as constants: another path through lowering, schedule and
compiler, whose ticks other tests hold against a second reading of the instructions. Both are played by the kernel on a port in C, with the
same outcomes, and their event logs must be one.
"""

import ctypes
import re
import subprocess
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrt import config, kernel, units
from qrt.compile import compile_pulses
from qrt.errors import ProgramError
from qrt.grids import grid_of
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.qasm.expressions import Literal, Name
from qrt.qasm.formula import Formula
from qrt.slots import bind
from qrt.sweeps import Reach
from qrt.timeline import POINTS_MAX, event_slacks, format_timeline, schedule, survey
from qrt.timeline.ticks import Ticks
from qrt.types import Frame, Parameter, Play, PortLimits, Pulses, SetFrequency, Source, Wait

LAB = config.load(Path(__file__).with_name("lab.toml"))
LAB = msgspec.structs.replace(LAB, timing=msgspec.structs.replace(LAB.timing, shot_period_ns=1e6))
SHORT = msgspec.structs.replace(LAB, timing=msgspec.structs.replace(LAB.timing, shot_period_ns=3e3))
LIMITS = PortLimits(
    feedback_latency_ticks=300,
    granularity_ticks=1,
    sample_ticks=1,
    capture_samples_max=8192,
    segment_count_max=64,
    segment_samples_max=65536,
    outstanding_max=16,
)
HEAD = "input float a; input angle p; input duration t; input duration u; input int n; qubit[2] q; bit[2] c;\n"
SWEEPS = [
    "a=linspace(-1, 1, 3)",
    "p=linspace(0, 2*pi, 3)",
    "t=linspace(0, 400ns, 3)",
    "u=values(0, 80ns, 1.2us)",
    "n=values(3, 0)",
]

PORT_C = """
#include "qrt_port.h"
static int16_t samples[8192];
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick) { (void)self; (void)shot; (void)tick; return QRT_OK; }
static qrt_status play(void *self, const qrt_play *p) { (void)self; (void)p; return QRT_OK; }
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out) { (void)self; (void)slot; *out = samples; return QRT_OK; }
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .begin_shot = begin_shot, .play = play,
                 .capture_begin = capture_begin, .capture_end = capture_end, .safe = safe, .feedback_latency_ticks = 300,
                 .granularity_ticks = 1, .sample_ticks = 1, .line_count = 8, .channel_count = 1, .capture_samples_max = 8192,
                 .outstanding_max = 16};
"""


@pytest.fixture(scope="module")
def port(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    (folder / "port.c").write_text(PORT_C)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", f"-I{project / 'ffi'}", "port.c", "-o", "port.so"], cwd=folder, check=True
    )
    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(str(folder / "port.so")), "port"))


def swept(body, sweeps=tuple(SWEEPS), limits=LIMITS, lab=LAB):
    """Compile with these sweeps; inputs that are not swept are 0."""
    program = parse_program(HEAD + body, "p.qasm")
    grid = grid_of(list(sweeps), program, {}, "shot", 1)
    reach = Reach(program, grid)
    others = {one.name: 0.0 for one in program.inputs if one.name not in reach.varied}
    pulses = lower(program, lab, None, others, reach.varied)
    sequence = compile_pulses(pulses, lab, limits, reach)
    return sequence, schedule(pulses, limits, reach), grid, bind(sequence.parameters, reach)


def filled(body, values):
    """The program with values as constants."""
    text = HEAD.replace("input float a; input angle p; input duration t; input duration u; input int n; ", "")
    for name, written in values.items():
        body = body.replace(f"<{name}>", written)
    return parse_program(f"{text}{body}", "p.qasm")


def constant(body, values, limits=LIMITS, lab=LAB):
    pulses = lower(filled(body, values), lab, None, {})
    return compile_pulses(pulses, lab, limits), schedule(pulses, limits)


def written(grid, index):
    """The values of a point as a program would write them."""
    found = {}
    for axis, k in zip(grid.axes, np.unravel_index(index, grid.shape), strict=True):
        value = axis.exact(int(k))
        number = f"({value.rational.numerator}/{value.rational.denominator}.0)"
        found[axis.name] = (
            f"({number} * 1s)" if axis.duration else f"({number} + pi*{value.pi.numerator}/{value.pi.denominator})"
        )
    return found


# Operations of the log by what they do; operands of register forms stand where those of the others do.
DOES = {
    1: "play",
    17: "play",
    2: "capture",
    5: "sync",
    6: "frequency",
    19: "frequency",
    7: "phase",
    20: "phase",
    11: "branch",
}


def log_of(port, sequence, outcomes, sweep=kernel.NO_SWEEP, shot=0):
    """Play up to a shot with given outcomes and return what it did, in order."""
    captures = sequence.captures.copy()
    captures["threshold"] = [(1 << 60) * (1 - 2 * outcomes[index % len(outcomes)]) for index in range(len(captures))]
    sequence = msgspec.structs.replace(sequence, captures=captures)
    size = kernel.row_dtype(len(sequence.slots)).itemsize
    with ExitStack() as stack:
        ring = stack.enter_context(kernel.Ring.create(size, 2, 1))
        rings = kernel.Rings(ring)
        loop = stack.enter_context(kernel.Kernel(kernel.Config(sequence, port, rings, 1, shot_first=shot, sweep=sweep)))
        loop.log_shot(shot)
        loop.start()
        report = loop.join()
        assert report.status == kernel.Status.OK, report
        events = loop.events.copy()
    found = []
    for event in events:
        op = DOES.get(int(event["op"]))
        if op is None:
            continue
        operands = {
            "play": ("a", "b", "c"), "capture": ("b",), "sync": ("d",), "frequency": ("a", "d"), "phase": ("a", "d"), "branch": (),
        }[op]  # fmt: skip
        sequencer = sequence.sequencers[int(event["sequencer"])]
        found.append((int(event["tick"]), sequencer, op, *(int(event[name]) for name in operands)))
    return found


def moved(timeline):
    return [event for event in timeline.events if event.kind in {"play", "capture"}]


def places(events):
    """Plays and captures by where they come from: the k-th of a sequencer on a line, under its condition."""
    counts = {}
    for event in events:
        key = (event.sequencer, event.kind, event.source.line, event.condition)
        counts[key] = counts.get(key, -1) + 1
        yield (*key, counts[key]), event


QUBITS = st.sampled_from(["q[0]", "q[1]"])
GATES = [
    "x",
    "h",
    "rx(<a>)",
    "ry(<a>*pi)",
    "rz(<p>)",
    "rz(-<p>/3)",
    "rz(<a>)",
    "rz(<n>*pi/8)",
    "rz(<a> + <n>*<p>)",
    "reset",
]
STEADY = st.one_of(
    st.tuples(st.sampled_from(GATES), QUBITS).map(lambda p: f"{p[0]} {p[1]};"),
    st.tuples(st.sampled_from(["c[0]", "c[1]"]), QUBITS).map(lambda p: f"{p[0]} = measure {p[1]};"),
    st.sampled_from(["barrier q;", "c = measure q;", "delay[40ns] q[0];"]),
)
DELAYS = st.tuples(
    st.sampled_from(["<t>", "2*<t>", "400ns-<t>", "<u>", "<n>*100ns", "<t> + <n>*<u>"]),
    st.sampled_from(["q[0]", "q[1]", "q"]),
).map(lambda p: f"delay[{p[0]}] {p[1]};")


def branches(inner):
    block = st.lists(inner, min_size=1, max_size=2).map("\n".join)
    return st.tuples(st.sampled_from(["c[0]", "!c[1]", "c == 2"]), block, st.one_of(st.just(""), block)).map(
        lambda p: f"if ({p[0]}) {{\n{p[1]}\n}}" + (f" else {{\n{p[2]}\n}}" if p[2] else "")
    )


BOTH = DELAYS.map(lambda delay: f"if (c[0]) {{\n{delay}\nx q[0];\n}} else {{\n{delay}\n}}")
BRANCHES = st.one_of(branches(st.recursive(STEADY, branches, max_leaves=4)), BOTH, branches(st.one_of(STEADY, DELAYS)))
INSIDE = st.one_of(STEADY, DELAYS, BOTH, branches(STEADY))


def boxes(durations):
    inside = st.lists(INSIDE, min_size=1, max_size=2).map("\n".join)
    return st.tuples(st.sampled_from(durations), inside).map(lambda p: f"box[{p[0]}] {{\n{p[1]}\n}}")


ROOMY = boxes(["9us", "9us + <t>", "10us - <u>"])
PROGRAMS = st.lists(st.one_of(STEADY, DELAYS, DELAYS, BRANCHES, ROOMY), min_size=2, max_size=8).map("\n".join)
TIGHT = boxes(["1.6us", "<t>", "2us - <t>", "<u> + 300ns", "40ns"])
BOXED = st.lists(st.one_of(STEADY, DELAYS, BOTH, TIGHT, TIGHT), min_size=2, max_size=6).map("\n".join)
REFUSALS = (
    "on a duration that varies",
    "on which side an earlier branch",
    "by the longest of several varied durations",
)
COUNTS = {"accepted": 0, "refused": 0}


@settings(max_examples=40)
@given(
    PROGRAMS,
    st.lists(st.integers(0, 1), min_size=5, max_size=5),
    st.lists(st.integers(0, 161), min_size=3, max_size=3, unique=True),
)
def test_at_every_point_the_kernel_does_what_the_program_of_that_point_does(port, body, outcomes, points):
    plain = body.replace("<", "").replace(">", "")
    try:
        sequence, timeline, grid, bound = swept(plain)
    except ProgramError as error:
        assert any(words in str(error) for words in REFUSALS), error  # noqa: PT017 - a random program may not be provable
        COUNTS["refused"] += 1
        return
    COUNTS["accepted"] += 1
    for point in {*points, 0, grid.points - 1}:
        reference, static = constant(body, written(grid, point))
        expected = log_of(port, reference, outcomes)
        found = log_of(port, sequence, outcomes, bound.sweep, point)
        assert [event[:5] for event in found if event[2] != "phase"] == [
            event[:5] for event in expected if event[2] != "phase"
        ]
        phases = [[event for event in log if event[2] == "phase"] for log in (found, expected)]
        assert [event[:4] for event in phases[0]] == [event[:4] for event in phases[1]]
        for one, other in zip(*phases, strict=True):  # an angle in radians is a float: 2^-50 of a turn
            assert abs((one[4] - other[4] + (1 << 63)) % (1 << 64) - (1 << 63)) <= 1 << 14
        ranges = dict(places(moved(timeline)))
        for key, event in places(moved(static)):
            assert ranges[key].tick <= event.tick <= ranges[key].tick + ranges[key].later_ticks
        assert static.shot_ticks <= timeline.shot_ticks


def surveyed(pulses, limits, reach=None):
    """The timeline; each event with its slack, and what is late with the most ticks, by where it stands."""
    timeline = survey(pulses, limits, reach)
    slacks = dict(zip(timeline.events, event_slacks(timeline), strict=True))
    firm = [event for event in timeline.events if event.kind in {"play", "capture", "wait", "if"}]
    found = {key: slacks[event].ticks for key, event in places(firm)}
    late = {}
    for one in timeline.late:
        key = (one.source.line, one.sequencer, one.kind, one.condition, one.due)
        late[key] = max(one.ticks, late.get(key, 0))
    return timeline, found, late


@settings(max_examples=25)
@given(BOXED)
def test_slack_and_lateness_are_those_of_the_worst_point(body):
    program = parse_program(HEAD + body.replace("<", "").replace(">", ""), "p.qasm")
    sweeps = ["t=linspace(0, 400ns, 3)", "u=values(0, 80ns, 1.2us)"]
    grid = grid_of(sweeps, program, {}, "shot", 1)
    reach = Reach(program, grid)
    inputs = {"a": 0.25, "p": 0.5, "n": 3.0}
    try:
        timeline, slacks, late = surveyed(lower(program, SHORT, None, inputs, reach.varied), LIMITS, reach)
    except ProgramError as error:
        assert any(words in str(error) for words in REFUSALS), error  # noqa: PT017 - a random program may not be provable
        return
    worst, latest, length = dict.fromkeys(slacks, 1 << 60), {}, 0
    for point in range(grid.points):
        values = {**{name: f"{value:g}" for name, value in inputs.items()}, **written(grid, point)}
        static, found, over = surveyed(lower(filled(body, values), SHORT, None, {}), LIMITS)
        assert found.keys() == slacks.keys()
        worst = {key: min(found[key], least) for key, least in worst.items()}
        latest = {key: max(over.get(key, 0), latest.get(key, 0)) for key in over.keys() | latest.keys()}
        length = max(length, static.shot_ticks)
    assert timeline.shot_ticks == length
    assert slacks == worst
    assert {key: ticks for key, ticks in late.items() if key[2] != "pad"} == {
        key: ticks for key, ticks in latest.items() if key[2] != "pad"
    }


def test_most_random_programs_were_provable():
    assert COUNTS["accepted"] > 25, COUNTS


def test_ranges_and_the_shot_s_length_are_those_of_the_points():
    body = "delay[<t>] q[0];\ndelay[<u>] q[1];\nx q;\nbarrier q;\ndelay[400ns-<t>] q[0];\nx q[0];\nc[0] = measure q[0];\nif (c[0]) x q[0];"
    _sequence, timeline, grid, _bound = swept(body.replace("<", "").replace(">", ""), SWEEPS[2:4])
    statics = [constant(body, written(grid, point))[1] for point in range(grid.points)]
    assert timeline.shot_ticks == max(static.shot_ticks for static in statics)
    ranges = dict(places(moved(timeline)))
    for key, event in ranges.items():
        ticks = [dict(places(moved(static)))[key].tick for static in statics]
        assert (event.tick, event.tick + event.later_ticks) == (min(ticks), max(ticks)), key
    rows = [(row[0], row[1], row[4]) for row in format_timeline(timeline)]
    assert ("0", "0..400", "wait") in rows
    assert ("0..1200", "30", "play") in rows


def test_instruction_by_instruction():
    sequence, _, _grid, bound = swept("rx(a) q[0]; rz(p) q[0]; delay[t] q[0]; rx(a) q[0];", SWEEPS[:3])
    code = [tuple(int(value) for value in row) for row in sequence.instructions.tolist()]
    assert code == [
        (12, 3, 0, 0, 0), (17, 0, 0, 3, 0), (3, 0, 0, 0, 30),
        (12, 3, 1, 0, 0), (20, 0, 3, 0, 0),
        (12, 3, 2, 0, 0), (18, 3, 0, 0, 0),
        (12, 3, 0, 0, 0), (17, 0, 0, 3, 0), (3, 0, 0, 0, 30),
        (0, 0, 0, 0, 0), (0, 0, 0, 0, 0),
    ]  # fmt: skip
    assert [parameter.unit for parameter in sequence.parameters] == ["amplitude", "phase", "ticks"]
    assert bound.sweep.points == (3, 3, 3)
    amplitude = round(Fraction(1 / (2 * np.pi)) * 65536)  # a radian of the nominal full turn at full scale
    assert bound.sweep.slots.tolist() == [(-amplitude, amplitude, 0, 0), (0, 0, 1, 1), (0, 400, 2, 0)]
    assert bound.sweep.table.tolist() == [0, -(1 << 63), 0]


def test_a_frequency_may_vary(port):
    word = Formula(Name("f", Source()), Fraction(2**64, 10**9), plain=True)
    program = parse_program("input float f; qubit q; x q;", "p.qasm")
    reach = Reach(program, grid_of(["f=linspace(-5e6, 5e6, 3)"], program, {}, "shot", 1))
    ops = (SetFrequency("a.drive", Parameter("frequency", word, "(f)")), Wait(5))
    pulses = Pulses({"a": ops}, {"a.drive": Frame("drive_q0", 0.0)}, {}, {}, (), 7000)
    sequence = compile_pulses(pulses, LAB, LIMITS, reach)
    bound = bind(sequence.parameters, reach)
    found = [log_of(port, sequence, [0], bound.sweep, shot)[0] for shot in range(3)]
    assert [event[2:4] for event in found] == [("frequency", 0)] * 3
    assert [event[4] for event in found] == [units.frequency_word(hertz, 1000) for hertz in (-5e6, 0.0, 5e6)]


REFUSED = [
    ("c[0] = measure q[0]; if (c[0]) delay[t] q[0]; else x q[0];", SWEEPS, "p.qasm:2:22: which side of this branch is longer"),
    ("delay[t] q[0]; rx(a*7) q[0];", SWEEPS, "p.qasm:2:16: at a = -1 (point 0 of 3) the pulse has -1.114 of full scale"),
    ("delay[t] q[0];", ["t=linspace(0, 10ns, 4)"], "p.qasm:2:1: at t = 3.33333333333e-09 (point 1 of 4) this duration is 3.33333333333"),
    ("delay[t] q[0];", ["t=linspace(0.5ns, 1.5ns, 2)"], "(point 0 of 2) this duration is 0.5 ticks; durations are whole ticks"),
    ("delay[200ns - t] q[0];", ["t=linspace(0, 400ns, 3)"], "at t = 4e-07 (point 2 of 3) the duration is -200 ticks"),
    ("delay[t] q[0]; delay[t] q[0];", ["t=linspace(0, 600us, 3)"], "the shot takes 1200000 ticks, 200000 more than its period"),
    ("rz(a + p) q[0];", ["a=linspace(0, 1, 200)", "p=linspace(0, 1, 201)"], "one operand depends on a and p together, at 200 x 201 points"),
    ("rz(1/a) q[0];", SWEEPS, "p.qasm:2:1: division by zero at a = 0 (point 1 of 3)"),
    ("rz(p) q[0];", ["p=linspace(0, 2*pi, 100000)"], "100000 points of p need a table of as many words here; 16384 are possible"),
    ("".join(f"rz({k}*p) q[0];" for k in range(2, 67)), SWEEPS, "p.qasm:2:889: more than 64 different operands vary"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "sweeps", "wanted"), REFUSED)
def test_what_cannot_vary_is_told_with_its_place(body, sweeps, wanted):
    with pytest.raises(ProgramError) as caught:
        swept(body, [one for one in sweeps if re.search(rf"\b{one[0]}\b", body)])
    assert wanted in str(caught.value)


def test_a_box_that_moves_is_padded_by_a_varied_wait(port):
    body = """delay[<u>] q[0];
    box[2us - <t>] { delay[<t>] q[0]; delay[<t>] q[0]; x q[0]; delay[<u>] q[0]; }
    x q[0];"""
    sequence, timeline, grid, bound = swept(
        body.replace("<", "").replace(">", ""), ["t=linspace(0, 200ns, 3)", "u=values(0, 80ns, 1.2us)"]
    )
    (pad,) = [event for event in timeline.events if event.kind == "pad"]
    assert (pad.duration_ticks, pad.longer_ticks) == (2000 - 200 - 400 - 60 - 1200, 1200 + 600)
    for point in range(grid.points):
        reference, _ = constant(body, written(grid, point))
        assert log_of(port, sequence, [0], bound.sweep, point) == log_of(port, reference, [0])
    with pytest.raises(
        ProgramError,
        match=r"p.qasm:3:\d+: wait  on q0 ends up to 40 ticks after the end of the box of line 3, which has 1500 to",
    ):
        swept(
            body.replace("2us", "1.7us").replace("<", "").replace(">", ""),
            ["t=linspace(0, 200ns, 3)", "u=values(0, 80ns, 1.08us)"],
        )


def test_beyond_the_points_that_can_be_seen_slack_is_the_periods_or_not_known():
    def slacks(body, sweeps):
        program = parse_program(HEAD + body, "p.qasm")
        reach = Reach(program, grid_of(sweeps, program, {}, "shot", 1))
        others = {one.name: 0.0 for one in program.inputs if one.name not in reach.varied}
        timeline = survey(lower(program, LAB, None, others, reach.varied), LIMITS, reach)
        return [
            (one.kind, slack.ticks, slack.due)
            for one, slack in zip(timeline.events, event_slacks(timeline), strict=True)
        ]

    wide = [f"t=linspace(0, {POINTS_MAX}ns, {POINTS_MAX + 1})", "u=values(0, 80ns, 20ns)"]
    plain = "delay[t] q[0]; delay[u] q[1]; barrier q; delay[t] q[0]; sx q[0];"
    # q0 goes by its own delay or by q1's to the barrier, then by t and the pulse to the end; q1 is told last.
    own, other = 10**6 - 2 * POINTS_MAX - 30, 10**6 - POINTS_MAX - 80 - 30
    assert [one[1] for one in slacks(plain, wide) if one[0] == "wait"] == [own, own, other]
    assert {one[2] for one in slacks(plain, wide)} == {"the period"}
    boxed = "delay[t] q[0]; box[50ns] { sx q[0]; }"
    assert {one[1:] for one in slacks(boxed, wide[:1])} == {
        (None, f"not known: varied durations come together in more than {POINTS_MAX} ways")
    }
    assert [one[1] for one in slacks(boxed, [f"t=linspace(0, {POINTS_MAX - 1}ns, {POINTS_MAX})"])] == [
        10**6 - POINTS_MAX + 1 - 50
    ] * 2 + [20, 20]


def test_the_largest_lead_over_a_meeting_is_that_of_a_point():
    program = parse_program("input duration t; qubit q; delay[t] q; delay[400ns - t] q;", "p")
    reach = Reach(program, grid_of(["t=linspace(0, 400ns, 5)"], program, {}, "shot", 1))
    waits = [op.ticks for op in lower(program, LAB, None, {}, reach.varied).blocks["q0"]]
    ticks = Ticks(reach)
    meeting = ticks.largest(*(ticks.after(0, wait) for wait in waits))
    assert ticks.ahead(300, meeting)[1] == 300  # over either wait
    assert ticks.most_ahead(300, meeting) == 100  # over both, at t = 200 ns


def test_a_branch_whose_tick_depends_on_a_path_and_a_sweep_is_refused():
    body = """delay[t] q[0]; c[0] = measure q[0];
    if (c[0]) { c[1] = measure q[0]; delay[100ns] q[0]; } else { delay[100ns] q[0]; c[1] = measure q[0]; }
    if (c[1]) x q[0];"""
    slow = msgspec.structs.replace(LIMITS, feedback_latency_ticks=2000)
    with pytest.raises(
        ProgramError,
        match=r"p.qasm:4:5: the tick at which this branch decides depends on a varied duration and on which side",
    ):
        swept(body, ["t=linspace(0, 400ns, 3)"], slow)
    swept(body, ["t=linspace(0, 400ns, 3)"])  # with 300 ticks of latency the outcome is there in time on either side


def test_the_grid_of_a_port_holds_at_every_point():
    coarse = msgspec.structs.replace(LIMITS, granularity_ticks=4)
    qubits = {name: msgspec.structs.replace(qubit, pulse_ns=32.0) for name, qubit in LAB.qubits.items()}
    lab = msgspec.structs.replace(LAB, qubits=qubits)
    swept("delay[t] q[0]; x q[0];", ["t=linspace(0, 40ns, 11)"], coarse, lab)
    swept("delay[t] q[0]; x q[0];", ["t=values(0, 8ns, 20ns)"], coarse, lab)
    for points in ("linspace(0, 40ns, 41)", "linspace(2ns, 42ns, 11)", "values(0, 8ns, 9ns)"):
        with pytest.raises(
            ProgramError,
            match=r"p.qasm:2:16: the play of q0.sx would start off the port's grid of 4 ticks at some points",
        ):
            swept("delay[t] q[0]; x q[0];", [f"t={points}"], coarse, lab)


def test_plays_that_may_meet_are_counted_at_their_largest():
    lab = msgspec.structs.replace(
        LAB,
        qubits={
            name: msgspec.structs.replace(one, readout=msgspec.structs.replace(one.readout, amplitude=0.6))
            for name, one in LAB.qubits.items()
        },
    )
    body = "delay[t] q[0]; c[0] = measure q[0]; c[1] = measure q[1];"
    with pytest.raises(ProgramError, match=r"plays on line 'readout' add up to 1.2 of full scale"):
        swept(body, ["t=linspace(0, 4us, 3)"], lab=lab)
    swept(body, ["t=linspace(1us, 4us, 3)"], lab=lab)


def test_a_meeting_that_depends_on_too_much_is_refused():
    rounds = [f"delay[{k}*t] q[0]; delay[{k}*u] q[1]; barrier q;\n" for k in range(1, 12)]
    sweeps = ["t=linspace(0, 40ns, 3)", "u=linspace(0, 40ns, 3)"]
    sequence, *_ = swept("".join(rounds[:10]), sweeps)
    assert len(sequence.parameters) == 20
    with pytest.raises(
        ProgramError, match=r"p.qasm:12:\d+: the tick at which q0, q1 meet depends on varied durations in 67 ways; 64"
    ):
        swept("".join(rounds), sweeps)


def test_a_frequency_beyond_half_a_turn_per_tick_is_refused():
    program = parse_program("input float f; qubit q; x q;", "p.qasm")
    reach = Reach(program, grid_of(["f=linspace(0, 600e6, 3)"], program, {}, "shot", 1))
    word = Formula(Name("f", Source()), Fraction(2**64, 10**9), plain=True)
    ops = (SetFrequency("a.drive", Parameter("frequency", word, "(f)", Source(3, 1, "", "p.qasm"))),)
    with pytest.raises(
        ProgramError, match=r"p.qasm:3:1: at f = 600000000 \(point 2 of 3\) the frequency is out of range"
    ):
        compile_pulses(Pulses({"a": ops}, {"a.drive": Frame("drive_q0", 0.0)}, {}, {}, (), 7000), LAB, LIMITS, reach)


def test_literals_have_no_place_in_a_formula():
    pulses = lower(parse_program("input float a; qubit q; rx(a) q; ry(a) q;", "p"), LAB, None, {}, ["a"])
    first, second = (op.amplitude for op in pulses.blocks["q0"] if isinstance(op, Play))
    assert first.word == second.word
    assert first.source != second.source
    assert isinstance(first.word.expression, Name | Literal)
    assert list(first.word.names) == ["a"]
