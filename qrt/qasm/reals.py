"""Real numbers and durations that outcomes decide: operators, functions and casts of typed values, in the steps of `fixed`.

What `fixed` has no arithmetic for (a quotient by what outcomes decide, a power, sin) is a table over all that the operands can be,
each entry computed as it would be for known values. Refusals are ValueErrors; who knows the place tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, Protocol

from qrt.classical import Span
from qrt.qasm import exactness, fixed
from qrt.qasm.expressions import Duration, Exact, Stretched, as_float, fold
from qrt.qasm.facts import Facts
from qrt.qasm.fixed import Fixed, Unit
from qrt.qasm.formula import Formula
from qrt.qasm.kinds import BOOL, DURATION, FLOAT, KNOWN, VARIED, WHOLE, Type, Typed
from qrt.qasm.operators import COMPARISONS, binary, seconds_of
from qrt.qasm.sequenced import WORD_BITS, logical_shift
from qrt.types import Classical, Lookup, Parameter, Source
from qrt.units import FLOAT_ONE, signed64

ANGLE_BITS: Final = 53  # of an angle that becomes a float: as many as a float[64] has
LISTED_MAX: Final = 64  # products that become a table instead of one that is rounded
WITH_ANGLE: Final = frozenset({"*", "/", "**"})  # operators of an angle and a float whose result is a float


class Place(Protocol):
    """What is known where a number stands."""

    facts: Facts

    def span(self, word: Classical) -> Span:
        """Return bounds of a word."""


def is_real(name: str, left: Typed, right: Typed) -> bool:
    """Say whether an operator on two values, of which outcomes decide one, is one on real numbers: a float, a duration, not both angles."""
    kinds = {left.type.kind, right.type.kind}
    if "angle" in kinds:
        return "duration" in kinds or ("float" in kinds and name in WITH_ANGLE)
    if kinds <= WHOLE:
        return False
    varied = any(type(side.value) in VARIED for side in (left, right))
    return not varied or any(type(side.value) is Fixed for side in (left, right))


def number(run: Place, value: Typed) -> Fixed:
    """Return a value, known or decided by outcomes, as a number. Raises ValueError where no sequencer can hold it exactly enough."""
    type_, held = value
    if type(held) is Fixed:
        return held
    if type(held) in VARIED:
        raise ValueError(
            f"a {type_.kind} of inputs that vary, together with outcomes or compared, is not exact in a sequencer: give the input a value, "
            "or use int, uint or angle"
        )
    if type(held) is Stretched:
        raise ValueError("a duration with a stretch in it is found before the run; outcomes cannot decide it")
    if type(held) is Duration:
        return fixed.known(seconds_of(held, run.facts.sample_s), "s")
    if type(held) in KNOWN:
        return _known(held, type_)
    if type_.kind == "angle":
        bits = min(type_.width or WORD_BITS, ANGLE_BITS)
        found = fixed.counted(logical_shift(held, WORD_BITS - bits), 0, (1 << bits) - 1, Fraction(2, 1 << bits), "pi")
        cut = 0 < type_.width <= ANGLE_BITS
        return found if cut else found._replace(error=found.step)
    if type_.kind not in WHOLE:
        raise ValueError(f"{type_} is no real number")
    low, high = run.span(held)
    return fixed.counted(held, low, high)


def _known(held: Any, type_: Type) -> Fixed:
    if type(held) is int:
        return fixed.known(Fraction(held))
    if type(held) is Exact:
        if not held.pi or not held.rational:
            return fixed.known(held.pi, "pi") if held.pi else fixed.known(held.rational)
        return fixed.known(Fraction(as_float(held)))
    if type(held) is float:
        return fixed.known(Fraction(held))
    raise ValueError(f"{type_} is no real number")


def float_word(run: Place, value: Typed, source: Source) -> Classical:
    """Return a float as the word of a column; of inputs that vary alone, the slot's. Raises ValueError where it is not exact enough."""
    if type(value.value) in VARIED:
        formula = Formula(fold(value.value, {}), Fraction(FLOAT_ONE), plain=True)
        return Parameter("integer", formula, f"({', '.join(formula.names)})", source)
    return exactness.put_out(number(run, value))


def typed(type_: Type, value: Fixed) -> Typed:
    """Return a number with its type; one that turned out to be known as such."""
    if type(value.word) is int and not value.error:
        return Typed(type_, _as_known(value.word * value.step, value.unit))
    return Typed(type_, value)


def _as_known(value: Fraction, unit: Unit) -> Any:
    if unit == "s":
        return Duration(value)
    return Exact(Fraction(0), value) if unit == "pi" else Exact(value)


# ---- Operators ---------------------------------------------------------------------------------------------------------


def negative(value: Typed) -> Typed:
    """Return minus a number."""
    return typed(value.type, fixed.negative(value.value))


