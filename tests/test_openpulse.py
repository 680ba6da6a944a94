"""OpenPulse programs as blocks of operations, against hand-written ones; what is refused, and where."""

from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import oqpy
import pytest

from qrt import config
from qrt.compile import compile_pulses
from qrt.controlling import reach_of
from qrt.errors import ProgramError
from qrt.grids import grid_of
from qrt.pulses import lower
from qrt.qasm import parse_program, program_of, waveforms
from qrt.types import NOWHERE, Capture, If, Play, PortLimits, SetFrequency, ShiftPhase, Sync, Variable, Wait
from qrt.units import AMPLITUDE_ONE

LAB = config.load(Path(__file__).with_name("lab.toml"))
HEAD = 'OPENQASM 3.0;\ndefcalgrammar "openpulse";\n'
LIMITS = PortLimits(
    feedback_latency_ticks=300,
    granularity_ticks=1,
    sample_ticks=1,
    capture_samples_max=4000,
    segment_count_max=8,
    segment_samples_max=5000,
    outstanding_max=8,
)
LONG = msgspec.structs.replace(LAB, timing=msgspec.structs.replace(LAB.timing, shot_period_ns=100e3))
MEASURE = "defcal measure $0 -> bit { play(q0_readout, q0_tone); bit b = capture_v2(q0_acquire, constant(1, 1us), -5); return b; } "
PORTS = "cal { port drive_q0; port readout; port digitizer; frame q0_drive; } "


def lowered(text, varied=(), **inputs):
    return lower(parse_program(HEAD + text, "p.qasm"), LAB, None, inputs, varied)


def block(text, name="q0", varied=(), **inputs):
    """The operations of a sequencer, without their places."""
    return [placeless(op) for op in lowered(text, varied, **inputs).blocks[name]]


def placeless(op):
    if isinstance(op, If):
        sides = {side: tuple(map(placeless, getattr(op, side))) for side in ("then", "otherwise")}
        op = msgspec.structs.replace(op, **sides)
    return msgspec.structs.replace(op, source=NOWHERE)


# ---- Waveforms ---------------------------------------------------------------------------------------------------------


def test_amplitudes_are_of_the_play_and_equal_shapes_are_one_segment():
    pulses = lowered(
        PORTS
        + """cal {
            play(q0_drive, gaussian(0.3, 40ns, 10ns)); play(gaussian(-0.15, 40ns, 10ns), q0_drive);
            play(q0_drive, scale(gaussian(1, 40ns, 10ns), 0.5)); play(q0_drive, scale(0.5, gaussian(0.5, 40ns, 10ns)));
            play(q0_drive, gaussian(0.3, 40ns, 11ns));
            waveform w = {0.1, 0.2 + 0.2im}; play(q0_drive, w);
        }"""
    )
    plays = [op for op in pulses.blocks["q0"] if isinstance(op, Play)]
    shape = waveforms.gaussian(40, 10)
    for play, amp in zip(plays, (0.3, -0.15, 0.5, 0.25), strict=False):
        assert np.allclose(pulses.envelopes[play.envelope] * play.amplitude, amp * shape, atol=1e-15)
    assert len({play.envelope for play in plays[:4]}) == 1
    assert len({play.envelope for play in plays}) == 3
    assert np.allclose(pulses.envelopes[plays[-1].envelope] * plays[-1].amplitude, [0.1, 0.2 + 0.2j])


def test_a_varied_amplitude_and_phase_are_operands_and_the_shape_stays():
    text = "input float a; input float p; cal { play(q0_drive, phase_shift(scale(drag(1.0, 40ns, 10ns, 2), a), p)); }"
    before, play, after = lowered(text, ("a", "p")).blocks["q0"]
    peak = Fraction(float(np.abs(waveforms.drag(40, 10, 2)).max()))
    assert play.amplitude.unit == "amplitude"
    from qrt.qasm.expressions import Exact  # a value as a sweep gives it

    values = {"a": Exact(Fraction(1, 4)), "p": Exact(Fraction(0), Fraction(1, 2))}
    assert play.amplitude.word.at(values) == pytest.approx(float(peak * AMPLITUDE_ONE / 4), rel=1e-15)
    assert before.phase_rad.word.at(values) == Fraction(2**64, 4)
    assert after.phase_rad.word.at(values) == -Fraction(2**64, 4)


