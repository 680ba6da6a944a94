"""The recorder between rings and disk: what is on disk when it is published, what is lost when the disk fails, who waits for whom."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zmq

from qrt import documents, wire
from qrt.client import open_run
from qrt.errors import BugError, MachineError, RecordError  # noqa: F401 - the child uses the second
from qrt.kernel import MISS_DTYPE, Ring, row_dtype
from qrt.layout import Layout
from qrt.publisher import Publisher, Tally
from qrt.record import RunFolder
from qrt.recorder import BUFFER_ROWS, PAGE_ROWS, Recorder
from qrt.types import Estimate, StdErr

ROW = row_dtype(2)
UID = "20250101-120000-0a1b2c3d"


def write(ring, records):
    """Publish all records, waiting for room as the kernel does in virtual time."""
    done = threading.Event()
    while len(records := records[ring.write(records) :]):
        done.wait(0.001)


def write_rows(rows, lateness, first, count):
    """Publish rows and their lateness in turn, as the kernel does."""
    for start in range(first, first + count, 100):
        part = min(100, first + count - start)
        write(lateness, np.arange(start, start + part))
        write(rows, sample_rows(part, start))


class DiskSink:
    """A listener that, whenever it is told something, looks whether it is on the disk."""

    def __init__(self, folder):
        self.folder = folder
        self.documents = []

    def send(self, doc, body, *, rec, tick, t_ns, durable_shot):
        run = open_run(self.folder.path)
        self.documents.append((doc, body, rec))
        assert len(run.rows) >= durable_shot
        if doc == "event_page":
            assert body["data"]["shot"][-1] < durable_shot
            assert np.array_equal(run.rows["iq"][body["data"]["shot"]], body["data"]["iq"])
        else:
            assert any(one.rec == rec and one.body == body for one in run.documents(doc))

    def heartbeat(self, counters, state, **numbers):
        self.documents.append(("heartbeat", counters, state))


def sample_rows(count, first=0):
    rows = np.zeros(count, ROW)
    rows["shot"] = np.arange(first, first + count)
    rows["tick"] = rows["shot"] * 7000
    rows["iq"] = rows["shot"][:, None, None] * np.array([[1, -1], [2, -2]])
    rows["flags"] = rows["shot"] % 10 == 9
    return rows


def rings(slot_count=1024):
    sizes = ((ROW.itemsize, slot_count), (8, slot_count), (MISS_DTYPE.itemsize, 16))
    return tuple(Ring.create(size, slots, 1) for size, slots in sizes)


def estimate(value):
    return documents.estimate(Estimate("Z", 0.0, value, StdErr(0.1, 0.0, 0.0, 0.0)))


def stop(folder, counters):
    shots = folder.durable_shot
    return documents.stop(
        UID, 1.0, exit_status="success", reason="", shots=shots, counters=counters, digest=folder.digest()
    )


@pytest.fixture
def folder(tmp_path):
    with RunFolder.create(tmp_path, UID, Layout(ROW, ("herald", "c[0]"), ("c[0]",))) as folder:
        yield folder


def test_what_is_published_is_on_the_disk_in_order_and_whole(folder):
    rows, lateness, misses = rings()
    sink = DiskSink(folder)
    recorder = Recorder(folder, rows, lateness, misses, miss_dtype=MISS_DTYPE, sink=sink)
    recorder.document("start", {"uid": UID, "time": 0.0})
    assert [doc for doc, _, _ in sink.documents] == ["start"]
    recorder.start()
    for part in range(4):
        write_rows(rows, lateness, part * 700, 700)
        recorder.document("estimate", estimate(part / 4))
        miss = np.zeros(1, MISS_DTYPE)
        miss["shot"], miss["skipped_count"], miss["cause"] = part * 700, 1, 2
        write(misses, miss)
    for ring in (rows, lateness, misses):
        ring.finish()
    recorder.join()
    recorder.document("stop", stop(folder, recorder.counters))
    run = open_run(folder.path)
    assert np.array_equal(run.rows, sample_rows(2800))
    assert np.array_equal(run.lateness_ns, np.arange(2800))
    assert run.stop["digest"] == run.digest()
    assert run.cut == ""
    pages = [body["data"] for doc, body, _ in sink.documents if doc == "event_page"]
    assert np.array_equal(np.concatenate([page["shot"] for page in pages]), np.arange(2800))
    assert np.array_equal(np.concatenate([page["lateness_ns"] for page in pages]), np.arange(2800))
    assert [body["value"] for doc, body, _ in sink.documents if doc == "estimate"] == [0.0, 0.25, 0.5, 0.75]
    assert [body["shot"] for doc, body, _ in sink.documents if doc == "miss"] == [0, 700, 1400, 2100]
    assert [miss["cause"] for miss in run.misses] == ["switch"] * 4
    assert recorder.counters == {
        "rows_recorded": 2800,
        "rows_lost": 0,
        "pages": len(pages),
        "misses": 4,
        "skipped_shots": 280,
    }
    assert sink.documents[-1][0] == "heartbeat"
    assert sink.documents[-1][2] == "stopped"
    recs = [rec for doc, _, rec in sink.documents if doc != "heartbeat"]
    assert len(recs) > 8


def test_a_buffer_full_of_rows_is_one_commit_of_several_pages(folder):
    count = BUFFER_ROWS + 5000
    rows, lateness, _ = rings(1 << 15)
    write_rows(rows, lateness, 0, count)
    rows.finish()
    sink = DiskSink(folder)
    recorder = Recorder(folder, rows, lateness, sink=sink)
    recorder.start()
    recorder.join()
    sizes = [len(body["seq_num"]) for doc, body, _ in sink.documents if doc == "event_page"]
    assert sizes == [PAGE_ROWS] * 4 + [PAGE_ROWS, 5000 - PAGE_ROWS]
    assert folder.counters["commits"] == 2
    assert np.array_equal(open_run(folder.path).rows, sample_rows(count))


def test_rows_wait_for_their_lateness(folder):
    rows, lateness, _ = rings()
    recorder = Recorder(folder, rows, lateness)
    recorder.start()
    write(rows, sample_rows(500))
    write(lateness, np.arange(500))
    rows.finish()
    recorder.join()
    assert len(open_run(folder.path).lateness_ns) == 500


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_rows_without_lateness_are_our_bug(folder):
    rows, lateness, _ = rings()
    failed = []
    recorder = Recorder(folder, rows, lateness, on_failure=lambda: failed.append(1))
    write(rows, sample_rows(500))
    write(lateness, np.arange(499))
    rows.finish()
    recorder.start()
    with pytest.raises(BugError, match="traceback is above"):
        recorder.join()
    assert failed == [1]
    assert recorder.counters["rows_lost"] == 1


def test_documents_from_many_threads_are_all_recorded(folder):
    rows, lateness, _ = rings()
    recorder = Recorder(folder, rows, lateness)
    recorder.start()

    def say(thread):
        for index in range(50):
            recorder.document("estimate", estimate(thread + index / 64))

    threads = [threading.Thread(target=say, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    rows.finish()
    for thread in threads:
        thread.join()
    recorder.join()
    values = [one.body["value"] for one in open_run(folder.path).documents("estimate")]
    assert sorted(values) == sorted(thread + index / 64 for thread in range(4) for index in range(50))
    for thread in range(4):
        own = [value for value in values if int(value) == thread]
        assert own == sorted(own)


FAILING = """
import signal, resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
folder = t.RunFolder.create(t.Path(sys.argv[1]), t.UID, t.Layout(t.ROW, ("herald", "c[0]"), ("c[0]",)))
rows, lateness, misses = t.rings(1024)
stopped = t.threading.Event()
sink = t.DiskSink(folder)
recorder = t.Recorder(folder, rows, lateness, misses, miss_dtype=t.MISS_DTYPE, sink=sink, on_failure=stopped.set)
recorder.start()
shot = 500
t.write_rows(rows, lateness, 0, shot)
while not sink.documents:
    stopped.wait(0.01)
