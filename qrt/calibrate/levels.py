"""Levels: how far apart a readout sees level 0 and level 1, from shots without and with x."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Points

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
qubit[QUBITS] q;
bit[QUBITS] c;
{gate} q;
barrier q;
c = measure q;
"""


class Separation(NamedTuple):
    """The distance of the two mean iq, in counts."""

    distance: float
    noise: float  # standard error of the distance
    sigma: float  # of one shot, along the line from one mean to the other


def separations(bench: Bench, qubits: Qubits, shots: int) -> dict[str, Separation]:
    """Return how far apart every qubit's levels are seen, with the readouts as they are; `shots` of each level."""
    texts = [(PROGRAM.format(gate=gate), qubits) for gate in ("id", "x")]
    return {name: separation(points) for name, points in bench.each(texts, shots).items()}


def separation(points: Points) -> Separation:
    """Return how far apart two points are: level 0, level 1."""
    difference = points.mean[1] - points.mean[0]
    distance = float(np.hypot(*difference)) or 1.0
    direction = difference / distance
    noise = float(direction @ points.covariance.sum(axis=0) @ direction) ** 0.5
    return Separation(distance, noise, float(direction @ points.covariance[0] @ direction * points.shots[0]) ** 0.5)
