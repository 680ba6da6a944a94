"""Randomised benchmarking: the error of a gate, from random Cliffords and the one that undoes them all.

A Bloch vector comes back p^m as long after m Cliffords, whatever preparation and readout do. Every sequence is played from level 0 and
from level 1: in the difference there is no offset, nor what relaxation adds on the way, which would differ from sequence to sequence by
more than the shots do. A Clifford errs by r = (1 - p) / 2 (Magesan, Gambetta, Emerson, Phys. Rev. Lett. 106, 180504, 2011). Turns about Z
take no time and have no error, and a Clifford has one sx on average: m counts those that a sequence has, so that r is the error of sx.

What relaxation alone costs a gate of duration t: the map diag(e^(-t/T2), e^(-t/T2), e^(-t/T1)) of the Bloch vector has the average
fidelity 1/2 + its trace / 6 (Nielsen, Phys. Lett. A 303, 249, 2002), so the limit is 1/2 - e^(-t/T1) / 6 - e^(-t/T2) / 3, about t / 6 T1 +
t / 3 T2. It holds while a pulse turns as well, to first order in t: the trace of a rate is the same in every frame.
"""

from __future__ import annotations

from functools import partial
from math import exp, pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.cliffords import CLIFFORDS, DEFINITIONS, gates, inverse_of
from qrt.calibrate.finding import Drawn, Findings, Result, judged
from qrt.calibrate.fit import Array, power, times
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, require_change, require_fit, stacked, toward
from qrt.errors import CalibrationError
from qrt.types import Estimated

PROGRAM: Final = f"""OPENQASM 3.0; include "stdgates.inc"; input angle flip; qubit[QUBITS] q; bit[QUBITS] c;
{DEFINITIONS}
rx(flip) q; GATES
barrier q; c = measure q;
"""
PARTS: Final = (0.002, 0.1, 0.3, 0.6, 1.0)  # of the longest sequence, in which p^m has come down to 1 / e
LENGTH_MAX: Final = 1200
SEQUENCES: Final = 6  # of each length
SHOTS: Final = 2000
SEED: Final = 24  # the sequences are the same in every calibration: what differs is the lab


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Play random sequences, all qubits the same ones."""
    if unknown := [name for name, q in qubits.items() if not (q.t1_s.value and q.t2_s.value)]:
        raise CalibrationError(f"{', '.join(unknown)}: T1 or T2 is not known: calibrate t1, ramsey before")
    limits = {name: limit(bench.lab.qubits[name].pulse_ns * 1e-9, q.t1_s, q.t2_s) for name, q in qubits.items()}
    longest = min(LENGTH_MAX, *(round(0.5 / max(one.value, 1e-6)) for one in limits.values()))
    lengths = np.repeat([max(1, round(part * longest)) for part in PARTS], SEQUENCES)
    rng, scans, counts = np.random.default_rng(SEED), [], np.zeros(len(lengths))
    for k, length in enumerate(lengths.tolist()):
        sequence = [CLIFFORDS[k] for k in rng.integers(len(CLIFFORDS), size=length)]
        sequence += [inverse_of(sequence)]
        counts[k] = sum(one.sx for one in sequence)
        scans.append(bench.scan(PROGRAM.replace("GATES", gates(sequence)), qubits, SHOTS, {"flip": (0.0, pi)}))
    found: Findings = {}
    for name, points in stacked(scans).items():
        seen = toward(points, points.mean[1] - points.mean[0])
        both = Signal(seen.values[1::2] - seen.values[::2], np.hypot(seen.sigma[1::2], seen.sigma[::2]))
        of = Scan(name, "randomised benchmarking", "Calibrate train, ramsey and drag before, and look at allxy")
        found[name] = judged(
            of, both, Drawn("sx in the sequence", counts), partial(analyse, of, counts, both, limits[name])
        )
    return found


def limit(seconds: float, t1: Estimated, t2: Estimated) -> Estimated:
    """Return the error that relaxation alone gives a gate of this duration."""
    value = 0.5 - exp(-seconds / t1.value) / 6.0 - exp(-seconds / t2.value) / 3.0
    parts = seconds / 6.0 * t1.stderr / t1.value**2, seconds / 3.0 * t2.stderr / t2.value**2
    return Estimated(value, float(np.hypot(*parts)))


def analyse(of: Scan, counts: Array, seen: Signal, least: Estimated) -> Result:
    """Return the error of a gate."""
    require_change(of, seen)
    fit = require_fit(of, power, counts, seen, (float(seen.values[0]), 1.0 - 2.0 * least.value))
    keep = fit.estimated(1)
    error = times(Estimated(1.0 - keep.value, keep.stderr), 0.5)
    text = f"error of a gate {error.value:.2e} +- {error.stderr:.0e}, T1 and T2 alone make {least.value:.2e} +- {least.stderr:.0e}"
    return Result(text, {"gate_error": error, "coherence_limit": least}, power(fit.values, counts))
