"""Messages as bytes: the codec of the stream, of the journal's bodies and of the armed image. Pure.

A message is topic, header, body and buffers, a frame each; a body is a msgpack map in which an array stands as
`{"__nd__": k, "dtype": "<i2", "shape": [..]}` and k counts the buffers. `encode` and `decode` are inverse and equally strict: what
one refuses to read, the other refuses to write. What the documents hold is built in `documents.py`.

Decoding trusts nothing. Sizes are compared before msgpack sees a byte; containers are counted while they are built, since a megabyte
of empty maps is seventy megabytes of dicts; ext types, binary strings, duplicate or non-string keys, nesting over sixteen, unknown
versions, unknown array types, buffers too short, too long or never referred to are refused. Unknown header keys are ignored: later
versions may add some. A number in metadata is finite; in an array it may be NaN. Two places may refer to one buffer.

`bundle` puts body and buffers into one byte string, a msgpack array `[map, bin, bin, ...]`, for files. Nothing is ever pickled.
Every refusal is a RecordError with the path of the offending value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack
import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.errors import RecordError

VERSION: Final = 1
ARRAY_KEY: Final = "__nd__"

TOPIC_BYTES_MAX: Final = 256
HEADER_BYTES_MAX: Final = 4096
BODY_BYTES_MAX: Final = 1 << 20  # the longest body is a page of 4096 shots: their names make about 200 kB
BUFFER_BYTES_MAX: Final = 1 << 24
MESSAGE_BYTES_MAX: Final = 1 << 26
BUNDLE_BYTES_MAX: Final = 1 << 30  # an armed image holds segment memories
BUFFER_COUNT_MAX: Final = 256
CONTAINER_COUNT_MAX: Final = 16384  # maps and lists in one body
DEPTH_MAX: Final = 16
AXES_MAX: Final = 8

# numpy's own spelling, and no other: numbers and booleans, little-endian. No object, string, void or time.
ARRAY_DTYPES: Final = (
    *("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"),
    *("<f2", "<f4", "<f8", "<c8", "<c16"),
)

# What a document must hold, by name: the vocabulary of version 1.
REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "start": frozenset({"uid", "time"}),
    "descriptor": frozenset({"uid", "time", "run_start", "data_keys"}),
    "event_page": frozenset({"descriptor", "seq_num", "uid", "time", "data", "timestamps"}),
    "epoch": frozenset({"epoch", "first_shot", "values"}),
    "leg": frozenset({"leg", "first_shot", "shots", "values"}),
    "estimate": frozenset({"name", "value", "stderr"}),
    "miss": frozenset({"tick", "class", "lateness_ns", "policy", "cause", "skipped_count"}),
    "heartbeat": frozenset({"last_seq", "counters", "state"}),
    "stop": frozenset({"uid", "time", "run_start", "exit_status", "reason", "counters", "digest"}),
}
UID_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INT64: Final = range(-(1 << 63), 1 << 63)
_INTEGERS: Final = range(-(1 << 63), 1 << 64)  # what msgpack can say
_PLAIN: Final = frozenset({str, int, bool, type(None)})

Frames = list[bytes | memoryview]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The second frame. `seq` counts within a topic, without gaps; `rec` is the journal's sequence number."""

    doc: str
    seq: int
    rec: int
    run: str
    tick: int
    t_ns: int  # UNIX time
    durable_shot: int  # every shot below it is on disk
    v: int = VERSION


class Message(msgspec.Struct, frozen=True):
    """One decoded message; arrays of its body are read-only views into the received frames."""

    topic: str
    header: Header
    body: dict[str, Any]

    @property
    def stream(self) -> str:
        """The topic's third part."""
        return self.topic.split("/")[2]


def topic_of(run: str, stream: str, doc: str) -> str:
    """Return `run/<run>/<stream>/<doc>`; RecordError for a part that could not be told from another's prefix."""
    for part in (run, stream):
        if not UID_PATTERN.fullmatch(part):
            raise RecordError(f"topic: {part!r} does not match {UID_PATTERN.pattern}")
    if doc not in REQUIRED:
        raise RecordError(f"topic: unknown document {doc!r}; version {VERSION} has {', '.join(REQUIRED)}")
    return f"run/{run}/{stream}/{doc}"


