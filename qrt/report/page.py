"""The report page: one self-contained HTML file, readable in light and dark and on a phone, that loads nothing.

A pure function from `ReportData` to text. Everything that comes from outside (a program, an instrument's *IDN?, a path) is escaped by
`markup`; the page's own policy forbids scripts and any request besides.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from math import hypot

from qrt.latencies import PUBLISHED
from qrt.report import clouds, curve, shot, updates
from qrt.report.axes import drawing_style
from qrt.report.data import MissRow, QubitFacts, ReportData, Updates
from qrt.report.markup import Markup, element, join
from qrt.report.sweep import drawn
from qrt.types import CouplerCalibration, Estimate, Estimated

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(data: ReportData) -> str:
    """Return the page as text, to be written as UTF-8."""
    return document(f"{data.program} · {data.run}", *_sections(data))


def document(title: str, *sections: Markup) -> str:
    """Return a whole page of these sections."""
    style = Markup(drawing_style() + files("qrt.report").joinpath("style.html").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Q-RT · {title}"),
        style,
    )
    body = element("body", element("main", *sections))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _sections(data: ReportData) -> list[Markup]:
    taken = datetime.fromtimestamp(data.taken_ns / 1e9, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    badge = element("span", "simulated instruments", class_="badge") if data.simulated else None
    sections = [
        element(
            "header",
            element("h1", data.program, " ", badge),
            element("p", f"{data.lab} · {taken} · run ", element("code", data.run), class_="muted"),
            _facts(data.facts),
            element("p", "Digest of all shots, SHA-256: ", element("code", data.digest), class_="muted"),
        ),
        _section("Estimates", _estimates(data.estimates)),
    ]
    if data.swept:
        figures = element("div", *(_wide(drawn(one).figure) for one in data.swept))
        sections.append(_section("Sweep", _figure(figures, SWEEP)))
    if data.updates:
        figures = element("div", *(join(_updates_head(one), _wide(updates.figure(one))) for one in data.updates))
        sections.append(_section("Controllers", _figure(figures, UPDATES), *_refusals(data)))
    if data.clouds:
        frame = clouds.Frame(data.clouds)
        pair_of = (element("div", clouds.figure(cloud, frame)) for cloud in data.clouds)
        sections.append(_section("What the readout saw", _figure(element("div", *pair_of, class_="pair"), CLOUDS)))
    if data.bars:
        sections.append(
            _section(
                "One shot", _figure(_wide(shot.figure(data.bars, data.feedbacks)), _shot_caption(data)), _listing(data)
            )
        )
    if data.reset is not None:
        sections.append(
            _section(
                "Residual excitation and feedback latency",
                _figure(_wide(curve.figure(data.reset)), CURVE),
                _published(),
            )
        )
    if data.misses:
        sections.append(_section("Misses", _misses(data.misses)))
    sections += [
        _section("Calibration", _calibration(data)),
        _section("Instruments", _instruments(data)),
        _section("Counters", *_counters(data)),
        _section("Program", element("pre", data.program_text)),
        _section("Limits", element("ul", *(element("li", limit) for limit in data.limits))),
    ]
    return sections


SWEEP = (
    "Mitigated, with one standard error: sampling of the shots and all that the calibration does not know. The estimates above are of all "
    "points together; every point is in sweep.npy in the run's folder."
)
UPDATES = (
    "Each batch gives a value, which acts from the first shot of a batch known beforehand. Cross: refused, the value before it was kept. "
    "Ring: too late for its shot, the value before it stayed in force until the next. All are in the journal, in its `epoch` documents."
)
REASONS_MAX = 20
CLOUDS = (
    "Every shot is in it, unless the title names fewer. A bin's shade is the logarithm of its count; the bars above count "
    "along I, on a square-root scale. The line is the threshold: right of it the outcome is 1."
)
CURVE = (
    "Curve: the joint-probability formula with this run's measured T1, assignment errors, pulse error and population before the reset; "
    "the band is one standard error. Photons left in the resonator, thermal excitation and the third level are not in it. "
    "Letters: published feedback latencies, placed on this lab's curve. They say nothing of those controllers' own results."
)


def _shot_caption(data: ReportData) -> str:
    return f"Filled: played in every shot. Open: played on one branch. A shot starts every {data.period_ns:g} ns."


def _section(title: str, *children: Markup) -> Markup:
    return element("section", element("h2", title), *children)


def _figure(drawn: Markup, caption: str) -> Markup:
    return element("figure", drawn, element("figcaption", caption))


def _updates_head(one: Updates) -> Markup:
    marks = ((int(one.refused.sum()), "refused"), (int(one.late.sum()), "late"))
    counted = "".join(f", {count} {what}" for count, what in marks if count)
    told = f" sets {one.output}: {one.value[-1]:.9g} after {len(one.value)} batches{counted}"
    return element("p", element("strong", one.controller), told)


def _refusals(data: ReportData) -> tuple[Markup, ...]:
    """Return why updates were refused, as the record says it."""
    reasons = [reason for one in data.updates for reason in one.reasons]
    if not reasons:
        return ()
    more = f", the first {REASONS_MAX}" if len(reasons) > REASONS_MAX else ""
    listed = element("ul", *(element("li", reason) for reason in reasons[:REASONS_MAX]))
    return (element("details", element("summary", f"Why {len(reasons)} were refused{more}"), listed),)


def _wide(drawn: Markup) -> Markup:
    return element("div", drawn, class_="wide")


def _facts(facts: tuple[tuple[str, str], ...]) -> Markup:
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in facts), class_="facts"
    )


def _table(head: tuple[str, ...], rows: list[tuple[str | Markup, ...]], class_: str | None = None) -> Markup:
    """Return a table whose first column is its rows' heads."""
    written = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    header = element("thead", element("tr", *(element("th", name, scope="col") for name in head)))
    return element("div", element("table", header, element("tbody", *written), class_=class_), class_="wide")


