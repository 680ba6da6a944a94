"""Two ways to write one program give one sequence, byte for byte; and gates begin where a clock per qubit says.

No physics is needed for these: a loop against its turns written out, a subroutine against its body, constants against their values, a gate
definition against its gates. Lines of the program are left out of the comparison, since the two texts have different ones.
"""

import random

import openqasm3
import pytest

from qrt.compile import compile_pulses
from qrt.loop import load_twin
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.timeline import schedule
from qrt.types import Pulses
from tests.reference_ideal import DEPLETION_NS, SX_SAMPLES, TONE_SAMPLES, ideal_calibration, ideal_lab
from tests.reference_interpreter import Choices, Interpreter

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
REGISTERS = "qubit[2] q;\nbit[3] c;\n"
LAB, CALIBRATION = ideal_lab(), ideal_calibration()
GATES_NS = {"sx": SX_SAMPLES, "x": 2 * SX_SAMPLES, "rx": SX_SAMPLES, "ry": SX_SAMPLES, "h": SX_SAMPLES, "rz": 0}
GATES_NS |= {"id": 2 * SX_SAMPLES, "measure": TONE_SAMPLES + int(DEPLETION_NS)}


@pytest.fixture(scope="module")
def limits():
    twin = load_twin(LAB)
    yield twin.limits
    twin.close()


def pulses_of(text: str) -> Pulses:
    return lower(parse_program(text, "program"), LAB, CALIBRATION, {})


def content(text: str, limits) -> dict[str, object]:
    """Return everything that the kernel and the instruments get."""
    sequence = compile_pulses(pulses_of(text), LAB, limits)
    arrays = ("instructions", "entries", "frames", "captures", "weights", "table", "factors")
    found: dict[str, object] = {name: getattr(sequence, name).tobytes() for name in arrays}
    found |= {name: getattr(sequence, name) for name in ("budget", "period_ticks", "lines", "sequencers", "emit_count")}
    found["segments"] = {
        line: [(segment.i.tobytes(), segment.q.tobytes()) for segment in segments]
        for line, segments in sequence.segments.items()
    }
    return found


