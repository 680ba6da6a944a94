"""Qubit spectroscopy: where a qubit answers, from a soft pulse whose frequency goes through MHz around the one that is known.

`PULSES` small turns in a row make a pulse of T = PULSES pulse_ns, as narrow as 1 / T: in the mean it turns by pi if the amplitude of sx is
as nominal, by something else if not. Far from its edges a train of smooth pulses is a square one: the level is c + b W^2 / (W^2 + D^2)
sin^2(T sqrt(W^2 + D^2) / 2). It is symmetric around the qubit, whatever W. The frame of the gates is what is swept, as wide off as Ramsey
would fail: from here on the frequency is right to some 10 kHz.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, driven, scan
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, each, require_change, require_fit, require_inside

PULSES: Final = 16
PROGRAM: Final = f"""OPENQASM 3.0;
defcalgrammar "openpulse";
include "stdgates.inc";
input float offset_hz;
qubit[QUBITS] q;
bit[QUBITS] c;
cal {{{{ {{moved}} }}}}
{f"rx(pi/{PULSES}) q;" * PULSES}
barrier q;
c = measure q;
"""
OFFSETS_HZ: Final = np.linspace(-12e6, 12e6, 49)
SHOTS: Final = 1000
STRENGTHS: Final = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0, 4.0])  # turns of the whole pulse, over pi


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Move the drive of all qubits together through `OFFSETS_HZ`."""
    moved = " ".join(f"frame {name}_drive; shift_frequency({name}_drive, offset_hz);" for name in qubits)
    found: Findings = {}
    for name, seen in each(bench.scan(PROGRAM.format(moved=moved), qubits, SHOTS, {"offset_hz": OFFSETS_HZ})):
        hz, line = qubits[name].frequency_hz.value + OFFSETS_HZ, bench.lab.qubits[name].drive_line
        length_s = PULSES * bench.lab.qubits[name].pulse_ns * 1e-9
        of = Scan(
            name,
            "qubit spectroscopy",
            f"Check qubits.{name}.frequency_hz (right to {(OFFSETS_HZ[-1] - 1.0 / length_s) / 1e6:.1f} MHz?), the drive line {line!r} "
            "and the readout tone",
        )
        found[name] = judged(of, seen, Drawn("drive (GHz)", hz / 1e9), partial(analyse, of, hz, seen, length_s))
    return found


def analyse(of: Scan, hz: Array, seen: Signal, length_s: float) -> Result:
    """Return the frequency; hz: of the drive, length_s: of the pulse. How strong it is, W, is found on a grid: f0 hardly depends on it."""
    require_change(of, seen)
    tries = []
    for omega in (pi / length_s * STRENGTHS).tolist():
        points = np.stack([hz, np.full(len(hz), length_s), np.full(len(hz), omega)])
        columns = partial(_columns, points)
        at, linear = scan(columns, *seen, np.linspace(hz[0], hz[-1], 2 * len(hz) - 1))
        rest = (seen.values - columns(at) @ linear) / seen.sigma
        tries.append((float(rest @ rest), omega, (linear[0], linear[1], at), points))
    _, _, start, points = min(tries, key=lambda one: one[0])
    fit = require_fit(of, driven, points, seen, start)
    middle = fit.estimated(2)
    require_inside(of, middle, hz, 1.0 / length_s)
    text = f"{middle.value / 1e9:.6f} +- {middle.stderr / 1e9:.6f} GHz"
    return Result(text, {"frequency_hz": middle}, driven(fit.values, points), {"frequency_hz": middle})


def _columns(points: Array, at: float) -> Array:
    """Return the columns 1, response of a qubit at `at`."""
    return np.stack([np.ones_like(points[0]), driven(np.array([0.0, 1.0, at]), points)], axis=1)
