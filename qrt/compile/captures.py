"""What the kernel must know of each capture, and the one array of all integration weights, banks of them included.

A bank has as many sets of weights as the inputs that it follows have points. So the specs are the program's, and what the array holds
is the grid's: it is put in last, and anew where the same program goes through other values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qrt.compile.instructions import BIT_NONE, PEAK
from qrt.errors import ProgramError
from qrt.kernel import CAPTURE_DTYPE, SLOT_NONE, WEIGHTS_MAX
from qrt.timeline import Reach
from qrt.types import Bank, Capture, Pulses, Source

Sets = Sequence[NDArray[np.int16]]  # each [2, samples]


def capture_specs(pulses: Pulses, captures: Sequence[Capture], places: Mapping[str, int]) -> NDArray[np.void]:
    """Return the capture specs, as yet without weights; `places`: the slots that choose among those of a bank, by its name."""
    specs = np.zeros(len(captures), CAPTURE_DTYPE)
    for row, capture in zip(specs, captures, strict=True):
        weights = pulses.weights[capture.weights]
        row["threshold"] = weights.threshold
        row["sample_count"] = weights.sample_count
        row["bit"] = BIT_NONE if capture.bit is None else capture.bit
        row["raw"] = capture.raw
        row["threshold_slot"] = SLOT_NONE
        row["weights_slot"] = places.get(capture.weights, SLOT_NONE)
    return specs


def with_weights(
    specs: NDArray[np.void], captures: Sequence[Capture], pulses: Pulses, reach: Reach | None
) -> tuple[NDArray[np.void], NDArray[np.int16]]:
    """Return the specs with the places of their weights, and the one array of all weights, each set of them once.

    Raises ProgramError for more weights than the kernel has room for, and for a point at which there are none.
    """
    specs, pieces, count = specs.copy(), [np.zeros(0, np.int16)], 0
    found: dict[str, tuple[int, int]] = {}
    for row, capture in zip(specs, captures, strict=True):
        if capture.weights not in found:
            samples = pulses.weights[capture.weights].samples
            sets = [samples] if isinstance(samples, np.ndarray) else _made(samples, reach, count, capture.source)
            found[capture.weights] = count, len(sets)
            for one in sets:
                assert one.dtype == np.int16
                assert one.min(initial=0) >= -PEAK  # a sum of two products must fit in 32 bits
                pieces.append(one.reshape(-1))
                count += one.size
        row["weights_offset"], row["bank_count"] = found[capture.weights]
    return specs, np.concatenate(pieces)


def _made(bank: Bank, reach: Reach | None, before: int, source: Source) -> Sets:
    """Return the weights of a bank at each point of its inputs; `before`: how many numbers the kernel has to hold beside."""
    assert reach is not None
    place = bank.place(source)
    _, last = reach.span(((reach.slot(place), 1),))
    each = 2 * bank.sample_count
    if before + (last + 1) * each > WEIGHTS_MAX:
        raise ProgramError(
            f"{source.where}this capture needs other integration weights at each point of {place.text}: {last + 1} times {each} numbers, "
            f"beside {before} of other captures; the kernel has room for {WEIGHTS_MAX}: take fewer points, or capture for less time"
        )
    return reach.each(place, bank.at)
