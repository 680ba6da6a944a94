"""What a sequencer computes is what Python computes: every operator, and programs that hypothesis writes.

The kernel plays the compiled pulses on a port whose outcomes are given, and emits what it computed; the reference evaluates the same
expressions and operations with Python's own integers, wrapped to 64 bits, and knows no register.
"""

import itertools
from contextlib import ExitStack
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrt import kernel, units
from qrt.classical import INT64, bits_of, compared, in_order, outcome_of, span, text, variable_spans, variables_of
from qrt.compile import END, compile_pulses
from qrt.compile.instructions import EMIT
from qrt.errors import ProgramError
from qrt.grids import grid_of
from qrt.kernel import Status
from qrt.qasm import parse_program
from qrt.qasm.expressions import Name
from qrt.qasm.formula import Formula
from qrt.slots import bind
from qrt.sweeps import Reach
from qrt.timeline import schedule, survey
from qrt.types import (
    Assign,
    Bits,
    Box,
    Capture,
    Computed,
    Emit,
    Frame,
    If,
    Lookup,
    Parameter,
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
from tests.test_kernel_reference import ScriptedPort
from tests.test_timeline import LAB

LIMITS = PortLimits(20, 1, 1, 64, 64, 65536, 16)
PERIOD = 1 << 20
OPERATORS = ["+", "-", "*", "&", "|", "^", "==", "<", ">>"]
EDGES = [0, 1, -1, 2, 3, 7, 1 << 31, -(1 << 31), 1 << 62, INT64[0], INT64[1]]


class Outcomes(ScriptedPort):
    """The samples of captures one after the other, from shot to shot."""

    def begin_shot(self, _, shot, tick):
        return self.note("begin", shot, tick)


def hand(bits: int = 6, outputs: int = 1, period: int = PERIOD, variables: int = 8, **blocks) -> Pulses:
    return Pulses(
        blocks,
        {f"{name}.drive": Frame("drive_q0", 0.0) for name in blocks},
        {"e": np.ones(10, np.complex128)},
        {"w": Weights(np.ones((2, 4), np.int16), 0, "q0")},
        tuple(f"c[{k}]" for k in range(bits)),
        period,
        tuple(f"v{k}" for k in range(variables)),
        tuple(f"out{k}" for k in range(outputs)),
    )


def played(pulses: Pulses, outcomes, shots: int = 1, *, sweep=None, reach=None, log: bool = False):
    """Play shots in which captures have these outcomes; return the report, the rows and the log of the last shot."""
    sequence = compile_pulses(pulses, LAB, LIMITS, reach)
    port = Outcomes([1 if one else -1 for one in outcomes] or [0])
    port._port.feedback_latency_ticks = LIMITS.feedback_latency_ticks
    dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
    with ExitStack() as stack:
        ring = stack.enter_context(kernel.Ring.create(dtype.itemsize, 1 << (shots + 1).bit_length(), 1))
        more = {} if sweep is None else {"sweep": sweep}
        config = kernel.Config(sequence, port.address, kernel.Rings(ring), shots, **more)
        loop = stack.enter_context(kernel.Kernel(config))
        if log:
            loop.log_shot(shots - 1, 65536)
        loop.start()
        report = loop.join()
        return report, ring.peek(0, dtype).copy(), loop.events.copy() if log else None, sequence, port


def wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def worth(value, bits, variables=(), words=None) -> int:
    """Evaluate in Python."""
    match value:
        case Bits(bits=indices):
            return wrapped(sum(bits[one] << k for k, one in enumerate(indices)))
        case Variable(index=index):
            return variables[index]
        case Parameter():
            return words[value.text]
        case Lookup(values=values, index=index):
            return values[worth(index, bits, variables, words)]
        case Computed(operator=operator):
            left, right = (worth(one, bits, variables, words) for one in (value.left, value.right))
            return {
                "+": lambda: wrapped(left + right),
                "-": lambda: wrapped(left - right),
                "*": lambda: wrapped(left * right),
                "&": lambda: left & right,
                "|": lambda: left | right,
                "^": lambda: left ^ right,
                "==": lambda: int(left == right),
                "<": lambda: int(left < right),
                ">>": lambda: left >> right,
            }[operator]()
    return value


def captures(count: int) -> tuple:
    return tuple(Capture("w", bit) for bit in range(count))


# ---- Every operator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", list(itertools.product([1, 2, 3], repeat=2)))
def test_every_operator_over_all_values(widths) -> None:
    left, right = Bits(tuple(range(widths[0]))), Bits(tuple(range(widths[0], sum(widths))))
    negative = Computed("-", left, right)
    values = [Computed(one, left, right) for one in OPERATORS[:-1]]
    values += [Computed(one, right, left) for one in OPERATORS[:-1]]
    values += [Computed(">>", negative, k) for k in (0, 1, 2, 63)]
    values += [Computed(one, negative, right) for one in OPERATORS[:-1]]
    values += [Computed(one, left, left) for one in OPERATORS[:-1]]
    combinations = list(itertools.product([0, 1], repeat=sum(widths)))
    block = (*captures(sum(widths)), *(Emit(k, value) for k, value in enumerate(values)))
    levels = [level for one in combinations for level in one]
    report, rows, *_ = played(hand(sum(widths), len(values), a=block), levels, len(combinations))
    assert report.status is Status.OK
    for row, bits in zip(rows, combinations, strict=True):
        assert row["emitted"].tolist() == [worth(value, bits) for value in values]


@pytest.mark.parametrize("operator", OPERATORS[:-1])
def test_constants_on_either_side_and_wrap_around(operator) -> None:
    bits = Bits((0, 1, 2))
    values = [Computed(operator, bits, edge) for edge in EDGES]
    values += [Computed(operator, edge, bits) for edge in EDGES]
    values += [Computed(operator, edge, 5) for edge in EDGES]
    values += [Computed(operator, Computed("+", bits, INT64[1]), edge) for edge in EDGES]  # wraps but for 0
    combinations = list(itertools.product([0, 1], repeat=3))
    block = (*captures(3), *(Emit(k, value) for k, value in enumerate(values)))
    _, rows, *_ = played(hand(3, len(values), a=block), [one for each in combinations for one in each], 8)
    for row, bits in zip(rows, combinations, strict=True):
        assert row["emitted"].tolist() == [worth(value, bits) for value in values]


def test_sixty_four_bits_are_one_number() -> None:
    bits = [int(digit) for digit in f"{0x9E3779B97F4A7C15:064b}"]
    writes = tuple(WriteBit(k, bit) for k, bit in enumerate(bits))
    _, rows, *_ = played(hand(64, 1, a=(*writes, Emit(0, Bits(tuple(range(64)))))), [])
    assert rows["emitted"].tolist() == [[worth(Bits(tuple(range(64))), bits)]]
    assert rows["emitted"][0, 0] < 0


def test_no_bits_are_nothing() -> None:
    _, rows, *_ = played(hand(1, 1, a=(Emit(0, Computed("+", Bits(()), 3)),)), [])
    assert rows["emitted"].tolist() == [[3]]


# ---- Expressions and programs that hypothesis writes ------------------------------------------------------------------------

TABLE = (5, -3, 1 << 40, 0, 77, -1, 2, 9)
LEAVES = st.one_of(
    st.sampled_from([Bits((0,)), Bits((1, 0)), Bits((2, 4, 3)), Bits((5,)), Variable(0), Variable(1), Variable(2)]),
    st.sampled_from(EDGES),
    st.integers(-20, 20),
)


def larger(inner):
    shifted = st.builds(lambda left, right: Computed(">>", left, right), inner, st.integers(0, 63))
    table = st.builds(lambda index: Lookup(TABLE, Computed("&", index, 7)), inner)
    twice = st.builds(lambda one, operator: Computed(operator, one, one), inner, st.sampled_from(OPERATORS[:-1]))
    return st.one_of(st.builds(Computed, st.sampled_from(OPERATORS[:-1]), inner, inner), shifted, table, twice)


VALUES = st.recursive(LEAVES, larger, max_leaves=12)
SIMPLE = st.one_of(
    st.builds(Assign, st.integers(0, 2), VALUES),
    st.builds(Emit, st.integers(0, 3), VALUES),
    st.builds(WriteBit, st.integers(0, 5), st.integers(0, 1)),
)
OPERATIONS = st.recursive(
    SIMPLE,
    lambda inner: st.builds(
        lambda condition, then, otherwise: If(condition, tuple(then), tuple(otherwise)),
        VALUES,
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3),
    ),
    max_leaves=10,
)
PROGRAMS = st.lists(OPERATIONS, max_size=8)


