"""What the kernel must know of each capture, and the one array of all integration weights, banks of them included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qrt.compile.instructions import BIT_NONE, PEAK
from qrt.errors import ProgramError
from qrt.kernel import CAPTURE_DTYPE, SLOT_NONE, WEIGHTS_MAX
from qrt.timeline import Reach
from qrt.types import Bank, Capture, Parameter, Pulses, Source

Slot = Callable[[Parameter, Source], int]  # the kernel's slot of an operand


def capture_specs(
    pulses: Pulses, captures: Sequence[Capture], reach: Reach | None, slot: Slot
) -> tuple[NDArray[np.void], NDArray[np.int16]]:
    """Return the capture specs and the one array of all weights, each set of weights once.

    Raises ProgramError for more weights than the kernel has room for, and for a bank that the reach cannot fill.
    """
    filled = _Filled(pulses, reach, slot)
    specs = np.zeros(len(captures), CAPTURE_DTYPE)
    for row, capture in zip(specs, captures, strict=True):
        weights = pulses.weights[capture.weights]
        row["weights_offset"], row["weights_slot"], row["bank_count"] = filled.weights(capture)
        row["threshold"] = weights.threshold
        row["sample_count"] = weights.sample_count
        row["bit"] = BIT_NONE if capture.bit is None else capture.bit
        row["raw"] = capture.raw
        row["threshold_slot"] = SLOT_NONE
    return specs, np.concatenate([*filled.pieces, np.zeros(0, np.int16)])


class _Filled:
    """The array of all weights, as it grows."""

    def __init__(self, pulses: Pulses, reach: Reach | None, slot: Slot) -> None:
        self._pulses, self._reach, self._slot = pulses, reach, slot
        self._count = 0
        self._found: dict[str, tuple[int, int, int]] = {}
        self.pieces: list[NDArray[np.int16]] = []

    def weights(self, capture: Capture) -> tuple[int, int, int]:
        """Return where the weights of a capture begin, the slot that chooses among them, and how many sets there are."""
        if capture.weights not in self._found:
            samples = self._pulses.weights[capture.weights].samples
            if isinstance(samples, np.ndarray):
                self._found[capture.weights] = self._added([samples]), SLOT_NONE, 1
            else:
                self._found[capture.weights] = self._bank(samples, capture.source)
        return self._found[capture.weights]

    def _bank(self, bank: Bank, source: Source) -> tuple[int, int, int]:
        """Make the weights of each point that a bank's inputs go to."""
        place = bank.place(source)
        chooses = self._slot(place, source)
        assert self._reach is not None
        _, last = self._reach.span(((self._reach.slot(place), 1),))
        each = 2 * bank.sample_count
        if self._count + (last + 1) * each > WEIGHTS_MAX:
            raise ProgramError(
                f"{source.where}this capture needs other integration weights at each point of {place.text}: {last + 1} times {each} "
                f"numbers, beside {self._count} of the program's other captures; the kernel has room for {WEIGHTS_MAX}: take fewer points, "
                "or capture for less time"
            )
        return self._added(self._reach.each(place, bank.at)), chooses, last + 1

    def _added(self, bank: Sequence[NDArray[np.int16]]) -> int:
        """Append sets of weights; return where they begin."""
        first = self._count
        for samples in bank:
            assert samples.dtype == np.int16
            assert samples.min(initial=0) >= -PEAK  # a sum of two products must fit in 32 bits
            self._count += samples.size
            self.pieces.append(samples.reshape(-1))
        return first
