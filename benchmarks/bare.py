"""The least that a kernel can play: one sequencer that plays once, or not at all, and ends. What pacing is measured and tested with."""

from __future__ import annotations

import numpy as np

from qrt import kernel
from qrt.types import Sequence

PLAY = (1, 0, 0, 9, 0)  # on frame 0, with an amplitude of 9
END = (0, 0, 0, 0, 0)


def bare_sequence(period_ticks: int, *, plays: bool) -> Sequence:
    """Return the sequence."""
    code = [PLAY, END] if plays else [END]
    return Sequence(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=np.zeros(1, kernel.FRAME_DTYPE),
        captures=np.zeros(0, kernel.CAPTURE_DTYPE),
        weights=np.zeros(0, np.int16),
        budget=len(code),
        period_ticks=period_ticks,
        segments={},
        lines=(),
        sequencers=(),
        bits=(),
        slots=(),
        source_lines=(),
    )
