"""The armed sequence: the header's numbers, the segments' counts, and ticks that a second reading of the instructions finds, too.

`Interpreter` executes instructions as qrt_core.h describes them, knows nothing of pulses or schedules, and is given outcomes. What it
plays and captures must be what the schedule says for those outcomes.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt import config, kernel, units
from qrt.compile import compile_pulses
from qrt.compile import instructions as compiler
from qrt.drivers.lab import OpenLab
from qrt.errors import ProgramError
from qrt.firmware_sim.twin import open_twin
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.timeline import Timeline, schedule
from qrt.types import (
    Bits,
    Capture,
    Frame,
    If,
    Play,
    PortLimits,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Source,
    Wait,
    Weights,
    WriteBit,
)
from qrt.types import Sequence as Armed

LAB = config.load(Path(__file__).with_name("lab.toml"))
LIMITS = PortLimits(
    feedback_latency_ticks=300,
    granularity_ticks=1,
    sample_ticks=1,
    capture_samples_max=8192,
    segment_count_max=64,
    segment_samples_max=65536,
    outstanding_max=16,
)
LONG = msgspec.structs.replace(LAB, timing=msgspec.structs.replace(LAB.timing, shot_period_ns=1e6))


def compiled(body: str, lab: Any = LAB, limits: PortLimits = LIMITS) -> tuple[Armed, Timeline]:
    pulses = lower(parse_program(f"qubit[2] q; bit[2] c;\n{body}", "p.qasm"), lab, None, {})
    return compile_pulses(pulses, lab, limits), schedule(pulses, limits)


def named(sequence: Armed) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in row) for row in sequence.instructions.tolist()]


# ---- A second reading of the instructions --------------------------------------------------------------------------------------

(END, PLAY, CAPTURE, WAIT, WAIT_UNTIL, SYNC, SET_FREQUENCY, SHIFT_PHASE, READ, WRITE, ALU, BRANCH) = range(12)


class Interpreter:
    """Executes one shot. `events` are (sequencer, tick, "play" or "capture", source line)."""

    def __init__(self, sequence: Armed, limits: PortLimits, outcome: Callable[[int], int]) -> None:
        self.sequence, self.limits, self.outcome = sequence, limits, outcome
        self.code = named(sequence)
        self.cursor = [0] * len(sequence.entries)
        self.pc = [int(entry) for entry in sequence.entries]
        self.registers = [[0] * 64 for _ in sequence.entries]
        self.ready, self.bits = [0] * 64, [0] * 64
        self.waiting: dict[int, int] = {}  # sequencer -> mask
        self.ended: set[int] = set()
        self.events: set[tuple[str, int, str, int]] = set()
        self.executed = 0
        self.phases = [int(row["phase"]) for row in sequence.frames]

    def run(self) -> None:
        count = len(self.cursor)
        while len(self.ended) < count:
            going = [s for s in range(count) if s not in self.ended and s not in self.waiting]
            assert going, "deadlock"
            self.step(min(going, key=lambda s: (self.cursor[s], s)))
        assert self.executed <= self.sequence.budget

    def step(self, s: int) -> None:
        at = self.pc[s]
        op, a, b, c, d = self.code[at]
        if op in {READ, WRITE} and self.ready[b] > self.cursor[s]:
            self.cursor[s] = self.ready[b]
            return
        self.executed += 1
        self.pc[s] += 1
        tick, line = self.cursor[s], self.sequence.source_lines[at]
        name = self.sequence.sequencers[s]
        registers = self.registers[s]
        if op == END:
            self.ended.add(s)
        elif op == PLAY:
            assert b < len(self.sequence.segments[self.sequence.lines[int(self.sequence.frames[a]["line"])]])
            self.events.add((name, tick, "play", line))
        elif op == CAPTURE:
            spec = self.sequence.captures[b]
            self.events.add((name, tick, "capture", line))
            if spec["bit"] != 255:
                self.bits[spec["bit"]] = self.outcome(b)
                end = tick + int(spec["sample_count"]) * self.limits.sample_ticks + self.limits.feedback_latency_ticks
                self.ready[spec["bit"]] = -(-end // self.limits.granularity_ticks) * self.limits.granularity_ticks
        elif op == WAIT:
            self.cursor[s] += d
        elif op == WAIT_UNTIL:
            assert d >= tick, f"underflow at instruction {at}"
            self.cursor[s] = d
        elif op == SYNC:
            self.sync(s, d)
        elif op == SHIFT_PHASE:
            self.phases[a] = (self.phases[a] + d) % 2**64
        elif op == READ:
            registers[a] = self.bits[b]
        elif op == WRITE:
            self.bits[b], self.ready[b] = registers[a] & 1, tick
        elif op == ALU:
            registers[a] = {0: d, 2: registers[a] + registers[c] + d, 3: registers[a] - registers[c] - d}[b]
        elif op == BRANCH and {0: True, 1: registers[a] == d, 2: registers[a] != d}[b]:
            self.pc[s] = c

    def sync(self, s: int, mask: int) -> None:
        self.waiting[s] = mask
        members = [m for m in range(len(self.cursor)) if mask >> m & 1]
        if all(self.waiting.get(m) == mask for m in members):
            tick = max(self.cursor[m] for m in members)
            for m in members:
                self.cursor[m] = tick
                del self.waiting[m]


def executed(sequence: Armed, limits: PortLimits, outcomes: Sequence[int]) -> Interpreter:
    interpreter = Interpreter(sequence, limits, lambda capture: outcomes[capture % len(outcomes)])
    interpreter.run()
    return interpreter


def scheduled(timeline: Timeline, *, always: bool) -> set[tuple[str, int, str, int]]:
    return {
        (e.sequencer, e.tick, e.kind, e.source.line)
        for e in timeline.events
        if e.kind in {"play", "capture"} and not (always and e.condition)
    }


# ---- Random programs -----------------------------------------------------------------------------------------------------------

QUBITS = st.sampled_from(["q[0]", "q[1]"])
BITS = st.sampled_from(["c[0]", "c[1]"])
SIMPLE = st.one_of(
    st.tuples(st.sampled_from(["x", "sx", "h", "id", "rz(pi/3)", "reset"]), QUBITS).map(lambda p: f"{p[0]} {p[1]};"),
    st.tuples(BITS, QUBITS).map(lambda p: f"{p[0]} = measure {p[1]};"),
    st.tuples(st.integers(0, 400), st.sampled_from(["q[0]", "q[1]", "q"])).map(
        lambda p: f"delay[{4 * p[0]}ns] {p[1]};"
    ),
    st.sampled_from(["barrier q;", "c = measure q;", "reset q;"]),
)
CONDITIONS = st.sampled_from(["c[0]", "!c[1]", "c == 2", "c != 0", "c[1] == 0"])


def branches(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    block = st.lists(inner, min_size=1, max_size=3).map("\n".join)
    return st.tuples(CONDITIONS, block, st.one_of(st.just(""), block)).map(
        lambda p: f"if ({p[0]}) {{\n{p[1]}\n}}" + (f" else {{\n{p[2]}\n}}" if p[2] else "")
    )


PROGRAMS = st.lists(st.recursive(SIMPLE, branches, max_leaves=8), min_size=1, max_size=8).map("\n".join)
PORTS = st.tuples(st.sampled_from([0, 150, 300, 700, 2501]), st.sampled_from([1, 2, 4]))


@given(PROGRAMS, PORTS, st.lists(st.integers(0, 1), min_size=7, max_size=7))
def test_compiled_programs_do_what_the_schedule_says(body: str, port: tuple[int, int], outcomes: list[int]) -> None:
    limits = msgspec.structs.replace(
        LIMITS, feedback_latency_ticks=port[0], granularity_ticks=port[1], outstanding_max=64
    )
    lab = LONG
    if port[1] == 4:  # pulses of 30 ticks end off a grid of 4
        qubits = {name: msgspec.structs.replace(qubit, pulse_ns=32.0) for name, qubit in LAB.qubits.items()}
        lab = msgspec.structs.replace(LONG, qubits=qubits)
    try:
        sequence, timeline = compiled(body, lab, limits)
    except ProgramError as error:
        assert "captures in one shot" in str(error)  # noqa: PT017 - a random program may have more than 64
        return
    found = executed(sequence, limits, outcomes)
    assert scheduled(timeline, always=True) <= found.events <= scheduled(timeline, always=False)
    assert max(found.cursor) <= timeline.shot_ticks
    # What is always executed has one tick: with all outcomes turned, the unconditional events are the same.
    other = executed(sequence, limits, [1 - one for one in outcomes])
    assert other.cursor == found.cursor


def test_every_combination_of_outcomes_and_their_union_is_the_schedule() -> None:
    body = "c = measure q;\nif (c == 2) {\nx q[0];\nbarrier q;\nx q[1];\n} else {\nreset q[0];\n}\n"
    body += "if (c[0]) sx q[1];\nc[0] = measure q[1];\nif (!c[0]) x q[0];"
    sequence, timeline = compiled(body, LONG)
    assert len(sequence.captures) == 4
    union: set[tuple[str, int, str, int]] = set()
    for outcomes in itertools.product([0, 1], repeat=4):
        union |= executed(sequence, LIMITS, outcomes).events
    assert union == scheduled(timeline, always=False)


def test_branches_follow_the_value_of_the_register() -> None:
    for value, outcomes in itertools.product(range(4), itertools.product([0, 1], repeat=2)):
        sequence, _ = compiled(f"c = measure q;\nif (c == {value})\nx q[0];\nelse\nsx q[0];")
        slot = {capture.qubit: outcomes[index] for index, capture in enumerate(sequence.slots)}
        lines = {line for *_, kind, line in executed(sequence, LIMITS, outcomes).events if kind == "play"}
        assert (4 if slot["q0"] + 2 * slot["q1"] == value else 6) in lines
        assert len(lines & {4, 6}) == 1


# ---- The kernel itself, on the twin ---------------------------------------------------------------------------------------------

PLAYED = [
    "h q[0];\nc[0] = measure q[0];\nif (c[0]) x q[0];\nc[1] = measure q[0];",
    "h q[0];\nc[0] = measure q[0];\nif (c[0]) {\nc[1] = measure q[0];\nif (!c[1]) x q[0];\n}\nsx q[0];\nreset q;\nmeasure q;",
    """h q;
    c = measure q;
    if (c == 2) { x q[0]; barrier q; x q[1]; } else { reset q[0]; }
    if (c[0]) sx q[1];
    c[0] = measure q[1];
    if (!c[0]) x q[0];""",
    'bit[2] d = "10";\nif (d == 2) h q[0];\nid q[1];\nd[0] = measure q[0];\nif (d != 2) x q[1];\ndelay[123ns] q;\nd = measure q;',
]


def test_the_kernel_plays_what_the_schedule_says() -> None:
    lab = config.checked(LONG, "lab")
    with closing(open_twin(lab)) as twin, OpenLab(lab, twin) as opened:
        opened.configure()
        for body, seed in itertools.product(PLAYED, range(3)):
            sequence, timeline = compiled(body, lab, twin.limits)
            opened.upload(sequence.segments)
            opened.outputs(on=True)
            events = logged(sequence, twin.arm(seed, 0.1).address)
            outcomes = {int(event["b"]): int(event["c"]) for event in events if event["op"] == 128}
            kinds = {PLAY: "play", CAPTURE: "capture"}
            found = {
                (sequence.sequencers[int(event["sequencer"])], int(event["tick"]), kinds[int(event["op"])])
                for event in events
                if event["op"] in kinds
            }
            interpreter = Interpreter(sequence, twin.limits, outcomes.__getitem__)
            interpreter.run()
            assert found == {event[:3] for event in interpreter.events}
            assert found <= {event[:3] for event in scheduled(timeline, always=False)}
            assert found >= {event[:3] for event in scheduled(timeline, always=True)}


def logged(sequence: Armed, port: int) -> Any:
    """Run three shots on a port and return the kernel's own log of the last."""
    with ExitStack() as stack:
        rows = stack.enter_context(kernel.Ring.create(kernel.row_dtype(len(sequence.slots)).itemsize, 4, 1))
        loop = stack.enter_context(kernel.Kernel(kernel.Config(sequence, port, kernel.Rings(rows), shot_count=3)))
        loop.log_shot(2)
        loop.start()
        report = loop.join()
        assert report.status == kernel.Status.OK, report
        return loop.events.copy()