# ---- Messages ------------------------------------------------------------------------------------------------------------


def encode(header: Header, stream: str, body: Mapping[str, Any]) -> Frames:
    """Return topic, header, body and buffers of a document; buffers are views of the arrays where these are contiguous."""
    topic = topic_of(header.run, stream, header.doc).encode("ascii")
    _check_header(header)
    packed, buffers = pack_document(header.doc, body)
    return [topic, msgpack.packb(msgspec.to_builtins(header)), packed, *buffers]


def pack_document(doc: str, body: Mapping[str, Any]) -> tuple[bytes, list[memoryview]]:
    """Return body and buffers of a document; RecordError if it lacks a key, is too large, or holds what no decoder would take."""
    _check_required(doc, body)
    packed, buffers = pack(body, doc)
    if len(packed) > BODY_BYTES_MAX:
        raise RecordError(f"{doc}: a body of {len(packed)} bytes; at most {BODY_BYTES_MAX} are sent, use arrays")
    sizes = [len(buffer) for buffer in buffers]
    if max(sizes, default=0) > BUFFER_BYTES_MAX or sum(sizes) + BODY_BYTES_MAX > MESSAGE_BYTES_MAX:
        allowed = f"at most {BUFFER_BYTES_MAX} an array and {MESSAGE_BYTES_MAX} together are sent"
        raise RecordError(f"{doc}: arrays of {sizes} bytes; {allowed}")
    return packed, buffers


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """Return the message that the frames hold; RecordError names what does not hold."""
    if not 3 <= len(frames) <= 3 + BUFFER_COUNT_MAX:
        raise RecordError(f"message: {len(frames)} frames; 3 to {3 + BUFFER_COUNT_MAX} are allowed")
    sizes = [len(frame) for frame in frames]
    caps = (TOPIC_BYTES_MAX, HEADER_BYTES_MAX, BODY_BYTES_MAX)
    for index, size in enumerate(sizes):
        cap = caps[index] if index < 3 else BUFFER_BYTES_MAX
        if size > cap:
            raise RecordError(f"frame {index}: {size} bytes; at most {cap} are allowed")
    if sum(sizes) > MESSAGE_BYTES_MAX:
        raise RecordError(f"message: {sum(sizes)} bytes; at most {MESSAGE_BYTES_MAX} are allowed")
    header = _decode_header(bytes(frames[1]))
    topic = topic_of(header.run, _stream_in(bytes(frames[0])), header.doc)
    if topic.encode("ascii") != bytes(frames[0]):
        raise RecordError(f"topic: {bytes(frames[0])!r} does not belong to document {header.doc} of run {header.run}")
    body = unpack(bytes(frames[2]), frames[3:], header.doc)
    _check_required(header.doc, body)
    return Message(topic, header, body)


def _stream_in(topic: bytes) -> str:
    parts = topic.split(b"/")
    if len(parts) != 4 or not topic.isascii():
        raise RecordError(f"topic: {topic!r} is not run/<run>/<stream>/<document>")
    return parts[2].decode("ascii")


def _decode_header(data: bytes) -> Header:
    fields = _unpack_plain(data, "header", binary=False)
    if not isinstance(fields, dict):
        raise RecordError("header: not a map")
    _restore(fields, (), set(), "header", 1)
    if type(version := fields.get("v")) is not int or version != VERSION:
        raise RecordError(
            f"header.v: {version!r}; this reader knows version {VERSION}: use one of the sender's version"
        )
    try:
        header = msgspec.convert(fields, Header)
    except msgspec.ValidationError as error:
        raise RecordError(f"header: {error}") from error
    _check_header(header)
    return header


def _check_header(header: Header) -> None:
    for name in ("seq", "rec", "tick", "t_ns", "durable_shot"):
        value = getattr(header, name)
        if value not in _INT64 or (value < 0 and name in {"seq", "rec"}):
            raise RecordError(f"header.{name}: {value} is out of range")


def _check_required(doc: str, body: Mapping[str, Any]) -> None:
    if missing := REQUIRED[doc] - body.keys():
        raise RecordError(f"{doc}: lacks {', '.join(sorted(missing))}")


