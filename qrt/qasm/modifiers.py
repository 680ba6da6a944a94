"""`inv` and `pow` of gates, exact: as other gates with other angles, global phases included, since a control may follow.

Both leave controls as they are: the inverse of a gate under control is its inverse under control, and so are powers. An angle of
outcomes is taken modulo a turn, and rx, ry and rz change their sign after one turn; so these are first written as a phase and a p,
which do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.controlled import GPHASE, Applied, part
from qrt.qasm.expressions import Exact
from qrt.qasm.kinds import FLOAT, KNOWN, RUNTIME, Typed
from qrt.qasm.standard import Step, pi_times
from qrt.qasm.values import negative, operate

SELF_INVERSE: Final = frozenset({"x", "y", "z", "h", "id", "swap"})
INVERSES: Final = {"s": "sdg", "sdg": "s", "t": "tdg", "tdg": "t", "sx": "sxdg", "sxdg": "sx"}
ROTATIONS: Final = {"rx": ("h",), "ry": ("sdg", "h"), "rz": ()}  # what brings the axis to Z, in the order of time
PHASES: Final = frozenset({"p", "phase", "u1", GPHASE})
# Gates without an angle that turn about an axis: the rotation, and by how much of pi; half of it is their phase.
TURNS: Final = {
    "x": ("rx", Fraction(1)),
    "y": ("ry", Fraction(1)),
    "z": ("rz", Fraction(1)),
    "s": ("rz", Fraction(1, 2)),
    "sdg": ("rz", Fraction(-1, 2)),
    "t": ("rz", Fraction(1, 4)),
    "tdg": ("rz", Fraction(-1, 4)),
    "sx": ("rx", Fraction(1, 2)),
    "sxdg": ("rx", Fraction(-1, 2)),
}
REPETITIONS_MAX: Final = 10_000


def inverse(run: Run, node: ast.QASMNode, gates: Sequence[Applied]) -> list[Applied]:
    """Return gates that undo these."""
    return [back for one in reversed(gates) for back in _inverse(run, node, one)]


def _inverse(run: Run, node: ast.QASMNode, one: Applied) -> list[Applied]:
    name, angles = one.step.name, one.step.angles
    if name in SELF_INVERSE:
        return [one]
    if name in INVERSES:
        return [_with(one, INVERSES[name])]
    if name in PHASES or (name in ROTATIONS and type(angles[0].value) not in RUNTIME):
        return [_with(one, name, negative(run, node, angles[0]))]
    if name in ROTATIONS:
        return inverse(run, node, _in_phases(run, node, one))
    theta, phi, lambda_ = (pi_times(Fraction(1, 2)), *angles) if name == "u2" else angles
    turned = [operate(run, node, "-", pi_times(1), turn) for turn in (lambda_, phi)]
    back = [_with(one, "U", theta, *turned)]
    if name in {"u2", "u3"}:  # of determinant 1, unlike U
        back.append(_phase_of(one, operate(run, node, "+", *(part(run, node, turn, 2) for turn in (phi, lambda_)))))
    return back


def _with(one: Applied, name: str, *angles: Typed) -> Applied:
    """Return another gate on the same qubits."""
    return one._replace(step=Step(name, *angles))


def _phase_of(one: Applied, turn: Typed) -> Applied:
    """Return a phase under the controls of a gate."""
    return Applied(Step(GPHASE, turn), one.qubits[: len(one.controls)], one.controls)


def _in_phases(run: Run, node: ast.QASMNode, one: Applied) -> list[Applied]:
    """Return a rotation as a phase and a p, about Z."""
    (turn,) = one.step.angles
    bare = Applied(one.step, one.qubits[len(one.controls) :])
    there = [_with(bare, name) for name in ROTATIONS[one.step.name]]
    phase = _phase_of(one, negative(run, node, part(run, node, turn, 2)))
    return [*there, phase, _with(one, "p", turn), *inverse(run, node, there)]


def power(run: Run, node: ast.QASMNode, gates: Sequence[Applied], exponent: Typed) -> list[Applied]:
    """Return gates to a power: a whole one repeats them, of one rotation any power is one."""
    if len(gates) == 1 and gates[0].step.name in {*ROTATIONS, *PHASES}:
        return _multiplied(run, node, gates[0], exponent)
    number = exponent.value
    run.shape.by(number)
    if (
        type(number) in KNOWN
        and getattr(number, "rational", None) is not None
        and not number.pi
        and number.rational.denominator == 1
    ):
        number = int(number.rational)
    if type(number) is int:
        if abs(number) * len(gates) > REPETITIONS_MAX:
            raise run.refuse(node, f"pow({number}) repeats more than {REPETITIONS_MAX} gates; write the angle")
        return (list(gates) if number >= 0 else inverse(run, node, gates)) * abs(number)
    phases = [one for one in gates if one.step.name == GPHASE]
    rest = [one for one in gates if one.step.name != GPHASE]
    if len(gates) > 1 and len(rest) == 1 and all(_is_around(one, rest[0]) for one in phases):
        return [new for one in gates for new in power(run, node, [one], exponent)]
    if len(gates) > 1:
        called = node.name.name if isinstance(node, ast.QuantumGate) else "this"
        raise run.refuse(node, f"pow of {called!r}, which has {len(gates)} gates, needs a constant whole number")
    return _fraction(run, node, gates[0], exponent)


def _is_around(phase: Applied, gate: Applied) -> bool:
    """Say whether a phase is of the controls of a gate alone, so that the two commute."""
    return set(phase.qubits) <= set(gate.qubits[: len(gate.controls)])


def _multiplied(run: Run, node: ast.QASMNode, one: Applied, exponent: Typed) -> list[Applied]:
    """Return a rotation or a phase with its angle multiplied."""
    (turn,) = one.step.angles
    if type(turn.value) not in RUNTIME or one.step.name in PHASES:
        return [_with(one, one.step.name, operate(run, node, "*", turn, exponent))]
    parts = _in_phases(run, node, one)
    return [new for each in parts for new in (_multiplied(run, node, each, exponent) if each.step.angles else [each])]


def _fraction(run: Run, node: ast.QASMNode, one: Applied, exponent: Typed) -> list[Applied]:
    """Return a gate without an angle to a power that is no whole number."""
    name = one.step.name
    turn = operate(run, node, "*", pi_times(1), exponent)
    half = operate(run, node, "*", turn, Typed(FLOAT, Exact(Fraction(1, 2))))
    if name in TURNS:
        rotation, multiple = TURNS[name]
        times = Typed(FLOAT, Exact(multiple))
        return [
            _phase_of(one, operate(run, node, "*", half, times)),
            _with(one, rotation, operate(run, node, "*", turn, times)),
        ]
    bare = Applied(one.step, one.qubits[len(one.controls) :])
    if name == "h":  # a turn by pi about (X + Z) / sqrt(2), which ry(pi/4) brings from Z
        there, back = (_with(bare, "ry", pi_times(Fraction(sign, 4))) for sign in (-1, 1))
        return [there, _phase_of(one, half), _with(one, "rz", turn), back]
    if name == "id":
        return [one]
    if name == "swap":  # cx twice, and between them the cx of which swap is the same as of x
        first, second = bare.qubits
        around = Applied(Step("x"), (second, first), (1,))
        controls = (*one.qubits[: len(one.controls)], first, second)
        inside = Applied(Step("x"), controls, (*one.controls, 1))
        return [around, *_fraction(run, node, inside, exponent), around]
    raise run.refuse(
        node,
        f"pow of {name!r} needs a constant whole number; of rotations, x, y, z, s, t, sx, h and swap it can be any number",
    )