# ---- By hand -------------------------------------------------------------------------------------------------------------------


def test_active_reset_instruction_by_instruction() -> None:
    sequence, _ = compiled("h q[0];\nc[0] = measure q[0];\nif (c[0]) x q[0];\nc[1] = measure q[0];")
    quarter, sx, tone = -(1 << 62), 16384, 16384
    assert named(sequence) == [
        (SHIFT_PHASE, 0, 0, 0, quarter),
        (PLAY, 0, 0, sx, 0),
        (WAIT, 0, 0, 0, 30),
        (SHIFT_PHASE, 0, 0, 0, quarter),
        (CAPTURE, 0, 0, 0, 0),
        (PLAY, 1, 0, tone, 1),
        (WAIT, 0, 0, 0, 1500),
        (READ, 0, 0, 0, 0),
        (WAIT_UNTIL, 0, 0, 0, 1530),
        (BRANCH, 0, 2, 12, 0),
        (WAIT_UNTIL, 0, 0, 0, 1590),
        (BRANCH, 0, 0, 17, 0),
        (PLAY, 0, 0, sx, 0),
        (WAIT, 0, 0, 0, 30),
        (PLAY, 0, 0, sx, 0),
        (WAIT, 0, 0, 0, 30),
        (WAIT_UNTIL, 0, 0, 0, 1590),
        (CAPTURE, 0, 1, 0, 0),
        (PLAY, 1, 0, tone, 1),
        (WAIT, 0, 0, 0, 1500),
        (END, 0, 0, 0, 0),
        (END, 0, 0, 0, 0),
    ]
    assert sequence.entries.tolist() == [0, 21]
    assert sequence.source_lines == (2, 2, 2, 2, 3, 3, 3, *[4] * 10, 5, 5, 5, 0, 0)
    assert sequence.budget == 22
    assert sequence.period_ticks == 7000
    slots = [(slot.qubit, slot.bit, slot.tone_index, slot.line) for slot in sequence.slots]
    assert slots == [("q0", 0, 0, 3), ("q0", 1, 1, 5)]


