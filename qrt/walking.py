"""A run's legs, walked: instruments set and settled, the lab armed, the kernel played, leg after leg, on rings that stay open.

A run without settings is one leg, and nothing of this costs it anything. Between two legs only what differs is said to the instruments:
a setting that changed, segments that changed; the rest was read back when it was sent and stays. The time that settling takes is waited
for, or, on a twin in virtual time, idled by the plant, so that a run is a function of its seed. What a leg is armed with is on record
before its first shot. Time without shots is counted: each `leg` document and the summary say it. What controllers have set goes on from leg
to leg, and so do the batches, which may begin in one and end in the next (controlling.Told).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import documents, kernel
from qrt.adaptive import Adaptive, Seen
from qrt.axes import Grid, OrderName
from qrt.compiling import Compiling
from qrt.controlling import bound_to, reach_of
from qrt.drivers.settings import settings_of
from qrt.errors import ProgramError, RunError
from qrt.grids import grid_of
from qrt.image import ArmedEpochs, Played, to_image, to_part
from qrt.lateness import lateness_of
from qrt.legs import Leg, PlayedLeg, legs_of
from qrt.loop import Armed, Loop
from qrt.observables import Observables
from qrt.points import estimates_of
from qrt.qasm import Program
from qrt.record import RunFolder
from qrt.recorder import Recorder
from qrt.slots import Bound
from qrt.sweeps import Reach
from qrt.types import Lab, QubitCalibration, Truth
from qrt.types import Sequence as ShotSequence

SLICE_S: Final = 0.02  # of settling, between two looks whether the run was told to end
SUMMED: Final = (
    "shots_executed",
    "shots_skipped",
    "shots_erased",
    "instructions",
    "stretched_periods",
    "miss_count",
    "misses_dropped",
    "sink_wait_count",
    "epochs_applied",
    "epochs_held",
    "epochs_discarded",
    "epoch_wait_count",
    "paused_periods",
    "raw_dropped",
    "wall_ns",
    "ran_ns",
)


class SweptBy(NamedTuple):
    """What a run goes through; the first leg is all of it where there is nothing."""

    grid: Grid | None
    adaptive: Adaptive | None
    first: Leg


def swept_by(
    lab: Lab, program: Program, inputs: Mapping[str, float], sweep: Any, *, order: OrderName, shots: int, averages: int
) -> SweptBy:
    """Read what a run's `sweep` is: forms and arrays by name, or a generator. ProgramError for what is neither."""
    generates = callable(sweep) or isinstance(sweep, Generator)
    if not generates and not sweep:
        return SweptBy(None, None, Leg(0, 0, {}, None))
    settings = settings_of(lab)
    if generates:
        if order != "point":
            raise ProgramError(
                f"order = {order!r}: an adaptive sweep plays all shots of a point together: leave the order out"
            )
        if averages > 1:
            raise ProgramError(f"averages = {averages}: an adaptive sweep goes to each point once: give shots")
        adaptive = Adaptive(sweep, program, settings, inputs, shots)
        found = SweptBy(None, adaptive, adaptive.first)
    else:
        grid = grid_of(sweep, program, inputs, order, shots, settings=settings)
        grid = msgspec.structs.replace(grid, averages=averages)
        found = SweptBy(grid, None, next(legs_of(grid)))
    return found


class Ready(NamedTuple):
    """A leg that waits for its kernel."""

    leg: Leg
    armed: Armed
    sequence: ShotSequence  # as the kernel plays it: with a slot for each threshold that is controlled
    bound: Bound
    values: Mapping[str, float]  # of what is held: settings as they were read back
    settle_s: float
    shot_first: int
    stretched_first: int


class Arming:
    """Arms a lab for one leg after another."""

    def __init__(
        self,
        loop: Loop,
        program: Program,
        compiling: Compiling,
        sequence: ShotSequence,
        *,
        controlled: Mapping[str, float],
        reach: Reach | None,
    ) -> None:
        """Sequence: of the first leg, with its reach; controlled: what controlled outputs begin with."""
        self._loop, self._lab, self._program, self._controlled = loop, loop.lab, program, controlled
        self._compiling, self._sequence = compiling, sequence
        self._reach = reach
        self._last: Ready | None = None

    def ready(self, leg: Leg, shots: int, stretched: int) -> Ready:
        """Set, settle and arm. shots: that were played before; stretched: periods by which they were."""
        asked = leg.settings
        values, settle_s = self._loop.dials.set(asked) if asked else ({}, 0.0)
        self._settle(settle_s)
        last = self._last
        if last is None:
            armed = self._loop.arm(self._compiling.pulses, self._reach, sequence=self._sequence, settle_s=settle_s)
        else:
            reach = None if leg.grid == last.leg.grid else reach_of(self._lab, self._program, leg.grid)
            if reach is not None:
                self._reach, self._sequence = reach, self._compiling.in_leg(reach)
            pulses = self._compiling.pulses
            armed = self._loop.again(last.armed, self._sequence, pulses, reach, settle_s=settle_s)
        sequence, bound = bound_to(self._lab, armed.sequence, self._reach, self._controlled)
        held = {name: values.get(name, value) for name, value in leg.asked.items()}
        self._last = Ready(leg, armed, sequence, bound, held, settle_s, shots, stretched)
        return self._last

    def _settle(self, settle_s: float) -> None:
        """Wait until what was set holds; on a twin in virtual time its plant idles instead."""
        if self._lab.twin is not None and self._lab.timing.pacing == "virtual":
            return
        until_s = time.monotonic() + settle_s
        while (left_s := until_s - time.monotonic()) > 0.0 and not self._loop.asked_to_end():
            time.sleep(min(left_s, SLICE_S))


