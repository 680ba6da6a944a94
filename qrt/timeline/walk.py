"""The walk: pulses in, events with exact ticks out, both sides of every branch.

Sequencers are advanced in the kernel's order, the smallest cursor first. A branch is walked twice from the tick at which it
decides, and the two ends are joined at the later one, so that after it there is one state again; the Ifs that are one branch of
the program are walked together, for they take the same side. What is proved is static: a branch of variable duration may only
end a sequencer's block.

Durations that vary between shots (`Parameter`) make a tick the largest of sums of them (`ticks`). Everything is proved for every value
that they can have together: order of accesses to bits needs no ticks; the shot's end is bounded by the largest value of every cursor; a
branch after a varied wait decides when its outcomes are ready. Where sides of a branch meet, or a box ends, at a tick that moves, what
pads to it is a constant and a sum of varied durations, or the program is refused. The sequencers' order of walking decides nothing but
the order of the list.

What ends after it is due is walked on, and told by `survey` with everything else that is late: past the period, past the end of a
box, off the port's grid. `schedule` refuses such a shot. What else could not run is refused at once by either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qrt.classical import bits_of
from qrt.errors import ProgramError
from qrt.timeline.events import Pad, Path, Step, Timeline
from qrt.timeline.found import Found
from qrt.timeline.graph import Due, Edge
from qrt.timeline.late import past_box, past_period, stretched
from qrt.timeline.limits import check_intervals
from qrt.timeline.noted import branch_of
from qrt.timeline.state import State
from qrt.timeline.steps import alone
from qrt.timeline.ticks import FORMS_MAX, Moving, Reach, Still, Tick, difference, gap
from qrt.types import Box, If, Op, Parameter, PortLimits, Pulses, Sync


def schedule(pulses: Pulses, limits: PortLimits, reach: Reach | None = None) -> Timeline:
    """Return the timeline of a shot. Raises ProgramError where the shot cannot run as it stands, or is not static.

    `reach`: what the varied operands can be, where there are any.
    """
    timeline = survey(pulses, limits, reach)
    if timeline.late:
        first, *others = timeline.late
        more = f"; {len(others)} more late: qrt check lists them" if others else ""
        raise ProgramError(f"{first.source.where}{first.message}{more}")
    return timeline


def survey(pulses: Pulses, limits: PortLimits, reach: Reach | None = None) -> Timeline:
    """Return the timeline of a shot with everything that is late in it. Raises ProgramError for what is wrong otherwise."""
    found = Found(pulses, limits, Still() if reach is None else reach)
    state = State(pulses.blocks, found.graph)
    _walked(_Walk(found).block(state, pulses.blocks, dict.fromkeys(pulses.blocks, ()), last=True))
    check_intervals(found.ticks, found.captures, found.plays, limits)
    ends = [*map(state.cursor, pulses.blocks), *(capture.end for capture in found.captures)]
    shot_ticks = max((found.ticks.span(end)[1] for end in ends), default=0)
    period = pulses.period_ticks * (1 + pulses.stretch_max)
    if period:
        cursors = map(Edge, state.cursors.values())
        found.graph.dues.append(Due(stretched("the period", pulses), 0, period, (*found.capture_ends, *cursors)))
        found.late += past_period(found, shot_ticks, period)
    return Timeline(
        shot_ticks=shot_ticks,
        period_ticks=pulses.period_ticks,
        stretch_max=pulses.stretch_max,
        branch_ticks=found.branch_ticks,
        join_ticks=found.join_ticks,
        pads=found.pads,
        tone_indices=found.tone_indices,
        late=tuple(sorted(found.late, key=lambda late: (late.at_tick, late.source.line))),
        graph=found.graph,
        grid_ticks=limits.granularity_ticks,
        tell=found.events,
    )


Walking = Iterator["Walking"]  # yields the walks that it has to wait for


def _walked(walking: Walking) -> None:
    """Walk to the end. What a walk waits for stands on a list, so that branches in branches may be as deep as they like."""
    waiting = [walking]
    while waiting:
        inner = next(waiting[-1], None)
        if inner is None:
            waiting.pop()
        else:
            waiting.append(inner)


class _Walk:
    """Moves states through blocks: which sequencer is next, and what they do together."""

    def __init__(self, found: Found) -> None:
        self.found, self.graph, self.ticks = found, found.graph, found.ticks
        self._branch_count = 0

    def block(
        self, state: State, blocks: Mapping[str, tuple[Op, ...]], paths: Mapping[str, Path], *, last: bool
    ) -> Walking:
        """Advance the sequencers through their blocks, side by side, to the ends; `last`: nothing follows on any of them."""
        index = dict.fromkeys(blocks, 0)
        parked: dict[str, Sync | If | Box] = {}
        while going := [name for name in blocks if name not in parked and index[name] < len(blocks[name])]:
            name = min(going, key=lambda one: self.ticks.span(state.cursor(one))[0]) if len(going) > 1 else going[0]
            self.found.path = paths[name]
            at = index[name] = alone(self.found, state, name, blocks[name], index[name])
            if at == len(blocks[name]):
                continue
            op = parked[name] = blocks[name][at]  # type: ignore[assignment]
            group = _meeting(name, parked)
            steps = {member: Step(member, (*paths[member], index[member])) for member in group}
            if isinstance(op, Sync):
                self._sync(state, group, op, steps)
            elif isinstance(op, Box):
                yield self._box(state, {member: parked[member] for member in group}, steps)  # type: ignore[misc]
            elif group:
                ends = last and all(index[member] == len(blocks[member]) - 1 for member in group)
                yield self._branch(state, {member: parked[member] for member in group}, steps, last=ends)  # type: ignore[misc]
            for member in group:
                del parked[member]
                index[member] += 1
        for name, one in parked.items():
            others = ", ".join(other for other in one.sequencers if other != name)
            raise ProgramError(
                f"{one.source.where}{name} waits for {others} at a {_kind(one)} to which they never come"
            )

    # ---- Meetings and boxes ------------------------------------------------------------------------------------------

    def _sync(self, state: State, group: Sequence[str], op: Sync | Box, steps: Mapping[str, Step]) -> int:
        """Let the members go on at their largest cursor; return the instant at which they meet."""
        if not group:
            return 0
        meeting = self.graph.add(*(Edge(state.cursors[member]) for member in group))
        tick = self.graph.at[meeting]
        if isinstance(tick, Moving) and len(tick.forms) > FORMS_MAX:
            raise ProgramError(
                f"{op.source.where}the tick at which {', '.join(op.sequencers)} meet depends on varied durations in {len(tick.forms)} "
                f"ways; {FORMS_MAX} are possible: vary fewer delays, or delay these qubits together"
            )
        for member, instant in zip(group, self.graph.split(meeting, len(group)), strict=True):
            self._stand(steps[member].path)
            self.found.note(state, member, tick, _kind(op), op)
            state.cursors[member] = instant
        state.order.sync(group)
        return meeting

    def _stand(self, path: Path) -> None:
        """Look at the operation at a path."""
        *above, self.found.index = path
        self.found.path = tuple(above)

    def _box(self, state: State, group: Mapping[str, Box], steps: Mapping[str, Step]) -> Walking:
        """Walk what is in a box, and go on at its end; what ends after it is late."""
        if not group:
            return
        found, op = self.found, next(iter(group.values()))
        meeting = self._sync(state, list(group), op, steps)
        assert (self.ticks.words(op.ticks)[0] if isinstance(op.ticks, Parameter) else op.ticks) >= 0
        begin, end = self.graph.at[meeting], self.graph.after(Edge(meeting, op.ticks))
        first, first_capture = len(found.noted), len(found.capture_ends)
        inside = {name: one.ops for name, one in group.items()}
        yield self.block(state, inside, {name: (*steps[name].path, 0) for name in group}, last=False)
        words = f"the box of line {op.source.line}"
        found.late += past_box(found, found.noted[first:], words, begin, end)
        ends = (*found.capture_ends[first_capture:], *(Edge(state.cursors[name]) for name in group))
        self.graph.dues.append(Due(words, meeting, op.ticks, ends))
        for name, one in group.items():
            self._stand((*steps[name].path, 0, len(one.ops)))
            self._end_of_box(state, steps[name], op, end)
            state.cursors[name] = self.graph.add(Edge(state.cursors[name]), Edge(meeting, op.ticks))

    def _end_of_box(self, state: State, step: Step, op: Box, end: Tick) -> None:
        """Note how a sequencer waits for the end of a box. Raises ProgramError where that is no constant and no sum of varied durations."""
        cursor = state.cursor(step.sequencer)
        if self.ticks.ahead(end, cursor)[1] > 0:
            self.found.note(state, step.sequencer, end, "pad", op)
        if isinstance(end, int):
            self.found.join_ticks[step] = end
            return
        if self.ticks.most_ahead(cursor, end) > 0:
            return  # late, and told so
        pad = self._pad(end, cursor)
        if pad is None:
            raise ProgramError(
                f"{op.source.where}{step.sequencer} would have to wait for the end of this box by the longest of several varied durations, "
                "or by one and an outcome: begin or end the box at a tick that does not vary, or vary less inside"
            )
        self.found.pads[step] = (pad,)

    # ---- Branches ----------------------------------------------------------------------------------------------------

    def _branch(self, state: State, group: Mapping[str, If], steps: Mapping[str, Step], *, last: bool) -> Walking:
        """Walk both sides of a branch and join them."""
        found, first = self.found, next(iter(group.values()))
        number = self._branch_count = self._branch_count + 1
        sides = [branch_of(first, number, found.pulses, otherwise=otherwise) for otherwise in (False, True)]
        for name, op in group.items():
            self._decide(state, steps[name], op, number)
        around, states = found.sides, (state.copy(), state.copy())
        for side, chosen in enumerate(states):
            found.enter((*around, sides[side]))
            blocks = {name: op.otherwise if side else op.then for name, op in group.items()}
            yield self.block(chosen, blocks, {name: (*steps[name].path, side) for name in group}, last=last)
        for name, op in group.items():
            cursors = [chosen.cursor(name) for chosen in states]
            if not op.pad:
                if gap(cursors[0], cursors[1]) != 0 and not last:
                    lengths = " or ".join(str(self.ticks.span(cursor)[1]) for cursor in cursors)
                    raise ProgramError(
                        f"{op.source.where}a branch of variable duration ({lengths} ticks): what follows has no static tick"
                    )
                continue
            join = self._join(steps[name], op, cursors)
            for side, cursor in enumerate(cursors):
                found.enter((*around, sides[side]))
                self._stand((*steps[name].path, side, len(op.otherwise if side else op.then)))
                if self.ticks.ahead(join, cursor)[1] > 0:
                    found.note(states[side], name, join, "pad", op)
        found.enter(around)
        state.join(*states)

    def _join(self, step: Step, op: If, cursors: Sequence[Tick]) -> Tick:
        """Note where the sides of a padded branch meet, or what each is padded by; return the tick."""
        join = self.ticks.largest(*cursors)
        if isinstance(join, int):
            self.found.join_ticks[step] = join
            return join
        pads = tuple(self._pad(join, cursor) for cursor in cursors)
        if None in pads:
            raise ProgramError(
                f"{op.source.where}which side of this branch is longer than the other depends on a duration that varies: put the same "
                "varied delay on both sides, move it out of the branch, or put a box around the branch"
            )
        self.found.pads[step] = tuple(pad for pad in pads if pad is not None)
        return join

    def _pad(self, end: Tick, cursor: Tick) -> Pad | None:
        """Return the wait from a cursor to a later tick; None if it is no sum of varied durations and a constant."""
        form = difference(end, cursor)
        varied = () if form is None else self.ticks.varied(form)
        swept = tuple((one, count) for one, count in varied if isinstance(one, Parameter))
        return Pad(form.constant, swept) if form is not None and len(swept) == len(varied) else None

    def _decide(self, state: State, step: Step, op: If, number: int) -> None:
        """Move the cursor to the tick at which the branch can decide; without outcomes, it decides where it stands."""
        found, name = self.found, step.sequencer
        self._stand(step.path)
        outcome = found.awaited(state, name, op, op.condition)
        if not outcome:
            found.note(state, name, state.cursor(name), "if", op, number=number)
            return
        edges = (Edge(state.cursors[name]), Edge(outcome))
        due = self.ticks.largest(*map(self.graph.after, edges))
        found.settle(state, step, op, bits=bits_of(op.condition), due=due)
        found.note(state, name, due, "if", op, number=number, outcome=outcome)
        state.cursors[name] = self.graph.add(*edges)


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
            return (_kind(op), members, op.condition, op.source)
