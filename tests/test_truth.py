"""The loop's physics from end to end against closed forms: QASM or pulses, SCPI memory, mixers, qubits, resonators, ADC, demodulation.

Every number that is compared comes from reference_readout and reference_lab, which share nothing with plant or runtime. Two things are
looked at in each run. The plant's population at the start of the tone is an exact expectation here, since every shot begins in
equilibrium: it must be the reference's within 1e-3 (the plant splits relaxation and rotation). The program's outcomes must be what the
readout on paper makes of that population, within 3.5 standard errors: with 150 such comparisons, free seeds would fail one in 15 runs;
seeds are fixed.

Then the wiring and the signs are spoiled, one at a time, and the same checks must fail.
"""

from collections.abc import Callable
from math import pi, sqrt, tau

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.special import erfc

from qrt.errors import WorldError
from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.types import Calibration, Capture, Frame, Measured, Play, Pulses, ShiftPhase, Truth, Wait, Weights
from tests.reference_lab import QUBITS, SX_SAMPLES, TONE_AMPLITUDE, VOLT, Paper, calibration_of, lab_of
from tests.reference_readout import decay, rabi, turn

SHOTS = 4000
SIGMAS = 3.5
NAMES = ("q0", "q1")
PAPERS = {name: Paper(name) for name in NAMES}
CALIBRATION = calibration_of(*PAPERS.values())


@pytest.fixture(scope="module")
def loop():
    with Loop(lab_of(), 4711) as opened:
        yield opened


def program(name: str, body: str, bits: int = 1) -> str:
    """Return a program on one qubit of the lab, called $."""
    text = f'OPENQASM 3; include "stdgates.inc"; input float theta; bit[{bits}] c; {body}'
    return text.replace("$", f"${NAMES.index(name)}")


def ran(
    loop: Loop, text: str, calibration: Calibration = CALIBRATION, theta: float = 0.0, shots: int = SHOTS
) -> tuple[Measured, Truth]:
    """Run a program; return its rows and what the plant knows."""
    pulses = lower(parse_program(text, "program"), loop.lab, calibration, {"theta": theta})
    return loop.measure(pulses, shots), loop.truth


def agree(paper: Paper, measured: Measured, truth: Truth, expected: float, tolerance: float = 1e-3) -> None:
    """Demand the population that is expected at the first tone, and the outcomes that follow from it."""
    assert (paper.name, 0) in truth.population, "no tone has measured the qubit"
    population = truth.population[paper.name, 0]
    share = float(measured.rows["outcomes"][:, 0].mean())
    ones = float((paper.assignment @ [1 - population, population])[1])
    bar = sqrt(ones * (1 - ones) / len(measured.rows))
    print(
        f"{paper.name}: population {population:.5f}, expected {expected:.5f}; outcomes {share:.4f}, {ones:.4f} +- {bar:.4f}"
    )
    assert abs(population - expected) < tolerance
    assert abs(share - ones) < SIGMAS * bar


# ---- Gates and free evolution ------------------------------------------------------------------------------------------


def check_relaxation(loop: Loop, paper: Paper) -> None:
    """Look at e^{-t/T1} after an x, towards the thermal population."""
    for wait in (0, 6_000, 24_000, 60_000):
        measured, truth = ran(loop, program(paper.name, f"x $; delay[{wait}ns] $; c[0] = measure $;"))
        agree(paper, measured, truth, paper.population([("sx", 0), ("sx", 0), ("wait", wait)]))
        thermal = paper.qubit.thermal_population
        start = 1 - thermal  # of a perfect x
        closed = thermal + (start - thermal) * np.exp(-wait * 1e-9 / paper.qubit.t1_s)
        assert truth.population[paper.name, 0] == pytest.approx(closed, abs=4e-3)  # x takes 60 ns of T1 and T2


def check_ramsey(loop: Loop, paper: Paper, detuning_hz: float) -> None:
    """Look at 1/2 [1 + e^{-t/T2} sin(Delta t)], Delta = f_qubit - f_frame."""
    calibration = calibration_of(*PAPERS.values(), detuning_hz=detuning_hz)
    for wait in (220, 700, 3_100, 12_300):
        text = program(paper.name, f"sx $; delay[{wait}ns] $; rz(-pi/2) $; sx $; c[0] = measure $;")
        measured, truth = ran(loop, text, calibration)
        gates = [("sx", 0), ("wait", wait), ("rz", -pi / 2), ("sx", 0)]
        agree(paper, measured, truth, paper.population(gates, detuning_hz))
        seconds = (wait + SX_SAMPLES) * 1e-9  # between the pulses' middles
        contrast = (1 - 2 * paper.qubit.thermal_population) * np.exp(-seconds / paper.qubit.t2_s)
        closed = 0.5 * (1 + contrast * np.sin(tau * detuning_hz * seconds))
        assert truth.population[paper.name, 0] == pytest.approx(closed, abs=0.015)


