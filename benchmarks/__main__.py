"""`python -m benchmarks`: measure everything that has a goal, print it with its losses, write results.json.

Each subject is a module with a function `measure`. A name or several restrict the run; only a complete one, in its full size, writes
results.json. The numbers hold for the machine that is named beside them, alone and idle: run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import (
    active_reset,
    branch_latency,
    calibration,
    controlled,
    demodulate,
    import_time,
    kernel_events,
    memory,
    orchestration,
    pacing,
    subscribers,
)
from benchmarks import (
    compile as compiling,
)
from benchmarks.figure import Figure, machine

RESULTS = Path(__file__).with_name("results.json")
SUBJECTS = {
    "import_time": import_time.measure,
    "compile": compiling.measure,
    "demodulate": demodulate.measure,
    "kernel_events": kernel_events.measure,
    "branch_latency": branch_latency.measure,
    "pacing": pacing.measure,
    "subscribers": subscribers.measure,
    "active_reset": active_reset.measure,
    "controlled": controlled.measure,
    "orchestration": orchestration.measure,
    "calibration": calibration.measure,
    "memory": memory.measure,
}


def main() -> int:
    """Return 0 if every goal was met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what has a goal.")
    parser.add_argument("subjects", nargs="*", help=f"some of: {', '.join(SUBJECTS)} (all)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full number of shots (1.0)")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.subjects if name not in SUBJECTS]
    if unknown:
        parser.error(f"no such subject: {', '.join(unknown)}; there are: {', '.join(SUBJECTS)}")
    print(f"machine: {machine()}; Python {sys.version.split()[0]}", flush=True)
    figures: list[Figure] = []
    for name in chosen.subjects or SUBJECTS:
        print(f"\n{name}", flush=True)
        for figure in SUBJECTS[name](chosen.scale):
            figures.append(figure)
            print(line(figure), flush=True)
    missed = [figure.name for figure in figures if not figure.met]
    print(
        f"\n{len(figures) - len(missed)} of {len(figures)} goals met"
        + (f"; lost: {', '.join(missed)}" if missed else "")
    )
    if not chosen.subjects and chosen.scale == 1.0:
        RESULTS.write_text(json.dumps([figure.row() for figure in figures], indent=1) + "\n", encoding="utf-8")
        print(f"written: {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 1 if missed else 0


def line(figure: Figure) -> str:
    """Return a figure as two lines for a person."""
    low, high = figure.spread
    ratio = f", ratio {figure.ratio:.3f}" if figure.ratio is not None else ""
    beside = f" ({figure.floor_or_peer})" if figure.floor_or_peer else ""
    verdict = "met " if figure.met else "LOST"
    return (
        f"  {verdict} {figure.name}: {figure.figure:.5g} {figure.unit}{ratio}, goal {figure.goal}{beside}\n"
        f"       spread {low:.5g} to {high:.5g}; 95 % interval of the {'ratio' if figure.ratio is not None else 'figure'} "
        f"{figure.interval[0]:.5g} to {figure.interval[1]:.5g}"
    )


if __name__ == "__main__":
    sys.exit(main())
