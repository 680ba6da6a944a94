"""From what the batch process sends to estimates and epochs that are recorded and streamed, on a thread of its own.

Every batch is added; estimates are made of the sums at most every `EVERY_S`, since a person reads them and the interpreter's time
is the recorder's, too. The last ones of all are `estimates`, for the run to complete with what it knows at its end. Every update of the
controllers is a document, and counted.

The bar of a sweep's estimates needs what its shots were at each point (within.py), which is made of the rows on disk: its sums wait until
their rows are there.

Whatever ends the thread, the kernel is not left waiting for it: the batch process is ended with it and gives up its place at the ring, and
where the kernel waits for epochs it is told to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from numpy.typing import NDArray

from qrt import documents
from qrt.batch import BatchProcess, Update
from qrt.errors import BugError
from qrt.observables import Observables
from qrt.readout.estimate import Sums, add_sums, combine, no_sums
from qrt.types import Controlled, Estimate, QubitCalibration
from qrt.within import PointSums

EVERY_S: Final = 0.1
LOOK_S: Final = 0.05


class Swept(NamedTuple):
    """What the estimates of a sweep need beside what the batch process sends."""

    sums: PointSums
    durable: Callable[[], int]  # shots below it are on disk
    rows: Callable[[int, int], NDArray[Any]]  # of the shots [first, end), from there


class Estimating:
    """A context manager: entering starts the thread, leaving waits until every batch is in, or until `abort` is set.

    It is left when all rows are on disk: `estimates` are made then.
    """

    def __init__(
        self,
        batch: BatchProcess,
        observables: Observables,
        qubits: Mapping[str, QubitCalibration],
        *,
        publish: Callable[[str, Mapping[str, Any]], None],
        abort: Callable[[], bool],
        stop_kernel: Callable[[], None],
        swept: Swept | None = None,
    ) -> None:
        """Publish is called on the thread with each document; abort is looked at while leaving.

        stop_kernel: called if there are controllers and the batch process is of no more use before the run's end.
        """
        self.estimates: tuple[Estimate, ...] = ()
        self.last: Update | None = None
        self.refused_counts = dict.fromkeys((one.name for one in batch.shape.controllers), 0)
        self.update_count = 0
        self._batch, self._observables, self._qubits = batch, observables, qubits
        self._publish, self._abort, self._stop_kernel = publish, abort, stop_kernel
        self._swept = swept
        self._total, self._end = no_sums(observables.terms), 0  # of all batches, when they are in
        self._clean = False
        self._thread = threading.Thread(target=self._run, name="qrt-estimates", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._thread.is_alive():
            self._thread.join(LOOK_S)
            if self._abort() or error is not None:
                self._batch.kill()
        if not self._clean and error is None:
            raise BugError("the thread that makes estimates ended early; its traceback is above")
        if self._clean:
            self.estimates = self._combined(self._total, self._end)

    @property
    def counters(self) -> dict[str, int]:
        """What the controllers did, for the record; nothing without any."""
        if not self.refused_counts:
            return {}
        laws = {} if self.last is None else self.last.counters
        counted = {f"control.{name}.{what}": count for name, of in laws.items() for what, count in of.items()}
        return {
            "control.updates": self.update_count,
            "control.refused": sum(self.refused_counts.values()),
            "control.restarts": self._batch.restarts,
            **counted,
        }

    @property
    def controlled(self) -> tuple[Controlled, ...]:
        """What each controller came to."""
        last = self.last
        return tuple(
            Controlled(
                one.name, one.output, None if last is None else last.values[one.output], self.refused_counts[one.name]
            )
            for one in self._batch.shape.controllers
        )

    def _run(self) -> None:
        try:
            total, due_s = no_sums(self._observables.terms), time.monotonic() + EVERY_S
            waiting: tuple[Sums, int] | None = None  # sums up to the end of a batch, which are to be told
            end = 0
            for message in self._batch.messages():
                if isinstance(message, Update):
                    self._note(message)
                    continue
                total, end = add_sums(total, message), (message["batch"] + 1) * self._batch.shape.batch_shots
                if waiting is None and time.monotonic() >= due_s:
                    waiting = total, end
                if waiting is not None and (self._swept is None or waiting[1] <= self._swept.durable()):
                    for one in self._combined(*waiting):
                        self._publish("estimate", documents.estimate(one))
                    waiting, due_s = None, time.monotonic() + EVERY_S
            self._total, self._end = total, end
            self._clean = True
        finally:
            if not self._clean:
                self._batch.give_up()
            if self.refused_counts and (self._batch.failure is not None or not self._clean):
                self._stop_kernel()

    def _note(self, update: Update) -> None:
        """Count and tell an update."""
        self.last = update
        self.update_count += 1
        for one in update.refused:
            self.refused_counts[one.controller] += 1
        shape = self._batch.shape
        body = documents.epoch(
            update.epoch,
            update.epoch * shape.batch_shots,
            batch=update.batch,
            values=update.values,
            words=update.words,
            controllers=[one.name for one in shape.controllers],
            refused=[one.text for one in update.refused],
            ended=[one.controller for one in update.refused if one.ended],
            busy_ns=update.busy_ns,
        )
        self._publish("epoch", body)

    def _combined(self, total: Sums, end: int) -> tuple[Estimate, ...]:
        """Return the estimates of the sums of all shots below `end`, as far as there are so many."""
        wanted, within = self._observables, None
        if self._swept is not None:
            sums, durable, rows = self._swept
            if (known := min(end, durable())) > sums.end:
                sums.add(rows(sums.end, known))
            within = sums.within() if sums.end else None  # of a disk that has failed there may be none
        return combine(total, wanted.terms, wanted.bit_names, wanted.bit_qubits, self._qubits, within=within)
