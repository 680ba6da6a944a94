"""Orchestration: how much longer a sweep takes than the pulses that it plays, from the call to the closed record.

1000 points of 8192 shots of 7 µs, every single shot kept and durable, every point with its estimate and its error bar. The wall time is
that of the whole call but for the calibration, which is given: instruments opened, the batch process started, compiled, uploaded, played,
on disk, estimated, outputs off. `--scale` takes fewer points, so that the start, some two seconds, weighs more: the goal is for the full
number.

Randomised benchmarking: 20 random sequences of each of 10 lengths, 1000 shots each, every one begun by an active reset, all of them one
program: a `switch` on a swept integer, decided by a slot. It is given as a tree, as oqpy would build it: parsing a text of so many
statements would take the standard's parser half a second.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.active_reset import drop_shots
from benchmarks.figure import Figure, at_most
from qrt.calibrate import calibrate
from qrt.calibrate.cliffords import CLIFFORDS, DEFINITIONS, gates, inverse_of
from qrt.config import load
from qrt.loop import Loop
from qrt.qasm.grammar import syntax_tree
from qrt.run import run
from qrt.store import bound_hash
from qrt.types import Calibration, Lab

PROJECT = Path(__file__).resolve().parent.parent
LAB = PROJECT / "configs/demo.toml"
POINTS, SHOTS, PERIOD_NS, REPEATS = 1000, 8192, 7000.0, 2
GOAL = 1.2
RB_LENGTHS, RB_SEQUENCES, RB_SHOTS, RB_PERIOD_NS, RB_GOAL = (
    (1, 2, 4, 8, 12, 16, 24, 32, 48, 64),
    20,
    1000,
    10_000.0,
    1.5,
)
PROGRAM = """OPENQASM 3;
include "stdgates.inc";
input float theta;
qubit q;
bit c;
rx(theta) q;
c = measure q;
"""


def measure(scale: float) -> list[Figure]:
    """Return wall time over pulse time."""
    points = max(int(POINTS * scale), 2)
    lab = load(LAB)
    calibration = calibrated(lab)
    with tempfile.TemporaryDirectory(prefix="qrt-bench-") as runs:
        ratios = [swept(lab, calibration, Path(runs), points) for _ in range(REPEATS)]
        benchmarking = [random_sequences(lab, calibration, Path(runs)) for _ in range(REPEATS)]
    what = f"RB, {RB_SEQUENCES} x {len(RB_LENGTHS)} sequences, {RB_SHOTS} shots of {RB_PERIOD_NS / 1000:g} us"
    rb = f"orchestration: {what}: wall / pulse time"
    name = f"orchestration: {points} points x {SHOTS} shots of {PERIOD_NS / 1000:g} us, durable: wall / pulse time"
    return [at_most(name, ratios, "", GOAL), at_most(rb, benchmarking, "", RB_GOAL)]


def swept(lab: Lab, calibration: Calibration, runs: Path, points: int) -> float:
    """Return the ratio of a sweep of an amplitude."""
    sweep = {"theta": f"linspace(0, pi, {points})"}
    given = {"lab": lab, "shots": SHOTS, "period_ns": PERIOD_NS, "calibration": calibration, "runs": runs}
    return ratio(PROGRAM, sweep, points * SHOTS, **given)


def random_sequences(lab: Lab, calibration: Calibration, runs: Path) -> float:
    """Return the ratio of randomised benchmarking."""
    tree, count = syntax_tree(rb_program(), "rb.qasm"), RB_SEQUENCES * len(RB_LENGTHS)
    sweep = {"k": f"linspace(0, {count - 1}, {count})"}
    given = {"lab": lab, "shots": RB_SHOTS, "period_ns": RB_PERIOD_NS, "calibration": calibration, "runs": runs}
    return ratio(tree, sweep, count * RB_SHOTS, **given)


def ratio(program: Any, sweep: dict[str, str], total: int, **given: Any) -> float:
    """Return wall time over pulse time of one run."""
    started_s = time.monotonic()
    found = run(program, sweep=sweep, publish=False, seed=1, **given)
    wall_s = time.monotonic() - started_s
    assert found.summary.shots == total
    drop_shots(found.folder)
    return wall_s / (total * float(given["period_ns"]) * 1e-9)


def rb_program() -> str:
    """Return all sequences as one program."""
    rng = np.random.default_rng(1)
    cases = []
    for length in np.repeat(RB_LENGTHS, RB_SEQUENCES):
        sequence = [CLIFFORDS[k] for k in rng.integers(len(CLIFFORDS), size=length)]
        cases.append(f"case {len(cases)} {{ {gates([*sequence, inverse_of(sequence)])} }}")
    head = 'OPENQASM 3; include "stdgates.inc"; input int k; qubit[1] q; bit[1] c;'
    return "\n".join((head, DEFINITIONS, "reset q;", "switch (k) {", *cases, "}", "c = measure q;"))


def calibrated(lab: Lab) -> Calibration:
    """Return a calibration of the lab."""
    with Loop(lab, 1) as loop:
        found = calibrate(lab, loop.measure, 1)
    return msgspec.structs.replace(found, lab_hash=bound_hash(lab))
