"""What the shots of a sweep were at each of its points, for the error bar of all of them together. Numpy alone.

The estimate of all shots is the mean over the points of the expectation at each, by the shots that count. Nothing of what differs between
two points is chance, so its shot noise is what shots scatter around the mean of their own point (`Within`, in readout.estimate). Batches
may begin in one point and end in another, and a point may come again and again: so the points' means are known only from all of the rows so
far, and are kept here, batch after batch.

Two shots at a distance l are `l // stay` points apart or one more, stay being how many shots are played at a point before the next: that
is counted for every batch, and the product of two means is averaged over all points that are so far apart. The last points of a leg
are taken for followed by its first, as they are where a leg has several passes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qrt.axes import Grid
from qrt.batch import Points
from qrt.observables import Observables
from qrt.points import products_of
from qrt.readout.estimate import LAG_COUNT, Within, unseen_variance

LAGS: Final = range(1, LAG_COUNT + 1)


class PointSums:
    """The sums at each point over the shots so far: how many count, their weights and their signs as read."""

    def __init__(self, grid: Grid, observables: Observables, factors: NDArray[np.float64], batch_shots: int) -> None:
        """grid: the kernel's of a leg; factors: readout.estimate.tables; batch_shots: of a pair both are of one batch, as in `Sums`."""
        each = grid.shots_per_point if grid.order == "point" else 1
        self._points = Points(grid.points, each, grid.shots)
        self._stay = each if grid.points > 1 else grid.shots
        self._several = grid.shots > grid.points * self._stay  # passes
        self._observables, self._factors, self._batch_shots = observables, factors, batch_shots
        self._shots = np.zeros(0, np.int64)  # [points]
        self._sums = np.zeros((2, len(observables.terms), 0))  # [weights and signs, observables, points]
        self._near = np.zeros(LAG_COUNT, np.int64)  # [lags] pairs that are l // stay points apart
        self._pairs = np.zeros(LAG_COUNT, np.int64)
        self.end = 0  # shots below it are in

    def add(self, rows: NDArray[Any]) -> None:
        """Take the next rows, which begin with a batch and end with one, or with the run."""
        for first in range(0, len(rows), self._batch_shots):
            self._add(rows[first : first + self._batch_shots])

    def _add(self, rows: NDArray[Any]) -> None:
        shots = np.arange(self.end, self.end + len(rows))
        self.end += len(rows)
        valid, point = rows["flags"] == 0, self._points.of(shots)
        first, length = int(point.min()), int(np.ptp(point)) + 1
        self._grow(first + length)
        here, place = slice(first, first + length), point - first
        self._shots[here] += np.bincount(place[valid], minlength=length)
        for index, parts in enumerate(
            products_of(rows["bits"].astype(np.uint64), valid, self._observables, self._factors)
        ):
            for term, part in enumerate(parts):
                self._sums[index, term, here] += np.bincount(place, part, length)
        stay = self._stay
        inside = shots % stay
        for lag in LAGS[: max(len(rows) - 1, 0)]:
            both = valid[:-lag] & valid[lag:]
            self._pairs[lag - 1] += np.count_nonzero(both)
            self._near[lag - 1] += np.count_nonzero(both & (inside[:-lag] + lag % stay < stay))

    def _grow(self, count: int) -> None:
        """Have room for so many points, in whole legs."""
        missing = -(-count // self._points.count) * self._points.count - len(self._shots)
        if missing > 0:
            self._shots = np.pad(self._shots, (0, missing))
            self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, missing)))

    @property
    def _around(self) -> int:
        """After how many points they begin anew."""
        return self._points.count if self._several else max(len(self._shots), 1)

    def within(self) -> Within:
        """Return what the bar of all shots so far needs."""
        played = self._shots > 0
        shots = self._shots[played]
        means = np.divide(self._sums, self._shots, out=np.zeros_like(self._sums), where=played)
        stay, count = self._stay, self._around
        # Share of the pairs; the others are one point further apart.
        near = (self._near / np.maximum(self._pairs, 1))[:, None]
        steps = [lag // stay for lag in LAGS]
        products = {step: self._product(means, step) for step in {0, *steps, *(step + 1 for step in steps)}}
        own = np.array([[step % count == 0, (step + 1) % count == 0] for step in steps])
        # [lags, near and far, 2, observables]
        lagged = np.array([[products[step], products[step + 1]] for step in steps])
        lagged = near[..., None] * lagged[:, 0] + (1 - near[..., None]) * lagged[:, 1]
        return Within(
            points=len(shots),
            unseen=float(np.sum((shots / shots.sum()) ** 2 * unseen_variance(shots))),
            weight=products[0][0],
            raw=products[0][1],
            own=np.where(own, np.hstack([near, 1 - near]), 0.0).sum(axis=1),
            weight_lagged=lagged[:, 0],
            raw_lagged=lagged[:, 1],
        )

    def _product(self, means: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return the mean of m_p m_(p + step) over all shots whose point and the one so many points later have any, [2, observables]."""
        by_leg = means.reshape(*means.shape[:2], -1, self._around)
        shots = self._shots.reshape(-1, self._around)
        share = shots * (np.roll(shots, -step, axis=1) > 0)
        product: NDArray[np.float64] = np.sum(share * by_leg * np.roll(by_leg, -step, axis=3), axis=(2, 3))
        return product / max(int(share.sum()), 1)
