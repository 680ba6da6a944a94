"""The steps of a calibration that find a qubit: amplitude, readout tone, frequency, T1, T2, errors of x.

Each step takes a bench and what is known of the qubits, runs one scan with all qubits at once, and returns what is known now. The
arithmetic is in `fit`, the shots in `sequences`; what stands here is what is scanned, and what is refused.

Signs. The frame precesses with the drive; the qubit is ahead by D = f_qubit - f_frame. After sx, a delay t, rz(-q) and sx the population of
level 1 is 1/2 [1 + e^(-t/T2) cos(2 pi D t - q)]. Two quadratures, q = 0 and pi/2, tell the sign of D; their opposites, pi and 3 pi/2,
fix the middle, so that phase and contrast of every delay are known by themselves: without them a slow fringe and an offset look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from math import gcd, lcm, pi, tau
from typing import Final

import msgspec
import numpy as np

from qrt.calibrate.fit import Array, decay, flips, rabi, ramsey, scan, train
from qrt.calibrate.sequences import (
    DELAY_GRID_NS,
    Qubits,
    boxcar,
    ending_together,
    gate_set,
    readouts,
    short_delay_ticks,
    shot,
    whole_ticks,
)
from qrt.calibrate.signals import Bench, Points, Scan, collect, each, require_change, require_fit
from qrt.errors import CalibrationError
from qrt.pulses import GateSet
from qrt.types import Estimated, Lab, Op, Pulses, QubitCalibration

Found = dict[str, QubitCalibration]

RABI_POINTS: Final = 41
RABI_SHOTS: Final = 200
SX_AMPLITUDE_MAX: Final = 0.5  # of full scale: the scan must see half a turn, or angle and contrast look alike
TONE_STEP_HZ: Final = 0.5e6
TONE_SPAN_HZ: Final = 4e6  # how far from the nominal tone is looked
TONE_NEIGHBOURS: Final = 3
TONE_SHOTS: Final = 800
TONE_GRID_HZ_MAX: Final = 2e6  # a tone moves by half of it at most
_TONE_ORDER: Final = tuple(sign * k for k in range(1, TONE_NEIGHBOURS + 1) for sign in (-1, 1))
SEPARATION_SIGMA: Final = 8.0  # of the two mean iq, over the noise of their difference
COARSE_DELAYS: Final = 10
COARSE_SHOTS: Final = 250
DETUNING_HZ_MAX: Final = (
    5e6  # of the nominal frequency: up to here Rabi scan and readout tone are right enough for what follows
)
FINE_DELAYS: Final = 14
FINE_SHOTS: Final = 400
# Odd counts show an error of the angle, with alternating sign for 1 and 3 modulo 4, so that no offset looks like one; even counts show
# the contrast that is left, so that no loss looks like one.
TRAIN_COUNTS: Final = (0, 1, 2, 3, 4, 5, 7, 9, 11, 13, 16, 17, 19, 25, 27, 30, 33, 35, 41, 42, 43, 44)
TRAIN_SHOTS: Final = 600
FLIP_COUNTS: Final = (0, 1, 2, 3, 12, 13, 24, 25, 40, 41, 60, 61, 80, 81)
FLIP_SHOTS: Final = 1200
X_ERROR_SIGMA: Final = 5.0  # how far below 0 chance may take the error of x
DECAY_POINTS: Final = 14
DECAY_SHOTS: Final = 800


def single(bench: Bench, qubits: Qubits, gates: GateSet, ops: dict[str, tuple[Op, ...]]) -> Pulses:
    """Return the shot: these gates, then a readout of every qubit."""
    return shot(
        (ending_together(ops, gates, bench.lab), readouts(tuple(ops), gates, bench.lab)), gates, bench.lab, qubits
    )


def rabi_amplitude(bench: Bench, qubits: Qubits) -> Found:
    """Find the amplitude of sx to about a percent: one pulse, its amplitude from 0 to full scale."""
    amplitudes = np.linspace(0.0, 1.0, RABI_POINTS)
    shots = []
    for amplitude in amplitudes.tolist():
        gates = gate_set(bench.lab, {n: replaced(q, sx_amplitude=Estimated(amplitude, 0.0)) for n, q in qubits.items()})
        shots.append(single(bench, qubits, gates, {name: gates.sx(name) for name in qubits}))
    found: Found = {}
    for name, seen in each(collect(bench, shots, RABI_SHOTS)):
        line = bench.lab.qubits[name].drive_line
        of = Scan(
            name,
            "Rabi scan of the drive amplitude",
            f"Check the drive line {line!r}, its source, qubits.{name}.frequency_hz (right to {DETUNING_HZ_MAX / 1e6:g} MHz?) and the "
            "readout tone",
        )
        require_change(of, seen)
        start, _ = scan(partial(_turning_by, amplitudes), seen.values, seen.sigma, np.linspace(1.0, 61.0, 601))
        offset, contrast = np.linalg.lstsq(_turning_by(amplitudes, start), seen.values, rcond=None)[0]
        turn = require_fit(of, rabi, amplitudes, seen, (offset, -contrast or 0.5, start)).estimated(2)
        amplitude, least = pi / 2.0 / turn.value, float(amplitudes[1])
        if not least < amplitude < SX_AMPLITUDE_MAX:
            raise CalibrationError(
                f"{name}: {of.what}: sx needs amplitude {amplitude:.3g} of full scale; from {least:.3g} to {SX_AMPLITUDE_MAX:g} can be "
                f"used. {'Lower' if amplitude < least else 'Raise'} lines.{line}.amplitude_v or qubits.{name}.pulse_ns"
            )
        found[name] = replaced(qubits[name], sx_amplitude=Estimated(amplitude, amplitude * turn.stderr / turn.value))
    bench.tell(_said("Rabi", found, lambda q: f"sx at {q.sx_amplitude.value:.3f} of full scale"))
    return found


def _turning_by(count: Array, angle: float) -> Array:
    """Return the columns 1, cos(n angle) of a scan over n."""
    return np.stack([np.ones_like(count), np.cos(count * angle)], axis=1)


def readout_tone(bench: Bench, qubits: Qubits) -> Found:
    """Find the tone at which the levels are furthest apart, by climbing from the nominal one, and set boxcar weights there.

    Climbing, since a tone far from the resonance measures nothing: each point is a shot with and one without x. It ends when the best
    point has `TONE_NEIGHBOURS` on either side. Around the best tone f0 the distance S of two resonances of one width is even, and exactly
    1 / S^2 = a + b (f - f0)^2 + c (f - f0)^4: f0 is found on a grid, the rest is linear.
    With chi above kappa / 2 there are two tops, and one of them is taken.
    """
    seen: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in qubits}
    wanted = {name: [-1, 0, 1] for name in qubits}
    limit = round(TONE_SPAN_HZ / TONE_STEP_HZ)
    while any(wanted.values()):
        step = {name: steps[0] if steps else _best(seen[name]) for name, steps in wanted.items()}
        at = {
            n: boxcar(bench.lab, n, replaced(q, readout_hz=q.readout_hz + step[n] * TONE_STEP_HZ))
            for n, q in qubits.items()
        }
        for name, one in _separations(bench, at).items():
            seen[name][step[name]] = one
            best = _best(seen[name])
            around = [best + k for k in _TONE_ORDER if best + k not in seen[name] and abs(best + k) <= limit]
            wanted[name] = [k for k in wanted[name] if k not in seen[name]] or around[:1]
    tones: dict[str, float] = {}
    for name, points in seen.items():
        best = _best(points)
        value, noise = points[best]
        if value < SEPARATION_SIGMA * noise:
            low, high = (qubits[name].readout_hz + k * TONE_STEP_HZ for k in (min(points), max(points)))
            raise CalibrationError(
                f"{name}: readout tone: level 0 and 1 are {value / noise:.1f} sigma apart at the best of {len(points)} tones from "
                f"{low / 1e9:.6f} to {high / 1e9:.6f} GHz, {SEPARATION_SIGMA:g} are needed. Check qubits.{name}.readout: frequency_hz "
                f"(right to about 1 MHz?) and amplitude, and qubits.{name}.frequency_hz (right to {DETUNING_HZ_MAX / 1e6:g} MHz?)"
            )
        tones[name] = qubits[name].readout_hz + _middle(points) * TONE_STEP_HZ
    found = {
        name: boxcar(bench.lab, name, replaced(qubits[name], readout_hz=hz))
        for name, hz in spaced(bench.lab, tones).items()
    }
    bench.tell(_said("readout tone", found, lambda q: f"{q.readout_hz / 1e9:.6f} GHz"))
    return found


def spaced(lab: Lab, tones_hz: dict[str, float]) -> dict[str, float]:
    """Return the tones moved onto one grid per feedline, spaced by whole multiples of 1 / duration_ns of each of its qubits.

    So a tone vanishes in its neighbours' boxcar weights, and matched weights lose nothing by being blind to it. The grid lies where the
    tones move least (their mean on a circle of one step). A step so wide that it would spoil a tone, of durations that have little in
    common, leaves the feedline as found: its weights are blind to the neighbours anyway.
    """
    result = {name: round(hz, -3) for name, hz in tones_hz.items()}
    for line in {lab.qubits[name].readout_line for name in tones_hz}:
        names = [name for name in tones_hz if lab.qubits[name].readout_line == line]
        steps = [Fraction(10**9) / Fraction(repr(lab.qubits[name].readout.duration_ns)) for name in names]
        step_hz = lcm(*(one.numerator for one in steps)) / gcd(*(one.denominator for one in steps))
        if len(names) == 1 or step_hz > TONE_GRID_HZ_MAX:
            continue
        turns = np.array([tones_hz[name] / step_hz for name in names])
        base_hz = round(float(np.angle(np.exp(2j * pi * turns).mean())) / tau * step_hz, -3)
        for name in names:
            result[name] = base_hz + round((tones_hz[name] - base_hz) / step_hz) * step_hz
    return result


def _middle(points: dict[int, tuple[float, float]]) -> float:
    """Return the symmetric middle of distances (value, noise) over steps, within the steps measured.

    The top is flat, so the mean over all possible middles is taken, each with its likelihood, and not the likeliest: that one jumps.
    """
    steps = np.array(sorted(points), float)
    value, noise = np.array([points[round(step)] for step in steps]).T
    inverse = (value.max() / value) ** 2
    sigma = 2.0 * inverse * noise / value
    grid = np.linspace(steps[0], steps[-1], 10 * len(steps) + 1)
    chi2 = []
    for middle in grid:
        columns = np.stack([np.ones_like(steps), (steps - middle) ** 2, (steps - middle) ** 4], axis=1)
        candidates = []
        for own in ((0, 1, 2), (0, 1), (0, 2), (0,)):
            linear = np.linalg.lstsq(columns[:, own] / sigma[:, None], inverse / sigma, rcond=1e-9)[0]
            if np.all(linear[1:] >= 0.0):  # one top: two would fit with the middle on either flank
                candidates.append(float(np.sum(((inverse - columns[:, own] @ linear) / sigma) ** 2)))
        chi2.append(min(candidates))
    likelihood = np.exp(-0.5 * (np.array(chi2) - min(chi2)))
    return float(grid @ likelihood / likelihood.sum())


def _best(points: dict[int, tuple[float, float]]) -> int:
    return max(points, key=lambda k: points[k][0])


def _separations(bench: Bench, qubits: Qubits) -> dict[str, tuple[float, float]]:
    """Return the distance of the mean iq with and without x, and its noise."""
    gates = gate_set(bench.lab, qubits)
    shots = [single(bench, qubits, gates, {n: prepare(n) for n in qubits}) for prepare in (gates.id, gates.x)]
    distances = {}
    for name, points in collect(bench, shots, TONE_SHOTS).items():
        difference = points.mean[1] - points.mean[0]
        distance = float(np.hypot(*difference)) or 1.0
        direction = difference / distance
        distances[name] = (distance, float(direction @ points.covariance.sum(axis=0) @ direction) ** 0.5)
    return distances


def ramsey_scan(bench: Bench, qubits: Qubits, ticks: Sequence[int], shot_count: int) -> tuple[Array, dict[str, Points]]:
    """Return (times in s and quadratures [2, points], points per qubit) of a Ramsey scan over delays in ticks, in four quadratures."""
    gates = gate_set(bench.lab, qubits)
    quadratures = (0.0, pi / 2.0, pi, 1.5 * pi)
    shots = [
        single(
            bench,
            qubits,
            gates,
            {n: (*gates.sx(n), *gates.delay(n, delay), *gates.rz(n, -quadrature), *gates.sx(n)) for n in qubits},
        )
        for quadrature in quadratures
        for delay in ticks
    ]
    time = np.tile(np.array(ticks) * (bench.lab.timing.tick_ps * 1e-12), len(quadratures))
    return np.stack([time, np.repeat(quadratures, len(ticks))]), collect(bench, shots, shot_count)


def frequency(bench: Bench, qubits: Qubits) -> Found:
    """Find the qubit's frequency to about 10 kHz, sign included, from short delays.

    With equal steps of 80 ns alone, frequencies that are 12.5 MHz apart would look the same. One delay of about 10 ns tells them apart, up
    to half a turn of it, +-48 MHz. So a nominal frequency that is too far off is recognised, and refused with the place of the qubit.
    """
    grid = whole_ticks(bench.lab, DELAY_GRID_NS)
    ticks = sorted({grid * k for k in range(COARSE_DELAYS)} | {short_delay_ticks(bench.lab)})
    found = _ramsey(bench, qubits, ticks, COARSE_SHOTS, "Ramsey")
    for name, qubit in found.items():
        seen_hz, nominal_hz = qubit.frequency_hz.value, qubits[name].frequency_hz.value
        if abs(seen_hz - nominal_hz) > DETUNING_HZ_MAX:
            away = f"{abs(seen_hz - nominal_hz) / 1e6:.2f} MHz {'above' if seen_hz > nominal_hz else 'below'}"
            raise CalibrationError(
                f"{name}: Ramsey: the qubit is at {seen_hz / 1e9:.6f} GHz, {away} qubits.{name}.frequency_hz ({nominal_hz / 1e9:.6f} GHz); "
                f"a calibration can start from up to {DETUNING_HZ_MAX / 1e6:g} MHz off. Set qubits.{name}.frequency_hz to "
                f"{seen_hz / 1e9:.4f}e9 and calibrate again"
            )
    return found


def fine_frequency(bench: Bench, qubits: Qubits) -> Found:
    """Find the qubit's frequency to some 100 Hz, and T2, from delays up to T1."""
    longest_s = max(q.t1_s.value for q in qubits.values())
    grid = whole_ticks(bench.lab, DELAY_GRID_NS)
    step = round(longest_s / (bench.lab.timing.tick_ps * 1e-12) / (FINE_DELAYS - 1) / grid) or 1
    return _ramsey(bench, qubits, [grid * step * k for k in range(FINE_DELAYS)], FINE_SHOTS, "fine Ramsey")


