"""The codec against the page that defines it: round trips, every refusal, and bytes that a plain msgpack reader understands."""

import math
import struct
from contextlib import suppress

import event_model
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt import documents, wire
from qrt.errors import RecordError
from qrt.kernel import MISS_DTYPE, row_dtype
from qrt.types import Estimate, StdErr

RUN = "20250101-120000-0a1b2c3d"
HEADER = wire.Header(doc="heartbeat", seq=3, rec=7, run=RUN, tick=-5, t_ns=10**18, durable_shot=42)
HEARTBEAT = {"last_seq": {}, "counters": {}, "state": "running"}
ROW = row_dtype(2)


def sample_rows(count, first=0):
    rows = np.zeros(count, ROW)
    rows["shot"] = np.arange(first, first + count)
    rows["tick"] = rows["shot"] * 7000
    rows["shot_weight"] = 1.0
    rows["outcomes"] = rows["shot"][:, None] % 2
    rows["iq"] = rows["shot"][:, None, None] * np.array([[1, -1], [2, -2]])
    return rows


def join(frames):
    return [bytes(frame) for frame in frames]


def with_body(body, *buffers, header=HEADER):
    """Frames whose body is written by plain msgpack, not by the code under test."""
    topic = f"run/{header.run}/control/{header.doc}".encode()
    packed = body if isinstance(body, bytes) else msgpack.packb({**HEARTBEAT, **body})
    return [topic, bytes(wire.encode(header, "control", HEARTBEAT)[1]), packed, *buffers]


# ---- Both ways ---------------------------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
dtypes = st.sampled_from(wire.ARRAY_DTYPES)
shapes = st.lists(st.integers(0, 4), max_size=3)
keys = st.text(max_size=6).filter(lambda key: key != wire.ARRAY_KEY)


@st.composite
def arrays(draw):
    dtype, shape = np.dtype(draw(dtypes)), tuple(draw(shapes))
    size = math.prod(shape) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype).reshape(shape) if size else np.empty(shape, dtype)


