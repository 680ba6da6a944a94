"""The steps of a calibration that find a readout: weights and threshold from raw captures, the assignment matrix from reference shots.

Both prepare by heralding: a first readout, kept afterwards where it lies far on the side of level 0; a wait for the photons to leave;
x or as long a wait; the second readout, with the tones of all qubits on. Which qubits get an x follows a balanced design, so that
every qubit meets all levels of its neighbours equally often: what a neighbour does is noise, not bias. Weights and threshold
come from shots of their own, since a threshold looks better on the shots that it was chosen for than on fresh ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Finding, Findings, Picture
from qrt.calibrate.fit import Array
from qrt.calibrate.sequences import (
    Qubits,
    capture_index,
    duration_ticks,
    ending_together,
    gate_set,
    readouts,
    sample_s,
    shot,
    tone_hz,
)
from qrt.calibrate.signals import iq_of
from qrt.errors import CalibrationError
from qrt.pulses import GateSet
from qrt.readout.assignment import Herald, Reference, fit_herald, reference_assignment
from qrt.readout.discriminate import fit_threshold, matched_weights
from qrt.types import Estimated, Measured, Pulses

RAW_SHOTS: Final = 2500  # per preparation
SOLO_SHOTS: Final = 600
REFERENCE_SHOTS: Final = 16_000  # per preparation; with two qubits each level of each is prepared in half of four
SEPARATION_MIN: Final = 2.0  # sigma between the clouds: below, a herald says next to nothing
KEPT_MIN: Final = 100  # heralded shots per level
ETA_MIN: Final = 0.2  # A[1, 1] - A[1, 0]: below, mitigation widens every error bar more than five times
BINS: Final = 60  # of a picture
DEPLETIONS: Final = 2  # waits of depletion_ns between herald and x


class Prepared(NamedTuple):
    """Measured shots of one preparation."""

    flips: frozenset[str]  # qubits with an x
    pulses: Pulses
    measured: Measured


def design(names: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """Return the sets of qubits that get an x: each qubit in half of them, each two in all four ways equally often.

    Columns of a Hadamard matrix: qubit k has an x in set r where popcount(r & (k + 1)) is odd.
    """
    count = 1 << len(names).bit_length()
    return tuple(
        frozenset(name for k, name in enumerate(names) if (row & (k + 1)).bit_count() % 2) for row in range(count)
    )


def heralded(bench: Bench, qubits: Qubits, gates: GateSet, flips: frozenset[str], *, raw: bool) -> Pulses:
    """Return the shot: herald, wait, x or nothing, readout."""
    names, lab = tuple(qubits), bench.lab
    waits = {
        n: gates.delay(n, (DEPLETIONS - 1) * gates.ticks(lab.qubits[n].readout.depletion_ns)) if DEPLETIONS > 1 else ()
        for n in names
    }
    prepare = {n: (*waits[n], *(gates.x(n) if n in flips else gates.id(n))) for n in names}
    stages = (readouts(names, gates, lab), ending_together(prepare, gates, lab), readouts(names, gates, lab, raw=raw))
    return shot(stages, gates, lab, qubits)


def prepared(bench: Bench, qubits: Qubits, shot_count: int, *, raw: bool) -> tuple[Prepared, ...]:
    """Measure every preparation of the design."""
    gates = gate_set(bench.lab, qubits)
    result = []
    for flips in design(tuple(qubits)):
        pulses = heralded(bench, qubits, gates, flips, raw=raw)
        result.append(Prepared(flips, pulses, bench.measure(pulses, shot_count)))
    return tuple(result)


def weights_and_threshold(bench: Bench, qubits: Qubits) -> Findings:
    """Find integration weights and threshold of every qubit, from raw captures behind heralds that boxcar weights demodulate."""
    measured = prepared(bench, qubits, RAW_SHOTS, raw=True)
    kept = {name: _kept_captures(name, measured) for name in qubits}
    differences = {name: _mean_difference(name, kept[name], measured) for name in qubits}
    solos = _solo_captures(bench, qubits)
    found: Findings = {}
    for name, qubit in qubits.items():
        neighbours = [other for other in solos if other != name and _share_feedline(bench, name, other)]
        traces = [trace for other in neighbours for trace in (solos[other], differences[other])]
        tones = [tone_hz(bench.lab, other, qubits[other]) for other in neighbours]
        weights = matched_weights(
            differences[name], tone_hz(bench.lab, name, qubit), sample_s(bench.lab), tones, traces
        )
        classes = [
            np.concatenate(
                [
                    _demodulated(one, weights)
                    for one, of in zip(kept[name], measured, strict=True)
                    if (name in of.flips) == x
                ]
            )
            for x in (False, True)
        ]
        threshold = fit_threshold(classes[0], classes[1])
        text = f"weights from {sum(len(one) for one in kept[name])} captures"
        changes = {"weights": weights, "threshold": threshold.value, "reference_count": 0}
        picture = _clouds(f"{name}: readouts along I", classes, threshold.value)
        found[name] = Finding(name, "weights", text, {}, changes, (picture,))
    return found


def _clouds(title: str, classes: Sequence[NDArray[np.int64]], threshold: int) -> Picture:
    """Return the shares of both preparations along I, over the threshold."""
    edges = np.histogram_bin_edges(np.concatenate(classes), BINS)
    shares = [np.histogram(one, edges)[0] / max(len(one), 1) for one in classes]
    middles = np.tile((edges[:-1] + edges[1:]) / 2.0 - threshold, len(classes))
    bars = [np.sqrt(share / max(len(one), 1)) for share, one in zip(shares, classes, strict=True)]
    joined = (np.concatenate(shares), np.concatenate(bars))
    return Picture(title, "I, over the threshold", "share of the shots", middles, *joined, np.zeros(0), len(classes))


def _share_feedline(bench: Bench, name: str, other: str) -> bool:
    return bench.lab.qubits[name].readout_line == bench.lab.qubits[other].readout_line


def _demodulated(captures: NDArray[np.int16], weights: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return iq[0] of captures [shots, samples], exact: products of 16 bits, sums far below 2^53, in float64."""
    return np.asarray(np.rint(captures.astype(np.float64) @ weights[0].astype(np.float64)), dtype=np.int64)


