"""What is known before the run: types, casts, constants, arrays, functions, registers. Values are enumerated or computed by Python."""

from __future__ import annotations

import cmath
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrt.errors import ProgramError
from qrt.qasm import elaborate, parse_program
from qrt.qasm.elaborate import Constants
from qrt.qasm.expressions import Exact, Literal, as_float, evaluate, names
from qrt.qasm.facts import NoLab
from qrt.qasm.program import Delay, Gate
from tests.statement_machine import elaborated, shot


def number(text: str, before: str = "") -> float:
    """The value of an expression, as a gate's angle."""
    return float(shot(f"{before} qubit q; rz({text}) q;").done[0][2])


def whole(text: str, kind: str, before: str = "") -> int:
    return shot(f"{before} output {kind} o; qubit q; x q; o = {text};").outputs["o"]


# ---- Numbers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sin(pi/6)", 0.5), ("cos(pi)", -1.0), ("tan(pi/4)", 1.0), ("arcsin(1)", math.pi / 2), ("arccos(-1)", math.pi),
        ("arctan(1)", math.pi / 4), ("sqrt(9/4.0)", 1.5), ("exp(0)", 1.0), ("log(1)", 0.0), ("sin(0.3)", math.sin(0.3)),
        ("cos(0.3)", math.cos(0.3)), ("tan(0.3)", math.tan(0.3)), ("arcsin(0.3)", math.asin(0.3)), ("arccos(0.3)", math.acos(0.3)),
        ("arctan(0.3)", math.atan(0.3)), ("sqrt(2)", math.sqrt(2)), ("exp(1.5)", math.exp(1.5)), ("log(1.5)", math.log(1.5)),
        ("floor(-1.5)", -2.0), ("ceiling(-1.5)", -1.0), ("ceiling(2.1)", 3.0), ("mod(7.5, 2)", 1.5), ("mod(-7, 3)", -1.0),
        ("2.0**0.5", math.sqrt(2)),
        ("euler", math.e), ("real(2 + 3im)", 2.0), ("imag((1 + 2im) * (3 - 1im))", 5.0),
        ("2**-1", 0.5), ("7 / 2.0", 3.5), ("8 / 2", 4.0), ("-7 % 3", -1.0), ("0b101 + 0x1F + 0o17 + 1_000", 1051.0),
        ('popcount("1011") * 1.0', 3.0),
        ("real(sqrt(-1 + 0im))", cmath.sqrt(-1).real), ("int(3.9) * 1.0", 3.0), ("int(-3.9) * 1.0", -3.0), ("float(true)", 1.0),
        ("uint[3](9) * 1.0", 1.0), ("int[3](5) * 1.0", -3.0), ("bool(0.5) * 1.0", 1.0), ("(3 > 2) * 2.0", 2.0), ("(pi < 3.2) * 1.0", 1.0),
        ("(100ns == 0.1us) * 1.0", 1.0), ("1us / 250ns", 4.0),
    ],
)  # fmt: skip
def test_numbers(text: str, wanted: float) -> None:
    assert number(text) == pytest.approx(wanted, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "rational", "multiple"),
    [
        ("sin(pi/6)", Fraction(1, 2), 0),
        ("arccos(0)", 0, Fraction(1, 2)),
        ("sqrt(2.25)", Fraction(3, 2), 0),
        ("cos(2*pi/3)", Fraction(-1, 2), 0),
    ],
)
def test_functions_are_exact_where_the_result_is(text: str, rational: Fraction, multiple: Fraction) -> None:
    (gate,) = elaborated(f"qubit q; rz({text}) q;").statements
    assert isinstance(gate, Gate)
    assert isinstance(gate.angle, Literal)
    assert gate.angle.value == Exact(Fraction(rational), Fraction(multiple))


def test_functions_of_inputs_that_vary_are_expressions() -> None:
    (gate,) = elaborated("input float t; qubit q; rz(2 * sin(t) + mod(t, 0.5)) q;").statements
    assert isinstance(gate, Gate)
    assert list(dict.fromkeys(names(gate.angle))) == ["t"]  # type: ignore[arg-type]
    for value in (0.2, 1.3):
        found = evaluate(gate.angle, {"t": value})  # type: ignore[arg-type]
        assert as_float(found) == pytest.approx(2 * math.sin(value) + math.fmod(value, 0.5))  # type: ignore[arg-type]


