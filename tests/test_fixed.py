"""Numbers in steps are what exact fractions are, within the error that they state: at random, for every outcome, and on the language."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qrt.errors import ProgramError
from qrt.qasm import exactness, fixed
from qrt.qasm.fixed import Fixed
from qrt.types import Bits, Computed, Lookup, Variable
from tests.statement_machine import Machine, elaborated, int64, shot

BITS = 4

# ---- By itself ---------------------------------------------------------------------------------------------------------


def word_at(word: Any, outcomes: int, checked: bool = True) -> int:
    """What a sequencer's word is; of `checked` ones, that no sum or product ever leaves int64."""
    match word:
        case int():
            return word
        case Bits(bits=bits):
            return sum((outcomes >> bit & 1) << place for place, bit in enumerate(bits))
        case Lookup(values=values, index=index):
            return values[word_at(index, outcomes, checked=False)]
        case Computed(operator=name, left=left, right=right):
            sides = word_at(left, outcomes, checked), word_at(right, outcomes, checked)
            return Machine.operate(name, *sides)
    raise AssertionError(word)


Exact = Callable[[int], Fraction]  # of the outcomes
decimals = st.tuples(st.integers(-9999, 9999), st.integers(0, 6)).map(lambda pair: Fraction(pair[0], 10 ** pair[1]))
others = st.sampled_from(
    [Fraction(1, 3), Fraction(-5, 7), Fraction(0.1) * 3, Fraction(math.sqrt(2)), Fraction(1, 10**9)]
)
leaves = st.one_of(
    st.one_of(decimals, others).map(lambda number: (fixed.known(number), lambda _: number)),
    st.lists(st.integers(0, BITS - 1), min_size=1, max_size=BITS, unique=True).map(
        lambda bits: (
            fixed.counted(Bits(tuple(bits)), 0, (1 << len(bits)) - 1),
            lambda outcomes: Fraction(sum((outcomes >> bit & 1) << place for place, bit in enumerate(bits))),
        )
    ),
)


def operated(sides: tuple[str, tuple[Fixed, Exact], tuple[Fixed, Exact]]) -> tuple[Fixed, Exact]:
    name, (one, first), (other, second) = sides
    match name:
        case "+":
            return fixed.add(one, other), lambda outcomes: first(outcomes) + second(outcomes)
        case "-":
            return fixed.subtract(one, other), lambda outcomes: first(outcomes) - second(outcomes)
    return fixed.multiply(one, other), lambda outcomes: first(outcomes) * second(outcomes)


numbers = st.recursive(
    leaves, lambda inner: st.tuples(st.sampled_from("+-**"), inner, inner).map(operated), max_leaves=8
)


@settings(max_examples=60, deadline=None)
@given(numbers)
def test_a_number_is_within_its_bounds_and_its_error(pair: tuple[Fixed, Exact]) -> None:
    value, exact = pair
    assert value.size < 1 << 63
    for outcomes in range(1 << BITS):
        word = word_at(value.word, outcomes)
        assert value.low <= word <= value.high
        assert value.words is None or word in value.words
        assert abs(word * value.step - exact(outcomes)) <= value.error
    if value.words is not None:
        assert (min(value.words), max(value.words)) == (value.low, value.high)


