"""AllXY: 21 pairs of x, y and their halves, whose signature tells an angle that is off from a phase that is.

Ideally five pairs end in level 0, twelve halfway, four in level 1 (Reed, thesis, Yale 2013, section 5.2.3). What an angle of sx that is
off by a part e, and a phase of z per sx, change of that is worked out here with rotations; both are fitted with contrast and offset.
Relaxation is left out: with T1 and T2 of 20 us and pulses of 30 ns, sx looks 0.05 % short by it, a quarter of the standard error.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, turn
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit
from qrt.calibrate.train import PROGRAM
from qrt.errors import CalibrationError

_WRITTEN: Final = "II XX YY XY YX xI yI xy yx xY yX Xy Yx xX Xx yY Yy XI YI xx yy"  # small letters are quarter turns
PAIRS: Final = tuple(zip(_WRITTEN[::3], _WRITTEN[1::3], strict=True))
GATES: Final = {
    "I": "id q;",
    "x": "sx q;",
    "X": "x q;",
    "y": "rz(-pi/2) q; sx q; rz(pi/2) q;",
    "Y": "rz(-pi/2) q; x q; rz(pi/2) q;",
}
X, Y, Z = np.eye(3)
SHOTS: Final = 2500
ANGLE_MAX: Final = 0.01  # of the angle
PHASE_MAX: Final = 0.03  # rad in a sx
SURE: Final = 5.0  # standard errors


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Play the pairs, one arm each."""
    shots = [(PROGRAM.format(gates=GATES[first] + GATES[second]), qubits) for first, second in PAIRS]
    found: Findings = {}
    for name, seen in each(bench.each(shots, SHOTS)):
        of = Scan(
            name,
            "AllXY",
            "A pair that is off alone is the drive's memory of the pulse before: a filter, or a reflection",
        )
        drawn = Drawn("pair, from II to yy", np.arange(len(PAIRS), dtype=float))
        found[name] = judged(of, seen, drawn, partial(analyse, of, seen))
    return found


def analyse(of: Scan, seen: Signal) -> Result:
    """Return how far angle and phase are off."""
    require_change(of, seen)
    start = (seen.values[0], float(np.mean(seen.values[-4:]) - seen.values[0]), 0.0, 0.0)
    fit = require_fit(of, allxy, np.zeros(0), seen, start)
    angle, phase = fit.estimated(2), fit.estimated(3)
    for one, most, what in (
        (angle, ANGLE_MAX, "angle: calibrate train"),
        (phase, PHASE_MAX, "phase: calibrate ramsey, drag"),
    ):
        if abs(one.value) > most and abs(one.value) > SURE * one.stderr:
            raise CalibrationError(
                f"{of.name}: {of.what}: sx is off by {one.value:.3f} +- {one.stderr:.3f} in its {what}"
            )
    text = f"angle off by {angle.value:+.2%} +- {angle.stderr:.2%}, phase by {phase.value:+.4f} +- {phase.stderr:.4f} rad in a sx"
    return Result(text, {"angle_error": angle, "phase_error_rad": phase}, allxy(fit.values, np.zeros(0)))


def allxy(parameters: Array, _: Array) -> Array:
    """Return c + b P(level 1) of the pairs. Parameters c, b, part of the angle that is too much, phase per sx."""
    c, b, angle, phase = parameters
    half = {a: turn(axis * pi / 2.0 * (1.0 + angle) + phase * Z) for a, axis in (("x", X), ("y", Y))}
    turns = half | {a.upper(): one @ one for a, one in half.items()} | {"I": turn(2.0 * phase * Z)}
    return np.array([c + b * (1.0 - (turns[second] @ turns[first])[2, 2]) / 2.0 for first, second in PAIRS])
