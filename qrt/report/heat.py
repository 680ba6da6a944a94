"""An observable over two axes of a sweep: a cell at every point, its shade the value, with the scale beside it.

The last axis, the fastest, lies horizontally. Of an axis with more points than the drawing has room for every k-th is drawn, and the
picture says so.
"""

from __future__ import annotations

import numpy as np

from qrt.report import shades
from qrt.report.axes import drawing, label, line
from qrt.report.data import HeatMap
from qrt.report.markup import Markup, element, join

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 96.0, 646.0, 34.0, 350.0
SCALE_LEFT = 668.0
CELLS_MAX = 120  # along an axis
LABELS_MAX = 8


def figure(found: HeatMap) -> Markup:
    """Return the figure of an observable over two axes."""
    rows, columns = shades.kept(found.y, CELLS_MAX), shades.kept(found.x, CELLS_MAX)
    value, stderr = (one[np.ix_(rows, columns)] for one in (found.value, found.stderr))
    x, y = shades.cells(found.x[columns], LEFT, RIGHT), shades.cells(found.y[rows], BOTTOM, TOP)
    levels = shades.Levels.of(value)
    most = float(stderr[np.isfinite(value)].max())
    left_out = "" if value.size == found.value.size else f"; {value.size} of {found.value.size} points are drawn"
    return drawing(
        WIDTH,
        HEIGHT,
        f"{found.title} over {found.axes[1]} and {found.axes[0]}: {value.shape[1]} x {value.shape[0]} cells from {levels.low:.4g} to "
        f"{levels.high:.4g}",
        label(LEFT, 20, found.title, anchor="start", class_="t strong"),
        label(RIGHT, 20, f"standard error up to {most:.2g}{left_out}", anchor="end", class_="t small"),
        _across(x, found.axes[1]),
        _upwards(y, found.axes[0]),
        shades.painted(value, levels, x.edges, y.edges),
        element("rect", x=LEFT, y=TOP, width=RIGHT - LEFT, height=BOTTOM - TOP, class_="axis", fill="none"),
        shades.scale(levels, SCALE_LEFT, TOP, BOTTOM),
        label(WIDTH - 8, (TOP + BOTTOM) / 2, found.title, turn=-90.0),
    )


def _across(cells: shades.Cells, title: str) -> Markup:
    marks = [
        join(line(at, BOTTOM, at, BOTTOM + 4, "axis"), label(at, BOTTOM + 17, text))
        for at, text in shades.marks(cells, LABELS_MAX)
    ]
    return join(*marks, label((LEFT + RIGHT) / 2, BOTTOM + 37, title))


def _upwards(cells: shades.Cells, title: str) -> Markup:
    marks = [
        join(line(LEFT - 4, at, LEFT, at, "axis"), label(LEFT - 7, at + 4, text, anchor="end"))
        for at, text in shades.marks(cells, LABELS_MAX)
    ]
    return join(*marks, label(16, (TOP + BOTTOM) / 2, title, turn=-90.0))
