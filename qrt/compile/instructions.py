"""The kernel's instructions by name, and its limits: numbers as qrt_core.h has them (tests compare with the header)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import starmap
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qrt.kernel import INSTRUCTION_DTYPE

END, PLAY, CAPTURE, WAIT, WAIT_UNTIL, SYNC, SET_FREQUENCY, SHIFT_PHASE, READ, WRITE, ALU, BRANCH = range(12)
LOAD, LOOKUP, EMIT = 12, 13, 16
PLAY_REGISTER, WAIT_REGISTER, SET_FREQUENCY_REGISTER, SHIFT_PHASE_REGISTER = 17, 18, 19, 20
ALU_SET, ALU_MOVE, ALU_ADD, ALU_SUB, ALU_AND, ALU_OR, ALU_XOR, ALU_EQ, ALU_LT, ALU_MULTIPLY, ALU_SHIFT_RIGHT = range(11)
IF_ALWAYS, IF_ZERO, IF_NONZERO, IF_NEGATIVE, IF_NOT_NEGATIVE = range(5)
SEQUENCERS_MAX, REGISTERS, FRAMES_MAX, BITS_MAX, CAPTURES_MAX, SLOTS_MAX, EMITS_MAX = 16, 64, 64, 64, 64, 64, 64
TABLE_COUNT_MAX = 1 << 20  # far below the kernel's own: 8 MB that every armed image carries
BIT_NONE = 255
PEAK = 32767  # counts of an envelope's 1.0: full scale, symmetric

# Registers with a part of their own. The variables of a program come after them, then one that stays 0, then what is computed.
DECIDES, LAST, CONSTANT, VARIED, FIRST_FREE = range(5)

Instruction = tuple[int, int, int, int, int]  # op, a, b, c, d
ROW: Final = Struct("<BBHiq")
assert ROW.size == INSTRUCTION_DTYPE.itemsize


def packed(code: Iterable[Instruction]) -> NDArray[Any]:
    """Return instructions as the kernel's array: INSTRUCTION_DTYPE, in half the time that numpy takes for tuples."""
    return np.frombuffer(b"".join(starmap(ROW.pack, code)), INSTRUCTION_DTYPE).copy()
