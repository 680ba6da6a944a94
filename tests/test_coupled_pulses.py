"""cz as pulses: who plays, who waits, and whose frames turn; which pairs have it; couplers in the lab file."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.compile import compile_pulses, compile_template
from qrt.errors import ConfigError, ProgramError
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.timeline import schedule
from qrt.types import (
    Calibration,
    Coupler,
    CouplerCalibration,
    Estimated,
    Lab,
    Play,
    PortLimits,
    Pulses,
    ShiftPhase,
    Sync,
    Wait,
)
from tests.reference_ideal import ideal_calibration, ideal_lab

TEXT = Path(__file__).parents[1].joinpath("configs", "coupled.toml").read_text().partition("\n[twin]")[0]
CZ_TICKS = 120
LIMITS = PortLimits(300, 1, 1, 4096, 64, 65536, 16)


def coupled_lab(count: int = 3) -> Lab:
    """A lab whose first qubit is joined to each other one."""
    lab = ideal_lab(count)
    lines, couplers = dict(lab.lines), {}
    for name in list(lab.qubits)[1:]:
        lines[f"c_{name}"] = msgspec.structs.replace(lab.lines["drive_q1"], awg=f"awg_c_{name}", source_hz=6e9)
        couplers[f"q0_{name}"] = Coupler((name, "q0"), f"c_{name}", 6.1e9, float(CZ_TICKS))
    return msgspec.structs.replace(lab, lines=lines, couplers=couplers)


LAB = coupled_lab()


def exactly(value: float) -> Estimated:
    return Estimated(value, 0.0)


def calibration(*couplers: str) -> Calibration:
    found = CouplerCalibration(exactly(0.4), exactly(0.0), (exactly(0.3), exactly(-0.7)))
    return msgspec.structs.replace(ideal_calibration(3), couplers=dict.fromkeys(couplers, found))


def lowered(body: str, values: Calibration | None = None, **inputs: float) -> Pulses:
    return lower(parse_program(body, "p.qasm"), LAB, values, inputs)


def events(pulses: Pulses) -> list[tuple[str, int, int]]:
    """Plays and waits: (operands, tick, duration)."""
    return [
        (one.operands, one.tick, one.duration_ticks) for one in schedule(pulses, LIMITS).events if one.kind == "play"
    ]


def test_both_qubits_take_part_from_when_both_are_free() -> None:
    pulses = lowered("qubit[3] q; x q[1]; cz q[0], q[1]; sx q[0];", calibration("q0_q1"))
    pulse, *turn = pulses.blocks["q1"][-2:]
    assert (pulse.frame, pulse.envelope, pulse.amplitude) == ("q0_q1.cz", "q0_q1.cz", 0.4)
    assert [(one.frame, one.phase_rad) for one in turn] == [("q1.drive", -0.3)]
    sync, wait, own, _ = pulses.blocks["q0"]
    assert sync == pulses.blocks["q1"][-3] == Sync(("q0", "q1"), sync.source)
    assert (wait.ticks, own.frame, own.phase_rad) == (CZ_TICKS, "q0.drive", 0.7)
    assert pulses.frames["q0_q1.cz"].line == "c_q1"
    assert pulses.frames["q0_q1.cz"].frequency_hz == pytest.approx(1e8)
    starts = {operands.split(" x ")[0]: tick for operands, tick, _ in events(pulses)}
    assert starts["q0_q1.cz"] == 60
    assert starts["q0.sx"] == 60 + CZ_TICKS


def test_the_envelope_has_soft_edges_and_a_flat_top() -> None:
    shape = lowered("qubit[3] q; cz q[0], q[1];").envelopes["q0_q1.cz"]
    assert shape.shape == (CZ_TICKS,)
    assert np.all(shape.imag == 0)
    assert np.all(shape[30:90] == 1)
    assert np.all(np.diff(shape.real[:31]) > 0)
    assert np.allclose(shape, shape[::-1])
    assert 0 < shape.real[0] < 1e-3


def test_either_order_is_the_same_and_frames_do_not_turn_without_a_calibration() -> None:
    blocks = [lowered(f"qubit[3] q; cz {pair};").blocks for pair in ("q[0], q[2]", "q[2], q[0]")]
    for one in blocks:
        assert [type(op) for op in one["q2"]] == [Sync, Play]
        assert [type(op) for op in one["q0"]] == [Sync, Wait]


def test_pairs_without_a_coupler_or_calibration_are_refused_by_name() -> None:
    for body, wanted in (
        ("cx q[1], q[2];", ("p.qasm:1:13: cx needs cz between q[1] and q[2]: the lab 'demo' has no coupler between q1 and q2; its couplers "
         "join q1 and q0, q2 and q0: use these, let a transpiler such as Qiskit's route the program over them, or write a defcal cz")),
        ("gate bell a, b { h a; ctrl @ x a, b; } bell q[0], q[2];", ("p.qasm:1:35: x needs cz between q[0] and q[2]: the calibration "
         "has no coupler 'q0_q2', which joins them: qrt calibrate cz, or write a defcal cz")),
        ("ctrl(2) @ z q[0], q[1], q[2];", "z needs cz between"),
        ("ctrl @ gphase(1) q[0]; ctrl(2) @ gphase(pi) q[1], q[2];", "this needs cz between q[1] and q[2]"),
    ):  # fmt: skip
        with pytest.raises(ProgramError) as caught:
            lowered(f"qubit[3] q; {body}", calibration("q0_q1"))
        assert wanted in str(caught.value)
    with pytest.raises(ProgramError, match=r"it has none: \[couplers\.NAME\] in the lab file"):
        lower(parse_program("qubit[2] q; cx q[0], q[1];", "p.qasm"), ideal_lab(2), None, {})


def test_branches_boxes_and_durations_hold_it() -> None:
    body = "qubit[3] q; bit c; c = measure q[2]; if (c) { cz q[0], q[1]; } else { x q[0]; } x q[1];"
    pulses = lowered(body, calibration("q0_q1"))
    plays = {operands.split(" x ")[0]: tick for operands, tick, _ in events(pulses)}
    (branch,) = {one.tick for one in schedule(pulses, LIMITS).events if one.kind == "if" and one.sequencer == "q1"}
    assert plays["q0_q1.cz"] == branch
    assert max(tick for operands, tick, _ in events(pulses) if operands.startswith("q1.sx")) == branch + CZ_TICKS + 30
    compile_pulses(pulses, LAB, LIMITS)
    rows = schedule(lowered("qubit[3] q; box[220ns] { x q[0]; cx q[0], q[1]; } x q[1];"), LIMITS).events
    assert max(one.tick for one in rows if one.operands.startswith("q1.sx")) == 250
    with pytest.raises(ProgramError, match="10 ticks after the end of the box"):
        schedule(lowered("qubit[3] q; box[200ns] { x q[0]; cx q[0], q[1]; x q[1]; }"), LIMITS)
    text = "qubit[3] q; const duration d = durationof({ x q[0]; cz q[0], q[1]; }); delay[d] q[2]; x q[2];"
    assert min(one.tick for one in schedule(lowered(text), LIMITS).events if one.kind == "play") == 60 + CZ_TICKS


PULSED = 'OPENQASM 3.0; defcalgrammar "openpulse"; include "stdgates.inc"; '


def test_a_defcal_of_cz_takes_the_place_of_the_calibration_s_in_either_order_and_in_what_is_made_of_it() -> None:
    own = "defcal cz $1, $2 { play(q1_drive, scale(q1_sx, 0.5)); shift_phase(q2_drive, 0.2); } "
    for call, count in (("cz $1, $2;", 1), ("cx $2, $1;", 1), ("swap $1, $2;", 3), ("inv @ cp(0.3) $1, $2;", 2)):
        pulses = lowered(PULSED + own + call, calibration())
        halves = [op for op in pulses.blocks["q1"] if isinstance(op, Play) and op.amplitude < 0.2 * 0.5]
        assert len(halves) == count, call
        turns = [op for op in pulses.blocks["q2"] if isinstance(op, ShiftPhase) and op.phase_rad == 0.2]
        assert len(turns) == count, call
    with pytest.raises(ProgramError, match="no coupler between q1 and q2"):
        lowered(PULSED + "defcal cz $0, $1 { } cz $1, $2;", calibration())


def test_a_coupler_is_a_port_with_a_frame_and_a_waveform_whose_amplitude_and_duration_vary() -> None:
    body = """input float a; input duration d;
    cal { play(q0_q1_drive, scale(q0_q1_cz, a)); delay[d] q0_q1_drive; play(q0_q1_drive, constant(0.1, 40ns)); }
    cal { frame f = newframe(c_q1, 6.05e9, 0.0); play(f, constant(0.1, 40ns)); }
    """
    pulses = lowered(PULSED + body, calibration("q0_q1"), a=0.5, d=100e-9)
    assert list(pulses.blocks) == ["q1"]
    assert [(operands.split(" x ")[0], tick) for operands, tick, _ in events(pulses)] == [
        ("q0_q1_cz", 0), ("constant_40", 220), ("constant_40", 260)
    ]  # fmt: skip
    assert pulses.blocks["q1"][0].amplitude == pytest.approx(0.2)
    varied = lower(parse_program(PULSED + body, "p.qasm"), LAB, calibration("q0_q1"), {"d": 1e-7}, ["a"])
    compile_template(varied, LAB, LIMITS)


# ---- The lab file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (('["q0", "q1"]', '["q0", "q7"]'), "couplers.q0_q1.qubits: 'q7' is not in [qubits]; did you mean"),
        (('["q0", "q1"]', '["q0", "q0"]'), "couplers.q0_q1.qubits: 'q0' twice; a coupler joins two qubits"),
        (('["q0", "q1"]', '["q0"]'), "couplers.q0_q1.qubits: ['q0'] is not a list of 2: [a text, a text]"),
        (('["q0", "q1"]', '["q0", 1]'), "couplers.q0_q1.qubits: value 2: 1 is not a text"),
        (('line = "coupler"', 'line = "coupled"'), "couplers.q0_q1.line: 'coupled' is not in [lines]; did you mean"),
        (('line = "coupler"', 'line = "drive_q0"'), "'drive_q0' is the drive line of 'q0' already; a coupler has a line of its own"),
        (("frequency_hz = 6.1e9", "frequency_hz = 7.1e9"), "couplers.q0_q1.frequency_hz: 7100000000 is +1.1e+09 Hz from the source"),
        (("pulse_ns = 120.0", "pulse_ns = 120.5"), "couplers.q0_q1.pulse_ns: 120.5 is not a whole multiple of 1 ns"),
        (("[couplers.q0_q1]", "[couplers.q0]"), "couplers.q0: 'q0' is the name of a qubit already"),
        (("[couplers.q0_q1]", ('[couplers.other]\nqubits = ["q1", "q0"]\nline = "coupler"\nfrequency_hz = 6e9\npulse_ns = 100.0\n'
          "[couplers.q0_q1]")), "couplers.q0_q1.qubits: q0 and q1 are joined by 'other' already"),
    ],
)  # fmt: skip
def test_couplers_that_cannot_be_are_named_with_their_line(change: tuple[str, str], wanted: str) -> None:
    assert TEXT.count(change[0]) == 1
    with pytest.raises(ConfigError, match=re.escape(wanted)):
        config.parse(TEXT.replace(*change), "lab.toml")


def test_the_lab_file_of_the_repository_has_a_coupler() -> None:
    lab = config.parse(TEXT, "coupled.toml")
    assert lab.couplers == {"q0_q1": Coupler(("q0", "q1"), "coupler", 6.1e9, 120.0)}
    assert config.checked(lab, "again") == lab
