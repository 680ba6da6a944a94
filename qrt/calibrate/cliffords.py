"""The 24 single-qubit Cliffords as what is played: quarter turns about Z, which are virtual, and at most two sx. Computed, not copied.

A Clifford turns the axes X, Y, Z into axes: a rotation whose matrix holds 0, 1 and -1. The words Z^a, Z^a sx Z^b and Z^a sx sx with a, b
of 0 to 3 quarter turns make 24 different ones, all there are (an axis goes to one of 6, the next to one of the 4 at right angles). On
average a Clifford has (4 * 0 + 16 * 1 + 4 * 2) / 24 = 1 sx.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rotation = NDArray[np.int64]  # [3, 3]

QUARTER_Z: Final[Rotation] = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
SX: Final[Rotation] = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])


# A quarter turn or more about Z and then sx, by the number of quarter turns: one short statement each, since parsing takes longest.
TURNED: Final = ("sx", "z1sx", "z2sx", "z3sx")
DEFINITIONS: Final = "\n".join(f"gate {TURNED[k]} a {{ rz({k}*pi/2) a; sx a; }}" for k in (1, 2, 3))


class Clifford(NamedTuple):
    """Quarter turns about Z, sx so often, quarter turns about Z, in the order of time."""

    before: int
    sx: int
    after: int

    def rotation(self) -> Rotation:
        """Return what it does to the Bloch vector. [3, 3]"""
        powers = (
            np.linalg.matrix_power(m, k) for m, k in ((QUARTER_Z, self.after), (SX, self.sx), (QUARTER_Z, self.before))
        )
        first, second, third = powers
        return np.asarray(first @ second @ third)


CLIFFORDS: Final = tuple(
    Clifford(before, sx, after) for sx in (0, 1, 2) for before in range(4) for after in (range(4) if sx == 1 else (0,))
)
_BY_ROTATION: Final = {one.rotation().tobytes(): one for one in CLIFFORDS}


def clifford_of(rotation: Rotation) -> Clifford:
    """Return the Clifford that is this rotation."""
    return _BY_ROTATION[np.ascontiguousarray(rotation).tobytes()]


def inverse_of(sequence: Iterable[Clifford]) -> Clifford:
    """Return the Clifford that undoes a sequence."""
    total = np.eye(3, dtype=np.int64)
    for one in sequence:
        total = one.rotation() @ total
    return clifford_of(total.T)


def gates(sequence: Sequence[Clifford]) -> str:
    """Return a sequence as statements on q; quarter turns that meet are one, and the last ones are nobody's business."""
    statements, quarters = [], 0
    for one in sequence:
        quarters += one.before
        for _ in range(one.sx):
            statements.append(f"{TURNED[quarters % 4]} q;")
            quarters = 0
        quarters += one.after
    return "\n".join(statements)
