"""Heralds: what lies behind those that are kept, and how far apart a qubit's readouts see its levels. Pure.

A readout is looked at along the line from readouts without to those with an x. Where an x of another qubit moves it, and its own does not,
the two have been taken for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.calibrate.finding import Picture
from qrt.calibrate.fit import Array
from qrt.calibrate.signals import Scan
from qrt.errors import CalibrationError
from qrt.readout.assignment import fit_herald

SEPARATION_MIN: Final = 2.0  # sigma between the clouds: below, a herald says next to nothing
KEPT_MIN: Final = 100  # heralded shots per level
SATURATED_MAX: Final = 1e-4  # of the samples: 4 sigma of the noise below the ends of the range
BINS: Final = 60  # of a picture

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]  # values of shots without x, and with it


class Seen(NamedTuple):
    """What one qubit's readouts saw, one entry for each preparation."""

    name: str
    flips: Mapping[str, tuple[bool, ...]]  # which qubits got an x
    heralds: tuple[NDArray[np.int64], ...]  # [shots, 2]
    seconds: tuple[NDArray[np.int64], ...]  # [shots, 2]
    captures: tuple[NDArray[np.int16], ...]  # [shots, samples] of the second readouts; empty where they are not raw

    @property
    def flipped(self) -> tuple[bool, ...]:
        """Whether it got an x."""
        return self.flips[self.name]


class Kept(NamedTuple):
    """What lies behind the kept heralds of one qubit, one entry for each preparation, and how far apart its levels are."""

    flipped: tuple[bool, ...]
    captures: tuple[NDArray[np.int16], ...]  # [kept, samples]
    along: Pair  # all second readouts, along the line from level 0 to level 1
    separation: float  # of their means, over sigma of the heralds' cloud
    others: Mapping[str, float]  # the same of shots without and with an x on each other qubit

    @property
    def least(self) -> int:
        """The smallest count of a preparation."""
        return min(len(one) for one in self.captures)

    @property
    def saturated(self) -> float:
        """The share of samples at the ends of the ADC's range; 0 where the captures end at no two numbers that are such ends."""
        low, high = (int(end([end(one) for one in self.captures])) for end in (np.min, np.max))
        if low != -high - 1:
            return 0.0
        return float(np.mean([np.mean((one == low) | (one == high)) for one in self.captures]))

    def difference(self) -> Array:
        """Return mean capture of level 1 minus that of level 0; every preparation counts alike, so that neighbours cancel. [samples]"""
        sign = np.where(self.flipped, 1.0, -1.0)
        means = np.stack([captures.mean(axis=0, dtype=np.float64) for captures in self.captures])
        return np.asarray(sign @ means / (len(sign) / 2))

    def demodulated(self, weights: NDArray[np.int16]) -> Pair:
        """Return iq[0] of the captures, exact: products of 16 bits, sums far below 2^53, in float64."""
        row = weights[0].astype(np.float64)
        values = [np.asarray(np.rint(one.astype(np.float64) @ row), np.int64) for one in self.captures]
        return classes(self.flipped, values)


def classes(flipped: Sequence[bool], values: Sequence[NDArray[np.int64]]) -> Pair:
    """Return values of each preparation as all those without x, and all with it."""
    without, with_x = (
        np.concatenate([one for one, x in zip(values, flipped, strict=True) if x == wanted]) for wanted in (False, True)
    )
    return without, with_x


class Line(NamedTuple):
    """The line from readouts without to those with an x, of one qubit, and what lies along it, one entry for each preparation."""

    heralds: list[NDArray[np.int64]]
    seconds: list[NDArray[np.int64]]
    cut: float  # heralds below it are kept
    separation: float


def line(seen: Seen, flipped: Sequence[bool]) -> Line:
    """Return the readouts of a qubit along the line on which an x, its own or another's, moves the second ones."""
    without, with_x = (one.mean(axis=0) for one in classes(flipped, seen.seconds))
    direction = with_x - without
    direction /= np.hypot(*direction) or 1.0
    first, second = (
        [np.asarray(np.rint(iq @ direction), np.int64) for iq in part] for part in (seen.heralds, seen.seconds)
    )
    herald = fit_herald(np.concatenate(first))
    separation = float((with_x - without) @ direction) / herald.sigma if herald.sigma > 0.0 else 0.0
    return Line(first, second, herald.cut, separation)


def kept_of(seen: Seen) -> Kept:
    """Return what lies behind heralds on the side of level 0."""
    own = line(seen, seen.flipped)
    kept = tuple(one[values < own.cut] for one, values in zip(seen.captures, own.heralds, strict=True))
    others = {name: line(seen, flipped).separation for name, flipped in seen.flips.items() if name != seen.name}
    return Kept(seen.flipped, kept, classes(seen.flipped, own.seconds), own.separation, others)


def require_own(of: Scan, kept: Kept) -> None:
    """Raise CalibrationError unless a readout follows the level of its own qubit."""
    seen = max(kept.others.values(), default=0.0)
    if kept.separation < SEPARATION_MIN < seen:
        other = next(name for name, one in kept.others.items() if one == seen)
        raise CalibrationError(
            f"{of.name}: {of.what}: the readout follows the level of {other}, by {seen:.2f} sigma, and its own by {kept.separation:.2f}: "
            f"qubits.{of.name} and qubits.{other} may have each other's readout.frequency_hz, drive_line, or cable"
        )
    require_separation(of, "boxcar weights", kept.separation)


def require_separation(of: Scan, what: str, separation: float) -> None:
    """Raise CalibrationError unless the means of the two levels, in sigma of level 0's cloud, are far enough apart for a herald."""
    if separation < SEPARATION_MIN:
        raise CalibrationError(
            f"{of.name}: with {what} the means of level 0 and 1 are {separation:.2f} sigma apart, {SEPARATION_MIN:g} are needed for a "
            f"herald. {of.advice}"
        )


def require_kept(of: Scan, count: int) -> None:
    """Raise CalibrationError unless enough shots of a preparation lie behind kept heralds."""
    if count < KEPT_MIN:
        raise CalibrationError(f"{of.name}: {of.what}: {count} shots of a preparation were kept, {KEPT_MIN} are needed")


def clouds(title: str, values: Pair, threshold: int) -> Picture:
    """Return the shares of shots without and with x along I, over the threshold, in distances of the clouds."""
    edges = np.histogram_bin_edges(np.concatenate(values), BINS)
    shares = [np.histogram(one, edges)[0] / max(len(one), 1) for one in values]
    distance = float(np.ptp([np.median(one) for one in values])) or 1.0
    middles = np.tile(((edges[:-1] + edges[1:]) / 2.0 - threshold) / distance, len(values))
    bars = np.concatenate([np.sqrt(share / max(len(one), 1)) for share, one in zip(shares, values, strict=True)])
    axis, value = "I over the threshold, in distances of the clouds", "shots (%)"
    percent = 100.0 * np.concatenate(shares)
    return Picture(title, axis, value, middles, percent, 100.0 * bars, np.zeros(0), len(values), ("no x", "x"))
