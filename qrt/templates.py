"""Programs that were compiled, kept by all that they are made of: with other values of its inputs, a program is not compiled again.

The key is the content: the program, the lab, the calibration, the port's limits, and those inputs on whose values the shape of the shot
depends. All other inputs are left open while compiling (opened.py): of their values there are only words in the sequence, and the ticks of
its schedule. A grid is not part of the content: what is swept is an operand from a slot, whatever its values are. With another grid the
schedule alone is proved anew, and where it decides what it decided before, which is all that a grid can change, the sequence is the one
that was written then, with the integration weights of the points at hand. What a calibration plays is kept likewise, by its pulses.
What is kept is bounded: the least recently used goes first. Programs with an `extern` are kept by the run alone (compiling.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from qrt.axes import Grid, to_document
from qrt.compile import (
    Decided,
    Written,
    compile_pulses,
    decided,
    scheduled,
    weighted,
    written,
)
from qrt.opened import OPEN, SHAPES_MAX, Asked, Opened
from qrt.parted import lower_along
from qrt.pulses.inputs import input_values
from qrt.qasm import Program
from qrt.qasm.expressions import Value
from qrt.sweeps import Reach
from qrt.types import Calibration, Lab, PortLimits, Pulses, Sequence

KEPT_MAX: Final = 64  # programs
PLAYED_MAX: Final = 256  # of calibrations, which play about a hundred each, and again when they are taken again


class Compiled(NamedTuple):
    """A sequence, and whether it was there already."""

    sequence: Sequence
    hit: bool
    rounded: tuple[str, ...] = ()  # durations that were: what, where, to what
    pulses: Pulses | None = None  # that it is of, where they are kept
    causes: tuple[str, ...] = ()  # inputs for whose other values a program that was there was compiled again


class Shaped(NamedTuple):
    """A program whose operands vary: its pulses, and the sequence of each way in which their schedule was decided, the latest last."""

    pulses: Pulses
    rounded: tuple[str, ...]
    sequences: list[tuple[Decided, Written]]
    proved: OrderedDict[bytes, Written]  # by grid

    def at(self, lab: Lab, limits: PortLimits, reach: Reach | None) -> Compiled:
        """Return its sequence, with the schedule proved for a grid that is new. Raises ProgramError as scheduling and compiling do."""
        grid = _grid_bytes(None if reach is None else reach.grid)
        hit, found = grid in self.proved, self.proved.get(grid)
        if found is None:
            timeline = scheduled(self.pulses, lab, limits, reach)
            shape = decided(timeline)
            found = next((one for other, one in self.sequences if other == shape), None)
            hit = found is not None
            if found is None:
                found = written(self.pulses, lab, limits, timeline, reach=reach)
                self.sequences.append((shape, found))
                del self.sequences[:-SHAPES_MAX]
        sequence = weighted(found, self.pulses, reach)
        _keep(self.proved, grid, found)
        return Compiled(sequence, hit, self.rounded, self.pulses)


class Templates:
    """What was compiled. `hits` and `misses` count the calls that compiled nothing, and those that did."""

    def __init__(self) -> None:
        self.hits = self.misses = 0
        self._lock = Lock()  # runs may be prepared on one thread and played on another
        self._open: OrderedDict[Any, tuple[str, ...]] = OrderedDict()  # inputs that each program can leave open
        self._kept: OrderedDict[Any, Opened] = OrderedDict()  # left open, by program and what it is compiled for
        self._sequences: OrderedDict[Any, Compiled] = OrderedDict()  # of values that cannot be filled in
        self._shaped: OrderedDict[Any, Shaped] = OrderedDict()  # of those that are swept or controlled
        self._played: OrderedDict[Any, Shaped] = OrderedDict()  # pulses of the calibration's own programs
        self._asked: OrderedDict[Any, Mapping[str, Value]] = OrderedDict()  # the values of the inputs, the last time

    def compiled(self, asked: Asked) -> Compiled:
        """Return the sequence of a program. Raises ProgramError as lowering and compiling do."""
        with self._lock:
            values = input_values(asked.program, asked.inputs, _varied(asked))
            calibration = _bytes(_untimed(asked.calibration))
            what = (_program_key(asked.program), _bytes(asked.lab), calibration, asked.limits, asked.rounds)
            if asked.reach is not None:
                found = self._swept((*what, *values.items(), asked.reach.varied), asked, asked.reach)
            else:
                found = self._filled(what, asked, values)
            self.hits, self.misses = self.hits + found.hit, self.misses + (not found.hit)
            return found

    def _filled(self, what: Any, asked: Asked, values: Mapping[str, Value]) -> Compiled:
        """Return the sequence of a program whose inputs are given: filled in, where that can be done."""
        free = self._open.get(what[0])
        if free is None:
            free = tuple(one.name for one in asked.program.inputs if one.kind in OPEN)
        last = self._asked.get(what, values)
        opened = self._kept.get(_key(what, values, free)) or Opened(asked, free)
        filled = opened.filled(values)
        if filled is not None:
            found = Compiled(filled[0], filled[1], opened.rounded)
        else:
            whole = (what, tuple(values.items()))
            found = self._sequences.get(whole) or _whole(asked)
            _keep(self._sequences, whole, found._replace(hit=True))
        _keep(self._open, what[0], opened.free)
        _keep(self._kept, _key(what, values, opened.free), opened)
        _keep(self._asked, what, values)
        return found if found.hit else found._replace(causes=_causes(last, values, opened.free))

    def _swept(self, key: Any, asked: Asked, reach: Reach) -> Compiled:
        """Return the sequence of a program that is swept, or controlled, its schedule proved for the values at hand."""
        shaped = self._shaped.get(key) or Shaped(*lowered(asked), [], OrderedDict())
        found = shaped.at(asked.lab, asked.limits, reach)
        _keep(self._shaped, key, shaped)
        return found

    def played(self, pulses: Pulses, lab: Lab, limits: PortLimits, reach: Reach | None) -> Compiled:
        """Return the sequence of pulses that are no program's as it stands. Raises ProgramError as compiling does."""
        key = (_pulses_key(pulses), _bytes(lab), limits, None if reach is None else reach.varied)
        with self._lock:
            shaped = self._played.get(key) or Shaped(pulses, (), [], OrderedDict())
            found = shaped.at(lab, limits, reach)
            _keep(self._played, key, shaped, PLAYED_MAX)
            return found


