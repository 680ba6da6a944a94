"""Definite-length arbitrary blocks of IEEE 488.2: `#`, one digit k, k digits of length, that many bytes.

Reading is strict, because a block read wrongly looks like data: `#0` (indefinite length), a letter or a sign among the
digits, a length above the bound, or one other than the expected, is an error that names what was expected and what
came, before a single byte is allocated for it. `BlockReader` takes pieces of any size and is used by both ends of the
cable; `read_block` reads a whole one.
"""

from __future__ import annotations

from qrt.scpi.faults import ReplyError

LENGTH_DIGITS_MAX = 9


def write_block(data: bytes) -> bytes:
    """Return `data` as a block. At most 999 999 999 bytes fit into a definite-length block."""
    length = b"%d" % len(data)
    assert len(length) <= LENGTH_DIGITS_MAX
    return b"#%d%s%s" % (len(length), length, data)


def read_block(message: bytes, size_max: int, size_expected: int | None = None) -> bytes:
    """Return the data of a message that is one block and nothing else. Raises ReplyError."""
    reader = BlockReader(size_max, size_expected)
    used = reader.feed(message)
    if reader.data is None:
        raise ReplyError(reader.missing())
    if used < len(message):
        raise ReplyError(
            f"{reader.what()} is followed by {len(message) - used} surplus bytes, first {message[used : used + 8]!r}"
        )
    return reader.data


class BlockReader:
    """Reads one block from pieces. `data` is None until the last byte has come."""

    def __init__(self, size_max: int, size_expected: int | None = None) -> None:
        self.data: bytes | None = None
        self.size: int | None = None  # claimed length, once the header has been read
        self._size_max = size_max
        self._size_expected = size_expected
        self._header = bytearray()
        self._body = bytearray()

    @property
    def wanted(self) -> int:
        """How many bytes must come at least before there is anything new to decide."""
        if self.data is not None:
            return 0
        if self.size is not None:
            return self.size - len(self._body)
        if len(self._header) < 2:
            return 2 - len(self._header)
        return 2 + self._digit_count - len(self._header)

    def feed(self, piece: bytes) -> int:
        """Take bytes and return how many of them belong to the block. Raises ReplyError at the first wrong byte."""
        used = 0
        while used < len(piece) and self.size is None:
            self._header.append(piece[used])
            used += 1
            self._check_header()
        if self.size is not None and self.data is None:
            part = piece[used : used + self.size - len(self._body)]
            self._body += part
            used += len(part)
            if len(self._body) == self.size:
                self.data = bytes(self._body)
        return used

    def what(self) -> str:
        """Return what has been read so far, for messages."""
        return f"a block of {self.size} bytes" if self.size is not None else f"a block header {bytes(self._header)!r}"

    def missing(self) -> str:
        """Return what was expected and what came, for a block that ends early."""
        if self.size is None:
            return f"expected a block header `#<k><k digits>`, got only {bytes(self._header)!r}"
        return f"expected {self.size} bytes of block data, got {len(self._body)}"

    @property
    def _digit_count(self) -> int:
        return self._header[1] - ord("0")

    def _check_header(self) -> None:
        """Judge the header byte that came last."""
        header = self._header
        if len(header) == 1:
            if header != b"#":
                raise ReplyError(f"expected a block, which starts with b'#', got {bytes(header)!r}")
        elif header[-1] not in b"0123456789":
            raise ReplyError(f"expected a digit at byte {len(header) - 1} of a block header, got {bytes(header)!r}")
        elif header == b"#0":
            raise ReplyError("expected a definite-length block, got b'#0', which has no length")
        elif len(header) == 2 + self._digit_count:
            size = int(header[2:])
            if self._size_expected is not None and size != self._size_expected:
                raise ReplyError(f"expected a block of {self._size_expected} bytes, got one of {size}")
            if size > self._size_max:
                raise ReplyError(f"expected a block of at most {self._size_max} bytes, got one of {size}")
            self.size = size
