"""The operations that concern one sequencer alone: plays, captures, waits, frames, writes of bits. Each moves its cursor along an edge."""

from __future__ import annotations

import numpy as np

from qrt.errors import ProgramError
from qrt.timeline.events import Step
from qrt.timeline.found import Found
from qrt.timeline.graph import Edge
from qrt.timeline.late import off_grid
from qrt.timeline.state import State
from qrt.types import Box, Capture, If, Op, Parameter, Play, SetFrequency, ShiftPhase, Sync, Wait, WriteBit
from qrt.units import AMPLITUDE_ONE


def execute(found: Found, state: State, step: Step, op: Op, following: tuple[Op, ...]) -> None:
    """Execute one of them; `following`: what comes next on the sequencer, if anything."""
    name = step.sequencer
    found.path = step.path
    cursor = Edge(state.cursors[name])
    settles: tuple[Edge, ...] = ()
    match op:
        case Play():
            cursor = cursor._replace(ticks=_play(found, state, name, op))
        case Capture():
            _capture(found, state, step, op, following)
        case Wait(ticks=ticks):
            cursor = cursor._replace(ticks=ticks)
            assert (found.words(ticks)[0] if isinstance(ticks, Parameter) else ticks) >= 0
            found.event(state, name, found.graph.after(cursor), "wait", op.source)
        case ShiftPhase():
            found.event(state, name, state.cursor(name), "phase", op.source, operands=_phase(found, op))
        case SetFrequency(frame=frame, frequency_hz=hertz):
            if isinstance(hertz, Parameter):
                found.ticks.reach.slot(hertz)  # raises for one that cannot be played
            words = hertz.text if isinstance(hertz, Parameter) else f"{hertz:+.10g} Hz"
            found.event(state, name, state.cursor(name), "frequency", op.source, operands=f"{frame} {words}")
        case WriteBit():
            settles = _write(found, state, step, op)
        case Sync() | Box() | If():
            raise AssertionError(op)
    state.cursors[name] = found.graph.add(cursor, *settles)
    if isinstance(op, WriteBit):
        state.ready[op.bit] = state.cursors[name]
        state.unsure.discard(op.bit)


def _play(found: Found, state: State, name: str, op: Play) -> int:
    """Send an envelope; return its duration in ticks."""
    tick = state.cursor(name)
    samples = found.pulses.envelopes[op.envelope]
    duration = len(samples) * found.limits.sample_ticks
    if isinstance(op.amplitude, Parameter):
        low, high = (word / AMPLITUDE_ONE for word in found.words(op.amplitude))
        words = f"{op.envelope} x {low:.6g}..{high:.6g} {op.amplitude.text}"
    else:
        assert isinstance(op.amplitude, float | int)
        low = high = op.amplitude
        words = f"{op.envelope} x {op.amplitude:.6g}"
    end = found.ticks.after(tick, duration)
    event = found.event(state, name, end, "play", op.source, operands=words, envelope=op.envelope)
    found.late += off_grid(found.ticks, event, tick, f"the play of {op.envelope}", found.limits)
    line = found.pulses.frames[op.frame].line
    peak = max(abs(low), abs(high)) * float(np.abs(samples).max(initial=0.0))
    found.plays.setdefault(line, []).append(found.interval(tick, end, peak, op.source))
    if op.frame.endswith(".readout"):
        count = state.tones.get(op.frame, 0)
        state.tones[op.frame] = None if count is None else count + 1
    return duration


def _capture(found: Found, state: State, step: Step, op: Capture, following: tuple[Op, ...]) -> None:
    """Record; the outcome is ready a feedback latency after the last sample."""
    name = step.sequencer
    tick = state.cursor(name)
    weights = found.pulses.weights[op.weights]
    samples = weights.samples.shape[1]
    if not 1 <= samples <= found.limits.capture_samples_max:
        raise ProgramError(
            f"{op.source.where}a capture of {samples} samples for {weights.qubit}; the port takes 1 to "
            f"{found.limits.capture_samples_max}: change qubits.{weights.qubit}.readout.duration_ns"
        )
    duration = samples * found.limits.sample_ticks
    end = found.ticks.after(tick, duration)
    bit = "" if op.bit is None else found.bit(op.bit)
    words = f"{op.weights} -> {bit}" if bit else op.weights
    event = found.event(state, name, end, "capture", op.source, operands=words, bit=bit)
    found.late += off_grid(found.ticks, event, tick, f"the capture for {weights.qubit}", found.limits)
    found.capture_ends.append(Edge(state.cursors[name], duration))
    found.captures.append(found.interval(tick, end, 0.0, op.source))
    frame = f"{weights.qubit}.readout"
    sees = any(isinstance(after, Play) and after.frame == frame for after in following)
    found.tone_indices[step] = state.tones.get(frame, 0) if sees else None
    if op.bit is not None:
        found.access(state, name, op.bit, op.source, write=True)
        # On the grid, so that a branch can play at once; and a read waits for all captures of its bit.
        latency = duration + found.limits.feedback_latency_ticks
        own = Edge(state.cursors[name], latency, found.limits.granularity_ticks)
        before = (Edge(state.ready[op.bit]),) if op.bit in state.ready else ()
        if found.ticks.ahead(found.graph.after(own), state.ready_tick(op.bit))[0] >= 0:
            state.unsure.discard(op.bit)
        state.ready[op.bit] = found.graph.add(own, *before)


def _write(found: Found, state: State, step: Step, op: WriteBit) -> tuple[Edge, ...]:
    """Set a bit, after all captures that fill it; return what the cursor waits for."""
    name, bit = step.sequencer, found.bit(op.bit)
    found.access(state, name, op.bit, op.source, write=True)
    cursor = state.cursor(name)
    settled = found.ticks.largest(cursor, state.ready_tick(op.bit))
    if found.ticks.ahead(settled, cursor)[1] > 0:  # on a path without the captures the kernel would not wait
        found.settle(state, step, op, settled)
    found.event(state, name, settled, "write", op.source, operands=f"{bit} = {op.value}", bit=bit)
    return (Edge(state.ready[op.bit]),) if op.bit in state.ready else ()


def _phase(found: Found, op: ShiftPhase) -> str:
    """Return what a shift of a phase is for a person."""
    if isinstance(op.phase_rad, Parameter):
        found.ticks.reach.slot(op.phase_rad)  # raises for one that cannot be played
        return f"{op.frame} {op.phase_rad.text}"
    assert isinstance(op.phase_rad, float | int)
    turns = op.phase_rad / (2 * np.pi) if op.turns is None else float(op.turns)
    return f"{op.frame} {turns - round(turns):+.6g} turns"
