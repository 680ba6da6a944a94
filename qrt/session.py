"""The steps of a run, and the one way out of it.

    prepare    all is checked that can be with nothing open; the program is compiled where it is not kept from before, and once more
               after a calibration
    open       publisher, instruments, batch process: what can be refused is refused before the first pulse
    calibrate  the lab measures itself through the same loop, unless a calibration is given
    play       set, upload, read back; only now the run folder is made, and the armed image goes into it. Then
               kernel thread -> rows ring -> recorder thread (disk, then stream); second reader: the batch process
               (laws -> epochs, sums -> estimates); where a sweep changes instruments, one leg after the other (walking.py);
               outputs off and read back, settings put back, `stop` document, summary

Before the folder there is nothing to close but instruments. From then on every way out, errors, bugs and Ctrl-C among them, takes the
same steps: the kernel ends, every row that it made is on disk, outputs off, the reason in the `stop` document, the record closed. The
error then says where the record is.

What is put on record before the first shot is in opening.py, what the end is counted and told by in ending.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from qrt import documents, kernel
from qrt.adaptive import Points
from qrt.axes import Grid, to_document
from qrt.batch import BatchProcess, Shape
from qrt.calibrate import calibrate
from qrt.captured import Captured, check_captures
from qrt.compiling import Compiling
from qrt.controlling import EpochsBy, Told, asked_for, begin_with, law_sources, points_of, reach_of
from qrt.ending import Finished, add_place, early_end, put_points, summary_of
from qrt.errors import InstrumentError, RunError, WorldError
from qrt.estimating import Estimating
from qrt.events import Calibrated, CalibrationStep, Compiled, InstrumentsFound, Playing, Progress, RunEvent
from qrt.grids import Sweeps
from qrt.image import ArmedEpochs, Played
from qrt.legs import Leg, PlayedLeg, legs_of
from qrt.loop import NO_PLAN, Loop, Stop, kernel_config, limits_of
from qrt.observables import observables_of, with_truth
from qrt.opening import (
    check_counts,
    check_unchanged,
    descriptor_document,
    extern_files,
    lacking,
    law_files,
    layout_of,
    put_files,
    rings_of,
    start_document,
)
from qrt.points import check_points
from qrt.preflight import Held, hold
from qrt.publisher import Publisher
from qrt.pulses.externs import sources_of
from qrt.qasm import Program
from qrt.readout.estimate import tables
from qrt.reasons import StoppedError
from qrt.record import RunFolder, check_writable, new_uid
from qrt.recorder import Recorder, Recording
from qrt.store import (
    calibration_hash,
    check_calibration,
    load_calibration,
    save_calibration,
)
from qrt.types import Calibration, Lab, PortLimits, Sequence, Summary
from qrt.units import PS_PER_S
from qrt.walking import Arming, Ready, Telling, Walk, played_of, rows_of, seen_in, swept_by


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
        sweep: Sweeps | Points | Callable[[], Points] = (),
        order: str = "point",
        averages: int = 1,
        rounds: bool = False,
    ) -> None:
        self.lab, self.lab_hash, self.bound_hash = lab, lab_hash, bound_hash
        self.program, self.text, self.inputs = program, text, inputs
        self.rounds = rounds  # durations off the grid of samples or ticks, instead of refusing them
        swept = swept_by(lab, program, inputs, sweep, order=order, shots=shots, averages=averages)
        self.grid, self.adaptive, self.first = swept.grid, swept.adaptive, swept.first
        self.reach = reach_of(lab, program, self.first.grid)
        self.shots, self.seed, self.runs = self.grid.shots if self.grid else shots * averages, seed, runs
        self.legs: list[PlayedLeg] = []  # that have begun
        self.events = events
        self.uid = new_uid(time.time_ns())
        self.given: Calibration | None = None
        self.batch: BatchProcess | None = None
        self.estimating: Estimating | None = None
        self.publisher: Publisher | None = None
        self.finished: Finished | None = None
        self.told: Told | None = None  # of epochs; None: without controllers
        self.stopped = False  # as asked, before the last shot
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
        limits = limits_of(self.lab)
        self.externs = sources_of(self.program, self.lab)
        self.compiling = self._compiling(limits)
        nominal = self.compiling.sequence(self.given)
        for leg in () if self.grid is None else legs_of(self.grid):
            if leg.grid != self.first.grid:  # an input is held: is it possible at each of its values?
                self.compiling.in_leg(reach_of(self.lab, self.program, leg.grid))
        self.sequence = self.compiling.in_leg(self.reach) if self.grid is not None and self.grid.legs > 1 else nominal
        check_counts(self.shots, self.seed, nominal.period_ticks * (1 + nominal.stretch_max), self.lab.timing.tick_ps)
        check_captures(nominal, self.shots)
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
            calibration = calibrate(self.lab, self.loop.measure, self.seed, step, self.loop.measure_swept)
            calibration = msgspec.structs.replace(calibration, lab_hash=self.bound_hash, taken_ns=time.time_ns())
            check_calibration(calibration, self.lab, self.bound_hash, "the calibration that was taken")
        path = save_calibration(self.runs, calibration)
        self.calibration = calibration
        self.calibration_hash = calibration_hash(calibration)
        self.events(Calibrated(calibration, self.calibration_hash, str(path), taken_now=self.given is None))
        if self.given is None:
            self.sequence = self.compiling.sequence(calibration)

    def _compiling(self, limits: PortLimits) -> Compiling:
        return Compiling(self.program, self.inputs, self.lab, limits, reach=self.reach, rounds=self.rounds)

    def play(self, *, keep_stopped: bool = False) -> tuple[Summary, dict[str, int]]:
        """Arm, record, run, close: return its summary and everything that was counted. keep_stopped: of a run that was stopped, too."""
        values = begin_with(self.lab, self.inputs, self.calibration)
        compiling = self.compiling
        self.arming = Arming(self.loop, self.program, compiling, self.sequence, controlled=values, reach=self.reach)
        with ExitStack() as stack:
            stack.callback(self.loop.dials.put_back)
            ready = self.arming.ready(self.first, 0, 0)
            self.events(Compiled(compiling.hits, compiling.misses, self.loop.compiled_count))
            sequence = ready.sequence
            if self.batch is not None:
                self.batch.wait_ready(self.loop.asked_to_end)
            self.loop.check_asked()
            check_unchanged(self.program, self.lab, self.externs)
            tick_ps = self.lab.timing.tick_ps
            layout = layout_of(sequence, tick_ps)
            self.record = stack.enter_context(RunFolder.create(self.runs, self.uid, layout))
            readers = 1 if self.batch is None else 2
            rings = rings_of(stack, sequence, tick_ps, self.leg_shots, readers)
            self.pacing = kernel.Pacing[self.lab.timing.pacing.upper()]
            if self.pacing is not kernel.Pacing.VIRTUAL:
                self.held = stack.enter_context(hold(sequence.period_ticks * tick_ps // 1000))
            stack.enter_context(Captured(self.record, rings.raw, layout.captures))
            epochs = EpochsBy.create(stack, self.lab, values, ready.bound) if self.asked else None
            armed = self._kernel(ready, rings, epochs and epochs.kernel)
            started_ns = time.time_ns()
            self.walk = Walk()
            recorder = self._recorder(rings, started_ns)
            try:
                played = self._image(ready, epochs)
                put_files(
                    self.record,
                    played,
                    lab=self.lab,
                    program=self.text,
                    calibration=self.calibration,
                    laws=self.sources,
                    externs=self.externs,
                )
                self._begin(recorder, started_ns)
                self.telling = Telling(recorder, self.lab, played)
                self.told = None if epochs is None else Told(epochs.kernel, ready.bound.encode)
                self.finished = self._play(rings, ready, armed, recorder, epochs)
                self.loop.safe()
                return self._end(sequence, self.finished, recorder, keep_stopped=keep_stopped)
            except BaseException as error:
                self._end_early(recorder, error)
                raise

    def _kernel(self, ready: Ready, rings: kernel.Rings, epochs: kernel.Epochs | None) -> kernel.Kernel:
        """Return the kernel of a leg, not armed yet."""
        config = kernel_config(
            self.lab,
            msgspec.structs.replace(ready.armed, sequence=ready.sequence),
            rings,
            self.leg_shots,
            self.pacing,
            plan=NO_PLAN if self.held is None else self.held.plan,
            sweep=ready.bound.sweep,
            epochs=epochs,
            shot_first=ready.shot_first,
            stretched_first=ready.stretched_first,
            goes_on=self.adaptive is not None or (self.grid is not None and ready.leg.index + 1 < self.grid.legs),
        )
        return kernel.Kernel(config)

    @property
    def leg_shots(self) -> int:
        """How many shots each leg has."""
        return self.shots // (self.grid.legs if self.grid is not None else 1)

    def _recorder(self, rings: kernel.Rings, started_ns: int) -> Recorder:
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
            on_failure=self.walk.stop,
        )

    def _play(
        self, rings: kernel.Rings, ready: Ready, armed: kernel.Kernel, recorder: Recorder, epochs: EpochsBy | None
    ) -> Finished:
        """Play every leg; return when the last kernel has ended, every row is on disk and every batch is in."""
        recording = Recording(recorder, rings.rows)
        with ExitStack() as stack:
            if self.batch is not None:
                qubits, wanted = self.calibration.qubits, self.observables
                handed = () if epochs is None else (epochs.to, epochs.ring)
                points = points_of(ready.bound.sweep, self.leg_shots if ready.leg.held else 0)
                self.batch.consume(rings.rows, tables(wanted.bit_qubits, qubits), points, *handed)
                self.estimating = stack.enter_context(
                    Estimating(
                        self.batch,
                        wanted,
                        qubits,
                        publish=partial(self._tell, recorder),
                        abort=self.abort.is_set,
                        stop_kernel=self.walk.stop,
                    )
                )
            stack.enter_context(recording)
            started_s = time.monotonic()
            ended = self._legs(rings, ready, armed, recorder)
        self.events(Progress(self.record.durable_shot, self.record.durable_shot if self.adaptive else self.shots))
        walked = self.walk.total()
        truth = self.walk.truth if self.lab.twin is not None else None
        estimates = () if self.estimating is None else self.estimating.estimates
        estimates = with_truth(estimates, self.observables, truth)
        durable_s = recording.ended_s - started_s
        return Finished(walked.report, durable_s, recording.failure, ended, walked.dead_s, estimates, truth)

    def _legs(self, rings: kernel.Rings, ready: Ready, armed: kernel.Kernel, recorder: Recorder) -> WorldError | None:
        """Play leg after leg; return what ended the run between two of them, None if nothing did."""
        following = self._following(recorder)
        while True:
            self._leg(ready, armed, recorder)
            played = ready.shot_first + self.leg_shots
            if self.walk.ended or (self.adaptive is None and played == self.shots):
                return None
            if self.loop.asked_to_end():
                return StoppedError(f"stopped as asked after {played} shots, between two legs")
            try:
                leg = next(following, None)
            except RunError as error:
                return error
            if leg is None:
                return None
            try:
                ready = self.arming.ready(leg, played, self.walk.stretched)
                epochs = None if self.told is None else self._goes_on(self.told, ready, recorder)
            except WorldError as error:
                ended = RunError(f"{leg.text}: {error}")
                ended.__cause__ = error
                return ended
            armed = self._kernel(ready, rings, epochs)

    def _leg(self, ready: Ready, armed: kernel.Kernel, recorder: Recorder) -> None:
        """Play one leg."""
        grid = ready.leg.grid or Grid((), "point", self.leg_shots)
        self.legs.append(PlayedLeg(ready.shot_first, ready.values, grid))
        end = ready.shot_first + self.leg_shots if self.adaptive else self.shots
        with armed:
            dead_s = self.walk.began(armed)
            if ready.leg.held:
                self.telling.leg(ready, self.leg_shots, dead_s, ArmedEpochs.of(armed.config.epochs))
            report = self.loop.play(armed, lambda: self.events(Progress(self.record.durable_shot, end)))
        self.walk.add(report, armed.histogram[0], self.loop.truth if self.lab.twin is not None else None)
        if ready.leg.held:
            self.events(Progress(self.record.durable_shot, end))

    def _tell(self, recorder: Recorder, kind: str, body: Mapping[str, Any]) -> None:
        """Record and publish a document of the batch process."""
        if self.told is not None and kind == "epoch" and self.first.held:
            self.told.note(body)
        recorder.document(kind, body)

    def _goes_on(self, told: Told, ready: Ready, recorder: Recorder) -> kernel.Epochs:
        """Return what epochs a leg begins with: the one that was in force at the end of the leg before."""
        recorder.hurries = True
        (row,) = rows_of(recorder, ready.shot_first - 1, ready.shot_first)
        return told.after(int(row["epoch"]), ready.bound)

    def _following(self, recorder: Recorder) -> Iterator[Leg]:
        """Yield the legs after the first."""
        if self.adaptive is None:
            return islice(legs_of(self.grid), 1, None) if self.grid is not None else iter(())
        recorder.hurries = True
        seen = partial(seen_in, recorder, self.legs, self.observables, self.calibration.qubits)
        return islice(self.adaptive.legs(seen), 1, None)

    def _image(self, ready: Ready, epochs: EpochsBy | None) -> Played:
        """Return what the kernel of the first leg is armed with, as a replay needs it."""
        return played_of(ready, self.lab, self.leg_shots, epochs=ArmedEpochs.of(epochs and epochs.kernel))

    def _begin(self, recorder: Recorder, started_ns: int) -> None:
        """Record and publish the documents that come before the first shot."""
        lab, rounded = self.lab, self.compiling.rounded
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
            sweep=to_document(self.grid) if self.grid else self.adaptive.document if self.adaptive else {},
            shots=self.shots,
            period_ticks=self.sequence.period_ticks,
            instruments=msgspec.to_builtins(self.loop.found),
            excluded=list(self.observables.excluded),
            round=self.rounds,
            rounded=list(rounded),
            ignored=list(self.program.ignored),
            laws=law_files(self.sources),
            externs=extern_files(self.externs),
        )
        recorder.document("start", start)
        recorder.document("descriptor", descriptor_document(self.uid, started_ns, self.record.layout))
        address = "" if self.publisher is None else self.publisher.address
        self.events(
            Playing(
                str(self.record.path),
                address,
                self.shots,
                self.observables.excluded,
                lacking(self.held),
                rounded,
                self.program.ignored,
            )
        )

    def _end(
        self, sequence: Sequence, finished: Finished, recorder: Recorder, *, keep_stopped: bool
    ) -> tuple[Summary, dict[str, int]]:
        """Close the record with everything counted, and return what it came to or raise what ended the run early."""
        if finished.failure is None:
            for one in finished.estimates:
                recorder.document("estimate", documents.estimate(one))
            if self.grid is not None or self.adaptive is not None:
                put_points(self.record, self.legs, self.grid, self.observables, self.calibration)
        early = finished.failure or finished.ended or self._failed_controllers()
        early = early or early_end(finished.report, sequence, self.batch)
        self.stopped = isinstance(early, StoppedError) and not self.abort.is_set()
        kept = self.stopped and keep_stopped
        if early is not None and not kept:
            raise early if isinstance(early, RunError) else RunError(str(early)) from early
        recorder.document("stop", self._stop(recorder, *(("abort", str(early)) if kept else ("success", ""))))
        period_s = sequence.period_ticks * self.lab.timing.tick_ps / PS_PER_S
        controlled = () if self.estimating is None else self.estimating.controlled
        return summary_of(self.record, finished, period_s, controlled, len(self.legs)), self._counters(recorder)

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
        add_place(error, self.record)

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
        counters |= {"compile.hits": self.compiling.hits, "compile.misses": self.compiling.misses}
        if self.publisher is not None:
            counters |= {f"stream.{name}": count for name, count in self.publisher.counters.items()}
        if self.estimating is not None:
            counters |= self.estimating.counters
        if self.finished is not None:
            counters |= self.finished.counters(paced=self.held is not None)
        return counters
