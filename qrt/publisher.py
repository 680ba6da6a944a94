"""The publisher of results: documents on a ZeroMQ PUB socket, and the viewer's end. The shell around `wire.py`.

View mode: lossy by nature. A PUB socket drops what a slow listener's queue cannot hold and does not know it; the publisher numbers the
messages of each topic without gaps and says the last numbers in every heartbeat, and the listener's `Tally` counts what it did not get.
So the kernel and the recorder never wait for anyone. The queue holds `SEND_QUEUE_COUNT` messages per listener, some tens of megabytes if
each is a full page; frames are shared between listeners.

Only addresses of this machine are bound (config/address.py says which, and why). Not here: what documents hold (documents.py), record
mode (credit, resume).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import msgspec
import zmq

from qrt import documents, wire
from qrt.config.address import stream_address
from qrt.errors import ConfigError, MachineError, RecordError

SEND_QUEUE_COUNT: Final = 128
RECEIVE_QUEUE_COUNT: Final = 1024
LINGER_MS: Final = 500  # at the end of a run: long enough for a listener on this machine to get `stop`
TOPIC_COUNT_MAX: Final = 4096  # that a tally remembers


def _socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str, *, queue_count: int, linger_ms: int
) -> zmq.Socket[bytes]:
    """Return a socket with every bound set: the only place where one is made."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, queue_count)
    socket.setsockopt(zmq.RCVHWM, queue_count)
    socket.setsockopt(zmq.LINGER, linger_ms)
    socket.setsockopt(zmq.MAXMSGSIZE, wire.BUFFER_BYTES_MAX)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # of the connection: a dead listener's queue is freed
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
    socket.setsockopt(zmq.IPV6, int("[" in address))
    return socket


class Publisher:
    """The run's end: numbers documents and publishes them. Inert until `open`; a context manager. Safe from several threads."""

    def __init__(self, address: str, run: str) -> None:
        """ConfigError for an address that is not of this machine alone."""
        try:
            self.address = stream_address(address)
        except ValueError as error:
            raise ConfigError(f"stream address {error}") from error
        self.run = run
        self.counters = {"messages": 0, "bytes": 0}
        self._last_seq: dict[str, int] = {}
        self._lock = threading.Lock()  # ZeroMQ sockets are not for two threads at once
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._publish: zmq.Socket[bytes] | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Bind; `address` then names the port, also where it was `*`. MachineError if the port is taken."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        publish = _socket(context, zmq.PUB, self.address, queue_count=SEND_QUEUE_COUNT, linger_ms=LINGER_MS)
        try:
            publish.bind(self.address)
        except zmq.ZMQError as error:
            publish.close(linger=0)
            context.term()
            raise MachineError(_unbound(self.address, error)) from error
        self.address = publish.getsockopt_string(zmq.LAST_ENDPOINT)
        self._context, self._publish = context, publish

    def close(self) -> None:
        """Close, waiting at most `LINGER_MS` for listeners to get what is queued. Safe to call twice."""
        with self._lock:
            if self._publish is not None and self._context is not None:
                self._publish.close()
                self._context.term()
            self._publish = self._context = None

    def send(self, doc: str, body: Mapping[str, Any], *, rec: int, tick: int, t_ns: int, durable_shot: int) -> None:
        """Publish a document under the next number of its topic. Never waits."""
        stream = documents.STREAM_OF[doc]
        topic = wire.topic_of(self.run, stream, doc)
        with self._lock:
            seq = self._last_seq.get(topic, -1) + 1
            header = wire.Header(
                doc=doc, seq=seq, rec=rec, run=self.run, tick=tick, t_ns=t_ns, durable_shot=durable_shot
            )
            frames = wire.encode(header, stream, body)
            assert self._publish is not None
            # Copied: ZeroMQ's notice that it is done with a lent buffer costs more than copying the 100 kB of a usual column.
            self._publish.send_multipart(frames, copy=True)
            self._last_seq[topic] = seq
            self.counters["messages"] += 1
            self.counters["bytes"] += sum(len(frame) for frame in frames)

    def heartbeat(
        self, counters: Mapping[str, int], state: str, *, rec: int, tick: int, t_ns: int, durable_shot: int
    ) -> None:
        """Publish a heartbeat with the last number of every topic."""
        with self._lock:
            body = documents.heartbeat(self._last_seq, {**counters, **self.counters}, state)
        self.send("heartbeat", body, rec=rec, tick=tick, t_ns=t_ns, durable_shot=durable_shot)


