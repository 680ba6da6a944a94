"""Waveforms as samples: the templates of OpenPulse and what combines them. Pure numbers: nothing here knows a program or a lab.

A template is returned for an amplitude of 1; times count in samples and need not be whole, but the count of samples is. Sample k is the
value at the middle of its bin, k + 1/2: a template of any count is symmetric, and a rectangle is one. What is played is a *shape*,
whose largest magnitude is 1, times a real amplitude (`normalised`): so that an amplitude that varies from shot to shot moves no
sample, and waveforms that differ by a factor share one segment of an instrument's memory.

Facts: arguments and meaning of the templates are those of the OpenPulse grammar (openqasm/openqasm, source/language/openpulse.rst).
It leaves three things open. Where samples lie in their bins, and the unit of `drag`'s beta: both as in Qiskit's pulse library (midpoints;
beta multiplies the derivative by time in samples, g + i beta dg/dk). Whether a gaussian is lifted so that it ends at zero: it is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.complex128]  # [samples]


class Normalised(NamedTuple):
    """shape * peak are the samples; max |shape| is 1, or 0 for silence."""

    shape: Samples
    peak: float
    at: int  # the first sample of that magnitude


def _centred(sample_count: int) -> NDArray[np.float64]:
    """Return the middles of the bins, counted from the middle of the waveform. Shape [samples]."""
    return np.arange(sample_count, dtype=np.float64) + 0.5 - sample_count / 2


def constant(sample_count: int) -> Samples:
    """Return 1 throughout. Shape [samples]."""
    return np.ones(sample_count, np.complex128)


def gaussian(sample_count: int, sigma: float) -> Samples:
    """Return exp(-t^2 / (2 sigma^2)) about the middle. Shape [samples]. Raises ValueError if sigma is not positive."""
    _positive("sigma", sigma)
    return np.asarray(np.exp(-((_centred(sample_count) / sigma) ** 2) / 2), np.complex128)


def sech(sample_count: int, sigma: float) -> Samples:
    """Return 1 / cosh(t / sigma) about the middle. Shape [samples]. Raises ValueError if sigma is not positive."""
    _positive("sigma", sigma)
    t = np.abs(_centred(sample_count) / sigma)
    return np.asarray(2 * np.exp(-t) / (1 + np.exp(-2 * t)), np.complex128)


def gaussian_square(sample_count: int, square_width: float, sigma: float) -> Samples:
    """Return a flat top of `square_width` about the middle, with gaussian flanks on either side. Shape [samples].

    Raises ValueError if sigma is not positive, or the top is wider than the waveform or negative.
    """
    _positive("sigma", sigma)
    if not 0 <= square_width <= sample_count:
        raise ValueError(f"square_width is {square_width:g} samples; allowed: 0 to the waveform's {sample_count}")
    beyond = np.maximum(np.abs(_centred(sample_count)) - square_width / 2, 0.0)
    return np.asarray(np.exp(-((beyond / sigma) ** 2) / 2), np.complex128)


def drag(sample_count: int, sigma: float, beta: float) -> Samples:
    """Return g + i beta dg/dt of a gaussian g, times in samples. Shape [samples]. Raises ValueError if sigma is not positive."""
    envelope = gaussian(sample_count, sigma)
    return envelope * (1 - 1j * beta * _centred(sample_count) / sigma**2)


def sine(sample_count: int, turns_per_sample: float, phase_rad: float) -> Samples:
    """Return sin(2 pi f t + phase), t from the waveform's start. Shape [samples]."""
    phase = 2 * np.pi * turns_per_sample * (np.arange(sample_count) + 0.5) + phase_rad
    return np.asarray(np.sin(phase), np.complex128)


def mix(one: Samples, other: Samples) -> Samples:
    """Return the product, sample by sample. Raises ValueError for different lengths."""
    _alike("mix", one, other)
    return one * other


def added(one: Samples, other: Samples) -> Samples:
    """Return the sum, sample by sample. Raises ValueError for different lengths."""
    _alike("sum", one, other)
    return one + other


def phase_shifted(samples: Samples, phase_rad: float) -> Samples:
    """Return the samples times exp(i phase)."""
    return np.asarray(samples * np.exp(1j * phase_rad), np.complex128)


def normalised(samples: Samples) -> Normalised:
    """Return the samples as a shape of magnitude 1 and the factor that it takes.

    Raises ValueError for no samples, and for what is no finite number.
    """
    if not samples.size:
        raise ValueError("a waveform needs at least one sample")
    finite = np.isfinite(samples)
    if not finite.all():
        at = int(np.argmin(finite))
        raise ValueError(f"sample {at} is {samples[at]}; a waveform is made of finite numbers")
    magnitude = np.abs(samples)
    at = int(np.argmax(magnitude))
    peak = float(magnitude[at])
    return Normalised(samples / peak if peak else samples, peak, at)


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value:g} samples; it must be more than 0")


def _alike(function: str, one: Samples, other: Samples) -> None:
    if one.size != other.size:
        raise ValueError(
            f"{function} of waveforms of {one.size} and {other.size} samples; sample by sample, they must be of one length"
        )
