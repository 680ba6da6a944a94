"""Sweeps as the kernel loads them: words against exact fractions, texts and arrays as axes, epochs' words, and what is refused."""

import json
from fractions import Fraction
from math import pi
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt import config
from qrt.along import Straight, Tabled
from qrt.axes import TABLE_MAX, Line, from_document, to_document
from qrt.compile import compile_pulses
from qrt.encode import Encode, words
from qrt.errors import ProgramError
from qrt.grids import grid_of
from qrt.kernel import Rule, sweep_slots
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.qasm.expressions import Binary, Exact, Name
from qrt.qasm.formula import Formula
from qrt.slots import bind
from qrt.sweeps import Reach
from qrt.types import NOWHERE, Parameter, PortLimits

HEAD = "input float a; input float b; input angle p; input duration t; input int n; input uint k; qubit q; "
PROGRAM = parse_program(f"{HEAD}x q;", "p.qasm")


def grid(*sweeps, order="shot", shots=1, inputs=None):
    return grid_of(list(sweeps), PROGRAM, inputs or {}, order, shots)


def operand(unit, name, factor, *, duration=False):
    """An operand of `factor` words per turn of an angle, or per second."""
    return Parameter(unit, Formula(Name(name, NOWHERE, duration), Fraction(factor)), f"({name})")


def loaded(parameter, *sweeps):
    """What the kernel loads at each point."""
    found = grid(*sweeps)
    bound = bind([parameter], Reach(PROGRAM, found))
    return sweep_slots(bound.sweep, np.arange(found.points))[:, 0].tolist()


RATIONALS = st.fractions(-1, 1, max_denominator=1000)


@given(RATIONALS, RATIONALS, st.integers(1, 60), st.integers(1, 60000))
def test_an_affine_operand_is_the_rounded_line_between_its_rounded_ends(first, last, count, scale):
    texts = [f"{one.numerator}*pi/{one.denominator}" for one in (first, last)]
    found = loaded(operand("amplitude", "p", 2 * scale), f"p=linspace({texts[0]}, {texts[1]}, {count})")
    ends = [round(scale * first), round(scale * last)]
    exact = [scale * (first + (last - first) * Fraction(k, max(count - 1, 1))) for k in range(count)]
    line = [
        Fraction(ends[0] * (count - 1 - k) + ends[1] * k, count - 1) if count > 1 else Fraction(ends[0])
        for k in range(count)
    ]
    assert found == [round(value) for value in line]
    assert all(abs(word - value) <= Fraction(1, 2) for word, value in zip(found, line, strict=True))
    assert all(abs(word - value) <= 1 for word, value in zip(found, exact, strict=True))


@given(st.integers(-65536, 65536), st.integers(-65536, 65536), st.integers(2, 300))
def test_between_whole_words_every_point_is_the_exact_value_rounded(start, stop, count):
    found = loaded(operand("amplitude", "p", 2), f"p=linspace({start}*pi, {stop}*pi, {count})")
    assert found == [round(start + Fraction((stop - start) * k, count - 1)) for k in range(count)]


@given(RATIONALS, RATIONALS, st.integers(1, 40))
def test_a_phase_is_the_exact_value_rounded_modulo_one_turn(first, last, count):
    texts = [f"{6 * one.numerator}*pi/{one.denominator}" for one in (first, last)]
    found = loaded(operand("phase", "p", -(1 << 64)), f"p=linspace({texts[0]}, {texts[1]}, {count})")
    exact = [-3 * (first + (last - first) * Fraction(k, max(count - 1, 1))) for k in range(count)]
    wide = max(abs(exact[0]), abs(exact[-1])) >= Fraction(1, 2)
    for word, turns in zip(found, exact, strict=True):
        off = (word - turns * (1 << 64)) % (1 << 64)
        assert min(off, (1 << 64) - off) <= (Fraction(1, 2) if wide else 1)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_a_list_is_a_table(ticks):
    assert (
        loaded(operand("ticks", "t", 10**9, duration=True), f"t=values({', '.join(f'{one}ns' for one in ticks)})")
        == ticks
    )


A, B, N = (Name(one, NOWHERE) for one in "abn")


def both(unit, expression, *sweeps):
    """Return an operand of a and b, in units of a hundredth, and the words that the kernel loads of it."""
    found = grid(*sweeps)
    parameter = Parameter(unit, Formula(expression, Fraction(100), plain=True), "operand")
    reach = Reach(PROGRAM, found)
    return reach.found(parameter), sweep_slots(bind([parameter], reach).sweep, np.arange(found.points))[:, 0].tolist()


