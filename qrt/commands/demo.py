"""`qrt demo`: the active reset of examples/ on the lab of configs/demo.toml, as `qrt run` does it, with its lines explained.

The two files are looked for where the command is called, then beside the package, which is where a clone has them. An installed wheel
holds neither, so that nobody edits files inside an installation; the message says how to get them.
"""

from __future__ import annotations

from pathlib import Path

import qrt
from qrt.commands.run import Request, execute
from qrt.commands.screen import Screen, spaced
from qrt.errors import ConfigError
from qrt.types import Summary

PROGRAM, LAB = "examples/active_reset.qasm", "configs/demo.toml"


def demo(shots: int, runs: str | None, *, silent: bool) -> Summary:
    """Run the demo and return its summary."""
    program, lab = find(PROGRAM), find(LAB)
    screen = Screen(explained=True, silent=silent)
    screen.line(f"qrt demo = qrt run {PROGRAM} --lab {LAB} --shots {spaced(shots).replace(' ', '')}")
    screen.line()
    screen.line(
        "A qubit is put into both levels at once and measured; where it is found excited, it is flipped back; then it is"
    )
    screen.line(
        "measured again. Every sample goes from simulated AWGs through a simulated qubit into a simulated digitizer."
    )
    return execute(Request(program=str(program), lab=str(lab), shots=shots, runs=runs), screen, verified=True)


def find(name: str) -> Path:
    """Return where a file of the project is, from the current folder or the clone that the package runs from."""
    for folder in (Path(), Path(qrt.__file__).resolve().parent.parent):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"{name}: neither in this folder nor beside the package, and an installed wheel does not hold it; "
        "clone the project and call `make demo` there"
    )
