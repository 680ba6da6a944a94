"""Loading laws: what works, and every way in which a lab, a package or a user's file can be wrong, each with its place."""

import sys
from importlib.metadata import EntryPoint

import jax
import pytest

from qrt import laws
from qrt.control import Law, blank
from qrt.controllers import integrator
from qrt.errors import ConfigError
from qrt.laws import Rhythm, assemble, law_parameters, load_law

SHAPES = (8, 2, 1)
HEAD = """from __future__ import annotations
import jax.numpy as jnp
import msgspec
from typing import Annotated, Literal, NamedTuple
from qrt.control import Law


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gain: Annotated[float, msgspec.Meta(gt=0.0, le=2.0)] = 1.0
    kind: Literal["fast", "slow"] = "fast"


def init(parameters, value):
    return ()


def step(parameters, state, seen):
    return state, seen.previous + parameters.gain * seen.signal


"""
LAW = "LAW = Law(Parameters, init, step)\n"


@pytest.fixture(autouse=True)
def _wide():
    """Have 64 bits also where another test has started JAX without them."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def written(tmp_path):
    """Return what writes a law's file and returns its path."""

    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def refused(function, *arguments):
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    return str(caught.value)


def test_an_installed_law_and_a_file_are_configured_alike(written):
    for law in ("integrator", written(HEAD + LAW)):
        steps = assemble("drive", law, {"gain": 0.5}, Rhythm(bit=0, minimum=-1.0, every=2), blank(*SHAPES))
        assert jax.eval_shape(steps.init, 1.0).previous.shape == ()
    assert load_law("integrator", "here") is integrator.LAW


def test_two_files_of_one_name_are_two_laws(written, tmp_path):
    (tmp_path / "other").mkdir()
    one, two = written(HEAD + LAW), written(HEAD.replace("gain", "rate") + LAW, "other/mine.py")
    assert law_parameters(load_law(one, "x"), {"gain": 2}, "x").gain == 2.0
    assert law_parameters(load_law(two, "x"), {"rate": 2}, "x").rate == 2.0


def test_an_unknown_name_is_told_the_nearest_and_all():
    text = refused(load_law, "integrater", "controllers.drive.law")
    assert text.startswith("controllers.drive.law: 'integrater' is not installed; did you mean integrator? Allowed: ")
    assert "frequency_tracker, hold, integrator, pi, threshold_tracker (entry points of group qrt.controllers)" in text
    assert "a file that ends in .py" in text


def test_a_missing_file_is_told_the_nearest(written, tmp_path):
    written(HEAD + LAW)
    text = refused(load_law, str(tmp_path / "mien.py"), "here")
    assert text == f"here: {tmp_path / 'mien.py'}: no such file; did you mean {tmp_path / 'mine.py'}?"
    assert "qrt new controller NAME" in refused(load_law, "/nonexistent/a.py", "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import msgspec\nimport nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name' ({path}:2)"),
        ("a = 1\nb = (\n", "SyntaxError: '(' was never closed ({path}:2)"),
        ("def f():\n    return 1 / 0\n\nLAW = f()\n", "ZeroDivisionError: division by zero ({path}:2)"),
        ("raise SystemExit('enough')\n", "SystemExit: enough ({path}:1)"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_load_says_its_own_exception_and_line(text, said, written):
    path = written(text)
    assert refused(load_law, path, "here") == f"here: {path} cannot be loaded: {said.format(path=path)}"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xff\xfe\x00")
    assert refused(load_law, str(path), "here").startswith(f"here: {path} cannot be loaded: SyntaxError:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "has no LAW; a law's file ends in LAW = Law(Parameters, init, step)"),
        (HEAD + "LAW = (Parameters, init, step)\n", "of type tuple, not a qrt.control.Law(Parameters, init, step)"),
        (HEAD + "LAW = Law(dict, init, step)\n", "its parameters are <class 'dict'>, not a type made from msgspec.Struct"),
        (HEAD + "LAW = Law(Parameters(), init, step)\n", "its parameters are Parameters(gain=1.0, kind='fast'), not a type"),
        (HEAD + "LAW = Law(Parameters, init, 3)\n", "its step is 3, not a function"),
        (HEAD + "LAW = Law(Parameters, None, step)\n", "its init is None, not a function"),
        (HEAD.replace("frozen=True, ", "") + LAW, "Parameters is not declared with frozen=True, forbid_unknown_fields=True"),
        (HEAD.replace('Literal["fast", "slow"] = "fast"', "Unknown = 1") + LAW, "the fields of Parameters cannot be read: NameError"),
        (HEAD.replace('Literal["fast", "slow"] = "fast"', "list[float] = []") + LAW, "Parameters.kind is of type list; parameters are of"),
        (HEAD.replace('Literal["fast", "slow"] = "fast"', "float | str = 1.0") + LAW, "Parameters.kind has a choice of types"),
        (HEAD.replace('Literal["fast", "slow"] = "fast"', "Literal[1, 3] = 1") + LAW, "Parameters.kind is a Literal that is not of texts"),
    ],
)  # fmt: skip
def test_what_is_no_law_is_told_what_it_lacks(text, said, written):
    path = written(text)
    message = refused(load_law, path, "controllers.drive.law")
    assert message.startswith(f"controllers.drive.law: {path}")
    assert said in message


