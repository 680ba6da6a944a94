"""Sweeps as they are written, read into a grid of exact values: text, or arrays from Python. Pure.

    theta=linspace(0, 2*pi, 41)                              one input; also logspace(...), values(...), or an array
    amp,phase=zip(linspace(0, 1, 21), values(...))           several that go along one axis together, point by point
    lo_readout.frequency_hz=linspace(6.99e9, 7.01e9, 21)     a setting of an instrument: `<instrument>.<setting>`

In Python the forms stand in a dict by name, those that go together by a tuple of names:
`{("amp", "phase"): ("linspace(0, 1, 21)", array)}`.
Values in text are expressions of OpenQASM (`2*pi`, `20us`) and stay exact; those of arrays are the decimals that they print as. The grid
is the product of all axes, the last one fastest; axes with a setting come first, whatever the order in which they were given, since
between their points the instruments are set. What becomes of the values is in sweeps.py and legs.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from openqasm3 import ast

from qrt.axes import TABLE_MAX, Axis, Grid, Line, OrderName
from qrt.errors import ProgramError, nearest
from qrt.qasm.elaborate import Constants
from qrt.qasm.expressions import Duration, Exact, as_float
from qrt.qasm.grammar import syntax_tree
from qrt.qasm.program import Program
from qrt.types import Setting

AXES_MAX: Final = 8  # as qrt_core.h
POINTS_MAX: Final = 1 << 40
LEGS_MAX: Final = 1 << 14  # points of axes with a setting: each leaves some 20 kB in the record
FORMS: Final = (
    "NAME=linspace(first, last, points), NAME=logspace(first exponent, last exponent, points), NAME=values(a, b, ...), "
    "NAME,NAME=zip(form, form)"
)
SIMPLE: Final = frozenset({"linspace", "logspace", "values"})

Sweeps = Sequence[str] | Mapping[Any, Any]  # `NAME=form` texts, or forms and arrays by name, or by a tuple of names
Settings = Mapping[str, Setting]  # by `<instrument>.<setting>`


class Swept(NamedTuple):
    """What a name stands for: an input of the program, or a setting of an instrument."""

    name: str
    kind: str  # an input's type; of a setting "float"
    setting: Setting | None = None

    @property
    def unit(self) -> str | None:
        """Of a setting."""
        return None if self.setting is None else self.setting.unit


# ---- Grids -------------------------------------------------------------------------------------------------------------


def grid_of(
    sweeps: Sweeps,
    program: Program,
    inputs: Mapping[str, float],
    order: OrderName,
    shots: int,
    *,
    settings: Settings | None = None,
) -> Grid:
    """Return the grid of `NAME=form` texts, or of forms and arrays by name. ProgramError for whatever is no sweep here.

    settings: what instruments have to be swept; None: none has.
    """
    given = _pairs(sweeps)
    axes: list[Axis] = []
    for names, form in given:
        where = f"--sweep {_written(names, form)!r}: " if isinstance(form, str) else f"sweep of {', '.join(names)}: "
        if not all(names) or (isinstance(form, str) and not form.strip()):
            raise ProgramError(f"{where}NAME=form is needed; forms: {FORMS}")
        swept = [swept_of(name, program, settings or {}, where) for name in names]
        before = {one.name for axis in axes for one in axis.together}
        for index, one in enumerate(swept):
            if one.name in before or one in swept[:index]:
                raise ProgramError(f"{where}{one.name} is swept already; one axis for each input, and for each setting")
            if one.name in inputs:
                raise ProgramError(
                    f"{where}{one.name} has a value already ({inputs[one.name]}): give --input or --sweep, not both"
                )
        axes.append(_axis(swept, names, form, where))
    outer = [axis for axis in axes if any(one.setting is not None for one in axis.together)]
    inner = [axis for axis in axes if axis not in outer]
    grid = Grid((*outer, *inner), order, shots)
    _check(grid, len(inner) + any(one.setting is None for axis in outer for one in axis.together))
    return grid


def _check(grid: Grid, kernel_axes: int) -> None:
    """Raise ProgramError for more than can be gone through."""
    if kernel_axes > AXES_MAX:
        raise ProgramError(f"{kernel_axes} sweeps; the kernel has {AXES_MAX} axes")
    if grid.points > POINTS_MAX:
        raise ProgramError(
            f"a sweep of {' x '.join(map(str, grid.shape))} = {grid.points} points; possible are {POINTS_MAX}"
        )
    if grid.legs > LEGS_MAX:
        raise ProgramError(
            f"instruments would be set {grid.legs} times, at every point of {' and '.join(axis.name for axis in grid.outer)}; "
            f"possible are {LEGS_MAX}: take fewer points"
        )


def _pairs(sweeps: Sweeps) -> list[tuple[tuple[str, ...], Any]]:
    """Return names and form of each axis."""
    found: list[tuple[tuple[str, ...], Any]] = []
    given: Iterable[Any] = sweeps.items() if isinstance(sweeps, Mapping) else sweeps
    for one in given:
        if not isinstance(one, str) and not (isinstance(one, tuple) and len(one) == 2):
            raise ProgramError(
                f"sweep: {one!r:.80} is no axis; a list has 'NAME=form' texts in it, a mapping values by name"
            )
        key, form = one if isinstance(one, tuple) else one.partition("=")[::2]
        names = key.split(",") if isinstance(key, str) else key
        if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
            raise ProgramError(
                f"sweep: {key!r:.80} is no name; an axis has a name, or a tuple of those that go along it together"
            )
        found.append((tuple(name.strip() for name in names), form))
    return found


def _written(names: Sequence[str], form: str) -> str:
    return f"{','.join(names)}={form}" if form else ",".join(names)


def swept_of(name: str, program: Program, settings: Settings, where: str) -> Swept:
    """Return what a name stands for. ProgramError, which begins with `where`, if it is nothing that can be swept."""
    declared = {one.name: one.kind for one in program.inputs}
    if name in declared:
        return Swept(name, declared[name])
    open_ = {key: one for key, one in settings.items() if not one.kept}
    if name in open_:
        return Swept(name, "float", open_[name])
    instrument, dot, _ = name.partition(".")
    if dot:
        raise ProgramError(f"{where}{_no_setting(name, instrument, settings, open_)}")
    near = difflib.get_close_matches(name, declared, 1)
    hint = f"did you mean {near[0]}?" if near else f"its inputs: {', '.join(declared) or 'none'}"
    more = "; settings of instruments are written INSTRUMENT.SETTING, as in " + next(iter(open_)) if open_ else ""
    raise ProgramError(f"{where}the program has no input {name!r}; {hint}{more}")


def _no_setting(name: str, instrument: str, settings: Settings, open_: Settings) -> str:
    """Return why this is no setting that can be swept, and which there are; open_: those that can be."""
    if name in settings:
        why = f"{name} is not swept: {settings[name].kept}"
    elif any(one.startswith(f"{instrument}.") for one in settings):
        why = f"instrument {instrument!r} has no setting {name!r}"
    else:
        known = sorted({one.partition(".")[0] for one in open_})
        return f"no instrument {instrument!r} has settings; {nearest(instrument, known)}"
    own = {key: one for key, one in open_.items() if key.startswith(f"{instrument}.")}
    near = difflib.get_close_matches(name, own, 1) if name not in settings else []
    hint = f"; did you mean {near[0]}?" if near else ""
    listed = ", ".join(f"{key} ({allowed_of(one)})" for key, one in own.items())
    return f"{why}{hint}; what can be swept of {instrument}: {listed or 'nothing'}"


def allowed_of(setting: Setting) -> str:
    """Return what values a setting takes, for a person."""
    if setting.words:
        return ", ".join(f"{number} = {word}" for number, word in enumerate(setting.words))
    return f"{setting.low:.12g} to {setting.high:.12g} {setting.unit}".rstrip()


def _axis(swept: Sequence[Swept], names: Sequence[str], form: Any, where: str) -> Axis:
    """Return the axis of one name, or of several that go along it together."""
    if isinstance(form, str):
        at = len(",".join(names)) + 1
        reader = Constants(_written(names, form), "--sweep")
        function, arguments = _call(form, at)
        axes = _zipped(swept, reader, function, arguments, at) if len(swept) > 1 else None
        axes = axes or [_parsed(swept[0], reader, function, arguments, at)]
    elif len(swept) == 1:
        axes = [_read(swept[0], form, where)]
    else:
        if not isinstance(form, (list, tuple)) or len(form) != len(swept):
            raise ProgramError(
                f"{where}as many forms or arrays are needed as there are names, {len(swept)}: a tuple of them"
            )
        axes = [_read(one, part, where) for one, part in zip(swept, form, strict=True)]
    if len({axis.count for axis in axes}) > 1:
        counts = ", ".join(f"{axis.name} has {axis.count}" for axis in axes)
        raise ProgramError(f"{where}names that go along one axis have as many points each; {counts}")
    return msgspec.structs.replace(axes[0], beside=tuple(axes[1:]))


def _zipped(
    swept: Sequence[Swept], reader: Constants, function: str, arguments: Sequence[ast.Expression], at: int
) -> list[Axis]:
    """Return the axes that `zip(form, form)` means."""
    if function != "zip" or len(arguments) != len(swept):
        what = f"zip of {len(arguments)} forms" if function == "zip" else f"{function} alone"
        raise ProgramError(
            f"--sweep:1:{at + 1}: {what} for {len(swept)} names; NAME,NAME=zip(form, form) has a form for each"
        )
    axes = []
    for one, node in zip(swept, arguments, strict=True):
        match node:
            case ast.FunctionCall(name=ast.Identifier(name=inner), arguments=own):
                axes.append(_parsed(one, reader, inner, list(own), node.span.start_column if node.span else at))
            case _:
                raise reader.refuse(node, f"zip takes a form for each name; forms: {FORMS}")
    return axes


def _read(swept: Swept, form: Any, where: str) -> Axis:
    """Return the axis of a form in text, or of an array."""
    if not isinstance(form, str):
        return _listed(swept, form, where)
    at = len(swept.name) + 1
    return _parsed(swept, Constants(f"{swept.name}={form}", "--sweep"), *_call(form, at), at)


def _parsed(swept: Swept, reader: Constants, function: str, arguments: Sequence[ast.Expression], at: int) -> Axis:
    """Return the axis that a form means; columns in errors count in `NAME=form`."""
    if function == "values" and arguments:
        values = tuple(_value(reader, node, swept) for node in arguments)
        _check_table(swept, len(values), "values")
        return _checked(swept, values, reader, arguments)
    if function not in {"linspace", "logspace"} or len(arguments) != 3:
        what = f"{function} of {len(arguments)} values is no sweep" if function in SIMPLE else f"{function} is no form"
        if function == "zip":
            what = "zip is for several names, NAME,NAME=zip(form, form)"
        raise ProgramError(f"--sweep:1:{at + 1}: {what}; forms: {FORMS}")
    count = reader.integer(arguments[2])
    if count < 1:
        raise reader.refuse(arguments[2], f"a sweep of {count} points; at least 1 is needed")
    if function == "linspace":
        first, last = (_value(reader, node, swept) for node in arguments[:2])
        return _checked(swept, Line(first, last, count), reader, arguments)
    _check_table(swept, count, "logspace")
    low, high = (_exponent(reader, node) for node in arguments[:2])
    try:
        powers = [10.0 ** (low + (high - low) * index / max(count - 1, 1)) for index in range(count)]
    except OverflowError:
        raise reader.refuse(
            arguments[1],
            f"10 to the power of {max(low, high):g} is no number; logspace takes exponents, as in logspace(-8, -5, 31)",
        ) from None
    return _checked(swept, tuple(Exact(Fraction(repr(value))) for value in powers), reader, arguments)


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


def _value(reader: Constants, node: ast.Expression, swept: Swept) -> Exact:
    """Return a number, of a duration in seconds."""
    value = reader.value(node)
    if isinstance(value, Duration):
        if swept.kind != "duration":
            raise reader.refuse(node, f"{swept.name} is of type {swept.kind}; only values of a duration have a unit")
        if value.samples:
            raise reader.refuse(node, "the length of dt belongs to the lab; give ns, us, ms or s")
        return Exact(value.seconds)
    return value if isinstance(value, Exact) else Exact(Fraction(value))


def _exponent(reader: Constants, node: ast.Expression) -> float:
    value = reader.value(node)
    if isinstance(value, Duration):
        raise reader.refuse(node, "logspace takes exponents of ten, as in logspace(-8, -5, 31) for 10 ns to 10 us")
    return as_float(value)


def _of(swept: Swept, points: Line | tuple[Exact, ...]) -> Axis:
    return Axis(swept.name, points, swept.kind == "duration", swept.unit)


def _checked(
    swept: Swept, points: Line | tuple[Exact, ...], reader: Constants, nodes: Sequence[ast.Expression]
) -> Axis:
    """Return the axis if its values are ones of the input's type."""
    problem = _problem(swept, points)
    if problem:
        raise reader.refuse(nodes[0], problem)
    return _of(swept, points)