def _kept_captures(name: str, measured: tuple[Prepared, ...]) -> list[NDArray[np.int16]]:
    """Return the raw captures behind kept heralds, one array [shots, samples] per preparation.

    The direction from level 0 to level 1 in the iq plane is that between the second readouts without and with x.
    """
    second = {
        x: np.concatenate([iq_of(m.measured, m.pulses, name, 1) for m in measured if (name in m.flips) == x])
        for x in (False, True)
    }
    direction = second[True].mean(axis=0) - second[False].mean(axis=0)
    direction /= np.hypot(*direction) or 1.0
    first = [np.asarray(np.rint(iq_of(m.measured, m.pulses, name, 0) @ direction), dtype=np.int64) for m in measured]
    herald = fit_herald(np.concatenate(first))
    _require_separation(
        name, "boxcar weights", float((second[True].mean(axis=0) - second[False].mean(axis=0)) @ direction), herald
    )
    result = []
    for values, one in zip(first, measured, strict=True):
        captures = one.measured.raw[capture_index(one.pulses, name, 1)]
        if len(captures) != len(values):
            raise CalibrationError(
                f'{name}: {len(captures)} raw captures for {len(values)} shots: some were dropped; calibrate with pacing "virtual"'
            )
        keep = captures[values < herald.cut]
        if len(keep) < KEPT_MIN:
            raise CalibrationError(f"{name}: {len(keep)} of {len(values)} heralds were kept, {KEPT_MIN} are needed")
        result.append(keep)
    return result


def _require_separation(name: str, what: str, distance: float, herald: Herald) -> float:
    separation = distance / herald.sigma if herald.sigma > 0.0 else 0.0
    if separation < SEPARATION_MIN:
        raise CalibrationError(
            f"{name}: with {what} the means of level 0 and 1 are {separation:.2f} sigma apart, {SEPARATION_MIN:g} are needed for a herald. "
            f"Raise qubits.{name}.readout: amplitude or duration_ns"
        )
    return separation


def _mean_difference(name: str, kept: list[NDArray[np.int16]], measured: tuple[Prepared, ...]) -> Array:
    """Return mean capture of level 1 minus that of level 0; every preparation counts alike, so that neighbours cancel."""
    sign = [1.0 if name in one.flips else -1.0 for one in measured]
    means = np.stack([captures.mean(axis=0, dtype=np.float64) for captures in kept])
    return np.asarray(np.array(sign) @ means / (len(sign) / 2))


def _solo_captures(bench: Bench, qubits: Qubits) -> dict[str, Array]:
    """Return the mean capture of every qubit's tone alone, where tones share a feedline; [samples] each."""
    lines = [bench.lab.qubits[name].readout_line for name in qubits]
    gates = gate_set(bench.lab, qubits)
    solos = {}
    for name in qubits:
        if lines.count(bench.lab.qubits[name].readout_line) > 1:
            pulses = shot((readouts((name,), gates, bench.lab, raw=True),), gates, bench.lab, qubits)
            solos[name] = bench.measure(pulses, SOLO_SHOTS).raw[0].mean(axis=0, dtype=np.float64)
    return solos


