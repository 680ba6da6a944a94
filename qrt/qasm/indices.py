"""Indices, ranges and sets: elements of registers, of arrays, and bits of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from openqasm3 import ast

from qrt.qasm import exactness, fixed, reals
from qrt.qasm.context import Run
from qrt.qasm.fixed import Fixed
from qrt.qasm.kinds import BIT, KNOWN, RUNTIME, WHOLE, Type, Typed
from qrt.qasm.operators import angle_of, angle_word, shifted
from qrt.qasm.runtime import word_of
from qrt.qasm.scope import BitRegister, Lost, Qubits
from qrt.qasm.sequenced import compute, logical_shift
from qrt.qasm.words import a
from qrt.types import Classical, Lookup

RANGE_MAX = 1 << 20

R = TypeVar("R", Qubits, BitRegister)


def positions(run: Run, node: ast.QASMNode, index: Any, size: int, name: str) -> tuple[list[int], bool]:
    """Return the places in a dimension of `size` that an index, range or set names, and whether it is one index alone."""
    if isinstance(index, ast.DiscreteSet):
        return [_place(run, one, run.integer(one), size, name) for one in index.values], False
    if isinstance(index, ast.RangeDefinition):
        return [_place(run, index, one, size, name) for one in range_of(run, index, size)], False
    return [_place(run, index, run.integer(index), size, name)], True


def range_of(run: Run, node: ast.RangeDefinition, size: int | None = None) -> list[int]:
    """Return the numbers of a range; both ends belong to it. Of a dimension of `size`, an end may be left out or count from behind."""
    step = 1 if node.step is None else run.integer(node.step)
    if step == 0:
        raise run.refuse(node, "a range with a step of 0 does not end")
    if size is None and (node.start is None or node.end is None):
        raise run.refuse(node, "a range of a loop has a start and an end, as in [0:3]")
    last = 0 if size is None else size - 1
    start = run.integer(node.start) if node.start is not None else (0 if step > 0 else last)
    end = run.integer(node.end) if node.end is not None else (last if step > 0 else 0)
    if size is not None:
        start, end = (value + size if value < 0 else value for value in (start, end))
    numbers = range(start, end + (1 if step > 0 else -1), step)
    if len(numbers) > RANGE_MAX:
        raise run.refuse(node, f"a range of {len(numbers)} numbers; possible are {RANGE_MAX}")
    return list(numbers)


def _place(run: Run, node: ast.QASMNode, position: int, size: int, name: str) -> int:
    if not -size <= position < size:
        raise run.refuse(node, f"index {position} is outside {name}: 0 to {size - 1}")
    return position % size


def index_list(run: Run, node: ast.QASMNode, index: Any) -> list[Any]:
    """Return the indices of one pair of brackets, a set as one."""
    return [index] if isinstance(index, ast.DiscreteSet) else list(index)


def indexed(run: Run, node: ast.QASMNode, register: R, index: Any, name: str) -> R:
    """Return the elements of a register that an index names."""
    kind = {Qubits: "qubit", BitRegister: "bit"}[type(register)]
    elements: Sequence[Any] = register[0]
    if not register.sized:
        raise run.refuse(node, f"{name!r} is one {kind} and takes no index")
    inside = index_list(run, node, index)
    if len(inside) != 1:
        raise run.refuse(node, f"{name!r} is a register and takes one index, not {len(inside)}")
    (place,) = inside
    if type(place) is ast.IntegerLiteral and place.value < len(elements):  # as most are
        return type(register)((elements[place.value],), False)
    words = f"{name!r}, which has {len(elements)} {kind}s"
    places, single = positions(run, node, inside[0], len(elements), words)
    return type(register)(tuple(elements[place] for place in places), not single)


# ---- Elements of values ------------------------------------------------------------------------------------------------


def element_of(run: Run, node: ast.QASMNode, value: Typed, index: Any) -> Typed:
    """Return an element, a row, a slice of an array, or bits of a number."""
    inside = index_list(run, node, index)
    if value.type.of is not None:
        found = _array_element(run, node, value, inside)
        if type(found.value) is Lost:
            raise run.refuse(node, found.value.reason)
        return found
    if value.type.kind in {"bit", "int", "uint", "angle"} and value.type.width and len(inside) == 1:
        places, single = positions(run, node, inside[0], value.type.width, f"a value of type {value.type}")
        return bits_of(run, node, value, places, single=single)
    raise run.refuse(node, f"{a(value.type)} has no elements")


def bits_of(run: Run, node: ast.QASMNode, value: Typed, places: Sequence[int], *, single: bool) -> Typed:
    """Return bits of a number, of the lowest first."""
    type_ = BIT if single else Type("bit", len(places))
    if type(value.value) in KNOWN:
        word = angle_word(value.value, value.type.width) if value.type.kind == "angle" else value.value
        return Typed(type_, sum((word >> place & 1) << index for index, place in enumerate(places)))
    word = word_of(value, run.source(node))
    if value.type.kind == "angle":
        word = logical_shift(word, 64 - value.type.width)
    result: Any = 0
    for index, place in enumerate(places):
        bit = compute("&", compute(">>", word, place), 1)
        result = compute("+", result, compute("*", bit, 1 << index))
    return Typed(type_, result)


def _array_element(run: Run, node: ast.QASMNode, value: Typed, inside: Sequence[Any]) -> Typed:
    shape = value.type.shape
    if len(inside) > len(shape):
        raise run.refuse(node, f"{len(inside)} indices into {value.type}, which has {len(shape)} dimensions")
    head, *rest = inside
    of = value.type.of
    assert of is not None
    if isinstance(head, ast.Expression) and not isinstance(head, ast.RangeDefinition):
        chosen = run.value(head)
        if type(chosen.value) in RUNTIME:
            return _looked_up(run, node, value, inside)
    places, single = positions(run, node, head, shape[0], f"an array of {shape[0]}")
    rows = [value.value[place] for place in places]
    row_type = Type("array", 0, of, shape[1:]) if len(shape) > 1 else of
    if rest:
        found = [_array_element(run, node, Typed(row_type, row), rest) for row in rows]
        if single:
            return found[0]
        inner = found[0].type
        return Typed(Type("array", 0, of, (len(found), *inner.shape)), tuple(one.value for one in found))
    if single:
        return Typed(row_type, rows[0])
    return Typed(Type("array", 0, of, (len(rows), *shape[1:])), tuple(rows))


def _looked_up(run: Run, node: ast.QASMNode, value: Typed, inside: Sequence[Any]) -> Typed:
    """Return an element that outcomes choose, from a table in the kernel, in which the last index goes fastest."""
    of, shape = value.type.of, value.type.shape
    assert of is not None
    if len(shape) != len(inside) or of.kind not in {*WHOLE, "angle", "float", "duration"}:
        raise run.refuse(
            node,
            f"what an outcome chooses of {value.type} is one element of bool, bit, int, uint, angle, float or duration, with an index for "
            "each dimension",
        )
    source, place = run.source(node), cast("Classical", 0)
    elements: Sequence[Any] = value.value
    for dimension, (index, size) in enumerate(zip(inside, shape, strict=True)):
        word = word_of(run.value(index), source)
        low, high = run.span(word)
        if len(shape) > 1 and not 0 <= low <= high < size:
            raise run.refuse(
                node,
                f"the index of dimension {dimension} can be {low} to {high}; there are 0 to {size - 1}: use a narrower type",
            )
        place = compute("+", compute("*", place, size), word)
        elements = [one for row in elements for one in row] if dimension else elements
    if of.kind in {"float", "duration"}:
        return reals.typed(of, _real_element(run, node, of, elements, place))
    return Typed(of, Lookup(tuple(_plain(Typed(of, one), source) for one in elements), place))


def _real_element(run: Run, node: ast.QASMNode, of: Type, elements: Sequence[Any], place: Classical) -> Fixed:
    """Return an element of real numbers or durations at a place."""
    try:
        numbers = [reals.number(run, Typed(of, one)) for one in elements]
        units = {one.unit for one in numbers if one.size}
        numbers = [fixed.plain(one) for one in numbers] if len(units) > 1 else numbers
        unit = units.pop() if len(units) == 1 else numbers[0].unit
        return exactness.tabulated(place, [cast("int", one.word) * one.step for one in numbers], unit)
    except ValueError as error:
        raise run.refuse(node, str(error)) from None


def _plain(value: Typed, source: Any) -> int:
    word = word_of(value, source)
    assert type(word) is int
    return word


# ---- Elements that are set ---------------------------------------------------------------------------------------------


def with_element(  # noqa: PLR0917
    run: Run, node: ast.QASMNode, elements: Any, type_: Type, inside: Sequence[Any], new: Any
) -> Any:
    """Return an array's elements with one of them, or a slice, replaced; `new` gives the value for a type."""
    head, *rest = inside
    places, single = positions(run, node, head, type_.shape[0], f"an array of {type_.shape[0]}")
    of = type_.of
    assert of is not None
    row_type = Type("array", 0, of, type_.shape[1:]) if len(type_.shape) > 1 else of
    rows = list(elements)
    if single:
        rows[places[0]] = with_element(run, node, rows[places[0]], row_type, rest, new) if rest else new(row_type)
        return tuple(rows)
    if rest:
        raise run.refuse(node, "a slice of several dimensions cannot be set; set its rows in a loop")
    values = new(Type("array", 0, of, (len(places), *type_.shape[1:])))
    for place, one in zip(places, values, strict=True):
        rows[place] = one
    return tuple(rows)


def with_bits(word: int, places: Sequence[int], bits: int) -> int:
    """Return a known number with some of its bits replaced."""
    for index, place in enumerate(places):
        word = word & ~(1 << place) | (bits >> index & 1) << place
    return word


__all__ = [
    "angle_of",
    "bits_of",
    "element_of",
    "index_list",
    "indexed",
    "positions",
    "range_of",
    "shifted",
    "with_bits",
    "with_element",
]
