"""`qrt calibrate all` on the demo lab, in virtual time: how long it takes, and how the gates come out.

The error of a gate is RB's, over what T1 and T2, as the same calibration found them, make of it alone. Each repeat is a process of its own,
as a user starts it, with another seed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure, at_most

LAB = Path(__file__).parent.parent / "configs/demo.toml"
REPEATS, WALL_S, ERROR_RATIO = 2, 60.0, 1.1


def measure(scale: float) -> list[Figure]:
    """Return wall time, and gate error over its limit for each qubit; `scale` changes nothing, since a calibration is one as a whole."""
    walls, ratios = [], dict[str, list[float]]()
    for seed in range(1, REPEATS + 1):
        wall_s, found = calibrated(seed)
        walls.append(wall_s)
        for name, one in found.items():
            ratios.setdefault(name, []).append(one)
    return [
        at_most("qrt calibrate all, two qubits", walls, "s", WALL_S),
        *(
            at_most(f"error of a gate of {name} / T1, T2 limit", found, "", ERROR_RATIO)
            for name, found in ratios.items()
        ),
    ]


def calibrated(seed: int) -> tuple[float, dict[str, float]]:
    """Return seconds, and for each qubit the error of a gate over its limit."""
    with tempfile.TemporaryDirectory(prefix="qrt-bench-") as runs:
        command = [
            sys.executable,
            "-m",
            "qrt",
            "calibrate",
            "all",
            "--lab",
            str(LAB),
            "--runs",
            runs,
            "--seed",
            str(seed),
            "--json",
        ]
        started_s = time.monotonic()
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        wall_s = time.monotonic() - started_s
    findings = [one for one in json.loads(answer.stdout.splitlines()[-1])["findings"] if one["step"] == "rb"]
    parts = {
        one["qubit"]: [one["numbers"][name]["value"] for name in ("gate_error", "coherence_limit")] for one in findings
    }
    return wall_s, {name: error / limit for name, (error, limit) in parts.items()}
