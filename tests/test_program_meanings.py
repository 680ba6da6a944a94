"""Corners of the classical language where values depend on outcomes: each program by the whole stack and by the interpreter.

What random programs write seldom: ways out of loops and subroutines, shadowed names, mixed widths and signs, bits of numbers, angles
as numbers, tables indexed by outcomes. `SEEN` stands for two qubits measured into c[0] and c[1], so that all four outcomes come.
"""

import openqasm3
import pytest

from qrt.loop import Loop
from tests.reference_ideal import ideal_lab
from tests.reference_interpreter import joint
from tests.test_random_programs import played, score

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nbit[3] c;\n'
SEEN = "reset q; h q[0]; ry(1.1) q[1]; c[0] = measure q[0]; c[1] = measure q[1];"

PROGRAMS = {
    "one measurement on several ways through the program": (
        "reset q; h q; c[1] = measure q[0]; "
        "for int k in [0:1] { if (c[1]) { if (c[2]) { break; } } else { sx q[0]; } c[0] = measure q[1]; } c[2] = measure q[0];"
    ),
    "several labels of a case": (
        "output int r; SEEN int n = int(uint[2](c[0:1])); "
        "switch (n) { case 0, 2 { r = 1; } case 3, 1 { r = 2; } default { r = 3; } }"
    ),
    "bits of a block begin anew in every turn": (
        'bit[2] flags = "11"; for int k in [0:1] { bit[2] b; reset q; h q[0]; b[k] = measure q[0]; flags = b; }'
    ),
    "bits of a block that is over are not seen": (
        "reset q; x q[0]; { bit[2] b; b = measure q; b[1] = b[0]; c[0:1] = b; } "
        "{ bit[2] d; h q[0]; d[0] = measure q[0]; c[1] = d[0]; c[2] = d[1]; }"
    ),
    "nested def": (
        "def f(bit b) -> int[8] { if (b) { return 3; } return 1; } "
        "def g(int[8] n, bit b) -> int[8] { int[8] s = 0; for int k in [0:3] { if (n == k) { return s; } "
        "s += f(b) * n; } return -s; } output int[8] r; SEEN r = g(f(c[0]), c[1]) + f(c[1]);"
    ),
    "def returns register": (
        "def both(qubit a, qubit b) -> bit[2] { bit[2] m; m[0] = measure a; m[1] = measure b; return m; } "
        "reset q; h q; c[1:2] = both(q[0], q[1]);"
    ),
    "def with register of qubits": (
        "def par(qubit[2] r) -> bit { bit p = 0; for int k in [0:1] { bit m = measure r[k]; p ^= m; } "
        "return p; } reset q; h q[0]; ry(0.4) q[1]; c[2] = par(q);"
    ),
    "while break": (
        "output int[8] r; SEEN int[8] n = 0; while (n < 4) { n += 1; h q[0]; c[2] = measure q[0]; "
        "if (c[2]) { break; } } r = n;"
    ),
    "while true outcome and count": (
        "output uint[8] r; reset q; uint[8] n = 0; bit s = 0; while (!s && n < 4) { n += 1; reset q[0]; "
        "ry(1.0) q[0]; s = measure q[0]; } r = n;"
    ),
    "shadow": (
        "output int r; SEEN int n = 1; { int n = 5; n += 1; } if (c[0]) { int n = 7; n += 1; } else { n += 10; } r = n;"
    ),
    "switch bits": (
        'output int r; SEEN switch (c[0:1]) { case "00" { r = 1; } case "01" { r = 2; } default { r = 3; } }'
    ),
    "mixed sign": (
        "output bool r; output bool s; SEEN int[8] a = -3; if (c[0]) a = 5; uint[8] b = 4; if (c[1]) b = 250; "
        "r = a < b; s = a == b;"
    ),
    "mixed width": (
        "output int[16] r; SEEN int[8] a = 100; if (c[0]) a = -100; int[16] b = 300; if (c[1]) b = -1; r = a + b;"
    ),
    "wrap in compare": "output bool r; SEEN uint[4] a = 15; if (c[0]) a = 3; uint[4] b = 2; r = a + b > 4;",
    "arith shift": "output int[8] r; SEEN int[8] a = -9; if (c[0]) a = 9; r = a >> 1;",
    "end in if": "output int r; r = 1; SEEN if (c[0]) { end; } r = 2; h q[0]; c[2] = measure q[0];",
    "angle compare": "output bool r; SEEN angle[8] a = pi / 2; if (c[0]) a = 3 * pi / 2; r = a > pi;",
    "angle div": (
        "output uint[8] r; SEEN angle[8] a = pi / 2; if (c[0]) a = 3 * pi / 2; a = a / 4; r = uint[8](bit[8](a));"
    ),
    "angle times uint": (
        "SEEN angle[8] a = pi / 4; uint[8] n = 1; if (c[0]) n = 3; a = a * n; reset q; sx q[0]; rz(a) q[0]; "
        "ry(0.7) q[0]; c[2] = measure q[0];"
    ),
    "ternary-like": "output uint[2] r; SEEN uint[2] n = uint[2](c[0:1]); n = ~n; r = n;",
    "let slices": 'SEEN let a = c[{2, 0}]; a[0] = 1; let b = c[0:1]; b = "10";',
    "bit from int": "output int[4] r; SEEN int[4] n = -1; if (c[0]) n = 4; bit[4] b = n; b[1] = c[1]; r = b;",
    "measure in declaration": 'reset q; h q; bit[2] m = measure q; c[0:1] = m; if (m == "10") c[2] = 1;',
    "for over bits": "output int r; SEEN int n = 0; for bit b in c { n = 2 * n + int[2](bool(b)); } r = n;",
    "loop of outcome count": (
        "SEEN output int r; int n = 0; for int k in [0:2] { if (c[k]) { n += 1; continue; } n += 10; } r = n;"
    ),
    "bool ops": "output bool r; SEEN bool a = c[0]; bool b = !a && c[1] || (a && !c[1]); r = b != a;",
    "negative mod": "output int[8] r; SEEN int[8] n = -7; if (c[0]) n = 7; r = (n % 4) * 10 + n / 4;",
    "reset in branch": "SEEN if (c[0]) { reset q[1]; } h q[1]; c[2] = measure q[1];",
    "same bit two qubits": (
        "reset q; x q[1]; c[0] = measure q[0]; if (c[0] == 0) { c[0] = measure q[1]; } if (c[0]) x q[0]; "
        "c[1] = measure q[0];"
    ),
    "table index": "array[int[8], 4] w = {7, -3, 5, 100}; output int[8] r; SEEN r = w[uint[2](c[0:1])];",
    "gphase": "reset q; gphase(pi / 3); h q[0]; c[0] = measure q[0];",
    "u2u3": (
        "reset q; u2(0.3, 0.4) q[0]; u3(1.0, 0.2, 0.3) q[0]; u1(0.7) q[0]; sx q[0]; c[0] = measure q[0]; "
        "phase(0.3) q[1]; U(1.2, 0.3, 0.4) q[1]; sdg q[1]; tdg q[1]; y q[1]; sx q[1]; c[1] = measure q[1];"
    ),
    "U by outcome": (
        "SEEN angle[16] a = pi / 3; if (c[0]) a = pi / 5; reset q; U(a, 2 * a, 0.3) q[0]; sx q[0]; c[2] = measure q[0];"
    ),
}


@pytest.fixture(scope="module")
def loop():
    with Loop(ideal_lab(), 1618) as opened:
        yield opened


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_means_what_the_standard_says(name, loop):
    text = HEAD + PROGRAMS[name].replace("SEEN", SEEN)
    expected = joint(openqasm3.parse(text))
    found = score(expected, played(loop, text, [name for name, _ in next(iter(expected))]))
    assert found.agrees, found
