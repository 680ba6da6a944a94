"""Pulses to the armed sequence: the kernel's arrays, and the segments that the instruments must hold.

Most operations become one instruction. A play is followed by a wait of its length, since the kernel's own play does not move the
cursor; waits that follow one another are one. A branch reads its bits, waits until the tick that the schedule has found for it, and
jumps; both sides end by waiting until the tick at which they join. So every tick of the shot is the one that `qrt check`
printed, and if the hardware ever disagreed, the kernel would stop with an underflow instead of playing late. Nothing loops, so
the number of instructions bounds what a shot executes.

An operand that varies from shot to shot is loaded from its slot right before the instruction that uses it, always into the same
register; operands that are always equal share a slot. At a tick that varied waits move there is no absolute wait: a branch decides when
its outcomes are ready, and its sides and boxes are padded by what the schedule has proved to lead to the same tick: a constant, or
one and a sum of varied operands.

A line's index is its place in the lab's file, and the one digitizer is channel 0. Registers: 0 holds what a branch decides by, 1
the bit that was read last, 2 the constant that it is compared with or the sum that pads, 3 a varied operand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import units
from qrt.classical import bits_of, outcome_of
from qrt.errors import ProgramError
from qrt.kernel import CAPTURE_DTYPE, FRAME_DTYPE, INSTRUCTION_DTYPE, SLOT_NONE
from qrt.timeline import Pad, Reach, Step, Timeline, schedule
from qrt.types import (
    NOWHERE,
    Bits,
    Box,
    Capture,
    CaptureSlot,
    Computed,
    If,
    Lab,
    Op,
    Parameter,
    Play,
    PortLimits,
    Pulses,
    Segment,
    Sequence,
    SetFrequency,
    ShiftPhase,
    Source,
    Sync,
    Wait,
    WriteBit,
)

# As qrt_core.h numbers them; tests compare with the header.
END, PLAY, CAPTURE, WAIT, WAIT_UNTIL, SYNC, SET_FREQUENCY, SHIFT_PHASE, READ, WRITE, ALU, BRANCH = range(12)
LOAD, PLAY_REGISTER, WAIT_REGISTER, SET_FREQUENCY_REGISTER, SHIFT_PHASE_REGISTER = 12, 17, 18, 19, 20
ALU_SET, ALU_ADD, ALU_SUB, ALU_MULTIPLY = 0, 2, 3, 9
IF_ALWAYS, IF_ZERO, IF_NONZERO = 0, 1, 2
SEQUENCERS_MAX, FRAMES_MAX, BITS_MAX, CAPTURES_MAX, SLOTS_MAX = 16, 64, 64, 64, 64
BIT_NONE = 255
PEAK = 32767  # counts of an envelope's 1.0: full scale, symmetric
DECIDES, LAST, CONSTANT, VARIED = 0, 1, 2, 3  # registers


class _Instruction(NamedTuple):
    op: int
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0


def _scheduled(pulses: Pulses, lab: Lab, limits: PortLimits, reach: Reach | None) -> Timeline:
    """Return the schedule; where only the mailbox's feedback latency does not fit, the ProgramError says so, and what to do."""
    try:
        return schedule(pulses, limits, reach)
    except ProgramError as error:
        if lab.mailbox is None or not _fits(pulses, msgspec.structs.replace(limits, feedback_latency_ticks=0), reach):
            raise
        raise ProgramError(
            f"{error}; this lab plays through its mailbox, which needs {lab.mailbox.feedback_latency_ns:g} ns from the last sample of a "
            "capture to the first tick of a branch (mailbox.feedback_latency_ns): raise timing.shot_period_ns, take the branch out of the "
            "shot, or use a port with a fast path: leave [mailbox] out"
        ) from error


def _fits(pulses: Pulses, limits: PortLimits, reach: Reach | None) -> bool:
    """Return whether a port with these limits could play it."""
    try:
        schedule(pulses, limits, reach)
    except ProgramError:
        return False
    return True


