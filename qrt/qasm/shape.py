"""What a program's statements depend on beside the words that open inputs make: for whom they may be kept, with other values in them.

An input without a value is open: elaboration leaves an expression wherever the input's value is only a number that an operand is made of.
In some places, though, it would have made other statements of a known value: U(0, phi, lambda) has no pulse, a phase of 0 is no shift, a
defcal is for one angle. There elaboration tells `Shaping` so, and what it has told is the `Shape`: with values for which it `holds`, the
statements of known inputs are these ones, word for word. Where nothing is told, elaboration treats numbers and expressions alike, or
refuses expressions, or lets the sequencer compute with them, which is seen in the pulses (qrt.compile.operands). Of what it would branch
on, or set a variable to, elaboration need not make all that could follow: there it ends, if the inputs are open and not swept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from qrt.classical import parameters_of
from qrt.errors import ProgramError
from qrt.qasm.expressions import Duration, Value, as_float, evaluate, names
from qrt.qasm.kinds import VARIED
from qrt.types import Classical

Amount = Any  # a number that is known, or an expression


class Shape(NamedTuple):
    """For which values of open inputs the statements are these ones."""

    closed: frozenset[str] = frozenset()  # inputs of which any value may make other statements
    apart: tuple[tuple[Amount, Amount], ...] = ()  # pairs of which none is equal
    finite: tuple[Amount, ...] = ()  # expressions that have a value, whether or not a statement holds them

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Say whether the statements are these ones. Where it is not sure, it says no."""
        try:
            for one in self.finite:
                evaluate(one, values)
            return not any(_equal(_value(one, values), _value(other, values)) for one, other in self.apart)
        except (ProgramError, OverflowError):
            return False


class ComputedError(Exception):
    """Raised where a sequencer would compute with open inputs: `closed` are the inputs that have to be known."""

    def __init__(self, closed: frozenset[str]) -> None:
        super().__init__(f"computed in the shot: {', '.join(sorted(closed))}")
        self.closed = closed


class Shaping:
    """What has been told so far; of the inputs without a value those that are open will have one, the others are swept."""

    def __init__(self, opened: Collection[str] = ()) -> None:
        self._opened = frozenset(opened)
        self._closed: set[str] = set()
        self._apart: dict[tuple[Amount, Amount], None] = {}
        self._finite: dict[Amount, None] = {}

    def by(self, *values: Amount) -> None:
        """Tell that other statements would have been made of a known value."""
        for one in values:
            if type(one) in VARIED:
                self._closed.update(names(one))

    def apart(self, one: Amount, other: Amount) -> None:
        """Tell that other statements would have been made of two equal values, or of two numbers as good as equal."""
        if (type(one) in VARIED or type(other) in VARIED) and one != other:
            self._apart[one, other] = None

    def finite(self, one: Amount) -> None:
        """Tell that an expression may be without a value, which would have been refused where it stands."""
        self._finite[one] = None

    def computes(self, word: Classical) -> None:
        """Tell what a sequencer branches on, or sets a variable to. Raises ComputedError where an open input is in it."""
        if not self._opened:
            return
        closed = self._opened.intersection(name for one in parameters_of(word) for name in one.word.names)
        if closed:
            raise ComputedError(closed | self._closed)

    def found(self) -> Shape:
        """Return all of it."""
        return Shape(frozenset(self._closed), tuple(self._apart), tuple(self._finite))


def _value(one: Amount, values: Mapping[str, Value]) -> Value:
    return evaluate(one, values) if type(one) in VARIED else one


def _equal(one: Value, other: Value) -> bool:
    if isinstance(one, Duration) or isinstance(other, Duration):
        return one == other
    return as_float(one) == as_float(other)
