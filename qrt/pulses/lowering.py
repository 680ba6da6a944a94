"""A program as pulses: one block of operations per qubit, side by side.

A qubit's block is executed in order, and blocks meet only at syncs: those that the program asks for (barriers, delays of several
qubits), and those that bits shared between qubits need, so that a bit is read after the measurement that it means, whatever the pulse
lengths (qrt.timeline.order). A branch becomes a branch in the block of each qubit that acts in it; each pads its own two sides,
so that what follows keeps one tick.

Not nice yet: the sync stands after the whole measurement, so that a qubit which acts on another's outcome also waits until that
one's photons have left, though the outcome may be ready before.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from qrt.classical import compared
from qrt.errors import ProgramError
from qrt.pulses.gates import GateSet
from qrt.qasm.expressions import Duration, Exact, Expression, Value, as_float, evaluate, fold, names
from qrt.qasm.formula import Formula, turns
from qrt.qasm.program import Barrier, Box, Branch, Delay, Gate, Initial, Measurement, Program, Reset, Statement
from qrt.timeline.order import Order
from qrt.types import Box as BoxOp
from qrt.types import Calibration, If, Lab, Op, Pulses, Source, Sync, WriteBit

PS_PER_S = 10**12

Blocks = Mapping[str, list[Op]]


def lower(
    program: Program,
    lab: Lab,
    calibration: Calibration | None,
    inputs: Mapping[str, float],
    varied: Collection[str] = (),
) -> Pulses:
    """Return the program as pulses on the lab's qubits.

    Declared qubits are the lab's in order, `$k` is the lab's k-th. With calibration None, nominal values stand in. What depends on an
    input that is `varied` is a Parameter, and such an input needs no value. Raises ProgramError for qubits that the lab has not, inputs
    that are missing or wrong, and delays that are no whole number of ticks.
    """
    qubits = _lab_qubits(program, lab)
    gates = GateSet(lab, calibration)
    values = input_values(program, inputs, varied)
    lowering = _Lowering(program, lab, gates, qubits, values)
    blocks: dict[str, list[Op]] = {name: [] for name in qubits}
    lowering.initials(program.statements, blocks)
    lowering.statements(program.statements, blocks)
    return Pulses(
        blocks={name: tuple(ops) for name, ops in blocks.items()},
        frames=gates.frames(qubits),
        envelopes=gates.envelopes(qubits),
        weights=gates.weights(qubits),
        bits=tuple(lowering.bits),
        period_ticks=gates.ticks(lab.timing.shot_period_ns),
    )


def _lab_qubits(program: Program, lab: Lab) -> tuple[str, ...]:
    """Return the lab's qubit for each of the program's."""
    listed = list(lab.qubits)
    places = [int(name[1:]) if name.startswith("$") else index for index, name in enumerate(program.qubits)]
    beyond = [name for name, place in zip(program.qubits, places, strict=True) if place >= len(listed)]
    if beyond:
        pairs = ", ".join(
            f"{name} would be number {place}"
            for name, place in zip(program.qubits, places, strict=True)
            if name in beyond
        )
        known = ", ".join(f"{index}: {name}" for index, name in enumerate(listed))
        raise ProgramError(
            f"{program.path}:1:1: the lab {lab.name!r} has {len(listed)} qubits ({known}); {pairs}: use fewer, or a lab with more"
        )
    return tuple(listed[place] for place in places)


def input_values(program: Program, inputs: Mapping[str, float], varied: Collection[str] = ()) -> dict[str, Value]:
    """Return the values of the inputs that are not varied, exact as the decimals that they print as; of a duration in seconds."""
    declared = {one.name: one for one in program.inputs}
    for name in (*inputs, *varied):
        if name not in declared:
            near = difflib.get_close_matches(name, declared, 1)
            hint = f"did you mean {near[0]}?" if near else f"its inputs: {', '.join(declared) or 'none'}"
            raise ProgramError(f"{program.path}:1:1: the program has no input {name!r}; {hint}")
    values: dict[str, Value] = {}
    for name, one in declared.items():
        if name in varied:
            continue
        if name not in inputs:
            form = f"--input {name}=100e-9, in seconds" if one.kind == "duration" else f"--input {name}=1.5"
            raise ProgramError(
                f"{one.source.where}input {name!r} has no value; give one for each of: {', '.join(declared)} ({form}; or a --sweep)"
            )
        value = inputs[name]
        if isinstance(value, bool) or not math.isfinite(value):
            raise ProgramError(f"{one.source.where}input {name!r} is {value}; a finite number is needed")
        if one.kind in {"int", "uint"} and (value != int(value) or (one.kind == "uint" and value < 0)):
            raise ProgramError(
                f"{one.source.where}input {name!r} is {value}; {one.kind} is a whole number{', at least 0' * (one.kind == 'uint')}"
            )
        exact = Fraction(repr(float(value)))
        values[name] = Duration(exact) if one.kind == "duration" else Exact(exact)
    return values


class _Lowering:
    """Writes statements into blocks, and keeps the order of accesses to bits."""

    def __init__(
        self, program: Program, lab: Lab, gates: GateSet, names: Sequence[str], values: Mapping[str, Value]
    ) -> None:
        self.bits = list(program.bits)
        self._lab, self._gates, self._names, self._values = lab, gates, names, values
        self._order = Order(names)
        self._hidden: dict[str, int] = {}  # qubit -> the bit that its resets use

    def initials(self, statements: Iterable[Statement], blocks: Blocks) -> None:
        """Write the bits that begin as 1, at the shot's start and before anybody could read them."""
        ones = [one for one in statements if isinstance(one, Initial)]
        first = self._names[0]
        for one in ones:
            blocks[first].append(WriteBit(one.bit, 1, one.source))
            self._order.access(first, one.bit, write=True)
        if ones:
            self._sync(self._names, blocks, ones[0].source)

    def statements(self, statements: Iterable[Statement], blocks: Blocks) -> None:
        """Write statements at the ends of the blocks."""
        for one in statements:
            match one:
                case Gate(qubit=qubit):
                    blocks[self._names[qubit]].extend(self._gate(one))
                case Measurement():
                    self._measurement(one, blocks)
                case Reset(qubit=qubit, source=source):
                    name = self._names[qubit]
                    blocks[name].extend(self._gates.reset(name, self._hidden_bit(name), source))
                case Delay():
                    self._delay(one, blocks)
                case Barrier(qubits=qubits, source=source):
                    self._sync([self._names[qubit] for qubit in qubits], blocks, source)
                case Branch():
                    self._branch(one, blocks)
                case Box():
                    self._box(one, blocks)
                case Initial():
                    pass  # written by `initials`

    def _gate(self, gate: Gate) -> tuple[Op, ...]:
        """Return the operations of a gate."""
        name = self._names[gate.qubit]
        match gate.name:
            case "x":
                return self._gates.x(name, gate.source)
            case "sx":
                return self._gates.sx(name, gate.source)
            case "h":
                return self._gates.h(name, gate.source)
            case "id":
                return self._gates.id(name, gate.source)
            case "rx" | "ry" | "rz":
                assert gate.angle is not None
                return self._turn(gate, name, gate.angle)

    def _turn(self, gate: Gate, name: str, expression: Expression) -> tuple[Op, ...]:
        """Return the operations of a gate with an angle."""
        about = self._gates.rx if gate.name == "rx" else self._gates.ry
        if self._is_varied(expression):
            word = Formula(fold(expression, self._values))
            return (
                self._gates.rz_varied(name, word, gate.source) if gate.name == "rz" else about(name, word, gate.source)
            )
        angle = evaluate(expression, self._values)
        assert not isinstance(angle, Duration)
        if gate.name != "rz":
            return about(name, turns(angle), gate.source)
        exact = turns(angle) if isinstance(angle, Exact) and not angle.rational else None
        return self._gates.rz(name, as_float(angle), gate.source, exact)

    def _is_varied(self, expression: Expression) -> bool:
        return any(name not in self._values for name in names(expression))

    def _measurement(self, one: Measurement, blocks: Blocks) -> None:
        """Measure, after everybody who used the bit before."""
        name = self._names[one.qubit]
        if one.bit is not None:
            others = self._order.conflicts(name, one.bit, write=True)
            if others:
                self._sync([name, *others], blocks, one.source)
            self._order.access(name, one.bit, write=True)
        blocks[name].extend(self._gates.measure(name, one.bit, one.source))

    def _hidden_bit(self, name: str) -> int:
        """Return the bit of a qubit's resets; only its own sequencer uses it."""
        if name not in self._hidden:
            self._hidden[name] = len(self.bits)
            self.bits.append(f"{name}.reset")
        return self._hidden[name]

    def _delay(self, one: Delay, blocks: Blocks) -> None:
        """Wait; several qubits begin together, as the language says."""
        ticks = self._ticks(one.duration, one.source, "a delay")
        names = [self._names[qubit] for qubit in one.qubits]
        self._sync(names, blocks, one.source)
        for name in names:
            blocks[name].extend(self._gates.delay(name, ticks, one.source))

    def _ticks(self, expression: Expression, source: Source, what: str) -> int | Formula:
        """Return a duration in ticks. Raises ProgramError if it is negative or no whole number of them."""
        timing = self._lab.timing
        if self._is_varied(expression):
            return Formula(
                fold(expression, self._values), Fraction(PS_PER_S, timing.tick_ps), Fraction(timing.sample_ticks)
            )
        duration = evaluate(expression, self._values)
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

    def _sync(self, names: Iterable[str], blocks: Blocks, source: Source) -> None:
        """Let sequencers go on together; one alone needs nothing."""
        wanted = set(names)
        group = tuple(name for name in self._names if name in wanted)
        if len(group) < 2:
            return
        for name in group:
            blocks[name].append(Sync(group, source))
        self._order.sync(group)

    def _branch(self, one: Branch, blocks: Blocks) -> None:
        """Write a branch into the block of each qubit that acts in it."""
        group = self._acting([*one.then, *one.otherwise])
        self._sync(self._unordered(group, [one]), blocks, one.source)
        for name in group:
            for bit in one.bits:
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
        condition = compared(one.bits, one.value)
        for name in group:
            then, otherwise = (tuple(side[name]) for side in sides)
            blocks[name].append(If(condition, then, otherwise, pad=True, source=one.source, sequencers=together))

    def _box(self, one: Box, blocks: Blocks) -> None:
        """Write a box into the block of each qubit that acts in it, after everybody who used its bits before."""
        found = self._ticks(one.duration, one.source, "a box")
        ticks = found if isinstance(found, int) else self._gates.ticks_varied(found, one.source)
        group = self._acting(one.inside)
        self._sync(self._unordered(group, one.inside), blocks, one.source)
        self._order.sync(group)
        inside: dict[str, list[Op]] = {name: [] for name in group}
        self.statements(one.inside, inside)
        together = tuple(group) if len(group) > 1 else ()
        for name in group:
            blocks[name].append(BoxOp(ticks, tuple(inside[name]), one.source, together))

    def _acting(self, statements: Iterable[Statement]) -> list[str]:
        """Return the sequencers whose qubits act in statements, in order."""
        acting = {self._names[qubit] for one in _walk(statements) for qubit in _qubits(one)}
        return [name for name in self._names if name in acting]

    def _unordered(self, group: Iterable[str], statements: Iterable[Statement]) -> set[str]:
        """Return who must meet before a group may use the bits of these statements in any order of its own."""
        inside = list(_walk(statements))
        accesses = [(bit, False) for one in inside if isinstance(one, Branch) for bit in one.bits]
        accesses += [(one.bit, True) for one in inside if isinstance(one, Measurement) and one.bit is not None]
        meeting: set[str] = set()
        for name in group:
            for bit, write in accesses:
                others = self._order.conflicts(name, bit, write=write)
                meeting |= others | ({name} if others else set())
        return meeting


def _walk(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Yield statements and those inside them."""
    for one in statements:
        yield one
        if isinstance(one, Branch):
            yield from _walk(one.then)
            yield from _walk(one.otherwise)
        elif isinstance(one, Box):
            yield from _walk(one.inside)


def _qubits(one: Statement) -> tuple[int, ...]:
    """Return the qubits that a statement itself acts on."""
    match one:
        case Gate(qubit=qubit) | Measurement(qubit=qubit) | Reset(qubit=qubit):
            return (qubit,)
        case Delay(qubits=qubits) | Barrier(qubits=qubits):
            return qubits
    return ()
