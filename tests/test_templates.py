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
from qrt.compiling import Compiling
from qrt.errors import ProgramError
from qrt.events import Compiled, InstrumentsFound
from qrt.grids import grid_of
from qrt.image import from_image
from qrt.opened import Asked
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.qasm.grammar import syntax_tree
from qrt.qasm.reading import program_of
from qrt.replay import replay
from qrt.sources import compiled_again
from qrt.sweeps import Reach
from qrt.templates import KEPT_MAX, Templates
from tests.test_compile import LIMITS

LAB = config.load(Path(__file__).with_name("lab.toml"))
LAB = msgspec.structs.replace(LAB, timing=msgspec.structs.replace(LAB.timing, shot_period_ns=1e6))
HEAD = "input float a; input angle p; input float b; input int n; input duration t; qubit[2] q; bit[2] c;\n"
VALUES = {"a": 0.3, "p": 1.0, "b": -0.25, "n": 2, "t": 1e-7}


def asked(body: str, limits=LIMITS, lab=LAB, head: str = HEAD, **values) -> Asked:
    return Asked(parse_program(head + body, "p.qasm"), {**VALUES, **values}, lab, None, limits)


def fresh(one: Asked):
    varied = () if one.reach is None else one.reach.varied
    return compile_pulses(
        lower(one.program, one.lab, one.calibration, one.inputs, varied), one.lab, one.limits, one.reach
    )


def told(make):
    """The sequence that is made, as plain values, or why there is none."""
    try:
        return flat(make())
    except ProgramError as error:
        return str(error)


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
    for number, (a, p, b) in enumerate(points):
        one = asked(body, head=STANDARD, a=a, p=p, b=b)
        found = templates.compiled(one)
        assert flat(found.sequence) == flat(fresh(one))
        assert found.hit == (number > 0) or "U(" in body or not all((a, p, b))


def test_each_reason_to_compile_again() -> None:
    templates, body = Templates(), "rx(a) q[0];\nrz(n*p) q[0];\ndelay[t] q[1];"
    first = asked(body)
    changed = {
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
    assert (templates.hits, templates.misses) == (5, 5)
    other = first._replace(inputs={**VALUES, "t": 2e-7, "n": 3})
    assert templates.compiled(other).hit


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
        "if (a > 0.6) x q[0]; else sx q[0];",
        "bit[2] d = a > 0.6;",
        "c[0] = measure q[0];\nangle m = 0;\nif (c[0]) m = a;\nrz(m) q[0];",
    ],
)
def test_a_program_whose_shape_depends_on_its_inputs_is_kept_by_their_values(body) -> None:
    templates = Templates()
    for a, hit in ((0.5, False), (0.75, False), (0.5, True), (0.75, True)):
        one = asked(body, a=a)
        found = templates.compiled(one)
        assert (found.hit, flat(found.sequence)) == (hit, flat(fresh(one)))
        assert found.causes == (() if hit or templates.misses == 1 else ("a",))


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


def test_pulses_that_might_clip_together_are_looked_at_each_time() -> None:
    lines = {name: msgspec.structs.replace(line) for name, line in LAB.lines.items()}
    qubits = {**LAB.qubits}
    qubits["q1"] = msgspec.structs.replace(qubits["q1"], drive_line=qubits["q0"].drive_line)
    lab = msgspec.structs.replace(LAB, lines=lines, qubits=qubits)
    templates = Templates()
    for a, hit in ((0.5, False), (0.7, True), (0.5, True)):
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


TURNED = 'OPENQASM 3;\ninclude "stdgates.inc";\ninput float a;\nqubit q;\nbit c;\nrx(a) q;\nc = measure q;\n'
TURNED += "c = measure q;\n"  # a bit that is read twice has no estimate: no batch process starts


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


def test_another_grid_compiles_nothing(turned, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "KEPT", Templates())
    for form, wanted in (("linspace(0, 1, 4)", (0, 1)), ("values(0, 2, 0.1)", (1, 0)), ("linspace(0, 1, 4)", (1, 0))):
        assert counts(turned(sweep={"a": form})) == wanted