bodies = st.dictionaries(
    keys,
    st.recursive(
        scalars | arrays(), lambda x: st.lists(x, max_size=4) | st.dictionaries(keys, x, max_size=4), max_leaves=12
    ),
    max_size=5,
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(bodies)
def test_what_is_encoded_is_decoded(body):
    body = {**body, **HEARTBEAT}
    message = wire.decode(join(wire.encode(HEADER, "control", body)))
    assert message.header == HEADER
    assert message.topic == f"run/{RUN}/control/heartbeat"
    assert message.stream == "control"
    assert same(body, message.body)


@given(bodies)
def test_a_bundle_holds_the_same(body):
    assert same(body, wire.unbundle(wire.bundle(body)))


@given(bodies)
def test_plain_msgpack_reads_a_message(body):
    topic, header, packed, *buffers = join(wire.encode(HEADER, "control", {**body, **HEARTBEAT}))
    assert topic.decode().split("/") == ["run", RUN, "control", "heartbeat"]
    assert msgpack.unpackb(header) == {
        "v": 1, "doc": "heartbeat", "seq": 3, "rec": 7, "run": RUN, "tick": -5, "t_ns": 10**18, "durable_shot": 42,
    }  # fmt: skip

    def restore(value):
        if isinstance(value, dict) and "__nd__" in value:
            return np.ndarray(value["shape"], value["dtype"], buffers[value["__nd__"]])
        if isinstance(value, dict):
            return {key: restore(item) for key, item in value.items()}
        return [restore(item) for item in value] if isinstance(value, list) else value

    assert same({**body, **HEARTBEAT}, restore(msgpack.unpackb(packed)))


@given(st.lists(st.binary(max_size=64), max_size=6))
def test_noise_is_refused_and_nothing_else_happens(frames):
    with pytest.raises(RecordError):
        wire.decode(frames)


@given(st.integers(0, 2), st.data())
def test_a_flipped_byte_decodes_or_is_refused(index, data):
    frames = join(wire.encode(HEADER, "control", {**HEARTBEAT, "x": np.arange(3)}))
    position = data.draw(st.integers(0, len(frames[index]) - 1))
    flipped = bytearray(frames[index])
    flipped[position] ^= data.draw(st.integers(1, 255))
    with suppress(RecordError):
        wire.decode([*frames[:index], bytes(flipped), *frames[index + 1 :]])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_cut_of_a_frame_is_refused(index):
    frames = join(wire.encode(HEADER, "control", {**HEARTBEAT, "x": np.arange(3)}))
    for size in range(len(frames[index])):
        with pytest.raises(RecordError):
            wire.decode([*frames[:index], frames[index][:size], *frames[index + 1 :]])


def test_arrays_are_views_and_strides_and_byte_order_are_undone():
    base = np.arange(24, dtype=">i4").reshape(4, 6)
    body = {
        **HEARTBEAT,
        "strided": base[::2, ::3],
        "scalar": np.array(7.5),
        "number": np.int16(-3),
        "pair": (1, np.float32(0.5)),
    }
    decoded = wire.decode(join(wire.encode(HEADER, "control", body))).body
    assert decoded["strided"].dtype.str == "<i4"
    assert decoded["strided"].tolist() == [[0, 3], [12, 15]]
    assert decoded["scalar"].shape == ()
    assert decoded["scalar"] == 7.5
    assert decoded["number"] == -3
    assert decoded["pair"] == [1, 0.5]
    assert not decoded["strided"].flags.writeable


def test_an_array_that_stands_twice_is_sent_once():
    time = np.linspace(0, 1, 5)
    frames = wire.encode(HEADER, "control", {**HEARTBEAT, "a": time, "b": {"c": time}})
    assert len(frames) == 4
    decoded = wire.decode(join(frames)).body
    assert decoded["b"]["c"].tolist() == decoded["a"].tolist() == time.tolist()


def test_nan_is_allowed_in_arrays_only():
    body = wire.decode(join(wire.encode(HEADER, "control", {**HEARTBEAT, "x": np.array([np.nan, np.inf])}))).body
    assert np.isnan(body["x"][0])
    for value in (math.nan, math.inf, -math.inf, np.float64("nan")):
        for holder in (value, [value], {"deep": [1, value]}):
            with pytest.raises(RecordError, match="metadata"):
                wire.encode(HEADER, "control", {**HEARTBEAT, "x": holder})
            plain = msgpack.packb({**HEARTBEAT, "x": holder}, default=float)
            with pytest.raises(RecordError, match="metadata"):
                wire.decode(with_body(plain))
    header = msgpack.packb({**msgpack.unpackb(with_body({})[1]), "later": math.nan})
    with pytest.raises(RecordError, match="metadata"):
        wire.decode([with_body({})[0], header, with_body({})[2]])


# ---- Refusals ------------------------------------------------------------------------------------------------------------


def nested(depth):
    """A body that is `depth` deep: the map itself is 1."""
    value = 0
    for _ in range(depth - 1):
        value = [value]
    return {"x": value}


def test_sixteen_deep_is_read_and_seventeen_is_not():
    assert wire.decode(with_body(nested(16))).body["x"]
    wire.encode(HEADER, "control", {**HEARTBEAT, **nested(16)})
    with pytest.raises(RecordError, match="deeper than 16"):
        wire.decode(with_body(nested(17)))
    with pytest.raises(RecordError, match="deeper than 16"):
        wire.encode(HEADER, "control", {**HEARTBEAT, **nested(17)})
    with pytest.raises(RecordError):
        wire.decode(with_body(b"\x91" * 100_000 + b"\x01"))


ARRAY = {"__nd__": 0, "dtype": "<i2", "shape": [2]}
REFUSED_ARRAYS = {
    "object": {**ARRAY, "dtype": "|O"},
    "string": {**ARRAY, "dtype": "<U1"},
    "bytes": {**ARRAY, "dtype": "|S4"},
    "void": {**ARRAY, "dtype": "|V4"},
    "time": {**ARRAY, "dtype": "<M8[ns]"},
    "big-endian": {**ARRAY, "dtype": ">i2"},
    "structured": {**ARRAY, "dtype": "i1,i1"},
    "no dtype": {**ARRAY, "dtype": None},
    "an unhashable dtype": {**ARRAY, "dtype": ["<i2"]},
    "too short": {**ARRAY, "shape": [3]},
    "too long": {**ARRAY, "shape": [1]},
    "negative": {**ARRAY, "shape": [-2]},
    "two negatives": {**ARRAY, "shape": [-1, -2]},
    "huge": {**ARRAY, "shape": [2**62, 4]},
    "huge and empty": {**ARRAY, "shape": [2**62, 0]},
    "a boolean size": {**ARRAY, "shape": [True, 2]},
    "a fraction": {**ARRAY, "shape": [2.0]},
    "no list": {**ARRAY, "shape": 2},
    "nine axes": {**ARRAY, "shape": [2] + [1] * 8},
    "no such buffer": {**ARRAY, "__nd__": 1},
    "buffer -1": {**ARRAY, "__nd__": -1},
    "buffer true": {**ARRAY, "__nd__": False},
    "buffer null": {**ARRAY, "__nd__": None},
    "surplus key": {**ARRAY, "more": 1},
    "missing key": {"__nd__": 0, "dtype": "<i2"},
    "a boolean of 2": {"__nd__": 0, "dtype": "|b1", "shape": [4]},
}


@pytest.mark.parametrize("name", REFUSED_ARRAYS)
def test_an_array_that_is_not_one_is_refused(name):
    assert wire.decode(with_body({"x": ARRAY}, b"\0\0\2\0")).body["x"].tolist() == [0, 2]
    with pytest.raises(RecordError, match=r"heartbeat\.x"):
        wire.decode(with_body({"x": REFUSED_ARRAYS[name]}, b"\0\0\2\0"))


def test_a_buffer_that_nothing_refers_to_is_refused():
    with pytest.raises(RecordError, match="2 buffers, of which 1"):
        wire.decode(with_body({"x": ARRAY}, b"\0\0\0\0", b"surplus"))


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "V3", "M8[ns]", "m8[s]", "i2,i2", "g"])
def test_an_array_that_would_be_refused_is_not_sent(dtype):
    with pytest.raises(RecordError, match=r"heartbeat\.x: an array"):
        wire.encode(HEADER, "control", {**HEARTBEAT, "x": np.zeros(2, dtype)})


