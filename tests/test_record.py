"""The run folder: what is durable when, read with plain numpy and zlib; every kill, a full disk, a failing sync."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from qrt import documents  # noqa: F401 - the children use it
from qrt.client import open_run
from qrt.errors import BugError, MachineError, RecordError
from qrt.journal import Kind, scan
from qrt.kernel import CAPTURE_DTYPE, FRAME_DTYPE, INSTRUCTION_DTYPE, row_dtype
from qrt.layout import Layout, decode_image, decode_layout, encode_image, encode_layout
from qrt.record import RESERVE_BYTES, RunFolder, new_uid
from qrt.wire import unbundle

ROW = row_dtype(2)
LAYOUT = Layout(ROW, ("herald", "c[0]"), ("c[0]", "flag"))
UID = "20250101-120000-0a1b2c3d"


def sample_rows(count, first=0):
    rows = np.zeros(count, ROW)
    rows["shot"] = np.arange(first, first + count)
    rows["tick"] = rows["shot"] * 7000
    rows["trace_hash"] = rows["shot"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    rows["shot_weight"] = 1.0
    rows["bits"] = rows["shot"] % 4
    rows["outcomes"] = rows["shot"][:, None] % 2
    rows["iq"] = rows["shot"][:, None, None] * np.array([[1, -1], [2, -2]])
    return rows


def lateness(count):
    return np.arange(count, dtype=np.int64) - 3


def commits(folder):
    records = scan((folder / "journal").read_bytes()).records
    return [unbundle(record.body) for record in records if record.kind is Kind.COMMIT]


def test_a_row_is_acknowledged_when_its_commit_is_on_the_disk(tmp_path):
    with RunFolder.create(tmp_path / "runs", UID, LAYOUT) as folder:
        assert folder.path == tmp_path / "runs" / UID
        folder.append(sample_rows(10), lateness(10))
        assert (folder.durable_shot, folder.appended_shot) == (0, 10)
        rec = folder.commit()
        assert (folder.durable_shot, folder.rec) == (10, rec)
        assert folder.commit() == rec  # nothing new, no new record
        folder.append(sample_rows(5, 10), lateness(5))
        folder.commit()
    data = (folder.path / "shots.bin").read_bytes()
    assert data == sample_rows(10).tobytes() + sample_rows(5, 10).tobytes()
    first, second = commits(folder.path)
    assert (first["row"], first["count"], second["row"], second["count"]) == (0, 10, 10, 5)
    assert first["crc"] == first["crc_total"] == zlib.crc32(data[: 10 * 96])
    assert second["crc"] == zlib.crc32(data[10 * 96 :])
    assert second["crc_total"] == zlib.crc32(data)
    assert first["lateness_crc"] == zlib.crc32(lateness(10).tobytes())


def test_numpy_and_sha256sum_alone_read_the_folder(tmp_path):
    with RunFolder.create(tmp_path, UID, LAYOUT) as folder:
        folder.append(sample_rows(100), lateness(100))
        folder.commit()
        digest = folder.digest()
    code = (
        "import json, numpy as np\n"
        "layout = json.load(open('layout.json'))\n"
        "rows = np.memmap('shots.bin', dtype=np.dtype(layout['dtype']), mode='r')\n"
        "k = layout['captures'].index('c[0]')\n"
        "late = np.fromfile('lateness.bin', '<i8')\n"
        "print(len(rows), rows['iq'][7, k].tolist(), rows['outcomes'][7, k], rows['bits'][7], late[7])\n"
    )
    answer = subprocess.run([sys.executable, "-Ic", code], cwd=folder.path, capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[0] == "100 [14, -14] 1 3 4"
    if shutil.which("sha256sum"):
        answer = subprocess.run(["sha256sum", "shots.bin"], cwd=folder.path, capture_output=True, text=True, check=True)
        assert answer.stdout.split()[0] == digest
    assert hashlib.sha256((folder.path / "shots.bin").read_bytes()).hexdigest() == digest
    assert "np.memmap" in (folder.path / "README.txt").read_text()


@pytest.mark.parametrize("capture_count", [0, 1, 2, 9, 64])
def test_a_layout_goes_through_json_unchanged(capture_count):
    dtype = row_dtype(capture_count)
    layout = Layout(dtype, tuple(f"c[{index}]" for index in range(capture_count)), ("a", "b"), 500, 3)
    data = encode_layout(layout, UID)
    assert decode_layout(data, Path("layout.json")) == (UID, layout)
    described = np.dtype(json.loads(data)["dtype"])
    rows = np.arange(5 * dtype.itemsize, dtype=np.uint64).astype(np.uint8).view(dtype)
    for name in described.names:
        assert rows[name].tobytes() == rows.view(described)[name].tobytes()


def test_an_image_comes_back_with_its_structured_arrays():
    rng = np.random.default_rng(1)
    arrays = {
        "instructions": np.frombuffer(rng.bytes(3 * INSTRUCTION_DTYPE.itemsize), INSTRUCTION_DTYPE),
        "frames": np.frombuffer(rng.bytes(2 * FRAME_DTYPE.itemsize), FRAME_DTYPE),
        "captures": np.frombuffer(rng.bytes(4 * CAPTURE_DTYPE.itemsize), CAPTURE_DTYPE),
        "none": np.zeros(0, INSTRUCTION_DTYPE),
        "weights": np.arange(6, dtype=np.int16).reshape(2, 3),
        "scalar": np.array(3.5),
    }
    image = decode_image(encode_image(arrays, {"seed": 2**63, "lines": ["drive"]}))
    assert image.fields == {"seed": 2**63, "lines": ["drive"]}
    for name, array in arrays.items():
        assert image.arrays[name].dtype == array.dtype
        assert image.arrays[name].shape == array.shape
        assert image.arrays[name].tobytes() == array.tobytes()
    assert encode_image(arrays, {}) == encode_image(arrays, {})


@pytest.mark.parametrize("formats", [["<i8", bad] for bad in ("|O", "<U3", "|V8", "<M8[s]", "no such", None)] + [None])
def test_an_image_with_another_dtype_is_refused(formats):
    from qrt.wire import bundle

    entry = {"names": ["x", "y"], "formats": formats, "offsets": [0, 8], "itemsize": 24}
    data = bundle({"fields": {}, "arrays": {"x": {"array": np.zeros((1, 24), np.uint8), "dtype": entry, "shape": [1]}}})
    with pytest.raises(RecordError):
        decode_image(data)


def test_files_are_put_whole_and_their_hashes_are_on_record(tmp_path):
    with RunFolder.create(tmp_path, UID, LAYOUT) as folder:
        digest = folder.put("program.qasm", b"qubit q;")
        image = folder.write_image({"w": np.arange(3)}, {"seed": 1})
        for name in ("shots.bin", "../out", "journal", ".hidden", ""):
            with pytest.raises(RecordError, match="file name"):
                folder.put(name, b"")
    assert digest == hashlib.sha256(b"qubit q;").hexdigest()
    assert image == hashlib.sha256((folder.path / "image").read_bytes()).hexdigest()
    run = open_run(folder.path)
    assert run.file("program.qasm") == b"qubit q;"
    assert run.image().arrays["w"].tolist() == [0, 1, 2]
    (folder.path / "program.qasm").write_bytes(b"qubit r;")
    with pytest.raises(RecordError, match="changed or damaged"):
        run.file("program.qasm")


def test_rows_out_of_order_are_our_bug(tmp_path):
    with RunFolder.create(tmp_path, UID, LAYOUT) as folder:
        with pytest.raises(BugError, match="where shot 0 is due"):
            folder.append(sample_rows(3, 1), lateness(3))
        folder.append(sample_rows(3), lateness(3))
        with pytest.raises(BugError, match="where shot 3 is due"):
            folder.append(sample_rows(3), lateness(3))


def test_a_run_may_begin_at_another_shot(tmp_path):
    with RunFolder.create(tmp_path, UID, Layout(ROW, ("a", "b"), (), 1000, 500)) as folder:
        folder.append(sample_rows(10, 500), lateness(10))
        folder.commit()
        assert folder.durable_shot == 510
    assert open_run(folder.path).rows["shot"][0] == 500


def test_captures_and_bits_have_names_of_their_own(tmp_path):
    with pytest.raises(RecordError, match="twice"):
        RunFolder.create(tmp_path, UID, Layout(ROW, ("a", "a"), ()))
    assert list(tmp_path.iterdir()) == []


def test_uids_are_new_and_sort_by_time():
    first, second = new_uid(10**18), new_uid(10**18 + 10**9)
    assert first < second
    assert new_uid(10**18) != first


# ---- The world -------------------------------------------------------------------------------------------------------------


def test_a_folder_that_exists_is_not_touched(tmp_path):
    RunFolder.create(tmp_path, UID, LAYOUT).close()
    before = sorted(path.name for path in (tmp_path / UID).iterdir())
    with pytest.raises(MachineError, match="exists already"):
        RunFolder.create(tmp_path, UID, LAYOUT)
    assert sorted(path.name for path in (tmp_path / UID).iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == [UID]


@pytest.mark.parametrize("uid", ["", "../up", "a/b", ".hidden", "x" * 65])
def test_a_uid_that_is_no_name_is_refused(tmp_path, uid):
    with pytest.raises(RecordError, match="uid"):
        RunFolder.create(tmp_path, uid, LAYOUT)


def test_an_unwritable_folder_says_so_and_names_the_fix(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"runs: cannot be written: Not a directory; .*--runs"):
        RunFolder.create(tmp_path / "file" / "runs", UID, LAYOUT)
    with pytest.raises(MachineError, match="cannot be written"):
        RunFolder.create(Path("/proc/runs"), UID, LAYOUT)


def child(code, *arguments):
    """Run code in a fresh interpreter that has this module imported as `t`."""
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_record as t\n"
    return subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


FILL = """
folder = t.RunFolder.create(t.Path(sys.argv[1]), t.UID, t.LAYOUT)
first = 0
try:
    while True:
        folder.append(t.sample_rows(1000, first), t.lateness(1000))
        folder.commit()
        first += 1000
