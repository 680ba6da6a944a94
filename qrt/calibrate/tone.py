"""Tone: where the levels of a qubit are told apart best, found by climbing from the tone as it is.

Climbing, since a tone far from the resonance measures nothing: each point is a shot with and one without x. It ends when the best point has
`NEIGHBOURS` on either side. Around the best tone f0 the distance S of two resonances of one width is even, and exactly
1 / S^2 = a + b (f - f0)^2 + c (f - f0)^4: f0 is found on a grid, the rest is linear. With chi above kappa / 2 there are two
tops, and one of them is taken. Tones of one feedline then move a little, onto a common grid (`spaced`).
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm, pi, tau
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Finding, Findings, Picture
from qrt.calibrate.sequences import Qubits, boxcar, replaced, tone_changes
from qrt.calibrate.signals import DETUNING_HZ_MAX
from qrt.types import Estimated, Lab

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
qubit[QUBITS] q;
bit[QUBITS] c;
{gate} q;
barrier q;
c = measure q;
"""
STEP_HZ: Final = 0.5e6
SPAN_HZ: Final = 4e6  # how far from the tone as it is is looked
NEIGHBOURS: Final = 3
SHOTS: Final = 800
GRID_HZ_MAX: Final = 2e6  # a tone moves by half of it at most
SEPARATION_SIGMA: Final = 8.0  # of the two mean iq, over the noise of their difference
_ORDER: Final = tuple(sign * k for k in range(1, NEIGHBOURS + 1) for sign in (-1, 1))

