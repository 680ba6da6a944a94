"""How much excitation an active reset leaves, as a function of its feedback latency, from measured numbers alone.

The joint-probability formula: with p_j the population of level j at the deciding tone,

    P1' = sum_j p_j [ P(0,1|j) + P(1,1|j) p_x + P(1,0|j) (1 - p_x) ]

where P(m, k|j) is the probability of outcome m *and* level k at the pulse, and p_x that the pulse fails. Outcome and level are correlated:
a qubit that decays late in the readout still reads 1 and is then excited by the pulse. The product of the two probabilities misses that.

The readout is modelled as a flat integration over the tone: a level that falls at time u leaves the signal u / tone (1 for a qubit that
stays in 1, 0 in 0), Gaussian noise is added, and a threshold decides. Noise and threshold are fixed by the two measured
assignment errors, whose decay part follows from the measured T1. What the model leaves out: weights that are not flat, photons that
are still in the resonator when the gap is shorter than the depletion, the third level, and thermal excitation, whose rate a calibration
does not keep yet.
"""

from __future__ import annotations

from math import exp, expm1
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from qrt.report.data import ResetFacts
from qrt.types import Estimated

Floats = NDArray[np.float64]

STEPS = 400  # of the midpoint rule over the tone
MEASURED = ("before", "t1_ns", "error_0", "error_1", "x_error")


class Discrimination(NamedTuple):
    """Noise and threshold of the integrated signal, in units of the distance between the levels."""

    noise: float
    threshold: float


def curve(facts: ResetFacts, gaps_ns: Floats) -> tuple[Floats, Floats]:
    """Return the population of level 1 at the next tone for each feedback latency, and its standard error.

    The error comes from those of the measured numbers, each moved by one of its own; `gaps_ns` and both results are [points].
    """
    centre = _residual(facts, gaps_ns)
    squares = np.zeros_like(centre)
    for name in MEASURED:
        measured: Estimated = getattr(facts, name)
        moved = Estimated(value=measured.value + measured.stderr, stderr=0.0)
        squares += (_residual(structs.replace(facts, **{name: moved}), gaps_ns) - centre) ** 2
    return centre, np.sqrt(squares)


def discrimination(error_0: float, error_1: float, decay: float) -> Discrimination:
    """Return the noise and threshold that give the assignment errors, `decay` being tone / T1.

    The threshold follows from A[1, 0] = error_0 for any noise; the noise is then found by bisection, since error_1 grows with it.
    Errors below what decay alone causes give the smallest noise.
    """
    quantile = NormalDist().inv_cdf(min(max(1.0 - error_0, 0.5), 1.0 - 1e-12))
    low, high = 1e-3, 2.0
    for _ in range(50):
        middle = (low + high) / 2
        outcome_1, _ = _level_1_joint(Discrimination(middle, middle * quantile), decay)
        if 1.0 - outcome_1.sum() < error_1:
            low = middle
        else:
            high = middle
    return Discrimination(low, low * quantile)


def _residual(facts: ResetFacts, gaps_ns: Floats) -> Floats:
    t1_ns, before, failing = facts.t1_ns.value, facts.before.value, facts.x_error.value
    decay = facts.tone_ns / t1_ns
    outcome_1, outcome_0 = _level_1_joint(discrimination(facts.error_0.value, facts.error_1.value, decay), decay)
    kept = np.exp(-gaps_ns / t1_ns)  # of what is in level 1 at the tone's end
    from_0 = facts.error_0.value * (1.0 - failing)  # P(1,0|0) (1 - p_x): P(., 1|0) is excitation from below, left out
    p_11 = outcome_1[1] * kept
    p_10 = outcome_1.sum() - p_11
    p_01 = outcome_0[1] * kept
    from_1 = p_01 + p_11 * failing + p_10 * (1.0 - failing)
    left: Floats = ((1.0 - before) * from_0 + before * from_1) * exp(-facts.after_ns / t1_ns)
    return left


def _level_1_joint(readout: Discrimination, decay: float) -> tuple[Floats, Floats]:
    """Return P(outcome 1, level) and P(outcome 0, level), both [level at the tone's end], for a start in level 1."""
    u = (np.arange(STEPS) + 0.5) / STEPS
    falls = np.exp(-decay * u)
    falls *= -expm1(-decay) / falls.sum()
    stays = exp(-decay)
    normal = NormalDist()
    fell_one = np.array([normal.cdf((x - readout.threshold) / readout.noise) for x in u])
    stayed_one = normal.cdf((1.0 - readout.threshold) / readout.noise)
    outcome_1 = np.array([falls @ fell_one, stays * stayed_one])
    return outcome_1, np.array([1.0 - stays, stays]) - outcome_1
