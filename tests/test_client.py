"""A run opened: arrays by name against plain numpy, and every way in which a folder may be damaged."""

import hashlib
import shutil

import event_model
import numpy as np
import pytest

import qrt
from qrt import documents, wire
from qrt.client import open_run
from qrt.errors import RecordError
from qrt.journal import HEADER, Kind, scan
from qrt.kernel import row_dtype
from qrt.layout import Layout
from qrt.record import RunFolder
from qrt.types import Estimate, StdErr

ROW = row_dtype(2)
UID = "20250101-120000-0a1b2c3d"
COUNTS = (3, 4, 5)


def sample_rows(count, first=0):
    rows = np.zeros(count, ROW)
    rows["shot"] = np.arange(first, first + count)
    rows["tick"] = rows["shot"] * 7000
    rows["shot_weight"] = 1.0
    rows["bits"] = rows["shot"] % 4
    rows["outcomes"] = rows["shot"][:, None] % 2
    rows["iq"] = rows["shot"][:, None, None] * np.array([[1, -1], [2, -2]])
    return rows


def estimate(name, value):
    return documents.estimate(Estimate(name, 0.1, value, StdErr(0.1, 0.2, 0.0, 0.3), truth=0.25))


def write(runs, *, stop=True, ended=("success", "")):
    with RunFolder.create(runs, UID, Layout(ROW, ("herald", "c[0]"), ("c[0]", "flag"))) as folder:
        started = {
            "program_hash": "a",
            "lab_hash": "b",
            "calibration_hash": "c",
            "seed": 1,
            "clock": "virtual",
            "versions": {},
        }
        folder.document("start", "control", documents.start(UID, 1e9, **started, operator="o", simulated=True), t_ns=1)
        first = 0
        for index, count in enumerate(COUNTS):
            folder.append(sample_rows(count, first), np.arange(first, first + count))
            folder.commit()
            folder.document("estimate", "estimates", estimate("Z0", index / 4), t_ns=2)
            folder.document("estimate", "estimates", estimate("Z1", -index / 4), t_ns=2)
            first += count
        told = {"exit_status": ended[0], "reason": ended[1], "shots": first, "counters": {}, "digest": folder.digest()}
        if stop:
            folder.document("stop", "control", documents.stop(UID, 1e9, **told), t_ns=3)
    return folder.path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def records_of(path, kind):
    return [record for record in scan((path / "journal").read_bytes()).records if record.kind is kind]


def test_a_run_is_arrays_by_name(whole):
    run = qrt.open(whole)
    expected = sample_rows(12)
    assert isinstance(run.rows, np.memmap)
    assert np.array_equal(run.rows, expected)
    assert list(run.outcomes) == list(run.iq) == ["herald", "c[0]"]
    assert list(run.bits) == ["c[0]", "flag"]
    assert np.array_equal(run.outcomes["c[0]"], np.arange(12) % 2)
    assert np.array_equal(run.iq["c[0]"], np.arange(12)[:, None] * [2, -2])
    assert run.bits["c[0]"].tolist() == [0, 1] * 6
    assert run.bits["flag"].tolist() == [0, 0, 1, 1] * 3
    assert run.bits["flag"].dtype == np.uint8
    assert np.array_equal(run.lateness_ns, np.arange(12))
    assert run.complete
    assert run.cut == ""
    assert run.ranges == ((0, 12),)
    assert run.start["seed"] == 1
    assert run.stop["digest"] == run.digest() == hashlib.sha256((whole / "shots.bin").read_bytes()).hexdigest()
    assert [(one.name, one.value) for one in run.estimates] == [("Z0", 0.5), ("Z1", -0.5)]
    assert run.estimates[0].stderr == StdErr(0.1, 0.2, 0.0, 0.3)
    assert len(run.documents("estimate")) == 6
    assert run.misses == ()
    with pytest.raises(KeyError, match=r"no capture 'd'; there are: herald, c\[0\]"):
        run.iq["d"]


def test_its_messages_are_those_of_the_stream(whole):
    messages = list(open_run(whole).messages())
    docs = [message.header.doc for message in messages]
    assert docs == ["start", *["event_page", "estimate", "estimate"] * 3, "stop"]
    shots = [message.body["data"]["shot"].tolist() for message in messages if message.header.doc == "event_page"]
    assert shots == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10, 11]]
    recs = [message.header.rec for message in messages]
    assert recs == sorted(recs)
    for message in messages:
        frames = [bytes(frame) for frame in wire.encode(message.header, message.stream, message.body)]
        assert wire.decode(frames).topic == message.topic
        if message.header.doc in {"start", "event_page", "stop"}:
            event_model.schema_validators[event_model.DocumentNames[message.header.doc]].validate(message.body)
    durable = [message.header.durable_shot for message in messages if message.header.doc == "event_page"]
    assert durable == [3, 7, 12]


def test_every_cut_of_the_journal_keeps_what_its_commits_cover(copy):
    journal = (copy / "journal").read_bytes()
    ends = [record.offset + HEADER.size + len(record.body) for record in records_of(copy, Kind.COMMIT)]
    for size in range(0, len(journal), 7):
        (copy / "journal").write_bytes(journal[:size])
        run = open_run(copy)
        kept = sum(COUNTS[: sum(end <= size for end in ends)])
        assert len(run.rows) == kept
        assert np.array_equal(run.rows, sample_rows(kept))
        assert not run.complete
        if kept < 12:
            assert f"{12 - kept} rows and 0 bytes after row {kept} have no commit" in run.cut


