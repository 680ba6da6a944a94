"""Reference shots: every level of every qubit, prepared behind a herald, and read with the tones of all qubits on.

A first readout, kept afterwards where it lies far on the side of level 0; a wait for the photons to leave; x or as long a wait; the second
readout. Which qubits get an x follows a balanced design, so that every qubit meets all levels of its neighbours equally often: what a
neighbour does is noise, not bias. Weights and threshold (`weights`) come from shots of their own, apart from those of the assignment
matrix (`assignment`), since a threshold looks better on the shots that it was chosen for than on fresh ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.calibrate.bench import Bench, program_for
from qrt.calibrate.finding import Picture
from qrt.calibrate.fit import Array
from qrt.calibrate.sequences import Qubits, capture_index, whole_ticks
from qrt.calibrate.signals import Scan, executed
from qrt.errors import CalibrationError
from qrt.readout.assignment import fit_herald
from qrt.types import Capture, Lab, Pulses

PROGRAM: Final = """OPENQASM 3.0; include "stdgates.inc"; qubit[QUBITS] q; bit[QUBITS] herald; bit[QUBITS] c;
herald = measure q;
barrier q;
{preparation}
barrier q;
c = measure q;
"""
SEPARATION_MIN: Final = 2.0  # sigma between the clouds: below, a herald says next to nothing
KEPT_MIN: Final = 100  # heralded shots per level
BINS: Final = 60  # of a picture


Pair = tuple[NDArray[np.int64], NDArray[np.int64]]  # values of shots without x, and with it


class Seen(NamedTuple):
    """What one qubit's readouts saw, one entry for each preparation."""

    flipped: tuple[bool, ...]  # whether it got an x
    heralds: tuple[NDArray[np.int64], ...]  # [shots, 2]
    seconds: tuple[NDArray[np.int64], ...]  # [shots, 2]
    captures: tuple[NDArray[np.int16], ...]  # [shots, samples] of the second readouts; empty where they are not raw


class Kept(NamedTuple):
    """What lies behind the kept heralds of one qubit, one entry for each preparation, and how far apart its levels are."""

    flipped: tuple[bool, ...]
    captures: tuple[NDArray[np.int16], ...]  # [kept, samples]
    along: Pair  # all second readouts, along the line from level 0 to level 1
    separation: float  # of their means, over sigma of the heralds' cloud

    @property
    def least(self) -> int:
        """The smallest count of a preparation."""
        return min(len(one) for one in self.captures)

    def difference(self) -> Array:
        """Return mean capture of level 1 minus that of level 0; every preparation counts alike, so that neighbours cancel. [samples]"""
        sign = np.where(self.flipped, 1.0, -1.0)
        means = np.stack([captures.mean(axis=0, dtype=np.float64) for captures in self.captures])
        return np.asarray(sign @ means / (len(sign) / 2))

    def demodulated(self, weights: NDArray[np.int16]) -> Pair:
        """Return iq[0] of the captures, exact: products of 16 bits, sums far below 2^53, in float64."""
        row = weights[0].astype(np.float64)
        values = [np.asarray(np.rint(one.astype(np.float64) @ row), np.int64) for one in self.captures]
        return classes(self.flipped, values)


class Times(NamedTuple):
    """When things are in a reference shot of one qubit."""

    tone_s: float  # the herald's
    wait_s: float  # from the end of the herald's tone to the x
    x_s: float  # the x, which ends where the second tone starts