class Walked(NamedTuple):
    """What came of a run's legs."""

    report: kernel.Report  # counts of all legs, the end of the last
    legs: int
    dead_s: float  # wall time between them


class Walk:
    """Keeps what a run's legs come to, and ends the one that plays."""

    def __init__(self) -> None:
        self._kernel: kernel.Kernel | None = None
        self._told = False
        self._reports: list[kernel.Report] = []
        self._buckets: NDArray[Any] | None = None
        self._maximum = 0
        self._ended_s: float | None = None
        self._truth: Truth | None = None
        self._counted: Counter[str] = Counter()
        self.dead_s = 0.0

    def stop(self) -> None:
        """Let the leg that plays be the last, and end at its next shot. From any thread."""
        self._told = True
        if self._kernel is not None:
            self._kernel.stop()

    @property
    def ended(self) -> bool:
        """Whether no further leg is to be played."""
        return self._told or (bool(self._reports) and self._reports[-1].status is not kernel.Status.OK)

    @property
    def stretched(self) -> int:
        """Periods by which shots were stretched, or the run paused."""
        return sum(one.stretched_periods + one.paused_periods for one in self._reports)

    def began(self, loop: kernel.Kernel) -> float:
        """Note that a leg is about to play; return for how long nothing has, in s."""
        self._kernel = loop
        if self._told:
            loop.stop()
        dead_s = 0.0 if self._ended_s is None else time.monotonic() - self._ended_s
        self.dead_s += dead_s
        return dead_s

    def add(self, report: kernel.Report, histogram: Any, truth: Truth | None) -> None:
        """Note how a leg ended. truth: what the plant knows of it."""
        self._ended_s = time.monotonic()
        self._reports.append(report)
        buckets = histogram["buckets"].copy()
        self._buckets = buckets if self._buckets is None else self._buckets + buckets
        self._maximum = max(self._maximum, int(histogram["maximum"]))
        self._truth = truth
        self._counted.update({} if truth is None else truth.counters)

    @property
    def truth(self) -> Truth:
        """What the plant knows: of several legs no populations and no product, since they are not of one state."""
        assert self._truth is not None
        one = self._truth if len(self._reports) == 1 else Truth({}, {})
        return Truth(one.population, dict(self._counted), one.product)

    def total(self) -> Walked:
        """Return what all of it came to."""
        last = self._reports[-1]
        if len(self._reports) > 1:
            assert self._buckets is not None
            counts: dict[str, Any] = {name: sum(getattr(one, name) for one in self._reports) for name in SUMMED}
            last = replace(last, lateness=lateness_of(self._buckets, self._maximum), **counts)
        return Walked(last, len(self._reports), self.dead_s)


def played_of(ready: Ready, lab: Lab, shots: int, **more: Any) -> Played:
    """Return what the kernel is armed with in a leg, as a replay needs it."""
    grid = ready.leg.grid
    return Played(
        ready.sequence,
        ready.armed.image,
        lab.twin.kind if lab.twin is not None else "",
        shots,
        lab.timing.tick_ps,
        ready.armed.seed,
        sweep=ready.bound.sweep,
        axes={axis.name: axis.floats() for axis in grid.axes} if grid else {},
        stretched_first=ready.stretched_first,
        shot_first=ready.shot_first,
        **more,
    )


class Telling:
    """Puts legs on record."""

    def __init__(self, recorder: Recorder, lab: Lab, first: Played) -> None:
        """First: of the run's first leg, which the folder's image is."""
        self._recorder, self._lab, self._last = recorder, lab, to_image(first)

    def leg(self, ready: Ready, shots: int, dead_s: float, epochs: ArmedEpochs | None) -> None:
        """Record and publish that a leg begins."""
        before, self._last = self._last, to_image(played_of(ready, self._lab, shots, epochs=epochs))
        part = to_part(before, self._last)
        body = documents.leg(
            ready.leg.index,
            ready.shot_first,
            shots,
            asked=ready.leg.asked,
            values=ready.values,
            settle_s=ready.settle_s,
            dead_s=dead_s,
        )
        self._recorder.leg(body, part)


def seen_in(
    recorder: Recorder,
    legs: Sequence[PlayedLeg],
    observables: Observables,
    qubits: Mapping[str, QubitCalibration],
    leg: Leg,
) -> Seen:
    """Return what came of a leg that has been played, the last of `legs`, from what is on disk. RunError if not all of it is."""
    assert leg.grid is not None
    rows = rows_of(recorder, leg.shot_first, leg.shot_first + leg.grid.shots)
    estimates = {one.name: one for one in estimates_of(rows, observables, qubits)}
    return Seen(legs[-1].values, estimates, rows, recorder.folder.layout.captures)


def rows_of(recorder: Recorder, first: int, end: int) -> NDArray[Any]:
    """Return the rows of shots that have been played, from disk. RunError if not all of them are there."""
    recorder.until(end)
    record = recorder.folder
    if record.durable_shot < end:
        raise RunError(f"shots {first} to {end - 1} are not on disk whole: the run cannot go on from them")
    return rows_on_disk(record, first, end)


def rows_on_disk(record: RunFolder, first: int, end: int) -> NDArray[Any]:
    """Return the rows of shots that are all on disk, at least one."""
    dtype = record.layout.dtype
    return np.memmap(record.path / "shots.bin", dtype, "r", first * dtype.itemsize, (end - first,))
