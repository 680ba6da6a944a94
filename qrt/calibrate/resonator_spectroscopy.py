"""Resonator spectroscopy: where a resonator answers while its qubit rests, from the mean iq along the tone's frequency.

The tone starts a field a' = -z a + drive, z = kappa/2 + 2 pi i (f - f0), which boxcar weights at the tone sum over its length T: the
magnitude of the mean iq is b |(T - (1 - e^(-zT)) / z) / z|, without any offset but the noise of the mean. f0 is the resonance that level 0
pulls: 2 % of level 1 at rest move it by some 20 kHz, and widen it by 100. The best tone lies about chi away: `tone` finds it from there.
Integration weights follow the tone, point by point, and all points are one arm. All tones move together, so that they stay whole multiples
of 1 / duration_ns apart. They are weak: a tone must not measure the qubit, and the twin refuses one that would do so by half.
"""

from __future__ import annotations

from functools import partial
from math import tau
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, rung, scan, times
from qrt.calibrate.sequences import Qubits, tone_changes
from qrt.calibrate.signals import Points, Scan, Signal, magnitude, require_change, require_fit, require_inside

PROGRAM: Final = 'OPENQASM 3.0; defcalgrammar "openpulse"; input float offset_hz; bit[QUBITS] c;\n'
TONE: Final = """cal {{ shift_frequency({name}_readout, offset_hz); shift_frequency({name}_acquire, offset_hz);
play({name}_readout, scale({name}_tone, {weak})); c[{k}] = capture_v2({name}_acquire, {name}_tone, 0); }}
"""
OFFSETS_HZ: Final = np.linspace(-8e6, 8e6, 17)
SHOTS, ARMS_MAX, NOISE_MAX = (
    10_000,
    10,
    0.04,
)  # at a point; arms are added until a point's standard error is below, of the largest
WEAK: Final = 0.025  # of the readout's amplitude: 1 / 1600 of its photons
TONES_MAX: Final = 8  # in an arm: each has two of the kernel's sixteen sequencers, to play and to capture
ADVICE: Final = f"Check qubits.{{name}}.readout: frequency_hz (right to {OFFSETS_HZ[-1] / 1e6:g} MHz?), amplitude, the line and its source"
KAPPAS: Final = tau * np.array([0.5e6, 1e6, 2e6, 4e6, 8e6])  # to start from, 1/s


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Move tones together through `OFFSETS_HZ`, up to `TONES_MAX` at once."""
    names, points, found = list(qubits), dict[str, Points](), Findings()
    for k in range(0, len(names), TONES_MAX):
        group = {name: qubits[name] for name in names[k : k + TONES_MAX]}
        text = PROGRAM + "".join(TONE.format(name=name, k=place, weak=WEAK) for place, name in enumerate(group))
        points |= bench.repeated(
            text,
            group,
            SHOTS,
            {"offset_hz": OFFSETS_HZ},
            enough=lambda one: bool(np.median(magnitude(one).sigma) < NOISE_MAX),
            most=ARMS_MAX,
        )
    for name, qubit in qubits.items():
        hz, seen = qubit.readout_hz + OFFSETS_HZ, magnitude(points[name])
        at = np.stack([hz, np.full(len(hz), bench.lab.qubits[name].readout.duration_ns * 1e-9)])
        of = Scan(name, "resonator spectroscopy", ADVICE.format(name=name))
        found[name] = one = judged(of, seen, Drawn("tone (GHz)", hz / 1e9, "mean iq"), partial(analyse, of, at, seen))
        if (resonator := one.numbers.get("resonator_hz")) is not None:
            found[name] = one._replace(changes=tone_changes(bench.lab, name, qubit, round(resonator.value, -3)))
    return found


def analyse(of: Scan, points: Array, seen: Signal) -> Result:
    """Return resonance and linewidth; points [2, points]: frequency of the tone, its length."""
    require_change(of, seen)
    tries = [scan(partial(_column, points, kappa), *seen, points[0]) for kappa in KAPPAS]
    starts = [(linear[0], at, kappa) for (at, linear), kappa in zip(tries, KAPPAS.tolist(), strict=True)]
    start = min(starts, key=lambda one: float(np.sum(((seen.values - rung(np.array(one), points)) / seen.sigma) ** 2)))
    fit = require_fit(of, rung, points, seen, start)
    middle, kappa = fit.estimated(1), times(fit.estimated(2), 1.0 / tau)
    require_inside(of, middle, points[0], 0.0)
    text = f"resonance {middle.value / 1e9:.6f} +- {middle.stderr / 1e9:.6f} GHz"
    text += f", kappa / 2 pi {kappa.value / 1e6:.2f} +- {kappa.stderr / 1e6:.2f} MHz"
    return Result(text, {"resonator_hz": middle, "kappa_hz": kappa}, rung(fit.values, points))


def _column(points: Array, kappa: float, at: float) -> Array:
    return rung(np.array([1.0, at, kappa]), points)[:, None]
