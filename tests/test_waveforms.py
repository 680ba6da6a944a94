"""The templates of OpenPulse against closed forms: areas, widths, symmetry, spectra, and the sums that combine them."""

import numpy as np
import pytest

from qrt.qasm import waveforms

T = np.arange(64) + 0.5 - 32


def test_templates_are_their_formulas_at_the_middles_of_the_bins():
    assert np.array_equal(waveforms.constant(5), np.ones(5))
    for k, t in enumerate(T):
        assert waveforms.gaussian(64, 9.5)[k] == pytest.approx(np.exp(-(t**2) / (2 * 9.5**2)), rel=1e-14)
        assert waveforms.sech(64, 9.5)[k] == pytest.approx(1 / np.cosh(t / 9.5), rel=1e-14)
        assert waveforms.sine(64, 0.07, 0.3)[k] == pytest.approx(np.sin(2 * np.pi * 0.07 * (k + 0.5) + 0.3), abs=1e-14)


def test_a_template_is_symmetric_for_even_and_odd_counts():
    for count in (40, 41):
        for samples in (
            waveforms.gaussian(count, 8),
            waveforms.sech(count, 8),
            waveforms.gaussian_square(count, 12.5, 4),
        ):
            assert np.array_equal(samples, samples[::-1])
    odd = waveforms.drag(41, 8, 0.7)
    assert np.array_equal(odd.real, odd.real[::-1])
    assert np.array_equal(odd.imag, -odd.imag[::-1])


def test_areas_are_those_of_the_integrals():
    """The midpoint rule of a smooth curve that ends at zero has an error far below this bound."""
    assert waveforms.gaussian(200, 12).sum().real == pytest.approx(12 * np.sqrt(2 * np.pi), rel=1e-12)
    assert waveforms.sech(1000, 12).sum().real == pytest.approx(12 * np.pi, rel=1e-12)
    flat = waveforms.gaussian_square(200, 80, 10).sum().real
    assert flat == pytest.approx(
        80 + 10 * np.sqrt(2 * np.pi), rel=1e-3
    )  # the curve has corners in its second derivative


def test_the_quadrature_of_drag_is_the_derivative():
    fine = 1e-4
    slope = (np.exp(-((T + fine) ** 2) / (2 * 81)) - np.exp(-((T - fine) ** 2) / (2 * 81))) / (2 * fine)  # per sample
    samples = waveforms.drag(64, 9, -1.3)
    assert np.allclose(samples.imag, -1.3 * slope, atol=1e-8)
    assert np.array_equal(samples.real, waveforms.gaussian(64, 9).real)


def test_a_gaussian_square_is_flat_inside_and_gaussian_outside():
    samples = waveforms.gaussian_square(100, 40, 7).real
    assert (samples[30:70] == 1).all()
    assert samples[29] == pytest.approx(np.exp(-(0.5**2) / (2 * 49)))
    assert np.array_equal(waveforms.gaussian_square(64, 0, 9.5), waveforms.gaussian(64, 9.5))
    assert np.array_equal(waveforms.gaussian_square(64, 64, 9.5), waveforms.constant(64))


def test_mixing_with_a_sine_gives_two_sidebands():
    count, turns = 200, 0.1
    spectrum = np.abs(np.fft.fft(waveforms.mix(waveforms.gaussian(count, 20), waveforms.sine(count, turns, 0.0))))
    assert sorted(np.argsort(spectrum)[-2:]) == [20, 180]


def test_phases_add_and_sums_are_sums():
    one = waveforms.gaussian(30, 5)
    turned = waveforms.phase_shifted(waveforms.phase_shifted(one, 0.4), 0.5)
    assert np.allclose(turned, one * (np.cos(0.9) + 1j * np.sin(0.9)))
    assert np.array_equal(waveforms.added(one, waveforms.constant(30)), one + 1)


def test_a_shape_has_a_largest_magnitude_of_one():
    samples = np.array([0.1, -0.3 - 0.4j, 0.2])
    shape, peak, at = waveforms.normalised(samples)
    assert (peak, at, abs(shape[at])) == (0.5, 1, 1.0)
    assert np.allclose(shape * peak, samples)
    silence = waveforms.normalised(np.zeros(4, complex))
    assert silence.peak == 0
    assert not silence.shape.any()


def test_waveforms_that_differ_by_a_factor_have_one_shape():
    one, other = waveforms.drag(64, 9, 2.0), waveforms.drag(64, 9, 2.0) * 0.25
    assert np.array_equal(waveforms.normalised(one).shape, waveforms.normalised(other).shape)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: waveforms.gaussian(10, 0), ["sigma", "0", "more than 0"]),
        (lambda: waveforms.sech(10, -1), ["sigma", "-1"]),
        (lambda: waveforms.drag(10, float("nan"), 1), ["sigma", "nan"]),
        (lambda: waveforms.gaussian_square(10, 11, 2), ["square_width", "11", "0 to the waveform's 10"]),
        (lambda: waveforms.gaussian_square(10, -1, 2), ["square_width", "-1"]),
        (lambda: waveforms.mix(np.ones(3), np.ones(4)), ["mix", "3 and 4", "one length"]),
        (lambda: waveforms.added(np.ones(3), np.ones(4)), ["sum", "3 and 4"]),
        (lambda: waveforms.normalised(np.ones(0)), ["at least one sample"]),
        (lambda: waveforms.normalised(np.array([1.0, np.inf])), ["sample 1", "inf", "finite"]),
    ],
)
def test_what_is_no_waveform_is_refused(make, words):
    with pytest.raises(ValueError, match=r"\w") as caught:
        make()
    assert all(word in str(caught.value) for word in words)
