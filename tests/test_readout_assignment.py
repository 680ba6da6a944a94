"""Assignment matrices against a reference experiment that is simulated jump by jump, written independently of the formulas."""

import numpy as np
import pytest

from qrt.readout.assignment import (
    Reference,
    estimate_assignment,
    fit_herald,
    flipped,
    reference_assignment,
    residual_population,
)
from qrt.types import Estimated

EXACT0, EXACT1 = Estimated(0.0, 0.0), Estimated(1.0, 0.0)


def test_perfect_preparation_is_counting():
    found = estimate_assignment((20, 950), (1000, 1000), (EXACT0, EXACT1))
    np.testing.assert_allclose(found.matrix, [[0.98, 0.05], [0.02, 0.95]], atol=1e-12)
    np.testing.assert_allclose(found.stderr[1], [(0.02 * 0.98 / 1000) ** 0.5, (0.05 * 0.95 / 1000) ** 0.5], rtol=2e-2)
    np.testing.assert_array_equal(found.preparation_stderr, 0.0)
    assert found.reference_count == 1000


def test_known_preparation_errors_are_taken_out():
    error0, error1, low, high = 0.02, 0.06, 0.004, 0.991
    shots = 1_000_000
    ones = tuple(round(shots * (error0 * (1 - p) + (1 - error1) * p)) for p in (low, high))
    prepared = (Estimated(low, 1e-3), Estimated(high, 2e-3))
    found = estimate_assignment(ones, (shots, shots), prepared)
    np.testing.assert_allclose(found.matrix[1], [error0, 1 - error1], atol=3e-6)
    assert found.preparation_stderr[1, 0] == pytest.approx(0.92 * 1e-3, rel=0.02)
    assert found.preparation_stderr[1, 1] == pytest.approx(0.92 * 2e-3, rel=0.02)


def test_no_error_seen_still_has_an_error_bar():
    found = estimate_assignment((0, 500), (500, 500), (EXACT0, EXACT1))
    assert np.all(found.stderr > 0)


def test_herald_keeps_the_far_side(rng):
    values = np.concatenate([rng.normal(-1e6, 1e5, 49_000), rng.normal(0.0, 1e5, 1000)]).astype(np.int64)
    herald = fit_herald(values)
    assert herald.mean == pytest.approx(-1e6, abs=5e3)
    assert herald.sigma == pytest.approx(1e5, rel=0.05)
    assert np.mean(values[:49_000] < herald.cut) == pytest.approx(0.69, abs=0.03)
    assert np.sum(values[49_000:] < herald.cut) == 0


def jumps(rng, level, duration, up, down):
    """Return the time integral of the level over a duration and the level at its end; at most four jumps. Each [shots]."""
    left, integral = np.full(level.shape, duration), np.zeros(level.shape)
    for _ in range(4):
        hold = np.minimum(rng.exponential(1.0 / np.where(level == 1, down, up)), left)
        integral += hold * level
        left = left - hold
        level = np.where(left > 0, 1 - level, level)
    return integral, level


class World:
    """A qubit that jumps up and down and a readout that integrates its level with white noise; time in us."""

    t1, thermal, tone, wait, x = 20.0, 0.03, 1.0, 1.0, 0.06

    def __init__(self, rng, separation, x_error):
        self.rng, self.separation, self.x_error = rng, separation, x_error
        self.up, self.down = self.thermal / self.t1, (1 - self.thermal) / self.t1

    def read(self, level):
        """Return (value, level after); a cloud has sigma 1 and level 1 sits at `separation`."""
        integral, level = jumps(self.rng, level, self.tone, self.up, self.down)
        return self.separation * integral / self.tone + self.rng.normal(size=level.shape), level

    def assignment(self, shots):
        """Return the true P(1 | 0), P(1 | 1) at a threshold in the middle, sampled."""
        return [np.mean(self.read(np.full(shots, p))[0] > self.separation / 2) for p in (0, 1)]

    def reference(self, shots):
        """Return counts of `shots` shots per prepared level."""
        ones, kept, herald_ones = [], [], 0
        for flip in (False, True):
            level = (self.rng.random(shots) < self.thermal).astype(int)
            first, level = self.read(level)
            _, level = jumps(self.rng, level, self.wait, self.up, self.down)
            if flip:
                level = np.where(self.rng.random(shots) < self.x_error, level, 1 - level)
            else:
                _, level = jumps(self.rng, level, self.x, self.up, self.down)
                herald_ones = int(np.sum(first > self.separation / 2))
            second, _ = self.read(level)
            keep = first < fit_herald(np.rint(first * 1000).astype(np.int64)).cut / 1000
            ones.append(int(np.sum(second[keep] > self.separation / 2)))
            kept.append(int(np.sum(keep)))
        return Reference(tuple(ones), tuple(kept), herald_ones, shots, self.separation, self.tone, self.wait, self.x)


