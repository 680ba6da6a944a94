"""Grids of input values: what a sweep goes through, read from text or arrays, exact. Pure.

An `Axis` gives one input its values; a `Grid` is their product, the last axis fastest, with the order in which shots go through it.
Values in text are expressions of OpenQASM (`2*pi`, `20us`) and stay exact; those of arrays are the decimals that they print as. What
becomes of them is in sweeps.py.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm.elaborate import Constants
from qrt.qasm.expressions import Duration, Exact, Value, as_float
from qrt.qasm.grammar import syntax_tree
from qrt.qasm.program import Input, Program

AXES_MAX: Final = 8  # as qrt_core.h
POINTS_MAX: Final = 1 << 40
TABLE_MAX: Final = 1 << 14  # values of one axis that are not on a line, and words of one table
FORMS: Final = (
    "NAME=linspace(first, last, points), NAME=logspace(first exponent, last exponent, points), NAME=values(a, b, ...)"
)

OrderName = Literal["point", "shot"]
Sweeps = Sequence[str] | Mapping[str, Any]  # `NAME=form` texts, or forms and arrays by name


# ---- Axes and grids ----------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """Evenly spaced values."""

    first: Exact
    last: Exact
    length: int


class Axis(msgspec.Struct, frozen=True):
    """The values of one input; of a duration they are seconds."""

    name: str
    points: Line | tuple[Exact, ...]
    duration: bool = False

    @property
    def count(self) -> int:
        """How many there are."""
        return self.points.length if isinstance(self.points, Line) else len(self.points)

    def exact(self, index: int) -> Exact:
        """Return one of them."""
        if not isinstance(self.points, Line):
            return self.points[index]
        first, last = self.points.first, self.points.last
        along = Fraction(index, max(self.points.length - 1, 1))
        return Exact(first.rational + (last.rational - first.rational) * along, first.pi + (last.pi - first.pi) * along)

    def at(self, index: int) -> Value:
        """Return one of them as the program's expressions take it."""
        value = self.exact(index)
        return Duration(value.rational) if self.duration else value

    def floats(self) -> NDArray[np.float64]:
        """Return all of them, float64 [points]."""
        return np.array([as_float(self.exact(index)) for index in range(self.count)])


class Grid(msgspec.Struct, frozen=True):
    """The product of axes, the last one fastest, and how shots go through it."""

    axes: tuple[Axis, ...]
    order: OrderName
    shots_per_point: int

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(axis.count for axis in self.axes)

    @property
    def points(self) -> int:
        """How many points there are."""
        return math.prod(self.shape)

    @property
    def shots(self) -> int:
        """How many shots one pass through all points has."""
        return self.points * self.shots_per_point


def grid_of(sweeps: Sweeps, program: Program, inputs: Mapping[str, float], order: str, shots: int) -> Grid:
    """Return the grid of `NAME=form` texts, or of forms and arrays by name. Raises ProgramError for whatever is no sweep of the program."""
    pairs = sweeps.items() if isinstance(sweeps, Mapping) else [one.partition("=")[::2] for one in sweeps]
    axes: list[Axis] = []
    for name, form in pairs:
        written = f"{name}={form}" if isinstance(form, str) and form else name
        where = f"--sweep {written!r}: " if isinstance(form, str) else f"sweep of {name}: "
        if not name.strip() or (isinstance(form, str) and not form.strip()):
            raise ProgramError(f"{where}NAME=form is needed; forms: {FORMS}")
        declared = _declared(name.strip(), program, where)
        if any(axis.name == declared.name for axis in axes):
            raise ProgramError(f"{where}{declared.name} is swept already; one axis for each input")
        if declared.name in inputs:
            raise ProgramError(
                f"{where}{declared.name} has a value already ({inputs[declared.name]}): give --input or --sweep, not both"
            )
        axes.append(_parsed(declared, name, form) if isinstance(form, str) else _listed(declared, form, where))
    if len(axes) > AXES_MAX:
        raise ProgramError(f"{len(axes)} sweeps; the kernel has {AXES_MAX} axes")
    if order not in {"point", "shot"}:
        raise ProgramError(
            f"order = {order!r} is not allowed; allowed: point (all shots of a point together), shot (every shot another point)"
        )
    grid = Grid(tuple(axes), "point" if order == "point" else "shot", shots)
    if grid.points > POINTS_MAX:
        raise ProgramError(
            f"a sweep of {' x '.join(map(str, grid.shape))} = {grid.points} points; possible are {POINTS_MAX}"
        )
    return grid


