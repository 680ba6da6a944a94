"""What a calibration comes to: a finding for each qubit, with its verdict, its picture, and what it changes. Data alone.

An analysis is a pure function of arrays. It returns a `Result`, or raises CalibrationError with what was seen and what to try: that is the
verdict that nothing was found. `judged` makes a finding of either, so that a failed scan has its picture, too; `ruled` does so with any
picture. `updated` is the other end: what findings change in what is known of the qubits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.fit import Array
from qrt.calibrate.sequences import Qubits, replaced
from qrt.calibrate.signals import Scan, Signal
from qrt.errors import CalibrationError
from qrt.types import CouplerCalibration, Estimated, QubitCalibration

Couplers = Mapping[str, CouplerCalibration]


class Result(NamedTuple):
    """What an analysis found."""

    text: str  # for a person, with uncertainties
    numbers: Mapping[str, Estimated]  # by name, whose end is the unit
    fitted: Array  # the model at the points; empty without one
    changes: Mapping[str, Any] = {}  # fields of a QubitCalibration, or all of a CouplerCalibration


class Picture(NamedTuple):
    """A scan for a figure: points with bars, and the model through them."""

    title: str
    axis: str  # what x is, with its unit
    value: str  # what y is
    x: Array  # [points]
    y: Array  # [points]
    bars: Array  # [points] standard errors
    fitted: Array  # [points] or empty
    series: int = 1  # equal parts, one behind the other, that are drawn over one another
    sides: tuple[str, str] | None = None  # of a threshold at x = 0: what belongs below it, and above


class Finding(NamedTuple):
    """One qubit's, or one coupler's."""

    qubit: str
    what: str
    text: str
    numbers: Mapping[str, Estimated]
    changes: Mapping[str, Any]
    pictures: tuple[Picture, ...]
    problem: str = ""  # what was seen and what to try; empty: it was found


Findings = dict[str, Finding]


class Step(NamedTuple):
    """A calibration by its name: what it measures and finds, on all qubits at once."""

    name: str
    find: Callable[[Bench, Qubits], Findings]


class Drawn(NamedTuple):
    """How a scan is drawn: what x and y are, x in the figure's units, and what tells its series apart."""

    axis: str
    x: Array  # [points]
    value: str = "signal"
    by: Array | None = None  # [points] equal in all points of a series, and in no others; None: there is one


def judged(of: Scan, seen: Signal, drawn: Drawn, analyse: Callable[[], Result]) -> Finding:
    """Return the finding of a scan's analysis, whatever its verdict."""
    by = np.zeros(len(drawn.x)) if drawn.by is None else drawn.by
    order, title = np.argsort(by, kind="stable"), f"{of.name}: {of.what}"
    x, y, bars = (one[order] for one in (drawn.x, seen.values, seen.sigma))
    found = ruled(of, Picture(title, drawn.axis, drawn.value, x, y, bars, np.zeros(0), len(np.unique(by))), analyse)
    fitted = (one._replace(fitted=one.fitted[order]) if one.fitted.size else one for one in found.pictures)
    return found._replace(pictures=tuple(fitted))


def ruled(of: Scan, picture: Picture, analyse: Callable[[], Result]) -> Finding:
    """Return the finding of an analysis, whatever its verdict, with a picture of what was seen."""
    try:
        result = analyse()
    except CalibrationError as error:
        return Finding(of.name, of.what, "", {}, {}, (picture,), str(error))
    pictures = (picture._replace(fitted=result.fitted),)
    return Finding(of.name, of.what, result.text, result.numbers, result.changes, pictures)


def together(name: str, what: str, sides: Sequence[Finding]) -> Finding:
    """Return the beginning of one finding of several: their pictures, and what was not found."""
    pictures = tuple(one for side in sides for one in side.pictures)
    return Finding(name, what, "", {}, {}, pictures, "; ".join(side.problem for side in sides if side.problem))


def chained(what: str, parts: Sequence[Finding]) -> Finding:
    """Return one finding of steps in turn: what changes later counts, and the last one has the problem, if any has."""
    numbers = {key: value for one in parts for key, value in one.numbers.items()}
    changes = {key: value for one in parts for key, value in one.changes.items()}
    pictures = tuple(picture for one in parts for picture in one.pictures)
    text = "; ".join(one.text for one in parts)
    return Finding(parts[-1].qubit, what, text, numbers, changes, pictures, parts[-1].problem)


def updated(qubits: Qubits, findings: Findings) -> dict[str, QubitCalibration]:
    """Return what is known of the qubits with these findings."""
    return {
        name: replaced(qubit, **findings[name].changes) if name in findings else qubit for name, qubit in qubits.items()
    }


def coupled(couplers: Couplers, findings: Findings) -> dict[str, CouplerCalibration]:
    """Return what is known of the couplers with these findings, of which some are of couplers."""
    changes = {name: one.changes for name, one in findings.items() if "cz_amplitude" in one.changes}
    return {**couplers, **{name: CouplerCalibration(**change) for name, change in changes.items()}}


def require_found(findings: Findings) -> None:
    """Raise CalibrationError with what was not found, if anything was not."""
    if problems := [one.problem for one in findings.values() if one.problem]:
        raise CalibrationError("\n".join(problems))