@settings(max_examples=60)
@given(st.integers(-200, 200), st.sampled_from(["int", "uint"]), st.integers(1, 9))
def test_casts_wrap_at_the_width(value: int, kind: str, width: int) -> None:
    wanted = value % 2**width
    wanted -= 2**width * (kind == "int" and wanted >> (width - 1))
    assert whole(f"{kind}[{width}]({value})", f"{kind}[{width}]") == wanted


def test_bits_and_numbers() -> None:
    before = 'bit[4] c = "1010";'
    assert whole("c", "uint[4]", before) == 10
    assert whole("c", "int[4]", before) == -6
    assert whole("c[1:3]", "uint[3]", before) == 5
    assert whole("c[{3, 0}]", "uint[2]", before) == 1
    assert whole("(c << 1) | 1", "uint[4]", before) == 5
    assert whole("~c", "uint[4]", before) == 5
    assert whole("uint[4](angle[4](pi))", "uint[4]") == 8
    assert whole("int[8](200)[7]", "uint[1]") == 1


def test_angles_wrap_at_a_turn() -> None:
    assert whole("uint[4](a)", "uint[4]", "angle[4] a = -pi/8;") == 15
    assert whole("uint[4](a + b)", "uint[4]", "angle[4] a = 7*pi/8; angle[4] b = 5*pi/4;") == 1
    assert number("a", "angle[3] a = 0.7;") == pytest.approx(math.pi / 4)
    assert whole("a / b", "uint", "angle[4] a = pi; angle[4] b = pi/4;") == 4


def test_constants_and_inputs_with_values() -> None:
    text = "input int[8] k; input bool b; input angle t; const int n = 2 * k; qubit q; if (b) { for int i in [1:n] { rz(t) q; } }"
    program = parse_program(text, "p")
    values = {"k": Exact(Fraction(2)), "b": Exact(Fraction(1)), "t": Exact(Fraction(1, 4))}
    assert len(elaborate(program, values, (), NoLab()).statements) == 4
    with pytest.raises(ProgramError, match=r"input 'k' is 200, which is no int\[8\]"):
        elaborate(program, {**values, "k": Exact(Fraction(200))}, (), NoLab())


# ---- Arrays ----------------------------------------------------------------------------------------------------------------


def test_arrays() -> None:
    before = "array[int[16], 2, 3] m = {{1, 2, 3}, {4, 5, 6}}; array[int[16], 3] r = m[1]; m[0, 1] = 20; m[1] = r;"
    before += " r[0] += 7; r[1:2] = m[0][0:1];"
    for text, wanted in (
        ("m[0, 1]", 20),
        ("m[1, 0]", 4),
        ("m[1][2]", 6),
        ("r[0]", 11),
        ("r[1]", 1),
        ("r[2]", 20),
        ("m[-1, -1]", 6),
    ):
        assert whole(text, "int[16]", before) == wanted
    assert whole("sizeof(m)", "int", before) == 2
    assert whole("sizeof(m, 1)", "int", before) == 3
    assert number(
        "v[2] + w[1]", "array[float[64], 3] v = {0.5, 1, pi}; array[angle[4], 2] w = {0, pi/2};"
    ) == pytest.approx(1.5 * math.pi)


def test_arrays_in_subroutines() -> None:
    before = "array[int[8], 3] v = {1, 2, 3};"
    text = f"""{before}
    def total(readonly array[int[8], #dim=1] a) -> int {{ int s = 0; for int i in [0:sizeof(a)-1] {{ s += a[i]; }} return s; }}
    def fill(mutable array[int[8], 3] a, int k) {{ for int i in [0:2] {{ a[i] = k + i; }} }}
    qubit q; x q; output int before; before = total(v); fill(v, 7); output int after; after = total(v);"""
    assert shot(text).outputs == {"before": 6, "after": 24}


# ---- Registers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operand", "wanted"),
    [
        ("q", [0, 1, 2, 3]), ("q[1:2]", [1, 2]), ("q[0:2:3]", [0, 2]), ("q[3:-1:1]", [3, 2, 1]), ("q[-2:]", [2, 3]), ("q[:1]", [0, 1]),
        ("q[{2, 0}]", [2, 0]), ("q[-1]", [3]), ("a", [1, 2, 4]), ("a[2]", [4]), ("b", [2, 1]), ("a[0:1][1]", [2]), ("r", [4]),
        ("q[k]", [2]),
    ],
)  # fmt: skip
def test_parts_of_registers_and_aliases(operand: str, wanted: list[int]) -> None:
    text = f"const int k = 2; qubit[4] q; qubit[1] r; let a = q[1:2] ++ r; let b = a[{{1, 0}}]; x {operand};"
    assert [one[1] for one in shot(text).done] == wanted


