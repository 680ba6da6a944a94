"""How long it takes to begin: `import qrt` and `qrt --help` against `import numpy`, each in a fresh interpreter, interleaved."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figure import Figure, against, at_most

ROUNDS = 15
COMMANDS = {
    "numpy": [sys.executable, "-c", "import numpy"],
    "import": [sys.executable, "-c", "import qrt"],
    "help": [str(Path(sys.executable).with_name("qrt")), "--help"],
}


def measure(scale: float) -> list[Figure]:
    """Return both ratios over a number of rounds that scales, and the number of JAX modules that either path loads."""
    for command in COMMANDS.values():
        timed(command)  # the first one fills the page cache
    rounds = [
        {name: timed(command) for name, command in COMMANDS.items()} for _ in range(max(round(ROUNDS * scale), 3))
    ]
    return [
        against("import qrt", [(taken["import"], taken["numpy"]) for taken in rounds], "s", "import numpy", most=1.5),
        against("qrt --help", [(taken["help"], taken["numpy"]) for taken in rounds], "s", "import numpy", most=1.0),
        at_most("JAX modules loaded by import qrt and qrt --help", [float(jax_modules())], "modules", 0.0),
    ]


def timed(command: list[str]) -> float:
    """Return the seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def jax_modules() -> int:
    """Return how many modules of JAX the two commands load, as the interpreter itself logs them."""
    loaded = 0
    for arguments in (["-c", "import qrt"], ["-m", "qrt", "--help"]):
        command = [sys.executable, "-X", "importtime", *arguments]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        names = [entry.rpartition("|")[2].strip() for entry in answer.stderr.splitlines()]
        loaded += sum(name.split(".")[0] in {"jax", "jaxlib"} for name in names)
    return loaded
