"""A run looked at while it goes: `for batch in qrt.stream(...)`.

The run goes on in a thread of its own; the loop's body runs on the caller's, as slowly as it likes. Batch k is the shots [k W, (k + 1) W),
as for controllers, and comes once all of them are on disk: what is seen is what is kept, and nothing is dropped for a slow reader, who
finds the batches on disk. The last one may be shorter.

A loop that is left, by `break` or an error, ends the run at the end of a shot, and waits for that. So does Ctrl-C: the loop then comes to
its end, with what was played before; a second Ctrl-C aborts. Either way everything is kept, and `Stream.result` is what came of it. A
program that ends with a stream open ends its run in the same way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from queue import SimpleQueue
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from qrt.arrays import Columns, NamedArray
from qrt.axes import from_document
from qrt.client import Run, open_run
from qrt.ending import table_of
from qrt.errors import ProgramError, RunError
from qrt.events import Playing, Progress, RunEvent
from qrt.interrupt import Flag, Interrupt, is_ours_to_take
from qrt.legs import values_of
from qrt.options import Options, read, whole
from qrt.points import Swept, sums_of, swept_of
from qrt.readout.estimate import Sums, add_sums, combine, no_sums, tables
from qrt.reasons import StoppedError
from qrt.report import cells, collect
from qrt.results import Result, at_points, axes_of, clouds_of
from qrt.run import Prepared
from qrt.session import Session
from qrt.shots import Shots
from qrt.types import Estimate
from qrt.within import PointSums


def stream(program: Any, *, batch_shots: int | None = None, **options: Unpack[Options]) -> Stream:
    """Return a run to be looped over, batch by batch: `for batch in qrt.stream(program, lab=..., shots=...)`.

    batch_shots: shots of a batch; None: as many as the lab's controllers get, `control.batch_shots`. Everything else is as in `qrt.run`.
    What can be refused with nothing open is refused here; the run begins with the loop.
    """
    if batch_shots is not None and whole("batch_shots", batch_shots) < 1:
        raise ProgramError(f"batch_shots = {batch_shots}: at least 1 is needed")
    return Stream(program, batch_shots, read(options))


class Batch:
    """The shots [first, end) of a run that goes on.

    bits, outcomes, iq, values: as in a Result, but of these shots alone and along `shot`, whose coordinates are the number of the shot in
    the run and the value of every swept name in it. mean, mean_iq: over these shots
    estimates: of all shots up to `end`, by name; mitigated, raw: the same as arrays, at every point of a sweep
    """

    def __init__(self, index: int, first: int, rows: NDArray[Any], estimates: tuple[Estimate, ...], of: _Live) -> None:
        """Take all rows up to the batch's end."""
        self.index = index
        self.first, self.end = first, len(rows)
        self.rows = rows[first:]
        self.estimates = {one.name: one for one in estimates}
        self._so_far, self._of = rows, of
        shots = Shots(self.rows, of.record.layout, coords=of.coords(self.rows["shot"]))
        self.bits, self.outcomes, self.iq = shots.bits, shots.outcomes, shots.iq
        self.values, self.mean, self.mean_iq = shots.values, shots.mean, shots.mean_iq

    @cached_property
    def sweep(self) -> Swept | None:
        """The estimates at each point from all shots up to `end`; None without a sweep. Goes through all of them."""
        session = self._of.session
        if session.grid is None and session.adaptive is None:
            return None
        legs = [leg for leg in session.legs if leg.shot_first < self.end]
        table = table_of(self._so_far, legs, session.grid, session.observables, session.calibration)
        document = (self._of.record.start or {})["sweep"]
        grid = from_document(document)
        assert grid is not None
        return swept_of(table, grid, document.get("adaptive"))

    @property
    def mitigated(self) -> Columns[NamedArray]:
        """By observable, over all shots up to `end`, at each point of a sweep: what a perfect readout would have averaged."""
        return self._at_points[0]

    @property
    def raw(self) -> Columns[NamedArray]:
        """By observable, over all shots up to `end`, at each point of a sweep: as read."""
        return self._at_points[1]

    @cached_property
    def _at_points(self) -> tuple[Columns[NamedArray], Columns[NamedArray]]:
        if self.sweep is None:
            return at_points(self.estimates, (), {})
        return at_points(self.sweep.curves, *axes_of(self.sweep))

    def __repr__(self) -> str:
        return f"<batch {self.index}: shots {self.first} to {self.end - 1} of {self._of.session.shots}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: where the run is, the estimates so far, and the curve so far or these shots' clouds."""
        pictured = collect.swept(self.sweep)
        seen = () if pictured else clouds_of(self._of.record, self.rows, self._of.session.calibration)
        note = f"shots {self.first:,} to {self.end - 1:,} of {self._of.session.shots:,}"
        return cells.cell(f"batch {self.index}", note, tuple(self.estimates.values()), pictured, seen)


