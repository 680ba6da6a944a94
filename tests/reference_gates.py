"""Unitaries by the standard's definitions, and density matrices that they act on; for `reference_interpreter`.

The first qubit is the most significant place of a matrix's index. Nothing of qrt is imported.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import schur

Matrix = NDArray[np.complex128]

X: Matrix = np.array([[0, 1], [1, 0]], complex)
Y: Matrix = np.array([[0, -1j], [1j, 0]])
Z: Matrix = np.array([[1, 0], [0, -1]], complex)
H: Matrix = np.array([[1, 1], [1, -1]]) / math.sqrt(2) + 0j
ONE: Matrix = np.eye(2, dtype=complex)
ROUNDING = 1e-9  # of the phase of an eigenvalue -1, whose root is i and not -i


def u(theta: float, phi: float, lam: float) -> Matrix:
    """Return U(theta, phi, lambda) as gates.rst prints it."""
    c, s = math.cos(theta / 2), math.sin(theta / 2)
    return np.array([[c, -cmath.exp(1j * lam) * s], [cmath.exp(1j * phi) * s, cmath.exp(1j * (phi + lam)) * c]])


def about(axis: Matrix) -> Callable[[float], Matrix]:
    """Return theta -> exp(-i theta axis / 2)."""
    return lambda theta: math.cos(theta / 2) * ONE - 1j * math.sin(theta / 2) * axis


def phase(lam: float) -> Matrix:
    """Return p(lambda)."""
    return np.diag([1, cmath.exp(1j * lam)])


def controlled(matrix: Matrix, *, on: int = 1) -> Matrix:
    """Return the matrix with one more qubit in front, which must be at level `on`."""
    result = np.eye(2 * len(matrix), dtype=complex)
    half = slice(len(matrix), None) if on else slice(None, len(matrix))
    result[half, half] = matrix
    return result


def power(matrix: Matrix, exponent: float) -> Matrix:
    """Return the principal power."""
    if float(exponent).is_integer():
        return np.linalg.matrix_power(matrix if exponent >= 0 else matrix.conj().T, abs(int(exponent)))
    triangle, basis = schur(matrix, output="complex")  # a unitary's triangle is diagonal
    angles = np.angle(np.diag(triangle))
    angles = np.where(angles < -math.pi + ROUNDING, math.pi, angles)
    return basis @ np.diag(np.exp(1j * exponent * angles)) @ basis.conj().T


SWAP: Matrix = np.eye(4, dtype=complex)[[0, 2, 1, 3]]

# name -> how many angles, and the matrix that they make.
GATES: dict[str, tuple[int, Callable[..., Matrix]]] = {
    "U": (3, u),
    "x": (0, lambda: X),
    "y": (0, lambda: Y),
    "z": (0, lambda: Z),
    "h": (0, lambda: H),
    "s": (0, lambda: phase(math.pi / 2)),
    "sdg": (0, lambda: phase(-math.pi / 2)),
    "t": (0, lambda: phase(math.pi / 4)),
    "tdg": (0, lambda: phase(-math.pi / 4)),
    "sx": (0, lambda: np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2),
    "id": (0, lambda: ONE),
    "p": (1, phase),
    "rx": (1, about(X)),
    "ry": (1, about(Y)),
    "rz": (1, about(Z)),
    "phase": (1, phase),
    "u1": (1, phase),
    "u2": (2, lambda phi, lam: cmath.exp(-0.5j * (phi + lam)) * u(math.pi / 2, phi, lam)),
    "u3": (3, lambda theta, phi, lam: cmath.exp(-0.5j * (phi + lam)) * u(theta, phi, lam)),
    "cx": (0, lambda: controlled(X)),
    "CX": (0, lambda: controlled(X)),
    "cy": (0, lambda: controlled(Y)),
    "cz": (0, lambda: controlled(Z)),
    "ch": (0, lambda: controlled(H)),
    "cp": (1, lambda lam: controlled(phase(lam))),
    "cphase": (1, lambda lam: controlled(phase(lam))),
    "crx": (1, lambda theta: controlled(about(X)(theta))),
    "cry": (1, lambda theta: controlled(about(Y)(theta))),
    "crz": (1, lambda theta: controlled(about(Z)(theta))),
    "cu": (4, lambda a, b, c, gamma: controlled(cmath.exp(1j * gamma) * u(a, b, c))),
    "swap": (0, lambda: SWAP),
    "ccx": (0, lambda: controlled(controlled(X))),
    "cswap": (0, lambda: controlled(SWAP)),
}


def embedded(matrix: Matrix, places: Sequence[int], count: int) -> Matrix:
    """Return a matrix on some of `count` qubits as one on all of them."""
    return _embedded(np.asarray(matrix, complex).tobytes(), tuple(places), count)


@lru_cache(4096)
def _embedded(content: bytes, places: tuple[int, ...], count: int) -> Matrix:
    """Remember what has been embedded: a program is executed once for each sequence of its outcomes."""
    matrix = np.frombuffer(content, complex).reshape(2 ** len(places), 2 ** len(places))
    others = [k for k in range(count) if k not in places]
    whole = np.kron(matrix, np.eye(2 ** len(others)))
    order = np.argsort([*places, *others])  # axis of each qubit, in the order of the qubits
    axes = [*order, *(order + count)]
    return whole.reshape((2,) * (2 * count)).transpose(axes).reshape(2**count, 2**count)


class Density:
    """The state of some qubits."""

    def __init__(self) -> None:
        self.count = 0
        self.matrix: Matrix = np.ones((1, 1), complex)

    def grow(self, count: int) -> None:
        """Have so many qubits; new ones are at level 0."""
        while self.count < count:
            self.matrix = np.kron(self.matrix, np.diag([1, 0]))
            self.count += 1

    def apply(self, matrix: Matrix, places: Sequence[int]) -> None:
        """Apply a unitary."""
        whole = embedded(matrix, places, self.count)
        self.matrix = whole @ self.matrix @ whole.conj().T

    def probability(self, place: int) -> float:
        """Return P(1)."""
        return float(np.trace(embedded(np.diag([0, 1]), [place], self.count) @ self.matrix).real)

    def project(self, place: int, level: int) -> None:
        """Take the part in which a qubit is at a level, normalised."""
        part = embedded(np.diag([1 - level, level]), [place], self.count)
        self.matrix = part @ self.matrix @ part
        self.matrix /= np.trace(self.matrix).real

    def reset(self, place: int) -> None:
        """Bring a qubit to level 0, forgetting where it was."""
        parts = [np.array([[1, 0], [0, 0]]), np.array([[0, 1], [0, 0]])]
        wholes = [embedded(part, [place], self.count) for part in parts]
        self.matrix = sum((whole @ self.matrix @ whole.conj().T for whole in wholes), np.zeros_like(self.matrix))