# ---- Bodies and their arrays -----------------------------------------------------------------------------------------------


def pack(body: Mapping[str, Any], name: str = "body") -> tuple[bytes, list[memoryview]]:
    """Return a map as msgpack and the buffers of its arrays. `name` begins the path in errors.

    numpy scalars become numbers, tuples lists. An array that appears twice is sent once.
    """
    buffers: list[memoryview] = []
    plain = _flatten(body, buffers, {}, name, 1)
    if len(buffers) > BUFFER_COUNT_MAX:
        raise RecordError(f"{name}: {len(buffers)} arrays; at most {BUFFER_COUNT_MAX} are allowed")
    try:
        packed: bytes = msgpack.packb(plain)
    except (ValueError, OverflowError, TypeError) as error:  # a lone surrogate, an integer beyond 64 bits
        raise RecordError(f"{name}: cannot be written: {error}") from error
    return packed, buffers


def unpack(packed: bytes, buffers: Sequence[bytes | memoryview], name: str = "body") -> dict[str, Any]:
    """Return the map, with an array in place of each array map; every buffer must be referred to."""
    plain = _unpack_plain(packed, name, binary=False)
    return _restored_map(plain, buffers, name)


def bundle(body: Mapping[str, Any], name: str = "bundle") -> bytes:
    """Return a map and its arrays as one byte string: the msgpack array `[map, bin, ...]`."""
    packed, buffers = pack(body, name)
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(1 + len(buffers))
    head = packer.bytes()
    parts = [head, packed]
    for buffer in buffers:
        packer.reset()
        packer.pack(buffer)
        parts.append(packer.bytes())
    return b"".join(parts)


def unbundle(data: bytes, name: str = "bundle", bytes_max: int = BUNDLE_BYTES_MAX) -> dict[str, Any]:
    """Return the map that `bundle` wrote, with its arrays."""
    if len(data) > bytes_max:
        raise RecordError(f"{name}: {len(data)} bytes; at most {bytes_max} are allowed")
    parts = _unpack_plain(data, name, binary=True)
    if not isinstance(parts, list) or not parts or not all(type(part) is bytes for part in parts[1:]):
        raise RecordError(f"{name}: not an array of a map and buffers")
    return _restored_map(parts[0], parts[1:], name)


