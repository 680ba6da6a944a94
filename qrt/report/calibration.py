"""The page of a calibration: what every step found, with its scans. One file that loads nothing, as a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qrt.calibrate.finding import Finding, Findings
from qrt.report import scan
from qrt.report.markup import Markup, element, join
from qrt.report.page import document


class CalibrationSheet(NamedTuple):
    """What a page of a calibration is made of."""

    title: str
    told: str  # which lab, when, which seed
    steps: Sequence[tuple[str, Findings]]
    outcome: str  # where it is stored, or why it is not
    simulated: bool


def page(sheet: CalibrationSheet) -> str:
    """Return the page as text, to be written as UTF-8."""
    badge = element("span", "simulated instruments", class_="badge") if sheet.simulated else None
    head = element(
        "header",
        element("h1", sheet.title, " ", badge),
        element("p", sheet.told, class_="muted"),
        element("p", sheet.outcome, class_="hash"),
    )
    return document(sheet.title, head, *(_step(name, findings) for name, findings in sheet.steps))


def _step(name: str, findings: Findings) -> Markup:
    figures = [element("div", scan.figure(one)) for finding in findings.values() for one in finding.pictures]
    return element(
        "section",
        element("h2", name),
        join(*(_said(finding) for finding in findings.values())),
        element("figure", element("div", *figures, class_="pair")),
    )


def _said(finding: Finding) -> Markup:
    return element("p", element("strong", finding.qubit), " ", finding.problem or finding.text)