@settings(max_examples=60, deadline=None)
@given(numbers, st.one_of(leaves, numbers), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_a_comparison_is_exact_or_refused(left: tuple[Fixed, Exact], right: tuple[Fixed, Exact], name: str) -> None:
    try:
        word = exactness.compared(name, left[0], right[0])
    except ValueError:
        assert fixed.subtract(left[0], right[0]).error
        return
    python = {"<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__", "==": "__eq__", "!=": "__ne__"}[name]
    for outcomes in range(1 << BITS):
        wanted = getattr(left[1](outcomes), python)(right[1](outcomes))
        assert word_at(word, outcomes) == wanted


@settings(max_examples=40, deadline=None)
@given(st.lists(numbers, min_size=2, max_size=3))
def test_numbers_that_meet_are_in_one_step(pairs: list[tuple[Fixed, Exact]]) -> None:
    alike = fixed.together([value for value, _ in pairs])
    assert len({one.step for one in alike}) == 1
    for one, (_, exact) in zip(alike, pairs, strict=True):
        for outcomes in range(1 << BITS):
            assert abs(word_at(one.word, outcomes) * one.step - exact(outcomes)) <= one.error


@settings(max_examples=40, deadline=None)
@given(numbers, st.integers(8, 40))
def test_larger_steps_say_how_much_they_lose(pair: tuple[Fixed, Exact], bits: int) -> None:
    value = fixed.coarser(pair[0], bits)
    assert value.size <= 1 << bits
    for outcomes in range(1 << BITS):
        assert abs(word_at(value.word, outcomes) * value.step - pair[1](outcomes)) <= value.error


@settings(max_examples=100, deadline=None)
@given(st.integers(-(2**60), 2**60), st.fractions(Fraction(1, 10**6), 10**6, max_denominator=10**6), st.integers(0, 60))
def test_other_steps_say_how_much_they_lose(word: int, step: Fraction, bits: int) -> None:
    value = Fixed(word, step, "", word, word, words=frozenset((word,)))
    other = (abs(word) + 1) * step / (1 << bits)
    moved = fixed.stepped(value, other)
    assert isinstance(moved.word, int)
    assert abs(moved.word * other - word * step) <= moved.error


@settings(max_examples=40, deadline=None)
@given(numbers)
def test_an_angle_is_within_its_error_modulo_a_turn(pair: tuple[Fixed, Exact]) -> None:
    word, off = exactness.modulo_turn(pair[0])
    for outcomes in range(1 << BITS):
        turns = Fraction(word_at(word, outcomes), 1 << 64) - pair[1](outcomes) / (2 * fixed.PI)
        assert abs(turns - round(turns)) <= off + Fraction(1, 1 << 100)


@settings(max_examples=40, deadline=None)
@given(numbers)
def test_an_index_tells_all_words_apart(pair: tuple[Fixed, Exact]) -> None:
    value = pair[0]
    assume(value.words is not None)
    try:
        index, words = exactness.index_of(value)
    except ValueError:
        assert len(value.words or ()) > exactness.COMPARED_MAX
        return
    for outcomes in range(1 << BITS):
        assert words[word_at(index, outcomes)] == word_at(value.word, outcomes)


# ---- In the language -----------------------------------------------------------------------------------------------------

READING = "qubit[4] q; bit[4] c = measure q; "


def results(body: str, *names: str) -> dict[tuple[int, ...], Mapping[str, int]]:
    """Outputs of a body for each outcome of four bits."""
    program = elaborated(READING + body)
    return {bits: Machine(program, bits).outputs for bits in itertools.product((0, 1), repeat=4)}


def test_an_estimate_is_carried_from_outcome_to_outcome() -> None:
    body = "output bool o; float x = 0.5; for int k in [0:3] { x = 0.9 * x + 0.1 * c[k]; } o = x > 0.45;"
    for bits, outputs in results(body).items():
        x = Fraction(1, 2)
        for bit in bits:
            x = Fraction(9, 10) * x + Fraction(1, 10) * bit
        assert outputs["o"] == (x > Fraction(45, 100))


def test_a_float_that_differs_on_two_sides_is_a_variable() -> None:
    body = (
        "output int[16] o; float x = 1; if (c[0]) { x = 0.1; } else if (c[1]) { x /= 3; } "
        "float y = x * 3; if (c[2]) { y -= 0.25; } if (y == 1) { y = 2; } o = int(y * 1000);"
    )
    for bits, outputs in results(body).items():
        x = Fraction(1, 10) if bits[0] else Fraction(1, 3) if bits[1] else Fraction(1)
        y = x * 3 - (Fraction(1, 4) if bits[2] else 0)
        y = Fraction(2) if y == 1 else y
        assert outputs["o"] == int(y * 1000)


def test_functions_quotients_and_powers_are_tables() -> None:
    body = (
        "output int[32] o; output int[32] p; output int[32] r; uint[4] n = c; float x = n * 0.25; "
        "o = int(sin(x) * 1e6); p = int(1e4 * sqrt(x + 1) / (n + 0.5) + 0.3); r = int(floor(exp(x)) + 2.5 ** n);"
    )
    for bits, outputs in results(body).items():
        n = sum(bit << place for place, bit in enumerate(bits))
        assert abs(outputs["o"] - math.sin(n / 4) * 1e6) <= 1
        assert abs(outputs["p"] - 1e4 * math.sqrt(n / 4 + 1) / (n + 0.5)) <= 1
        assert outputs["r"] == int(math.floor(math.exp(n / 4)) + Fraction(5, 2) ** n)


def test_angles_from_floats_and_back() -> None:
    program = elaborated(
        READING
        + "uint[4] n = c; rz(n * pi / 3) q[0]; rz(0.1 * n) q[0]; angle[8] a = 0.3 * n; rz(a) q[0]; rx(0.1 * n) q[0];"
    )
    for bits in itertools.product((0, 1), repeat=4):
        n = sum(bit << place for place, bit in enumerate(bits))
        turns = [one[2] / 2**64 for one in Machine(program, bits).done if one[0] == "rz" and type(one[2]) is int]
        wanted = [n / 6, 0.1 * n / math.tau, round(0.3 * n / math.tau * 256) / 256]
        for got, one in zip(turns[:3], wanted, strict=True):
            assert abs((got - one + 0.5) % 1 - 0.5) < 1e-12


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("float x = 1 / (0.5 - c[0] * 0.5);", ["division by zero", "1, 0", "outcomes can lead there"]),
        ("float x = sqrt(0.5 - c[0]);", ["sqrt of -0.5 is no real number", "outcomes can lead there"]),
        ("float x = log(int(c[0]));", ["log of 0", "outcomes can lead there"]),
        ("float x = exp(1000.0 * c[0]);", ["no finite number"]),
        ("int n = c[0]; n = n * n * 3; n = n << 40; n = n * n; float x = n;", ["of which no more is known than", "int[32]"]),
        ("uint[16] n = 5; if (c[0]) { n = 60000; } float x = sin(n * 0.1);", ["more than 4096 numbers", "uint[8]"]),
        ("float x = 0.5; if (c[0]) { x = 5ns; }", ["duration cannot be converted"]),
        ("input float a; float x = a * c[0];", ["inputs that vary"]),
        ("float x = c[0] * 0.1; bit[4] d = x;", ["cannot be converted to bit[4]"]),
        (
            "float x = 1.0; for int k in [0:30] { if (c[0]) { x *= 0.97; } x = x * 0.93 + 0.01 * x * x; } bool b = x == 0.06;",
            ["exact to", "use fewer digits"],
        ),
        ("duration d = c[0] * 1.5ns; delay[d] q[0];", ["could be 1.5 ns", "nearest: 1 ns and 2 ns"]),
        ("duration d = 20ns - c[0] * 30ns; delay[d] q[0];", ["could be -10 ns", "negative"]),
        ("duration d = c[0] * 20ns; box[d] { x q[0]; }", ["outcomes cannot decide how long a box is"]),
        ("duration d = c[0] * 20ns; float x = d * d;", ["has no meaning"]),
        ("duration d = c[0] * 20ns; float x = d + 1;", ["a duration + a number has no meaning"]),
        ("stretch s; duration d = 20ns; if (c[0]) { d = s; } delay[d] q[0];", ["'d' differs on the two sides", "stretch"]),
    ],
)  # fmt: skip
def test_what_is_not_exact_enough_is_refused_with_the_reason(body: str, wanted: list[str]) -> None:
    with pytest.raises(ProgramError) as caught:
        elaborated(READING + body)
    assert str(caught.value).startswith("p.qasm:1:")
    for words in wanted:
        assert words in str(caught.value)


def test_a_varied_program_knows_no_word_beyond_int64() -> None:
    """The machine's arithmetic wraps like the kernel's: a number that needed more would come out wrong."""
    assert int64(1 << 63) == -(1 << 63)
    found = shot(
        READING + "output bool o; float x = 1e9 * c[0] + 0.123456789; o = x * x > 1.000000000246e18;", (1, 0, 0, 0)
    )
    assert found.outputs["o"] == (Fraction("1000000000.123456789") ** 2 > Fraction("1.000000000246e18"))
    assert Variable(0) != Variable(1)
