"""The ways in which a program goes on after a statement: on, out of what is around it, or either of both as outcomes decide."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from qrt.qasm.program import Statement
from qrt.qasm.scope import Cell
from qrt.types import Classical, Source


class Signal(enum.Enum):
    """A way out of what is around a statement."""

    BREAK = "break"
    CONTINUE = "continue"
    RETURN = "return"
    END = "end"


class Side(NamedTuple):
    """One side of an open branch: its statements, what cells hold at its end, and how it goes on."""

    out: list[Statement]
    held: dict[Cell, Any]
    completion: Completion


class Split(NamedTuple):
    """A branch on outcomes whose sides do not go on in the same way."""

    condition: Classical
    sides: tuple[Side, Side]
    source: Source
    leaves: bool = False  # whether it ever stayed open


Completion = Signal | Split | None


def goes_on(completion: Completion) -> bool:
    """Say whether the program goes on in some side."""
    if isinstance(completion, Split):
        return any(goes_on(side.completion) for side in completion.sides)
    return completion is None
