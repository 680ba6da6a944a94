"""The armed image: everything that the kernel and the simulated hardware played from, as named arrays and plain fields.

`to_image` takes a sequence and the plant's bytes apart for the record, `from_image` puts them together again; a replay needs nothing else.
The segments are the ones that stood in the instruments' memory, as part of the plant's bytes; `segments` keeps the compiler's own copy
for the reader. Pure: where the image is written and found is record.py's and client.py's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.errors import RecordError
from qrt.layout import Image
from qrt.types import CaptureSlot, Segment, Sequence

VERSION: Final = 1
ARRAYS: Final[Mapping[str, np.dtype[Any]]] = {
    "instructions": kernel.INSTRUCTION_DTYPE,
    "entries": np.dtype(np.uint32),
    "frames": kernel.FRAME_DTYPE,
    "captures": kernel.CAPTURE_DTYPE,
    "weights": np.dtype(np.int16),
    "table": np.dtype(np.int64),
    "factors": np.dtype(np.float64),
}


class Played(msgspec.Struct, frozen=True):
    """An image put together again."""

    sequence: Sequence
    plant: bytes  # empty: the run was on hardware
    twin: str  # which entry point of group `qrt.ports` makes a port of `plant`
    shot_count: int
    tick_ps: int
    seed: int  # of the random words that instructions draw


def to_image(played: Played) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the fields of an image."""
    sequence = played.sequence
    arrays: dict[str, NDArray[Any]] = {name: getattr(sequence, name) for name in ARRAYS}
    arrays["source_lines"] = np.asarray(sequence.source_lines, dtype=np.int32)
    arrays["plant"] = np.frombuffer(played.plant, dtype=np.uint8)
    for line, memory in sequence.segments.items():
        for index, segment in enumerate(memory):
            arrays[f"segment.{line}.{index}.i"] = segment.i
            arrays[f"segment.{line}.{index}.q"] = segment.q
    fields = {
        "v": VERSION,
        "budget": sequence.budget,
        "period_ticks": sequence.period_ticks,
        "emit_count": sequence.emit_count,
        "stretch_max": sequence.stretch_max,
        "lines": list(sequence.lines),
        "sequencers": list(sequence.sequencers),
        "bits": list(sequence.bits),
        "slots": msgspec.to_builtins(sequence.slots),
        "segment_counts": {line: len(memory) for line, memory in sequence.segments.items()},
        "twin": played.twin,
        "shot_count": played.shot_count,
        "tick_ps": played.tick_ps,
        "seed": played.seed,
    }
    return arrays, fields


def from_image(image: Image) -> Played:
    """Return what an image holds. RecordError if it is not one of this version."""
    fields, arrays = image.fields, image.arrays
    if fields.get("v") != VERSION:
        raise RecordError(f"armed image of version {fields.get('v')}; this program reads version {VERSION}")
    try:
        for name, dtype in ARRAYS.items():
            if arrays[name].dtype != dtype or arrays[name].ndim != 1:
                raise ValueError(f"{name} is not a vector of {dtype}")
        vectors: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        sequence = Sequence(
            **vectors,
            budget=int(fields["budget"]),
            period_ticks=int(fields["period_ticks"]),
            emit_count=int(fields["emit_count"]),
            stretch_max=int(fields["stretch_max"]),
            segments=_segments(arrays, fields["segment_counts"]),
            lines=tuple(fields["lines"]),
            sequencers=tuple(fields["sequencers"]),
            bits=tuple(fields["bits"]),
            slots=msgspec.convert(fields["slots"], tuple[CaptureSlot, ...]),
            source_lines=tuple(arrays["source_lines"].tolist()),
        )
        pairs = (("sequencers", "entries"), ("slots", "captures"), ("source_lines", "instructions"))
        for names, array in pairs:
            if len(getattr(sequence, names)) != len(getattr(sequence, array)):
                raise ValueError(f"{names} are not as many as {array}")
        numbers = {name: int(fields[name]) for name in ("shot_count", "tick_ps", "seed")}
        return Played(sequence, arrays["plant"].tobytes(), fields["twin"], **numbers)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise RecordError(f"armed image: not whole: {error!r}") from error


def _segments(arrays: Mapping[str, NDArray[Any]], counts: Mapping[str, int]) -> dict[str, tuple[Segment, ...]]:
    return {
        line: tuple(
            Segment(arrays[f"segment.{line}.{index}.i"], arrays[f"segment.{line}.{index}.q"]) for index in range(count)
        )
        for line, count in counts.items()
    }
