"""An instrument's input as a stream: bytes become program message units, the ends of messages, and faults.

The result does not depend on how the bytes were cut into pieces. A newline or the interface's END ends a message; `;`
ends a unit; neither does so inside a string or a block. A block is always a unit's last parameter, so the unit is
complete with the block's last byte: a client that sends no newline after a block (some do) is understood, and a newline
that does come is swallowed. Everything is bounded: a message's text, a block, and what is kept of either.

A block larger than the instrument takes is refused, and as many bytes as it claims are skipped: taking data for
commands could switch an output on. An instrument that takes no blocks at all drops the message instead.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum

from qrt.scpi.blocks import BlockReader
from qrt.scpi.faults import Refusal, ReplyError

MESSAGE_SIZE_MAX = 4096  # of its text; blocks are bounded on their own
SPECIAL = re.compile(rb"[\n;\"'#]")
QUOTES = b"\"'"
NEWLINE, SEMICOLON, COMMA, HASH = b"\n;,#"
BLANKS = frozenset(range(33)) - {NEWLINE}  # IEEE 488.2 takes all of these for a space
CLAIM_MAX = 999_999_999


@dataclass(frozen=True, slots=True)
class Unit:
    """One command or query as it came: text, and the block at its end if there was one."""

    text: bytes
    block: bytes | None


@dataclass(frozen=True, slots=True)
class End:
    """The end of a program message: its responses are complete."""


Item = Unit | End | Refusal


class _Place(Enum):
    TEXT = "text"
    HASH = "hash"  # a `#` came where a parameter begins; the next byte tells a block from a number
    BLOCK = "block"
    AFTER_BLOCK = "after a block"
    SKIP = "skip"  # the data of a refused block
    DROP = "drop"  # the rest of a refused message


class Scanner:
    """Cuts a stream into items."""

    def __init__(self, block_size_max: int) -> None:
        self._block_size_max = block_size_max
        self.clear()

    def clear(self) -> None:
        """Forget a message that is under way, as a device clear does."""
        self._place = _Place.TEXT
        self._text = bytearray()
        self._quote = 0
        self._size = 0  # of the message's text up to now
        self._pending = False  # the message has had an item
        self._block = BlockReader(CLAIM_MAX)
        self._skip = 0

    def feed(self, piece: bytes) -> Iterator[Item]:
        """Yield the items that these bytes complete."""
        position = 0
        while position < len(piece):
            match self._place:
                case _Place.TEXT:
                    position = yield from self._feed_text(piece, position)
                case _Place.HASH:
                    yield from self._feed_hash(piece[position])
                case _Place.BLOCK:
                    position = yield from self._feed_block(piece, position)
                case _Place.AFTER_BLOCK:
                    position = yield from self._feed_after(piece, position)
                case _Place.SKIP:
                    count = min(self._skip, len(piece) - position)
                    self._skip -= count
                    position += count
                    if self._skip == 0:
                        self._place = _Place.AFTER_BLOCK
                case _Place.DROP:
                    newline = piece.find(b"\n", position)
                    position = len(piece) if newline < 0 else newline + 1
                    if newline >= 0:
                        yield from self._end()

    def end(self) -> Iterator[Item]:
        """Yield what the interface's END completes: it ends a message as a newline does."""
        if self._place in {_Place.BLOCK, _Place.SKIP, _Place.HASH}:
            yield from self._refuse(-161, "message ends inside a block")
        elif self._quote:
            yield from self._refuse(-151, "message ends inside a string")
        elif self._place is _Place.TEXT:
            yield from self._unit()
        if self._pending:
            yield from self._end()
        else:
            self.clear()

    def _feed_text(self, piece: bytes, position: int) -> Generator[Item, None, int]:
        found = SPECIAL.search(piece, position)
        stop = found.start() if found else len(piece)
        needed = stop - position + bool(found and piece[stop] != NEWLINE)
        if self._size + needed > MESSAGE_SIZE_MAX:
            yield from self._refuse(-363, f"message longer than {MESSAGE_SIZE_MAX}")
            return position  # dropped from here on
        self._text += piece[position:stop]
        self._size += stop - position
        if not found:
            return stop
        special = piece[stop]
        if special == NEWLINE:
            if self._quote:
                yield from self._refuse(-151, "string without its closing quote")
                return stop
            yield from self._unit()
            yield from self._end()
            return stop + 1
        self._size += 1
        if special == SEMICOLON and not self._quote:
            yield from self._unit()
            return stop + 1
        if special in QUOTES:
            self._quote = special if not self._quote else 0 if special == self._quote else self._quote
        self._text.append(special)
        if special == HASH and not self._quote and self._begins_parameter():
            self._place = _Place.HASH
        return stop + 1

    def _begins_parameter(self) -> bool:
        before = self._text[-2:-1]
        return bool(before) and (before == b"," or before[0] in BLANKS)

    def _feed_hash(self, byte: int) -> Iterator[Item]:
        """Tell a block from a non-decimal number by the byte after `#`; the byte itself is read where that leads."""
        if not 48 <= byte <= 57:
            self._place = _Place.TEXT
        elif self._block_size_max == 0:
            yield from self._refuse(-168)
        else:
            self._text.pop()
            self._block = BlockReader(CLAIM_MAX)
            self._block.feed(b"#")
            self._place = _Place.BLOCK

    def _feed_block(self, piece: bytes, position: int) -> Generator[Item, None, int]:
        header = self._block.size is None
        try:
            count = self._block.wanted if header else len(piece)
            position += self._block.feed(piece[position : position + count])
        except ReplyError as error:
            yield from self._refuse(-161, str(error))
            return position
        size = self._block.size
        if header and size is not None and size > self._block_size_max:
            self._skip = size
            self._text.clear()
            self._pending = True
            self._place = _Place.SKIP
            yield Refusal(-223, f"block of {size} bytes, at most {self._block_size_max}")
        elif self._block.data is not None:
            self._place = _Place.AFTER_BLOCK
            yield from self._unit(self._block.data)
            self._block = BlockReader(CLAIM_MAX)
        return position

    def _feed_after(self, piece: bytes, position: int) -> Generator[Item, None, int]:
        """Go on behind a block: `;` continues the message, a newline ends it, anything else begins the next one."""
        byte = piece[position]
        if byte in BLANKS:
            return position + 1
        if byte == COMMA:
            yield from self._refuse(-103, "a block is the last parameter")
            return position
        self._place = _Place.TEXT
        if byte == SEMICOLON:
            return position + 1
        yield from self._end()
        return position + (byte == NEWLINE)

    def _unit(self, block: bytes | None = None) -> Iterator[Item]:
        text = bytes(self._text).strip(bytes(BLANKS))
        self._text.clear()
        if text or block is not None:
            self._pending = True
            yield Unit(text, block)

    def _end(self) -> Iterator[Item]:
        self.clear()
        yield End()

    def _refuse(self, code: int, detail: str = "") -> Iterator[Item]:
        """Drop the message up to its newline or END."""
        self._place = _Place.DROP
        self._quote = 0
        self._text.clear()
        self._pending = True
        yield Refusal(code, detail)
