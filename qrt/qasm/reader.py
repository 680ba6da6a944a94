"""From the standard's syntax tree to a `Program`, or a located error that names what is supported.

One method per kind of statement, chosen from a table; a kind that is not in the table is refused with its name in the language.
Names live in one scope, the program's: declarations inside a branch are refused, so that a name means one thing. Nothing is
executed and nothing is guessed: an index is a constant within its register, a condition is made of bits and constants.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, cast

from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm.conditions import Condition, read_condition
from qrt.qasm.expressions import (
    ARITHMETIC,
    Binary,
    Duration,
    Exact,
    Expression,
    Literal,
    Name,
    Negative,
    Value,
    evaluate,
    is_duration,
    names,
)
from qrt.qasm.grammar import syntax_tree
from qrt.qasm.program import Barrier, Branch, Delay, Gate, Initial, Input, Measurement, Program, Reset, Statement
from qrt.types import Source

GATES = {"x": 0, "sx": 0, "rx": 1, "ry": 1, "rz": 1, "h": 0, "id": 0}  # name -> how many angles
INPUT_KINDS = {
    ast.IntType: "int",
    ast.UintType: "uint",
    ast.FloatType: "float",
    ast.AngleType: "angle",
    ast.DurationType: "duration",
}
SUPPORTED = f"qubit, bit, input {'|'.join(INPUT_KINDS.values())}, the gates {' '.join(GATES)}, measure, reset, delay, barrier, if on bits"
CONSTANTS = {"pi": Exact(Fraction(0), Fraction(1)), "tau": Exact(Fraction(0), Fraction(2))}
CONSTANTS |= {"\N{GREEK SMALL LETTER PI}": CONSTANTS["pi"], "\N{GREEK SMALL LETTER TAU}": CONSTANTS["tau"]}
SECONDS = {"ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "ms": Fraction(1, 1000), "s": Fraction(1)}
QUBITS_MAX = 64  # far beyond any lab; stops `qubit[1000000000] q;`

# What a refused construct is called in the language.
CONSTRUCTS: dict[type, str] = {
    ast.AliasStatement: "let",
    ast.Annotation: "annotation",
    ast.Box: "box",
    ast.BreakStatement: "break",
    ast.CalibrationDefinition: "defcal",
    ast.CalibrationGrammarDeclaration: "defcalgrammar",
    ast.CalibrationStatement: "cal",
    ast.ClassicalAssignment: "assignment",
    ast.CompoundStatement: "a block on its own",
    ast.ConstantDeclaration: "const",
    ast.ContinueStatement: "continue",
    ast.EndStatement: "end",
    ast.ExpressionStatement: "an expression as a statement",
    ast.ExternDeclaration: "extern",
    ast.ForInLoop: "for",
    ast.Pragma: "pragma",
    ast.QuantumGateDefinition: "a gate definition",
    ast.QuantumPhase: "gphase",
    ast.ReturnStatement: "return",
    ast.SubroutineDefinition: "def",
    ast.SwitchStatement: "switch",
    ast.WhileLoop: "while",
}

Register = tuple[int, int, bool]  # first index, size, declared with a size


def parse_program(text: str, path: str) -> Program:
    """Return the program in OpenQASM 3 text. Raises ProgramError `path:line:column: ...` at the first thing it cannot take."""
    tree = syntax_tree(text, path)
    reader = Reader(text, path)
    if tree.version is not None and tree.version.split(".")[0] != "3":
        raise reader.refuse_version(tree.version)
    statements = reader.block(tree.statements)
    if not reader.qubit_names:
        raise ProgramError(f"{path}:1:1: the program has no qubit; declare one: qubit q;")
    inputs = tuple(reader.inputs.values())
    return Program(path, text, tuple(reader.qubit_names), tuple(reader.bit_names), inputs, statements)


class Reader:
    """Holds the names declared so far, and turns statements into the lab's."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.splitlines()
        self._path = path
        self._qubits: dict[str, Register] = {}
        self._bits: dict[str, Register] = {}
        self._depth = 0
        self.qubit_names: list[str] = []
        self.bit_names: list[str] = []
        self.inputs: dict[str, Input] = {}

    def source(self, node: ast.QASMNode) -> Source:
        """Return where a node of the syntax tree stands."""
        if node.span is None:
            return Source(1, 1, "", self._path)
        line = node.span.start_line
        return Source(line, node.span.start_column + 1, self._lines[line - 1].strip(), self._path)

    def refuse(self, node: ast.QASMNode, message: str) -> ProgramError:
        """Return the error that `message` is about a node."""
        source = self.source(node)
        return ProgramError(f"{source.where}{message}\n    {source.text}")

    def refuse_version(self, version: str) -> ProgramError:
        """Return the error that the program is of another OpenQASM; the parser keeps no place of that statement, so it is looked for."""
        begins = (k for k, line in enumerate(self._lines, 1) if line.lstrip().startswith("OPENQASM"))
        line = next(begins, 1)
        column = self._lines[line - 1].find("OPENQASM") + 1 or 1
        source = Source(line, column, self._lines[line - 1].strip(), self._path)
        return ProgramError(f"{source.where}this is OpenQASM {version}; supported: OPENQASM 3\n    {source.text}")

    def unsupported(self, node: ast.QASMNode, construct: str) -> ProgramError:
        """Return the error that a construct of the language is beyond this lab."""
        return self.refuse(node, f"{construct} is not supported; supported: {SUPPORTED}")

    def block(self, nodes: Sequence[ast.Statement | ast.Pragma]) -> tuple[Statement, ...]:
        """Return the statements of a block, in order."""
        statements: list[Statement] = []
        for node in nodes:
            if getattr(node, "annotations", None):
                raise self.unsupported(node, "annotation")
            read = READERS.get(type(node))
            if read is None:
                raise self.unsupported(node, CONSTRUCTS.get(type(node), type(node).__name__))
            statements += read(self, node)
        return tuple(statements)

    # ---- Declarations ------------------------------------------------------------------------------------------------

    def include(self, node: ast.Include) -> list[Statement]:
        """Take the standard's own gate file: its gates are built in."""
        if node.filename != "stdgates.inc":
            raise self.refuse(node, f'include "{node.filename}" is not supported; supported: include "stdgates.inc"')
        return []

    def qubit_declaration(self, node: ast.QubitDeclaration) -> list[Statement]:
        """Declare a qubit or a register of them."""
        if any(name.startswith("$") for name in self.qubit_names):
            raise self.refuse(node, "declared qubits and hardware qubits ($0, ...) in one program; use one of the two")
        self._declare(node, node.qubit.name, node.size, self._qubits, self.qubit_names)
        return []

    def input_declaration(self, node: ast.IODeclaration) -> list[Statement]:
        """Declare an input."""
        if node.io_identifier is not ast.IOKeyword.input:
            raise self.unsupported(node, "output")
        kind = INPUT_KINDS.get(type(node.type))
        if kind is None:
            name = type(node.type).__name__.removesuffix("Type").lower()
            raise self.refuse(
                node, f"an input of type {name} is not supported; supported: {', '.join(INPUT_KINDS.values())}"
            )
        name = node.identifier.name
        self._free(node, name)
        self.inputs[name] = Input(name, cast("Any", kind), self.source(node))
        return []

    def classical_declaration(self, node: ast.ClassicalDeclaration) -> list[Statement]:
        """Declare a bit or a register of them, with its initial value or measurement."""
        if not isinstance(node.type, ast.BitType):
            name = type(node.type).__name__.removesuffix("Type").lower()
            raise self.unsupported(node, f"a variable of type {name}")
        name = node.identifier.name
        self._declare(node, name, node.type.size, self._bits, self.bit_names)
        first, size, _ = self._bits[name]
        initial = node.init_expression
        if initial is None:
            return []
        if isinstance(initial, ast.QuantumMeasurement):
            return self._measure(node, initial, list(range(first, first + size)))
        value = self._initial(node, initial, size)
        return [Initial(first + index, self.source(node)) for index in range(size) if value >> index & 1]

    def _initial(self, node: ast.Statement, initial: ast.QASMNode, size: int) -> int:
        """Return the initial value of a register of bits."""
        match initial:
            case ast.BitstringLiteral(value=value, width=width) if width == size:
                return int(value)
            case ast.BitstringLiteral(width=width):
                raise self.refuse(node, f"{width} initial bits for a register of {size}")
            case ast.IntegerLiteral(value=value) if size == 1 and value in {0, 1}:
                return int(value)
            case ast.BooleanLiteral(value=value) if size == 1:
                return int(value)
        allowed = '0, 1, true, false or "0", "1"' if size == 1 else f'a string of {size} bits such as "{"0" * size}"'
        raise self.refuse(node, f"bits begin with a constant; allowed: {allowed}, or a measurement")

    def _free(self, node: ast.Statement, name: str) -> None:
        """Refuse a name that is taken, and declarations inside a branch."""
        if self._depth:
            raise self.refuse(node, f"{name!r} is declared inside a branch; declare it at the top of the program")
        if name in self._qubits or name in self._bits or name in self.inputs or name in CONSTANTS:
            raise self.refuse(node, f"{name!r} is declared already")

    def _declare(
        self, node: ast.Statement, name: str, size: ast.Expression | None, table: dict[str, Register], listed: list[str]
    ) -> None:
        """Add a register to a table and its elements to the list of names."""
        self._free(node, name)
        count = 1 if size is None else self.integer(size)
        if not 1 <= count <= QUBITS_MAX:
            raise self.refuse(node, f"{name!r} has {count} elements; allowed: 1 to {QUBITS_MAX}")
        table[name] = (len(listed), count, size is not None)
        listed += [name] if size is None else [f"{name}[{index}]" for index in range(count)]

    # ---- Operations --------------------------------------------------------------------------------------------------

    def gate(self, node: ast.QuantumGate) -> list[Statement]:
        """Apply a gate to a qubit, or to each of a register."""
        name = node.name.name
        if name not in GATES:
            near = difflib.get_close_matches(name, GATES, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise self.refuse(node, f"gate {name!r} is not supported; {hint}supported gates: {', '.join(GATES)}")
        if node.modifiers:
            raise self.unsupported(node, f"the modifier {node.modifiers[0].modifier.name}")
        if node.duration is not None:
            raise self.unsupported(node, "a gate with a duration")
        if len(node.arguments) != GATES[name]:
            raise self.refuse(node, f"{name} takes {GATES[name]} angles, not {len(node.arguments)}")
        if len(node.qubits) != 1:
            raise self.refuse(node, f"{name} acts on one qubit, not {len(node.qubits)}")
        angle = self.number(node.arguments[0]) if node.arguments else None
        return [Gate(cast("Any", name), qubit, angle, self.source(node)) for qubit in self.qubits(node.qubits[0])]

    def measurement(self, node: ast.QuantumMeasurementStatement) -> list[Statement]:
        """Measure a qubit, or each of a register."""
        return self._measure(node, node.measure, None if node.target is None else self.bits(node.target))

    def _measure(self, node: ast.Statement, measure: ast.QuantumMeasurement, bits: list[int] | None) -> list[Statement]:
        """Pair qubits with bits."""
        qubits = self.qubits(measure.qubit)
        if bits is not None and len(bits) != len(qubits):
            raise self.refuse(node, f"{len(qubits)} qubits are measured into {len(bits)} bits")
        targets = bits if bits is not None else [None] * len(qubits)
        return [Measurement(qubit, bit, self.source(node)) for qubit, bit in zip(qubits, targets, strict=True)]

    def reset(self, node: ast.QuantumReset) -> list[Statement]:
        """Reset a qubit, or each of a register."""
        return [Reset(qubit, self.source(node)) for qubit in self.qubits(node.qubits)]

    def delay(self, node: ast.DelayInstruction) -> list[Statement]:
        """Wait on the named qubits, on all where none is named."""
        return [Delay(self._operands(node, node.qubits), self.duration(node.duration), self.source(node))]

    def barrier(self, node: ast.QuantumBarrier) -> list[Statement]:
        """Hold the named qubits together, all where none is named."""
        return [Barrier(self._operands(node, node.qubits), self.source(node))]

    def branch(self, node: ast.BranchingStatement) -> list[Statement]:
        """Branch on bits."""
        condition: Condition = read_condition(self, node.condition)
        self._depth += 1
        then, otherwise = self.block(node.if_block), self.block(node.else_block)
        self._depth -= 1
        if condition.inverted:
            then, otherwise = otherwise, then
        return [Branch(condition.bits, condition.value, then, otherwise, self.source(node))]

    # ---- Operands ----------------------------------------------------------------------------------------------------

    def _operands(self, node: ast.Statement, operands: Sequence[ast.QASMNode]) -> tuple[int, ...]:
        """Return the qubits of a statement that takes several, each once; all declared ones where it names none."""
        if not operands:
            if any(name.startswith("$") for name in self.qubit_names) or not self.qubit_names:
                raise self.refuse(
                    node, "name the qubits: a statement without them means all declared ones, and there are none"
                )
            return tuple(range(len(self.qubit_names)))
        qubits = [qubit for operand in operands for qubit in self.qubits(operand)]
        return tuple(dict.fromkeys(qubits))

    def qubits(self, node: ast.QASMNode) -> list[int]:
        """Return the indices of the qubits that an operand names."""
        if isinstance(node, ast.Identifier) and node.name.startswith("$"):
            if self._qubits:
                raise self.refuse(
                    node, "declared qubits and hardware qubits ($0, ...) in one program; use one of the two"
                )
            if node.name not in self.qubit_names:
                self.qubit_names.append(node.name)
            return [self.qubit_names.index(node.name)]
        return self._elements(node, self._qubits, "qubit")

    def bits(self, node: ast.QASMNode) -> list[int]:
        """Return the indices of the bits that an operand names."""
        return self._elements(node, self._bits, "bit")

    def _elements(self, node: ast.QASMNode, table: dict[str, Register], kind: str) -> list[int]:
        """Return the indices that `c`, `c[1]` name."""
        match node:
            case ast.Identifier(name=name):
                first, size, _ = self._register(node, name, table, kind)
                return list(range(first, first + size))
            case (
                ast.IndexedIdentifier(name=ast.Identifier(name=name), indices=[[index]])
                | ast.IndexExpression(collection=ast.Identifier(name=name), index=[index])
            ) if isinstance(index, ast.Expression):
                first, size, sized = self._register(node, name, table, kind)
                position = self.integer(index)
                if not sized:
                    raise self.refuse(node, f"{name!r} is one {kind} and takes no index")
                if not -size <= position < size:
                    raise self.refuse(
                        node, f"index {position} is outside {name!r}, which has {size} {kind}s: 0 to {size - 1}"
                    )
                return [first + position % size]
        raise self.refuse(node, f"only a {kind}, a register, or one element of it such as c[0] is supported here")

    def _register(self, node: ast.QASMNode, name: str, table: dict[str, Register], kind: str) -> Register:
        """Return a declared register. Raises ProgramError with the nearest declared name."""
        if name in table:
            return table[name]
        near = difflib.get_close_matches(name, table, 1)
        hint = f"did you mean {near[0]}?" if near else f"declared: {', '.join(table) or 'none'}"
        raise self.refuse(node, f"{name!r} is no declared {kind}; {hint}")

    # ---- Expressions -------------------------------------------------------------------------------------------------

    def integer(self, node: ast.QASMNode) -> int:
        """Return a constant whole number, such as an index."""
        match self.number(node):
            case Literal(value=Exact(rational=rational, pi=0)) if rational.denominator == 1:
                return int(rational)
        raise self.refuse(node, "a constant whole number is needed here")

    def constant(self, node: ast.QASMNode) -> Value:
        """Return the value of an expression without inputs, a number or a duration."""
        expression = self._expression(node)
        is_duration(expression)
        return evaluate(expression, {})

    def number(self, node: ast.QASMNode) -> Expression:
        """Return an expression whose value is a number."""
        return self._of_kind(node, "a number, not a duration", duration=False)

    def duration(self, node: ast.QASMNode) -> Expression:
        """Return an expression whose value is a duration."""
        return self._of_kind(node, "a duration: a number with ns, us, ms, s or dt", duration=True)

    def _of_kind(self, node: ast.QASMNode, needed: str, *, duration: bool) -> Expression:
        """Return an expression, evaluated once already if it is constant, so that its errors come at once."""
        expression = self._expression(node)
        if is_duration(expression) is not duration:
            raise self.refuse(node, f"what is needed here is {needed}")
        if not any(names(expression)):
            return Literal(evaluate(expression, {}), self.source(node))
        return expression

    def _expression(self, node: ast.QASMNode) -> Expression:
        """Return the tree of a constant expression with the program's inputs as leaves."""
        source = self.source(node)
        match node:
            case ast.IntegerLiteral(value=value):
                return Literal(Exact(Fraction(value)), source)
            case ast.FloatLiteral(value=value) if math.isfinite(value):
                return Literal(Exact(Fraction(repr(value))), source)
            case ast.DurationLiteral(value=value, unit=unit) if math.isfinite(value):
                amount = Fraction(repr(value))
                seconds = SECONDS.get(unit.name)
                return Literal(Duration(Fraction(0), amount) if seconds is None else Duration(amount * seconds), source)
            case ast.Identifier(name=name) if name in CONSTANTS:
                return Literal(CONSTANTS[name], source)
            case ast.Identifier(name=name) if name in self.inputs:
                return Name(name, source, self.inputs[name].kind == "duration")
            case ast.Identifier(name=name):
                allowed = [*self.inputs, "pi", "tau"]
                near = difflib.get_close_matches(name, allowed, 1)
                hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
                raise self.refuse(node, f"{name!r} is no constant and no input; {hint}")
            case ast.UnaryExpression(op=op, expression=inner) if op.name == "-":
                return Negative(self._expression(inner), source)
            case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name in ARITHMETIC:
                return Binary(op.name, self._expression(left), self._expression(right), source)
        operators = " ".join(ARITHMETIC)
        raise self.refuse(
            node, f"only numbers, durations, pi, tau, inputs and {operators} are supported in an expression"
        )


READERS: dict[type, Callable[[Reader, Any], list[Statement]]] = {
    ast.Include: Reader.include,
    ast.QubitDeclaration: Reader.qubit_declaration,
    ast.IODeclaration: Reader.input_declaration,
    ast.ClassicalDeclaration: Reader.classical_declaration,
    ast.QuantumGate: Reader.gate,
    ast.QuantumMeasurementStatement: Reader.measurement,
    ast.QuantumReset: Reader.reset,
    ast.DelayInstruction: Reader.delay,
    ast.QuantumBarrier: Reader.barrier,
    ast.BranchingStatement: Reader.branch,
}