def test_a_package_that_does_not_load_is_told_with_its_entry_point(monkeypatch):
    broken = EntryPoint("broken", "qrt.no_such_module:LAW", laws.GROUP)
    none = EntryPoint("none", "qrt.controllers.hold:NOTHING", laws.GROUP)
    strange = EntryPoint("strange", "qrt.controllers.hold:step", laws.GROUP)
    monkeypatch.setattr(laws, "offered", lambda _: {"broken": broken, "none": none, "strange": strange})
    text = refused(load_law, "broken", "here")
    assert text.startswith(
        "here: broken (qrt.no_such_module:LAW) cannot be loaded: ModuleNotFoundError: No module named"
    )
    assert "cannot be loaded: AttributeError: module 'qrt.controllers.hold' has no" in refused(load_law, "none", "here")
    assert "of type function, not a qrt.control.Law" in refused(load_law, "strange", "here")


def test_parameters_are_told_all_at_once_each_with_place_and_allowed_set(written):
    law = load_law(written(HEAD + LAW), "x")
    text = refused(law_parameters, law, {"gian": 1.0, "gain": 3, "kind": "fats"}, "controllers.drive.parameters")
    assert text.splitlines() == [
        "controllers.drive.parameters.gian: unknown key; did you mean gain? Allowed: gain, kind",
        "controllers.drive.parameters.gain: 3 is out of range; a number, above 0 and at most 2",
        "controllers.drive.parameters.kind: 'fats' is not allowed; did you mean fast? Allowed: fast, slow",
    ]
    assert "gain: nan is not a finite number" in refused(law_parameters, law, {"gain": float("nan")}, "p")
    assert "gain: 'a' is not a number" in refused(law_parameters, law, {"gain": "a"}, "p")
    assert (
        refused(law_parameters, integrator.LAW, {}, "p")
        == "p.gain: missing; a number, at least -1e+12 and at most 1e+12"
    )


def test_what_a_type_finds_wrong_between_its_fields_is_told(written):
    body = 'if self.gain > 1 and self.kind == "slow":\n            raise ValueError("too fast to be slow")'
    check = f"    def __post_init__(self):\n        {body}\n\n\ndef init"
    law = load_law(written(HEAD.replace("\ndef init", check, 1) + LAW), "x")
    assert refused(law_parameters, law, {"gain": 2, "kind": "slow"}, "p") == "p: too fast to be slow"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return state, seen.previous", "raise ValueError('no idea')\n    return state, seen.previous", "ValueError: no idea ({path}:18)"),
        ("return ()", "return value[3]", "({path}:14)"),
        ("seen.previous + parameters.gain * seen.signal", "seen.valid", "TypeError: step gave bool[8] for its value; a law gives"),
        ("return state, seen.previous", "return (seen.signal,), seen.previous", "step made a state of ('float64[]',); init made ()"),
        ("return state, seen.previous", "return state, seen.bits[0, 7].item() + seen.previous", "({path}:18)"),
        ("return state, seen.previous", "if seen.signal > 0:\n        value = 1\n    return state, seen.previous", "({path}:18)"),
    ],
)  # fmt: skip
def test_a_law_that_cannot_be_traced_is_told_with_its_line(old, new, said, written):
    path = written(HEAD.replace(old, new, 1) + LAW)
    text = refused(assemble, "drive", path, {}, Rhythm(bit=0), blank(*SHAPES))
    assert text.startswith(f"controllers.drive.law: {path} cannot be traced: ")
    assert said.format(path=path) in text
    assert "\n" not in text
    assert "control.py" not in text  # the law's own line, or none


def test_parameters_that_fail_only_here_name_the_controller():
    text = refused(assemble, "drive", "integrator", {"gain": "x"}, Rhythm(), blank(*SHAPES))
    assert text.startswith("controllers.drive.parameters.gain: 'x' is not a number")


def test_a_file_is_a_module_that_msgspec_finds(written):
    law = load_law(written(HEAD + LAW), "x")
    assert isinstance(law, Law)
    assert sys.modules[law.parameters.__module__].LAW is law
