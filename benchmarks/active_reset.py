"""Active reset of one qubit, end to end: two captures of 1 µs at 1 GS/s a shot, every shot kept and durable before it counts.

Runs the command as a user does, in a process of its own for each repeat, with the instruction set forced by QRT_ISA. The calibration is
taken once and reused. Shots per second and simulated time over wall time are the run's own, over its armed time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, at_least

PROJECT = Path(__file__).resolve().parent.parent
PROGRAM, LAB = PROJECT / "examples/active_reset.qasm", PROJECT / "configs/demo.toml"
SHOTS, REPEATS = 1_000_000, 5
GOAL_SHOTS_PER_S = 150_000.0


def measure(scale: float) -> list[Figure]:
    """Return shots/s and simulated over wall time with AVX2, the goal's instruction set."""
    shots = max(int(SHOTS * scale), 10_000)
    with tempfile.TemporaryDirectory(prefix="qrt-bench-") as runs:
        run(Path(runs), 1000, "avx2")
        (calibration,) = Path(runs).glob("calibrations/*.json")
        summaries = []
        for _ in range(REPEATS):
            summaries.append(run(Path(runs), shots, "avx2", "--calibration", str(calibration)))
            drop_shots(Path(summaries[-1]["run"]))
    return [
        at_least(
            f"active reset, {shots} shots, avx2", [one["shots_per_s"] for one in summaries], "shots/s", GOAL_SHOTS_PER_S
        ),
        at_least(
            f"active reset, {shots} shots, avx2: simulated / wall time",
            [one["sim_over_wall"] for one in summaries],
            "",
            1.0,
        ),
    ]


def run(runs: Path, shots: int, isa: str, *options: str) -> dict[str, Any]:
    """Return the summary of one run of the command."""
    command = [
        str(Path(sys.executable).with_name("qrt")),
        "run",
        str(PROGRAM),
        "--lab",
        str(LAB),
        "--shots",
        str(shots),
    ]
    command += ["--runs", str(runs), "--json", *options]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "QRT_ISA": isa})
    summary: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return summary


def drop_shots(folder: Path) -> None:
    """Remove a run's rows, so that repeats do not fill the disk."""
    (folder / "shots.bin").unlink(missing_ok=True)
