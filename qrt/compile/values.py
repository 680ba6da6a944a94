"""What a sequencer computes, as instructions of its integer unit: registers of variables and of what is computed on the way.

A value is computed from its parts, the one that needs more registers first, so that a chain of any length needs two. A part that is used
twice, being one object, is computed once. A table is in the kernel once, whoever looks into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.classical import in_order, outcome_of, parts, variables_of
from qrt.compile.instructions import (
    ALU,
    ALU_ADD,
    ALU_AND,
    ALU_EQ,
    ALU_LT,
    ALU_MOVE,
    ALU_MULTIPLY,
    ALU_OR,
    ALU_SET,
    ALU_SHIFT_RIGHT,
    ALU_SUB,
    ALU_XOR,
    DECIDES,
    FIRST_FREE,
    IF_NEGATIVE,
    IF_NONZERO,
    IF_NOT_NEGATIVE,
    IF_ZERO,
    LAST,
    LOAD,
    LOOKUP,
    READ,
    REGISTERS,
    TABLE_COUNT_MAX,
    Instruction,
)
from qrt.errors import ProgramError
from qrt.timeline.noted import dynamic
from qrt.types import (
    Assign,
    Bits,
    Box,
    Classical,
    Computed,
    Emit,
    If,
    Lookup,
    Op,
    Parameter,
    Pulses,
    Source,
    Variable,
)

OPERATIONS: Final = {
    "+": ALU_ADD,
    "-": ALU_SUB,
    "*": ALU_MULTIPLY,
    "&": ALU_AND,
    "|": ALU_OR,
    "^": ALU_XOR,
    "==": ALU_EQ,
    "<": ALU_LT,
}
WITH_CONSTANT: Final = {"+", "-", "^", "==", "<"}  # those that take a constant along with a register that holds 0
EITHER_WAY: Final = {"+", "*", "&", "|", "^", "=="}
INT64_MAX: Final = (1 << 63) - 1
SCRATCH_MIN: Final = 8  # registers that are kept for what is computed


Slot = Callable[[Parameter, Source], int]  # the kernel's slot of an operand


class Decision(NamedTuple):
    """How a branch sees that its condition holds: a register, what is asked of it, and the number beside which."""

    register: int
    condition: int
    number: int


class Tables:
    """The one table of the kernel: every list of values in it once."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, ...], int] = {}
        self._count = 0

    def first(self, values: tuple[int, ...], source: Source) -> int:
        """Return where in the table these values begin. Raises ProgramError if it is full."""
        if values not in self._first:
            self._first[values] = self._count
            self._count += len(values)
            if self._count > TABLE_COUNT_MAX:
                raise ProgramError(
                    f"{source.where}the tables of this program have {self._count} values; the kernel has room for {TABLE_COUNT_MAX}"
                )
        return self._first[values]

    def array(self) -> NDArray[np.int64]:
        """Return the table."""
        return np.array([value for values in self._first for value in values], np.int64)


