"""Sweeps: what each slot is worth in each shot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qrt.errors import BugError
from qrt.kernel.binding import ffi, lend, lib, pointer
from qrt.kernel.codes import Order, Status
from qrt.kernel.layout import SLOT_DTYPE


@dataclass(frozen=True)
class Sweep:
    """What each slot is worth in each shot: a pure function of the shot's index, on the grid of the axes, the last one fastest.

    A slot may follow the epoch instead: then it is a pure function of that.
    """

    points: tuple[int, ...]  # of each axis
    slots: NDArray[Any]  # [slots] SLOT_DTYPE; affine: start and stop; table, epoch: start is the first entry, the value
    table: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    order: Order = Order.POINT
    shots_per_point: int = 1  # of Order.POINT; after the last point comes the first again


NO_SWEEP: Final = Sweep((), np.zeros(0, SLOT_DTYPE))


NO_VALUES: Final = np.zeros(0, np.int64)


def sweep_slots(sweep: Sweep, shots: NDArray[np.int64], values: NDArray[np.int64] = NO_VALUES) -> NDArray[np.int64]:
    """Return int64 [shots, slots]: what the kernel loads in these shots. values: of the epoch in force.

    BugError for a sweep that it refuses, or that asks for more values.
    """
    lent: list[Any] = []
    c_sweep = ffi.new("qrt_sweep *")
    fill_sweep(c_sweep, sweep, lent)
    if lib.qrt_sweep_check(c_sweep) != Status.OK:
        raise BugError(f"no sweep: {sweep}")
    if lib.qrt_sweep_value_count(c_sweep) > len(values):
        raise BugError(
            f"a sweep that asks for {lib.qrt_sweep_value_count(c_sweep)} values of an epoch of {len(values)}"
        )
    epoch_values, _ = lend(lent, values, np.int64, "int64_t[]")
    slots = np.zeros((len(shots), len(sweep.slots)), np.int64)
    for row, shot in zip(slots, shots, strict=True):
        lib.qrt_sweep_slots(pointer(row, "int64_t[]"), c_sweep, epoch_values, int(shot))
    return slots


def fill_sweep(c: Any, sweep: Sweep, lent: list[Any]) -> None:
    """Write a sweep as C reads it."""
    if len(sweep.points) > lib.QRT_AXES_MAX:
        raise BugError(f"a sweep of {len(sweep.points)} axes; the kernel has {lib.QRT_AXES_MAX}")
    c.slots, c.slot_count = lend(lent, sweep.slots, SLOT_DTYPE, "qrt_slot[]")
    c.table, c.table_count = lend(lent, sweep.table, np.int64, "int64_t[]")
    c.axis_count = len(sweep.points)
    for axis, points in enumerate(sweep.points):
        c.points[axis] = points
    c.order, c.shots_per_point = int(sweep.order), sweep.shots_per_point
