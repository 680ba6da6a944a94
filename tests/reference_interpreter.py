"""What an OpenQASM 3 program means, from the standard's syntax tree alone: the exact joint distribution of its bits and outputs.

The tree is the package openqasm3's; nothing of qrt is imported, so that a mistake of ours cannot stand on both sides. The program is
executed as it is written, on a density matrix; a measurement whose outcome is open is taken both ways: the program is executed once for
each sequence of outcomes that is possible (`joint`). Resets split nothing: they are channels. Nothing is noisy, so delays, barriers and
boxes do nothing to a qubit; a clock per qubit is kept beside it, for programs without branches.

Expressions are in `reference_expressions`, values, casts and operators in `reference_values`, matrices in `reference_gates`. Bits that
nobody wrote are 0, as with us. Not here: pulses, complex numbers, stretch, durationof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from openqasm3 import ast

from tests.reference_expressions import Expressions, Leave
from tests.reference_gates import GATES, ROUNDING, Density, Matrix, controlled, embedded, power
from tests.reference_memory import Array, Cell, Entity, Qubits
from tests.reference_values import (
    BIT,
    BOOL,
    DURATION,
    FLOAT,
    INT,
    Type,
    Value,
    binary,
    radians,
)

STEPS_MAX = 200_000  # of one execution
Outcome = tuple[tuple[str, float], ...]  # (name, value) of bits, then of outputs
Distribution = dict[Outcome, float]


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


class Interpreter(Expressions):
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
        super().__init__(externs, sample_ns)
        self.program, self.inputs, self.choices = program, inputs, choices
        self.outputs: list[str] = []
        self.gates: dict[str, ast.QuantumGateDefinition] = {}
        self.steps = 0
        self.gates_ns = gates_ns or {}
        self.clock_ns: dict[int, Fraction] = {}
        self.begun: list[tuple[int, int, Fraction]] = []  # line, qubit and clock of each gate and measurement

    def run(self) -> Outcome:
        """Execute the program and return what it says."""
        try:
            self.block(self.program.statements)
        except Leave as leave:
            if leave.how != "end":
                raise
        said: list[tuple[str, float]] = [(name, self.memory[address]) for name, address in self.names]
        for name in self.outputs:
            entity = self.scopes[0][name]
            if isinstance(entity, Cell):
                said.append((name, radians(entity.value)))
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
        first = self.state.count
        self.state.grow(first + size)
        self.scopes[0][node.qubit.name] = Qubits(tuple(range(first, first + size)))

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
                self._begin(node, place, node.name.name)

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
            self._begin(node, place, "measure")
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
        value = (
            self.measure(one) if isinstance(one, ast.QuantumMeasurement) else None if one is None else self.value(one)
        )
        raise Leave("return", value)

    def define(self, node: Any) -> None:
        tables: dict[type, dict[str, Any]] = {
            ast.QuantumGateDefinition: self.gates,
            ast.SubroutineDefinition: self.subroutines,
            ast.ExternDeclaration: self.extern_types,
        }
        tables[type(node)][node.name.name] = node

    # ---- Clocks ------------------------------------------------------------------------------------------------------

    def _begin(self, node: ast.QASMNode, place: int, name: str) -> None:
        """Note where an operation begins, and let its qubit's clock go on."""
        line = 0 if node.span is None else node.span.start_line
        self.begun.append((line, place, self.clock_ns.get(place, Fraction(0))))
        self._take(place, self.gates_ns.get(name, 0))

    def _take(self, place: int, length_ns: Fraction | int) -> None:
        self.clock_ns[place] = self.clock_ns.get(place, Fraction(0)) + length_ns

    def _together(self, places: Sequence[int]) -> None:
        latest = max((self.clock_ns.get(place, Fraction(0)) for place in places), default=Fraction(0))
        self.clock_ns.update(dict.fromkeys(places, latest))

    def _named(self, nodes: Sequence[ast.QASMNode]) -> list[int]:
        return [place for node in nodes for place in self.qubits(node)] if nodes else list(range(self.state.count))

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


class Product(Density):
    """A unitary in the making: what stands for the state inside a gate definition."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.matrix = np.eye(2**count, dtype=complex)

    def apply(self, matrix: Matrix, places: Sequence[int]) -> None:
        """Multiply by one more unitary; a global phase has no places."""
        self.matrix = embedded(matrix, places, self.count) @ self.matrix


def _broadcast(operands: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the qubits of each single gate that a gate on registers means; of a global phase, none."""
    size = max((len(one) for one in operands), default=1)
    assert all(len(one) in {1, size} for one in operands), "registers of different sizes"
    return [tuple(one[k % len(one)] for one in operands) for k in range(size)]


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
