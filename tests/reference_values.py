"""Typed values of OpenQASM 3's classical language, as the standard's text defines them (source/language/types.rst, classical.rst).

Written from that text alone, for `reference_interpreter`; nothing of qrt is imported. A value is a type and a number: the integer itself
(bool, bit, int, uint), the bits of an angle (k of n bits are k / 2^n turns), a real number, or a duration in seconds.

Real numbers are fractions as long as they are made of decimals and whole numbers: exact arithmetic, which a float only approximates.
What pi or a function makes of them is a Python float.

Where the standard leaves a choice to the implementation, this is what is taken here: `int` and `uint` have 64 bits, `angle` too; a literal
takes the other operand's type, and whole numbers of two types meet in the wider one, unsigned where they are equal; an angle that loses
bits is truncated. Complex numbers stay out.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

MACHINE_BITS = 64


class Type(NamedTuple):
    """bool, bit, int, uint, float, angle or duration. size None: `bit c` as opposed to `bit[1] c`; of integers, a literal."""

    kind: str
    size: int | None = None

    @property
    def bits(self) -> int:
        """Return how many bits a value has."""
        if self.size is not None:
            return self.size
        return 1 if self.kind in {"bit", "bool"} else MACHINE_BITS


class Value(NamedTuple):
    """A typed value."""

    type: Type
    data: int | float | Fraction

    def __bool__(self) -> bool:
        """Return what a condition makes of it: not zero."""
        return self.data != 0


BOOL, BIT, INT, UINT, FLOAT, ANGLE, DURATION = map(Type, ("bool", "bit", "int", "uint", "float", "angle", "duration"))


def boolean(data: object) -> Value:
    """Return true or false."""
    return Value(BOOL, int(bool(data)))


def radians(value: Value) -> float:
    """Return the number that a gate makes of a parameter."""
    if value.type.kind == "angle":
        return math.tau * float(Fraction(value.data) / 2**value.type.bits)
    return float(value.data)


def wrapped(data: int, type_: Type) -> Value:
    """Return an integer modulo 2^n, as two's complement where the type is signed."""
    data %= 2**type_.bits
    if type_.kind == "int" and data >= 2 ** (type_.bits - 1):
        data -= 2**type_.bits
    return Value(type_, data)


# ---- Casts -------------------------------------------------------------------------------------------------------------


def cast(value: Value, to: Type) -> Value:
    """Return the value as another type. ValueError where the standard has no such cast."""
    kind = value.type.kind
    if to.kind == "bool" and kind != "duration":
        return boolean(value)
    if to.kind in {"int", "uint"} and kind in {"bool", "int", "uint", "bit", "float"}:
        return wrapped(math.trunc(value.data), to)
    if to.kind == "bit" and kind in {"bool", "int", "uint", "bit", "angle"}:
        if kind in {"bit", "angle"} and value.type.bits != to.bits:
            raise ValueError(f"{value.type} is no {to}: slice it")
        return Value(to, int(value.data) % 2**to.bits)
    if to.kind == "float" and kind in {"bool", "int", "uint", "float"}:
        return Value(to, float(np.float32(value.data)) if to.size == 32 else _real_number(value.data))
    if to.kind == "angle":
        return _to_angle(value, to)
    if to.kind == kind == "duration":
        return value
    raise ValueError(f"{value.type} has no cast to {to}")


def _to_angle(value: Value, to: Type) -> Value:
    match value.type.kind:
        case "angle":
            longer = to.bits - value.type.bits
            return Value(to, int(value.data) << longer if longer >= 0 else int(value.data) >> -longer)
        case "float" | "int" | "uint":
            turns = Fraction(math.fmod(value.data, math.tau) / math.tau)  # numbers of a program are radians
            return Value(to, round(turns * 2**to.bits) % 2**to.bits)
        case "bit" if value.type.bits == to.bits:
            return Value(to, value.data)
    raise ValueError(f"{value.type} has no cast to {to}")


# ---- Operators ---------------------------------------------------------------------------------------------------------


def _real_number(data: float | Fraction) -> Real:
    """Return a number as a fraction, unless it is a float already."""
    return data if isinstance(data, float) else Fraction(data)


def _divide(left: int, right: int) -> int:
    """C99: towards zero."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


INTEGERS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": lambda a, b: a - b * _divide(a, b),
    "**": operator.pow,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
Real = Fraction | float
REALS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": lambda a, b: a - b * math.trunc(a / b),
    "**": operator.pow,
}
COMPARISONS: dict[str, Callable[[object, object], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def binary(sign: str, left: Value, right: Value) -> Value:
    """Return left sign right; && and || are the interpreter's, since they may leave their right side out."""
    if sign in {"<<", ">>"}:
        return _shifted(left, int(right.data) if sign == "<<" else -int(right.data))
    kinds = {left.type.kind, right.type.kind}
    if "duration" in kinds:
        return _durations(sign, left, right)
    if "angle" in kinds:
        return _angles(sign, left, right)
    if "float" in kinds:
        if sign in COMPARISONS:
            return boolean(COMPARISONS[sign](left.data, right.data))
        result = REALS[sign](_real_number(left.data), _real_number(right.data))
        return cast(Value(FLOAT, result), _wider(left.type, right.type))
    common = _common(left.type, right.type, bitwise=sign in {"&", "|", "^"})
    a, b = int(cast(left, common).data), int(cast(right, common).data)
    if sign in COMPARISONS:
        return boolean(COMPARISONS[sign](a, b))
    return wrapped(INTEGERS[sign](a, b), common)


