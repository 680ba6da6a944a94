"""The Makefile's preflight: what a machine lacks is one line that names its fix, and make ends with a failure.

Each test gives make a machine without something, by its own variables CC and PYTHON. The Pythons that lack something are the one
of this process, behind a shell script that changes what it says of itself.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest


def preflight(project: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """Return how `make preflight` ended."""
    assignments = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--no-print-directory", "preflight", *assignments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def altered(folder: Path, change: str) -> Path:
    """Return a Python that executes `change` before what it is given with -c."""
    script = folder / "python"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || exit 99\nexec {shlex.quote(sys.executable)} -c {shlex.quote(change)}"\n$2"\n'
    )
    script.chmod(0o755)
    return script


def test_a_machine_that_has_all_is_told_nothing(project: Path) -> None:
    ended = preflight(project, PYTHON=sys.executable)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that preflight says, without what make adds about its own end."""
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if not line.startswith("make")]
    assert ended.returncode != 0
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CC": "/nonexistent"}, "error: a C compiler is missing (/nonexistent); fix: apt-get install gcc libc6-dev"),
        (
            {"PYTHON": "/nonexistent"},
            "error: /nonexistent is missing; fix: apt-get install python3 python3-venv python3-dev",
        ),
        ({"CC": "false"}, "error: false finds no C library headers; fix: apt-get install libc6-dev"),
    ],
)
def test_what_is_missing_is_named_with_its_fix(project: Path, variables: dict[str, str], said: str) -> None:
    assert refused(preflight(project, **{"PYTHON": sys.executable, **variables})) == said


@pytest.mark.parametrize(
    ("change", "said", "fix"),
    [
        ("import sys; sys.version_info = (3, 9, 2)", "Python 3.11 or newer is needed", "make PYTHON=python3.11"),
        ("import sys; sys.modules['ensurepip'] = None", "cannot make a virtual environment", "-venv"),
        ("import sysconfig; sysconfig.get_path = lambda _: '/nonexistent'", "headers of", "-dev"),
    ],
)
def test_a_python_that_lacks_something_is_named_with_the_fix(
    project: Path, tmp_path: Path, change: str, said: str, fix: str
) -> None:
    python = altered(tmp_path, change)
    line = refused(preflight(project, PYTHON=python))
    assert line.startswith("error: ")
    assert str(python) in line
    assert said in line
    assert fix in line.partition("; fix: ")[2]
