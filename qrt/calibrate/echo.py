"""Echo: the coherence time that is left when what changes slowly is turned back, by an x in the middle of the delay.

sx, t/2, x, t/2, rz(-q), sx: the signal is c +- b e^(-t/T2), + with q = 0, - with q = pi, which fixes the middle. On the twin, whose noise
is white, it is the T2 of a Ramsey scan; a lab with slow noise shows more here. A gate of tens of ns sees this one.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench, delays_to
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, echo, inverse
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit
from qrt.errors import CalibrationError

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
input angle phi;
input duration half;
qubit[QUBITS] q;
bit[QUBITS] c;
sx q;
delay[half] q;
x q;
delay[half] q;
rz(-phi) q;
sx q;
barrier q;
c = measure q;
"""
DELAYS: Final = 14
SHOTS: Final = 600


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Scan delays up to twice T1."""
    halves, found = delays_to(bench.lab, max(q.t1_s.value for q in qubits.values()), DELAYS), {}
    points = np.stack([np.tile(2.0 * halves, 2), np.repeat([1.0, -1.0], DELAYS)])
    for name, seen in each(bench.scan(PROGRAM, qubits, SHOTS, {"phi": (0.0, pi), "half": halves})):
        of = Scan(name, "echo", "Check x, by calibrating rabi and train; T2 may be shorter than the steps of the scan")
        drawn = Drawn("delay (us)", points[0] * 1e6, by=points[1])
        found[name] = judged(of, seen, drawn, partial(analyse, of, points, seen))
    return found


def analyse(of: Scan, points: Array, seen: Signal) -> Result:
    """Return the echo's T2; points [2, points]: delays, signs."""
    require_change(of, seen)
    contrast = (seen.values[0] - seen.values[len(seen.values) // 2]) / 2.0
    fit = require_fit(of, echo, points, seen, (float(np.mean(seen.values)), contrast or 0.5, 1.0 / points[0].max()))
    rate = fit.estimated(2)
    if rate.value < 3.0 * rate.stderr:
        raise CalibrationError(
            f"{of.name}: {of.what}: the rate is {rate.value:.3g} +- {rate.stderr:.2g} per s: no decay over {points[0].max() * 1e6:.3g} us. "
            f"qubits.{of.name}.t1_ns sets how long is looked"
        )
    t2 = inverse(rate)
    return Result(
        f"T2 echo {t2.value * 1e6:.1f} +- {t2.stderr * 1e6:.1f} us", {"t2_echo_s": t2}, echo(fit.values, points)
    )
