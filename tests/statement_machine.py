"""Executes elaborated statements for given outcomes, on plain Python integers: what a shot does, without pulses or time.

Knows types.Classical and the statements, and nothing of how they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qrt.qasm import elaborate, parse_program
from qrt.qasm.expressions import Literal, as_float
from qrt.qasm.facts import NoLab
from qrt.qasm.program import (
    Assign,
    Box,
    Branch,
    Cz,
    Delay,
    Elaborated,
    Emit,
    Gate,
    Measurement,
    Reset,
    SetBit,
    Statement,
)
from qrt.types import Bits, Computed, Lookup, Parameter, Variable


def int64(word: int) -> int:
    word &= 2**64 - 1
    return word - 2**64 if word >> 63 else word


class Machine:
    """One shot: outcomes in the order of measurements; what was done is in `done`, what was put out in `outputs`."""

    def __init__(
        self, program: Elaborated, outcomes: Sequence[int] = (), words: Mapping[str, int] | None = None
    ) -> None:
        self.outcomes: Iterator[int] = iter(outcomes)
        self.words = words or {}  # of inputs that vary
        self.bits = [0] * len(program.bits)
        self.variables: dict[int, int] = {}
        self.outputs: dict[str, int] = {}
        self.done: list[tuple[Any, ...]] = []
        self.names = [output.name for output in program.outputs]
        self.run(program.statements)

    def run(self, statements: Sequence[Statement]) -> None:
        for one in statements:
            match one:
                case Gate(name=name, qubit=qubit, angle=angle):
                    turn = (
                        None
                        if angle is None
                        else as_float(angle.value)
                        if isinstance(angle, Literal)
                        else self.word(angle)
                    )
                    self.done.append((name, qubit) if turn is None else (name, qubit, turn))
                case Measurement(qubit=qubit, bit=bit):
                    outcome = next(self.outcomes)
                    self.done.append(("measure", qubit))
                    if bit is not None:
                        self.bits[bit] = outcome
                case Reset(qubit=qubit):
                    self.done.append(("reset", qubit))
                case SetBit(bit=bit, value=value):
                    self.bits[bit] = value
                case Branch(condition=condition, then=then, otherwise=otherwise):
                    self.run(then if self.word(condition) else otherwise)
                case Assign(variable=variable, value=value):
                    self.variables[variable] = self.word(value)
                case Emit(column=column, value=value):
                    assert self.names[column] not in self.outputs
                    self.outputs[self.names[column]] = self.word(value)
                case Box(inside=inside):
                    self.run(inside)
                case Cz(qubits=qubits):
                    self.done.append(("cz", *qubits))
                case Delay(qubits=qubits):
                    self.done.append(("delay", *qubits))

    def word(self, value: Any) -> int:
        match value:
            case int():
                assert int64(value) == value
                return value
            case Bits(bits=bits):
                return sum(self.bits[bit] << k for k, bit in enumerate(bits))
            case Variable(index=index):
                return self.variables[index]
            case Lookup(values=values, index=index):
                place = self.word(index)
                assert 0 <= place < len(values)
                return values[place]
            case Parameter(word=formula):
                return self.words[formula.names[0]]
            case Computed(operator=name, left=left, right=right):
                return self.operate(name, self.word(left), self.word(right))
        raise AssertionError(value)

    @staticmethod
    def operate(name: str, left: int, right: int) -> int:
        match name:
            case "+":
                return int64(left + right)
            case "-":
                return int64(left - right)
            case "*":
                return int64(left * right)
            case "&":
                return left & right
            case "|":
                return left | right
            case "^":
                return left ^ right
            case "==":
                return int(left == right)
            case "<":
                return int(left < right)
            case ">>":
                return left >> right
        raise AssertionError(name)


def elaborated(text: str, **values: Any) -> Elaborated:
    """The program of a text; inputs that have no value here vary."""
    program = parse_program(text, "p.qasm")
    return elaborate(program, values, [one.name for one in program.inputs if one.name not in values], NoLab())


def shot(text: str, outcomes: Sequence[int] = (), **words: int) -> Machine:
    """What a shot of a text does."""
    return Machine(elaborated(text), outcomes, words)