def of(left, operator, right):
    return Binary(operator, left, right, NOWHERE)


def test_an_operand_of_inputs_that_go_along_together_is_the_sum_point_by_point():
    found, words = both(
        "amplitude", of(of(A, "+", B), "+", B), "n=values(0, 1)", "a,b=zip(linspace(0, 1, 5), linspace(-2, 0, 5))"
    )
    assert isinstance(found, Straight)
    assert words == [-400, -275, -150, -25, 100] * 2
    found, words = both("amplitude", of(A, "*", B), "a,b=zip(linspace(0, 4, 5), values(1, 0, 2, -1, 5))", "n=values(7)")
    assert isinstance(found, Tabled)
    assert words == [0, 0, 400, -300, 2000]
    assert both("amplitude", of(of(A, "+", B), "+", N), "a=values(3)", "b=linspace(0, 1, 3)", "n=values(2)")[1] == [
        500,
        550,
        600,
    ]
    assert grid("a,b=zip(values(1, 2), linspace(0, 1, 2))") == grid_of(
        {("a", "b"): ([1, 2], "linspace(0, 1, 2)")}, PROGRAM, {}, "shot", 1
    )
    assert grid("a,b=zip(values(1, 2), linspace(0, 1, 2))").names == ("a", "b")


def test_an_operand_that_follows_several_axes_has_a_word_at_every_point_of_their_product():
    a, b = np.meshgrid([0, 0.5, 1], [0, 3, 1, 2], indexing="ij")
    found, words = both("integer", of(A, "*", B), "a=linspace(0, 1, 3)", "b=values(0, 3, 1, 2)")
    assert found == Tabled((0, 1), tuple((100 * a * b).astype(int).ravel().tolist()))
    assert words == list(found.listed)
    _, words = both("integer", of(A, "*", B), "a=linspace(0, 1, 3)", "n=values(7, 8)", "b=values(0, 3, 1, 2)")
    assert words == np.repeat((100 * a * b).astype(int)[:, None], 2, axis=1).ravel().tolist()


@pytest.mark.parametrize("order", ["point", "shot"])
def test_operands_on_axes_that_another_one_joins_keep_their_words(order):
    found = msgspec.structs.replace(
        grid("n=values(5, 6, 7)", "a=linspace(0, 1, 4)", "b=values(3, 1)", "t=linspace(0, 8ns, 9)"), order=order
    )
    expressions = [N, A, of(A, "+", B), B, of(of(A, "-", B), "+", B)]
    parameters = [Parameter("amplitude", Formula(one, Fraction(100), plain=True), "x") for one in expressions]
    parameters.append(operand("ticks", "t", 10**9, duration=True))
    reach = Reach(PROGRAM, found)
    bound = bind(parameters, reach).sweep
    assert bound.points == (3, 8, 9)  # n by itself, a and b as one
    n, a, b, t = np.meshgrid([5, 6, 7], np.arange(4) / 3, [3, 1], range(9), indexing="ij")
    wanted = [np.rint(one * 100).ravel() for one in (n, a, a + b, b, a)] + [t.ravel()]
    each = np.arange(found.points * 2) // (1 if order == "shot" else found.shots_per_point)
    words = sweep_slots(bound, np.arange(found.points * 2))
    assert (words == np.array(wanted).T[each % found.points]).all()
    slots = [reach.slot(one) for one in parameters]
    sums = sum(count * one for count, one in zip((3, -2, 5, 1, 1, 7), wanted, strict=True))
    assert reach.span(tuple(zip(slots, (3, -2, 5, 1, 1, 7), strict=True))) == (sums.min(), sums.max())
    points = {tuple(one) for one in np.array(wanted, np.int64).T.tolist()}
    assert {tuple(one) for one in reach.points(slots).tolist()} == points
    corners = reach.corners(slots)
    assert (corners @ [3, -2, 5, 1, 1, 7]).max() == sums.max()
    assert {tuple(one) for one in corners.tolist()} <= points


def test_what_a_table_has_no_words_for_is_refused_with_the_axes_between():
    with pytest.raises(
        ProgramError, match=r"depends on a and b together, at 150 x 150 points .*16384 .*a,b=zip\(...\)"
    ):
        both("amplitude", of(A, "*", B), "a=linspace(0, 0.1, 150)", "b=linspace(0, 0.1, 150)")
    with pytest.raises(
        ProgramError, match=r"so that a, n, b, side by side .* as one axis of 30 x 30 x 30 points; 16384"
    ):
        both("amplitude", of(A, "*", B), "a=linspace(0, 1, 30)", "n=linspace(0, 29, 30)", "b=linspace(0, 1, 30)")


