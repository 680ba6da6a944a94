"""Delays that outcomes decide: what the kernel waits is what the qubits see, and proofs hold for each of the lengths."""

from __future__ import annotations

from math import cos, pi

import msgspec
import numpy as np
import pytest

from qrt.errors import ProgramError
from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.timeline import event_slacks, survey
from qrt.types import Calibration, Pulses
from qrt.units import FLOAT_ONE
from tests.reference_ideal import ideal_calibration, ideal_lab

LAB, CALIBRATION = ideal_lab(), ideal_calibration()
DETUNING_HZ = 1e6
SHOTS = 4000
HEAD = "OPENQASM 3.0; qubit[2] q; bit[2] c; bit e; reset q; h q[0]; c[0] = measure q[0]; h q[0]; c[1] = measure q[0]; "


def detuned() -> Calibration:
    """Return the calibration with the drive frame of the second qubit below its frequency."""
    one = CALIBRATION.qubits["q1"]
    lower_by = msgspec.structs.replace(one.frequency_hz, value=one.frequency_hz.value - DETUNING_HZ)
    moved = msgspec.structs.replace(one, frequency_hz=lower_by)
    return msgspec.structs.replace(CALIBRATION, qubits=CALIBRATION.qubits | {"q1": moved})


def pulses(body: str, **more: list[str]) -> Pulses:
    """Return a program as pulses."""
    return lower(parse_program(HEAD + body, "p.qasm"), LAB, CALIBRATION, {}, **more)


@pytest.fixture(scope="module")
def loop():
    with Loop(LAB, 31) as opened:
        yield opened


def test_a_qubit_turns_for_as_long_as_the_outcomes_said(loop) -> None:
    """A Ramsey sequence whose wait is 1 us and a quarter of a turn more for each count: chances 1, 1/2, 0, 1/2.

    Within 5 standard errors of about 1000 shots each, and the 0.03 by which the detuned pulses themselves are off.
    """
    body = (
        "output duration t; output float u; duration d = 970ns; int n = int(uint[2](c)); d += n * 250ns; if (n == 3) { d = 2970ns; } "
        "t = d; u = d / 1us; sx q[1]; delay[d] q[1]; sx q[1]; e = measure q[1];"
    )
    program = lower(parse_program(HEAD + body, "p.qasm"), LAB, detuned(), {})
    rows = loop.measure(program, SHOTS).rows[1:]
    count, bit = rows["bits"] & 3, rows["bits"] >> 2 & 1
    emitted = rows["emitted"]
    for n, wait_ns in enumerate((970, 1220, 1470, 2970)):
        chosen = count == n
        assert chosen.sum() > SHOTS / 8
        assert set(emitted[chosen, 0]) == {wait_ns}
        assert np.allclose(emitted[chosen, 1] / FLOAT_ONE, wait_ns / 1000, rtol=2**-24)
        wanted = (1 + cos(2 * pi * DETUNING_HZ * (wait_ns + 30) * 1e-9)) / 2
        assert abs(bit[chosen].mean() - wanted) < 0.03 + 5 * 0.5 / np.sqrt(chosen.sum())


def test_the_shot_is_as_long_as_its_longest_way_and_slack_is_the_least() -> None:
    def ticks(extra: str) -> tuple[int, int]:
        timeline = survey(pulses(f"barrier q; {extra} x q[1]; barrier q; e = measure q[1];"), loop_limits())
        slacks = [one.ticks for one in event_slacks(timeline) if one.ticks is not None]
        return timeline.shot_ticks, min(slacks)

    decided = ticks("duration d = 100ns; if (c[0]) { d = 700ns; } delay[d] q[1];")
    assert decided == ticks("delay[700ns] q[1];")


def loop_limits():
    """Return the limits of the twin's port."""
    with Loop(LAB, 5) as opened:
        return opened.limits


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("delay[int(uint[2](c)) * 2.5ns] q[1];", ["p.qasm:1:", "could be 2.5 ns", "nearest: 2 ns and 3 ns"]),
        ("delay[20ns - int(uint[2](c)) * 10ns] q[1];", ["could be -10 ns"]),
        ("duration d = 9ns; if (c[0]) { d = 5ns; } if (c[1]) { delay[d] q[0]; }", ["which side of this branch is longer"]),
        ("duration d = 9ns; if (c[0]) { d = 5ns; } delay[durationof({ delay[d] q[0]; })] q[1];", ["depends on outcomes"]),
    ],
)  # fmt: skip
def test_what_has_no_static_tick_is_refused(body: str, wanted: list[str]) -> None:
    with pytest.raises(ProgramError) as caught:
        survey(pulses(body), loop_limits())
    for words in wanted:
        assert words in str(caught.value)


def test_rounding_is_told() -> None:
    told: list[str] = []
    found = pulses("delay[int(uint[2](c)) * 2.5ns] q[1];", rounded=told)
    waits = [one.ticks.ticks for one in found.blocks["q1"] if hasattr(getattr(one, "ticks", None), "ticks")]
    assert waits == [(0, 2, 5, 8)]
    assert len(told) == 1
    assert "rounded to whole ticks" in told[0]


def test_a_delay_without_qubits_is_of_all_that_the_program_names_anywhere() -> None:
    head = "OPENQASM 3.0; bit c; x $0; "
    one, other = (
        lower(
            parse_program(head + f"delay[100ns]{where}; x $1; barrier{where}; c = measure $1;", "p.qasm"),
            LAB,
            CALIBRATION,
            {},
        )
        for where in ("", " $0, $1")
    )
    plain = [[(type(op), getattr(op, "ticks", None)) for op in found.blocks["q1"]] for found in (one, other)]
    assert plain[0] == plain[1]