def test_waveforms_are_mixed_added_and_turned():
    text = """cal {
        waveform g = gaussian(0.5, 64ns, 12ns);
        waveform s = mix(g, sine(0.8, 64ns, 50e6, pi/2));
        play(q0_drive, sum(s, phase_shift(g, pi/2)));
        play(q0_drive, sech(0.4im, 20ns, 4ns)); play(q0_drive, gaussian_square(0.2, 100dt, 60ns, 5ns)); play(q0_drive, q0_sx);
    }"""
    pulses = lowered(text)
    plays = pulses.blocks["q0"]
    samples = [pulses.envelopes[play.envelope] * play.amplitude for play in plays]
    t = np.arange(64) + 0.5
    g = 0.5 * np.exp(-((t - 32) ** 2) / 288)
    assert np.allclose(samples[0], g * 0.8 * np.cos(2 * np.pi * 0.05 * t) + 1j * g)
    assert np.allclose(samples[1], 0.4j / np.cosh((np.arange(20) - 9.5) / 4))
    assert len(samples[2]) == 100
    assert plays[3].amplitude == pytest.approx(0.25)


# ---- Frames ------------------------------------------------------------------------------------------------------------


def test_frequencies_are_absolute_and_the_nco_gets_what_lies_above_the_source():
    text = (
        PORTS
        + "cal { frame f = newframe(drive_q0, 4.9e9, pi/4); set_frequency(f, 4.91e9); shift_frequency(f, -30e6); play(f, q0_sx); }"
    )
    pulses = lowered(text)
    assert pulses.frames["f"].frequency_hz == 50e6  # the line's source is at 4.85 GHz
    assert pulses.frames["f"].phase_rad == pytest.approx(np.pi / 4)
    assert [op.frequency_hz for op in pulses.blocks["q0"] if isinstance(op, SetFrequency)] == [60e6, 30e6]


def test_phases_and_frequencies_can_be_read_and_set():
    text = (
        PORTS
        + """cal {
        frame f = newframe(drive_q0, 4.9e9, 0.25);
        shift_phase(f, 0.5); set_phase(f, 0.1); angle before = get_phase(f); shift_phase(q0_drive, before);
        set_frequency(f, get_frequency(f) + 1e6); set_phase(f, get_phase(f) + pi);
    }"""
    )
    pulses = lowered(text)
    shifts = [(op.frame, op.phase_rad) for op in pulses.blocks["q0"] if isinstance(op, ShiftPhase)]
    assert shifts == [
        ("f", 0.5),
        ("f", pytest.approx(-0.65)),
        ("q0.drive", pytest.approx(0.1)),
        ("f", pytest.approx(np.pi)),
    ]
    assert [op.frequency_hz for op in pulses.blocks["q0"] if isinstance(op, SetFrequency)] == [51e6]


def test_frames_of_a_drive_line_are_the_qubits_and_others_have_clocks_of_their_own():
    text = (
        PORTS
        + """qubit q; cal {
        frame a = newframe(drive_q0, 4.9e9, 0); frame b = newframe(readout, 7.1e9, 0); frame c = newframe(digitizer, 7.1e9, 0);
        play(a, constant(0.1, 20ns)); play(q0_drive, constant(0.1, 20ns)); play(b, constant(0.1, 500ns));
        barrier b, c; complex iq = capture_v1(c, 400ns); delay[30ns] b, c;
    }"""
    )
    pulses = lowered(text)
    assert list(pulses.blocks) == ["q0", "b", "c"]
    assert [op.frame for op in pulses.blocks["q0"]] == ["a", "q0.drive"]
    assert [type(op) for op in pulses.blocks["b"]] == [Play, Sync, Wait]
    assert [type(op) for op in pulses.blocks["c"]] == [Sync, Capture, Wait, Wait]
    assert [op.ticks for op in pulses.blocks["c"][2:]] == [400, 30]
    assert pulses.blocks["b"][0].restart
    assert not pulses.blocks["q0"][0].restart


