"""What names stand for, and types, in words of an error."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from qrt.qasm.kinds import Type, Typed
from qrt.qasm.scope import BitRegister, Cell, Qubits

LINE_MAX: Final = 200  # characters of a line of the program that an error shows
WORDS_MAX: Final = 1000  # characters of an error; names, and lists of them, can be of any length


def excerpt(line: str) -> str:
    """Return a line of the program as errors and timelines show it."""
    line = line.strip()
    return line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]} ..."


def clipped(message: str) -> str:
    """Return a message of bounded length."""
    return message if len(message) <= WORDS_MAX else f"{message[: WORDS_MAX // 2]} ... {message[-WORDS_MAX // 2 :]}"


def digits(number: Fraction) -> str:
    """Return a number with twelve digits; of one that no float can be, that it is so large."""
    try:
        return f"{float(number):.12g}"
    except OverflowError:
        return f"{'-' * (number < 0)}1e308 and more"


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


def counted(count: int, noun: str) -> str:
    """Return so many of a noun whose plural ends in s."""
    return f"{count} {noun}{'s' * (count != 1)}"


def a(type_: Type) -> str:
    """Return a type with its article."""
    return f"{'an' if str(type_)[0] in 'aeiou' else 'a'} {type_}"
