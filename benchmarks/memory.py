"""Memory over a long run: private and shared memory of the run's processes, sampled while 10^7 shots go by.

The figure is the growth from a fifth of the way to the end, the sum over the command and its children. Pages of files that the
system keeps at its own will are not counted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.active_reset import LAB, PROGRAM
from benchmarks.figure import Figure, at_most

SHOTS = 10_000_000
GOAL_MIB = 16.0
PERIOD_S = 0.25


def measure(scale: float) -> list[Figure]:
    """Return the growth in MiB."""
    shots = max(int(SHOTS * scale), 100_000)
    with tempfile.TemporaryDirectory(prefix="qrt-bench-") as runs:
        command = [
            str(Path(sys.executable).with_name("qrt")),
            "run",
            str(PROGRAM),
            "--lab",
            str(LAB),
            "--shots",
            str(shots),
        ]
        with subprocess.Popen([*command, "--runs", runs, "--json"], stdout=subprocess.DEVNULL) as process:
            samples: list[tuple[int, float]] = []  # bytes of shots written, MiB
            while process.poll() is None:
                samples.append((written(Path(runs)), resident_mib(process.pid)))
                time.sleep(PERIOD_S)
    if process.returncode != 0:
        raise SystemExit(f"the run ended with status {process.returncode}")
    end = max(size for size, _ in samples)
    running = [mib for size, mib in samples if 0 < end <= 5 * size]
    growth = max(running[len(running) // 2 :]) - running[0]
    return [at_most(f"memory growth, {shots} shots", [growth], "MiB", GOAL_MIB)]


def written(runs: Path) -> int:
    """Return the bytes of shots in a folder of runs."""
    return sum(path.stat().st_size for path in runs.glob("*/shots.bin"))


def resident_mib(pid: int) -> float:
    """Return the anonymous and shared resident memory of a process and its children; 0 for those that have ended."""
    total_kib = 0
    pids = [pid]
    while pids:
        current = Path("/proc") / str(pids.pop())
        try:
            status = (current / "status").read_text(encoding="utf-8").splitlines()
            pids += [
                int(child) for task in (current / "task").iterdir() for child in (task / "children").read_text().split()
            ]
        except (FileNotFoundError, ProcessLookupError):
            continue
        total_kib += sum(int(entry.split()[1]) for entry in status if entry.startswith(("RssAnon:", "RssShmem:")))
    return total_kib / 1024