def _wider(left: Type, right: Type) -> Type:
    """Return the float type of two operands of which at least one is a float."""
    sizes = [one.size for one in (left, right) if one.kind == "float"]
    return Type("float", None if None in sizes else max(sizes))


def _common(left: Type, right: Type, *, bitwise: bool) -> Type:
    """Return the type in which integers and bits meet: C99, and what has no width takes the other's."""
    if bitwise and left.kind == right.kind and left.bits == right.bits:
        return left
    if bitwise and "bit" in {left.kind, right.kind} and left.bits != right.bits:
        return left if left.kind == "bit" else right  # a number beside a register
    unsigned = {"bit": "uint", "bool": "int"}
    plain = [Type(unsigned.get(one.kind, one.kind), one.size) for one in (left, right)]
    if left.kind != right.kind:
        plain = [INT if one.kind in {"bool", "bit"} and one.size is None else p
                 for one, p in zip((left, right), plain, strict=True)]  # fmt: skip
    if left.kind == right.kind == "bit" and left.size is None and right.size is None:
        return INT
    sized = [one for one in plain if one.size is not None]
    if len(sized) == 1:
        return sized[0]
    bits = max(one.bits for one in plain)
    widest = {one.kind for one in plain if one.bits == bits}
    return Type("uint" if "uint" in widest else "int", bits if sized else None)


def _shifted(left: Value, by: int) -> Value:
    """Return left << by, or left >> -by; bits fall off the end."""
    data = int(left.data)
    if left.type.kind == "bool":
        left = Value(INT, data)
    return wrapped(data << by if by >= 0 else data >> -by, left.type)


def _angles(sign: str, left: Value, right: Value) -> Value:
    """Return what the bit patterns give, as uint of the same width would."""
    sized = [one.type for one in (left, right) if one.type.kind == "angle" and one.type.size is not None]
    to = max(sized, key=lambda one: one.bits) if sized else ANGLE
    plain = Type("uint", to.size)
    scale = {"*", "/", "<<", ">>"}
    a, b = (
        int(one.data) if sign in scale and one.type.kind in {"int", "uint", "bit", "bool"} else int(cast(one, to).data)
        for one in (left, right)
    )
    if sign in COMPARISONS:
        return boolean(COMPARISONS[sign](a, b))
    ratio = sign == "/" and right.type.kind in {"angle", "float"}
    return Value(plain if ratio else to, wrapped(INTEGERS[sign](a, b), plain).data)


def _durations(sign: str, left: Value, right: Value) -> Value:
    """Return sums, multiples and ratios of durations."""
    a, b = Fraction(left.data), Fraction(right.data)
    if sign in COMPARISONS:
        return boolean(COMPARISONS[sign](a, b))
    result = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](a, b)
    if sign == "/" and left.type == right.type == DURATION:
        return Value(FLOAT, result)
    return Value(DURATION, result)


def unary(sign: str, value: Value) -> Value:
    """Return sign value: ! ~ -."""
    if sign == "!":
        return boolean(not value)
    if sign == "~":
        if value.type.kind == "bool":
            return boolean(not value)
        return wrapped(~int(value.data), value.type)
    if value.type.kind in {"float", "duration"}:
        return Value(value.type, -value.data)
    return wrapped(-int(value.data), INT if value.type.kind in {"bit", "bool"} else value.type)


# ---- Functions ---------------------------------------------------------------------------------------------------------


def _rotated(value: Value, by: int) -> Value:
    """Return the bits shifted left in a circle."""
    size, data = value.type.bits, int(value.data)
    by %= size
    return wrapped(data << by | (data % 2**size) >> (size - by), value.type)


def _real(function: Callable[..., float]) -> Callable[..., Value]:
    return lambda *values: Value(FLOAT, float(function(*map(radians, values))))


def _plain(sign: str) -> Callable[[Value, Value], Value]:
    return lambda left, right: binary(sign, left, right)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "arccos": _real(math.acos),
    "arcsin": _real(math.asin),
    "arctan": _real(math.atan),
    "ceiling": _real(math.ceil),
    "cos": _real(math.cos),
    "exp": _real(math.exp),
    "floor": _real(math.floor),
    "log": _real(math.log),
    "sin": _real(math.sin),
    "sqrt": _real(math.sqrt),
    "tan": _real(math.tan),
    "mod": _plain("%"),
    "pow": _plain("**"),
    "popcount": lambda value: Value(UINT, (int(value.data) % 2**value.type.bits).bit_count()),
    "rotl": lambda value, by: _rotated(value, int(by.data)),
    "rotr": lambda value, by: _rotated(value, -int(by.data)),
}