def test_an_integer_is_never_rounded():
    assert both("integer", N, "n=linspace(-3, 3, 7)")[1] == [100 * one for one in range(-3, 4)]
    assert both("integer", A, "a=values(0.01, 0.07)")[1] == [1, 7]
    for sweep, said in (
        ("a=values(0, 0.005)", r"at a = 0.005 \(point 1 of 2\) this integer is 0.5; it must be whole"),
        ("a=linspace(0, 0.03, 3)", r"at a = 0.015 \(point 1 of 3\) this integer is 1.5"),
        ("a=values(1e30)", r"at a = 1e\+30 the integer is 1\d+; possible are those of 64 bits"),
    ):
        with pytest.raises(ProgramError, match=said):
            both("integer", A, sweep)
    program = parse_program("input int n; qubit q; x q;", "p")
    parameter = Parameter("integer", Formula(Name("n", NOWHERE), plain=True), "n")
    with pytest.raises(ProgramError, match="n are set by a controller, whose values are no whole numbers"):
        Reach(program, None, {"n": (0, 3)}).slot(parameter)


def test_an_array_of_floats_means_the_ticks_that_it_was_made_from():
    program = parse_program("input duration t; qubit q; delay[t] q;", "p")
    for array in (np.linspace(0, 10e-6, 11), np.arange(101) * 100e-9, np.logspace(-8, -5, 4)):
        found = grid_of({"t": array}, program, {}, "shot", 1)
        reach = Reach(program, found)
        bound = bind([operand("ticks", "t", 10**9, duration=True)], reach)
        assert sweep_slots(bound.sweep, np.arange(found.points))[:, 0].tolist() == np.rint(array * 1e9).tolist()
    with pytest.raises(ProgramError, match=r"at t = 1.0000001e-07 \(point 1 of 2\) this duration is 100.00001 ticks"):
        Reach(program, grid_of({"t": [0, 100.00001e-9]}, program, {}, "shot", 1)).slot(
            operand("ticks", "t", 10**9, duration=True)
        )


def test_texts_are_exact_numbers_of_the_language():
    found = grid(
        "p=linspace(-pi/3, 2*pi, 8)",
        "t=linspace(0, 20us, 5)",
        "a=values(1/3, 2**-3, pi)",
        "b=logspace(-8, -6, 3)",
        "n=linspace(-2, 4, 4)",
    )
    assert found.axes[0].points == Line(Exact(Fraction(0), Fraction(-1, 3)), Exact(Fraction(0), Fraction(2)), 8)
    assert [axis.exact(1) for axis in found.axes[:3]] == [
        Exact(Fraction(0)),
        Exact(Fraction(5, 10**6)),
        Exact(Fraction(1, 8)),
    ]
    assert found.axes[2].floats().tolist() == [1 / 3, 0.125, pi]
    assert found.axes[3].floats().tolist() == pytest.approx([1e-8, 1e-7, 1e-6])
    assert found.axes[4].floats().tolist() == [-2, 0, 2, 4]
    assert (found.points, found.shape) == (8 * 5 * 3 * 3 * 4, (8, 5, 3, 3, 4))
    document = json.loads(json.dumps(to_document(found)))
    assert from_document(document) == found
    assert from_document({}) is None
    assert document["axes"][1] | {"exact": 0} == {
        "name": "t", "kind": "duration", "unit": "s", "beside": [], "points": 5, "form": "linspace", "exact": 0,
        "values": [0, 5e-6, 1e-5, 1.5e-5, 2e-5],
    }  # fmt: skip


def test_arrays_and_texts_by_name_are_the_same():
    assert grid_of({"a": "linspace(0, 1, 3)"}, PROGRAM, {}, "point", 2) == grid(
        "a=linspace(0, 1, 3)", order="point", shots=2
    )
    listed = grid_of({"a": [0, 0.1, 0.5]}, PROGRAM, {}, "point", 2)
    assert listed == grid("a=values(0, 0.1, 0.5)", order="point", shots=2)


