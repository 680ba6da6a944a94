"""Inputs of every kind that are left open: with any values, what is filled in is what compiling gives, byte for byte.

The reference is the compiler itself, asked anew with the values as constants. Equal sequences play the same shot, and a run says so.
"""

from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrt import compiling
from qrt.config import load
from qrt.errors import ProgramError
from qrt.pulses.lowering import lower_open
from qrt.qasm.shape import ComputedError
from qrt.templates import Templates
from tests.test_templates import asked, counts, fresh, told

ROOT = Path(__file__).parents[1]
HEAD = (
    'OPENQASM 3;\ninclude "stdgates.inc";\ndefcalgrammar "openpulse";\n'
    "input float a; input angle p; input float b; input int n; input duration t; input float f;\nqubit[2] q; bit[2] c;\n"
    "def pause(duration d, qubit r) { delay[d] r; }\ngate turn(x) r { rx(x / 9) r; rz(x) r; }\n"
)
REALS = st.sampled_from(
    ["a", "p", "b", "n * 0.01", "a * p", "-b / 3", "a + 0.1", "sin(a)", "p - a", "2.0 * n - 1.0", "1 / b"]
)
TIMES = st.sampled_from(
    ["t", "2 * t", "t + 100ns", "n * 16ns", "t * a", "t / 2", "400ns - t", "(t / 16ns) * 48ns", "3 * 16ns"]
)
PULSES = [
    "play(q0_drive, gaussian(0.1 * ({x}), 40ns, 10ns));",
    "shift_phase(q0_drive, {x});",
    "set_phase(q0_drive, {x});",
    "set_frequency(q0_drive, 5.0e9 + f);",
    "shift_frequency(q0_drive, 1e6 * ({x}));",
    "set_frequency(q0_readout, 7.0e9 + f); play(q0_readout, constant(0.1, 40ns)); play(q0_readout, constant(0.1, 40ns));",
    "delay[{d}] q0_drive;",
    "play(q0_drive, scale(constant(0.1, 40ns), {x}));",
]
FILLED = [  # with other values nothing is compiled again
    "rx(({x}) / 9) q[0];",
    "rz({x}) q[1];",
    "p({x}) q[0];",
    "U({x}, 0.1, 0.2) q[0];",
    "U(n * pi / 2, {x}, 0.3) q[1];",
    "turn({x}) q[0];",
    "pow({x}) @ rz(0.3) q[0];",
    "inv @ turn({x}) q[1];",
    "delay[{d}] q;",
    "delay[{d}] q[0];",
    "pause({d}, q[0]);",
    "box[4us] {{ delay[{d}] q[0]; sx q[1]; }}",
    "box[{d} + 1us] {{ x q[0]; }}",
    "duration e = {d}; delay[e] q[1];",
    "float g = {x}; rz(g) q[0];",
    "float z = 1 / b; float y = arcsin(b / 2); rz({x}) q[0];",
    "if (c[0]) {{ delay[{d}] q[0]; x q[0]; }} else {{ rz({x}) q[0]; }}",
    "if (c[0]) {{ sx q[0]; delay[{d}] q[0]; }}",
    "for int i in [1:2] {{ rz(i * a) q[0]; delay[{d}] q[0]; }}",
    *(f"cal {{{{ {one} }}}}" for one in PULSES),
]
CLOSED = [  # other values make another shot
    "pow(n) @ sx q[0];",
    "for int i in [1:n] {{ sx q[0]; }}",
    "if (t > 100ns) sx q[0];",
    "if (n == 2) x q[0];",
    "int m = n + 1; rz(m * 0.1) q[0];",
    "float w = 0.0; if (c[1]) {{ w = b + p; }}",
    "c[1] = n > 2;",
    "angle[4] v = pi / 8; rz(p + v) q[0];",
    "cal {{ frame k = newframe(drive_q0, 4.9e9 + f, 0); play(k, constant(0.1, 40ns)); }}",
    "cal {{ play(q0_drive, phase_shift(constant(0.1, 40ns), a)); }}",
    "cal {{ play(q0_drive, constant(0.1, n * 16ns)); }}",
    "cal {{ set_frequency(q0_acquire, 7.0e9 + f); }}",
    "defcal ry(0.25) r {{ delay[100ns] q0_drive; }} defcal ry(angle k) r {{ play(q0_drive, constant(0.1, 40ns)); }} ry(a) q[0];",
]
FIXED = ["h q;", "barrier q;", "c[0] = measure q[0];", "reset q[1];", "pow(2) @ sx q[0];"]
BODIES = [*FILLED, *CLOSED, *FIXED]
DECLARING = {"angle[4]", "duration", "float", "int"}


