"""The picture of an observable over a sweep: a trace along one axis, a heat map over two, several over more."""

from __future__ import annotations

from typing import NamedTuple

from qrt.report import heat, panels, trace
from qrt.report.data import HeatMap, Panels, Swept, Trace
from qrt.report.markup import Markup


class Drawn(NamedTuple):
    """A figure, its size, and what it is of."""

    figure: Markup
    width: float
    height: float
    words: str


def drawn(one: Swept) -> Drawn:
    """Return the figure of one."""
    match one:
        case Trace():
            return Drawn(trace.figure(one), trace.WIDTH, trace.HEIGHT, f"{one.title} along {one.axis}")
        case HeatMap():
            return Drawn(heat.figure(one), heat.WIDTH, heat.HEIGHT, f"{one.title} over {' and '.join(one.axes)}")
        case Panels():
            words = f"{one.title} over {' and '.join(one.axes)}, {len(one.places)} maps"
            return Drawn(panels.figure(one), panels.WIDTH, panels.height(one), words)
