"""Gates of the standard, definitions and modifiers: against their matrices, up to a global phase."""

from __future__ import annotations

import cmath
import math
from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray

from qrt.errors import ProgramError
from tests.statement_machine import Machine, elaborated, shot

Matrix = NDArray[np.complex128]
X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
H = (X + Z) / math.sqrt(2)


def turn(axis: Matrix, angle: float) -> Matrix:
    return np.asarray(math.cos(angle / 2) * np.eye(2) - 1j * math.sin(angle / 2) * axis)


def universal(theta: float, phi: float, lam: float) -> Matrix:
    """U of the standard (gates.rst), which differs from the one of OpenQASM 2 by a phase."""
    c, s = math.cos(theta / 2), math.sin(theta / 2)
    return np.array([[c, -cmath.exp(1j * lam) * s], [cmath.exp(1j * phi) * s, cmath.exp(1j * (phi + lam)) * c]])


def phase(angle: float) -> Matrix:
    return np.diag([1, cmath.exp(1j * angle)])


def power(matrix: Matrix, exponent: float) -> Matrix:
    """The principal power: eigenvalues with phases in (-pi, pi]."""
    values, vectors = np.linalg.eig(matrix)
    return np.asarray(
        vectors @ np.diag([cmath.exp(exponent * cmath.log(one)) for one in values]) @ np.linalg.inv(vectors)
    )


SX = power(X, 0.5)
NATIVE = {"x": X, "sx": SX, "h": H, "id": np.eye(2)}
AXES = {"rx": X, "ry": Y, "rz": Z}


def matrix_of(machine: Machine, qubit: int = 0, *, words: bool = False) -> Matrix:
    """What the native gates of a shot do to a qubit."""
    applied = [
        NATIVE[one[0]]
        if len(one) == 2
        else turn(AXES[one[0]], one[2] * (math.tau / 2**64 if words and type(one[2]) is int else 1))
        for one in machine.done
        if one[1] == qubit and one[0] != "measure"
    ]
    return np.asarray(reduce(lambda left, right: right @ left, applied, np.eye(2)))


def same(one: Matrix, other: Matrix) -> bool:
    return bool(abs(abs(np.trace(one.conj().T @ other)) - 2) < 1e-9)


ANGLES = [0.0, math.pi / 2, math.pi, -math.pi / 2, 0.3, 2.5, -1.1]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x", X), ("y", Y), ("z", Z), ("h", H), ("id", np.eye(2)), ("s", phase(math.pi / 2)), ("sdg", phase(-math.pi / 2)),
        ("t", phase(math.pi / 4)), ("tdg", phase(-math.pi / 4)), ("sx", SX), ("sxdg", SX.conj().T), ("rx(0.7)", turn(X, 0.7)),
        ("ry(0.7)", turn(Y, 0.7)), ("rz(0.7)", turn(Z, 0.7)), ("p(0.7)", phase(0.7)), ("phase(0.7)", phase(0.7)), ("u1(0.7)", phase(0.7)),
        ("u2(0.3, 0.7)", universal(math.pi / 2, 0.3, 0.7)), ("u3(0.2, 0.3, 0.7)", universal(0.2, 0.3, 0.7)),
        ("inv @ s", phase(-math.pi / 2)), ("inv @ u2(0.3, 0.7)", universal(math.pi / 2, 0.3, 0.7).conj().T), ("inv @ h", H),
        ("inv @ sx", SX.conj().T), ("inv @ rx(0.7)", turn(X, -0.7)), ("inv @ inv @ t", phase(math.pi / 4)), ("inv @ y", Y),
        ("pow(3) @ t", phase(3 * math.pi / 4)), ("pow(-2) @ u2(0.3, 0.7)", np.linalg.matrix_power(universal(math.pi / 2, 0.3, 0.7), -2)),
        ("pow(0) @ x", np.eye(2)), ("pow(2.0) @ h", np.eye(2)), ("pow(0.5) @ x", SX), ("pow(0.25) @ y", power(Y, 0.25)),
        ("pow(0.5) @ h", power(H, 0.5)), ("pow(-0.3) @ h", power(H, -0.3)), ("pow(0.5) @ sx", power(SX, 0.5)),
        ("pow(0.5) @ z", phase(math.pi / 2)), ("pow(1/3.0) @ rz(0.9)", turn(Z, 0.3)), ("inv @ pow(0.5) @ x", SX.conj().T),
        ("pow(0.5) @ inv @ s", phase(-math.pi / 4)), ("pow(0.7) @ id", np.eye(2)), ("ctrl @ gphase(0.7)", phase(0.7)),
        ("inv @ ctrl @ gphase(0.7)", phase(-0.7)), ("gphase(0.7); x", X),
    ],
)  # fmt: skip
def test_standard_gates_and_modifiers(text: str, wanted: Matrix) -> None:
    assert same(matrix_of(shot(f"qubit q; {text} q;")), wanted)


