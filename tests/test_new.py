"""`qrt new controller`: the file that it writes works as it is, and it never writes over one."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from click.testing import CliRunner

from qrt.__main__ import cli
from qrt.control import blank
from qrt.laws import Rhythm, assemble
from tests.law_batches import BITS, CAPTURES, SHOTS, observation


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*arguments):
    return CliRunner().invoke(cli, ["new", "controller", *arguments])


def test_the_written_law_works_as_it_is(folder):
    answer = new("my_law")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("my_law.py is a law that works")
    text = (folder / "my_law.py").read_text()
    assert text.startswith('"""my_law: ')
    assert "NAME:" not in text
    with jax.enable_x64(True):
        steps = assemble(
            "x", "my_law.py", {"gain": -2.0, "dead_band": 0.25}, Rhythm(bit=0), blank(SHOTS, BITS, CAPTURES)
        )
        state, action = steps.step(steps.init(jnp.float64(1.0)), observation(ones=SHOTS))
        assert float(action.value) == 0.0
        _, action = steps.step(state, observation(ones=SHOTS // 2 + 1))
        assert (float(action.value), int(action.counters["quiet_count"])) == (0.0, 1)


def test_the_written_law_passes_the_linter(folder, project):
    assert new("my_law").exit_code == 0
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["check"], ["format", "--check"]):
        call = [ruff, *command, "--config", str(project / "pyproject.toml"), "my_law.py"]
        answer = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout


def test_a_path_may_be_given_and_json_tells_it(folder):
    (folder / "laws").mkdir()
    answer = new("my_law", "--path", "laws/a.py", "--json")
    assert json.loads(answer.stdout) == {"path": "laws/a.py"}
    assert (folder / "laws/a.py").read_text().startswith('"""my_law: ')


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["My-Law"], 2, "'My-Law' is no name for a law; allowed: a lower-case letter, then"),
        (["../law"], 2, "'../law' is no name for a law"),
        (["law", "--path", "law.txt"], 2, "--path law.txt: a law's file ends in .py, as in law.py"),
        (["law", "--path", "nowhere/law.py"], 7, "nowhere/law.py cannot be written: No such file or directory; choose another"),
        (["taken"], 7, "taken.py exists and is not written over; choose another name or --path"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(arguments, status, said, folder):
    (folder / "taken.py").write_text("mine")
    answer = new(*arguments)
    assert answer.exit_code == status
    assert said in answer.stderr
    assert [path.name for path in folder.rglob("*")] == ["taken.py"]
    assert (folder / "taken.py").read_text() == "mine"


def test_help_names_the_command():
    assert "controller" in CliRunner().invoke(cli, ["new", "--help"]).output
    answer = new("--help")
    assert answer.exit_code == 0
    assert "--json" in answer.output
    assert "--path" in answer.output


def test_writing_one_needs_no_jax(folder):
    code = "import sys; from qrt.__main__ import cli\n"
    code += "cli(['new', 'controller', 'quick'], standalone_mode=False)\nprint('jax' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "False"
