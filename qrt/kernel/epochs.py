"""Epochs: the values that batches give to later shots, and the ring that brings them to the kernel.

Batch k is the shots [k*W, (k+1)*W), W = `batch_shots`. What is computed from it is epoch k + 1 + `delay`. The writer, one only, publishes
an entry for each epoch from `delay` + 1 on, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qrt.kernel.binding import lend, lib
from qrt.kernel.layout import like
from qrt.kernel.rings import Ring

EPOCH_HELD: Final[int] = lib.QRT_EPOCH_HELD
EPOCH_VALUES_MAX: Final[int] = lib.QRT_EPOCH_VALUES_MAX
_HEAD: Final = like("qrt_epoch", {"number": "<i8", "begin_period": "<i8", "flags": "<u4"})


def epoch_dtype(value_count: int) -> np.dtype[Any]:
    """Return the dtype of an entry: number, begin_period (a replay's input, else 0), flags, int64 values[value_count]."""
    assert _HEAD.fields is not None
    assert _HEAD.names is not None
    names = [*_HEAD.names, "values"]
    formats: list[Any] = [*(_HEAD[name] for name in _HEAD.names), ("<i8", (value_count,))]
    offsets = [*(_HEAD.fields[name][1] for name in _HEAD.names), _HEAD.itemsize]
    itemsize = int(lib.qrt_epoch_size(value_count))
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


@dataclass(frozen=True)
class Epochs:
    """Where a kernel gets its epochs from, and what is in force before the first shot."""

    ring: Ring  # slots of epoch_dtype(len(values)).itemsize; the kernel is reader 0
    values: NDArray[np.int64]  # [values]: Rule.EPOCH names one of them
    delay: int  # 0: stop and wait
    batch_shots: int
    wait_s: float = 60.0  # on the wall: a run that waits longer for an epoch ends with Status.EPOCH
    first: int = 0  # number of what is in force before the first shot


def fill_epochs(c: Any, epochs: Epochs, lent: list[Any]) -> None:
    """Write them as C reads them."""
    c.epochs = epochs.ring.pointer
    c.epoch_values, c.epoch_value_count = lend(lent, epochs.values, np.int64, "int64_t[]")
    c.epoch_delay, c.batch_shots, c.epoch_first = epochs.delay, epochs.batch_shots, epochs.first
    c.epoch_wait_ns = int(epochs.wait_s * 1e9)
