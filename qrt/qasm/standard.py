"""The standard's gates on one qubit in terms of the native ones, up to a global phase.

U(theta, phi, lambda) = rz(phi + pi) sx rz(theta + pi) sx rz(lambda), the rightmost first: two calibrated pulses whatever the angles, and
turns of the frame. Of theta = 0 there is no pulse, of theta = pi/2 there is one. All angles stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.expressions import Exact
from qrt.qasm.kinds import FLOAT, RUNTIME, Typed
from qrt.qasm.values import operate

NATIVE: Final = {"x": 0, "sx": 0, "rx": 1, "ry": 1, "rz": 1, "h": 0, "id": 0}  # name -> how many angles


class Step:
    """A gate of the standard with its angles, not yet written in native ones."""

    __slots__ = ("angles", "name")

    def __init__(self, name: str, *angles: Typed) -> None:
        self.name, self.angles = name, angles


Native = tuple[str, Typed | None]


class Standard(NamedTuple):
    """How many angles a gate has, and what it is."""

    angles: int
    write: Callable[..., Sequence[Native]]


def pi_times(multiple: Fraction | int) -> Typed:
    """Return a multiple of pi."""
    return Typed(FLOAT, Exact(Fraction(0), Fraction(multiple)))


def _turn(multiple: Fraction | int) -> Standard:
    return Standard(0, lambda *_: [("rz", pi_times(multiple))])


def _phase(_: Run, __: ast.QASMNode, turn: Typed) -> Sequence[Native]:
    return [("rz", turn)]


def universal(run: Run, node: ast.QASMNode, theta: Typed, phi: Typed, lambda_: Typed) -> Sequence[Native]:
    """Return U(theta, phi, lambda)."""

    def plus(one: Typed, multiple: Fraction | int) -> Typed:
        return operate(run, node, "+", one, pi_times(multiple))

    number = theta.value
    if type(number) is int and number == 0:
        number = Exact(Fraction(0))
    for special in (Exact(Fraction(0)), Exact(Fraction(0), Fraction(1, 2))):
        run.shape.apart(number, special)
    if number == Exact(Fraction(0)):
        return [("rz", operate(run, node, "+", phi, lambda_))]
    if number == Exact(Fraction(0), Fraction(1, 2)):
        return [("rz", plus(lambda_, Fraction(-1, 2))), ("sx", None), ("rz", plus(phi, Fraction(1, 2)))]
    return [("rz", lambda_), ("sx", None), ("rz", plus(theta, 1)), ("sx", None), ("rz", plus(phi, 1))]


def _u2(run: Run, node: ast.QASMNode, phi: Typed, lambda_: Typed) -> Sequence[Native]:
    return universal(run, node, pi_times(Fraction(1, 2)), phi, lambda_)


STANDARD: Final[dict[str, Standard]] = {
    "y": Standard(0, lambda *_: [("x", None), ("rz", pi_times(1))]),
    "z": _turn(1),
    "s": _turn(Fraction(1, 2)),
    "sdg": _turn(Fraction(-1, 2)),
    "t": _turn(Fraction(1, 4)),
    "tdg": _turn(Fraction(-1, 4)),
    "sxdg": Standard(0, lambda *_: [("rz", pi_times(1)), ("sx", None), ("rz", pi_times(-1))]),
    "p": Standard(1, _phase),
    "phase": Standard(1, _phase),
    "u1": Standard(1, _phase),
    "u2": Standard(2, _u2),
    "u3": Standard(3, universal),
    "U": Standard(3, universal),
    "u": Standard(3, universal),
}


def expanded(run: Run, node: ast.QASMNode, step: Step) -> Sequence[Native]:
    """Return a gate in native ones."""
    if step.name in STANDARD:
        return STANDARD[step.name].write(run, node, *step.angles)
    if not step.angles:
        return [(step.name, None)]
    (turn,) = step.angles
    if type(turn.value) in RUNTIME and step.name in {
        "rx",
        "ry",
    }:  # a pulse's amplitude would have to be computed: phases are exact
        quarter = Fraction(1, 2) if step.name == "rx" else Fraction(0)
        return universal(run, node, turn, pi_times(-quarter), pi_times(quarter))
    return [(step.name, turn)]
