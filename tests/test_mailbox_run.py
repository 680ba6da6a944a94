"""Runs on a lab without a fast path: the same rows as on the direct port, and every way in which it can end."""

import threading
import tomllib
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from qrt.client import open_run
from qrt.commands.check import Asked
from qrt.config import checked
from qrt.drivers.awg2 import Awg2
from qrt.drivers.lab import driver_kinds
from qrt.errors import BugError, ConfigError, InstrumentError, ProgramError, RunError
from qrt.loop import Loop, limits_of
from qrt.pump import Rack
from qrt.qasm import parse_program
from qrt.replay import replay
from qrt.run import run
from qrt.store import bound_hash
from qrt.types import Capture, Frame, Lab, Mailbox, Play, Pulses, Stream, Sync, Wait, Weights
from tests.conftest import FEEDBACK

LATENCY_NS = 2e6
PERIOD_NS = 10e6  # of programs that branch
TWO = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
x q[0];
h q[1];
c[1] = measure q[1];
c[0] = measure q[0];
"""


QUIET = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit c;
bit d;
x q[0];
h q[1];
d = measure q[1];
c = measure q[0];
c = measure q[0];
d = measure q[1];
"""  # each bit is measured twice, so that there is no estimate and no batch process


@pytest.fixture
def play(demo_lab, demo_calibration, tmp_path):
    """Play on the demo lab with the mailbox's latency, directly (None) or through a mailbox."""

    def run_on(
        program, mailbox, shots=20, period_ns=None, stop=None, timeout_s=2.0, sweep=None, policy="erase", **faults
    ):
        parameters = msgspec.to_builtins(demo_lab.twin.parameters) | {"faults": faults}
        parameters["port"]["feedback_latency_ns"] = LATENCY_NS
        twin = msgspec.structs.replace(demo_lab.twin, parameters=parameters)
        slow = {name: msgspec.structs.replace(one, timeout_s=timeout_s) for name, one in demo_lab.instruments.items()}
        timing = msgspec.structs.replace(demo_lab.timing, late_port_policy=policy)
        lab = msgspec.structs.replace(demo_lab, twin=twin, mailbox=mailbox, instruments=slow, timing=timing)
        calibration = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab))
        given = {
            "calibration": calibration,
            "runs": tmp_path,
            "seed": 3,
            "publish": False,
            "period_ns": period_ns,
            "sweep": sweep,
        }
        if stop is not None:
            given["stop"] = stop
        return run(program, lab=lab, shots=shots, **given)

    return run_on


def box(**changes):
    return Mailbox(**{"feedback_latency_ns": LATENCY_NS, **changes})


# ---- The same rows ---------------------------------------------------------------------------------------------------


