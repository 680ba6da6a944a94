"""Pulses of boxes, branches and syncs that hypothesis writes, and what is done to them: delayed at one place, walked along one path.

Every length is a multiple of the port's grid, so that nothing begins off it. Each sequencer writes a bit of its own, and bits are read by
others only between syncs, so that nothing races.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import add, eq, lt, xor

import msgspec
import numpy as np
from hypothesis import strategies as st

from qrt.timeline import Event, Timeline, survey
from qrt.types import (
    Assign,
    Bits,
    Box,
    Capture,
    Classical,
    Computed,
    Emit,
    Frame,
    If,
    Op,
    Play,
    PortLimits,
    Pulses,
    SetFrequency,
    ShiftPhase,
    Source,
    Sync,
    Variable,
    Wait,
    Weights,
    WriteBit,
)

NAMES = ("a", "b", "c")
PERIOD_MAX = 1 << 30
KINDS = [
    "wait",
    "play",
    "capture",
    "phase",
    "frequency",
    "write",
    "assign",
    "output",
    "loud",
    "sync",
    "box",
    "box",
    *["if"] * 3,
]


def limits(latency: int, grid: int) -> PortLimits:
    return PortLimits(latency, grid, 1, 64, 64, 65536, 64)


class _Draw:
    """Writes items at the ends of blocks. Every operation of the program has a line of its own."""

    def __init__(self, draw, grid: int) -> None:
        self.draw, self.grid, self.line = draw, grid, 0

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def source(self) -> Source:
        self.line += 1
        return Source(self.line, 1, "", "p")

    def items(self, group: Sequence[str], blocks: dict[str, list[Op]], depth: int) -> None:
        for _ in range(self.number(1, 5 if depth == 0 else 3)):
            kind = self.draw(st.sampled_from(KINDS))
            if kind == "sync" or (kind in {"box", "if"} and depth > 2):
                self.sync(group, blocks)
            elif kind == "box":
                self.box(self.some(group), blocks, depth)
            elif kind == "if":
                self.branch(self.some(group), blocks, depth)
            else:
                name = self.draw(st.sampled_from(group))
                blocks[name] += self.simple(kind, name)

    def some(self, group: Sequence[str]) -> list[str]:
        chosen = self.draw(st.sets(st.sampled_from(group), min_size=1))
        return [name for name in group if name in chosen]

    def simple(self, kind: str, name: str) -> list[Op]:
        source, bit = self.source(), NAMES.index(name)
        match kind:
            case "wait":
                return [Wait(self.number(0, 9) * self.grid, source)]
            case "play":
                return [Play(f"{name}.drive", self.draw(st.sampled_from(["short", "long"])), 0.01, source=source)]
            case "capture":
                return [Capture(self.draw(st.sampled_from(["few", "many"])), bit, source=source)]
            case "phase":
                return [ShiftPhase(f"{name}.drive", 0.5, source)]
            case "frequency":
                return [SetFrequency(f"{name}.drive", 1e6, source)]
            case "assign":
                return [Assign(bit, self.value(bit), source)]
            case "output":
                return [Emit(bit, self.value(bit), source)]
            case "loud":
                loud = Computed("*", Computed("&", self.value(bit), 3), 100)
                return [Play(f"{name}.drive", "short", loud, source=source)]
        return [WriteBit(bit, self.number(0, 1), source)]

    def value(self, own: int) -> Classical:
        """What a sequencer can know without a sync: its own bit and variable."""
        one = self.draw(st.sampled_from([Bits((own,)), Variable(own), Computed("+", Variable(own), Bits((own,)))]))
        return Computed(self.draw(st.sampled_from(["+", "^", "<"])), one, self.number(-1, 2))

    def sync(self, group: Sequence[str], blocks: dict[str, list[Op]]) -> None:
        source = self.source()
        if len(group) > 1:
            for name in group:
                blocks[name].append(Sync(tuple(group), source))

    def box(self, group: Sequence[str], blocks: dict[str, list[Op]], depth: int) -> None:
        source, inside = self.source(), {name: [] for name in group}
        ticks = self.number(0, 12) * self.grid
        self.items(group, inside, depth + 1)
        together = tuple(group) if len(group) > 1 else ()
        for name in group:
            blocks[name].append(Box(ticks, tuple(inside[name]), source, together))

    def branch(self, group: Sequence[str], blocks: dict[str, list[Op]], depth: int) -> None:
        chosen = self.draw(st.sets(st.sampled_from(group), min_size=1, max_size=2))
        bits = tuple(NAMES.index(name) for name in group if name in chosen)
        condition, sides = Computed("==", Bits(bits), self.number(0, (1 << len(bits)) - 1)), []
        self.sync(group, blocks)  # so that the others' bits may be read
        source = self.source()
        for _ in range(2):
            side: dict[str, list[Op]] = {name: [] for name in group}
            self.sync(group, side)  # so that they are read before they are written
            if self.number(0, 3):
                self.items(group, side, depth + 1)
            sides.append(side)
        together = tuple(group) if len(group) > 1 else ()
        if len(group) == 1 and self.number(0, 1):
            condition = self.value(NAMES.index(group[0]))
        for name in group:
            then, otherwise = (tuple(side[name]) for side in sides)
            blocks[name].append(If(condition, then, otherwise, source=source, sequencers=together))
        self.sync(group, blocks)


@st.composite
def cases(draw) -> tuple[Pulses, PortLimits]:
    """Pulses in which nothing is late, boxes and period tight or nearly so, and the limits of a port."""
    grid = draw(st.sampled_from([1, 1, 4]))
    port = limits(draw(st.sampled_from([0, 1, 7, 30])), grid)
    names = NAMES[: draw(st.integers(1, 3))]
    blocks: dict[str, list[Op]] = {name: [] for name in names}
    _Draw(draw, grid).items(names, blocks, 0)
    weights = {"few": 4 * grid, "many": 9 * grid}
    pulses = Pulses(
        {name: tuple(ops) for name, ops in blocks.items()},
        {f"{name}.drive": Frame("drive_q0", 0.0) for name in names},
        {"short": np.ones(3 * grid, np.complex128), "long": np.ones(7 * grid, np.complex128)},
        {name: Weights(np.ones((2, count), np.int16), 0, "q0") for name, count in weights.items()},
        names,
        PERIOD_MAX,
        names,
        names,
    )
    pulses = roomy(pulses, port)
    period = survey(pulses, port).shot_ticks + draw(st.integers(0, 8)) * grid
    return msgspec.structs.replace(pulses, period_ticks=max(period, grid)), port


def roomy(pulses: Pulses, port: PortLimits) -> Pulses:
    """Give each box as much time as what is in it needs, if it has less."""
    while late := survey(pulses, port).late:
        more = {one.due: max(other.ticks for other in late if other.due == one.due) for one in late}
        blocks = {name: tuple(_wider(op, more) for op in ops) for name, ops in pulses.blocks.items()}
        pulses = msgspec.structs.replace(pulses, blocks=blocks)
    return pulses


def _wider(op: Op, more: dict[str, int]) -> Op:
    match op:
        case Box():
            ticks = op.ticks + more.get(f"the box of line {op.source.line}", 0)
            return msgspec.structs.replace(op, ticks=ticks, ops=tuple(_wider(one, more) for one in op.ops))
        case If():
            then, otherwise = (tuple(_wider(one, more) for one in side) for side in (op.then, op.otherwise))
            return msgspec.structs.replace(op, then=then, otherwise=otherwise)
    return op


def delayed(pulses: Pulses, event: Event, ticks: int) -> Pulses:
    """Return the pulses with a wait before an event's operation, on its sequencer."""
    block = _inserted(pulses.blocks[event.sequencer], event.path, Wait(ticks))
    return msgspec.structs.replace(pulses, blocks={**pulses.blocks, event.sequencer: block})