def executed(ops, bits: list[int], variables: list[int], columns: list[int]) -> None:
    """Execute operations in Python."""
    for op in ops:
        match op:
            case Assign(variable=index, value=value):
                variables[index] = worth(value, bits, variables)
            case Emit(column=index, value=value):
                columns[index] = worth(value, bits, variables)
            case WriteBit(bit=bit, value=value):
                bits[bit] = value
            case If(condition=condition, then=then, otherwise=otherwise):
                executed(then if worth(condition, bits, variables) else otherwise, bits, variables, columns)


@settings(max_examples=150, deadline=None)
@given(PROGRAMS, st.lists(st.integers(0, 1), min_size=12, max_size=12))
def test_programs_leave_what_python_leaves(ops, outcomes) -> None:
    report, rows, *_ = played(hand(6, 4, a=(*captures(6), *ops)), outcomes, 2)
    assert report.status is Status.OK
    for row, first in zip(rows, (0, 6), strict=True):
        bits, columns = outcomes[first : first + 6], [0] * 4
        executed(ops, bits, [0, 0, 0], columns)  # variables begin each shot at 0
        assert row["emitted"].tolist() == columns
        assert int(row["bits"]) == sum(bit << k for k, bit in enumerate(bits))


@settings(max_examples=300, deadline=None)
@given(
    VALUES, st.lists(st.integers(0, 1), min_size=6, max_size=6), st.lists(st.integers(-9, 9), min_size=3, max_size=3)
)
def test_a_value_is_within_its_span(value, bits, variables) -> None:
    low, high = span(value, lambda _: INT64, dict.fromkeys(range(3), (-9, 9)))
    assert INT64[0] <= low <= worth(value, bits, variables) <= high <= INT64[1]


