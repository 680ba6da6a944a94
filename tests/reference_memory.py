"""What a name means while the reference interpreter executes a program: bits, qubits, variables, arrays, and parts of them.

A part is a reference, as the standard has it: what is written into it is seen in the whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.reference_values import BIT, Type, Value, cast


class Bits(NamedTuple):
    """Bits by their addresses; `bit[1] c` is sized, `bit c` is not."""

    addresses: tuple[int, ...]
    sized: bool


class Qubits(NamedTuple):
    """Qubits by their numbers."""

    numbers: tuple[int, ...]


class Cell:
    """A variable of a type that is no bit."""

    def __init__(self, value: Value) -> None:
        self.value = value


class Array(NamedTuple):
    """Numbers of one type; a slice of it is the same memory."""

    type: Type
    data: np.ndarray  # of objects


class Slice(Cell):
    """Some bits of a number."""

    def __init__(self, whole: Value, owner: Cell, places: tuple[int, ...], *, many: bool) -> None:
        self.owner, self.places = owner, places
        data = sum((int(whole.data) >> place & 1) << k for k, place in enumerate(places))
        super().__init__(Value(Type("bit", len(places)) if many else BIT, data))

    def put(self, value: Value) -> None:
        """Change these bits of the number."""
        bits, whole = int(cast(value, self.value.type).data), int(self.owner.value.data)
        for k, place in enumerate(self.places):
            whole = whole & ~(1 << place) | (bits >> k & 1) << place
        new = cast(Value(Type("bit", self.owner.value.type.bits), whole), self.owner.value.type)
        if isinstance(self.owner, Element):
            self.owner.put(new)
        else:
            self.owner.value = new


class Element(Cell):
    """One number of an array."""

    def __init__(self, type_: Type, data: np.ndarray, place: tuple[int, ...]) -> None:
        self.data, self.where = data, place
        super().__init__(Value(type_, data[place]))

    def put(self, value: Value) -> None:
        """Change the number."""
        self.data[self.where] = cast(value, self.value.type).data


Entity = Bits | Qubits | Cell | Array


def joined(left: Entity, right: Entity) -> Entity:
    """Return two registers or arrays as one."""
    match left, right:
        case Bits(), Bits():
            return Bits(left.addresses + right.addresses, sized=True)
        case Qubits(), Qubits():
            return Qubits(left.numbers + right.numbers)
        case Array(), Array():
            return Array(left.type, np.concatenate([left.data, right.data]))
    raise AssertionError(f"{left} ++ {right}")


def part(type_: Type, data: np.ndarray, places: list[tuple[list[int], bool]]) -> Entity:
    """Return an element of an array, or a part of it with its memory; for each index what it selects, and whether it is a set."""
    if len(places) == data.ndim and not any(many for _, many in places):
        return Element(type_, data, tuple(chosen[0] for chosen, _ in places))
    view = data
    for axis in reversed(range(len(places))):
        chosen, many = places[axis]
        step = chosen[1] - chosen[0] if len(chosen) > 1 else 1
        stop = chosen[-1] + (1 if step > 0 else -1)
        where = slice(chosen[0], stop if stop >= 0 else None, step) if many else chosen[0]
        view = view[(slice(None),) * axis + (where,)]
    return Array(type_, view)
