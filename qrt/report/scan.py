"""A calibration's scan: points with one standard error, and the model through them. Series of one scan are drawn over one another."""

from __future__ import annotations

import numpy as np

from qrt.calibrate.finding import Picture
from qrt.report.axes import Span, drawing, label, line, x_axis, y_axis
from qrt.report.markup import Markup, element, join

WIDTH, HEIGHT = 390.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 376.0, 34.0, 250.0
DOTS = ("level0", "level1", "mark-dot", "feedback-head")


def figure(picture: Picture) -> Markup:
    """Return the figure of a scan."""
    fitted = picture.fitted if picture.fitted.size else picture.y
    low = float(min((picture.y - picture.bars).min(), fitted.min()))
    high = float(max((picture.y + picture.bars).max(), fitted.max()))
    first, last = float(picture.x.min()), float(picture.x.max())
    wide, tall = last - first or abs(first) or 1.0, high - low or 1.0
    x = Span(first - 0.03 * wide, last + 0.03 * wide, LEFT, RIGHT)
    y = Span(low - 0.06 * tall, high + 0.06 * tall, BOTTOM, TOP)
    parts = [np.split(one, picture.series) for one in (picture.x, picture.y, picture.bars)]
    curves = np.split(picture.fitted, picture.series) if picture.fitted.size else []
    return drawing(
        WIDTH,
        HEIGHT,
        f"{picture.title}: {picture.value} against {picture.axis}, {len(picture.x)} points",
        label(LEFT, 16, picture.title, anchor="start", class_="t strong"),
        x_axis(x, BOTTOM, picture.axis, top=TOP, count=5),
        y_axis(y, LEFT, picture.value, right=RIGHT, count=5),
        join(*(_curve(x, y, xs, values) for xs, values in zip(parts[0], curves, strict=False))),
        _threshold(x.at(0.0), picture.sides),
        join(*(_points(x, y, one, dots) for *one, dots in zip(*parts, DOTS[: picture.series], strict=True))),
    )


def _threshold(x: float, sides: tuple[str, str] | None) -> Markup:
    """Return the line between two series, with the name of either on its side."""
    if sides is None:
        return join()
    below = label(x - 6, TOP + 4, sides[0], anchor="end", class_="t ink0")
    above = label(x + 6, TOP + 4, sides[1], anchor="start", class_="t ink1")
    return join(line(x, TOP - 6, x, BOTTOM, "threshold"), below, above)


def _curve(x: Span, y: Span, xs: np.ndarray, values: np.ndarray) -> Markup:
    order = np.argsort(xs, kind="stable")
    path = " ".join(f"{x.at(float(xs[k])):.1f},{y.at(float(values[k])):.1f}" for k in order)
    return element("polyline", points=path, class_="curve")


def _points(x: Span, y: Span, points: list[np.ndarray], dots: str) -> Markup:
    drawn = []
    for a, b, e in np.stack(points, axis=1).tolist():
        drawn.append(line(x.at(a), y.at(b - e), x.at(a), y.at(b + e), "axis"))
        drawn.append(element("circle", cx=round(x.at(a), 2), cy=round(y.at(b), 2), r=2.4, class_=dots))
    return join(*drawn)
