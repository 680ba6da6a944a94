"""Programs that were compiled before: filled in with other values they are what compiling gives, byte for byte, or are compiled.

The reference is the compiler itself, asked anew, with the values as constants.
"""

from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qrt import compiling, config
from qrt.compile import compile_pulses, compile_template
from qrt.errors import ProgramError
from qrt.events import Compiled
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.qasm.grammar import syntax_tree
from qrt.qasm.reading import program_of
from qrt.templates import KEPT_MAX, Asked, Templates, open_inputs
from tests.test_compile import LIMITS

LAB = config.load(Path(__file__).with_name("lab.toml"))
LAB = msgspec.structs.replace(LAB, timing=msgspec.structs.replace(LAB.timing, shot_period_ns=1e6))
HEAD = "input float a; input angle p; input float b; input int n; input duration t; qubit[2] q; bit[2] c;\n"
VALUES = {"a": 0.3, "p": 1.0, "b": -0.25, "n": 2, "t": 1e-7}


def asked(body: str, limits=LIMITS, lab=LAB, head: str = HEAD, **values) -> Asked:
    return Asked(parse_program(head + body, "p.qasm"), {**VALUES, **values}, lab, None, limits)


def fresh(one: Asked):
    return compile_pulses(lower(one.program, one.lab, one.calibration, one.inputs), one.lab, one.limits)


