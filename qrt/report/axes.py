"""The frame that the figures share: a linear map from data to drawing units, ticks at round numbers, axis lines and titles.

Drawing units are those of an SVG's viewBox, y downwards. Colours are CSS classes of the page, so that one drawing serves light and dark.
"""

from __future__ import annotations

from importlib.resources import files
from math import ceil, floor, log10
from typing import NamedTuple

from qrt.report.markup import Markup, element, join


class Span(NamedTuple):
    """A linear map from [low, high] to [start, stop] in drawing units."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """Return where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(count, 1)
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if raw <= factor * power * 1.0001)
    return [index * step for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def label(
    x: float, y: float, text: str, *, anchor: str = "middle", class_: str = "t", turn: float | None = None
) -> Markup:
    """Return a text whose baseline starts, is centred or ends at (x, y); turned by `turn` degrees around it."""
    transform = None if turn is None else f"rotate({turn:g} {x:.2f} {y:.2f})"
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=class_, transform=transform)


def x_axis(span: Span, y: float, title: str, *, top: float, count: int = 6, scale: float = 1.0) -> Markup:
    """Return ticks, their numbers (divided by `scale`), faint grid lines up to `top`, and the title below."""
    parts = []
    for value in ticks(span.low, span.high, count):
        x = span.at(value)
        parts += [line(x, top, x, y, "grid"), label(x, y + 15, number(value / scale))]
    parts += [line(span.start, y, span.stop, y, "axis"), label((span.start + span.stop) / 2, y + 33, title, class_="t")]
    return join(*parts)


def y_axis(span: Span, x: float, title: str, *, right: float, count: int = 5, scale: float = 1.0) -> Markup:
    """Return ticks, their numbers (divided by `scale`), faint grid lines to `right`, and the title, turned, on the left."""
    parts = []
    for value in ticks(span.low, span.high, count):
        y = span.at(value)
        parts += [line(x, y, right, y, "grid"), label(x - 7, y + 4, number(value / scale), anchor="end")]
    parts += [
        line(x, span.start, x, span.stop, "axis"),
        label(x - 36, (span.start + span.stop) / 2, title, turn=-90.0),
    ]
    return join(*parts)


def number(value: float) -> str:
    """Return a tick's number: no trailing zeros, a true minus sign."""
    return f"{value:.6g}".replace("-", "−") if abs(value) > 1e-12 else "0"


def drawing(width: float, height: float, alternative: str, *children: Markup) -> Markup:
    """Return the whole SVG; `alternative` is what a screen reader says."""
    return element("svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=alternative)


def drawing_style() -> Markup:
    """Return the style element that drawings need: colours for light and dark, and the classes of lines and texts."""
    return Markup(files("qrt.report").joinpath("drawing.html").read_text(encoding="utf-8"))


def picture(drawn: Markup, width: float, height: float) -> Markup:
    """Return an SVG drawing as one that stands alone: with its style and its own paper, for a place whose colours are not ours."""
    paper = element("rect", width=width, height=height, fill="var(--paper)")
    attributes = {"viewBox": f"0 0 {width:g} {height:g}", "xmlns": "http://www.w3.org/2000/svg"}
    return element("svg", drawing_style(), paper, drawn, width=width, height=height, **attributes)
