"""The analyses of calibrations on points made here from closed forms: what they find, how sure they say to be, and what they refuse.

Every analysis gets 100 scans of a truth drawn anew. Pulls, (found - truth) / standard error, have a sum of squares that is chi2 with 100
degrees of freedom: it lies outside the bounds below in 0.1 % of seeds. Standard errors grow where points scatter more than theirs, and
never shrink, so a sum that is 0.8 times too small is no defect.
"""

from math import exp, log, pi, sin, tan, tau
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import chi2

from qrt.calibrate import (
    allxy,
    drag,
    echo,
    flips,
    heralds,
    qubit_spectroscopy,
    rabi,
    ramsey,
    rb,
    readout,
    resonator_spectroscopy,
    t1,
    tone,
    top,
    train,
)
from qrt.calibrate.finding import Drawn, Result, judged
from qrt.calibrate.signals import Points, Scan, Signal, magnitude
from qrt.errors import CalibrationError
from qrt.types import Estimated

OF = Scan("q", "scan", "look at the drive")
SCANS = 100
NOISE = 0.03


class Case(NamedTuple):
    """One scan: points without noise, the analysis of points with it, and the true numbers."""

    exact: np.ndarray
    analyse: object
    truth: dict


def of_rabi(rng):
    amplitudes, sx = np.linspace(0.0, 1.0, 41), rng.uniform(0.15, 0.45)
    exact = 0.2 + 0.5 * np.cos(amplitudes / sx * pi / 2.0)
    return Case(exact, lambda seen: rabi.analyse(OF, amplitudes, seen, "line"), {"sx_amplitude": sx})


def of_t1(rng):
    delays, t1_s = np.linspace(0.0, 80e-6, 14), rng.uniform(10e-6, 40e-6)
    return Case(0.5 - np.exp(-delays / t1_s), lambda seen: t1.analyse(OF, delays, seen, 20e-6), {"t1_s": t1_s})


def of_ramsey(rng, longest=22e-6, count=14, most=0.2e6):
    delays, t2_s, ahead = np.linspace(0.0, longest, count), rng.uniform(10e-6, 40e-6), rng.uniform(-most, most)
    points = np.stack([np.tile(delays, 4), np.repeat(np.arange(4) * pi / 2.0, count)])
    exact = 0.5 + 0.5 * np.exp(-points[0] / t2_s) * np.cos(tau * ahead * points[0] - points[1])
    truth = {"frequency_hz": 5e9 + ahead} | ({"t2_s": t2_s} if longest > 1e-6 else {})
    return Case(exact, lambda seen: ramsey.analyse(OF, points, seen, 5e9), truth)


def of_echo(rng):
    delays, t2_s = np.linspace(0.0, 60e-6, 14), rng.uniform(10e-6, 40e-6)
    points = np.stack([np.tile(delays, 2), np.repeat([1.0, -1.0], 14)])
    exact = 0.1 - 0.5 * points[1] * np.exp(-points[0] / t2_s)
    return Case(exact, lambda seen: echo.analyse(OF, points, seen), {"t2_echo_s": t2_s})


def of_train(rng):
    counts, theta, keep = np.array(train.COUNTS, float), pi / 2.0 * rng.uniform(0.87, 1.13), rng.uniform(0.995, 1.0)
    exact = 0.5 - 0.5 * keep**counts * np.cos(counts * theta)
    return Case(exact, lambda seen: train.analyse(OF, counts, seen, 0.3), {"sx_amplitude": 0.3 * pi / 2.0 / theta})


def of_flips(rng):
    counts, error = np.array(flips.COUNTS, float), rng.uniform(0.0, 3e-3)
    exact = 0.5 - 0.5 * (1.0 - 2.0 * error) ** counts * np.where(counts % 2, -1.0, 1.0)
    return Case(exact, lambda seen: flips.analyse(OF, counts, seen), {"x_error": error})


def of_drag(rng):
    tried, middle, slope = np.linspace(-1.0, 1.0, 17), rng.uniform(-0.3, 0.3), rng.uniform(1.0, 2.5)
    exact = rng.choice([-1.0, 1.0]) * np.sin(slope * (tried - middle))
    return Case(exact, lambda seen: drag.analyse(OF, tried, seen), {"drag_s": middle * 1e-9})


