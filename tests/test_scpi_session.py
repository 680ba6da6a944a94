"""The client's session without a socket, a thread or a clock: time is a number that the test moves."""

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.scpi import BlockReply, Clear, Done, Failed, LineReply, Receive, Request, Send, Session, State, write_block
from qrt.scpi.session import (
    FIX_LATE,
    FIX_SILENT,
    TOKEN_COUNT,
    TRANSITIONS,
    Event,
    fence_message,
    fence_pattern,
    token_digits,
)

IDN = Request(b"*IDN?", LineReply(), repeatable=True)


class Wire:
    """An instrument on a virtual wire: each message is answered by `answer(message)` after `delay(message)` seconds, in order."""

    def __init__(self, answer, delay=lambda _: 0.0, piece_size=4096) -> None:
        self.now_s = 0.0
        self.answer, self.delay, self.piece_size = answer, delay, piece_size
        self.coming: deque[tuple[float, bytes]] = deque()
        self.clears = 0

    def write(self, data: bytes) -> None:
        for message in data.split(b"\n")[:-1] if b"#" not in data else [data]:
            reply = fence_reply(message) or self.answer(message)
            if reply:
                due_s = max([self.now_s + self.delay(message), *(at_s for at_s, _ in self.coming)])
                pieces = [reply[k : k + self.piece_size] for k in range(0, len(reply), self.piece_size)]
                self.coming.extend((due_s, piece) for piece in pieces)

    def read(self, size: int, deadline_s: float) -> bytes:
        if not self.coming or self.coming[0][0] > deadline_s:
            self.now_s = max(self.now_s, deadline_s)
            return b""
        due_s, piece = self.coming.popleft()
        self.now_s = max(self.now_s, due_s)
        if len(piece) > size:
            self.coming.appendleft((due_s, piece[size:]))
        return piece[:size]

    def run(self, session: Session, request: Request, timeout_s: float = 1.0) -> Done | Failed:
        session.ask(request, self.now_s + timeout_s)
        for _ in range(10_000):
            match session.step(self.now_s):
                case Done() | Failed() as ending:
                    return ending
                case Clear():
                    self.clears += 1  # what is on its way comes nevertheless
                case Send(data):
                    self.write(data)
                case Receive(size, deadline_s):
                    session.receive(self.read(size, deadline_s), self.now_s)
        raise AssertionError("the session does not end")


def fence_reply(message: bytes) -> bytes:
    """Answer *ESE a;*ESE?;... as every IEEE 488.2 instrument does."""
    replies, value = [], b"0"
    for unit in message.split(b";"):
        if unit.startswith(b"*ESE "):
            value = unit[5:]
        elif unit == b"*ESE?":
            replies.append(value)
    return b";".join(replies) + b"\n" if replies else b""


def echo(message: bytes) -> bytes:
    return message + b"\n" if message.endswith(b"?") else b""


def test_the_first_request_fences_and_then_asks() -> None:
    wire, session = Wire(echo), Session()
    assert session.state is State.CLOSED
    assert wire.run(session, IDN) == Done(b"*IDN?")
    assert session.state is State.READY
    assert (wire.clears, session.counters.fence_count) == (1, 1)
    assert wire.run(session, Request(b"OUTP 0")) == Done(b"")
    assert session.counters.fence_count == 1


def test_only_ready_may_ask() -> None:
    asking = [state for (state, event) in TRANSITIONS if event is Event.ASK]
    assert asking == [State.READY]
    assert {TRANSITIONS[state, Event.BREAK] for state in (State.READY, State.AWAITING, State.FENCED)} == {
        State.POISONED
    }
    into_ready = {(state, event) for (state, event), after in TRANSITIONS.items() if after is State.READY}
    assert into_ready == {(State.FENCED, Event.TOKEN), (State.AWAITING, Event.ANSWER)}