except t.MachineError as error:
    print(first, folder.durable_shot, error)
folder.document("stop", "control", t.documents.stop(t.UID, 0.0, exit_status="fail", reason="no room", shots=first,
    counters=folder.counters, digest=folder.digest()), t_ns=0)
folder.close()
"""


def check_filled(answer, path):
    assert answer.returncode == 0, answer.stderr
    first, durable, message = answer.stdout.split(" ", 2)
    assert first == durable
    assert "cannot be written" in message
    assert "bytes are free on" in message
    assert f"shots {first} to {int(first) + 999} are not in the record" in message
    run = open_run(path)
    assert len(run.rows) == int(first) > 0
    assert run.cut == ""
    assert np.array_equal(run.rows, sample_rows(int(first)))
    assert run.stop["digest"] == run.digest()
    assert run.stop["counters"]["rows_refused"] == 1000


def test_a_file_that_may_not_grow_closes_the_record(tmp_path):
    limit = 960_500  # in the middle of a row
    limited = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limited += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    check_filled(child(limited + FILL, tmp_path), tmp_path / UID)
    assert (tmp_path / UID / "shots.bin").stat().st_size == 960_000


@pytest.mark.parametrize("kilobytes", [600, 1000, 1204])
def test_a_full_disk_closes_the_record_from_the_reserve(tmp_path, kilobytes):
    mount = f"mount -t tmpfs -o size={kilobytes}k none {tmp_path}"
    space = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*space, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test mount a file system of its own")
    (out := tmp_path.parent / f"{tmp_path.name}-out").mkdir()
    script = f'{mount} && "$0" -c "$1" {tmp_path}; code=$?; cp -a {tmp_path}/{UID} {out}; exit $code'
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_record as t\n"
    answer = subprocess.run([*space, script, sys.executable, head + FILL], capture_output=True, text=True, check=False)
    check_filled(answer, out / UID)
    assert not (out / UID / "reserve").exists()
    assert RESERVE_BYTES >= 4096


def test_a_sync_that_fails_ends_the_record_for_good(tmp_path):
    if not shutil.which("strace"):
        pytest.skip("no strace on this machine")
    code = """
