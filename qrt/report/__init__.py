"""The report page of a run: what was seen, what it means, and what it does not.

`data` says what a page is made of, `collect` takes that from a run, `page` makes text of it; `clouds`, `shot`, `trace`, `updates` and
`curve` are the figures, drawn by hand as SVG on `axes` and `markup`; `reset` holds the formula behind the curve. `write` is the shell.
"""

from __future__ import annotations

from pathlib import Path

from qrt.errors import MachineError
from qrt.report.data import ReportData
from qrt.report.page import page

__all__ = ["ReportData", "page", "write"]

NAME = "report.html"


def write(folder: Path, data: ReportData) -> Path:
    """Write the page into a run's folder, in place of an older one, and return its path."""
    path = folder / NAME
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(page(data), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise MachineError(
            f"{path}: cannot write the report: {error.strerror}; free some space or choose another folder with --runs"
        ) from error
    return path
