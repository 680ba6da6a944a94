"""Operators on known values, as the standard has them: whole numbers wrap at their width, numbers stay exact where they can.

Whole numbers of two types meet as in C: in the wider one, unsigned where the widths are equal; a literal takes the other's type. A
quotient of whole numbers is one, towards zero; of two literals it must be exact, since `1/2` was never meant to be 0. An angle without
a width is a number in radians, one with a width is a multiple of 2 pi / 2^width modulo 2 pi. Every problem is a ValueError,
ZeroDivisionError or OverflowError; who knows the place tells it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from math import tau
from typing import Any, Final

from qrt.qasm.expressions import ARITHMETIC, INTEGER_BITS_MAX, Duration, Exact, Stretched, as_float
from qrt.qasm.formula import turns
from qrt.qasm.kinds import ANGLE, BOOL, COMPLEX, DURATION, FLOAT, INT, LITERAL, UINT, WHOLE, Type, Typed, wrapped

COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
BITWISE: Final[dict[str, Callable[[int, int], int]]] = {"&": operator.and_, "|": operator.or_, "^": operator.xor}
LOGICAL: Final = frozenset({"&&", "||"})
SHIFTS: Final = frozenset({"<<", ">>"})
NOT_BOOL: Final = ": the contrary of a bool is !"
ARITHMETIC_NAMES: Final = frozenset({"+", "-", "*", "/", "%", "**"})


# ---- Types of results --------------------------------------------------------------------------------------------------


def common(left: Type, right: Type) -> Type:
    """Return the type in which two whole numbers meet."""
    if left.kind == "bit":
        left = Type("uint", left.width)
    if right.kind == "bit":
        right = Type("uint", right.width)
    left, right = (INT if one.kind == "bool" else one for one in (left, right))
    if not left.width or not right.width:
        return right if not left.width else left
    if left.width == right.width:
        return left if left.kind == "uint" else right
    return left if left.width > right.width else right


def settled(left: Typed, right: Typed) -> tuple[Typed, Typed]:
    """Return two whole numbers, of which a literal has the other's type now, or a wide one where it would not fit."""
    if left.type == LITERAL and right.type != LITERAL:
        return _fitted(left, right.type), right
    if right.type == LITERAL and left.type != LITERAL:
        return left, _fitted(right, left.type)
    return left, right


def _fitted(literal: Typed, type_: Type) -> Typed:
    if type_.kind == "bit":
        type_ = Type("uint", type_.width)
    if type_.kind == "bool" or wrapped(literal.value, type_) != literal.value:
        type_ = UINT if type_.kind == "uint" and literal.value >= 0 else INT
    return Typed(type_, literal.value)


def whole_result(name: str, left: Type, right: Type) -> Type:
    """Return the type of an operator on two whole numbers. Raises ValueError where it has no meaning."""
    if name in COMPARISONS or name in LOGICAL:
        return BOOL
    if name in SHIFTS:
        return UINT if left.kind == "bool" else left
    if name in BITWISE:
        if left.kind == "bool" and right.kind == "bool":
            return BOOL
        if "bit" in {left.kind, right.kind}:
            bits = left if left.kind == "bit" else right
            other = right if left.kind == "bit" else left
            if other.width and other.width != bits.width:
                raise ValueError(f"{left} {name} {right}: the widths differ; cast one of them")
            return bits
        return common(left, right)
    if "bit" in {left.kind, right.kind}:
        raise ValueError(f"{left} {name} {right} has no meaning: cast bits to a number, as in int(c) {name} 1")
    return common(left, right)


def check_bits(name: str, left: Type, right: Typed) -> None:
    """Raise ValueError where bits are compared with what they can never be."""
    if name not in COMPARISONS or left.kind != "bit" or type(right.value) is not int:
        return
    if right.type.kind == "bit" and right.type.width != left.width:
        raise ValueError(f"{left.width} bits are compared with a string of {right.type.width}")
    if right.type.kind == "int" and not right.type.width and not 0 <= right.value < 1 << left.width:
        raise ValueError(f"{left.width} bits are compared with {right.value}; allowed: 0 to {(1 << left.width) - 1}")