def flat(value):
    """A sequence as plain values, with arrays as bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, msgspec.Struct):
        return {name: flat(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return tuple(map(flat, value))
    if hasattr(value, "items"):
        return {name: flat(one) for name, one in value.items()}
    return value


ANGLES = st.sampled_from(
    [
        "a",
        "p",
        "b",
        "2*a",
        "-p/3",
        "a + b",
        "a*b - p",
        "p + pi/7",
        "pi*a",
        "a/3 + 0.1",
        "-(a - b)/2",
        "sin(a)",
        "sqrt(a*a) + p",
        "a**2",
        "pi/5",
        "0.3",
        "n*pi/8",
        "a*n",
    ]
)
QUBITS = st.integers(0, 1)
STATEMENTS = st.one_of(
    st.builds(
        lambda name, angle, qubit: f"{name}({angle}) q[{qubit}];", st.sampled_from(["rz", "p", "u1"]), ANGLES, QUBITS
    ),
    st.builds(lambda one, other, qubit: f"U({one}, {other}, 0.1) q[{qubit}];", ANGLES, ANGLES, QUBITS),
    st.builds(
        lambda about, angle, qubit: f"{about}(({angle})/8) q[{qubit}];", st.sampled_from(["rx", "ry"]), ANGLES, QUBITS
    ),
    st.sampled_from(["h q;", "x q[0];", "delay[t] q[1];", "c[0] = measure q[0];", "barrier q;", "reset q[1];"]),
    st.builds(lambda angle: f"if (c[0]) {{ rz({angle}) q[0]; sx q[0]; }}", ANGLES),
)
REALS = st.one_of(st.floats(-3, 3, allow_nan=False), st.sampled_from([0.0, 1.0, np.pi / 2]))
STANDARD = f'include "stdgates.inc";\n{HEAD}'


@settings(max_examples=60, deadline=None)
@given(st.lists(STATEMENTS, min_size=1, max_size=8), st.lists(st.tuples(REALS, REALS, REALS), min_size=2, max_size=3))
def test_a_filled_template_is_what_compiling_gives(statements, points) -> None:
    templates, body = Templates(), "\n".join(statements)
    one = asked(body, head=STANDARD)
    free = set(open_inputs(one.program))
    for number, (a, p, b) in enumerate(points):
        one = asked(body, head=STANDARD, a=a, p=p, b=b)
        found = templates.compiled(one)
        assert flat(found.sequence) == flat(fresh(one))
        assert found.hit == (number > 0) or free != {"a", "p", "b"}


def test_each_reason_to_compile_again() -> None:
    templates, body = Templates(), "rx(a) q[0];\nrz(n*p) q[0];\ndelay[t] q[1];"
    first = asked(body)
    changed = {
        "a duration": first._replace(inputs={**VALUES, "t": 2e-7}),
        "a whole number": first._replace(inputs={**VALUES, "n": 3}),
        "another text": asked(body + "\nx q[0];"),
        "another path": first._replace(program=parse_program(HEAD + body, "other.qasm")),
        "another lab": first._replace(lab=msgspec.structs.replace(LAB, name="other")),
        "another port": first._replace(limits=msgspec.structs.replace(LIMITS, feedback_latency_ticks=10)),
    }
    for known in (False, True):
        for one in (first, *changed.values()):
            found = templates.compiled(one)
            assert found.hit == known
            assert flat(found.sequence) == flat(fresh(one))
    assert (templates.hits, templates.misses) == (7, 7)


def test_another_calibration_is_another_program(demo_lab, demo_calibration) -> None:
    templates, program = Templates(), parse_program("input float a;\nqubit q;\nrx(a) q;\n", "p.qasm")
    qubits = {**demo_calibration.qubits}
    one = qubits["q0"]
    weights = one.weights.copy()
    weights[0, 0] ^= 1
    qubits["q0"] = msgspec.structs.replace(one, weights=weights)
    other = msgspec.structs.replace(demo_calibration, qubits=qubits)
    for calibration, hit in (
        (demo_calibration, False),
        (other, False),
        (demo_calibration, True),
        (None, False),
        (other, True),
    ):
        assert templates.compiled(Asked(program, {"a": 0.5}, demo_lab, calibration, LIMITS)).hit == hit


@pytest.mark.parametrize(
    "body",
    [
        "if (a > 0.5) x q[0]; else sx q[0];",
        "delay[a * 100ns] q[0];",
        "c[0] = measure q[0];\nangle m = 0;\nif (c[0]) m = a;\nrz(m) q[0];",
    ],
)
def test_a_program_whose_shape_depends_on_its_inputs_is_kept_by_their_values(body) -> None:
    templates = Templates()
    for a, hit in ((0.5, False), (0.75, False), (0.5, True), (0.75, True)):
        one = asked(body, a=a)
        found = templates.compiled(one)
        assert (found.hit, flat(found.sequence)) == (hit, flat(fresh(one)))


def test_what_cannot_be_filled_in_is_refused_as_compiling_does() -> None:
    templates, body = Templates(), "sx q[0];\nrx(a) q[0];"
    assert not templates.compiled(asked(body)).hit
    for a in (1000.0, float("nan")):
        one = asked(body, a=a)
        with pytest.raises(ProgramError) as wanted:
            fresh(one)
        with pytest.raises(ProgramError) as found:
            templates.compiled(one)
        assert str(found.value) == str(wanted.value)
    assert templates.compiled(asked(body, a=0.7)).hit
    with pytest.raises(ProgramError, match="the program has no input 'z'"):
        templates.compiled(asked(body, z=1.0))
    divided = "rz(1/a) q[0];"
    assert not templates.compiled(asked(divided)).hit
    with pytest.raises(ProgramError, match=r"p.qasm:2:\d+: .*division by zero"):
        templates.compiled(asked(divided, a=0.0))


def test_pulses_that_might_clip_together_are_compiled_each_time() -> None:
    lines = {name: msgspec.structs.replace(line) for name, line in LAB.lines.items()}
    qubits = {**LAB.qubits}
    qubits["q1"] = msgspec.structs.replace(qubits["q1"], drive_line=qubits["q0"].drive_line)
    lab = msgspec.structs.replace(LAB, lines=lines, qubits=qubits)
    templates = Templates()
    for a, hit in ((0.5, False), (0.7, False), (0.5, True)):
        one = asked("rx(a) q[0];\nrx(p) q[1];", lab=lab, a=a)
        found = templates.compiled(one)
        assert (found.hit, flat(found.sequence)) == (hit, flat(fresh(one)))
    with pytest.raises(ProgramError, match="would clip"):
        templates.compiled(asked("rx(a) q[0];\nrx(p) q[1];", lab=lab, a=6.0, p=6.0))


def test_what_is_no_word_is_refused_by_a_template() -> None:
    for body, name, wanted in (
        ("delay[t] q[0];", "t", "makes ticks, which is no word to fill in"),
        ("c[0] = measure q[0];\nangle m = 0;\nif (c[0]) m = 1;\nrz(m * n) q[0];", "n", "no word to fill in"),
    ):
        one = asked(body)
        values = {key: value for key, value in VALUES.items() if key != name}
        with pytest.raises(ProgramError, match=wanted):
            compile_template(lower(one.program, LAB, None, values, (name,)), LAB, LIMITS)


def test_the_least_recently_used_goes_first() -> None:
    templates = Templates()
    programs = [asked(f"rz(a + {k}) q[0];") for k in range(KEPT_MAX + 1)]
    for one in programs[:-1]:
        assert not templates.compiled(one).hit
    assert templates.compiled(programs[0]).hit
    assert not templates.compiled(programs[-1]).hit  # the second one goes
    assert templates.compiled(programs[0]).hit
    assert not templates.compiled(programs[1]).hit


def test_a_program_that_was_built_is_known_by_its_tree() -> None:
    templates, text = Templates(), HEAD + "rx(a) q[0];"
    one, same = (program_of(syntax_tree(text, "p.qasm"), "p.qasm") for _ in range(2))
    for program, hit in ((one, False), (same, False), (one, True), (same, True)):
        found = templates.compiled(Asked(program, VALUES, LAB, None, LIMITS))
        assert (found.hit, flat(found.sequence)) == (hit, flat(fresh(Asked(program, VALUES, LAB, None, LIMITS))))


def test_inputs_that_may_be_left_open() -> None:
    program = parse_program(
        "input float a; input angle p; input angle[8] w; input int n; input duration t; qubit q;", "p"
    )
    assert open_inputs(program) == ("a", "p")


TURNED = 'OPENQASM 3;\ninclude "stdgates.inc";\ninput float a;\nqubit q;\nbit c;\nrx(a) q;\nc = measure q;\n'


@pytest.fixture
def turned(play):
    """Return `qrt.run` of one program with everything given that a short run needs."""
    return partial(play.func, TURNED, **play.keywords)


def counts(result) -> tuple[int, int]:
    return result.counters["compile.hits"], result.counters["compile.misses"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"inputs": {"a": 0.4}}, {"inputs": {"a": 2.5}}),
        ({"sweep": {"a": "linspace(0, 3, 4)"}}, {"sweep": {"a": "linspace(0, 3, 4)"}, "seed": 2}),
    ],
    ids=["another value", "the same sweep"],
)
def test_a_second_run_with_other_values_compiles_nothing(turned, monkeypatch, first, then) -> None:
    monkeypatch.setattr(compiling, "KEPT", Templates())
    told = []
    assert counts(turned(**first)) == (0, 1)
    again = turned(**then, events=told.append)
    assert counts(again) == (1, 0)
    assert Compiled(1, 0) in told
    monkeypatch.setattr(compiling, "KEPT", Templates())
    fresh_run = turned(**then)
    assert counts(fresh_run) == (0, 1)
    assert fresh_run.summary.digest == again.summary.digest
    assert fresh_run.summary.digest != turned(**first).summary.digest
    assert again.record.stop["counters"]["compile.hits"] == 1


def test_another_grid_is_compiled_anew(turned, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "KEPT", Templates())
    for form, wanted in (("linspace(0, 1, 4)", (0, 1)), ("linspace(0, 2, 4)", (0, 1)), ("linspace(0, 1, 4)", (1, 0))):
        assert counts(turned(sweep={"a": form})) == wanted


def test_a_calibration_taken_at_another_time_is_the_same(demo_lab, demo_calibration) -> None:
    templates, program = Templates(), parse_program("qubit q;\nx q;\n", "p.qasm")
    later = msgspec.structs.replace(demo_calibration, taken_ns=demo_calibration.taken_ns + 1)
    for calibration, hit in ((demo_calibration, False), (later, True)):
        assert templates.compiled(Asked(program, {}, demo_lab, calibration, LIMITS)).hit == hit


def test_what_was_rounded_is_told_of_a_kept_program_too() -> None:
    templates, body = Templates(), "delay[100.3ns] q[0];\nrx(a) q[0];"
    with pytest.raises(ProgramError):
        templates.compiled(asked(body))
    told = [templates.compiled(asked(body, a=a)._replace(rounds=True)) for a in (0.1, 0.2)]
    assert [one.hit for one in told] == [False, True]
    assert told[0].rounded == told[1].rounded == ("p.qasm:2:1: a delay of 100.3 ns was rounded to 100 ns",)


def test_a_function_of_the_lab_that_was_changed_is_called_again(tmp_path) -> None:
    file = tmp_path / "feedback.py"
    lab = msgspec.structs.replace(LAB, externs={"wanted": f"{file}:wanted"})
    one = asked("rx(wanted(1)) q[0];", lab=lab, head="extern wanted(int) -> float; qubit[2] q;\n")._replace(inputs={})
    templates, found = Templates(), []
    for turn in (0.1, 0.25):  # texts of two lengths: Python itself tells files of one second apart by that
        file.write_text(f"def wanted(number):\n    return {turn} * number\n", encoding="utf-8")
        found.append(templates.compiled(one))
        assert flat(found[-1].sequence) == flat(fresh(one))
    assert flat(found[0].sequence) != flat(found[1].sequence)
    assert (templates.hits, templates.misses) == (0, 2)
