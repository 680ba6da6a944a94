"""The walk: pulses in, events with exact ticks out, both sides of every branch.

Sequencers are advanced in the kernel's order, the smallest cursor first. A branch is walked twice from the tick at which it
decides, and the two ends are joined at the later one, so that after it there is one state again; the Ifs that are one branch of
the program are walked together, for they take the same side. What is proved is static: a branch of variable duration may only
end a sequencer's block.

Durations that vary between shots (`Parameter`) make a tick the largest of sums of them (`ticks`). Everything is proved for every value
that they can have together: order of accesses to bits needs no ticks; the shot's end is bounded by the largest value of every cursor; a
branch after a varied wait decides when its outcomes are ready, and its sides differ by a constant, or it is refused. The sequencers'
order of walking decides nothing but the order of the list.

Slack of a branch is its due tick minus the tick at which its outcomes are ready: how much later the outcome could have come
without moving anything. A branch that had to wait for its outcome has slack 0, and its event's duration is the wait.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qrt.errors import ProgramError
from qrt.timeline.events import Branch, Event, Path, Step, Timeline
from qrt.timeline.limits import Interval, check_grid, check_intervals
from qrt.timeline.order import Order
from qrt.timeline.ticks import FORMS_MAX, Moving, Reach, Still, Tick, Ticks, gap
from qrt.types import (
    Capture,
    If,
    Op,
    Parameter,
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
from qrt.units import AMPLITUDE_ONE


def schedule(pulses: Pulses, limits: PortLimits, reach: Reach | None = None) -> Timeline:
    """Return the timeline of a shot. Raises ProgramError where the shot cannot run as it stands, or is not static.

    `reach`: what the varied operands can be, where there are any.
    """
    walk = _Walk(pulses, limits, Ticks(Still() if reach is None else reach), Still() if reach is None else reach)
    state = _State(pulses.blocks)
    walk.block(state, pulses.blocks, dict.fromkeys(pulses.blocks, ()))
    check_intervals(walk.ticks, walk.captures, walk.plays, limits)
    rank = {name: index for index, name in enumerate(pulses.blocks)}
    events = sorted(walk.events, key=lambda event: (event.tick, rank[event.sequencer]))
    ends = [*state.cursors.values(), *(capture.end for capture in walk.captures)]
    shot_ticks = max((walk.ticks.span(end)[1] for end in ends), default=0)
    period = pulses.period_ticks
    if period and shot_ticks > period:
        late = min((event for event in events if _end(event) > period), key=_end)
        raise ProgramError(
            f"{late.source.where}the shot takes {shot_ticks} ticks, {shot_ticks - period} more than its period of {period} "
            f"(timing.shot_period_ns); the first event past it is {late.kind} {late.operands} on {late.sequencer}, which ends at tick "
            f"{_end(late)}"
        )
    return Timeline(tuple(events), shot_ticks, period, walk.branch_ticks, walk.join_ticks, walk.pads, walk.tone_indices)


def _end(event: Event) -> int:
    """Return a tick at which an event has ended at every point."""
    return event.tick + event.later_ticks + event.duration_ticks + event.longer_ticks


class _State:
    """Where a path of the shot stands."""

    def __init__(self, sequencers: Mapping[str, object]) -> None:
        self.cursors: dict[str, Tick] = dict.fromkeys(sequencers, 0)
        self.ready: dict[int, Tick] = {}  # bit -> tick from which it can be read, on the latest path
        self.unsure: set[int] = set()  # bits that can be read earlier on another path
        self.tones: dict[str, int | None] = {}  # readout frame -> tones so far, None if that depends on the path
        self.order = Order(sequencers)

    def copy(self) -> _State:
        other = _State({})
        other.cursors, other.ready, other.tones = dict(self.cursors), dict(self.ready), dict(self.tones)
        other.order, other.unsure = self.order.copy(), set(self.unsure)
        return other

    def join(self, then: _State, otherwise: _State, ticks: Ticks) -> None:
        """Become what holds on either side."""
        self.cursors = {name: ticks.largest(tick, otherwise.cursors[name]) for name, tick in then.cursors.items()}
        bits = then.ready.keys() | otherwise.ready.keys()
        pairs = {bit: (then.ready.get(bit, 0), otherwise.ready.get(bit, 0)) for bit in bits}
        self.ready = {bit: ticks.largest(*pair) for bit, pair in pairs.items()}
        self.unsure = then.unsure | otherwise.unsure | {bit for bit, pair in pairs.items() if gap(*pair) != 0}
        frames = then.tones.keys() | otherwise.tones.keys()
        counts = {frame: (then.tones.get(frame, 0), otherwise.tones.get(frame, 0)) for frame in frames}
        self.tones = {frame: left if left == right else None for frame, (left, right) in counts.items()}
        self.order = then.order.joined(otherwise.order)


class _Walk:
    """Collects events while states move through blocks."""

    def __init__(self, pulses: Pulses, limits: PortLimits, ticks: Ticks, reach: Reach) -> None:
        self.pulses, self.limits, self.ticks, self._reach = pulses, limits, ticks, reach
        self.events: list[Event] = []
        self.captures: list[Interval] = []
        self.plays: dict[str, list[Interval]] = {}  # line -> plays
        self.branch_ticks: dict[Step, int] = {}
        self.join_ticks: dict[Step, int] = {}
        self.pads: dict[Step, tuple[int, int]] = {}
        self.tone_indices: dict[Step, int | None] = {}
        self._peaks = {name: float(np.abs(samples).max(initial=0.0)) for name, samples in pulses.envelopes.items()}
        self._sides: tuple[Branch, ...] = ()  # around the walk
        self._branch_count = 0

    def block(self, state: _State, blocks: Mapping[str, tuple[Op, ...]], paths: Mapping[str, Path]) -> None:
        """Advance the sequencers through their blocks, side by side, to the ends."""
        index = dict.fromkeys(blocks, 0)
        parked: dict[str, Sync | If] = {}
        while ready := [name for name in blocks if name not in parked and index[name] < len(blocks[name])]:
            name = min(ready, key=lambda one: self.ticks.span(state.cursors[one])[0])
            op = blocks[name][index[name]]
            if isinstance(op, Sync | If):
                parked[name] = op
                group = _meeting(name, parked)
                steps = {member: Step(member, (*paths[member], index[member])) for member in group}
                if isinstance(op, Sync):
                    self._sync(state, group, op)
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
            what = "sync" if isinstance(op, Sync) else "branch"
            others = ", ".join(other for other in op.sequencers if other != name)
            raise ProgramError(f"{op.source.where}{name} waits for {others} at a {what} to which they never come")

    # ---- One operation -----------------------------------------------------------------------------------------------

    def _step(self, state: _State, step: Step, op: Op, following: tuple[Op, ...]) -> None:
        """Execute an operation that concerns its sequencer alone."""
        name = step.sequencer
        tick = state.cursors[name]
        match op:
            case Play():
                state.cursors[name] = self.ticks.after(tick, self._play(state, name, op))
            case Capture():
                self._capture(state, step, op, following)
            case Wait():
                low, high = self._words(op.ticks) if isinstance(op.ticks, Parameter) else (op.ticks, op.ticks)
                assert low >= 0
                self._event(name, tick, (low, high), "wait", op.source)
                state.cursors[name] = self.ticks.after(tick, op.ticks)
            case ShiftPhase():
                self._event(name, tick, 0, "phase", op.source, operands=self._phase(op))
            case SetFrequency(frame=frame, frequency_hz=hertz):
                words = hertz.text if isinstance(hertz, Parameter) else f"{hertz:+.10g} Hz"
                self._event(name, tick, 0, "frequency", op.source, operands=f"{frame} {words}")
                if isinstance(hertz, Parameter):
                    self._reach.slot(hertz)
            case WriteBit():
                self._access(state, name, op.bit, op.source, write=True)
                settled = self.ticks.largest(tick, state.ready.get(op.bit, 0))
                self._event(
                    name,
                    tick,
                    self.ticks.ahead(settled, tick),
                    "write",
                    op.source,
                    operands=f"{self._bit(op.bit)} = {op.value}",
                    bit=self._bit(op.bit),
                )
                state.cursors[name] = state.ready[op.bit] = settled

    def _play(self, state: _State, name: str, op: Play) -> int:
        """Send an envelope; return its duration in ticks."""
        tick = state.cursors[name]
        check_grid(self.ticks, tick, f"the play of {op.envelope}", op.source, self.limits)
        duration = len(self.pulses.envelopes[op.envelope]) * self.limits.sample_ticks
        if isinstance(op.amplitude, Parameter):
            low, high = (word / AMPLITUDE_ONE for word in self._words(op.amplitude))
            words = f"{op.envelope} x {low:.6g}..{high:.6g} {op.amplitude.text}"
        else:
            low = high = op.amplitude
            words = f"{op.envelope} x {op.amplitude:.6g}"
        self._event(name, tick, duration, "play", op.source, operands=words, envelope=op.envelope)
        line = self.pulses.frames[op.frame].line
        peak, end = max(abs(low), abs(high)) * self._peaks[op.envelope], self.ticks.after(tick, duration)
        self.plays.setdefault(line, []).append(Interval(tick, end, self._branches(), peak, op.source))
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
        check_grid(self.ticks, tick, f"the capture for {weights.qubit}", op.source, self.limits)
        if not 1 <= samples <= self.limits.capture_samples_max:
            raise ProgramError(
                f"{op.source.where}a capture of {samples} samples for {weights.qubit}; the port takes 1 to "
                f"{self.limits.capture_samples_max}: change qubits.{weights.qubit}.readout.duration_ns"
            )
        duration = samples * self.limits.sample_ticks
        end = self.ticks.after(tick, duration)
        bit = "" if op.bit is None else self._bit(op.bit)
        words = f"{op.weights} -> {bit}" if bit else op.weights
        self._event(name, tick, duration, "capture", op.source, operands=words, bit=bit)
        self.captures.append(Interval(tick, end, self._branches(), 0.0, op.source))
        frame = f"{weights.qubit}.readout"
        sees = any(isinstance(after, Play) and after.frame == frame for after in following)
        self.tone_indices[step] = state.tones.get(frame, 0) if sees else None
        if op.bit is not None:
            self._access(state, name, op.bit, op.source, write=True)
            ready = self._on_grid(self.ticks.after(end, self.limits.feedback_latency_ticks))
            before = state.ready.get(op.bit, 0)
            state.ready[op.bit] = self.ticks.largest(ready, before)  # a read waits for all captures of its bit
            if self.ticks.ahead(ready, before)[0] >= 0:
                state.unsure.discard(op.bit)

    # ---- Sequencers together -----------------------------------------------------------------------------------------

    def _sync(self, state: _State, group: list[str], op: Sync) -> None:
        """Let the members go on at their largest cursor."""
        if not group:
            return
        tick = self.ticks.largest(*(state.cursors[member] for member in group))
        if isinstance(tick, Moving) and len(tick.forms) > FORMS_MAX:
            raise ProgramError(
                f"{op.source.where}the tick at which {', '.join(op.sequencers)} meet depends on varied durations in {len(tick.forms)} "
                f"ways; {FORMS_MAX} are possible: vary fewer delays, or delay these qubits together"
            )
        for member in group:
            start = state.cursors[member]
            self._event(
                member, start, self.ticks.ahead(tick, start), "sync", op.source, operands=" ".join(op.sequencers)
            )
            state.cursors[member] = tick
        state.order.sync(group)

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
            if not op.pad:
                if gap(cursors[0], cursors[1]) != 0 and not ends:
                    lengths = " or ".join(str(self.ticks.span(cursor)[1]) for cursor in cursors)
                    raise ProgramError(
                        f"{op.source.where}a branch of variable duration ({lengths} ticks): what follows has no static tick"
                    )
                continue
            for side, pad in enumerate(self._join(steps[name], op, cursors)):
                self._sides = (*around, sides[side])
                if pad:
                    self._event(name, cursors[side], pad, "pad", op.source)
            self._sides = around
        state.join(*states, self.ticks)

    def _join(self, step: Step, op: If, cursors: list[Tick]) -> tuple[int, int]:
        """Note where the sides of a padded branch meet; return what each is padded by."""
        join = self.ticks.largest(*cursors)
        then, otherwise = (gap(join, cursor) for cursor in cursors)
        if then is None or otherwise is None:
            raise ProgramError(
                f"{op.source.where}one side of this branch is longer than the other by a duration that varies, and a pad is constant: put "
                "the same varied delay on both sides, or move it out of the branch"
            )
        if isinstance(join, int):
            self.join_ticks[step] = join
        else:
            self.pads[step] = then, otherwise
        return then, otherwise

    def _decide(self, state: _State, step: Step, op: If, side: Branch) -> None:
        """Move the cursor to the tick at which the branch can decide."""
        name = step.sequencer
        for bit in op.bits:
            self._access(state, name, bit, op.source, write=False)
        cursor = state.cursors[name]
        ready = self.ticks.largest(0, *(state.ready.get(bit, 0) for bit in op.bits))
        due = self.ticks.largest(cursor, ready)
        slack = max(self.ticks.ahead(due, ready)[0], 0)
        wait = self.ticks.ahead(due, cursor)
        self._event(name, cursor, wait, "if", op.source, operands=side.words, slack=slack, decides=side.number)
        state.cursors[name] = due
        if isinstance(due, int):
            self.branch_ticks[step] = due
        elif state.unsure.intersection(op.bits) and self.ticks.ahead(cursor, ready)[0] < 0:
            raise ProgramError(
                f"{op.source.where}the tick at which this branch decides depends on a varied duration and on which side an earlier branch "
                "took: measure its bit on both sides alike, or put a delay before it"
            )

    def _on_grid(self, tick: Tick) -> Tick:
        """Return the first tick on the port's grid from this one on; outcomes become ready there, so that a branch can play at once.

        Varied durations before a capture are multiples of the grid: what it began at is on it.
        """
        grid = self.limits.granularity_ticks
        if isinstance(tick, int):
            return -(-tick // grid) * grid
        return Moving(tuple(form._replace(constant=-(-form.constant // grid) * grid) for form in tick.forms))

    def _words(self, parameter: Parameter) -> tuple[int, int]:
        """Return the least and the largest word of a varied operand."""
        return self._reach.span(((self._reach.slot(parameter), 1),))

    def _phase(self, op: ShiftPhase) -> str:
        """Return what a shift of a phase is for a person."""
        if isinstance(op.phase_rad, Parameter):
            self._reach.slot(op.phase_rad)
            return f"{op.frame} {op.phase_rad.text}"
        turns = op.phase_rad / (2 * np.pi) if op.turns is None else float(op.turns)
        return f"{op.frame} {turns - round(turns):+.6g} turns"

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
        name: str,
        tick: Tick,
        duration: int | tuple[int, int],  # one, or the shortest and the longest
        kind: str,
        source: Source,
        *,
        operands: str = "",
        slack: int | None = None,
        envelope: str = "",
        bit: str = "",
        decides: int | None = None,
    ) -> None:
        """Note an event under the conditions of the branches around it."""
        earliest, latest = self.ticks.span(tick)
        shortest, longest = (duration, duration) if isinstance(duration, int) else duration
        self.events.append(
            Event(
                sequencer=name,
                tick=earliest,
                later_ticks=latest - earliest,
                duration_ticks=max(shortest, 0),
                longer_ticks=longest - max(shortest, 0),
                kind=kind,
                operands=operands,
                slack_ticks=slack,
                condition=", ".join(side.words for side in self._sides),
                source=source,
                branches=self._sides,
                envelope=envelope,
                bit=bit,
                decides=decides,
            )
        )

    def _branches(self) -> tuple[tuple[int, int], ...]:
        return tuple((side.number, int(side.otherwise)) for side in self._sides)

    def _bit(self, bit: int) -> str:
        return self.pulses.bits[bit] if bit < len(self.pulses.bits) else f"bit {bit}"


def _meeting(name: str, parked: Mapping[str, Sync | If]) -> list[str]:
    """Return who goes on with the sequencer that has just arrived; nobody while one of them is still on its way."""
    arrived = parked[name]
    members = [name, *(other for other in arrived.sequencers if other != name)]
    together = all(other in parked and _place(parked[other]) == _place(arrived) for other in members)
    return members if together else []


def _place(op: Sync | If) -> tuple[object, ...]:
    """Return what two operations on different sequencers have in common if they are one in the program."""
    members = frozenset(op.sequencers)
    return ("sync", members) if isinstance(op, Sync) else ("if", members, op.bits, op.value, op.source)