def _problem(swept: Swept, points: Line | tuple[Exact, ...]) -> str:
    """Return what keeps values from being ones of the input's type, or within an instrument's range; empty if nothing does."""
    axis = Axis(swept.name, points)
    if swept.setting is not None:
        return out_of_range(axis, swept.setting)
    if swept.kind == "duration":
        ends = (0, axis.count - 1) if isinstance(points, Line) else range(axis.count)
        bad = next(
            (axis.exact(index) for index in ends if as_float(axis.exact(index)) < 0 or axis.exact(index).pi), None
        )
        return "" if bad is None else f"{swept.name} = {as_float(bad):g}: a duration is a number of seconds, at least 0"
    if swept.kind not in {"int", "uint"}:
        return ""
    listed = range(axis.count) if not isinstance(points, Line) else (0, min(1, axis.count - 1), axis.count - 1)
    for index in listed:  # of a line: if the first two are whole, all are
        value = axis.exact(index)
        if value.pi or value.rational.denominator != 1 or (swept.kind == "uint" and value.rational < 0):
            at_least = ", at least 0" * (swept.kind == "uint")
            return f"{swept.name} = {as_float(value):g} at point {index}: {swept.kind} is a whole number{at_least}"
    return ""


def out_of_range(axis: Axis, setting: Setting) -> str:
    """Return which value the instrument does not take; empty if it takes them all."""
    listed = (0, axis.count - 1) if isinstance(axis.points, Line) and not setting.words else range(axis.count)
    for index in listed:
        value = as_float(axis.exact(index))
        if not takes(setting, value):
            return f"{axis.name} = {told(setting, value)} at point {index}: possible is {allowed_of(setting)}"
    return ""