def test_residual_population_after_a_herald(rng):
    world = World(rng, 6.0, 0.0)
    level = (rng.random(2_000_000) < world.thermal).astype(int)
    value, level = world.read(level)
    kept = level[value < 0.5]
    _, kept = jumps(rng, kept, world.wait, world.up, world.down)
    seen, error = np.mean(kept), (np.mean(kept) / len(kept)) ** 0.5
    found = residual_population(Estimated(0.03, 0.0), Estimated(20.0, 0.0), world.wait, world.tone, world.separation)
    print(f"residual: simulated {seen:.2e} +- {error:.0e}, formula {found.value:.2e} +- {found.stderr:.0e}")
    assert abs(seen - found.value) < 3 * error + found.stderr
    assert abs(seen - found.value) < 0.05 * seen


def test_a_flip_exchanges_levels():
    found = flipped(Estimated(0.002, 1e-4), Estimated(0.01, 2e-4))
    assert found.value == pytest.approx(0.998 * 0.99 + 0.002 * 0.01)
    assert found.stderr == pytest.approx(np.hypot(1e-4, 2e-4), rel=0.03)


def bias(rng, separation, shots, repeats, rounds):
    """Return (mean of A[1] - truth, its standard error, mean claimed standard errors), each [2]."""
    world = World(rng, separation, 0.003)
    truth = np.mean([world.assignment(2_000_000) for _ in range(rounds)], axis=0)
    x_error, t1 = Estimated(0.003, 2e-4), Estimated(20.0, 0.4)
    found = [reference_assignment(world.reference(shots), x_error, t1)[0] for _ in range(repeats)]
    rows = np.array([one.matrix[1] for one in found])
    own = (truth * (1 - truth) / (2_000_000 * rounds)) ** 0.5
    claimed = np.mean([np.hypot(one.stderr[1], one.preparation_stderr[1]) for one in found], axis=0)
    return rows.mean(axis=0) - truth, np.hypot(rows.std(axis=0) / repeats**0.5, own), claimed


@pytest.mark.parametrize("separation", [2.8, 6.0])
def test_an_error_bar_is_what_other_counts_would_change(separation):
    ones, shots, herald_ones, herald_shots = (1800, 18_000), (20_000, 20_000), 3600, 32_000
    counted = Reference(ones, shots, herald_ones, herald_shots, separation, 1.0, 1.1, 0.06)
    t1, x_error = Estimated(20.0, 0.0), Estimated(0.001, 0.0)
    found, thermal = reference_assignment(counted, x_error, t1)
    parts = []
    for share, of, more in (
        (ones[0] / shots[0], shots[0], counted._replace(ones=(ones[0] + 1, ones[1]))),
        (ones[1] / shots[1], shots[1], counted._replace(ones=(ones[0], ones[1] + 1))),
        (herald_ones / herald_shots, herald_shots, counted._replace(herald_ones=herald_ones + 1)),
    ):
        other, other_thermal = reference_assignment(more, x_error, t1)
        changes = (*(other.matrix[1] - found.matrix[1]), other_thermal.value - thermal.value)
        parts.append(np.array(changes) * (share * (1.0 - share) * of) ** 0.5)
    bars = np.hypot(found.stderr[1], found.preparation_stderr[1])
    print(f"d = {separation}: {np.hypot.reduce(parts)}, claimed {bars} {thermal.stderr}")
    np.testing.assert_allclose([*bars, thermal.stderr], np.hypot.reduce(parts), rtol=0.03)


@pytest.mark.parametrize("separation", [4.0, 7.0])
def test_assignment_of_a_simulated_reference(separation, rng):
    away, error, claimed = bias(rng, separation, 20_000, 20, rounds=2)
    print(f"d = {separation}: bias {away} +- {error}, one calibration claims {claimed}")
    assert np.all(np.abs(away) < 3 * error + 0.5 * claimed)


@pytest.mark.prove
@pytest.mark.parametrize("separation", [4.0, 7.0])
def test_assignment_is_unbiased(separation, rng):
    away, error, claimed = bias(rng, separation, 30_000, 200, rounds=20)
    print(f"d = {separation}: bias {away} +- {error}, one calibration claims {claimed}")
    assert np.all(np.abs(away) < 3 * error + 1e-4)
    assert np.all(np.abs(away) < 0.25 * claimed)