@pytest.mark.parametrize("piece_size", [1, 2, 7, 4096])
def test_pieces_do_not_matter(piece_size: int) -> None:
    data = bytes(range(256))
    wire = Wire(
        lambda message: write_block(data) + b"\n" if b"DATA" in message else echo(message), piece_size=piece_size
    )
    session = Session()
    assert wire.run(session, IDN) == Done(b"*IDN?")
    assert wire.run(session, Request(b"DATA?", BlockReply(256))) == Done(data)
    assert wire.run(session, Request(b"DATA?", BlockReply(256, 256))) == Done(data)


def test_a_late_reply_never_answers_the_next_query() -> None:
    late = {b"SLOW?": 1.2}
    wire, session = Wire(echo, lambda message: late.get(message, 0.0)), Session()
    ending = wire.run(session, Request(b"SLOW?", LineReply(), repeatable=True))
    assert ending == Failed("no reply by the deadline", FIX_LATE)
    assert session.state is State.POISONED
    assert wire.run(session, Request(b"NEXT?", LineReply())) == Done(b"NEXT?")
    assert session.counters.discarded_bytes == len(b"SLOW?\n")
    assert session.counters.timeout_count == 1


def test_without_the_fence_the_late_reply_would_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above has teeth: a session that trusts a cleared wire takes the late reply."""
    monkeypatch.setitem(TRANSITIONS, (State.AWAITING, Event.BREAK), State.READY)
    wire, session = Wire(echo, lambda message: 1.5 if message == b"SLOW?" else 0.0), Session()
    wire.run(session, Request(b"SLOW?", LineReply()))
    assert wire.run(session, Request(b"NEXT?", LineReply())) == Done(b"SLOW?")


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.prove)])
def test_no_reply_is_ever_matched_to_the_wrong_query(seed: int, count: int) -> None:
    chance = random.Random(seed)
    wire = Wire(echo, lambda _: chance.choice([0.0, 0.0, 0.3, 0.9, 1.1, 2.5]))
    session, answered, failed = Session(), 0, 0
    for index in range(count):
        query = b"Q%d?" % index
        ending = wire.run(session, Request(query, LineReply(), repeatable=chance.random() < 0.5))
        if isinstance(ending, Done):
            assert ending.reply == query
            answered += 1
        else:
            failed += 1
    assert answered > count // 10
    assert failed > count // 10
    assert session.counters.discarded_bytes > 0


def test_an_answer_before_the_deadline_counts_and_one_after_does_not() -> None:
    for delay_s, kind in ((0.9, Done), (1.1, Failed)):
        wire, session = Wire(echo, lambda message, d=delay_s: d if message == b"X?" else 0.0), Session()
        wire.run(session, IDN)
        assert isinstance(wire.run(session, Request(b"X?", LineReply())), kind)


def test_a_dripping_reply_does_not_move_the_deadline() -> None:
    wire, session = Wire(echo), Session()
    wire.run(session, IDN)
    wire.coming.extend((wire.now_s + 0.1 * k, b"x") for k in range(1, 100))
    start_s = wire.now_s
    ending = wire.run(session, Request(b"DRIP", LineReply()))
    assert isinstance(ending, Failed)
    assert "no newline by the deadline; got b'xxxx" in ending.reason
    assert wire.now_s == pytest.approx(start_s + 1.0)


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (b"a\nb\n", "surplus"),
        (b"\n", "empty"),
        (b"caf\xe9\n", "printable ASCII"),
        (b"a\x00b\n", "printable ASCII"),
        (b"x" * 5000 + b"\n", "at most 4096 bytes"),
    ],
)
def test_a_malformed_line_poisons_and_says_why(reply: bytes, what: str) -> None:
    wire, session = Wire(lambda message: reply if message == b"BAD?" else echo(message)), Session()
    ending = wire.run(session, Request(b"BAD?", LineReply()))
    assert isinstance(ending, Failed)
    assert what in ending.reason
    assert session.state is State.POISONED
    assert wire.run(session, IDN) == Done(b"*IDN?")


@pytest.mark.parametrize(
    "reply", [b"#3100" + bytes(100), b"#210" + bytes(11) + b"\n", b"#0" + bytes(9), b"12\n", b"#9999999999"]
)
def test_a_malformed_block_poisons(reply: bytes) -> None:
    wire, session = Wire(lambda message: reply if message == b"BAD?" else echo(message)), Session()
    ending = wire.run(session, Request(b"BAD?", BlockReply(1000)))
    assert isinstance(ending, Failed)
    assert session.state is State.POISONED
    assert wire.run(session, IDN) == Done(b"*IDN?")


def test_half_a_block_says_how_much_came() -> None:
    wire, session = Wire(lambda _: (write_block(bytes(1000)) + b"\n")[:505]), Session()
    ending = wire.run(session, Request(b"DATA?", BlockReply(1000)))
    assert ending == Failed("expected 1000 bytes of block data, got 499 by the deadline", FIX_LATE)


def test_a_malformed_reply_is_asked_for_again_if_that_does_no_harm() -> None:
    replies = [b"bad\xff\n", b"good\n"]
    wire = Wire(lambda _: replies.pop(0))
    session = Session()
    assert wire.run(session, Request(b"X?", LineReply(), repeatable=True)) == Done(b"good")
    assert (session.counters.retry_count, session.counters.malformed_count, session.counters.fence_count) == (1, 1, 2)
    replies[:] = [b"bad\xff\n", b"good\n"]
    assert isinstance(wire.run(session, Request(b"X?", LineReply())), Failed)


def test_retries_are_bounded() -> None:
    wire, session = Wire(lambda _: b"bad\xff\n"), Session()
    assert isinstance(wire.run(session, Request(b"X?", LineReply(), repeatable=True, retries_max=3)), Failed)
    assert (session.counters.retry_count, session.counters.malformed_count) == (3, 4)


def test_a_dead_instrument_ends_at_the_deadline() -> None:
    wire, session = Wire(lambda _: b"", lambda _: 1e9), Session()
    ending = wire.run(session, IDN, timeout_s=2.0)
    assert isinstance(ending, Failed)
    assert ending == Failed("the session could not be fenced: no reply at all", FIX_SILENT)
    assert wire.now_s == pytest.approx(2.0)
    assert session.counters.fence_count == 3


def test_a_failed_write_poisons() -> None:
    wire, session = Wire(echo), Session()
    wire.run(session, IDN)
    session.ask(Request(b"OUTP 1"), wire.now_s + 1)
    assert isinstance(session.step(wire.now_s), Send)
    session.fail("cable gone")
    assert session.step(wire.now_s) == Failed("cable gone", FIX_SILENT)
    assert session.state is State.POISONED


@given(st.integers(0, TOKEN_COUNT - 1), st.binary(max_size=40))
def test_a_token_is_found_behind_any_stale_bytes(token: int, stale: bytes) -> None:
    reply = b"%d;%d;%d\n" % token_digits(token)
    found = fence_pattern(token).search(stale + reply)
    assert found
    assert found.end() == len(stale + reply)
    assert fence_reply(fence_message(token)[:-1]) == reply
    other = b"%d;%d;%d\n" % token_digits((token + 1) % TOKEN_COUNT)
    assert fence_pattern(token).search(other) is None


def test_bytes_behind_the_token_mean_another_fence() -> None:
    extra = [b"late\n"]
    wire, session = Wire(echo), Session()
    honest = wire.write

    def write(data: bytes) -> None:
        honest(data)
        if extra:
            due_s, piece = wire.coming.pop()
            wire.coming.append((due_s, piece + extra.pop()))

    wire.write = write
    assert wire.run(session, IDN) == Done(b"*IDN?")
    assert (session.counters.fence_count, session.counters.fence_failed_count) == (2, 1)


def test_the_last_messages_are_kept_with_their_times() -> None:
    wire, session = Wire(echo), Session()
    wire.run(session, IDN)
    assert [(direction, data) for _, direction, data in session.messages][-2:] == [(">", b"*IDN?\n"), ("<", b"*IDN?\n")]
