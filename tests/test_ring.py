"""The ring between processes and threads: what is published arrives whole and once, and a weakened store is caught by TSan."""

import gc
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.errors import BugError
from qrt.kernel import Ring

SLOT = np.dtype([("index", "<i8"), ("value", "<f8")])

CHILD = """
import sys
import numpy as np
from qrt.kernel import Ring
slot = np.dtype([("index", "<i8"), ("value", "<f8")])
ring = Ring.map(int(sys.argv[1]), int(sys.argv[2]))
total, following = 0.0, 0
while True:
    closed = ring.closed
    ring.wait(1, 64, 0.05)
    view = ring.peek(1, slot)
    assert (view["index"] == np.arange(following, following + len(view))).all()
    total += view["value"].sum()
    following += len(view)
    ring.release(1, len(view))
    if closed and not len(view):
        break
print(following, total)
"""


def records(first, count):
    rows = np.zeros(count, SLOT)
    rows["index"] = np.arange(first, first + count)
    rows["value"] = rows["index"] * 0.5
    return rows


def test_two_processes_read_one_ring():
    with Ring.create(SLOT.itemsize, 128, 2) as ring:
        command = [sys.executable, "-c", CHILD, str(ring.descriptor), str(ring.size)]
        child = subprocess.Popen(command, pass_fds=[ring.descriptor], stdout=subprocess.PIPE, text=True)
        written = read = 0
        while read < 3000 and child.poll() is None:
            written += ring.write(records(written, min(100, 3000 - written)))
            ring.wait(0, 1, 0.02)  # perhaps nothing: the child, still starting, holds the writer
            view = ring.peek(0, SLOT)
            assert np.array_equal(view, records(read, len(view)))
            read += len(view)
            ring.release(0, len(view))
        ring.finish()
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert output.split() == ["3000", str(sum(range(3000)) * 0.5)]


@given(st.lists(st.tuples(st.sampled_from(["write", "read 0", "read 1"]), st.integers(0, 9)), max_size=60))
def test_ring_is_two_bounded_queues(steps):
    with Ring.create(SLOT.itemsize, 8, 2) as ring:
        head, tails = 0, [0, 0]
        for what, count in steps:
            if what == "write":
                fits = min(count, 8 - (head - min(tails)))
                assert ring.write(records(head, count)) == fits
                head += fits
            else:
                reader = int(what[-1])
                readable = head - tails[reader]
                assert ring.wait(reader, 0, 0.0) == readable
                view = ring.peek(reader, SLOT)
                assert len(view) == min(readable, 8 - tails[reader] % 8)
                assert np.array_equal(view, records(tails[reader], len(view)))
                taken = min(count, len(view))
                ring.release(reader, taken)
                tails[reader] += taken
        assert ring.published == head


def test_a_dead_reader_is_detached():
    with Ring.create(8, 4, 2) as ring:
        values = np.arange(6)
        assert ring.write(values) == 4
        ring.release(0, 4)
        assert ring.write(values[4:]) == 0
        ring.detach(1)
        assert ring.write(values[4:]) == 2
        assert ring.peek(0, np.int64).tolist() == [4, 5]


def test_waiting_ends_with_the_writer_or_the_time():
    with Ring.create(8, 4, 1) as ring:
        assert ring.wait(0, 1, 0.001) == 0
        ring.write(np.arange(2))
        assert ring.wait(0, 2, 20.0) == 2
        ring.finish()
        assert ring.closed
        assert ring.wait(0, 4, 20.0) == 2


def test_a_view_outlives_its_ring_and_cannot_be_written():
    with Ring.create(8, 4, 1) as ring:
        ring.write(np.array([7, 8]))
        view = ring.peek(0, np.int64)
    del ring
    gc.collect()
    assert view.tolist() == [7, 8]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_what_is_no_ring_is_refused():
    with pytest.raises(BugError, match="power of two"):
        Ring.create(8, 3, 1)
    with pytest.raises(BugError, match="3 readers"):
        Ring.create(8, 4, 3)
    with Ring.create(8, 4, 1) as ring:
        with pytest.raises(BugError, match="not shared memory of 100 bytes"):
            Ring.map(ring.descriptor, 100)
        with pytest.raises(BugError, match="slots of 8 bytes read as 16"):
            ring.peek(0, SLOT)
        with pytest.raises(OSError, match="Operation not permitted"):
            os.ftruncate(ring.descriptor, 10)  # sealed: no process can take the memory from under another
    descriptor = os.memfd_create("empty")
    os.ftruncate(descriptor, 4096)
    with pytest.raises(BugError, match="hold no ring: ABI"):
        Ring.map(descriptor, 4096)
    os.close(descriptor)


def run_under_tsan(project, folder, *switches):
    spec = importlib.util.spec_from_file_location("ffi_build", project / "ffi/build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    program = folder / "test_core_ring"
    sources = [project / "ffi/test_core_ring.c", *sorted((project / "ffi/core").glob("*.c"))]
    flags = [*build.FLAGS, "-O1", "-g", "-fsanitize=thread", f"-I{project / 'ffi'}", *switches]
    built = subprocess.run(
        ["gcc", *flags, *map(str, sources), "-lm", "-o", str(program)], capture_output=True, text=True, check=False
    )
    if "cannot find" in built.stderr and "tsan" in built.stderr:
        pytest.skip("this gcc has no libtsan")
    assert built.returncode == 0, built.stderr
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}
    ended = subprocess.run([str(program)], capture_output=True, text=True, env=environment, timeout=120, check=False)
    if "unexpected memory mapping" in ended.stderr:
        pytest.skip("this kernel randomises addresses further than libtsan follows")
    return ended


def test_tsan_is_content_with_the_ring(project, tmp_path):
    ended = run_under_tsan(project, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_tsan_catches_a_weakened_store(project, tmp_path):
    ended = run_under_tsan(project, tmp_path, "-DQRT_TEST_WEAK_RING")
    assert ended.returncode == 66
    assert "data race" in ended.stderr
