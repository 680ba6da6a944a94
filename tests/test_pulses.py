"""Gates as pulses, against matrices that know nothing of pulses; programs as blocks, against hand-written ones."""

import math
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qrt import config
from qrt.errors import CalibrationError, ProgramError
from qrt.pulses import GateSet, lower
from qrt.pulses.gates import cosine_envelope
from qrt.qasm import parse_program
from qrt.types import (
    Bits,
    Calibration,
    Capture,
    Estimated,
    If,
    Op,
    Play,
    Pulses,
    QubitCalibration,
    ShiftPhase,
    Sync,
    Wait,
    WriteBit,
)

Matrix = NDArray[np.complex128]

LAB = config.load(Path(__file__).with_name("lab.toml"))
X = np.array([[0, 1], [1, 0]], complex)
Y = np.array([[0, -1j], [1j, 0]], complex)
Z = np.array([[1, 0], [0, -1]], complex)


def lowered(body: str, qubits: int = 2, **inputs: float) -> Pulses:
    text = f"qubit[{qubits}] q; bit[2] c; {body}"
    return lower(parse_program(text, "p.qasm"), LAB, None, inputs)


def block(body: str, name: str = "q0") -> tuple[Op, ...]:
    return lowered(body).blocks[name]


def kinds(ops: tuple[Op, ...]) -> list[str]:
    return [type(op).__name__ for op in ops]


# ---- Matrices --------------------------------------------------------------------------------------------------------------


def turn(axis: Matrix, angle: float) -> Matrix:
    """exp(-i angle axis / 2) for an axis that squares to one."""
    return math.cos(angle / 2) * np.eye(2) - 1j * math.sin(angle / 2) * axis


def gate_matrix(name: str, angle: float) -> Matrix:
    """The gate as the language defines it."""
    match name:
        case "x":
            return X
        case "sx":
            return np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
        case "h":
            return np.array([[1, 1], [1, -1]]) / math.sqrt(2)
        case "rx" | "ry" | "rz":
            return turn({"rx": X, "ry": Y, "rz": Z}[name], angle)
    return np.eye(2, dtype=complex)


def pulse_matrix(ops: tuple[Op, ...], unit: float) -> Matrix:
    """What pulses do to a resonant qubit, its frame's final turn included: amplitude `unit` is pi/2 about cos(phase) X + sin(phase) Y."""
    phase, matrix = 0.0, np.eye(2, dtype=complex)
    for op in ops:
        match op:
            case ShiftPhase(frame="q0.drive"):
                phase += op.phase_rad if op.turns is None else 2 * math.pi * float(op.turns)
            case Play(frame="q0.drive", envelope="q0.sx"):
                matrix = turn(math.cos(phase) * X + math.sin(phase) * Y, math.pi / 2 * op.amplitude / unit) @ matrix
    return turn(Z, -phase) @ matrix


def assert_same_up_to_phase(found: Matrix, wanted: Matrix) -> None:
    assert abs(np.trace(found.conj().T @ wanted)) == pytest.approx(2, abs=1e-9)


TURNS = {"rx", "ry", "rz"}
# One pulse of the nominal envelope turns by 2 pi at most.
GATES = st.tuples(st.sampled_from(["x", "sx", "h", "rx", "ry", "rz", "id"]), st.floats(-6.28, 6.28))


@given(st.lists(GATES, max_size=12))
def test_gates_are_the_matrices_of_the_language(gates: list[tuple[str, float]]) -> None:
    text = "".join(f"{name}({angle!r}) q[0];" if name in TURNS else f"{name} q[0];" for name, angle in gates)
    wanted = np.eye(2, dtype=complex)
    for name, angle in gates:
        wanted = gate_matrix(name, angle) @ wanted
    assert_same_up_to_phase(pulse_matrix(block(text), GateSet(LAB).sx_amplitude("q0")), wanted)


def test_rx_and_ry_are_one_pulse_whose_amplitude_is_the_angle() -> None:
    for text, amplitude in (("pi/2", 0.25), ("-pi/2", -0.25), ("2*pi", 1.0), ("3*pi/2", 0.75), ("0", 0.0)):
        for gate in ("rx", "ry"):
            (play,) = (op for op in block(f"{gate}({text}) q[0];") if isinstance(op, Play))
            assert (play.amplitude, play.envelope) == (amplitude, "q0.sx")
    with pytest.raises(
        ProgramError,
        match=r"^p.qasm:1:23: a turn by 2.002 pi in one pulse needs 1.001 of full scale on q0; .* up to 2 pi",
    ):
        block("rx(2.002*pi) q[0];")