def test_frames_captures_and_weights() -> None:
    sequence, _ = compiled("measure q; c[1] = measure q[1];")
    assert [(int(f["frequency"]), int(f["phase"]), sequence.lines[int(f["line"])]) for f in sequence.frames] == [
        (units.frequency_word(100e6, 1000), 0, "drive_q0"),
        (units.frequency_word(100e6, 1000), 0, "readout"),
        (units.frequency_word(100e6, 1000), 0, "drive_q1"),
        (units.frequency_word(180e6, 1000), 0, "readout"),
    ]
    specs = [
        (int(s["sample_count"]), int(s["weights_offset"]), int(s["bit"]), int(s["channel"]), int(s["raw"]))
        for s in sequence.captures
    ]
    assert specs == [(1000, 0, 255, 0, 0), (1000, 2000, 255, 0, 0), (1000, 2000, 1, 0, 0)]
    assert sequence.weights.shape == (4000,)
    assert sequence.weights.dtype == np.int16
    time = np.arange(1000)
    assert (
        np.abs(sequence.weights[1000:2000] + 4095 * np.sin(2 * np.pi * 0.1 * time)).max() <= 0.5
    )  # w_q of q0 follows w_i


def test_segments_are_counted_once_a_line_and_rounded() -> None:
    sequence, _ = compiled("h q; x q[0]; measure q; measure q[0];")
    assert {line: [len(one.i) for one in segments] for line, segments in sequence.segments.items()} == {
        "drive_q0": [30], "drive_q1": [30], "readout": [1000],
    }  # fmt: skip
    segment = sequence.segments["drive_q0"][0]
    assert segment.i.dtype == np.int16
    assert segment.i.tolist() == [round(32767 * (1 - np.cos(2 * np.pi * (k + 0.5) / 30)) / 2) for k in range(30)]
    assert not segment.q.any()
    assert sequence.segments["readout"][0].i.max() == 32767