class Values:
    """The registers of one sequencer, and the instructions that fill them."""

    def __init__(self, name: str, pulses: Pulses, tables: Tables, slot: Slot) -> None:
        self._name, self._pulses, self._tables, self._slot = name, pulses, tables, slot
        self._variables = self._registers(pulses.blocks[name])
        self._zero = FIRST_FREE + len(self._variables)
        self._free: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Let all registers but the variables' be free: nothing that is computed is needed from one operation to the next."""
        self._free = list(range(REGISTERS - 1, self._zero, -1))

    def _registers(self, ops: Iterable[Op]) -> Mapping[int, int]:
        """Return the register of each variable. Raises ProgramError where there are more than registers."""
        found: dict[int, int] = {}
        for op, index in _variables(ops):
            if index in found:
                continue
            found[index] = FIRST_FREE + len(found)
            if found[index] >= REGISTERS - 1 - SCRATCH_MIN:
                named = ", ".join(self._pulses.variables[one] for one in found)
                raise ProgramError(
                    f"{op.source.where}{self._name} needs {len(found)} variables that depend on outcomes; its sequencer has room for "
                    f"{len(found) - 1}: use fewer, or arrays of fewer elements. There are {named}"
                )
        return found

    def variable(self, index: int) -> int:
        """Return the register of a variable."""
        return self._variables[index]

    # ---- Conditions ------------------------------------------------------------------------------------------------------

    def condition(self, condition: Classical, source: Source) -> tuple[list[Instruction], Decision]:
        """Return what computes a condition, and how a branch sees that it holds."""
        found = outcome_of(condition)
        if found is not None:
            bit, outcome = found
            return [(READ, DECIDES, bit, 0, 0)], Decision(DECIDES, IF_NONZERO if outcome else IF_ZERO, 0)
        compared, kind, with_ = condition, IF_NONZERO, 0
        match condition:
            case Computed(operator="==", left=left, right=int() as constant):
                compared, kind, with_ = left, IF_ZERO, constant
            case Computed(operator="==", left=int() as constant, right=right):
                compared, kind, with_ = right, IF_ZERO, constant
            case Computed(operator="<", left=left, right=int() as constant):
                compared, kind, with_ = left, IF_NEGATIVE, constant
            case Computed(operator="<", left=int() as constant, right=right) if constant < INT64_MAX:
                compared, kind, with_ = right, IF_NOT_NEGATIVE, constant + 1
        code, register = self.value(compared, source)
        return code, Decision(register, kind, with_)

    # ---- Values ----------------------------------------------------------------------------------------------------------

    def value(self, value: Classical, source: Source) -> tuple[list[Instruction], int]:
        """Return what computes a value and the register that holds it then, which may be a variable's own.

        Raises ProgramError where it needs more registers than there are.
        """
        self.reset()
        return _Computation(self, self._tables, source, self._slot).of(value)

    def take(self, source: Source) -> int:
        """Return a free register."""
        if not self._free:
            raise ProgramError(
                f"{source.where}this needs more registers at once than {self._name} has beside its {len(self._variables)} variables: "
                "compute a part of it into a variable before"
            )
        return self._free.pop()

    def give(self, register: int) -> None:
        """Take a register back, unless it is a variable's."""
        if register > self._zero:
            self._free.append(register)

    @property
    def zero(self) -> int:
        """The register that nothing is ever written into."""
        return self._zero

    def is_own(self, register: int) -> bool:
        """Say whether a register may be overwritten."""
        return register > self._zero


