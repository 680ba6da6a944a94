"""The steps of a run, and the one way out of it.

    prepare    lab, program, calibration and folder are checked as far as that goes with nothing open
    open       publisher, instruments, batch process: what can be refused is refused before the first pulse
    calibrate  the lab measures itself through the same loop, unless a calibration is given
    play       compile, upload, set, read back; only now the run folder is made, and the armed image goes into it. Then
               kernel thread -> rows ring -> recorder thread (disk, then stream); second reader: the batch process
               (laws -> epochs, sums -> estimates);
               outputs off and read back, `stop` document, summary

Before the folder there is nothing to close but instruments. From then on every way out, errors, bugs and Ctrl-C among them, takes the
same steps: the kernel ends, every row that it made is on disk, outputs off, the reason in the `stop` document, the record closed. The
error then says where the record is.

What is put on record before the first shot is in opening.py, what the end is counted and told by in ending.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from qrt import documents, kernel
from qrt.batch import BatchProcess, Points, Shape
from qrt.calibrate import calibrate
from qrt.compile import compile_pulses
from qrt.controlling import EpochsBy, asked_for, begin_with, bound_to, law_sources, points_of, reach_of
from qrt.ending import Finished, early_end, kernel_counters, lateness_counters, put_points
from qrt.errors import InstrumentError, ProgramError, RunError, WorldError
from qrt.estimating import Estimating
from qrt.events import Calibrated, CalibrationStep, InstrumentsFound, Playing, Progress, RunEvent
from qrt.grids import Sweeps, grid_of, to_document
from qrt.image import ArmedEpochs, Played
from qrt.loop import NO_PLAN, Armed, Loop, Stop, StoppedError, kernel_config, limits_of, power_of_two
from qrt.observables import observables_of, with_truth
from qrt.opening import (
    descriptor_document,
    lacking,
    law_files,
    layout_of,
    put_files,
    start_document,
)
from qrt.points import check_points
from qrt.preflight import Held, hold
from qrt.pulses import lower
from qrt.qasm import Program
from qrt.readout.estimate import tables
from qrt.record import RunFolder, check_writable, new_uid
from qrt.recorder import Recorder
from qrt.store import (
    calibration_hash,
    check_calibration,
    load_calibration,
    save_calibration,
)
from qrt.stream import Publisher
from qrt.sweeps import Bound
from qrt.types import Calibration, Lab, Pulses, Sequence, Summary
from qrt.units import PS_PER_S

ROWS_S: Final = 2.0  # what the rows ring holds at the least, of the run's own time
ROWS_BYTES_MAX: Final = 1 << 28
MISS_SLOTS: Final = 4096
TIME_MAX: Final = (2**63 - 1) // 8  # ticks, and ns, that the kernel counts to


class Session:
    """The state of one run between its steps; `qrt.run` calls them in order."""

    def __init__(
        self,
        *,
        lab: Lab,
        lab_hash: str,
        bound_hash: str,
        program: Program,
        text: str,
        inputs: Mapping[str, float],
        shots: int,
        seed: int,
        runs: Path,
        events: Callable[[RunEvent], None],
        sweep: Sweeps = (),
        order: str = "point",
    ) -> None:
        self.lab, self.lab_hash, self.bound_hash = lab, lab_hash, bound_hash
        self.program, self.text, self.inputs = program, text, inputs
        self.grid = grid_of(sweep, program, inputs, order, shots) if sweep else None
        self.reach = reach_of(lab, program, self.grid)
        self.shots, self.seed, self.runs = self.grid.shots if self.grid else shots, seed, runs
        self.events = events
        self.uid = new_uid(time.time_ns())
        self.given: Calibration | None = None
        self.batch: BatchProcess | None = None
        self.estimating: Estimating | None = None
        self.publisher: Publisher | None = None
        self.finished: Finished | None = None
        self.held: Held | None = None  # what the machine was asked for and gave; None in virtual time

    def prepare(self, calibration: str | Calibration | None) -> None:
        """Check all that can be checked with nothing open."""
        if isinstance(calibration, Calibration):
            self.given = calibration
            check_calibration(calibration, self.lab, self.bound_hash, "the calibration that was given")
        elif calibration is not None:
            self.given = load_calibration(self.runs, calibration, self.lab, self.bound_hash)
        begin_with(self.lab, self.inputs, None)
        if self.grid is not None:
            check_points(self.grid)
        self.pulses = self._lowered(self.given)
        nominal = compile_pulses(self.pulses, self.lab, limits_of(self.lab), self.reach)
        _check_counts(self.shots, self.seed, nominal.period_ticks * (1 + nominal.stretch_max), self.lab.timing.tick_ps)
        self.observables = observables_of(nominal)
        self.sources = law_sources(self.lab)
        self.asked = asked_for(self.lab, nominal, self.sources)
        self.capture_count, self.emit_count = len(nominal.slots), nominal.emit_count
        check_writable(self.runs)

    def open(self, stack: ExitStack, *, publish: bool, stop: Stop, abort: Stop) -> None:
        """Open everything, cheapest refusal first; `stack` closes it in the opposite order, whatever happens."""
        self.abort = abort
        self.loop = Loop(self.lab, self.seed, stop=stop, abort=abort)
        if publish:
            self.publisher = stack.enter_context(Publisher(self.lab.stream.address, self.uid))
        if self.observables.terms or self.asked:
            control = self.lab.control
            bit_count, terms = len(self.observables.bit_names), self.observables.terms
            shape = Shape(bit_count, terms, control.batch_shots, self.capture_count, self.asked, self.emit_count)
            self.batch = stack.enter_context(
                BatchProcess(shape, control)
            )  # JAX loads there while the lab is calibrated here
            if self.asked:
                self.batch.wait_ready(self.loop.asked_to_end)  # a law that cannot be used is told with nothing open
                self.loop.check_asked()
        stack.enter_context(self.loop)
        self.events(InstrumentsFound(self.loop.found))

    def calibrate(self) -> None:
        """Use the calibration that was given, or take one; store it under its hash."""
        calibration = self.given
        if calibration is None:
            step = lambda text: self.events(CalibrationStep(text))  # noqa: E731 - an argument
            calibration = calibrate(self.lab, self.loop.measure, self.seed, step)
            calibration = msgspec.structs.replace(calibration, lab_hash=self.bound_hash, taken_ns=time.time_ns())
            check_calibration(calibration, self.lab, self.bound_hash, "the calibration that was taken")
            self.pulses = self._lowered(calibration)
        path = save_calibration(self.runs, calibration)
        self.calibration = calibration
        self.calibration_hash = calibration_hash(calibration)
        self.events(Calibrated(calibration, self.calibration_hash, str(path), taken_now=self.given is None))

    def _lowered(self, calibration: Calibration | None) -> Pulses:
        """Return the program's pulses, open where an operand varies."""
        return lower(self.program, self.lab, calibration, self.inputs, self.reach.varied if self.reach else ())

    def play(self) -> tuple[Summary, dict[str, int]]:
        """Arm, record, run, close: return its summary and everything that was counted."""
        armed = self.loop.arm(self.pulses, self.reach)
        values = begin_with(self.lab, self.inputs, self.calibration)
        sequence, bound = bound_to(self.lab, armed.sequence, self.reach, values)
        armed = msgspec.structs.replace(armed, sequence=sequence)
        if self.batch is not None:
            self.batch.wait_ready(self.loop.asked_to_end)
        self.loop.check_asked()
        tick_ps = self.lab.timing.tick_ps
        layout = layout_of(sequence, tick_ps)
        with ExitStack() as stack:
            self.record = stack.enter_context(RunFolder.create(self.runs, self.uid, layout))
            rings = self._rings(stack, sequence)
            pacing = kernel.Pacing[self.lab.timing.pacing.upper()]
            if pacing is not kernel.Pacing.VIRTUAL:
                self.held = stack.enter_context(hold(sequence.period_ticks * tick_ps // 1000))
            plan = NO_PLAN if self.held is None else self.held.plan
            epochs = EpochsBy.create(stack, self.lab, values, bound) if self.asked else None
            config = kernel_config(
                self.lab,
                armed,
                rings,
                self.shots,
                pacing,
                plan=plan,
                sweep=bound.sweep,
                epochs=epochs and epochs.kernel,
            )
            loop = kernel.Kernel(config)
            started_ns = time.time_ns()
            recorder = self._recorder(rings, loop, started_ns)
            try:
                played = self._image(armed, bound, epochs)
                put_files(
                    self.record,
                    played,
                    lab=self.lab,
                    program=self.text,
                    calibration=self.calibration,
                    sources=self.sources,
                )
                self._begin(recorder, started_ns)
                self.finished = self._play(rings, loop, recorder, points_of(bound.sweep), epochs)
                self.loop.safe()
                return self._end(armed.sequence, self.finished, recorder)
            except BaseException as error:
                self._end_early(recorder, error)
                raise

    def _rings(self, stack: ExitStack, sequence: Sequence) -> kernel.Rings:
        """Make the rings: rows for two seconds of the run's own time at least, within a bound."""
        dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
        period_s = sequence.period_ticks * self.lab.timing.tick_ps / PS_PER_S
        slots = power_of_two(
            min(int(ROWS_S / period_s) + 1, ROWS_BYTES_MAX // dtype.itemsize // 2, max(self.shots, 1024))
        )
        readers = 1 if self.batch is None else 2
        return kernel.Rings(
            rows=stack.enter_context(kernel.Ring.create(dtype.itemsize, slots, readers)),
            lateness=stack.enter_context(kernel.Ring.create(8, slots, 1)),
            misses=stack.enter_context(kernel.Ring.create(kernel.MISS_DTYPE.itemsize, MISS_SLOTS, 1)),
            raw=None,
        )

    def _recorder(self, rings: kernel.Rings, loop: kernel.Kernel, started_ns: int) -> Recorder:
        """Return the recorder of these rings; it stops the kernel if the disk fails."""
        assert rings.lateness is not None
        return Recorder(
            self.record,
            rings.rows,
            rings.lateness,
            rings.misses,
            miss_dtype=kernel.MISS_DTYPE,
            sink=self.publisher,
            time_s=started_ns / 1e9,
            on_failure=loop.stop,
        )

    def _play(
        self,
        rings: kernel.Rings,
        loop: kernel.Kernel,
        recorder: Recorder,
        points: Points,
        epochs: EpochsBy | None,
    ) -> Finished:
        """Play every shot; return when the kernel has ended, every row is on disk and every batch is in."""
        recording = _Recording(recorder, rings.rows)
        with ExitStack() as stack:
            if self.batch is not None:
                qubits, wanted = self.calibration.qubits, self.observables
                handed = () if epochs is None else (epochs.to, epochs.ring)
                self.batch.consume(rings.rows, tables(wanted.bit_qubits, qubits), points, *handed)
                self.estimating = stack.enter_context(
                    Estimating(
                        self.batch,
                        wanted,
                        qubits,
                        publish=recorder.document,
                        abort=self.abort.is_set,
                        stop_kernel=loop.stop,
                    )
                )
            stack.enter_context(recording)
            stack.enter_context(loop)
            started_s = time.monotonic()
            report = self.loop.play(loop, lambda: self.events(Progress(self.record.durable_shot, self.shots)))
        self.events(Progress(self.record.durable_shot, self.shots))
        truth = self.loop.truth if self.lab.twin is not None else None
        estimates = () if self.estimating is None else self.estimating.estimates
        estimates = with_truth(estimates, self.observables, truth)
        return Finished(report, recording.ended_s - started_s, recording.failure, estimates, truth)

    def _image(self, armed: Armed, bound: Bound, epochs: EpochsBy | None) -> Played:
        """Return what the kernel is armed with, as a replay needs it."""
        return Played(
            armed.sequence,
            armed.image,
            self.lab.twin.kind if self.lab.twin is not None else "",
            self.shots,
            self.lab.timing.tick_ps,
            armed.seed,
            sweep=bound.sweep,
            axes={axis.name: axis.floats() for axis in self.grid.axes} if self.grid else {},
            epochs=epochs and ArmedEpochs(epochs.kernel.values, epochs.kernel.delay, epochs.kernel.batch_shots),
        )

    def _begin(self, recorder: Recorder, started_ns: int) -> None:
        """Record and publish the documents that come before the first shot."""
        lab = self.lab
        start = start_document(
            self.uid,
            started_ns,
            lab,
            program=self.text,
            batch_versions={} if self.batch is None else self.batch.versions,
            held=self.held,
            lab_hash=self.lab_hash,
            calibration_hash=self.calibration_hash,
            seed=self.seed,
            inputs=dict(self.inputs),
            sweep=to_document(self.grid) if self.grid else {},
            shots=self.shots,
            period_ticks=self.pulses.period_ticks,
            instruments=msgspec.to_builtins(self.loop.found),
            excluded=list(self.observables.excluded),
            laws=law_files(self.sources),
        )
        recorder.document("start", start)
        recorder.document("descriptor", descriptor_document(self.uid, started_ns, self.record.layout))
        address = "" if self.publisher is None else self.publisher.address
        self.events(Playing(str(self.record.path), address, self.shots, self.observables.excluded, lacking(self.held)))

    def _end(self, sequence: Sequence, finished: Finished, recorder: Recorder) -> tuple[Summary, dict[str, int]]:
        """Close the record with everything counted, and return what it came to or raise what ended the run early."""
        if finished.failure is None:
            for one in finished.estimates:
                recorder.document("estimate", documents.estimate(one))
            if self.grid is not None:
                put_points(self.record, self.grid, self.observables, self.calibration)
        early = finished.failure or self._failed_controllers() or early_end(finished.report, sequence, self.batch)
        if isinstance(early, RunError):
            raise early
        if early is not None:
            raise RunError(str(early)) from early
        recorder.document("stop", self._stop(recorder, "success", ""))
        recorded, period_s = self.record.durable_shot, sequence.period_ticks * self.lab.timing.tick_ps / PS_PER_S
        summary = Summary(
            run=str(self.record.path),
            shots=recorded,
            shots_per_s=recorded / finished.durable_s,
            sim_over_wall=recorded * period_s / finished.durable_s,
            misses=finished.report.miss_count,
            digest=self.record.digest(),
            estimates=finished.estimates,
            controllers=() if self.estimating is None else self.estimating.controlled,
        )
        return summary, self._counters(recorder)

    def _failed_controllers(self) -> RunError | None:
        """Return why the batch process could not go on, if controllers needed it; not where it ended because the run was told to."""
        if self.batch is None or self.batch.failure is None or not self.asked or self.loop.asked_to_end():
            return None
        return RunError(f"the controllers came to an end: {self.batch.failure}; every shot before it is recorded")

    def _end_early(self, recorder: Recorder, error: BaseException) -> None:
        """Close the record of a run that `error` ended: outputs off, the reason on record, the place on the error."""
        reason = str(error) if isinstance(error, WorldError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, InstrumentError):
            try:
                self.loop.safe()
            except InstrumentError as unsafe:  # the error itself is told when the lab is left, which tries once more
                reason += f"\nwhile going safe: {unsafe}"
        try:
            asked = isinstance(error, StoppedError | KeyboardInterrupt)
            recorder.document("stop", self._stop(recorder, "abort" if asked else "fail", reason))
        except WorldError as refused:
            error.add_note(f"the record has no stop document: {refused}")
        kept = self.record.durable_shot
        where = f"{f'shots 0 to {kept - 1} are' if kept else 'no shot is'} kept in {self.record.path}"
        if isinstance(error, RunError):
            error.args = (f"{error}\n{where}",)
        else:
            error.add_note(where)

    def _stop(self, recorder: Recorder, exit_status: str, reason: str) -> dict[str, Any]:
        """Return the `stop` document."""
        return documents.stop(
            self.uid,
            time.time(),
            exit_status=exit_status,
            reason=reason,
            shots=self.record.durable_shot,
            counters=self._counters(recorder),
            digest=self.record.digest(),
        )

    def _counters(self, recorder: Recorder) -> dict[str, int]:
        """Return everything that was counted."""
        counters = {**self.loop.counters, **recorder.counters, **self.record.counters}
        if self.publisher is not None:
            counters |= {f"stream.{name}": count for name, count in self.publisher.counters.items()}
        if self.estimating is not None:
            counters |= self.estimating.counters
        if self.finished is not None:
            counters |= kernel_counters(self.finished.report)
            counters |= {} if self.held is None else lateness_counters(self.finished.report)
            counters |= {} if self.finished.truth is None else dict(self.finished.truth.counters)
        return counters


class _Recording:
    """The recorder at work: leaving closes the rings, if no kernel did, and waits until all that they held is on disk."""

    def __init__(self, recorder: Recorder, rows: kernel.Ring) -> None:
        self.failure: WorldError | None = None
        self.ended_s = 0.0
        self._recorder, self._rows = recorder, rows

    def __enter__(self) -> None:
        self._recorder.start()

    def __exit__(self, *_: object) -> None:
        self._rows.finish()
        try:
            self._recorder.join()
        except WorldError as error:
            self.failure = error
        self.ended_s = time.monotonic()


def _check_counts(shots: int, seed: int, period_ticks: int, tick_ps: int) -> None:
    """Raise ProgramError for what the kernel or the record cannot count to."""
    ticks_max = TIME_MAX // max(1, tick_ps // 1000)
    if not 1 <= shots <= ticks_max // period_ticks:
        raise ProgramError(f"shots = {shots}: 1 to {ticks_max // period_ticks} are possible")
    if not 0 <= seed < 1 << 64:
        raise ProgramError(f"seed = {seed}: 0 to {(1 << 64) - 1} are possible")