# ---- Two operands ------------------------------------------------------------------------------------------------------


def binary(name: str, left: Typed, right: Typed, sample_s: Fraction) -> Typed:
    """Return the value of a binary operator on known values."""
    if name in LOGICAL:
        sides = truth(left), truth(right)
        return Typed(BOOL, int(all(sides) if name == "&&" else any(sides)))
    if left.type.kind in WHOLE and right.type.kind in WHOLE:
        return _whole(name, left, right)
    if left.type.of is not None or right.type.of is not None:
        raise ValueError(f"{left.type} {name} {right.type} has no meaning: take elements")
    if left.type.kind == "complex" or right.type.kind == "complex":
        return _complex(name, left, right)
    if left.type.kind == "duration" or right.type.kind == "duration":
        return _duration(name, left, right, sample_s)
    return _number(name, left, right)


def _whole(name: str, left: Typed, right: Typed) -> Typed:
    both_literal = left.type == right.type == LITERAL
    if name not in SHIFTS:
        left, right = settled(left, right)
    type_ = whole_result(name, left.type, right.type)
    if name in COMPARISONS:
        meeting = common(left.type, right.type)
        return Typed(BOOL, int(COMPARISONS[name](wrapped(left.value, meeting), wrapped(right.value, meeting))))
    if name in SHIFTS:
        return Typed(type_, wrapped(shifted(name, left.value, right.value, type_.width), type_))
    one, other = wrapped(left.value, type_), wrapped(right.value, type_)
    if name in BITWISE:
        return Typed(type_, wrapped(BITWISE[name](one, other), type_))
    if name == "+":
        value = one + other
    elif name == "-":
        value = one - other
    elif name == "*":
        value = one * other
    elif name == "**":
        if other < 0:
            return _number(name, left, right)
        if abs(one).bit_length() * other > INTEGER_BITS_MAX:
            if not type_.width:
                raise OverflowError
            value = pow(one, other, 1 << type_.width)
        else:
            value = one**other
    else:
        value = quotient(one, other) if name == "/" else remainder(one, other)
        if name == "/" and both_literal and value * other != one:
            raise ValueError(f"{one}/{other} of whole numbers would be {value}; write {one}/{other}.0 for the fraction")
    value = wrapped(value, type_)
    if value.bit_length() > INTEGER_BITS_MAX:
        raise OverflowError
    return Typed(type_, value)


def quotient(one: int, other: int) -> int:
    """Return a quotient towards zero, as C does."""
    value = abs(one) // abs(other)
    return value if (one < 0) == (other < 0) else -value


def remainder(one: int, other: int) -> int:
    """Return what a quotient towards zero leaves; it has the sign of the dividend."""
    return one - other * quotient(one, other)


def shifted(name: str, value: int, count: int, width: int) -> int:
    """Return a shifted number; the sign stays with >> of a negative one."""
    if count < 0:
        raise ValueError(f"a shift by {count}; a count of at least 0 is needed")
    if name == ">>":
        return value >> count
    if width and count >= width:
        return 0
    if value.bit_length() + count > INTEGER_BITS_MAX:
        raise OverflowError
    return value << count


