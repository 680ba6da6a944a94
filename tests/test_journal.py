"""The journal's reader on every cut and every flipped bit, and its bytes against the layout that the module states."""

import binascii
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.errors import RecordError
from qrt.journal import BODY_BYTES_MAX, HEADER, Kind, Writer, encode_record, scan

BODIES = [b"", b"\x91\x80", b"QRTJ inside a body", bytes(range(64)), bytes(7)]


def small():
    writer = Writer()
    return [writer.record(kind, body) for kind, body in zip(Kind, BODIES, strict=True)]


def numbers(found):
    return [record.seq for record in found.records]


def test_a_record_is_laid_out_as_stated():
    record = encode_record(5, Kind.COMMIT, b"body")
    magic, size, seq, crc, kind, zero = struct.unpack("<4sIQIHH", record[:24])
    assert (magic, size, seq, kind, zero) == (b"QRTJ", 4, 5, 2, 0)
    assert crc == binascii.crc32(record[:16] + record[20:])
    assert record[24:] == b"body"


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=40)), max_size=8))
def test_what_is_written_is_read(records):
    writer = Writer()
    found = scan(b"".join(writer.record(kind, body) for kind, body in records))
    assert [(record.kind, record.body) for record in found.records] == records
    assert numbers(found) == list(range(len(records)))
    assert found.damage == ()
    assert found.cut is None


def test_every_cut_keeps_the_records_before_it_and_names_the_rest():
    parts = small()
    whole = b"".join(parts)
    ends = [sum(map(len, parts[: count + 1])) for count in range(len(parts))]
    for size in range(len(whole) + 1):
        found = scan(whole[:size])
        kept = sum(end <= size for end in ends)
        assert numbers(found) == list(range(kept))
        if size in [0, *ends]:
            assert found.damage == ()
        else:
            start = ends[kept - 1] if kept else 0
            assert found.cut is not None
            assert (found.cut.offset, found.cut.end, found.cut.seq) == (start, size, kept)
            assert f"record {kept} at offset {start}" in str(found.cut)


def test_every_flipped_bit_costs_its_record_alone():
    parts = small()
    whole = b"".join(parts)
    starts = [sum(map(len, parts[:count])) for count in range(len(parts) + 1)]
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        found = scan(bytes(data))
        hit = max(index for index in range(len(parts)) if starts[index] <= bit // 8)
        assert numbers(found) == [index for index in range(len(parts)) if index != hit]
        assert [(damage.seq, damage.offset, damage.end) for damage in found.damage] == [
            (hit, starts[hit], starts[hit + 1])
        ]
        assert (found.cut is not None) == (hit == len(parts) - 1)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_record_is_named(gone):
    parts = small()
    found = scan(b"".join(part for index, part in enumerate(parts) if index != gone))
    assert numbers(found) == [index for index in range(5) if index != gone]
    assert [damage.seq for damage in found.damage] == [gone]
    assert "missing" in str(found.damage[0])
    assert found.cut is None


def test_a_record_that_comes_twice_or_early_counts_once():
    parts = small()
    found = scan(parts[0] + parts[1] + parts[0] + parts[2] + parts[2] + parts[3] + parts[4])
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert len(found.damage) == 2
    assert "number 0 where 2 is due" in str(found.damage[0])


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_noise_around_records_hides_none_of_them(before, after):
    parts = small()
    assert numbers(scan(before + b"".join(parts) + after)) == [0, 1, 2, 3, 4]


def test_a_record_of_an_unknown_type_is_damage_and_not_a_guess():
    body = b"\x91\x80"
    head = HEADER.pack(b"QRTJ", len(body), 0, 0, 99, 0)
    crc = binascii.crc32(head[:16] + head[20:] + body)
    found = scan(HEADER.pack(b"QRTJ", len(body), 0, crc, 99, 0) + body)
    assert found.records == ()
    assert "type 99" in found.damage[0].reason


def test_a_body_longer_than_a_reader_takes_is_not_written():
    with pytest.raises(RecordError, match=f"at most {BODY_BYTES_MAX}"):
        encode_record(0, Kind.DOCUMENT, bytes(BODY_BYTES_MAX + 1))