def test_spans_of_variables() -> None:
    bit, n = Bits((0,)), Variable(0)
    found = variable_spans([(0, Computed("+", n, bit)), (1, Lookup((4, -2), bit)), (2, Variable(1))], lambda _: INT64)
    assert found == {0: INT64, 1: (-2, 4), 2: (-2, 4)}


def test_a_long_chain_needs_few_registers_and_a_shared_part_is_computed_once() -> None:
    chain = Bits((0,))
    for _ in range(3000):
        chain = Computed("+", Bits((0,)), chain)
    shared = Computed("+", Bits((0,)), 1)
    for _ in range(60):
        shared = Computed("+", shared, shared)
    ops = (*captures(1), Emit(0, chain), Emit(1, shared))
    _, rows, _, sequence, _ = played(hand(1, 2, a=ops), [1, 0], 2)
    assert rows["emitted"].tolist() == [[3001, 1 << 61], [0, 1 << 60]]
    assert len(sequence.instructions) < 3 * 3000 + 4 * 60


# ---- Operands of pulses ------------------------------------------------------------------------------------------------------


def test_operands_are_what_was_computed_and_wait_for_their_bits() -> None:
    value = Computed("*", Bits((0, 1)), 1000)
    ops = (
        *captures(2),
        Play("a.drive", "e", Computed("-", value, 500), source=Source(3, 1, "", "p")),
        Assign(0, Computed("+", Bits((1,)), 2)),
        ShiftPhase("a.drive", Computed("*", Variable(0), 1 << 60)),
        SetFrequency("a.drive", Lookup((0, 7, -9, 1 << 50), Bits((0, 1)))),
        Play("a.drive", "e", Computed("*", Variable(0), -10)),
    )
    timeline = schedule(hand(2, 0, a=ops), LIMITS)
    assert [(one.kind, one.tick, one.duration_ticks, one.slack_ticks) for one in timeline.events] == [
        ("capture", 0, 4, None),
        ("capture", 0, 4, None),
        ("read", 0, 24, 0),
        ("play", 24, 10, None),
        ("assign", 34, 0, 10),
        ("phase", 34, 0, None),
        ("read", 34, 0, 10),
        ("frequency", 34, 0, None),
        ("play", 34, 10, None),
    ]
    assert timeline.events[2].operands == "(c[0:1] * 1000) - 500"
    assert timeline.events[4].operands == "v0 = c[1] + 2"
    for bits in itertools.product([0, 1], repeat=2):
        report, _, _, sequence, port = played(hand(2, 0, a=ops), bits)
        assert report.status is Status.OK
        index = bits[0] + 2 * bits[1]
        first, second = (one for one in port.calls if one[0] == "play")
        assert (first[1], first[4]) == (24, 1000 * index - 500)
        assert (second[1], second[4]) == (34, -10 * (bits[1] + 2))
        frequency = (0, 7, -9, 1 << 50)[index]
        assert second[5] == frequency
        # phase-continuous at tick 34: the free-running phase at the play is what the shift left.
        assert (second[6] - ((bits[1] + 2) << 60)) % (1 << 64) == 0
    assert sequence.table.tolist() == [0, 7, -9, 1 << 50]


