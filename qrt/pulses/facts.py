"""The lab as a program can see it: qrt.qasm.facts.Facts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

from qrt.pulses.externs import Externs
from qrt.pulses.gates import GateSet
from qrt.pulses.ports import ports_of
from qrt.pulses.ticks import PS_PER_S, lengths
from qrt.qasm.ports import Ports
from qrt.qasm.program import Statement
from qrt.types import Lab


def lab_qubits(names: Sequence[str], lab: Lab) -> tuple[str, ...]:
    """Return the lab's qubit for each of a program's, of which elaboration has found none absent."""
    listed = list(lab.qubits)
    return tuple(listed[place] for place in _places(names))


def _places(names: Sequence[str]) -> list[int]:
    return [int(name[1:]) if name.startswith("$") else index for index, name in enumerate(names)]


class LabFacts:
    """Facts of a lab, with the durations of its calibrated gates."""

    def __init__(self, lab: Lab, gates: GateSet) -> None:
        self._lab, self._gates = lab, gates

    @cached_property
    def pulses(self) -> Ports:
        """What OpenPulse sees of it."""
        return ports_of(self._lab, self._gates)

    @cached_property
    def sample_s(self) -> Fraction:
        """The length of `dt`."""
        timing = self._lab.timing
        return Fraction(timing.tick_ps * timing.sample_ticks, PS_PER_S)

    @property
    def tick_s(self) -> Fraction:
        """The quantum of time."""
        return Fraction(self._lab.timing.tick_ps, PS_PER_S)

    @property
    def ports(self) -> Collection[str]:
        """Names of ports: the lab's lines."""
        return tuple(self._lab.lines)

    @property
    def externs(self) -> Mapping[str, Callable[..., Any]]:
        """Functions that the lab provides."""
        return Externs(self._lab)

    def absent(self, names: Sequence[str]) -> str | None:
        """Return which qubits of a program the lab has not."""
        listed = list(self._lab.qubits)
        beyond = [
            f"{name} would be number {place}"
            for name, place in zip(names, _places(names), strict=True)
            if place >= len(listed)
        ]
        if not beyond:
            return None
        known = ", ".join(f"{index}: {name}" for index, name in enumerate(listed))
        return f"the lab {self._lab.name!r} has {len(listed)} qubits ({known}); {', '.join(beyond)}: use fewer, or a lab with more"

    def uncoupled(self, one: int, other: int) -> str | None:
        """Return why there is no cz between two qubits of the lab."""
        names = list(self._lab.qubits)
        return self._gates.uncoupled(names[one], names[other])

    def lengths_s(self, statements: Sequence[Statement], qubits: Sequence[str]) -> Mapping[int, Fraction]:
        """Return how long statements take on each qubit that they act on."""
        ticks = lengths(statements, self._lab, self._gates, lab_qubits(qubits, self._lab))
        return {qubit: Fraction(count * self._lab.timing.tick_ps, PS_PER_S) for qubit, count in ticks.items()}
