"""What an OpenQASM 3 program means, from the standard's syntax tree alone: the exact joint distribution of its bits and outputs.

The tree is the package openqasm3's; nothing of qrt is imported, so that a mistake of ours cannot stand on both sides. The program is
executed as it is written, on a density matrix; a measurement whose outcome is open is taken both ways: the program is executed once for
each sequence of outcomes that is possible (`joint`). Resets split nothing: they are channels. Nothing is noisy, so delays, barriers and
boxes do nothing to a qubit; a clock per qubit is kept beside it for programs without branches (`Interpreter.clock_ns`).

Values, casts and operators are in `reference_values`, matrices in `reference_gates`. Bits that nobody wrote are 0, as with us. Not here:
pulses, complex numbers, stretch, durationof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from openqasm3 import ast

from tests.reference_gates import GATES, ROUNDING, Density, Matrix, controlled, embedded, power
from tests.reference_values import (
    BIT,
    BOOL,
    DURATION,
    FLOAT,
    FUNCTIONS,
    INT,
    UINT,
    Type,
    Value,
    binary,
    boolean,
    cast,
    radians,
    unary,
)

CONSTANTS = {"pi": np.pi, "π": np.pi, "tau": 2 * np.pi, "τ": 2 * np.pi, "euler": np.e, "ℇ": np.e}
SECONDS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)}
STEPS_MAX = 200_000  # of one execution
KINDS = {
    ast.BoolType: "bool",
    ast.BitType: "bit",
    ast.IntType: "int",
    ast.UintType: "uint",
    ast.FloatType: "float",
    ast.AngleType: "angle",
    ast.DurationType: "duration",
}

Distribution = dict[tuple[tuple[str, float], ...], float]


class Bits(NamedTuple):
    """Bits by their addresses; `bit[1] c` is sized, `bit c` is not."""

    addresses: tuple[int, ...]
    sized: bool


class Qubits(NamedTuple):
    """Qubits by their numbers."""

    numbers: tuple[int, ...]


class Cell:
    """A variable of a type that is no bit."""

    def __init__(self, value: Value) -> None:
        self.value = value


class Array(NamedTuple):
    """Numbers of one type; a slice of it is the same memory."""

    type: Type
    data: np.ndarray  # of objects


Entity = Bits | Qubits | Cell | Array


class Leave(Exception):  # noqa: N818 - no error
    """break, continue, end, or a return with its value."""

    def __init__(self, how: str, value: Value | None = None) -> None:
        self.how, self.value = how, value


class Choices:
    """The outcomes of one execution: those of `given`, then 0 wherever that is possible; `open` are other ways to begin."""

    def __init__(self, given: tuple[int, ...]) -> None:
        self.given, self.taken, self.probability = given, (), 1.0
        self.open: list[tuple[int, ...]] = []

    def choose(self, one: float) -> int:
        """Return the next outcome, where 1 has this probability."""
        if not ROUNDING < one < 1 - ROUNDING:
            return int(one > 0.5)
        index = len(self.taken)
        outcome = self.given[index] if index < len(self.given) else 0
        if index >= len(self.given):
            self.open.append((*self.taken, 1))
        self.taken = (*self.taken, outcome)
        self.probability *= one if outcome else 1 - one
        return outcome


def joint(
    program: ast.Program,
    inputs: Mapping[str, float] | None = None,
    externs: Mapping[str, Callable[..., float]] | None = None,
) -> Distribution:
    """Return the probability of everything that the program can say: (name, value) of its global bits, then of its outputs."""
    table: Distribution = {}
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        choices = Choices(waiting.pop())
        said = Interpreter(program, inputs or {}, choices, externs or {}).run()
        table[said] = table.get(said, 0.0) + choices.probability
        waiting += choices.open
    assert abs(sum(table.values()) - 1) < 1e-6, "probabilities"
    return table


class Interpreter:
    """One execution of a program."""

    def __init__(
        self,
        program: ast.Program,
        inputs: Mapping[str, float],
        choices: Choices,
        externs: Mapping[str, Callable[..., float]],
        gates_ns: Mapping[str, int] | None = None,
        sample_ns: int = 1,
    ) -> None:
        self.program, self.inputs, self.choices, self.externs = program, inputs, choices, externs
        self.memory: list[int] = []  # of bits, by address
        self.names: list[tuple[str, int]] = []  # of global bits
        self.outputs: list[str] = []
        self.scopes: list[dict[str, Entity]] = [{}]
        self.gates: dict[str, ast.QuantumGateDefinition] = {}
        self.subroutines: dict[str, ast.SubroutineDefinition] = {}
        self.extern_types: dict[str, ast.ExternDeclaration] = {}
        self.state = Density(_qubit_count(program))
        self.steps = 0
        self.gates_ns, self.sample_ns = gates_ns or {}, sample_ns
        self.clock_ns: dict[int, Fraction] = {}
        self._qubit_count = 0

    def run(self) -> tuple[tuple[str, float], ...]:
        """Execute the program and return what it says."""
        try:
            self.block(self.program.statements)
        except Leave as leave:
            assert leave.how == "end"
        said: list[tuple[str, float]] = [(name, self.memory[address]) for name, address in self.names]
        for name in self.outputs:
            entity = self.scopes[0][name]
            if isinstance(entity, Cell):
                data = entity.value.data
                said.append((name, radians(entity.value) if entity.value.type.kind == "angle" else float(data)))
        return tuple(said)

    # ---- Statements --------------------------------------------------------------------------------------------------

    def block(self, nodes: Sequence[ast.QASMNode]) -> None:
        """Execute statements in the present scope."""
        for node in nodes:
            self.steps += 1
            assert self.steps <= STEPS_MAX, "a loop without end"
            STATEMENTS[type(node)](self, node)

    def scoped(self, nodes: Sequence[ast.QASMNode]) -> None:
        """Execute statements in a scope of their own."""
        with self.scope({}):
            self.block(nodes)

    @contextmanager
    def scope(self, names: dict[str, Entity]) -> Iterator[None]:
        """Open a scope inside the present one."""
        self.scopes.append(names)
        try:
            yield
        finally:
            self.scopes.pop()

    def qubit_declaration(self, node: ast.QubitDeclaration) -> None:
        size = 1 if node.size is None else self.integer(node.size)
        numbers = tuple(range(self._qubit_count, self._qubit_count + size))
        self._qubit_count += size
        self.scopes[0][node.qubit.name] = Qubits(numbers)

    def declaration(self, node: ast.ClassicalDeclaration | ast.ConstantDeclaration) -> None:
        name, initial = node.identifier.name, node.init_expression
        if isinstance(node.type, ast.ArrayType):
            value: Any = None if initial is None else self.array(node.type, initial)
            self.scopes[-1][name] = self.new_array(node.type) if value is None else value
        elif isinstance(initial, ast.QuantumMeasurement):
            outcomes = self.measure(initial)
            self.declare(name, self.type(node.type), outcomes)
        else:
            self.declare(name, self.type(node.type), None if initial is None else self.value(initial))

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

    def io(self, node: ast.IODeclaration) -> None:
        name, type_ = node.identifier.name, self.type(node.type)
        if node.io_identifier is ast.IOKeyword.output:
            self.outputs.append(name)
            self.declare(name, type_, None)
            return
        number = self.inputs[name]
        kind = {"duration": DURATION, "bool": BOOL, "bit": Type("bit", type_.size)}.get(type_.kind)
        if kind is None:
            kind = INT if type_.kind in {"int", "uint"} else FLOAT
        data = Fraction(repr(number)) if kind == DURATION else number if kind == FLOAT else int(number)
        self.declare(name, type_, Value(kind, data))

    def alias(self, node: ast.AliasStatement) -> None:
        self.scopes[-1][node.target.name] = self.place(node.value)

    def assignment(self, node: ast.ClassicalAssignment) -> None:
        place = self.place(node.lvalue)
        if isinstance(place, Array):
            assert node.op.name == "="
            value = self.place(node.rvalue)
            assert isinstance(value, Array)
            place.data[...] = value.data.copy()
            return
        right = self.value(node.rvalue)
        sign = node.op.name.removesuffix("=")
        self.store(place, binary(sign, self.load(place), right) if sign else right)

    def gate(self, node: ast.QuantumGate) -> None:
        matrix = self.unitary(node)
        operands = [self.qubits(one) for one in node.qubits]
        for places in _broadcast(operands):
            self.state.apply(matrix, places)
            for place in places:
                self._take(place, self.gates_ns.get(node.name.name, 0))

    def global_phase(self, node: ast.QuantumPhase) -> None:
        matrix = self.modified(np.array([[np.exp(1j * radians(self.value(node.argument)))]]), node.modifiers)
        for places in _broadcast([self.qubits(one) for one in node.qubits]):
            self.state.apply(matrix, places)

    def measurement(self, node: ast.QuantumMeasurementStatement) -> None:
        value = self.measure(node.measure)
        if node.target is not None:
            self.store(self.place(node.target), value)

    def measure(self, node: ast.QuantumMeasurement) -> Value:
        """Return the outcomes of a qubit or a register, first to last."""
        data, places = 0, self.qubits(node.qubit)
        for index, place in enumerate(places):
            outcome = self.choices.choose(self.state.probability(place))
            self.state.project(place, outcome)
            data |= outcome << index
            self._take(place, self.gates_ns.get("measure", 0))
        return Value(BIT if len(places) == 1 else Type("bit", len(places)), data)

    def reset(self, node: ast.QuantumReset) -> None:
        for place in self.qubits(node.qubits):
            self.state.reset(place)

    def delay(self, node: ast.DelayInstruction) -> None:
        length = self.value(node.duration)
        places = self._named(node.qubits)
        self._together(places)
        for place in places:
            self._take(place, Fraction(length.data) * 10**9)

    def barrier(self, node: ast.QuantumBarrier) -> None:
        self._together(self._named(node.qubits))

    def box(self, node: ast.Box) -> None:
        self.scoped(node.body)

    def branch(self, node: ast.BranchingStatement) -> None:
        self.scoped(node.if_block if self.value(node.condition) else node.else_block)

    def for_loop(self, node: ast.ForInLoop) -> None:
        type_ = self.type(node.type)
        for one in self.items(node.set_declaration):
            with self.scope({}):
                self.declare(node.identifier.name, type_, one)
                if self.left(node.block) == "break":
                    return

    def while_loop(self, node: ast.WhileLoop) -> None:
        while self.value(node.while_condition):
            with self.scope({}):
                if self.left(node.block) == "break":
                    return

    def left(self, nodes: Sequence[ast.QASMNode]) -> str:
        """Execute the body of a loop and return how it was left: break, continue, or not at all."""
        try:
            self.block(nodes)
        except Leave as leave:
            if leave.how not in {"break", "continue"}:
                raise
            return leave.how
        return ""

    def switch(self, node: ast.SwitchStatement) -> None:
        target = self.value(node.target)
        for labels, body in node.cases:
            if any(binary("==", target, self.value(label)) for label in labels):
                self.scoped(body.statements)
                return
        if node.default is not None:
            self.scoped(node.default.statements)

    def leave(self, node: ast.QASMNode) -> None:
        raise Leave(type(node).__name__.removesuffix("Statement").lower())

    def give_back(self, node: ast.ReturnStatement) -> None:
        one = node.expression
        value = self.measure(one) if isinstance(one, ast.QuantumMeasurement) else None if one is None else self.value(one)
        raise Leave("return", value)

    def define(self, node: Any) -> None:
        tables: dict[type, dict[str, Any]] = {
            ast.QuantumGateDefinition: self.gates,
            ast.SubroutineDefinition: self.subroutines,
            ast.ExternDeclaration: self.extern_types,
        }
        tables[type(node)][node.name.name] = node

    # ---- Clocks ------------------------------------------------------------------------------------------------------

    def _take(self, place: int, length_ns: Fraction | int) -> None:
        self.clock_ns[place] = self.clock_ns.get(place, Fraction(0)) + length_ns

    def _together(self, places: Sequence[int]) -> None:
        latest = max((self.clock_ns.get(place, Fraction(0)) for place in places), default=Fraction(0))
        self.clock_ns.update(dict.fromkeys(places, latest))

    def _named(self, nodes: Sequence[ast.QASMNode]) -> list[int]:
        return [place for node in nodes for place in self.qubits(node)] if nodes else list(range(self._qubit_count))

    # ---- Gates -------------------------------------------------------------------------------------------------------

    def unitary(self, node: ast.QuantumGate) -> Matrix:
        """Return the matrix of a gate with its modifiers."""
        name, angles = node.name.name, [radians(self.value(one)) for one in node.arguments]
        if name in self.gates:
            matrix = self.defined(self.gates[name], angles)
        else:
            count, make = GATES[name]
            assert count == len(angles), name
            matrix = make(*angles)
        return self.modified(matrix, node.modifiers)

    def defined(self, gate: ast.QuantumGateDefinition, angles: Sequence[float]) -> Matrix:
        """Return the matrix of a gate definition: the product of its body."""
        names: dict[str, Entity] = {
            one.name: Cell(Value(FLOAT, angle)) for one, angle in zip(gate.arguments, angles, strict=True)
        }
        inner = {one.name: Qubits((k,)) for k, one in enumerate(gate.qubits)}
        count = len(inner)
        outer, self.scopes = self.scopes, [self.scopes[0], {**names, **inner}]
        outer_state, self.state = self.state, Product(count)
        outer_clock, self.clock_ns = self.clock_ns, {}
        try:
            self.block(gate.body)
            return self.state.matrix
        finally:
            self.scopes, self.state, self.clock_ns = outer, outer_state, outer_clock

    def modified(self, matrix: Matrix, modifiers: Sequence[ast.QuantumGateModifier]) -> Matrix:
        """Return a matrix with modifiers, of which the last comes first."""
        for modifier in reversed(modifiers):
            number = 1.0 if modifier.argument is None else float(self.value(modifier.argument).data)
            match modifier.modifier.name:
                case "inv":
                    matrix = matrix.conj().T
                case "pow":
                    matrix = power(matrix, number)
                case "ctrl" | "negctrl":
                    for _ in range(int(number)):
                        matrix = controlled(matrix, on=int(modifier.modifier.name == "ctrl"))
        return matrix

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
                return self.joined(self.place(left), self.place(right))
        return Cell(self.value(node))

    def joined(self, left: Entity, right: Entity) -> Entity:
        """Return two registers or arrays as one."""
        match left, right:
            case Bits(), Bits():
                return Bits(left.addresses + right.addresses, sized=True)
            case Qubits(), Qubits():
                return Qubits(left.numbers + right.numbers)
            case Array(), Array():
                return Array(left.type, np.concatenate([left.data, right.data]))
        raise AssertionError(f"{left} ++ {right}")

    def named(self, name: str) -> Entity:
        """Return what a name means here."""
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        if name.startswith("$"):
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
                return self.part(type_, data, index)
            case Cell(value=value):
                places, many = self.selected(index, value.type.bits)
                return Slice(value, entity, tuple(places), many=many)
        raise AssertionError

    def part(self, type_: Type, data: np.ndarray, index: Any) -> Entity:
        """Return an element of an array, or a part of it with its memory."""
        places = [self.selected([one], size) for one, size in zip(index, data.shape, strict=False)]
        if len(places) == data.ndim and not any(many for _, many in places):
            return Element(type_, data, tuple(chosen[0] for chosen, _ in places))
        view = data
        for axis in reversed(range(len(places))):
            chosen, many = places[axis]
            step = chosen[1] - chosen[0] if len(chosen) > 1 else 1
            stop = chosen[-1] + (1 if step > 0 else -1)
            where = slice(chosen[0], stop if stop >= 0 else None, step) if many else chosen[0]
            view = view[(slice(None),) * axis + (where,)]
        return Array(type_, view)

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
        size = getattr(node, "size", None)
        return Type(KINDS[type(node)], None if size is None else self.integer(size))

    def value(self, node: ast.QASMNode) -> Value:
        """Return the value of an expression."""
        match node:
            case ast.IntegerLiteral(value=data):
                return Value(INT, data)
            case ast.FloatLiteral(value=data):
                return Value(FLOAT, data)
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


class Slice(Cell):
    """Some bits of a number."""

    def __init__(self, whole: Value, owner: Cell, places: tuple[int, ...], *, many: bool) -> None:
        self.owner, self.places = owner, places
        data = sum((int(whole.data) >> place & 1) << k for k, place in enumerate(places))
        super().__init__(Value(Type("bit", len(places)) if many else BIT, data))

    def put(self, value: Value) -> None:
        """Change these bits of the number."""
        bits, whole = int(cast(value, self.value.type).data), int(self.owner.value.data)
        for k, place in enumerate(self.places):
            whole = whole & ~(1 << place) | (bits >> k & 1) << place
        new = cast(Value(Type("bit", self.owner.value.type.bits), whole), self.owner.value.type)
        if isinstance(self.owner, Element):
            self.owner.put(new)
        else:
            self.owner.value = new


class Element(Cell):
    """One number of an array."""

    def __init__(self, type_: Type, data: np.ndarray, place: tuple[int, ...]) -> None:
        self.data, self.where = data, place
        super().__init__(Value(type_, data[place]))

    def put(self, value: Value) -> None:
        """Change the number."""
        self.data[self.where] = cast(value, self.value.type).data


class Product(Density):
    """A unitary in the making: what stands for the state inside a gate definition."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.matrix = np.eye(2**count, dtype=complex)

    def apply(self, matrix: Matrix, places: Sequence[int]) -> None:
        """Multiply by one more unitary; a global phase has no places."""
        self.matrix = embedded(matrix, places, self.count) @ self.matrix


