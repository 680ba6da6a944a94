"""Durations of a program in ticks of the lab, and how long statements take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from qrt.errors import ProgramError
from qrt.pulses.gates import GateSet
from qrt.qasm.expressions import Duration, Expression, Literal, fold
from qrt.qasm.formula import Formula
from qrt.qasm.program import Assign, Barrier, Box, Branch, Delay, Emit, Gate, Measurement, Reset, SetBit, Statement
from qrt.types import Lab, Op, Play, Source, Wait

PS_PER_S = 10**12


def ticks_of(expression: Expression, lab: Lab, source: Source, what: str) -> int | Formula:
    """Return a duration in ticks. Raises ProgramError if it is negative or no whole number of them."""
    timing = lab.timing
    if type(expression) is not Literal:
        return Formula(fold(expression, {}), Fraction(PS_PER_S, timing.tick_ps), Fraction(timing.sample_ticks))
    duration = expression.value
    assert isinstance(duration, Duration)
    ticks = duration.seconds * PS_PER_S / timing.tick_ps + duration.samples * timing.sample_ticks
    tick_ns = timing.tick_ps / 1000
    if ticks < 0:
        raise ProgramError(f"{source.where}{what} of {float(ticks) * tick_ns:g} ns is negative")
    if ticks.denominator != 1:
        below = math.floor(ticks)
        raise ProgramError(
            f"{source.where}{what} of {float(ticks) * tick_ns:.12g} ns is no whole number of ticks of {tick_ns:g} ns; nearest: "
            f"{below * tick_ns:.12g} ns and {(below + 1) * tick_ns:.12g} ns"
        )
    return int(ticks)


def lengths(statements: Iterable[Statement], lab: Lab, gates: GateSet, names: Sequence[str]) -> dict[int, int]:
    """Return for each qubit the tick at which statements end that begin together. Raises ProgramError where that is not fixed."""
    ends: dict[int, int] = {}

    def meet(qubits: Sequence[int]) -> int:
        return max(ends.get(qubit, 0) for qubit in qubits)

    for one in statements:
        match one:
            case Gate(qubit=qubit):
                ends[qubit] = ends.get(qubit, 0) + _gate_ticks(one, lab, gates, names[qubit])
            case Measurement(qubit=qubit):
                ops = gates.measure(names[qubit], None)
                plays = [op for op in ops if isinstance(op, Play)]
                waits = [op.ticks for op in ops if isinstance(op, Wait) and isinstance(op.ticks, int)]
                tone = gates.readout_ticks(names[qubit]) if plays else 0
                ends[qubit] = ends.get(qubit, 0) + tone + sum(waits)
            case Delay(qubits=qubits, duration=duration, source=source):
                ticks = _fixed(duration, lab, source, "a delay")
                ends.update(dict.fromkeys(qubits, meet(qubits) + ticks))
            case Barrier(qubits=qubits):
                ends.update(dict.fromkeys(qubits, meet(qubits)))
            case Box(duration=duration, inside=inside, source=source):
                qubits = tuple(lengths(inside, lab, gates, names))
                ends.update(dict.fromkeys(qubits, meet(qubits) + _fixed(duration, lab, source, "a box")))
            case SetBit() | Assign() | Emit():
                pass
            case Branch(source=source) | Reset(source=source):
                raise ProgramError(
                    f"{source.where}how long this takes depends on outcomes, so that no duration can be found from it before the run"
                )
    return ends


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
