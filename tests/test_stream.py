"""The stream as a listener gets it: numbers without gaps, losses counted exactly, and the example that imports no Q-RT."""

import select
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from qrt import documents, wire
from qrt.errors import ConfigError, MachineError, RecordError
from qrt.publisher import SEND_QUEUE_COUNT, Publisher, Tally, watch
from qrt.types import Estimate, StdErr

RUN = "20250101-120000-0a1b2c3d"
ANY = "tcp://127.0.0.1:*"
NUMBERS = {"rec": 1, "tick": 2, "t_ns": 3, "durable_shot": 4}
WAIT_MS = 20_000  # a bound for a machine that hangs, never reached


def estimate(value=0.5):
    return documents.estimate(Estimate("Z(c[0])", 0.4, value, StdErr(0.03, 0.04, 0.0, 0.0), shots=100))


def stop():
    return documents.stop(
        RUN, 1.0, exit_status="success", reason="all shots done", shots=9, counters={}, digest="ab" * 32
    )


def beat(publisher, state="running"):
    publisher.heartbeat({}, state, **NUMBERS)


def raw_subscriber(context, address, prefix="run/"):
    listener = context.socket(zmq.SUB)
    listener.setsockopt(zmq.LINGER, 0)
    listener.setsockopt_string(zmq.SUBSCRIBE, prefix)
    listener.connect(address)
    return listener


def until_heard(publisher, *listeners):
    """Publish heartbeats until each listener gets one: then its subscription stands."""
    for listener in listeners:
        for _ in range(WAIT_MS // 10):
            beat(publisher)
            if listener.poll(10):
                break
        else:
            pytest.fail("nothing was heard")


# ---- Addresses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "tcp://*:5557",
        "tcp://0.0.0.0:5557",
        "tcp://192.168.1.5:5557",
        "tcp://eth0:5557",
        "tcp://lab-pc:5557",
        "tcp://[::]:5557",
    ],
)
def test_an_address_off_this_machine_is_refused_with_the_reason(address):
    with pytest.raises(ConfigError, match=r"refused: .*CURVE.*allowed: tcp://127\.0\.0\.1"):
        Publisher(address, RUN)


@pytest.mark.parametrize(
    "address",
    ["", "5557", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "udp://127.0.0.1:1", "ipc://"],
)
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError, match="not an address to publish on; allowed"):
        Publisher(address, RUN)


@pytest.mark.parametrize("address", [ANY, "tcp://localhost:*", "tcp://127.8.9.1:*"])
def test_an_address_of_this_machine_is_bound_and_named(address):
    with Publisher(address, RUN) as publisher:
        host, port = publisher.address.removeprefix("tcp://").rsplit(":", 1)
        assert host.startswith("127.")
        assert int(port) > 0


def test_a_socket_file_is_an_address_too(tmp_path):
    with Publisher(f"ipc://{tmp_path}/stream", RUN) as publisher:
        beat(publisher)


def test_a_taken_port_is_named_with_the_fix():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MachineError, match=rf"{address}: taken; .*stream\.address"):
            Publisher(address, RUN).open()


def test_a_closed_publisher_gives_the_port_back():
    with Publisher(ANY, RUN) as publisher:
        address = publisher.address
    with Publisher(address, RUN) as publisher:
        assert publisher.address == address


# ---- What is heard -----------------------------------------------------------------------------------------------------------


def test_a_plain_listener_gets_numbered_documents():
    with (
        zmq.Context() as context,
        Publisher(ANY, RUN) as publisher,
        raw_subscriber(context, publisher.address) as listener,
    ):
        until_heard(publisher, listener)
        for index in range(5):
            publisher.send("estimate", estimate(index / 8), **NUMBERS)
        seen = []
        while len(seen) < 5:
            assert listener.poll(WAIT_MS)
            topic, header, body, *buffers = listener.recv_multipart()
            if topic == f"run/{RUN}/estimates/estimate".encode():
                seen.append((msgpack.unpackb(header)["seq"], msgpack.unpackb(body)["value"]))
                assert buffers == []
    assert seen == [(index, index / 8) for index in range(5)]


def test_a_document_that_is_refused_leaves_no_gap():
    with (
        zmq.Context() as context,
        Publisher(ANY, RUN) as publisher,
        raw_subscriber(context, publisher.address) as listener,
    ):
        until_heard(publisher, listener)
        publisher.send("estimate", estimate(), **NUMBERS)
        with pytest.raises(RecordError):
            publisher.send("estimate", estimate(float("nan")), **NUMBERS)
        publisher.send("estimate", estimate(), **NUMBERS)
        seen = []
        while len(seen) < 2:
            assert listener.poll(WAIT_MS)
            message = wire.decode(listener.recv_multipart())
            seen += [message.header.seq] if message.header.doc == "estimate" else []
    assert seen == [0, 1]