def test_a_run_whose_legs_have_other_grids_compiles_once_and_the_next_one_nothing(turned, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "KEPT", Templates())
    given = {"shots": 10, "sweep": {("dig.range_v", "a"): ([0.5, 1.0, 2.0, 1.0], [0.0, 0.5, 1.0, 1.5])}}
    told = []
    first = turned(**given, events=told.append)
    assert (first.summary.legs, counts(first)[1]) == (4, 1)
    assert Compiled(4, 1) in told  # asked for each leg before anything is opened, and the first once more
    assert counts(turned(**given | {"sweep": {("dig.range_v", "a"): ([2.0, 0.5], [2.5, 3.0])}}))[1] == 0
    monkeypatch.setattr(compiling, "KEPT", Templates())
    assert turned(**given).summary.digest == first.summary.digest


TIMES = st.sampled_from(["delay[t] q[0];", "delay[2*t] q;", "box { delay[t] q[0]; delay[100ns] q[1]; }"])
MEETING = st.sampled_from(
    ["if (c[0]) { delay[t] q[0]; } else { delay[100ns] q[0]; }", "if (c[0]) { delay[t] q[0]; x q[0]; }", "barrier q;"]
)
GRIDS = st.tuples(
    st.sampled_from(["linspace(-1, 1, 3)", "values(0.5, 0.1)", "linspace(0, 2*pi, 9)", "values(0.25)"]),
    st.sampled_from(["linspace(0, 400ns, 3)", "values(80ns, 16ns)", "values(120ns, 1.2us)", "values(100ns)"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(STATEMENTS, TIMES, MEETING), min_size=1, max_size=8), st.lists(GRIDS, min_size=2, max_size=4))
def test_a_swept_program_is_what_compiling_gives_at_any_grid(statements, grids) -> None:
    templates, program = Templates(), parse_program(STANDARD + "\n".join(statements), "p.qasm")
    inputs = {name: value for name, value in VALUES.items() if name not in {"a", "t"}}
    for number, (a, t) in enumerate(grids):
        reach = Reach(program, grid_of([f"a={a}", f"t={t}"], program, inputs, "point", 1))
        one = Asked(program, inputs, LAB, None, LIMITS, reach)
        wanted, found = told(lambda: fresh(one)), told(lambda: templates.compiled(one).sequence)  # noqa: B023
        assert found == wanted
        if not isinstance(found, str):
            assert templates.compiled(one).hit
        if number and not any("if" in statement or "box" in statement for statement in statements):
            assert templates.misses <= 1  # nothing to decide


def test_a_grid_at_which_the_schedule_decides_otherwise_is_compiled_and_both_are_kept() -> None:
    body = "c[0] = measure q[0];\nif (c[0]) { delay[t] q[0]; }\nelse { delay[100ns] q[0]; }\nx q[0];"
    program, templates, sequences = parse_program(HEAD + body, "p.qasm"), Templates(), []
    inputs = {name: value for name, value in VALUES.items() if name != "t"}
    grids = ("values(20ns, 80ns)", "values(120ns, 400ns)", "values(30ns, 60ns, 90ns)", "linspace(200ns, 300ns, 11)")
    for form, hit in zip(grids, (False, False, True, True), strict=True):
        reach = Reach(program, grid_of([f"t={form}"], program, inputs, "point", 1))
        found = templates.compiled(Asked(program, inputs, LAB, None, LIMITS, reach))
        assert found.hit is hit
        sequences.append(flat(found.sequence))
    assert sequences[0] == sequences[2] != sequences[1] == sequences[3]


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


def test_a_function_of_the_lab_that_was_changed_is_called_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "KEPT", Templates())
    file = tmp_path / "feedback.py"
    lab = msgspec.structs.replace(LAB, externs={"wanted": f"{file}:wanted"})
    one = asked("rx(wanted(1)) q[0];", lab=lab, head="extern wanted(int) -> float; qubit[2] q;\n")._replace(inputs={})
    found = []
    for turn in (0.1, 0.25):  # texts of two lengths: Python itself tells files of one second apart by that
        file.write_text(f"def wanted(number):\n    return {turn} * number\n", encoding="utf-8")
        run = Compiling(one.program, {}, lab, LIMITS, reach=None, rounds=False)
        found.append(run.sequence(None))
        assert flat(found[-1]) == flat(fresh(one))
        assert flat(run.sequence(None)) == flat(found[-1])
        assert (run.hits, run.misses) == (1, 1)
    assert flat(found[0]) != flat(found[1])


