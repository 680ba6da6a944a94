"""From the sums of the batch process to estimates that are recorded and streamed, on a thread of its own.

Every batch is added; estimates are made of the sums at most every `EVERY_S`, since a person reads them and the interpreter's time
is the recorder's, too. The last ones of all are `estimates`, for the run to complete with what it knows at its end.

Whatever ends the thread, the kernel is not left waiting for it: the batch process is ended with it, and gives up its place at the ring.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from qrt import documents
from qrt.batch import BatchProcess
from qrt.errors import BugError
from qrt.observables import Observables
from qrt.readout.estimate import Sums, add_sums, combine, no_sums
from qrt.types import Estimate, QubitCalibration

EVERY_S: Final = 0.1
LOOK_S: Final = 0.05


class Estimating:
    """A context manager: entering starts the thread, leaving waits until every batch is in, or until `abort` is set."""

    def __init__(
        self,
        batch: BatchProcess,
        observables: Observables,
        qubits: Mapping[str, QubitCalibration],
        publish: Callable[[str, Mapping[str, Any]], None],
        abort: Callable[[], bool],
    ) -> None:
        """Publish is called on the thread with each `estimate` document; abort is looked at while leaving."""
        self.estimates: tuple[Estimate, ...] = ()
        self._batch, self._observables, self._qubits = batch, observables, qubits
        self._publish, self._abort = publish, abort
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

    def _run(self) -> None:
        try:
            total, due_s = no_sums(self._observables.terms), time.monotonic() + EVERY_S
            for sums in self._batch.sums():
                total = add_sums(total, sums)
                if time.monotonic() >= due_s:
                    for one in self._combined(total):
                        self._publish("estimate", documents.estimate(one))
                    due_s = time.monotonic() + EVERY_S
            self.estimates = self._combined(total)
            self._clean = True
        finally:
            if not self._clean:
                self._batch.give_up()

    def _combined(self, total: Sums) -> tuple[Estimate, ...]:
        wanted = self._observables
        return combine(total, wanted.terms, wanted.bit_names, wanted.bit_qubits, self._qubits)