def compile_pulses(pulses: Pulses, lab: Lab, limits: PortLimits, reach: Reach | None = None) -> Sequence:
    """Return the sequence of one shot for a port with these limits; `reach`: what varied operands can be, where there are any.

    Raises ProgramError where the schedule does not hold, or the kernel or the port cannot take so much of something.
    """
    timeline = _scheduled(pulses, lab, limits, reach)
    _check_counts(pulses)
    segments = _Segments(pulses, lab, limits)
    writer = _Writer(pulses, lab, timeline, segments, limits.sample_ticks, reach=reach)
    entries = []
    for name, ops in pulses.blocks.items():
        entries.append(len(writer.instructions))
        writer.block(name, ops, ())
        writer.add(_Instruction(END), NOWHERE)
    lines = tuple(lab.lines)
    frames = np.zeros(len(pulses.frames), FRAME_DTYPE)
    for row, (name, frame) in zip(frames, pulses.frames.items(), strict=True):
        row["frequency"] = _frequency_word(frame.frequency_hz, name, lab, NOWHERE)
        row["phase"] = units.phase_word(frame.phase_rad) % units.TURN
        row["line"] = lines.index(frame.line)
    if len(writer.slots) > CAPTURES_MAX:
        raise ProgramError(f"{writer.capture_sources[CAPTURES_MAX].where}more than {CAPTURES_MAX} captures in one shot")
    captures, weights = _capture_specs(pulses, writer)
    return Sequence(
        instructions=np.array(writer.instructions, INSTRUCTION_DTYPE),
        entries=np.array(entries, np.uint32),
        frames=frames,
        captures=captures,
        weights=weights,
        budget=len(writer.instructions),
        period_ticks=pulses.period_ticks,
        segments=segments.memory(),
        lines=lines,
        sequencers=tuple(pulses.blocks),
        bits=pulses.bits,
        slots=tuple(writer.slots),
        source_lines=tuple(writer.source_lines),
        parameters=tuple(writer.parameters),
    )


def _check_counts(pulses: Pulses) -> None:
    """Raise ProgramError for more sequencers, frames or bits than the kernel has."""
    for names, count_max, noun, advice in (
        (tuple(pulses.blocks), SEQUENCERS_MAX, "sequencers", "use fewer qubits, each needs one"),
        (tuple(pulses.frames), FRAMES_MAX, "frames", "use fewer qubits, each needs two"),
        (pulses.bits, BITS_MAX, "bits", "use fewer; a qubit that is reset needs one more"),
    ):
        if len(names) > count_max:
            beyond = set(range(count_max, len(names)) if names is pulses.bits else names[count_max:])
            raise ProgramError(
                f"{_first_use(pulses, beyond)}{len(names)} {noun}; the kernel has {count_max}: {advice}. There are {', '.join(names)}"
            )


def _first_use(pulses: Pulses, beyond: set[Any]) -> str:
    """Return where the program first uses one of these names or bits; its beginning if it does not, nothing for pulses of no program."""
    named = [
        (op.source, uses) for name, ops in pulses.blocks.items() for op, uses in _uses(name, ops) if op.source.line
    ]
    at = next((source.where for source, uses in named if beyond & uses), "")
    return at or (f"{named[0][0].path}:1:1: " if named else "")


def _uses(name: str, ops: Iterable[Op]) -> Iterator[tuple[Op, set[Any]]]:
    """Yield a sequencer's operations and those inside them, each with the sequencer, the frame and the bits that it uses."""
    for op in ops:
        match op:
            case Play(frame=frame) | ShiftPhase(frame=frame) | SetFrequency(frame=frame):
                yield op, {name, frame}
            case Capture(bit=bit) | WriteBit(bit=bit):
                yield op, {name, bit}
            case If(condition=condition):
                yield op, {name, *bits_of(condition)}
                yield from _uses(name, (*op.then, *op.otherwise))
            case Box(ops=inside):
                yield op, {name}
                yield from _uses(name, inside)
            case _:
                yield op, {name}


def _frequency_word(frequency_hz: float, frame: str, lab: Lab, source: Source) -> int:
    """Return an NCO's increment. Raises ProgramError beyond half a turn per tick."""
    try:
        return units.signed64(units.frequency_word(frequency_hz, lab.timing.tick_ps))
    except ValueError as error:
        raise ProgramError(f"{source.where}frame {frame}: {error}") from error


