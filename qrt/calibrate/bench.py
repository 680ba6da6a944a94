"""The bench of a calibration: programs in, what each qubit's readout saw out.

`Bench.scan` takes a program and the values that its inputs go through; where the loop can play a sweep, all points are one arm of it, in
which the kernel's slots change from point to point; elsewhere each point is an arm of its own. `Bench.each` is for what no slot can
change: other texts, or other numbers of the calibration. Programs come as text in which QUBITS stands for how many qubits are calibrated,
all at once.

Two things are done to a program before it is played. Where qubits have pulses of different lengths, the shorter ones wait in front, not
behind: what a readout sees must not depend on a neighbour's pulses. And a shot is followed by a rest in which every qubit relaxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise, product
from math import ceil

import msgspec
import numpy as np

from qrt.axes import Grid
from qrt.calibrate.fit import Array
from qrt.calibrate.sequences import DELAY_GRID_NS, PERIOD_GRID_NS, PERIOD_T1, Qubits, whole_ticks
from qrt.calibrate.signals import Points, points_of, pooled, stacked
from qrt.grids import grid_of
from qrt.pulses import lower
from qrt.qasm import Program, parse_program
from qrt.sweeps import MeasureSwept, Reach
from qrt.types import (
    Calibration,
    Capture,
    CouplerCalibration,
    Lab,
    Measure,
    Measured,
    Op,
    Parameter,
    Play,
    Pulses,
    Sync,
    Wait,
)

PATH = "the calibration's program"
QUBITS = "QUBITS"


class Bench(msgspec.Struct, frozen=True):
    """What every step is given: the lab as configured, the loop to measure with, and whom to tell."""

    lab: Lab
    measure: Measure
    tell: Callable[[str], None]
    swept: MeasureSwept | None = None  # None: a loop that plays the same shot again and again
    couplers: Mapping[str, CouplerCalibration] = {}  # what is known of those that join the qubits at hand

    def knowing(self, couplers: Mapping[str, CouplerCalibration]) -> Bench:
        """Return the bench with what is known of couplers now."""
        return msgspec.structs.replace(self, couplers=couplers)

    def scan(
        self, text: str, qubits: Qubits, shots: int, sweep: Mapping[str, Sequence[float] | Array]
    ) -> dict[str, Points]:
        """Return the points of every qubit on the product of the inputs' values, the last input fastest; `shots` at each."""
        program = program_for(text, len(qubits))
        grid = grid_of(sweep, program, {}, "point", shots)
        if self.swept is None:
            arms = (self._arm(program, qubits, shots, inputs) for inputs in _places(grid))
            return stacked(list(arms))
        reach = Reach(program, grid)
        pulses = self.pulses(program, qubits, {}, reach)
        measured = self.swept(pulses, grid.shots, reach)
        parts = (measured.rows[k * shots : (k + 1) * shots] for k in range(grid.points))
        return stacked([points_of(Measured(part, {}), pulses, qubits) for part in parts])

    def repeated(
        self,
        text: str,
        qubits: Qubits,
        shots: int,
        sweep: Mapping[str, Sequence[float] | Array],
        *,
        enough: Callable[[Points], bool],
        most: int,
    ) -> dict[str, Points]:
        """Return the points of a scan that is played until those of every qubit are good enough, or `most` times."""
        scans = [self.scan(text, qubits, shots, sweep)]
        while len(scans) < most and not all(map(enough, pooled(scans).values())):
            scans.append(self.scan(text, qubits, shots, sweep))
        return pooled(scans)

    def each(self, shots_of: Iterable[tuple[str, Qubits]], shots: int) -> dict[str, Points]:
        """Return the points of every qubit over (program, numbers of the qubits), one arm for each."""
        return stacked([self._arm(program_for(text, len(qubits)), qubits, shots, {}) for text, qubits in shots_of])

    def pulses(self, program: Program, qubits: Qubits, inputs: Mapping[str, float], reach: Reach | None) -> Pulses:
        """Return one shot of a program as it is played."""
        found = Calibration(lab_hash="", taken_ns=0, seed=0, qubits=dict(qubits), couplers=dict(self.couplers))
        among = {name: one for name, one in self.lab.couplers.items() if qubits.keys() >= set(one.qubits)}
        lab = msgspec.structs.replace(self.lab, qubits={name: self.lab.qubits[name] for name in qubits}, couplers=among)
        return rested(lower(program, lab, found, inputs, reach.varied if reach else ()), lab, qubits, reach)

    def _arm(self, program: Program, qubits: Qubits, shots: int, inputs: Mapping[str, float]) -> dict[str, Points]:
        pulses = self.pulses(program, qubits, inputs, None)
        return points_of(self.measure(pulses, shots), pulses, qubits)


