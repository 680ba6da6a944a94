"""Expressions of the tree as values: what is known is computed now, what varies stays an expression, what outcomes decide becomes words.

One function per kind of node, in the table EVALUATORS. Calls of subroutines and externs are in `calls`, functions of the
standard in `functions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar

from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm import reals
from qrt.qasm.casts import cast_known
from qrt.qasm.context import Run
from qrt.qasm.expressions import ARITHMETIC, INTEGER_BITS_MAX, Binary, Duration, Exact, Literal, Negative
from qrt.qasm.fixed import Fixed
from qrt.qasm.indices import element_of, indexed, positions
from qrt.qasm.kinds import (
    ANGLE,
    BIT,
    BOOL,
    COMPLEX,
    DURATION,
    FLOAT,
    KNOWN,
    LITERAL,
    RUNTIME,
    VARIED,
    WHOLE,
    Type,
    Typed,
    wrapped,
)
from qrt.qasm.operators import LOGICAL, binary, check_bits, truth, unary
from qrt.qasm.runtime import binary_word, bits_word, cast_word, unary_word
from qrt.qasm.scope import BitRegister, Cell, Lost, Qubits
from qrt.qasm.words import a, what
from qrt.qasm.written import type_of
from qrt.types import Source

T = TypeVar("T")
PI: Final = Exact(Fraction(0), Fraction(1))
EULER: Final = math.e
WHOLE_MAX: Final = 1 << 53  # below it a float that is whole prints as itself; 1e23 is another number
CONSTANTS: Final[dict[str, Typed]] = {
    "pi": Typed(FLOAT, PI),
    "π": Typed(FLOAT, PI),
    "tau": Typed(FLOAT, Exact(Fraction(0), Fraction(2))),
    "τ": Typed(FLOAT, Exact(Fraction(0), Fraction(2))),
    "euler": Typed(FLOAT, EULER),
    "ℇ": Typed(FLOAT, EULER),
}
ZERO: Final = Fraction(0)
PER_SECOND: Final = {"ns": 10**9, "us": 10**6, "ms": 1000, "s": 1}


# ---- Literals and names ------------------------------------------------------------------------------------------------


def decimal(value: float, divisor: int = 1) -> Fraction:
    """Return a float as the decimal that it prints as, divided by a whole number."""
    if value.is_integer() and abs(value) < WHOLE_MAX:  # without reading text
        return Fraction(int(value), divisor)
    above, below = Decimal(repr(value)).as_integer_ratio()
    return Fraction(above, below * divisor)


def _integer(run: Run, node: ast.IntegerLiteral) -> Typed:
    if node.value.bit_length() > INTEGER_BITS_MAX:
        raise run.refuse(node, f"a number of {node.value.bit_length()} bits; possible are {INTEGER_BITS_MAX}")
    return Typed(LITERAL, node.value)


def _float(run: Run, node: ast.FloatLiteral) -> Typed:
    if math.isnan(node.value):  # no text has one, but a tree that is built of floats
        raise run.refuse(node, "nan is written here, which is no number: give a finite one")
    if not math.isfinite(node.value):
        raise run.refuse(node, "this number is beyond the range of a float")
    return Typed(FLOAT, Exact(decimal(node.value)))


def _duration(run: Run, node: ast.DurationLiteral) -> Typed:
    key = (node.value, id(node.unit))
    found = run.durations.get(key)
    if found is None:
        if not math.isfinite(node.value):
            raise run.refuse(node, "this number is beyond the range of a float")
        per_second = PER_SECOND.get(node.unit.name)
        known = Duration(ZERO, decimal(node.value)) if per_second is None else Duration(decimal(node.value, per_second))
        found = run.durations[key] = Typed(DURATION, known)
    return found


def _name(run: Run, node: ast.Identifier) -> Typed:
    found = run.scope.find(node.name)
    if type(found) is Typed:
        return found
    if type(found) is Cell:
        return held(run, node, found)
    if type(found) is BitRegister:
        return Typed(found.type, bits_word([cell.value for cell in found.cells]))
    if found is None and node.name in CONSTANTS:
        return CONSTANTS[node.name]
    if isinstance(found, Qubits):
        raise run.refuse(node, f"{node.name!r} is a qubit and has no value; measure it into a bit")
    if found is not None:
        raise run.refuse(node, f"{node.name!r} is {what(found)} and has no value")
    run.find(node, node.name, "value", (Typed, Cell, BitRegister))
    raise AssertionError(node.name)


def held(run: Run, node: ast.QASMNode, cell: Cell) -> Typed:
    """Return what a cell holds. Raises ProgramError where it can not be read."""
    if type(cell.value) is Lost:
        raise run.refuse(node, cell.value.reason)
    return Typed(cell.type, cell.value)


# ---- Operators ---------------------------------------------------------------------------------------------------------


def _unary(run: Run, node: ast.UnaryExpression) -> Typed:
    return _operate_one(run, node, node.op.name, run.value(node.expression))


def negative(run: Run, node: ast.QASMNode, operand: Typed) -> Typed:
    """Return minus a value."""
    return _operate_one(run, node, "-", operand)


def _operate_one(run: Run, node: ast.QASMNode, name: str, operand: Typed) -> Typed:
    if type(operand.value) in KNOWN:
        return located(run, node, name, lambda: unary(name, operand))
    if type(operand.value) in VARIED and name == "-":
        return Typed(operand.type, Negative(operand.value, run.source(node)))
    if type(operand.value) is Fixed and name == "-":
        return reals.negative(operand)
    return located(run, node, name, lambda: unary_word(name, operand, run.source(node)))


def _binary(run: Run, node: ast.BinaryExpression) -> Typed:
    name = node.op.name
    left = run.value(node.lhs)
    if name in LOGICAL:
        return _logical(run, node, name, left)
    right = run.value(node.rhs)
    return operate(run, node, name, left, right)


def operate(run: Run, node: ast.QASMNode, name: str, left: Typed, right: Typed) -> Typed:
    """Return a binary operator of two values, of whatever is known of them."""
    classes = {type(left.value), type(right.value)}
    if left.type.kind == "bit" or right.type.kind == "bit":
        located(run, node, name, lambda: check_bits(name, left.type, right))
        located(run, node, name, lambda: check_bits(name, right.type, left))
    if classes <= KNOWN:
        return located(run, node, name, lambda: binary(name, left, right, run.facts.sample_s))
    if classes <= KNOWN | VARIED and name in ARITHMETIC:
        result = _varied_type(name, left, right)
        if result is not None:
            source = run.source(node)
            found = Binary(name, as_expression(left, source), as_expression(right, source), source)
            if any(side.type.kind == "angle" and side.type.width for side in (left, right)):
                run.shape.by(found)  # a known one is brought to so many bits
            if name == "**" or (name == "/" and type(right.value) in VARIED):
                run.shape.finite(found)
            return Typed(result, found)
    if reals.is_real(name, left, right):
        return located(run, node, name, lambda: reals.operate(run, name, left, right))
    return located(run, node, name, lambda: binary_word(name, left, right, run.source(node)))


def _varied_type(name: str, left: Typed, right: Typed) -> Type | None:
    """Return the type of arithmetic on inputs that vary, None where only the sequencer has the right rounding and wrapping."""
    kinds = (left.type.kind, right.type.kind)
    if "duration" in kinds:
        return FLOAT if kinds == ("duration", "duration") and name == "/" else DURATION
    if "float" in kinds or (name in {"/", "**"} and "angle" not in kinds):
        return FLOAT if "float" in kinds else None
    if kinds == ("angle", "angle") and name == "/":
        return None  # how often one goes into the other
    if "angle" in kinds:
        scaled = name in {"*", "/"} and (kinds[0] in WHOLE or kinds[1] in WHOLE)
        return ANGLE if name in {"+", "-"} or scaled else FLOAT
    return None


def as_expression(value: Typed, source: Source) -> Any:
    """Return a value that is known or varies as an expression."""
    if type(value.value) in VARIED:
        return value.value
    number = Exact(Fraction(value.value)) if type(value.value) is int else value.value
    return Literal(number, source)


def _logical(run: Run, node: ast.BinaryExpression, name: str, left: Typed) -> Typed:
    """Return `a && b` or `a || b`; what the left side decides leaves the right side alone."""
    stops = name == "||"
    if type(left.value) in KNOWN:
        if located(run, node.lhs, name, lambda: truth(left)) is stops:
            return Typed(BOOL, int(stops))
        return cast(run, node.rhs, run.value(node.rhs), BOOL)
    count = len(run.out)
    right = run.value(node.rhs)
    if len(run.out) != count:
        raise run.refuse(
            node.rhs,
            f"a subroutine that acts on qubits or variables cannot stand on the right of {name} after outcomes: use if",
        )
    if type(right.value) in KNOWN:
        known = located(run, node.rhs, name, lambda: truth(right))
        return Typed(BOOL, int(stops)) if known is stops else cast(run, node.lhs, left, BOOL)
    return located(run, node, name, lambda: binary_word(name, left, right, run.source(node)))


def located(run: Run, node: ast.QASMNode, name: str, function: Callable[[], T]) -> T:
    """Return what a function returns. Its refusals become errors at a node."""
    try:
        value = function()
    except ZeroDivisionError:
        raise run.refuse(node, "division by zero") from None
    except OverflowError:
        raise run.refuse(node, f"the result of {name} is no finite number") from None
    except ValueError as error:
        raise run.refuse(node, str(error)) from None
    if isinstance(value, Typed) and type(value.value) is float and not math.isfinite(value.value):
        raise run.refuse(node, f"the result of {name} is no finite number")
    return value


# ---- Casts -------------------------------------------------------------------------------------------------------------


def _cast(run: Run, node: ast.Cast) -> Typed:
    to = type_of(run, node.type)
    return cast(run, node, run.value(node.argument), to)


def cast(run: Run, node: ast.QASMNode, value: Typed, to: Type) -> Typed:
    """Return a value in another type."""
    if value.type == to:
        return value
    kind = type(value.value)
    if kind in KNOWN:
        return Typed(to, located(run, node, "the cast", lambda: cast_known(value, to, run.facts.sample_s)))
    if kind in VARIED and _keeps(value.type, to):
        return Typed(to, value.value)
    if to.kind == "float" and kind in RUNTIME and value.type.kind != "duration":
        return reals.typed(to, located(run, node, "the cast", lambda: reals.number(run, value)))
    if to.kind == value.type.kind == "duration":
        return Typed(to, value.value)
    return Typed(to, located(run, node, "the cast", lambda: cast_word(value, to, run.source(node))))


def fitted(run: Run, node: ast.QASMNode, value: Typed, to: Type) -> Typed:
    """Return a value in another type, as `cast`. Raises ProgramError for a whole number, written or of such, that the type cannot hold."""
    if value.type == LITERAL and to.kind in {"int", "uint"} and wrapped(value.value, to) != value.value:
        low, high = (0, (1 << to.width) - 1) if to.kind == "uint" else (-(1 << to.width - 1), (1 << to.width - 1) - 1)
        raise run.refuse(node, f"{value.value} is no {to}: {low} to {high}; {to}({value.value}) would wrap it")
    return cast(run, node, value, to)


def _keeps(type_: Type, to: Type) -> bool:
    """Say whether a value that varies is the same in another type."""
    real = {"float", "angle"}
    if to.kind in real and not to.width and type_.kind in {*real, "int", "uint", "bool"}:
        return True
    return to.kind == type_.kind == "duration" or (
        to.kind in {"int", "uint"} and to.kind == type_.kind and to.width >= type_.width
    )


# ---- Elements ----------------------------------------------------------------------------------------------------------


def _index(run: Run, node: ast.IndexExpression) -> Typed:
    collection = node.collection
    if isinstance(collection, ast.Identifier):
        found = run.scope.find(collection.name)
        if isinstance(found, BitRegister):
            register = indexed(run, node, found, node.index, collection.name)
            return Typed(register.type, bits_word([cell.value for cell in register.cells]))
    return element_of(run, node, run.value(collection), node.index)


def _array(run: Run, node: ast.ArrayLiteral) -> Typed:
    values = [run.value(one) for one in node.values]
    if not values:
        raise run.refuse(node, "an array without elements has no type")
    for one, written in zip(values, node.values, strict=True):
        if type(one.value) not in KNOWN:
            raise run.refuse(written, f"arrays are of constants; {a(one.type)} that depends on {reason(one)} is none")
    first = values[0].type
    for one, written in zip(values, node.values, strict=True):
        if one.type.shape != first.shape:
            raise run.refuse(written, f"the rows of an array have one shape; this one is {one.type}, the first {first}")
    of = first.of or first
    if any((one.type.of or one.type) != of for one in values):
        of = Type("float") if all((one.type.of or one.type).kind in {*WHOLE, "float"} for one in values) else COMPLEX
        values = [cast(run, node, one, Type("array", 0, of, first.shape) if first.shape else of) for one in values]
    return Typed(Type("array", 0, of, (len(values), *first.shape)), tuple(one.value for one in values))


def reason(value: Typed) -> str:
    """Return what a value depends on that is not known."""
    return "outcomes" if type(value.value) in RUNTIME else "inputs that vary"


def _size(run: Run, node: ast.SizeOf) -> Typed:
    type_ = run.value(node.target).type
    dimension = 0 if node.index is None else run.integer(node.index)
    if type_.of is None:
        raise run.refuse(node, f"sizeof is of arrays, not of {a(type_)}")
    if not 0 <= dimension < len(type_.shape):
        raise run.refuse(
            node, f"dimension {dimension} of {type_}, which has {len(type_.shape)}: 0 to {len(type_.shape) - 1}"
        )
    return Typed(LITERAL, type_.shape[dimension])


def constants(run: Run, nodes: Sequence[ast.QASMNode]) -> list[Typed]:
    """Return the values of expressions that must be known."""
    values = [run.value(node) for node in nodes]
    for one, node in zip(values, nodes, strict=True):
        if type(one.value) not in KNOWN:
            raise run.refuse(node, f"a constant is needed here, not {a(one.type)} that depends on {reason(one)}")
    return values


EVALUATORS: dict[type, Callable[[Run, Any], Typed]] = {
    ast.IntegerLiteral: _integer,
    ast.BooleanLiteral: lambda _, node: Typed(BOOL, int(node.value)),
    ast.BitstringLiteral: lambda _, node: Typed(Type("bit", node.width) if node.width > 1 else BIT, node.value),
    ast.ImaginaryLiteral: lambda _, node: Typed(COMPLEX, complex(0, node.value)),
    ast.FloatLiteral: _float,
    ast.DurationLiteral: _duration,
    ast.Identifier: _name,
    ast.UnaryExpression: _unary,
    ast.BinaryExpression: _binary,
    ast.Cast: _cast,
    ast.IndexExpression: _index,
    ast.ArrayLiteral: _array,
    ast.SizeOf: _size,
}

__all__ = [
    "CONSTANTS",
    "EVALUATORS",
    "ProgramError",
    "cast",
    "constants",
    "fitted",
    "held",
    "located",
    "operate",
    "positions",
]