def _capture_specs(pulses: Pulses, writer: _Writer) -> tuple[NDArray[np.void], NDArray[np.int16]]:
    """Return the capture specs and the one array of all weights, each set of weights once."""
    offsets: dict[str, int] = {}
    pieces: list[NDArray[np.int16]] = []
    specs = np.zeros(len(writer.captures), CAPTURE_DTYPE)
    for row, capture in zip(specs, writer.captures, strict=True):
        weights = pulses.weights[capture.weights]
        assert weights.samples.dtype == np.int16
        assert weights.samples.min(initial=0) >= -PEAK  # a sum of two products must fit in 32 bits
        if capture.weights not in offsets:
            offsets[capture.weights] = sum(piece.size for piece in pieces)
            pieces.append(weights.samples.reshape(-1))
        row["threshold"] = weights.threshold
        row["sample_count"] = weights.samples.shape[1]
        row["weights_offset"] = offsets[capture.weights]
        row["bit"] = BIT_NONE if capture.bit is None else capture.bit
        row["raw"] = capture.raw
        row["threshold_slot"] = SLOT_NONE
    return specs, np.concatenate([*pieces, np.zeros(0, np.int16)])


class _Segments:
    """The segment memory of each line: every envelope that is played there, once."""

    def __init__(self, pulses: Pulses, lab: Lab, limits: PortLimits) -> None:
        self._pulses, self._limits = pulses, limits
        self._index: dict[tuple[str, bytes], int] = {}
        self._memory: dict[str, list[Segment]] = {name: [] for name in lab.lines}
        self._samples = {name: _int16(samples) for name, samples in pulses.envelopes.items()}

    def index(self, op: Play) -> int:
        """Return the segment of an envelope on the frame's line. Raises ProgramError if the memory is full."""
        line = self._pulses.frames[op.frame].line
        segment = self._samples[op.envelope]
        key = (line, segment.i.tobytes() + segment.q.tobytes())
        if key not in self._index:
            memory = self._memory[line]
            self._index[key] = len(memory)
            memory.append(segment)
            total = sum(len(one.i) for one in memory)
            if len(memory) > self._limits.segment_count_max or total > self._limits.segment_samples_max:
                raise ProgramError(
                    f"{op.source.where}line {line!r} needs {len(memory)} segments of {total} samples in all; the port has room for "
                    f"{self._limits.segment_count_max} segments and {self._limits.segment_samples_max} samples"
                )
        return self._index[key]

    def memory(self) -> Mapping[str, tuple[Segment, ...]]:
        """Return the segments of each line that plays any."""
        return {name: tuple(segments) for name, segments in self._memory.items() if segments}


def _int16(samples: NDArray[np.complex128]) -> Segment:
    """Return an envelope as DAC counts, rounded to nearest."""
    assert samples.size > 0
    assert np.abs(samples.real).max() <= 1.0
    assert np.abs(samples.imag).max() <= 1.0
    return Segment(np.rint(samples.real * PEAK).astype(np.int16), np.rint(samples.imag * PEAK).astype(np.int16))