def test_every_cut_of_the_rows_keeps_whole_commits(copy):
    data = (copy / "shots.bin").read_bytes()
    for size in range(0, len(data), 31):
        (copy / "shots.bin").write_bytes(data[:size])
        run = open_run(copy)
        kept = max(total for total in (0, 3, 7, 12) if total * ROW.itemsize <= size)
        assert len(run.rows) == kept
        assert np.array_equal(run.rows, sample_rows(kept))
        assert run.cut.startswith(("commit record", "shots.bin"))
        assert not run.complete


@pytest.mark.parametrize("row", range(12))
def test_a_flipped_bit_in_the_rows_is_placed_and_the_rest_is_readable(copy, row):
    flip(copy / "shots.bin", row * ROW.itemsize + 65)
    run = open_run(copy)
    ends = [0, 3, 7, 12]
    bad = max(index for index in range(3) if ends[index] <= row)
    assert len(run.rows) == ends[bad]
    assert f"shots.bin: rows {ends[bad]} to {ends[bad + 1] - 1} do not match the CRC-32 of commit record" in run.cut
    good = [part for index, part in enumerate([(0, 3), (3, 7), (7, 12)]) if index != bad]
    assert [range(*part) for part in run.ranges] == (
        [range(7)] if bad == 2 else [range(3, 12)] if bad == 0 else [range(*part) for part in good]
    )
    for first, end in run.ranges:
        assert np.array_equal(run.file_rows[first:end], sample_rows(12)[first:end])


def test_a_damaged_commit_is_vouched_for_by_the_next(copy):
    for index, damaged in enumerate(records_of(copy, Kind.COMMIT)[:2]):
        flip(copy / "journal", damaged.offset + 30)
        run = open_run(copy)
        assert run.ranges == ((0, 12),)
        assert len(run.rows) == 12
        assert run.cut.count("CRC-32 does not match") == index + 1
        assert f"journal record {damaged.seq} at offset {damaged.offset}" in run.cut


def test_a_damaged_commit_over_damaged_rows_is_vouched_for_by_nothing(copy):
    flip(copy / "journal", records_of(copy, Kind.COMMIT)[1].offset + 30)
    flip(copy / "shots.bin", 4 * ROW.itemsize)
    run = open_run(copy)
    assert run.ranges == ((0, 3), (7, 12))
    assert len(run.rows) == 3
    assert "rows 3 to 6: no commit record is left" in run.cut


def test_the_last_commit_damaged_cuts_its_rows(copy):
    flip(copy / "journal", records_of(copy, Kind.COMMIT)[2].offset + 30)
    run = open_run(copy)
    assert len(run.rows) == 7
    assert "5 rows and 0 bytes after row 7 have no commit" in run.cut


def test_damaged_lateness_is_said_and_costs_no_row(copy):
    flip(copy / "lateness.bin", 8 * 5)
    run = open_run(copy)
    assert len(run.rows) == 12
    assert run.cut.startswith("lateness.bin: rows 3 to 6 do not match")


def test_without_a_stop_it_is_said_that_the_run_was_cut_short(tmp_path):
    run = open_run(write(tmp_path, stop=False))
    assert run.stop is None
    assert run.cut == "no stop document: the run was cut short"
    assert not run.complete
    assert "12 shots" in repr(run)


def test_how_a_closed_run_ended_is_said(whole, tmp_path):
    assert "complete" in repr(open_run(whole))
    path = write(tmp_path, ended=("abort", "stopped as asked"))
    assert "abort: stopped as asked" in repr(open_run(path))


def test_a_run_without_a_shot_opens(tmp_path):
    folder = RunFolder.create(tmp_path, UID, Layout(ROW, ("herald", "c[0]"), ("c[0]",)))
    folder.close()
    run = open_run(folder.path)
    assert len(run.rows) == len(run.lateness_ns) == len(run.iq["herald"]) == 0
    assert run.start is None
    assert run.digest() == hashlib.sha256(b"").hexdigest()


def test_what_is_no_run_is_named(copy, tmp_path):
    with pytest.raises(RecordError, match="no such folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RecordError, match=r"it has no layout\.json; it holds runs, the last is .*run"):
        open_run(tmp_path)
    (copy / "layout.json").write_text("{")
    with pytest.raises(RecordError, match="not the layout of a run"):
        open_run(copy)
    (copy / "journal").unlink()
    with pytest.raises(RecordError, match="it has no journal"):
        open_run(copy)


def test_a_journal_of_another_run_is_refused(copy, tmp_path):
    other = RunFolder.create(tmp_path, "other", Layout(ROW, ("herald", "c[0]"), ("c[0]",)))
    other.close()
    shutil.copy(other.path / "journal", copy / "journal")
    with pytest.raises(RecordError, match="run 'other'; expected version 1 of run"):
        open_run(copy)


@pytest.mark.parametrize(
    "change",
    [
        ('"v": 1', '"v": 2'),
        ('"<i8"', '"|O"'),
        ('"<i8"', '"no"'),
        ('"itemsize": 96', '"itemsize": 8'),
        ('"iq"', '"qi"'),
        ('"herald",', ""),
    ],
)
def test_a_layout_that_does_not_hold_is_refused(copy, change):
    text = (copy / "layout.json").read_text()
    assert change[0] in text
    (copy / "layout.json").write_text(text.replace(*change, 1))
    with pytest.raises(RecordError, match=r"layout\.json|dtype"):
        open_run(copy)
