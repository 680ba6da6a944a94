"""Reference shots: every level of every qubit, prepared behind a herald, and read with the tones of all qubits on.

A first readout, kept afterwards where it lies far on the side of level 0; a wait for the photons to leave; x or as long a wait; the second
readout. Which qubits get an x follows a balanced design, so that every qubit meets all levels of its neighbours equally often: what a
neighbour does is noise, not bias. Weights and threshold (`weights`) come from shots of their own, apart from those of the assignment
matrix (`assignment`), since a threshold looks better on the shots that it was chosen for than on fresh ones. `heralds` looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from qrt.calibrate.bench import Bench, program_for
from qrt.calibrate.heralds import Seen
from qrt.calibrate.sequences import Qubits, capture_index, whole_ticks
from qrt.calibrate.signals import executed
from qrt.errors import CalibrationError
from qrt.types import Capture, Lab, Pulses

PROGRAM: Final = """OPENQASM 3.0; include "stdgates.inc"; qubit[QUBITS] q; bit[QUBITS] herald; bit[QUBITS] c;
herald = measure q;
barrier q;
{preparation}
barrier q;
c = measure q;
"""


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
    sets = design(tuple(qubits))
    first, second, captures = ({name: list[Any]() for name in qubits} for _ in range(3))
    for flips in sets:
        pulses = heralded(bench, qubits, flips, raw=raw)
        measured = bench.measure(pulses, shots)
        rows = executed(measured, next(iter(qubits)))
        for k, name in enumerate(qubits):
            index = capture_index(pulses, "c", k)
            mine = measured.raw.get(index, np.zeros((0, 0), np.int16))
            if raw and len(mine) != len(rows):
                raise CalibrationError(
                    f'{name}: {len(mine)} raw captures for {len(rows)} shots: some were dropped; calibrate with pacing "virtual"'
                )
            first[name].append(rows["iq"][:, capture_index(pulses, "herald", k)])
            second[name].append(rows["iq"][:, index])
            captures[name].append(mine)
    flipped = {name: tuple(name in flips for flips in sets) for name in qubits}
    return {
        name: Seen(name, flipped, tuple(first[name]), tuple(second[name]), tuple(captures[name])) for name in qubits
    }


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
