"""Assignments: to variables, to bits, to elements and parts of them, of values and of outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from openqasm3 import ast

from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.indices import index_list, positions, with_bits, with_element
from qrt.qasm.kinds import BIT, KNOWN, RUNTIME, Type, Typed, wrapped
from qrt.qasm.measure import bits, measure, measured
from qrt.qasm.operators import angle_of, angle_word
from qrt.qasm.runtime import word_of
from qrt.qasm.scope import BitRegister, Cell, Lost
from qrt.qasm.sequenced import WORD_BITS, compute
from qrt.qasm.values import cast, fitted, held, operate
from qrt.types import Bits, Source
from qrt.units import signed64


def assignment(run: Run, node: ast.ClassicalAssignment) -> Completion:
    """Set a variable, bits, an element; `+=` and its like read it before."""
    target = _place(node.lvalue)
    name = target.name if isinstance(target, ast.IndexedIdentifier) else target
    found = run.find(target, name.name, "variable", (Cell, BitRegister, Typed))
    if isinstance(found, Typed):
        raise run.refuse(node, f"{name.name!r} is a constant and cannot be set")
    operator = node.op.name
    if isinstance(found, BitRegister) and operator == "=":
        if isinstance(node.rvalue, ast.QuantumMeasurement):
            measure(run, node, node.rvalue, bits(run, target))
        else:
            set_bits(run, node, bits(run, target), node.rvalue)
        return None
    value = measured(run, node.rvalue) if isinstance(node.rvalue, ast.QuantumMeasurement) else run.value(node.rvalue)
    if operator != "=":
        value = operate(run, node, operator.removesuffix("="), _read(run, target), value)
    assign_value(run, node, target, value)
    return None


def measurement(run: Run, node: ast.QuantumMeasurementStatement) -> Completion:
    """Measure a qubit, or each of a register."""
    if node.target is None:
        measure(run, node, node.measure, None)
        return None
    target = _place(node.target)
    name = target.name if isinstance(target, ast.IndexedIdentifier) else target
    assert isinstance(name, ast.Identifier)
    if isinstance(run.scope.find(name.name), Cell):
        assign_value(run, node, target, measured(run, node.measure))
    else:
        measure(run, node, node.measure, bits(run, target))
    return None


def _place(target: Any) -> Any:
    """Return an element as text writes it; oqpy makes of it what text has in expressions alone."""
    if not isinstance(target, ast.IndexExpression):
        return target
    around = _place(target.collection)
    inside = [*around.indices, target.index] if isinstance(around, ast.IndexedIdentifier) else [target.index]
    place = ast.IndexedIdentifier(around.name if isinstance(around, ast.IndexedIdentifier) else around, inside)
    place.span = target.span
    return place


def _read(run: Run, node: ast.QASMNode) -> Typed:
    """Return what a target holds."""
    if isinstance(node, ast.IndexedIdentifier):
        expression: ast.Expression = node.name
        for index in node.indices:
            expression = ast.IndexExpression(expression, index)
            expression.span = node.span
        return run.value(expression)
    return run.value(node)


def assign_value(run: Run, node: ast.QASMNode, target: ast.QASMNode, value: Typed) -> None:
    """Set what a target names to a value."""
    source = run.source(node)
    if isinstance(target, ast.Identifier):
        found = run.find(target, target.name, "variable", (Cell, BitRegister))
        if isinstance(found, BitRegister):
            store_bits(run, node, found, value)
        else:
            run.store(found, fitted(run, node, value, found.type).value, source)
        return
    assert isinstance(target, ast.IndexedIdentifier)
    found = run.find(target, target.name.name, "variable", (Cell, BitRegister))
    if isinstance(found, BitRegister):
        store_bits(run, node, bits(run, target), value)
    elif found.type.of is not None:
        _set_element(run, node, found, [one for index in target.indices for one in index_list(run, node, index)], value)
    elif len(target.indices) == 1 and len(index_list(run, node, target.indices[0])) == 1:
        _set_bits_of(run, node, found, index_list(run, node, target.indices[0])[0], value)
    else:
        raise run.refuse(target, f"one index is needed for {found.name!r}, of type {found.type}")


def _set_element(run: Run, node: ast.QASMNode, cell: Cell, indices: Sequence[Any], value: Typed) -> None:
    if type(value.value) not in KNOWN:
        raise run.refuse(
            node,
            f"arrays are of what is known before the run; use variables for {cell.name!r}, or an if around constants",
        )
    run.hold(
        cell,
        with_element(run, node, cell.value, cell.type, indices, lambda type_: fitted(run, node, value, type_).value),
    )


def _set_bits_of(run: Run, node: ast.QASMNode, cell: Cell, index: Any, value: Typed) -> None:
    """Set bits of a number."""
    type_ = cell.type
    if type_.kind not in {"int", "uint", "angle", "bit"} or not type_.width:
        raise run.refuse(node, f"{cell.name!r} of type {type_} has no bits to set")
    places, single = positions(run, node, index, type_.width, f"{cell.name!r}, which has {type_.width} bits")
    new = cast(run, node, value, BIT if single else Type("bit", len(places)))
    now, source = held(run, node, cell), run.source(node)
    lift = WORD_BITS - type_.width if type_.kind == "angle" else 0
    if type(new.value) in KNOWN and type(now.value) in KNOWN:
        word = angle_word(now.value, type_.width) if lift or type_.kind == "angle" else now.value
        word = with_bits(word, places, new.value)
        run.store(cell, angle_of(word, type_.width) if type_.kind == "angle" else wrapped(word, type_), source)
        return
    mask = signed64(~sum(1 << place + lift for place in places))
    word = compute("&", word_of(now, source), mask)
    bit_word = word_of(as_lasting(run, new, source) if len(places) > 1 else new, source)
    for position, place in enumerate(places):
        bit = bit_word if single else compute("&", compute(">>", bit_word, position), 1)
        word = compute("+", word, compute("*", bit, signed64(1 << place + lift)))
    if type_.kind == "int" and type_.width < WORD_BITS and type_.width - 1 in places:  # the sign reaches up
        sign = 1 << type_.width - 1
        word = compute("-", compute("^", compute("&", word, (sign << 1) - 1), sign), sign)
    run.store(cell, word, source)


# ---- Bits --------------------------------------------------------------------------------------------------------------


def set_bits(run: Run, node: ast.QASMNode, register: BitRegister, expression: ast.Expression) -> None:
    """Give bits the value of an expression; a subroutine that ends with a measurement measures into them."""
    around, run.target = run.target, register if isinstance(expression, ast.FunctionCall) else None
    try:
        value = run.value(expression)
    finally:
        run.target = around
    if value.value is not DELIVERED:
        store_bits(run, expression, register, value)


DELIVERED = Lost("the outcomes are in their bits already")


def store_bits(run: Run, node: ast.QASMNode, register: BitRegister, value: Typed) -> None:
    """Give bits a value."""
    size = len(register.cells)
    if value.type.kind == "bit" and value.type.width != size:
        raise run.refuse(node, f"{value.type.width} bits for a register of {size}")
    literal = value.type.kind == "int" and not value.type.width
    if literal and wrapped(value.value, register.type) != value.value:
        allowed = '0, 1, true, false or "0", "1"' if size == 1 else f'0 to {(1 << size) - 1} or "{"0" * size}"'
        raise run.refuse(node, f"{value.value} for {size} bits; allowed: {allowed}")
    whole, source = cast(run, node, value, register.type), run.source(node)
    if type(whole.value) in KNOWN:
        for position, cell in enumerate(register.cells):
            run.store(cell, whole.value >> position & 1, source)
        return
    if whole.value == Bits(tuple(cell.bit for cell in register.cells if cell.bit is not None)):
        return
    if size > 1:
        whole = as_lasting(run, whole, source)  # a bit that is set may stand in the value of the next
    word = word_of(whole, source)
    for position, cell in enumerate(register.cells):
        run.store(cell, word if size == 1 else compute("&", compute(">>", word, position), 1), source)


def as_lasting(run: Run, value: Typed, source: Source) -> Typed:
    """Return a value that later statements do not change, in a variable of its own if it depends on bits."""
    if type(value.value) not in RUNTIME:
        return value
    cell = Cell("value", value.type, value.value, run.scope)
    run.store(cell, word_of(value, source), source)
    return Typed(value.type, cell.value)


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.ClassicalAssignment: assignment,
    ast.QuantumMeasurementStatement: measurement,
}
