"""Durations of a program in ticks of the lab, and how long statements take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from qrt.errors import ProgramError
from qrt.pulses.gates import GateSet
from qrt.qasm.expressions import Duration, Expression, Literal, fold
from qrt.qasm.formula import Formula
from qrt.qasm.program import Assign, Barrier, Box, Branch, Cz, Delay, Emit, Gate, Measurement, Reset, SetBit, Statement
from qrt.qasm.pulses import FrameBarrier, FrameCapture, FrameDelay, FrameFrequency, FramePhase, FramePlay
from qrt.qasm.words import digits
from qrt.types import Lab, Lasting, Op, Play, Source, Wait

PS_PER_S = 10**12
TICKS_MAX = 1 << 45  # of one delay or box: as many as a program has statements, one after the other, end within 64 bits


def ticks_of(
    expression: Expression, lab: Lab, source: Source, what: str, rounded: list[str] | None = None
) -> int | Formula:
    """Return a duration in ticks. Raises ProgramError if it is negative or no whole number of them.

    rounded: takes a line if it is no whole number, and then it is rounded.
    """
    timing = lab.timing
    if type(expression) is not Literal:
        return Formula(fold(expression, {}), Fraction(PS_PER_S, timing.tick_ps), Fraction(timing.sample_ticks))
    duration = expression.value
    assert isinstance(duration, Duration)
    if not duration.samples:  # most are seconds, and whole: one division of integers
        whole, rest = divmod(duration.seconds.numerator * PS_PER_S, duration.seconds.denominator * timing.tick_ps)
        if not rest and 0 <= whole <= TICKS_MAX:
            return whole
    ticks = duration.seconds * PS_PER_S / timing.tick_ps + duration.samples * timing.sample_ticks
    tick_ns = timing.tick_ps / 1000
    if ticks < 0:
        raise ProgramError(f"{source.where}{what} of {digits(ticks * timing.tick_ps / 1000)} ns is negative")
    if ticks > TICKS_MAX:
        longest_s = TICKS_MAX * timing.tick_ps / PS_PER_S
        raise ProgramError(
            f"{source.where}{what} of more than {longest_s:.6g} s, which no shot is; possible are up to that"
        )
    if ticks.denominator != 1:
        below, shown = math.floor(ticks), f"{source.where}{what} of {float(ticks) * tick_ns:.12g} ns"
        if rounded is None:
            raise ProgramError(
                f"{shown} is no whole number of ticks of {tick_ns:g} ns; nearest: {below * tick_ns:.12g} ns and "
                f"{(below + 1) * tick_ns:.12g} ns (or round: --round)"
            )
        event = f"{shown} was rounded to {round(ticks) * tick_ns:.12g} ns"
        rounded += [] if event in rounded else [event]
    return round(ticks)


def lengths(statements: Iterable[Statement], lab: Lab, gates: GateSet, names: Sequence[str]) -> dict[Any, int]:
    """Return the tick at which statements end that begin together: by qubit, and by name for frames that have clocks of their own.

    Raises ProgramError where that is not fixed.
    """
    ends: dict[Any, int] = {}

    def meet(qubits: Sequence[Any]) -> int:
        return max(ends.get(qubit, 0) for qubit in qubits)

    def own(name: str) -> Any:
        return names.index(name) if name in names else name

    for one in statements:
        match one:
            case Gate(qubit=qubit):
                ends[qubit] = ends.get(qubit, 0) + _gate_ticks(one, lab, gates, names[qubit])
            case Cz(qubits=(one_qubit, other) as pair):
                ends.update(dict.fromkeys(pair, meet(pair) + gates.cz_ticks(names[one_qubit], names[other])))
            case Measurement(qubit=qubit):
                ops = gates.measure(names[qubit], None)
                plays = [op for op in ops if isinstance(op, Play)]
                waits = [op.ticks for op in ops if isinstance(op, Wait) and isinstance(op.ticks, int)]
                tone = gates.readout_ticks(names[qubit]) if plays else 0
                ends[qubit] = ends.get(qubit, 0) + tone + sum(waits)
            case Delay(duration=Lasting(), source=source):
                raise _undecided(source)
            case Delay(qubits=qubits, duration=duration, source=source):
                assert not isinstance(duration, Lasting)
                ticks = _fixed(duration, lab, source, "a delay")
                ends.update(dict.fromkeys(qubits, meet(qubits) + ticks))
            case Barrier(qubits=qubits):
                ends.update(dict.fromkeys(qubits, meet(qubits)))
            case Box(duration=duration, inside=inside, source=source):
                qubits = tuple(lengths(inside, lab, gates, names))
                ends.update(dict.fromkeys(qubits, meet(qubits) + _fixed(duration, lab, source, "a box")))
            case FramePlay(sequencer=name, sample_count=count):
                ends[own(name)] = ends.get(own(name), 0) + count * lab.timing.sample_ticks
            case FrameDelay(sequencer=name, duration=duration, source=source):
                ends[own(name)] = ends.get(own(name), 0) + _fixed(duration, lab, source, "a delay")
            case FrameBarrier(sequencers=sequencers):
                met = [own(name) for name in sequencers]
                ends.update(dict.fromkeys(met, meet(met)))
            case SetBit() | Assign() | Emit() | FramePhase() | FrameFrequency() | FrameCapture():
                pass
            case Branch(source=source) | Reset(source=source):
                raise _undecided(source)
    return ends


def _undecided(source: Source) -> ProgramError:
    return ProgramError(
        f"{source.where}how long this takes depends on outcomes, so that no duration can be found from it before the run"
    )


def _gate_ticks(one: Gate, lab: Lab, gates: GateSet, name: str) -> int:
    """Return how long a gate takes; of a turn about Z, no time at all."""
    if one.name == "rz":
        return 0
    ops: tuple[Op, ...]
    ops = gates.rx(name, Fraction(0)) if one.name in {"rx", "ry"} else getattr(gates, one.name)(name)
    waits = sum(op.ticks for op in ops if isinstance(op, Wait) and isinstance(op.ticks, int))
    return waits + gates.sx_ticks(name) * sum(isinstance(op, Play) for op in ops)


def _fixed(duration: Expression, lab: Lab, source: Source, what: str) -> int:
    ticks = ticks_of(duration, lab, source, what)
    if not isinstance(ticks, int):
        raise ProgramError(
            f"{source.where}how long this takes varies ({', '.join(ticks.names)}), so that no duration can be found from it before the run"
        )
    return ticks
