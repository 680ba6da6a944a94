"""The operations that concern one sequencer alone: plays, captures, waits, frames, bits and values. Each moves its cursor along an edge.

`ALONE` is the table of them. An operand that needs outcomes waits for them first, which is an event of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qrt.classical import bits_of
from qrt.errors import ProgramError
from qrt.timeline.found import Found
from qrt.timeline.graph import Edge
from qrt.timeline.late import off_grid
from qrt.timeline.limits import Interval
from qrt.timeline.noted import Noted, dynamic
from qrt.timeline.state import State
from qrt.types import (
    Assign,
    Capture,
    Classical,
    Emit,
    Lasting,
    Op,
    Parameter,
    Play,
    SetFrequency,
    ShiftPhase,
    Wait,
    WriteBit,
)
from qrt.units import AMPLITUDE_ONE


def alone(found: Found, state: State, name: str, ops: Sequence[Op], index: int) -> int:
    """Let one sequencer go on until it meets others, branches or ends; return how far it came in its block."""
    count, found.ops = len(ops), ops
    while index < count:
        op = ops[index]
        execute = ALONE.get(type(op))
        if execute is None:
            break
        found.index = index
        if execute is _play and _is_straight(found, state, name, op):
            index = _straight(found, state, name, ops, index)
        else:
            execute(found, state, name, op)
            index += 1
    return index


def _is_straight(found: Found, state: State, name: str, op: Any) -> bool:
    """Say whether a play is known, and begins at a known tick."""
    return type(op.amplitude) is float and type(state.cursor(name)) is int


def _straight(found: Found, state: State, name: str, ops: Sequence[Any], index: int) -> int:
    """Execute known plays at known ticks, and known turns between them, from an index on; return that of what is neither.

    Most programs are made of these: each does here what `_play` and `_phase` do, at a third of the cost.
    """
    at, edges, noted, played_before = found.graph.at, found.graph.edges, found.noted, found.played
    sides, taken, path, grid = found.sides, found.taken, found.path, found.grid
    count, instant = len(ops), state.cursors[name]
    tick: Any = at[instant]
    while index < count:
        op = ops[index]
        kind = type(op)
        if kind is ShiftPhase and type(op.phase_rad) is float:
            noted.append(Noted(name, instant, tick, "phase", op, sides, path, index))
        elif kind is Play and type(op.amplitude) is float:
            played = played_before.get((op.frame, op.envelope)) or found.first_play(op)
            duration = played.duration
            end = tick + duration
            noted.append(Noted(name, instant, end, "play", op, sides, path, index))
            if tick % grid:
                late = off_grid(found.ticks, found.event(noted[-1]), tick, f"the play of {op.envelope}", found.limits)
                found.late += late
            played.plays.append(Interval(tick, end, taken, abs(op.amplitude) * played.peak, op.source))
            if played.tone:
                _count_tone(state, op.frame)
            edges.append((Edge(instant, duration),))
            instant, tick = len(at), end
            at.append(end)
        else:
            break
        index += 1
    state.cursors[name] = instant
    return index


def _count_tone(state: State, frame: str) -> None:
    """Count a readout's tone, unless that depends on the path."""
    count = state.tones.get(frame, 0)
    state.tones[frame] = None if count is None else count + 1


def _play(found: Found, state: State, name: str, op: Play) -> None:
    """Send an envelope."""
    peak = op.amplitude
    if type(peak) is not float:
        peak = _operand(found, state, name, op)
    played = found.played.get((op.frame, op.envelope)) or found.first_play(op)
    graph, instant = found.graph, state.cursors[name]
    tick = graph.at[instant]
    cursor = state.cursors[name] = graph.follow(instant, played.duration)
    end = graph.at[cursor]
    found.noted.append(Noted(name, instant, end, "play", op, found.sides, found.path, found.index))
    if type(tick) is not int or tick % found.grid:
        late = off_grid(found.ticks, found.event(found.noted[-1]), tick, f"the play of {op.envelope}", found.limits)
        found.late += late
    played.plays.append(Interval(tick, end, found.taken, abs(peak) * played.peak, op.source))
    if played.tone:
        _count_tone(state, op.frame)


def _operand(found: Found, state: State, name: str, op: Play) -> float:
    """Wait for what an amplitude is computed from; return the largest that it can be, of full scale."""
    if isinstance(op.amplitude, int | float):
        return op.amplitude
    _wait_for(found, state, name, op)
    low, high = found.ticks.words(op.amplitude) if type(op.amplitude) is Parameter else found.span(op.amplitude)
    if low > AMPLITUDE_ONE or high < -AMPLITUDE_ONE:
        raise ProgramError(
            f"{op.source.where}the amplitude {found.text(op.amplitude)} is {low / AMPLITUDE_ONE:.4g} to {high / AMPLITUDE_ONE:.4g} of full "
            "scale; possible is -1 to 1"
        )
    return min(max(abs(low), abs(high)) / AMPLITUDE_ONE, 1.0)  # beyond it the kernel ends the run


