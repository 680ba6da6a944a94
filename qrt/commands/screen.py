"""Writes a run for a person: plain lines, and a progress bar where there is a terminal.

Both ways say the same; only the bar needs rich, which is loaded when the first one is drawn. With `explained` each step begins with a
sentence that says what it is for. Nothing here decides or measures anything.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from math import hypot
from typing import Any

import click
import numpy as np

from qrt.client import Run
from qrt.points import Swept
from qrt.types import Calibration, Controlled, Estimate, Found, Lab, Summary

QUIET_S = 1.0  # between two plain lines of progress


class Screen:
    """Where a run's lines go: standard output, or nowhere at all with `silent`."""

    def __init__(self, *, explained: bool = False, silent: bool = False) -> None:
        self._explained = explained
        self._silent = silent
        self._steps = 0
        self._bar: Any = None
        self._task: Any = None
        self._said_at = 0.0

    def line(self, text: str = "") -> None:
        """Write one line."""
        if not self._silent:
            click.echo(text)

    def step(self, title: str, explanation: str = "") -> None:
        """Begin a part, with its explanation where one is wanted."""
        self._steps += 1
        self.line()
        self.line(click.style(f"{self._steps}. {title}" if self._explained else title, bold=True))
        if self._explained and explanation:
            self.line(f"   {explanation}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write aligned columns below a head."""
        for number, text in enumerate(columns(head, rows)):
            self.line("   " + (click.style(text, dim=True) if number == 0 and any(head) else text))

    def progress(self, label: str, done: int, total: int) -> None:
        """Move the bar, or write a line at most every second; the last one is always written."""
        if self._silent:
            return
        if not sys.stdout.isatty():
            now = time.monotonic()
            if now - self._said_at >= QUIET_S or done >= total:
                self._said_at = now
                self.line(f"   {label}: {spaced(done)} of {spaced(total)}")
            return
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("   {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(label, total=total)
        self._bar.update(self._task, description=label, completed=done, total=total)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away. Safe at any time."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def found_rows(found: Sequence[Found]) -> list[tuple[str, ...]]:
    """Return the rows of the instruments that answered; what they call themselves is made printable."""
    return [(one.name, printable(one.idn), one.address, one.transport) for one in found]


CALIBRATION_HEAD = ("qubit", "frequency", "off nominal", "sx amplitude", "T1", "T2", "assignment fidelity")


def calibration_rows(calibration: Calibration, lab: Lab) -> list[tuple[str, ...]]:
    """Return a row for each calibrated qubit."""
    rows: list[tuple[str, ...]] = []
    for name, qubit in calibration.qubits.items():
        offset_hz = qubit.frequency_hz.value - lab.qubits[name].frequency_hz
        fidelity = 1.0 - float(qubit.assignment[1, 0] + qubit.assignment[0, 1]) / 2
        rows.append(
            (
                name,
                f"{qubit.frequency_hz.value / 1e9:.6f} GHz",
                f"{offset_hz / 1e6:+.4f} ± {qubit.frequency_hz.stderr / 1e6:.4f} MHz",
                f"{qubit.sx_amplitude.value:.4f} ± {qubit.sx_amplitude.stderr:.4f}",
                f"{qubit.t1_s.value * 1e6:.1f} ± {qubit.t1_s.stderr * 1e6:.1f} µs",
                f"{qubit.t2_s.value * 1e6:.1f} ± {qubit.t2_s.stderr * 1e6:.1f} µs",
                f"{fidelity:.4f}",
            )
        )
    return rows


COUPLER_HEAD = ("coupler", "cz amplitude", "conditional phase", "rz after it")


def coupler_rows(calibration: Calibration) -> list[tuple[str, ...]]:
    """Return a row for each calibrated coupler."""
    return [
        (
            name,
            f"{one.cz_amplitude.value:.4f} ± {one.cz_amplitude.stderr:.4f}",
            f"π {one.conditional_rad.value:+.3f} ± {one.conditional_rad.stderr:.3f} rad",
            ", ".join(f"{turn.value:+.3f} ± {turn.stderr:.3f} rad" for turn in one.rz_rad),
        )
        for name, one in calibration.couplers.items()
    ]


ESTIMATE_HEAD = ("", "raw", "mitigated", "shot", "calibration", "drift", "preparation", "truth")


def estimate_rows(estimates: Sequence[Estimate]) -> list[tuple[str, ...]]:
    """Return a row for each estimate: as read, mitigated with its four error terms, and what the plant knows."""
    rows: list[tuple[str, ...]] = []
    for one in estimates:
        terms = (one.stderr.shot, one.stderr.calibration, one.stderr.drift, one.stderr.preparation)
        rows.append(
            (
                one.name,
                f"{one.raw:+.4f} ± {one.raw_stderr:.4f}",
                f"{one.value:+.4f} ± {hypot(*terms):.4f}",
                *(f"{term:.4f}" for term in terms),
                "unknown" if one.truth is None else f"{one.truth:+.4f}",
            )
        )
    return rows


CONTROLLER_HEAD = ("", "output", "last value", "updates refused")


def controller_rows(controllers: Sequence[Controlled]) -> list[tuple[str, ...]]:
    """Return a row for each controller."""
    return [
        (one.name, one.output, "none: no whole batch" if one.value is None else f"{one.value:.9g}", spaced(one.refused))
        for one in controllers
    ]


REFUSALS_MAX = 3  # that are told one by one


def refusal_lines(record: Run) -> list[str]:
    """Return why updates of controllers were refused: the first few, and how many more there are."""
    reasons = [printable(text) for one in record.documents("epoch") for text in one.body["refused"]]
    more = len(reasons) - REFUSALS_MAX
    lines = [f"refused: {reason}" for reason in reasons[:REFUSALS_MAX]]
    return [*lines, f"and {spaced(more)} more, which the page lists"] if more > 0 else lines


SWEEP_ROWS_MAX = 9  # points that a table shows: the first, the last, and those evenly between
SWEEP_CURVES_MAX = 3


def sweep_rows(swept: Swept) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """Return what is shown of a sweep, the head of its table, and a row for each point shown."""
    shape, count = swept.shots.shape, swept.points
    shown = [
        round(index * (count - 1) / max(min(count, SWEEP_ROWS_MAX) - 1, 1))
        for index in range(min(count, SWEEP_ROWS_MAX))
    ]
    names = list(swept.curves)[:SWEEP_CURVES_MAX]
    columns = swept.columns
    head = tuple(f"{name} [{unit}]" if (unit := swept.units[name]) else name for name in columns) + tuple(names)
    rows: list[tuple[str, ...]] = []
    for point in shown:
        at = tuple(int(index) for index in np.unravel_index(point, shape))
        places = [f"{values[at[axis]]:.{9 if '.' in name else 6}g}" for name, (axis, values) in columns.items()]
        curves = [swept.curves[name] for name in names]
        rows.append((*places, *(f"{one.value[at]:+.4f} ± {one.stderr[at]:.4f}" for one in curves)))
    told = f"mitigated, {spaced(swept.shots_per_point)} shots a point, {len(shown)} of {spaced(count)} points"
    if len(swept.curves) > len(names):
        told += f", {len(names)} of {len(swept.curves)} observables"
    return told, head, rows


def summary_line(summary: Summary) -> str:
    """Return the run's own numbers in one line."""
    return (
        f"{spaced(summary.shots)} shots, {spaced(round(summary.shots_per_s))} shots/s, "
        f"simulated time / wall time {summary.sim_over_wall:.2f}, misses {summary.misses}"
        + (f"; {summary.legs} legs, {summary.dead_s:.3g} s between them" if summary.legs > 1 else "")
    )


def misses_line(misses: int, pacing: str) -> str:
    """Return what to do about misses of a paced run; nothing without any, or where the clock is virtual."""
    if misses == 0 or pacing == "virtual":
        return ""
    return "the journal has every miss with its cause; `qrt doctor` says what this machine allows, and the fix where it does not"


def erased_line(record: Run) -> str:
    """Return how many shots were erased, and what was too late for them; nothing where none was."""
    classes = Counter(miss["class"] for miss in record.misses if miss["policy"] == "erase")
    if not classes:
        return ""
    count = spaced(classes.total())
    parts = ", ".join(f"{name} {spaced(number)}" for name, number in sorted(classes.items()))
    return f"{count} shots erased ({parts}): their rows are kept with a flag, and count in no estimate"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with aligned columns; an empty head writes none."""
    table = [tuple(head), *map(tuple, rows)] if any(head) else list(map(tuple, rows))
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))] if table else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def spaced(count: int) -> str:
    """Return a count with its thousands apart."""
    return f"{count:,}".replace(",", " ")


def printable(text: str) -> str:
    """Return text without control characters: an instrument's answer must not move the cursor."""
    return "".join(character if character.isprintable() else "�" for character in text)