def takes(setting: Setting, value: float) -> bool:
    """Return whether the instrument takes a value."""
    return setting.low <= value <= setting.high and (not setting.words or value.is_integer())


def told(setting: Setting, value: float) -> str:
    """Return a value with its unit, for a person."""
    return f"{value:.12g} {setting.unit}".rstrip()


def _check_table(swept: Swept, count: int, what: str) -> None:
    if count > TABLE_MAX:
        raise ProgramError(
            f"--sweep of {swept.name}: {what} of {count} points; {TABLE_MAX} are possible, and any number with linspace"
        )


def _listed(swept: Swept, values: Any, where: str) -> Axis:
    """Return the axis of an array of numbers."""
    try:
        given = np.asarray(values)
        array = given.astype(np.float64, casting="unsafe" if given.dtype == object else "same_kind")
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{where}{values!r:.80}: numbers are needed, or one of the forms: {FORMS}") from error
    if array.ndim != 1 or not array.size:
        raise ProgramError(f"{where}one or more numbers in one dimension are needed, not of shape {array.shape}")
    if not np.isfinite(array).all():
        index = int(np.argmin(np.isfinite(array)))
        raise ProgramError(f"{where}{array[index]:g} at point {index} is not a finite number")
    _check_table(swept, array.size, "an array")
    points = tuple(Exact(Fraction(repr(value))) for value in array.tolist())
    if problem := _problem(swept, points):
        raise ProgramError(f"{where}{problem}")
    return _of(swept, points)