def of_rb(rng):
    counts, error = np.repeat([2.0, 120.0, 360.0, 720.0, 1200.0], 6), rng.uniform(2e-4, 8e-4)
    exact = 0.95 * (1.0 - 2.0 * error) ** counts
    least = Estimated(4e-4, 1e-5)
    return Case(exact, lambda seen: rb.analyse(OF, counts, seen, least), {"gate_error": error})


def of_qubit(rng):
    hz, length_s, middle = 5e9 + np.linspace(-12e6, 12e6, 49), 480e-9, 5e9 + rng.uniform(-8e6, 8e6)
    turned = rng.uniform(0.4, 2.2) * pi  # by the whole pulse, on resonance
    rate = np.hypot(turned / length_s, tau * (hz - middle))
    exact = (turned / length_s / rate) ** 2 * np.sin(rate * length_s / 2.0) ** 2
    return Case(exact, lambda seen: qubit_spectroscopy.analyse(OF, hz, seen, length_s), {"frequency_hz": middle})


def of_resonator(rng):
    hz, middle, kappa = 7e9 + np.linspace(-8e6, 8e6, 17), 7e9 + rng.uniform(-4e6, 4e6), rng.uniform(3e6, 6e6)
    step = 1e-9  # the field sample by sample, from nothing
    pole, field, total = tau * (kappa / 2.0 + 1j * (hz - middle)), np.zeros(17, complex), np.zeros(17, complex)
    for _ in range(1000):
        after = (field - 1.0 / pole) * np.exp(-pole * step) + 1.0 / pole
        total, field = total + (field + after) / 2.0, after
    points = np.stack([hz, np.full(17, 1e-6)])
    exact = np.abs(total) / np.abs(total).max()
    truth = {"resonator_hz": middle, "kappa_hz": kappa}
    return Case(exact, lambda seen: resonator_spectroscopy.analyse(OF, points, seen), truth)


CASES = {
    "rabi": of_rabi,
    "t1": of_t1,
    "ramsey": of_ramsey,
    "detuning": lambda rng: of_ramsey(rng, 720e-9, 10, 4.9e6),
    "echo": of_echo,
    "train": of_train,
    "flips": of_flips,
    "drag": of_drag,
    "rb": of_rb,
    "qubit_spectroscopy": of_qubit,
    "resonator_spectroscopy": of_resonator,
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_is_as_sure_as_it_says(name, rng):
    pulls = {}
    for _ in range(SCANS):
        case = CASES[name](rng)
        sigma = np.full(case.exact.shape, NOISE / (10.0 if name in {"flips", "train"} else 1.0))
        result = case.analyse(Signal(case.exact + rng.normal(0.0, sigma), sigma))
        assert result.fitted.shape == case.exact.shape
        for key, truth in case.truth.items():
            if key in result.numbers:
                found = result.numbers[key]
                pulls.setdefault(key, []).append((found.value - truth) / found.stderr)
    assert set(pulls) == set(case.truth)
    for key, values in pulls.items():
        away = np.array(values)
        print(
            f"{key}: chi2 {np.sum(away**2):.0f} of {len(away)}, mean {away.mean():+.2f}, most {np.abs(away).max():.1f}"
        )
        assert len(away) >= 0.9 * SCANS
        assert np.sum(away**2) < chi2.ppf(0.999, len(away))
        assert np.sum(away**2) > 0.8 * chi2.ppf(0.001, len(away))


@pytest.mark.parametrize("name", CASES)
def test_nothing_but_noise_is_refused_with_advice(name, rng):
    case = CASES[name](rng)
    sigma = np.full(case.exact.shape, NOISE)
    with pytest.raises(CalibrationError, match=r"q: scan: nothing changes over \d+ points.* look at the drive"):
        case.analyse(Signal(0.3 + rng.normal(0.0, sigma), sigma))


@pytest.mark.parametrize("name", CASES)
def test_points_of_another_law_are_refused(name, rng):
    case = CASES[name](rng)
    sigma = np.full(case.exact.shape, 0.01)
    with pytest.raises(
        CalibrationError, match=r"q: scan: (the points do not follow|sx needs|the qubit is at|the rate is|the contrast)"
    ):
        case.analyse(Signal(rng.permutation(case.exact) + rng.normal(0.0, 0.5, case.exact.shape), sigma))


def test_points_whose_series_lie_across_are_drawn_series_by_series():
    level, power = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0, 2.0, 2.0])
    seen = Signal(10.0 * level + power, np.full(6, 0.1))
    (picture,) = judged(OF, seen, Drawn("power", power, by=level), lambda: Result("", {}, seen.values + 0.5)).pictures
    assert picture.series == 2
    assert picture.x.tolist() == [0.0, 1.0, 2.0] * 2
    assert picture.y.tolist() == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert (picture.fitted - picture.y).tolist() == [0.5] * 6


