"""Numbers of a program: exact where the program is exact.

A number is `Exact`, a + b pi with rational a and b, so that pi/3 is a sixth of a turn and not its nearest float; it becomes a float
where an operation leaves that set, or where an input's value is one. A `Duration` is seconds plus samples (`dt`), both rational. An
expression is a small tree with the inputs of the program as leaves, evaluated when their values are known; `fold` puts in those that
are known, and leaves a tree of the others. Functions such as sin are in `functions`; their nodes carry what they compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from qrt.errors import ProgramError
from qrt.types import NOWHERE, Source

INTEGER_BITS_MAX = 4096  # of a power's result: 10**10**10 is an error, not a wait


class Exact(NamedTuple):
    """rational + pi * multiple of pi."""

    rational: Fraction
    pi: Fraction = Fraction(0)


class Duration(NamedTuple):
    """A length of time: seconds, plus samples of the lab's converters (`dt`)."""

    seconds: Fraction
    samples: Fraction = Fraction(0)


class Stretched(NamedTuple):
    """A duration with stretches in it, whose lengths are not found yet."""

    known: Duration
    factors: tuple[tuple[int, Fraction], ...]  # by the number of the stretch, ascending


Value = Exact | float | Duration


class Literal(NamedTuple):
    """A value written in the program."""

    value: Value
    source: Source


class Name(NamedTuple):
    """An input of the program."""

    name: str
    source: Source
    duration: bool = False  # its values are durations


class Negative(NamedTuple):
    """Minus an expression."""

    operand: Expression
    source: Source


class Binary(NamedTuple):
    """Two expressions with one of the operators of ARITHMETIC between them."""

    operator: str
    left: Expression
    right: Expression
    source: Source


class Function(NamedTuple):
    """A function of expressions, such as sin."""

    name: str
    apply: Callable[..., Value]
    operands: tuple[Expression, ...]
    source: Source


Expression = Literal | Name | Negative | Binary | Function


def fold(expression: Expression, inputs: Mapping[str, Value]) -> Expression:
    """Return the expression with the values of these inputs put in, in other words of the other inputs alone.

    It has no places any more, so that what means the same is the same, wherever it stands. Raises ProgramError as `evaluate` does.
    """
    if all(name in inputs for name in names(expression)):
        return Literal(evaluate(expression, inputs), NOWHERE)
    match expression:
        case Name():
            return expression._replace(source=NOWHERE)
        case Negative():
            return Negative(fold(expression.operand, inputs), NOWHERE)
        case Binary():
            return Binary(expression.operator, fold(expression.left, inputs), fold(expression.right, inputs), NOWHERE)
        case Function():
            operands = tuple(fold(operand, inputs) for operand in expression.operands)
            return expression._replace(operands=operands, source=NOWHERE)
    raise AssertionError("a literal needs no input")


def degree(expression: Expression) -> int:
    """Return 0 where the value does not depend on inputs, 1 where it is affine in them, 2 for all else."""
    match expression:
        case Literal():
            return 0
        case Name():
            return 1
        case Negative():
            return degree(expression.operand)
        case Binary(operator=operator):
            left, right = degree(expression.left), degree(expression.right)
            if operator in {"+", "-"}:
                return max(left, right)
            if operator == "*":
                return min(left + right, 2)
            return left if operator == "/" and not right else 2 * bool(left or right)
        case Function():
            return 2 * any(map(degree, expression.operands))


def as_float(value: Exact | float) -> float:
    """Return a number as the nearest float. Raises OverflowError beyond its range."""
    if isinstance(value, float):
        return value
    return float(value.rational) + float(value.pi) * math.pi if value.pi else float(value.rational)


def names(expression: Expression) -> Iterator[str]:
    """Yield the inputs that an expression needs."""
    match expression:
        case Name():
            yield expression.name
        case Negative():
            yield from names(expression.operand)
        case Binary():
            yield from names(expression.left)
            yield from names(expression.right)
        case Function():
            for operand in expression.operands:
                yield from names(operand)


def is_duration(expression: Expression) -> bool:
    """Say whether the value is a duration. Raises ProgramError where durations and numbers do not go together."""
    match expression:
        case Literal():
            return isinstance(expression.value, Duration)
        case Name():
            return expression.duration
        case Negative():
            return is_duration(expression.operand)
        case Function():
            return False
        case Binary():
            left, right = is_duration(expression.left), is_duration(expression.right)
            result = DIMENSIONS[expression.operator].get((left, right))
            if result is None:
                words = ["a duration" if side else "a number" for side in (left, right)]
                raise ProgramError(
                    f"{expression.source.where}{words[0]} {expression.operator} {words[1]} has no meaning"
                )
            return result