def _ramsey(bench: Bench, qubits: Qubits, ticks: Sequence[int], shot_count: int, what: str) -> Found:
    points, seen = ramsey_scan(bench, qubits, ticks, shot_count)
    step_s = points[0][1] - points[0][0]  # the shortest
    longest_s = float(points[0].max())
    grid = np.linspace(-0.48, 0.48, 1 + 2 * round(8 * longest_s / step_s)) / step_s
    found: Found = {}
    for name, one in each(seen):
        of = Scan(
            name,
            what,
            f"Its frequency must lie within +-{grid[-1] / 1e6:.3g} MHz of {qubits[name].frequency_hz.value / 1e9:.6f} GHz, and T2 must be "
            f"longer than {longest_s / (COARSE_DELAYS - 1) * 1e9:.0f} ns",
        )
        require_change(of, one)
        detuning, linear = scan(partial(_precessing, points), one.values, one.sigma, grid)
        contrast = float(np.hypot(linear[1], linear[2]))
        start = (
            linear[0],
            contrast,
            0.5 / longest_s,
            tau * detuning or 0.1 / longest_s,
            float(np.arctan2(-linear[2], linear[1])),
        )
        result = require_fit(of, ramsey, points, one, start)
        rate, omega = result.estimated(2), result.estimated(3)
        hz = Estimated(qubits[name].frequency_hz.value + omega.value / tau, omega.stderr / tau)
        t2 = qubits[name].t2_s
        if rate.value > 3.0 * rate.stderr:
            t2 = Estimated(1.0 / rate.value, rate.stderr / rate.value**2)
        found[name] = replaced(qubits[name], frequency_hz=hz, t2_s=t2)
    bench.tell(_said(what, found, lambda q: f"{q.frequency_hz.value / 1e9:.7f} GHz +- {q.frequency_hz.stderr:.0f} Hz"))
    return found


