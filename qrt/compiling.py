"""The compiling of one run: what is kept of earlier runs is used, and what had to be done is counted.

What is kept is this process's: the second run of a program with other values compiles nothing. How it is kept, and what makes two programs
the same, is in templates.py. Of a program with an `extern`, which may look at whatever a file holds today, only the run itself keeps
anything. Pulses are lowered only for who asks for them: a mailbox that rehearses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qrt.opened import Asked
from qrt.pulses.externs import declared
from qrt.qasm import Program
from qrt.sweeps import Reach
from qrt.templates import Templates, lowered
from qrt.types import Calibration, Lab, PortLimits, Pulses, Sequence

KEPT: Final = Templates()


class Compiling:
    """One run's program, for one calibration after the other, nominal values first, and in one leg of the run after the other."""

    def __init__(
        self,
        program: Program,
        inputs: Mapping[str, float],
        lab: Lab,
        limits: PortLimits,
        *,
        reach: Reach | None,
        rounds: bool,
    ) -> None:
        """reach: of the first leg; rounds: durations off the grid."""
        self._asked = Asked(program, inputs, lab, None, limits, reach, rounds)
        self._kept = Templates() if declared(program) else KEPT
        self._pulses: Pulses | None = None
        self.hits = self.misses = 0
        self.rounded: tuple[str, ...] = ()  # of the last sequence
        self.causes: tuple[str, ...] = ()  # inputs for whose other values something was compiled again

    def sequence(self, calibration: Calibration | None) -> Sequence:
        """Return the sequence with a calibration, None for nominal values. Raises ProgramError as lowering and compiling do."""
        self._asked = self._asked._replace(calibration=calibration)
        return self._sequence()

    def in_leg(self, reach: Reach | None) -> Sequence:
        """Return the sequence where operands go through other values, with the same calibration. Raises ProgramError likewise."""
        self._asked = self._asked._replace(reach=reach)
        return self._sequence()

    def pulses(self) -> Pulses:
        """Return the pulses of the last sequence."""
        if self._pulses is None:
            self._pulses, _ = lowered(self._asked)
        return self._pulses

    def _sequence(self) -> Sequence:
        found = self._kept.compiled(self._asked)
        self.hits, self.misses = self.hits + found.hit, self.misses + (not found.hit)
        self.rounded, self._pulses = found.rounded, found.pulses
        self.causes = tuple(dict.fromkeys((*self.causes, *found.causes)))
        return found.sequence
