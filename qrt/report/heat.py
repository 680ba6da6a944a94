"""An observable over two axes of a sweep: a cell at every point, its shade the value, with the scale beside it.

The last axis, the fastest, lies horizontally. Where the values along an axis are evenly spaced, cells stand at their places and the axis
has round numbers; elsewhere (logspace, words of an instrument, the same value twice) every value has a cell of one width, with some of the
values written below. Shades go from the smallest to the largest value that there is. A point without an estimate is left blank. Of an
axis with more points than the drawing has room for every k-th is drawn, and the picture says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.report.axes import Span, drawing, label, line, number, ticks
from qrt.report.data import HeatMap
from qrt.report.markup import Markup, element, join

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 96.0, 646.0, 34.0, 350.0
SCALE_LEFT, SCALE_RIGHT = 668.0, 684.0
CELLS_MAX = 120  # along an axis
LABELS_MAX = 8
SHADES = 48
PALEST = 0.06  # opacity of the smallest value, so that it differs from a blank
UNEVEN = 1e-6  # by which steps of an evenly spaced axis may differ, relative


class Cells(NamedTuple):
    """One axis of the drawing: where cells begin and end, and what is written."""

    edges: NDArray[np.float64]  # [cells + 1], in drawing units
    span: Span | None  # round numbers; None: values one by one
    values: NDArray[np.float64]  # [cells]


def figure(found: HeatMap) -> Markup:
    """Return the figure of an observable over two axes."""
    rows, columns = _kept(found.y), _kept(found.x)
    value, stderr = (one[np.ix_(rows, columns)] for one in (found.value, found.stderr))
    x, y = _cells(found.x[columns], LEFT, RIGHT), _cells(found.y[rows], BOTTOM, TOP)
    known = np.isfinite(value)
    low, high = float(value[known].min()), float(value[known].max())
    shade = np.where(known, (value - low) / ((high - low) or 1.0) * (SHADES - 1), -1.0).round().astype(np.int64)
    most = float(stderr[known].max())
    left_out = "" if value.size == found.value.size else f"; {value.size} of {found.value.size} points are drawn"
    return drawing(
        WIDTH,
        HEIGHT,
        f"{found.title} over {found.axes[1]} and {found.axes[0]}: {value.shape[1]} x {value.shape[0]} cells from {low:.4g} to {high:.4g}",
        label(LEFT, 20, found.title, anchor="start", class_="t strong"),
        label(RIGHT, 20, f"standard error up to {most:.2g}{left_out}", anchor="end", class_="t small"),
        _across(x, found.axes[1]),
        _upwards(y, found.axes[0]),
        join(*(_shaded(shade == step, step, x.edges, y.edges) for step in range(SHADES))),
        element("rect", x=LEFT, y=TOP, width=RIGHT - LEFT, height=BOTTOM - TOP, class_="axis", fill="none"),
        _scale(low, high, found.title),
    )


def _kept(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which points of an axis are drawn, by ascending value."""
    order = np.argsort(values, kind="stable")
    return order[:: -(-len(order) // CELLS_MAX)]


def _cells(values: NDArray[np.float64], start: float, stop: float) -> Cells:
    """Return the cells of ascending values between two ends."""
    count = len(values)
    edges = start + (stop - start) * np.arange(count + 1) / count
    steps = np.diff(values)
    even = count > 1 and steps[0] > 0 and np.ptp(steps) <= UNEVEN * steps[0] + 4 * np.spacing(abs(values).max())
    if not even:
        return Cells(edges, None, values)
    half = float(values[-1] - values[0]) / (count - 1) / 2
    return Cells(edges, Span(float(values[0]) - half, float(values[-1]) + half, start, stop), values)


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


def _across(cells: Cells, title: str) -> Markup:
    marks = [join(line(at, BOTTOM, at, BOTTOM + 4, "axis"), label(at, BOTTOM + 17, text)) for at, text in _marks(cells)]
    return join(*marks, label((LEFT + RIGHT) / 2, BOTTOM + 37, title))


def _upwards(cells: Cells, title: str) -> Markup:
    marks = [
        join(line(LEFT - 4, at, LEFT, at, "axis"), label(LEFT - 7, at + 4, text, anchor="end"))
        for at, text in _marks(cells)
    ]
    return join(*marks, label(16, (TOP + BOTTOM) / 2, title, turn=-90.0))


def _marks(cells: Cells) -> list[tuple[float, str]]:
    """Return the places of round numbers, or the middles of some cells, with what is written there."""
    if (span := cells.span) is not None:
        return [(span.at(value), number(value)) for value in ticks(span.low, span.high, LABELS_MAX)]
    middles = (cells.edges[:-1] + cells.edges[1:]) / 2
    every = -(-len(middles) // LABELS_MAX)
    return [
        (at, number(value)) for at, value in zip(middles[::every].tolist(), cells.values[::every].tolist(), strict=True)
    ]


def _scale(low: float, high: float, title: str) -> Markup:
    """Return what the shades mean."""
    wide = (high - low) or abs(high) or 1.0
    span = Span(low, low + wide, BOTTOM, TOP)
    edges = BOTTOM + (TOP - BOTTOM) * np.arange(SHADES + 1) / SHADES
    ends = np.array([SCALE_LEFT, SCALE_RIGHT])
    shades = [_shaded(np.array([[True]]), step, ends, edges[step : step + 2]) for step in range(SHADES)]
    told = [(low, span.at(low)), (low + wide / 2, span.at(low + wide / 2)), (low + wide, span.at(low + wide))]
    marks = [label(SCALE_RIGHT + 8, at + 4, f"{value:.3g}".replace("-", "−"), anchor="start") for value, at in told]
    lines = [line(SCALE_RIGHT, at, SCALE_RIGHT + 4, at, "axis") for _, at in told]
    return join(*shades, *lines, *marks, label(WIDTH - 8, (TOP + BOTTOM) / 2, title, turn=-90.0))
