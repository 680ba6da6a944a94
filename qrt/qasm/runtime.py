"""Operators on what a sequencer computes from outcomes, written in the few that it has.

A value of a type is held in an int64 word that is always the type's own: of bool, bit and uint within 0 to 2^width - 1, of int with its
sign, of an angle in 2^-64 turns, in multiples of 2^(64 - width). So a comparison compares words, and only what can leave the range is
wrapped. What the sequencers cannot compute (a quotient by what is no power of two) is tabulated where the operand is narrow, and
refused with the reason otherwise; refusals are ValueErrors.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final, cast

from qrt.qasm import exactness, fixed
from qrt.qasm.casts import cast_known
from qrt.qasm.expressions import Exact, fold
from qrt.qasm.fixed import Fixed
from qrt.qasm.formula import Formula, turns
from qrt.qasm.kinds import ANGLE, BOOL, INT, RUNTIME, UINT, VARIED, WHOLE, Type, Typed, wrap, wrapped
from qrt.qasm.operators import BITWISE, LOGICAL, NOT_BOOL, SHIFTS, binary, common, settled, whole_result
from qrt.qasm.sequenced import WORD_BITS, Operator, compute, logical_shift, towards_zero
from qrt.types import Bits, Classical, Lookup, Parameter, Source
from qrt.units import TURN, signed64

TABLE_BITS: Final = 12  # of an operand whose results are tabulated: 4096 words
SIGN: Final = 1 << (WORD_BITS - 1)
NO_LAB: Final = Fraction(0)


# ---- Words -------------------------------------------------------------------------------------------------------------


def word_of(value: Typed, source: Source) -> Classical:
    """Return a value as a word. Raises ValueError for one that no sequencer can hold."""
    type_, held = value
    assert type(held) is not Fixed, "cast_word says as what"
    if type(held) in RUNTIME:
        return cast("Classical", held)
    if type(held) in VARIED:
        if type_.kind in WHOLE:
            formula = Formula(fold(held, {}), plain=True)
            return Parameter("integer", formula, f"({', '.join(formula.names)})", source)
        if type_.kind in {"angle", "float"}:
            formula = Formula(fold(held, {}), Fraction(TURN))
            return Parameter("phase", formula, f"({', '.join(formula.names)})", source)
    elif type_.kind in WHOLE:
        return signed64(wrapped(held, type_))
    elif type_.kind == "angle":
        return signed64(round(turns(held) * TURN))
    raise ValueError(unheld(type_))


def unheld(type_: Type) -> str:
    """Return why no sequencer holds a value of a type."""
    if type_.kind in {"float", "duration"}:
        return (
            f"a {type_.kind} of inputs that vary, together with outcomes or compared, is not exact in a sequencer: give the input a value, "
            "or use int, uint or angle"
        )
    return f"a value of type {type_} that depends on outcomes is not supported"


def bits_word(values: Iterable[Any]) -> Classical:
    """Return what bits are together, the first one lowest; each is known or a Bits of its own."""
    constant, word, start = 0, cast("Classical", 0), 0
    run: list[int] = []
    for position, value in enumerate([*values, 0]):
        if type(value) is int:
            constant |= value << position
            if run:
                word = compute("+", word, compute("*", Bits(tuple(run)), signed64(1 << start)))
            run, start = [], position + 1
        else:
            run.append(value.bits[0])
    return compute("+", word, signed64(constant))


# ---- Casts -------------------------------------------------------------------------------------------------------------


def cast_word(value: Typed, to: Type, source: Source) -> Classical:
    """Return a value that is not known in another type, as a word. Raises ValueError where there is no such cast."""
    if type(value.value) not in RUNTIME and type(value.value) not in VARIED:
        return word_of(Typed(to, cast_known(value, to, NO_LAB)), source)
    if type(value.value) is Fixed:
        return _of_fixed(value.value, to)
    type_, word = value.type, word_of(value, source)
    if type_ == to:
        return word
    kinds = (type_.kind, to.kind)
    if to.kind == "bit" and kinds[0] in {"bit", "angle"} and type_.width != to.width:
        raise ValueError(f"{type_} cannot be converted to {to}: the widths differ")
    if to.kind == "bool" and type_.kind in {*WHOLE, "angle"}:
        return (
            word
            if type_.kind == "bool" or (type_.kind != "int" and type_.width == 1)
            else compute("^", compute("==", word, 0), 1)
        )
    if type_.kind in WHOLE and to.kind in WHOLE:
        return word if _fits(type_, to) else wrap(word, to)
    if kinds == ("angle", "angle"):
        return _on_grid(word, to) if to.width and (not type_.width or type_.width > to.width) else word
    if type_.kind == "bit" and to.kind == "angle" and to.width == type_.width:
        return compute("*", word, signed64(1 << (WORD_BITS - to.width)))
    if type_.kind == "angle" and to.kind in {"bit", "int", "uint"} and type_.width:
        return wrap(logical_shift(word, WORD_BITS - type_.width), to)
    if kinds == ("float", "angle"):
        return _on_grid(word, to) if to.width else word
    if to.kind in {"float", "complex", "duration"}:
        raise ValueError(unheld(to))
    raise ValueError(f"{type_} cannot be converted to {to}")


def _of_fixed(value: Fixed, to: Type) -> Classical:
    """Return a real number as a bool, a whole number or an angle. Raises ValueError where rounding could change what it is."""
    if value.unit == "s" or to.kind not in {"bool", "int", "uint", "angle"}:
        raise ValueError(f"a {'duration' if value.unit == 's' else 'float'} cannot be converted to {to}")
    if to.kind == "bool":
        return exactness.compared("!=", value, fixed.known(Fraction(0)))
    if to.kind == "angle":
        word, off = exactness.modulo_turn(value)
        exactness.needed(off, exactness.HALF_PHASE_STEP, "this angle", "turns")
        return _angle_on_grid(value, word, to)
    value = fixed.plain(value)
    if value.error:
        exactness.undoubted(value)
    step = value.step
    if not value.error and step.denominator & (step.denominator - 1) == 0 and value.size * step.numerator < SIGN:
        return wrap(_whole_part(value), to)
    try:
        index, words = exactness.index_of(value)
    except ValueError:  # too many for a table: in halves of halves, if none of them is so near a whole number
        room = fixed.SIZE_BITS - 2 - int(value.size_value).bit_length()
        value = fixed.stepped(
            fixed.coarser(value, fixed.HALF_BITS), Fraction(1, 1 << max(min(room, fixed.HALF_BITS), 0))
        )
        exactness.undoubted(value)
        return wrap(_whole_part(value), to)
    return _entry(tuple(signed64(wrapped(int(word * step), to)) for word in words), index)


def _whole_part(value: Fixed) -> Classical:
    """Return a number that counts by a power of two without its fraction, towards zero."""
    word = compute("*", value.word, value.step.numerator)
    return towards_zero(word, value.step.denominator.bit_length() - 1)


def _angle_on_grid(value: Fixed, word: Classical, to: Type) -> Classical:
    """Return an angle of a width: of numbers that can be followed each as a known one would be."""
    if not to.width:
        return word
    if not exactness.is_exact(value):
        raise ValueError(
            f"{to} rounds, and of {value} it is not known which way: use angle without a width, or exact numbers"
        )
    index, combinations = exactness.combined([value])
    real = Type("float")
    entries = []
    for one in combinations:
        number = Fraction(0) if one is None else one[0]
        exact = Exact(Fraction(0), number) if value.unit == "pi" else Exact(number)
        entries.append(signed64(round(turns(cast_known(Typed(real, exact), to, NO_LAB)) * TURN)))
    return _entry(tuple(entries), index)


def _entry(values: tuple[int, ...], index: Classical) -> Classical:
    return values[index] if type(index) is int else Lookup(values, index)


def _fits(type_: Type, to: Type) -> bool:
    """Say whether every value of one type is one of the other."""
    if to.width in {0, WORD_BITS} or (type_.kind == to.kind and 0 < type_.width <= to.width):
        return True
    return type_.kind != "int" and 0 < type_.width < to.width + (to.kind != "int")


def _on_grid(word: Classical, type_: Type) -> Classical:
    """Return an angle rounded to the nearest that its width holds."""
    if not type_.width or type_.width == WORD_BITS:
        return word
    step = 1 << (WORD_BITS - type_.width)
    return compute("&", compute("+", word, step >> 1), -step)


# ---- Operators ---------------------------------------------------------------------------------------------------------


def unary_word(name: str, operand: Typed, source: Source) -> Typed:
    """Return the value of `-`, `~` or `!`."""
    type_ = operand.type
    if name == "!":
        return Typed(BOOL, compute("^", cast_word(operand, BOOL, source), 1))
    word = word_of(operand, source)
    if name == "~":
        if type_.kind == "angle" and type_.width:
            return Typed(type_, compute("^", word, -(1 << (WORD_BITS - type_.width))))
        if type_.kind not in {"bit", "int", "uint"}:
            raise ValueError(f"~ of {type_} has no meaning{NOT_BOOL * (type_ == BOOL)}")
        return Typed(type_, wrap(compute("^", word, -1), type_))
    if type_.kind == "bit":
        raise ValueError(f"- of {type_} has no meaning: cast bits to a number, as in -int(c)")
    if type_.kind == "bool":
        type_ = INT
    return Typed(type_, wrap(compute("-", 0, word), type_) if type_.kind in WHOLE else compute("-", 0, word))


def binary_word(name: str, left: Typed, right: Typed, source: Source) -> Typed:
    """Return the value of a binary operator of which one side at least is not known."""
    if name in LOGICAL:
        return _logical(name, left, right, source)
    kinds = {left.type.kind, right.type.kind}
    if kinds <= WHOLE:
        return _whole(name, left, right, source)
    if "angle" in kinds:
        return _angle(name, left, right, source)
    for side in (left, right):
        if side.type.kind not in WHOLE:
            raise ValueError(unheld(side.type))
    raise AssertionError(name)


def _logical(name: str, left: Typed, right: Typed, source: Source) -> Typed:
    one, other = cast_word(left, BOOL, source), cast_word(right, BOOL, source)
    return Typed(BOOL, compute("&" if name == "&&" else "|", one, other))


def _whole(name: str, left: Typed, right: Typed, source: Source) -> Typed:
    if name not in SHIFTS:
        left, right = settled(left, right)
    result = whole_result(name, left.type, right.type)
    if name in SHIFTS:
        return Typed(result, _shifted(name, left, right, result, source))
    meeting = common(left.type, right.type) if result.kind == "bool" else result
    if name in {"/", "%", "**"}:
        return Typed(result, _divided(name, left, right, result, source))
    one, other = cast_word(left, meeting, source), cast_word(right, meeting, source)
    if name in BITWISE:
        return Typed(result, compute(cast("Operator", name), one, other))
    if result.kind == "bool":
        return Typed(BOOL, _compared(name, one, other, unsigned64=meeting == UINT))
    return Typed(result, wrap(compute(cast("Operator", name), one, other), result))


def _compared(name: str, one: Classical, other: Classical, *, unsigned64: bool) -> Classical:
    if name in {"==", "!="}:
        equal = compute("==", one, other)
        return equal if name == "==" else compute("^", equal, 1)
    if unsigned64:  # the sequencer compares with signs: turned over, the order is the unsigned one
        one, other = compute("^", one, -SIGN), compute("^", other, -SIGN)
    if name in {">", "<="}:
        one, other = other, one
    less = compute("<", one, other)
    return less if name in {"<", ">"} else compute("^", less, 1)


def _shifted(name: str, left: Typed, right: Typed, result: Type, source: Source) -> Classical:
    word = cast_word(left, result, source)
    width = result.width or WORD_BITS
    if type(right.value) is int:
        count = right.value
        if count < 0:
            raise ValueError(f"a shift by {count}; a count of at least 0 is needed")
        if name == "<<":
            return 0 if count >= width else wrap(compute("*", word, signed64(1 << count)), result)
        if result.kind == "int":
            return compute(">>", word, min(count, WORD_BITS - 1))
        return 0 if count >= width else logical_shift(word, count) if width == WORD_BITS else compute(">>", word, count)
    if name == "<<" and right.type.kind in {"uint", "bit"} and right.type.width <= TABLE_BITS:
        powers = tuple(signed64(1 << count) if count < width else 0 for count in range(1 << right.type.width))
        return wrap(compute("*", word, Lookup(powers, word_of(right, source))), result)
    raise ValueError(
        f"a shift {name} by what depends on outcomes is not supported; shift by a constant on sides of an if"
    )


def _divided(name: str, left: Typed, right: Typed, result: Type, source: Source) -> Classical:
    if type(right.value) is int:
        divisor = wrapped(right.value, result)
        if divisor == 0 and name != "**":
            raise ZeroDivisionError
        if name != "**" and divisor > 0 and not divisor & (divisor - 1):
            return _divided_by_power(name, cast_word(left, result, source), divisor.bit_length() - 1, result)
    other = left if type(right.value) is int else right
    tabled = type(right.value) is int or (name == "**" and type(left.value) is int and right.type.kind != "int")
    if tabled and 0 < other.type.width <= TABLE_BITS:
        return _tabulated(name, left, right, other, result, source)
    raise ValueError(
        f"{left.type} {name} {right.type} of outcomes cannot be computed by a sequencer; it can by powers of two, and by any constant "
        f"where the other side has at most {TABLE_BITS} bits: use a narrower type, such as uint[8], or an extern"
    )


def _tabulated(  # noqa: PLR0917
    name: str, left: Typed, right: Typed, unknown: Typed, result: Type, source: Source
) -> Classical:
    """Return a table of an operator's results over all values of a narrow operand."""
    values, width = [], unknown.type.width
    for pattern in range(1 << width):
        operand = Typed(unknown.type, wrapped(pattern, unknown.type))
        sides = (operand, right) if unknown is left else (left, operand)
        found = binary(name, *sides, NO_LAB)
        values.append(signed64(wrapped(cast_known(found, result, NO_LAB), result)))
    index = word_of(unknown, source)
    return Lookup(tuple(values), compute("&", index, (1 << width) - 1) if unknown.type.kind == "int" else index)


