"""A run's program on its way to sequences: compiled where it is not kept from before, with counts of both.

What is kept is the process's: the second run of a program with other values compiles nothing. How it is kept, and what makes two programs
the same, is in templates.py. Pulses are lowered only for who asks for them: a mailbox that rehearses, a further leg of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qrt.qasm import Program
from qrt.sweeps import Reach
from qrt.templates import Asked, Templates, lowered
from qrt.types import Calibration, Lab, PortLimits, Pulses, Sequence

KEPT: Final = Templates()


class Compiling:
    """One run's program, for one calibration after the other: nominal values, then those of the run."""

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
        self._pulses: Pulses | None = None
        self.hits = self.misses = 0
        self.rounded: tuple[str, ...] = ()  # of the last sequence

    def sequence(self, calibration: Calibration | None) -> Sequence:
        """Return the sequence with a calibration, None for nominal values. Raises ProgramError as lowering and compiling do."""
        self._asked, self._pulses = self._asked._replace(calibration=calibration), None
        found = KEPT.compiled(self._asked)
        self.hits, self.misses = self.hits + found.hit, self.misses + (not found.hit)
        self.rounded = found.rounded
        return found.sequence

    def pulses(self) -> Pulses:
        """Return the pulses of the last sequence."""
        if self._pulses is None:
            self._pulses, _ = lowered(self._asked)
        return self._pulses
