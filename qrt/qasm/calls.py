"""Subroutines, inlined where they are called, and functions that the lab provides."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from openqasm3 import ast

from qrt.qasm import flow, functions
from qrt.qasm.assignment import DELIVERED, store_bits
from qrt.qasm.casts import cast_known
from qrt.qasm.completion import Completion, Signal
from qrt.qasm.context import Run
from qrt.qasm.expressions import Exact, as_float
from qrt.qasm.kinds import KNOWN, VOID, WHOLE, Type, Typed, wrapped
from qrt.qasm.measure import measure, measured
from qrt.qasm.quantum import qubits
from qrt.qasm.runtime import NO_LAB, TABLE_BITS, word_of
from qrt.qasm.scope import BitRegister, Cell, Lost, Scope
from qrt.qasm.sequenced import compute
from qrt.qasm.values import cast, decimal, fitted, located
from qrt.qasm.words import a, counted
from qrt.qasm.written import type_of
from qrt.types import Lookup

CALLS_MAX: Final = 100  # of subroutines inside each other


class Subroutine(NamedTuple):
    """A def of the program."""

    node: ast.SubroutineDefinition


class Extern(NamedTuple):
    """A function that the lab provides, with its types."""

    name: str
    arguments: tuple[Type, ...]
    returns: Type
    function: Callable[..., Any]


class Frame(NamedTuple):
    """A subroutine that is being inlined: where its result goes."""

    result: Cell
    target: BitRegister | None


# ---- Definitions -------------------------------------------------------------------------------------------------------


def define(run: Run, node: ast.SubroutineDefinition) -> Completion:
    """Define a subroutine."""
    if run.depth:
        raise run.refuse(node, f"def {node.name.name!r} stands inside a block; define it at the top of the program")
    run.declare(node, node.name.name, Subroutine(node))
    run.defined.add(node.name.name)
    return None


def extern(run: Run, node: ast.ExternDeclaration) -> Completion:
    """Declare a function of the lab."""
    name = node.name.name
    function = run.facts.externs.get(name)
    if function is None:
        known = list(run.facts.externs)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it provides: {', '.join(known) or 'none'}"
        raise run.refuse(
            node,
            f'the lab provides no function {name!r}; {hint} (in the lab file: [externs] {name} = "file.py:function")',
        )
    arguments = tuple(type_of(run, one.type) for one in node.arguments)
    run.declare(node, name, Extern(name, arguments, type_of(run, node.return_type), function))
    return None


# ---- Calls -------------------------------------------------------------------------------------------------------------


def call(run: Run, node: ast.FunctionCall) -> Typed:
    """Return the value of a call."""
    name = node.name.name
    found = run.scope.find(name)
    if isinstance(found, Subroutine):
        return _inlined(run, node, found.node)
    run.target = None
    if isinstance(found, Extern):
        return _provided(run, node, found)
    if name in functions.NAMES:
        return functions.call(run, node)
    known = [one for one in run.scope.all_names() if isinstance(run.scope.find(one), Subroutine | Extern)]
    near = difflib.get_close_matches(name, [*known, *functions.NAMES], 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join([*known, *functions.NAMES])}"
    raise run.refuse(node, f"{name!r} is no function; {hint}")


def as_gate(run: Run, node: ast.QuantumGate, definition: ast.SubroutineDefinition) -> None:
    """Call a subroutine that is written like a gate, `f(angle) q;`, as the standard once had it and its examples still do."""
    name = definition.name.name
    if node.modifiers or node.duration is not None:
        raise run.refuse(node, f"{name!r} is a subroutine: modifiers and durations are for gates")
    if run.in_gate:
        raise run.refuse(node, f"{name!r} is a subroutine, and gates are made of gates alone; write a def")
    written: dict[bool, list[Any]] = {
        True: list(node.qubits),
        False: list(node.arguments),
    }  # by whether they are qubits
    wanted = [isinstance(one, ast.QuantumArgument) for one in definition.arguments]
    if any(len(given) != wanted.count(quantum) for quantum, given in written.items()):
        raise run.refuse(
            node,
            f"{name} takes {counted(wanted.count(False), 'value')} and {counted(wanted.count(True), 'qubit')} (or registers), "
            f"not {len(node.arguments)} and {len(node.qubits)}; write {name}(...) with all of them",
        )
    called = ast.FunctionCall(node.name, [written[quantum].pop(0) for quantum in wanted])
    called.span = node.span
    run.target = None
    _inlined(run, called, definition)


def _inlined(run: Run, node: ast.FunctionCall, definition: ast.SubroutineDefinition) -> Typed:
    name = definition.name.name
    if name in run.calls:
        raise run.refuse(
            node, f"{name!r} calls itself ({' -> '.join([*run.calls, name])}): a shot is unrolled, so write a loop"
        )
    if len(node.arguments) != len(definition.arguments):
        raise run.refuse(
            node, f"{name} takes {counted(len(definition.arguments), 'argument')}, not {len(node.arguments)}"
        )
    target, run.target = run.target, None
    returns = type_of(run, definition.return_type)
    scope = Scope(run.globals, function=True)
    for argument, given in zip(definition.arguments, node.arguments, strict=True):
        _bind(run, scope, argument, given)
    result = Cell(
        f"result of {name}", returns, Lost(f"{name!r} ends without a return on some way through it"), run.scope
    )
    run.calls.append(name)
    run.frames.append(Frame(result, target if returns.kind == "bit" else None))
    loops, run.loops = run.loops, []
    completion = flow.settle(run, flow.block(run, definition.body, scope), Signal.RETURN)
    assert completion is None
    run.loops = loops
    run.calls.pop()
    frame = run.frames.pop()
    value = result.value
    if frame.target is not None and value is DELIVERED:
        return Typed(returns, DELIVERED)
    if returns == VOID:
        return Typed(VOID, None)
    if isinstance(value, Lost):
        raise run.refuse(node, value.reason)
    return Typed(returns, value)


def _bind(run: Run, scope: Scope, argument: ast.ClassicalArgument | ast.QuantumArgument, given: ast.Expression) -> None:
    """Give an argument its name in the subroutine."""
    name = argument.name.name
    if name in scope.names:
        raise run.refuse(argument, f"{name!r} names two arguments")
    if isinstance(argument, ast.QuantumArgument):
        found = qubits(run, given)
        wanted = None if argument.size is None else run.integer(argument.size)
        if len(found.indices) != (wanted or 1):
            raise run.refuse(given, f"{len(found.indices)} qubits for {name!r}, which has {wanted or 1}")
        scope.names[name] = found._replace(sized=argument.size is not None)
        return
    type_ = type_of(run, argument.type)
    if type_.of is not None and argument.access is not None and argument.access.name == "mutable":
        cell = run.scope.find(given.name) if isinstance(given, ast.Identifier) else None
        if not isinstance(cell, Cell) or cell.type.of != type_.of or len(cell.type.shape) != len(type_.shape):
            raise run.refuse(given, f"{name!r} can be changed, so that it needs the name of an array of {type_.of}")
        scope.names[name] = cell
        return
    value = fitted(run, given, run.value(given), type_)
    if type_.of is not None:
        held = run.value(given)
        scope.names[name] = Typed(held.type._replace(of=type_.of), value.value)
    else:
        scope.names[name] = Cell(name, type_, value.value, scope)


def give_back(run: Run, node: ast.ReturnStatement) -> Completion:
    """Leave a subroutine with a value."""
    if not run.frames:
        raise run.refuse(node, "return stands in no subroutine")
    result, target = run.frames[-1]
    expression = node.expression
    if expression is None:
        if result.type != VOID:
            raise run.refuse(node, f"this subroutine returns {a(result.type)}; return one")
        return Signal.RETURN
    if result.type == VOID:
        raise run.refuse(node, "this subroutine returns nothing; declare it: def f(...) -> bit { ... }")
    if isinstance(expression, ast.QuantumMeasurement):
        if target is not None:
            measure(run, node, expression, target)
            run.hold(result, DELIVERED)
            return Signal.RETURN
        value = measured(run, expression)
    else:
        value = run.value(expression)
    if target is not None:
        store_bits(run, node, target, value)
        run.hold(result, DELIVERED)
    else:
        run.store(result, fitted(run, node, value, result.type).value, run.source(node))
    return Signal.RETURN


def statement(run: Run, node: ast.ExpressionStatement) -> Completion:
    """Evaluate an expression for what it does."""
    run.value(node.expression)
    return None


# ---- Functions of the lab ----------------------------------------------------------------------------------------------


def _provided(run: Run, node: ast.FunctionCall, found: Extern) -> Typed:
    if len(node.arguments) != len(found.arguments):
        raise run.refuse(
            node, f"{found.name} takes {counted(len(found.arguments), 'argument')}, not {len(node.arguments)}"
        )
    values = [
        cast(run, written, run.value(written), type_)
        for written, type_ in zip(node.arguments, found.arguments, strict=True)
    ]
    unknown = [index for index, one in enumerate(values) if type(one.value) not in KNOWN]
    if not unknown:
        return Typed(found.returns, _called(run, node, found, values))
    if found.returns == VOID:
        raise run.refuse(
            node,
            f"{found.name} returns nothing and would have to be called in every shot; put the value out: output int n; n = ...;",
        )
    width = sum(values[index].type.width for index in unknown)
    whole = all(values[index].type.kind in WHOLE and values[index].type.width for index in unknown)
    if not whole or width > TABLE_BITS or found.returns.kind not in {*WHOLE, "angle"}:
        raise run.refuse(
            node,
            f"{found.name} of what outcomes decide becomes a table: its arguments have up to {TABLE_BITS} bits together, as bit[n], "
            f"int[n] or uint[n], and it returns bool, bit, int, uint or angle; here they have {width} bits, and it returns {found.returns}",
        )
    source, shift = run.source(node), 0
    word: Any = 0
    for index in unknown:
        part: Any = word_of(values[index], source)
        if values[index].type.kind == "int":
            part = compute("&", part, (1 << values[index].type.width) - 1)
        word = compute("+", word, compute("*", part, 1 << shift))
        shift += values[index].type.width
    table = []
    for pattern in range(1 << width):
        given, rest = list(values), pattern
        for index in unknown:
            type_ = values[index].type
            given[index] = Typed(type_, wrapped(rest, type_))
            rest >>= type_.width
        entry = word_of(Typed(found.returns, _called(run, node, found, given)), source)
        assert type(entry) is int
        table.append(entry)
    return Typed(found.returns, Lookup(tuple(table), word))


def _called(run: Run, node: ast.FunctionCall, found: Extern, values: Sequence[Typed]) -> Any:
    """Call a function of the lab with known values; its result must be one of the declared type."""
    given = [_as_python(one) for one in values]
    words = f"{found.name}({', '.join(map(repr, given))})"
    run.lab_calls += 1
    try:
        result = found.function(*given)
    except Exception as error:
        raise run.refuse(node, f"{words} of the lab failed: {type(error).__name__}: {error}") from error
    if found.returns == VOID:
        return None
    return located(run, node, found.name, lambda: _as_value(words, result, found.returns))


def _as_python(value: Typed) -> Any:
    if value.type.kind == "bool":
        return bool(value.value)
    if isinstance(value.value, Exact):
        return as_float(value.value)
    if value.type.kind == "duration":
        return float(value.value.seconds)
    return value.value


def _as_value(words: str, result: Any, to: Type) -> Any:
    if to.kind in WHOLE:
        number = int(result) if isinstance(result, int) or hasattr(result, "__index__") else None
        if number is None or wrapped(number, to) != number:
            raise ValueError(f"{words} of the lab returned {result!r}, which is no {to}")
        return number
    if to.kind in {"float", "angle"} and isinstance(result, int | float):
        real = Typed(Type("float"), Exact(decimal(float(result))))
        return cast_known(real, to, NO_LAB)
    raise ValueError(f"{words} of the lab returned {result!r}, which is no {to}")


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.SubroutineDefinition: define,
    ast.ExternDeclaration: extern,
    ast.ReturnStatement: give_back,
    ast.ExpressionStatement: statement,
}
EVALUATORS: dict[type, Callable[[Run, Any], Typed]] = {ast.FunctionCall: call}