folder = t.RunFolder.create(t.Path(sys.argv[1]), t.UID, t.LAYOUT)
folder.append(t.sample_rows(10), t.lateness(10))
folder.commit()
folder.append(t.sample_rows(10, 10), t.lateness(10))
for attempt in range(3):
    try:
        folder.commit()
    except t.MachineError as error:
        print(folder.durable_shot, error)
"""
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_record as t\n"
    # Head, then three a commit, in this order. A commit record is written only after the rows it vouches for were synced.
    for when, file, kept in ((5, "shots.bin", 10), (6, "lateness.bin", 10), (7, "journal", 20)):
        path = tmp_path / str(when)
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync"]
        command += ["-e", f"inject=fdatasync:error=EIO:when={when}"]
        answer = subprocess.run(
            [*command, sys.executable, "-c", head + code, path], capture_output=True, text=True, check=False
        )
        if "ptrace" in answer.stderr:
            pytest.skip("this machine does not let a test trace")
        lines = answer.stdout.splitlines()
        assert len(lines) == 3, answer.stderr
        assert len(set(lines)) == 1
        assert lines[0].startswith("10 ")
        assert "every shot below 10 is on disk" in lines[0]
        assert f"{file}: cannot be synced" in lines[0]
        assert len(open_run(path / UID).rows) == kept


# ---- Kills -----------------------------------------------------------------------------------------------------------------

# Writes until it is killed; says what was acknowledged. A profile hook sees every call into the operating system and, at the one that
# the parent names, kills the process before or after it. One interpreter forks a child per kill point.
KILLED = """
import os, signal
def write(path, uid, say):
    folder = t.RunFolder.create(path, uid, t.LAYOUT)
    folder.document("start", "control", {"uid": uid, "time": 0.0}, t_ns=0)
    first = 0
    for count in (3, 1, 5):
        folder.append(t.sample_rows(count, first), t.lateness(count))
        folder.commit()
        say(folder.durable_shot)
        first += count
    folder.put("report.html", b"page")
    digest = folder.digest()
    stop = t.documents.stop(uid, 0.0, exit_status="success", reason="", shots=first, counters={}, digest=digest)
    folder.document("stop", "control", stop, t_ns=0)
    say(-1)
    folder.close()