def design(names: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """Return the sets of qubits that get an x: each qubit in half of them, each two in all four ways equally often.

    Columns of a Hadamard matrix: qubit k has an x in set r where popcount(r & (k + 1)) is odd.
    """
    count = 1 << len(names).bit_length()
    return tuple(
        frozenset(name for k, name in enumerate(names) if (row & (k + 1)).bit_count() % 2) for row in range(count)
    )


def prepared(bench: Bench, qubits: Qubits, shots: int, *, raw: bool) -> dict[str, Seen]:
    """Measure every preparation of the design, and return what every qubit's readouts saw."""
    parts: dict[str, list[tuple[bool, NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]]] = {
        n: [] for n in qubits
    }
    for flips in design(tuple(qubits)):
        pulses = heralded(bench, qubits, flips, raw=raw)
        measured = bench.measure(pulses, shots)
        rows = executed(measured, next(iter(qubits)))
        for k, name in enumerate(qubits):
            first, second = (capture_index(pulses, register, k) for register in ("herald", "c"))
            captures = measured.raw.get(second, np.zeros((0, 0), np.int16))
            if raw and len(captures) != len(rows):
                raise CalibrationError(
                    f'{name}: {len(captures)} raw captures for {len(rows)} shots: some were dropped; calibrate with pacing "virtual"'
                )
            parts[name].append((name in flips, rows["iq"][:, first], rows["iq"][:, second], captures))
    return {name: Seen(*zip(*part, strict=True)) for name, part in parts.items()}


def heralded(bench: Bench, qubits: Qubits, flips: frozenset[str], *, raw: bool) -> Pulses:
    """Return the shot, with the photons' time to leave twice; raw: with the captures of the second readouts themselves."""
    lines = (
        f"delay[{bench.lab.qubits[name].readout.depletion_ns!r}ns] q[{k}]; {'x' if name in flips else 'id'} q[{k}];"
        for k, name in enumerate(qubits)
    )
    program = program_for(PROGRAM.format(preparation="\n".join(lines)), len(qubits))
    pulses = bench.pulses(program, qubits, {}, None)
    return raw_from(pulses, len(qubits)) if raw else pulses


def raw_from(pulses: Pulses, bit: int) -> Pulses:
    """Return the same with the captures themselves, of those whose bit has at least this index."""
    blocks = {
        name: tuple(
            msgspec.structs.replace(op, raw=True) if isinstance(op, Capture) and (op.bit or 0) >= bit else op
            for op in ops
        )
        for name, ops in pulses.blocks.items()
    }
    return msgspec.structs.replace(pulses, blocks=blocks)


def times(lab: Lab, qubits: Mapping[str, object], name: str) -> Times:
    """Return when things are in a qubit's reference shot, as `heralded` lays them out."""
    tick_s, of = lab.timing.tick_ps * 1e-12, {one: lab.qubits[one] for one in qubits}
    x = {one: 2 * whole_ticks(lab, qubit.pulse_ns) for one, qubit in of.items()}
    tone = {one: whole_ticks(lab, qubit.readout.duration_ns) for one, qubit in of.items()}
    depletion = {one: whole_ticks(lab, qubit.readout.depletion_ns) for one, qubit in of.items()}
    herald, prepare = max(tone[n] + depletion[n] for n in qubits), max(depletion[n] + x[n] for n in qubits)
    return Times(tone[name] * tick_s, (herald + prepare - x[name] - tone[name]) * tick_s, x[name] * tick_s)


def classes(flipped: Sequence[bool], values: Sequence[NDArray[np.int64]]) -> Pair:
    """Return values of each preparation as all those without x, and all with it."""
    without, with_x = (
        np.concatenate([one for one, x in zip(values, flipped, strict=True) if x == wanted]) for wanted in (False, True)
    )
    return without, with_x


def kept_of(seen: Seen) -> Kept:
    """Return what lies behind heralds on the side of level 0, whose direction is that between second readouts without and with x."""
    without, with_x = (one.mean(axis=0) for one in classes(seen.flipped, seen.seconds))
    direction = with_x - without
    direction /= np.hypot(*direction) or 1.0
    first, second = (
        [np.asarray(np.rint(iq @ direction), np.int64) for iq in part] for part in (seen.heralds, seen.seconds)
    )
    herald = fit_herald(np.concatenate(first))
    separation = float((with_x - without) @ direction) / herald.sigma if herald.sigma > 0.0 else 0.0
    kept = tuple(one[values < herald.cut] for one, values in zip(seen.captures, first, strict=True))
    return Kept(seen.flipped, kept, classes(seen.flipped, second), separation)


def require_separation(of: Scan, what: str, separation: float) -> None:
    """Raise CalibrationError unless the means of the two levels, in sigma of level 0's cloud, are far enough apart for a herald."""
    if separation < SEPARATION_MIN:
        raise CalibrationError(
            f"{of.name}: with {what} the means of level 0 and 1 are {separation:.2f} sigma apart, {SEPARATION_MIN:g} are needed for a "
            f"herald. {of.advice}"
        )


def require_kept(of: Scan, count: int) -> None:
    """Raise CalibrationError unless enough shots of a preparation lie behind kept heralds."""
    if count < KEPT_MIN:
        raise CalibrationError(f"{of.name}: {of.what}: {count} shots of a preparation were kept, {KEPT_MIN} are needed")


def clouds(title: str, values: tuple[NDArray[np.int64], NDArray[np.int64]], threshold: int) -> Picture:
    """Return the shares of shots without and with x along I, over the threshold, in distances of the clouds."""
    edges = np.histogram_bin_edges(np.concatenate(values), BINS)
    shares = [np.histogram(one, edges)[0] / max(len(one), 1) for one in values]
    distance = float(np.ptp([np.median(one) for one in values])) or 1.0
    middles = np.tile(((edges[:-1] + edges[1:]) / 2.0 - threshold) / distance, len(values))
    bars = np.concatenate([np.sqrt(share / max(len(one), 1)) for share, one in zip(shares, values, strict=True)])
    axis, value = "I over the threshold, in distances of the clouds", "share of the shots"
    return Picture(title, axis, value, middles, np.concatenate(shares), bars, np.zeros(0), len(values))