def test_equal_tables_are_one() -> None:
    ops = (
        *captures(2),
        *(Emit(k, Lookup((3, 1, 4, 1), Bits((0, 1)))) for k in range(3)),
        Emit(3, Lookup((2, 7), Bits((0,)))),
    )
    _, rows, _, sequence, _ = played(hand(2, 4, a=ops), [0, 1])
    assert sequence.table.tolist() == [3, 1, 4, 1, 2, 7]
    assert rows["emitted"].tolist() == [[4, 4, 4, 2]]


def test_out_of_range_while_running_ends_with_the_line() -> None:
    here = Source(7, 1, "", "p")
    looked = (*captures(2), Emit(0, Lookup((1, 2, 3), Bits((0, 1))), here))
    loud = (*captures(2), Play("a.drive", "e", Computed("*", Bits((0, 1)), 30000), source=here))
    for ops, status in ((looked, Status.TABLE), (loud, Status.OPERAND)):
        for outcomes in itertools.product([0, 1], repeat=2):
            report, _, _, sequence, _ = played(hand(2, 1, a=ops), outcomes)
            assert report.status is (status if outcomes == (1, 1) else Status.OK)
        assert sequence.source_lines[report.error_instruction] == 7


# ---- What is refused ----------------------------------------------------------------------------------------------------------

AT = Source(5, 3, "", "p.qasm")


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        (
            Play("a.drive", "e", Computed("+", Bits((0,)), 70000), source=AT),
            r"p.qasm:5:3: the amplitude c\[0\] \+ 70000 is 1.068 to 1.068 of full scale; possible is -1 to 1",
        ),
        (
            Emit(0, Lookup((1, 2), Computed("+", Bits((0, 1)), 2)), AT),
            r"p.qasm:5:3: the index c\[0:1\] \+ 2 is 2 to 5; the table has 2 values, counted from 0",
        ),
        (Emit(0, Lookup((1, 2), Computed("-", 0, 1)), AT), r"the index 0 - 1 is -1; the table has 2 values"),
    ],
)
def test_what_is_never_in_range_is_refused(op, wanted) -> None:
    with pytest.raises(ProgramError, match=wanted):
        schedule(hand(2, 1, a=(*captures(2), op)), LIMITS)