class Stream:
    """A run that is played while it is looped over, once."""

    def __init__(self, program: Any, batch_shots: int | None, options: Options) -> None:
        self._told: SimpleQueue[RunEvent | None] = SimpleQueue()
        self._events = options.get("events")
        options["events"] = self._tell
        self._prepared = Prepared(program, options)
        self._size = batch_shots or self._prepared.session.lab.control.batch_shots
        self._asked = _Asked()
        self._thread: threading.Thread | None = None
        self._result: Result | None = None
        self._failure: BaseException | None = None

    def __iter__(self) -> Iterator[Batch]:
        if self._thread is not None:
            raise RunError("this stream was looped over: its run has ended; call qrt.stream for another")
        self._thread = threading.Thread(target=self._play, name="qrt-run")
        self._asked.reader = threading.current_thread()
        with ExitStack() as stack:
            if is_ours_to_take():
                self._asked.interrupt = stack.enter_context(Interrupt())
            self._thread.start()
            try:
                for batch in self._batches():
                    yield batch
                    self._asked.reader = threading.current_thread()
            finally:
                self._asked.own.set()
                self._thread.join()
        if isinstance(self._failure, StoppedError) and self._asked.interrupt is not None:
            raise KeyboardInterrupt(str(self._failure)) from self._failure
        if self._failure is not None:
            raise self._failure

    def __repr__(self) -> str:
        thread = self._thread
        state = "not begun" if thread is None else "going on" if thread.is_alive() else "ended"
        return f"<stream of {self._prepared.session.shots} shots, {self._size} a batch: {state}>"

    @property
    def result(self) -> Result:
        """What the run came to; waits for its end. Raises what ended it, or RunError if it has not been begun."""
        if self._thread is None:
            raise RunError("the run begins when the stream is looped over: for batch in stream")
        self._thread.join()
        if self._result is None:
            assert self._failure is not None, "a run ends with a result or an error"
            raise self._failure
        return self._result

    def _play(self) -> None:
        """Play, on the run's thread."""
        try:
            self._result = self._prepared.play(_When(self._asked.stops), _When(self._asked.aborts), keep_stopped=True)
        except BaseException as error:  # noqa: BLE001 - the caller's thread gets it
            self._failure = error
        finally:
            self._told.put(None)

    def _tell(self, event: RunEvent) -> None:
        if self._events is not None:
            self._events(event)
        if isinstance(event, Playing | Progress):
            self._told.put(event)

    def _batches(self) -> Iterator[Batch]:
        """Yield batches as their shots become durable, until the run has ended."""
        live: _Live | None = None
        index = durable = 0
        while (event := self._told.get()) is not None:
            match event:
                case Playing(folder=folder):
                    live = _Live(open_run(folder), self._prepared.session, self._size)
                case Progress(done=done):
                    durable = done
            while live is not None and (index + 1) * self._size <= durable and not self._asked.aborts():
                yield live.batch(index, index * self._size, (index + 1) * self._size)
                index += 1
        if live is not None and index * self._size < durable and not self._asked.aborts():
            yield live.batch(index, index * self._size, durable)


class _Live:
    """A run that goes on, as far as its batches have been handed over."""

    def __init__(self, record: Run, session: Session, batch_shots: int) -> None:
        self.record, self.session = record, session
        self._factors = tables(session.observables.bit_qubits, session.calibration.qubits)
        grid, wanted = session.first.grid, session.observables
        self._points = None if grid is None else PointSums(grid, wanted, self._factors, batch_shots)
        self._total: Sums = no_sums(session.observables.terms)

    def batch(self, index: int, first: int, end: int) -> Batch:
        """Return the next one, with the estimates up to its end."""
        rows = np.memmap(self.record.path / "shots.bin", self.record.layout.dtype, "r", shape=(end,))
        wanted, part = self.session.observables, rows[first:]
        estimates: tuple[Estimate, ...] = ()
        if wanted.terms:
            added = sums_of(part["bits"].astype(np.uint64), part["flags"] == 0, wanted, self._factors)
            self._total = add_sums(self._total, added._asdict())
            within = None
            if self._points is not None:
                self._points.add(part)
                within = self._points.within()
            qubits = self.session.calibration.qubits
            estimates = combine(self._total, wanted.terms, wanted.bit_names, wanted.bit_qubits, qubits, within=within)
        return Batch(index, first, rows, estimates, self)

    def coords(self, shots: NDArray[np.int64]) -> dict[str, NamedArray]:
        """Return along `shot` the number of each of these shots, and what every swept name is in it, settings as they were read back."""
        document = (self.record.start or {}).get("sweep") or {}
        entries = [one for axis in document.get("axes", ()) for one in (axis, *axis["beside"])]
        units = {one["name"]: one["unit"] for one in (*entries, *document.get("adaptive", ()))}
        values = values_of(tuple(self.session.legs), shots) if units else {}
        found = {name: NamedArray(name, along, ("shot",), unit=units[name]) for name, along in values.items()}
        return {"shot": NamedArray("shot", shots, ("shot",))} | found


class _Asked:
    """Whether the run is to end: by the loop's own end, by that of the thread that loops, or by Ctrl-C.

    Python waits for the run's thread before it ends, and the main thread counts as ended by then.
    """

    def __init__(self) -> None:
        self.own = Flag()
        self.reader = threading.current_thread()
        self.interrupt: Interrupt | None = None

    def stops(self) -> bool:
        return (
            self.own.is_set()
            or not self.reader.is_alive()
            or (self.interrupt is not None and self.interrupt.stop.is_set())
        )

    def aborts(self) -> bool:
        return self.interrupt is not None and self.interrupt.abort.is_set()


class _When:
    """A Stop that asks."""

    def __init__(self, asked: Any) -> None:
        self.is_set = asked
