"""The report page of a run: what was seen, what it means, and what it does not.

`data` says what a page is made of, `collect` takes that from a run, `page` makes text of it; `clouds`, `shot`, `trace`, `heat`, `panels`,
`updates` and `curve` are the figures, drawn by hand as SVG on `axes`, `shades` and `markup`; `sweep` chooses among three; `reset` holds the
formula behind the curve. `calibration` is the page of a calibration, with a `scan` for every picture. `write` and `write_calibration` are
the shells.
"""

from __future__ import annotations

from pathlib import Path

from qrt.errors import MachineError
from qrt.report import calibration
from qrt.report.calibration import CalibrationSheet
from qrt.report.data import ReportData
from qrt.report.page import page

__all__ = ["CalibrationSheet", "ReportData", "page", "write", "write_calibration"]

NAME = "report.html"


def write(folder: Path, data: ReportData) -> Path:
    """Write the page into a run's folder, in place of an older one, and return its path."""
    return _write(folder / NAME, page(data))


def write_calibration(path: Path, sheet: CalibrationSheet) -> Path:
    """Write the page of a calibration and return its path."""
    return _write(path, calibration.page(sheet))


def _write(path: Path, text: str) -> Path:
    """Write a page so that it is there as a whole or not at all."""
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise MachineError(
            f"{path}: cannot write the report: {error.strerror}; free some space or choose another folder with --runs"
        ) from error
    return path
