"""Refusals that lie between modules: each names its place, or the key of the lab file that mends it, before a shot of a run is played."""

from pathlib import Path

import msgspec
import pytest

from qrt.calibrate import calibrate
from qrt.commands.check import check
from qrt.compile import compile_pulses
from qrt.errors import CalibrationError, ConfigError, ProgramError, RunError
from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.run import run
from qrt.types import Lab, PortLimits

PROGRAM = "OPENQASM 3;\nqubit q;\nmeasure q;\n"
LIMITS = PortLimits(
    feedback_latency_ticks=300,
    granularity_ticks=1,
    sample_ticks=1,
    capture_samples_max=8192,
    segment_count_max=256,
    segment_samples_max=65536,
    outstanding_max=16,
)


def changed(lab: Lab, name: str, **values: object) -> Lab:
    """Return the lab with other values of one qubit."""
    return msgspec.structs.replace(lab, qubits=lab.qubits | {name: msgspec.structs.replace(lab.qubits[name], **values)})


def read_out(lab: Lab, name: str, **values: float) -> Lab:
    """Return the lab with another readout of one qubit."""
    return changed(lab, name, readout=msgspec.structs.replace(lab.qubits[name].readout, **values))


def ported(lab: Lab, **port: float) -> Lab:
    """Return the lab with another port of its twin, unchecked."""
    assert lab.twin is not None
    twin = msgspec.structs.replace(lab.twin, parameters=lab.twin.parameters | {"port": port})
    return msgspec.structs.replace(lab, twin=twin)


def test_a_lab_made_in_python_is_checked_before_its_durations_become_ticks(demo_lab: Lab, tmp_path: Path) -> None:
    lab = changed(demo_lab, "q0", pulse_ns=30.25, drive_line="drive_q7")
    with pytest.raises(ConfigError) as caught:
        run(PROGRAM, lab=lab, shots=10, runs=tmp_path, publish=False)
    head, *lines = str(caught.value).splitlines()
    assert head == "lab 'demo': 2 problems; nothing was opened"
    assert [line.split()[2] for line in lines] == ["qubits.q0.drive_line:", "qubits.q0.pulse_ns:"]
    with pytest.raises(ConfigError, match=r"lab 'demo' with the run's options: timing\.pacing: 'fast' is not allowed"):
        run(PROGRAM, lab=demo_lab, shots=10, pacing="fast", runs=tmp_path, publish=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (None, "p.qasm: cannot be read: No such file or directory; give the path of an OpenQASM 3 file"),
        (b"OPENQASM 3;\n// \xff\n", "p.qasm:2:4: not UTF-8 text: byte 0xff at offset 15"),
    ],
)
def test_a_program_that_cannot_be_read_is_told_alike_by_every_command(
    content: bytes | None, wanted: str, demo_lab: Lab, project: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.qasm"
    if content is not None:
        path.write_bytes(content)
    told = []
    for call in (
        lambda: run(path, lab=demo_lab, shots=10, runs=tmp_path, publish=False),
        lambda: check(str(path), str(project / "configs/demo.toml"), {}, silent=True),
    ):
        with pytest.raises(ProgramError) as caught:
            call()
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert wanted in told[0]


def test_a_port_too_coarse_for_the_lab_is_told_with_the_keys(demo_lab: Lab, tmp_path: Path) -> None:
    lab = ported(demo_lab, granularity_ns=demo_lab.qubits["q0"].pulse_ns + 2)
    with pytest.raises(ConfigError, match=r"qubits\.q0\.pulse_ns: .*twin\.parameters\.port\.granularity_ns"):
        run(PROGRAM, lab=lab, shots=10, runs=tmp_path, publish=False)


def test_a_calibration_that_the_port_cannot_play_names_the_keys(demo_lab: Lab) -> None:
    limits = msgspec.structs.replace(LIMITS, granularity_ticks=64)

    def measure(pulses, shots):  # a loop up to the point where it would open anything
        compile_pulses(pulses, demo_lab, limits)
        raise AssertionError

    with pytest.raises(CalibrationError, match=r"(?s)rabi: .*starts on multiples of 64 .*<name>: pulse_ns"):
        calibrate(demo_lab, measure, 1)


def test_a_tone_that_is_too_weak_is_told_with_the_key_of_its_qubit(demo_lab: Lab) -> None:
    lab = read_out(demo_lab, "q1", amplitude=0.01)
    pulses = lower(parse_program(PROGRAM.replace("qubit q;", "qubit[2] q;"), "p.qasm"), lab, None, {})
    with (
        Loop(lab, 1) as loop,
        pytest.raises(RunError, match=r"line 3 of the program: .*raise `qubits\.q1\.readout\.am"),
    ):
        loop.measure(pulses, 10)


def test_too_many_bits_are_told_where_the_first_of_them_is_used(demo_lab: Lab) -> None:
    text = "OPENQASM 3;\nqubit q;\nbit[64] a;\nbit b;\nx q;\nif (a[1]) {\n  b = measure q;\n}\n"
    with pytest.raises(ProgramError, match=r"^p\.qasm:7:3: 65 bits; the kernel has 64: use fewer"):
        compile_pulses(lower(parse_program(text, "p.qasm"), demo_lab, None, {}), demo_lab, LIMITS)
