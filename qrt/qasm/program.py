"""A program as the lab can execute it: statements over indexed qubits and bits, each with its place in the text.

Registers are resolved (`q[1]` is an index into `Program.qubits`), broadcasts are written out, conditions are bits and the value
that they must have. Angles and durations stay expressions until the inputs are known. Nothing here knows a lab.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from qrt.qasm.expressions import Expression
from qrt.types import NOWHERE, Source


class Input(msgspec.Struct, frozen=True):
    """A value that the caller gives: `input float theta;`."""

    name: str
    kind: Literal["int", "uint", "float", "angle", "duration"]
    source: Source


class Gate(msgspec.Struct, frozen=True):
    """One gate on one qubit; `rx`, `ry` and `rz` have an angle."""

    name: Literal["x", "sx", "rx", "ry", "rz", "h", "id"]
    qubit: int
    angle: Expression | None = None
    source: Source = NOWHERE


class Measurement(msgspec.Struct, frozen=True):
    """Measure one qubit, into a bit or for the record only."""

    qubit: int
    bit: int | None
    source: Source = NOWHERE


class Reset(msgspec.Struct, frozen=True):
    """Bring one qubit to level 0 by measurement and feedback."""

    qubit: int
    source: Source = NOWHERE


class Delay(msgspec.Struct, frozen=True):
    """Wait. On several qubits it begins when the last of them is free, and ends together."""

    qubits: tuple[int, ...]
    duration: Expression
    source: Source = NOWHERE


class Barrier(msgspec.Struct, frozen=True):
    """Let the qubits go on together."""

    qubits: tuple[int, ...]
    source: Source = NOWHERE


class Initial(msgspec.Struct, frozen=True):
    """A bit that is 1 at the shot's start; all others are 0."""

    bit: int
    source: Source = NOWHERE


class Branch(msgspec.Struct, frozen=True):
    """Execute `then` if sum(bits[k] << k) equals `value`, else `otherwise`."""

    bits: tuple[int, ...]
    value: int
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    source: Source = NOWHERE


Statement = Gate | Measurement | Reset | Delay | Barrier | Initial | Branch


class Program(msgspec.Struct, frozen=True):
    """A program of one shot."""

    path: str
    text: str
    qubits: tuple[str, ...]  # names as written: "q[0]", "ancilla", "$2"
    bits: tuple[str, ...]  # names as written: "c[0]", "flag"
    inputs: tuple[Input, ...]
    statements: tuple[Statement, ...]
