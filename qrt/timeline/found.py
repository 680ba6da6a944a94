"""What a walk finds: the graph, the events, what is late, and the stretches of ticks that a port must be able to hold together.

`event` notes each operation under the conditions of the branches around it; every cursor is an instant of the graph, so that a tick and
what it comes from cannot disagree.
"""

from __future__ import annotations

from qrt.classical import bits_of, text
from qrt.errors import ProgramError
from qrt.timeline.events import Branch, Event, Late, Pad, Path, Step
from qrt.timeline.graph import Edge, Graph
from qrt.timeline.limits import Interval
from qrt.timeline.state import State
from qrt.timeline.ticks import Reach, Tick, Ticks
from qrt.types import Classical, If, Parameter, PortLimits, Pulses, Source, WriteBit


class Found:
    """Collects while states move through blocks."""

    def __init__(self, pulses: Pulses, limits: PortLimits, reach: Reach) -> None:
        self.pulses, self.limits = pulses, limits
        self.ticks = Ticks(reach)
        self.graph = Graph(self.ticks)
        self.events: list[Event] = []
        self.ends: list[Tick] = []  # of the events
        self.late: list[Late] = []
        self.captures: list[Interval] = []
        self.capture_ends: list[Edge] = []
        self.plays: dict[str, list[Interval]] = {}  # line -> plays
        self.branch_ticks: dict[Step, int] = {}
        self.join_ticks: dict[Step, int] = {}
        self.pads: dict[Step, tuple[Pad, ...]] = {}
        self.tone_indices: dict[Step, int | None] = {}
        self.sides: tuple[Branch, ...] = ()  # around the walk
        self.path: Path = ()  # of the operation at hand

    def event(
        self,
        state: State,
        name: str,
        end: Tick,
        kind: str,
        source: Source,
        *,
        operands: str = "",
        slack: int | None = None,
        envelope: str = "",
        bit: str = "",
        decides: int | None = None,
        outcome_instant: int = 0,
    ) -> Event:
        """Note an event from the sequencer's cursor to a tick, under the conditions of the branches around it."""
        tick = state.cursor(name)
        earliest, latest = self.ticks.span(tick)
        shortest, longest = self.ticks.lasting(end, tick)
        self.events.append(
            Event(
                sequencer=name,
                tick=earliest,
                later_ticks=latest - earliest,
                duration_ticks=shortest,
                longer_ticks=longest - shortest,
                end_tick=self.ticks.span(end)[1],
                kind=kind,
                operands=operands,
                slack_ticks=slack,
                condition=", ".join(side.words for side in self.sides),
                source=source,
                branches=self.sides,
                envelope=envelope,
                bit=bit,
                decides=decides,
                path=self.path,
                instant=state.cursors[name],
                outcome_instant=outcome_instant,
            )
        )
        self.ends.append(end)
        return self.events[-1]

    def interval(self, tick: Tick, end: Tick, amplitude: float, source: Source) -> Interval:
        """Return a stretch of ticks under the branches around it."""
        sides = tuple((side.number, int(side.otherwise)) for side in self.sides)
        return Interval(tick, end, sides, amplitude, source)

    def access(self, state: State, name: str, bit: int, source: Source, *, write: bool) -> None:
        """Note an access to a bit. Raises ProgramError if it races with another sequencer's."""
        others = state.order.conflicts(name, bit, write=write)
        if others:
            verb = "writes" if write else "reads"
            raise ProgramError(
                f"{source.where}{name} {verb} {self.bit(bit)} without a sync after {', '.join(sorted(others))} used it: which comes "
                "first would depend on pulse lengths"
            )
        state.order.access(name, bit, write=write)

    def settle(self, state: State, step: Step, op: If | WriteBit, due: Tick) -> None:
        """Note the tick from which an operation has the bits that it needs. Raises ProgramError where that depends on the path too."""
        bits = bits_of(op.condition) if isinstance(op, If) else (op.bit,)
        ready = self.ticks.largest(0, *(state.ready_tick(bit) for bit in bits))
        if isinstance(due, int):
            self.branch_ticks[step] = due
        elif state.unsure.intersection(bits) and self.ticks.ahead(state.cursor(step.sequencer), ready)[0] < 0:
            what = "branch decides" if isinstance(op, If) else f"write of {self.bit(op.bit)} is done"
            raise ProgramError(
                f"{op.source.where}the tick at which this {what} depends on a varied duration and on which side an earlier branch "
                "took: measure its bit on both sides alike, or put a delay before it"
            )

    def words(self, parameter: Parameter) -> tuple[int, int]:
        """Return the least and the largest word of a varied operand."""
        reach = self.ticks.reach
        return reach.span(((reach.slot(parameter), 1),))

    def text(self, value: Classical) -> str:
        """Return a value that a sequencer computes, for a person."""
        return text(value, self.pulses.bits, self.pulses.variables)

    def bit(self, bit: int) -> str:
        """Return a bit's name."""
        return self.pulses.bits[bit] if bit < len(self.pulses.bits) else f"bit {bit}"