def test_a_carrier_on_a_readout_line_goes_on_between_plays():
    text = (
        PORTS
        + "cal { frame b = newframe(readout, 7.013e9, 0); play(b, constant(0.1, 25ns)); delay[10ns] b; play(b, constant(0.1, 25ns)); }"
    )
    first, _, before, _, after = block(text, "b")
    turns = Fraction(13_000_000 * 35, 10**9)
    assert isinstance(first, Play)
    assert (before.turns, after.turns) == (turns % 1, -turns % 1)


def test_frames_in_loops_are_one_frame():
    text = (
        PORTS
        + """for int i in [0:2] { cal {
        frame f = newframe(drive_q0, 4.9e9 + i * 1e6, 0); waveform w = constant(0.1, (10 + i) * 1ns); play(f, w);
    } }"""
    )
    pulses = lowered(text)
    assert [name for name in pulses.frames if name.startswith("f")] == ["f"]
    assert [op.frequency_hz for op in pulses.blocks["q0"] if isinstance(op, SetFrequency)] == [51e6, 52e6]
    assert [len(pulses.envelopes[op.envelope]) for op in pulses.blocks["q0"] if isinstance(op, Play)] == [10, 11, 12]


def test_names_of_cal_are_seen_by_later_blocks_and_defcals_alone():
    text = PORTS + "cal { float a = 0.25; waveform w = constant(a, 10ns); } defcal go $0 { play(q0_drive, w); } "
    text += "go $0; cal { play(q0_drive, scale(w, 2)); }"
    assert [op.amplitude for op in block(text)] == [0.25, 0.5]
    with pytest.raises(ProgramError, match="'a'"):
        lowered(text + " rx(a) $0;")


# ---- Definitions ---------------------------------------------------------------------------------------------------------


def test_the_most_specific_defcal_is_taken():
    """As in the standard's own example of rx, and by the order there where qubits and values compete."""
    text = "cal { waveform w = constant(1, 10ns); } " + "".join(
        f"defcal rx({angle}) {qubit} {{ play(q0_drive, scale(w, {amp})); }} "
        for angle, qubit, amp in (
            ("angle[20] theta", "q", 0.1),
            ("angle theta", "$0", "theta / 10"),
            ("pi / 2", "$0", 0.3),
            ("pi / 4", "q", 0.4),
        )
    )
    calls = "rx(pi/2) $0; rx(pi) $0; rx(pi/2) $1; rx(pi/4) $1; rx(pi/4) $0;"
    amplitudes = [round(op.amplitude, 6) for op in block(text + calls) if isinstance(op, Play)]
    assert amplitudes == [0.3, round(np.pi / 10, 6), 0.1, 0.4, round(np.pi / 40, 6)]


def test_a_defcal_counts_from_the_programs_beginning_and_for_declared_qubits():
    text = "qubit[2] q; x q[0]; x q[1]; defcal x $0 { play(q0_drive, constant(0.7, 10ns)); }"
    assert [op.amplitude for op in block(text)] == [0.7]
    assert [op.amplitude for op in block(text, "q1")] == [0.25, 0.25]
    assert [op.amplitude for op in block("qubit[2] q; x q; defcal x $0 { play(q0_drive, constant(0.7, 10ns)); }")] == [
        0.7
    ]


@pytest.mark.parametrize("gate", ["rz", "rx"])
def test_an_angle_is_evaluated_once_where_all_defcals_are_for_other_qubits(gate):
    measured = "def f(qubit p) -> bit { bit b; b = measure p; return b; }"
    others = "defcal rz(angle a) $1 { delay[4ns] q1_drive; } defcal rx(angle a) $1 { delay[4ns] q1_drive; }"
    ops = [block(f"{one} {measured} qubit[2] q; {gate}(f(q[1]) * 0.5) q[0];", "q1") for one in ("", others)]
    assert [sum(isinstance(op, Capture) for op in one) for one in ops] == [1, 1]


