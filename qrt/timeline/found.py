"""What a walk finds: the graph, what it notes of the operations, what is late, and the ticks that a port must hold together.

`note` writes down each operation under the conditions of the branches around it; every cursor is an instant of the graph, so that a tick
and what it comes from cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np

from qrt.classical import INT64, Span, bits_of, nodes, parameters_of, span, text, variable_spans
from qrt.errors import ProgramError
from qrt.timeline.events import Branch, Event, Late, Pad, Path, Step
from qrt.timeline.graph import Edge, Graph
from qrt.timeline.lasting import Together
from qrt.timeline.limits import Interval
from qrt.timeline.noted import Noted, event_of, name_of
from qrt.timeline.state import State
from qrt.timeline.ticks import Reach, Tick, Ticks
from qrt.types import (
    Assign,
    Box,
    Classical,
    Emit,
    If,
    Lookup,
    Op,
    Parameter,
    Play,
    PortLimits,
    Pulses,
    WriteBit,
)


class Played(msgspec.Struct, frozen=True):
    """What all plays of an envelope on a frame have in common."""

    duration: int  # in ticks
    peak: float  # of the envelope
    plays: list[Interval]  # of the line
    tone: bool  # that a readout counts


class Found:
    """Collects while states move through blocks."""

    def __init__(self, pulses: Pulses, limits: PortLimits, reach: Reach) -> None:
        self.pulses, self.limits = pulses, limits
        self.ticks = Ticks(Together(reach))
        self.graph = Graph(self.ticks)
        self.noted: list[Noted] = []
        self.late: list[Late] = []
        self.captures: list[Interval] = []
        self.capture_ends: list[Edge] = []
        self.plays: dict[str, list[Interval]] = {}  # line -> plays
        self.branch_ticks: dict[Step, int] = {}
        self.join_ticks: dict[Step, int] = {}
        self.pads: dict[Step, tuple[Pad, ...]] = {}
        self.tone_indices: dict[Step, int | None] = {}
        self.sides: tuple[Branch, ...] = ()  # around the walk
        self.taken: tuple[tuple[int, int], ...] = ()  # the same as numbers: of each branch and its side
        self.path: Path = ()  # of the block at hand
        self.ops: Sequence[Op] = ()  # of it
        self.index = 0  # in it
        self.grid = limits.granularity_ticks
        self.played: dict[tuple[str, str], Played] = {}  # by frame and envelope

    def step(self, name: str) -> Step:
        """Return the operation at hand, of a sequencer."""
        return Step(name, (*self.path, self.index))

    def enter(self, sides: tuple[Branch, ...]) -> None:
        """Go on under these sides of branches."""
        self.sides = sides
        self.taken = tuple((side.number, int(side.otherwise)) for side in sides)

    def note(
        self,
        state: State,
        name: str,
        end: Tick,
        kind: str,
        op: Op,
        *,
        number: int | None = None,
        outcome: int = 0,
    ) -> None:
        """Note an operation from the sequencer's cursor to a tick, under the conditions of the branches around it."""
        self.noted.append(
            Noted(name, state.cursors[name], end, kind, op, self.sides, self.path, self.index, number, outcome)
        )

    def event(self, noted: Noted) -> Event:
        """Return the event of a noted operation."""
        return event_of(noted, self.pulses, self.graph)

    def events(self) -> tuple[Event, ...]:
        """Return all events, by tick and sequencer."""
        rank = {name: index for index, name in enumerate(self.pulses.blocks)}
        return tuple(sorted(map(self.event, self.noted), key=lambda event: (event.tick, rank[event.sequencer])))

    def first_play(self, op: Play) -> Played:
        """Return what all plays of an envelope on a frame have in common, and keep it."""
        samples, line = self.pulses.envelopes[op.envelope], self.pulses.frames[op.frame].line
        duration, peak = len(samples) * self.limits.sample_ticks, float(np.abs(samples).max(initial=0.0))
        plays = self.plays.setdefault(line, [])
        found = self.played[op.frame, op.envelope] = Played(duration, peak, plays, op.frame.endswith(".readout"))
        return found

    def interval(self, tick: Tick, end: Tick, amplitude: float, op: Op) -> Interval:
        """Return a stretch of ticks under the branches around it."""
        return Interval(tick, end, self.taken, amplitude, op.source)

    # ---- Bits and values -------------------------------------------------------------------------------------------------

    def access(self, state: State, name: str, bit: int, op: Op, *, write: bool) -> None:
        """Note an access to a bit, or by -1 - column to a column. Raises ProgramError if it races with another sequencer's."""
        others = state.order.conflicts(name, bit, write=write)
        if others:
            verb = "writes" if write else "reads"
            what = self.bit(bit) if bit >= 0 else self.pulses.outputs[-1 - bit]
            raise ProgramError(
                f"{op.source.where}{name} {verb} {what} without a sync after {', '.join(sorted(others))} used it: which comes "
                "first would depend on pulse lengths"
            )
        state.order.access(name, bit, write=write)

    def awaited(self, state: State, name: str, op: Op, value: Classical) -> int:
        """Note what a value needs; return the instant at which its bits are ready, 0 if it needs none.

        Raises ProgramError for an operand that cannot be played, an index that is never in its table, and a race.
        """
        for parameter in parameters_of(value):
            self.ticks.reach.slot(parameter)
        for one in nodes(value):
            if isinstance(one, Lookup):
                low, high = self.span(one.index)
                if low >= len(one.values) or high < 0:
                    raise ProgramError(
                        f"{op.source.where}the index {self.text(one.index)} is {low if low == high else f'{low} to {high}'}; the table has "
                        f"{len(one.values)} values, counted from 0"
                    )
        bits = bits_of(value)
        if not bits:
            return 0
        for bit in bits:
            self.access(state, name, bit, op, write=False)
        return self.graph.add(Edge(0), *(Edge(state.ready[bit]) for bit in bits if bit in state.ready))

    def settle(self, state: State, step: Step, op: Op, *, bits: tuple[int, ...], due: Tick) -> None:
        """Note the tick from which an operation has the bits that it needs. Raises ProgramError where that depends on the path too."""
        ready = self.ticks.largest(0, *(state.ready_tick(bit) for bit in bits))
        if isinstance(due, int):
            self.branch_ticks[step] = due
        elif state.unsure.intersection(bits) and self.ticks.ahead(state.cursor(step.sequencer), ready)[0] < 0:
            raise ProgramError(
                f"{op.source.where}the tick at which this {self._done(op)} depends on a varied duration and on which side an earlier "
                "branch took: measure its bit on both sides alike, or put a delay before it"
            )

    def _done(self, op: Op) -> str:
        match op:
            case If():
                return "branch decides"
            case WriteBit(bit=bit):
                return f"write of {self.bit(bit)} is done"
            case Assign(variable=index):
                return f"value of {self.pulses.variables[index]} is known"
            case Emit(column=index):
                return f"value of {self.pulses.outputs[index]} is known"
        return "operand is known"

    def span(self, value: Classical) -> Span:
        """Return bounds of what a sequencer computes."""
        return span(value, self._words, self._variable_spans)

    def _words(self, parameter: Parameter) -> Span:
        """Return bounds of an operand from a slot; an angle counts modulo a turn."""
        return INT64 if parameter.unit == "phase" else self.ticks.words(parameter)

    @cached_property
    def _variable_spans(self) -> dict[int, Span]:
        waiting = [op for ops in self.pulses.blocks.values() for op in ops]
        assigned = []
        while waiting:
            op = waiting.pop()
            match op:
                case Assign(variable=index, value=value):
                    assigned.append((index, value))
                case If(then=then, otherwise=otherwise):
                    waiting += (*then, *otherwise)
                case Box(ops=ops):
                    waiting += ops
        return variable_spans(assigned, self._words)

    def text(self, value: Classical) -> str:
        """Return a value that a sequencer computes, for a person."""
        return text(value, self.pulses.bits, self.pulses.variables)

    def bit(self, bit: int) -> str:
        """Return a bit's name."""
        return name_of(self.pulses, bit)
