"""A run from the armed lab to the closed record, and the one way out of it.

A session (session.py) has been prepared, opened and calibrated. Playing it: set, upload, read back; only now the run folder is made, and
the armed image goes into it. Then

    kernel thread -> rows ring -> recorder thread (disk, then stream); second reader: the batch process (laws -> epochs, sums -> estimates);
    where a sweep changes instruments, one leg after the other (walking.py);
    outputs off and read back, settings put back, `stop` document, summary

From the folder on every way out, errors, bugs and Ctrl-C among them, takes the same steps: the kernel ends, every row that it made is on
disk, outputs off, the reason in the `stop` document, the record closed. The error then says where the record is.

What is put on record before the first shot is in opening.py, what the end is counted and told by in ending.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from qrt import documents, kernel
from qrt.axes import Grid, to_document
from qrt.captured import Captured
from qrt.controlling import EpochsBy, Told, begin_with, points_of
from qrt.ending import Finished, add_place, early_end, put_points, summary_of
from qrt.errors import InstrumentError, RunError, WorldError
from qrt.estimating import Estimating, Swept
from qrt.events import Compiled, Playing, Progress
from qrt.image import ArmedEpochs, Played
from qrt.legs import Leg, PlayedLeg, legs_of
from qrt.loop import NO_PLAN, kernel_config
from qrt.observables import with_truth
from qrt.opening import (
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
from qrt.preflight import Held, hold
from qrt.readout.estimate import tables
from qrt.reasons import StoppedError
from qrt.record import RunFolder
from qrt.recorder import Recorder, Recording
from qrt.session import Session
from qrt.types import Sequence, Summary
from qrt.units import PS_PER_S
from qrt.walking import Arming, Ready, Telling, Walk, played_of, rows_of, rows_on_disk, seen_in
from qrt.within import PointSums


class Play:
    """The playing of one session, once."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.stopped = False  # as asked, before the last shot
        self.held: Held | None = None  # what the machine was asked for and gave; None in virtual time
        self.told: Told | None = None  # of epochs; None: without controllers
        self.estimating: Estimating | None = None
        self.finished: Finished | None = None

    def play(self, *, keep_stopped: bool = False) -> tuple[Summary, dict[str, int]]:
        """Arm, record, run, close: return its summary and everything that was counted. keep_stopped: of a run that was stopped, too."""
        session = self.session
        values = begin_with(session.lab, session.inputs, session.calibration)
        compiling = session.compiling
        self.arming = Arming(
            session.loop, session.program, compiling, session.sequence, controlled=values, reach=session.reach
        )
        with ExitStack() as stack:
            stack.callback(session.loop.dials.put_back)
            ready = self.arming.ready(session.first, 0, 0)
            counts = compiling.hits, compiling.misses, session.loop.compiled_count, session.loop.kept_count
            session.events(Compiled(*counts, compiling.causes))
            sequence = ready.sequence
            if session.batch is not None:
                session.batch.wait_ready(session.loop.asked_to_end)
            session.loop.check_asked()
            check_unchanged(session.program, session.lab, session.externs)
            tick_ps = session.lab.timing.tick_ps
            layout = layout_of(sequence, tick_ps)
            self.record = stack.enter_context(RunFolder.create(session.runs, session.uid, layout))
            readers = 1 if session.batch is None else 2
            rings = rings_of(stack, sequence, tick_ps, session.leg_shots, readers)
            self.pacing = kernel.Pacing[session.lab.timing.pacing.upper()]
            if self.pacing is not kernel.Pacing.VIRTUAL:
                self.held = stack.enter_context(hold(sequence.period_ticks * tick_ps // 1000))
            stack.enter_context(Captured(self.record, rings.raw, layout.captures))
            epochs = EpochsBy.create(stack, session.lab, values, ready.bound) if session.asked else None
            armed = self._kernel(ready, rings, epochs and epochs.kernel)
            started_ns = time.time_ns()
            self.walk = Walk()
            recorder = self._recorder(rings, started_ns)
            try:
                played = self._image(ready, epochs)
                put_files(
                    self.record,
                    played,
                    lab=session.lab,
                    program=session.text,
                    calibration=session.calibration,
                    laws=session.sources,
                    externs=session.externs,
                )
                self._begin(recorder, started_ns)
                self.telling = Telling(recorder, session.lab, played)
                self.told = None if epochs is None else Told(epochs.kernel, ready.bound.encode)
                self.finished = self._play(rings, ready, armed, recorder, epochs)
                session.loop.safe()
                return self._end(sequence, self.finished, recorder, keep_stopped=keep_stopped)
            except BaseException as error:
                self._end_early(recorder, error)
                raise

    def _kernel(self, ready: Ready, rings: kernel.Rings, epochs: kernel.Epochs | None) -> kernel.Kernel:
        """Return the kernel of a leg, not armed yet."""
        session = self.session
        config = kernel_config(
            session.lab,
            msgspec.structs.replace(ready.armed, sequence=ready.sequence),
            rings,
            session.leg_shots,
            self.pacing,
            plan=NO_PLAN if self.held is None else self.held.plan,
            sweep=ready.bound.sweep,
            epochs=epochs,
            shot_first=ready.shot_first,
            stretched_first=ready.stretched_first,
            goes_on=session.adaptive is not None
            or (session.grid is not None and ready.leg.index + 1 < session.grid.legs),
        )
        return kernel.Kernel(config)

    def _recorder(self, rings: kernel.Rings, started_ns: int) -> Recorder:
        """Return the recorder of these rings; it stops the kernel if the disk fails."""
        assert rings.lateness is not None
        return Recorder(
            self.record,
            rings.rows,
            rings.lateness,
            rings.misses,
            miss_dtype=kernel.MISS_DTYPE,
            sink=self.session.publisher,
            time_s=started_ns / 1e9,
            on_failure=self.walk.stop,
        )

    def _play(
        self, rings: kernel.Rings, ready: Ready, armed: kernel.Kernel, recorder: Recorder, epochs: EpochsBy | None
    ) -> Finished:
        """Play every leg; return when the last kernel has ended, every row is on disk and every batch is in."""
        session = self.session
        recording = Recording(recorder, rings.rows)
        with ExitStack() as stack:
            if session.batch is not None:
                qubits, wanted = session.calibration.qubits, session.observables
                handed = () if epochs is None else (epochs.to, epochs.ring)
                points = points_of(ready.bound.sweep, session.leg_shots if ready.leg.held else 0)
                factors, grid = tables(wanted.bit_qubits, qubits), session.first.grid
                session.batch.consume(rings.rows, factors, points, *handed)
                swept = None
                if grid is not None:
                    sums = PointSums(grid, wanted, factors, session.lab.control.batch_shots)
                    swept = Swept(sums, lambda: self.record.durable_shot, partial(rows_on_disk, self.record))
                self.estimating = stack.enter_context(
                    Estimating(
                        session.batch,
                        wanted,
                        qubits,
                        publish=partial(self._tell, recorder),
                        abort=session.abort.is_set,
                        stop_kernel=self.walk.stop,
                        swept=swept,
                    )
                )
            stack.enter_context(recording)
            started_s = time.monotonic()
            ended = self._legs(rings, ready, armed, recorder)
        session.events(
            Progress(self.record.durable_shot, self.record.durable_shot if session.adaptive else session.shots)
        )
        walked = self.walk.total()
        truth = self.walk.truth if session.lab.twin is not None else None
        estimates = () if self.estimating is None else self.estimating.estimates
        estimates = with_truth(estimates, session.observables, truth)
        durable_s = recording.ended_s - started_s
        return Finished(walked.report, durable_s, recording.failure, ended, walked.dead_s, estimates, truth)

    def _legs(self, rings: kernel.Rings, ready: Ready, armed: kernel.Kernel, recorder: Recorder) -> WorldError | None:
        """Play leg after leg; return what ended the run between two of them, None if nothing did."""
        session = self.session
        following = self._following(recorder)
        while True:
            self._leg(ready, armed, recorder)
            played = ready.shot_first + session.leg_shots
            if self.walk.ended or (session.adaptive is None and played == session.shots):
                return None
            if session.loop.asked_to_end():
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
        session = self.session
        grid = ready.leg.grid or Grid((), "point", session.leg_shots)
        session.legs.append(PlayedLeg(ready.shot_first, ready.values, grid))
        end = ready.shot_first + session.leg_shots if session.adaptive else session.shots
        with armed:
            dead_s = self.walk.began(armed)
            if ready.leg.held:
                self.telling.leg(ready, session.leg_shots, dead_s, ArmedEpochs.of(armed.config.epochs))
            report = session.loop.play(armed, lambda: session.events(Progress(self.record.durable_shot, end)))
        self.walk.add(report, armed.histogram[0], session.loop.truth if session.lab.twin is not None else None)
        if ready.leg.held:
            session.events(Progress(self.record.durable_shot, end))

    def _tell(self, recorder: Recorder, kind: str, body: Mapping[str, Any]) -> None:
        """Record and publish a document of the batch process."""
        if self.told is not None and kind == "epoch" and self.session.first.held:
            self.told.note(body)
        recorder.document(kind, body)

    def _goes_on(self, told: Told, ready: Ready, recorder: Recorder) -> kernel.Epochs:
        """Return what epochs a leg begins with: the one that was in force at the end of the leg before."""
        recorder.hurries = True
        (row,) = rows_of(recorder, ready.shot_first - 1, ready.shot_first)
        return told.after(int(row["epoch"]), ready.bound)

    def _following(self, recorder: Recorder) -> Iterator[Leg]:
        """Yield the legs after the first."""
        session = self.session
        if session.adaptive is None:
            return islice(legs_of(session.grid), 1, None) if session.grid is not None else iter(())
        recorder.hurries = True
        seen = partial(seen_in, recorder, session.legs, session.observables, session.calibration.qubits)
        return islice(session.adaptive.legs(seen), 1, None)

    def _image(self, ready: Ready, epochs: EpochsBy | None) -> Played:
        """Return what the kernel of the first leg is armed with, as a replay needs it."""
        return played_of(
            ready, self.session.lab, self.session.leg_shots, epochs=ArmedEpochs.of(epochs and epochs.kernel)
        )

    def _begin(self, recorder: Recorder, started_ns: int) -> None:
        """Record and publish the documents that come before the first shot."""
        session = self.session
        lab, rounded = session.lab, session.compiling.rounded
        start = start_document(
            session.uid,
            started_ns,
            lab,
            program=session.text,
            batch_versions={} if session.batch is None else session.batch.versions,
            held=self.held,
            lab_hash=session.lab_hash,
            calibration_hash=session.calibration_hash,
            seed=session.seed,
            inputs=dict(session.inputs),
            sweep=to_document(session.grid) if session.grid else session.adaptive.document if session.adaptive else {},
            shots=session.shots,
            period_ticks=session.sequence.period_ticks,
            instruments=msgspec.to_builtins(session.loop.found),
            excluded=list(session.observables.excluded),
            round=session.rounds,
            rounded=list(rounded),
            ignored=list(session.program.ignored),
            laws=law_files(session.sources),
            externs=extern_files(session.externs),
        )
        recorder.document("start", start)
        recorder.document("descriptor", descriptor_document(session.uid, started_ns, self.record.layout))
        address = "" if session.publisher is None else session.publisher.address
        session.events(
            Playing(
                str(self.record.path),
                address,
                session.shots,
                session.observables.excluded,
                lacking(self.held),
                rounded,
                session.program.ignored,
            )
        )

    def _end(
        self, sequence: Sequence, finished: Finished, recorder: Recorder, *, keep_stopped: bool
    ) -> tuple[Summary, dict[str, int]]:
        """Close the record with everything counted, and return what it came to or raise what ended the run early."""
        session = self.session
        if finished.failure is None:
            for one in finished.estimates:
                recorder.document("estimate", documents.estimate(one))
            if session.grid is not None or session.adaptive is not None:
                put_points(self.record, session.legs, session.grid, session.observables, session.calibration)
        early = finished.failure or finished.ended or self._failed_controllers()
        early = early or early_end(finished.report, sequence, session.batch)
        self.stopped = isinstance(early, StoppedError) and not session.abort.is_set()
        kept = self.stopped and keep_stopped
        if early is not None and not kept:
            raise early if isinstance(early, RunError) else RunError(str(early)) from early
        recorder.document("stop", self._stop(recorder, *(("abort", str(early)) if kept else ("success", ""))))
        period_s = sequence.period_ticks * session.lab.timing.tick_ps / PS_PER_S
        controlled = () if self.estimating is None else self.estimating.controlled
        return summary_of(self.record, finished, period_s, controlled, len(session.legs)), self._counters(recorder)

    def _failed_controllers(self) -> RunError | None:
        """Return why the batch process could not go on, if controllers needed it; not where it ended because the run was told to."""
        session = self.session
        if session.batch is None or session.batch.failure is None or not session.asked or session.loop.asked_to_end():
            return None
        return RunError(f"the controllers came to an end: {session.batch.failure}; every shot before it is recorded")

    def _end_early(self, recorder: Recorder, error: BaseException) -> None:
        """Close the record of a run that `error` ended: outputs off, the reason on record, the place on the error."""
        reason = str(error) if isinstance(error, WorldError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, InstrumentError):
            try:
                self.session.loop.safe()
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
            self.session.uid,
            time.time(),
            exit_status=exit_status,
            reason=reason,
            shots=self.record.durable_shot,
            counters=self._counters(recorder),
            digest=self.record.digest(),
        )

    def _counters(self, recorder: Recorder) -> dict[str, int]:
        """Return everything that was counted."""
        session = self.session
        counters = {**session.loop.counters, **recorder.counters, **self.record.counters}
        counters |= {"compile.hits": session.compiling.hits, "compile.misses": session.compiling.misses}
        if session.publisher is not None:
            counters |= {f"stream.{name}": count for name, count in session.publisher.counters.items()}
        if self.estimating is not None:
            counters |= self.estimating.counters
        if self.finished is not None:
            counters |= self.finished.counters(paced=self.held is not None)
        return counters