def raw_map(*pairs):
    return bytes([0x80 + len(pairs)]) + b"".join(msgpack.packb(key) + value for key, value in pairs)


REFUSED_BODIES = {
    "a key twice": raw_map(("a", b"\x01"), ("a", b"\x02")),
    "a key twice, deep": raw_map(("a", raw_map(("b", b"\x01"), ("b", b"\x01")))),
    "an integer key": raw_map((1, b"\x01")),
    "a binary key": b"\x81\xc4\x01a\x01",
    "a binary": raw_map(("a", b"\xc4\x01a")),
    "an empty binary": raw_map(("a", b"\xc4\x00")),
    "ext": raw_map(("a", b"\xd4\x05a")),
    "an empty ext": raw_map(("a", b"\xc7\x00\x05")),
    "a timestamp": raw_map(("a", b"\xd6\xff\x00\x00\x00\x05")),
    "bytes behind": raw_map() + b"\x01",
    "no map": b"\x91\x80",
    "nothing": b"",
    "not UTF-8": raw_map(("a", b"\xa1\xff")),
    "a reserved byte": raw_map(("a", b"\xc1")),
    "a false length": b"\xdf\xff\xff\xff\xff",
    "many containers": raw_map(("a", b"\xdd" + struct.pack(">I", 100_000) + b"\x80" * 100_000)),
    "many lists": raw_map(("a", b"\xdd" + struct.pack(">I", 100_000) + b"\x90" * 100_000)),
}


@pytest.mark.parametrize("name", REFUSED_BODIES)
def test_a_body_that_is_not_plain_is_refused(name):
    with pytest.raises(RecordError):
        wire.decode(with_body(REFUSED_BODIES[name]))
    with pytest.raises(RecordError):
        wire.unbundle(b"\x91" + REFUSED_BODIES[name])


