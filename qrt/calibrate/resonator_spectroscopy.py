"""Resonator spectroscopy: where a resonator answers while its qubit rests, from the mean iq along the tone's frequency.

The tone starts a field a' = -z a + drive, z = kappa/2 + 2 pi i (f - f0), which boxcar weights at the tone sum over its length T: the
magnitude of the mean iq is b |(T - (1 - e^(-zT)) / z) / z|, without any offset but the noise of the mean. f0 is the resonance that level 0
pulls: 2 % of level 1 at rest move it by some 20 kHz, and widen it by 100. The best tone lies about chi away: `tone` finds it from there.
Weights are made for one frequency, so every point is an arm of its own. All tones of a feedline move together, so that they stay whole
multiples of 1 / duration_ns apart. The tone is weak: it must not measure the qubit, and the twin refuses one that would do so by half.
"""

from __future__ import annotations

from functools import partial
from math import tau
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, rung, scan, times
from qrt.calibrate.sequences import Qubits, boxcar, replaced, tone_changes
from qrt.calibrate.signals import Points, Scan, Signal, require_change, require_fit

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
qubit[QUBITS] q;
bit[QUBITS] c = measure q;
"""
OFFSETS_HZ: Final = np.linspace(-8e6, 8e6, 17)
SHOTS: Final = 100_000
WEAK: Final = 0.025  # of the readout's amplitude: 1 / 1600 of its photons
KAPPAS: Final = tau * np.array([0.5e6, 1e6, 2e6, 4e6, 8e6])  # to start from, 1/s


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Move all tones together through `OFFSETS_HZ`."""
    weak = {name: replaced(q, readout_amplitude=WEAK * q.readout_amplitude) for name, q in qubits.items()}
    moved = [
        {n: boxcar(bench.lab, n, replaced(q, readout_hz=q.readout_hz + hz)) for n, q in weak.items()}
        for hz in OFFSETS_HZ.tolist()
    ]
    found: Findings = {}
    for name, points in bench.each([(PROGRAM, at) for at in moved], SHOTS).items():
        hz, seen = qubits[name].readout_hz + OFFSETS_HZ, magnitude(points)
        at = np.stack([hz, np.full(len(hz), bench.lab.qubits[name].readout.duration_ns * 1e-9)])
        of = Scan(
            name,
            "resonator spectroscopy",
            f"Check qubits.{name}.readout: frequency_hz (right to {OFFSETS_HZ[-1] / 1e6:g} MHz?), amplitude, the line and its source",
        )
        found[name] = judged(of, seen, Drawn("tone (GHz)", hz / 1e9), partial(analyse, of, at, seen))
        if not found[name].problem:
            tone_hz = round(found[name].numbers["resonator_hz"].value, -3)
            found[name] = found[name]._replace(changes=tone_changes(bench.lab, name, qubits[name], tone_hz))
    return found


def magnitude(points: Points) -> Signal:
    """Return |mean iq| of the largest, without what noise adds to it, and its standard errors."""
    size = np.hypot(*points.mean.T)
    sigma = np.sqrt(np.einsum("nii->n", points.covariance) / 2.0)
    clean = np.sqrt(np.maximum(size**2 - sigma**2, 0.0))
    return Signal(clean / size.max(), sigma / size.max())


def analyse(of: Scan, points: Array, seen: Signal) -> Result:
    """Return resonance and linewidth; points [2, points]: frequency of the tone, its length."""
    require_change(of, seen)
    tries = [scan(partial(_column, points, kappa), *seen, points[0]) for kappa in KAPPAS]
    starts = [(linear[0], at, kappa) for (at, linear), kappa in zip(tries, KAPPAS.tolist(), strict=True)]
    start = min(starts, key=lambda one: float(np.sum(((seen.values - rung(np.array(one), points)) / seen.sigma) ** 2)))
    fit = require_fit(of, rung, points, seen, start)
    middle, kappa = fit.estimated(1), times(fit.estimated(2), 1.0 / tau)
    text = f"resonance {middle.value / 1e9:.6f} +- {middle.stderr / 1e9:.6f} GHz"
    text += f", kappa / 2 pi {kappa.value / 1e6:.2f} +- {kappa.stderr / 1e6:.2f} MHz"
    return Result(text, {"resonator_hz": middle, "kappa_hz": kappa}, rung(fit.values, points))


def _column(points: Array, kappa: float, at: float) -> Array:
    return rung(np.array([1.0, at, kappa]), points)[:, None]