def block(one: str) -> str:
    """A statement in a block of its own where it declares anything."""
    return f"if (true) {{ {one} }}" if one.split(maxsplit=1)[0] in DECLARING else one


@st.composite
def programs(draw) -> str:
    """Statements one after another."""
    bodies = draw(st.lists(st.sampled_from(BODIES), min_size=1, max_size=7))
    return "\n".join(block(body.format(x=draw(REALS), d=draw(TIMES))) for body in bodies)


VALUES = st.fixed_dictionaries(
    {
        "a": st.sampled_from([0.25, 0.5, -1.5, 0.0, 1.0, 3.0]),
        "p": st.sampled_from([0.3, 1.5707963267948966, 0.0, 2.0]),
        "b": st.sampled_from([0.7, -0.2, 0.0, 1.25]),
        "n": st.sampled_from([0, 1, 2, 3, 7]),
        "t": st.sampled_from([1.6e-7, 3.2e-7, 0.0, 1e-7, 4.8e-7, 1.005e-7]),
        "f": st.sampled_from([0.0, 1e6, -2.5e7, 9e9]),
    }
)


@settings(max_examples=60, deadline=None)
@given(programs(), st.lists(VALUES, min_size=2, max_size=5))
def test_what_is_filled_in_is_what_compiling_gives_or_refuses(body, points) -> None:
    templates = Templates()
    for values in points:
        one = asked(body, head=HEAD, **values)
        wanted = told(lambda: fresh(one))  # noqa: B023
        assert told(lambda: templates.compiled(one).sequence) == wanted  # noqa: B023


PLAIN = [
    {"a": 0.25, "p": 0.3, "b": 0.7, "n": 2, "t": 1.6e-7, "f": 2e6},
    {"a": 0.5, "p": 2.0, "b": -0.2, "n": 3, "t": 3.2e-7, "f": 1e6},
    {"a": -1.5, "p": 0.7, "b": 1.25, "n": 7, "t": 4.8e-7, "f": -2.5e7},
]
SPECIAL = [
    {"a": 0.0, "p": 0.0, "b": 0.0, "n": 0, "t": 0.0, "f": 0.0},
    {"a": 1.5707963267948966, "p": 0.0, "b": 30.0, "n": 1, "t": 1.005e-7, "f": 9e9},
    {"a": 0.25, "p": 0.3, "b": 0.7, "n": -1, "t": 9e-3, "f": 0.0},
]
OPERANDS = [("a", "t"), ("1 / b", "n * 16ns"), ("a * p", "(t / 16ns) * 48ns")]


COUPLED = ["cp({x}) q[0], q[1];", "ctrl @ rx({x}) q[1], q[0];", "cp(n * pi) q[0], q[1];", "crz({x}) q[1], q[0];"]
BENCH = load(ROOT / "configs" / "coupled.toml")
BENCH = msgspec.structs.replace(BENCH, timing=msgspec.structs.replace(BENCH.timing, shot_period_ns=1e6))


@pytest.mark.parametrize("body", COUPLED)
def test_a_gate_of_two_qubits_is_what_compiling_gives(body) -> None:
    for x, _ in OPERANDS:
        templates = Templates()
        for values in (*PLAIN, *SPECIAL, *PLAIN):
            one = asked(body.format(x=x), head=HEAD, lab=BENCH, **values)
            wanted = told(lambda: fresh(one))  # noqa: B023
            assert told(lambda: templates.compiled(one).sequence) == wanted  # noqa: B023
        assert templates.hits


