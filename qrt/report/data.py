"""What a report page is made of: plain frozen values, nothing of a run's machinery.

`collect` fills them from a run folder; `page` and the figures read them. A page can therefore be drawn, tested and looked at without
a run. Times in the figures are nanoseconds from the shot's start; iq are the integers of the shot rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.types import CouplerCalibration, Estimate, Estimated, Found


class Cloud(msgspec.Struct, frozen=True):
    """The iq of one capture over all shots of a run; outcome 1 is where i > threshold."""

    title: str
    i: NDArray[np.int64]  # [shots]
    q: NDArray[np.int64]  # [shots]
    threshold: int


class Bar(msgspec.Struct, frozen=True):
    """One event of a shot, drawn as a bar on a row of the timeline."""

    row: str  # "q0 drive", "q0 readout", "q0 capture"; of a coupler "q0_q1 drive"
    kind: str  # the row's colour: "drive", "readout" or "capture"
    label: str
    start_ns: float
    duration_ns: float
    slack_ns: float | None = None
    conditional: bool = False
    line: int = 0  # of the program, 0 for none
    source: str = ""


class Feedback(msgspec.Struct, frozen=True):
    """From the last sample of a capture to the first tick of the pulse that depends on it."""

    row: str  # of the pulse
    start_ns: float
    stop_ns: float


class ResetFacts(msgspec.Struct, frozen=True):
    """What the reset's curve is drawn from: measured numbers of this run and its calibration only."""

    qubit: str
    gap_ns: float  # from the last sample of the deciding capture to the first tick of the pulse
    depletion_ns: float  # the part of the gap in which the lab waits for readout photons to leave
    tone_ns: float  # of the deciding readout
    after_ns: float  # from the end of the pulse to the next tone
    before: Estimated  # population of level 1 at the deciding tone
    residual: Estimated  # population of level 1 at the next tone, mitigated
    truth: float | None  # the same as the plant knows it
    t1_ns: Estimated
    error_0: Estimated  # A[1, 0]
    error_1: Estimated  # A[0, 1]
    x_error: Estimated


class QubitFacts(msgspec.Struct, frozen=True):
    """What the calibration found about a qubit."""

    name: str
    nominal_hz: float
    frequency_hz: Estimated
    sx_amplitude: Estimated
    x_error: Estimated
    t1_s: Estimated
    t2_s: Estimated
    assignment: NDArray[np.float64]  # [outcomes, prepared]
    assignment_stderr: NDArray[np.float64]
    preparation_stderr: NDArray[np.float64]
    reference_count: int

    @property
    def fidelity(self) -> float:
        """Return the assignment fidelity, 1 - (A[1,0] + A[0,1]) / 2."""
        return 1.0 - float(self.assignment[1, 0] + self.assignment[0, 1]) / 2


class Trace(msgspec.Struct, frozen=True):
    """An observable along the one axis of a sweep."""

    title: str
    axis: str  # name and unit
    x: NDArray[np.float64]  # [points]
    value: NDArray[np.float64]  # [points], mitigated; NaN where there is none
    stderr: NDArray[np.float64]  # [points]


class HeatMap(msgspec.Struct, frozen=True):
    """An observable over the two axes of a sweep."""

    title: str
    axes: tuple[str, str]  # name and unit of each, the fastest last
    y: NDArray[np.float64]  # [rows], values along the first
    x: NDArray[np.float64]  # [columns], along the last
    value: NDArray[np.float64]  # [rows, columns], mitigated; NaN where there is none
    stderr: NDArray[np.float64]  # [rows, columns]


class Panels(msgspec.Struct, frozen=True):
    """An observable over three axes of a sweep or more: over the two fastest at each point of the others, the last of these fastest."""

    title: str
    axes: tuple[str, str]  # name and unit of the two, the fastest last
    y: NDArray[np.float64]  # [rows], values along the first of them
    x: NDArray[np.float64]  # [columns], along the last
    others: tuple[str, ...]  # name and unit of each other axis
    places: NDArray[np.float64]  # [points, others] where these are
    value: NDArray[np.float64]  # [points, rows, columns], mitigated; NaN where there is none
    stderr: NDArray[np.float64]  # [points, rows, columns]


Swept = Trace | HeatMap | Panels


class Updates(msgspec.Struct, frozen=True):
    """What a controller made of the batches of a run: the value after each, whether it was taken, and whether it came in time."""

    controller: str
    output: str
    start: int  # batch at whose first shot the first value is to take effect
    value: NDArray[np.float64]  # [updates]
    refused: NDArray[np.bool_]  # [updates]: the value before it was kept
    late: NDArray[np.bool_]  # [updates]: the value did not take effect, as its shot came first
    reasons: tuple[str, ...] = ()  # of what was refused, as the record says it


class MissRow(msgspec.Struct, frozen=True):
    """The misses of one class, cause and policy, together."""

    what: str
    cause: str
    policy: str
    count: int
    skipped: int  # shots
    lateness_ns_max: int


class ReportData(msgspec.Struct, frozen=True):
    """Everything that a page says."""

    run: str  # the folder's name
    program: str  # name
    program_text: str
    lab: str
    simulated: bool
    taken_ns: int  # UNIX time of the run's start
    facts: tuple[tuple[str, str], ...]  # what was run and how it went: label, value
    digest: str  # SHA-256 of all rows, in hex
    counters: tuple[tuple[str, int], ...]  # everything that was counted on the way
    found: tuple[Found, ...]
    estimates: tuple[Estimate, ...]
    calibration_hash: str
    qubits: tuple[QubitFacts, ...]
    couplers: Mapping[str, CouplerCalibration]
    clouds: tuple[Cloud, ...]
    bars: tuple[Bar, ...]
    feedbacks: tuple[Feedback, ...]
    period_ns: float
    reset: ResetFacts | None
    limits: tuple[str, ...]
    swept: tuple[Swept, ...] = ()
    updates: tuple[Updates, ...] = ()
    misses: tuple[MissRow, ...] = ()