def hand(*ops: Any, limits: PortLimits = LIMITS, envelope: Any = None, period: int = 7000) -> Armed:
    envelopes = {"e": np.ones(10, np.complex128) if envelope is None else envelope, "f": np.full(20, -1j)}
    frames = {"a.drive": Frame("drive_q0", -1e6, 1.0)}
    weights = {"w": Weights(np.ones((2, 100), np.int16), 5, "q0")}
    return compile_pulses(Pulses({"a": ops}, frames, envelopes, weights, ("k",), period), LAB, limits)


def test_signs_and_words() -> None:
    sequence = hand(
        Play("a.drive", "e", -0.5),
        Play("a.drive", "f", 1.0),
        SetFrequency("a.drive", -2e6),
        ShiftPhase("a.drive", -1.0),
        Capture("w", None, raw=True),
        Wait(0),
    )
    frame = sequence.frames[0]
    assert units.frequency_hz(int(frame["frequency"]), 1000) == pytest.approx(-1e6)
    assert int(frame["phase"]) == units.phase_word(1.0)
    assert [row[3] for row in named(sequence) if row[0] == PLAY] == [-32768, 65536]
    assert sequence.segments["drive_q0"][1].q.tolist() == [-32767] * 20
    assert [row[4] for row in named(sequence) if row[0] in {SET_FREQUENCY, SHIFT_PHASE}] == [
        units.frequency_word(-2e6, 1000),
        units.phase_word(-1.0),
    ]
    assert [row[0] for row in named(sequence)] == [PLAY, WAIT, PLAY, WAIT, SET_FREQUENCY, SHIFT_PHASE, CAPTURE, END]
    assert (int(sequence.captures[0]["threshold"]), int(sequence.captures[0]["raw"])) == (5, 1)