class _Writer:
    """Writes instructions, in the order of blocks; capture slots are numbered in the same order."""

    def __init__(
        self,
        pulses: Pulses,
        lab: Lab,
        timeline: Timeline,
        segments: _Segments,
        sample_ticks: int,
        *,
        reach: Reach | None,
    ) -> None:
        self._pulses, self._lab, self._timeline, self._segments, self._reach = pulses, lab, timeline, segments, reach
        self._slots: dict[int, int] = {}  # the reach's number of a varied operand -> slot
        self._frames = {name: index for index, name in enumerate(pulses.frames)}
        self._sequencers = {name: index for index, name in enumerate(pulses.blocks)}
        self._sample_ticks = sample_ticks
        self._target = 0  # the last instruction that something jumps to
        self.instructions: list[_Instruction] = []
        self.source_lines: list[int] = []
        self.captures: list[Capture] = []
        self.capture_sources: list[Source] = []
        self.slots: list[CaptureSlot] = []
        self.parameters: list[Parameter] = []

    def add(self, instruction: _Instruction, source: Source) -> int:
        """Append an instruction; return its index."""
        self.instructions.append(instruction)
        self.source_lines.append(source.line)
        return len(self.instructions) - 1

    def block(self, name: str, ops: Iterable[Op], path: tuple[int, ...]) -> None:
        """Write the operations of one block of a sequencer."""
        for index, op in enumerate(ops):
            self._op(Step(name, (*path, index)), op)

    def _op(self, step: Step, op: Op) -> None:
        """Write one operation."""
        match op:
            case Play():
                kind, amplitude = PLAY_REGISTER, VARIED
                if isinstance(op.amplitude, Parameter):
                    self._load(op.amplitude, op.source)
                else:
                    assert isinstance(op.amplitude, float | int)
                    kind, amplitude = PLAY, units.amplitude_word(op.amplitude)
                segment = self._segments.index(op)
                self.add(_Instruction(kind, self._frames[op.frame], segment, amplitude, int(op.restart)), op.source)
                self._wait(len(self._pulses.envelopes[op.envelope]) * self._sample_ticks, op.source)
            case Capture():
                self._capture(step, op)
            case Wait(ticks=Parameter() as varied):
                self._load(varied, op.source)
                self.add(_Instruction(WAIT_REGISTER, VARIED), op.source)
            case Wait(ticks=int() as ticks):
                self._wait(ticks, op.source)
            case ShiftPhase(phase_rad=Parameter() as varied):
                self._load(varied, op.source)
                self.add(_Instruction(SHIFT_PHASE_REGISTER, self._frames[op.frame], VARIED), op.source)
            case ShiftPhase(phase_rad=float() | int() as phase):
                word = units.phase_word(phase) if op.turns is None else units.signed64(round(op.turns * units.TURN))
                self.add(_Instruction(SHIFT_PHASE, self._frames[op.frame], d=word), op.source)
            case SetFrequency(frequency_hz=Parameter() as varied):
                self._load(varied, op.source)
                self.add(_Instruction(SET_FREQUENCY_REGISTER, self._frames[op.frame], VARIED), op.source)
            case SetFrequency(frequency_hz=float() | int() as hertz):
                word = _frequency_word(hertz, op.frame, self._lab, op.source)
                self.add(_Instruction(SET_FREQUENCY, self._frames[op.frame], d=word), op.source)
            case Sync(sequencers=names):
                self._sync(names, op.source)
            case WriteBit(bit=bit, value=value):
                if step in self._timeline.branch_ticks:  # on a path without the captures the kernel would not wait
                    self.add(_Instruction(WAIT_UNTIL, d=self._timeline.branch_ticks[step]), op.source)
                self.add(_Instruction(ALU, LAST, ALU_SET, d=value), op.source)
                self.add(_Instruction(WRITE, LAST, bit), op.source)
            case If():
                self._branch(step, op)
            case Box():
                self._box(step, op)

    def _load(self, varied: Parameter, source: Source) -> None:
        """Write the load of a varied operand from its slot."""
        assert self._reach is not None
        number = self._reach.slot(varied)
        if number not in self._slots:
            if len(self.parameters) == SLOTS_MAX:
                raise ProgramError(
                    f"{source.where}more than {SLOTS_MAX} different operands vary from shot to shot; the kernel has {SLOTS_MAX} slots: "
                    "let more of them be the same expression"
                )
            self._slots[number] = len(self.parameters)
            self.parameters.append(varied)
        self.add(_Instruction(LOAD, VARIED, self._slots[number]), source)

    def _wait(self, ticks: int, source: Source) -> None:
        """Write a wait, or lengthen the one before, unless a jump leads in between."""
        last = len(self.instructions) - 1
        if last >= 0 and self.instructions[last].op == WAIT and self._target <= last:
            self.instructions[last] = self.instructions[last]._replace(d=self.instructions[last].d + ticks)
        elif ticks:
            self.add(_Instruction(WAIT, d=ticks), source)

    def _pad(self, pad: Pad, source: Source) -> None:
        """Write a wait of a constant and a sum of varied durations."""
        if not pad.varied:
            self._wait(pad.ticks, source)
            return
        self.add(_Instruction(ALU, CONSTANT, ALU_SET, d=pad.ticks), source)
        for varied, count in pad.varied:
            self._load(varied, source)
            if abs(count) > 1:
                self.add(_Instruction(ALU, LAST, ALU_SET, d=abs(count)), source)
                self.add(_Instruction(ALU, VARIED, ALU_MULTIPLY, LAST), source)
            self.add(_Instruction(ALU, CONSTANT, ALU_ADD if count > 0 else ALU_SUB, VARIED), source)
        self.add(_Instruction(WAIT_REGISTER, CONSTANT), source)

    def _capture(self, step: Step, op: Capture) -> None:
        """Write a capture, and its slot for those who read the rows."""
        self.add(_Instruction(CAPTURE, b=len(self.captures)), op.source)
        self.captures.append(op)
        self.capture_sources.append(op.source)
        qubit = self._pulses.weights[op.weights].qubit
        self.slots.append(CaptureSlot(qubit, op.bit, self._timeline.tone_indices[step], op.source.line))

    def _sync(self, names: Iterable[str], source: Source) -> None:
        """Write a meeting of sequencers."""
        self.add(_Instruction(SYNC, d=sum(1 << self._sequencers[name] for name in names)), source)

    def _box(self, step: Step, op: Box) -> None:
        """Write what is in a box, and the wait until its end."""
        if op.sequencers:
            self._sync(op.sequencers, op.source)
        self.block(step.sequencer, op.ops, (*step.path, 0))
        if step in self._timeline.join_ticks:
            self.add(_Instruction(WAIT_UNTIL, d=self._timeline.join_ticks[step]), op.source)
        else:
            (pad,) = self._timeline.pads[step]
            self._pad(pad, op.source)

    def _branch(self, step: Step, op: If) -> None:
        """Write a branch: read, decide, the other side, this side, and for both the wait until they join."""
        condition, value = self._condition(op)
        if step in self._timeline.branch_ticks:
            self.add(_Instruction(WAIT_UNTIL, d=self._timeline.branch_ticks[step]), op.source)
        jump = self.add(_Instruction(BRANCH, DECIDES, condition, d=value), op.source)
        self.block(step.sequencer, op.otherwise, (*step.path, 1))
        self._join(step, op, 1)
        leave = self.add(_Instruction(BRANCH, DECIDES, IF_ALWAYS), op.source)
        self._aim(jump)
        self.block(step.sequencer, op.then, (*step.path, 0))
        self._join(step, op, 0)
        self._aim(leave)

    def _condition(self, op: If) -> tuple[int, int]:
        """Write what puts the bits' value into register DECIDES; return the condition that means yes, and what it compares with."""
        found = outcome_of(op.condition)
        match op.condition:
            case _ if found is not None:
                bits, value = found[:1], found[1]
            case Computed(operator="==", left=Bits(bits=bits), right=int() as value):
                pass
            case _:
                raise AssertionError(op.condition)
        highest, *others = reversed(bits)
        self.add(_Instruction(READ, DECIDES, highest), op.source)
        if found is not None:
            return (IF_NONZERO if value else IF_ZERO), 0
        for bit in others:
            self.add(_Instruction(ALU, DECIDES, ALU_ADD, DECIDES), op.source)
            self.add(_Instruction(READ, LAST, bit), op.source)
            self.add(_Instruction(ALU, DECIDES, ALU_ADD, LAST), op.source)
        return IF_ZERO, value

    def _join(self, step: Step, op: If, side: int) -> None:
        """Write the wait until both sides of a padded branch meet."""
        if op.pad and step in self._timeline.pads:
            self._pad(self._timeline.pads[step][side], op.source)
        elif op.pad:
            self.add(_Instruction(WAIT_UNTIL, d=self._timeline.join_ticks[step]), op.source)

    def _aim(self, branch: int) -> None:
        """Let a jump that was written before go to the next instruction."""
        self._target = len(self.instructions)
        self.instructions[branch] = self.instructions[branch]._replace(c=self._target)
