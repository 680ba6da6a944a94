"""Readout: tone, amplitude, weights and threshold, so that one shot tells the levels apart.

The tone is climbed to (`tone`). The distance of the two clouds grows with the amplitude, their width does not: the smallest amplitude is
taken whose clouds are `SEPARATION_WANTED` sigma apart, or the one with the widest, where full scale, shared by the tones of a feedline,
does not suffice. Then `weights`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from qrt.calibrate import tone, weights
from qrt.calibrate.bench import Bench
from qrt.calibrate.feedline import sharing
from qrt.calibrate.finding import Drawn, Findings, Result, chained, judged, updated
from qrt.calibrate.fit import Array
from qrt.calibrate.heralds import SEPARATION_MIN
from qrt.calibrate.levels import separations
from qrt.calibrate.sequences import Qubits, replaced
from qrt.calibrate.signals import Scan, Signal
from qrt.errors import CalibrationError
from qrt.types import Estimated

POINTS: Final = 7
SHOTS: Final = 1500
SEPARATION_WANTED: Final = 6.0  # sigma: half of it on either side of a threshold leaves errors of 1.3e-3
FULL: Final = 0.98  # of full scale, for all tones of a feedline together
SURE: Final = 5.0  # standard errors


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Find the tone, then the amplitude, then weights and threshold; the first of them that is not found is what comes back."""
    parts: list[Findings] = []
    for step in (tone.find, amplitude, weights.find):
        parts.append(step(bench, qubits))
        if any(one.problem for one in parts[-1].values()):
            break
        qubits = updated(qubits, parts[-1])
    return {name: chained("readout", [part[name] for part in parts]) for name in qubits}


def amplitude(bench: Bench, qubits: Qubits) -> Findings:
    """Scan the amplitude of all tones from what it is to as far as full scale goes."""
    most = {name: FULL / len(sharing(bench.lab, name, qubits)) for name in qubits}
    tried = {name: np.linspace(min(q.readout_amplitude, most[name]), most[name], POINTS) for name, q in qubits.items()}
    found, scanned = Findings(), []
    for k in range(POINTS):
        at = {name: replaced(q, readout_amplitude=float(tried[name][k])) for name, q in qubits.items()}
        scanned.append(separations(bench, at, SHOTS))
    for name in qubits:
        distance, noise, sigma = np.array([one[name] for one in scanned]).T
        seen = Signal(distance / sigma, noise / sigma * (1.0 + (distance / sigma) ** 2 / 4.0) ** 0.5)
        of = Scan(name, "readout amplitude", f"Let qubits.{name}.readout.duration_ns or the line's amplitude_v grow")
        drawn = Drawn("amplitude, of full scale", tried[name], "separation (sigma)")
        found[name] = judged(of, seen, drawn, partial(analyse, of, tried[name], seen))
    return found


def analyse(of: Scan, tried: Array, seen: Signal) -> Result:
    """Return the amplitude to take; seen: separation in sigma."""
    enough = np.flatnonzero(seen.values >= SEPARATION_WANTED)
    best = int(enough[0]) if len(enough) else int(np.argmax(seen.values))
    separation = Estimated(float(seen.values[best]), float(seen.sigma[best]))
    if separation.value < SEPARATION_MIN - SURE * separation.stderr:
        raise CalibrationError(
            f"{of.name}: {of.what}: level 0 and 1 are at most {separation.value:.2f} +- {separation.stderr:.2f} sigma apart, from "
            f"{tried[0]:.3f} to {tried[-1]:.3f} of full scale; {SEPARATION_MIN:g} are needed for a herald. {of.advice}"
        )
    text = f"amplitude {tried[best]:.3f}, clouds {separation.value:.2f} +- {separation.stderr:.2f} sigma apart with boxcar weights"
    changes = {"readout_amplitude": float(tried[best]), "reference_count": 0}
    return Result(text, {"separation_sigma": separation}, np.zeros(0), changes)