@pytest.mark.parametrize("angle", [-2.2, -math.pi / 2, -0.3, 0.3, math.pi / 2, 2.2])
def test_the_sign_of_rz(angle: float) -> None:
    # ry(pi/2) puts the qubit on +X, rz(theta) turns it towards +Y by theta, sx turns +Y to +Z: P(1) = (1 - sin theta) / 2.
    ry = "rz(-pi/2) q[0]; sx q[0]; rz(pi/2) q[0];"
    found = pulse_matrix(block(f"{ry} rz({angle!r}) q[0]; sx q[0];"), GateSet(LAB).sx_amplitude("q0"))
    assert abs(found[1, 0]) ** 2 == pytest.approx((1 - math.sin(angle)) / 2, abs=1e-12)
    assert_same_up_to_phase(found, turn(X, math.pi / 2) @ turn(Z, angle) @ turn(Y, math.pi / 2))


def test_rational_multiples_of_pi_are_exact() -> None:
    shifts = [
        op.turns
        for op in block("rz(pi/3) q[0]; rz(-tau/8) q[0]; rz(1) q[0]; rz(9*pi) q[0]; h q[0];")
        if isinstance(op, ShiftPhase)
    ]
    assert shifts == [Fraction(5, 6), Fraction(1, 8), None, Fraction(1, 2), Fraction(3, 4), Fraction(3, 4)]


def test_envelope_of_sx() -> None:
    for count in (20, 30, 41):
        envelope = cosine_envelope(count)
        assert envelope.shape == (count,)
        assert envelope.sum() == pytest.approx(count / 2)
        assert np.abs(envelope).max() <= 1
        assert np.abs(envelope[[0, -1]]).max() < 10 / count**2
        assert envelope == pytest.approx(envelope[::-1])


# ---- Gates as operations -----------------------------------------------------------------------------------------------------


def test_measure_is_capture_and_tone_at_one_tick_then_the_depletion() -> None:
    capture, tone, wait = GateSet(LAB).measure("q1", 3)
    assert capture == Capture("q1.weights", 3)
    assert tone == Play("q1.readout", "q1.tone", 0.25, restart=True)
    assert wait == Wait(500)


def test_reset_is_measure_and_a_padded_x() -> None:
    *measure, branch = GateSet(LAB).reset("q0", 0)
    assert tuple(measure) == GateSet(LAB).measure("q0", 0)
    assert branch == If(Bits((0,)), GateSet(LAB).x("q0"), (), pad=True)


def test_id_waits_as_long_as_x_takes() -> None:
    assert GateSet(LAB).id("q0") == (Wait(60),)
    assert kinds(GateSet(LAB).x("q0")) == ["Play", "Play"]


def test_frames_are_relative_to_the_source() -> None:
    frames = GateSet(LAB).frames()
    assert {name: frame.frequency_hz for name, frame in frames.items()} == {
        "q0.drive": 100e6, "q0.readout": 100e6, "q1.drive": 100e6, "q1.readout": 180e6,
    }  # fmt: skip
    assert frames["q1.readout"].line == "readout"


def test_nominal_weights_see_their_own_tone_and_not_the_other() -> None:
    weights = GateSet(LAB).weights()
    time_s = np.arange(1000) * 1e-9
    for own, other, tone_hz in (("q0", "q1", 100e6), ("q1", "q0", 180e6)):
        for phase in (0.0, 0.7, -2.0):
            tone = np.cos(2 * np.pi * tone_hz * time_s + phase)
            i, q = weights[f"{own}.weights"].samples.astype(float) @ tone
            assert math.atan2(q, i) == pytest.approx(phase, abs=1e-3)
            assert math.hypot(i, q) == pytest.approx(4095 * 500, rel=1e-3)
            assert np.abs(weights[f"{other}.weights"].samples.astype(float) @ tone).max() < 4095 * 500 * 1e-3


