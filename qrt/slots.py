"""The kernel's slots of a sequence's operands: what the kernel is given of a grid and of controlled inputs. Pure.

`bind` makes them of what `sweeps.Reach` has found: an operand on a line is two words, any other one a part of the table, and one that
batches set a word of an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.along import Straight, over, walked_as_one
from qrt.encode import Encode, words
from qrt.kernel import SLOT_DTYPE, Order, Rule, Sweep
from qrt.sweeps import Reach, Ruled
from qrt.types import Parameter


class Bound(msgspec.Struct, frozen=True):
    """What the kernel needs of a grid and of controlled inputs."""

    sweep: Sweep
    epoch_values: NDArray[np.int64]  # of epoch 0
    encode: Encode


def bind(parameters: Sequence[Parameter], reach: Reach, initial: Mapping[str, float] | None = None) -> Bound:
    """Return the kernel's slots for the operands of a sequence, in their order; `initial`: what controlled inputs begin with."""
    slots = np.zeros(len(parameters), SLOT_DTYPE)
    table: list[int] = []
    units: list[str] = []
    offsets: list[str] = []
    factors: list[dict[str, str]] = []
    grid = reach.grid
    shape = grid.shape if grid else ()
    found = [reach.found(parameter) for parameter in parameters]
    groups = walked_as_one((one for one in found if not isinstance(one, Ruled)), len(shape))
    for row, parameter, one in zip(slots, parameters, found, strict=True):
        if isinstance(one, Ruled):
            row["rule"], row["start"] = Rule.EPOCH, len(units)
            units.append(parameter.unit)
            offsets.append(str(one.offset))
            factors.append({name: str(factor) for name, factor in one.factors.items()})
            continue
        row["axis"], group = next((index, group) for index, group in enumerate(groups) if one.axes[0] in group)
        if isinstance(one, Straight) and len(group) == 1:
            row["rule"], row["start"], row["stop"] = Rule.AFFINE, one.start, one.stop
        else:
            row["rule"], row["start"] = Rule.TABLE, len(table)
            table += over(one, group, shape)
    encode = Encode(tuple(units), tuple(offsets), tuple(factors))
    sweep = Sweep(
        tuple(prod(shape[axis] for axis in group) for group in groups),
        slots,
        np.array(table, np.int64),
        Order.SHOT if grid and grid.order == "shot" else Order.POINT,
        grid.shots_per_point if grid else 1,
    )
    return Bound(sweep, words(encode, initial or {}), encode)