def test_a_run_keeps_the_files_of_its_functions_and_is_compiled_from_them(
    play, demo_lab, demo_calibration, tmp_path
) -> None:
    file = tmp_path / "feedback.py"
    file.write_text("def turn(number):\n    return 0.1 * number\n", encoding="utf-8")
    lab = msgspec.structs.replace(demo_lab, externs={"turn": f"{file}:turn", "other": f"{file}:other"})
    text = "extern turn(int) -> float;\nqubit q;\nbit c;\nrx(turn(3)) q;\nc = measure q;\nc = measure q;\n"
    result = play.func(text, **play.keywords | on(lab))
    kept = file.read_bytes()
    file.unlink()
    assert compiled_again(result.record).sequence.instructions.tobytes() == played(result).tobytes()
    (entry,) = result.record.start["externs"]
    assert entry["function"] == "turn"
    assert result.record.file(entry["file"]) == kept
    assert replay(result.folder).same
    (result.folder / entry["file"]).write_bytes(b"def turn(number):\n    return 0.2 * number\n")
    assert compiled_again(result.record).sequence.instructions.tobytes() != played(result).tobytes()


def on(lab) -> dict:
    return {"lab": lab, "shots": 20}


def played(result) -> np.ndarray:
    return from_image(result.record.image()).sequence.instructions


def test_a_file_of_a_function_that_changes_while_the_run_is_made_ready_ends_it(
    play, demo_lab, demo_calibration, tmp_path
) -> None:
    file = tmp_path / "feedback.py"
    file.write_text("def turn(number):\n    return 0.1 * number\n", encoding="utf-8")
    lab = msgspec.structs.replace(demo_lab, externs={"turn": f"{file}:turn"})
    text = "extern turn(int) -> float;\nqubit q;\nrx(turn(3)) q;\n"

    def changes(event) -> None:
        if isinstance(event, InstrumentsFound):
            file.write_text("def turn(number):\n    return 0.25 * number\n", encoding="utf-8")

    with pytest.raises(ProgramError, match=r"externs\.turn: .*feedback\.py was changed while the run was made ready"):
        play.func(text, **play.keywords | on(lab), events=changes)


def test_what_a_calibration_plays_is_kept_by_its_pulses() -> None:
    """Lowered anew they are the same; another grid is no other content, another amplitude, wait or shape is."""
    program, templates = (
        parse_program(HEAD + "rx(a) q[0];\ndelay[t] q[0];\nc[0] = measure q[0];", "p.qasm"),
        Templates(),
    )
    rest = {name: value for name, value in VALUES.items() if name != "a"}

    def swept(form: str, lab=LAB, **values):
        inputs = rest | values
        reach = Reach(program, grid_of([f"a={form}"], program, inputs, "point", 1))
        pulses = lower(program, lab, None, inputs, reach.varied)
        found = templates.played(pulses, lab, LIMITS, reach)
        assert flat(found.sequence) == flat(compile_pulses(pulses, lab, LIMITS, reach))
        return found.hit

    louder = {
        name: msgspec.structs.replace(one, readout=msgspec.structs.replace(one.readout, amplitude=0.125))
        for name, one in LAB.qubits.items()
    }
    assert [swept(form) for form in ("linspace(0, 1, 3)", "values(0.5, 0.1)", "linspace(0, 1, 3)")] == [
        False,
        True,
        True,
    ]
    assert [swept("values(0.5)", t=2e-7), swept("values(0.5)", msgspec.structs.replace(LAB, qubits=louder))] == [
        False,
        False,
    ]
    assert swept("values(0.5)", t=2e-7)
    plain = lower(program, LAB, None, VALUES)
    assert [templates.played(plain, LAB, LIMITS, None).hit for _ in range(2)] == [False, True]
    assert (templates.hits, templates.misses) == (0, 0)  # which count programs
