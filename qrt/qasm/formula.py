"""An operand that depends on inputs whose values are not known while compiling, in the kernel's own units.

`Formula` is what lowering leaves where an input varies from shot to shot: a folded expression and the factor that makes words of it. Its
value is exact as far as the program's numbers are; rounding, ranges and the points at which it is taken are `qrt.sweeps`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import tau
from typing import NamedTuple

from qrt.qasm.expressions import Duration, Exact, Expression, Value, as_float, degree, evaluate, names


class Formula(NamedTuple):
    """factor * (turns of an angle, seconds of a duration, or a plain number) + per_sample * samples of a duration. types.Formula."""

    expression: Expression  # of varied inputs alone, as `fold` leaves it
    factor: Fraction = Fraction(1)  # words per turn, second or one
    per_sample: Fraction = Fraction(0)  # words per sample, of durations with dt
    plain: bool = False  # a number is taken as it is, not as an angle in radians

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that it depends on."""
        return tuple(dict.fromkeys(names(self.expression)))

    @property
    def affine(self) -> bool:
        """Whether a straight line of inputs gives a straight line of values."""
        return degree(self.expression) < 2

    def at(self, values: Mapping[str, Value]) -> Fraction:
        """Return the value, not rounded. Raises ProgramError, without a place, where there is none."""
        value = evaluate(self.expression, values)
        if isinstance(value, Duration):
            return value.seconds * self.factor + value.samples * self.per_sample
        if self.plain:
            return self.factor * (
                value.rational if isinstance(value, Exact) and not value.pi else Fraction(as_float(value))
            )
        return turns(value) * self.factor

    def times(self, factor: Fraction) -> Formula:
        """Return it in other units: words of `factor` each."""
        return self._replace(factor=self.factor * factor, per_sample=self.per_sample * factor)


def turns(angle: Exact | float) -> Fraction:
    """Return an angle in radians as turns: exact for a multiple of pi, else the nearest float's."""
    if isinstance(angle, Exact) and not angle.rational:
        return angle.pi / 2
    return Fraction(as_float(angle) / tau)
