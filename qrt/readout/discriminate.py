"""Integration weights and thresholds from raw captures.

A capture is a record of one real ADC channel at an intermediate frequency; its iq is two integer sums, sum x w_I and sum x w_Q,
and the outcome is iq[0] > threshold. So everything that a discriminator does, rotation included, is in two rows of int16 and one
integer, and the kernel decides with integers alone. Here they are chosen, in numpy, once per calibration.

`boxcar_weights` are for a start without any capture: cosine and minus sine at the tone. `matched_weights` come from the
difference of the mean captures of level 1 and level 0, which is the optimal linear filter for white noise; the decay during the
readout is in the mean, so the late samples weigh less. The row for Q is the same envelope on the carrier's other quadrature, so that
clouds can be drawn. In both, I + iQ turns with the phase of the signal.

Neighbours on the feedline. A tone whose frequency differs by a whole multiple of 1/T vanishes in a boxcar over T, but not in
shaped weights. Each neighbour's traces are therefore made invisible: both rows are made orthogonal to the carrier of its tone (any
amplitude, any phase, while it is steady), and to the traces that are handed over (its ring-up, its change with the level). What
remains of a neighbour is its jumps and tones that begin or end inside the capture; the reference shots, taken with every tone on and
all levels balanced, see those as noise and count them as readout error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, tau
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

WEIGHT_MAX: Final = 4095
BANDWIDTH_HZ: Final = 15e6  # of an envelope: resonators on feedlines answer in 20 ns at the fastest


class Threshold(NamedTuple):
    """Outcome 1 is above `value`; errors are shares of the two classes that it was fitted to, not of fresh shots."""

    value: int
    error0: float  # share of class 0 above
    error1: float  # share of class 1 not above


def boxcar_weights(tone_hz: float, sample_s: float, sample_count: int) -> NDArray[np.int16]:
    """Return constant weights at an intermediate frequency, int16 [2, samples]: I + iQ is the conjugate carrier."""
    return _scaled(np.exp(-1j * tau * tone_hz * sample_s * np.arange(sample_count)))


def matched_weights(
    difference: NDArray[np.float64],
    tone_hz: float,
    sample_s: float,
    neighbour_tones_hz: Sequence[float] = (),
    neighbour_traces: Sequence[NDArray[np.float64]] = (),
) -> NDArray[np.int16]:
    """Return weights matched to a difference of mean captures, blind to the neighbours, int16 [2, samples], largest |w| 4095.

    Args:
      difference: mean capture of level 1 minus that of level 0, counts. [samples]
      tone_hz: intermediate frequency of this qubit's tone, below half the sample rate
      sample_s: sample period
      neighbour_tones_hz: intermediate frequencies of the other tones on the feedline
      neighbour_traces: mean captures, or differences of them, that the weights shall not see. Each [samples]

    """
    envelope = smooth_envelope(difference, tone_hz, sample_s)
    carrier = np.exp(1j * tau * tone_hz * sample_s * np.arange(len(difference)))
    analytic = envelope * carrier  # its real part is the smoothed difference, its imaginary part the quadrature
    blind = [trace / np.max(np.abs(trace)) for trace in neighbour_traces if np.any(trace)]
    for other_hz in neighbour_tones_hz:
        other = np.exp(1j * tau * other_hz * sample_s * np.arange(len(difference)))
        blind += [other.real, other.imag]
    if blind:
        basis, _ = np.linalg.qr(np.stack(blind, axis=1))
        analytic = analytic - basis @ (basis.T @ analytic)
    return _scaled(np.conj(analytic))


def smooth_envelope(trace: NDArray[np.float64], tone_hz: float, sample_s: float) -> NDArray[np.complex128]:
    """Return the complex envelope e with trace = Re(e exp(i 2 pi f t)) in the least-squares sense. [samples]

    e is made of as many cosines as fit into `BANDWIDTH_HZ`, which keeps what a resonator can do and drops the noise of a mean over
    few shots: without it, the weights would be matched to that noise, too.
    """
    count = len(trace)
    bandwidth_hz = min(BANDWIDTH_HZ, abs(tone_hz) / 2.0)
    mode_count = min(ceil(2.0 * count * sample_s * bandwidth_hz) + 1, count // 4)
    modes = np.cos(np.pi * np.outer(np.arange(count) + 0.5, np.arange(mode_count)) / count)
    phase = tau * tone_hz * sample_s * np.arange(count)
    columns = np.concatenate([modes * np.cos(phase)[:, None], -modes * np.sin(phase)[:, None]], axis=1)
    solution = np.linalg.lstsq(columns, trace, rcond=1e-9)[0]
    return np.asarray(modes @ (solution[:mode_count] + 1j * solution[mode_count:]))


def _scaled(analytic: NDArray[np.complex128]) -> NDArray[np.int16]:
    rows = np.stack([analytic.real, analytic.imag])
    return np.asarray(np.rint(rows * (WEIGHT_MAX / np.max(np.abs(rows)))), dtype=np.int16)


def fit_threshold(level0: NDArray[np.int64], level1: NDArray[np.int64]) -> Threshold:
    """Return the threshold with the fewest errors, error0 + error1, each a share of its own class.

    Exact: both empirical distributions are step functions, and every place where one steps is tried. Where many are equally good, it is
    the one nearest to the middle of the two medians, in the middle of its gap.

    Args:
      level0: iq[0] of shots with level 0. [shots], any number but none
      level1: iq[0] of shots with level 1. [shots], any number but none

    """
    assert len(level0), "a class without shots has no distribution"
    assert len(level1), "a class without shots has no distribution"
    sorted0, sorted1 = np.sort(level0), np.sort(level1)
    steps = np.unique(np.concatenate([sorted0, sorted1]))
    steps = np.concatenate(
        [[steps[0] - 1], steps]
    )  # outcome 1 is strictly above, so a step's own value counts as below
    error0 = 1.0 - np.searchsorted(sorted0, steps, side="right") / len(sorted0)
    error1 = np.searchsorted(sorted1, steps, side="right") / len(sorted1)
    total = error0 + error1
    best = np.flatnonzero(total <= total.min() + 1e-12)
    middle = (float(np.median(level0)) + float(np.median(level1))) / 2.0
    index = int(best[np.argmin(np.abs(steps[best] - middle))])
    low = int(steps[index])
    high = int(steps[index + 1]) - 1 if index + 1 < len(steps) else low
    return Threshold(low + (high - low) // 2, float(error0[index]), float(error1[index]))