def _estimates(estimates: tuple[Estimate, ...]) -> Markup:
    if not estimates:
        return element("p", "This program measures nothing into a bit, so there is nothing to estimate.")
    known = any(estimate.truth is not None for estimate in estimates)
    head = ("", "raw", "mitigated", "shot", "calibration", "drift", "preparation") + (
        ("truth", "off by") if known else ()
    )
    rows: list[tuple[str | Markup, ...]] = []
    for estimate in estimates:
        terms = (estimate.stderr.shot, estimate.stderr.calibration, estimate.stderr.drift, estimate.stderr.preparation)
        total = hypot(*terms)
        row = (
            estimate.name,
            pair(estimate.raw, estimate.raw_stderr),
            element("strong", pair(estimate.value, total)),
            *(f"{term:.4f}" for term in terms),
        )
        if known:
            row += _truth(estimate, total)
        rows.append(row)
    note = (
        "Mitigated: what a perfect readout would have averaged; no single shot improves. Its error holds the four terms "
        "beside it, added in quadrature. Raw: the average of the outcomes as read."
    )
    return join(_table(head, rows), element("p", note, class_="muted"))


def _truth(estimate: Estimate, total: float) -> tuple[str, str]:
    if estimate.truth is None:
        return "–", "–"
    off = f"{signed((estimate.value - estimate.truth) / total, 1)} σ" if total > 0.0 else "–"
    return signed(estimate.truth, 4), off


def _listing(data: ReportData) -> Markup:
    rows: list[tuple[str | Markup, ...]] = [
        (
            f"{bar.start_ns:g}",
            f"{bar.duration_ns:g}",
            "–" if bar.slack_ns is None else f"{bar.slack_ns:g}",
            bar.row,
            bar.label + (" (one branch)" if bar.conditional else ""),
            join(f"{bar.line}: " if bar.line else "", element("code", bar.source)),
        )
        for bar in sorted(data.bars, key=lambda bar: (bar.start_ns, bar.row))
    ]
    table = _table(("start (ns)", "length (ns)", "slack (ns)", "channel", "event", "program line"), rows)
    return element("details", element("summary", f"All {len(rows)} events"), table)


def _published() -> Markup:
    rows: list[tuple[str | Markup, ...]] = [
        (
            letter,
            controller.title,
            f"{controller.latency_ns:g}\u00a0ns",
            controller.span,
            element("a", controller.source, href=controller.url, rel="noreferrer"),
        )
        for letter, controller in zip(curve.LETTERS, PUBLISHED, strict=True)
    ]
    return _table(("", "controller", "latency", "from what to what, as its authors say", "source"), rows, "prose")


