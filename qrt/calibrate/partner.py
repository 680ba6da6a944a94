"""The other qubit of a coupler, while one of them is looked at: how often it is in level 1 as the coupler's pulse begins.

A qubit that shall rest in level 0 is in level 1 now and then, and one that is put into level 1 is not always there. Either turns what is
seen of its partner by the conditional phase, now and then. How often is measured in the same shots: both qubits are read out, and the
shares of outcomes 1 are mitigated by the assignment matrix. From the pulse's start to the readout the qubit relaxes towards what it rests
in; that is taken back by T1.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np

from qrt.calibrate.signals import Points, Signal
from qrt.errors import CalibrationError
from qrt.types import Coupler, Estimated, Qubit, QubitCalibration


class Partner(NamedTuple):
    """Of the other qubit."""

    ones: tuple[Estimated, Estimated]  # population of level 1 as the pulse begins, wanted in level 0 | level 1
    lost: float  # share of level 1 that returns to level 0 during the pulse

    def behind(self, seen: Signal) -> Signal:
        """Return a scan with these populations behind its points, to be fitted together."""
        values, sigma = (np.array([getattr(one, part) for one in self.ones]) for part in ("value", "stderr"))
        return Signal(np.append(seen.values, values), np.append(seen.sigma, sigma))


def partner_of(points: Points, qubit: QubitCalibration, coupler: Coupler, target: Qubit) -> Partner:
    """Return what the outcomes of a scan say of the other qubit, which rests in its first half, and is flipped in the second.

    Args:
      points: of the other qubit
      qubit: the same one's calibration, with its assignment matrix
      coupler: whose pulse it is
      target: the qubit that is looked at, and has an sx between the pulse and the readout

    """
    half = len(points.ones) // 2
    rest, flipped = (_population(points, qubit, part) for part in (slice(half), slice(half, None)))
    pulse_ns, t1_ns = coupler.pulse_ns, qubit.t1_s.value * 1e9
    grown = exp((pulse_ns + target.pulse_ns) / t1_ns)
    start = rest.value + (flipped.value - rest.value) * grown
    return Partner((rest, Estimated(start, flipped.stderr * grown)), 1.0 - exp(-pulse_ns / t1_ns))


def _population(points: Points, qubit: QubitCalibration, part: slice) -> Estimated:
    """Return the population of level 1 over some points, as perfect readouts would give it; its error holds the matrix's."""
    shots = float(points.shots[part].sum())
    share = float(np.average(points.ones[part], weights=points.shots[part]))
    error0, contrast = qubit.assignment[1, 0], qubit.assignment[1, 1] - qubit.assignment[1, 0]
    population = (share - error0) / contrast
    bars = np.hypot(qubit.assignment_stderr, qubit.preparation_stderr)[1] * (1.0 - population, population)
    return Estimated(
        float(population), float(np.hypot(np.hypot(*bars), (share * (1.0 - share) / shots) ** 0.5) / contrast)
    )


def require_assigned(name: str, qubits: dict[str, QubitCalibration]) -> None:
    """Raise CalibrationError if a qubit's readout has no assignment matrix."""
    if missing := [one for one, qubit in qubits.items() if not qubit.reference_count]:
        raise CalibrationError(
            f"{name}: the readout of {' and '.join(missing)} has no assignment matrix, which tells how often a level is there; "
            "calibrate assignment before, or all"
        )