while not stopped.is_set():  # as the kernel: goes on until it is told to stop, then closes
    t.write_rows(rows, lateness, shot, 100)
    shot += 100
t.write_rows(rows, lateness, shot, 2000)
shot += 2000
rows.finish()
try:
    recorder.join()
except t.MachineError as error:
    published = sum(len(body["seq_num"]) for doc, body, _ in sink.documents if doc == "event_page")
    print(shot, recorder.counters["rows_recorded"], recorder.counters["rows_lost"], published)
    print(error)
recorder.document("stop", t.stop(folder, recorder.counters))
folder.close()
"""


def test_a_full_disk_stops_the_run_and_leaves_nobody_waiting(tmp_path):
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_recorder as t\n"
    answer = subprocess.run(
        [sys.executable, "-c", head + FAILING, tmp_path], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    numbers, message = answer.stdout.strip().split("\n")
    produced, recorded, lost, published = map(int, numbers.split())
    assert produced == recorded + lost
    assert recorded == published > 0
    assert lost >= 2000
    assert "cannot be written" in message
    run = open_run(tmp_path / UID)
    assert np.array_equal(run.rows, sample_rows(recorded))
    assert run.stop["counters"]["rows_lost"] == lost
    assert run.cut == ""


def test_a_document_that_is_none_is_its_callers_error_and_not_the_runs(folder):
    rows, lateness, _ = rings()
    recorder = Recorder(folder, rows, lateness)
    recorder.start()
    for value in (float("nan"), float("inf")):
        with pytest.raises(RecordError, match=r"estimate\.value"):
            recorder.document("estimate", estimate(value))
    with pytest.raises(RecordError, match="stop: lacks"):
        recorder.document("stop", {})
    rows.finish()
    recorder.join()
    assert open_run(folder.path).documents("estimate") == ()


def test_through_the_publisher_a_listener_gets_every_row(folder):
    with (
        zmq.Context() as context,
        Publisher("tcp://127.0.0.1:*", UID) as publisher,
        context.socket(zmq.SUB) as listener,
    ):
        listener.setsockopt(zmq.LINGER, 0)
        listener.setsockopt_string(zmq.SUBSCRIBE, "run/")
        listener.connect(publisher.address)
        numbers = {"rec": 0, "tick": 0, "t_ns": 0, "durable_shot": 0}
        while not listener.poll(10):
            publisher.heartbeat({}, "waiting", **numbers)
        rows, lateness, misses = rings()
        recorder = Recorder(folder, rows, lateness, misses, miss_dtype=MISS_DTYPE, sink=publisher, time_s=1e9)
        recorder.document("start", {"uid": UID, "time": 1e9})
        recorder.start()
        write_rows(rows, lateness, 0, 1000)
        for ring in (rows, lateness, misses):
            ring.finish()
        recorder.join()
        recorder.document("stop", stop(folder, recorder.counters))
        tally, shots, docs = Tally(), [], []
        while (docs or [""])[-1] != "stop":
            assert listener.poll(20_000)
            message = wire.decode(listener.recv_multipart())
            tally.see(message)
            docs.append(message.header.doc)
            if message.header.doc == "event_page":
                shots += message.body["data"]["shot"].tolist()
                assert message.header.durable_shot > shots[-1]
    assert shots == list(range(1000))
    assert tally.skipped == 0
    assert [doc for doc in docs if doc not in {"heartbeat", "event_page"}] == ["start", "stop"]
