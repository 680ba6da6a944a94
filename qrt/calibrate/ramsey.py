"""Ramsey: the qubit's frequency, with its sign, and T2.

The frame precesses with the drive; the qubit is ahead by D = f_qubit - f_frame. After sx, a delay t, rz(-q) and sx the population of level
1 is 1/2 [1 + e^(-t/T2) cos(2 pi D t - q)]. Two quadratures, q = 0 and pi/2, tell the sign of D; their opposites, pi and 3 pi/2, fix the
middle, so that phase and contrast of every delay are known by themselves: without them a slow fringe and an offset look alike.

`coarse` looks at short delays. With equal steps of 80 ns alone, frequencies that are 12.5 MHz apart would look the same; one delay of
about 10 ns tells them apart, up to half a turn of it, +-48 MHz. `find` looks at delays up to T1, and finds the frequency to some 100 Hz.
"""

from __future__ import annotations

from functools import partial
from math import pi, tau
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench, delays_to, seconds
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, inverse, precessing, ramsey, scan
from qrt.calibrate.sequences import DELAY_GRID_NS, Qubits, short_delay_ticks, whole_ticks
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit, require_near
from qrt.types import Estimated

PROGRAM: Final = """OPENQASM 3.0; include "stdgates.inc";
input angle phi; input duration t; qubit[QUBITS] q; bit[QUBITS] c;
sx q; delay[t] q; rz(-phi) q; sx q; barrier q; c = measure q;
"""
QUADRATURES: Final = (0.0, pi / 2.0, pi, 1.5 * pi)
COARSE_DELAYS, COARSE_SHOTS, DELAYS, SHOTS = 10, 250, 14, 400


def coarse(bench: Bench, qubits: Qubits) -> Findings:
    """Find the frequency to about 10 kHz."""
    even = {whole_ticks(bench.lab, DELAY_GRID_NS) * k for k in range(COARSE_DELAYS)}
    delays = seconds(bench.lab, sorted(even | {short_delay_ticks(bench.lab)}))
    return _fringes(bench, qubits, delays, COARSE_SHOTS, "Ramsey")


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Find the frequency to some 100 Hz, and T2."""
    delays = delays_to(bench.lab, max(q.t1_s.value for q in qubits.values()), DELAYS)
    return _fringes(bench, qubits, delays, SHOTS, "fine Ramsey")


def _fringes(bench: Bench, qubits: Qubits, delays: Array, shots: int, what: str) -> Findings:
    found: Findings = {}
    points = np.stack([np.tile(delays, len(QUADRATURES)), np.repeat(QUADRATURES, len(delays))])
    for name, seen in each(bench.scan(PROGRAM, qubits, shots, {"phi": QUADRATURES, "t": delays})):
        hz = qubits[name].frequency_hz.value
        of = Scan(
            name,
            what,
            f"Its frequency must lie within +-{0.48e-6 / delays[1]:.3g} MHz of {hz / 1e9:.6f} GHz, and T2 must be longer than "
            f"{delays[-1] / (COARSE_DELAYS - 1) * 1e9:.0f} ns",
        )
        drawn = Drawn("delay (us)", points[0] * 1e6, by=points[1])
        found[name] = judged(of, seen, drawn, partial(analyse, of, points, seen, hz))
    return found


def analyse(of: Scan, points: Array, seen: Signal, frame_hz: float) -> Result:
    """Return the frequency, and T2 where the scan is long enough to show it; points [2, points]: delays, quadratures."""
    require_change(of, seen)
    step_s, longest_s = points[0][1], float(points[0].max())  # the first step is the shortest
    grid = np.linspace(-0.48, 0.48, 1 + 2 * round(8 * longest_s / step_s)) / step_s
    detuning, linear = scan(partial(precessing, points), seen.values, seen.sigma, grid)
    contrast, phase = np.hypot(linear[1], linear[2]), np.arctan2(-linear[2], linear[1])
    start = (linear[0], contrast, 0.5 / longest_s, tau * detuning or 0.1 / longest_s, phase)
    fit = require_fit(of, ramsey, points, seen, start)
    rate, omega = fit.estimated(2), fit.estimated(3)
    hz = Estimated(frame_hz + omega.value / tau, omega.stderr / tau)
    require_near(of, hz.value, frame_hz)
    numbers, text = {"frequency_hz": hz}, f"{hz.value / 1e9:.7f} GHz +- {hz.stderr:.0f} Hz"
    if rate.value > 3.0 * rate.stderr:
        numbers["t2_s"] = t2 = inverse(rate)
        text += f", T2 {t2.value * 1e6:.1f} +- {t2.stderr * 1e6:.1f} us"
    return Result(text, numbers, ramsey(fit.values, points), numbers)
