"""The iq clouds: two captures of a run side by side, with the threshold that makes outcomes of them.

Every shot is drawn: shots are counted in square bins whose edges lie on the threshold, and a bin's shade is the logarithm of its
count, so that one shot in ten thousand is still seen. Above each cloud stand the counts along I, on a square-root scale, on which the
chance error of a bar is the same everywhere. All clouds of a page share one frame.
"""

from __future__ import annotations

from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from qrt.report.axes import Span, drawing, label, line, x_axis, y_axis
from qrt.report.data import Cloud
from qrt.report.markup import Markup, element, join

WIDTH, HEIGHT = 390.0, 430.0
LEFT, RIGHT, TOP, SPLIT, BOTTOM = 58.0, 376.0, 34.0, 112.0, 390.0
BINS = 72  # along the longer side
SHADES = 6


class Frame:
    """The square bins that all clouds of a page share."""

    def __init__(self, clouds: tuple[Cloud, ...]) -> None:
        """Lay the frame around every point of every cloud; bins have one size, in iq units, on both axes."""
        i = np.concatenate([cloud.i for cloud in clouds])
        q = np.concatenate([cloud.q for cloud in clouds])
        thresholds = [cloud.threshold for cloud in clouds]
        low_i, high_i = min(int(i.min()), *thresholds), max(int(i.max()), *thresholds)
        middle_q = (int(q.min()) + int(q.max())) / 2
        side = max(high_i - low_i, int(q.max()) - int(q.min()), 1) * 1.06
        middle_i = (low_i + high_i) / 2
        self.size = side / BINS
        self.x = Span(middle_i - side / 2, middle_i + side / 2, LEFT, RIGHT)
        height = (BOTTOM - SPLIT) / (RIGHT - LEFT) * side
        self.y = Span(middle_q - height / 2, middle_q + height / 2, BOTTOM, SPLIT)
        self.scale = 10.0 ** floor(log10(side))
        self.power = round(log10(self.scale))


def figure(cloud: Cloud, frame: Frame) -> Markup:
    """Return one cloud with its counts along I."""
    column = np.floor((cloud.i - cloud.threshold - 1) / frame.size).astype(np.int64)  # column >= 0 is outcome 1
    row = np.floor((cloud.q - frame.y.low) / frame.size).astype(np.int64)
    ones = int(np.count_nonzero(cloud.i > cloud.threshold))
    shots = len(cloud.i)
    x = frame.x.at(cloud.threshold)
    unit = f" (10{_superscript(frame.power)})"
    below, above = (f"0: {100 * (shots - ones) / shots:.2f} %", f"1: {100 * ones / shots:.2f} %")
    return drawing(
        WIDTH,
        HEIGHT,
        f"{cloud.title}: {shots} shots, outcome {below}, outcome {above}",
        label(LEFT, 16, cloud.title, anchor="start", class_="t strong"),
        x_axis(frame.x, BOTTOM, "I" + unit, top=SPLIT, count=5, scale=frame.scale),
        y_axis(frame.y, LEFT, "Q" + unit, right=RIGHT, count=5, scale=frame.scale),
        _density(column, row, cloud.threshold, frame),
        _histogram(column, cloud.threshold, frame),
        line(x, TOP - 6, x, BOTTOM, "threshold"),
        label(x - 6, TOP + 4, below, anchor="end", class_="t ink0"),
        label(x + 6, TOP + 4, above, anchor="start", class_="t ink1"),
    )


def _density(column: NDArray[np.int64], row: NDArray[np.int64], threshold: int, frame: Frame) -> Markup:
    """Return the bins, one path for each shade and outcome."""
    cells, counts = np.unique(np.stack([column, row]), axis=1, return_counts=True)
    shade = np.minimum(SHADES * np.log1p(counts) / np.log1p(counts.max()), SHADES - 1).astype(np.int64)
    side = (RIGHT - LEFT) / BINS
    parts = []
    for outcome in (0, 1):
        for level in range(SHADES):
            chosen = cells[:, (shade == level) & ((cells[0] >= 0) == bool(outcome))]
            path = "".join(
                f"M{frame.x.at(threshold + a * frame.size):.1f} {frame.y.at(frame.y.low + (b + 1) * frame.size):.1f}"
                f"h{side:.2f}v{side:.2f}h-{side:.2f}z"
                for a, b in chosen.T.tolist()
            )
            if path:
                parts.append(element("path", d=path, class_=f"level{outcome}", fill_opacity=(level + 1) / SHADES))
    return join(*parts)


def _histogram(column: NDArray[np.int64], threshold: int, frame: Frame) -> Markup:
    """Return the counts along I as bars on a square-root scale."""
    columns, counts = np.unique(column, return_counts=True)
    heights = np.sqrt(counts / counts.max()) * (SPLIT - TOP - 16)
    side = (RIGHT - LEFT) / BINS
    parts = []
    for outcome in (0, 1):
        path = "".join(
            f"M{frame.x.at(threshold + a * frame.size):.1f} {SPLIT - 4:.1f}v-{height:.1f}h{side:.2f}v{height:.1f}z"
            for a, height in zip(columns.tolist(), heights.tolist(), strict=True)
            if (a >= 0) == bool(outcome)
        )
        if path:
            parts.append(element("path", d=path, class_=f"level{outcome}", fill_opacity=0.75))
    return join(*parts)


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
