"""Gates under control, in terms of gates on one qubit and cz.

Everything becomes one of two things, both exact for any angle and any number of controls:

- A phase that qubits share, exp(i lambda) where all of them are at level 1: that of all but the last by lambda / 2, and a controlled rz
  by lambda of the last, since p(lambda) = exp(i lambda / 2) rz(lambda). Of two qubits and lambda = pi it is cz itself.
- A rotation under k controls: 2^k rotations by theta / 2^k, between them flips of the target by one control after the other along a Gray
  code. Where g are the controls that have flipped it an odd number of times, the sign of the rotation is (-1)^|g|: the parts add up to
  theta where all controls are at level 1, and to 0 elsewhere.

So cx takes 1 cz, swap 3, any gate on one qubit under one control at most 2, ccx 6, and n qubits that share a phase 2^n - 2. A global phase
matters under control, so that each gate stands here with the phase of its definition in the standard: U as gates.rst prints it,
u2 and u3 with determinant 1, p, s, t, sx with an eigenvalue 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.expressions import Exact
from qrt.qasm.fixed import Fixed
from qrt.qasm.kinds import ANGLE, FLOAT, INT, RUNTIME, Typed
from qrt.qasm.standard import Step, pi_times
from qrt.qasm.values import negative, operate

CONTROLS_MAX: Final = 10  # 2^10 cz; a program that means more of them is a mistake
QUARTER: Final = Fraction(1, 4)
HALF: Final = Fraction(1, 2)


class Applied(NamedTuple):
    """A gate on qubits; the first of them control it, each by the level that stands in `controls`."""

    step: Step
    qubits: tuple[int, ...]
    controls: tuple[int, ...] = ()


class Coupled(NamedTuple):
    """A gate of the standard that is another under control."""

    controls: int
    name: str
    angles: int
    targets: int = 1


# name -> what it controls, as stdgates.inc defines it; `cu` has a phase beside, the last of its angles.
COUPLED: Final[dict[str, Coupled]] = {
    **dict.fromkeys(("cx", "CX"), Coupled(1, "x", 0)),
    "cy": Coupled(1, "y", 0),
    "cz": Coupled(1, "z", 0),
    "ch": Coupled(1, "h", 0),
    **dict.fromkeys(("cp", "cphase"), Coupled(1, "p", 1)),
    "crx": Coupled(1, "rx", 1),
    "cry": Coupled(1, "ry", 1),
    "crz": Coupled(1, "rz", 1),
    "cu": Coupled(1, "U", 4),
    "swap": Coupled(0, "swap", 0, 2),
    "ccx": Coupled(2, "x", 0),
    "cswap": Coupled(1, "swap", 0, 2),
}
GPHASE: Final = "gphase"


def applied(name: str, angles: Sequence[Typed], qubits: tuple[int, ...]) -> list[Applied]:
    """Return a gate of the standard on qubits, with its controls told apart."""
    found, angles = COUPLED.get(name), [_unwrapped(one) for one in angles]
    if found is None:
        return [Applied(Step(name, *angles), qubits)]
    if name == "cu":
        *own, phase = angles
        return [Applied(Step(GPHASE, phase), qubits[:1], (1,)), Applied(Step("U", *own), qubits, (1,))]
    return [Applied(Step(found.name, *angles), qubits, (1,) * found.controls)]


def _unwrapped(turn: Typed) -> Typed:
    """Return an angle as a number where it is known: minus an angle is taken modulo a turn, after which crx is another gate."""
    return turn if turn.type.kind != "angle" or type(turn.value) in RUNTIME else Typed(FLOAT, turn.value)


def controlled(gates: Sequence[Applied], qubits: tuple[int, ...], level: int) -> list[Applied]:
    """Return gates with more controls in front, all by one level."""
    return [Applied(one.step, (*qubits, *one.qubits), (*(level,) * len(qubits), *one.controls)) for one in gates]


def part(run: Run, node: ast.QASMNode, turn: Typed, count: int) -> Typed:
    """Return an angle divided by a power of two."""
    if type(turn.value) in RUNTIME and type(turn.value) is not Fixed:  # of full width, so that no place is lost
        return operate(run, node, "/", Typed(ANGLE, turn.value), Typed(INT, count))
    return operate(run, node, "*", turn, Typed(FLOAT, Exact(Fraction(1, count))))


def decomposed(run: Run, node: ast.QASMNode, gates: Sequence[Applied]) -> list[Applied]:
    """Return gates as ones on single qubits, without control, and z under one control; up to a phase of all qubits together."""
    writer = _Writer(run, node)
    for one in gates:
        count = len(one.controls)
        writer.gate(one.step, dict(zip(one.qubits, one.controls, strict=False)), one.qubits[count:])
    return [one for one in writer.out if one is not None]


class _Writer:
    """Writes gates in simpler ones. Two of x or h that follow each other on a qubit are none."""

    def __init__(self, run: Run, node: ast.QASMNode) -> None:
        self.out: list[Applied | None] = []
        self._run, self._node = run, node
        self._on: dict[int, list[int]] = {}  # qubit -> the places in `out` that act on it

    def gate(self, step: Step, levels: dict[int, int], targets: tuple[int, ...]) -> None:
        """Write a gate."""
        controls = tuple(levels)
        if len(controls) > CONTROLS_MAX:
            raise self._run.refuse(
                self._node, f"{len(controls)} controls would need 2^{len(controls)} cz; possible are {CONTROLS_MAX}"
            )
        turned = [qubit for qubit, level in levels.items() if not level]
        for qubit in turned:
            self.one("x", qubit)
        if step.name == GPHASE:
            self.phase(step.angles[0], controls)
        elif step.name == "swap":
            self.swap(controls, *targets)
        elif controls:
            UNDER_CONTROL[step.name](self, controls, targets[0], *step.angles)
        else:
            self.one(step.name, targets[0], *step.angles)
        for qubit in turned:
            self.one("x", qubit)

    def one(self, name: str, qubit: int, *angles: Typed) -> None:
        """A gate on one qubit."""
        before = self._on.setdefault(qubit, [])
        last = self.out[before[-1]] if before else None
        if last is not None and name in {"x", "h"} and last.step.name == name and not last.controls:
            self.out[before.pop()] = None
            return
        before.append(len(self.out))
        self.out.append(Applied(Step(name, *angles), (qubit,)))

    def cz(self, one: int, other: int) -> None:
        """The one gate that couples."""
        for qubit in (one, other):
            self._on.setdefault(qubit, []).append(len(self.out))
        self.out.append(Applied(Step("z"), (one, other), (1,)))

    def cx(self, control: int, target: int) -> None:
        self.one("h", target)
        self.cz(control, target)
        self.one("h", target)

    def phase(self, turn: Typed, qubits: tuple[int, ...]) -> None:
        """A phase where all of these qubits are at level 1; of none of them it is nobody's."""
        self._run.shape.by(*(turn.value,) * (len(qubits) > 1))  # an odd multiple of pi is a cz
        if not qubits or turn.value == 0 or turn.value == Exact(Fraction(0)):
            return
        if len(qubits) == 1:
            self.one("p", qubits[0], turn)
        elif len(qubits) == 2 and isinstance(turn.value, Exact) and not turn.value.rational and turn.value.pi % 2 == 1:
            self.cz(*qubits)
        else:
            self.phase(self.part(turn, 2), qubits[:-1])
            self.rotation("rz", turn, qubits[:-1], qubits[-1])

    def rotation(self, name: str, turn: Typed, controls: tuple[int, ...], target: int) -> None:
        """rx, ry or rz under controls."""
        count = 1 << len(controls)
        part = self.part(turn, count)
        back = negative(self._run, self._node, part)
        flip = self.cx if name == "rz" else self.cz
        for index in range(count):
            gray, following = index ^ index >> 1, (index + 1) ^ (index + 1) >> 1
            self.one(name, target, back if gray.bit_count() % 2 else part)
            place = (gray ^ following).bit_length() - 1 if index + 1 < count else len(controls) - 1
            flip(controls[place], target)

    def part(self, turn: Typed, count: int) -> Typed:
        """Return an angle divided by a power of two."""
        return part(self._run, self._node, turn, count)

    def swap(self, controls: tuple[int, ...], one: int, other: int) -> None:
        """swap, as three cx of which only that in the middle needs the controls."""
        self.cx(other, one)
        _x(self, (*controls, one), other)
        self.cx(other, one)

    def universal(self, controls: tuple[int, ...], target: int, theta: Typed, phi: Typed, lambda_: Typed) -> None:
        """rz(phi) ry(theta) rz(lambda), the rightmost first: of determinant 1."""
        if len(controls) > 1:
            for name, turn in (("rz", lambda_), ("ry", theta), ("rz", phi)):
                self.rotation(name, turn, controls, target)
            return
        half = self.part(theta, 2)
        self.one("rz", target, self.half_sum("-", lambda_, phi))
        self.cx(controls[0], target)
        self.one("rz", target, negative(self._run, self._node, self.half_sum("+", lambda_, phi)))
        self.one("ry", target, negative(self._run, self._node, half))
        self.cx(controls[0], target)
        self.one("ry", target, half)
        self.one("rz", target, phi)

    def half_sum(self, sign: str, one: Typed, other: Typed) -> Typed:
        """Return half of a sum or difference: of the halves, since angles of outcomes wrap at a turn."""
        return operate(self._run, self._node, sign, self.part(one, 2), self.part(other, 2))


