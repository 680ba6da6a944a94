"""The walk: pulses in, events with exact ticks out, both sides of every branch.

Sequencers are advanced in the kernel's order, the smallest cursor first. A branch is walked twice from the tick at which it
decides, and the two ends are joined at the later one, so that after it there is one state again; the Ifs that are one branch of
the program are walked together, for they take the same side. What is proved is static: a branch of variable duration may only
end a sequencer's block.

What ends after it is due is walked on, and told by `survey` with everything else that is late: past the period, past the end of a
box, off the port's grid. `schedule` refuses such a shot. What else could not run is refused at once by either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from qrt.errors import ProgramError
from qrt.timeline.events import Branch, Event, Late, Path, Step, Timeline
from qrt.timeline.graph import Due, Edge, Graph
from qrt.timeline.late import off_grid, past_box, past_period
from qrt.timeline.limits import Interval, check_intervals
from qrt.timeline.order import Order
from qrt.types import (
    Box,
    Capture,
    If,
    Op,
    Play,
    PortLimits,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Source,
    Sync,
    Wait,
    WriteBit,
)


def schedule(pulses: Pulses, limits: PortLimits) -> Timeline:
    """Return the timeline of a shot. Raises ProgramError where the shot cannot run as it stands, or is not static."""
    timeline = survey(pulses, limits)
    if timeline.late:
        first, *others = timeline.late
        more = f"; {len(others)} more late: qrt check lists them" if others else ""
        raise ProgramError(f"{first.source.where}{first.message}{more}")
    return timeline


def survey(pulses: Pulses, limits: PortLimits) -> Timeline:
    """Return the timeline of a shot with everything that is late in it. Raises ProgramError for what is wrong otherwise."""
    walk = _Walk(pulses, limits)
    state = _State(pulses.blocks, walk.graph)
    walk.block(state, pulses.blocks, dict.fromkeys(pulses.blocks, ()))
    check_intervals(walk.captures, walk.plays, limits)
    rank = {name: index for index, name in enumerate(pulses.blocks)}
    events = sorted(walk.events, key=lambda event: (event.tick, rank[event.sequencer]))
    shot_ticks = max((*state.cursors.values(), *(capture.end for capture in walk.captures)), default=0)
    period = pulses.period_ticks
    if period:
        walk.graph.dues.append(Due("the period", 0, period, (*walk.capture_ends, *map(Edge, state.instants.values()))))
        walk.late += past_period(events, shot_ticks, period)
    return Timeline(
        tuple(events),
        shot_ticks,
        period,
        walk.branch_ticks,
        walk.join_ticks,
        walk.tone_indices,
        tuple(sorted(walk.late, key=lambda late: (late.at_tick, late.source.line))),
        walk.graph,
        limits.granularity_ticks,
    )


class _State:
    """Where a path of the shot stands."""

    def __init__(self, sequencers: Mapping[str, object], graph: Graph) -> None:
        self.cursors = dict.fromkeys(sequencers, 0)
        self.graph = graph
        self.instants = dict(zip(sequencers, graph.split(0, len(sequencers)), strict=True))  # of the cursors
        self.ready_instants: dict[int, int] = {}  # bit -> of `ready`
        self.ready: dict[int, int] = {}  # bit -> tick from which it can be read, on the latest path
        self.tones: dict[str, int | None] = {}  # readout frame -> tones so far, None if that depends on the path
        self.order = Order(sequencers)

    def copy(self) -> _State:
        other = _State({}, self.graph)
        other.instants = {name: self.graph.add(Edge(instant)) for name, instant in self.instants.items()}
        other.ready_instants = dict(self.ready_instants)
        other.cursors, other.ready, other.tones = dict(self.cursors), dict(self.ready), dict(self.tones)
        other.order = self.order.copy()
        return other

    def join(self, then: _State, otherwise: _State) -> None:
        """Become what holds on either side."""
        self.cursors = {name: max(tick, otherwise.cursors[name]) for name, tick in then.cursors.items()}
        self.instants = {
            name: self.graph.add(Edge(instant), Edge(otherwise.instants[name]))
            for name, instant in then.instants.items()
        }
        bits = then.ready.keys() | otherwise.ready.keys()
        self.ready_instants = {
            bit: self.graph.add(*(Edge(one.ready_instants[bit]) for one in (then, otherwise) if bit in one.ready))
            for bit in sorted(bits)
        }
        self.ready = {bit: max(then.ready.get(bit, 0), otherwise.ready.get(bit, 0)) for bit in bits}
        frames = then.tones.keys() | otherwise.tones.keys()
        counts = {frame: (then.tones.get(frame, 0), otherwise.tones.get(frame, 0)) for frame in frames}
        self.tones = {frame: left if left == right else None for frame, (left, right) in counts.items()}
        self.order = then.order.joined(otherwise.order)


class _Walk:
    """Collects events while states move through blocks."""

    def __init__(self, pulses: Pulses, limits: PortLimits) -> None:
        self.pulses, self.limits = pulses, limits
        self.events: list[Event] = []
        self.late: list[Late] = []
        self.graph = Graph()
        self.captures: list[Interval] = []
        self.capture_ends: list[Edge] = []
        self.plays: dict[str, list[Interval]] = {}  # line -> plays
        self.branch_ticks: dict[Step, int] = {}
        self.join_ticks: dict[Step, int] = {}
        self.tone_indices: dict[Step, int | None] = {}
        self._peaks = {name: float(np.abs(samples).max(initial=0.0)) for name, samples in pulses.envelopes.items()}
        self._sides: tuple[Branch, ...] = ()  # around the walk
        self._path: Path = ()  # of the operation at hand
        self._branch_count = 0

    def block(self, state: _State, blocks: Mapping[str, tuple[Op, ...]], paths: Mapping[str, Path]) -> None:
        """Advance the sequencers through their blocks, side by side, to the ends."""
        index = dict.fromkeys(blocks, 0)
        parked: dict[str, Sync | If | Box] = {}
        while ready := [name for name in blocks if name not in parked and index[name] < len(blocks[name])]:
            name = min(ready, key=state.cursors.__getitem__)
            op = blocks[name][index[name]]
            if isinstance(op, Sync | If | Box):
                parked[name] = op
                group = _meeting(name, parked)
                steps = {member: Step(member, (*paths[member], index[member])) for member in group}
                if isinstance(op, Sync):
                    self._sync(state, group, op, steps)
                elif isinstance(op, Box):
                    self._box(state, {member: parked[member] for member in group}, steps)  # type: ignore[misc]
                elif group:
                    ends = not self._sides and all(index[member] == len(blocks[member]) - 1 for member in group)
                    self._branch(state, {member: parked[member] for member in group}, steps, ends=ends)  # type: ignore[misc]
                for member in group:
                    del parked[member]
                    index[member] += 1
            else:
                following = blocks[name][index[name] + 1 : index[name] + 2]
                self._step(state, Step(name, (*paths[name], index[name])), op, following)
                index[name] += 1
        for name, op in parked.items():
            what = _kind(op)
            others = ", ".join(other for other in op.sequencers if other != name)
            raise ProgramError(f"{op.source.where}{name} waits for {others} at a {what} to which they never come")

    # ---- One operation -----------------------------------------------------------------------------------------------

    def _step(self, state: _State, step: Step, op: Op, following: tuple[Op, ...]) -> None:
        """Execute an operation that concerns its sequencer alone."""
        name, self._path = step.sequencer, step.path
        tick, start = state.cursors[name], state.instants[name]
        settles: tuple[Edge, ...] = ()
        match op:
            case Play():
                state.cursors[name] += self._play(state, name, op)
            case Capture():
                self._capture(state, step, op, following)
            case Wait():
                assert op.ticks >= 0
                self._event(state, name, op.ticks, "wait", op.source)
                state.cursors[name] += op.ticks
            case ShiftPhase():
                turns = op.phase_rad / (2 * np.pi) if op.turns is None else float(op.turns)
                self._event(
                    state, name, 0, "phase", op.source, operands=f"{op.frame} {turns - round(turns):+.6g} turns"
                )
            case SetFrequency():
                self._event(state, name, 0, "frequency", op.source, operands=f"{op.frame} {op.frequency_hz:+.10g} Hz")
            case WriteBit():
                self._access(state, name, op.bit, op.source, write=True)
                settled = max(tick, state.ready.get(op.bit, 0))
                words = f"{self._bit(op.bit)} = {op.value}"
                self._event(state, name, settled - tick, "write", op.source, operands=words, bit=self._bit(op.bit))
                settles = (Edge(state.ready_instants[op.bit]),) if op.bit in state.ready else ()
                if settled > tick:
                    self.branch_ticks[step] = settled
                state.cursors[name] = state.ready[op.bit] = settled
        moved = 0 if isinstance(op, WriteBit) else state.cursors[name] - tick
        state.instants[name] = self.graph.add(Edge(start, moved), *settles)
        if isinstance(op, WriteBit):
            state.ready_instants[op.bit] = state.instants[name]
        assert self.graph.ticks[state.instants[name]] == state.cursors[name]

    def _play(self, state: _State, name: str, op: Play) -> int:
        """Send an envelope; return its duration in ticks."""
        tick = state.cursors[name]
        duration = len(self.pulses.envelopes[op.envelope]) * self.limits.sample_ticks
        words = f"{op.envelope} x {op.amplitude:.6g}"
        self._event(state, name, duration, "play", op.source, operands=words, envelope=op.envelope)
        self.late += off_grid(self.events[-1], f"the play of {op.envelope}", self.limits)
        line = self.pulses.frames[op.frame].line
        peak = abs(op.amplitude) * self._peaks[op.envelope]
        self.plays.setdefault(line, []).append(Interval(tick, tick + duration, self._branches(), peak, op.source))
        if op.frame.endswith(".readout"):
            count = state.tones.get(op.frame, 0)
            state.tones[op.frame] = None if count is None else count + 1
        return duration

    def _capture(self, state: _State, step: Step, op: Capture, following: tuple[Op, ...]) -> None:
        """Record; the outcome is ready a feedback latency after the last sample."""
        name = step.sequencer
        tick = state.cursors[name]
        weights = self.pulses.weights[op.weights]
        samples = weights.samples.shape[1]
        if not 1 <= samples <= self.limits.capture_samples_max:
            raise ProgramError(
                f"{op.source.where}a capture of {samples} samples for {weights.qubit}; the port takes 1 to "
                f"{self.limits.capture_samples_max}: change qubits.{weights.qubit}.readout.duration_ns"
            )
        end = tick + samples * self.limits.sample_ticks
        bit = "" if op.bit is None else self._bit(op.bit)
        words = f"{op.weights} -> {bit}" if bit else op.weights
        self._event(state, name, end - tick, "capture", op.source, operands=words, bit=bit)
        self.late += off_grid(self.events[-1], f"the capture for {weights.qubit}", self.limits)
        self.capture_ends.append(Edge(state.instants[name], end - tick))
        self.captures.append(Interval(tick, end, self._branches(), 0.0, op.source))
        frame = f"{weights.qubit}.readout"
        sees = any(isinstance(after, Play) and after.frame == frame for after in following)
        self.tone_indices[step] = state.tones.get(frame, 0) if sees else None
        if op.bit is not None:
            self._access(state, name, op.bit, op.source, write=True)
            before = (Edge(state.ready_instants[op.bit]),) if op.bit in state.ready else ()
            latency = end - tick + self.limits.feedback_latency_ticks
            # On the grid, so that a branch can play at once; and a read waits for all captures of its bit.
            ready = self.graph.add(Edge(state.instants[name], latency, self.limits.granularity_ticks), *before)
            state.ready_instants[op.bit], state.ready[op.bit] = ready, self.graph.ticks[ready]

    # ---- Sequencers together -----------------------------------------------------------------------------------------

    def _sync(self, state: _State, group: Sequence[str], op: Sync | Box, steps: Mapping[str, Step]) -> int:
        """Let the members go on at their largest cursor; return the instant at which they meet."""
        if not group:
            return 0
        tick = max(state.cursors[member] for member in group)
        meeting = self.graph.add(*(Edge(state.instants[member]) for member in group))
        kind, words = _kind(op), " ".join(op.sequencers)
        for member, instant in zip(group, self.graph.split(meeting, len(group)), strict=True):
            start, self._path = state.cursors[member], steps[member].path
            self._event(state, member, tick - start, kind, op.source, operands=words)
            state.cursors[member], state.instants[member] = tick, instant
        state.order.sync(group)
        return meeting

    def _box(self, state: _State, group: Mapping[str, Box], steps: Mapping[str, Step]) -> None:
        """Walk what is in a box, and go on at its end; what ends after it is late."""
        if not group:
            return
        op = next(iter(group.values()))
        meeting = self._sync(state, list(group), op, steps)
        end = self.graph.ticks[meeting] + op.ticks
        first_event, first_capture = len(self.events), len(self.capture_ends)
        self.block(
            state, {name: one.ops for name, one in group.items()}, {name: (*steps[name].path, 0) for name in group}
        )
        words = f"the box of line {op.source.line}"
        self.late += past_box(self.events[first_event:], words, end - op.ticks, end)
        ends = (*self.capture_ends[first_capture:], *(Edge(state.instants[name]) for name in group))
        self.graph.dues.append(Due(words, meeting, op.ticks, ends))
        for name, one in group.items():
            self._path = (*steps[name].path, 0, len(one.ops))
            if (cursor := state.cursors[name]) < end:
                self._event(state, name, end - cursor, "pad", op.source)
            state.cursors[name] = self.join_ticks[steps[name]] = max(cursor, end)
            state.instants[name] = self.graph.add(Edge(state.instants[name]), Edge(meeting, op.ticks))

    def _branch(self, state: _State, group: Mapping[str, If], steps: Mapping[str, Step], *, ends: bool) -> None:
        """Walk both sides of a branch and join them."""
        first = next(iter(group.values()))
        number = self._branch_count = self._branch_count + 1
        names = tuple(self._bit(bit) for bit in first.bits)
        sides = [Branch(number, otherwise, names, first.value) for otherwise in (False, True)]
        for name, op in group.items():
            self._decide(state, steps[name], op, sides[0])
        around, states = self._sides, (state.copy(), state.copy())
        for side, chosen in enumerate(states):
            self._sides = (*around, sides[side])
            blocks = {name: op.otherwise if side else op.then for name, op in group.items()}
            paths = {name: (*steps[name].path, side) for name in group}
            self.block(chosen, blocks, paths)
        for name, op in group.items():
            cursors = [chosen.cursors[name] for chosen in states]
            join = max(cursors)
            if op.pad:
                self.join_ticks[steps[name]] = join
            elif cursors[0] != cursors[1] and not ends:
                raise ProgramError(
                    f"{op.source.where}a branch of variable duration ({cursors[0]} or {cursors[1]} ticks): what follows has no static tick"
                )
            for side, cursor in enumerate(cursors):
                self._sides = (*around, sides[side])
                self._path = (*steps[name].path, side, len(op.otherwise if side else op.then))
                if op.pad and cursor < join:
                    self._event(states[side], name, join - cursor, "pad", op.source)
        self._sides = around
        state.join(*states)

    def _decide(self, state: _State, step: Step, op: If, side: Branch) -> None:
        """Move the cursor to the tick at which the branch can decide."""
        name, self._path = step.sequencer, step.path
        for bit in op.bits:
            self._access(state, name, bit, op.source, write=False)
        cursor = state.cursors[name]
        ready = max((state.ready.get(bit, 0) for bit in op.bits), default=0)
        due = max(cursor, ready)
        slack = due - ready
        outcome = self.graph.add(Edge(0), *(Edge(state.ready_instants[bit]) for bit in op.bits if bit in state.ready))
        self._event(state, name, due - cursor, "if", op.source, operands=side.words, slack=slack, decides=side.number)
        self.events[-1] = msgspec.structs.replace(self.events[-1], outcome_instant=outcome)
        state.cursors[name] = self.branch_ticks[step] = due
        state.instants[name] = self.graph.add(Edge(state.instants[name]), Edge(outcome))

    def _access(self, state: _State, name: str, bit: int, source: Source, *, write: bool) -> None:
        """Note an access to a bit. Raises ProgramError if it races with another sequencer's."""
        others = state.order.conflicts(name, bit, write=write)
        if others:
            verb = "writes" if write else "reads"
            raise ProgramError(
                f"{source.where}{name} {verb} {self._bit(bit)} without a sync after {', '.join(sorted(others))} used it: which comes "
                "first would depend on pulse lengths"
            )
        state.order.access(name, bit, write=write)

    # ---- Words -------------------------------------------------------------------------------------------------------

    def _event(
        self,
        state: _State,
        name: str,
        duration: int,
        kind: str,
        source: Source,
        *,
        operands: str = "",
        slack: int | None = None,
        envelope: str = "",
        bit: str = "",
        decides: int | None = None,
    ) -> None:
        """Note an event at the sequencer's cursor, under the conditions of the branches around it."""
        self.events.append(
            Event(
                sequencer=name,
                tick=state.cursors[name],
                duration_ticks=duration,
                kind=kind,
                operands=operands,
                slack_ticks=slack,
                condition=", ".join(side.words for side in self._sides),
                source=source,
                branches=self._sides,
                envelope=envelope,
                bit=bit,
                decides=decides,
                path=self._path,
                instant=state.instants[name],
            )
        )

    def _branches(self) -> tuple[tuple[int, int], ...]:
        return tuple((side.number, int(side.otherwise)) for side in self._sides)

    def _bit(self, bit: int) -> str:
        return self.pulses.bits[bit] if bit < len(self.pulses.bits) else f"bit {bit}"


def _meeting(name: str, parked: Mapping[str, Sync | If | Box]) -> list[str]:
    """Return who goes on with the sequencer that has just arrived; nobody while one of them is still on its way."""
    arrived = parked[name]
    members = [name, *(other for other in arrived.sequencers if other != name)]
    together = all(other in parked and _place(parked[other]) == _place(arrived) for other in members)
    return members if together else []


def _kind(op: Sync | If | Box) -> str:
    return {Sync: "sync", If: "branch", Box: "box"}[type(op)]


def _place(op: Sync | If | Box) -> tuple[object, ...]:
    """Return what two operations on different sequencers have in common if they are one in the program."""
    members = frozenset(op.sequencers)
    match op:
        case Sync():
            return (_kind(op), members)
        case Box():
            return (_kind(op), members, op.ticks, op.source)
        case If():
            return (_kind(op), members, op.bits, op.value, op.source)
