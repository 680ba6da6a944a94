"""The report page: drawn from synthetic data of a run's shapes, and the formula behind its curve against a simulation of jumps."""

import dataclasses
from html.parser import HTMLParser
from math import exp
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

from qrt import config, report
from qrt.errors import MachineError
from qrt.latencies import PUBLISHED
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.report import clouds, collect, curve, reset, shot, updates
from qrt.report.axes import ticks
from qrt.report.data import Bar, Cloud, Feedback, MissRow, QubitFacts, ReportData, ResetFacts, Updates
from qrt.report.markup import VOID, element, join
from qrt.report.page import page
from qrt.timeline import schedule
from qrt.types import (
    Calibration,
    CouplerCalibration,
    Estimate,
    Estimated,
    Found,
    PortLimits,
    QubitCalibration,
    StdErr,
)

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


def facts() -> ResetFacts:
    return ResetFacts(
        qubit="q0",
        gap_ns=600.0,
        depletion_ns=500.0,
        tone_ns=1000.0,
        after_ns=20.0,
        before=Estimated(0.503, 0.004),
        residual=Estimated(0.0312, 0.0016),
        truth=0.0305,
        t1_ns=Estimated(31_500.0, 400.0),
        error_0=Estimated(0.008, 0.0006),
        error_1=Estimated(0.024, 0.0009),
        x_error=Estimated(0.002, 0.0005),
    )


def cloud(rng: np.random.Generator, title: str, excited: float, shots: int = 20_000) -> Cloud:
    level = rng.random(shots) < excited
    fallen = np.minimum(rng.exponential(30.0, shots), 1.0)
    i = 4.0e6 * (2 * np.where(level, fallen, 0.0) - 1) + rng.normal(0, 1.5e6, shots) + 7e5
    return Cloud(title, i.astype(np.int64), rng.normal(-2e6, 1.5e6, shots).astype(np.int64), 700_000)


def data(rng: np.random.Generator) -> ReportData:
    bars = (
        Bar("q0 drive", "drive", "sx", 0.0, 20.0, None, False, 9, "h q;"),
        Bar("q0 readout", "readout", "readout", 20.0, 1000.0, None, False, 11, "reset q;"),
        Bar("q0 capture", "capture", "capture → reset[0]", 20.0, 1000.0, None, False, 11, "reset q;"),
        Bar("q0 drive", "drive", "x", 1620.0, 40.0, 0.0, True, 11, "reset q;"),
        Bar("q0 readout", "readout", "readout", 1660.0, 1000.0, None, False, 12, "c = measure q;"),
        Bar("q0 capture", "capture", "capture → c", 1660.0, 1000.0, None, False, 12, "c = measure q;"),
    )
    qubit = QubitFacts(
        "q0",
        5.012e9,
        Estimated(5.0130213e9, 812.0),
        Estimated(0.24121, 0.00021),
        Estimated(0.0021, 0.0004),
        Estimated(31.5e-6, 0.4e-6),
        Estimated(24.1e-6, 0.7e-6),
        np.array([[0.992, 0.024], [0.008, 0.976]]),
        np.full((2, 2), 0.0006),
        np.full((2, 2), 0.0002),
        20_000,
    )
    estimate = Estimate("⟨Z⟩ c", 0.9213, 0.9376, StdErr(0.0024, 0.0021, 0.0, 0.0009), 0.939, 0.0023, 20_000, 18_540.0)
    return ReportData(
        run="2026-01-05T10-11-12-active_reset-1a2b3c",
        program="active_reset.qasm",
        program_text='OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q;\nbit c;\nh q;\nreset q;\nc = measure q;\n',
        lab="two-transmons",
        simulated=True,
        taken_ns=1_767_607_872_000_000_000,
        facts=(
            ("shots", "20 000"),
            ("shots per second", "151 203"),
            ("simulated / wall time", "1.06"),
            ("misses", "0"),
        ),
        digest="c0" * 32,
        counters=(("kernel.misses", 0), ("plant.adc_clip_count", 12_345)),
        found=(Found("awg_q0", "TCPIP0::awg-q0::INSTR", "VISA (pyvisa-sim)", "QRT,AWG2,0001,1.0"),),
        estimates=(estimate,),
        calibration_hash="sha256:" + "9f" * 32,
        qubits=(qubit,),
        couplers={
            "q0_q1": CouplerCalibration(
                Estimated(0.7343, 5e-4), Estimated(0.0, 4e-3), (Estimated(1.68, 0.006), Estimated(-2.17, 0.006))
            )
        },
        clouds=(cloud(rng, "q0, before the reset", 0.5), cloud(rng, "q0, after the reset", 0.03)),
        bars=bars,
        feedbacks=(Feedback("q0 drive", 1020.0, 1620.0),),
        period_ns=7000.0,
        reset=facts(),
        limits=("The instruments are simulated: no number on this page comes from a real qubit.",),
    )