@pytest.mark.parametrize("gate", ["sx q[1];", "z q[1];", "h q[1];"])
def test_gates_that_are_written_alike_beside_a_defcal_have_lines_of_their_own(gate):
    count = 40
    head = "qubit[2] q; defcal sx $0 { delay[4ns] q0_drive; } defcal z $0 { } defcal h $0 { }\n"
    lines = [op.source.line for op in lowered(head + f"{gate}\n" * count).blocks["q1"]]
    assert lines == [4 + k for k in range(count) for _ in range(len(lines) // count)]


def test_a_defcal_on_several_sequencers_is_one_unit():
    text = (
        "qubit[2] q; defcal both $0, $1 { play(q0_drive, constant(0.1, 10ns)); play(q1_drive, constant(0.1, 30ns)); } "
    )
    text += "both q[0], q[1]; x q[0];"
    meeting = Sync(("q0", "q1"))
    first, play, last, *_ = block(text)
    assert (first, last) == (meeting, meeting)
    assert isinstance(play, Play)


@pytest.mark.parametrize(
    "measure", ["c = measure q;", "bit d = measure q; c = d;", "c = measure q; if (c) x q;", "measure q -> c;"]
)
def test_a_defcal_measures_into_the_callers_bit(measure):
    pulses = lowered(f"qubit q; bit c; {MEASURE} {measure}")
    (capture,) = [op for op in pulses.blocks["q0_acquire"] if isinstance(op, Capture)]
    assert pulses.bits[capture.bit] == ("d" if "d =" in measure else "c")
    assert pulses.weights[capture.weights].threshold == -5
    assert pulses.weights[capture.weights].qubit == ""
    tone, capture_block = block(f"qubit q; bit c; {MEASURE} c = measure q;", "q0_readout"), pulses.blocks["q0_acquire"]
    assert isinstance(tone[0], Sync)
    assert isinstance(capture_block[0], Sync)


def test_subroutines_and_frames_go_together():
    text = "def half(float a) -> float { return a / 2; } cal { play(q0_drive, scale(q0_sx, half(2))); } "
    text += "defcal x $0 { play(q0_drive, scale(q0_sx, half(1))); } x $0;"
    assert [op.amplitude for op in block(text)] == [0.25, 0.125]


BRANCHING = {
    "a defcal in a branch": "qubit[2] q; bit[2] c; c[1] = measure q[1]; if (c[1]) { c[0] = measure q[0]; } x q[0];",
    "pulses in a box": """qubit q;
        box[3us] { cal { play(q0_drive, q0_sx); barrier q0_drive, q0_readout; play(q0_readout, q0_tone); } } x q;""",
    "a loop on outcomes": """qubit q; bit c = measure q; int n = 0;
        while (c && n < 2) { cal { play(q0_drive, q0_sx); } c = measure q; n += 1; }""",
    "a switch": "qubit q; bit c = measure q; switch (int(c)) { case 1 { cal { play(q0_drive, q0_sx); } } default { } }",
    "frames of a defcal in a loop": """qubit q; defcal go $0 {
        frame t = newframe(readout, 7.1e9, 0); frame e = newframe(digitizer, 7.1e9, 0);
        play(t, constant(0.1, 200ns)); complex iq = capture_v1(e, 200ns); } for int i in [0:3] { go q; }""",
    "a reset after own tones": "qubit q; cal { play(q0_readout, q0_tone); } reset q; bit c = measure q;",
}


@pytest.mark.parametrize("text", BRANCHING.values(), ids=BRANCHING)
def test_pulses_are_scheduled_in_all_that_the_language_has(text):
    """Every sequencer's syncs fit together, on every path: else there would be no schedule."""
    sequence = compile_pulses(lowered(MEASURE + text), LONG, LIMITS)
    assert len(sequence.sequencers) > 1


def test_a_phase_of_outcomes_is_an_operand():
    text = f"qubit q; bit c; {MEASURE} c = measure q; angle[8] t = pi / 2; if (c) {{ t = pi; }} cal {{ shift_phase(q0_drive, t); }}"
    shift = block(text)[-1]
    assert isinstance(shift.phase_rad, Variable)


def test_the_duration_of_a_defcal_is_that_of_what_it_plays():
    text = "defcal x $0 { play(q0_drive, constant(0.1, 44ns)); delay[6ns] q0_drive; } delay[durationof({ x $0; x $0; })] $0;"
    assert [op.ticks for op in block(text)] == [100]
    text = "defcal go $0 { play(q0_readout, q0_tone); barrier q0_readout, q0_drive; delay[6ns] q0_drive; } "
    (wait,) = [op for op in block(text + "delay[durationof({ go $0; })] $0;") if isinstance(op, Wait)]
    assert wait.ticks == 1006


def test_of_equal_definitions_the_last_is_taken():
    text = "defcal x $0 { play(q0_drive, constant(0.1, 10ns)); } defcal x $0 { play(q0_drive, constant(0.2, 10ns)); } x $0;"
    assert [op.amplitude for op in block(text)] == [0.2]


@pytest.mark.parametrize("statement", ["bit c = measure q;", "reset q;", "delay[50ns] q;", "barrier q;"])
def test_what_a_qubit_does_meets_its_own_frames(statement):
    """So that a tone of the program is over before, and the next one comes after."""
    meeting = Sync(("q0", "q0_readout"))
    text = f"qubit q; cal {{ play(q0_readout, q0_tone); }} {statement} cal {{ play(q0_readout, q0_tone); }}"
    readout = block(text, "q0_readout")
    count = 1 if "barrier" in statement else 2
    assert [type(op) for op in readout] == [Play, *[Sync] * count, Play]
    assert [op for op in block(text) if isinstance(op, Sync)] == [meeting] * count
    ends = block(text)[0], block(text)[-1]
    assert ends == (meeting, meeting)


def test_a_defcal_resets():
    text = "defcal reset $0 { bit b = capture_v2(q0_acquire, 1us, 0); if (b) { play(q0_drive, q0_sx); } } reset $0; reset $0;"
    branches = [op for op in block(text) if isinstance(op, If)]
    assert [[type(one) for one in branch.then] for branch in branches] == [[Play], [Play]]


def test_weights_are_the_filters_conjugate_on_the_conjugate_carrier():
    text = "cal { frame e = newframe(digitizer, 7.1e9, pi/3); complex iq = capture_v1(e, gaussian(0.5, 200ns, 40ns)); }"
    (weights,) = [one for name, one in lowered(text).weights.items() if name == "iq"]
    k = np.arange(200)
    ideal = np.conj(waveforms.gaussian(200, 40) * np.exp(1j * (2 * np.pi * 0.1 * k + np.pi / 3)))
    assert np.abs(weights.samples).max() == 4095
    assert (
        np.abs(
            (weights.samples[0] + 1j * weights.samples[1]) / 4095 - ideal / np.abs([ideal.real, ideal.imag]).max()
        ).max()
        < 3e-4
    )


def test_without_a_calibration_nominal_weights_stand_in():
    """As for gates: so that a program can be checked, and its times are those that it will have."""
    assert [op.ticks for op in block("bit c; cal { c = capture_v2(q0_acquire); }", "q0_acquire")[1:]] == [1000]


def test_calibrated_frames_have_weights_and_threshold_of_their_own(demo_lab, demo_calibration):
    text = "bit c; cal { c = capture_v2(q0_acquire); }"
    pulses = lower(parse_program(HEAD + text, "p.qasm"), demo_lab, demo_calibration, {})
    (weights,) = [one for name, one in pulses.weights.items() if name != "q0.weights"]
    found = demo_calibration.qubits["q0"]
    assert np.array_equal(weights.samples, found.weights)
    assert weights.threshold == found.threshold
    assert weights.qubit == ""


# ---- Built in Python -----------------------------------------------------------------------------------------------------


def test_nan_among_the_samples_that_oqpy_is_given_is_told_as_such():
    program = oqpy.Program()
    with oqpy.Cal(program):
        program.declare(oqpy.WaveformVar([0.1, float("nan")], "samples"))
    built = program_of(program.to_ast(encal_declarations=True), "p.py")
    with pytest.raises(ProgramError, match="nan is written here, which is no number"):
        lower(built, LAB, None, {})


def test_a_program_that_oqpy_builds_is_the_same_as_its_text():
    program = oqpy.Program()
    port = oqpy.PortVar("drive_q0")
    own, tone, ear = (
        oqpy.FrameVar(port, 4.9e9, 0.25, name="own"),
        oqpy.FrameVar(name="q0_readout"),
        oqpy.FrameVar(name="q0_acquire"),
    )
    gaussian = oqpy.declare_waveform_generator(
        "gaussian", [("amp", oqpy.complex128), ("d", oqpy.duration), ("sigma", oqpy.duration)]
    )
    samples = oqpy.WaveformVar([0.1, 0.2, 0.3], "samples")
    iq, bit, qubit = oqpy.ComplexVar(name="iq"), oqpy.BitVar(name="c"), oqpy.PhysicalQubits[0]
    with oqpy.defcal(program, qubit, "x"):
        program.play(own, gaussian(0.3, 40e-9, 10e-9))
        program.shift_phase(own, oqpy.pi / 2)
    program.gate(qubit, "x")
    with oqpy.ForIn(program, range(2), "i"), oqpy.Cal(program):
        program.play(own, samples)
        program.delay(30e-9, own)
    with oqpy.Cal(program):
        program.barrier([tone, ear])
        program.set(iq, oqpy.OQFunctionCall("capture_v1", [ear, gaussian(1, 1e-6, 2e-7)], None))
    program.measure(qubit, bit)
    built = lower(program_of(program.to_ast(encal_declarations=True), "p.py"), LAB, None, {})
    read = lower(parse_program(program.to_qasm(encal_declarations=True), "p.qasm"), LAB, None, {})
    assert [type(op) for op in built.blocks["q0"][:2]] == [Play, ShiftPhase]
    assert list(built.blocks) == list(read.blocks) == ["q0", "q0_readout", "q0_acquire"]
    for name, ops in built.blocks.items():
        assert [placeless(op) for op in ops] == [placeless(op) for op in read.blocks[name]]
    assert all(np.array_equal(built.weights[name].samples, one.samples) for name, one in read.weights.items())


# ---- Refused -------------------------------------------------------------------------------------------------------------

REFUSED = [
    (
        "cal { port drive_q7; }",
        7,
        ["no port 'drive_q7'", "did you mean drive_q", "drive_q0, drive_q1, readout, digitizer"],
    ),
    ("cal { frame q0_drife; }", 7, ["no calibrated frame 'q0_drife'", "did you mean q0_drive?", "q0_acquire"]),
    ("cal { waveform q0_sy; }", 7, ["no calibrated waveform 'q0_sy'", "q0_tone"]),
    ("cal { play(f0, q0_sx); }", 12, ["'f0' is no frame", "q0_drive"]),
    ("cal { play(q0_drive, w0); }", 22, ["'w0'"]),
    ("cal { play(q0_drive, gaus(0.1, 10ns)); }", 22, ["'gaus' is no function; did you mean gauss"]),
    (
        "cal { play(q0_drive, gaussian(0.1, 10ns)); }",
        22,
        ["takes 3 arguments, not 2", "gaussian(complex amp, duration d, duration sigma)"],
    ),
    ("cal { play(q0_drive, gaussian(10ns, 0.1, 3ns)); }", 22, ["amp of gaussian is duration"]),
    ("cal { play(q0_drive, constant(1.2, 10ns)); }", 7, ["1.2 of full scale", "sample 0 of 10", "up to 1"]),
    ("cal { waveform w = {0.1, 0.8 + 0.8im}; play(q0_drive, w); }", 40, ["1.13137", "sample 1 of 2"]),
    (
        "cal { play(q0_drive, constant(0.1, 10.5ns)); }",
        22,
        ["10.5 ns", "samples of 1 ns", "10 ns and 11 ns", "--round"],
    ),
    ("cal { play(q0_drive, constant(0.1, -10ns)); }", 22, ["-10 ns", "negative"]),
    ("cal { play(q0_drive, constant(0.1, 0ns)); }", 22, ["empty"]),
    ("cal { play(q0_drive, gaussian(0.1, 10ns, 0ns)); }", 22, ["sigma is 0 samples"]),
    ("cal { play(q0_drive, mix(constant(1, 3ns), constant(1, 4ns))); }", 22, ["3 and 4 samples"]),
    ("cal { delay[-5ns] q0_drive; }", 7, ["-5 ns is negative"]),
    ("cal { delay[0.5ns] q0_drive; }", 7, ["no whole number of ticks", "0 ns and 1 ns"]),
    (
        "cal { set_frequency(q0_drive, 5.4e9); }",
        7,
        ["5400000000 Hz", "+5.5e+08 Hz", "4850000000", "4350000000 to 5350000000 Hz"],
    ),
    ("cal { frame f = newframe(drive_q0, 4.3e9, 0); }", 17, ["-5.5e+08 Hz from the source"]),
    ("cal { frame f = newframe(drive_q0, 4.3e9); }", 7, ["a port, a frequency in Hz and a phase"]),
    ("cal { frame f = 3; }", 7, ["newframe(port, frequency, phase)"]),
    (
        "cal { complex iq = capture_v1(q0_drive, 1us); }",
        20,
        ["port drive_q0, where nothing comes back", "readout, digitizer"],
    ),
    ("cal { play(q0_acquire, q0_tone); }", 7, ["digitizer, which only records", "drive_q0, drive_q1, readout"]),
    ("bit c; cal { c = capture_v2(q0_acquire, constant(1, 1us)); }", 18, ["which value", "threshold"]),
    ("bit c; cal { c = capture_v2(q0_acquire, 1us, 0.5); }", 18, ["threshold", "float"]),
    ("cal { capture_v4(q0_acquire, 1us); }", 7, ["no instrument of a lab counts"]),
    (
        "cal { frame e = newframe(digitizer, 7.1e9, 0); capture_v0(e); }",
        0,
        ["not 1 arguments", "frame of the calibration"],
    ),
    ("bit c; cal { c = capture_v0(q0_acquire); }", 18, ["returns nothing", "capture_v2 gives"]),
    ("bit c; cal { frame e = newframe(digitizer, 7.1e9, 0); c = capture_v2(e); }", 0, ["not 1 arguments"]),
    ("cal { complex iq = capture_v1(q0_acquire); }", 20, ["(frame, waveform filter)", "not 1 arguments"]),
    ("cal { complex iq = capture_v1(q0_acquire, constant(0, 1us)); }", 20, ["zero throughout"]),
    ("cal { complex iq = capture_v1(q0_acquire, 1us); complex r = iq + 1; }", 0, ["for the record"]),
    (
        "bit c = measure $0; defcal measure $0 -> bit { play(q0_readout, q0_tone); }",
        21,
        ["defcal measure returns nothing", "a bit is needed"],
    ),
    ("bit c = measure $0; defcal measure $0 { play(q0_readout, q0_tone); }", 21, ["-> bit"]),
    ("bit c = measure $0; defcal measure $0 -> bit { return 0.5; }", 21, ["returns float", "a bit is needed"]),
    ("defcal x $0 { x $0; } x $0;", 15, ["calls itself", "x -> x"]),
    ("defcal x $0 { } inv @ x $0;", 17, ["says nothing of it with the modifier inv"]),
    (
        "bit c = measure $0; cal { shift_frequency(q0_readout, 1e6); } c = measure $0;",
        63,
        ["changed frequency or phase of q0_readout", "defcal measure"],
    ),
    (
        "cal { extern gaussian(duration, duration, float) -> waveform; }",
        7,
        ["gaussian(duration, duration, float)", "gaussian(complex amp"],
    ),
    ('defcalgrammar "other";', 1, ['supported: defcalgrammar "openpulse"']),
    ("cal { 3 + 4; }", 7, ["does nothing"]),
    ("cal { shift_phase(q0_drive); }", 7, ["takes 2 arguments, not 1", "shift_phase(frame, radians)"]),
    ("cal { frame q0_drive; } play(q0_drive, q0_sx);", 25, ["play stands in the body of a cal or defcal"]),
    ("cal { barrier q0_drive, f9; }", 25, ["'f9'"]),
    (
        "bit c = measure $0; if (c) { cal { shift_phase(q0_drive, 1); } } cal { set_phase(q0_drive, 0); }",
        72,
        ["the phase of q0_drive", "two sides of the branch"],
    ),
]


@pytest.mark.parametrize(("text", "column", "words"), REFUSED, ids=[text for text, _, _ in REFUSED])
def test_what_cannot_be_is_refused_at_its_place(text, column, words):
    with pytest.raises(ProgramError) as caught:
        lowered(text)
    message = str(caught.value)
    assert message.startswith(f"p.qasm:3:{column or ''}"), message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "input duration d; cal { play(q0_drive, constant(0.1, d)); }",
            ["inputs that vary", "only amplitude and phase"],
        ),
        (
            "input float s; cal { play(q0_drive, gaussian(0.1, 40ns, s * 1ns)); }",
            ["sigma of gaussian", "inputs that vary"],
        ),
        ("input float a; cal { play(q0_drive, sum(scale(q0_sx, a), q0_sx)); }", ["a shape that varies"]),
        (
            "input float a; cal { complex iq = capture_v1(q0_acquire, scale(constant(1, 1us), a)); }",
            ["filter", "varies", "leave it out"],
        ),
        (
            "input duration d; cal { delay[d] q0_acquire; complex iq = capture_v1(q0_acquire, 1us); }",
            ["duration that varies", "barrier"],
        ),
    ],
)
def test_what_makes_samples_cannot_vary(text, words):
    with pytest.raises(ProgramError) as caught:
        lowered(text, varied=(text.split(";")[0].split()[-1],))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_rounding_is_told_for_each_duration_that_is_off_the_grid():
    text = "qubit q; cal { play(q0_drive, constant(0.1, 10.4ns)); delay[20.6ns] q0_drive; } "
    text += "delay[30.5001ns] q; delay[30.5001ns] q; delay[40ns] q;"
    told = []
    (play, *waits) = lower(parse_program(HEAD + text, "p.qasm"), LAB, None, {}, rounded=told).blocks["q0"]
    assert play.envelope == "constant_10"
    assert [wait.ticks for wait in waits] == [21, 31, 31, 40]
    assert told == [
        "p.qasm:3:31: constant's duration of 10.4 ns was rounded to 10 ns",
        "p.qasm:3:55: a delay of 20.6 ns was rounded to 21 ns",
        "p.qasm:3:81: a delay of 30.5001 ns was rounded to 31 ns",
        "p.qasm:3:101: a delay of 30.5001 ns was rounded to 31 ns",
    ]


