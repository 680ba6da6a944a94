"""What the files of a run folder hold, as bytes: the layout of the rows and the armed image. Pure.

`layout.json` says how to read `shots.bin`; its `dtype` is what numpy's own `dtype` takes, so that a reader needs numpy and json
alone. The armed image is one `wire.bundle` of plain fields and named arrays; a structured array stands as bytes beside its dtype,
since a wire knows only numbers. A dtype that comes from a file is built from names, formats and offsets, and refused unless it is
of numbers throughout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import wire
from qrt.errors import RecordError
from qrt.types import OutputKind

FORMAT: Final = "qrt-run"
FORMAT_VERSION: Final = 1

README: Final = """\
A run of Q-RT. With numpy alone:

    import json, numpy as np
    layout = json.load(open("layout.json"))
    rows = np.memmap("shots.bin", dtype=np.dtype(layout["dtype"]), mode="r")
    iq = rows["iq"][:, layout["captures"].index(NAME)]           # int64 [shots, 2]
    outcome = rows["outcomes"][:, layout["captures"].index(NAME)]  # 0, 1, or 255: not executed
    bit = (rows["bits"] >> np.uint64(layout["bits"].index(NAME))) & np.uint64(1)
    value = rows["emitted"][:, layout["outputs"].index(NAME)]    # int64, of a program with outputs: output_kinds says what it is

