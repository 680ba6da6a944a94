"""The batch side of a recorded run, computed again from its rows by a fresh batch process, and held against what was recorded.

`qrt replay RUN --verify` asks whether the loop repeats, bit for bit. This asks the same of what was computed beside it, where bits are not
promised: another machine's XLA may round otherwise. So every number of every recorded `estimate` and `epoch` document is compared within a
tolerance (words of epochs exactly: updates.py), the largest deviation is reported, and the first one beyond the tolerance is named by
estimate or controller, batch and both values.

A recorded estimate says of how many shots it is, and that is how its batch is found: a run publishes what it knows at the end of a batch.
The plant's `truth` is not made of rows, and not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.batch import BATCH_READER, BatchProcess, Shape, Update
from qrt.client import Run, open_run
from qrt.errors import RecordError, RunError
from qrt.kernel import Ring
from qrt.observables import Observables, observables_of
from qrt.playback import RING_SLOTS, feeding, recorded_image
from qrt.readout.estimate import Sums, Within, add_sums, combine, no_sums, tables
from qrt.sources import recorded_lab
from qrt.store import decode_calibration
from qrt.tally import TOLERANCE, Deviation, Tally
from qrt.types import Calibration, Control, Estimate
from qrt.updates import Laws, compare, laws_of, missing
from qrt.within import PointSums


class Recomputed(msgspec.Struct, frozen=True):
    """What computing again found."""

    run: str
    estimates: int  # documents
    epochs: int  # documents
    numbers: int  # in them
    tolerance: float
    same: bool  # every number is within the tolerance
    largest: Deviation | None  # None: every number came out the same in every bit
    off: Deviation | None  # the first beyond the tolerance
    difference: str  # that in words; empty if there is none
    notes: tuple[str, ...]  # about the record


def recompute(folder: str | Path) -> Recomputed:
    """Compute a run's estimates and epochs again from its rows. RecordError if it has neither, or not what they are made of.

    RunError if the batch process does not do its part, ConfigError if it finds a law that cannot be used any more.
    """
    run = open_run(folder)
    recorded = _recorded(run)
    played, notes = recorded_image(run)
    laws, more = laws_of(run, len(run.rows))
    if not recorded and laws is None:
        raise RecordError(f"{run.path}: no estimate and no epoch on record: there is nothing to compute again")
    calibration = decode_calibration(run.file("calibration.json"), str(run.path / "calibration.json"))
    wanted = observables_of(played.sequence)
    again = totals(run.rows, wanted, calibration, recorded_lab(run).control.batch_shots, laws)
    within = within_of(run, wanted, calibration, recorded_lab(run).control.batch_shots)
    tally = tallied(recorded, again, wanted, calibration, laws, within=within)
    estimates, epochs = sum(map(len, recorded.values())), 0 if laws is None else len(laws.epochs)
    return found_of(str(run.path), estimates, tally, (*notes, *more), epochs)


def found_of(run: str, estimates: int, tally: Tally, notes: tuple[str, ...] = (), epochs: int = 0) -> Recomputed:
    """Return what a tally says of a run."""
    return Recomputed(
        run=run,
        estimates=estimates,
        epochs=epochs,
        numbers=tally.numbers,
        tolerance=TOLERANCE,
        same=tally.off is None,
        largest=tally.largest,
        off=tally.off,
        difference="" if tally.off is None else tally.off.text,
        notes=notes,
    )


def tallied(
    recorded: Mapping[int, Sequence[Estimate]],
    again: Iterable[Sums | Update],
    wanted: Observables,
    calibration: Calibration,
    laws: Laws | None = None,
    *,
    within: Callable[[int], Within | None] = lambda _: None,
) -> Tally:
    """Return what comparing shows. recorded: estimates by the number of shots that they are of; again: what `totals` yields.

    within: of a sweep's points, up to the end of so many batches; asked for in ascending order.
    """
    tally, left, batch, stepped = Tally(), dict(recorded), -1, 0
    for one in again:
        if isinstance(one, Update):
            assert laws is not None, "no law was asked for"
            compare(tally, laws, one)
            stepped += 1
            continue
        batch += 1
        if estimates := left.pop(one.shots, ()):
            parts = (wanted.terms, wanted.bit_names, wanted.bit_qubits, calibration.qubits)
            _compare(tally, batch, estimates, combine(one, *parts, within=within(batch + 1)))
    for _, estimates in sorted(left.items()):  # of as many shots as no batch ends with
        for estimate in estimates:
            tally.add(estimate.name, max(batch, 0), "shots", estimate.shots, None)
    if laws is not None:
        missing(tally, laws, stepped)
    return tally


def within_of(
    run: Run, wanted: Observables, calibration: Calibration, batch_shots: int
) -> Callable[[int], Within | None]:
    """Return what `tallied` asks for of a run's points: None without a sweep."""
    if not run.legs:
        return lambda _: None
    sums = PointSums(run.legs[0].grid, wanted, tables(wanted.bit_qubits, calibration.qubits), batch_shots)

    def within(batches: int) -> Within:
        sums.add(run.rows[sums.end : batches * batch_shots])
        return sums.within()

    return within


