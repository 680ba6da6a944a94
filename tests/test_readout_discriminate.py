"""Weights and thresholds: optimal against every other, exact against brute force, blind to the neighbours."""

from math import erfc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qrt.readout.discriminate import boxcar_weights, fit_threshold, matched_weights, smooth_envelope

SAMPLE_S = 1e-9
TIME = np.arange(1000) * SAMPLE_S
iq_values = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(-(2**40), 2**40) | st.integers(-5, 5))


def error(threshold, level0, level1):
    """Return the sum of both classes' shares of errors."""
    return np.mean(level0 > threshold) + np.mean(level1 <= threshold)


def ring(tone_hz, kappa, amplitude, phase):
    """Return the ring-up of a resonator as the ADC sees it."""
    return amplitude * (1 - np.exp(-kappa * TIME / 2)) * np.cos(2 * np.pi * tone_hz * TIME + phase)


@given(iq_values, iq_values, st.integers(-(2**40), 2**40))
def test_no_other_threshold_has_fewer_errors(level0, level1, other):
    found = fit_threshold(level0, level1)
    best = error(found.value, level0, level1)
    assert best == pytest.approx(found.error0 + found.error1, abs=1e-12)
    for value in (other, *(level0 - 1), *level0, *(level1 - 1), *level1):
        assert best <= error(value, level0, level1) + 1e-12


def test_classes_of_different_sizes_count_alike(rng):
    # If the distribution of class 0 were divided by the size of class 1, the threshold would move by several sigma.
    level0 = rng.normal(0, 1e4, size=100_000).astype(np.int64)
    level1 = rng.normal(4e4, 1e4, size=2_000).astype(np.int64)
    found = fit_threshold(level0, level1)
    assert found.value == pytest.approx(2e4, abs=4e3)
    assert found.error0 == pytest.approx(0.5 * erfc(2 / 2**0.5), abs=0.01)


def test_threshold_of_separated_classes_lies_in_the_middle():
    assert fit_threshold(np.array([0, 10]), np.array([100, 120])).value == 54
    found = fit_threshold(np.array([7]), np.array([7]))
    assert found.error0 + found.error1 == 1.0


def test_matched_weights_reach_the_optimal_separation(rng):
    # (d / sigma)^2 of the ideal filter is sum(difference^2) / sigma^2; 1500 noisy shots per level must come within 1 %.
    kappa, tone = 2 * np.pi * 4e6, 63.4e6
    difference = ring(tone, kappa, 30.0, 0.7)
    sigma = 110.0
    noise = sigma * (2 / 1500) ** 0.5
    weights = matched_weights(difference + rng.normal(0, noise, size=1000), tone, SAMPLE_S).astype(float)
    assert weights.shape == (2, 1000)
    assert np.abs(weights).max() == 4095
    ideal = np.sum(difference**2)
    reached = (weights[0] @ difference) ** 2 / np.sum(weights[0] ** 2)
    boxcar = boxcar_weights(tone, SAMPLE_S, 1000).astype(float)
    plain = np.hypot(*(boxcar @ difference)) ** 2 / np.sum(boxcar[0] ** 2)
    print(f"power separation: matched {reached / ideal:.4f}, boxcar {plain / ideal:.4f} of the ideal")
    assert reached / ideal > 0.99
    assert plain / ideal < 0.97
    assert weights[0] @ difference > 0


def test_ring_up_gain_over_a_boxcar_is_the_closed_form():
    # mitigation.md 7: matched / boxcar power separation at kappa T = 8 is 1.114.
    kappa, tone = 8.0 / 1e-6, 50e6
    difference = ring(tone, kappa, 20.0, 0.0)
    weights = matched_weights(difference, tone, SAMPLE_S).astype(float)
    boxcar = boxcar_weights(tone, SAMPLE_S, 1000).astype(float)
    matched = (weights[0] @ difference) ** 2 / np.sum(weights[0] ** 2)
    plain = np.sum((boxcar @ difference) ** 2) / np.sum(boxcar[0] ** 2)
    assert matched / plain == pytest.approx(1.114, abs=0.01)


def test_q_is_the_other_quadrature():
    tone = 41e6
    weights = matched_weights(ring(tone, 3e7, 10.0, 0.3), tone, SAMPLE_S).astype(float)
    norm = np.linalg.norm(weights[0]) * np.linalg.norm(weights[1])
    assert abs(weights[0] @ weights[1]) / norm < 0.01
    assert np.linalg.norm(weights[1]) == pytest.approx(np.linalg.norm(weights[0]), rel=0.01)
    # A carrier that leads by a quarter turn moves the whole signal from I to Q.
    advanced = ring(tone, 3e7, 10.0, 0.3 + np.pi / 2)
    assert weights[0] @ advanced == pytest.approx(0.0, abs=0.02 * abs(weights[1] @ advanced))
    assert weights[1] @ advanced > 0


@pytest.mark.parametrize("offset_hz", [20e6, 20.37e6, -8.61e6])
def test_neighbours_are_invisible(offset_hz, rng):
    tone, other = 60e6, 60e6 + offset_hz
    difference = ring(tone, 3e7, 20.0, 0.2)
    seen = [ring(other, 2e7, 300.0, 1.0), ring(other, 2e7, 40.0, 2.0)]
    blind = matched_weights(difference, tone, SAMPLE_S, [other], seen).astype(float)
    naive = matched_weights(difference, tone, SAMPLE_S).astype(float)
    signal = blind[0] @ difference
    steady = 300.0 * np.cos(2 * np.pi * other * TIME + rng.uniform(0, 6))
    for trace in (*seen, steady):
        assert np.max(np.abs(blind @ trace)) < 1e-3 * signal
    assert np.max(np.abs(naive @ seen[0])) > 5e-3 * signal
    assert signal**2 / np.sum(blind[0] ** 2) > 0.97 * np.sum(difference**2)


def test_envelope_is_exact_for_what_it_can_hold():
    tone = 55e6
    true = (3.0 - 1.0j) * np.cos(np.pi * (np.arange(1000) + 0.5) * 5 / 1000) + 0.5j
    trace = (true * np.exp(2j * np.pi * tone * TIME)).real
    np.testing.assert_allclose(smooth_envelope(trace, tone, SAMPLE_S), true, atol=1e-6)


def test_boxcar_sees_phase_and_amplitude():
    weights = boxcar_weights(50e6, SAMPLE_S, 1000).astype(float)
    for phase in (0.0, 1.0, -2.5):
        i, q = weights @ np.cos(2 * np.pi * 50e6 * TIME + phase)
        assert complex(i, q) / (4095 * 500) == pytest.approx(np.exp(1j * phase), abs=2e-3)
