"""Memory as C lays it out: numpy dtypes, field for field, checked against the structs when this module is loaded.

Rows, events and misses are read with them where they lie.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from qrt.kernel.binding import ffi, lib
from qrt.lateness import HISTOGRAM_BUCKETS, HISTOGRAM_DTYPE
from qrt.types import Sequence

RAW_HEAD_SIZE: Final = 16


def like(c_name: str, formats: dict[str, str]) -> np.dtype[Any]:
    """Return the dtype of a C struct: these formats at the struct's own offsets. Padding and reserved words have no field."""
    fields = dict(ffi.typeof(c_name).fields)
    for name, format_ in formats.items():
        assert np.dtype(format_).itemsize == ffi.sizeof(fields[name].type), f"{c_name}.{name} is not {format_}"
    return np.dtype(
        {
            "names": list(formats),
            "formats": list(formats.values()),
            "offsets": [fields[name].offset for name in formats],
            "itemsize": ffi.sizeof(c_name),
        }
    )


INSTRUCTION_DTYPE: Final = like("qrt_instruction", {"op": "u1", "a": "u1", "b": "<u2", "c": "<i4", "d": "<i8"})
FRAME_DTYPE: Final = like("qrt_frame", {"frequency": "<i8", "phase": "<u8", "line": "<u2"})
CAPTURE_DTYPE: Final = like(
    "qrt_capture_spec",
    {
        "threshold": "<i8",
        "sample_count": "<u4",
        "weights_offset": "<u4",
        "weights_slot": "<u4",
        "bank_count": "<u4",
        "channel": "<u2",
        "bit": "u1",
        "raw": "u1",
        "threshold_slot": "<u4",
    },
)
EVENT_DTYPE: Final = like(
    "qrt_event",
    {"tick": "<i8", "op": "u1", "a": "u1", "b": "<u2", "c": "<i4", "d": "<i8", "sequencer": "<u2"},
)
MISS_DTYPE: Final = like(
    "qrt_miss",
    {
        "shot": "<i8",
        "tick": "<i8",
        "lateness_ns": "<i8",
        "skipped_count": "<i8",
        "miss_class": "<u4",
        "policy": "<u4",
        "cause": "<u4",
        "done_count": "<u4",
        "played_on": "<u4",
    },
)
REQUEST_DTYPE: Final = like(
    "qrt_request",
    {
        "ticket": "<i8",
        "shot": "<i8",
        "start_tick": "<i8",
        "tick": "<i8",
        "frequency": "<i8",
        "phase": "<u8",
        "amplitude": "<i4",
        "kind": "<u2",
        "line": "<u2",
        "item": "<u4",
        "capture": "<u4",
    },
)
SLOT_DTYPE: Final = like("qrt_slot", {"start": "<i8", "stop": "<i8", "axis": "<u4", "rule": "<u4"})
assert HISTOGRAM_DTYPE.itemsize == ffi.sizeof("qrt_histogram")
assert HISTOGRAM_BUCKETS == lib.QRT_HISTOGRAM_BUCKETS
ERASURE_DTYPE: Final = like(
    "qrt_erasure", {"shot": "<i8", "miss_class": "<u4", "done_count": "<u4", "played_on": "<u4"}
)
SKIP_DTYPE: Final = like("qrt_skip", {"shot": "<i8", "count": "<i8"})
_ROW_HEAD: Final = like(
    "qrt_row",
    {
        "shot": "<i8",
        "tick": "<i8",
        "epoch": "<i8",
        "trace_hash": "<u8",
        "shot_weight": "<f8",
        "bits": "<u8",
        "flags": "<u4",
        "capture_count": "<u4",
    },
)


def row_dtype(capture_count: int, emit_count: int = 0) -> np.dtype[Any]:
    """Return the dtype of a shot row: the head, uint8 outcomes[captures], int64 iq[captures, 2], int64 emitted[columns] if any.

    Little-endian; without emitted columns there is no such field.
    """
    assert _ROW_HEAD.names is not None
    assert _ROW_HEAD.fields is not None
    iq_offset = _ROW_HEAD.itemsize + -(-capture_count // 8) * 8
    size = int(lib.qrt_row_size(capture_count, emit_count))
    head = _ROW_HEAD.fields
    columns: list[tuple[str, Any, int]] = [(name, _ROW_HEAD[name], head[name][1]) for name in _ROW_HEAD.names]
    columns.append(("outcomes", ("u1", (capture_count,)), _ROW_HEAD.itemsize))
    columns.append(("iq", ("<i8", (capture_count, 2)), iq_offset))
    if emit_count:
        columns.append(("emitted", ("<i8", (emit_count,)), iq_offset + 16 * capture_count))
    assert size == iq_offset + 16 * capture_count + 8 * emit_count
    names, formats, offsets = zip(*columns, strict=True)
    return np.dtype({"names": list(names), "formats": list(formats), "offsets": list(offsets), "itemsize": size})


def answer_dtype(samples_max: int) -> np.dtype[Any]:
    """Return the dtype of a mailbox's answer with room for `samples_max` samples: ticket, sample_count, int16 samples."""
    return np.dtype(
        {
            "names": ["ticket", "sample_count", "samples"],
            "formats": ["<i8", "<u4", ("<i2", (samples_max,))],
            "offsets": [0, 8, 16],
            "itemsize": int(lib.qrt_answer_size(samples_max)),
        }
    )


def raw_samples_max(sequence: Sequence) -> int:
    """Return the length of the longest capture that is recorded raw, 0 if none is."""
    return int(sequence.captures["sample_count"][sequence.captures["raw"] == 1].max(initial=0))


def raw_dtype(samples_max: int) -> np.dtype[Any]:
    """Return the dtype of a raw capture of up to `samples_max` samples: shot, capture, sample_count, int16 samples."""
    return np.dtype(
        {
            "names": ["shot", "capture", "sample_count", "samples"],
            "formats": ["<i8", "<u4", "<u4", ("<i2", (samples_max,))],
            "offsets": [0, 8, 12, RAW_HEAD_SIZE],
            "itemsize": RAW_HEAD_SIZE + -(-samples_max // 4) * 8,
        }
    )
