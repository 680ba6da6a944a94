"""Histograms of lateness: C and numpy have one rule, quantiles are within a bucket, and a run's histogram is that of its ring."""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bare import bare_sequence
from qrt import kernel, lateness
from qrt._core import ffi, lib
from qrt.kernel import Rings, ThreadAsked

PORT_C = """
#include "qrt_port.h"
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick) { (void)self; (void)shot; (void)tick; return QRT_OK; }
static qrt_status play(void *self, const qrt_play *p) { (void)self; (void)p; return QRT_OK; }
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out) { (void)self; (void)slot; (void)out; return QRT_OK; }
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {QRT_PORT_ABI, sizeof(qrt_port), 0, begin_shot, play, capture_begin, capture_end, safe, 0, 100, 1, 1, 4, 1, 64, 16};
"""


@pytest.fixture(scope="module")
def idle_port(project, tmp_path_factory):
    """A port that accepts everything and does nothing."""
    folder = tmp_path_factory.mktemp("idle")
    (folder / "port.c").write_text(PORT_C)
    command = ["gcc", "-shared", "-fPIC", f"-I{project / 'ffi'}", "port.c", "-o", "port.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(str(folder / "port.so")), "port"))


@pytest.fixture
def idle_sequence():
    """A sequence that ends at once, once a millisecond."""
    return bare_sequence(1_000_000, plays=False)


values = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(0, 1 << 20), st.sampled_from([1 << k for k in range(63)])
)


@given(st.lists(values, min_size=1, max_size=50))
def test_numpy_and_c_count_alike(numbers):
    array = np.array(numbers, np.int64)
    histogram = np.zeros(1, lateness.HISTOGRAM_DTYPE)
    pointer = ffi.from_buffer("qrt_histogram *", histogram)
    for number in numbers:
        lib.qrt_histogram_add(pointer, number)
    buckets = lateness.bucket_of(array)
    assert buckets.tolist() == [lib.qrt_histogram_bucket(number) for number in numbers]
    assert (np.bincount(buckets, minlength=lateness.HISTOGRAM_BUCKETS) == histogram["buckets"][0]).all()
    found = lateness.lateness_of(histogram["buckets"][0], int(histogram["maximum"][0]))
    assert found.count == len(numbers)
    assert found.max_ns == max(0, *numbers) == histogram["maximum"][0]
    for per_million, ours in ((500_000, found.p50_ns), (990_000, found.p99_ns), (999_000, found.p999_ns)):
        exact = max(sorted(numbers)[-(-len(numbers) * per_million // 10**6) - 1], 0)
        assert exact <= ours <= exact + exact // 128
        assert ours == lib.qrt_histogram_quantile(pointer, per_million)


def test_bucket_ends_are_those_of_c():
    ends = lateness.bucket_ends()
    assert ends.tolist() == [lib.qrt_histogram_end(bucket) for bucket in range(lateness.HISTOGRAM_BUCKETS)]
    assert (lateness.bucket_of(ends) == np.arange(lateness.HISTOGRAM_BUCKETS)).all()
    assert lateness.bucket_of(ends[:-1] + 1).tolist() == list(range(1, lateness.HISTOGRAM_BUCKETS))


def test_an_empty_histogram_has_no_lateness():
    empty = np.zeros(lateness.HISTOGRAM_BUCKETS, np.int64)
    assert lateness.lateness_of(empty, 0) == lateness.Lateness(0, 0, 0, 0, 0)


@pytest.mark.parametrize("pacing", [kernel.Pacing.VIRTUAL, kernel.Pacing.REAL])
def test_the_histogram_is_that_of_the_ring(idle_port, idle_sequence, pacing):
    rings = Rings(kernel.Ring.create(kernel.row_dtype(0).itemsize, 256, 1), kernel.Ring.create(8, 256, 1))
    options = {"late_tolerance_ns": 60 * 10**9, "spin_share_permille": 300 if pacing is kernel.Pacing.REAL else 0}
    with kernel.Kernel(kernel.Config(idle_sequence, idle_port, rings, 200, pacing=pacing, **options)) as loop:
        loop.start()
        report = loop.join()
    late = rings.lateness.peek(0, np.int64)
    assert len(late) == 200
    counts = np.bincount(lateness.bucket_of(late), minlength=lateness.HISTOGRAM_BUCKETS)
    assert (counts == loop.histogram["buckets"][0]).all()
    assert report.lateness == lateness.lateness_of(counts, int(late.max()))
    assert report.ran_ns > 0
    if pacing is kernel.Pacing.REAL:
        assert 0 <= report.spin_ns <= 300_000
        assert report.wake_ns > 0


def test_the_report_says_what_the_thread_got(idle_port, idle_sequence):
    cores = kernel.try_thread(ThreadAsked()).cores
    rings = Rings(kernel.Ring.create(kernel.row_dtype(0).itemsize, 256, 1))
    asked = ThreadAsked(cores=cores[-1:], slack_ns=777)
    with kernel.Kernel(kernel.Config(idle_sequence, idle_port, rings, 5, thread=asked)) as loop:
        loop.start()
        found = loop.join().thread
    assert (found.cores, found.slack_ns, found.cores_error, found.slack_error) == (cores[-1:], 777, 0, 0)
    missing = 64 * lib.QRT_CORE_WORDS - 1
    assert kernel.try_thread(ThreadAsked(cores=(missing,))).cores_error != 0
    assert kernel.try_thread(ThreadAsked()).cores == cores  # nothing of it stays


def test_the_spin_keeps_its_share():
    assert kernel.spin_ns(60_000, 0, 1_000_000, 900) == 60_000
    assert kernel.spin_ns(60_000, 50_000, 100_000, 900) == 40_000
    assert kernel.spin_ns(60_000, 100_000, 100_000, 900) == 0