def _inserted(ops: tuple[Op, ...], path: tuple[int, ...], wait: Wait) -> tuple[Op, ...]:
    index, *inside = path
    if not inside:
        return (*ops[:index], wait, *ops[index:])
    op, (side, *rest) = ops[index], inside
    name = "ops" if isinstance(op, Box) else ("then", "otherwise")[side]
    inner = _inserted(getattr(op, name), tuple(rest), wait)
    return (*ops[:index], msgspec.structs.replace(op, **{name: inner}), *ops[index + 1 :])


def executed(pulses: Pulses, timeline: Timeline, outcomes: dict[tuple[str, int], int]) -> list[Event]:
    """Return the events of the path that these outcomes take; `outcomes` by sequencer and tick of the capture.

    Nothing races, so that a branch sees what the lines above its own wrote: of captures that overlap, the one that ended last.
    """
    taken: dict[int, bool] = {}  # branch -> otherwise
    written: dict[str, list[tuple[int, int, int]]] = {}  # bit -> tick of effect, line, value
    variables, values = [0] * len(NAMES), dict(_values(op for ops in pulses.blocks.values() for op in ops))
    events = []
    for event in sorted(timeline.events, key=lambda one: (one.source.line, one.kind != "if")):
        if any(taken[side.number] != side.otherwise for side in event.branches):
            continue
        events.append(event)
        end = event.tick + event.duration_ticks
        if event.kind == "capture":
            written.setdefault(event.bit, []).append((end, event.source.line, outcomes[event.sequencer, event.tick]))
        elif event.kind == "write":
            written.setdefault(event.bit, []).append((end, event.source.line, int(event.operands[-1])))
        elif event.kind == "assign":
            variables[NAMES.index(event.sequencer)] = _value(written, variables, values[event.source.line])
        elif event.decides is not None and event.decides not in taken:
            taken[event.decides] = not _value(written, variables, values[event.source.line])
    return events


def _values(ops: Iterable[Op]) -> Iterator[tuple[int, Classical]]:
    """Yield what is assigned and decided by, with its line."""
    for op in ops:
        match op:
            case Assign(value=value):
                yield op.source.line, value
            case If():
                yield op.source.line, op.condition
                yield from _values((*op.then, *op.otherwise))
            case Box():
                yield from _values(op.ops)


def _value(written: dict[str, list[tuple[int, int, int]]], variables: list[int], value: Classical) -> int:
    match value:
        case Bits(bits=bits):
            return sum(max(written.get(NAMES[bit], [(0, 0, 0)]))[2] << index for index, bit in enumerate(bits))
        case Variable(index=index):
            return variables[index]
        case Computed(operator=operator):
            left, right = (_value(written, variables, one) for one in (value.left, value.right))
            return int({"==": eq, "+": add, "^": xor, "<": lt}[operator](left, right))
    return value


def seen(events: Sequence[Event]) -> Counter[tuple[str, int, str]]:
    """Return what the kernel's log should hold of these events: sequencer, tick, kind. Waits and pads are one another's there."""
    found: Counter[tuple[str, int, str]] = Counter()
    for event in events:
        end = event.tick + event.duration_ticks
        if event.kind in {"write", "if", "assign", "output"}:
            found[event.sequencer, end, event.kind] += 1
        elif event.kind in {"sync", "box"}:
            found[event.sequencer, event.tick, "sync"] += bool(event.operands)  # a box of one sequencer syncs nobody
        elif event.kind not in {"wait", "pad", "read"}:
            found[event.sequencer, event.tick, event.kind] += 1
        if event.kind == "capture":
            found[event.sequencer, end, "outcome"] += 1
    return +found