calls = {os.write, os.fdatasync, os.fsync, os.open, os.ftruncate, os.rename, os.mkdir, os.unlink, os.close}
path, point = t.Path(sys.argv[1]), 0
while True:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        seen = 0
        def count(frame, event, call):
            global seen
            if event in ("c_call", "c_return") and call in calls and frame.f_code.co_name != "say":
                seen += 1
                if seen > point:
                    os.kill(os.getpid(), signal.SIGKILL)
        def say(durable):
            os.write(writer, f"{durable} ".encode())
        sys.setprofile(count)
        write(path, f"run-{point}", say)
        sys.setprofile(None)
        os._exit(0)
    os.close(writer)
    said = os.fdopen(reader).read().split()
    _, status = os.waitpid(pid, 0)
    print(point, status, *said, flush=True)
    if status == 0:
        break
    point += 1
"""


def test_a_kill_at_every_system_call_loses_nothing_that_was_acknowledged(tmp_path):
    answer = child(KILLED, tmp_path)
    assert answer.returncode == 0, answer.stderr
    lines = [list(map(int, line.split())) for line in answer.stdout.splitlines()]
    assert len(lines) > 60
    for point, status, *said in lines[:-1]:
        assert status == signal.SIGKILL
        path = tmp_path / f"run-{point}"
        if not path.exists():
            assert said == []  # killed before the folder had its name
            continue
        before = {file.name: file.read_bytes() for file in path.iterdir()}
        run = open_run(path)
        acknowledged = max(said, default=0)
        assert len(run.rows) >= acknowledged
        assert len(run.rows) in {0, 3, 4, 9}
        assert np.array_equal(run.rows, sample_rows(len(run.rows)))
        assert run.damage == ()
        assert run.complete == (run.stop is not None)
        assert ("no stop document" in run.cut) == (run.stop is None)
        assert run.complete or -1 not in said
        assert not run.live
        assert {
            file.name: file.read_bytes() for file in path.iterdir()
        } == before  # reading changes nothing, so a kill there costs nothing
    assert lines[-1][1:] == [0, 3, 4, 9, -1]
    assert open_run(tmp_path / f"run-{lines[-1][0]}").complete


ENDLESS = """
folder = t.RunFolder.create(t.Path(sys.argv[1]), t.UID, t.LAYOUT)
first = 0
while True:
    folder.append(t.sample_rows(700, first), t.lateness(700))
    first += 700
    folder.commit()
    print(folder.durable_shot, flush=True)
"""


def test_a_kill_at_any_time_loses_nothing_that_was_acknowledged(tmp_path, rng):
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_record as t\n"
    for attempt in range(4):
        path = tmp_path / str(attempt)
        with subprocess.Popen(
            [sys.executable, "-c", head + ENDLESS, path], stdout=subprocess.PIPE, text=True
        ) as process:
            for _ in range(int(rng.integers(1, 40))):
                acknowledged = int(process.stdout.readline())
            process.kill()
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        run = open_run(path / UID)
        assert len(run.rows) >= acknowledged
        assert np.array_equal(run.rows, sample_rows(len(run.rows)))
        assert "the run was cut short" in run.cut
        assert run.digest() == hashlib.sha256(run.rows.tobytes()).hexdigest()


def test_while_it_is_written_a_run_can_be_read(tmp_path):
    with RunFolder.create(tmp_path, UID, LAYOUT) as folder:
        folder.append(sample_rows(10), lateness(10))
        folder.commit()
        folder.append(sample_rows(4, 10), lateness(4))
        run = open_run(folder.path)
        assert run.live
        assert len(run.rows) == 10
        assert "still being written" in run.cut
        assert "4 rows and 0 bytes after row 10 have no commit" in run.cut
