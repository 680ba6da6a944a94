"""Declarations: qubits, bits, variables, constants, inputs, outputs, aliases."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, cast

from openqasm3 import ast

from qrt.qasm import stretches
from qrt.qasm.assignment import set_bits
from qrt.qasm.casts import cast_known
from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.expressions import Duration, Exact, Name
from qrt.qasm.indices import indexed
from qrt.qasm.kinds import RUNTIME, Type, Typed, wrapped
from qrt.qasm.measure import measure, measured
from qrt.qasm.program import Output
from qrt.qasm.quantum import check_present
from qrt.qasm.scope import BitRegister, Cell, Lost, Qubits
from qrt.qasm.sequenced import WORD_BITS
from qrt.qasm.values import CONSTANTS, fitted, located, reason
from qrt.qasm.values import cast as cast_value
from qrt.qasm.words import a
from qrt.qasm.written import type_of

QUBITS_MAX: Final = 64  # far beyond any lab; stops `qubit[1000000000] q;`
INCLUDED: Final = ("stdgates.inc",)
GRAMMAR: Final = "openpulse"
ZEROS: Final[dict[str, Any]] = {
    **dict.fromkeys(("bool", "bit", "int", "uint"), 0),
    **dict.fromkeys(("float", "angle"), Exact(Fraction(0))),
    "complex": 0j,
    "duration": Duration(Fraction(0)),
}
OUTPUT_KINDS: Final = frozenset({"bool", "int", "uint", "angle", "duration", "float"})


def include(run: Run, node: ast.Include) -> Completion:
    """Take the standard's own gate file: its gates are built in."""
    if node.filename not in INCLUDED:
        raise run.refuse(node, f'include "{node.filename}" is not supported; supported: include "stdgates.inc"')
    return None


def free(run: Run, node: ast.QASMNode, name: str) -> None:
    """Refuse a name that is taken in this block."""
    if name in run.scope.names or name in CONSTANTS:
        raise run.refuse(node, f"{name!r} is declared already")


def at_top(run: Run, node: ast.QASMNode, what: str) -> None:
    """Refuse what has its place at the top of a program."""
    if run.depth:
        raise run.refuse(node, f"{what} is declared inside a block; declare it at the top of the program")


def _size(run: Run, node: ast.QASMNode, size: ast.Expression | None, name: str) -> int:
    count = 1 if size is None else run.integer(size)
    if not 1 <= count <= QUBITS_MAX:
        raise run.refuse(node, f"{name!r} has {count} elements; allowed: 1 to {QUBITS_MAX}")
    return count


def qubit(run: Run, node: ast.QubitDeclaration) -> Completion:
    """Declare a qubit or a register of them."""
    name = node.qubit.name
    at_top(run, node, f"qubit {name!r}")
    if any(one.startswith("$") for one in run.qubit_names):
        raise run.refuse(node, "declared qubits and hardware qubits ($0, ...) in one program; use one of the two")
    free(run, node, name)
    count, first = _size(run, node, node.size, name), len(run.qubit_names)
    run.declare(node, name, Qubits(tuple(range(first, first + count)), node.size is not None))
    run.qubit_names += [name] if node.size is None else [f"{name}[{index}]" for index in range(count)]
    check_present(run, node)
    return None


# ---- Inputs and outputs ------------------------------------------------------------------------------------------------


def input_or_output(run: Run, node: ast.IODeclaration) -> Completion:
    """Declare an input with the value it is given, or an output."""
    name = node.identifier.name
    at_top(run, node, f"{node.io_identifier.name} {name!r}")
    free(run, node, name)
    if node.io_identifier is ast.IOKeyword.output:
        return _output(run, node, name)
    type_ = type_of(run, node.type)
    given = run.input_values.get(name)
    if given is None:
        source = run.source(node)
        value = Typed(type_, Name(name, source, type_.kind == "duration"))
        if type_.width and type_.width < WORD_BITS and type_.kind != "float":
            run.shape.by(value.value)  # a known one is brought to so many bits, or refused
    else:
        whole = type_.kind in {"int", "uint", "bool", "bit"}
        number = int(given.rational) if whole else given
        if whole and wrapped(number, type_) != number:
            raise run.refuse(node, f"input {name!r} is {number}, which is no {type_}")
        real = Typed(Type("duration") if type_.kind == "duration" else Type("float"), number)
        value = Typed(
            type_, number if whole else located(run, node, "input", lambda: cast_known(real, type_, run.facts.sample_s))
        )
    run.declare(node, name, value)
    return None


