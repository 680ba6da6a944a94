"""What names stand for, and types, in words of an error."""

from __future__ import annotations

from typing import Any

from qrt.qasm.kinds import Type, Typed
from qrt.qasm.scope import BitRegister, Cell, Qubits


def what(found: Any) -> str:
    """Return what a name stands for, in words."""
    match found:
        case Qubits():
            return "a qubit"
        case BitRegister():
            return "a bit"
        case Cell(type=type_):
            return f"a variable of type {type_}"
        case Typed(type=type_):
            return f"a constant of type {type_}"
    return f"a {type(found).__name__.lower()}"


def a(type_: Type) -> str:
    """Return a type with its article."""
    return f"{'an' if str(type_)[0] in 'aeiou' else 'a'} {type_}"
