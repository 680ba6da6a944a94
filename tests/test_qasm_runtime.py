"""What a sequencer computes from outcomes is what is computed while compiling, and what C computes: enumerated and at random."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrt.errors import ProgramError
from qrt.qasm.program import Assign, Branch, Emit
from qrt.types import Bits, Computed, Lookup, Variable
from tests.statement_machine import Machine, elaborated, int64, shot

# ---- The arithmetic of the language, by itself -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A whole number of a type; `None` where C leaves it open."""

    kind: str  # int, uint, bool
    width: int
    value: int

    def __str__(self) -> str:
        return f"{self.kind}[{self.width}]"


def wrapped(kind: str, width: int, value: int) -> Number:
    value %= 1 << width
    return Number(kind, width, value - (1 << width) if kind == "int" and value >> (width - 1) else value)


def meet(left: Number, right: Number) -> tuple[Number, Number]:
    """Both in the wider type, unsigned if the widths are equal and one is."""
    if left.width != right.width:
        kind, width = max((left.width, left.kind), (right.width, right.kind))[::-1]
    else:
        kind, width = "uint" if "uint" in {left.kind, right.kind} else "int", left.width
    return wrapped(kind, width, left.value), wrapped(kind, width, right.value)


def python(name: str, left: Number, right: Number) -> Number | None:
    if name in {"&&", "||"}:
        both = (left.value != 0, right.value != 0)
        return Number("bool", 1, int(all(both) if name == "&&" else any(both)))
    if name in {"<<", ">>"}:
        if right.value < 0:
            return None
        moved = left.value << right.value if name == "<<" else left.value >> right.value
        return wrapped(left.kind, left.width, moved)
    one, other = meet(left, right)
    table = {"==": one.value == other.value, "!=": one.value != other.value, "<": one.value < other.value}
    table |= {"<=": one.value <= other.value, ">": one.value > other.value, ">=": one.value >= other.value}
    if name in table:
        return Number("bool", 1, int(table[name]))
    if name in {"/", "%"}:
        if other.value == 0:
            return None
        quotient = abs(one.value) // abs(other.value) * (1 if (one.value < 0) == (other.value < 0) else -1)
        return wrapped(one.kind, one.width, quotient if name == "/" else one.value - quotient * other.value)
    value = {
        "+": one.value + other.value, "-": one.value - other.value, "*": one.value * other.value,
        "&": one.value & other.value, "|": one.value | other.value, "^": one.value ^ other.value,
    }[name]  # fmt: skip
    return wrapped(one.kind, one.width, value)


OPERATORS = ["+", "-", "*", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "&&", "||"]
WIDTHS = [1, 3, 8, 33, 63, 64]


def measured(*numbers: Number) -> tuple[str, list[int]]:
    """Declarations of v0, v1, ... with values that come from outcomes, and the outcomes."""
    text, outcomes = "qubit[64] q;", []
    for index, number in enumerate(numbers):
        text += (
            f" bit[{number.width}] b{index}; b{index} = measure q[0:{number.width - 1}]; {number} v{index} = b{index};"
        )
        outcomes += [number.value >> place & 1 for place in range(number.width)]
    return text, outcomes


def known(*numbers: Number) -> str:
    return "qubit q; x q;" + "".join(f" {number} v{index} = {number.value};" for index, number in enumerate(numbers))


def both_ways(expression: str, result: str, *numbers: Number) -> tuple[int, int]:
    """The value of an expression, computed while compiling, and by the machine from outcomes."""
    tail = f" output {result} o; o = {result}({expression});"
    constant = elaborated(known(*numbers) + tail)
    (emitted,) = [one for one in constant.statements if isinstance(one, Emit)]
    assert isinstance(emitted.value, int), "what is known costs nothing"
    text, outcomes = measured(*numbers)
    return emitted.value, shot(text + tail, outcomes).outputs["o"]


NUMBERS = st.tuples(st.sampled_from(["int", "uint"]), st.sampled_from(WIDTHS)).flatmap(
    lambda kind: st.integers(0, 2 ** kind[1] - 1).map(lambda value: wrapped(kind[0], kind[1], value))
)


@settings(max_examples=60)
@given(st.sampled_from(OPERATORS), NUMBERS, NUMBERS)
def test_operators_at_the_edges_of_widths_and_signs(name: str, left: Number, right: Number) -> None:
    wanted = python(name, left, right)
    assert wanted is not None
    result = "bool" if wanted.kind == "bool" else str(wanted)
    assert both_ways(f"v0 {name} v1", result, left, right) == (int64(wanted.value),) * 2