def lowered(asked: Asked) -> tuple[Pulses, tuple[str, ...]]:
    """Return a program's pulses, open where an operand varies, and the durations that were rounded."""
    rounded: list[str] = []
    told = rounded if asked.rounds else None
    pulses = lower_along(asked.program, asked.lab, asked.calibration, asked.inputs, asked.reach, rounded=told)
    return pulses, tuple(rounded)


def _varied(asked: Asked) -> tuple[str, ...]:
    return () if asked.reach is None else asked.reach.varied


def _whole(asked: Asked) -> Compiled:
    pulses, rounded = lowered(asked)
    return Compiled(compile_pulses(pulses, asked.lab, asked.limits), False, rounded)


def _key(what: Any, values: Mapping[str, Value], free: Collection[str]) -> Any:
    """Return under what a program is kept whose other inputs have these values."""
    return what, free, tuple((name, value) for name, value in values.items() if name not in free)


def _causes(last: Mapping[str, Value], values: Mapping[str, Value], free: Collection[str]) -> tuple[str, ...]:
    """Return the inputs whose other values asked for compiling: of those that have others, the ones that cannot be left open, if any."""
    others = [name for name, value in values.items() if last[name] != value]
    return tuple([name for name in others if name not in free] or others)


def _program_key(program: Program) -> tuple[Any, ...]:
    """Return what a program is: its text, or the tree that a builder has made; what is kept keeps the tree, and with it its identity."""
    return (program.path, program.text) if program.text else (program.path, _Same(program.tree))


def _pulses_key(pulses: Pulses) -> tuple[Any, ...]:
    """Return what pulses are, as values that are equal where they are."""
    envelopes = tuple((name, one.tobytes()) for name, one in pulses.envelopes.items())
    weights = tuple(
        (
            name,
            one.threshold,
            one.qubit,
            one.name,
            samples.tobytes() if isinstance(samples, np.ndarray) else _Same(samples),
        )
        for name, one in pulses.weights.items()
        for samples in (one.samples,)
    )
    tables = (tuple(pulses.blocks.items()), tuple(pulses.frames.items()), envelopes, weights)
    rest = (pulses.bits, pulses.period_ticks, pulses.variables, pulses.outputs, pulses.output_kinds, pulses.stretch_max)
    return (*tables, *rest)


class _Same:
    """An object that equals only itself."""

    def __init__(self, one: object) -> None:
        self.one = one

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.one is other.one

    def __hash__(self) -> int:
        return id(self.one)


def _untimed(calibration: Calibration | None) -> Calibration | None:
    """Return a calibration without the time at which it was taken, which no pulse depends on."""
    return None if calibration is None else msgspec.structs.replace(calibration, taken_ns=0)


def _grid_bytes(grid: Grid | None) -> bytes:
    """Return a grid as bytes that are equal where it is. Bounds of controllers are the lab's."""
    return b"" if grid is None else msgspec.json.encode(to_document(grid))


def _bytes(value: Any) -> bytes:
    """Return a lab or a calibration as bytes that are equal where it is."""
    return msgspec.msgpack.encode(value, enc_hook=_array)


def _array(value: Any) -> Any:
    assert isinstance(value, np.ndarray)
    return [value.dtype.str, value.shape, value.tobytes()]


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int = KEPT_MAX) -> None:
    """Keep a value, as the one that was used last."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
