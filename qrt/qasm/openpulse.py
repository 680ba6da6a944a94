"""OpenPulse in the elaborator: `cal` blocks, `defcal`, and what time and gates are beside them.

Inside a body the tables of the language are overlaid with those at the end of this file; everything classical is the language's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import openpulse.ast
from openqasm3 import ast

from qrt.qasm import defcals, flow, frames, waveform_calls
from qrt.qasm.captures import CAPTURES
from qrt.qasm.completion import Completion
from qrt.qasm.context import Handler, Run
from qrt.qasm.defcals import Use
from qrt.qasm.expressions import Duration
from qrt.qasm.kinds import RUNTIME, Typed
from qrt.qasm.pulse_calls import CALLS, call, found_frame, frame_of, name, statement
from qrt.qasm.pulse_declarations import assignment, declaration, extern
from qrt.qasm.pulsing import Pulsing, as_language, as_outside
from qrt.qasm.quantum import indices, qubits
from qrt.qasm.scope import Qubits
from qrt.qasm.waveform_calls import TEMPLATES


def enter(run: Run, tree: ast.Program) -> None:
    """Let a program with pulses be elaborated."""
    run.pulsing = Pulsing(run.facts)
    run.pulsing.inside, run.pulsing.gate = _inside, defcals.gate
    run.pulsing.measure, run.pulsing.reset = defcals.measure, defcals.reset
    run.pulsing.defcals = defcals.enter(run, tree.statements)
    run.pulsing.language, run.pulsing.values = dict(run.handlers), dict(run.evaluators)
    gates: dict[type, Handler] = {ast.QuantumGate: gate} if run.pulsing.defcals else {}
    run.pulsing.outside = run.handlers = {**run.handlers, **OUTSIDE, **gates}
    run.evaluators = {**run.evaluators, ast.FunctionCall: _call_outside}


@contextmanager
def _inside(run: Run) -> Iterator[None]:
    """Read what follows as OpenPulse."""
    around = run.handlers, run.evaluators
    run.handlers = {**run.handlers, **HANDLERS}
    run.evaluators = {**run.evaluators, **EVALUATORS}
    yield
    run.handlers, run.evaluators = around


def _call_outside(run: Run, node: ast.FunctionCall) -> Typed:
    """Return the value of a call outside of a body, where OpenPulse has none."""
    name = node.name.name
    if name in {*CALLS, *CAPTURES, *TEMPLATES} and run.scope.find(name) is None:
        raise run.refuse(node, f"{name} stands in the body of a cal or defcal: cal {{ {name}(...); }}")
    value: Typed = run.pulsing.values[ast.FunctionCall](run, node)
    return value


def cal(run: Run, node: Any) -> Completion:
    """Execute a block of OpenPulse."""
    around, run.scope = run.scope, run.pulsing.scope(run)
    with _inside(run):
        completion = flow.statements(run, node.body)
    run.scope = around
    return completion


def definition(run: Run, node: Any) -> Completion:
    """Pass over a defcal: it was entered before."""
    if run.depth:
        raise run.refuse(node, "a defcal stands at the top of a program")
    return None


# ---- Time --------------------------------------------------------------------------------------------------------------


def delay(run: Run, node: ast.DelayInstruction) -> Completion:
    """Wait on frames; on qubits as in the program."""
    if not any(found_frame(run, one) for one in node.qubits):
        return as_outside(run, node)
    value = run.value(node.duration)
    if value.type.kind != "duration" or type(value.value) in RUNTIME:
        raise run.refuse(node, "a delay of frames is a duration that does not depend on outcomes")
    duration = value.value
    if run.rounds and isinstance(duration, Duration):
        duration = waveform_calls.rounded(run, node, "a delay", value)
    for one in node.qubits:
        frames.delay(run, node, frame_of(run, one), duration)
    return None


def barrier(run: Run, node: ast.QuantumBarrier) -> Completion:
    """Let frames, and qubits beside them, go on together; all frames in use where none is named."""
    found = [frame for one in node.qubits if (frame := found_frame(run, one)) is not None]
    if node.qubits and not found:
        return as_outside(run, node)
    if not node.qubits:
        found = [*run.pulsing.frames.values(), *run.pulsing.made.values()]
    named = [index for one in node.qubits if found_frame(run, one) is None for index in qubits(run, one).indices]
    others = [name for index in named if (name := run.pulsing.lab_qubit(run, index)) is not None]
    run.pulsing.meet(run, node, found, others)
    return None


def qubits_delay(run: Run, node: ast.DelayInstruction) -> Completion:
    """Wait on qubits, with their frames."""
    named = _named_qubits(run, node)
    run.pulsing.with_companions(run, node, named)
    completion = as_language(run, node)
    run.pulsing.with_companions(run, node, named)
    return completion


def qubits_barrier(run: Run, node: ast.QuantumBarrier) -> Completion:
    """Hold qubits together, with their frames."""
    completion = as_language(run, node)
    run.pulsing.with_companions(run, node, _named_qubits(run, node))
    return completion


def _named_qubits(run: Run, node: ast.DelayInstruction | ast.QuantumBarrier) -> Sequence[int]:
    """Return the qubits that a statement names, all where it names none."""
    return [index for one in node.qubits for index in indices(run, one)] or range(len(run.qubit_names))


# ---- Gates -------------------------------------------------------------------------------------------------------------


def gate(run: Run, node: ast.QuantumGate) -> Completion:
    """Apply a gate: by the program's defcal where one matches, else as the language does."""
    called = node.name.name
    if called not in run.pulsing.defcals:
        return as_language(run, node)
    arguments = [run.value(one) for one in node.arguments]
    completion = None
    for combination in _combinations(run, node, [qubits(run, one) for one in node.qubits]):
        found = defcals.match(run, called, combination, arguments)
        if found is None:
            around, run.scope = run.scope, run.scope.copied()
            completion = as_language(run, _on(run, node, combination, arguments))
            run.scope = around
            continue
        if node.modifiers or node.duration is not None:
            what = "a duration" if node.duration is not None else f"the modifier {node.modifiers[0].modifier.name}"
            raise run.refuse(node, f"{called} is a defcal of this program, which says nothing of it with {what}")
        defcals.execute(run, found, Use(node, combination, arguments), None)
    return completion


