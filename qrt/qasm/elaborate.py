"""Elaboration: a program and values of its inputs in, flat statements out.

Everything of the classical language that is known is computed here; what remains is told in `program`. The parts of the language are one
file each, and enter their handlers into the tables below: `declarations`, `assignment`, `control`, `quantum`, `gates`, `calls` for
statements, `values` and `functions` for expressions. OpenPulse enters its own in the same way.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from typing import Any

from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm import assignment, calls, control, declarations, durations, flow, gates, quantum, stretches, values
from qrt.qasm.completion import Signal
from qrt.qasm.context import Handler, Run
from qrt.qasm.durations import in_ticks
from qrt.qasm.ending import finished
from qrt.qasm.expressions import Exact, Value
from qrt.qasm.facts import Facts, NoLab
from qrt.qasm.fixed import Fixed
from qrt.qasm.kinds import FLOAT, Typed
from qrt.qasm.nesting import deep
from qrt.qasm.program import Elaborated, Emit, Program
from qrt.qasm.pulses import Tables
from qrt.qasm.reals import float_word
from qrt.qasm.runtime import word_of
from qrt.qasm.scope import Lost
from qrt.qasm.shape import Shaping
from qrt.qasm.values import as_expression, located
from qrt.types import Source

HANDLERS: dict[type, Handler] = {
    **declarations.HANDLERS,
    **assignment.HANDLERS,
    **control.HANDLERS,
    **quantum.HANDLERS,
    **gates.HANDLERS,
    **calls.HANDLERS,
    ast.Pragma: lambda *_: None,  # told by directives
}
EVALUATORS: dict[type, Callable[[Run, Any], Typed]] = {**values.EVALUATORS, **calls.EVALUATORS, **durations.EVALUATORS}


def elaborate(
    program: Program,
    values_: Mapping[str, Value],
    varied: Collection[str],
    facts: Facts,
    *,
    opened: Collection[str] = (),
    rounds: bool = False,
) -> Elaborated:
    """Return a program for values of its inputs; the `varied` ones have none. Raises ProgramError `path:line:column: ...`.

    opened: which of those are open for known values alone; ComputedError is raised where a sequencer would compute with one.
    rounds: whether a duration off the samples' grid is rounded, and told in `events`, instead of refused.
    """
    run = Run(program.text, program.path, HANDLERS, EVALUATORS, facts)
    run.input_values = {name: value for name, value in values_.items() if name not in varied}
    run.rounds, run.tree, run.shape = rounds, program.tree, Shaping(opened)
    with deep():
        if "openpulse.ast" in sys.modules:  # else there is no `cal` in any tree
            _enter_pulses(run, program)
        completion = flow.statements(run, program.tree.statements)
        completion = flow.resume(run, flow.settle(run, completion, Signal.END), lambda: _emit(run))
        assert completion is None
    pulses = Tables() if run.pulsing is None else run.pulsing.tables()
    if not run.qubit_names and not pulses.sequencers:
        raise ProgramError(f"{program.path}:1:1: the program has no qubit; declare one: qubit q;")
    return Elaborated(
        path=program.path,
        qubits=tuple(run.qubit_names),
        bits=tuple(run.bit_names),
        variables=tuple(run.variable_names),
        outputs=tuple(output for output, _, _ in run.outputs),
        statements=tuple(finished(stretches.solved_regions(run, run.out))),
        events=tuple(run.events),
        shape=run.shape.found(),
        pulses=pulses,
    )


def _enter_pulses(run: Run, program: Program) -> None:
    """Let a program with pulses be elaborated; the others do without those modules."""
    from qrt.qasm import openpulse

    openpulse.enter(run, program.tree)


def _emit(run: Run) -> None:
    """Put the outputs into the row."""
    for column, (output, cell, node) in enumerate(run.outputs):
        if type(cell.value) is Lost:
            raise run.refuse(
                node, f"output {output.name!r} has no value on some way through the program: {cell.value.reason}"
            )
        typed = Typed(cell.type, cell.value)
        if cell.type.kind == "duration":  # the lab knows its ticks
            decided = type(cell.value) is Fixed
            value = (
                in_ticks(run, node, cell.value, "an output").word if decided else as_expression(typed, output.source)
            )
            run.add(Emit(column, value, output.source))
            continue
        as_word = functools.partial(float_word, run, typed, output.source) if cell.type.kind == "float" else None
        word = located(run, node, "the output", as_word or functools.partial(word_of, typed, output.source))
        run.add(Emit(column, word, output.source))


def _real(_: Run, node: ast.IntegerLiteral) -> Typed:
    return Typed(FLOAT, Exact(Fraction(node.value)))


class Constants:
    """Values of expressions that stand alone, outside of any program: of a sweep's form, for instance.

    They are real numbers: 1/3 is a third, which in a program would be a quotient of whole numbers.
    """

    def __init__(self, text: str, path: str) -> None:
        evaluators = {**EVALUATORS, ast.IntegerLiteral: _real}
        self._run = Run(text, path, HANDLERS, evaluators, NoLab())

    def value(self, node: ast.QASMNode) -> Value:
        """Return a number or duration. Raises ProgramError for what is neither, or not constant."""
        (found,) = values.constants(self._run, [node])
        if type(found.value) is int:
            return Exact(Fraction(found.value))
        if type(found.value) in {complex, tuple}:
            raise self._run.refuse(node, f"a number is needed here, not {found.type}")
        value: Value = found.value
        return value

    def integer(self, node: ast.QASMNode) -> int:
        """Return a whole number."""
        return self._run.integer(node)

    def source(self, node: ast.QASMNode) -> Source:
        """Return where a node stands."""
        return self._run.source(node)

    def refuse(self, node: ast.QASMNode, message: str) -> ProgramError:
        """Return the error that `message` is about a node."""
        return self._run.refuse(node, message)
