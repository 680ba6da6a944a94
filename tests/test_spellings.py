"""What the standard's own examples rely on, and its text leaves open or spells in two ways: one meaning, one sequence.

Variables that are read before they are set, subroutines called like gates, `pow` as a function, `$0` in the body of a defcal, programs that
nest deeply. Each is held against the same program in longer words.
"""

import numpy as np
import pytest

from qrt.compile import compile_pulses
from qrt.errors import ProgramError
from qrt.pulses import lower
from qrt.qasm import parse_program, read_program
from qrt.types import Lab
from tests.reference_ideal import ideal_lab
from tests.test_refusals import LIMITS

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


@pytest.fixture(scope="module")
def coupled() -> Lab:
    return ideal_lab(2, coupled=True)


def played(text: str, lab: Lab) -> np.ndarray:
    """Return what the kernel executes, without the places in the text."""
    sequence = compile_pulses(lower(parse_program(HEAD + text, "p.qasm"), lab, None, {}), lab, LIMITS)
    return sequence.instructions


DOUBLED = "".join(f"gate g{k} a {{ {f'g{k - 1} a;' * 2 if k else 'x a;'} }}\n" for k in range(20))
ALIKE = [  # in short words, in long ones
    (
        "qubit q; bit c; int[8] n; while (n < 3) { c = measure q; if (c) x q; n += 1; }",
        "qubit q; bit c; int[8] n = 0; while (n < 3) { c = measure q; if (c) x q; n += 1; }",
    ),
    (  # bits of a phase come in from the right; those that are not there yet are 0
        "qubit q; angle[3] known; for int i in [1:3] { reset q; h q; inv @ p(known) q; h q; measure q -> known[0]; known <<= 1; }",
        "qubit q; angle[3] known = 0; for int i in [1:3] { reset q; h q; inv @ p(known) q; h q; measure q -> known[0]; known <<= 1; }",
    ),
    (
        "qubit q; bit c; float t; duration d; bool a; c=measure q; if (c) {t=0.5; d=40ns; a=1;} rz(t) q; delay[d] q; if (!a) x q;",
        "qubit q; bit c; float t=0; duration d=0ns; bool a=0; c=measure q; if (c) {t=0.5; d=40ns; a=1;} rz(t) q; delay[d] q; if (!a) x q;",
    ),
    ("qubit q; array[angle[8], 2, 2] v; v[1, 0] = pi; rx(v[1, 0]) q; rx(v[0, 1]) q;", "qubit q; rx(pi) q; rx(0) q;"),
    (
        "qubit[2] q; def pair(qubit[2] a) { h a[0]; cx a[0], a[1]; } pair q;",
        "qubit[2] q; def pair(qubit[2] a) { h a[0]; cx a[0], a[1]; } pair(q);",
    ),
    (  # values and qubits each in the order of the definition
        "qubit[2] q; def turn(qubit a, float t, qubit b, int n) { rx(t) a; for int i in [1:n] x b; } turn(0.5, 3) q[1], q[0];",
        "qubit[2] q; rx(0.5) q[1]; for int i in [1:3] x q[0];",
    ),
    (
        "qubit q; bit c; def settle(qubit a) { bit b = measure a; if (b) { return; } x a; } settle q; c = measure q;",
        "qubit q; bit c; def settle(qubit a) { bit b = measure a; if (b) { return; } x a; } settle(q); c = measure q;",
    ),
    (  # a gate's parameters are real numbers, whatever is given: no angle wraps in its body
        "qubit[2] q; angle[16] v = 15*pi/8; gate g(a, b) r { rz((a - b) / 2) r; ry(a - b) r; } ctrl @ g(v, -1.5) q[0], q[1];",
        "qubit[2] q; gate g(a, b) r { rz((a - b) / 2) r; ry(a - b) r; } ctrl @ g(15*pi/8, -1.5) q[0], q[1];",
    ),
    ("qubit q; rz(pow(2, 3) * pow(0.5, 2)) q; pow(2) @ s q; rz(pow(pow(2, 1), (1 + 1))) q;", "qubit q; rz(2) q; pow(2) @ s q; rz(4) q;"),
    (
        'defcalgrammar "openpulse"; qubit q; cal { play(q0_drive, constant(pow(0.5, 2), 20ns)); }',
        'defcalgrammar "openpulse"; qubit q; cal { play(q0_drive, constant(0.25, 20ns)); }',
    ),
    (
        'defcalgrammar "openpulse"; qubit[2] q; defcal twice $1 { x $1; play(q1_drive, q1_sx); } twice q[1];',
        'defcalgrammar "openpulse"; defcal twice a { x a; play(q1_drive, q1_sx); } x $0; twice $1;',
    ),
    (
        'defcalgrammar "openpulse"; qubit q; cal { array[complex[float], 3] v = {0.1, 0.2im, 0.3}; waveform w = v; play(q0_drive, w); }',
        'defcalgrammar "openpulse"; qubit q; cal { waveform w = {0.1, 0.2im, 0.3}; play(q0_drive, w); }',
    ),
    ("qubit q; rx(" + "(" * 400 + "1" + ")" * 400 + ") q;", "qubit q; rx(1) q;"),
    ("qubit q; " + "{" * 200 + "x q;" + "}" * 200, "qubit q; x q;"),
    ("qubit q; int n = 7; " + "".join(f"if (n == {k}) {{ y q; }} else " for k in range(20, 60)) + "x q;", "qubit q; x q;"),
]  # fmt: skip