Separations = dict[int, tuple[float, float]]  # by steps from the tone as it was: distance of the mean iq, its noise


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Climb with all qubits at once; set boxcar weights at the tones found."""
    seen = _climbed(bench, qubits)
    problems = {name: _problem(name, points, qubits[name].readout_hz) for name, points in seen.items()}
    places = {name: _middle(points) for name, points in seen.items()}
    tones = {name: qubits[name].readout_hz + place[0] * STEP_HZ for name, place in places.items()}
    found: Findings = {}
    for name, hz in spaced(bench.lab, tones).items():
        changes = tone_changes(bench.lab, name, qubits[name], hz)
        best = Estimated(tones[name], places[name][1] * STEP_HZ)
        text = (
            ""
            if problems[name]
            else f"tone {hz / 1e9:.6f} GHz, best at {best.value / 1e9:.6f} +- {best.stderr / 1e9:.6f}"
        )
        pictures = (_picture(name, seen[name], qubits[name].readout_hz),)
        found[name] = Finding(name, "readout tone", text, {"readout_hz": best}, changes, pictures, problems[name])
    return found


def separations(bench: Bench, qubits: Qubits, shots: int) -> dict[str, tuple[float, float, float]]:
    """Return the distance of the mean iq with and without x, its noise, and the noise of one shot along it."""
    texts = [(PROGRAM.format(gate=gate), qubits) for gate in ("id", "x")]
    found = {}
    for name, points in bench.each(texts, shots).items():
        difference = points.mean[1] - points.mean[0]
        distance = float(np.hypot(*difference)) or 1.0
        direction = difference / distance
        noise = float(direction @ points.covariance.sum(axis=0) @ direction) ** 0.5
        found[name] = (distance, noise, float(direction @ points.covariance[0] @ direction * points.shots[0]) ** 0.5)
    return found


def _climbed(bench: Bench, qubits: Qubits) -> dict[str, Separations]:
    """Return what was seen on the way up."""
    seen: dict[str, Separations] = {name: {} for name in qubits}
    wanted = {name: [-1, 0, 1] for name in qubits}
    limit = round(SPAN_HZ / STEP_HZ)
    while any(wanted.values()):
        step = {name: steps[0] if steps else _best(seen[name]) for name, steps in wanted.items()}
        at = {n: replaced(q, readout_hz=q.readout_hz + step[n] * STEP_HZ) for n, q in qubits.items()}
        at = {n: boxcar(bench.lab, n, q) for n, q in at.items()}
        for name, (distance, noise, _) in separations(bench, at, SHOTS).items():
            seen[name][step[name]] = (distance, noise)
            best = _best(seen[name])
            around = [best + k for k in _ORDER if best + k not in seen[name] and abs(best + k) <= limit]
            wanted[name] = [k for k in wanted[name] if k not in seen[name]] or around[:1]
    return seen


def _problem(name: str, points: Separations, was_hz: float) -> str:
    """Return why nothing was found; empty if it was."""
    value, noise = points[_best(points)]
    if value >= SEPARATION_SIGMA * noise:
        return ""
    low, high = (was_hz + k * STEP_HZ for k in (min(points), max(points)))
    return (
        f"{name}: readout tone: level 0 and 1 are {value / noise:.1f} sigma apart at the best of {len(points)} tones from "
        f"{low / 1e9:.6f} to {high / 1e9:.6f} GHz, {SEPARATION_SIGMA:g} are needed. Check qubits.{name}.readout: frequency_hz "
        f"(right to about 1 MHz?) and amplitude, and qubits.{name}.frequency_hz (right to {DETUNING_HZ_MAX / 1e6:g} MHz?)"
    )


def _picture(name: str, points: Separations, was_hz: float) -> Picture:
    steps = sorted(points)
    hz = np.array([was_hz + step * STEP_HZ for step in steps])
    value, noise = np.array([points[step] for step in steps]).T
    return Picture(f"{name}: readout tone", "tone (GHz)", "distance of the levels", hz / 1e9, value, noise, np.zeros(0))


def spaced(lab: Lab, tones_hz: dict[str, float]) -> dict[str, float]:
    """Return the tones moved onto one grid per feedline, spaced by whole multiples of 1 / duration_ns of each of its qubits.

    So a tone vanishes in its neighbours' boxcar weights, and matched weights lose nothing by being blind to it. The grid lies where the
    tones move least (their mean on a circle of one step). A step so wide that it would spoil a tone, of durations that have little in
    common, leaves the feedline as found: its weights are blind to the neighbours anyway.
    """
    result = {name: round(hz, -3) for name, hz in tones_hz.items()}
    for line in {lab.qubits[name].readout_line for name in tones_hz}:
        names = [name for name in tones_hz if lab.qubits[name].readout_line == line]
        steps = [Fraction(10**9) / Fraction(repr(lab.qubits[name].readout.duration_ns)) for name in names]
        step_hz = lcm(*(one.numerator for one in steps)) / gcd(*(one.denominator for one in steps))
        if len(names) == 1 or step_hz > GRID_HZ_MAX:
            continue
        turns = np.array([tones_hz[name] / step_hz for name in names])
        base_hz = round(float(np.angle(np.exp(2j * pi * turns).mean())) / tau * step_hz, -3)
        for name in names:
            result[name] = base_hz + round((tones_hz[name] - base_hz) / step_hz) * step_hz
    return result


def _middle(points: Separations) -> tuple[float, float]:
    """Return the symmetric middle of distances (value, noise) over steps, within the steps measured, and its uncertainty.

    The top is flat, so the mean over all possible middles is taken, each with its likelihood, and not the likeliest: that one jumps.
    """
    steps = np.array(sorted(points), float)
    value, noise = np.array([points[round(step)] for step in steps]).T
    inverse = (value.max() / value) ** 2
    sigma = 2.0 * inverse * noise / value
    grid = np.linspace(steps[0], steps[-1], 10 * len(steps) + 1)
    chi2 = []
    for middle in grid:
        columns = np.stack([np.ones_like(steps), (steps - middle) ** 2, (steps - middle) ** 4], axis=1)
        candidates = []
        for own in ((0, 1, 2), (0, 1), (0, 2), (0,)):
            linear = np.linalg.lstsq(columns[:, own] / sigma[:, None], inverse / sigma, rcond=1e-9)[0]
            if np.all(linear[1:] >= 0.0):  # one top: two would fit with the middle on either flank
                candidates.append(float(np.sum(((inverse - columns[:, own] @ linear) / sigma) ** 2)))
        chi2.append(min(candidates))
    likelihood = np.exp(-0.5 * (np.array(chi2) - min(chi2)))
    middle = float(grid @ likelihood / likelihood.sum())
    return middle, float((grid - middle) ** 2 @ likelihood / likelihood.sum()) ** 0.5


def _best(points: Separations) -> int:
    return max(points, key=lambda k: points[k][0])