def test_a_prefix_picks_a_stream():
    with zmq.Context() as context, Publisher(ANY, RUN) as publisher:
        everything = raw_subscriber(context, publisher.address)
        prefix = f"run/{RUN}/estimates/"
        listener = raw_subscriber(context, publisher.address, prefix)
        with everything, listener:
            until_heard(publisher, everything)
            for _ in range(WAIT_MS // 10):
                publisher.send("estimate", estimate(), **NUMBERS)
                beat(publisher)
                if listener.poll(10):
                    break
            assert listener.recv_multipart()[0].startswith(prefix.encode())


@contextmanager
def beating(publisher):
    """Publish heartbeats from a thread of its own, so that a watcher that connects hears something."""
    done = threading.Event()

    def beat_on():
        while not done.wait(0.01):
            beat(publisher)

    thread = threading.Thread(target=beat_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_watch_yields_messages_with_what_was_skipped():
    with Publisher(ANY, RUN) as publisher, beating(publisher):
        seen = []
        for one in watch(publisher.address, silence_s=WAIT_MS / 1000):
            if not seen:
                publisher.send("estimate", estimate(), **NUMBERS)
                publisher.send("stop", stop(), **NUMBERS)
            seen.append(one)
            if one.message.header.doc == "stop":
                break
    docs = [one.message.header.doc for one in seen if one.message.header.doc != "heartbeat"]
    assert docs == ["estimate", "stop"]
    assert all(one.skipped_count == 0 and one.refusal == "" for one in seen)


def test_watch_ends_when_nothing_comes():
    with Publisher(ANY, RUN) as publisher:
        assert list(watch(publisher.address, silence_s=0.01)) == []


def test_watch_says_what_it_cannot_read_and_goes_on():
    good = wire.encode(wire.Header(doc="stop", seq=0, run=RUN, **NUMBERS), "control", stop())
    with zmq.Context() as context, context.socket(zmq.XPUB) as forger:
        forger.setsockopt(zmq.LINGER, 0)
        port = forger.bind_to_random_port("tcp://127.0.0.1")
        watching = watch(f"tcp://127.0.0.1:{port}", silence_s=WAIT_MS / 1000)

        def forge():
            forger.recv()  # the subscription
            forger.send_multipart([b"run/", b"\x80", b"\x80"])
            forger.send_multipart([b"run/x"])
            forger.send_multipart(good)

        thread = threading.Thread(target=forge)
        thread.start()
        seen = [next(watching) for _ in range(3)]
        watching.close()
        thread.join()
    assert [one.message is None for one in seen] == [True, True, False]
    assert "header.v" in seen[0].refusal
    assert "1 frames" in seen[1].refusal
    assert seen[2].message.body["reason"] == "all shots done"


# ---- What is lost ------------------------------------------------------------------------------------------------------------


def message(doc, seq, body, run=RUN):
    topic = wire.topic_of(run, documents.STREAM_OF[doc], doc)
    return wire.Message(topic, wire.Header(doc=doc, seq=seq, run=run, **NUMBERS), body)


@given(
    st.lists(st.sampled_from(["estimate", "miss", "heartbeat"]), max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(0, 10),
)
def test_sent_is_delivered_and_skipped_and_before(docs, lost, joined):
    """A publisher's numbers, any of its messages lost, and a heartbeat at the end: the tally adds up, whenever the viewer joined."""
    last, tally, sent, delivered = {}, Tally(), 0, 0
    for index, doc in enumerate([*docs, "heartbeat"]):
        body = {"last_seq": dict(last)} if doc == "heartbeat" else {}
        one = message(doc, last.get(wire.topic_of(RUN, documents.STREAM_OF[doc], doc), -1) + 1, body)
        last[one.topic] = one.header.seq
        sent += 1
        if index == len(docs) or (index >= joined and index not in lost):
            tally.see(one)
            delivered += 1
    assert tally.delivered == delivered
    assert sent == tally.delivered + tally.skipped + tally.before


def test_who_heard_the_start_lost_everything_that_is_missing():
    tally = Tally()
    assert tally.see(message("start", 0, {})) == 0
    assert tally.see(message("estimate", 3, {})) == 3
    assert (
        tally.see(
            message("heartbeat", 0, {"last_seq": {f"run/{RUN}/estimates/estimate": 5, f"run/{RUN}/control/miss": 1}})
        )
        == 4
    )
    assert (tally.delivered, tally.skipped, tally.before) == (3, 7, 0)


def test_who_joins_late_lost_nothing():
    tally = Tally()
    assert tally.see(message("estimate", 100, {})) == 0
    assert (
        tally.see(
            message("heartbeat", 7, {"last_seq": {f"run/{RUN}/control/miss": 4, f"run/{RUN}/estimates/estimate": 100}})
        )
        == 0
    )
    assert tally.before == 100 + 7 + 5
    assert tally.see(message("estimate", 102, {})) == 1
    assert tally.skipped == 1


def test_a_viewer_of_one_stream_misses_none_of_the_others():
    tally = Tally((f"run/{RUN}/control/",))
    tally.see(message("start", 0, {}))
    assert tally.see(message("heartbeat", 0, {"last_seq": {f"run/{RUN}/estimates/estimate": 50}})) == 0


@pytest.mark.parametrize("named", [[], {"run/x": "y"}, {"run/x": True}, None])
def test_a_heartbeat_that_names_nonsense_is_refused(named):
    with pytest.raises(RecordError, match="last_seq"):
        Tally().see(message("heartbeat", 0, {"last_seq": named}))


def test_eight_listeners_get_or_count_every_message_and_one_is_stalled():
    """The first reads nothing until all is sent, more than its queues hold: what it did not get, it counts."""
    page = documents.event_page(RUN, big_rows(), np.zeros(2000, np.int64), time_s=0.0, tick_ps=1)
    tallies = [Tally() for _ in range(8)]
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        publisher = stack.enter_context(Publisher(ANY, RUN))
        listeners = [stack.enter_context(context.socket(zmq.SUB)) for _ in tallies]
        for listener in listeners:
            listener.setsockopt(zmq.LINGER, 0)
            listener.setsockopt(zmq.RCVHWM, 8)
            listener.setsockopt(zmq.RCVBUF, 1 << 16)
            listener.setsockopt_string(zmq.SUBSCRIBE, "run/")
            listener.connect(publisher.address)
        until_heard(publisher, *listeners)

        def take(index):
            message = wire.decode(listeners[index].recv_multipart())
            tallies[index].see(message)
            return message.header.doc

        for _ in range(3 * SEND_QUEUE_COUNT):
            publisher.send("event_page", page, **NUMBERS)
            for index in range(1, 8):  # each waits for this page, so that only the stalled one can lose any
                doc = ""
                while doc != "event_page":
                    assert listeners[index].poll(WAIT_MS)
                    doc = take(index)
        for _ in range(WAIT_MS // 50):  # until each has drained its queue and heard a last heartbeat
            beat(publisher, "stopped")
            for index, listener in enumerate(listeners):
                while listener.poll(5):
                    take(index)
            produced = publisher.counters["messages"]
            if all(tally.delivered + tally.skipped + tally.before == produced for tally in tallies):
                break
    assert [tally.delivered + tally.skipped + tally.before for tally in tallies] == [produced] * 8
    assert tallies[0].skipped > 0
    assert [tally.skipped for tally in tallies[1:]] == [0] * 7


def big_rows():
    dtype = [(name, "<i8") for name in ("shot", "tick", "epoch")] + [
        ("bits", "<u8"),
        ("shot_weight", "<f8"),
        ("flags", "<u4"),
    ]
    rows = np.zeros(2000, [*dtype, ("outcomes", "u1", (4,)), ("iq", "<i8", (4, 2))])
    rows["shot"] = np.arange(2000)
    return rows


# ---- The example ---------------------------------------------------------------------------------------------------------------


def test_the_example_listens_without_our_code(project):
    path = project / "examples" / "subscribe.py"
    assert len(path.read_text().splitlines()) <= 60
    assert "qrt" not in "".join(line for line in path.read_text().splitlines() if "import" in line)
    with Publisher(ANY, RUN) as publisher:
        command = [sys.executable, "-I", path, publisher.address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            lines = [process.stdout.readline()]
            while not select.select([process.stdout], [], [], 0.01)[0]:  # until its subscription stands
                publisher.send("estimate", estimate(0.25), **NUMBERS)
            page = documents.event_page(RUN, big_rows(), np.zeros(2000, np.int64), time_s=0.0, tick_ps=1)
            publisher.send("event_page", page, **NUMBERS)
            publisher.send("estimate", estimate(-0.5), **NUMBERS)
            publisher.send("stop", stop(), **NUMBERS)
            lines += process.stdout.read().splitlines()
        assert process.returncode == 0
    assert lines[0].strip() == f"listening to {publisher.address}"
    assert "Z(c[0]) = +0.25000 +- 0.05000   (0 shots, 0 skipped)" in lines[1]
    assert "Z(c[0]) = -0.50000 +- 0.05000   (2000 shots, 0 skipped)" in lines[-3]
    assert lines[-2] == f"stop: run {RUN}, 4 shots on disk"
    assert lines[-1].startswith("success: all shots done (digest abababab")
