"""OpenQASM 3: what the lab executes is read as the language means it; the rest is refused with its place."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.errors import ProgramError
from qrt.qasm import Elaborated, elaborate, parse_program
from qrt.qasm.expressions import Duration, Exact, as_float, evaluate
from qrt.qasm.facts import NoLab
from qrt.qasm.program import Barrier, Branch, Delay, Gate, Measurement, Reset, SetBit, Statement
from qrt.types import Bits, Classical, Computed

HEAD = 'OPENQASM 3;\ninclude "stdgates.inc";\nqubit[2] q;\nbit[2] c;\ninput float theta;\n'
HEAD_LINES = HEAD.count("\n")


def elaborated(text: str) -> Elaborated:
    program = parse_program(text, "p.qasm")
    return elaborate(program, {}, [one.name for one in program.inputs], NoLab())


def read(body: str) -> tuple[Statement, ...]:
    return elaborated(HEAD + body).statements


def refusal(text: str) -> str:
    with pytest.raises(ProgramError) as caught:
        elaborated(text)
    return str(caught.value)


# ---- What is read --------------------------------------------------------------------------------------------------------


def test_registers_are_written_out() -> None:
    assert [(s.name, s.qubit) for s in read("h q; x q[1]; sx q[-1]; id q[0];") if isinstance(s, Gate)] == [
        ("h", 0), ("h", 1), ("x", 1), ("sx", 1), ("id", 0),
    ]  # fmt: skip
    assert [(s.qubit, s.bit) for s in read("c = measure q; measure q[1] -> c[0]; measure q[0];") if isinstance(s, Measurement)] == [
        (0, 0), (1, 1), (1, 0), (0, None),
    ]  # fmt: skip
    assert [type(s) for s in read("reset q; barrier; delay[4ns] q[1];")] == [Reset, Reset, Barrier, Delay]


def test_directives_that_nobody_knows_change_nothing_and_are_told() -> None:
    plain = 'include "stdgates.inc";\nqubit q;\n{}for int i in [0:1] {{\n{}x q;\n}}\n'
    program = parse_program(plain.format("pragma lab.note hello\n", "@fast once\n@two\n"), "p.qasm")
    assert program.ignored == (
        "p.qasm:3:1: pragma is not known here, and ignored",
        "p.qasm:5:1: annotation @fast is not known here, and ignored",
        "p.qasm:6:1: annotation @two is not known here, and ignored",
    )
    found = elaborate(program, {}, (), NoLab()).statements
    without = parse_program(plain.format("", ""), "p.qasm")
    assert without.ignored == ()
    assert (
        [type(one) for one in found]
        == [type(one) for one in elaborate(without, {}, (), NoLab()).statements]
        == [Gate] * 2
    )


def test_a_grammar_of_pulses_may_be_named_where_there_are_none() -> None:
    assert read('defcalgrammar "openpulse"; reset q;')


def test_names_are_those_of_the_text() -> None:
    program = elaborated("qubit a; qubit[2] b; bit flag; bit[2] c; creg d[1]; qreg e[1]; bit[1] g = measure a; x b[0];")
    assert program.qubits == ("a", "b[0]", "b[1]", "e[0]")
    assert program.bits == ("flag", "c[0]", "c[1]", "d[0]", "g[0]")
    assert program.statements[0] == Measurement(0, 4, program.statements[0].source)


def test_sources_are_file_line_and_column_from_one() -> None:
    source = read("x q[0];\n  sx q[1];")[1].source
    assert (source.path, source.line, source.column, source.text) == ("p.qasm", HEAD_LINES + 2, 3, "sx q[1];")
    assert source.where == f"p.qasm:{HEAD_LINES + 2}:3: "


def test_hardware_qubits() -> None:
    assert elaborated("x $3; measure $0; x $3;").qubits == ("$3", "$0")
    assert "use one of the two" in refusal("qubit q; x $0;")
    assert "use one of the two" in refusal("x $0; qubit q;")


def test_initial_bits() -> None:
    # The rightmost character is element 0.
    program = elaborated('qubit q; bit[3] c = "011"; bit a = 1; bit b = "0"; bit d = true; bit e = 0;')
    written = [(program.bits[s.bit], s.value) for s in program.statements if isinstance(s, SetBit)]
    assert written == [("c[0]", 1), ("c[1]", 1), ("a", 1), ("d", 1)]


BOTH = Bits((0, 1))


@pytest.mark.parametrize(
    ("condition", "word", "inverted"),
    [
        ("c[0]", Bits((0,)), False),
        ("!c[1]", Bits((1,)), True),
        ("!!c[1]", Bits((1,)), False),
        ("c[0] == 1", Computed("==", Bits((0,)), 1), False),
        ("c[0] == true", Computed("==", Bits((0,)), 1), False),
        ("0 == c[0]", Computed("==", Bits((0,)), 0), False),
        ("c[0] != 0", Computed("==", Bits((0,)), 0), True),
        ("c == 2", Computed("==", BOTH, 2), False),
        ('c == "10"', Computed("==", BOTH, 2), False),
        ("c != 3", Computed("==", BOTH, 3), True),
        ("!(c == 1)", Computed("==", BOTH, 1), True),
        ("c", Computed("==", BOTH, 0), True),
    ],
)
def test_conditions(condition: str, word: Classical, inverted: bool) -> None:
    branch = read(f"if ({condition}) x q[0]; else {{ sx q[1]; }}")[0]
    assert isinstance(branch, Branch)
    assert branch.condition == word
    taken = [s.name for s in (branch.otherwise if inverted else branch.then) if isinstance(s, Gate)]
    assert taken == ["x"]


# ---- Expressions -----------------------------------------------------------------------------------------------------------


def angle(text: str, **inputs: float) -> Exact | float:
    gate = read(f"rz({text}) q[0];")[0]
    assert isinstance(gate, Gate)
    assert gate.angle is not None
    assert not isinstance(gate.angle, Classical)
    value = evaluate(gate.angle, {name: Exact(Fraction(repr(value))) for name, value in inputs.items()})
    assert not isinstance(value, Duration)
    return value


@pytest.mark.parametrize(
    ("text", "rational", "multiple"),
    [
        ("pi/3", 0, Fraction(1, 3)),
        ("-tau", 0, -2),
        ("2*pi - π/2", 0, Fraction(3, 2)),
        ("1*0.1", Fraction(1, 10), 0),
        ("3*0.1 + 0x10", Fraction(163, 10), 0),
        ("2**-2", Fraction(1, 4), 0),
        ("pi/pi", 1, 0),
        ("1 + pi", 1, 1),
        ("(1 + pi) * 3", 3, 3),
        ("2**3**2", 512, 0),
        ("-2**2", -4, 0),
        ("8 - 4 - 2", 2, 0),
        ("200ns / 100ns", 2, 0),
    ],
)
def test_angles_are_exact(text: str, rational: Fraction, multiple: Fraction) -> None:
    assert angle(text) == Exact(Fraction(rational), Fraction(multiple))


def test_angles_of_inputs() -> None:
    assert angle("theta * pi", theta=0.1) == Exact(Fraction(0), Fraction(1, 10))
    assert angle("pi*pi*theta", theta=2.0) == pytest.approx(2 * math.pi**2)


@pytest.mark.parametrize(
    ("text", "nanoseconds", "samples"),
    [
        ("100ns", 100, 0),
        ("2*1.5us", 3000, 0),
        ("1ms/4 - 1s/4000", 0, 0),
        ("10dt + 1ns", 1, 10),
        ("-3us", -3000, 0),
        ("100ns*0.3", 30, 0),
    ],
)
def test_durations_are_exact(text: str, nanoseconds: int, samples: int) -> None:
    delay = read(f"delay[{text}] q[0];")[0]
    assert isinstance(delay, Delay)
    assert evaluate(delay.duration, {}) == Duration(Fraction(nanoseconds, 10**9), Fraction(samples))


NUMBERS = st.one_of(
    st.integers(0, 50).map(lambda number: f"{number}.0"), st.sampled_from(["pi", "0.5", "tau", "1.25e-1"])
)
FORMULAS = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=12,
)


@given(FORMULAS)
def test_arithmetic_agrees_with_python(text: str) -> None:
    try:
        wanted = eval(text, {"pi": math.pi, "tau": math.tau})
    except ZeroDivisionError:
        # Where floats divide by zero, exact numbers do, too; the reverse is cancellation, which floats miss.
        assert "division by zero" in refusal(HEAD + f"rz({text}) q[0];")
        return
    try:
        found = as_float(angle(text))
    except ProgramError as error:
        assert "division by zero" in str(error)  # noqa: PT017 - most formulas have a value
        return
    if abs(wanted) < 1e12:
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)


# ---- What is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "column", "wanted"),
    [
        ("x q[2];", 5, "index 2 is outside 'q', which has 2 qubits: 0 to 1"),
        ("x r;", 3, "'r' is no declared qubit; declared: q"),
        ("x cc;", 3, "'cc' is no declared qubit"),
        ("yy q[0];", 1, "gate 'yy' is not supported; did you mean y? supported gates: x, sx, rx, ry, rz, h, id"),
        ("sxx q[0];", 1, "did you mean sx?"),
        ("rz q[0];", 1, "rz takes 1 angle, not 0"),
        ("x(1) q[0];", 1, "x takes 0 angles, not 1"),
        ("x q[0], q[1];", 1, "x acts on one qubit, not 2"),
        ("rz(1ns) q[0];", 4, "a number, not a duration"),
        ("delay[3] q[0];", 6, "a duration is needed here, a number with ns, us, ms, s or dt"),
        ("delay[3ns + 1] q[0];", 6, "a duration + a number has no meaning"),
        ("rz(1/0) q[0];", 4, "division by zero"),
        ("rz(10**10**10) q[0];", 4, "no finite number"),
        ("rz(thet) q[0];", 4, "did you mean theta?"),
        ("x q[theta];", 5, "a constant whole number"),
        ("c = measure q[0];", 1, "1 qubits are measured into 2 bits"),
        ("if (c == 4) x q[0];", 5, "2 bits are compared with 4; allowed: 0 to 3"),
        ('if (c == "100") x q[0];', 5, "2 bits are compared with a string of 3"),
        ("if (theta == 1) x q[0];", 5, "a float of inputs that vary, together with outcomes or compared"),
        ("bit q;", 1, "'q' is declared already"),
        ("qubit[0] r;", 1, "has 0 elements; allowed: 1 to 64"),
        ("qubit[1000000000] r;", 1, "allowed: 1 to 64"),
        ('bit[2] d = "101";', 12, "3 bits for a register of 2"),
        ("bit[2] d = 4;", 12, "4 for 2 bits; allowed: 0 to 3"),
        ('include "other.inc";', 1, 'supported: include "stdgates.inc"'),
        ("x[20ns] q[0];", 1, "a gate with a duration is not supported"),
        ("while (c[0]) { x q[0]; }", 1, "a loop without bound"),
        ("x q[0]", 7, "not OpenQASM 3: missing ';'"),
        ("x q[0]; }", 9, "not OpenQASM 3: extraneous input '}'"),
        ("x \x01;", 3, "token recognition error at: '\\x01"),
        ('x "a;', 3, "token recognition error"),
        ("if (c[0]) { break; }", 13, "not OpenQASM 3: "),
    ],
)
def test_everything_else_is_refused_with_its_place(body: str, column: int, wanted: str) -> None:
    message = refusal(HEAD + "\n" + body)
    assert message.startswith(f"p.qasm:{HEAD_LINES + 2}:{column}: "), message
    assert wanted in message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "p.qasm:1:1: not OpenQASM 3: there is no statement"),
        ("// nothing\n", "there is no statement"),
        (
            "// old\nOPENQASM 2.0;\nqreg q[1];",
            'p.qasm:2:1: this is OpenQASM 2.0; supported: OPENQASM 3. Write OPENQASM 3; and include "stdgates.inc"',
        ),
        ("OPENQASM 3; bit c;", "the program has no qubit; declare one: qubit q;"),
        ("qubit q; rz(" + "(" * 5000 + "1" + ")" * 5000 + ") q;", "nested too deeply"),
        ("barrier;", "all that the program has, and there is none"),
    ],
)
def test_programs_that_are_none(text: str, wanted: str) -> None:
    assert wanted in refusal(text)


def test_the_parser_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for text in ("x q", "\x01", "qubit q; x q; }"):
        refusal(text)
    assert capfd.readouterr() == ("", "")


PROGRAM = (
    HEAD
    + "h q; rz(pi/3 - theta) q[0]; c = measure q;\nif (c == 2) { x q[0]; delay[1us] q; } else { reset q[1]; }\nbarrier q;\n"
)


@given(st.integers(0, len(PROGRAM)), st.integers(0, 4), st.text(alphabet='xq[]()=;{}"/ci0\n@$-é\x00', max_size=4))
def test_damaged_programs_are_read_or_refused_and_nothing_else(position: int, cut: int, text: str) -> None:
    try:
        elaborated(PROGRAM[:position] + text + PROGRAM[position + cut :])
    except ProgramError as error:
        file, line, column = str(error).split(":")[:3]
        assert file == "p.qasm"
        assert int(line) >= 1
        assert int(column) >= 1


def test_what_oqpy_writes_is_read() -> None:
    import oqpy

    program = oqpy.Program()
    qubit, bit = oqpy.PhysicalQubits[0], oqpy.BitVar(name="flag")
    program.gate(qubit, "h")
    program.measure(qubit, bit)
    with oqpy.If(program, bit):
        program.gate(qubit, "x")
    program.delay(100e-9, qubit)
    program.gate(qubit, "rz", oqpy.pi / 2)
    read_back = elaborated(program.to_qasm())
    assert read_back.qubits == ("$0",)
    assert read_back.bits == ("flag",)
    assert [type(s) for s in read_back.statements] == [Gate, Measurement, Branch, Delay, Gate]
