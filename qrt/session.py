"""A run before its first shot: checked, opened, calibrated. From there it is played (playing.py); `qrt.run` calls the steps in order.

    prepare    all is checked that can be with nothing open; the program is compiled where it is not kept from before, and once more
               after a calibration
    open       publisher, instruments, batch process: what can be refused is refused before the first pulse
    calibrate  the lab measures itself through the same loop, unless a calibration is given

There is no folder yet, and nothing to close but instruments. What is put on record before the first shot is in opening.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from qrt.adaptive import Points
from qrt.axes import OrderName
from qrt.batch import BatchProcess, Shape
from qrt.calibrate import calibrate
from qrt.captured import captures_size, check_captures
from qrt.compiling import Compiling
from qrt.controlling import asked_for, begin_with, law_sources, reach_of
from qrt.events import Calibrated, CalibrationStep, InstrumentsFound, RunEvent
from qrt.grids import Sweeps
from qrt.kernel import row_dtype
from qrt.legs import PlayedLeg, legs_of
from qrt.loop import Loop, Stop, limits_of
from qrt.observables import observables_of
from qrt.opening import check_counts
from qrt.points import check_points
from qrt.publisher import Publisher
from qrt.pulses.externs import sources_of
from qrt.qasm import Program
from qrt.record import check_writable, new_uid, size_of
from qrt.store import calibration_hash, check_calibration, load_calibration, save_calibration
from qrt.types import Calibration, Lab, PortLimits
from qrt.walking import swept_by


class Session:
    """The state of one run between its steps."""

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
        order: OrderName = "point",
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
        self.publisher: Publisher | None = None

    def prepare(self, calibration: str | Path | Calibration | None) -> None:
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
        rows = size_of(row_dtype(self.capture_count, self.emit_count), self.shots)
        check_writable(self.runs, rows + captures_size(nominal, self.shots))

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
        self.loop.watch(self.observables.product)
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

    @property
    def leg_shots(self) -> int:
        """How many shots each leg has."""
        return self.shots // (self.grid.legs if self.grid is not None else 1)