@pytest.mark.parametrize(
    "value", [b"bytes", {1: 2}, {"__nd__": 0}, object(), 2**64, -(2**63) - 1, "\ud800", {"a": {"b": {1, 2}}}, 1j]
)
def test_a_value_that_would_be_refused_is_not_sent(value):
    with pytest.raises(RecordError):
        wire.encode(HEADER, "control", {**HEARTBEAT, "x": value})


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_sizes_are_held_against_caps_before_anything_is_decoded(index):
    caps = [wire.TOPIC_BYTES_MAX, wire.HEADER_BYTES_MAX, wire.BODY_BYTES_MAX, wire.BUFFER_BYTES_MAX]
    frames = with_body({"x": ARRAY}, b"\0\0\0\0")
    frames[index] = bytes(caps[index] + 1)
    with pytest.raises(RecordError, match=f"frame {index}: {caps[index] + 1} bytes; at most {caps[index]}"):
        wire.decode(frames)


def test_a_message_of_many_frames_is_refused_and_not_sent():
    with pytest.raises(RecordError, match="frames"):
        wire.decode(with_body({}, *[b""] * (wire.BUFFER_COUNT_MAX + 1)))
    arrays = [np.zeros(1) for _ in range(wire.BUFFER_COUNT_MAX + 1)]
    with pytest.raises(RecordError, match="arrays"):
        wire.encode(HEADER, "control", {**HEARTBEAT, "x": arrays})
    with pytest.raises(RecordError, match="at most"):
        wire.encode(HEADER, "control", {**HEARTBEAT, "x": np.zeros(wire.BUFFER_BYTES_MAX + 1, np.int8)})
    with pytest.raises(RecordError, match="use arrays"):
        wire.encode(HEADER, "control", {**HEARTBEAT, "x": "a" * wire.BODY_BYTES_MAX})


GOOD_HEADER = msgpack.unpackb(with_body({})[1])
REFUSED_HEADERS = {
    "a later version": {**GOOD_HEADER, "v": 2},
    "version true": {**GOOD_HEADER, "v": True},
    "version 1.0": {**GOOD_HEADER, "v": 1.0},
    "no version": {key: value for key, value in GOOD_HEADER.items() if key != "v"},
    "no seq": {key: value for key, value in GOOD_HEADER.items() if key != "seq"},
    "a fraction": {**GOOD_HEADER, "seq": 3.0},
    "a boolean": {**GOOD_HEADER, "seq": True},
    "a text": {**GOOD_HEADER, "tick": "5"},
    "beyond int64": {**GOOD_HEADER, "tick": 2**63},
    "a negative seq": {**GOOD_HEADER, "seq": -1},
    "an unknown document": {**GOOD_HEADER, "doc": "gossip"},
    "another document": {**GOOD_HEADER, "doc": "miss"},
    "another run": {**GOOD_HEADER, "run": "other"},
    "a run with a slash": {**GOOD_HEADER, "run": "a/b"},
    "a list": list(GOOD_HEADER),
}


@pytest.mark.parametrize("name", REFUSED_HEADERS)
def test_a_header_that_does_not_hold_is_refused(name):
    frames = with_body({})
    frames[1] = msgpack.packb(REFUSED_HEADERS[name])
    with pytest.raises(RecordError):
        wire.decode(frames)


def test_unknown_header_keys_are_ignored():
    frames = with_body({})
    frames[1] = msgpack.packb({**GOOD_HEADER, "later": {"more": [1, 2]}})
    assert wire.decode(frames).header == HEADER


@pytest.mark.parametrize(
    "topic",
    [
        b"",
        b"run",
        b"run/x/control/heartbeat",
        f"run/{RUN}/a/b/heartbeat".encode(),
        f"run/{RUN}//heartbeat".encode(),
        b"\xff" * 9,
    ],
)
def test_a_topic_that_is_not_the_documents_is_refused(topic):
    frames = with_body({})
    with pytest.raises(RecordError, match="topic"):
        wire.decode([topic, *frames[1:]])


def test_a_document_lacks_nothing_it_must_hold():
    for doc, required in wire.REQUIRED.items():
        for lacking in required:
            header = wire.Header(doc=doc, seq=0, rec=0, run=RUN, tick=0, t_ns=0, durable_shot=0)
            with pytest.raises(RecordError, match=f"{doc}: lacks {lacking}"):
                wire.encode(header, "control", dict.fromkeys(required - {lacking}, 0))


# ---- Documents -------------------------------------------------------------------------------------------------------------


def validate(name, body):
    event_model.schema_validators[event_model.DocumentNames[name]].validate(body)