# ---- Those whose truth is not a number of a curve --------------------------------------------------------------------


def unitary(gate, angle, phase):
    """Return the 2x2 matrix of a pair's half turn about X or Y, with a phase about Z on the way, or of as long a wait."""
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
    if gate == "I":
        generator, times = 2.0 * phase * z, 1
    else:
        generator, times = pi / 2.0 * (1.0 + angle) * (x if gate in "xX" else y) + phase * z, 1 + gate.isupper()
    values, vectors = np.linalg.eigh(generator)
    once = vectors @ np.diag(np.exp(-0.5j * values)) @ vectors.conj().T
    return np.linalg.matrix_power(once, times)


def populations(angle, phase):
    return np.array([abs((unitary(b, angle, phase) @ unitary(a, angle, phase))[1, 0]) ** 2 for a, b in allxy.PAIRS])


def test_allxy_ends_where_it_must():
    np.testing.assert_allclose(populations(0.0, 0.0), [0.0] * 5 + [0.5] * 12 + [1.0] * 4, atol=1e-12)
    np.testing.assert_allclose(
        allxy.allxy(np.array([0.0, 1.0, 0.02, -0.03]), np.zeros(0)), populations(0.02, -0.03), atol=1e-12
    )


@pytest.mark.parametrize(("angle", "phase"), [(0.006, 0.0), (0.0, -0.02), (-0.004, 0.015)])
def test_allxy_tells_angle_from_phase(angle, phase, rng):
    away = []
    for _ in range(SCANS):
        sigma = np.full(21, 0.004)
        result = allxy.analyse(OF, Signal(0.1 - 0.8 * populations(angle, phase) + rng.normal(0.0, sigma), sigma))
        away.append(
            [
                (result.numbers[key].value - true) / result.numbers[key].stderr
                for key, true in (("angle_error", angle), ("phase_error_rad", phase))
            ]
        )
    assert np.all(np.sum(np.square(away), axis=0) < chi2.ppf(0.999, SCANS))
    assert np.all(np.sum(np.square(away), axis=0) > 0.7 * chi2.ppf(0.001, SCANS))


@pytest.mark.parametrize(
    ("angle", "phase", "what"), [(0.03, 0.0, "angle: calibrate train"), (0.0, 0.1, "phase: calibrate ramsey, drag")]
)
def test_allxy_refuses_gates_that_are_off(angle, phase, what, rng):
    sigma = np.full(21, 0.004)
    with pytest.raises(CalibrationError, match=f"sx is off by .* in its {what}"):
        allxy.analyse(OF, Signal(populations(angle, phase) + rng.normal(0.0, sigma), sigma))


def test_the_coherence_limit_is_the_average_infidelity_over_all_states(rng):
    """Over random states: 1 - <psi| E(psi) |psi>, E by its Kraus form, amplitude damping and dephasing."""
    t1_s, t2_s, seconds = 20e-6, 15e-6, 3e-6  # long, so that no order of t is too small to see
    decay, dephased = 1.0 - exp(-seconds / t1_s), exp(-seconds / t2_s) / exp(-seconds / (2.0 * t1_s))
    kraus = [np.diag([1.0, (1.0 - decay) ** 0.5]), np.array([[0.0, decay**0.5], [0.0, 0.0]])]
    phases = [((1.0 + dephased) / 2.0) ** 0.5 * np.eye(2), ((1.0 - dephased) / 2.0) ** 0.5 * np.diag([1.0, -1.0])]
    total = [p @ k for p in phases for k in kraus]
    states = rng.normal(size=(200_000, 2)) + 1j * rng.normal(size=(200_000, 2))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    fidelity = sum(np.abs(np.einsum("ni,ij,nj->n", states.conj(), one, states)) ** 2 for one in total)
    assert 1.0 - fidelity.mean() == pytest.approx(
        rb.limit(seconds, Estimated(t1_s, 0.0), Estimated(t2_s, 0.0)).value, abs=5 * fidelity.std() / 200_000**0.5
    )