@pytest.mark.parametrize("name", [*OPERATORS, "/", "%", "<<", ">>"])
def test_all_values_of_three_bits_with_all_constants(name: str) -> None:
    """A number from outcomes with a known one on either side, signed and not."""
    for kinds in itertools.product(("int", "uint"), repeat=2):
        for right in (0, 1, 2, 3, 4, 7):
            other = wrapped(kinds[1], 3, right)
            if python(name, Number(kinds[0], 3, 0), other) is None:
                continue
            result = python(name, Number(kinds[0], 3, 0), other)
            assert result is not None
            text = f"qubit[3] q; bit[3] b = measure q; {kinds[0]}[3] v = b;"
            text += (
                f" {other} k = {other.value}; output {'bool' if result.kind == 'bool' else result} o; o = v {name} k;"
            )
            program = elaborated(text)
            for left in range(8):
                wanted = python(name, wrapped(kinds[0], 3, left), other)
                assert wanted is not None
                machine = Machine(program, [left >> place & 1 for place in range(3)])
                assert machine.outputs["o"] == wanted.value, (left, other)


LEAVES = st.sampled_from(["v0", "v1", "v2", "3", "7", "1"])
FORMULAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "&", "|", "^"]), inner).map(" ".join).map("({})".format),
        st.tuples(inner, st.sampled_from(["<<", ">>", "/", "%"]), st.sampled_from(["1", "2", "4"])).map(" ".join).map("({})".format),
        inner.map("(-{})".format),
        inner.map("(~{})".format),
    ),
    max_leaves=10,
)  # fmt: skip
TYPES = ["int[8]", "uint[8]", "int[64]", "uint[64]", "int[13]", "uint[5]"]


@settings(max_examples=60)
@given(FORMULAS, st.lists(NUMBERS, min_size=3, max_size=3), st.sampled_from(TYPES))
def test_formulas_computed_now_and_while_the_shot_runs_agree(text: str, numbers: list[Number], result: str) -> None:
    try:
        constant, runtime = both_ways(text, result, *numbers)
    except ProgramError as error:  # a quotient of two literals, or of a number too wide for a table
        allowed = ("whole numbers would be", "by powers of two", "by what depends on outcomes")
        if not any(one in str(error) for one in allowed):
            raise
        return
    assert constant == runtime


# ---- Angles ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    ["a + b", "a - b", "-a", "~a", "a * 3", "5 * a", "a / 2", "a >> 1", "a << 1", "a ^ b", "a & b", "a | b"],
)
def test_angles_of_four_bits_are_multiples_of_a_sixteenth_turn(expression: str) -> None:
    text = "qubit q; bit[4] c; bit[4] d;" + "".join(f" {r}[{k}] = measure q;" for r in "cd" for k in range(4))
    program = elaborated(f"{text} angle[4] a = c; angle[4] b = d; output uint[4] o; o = uint[4]({expression});")
    for one, other in itertools.product(range(16), repeat=2):
        known_text = f'qubit q; angle[4] a = "{one:04b}"; angle[4] b = "{other:04b}"; output uint[4] o; o = uint[4]({expression}); x q;'
        outcomes = [one >> k & 1 for k in range(4)] + [other >> k & 1 for k in range(4)]
        wanted = eval(expression.replace("/", "//"), {"a": one, "b": other}) % 16
        assert Machine(program, outcomes).outputs["o"] == wanted, (one, other)
        if one == other or other == 3:
            assert Machine(elaborated(known_text)).outputs["o"] == wanted, (one, other)


@pytest.mark.parametrize("name", ["==", "!=", "<", "<=", ">", ">="])
def test_angles_are_compared_without_sign(name: str) -> None:
    text = "qubit q; bit[3] c; c[0] = measure q; c[1] = measure q; c[2] = measure q; angle[3] a = c;"
    for other in range(8):
        program = elaborated(f'{text} angle[3] b = "{other:03b}"; output bool o; o = a {name} b;')
        for one in range(8):
            machine = Machine(program, [one >> k & 1 for k in range(3)])
            assert machine.outputs["o"] == eval(f"{one} {name} {other}")


def test_an_angle_of_outcomes_turns_by_words() -> None:
    text = "qubit q; bit[2] c; c[0] = measure q; c[1] = measure q; angle[2] a = c; rz(a) q; rz(a + pi) q; angle t = pi/8; rz(t * int(c)) q;"
    for outcomes in itertools.product((0, 1), repeat=2):
        value = outcomes[0] + 2 * outcomes[1]
        turns = [one[2] for one in shot(text, outcomes).done if one[0] == "rz"]
        assert [turn % 2**64 for turn in turns] == [value << 62, (value << 62) + 2**63 & 2**64 - 1, value << 60]


