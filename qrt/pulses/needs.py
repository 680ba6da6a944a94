"""Who needs what: which sequencers follow a branch, keep a variable, set a bit, fill a column.

Each sequencer keeps its own copy of a variable, so that no two wait for each other to compute. A variable is kept by those who use it: in a
condition that they follow, in an operand, in a column, in another variable that they keep. Who keeps a variable follows the branches
in which it is set. So sets of sequencers grow until nothing changes; qubits that share no outcome stay uncoupled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qrt.classical import bits_of, variables_of
from qrt.qasm.kinds import RUNTIME
from qrt.qasm.program import (
    Assign,
    Barrier,
    Box,
    Branch,
    Cz,
    Delay,
    Emit,
    Gate,
    Measurement,
    Reset,
    SetBit,
    Statement,
)
from qrt.qasm.pulses import (
    FrameBarrier,
    FrameCapture,
    FrameDelay,
    FrameFrequency,
    FramePhase,
    FramePlay,
    sequencers_of,
)
from qrt.types import Classical, Lasting


class Needs:
    """The sequencers, by the index of their qubit, that statements concern."""

    def __init__(self, statements: Iterable[Statement], names: Sequence[str] = ()) -> None:
        self._places = {name: index for index, name in enumerate(names)}
        # Outside of branches, a gate that no outcome turns needs nobody; of what is left, most are the classical statements.
        others = [one for one in statements if type(one) is not Gate or type(one.angle) in RUNTIME]
        listed = [one for one in others if _is_classical(one)]
        self._home: dict[int, int] = {}
        self._kept: dict[int, set[int]] = {}
        self._origins: dict[int, int] = {}
        self._groups: dict[int, tuple[int, ...]] = {}
        self._homes(others)
        while listed:
            before = sum(map(len, self._kept.values()))
            self._acting(listed, 0)
            if sum(map(len, self._kept.values())) == before:
                break

    def group(self, one: Branch | Box | Emit) -> tuple[int, ...]:
        """Return who acts in a branch or a box, or fills a column."""
        return self._groups[id(one)]

    def keepers(self, variable: int) -> tuple[int, ...]:
        """Return who keeps a variable."""
        return tuple(sorted(self._kept.get(variable, ())))

    def home(self, bit: int) -> int:
        """Return who sets a bit to a constant: who first measures into it, or the first of all."""
        return self._home.get(bit, 0)

    def _homes(self, statements: Iterable[Statement]) -> None:
        for one in statements:
            kind = type(one)
            if kind is Measurement:
                if one.bit is not None:  # type: ignore[union-attr]
                    self._home.setdefault(one.bit, one.qubit)  # type: ignore[union-attr]
            elif kind is FrameCapture:
                if one.bit is not None:  # type: ignore[union-attr]
                    self._home.setdefault(one.bit, self._places[one.sequencer])  # type: ignore[union-attr]
            elif kind is Branch:
                self._homes(one.then)  # type: ignore[union-attr]
                self._homes(one.otherwise)  # type: ignore[union-attr]
            elif kind is Box:
                self._homes(one.inside)  # type: ignore[union-attr]

    def _acting(self, statements: Iterable[Statement], nearest: int) -> set[int]:
        """Return who acts in statements; `nearest` fills a column with what needs no outcome."""
        acting: set[int] = set()
        for one in statements:
            match one:
                case Gate(qubit=qubit, angle=angle):
                    acting.add(qubit)
                    if type(angle) in RUNTIME:
                        self._keep(angle, {qubit})  # type: ignore[arg-type]
                case Measurement(qubit=qubit) | Reset(qubit=qubit):
                    acting.add(qubit)
                case Delay(qubits=qubits, duration=Lasting(word=word)):
                    acting.update(qubits)
                    self._keep(word, set(qubits))
                case Cz(qubits=qubits) | Delay(qubits=qubits) | Barrier(qubits=qubits):
                    acting.update(qubits)
                case SetBit(bit=bit):
                    acting.add(self.home(bit))
                case FramePlay() | FramePhase() | FrameFrequency() | FrameCapture() | FrameDelay() | FrameBarrier():
                    found = {self._places[name] for name in sequencers_of(one)}
                    acting |= found
                    if isinstance(one, FramePhase) and type(one.phase_rad) in RUNTIME:
                        self._keep(one.phase_rad, found)  # type: ignore[arg-type]
                case Assign(variable=variable, value=value):
                    self._origins.setdefault(variable, self._origin(value, nearest))
                    keepers = self._kept.get(variable, set())
                    self._keep(value, keepers)
                    acting |= keepers
                case Emit(value=value):
                    who = self._origin(value, nearest)  # type: ignore[arg-type]
                    self._groups[id(one)] = (who,)
                    self._keep(value, {who})  # type: ignore[arg-type]
                    acting.add(who)
                case Branch():
                    acting |= self._branch(one, nearest)
                case Box(inside=inside):
                    found = self._acting(inside, nearest)
                    self._groups[id(one)] = tuple(sorted(found))
                    acting |= found
        return acting

    def _branch(self, one: Branch, nearest: int) -> set[int]:
        nearest = self._origin(one.condition, nearest)
        group = self._acting(one.then, nearest) | self._acting(one.otherwise, nearest)
        self._groups[id(one)] = tuple(sorted(group))
        self._keep(one.condition, group)
        return group

    def _keep(self, value: Classical, who: set[int]) -> None:
        """Note that sequencers need the variables of a value."""
        for variable in variables_of(value):
            self._kept.setdefault(variable, set()).update(who)

    def _origin(self, value: Classical, nearest: int) -> int:
        """Return where a value comes from: who measures the first bit that it needs."""
        bits = bits_of(value)
        if bits:
            return self.home(bits[0])
        return next((self._origins[one] for one in variables_of(value) if one in self._origins), nearest)


def _is_classical(one: Statement) -> bool:
    """Say whether a statement needs a variable, or is done by a group."""
    return type(one) in CLASSICAL or (type(one) is Delay and type(one.duration) is Lasting)


CLASSICAL = frozenset({Gate, Assign, Emit, Branch, Box, SetBit, FramePhase})