def test_bits_have_aliases_too() -> None:
    assert shot(
        'qubit[2] q; bit[3] c; let d = c[1:2]; d = measure q; let e = c[0] ++ d[1]; e = "11";', (1, 0)
    ).bits == [1, 1, 1]


def test_hardware_qubits_in_subroutines_and_aliases() -> None:
    assert shot("def f() { x $3; } f(); let a = $3; h a;").done == [("x", 0), ("h", 0)]


# ---- Standing alone ----------------------------------------------------------------------------------------------------------


def test_constants_outside_of_a_program_are_real_numbers() -> None:
    from openqasm3 import ast

    third = ast.BinaryExpression(ast.BinaryOperator["/"], ast.IntegerLiteral(1), ast.IntegerLiteral(3))
    assert Constants("1/3", "x").value(third) == Exact(Fraction(1, 3))


# ---- Refused ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("bool b = ~true;", "~ of bool has no meaning: the contrary of a bool is !"),
        ("uint[4] n; n = 16;", "16 is no uint[4]: 0 to 15; uint[4](16) would wrap it"),
        ("array[int[8], 2] v; v[1] = 300;", "300 is no int[8]: -128 to 127"),
        ("def f(int[8] n) { } f(128);", "128 is no int[8]: -128 to 127"),
        ("def f() -> uint[1] { return 2; } f();", "2 is no uint[1]: 0 to 1"),
        ("int n; n = 9223372036854775808;", "9223372036854775808 is no int: -9223372036854775808 to"),
        ("int n = 0x" + "f" * 2000 + ";", "a number of 8000 bits; possible are 4096"),
        ("int n = " + "9" * 5000 + ";", "a whole number of thousands of digits"),
        ("int n = 2 ** 2000 * 2 ** 2000 * 2 ** 2000;", "the result of * is no finite number"),
        ("int[4] n = 8;", "8 is no int[4]: -8 to 7; int[4](8) would wrap it"),
        ("uint n = -1;", "-1 is no uint: 0 to"),
        ("int[0] n = 1;", "int size must be positive"),
        ("uint[65] n = 1;", "uint[65] is not supported; widths: 1 to 64"),
        ("float[8] f = 1;", "float[8] is not supported; supported: float[64]"),
        ("bit[0] c;", "'c' has 0 elements"),
        ("const int n = 1; n = 2;", "'n' is a constant and cannot be set"),
        ("n = 2;", "'n' is no declared variable"),
        ("int n = 1; int n = 2;", "'n' is declared already"),
        ("int pi = 3;", "'pi' is declared already"),
        ("rz(q) q;", "'q' is a qubit and has no value; measure it into a bit"),
        ("rz(g) q; gate g a { }", "'g' is no declared value"),
        ("rz(nn) q; int nm = 1;", "'nn' is no declared value"),
        ("int count = 1; rz(cuont) q;", "did you mean count?"),
        ("rz(1 / 2) q;", "1/2 of whole numbers would be 0; write 1/2.0"),
        ("rz(1 % 0) q;", "division by zero"),
        ("rz(mod(1.5, 0)) q;", "division by zero"),
        ("rz(1 << -1) q;", "a shift by -1"),
        ("rz(1 << 100000) q;", "no finite number"),
        ("rz(10**10**10) q;", "no finite number"),
        ("rz(exp(1e6)) q;", "no finite number"),
        ("rz((-8.0)**0.5) q;", "the power is no real number"),
        ("rz(sqrt(-1)) q;", "sqrt of -1 is no real number"),
        ("rz(log(0)) q;", "log of 0 is no number"),
        ("rz(arcsin(2)) q;", "2 is no sine or cosine"),
        ("rz(tan(pi/2)) q;", "tan has no value at odd multiples of pi/2"),
        ("rz(sin(1, 2)) q;", "sin takes 1 argument, not 2"),
        ("rz(sin(1ns)) q;", "sin is of real numbers, not of a duration"),
        ("rz(sinh(1)) q;", "'sinh' is no function; did you mean sin?"),
        ("rz(popcount(3)) q;", "popcount is of bit[n] or uint[n], not of an int"),
        ("rz(1.5 & 1) q;", "float & int has no meaning: it needs whole numbers"),
        ("rz(1.5 % 1) q;", "float % int has no meaning; use mod(a, b)"),
        ('rz("01" + 1) q;', "has no meaning: cast bits to a number"),
        ('rz(-"01") q;', "- of bit[2] has no meaning"),
        ("rz(~1.5) q;", "~ of float has no meaning"),
        ('bit[2] c; c = "01" & "011";', "the widths differ; cast one of them"),
        ("bit[2] c = bit[3](5);", "3 bits for a register of 2"),
        ("rz(1ns * 1ns) q;", "a duration * a duration has no meaning"),
        ("rz(1 / 1ns) q;", "a number / a duration has no meaning"),
        ("int n = 1ns;", "duration cannot be converted to int"),
        ("bool b = 1ns;", "duration is neither true nor false"),
        ("angle t = true;", "bool cannot be converted to angle"),
        ("duration d = 3;", "int cannot be converted to duration"),
        ("complex c = 1ns;", "duration cannot be converted to complex"),
        ("rz(2im + 1ns) q;", "a duration is no complex number"),
        ("rz(1 < 2im) q;", "int < complex has no meaning"),
        ("rz(2im) q;", "an angle is a number, not a complex"),
        ("array[int, 2] v = {1, 2, 3};", "the shapes differ"),
        ("array[int, 2, 2] v = {{1, 2}, {3}};", "the rows of an array have one shape"),
        ("array[int, 100000] v;", "possible are 65536 elements"),
        ("array[int, 2] v = {1, 2}; rz(v[2]) q;", "index 2 is outside an array of 2: 0 to 1"),
        ("array[int, 2] v = {1, 2}; rz(v[0, 1]) q;", "2 indices into array[int, 2], which has 1 dimensions"),
        ("array[int, 2] v = {1, 2}; rz(sizeof(v, 1)) q;", "dimension 1 of array[int, 2], which has 1: 0 to 0"),
        ("rz(sizeof(3)) q;", "sizeof is of arrays, not of an int"),
        ("array[int, 2] v = {1, 2}; v = v + v;", "has no meaning: take elements"),
        ("array[int, 2, 2] v = {{1, 2}, {3, 4}}; array[int, 2] w = {1, 2}; v[0:1, 0] = w;", "a slice of several dimensions cannot be set"),
        ("array[int, 2] v = {};", "an array without elements has no type"),
        ("int n = 5; n[70] = 1;", "index 70 is outside 'n', which has 64 bits"),
        ("float f = 5; f[0] = 1;", "has no bits to set"),
        ("float f = 5; rz(f[0]) q;", "a float has no elements"),
        ("qubit[2] r; x r[0:3];", "index 2 is outside 'r'"),
        ("qubit[2] r; x r[0, 1];", "is a register and takes one index, not 2"),
        ("let a = q; let a = q;", "'a' is declared already"),
        ("bit c; let a = q ++ c;", "only qubits with qubits, and bits with bits"),
        ("let a = 3;", "an alias is of a register of qubits or bits"),
        ("int n = 1; let a = n;", "'n' is no declared register: it is a variable of type int"),
        ("{ input float t; }", "input 't' is declared inside a block"),
        ("output complex f;", "an output of type complex"),
        ("output int o;", "output 'o' has no value on some way through the program: output 'o' has no value yet"),
        ('defcalgrammar "lab";', 'defcalgrammar "lab" is not supported; supported: defcalgrammar "openpulse"'),
        ("const int k = k;", "'k' is no declared value"),
        ("rz(1e400) q;", "beyond the range of a float"),
        ("delay[1e400ns] q;", "beyond the range of a float"),
        ("delay[3] q;", "a duration is needed here"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_its_place(body: str, wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        elaborated(f"qubit q;\n{body}")
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("p.qasm:")


def test_durations_are_values() -> None:
    text = "const duration d = 100ns; duration e = 2*d + 4dt; array[duration, 2] v = {1ns, e}; qubit q; delay[v[1] - d/2] q;"
    (delay,) = elaborated(text).statements
    assert isinstance(delay, Delay)
    value = evaluate(delay.duration, {})
    assert (value.seconds, value.samples) == (Fraction(150, 10**9), 4)  # type: ignore[union-attr]