def test_waits_are_one_unless_a_jump_leads_in_between() -> None:
    assert [row[4] for row in named(hand(Wait(3), Wait(4), Wait(0))) if row[0] == WAIT] == [7]
    branch = If(Bits((0,)), (Wait(30),), (Wait(30),), pad=False)
    for bit in (0, 1):
        sequence = hand(WriteBit(0, bit), Wait(2), branch, Wait(1))
        assert executed(sequence, LIMITS, [0]).cursor == [33]


def test_thirds_of_a_turn_add_up() -> None:
    sequence, _ = compiled("rz(tau/3) q[0]; rz(tau/3) q[0]; rz(tau/3) q[0];")
    assert executed(sequence, LIMITS, [0]).phases[0] in {2**64 - 1, 0, 1}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {"segment_count_max": 1},
            r"p:3:1: line 'drive_q0' needs 2 segments of 30 samples in all; the port has room for 1 segments",
        ),
        (
            {"segment_samples_max": 29},
            r"needs 2 segments of 30 samples in all; the port has room for 64 segments and 29 samples",
        ),
        ({"capture_samples_max": 50}, r"a capture of 100 samples for q0; the port takes 1 to 50"),
    ],
)
def test_what_a_port_cannot_take_is_refused(changes: dict[str, int], wanted: str) -> None:
    source = Source(3, 1, "", "p")
    ops = (Play("a.drive", "e", 1.0), Play("a.drive", "f", 1.0, source=source), Capture("w"))
    with pytest.raises(ProgramError, match=wanted):
        hand(*ops, limits=msgspec.structs.replace(LIMITS, **changes))


def test_what_the_kernel_cannot_take_is_refused() -> None:
    with pytest.raises(ProgramError, match=r"p.qasm:2:\d+: more than 64 captures in one shot"):
        compiled("measure q[0]; " * 65, LONG)
    with pytest.raises(ProgramError, match=r"^p:1:1: 66 bits; the kernel has 64: use fewer"):
        compile_pulses(lower(parse_program("qubit q; bit[60] a; bit[6] b; x q;", "p"), LAB, None, {}), LAB, LIMITS)
    with pytest.raises(ProgramError, match=r"p:1:1: frame a.drive: frequency 600000000.0 Hz is outside"):
        hand(SetFrequency("a.drive", 6e8, Source(1, 1, "", "p")))


def test_numbers_are_those_of_the_header(project: Path) -> None:
    header = (project / "ffi" / "qrt_core.h").read_text(encoding="utf-8")
    enumerated = dict(re.findall(r"\bQRT_(\w+) = (\d+)", header)) | dict(re.findall(r"#define QRT_(\w+) (\d+)", header))
    names = {
        name: f"OP_{name}"
        for name in (
            [
                "END",
                "PLAY",
                "CAPTURE",
                "WAIT",
                "WAIT_UNTIL",
                "SYNC",
                "SET_FREQUENCY",
                "SHIFT_PHASE",
                "READ",
                "WRITE",
                "BRANCH",
                "LOAD",
                "PLAY_REGISTER",
                "WAIT_REGISTER",
                "SET_FREQUENCY_REGISTER",
                "SHIFT_PHASE_REGISTER",
            ]
        )
    }
    names |= {"ALU": "OP_ALU"} | {
        name: name for name in ("ALU_SET", "ALU_ADD", "ALU_SUB", "IF_ALWAYS", "IF_ZERO", "IF_NONZERO")
    }
    names |= {
        name: name for name in ("SEQUENCERS_MAX", "FRAMES_MAX", "BITS_MAX", "CAPTURES_MAX", "SLOTS_MAX", "BIT_NONE")
    }
    assert {name: getattr(compiler, name) for name in names} == {
        name: int(enumerated[theirs]) for name, theirs in names.items()
    }
