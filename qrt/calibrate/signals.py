"""What a scan saw: mean iq per point, projected on the one direction in which it moves.

A scan is a list of shots that differ in one number, measured one after the other, all qubits in each. For every qubit a point is the
mean iq and its covariance, from the shots themselves. Between level 0 and level 1 the mean iq moves on a straight line, so `signal`
projects on the direction of largest spread. Which end is level 1 is not asked here: no fit of this package depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.calibrate.fit import Array, Fit, Model, least_squares, straight
from qrt.calibrate.sequences import capture_index
from qrt.errors import CalibrationError
from qrt.types import Estimated, Measured, Pulses

CHANGE_SIGMA = 8.0  # how far beyond its noise a scan must move to count as having moved
DETUNING_HZ_MAX = (
    5e6  # of the frequency that is known: up to here Rabi scan and readout tone are right enough for what follows
)
REDUCED_CHI2_MAX = 10.0  # beyond, the points do not follow the model; effects that it leaves out make 1 to 2


class Scan(NamedTuple):
    """Whose scan it is, what is scanned, and what to look at if it shows nothing: for messages."""

    name: str
    what: str
    advice: str


class Points(NamedTuple):
    """Mean iq of the points of a scan, and the share of outcomes 1 by the threshold as it was."""

    mean: Array  # [points, 2]
    covariance: Array  # [points, 2, 2], of the mean
    ones: Array  # [points]
    shots: Array  # [points]


class Signal(NamedTuple):
    """A scan along its direction, scaled to a spread of about 1."""

    values: Array  # [points]
    sigma: Array  # [points]


def executed(measured: Measured, name: str) -> NDArray[Any]:
    """Return the rows of the shots that were executed; CalibrationError, which names a qubit, if there are too few."""
    rows: NDArray[Any] = measured.rows[measured.rows["flags"] == 0]
    if len(rows) < 2:
        raise CalibrationError(
            f"{name}: {len(rows)} of {len(measured.rows)} shots were executed; a calibration needs all of them. "
            'See the misses, or calibrate with pacing "virtual"'
        )
    return rows


def points_of(measured: Measured, pulses: Pulses, names: Iterable[str]) -> dict[str, Points]:
    """Return the one point of every qubit that these shots are; bit k of the program's register c is the k-th qubit's readout."""
    points = {}
    for k, name in enumerate(names):
        rows, index = executed(measured, name), capture_index(pulses, "c", k)
        iq, ones = rows["iq"][:, index].astype(float), rows["outcomes"][:, index]
        parts = (iq.mean(axis=0), np.cov(iq.T) / len(iq), ones.mean(), len(iq))
        points[name] = Points(*(np.asarray(part, float)[None] for part in parts))
    return points


def stacked(points: Sequence[Mapping[str, Points]]) -> dict[str, Points]:
    """Return the points of every qubit one behind the other."""
    return {
        name: Points(*(np.concatenate(parts) for parts in zip(*(one[name] for one in points), strict=True)))
        for name in points[0]
    }


def pooled(scans: Sequence[Mapping[str, Points]]) -> dict[str, Points]:
    """Return the points of every qubit from one scan that was played several times, each shot counting alike."""
    points = {}
    for name in scans[0]:
        shots = np.stack([one[name].shots for one in scans])
        share = shots / shots.sum(axis=0)
        means, covariances, ones = (np.stack([one[name][part] for one in scans]) for part in range(3))
        mean, covariance = (
            (share[..., None] * means).sum(axis=0),
            (share[..., None, None] ** 2 * covariances).sum(axis=0),
        )
        points[name] = Points(mean, covariance, (share * ones).sum(axis=0), shots.sum(axis=0))
    return points


def signal(points: Points) -> Signal:
    """Return the points along the direction in which they move most."""
    centred = points.mean - points.mean.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return toward(points, directions[0])


def toward(points: Points, direction: Array) -> Signal:
    """Return the points along a direction, not of length 0."""
    direction = direction / np.hypot(*direction)
    values = (points.mean - points.mean.mean(axis=0)) @ direction
    sigma = np.sqrt(np.einsum("i,nij,j->n", direction, points.covariance, direction))
    # A point without any spread (a few equal shots) would weigh infinitely; it gets the mean of the others.
    scale = float(np.ptp(values)) or 1.0
    sigma = np.maximum(sigma, 0.1 * float(np.median(sigma)))
    return Signal(values / scale, np.maximum(sigma / scale, 1e-12))


def magnitude(points: Points) -> Signal:
    """Return |mean iq| of the largest, without what noise adds to it, and its standard errors."""
    size = np.hypot(*points.mean.T)
    sigma = np.sqrt(np.einsum("nii->n", points.covariance) / 2.0)
    return Signal(np.sqrt(np.maximum(size**2 - sigma**2, 0.0)) / size.max(), sigma / size.max())


def require_change(of: Scan, seen: Signal) -> None:
    """Raise CalibrationError unless the signal moves by more than its noise."""
    freedom = len(seen.values) - 1
    chi2, least = straight(seen.values, seen.sigma), freedom + CHANGE_SIGMA * (2.0 * freedom) ** 0.5
    if chi2 < least:
        raise CalibrationError(
            f"{of.name}: {of.what}: nothing changes over {len(seen.values)} points: chi2 of a constant is {chi2:.1f}, at least "
            f"{least:.0f} would be a change. {of.advice}"
        )


def require_fit(of: Scan, model: Model, x: Array, seen: Signal, start: Sequence[float]) -> Fit:
    """Return the fit, or raise CalibrationError if it does not end or does not describe the points."""
    result = least_squares(model, x, seen.values, seen.sigma, start)
    reduced = result.chi2 / max(result.freedom, 1)
    if not result.converged or not np.isfinite(reduced) or reduced > REDUCED_CHI2_MAX:
        numbers = ", ".join(f"{value:.4g}" for value in result.values)
        raise CalibrationError(
            f"{of.name}: {of.what}: the points do not follow {model.__name__}: chi2 per degree of freedom is {reduced:.3g}, at most "
            f"{REDUCED_CHI2_MAX:g} is allowed; parameters {numbers}, from {', '.join(f'{value:.4g}' for value in start)}"
            f"{'' if result.converged else ', not converged'}. {of.advice}"
        )
    return result


def require_inside(of: Scan, seen: Estimated, scanned_hz: Array, width_hz: float) -> None:
    """Raise CalibrationError if what was found is less than its width inside the frequencies that were scanned: it may be a tail."""
    low, high = float(scanned_hz.min()), float(scanned_hz.max())
    if not low + width_hz <= seen.value <= high - width_hz:
        raise CalibrationError(
            f"{of.name}: {of.what}: the middle of what was seen would be at {seen.value / 1e9:.6f} GHz, not {width_hz / 1e6:.2f} MHz "
            f"inside the {low / 1e9:.6f} to {high / 1e9:.6f} GHz that were scanned: it may be the tail of something beyond. {of.advice}"
        )


def require_near(of: Scan, seen_hz: float, known_hz: float) -> None:
    """Raise CalibrationError, with the place of the qubit, if it is too far from where it was thought to be."""
    if abs(seen_hz - known_hz) > DETUNING_HZ_MAX:
        away = f"{abs(seen_hz - known_hz) / 1e6:.2f} MHz {'above' if seen_hz > known_hz else 'below'}"
        raise CalibrationError(
            f"{of.name}: {of.what}: the qubit is at {seen_hz / 1e9:.6f} GHz, {away} qubits.{of.name}.frequency_hz "
            f"({known_hz / 1e9:.6f} GHz); a calibration can start from up to {DETUNING_HZ_MAX / 1e6:g} MHz off. "
            f"Set qubits.{of.name}.frequency_hz to {seen_hz / 1e9:.4f}e9 and calibrate again"
        )


def each(scanned: Mapping[str, Points]) -> Iterator[tuple[str, Signal]]:
    """Yield every qubit's name and its signal."""
    for name, points in scanned.items():
        yield name, signal(points)