def _broadcast(operands: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the qubits of each single gate that a gate on registers means; of a global phase, none."""
    size = max((len(one) for one in operands), default=1)
    assert all(len(one) in {1, size} for one in operands), "registers of different sizes"
    return [tuple(one[k % len(one)] for one in operands) for k in range(size)]


def _qubit_count(program: ast.Program) -> int:
    """Return how many qubits a program needs: declared ones by their literal sizes, hardware ones by the largest."""
    seen = _Qubits(program)
    return seen.count


class _Qubits(Interpreter):
    """Executes declarations only, to count qubits before the state is made."""

    def __init__(self, program: ast.Program) -> None:
        self.scopes, self.memory, self.names, self._qubit_count = [{}], [], [], 0
        for node in program.statements:
            if isinstance(node, ast.QubitDeclaration):
                self.qubit_declaration(node)
            elif isinstance(node, ast.ConstantDeclaration):
                self.declaration(node)
        self.count = max(self._qubit_count, _largest(program) + 1)


def _largest(node: object) -> int:
    """Return the largest number of a hardware qubit in a tree, -1 where there is none."""
    if isinstance(node, ast.Identifier):
        return int(node.name[1:]) if node.name.startswith("$") else -1
    if isinstance(node, list | tuple):
        return max(map(_largest, node), default=-1)
    return max(map(_largest, vars(node).values()), default=-1) if isinstance(node, ast.QASMNode) else -1


def _nothing(interpreter: Interpreter, node: ast.QASMNode) -> None:
    """What has no meaning on its own."""


STATEMENTS: dict[type, Callable[[Interpreter, Any], None]] = {
    ast.Include: _nothing,
    ast.Pragma: _nothing,
    ast.QubitDeclaration: Interpreter.qubit_declaration,
    ast.ClassicalDeclaration: Interpreter.declaration,
    ast.ConstantDeclaration: Interpreter.declaration,
    ast.IODeclaration: Interpreter.io,
    ast.AliasStatement: Interpreter.alias,
    ast.ClassicalAssignment: Interpreter.assignment,
    ast.QuantumGate: Interpreter.gate,
    ast.QuantumPhase: Interpreter.global_phase,
    ast.QuantumMeasurementStatement: Interpreter.measurement,
    ast.QuantumReset: Interpreter.reset,
    ast.DelayInstruction: Interpreter.delay,
    ast.QuantumBarrier: Interpreter.barrier,
    ast.Box: Interpreter.box,
    ast.BranchingStatement: Interpreter.branch,
    ast.ForInLoop: Interpreter.for_loop,
    ast.WhileLoop: Interpreter.while_loop,
    ast.SwitchStatement: Interpreter.switch,
    ast.BreakStatement: Interpreter.leave,
    ast.ContinueStatement: Interpreter.leave,
    ast.EndStatement: Interpreter.leave,
    ast.ReturnStatement: Interpreter.give_back,
    ast.CompoundStatement: lambda self, node: self.scoped(node.statements),
    ast.ExpressionStatement: lambda self, node: self.value(node.expression),
    ast.QuantumGateDefinition: Interpreter.define,
    ast.SubroutineDefinition: Interpreter.define,
    ast.ExternDeclaration: Interpreter.define,
}
