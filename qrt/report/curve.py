"""Residual excitation against feedback latency: the curve of this lab's measured numbers, this run's point, and published controllers.

The curve and its band (one standard error) come from `reset`. A mark at a controller's latency says what the curve would give with
that latency: it says nothing of that controller's own qubits, readout or results.
"""

from __future__ import annotations

import numpy as np

from qrt.latencies import PUBLISHED
from qrt.report.axes import Span, drawing, label, line, x_axis, y_axis
from qrt.report.data import ResetFacts
from qrt.report.markup import Markup, element, join
from qrt.report.reset import curve

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 744.0, 22.0, 350.0
POINTS = 121
LETTERS = "ABCDEFGH"
LETTER_WIDTH, LETTER_HEIGHT = 13.0, 13.0  # of a mark's letter; those that would touch stand below one another


def figure(facts: ResetFacts) -> Markup:
    """Return the figure, y in per cent."""
    end = max(1200.0, 2.0 * facts.gap_ns)
    gaps = np.linspace(0.0, end, POINTS)
    centre, error = (100 * values for values in curve(facts, gaps))
    point, bar = 100 * facts.residual.value, 100 * facts.residual.stderr
    truth = point if facts.truth is None else 100 * facts.truth
    low = min(float((centre - error).min()), point - 2 * bar, truth)
    high = max(float((centre + error).max()), point + 2 * bar, truth)
    margin = 0.12 * (high - low)
    x, y = Span(0.0, end, LEFT, RIGHT), Span(max(low - margin, 0.0), high + margin, BOTTOM, TOP)
    ring = element("rect", x=LEFT, y=TOP, width=x.at(facts.depletion_ns) - LEFT, height=BOTTOM - TOP, class_="photons")
    return drawing(
        WIDTH,
        HEIGHT,
        f"Residual excitation against feedback latency; this run: {point:.2f} % ± {bar:.2f} % at {facts.gap_ns:g} ns",
        ring if facts.depletion_ns > 0.0 else join(),
        label(LEFT + 8, BOTTOM - 10, "readout photons still leaving", anchor="start", class_="t small"),
        x_axis(x, BOTTOM, "from the last sample of the readout to the pulse (ns)", top=TOP, count=8),
        y_axis(y, LEFT, "residual excitation (%)", right=RIGHT),
        _band(x, y, gaps, centre, error),
        _published(x, y, gaps, centre),
        _run(x, y, facts, point, bar),
    )


def _band(x: Span, y: Span, gaps: np.ndarray, centre: np.ndarray, error: np.ndarray) -> Markup:
    upper = [f"{x.at(g):.1f},{y.at(v):.1f}" for g, v in zip(gaps, centre + error, strict=True)]
    lower = [f"{x.at(g):.1f},{y.at(v):.1f}" for g, v in zip(gaps, centre - error, strict=True)]
    path = " ".join(f"{x.at(g):.1f},{y.at(v):.1f}" for g, v in zip(gaps, centre, strict=True))
    return join(
        element("polygon", points=" ".join(upper + lower[::-1]), class_="band"),
        element("polyline", points=path, class_="curve"),
    )


def _published(x: Span, y: Span, gaps: np.ndarray, centre: np.ndarray) -> Markup:
    parts = []
    last, row = LEFT - LETTER_WIDTH, 0
    for letter, controller in zip(LETTERS, PUBLISHED, strict=True):
        if controller.latency_ns > gaps[-1]:
            continue  # the table names it
        at = x.at(controller.latency_ns)
        row = row + 1 if at - last < LETTER_WIDTH else 0
        last = at
        height = y.at(float(np.interp(controller.latency_ns, gaps, centre)))
        parts += [
            line(at, height, at, TOP + 14 + row * LETTER_HEIGHT, "mark"),
            element("circle", element("title", controller.title), cx=at, cy=height, r=3.5, class_="mark-dot"),
            label(at, TOP + 9 + row * LETTER_HEIGHT, letter, class_="t strong"),
        ]
    return join(*parts)


def _run(x: Span, y: Span, facts: ResetFacts, point: float, bar: float) -> Markup:
    at = x.at(facts.gap_ns)
    parts = [
        line(at, y.at(point - bar), at, y.at(point + bar), "run"),
        line(at - 5, y.at(point - bar), at + 5, y.at(point - bar), "run"),
        line(at - 5, y.at(point + bar), at + 5, y.at(point + bar), "run"),
        element("circle", cx=at, cy=y.at(point), r=4.5, class_="run-dot"),
        label(
            at + 9,
            y.at(point - bar) + 17,
            f"this run: {point:.2f} % ± {bar:.2f} %",
            anchor="start",
            class_="t strong halo",
        ),
    ]
    if facts.truth is not None:
        height = y.at(100 * facts.truth)
        text = f"× the plant's truth: {100 * facts.truth:.2f} %"
        parts += [
            element("path", d=f"M{at - 5:.1f} {height - 5:.1f}l10 10m0 -10l-10 10", class_="truth"),
            label(at + 9, y.at(point - bar) + 33, text, anchor="start", class_="t small halo"),
        ]
    return join(*parts)