def _divided_by_power(name: str, word: Classical, count: int, result: Type) -> Classical:
    if result.kind != "int":
        if name == "%":
            return compute("&", word, (1 << count) - 1)
        return logical_shift(word, count) if result.width == WORD_BITS else compute(">>", word, count)
    towards_zero = compute("+", word, compute("&", compute(">>", word, WORD_BITS - 1), (1 << count) - 1))
    quotient = compute(">>", towards_zero, count)
    return quotient if name == "/" else compute("-", word, compute("*", quotient, 1 << count))


def _angle(name: str, left: Typed, right: Typed, source: Source) -> Typed:
    """Operators of which one operand is an angle."""
    kinds = (left.type.kind, right.type.kind)
    width = max(side.type.width for side in (left, right) if side.type.kind == "angle")
    result = Type("angle", width) if width else ANGLE
    if kinds == ("angle", "angle") or "float" in kinds:
        if name not in {"+", "-", "&", "|", "^", "==", "!=", "<", "<=", ">", ">="}:
            raise ValueError(f"{left.type} {name} {right.type} of outcomes is not supported")
        one, other = (cast_word(side, result, source) for side in (left, right))
        if name in {"==", "!=", "<", "<=", ">", ">="}:
            return Typed(BOOL, _compared(name, one, other, unsigned64=True))
        return Typed(result, compute(cast("Operator", name), one, other))
    if name == "*":
        one, other = word_of(left, source), word_of(right, source)
        return Typed(result, compute("*", one, other))
    if kinds[0] == "angle" and type(right.value) is int:
        count = right.value if name in SHIFTS else right.value.bit_length() - 1
        if name == "<<":
            return Typed(result, compute("*", word_of(left, source), signed64(1 << count)) if count < WORD_BITS else 0)
        if name == ">>" or (name == "/" and right.value > 0 and not right.value & (right.value - 1)):
            shifted = logical_shift(word_of(left, source), count) if count < WORD_BITS else 0
            return Typed(result, compute("&", shifted, -(1 << (WORD_BITS - width))) if width else shifted)
    raise ValueError(
        f"{left.type} {name} {right.type} of outcomes cannot be computed by a sequencer; it can add, subtract, compare, multiply by "
        "whole numbers, shift and divide by powers of two"
    )
