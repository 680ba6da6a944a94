"""What elaboration must know of the lab: lengths of time, named functions, ports. Given by `qrt.pulses`; this package knows no lab."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from qrt.qasm.ports import Ports

if TYPE_CHECKING:
    from qrt.qasm.program import Statement


class Facts(Protocol):
    """The lab as a program can see it."""

    @property
    def sample_s(self) -> Fraction:
        """The length of `dt`."""

    @property
    def tick_s(self) -> Fraction:
        """The quantum of time."""

    @property
    def ports(self) -> Collection[str]:
        """Names of ports."""

    @property
    def pulses(self) -> Ports:
        """What OpenPulse sees of it."""

    @property
    def externs(self) -> Mapping[str, Callable[..., Any]]:
        """Functions that the lab provides, by name."""

    def absent(self, names: Sequence[str]) -> str | None:
        """Return which qubits of a program, by its names for them, the lab has not, and what there is; None where it has all."""

    def uncoupled(self, one: int, other: int) -> str | None:
        """Return why there is no cz between two of the lab's qubits, and what there is; None where there is one."""

    def lengths_s(self, statements: Sequence[Statement], qubits: Sequence[str]) -> Mapping[int, Fraction]:
        """Return how long statements take on each qubit that they act on, by index. Raises ProgramError where that is not fixed."""


class NoLab:
    """Facts of no lab: for expressions that stand alone."""

    sample_s = Fraction(0)
    tick_s = Fraction(1, 10**9)
    ports: Collection[str] = ()
    pulses = Ports({}, {}, {}, (), Fraction(0), Fraction(0))
    externs: Mapping[str, Callable[..., Any]] = {}

    def absent(self, names: Sequence[str]) -> str | None:
        """There is any qubit."""
        return None

    def uncoupled(self, one: int, other: int) -> str | None:
        """Any two qubits are coupled."""
        return None

    def lengths_s(self, statements: Sequence[Statement], qubits: Sequence[str]) -> Mapping[int, Fraction]:
        """No statement has a length here."""
        raise AssertionError(f"{len(statements)} statements on {len(qubits)} qubits without a lab")