def test_an_operand_of_outcomes_counts_as_the_loudest_that_it_can_be() -> None:
    quiet, loud = Lookup((1 << 14, -(1 << 15)), Bits((0,))), Computed("*", Variable(0), 3)
    blocks = {"a": (*captures(1), Sync(("a", "b")), Play("a.drive", "e", quiet)), "b": (Sync(("a", "b")), Wait(24))}
    played(hand(1, 0, a=blocks["a"], b=(*blocks["b"], Play("b.drive", "e", 0.5))), [1])
    with pytest.raises(ProgramError, match=r"add up to 1.1 of full scale"):
        schedule(hand(1, 0, a=blocks["a"], b=(*blocks["b"], Play("b.drive", "e", 0.6))), LIMITS)
    grows = (Assign(0, Computed("+", Variable(0), 1)), Play("a.drive", "e", loud))
    with pytest.raises(ProgramError, match=r"add up to 1.1 of full scale"):
        schedule(hand(1, 0, a=grows, b=(Play("b.drive", "e", 0.1),)), LIMITS)


def test_more_variables_than_registers() -> None:
    ops = tuple(Assign(k, Bits((0,)), Source(k + 1, 1, "", "p")) for k in range(60))
    with pytest.raises(
        ProgramError, match=r"p:52:1: a needs 52 variables that depend on outcomes; .* room for 51: .* v0, v1"
    ):
        compile_pulses(hand(1, 0, variables=60, a=ops), LAB, LIMITS)
    inside = (If(Bits((0,)), (Box(5, ops[:51]),), ()), Emit(0, Variable(51), AT))
    with pytest.raises(ProgramError, match=r"p.qasm:5:3: a needs 52 variables"):
        compile_pulses(hand(1, 1, variables=60, a=inside), LAB, LIMITS)
    compile_pulses(hand(1, 0, variables=60, a=ops[:51]), LAB, LIMITS)


def test_more_at_once_than_registers() -> None:
    values = [Computed("^", Bits((0,)), k) for k in range(1 << 8)]  # a full tree of 8 levels needs 9
    while len(values) > 1:
        values = [Computed("-", *pair) for pair in zip(values[::2], values[1::2], strict=True)]
    ops = [Assign(k, 1) for k in range(51)]
    with pytest.raises(
        ProgramError, match=r"p.qasm:5:3: this needs more registers at once than a has beside its 51 variables"
    ):
        compile_pulses(hand(1, 1, variables=60, a=(*ops, Emit(0, values[0], AT))), LAB, LIMITS)
    compile_pulses(hand(1, 1, variables=60, a=(*ops[:50], Emit(0, values[0], AT))), LAB, LIMITS)


def test_more_table_than_the_kernel_takes() -> None:
    tables = [Lookup((k, *range(1 << 19)), Bits((0,))) for k in range(2)]
    ops = tuple(Emit(0, table, AT) for table in tables)
    with pytest.raises(ProgramError, match=r"p.qasm:5:3: the tables of this program have 1048578 values"):
        compile_pulses(hand(1, 1, a=ops), LAB, LIMITS)


def test_more_outputs_than_columns() -> None:
    ops = tuple(Emit(k, 1, Source(k + 1, 1, "", "p")) for k in range(65))
    with pytest.raises(ProgramError, match=r"p:65:1: 65 outputs; the kernel has 64"):
        compile_pulses(hand(1, 65, a=ops), LAB, LIMITS)


def test_two_who_emit_one_column_in_no_order() -> None:
    meet = Sync(("a", "b"))
    with pytest.raises(ProgramError, match="b writes out0 without a sync after a used it"):
        schedule(hand(1, 1, a=(Emit(0, 1),), b=(Wait(5), Emit(0, 2))), LIMITS)
    _, rows, *_ = played(hand(1, 1, a=(Emit(0, 1), meet), b=(meet, Emit(0, 2))), [])
    assert rows["emitted"].tolist() == [[2]]
    with pytest.raises(ProgramError, match=r"b reads c\[0\] without a sync after a used it"):
        schedule(hand(1, 1, a=(Capture("w", 0),), b=(Wait(50), Assign(0, Bits((0,))))), LIMITS)


