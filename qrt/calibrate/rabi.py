"""Rabi: the amplitude of sx to about a percent, from one pulse whose amplitude goes from 0 to full scale.

A resonant pulse of amplitude a turns by k a, so the signal is c - b cos(k a), and sx has the amplitude pi / (2 k).
"""

from __future__ import annotations

from functools import partial
from math import pi, tau
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, rabi, scan, turning_by
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import DETUNING_HZ_MAX, Scan, Signal, each, require_change, require_fit
from qrt.errors import CalibrationError
from qrt.types import Estimated

PROGRAM: Final = """OPENQASM 3.0;
include "stdgates.inc";
input angle theta;
qubit[QUBITS] q;
bit[QUBITS] c;
rx(theta) q;
barrier q;
c = measure q;
"""
POINTS: Final = 41
SHOTS: Final = 200
SX_AMPLITUDE_MAX: Final = 0.5  # of full scale: the scan must see half a turn, or angle and contrast look alike
FULL: Final = 1.0 - 1e-6  # so that no rounding goes beyond full scale


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Scan the pulse's angle, by what is known, up to full scale of the qubit that needs most."""
    angles = np.linspace(0.0, FULL * tau / (4.0 * max(q.sx_amplitude.value for q in qubits.values())), POINTS)
    found: Findings = {}
    for name, seen in each(bench.scan(PROGRAM, qubits, SHOTS, {"theta": angles})):
        amplitudes, line = angles / tau * 4.0 * qubits[name].sx_amplitude.value, bench.lab.qubits[name].drive_line
        of = Scan(
            name,
            "Rabi scan of the drive amplitude",
            f"Check the drive line {line!r}, its source, qubits.{name}.frequency_hz (right to {DETUNING_HZ_MAX / 1e6:g} MHz?) and the "
            "readout tone",
        )
        drawn = Drawn("amplitude of the pulse, of full scale", amplitudes)
        found[name] = judged(of, seen, drawn, partial(analyse, of, amplitudes, seen, line))
    return found


def analyse(of: Scan, amplitudes: Array, seen: Signal, line: str) -> Result:
    """Return the amplitude of sx."""
    require_change(of, seen)
    start, _ = scan(partial(turning_by, amplitudes), seen.values, seen.sigma, np.linspace(1.0, 61.0, 601))
    offset, contrast = np.linalg.lstsq(turning_by(amplitudes, start), seen.values, rcond=None)[0]
    fit = require_fit(of, rabi, amplitudes, seen, (offset, -contrast or 0.5, start))
    turn = fit.estimated(2)
    amplitude, least = pi / 2.0 / turn.value, float(amplitudes[1])
    if not least < amplitude < SX_AMPLITUDE_MAX:
        raise CalibrationError(
            f"{of.name}: {of.what}: sx needs amplitude {amplitude:.3g} of full scale; from {least:.3g} to {SX_AMPLITUDE_MAX:g} can be "
            f"used. {'Lower' if amplitude < least else 'Raise'} lines.{line}.amplitude_v or qubits.{of.name}.pulse_ns"
        )
    sx = Estimated(amplitude, amplitude * turn.stderr / turn.value)
    text = f"sx at {sx.value:.4f} +- {sx.stderr:.4f} of full scale"
    return Result(text, {"sx_amplitude": sx}, rabi(fit.values, amplitudes), {"sx_amplitude": sx})