REFUSED = [
    ("a", "--sweep 'a': NAME=form is needed; forms: NAME=linspace(first, last, points)"),
    ("=linspace(0, 1, 2)", "--sweep '=linspace(0, 1, 2)': NAME=form is needed"),
    ("c=linspace(0, 1, 2)", "--sweep 'c=linspace(0, 1, 2)': the program has no input 'c'; its inputs: a, b, p, t, n, k"),
    ("a=linspace(0, 1)", "--sweep:1:3: linspace of 2 values is no sweep; forms: "),
    ("a=grid(0, 1)", "--sweep:1:3: grid is no form; forms: "),
    ("a=0:1", "--sweep:1:4: no sweep: "),
    ("a=linspace(0, one, 2)", "--sweep:1:15: 'one' is no declared value; declared: pi, tau"),
    ("a=linspace(0, a, 2)", "--sweep:1:15: 'a' is no declared value"),
    ("a=linspace(0, 1, 0)", "--sweep:1:18: a sweep of 0 points; at least 1 is needed"),
    ("a=linspace(0, 1, 2.5)", "--sweep:1:18: a constant whole number is needed here"),
    ("a=linspace(0, 1/0, 2)", "--sweep:1:15: division by zero"),
    ("a=values()", "--sweep:1:3: values of 0 values is no sweep"),
    ("a=values(1ns)", "--sweep:1:10: a is of type float; only values of a duration have a unit"),
    ("t=linspace(0, 10dt, 2)", "--sweep:1:15: the length of dt belongs to the lab; give ns, us, ms or s"),
    ("t=linspace(-1us, 1us, 2)", "--sweep:1:12: t = -1e-06: a duration is a number of seconds, at least 0"),
    ("t=logspace(-8ns, -5, 2)", "--sweep:1:12: logspace takes exponents of ten"),
    ("a=logspace(0, 400, 2)", "--sweep:1:15: 10 to the power of 400 is no number"),
    ("n=linspace(0, 1, 3)", "--sweep:1:12: n = 0.5 at point 1: int is a whole number"),
    ("k=linspace(-1, 1, 3)", "--sweep:1:12: k = -1 at point 0: uint is a whole number, at least 0"),
    (f"a=logspace(0, 1, {TABLE_MAX + 1})", f"logspace of {TABLE_MAX + 1} points; {TABLE_MAX} are possible, and any number with linspace"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), REFUSED)
def test_what_is_no_sweep_is_told_with_its_place(text, wanted):
    with pytest.raises(ProgramError) as caught:
        grid(text)
    assert wanted in str(caught.value)


def test_what_does_not_go_together_is_told():
    with pytest.raises(ProgramError, match=r"--sweep 'a=values\(1\)': a is swept already; one axis for each input"):
        grid("a=values(0)", "a=values(1)")
    with pytest.raises(
        ProgramError, match=r"--sweep 'a=values\(0\)': a has a value already \(0.5\): give --input or --sweep, not both"
    ):
        grid("a=values(0)", inputs={"a": 0.5})
    with pytest.raises(
        ProgramError, match=r"a sweep of 1048576 x 1048577 = 1099512676352 points; possible are 1099511627776"
    ):
        grid("a=linspace(0, 1, 2**20)", "b=linspace(0, 1, 2**20 + 1)")
    for values in ([], [[1.0]], [np.nan], ["x"], [None], "1"):
        with pytest.raises(ProgramError, match=r"sweep"):
            grid_of({"a": values}, PROGRAM, {}, "point", 1)
    many = parse_program("".join(f"input float x{k}; " for k in range(9)) + "qubit q; x q;", "p")
    with pytest.raises(ProgramError, match="9 sweeps; the kernel has 8 axes"):
        grid_of([f"x{k}=values(0)" for k in range(9)], many, {}, "point", 1)


# ---- Controlled inputs -------------------------------------------------------------------------------------------------------


LAB = config.load(Path(__file__).with_name("lab.toml"))
LIMITS = PortLimits(300, 1, 1, 8192, 64, 65536, 16)


