"""What a controller made of a run: its value from the batch on at which it takes effect, a step at each.

A cross marks an update that was refused, where the value before it was kept; a ring one that came too late for its shot, so that the
value before it stayed in force. Of a long run every k-th step is drawn, and all marks up to a bound.
"""

from __future__ import annotations

from math import floor, log10

import numpy as np

from qrt.report.axes import Span, drawing, label, x_axis, y_axis
from qrt.report.data import Updates
from qrt.report.markup import Markup, element, join

WIDTH, HEIGHT = 760.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 744.0, 18.0, 210.0
POINTS_MAX = 2000
MARKS_MAX = 250  # of each kind
LARGE = 1e5  # values beyond it are drawn in units of a power of ten


def figure(updates: Updates) -> Markup:
    """Return the figure of a controller."""
    count = len(updates.value)
    batches = updates.start + np.arange(count)
    largest = float(np.abs(updates.value).max())
    power = floor(log10(largest)) if largest >= LARGE else 0
    low, high = float(updates.value.min()), float(updates.value.max())
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    x = Span(float(batches[0]), float(batches[-1] + 1), LEFT, RIGHT)
    y = Span(low - margin, high + margin, BOTTOM, TOP)
    unit = label(LEFT + 8, TOP + 10, f"in units of {10.0**power:g}", anchor="start", class_="t small halo")
    refused, late = np.flatnonzero(updates.refused), np.flatnonzero(updates.late)
    return drawing(
        WIDTH,
        HEIGHT,
        f"{updates.controller}: {updates.output} over {count} batches, last {updates.value[-1]:.6g}, "
        f"{len(refused)} refused, {len(late)} late",
        x_axis(x, BOTTOM, "batch from whose first shot on the value acts", top=TOP, count=min(8, count)),
        y_axis(y, LEFT, "", right=RIGHT, count=6, scale=10.0**power),
        _steps(x, y, updates.start, updates.value),
        *(_cross(*_place(x, y, updates, index)) for index in refused[:MARKS_MAX]),
        unit if power else join(),
        *(_ring(*_place(x, y, updates, index)) for index in late[:MARKS_MAX]),
    )


def _steps(x: Span, y: Span, start: int, value: np.ndarray) -> Markup:
    """Return the line that keeps each value until the next."""
    every = -(-len(value) // POINTS_MAX)
    points = []
    for index in range(0, len(value), every):
        height = y.at(float(value[index]))
        until = min(index + every, len(value))
        points += [f"{x.at(start + index):.1f},{height:.1f}", f"{x.at(start + until):.1f},{height:.1f}"]
    return element("polyline", points=" ".join(points), class_="curve")


def _place(x: Span, y: Span, updates: Updates, index: int) -> tuple[float, float]:
    return x.at(updates.start + float(index)), y.at(float(updates.value[index]))


def _cross(at: float, height: float) -> Markup:
    return element("path", d=f"M{at - 5:.1f} {height - 5:.1f}l10 10m0 -10l-10 10", class_="truth")


def _ring(at: float, height: float) -> Markup:
    return element("circle", cx=at, cy=height, r=4.0, class_="mark-dot")
