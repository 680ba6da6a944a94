"""T1: x, then delays up to four times the expected T1. The signal is c + b e^(-t/T1)."""

from __future__ import annotations

from functools import partial
from typing import Final

from qrt.calibrate.bench import Bench, delays_to
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, decay, inverse
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit
from qrt.errors import CalibrationError

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
input duration t;
qubit[QUBITS] q;
bit[QUBITS] c;
x q;
delay[t] q;
barrier q;
c = measure q;
"""
DELAYS: Final = 14
SHOTS: Final = 800
SOON: Final = 3.0  # lives in the first delay: what is left then, 5 %, does not say how many


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Scan delays up to four times the longest T1 that is expected."""
    delays, found = delays_to(bench.lab, 4.0 * max(q.t1_s.value for q in qubits.values()), DELAYS), {}
    for name, seen in each(bench.scan(PROGRAM, qubits, SHOTS, {"t": delays})):
        expected_s = qubits[name].t1_s.value
        of = Scan(name, "relaxation", f"qubits.{name}.t1_ns is {expected_s * 1e9:g}; it must be right to a factor of 4")
        drawn = Drawn("delay (us)", delays * 1e6)
        found[name] = judged(of, seen, drawn, partial(analyse, of, delays, seen, expected_s))
    return found


def analyse(of: Scan, delays: Array, seen: Signal, expected_s: float) -> Result:
    """Return T1."""
    require_change(of, seen)
    fit = require_fit(of, decay, delays, seen, (seen.values[-1], seen.values[0] - seen.values[-1], 1.0 / expected_s))
    rate = fit.estimated(2)
    if rate.value * delays[1] > SOON:
        raise CalibrationError(
            f"{of.name}: {of.what}: level 1 is gone by the first delay, {delays[1] * 1e6:.3g} us: T1 is below "
            f"{delays[1] / SOON * 1e6:.2g} us. {of.advice}"
        )
    if rate.value < 3.0 * rate.stderr or not expected_s / 4.0 < 1.0 / rate.value < expected_s * 4.0:
        raise CalibrationError(
            f"{of.name}: {of.what}: the rate is {rate.value:.3g} +- {rate.stderr:.2g} per s, allowed is {0.25 / expected_s:.3g} to "
            f"{4.0 / expected_s:.3g}. {of.advice}"
        )
    t1 = inverse(rate)
    text = f"T1 {t1.value * 1e6:.1f} +- {t1.stderr * 1e6:.1f} us"
    return Result(text, {"t1_s": t1}, decay(fit.values, delays), {"t1_s": t1})