def _precessing(points: Array, detuning_hz: float) -> Array:
    """Return the columns 1, cos, sin of a Ramsey scan over (times, quadratures)."""
    angle = tau * detuning_hz * points[0] - points[1]
    return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=1)


def fine_amplitude(bench: Bench, qubits: Qubits) -> Found:
    """Find the amplitude of sx to a few 1e-4: trains of up to 43 sx, whose errors of angle add up."""
    gates = gate_set(bench.lab, qubits)
    shots = [single(bench, qubits, gates, {n: gates.sx(n) * count for n in qubits}) for count in TRAIN_COUNTS]
    counts = np.array(TRAIN_COUNTS, float)
    found: Found = {}
    for name, seen in each(collect(bench, shots, TRAIN_SHOTS)):
        of = Scan(
            name,
            "train of sx",
            "The amplitude of the Rabi scan may be off by more than 5 %, or the drive is not stable",
        )
        require_change(of, seen)
        angle, linear = scan(
            partial(_turning_by, counts), seen.values, seen.sigma, pi / 2.0 * np.linspace(0.95, 1.05, 101)
        )
        start = (linear[0], -linear[1] or 0.5, 0.998, angle)
        result = require_fit(of, train, counts, seen, start)
        theta, now = result.estimated(3), qubits[name].sx_amplitude.value
        amplitude = Estimated(now * (pi / 2.0) / theta.value, now * theta.stderr / (pi / 2.0))
        found[name] = replaced(qubits[name], sx_amplitude=amplitude)
    bench.tell(
        _said("train of sx", found, lambda q: f"sx at {q.sx_amplitude.value:.5f} +- {q.sx_amplitude.stderr:.5f}")
    )
    return found