def _declared(name: str, program: Program, where: str) -> Input:
    """Return the input of a name."""
    declared = {one.name: one for one in program.inputs}
    if name in declared:
        return declared[name]
    near = difflib.get_close_matches(name, declared, 1)
    hint = f"did you mean {near[0]}?" if near else f"its inputs: {', '.join(declared) or 'none'}"
    raise ProgramError(f"{where}the program has no input {name!r}; {hint}")


def _parsed(declared: Input, name: str, form: str) -> Axis:
    """Return the axis that a form means; columns in errors count in `NAME=form`."""
    at = len(name) + 1
    reader = Constants(f"{name}={form}", "--sweep")
    function, arguments = _call(form, at)
    if function == "values" and arguments:
        values = tuple(_value(reader, node, declared) for node in arguments)
        _check_table(declared, len(values), "values")
        return _checked(declared, values, reader, arguments)
    if function not in {"linspace", "logspace"} or len(arguments) != 3:
        known = function in {"linspace", "logspace", "values"}
        what = f"{function} of {len(arguments)} values is no sweep" if known else f"{function} is no form"
        raise ProgramError(f"--sweep:1:{at + 1}: {what}; forms: {FORMS}")
    count = reader.integer(arguments[2])
    if count < 1:
        raise reader.refuse(arguments[2], f"a sweep of {count} points; at least 1 is needed")
    if function == "linspace":
        first, last = (_value(reader, node, declared) for node in arguments[:2])
        return _checked(declared, Line(first, last, count), reader, arguments)
    _check_table(declared, count, "logspace")
    low, high = (_exponent(reader, node) for node in arguments[:2])
    try:
        powers = [10.0 ** (low + (high - low) * index / max(count - 1, 1)) for index in range(count)]
    except OverflowError:
        raise reader.refuse(
            arguments[1],
            f"10 to the power of {max(low, high):g} is no number; logspace takes exponents, as in logspace(-8, -5, 31)",
        ) from None
    return _checked(declared, tuple(Exact(Fraction(repr(value))) for value in powers), reader, arguments)


def _call(form: str, at: int) -> tuple[str, list[ast.Expression]]:
    """Return name and arguments of a form that begins at column `at`, from 0."""
    try:
        tree = syntax_tree(f"{' ' * at}{form};", "--sweep")
    except ProgramError as error:
        message = str(error).replace("not OpenQASM 3:", "no sweep:", 1)
        raise ProgramError(f"{message}\n    forms: {FORMS}") from error
    match tree.statements:
        case [
            ast.ExpressionStatement(expression=ast.FunctionCall(name=ast.Identifier(name=name), arguments=arguments))
        ]:
            return name, list(arguments)
    raise ProgramError(f"--sweep:1:{at + 1}: {form!r} is no sweep; forms: {FORMS}")


def _value(reader: Constants, node: ast.Expression, declared: Input) -> Exact:
    """Return a number, of a duration in seconds."""
    value = reader.value(node)
    if isinstance(value, Duration):
        if declared.kind != "duration":
            raise reader.refuse(
                node, f"{declared.name} is of type {declared.kind}; only values of a duration have a unit"
            )
        if value.samples:
            raise reader.refuse(node, "the length of dt belongs to the lab; give ns, us, ms or s")
        return Exact(value.seconds)
    return value if isinstance(value, Exact) else Exact(Fraction(value))


def _exponent(reader: Constants, node: ast.Expression) -> float:
    value = reader.value(node)
    if isinstance(value, Duration):
        raise reader.refuse(node, "logspace takes exponents of ten, as in logspace(-8, -5, 31) for 10 ns to 10 us")
    return as_float(value)