def check_matrices(loop: Loop, paper: Paper, theta: float) -> None:
    """Look at sx, rz(theta), ry(pi/2) as matrices."""
    text = program(paper.name, "sx $; rz(theta) $; rz(-pi/2) $; sx $; rz(pi/2) $; c[0] = measure $;")
    measured, truth = ran(loop, text, theta=theta)
    psi = turn(pi / 2, "y") @ turn(theta, "z") @ turn(pi / 2, "x") @ np.array([1, 0])
    ideal = abs(psi[1]) ** 2
    thermal = paper.qubit.thermal_population
    gates = [("sx", 0), ("rz", theta), ("rz", -pi / 2), ("sx", 0)]
    agree(paper, measured, truth, paper.population(gates))
    assert truth.population[paper.name, 0] == pytest.approx(
        ideal * (1 - 2 * thermal) + thermal, abs=5e-3
    )  # 60 ns of T1 and T2
    assert abs(ideal - 0.5) > 0.15  # the signs are told apart


@pytest.mark.parametrize("name", NAMES)
def test_t1(loop, name):
    check_relaxation(loop, PAPERS[name])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("detuning_hz", [0.31e6, -0.31e6])
def test_quadrature_ramsey(loop, name, detuning_hz):
    check_ramsey(loop, PAPERS[name], detuning_hz)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("theta", [0.7, -0.7, 2.2, -2.2])
def test_sx_rz_ry(loop, name, theta):
    check_matrices(loop, PAPERS[name], theta)


@pytest.mark.parametrize("detuning_hz", [-6e6, 0.0, 4e6])
def test_rabi_with_detuning(loop, detuning_hz):
    """Square pulses of 200 ns against the textbook's formula; 1e-2 covers counter-rotation-free but held samples and relaxation."""
    paper = PAPERS["q0"]
    for amplitude in (0.02, 0.05, 0.11):
        pulses = Pulses(
            blocks={
                "q0": (
                    Play("q0.drive", "square", amplitude),
                    Capture("w", 0),
                    Play("q0.readout", "tone", TONE_AMPLITUDE, restart=True),
                    Wait(400),
                )
            },
            frames={
                "q0.drive": Frame("drive_q0", paper.offset_hz - detuning_hz),
                "q0.readout": Frame("readout", paper.readout.tone_hz),
            },
            envelopes={"square": np.ones(200, complex), "tone": np.ones(1000, complex)},
            weights={"w": Weights(paper.readout.weights, paper.threshold, "q0")},
            bits=("c",),
            period_ticks=300_000,
        )
        measured = loop.measure(pulses, SHOTS)
        omega = paper.qubit.drive_rad_per_s_per_v * VOLT * amplitude * np.sinc((paper.offset_hz - detuning_hz) * 1e-9)
        ideal = rabi(omega, tau * detuning_hz, 200e-9)
        thermal = paper.qubit.thermal_population
        agree(paper, measured, loop.truth, ideal * (1 - 2 * thermal) + thermal, tolerance=1e-2)


# ---- Readout -----------------------------------------------------------------------------------------------------------


def check_assignment(loop: Loop, paper: Paper) -> None:
    """Look at outcomes of both levels, the clouds' places and their width."""
    for gates in ("id $;", "x $;"):
        measured, truth = ran(loop, program(paper.name, f"{gates} c[0] = measure $;"), shots=5 * SHOTS)
        steps = [("wait", 60)] if gates.startswith("id") else [("sx", 0), ("sx", 0)]
        agree(paper, measured, truth, paper.population(steps))
        iq = measured.rows["iq"][:, 0, 0].astype(float)
        level = int(gates.startswith("x"))
        center, sigma = paper.readout.clouds[level] + paper.shift, paper.readout.sigma
        # The quartile on the outer side hardly meets a jump; its own error is 1.36 sigma / sqrt(shots).
        outer = np.quantile(iq, 0.75 if paper.readout.clouds[level] > paper.readout.clouds[1 - level] else 0.25)
        print(f"outer quartile {abs(outer - center) / sigma:.3f} sigma from the centre")
        assert abs(outer - center) / sigma == pytest.approx(0.6745, abs=0.12)


@pytest.mark.parametrize("name", NAMES)
def test_assignment_errors(loop, name):
    check_assignment(loop, PAPERS[name])