def test_without_a_branch_a_run_is_bit_for_bit_that_of_the_direct_port(play):
    direct = play(QUIET, None)
    for per_arm in (1, 8, 64):
        slow = play(QUIET, box(shots_per_arm=per_arm))
        assert slow.summary.digest == direct.summary.digest
        counters = slow.record.stop["counters"]
        assert counters["mailbox.arm_count"] == -(-20 // per_arm)
        assert counters["mailbox.answer_count"] == 80
        assert (counters["mailbox.shots_unused"], counters["mailbox.late_count"]) == (0, 0)
    assert len(np.unique(direct.iq["c"])) > 20


def test_what_the_plant_knows_and_what_is_estimated_are_those_of_the_direct_port(play):
    direct, slow = play(TWO, None), play(TWO, box(shots_per_arm=8))
    assert slow.summary.digest == direct.summary.digest
    assert slow.estimates == direct.estimates
    assert all(one.truth is not None for name, one in slow.estimates.items() if "*" not in name)


def test_active_reset_with_a_long_period_is_bit_for_bit_that_of_the_direct_port_and_its_replay(play):
    direct = play(FEEDBACK, None, period_ns=PERIOD_NS)
    slow = play(FEEDBACK, box(), period_ns=PERIOD_NS)
    assert slow.summary.digest == direct.summary.digest
    assert len(set(slow.outcomes["c"])) == 2  # both branches were taken
    assert slow.record.stop["counters"]["mailbox.arm_count"] == 2 * 20
    assert slow.record.stop["counters"]["mailbox.plays_unplayed"] == 0
    assert replay(slow.folder).same


def rows_of(project, sample_ticks, mailbox, pulses):
    raw = tomllib.loads((project / "tests" / "lab.toml").read_text())
    raw["timing"]["sample_ticks"] = sample_ticks
    for qubit in raw["qubits"].values():
        qubit["pulse_ns"] = 40.0
    if mailbox:
        raw["mailbox"] = mailbox
    with Loop(msgspec.convert(raw, Lab), 5) as loop:
        first = loop.measure(pulses, 7)
        again = loop.measure(pulses, 3)  # another arm, the plant's state goes on
    return first, again


@pytest.mark.parametrize("sample_ticks", [1, 2])
@pytest.mark.parametrize("per_arm", [1, 3])
def test_arms_windows_and_captures_that_overlap_are_those_of_the_direct_port(project, sample_ticks, per_arm):
    weights = {
        name: Weights(np.full((2, size), 100, np.int16), 0, "q0") for name, size in (("long", 300), ("short", 90))
    }
    envelopes = {"tone": np.full(1000 // sample_ticks, 0.5 + 0.2j), "pulse": np.full(24, 0.8 + 0j)}
    frames = {
        "q0.drive": Frame("drive_q0", 101.5e6, 0.3),
        "q0.readout": Frame("readout", 100e6, 1.0),
        "q1.drive": Frame("drive_q1", -70e6),
    }
    step = 2
    blocks = {
        "q0": (
            Play("q0.drive", "pulse", 0.7),
            Sync(("q0", "q1")),
            Capture("long", 0, raw=True),
            Play("q0.readout", "tone", 0.6, restart=True),
            Wait(60 * step),
            Capture("short", 1),
        ),
        "q1": (
            Wait(10 * step),
            Play("q1.drive", "pulse", -0.4),
            Sync(("q0", "q1")),
            Capture("short", raw=True),
            Wait(2000 * step),
        ),
    }
    pulses = Pulses(blocks, frames, envelopes, weights, ("a", "b"), period_ticks=20000)
    direct = rows_of(project, sample_ticks, None, pulses)
    slow = rows_of(project, sample_ticks, {"shots_per_arm": per_arm, "feedback_latency_ns": 300.0}, pulses)
    for one, other in zip(direct, slow, strict=True):
        assert np.array_equal(one.rows, other.rows)
        assert one.raw.keys() == other.raw.keys()
        assert all(np.array_equal(one.raw[key], other.raw[key]) for key in one.raw)
    assert len(direct[0].raw) == 2


# ---- What is refused before anything is armed ------------------------------------------------------------------------


def test_a_branch_that_the_mailbox_is_too_slow_for_is_refused_with_what_to_do(play):
    with pytest.raises(ProgramError) as caught:
        play(FEEDBACK, box())
    text = str(caught.value)
    for words in (
        "<program>:", "timing.shot_period_ns", "through its mailbox, which needs 2e+06 ns", "raise timing.shot_period_ns",
        "take the branch out of the shot", "leave [mailbox] out",
    ):  # fmt: skip
        assert words in text


def test_many_shots_an_arm_are_refused_where_a_branch_follows_an_outcome(play):
    with pytest.raises(
        ProgramError,
        match=r"line \d+: a branch follows an outcome, and mailbox.shots_per_arm = 8 .*set mailbox.shots_per_arm = 1",
    ):
        play(FEEDBACK, box(shots_per_arm=8), period_ns=PERIOD_NS)


def test_a_program_that_measures_nothing_is_refused(play):
    with pytest.raises(ProgramError, match="cannot play a program without a measurement"):
        play('OPENQASM 3;\ninclude "stdgates.inc";\nqubit q;\nx q;\n', box())


def test_a_play_while_the_mailbox_waits_for_samples_is_refused(play):
    program = (
        FEEDBACK.replace("qubit q;", "qubit[2] q;").replace("q;", "q[0];").replace("qubit[2] q[0];", "qubit[2] q;")
    )
    program += "delay[2us] q[1];\nx q[1];\n"
    with pytest.raises(
        ProgramError,
        match=r"play .* on q1 starts at tick 2000, while the lab's mailbox port waits for the capture that ends at",
    ):
        play(program, box(), period_ns=PERIOD_NS)


def test_a_play_that_a_sweep_moves_there_is_refused(play):
    program = (
        FEEDBACK.replace("qubit q;", "qubit[2] q;")
        .replace("q;", "q[0];")
        .replace("qubit[2] q[0];", "input duration t;\nqubit[2] q;")
    )
    program += "delay[t] q[1];\nx q[1];\n"
    with pytest.raises(ProgramError, match=r"play .* on q1 starts at tick 0..2000, while the lab's mailbox port waits"):
        play(program, box(), period_ns=PERIOD_NS, sweep={"t": "linspace(0, 2us, 2)"})


def test_more_shots_than_the_digitizers_memory_holds_are_refused(play):
    with pytest.raises(
        ProgramError,
        match=r"a shot records 4000 samples and the digitizer's memory holds 1048576; at most 262 shots fit",
    ):
        play(QUIET, box(shots_per_arm=2000))


@pytest.mark.parametrize(
    ("mailbox", "timing", "said"),
    [
        ({"shots_per_arm": 0}, {}, r"mailbox\.shots_per_arm: 0 is out of range; a whole number, at least 1"),
        ({"deadline_s": 0.0}, {}, r"mailbox\.deadline_s: 0 is out of range; a number in s, above 0"),
        ({"feedback_latency_ns": 0.5}, {}, r"mailbox\.feedback_latency_ns: 0\.5 is not a whole multiple of 1 ns .*nearest: 0 and 1"),
        ({"shots_per_arm": 2}, {"pacing": "real"}, r"mailbox\.shots_per_arm: 2 shots of an arm .*with timing\.pacing = \"real\": 1"),
        ({}, {"pacing": "external"}, r"timing\.pacing: 'external' needs a trigger of the hardware's own .* triggered by the PC"),
        ({"shots": 2}, {}, r"mailbox\.shots: unknown key; did you mean shots_per_arm"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_hold(project, mailbox, timing, said):
    raw = tomllib.loads((project / "tests" / "lab.toml").read_text())
    raw["mailbox"] = mailbox
    raw["timing"] |= timing
    with pytest.raises(ConfigError, match=said):
        checked(raw, "lab")


def test_a_driver_without_a_table_is_refused(demo_lab, monkeypatch):
    lab = msgspec.structs.replace(demo_lab, mailbox=Mailbox())

    class Plain(Awg2):
        """A generator's driver without a table."""

    kinds = driver_kinds(lab)
    installed = {
        lab.instruments[name].driver: SimpleNamespace(load=lambda kind=kind: kind) for name, kind in kinds.items()
    }
    Plain.table = None
    installed["qrt_awg2"] = SimpleNamespace(load=lambda: Plain)
    monkeypatch.setattr("qrt.drivers.lab.offered", lambda _: installed)
    with pytest.raises(
        ConfigError, match=r"lines\.drive_q0\.awg: 'awg_q0' has the driver 'qrt_awg2', which is no TableGenerator"
    ):
        driver_kinds(lab)
    driver_kinds(demo_lab)


def test_a_rack_without_twin_has_limits_and_fails_at_its_address(demo_lab):
    alone = msgspec.structs.replace(demo_lab, twin=None)
    with pytest.raises(ConfigError, match=r"has no \[twin\] and no \[mailbox\]"):
        limits_of(alone)
    rack = msgspec.structs.replace(alone, mailbox=Mailbox(feedback_latency_ns=3e6))
    limits = limits_of(rack)
    assert (limits.feedback_latency_ticks, limits.granularity_ticks, limits.capture_samples_max) == (
        3_000_000,
        1,
        65536,
    )
    assert (limits.segment_count_max, limits.segment_samples_max, limits.outstanding_max) == (256, 65536, 16)
    with (
        pytest.raises(InstrumentError, match=r"awg_q0 at TCPIP0::awg-q0::INSTR: open: .*check that it is switched on"),
        Loop(rack, 1),
    ):
        pass


def checked_on(mailbox, program, tmp_path, demo_lab):
    """Return what `qrt check` tells of a program on the demo lab with a mailbox."""
    timing = msgspec.structs.replace(demo_lab.timing, shot_period_ns=PERIOD_NS)
    lab = checked(msgspec.structs.replace(demo_lab, mailbox=mailbox, timing=timing), "lab")
    path = tmp_path / "program.qasm"
    path.write_text(program)
    asked = Asked(parse_program(program, str(path)), {}, ())
    return asked.on_mailbox(lab, asked.timeline(lab))


def test_a_check_tells_how_a_mailbox_plays_and_why(tmp_path, demo_lab):
    alike = checked_on(box(shots_per_arm=8), QUIET, tmp_path, demo_lab)
    assert (alike.difference, len(alike.requests)) == (
        "",
        2 * (1 + 3 + 3 * 4) + 1,
    )  # begin, drive pulses, tones, captures, fetches; safe
    assert "all shots are alike" in alike.words
    assert "8 of at most 262 shots are played an arm (4000 samples a shot, memory for 1048576)" in alike.words
    differing = checked_on(box(), FEEDBACK, tmp_path, demo_lab)
    assert differing.requests is None
    assert differing.words.startswith("shots may differ (line 7: a branch follows an outcome)")


@pytest.mark.parametrize(
    ("mailbox", "program", "said"),
    [
        ({"shots_per_arm": 263}, QUIET, "at most 262 shots fit"),
        ({"shots_per_arm": 2}, FEEDBACK, "line 7: a branch follows an outcome, and mailbox.shots_per_arm = 2"),
        ({}, 'OPENQASM 3;\ninclude "stdgates.inc";\nqubit q;\nx q;\n', "without a measurement"),
    ],
)
def test_a_check_refuses_what_a_run_on_the_mailbox_would(tmp_path, demo_lab, mailbox, program, said):
    with pytest.raises(ProgramError, match=said):
        checked_on(box(**mailbox), program, tmp_path, demo_lab)


# ---- How a run ends --------------------------------------------------------------------------------------------------


def test_an_instrument_that_falls_silent_ends_the_run_with_its_rows_and_outputs_off(play):
    with pytest.raises(RunError) as caught:
        play(QUIET, box(), timeout_s=0.3, dig={"silent_after": 50})
    text = str(caught.value)
    assert "the kernel stopped in shot" in text
    assert "dig at TCPIP0::dig::INSTR: `" in text
    assert "shots 0 to" in text or "no shot is" in text


@pytest.mark.parametrize("fault", [{"late_s": 0.5, "late_after": 40}, {"half_block": True}])
def test_a_reply_that_is_late_or_half_never_becomes_a_row(play, fault):
    with pytest.raises((RunError, InstrumentError), match="dig at TCPIP0::dig::INSTR"):
        play(QUIET, box(), timeout_s=0.2, dig=fault)


def test_an_answer_that_misses_the_deadline_ends_the_run_with_the_reason(play):
    fault = {"late_s": 0.5, "late_after": 36}
    reason = r"the mailbox had no answer for capture \d of shot \d+ within mailbox\.deadline_s = 0\.(1|01) s"
    with pytest.raises(RunError, match=rf"the kernel stopped in shot \d+, tick \d+, .*: {reason}"):
        play(QUIET, box(deadline_s=0.1), policy="abort", dig=fault)
    with pytest.raises(
        RunError, match=rf"the kernel stopped in shot \d+, .*: 8 shots in a row were erased.*: {reason}"
    ):
        play(QUIET, box(deadline_s=0.01), dig=fault)


def test_a_pump_that_dies_ends_the_run_and_its_bug_is_told(play, monkeypatch):
    plays = Rack.play

    def dies(self, trigger):
        if trigger.shot == 4:
            raise BugError("dead")
        return plays(self, trigger)

    monkeypatch.setattr(Rack, "play", dies)
    before = threading.active_count()
    with pytest.raises(BugError, match="dead"):
        play(QUIET, box(shots_per_arm=2))
    assert threading.active_count() == before


def test_a_stopped_run_counts_the_shots_that_nobody_read(play):
    class Soon:
        """A stop that comes while the run plays."""

        looks = 0

        def is_set(self):
            self.looks += 1
            return self.looks > 8

    with pytest.raises(RunError, match="stopped as asked") as caught:
        play(QUIET, box(shots_per_arm=200), shots=400_000, stop=Soon())
    record = open_run(str(caught.value).rpartition(" kept in ")[2])
    counters = record.stop["counters"]
    assert counters["mailbox.arm_count"] * 200 == len(record.rows) + counters["mailbox.shots_unused"]


def test_the_demo_lab_on_a_mailbox_is_a_lab_file(project, demo_lab):
    raw = tomllib.loads(Path(project / "configs/mailbox.toml").read_text())
    lab = msgspec.structs.replace(checked(raw, "mailbox"), stream=Stream("tcp://127.0.0.1:*"))
    assert lab.mailbox is not None
    assert msgspec.structs.replace(lab, mailbox=None, name=demo_lab.name, timing=demo_lab.timing) == demo_lab
