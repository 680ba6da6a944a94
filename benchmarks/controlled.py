"""What controllers cost: shots per second in virtual time with a law in JAX every 1000 shots, against the same program without one.

The whole of `qrt.run` on the demo lab, in this process, in turns. Each side plays active reset after rx(theta), theta in a slot that
the kernel loads in each shot, with estimates and a durable record. With a controller, its batch process sets the slot with a delay
of one batch, each batch's update is put on record, and the kernel waits for every epoch that is due. Without one the slot is that of a
sweep of one point, theta's first value. So the two differ in nothing but the laws, their epochs and the waiting: under `hold` the
bits are the same, which is checked.
"""

from __future__ import annotations

import tempfile
from math import pi
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.active_reset import LAB, drop_shots
from benchmarks.figure import Figure, against

SHOTS, PAIRS = 300_000, 8
GOAL = 0.9
BATCH_SHOTS = 1000
PROGRAM = """OPENQASM 3;
include "stdgates.inc";
input float theta;
qubit q;
bit before;
bit after;
rx(theta) q;
before = measure q;
if (before) x q;
after = measure q;
"""
THETA = pi / 2


def measure(scale: float) -> list[Figure]:
    """Return shots/s with `hold` and with an integrator, each against none."""
    import msgspec

    from qrt.config import load
    from qrt.types import Control, Controller

    shots = max(int(SHOTS * scale), 10 * BATCH_SHOTS)
    laws = {
        "hold": Controller("hold", "theta"),
        "integrator": Controller("integrator", "theta", "before", 0.5, 0.0, pi, parameters={"gain": -0.2}),
    }
    lab = msgspec.structs.replace(load(LAB), control=Control(batch_shots=BATCH_SHOTS, delay_batches=1))
    with tempfile.TemporaryDirectory(prefix="qrt-bench-") as runs:
        _run(lab, runs, BATCH_SHOTS, None)  # takes the calibration that the others use
        _check_same_bits(_run(lab, runs, 4000, None), _run(lab, runs, 4000, laws["hold"]))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in laws}
        for pair in range(max(round(PAIRS * min(scale * 2, 1.0)), 3)):
            order = [None, *laws] if pair % 2 == 0 else [*reversed(laws), None]
            rates = {name: _rate(lab, runs, shots, None if name is None else laws[name]) for name in order}
            for name in laws:
                found[name].append((rates[name], rates[None]))
    return [
        against(f"virtual time, {name} every {BATCH_SHOTS} shots", pairs, "shots/s", "no controller", least=GOAL)
        for name, pairs in found.items()
    ]


def _rate(lab: Any, runs: str, shots: int, controller: Any) -> float:
    """Return the shots per second of a run, whose rows are dropped."""
    result = _run(lab, runs, shots, controller)
    assert result.summary.shots == shots
    drop_shots(result.folder)
    return float(result.summary.shots_per_s)


def _run(lab: Any, runs: str, shots: int, controller: Any) -> Any:
    """Return a run with this controller, or with none."""
    from qrt.run import run

    varied: dict[str, Any] = {"sweep": {"theta": f"values({THETA})"}}
    if controller is not None:
        varied = {"inputs": {"theta": THETA}, "controllers": {"law": controller}}
    calibration = "latest" if any(Path(runs).glob("calibrations/*.json")) else None
    given = {"lab": lab, "seed": 1, "calibration": calibration, "runs": runs, "publish": False}
    return run(PROGRAM, shots=shots, **given, **varied)


def _check_same_bits(alone: Any, held: Any) -> None:
    """Fail unless a law that changes nothing leaves every bit of the run as it is without one: both sides play the same."""
    for name in ("before", "after"):
        assert np.array_equal(alone.record.bits[name], held.record.bits[name]), (
            f"bit {name} differs: the two sides do not play the same"
        )
    assert held.record.rows["epoch"][-1] > 0, "no epoch came into force"
