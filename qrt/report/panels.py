"""An observable over three axes of a sweep or more: a small map of the two fastest for each point of the others, in one scale of shades.

Panels stand in the order of the points, the last of the other axes fastest, and above each are the values of these. Of more points than
there is room for every k-th has a panel, and the picture says so; so it does of cells that are left out. Axes are written at the left and
below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qrt.report import shades
from qrt.report.axes import drawing, label, line, number
from qrt.report.data import Panels
from qrt.report.markup import Markup, element, join

WIDTH = 760.0
LEFT, RIGHT, TOP, BELOW = 96.0, 646.0, 44.0, 50.0
SCALE_LEFT = 668.0
COLUMNS = 4
GAP = 18.0  # between panels
LINE, PER_LINE = 13.0, 2  # of what stands above each: height, and how many values
PANEL_WIDTH, PANEL_HEIGHT = (RIGHT - LEFT - (COLUMNS - 1) * GAP) / COLUMNS, 120.0
PANELS_MAX = 12
CELLS_MAX = 48  # along an axis
LABELS_MAX = 4
EDGE = 14.0  # where a number reaches over the end of its axis it begins or ends there


def height(found: Panels) -> float:
    """Return how high the figure is."""
    rows = -(-len(_chosen(found)) // COLUMNS)
    return TOP + rows * (_caption(found) + PANEL_HEIGHT) + (rows - 1) * GAP + BELOW


def _caption(found: Panels) -> float:
    """Return how high what stands above a panel is."""
    return LINE * -(-len(found.others) // PER_LINE) + 5


def figure(found: Panels) -> Markup:
    """Return the figure of an observable over three axes or more."""
    chosen = _chosen(found)
    rows, columns = shades.kept(found.y, CELLS_MAX), shades.kept(found.x, CELLS_MAX)
    value, stderr = (one[np.ix_(chosen, rows, columns)] for one in (found.value, found.stderr))
    levels, known = shades.Levels.of(found.value), stderr[np.isfinite(value)]
    told = f"standard error up to {float(known.max()):.2g}" if known.size else "no estimate at these points"
    bottom, caption = height(found) - BELOW, _caption(found)
    maps = []
    for index, which in enumerate(chosen.tolist()):
        row, column = divmod(index, COLUMNS)
        left, top = LEFT + column * (PANEL_WIDTH + GAP), TOP + caption + row * (PANEL_HEIGHT + caption + GAP)
        x = shades.cells(found.x[columns], left, left + PANEL_WIDTH)
        y = shades.cells(found.y[rows], top + PANEL_HEIGHT, top)
        maps += [
            _values(found.places[which].tolist(), left, top - caption),
            shades.painted(value[index], levels, x.edges, y.edges),
            element("rect", x=left, y=top, width=PANEL_WIDTH, height=PANEL_HEIGHT, class_="axis", fill="none"),
            _across(x, top + PANEL_HEIGHT) if index + COLUMNS >= len(chosen) else join(),  # below it nothing stands
            _upwards(y) if column == 0 else join(),
        ]
    return drawing(
        WIDTH,
        height(found),
        f"{found.title} over {found.axes[1]} and {found.axes[0]}: {len(chosen)} maps of {value.shape[2]} x {value.shape[1]} cells from "
        f"{levels.low:.4g} to {levels.high:.4g}",
        label(LEFT, 20, found.title, anchor="start", class_="t strong"),
        label(RIGHT, 20, f"{told}{_left_out(found, value)}", anchor="end", class_="t small"),
        label(LEFT, 38, f"above each: {', '.join(found.others)}", anchor="start", class_="t small"),
        *maps,
        label((LEFT + RIGHT) / 2, bottom + 38, found.axes[1]),
        label(16, (TOP + bottom) / 2, found.axes[0], turn=-90.0),
        shades.scale(levels, SCALE_LEFT, TOP + caption, TOP + caption + PANEL_HEIGHT),
    )


def _chosen(found: Panels) -> NDArray[np.intp]:
    """Return which maps are drawn."""
    count = len(found.places)
    return np.arange(count)[:: -(-count // PANELS_MAX)]


def _left_out(found: Panels, drawn: NDArray[np.float64]) -> str:
    """Return what is not drawn, in words; empty if all is."""
    parts = [f"{len(drawn)} of {len(found.places)} maps"] * (len(drawn) < len(found.places))
    parts += [f"{drawn[0].size} of {found.value[0].size} points of each"] * (drawn[0].size < found.value[0].size)
    return f"; {' and '.join(parts)} are drawn" if parts else ""


def _values(values: list[float], left: float, top: float) -> Markup:
    lines = [", ".join(map(number, values[first : first + PER_LINE])) for first in range(0, len(values), PER_LINE)]
    return join(
        *(label(left, top + LINE * (k + 1), one, anchor="start", class_="t small") for k, one in enumerate(lines))
    )


def _across(cells: shades.Cells, bottom: float) -> Markup:
    first, last = float(cells.edges[0]), float(cells.edges[-1])
    marks = [
        (at, text, "start" if at < first + EDGE else "end" if at > last - EDGE else "middle")
        for at, text in shades.marks(cells, LABELS_MAX)
    ]
    return join(
        *(
            join(
                line(at, bottom, at, bottom + 4, "axis"), label(at, bottom + 17, text, anchor=anchor, class_="t small")
            )
            for at, text, anchor in marks
        )
    )


def _upwards(cells: shades.Cells) -> Markup:
    return join(
        *(
            join(line(LEFT - 4, at, LEFT, at, "axis"), label(LEFT - 7, at + 4, text, anchor="end"))
            for at, text in shades.marks(cells, LABELS_MAX)
        )
    )