class _Computation:
    """One value on its way."""

    def __init__(self, values: Values, tables: Tables, source: Source, slot: Slot) -> None:
        self._values, self._tables, self._source, self._slot = values, tables, source, slot
        self._code: list[Instruction] = []
        self._at: dict[int, int] = {}  # id of a part -> its register
        self._uses: dict[int, int] = {}

    def of(self, value: Classical) -> tuple[list[Instruction], int]:
        """Return the instructions and the register of a value."""
        ordered = _heavier_first(value)
        self._uses = {id(one): 0 for one in ordered}
        for one in ordered:
            for part in parts(one):
                self._uses[id(part)] += 1
        for one in ordered:
            if not isinstance(one, int):
                self._at[id(one)] = self._register(one)
        return self._code, self._operand(value)

    def _register(self, one: Classical) -> int:
        match one:
            case Bits(bits=bits):
                return self._bits(bits)
            case Variable(index=index):
                return self._values.variable(index)
            case Parameter():
                register = self._values.take(self._source)
                self._add(LOAD, register, self._slot(one, self._source))
                return register
            case Lookup(values=values, index=index):
                place = self._operand(index)
                register = self._owned(index, copy=False)
                self._add(LOOKUP, register, place, self._tables.first(values, self._source), len(values))
                return register
            case Computed():
                return self._computed(one)
        raise AssertionError(one)

    def _bits(self, bits: tuple[int, ...]) -> int:
        """Read bits, the last one first, since each step doubles."""
        register = self._values.take(self._source)
        if not bits:
            self._add(ALU, register, ALU_SET)
            return register
        highest, *others = reversed(bits)
        self._add(READ, register, highest)
        for bit in others:
            self._add(ALU, register, ALU_ADD, register)
            self._add(READ, LAST, bit)
            self._add(ALU, register, ALU_ADD, LAST)
        return register

    def _computed(self, one: Computed) -> int:
        operator, left, right = one.operator, one.left, one.right
        if operator in EITHER_WAY and (isinstance(left, int) or (self._may_take(right) and not self._may_take(left))):
            left, right = right, left
        if operator == ">>":
            assert isinstance(right, int)
            assert 0 <= right < 64
            source = self._operand(left)
            register = self._owned(left, copy=False)
            self._add(ALU, register, ALU_SHIFT_RIGHT, source, right)
        elif isinstance(right, int) and operator in WITH_CONSTANT:
            register = self._owned(left)
            self._add(ALU, register, OPERATIONS[operator], self._values.zero, right)
        else:
            other = self._operand(right)
            same = left is right
            register = self._owned(left, keep=same)
            self._add(ALU, register, OPERATIONS[operator], other)
            self._done(right, other, register)
        return register

    def _may_take(self, part: Classical) -> bool:
        """Say whether a part's register is needed by nobody else, and may be overwritten."""
        return id(part) in self._at and self._uses[id(part)] == 1 and self._values.is_own(self._at[id(part)])

    def _operand(self, part: Classical) -> int:
        """Return the register of a part; a constant gets one."""
        if isinstance(part, int):
            if part == 0:
                return self._values.zero
            register = self._values.take(self._source)
            self._add(ALU, register, ALU_SET, 0, part)
            return register
        return self._at[id(part)]

    def _owned(self, part: Classical, *, copy: bool = True, keep: bool = False) -> int:
        """Return a register that holds a part and may be overwritten: the part's own where nobody needs it later."""
        if self._may_take(part) and not keep:
            return self._at[id(part)]
        register = self._values.take(self._source)
        if isinstance(part, int):
            self._add(ALU, register, ALU_SET, 0, part)
            return register
        if copy:
            self._add(ALU, register, ALU_MOVE, self._at[id(part)])
        self._uses[id(part)] -= 1
        return register

    def _done(self, part: Classical, register: int, result: int) -> None:
        """Take back the register of a part that was used for the last time."""
        if isinstance(part, int):
            self._values.give(register)
            return
        self._uses[id(part)] -= 1
        if not self._uses[id(part)] and register != result:
            self._values.give(register)

    def _add(self, op: int, a: int, b: int = 0, c: int = 0, d: int = 0) -> None:
        self._code.append((op, a, b, c, d))


def _heavier_first(value: Classical) -> list[Classical]:
    """Return a value and its parts as in_order does, but of two the one first that needs more registers."""
    need: dict[int, int] = {}
    for one in in_order(value):
        needs = sorted((need[id(part)] for part in parts(one)), reverse=True)
        need[id(one)] = max([1, *(count + rank for rank, count in enumerate(needs))])
    return in_order(value, lambda one: sorted(parts(one), key=lambda part: need[id(part)])[::-1])


def _variables(ops: Iterable[Op]) -> Iterator[tuple[Op, int]]:
    """Yield the variables that operations set or need, each with the operation."""
    waiting = list(ops)[::-1]
    while waiting:
        op = waiting.pop()
        match op:
            case Assign(variable=index, value=value):
                yield op, index
                yield from ((op, one) for one in variables_of(value))
            case Emit(value=value):
                yield from ((op, one) for one in variables_of(value))
            case If(condition=condition, then=then, otherwise=otherwise):
                yield from ((op, one) for one in variables_of(condition))
                waiting += (*otherwise[::-1], *then[::-1])
            case Box(ops=inside):
                waiting += inside[::-1]
            case _:
                operand = dynamic(op)
                if operand is not None:
                    yield from ((op, one) for one in variables_of(operand))
