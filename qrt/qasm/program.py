"""A program as text and tree, and what elaboration makes of it: flat statements over indexed qubits and bits.

`Program` is the standard's tree with what can be told without the lab and without values: what it wants and what it gives. `Elaborated` is
the same program for certain values: registers are resolved (`q[1]` is an index into `qubits`), loops are unrolled, subroutines
and gate definitions are inlined, and what remains of the classical language is conditions and values of outcomes (`types.Classical`, with
the program's bits and variables by index) and expressions of the inputs that vary. Nothing here knows a lab.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from qrt.qasm.expressions import Expression
from qrt.qasm.pulses import PulseStatement, Tables
from qrt.qasm.shape import Shape
from qrt.types import NOWHERE, Classical, Lasting, Source

Kind = Literal["int", "uint", "float", "angle", "duration", "bool", "bit"]


class Input(msgspec.Struct, frozen=True):
    """A value that the caller gives: `input float theta;`."""

    name: str
    kind: Kind
    source: Source
    width: int = 0  # 0: none given


class Output(msgspec.Struct, frozen=True):
    """A value that the caller gets from every shot: `output int n;`. Outcomes that are bits are not among them."""

    name: str
    kind: Kind
    source: Source
    width: int = 0


class Program(msgspec.Struct, frozen=True):
    """A program of one shot, read and not executed. Equal texts at equal paths are equal programs."""

    path: str
    text: str  # empty for a program that was built as a tree
    tree: Any  # openqasm3.ast.Program
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    ignored: tuple[str, ...] = ()  # directives that nobody here knows, with their places


# ---- Statements --------------------------------------------------------------------------------------------------------
# Tuples, since a program has thousands of them and they are made anew for every value that changes; of gates there are most.


class Gate(msgspec.Struct, frozen=True, gc=False):
    """One gate on one qubit; `rx`, `ry` and `rz` have an angle: of inputs in radians, of outcomes in 2^-64 turns."""

    name: str  # one of qrt.qasm.gates.NATIVE
    qubit: int
    angle: Expression | Classical | None = None
    source: Source = NOWHERE


class Cz(NamedTuple):
    """The one native gate on two qubits: a sign where both are at level 1."""

    qubits: tuple[int, int]
    source: Source = NOWHERE


class Measurement(NamedTuple):
    """Measure one qubit, into a bit or for the record only."""

    qubit: int
    bit: int | None
    source: Source = NOWHERE


class Reset(NamedTuple):
    """Bring one qubit to level 0 by measurement and feedback."""

    qubit: int
    source: Source = NOWHERE


class Delay(NamedTuple):
    """Wait. On several qubits it begins when the last of them is free, and ends together."""

    qubits: tuple[int, ...]
    duration: Expression | Lasting
    source: Source = NOWHERE


class Barrier(NamedTuple):
    """Let the qubits go on together."""

    qubits: tuple[int, ...]
    source: Source = NOWHERE


class SetBit(NamedTuple):
    """Set a bit to a constant."""

    bit: int
    value: int
    source: Source = NOWHERE


class Branch(NamedTuple):
    """Execute `then` if the condition is not 0, else `otherwise`; what follows comes at one tick after either, if `pad`."""

    condition: Classical
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    pad: bool = True
    source: Source = NOWHERE
    leaves: bool = (
        False  # a side left a loop, a subroutine or the program: the branch holds what the other went on with
    )


class Assign(NamedTuple):
    """Set a variable, an index into `Elaborated.variables`."""

    variable: int
    value: Classical
    source: Source = NOWHERE


class Emit(NamedTuple):
    """Put a value into a column of the shot's row, an index into `Elaborated.outputs`; a duration is an expression."""

    column: int
    value: Classical | Expression
    source: Source = NOWHERE


class Box(NamedTuple):
    """Statements whose qubits begin together and have a duration for all of it; what follows starts exactly so much later."""

    duration: Expression
    inside: tuple[Statement, ...]
    source: Source = NOWHERE


Statement = Gate | Cz | Measurement | Reset | Delay | Barrier | SetBit | Branch | Assign | Emit | Box | PulseStatement


class Elaborated(msgspec.Struct, frozen=True):
    """A program for certain values, ready to be lowered."""

    path: str
    qubits: tuple[str, ...]  # names as written: "q[0]", "ancilla", "$2"
    bits: tuple[str, ...]  # names as written: "c[0]", "flag"
    variables: tuple[str, ...]
    outputs: tuple[Output, ...]
    statements: tuple[Statement, ...]
    events: tuple[str, ...] = ()  # what is done other than written, one line each with its place
    pulses: Tables = Tables()
    shape: Shape = Shape()
