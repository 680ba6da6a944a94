"""The standard's built-in functions: exact where the result is, of inputs that vary as expressions, of bits in the sequencer."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, cast

from openqasm3 import ast

from qrt.qasm import reals
from qrt.qasm.context import Run
from qrt.qasm.expressions import Exact, Function, as_float
from qrt.qasm.kinds import COMPLEX, FLOAT, KNOWN, RUNTIME, UINT, VARIED, WHOLE, Type, Typed, wrap, wrapped
from qrt.qasm.operators import as_complex
from qrt.qasm.runtime import word_of
from qrt.qasm.sequenced import WORD_BITS, compute, logical_shift
from qrt.qasm.values import as_expression, located, operate
from qrt.qasm.words import a, counted
from qrt.units import signed64

Real = Exact | float
SINES: Final[dict[Fraction | int, Fraction | int]] = {
    0: 0,
    Fraction(1, 6): Fraction(1, 2),
    Fraction(1, 2): 1,
    Fraction(5, 6): Fraction(1, 2),
    1: 0,
}


# ---- Real functions ----------------------------------------------------------------------------------------------------


def _rational(value: Real) -> Fraction | None:
    return value.rational if isinstance(value, Exact) and not value.pi else None


def _sin(value: Real) -> Real:
    if isinstance(value, Exact) and not value.rational:
        turns = value.pi % 2
        sign, half = (1, turns) if turns <= 1 else (-1, turns - 1)
        if half in SINES:
            return Exact(Fraction(sign * SINES[half]))
    return math.sin(as_float(value))


def _cos(value: Real) -> Real:
    if isinstance(value, Exact) and not value.rational:
        return _sin(Exact(Fraction(0), value.pi + Fraction(1, 2)))
    return math.cos(as_float(value))


def _tan(value: Real) -> Real:
    if isinstance(value, Exact) and not value.rational and value.pi % 1 in {0, Fraction(1, 4), Fraction(3, 4)}:
        return Exact(Fraction({0: 0, Fraction(1, 4): 1, Fraction(3, 4): -1}[value.pi % 1]))
    if isinstance(value, Exact) and not value.rational and value.pi % 1 == Fraction(1, 2):
        raise ValueError("tan has no value at odd multiples of pi/2")
    return math.tan(as_float(value))


def _arc(function: Callable[[float], float], exact: dict[Fraction, Fraction]) -> Callable[[Real], Real]:
    def arc(value: Real) -> Real:
        rational = _rational(value)
        if rational in exact:
            return Exact(Fraction(0), exact[rational])
        try:
            return function(as_float(value))
        except ValueError:
            raise ValueError(f"{as_float(value):g} is no sine or cosine of a real number: -1 to 1") from None

    return arc


def _sqrt(value: Real) -> Real:
    rational = _rational(value)
    if rational is not None and rational >= 0:
        roots = math.isqrt(rational.numerator), math.isqrt(rational.denominator)
        if roots[0] ** 2 == rational.numerator and roots[1] ** 2 == rational.denominator:
            return Exact(Fraction(*roots))
    if as_float(value) < 0:
        raise ValueError(f"sqrt of {as_float(value):g} is no real number")
    return math.sqrt(as_float(value))


def _exp(value: Real) -> Real:
    return Exact(Fraction(1)) if _rational(value) == 0 else math.exp(as_float(value))


def _log(value: Real) -> Real:
    if as_float(value) <= 0:
        raise ValueError(f"log of {as_float(value):g} is no number; it needs one above 0")
    return Exact(Fraction(0)) if _rational(value) == 1 else math.log(as_float(value))


def _floor(value: Real) -> Real:
    rational = _rational(value)
    return Exact(Fraction(math.floor(as_float(value) if rational is None else rational)))


def _ceiling(value: Real) -> Real:
    rational = _rational(value)
    return Exact(Fraction(math.ceil(as_float(value) if rational is None else rational)))


def _mod(left: Real, right: Real) -> Real:
    one, other = _rational(left), _rational(right)
    if one is not None and other is not None:
        return Exact(one - other * math.trunc(one / other))
    if as_float(right) == 0:
        raise ZeroDivisionError
    return math.fmod(as_float(left), as_float(right))


REAL: Final[dict[str, Callable[..., Real]]] = {
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "arcsin": _arc(math.asin, {Fraction(0): Fraction(0), Fraction(1): Fraction(1, 2), Fraction(-1): Fraction(-1, 2)}),
    "arccos": _arc(math.acos, {Fraction(0): Fraction(1, 2), Fraction(1): Fraction(0), Fraction(-1): Fraction(1)}),
    "arctan": _arc(math.atan, {Fraction(0): Fraction(0), Fraction(1): Fraction(1, 4), Fraction(-1): Fraction(-1, 4)}),
    "sqrt": _sqrt,
    "exp": _exp,
    "log": _log,
    "floor": _floor,
    "ceiling": _ceiling,
    "mod": _mod,
}
BITS: Final = ("popcount", "rotl", "rotr")
COMPLEX_PARTS: Final = ("real", "imag")
NAMES: Final = (*REAL, "pow", *BITS, *COMPLEX_PARTS)
ARGUMENTS: Final = {"mod": 2, "pow": 2, "rotl": 2, "rotr": 2}


# ---- Calls -------------------------------------------------------------------------------------------------------------


def call(run: Run, node: ast.FunctionCall) -> Typed:
    """Return the value of a built-in function."""
    name = node.name.name
    values = [run.value(one) for one in node.arguments]
    count = ARGUMENTS.get(name, 1)
    if len(values) != count:
        raise run.refuse(node, f"{name} takes {counted(count, 'argument')}, not {len(values)}")
    if name in BITS:
        return _of_bits(run, node, name, values)
    if name == "pow" or (name == "mod" and all(one.type.kind in WHOLE for one in values)):
        return operate(run, node, "**" if name == "pow" else "%", values[0], values[1])
    if name in COMPLEX_PARTS:
        return _part(run, node, name, values[0])
    if name in {"sqrt", "exp"} and values[0].type.kind == "complex":
        function = {"sqrt": cmath.sqrt, "exp": cmath.exp}[name]
        return Typed(COMPLEX, function(values[0].value))
    for one, written in zip(values, node.arguments, strict=True):
        if one.type.kind not in {*WHOLE, "float", "angle"} or one.type.kind == "bit":
            raise run.refuse(written, f"{name} is of real numbers, not of {a(one.type)}")
    if any(type(one.value) in RUNTIME for one in values):
        return located(run, node, name, lambda: reals.table(run, values, lambda given: _real(name, given)))
    numbers = [Exact(Fraction(one.value)) if type(one.value) is int else one.value for one in values]
    if any(type(one) in VARIED for one in numbers):
        source = run.source(node)
        found = Function(name, REAL[name], tuple(as_expression(one, source) for one in values), source)
        run.shape.finite(found)
        return Typed(FLOAT, found)
    return located(run, node, name, lambda: _real(name, values))


def _real(name: str, values: Sequence[Typed]) -> Typed:
    """Return a function of known real numbers."""
    return Typed(
        FLOAT, REAL[name](*(Exact(Fraction(one.value)) if type(one.value) is int else one.value for one in values))
    )


def _part(run: Run, node: ast.FunctionCall, name: str, value: Typed) -> Typed:
    if type(value.value) not in KNOWN:
        raise run.refuse(node, f"{name} is of constants")
    number = located(run, node, name, lambda: as_complex(value))
    return Typed(FLOAT, number.real if name == "real" else number.imag)


def _of_bits(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Typed:
    """popcount, rotl, rotr."""
    value = values[0]
    if value.type.kind not in {"bit", "uint"} or not value.type.width:
        raise run.refuse(node.arguments[0], f"{name} is of bit[n] or uint[n], not of {a(value.type)}")
    width, source = value.type.width, run.source(node)
    if name == "popcount":
        if type(value.value) is int:
            return Typed(UINT, value.value.bit_count())
        word, counted = word_of(value, source), cast("Any", 0)
        for place in range(width):
            counted = compute("+", counted, compute("&", compute(">>", word, place), 1))
        return Typed(UINT, counted)
    distance = run.integer(node.arguments[1]) % width
    left = distance if name == "rotl" else (width - distance) % width
    if type(value.value) is int:
        return Typed(value.type, wrapped(value.value << left | value.value >> (width - left), Type("uint", width)))
    word = word_of(value, source)
    if not left:
        return Typed(value.type, word)
    up = wrap(compute("*", word, signed64(1 << left)), Type("uint", width))
    down = logical_shift(word, width - left) if width == WORD_BITS else compute(">>", word, width - left)
    return Typed(value.type, compute("|", up, down))