def controlled(body, bounds, *sweeps):
    program = parse_program(f"{HEAD}{body}", "p.qasm")
    reach = Reach(program, grid_of(list(sweeps), program, {}, "point", 1) if sweeps else None, bounds)
    inputs = {one.name: 0.0 for one in program.inputs if one.name not in reach.varied}
    pulses = lower(program, LAB, None, inputs, reach.varied)
    return compile_pulses(pulses, LAB, LIMITS, reach), reach


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_the_words_of_an_epoch_are_those_of_a_program_with_these_values(a, b):
    body = "rz(2*a - b/3 + pi) q; rx(a/10) q; rx(0.5) q;"
    sequence, reach = controlled(body, {"a": (-1.0, 1.0), "b": (None, None)})
    bound = bind(sequence.parameters, reach, {"a": a, "b": b})
    program = parse_program(f"{HEAD}{body}", "p.qasm")
    others = {"p": 0.0, "t": 0.0, "n": 0, "k": 0}
    reference = compile_pulses(lower(program, LAB, None, {"a": a, "b": b, **others}), LAB, LIMITS)
    phase, amplitude = int(reference.instructions[0]["d"]), int(reference.instructions[1]["c"])
    assert abs((int(bound.epoch_values[0]) - phase + (1 << 63)) % (1 << 64) - (1 << 63)) <= 1 << 14  # floats of a turn
    assert abs(int(bound.epoch_values[1]) - amplitude) <= 1
    assert bound.sweep.slots["rule"].tolist() == [Rule.EPOCH] * 2
    assert bound.sweep.slots["start"].tolist() == [0, 1]
    sent = msgspec.json.decode(msgspec.json.encode(bound.encode), type=Encode)
    assert words(sent, {"a": a, "b": b}).tolist() == bound.epoch_values.tolist()


def test_sweeps_and_controlled_inputs_share_a_list_of_slots():
    sequence, reach = controlled(
        "rx(p) q; rz(a) q; delay[t] q;", {"a": (-1, 1)}, "p=linspace(0, pi, 3)", "t=values(5ns)"
    )
    bound = bind(sequence.parameters, reach, {"a": 0.0})
    assert bound.sweep.slots["rule"].tolist() == [0, Rule.EPOCH, 1]
    assert bound.encode.units == ("phase",)
    assert bound.epoch_values.tolist() == [0]
    turned = words(bound.encode, {"a": pi})
    assert sweep_slots(bound.sweep, np.arange(3), turned).tolist() == [
        [amplitude, int(turned[0]), 5] for amplitude in (0, 16384, 32768)
    ]
    assert (int(turned[0]) + (1 << 63) + (1 << 14)) % (1 << 64) <= 1 << 15  # half a turn


@pytest.mark.parametrize(
    ("body", "bounds", "wanted"),
    [
        ("rz(a*a) q;", {"a": (0, 1)}, "a are set by a controller and must enter affinely"),
        ("rz(1/a) q;", {"a": (0, 1)}, "must enter affinely"),
        ("rx(a) q;", {"a": (0, 7.0)}, "at the bounds of a, which a controller sets, the pulse has 1.114 of full scale"),
        (
            "delay[t] q;",
            {"t": (None, None)},
            "t is a duration that a controller sets: give the controller a minimum and a maximum",
        ),
        (
            "delay[t] q;",
            {"t": (-1e-6, 1e-6)},
            "at the bounds of t, which a controller sets, the duration is -1000 ticks",
        ),
        ("delay[t] q;", {"t": (0.0, 1e-3)}, "the shot takes 1000000 ticks, 993000 more than its period"),
    ],
)
def test_what_a_controller_cannot_set_is_told(body, bounds, wanted):
    with pytest.raises(ProgramError) as caught:
        controlled(body, bounds)
    assert str(caught.value).startswith("p.qasm:1:")
    assert wanted in str(caught.value)


RATIONALS = st.fractions(-4, 4, max_denominator=99)


@given(
    RATIONALS,
    RATIONALS,
    st.integers(-9, 9),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, -0.0, 0.5, 2.5, 3, 1e-300, 0.1]),
)
def test_a_word_is_the_exact_value_rounded_to_nearest_ties_to_even(offset, factor, other, a, b):
    encode = Encode(("phase", "threshold"), (str(offset), "1/2"), ({"a": str(factor), "b": str(other)}, {"b": "1"}))
    exact = round(offset + factor * Fraction(a) + other * Fraction(b)), round(Fraction(1, 2) + Fraction(b))
    assert words(encode, {"a": a, "b": b}).tolist() == list(exact)


def test_a_word_out_of_range_is_refused_with_its_value():
    sequence, reach = controlled("rx(a) q;", {"a": (None, None)})
    encode = bind(sequence.parameters, reach, {"a": 0.0}).encode
    with pytest.raises(ValueError, match=r"a = 7: the pulse has 1.114 of full scale; possible is -1 to 1"):
        words(encode, {"a": 7.0})
    with pytest.raises((ValueError, OverflowError)):
        words(encode, {"a": float("nan")})
