"""Cells of shades: where they stand along an axis, how dark a value is, and the scale that says so. For `heat` and `panels`.

Where the values along an axis are evenly spaced, cells stand at their places and the axis has round numbers; elsewhere (logspace, words of
an instrument, the same value twice) every value has a cell of one width, with some of the values written beside. Shades go from the
smallest to the largest value that there is. A point without an estimate is left blank.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.report.axes import Span, label, line, number, ticks
from qrt.report.markup import Markup, element, join

SHADES = 48
PALEST = 0.06  # opacity of the smallest value, so that it differs from a blank
UNEVEN = 1e-6  # by which steps of an evenly spaced axis may differ, relative
SCALE_WIDTH = 16.0


class Cells(NamedTuple):
    """One axis of the drawing: where cells begin and end, and what is written."""

    edges: NDArray[np.float64]  # [cells + 1], in drawing units
    span: Span | None  # round numbers; None: values one by one
    values: NDArray[np.float64]  # [cells]


def kept(values: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return which points of an axis are drawn, by ascending value: all, or every k-th, at most `most`."""
    order = np.argsort(values, kind="stable")
    return order[:: -(-len(order) // most)]


def cells(values: NDArray[np.float64], start: float, stop: float) -> Cells:
    """Return the cells of ascending values between two ends."""
    count = len(values)
    edges = start + (stop - start) * np.arange(count + 1) / count
    steps = np.diff(values)
    even = count > 1 and steps[0] > 0 and np.ptp(steps) <= UNEVEN * steps[0] + 4 * np.spacing(abs(values).max())
    if not even:
        return Cells(edges, None, values)
    half = float(values[-1] - values[0]) / (count - 1) / 2
    return Cells(edges, Span(float(values[0]) - half, float(values[-1]) + half, start, stop), values)


class Levels(NamedTuple):
    """What the shades mean."""

    low: float
    high: float

    @classmethod
    def of(cls, value: NDArray[np.float64]) -> Levels:
        """Return those from the smallest to the largest of values, of which some are known."""
        known = value[np.isfinite(value)]
        return cls(float(known.min()), float(known.max()))

    def steps(self, value: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the shade of each value, 0 to SHADES - 1; -1 of one that is not known."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return np.where(np.isfinite(value), share * (SHADES - 1), -1.0).round().astype(np.int64)


def painted(value: NDArray[np.float64], levels: Levels, x: NDArray[np.float64], y: NDArray[np.float64]) -> Markup:
    """Return a cell for every known value, [rows, columns], between these edges."""
    steps = levels.steps(value)
    return join(*(_shaded(steps == step, step, x, y) for step in range(SHADES)))


def marks(cells: Cells, most: int) -> list[tuple[float, str]]:
    """Return the places of round numbers, or the middles of some cells, with what is written there; about `most`."""
    if (span := cells.span) is not None:
        return [(span.at(value), number(value)) for value in ticks(span.low, span.high, most)]
    middles = (cells.edges[:-1] + cells.edges[1:]) / 2
    every = -(-len(middles) // most)
    return [
        (at, number(value)) for at, value in zip(middles[::every].tolist(), cells.values[::every].tolist(), strict=True)
    ]


def scale(levels: Levels, left: float, top: float, bottom: float) -> Markup:
    """Return the shades with their values beside."""
    low, high = levels
    wide = (high - low) or abs(high) or 1.0
    span = Span(low, low + wide, bottom, top)
    edges = bottom + (top - bottom) * np.arange(SHADES + 1) / SHADES
    right = left + SCALE_WIDTH
    ends = np.array([left, right])
    shades = [_shaded(np.array([[True]]), step, ends, edges[step : step + 2]) for step in range(SHADES)]
    told = [(low, span.at(low)), (low + wide / 2, span.at(low + wide / 2)), (low + wide, span.at(low + wide))]
    marks = [label(right + 8, at + 4, f"{value:.3g}".replace("-", "−"), anchor="start") for value, at in told]
    lines = [line(right, at, right + 4, at, "axis") for _, at in told]
    return join(*shades, *lines, *marks)


def _shaded(cells: NDArray[np.bool_], step: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> Markup:
    """Return all cells of one shade, as one path. cells: [rows, columns]."""
    places = np.argwhere(cells).tolist()
    if not places:
        return join()
    path = "".join(
        f"M{x[column]:.1f} {y[row]:.1f}H{x[column + 1]:.1f}V{y[row + 1]:.1f}H{x[column]:.1f}z" for row, column in places
    )
    return element(
        "path", d=path, class_="feedback-head", fill_opacity=f"{_opacity(step):.3f}", shape_rendering="crispEdges"
    )


def _opacity(step: int) -> float:
    return PALEST + (1.0 - PALEST) * step / (SHADES - 1)
