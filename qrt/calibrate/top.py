"""The top of a curve: which place to look at next on the way up, and where the middle is of a curve that falls alike on both sides. Pure.

Places are whole steps. A top is climbed to, where places far from it show nothing, and is done when it has `NEIGHBOURS` on either side.
Around its middle x0 the curve y obeys 1 / y^2 = a + b (x - x0)^2 + c (x - x0)^4: x0 is found on a grid, the rest is linear. The top is
flat, so the mean over all possible middles is taken, each with its likelihood, and not the likeliest: that one jumps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from qrt.calibrate.fit import Array
from qrt.types import Estimated

NEIGHBOURS: Final = 3
START: Final = (-1, 0, 1)
_ORDER: Final = tuple(sign * k for k in range(1, NEIGHBOURS + 1) for sign in (-1, 1))


class Middle(NamedTuple):
    """Where a curve has its middle, in steps, and the curve at the steps that were seen."""

    at: Estimated
    curve: Array  # [steps]; empty where the curve that fits best has no top


def best(values: Mapping[int, float]) -> int:
    """Return the place of the largest value."""
    return max(values, key=lambda k: values[k])


def following(values: Mapping[int, float], limit: int) -> int | None:
    """Return the place to look at next, at most `limit` steps from 0; None where the top has its neighbours."""
    around = [best(values) + k for k in _ORDER] if values else []
    return next((k for k in (*START, *around) if k not in values and abs(k) <= limit), None)


def middle(steps: Array, value: Array, noise: Array) -> Middle:
    """Return the middle of a curve, within the steps; value, above 0, and its standard error `noise`. [steps] each, ascending."""
    inverse = (value.max() / value) ** 2
    sigma = 2.0 * inverse * noise / value
    grid = np.linspace(steps[0], steps[-1], 10 * len(steps) + 1)
    chi2 = np.array([_fitted(steps, inverse, sigma, place)[0] for place in grid.tolist()])
    likelihood = np.exp(-0.5 * (chi2 - chi2.min()))
    mean = float(grid @ likelihood / likelihood.sum())
    at = Estimated(mean, float((grid - mean) ** 2 @ likelihood / likelihood.sum()) ** 0.5)
    model = _fitted(steps, inverse, sigma, mean)[1]
    return Middle(at, value.max() / np.sqrt(model) if model.min() > 0.0 else np.zeros(0))


def _fitted(steps: Array, inverse: Array, sigma: Array, place: float) -> tuple[float, Array]:
    """Return (chi2, 1 / y^2 at the steps) of the best curve around a middle, of those with one top: two would fit on either flank."""
    columns = np.stack([np.ones_like(steps), (steps - place) ** 2, (steps - place) ** 4], axis=1)
    found = []
    for own in ((0, 1, 2), (0, 1), (0, 2), (0,)):
        linear = np.linalg.lstsq(columns[:, own] / sigma[:, None], inverse / sigma, rcond=1e-9)[0]
        if np.all(linear[1:] >= 0.0):
            curve = columns[:, own] @ linear
            found.append((float(np.sum(((inverse - curve) / sigma) ** 2)), curve))
    return min(found, key=lambda one: one[0])
