"""What the walk notes of an operation, and the event for a person that is made of it when somebody asks.

A compiler needs the ticks of a shot and not its table: so the walk writes down little, and words are made here, later or never.
"""

from __future__ import annotations

from math import tau

import msgspec

from qrt.classical import bits_of, text
from qrt.timeline.events import Branch, Event, Path
from qrt.timeline.graph import Graph
from qrt.timeline.ticks import Tick
from qrt.types import (
    Assign,
    Box,
    Capture,
    Classical,
    Emit,
    If,
    Lasting,
    Op,
    Parameter,
    Play,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Sync,
    Wait,
    WriteBit,
)
from qrt.units import AMPLITUDE_ONE


class Noted(msgspec.Struct, frozen=True, gc=False):
    """An operation as the walk met it."""

    sequencer: str
    instant: int  # its beginning
    end: Tick
    kind: str
    op: Op
    sides: tuple[Branch, ...]  # around it
    path: Path  # of the block in which it stands
    place: int  # in the block
    number: int | None = None  # of an if: of its branch
    outcome: int = 0  # of what waits for outcomes: the instant at which they are ready


def event_of(noted: Noted, pulses: Pulses, graph: Graph) -> Event:
    """Return the event of a noted operation."""
    ticks, tick = graph.ticks, graph.at[noted.instant]
    earliest, latest = ticks.span(tick)
    shortest, longest = ticks.lasting(noted.end, tick)
    ready = graph.at[noted.outcome]
    return Event(
        sequencer=noted.sequencer,
        tick=earliest,
        later_ticks=latest - earliest,
        duration_ticks=shortest,
        longer_ticks=longest - shortest,
        end_tick=ticks.span(noted.end)[1],
        kind=noted.kind,
        operands="" if noted.kind == "pad" else _operands(noted, pulses, graph),
        slack_ticks=max(ticks.ahead(noted.end, ready)[0], 0) if noted.outcome else None,
        condition=", ".join(side.words for side in noted.sides),
        source=noted.op.source,
        branches=noted.sides,
        envelope=noted.op.envelope if isinstance(noted.op, Play) and noted.kind == "play" else "",
        bit=_bit(noted, pulses),
        decides=noted.number,
        path=(*noted.path, noted.place),
        instant=noted.instant,
        outcome_instant=noted.outcome,
    )


def branch_of(op: If, number: int, pulses: Pulses, *, otherwise: bool) -> Branch:
    """Return one side of a branch."""
    names = tuple(name_of(pulses, bit) for bit in bits_of(op.condition))
    return Branch(number, otherwise, op.condition, names, text(op.condition, pulses.bits, pulses.variables))


def name_of(pulses: Pulses, bit: int) -> str:
    """Return a bit's name."""
    return pulses.bits[bit] if bit < len(pulses.bits) else f"bit {bit}"


def _bit(noted: Noted, pulses: Pulses) -> str:
    match noted.op:
        case Capture(bit=int() as bit) | WriteBit(bit=bit) if noted.kind in {"capture", "write"}:
            return name_of(pulses, bit)
    return ""


def _operands(noted: Noted, pulses: Pulses, graph: Graph) -> str:
    """Return what an operation acts on, for a person."""
    if noted.number is not None and isinstance(noted.op, If):
        return branch_of(noted.op, noted.number, pulses, otherwise=False).words
    if noted.kind == "read":
        return _dynamic(noted.op, pulses)
    match noted.op:
        case Play(envelope=envelope, amplitude=Parameter() as amplitude):
            low, high = (word / AMPLITUDE_ONE for word in graph.ticks.words(amplitude))
            return f"{envelope} x {low:.6g}..{high:.6g} {amplitude.text}"
        case Play(envelope=envelope, amplitude=float() | int() as level):
            return f"{envelope} x {level:.6g}"
        case Play(envelope=envelope):
            return f"{envelope} x ({_dynamic(noted.op, pulses)}) / {AMPLITUDE_ONE}"
        case Capture(weights=weights):
            bit = _bit(noted, pulses)
            return f"{weights} -> {bit}" if bit else weights
        case ShiftPhase(frame=frame, phase_rad=float() | int() as phase, turns=exact):
            turns = phase / tau if exact is None else float(exact)
            return f"{frame} {turns - round(turns):+.6g} turns"
        case SetFrequency(frame=frame, frequency_hz=float() | int() as hertz):
            return f"{frame} {hertz:+.10g} Hz"
        case ShiftPhase(frame=frame) | SetFrequency(frame=frame):
            return f"{frame} {_dynamic(noted.op, pulses)}"
        case WriteBit(bit=index, value=value):
            return f"{name_of(pulses, index)} = {value}"
        case Assign(variable=index, value=worth):
            return f"{pulses.variables[index]} = {text(worth, pulses.bits, pulses.variables)}"
        case Emit(column=index, value=worth):
            return f"{pulses.outputs[index]} = {text(worth, pulses.bits, pulses.variables)}"
        case Wait(ticks=Lasting()):
            return f"({_dynamic(noted.op, pulses)}) ticks"
        case Sync(sequencers=names) | Box(sequencers=names):
            return " ".join(names)
    return ""


def dynamic(op: Op) -> Classical | None:
    """Return the operand of a pulse that is computed while the shot runs; None if there is none."""
    match op:
        case Play(amplitude=operand) | ShiftPhase(phase_rad=operand) | SetFrequency(frequency_hz=operand):
            return None if isinstance(operand, float | int) else operand
        case Wait(ticks=Lasting(word=word)):
            return word
    return None


def _dynamic(op: Op, pulses: Pulses) -> str:
    operand = dynamic(op)
    assert operand is not None
    return text(operand, pulses.bits, pulses.variables)