def operate(run: Place, name: str, left: Typed, right: Typed) -> Typed:
    """Return a binary operator of two values of which outcomes decide one at least."""
    type_ = _result(name, left.type, right.type)
    one, other = number(run, left), number(run, right)
    if type_ == BOOL:
        return Typed(BOOL, exactness.compared(name, one, other))
    if name == "+":
        return typed(type_, fixed.add(one, other))
    if name == "-":
        return typed(type_, fixed.subtract(one, other))
    if name == "*":
        return typed(type_, _product(one, other))
    if name == "/" and type(other.word) is int:
        return typed(type_, fixed.divide(one, other))
    if name == "**" and type(right.value) is Exact and right.value == Exact(Fraction(2)):
        return typed(type_, fixed.multiply(one, one))
    return table(run, (left, right), lambda sides: binary(name, sides[0], sides[1], run.facts.sample_s))


def _product(left: Fixed, right: Fixed) -> Fixed:
    """Return a product: of few numbers that would have to be rounded a table, which rounds less."""
    product = fixed.multiply(left, right)
    if not product.error or left.error or right.error or not left.words or not right.words:
        return product
    if len(left.words) * len(right.words) > LISTED_MAX or fixed.plain(left).error or fixed.plain(right).error:
        return product
    index, combinations = exactness.combined([left, right])
    return exactness.tabulated(index, [None if one is None else one[0] * one[1] for one in combinations], product.unit)


def _result(name: str, left: Type, right: Type) -> Type:
    """Return the type of an operator's result. Raises ValueError where it has no meaning."""
    durations = (left.kind == "duration") + (right.kind == "duration")
    for side in (left, right):
        if side.kind not in {*WHOLE, "float", "angle", "duration"} or (side.kind == "bit" and side.width > 1):
            raise ValueError(f"{left} {name} {right} has no meaning")
    if name in COMPARISONS and durations != 1:
        return BOOL
    allowed = {
        "+": 1,
        "-": 1,
        "*": 2,
        "/": 2,
        "**": 2,
    }  # 1: not of a duration and a number, 2: not two durations times each other
    if name not in allowed or (durations == 1 and (allowed[name] == 1 or name == "**")):
        words = ["a duration" if side.kind == "duration" else "a number" for side in (left, right)]
        raise ValueError(
            f"{words[0]} {name} {words[1]} has no meaning" if durations else f"{left} {name} {right} has no meaning"
        )
    if durations == 2:
        if name in {"*", "**"}:
            raise ValueError(f"a duration {name} a duration has no meaning")
        return FLOAT if name == "/" else DURATION
    if durations and name == "/" and right.kind == "duration":
        raise ValueError("a number / a duration has no meaning")
    return DURATION if durations else FLOAT


# ---- Tables ------------------------------------------------------------------------------------------------------------


def table(run: Place, values: Sequence[Typed], apply: Callable[[list[Typed]], Typed]) -> Typed:
    """Return a function of values, some of which outcomes decide: looked up among its results for all that they can be."""
    open_ = [place for place, one in enumerate(values) if type(one.value) not in KNOWN]
    numbers = [number(run, values[place]) for place in open_]
    index, combinations = exactness.combined(numbers)
    results: list[Typed | None] = []
    for combination in combinations:
        if combination is None:
            results.append(None)
            continue
        given = list(values)
        for place, one, operand in zip(open_, combination, numbers, strict=True):
            type_ = values[place].type
            held = int(one) if type_.kind in WHOLE else _as_known(one, operand.unit)
            given[place] = Typed(type_, held)
        results.append(_applied(apply, given))
    return _looked_up(index, results)


def _applied(apply: Callable[[list[Typed]], Typed], given: list[Typed]) -> Typed:
    """Return a function of known values. Raises ValueError with the values where it has none."""
    try:
        return apply(given)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        shown = ", ".join(_shown(one) for one in given)
        words: dict[type, str] = {ZeroDivisionError: "division by zero", OverflowError: "no finite number"}
        what = words.get(type(error), str(error))
        raise ValueError(
            f"{what}, where its operands are {shown}: outcomes can lead there, as far as each operand is known alone; look the result up "
            "in an array of constants"
        ) from None


def _shown(value: Typed) -> str:
    held = value.value
    if isinstance(held, Duration):
        return f"{float(held.seconds) * 1e9:g} ns"
    return f"{held if type(held) is int else as_float(held):g}"


def _looked_up(index: Any, results: Sequence[Typed | None]) -> Typed:
    type_ = next(one.type for one in results if one is not None)
    if type_.kind in WHOLE:
        entries = tuple(0 if one is None else signed64(one.value) for one in results)
        return Typed(type_, entries[index] if type(index) is int else Lookup(entries, index))
    known = [None if one is None else _known_or_duration(one) for one in results]
    units = {one.unit for one in known if one is not None and one.size}
    if len(units) > 1:
        known = [None if one is None else fixed.plain(one) for one in known]
        units = {""}
    entries_ = [None if one is None else one.word * one.step for one in known]  # type: ignore[operator]
    return typed(type_, exactness.tabulated(index, entries_, units.pop() if units else ""))


def _known_or_duration(value: Typed) -> Fixed:
    held = value.value
    return fixed.known(held.seconds, "s") if isinstance(held, Duration) else _known(held, value.type)