def _combinations(run: Run, node: ast.QuantumGate, operands: list[Qubits]) -> list[tuple[int, ...]]:
    """Return the qubits of each application: registers go through their elements together, single qubits stay."""
    sizes = {len(one.indices) for one in operands if one.sized}
    if len(sizes) > 1:
        raise run.refuse(
            node, f"registers of {' and '.join(map(str, sorted(sizes)))} qubits in one gate; they must be of one size"
        )
    count = sizes.pop() if sizes else 1
    return [tuple(one.indices[k if one.sized else 0] for one in operands) for k in range(count)]


def _on(run: Run, node: ast.QuantumGate, places: tuple[int, ...], arguments: Sequence[Typed]) -> ast.QuantumGate:
    """Return a gate on single qubits and with angles that are evaluated, under names that no program can write."""
    angles = [
        _named(run, f"\0angle {k}", one, where)
        for k, (one, where) in enumerate(zip(arguments, node.arguments, strict=True))
    ]
    operands = [_named(run, f"\0{index}", Qubits((index,), sized=False), node) for index in places]
    made = ast.QuantumGate(node.modifiers, node.name, angles, operands, node.duration)  # type: ignore[arg-type]
    made.span = node.span
    return made


def _named(run: Run, name: str, meaning: Typed | Qubits, where: ast.QASMNode) -> ast.Identifier:
    """Return a name that stands for something here."""
    run.scope.names[name] = meaning
    made = ast.Identifier(name)
    made.span = where.span
    return made


OUTSIDE: Final[dict[type, Callable[[Run, Any], Completion]]] = {
    openpulse.ast.CalibrationStatement: cal,
    openpulse.ast.CalibrationDefinition: definition,
    ast.DelayInstruction: qubits_delay,
    ast.QuantumBarrier: qubits_barrier,
}
HANDLERS: Final[dict[type, Callable[[Run, Any], Completion]]] = {
    ast.ClassicalDeclaration: declaration,
    ast.ClassicalAssignment: assignment,
    ast.ExternDeclaration: extern,
    ast.DelayInstruction: delay,
    ast.QuantumBarrier: barrier,
    ast.ExpressionStatement: statement,
    ast.ReturnStatement: defcals.returns,
}
EVALUATORS: Final[dict[type, Callable[[Run, Any], Typed]]] = {ast.FunctionCall: call, ast.Identifier: name}
