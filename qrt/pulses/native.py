"""A native gate of an elaborated program as operations on its qubit; what stood somewhere else before is placed anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import tau

import msgspec

from qrt.pulses.gates import GateSet
from qrt.qasm.expressions import Duration, Exact, Expression, Literal, as_float, fold
from qrt.qasm.formula import Formula
from qrt.qasm.kinds import RUNTIME
from qrt.qasm.program import Gate
from qrt.types import Computed, Op, Play, ShiftPhase, Source


def operations(gate: Gate, name: str, gates: GateSet) -> Sequence[Op]:
    """Return the operations of a gate on the qubit of this name. Raises ProgramError for a turn beyond full scale."""
    angle = gate.angle
    if angle is None:
        ops: Sequence[Op] = getattr(gates, gate.name)(name, gate.source)
        return ops
    if type(angle) in RUNTIME or type(angle) is int:
        assert gate.name == "rz"
        shift = Computed("-", 0, angle)  # type: ignore[arg-type]
        return (ShiftPhase(f"{name}.drive", shift, gate.source),)
    return _turn(gate, name, angle, gates)  # type: ignore[arg-type]


def _turn(gate: Gate, name: str, expression: Expression, gates: GateSet) -> tuple[Op, ...]:
    """Return the operations of a gate with an angle that outcomes do not change."""
    about = gates.rx if gate.name == "rx" else gates.ry
    if type(expression) is not Literal:
        word = Formula(fold(expression, {}))
        return gates.rz_varied(name, word, gate.source) if gate.name == "rz" else about(name, word, gate.source)
    angle = expression.value
    assert not isinstance(angle, Duration)
    exact = angle.pi / 2 if type(angle) is Exact and not angle.rational else None
    if gate.name == "rz":
        return gates.rz(name, as_float(angle), gate.source, exact)
    return about(name, as_float(angle) / tau if exact is None else exact, gate.source)


def place(ops: Iterable[Op], block: list[Op], source: Source) -> None:
    """Append operations that stood somewhere else before."""
    for op in ops:
        kind = type(op)
        if kind is Play:
            block.append(Play(op.frame, op.envelope, op.amplitude, op.restart, source))  # type: ignore[union-attr]
        elif kind is ShiftPhase:
            block.append(ShiftPhase(op.frame, op.phase_rad, source, op.turns))  # type: ignore[union-attr]
        else:
            block.append(msgspec.structs.replace(op, source=source))
