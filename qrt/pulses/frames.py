"""Statements of OpenPulse as operations of sequencers, and the tables that they point into."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from qrt.qasm.expressions import Exact, Expression, as_float
from qrt.qasm.formula import Formula, turns
from qrt.qasm.pulses import (
    FrameBarrier,
    FrameCapture,
    FrameDelay,
    FrameFrequency,
    FramePhase,
    FramePlay,
    PulseStatement,
    Tables,
)
from qrt.types import Capture, Frame, Op, Parameter, Play, SetFrequency, ShiftPhase, Wait
from qrt.units import AMPLITUDE_ONE, PS_PER_S, TURN

Ticks = Callable[[Expression, Any, str], "int | Parameter"]  # a duration of a statement in ticks


def operations(one: PulseStatement, tick_ps: int, ticks: Ticks) -> tuple[Op, ...]:
    """Return the operations of a statement on its sequencer. A barrier is its caller's."""
    match one:
        case FramePlay(frame=frame, envelope=envelope, restart=restart, source=source):
            amplitude = _amount(one.amplitude, "amplitude", Fraction(AMPLITUDE_ONE), source)
            return (Play(frame, envelope, amplitude, restart, source),)
        case FramePhase(frame=frame, phase_rad=phase, source=source):
            return (_phase(frame, phase, source),)
        case FrameFrequency(frame=frame, source=source):
            words_per_hz = Fraction(TURN * tick_ps, PS_PER_S)
            return (SetFrequency(frame, _amount(one.frequency_hz, "frequency", words_per_hz, source), source),)
        case FrameCapture(weights=weights, bit=bit, raw=raw, source=source):
            return (Capture(weights, bit, raw, source),)
        case FrameDelay(duration=duration, source=source):
            return (Wait(ticks(duration, source, "a delay"), source),)
        case FrameBarrier():
            raise AssertionError(one)


def _amount(amount: Any, unit: Any, factor: Fraction, source: Any) -> float | Parameter:
    """Return a number, or the operand that varies with inputs."""
    if isinstance(amount, Exact | float):
        return as_float(amount)
    word = Formula(amount, factor, plain=True)
    return Parameter(unit, word, f"({', '.join(word.names)})", source)


def _phase(frame: str, phase: Any, source: Any) -> ShiftPhase:
    """Return a shift by radians that are known or vary, or by words of outcomes."""
    if isinstance(phase, Exact | float):
        exact = turns(phase) % 1 if isinstance(phase, Exact) and not phase.rational else None
        return ShiftPhase(frame, as_float(phase), source, exact)
    if isinstance(phase, Expression):
        word = Formula(phase, Fraction(TURN))
        return ShiftPhase(frame, Parameter("phase", word, f"({', '.join(word.names)})", source), source)
    return ShiftPhase(frame, phase, source)


# ---- Tables ------------------------------------------------------------------------------------------------------------


def frames(tables: Tables) -> dict[str, Frame]:
    """Return the frames of a program, as they are at the shot's start."""
    return {name: Frame(one.line, float(one.frequency_hz), one.phase_rad) for name, one in tables.oscillators.items()}
