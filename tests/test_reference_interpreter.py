"""The reference interpreter itself, against closed forms, values printed in the standard, and plain enumeration in Python."""

import math
from itertools import product
from math import cos, pi, sin

import numpy as np
import openqasm3
import pytest

from tests.reference_gates import GATES, SWAP, H, X, Z, controlled, embedded, power, u
from tests.reference_interpreter import Distribution, joint
from tests.reference_values import ANGLE, FLOAT, INT, Type, Value, binary, cast

HEAD = 'OPENQASM 3.0; include "stdgates.inc";\n'


def said(text: str, **inputs: float) -> Distribution:
    return joint(openqasm3.parse(HEAD + text), inputs)


def over(text: str, *names: str, **inputs: float) -> dict[tuple[float, ...], float]:
    """Return the distribution of these names alone."""
    table: dict[tuple[float, ...], float] = {}
    for key, probability in said(text, **inputs).items():
        values = dict(key)
        short = tuple(values[name] for name in names)
        table[short] = table.get(short, 0.0) + probability
    return table


def sure(text: str, **inputs: float) -> dict[str, float]:
    """Return what a program without chance says."""
    [(key, probability)] = said(text, **inputs).items()
    assert probability == pytest.approx(1)
    return dict(key)


# ---- Physics -----------------------------------------------------------------------------------------------------------


def test_bell():
    assert over("qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;", "c[0]", "c[1]") == pytest.approx(
        {(0, 0): 0.5, (1, 1): 0.5}
    )


def test_ghz_is_even_in_the_other_basis():
    table = over(
        "qubit[3] q; bit[3] c; h q[0]; cx q[0], q[1]; cx q[1], q[2]; h q; c = measure q;", *["c[0]", "c[1]", "c[2]"]
    )
    assert table == pytest.approx({key: 0.25 for key in product((0, 1), repeat=3) if sum(key) % 2 == 0})


@pytest.mark.parametrize("theta", [0.3, 1.1, 2.9])
def test_teleportation(theta):
    """Any state arrives: rotating it back gives 0 with certainty, with feedback on two bits, which are even and independent."""
    text = """
    input float theta; qubit[3] q; bit[2] m; bit c;
    ry(theta) q[0]; rz(theta * 0.7) q[0];
    h q[1]; cx q[1], q[2]; cx q[0], q[1]; h q[0];
    m = measure q[0:1];
    if (m[1] == 1) x q[2];
    if (m[0]) { z q[2]; }
    rz(-theta * 0.7) q[2]; ry(-theta) q[2];
    c = measure q[2];
    """
    assert over(text, "c", "m[0]", "m[1]", theta=theta) == pytest.approx(
        {(0, a, b): 0.25 for a, b in product((0, 1), repeat=2)}
    )


@pytest.mark.parametrize("lam", [0.2, 1.9, 4.0])
def test_phase_kickback(lam):
    """Ctrl @ U(0, 0, lam) on an eigenstate turns the control: P(1) = sin^2(lam / 2)."""
    for gate in ("ctrl @ U(0, 0, lam)", "cp(lam)", "ctrl @ p(lam)"):
        text = f"input float lam; qubit a; qubit b; bit c; x b; h a; {gate} a, b; h a; c = measure a;"
        assert over(text, "c", lam=lam)[1,] == pytest.approx(sin(lam / 2) ** 2)
    text = "input float lam; qubit a; bit c; h a; ctrl @ gphase(lam) a; h a; c = measure a;"
    assert over(text, "c", lam=lam)[1,] == pytest.approx(sin(lam / 2) ** 2)


@pytest.mark.parametrize("theta", [0.4, -1.3, 2.7])
def test_rotations_about_each_axis(theta):
    """Closed forms: sx rz(theta) sx ends at 1 with cos^2(theta/2); ry then rx as the Bloch vector turns."""
    assert over("input float t; qubit q; bit c; sx q; rz(t) q; sx q; c = measure q;", "c", t=theta)[
        1,
    ] == pytest.approx(cos(theta / 2) ** 2)
    z = cos(theta) * cos(2 * theta)  # ry(theta): z = cos; rx(2 theta) turns z by cos(2 theta), x stays
    assert over("input float t; qubit q; bit c; ry(t) q; rx(2 * t) q; c = measure q;", "c", t=theta).get(
        (0,), 0.0
    ) == pytest.approx((1 + z) / 2)