@pytest.mark.parametrize(("short", "long"), ALIKE, ids=[str(index) for index in range(len(ALIKE))])
def test_two_spellings_are_one_sequence(short: str, long: str, coupled: Lab) -> None:
    if "twice" in short:  # but for the other qubit's x, which `$0` needs to be there
        short = short.replace("twice q[1];", "x q[0]; twice q[1];")
    assert np.array_equal(played(short, coupled), played(long, coupled))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("qubit q;\ndef f(qubit a) { x a; }\nf(1) q;", "5:1", "f takes 0 values and 1 qubit (or registers), not 1 and 1"),
        ("qubit q;\ndef f(qubit a) { x a; }\ninv @ f q;", "5:1", "'f' is a subroutine: modifiers and durations are for gates"),
        ("qubit q;\ndef f(qubit a) { x a; }\ngate g a { f a; }\ng q;", "5:12", "gates are made of gates alone; write a def"),
        ("qubit q;\nqubit[3] r;", "4:1", "r[1] would be number 2, r[2] would be number 3: use fewer, or a lab with more"),
        ("x $0;\nx $2;", "4:3", "$2 would be number 2"),
        ("qubit q;\nframe f;", "4:1", "a frame is declared in the body of a cal: cal { frame ...; }"),
        ("qubit q;\ncal {\nwaveform w = blackman(0.1, 20ns);\n}", "5:14", "'blackman' is no function; there are: constant, gaussian"),
        ("qubit q;\ncal { play(q0_drive, {0.1, 0.2}); }", "4:22", "waveform w = {0.1, 0.2}; play(frame, w);"),
        ("qubit q;\ndelay[1e300s] q;", "4:1", "a delay of more than 35184.4 s"),
        ("qubit q;\ndelay[-1e300s * 1e300] q;", "4:1", "is negative"),
        ("qubit q;\nrx(\n" + "-" * 3000 + "1) q;", "4:1", "nested too deeply; name parts of it"),
        (f"qubit q;\n{DOUBLED}g19 q;", "4:13", "more than 100000 statements"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where(text: str, place: str, words: str, coupled: Lab) -> None:
    with pytest.raises(ProgramError) as caught:
        played(text, coupled)
    assert str(caught.value).startswith(f"p.qasm:{place}: ")
    assert words in str(caught.value)


def test_an_error_is_of_bounded_length(coupled: Lab) -> None:
    with pytest.raises(ProgramError) as caught:
        played("qubit q;\nx " + "q" * 100_000 + ";", coupled)
    assert len(str(caught.value)) < 2000


def test_the_mark_of_an_encoding_is_no_part_of_the_text(tmp_path) -> None:
    path = tmp_path / "marked.qasm"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode().replace(b"\n", b"\r\n"))
    assert read_program(path) == HEAD
