"""What the kernel must know of each capture, and the one array of all integration weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qrt.compile.instructions import BIT_NONE, PEAK
from qrt.kernel import CAPTURE_DTYPE, SLOT_NONE
from qrt.types import Capture, Pulses


def capture_specs(pulses: Pulses, captures: Sequence[Capture]) -> tuple[NDArray[np.void], NDArray[np.int16]]:
    """Return the capture specs and the one array of all weights, each set of weights once."""
    offsets: dict[str, int] = {}
    pieces: list[NDArray[np.int16]] = []
    specs = np.zeros(len(captures), CAPTURE_DTYPE)
    for row, capture in zip(specs, captures, strict=True):
        weights = pulses.weights[capture.weights]
        assert weights.samples.dtype == np.int16
        assert weights.samples.min(initial=0) >= -PEAK  # a sum of two products must fit in 32 bits
        if capture.weights not in offsets:
            offsets[capture.weights] = sum(piece.size for piece in pieces)
            pieces.append(weights.samples.reshape(-1))
        row["threshold"] = weights.threshold
        row["sample_count"] = weights.samples.shape[1]
        row["weights_offset"] = offsets[capture.weights]
        row["bit"] = BIT_NONE if capture.bit is None else capture.bit
        row["raw"] = capture.raw
        row["threshold_slot"] = row["weights_slot"] = SLOT_NONE
    return specs, np.concatenate([*pieces, np.zeros(0, np.int16)])