def _checked(
    declared: Input, points: Line | tuple[Exact, ...], reader: Constants, nodes: Sequence[ast.Expression]
) -> Axis:
    """Return the axis if its values are ones of the input's type."""
    problem = _problem(declared, points)
    if problem:
        raise reader.refuse(nodes[0], problem)
    return Axis(declared.name, points, declared.kind == "duration")


def _problem(declared: Input, points: Line | tuple[Exact, ...]) -> str:
    """Return what keeps values from being ones of the input's type; empty if nothing does."""
    axis = Axis(declared.name, points)
    if declared.kind == "duration":
        ends = (0, axis.count - 1) if isinstance(points, Line) else range(axis.count)
        bad = next(
            (axis.exact(index) for index in ends if as_float(axis.exact(index)) < 0 or axis.exact(index).pi), None
        )
        return (
            "" if bad is None else f"{declared.name} = {as_float(bad):g}: a duration is a number of seconds, at least 0"
        )
    if declared.kind not in {"int", "uint"}:
        return ""
    listed = range(axis.count) if not isinstance(points, Line) else (0, min(1, axis.count - 1), axis.count - 1)
    for index in listed:  # of a line: if the first two are whole, all are
        value = axis.exact(index)
        if value.pi or value.rational.denominator != 1 or (declared.kind == "uint" and value.rational < 0):
            at_least = ", at least 0" * (declared.kind == "uint")
            return (
                f"{declared.name} = {as_float(value):g} at point {index}: {declared.kind} is a whole number{at_least}"
            )
    return ""


def _check_table(declared: Input, count: int, what: str) -> None:
    if count > TABLE_MAX:
        raise ProgramError(
            f"--sweep of {declared.name}: {what} of {count} points; {TABLE_MAX} are possible, and any number with linspace"
        )


def _listed(declared: Input, values: Any, where: str) -> Axis:
    """Return the axis of an array of numbers."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{where}numbers are needed, or one of the forms: {FORMS}") from error
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ProgramError(
            f"{where}one or more finite numbers in one dimension are needed, not {array.shape} {array.dtype}"
        )
    _check_table(declared, array.size, "an array")
    points = tuple(Exact(Fraction(repr(value))) for value in array.tolist())
    if problem := _problem(declared, points):
        raise ProgramError(f"{where}{problem}")
    return Axis(declared.name, points, declared.kind == "duration")


# ---- In documents ------------------------------------------------------------------------------------------------------


def to_document(grid: Grid) -> dict[str, Any]:
    """Return the grid as plain data for a `start` document; values of an axis are listed up to TABLE_MAX of them."""
    axes = []
    for axis in grid.axes:
        line = axis.points if isinstance(axis.points, Line) else None
        exact: list[Exact] = [line.first, line.last] if line else [axis.exact(index) for index in range(axis.count)]
        axes.append(
            {
                "name": axis.name,
                "unit": "s" if axis.duration else "",
                "points": axis.count,
                "form": "linspace" if line else "values",
                "exact": [f"{value.rational}+{value.pi}*pi" for value in exact],
                "values": axis.floats().tolist() if axis.count <= TABLE_MAX else [],
            }
        )
    return {"axes": axes, "order": grid.order, "shots_per_point": grid.shots_per_point}


def from_document(document: Mapping[str, Any] | None) -> Grid | None:
    """Return the grid of a `start` document's field `sweep`; None where there was none."""
    if not document:
        return None
    axes = []
    for one in document["axes"]:
        pairs = [text.removesuffix("*pi").split("+") for text in one["exact"]]
        exact = [Exact(Fraction(rational), Fraction(multiple)) for rational, multiple in pairs]
        points = Line(exact[0], exact[1], one["points"]) if one["form"] == "linspace" else tuple(exact)
        axes.append(Axis(one["name"], points, one["unit"] == "s"))
    return Grid(tuple(axes), document["order"], document["shots_per_point"])
