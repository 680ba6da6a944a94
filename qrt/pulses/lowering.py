"""A program as pulses: one block of operations per qubit, side by side.

A qubit's block is executed in order, and blocks meet only at syncs: those that the program asks for (barriers, delays of several
qubits), and those that bits shared between qubits need, so that a bit is read after the measurement that it means, whatever the pulse
lengths (qrt.timeline.order). A branch becomes a branch in the block of each qubit that acts in it, a variable is set on each that needs
it (`needs`); each pads its own two sides, so that what follows keeps one tick.

Not nice yet: the sync stands after the whole measurement, so that a qubit which acts on another's outcome also waits until that
one's photons have left, though the outcome may be ready before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from qrt.classical import bits_of
from qrt.pulses import frames as pulse_frames
from qrt.pulses.accesses import Accesses, accesses
from qrt.pulses.facts import LabFacts, lab_qubits
from qrt.pulses.gates import GateSet
from qrt.pulses.inputs import input_values
from qrt.pulses.native import operations, place
from qrt.pulses.needs import Needs
from qrt.pulses.ticks import ticks_of
from qrt.pulses.weights import weights as filter_weights
from qrt.qasm.elaborate import elaborate
from qrt.qasm.expressions import Expression
from qrt.qasm.formula import Formula
from qrt.qasm.kinds import RUNTIME
from qrt.qasm.nesting import deep
from qrt.qasm.program import (
    Assign,
    Barrier,
    Box,
    Branch,
    Cz,
    Delay,
    Elaborated,
    Emit,
    Gate,
    Measurement,
    Program,
    Reset,
    SetBit,
    Statement,
)
from qrt.qasm.pulses import (
    FrameBarrier,
    FrameCapture,
    FrameDelay,
    FrameFrequency,
    FramePhase,
    FramePlay,
    PulseStatement,
    sequencers_of,
)
from qrt.qasm.shape import Shape
from qrt.timeline.order import Order
from qrt.types import Assign as AssignOp
from qrt.types import Box as BoxOp
from qrt.types import (
    Calibration,
    Classical,
    If,
    Lab,
    Lasting,
    Op,
    OutputKind,
    Parameter,
    Pulses,
    Source,
    Sync,
    Wait,
    WriteBit,
)
from qrt.types import Emit as EmitOp

Blocks = Mapping[str, list[Op]]


def lower(
    program: Program,
    lab: Lab,
    calibration: Calibration | None,
    inputs: Mapping[str, float],
    varied: Collection[str] = (),
    *,
    rounded: list[str] | None = None,
) -> Pulses:
    """Return the program as pulses on the lab's qubits.

    Declared qubits are the lab's in order, `$k` is the lab's k-th. With calibration None, nominal values stand in. What depends on an
    input that is `varied` is a Parameter, and such an input needs no value. Raises ProgramError for whatever the program asks for that the
    language or the lab has not, inputs that are missing or wrong, and durations off the grid of samples or ticks.

    rounded: takes a line for each duration off the grid, which then is rounded to the nearest; None: they are refused.
    """
    pulses, _ = lower_open(program, lab, calibration, inputs, varied, rounded=rounded)
    return pulses


def lower_open(
    program: Program,
    lab: Lab,
    calibration: Calibration | None,
    inputs: Mapping[str, float],
    varied: Collection[str],
    *,
    opened: Collection[str] = (),
    rounded: list[str] | None = None,
) -> tuple[Pulses, Shape]:
    """Return the same, and for which values of the `varied` inputs known ones would be pulses of the same shape.

    opened: which of those will have known values alone; raises ComputedError as soon as a sequencer would compute with one.
    """
    gates = GateSet(lab, calibration)
    values = input_values(program, inputs, varied)
    facts = LabFacts(lab, gates)
    elaborated = elaborate(program, values, varied, facts, opened=opened, rounds=rounded is not None)
    if rounded is not None:
        rounded += elaborated.events
    return lowered(elaborated, lab, gates, rounded), elaborated.shape


def lowered(program: Elaborated, lab: Lab, gates: GateSet, rounded: list[str] | None = None) -> Pulses:
    """Return an elaborated program as pulses; `rounded` as for `lower`."""
    tables = program.pulses
    own = lab_qubits(program.qubits, lab)
    others = [name for name in tables.sequencers if name not in own]
    qubits = (*own, *(name for name in others if name in lab.qubits))
    names = (*own, *others)
    with deep():
        lowering = _Lowering(program, lab, gates, names, rounded)
        blocks: dict[str, list[Op]] = {name: [] for name in names}
        lowering.statements(program.statements, blocks)
    return Pulses(
        blocks={name: tuple(ops) for name, ops in blocks.items()},
        frames=gates.frames(qubits) | gates.cz_frames(lowering.couplers) | pulse_frames.frames(tables),
        envelopes=gates.envelopes(qubits) | gates.cz_envelopes(lowering.couplers) | tables.envelopes,
        weights=gates.weights(qubits) | filter_weights(tables, lab),
        bits=tuple(lowering.bits),
        period_ticks=gates.ticks(lab.timing.shot_period_ns),
        variables=program.variables,
        outputs=tuple(output.name for output in program.outputs),
        output_kinds=tuple(cast("OutputKind", output.kind) for output in program.outputs),
        stretch_max=lab.timing.stretch_max,
    )


class _Lowering:
    """Writes statements into blocks, and keeps the order of accesses to bits."""

    def __init__(
        self, program: Elaborated, lab: Lab, gates: GateSet, names: Sequence[str], rounded: list[str] | None
    ) -> None:
        self.bits = list(program.bits)
        self._lab, self._gates, self._names, self._rounded = lab, gates, names, rounded
        self._needs = Needs(program.statements, names)
        self._order = Order(names)
        self._accesses: dict[int, Accesses] = {}
        self._ticks_of: dict[int, int | Formula] = {}
        self._gate_ops: dict[tuple[str, int, int], Sequence[Op]] = {}  # by name, qubit, and the angle's identity
        self.couplers: dict[str, None] = {}  # that play, each once
        self._hidden: dict[str, int] = {}  # qubit -> the bit that its resets use

    def statements(self, statements: Iterable[Statement], blocks: Blocks) -> None:
        """Write statements at the ends of the blocks."""
        known, names = self._gate_ops, self._names
        for one in statements:
            if type(one) is not Gate:
                WRITERS[type(one)](self, one, blocks)
                continue
            name, angle = names[one.qubit], one.angle
            if type(angle) in RUNTIME:
                self._read([name], angle, blocks, one.source)  # type: ignore[arg-type]
            key = (one.name, one.qubit, id(angle))  # one object for all angles that are written alike
            ops = known.get(key)
            if ops is None:
                known[key] = ops = operations(one, name, self._gates)
                blocks[name].extend(ops)
            else:
                place(ops, blocks[name], one.source)

    def coupled(self, one: Cz, blocks: Blocks) -> None:
        """Couple two qubits, from when both are free."""
        first, second = (self._names[qubit] for qubit in one.qubits)
        self._sync((first, second), blocks, one.source)
        self.couplers.setdefault(self._gates.coupler(first, second))
        for name, ops in self._gates.cz(first, second, one.source).items():
            blocks[name].extend(ops)

    # ---- Measurements and bits -----------------------------------------------------------------------------------------

    def measurement(self, one: Measurement, blocks: Blocks) -> None:
        """Measure, after everybody who used the bit before."""
        name = self._names[one.qubit]
        if one.bit is not None:
            self._write(name, one.bit, blocks, one.source)
        blocks[name].extend(self._gates.measure(name, one.bit, one.source))

    def _write(self, name: str, bit: int, blocks: Blocks, source: Source) -> None:
        """Note a write to a bit, with the sync that it needs."""
        others = self._order.conflicts(name, bit, write=True)
        if others:
            self._sync([name, *others], blocks, source)
        self._order.access(name, bit, write=True)

    def _read(self, group: Sequence[str], value: Classical, blocks: Blocks, source: Source) -> None:
        """Note that a group reads the bits of a value, with the sync that it needs."""
        bits = bits_of(value)
        meeting: set[str] = set()
        for name in group:
            for bit in bits:
                others = self._order.conflicts(name, bit, write=False)
                meeting |= others | ({name} if others else set())
        self._sync(meeting, blocks, source)
        for name in group:
            for bit in bits:
                self._order.access(name, bit, write=False)

    def reset(self, one: Reset, blocks: Blocks) -> None:
        """Measure into the qubit's own bit, and turn it back."""
        name = self._names[one.qubit]
        blocks[name].extend(self._gates.reset(name, self._hidden_bit(name), one.source))

    def _hidden_bit(self, name: str) -> int:
        """Return the bit of a qubit's resets; only its own sequencer uses it."""
        if name not in self._hidden:
            self._hidden[name] = len(self.bits)
            self.bits.append(f"{name}.reset")
        return self._hidden[name]

    def set_bit(self, one: SetBit, blocks: Blocks) -> None:
        """Set a bit, after everybody who used it before."""
        name = self._names[self._needs.home(one.bit)]
        self._write(name, one.bit, blocks, one.source)
        blocks[name].append(WriteBit(one.bit, one.value, one.source))

    def assign(self, one: Assign, blocks: Blocks) -> None:
        """Set a variable on everybody who keeps it."""
        group = [self._names[index] for index in self._needs.keepers(one.variable)]
        self._read(group, one.value, blocks, one.source)
        for name in group:
            blocks[name].append(AssignOp(one.variable, one.value, one.source))

    def emit(self, one: Emit, blocks: Blocks) -> None:
        """Fill a column, on one sequencer."""
        (who,) = self._needs.group(one)
        name, value = self._names[who], one.value
        if type(value) is not int and type(value) not in RUNTIME:
            found = self._ticks(value, one.source, "an output")  # type: ignore[arg-type]
            value = found if isinstance(found, int) else self._gates.ticks_varied(found, one.source)
        self._read([name], value, blocks, one.source)  # type: ignore[arg-type]
        blocks[name].append(EmitOp(one.column, value, one.source))  # type: ignore[arg-type]

    # ---- Time ----------------------------------------------------------------------------------------------------------

    def delay(self, one: Delay, blocks: Blocks) -> None:
        """Wait; several qubits begin together, as the language says."""
        names = [self._names[qubit] for qubit in one.qubits]
        if isinstance(one.duration, Lasting):
            self._sync(names, blocks, one.source)
            self._read(names, one.duration.word, blocks, one.source)
            for name in names:
                blocks[name].append(Wait(one.duration, one.source))
            return
        key = id(one.duration)  # one object for all delays that are written alike
        ticks = self._ticks_of.get(key)
        if ticks is None:
            ticks = self._ticks(one.duration, one.source, "a delay")
            if self._rounded is None:  # else each that is rounded is told
                self._ticks_of[key] = ticks
        self._sync(names, blocks, one.source)
        for name in names:
            blocks[name].extend(self._gates.delay(name, ticks, one.source))

    def _ticks(self, expression: Expression, source: Source, what: str) -> int | Formula:
        """Return a duration in ticks. Raises ProgramError if it is negative or no whole number of them."""
        return ticks_of(expression, self._lab, source, what, self._rounded)

    # ---- Pulses --------------------------------------------------------------------------------------------------------

    def pulse(self, one: PulseStatement, blocks: Blocks) -> None:
        """Write a statement of OpenPulse on its sequencer."""
        (name,) = sequencers_of(one)
        if isinstance(one, FrameCapture) and one.bit is not None:
            self._write(name, one.bit, blocks, one.source)
        elif isinstance(one, FramePhase) and type(one.phase_rad) in RUNTIME:
            self._read((name,), one.phase_rad, blocks, one.source)  # type: ignore[arg-type]
        blocks[name].extend(pulse_frames.operations(one, self._lab.timing.tick_ps, self._pulse_ticks))

    def _pulse_ticks(self, duration: Expression, source: Source, what: str) -> int | Parameter:
        found = self._ticks(duration, source, what)
        return found if isinstance(found, int) else self._gates.ticks_varied(found, source)

    def frame_barrier(self, one: FrameBarrier, blocks: Blocks) -> None:
        """Let sequencers of frames and qubits go on together."""
        self._sync(one.sequencers, blocks, one.source)

    def barrier(self, one: Barrier, blocks: Blocks) -> None:
        """Let qubits go on together."""
        self._sync([self._names[qubit] for qubit in one.qubits], blocks, one.source)

    def _sync(self, names: Collection[str], blocks: Blocks, source: Source) -> None:
        """Let sequencers go on together; one alone needs nothing."""
        if len(names) < 2:
            return
        wanted = set(names)
        group = tuple(name for name in self._names if name in wanted)
        if len(group) < 2:
            return
        for name in group:
            blocks[name].append(Sync(group, source))
        self._order.sync(group)

    # ---- Branches and boxes --------------------------------------------------------------------------------------------

    def branch(self, one: Branch, blocks: Blocks) -> None:
        """Write a branch into the block of each qubit that acts in it."""
        group = [self._names[index] for index in self._needs.group(one)]
        self._sync(self._unordered(group, [one]), blocks, one.source)
        for name in group:
            for bit in bits_of(one.condition):
                self._order.access(name, bit, write=False)
        before, sides, orders = self._order, [], []
        for statements in (one.then, one.otherwise):
            side: dict[str, list[Op]] = {name: [] for name in group}
            self._order = before.copy()
            self.statements(statements, side)
            sides.append(side)
            orders.append(self._order)
        self._order = orders[0].joined(orders[1])
        together = tuple(group) if len(group) > 1 else ()
        for name in group:
            then, otherwise = (tuple(side[name]) for side in sides)
            blocks[name].append(If(one.condition, then, otherwise, pad=one.pad, source=one.source, sequencers=together))

    def box(self, one: Box, blocks: Blocks) -> None:
        """Write a box into the block of each qubit that acts in it, after everybody who used its bits before."""
        found = self._ticks(one.duration, one.source, "a box")
        ticks = found if isinstance(found, int) else self._gates.ticks_varied(found, one.source)
        group = [self._names[index] for index in self._needs.group(one)]
        self._sync(self._unordered(group, one.inside), blocks, one.source)
        self._order.sync(group)
        inside: dict[str, list[Op]] = {name: [] for name in group}
        self.statements(one.inside, inside)
        together = tuple(group) if len(group) > 1 else ()
        for name in group:
            blocks[name].append(BoxOp(ticks, tuple(inside[name]), one.source, together))

    def _unordered(self, group: Iterable[str], statements: Iterable[Statement]) -> set[str]:
        """Return who must meet before a group may use the bits of these statements in any order of its own."""
        found = accesses(statements, self._accesses)
        meeting: set[str] = set()
        for name in group:
            for bit, write in found:
                others = self._order.conflicts(name, bit, write=write)
                meeting |= others | ({name} if others else set())
        return meeting


WRITERS: dict[type, Callable[[_Lowering, Any, Blocks], None]] = {
    Cz: _Lowering.coupled,
    Measurement: _Lowering.measurement,
    Reset: _Lowering.reset,
    SetBit: _Lowering.set_bit,
    Assign: _Lowering.assign,
    Emit: _Lowering.emit,
    Delay: _Lowering.delay,
    Barrier: _Lowering.barrier,
    Branch: _Lowering.branch,
    Box: _Lowering.box,
    **dict.fromkeys((FramePlay, FramePhase, FrameFrequency, FrameCapture, FrameDelay), _Lowering.pulse),
    FrameBarrier: _Lowering.frame_barrier,
}
