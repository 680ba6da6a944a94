"""Assignment matrices from reference shots, with what is known and not known of their preparation.

A reference shot measures twice. The first readout, the herald, is kept only where its iq lies far on the side of outcome 0; then follow a
wait for the photons to leave, an x or a wait of the same length, and the second readout, whose outcomes are counted. A[m, p] is
P(outcome m | level p at the start of the tone), so what happens during the readout, decay included, is part of A; what happens before
it is preparation and is corrected for:

residual   population of level 1 in front of the x. A kept herald says 0 up to about its end; from there on level 1 refills with the rate
           p_thermal / T1. A jump late in the herald does not show, so the time counted from starts `blind_s` before its end, from the
           separation of the clouds; half of that time is taken as its uncertainty.
x fails    with the probability that a train of x pulses loses contrast by, which no readout error can imitate.

The counts then are m_p = A[1, 0] (1 - pi_p) + A[1, 1] pi_p with known pi_0, pi_1, and are solved for A. Solved, not fitted: an element
may come out a little below 0, as it must if its average shall be right.

What is assumed, because no experiment of this kind can see it (the gauge between preparation and readout): the herald leaves level 0
where it reads 0; errors of x are the same in a train and alone, and do not depend on the level; there is no third level; the
second readout does not remember the first (its photons have left). Each would appear as a shift of A that no reference shot shows.
"""

from __future__ import annotations

from math import erf, exp, pi
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.types import Estimated

KEPT_SIGMA: Final = 0.5  # a herald is kept below mean + 0.5 sigma of the cloud of level 0: 7 of 10 shots
BLIND_UNCERTAINTY: Final = 0.5  # of blind_s, relative: the response of the resonator to a jump is not measured


class Assignment(NamedTuple):
    """An assignment matrix and its standard errors; all [outcomes, prepared], columns of `matrix` sum to 1."""

    matrix: NDArray[np.float64]
    stderr: NDArray[np.float64]  # sampling of the reference shots
    preparation_stderr: NDArray[np.float64]  # from the standard errors of the prepared populations
    reference_count: int  # the smaller of both levels


class Herald(NamedTuple):
    """Which first readouts are kept."""

    cut: float  # keep iq[0] < cut
    mean: float  # of the cloud of level 0
    sigma: float


def fit_herald(values: NDArray[np.int64]) -> Herald:
    """Return the cut for iq[0] of first readouts, most of them of level 0, from the median and the spread of the lower half.

    Both are of the lower side of the cloud, where level 1 cannot reach, so that no model of the upper side is needed.
    """
    median = float(np.median(values))
    sigma = median - float(np.quantile(values, 0.5 - 0.5 * erf(1.0 / 2.0**0.5)))
    return Herald(median + KEPT_SIGMA * sigma, median, sigma)


class Reference(NamedTuple):
    """Counts of a reference measurement of one qubit, and when things were."""

    ones: tuple[int, int]  # second outcomes 1 among the kept shots, prepared without and with x
    shots: tuple[int, int]  # kept shots
    herald_ones: int  # first outcomes 1 among all shots that began in equilibrium
    herald_shots: int
    separation: float  # of the means of the two clouds, over sigma
    tone_s: float  # the herald's
    wait_s: float  # from the end of the herald's tone to the x
    x_s: float  # the x, which ends where the second tone starts


def reference_assignment(reference: Reference, x_error: Estimated, t1_s: Estimated) -> tuple[Assignment, Estimated]:
    """Return A and the thermal population.

    The correction needs the thermal population, which is read with A: a fixed point, whose error shrinks by the share g of that population
    that is there again after the herald (some 5 to 10 %) per round. With m = A[1, 0] + g (h - A[1, 0]), where h is the share of first
    outcomes 1, A[1, 0] is (m - g h) / (1 - g): an error of what was counted moves the correction as well, and grows by 1 / (1 - g).
    """
    nothing, exact = Estimated(0.0, 0.0), Estimated(1.0, 0.0)
    found = estimate_assignment(reference.ones, reference.shots, (nothing, exact))
    thermal = nothing
    for _ in range(6):
        error0 = Estimated(float(found.matrix[1, 0]), float(found.stderr[1, 0]))
        eta = float(found.matrix[1, 1]) - error0.value
        thermal = thermal_population(reference.herald_ones, reference.herald_shots, error0, eta)
        at_x, at_tone = (
            residual_population(thermal, t1_s, wait_s, reference.tone_s, reference.separation)
            for wait_s in (reference.wait_s, reference.wait_s + reference.x_s)
        )
        found = estimate_assignment(reference.ones, reference.shots, (at_tone, flipped(at_x, x_error)))
    until_s = reference.wait_s + reference.x_s
    again = residual_population(exact, t1_s, until_s, reference.tone_s, reference.separation).value
    grown = np.array([1.0 / (1.0 - again), 1.0])
    bars = {"stderr": found.stderr * grown, "preparation_stderr": found.preparation_stderr * grown}
    return found._replace(**bars), Estimated(thermal.value, thermal.stderr / (1.0 - again))


