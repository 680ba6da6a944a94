"""What a run tells while it goes on: the values that `qrt.run(events=...)` is called with, in the order in which they come."""

from __future__ import annotations

import msgspec

from qrt.types import Calibration, Found


class InstrumentsFound(msgspec.Struct, frozen=True):
    """Every instrument of the lab has answered."""

    found: tuple[Found, ...]


class CalibrationStep(msgspec.Struct, frozen=True):
    """The calibration says what it does or has found."""

    text: str


class Calibrated(msgspec.Struct, frozen=True):
    """The calibration that the run uses, taken now or before."""

    calibration: Calibration
    hash: str
    path: str
    taken_now: bool


class Compiled(msgspec.Struct, frozen=True):
    """The program is ready to be played: how often its sequence, in whatever leg, was there already, and how often it was compiled."""

    hits: int
    misses: int
    measured: int = 0  # sequences of the calibration's own programs that were compiled
    measured_kept: int = 0  # of these, what was there already
    causes: tuple[str, ...] = ()  # inputs for whose other values a program that was there was compiled again


class Playing(msgspec.Struct, frozen=True):
    """The first shot is about to start."""

    folder: str
    stream: str  # address, empty if nothing is published
    shots: int
    excluded: tuple[str, ...]  # bits without an expectation value, with the reason
    missing: tuple[str, ...] = ()  # properties of the machine that a paced run asked for and did not get, with the cost
    rounded: tuple[str, ...] = ()  # durations that were, where the run was asked to: what, where, to what
    ignored: tuple[str, ...] = ()  # directives of the program that nobody here knows, with their places


class Progress(msgspec.Struct, frozen=True):
    """So many shots are on disk."""

    done: int
    total: int


RunEvent = InstrumentsFound | CalibrationStep | Calibrated | Compiled | Playing | Progress


def silent(event: RunEvent) -> None:
    """Say nothing."""
