"""When a number in steps (qrt.qasm.fixed) is exact enough for what is made of it: comparisons, whole numbers, tables, angles, outputs.

Exact enough, the rule for everything that uses such a number:
  a comparison, a condition or a whole number made of it must come out as in exact arithmetic for every word that it can be;
  a function is a table over its words, and needs them exact;
  an angle, an amplitude or a frequency may be off by half of the hardware's own step (`needed` says which), an output by OUTPUT_ERROR
  of its largest size, which is what a float[32] would be off by.
What breaks the rule is a ValueError with the bound and what to do; who knows the place tells it. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from math import gcd
from typing import Final

from qrt.qasm.fixed import (
    HALF_BITS,
    PI,
    SIZE_BITS,
    WORDS_MAX,
    Fixed,
    Unit,
    coarser,
    known,
    listed,
    plain,
    stepped,
    subtract,
)
from qrt.qasm.sequenced import WORD_BITS, compute, exact_quotient
from qrt.types import Classical, Lookup
from qrt.units import FLOAT_ONE, signed64

COMPARED_MAX: Final = 32  # words that are told apart one by one where they are too far apart for a table
OUTPUT_ERROR: Final = Fraction(1, 1 << 24)  # of the largest size: half of the last place of a float[32]
HALF_PHASE_STEP: Final = 1 / (4 * PI * 32767)  # turns by which a full-scale sample of 16 bits moves by half of a count


# ---- What must not differ from exact arithmetic --------------------------------------------------------------------------


def compared(name: str, left: Fixed, right: Fixed) -> Classical:
    """Return a comparison as a word, 0 or 1. Raises ValueError where it could come out otherwise than in exact arithmetic."""
    if type(right.word) is int and left.unit == right.unit:
        return _beside(name, left, right.word * right.step, right.error)
    if type(left.word) is int and left.unit == right.unit:
        turned = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(name, name)
        return _beside(turned, right, left.word * left.step, left.error)
    return _beside(name, subtract(left, right), Fraction(0), Fraction(0))


def _beside(name: str, value: Fixed, number: Fraction, number_error: Fraction) -> Classical:
    """Return how a number compares with one that is known: the word beside the last one that is not above it."""
    error = value.error + number_error
    if error:
        _decided(value, number, error)
    quotient = number / value.step
    below = quotient.__floor__()
    whole = quotient.denominator == 1
    if name in {"==", "!="}:
        equal: Classical = compute("==", value.word, below) if whole and value.low <= below <= value.high else 0
        return equal if name == "==" else compute("^", equal, 1)
    first = below if whole and name in {"<", ">="} else below + 1  # the least word that is not less, or that is more
    first = min(max(first, value.low), value.high + 1)
    less: Classical = 1 if first > value.high else 0 if first <= value.low else compute("<", value.word, first)
    return less if name in {"<", "<="} else compute("^", less, 1)


def _decided(value: Fixed, number: Fraction, error: Fraction) -> None:
    """Raise ValueError where a number may be nearer to another than it is exact."""
    if value.words is None:
        near = value.low * value.step - error <= number <= value.high * value.step + error
        gap = Fraction(0)
    else:
        gap = min(abs(word * value.step - number) for word in value.words)
        near = gap <= error
    if near:
        raise ValueError(
            f"this is decided by a number that is exact to {float(error):.2g} and can be as near as {float(gap):.2g} to where the answer "
            f"changes (it is {value}): use fewer digits or products, compare whole numbers, or let the sides be further apart"
        )


def undoubted(value: Fixed) -> None:
    """Raise ValueError where the whole number that a number becomes, towards zero, could differ from that of the exact one."""
    for word in value.words or (value.low, value.high):
        number = word * value.step
        if value.words is None or int(number - value.error) != int(number + value.error):
            raise ValueError(
                f"a whole number of {float(number):.12g}, exact to {float(value.error):.2g} alone, could be the wrong one: use fewer "
                "digits or products, or add a half of the last place"
            )


def is_exact(value: Fixed) -> bool:
    """Say whether a number is what exact arithmetic gives, and can be followed word by word."""
    return not value.error and value.words is not None


# ---- Tables ------------------------------------------------------------------------------------------------------------


def index_of(value: Fixed) -> tuple[Classical, tuple[int, ...]]:
    """Return which of its words a number is, and the words in that order. Raises ValueError where they are too many."""
    if value.words is None:
        raise ValueError(
            f"more than {WORDS_MAX} numbers are possible here ({value}), too many for a table; narrower types, such as uint[8], have fewer"
        )
    if isinstance(value.word, Lookup):  # it is one of a table's entries already
        return value.word.index, value.word.values
    words = sorted(value.words)
    apart = gcd(*(word - words[0] for word in words)) or 1
    count = (words[-1] - words[0]) // apart + 1
    if count <= WORDS_MAX:
        return exact_quotient(compute("-", value.word, words[0]), apart), tuple(range(words[0], words[-1] + 1, apart))
    if len(words) > COMPARED_MAX:
        raise ValueError(f"the {len(words)} numbers that are possible here ({value}) are too unlike for a table")
    place: Classical = 0
    for position, word in enumerate(words[1:], 1):
        place = compute("+", place, compute("*", compute("==", value.word, word), position))
    return place, tuple(words)


def combined(values: Sequence[Fixed]) -> tuple[Classical, list[tuple[Fraction, ...] | None]]:
    """Return an index into all combinations of numbers, and these; None for one that does not occur.

    Raises ValueError where they are not exact, or too many.
    """
    for one in values:
        if one.error:
            raise ValueError(
                f"this needs exact numbers, and one of its operands is exact to {float(one.error):.2g} alone: use fewer digits or products"
            )
    index: Classical = 0
    places = [index_of(one) for one in values]
    for word, words in places:
        index = compute("+", compute("*", index, len(words)), word)
    count = 1
    for _, words in places:
        count *= len(words)
    if count > WORDS_MAX:
        raise ValueError(
            f"{count} combinations of numbers are possible here; a table has {WORDS_MAX}: use narrower types"
        )
    found: list[tuple[Fraction, ...] | None] = []
    for words in itertools.product(*(words for _, words in places)):
        occurs = all(word in (one.words or ()) for word, one in zip(words, values, strict=True))
        found.append(tuple(word * one.step for word, one in zip(words, values, strict=True)) if occurs else None)
    return index, found


def tabulated(index: Classical, numbers: Sequence[Fraction | None], unit: Unit) -> Fixed:
    """Return numbers[index] as a number; what is None does not occur."""
    occurring = [one for one in numbers if one is not None]
    filled = [occurring[0] if one is None else one for one in numbers]
    words, any_ = listed(filled, unit)
    if type(index) is int:
        return known(filled[index], unit)
    return any_._replace(word=Lookup(words, index))


# ---- What the hardware takes -------------------------------------------------------------------------------------------


def modulo_turn(value: Fixed) -> tuple[Classical, Fraction]:
    """Return an angle in 2^-64 turns modulo a turn, and how far it may be off, in turns."""
    per_turn = Fraction(1, 2) if value.unit == "pi" else 1 / (2 * PI)
    value = coarser(value, 44)
    ratio = value.step * per_turn * (1 << WORD_BITS)
    times = round(ratio)
    off = abs(ratio - times) * value.size / (1 << WORD_BITS)
    return compute("*", value.word, signed64(times)), off + value.error * per_turn


def needed(error: Fraction, most: Fraction, what: str, unit: str) -> None:
    """Raise ValueError where an error is larger than the hardware's own step allows."""
    if error > most:
        raise ValueError(
            f"{what} would be off by up to {float(error):.2g} {unit}, and {float(most):.2g} {unit} is half of the hardware's own step: use "
            "fewer digits or products"
        )


def put_out(value: Fixed) -> Classical:
    """Return a number as the word of a column, in 2^-32. Raises ValueError where that is not exact enough, or has no room."""
    if value.size_value * FLOAT_ONE >= 1 << SIZE_BITS:
        raise ValueError(
            f"an output of {value} has no room: a float in a row is within +-2^30; put it out in other units"
        )
    step = Fraction(1, FLOAT_ONE)
    value = plain(value)
    exact = stepped(coarser(value, HALF_BITS) if value.size_value * FLOAT_ONE > 1 << HALF_BITS else value, step)
    if exact.error > OUTPUT_ERROR * value.size_value:
        raise ValueError(
            f"an output of {value} would be off by up to {float(exact.error):.2g}, more than a float[32] is: use fewer digits or products, "
            "or put out a multiple; a row holds floats in steps of 2^-32"
        )
    return exact.word