def _capture(found: Found, state: State, name: str, op: Capture) -> None:
    """Record; the outcome is ready a feedback latency after the last sample."""
    tick = state.cursor(name)
    weights = found.pulses.weights[op.weights]
    samples = weights.sample_count
    if not 1 <= samples <= found.limits.capture_samples_max:
        asked = f"change qubits.{weights.qubit}.readout.duration_ns" if weights.qubit else "capture for less time"
        raise ProgramError(
            f"{op.source.where}a capture of {samples} samples for {weights.qubit or weights.name}; the port takes 1 to "
            f"{found.limits.capture_samples_max}: {asked}"
        )
    duration = samples * found.limits.sample_ticks
    end = found.ticks.after(tick, duration)
    found.note(state, name, end, "capture", op)
    if not isinstance(tick, int) or tick % found.limits.granularity_ticks:
        event = found.event(found.noted[-1])
        found.late += off_grid(
            found.ticks, event, tick, f"the capture for {weights.qubit or weights.name}", found.limits
        )
    found.capture_ends.append(Edge(state.cursors[name], duration))
    found.captures.append(found.interval(tick, end, 0.0, op))
    frame = f"{weights.qubit}.readout"
    sees = any(isinstance(one, Play) and one.frame == frame for one in found.ops[found.index + 1 : found.index + 2])
    found.tone_indices[found.step(name)] = state.tones.get(frame, 0) if sees else None
    if op.bit is not None:
        found.access(state, name, op.bit, op, write=True)
        # On the grid, so that a branch can play at once; and a read waits for all captures of its bit.
        latency = duration + found.limits.feedback_latency_ticks
        own = Edge(state.cursors[name], latency, found.limits.granularity_ticks)
        before = (Edge(state.ready[op.bit]),) if op.bit in state.ready else ()
        if found.ticks.ahead(found.graph.after(own), state.ready_tick(op.bit))[0] >= 0:
            state.unsure.discard(op.bit)
        state.ready[op.bit] = found.graph.add(own, *before)
    state.cursors[name] = found.graph.follow(state.cursors[name], 0)


def _wait(found: Found, state: State, name: str, op: Wait) -> None:
    """Move the cursor."""
    if isinstance(op.ticks, Lasting):
        _wait_for(found, state, name, op)
    cursor = found.graph.follow(state.cursors[name], op.ticks)
    assert found.ticks.bounds(found.ticks.form(op.ticks))[0] >= 0
    found.note(state, name, found.graph.at[cursor], "wait", op)
    state.cursors[name] = cursor


def _phase(found: Found, state: State, name: str, op: ShiftPhase) -> None:
    """Turn a frame, at the cursor; delayed with whatever comes next, it needs no instant of its own."""
    if type(op.phase_rad) is not float:
        _wait_for(found, state, name, op)
    instant = state.cursors[name]
    tick = found.graph.at[instant]
    found.noted.append(Noted(name, instant, tick, "phase", op, found.sides, found.path, found.index))


def _frequency(found: Found, state: State, name: str, op: SetFrequency) -> None:
    """Change a frame's frequency, at the cursor."""
    if not isinstance(op.frequency_hz, float):
        _wait_for(found, state, name, op)
    found.note(state, name, state.cursor(name), "frequency", op)


def _wait_for(found: Found, state: State, name: str, op: Op) -> None:
    """Wait for the outcomes that an operand is computed from."""
    value = dynamic(op)
    if type(value) is Parameter:
        found.ticks.reach.slot(value)  # raises for one that cannot be played
        return
    outcome = 0 if value is None else found.awaited(state, name, op, value)
    if value is not None and outcome:
        _known(found, state, name, op, value=value, kind="read", outcome=outcome)


def _computed(found: Found, state: State, name: str, op: Assign | Emit, kind: str) -> None:
    """Compute a value, once its outcomes are there."""
    outcome = found.awaited(state, name, op, op.value)
    if outcome:
        _known(found, state, name, op, value=op.value, kind=kind, outcome=outcome)
    else:
        found.note(state, name, state.cursor(name), kind, op)


def _known(found: Found, state: State, name: str, op: Op, *, value: Classical, kind: str, outcome: int) -> None:
    """Move the cursor to where the outcomes of a value are there, and note it."""
    edges = (Edge(state.cursors[name]), Edge(outcome))
    due = found.ticks.largest(*map(found.graph.after, edges))
    if found.ticks.ahead(due, state.cursor(name))[1] > 0:  # on a path without the captures the kernel would not wait
        found.settle(state, found.step(name), op, bits=bits_of(value), due=due)
    found.note(state, name, due, kind, op, outcome=outcome)
    state.cursors[name] = found.graph.add(*edges)


def _assign(found: Found, state: State, name: str, op: Assign) -> None:
    """Set a variable."""
    _computed(found, state, name, op, "assign")


def _emit(found: Found, state: State, name: str, op: Emit) -> None:
    """Put a value into a column; who does so must be known beforehand, as of a bit."""
    found.access(state, name, -1 - op.column, op, write=True)
    _computed(found, state, name, op, "output")


def _write(found: Found, state: State, name: str, op: WriteBit) -> None:
    """Set a bit, after all captures that fill it."""
    found.access(state, name, op.bit, op, write=True)
    cursor = state.cursor(name)
    settled = found.ticks.largest(cursor, state.ready_tick(op.bit))
    if found.ticks.ahead(settled, cursor)[1] > 0:  # on a path without the captures the kernel would not wait
        found.settle(state, found.step(name), op, bits=(op.bit,), due=settled)
    found.note(state, name, settled, "write", op)
    before = (Edge(state.ready[op.bit]),) if op.bit in state.ready else ()
    state.cursors[name] = state.ready[op.bit] = found.graph.add(Edge(state.cursors[name]), *before)
    state.unsure.discard(op.bit)


ALONE: Mapping[type, Callable[[Found, State, str, Any], None]] = {
    Play: _play,
    Capture: _capture,
    Wait: _wait,
    ShiftPhase: _phase,
    SetFrequency: _frequency,
    WriteBit: _write,
    Assign: _assign,
    Emit: _emit,
}