def test_the_coherence_limit_knows_how_sure_its_times_are():
    low, high = (rb.limit(30e-9, Estimated(t, 0.0), Estimated(20e-6, 0.0)).value for t in (19e-6, 21e-6))
    assert rb.limit(30e-9, Estimated(20e-6, 1e-6), Estimated(20e-6, 0.0)).stderr == pytest.approx(
        (low - high) / 2.0, rel=0.01
    )


@pytest.mark.parametrize(
    ("sigmas", "place"),
    [([2.0, 4.0, 5.0, 6.5, 7.0], 3), ([1.0, 1.5, 2.0, 2.5, 3.0], 4), ([2.0, 3.5, 4.0, 3.8, 3.0], 2)],
)
def test_the_smallest_amplitude_that_is_enough_is_taken(sigmas, place):
    tried = np.linspace(0.1, 0.5, 5)
    found = readout.analyse(OF, tried, Signal(np.array(sigmas), np.full(5, 0.1)))
    assert found.changes["readout_amplitude"] == pytest.approx(tried[place])
    assert found.numbers["separation_sigma"] == Estimated(sigmas[place], 0.1)


@pytest.mark.parametrize("megahertz", [11.0, 12.5, 13.5, 15.0])
@pytest.mark.parametrize("turned", [1.0, 1.6])
def test_a_qubit_at_an_end_of_the_scan_or_beyond_is_refused(megahertz, turned, rng):
    """Its side lobes look like a line inside."""
    hz, length_s = 5e9 + np.linspace(-12e6, 12e6, 49), 480e-9
    rate = np.hypot(turned * pi / length_s, tau * (hz - 5e9 - megahertz * 1e6))
    exact = (turned * pi / length_s / rate) ** 2 * np.sin(rate * length_s / 2.0) ** 2
    sigma = np.full(49, 0.01)
    with pytest.raises(
        CalibrationError, match=r"q: scan: the middle .* not 2\.08 MHz inside the 4\.988000 to 5\.012000 GHz .* look at"
    ):
        qubit_spectroscopy.analyse(OF, hz, Signal(exact + rng.normal(0.0, sigma), sigma), length_s)


def test_a_level_that_is_gone_by_the_first_delay_is_said_to_be(rng):
    delays, sigma = np.linspace(0.0, 80e-6, 14), np.full(14, 0.01)
    with pytest.raises(
        CalibrationError, match=r"q: scan: level 1 is gone by the first delay, 6\.15 us: T1 is below 2\.1 us\. look at"
    ):
        t1.analyse(OF, delays, Signal(np.exp(-delays / 0.4e-6) + rng.normal(0.0, sigma), sigma), 20e-6)


@pytest.mark.parametrize(("bits", "share"), [(14, 0.0), (9, 0.046), (8, 0.32)])
def test_captures_at_the_ends_of_the_adc_are_counted(bits, share, rng):
    """White noise of 128 counts through an ADC of these bits: beyond 2 sigma are 4.6 %, beyond 1 sigma 32 %."""
    half = 1 << (bits - 1)
    captures = tuple(
        np.clip(np.rint(rng.normal(0.0, 128.0, (200, 500))), -half, half - 1).astype(np.int16) for _ in range(2)
    )
    kept = heralds.Kept((False, True), captures, (np.zeros(1, int), np.zeros(1, int)), 5.0, {})
    assert kept.saturated == pytest.approx(share, rel=0.03)


def test_clouds_that_touch_at_every_amplitude_are_refused():
    seen = Signal(np.array([0.3, 0.6, 0.9]), np.full(3, 0.1))
    with pytest.raises(
        CalibrationError, match=r"q: scan: .* at most 0\.90 \+- 0\.10 sigma apart, from 0\.100 to 0\.500 of full scale"
    ):
        readout.analyse(OF, np.linspace(0.1, 0.5, 3), seen)