def _compare(tally: Tally, batch: int, recorded: Sequence[Estimate], combined: Sequence[Estimate]) -> None:
    again = {one.name: _numbers(one) for one in combined}
    for one in recorded:
        for field, value in _numbers(one).items():
            tally.add(one.name, batch, field, value, again.get(one.name, {}).get(field))


def _recorded(run: Run) -> dict[int, list[Estimate]]:
    """Return the recorded estimates by the number of shots that they are of."""
    found: dict[int, list[Estimate]] = {}
    for document in run.documents("estimate"):
        try:
            one = msgspec.convert(document.body, Estimate)
        except msgspec.ValidationError as error:
            raise RecordError(f"{run.path}: an estimate of another version: {error}") from error
        found.setdefault(one.shots, []).append(one)
    return found


def totals(
    rows: NDArray[Any], wanted: Observables, calibration: Calibration, batch_shots: int, laws: Laws | None = None
) -> Iterator[Sums | Update]:
    """Yield each batch's update, if there are laws, and the sums up to its end, from a batch process that reads these rows."""
    asked = () if laws is None else laws.asked
    shape = Shape(
        len(wanted.bit_names),
        wanted.terms,
        batch_shots,
        rows.dtype["outcomes"].shape[0],
        asked,
        _emit_count(rows.dtype),
    )
    with (
        Ring.create(rows.dtype.itemsize, RING_SLOTS, 2) as ring,
        BatchProcess(shape, Control() if laws is None else laws.control) as batch,
    ):
        ring.detach(1 - BATCH_READER)
        batch.wait_ready()
        weights = tables(wanted.bit_qubits, calibration.qubits)
        if laws is None:
            batch.consume(ring, weights)
        else:
            batch.consume(ring, weights, laws.points, laws.to, refused=laws.refused)
        total = no_sums(wanted.terms)
        with feeding(ring, rows):
            for message in batch.messages():
                if isinstance(message, Update):
                    yield message
                    continue
                total = add_sums(total, message)
                yield total
        if batch.failure is not None:
            raise RunError(f"not all was computed again: {batch.failure}; see its lines above")


def _emit_count(dtype: np.dtype[Any]) -> int:
    return int(dtype["emitted"].shape[0]) if "emitted" in (dtype.names or ()) else 0


def _numbers(one: Estimate) -> dict[str, float]:
    """Return what of an estimate is made of rows and calibration."""
    parts = {f"stderr.{name}": float(value) for name, value in msgspec.to_builtins(one.stderr).items()}
    names = ("value", "raw", "raw_stderr", "effective_shots")
    return {name: float(getattr(one, name)) for name in names} | parts