def _unbound(address: str, error: zmq.ZMQError) -> str:
    if error.errno == zmq.EADDRINUSE:
        fix = "another run or program has it: end that one, or give another port with `stream.address` in the lab file"
        return f"{address}: taken; {fix}"
    fix = "give an address of this machine with `stream.address` in the lab file"
    return f"{address}: cannot be bound: {error.strerror}; {fix}"


# ---- The viewer's end ----------------------------------------------------------------------------------------------------


class Tally:
    """Counts what came and what did not: over all topics, sent = delivered + skipped + before. Pure.

    `before` is what was sent before this viewer listened: joining late is not losing. Until a run's `start` or its first heartbeat was
    seen, the first message of a topic and what that heartbeat names and never came are taken for that; afterwards every gap is a loss.
    """

    def __init__(self, prefixes: tuple[str, ...] = ("run/",)) -> None:
        self.delivered = 0
        self.skipped = 0
        self.before = 0
        self._prefixes = prefixes
        self._last: OrderedDict[str, int] = OrderedDict()  # topic -> last number accounted for, least recent first
        self._joined = ""  # the run whose beginning is known

    def see(self, message: wire.Message) -> int:
        """Account for a message; return how many were found skipped with it, of its topic or of those a heartbeat names."""
        named = dict[str, int]()
        if message.header.doc == "heartbeat":
            named = message.body["last_seq"]
            if type(named) is not dict or not all(type(last) is int for last in named.values()):
                raise RecordError(f"heartbeat.last_seq: {named!r} is not a map from topics to numbers")
        joined = self._joined == message.header.run
        skipped = self._advance(message.topic, message.header.seq - 1, joined=joined)
        self._last[message.topic] = max(message.header.seq, self._last[message.topic])
        self.delivered += 1
        for topic, last in named.items():
            if topic != message.topic and topic.startswith(self._prefixes):
                skipped += self._advance(topic, last, joined=joined)
        if message.header.doc in {"start", "heartbeat"}:
            self._joined = message.header.run
        return skipped

    def _advance(self, topic: str, last: int, *, joined: bool) -> int:
        """Account for everything of a topic up to number `last`; return what of it was skipped."""
        known = self._last.get(topic)
        gap = max(last - (-1 if known is None else known), 0)
        self._last[topic] = last if known is None else max(known, last)
        self._last.move_to_end(topic)
        if len(self._last) > TOPIC_COUNT_MAX:
            self._last.popitem(last=False)
        if known is None and not joined:
            self.before += gap
            return 0
        self.skipped += gap
        return gap


class Seen(msgspec.Struct, frozen=True):
    """What a viewer gets: a message and how many were skipped before it, or the reason why one could not be read."""

    message: wire.Message | None
    skipped_count: int
    refusal: str = ""


def watch(
    address: str, prefixes: tuple[str, ...] = ("run/",), *, silence_s: float | None = None, tally: Tally | None = None
) -> Iterator[Seen]:
    """Connect, and return what a publisher at `address` says, until nothing came for `silence_s` or the caller closes.

    prefixes: of topics. A message that cannot be read is yielded as a refusal and counted nowhere else; the watch goes on.
    MachineError if the address cannot be connected to at all (an absent publisher is waited for: ZeroMQ connects when it appears).
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = _socket(context, zmq.SUB, address, queue_count=RECEIVE_QUEUE_COUNT, linger_ms=0)
    for prefix in prefixes:
        socket.setsockopt_string(zmq.SUBSCRIBE, prefix)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        socket.close()
        context.term()
        raise MachineError(f"{address}: cannot be connected to: {error.strerror}; give tcp://HOST:PORT") from error
    return _heard(context, socket, silence_s, Tally(prefixes) if tally is None else tally)


def _heard(
    context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], silence_s: float | None, tally: Tally
) -> Iterator[Seen]:
    """Yield what comes, and close in the end."""
    try:
        while socket.poll(None if silence_s is None else round(silence_s * 1000)):
            try:
                message = wire.decode(socket.recv_multipart())
                seen = Seen(message, tally.see(message))
            except RecordError as error:
                seen = Seen(None, 0, str(error))
            yield seen
    finally:
        socket.close()
        context.term()
