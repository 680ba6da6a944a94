"""An observable along a sweep: a point with its error bar at every value of the axis, joined by straight lines.

More points than the drawing has room for are drawn without bars; those that have no estimate are left out.
"""

from __future__ import annotations

import numpy as np

from qrt.report.axes import Span, drawing, line, x_axis, y_axis
from qrt.report.data import Trace
from qrt.report.markup import Markup, element, join

WIDTH, HEIGHT = 760.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 744.0, 22.0, 270.0
BARS_MAX = 250
POINTS_MAX = 2000  # of a longer sweep every k-th is drawn


def figure(trace: Trace) -> Markup:
    """Return the figure of a trace."""
    order = np.argsort(trace.x, kind="stable")
    order = order[np.isfinite(trace.value[order])]
    order = order[:: -(-len(order) // POINTS_MAX)]
    xs, values, errors = trace.x[order], trace.value[order], trace.stderr[order]
    low, high = min(float((values - errors).min()), -1.0), max(float((values + errors).max()), 1.0)
    first, last = float(xs[0]), float(xs[-1])
    wide = last - first or abs(first) or 1.0
    x = Span(first - 0.02 * wide, last + 0.02 * wide, LEFT, RIGHT)
    y = Span(low - 0.05 * (high - low), high + 0.05 * (high - low), BOTTOM, TOP)
    places = [(x.at(float(a)), y.at(float(b))) for a, b in zip(xs, values, strict=True)]
    bars = [
        line(x.at(float(a)), y.at(float(b - e)), x.at(float(a)), y.at(float(b + e)), "run")
        for a, b, e in zip(xs, values, errors, strict=True)
    ]
    dots = [element("circle", cx=round(a, 2), cy=round(b, 2), r=2.5, class_="run-dot") for a, b in places]
    return drawing(
        WIDTH,
        HEIGHT,
        f"{trace.title} along {trace.axis}: {len(order)} points from {first:.6g} to {last:.6g}",
        x_axis(x, BOTTOM, trace.axis, top=TOP, count=8),
        y_axis(y, LEFT, trace.title, right=RIGHT),
        element("polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in places), class_="curve"),
        join(*(bars + dots if len(order) <= BARS_MAX else [])),
    )