def x_errors(bench: Bench, qubits: Qubits) -> Found:
    """Find the probability that x fails: half of the contrast that a train of x loses per x, whatever preparation and readout do.

    The train turns twice one way and twice the other, x x -x -x. An angle that is a little off adds up over a turn and comes back, and so
    does the pull of the decay towards level 0, which changes its side with every x; what is left is the loss.

    The estimate is kept as it is, below 0 by chance, too: clamped, its mean over calibrations would be too large. A contrast that certainly
    grows is no chance, and is refused.
    """
    gates = gate_set(bench.lab, qubits)
    shots = [
        single(bench, qubits, gates, {n: _there_and_back(gates, n, count) for n in qubits}) for count in FLIP_COUNTS
    ]
    found: Found = {}
    for name, seen in each(collect(bench, shots, FLIP_SHOTS)):
        of = Scan(name, "train of x", "The drive may not be stable, or T1 is too short for x")
        require_change(of, seen)
        start = (float(np.mean(seen.values)), 0.5 if seen.values[0] < seen.values[1] else -0.5, 0.998)
        keep = require_fit(of, flips, np.array(FLIP_COUNTS, float), seen, start).estimated(2)
        error = Estimated((1.0 - keep.value) / 2.0, keep.stderr / 2.0)
        if error.value < -X_ERROR_SIGMA * error.stderr:
            raise CalibrationError(
                f"{name}: {of.what}: the contrast grows with the number of x, as if x failed with {error.value:.1e} +- {error.stderr:.0e}; "
                f"from -{X_ERROR_SIGMA:g} sigma on is allowed. {of.advice}"
            )
        found[name] = replaced(qubits[name], x_error=error)
    bench.tell(_said("train of x", found, lambda q: f"x fails with {q.x_error.value:.1e} +- {q.x_error.stderr:.0e}"))
    return found