WAYS = {
    "for": (
        "for int k in [0:2] { rx((k + 1) * pi / 7) q[0]; c[k] = measure q[0]; }",
        "rx(pi / 7) q[0]; c[0] = measure q[0]; rx(2 * pi / 7) q[0]; c[1] = measure q[0]; rx(3 * pi / 7) q[0]; c[2] = measure q[0];",
    ),
    "for backwards, and over a set": (
        "for int k in [4:-2:0] rz(k * pi / 8) q[1]; for uint[4] k in {3, 1} { sx q[1]; rz(k * pi / 5) q[1]; }",
        "rz(4 * pi / 8) q[1]; rz(2 * pi / 8) q[1]; rz(0 * pi / 8) q[1]; sx q[1]; rz(3 * pi / 5) q[1]; sx q[1]; rz(pi / 5) q[1];",
    ),
    "nested for with a condition that is known": (
        "for int i in [0:1] { for int j in [0:1] { if (i == j) { x q[i]; } else { sx q[j]; } } }",
        "x q[0]; sx q[1]; sx q[0]; x q[1];",
    ),
    "break and continue": (
        "for int k in [0:9] { if (k == 1) continue; if (k == 3) break; rx(k * pi / 9 + 0.1) q[0]; }",
        "rx(0.1) q[0]; rx(2 * pi / 9 + 0.1) q[0];",
    ),
    "while that is known": (
        "int n = 0; while (n < 3) { sx q[0]; delay[10ns] q[0]; n += 1; }",
        "sx q[0]; delay[10ns] q[0]; sx q[0]; delay[10ns] q[0]; sx q[0]; delay[10ns] q[0];",
    ),
    "switch that is known": (
        "int n = 4; switch (n * 2) { case 1, 2 { x q[0]; } case 8 { sx q[0]; } default { h q[0]; } }",
        "sx q[0];",
    ),
    "constants": (
        "const int n = 3; const float a = pi / (2 * n + 1); const duration t = 2 * 50ns; rz(-a * n) q[0]; delay[t + 7ns] q[0]; sx q[0];",
        "rz(-3 * pi / 7) q[0]; delay[107ns] q[0]; sx q[0];",
    ),
    "integers that are known": (
        "int[8] n = 100; n += 100; if (n < 0) { x q[0]; } uint[4] m = 15; m += 3; rx(m * 0.1) q[0];",
        "x q[0]; rx(0.2) q[0];",
    ),
    "angles that are known": ("angle[8] a = 3 * pi / 2; a += pi; rz(a) q[0]; sx q[0];", "rz(pi / 2) q[0]; sx q[0];"),
    "arrays": (
        "array[float, 2, 2] a = {{0.1, 0.2}, {0.3, 0.4}}; a[0, 1] = 0.7; for float t in a[0] rx(t) q[0]; rx(a[-1, 0]) q[1];",
        "rx(0.1) q[0]; rx(0.7) q[0]; rx(0.3) q[1];",
    ),
    "def": (
        "def turned(qubit a, float t) -> bit { rx(t) a; return measure a; } c[1] = turned(q[0], pi / 3); c[2] = turned(q[1], 0.2);",
        "rx(pi / 3) q[0]; c[1] = measure q[0]; rx(0.2) q[1]; c[2] = measure q[1];",
    ),
    "gate": (
        "gate g(a, b) r { rx(a) r; rz(b - a) r; h r; } g(pi / 3, pi / 4) q[0]; g(pi / 5, 0) q[1];",
        "rx(pi / 3) q[0]; rz(-pi / 12) q[0]; h q[0]; rx(pi / 5) q[1]; rz(-pi / 5) q[1]; h q[1];",
    ),
    "modifiers of named gates": ("inv @ rz(0.3) q[0]; inv @ rx(pi / 3) q[0]; sx q[0];", "rz(-0.3) q[0]; rx(-pi / 3) q[0]; sx q[0];"),
    "alias": ("let a = q[1]; let r = q[{1, 0}]; sx a; x r[1];", "sx q[1]; x q[0];"),
    "broadcast": ("h q; rx(0.3) q; c[0:1] = measure q;",
        "h q[0]; h q[1]; rx(0.3) q[0]; rx(0.3) q[1]; c[0] = measure q[0]; c[1] = measure q[1];"),
    "else": ("c[0] = measure q[0]; if (!c[0]) { x q[0]; } else { sx q[0]; }",
        "c[0] = measure q[0]; if (c[0] != 1) { x q[0]; } else { sx q[0]; }"),
    "no side": ("c[0] = measure q[0]; if (true) { x q[0]; } if (1 == 2) { x q[0]; }", "c[0] = measure q[0]; x q[0];"),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_two_ways_to_write_one_program(name, limits):
    one, other = (content(HEAD + REGISTERS + text, limits) for text in WAYS[name])
    assert one == other


def test_what_differs_is_told_apart(limits):
    """The comparison sees an angle, a bit, an order and a length that differ."""
    base = HEAD + REGISTERS + "rx(0.3) q[0]; delay[20ns] q[0]; c[0] = measure q[0]; if (c[0]) x q[0];"
    for old, new in (("0.3", "0.31"), ("c[0] =", "c[1] ="), ("20ns", "21ns"), ("if (c[0])", "if (!c[0])")):
        assert content(base, limits) != content(base.replace(old, new), limits), old


# ---- Clocks ------------------------------------------------------------------------------------------------------------


def straight(seed: int) -> str:
    """Return a program without branches, one operation per line."""
    rng = random.Random(seed)
    lines = []
    for _ in range(rng.randint(5, 25)):
        qubit = rng.choice(("q[0]", "q[1]", "q"))
        gate = rng.choice(("sx", "x", "h", "id", "rx(0.3)", "ry(-pi / 3)", "rz(0.2)", "rx(-1.1)"))
        lines.append(
            rng.choice(
                (f"{gate} {qubit};", f"{gate} {qubit};", f"delay[{rng.randint(0, 99)}ns] {qubit};", "barrier q;")
            )
        )
    lines.insert(rng.randrange(len(lines)), "c[0] = measure q[0];")
    lines.insert(rng.randrange(len(lines)), "c[1] = measure q[1];")
    return HEAD + REGISTERS + "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(12))
def test_gates_begin_where_a_clock_per_qubit_says(seed, limits):
    """Every gate that plays, and every measurement: line, qubit and tick."""
    text = straight(seed)
    interpreter = Interpreter(openqasm3.parse(text), {}, Choices(()), {}, GATES_NS)
    interpreter.run()
    found: dict[tuple[int, int], int] = {}
    for event in schedule(pulses_of(text), limits).events:
        if event.kind in {"play", "capture"}:
            key = (event.source.line, int(event.sequencer[1:]))
            found[key] = min(event.tick, found.get(key, event.tick))
    lines = text.splitlines()
    expected = {
        (line, place): int(start)
        for line, place, start in interpreter.begun
        if not lines[line - 1].startswith(("rz", "id"))
    }
    assert found == expected
