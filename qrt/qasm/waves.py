"""Waveforms as values of a program: a shape that is known, times an amplitude and a phase that may vary from shot to shot.

Samples stand in the instruments' memory before a run, so whatever moves one of them (a duration, sigma, beta, a frequency) must be
known; an amplitude and a phase are operands of the play. What the language combines, `scale`, `mix`, `sum`, `phase_shift`, keeps them
apart as long as it can: a sum of two shapes with amplitudes of their own is one shape only if both vary alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qrt.qasm import waveforms
from qrt.qasm.expressions import ARITHMETIC, Binary, Exact, Expression, Literal, Value, as_float, fold
from qrt.types import NOWHERE

Amount = Exact | float | Expression  # a number, known or of the inputs that vary
ONE, ZERO = Exact(Fraction(1)), Exact(Fraction(0))


@dataclass(frozen=True, eq=False)
class Wave:
    """shape * amplitude * exp(i phase)."""

    label: str  # what it came from, for a person
    shape: waveforms.Samples  # max |shape| is 1, or 0 for silence
    amplitude: Amount
    phase_rad: Amount = ZERO


def number(value: Any) -> Amount:
    """Return a whole number, real number or expression as an amount."""
    return Exact(Fraction(value)) if type(value) is int else value


def is_known(amount: Amount) -> bool:
    """Say whether an amount is known while compiling."""
    return isinstance(amount, Exact | float)


def calculated(operator: str, one: Amount, other: Amount) -> Amount:
    """Return two amounts with an operator between them, computed if both are known; 0 and 1 leave no trace."""
    if operator == "*" and ONE in (one, other):
        return other if one == ONE else one
    if operator in {"+", "-"} and other == ZERO:
        return one
    if isinstance(one, Exact | float) and isinstance(other, Exact | float):
        result: Value = ARITHMETIC[operator](one, other)
        assert isinstance(result, Exact | float)
        return result
    return Binary(operator, _expression(one), _expression(other), NOWHERE)


def _expression(amount: Amount) -> Expression:
    """Return an amount as a tree without places, so that what means the same is the same."""
    return Literal(amount, NOWHERE) if isinstance(amount, Exact | float) else fold(amount, {})


def wave(label: str, samples: waveforms.Samples, amplitude: Amount | complex = ONE) -> Wave:
    """Return samples times an amplitude. Raises ValueError for samples that are none."""
    if isinstance(amplitude, complex):
        if amplitude.imag:
            samples, amplitude = samples * amplitude, ONE
        else:
            amplitude = amplitude.real
    return shaped(label, waveforms.normalised(samples), amplitude)


def shaped(label: str, shape: waveforms.Normalised, amplitude: Amount) -> Wave:
    """Return a shape with its own peak times an amplitude. Raises ValueError for one that is no number."""
    if isinstance(amplitude, float) and not math.isfinite(amplitude):
        raise ValueError(f"an amplitude of {amplitude} is no finite number")
    return Wave(label, shape.shape, calculated("*", amplitude, number_of(shape.peak)))


def number_of(value: float) -> Amount:
    """Return a float as an amount: exact where it is whole, so that products with it stay exact."""
    return (
        Exact(Fraction(value)) if value == round(value) else float(value)
    )  # a fit gives those of numpy, whose == is of arrays


def scaled(one: Wave, factor: Amount | complex) -> Wave:
    """Return a waveform times a factor."""
    if isinstance(factor, complex):
        turned = wave(one.label, one.shape, factor)
        return Wave(one.label, turned.shape, calculated("*", one.amplitude, turned.amplitude), one.phase_rad)
    return Wave(one.label, one.shape, calculated("*", one.amplitude, factor), one.phase_rad)


def turned(one: Wave, phase_rad: Amount) -> Wave:
    """Return a waveform times exp(i phase): in its samples if the phase is known, else in the frame while it plays."""
    if isinstance(phase_rad, Exact | float):
        shape, peak, _ = waveforms.normalised(waveforms.phase_shifted(one.shape, as_float(phase_rad)))
        assert abs(peak - 1) < 1e-9 or not peak
        return Wave(one.label, shape, one.amplitude, one.phase_rad)
    return Wave(one.label, one.shape, one.amplitude, calculated("+", one.phase_rad, phase_rad))


def mixed(one: Wave, other: Wave) -> Wave:
    """Return the product of two waveforms. Raises ValueError for different lengths."""
    shape, peak, _ = waveforms.normalised(waveforms.mix(one.shape, other.shape))
    amplitude = calculated("*", calculated("*", one.amplitude, other.amplitude), number_of(peak))
    phase_rad = calculated("+", one.phase_rad, other.phase_rad)
    return Wave(f"mix({one.label}, {other.label})", shape, amplitude, phase_rad)


def summed(one: Wave, other: Wave) -> Wave:
    """Return the sum of two waveforms. Raises ValueError for different lengths, and where the shape of the sum would vary."""
    label = f"sum({one.label}, {other.label})"
    amounts = (one.amplitude, other.amplitude, one.phase_rad, other.phase_rad)
    if all(map(is_known, amounts)):
        return wave(label, waveforms.added(samples_of(one), samples_of(other)))
    if (one.amplitude, one.phase_rad) != (other.amplitude, other.phase_rad):
        raise ValueError(
            "the sum of two waveforms with amplitudes or phases that vary each on their own is a shape that varies, and samples stand in "
            "the instrument's memory before the run; scale the sum, or play them on two frames"
        )
    shape, peak, _ = waveforms.normalised(waveforms.added(one.shape, other.shape))
    return Wave(label, shape, calculated("*", one.amplitude, number_of(peak)), one.phase_rad)


def samples_of(one: Wave) -> waveforms.Samples:
    """Return the samples of a waveform whose amplitude and phase are known."""
    assert isinstance(one.amplitude, Exact | float)
    assert isinstance(one.phase_rad, Exact | float)
    samples: waveforms.Samples = one.shape * as_float(one.amplitude) * np.exp(1j * as_float(one.phase_rad))
    return samples