def through(doc, body):
    header = wire.Header(doc=doc, seq=0, rec=0, run=RUN, tick=0, t_ns=0, durable_shot=0)
    return wire.decode(join(wire.encode(header, documents.STREAM_OF[doc], body))).body


def start_document():
    return documents.start(
        RUN,
        1.7e9,
        program_hash="aa",
        lab_hash="bb",
        calibration_hash=None,
        seed=2**63,
        clock="virtual",
        versions={"qrt": "0.1", "numpy": "2.4"},
        operator="someone",
        simulated=True,
        shots=20,
    )


def test_bluesky_validates_the_documents():
    captures, bits = ("herald", "c[0]"), ("c[0]",)
    descriptor = documents.descriptor(RUN, 1.7e9, dtype=ROW, captures=captures, bits=bits, tick_ps=1000)
    page = documents.event_page(RUN, sample_rows(3), np.arange(3), time_s=1.7e9, tick_ps=1000)
    stop = documents.stop(RUN, 1.7e9, exit_status="success", reason="", shots=3, counters={"misses": 0}, digest="cc")
    validate("start", through("start", start_document()))
    validate("descriptor", through("descriptor", descriptor))
    validate("event_page", through("event_page", page))
    validate("stop", through("stop", stop))


def test_a_third_party_that_turns_arrays_into_lists_validates_the_page_too():
    page = through("event_page", documents.event_page(RUN, sample_rows(3), np.arange(3), time_s=1.7e9, tick_ps=1000))

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return value.tolist() if isinstance(value, np.ndarray) else value

    plain_page = plain(page)
    validate("event_page", plain_page)
    events = list(event_model.unpack_event_page(plain_page))
    assert [event["seq_num"] for event in events] == [1, 2, 3]
    assert [event["data"]["iq"] for event in events] == [[[s, -s], [2 * s, -2 * s]] for s in range(3)]
    for event in events:
        event_model.schema_validators[event_model.DocumentNames.event].validate(event)


def test_a_page_holds_the_rows_as_columns():
    rows = sample_rows(5, first=100)
    body = through("event_page", documents.event_page(RUN, rows, np.arange(5) - 2, time_s=1e9, tick_ps=500))
    required = {"shot", "tick", "epoch", "outcomes", "iq", "shot_weight", "flags", "lateness_ns"}
    assert required <= body["data"].keys()
    for name in required - {"lateness_ns"}:
        assert np.array_equal(body["data"][name], rows[name])
    assert body["data"]["lateness_ns"].tolist() == [-2, -1, 0, 1, 2]
    assert body["data"].keys() == body["timestamps"].keys()
    assert body["time"] == pytest.approx(1e9 + rows["tick"] * 0.5e-9, abs=1e-6)
    assert len(set(body["uid"])) == 5
    descriptor = documents.descriptor(RUN, 1.0, dtype=ROW, captures=("a", "b"), bits=(), tick_ps=1)
    assert descriptor["data_keys"].keys() == body["data"].keys()
    for name, key in descriptor["data_keys"].items():
        assert key["dtype_numpy"] == body["data"][name].dtype.str
        assert key["shape"] == list(body["data"][name].shape[1:])
    assert body["descriptor"] == descriptor["uid"]


def test_an_estimate_has_its_four_errors_and_an_unknown_truth_is_null():
    body = through("estimate", documents.estimate(Estimate("Z(c[0])", 0.9, 0.95, StdErr(0.01, 0.02, 0.0, 0.003))))
    assert body["stderr"] == {"shot": 0.01, "calibration": 0.02, "drift": 0.0, "preparation": 0.003}
    assert body["truth"] is None
    with pytest.raises(RecordError, match=r"estimate\.value: nan"):
        through("estimate", documents.estimate(Estimate("Z", 0.9, math.nan, StdErr(0, 0, 0, 0))))


def test_a_miss_is_said_in_words():
    row = np.zeros(1, MISS_DTYPE)[0]
    row["shot"], row["tick"], row["lateness_ns"], row["skipped_count"], row["policy"], row["cause"] = (
        7,
        49,
        80_000,
        3,
        1,
        4,
    )
    body = through("miss", documents.miss(row))
    assert body == {
        "shot": 7, "tick": 49, "class": "late_release", "lateness_ns": 80_000, "policy": "abort", "cause": "outside", "skipped_count": 3,
    }  # fmt: skip
