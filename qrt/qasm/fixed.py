"""Real numbers that outcomes decide, as whole words of a sequencer: which step a word counts, what it can be, how far off it is.

A number is word * step: the step is any rational number, chosen for each value from the constants that it is made of. So 0.1 * n counts
tenths, thirds are counted in thirds, and sums, products and quotients by constants are exact as long as their words are
below 2^62 in size. What would not fit is counted in larger steps, rounded to the nearest, and `error` bounds how far the number may
then be from exact arithmetic on the numbers that the program writes. `low` and `high` bound the word, and `words` are all that it can be,
where these are at most WORDS_MAX: as a set for each value alone, whatever decides several at once.

Problems are ValueErrors; who knows the place tells it. What is made of such numbers, and when they are exact enough for it, is
in `exactness`. Nothing here knows the tree or the lab.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Final, Literal, NamedTuple

from qrt.qasm.sequenced import compute, exact_quotient
from qrt.types import Classical

SIZE_BITS: Final = 62  # of a word, without its sign: the sum of two still has its sign in int64
HALF_BITS: Final = SIZE_BITS // 2  # that a factor keeps where a product would not fit
WORDS_MAX: Final = 4096  # that a number is followed through one by one; also the entries of a table
PAIRS_MAX: Final = 1 << 16  # of words that are looked at for one sum or product
FRACTION_BITS: Final = 256  # of a step, and of an error; of a step that is exact EXACT_FRACTION_BITS
EXACT_FRACTION_BITS: Final = 4096
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
