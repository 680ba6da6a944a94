"""From a lab's controllers and a compiled program to what the batch process is asked for, and where its epochs go.

What can be told without a law is checked here: that a bit is one of the program's, that an output has a value to begin with, and
that this lies within its bounds. A law sees the captures of its controller's qubit as its `own`: of the qubit whose threshold it sets,
else of the one that its bit is read from; a controller that names neither has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from threading import Condition
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np

from qrt import kernel
from qrt.axes import Grid
from qrt.batch import Asked, EpochsTo, Points
from qrt.batch.handle import READY_TIMEOUT_S
from qrt.batch.messages import SOURCE_BYTES_MAX
from qrt.compile import SLOTS_MAX
from qrt.config.controlled import THRESHOLD
from qrt.encode import Encode, words
from qrt.errors import ConfigError, Problem, ProgramError, RunError, nearest
from qrt.qasm import Program
from qrt.slots import Bound, bind
from qrt.sweeps import Reach
from qrt.types import Calibration, Controller, Lab, Sequence

TOLD_S: Final = (
    10.0  # what is in force was told before it took effect: a thread that is to note it is at most a little behind
)
ENTRIES_BESIDE_DELAY: Final = 4  # epochs that the writer may be ahead, beside those that wait for their shot

NOTHING_BOUND: Final = Bound(kernel.NO_SWEEP, np.zeros(0, np.int64), Encode())


def law_sources(lab: Lab) -> dict[str, bytes]:
    """Return what the files hold that controllers name, by controller. Read once: all processes of a run, and its record, have the same.

    One that cannot be read is left out: the batch process says so, with what else is wrong with laws. ConfigError for too much.
    """
    found = {}
    for name, one in lab.controllers.items():
        if one.law.endswith(".py"):
            with suppress(OSError):
                found[name] = Path(one.law).read_bytes()
    if (size := sum(map(len, found.values()))) > SOURCE_BYTES_MAX:
        longest = max(found, key=lambda name: len(found[name]))
        raise ConfigError(
            f"controllers.{longest}.law: the files of laws hold {size} bytes together; {SOURCE_BYTES_MAX} are possible: "
            "make a package of what is larger, with an entry point of group qrt.controllers"
        )
    return found


def asked_for(lab: Lab, sequence: Sequence, sources: Mapping[str, bytes]) -> tuple[Asked, ...]:
    """Return the lab's controllers as the batch process is asked for them. ConfigError for a bit that the program has not."""
    problems = [
        Problem(
            ("controllers", name, "bit"), f"{one.bit!r} is no bit of the program; {nearest(one.bit, sequence.bits)}"
        )
        for name, one in lab.controllers.items()
        if one.bit is not None and one.bit not in sequence.bits
    ]
    if problems:
        raise ConfigError("\n".join(f"{'.'.join(one.path)}: {one.text}" for one in problems))
    return tuple(_asked(name, one, sequence, sources.get(name)) for name, one in lab.controllers.items())


def begin_with(lab: Lab, inputs: Mapping[str, float], calibration: Calibration | None) -> dict[str, float]:
    """Return the value of each controlled output before the first update; without a calibration those of inputs alone.

    ProgramError for an input without one, ConfigError for one out of its controller's bounds.
    """
    values = {}
    for name, one in lab.controllers.items():
        value = _beginning(name, one, inputs, calibration)
        if value is None:
            continue
        for word, bound in (("minimum", one.minimum), ("maximum", one.maximum)):
            if bound is not None and (value < bound if word == "minimum" else value > bound):
                raise ConfigError(f"controllers.{name}.{word}: {bound:g}, but {one.output} begins with {value:g}")
        values[one.output] = value
    return values


def reach_of(lab: Lab, program: Program, grid: Grid | None) -> Reach | None:
    """Return what varies from shot to shot, for the schedule to be proved with: swept inputs, and those that controllers set."""
    inputs = [one.name for one in program.inputs]
    for name, one in lab.controllers.items():
        if one.output not in inputs and not one.output.startswith(THRESHOLD):
            raise ProgramError(
                f"controllers.{name}.output: the program has no input {one.output!r}; {nearest(one.output, inputs)}"
            )
        if grid is not None and one.output in grid.names:
            raise ProgramError(
                f"input {one.output!r} is swept, and controller {name!r} sets it; leave one of the two out"
            )
    bounds = {
        one.output: (one.minimum, one.maximum)
        for one in lab.controllers.values()
        if not one.output.startswith(THRESHOLD)
    }
    return Reach(program, grid, bounds) if grid is not None or bounds else None


def bound_to(lab: Lab, sequence: Sequence, reach: Reach | None, values: Mapping[str, float]) -> tuple[Sequence, Bound]:
    """Return the sequence with a slot for each threshold that is controlled, and what the kernel needs of all slots.

    values: what the controlled outputs begin with.
    """
    bound = NOTHING_BOUND if reach is None else bind(sequence.parameters, reach, values)
    slots, captures, encode = list(bound.sweep.slots), sequence.captures.copy(), bound.encode
    for one in lab.controllers.values():
        if not one.output.startswith(THRESHOLD):
            continue
        qubit = one.output.removeprefix(THRESHOLD)
        captures["threshold_slot"][[slot.qubit == qubit for slot in sequence.slots]] = len(slots)
        slots.append(np.array((len(encode.units), 0, 0, kernel.Rule.EPOCH), kernel.SLOT_DTYPE))
        encode = Encode((*encode.units, "threshold"), (*encode.offsets, "0"), (*encode.factors, {one.output: "1"}))
    if len(slots) > SLOTS_MAX or len(encode.units) > kernel.EPOCH_VALUES_MAX:
        raise ProgramError(
            f"{len(slots)} operands vary from shot to shot, thresholds among them; {SLOTS_MAX} are possible"
        )
    sweep = replace(bound.sweep, slots=np.array(slots, kernel.SLOT_DTYPE))
    bound = Bound(sweep, words(encode, values), encode)
    return msgspec.structs.replace(sequence, captures=captures), bound


