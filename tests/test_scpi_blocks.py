"""Blocks and numbers: every cut at every byte, every value of every header byte, whole, in pieces and with a tail."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.scpi import (
    BlockReader,
    ReplyError,
    read_block,
    read_boolean,
    read_integer,
    read_number,
    write_block,
    write_number,
)

DATA = bytes(range(256)) * 16  # 4 KiB with `;`, newlines, `#` and 0xFF inside
BLOCK = write_block(DATA)
HEADER_SIZE = len(BLOCK) - len(DATA)


def test_a_block_reads_back() -> None:
    assert BLOCK.startswith(b"#44096")
    assert read_block(BLOCK, len(DATA), len(DATA)) == DATA
    assert read_block(b"#10", 10) == b""


@given(st.binary(max_size=600), st.lists(st.integers(1, 50), max_size=40))
def test_pieces_do_not_matter(data: bytes, sizes: list[int]) -> None:
    reader, block, position = BlockReader(1000), write_block(data), 0
    for size in [*sizes, len(block)]:
        piece = block[position : position + size]
        assert reader.feed(piece) == len(piece)
        position += len(piece)
    assert reader.data == data
    assert reader.wanted == 0


def test_every_cut_is_an_error_that_says_how_much_came() -> None:
    for size in range(len(BLOCK)):
        with pytest.raises(ReplyError, match="expected") as caught:
            read_block(BLOCK[:size], len(DATA))
        if size >= HEADER_SIZE:
            assert f"expected {len(DATA)} bytes of block data, got {size - HEADER_SIZE}" in str(caught.value)


def test_a_tail_is_an_error_and_stays_with_the_caller() -> None:
    with pytest.raises(ReplyError, match="2 surplus bytes"):
        read_block(BLOCK + b"\n;", len(DATA))
    reader = BlockReader(len(DATA))
    assert reader.feed(BLOCK + b"\ntail") == len(BLOCK)
    assert reader.data == DATA


@pytest.mark.parametrize("place", range(HEADER_SIZE))
def test_every_value_of_every_header_byte(place: int) -> None:
    for value in range(256):
        message = bytearray(BLOCK)
        message[place] = value
        if bytes(message) == BLOCK:
            continue
        with pytest.raises(ReplyError):
            read_block(bytes(message), len(DATA), len(DATA))


@pytest.mark.parametrize("place", range(HEADER_SIZE))
def test_without_an_expected_size_a_changed_length_is_never_the_same_data(place: int) -> None:
    for value in range(256):
        message = bytearray(BLOCK)
        message[place] = value
        if bytes(message) == BLOCK:
            continue
        try:
            assert read_block(bytes(message), len(DATA)) != DATA
        except ReplyError:
            continue


def test_a_huge_length_is_refused_before_anything_is_allocated() -> None:
    tracemalloc.start()
    with pytest.raises(ReplyError, match="at most 4096 bytes, got one of 999999999"):
        BlockReader(4096).feed(b"#9999999999")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_block_of_another_size_than_expected_is_an_error() -> None:
    with pytest.raises(ReplyError, match="expected a block of 4 bytes, got one of 5"):
        read_block(b"#15abcde", 100, 4)


@pytest.mark.parametrize("header", [b"#0", b"#A", b"#-1", b"1234", b"#2 1", b"#+12", b"#2\xb2\xb3"])
def test_wrong_headers_name_what_came(header: bytes) -> None:
    with pytest.raises(ReplyError, match="expected") as caught:
        read_block(header + b"123456789", 1000)
    assert repr(header[:1])[2:-1] in str(caught.value)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_block_or_a_reply_error(message: bytes) -> None:
    try:
        data = read_block(message, 64)
    except ReplyError:
        return
    assert message.startswith(b"#")
    assert message.endswith(data)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e37, max_value=1e37))
def test_a_number_reads_back_exactly(value: float) -> None:
    assert read_number(write_number(value)) == value


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1_000", "", " 1", "1e", "٣", "0x10", "9.9E37", "-9.9E+37", "9.91E37", "1e999", "1,2", "1\n"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ReplyError, match="expected a number"):
        read_number(text)


def test_whole_numbers_and_booleans() -> None:
    assert read_integer("1E3") == 1000
    assert read_integer("+32") == 32
    assert [read_boolean(text) for text in ("1", "0", "ON", "off")] == [True, False, True, False]
    with pytest.raises(ReplyError, match="whole number"):
        read_integer("1.5")
    with pytest.raises(ReplyError, match="ON or OFF"):
        read_boolean("2")
