"""What a notebook shows of a run, of its result or of a batch on the way: one line, the estimates, and pictures. Pure, as the page is.

Pictures are the report's own figures, each an image of its own: its style cannot reach the notebook's, nor the notebook's it. Tables
have no colours of ours, so that they follow the notebook, light or dark.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from math import hypot

from qrt.report import clouds
from qrt.report.axes import picture
from qrt.report.data import Cloud, Swept
from qrt.report.markup import Markup, element, join
from qrt.report.page import pair, signed
from qrt.report.sweep import drawn
from qrt.types import Estimate

CLOUD_COUNT_MAX = 2


def cell(
    title: str,
    note: str,
    estimates: Sequence[Estimate],
    swept: Sequence[Swept] = (),
    seen: Sequence[Cloud] = (),
) -> str:
    """Return the HTML of a result: a picture of each observable of a sweep, or else the clouds; `note` stands beside the title."""
    head = element("p", element("strong", title), " ", note)
    table = None if swept else _table(estimates)  # over all points of a sweep together they say nothing
    return element("div", head, table, *_pictures(swept, seen))


def _pictures(swept: Sequence[Swept], seen: Sequence[Cloud]) -> list[Markup]:
    if swept:
        return [_image(*drawn(one)) for one in swept]
    shown = tuple(seen[:CLOUD_COUNT_MAX])
    if not shown:
        return []
    frame = clouds.Frame(shown)
    return [_image(clouds.figure(one, frame), clouds.WIDTH, clouds.HEIGHT, one.title) for one in shown]


def _image(figure: Markup, width: float, height: float, alternative: str) -> Markup:
    data = b64encode(picture(figure, width, height).encode()).decode()
    style = "max-width: 100%; height: auto; display: inline-block"
    return element(
        "img", src=f"data:image/svg+xml;base64,{data}", alt=alternative, width=width, height=height, style=style
    )


def _table(estimates: Sequence[Estimate]) -> Markup | None:
    if not estimates:
        return None
    known = any(one.truth is not None for one in estimates)
    head = ("", "raw", "mitigated", *(("truth",) if known else ()))
    rows = []
    for one in estimates:
        terms = (one.stderr.shot, one.stderr.calibration, one.stderr.drift, one.stderr.preparation)
        cells = [pair(one.raw, one.raw_stderr), pair(one.value, hypot(*terms))]
        if known:
            cells.append("–" if one.truth is None else signed(one.truth, 4))
        rows.append(element("tr", element("th", one.name), *(element("td", text) for text in cells)))
    header = element("thead", element("tr", *(element("th", name) for name in head)))
    return element("table", header, element("tbody", join(*rows)))
