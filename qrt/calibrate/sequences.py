"""What a calibration starts from, and the grids of its times.

`nominal` is the state that a calibration starts from, a `QubitCalibration` whose numbers are the lab file's or the gate set's, with
boxcar weights. Each step replaces what it found. Durations of a calibration are static: there are no branches in its programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, gcd
from typing import Any, Final

import msgspec
import numpy as np

from qrt.pulses import GateSet
from qrt.readout.discriminate import boxcar_weights
from qrt.types import Capture, Estimated, Lab, Pulses, QubitCalibration

Qubits = Mapping[str, QubitCalibration]

PERIOD_T1: Final = 6.0  # a shot's end to the next one's start: e^-6 = 2.5e-3 of a level 1 is left
PERIOD_GRID_NS: Final = 1000.0
DELAY_GRID_NS: Final = 80.0  # delays are whole multiples, so that they suit every port's granularity that divides it
SHORT_DELAY_NS: Final = 10.0  # at least
PS_PER_NS: Final = 1000
_NOTHING: Final = Estimated(0.0, 0.0)


def nominal(lab: Lab) -> dict[str, QubitCalibration]:
    """Return what is known of the lab's qubits before anything was measured."""
    gates = GateSet(lab)
    return {
        name: boxcar(
            lab,
            name,
            QubitCalibration(
                frequency_hz=Estimated(qubit.frequency_hz, 0.0),
                sx_amplitude=Estimated(gates.sx_amplitude(name), 0.0),
                x_error=_NOTHING,
                readout_hz=qubit.readout.frequency_hz,
                readout_amplitude=qubit.readout.amplitude,
                weights=np.zeros((2, gates.readout_samples(name)), np.int16),
                threshold=0,
                assignment=np.eye(2),
                assignment_stderr=np.zeros((2, 2)),
                preparation_stderr=np.zeros((2, 2)),
                reference_count=0,
                t1_s=Estimated(qubit.t1_ns * 1e-9, 0.0),
                t2_s=_NOTHING,
            ),
        )
        for name, qubit in lab.qubits.items()
    }


def replaced(found: QubitCalibration, **changes: object) -> QubitCalibration:
    """Return the same with some fields replaced."""
    return msgspec.structs.replace(found, **changes)


def sample_s(lab: Lab) -> float:
    """Return the sample period."""
    return lab.timing.tick_ps * lab.timing.sample_ticks * 1e-12


def whole_ticks(lab: Lab, duration_ns: float) -> int:
    """Return a duration in ticks, rounded up."""
    return ceil(Fraction(repr(duration_ns)) * PS_PER_NS / lab.timing.tick_ps)


def short_delay_ticks(lab: Lab) -> int:
    """Return the shortest delay from `SHORT_DELAY_NS` on that suits the port, whatever its granularity.

    The lab's own durations are whole multiples of the granularity, so each multiple of their common divisor is one, too.
    """
    own_ns = [ns for q in lab.qubits.values() for ns in (q.pulse_ns, q.readout.duration_ns, q.readout.depletion_ns)]
    common = gcd(*(whole_ticks(lab, ns) for ns in own_ns))
    return ceil(Fraction(whole_ticks(lab, SHORT_DELAY_NS), common)) * common


def tone_hz(lab: Lab, name: str, found: QubitCalibration) -> float:
    """Return the intermediate frequency of a qubit's readout tone."""
    return found.readout_hz - lab.lines[lab.qubits[name].readout_line].source_hz


def boxcar(lab: Lab, name: str, found: QubitCalibration) -> QubitCalibration:
    """Return the same with boxcar weights at the readout tone."""
    weights = boxcar_weights(tone_hz(lab, name, found), sample_s(lab), found.weights.shape[1])
    return msgspec.structs.replace(found, weights=weights, threshold=0)


def tone_changes(lab: Lab, name: str, found: QubitCalibration, tone_hz: float) -> dict[str, Any]:
    """Return what a new tone changes: boxcar weights belong to it, no threshold is known, and reference shots count no more."""
    changed = boxcar(lab, name, replaced(found, readout_hz=tone_hz))
    return {"readout_hz": tone_hz, "weights": changed.weights, "threshold": changed.threshold, "reference_count": 0}


def capture_index(pulses: Pulses, register: str, k: int) -> int:
    """Return the index in a shot row of the capture that a bit of the program comes from: sequencers in order, in each its captures."""
    bit = pulses.bits.index(f"{register}[{k}]")
    captures = [op.bit for ops in pulses.blocks.values() for op in ops if isinstance(op, Capture)]
    return captures.index(bit)
