"""The fits against scipy's, on noisy points of every model, and their uncertainties against the spread they predict."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from qrt.calibrate import fit

AMPLITUDES = np.linspace(0.0, 1.0, 33)
TIMES = np.linspace(0.0, 80.0, 17)
DELAYS = np.tile(np.linspace(0.0, 20.0, 21), 2)
QUADRATURES = np.repeat([0.0, np.pi / 2], 21)
COUNTS = np.array([0.0, 1, 2, 3, 5, 7, 9, 13, 17, 25, 33, 41])
CASES = [
    (fit.rabi, AMPLITUDES, (0.1, 0.8, 6.1), (0.0, 1.0, 6.0)),
    (fit.train, COUNTS, (0.0, 1.0, 0.998, 1.59), (0.1, 0.9, 0.99, 1.5708)),
    (fit.flips, COUNTS, (0.0, 1.0, 0.998), (0.1, 0.9, 0.99)),
    (fit.decay, TIMES, (-0.9, 1.8, 1 / 18.0), (-1.0, 2.0, 1 / 30.0)),
    (fit.ramsey, np.stack([DELAYS, QUADRATURES]), (0.0, 0.9, 1 / 15.0, -0.7, 0.2), (0.1, 1.0, 1 / 20.0, -0.68, 0.1)),
]


@pytest.mark.parametrize(("model", "x", "true", "start"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_same_minimum_and_covariance_as_scipy(model, x, true, start, rng):
    exact = model(np.array(true), x)
    sigma = rng.uniform(0.02, 0.05, size=exact.shape)
    y = exact + rng.normal(0.0, sigma)
    ours = fit.least_squares(model, x, y, sigma, start)
    theirs, covariance = curve_fit(
        lambda points, *values: model(np.array(values), points), x, y, p0=start, sigma=sigma, absolute_sigma=True
    )
    assert ours.converged
    assert ours.freedom == len(y) - len(true)
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((ours.values - theirs) / spread, 0.0, atol=2e-3)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance)), spread, rtol=1e-2)
    assert np.all(np.abs(ours.values - true) < 5 * spread)


def test_stated_errors_are_the_spread(rng):
    true, x = np.array([-0.9, 1.8, 1 / 18.0]), TIMES
    found = []
    for _ in range(300):
        y = fit.decay(true, x) + rng.normal(0.0, 0.03, size=x.shape)
        found.append(fit.least_squares(fit.decay, x, y, np.full(x.shape, 0.03), (-1.0, 2.0, 1 / 25.0)))
    pulls = [(one.values[2] - true[2]) / np.sqrt(one.covariance[2, 2]) for one in found]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.13)
    assert np.mean([one.chi2 / one.freedom for one in found]) == pytest.approx(1.0, abs=0.1)


def test_errors_grow_where_points_scatter_more_than_they_say(rng):
    y = fit.decay(np.array([0.0, 1.0, 0.05]), TIMES) + rng.normal(0.0, 0.1, size=TIMES.shape)
    small = fit.least_squares(fit.decay, TIMES, y, np.full(TIMES.shape, 0.01), (0.1, 1.0, 0.04))
    honest = fit.least_squares(fit.decay, TIMES, y, np.full(TIMES.shape, 0.1), (0.1, 1.0, 0.04))
    assert small.estimated(2).stderr > 0.6 * honest.estimated(2).stderr
    assert np.sqrt(small.covariance[2, 2]) < 0.2 * honest.estimated(2).stderr


@pytest.mark.parametrize("true", [-4.7, -1.1, 0.03, 0.9, 5.2])
def test_scan_finds_the_right_valley_and_the_sign(true, rng):
    time = np.tile(np.arange(16) * 0.08, 2)
    quadrature = np.repeat([0.0, np.pi / 2], 16)
    y = fit.ramsey(np.array([0.1, 0.8, 0.06, 2 * np.pi * true, 0.4]), np.stack([time, quadrature]))
    y = y + rng.normal(0.0, 0.05, size=y.shape)

    def columns(frequency):
        angle = 2 * np.pi * frequency * time - quadrature
        return np.stack([np.ones_like(time), np.cos(angle), np.sin(angle)], axis=1)

    found, _ = fit.scan(columns, y, np.full(y.shape, 0.05), np.linspace(-6, 6, 241))
    assert found == pytest.approx(true, abs=0.06)


def test_a_fit_that_did_not_end_says_so(monkeypatch):
    monkeypatch.setattr(fit, "ITERATIONS_MAX", 1)
    y = fit.decay(np.array([0.0, 1.0, 0.05]), TIMES)
    assert not fit.least_squares(fit.decay, TIMES, y, np.ones(TIMES.shape), (0.1, 0.5, 0.5)).converged


def test_points_that_are_no_numbers_are_our_bug():
    x = np.linspace(0.0, 1.0, 5)
    with pytest.raises(AssertionError, match="not finite"):
        fit.least_squares(lambda p, x: x * p[0], x, np.full(5, np.nan), np.ones(5), (1.0,))


def test_straight_is_chi2_of_no_change(rng):
    values = rng.normal(3.0, 0.1, size=1000)
    assert fit.straight(values, np.full(1000, 0.1)) == pytest.approx(999, abs=150)