def _output(run: Run, node: ast.IODeclaration, name: str) -> Completion:
    if isinstance(node.type, ast.BitType):
        size = None if node.type.size is None else _size(run, node, node.type.size, name)
        run.declare(node, name, run.new_bits(name, size))
        return None
    type_ = type_of(run, node.type)
    if type_.kind not in OUTPUT_KINDS:
        raise run.refuse(
            node,
            f"an output of type {type_} is not supported; supported: bit, {', '.join(sorted(OUTPUT_KINDS))}",
        )
    cell = Cell(name, type_, Lost(f"output {name!r} has no value yet"), run.scope)
    run.declare(node, name, cell)
    run.outputs.append((Output(name, cast("Any", type_.kind), run.source(node), type_.width), cell, node))
    return None


# ---- Variables ---------------------------------------------------------------------------------------------------------


def variable(run: Run, node: ast.ClassicalDeclaration) -> Completion:
    """Declare a variable or bits, with the initial value or measurement."""
    name = node.identifier.name
    free(run, node, name)
    if isinstance(node.type, ast.BitType):
        return _bits(run, node, name, node.type.size)
    if isinstance(node.type, ast.StretchType):
        return stretches.declare(run, node, name)
    type_ = type_of(run, node.type)
    initial = node.init_expression
    cell = Cell(name, type_, _zero(type_), run.scope)
    if initial is not None:
        if isinstance(initial, ast.QuantumMeasurement):
            value = cast_value(run, node, measured(run, initial), type_)
        else:
            value = fitted(run, initial, run.value(initial), type_)
        run.store(cell, value.value, run.source(node))
    run.declare(node, name, cell)
    return None


def _zero(type_: Type) -> Any:
    """Return what a variable holds that is declared without a value: the standard leaves it undefined, here it is zero, as a bit is."""
    value: Any = ZEROS[(type_.of or type_).kind]
    for size in reversed(type_.shape):
        value = (value,) * size
    return value


def _bits(run: Run, node: ast.ClassicalDeclaration, name: str, size: ast.Expression | None) -> Completion:
    count = None if size is None else _size(run, node, size, name)
    initial = node.init_expression
    if initial is None or isinstance(initial, ast.QuantumMeasurement):
        register = run.new_bits(name, count)
        run.declare(node, name, register)
        if initial is not None:
            measure(run, node, initial, register)
        return None
    register = run.new_bits(name, count)  # before its value, so that what stands in a row is in the order of the text
    for cell in register.cells:
        run.hold(cell, 0)  # as every bit at the shot's start
    set_bits(run, node, register, initial)
    run.declare(node, name, register)
    return None


def constant(run: Run, node: ast.ConstantDeclaration) -> Completion:
    """Declare a constant."""
    name = node.identifier.name
    free(run, node, name)
    type_ = type_of(run, node.type)
    value = fitted(run, node.init_expression, run.value(node.init_expression), type_)
    if type(value.value) in RUNTIME:
        raise run.refuse(
            node.init_expression,
            f"a constant is known before the run; {a(value.type)} that depends on {reason(value)} is not",
        )
    run.declare(node, name, value)
    return None


# ---- Aliases -----------------------------------------------------------------------------------------------------------


def alias(run: Run, node: ast.AliasStatement) -> Completion:
    """Give a register, a part of one, or several one after another a name."""
    name = node.target.name
    free(run, node, name)
    run.declare(node, name, _aliased(run, node.value))
    return None


def _aliased(run: Run, node: ast.QASMNode) -> Any:
    match node:
        case ast.Concatenation(lhs=left, rhs=right):
            one, other = _aliased(run, left), _aliased(run, right)
            if type(one) is not type(other) or not isinstance(one, Qubits | BitRegister):
                raise run.refuse(node, "only qubits with qubits, and bits with bits, make one register")
            if isinstance(one, Qubits):
                return Qubits((*one.indices, *other.indices))
            return BitRegister((*one.cells, *other.cells))
        case ast.IndexExpression(collection=collection, index=index):
            register = _aliased(run, collection)
            if not isinstance(register, Qubits | BitRegister):
                raise run.refuse(node, "an alias is of a register of qubits or bits")
            words = collection.name if isinstance(collection, ast.Identifier) else "this register"
            if isinstance(register, Qubits):
                return indexed(run, node, register, index, words)
            return indexed(run, node, register, index, words)
        case ast.Identifier(name=name):
            if name.startswith("$"):
                from qrt.qasm.quantum import qubits

                return qubits(run, node)
            return run.find(node, name, "register", (Qubits, BitRegister))
    raise run.refuse(node, "an alias is of a register of qubits or bits, a part of one, or several with ++")


def grammar(run: Run, node: ast.CalibrationGrammarDeclaration) -> Completion:
    """Take the one grammar that there is."""
    if node.name != GRAMMAR:
        raise run.refuse(node, f'defcalgrammar "{node.name}" is not supported; supported: defcalgrammar "{GRAMMAR}"')
    return None


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.Include: include,
    ast.CalibrationGrammarDeclaration: grammar,
    ast.QubitDeclaration: qubit,
    ast.IODeclaration: input_or_output,
    ast.ClassicalDeclaration: variable,
    ast.ConstantDeclaration: constant,
    ast.AliasStatement: alias,
}