def calibrated() -> Calibration:
    number = Estimated(0.0, 0.0)
    found = QubitCalibration(
        frequency_hz=Estimated(4.951e9, 1e3), sx_amplitude=Estimated(0.31, 1e-3), x_error=number, readout_hz=7.103e9, readout_amplitude=0.2,
        weights=np.full((2, 1000), 7, np.int16), threshold=-12, assignment=np.eye(2), assignment_stderr=np.zeros((2, 2)),
        preparation_stderr=np.zeros((2, 2)), reference_count=1, t1_s=number, t2_s=number,
    )  # fmt: skip
    return Calibration("", 0, 0, {"q0": found, "q1": found})


def test_calibrated_numbers_take_the_place_of_nominal_ones() -> None:
    gates = GateSet(LAB, calibrated())
    assert gates.frames(["q0"])["q0.drive"].frequency_hz == 101e6
    assert gates.frames(["q0"])["q0.readout"].frequency_hz == 103e6
    assert gates.weights(["q0"])["q0.weights"].threshold == -12
    assert [op.amplitude for op in (*gates.sx("q0"), *gates.measure("q0", None)) if isinstance(op, Play)] == [0.31, 0.2]


def test_calibrations_of_other_labs_are_refused() -> None:
    calibration = calibrated()
    with pytest.raises(CalibrationError, match="no qubit 'q1'; it has q0"):
        GateSet(LAB, msgspec.structs.replace(calibration, qubits={"q0": calibration.qubits["q0"]})).frames()
    short = msgspec.structs.replace(calibration.qubits["q0"], weights=np.zeros((2, 999), np.int16))
    with pytest.raises(CalibrationError, match=r"weights for 'q1' have shape \[2, 999\]"):
        GateSet(LAB, msgspec.structs.replace(calibration, qubits={"q0": calibration.qubits["q0"], "q1": short})).sx(
            "q1"
        )


# ---- Programs ----------------------------------------------------------------------------------------------------------------


def test_qubits_map_in_order_and_by_number() -> None:
    assert list(lower(parse_program("qubit a; qubit b; x b;", "p"), LAB, None, {}).blocks) == ["q0", "q1"]
    assert list(lower(parse_program("x $1;", "p"), LAB, None, {}).blocks) == ["q1"]
    for text, wanted in (
        ("qubit[3] q;", r"has 2 qubits \(0: q0, 1: q1\); q\[2\] would be number 2"),
        ("x $7;", r"\$7 would be number 7"),
    ):
        with pytest.raises(ProgramError, match=wanted):
            lower(parse_program(text, "p"), LAB, None, {})


def test_only_the_qubits_of_the_program_have_frames() -> None:
    pulses = lowered("x q[0];", qubits=1)
    assert set(pulses.frames) == {"q0.drive", "q0.readout"}
    assert pulses.period_ticks == 7000


def test_own_bits_need_no_sync() -> None:
    assert kinds(block("c[0] = measure q[0]; if (c[0]) x q[0]; reset q[0]; reset q[0];")) == [
        *["Capture", "Play", "Wait", "If"] * 3,
    ]
    assert lowered("reset q[0]; reset q[0]; reset q[1];").bits == ("c[0]", "c[1]", "q0.reset", "q1.reset")


def test_reading_another_qubits_bit_syncs_after_the_capture() -> None:
    pulses = lowered("c[0] = measure q[0]; if (c[0]) x q[1]; x q[0];")
    assert kinds(pulses.blocks["q0"]) == ["Capture", "Play", "Wait", "Sync", "Play", "Play"]
    assert kinds(pulses.blocks["q1"]) == ["Sync", "If"]
    # Once in order, they stay so.
    again = lowered("c[0] = measure q[0]; if (c[0]) x q[1]; if (c[0]) sx q[1];")
    assert kinds(again.blocks["q1"]) == ["Sync", "If", "If"]


def test_writing_a_bit_that_another_qubit_reads_syncs_first() -> None:
    pulses = lowered("c[0] = measure q[0]; if (c[0]) x q[1]; c[0] = measure q[0];")
    assert kinds(pulses.blocks["q0"]) == ["Capture", "Play", "Wait", "Sync", "Sync", "Capture", "Play", "Wait"]
    assert kinds(pulses.blocks["q1"]) == ["Sync", "If", "Sync"]


def test_a_branch_over_two_qubits_is_a_branch_in_each() -> None:
    pulses = lowered("c[0] = measure q[0]; if (c[0]) { x q[0]; barrier q; x q[1]; } else sx q[1];")
    for name, then, otherwise in (("q0", ["Play", "Play", "Sync"], []), ("q1", ["Sync", "Play", "Play"], ["Play"])):
        branch = pulses.blocks[name][-1]
        assert isinstance(branch, If)
        assert branch.pad
        assert (kinds(branch.then), kinds(branch.otherwise)) == (then, otherwise)