def _there_and_back(gates: GateSet, name: str, count: int) -> tuple[Op, ...]:
    """Return the first `count` of x x -x -x x x -x -x ..."""
    forward, half = gates.x(name), gates.rz(name, pi)
    backward = (*half, *forward, *gates.rz(name, -pi))
    return tuple(op for k in range(count) for op in (forward if k % 4 < 2 else backward))


def relaxation(bench: Bench, qubits: Qubits) -> Found:
    """Find T1: x, then delays up to four times the expected T1."""
    gates = gate_set(bench.lab, qubits)
    longest_ticks = 4.0 * max(q.t1_s.value for q in qubits.values()) / (bench.lab.timing.tick_ps * 1e-12)
    grid = whole_ticks(bench.lab, DELAY_GRID_NS)
    step = max(round(longest_ticks / (DECAY_POINTS - 1) / grid), 1)
    ticks = [grid * step * k for k in range(DECAY_POINTS)]
    time = np.array(ticks) * (bench.lab.timing.tick_ps * 1e-12)
    shots = [single(bench, qubits, gates, {n: (*gates.x(n), *gates.delay(n, t)) for n in qubits}) for t in ticks]
    found: Found = {}
    for name, seen in each(collect(bench, shots, DECAY_SHOTS)):
        expected = qubits[name].t1_s.value
        of = Scan(name, "relaxation", f"qubits.{name}.t1_ns is {expected * 1e9:g}; it must be right to a factor of 4")
        require_change(of, seen)
        start = (seen.values[-1], seen.values[0] - seen.values[-1], 1.0 / expected)
        rate = require_fit(of, decay, time, seen, start).estimated(2)
        if rate.value < 3.0 * rate.stderr or not expected / 4.0 < 1.0 / rate.value < expected * 4.0:
            raise CalibrationError(
                f"{name}: {of.what}: the rate is {rate.value:.3g} +- {rate.stderr:.2g} per s, allowed is {0.25 / expected:.3g} to "
                f"{4.0 / expected:.3g}. {of.advice}"
            )
        found[name] = replaced(qubits[name], t1_s=Estimated(1.0 / rate.value, rate.stderr / rate.value**2))
    bench.tell(_said("relaxation", found, lambda q: f"T1 {q.t1_s.value * 1e6:.1f} +- {q.t1_s.stderr * 1e6:.1f} us"))
    return found


def replaced(found: QubitCalibration, **changes: object) -> QubitCalibration:
    """Return the same with some fields replaced."""
    return msgspec.structs.replace(found, **changes)


def _said(what: str, found: Found, text: Callable[[QubitCalibration], str]) -> str:
    return f"{what}: " + ", ".join(f"{name} {text(qubit)}" for name, qubit in found.items())
