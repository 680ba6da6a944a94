"""The timeline of one shot: a row for each channel of each qubit, bars at their exact ticks, and the way of the feedback.

Bars that play only on one branch are open. A label is left out where it would run into the one before it; every bar says its tick,
duration, slack and source line when pointed at, and the page lists them below the figure.
"""

from __future__ import annotations

from qrt.report.axes import Span, drawing, label, line, x_axis
from qrt.report.data import Bar, Feedback
from qrt.report.markup import Markup, element, join

WIDTH = 900.0
LEFT, RIGHT, TOP = 108.0, 884.0, 26.0
ROW, BAR = 40.0, 18.0
CHARACTER = 6.6  # width of a label's character, about


def figure(bars: tuple[Bar, ...], feedbacks: tuple[Feedback, ...]) -> Markup:
    """Return the timeline; rows in the order of their first appearance."""
    rows = list(dict.fromkeys(bar.row for bar in bars))
    bottom = TOP + ROW * len(rows)
    end = max(bar.start_ns + bar.duration_ns for bar in bars)
    span = Span(0.0, max(end, 1.0) * 1.02, LEFT, RIGHT)
    parts = [x_axis(span, bottom, "time from the shot's start (ns)", top=TOP, count=10)]
    for index, row in enumerate(rows):
        middle = TOP + ROW * (index + 0.62)
        parts += [line(LEFT, middle, RIGHT, middle, "wire"), label(LEFT - 10, middle + 4, row, anchor="end")]
        parts += _row(sorted((bar for bar in bars if bar.row == row), key=lambda bar: bar.start_ns), middle, span)
    for feedback in feedbacks:
        if feedback.row in rows:
            parts.append(_arrow(feedback, TOP + ROW * (rows.index(feedback.row) + 0.62), span))
    names = ", ".join(rows)
    return drawing(WIDTH, bottom + 44, f"Timeline of one shot with rows {names}; listed below", *parts)


def _row(bars: list[Bar], middle: float, span: Span) -> list[Markup]:
    parts = []
    free = LEFT
    for bar in bars:
        start, stop = span.at(bar.start_ns), span.at(bar.start_ns + bar.duration_ns)
        width = max(stop - start, 2.0)
        said = [f"{bar.label}: {bar.start_ns:g} ns, {bar.duration_ns:g} ns long"]
        said += [f"slack {bar.slack_ns:g} ns"] if bar.slack_ns is not None else []
        said += ["on one branch only"] if bar.conditional else []
        said += [f"line {bar.line}: {bar.source}"] if bar.line else []
        parts.append(
            element(
                "rect",
                element("title", "; ".join(said)),
                x=start,
                y=middle - BAR / 2,
                width=width,
                height=BAR,
                rx=2.5,
                class_=f"bar {bar.kind}{' open' if bar.conditional else ''}",
            )
        )
        half = CHARACTER * len(bar.label) / 2
        centre = max((start + stop) / 2, LEFT + half)
        if bar.label and centre - half >= free:
            parts.append(label(centre, middle - BAR / 2 - 4, bar.label, class_="t small"))
            free = centre + half + 4
    return parts


def _arrow(feedback: Feedback, middle: float, span: Span) -> Markup:
    start, stop = span.at(feedback.start_ns), span.at(feedback.stop_ns)
    head = f"M{stop - 1:.1f} {middle:.1f}l-7 -3.5v7z"
    text = f"{feedback.stop_ns - feedback.start_ns:g} ns"
    return join(
        line(start, middle, stop - 6, middle, "feedback"),
        line(start, middle - 7, start, middle + 7, "feedback"),
        element("path", d=head, class_="feedback-head"),
        label((start + stop) / 2, middle + 15, text, class_="t small accent"),
    )