def test_a_bit_that_is_measured_again_inside_a_branch_is_read_by_all_first() -> None:
    pulses = lowered("c[0] = measure q[0]; if (c[0]) { c[0] = measure q[0]; x q[1]; }")
    branch = pulses.blocks["q0"][-1]
    assert isinstance(branch, If)
    assert kinds(branch.then) == ["Sync", "Capture", "Play", "Wait"]


def test_barrier_and_delay_of_several_begin_together() -> None:
    pulses = lowered("barrier q; barrier q[0]; delay[100ns + 2dt] q; delay[1us] q[1];")
    assert kinds(pulses.blocks["q0"]) == ["Sync", "Sync", "Wait"]
    assert pulses.blocks["q0"][0] == Sync(("q0", "q1"), pulses.blocks["q0"][0].source)
    assert [op.ticks for op in pulses.blocks["q1"] if isinstance(op, Wait)] == [102, 1000]


def test_bits_that_begin_as_one_are_written_and_known() -> None:
    pulses = lowered('x q[1]; bit[2] d = "10"; if (d[1]) x q[1]; if (d[1]) x q[0];')
    assert kinds(pulses.blocks["q0"]) == ["WriteBit", "Play", "Play"]
    assert kinds(pulses.blocks["q1"]) == ["Play", "Play", "Play", "Play"]
    assert pulses.blocks["q0"][0] == WriteBit(3, 1, pulses.blocks["q0"][0].source)


def test_empty_branches_leave_nothing() -> None:
    assert kinds(block("c[0] = measure q[0]; if (c[0]) { }")) == kinds(block("c[0] = measure q[0];"))


@pytest.mark.parametrize(
    ("body", "inputs", "wanted"),
    [
        ("input float t; rz(t) q[0];", {}, "p.qasm:1:23: input 't' has no value; give one for each of: t"),
        ("input float theta; rz(theta) q[0];", {"theta": 1.0, "thet": 2.0}, "no input 'thet'; did you mean theta?"),
        ("x q[0];", {"a": 1.0}, "no input 'a'; its inputs: none"),
        ("input float t; rz(t) q[0];", {"t": math.nan}, "input 't' is nan; a finite number"),
        ("input int n; rz(n) q[0];", {"n": 1.5}, "input 'n' is 1.5; int is a whole number"),
        ("input uint n; rz(n) q[0];", {"n": -1}, "input 'n' is -1; uint is a whole number, at least 0"),
        (
            "delay[0.5ns] q[0];",
            {},
            "p.qasm:1:23: a delay of 0.5 ns is no whole number of ticks of 1 ns; nearest: 0 ns and 1 ns",
        ),
        ("delay[10ns - 11ns] q[0];", {}, "a delay of -1 ns is negative"),
        ("input float t; delay[t*1us] q[0];", {"t": 0.0015}, "a delay of 1.5 ns is no whole number of ticks"),
        ("input float t; rz(1/t) q[0];", {"t": 0.0}, "division by zero"),
    ],
)
def test_what_cannot_be_lowered_is_told(body: str, inputs: dict[str, float], wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        lowered(body, **inputs)
    assert wanted in str(caught.value)


def test_inputs_are_the_decimals_that_they_print_as() -> None:
    assert [
        op.ticks for op in lowered("input float t; delay[t*1us] q[0];", t=0.123).blocks["q0"] if isinstance(op, Wait)
    ] == [123]
    assert [
        op.turns for op in lowered("input angle t; rz(t*pi) q[0];", t=0.1).blocks["q0"] if isinstance(op, ShiftPhase)
    ] == [Fraction(19, 20)]


def test_the_example_is_a_program_of_this_lab(project: Path) -> None:
    path = project / "examples" / "active_reset.qasm"
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    pulses = lower(parse_program(text, str(path)), LAB, None, {})
    assert pulses.bits == ("before", "after")
    assert kinds(pulses.blocks["q0"]) == [
        "ShiftPhase",
        "Play",
        "ShiftPhase",
        "Capture",
        "Play",
        "Wait",
        "If",
        "Capture",
        "Play",
        "Wait",
    ]