@lru_cache(maxsize=256)
def program_for(text: str, qubit_count: int) -> Program:
    """Return the program of a text on so many qubits; every calibration plays the same texts, and parsing them is what takes long."""
    return parse_program(text.replace(QUBITS, str(qubit_count)), PATH)


def _places(grid: Grid) -> Iterator[dict[str, float]]:
    """Yield the inputs of every point, in the grid's order."""
    for values in product(*(axis.floats().tolist() for axis in grid.axes)):
        yield {axis.name: value for axis, value in zip(grid.axes, values, strict=True)}


def seconds(lab: Lab, ticks: Sequence[int]) -> Array:
    """Return durations in seconds, each the decimal that is exactly so many ticks."""
    return np.array([float(f"{tick * lab.timing.tick_ps}e-12") for tick in ticks])


def delays_to(lab: Lab, longest_s: float, count: int) -> Array:
    """Return `count` evenly spaced delays from 0 to about as long, in seconds, on the grid that suits every port."""
    grid = whole_ticks(lab, DELAY_GRID_NS)
    step = grid * max(round(longest_s / (lab.timing.tick_ps * 1e-12) / (count - 1) / grid), 1)
    return seconds(lab, [step * k for k in range(count)])


def rested(pulses: Pulses, lab: Lab, qubits: Qubits, reach: Reach | None) -> Pulses:
    """Return the shot with waits in front of shorter pulses, and a period that lets every qubit relax.

    Between two syncs the blocks of qubits end together: the shorter ones wait first. Readouts start together, so what holds one is left
    alone, and so are frames of the program's own that have their own time.
    """

    def ticks(op: Op) -> int:
        match op:
            case Play(envelope=envelope):
                return len(pulses.envelopes[envelope]) * lab.timing.sample_ticks
            case Wait(ticks=int(given)):
                return given
            case Wait(ticks=Parameter() as varied):
                assert reach is not None
                return reach.span(((reach.slot(varied), 1),))[1]  # longest; every block has the same
        return 0

    stages = {name: _stages(pulses.blocks[name]) for name in qubits if name in pulses.blocks}
    longest = [max(sum(map(ticks, ops)) for ops in stage) for stage in zip(*stages.values(), strict=True)]
    late = {
        name: tuple(
            op for part, most in zip(parts, longest, strict=True) for op in _late(part, most - sum(map(ticks, part)))
        )
        for name, parts in stages.items()
    }
    beside = max((sum(map(ticks, ops)) for name, ops in pulses.blocks.items() if name not in stages), default=0)
    relax_s = PERIOD_T1 * max(max(qubits[name].t1_s.value, lab.qubits[name].t1_ns * 1e-9) for name in qubits)
    grid = whole_ticks(lab, PERIOD_GRID_NS)
    period = ceil((sum(longest) + beside + relax_s / (lab.timing.tick_ps * 1e-12)) / grid) * grid
    return msgspec.structs.replace(pulses, blocks={**pulses.blocks, **late}, period_ticks=period)


def _stages(ops: Sequence[Op]) -> list[tuple[Op, ...]]:
    """Return a block cut before each sync."""
    cuts = [0, *(index for index, op in enumerate(ops) if isinstance(op, Sync)), len(ops)]
    return [tuple(ops[a:b]) for a, b in pairwise(cuts)]


def _late(stage: tuple[Op, ...], early_ticks: int) -> tuple[Op, ...]:
    """Return a stage that begins so much later, behind its sync; one with a readout as it is."""
    if not early_ticks or any(isinstance(op, Capture) for op in stage):
        return stage
    sync = sum(isinstance(op, Sync) for op in stage[:1])
    return (*stage[:sync], Wait(early_ticks), *stage[sync:])
