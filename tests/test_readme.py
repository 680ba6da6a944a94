"""The README's snippets, run as they stand, so that it cannot rot: the first program, its two commands, and both Python forms.

The texts are taken from README.md. Only this is changed: fewer shots, and one calibration for all; the lab is a copy that
publishes on a port of its own. Commands run as processes, in a folder that looks as the README says.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import qrt
from qrt.store import save_calibration
from qrt.types import Calibration

SHOTS = 200
STREAM = "tcp://127.0.0.1:5557"


def blocks(project: Path) -> list[str]:
    """Return the indented blocks of README.md."""
    text = (project / "README.md").read_text(encoding="utf-8")
    return [dedent(block) for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE) if block.strip()]


def block(project: Path, beginning: str) -> str:
    """Return the one block that begins with this."""
    (found,) = (one.strip("\n") + "\n" for one in blocks(project) if one.lstrip("\n").startswith(beginning))
    return found


def programs(project: Path) -> list[str]:
    """Return the programs in README.md, the first one first."""
    return [one.strip("\n") + "\n" for one in blocks(project) if one.lstrip("\n").startswith("OPENQASM")]


@pytest.fixture
def folder(project: Path, tmp_path: Path, demo_calibration: Calibration, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the snippets run in, with the lab, the program and a calibration that is the latest."""
    lab = (project / "configs/demo.toml").read_text(encoding="utf-8")
    assert STREAM in lab
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/demo.toml").write_text(lab.replace(STREAM, "tcp://127.0.0.1:*"), encoding="utf-8")
    (tmp_path / "flip.qasm").write_text(programs(project)[0], encoding="utf-8")
    save_calibration(tmp_path / "runs", demo_calibration)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def executed(source: str, known: dict[str, Any]) -> dict[str, Any]:
    """Execute a Python snippet with few shots and the latest calibration; return its names."""
    assert source.count("shots=10_000") == 1
    names = dict(known)
    exec(compile(source.replace("shots=10_000", f'shots={SHOTS}, calibration="latest"'), "README.md", "exec"), names)
    return names


def test_the_commands_of_the_first_program_run(project: Path, folder: Path) -> None:
    assert "`flip.qasm`" in (project / "README.md").read_text(encoding="utf-8")
    lines = block(project, ".venv/bin/qrt check").splitlines()
    assert len(lines) == 2
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == ".venv/bin/qrt"
        if arguments[0] == "run":
            arguments[arguments.index("--shots") + 1] = str(SHOTS)
            arguments += ["--calibration", "latest"]
        command = [sys.executable, "-m", "qrt", *arguments]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        print(ended.stdout)
    assert f"{SHOTS} shots" in ended.stdout
    assert "Z(second)" in ended.stdout


def test_the_python_forms_run(project: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = executed(block(project, "import qrt\n"), {})
    assert "Z(second)" in capsys.readouterr().out
    assert names["result"].folder.resolve().parent == folder / "runs"
    assert names["run"].outcomes["second"].shape == (SHOTS,)
    watched = executed(block(project, "stream = qrt.stream("), {"qrt": names["qrt"]})["stream"].result
    assert watched.record.cut == ""
    built = executed(block(project, "import oqpy\n"), {"qrt": names["qrt"]})["result"]
    assert set(built.outcomes) == set(names["result"].outcomes) == {"first", "second"}
    before, after = (float(result.mean["second"].values) for result in (names["result"], built))
    assert abs(before - after) < 0.15


def test_the_programs_of_the_language_run(project: Path, folder: Path) -> None:
    _, again, pulses = programs(project)
    given = {"lab": "configs/demo.toml", "shots": SHOTS, "calibration": "latest"}
    tries = qrt.run(again, period_ns=40e3, seed=1, **given).values["tries"]
    assert tries.values.min() == 1
    assert tries.values.max() > 2
    assert qrt.run(pulses, inputs={"amp": 0.2}, period_ns=300e3, seed=1, **given).mean["c"].values > 0.1