def test_reset_forgets_and_projection_remembers():
    text = "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; reset q[0]; c = measure q;"
    assert over(text, "c[0]", "c[1]") == pytest.approx({(0, 0): 0.5, (0, 1): 0.5})
    text = "qubit q; bit[3] c; h q; c[0] = measure q; c[1] = measure q; h q; c[2] = measure q;"
    assert over(text, "c[0]", "c[1]", "c[2]") == pytest.approx({(a, a, b): 0.25 for a in (0, 1) for b in (0, 1)})


def test_repeat_until_success_is_geometric():
    text = """qubit q; bit c = 1; int[8] n = 0; output int[8] used;
    while (c == 1 && n < 4) { reset q; ry(1.0) q; c = measure q; n += 1; }
    used = n;"""
    one = sin(0.5) ** 2
    expected = {(k,): (1 - one) * one ** (k - 1) for k in (1, 2, 3)} | {(4,): one**3}
    assert over(text, "used") == pytest.approx(expected)


# ---- Gates -------------------------------------------------------------------------------------------------------------


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether two unitaries are the same up to a phase."""
    return bool(abs(abs(np.trace(a.conj().T @ b)) - len(a)) < 1e-9)


def test_the_standards_definitions_of_its_gates():
    """Each named matrix against the gate file's own words, up to a phase; `controlled` ones exactly."""
    make = {name: one[1] for name, one in GATES.items()}
    assert equal(make["x"](), u(pi, 0, pi))
    assert equal(make["y"](), u(pi, pi / 2, pi / 2))
    assert equal(make["h"](), u(pi / 2, 0, pi))
    assert equal(make["rx"](0.7), u(0.7, -pi / 2, pi / 2))
    assert equal(make["ry"](0.7), u(0.7, 0, 0))
    assert equal(make["rz"](0.7), u(0, 0, 0.7))
    assert equal(make["sx"]() @ make["sx"](), X)
    assert np.allclose(make["sx"](), power(X, 0.5))
    assert np.allclose(make["s"](), power(Z, 0.5))
    assert np.allclose(make["tdg"](), power(Z, 0.25).conj().T)
    assert np.allclose(embedded(controlled(X), [0, 1], 2), [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    assert np.allclose(embedded(controlled(X), [1, 0], 2), [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])
    assert np.allclose(SWAP @ np.kron(X, H) @ SWAP, np.kron(H, X))
    assert np.allclose(embedded(np.kron(X, H), [2, 0], 3), np.kron(np.kron(H, np.eye(2)), X))


@pytest.mark.parametrize(
    ("call", "same"),
    [
        ("inv @ rz(0.3) q;", "rz(-0.3) q;"),
        ("pow(3) @ sx q;", "sx q; x q;"),
        ("pow(0.5) @ rx(0.8) q;", "rx(0.4) q;"),
        ("inv @ pow(2) @ t q;", "sdg q;"),
        ("pow(-2) @ t q;", "sdg q;"),
        ("g(0.4, 0.9) q;", "rx(0.4) q; rz(0.9) q; h q;"),
        ("inv @ g(0.4, 0.9) q;", "h q; rz(-0.9) q; rx(-0.4) q;"),
        ("pow(2) @ g(0.4, 0.9) q;", "rx(0.4) q; rz(0.9) q; h q; rx(0.4) q; rz(0.9) q; h q;"),
        ("twice q;", "x q; x q; x q;"),
    ],
)
def test_modifiers_and_definitions(call, same):
    """A gate and what it stands for undo the same preparation alike."""
    head = """gate g(a, b) q { rx(a) q; rz(b) q; h q; }
    gate twice q { for int k in [0:2] { x q; } }
    qubit q; bit c; sx q; rz(0.2) q;"""
    tail = "rz(0.5) q; sx q; c = measure q;"
    assert over(head + call + tail, "c") == pytest.approx(over(head + same + tail, "c"))


# ---- The classical language: values printed in the standard -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('bit[8] a = "10001111"; bit[8] r; r = a << 1;', "00011110"),
        ('bit[8] a = "10001111"; bit[8] r; r = rotl(a, 2);', "00111110"),
        ('bit[8] a = "10001111"; bit[8] b = "01110000"; bit[8] r; r = a | b;', "11111111"),
        ('bit[8] a = "10001111"; bit[8] b = "01110000"; bit[8] r; r = a & b;', "00000000"),
        ("bit[4] r; angle[4] a = 9 * (pi / 8); r = bit[4](a);", "1001"),
        ("bit[4] r; angle[4] a = 9 * (pi / 8); r = bit[4](a << 2);", "0100"),
        ("bit[4] r; angle[4] a = 9 * (pi / 8); r = bit[4](a >> 2);", "0010"),
        ("bit[6] r; uint[6] b = 37; r = bit[6](rotl(b, 3));", "101100"),
        ("bit[4] r; angle[4] a = 7 * (pi / 8); angle[4] b = pi / 8; r = bit[4](a + b);", "1000"),
        ("bit[4] r; angle[4] a = 7 * (pi / 8); angle[4] b = pi / 8; r = bit[4](b - a);", "1010"),
        ("bit[4] r; angle[4] a = 7 * (pi / 8); uint[4] two = 2; r = bit[4](a / two);", "0011"),
        ("bit[4] r; angle[4] c = 5 * (pi / 4); uint[4] two = 2; r = bit[4](two * c);", "0100"),
        ("bit[4] r; angle[4] c = 5 * (pi / 4); angle[4] b = pi / 8; r = bit[4](c / b);", "1010"),
        ("bit[4] r; angle[4] a = pi / 4; r = bit[4](-a);", "1110"),
        ('bit[8] r; int[8] n = 15; n[4:7] = "1010"; r = bit[8](n);', "10101111"),
        ("bit[4] r; int[8] n = 15; r = n[0:2:7];", "0011"),
        ("bit[4] r; int[8] n = 15; r = n[-4:-1];", "0000"),
        ("bit[4] r; array[int[8], 5] a = {0, 1, 2, 3, 4}; a[0][0] = 1; r = a[4][0:3]; r[0] = a[0][0];", "0101"),
        ('bit[3] c = "011"; bit[4] r; let d = c[{2, 0}]; d[0] = 1; let e = c[0:2] ++ d[1]; r = e;', "1111"),
    ],
)  # fmt: skip
def test_bits_as_the_standard_prints_them(text, expected):
    values = sure(text)
    assert "".join(str(int(values[f"r[{k}]"])) for k in reversed(range(len(expected)))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int[32] a = 2; int[32] b = 3; r = a * b;", 6),
        ("int[32] a = 2; int[32] b = 3; r = b / a;", 1),
        ("int[32] a = 2; int[32] b = 3; r = b % a;", 1),
        ("int[32] a = 2; int[32] b = 3; r = a ** b;", 8),
        ("int[32] a = -7; r = a / 2;", -3),
        ("int[32] a = -7; r = a % 2;", -1),
        ("int[32] b = 0; for int[32] i in {1, 5, 10} { b += i; } r = b;", 16),
        ("int[32] b = 0; for int i in [0:2:20] b += i; r = b;", 110),
        ("int[32] b = 0; for int i in [3:-1:1] b = 10 * b + i; r = b;", 321),
        ("int[32] i = 0; while (i < 10) { i += 1; if (i == 2) { continue; } if (i == 4) { break; } } r = i;", 4),
        ("int ii = 100; def f() -> int { return ii * 2; } ii = 200; int jj = f(); r = jj;", 400),
        ("int ii = 100; { ii *= 2; int ii = 1; ii *= 2; } r = ii;", 200),
        ("int i = 15; switch (i) { case 1, 3, 5 { r = 1; } case 2, 15 { r = 2; } default { r = 3; } }", 2),
        ("const int A = 0; int i = 2; switch (i) { case A { r = 1; } case A + 1 { r = 2; } default { r = 3; } }", 3),
        ("uint[6] b = 37; r = popcount(b);", 3),
        ("int[8] n = 100; n += 100; r = n;", -56),
        ("uint[8] n = 5; n -= 6; r = n;", 255),
        ("r = int[8](uint[8](int[8](-3)));", -3),
        ("r = int(2.9);", 2),
        ("r = int(-2.9);", -2),
        ('bit[3] c = "110"; r = int[3](c);', -2),
        ('bit[3] c = "110"; r = uint[3](c);', 6),
        ('bit[3] c = "110"; int n = 0; for bit b in c { n = 2 * n + b; } r = n;', 3),
        ("array[int[32], 3, 2] m = {{1, 2}, {3, 4}, {5, 6}}; r = 10 * m[0, 1] + m[-1, -1];", 26),
        ("array[int[8], 4, 3] bb; array[int[8], 3] aa = {7, 8, 9}; bb[0] = aa; aa[0] = 1; r = bb[0, 0] + bb[0, 2];", 16),
        ("array[int[8], 5] a = {0, 1, 2, 3, 4}; array[int[8], 2] b = a[3:4]; a[0:1] = b; r = 10 * a[0] + a[1];", 34),
        ("array[int[8], 3] a = {1, 2, 3}; for int[8] k in a { r = 10 * r + k; }", 123),
        ("array[int[8], 3, 2] a; r = 10 * sizeof(a) + sizeof(a, 1);", 32),
        ("def put(mutable array[int[8], #dim = 1] a) { a[2] = 10; } array[int[8], 5] z; put(z[1:3]); r = z[3];", 10),
        ("angle[32] d = pi; if (d == pi) r = 1;", 1),
        ("angle[8] a = 3 * pi / 2; if (2 * a >= a) { r = 1; } else { r = 2; }", 2),
        ("duration a = 500ns; duration b = 1ns; r = int(a / b);", 500),
        ("r = 2; if (r == 2 || 1 / 0 == 1) { r = 5; } end; r = 6;", 5),
        ("def f(int[8] n, bit b) -> int[8] { if (b) { return n; } n += 1; return n; } r = 10 * f(3, 1) + f(3, 0);", 34),
    ],
)  # fmt: skip
def test_integers_as_the_standard_has_them(text, expected):
    assert sure("output int r; " + text)["r"] == expected