def _number(name: str, left: Typed, right: Typed) -> Typed:
    """Real numbers and angles."""
    one, other = left.value, right.value
    one = Exact(Fraction(one)) if type(one) is int else one
    other = Exact(Fraction(other)) if type(other) is int else other
    kinds = left.type.kind, right.type.kind
    if name in COMPARISONS:
        if "angle" in kinds:
            one, other = reduced(one), reduced(other)
        if one == other:
            return Typed(BOOL, int(name in {"==", "<=", ">="}))
        if isinstance(one, Exact) and isinstance(other, Exact) and one.pi == other.pi:
            return Typed(BOOL, int(COMPARISONS[name](one.rational, other.rational)))
        return Typed(BOOL, int(COMPARISONS[name](as_float(one), as_float(other))))
    if name in BITWISE or name in SHIFTS:
        return _angle_bits(name, left, right)
    if name == "%":
        raise ValueError(f"{left.type} % {right.type} has no meaning; use mod(a, b)")
    if kinds == ("angle", "angle") and name == "/":
        exact = ARITHMETIC["/"](reduced(one), reduced(other))
        count = exact.rational.__floor__() if isinstance(exact, Exact) and not exact.pi else int(as_float(exact))  # type: ignore[arg-type]
        return Typed(Type("uint", max(left.type.width, right.type.width)) if left.type.width else UINT, count)
    value: Any = ARITHMETIC[name](one, other)
    widths = [type_.width for type_ in (left.type, right.type) if type_.kind == "angle"]
    scaled = name in {"*", "/"} and (kinds[0] in WHOLE or kinds[1] in WHOLE)
    if widths and (name in {"+", "-"} or scaled) and not (name == "/" and kinds[1] == "angle"):
        type_ = Type("angle", max(widths))
        if not type_.width:
            return Typed(ANGLE, value)
        down = name == "/"  # the quotient of the words, towards zero
        return Typed(type_, quantised(value, type_.width, down=down))
    return Typed(FLOAT, value)


def _angle_bits(name: str, left: Typed, right: Typed) -> Typed:
    """Shifts of an angle's word, and bitwise operators between two."""
    width = left.type.width
    if left.type.kind != "angle" or not width or (name in BITWISE and right.type != left.type):
        raise ValueError(f"{left.type} {name} {right.type} has no meaning: it needs whole numbers")
    word = angle_word(left.value, width)
    if name in SHIFTS:
        if type(right.value) is not int:
            raise ValueError(f"{left.type} {name} {right.type} has no meaning: a whole number is needed")
        result = shifted(name, word, right.value, width)
    else:
        result = BITWISE[name](word, angle_word(right.value, width))
    return Typed(left.type, angle_of(result, width))


def _complex(name: str, left: Typed, right: Typed) -> Typed:
    one, other = as_complex(left), as_complex(right)
    if name in {"==", "!="}:
        return Typed(BOOL, int((one == other) == (name == "==")))
    if name not in {"+", "-", "*", "/", "**"}:
        raise ValueError(f"{left.type} {name} {right.type} has no meaning")
    apply = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow}[name]
    return Typed(COMPLEX, apply(one, other))


def as_complex(value: Typed) -> complex:
    """Return a number as a complex one."""
    if type(value.value) is complex:
        return value.value
    if value.type.kind == "duration":
        raise ValueError("a duration is no complex number")
    return complex(value.value if type(value.value) is int else as_float(value.value))


def _rational(value: Exact | float) -> Fraction | None:
    return value.rational if isinstance(value, Exact) and not value.pi else None


def _stretched(name: str, left: Typed, right: Typed) -> Typed:
    """Sums of durations with stretches in them, and multiples."""
    if name in {"+", "-"} and left.type.kind == right.type.kind == "duration":
        sign = 1 if name == "+" else -1
        one, other = (
            side.value if isinstance(side.value, Stretched) else Stretched(side.value, ()) for side in (left, right)
        )
        factors = dict(one.factors)
        for number, factor in other.factors:
            factors[number] = factors.get(number, Fraction(0)) + sign * factor
        known: Any = ARITHMETIC[name](one.known, other.known)
        return Typed(DURATION, Stretched(known, tuple(sorted(factors.items()))))
    stretched, number_side = (left, right) if isinstance(left.value, Stretched) else (right, left)
    scales = name == "*" or (name == "/" and stretched is left)
    given: Any = number_side.value
    scaling = given if type(given) is int else None if isinstance(given, Duration | Stretched) else _rational(given)
    if not scales or scaling is None:
        raise ValueError(
            f"a duration with stretches {name} {number_side.type} has no meaning: add, subtract, or multiply by constants"
        )
    scale = Fraction(scaling) if name == "*" else 1 / Fraction(scaling)
    scaled: Any = ARITHMETIC["*"](Exact(scale), stretched.value.known)
    return Typed(DURATION, Stretched(scaled, tuple((index, scale * one) for index, one in stretched.value.factors)))


