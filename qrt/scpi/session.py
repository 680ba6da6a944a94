"""The client's side of one instrument: what to send, what to wait for, whether a reply is the answer.

    CLOSED --open--> FENCED --token--> READY --ask--> AWAITING --answer--> READY
                       |                 |               |
                       +------- broken --+---------------+--> POISONED --open--> FENCED

A reply carries no name: the only thing that ties it to its query is that nothing else is under way. Once a query has
timed out, that is no longer known, and the late reply would answer the next query. So a time-out, a malformed reply or
a failed write poisons the session. Before it is used again it is cleared (VISA clear, or flushed buffers) and fenced:

    *ESE 123;*ESE?;*ESE 201;*ESE?;*ESE 155;*ESE?;*ESE 0     ->     123;201;155

The event status enable register is the one place where each IEEE 488.2 instrument must store a number and give it back;
three of them make a token that no ordinary reply resembles (only compound queries answer with `;`) and that differs from
earlier fences'. Whatever comes before the token is late and is discarded, and counted. What has not answered by then
never will, since an instrument answers in order. The register's last value is 0: Q-RT polls the error queue.

A shell pumps: it asks `step(now_s)` what to do, does it, and gives back what came through `receive`, an empty piece when
the deadline passed. Deadlines are absolute, one for a request with all its recovery and retries. A malformed reply to a
query that is marked repeatable is asked for again while the deadline has not passed; a time-out has used it up.

Not nice yet: a second reply to one query, sent later, is seen only if it comes before the next query is asked.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from qrt.scpi.blocks import BlockReader
from qrt.scpi.faults import ReplyError

LINE_SIZE_MAX = 4096
MESSAGES_KEPT = 8
BYTES_SHOWN = 96
FENCE_ATTEMPTS = 3
TOKEN_BASE = 156  # digits of the token: 100..255, so that all tokens have the same length
TOKEN_COUNT = TOKEN_BASE**3
FIX_SILENT = (
    "check that it is switched on and connected and that its `address` is right; end other programs that talk to it; if it hangs, "
    "switch it off and on"
)
FIX_STRAY = (
    "end other programs that talk to it, check that an instrument that speaks SCPI is at its `address` (on a serial line: the speed, too); "
    "if it babbles on, switch it off and on"
)
FIX_LATE = "if it only needs longer, raise its `timeout_s` in the lab file; if it hangs, switch it off and on"


class State(Enum):
    """Where the session is; only READY may send."""

    CLOSED = "closed"
    FENCED = "fenced"
    READY = "ready"
    AWAITING = "awaiting"
    POISONED = "poisoned"


class Event(Enum):
    """What moves the session."""

    OPEN = "open"
    TOKEN = "token"  # noqa: S105 - not a secret
    ASK = "ask"
    ANSWER = "answer"
    BREAK = "break"
    CLOSE = "close"


TRANSITIONS = {
    (State.CLOSED, Event.OPEN): State.FENCED,
    (State.POISONED, Event.OPEN): State.FENCED,
    (State.FENCED, Event.TOKEN): State.READY,
    (State.READY, Event.ASK): State.AWAITING,
    (State.AWAITING, Event.ANSWER): State.READY,
    (State.FENCED, Event.BREAK): State.POISONED,
    (State.READY, Event.BREAK): State.POISONED,
    (State.AWAITING, Event.BREAK): State.POISONED,
    **{(state, Event.CLOSE): State.CLOSED for state in State},
}


@dataclass(frozen=True, slots=True)
class LineReply:
    """Expect one line of ASCII text."""

    size_max: int = LINE_SIZE_MAX


@dataclass(frozen=True, slots=True)
class BlockReply:
    """Expect one block and its newline."""

    size_max: int
    size_expected: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One message and what it is answered with. `repeatable`: asking twice does no harm."""

    message: bytes  # without its newline
    reply: LineReply | BlockReply | None = None
    repeatable: bool = False
    retries_max: int = 1