def test_casts_of_angles_and_floats():
    assert cast(Value(FLOAT, 1.0), Type("float", 32)).data == 1.0
    assert cast(Value(FLOAT, 0.1), Type("float", 32)).data == float(np.float32(0.1))
    assert cast(Value(FLOAT, -pi / 2), Type("angle", 2)).data == 3
    assert cast(Value(Type("angle", 4), 9), Type("angle", 2)).data == 2
    assert cast(Value(Type("angle", 2), 3), ANGLE).data == 3 << 62
    assert cast(Value(FLOAT, 3 * pi / 8), Type("angle", 3)).data == 2  # a tie: to the even one
    assert binary("+", Value(INT, 1), Value(FLOAT, 0.5)).data == 1.5
    with pytest.raises(ValueError, match="no cast"):
        cast(Value(INT, 1), Type("duration"))
    with pytest.raises(ValueError, match="slice it"):
        cast(Value(Type("bit", 3), 1), Type("bit", 2))


# ---- Enumeration -------------------------------------------------------------------------------------------------------


def test_random_bits_through_arithmetic_are_pythons_own():
    """Three fair bits, every value of them once: the table must be that of the same arithmetic in Python."""
    text = """qubit[3] q; bit[3] c; output int[8] r; output uint[4] s;
    h q; c = measure q;
    int[8] n = 0;
    for int k in [0:2] { if (c[k]) { n += (k + 1) * (k + 1); } else { n -= k; } }
    switch (int(uint[3](c))) { case 0, 5 { n *= 2; } case 3 { n = -n; } default { n ^= 1; } }
    r = n * 37; s = uint[4](uint[3](c) << 1) + 9;
    """
    expected: dict[tuple[float, ...], float] = {}
    for value in range(8):
        n = sum((k + 1) ** 2 if value >> k & 1 else -k for k in range(3))
        n = 2 * n if value in {0, 5} else -n if value == 3 else n ^ 1
        r = (n * 37 + 128) % 256 - 128
        key = (r, (((value << 1) % 8) + 9) % 16)
        expected[key] = expected.get(key, 0.0) + 1 / 8
    assert over(text, "r", "s") == pytest.approx(expected)


def test_every_sequence_of_outcomes_is_taken_once():
    """Binomial: n biased coins, summed by feedback."""
    text = "qubit q; bit c; output int[8] n; for int k in [1:6] { reset q; ry(1.2) q; c = measure q; if (c) n += 1; }"
    one = sin(0.6) ** 2
    expected = {(k,): math.comb(6, k) * one**k * (1 - one) ** (6 - k) for k in range(7)}
    assert over(text, "n") == pytest.approx(expected)