# ---- Depth ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [True, False])
def test_branches_in_branches_as_deep_as_one_likes(pad) -> None:
    depth, count = 400, Variable(0)
    ops = (Emit(0, count),)
    for _ in range(depth):
        again = (Capture("w", 0), Wait(30), Assign(0, Computed("+", count, 1)))
        ops = (*again, If(Bits((0,)), ops, (Emit(0, count),), pad=pad))
    pulses = hand(1, 1, a=ops, period=0)
    timeline = schedule(pulses, msgspec.structs.replace(LIMITS))
    assert timeline.shot_ticks == 30 * depth
    with pytest.raises(ProgramError, match="more than 64 captures"):
        compile_pulses(pulses, LAB, LIMITS)


@pytest.mark.parametrize("pad", [True, False])
def test_a_shot_ends_early_without_padding(pad) -> None:
    depth, count = 60, Variable(0)
    ops = (Emit(0, count),)
    for _ in range(depth):
        again = (Capture("w", 0), Wait(30), Assign(0, Computed("+", count, 1)))
        ops = (*again, If(Bits((0,)), ops, (Emit(0, count),), pad=pad))
    for ones in (0, 3, 59):
        _, rows, log, *_ = played(hand(1, 1, a=ops), [1] * ones + [0] * (depth - ones), log=True)
        assert rows["emitted"].tolist() == [[ones + 1]]
        assert int(log["tick"].max()) == (30 * depth if pad else 30 * (ones + 1))


def test_a_branch_of_variable_duration_ends_all_around_it() -> None:
    inner = If(Bits((0,)), (Wait(5),), (), pad=False)
    schedule(hand(1, 0, a=(If(Bits((0,)), (Wait(3), inner), (Wait(9),), pad=False),)), LIMITS)
    for ops in ((If(Bits((0,)), (inner, Wait(1)), (), pad=False),), (If(Bits((0,)), (inner,), ()), Wait(1))):
        with pytest.raises(ProgramError, match="a branch of variable duration"):
            schedule(hand(1, 0, a=ops), LIMITS)
    with pytest.raises(ProgramError, match="a branch of variable duration"):
        schedule(hand(1, 0, a=(Box(50, (inner,)),)), LIMITS)


# ---- For a person ------------------------------------------------------------------------------------------------------------


def test_texts() -> None:
    bits, variables = ("c[0]", "c[1]", "flag"), ("n",)
    for value, wanted in (
        (Bits((0,)), "c[0]"),
        (Bits((0, 1)), "c[0:1]"),
        (Bits((1, 0)), "c[1] ++ c[0]"),
        (Bits((2, 9)), "flag ++ bit 9"),
        (Bits(()), "0"),
        (compared((0, 1), 2), "c[0:1] == 2"),
        (Computed("<", Computed("+", Variable(0), Bits((2,))), 10), "(n + flag) < 10"),
        (Lookup((1, 2, 3), Variable(3)), "table of 3[variable 3]"),
        (-5, "-5"),
    ):
        assert text(value, bits, variables) == wanted
    deep = Variable(0)
    for _ in range(5000):
        deep = Computed("+", deep, 1)
    assert text(deep, bits, variables) == "((((((... + 1) + 1) + 1) + 1) + 1) + 1) + 1"


def test_what_a_value_needs() -> None:
    value = Computed(
        "+", Lookup((1,), Bits((3, 1))), Computed("*", Variable(2), Computed("-", Bits((1,)), Variable(0)))
    )
    assert bits_of(value) == (1, 3)
    assert variables_of(value) == (0, 2)
    assert in_order(value)[-1] is value
    for condition, wanted in (
        (Bits((4,)), (4, 1)),
        (compared((4,), 0), (4, 0)),
        (Computed("==", 1, Bits((4,))), (4, 1)),
        (compared((4,), 2), None),
        (compared((4, 5), 1), None),
        (Variable(0), None),
    ):
        assert outcome_of(condition) == wanted


def test_late_and_slack_of_a_value() -> None:
    ops = (Capture("w", 0), Emit(0, Bits((0,)), AT), Wait(10))
    assert survey(hand(1, 1, a=ops, period=34), LIMITS).late == ()
    (late,) = survey(hand(1, 1, a=ops, period=20), LIMITS).late[:1]
    assert (late.kind, late.operands, late.ticks) == ("output", "out0 = c[0]", 4)


# ---- Slots ---------------------------------------------------------------------------------------------------------------------