# ---- Variables and branches -------------------------------------------------------------------------------------------------


def test_what_is_known_stays_known_and_costs_nothing() -> None:
    program = elaborated("qubit q; bit c; int n = 3; c = measure q; if (c) { n = 4; x q; n = 3; } if (n == 3) y q;")
    assert not any(isinstance(one, Assign) for one in program.statements)
    assert program.variables == ()


def test_sides_that_differ_make_a_variable_on_both() -> None:
    program = elaborated("qubit q; bit c; int n = 3; c = measure q; if (c) n = 4; output int o; o = n;")
    (branch,) = [one for one in program.statements if isinstance(one, Branch)]
    assert branch.condition == Bits((0,))
    assert [one.value for one in (*branch.then, *branch.otherwise) if isinstance(one, Assign)] == [4, 3]
    assert program.statements[-2:] == (
        Assign(1, Variable(0), program.statements[-2].source),
        Emit(0, Variable(1), program.statements[-1].source),
    )


def test_a_measured_bit_that_is_measured_again_keeps_its_old_value_in_a_variable() -> None:
    text = "qubit q; bit c; bit d; c = measure q; int n = int(c) + 1; c = measure q; output int o; o = n * 10 + int(c);"
    for first, second in itertools.product((0, 1), repeat=2):
        assert shot(text, (first, second)).outputs["o"] == (first + 1) * 10 + second


def test_bits_computed_from_bits() -> None:
    text = 'qubit q; bit[3] c; c[0] = measure q; c[1] = measure q; c[2] = c[0] & !c[1]; bit[2] d; d = c[0:1] ^ "01"; bit e = c[1] | 1;'
    text += " c[0] = 0; output uint[3] o; o = c;"
    for one, other in itertools.product((0, 1), repeat=2):
        machine = shot(text, (one, other))
        assert machine.bits == [0, other, one & (1 - other), one ^ 1, other, 1]
        assert machine.outputs["o"] == 2 * other + 4 * (one & (1 - other))


def test_swapping_registers_reads_before_it_writes() -> None:
    text = "qubit q; bit[2] c; c[0] = measure q; c[1] = measure q; c = rotl(c, 1); output uint[2] o; o = c;"
    assert [shot(text, (one, 0)).outputs["o"] for one in (0, 1)] == [0, 2]
    assert [shot(text, (0, one)).outputs["o"] for one in (0, 1)] == [0, 1]


def test_elements_and_bits_of_numbers() -> None:
    text = "qubit q; bit c; c = measure q; uint[4] u = 5; u[1] = c; int[4] i = 0; i[3] = c;"
    text += " output uint[4] o; o = u;"
    text += " output int[4] p; p = i; array[int[16], 4] v = {10, 20, 30, 40};"
    text += " output int[16] e; e = v[uint[2](u[0:1])]; output bool s; s = i[3] == 1;"
    assert shot(text, (0,)).outputs == {"o": 5, "p": 0, "e": 20, "s": 0}
    assert shot(text, (1,)).outputs == {"o": 7, "p": -8, "e": 40, "s": 1}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("popcount(c)", int.bit_count),
        ("rotl(c, 2)", lambda c: (c << 2 | c >> 2) % 16),
        ("rotr(c, 1)", lambda c: (c >> 1 | c << 3) % 16),
    ],
)
def test_functions_of_bits(text: str, wanted: object) -> None:
    reading = "qubit q; bit[4] c; c[0] = measure q; c[1] = measure q; c[2] = measure q; c[3] = measure q;"
    program = elaborated(f"{reading} output uint[4] o; o = {text};")
    for value in range(16):
        assert callable(wanted)
        assert Machine(program, [value >> k & 1 for k in range(4)]).outputs["o"] == wanted(value)
        constant = elaborated(f'qubit q; x q; bit[4] c = "{value:04b}"; output uint[4] o; o = {text};')
        assert Machine(constant).outputs["o"] == wanted(value)


def test_division_of_a_narrow_number_is_a_table() -> None:
    text = "qubit[4] q; bit[4] b = measure q; int[4] v = b; output int[4] o; o = v / 3;"
    program = elaborated(text)
    emitted = program.statements[-1]
    assert isinstance(emitted, Emit)
    for value in range(16):
        signed = value - 16 * (value >> 3)
        assert Machine(program, [value >> k & 1 for k in range(4)]).outputs["o"] == int(signed / 3)
    tables = [one for one in program.statements if isinstance(one, Assign) and isinstance(one.value, Lookup)]
    assert len(tables) == 1