def thermal_population(ones: int, shots: int, error0: Estimated, eta: float) -> Estimated:
    """Return P(level 1) in equilibrium, (share of outcomes 1 - A[1, 0]) / eta with eta = A[1, 1] - A[1, 0]; at least 0."""
    share = (ones + 0.5) / (shots + 1.0)
    stderr = (share * (1.0 - share) / shots + error0.stderr**2) ** 0.5 / eta
    return Estimated(max((ones / shots - error0.value) / eta, 0.0), stderr)


def residual_population(
    thermal: Estimated, t1_s: Estimated, wait_s: float, tone_s: float, separation: float
) -> Estimated:
    """Return P(level 1) at `wait_s` after the end of a kept herald.

    Args:
      thermal: population of level 1 in equilibrium
      t1_s: relaxation time
      wait_s: from the end of the herald's tone to the moment asked for
      tone_s: length of the herald's tone
      separation: distance of the means of the two clouds over their sigma, d

    A jump up at a time u before the herald's end moves its value by d u / tone_s sigma, so it is kept with Phi(k - d u / tone_s) / Phi(k),
    k = 0.5, and the integral over u is blind_s = tone_s / d * (k Phi(k) + phi(k)) / Phi(k).

    """
    kept = 0.5 * (1.0 + erf(KEPT_SIGMA / 2.0**0.5))
    density = exp(-0.5 * KEPT_SIGMA**2) / (2.0 * pi) ** 0.5
    blind_s = min(tone_s / separation * (KEPT_SIGMA + density / kept), tone_s)
    missed = 0.5 * (1.0 + erf((KEPT_SIGMA - separation) / 2.0**0.5)) / kept  # level 1 throughout, and kept
    refilled = 1.0 - exp(-(wait_s + blind_s) / t1_s.value)
    value = thermal.value * (refilled + missed)
    slope = exp(-(wait_s + blind_s) / t1_s.value) / t1_s.value
    parts = (
        (refilled + missed) * thermal.stderr,
        thermal.value * slope * BLIND_UNCERTAINTY * blind_s,
        thermal.value * slope * (wait_s + blind_s) * t1_s.stderr / t1_s.value,
    )
    return Estimated(value, sum(part**2 for part in parts) ** 0.5)


def flipped(population: Estimated, x_error: Estimated) -> Estimated:
    """Return P(level 1) after an x that fails with `x_error`."""
    value = (1.0 - population.value) * (1.0 - x_error.value) + population.value * x_error.value
    slope = 1.0 - 2.0 * population.value
    return Estimated(
        value, (((1.0 - 2.0 * x_error.value) * population.stderr) ** 2 + (slope * x_error.stderr) ** 2) ** 0.5
    )


def estimate_assignment(
    ones: tuple[int, int], shots: tuple[int, int], prepared: tuple[Estimated, Estimated]
) -> Assignment:
    """Return A from counted outcomes.

    Args:
      ones: outcomes 1 of the shots prepared without and with x
      shots: how many shots were kept of each, above 0
      prepared: P(level 1) at the start of the counted tone, without and with x

    The two columns are treated as independent. The residual population moves them together, which for an expectation value z counts
    sqrt(2 + 2 z^2) / 2 |z| >= 1 times too much: on the safe side.

    """
    population = np.array([prepared[0].value, prepared[1].value])
    contrast = population[1] - population[0]
    measured = np.array([ones[0] / shots[0], ones[1] / shots[1]])
    share = np.array(
        [(ones[p] + 0.5) / (shots[p] + 1.0) for p in (0, 1)]
    )  # never exactly 0 or 1: an error bar is never 0
    variance = share * (1.0 - share) / np.array(shots)
    # m = [1 - pi, pi] A[1], inverted: A[1, 0] = (pi1 m0 - pi0 m1) / contrast, A[1, 1] = ((1 - pi0) m1 - (1 - pi1) m0) / contrast.
    inverse = np.array([[population[1], -population[0]], [population[1] - 1.0, 1.0 - population[0]]]) / contrast
    row = inverse @ measured
    spread = np.sqrt(inverse**2 @ variance)
    # d m = (A[1, 1] - A[1, 0]) d pi, carried through the same inverse.
    unknown = np.array([prepared[0].stderr, prepared[1].stderr]) * abs(row[1] - row[0])
    preparation = np.sqrt(inverse**2 @ unknown**2)
    matrix = np.stack([1.0 - row, row])
    return Assignment(matrix, np.stack([spread, spread]), np.stack([preparation, preparation]), min(shots))