def whole(factor: int = 1, over: int = 1, source: Source = AT) -> Parameter:
    return Parameter("integer", Formula(Name("n", source, False), Fraction(factor, over), plain=True), "(n)", source)


def reach_of(sweep: str) -> tuple[Reach, object]:
    program = parse_program("input int n;\nqubit q;\n", "p.qasm")
    grid = grid_of([sweep], program, {}, "shot", 1)
    return Reach(program, grid), grid


@pytest.mark.parametrize("sweep", ["n=linspace(-2, 5, 8)", "n=values(3, -1, 1, 70)"])
def test_a_branch_on_a_slot_decides_without_waiting(sweep) -> None:
    reach, grid = reach_of(sweep)
    condition = Computed("<", Computed("-", whole(2), 1), Computed("+", whole(), 2))  # n < 3
    ops = (Capture("w", 0), If(condition, (Emit(0, whole(3)), Wait(4)), (Emit(0, Computed("-", 0, whole())),)), Wait(1))
    pulses = hand(1, 1, a=ops)
    timeline = schedule(pulses, LIMITS, reach)
    assert [(one.kind, one.tick, one.slack_ticks) for one in timeline.events if one.kind in {"if", "pad"}] == [
        ("if", 0, None),
        ("pad", 0, None),
    ]
    sequence = compile_pulses(pulses, LAB, LIMITS, reach)
    bound = bind(sequence.parameters, reach)
    count = grid.axes[0].count
    _, rows, log, *_ = played(pulses, [0], count, sweep=bound.sweep, reach=reach, log=True)
    values = [int(grid.axes[0].exact(k).rational) for k in range(count)]
    assert rows["emitted"][:, 0].tolist() == [3 * n if n < 3 else -n for n in values]
    assert int(log["tick"][log["op"] == END].max()) == 5


def test_a_whole_number_is_never_rounded() -> None:
    reach, _ = reach_of("n=linspace(0, 6, 4)")
    assert reach.span(((reach.slot(whole(1, 2)), 1),)) == (0, 3)
    for sweep in ("n=linspace(0, 3, 4)", "n=values(0, 1, 2)"):
        with pytest.raises(
            ProgramError,
            match=r"p.qasm:5:3: at n = 1 \(point 1 of \d\) this integer is 0.5; it must be whole: choose first",
        ):
            schedule(hand(1, 1, a=(Emit(0, whole(1, 2)),)), LIMITS, reach_of(sweep)[0])
    with pytest.raises(ProgramError, match="the integer is 13835058055282163712; possible are those of 64 bits"):
        schedule(hand(1, 1, a=(Emit(0, whole(1 << 62)),)), LIMITS, reach_of("n=values(0, 3)")[0])


@given(st.fractions(-5, 5), st.integers(0, 70))
def test_a_phase_in_turns_is_rounded_to_nearest_ties_to_even(turns, power) -> None:
    for one in (turns, turns / (1 << power), Fraction(2 * turns.numerator + 1, 1 << 65)):
        assert units.turns_word(one) == units.signed64(round(one * units.TURN))


@pytest.mark.parametrize(
    "op",
    [
        Assign(0, Bits((0,))),
        Emit(0, Bits((0,))),
        Play("a.drive", "e", Computed("*", Bits((0,)), 9)),
        ShiftPhase("a.drive", Computed("*", Bits((0,)), 9)),
        SetFrequency("a.drive", Computed("*", Bits((0,)), 9)),
    ],
)
def test_a_value_is_there_at_one_tick_whether_its_bit_was_measured_or_not(op) -> None:
    ops = (Capture("w", 1), If(Bits((1,)), (Capture("w", 0),), ()), op, Emit(1, 7))
    (last,) = [one for one in schedule(hand(2, 2, a=ops), LIMITS).events if one.operands == "out1 = 7"]
    for outcomes in ([1, 1], [1, 0], [0]):
        _, _, log, *_ = played(hand(2, 2, a=ops), outcomes, log=True)
        assert log["tick"][(log["op"] == EMIT) & (log["b"] == 1)].tolist() == [last.tick]
