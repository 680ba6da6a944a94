"""Subroutines and functions of the lab: inlined, tabulated, refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qrt import config
from qrt.errors import ConfigError, ProgramError
from qrt.pulses import lower
from qrt.qasm import Elaborated, elaborate, parse_program
from qrt.qasm.facts import NoLab
from qrt.qasm.program import Assign, Branch, Measurement
from qrt.types import If, Lookup
from tests.statement_machine import Machine, elaborated, shot


class Provided(NoLab):
    """A lab with functions."""

    sample_s = Fraction(1, 10**9)

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self.externs = functions


def with_lab(text: str, **functions: Callable[..., Any]) -> Elaborated:
    program = parse_program(text, "p.qasm")
    return elaborate(program, {}, [one.name for one in program.inputs], Provided(**functions))


# ---- Subroutines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["rx", "ry", "rz", "p", "inv @ rx"])
def test_a_subroutine_that_gives_an_angle_is_called_once(gate: str) -> None:
    subroutine = "def f(qubit p) -> angle { angle t = 0.0; bit b = measure p; if (b) t = pi / 2; return t; }"
    program = elaborated(f"{subroutine} qubit q; {gate}(f(q)) q;")
    assert sum(isinstance(one, Measurement) for one in program.statements) == 1


def test_a_subroutine_that_ends_with_a_measurement_measures_into_the_target() -> None:
    text = "def m(qubit p) -> bit { h p; return measure p; } qubit[2] q; bit[2] c; c[0] = m(q[0]); c[1] = m(q[1]); bit d = m(q[0]);"
    program = elaborated(text)
    assert [(one.qubit, one.bit) for one in program.statements if isinstance(one, Measurement)] == [
        (0, 0),
        (1, 1),
        (0, 2),
    ]
    assert program.bits == ("c[0]", "c[1]", "d")


def test_results_in_expressions_are_values() -> None:
    text = """def m(qubit p) -> bit { return measure p; }
    def both(qubit[2] r) -> bit[2] { bit[2] b; b = measure r; return b; }
    qubit[2] q; output int o; o = int(m(q[0])) + 2 * int(m(q[0])) + 4 * int(m(q[1])); output uint[2] p; p = both(q);
    bool s = m(q[0]) == m(q[1]);
    output bool same; same = s;"""
    program = elaborated(text)
    for outcomes in itertools.product((0, 1), repeat=7):
        machine = Machine(program, outcomes)
        a, b, c, d, e, f, g = outcomes
        assert machine.outputs == {"o": a + 2 * b + 4 * c, "p": d + 2 * e, "same": int(f == g)}


def test_bits_of_subroutines_are_used_again() -> None:
    text = "def m(qubit p) -> int { bit b; b = measure p; if (b) x p; return 0; }"
    text += " qubit q; bit c; for int i in [0:9] { int r = m(q); } c = measure q;"
    assert len(elaborated(text).bits) == 2


def test_variables_of_blocks_are_used_again() -> None:
    body = "int n = 0; if (c) { n = 1; } if (n == 1) { x q; }"
    text = f"qubit q; bit c; c = measure q; for int i in [0:9] {{ {body} }} int last = 0; if (c) {{ last = 1; }}"
    assert len(elaborated(text).variables) <= 2
    assert shot(text, (1,)).done.count(("x", 0)) == 10
    assert shot(text, (0,)).done.count(("x", 0)) == 0


def test_arguments_are_values_and_qubits_are_themselves() -> None:
    text = """def f(int n, angle t, qubit a, qubit[2] b, bool w) -> int { n += 1; if (w) { rz(t) a; } x b[1]; return n; }
    const int k = 5; qubit[4] q; int n = 3; output int o; o = f(n + k, pi/2, q[3], q[0:1], true); output int same; same = n;"""
    machine = shot(text)
    assert machine.done == [("rz", 3, math.pi / 2), ("x", 1)]
    assert machine.outputs == {"o": 9, "same": 3}


def test_subroutines_see_constants_and_hardware_qubits_alone() -> None:
    assert shot("const int k = 2; def f() -> int { return k; } output int o; o = f(); x $0;").outputs == {"o": 2}
    with pytest.raises(
        ProgramError, match="'n' is no declared value; a subroutine sees constants of the program alone"
    ):
        elaborated("int n = 2; def f() -> int { return n; } qubit q; rz(f()) q;")


def test_returns_on_outcomes_into_a_target() -> None:
    text = "def f(qubit p) -> bit { bit b = measure p; if (b) { return measure p; } h p; return 1; } qubit q; bit c; c = f(q); if (c) x q;"
    program = elaborated(text)
    for outcomes, done in (
        ((0,), ["measure", "h", "x"]),
        ((1, 0), ["measure", "measure"]),
        ((1, 1), ["measure", "measure", "x"]),
    ):
        machine = Machine(program, outcomes)
        assert [one[0] for one in machine.done] == done
        assert machine.bits[0] == (1 if done[-1] == "x" else 0)


# ---- Functions of the lab ----------------------------------------------------------------------------------------------------


def test_functions_with_known_arguments_are_called_now() -> None:
    text = "extern f(int, float[64], bool, angle) -> float; extern g() -> int[4]; qubit q; rz(f(2, 0.5, true, pi)) q; rz(g() * 1.0) q;"
    seen: list[Any] = []

    def f(*given: Any) -> float:
        seen.append(given)
        return 0.25

    program = with_lab(text, f=f, g=lambda: -3)
    assert [one[2] for one in Machine(program).done] == [0.25, -3.0]
    assert seen == [(2, 0.5, True, math.pi)]


def test_a_gate_s_body_calls_a_function_of_the_lab_each_time() -> None:
    numbers = iter([1, 2])
    program = with_lab(
        "extern g() -> int[4]; gate turn p { rz(g() * 1.0) p; } qubit q; turn q; turn q;", g=lambda: next(numbers)
    )
    assert [one[2] for one in Machine(program).done] == [1.0, 2.0]


def test_functions_of_outcomes_are_tables() -> None:
    text = """extern vote(bit[3]) -> bit; extern f(int[3], int, uint[2]) -> int[16]; qubit[3] q; bit[3] c; c = measure q;
    if (vote(c)) { x q[0]; } int[3] n = c; output int[16] o; o = f(n, 7, c[0:1]);"""
    program = with_lab(text, vote=lambda c: int(c.bit_count() > 1), f=lambda n, k, u: 100 * n + k * u)
    (branch,) = [one for one in program.statements if isinstance(one, Branch)]
    assert isinstance(branch.condition, Lookup)
    for outcomes in itertools.product((0, 1), repeat=3):
        machine = Machine(program, outcomes)
        value = outcomes[0] + 2 * outcomes[1] + 4 * outcomes[2]
        assert (("x", 0) in machine.done) == (sum(outcomes) > 1)
        assert machine.outputs["o"] == 100 * (value - 8 * outcomes[2]) + 7 * (value & 3)
    assert not any(isinstance(one, Assign) and isinstance(one.value, int) for one in program.statements)


def fails(*_: Any) -> int:
    raise KeyError("nothing here")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("def f(int n) -> int { return f(n - 1); } rz(f(3)) q;", "'f' calls itself (f -> f): a shot is unrolled, so write a loop"),
        ("def f() { g(); } def g() { f(); } f();", "'f' calls itself (f -> g -> f)"),
        ("def f(int n) { } f();", "f takes 1 argument, not 0"),
        ("def f(qubit[2] p) { } f(q);", "1 qubits for 'p', which has 2"),
        ("def f(int n, qubit n) { } f(1, q);", "'n' names two arguments"),
        ("def f() -> int { } rz(f()) q;", "'f' ends without a return on some way through it"),
        ("def f() -> int { return; } rz(f()) q;", "this subroutine returns an int; return one"),
        ("def f() { return 1; } f();", "this subroutine returns nothing; declare it"),
        ("def f() { } rz(f()) q;", "an angle is a number, not a void"),
        ("def f() { } def f() { }", "'f' is declared already"),
        ("def f(mutable array[int, 2] a) { } int n = 1; f(n);", "'a' can be changed, so that it needs the name of an array of int"),
        ("def f(readonly array[int, 2] a) { a[0] = 1; } array[int, 2] v = {1, 2}; f(v);", "'a' is a constant and cannot be set"),
        ("def f(qubit p) { x r; } qubit r; f(q);", "'r' is no declared qubit; a subroutine sees constants"),
        ("f(q);", "'f' is no function; there are"),
        ("def turn() { } turm();", "did you mean turn?"),
        ("extern h(int) -> int;", "the lab provides no function 'h'; it provides: f, g"),
        ("extern word(int) -> int;", "did you mean words?"),
        ("extern zzzz(int) -> int;", 'it provides: f, g, wide, words (in the lab file: [externs] zzzz = "file.py:function")'),
        ("extern f(int) -> int; int n = f();", "f takes 1 argument, not 0"),
        ("extern f(int) -> int; int n = f(3);", "f(3) of the lab failed: KeyError: 'nothing here'"),
        ("extern g(int) -> uint[2]; int n = g(3);", "g(3) of the lab returned 9, which is no uint[2]"),
        ("extern words(int) -> int; int n = words(3);", "words(3) of the lab returned 'no', which is no int"),
        ("extern wide(bit[13]) -> int; bit[13] c; int n = wide(c);", "up to 12 bits together"),
        ("extern wide(bit[2]) -> float; bit[2] c; float n = wide(c);", "it returns float"),
        ("extern wide(float) -> int; bit c; input float t; int n = wide(t);", "becomes a table"),
    ],
)  # fmt: skip
def test_calls_that_mean_nothing(text: str, wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        with_lab(f"qubit q;\n{text}", f=fails, g=lambda _: 9, wide=lambda _: 1, words=lambda _: "no")
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("p.qasm:2:")


def test_known_bits_of_blocks_cost_nothing_and_sides_that_differ_write_them() -> None:
    text = "qubit q; bit c; for int i in [0:3] { bit[32] s = bit[32](i); if (s[0] == 1) { x q; } s[1] = 1; } c = measure q;"
    program = elaborated(text)
    assert len(program.bits) == 1
    assert len(program.statements) == 3
    text = "qubit q; bit c = measure q; output uint[2] o; { bit[2] s; if (c) { s[0] = 1; } else { s[1] = measure q; } o = s; }"
    for outcomes, wanted in (((1,), 1), ((0, 0), 0), ((0, 1), 2)):
        assert shot(text, outcomes).outputs["o"] == wanted
    again = "qubit q; bit c; output uint[4] o; uint[4] n = 0;"
    again += " for int i in [0:3] { bit s; n = n << 1; n[0] = s; s = measure q; n[0] = s; } o = n;"
    assert shot(again, (1, 0, 1, 1)).outputs["o"] == 0b1011


LAB = config.load(Path(__file__).with_name("lab.toml"))
VOTES = "extern vote(bit[3]) -> bit; qubit q; bit[3] c; c[0] = measure q; c[1] = measure q; c[2] = measure q; if (vote(c)) { x q; }"


def test_a_lab_s_functions_come_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def vote(c):\n    return int(c.bit_count() > 1)\n")
    lab = msgspec.structs.replace(LAB, externs={"vote": f"{file}:vote"})
    branch = lower(parse_program(VOTES, "p.qasm"), lab, None, {}).blocks["q0"][-1]
    assert isinstance(branch, If)
    assert isinstance(branch.condition, Lookup)
    assert branch.condition.values == (0, 0, 0, 1, 0, 1, 1, 1)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("mine.py", "externs.vote = 'mine.py': needed is \"path/file.py:function\""),
        ("{folder}/min.py:vote", "no such file; did you mean"),
        ("{folder}/none/x.py:vote", "no such file; the path counts from where the command is called"),
        ("{folder}/mine.py:vot", "has no function 'vot'; did you mean vote?"),
        ("{folder}/broken.py:vote", "cannot be loaded: ValueError: not today"),
    ],
)
def test_functions_of_a_lab_that_cannot_be_loaded(tmp_path: Path, written: str, wanted: str) -> None:
    (tmp_path / "mine.py").write_text("def vote(c):\n    return 1\n")
    (tmp_path / "broken.py").write_text("raise ValueError('not today')\n")
    lab = msgspec.structs.replace(LAB, externs={"vote": written.format(folder=tmp_path)})
    with pytest.raises(ConfigError) as caught:
        lower(parse_program(VOTES, "p.qasm"), lab, None, {})
    assert wanted in str(caught.value)
