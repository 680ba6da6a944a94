"""Weights: integration weights matched to what a level changes in the captures, blind to the neighbours' tones, and the threshold.

From raw captures behind heralds (`references`): the mean capture of level 1 minus that of level 0 is the best linear filter for white
noise. Where tones share a feedline, each is also played alone, so that the others' weights can be made blind to it.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench, program_for
from qrt.calibrate.feedline import sharing
from qrt.calibrate.finding import Findings, Result, ruled
from qrt.calibrate.fit import Array
from qrt.calibrate.heralds import KEPT_MIN, SATURATED_MAX, Kept, clouds, kept_of, require_kept, require_own
from qrt.calibrate.references import prepared, raw_from
from qrt.calibrate.sequences import Qubits, sample_s, tone_hz
from qrt.calibrate.signals import Scan
from qrt.readout.discriminate import fit_threshold, matched_weights
from qrt.types import Estimated

ALONE: Final = "OPENQASM 3.0; qubit[QUBITS] q; bit[QUBITS] c = measure q;"
SHOTS: Final = 2500  # per preparation
ALONE_SHOTS: Final = 600


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Find weights and threshold of all qubits."""
    kept = {name: kept_of(seen) for name, seen in prepared(bench, qubits, SHOTS, raw=True).items()}
    alone = {name: _alone(bench, qubits, name) for name in qubits if len(sharing(bench.lab, name, qubits)) > 1}
    levels = {name: one.difference() for name, one in kept.items() if one.least >= KEPT_MIN}
    hz = {name: tone_hz(bench.lab, name, qubit) for name, qubit in qubits.items()}
    found: Findings = {}
    for name in qubits:
        others = [other for other in sharing(bench.lab, name, qubits) if other != name]
        traces = [one[other] for other in others for one in (alone, levels) if other in one]
        tones = (hz[name], sample_s(bench.lab), [hz[other] for other in others], traces)
        of = Scan(name, "weights", f"Raise qubits.{name}.readout: amplitude or duration_ns")
        boxed, middle = kept[name].along, round(sum(float(values.mean()) for values in kept[name].along) / 2.0)
        shown = clouds(f"{name}: readouts with boxcar weights", boxed, middle)
        one = ruled(of, shown, partial(analyse, of, kept[name], tones))
        if not one.problem:
            values = kept[name].demodulated(one.changes["weights"])
            shown = clouds(f"{name}: readouts along I", values, one.changes["threshold"])
            one = one._replace(pictures=(*one.pictures, shown))
        found[name] = one
    return found


def analyse(of: Scan, kept: Kept, tones: tuple[float, float, list[float], list[Array]]) -> Result:
    """Return weights and threshold, and how well they tell apart what they are made from; tones: as `matched_weights` takes them."""
    require_own(of, kept)
    require_kept(of, kept.least)
    weights = matched_weights(kept.difference(), *tones)
    without, with_x = kept.demodulated(weights)
    threshold = fit_threshold(without, with_x)
    shares = np.array([threshold.error0, threshold.error1])
    spread = np.sqrt(shares * (1.0 - shares) / [len(without), len(with_x)])
    fidelity = Estimated(1.0 - float(shares.mean()), float(np.hypot(*spread)) / 2.0)
    text = f"weights from {len(without) + len(with_x)} captures, which they tell apart with a fidelity of {fidelity.value:.4f}"
    text += f" +- {fidelity.stderr:.4f}"
    if kept.saturated > SATURATED_MAX:
        text += f"; {kept.saturated:.1%} of the samples are at an end of the ADC's range: raise digitizer.range_v"
    changes = {"weights": weights, "threshold": threshold.value, "reference_count": 0}
    return Result(text, {"fidelity": fidelity}, np.zeros(0), changes)


def _alone(bench: Bench, qubits: Qubits, name: str) -> Array:
    """Return the mean capture of a qubit's tone alone. [samples]"""
    pulses = bench.pulses(program_for(ALONE, 1), {name: qubits[name]}, {}, None)
    return np.asarray(bench.measure(raw_from(pulses, 0), ALONE_SHOTS).raw[0].mean(axis=0, dtype=np.float64))
