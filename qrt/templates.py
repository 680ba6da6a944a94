"""Programs that were compiled, kept by all that they are made of: with other values of its inputs, a program is not compiled again.

The key is the content: the program, the lab, the calibration, the port's limits, and those inputs on whose values the shape of the shot
depends. Inputs that are nothing but angles of turns are left open while compiling (compile.template); where others have other values, the
program is compiled, and kept for these values. A grid is not part of the content: what is swept is an operand from a slot, whatever its
values are. With another grid the schedule alone is proved anew, and where it decides what it decided before, which is all that a grid
can change, the sequence is the one that was written then, with the integration weights of the points at hand. What is
kept is bounded: the least recently used goes first. Programs with an `extern` are kept by the run alone (compiling.py).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from qrt.axes import Grid, to_document
from qrt.compile import (
    Decided,
    Template,
    Written,
    compile_pulses,
    compile_template,
    decided,
    scheduled,
    weighted,
    written,
)
from qrt.errors import ProgramError
from qrt.pulses import lower
from qrt.pulses.inputs import input_values
from qrt.qasm import Program
from qrt.sweeps import Reach
from qrt.types import Calibration, Lab, PortLimits, Pulses, Sequence

KEPT_MAX: Final = 64  # programs
SHAPES_MAX: Final = 16  # ways in which one program's schedule has decided
COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# A program's own turns. A pattern that begins with its letters is found fifty times as fast as one that begins with an edge of a word.
OTHER_TURNS: Final = (re.compile(r"gate(?<=\bgate)\s+r[xyz]\b"), re.compile(r"cal(?:(?<=\bcal)|(?<=\bdefcal))\b"))
TURN: Final = re.compile(r"\s*r[xyz]\s*\(")
DECLARED: Final = re.compile(r"\s*input\s+(float\s*(\[[^\]]*\])?|angle)\s*")


class Asked(NamedTuple):
    """A program with values of all its inputs, and what it is compiled for."""

    program: Program
    inputs: Mapping[str, float]
    lab: Lab
    calibration: Calibration | None  # None: nominal values
    limits: PortLimits
    reach: Reach | None = None  # of inputs that vary from shot to shot
    rounds: bool = False  # durations off the grid, instead of refusing them


class Compiled(NamedTuple):
    """A sequence, and whether it was there already."""

    sequence: Sequence
    hit: bool
    rounded: tuple[str, ...] = ()  # durations that were: what, where, to what
    pulses: Pulses | None = None  # that it is of, where they are kept


class Opened(NamedTuple):
    """A program with some inputs left open."""

    template: Template | None  # None: it cannot be left open
    rounded: tuple[str, ...] = ()


class Shaped(NamedTuple):
    """A program whose operands vary: its pulses, and the sequence of each way in which their schedule was decided, the latest last."""

    pulses: Pulses
    rounded: tuple[str, ...]
    sequences: list[tuple[Decided, Written]]
    proved: OrderedDict[bytes, Written]  # by grid


class Templates:
    """What was compiled. `hits` and `misses` count the calls that compiled nothing, and those that did."""

    def __init__(self) -> None:
        self.hits = self.misses = 0
        self._lock = Lock()  # runs may be prepared on one thread and played on another
        self._kept: OrderedDict[Any, Opened] = OrderedDict()  # left open, by program and what it is compiled for
        self._open: OrderedDict[Any, tuple[str, ...]] = OrderedDict()  # of each program
        self._sequences: OrderedDict[Any, Compiled] = OrderedDict()  # of those that cannot be left open
        self._shaped: OrderedDict[Any, Shaped] = OrderedDict()  # of those that are swept or controlled

    def compiled(self, asked: Asked) -> Compiled:
        """Return the sequence of a program. Raises ProgramError as lowering and compiling do."""
        with self._lock:
            found = self._compiled(asked)
            self.hits, self.misses = self.hits + found.hit, self.misses + (not found.hit)
            return found

    def _compiled(self, asked: Asked) -> Compiled:
        values = input_values(asked.program, asked.inputs, _varied(asked))
        named = _program_key(asked.program)
        free: tuple[str, ...] = ()
        if asked.reach is None:
            if named not in self._open:
                _keep(self._open, named, open_inputs(asked.program))
            free = self._open[named]
        fixed = {name: asked.inputs[name] for name in values if name not in free}
        exact = tuple((name, values[name]) for name in fixed)
        key = (named, _bytes(asked.lab), _bytes(_untimed(asked.calibration)), asked.limits, asked.rounds, exact)
        if asked.reach is not None:
            return self._swept((*key, asked.reach.varied), asked, asked.reach)
        known = key in self._kept
        opened = self._kept[key] if known else _opened(asked._replace(inputs=fixed), free)
        _keep(self._kept, key, opened)
        sequence = None if opened.template is None else opened.template.filled(values)
        if sequence is not None:
            return Compiled(sequence, known, opened.rounded)
        whole = (key, *(values[name] for name in free))
        found = self._sequences.get(whole) or _whole(asked)
        _keep(self._sequences, whole, found._replace(hit=True))
        return found

    def _swept(self, key: Any, asked: Asked, reach: Reach) -> Compiled:
        """Return the sequence of a program that is swept, or controlled, its schedule proved for the values at hand."""
        shaped = self._shaped.get(key) or Shaped(*lowered(asked), [], OrderedDict())
        grid = _grid_bytes(reach.grid)
        if grid in shaped.proved:
            _keep(self._shaped, key, shaped)
            sequence = weighted(shaped.proved[grid], shaped.pulses, reach)
            return Compiled(sequence, True, shaped.rounded, shaped.pulses)
        timeline = scheduled(shaped.pulses, asked.lab, asked.limits, reach)
        shape = decided(timeline)
        found = next((one for other, one in shaped.sequences if other == shape), None)
        hit = found is not None
        if found is None:
            found = written(shaped.pulses, asked.lab, asked.limits, timeline, reach=reach)
            shaped.sequences.append((shape, found))
            del shaped.sequences[:-SHAPES_MAX]
        sequence = weighted(found, shaped.pulses, reach)
        _keep(shaped.proved, grid, found)
        _keep(self._shaped, key, shaped)
        return Compiled(sequence, hit, shaped.rounded, shaped.pulses)


def lowered(asked: Asked, free: tuple[str, ...] = ()) -> tuple[Pulses, tuple[str, ...]]:
    """Return a program's pulses, open where an operand varies or is left `free`, and the durations that were rounded."""
    rounded: list[str] = []
    told = rounded if asked.rounds else None
    pulses = lower(asked.program, asked.lab, asked.calibration, asked.inputs, free or _varied(asked), rounded=told)
    return pulses, tuple(rounded)