def _misses(misses: tuple[MissRow, ...]) -> Markup:
    rows: list[tuple[str | Markup, ...]] = [
        (row.what, row.cause, row.policy, f"{row.count}", f"{row.skipped}", f"{row.lateness_ns_max / 1e3:.1f} µs")
        for row in misses
    ]
    note = (
        "What came after its due time, what was done about it, and why, as far as the system tells. One stall is one miss, however many "
        "shots it took. Each is in the journal, and a replay takes the same branches."
    )
    table = _table(("", "cause", "policy", "misses", "shots skipped", "latest"), rows, "narrow")
    return join(table, element("p", note, class_="muted"))


def _calibration(data: ReportData) -> Markup:
    columns = [_qubit(qubit) for qubit in data.qubits]
    rows: list[tuple[str | Markup, ...]] = [(name, *(column[name] for column in columns)) for name in QUANTITIES]
    table = _table(("", *(qubit.name for qubit in data.qubits)), rows)
    named = element(
        "p",
        "Measured by this lab through the same loop, and stored as ",
        element("code", data.calibration_hash),
        ".",
        class_="muted",
    )
    joined: list[tuple[str | Markup, ...]] = [_coupler(*one) for one in data.couplers.items()]
    tables = (table, _table(COUPLED, joined)) if joined else (table,)
    return join(*tables, named) if data.calibration_hash else join(*tables)


COUPLED = ("", "amplitude of cz, of full scale", "conditional phase", "rz after it, on either qubit")


def _coupler(name: str, found: CouplerCalibration) -> tuple[str, ...]:
    """Return a coupler's row."""
    turns = ", ".join(f"{signed(turn.value, 3)} ± {turn.stderr:.3f} rad" for turn in found.rz_rad)
    phase = f"π {signed(found.conditional_rad.value, 3)} ± {found.conditional_rad.stderr:.3f} rad"
    return name, scaled(found.cz_amplitude, 1.0, 4), phase, turns


QUANTITIES = (
    "frequency",
    "off the nominal frequency",
    "amplitude of sx, of full scale",
    "T1",
    "T2",
    "error of x",
    "P(outcome 1 | level 0)",
    "P(outcome 0 | level 1)",
    "assignment fidelity",
    "reference shots per level",
)


def _qubit(qubit: QubitFacts) -> dict[str, str]:
    """Return what stands in a qubit's column, by row."""
    offset = (qubit.frequency_hz.value - qubit.nominal_hz) / 1e6
    errors = [
        pair(
            float(qubit.assignment[m, p]),
            hypot(qubit.assignment_stderr[m, p], qubit.preparation_stderr[m, p]),
            sign=False,
        )
        for m, p in ((1, 0), (0, 1))
    ]
    values = (
        f"{qubit.frequency_hz.value / 1e9:.7f} GHz",
        f"{signed(offset, 4)} ± {qubit.frequency_hz.stderr / 1e6:.4f} MHz",
        scaled(qubit.sx_amplitude, 1.0, 4),
        scaled(qubit.t1_s, 1e6, 1) + " µs",
        scaled(qubit.t2_s, 1e6, 1) + " µs",
        scaled(qubit.x_error, 1.0, 4),
        *errors,
        f"{qubit.fidelity:.4f}",
        f"{qubit.reference_count:,}".replace(",", "\u2009"),
    )
    return dict(zip(QUANTITIES, values, strict=True))


def _instruments(data: ReportData) -> Markup:
    rows: list[tuple[str | Markup, ...]] = [
        (found.name, element("code", found.idn), element("code", found.address), found.transport)
        for found in data.found
    ]
    return _table(("", "*IDN?", "address", "transport"), rows)


def _counters(data: ReportData) -> tuple[Markup, Markup]:
    rows: list[tuple[str | Markup, ...]] = [
        (name, f"{count:,}".replace(",", "\u2009")) for name, count in data.counters
    ]
    silent = sum(count == 0 for _, count in data.counters)
    told = f"Every retry, drop, clip and byte that was counted on the way: {len(rows)} counters, {silent} of them zero."
    table = _table(("", "count"), rows, "narrow")
    return element("p", told, class_="muted"), element("details", element("summary", "All counters"), table)


def scaled(measured: Estimated, factor: float, digits: int) -> str:
    """Return `value ± error` of a measured number times a factor."""
    return f"{measured.value * factor:.{digits}f} ± {measured.stderr * factor:.{digits}f}"


def pair(value: float, stderr: float, *, sign: bool = True) -> str:
    """Return `value ± error` with four digits."""
    return f"{signed(value, 4) if sign else f'{value:.4f}'} ± {stderr:.4f}"


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")
