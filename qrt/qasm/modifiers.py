"""`inv` and `pow` of gates on one qubit, exact: as other gates with other angles."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.kinds import KNOWN, Typed
from qrt.qasm.standard import Step, expanded, pi_times
from qrt.qasm.values import negative, operate

SELF_INVERSE: Final = frozenset({"x", "y", "z", "h", "id"})
INVERSES: Final = {"s": "sdg", "sdg": "s", "t": "tdg", "tdg": "t", "sx": "sxdg", "sxdg": "sx"}
ROTATIONS: Final = frozenset({"rx", "ry", "rz", "p", "phase", "u1"})
# Gates without an angle that turn about an axis: the rotation, and by how much of pi.
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


def inverse(run: Run, node: ast.QASMNode, steps: Sequence[Step]) -> list[Step]:
    """Return gates that undo these."""
    return [back for step in reversed(steps) for back in _inverse(run, node, step)]


def _inverse(run: Run, node: ast.QASMNode, step: Step) -> list[Step]:
    if step.name in SELF_INVERSE:
        return [step]
    if step.name in INVERSES:
        return [Step(INVERSES[step.name])]
    if step.name in ROTATIONS:
        return [Step(step.name, negative(run, node, step.angles[0]))]
    natives = [Step(name, *(() if turn is None else (turn,))) for name, turn in expanded(run, node, step)]
    return inverse(run, node, natives)


def power(run: Run, node: ast.QASMNode, steps: Sequence[Step], exponent: Typed) -> list[Step]:
    """Return gates to a power: a whole one repeats them, of one rotation any power is one."""
    name = steps[0].name
    if len(steps) == 1 and name in ROTATIONS:
        return [Step(name, operate(run, node, "*", steps[0].angles[0], exponent))]
    number = exponent.value
    if (
        type(number) in KNOWN
        and getattr(number, "rational", None) is not None
        and not number.pi
        and number.rational.denominator == 1
    ):
        number = int(number.rational)
    if type(number) is int:
        if abs(number) * len(steps) > REPETITIONS_MAX:
            raise run.refuse(node, f"pow({number}) repeats more than {REPETITIONS_MAX} gates; write the angle")
        return (list(steps) if number >= 0 else inverse(run, node, steps)) * abs(number)
    if len(steps) == 1 and name in TURNS:
        rotation, multiple = TURNS[name]
        return [Step(rotation, operate(run, node, "*", pi_times(multiple), exponent))]
    if len(steps) == 1 and name == "h":  # a turn by pi about (X + Z) / sqrt(2), which ry(pi/4) brings from Z
        turn = operate(run, node, "*", pi_times(1), exponent)
        return [Step("ry", pi_times(Fraction(-1, 4))), Step("rz", turn), Step("ry", pi_times(Fraction(1, 4)))]
    if len(steps) == 1 and name == "id":
        return list(steps)
    raise run.refuse(
        node,
        f"pow of {name!r} needs a constant whole number; of rotations, x, y, z, s, t, sx and h it can be any number",
    )
