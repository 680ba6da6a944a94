"""The Cliffords of randomised benchmarking against 2x2 unitaries: a group of 24, played as the words that they are written as."""

import re

import numpy as np
import pytest

from qrt.calibrate.cliffords import CLIFFORDS, DEFINITIONS, clifford_of, gates, inverse_of

SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2.0
Z = np.diag([1.0, -1.0])
PAULIS = (np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), Z)


def rz(angle):
    return np.diag(np.exp([-0.5j * angle, 0.5j * angle]))


def played(text):
    """Return the unitary of a text of rz and sx, read here."""
    total = np.eye(2)
    for statement in filter(None, (part.strip() for part in text.split(";"))):
        (quarters,) = re.fullmatch(r"(?:z(\d))?sx q", statement).groups()
        total = SX @ rz(int(quarters or 0) * np.pi / 2.0) @ total
    return total


def rotation(unitary):
    """Return what a unitary does to the Bloch vector. [3, 3]"""
    return np.array([[np.trace(a @ unitary @ b @ unitary.conj().T).real / 2.0 for b in PAULIS] for a in PAULIS])


def written(clifford):
    """Return the unitary of a Clifford's word."""
    return (
        rz(clifford.after * np.pi / 2.0) @ np.linalg.matrix_power(SX, clifford.sx) @ rz(clifford.before * np.pi / 2.0)
    )


def test_there_are_24_and_each_is_the_rotation_of_its_word():
    assert len({one.rotation().tobytes() for one in CLIFFORDS}) == len(CLIFFORDS) == 24
    for one in CLIFFORDS:
        np.testing.assert_allclose(rotation(written(one)), one.rotation(), atol=1e-12)


def test_they_are_a_group():
    products = {(a.rotation() @ b.rotation()).tobytes() for a in CLIFFORDS for b in CLIFFORDS}
    assert products == {one.rotation().tobytes() for one in CLIFFORDS}
    for one in CLIFFORDS:
        assert np.array_equal(clifford_of(one.rotation().T).rotation() @ one.rotation(), np.eye(3))


def test_a_clifford_has_one_sx_on_average():
    assert sum(one.sx for one in CLIFFORDS) == 24


@pytest.mark.parametrize("length", [0, 1, 2, 7, 60])
def test_a_sequence_and_its_inverse_end_where_they_began(length, rng):
    for _ in range(20):
        sequence = [CLIFFORDS[k] for k in rng.integers(24, size=length)]
        text = gates([*sequence, inverse_of(sequence)])
        assert text.count("sx q;") == sum(one.sx for one in sequence) + inverse_of(sequence).sx
        assert abs(played(text)[0, 0]) == pytest.approx(1.0, abs=1e-9)  # turns about Z at the end are left out


def test_a_text_is_its_sequence(rng):
    sequence = [CLIFFORDS[k] for k in rng.integers(24, size=40)]
    exact = np.eye(2)
    for one in sequence:
        exact = written(one) @ exact
    np.testing.assert_allclose(np.abs(played(gates(sequence))), np.abs(exact), atol=1e-9)


def test_the_gates_that_are_defined_are_what_they_are_called():
    for k in (1, 2, 3):
        assert f"gate z{k}sx a {{ rz({k}*pi/2) a; sx a; }}" in DEFINITIONS.splitlines()
