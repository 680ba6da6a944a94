"""The segment memory of each line: envelopes as DAC counts, each once where several names mean the same samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qrt.compile.instructions import PEAK
from qrt.errors import ProgramError
from qrt.types import Lab, Play, PortLimits, Pulses, Segment


class Segments:
    """The segment memory of each line: every envelope that is played there, once."""

    def __init__(self, pulses: Pulses, lab: Lab, limits: PortLimits) -> None:
        self._pulses, self._limits = pulses, limits
        self._index: dict[tuple[str, bytes], int] = {}
        self._played: dict[tuple[str, str], int] = {}  # line and envelope -> segment
        self._memory: dict[str, list[Segment]] = {name: [] for name in lab.lines}

    def index(self, op: Play) -> int:
        """Return the segment of an envelope on the frame's line. Raises ProgramError if the memory is full."""
        played = (self._pulses.frames[op.frame].line, op.envelope)
        if played not in self._played:
            self._played[played] = self._added(op, played[0])
        return self._played[played]

    def _added(self, op: Play, line: str) -> int:
        segment = _int16(self._pulses.envelopes[op.envelope])
        key = (line, segment.i.tobytes() + segment.q.tobytes())
        if key not in self._index:
            memory = self._memory[line]
            self._index[key] = len(memory)
            memory.append(segment)
            total = sum(len(one.i) for one in memory)
            if len(memory) > self._limits.segment_count_max or total > self._limits.segment_samples_max:
                raise ProgramError(
                    f"{op.source.where}line {line!r} needs {len(memory)} segments of {total} samples in all; the port has room for "
                    f"{self._limits.segment_count_max} segments and {self._limits.segment_samples_max} samples: "
                    "play fewer shapes, or shorter ones (of one shape with several amplitudes there is one segment)"
                )
        return self._index[key]

    def memory(self) -> Mapping[str, tuple[Segment, ...]]:
        """Return the segments of each line that plays any."""
        return {name: tuple(segments) for name, segments in self._memory.items() if segments}


def _int16(samples: NDArray[np.complex128]) -> Segment:
    """Return an envelope as DAC counts, rounded to nearest."""
    assert samples.size > 0
    assert np.abs(samples.real).max() <= 1.0
    assert np.abs(samples.imag).max() <= 1.0
    return Segment(np.rint(samples.real * PEAK).astype(np.int16), np.rint(samples.imag * PEAK).astype(np.int16))