# ---- Gates on one qubit under control ----------------------------------------------------------------------------------

Write = Callable[..., None]  # (writer, controls, target, *angles)


def _phase(multiple: Fraction | int) -> Write:
    return lambda writer, controls, target: writer.phase(pi_times(multiple), (*controls, target))


def _p(writer: _Writer, controls: tuple[int, ...], target: int, turn: Typed) -> None:
    writer.phase(turn, (*controls, target))


def _rotation(name: str) -> Write:
    return lambda writer, controls, target, turn: writer.rotation(name, turn, controls, target)


def _turned(name: str, there: Fraction, inside: Write) -> Write:
    """Return a gate that is another about an axis which a rotation by `there` of pi brings to its own."""

    def write(writer: _Writer, controls: tuple[int, ...], target: int) -> None:
        writer.one(name, target, pi_times(-there))
        inside(writer, controls, target)
        writer.one(name, target, pi_times(there))

    return write


def _between_h(inside: Write) -> Write:
    """Return a gate that is another about X instead of Z."""

    def write(writer: _Writer, controls: tuple[int, ...], target: int) -> None:
        writer.one("h", target)
        inside(writer, controls, target)
        writer.one("h", target)

    return write


def _universal(writer: _Writer, controls: tuple[int, ...], target: int, *angles: Typed) -> None:
    """U, whose determinant is exp(i (phi + lambda))."""
    writer.phase(writer.half_sum("+", *angles[1:]), controls)
    writer.universal(controls, target, *angles)


def _u2(writer: _Writer, controls: tuple[int, ...], target: int, phi: Typed, lam: Typed) -> None:
    writer.universal(controls, target, pi_times(HALF), phi, lam)


_x = _between_h(_phase(1))

UNDER_CONTROL: Final[dict[str, Write]] = {
    "id": lambda *_: None,
    "x": _x,
    "y": _turned("rz", HALF, _x),
    "z": _phase(1),
    "h": _turned("ry", QUARTER, _phase(1)),
    "s": _phase(HALF),
    "sdg": _phase(-HALF),
    "t": _phase(QUARTER),
    "tdg": _phase(-QUARTER),
    "sx": _between_h(_phase(HALF)),
    "sxdg": _between_h(_phase(-HALF)),
    **dict.fromkeys(("p", "phase", "u1"), _p),
    "rx": _rotation("rx"),
    "ry": _rotation("ry"),
    "rz": _rotation("rz"),
    "u2": _u2,
    "u3": _Writer.universal,
    **dict.fromkeys(("U", "u"), _universal),
}