@pytest.mark.parametrize("body", [*FILLED, *CLOSED])
def test_each_place_of_an_input_is_filled_in_or_named_as_the_cause(body) -> None:
    for x, d in OPERANDS:
        text, templates = "c[0] = measure q[0];\n" + block(body.format(x=x, d=d)), Templates()
        for number, values in enumerate((*PLAIN, *SPECIAL)):
            one = asked(text, head=HEAD, **values)
            wanted = told(lambda: fresh(one))  # noqa: B023
            assert told(lambda: templates.compiled(one).sequence) == wanted  # noqa: B023
            if number < len(PLAIN):
                assert not isinstance(wanted, str)
                assert templates.misses == 1 + number * (body in CLOSED)
        for values in PLAIN:
            assert templates.compiled(asked(text, head=HEAD, **values)).hit


def test_inputs_of_few_bits_are_brought_to_them_or_refused() -> None:
    head, templates = "input int[4] k; input angle[4] w; qubit[2] q;\n", Templates()
    for k, w in ((3, 0.3), (-2, 1.0), (20, 0.0), (0, 9.0)):
        one = asked("rz(k * 0.1) q[0]; rz(w) q[0];", head=head)._replace(inputs={"k": k, "w": w})
        assert told(lambda: templates.compiled(one).sequence) == told(lambda: fresh(one))  # noqa: B023


def test_the_input_that_asked_for_compiling_is_named() -> None:
    templates, body = Templates(), "delay[t] q[0];\nfor int i in [1:n] { rx(a) q[0]; }"
    first = {"a": 0.1, "p": 0.0, "b": 0.0, "n": 2, "t": 1.6e-7, "f": 0.0}
    for changed, wanted in (
        ({}, ()),
        ({"n": 3, "t": 3.2e-7}, ("n",)),
        ({"n": 3, "t": 0.0}, ("t",)),  # a wait of nothing is no instruction
        ({"n": 3, "a": 0.2}, ()),
    ):
        found = templates.compiled(asked(body, head=HEAD, **first | changed))
        assert found.causes == wanted


@pytest.mark.parametrize("decides", ["if (n == 3)", "int m = n + 1; if (m == 3)", "while (n > 2)"])
def test_elaboration_ends_where_a_sequencer_would_compute_with_an_open_input(decides) -> None:
    one = asked(f"rx(a) q[0]; {decides} {{ nothing q[0]; }}", head=HEAD)
    with pytest.raises(ComputedError) as found:
        lower_open(one.program, one.lab, None, {"p": 0.0, "b": 0.0, "t": 1e-7, "f": 0.0}, ("a", "n"), opened=("a", "n"))
    assert found.value.closed == {"n"}


def test_a_schedule_is_proved_for_every_value() -> None:
    """What no schedule holds is refused with the words of compiling, though the program is there."""
    templates = Templates()
    late = "c[0] = measure q[0];\ndelay[t] q[0];\nx q[0];"
    assert not templates.compiled(asked(late, head=HEAD, **PLAIN[0])).hit
    for t, why in ((1.0005e-7, "no whole number of ticks"), (9e-3, "period"), (-1e-7, "negative")):
        one = asked(late, head=HEAD, **PLAIN[0] | {"t": t})
        with pytest.raises(ProgramError, match=why) as found:
            templates.compiled(one)
        assert str(found.value) == told(lambda: fresh(one))  # noqa: B023
    assert templates.compiled(asked(late, head=HEAD, **PLAIN[1])).hit


PLAYED = (
    "OPENQASM 3;\ninput duration t;\ninput int n;\ninput float g;\nqubit q;\nbit c;\n"
    "rx(n * g) q;\ndelay[t] q;\nc = measure q;\nif (c) { delay[n * 16ns] q; x q; }\nx q;\n"
)


def test_a_second_run_plays_what_a_fresh_one_plays(play, monkeypatch) -> None:
    run = partial(play.func, PLAYED, **play.keywords)
    first, then = {"t": 1.6e-7, "n": 2, "g": 0.3}, {"t": 1.6e-6, "n": 1, "g": 0.4}
    monkeypatch.setattr(compiling, "KEPT", Templates())
    assert counts(run(inputs=first)) == (0, 1)
    again = run(inputs=then)
    assert counts(again) == (1, 0)
    monkeypatch.setattr(compiling, "KEPT", Templates())
    alone = run(inputs=then)
    assert counts(alone) == (0, 1)
    assert alone.summary.digest == again.summary.digest