def _restored_map(plain: Any, buffers: Sequence[bytes | memoryview], name: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise RecordError(f"{name}: not a map")
    used: set[int] = set()
    body: dict[str, Any] = _restore(plain, buffers, used, name, 1)
    if len(used) != len(buffers):
        raise RecordError(f"{name}: {len(buffers)} buffers, of which {len(used)} are referred to")
    return body


def _unpack_plain(data: bytes, name: str, *, binary: bool) -> Any:
    """Return what msgpack holds, with containers counted and repeated keys refused on the way."""
    count = 0

    def counted(items: Any) -> Any:
        nonlocal count
        count += 1
        if count > CONTAINER_COUNT_MAX:
            raise RecordError(f"{name}: more than {CONTAINER_COUNT_MAX} maps and lists")
        return items

    def from_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(counted(pairs))
        if len(found) != len(pairs) or not all(type(key) is str for key in found):
            raise RecordError(f"{name}: a map with a key that occurs twice or is no string, among {list(found)[:8]}")
        return found

    def refuse_ext(code: int, _: bytes) -> Any:
        raise RecordError(f"{name}: ext type {code}; ext types are refused")

    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=from_pairs,
            list_hook=counted,
            ext_hook=refuse_ext,
            max_ext_len=0,
            max_bin_len=len(data) if binary else 0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise RecordError(f"{name}: not msgpack as it is used here: {error or type(error).__name__}") from error


def _flatten(value: Any, buffers: list[memoryview], known: dict[int, int], path: str, depth: int) -> Any:
    """Return `value` with array maps in place of arrays, whose bytes go to `buffers`."""
    if isinstance(value, np.ndarray):
        _check_depth(path, depth + 1)  # its map, and the shape within
        return _flatten_array(value, buffers, known, path)
    if isinstance(value, Mapping):
        _check_depth(path, depth)
        if ARRAY_KEY in value or not all(type(key) is str for key in value):
            raise RecordError(f"{path}: keys are strings, and {ARRAY_KEY!r} is the arrays' own")
        return {key: _flatten(item, buffers, known, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        _check_depth(path, depth)
        if _PLAIN.issuperset(map(type, value)):
            return value
        return [_flatten(item, buffers, known, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    return _checked_scalar(value, path)


def _flatten_array(array: NDArray[Any], buffers: list[memoryview], known: dict[int, int], path: str) -> dict[str, Any]:
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in ARRAY_DTYPES or array.ndim > AXES_MAX or array.nbytes > BUNDLE_BYTES_MAX:
        raise RecordError(f"{path}: an array {array.dtype} of shape {array.shape}; allowed: {', '.join(ARRAY_DTYPES)}")
    if id(array) not in known:
        known[id(array)] = len(buffers)
        flat = np.asarray(array, dtype=dtype, order="C").reshape(-1)
        buffers.append(flat.view(np.uint8).data)
    return {ARRAY_KEY: known[id(array)], "dtype": dtype.str, "shape": list(array.shape)}


def _restore(value: Any, buffers: Sequence[bytes | memoryview], used: set[int], path: str, depth: int) -> Any:
    """Return `value` with arrays in place of array maps; notes in `used` which buffers were referred to."""
    if type(value) is dict:
        _check_depth(path, depth + (ARRAY_KEY in value))  # an array's shape is one deeper
        if ARRAY_KEY in value:
            return _restore_array(value, buffers, used, path)
        return {key: _restore(item, buffers, used, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if type(value) is list:
        _check_depth(path, depth)
        if _PLAIN.issuperset(map(type, value)):
            return value
        return [_restore(item, buffers, used, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _checked_scalar(value, path)


def _restore_array(
    entry: dict[str, Any], buffers: Sequence[bytes | memoryview], used: set[int], path: str
) -> NDArray[Any]:
    if entry.keys() != {ARRAY_KEY, "dtype", "shape"}:
        raise RecordError(f"{path}: an array has {ARRAY_KEY}, dtype and shape, this has {sorted(entry)}")
    index, dtype, shape = entry[ARRAY_KEY], entry["dtype"], entry["shape"]
    if type(index) is not int or not 0 <= index < len(buffers):
        raise RecordError(f"{path}: buffer {index!r} of {len(buffers)}")
    if type(dtype) is not str or dtype not in ARRAY_DTYPES:
        raise RecordError(f"{path}: dtype {dtype!r}; allowed: {', '.join(ARRAY_DTYPES)}")
    if type(shape) is not list or len(shape) > AXES_MAX:
        raise RecordError(f"{path}: shape {shape!r} is not a list of up to {AXES_MAX} sizes")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise RecordError(f"{path}: shape {shape!r} has a size that is no whole number from 0 on")
    if math.prod(size or 1 for size in shape) > BUNDLE_BYTES_MAX:
        raise RecordError(f"{path}: shape {shape!r} is beyond {BUNDLE_BYTES_MAX} elements")
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if expected != len(buffers[index]):
        raise RecordError(
            f"{path}: {dtype} of shape {shape} takes {expected} bytes, buffer {index} has {len(buffers[index])}"
        )
    if expected:
        array = np.frombuffer(buffers[index], dtype=dtype).reshape(shape)
    else:
        array = np.empty(shape, dtype)  # frombuffer refuses an empty buffer
        array.flags.writeable = False
    if dtype == "|b1" and array.size and array.view(np.uint8).max() > 1:
        raise RecordError(f"{path}: a boolean that is neither 0 nor 1")
    used.add(index)
    return array


def _check_depth(path: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise RecordError(f"{path[:80]}: nested deeper than {DEPTH_MAX}")


def _checked_scalar(value: Any, path: str) -> Any:
    """Return a number, string or None; numbers are finite and fit msgpack."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if value in _INTEGERS:
            return value
        raise RecordError(f"{path}: {value} does not fit into 64 bits")
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise RecordError(f"{path}: {value} in metadata; only arrays may hold it")
    raise RecordError(
        f"{path}: {type(value).__name__}; allowed: map, list, string, number, boolean, null, numeric array"
    )
