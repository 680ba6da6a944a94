"""Readout: tone, amplitude, weights and threshold, so that one shot tells the levels apart.

The tone is climbed to (`tone`). The distance of the two clouds grows with the amplitude, their width does not: the smallest amplitude is
taken whose clouds are `SEPARATION_WANTED` sigma apart, or the one with the widest, where full scale, shared by the tones of a feedline,
does not suffice. Weights and threshold come from raw captures behind heralds (`references`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Finding, Findings, Picture, require_found, updated
from qrt.calibrate.fit import Array
from qrt.calibrate.references import weights_and_threshold
from qrt.calibrate.sequences import Qubits, replaced
from qrt.calibrate.tone import find as find_tone
from qrt.calibrate.tone import separations
from qrt.types import Estimated

POINTS: Final = 7
SHOTS: Final = 1500
SEPARATION_WANTED: Final = 6.0  # sigma: half of it on either side of a threshold leaves errors of 1.3e-3
FULL: Final = 0.98  # of full scale, for all tones of a feedline together


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Find the tone, then the amplitude, then weights and threshold."""
    tones = find_tone(bench, qubits)
    require_found(tones)
    amplitudes = amplitude(bench, qubits := updated(qubits, tones))
    weights = weights_and_threshold(bench, updated(qubits, amplitudes))
    return {name: joined(tones[name], amplitudes[name], weights[name]) for name in qubits}


def amplitude(bench: Bench, qubits: Qubits) -> Findings:
    """Scan the amplitude of all tones from what it is to as far as full scale goes."""
    lines = [bench.lab.qubits[name].readout_line for name in qubits]
    most = {name: FULL / lines.count(bench.lab.qubits[name].readout_line) for name in qubits}
    tried = {name: np.linspace(min(q.readout_amplitude, most[name]), most[name], POINTS) for name, q in qubits.items()}
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in qubits}
    for k in range(POINTS):
        at = {name: replaced(qubit, readout_amplitude=float(tried[name][k])) for name, qubit in qubits.items()}
        for name, (distance, noise, sigma) in separations(bench, at, SHOTS).items():
            seen[name].append((distance / sigma, noise / sigma * (1.0 + (distance / sigma) ** 2 / 4.0) ** 0.5))
    return {name: chosen(name, tried[name], np.array(points)) for name, points in seen.items()}


def chosen(name: str, tried: Array, seen: Array) -> Finding:
    """Return the amplitude to take; seen: separation in sigma and its error. [points, 2]"""
    enough = np.flatnonzero(seen[:, 0] >= SEPARATION_WANTED)
    best = int(enough[0]) if len(enough) else int(np.argmax(seen[:, 0]))
    separation = Estimated(float(seen[best, 0]), float(seen[best, 1]))
    picture = Picture(
        f"{name}: readout amplitude",
        "amplitude, of full scale",
        "separation (sigma)",
        tried,
        seen[:, 0],
        seen[:, 1],
        np.zeros(0),
    )
    text = f"amplitude {tried[best]:.3f}, clouds {separation.value:.2f} +- {separation.stderr:.2f} sigma apart with boxcar weights"
    changes = {"readout_amplitude": float(tried[best]), "reference_count": 0}
    return Finding(name, "readout amplitude", text, {"separation_sigma": separation}, changes, (picture,))


def joined(*parts: Finding) -> Finding:
    """Return one qubit's findings as one; what changes later counts."""
    numbers = {key: value for one in parts for key, value in one.numbers.items()}
    changes = {key: value for one in parts for key, value in one.changes.items()}
    pictures = tuple(picture for one in parts for picture in one.pictures)
    return Finding(parts[0].qubit, "readout", "; ".join(one.text for one in parts), numbers, changes, pictures)
