"""The reference interpreter's expressions: names, indices, operators, casts and calls. Statements are in `reference_interpreter`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
from openqasm3 import ast

from tests.reference_gates import Density
from tests.reference_memory import Array, Bits, Cell, Element, Entity, Qubits, Slice, joined, part
from tests.reference_values import (
    BIT,
    DURATION,
    FLOAT,
    FUNCTIONS,
    INT,
    MACHINE_BITS,
    UINT,
    Type,
    Value,
    binary,
    boolean,
    cast,
    unary,
)

CONSTANTS = {"pi": np.pi, "π": np.pi, "tau": 2 * np.pi, "τ": 2 * np.pi, "euler": np.e, "ℇ": np.e}
SECONDS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)}
KINDS = {
    ast.BoolType: "bool",
    ast.BitType: "bit",
    ast.IntType: "int",
    ast.UintType: "uint",
    ast.FloatType: "float",
    ast.AngleType: "angle",
    ast.DurationType: "duration",
}


class Leave(Exception):  # noqa: N818 - no error
    """break, continue, end, or a return with its value."""

    def __init__(self, how: str, value: Value | None = None) -> None:
        self.how, self.value = how, value


class Expressions:
    """Evaluates expressions in the scopes of a program that is being executed."""

    def __init__(self, externs: Mapping[str, Callable[..., float]], sample_ns: int) -> None:
        self.scopes: list[dict[str, Entity]] = [{}]
        self.memory: list[int] = []  # of bits, by address
        self.names: list[tuple[str, int]] = []  # of global bits
        self.subroutines: dict[str, ast.SubroutineDefinition] = {}
        self.externs, self.extern_types = externs, dict[str, ast.ExternDeclaration]()
        self.state = Density()
        self.sample_ns = sample_ns

    def block(self, nodes: Sequence[ast.QASMNode]) -> None:
        """Execute statements: of a subroutine that is called."""
        raise NotImplementedError

    def declare(self, name: str, type_: Type, value: Value | None) -> Entity:
        """Make a variable."""
        entity: Entity
        if type_.kind == "bit":
            first = len(self.memory)
            self.memory += [0] * type_.bits
            entity = Bits(tuple(range(first, first + type_.bits)), sized=type_.size is not None)
            if len(self.scopes) == 1:
                self.names += [(f"{name}[{k}]" if type_.size else name, first + k) for k in range(type_.bits)]
        else:
            zero = Value(type_, 0.0 if type_.kind == "float" else Fraction(0) if type_ == DURATION else 0)
            entity = Cell(zero)
        self.scopes[-1][name] = entity
        if value is not None:
            self.store(entity, value)
        return entity

    # ---- Places ------------------------------------------------------------------------------------------------------

    def place(self, node: ast.QASMNode) -> Entity:
        """Return what an operand names."""
        match node:
            case ast.Identifier(name=name):
                return self.named(name)
            case ast.IndexedIdentifier(name=name, indices=indices):
                return reduce(self.element, indices, self.named(name.name))
            case ast.IndexExpression(collection=collection, index=index):
                return self.element(self.place(collection), index)
            case ast.Concatenation(lhs=left, rhs=right):
                return joined(self.place(left), self.place(right))
        return Cell(self.value(node))

    def named(self, name: str) -> Entity:
        """Return what a name means here."""
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        if name.startswith("$"):
            self.state.grow(int(name[1:]) + 1)
            return Qubits((int(name[1:]),))
        if name in CONSTANTS:
            return Cell(Value(FLOAT, CONSTANTS[name]))
        raise KeyError(name)

    def element(self, entity: Entity, index: Any) -> Entity:
        """Return what an index selects of a register, an array or the bits of a number."""
        match entity:
            case Bits(addresses=addresses):
                places, many = self.selected(index, len(addresses))
                return Bits(tuple(addresses[k] for k in places), sized=many)
            case Qubits(numbers=numbers):
                return Qubits(tuple(numbers[k] for k in self.selected(index, len(numbers))[0]))
            case Array(type=type_, data=data):
                return part(
                    type_, data, [self.selected([one], size) for one, size in zip(index, data.shape, strict=False)]
                )
            case Cell(value=value):
                places, many = self.selected(index, value.type.bits)
                return Slice(value, entity, tuple(places), many=many)
        raise AssertionError

    def selected(self, index: Any, size: int) -> tuple[list[int], bool]:
        """Return the places that an index set selects, and whether it is a set rather than one place."""
        if isinstance(index, ast.DiscreteSet):
            return [self.integer(one) % size for one in index.values], True
        [one] = index
        if not isinstance(one, ast.RangeDefinition):
            place = self.integer(one)
            assert -size <= place < size, f"index {place} of {size}"
            return [place % size], False
        step = 1 if one.step is None else self.integer(one.step)
        start = (0 if step > 0 else size - 1) if one.start is None else self.integer(one.start)
        end = (size - 1 if step > 0 else 0) if one.end is None else self.integer(one.end)
        start, end = (start % size if start < 0 else start), (end % size if end < 0 else end)
        return list(range(start, end + (1 if step > 0 else -1), step)), True

    def qubits(self, node: ast.QASMNode) -> tuple[int, ...]:
        """Return the qubits that an operand names."""
        entity = self.place(node)
        assert isinstance(entity, Qubits), node
        return entity.numbers

    def load(self, entity: Entity) -> Value:
        """Return what a place holds."""
        match entity:
            case Bits(addresses=addresses, sized=sized):
                data = sum(self.memory[address] << k for k, address in enumerate(addresses))
                return Value(Type("bit", len(addresses)) if sized else BIT, data)
            case Cell():
                return entity.value
        raise AssertionError(f"{entity} has no value")

    def store(self, entity: Entity, value: Value) -> None:
        """Put a value into a place, as its type."""
        match entity:
            case Bits(addresses=addresses, sized=sized):
                data = int(cast(value, Type("bit", len(addresses)) if sized else BIT).data)
                for k, address in enumerate(addresses):
                    self.memory[address] = data >> k & 1
            case Slice() | Element():
                entity.put(value)
            case Cell():
                entity.value = cast(value, entity.value.type)
            case _:
                raise AssertionError(f"{entity} takes no value")

    # ---- Expressions -------------------------------------------------------------------------------------------------

    def integer(self, node: ast.QASMNode) -> int:
        """Return a whole number."""
        return int(self.value(node).data)

    def type(self, node: ast.ClassicalType) -> Type:
        """Return a type with its size."""
        kind, size = KINDS[type(node)], getattr(node, "size", None)
        if size is None:
            return Type(kind, MACHINE_BITS if kind in {"int", "uint"} else None)
        return Type(kind, self.integer(size))

    def value(self, node: ast.QASMNode) -> Value:
        """Return the value of an expression."""
        match node:
            case ast.IntegerLiteral(value=data):
                return Value(INT, data)
            case ast.FloatLiteral(value=data):
                return Value(FLOAT, Fraction(repr(data)))
            case ast.BooleanLiteral(value=data):
                return boolean(data)
            case ast.BitstringLiteral(value=data, width=width):
                return Value(Type("bit", width), data)
            case ast.DurationLiteral(value=data, unit=unit):
                scale = SECONDS.get(unit.name, Fraction(self.sample_ns, 10**9))
                return Value(DURATION, Fraction(repr(data)) * scale)
            case ast.UnaryExpression(op=op, expression=inner):
                return unary(op.name, self.value(inner))
            case ast.BinaryExpression(op=op, lhs=left, rhs=right):
                return self.binary(op.name, left, right)
            case ast.Cast(type=type_, argument=argument):
                return cast(self.value(argument), self.type(type_))
            case ast.FunctionCall(name=name, arguments=arguments):
                return self.call(name.name, arguments)
            case ast.SizeOf(target=target, index=index):
                array = self.place(target)
                assert isinstance(array, Array)
                return Value(UINT, array.data.shape[0 if index is None else self.integer(index)])
        return self.load(self.place(node))

    def binary(self, sign: str, left: ast.Expression, right: ast.Expression) -> Value:
        """Return left sign right; the right side of && and || only where it matters."""
        first = self.value(left)
        if sign in {"&&", "||"}:
            return boolean(first) if bool(first) is (sign == "||") else boolean(self.value(right))
        return binary(sign, first, self.value(right))

    def items(self, node: ast.QASMNode) -> list[Value]:
        """Return what a for loop goes through."""
        if isinstance(node, ast.DiscreteSet):
            return [self.value(one) for one in node.values]
        if isinstance(node, ast.RangeDefinition):
            step = 1 if node.step is None else self.integer(node.step)
            start, end = self.integer(node.start), self.integer(node.end)
            return [Value(INT, k) for k in range(start, end + (1 if step > 0 else -1), step)]
        place = self.place(node)
        if isinstance(place, Array):
            return [Value(place.type, one) for one in place.data]
        assert isinstance(place, Bits)
        return [Value(BIT, self.memory[address]) for address in place.addresses]

    def call(self, name: str, arguments: Sequence[ast.Expression]) -> Value:
        """Return what a function, an extern or a subroutine gives; of one without a result, false."""
        if name in self.extern_types:
            declared = self.extern_types[name]
            types = [self.type(one.type) for one in declared.arguments]
            values = [cast(self.value(one), to).data for one, to in zip(arguments, types, strict=True)]
            result = self.externs[name](*values)
            to = self.type(declared.return_type)
            return cast(Value(FLOAT if isinstance(result, float) else INT, result), to)
        if name not in self.subroutines:
            return FUNCTIONS[name](*(self.value(one) for one in arguments))
        subroutine = self.subroutines[name]
        inner: dict[str, Entity] = {}
        values: list[tuple[str, Type, Value]] = []
        for one, argument in zip(subroutine.arguments, arguments, strict=True):
            if isinstance(one, ast.QuantumArgument) or isinstance(one.type, ast.ArrayReferenceType):
                inner[one.name.name] = self.place(argument)
            else:
                values.append((one.name.name, self.type(one.type), self.value(argument)))
        outer, self.scopes = self.scopes, [self.scopes[0], inner]
        try:
            for local, type_, value in values:
                self.declare(local, type_, value)
            self.block(subroutine.body)
        except Leave as leave:
            if leave.how != "return":
                raise
            if leave.value is not None:
                return cast(leave.value, self.type(subroutine.return_type))
        finally:
            self.scopes = outer
        return boolean(False)

    def array(self, node: ast.ArrayType, initial: ast.QASMNode) -> Array:
        """Return a new array with its first values."""
        made = self.new_array(node)
        if isinstance(initial, ast.ArrayLiteral):
            self._fill(made, initial)
        else:
            other = self.place(initial)
            assert isinstance(other, Array)
            made.data[...] = other.data.copy()
        return made

    def new_array(self, node: ast.ArrayType) -> Array:
        """Return an array of zeros."""
        shape = tuple(self.integer(one) for one in node.dimensions)
        return Array(self.type(node.base_type), np.zeros(shape, object))

    def _fill(self, array: Array, literal: ast.ArrayLiteral) -> None:
        for k, one in enumerate(literal.values):
            if isinstance(one, ast.ArrayLiteral):
                self._fill(Array(array.type, array.data[k]), one)
            elif array.data.ndim > 1:
                row = self.place(one)
                assert isinstance(row, Array)
                array.data[k] = row.data
            else:
                array.data[k] = cast(self.value(one), array.type).data