def points_of(sweep: kernel.Sweep, leg_shots: int = 0) -> Points:
    """Return which point of a sweep each shot is at. leg_shots: of a run whose settings change."""
    return Points(prod(sweep.points), sweep.shots_per_point if sweep.order is kernel.Order.POINT else 1, leg_shots)


def epochs_to(lab: Lab, values: Mapping[str, float], bound: Bound, *, abort: bool) -> EpochsTo:
    """Return what the batch process must know of epochs. abort: whether a refused update ends the run."""
    return EpochsTo(lab.control.delay_batches, abort, msgspec.to_builtins(bound.encode), dict(values))


class EpochsBy(NamedTuple):
    """How epochs come from the batch process to the kernel."""

    ring: kernel.Ring
    kernel: kernel.Epochs
    to: EpochsTo

    @classmethod
    def create(cls, stack: ExitStack, lab: Lab, values: Mapping[str, float], bound: Bound) -> Self:
        """Return the way, with a ring that has room for every epoch that can be under way; `stack` closes it.

        The kernel waits for an epoch as long as the batch process may take to be replaced, time and again.
        """
        control = lab.control
        first = bound.epoch_values
        slots = 1 << (control.delay_batches + ENTRIES_BESIDE_DELAY - 1).bit_length()
        ring = stack.enter_context(kernel.Ring.create(kernel.epoch_dtype(len(first)).itemsize, slots, 1))
        wait_s = (control.deadline_s + READY_TIMEOUT_S) * (1 + control.restarts_max)
        epochs = kernel.Epochs(ring, first, control.delay_batches, control.batch_shots, wait_s)
        return cls(ring, epochs, epochs_to(lab, values, bound, abort=control.policy == "abort"))


class Told:
    """What epochs came to, as the batch process tells it: what the next leg of a run begins with. For two threads.

    Epochs go on across the time between two legs: the leg after begins with what the one before ended with, and what a batch of that one
    gives takes effect in this one, at the shot at which it would have. A law sees which point its shots were at, numbered on over the legs.
    """

    def __init__(self, epochs: kernel.Epochs, encode: Encode) -> None:
        """Epochs: of the first leg; encode: how its words are made."""
        self._epochs, self._encode = epochs, encode
        self._words: dict[int, tuple[int, ...]] = {epochs.first: tuple(epochs.values.tolist())}
        self._came = Condition()

    def note(self, document: Mapping[str, Any]) -> None:
        """Take the document of an epoch."""
        with self._came:
            self._words[document["epoch"]] = tuple(document["words"])
            self._came.notify_all()

    def after(self, number: int, bound: Bound) -> kernel.Epochs:
        """Return what a leg begins with if this epoch is in force; bound: what the leg is armed with.

        RunError where the words of epochs mean something else in it, or nothing comes from the batch process any more.
        """
        if bound.encode != self._encode:
            raise RunError(
                "the sequence of this leg takes the controlled values in another order than that of the first one"
            )
        with self._came:
            if not self._came.wait_for(lambda: number in self._words, TOLD_S):
                raise RunError(
                    f"epoch {number} was in force, and the batch process did not tell of it within {TOLD_S:g} s"
                )
            self._words = {one: words for one, words in self._words.items() if one >= number}
            return replace(self._epochs, values=np.array(self._words[number], np.int64), first=number)


def _asked(name: str, one: Controller, sequence: Sequence, source: bytes | None) -> Asked:
    """Return one controller with its names resolved."""
    bit = None if one.bit is None else sequence.bits.index(one.bit)
    qubits = {slot.qubit for slot in sequence.slots if bit is None or slot.bit == bit}
    if one.output.startswith(THRESHOLD):
        qubits = {one.output.removeprefix(THRESHOLD)}
    return Asked(
        name=name,
        law=str(Path(one.law).resolve()) if one.law.endswith(".py") else one.law,
        output=one.output,
        bit=bit,
        own=tuple(slot.qubit in qubits for slot in sequence.slots),
        setpoint=one.setpoint,
        minimum=one.minimum,
        maximum=one.maximum,
        every=one.every,
        parameters=one.parameters,
        source=source,
    )


def _beginning(
    name: str, one: Controller, inputs: Mapping[str, float], calibration: Calibration | None
) -> float | None:
    """Return what an output begins with; None for a threshold that is not calibrated yet."""
    if one.output.startswith(THRESHOLD):
        qubit = one.output.removeprefix(THRESHOLD)
        return None if calibration is None else float(calibration.qubits[qubit].threshold)
    if one.output not in inputs:
        raise ProgramError(
            f"input {one.output!r} is set by controller {name!r} and has no value to begin with; "
            f"give one: --input {one.output}=0.5"
        )
    return float(inputs[one.output])