@pytest.mark.parametrize("theta", ANGLES)
def test_u_with_all_angles(theta: float) -> None:
    for phi in ANGLES:
        text = "qubit q;" + f" U({theta!r}, {phi!r}, 0.4) q;"
        assert same(matrix_of(shot(text)), universal(theta, phi, 0.4))
    exact = shot("qubit q; U(pi/2, 0, pi) q;")
    assert [one[0] for one in exact.done] == ["rz", "sx", "rz"]
    assert same(matrix_of(exact), H)


@pytest.mark.parametrize("name", ["rx", "ry", "rz"])
def test_turns_by_an_angle_of_outcomes(name: str) -> None:
    program = elaborated(
        f"qubit[2] q; bit[3] c; angle[3] a = c; c[0] = measure q[1]; c[1] = measure q[1]; c[2] = measure q[1]; a = c; {name}(a) q[0];"
    )
    for value in range(8):
        machine = Machine(program, [value >> k & 1 for k in range(3)])
        assert same(matrix_of(machine, words=True), turn(AXES[name], value * math.tau / 8))


@pytest.mark.parametrize("gate", ["inv @ rx", "inv @ ry", "inv @ rz", "pow(-1) @ rz"])
def test_inverse_turns_by_a_number_of_outcomes(gate: str) -> None:
    program = elaborated(f"qubit[2] q; bit b; b = measure q[1]; {gate}(b * 0.5) q[0];")
    for value in range(2):
        assert same(matrix_of(Machine(program, [value]), words=True), turn(AXES[gate[-2:]], -0.5 * value))


DEFINED = "gate g(a, b) p, r { rx(a) p; U(b, a, 0) r; sx p; h r; p(b/2) p; } qubit[2] q; "


def test_definitions_act_as_their_bodies() -> None:
    first = phase(0.45) @ SX @ turn(X, 0.3)
    second = H @ universal(0.9, 0.3, 0)
    for text, change in (
        ("", lambda one: one),
        ("inv @ ", lambda one: one.conj().T),
        ("pow(2) @ ", lambda one: one @ one),
        ("pow(-1) @ ", lambda one: one.conj().T),
    ):
        machine = shot(f"{DEFINED}{text}g(0.3, 0.9) q[1], q[0];")
        assert same(matrix_of(machine, 1), change(first))
        assert same(matrix_of(machine, 0), change(second))


def test_definitions_of_definitions_and_broadcasts() -> None:
    text = "gate half(a) p { rz(a/2) p; } gate twice(a) p { half(a) p; half(a) p; } gate root p { pow(0.5) @ x p; }"
    text += "qubit[3] q; twice(0.8) q; "
    machine = shot(text + "root q[0]; pow(0.5) @ root q[1];")
    assert same(matrix_of(machine, 2), turn(Z, 0.8))
    assert same(matrix_of(machine, 0), SX @ turn(Z, 0.8))
    assert same(matrix_of(machine, 1), power(X, 0.25) @ turn(Z, 0.8))
    pairs = shot("gate two a, b { x a; y b; } qubit[2] q; qubit[2] r; qubit s; two q, r; two q, s;")
    assert [one[1] for one in pairs.done if one[0] == "x"] == [0, 2, 1, 3, 0, 4, 1, 4]


def test_a_definition_takes_the_place_of_the_standard_s_gate() -> None:
    assert [one[0] for one in shot("gate y a { h a; } qubit q; y q;").done] == ["h"]