def distances(steps, ahead_hz, chi_hz, kappa_hz):
    """Return the distance of the steady fields of two resonances, tone.STEP_HZ apart from a tone that is `ahead_hz` off their middle."""
    offset = steps * tone.STEP_HZ - ahead_hz
    levels = [1.0 / (kappa_hz / 2.0 + 1j * (offset + sign * chi_hz)) for sign in (-1, 1)]
    return np.abs(levels[1] - levels[0])


@pytest.mark.parametrize("steps", [np.arange(-3.0, 4.0), np.arange(-1.0, 7.0)])
def test_the_best_tone_is_half_way_between_the_levels_resonances(steps, rng):
    """Bars may be up to twice too long, as a mean over possible tops has them, and not too short."""
    away = []
    for _ in range(SCANS):
        middle = (steps[0] + steps[-1]) / 2.0 * tone.STEP_HZ + rng.uniform(-0.5e6, 0.5e6)
        exact = 1e9 * distances(steps, middle, rng.uniform(0.8e6, 1.8e6), rng.uniform(4e6, 6e6))
        sigma = np.full(len(steps), 0.02 * exact.max())
        result = tone.analyse(OF, steps, 7e9, Signal(exact + rng.normal(0.0, sigma), sigma))
        away.append((result.numbers["readout_hz"].value - 7e9 - middle) / result.numbers["readout_hz"].stderr)
        assert np.abs(result.fitted / 100.0 - exact / exact.max()).max() < 0.15
    print(f"chi2 {np.sum(np.square(away)):.0f} of {SCANS}, mean {np.mean(away):+.2f}")
    assert chi2.ppf(0.001, SCANS) / 4.0 < np.sum(np.square(away)) < chi2.ppf(0.999, SCANS)


@pytest.mark.parametrize("ahead", [-6, -2, 0, 3, 8])
def test_a_top_is_climbed_to_and_has_its_neighbours(ahead):
    seen = {}
    while (step := top.following(seen, 8)) is not None:
        assert step not in seen
        seen[step] = float(distances(np.array(step), ahead * tone.STEP_HZ, 1e6, 5e6))
    assert top.best(seen) == ahead
    assert set(seen) >= {k for k in range(ahead - top.NEIGHBOURS, ahead + top.NEIGHBOURS + 1) if abs(k) <= 8}
    assert len(seen) <= 2 + abs(ahead) + 2 * top.NEIGHBOURS + 2


def test_levels_that_look_alike_at_every_tone_are_refused(rng):
    sigma = np.full(7, 1.0)
    with pytest.raises(
        CalibrationError, match=r"level 0 and 1 are \d\.\d sigma apart at the best of 7 tones from 6\.99.* look at"
    ):
        tone.analyse(OF, np.arange(-3.0, 4.0), 7e9, Signal(np.abs(rng.normal(0.0, sigma)), sigma))


def test_the_magnitude_of_noise_alone_is_not_raised(rng):
    mean = rng.normal(0.0, 1.0, size=(4000, 2))
    mean[0] = (100.0, 0.0)
    seen = magnitude(Points(mean, np.tile(np.eye(2), (4000, 1, 1)), np.zeros(4000), np.ones(4000)))
    assert seen.values[0] == pytest.approx(1.0, abs=1e-3)
    assert np.median(seen.values[1:]) < np.median(np.hypot(*mean[1:].T)) / 100.0
    assert seen.sigma[0] == pytest.approx(0.01, rel=1e-3)


def test_held_samples_look_like_a_drag_coefficient():
    """The closed form that drag.py states is the slope of ln sinc(f T) over 2 pi."""
    f, period = 100e6, 1e-9
    ends = [log(sin(pi * at * period) / (pi * at * period)) for at in (f - 1e3, f + 1e3)]
    assert (ends[1] - ends[0]) / 2e3 / tau == pytest.approx(
        period / 2.0 * (1.0 / tan(pi * f * period) - 1.0 / (pi * f * period)), rel=1e-4
    )
