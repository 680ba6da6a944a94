"""Real numbers that outcomes decide, as whole words of a sequencer: which step a word counts, what it can be, how far off it is.

A number is word * step: the step is any rational number, chosen for each value from the constants that it is made of. So 0.1 * n counts
tenths, thirds are counted in thirds, and sums, products and quotients by constants are exact as long as their words are
below 2^62 in size. What would not fit is counted in larger steps, rounded to the nearest, and `error` bounds how far the number may
then be from exact arithmetic on the numbers that the program writes. `low` and `high` bound the word, and `words` are all that it can be,
where these are at most WORDS_MAX: as a set for each value alone, whatever decides several at once.

Exact enough, the rule for everything that uses such a number:
  a comparison, a condition or a whole number made of it must come out as in exact arithmetic for every word that it can be;
  a function is a table over its words, and needs them exact;
  an angle, an amplitude or a frequency may be off by half of the hardware's own step (`needed` says which), an output by OUTPUT_ERROR
  of its largest size, which is what a float[32] would be off by.
What breaks it is a ValueError with the bound; who knows the place tells it. Nothing here knows the tree or the lab.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Final, Literal, NamedTuple

from qrt.qasm.sequenced import WORD_BITS, compute, exact_quotient
from qrt.types import Classical, Lookup
from qrt.units import signed64

SIZE_BITS: Final = 62  # of a word, without its sign: the sum of two still has its sign in int64
HALF_BITS: Final = SIZE_BITS // 2  # that a factor keeps where a product would not fit
WORDS_MAX: Final = 4096  # that a number is followed through one by one; also the entries of a table
PAIRS_MAX: Final = 1 << 16  # of words that are looked at for one sum or product
FRACTION_BITS: Final = 256  # of a step, and of an error; of a step that is exact EXACT_FRACTION_BITS
EXACT_FRACTION_BITS: Final = 4096
COMPARED_MAX: Final = 32  # words that are told apart one by one where they are too far apart for a table
OUTPUT_ERROR: Final = Fraction(1, 1 << 24)  # of the largest size: half of the last place of a float[32]
PI: Final = Fraction(31415926535897932384626433832795028841971693993751, 10**49)

Unit = Literal["", "pi", "s"]  # what one is: a plain number, a multiple of pi, a second


class Fixed(NamedTuple):
    """word * step, in a unit."""

    word: Classical
    step: Fraction  # above 0
    unit: Unit
    low: int  # of the word
    high: int
    error: Fraction = Fraction(0)  # |word * step - what exact arithmetic gives|, at most
    words: frozenset[int] | None = None  # that it can be; None: more than are followed

    @property
    def size(self) -> int:
        """The largest size of the word."""
        return max(abs(self.low), abs(self.high))

    @property
    def size_value(self) -> Fraction:
        """The largest size of the number."""
        return self.size * self.step

    def __str__(self) -> str:
        """Return what it can be, for a person."""
        unit = {"": "", "pi": " pi", "s": " s"}[self.unit]
        return f"{float(self.low * self.step):.6g} to {float(self.high * self.step):.6g}{unit}"


# ---- Making ------------------------------------------------------------------------------------------------------------


def known(number: Fraction, unit: Unit = "") -> Fixed:
    """Return a number that is known."""
    word = (number > 0) - (number < 0)
    return Fixed(word, abs(number) or Fraction(1), unit, word, word, words=frozenset((word,)))


def counted(word: Classical, low: int, high: int, step: Fraction = Fraction(1), unit: Unit = "") -> Fixed:
    """Return a word within bounds as a number. Raises ValueError for bounds that leave no room."""
    if max(abs(low), abs(high)) >= 1 << SIZE_BITS:
        raise ValueError(
            f"a whole number of which no more is known than {low} to {high} makes no float that is exact: use a narrower type, "
            "such as int[32], or count in a loop with a bound"
        )
    few = high - low < WORDS_MAX
    return Fixed(word, step, unit, low, high, words=frozenset(range(low, high + 1)) if few else None)


def listed(numbers: Sequence[Fraction], unit: Unit) -> tuple[tuple[int, ...], Fixed]:
    """Return the words of some numbers, and a Fixed that is any of them, its own word still 0."""
    step = _common([number for number in numbers if number])
    error = Fraction(0)
    largest = max(map(abs, numbers))
    if largest >= step * (1 << SIZE_BITS):
        step = _power_above(largest / (1 << (SIZE_BITS - 1)))
        error = step / 2
    words = tuple(round(number / step) for number in numbers)
    return words, Fixed(0, step, unit, min(words), max(words), error, frozenset(words))


def _common(numbers: Sequence[Fraction]) -> Fraction:
    """Return the largest step of which all numbers are multiples; 1 for none."""
    if not numbers:
        return Fraction(1)
    return Fraction(gcd(*(one.numerator for one in numbers)), lcm(*(one.denominator for one in numbers)))


def _power_above(number: Fraction) -> Fraction:
    """Return the smallest power of two that is at least so much."""
    places = (-(-number.numerator // number.denominator) - 1).bit_length() if number > 1 else 0
    if places:
        return Fraction(1 << places)
    return Fraction(1, 1 << ((number.denominator // number.numerator).bit_length() - 1))


# ---- Steps -------------------------------------------------------------------------------------------------------------


def coarser(value: Fixed, bits: int) -> Fixed:
    """Return a number whose word has at most so many bits, in steps that are larger by a power of two, rounded to the nearest."""
    places = value.size.bit_length() - bits
    if places <= 0:
        return value
    half, step = 1 << (places - 1), value.step * (1 << places)
    if value.words is not None and all(word % (1 << places) == 0 for word in value.words):
        return _mapped(value, lambda word: compute(">>", word, places), step, value.error)
    return _mapped(value, lambda word: compute(">>", compute("+", word, half), places), step, value.error + step / 2)


def stepped(value: Fixed, step: Fraction, unit: Unit | None = None, factor: Fraction = Fraction(1)) -> Fixed:
    """Return a number times a factor in other steps: exact where it can be, else rounded, with the error that this makes."""
    unit = value.unit if unit is None else unit
    ratio, error = value.step * factor / step, value.error * factor
    if ratio.denominator == 1:
        return _mapped(value, lambda word: compute("*", word, ratio.numerator), step, error, unit)
    if value.words is not None and all(word * ratio.numerator % ratio.denominator == 0 for word in value.words):
        divisor, times = ratio.denominator, ratio.numerator
        return _mapped(value, lambda word: compute("*", exact_quotient(word, divisor), times), step, error, unit)
    size = value.size * ratio
    places = SIZE_BITS - 1 - max(int(size).bit_length(), 0)
    if places < 0:
        raise ValueError(f"a number of {value} has no room in steps of {float(step):.3g}")
    times = round(ratio * (1 << places))
    half = (1 << places) >> 1
    off = value.size * abs(ratio - Fraction(times, 1 << places)) * step + (step / 2 if places else 0)
    return _mapped(
        value,
        lambda word: compute(">>", compute("+", compute("*", word, times), half), places),
        step,
        error + off,
        unit,
    )


def _short(value: Fixed) -> Fixed:
    """Return a number whose step and error have few digits, so that no fraction grows with the program; the error takes it in."""
    step, error = value.step, value.error
    if step.numerator.bit_length() + step.denominator.bit_length() > (FRACTION_BITS if error else EXACT_FRACTION_BITS):
        scale = _power_above(step) / (1 << FRACTION_BITS // 2)
        step = round(step / scale) * scale
        error += value.size * abs(step - value.step)
    if error and error.denominator.bit_length() > FRACTION_BITS:
        scale = _power_above(error) / (1 << FRACTION_BITS // 2)
        error = -(-error // scale) * scale
    return value._replace(step=step, error=error)


def _mapped(
    value: Fixed,
    function: Callable[[Classical], Classical],
    step: Fraction,
    error: Fraction,
    unit: Unit | None = None,
) -> Fixed:
    """Return a number whose word is a rising function of the one that it was."""
    low, high = (function(one) for one in (value.low, value.high))
    assert type(low) is int
    assert type(high) is int
    words = None if value.words is None else frozenset(map(function, value.words))
    return _short(Fixed(function(value.word), step, value.unit if unit is None else unit, low, high, error, words))  # type: ignore[arg-type]


def plain(value: Fixed) -> Fixed:
    """Return a multiple of pi as a plain number, rounded."""
    if value.unit != "pi":
        return value
    if not value.size:
        return value._replace(unit="")
    value = coarser(value, HALF_BITS)
    room = SIZE_BITS - 1 - value.size.bit_length()
    return stepped(value, _power_above(value.size_value * PI / (1 << room)), "", PI)


def together(values: Sequence[Fixed], spare: int = 0) -> list[Fixed]:
    """Return numbers in one step and one unit, with room for as many more bits in their words."""
    units = {one.unit for one in values if one.size}
    if len(units) > 1:
        if "s" in units:
            raise ValueError("a duration and a number do not go together")
        values, units = [plain(one) for one in values], {""}
    unit = units.pop() if units else values[0].unit
    step = _common([one.step for one in values if one.size] or [values[0].step])
    largest = max(one.size_value for one in values)
    room = SIZE_BITS - spare
    if largest >= step * (1 << room):
        most = max(values, key=lambda one: one.size)
        others = max((one.size.bit_length() for one in values if one is not most), default=0)
        room = max(min(room, SIZE_BITS - others), HALF_BITS) - 1
        values = [one if one is most else coarser(one, HALF_BITS) for one in values]
        step = most.step
        while largest >= step * (1 << room):
            step *= 2
    return [_alike(one, step, unit) for one in values]


def _alike(value: Fixed, step: Fraction, unit: Unit) -> Fixed:
    if not value.size:
        return value._replace(step=step, unit=unit)
    places = step / value.step
    if places.denominator == 1 and places.numerator & (places.numerator - 1) == 0:
        return coarser(value, value.size.bit_length() - places.numerator.bit_length() + 1)
    return stepped(value, step, unit)


# ---- Arithmetic --------------------------------------------------------------------------------------------------------


def add(left: Fixed, right: Fixed) -> Fixed:
    """Return a sum."""
    if (
        type(left.word) is int
        and type(right.word) is int
        and (left.unit == right.unit or not left.size or not right.size)
    ):
        number = left.word * left.step + right.word * right.step
        return known(number, left.unit if left.size else right.unit)._replace(error=left.error + right.error)
    one, other = together((left, right), spare=1)
    words = _paired(one, other, operator.add)
    return Fixed(
        compute("+", one.word, other.word),
        one.step,
        one.unit,
        one.low + other.low,
        one.high + other.high,
        one.error + other.error,
        words,
    )


def negative(value: Fixed) -> Fixed:
    """Return minus a number."""
    words = None if value.words is None else frozenset(-word for word in value.words)
    return value._replace(word=compute("-", 0, value.word), low=-value.high, high=-value.low, words=words)


def subtract(left: Fixed, right: Fixed) -> Fixed:
    """Return a difference."""
    return add(left, negative(right))


def multiply(left: Fixed, right: Fixed) -> Fixed:
    """Return a product. A factor that is known changes the step alone."""
    if left.unit == right.unit == "pi":
        left = plain(left)
    if "s" in {left.unit, right.unit}:
        left, right = plain(left) if left.unit == "pi" else left, plain(right) if right.unit == "pi" else right
    if left.unit and right.unit:
        raise ValueError("a product of two durations has no meaning")
    unit = left.unit or right.unit
    if type(left.word) is int:
        left, right = right, left
    if type(right.word) is int:
        factor = right.word * right.step
        turned = negative(left) if factor < 0 else left
        if not factor:
            return known(Fraction(0), unit)._replace(error=(left.size_value + left.error) * right.error)
        error = (left.size_value + left.error) * right.error + left.error * abs(factor)
        return _short(turned._replace(step=left.step * abs(factor), error=error, unit=unit))
    left, right = _halved(left, right)
    error = left.size_value * right.error + right.size_value * left.error + left.error * right.error
    ends = [one * other for one in (left.low, left.high) for other in (right.low, right.high)]
    words = _paired(left, right, operator.mul)
    product = compute("*", left.word, right.word)
    return _short(Fixed(product, left.step * right.step, unit, min(ends), max(ends), error, words))


def _halved(left: Fixed, right: Fixed) -> tuple[Fixed, Fixed]:
    """Return two factors whose product has room: the longer one loses bits, then both have half of them."""
    bits = left.size.bit_length(), right.size.bit_length()
    if sum(bits) <= SIZE_BITS:
        return left, right
    fewer = min(*bits, HALF_BITS)
    first, second = (fewer, SIZE_BITS - fewer) if bits[0] <= bits[1] else (SIZE_BITS - fewer, fewer)
    return coarser(left, first), coarser(right, second)


def divide(left: Fixed, divisor: Fixed) -> Fixed:
    """Return a quotient by a number that is known and not 0."""
    assert type(divisor.word) is int
    if not divisor.size:
        raise ZeroDivisionError
    number = divisor.word * divisor.step
    if divisor.unit in {"", left.unit}:
        unit: Unit = left.unit if not divisor.unit else ""
        return multiply(left._replace(unit=""), known(1 / number))._replace(unit=unit)
    if divisor.unit == "pi":
        return divide(left, known(number * PI))
    raise ValueError("a number cannot be divided by a duration")


def _paired(left: Fixed, right: Fixed, function: Callable[[int, int], int]) -> frozenset[int] | None:
    """Return all that two words can make; None where that is more than is followed."""
    if left.words is None or right.words is None or len(left.words) * len(right.words) > PAIRS_MAX:
        return None
    return _few({function(one, other) for one in left.words for other in right.words})


def _few(words: set[int]) -> frozenset[int] | None:
    return frozenset(words) if len(words) <= WORDS_MAX else None


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


def joined(values: Sequence[Fixed]) -> Fixed:
    """Return what any of several numbers in one step can be; its word is the first one's."""
    sets = [one.words for one in values]
    every = None if None in sets else _few(set().union(*(one for one in sets if one is not None)))
    return values[0]._replace(
        low=min(one.low for one in values),
        high=max(one.high for one in values),
        error=max(one.error for one in values),
        words=every,
    )
