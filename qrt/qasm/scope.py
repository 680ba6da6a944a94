"""Names and what they stand for, and what variables hold while both sides of a branch are elaborated.

A name stands for a constant (`Typed`), a `Cell` that holds a value, registers of qubits or bits, or a definition. A cell that holds a
known value costs nothing; one that holds what depends on outcomes holds a `Variable` of the sequencers. Each bit of the program is a
cell, too, so that one written with a constant is known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from qrt.qasm.kinds import BIT, Type
from qrt.types import Bits


class Lost(NamedTuple):
    """What a cell holds that cannot be read, and why."""

    reason: str


class Cell:
    """A variable: its type, what it holds now, and its index among the sequencers' variables once it has one."""

    __slots__ = ("bit", "is_bit", "is_local", "life", "name", "type", "value", "variable")

    def __init__(self, name: str, type_: Type, value: Any, scope: Scope) -> None:
        self.name, self.type, self.value, self.life = name, type_, value, scope.life
        self.is_bit = self.is_local = False
        self.bit: int | None = None  # of the program, that holds it; of a bit of a block only once an outcome is in it
        self.variable: int | None = None


def bit_cell(name: str, scope: Scope, bit: int | None) -> Cell:
    """Return a bit: one that stands in a row, or one of a block, which is known to be 0 until it is set."""
    cell = Cell(name, BIT, 0 if bit is None else Bits((bit,)), scope)
    cell.is_bit, cell.is_local, cell.bit = True, bit is None, bit
    return cell


class Qubits(NamedTuple):
    """Qubits of the program by index; `sized` if declared with a size, so that an index may follow."""

    indices: tuple[int, ...]
    sized: bool = True


class BitRegister(NamedTuple):
    """Bits of the program, the first one lowest."""

    cells: tuple[Cell, ...]
    sized: bool = True

    @property
    def type(self) -> Type:
        """Return its type."""
        return Type("bit", len(self.cells)) if self.sized else BIT


class Life:
    """How long what a block declares is there, and what is free once it is over."""

    __slots__ = ("bits", "is_over", "variables")

    def __init__(self) -> None:
        self.is_over = False
        self.variables: list[int] = []
        self.bits: list[int] = []


class Scope:
    """Names of a block, and the block around it."""

    __slots__ = ("function", "life", "names", "parent")

    def __init__(self, parent: Scope | None = None, *, function: bool = False) -> None:
        self.names: dict[str, Any] = {}
        self.parent = parent
        self.function = (
            function  # the body of a subroutine or gate: of what is around it, only what cannot change is seen
        )
        self.life = Life()

    def find(self, name: str) -> Any:
        """Return what a name stands for; None if it stands for nothing here."""
        scope: Scope | None = self
        hidden = False
        while scope is not None:
            if name in scope.names:
                found = scope.names[name]
                return None if hidden and isinstance(found, Cell | BitRegister | Qubits) else found
            hidden = hidden or scope.function
            scope = scope.parent
        return None

    def copied(self) -> Scope:
        """Return it with the same names, for one of two ways to go on."""
        other = Scope(self.parent, function=self.function)
        other.names = dict(self.names)
        other.life = self.life
        return other

    def all_names(self) -> list[str]:
        """Return every name that can be seen from here, nearest first."""
        names: dict[str, None] = {}
        scope: Scope | None = self
        while scope is not None:
            names |= dict.fromkeys(scope.names)
            scope = scope.parent
        return list(names)
