"""The armed image: everything that the kernel plays from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.types.pulses import OutputKind, Parameter


class Segment(msgspec.Struct, frozen=True):
    """Baseband samples as they stand in the two channels of a line's instrument."""

    i: NDArray[np.int16]  # [samples]
    q: NDArray[np.int16]  # [samples]


class CaptureSlot(msgspec.Struct, frozen=True):
    """What one capture statement of the sequence is, for whoever reads the rows."""

    qubit: str  # "" where no qubit is known, of a capture that the program makes itself
    bit: int | None
    tone_index: int | None  # the k-th readout tone of this qubit in the shot where that is static
    line: int  # source line, 0 for none
    name: str = ""  # what the program calls it, where that is not its bit


class Sequence(msgspec.Struct, frozen=True):
    """The compiled program of one shot: arrays as qrt_core.h lays them out, plus names for the people who read."""

    instructions: NDArray[Any]  # [instructions] kernel.INSTRUCTION_DTYPE
    entries: NDArray[np.uint32]  # [sequencers]
    frames: NDArray[Any]  # [frames] kernel.FRAME_DTYPE
    captures: NDArray[Any]  # [captures] kernel.CAPTURE_DTYPE
    weights: NDArray[np.int16]  # [all weights]
    budget: int
    period_ticks: int
    segments: Mapping[str, tuple[Segment, ...]]  # line name -> segment memory
    lines: tuple[str, ...]  # line index -> name
    sequencers: tuple[str, ...]
    bits: tuple[str, ...]
    slots: tuple[CaptureSlot, ...]  # [captures]
    source_lines: tuple[int, ...]  # [instructions] source line, 0 for none
    table: NDArray[np.int64] = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))  # of `lookup`
    factors: NDArray[np.float64] = msgspec.field(default_factory=lambda: np.zeros(0))  # of `weigh`, finite
    emit_count: int = 0  # emitted columns of a row
    outputs: tuple[str, ...] = ()  # [emit_count] their names; or none
    output_kinds: tuple[OutputKind, ...] = ()  # [outputs]
    parameters: tuple[Parameter, ...] = ()  # [slots] what each slot of the kernel means
    stretch_max: int = 0  # periods that a shot may take beyond its own; 0: a shot longer than its period is an error


class PortLimits(msgspec.Struct, frozen=True):
    """What a port can do, for the compiler to hold a program against."""

    feedback_latency_ticks: int
    granularity_ticks: int
    sample_ticks: int
    capture_samples_max: int
    segment_count_max: int
    segment_samples_max: int
    outstanding_max: int