def test_a_body_is_the_same_at_each_call_only_where_all_that_it_is_made_of_is() -> None:
    """Of what one call became a later one takes all or nothing: other angles, other qubits, names that were declared between."""
    text = "gate g(a) p, r { rx(a) p; h r; rz(pi/4) r; } qubit[2] q; "
    angles, places = (0.3, 0.9, 0.3), ((0, 1), (0, 1), (1, 0))
    calls = [f"g({a}) q[{p}], q[{r}]; " for a, (p, r) in zip(angles, places, strict=True)]
    done = shot(text + "".join(calls) + calls[0]).done
    apart = [shot(text + one).done for one in (*calls, calls[0])]
    assert done == [gate for one in apart for gate in one]
    assert [one[0] for one in shot("gate k p { y p; } qubit q; k q; gate y p { h p; } k q;").done] == ["x", "rz", "h"]


def test_bodies_count_as_statements_each_time_they_are_played() -> None:
    with pytest.raises(ProgramError, match="more than 100000 statements"):
        elaborated("gate g p { x p; h p; sx p; } qubit q; for int k in [1:33334] { g q; }")


def test_a_definition_that_calls_itself_with_other_angles_is_refused_though_it_ended_before() -> None:
    with pytest.raises(ProgramError, match="'g' is defined by itself: g -> g"):
        elaborated("gate g(n) p { x p; if (n > 0) { g(0) p; } } qubit q; g(0) q; g(1) q;")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cx q[0];", "cx acts on 2 qubits, not 1"),
        ("ccx q[0], q[1];", "ccx acts on 3 qubits, not 2"),
        ("ctrl @ x q[0];", "ctrl @ x acts on 2 qubits, not 1"),
        ("negctrl @ ctrl(2) @ x q[0], q[1], q[2];", "negctrl @ ctrl @ x acts on 4 qubits, not 3"),
        ("cx q[0], q[0];", "q[0] stands twice among the qubits of one gate"),
        ("ctrl @ gphase(1) q[0], q[1];", "gphase under 1 controls acts on one qubit, not 2"),
        (
            "qubit[14] r; ctrl(13) @ x r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13];",
            "13 controls would need 2^13 cz; possible are 10",
        ),
        ("ctrl(0) @ x q[0];", "ctrl(0); at least one control"),
        ("gphase(1) q[0];", "gphase acts on no qubit"),
        ("gphase(1ns);", "an angle is a number, not a duration"),
        ("gate g a { g a; } g q[0];", "gate 'g' is defined by itself: g -> g"),
        ("gate g(a) b, a { }", "'a' names two arguments of 'g'"),
        ("{ gate g a { x a; } }", "gate 'g' is defined inside a block"),
        ("gate g a { x a; } gate g a { x a; }", "'g' is declared already"),
        ("gate g a { x a; } g(1) q[0];", "g takes 0 angles, not 1"),
        ("gate g a { x a; } g q[0], q[1];", "g acts on one qubit, not 2"),
        ("gate g a, b { x a; } g q[0], q[0];", "q[0] stands twice among the qubits of one gate"),
        ("gate g a, b { x a; } qubit[2] r; g q, r;", "registers of 2 and 3 qubits do not go side by side"),
        ("gate g a { x b; } g q[0];", "'b' is no declared qubit"),
        ("gate g a { x q[0]; } g q[0];", "'q' is no declared qubit; a subroutine sees constants of the program alone"),
        (
            "gate g a { barrier a; x a; } inv @ g q[0];",
            "gate 'g' holds a barrier, so that no modifier can be applied to it",
        ),
        ("gate g a { x a; y a; } pow(0.5) @ g q[0];", "pow of 'g', which has 2 gates, needs a constant whole number"),
        ("pow(0.5) @ u2(1, 2) q[0];", "pow of 'u2' needs a constant whole number"),
        ("pow(20000) @ x q[0];", "repeats more than 10000 gates"),
        ("pow(1/2) @ x q[0];", "1/2 of whole numbers would be 0; write 1/2.0 for the fraction"),
        ("x[20ns] q[0];", "a gate with a duration is not supported; box"),
        ("sxx q[0];", "gate 'sxx' is not supported; did you mean sx?"),
        ("rz(true && false, 2) q[0];", "rz takes 1 angle, not 2"),
        ('rz("01") q[0];', "an angle is a number, not a bit[2]"),
    ],
)
def test_gates_that_mean_nothing(text: str, wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        elaborated(f"qubit[3] q; {text}")
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("p.qasm:1:")