Of the output_kinds, an angle is 2^-64 turns, a duration ticks of tick_ps, a float 2^-32, all others are whole numbers.
Row k is shot `shot_first` + k; flags: 1 skipped, 2 erased (the hardware was too late for it, the row tells how far it came); count those
with flags 0. `sha256sum shots.bin` is the run's digest. lateness.bin: int64 ns per row.
captures.bin, of raw captures: np.memmap with the dtype that captures.json holds, a record a capture; `capture` is its place in `captures`.
sweep.npy, of a sweep: np.load; a row a point, the last axis fastest: the axes by name, and value, stderr, raw of every observable.
journal: records of 24 bytes header (magic QRTJ, u32 body size, u64 number, u32 CRC-32, u16 type, u16 zero) and a msgpack body
[map, buffers...]. After a crash only rows covered by a commit record (type 2: row, count, crc) count; qrt.open(folder) checks that.
"""


class Layout(msgspec.Struct, frozen=True):
    """What one needs to know to read the rows."""

    dtype: np.dtype[Any]  # kernel.row_dtype(captures)
    captures: tuple[str, ...]  # name of each capture, unique
    bits: tuple[str, ...]  # name of each bit of the program
    tick_ps: int = 1000
    shot_first: int = 0
    outputs: tuple[str, ...] = ()  # name of each emitted column, unique
    output_kinds: tuple[OutputKind, ...] = ()  # what it means


def encode_layout(layout: Layout, uid: str) -> bytes:
    """Return layout.json; its `dtype` is what np.dtype takes."""
    for what, names in (("captures", layout.captures), ("bits", layout.bits), ("outputs", layout.outputs)):
        if len(set(names)) != len(names):
            raise RecordError(f"layout: names occur twice among {what} {names}")
    body = {
        "format": FORMAT,
        "v": FORMAT_VERSION,
        "run": uid,
        "dtype": dtype_entry(layout.dtype),
        "captures": layout.captures,
        "bits": layout.bits,
        "tick_ps": layout.tick_ps,
        "shot_first": layout.shot_first,
        "outputs": layout.outputs,
        "output_kinds": layout.output_kinds,
    }
    return (json.dumps(body, indent=1) + "\n").encode()


def decode_layout(data: bytes, where: Path) -> tuple[str, Layout]:
    """Return uid and layout that layout.json holds; RecordError if it does not hold them."""
    try:
        fields = json.loads(data)
        if fields["format"] != FORMAT or fields["v"] != FORMAT_VERSION:
            raise RecordError(
                f"{where}: {fields['format']} version {fields['v']}; this reader knows {FORMAT} version {FORMAT_VERSION}"
            )
        names = tuple(map(str, fields["captures"])), tuple(map(str, fields["bits"]))
        outputs = tuple(map(str, fields.get("outputs", ())))  # a record from before there were any has none
        layout = Layout(
            plain_dtype(fields["dtype"]),
            *names,
            int(fields["tick_ps"]),
            int(fields["shot_first"]),
            outputs,
            msgspec.convert(fields.get("output_kinds", ()), tuple[OutputKind, ...]),
        )
        uid = str(fields["run"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(f"{where}: not the layout of a run: {error!r}") from error
    if missing := {"shot", "tick", "bits", "flags", "outcomes", "iq"} - set(layout.dtype.names or ()):
        raise RecordError(f"{where}: rows without {', '.join(sorted(missing))}")
    if layout.dtype["outcomes"].shape != (len(layout.captures),):
        raise RecordError(
            f"{where}: rows with outcomes {layout.dtype['outcomes'].shape} for {len(layout.captures)} captures"
        )
    columns = layout.dtype["emitted"].shape if "emitted" in (layout.dtype.names or ()) else (0,)
    if columns != (len(layout.outputs),) or len(layout.output_kinds) != len(layout.outputs):
        raise RecordError(
            f"{where}: rows with emitted {columns} for {len(layout.outputs)} outputs of {len(layout.output_kinds)} kinds"
        )
    return uid, layout


# ---- The armed image -------------------------------------------------------------------------------------------------------


class Image(msgspec.Struct, frozen=True):
    """An armed image as read back: arrays as they were, structured dtypes included, and plain fields."""

    arrays: dict[str, NDArray[Any]]
    fields: dict[str, Any]


def encode_image(arrays: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]) -> bytes:
    """Return `wire.bundle` of {fields, arrays}; a structured array stands as bytes [elements, size] beside its dtype."""
    stored: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.dtype.names is None:
            stored[name] = {"array": array}
        else:
            flat = np.ascontiguousarray(array).reshape(-1)
            data = flat.view(np.uint8).reshape(len(flat), array.dtype.itemsize)
            stored[name] = {"array": data, "dtype": dtype_entry(array.dtype), "shape": list(array.shape)}
    return wire.bundle({"fields": dict(fields), "arrays": stored}, "image")


def decode_image(data: bytes) -> Image:
    """Return the image; RecordError if the bytes are not one."""
    body = wire.unbundle(data, "image")
    arrays = {}
    try:
        for name, entry in body["arrays"].items():
            array = entry["array"]
            arrays[name] = (
                array.view(plain_dtype(entry["dtype"])).reshape(entry["shape"]) if "dtype" in entry else array
            )
        return Image(arrays, body["fields"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"image: not an armed image of this version: {error}") from error


def dtype_entry(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return a structured dtype as the map that np.dtype takes; padding is what the offsets leave."""
    fields = dtype.fields
    assert fields is not None
    formats = {}
    for name in dtype.names or ():
        base, shape = fields[name][0].subdtype or (fields[name][0], ())
        formats[name] = f"({','.join(map(str, shape))},){base.str}" if shape else base.str
    offsets = [fields[name][1] for name in formats]
    return {"names": list(formats), "formats": list(formats.values()), "offsets": offsets, "itemsize": dtype.itemsize}


def plain_dtype(entry: Any) -> np.dtype[Any]:
    """Return the structured dtype that a file describes by names, formats, offsets and itemsize: numbers throughout."""
    try:
        description = {key: entry[key] for key in ("names", "formats", "offsets", "itemsize")}
        if not all(type(text) is str for text in (*description["names"], *description["formats"])):
            raise RecordError(f"dtype {entry!r}: names and formats are strings")  # None means float64 to numpy
        dtype: np.dtype[Any] = np.dtype(cast("Any", description))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"dtype {entry!r}: {error}") from error
    fields: Mapping[str, Any] = dtype.fields or {}
    if dtype.hasobject or not all(field[0].base.kind in "biufc" for field in fields.values()):
        raise RecordError(f"dtype {entry!r}: only numbers and booleans are allowed")
    return dtype