def _varied(asked: Asked) -> tuple[str, ...]:
    return () if asked.reach is None else asked.reach.varied


def _whole(asked: Asked) -> Compiled:
    pulses, rounded = lowered(asked)
    return Compiled(compile_pulses(pulses, asked.lab, asked.limits), False, rounded)


def _opened(asked: Asked, free: tuple[str, ...]) -> Opened:
    """Return a program with its free inputs left open, or nothing where more than words depends on them."""
    try:
        pulses, rounded = lowered(asked, free)
        return Opened(compile_template(pulses, asked.lab, asked.limits), rounded)
    except ProgramError:
        return Opened(None)  # with values it may be compiled, or refused with a better reason


def open_inputs(program: Program) -> tuple[str, ...]:
    """Return the inputs that may be left open: real numbers and angles, not rounded to some bits, of which rx, ry and rz turn.

    Wherever else one stands, what is compiled may be another thing at some of its values: U(0, 0, 0) has no pulse. This is seen in the
    text, which is quick, and at worst leaves closed what could be open.
    """
    text = COMMENT.sub(" ", program.text)
    if not text or any(pattern.search(text) for pattern in OTHER_TURNS):
        return ()
    statements = text.replace("{", ";").replace("}", ";").split(";")
    names = [one.name for one in program.inputs if one.kind in {"float", "angle"}]
    return tuple(name for name in names if _only_turns([one for one in statements if name in one], name))


def _only_turns(statements: Iterable[str], name: str) -> bool:
    """Say whether all that is said of a name, but for its declaration, are angles of turns."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    befores = (one[: found.start()] for one in statements for found in word.finditer(one))
    return all(TURN.match(before) or DECLARED.fullmatch(before) for before in befores)


def _program_key(program: Program) -> tuple[Any, ...]:
    """Return what a program is: its text, or the tree that a builder has made; what is kept keeps the tree, and with it its identity."""
    return (program.path, program.text) if program.text else (program.path, _Same(program.tree))


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


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    """Keep a value, as the one that was used last."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > KEPT_MAX:
        kept.popitem(last=False)
