"""What a run comes to: its summary, what is counted at its end, what ended it early, and the estimates at the points of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.axes import Grid
from qrt.batch import BatchProcess
from qrt.errors import RunError, WorldError
from qrt.legs import PlayedLeg, legs_of
from qrt.observables import Observables
from qrt.points import FILE, encode_points, leg_estimates
from qrt.reasons import raise_for
from qrt.record import RunFolder
from qrt.types import Calibration, Controlled, Estimate, Summary, Truth
from qrt.types import Sequence as ShotSequence


class Finished(msgspec.Struct, frozen=True):
    """What came of playing."""

    report: kernel.Report
    durable_s: float  # from the first release until every row was on disk
    failure: WorldError | None  # of the disk
    ended: WorldError | None  # what ended the run between two of its legs
    dead_s: float  # between legs, with nothing playing
    estimates: tuple[Estimate, ...]
    truth: Truth | None

    def counters(self, *, paced: bool) -> dict[str, int]:
        """Return what the kernel and the plant have counted."""
        late = lateness_counters(self.report) if paced else {}
        return kernel_counters(self.report) | late | ({} if self.truth is None else dict(self.truth.counters))


def summary_of(
    record: RunFolder, finished: Finished, period_s: float, controlled: tuple[Controlled, ...], legs: int
) -> Summary:
    """Return the summary of a run whose every row is on disk."""
    recorded = record.durable_shot
    return Summary(
        run=str(record.path),
        shots=recorded,
        shots_per_s=recorded / finished.durable_s,
        sim_over_wall=recorded * period_s / finished.durable_s,
        misses=finished.report.miss_count,
        digest=record.digest(),
        estimates=finished.estimates,
        controllers=controlled,
        legs=legs,
        dead_s=finished.dead_s,
    )


def add_place(error: BaseException, record: RunFolder) -> None:
    """Say on an error that ended a run where its record is, and which shots it has."""
    kept = record.durable_shot
    where = f"{f'shots 0 to {kept - 1} are' if kept else 'no shot is'} kept in {record.path}"
    if isinstance(error, RunError):
        error.args = (f"{error}\n{where}",)
    else:
        error.add_note(where)


def kernel_counters(report: kernel.Report) -> dict[str, int]:
    """Return the kernel's counts for the record."""
    names = [
        "shots_executed",
        "shots_skipped",
        "shots_erased",
        "instructions",
        "misses_dropped",
        "sink_wait_count",
        "raw_dropped",
    ]
    names += ["epochs_applied", "epochs_held", "epochs_discarded", "epoch_wait_count", "paused_periods"]
    return {f"kernel.{name}": getattr(report, name) for name in names} | {"kernel.misses": report.miss_count}


def lateness_counters(report: kernel.Report) -> dict[str, int]:
    """Return how late releases were and how the spin was sized, in ns: telemetry of a paced run."""
    late = report.lateness
    return {
        "lateness.p50_ns": late.p50_ns,
        "lateness.p99_ns": late.p99_ns,
        "lateness.p999_ns": late.p999_ns,
        "lateness.max_ns": late.max_ns,
        "kernel.spin_ns": report.spin_ns,
    }


def early_end(report: kernel.Report, sequence: ShotSequence, batch: BatchProcess | None) -> WorldError | None:
    """Return why the run ended before its last shot or without its estimates, None if it did not."""
    try:
        raise_for(report, sequence)
    except WorldError as error:
        return error
    if batch is not None and batch.failure is not None:
        return RunError(f"the estimates ended early: {batch.failure}; every shot is recorded")
    return None


def put_points(
    record: RunFolder, legs: Sequence[PlayedLeg], grid: Grid | None, observables: Observables, calibration: Calibration
) -> None:
    """Put the estimates of every point of a sweep into the record, as far as it was played. Grid: None for an adaptive sweep."""
    if not record.durable_shot:
        return
    rows = np.memmap(record.path / "shots.bin", record.layout.dtype, "r", shape=(record.durable_shot,))
    record.put(FILE, encode_points(table_of(rows, legs, grid, observables, calibration)))


def table_of(
    rows: NDArray[Any], legs: Sequence[PlayedLeg], grid: Grid | None, observables: Observables, calibration: Calibration
) -> NDArray[Any]:
    """Return the table of a sweep's points as far as these rows go; legs: that have begun."""
    more = () if grid is None else islice(legs_of(grid), len(legs), None)  # that were not played
    all_legs = [*legs, *(PlayedLeg(one.shot_first, one.asked, one.grid) for one in more if one.grid is not None)]
    return leg_estimates(rows, all_legs, observables, calibration.qubits)