class Reader(HTMLParser):
    """Collects elements and attributes, and fails where tags do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_is_well_formed_and_loads_nothing(rng):
    reader = read(page(data(rng)))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(reader.names)
    names = {name for name, _ in reader.attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"src", "srcset", "data", "xlink:href"})
    assert "default-src 'none'; style-src 'unsafe-inline'" in dict(reader.attributes).values() or any(
        "default-src 'none'" in (value or "") for _, value in reader.attributes
    )
    assert "url(" not in page(data(rng))
    assert "@import" not in page(data(rng))


def test_nothing_from_outside_becomes_markup(rng):
    plain = data(rng)
    hostile = structs.replace(
        plain,
        run=HOSTILE,
        program=HOSTILE,
        program_text=HOSTILE,
        lab=HOSTILE,
        facts=((HOSTILE, HOSTILE),),
        digest=HOSTILE,
        counters=((HOSTILE, 1),),
        found=(Found(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        estimates=(structs.replace(plain.estimates[0], name=HOSTILE),),
        calibration_hash=HOSTILE,
        qubits=(structs.replace(plain.qubits[0], name=HOSTILE),),
        clouds=tuple(structs.replace(one, title=HOSTILE) for one in plain.clouds),
        bars=tuple(structs.replace(bar, row=HOSTILE, label=HOSTILE, source=HOSTILE) for bar in plain.bars),
        limits=(HOSTILE,),
    )
    reader = read(page(hostile))
    assert "script" not in reader.names
    assert "img" not in reader.names
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert HOSTILE in "".join(reader.text)


def test_a_run_without_reset_qubits_or_bits_has_a_page(rng):
    empty = structs.replace(data(rng), clouds=(), bars=(), feedbacks=(), reset=None, estimates=(), qubits=(), found=())
    assert "nothing to estimate" in page(empty)


def servo(count: int = 6, *, refused: tuple[int, ...] = (), late: tuple[int, ...] = (), name: str = "servo") -> Updates:
    marks = [np.isin(np.arange(count), which) for which in (refused, late)]
    reasons = tuple(f"controller {name!r} at batch {batch}, value 1: {HOSTILE}" for batch in refused)
    return Updates(name, "theta", 2, np.linspace(0.5, 1.5, count), *marks, reasons)


def test_a_controllers_values_are_drawn_with_what_was_refused_and_what_was_late(rng):
    two = (servo(refused=(1, 3, 4), late=(2,)), servo(name=HOSTILE))
    text = page(structs.replace(data(rng), updates=two))
    reader = read(text)
    told = "".join(reader.text)
    assert "servo sets theta: 1.5 after 6 batches, 3 refused, 1 late" in told
    assert f"controller 'servo' at batch 4, value 1: {HOSTILE}" in told
    assert "Why 3 were refused" in told
    assert "script" not in reader.names
    drawn = updates.figure(two[0])
    assert (drawn.count('class="truth"'), drawn.count('class="mark-dot"')) == (3, 1)
    (points,) = (value for name, value in read(drawn).attributes if name == "points")
    xs, ys = np.array([pair.split(",") for pair in points.split()], float).T
    assert np.array_equal(ys[::2], ys[1::2])  # a value holds
    assert np.array_equal(xs[1:-1:2], xs[2::2])  # until the next
    assert np.allclose(np.diff(ys[::2]), (updates.TOP - updates.BOTTOM) * 0.2 / 1.16, atol=0.11)


MISSED = (
    ("late_release", "switch", "skip", 3, 5000),
    ("late_epoch", "batch", "hold", 0, 0),
    ("late_release", "switch", "skip", 40, 120_000),
    ("late_release", "stopped", "skip", 200, 4 * 10**8),
)


def test_misses_are_told_by_what_and_why(rng):
    names = ("class", "cause", "policy", "skipped_count", "lateness_ns")
    run = SimpleNamespace(misses=[dict(zip(names, row, strict=True)) for row in MISSED])
    rows = collect.misses(run)
    assert rows[0] == MissRow("late_release", "switch", "skip", 2, 43, 120_000)
    assert [(row.what, row.cause, row.count, row.skipped) for row in rows[1:]] == [
        ("late_epoch", "batch", 1, 0),
        ("late_release", "stopped", 1, 200),
    ]
    told = "|".join(read(page(structs.replace(data(rng), misses=rows))).text)
    assert "late_release|switch|skip|2|43|120.0 µs" in told
    assert "Misses" not in "".join(read(page(data(rng))).text)


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_one_batch_and_very_many_are_drawn(count):
    one = structs.replace(servo(count), value=np.full(count, -5.2e7) + np.arange(count))
    drawn = updates.figure(one)
    assert "in units of 1e+07" in drawn
    assert len(drawn) < 200_000


def test_one_shot_is_drawn_too(rng):
    one = Cloud("one", np.array([3]), np.array([-5]), 0)
    assert "1: 100.00 %" in page(structs.replace(data(rng), clouds=(one,)))


def test_the_cloud_counts_what_the_threshold_decides():
    # Outcome 1 is i > threshold: a point on the threshold is a 0.
    frame = clouds.Frame((one := Cloud("edge", np.array([10, 11, 9, 10]), np.zeros(4, np.int64), 10),))
    drawn = clouds.figure(one, frame)
    assert "0: 75.00 %" in drawn
    assert "1: 25.00 %" in drawn


def test_bars_without_duration_and_rows_without_feedback_are_drawn():
    drawn = shot.figure((Bar("q0 drive", "drive", "mark", 0.0, 0.0),), (Feedback("nowhere", 0.0, 1.0),))
    assert "mark" in drawn


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3e6, 8.1e6), (2.41, 2.43), (0.0, 1.7e-3)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high, 6)
    assert 2 <= len(found) <= 14
    assert all(low - 1e-9 * abs(high) <= value <= high + 1e-9 * abs(high) for value in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0])


def test_text_is_escaped_and_markup_is_not():
    inner = element("b", "<i>")
    assert element("a", inner, "&", href='"x"') == '<a href="&quot;x&quot;"><b>&lt;i&gt;</b>&amp;</a>'
    assert join("<", None, 1.5) == "&lt;1.5"


def test_a_perfect_readout_and_pulse_leave_what_decays_after_the_decision(rng):
    # With no assignment error beyond decay, a shot read as 1 that decays late is excited by the pulse.
    tone, t1 = 1000.0, 30_000.0
    error_1 = 1 - exp(-tone / (2 * t1))  # boxcar midpoint without noise
    ideal = structs.replace(
        facts(),
        before=Estimated(1.0, 0.0),
        t1_ns=Estimated(t1, 0.0),
        error_0=Estimated(1e-12, 0.0),
        error_1=Estimated(error_1, 0.0),
        x_error=Estimated(0.0, 0.0),
        after_ns=0.0,
    )
    gaps = np.array([0.0, 500.0, 5000.0])
    expected = exp(-tone / (2 * t1)) - np.exp(-(tone + gaps) / t1)  # read as 1, in 0 at the pulse
    found, _ = reset.curve(ideal, gaps)
    assert found == pytest.approx(expected, abs=2e-4)


def test_the_curve_agrees_with_simulated_jumps(rng):
    given = structs.replace(
        facts(), t1_ns=Estimated(8_000.0, 0.0), error_1=Estimated(0.09, 0.0), x_error=Estimated(0.03, 0.0)
    )
    decay = given.tone_ns / given.t1_ns.value
    readout = reset.discrimination(given.error_0.value, given.error_1.value, decay)
    shots, gap_ns = 400_000, 700.0
    level = rng.random(shots) < given.before.value
    fall_ns = rng.exponential(given.t1_ns.value, shots)
    signal = np.where(level, np.minimum(fall_ns / given.tone_ns, 1.0), 0.0) + rng.normal(0.0, readout.noise, shots)
    outcome = signal > readout.threshold
    at_pulse = level & (fall_ns > given.tone_ns + gap_ns)
    after = at_pulse ^ (outcome & (rng.random(shots) >= given.x_error.value))
    left = after.mean() * exp(-given.after_ns / given.t1_ns.value)
    (expected,), _ = reset.curve(given, np.array([gap_ns]))
    assert abs(left - expected) < 4 * np.sqrt(left / shots)


def test_discrimination_gives_back_both_errors(rng):
    readout = reset.discrimination(0.01, 0.05, 0.04)
    shots = 1_000_000
    fall = rng.exponential(1 / 0.04, shots)
    noise = rng.normal(0.0, readout.noise, shots)
    assert np.mean(noise > readout.threshold) == pytest.approx(0.01, abs=5e-4)
    assert np.mean(np.minimum(fall, 1.0) + noise <= readout.threshold) == pytest.approx(0.05, abs=1e-3)


def test_the_curve_has_a_band_and_published_controllers():
    centre, error = reset.curve(facts(), np.array([0.0, 1000.0]))
    assert centre[1] > centre[0]
    assert (error > 0).all()
    drawn = curve.figure(facts())
    marked = [f">{letter}</text>" in drawn for letter in curve.LETTERS[: len(PUBLISHED)]]
    assert marked == [one.latency_ns <= 1200 for one in PUBLISHED]  # the figure ends there; the table has them all


# ---- From a program to what the page says ---------------------------------------------------------------------------------

LIMITS = PortLimits(
    feedback_latency_ticks=300,
    granularity_ticks=1,
    sample_ticks=1,
    capture_samples_max=4096,
    segment_count_max=256,
    segment_samples_max=1 << 16,
    outstanding_max=4,
)


def scheduled(text: str, project):
    lab = config.load(project / "configs/demo.toml")
    pulses = lower(parse_program(text, "test.qasm"), lab, None, {})
    return lab, pulses, schedule(pulses, LIMITS)


def qubit_calibration() -> QubitCalibration:
    return QubitCalibration(
        frequency_hz=Estimated(4.95e9, 500.0),
        sx_amplitude=Estimated(0.24, 0.0002),
        x_error=Estimated(0.002, 0.0005),
        readout_hz=7.1e9,
        readout_amplitude=0.25,
        weights=np.zeros((2, 1000), np.int16),
        threshold=100,
        assignment=np.array([[0.99, 0.03], [0.01, 0.97]]),
        assignment_stderr=np.full((2, 2), 3e-4),
        preparation_stderr=np.full((2, 2), 4e-4),
        reference_count=10_000,
        t1_s=Estimated(21e-6, 0.2e-6),
        t2_s=Estimated(15e-6, 0.3e-6),
    )


def test_the_demo_program_has_bars_a_decision_and_a_reset(project):
    text = (project / "examples/active_reset.qasm").read_text()
    lab, pulses, timeline = scheduled(text, project)
    bars = collect.bars(timeline, pulses, 1.0)
    assert [(bar.kind, bar.label, bar.conditional) for bar in bars] == [
        ("drive", "h q", False),
        ("drive", "x q", True),
        ("readout", "", False),
        ("readout", "", False),
        ("capture", "→ before", False),
        ("capture", "→ after", False),
    ]
    decisions = collect.decisions(timeline, pulses)
    (feedback,) = collect.feedbacks(decisions, 1.0)
    depletion_ns = lab.qubits["q0"].readout.depletion_ns
    assert feedback.stop_ns - feedback.start_ns == depletion_ns
    assert bars[1].slack_ns == depletion_ns - LIMITS.feedback_latency_ticks
    estimates = (
        Estimate("Z(before)", 0.0, 0.02, StdErr(0.006, 0.0, 0.0, 0.008)),
        Estimate("Z(after)", 0.9, 0.94, StdErr(0.003, 0.0, 0.0, 0.0), truth=0.93),
    )
    calibration = Calibration("hash", 0, 1, {"q0": qubit_calibration()})
    found = collect.reset(decisions, estimates, calibration, lab)
    assert (found.gap_ns, found.tone_ns, found.after_ns) == (depletion_ns, 1000.0, 0.0)
    assert found.before == Estimated(pytest.approx(0.49), pytest.approx(0.005))
    assert found.residual.value == pytest.approx(0.03)
    assert found.truth == pytest.approx(0.035)
    assert found.error_1.stderr == pytest.approx(5e-4)
    assert collect.reset(decisions, estimates[:1], calibration, lab) is None


def test_a_coupler_s_pulse_has_a_row_of_its_own(project):
    lab = config.load(project / "configs/coupled.toml")
    program = 'OPENQASM 3; include "stdgates.inc"; qubit[2] q; bit[2] c; cx q[1], q[0]; c = measure q;'
    pulses = lower(parse_program(program, "p"), lab, None, {})
    rows = [(bar.row, bar.start_ns, bar.duration_ns) for bar in collect.bars(schedule(pulses, LIMITS), pulses, 1.0)]
    assert rows[:2] == [("q0 drive", 0.0, 30.0), ("q0 drive", 150.0, 30.0)]
    assert rows[-1] == ("q0_q1 drive", 30.0, 120.0)


def test_a_reset_statement_decides_on_its_own_bit(project):
    _, pulses, timeline = scheduled("OPENQASM 3;\nqubit q;\nbit c;\nreset q;\nc = measure q;\n", project)
    (decision,) = collect.decisions(timeline, pulses)
    assert decision.capture.bit == "q0.reset"
    assert decision.following.bit == "c"


def test_the_words_of_a_timeline_are_not_read(project):
    text = (project / "examples/active_reset.qasm").read_text()
    _, pulses, timeline = scheduled(text, project)
    events = tuple(structs.replace(event, operands="other words", condition="other words") for event in timeline.events)
    reworded = dataclasses.replace(timeline, tell=lambda: events)
    assert collect.bars(reworded, pulses, 1.0) == collect.bars(timeline, pulses, 1.0)
    assert len(collect.decisions(reworded, pulses)) == len(collect.decisions(timeline, pulses)) == 1


def test_two_branches_on_one_bit_have_each_its_own_slack(project):
    text = "OPENQASM 3;\nqubit q;\nbit c;\nc = measure q;\nif (c) { x q; }\ndelay[100ns] q;\nif (c) { x q; }\n"
    _, pulses, timeline = scheduled(text, project)
    slacks = [event.slack_ticks for event in timeline.events if event.kind == "if"]
    drives = [bar.slack_ns for bar in collect.bars(timeline, pulses, 1.0) if bar.kind == "drive"]
    assert len(set(slacks)) == 2
    assert drives == slacks


def test_a_pulse_on_an_outcome_of_0_is_no_reset(project):
    text = "OPENQASM 3;\nqubit q;\nbit c;\nc = measure q;\nif (!c) { x q; }\n"
    _, pulses, timeline = scheduled(text, project)
    assert collect.decisions(timeline, pulses) == ()
    assert [bar.conditional for bar in collect.bars(timeline, pulses, 1.0) if bar.kind == "drive"] == [True]


def test_the_page_is_written_whole_or_not_at_all(tmp_path, rng):
    path = report.write(tmp_path, data(rng))
    assert path.name == "report.html"
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [child.name for child in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(MachineError, match="cannot write the report"):
        report.write(tmp_path / "absent", data(rng))
