"""Pulses to the armed sequence: schedule, count what the kernel has of each thing, write, and put the kernel's arrays together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from qrt import units
from qrt.classical import bits_of
from qrt.compile.captures import capture_specs, with_weights
from qrt.compile.instructions import BITS_MAX, CAPTURES_MAX, EMITS_MAX, FRAMES_MAX, SEQUENCERS_MAX, packed
from qrt.compile.operands import Operands, Words
from qrt.compile.segments import Segments
from qrt.compile.template import Filling, Given, Template
from qrt.compile.writer import Writer, frequency_word
from qrt.errors import ProgramError
from qrt.kernel import FRAME_DTYPE
from qrt.timeline import Pad, Reach, Step, Timeline, schedule
from qrt.types import (
    NOWHERE,
    Box,
    Capture,
    Emit,
    If,
    Lab,
    Op,
    OutputKind,
    Play,
    PortLimits,
    Pulses,
    Sequence,
    SetFrequency,
    ShiftPhase,
    WriteBit,
)

INDEXED = {"bits", "outputs"}  # what operations name by number


class Written(NamedTuple):
    """A sequence that lacks its integration weights, and its captures in their order."""

    sequence: Sequence
    captures: tuple[Capture, ...]


class Decided(NamedTuple):
    """All of a schedule that the sequence depends on."""

    branch_ticks: Mapping[Step, int]
    join_ticks: Mapping[Step, int]
    pads: Mapping[Step, tuple[Pad, ...]]
    tone_indices: Mapping[Step, int | None]


def scheduled(pulses: Pulses, lab: Lab, limits: PortLimits, reach: Reach | None) -> Timeline:
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
    return weighted(written(pulses, lab, limits, scheduled(pulses, lab, limits, reach), reach=reach), pulses, reach)


def compile_template(pulses: Pulses, lab: Lab, limits: PortLimits, operands: Operands | None = None) -> Template:
    """Return the sequence of one shot, open where an operand varies: it is filled in later, and never loaded from a slot.

    Raises ProgramError as compile_pulses does, and where an operand is more than a word of one instruction.
    """
    reach = Given()
    timeline = scheduled(pulses, lab, limits, reach)
    return written_template(pulses, lab, limits, timeline, operands=operands or Operands.of(pulses), reach=reach)


def written_template(
    pulses: Pulses,
    lab: Lab,
    limits: PortLimits,
    timeline: Timeline,
    *,
    operands: Operands,
    words: Words = (),
    reach: Reach | None = None,
) -> Template:
    """Return the template of open pulses for one schedule of theirs: that with these words, or with any in the reach."""
    filling = Filling(operands, words)
    found = written(pulses, lab, limits, timeline, reach=reach, filling=filling)
    return Template.of(weighted(found, pulses, reach), operands, filling, words)


def decided(timeline: Timeline) -> Decided:
    """Return what a schedule decides for the writer."""
    return Decided(timeline.branch_ticks, timeline.join_ticks, timeline.pads, timeline.tone_indices)


def written(
    pulses: Pulses,
    lab: Lab,
    limits: PortLimits,
    timeline: Timeline,
    *,
    reach: Reach | None,
    filling: Filling | None = None,
) -> Written:
    """Return the sequence of a schedule: a function of the pulses, the lab, the limits and what was `decided`, whatever the reach is."""
    _check_counts(pulses)
    segments = Segments(pulses, lab, limits)
    writer = Writer(pulses, lab, timeline, segments, limits.sample_ticks, reach=reach, filling=filling)
    entries = [writer.sequencer(name) for name in pulses.blocks]
    lines = tuple(lab.lines)
    frames = np.zeros(len(pulses.frames), FRAME_DTYPE)
    for row, (name, frame) in zip(frames, pulses.frames.items(), strict=True):
        row["frequency"] = frequency_word(frame.frequency_hz, name, lab, NOWHERE)
        row["phase"] = units.phase_word(frame.phase_rad) % units.TURN
        row["line"] = lines.index(frame.line)
    if len(writer.slots) > CAPTURES_MAX:
        raise ProgramError(f"{writer.capture_sources[CAPTURES_MAX].where}more than {CAPTURES_MAX} captures in one shot")
    sequence = Sequence(
        instructions=packed(writer.code),
        entries=np.array(entries, np.uint32),
        frames=frames,
        captures=capture_specs(pulses, writer.captures, writer.places),
        weights=np.zeros(0, np.int16),
        budget=len(writer.code),
        period_ticks=pulses.period_ticks,
        segments=segments.memory(),
        lines=lines,
        sequencers=tuple(pulses.blocks),
        bits=pulses.bits,
        slots=tuple(writer.slots),
        source_lines=tuple(writer.source_lines),
        table=writer.tables.array(),
        emit_count=len(pulses.outputs),
        outputs=pulses.outputs,
        output_kinds=pulses.output_kinds or _whole_numbers(len(pulses.outputs)),
        parameters=tuple(writer.parameters),
        stretch_max=pulses.stretch_max,
    )
    return Written(sequence, tuple(writer.captures))


def weighted(found: Written, pulses: Pulses, reach: Reach | None) -> Sequence:
    """Return a sequence with its integration weights, of which a bank has those of every point that the reach goes to.

    Raises ProgramError for more weights than the kernel has room for, and for a point at which there are none.
    """
    captures, weights = with_weights(found.sequence.captures, found.captures, pulses, reach)
    return msgspec.structs.replace(found.sequence, captures=captures, weights=weights)


def _whole_numbers(count: int) -> tuple[OutputKind, ...]:
    whole: OutputKind = "int"
    return (whole,) * count


def _check_counts(pulses: Pulses) -> None:
    """Raise ProgramError for more sequencers, frames, bits or columns than the kernel has."""
    for names, count_max, noun, advice in (
        (tuple(pulses.blocks), SEQUENCERS_MAX, "sequencers", "use fewer qubits, each needs one"),
        (tuple(pulses.frames), FRAMES_MAX, "frames", "use fewer qubits, each needs two"),
        (pulses.bits, BITS_MAX, "bits", "use fewer; a qubit that is reset needs one more"),
        (pulses.outputs, EMITS_MAX, "outputs", "use fewer"),
    ):
        if len(names) > count_max:
            beyond = (
                {(noun, one) for one in range(count_max, len(names))} if noun in INDEXED else set(names[count_max:])
            )
            raise ProgramError(
                f"{_first_use(pulses, beyond)}{len(names)} {noun}; the kernel has {count_max}: {advice}. There are {', '.join(names)}"
            )


def _first_use(pulses: Pulses, beyond: set[Any]) -> str:
    """Return where the program first uses one of these names or numbers; its beginning if it does not, nothing for pulses of no program."""
    named = [
        (op.source, uses) for name, ops in pulses.blocks.items() for op, uses in _uses(name, ops) if op.source.line
    ]
    at = next((source.where for source, uses in named if beyond & uses), "")
    return at or (f"{named[0][0].path}:1:1: " if named else "")


def _uses(name: str, ops: Iterable[Op]) -> Iterator[tuple[Op, set[Any]]]:
    """Yield a sequencer's operations and those inside them, each with the sequencer, the frame, the bits and the column that it uses."""
    waiting = list(ops)[::-1]
    while waiting:
        op = waiting.pop()
        match op:
            case Play(frame=frame) | ShiftPhase(frame=frame) | SetFrequency(frame=frame):
                yield op, {name, frame}
            case Capture(bit=bit) | WriteBit(bit=bit):
                yield op, {name, ("bits", bit)}
            case Emit(column=column):
                yield op, {name, ("outputs", column)}
            case If(condition=condition):
                yield op, {name, *(("bits", bit) for bit in bits_of(condition))}
                waiting += (*op.otherwise[::-1], *op.then[::-1])
            case Box(ops=inside):
                yield op, {name}
                waiting += inside[::-1]
            case _:
                yield op, {name}
