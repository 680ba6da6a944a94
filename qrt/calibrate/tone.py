"""Tone: where the levels of a qubit are told apart best, found by climbing from the tone as it is.

Climbing, since a tone far from the resonance measures nothing: each point is a shot with and one without x (`levels`). Around the best
tone f0 the distance S of two resonances of one width is even, and exactly 1 / S^2 = a + b (f - f0)^2 + c (f - f0)^4 (`top`). With chi above
kappa / 2 there are two tops, and one of them is taken. Tones of one feedline then move a little, onto a common grid (`feedline`).
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from qrt.calibrate import top
from qrt.calibrate.bench import Bench
from qrt.calibrate.feedline import spaced
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array
from qrt.calibrate.levels import Separation, separations
from qrt.calibrate.sequences import Qubits, boxcar, replaced, tone_changes
from qrt.calibrate.signals import DETUNING_HZ_MAX, Scan, Signal
from qrt.errors import CalibrationError
from qrt.types import Estimated

STEP_HZ: Final = 0.5e6
STEPS_MAX: Final = 8  # from the tone as it is: that far is looked
SHOTS: Final = 800
SEPARATION_SIGMA: Final = 8.0  # of the two mean iq, over the noise of their difference
ADVICE: Final = (
    "Check qubits.{name}.readout: frequency_hz (right to about 1 MHz?) and amplitude, and qubits.{name}.frequency_hz "
    f"(right to {DETUNING_HZ_MAX / 1e6:g} MHz?)"
)


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Climb with all qubits at once; set boxcar weights at the tones found."""
    found: Findings = {}
    for name, seen in climbed(bench, qubits).items():
        steps, was_hz = np.array(sorted(seen), float), qubits[name].readout_hz
        size, noise = (np.array([getattr(seen[k], part) for k in sorted(seen)]) for part in ("distance", "noise"))
        of = Scan(name, "readout tone", ADVICE.format(name=name))
        drawn = Drawn("tone (GHz)", (was_hz + steps * STEP_HZ) / 1e9, "distance of the levels (%)")
        analysis = partial(analyse, of, steps, was_hz, Signal(size, noise))
        found[name] = judged(of, Signal(100.0 * size / size.max(), 100.0 * noise / size.max()), drawn, analysis)
    tones_hz = {name: one.numbers["readout_hz"].value for name, one in found.items() if not one.problem}
    for name, hz in spaced(bench.lab, tones_hz).items():
        one, changes = found[name], tone_changes(bench.lab, name, qubits[name], hz)
        found[name] = one._replace(text=f"tone {hz / 1e9:.6f} GHz, {one.text}", changes=changes)
    return found


def climbed(bench: Bench, qubits: Qubits) -> dict[str, dict[int, Separation]]:
    """Return what was seen on the way up, by steps from the tone as it was; a qubit that is done waits at its best tone for the others."""
    seen: dict[str, dict[int, Separation]] = {name: {} for name in qubits}
    while True:
        sizes = {name: {k: one.distance for k, one in part.items()} for name, part in seen.items()}
        ways = {name: top.following(one, STEPS_MAX) for name, one in sizes.items()}
        if all(k is None for k in ways.values()):
            return seen
        at = {name: top.best(sizes[name]) if k is None else k for name, k in ways.items()}
        moved = {name: replaced(q, readout_hz=q.readout_hz + at[name] * STEP_HZ) for name, q in qubits.items()}
        moved = {name: boxcar(bench.lab, name, q) for name, q in moved.items()}
        for name, one in separations(bench, moved, SHOTS).items():
            seen[name][at[name]] = one


def analyse(of: Scan, steps: Array, was_hz: float, seen: Signal) -> Result:
    """Return the best tone; steps: of `STEP_HZ` from the tone as it was, seen: distances of the levels."""
    sigmas = (seen.values / seen.sigma)[np.argmax(seen.values)]
    if sigmas < SEPARATION_SIGMA:
        low, high = was_hz + steps[[0, -1]] * STEP_HZ
        raise CalibrationError(
            f"{of.name}: {of.what}: level 0 and 1 are {sigmas:.1f} sigma apart at the best of {len(steps)} tones from {low / 1e9:.6f} to "
            f"{high / 1e9:.6f} GHz, {SEPARATION_SIGMA:g} are needed. {of.advice}"
        )
    middle = top.middle(steps, *seen)
    hz = Estimated(was_hz + middle.at.value * STEP_HZ, middle.at.stderr * STEP_HZ)
    text = f"best at {hz.value / 1e9:.6f} +- {hz.stderr / 1e9:.6f}"
    return Result(text, {"readout_hz": hz}, 100.0 * middle.curve / seen.values.max())
