"""The batch side of a recorded run, computed again from its rows by a fresh batch process, and held against what was recorded.

`qrt replay RUN --verify` asks whether the loop repeats, bit for bit. This asks the same of what was computed beside it, where bits are not
promised: another machine's XLA may round otherwise. So every number of every recorded `estimate` document is compared within a tolerance,
the largest deviation is reported, and the first one beyond the tolerance is named by estimate, batch and both values.

A recorded estimate says of how many shots it is, and that is how its batch is found: a run publishes what it knows at the end of a batch.
The plant's `truth` is not made of rows, and not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from qrt.batch import BATCH_READER, BatchProcess, Shape, Update
from qrt.client import Run, open_run
from qrt.errors import RecordError, RunError
from qrt.kernel import Ring
from qrt.observables import Observables, observables_of
from qrt.playback import RING_SLOTS, feeding, recorded_image
from qrt.readout.estimate import Sums, add_sums, combine, no_sums, tables
from qrt.store import decode_calibration
from qrt.types import Calibration, Estimate, Lab

TOLERANCE: Final = 1e-9  # relative, of each number
SCALE_MIN: Final = (
    1e-3  # a number below it is taken as so large: it is the small difference of averages of order 1, which are rounded
)


class Deviation(msgspec.Struct, frozen=True):
    """One number, as recorded and as computed again."""

    name: str  # of the estimate
    batch: int  # after which it was published
    field: str
    recorded: float
    computed: float | None  # None: there is no such number
    relative: float

    @property
    def text(self) -> str:
        """Return it in words."""
        again = "not there again" if self.computed is None else f"computed again {self.computed!r}"
        where = f"{self.name}, batch {self.batch}: {self.field}"
        return f"{where}: recorded {self.recorded!r}, {again}: off by {self.relative:.2g}"


class Recomputed(msgspec.Struct, frozen=True):
    """What computing again found."""

    run: str
    estimates: int  # documents
    numbers: int  # in them
    tolerance: float
    same: bool  # every number is within the tolerance
    largest: Deviation | None  # None: every number came out the same in every bit
    off: Deviation | None  # the first beyond the tolerance
    difference: str  # that in words; empty if there is none
    notes: tuple[str, ...]  # about the record


class Tally:
    """Counts the numbers that were compared, keeps the largest deviation and the first that is off."""

    def __init__(self) -> None:
        self.numbers = 0
        self.largest: Deviation | None = None
        self.off: Deviation | None = None

    def add(self, name: str, batch: int, field: str, recorded: float, computed: float | None) -> None:
        """Take one number into account."""
        self.numbers += 1
        relative = deviation(recorded, computed)
        if relative == 0.0:
            return
        one = Deviation(name, batch, field, recorded, computed, relative)
        if self.largest is None or relative > self.largest.relative:
            self.largest = one
        if self.off is None and relative > TOLERANCE:
            self.off = one


def deviation(recorded: float, computed: float | None) -> float:
    """Return by how much two numbers differ, relative to the larger; 1 where there is none."""
    if computed is None:
        return 1.0
    return abs(recorded - computed) / max(abs(recorded), abs(computed), SCALE_MIN)


def recompute(folder: str | Path) -> Recomputed:
    """Compute a run's estimates again from its rows. RecordError if it has none, or not what they are made of.

    RunError if the batch process does not do its part.
    """
    run = open_run(folder)
    recorded = _recorded(run)
    if not recorded:
        raise RecordError(f"{run.path}: no estimate on record: there is nothing to compute again")
    played, notes = recorded_image(run)
    where = str(run.path / "calibration.json")
    calibration = decode_calibration(run.file("calibration.json"), where)
    wanted = observables_of(played.sequence)
    batch_shots = msgspec.json.decode(run.file("lab.json"), type=Lab).control.batch_shots
    documents = sum(map(len, recorded.values()))
    tally = tallied(recorded, totals(run.rows, wanted, calibration, batch_shots), wanted, calibration)
    return found_of(str(run.path), documents, tally, notes)


def found_of(run: str, estimates: int, tally: Tally, notes: tuple[str, ...] = ()) -> Recomputed:
    """Return what a tally says of a run."""
    return Recomputed(
        run=run,
        estimates=estimates,
        numbers=tally.numbers,
        tolerance=TOLERANCE,
        same=tally.off is None,
        largest=tally.largest,
        off=tally.off,
        difference="" if tally.off is None else tally.off.text,
        notes=notes,
    )


def tallied(
    recorded: Mapping[int, Sequence[Estimate]], sums: Iterable[Sums], wanted: Observables, calibration: Calibration
) -> Tally:
    """Return what comparing shows. recorded: estimates by the number of shots that they are of; sums: up to the end of each batch."""
    tally, left, batch = Tally(), dict(recorded), 0
    for batch, total in enumerate(sums):
        if estimates := left.pop(total.shots, ()):
            parts = (wanted.terms, wanted.bit_names, wanted.bit_qubits, calibration.qubits)
            again = {one.name: _numbers(one) for one in combine(total, *parts)}
            for one in estimates:
                for field, value in _numbers(one).items():
                    tally.add(one.name, batch, field, value, again.get(one.name, {}).get(field))
    for shots, estimates in sorted(left.items()):  # of as many shots as no batch ends with
        for one in estimates:
            tally.add(one.name, batch, "shots", shots, None)
    return tally


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


def totals(rows: NDArray[Any], wanted: Observables, calibration: Calibration, batch_shots: int) -> Iterator[Sums]:
    """Yield the sums up to the end of each batch, from a batch process that reads these rows as it read the run's."""
    capture_count = rows.dtype["outcomes"].shape[0]
    with (
        Ring.create(rows.dtype.itemsize, RING_SLOTS, 2) as ring,
        BatchProcess(Shape(len(wanted.bit_names), wanted.terms, batch_shots, capture_count)) as batch,
    ):
        ring.detach(1 - BATCH_READER)
        batch.wait_ready()
        batch.consume(ring, tables(wanted.bit_qubits, calibration.qubits))
        total = no_sums(wanted.terms)
        with feeding(ring, rows):
            for sums in batch.messages():
                assert not isinstance(sums, Update), "no law was asked for"
                total = add_sums(total, sums)
                yield total
        if batch.failure is not None:
            raise RunError(f"the estimates were not all computed again: {batch.failure}; see its lines above")


def _numbers(one: Estimate) -> dict[str, float]:
    """Return what of an estimate is made of rows and calibration."""
    parts = {f"stderr.{name}": float(value) for name, value in msgspec.to_builtins(one.stderr).items()}
    names = ("value", "raw", "raw_stderr", "effective_shots")
    return {name: float(getattr(one, name)) for name in names} | parts
