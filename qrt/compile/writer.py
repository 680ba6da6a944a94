"""Writes instructions, in the order of blocks; capture slots are numbered in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from qrt import units
from qrt.compile.instructions import (
    ALU,
    ALU_ADD,
    ALU_MOVE,
    ALU_MULTIPLY,
    ALU_SET,
    ALU_SUB,
    BRANCH,
    CAPTURE,
    CONSTANT,
    DECIDES,
    EMIT,
    END,
    IF_ALWAYS,
    LAST,
    LOAD,
    PLAY,
    PLAY_REGISTER,
    SET_FREQUENCY,
    SET_FREQUENCY_REGISTER,
    SHIFT_PHASE,
    SHIFT_PHASE_REGISTER,
    SLOTS_MAX,
    SYNC,
    VARIED,
    WAIT,
    WAIT_REGISTER,
    WAIT_UNTIL,
    WRITE,
    Instruction,
)
from qrt.compile.segments import Segments
from qrt.compile.template import Filling
from qrt.compile.values import Tables, Values
from qrt.errors import ProgramError
from qrt.timeline import Pad, Reach, Step, Timeline
from qrt.types import (
    Assign,
    Box,
    Capture,
    CaptureSlot,
    Classical,
    Emit,
    If,
    Lab,
    Lasting,
    Op,
    Parameter,
    Play,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Source,
    Sync,
    Wait,
    WriteBit,
)

NUMBER: Final = (float, int)  # classes of an operand that is known; a union would be made anew for each that is asked
Path = tuple[int, ...]
Writing = Iterator["Writing"]  # yields what has to be written first


class Writer:
    """The instructions of a shot, and what they refer to."""

    def __init__(
        self,
        pulses: Pulses,
        lab: Lab,
        timeline: Timeline,
        segments: Segments,
        sample_ticks: int,
        *,
        reach: Reach | None,
        filling: Filling | None = None,
    ) -> None:
        """Get ready; `filling` is for a template: it is told of the instructions that are filled in later."""
        self._filling = filling
        self._pulses, self._lab, self._timeline, self._segments, self._reach = pulses, lab, timeline, segments, reach
        self._slots: dict[int, int] = {}  # the reach's number of a varied operand -> slot
        self._frames = {name: index for index, name in enumerate(pulses.frames)}
        self._sequencers = {name: index for index, name in enumerate(pulses.blocks)}
        self._durations = {name: len(samples) * sample_ticks for name, samples in pulses.envelopes.items()}
        # What was written: of plays by all that they are, of shifts by the identity of exact turns, too.
        self._plays: dict[tuple[str, str, float, bool], tuple[Instruction, Instruction]] = {}
        self._shifts: dict[tuple[str, float, int], Instruction] = {}
        self._target = 0  # the last instruction that something jumps to
        self._name = ""  # of the sequencer that is written
        self._values: Values | None = None
        self.tables = Tables()
        self.code: list[Instruction] = []
        self.source_lines: list[int] = []
        self.captures: list[Capture] = []
        self.capture_sources: list[Source] = []
        self.slots: list[CaptureSlot] = []
        self.places: dict[str, int] = {}  # the slots that choose among the weights of a bank, by its name
        self.parameters: list[Parameter] = []
        self._alone: Mapping[type, Callable[[Any, Path, int], None]] = {
            Play: self._play,
            Capture: self._capture,
            Wait: self._waits,
            ShiftPhase: self._phase,
            SetFrequency: self._frequency,
            Sync: self._meeting,
            WriteBit: self._write,
            Assign: self._assign,
            Emit: self._emit,
        }

    def sequencer(self, name: str) -> int:
        """Write a sequencer's instructions; return the first one's index."""
        self._name, self._values = name, None
        entry = len(self.code)
        waiting = [self._block(self._pulses.blocks[name], ())]
        while waiting:  # a list of its own, so that branches in branches may be as deep as they like
            inner = next(waiting[-1], None)
            if inner is None:
                waiting.pop()
            else:
                waiting.append(inner)
        self.add(END, line=0)
        return entry

    def add(self, op: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, *, line: int) -> int:
        """Append an instruction; return its index."""
        self.code.append((op, a, b, c, d))
        self.source_lines.append(line)
        return len(self.code) - 1

    def _block(self, ops: Iterable[Op], path: Path) -> Writing:
        """Write the operations of one block."""
        alone = self._alone
        for index, op in enumerate(ops):
            write = alone.get(type(op))
            if write is not None:
                write(op, path, index)
            elif isinstance(op, If):
                yield self._branch(self._step(path, index), op)
            else:
                assert isinstance(op, Box)
                yield self._box(self._step(path, index), op)

    def _step(self, path: Path, index: int) -> Step:
        return Step(self._name, (*path, index))

    # ---- Pulses ------------------------------------------------------------------------------------------------------

    def _play(self, op: Play, path: Path, index: int) -> None:
        line, amplitude = op.source.line, op.amplitude
        if isinstance(amplitude, NUMBER):
            key = (op.frame, op.envelope, amplitude, op.restart)
            played = self._plays.get(key)
            if played is None:
                played = self._plays[key] = self._played(op, PLAY, units.amplitude_word(amplitude))
        elif self._is_given(amplitude):
            played = self._played(op, PLAY, 0)
        else:
            played = self._played(op, PLAY_REGISTER, self._operand(amplitude, op.source, path, index))
        self.code += played
        self.source_lines += (line, line)

    def _played(self, op: Play, kind: int, amplitude: int) -> tuple[Instruction, Instruction]:
        """Return a play, and the wait of its length."""
        play = (kind, self._frames[op.frame], self._segments.index(op), amplitude, int(op.restart))
        return play, (WAIT, 0, 0, 0, self._durations[op.envelope])

    def _waits(self, op: Wait, path: Path, index: int) -> None:
        if isinstance(op.ticks, Parameter) and self._filling is not None:
            ticks = self._filling.ticks(op.ticks)
            self._wait(ticks, op.source)
            if ticks:  # without any there may be no instruction
                self._filling.take(len(self.code) - 1, op.ticks)
        elif isinstance(op.ticks, Parameter):
            self._load(op.ticks, op.source)
            self.add(WAIT_REGISTER, VARIED, line=op.source.line)
        elif isinstance(op.ticks, Lasting):
            register = self._operand(op.ticks.word, op.source, path, index)
            self.add(WAIT_REGISTER, register, line=op.source.line)
        else:
            self._wait(op.ticks, op.source)

    def _phase(self, op: ShiftPhase, path: Path, index: int) -> None:
        line, phase, exact = op.source.line, op.phase_rad, op.turns
        if isinstance(phase, NUMBER):
            key = (op.frame, phase, id(exact))
            shift = self._shifts.get(key)
            if shift is None:
                word = units.phase_word(phase) if exact is None else units.turns_word(exact)
                shift = self._shifts[key] = (SHIFT_PHASE, self._frames[op.frame], 0, 0, word)
            self.code.append(shift)
            self.source_lines.append(line)
        elif self._is_given(phase):
            self.add(SHIFT_PHASE, self._frames[op.frame], line=line)
        else:
            register = self._operand(phase, op.source, path, index)
            self.add(SHIFT_PHASE_REGISTER, self._frames[op.frame], register, line=line)

    def _frequency(self, op: SetFrequency, path: Path, index: int) -> None:
        line = op.source.line
        if isinstance(op.frequency_hz, NUMBER):
            word = frequency_word(op.frequency_hz, op.frame, self._lab, op.source)
            self.add(SET_FREQUENCY, self._frames[op.frame], d=word, line=line)
        elif self._is_given(op.frequency_hz):
            self.add(SET_FREQUENCY, self._frames[op.frame], line=line)
        else:
            register = self._operand(op.frequency_hz, op.source, path, index)
            self.add(SET_FREQUENCY_REGISTER, self._frames[op.frame], register, line=line)

    def _capture(self, op: Capture, path: Path, index: int) -> None:
        """Write a capture, and its slot for those who read the rows."""
        self.add(CAPTURE, b=len(self.captures), line=op.source.line)
        self.captures.append(op)
        self.capture_sources.append(op.source)
        weights = self._pulses.weights[op.weights]
        if not isinstance(weights.samples, np.ndarray):
            self.places[op.weights] = self.slot(weights.samples.place(op.source), op.source)
        tone = self._timeline.tone_indices[self._step(path, index)]
        self.slots.append(CaptureSlot(weights.qubit, op.bit, tone, op.source.line, weights.name))

    # ---- Values ------------------------------------------------------------------------------------------------------

    @property
    def values(self) -> Values:
        """What the sequencer at hand computes with, made when it first computes anything."""
        if self._values is None:
            self._values = Values(self._name, self._pulses, self.tables, self.slot)
        return self._values

    def _is_given(self, value: Classical) -> bool:
        """Say whether the next instruction's operand is filled in later, and note it."""
        if self._filling is None or not isinstance(value, Parameter):
            return False
        self._filling.take(len(self.code), value)
        return True

    def _operand(self, value: Classical, source: Source, path: Path, index: int) -> int:
        """Write what computes an operand, and waits until its outcomes are there; return its register."""
        if isinstance(value, Parameter):
            self._load(value, source)
            return VARIED
        register = self._computed(value, source)
        self._settle(self._step(path, index), source)
        return register

    def _computed(self, value: Classical, source: Source) -> int:
        code, register = self.values.value(value, source)
        self._extend(code, source)
        return register

    def _extend(self, code: list[Instruction], source: Source) -> None:
        self.code += code
        self.source_lines += [source.line] * len(code)

    def _settle(self, step: Step, source: Source) -> None:
        """Write the wait for the one tick at which outcomes are there: on a path without the captures the kernel would not wait."""
        if step in self._timeline.branch_ticks:
            index = self.add(WAIT_UNTIL, d=self._timeline.branch_ticks[step], line=source.line)
            if self._filling is not None:
                self._filling.branches.append((index, step))

    def _assign(self, op: Assign, path: Path, index: int) -> None:
        register = self._computed(op.value, op.source)
        self._settle(self._step(path, index), op.source)
        self.add(ALU, self.values.variable(op.variable), ALU_MOVE, register, line=op.source.line)

    def _emit(self, op: Emit, path: Path, index: int) -> None:
        register = self._computed(op.value, op.source)
        self._settle(self._step(path, index), op.source)
        self.add(EMIT, register, op.column, line=op.source.line)

    def _write(self, op: WriteBit, path: Path, index: int) -> None:
        self._settle(self._step(path, index), op.source)
        self.add(ALU, LAST, ALU_SET, d=op.value, line=op.source.line)
        self.add(WRITE, LAST, op.bit, line=op.source.line)

    def _load(self, varied: Parameter, source: Source) -> None:
        """Write the load of a varied operand from its slot."""
        self.add(LOAD, VARIED, self.slot(varied, source), line=source.line)

    def slot(self, varied: Parameter, source: Source) -> int:
        """Return the slot of a varied operand. Raises ProgramError where there are more of them than slots."""
        if self._filling is not None:
            raise ProgramError(
                f"{source.where}{varied.text} is part of what is computed in the shot, which is no word to fill in"
            )
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
        return self._slots[number]

    # ---- Time --------------------------------------------------------------------------------------------------------

    def _wait(self, ticks: int, source: Source) -> None:
        """Write a wait, or lengthen the one before, unless a jump leads in between."""
        last = len(self.code) - 1
        if last >= 0 and self.code[last][0] == WAIT and self._target <= last:
            self.code[last] = (WAIT, 0, 0, 0, self.code[last][4] + ticks)
        elif ticks:
            self.add(WAIT, d=ticks, line=source.line)

    def _pad(self, pad: Pad, source: Source) -> None:
        """Write a wait of a constant and a sum of varied durations."""
        if not pad.varied:
            self._wait(pad.ticks, source)
            return
        line = source.line
        self.add(ALU, CONSTANT, ALU_SET, d=pad.ticks, line=line)
        for varied, count in pad.varied:
            self._load(varied, source)
            if abs(count) > 1:
                self.add(ALU, LAST, ALU_SET, d=abs(count), line=line)
                self.add(ALU, VARIED, ALU_MULTIPLY, LAST, line=line)
            self.add(ALU, CONSTANT, ALU_ADD if count > 0 else ALU_SUB, VARIED, line=line)
        self.add(WAIT_REGISTER, CONSTANT, line=line)

    def _meeting(self, op: Sync | Box, path: Path, index: int) -> None:
        """Write a meeting of sequencers."""
        self.add(SYNC, d=sum(1 << self._sequencers[name] for name in op.sequencers), line=op.source.line)

    def _box(self, step: Step, op: Box) -> Writing:
        """Write what is in a box, and the wait until its end."""
        if op.sequencers:
            self._meeting(op, (), 0)
        yield self._block(op.ops, (*step.path, 0))
        if step in self._timeline.join_ticks:
            self._until_joined(step, op.source)
        else:
            (pad,) = self._timeline.pads[step]
            self._pad(pad, op.source)

    # ---- Branches ----------------------------------------------------------------------------------------------------

    def _branch(self, step: Step, op: If) -> Writing:
        """Write a branch: read, decide, the other side, this side, and for both the wait until they join."""
        code, decision = self.values.condition(op.condition, op.source)
        self._extend(code, op.source)
        self._settle(step, op.source)
        jump = self.add(BRANCH, decision.register, decision.condition, d=decision.number, line=op.source.line)
        yield self._block(op.otherwise, (*step.path, 1))
        self._join(step, op, 1)
        leave = self.add(BRANCH, DECIDES, IF_ALWAYS, line=op.source.line)
        self._aim(jump)
        yield self._block(op.then, (*step.path, 0))
        self._join(step, op, 0)
        self._aim(leave)

    def _join(self, step: Step, op: If, side: int) -> None:
        """Write the wait until both sides of a padded branch meet."""
        if op.pad and step in self._timeline.pads:
            self._pad(self._timeline.pads[step][side], op.source)
        elif op.pad:
            self._until_joined(step, op.source)

    def _until_joined(self, step: Step, source: Source) -> None:
        """Write the wait for the one tick at which sides or a box end."""
        index = self.add(WAIT_UNTIL, d=self._timeline.join_ticks[step], line=source.line)
        if self._filling is not None:
            self._filling.joins.append((index, step))

    def _aim(self, branch: int) -> None:
        """Let a jump that was written before go to the next instruction."""
        self._target = len(self.code)
        op, register, condition, _, number = self.code[branch]
        self.code[branch] = (op, register, condition, self._target, number)


def frequency_word(frequency_hz: float, frame: str, lab: Lab, source: Source) -> int:
    """Return an NCO's increment. Raises ProgramError beyond half a turn per tick."""
    try:
        return units.signed64(units.frequency_word(frequency_hz, lab.timing.tick_ps))
    except ValueError as error:
        raise ProgramError(f"{source.where}frame {frame}: {error}") from error