def test_a_swept_frequency_beyond_the_nco_is_refused_at_its_point():
    program = parse_program(
        HEAD + "input float f; cal { frame p = newframe(drive_q0, f, 0); play(p, q0_sx); }", "p.qasm"
    )
    grid = grid_of({"f": "linspace(4.9e9, 5.5e9, 3)"}, program, {}, "point", 1)
    with pytest.raises(ProgramError, match=r"p.qasm:3:32: at f = 5500000000 .*beyond what an NCO can add"):
        compile_pulses(lower(program, LAB, None, {}, ("f",)), LAB, LIMITS, reach_of(LAB, program, grid))


def test_too_much_waveform_memory_is_refused_with_the_line():
    plays = "\n".join(f"play(q0_drive, gaussian(0.1, {count}ns, 10ns));" for count in range(100, 110))
    with pytest.raises(ProgramError, match=r"p.qasm:12:.*needs 9 segments.*room for 8"):
        compile_pulses(lowered(f"cal {{\n{plays} }}"), LAB, LIMITS)
    with pytest.raises(ProgramError, match=r"p.qasm:3:.*5001 samples.*5000 samples"):
        compile_pulses(lowered("cal { play(q0_drive, constant(0.1, 5001ns)); }"), LAB, LIMITS)


def test_too_long_a_capture_is_refused_with_the_line():
    with pytest.raises(ProgramError, match=r"p.qasm:3:.*4001 samples for iq.*1 to 4000: capture for less time"):
        compile_pulses(lowered("cal { complex iq = capture_v1(q0_acquire, 4001ns); }"), LAB, LIMITS)


def test_more_clocks_than_sequencers_are_refused():
    frames = " ".join(f"frame f{k} = newframe(readout, 7.1e9, 0); play(f{k}, constant(0.01, 10ns));" for k in range(17))
    with pytest.raises(ProgramError, match="17 sequencers; the kernel has 16"):
        compile_pulses(lowered(f"cal {{ {frames} }}"), LAB, LIMITS)
