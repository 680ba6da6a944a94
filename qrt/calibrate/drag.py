"""DRAG: how much of its envelope's slope sx needs in quadrature, so that no phase is left behind.

x and then x backwards is nothing, unless x turns about an axis that a phase error z per x has tilted: then a pair turns by 2 z about Y,
and N pairs by 2 N z. A last quarter turn about Y, one way and the other, shows that with its sign: the difference is b sin(k (d - d0))
along the coefficient d. A third level, a filter on the line or a frame that is off shift d0. The twin's qubits have two levels, so it
shows no leakage. What it shows is the DAC: samples that are held for T have sinc(f T) of their amplitude at f, whose slope is felt as a
DRAG coefficient of (T / 2) (cot(pi f T) - 1 / (pi f T)), -53 ps at 1 GS/s and 100 MHz above the source: that is what this scan must find
there.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, scan, sine, times
from qrt.calibrate.sequences import Qubits, replaced
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit
from qrt.types import Estimated

PAIRS: Final = 6
PROGRAM: Final = f"""OPENQASM 3.0;
include "stdgates.inc";
qubit[QUBITS] q;
bit[QUBITS] c;
{"x q; rz(pi) q; x q; rz(-pi) q;" * PAIRS}
rz({{phi}}) q; sx q; rz(-{{phi}}) q;
barrier q;
c = measure q;
"""
PARTS: Final = np.linspace(-0.2, 0.2, 17)  # of the pulse's length over 2 pi
SHOTS: Final = 800


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Scan the coefficient of all qubits, each in parts of its own pulse's length."""
    tried = {n: PARTS * bench.lab.qubits[n].pulse_ns * 1e-9 / (2.0 * pi) for n in qubits}
    shots = [
        (
            PROGRAM.format(phi=phi),
            {n: replaced(q, drag_s=Estimated(float(tried[n][k]), 0.0)) for n, q in qubits.items()},
        )
        for phi in ("pi/2", "-pi/2")
        for k in range(len(PARTS))
    ]
    found: Findings = {}
    for name, both in each(bench.each(shots, SHOTS)):
        of = Scan(name, "DRAG", "Calibrate rabi, train and ramsey before; the pulse may be too short for its qubit")
        plus, minus = np.split(both.values, 2)
        seen = Signal(plus - minus, np.hypot(*np.split(both.sigma, 2)))
        found[name] = judged(
            of, seen, Drawn("coefficient (ns)", tried[name] * 1e9), partial(analyse, of, tried[name] * 1e9, seen)
        )
    return found


def analyse(of: Scan, tried: Array, seen: Signal) -> Result:
    """Return the coefficient of no phase error; tried: in ns."""
    require_change(of, seen)
    span = float(np.ptp(tried))

    def columns(k: float) -> Array:
        return np.stack([np.sin(k * tried), np.cos(k * tried)], axis=1)

    k, linear = scan(columns, *seen, pi / span * np.linspace(0.1, 4.0, 79))
    amplitude, phase = float(np.hypot(*linear)), float(np.arctan2(linear[1], linear[0]))
    phase, amplitude = (phase, amplitude) if abs(phase) <= pi / 2.0 else (phase - np.copysign(pi, phase), -amplitude)
    fit = require_fit(of, sine, tried, seen, (amplitude, k, -phase / k))
    drag = times(fit.estimated(2), 1e-9)
    text = f"DRAG coefficient {drag.value * 1e12:+.1f} +- {drag.stderr * 1e12:.1f} ps"
    return Result(text, {"drag_s": drag}, sine(fit.values, tried), {"drag_s": drag})