def _duration(name: str, left: Typed, right: Typed, sample_s: Fraction) -> Typed:
    if isinstance(left.value, Stretched) or isinstance(right.value, Stretched):
        return _stretched(name, left, right)
    both = left.type.kind == right.type.kind == "duration"
    one: Any = Exact(Fraction(left.value)) if type(left.value) is int else left.value
    other: Any = Exact(Fraction(right.value)) if type(right.value) is int else right.value
    if name in COMPARISONS and both:
        values = seconds_of(one, sample_s), seconds_of(other, sample_s)
        return Typed(BOOL, int(COMPARISONS[name](*values)))
    if name == "/" and both:
        if (one.samples or other.samples) and sample_s:
            return Typed(FLOAT, Exact(seconds_of(one, sample_s) / seconds_of(other, sample_s)))
        return Typed(FLOAT, ARITHMETIC["/"](one, other))
    allowed = {"+": both, "-": both, "*": not both, "/": right.type.kind != "duration"}
    if not allowed.get(name, False):
        words = ["a duration" if side.type.kind == "duration" else "a number" for side in (left, right)]
        raise ValueError(f"{words[0]} {name} {words[1]} has no meaning")
    return Typed(DURATION, ARITHMETIC[name](one, other))


def seconds_of(value: Duration, sample_s: Fraction) -> Fraction:
    """Return a duration in seconds."""
    if value.samples and not sample_s:
        raise ValueError("the length of dt belongs to the lab; give ns, us, ms or s")
    return value.seconds + value.samples * sample_s


# ---- One operand -------------------------------------------------------------------------------------------------------


def unary(name: str, operand: Typed) -> Typed:
    """Return the value of `-`, `~` or `!` on a known value."""
    type_, value = operand
    if name == "!":
        return Typed(BOOL, int(not truth(operand)))
    if name == "~":
        if type_.kind == "angle" and type_.width:
            return Typed(type_, angle_of(~angle_word(value, type_.width), type_.width))
        if type_.kind not in {"bit", "int", "uint"}:
            raise ValueError(f"~ of {type_} has no meaning{NOT_BOOL * (type_ == BOOL)}")
        return Typed(type_, wrapped(~value, type_))
    if type_.kind == "bit":
        raise ValueError(f"- of {type_} has no meaning: cast bits to a number, as in -int(c)")
    if type_.kind in WHOLE:
        type_ = INT if type_.kind == "bool" else type_
        return Typed(type_, wrapped(-value, type_))
    if type_.kind == "complex":
        return Typed(type_, -value)
    if type_.of is not None:
        raise ValueError(f"- of {type_} has no meaning: take elements")
    if isinstance(value, Stretched):
        return _stretched("*", Typed(LITERAL, -1), operand)
    negative = ARITHMETIC["*"](Exact(Fraction(-1)), value)
    return Typed(type_, quantised(negative, type_.width) if type_.kind == "angle" and type_.width else negative)  # type: ignore[arg-type]


def truth(operand: Typed) -> bool:
    """Return a value as a bool: true where it is not zero."""
    type_, value = operand
    if type_.kind in WHOLE:
        return bool(value)
    if type_.kind in {"float", "angle"}:
        return value not in {Exact(Fraction(0)), 0.0}
    raise ValueError(f"{type_} is neither true nor false")


# ---- Angles ------------------------------------------------------------------------------------------------------------


def reduced(value: Exact | float) -> Exact | float:
    """Return an angle within [0, 2 pi)."""
    if isinstance(value, Exact) and not value.rational:
        return Exact(Fraction(0), value.pi % 2)
    return as_float(value) % tau


def angle_word(value: Exact | float, width: int, *, down: bool = False) -> int:
    """Return an angle in 2^-width turns, modulo a turn, rounded to the nearest, or down."""
    exact = turns(value) * (1 << width)
    return (exact.__floor__() if down else round(exact)) % (1 << width)


def angle_of(word: int, width: int) -> Exact:
    """Return the angle of so many 2^-width turns."""
    return Exact(Fraction(0), Fraction(2 * (word % (1 << width)), 1 << width))


def quantised(value: Exact | float, width: int, *, down: bool = False) -> Exact:
    """Return the angle that a type of a width holds."""
    return angle_of(angle_word(value, width, down=down), width)