def test_assignment_error_without_relaxation_is_half_erfc():
    """T1 of minutes: eps = erfc(d / (2 sqrt 2 sigma)) / 2 with (d/sigma)^2 = 2 kappa eta int |alpha_1 - alpha_0|^2 dt, both ways."""
    still = {n: one | {"t1_s": 100.0, "t2_s": 100.0, "thermal_population": 0.0} for n, one in QUBITS.items()}
    for one in still.values():
        one["efficiency"] = 0.04  # a worse readout, so that there are errors to count
    paper = Paper("q0", still)
    fields = [paper.readout.path(level) for level in (0, 1)]
    gap = np.sum(np.abs(fields[1] - fields[0])[:-1] ** 2) * 1e-9
    separation = sqrt(2 * paper.qubit.kappa_rad_per_s * paper.qubit.efficiency * gap)
    expected = 0.5 * erfc(separation / (2 * sqrt(2)))
    shots = 40_000
    with Loop(lab_of(qubits=still), 12) as opened:
        for gates, level in (("id $;", 0), ("x $;", 1)):
            # Nothing relaxes, so every shot continues where the last one ended: the first outcome says where that was.
            text = program("q0", f"c[0] = measure $; {gates} c[1] = measure $;", bits=2)
            measured, truth = ran(opened, text, calibration_of(paper), shots=shots)
            before, after = truth.population["q0", 0], truth.population["q0", 1]
            assert after == pytest.approx(1 - before if level else before, abs=1e-4)
            share = float(measured.rows["outcomes"][:, 1].mean())
            ones = after * (1 - expected) + (1 - after) * expected
            print(f"d/sigma {separation:.3f}: error {expected:.4f}; outcomes {share:.4f}, {ones:.4f}")
            assert 0.02 < expected < 0.2
            assert abs(share - ones) < SIGMAS * sqrt(expected * (1 - expected) / shots)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gates", ["h", "x"])
def test_measuring_twice_agrees(loop, name, gates):
    """The table P(first, second) against T1 decay in the readout and the wait, chi2-like: every cell within 3.5 standard errors."""
    paper = PAPERS[name]
    measured, truth = ran(
        loop, program(name, f"{gates} $; c[0] = measure $; c[1] = measure $;", bits=2), shots=5 * SHOTS
    )
    population = truth.population[name, 0]
    wait = decay(paper.qubit, 500e-9)
    start = np.array([1 - population, population])
    expected = np.einsum("nl,lk,mkj,j->mn", paper.assignment, wait, paper.joint, start)
    table = np.zeros((2, 2))
    np.add.at(table, tuple(measured.rows["outcomes"].T), 1 / len(measured.rows))
    print(table, expected)
    assert np.all(np.abs(table - expected) < SIGMAS * np.sqrt(expected * (1 - expected) / len(measured.rows)))
    assert table[0, 0] + table[1, 1] > 0.9


# ---- Spoiled on purpose ------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Loop, Paper], None]] = {
    "relaxation": check_relaxation,
    "assignment": check_assignment,
    "ramsey": lambda loop, paper: check_ramsey(loop, paper, 0.31e6),
    "matrices": lambda loop, paper: check_matrices(loop, paper, 0.7),
}
FAULTS = {
    "I and Q of the drive exchanged": (
        {"drive_q0": {"swap_iq": True}},
        ("relaxation", "ramsey", "matrices", "assignment"),
    ),
    "I and Q of the readout exchanged": ({"readout": {"swap_iq": True}}, ("relaxation", "assignment")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wiring_fault_is_seen(fault):
    faults, checks = FAULTS[fault]
    for check in checks:
        with Loop(lab_of(faults=faults), 3) as spoiled, pytest.raises((AssertionError, WorldError)):
            CHECKS[check](spoiled, PAPERS["q0"])


class Spoiled:
    """A loop whose pulses are changed before they are compiled."""

    def __init__(self, loop: Loop, change: Callable[[Pulses], Pulses]) -> None:
        self._loop, self._change = loop, change

    @property
    def lab(self):
        return self._loop.lab

    @property
    def truth(self):
        return self._loop.truth

    def measure(self, pulses, shots):
        return self._loop.measure(self._change(pulses), shots)


def mapped(change_op=None, change_frame=None) -> Callable[[Pulses], Pulses]:
    """Return a change of every operation or frame."""

    def change(pulses: Pulses) -> Pulses:
        blocks = {n: tuple(change_op(op) if change_op else op for op in ops) for n, ops in pulses.blocks.items()}
        frames = {n: change_frame(n, frame) if change_frame else frame for n, frame in pulses.frames.items()}
        return replace(pulses, blocks=blocks, frames=frames)

    return change


def _negated_phase(op):
    if not isinstance(op, ShiftPhase):
        return op
    return replace(op, phase_rad=-op.phase_rad, turns=None if op.turns is None else -op.turns % 1)


def _negated_frequency(kind: str):
    return lambda name, frame: replace(frame, frequency_hz=-frame.frequency_hz) if name.endswith(kind) else frame


SIGNS = {
    "rz": (mapped(change_op=_negated_phase), ("ramsey", "matrices")),
    "sideband of the drive": (mapped(change_frame=_negated_frequency("drive")), ("relaxation", "ramsey", "matrices")),
    "sideband of the readout": (mapped(change_frame=_negated_frequency("readout")), ("assignment",)),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_a_flipped_sign_is_seen(loop, sign):
    change, checks = SIGNS[sign]
    for check in checks:
        with pytest.raises((AssertionError, WorldError)):
            CHECKS[check](Spoiled(loop, change), PAPERS["q0"])


def test_a_flipped_pull_of_the_resonator_is_seen():
    flipped = {name: one | {"chi_hz": -one["chi_hz"]} for name, one in QUBITS.items()}
    with Loop(lab_of(qubits=flipped), 3) as spoiled, pytest.raises((AssertionError, WorldError)):
        check_assignment(spoiled, PAPERS["q0"])