def evaluate(expression: Expression, inputs: Mapping[str, Value]) -> Value:
    """Return the value of an expression. Raises ProgramError where it has none: division by zero, a power beyond bounds."""
    match expression:
        case Literal():
            return expression.value
        case Name():
            return inputs[expression.name]
        case Negative():
            return _multiply(Exact(Fraction(-1)), evaluate(expression.operand, inputs))
        case Binary():
            pair = (evaluate(expression.left, inputs), evaluate(expression.right, inputs))
            return compute(ARITHMETIC[expression.operator], pair, expression.operator, expression.source)
        case Function():
            operands = tuple(evaluate(operand, inputs) for operand in expression.operands)
            return compute(expression.apply, operands, expression.name, expression.source)


def compute(apply: Callable[..., Value], operands: Sequence[Value], name: str, source: Source) -> Value:
    """Return a function of values. Raises ProgramError at a place where there is none that is finite."""
    try:
        value = apply(*operands)
        if type(value) is float and not math.isfinite(value):
            raise OverflowError
    except ZeroDivisionError as error:
        raise ProgramError(f"{source.where}division by zero") from error
    except OverflowError as error:
        raise ProgramError(f"{source.where}the result of {name} is no finite number") from error
    except ValueError as error:
        raise ProgramError(f"{source.where}{error}") from error
    return value


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, Duration):
        assert isinstance(right, Duration)
        return Duration(left.seconds + right.seconds, left.samples + right.samples)
    assert not isinstance(right, Duration)
    if isinstance(left, Exact) and isinstance(right, Exact):
        return Exact(left.rational + right.rational, left.pi + right.pi)
    return as_float(left) + as_float(right)


def _subtract(left: Value, right: Value) -> Value:
    return _add(left, _multiply(Exact(Fraction(-1)), right))


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Duration):
        left, right = right, left
    assert not isinstance(left, Duration)
    if isinstance(right, Duration):
        factor = left.rational if isinstance(left, Exact) and not left.pi else Fraction(as_float(left))
        return Duration(right.seconds * factor, right.samples * factor)
    if isinstance(left, Exact) and isinstance(right, Exact) and not (left.pi and right.pi):
        one, other = (
            (left, right) if right.pi else (right, left)
        )  # only the other has pi, if any: no sum, and no products with 0
        return Exact(one.rational * other.rational, one.rational * other.pi if other.pi else other.pi)
    return as_float(left) * as_float(right)


def _divide(left: Value, right: Value) -> Value:
    if isinstance(right, Duration):
        assert isinstance(left, Duration)
        if right.samples or left.samples:
            raise ValueError("durations with dt cannot be divided: their ratio depends on the lab")
        return Exact(left.seconds / right.seconds)
    if isinstance(right, Exact) and not right.pi:
        return _multiply(Exact(1 / right.rational), left)
    if isinstance(left, Duration):
        return _multiply(1 / as_float(right), left)
    if isinstance(left, Exact) and isinstance(right, Exact) and not left.rational and not right.rational:
        return Exact(left.pi / right.pi)
    return as_float(left) / as_float(right)


def _power(left: Value, right: Value) -> Value:
    assert not isinstance(left, Duration)
    assert not isinstance(right, Duration)
    if (
        isinstance(left, Exact)
        and isinstance(right, Exact)
        and not left.pi
        and not right.pi
        and right.rational.denominator == 1
    ):
        exponent = int(right.rational)
        size = max(left.rational.numerator.bit_length(), left.rational.denominator.bit_length())
        if size * abs(exponent) > INTEGER_BITS_MAX:
            raise OverflowError
        return Exact(left.rational**exponent)
    value = as_float(left) ** as_float(right)
    if isinstance(value, complex):
        raise ValueError("the power is no real number")
    return float(value)


ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "**": _power,
}

# operator -> (left is a duration, right is one) -> the result is one. What is not here has no meaning.
DIMENSIONS: dict[str, dict[tuple[bool, bool], bool]] = {
    "+": {(False, False): False, (True, True): True},
    "-": {(False, False): False, (True, True): True},
    "*": {(False, False): False, (True, False): True, (False, True): True},
    "/": {(False, False): False, (True, False): True, (True, True): False},
    "**": {(False, False): False},
}
