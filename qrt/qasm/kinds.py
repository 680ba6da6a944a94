"""Types of the language, and values with their types.

A value is known now (a Python int, bool as 0 or 1, Exact, float, complex, Duration, a tuple of values for an array), or an expression of
the inputs that vary (qrt.qasm.expressions), or what a sequencer computes from outcomes (types.Dynamic, and Fixed for real numbers and
durations). Which of the three is told by
its class alone, so that code that knows only one of them can ask with one look-up.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from qrt.qasm.expressions import Binary, Duration, Exact, Function, Name, Negative, Stretched
from qrt.qasm.fixed import Fixed
from qrt.qasm.sequenced import WORD_BITS, compute
from qrt.types import Bits, Classical, Computed, Lookup, Parameter, Variable


class Type(NamedTuple):
    """A classical type. A width of 0: none; of a whole number: a literal, of any size."""

    kind: str
    width: int = 0
    of: Type | None = None  # an array's elements
    shape: tuple[int, ...] = ()  # an array's

    def __str__(self) -> str:
        """Return the type as the program would write it."""
        if self.of is not None:
            return f"array[{self.of}, {', '.join(map(str, self.shape))}]"
        bare = not self.width or self.width == (WORD_BITS if self.kind in {"int", "uint"} else 1)
        return self.kind if bare else f"{self.kind}[{self.width}]"


class Typed(NamedTuple):
    """A value with its type."""

    type: Type
    value: Any


BOOL: Final = Type("bool", 1)
BIT: Final = Type("bit", 1)
LITERAL: Final = Type("int")
INT: Final = Type("int", WORD_BITS)  # the width where the program gives none
UINT: Final = Type("uint", WORD_BITS)
FLOAT: Final = Type("float")
ANGLE: Final = Type("angle")
COMPLEX: Final = Type("complex")
DURATION: Final = Type("duration")
VOID: Final = Type("void")

WHOLE: Final = frozenset({"bool", "bit", "int", "uint"})  # kinds whose known values are Python ints

KNOWN: Final = frozenset({int, Exact, float, Duration, Stretched, complex, tuple})
VARIED: Final = frozenset({Name, Negative, Binary, Function})
RUNTIME: Final = frozenset({Bits, Variable, Lookup, Computed, Parameter, Fixed})


def is_known(value: Any) -> bool:
    """Say whether a value is known while compiling."""
    return type(value) in KNOWN


def is_runtime(value: Any) -> bool:
    """Say whether a value depends on outcomes."""
    return type(value) in RUNTIME


def wrapped(number: int, type_: Type) -> int:
    """Return a whole number modulo 2^width, as the type has it."""
    width = type_.width
    if not width:
        return number
    number &= (1 << width) - 1
    return number - (1 << width) if type_.kind == "int" and number >> (width - 1) else number


def wrap(word: Classical, type_: Type) -> Classical:
    """Return a word modulo 2^width, as the type holds it."""
    if type_.width in {0, WORD_BITS}:
        return word
    masked = compute("&", word, (1 << type_.width) - 1)
    if type_.kind != "int":
        return masked
    sign = 1 << (type_.width - 1)
    return compute("-", compute("^", masked, sign), sign)