def assignments(bench: Bench, qubits: Qubits) -> Findings:
    """Find the assignment matrix of every qubit, with the weights and the threshold as the kernel uses them."""
    measured = prepared(bench, qubits, REFERENCE_SHOTS, raw=False)
    found: Findings = {}
    for name, qubit in qubits.items():
        reference = _reference(bench, qubits, name, measured)
        assignment, thermal = reference_assignment(reference, qubit.x_error, qubit.t1_s)
        eta = float(assignment.matrix[1, 1] - assignment.matrix[1, 0])
        if eta < ETA_MIN:
            raise CalibrationError(
                f"{name}: outcomes hardly depend on the level: P(1|0) = {assignment.matrix[1, 0]:.3f}, "
                f"P(1|1) = {assignment.matrix[1, 1]:.3f}; their difference must be at least {ETA_MIN:g}. "
                f"Raise qubits.{name}.readout: amplitude or duration_ns"
            )
        matrix = assignment.matrix
        bars = np.hypot(assignment.stderr, assignment.preparation_stderr)
        error0, error1 = (Estimated(float(matrix[m, 1 - m]), float(bars[m, 1 - m])) for m in (1, 0))
        changes = {
            "assignment": matrix,
            "assignment_stderr": assignment.stderr,
            "preparation_stderr": assignment.preparation_stderr,
            "reference_count": assignment.reference_count,
        }
        text = (
            f"P(1|0) = {error0.value:.4f} +- {error0.stderr:.4f}, P(0|1) = {error1.value:.4f} +- {error1.stderr:.4f} from "
            f"{assignment.reference_count} kept shots per level; level 1 in equilibrium {thermal.value:.4f} +- {thermal.stderr:.4f}"
        )
        numbers = {"p_1_given_0": error0, "p_0_given_1": error1, "thermal_population": thermal}
        classes = [
            np.concatenate([iq_of(m.measured, m.pulses, name, 1)[:, 0] for m in measured if (name in m.flips) == x])
            for x in (False, True)
        ]
        picture = _clouds(f"{name}: prepared without and with x", classes, qubit.threshold)
        found[name] = Finding(name, "assignment", text, numbers, changes, (picture,))
    return found


def _reference(bench: Bench, qubits: Qubits, name: str, measured: tuple[Prepared, ...]) -> Reference:
    """Return the counts of one qubit."""
    values = {m.flips: iq_of(m.measured, m.pulses, name, 0)[:, 0] for m in measured}
    threshold = qubits[name].threshold
    herald = fit_herald(np.concatenate(list(values.values())))
    ones, shots, means = [0, 0], [0, 0], [0.0, 0.0]
    herald_ones, herald_shots = 0, 0
    for one in measured:
        x = int(name in one.flips)
        first = values[one.flips]
        second = iq_of(one.measured, one.pulses, name, 1)[:, 0]
        keep = (first < herald.cut) & (first <= threshold)
        ones[x] += int(np.sum(second[keep] > threshold))
        shots[x] += int(np.sum(keep))
        means[x] += float(np.sum(second[keep]))
        if not x:  # the shot before ended near equilibrium, so this one began there
            herald_ones += int(np.sum(first > threshold))
            herald_shots += len(first)
    if min(shots) < KEPT_MIN:
        raise CalibrationError(f"{name}: {min(shots)} reference shots of a level were kept, {KEPT_MIN} are needed")
    distance = means[1] / shots[1] - means[0] / shots[0]
    gates, tick_s = gate_set(bench.lab, qubits), bench.lab.timing.tick_ps * 1e-12
    return Reference(
        ones=(ones[0], ones[1]),
        shots=(shots[0], shots[1]),
        herald_ones=herald_ones,
        herald_shots=herald_shots,
        separation=_require_separation(name, "matched weights", distance, herald),
        tone_s=gates.readout_ticks(name) * tick_s,
        wait_s=_herald_to_x_ticks(bench, qubits, name, gates) * tick_s,
        x_s=duration_ticks(gates.x(name), gates, bench.lab) * tick_s,
    )


def _herald_to_x_ticks(bench: Bench, qubits: Mapping[str, object], name: str, gates: GateSet) -> int:
    """Return the ticks from the end of a qubit's herald tone to its x, as `heralded` lays them out."""
    names, lab = tuple(qubits), bench.lab
    x_ticks = {n: duration_ticks(gates.x(n), gates, lab) for n in names}
    waits = {n: (DEPLETIONS - 1) * gates.ticks(lab.qubits[n].readout.depletion_ns) for n in names}
    readout = max(duration_ticks(gates.measure(n, None), gates, lab) for n in names)
    prepare = max(waits[n] + x_ticks[n] for n in names)
    return readout + prepare - x_ticks[name] - gates.readout_ticks(name)
