"""The journal's records as bytes: written one after another, read back from whatever a crash has left. Pure: no file, no clock.

A record is a header of 24 bytes, little-endian, and a body:

    offset  size
         0     4  magic b"QRTJ"
         4     4  size of the body
         8     8  sequence number, from 0 on without gaps
        16     4  CRC-32 (zlib) of bytes 0-15, bytes 20-23 and the body
        20     2  type, see `Kind`
        22     2  zero
        24     -  body: the msgpack array [map, bin, ...] of `wire.bundle`

The reader takes any bytes. What ends early or does not match is a `Damage` with its place and reason, and the reader goes on at the
next record that holds: one flipped bit costs one record, not those behind it. Damage that nothing valid follows is a cut tail, what
a killed writer leaves; damage in the middle is bit rot or an edit. A sequence number that does not follow is damage as well.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import Final

import msgspec

from qrt.errors import RecordError

MAGIC: Final = b"QRTJ"
HEADER: Final = struct.Struct("<4sIQIHH")
BODY_BYTES_MAX: Final = 1 << 24
FORMAT_VERSION: Final = 1


class Kind(enum.IntEnum):
    """What a record's body is. Documents are written exactly as they are streamed."""

    HEAD = 1  # {format, v, run}: always the first record
    COMMIT = 2  # {row, count, crc, crc_total, lateness_crc}: these rows are on disk
    DOCUMENT = 3  # {doc, stream, tick, t_ns, durable_shot, body}
    FILE = 4  # {name, size, sha256}: a file of the folder, as it was put there
    IMAGE = (
        5  # {leg, image}: what of the armed image a leg of the run has otherwise than the one before (image.to_part)
    )


class Record(msgspec.Struct, frozen=True):
    """One record that holds; `offset` is where it begins."""

    seq: int
    kind: Kind
    body: bytes
    offset: int


class Damage(msgspec.Struct, frozen=True):
    """Bytes [offset, end) that are no record. `seq` is the number that was due there."""

    offset: int
    end: int
    seq: int
    reason: str

    def __str__(self) -> str:
        return f"journal record {self.seq} at offset {self.offset}: {self.reason}; {self.end - self.offset} bytes are skipped"


class Scan(msgspec.Struct, frozen=True):
    """What a journal holds: the records in order, what was damaged, and where a writer would go on."""

    records: tuple[Record, ...]
    damage: tuple[Damage, ...]
    size: int

    @property
    def cut(self) -> Damage | None:
        """The damage at the very end, if there is any: the mark of a writer that was killed."""
        return self.damage[-1] if self.damage and self.damage[-1].end == self.size else None


class Writer:
    """Gives each record its sequence number. Holds no bytes: the caller writes what it is given, in order."""

    def __init__(self) -> None:
        self.seq_next = 0

    def record(self, kind: Kind, body: bytes) -> bytes:
        """Return the record's bytes and move on to the next number."""
        data = encode_record(self.seq_next, kind, body)
        self.seq_next += 1
        return data


def encode_record(seq: int, kind: Kind, body: bytes) -> bytes:
    """Return one record; RecordError if the body is longer than a reader would take."""
    if len(body) > BODY_BYTES_MAX:
        raise RecordError(f"journal record {seq}: a body of {len(body)} bytes; at most {BODY_BYTES_MAX} are allowed")
    head = HEADER.pack(MAGIC, len(body), seq, 0, kind, 0)
    crc = _crc(head, body)
    return HEADER.pack(MAGIC, len(body), seq, crc, kind, 0) + body


def scan(data: bytes | memoryview) -> Scan:
    """Return every record that holds, and what lies between them. Takes any bytes; raises nothing."""
    view = bytes(data)
    records: list[Record] = []
    damage: list[Damage] = []
    offset, seq = 0, 0
    while offset < len(view):
        found = _read(view, offset)
        if isinstance(found, Record) and found.seq >= seq:
            if found.seq > seq:
                damage.append(
                    Damage(offset, offset, seq, f"records {seq} to {found.seq - 1} are missing before this place")
                )
                damage = _joined(damage)
            records.append(found)
            offset, seq = offset + HEADER.size + len(found.body), found.seq + 1
            continue
        reason = found if isinstance(found, str) else f"number {found.seq} where {seq} is due"
        end = _next(view, offset + 1, seq)
        damage.append(Damage(offset, end, seq, reason))
        offset = end
    return Scan(tuple(records), tuple(damage), len(view))


def _joined(damage: list[Damage]) -> list[Damage]:
    """Drop the note of a gap where the bytes before it have been named already: they were those records."""
    gap = damage[-1]
    return damage[:-1] if len(damage) > 1 and damage[-2].end == gap.offset and damage[-2].seq == gap.seq else damage


def _next(view: bytes, start: int, seq: int) -> int:
    """Return where the next valid record with at least this number begins, or the end."""
    offset = view.find(MAGIC, start)
    while offset >= 0:
        found = _read(view, offset)
        if isinstance(found, Record) and found.seq >= seq:
            return offset
        offset = view.find(MAGIC, offset + 1)
    return len(view)


def _read(view: bytes, offset: int) -> Record | str:
    """Return the record at the offset, or what is wrong with it."""
    head = view[offset : offset + HEADER.size]
    if len(head) < HEADER.size:
        return f"ends after {len(head)} of {HEADER.size} bytes of its header"
    magic, size, seq, crc, kind, reserved = HEADER.unpack(head)
    if magic != MAGIC:
        return f"begins with {magic!r}, not {MAGIC!r}"
    if size > BODY_BYTES_MAX:
        return f"claims a body of {size} bytes; at most {BODY_BYTES_MAX} are allowed"
    body = view[offset + HEADER.size : offset + HEADER.size + size]
    if len(body) < size:
        return f"ends after {len(body)} of {size} bytes of its body"
    if crc != _crc(head, body):
        return "its CRC-32 does not match"
    if kind not in Kind._value2member_map_ or reserved != 0:
        return f"type {kind} is not one of {', '.join(str(int(known)) for known in Kind)}"
    return Record(seq, Kind(kind), body, offset)


def _crc(head: bytes, body: bytes) -> int:
    """CRC-32 over all of the record but the CRC itself."""
    return zlib.crc32(body, zlib.crc32(head[20:], zlib.crc32(head[:16])))