def test_inputs_that_vary_decide_without_outcomes() -> None:
    text = "input int k; qubit q; if (k > 2 && k != 5) x q; else y q; int n = 2 * k + 1; output int o; o = n;"
    for k in range(-3, 8):
        machine = shot(text, (), k=k)
        assert len(machine.done) == (1 if k > 2 and k != 5 else 2)
        assert machine.outputs["o"] == 2 * k + 1
    program = elaborated("input int k; qubit q; if (k == 1) x q;")
    (branch,) = program.statements
    assert isinstance(branch, Branch)
    assert isinstance(branch.condition, Computed)


def test_a_loop_ends_where_its_count_has_gone_far_enough_on_every_way() -> None:
    text = (
        "qubit[4] q; bit[4] c = measure q; output int[8] o; output int[8] t; int[8] n = 0; t = 0; "
        "while (n < 7) { if (c[0]) { n += 1; } else if (c[1]) { n += 3; } else { n += 2; } t += 1; } o = n;"
    )
    program = elaborated(text)
    for bits in itertools.product((0, 1), repeat=4):
        step = 1 if bits[0] else 3 if bits[1] else 2
        wanted = {"o": -(-7 // step) * step, "t": -(-7 // step)}
        assert Machine(program, bits).outputs == wanted
    with pytest.raises(ProgramError, match="a loop without bound"):
        elaborated("qubit q; bit c = measure q; int n = 0; while (n < 5) { if (c) { n += 1; } x q; }")


def test_outcomes_choose_elements_of_any_dimension() -> None:
    text = (
        "qubit[4] q; bit[4] c = measure q; output int[8] o; output int[16] p; uint[2] k = uint[2](c[2:3]) % 3; "
        "array[int[8], 2, 3] v = {{1, 2, 3}, {-4, 5, 60}}; array[float, 4] f = {0.1, -2.5, 1, 0.125}; "
        "o = v[int(c[0]), k]; p = int(f[uint[2](c[0:1])] * 1000);"
    )
    program = elaborated(text)
    for bits in itertools.product((0, 1), repeat=4):
        k = (bits[2] + 2 * bits[3]) % 3
        wanted = ((1, 2, 3), (-4, 5, 60))[bits[0]][k], (100, -2500, 1000, 125)[bits[0] + 2 * bits[1]]
        assert tuple(Machine(program, bits).outputs.values()) == wanted


# ---- What a sequencer cannot -------------------------------------------------------------------------------------------------

READING = "qubit[2] q; bit[2] c; bit[20] w; c[0] = measure q[0]; "


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("int[20] n = 7; if (c[0]) n = 8; n = n / 3;", "by any constant where the other side has at most 12 bits"),
        ("int n = 7; if (c[0]) n = 8; int m = 100 / n;", "cannot be computed by a sequencer"),
        ("int n = 7; if (c[0]) n = 8; int m = n / 0;", "division by zero"),
        ("int n = 7; if (c[0]) n = 8; int m = 1 >> n;", "a shift >> by what depends on outcomes"),
        ("int n = 7; if (c[0]) n = 8; int m = n << -1;", "a shift by -1"),
        ("const int n = c[0];", "a constant is known before the run"),
        ("array[int, 2] v = {1, 2}; v[0] = int(c[0]);", "arrays are of what is known before the run"),
        ("array[int, 2] v = {int(c[0]), 2};", "arrays are of constants"),
        ("array[int, 2, 2] v = {{1, 2}, {3, 4}}; array[int, 2] n = v[int(c[0])];", "with an index for each dimension"),
        ("array[int, 2, 2] v = {{1, 2}, {3, 4}}; int n = v[int(c), 1];", "the index of dimension 0 can be 0 to 3; there are 0 to 1"),
        ("x q[int(c[0])];", "a constant whole number is needed here, not an int; this one is not known before the run: a switch"),
        ("pow(int(c[0])) @ x q[0];", "a power that outcomes decide"),
        ("for int i in {1, int(c[0])} { }", "a constant is needed here, not an int that depends on outcomes"),
        ("def f(qubit p) -> bit { return measure p; } bool b = c[0] && f(q[0]);", "cannot stand on the right of && after outcomes"),
        ("angle[4] a = 0; if (c[0]) a = pi; a = a / 3;", "it can add, subtract, compare, multiply by whole numbers"),
        ("angle[4] a = 0; if (c[0]) a = pi; a = a * a;", "angle[4] * angle[4] of outcomes is not supported"),
        ("output int o; if (c[0]) o = 1;", "output 'o' has no value on some way through the program"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused_with_the_reason(body: str, wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        elaborated(READING + body)
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("p.qasm:1:")