@dataclass(frozen=True, slots=True)
class Clear:
    """Step: clear the device and drop both buffers."""

    deadline_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """Step: write these bytes."""

    data: bytes
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Receive:
    """Step: read up to `size` bytes, at least one before the deadline; hand them to `receive`."""

    size: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Done:
    """Step: the request is finished; a line without its newline, a block's data, or nothing."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """Step: the request failed: the reason, and what to do next where there is more than to read it."""

    reason: str
    fix: str = ""


Step = Clear | Send | Receive | Done | Failed


@dataclass(slots=True)
class Counters:
    """Everything that did not go straight, and how much did."""

    request_count: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    discarded_bytes: int = 0
    clear_count: int = 0
    fence_count: int = 0
    fence_failed_count: int = 0
    timeout_count: int = 0
    malformed_count: int = 0
    retry_count: int = 0


@dataclass(slots=True)
class _Work:
    """A request under way."""

    request: Request
    deadline_s: float
    retries_left: int
    fences_left: int = FENCE_ATTEMPTS
    fence_deadline_s: float = 0.0
    outbox: deque[Clear | Send] = field(default_factory=deque)
    ending: Done | Failed | None = None
    fence_buffer: bytearray = field(default_factory=bytearray)
    stray_bytes: int = 0  # that came instead of a token
    line: bytearray = field(default_factory=bytearray)
    block: BlockReader | None = None


class Session:
    """One client session. `token_first` should differ between processes that talk to one instrument."""

    def __init__(self, token_first: int = 0) -> None:
        self.state = State.CLOSED
        self.counters = Counters()
        self.messages: deque[tuple[float, str, bytes]] = deque(maxlen=MESSAGES_KEPT)  # (time, direction, bytes)
        self._token = token_first % TOKEN_COUNT
        self._work: _Work | None = None

    def ask(self, request: Request, deadline_s: float) -> None:
        """Begin a request; `step` says how it goes on. One at a time."""
        assert self._work is None
        assert b"\n" not in request.message or b"#" in request.message
        self.counters.request_count += 1
        self._work = _Work(request, deadline_s, request.retries_max if request.repeatable else 0)

    def close(self) -> None:
        """Forget everything; the next request fences again."""
        self._work = None
        self._move(Event.CLOSE)

    def abandon(self) -> None:
        """Drop a request that the shell will not finish (Ctrl-C): what it was to be answered with may still come. Poisoned."""
        if self._work is not None and self.state in {State.FENCED, State.READY, State.AWAITING}:
            self._move(Event.BREAK)
        self._work = None

    def step(self, now_s: float) -> Step:
        """Return what the shell must do next. What was returned before counts as done, unless `receive` or `fail` said otherwise."""
        work = self._work
        assert work is not None
        if work.outbox:
            return self._hand_out(work.outbox.popleft(), now_s)
        if work.ending is not None:
            self._work = None
            return work.ending
        match self.state:
            case State.CLOSED | State.POISONED:
                return self._open(work, now_s)
            case State.FENCED:
                return Receive(LINE_SIZE_MAX, work.fence_deadline_s)
            case State.READY:
                return self._send(work, now_s)
            case State.AWAITING:
                size = LINE_SIZE_MAX if work.block is None else work.block.wanted + 1
                return Receive(size, work.deadline_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take what came after a Receive; empty if nothing came by its deadline."""
        work = self._work
        assert work is not None
        assert self.state in {State.FENCED, State.AWAITING}
        if data:
            self.counters.received_bytes += len(data)
            self.messages.append((now_s, "<", data[:BYTES_SHOWN]))
        if self.state is State.FENCED:
            self._receive_fence(work, data)
            return
        if not data:
            self.counters.timeout_count += 1
            self._break(work, self._what_is_missing(work), fix=FIX_LATE)
            return
        try:
            reply = self._read_block(work, data) if work.block is not None else self._read_line(work, data)
        except ReplyError as error:
            self.counters.malformed_count += 1
            self._break(work, str(error), repeat=now_s < work.deadline_s)
            return
        if reply is not None:
            self._move(Event.ANSWER)
            work.ending = Done(reply)

    def fail(self, reason: str) -> None:
        """Tell that the transport could not do the last step. The session is poisoned."""
        work = self._work
        assert work is not None
        work.outbox.clear()
        work.ending = None
        self._break(work, reason, fix=FIX_SILENT)

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]

    def _hand_out(self, step: Clear | Send, now_s: float) -> Step:
        if isinstance(step, Send):
            self.counters.sent_bytes += len(step.data)
            self.messages.append((now_s, ">", step.data[:BYTES_SHOWN]))
        else:
            self.counters.clear_count += 1
        return step

    def _open(self, work: _Work, now_s: float) -> Step:
        """Clear, then send a fence with a fresh token; its share of the time leaves room for the fences after it."""
        if work.fences_left == 0 or now_s >= work.deadline_s:
            work.ending = None
            self._work = None
            came = f"{work.stray_bytes} bytes came, but not the token" if work.stray_bytes else "no reply at all"
            return Failed(f"the session could not be fenced: {came}", FIX_STRAY if work.stray_bytes else FIX_SILENT)
        work.fence_deadline_s = now_s + (work.deadline_s - now_s) / work.fences_left
        work.fences_left -= 1
        work.fence_buffer.clear()
        self._token = (self._token + 1) % TOKEN_COUNT
        self.counters.fence_count += 1
        self._move(Event.OPEN)
        work.outbox.append(Send(fence_message(self._token), work.fence_deadline_s))
        return self._hand_out(Clear(work.fence_deadline_s), now_s)

    def _receive_fence(self, work: _Work, data: bytes) -> None:
        """Look for the token in what came since the fence was sent; all before it is late, and is discarded."""
        buffer = work.fence_buffer
        buffer += data
        work.stray_bytes += len(data)
        found = fence_pattern(self._token).search(buffer)
        if found and found.end() == len(buffer):
            self.counters.discarded_bytes += found.start()
            work.fences_left = FENCE_ATTEMPTS
            work.stray_bytes = 0
            self._move(Event.TOKEN)
        elif found or not data:  # something follows the token, though nothing was asked: try again
            self.counters.discarded_bytes += len(buffer)
            self.counters.fence_failed_count += 1
            self._move(Event.BREAK)
        else:
            surplus = max(0, len(buffer) - LINE_SIZE_MAX)
            self.counters.discarded_bytes += surplus
            del buffer[:surplus]

    def _send(self, work: _Work, now_s: float) -> Step:
        request = work.request
        match request.reply:
            case None:
                work.ending = Done(b"")
            case LineReply():
                self._move(Event.ASK)
                work.line.clear()
                work.block = None
            case BlockReply(size_max, size_expected):
                self._move(Event.ASK)
                work.line.clear()
                work.block = BlockReader(size_max, size_expected)
        return self._hand_out(Send(request.message + b"\n", work.deadline_s), now_s)

    def _break(self, work: _Work, reason: str, *, repeat: bool = False, fix: str = "") -> None:
        """Poison the session; ask again if the request allows it and time is left, else end with the reason."""
        if self.state is not State.POISONED:
            self._move(Event.BREAK)
        if repeat and work.retries_left > 0:
            work.retries_left -= 1
            self.counters.retry_count += 1
            return
        work.ending = Failed(reason, fix)

    def _read_line(self, work: _Work, data: bytes) -> bytes | None:
        """Return the line if `data` ends it. Raises ReplyError."""
        assert isinstance(work.request.reply, LineReply)
        work.line += data
        text, newline, surplus = bytes(work.line).partition(b"\n")
        if len(text) > work.request.reply.size_max:
            raise ReplyError(
                f"expected a line of at most {work.request.reply.size_max} bytes, got {len(text)} and no end"
            )
        if not newline:
            return None
        if surplus:
            raise ReplyError(f"expected one line, got {len(surplus)} surplus bytes after it, first {surplus[:16]!r}")
        text = text.removesuffix(b"\r")
        if not text:
            raise ReplyError("expected a line of text, got an empty one")
        if any(byte < 32 or byte > 126 for byte in text):
            raise ReplyError(f"expected printable ASCII text, got {text[:BYTES_SHOWN]!r}")
        return text

    def _read_block(self, work: _Work, data: bytes) -> bytes | None:
        """Return the block's data if `data` ends it and its newline. Raises ReplyError."""
        reader = work.block
        assert reader is not None
        tail = data[reader.feed(data) :]
        if reader.data is None:
            return None
        work.line += tail
        ending = bytes(work.line)
        if ending in {b"", b"\r"}:
            return None
        if ending in {b"\n", b"\r\n"}:
            return reader.data
        raise ReplyError(f"{reader.what()} is followed by surplus bytes, first {ending[:8]!r}, not by a newline")

    def _what_is_missing(self, work: _Work) -> str:
        if work.block is None:
            return (
                f"no newline by the deadline; got {bytes(work.line[:BYTES_SHOWN])!r}"
                if work.line
                else "no reply by the deadline"
            )
        if work.block.data is not None:
            return f"{work.block.what()} came, but no newline after it by the deadline"
        return f"{work.block.missing()} by the deadline"


def fence_message(token: int) -> bytes:
    """Return the message that stores and asks for the token's three digits."""
    return b"".join(b"*ESE %d;*ESE?;" % digit for digit in token_digits(token)) + b"*ESE 0\n"


def fence_pattern(token: int) -> re.Pattern[bytes]:
    """Return what the fence is answered with; NR1 may carry a sign."""
    return re.compile(rb";".join(rb"\+?%d" % digit for digit in token_digits(token)) + rb"\r?\n")


def token_digits(token: int) -> tuple[int, int, int]:
    """Return the token as three numbers from 100 to 255."""
    high, low = divmod(token, TOKEN_BASE)
    return (100 + high // TOKEN_BASE, 100 + high % TOKEN_BASE, 100 + low)
