"""Stalls under real pacing, injected: each is one miss with its class and cause, none is invented, and a replay gives the same rows.

The kernel runs in a process of its own (tests/paced.py), which is stopped, robbed of its core, slowed down or not read. Tolerance is
100 ms and a stall 400 ms, so that what a busy machine does by itself is no miss; no test asserts how punctual the machine is. Where
others may take the core, the port itself says how much of it the stall had.
"""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

PERIOD_NS = 2_000_000
STALL_S = 0.4
WAITED, EITHER = (
    0.5,
    0.1,
)  # of a stall: waiting for a core explains it if it was half of it; so close to that either is right

# A port whose shot 100 does what STALL says, for about 400 ms or more.
PORT_C = """
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include "qrt_port.h"
static int64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
static void stall_spin(void) { int64_t until = now_ns() + 400000000; while (now_ns() < until) { } }
static void stall_sleep(void) { struct timespec t = {0, 400000000}; nanosleep(&t, 0); }
static void stall_fault(void)
{
    int64_t until = now_ns() + 400000000;
    while (now_ns() < until) {
        volatile char *pages = mmap(0, 1 << 22, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise((void *)pages, 1 << 22, MADV_NOHUGEPAGE);
        for (int page = 0; page < 1 << 10; page++) pages[page << 12] = 1;
        munmap((void *)pages, 1 << 22);
    }
}
static void stall_none(void) { }
static int stalled;
int64_t stall_ns, stall_ran_ns; /* how long it took, and for how much of that the thread had a core, by its own clock */
static int64_t ran_ns(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    (void)self; (void)tick;
    if (shot == 100 && !stalled++) {
        int64_t began_ns = now_ns(), had_ns = ran_ns();
        STALL();
        stall_ran_ns = ran_ns() - had_ns;
        stall_ns = now_ns() - began_ns;
    }
    return QRT_OK;
}
static qrt_status play(void *self, const qrt_play *p) { (void)self; (void)p; return QRT_OK; }
static qrt_status capture_begin(void *self, const qrt_capture *c) { (void)self; (void)c; return QRT_OK; }
static qrt_status capture_end(void *self, uint16_t slot, const int16_t **out) { (void)self; (void)slot; (void)out; return QRT_OK; }
static qrt_status safe(void *self) { (void)self; return QRT_OK; }
qrt_port port = {QRT_PORT_ABI, sizeof(qrt_port), 0, begin_shot, play, capture_begin, capture_end, safe, 0, 100, 1, 1, 4, 1, 64, 16};
"""


@pytest.fixture(scope="module")
def library(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stalls")
    (folder / "port.c").write_text(PORT_C)

    def build(stall):
        path = folder / f"{stall}.so"
        if not path.exists():
            flags = ["-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", f"-DSTALL=stall_{stall}", f"-I{project / 'ffi'}"]
            subprocess.run(["gcc", *flags, str(folder / "port.c"), "-o", str(path)], check=True)
        return str(path)

    return build


class Paced:
    """The child, up to the moment at which it has played some shots."""

    def __init__(self, project, library, *cores, shots=400, slots=1024):
        command = [sys.executable, str(project / "tests/paced.py"), library, str(PERIOD_NS), str(shots), str(slots)]
        self.process = subprocess.Popen(
            [*command, *map(str, cores)],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(project)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "paced\n"

    def end(self):
        answer, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return json.loads(answer)


def pause(seconds):
    threading.Event().wait(seconds)  # the length of an injected stall, not a wait for something to be done


def the_stall(ended, what, *causes):
    """The stall is one miss of one of these causes: everything that was skipped over is in it or in a later one of its own."""
    assert (ended["status"], ended["same"]) == ("OK", True)
    assert sum(miss["skipped"] for miss in ended["misses"]) == ended["skipped"]
    long = [miss for miss in ended["misses"] if miss["skipped"] * PERIOD_NS > STALL_S / 2 * 1e9]
    assert [miss["what"] for miss in long] == [what]
    assert long[0]["cause"] in causes
    return long[0]


def test_a_quiet_run_invents_no_miss(project, library):
    ended = Paced(project, library("none")).end()
    assert ended["misses"] == []
    assert (ended["status"], ended["skipped"], ended["same"], ended["count"]) == ("OK", 0, True, 400)
    assert 0 <= ended["max_ns"] <= 100_000_000


def test_a_stopped_process(project, library):
    paced = Paced(project, library("none"))
    paced.process.send_signal(signal.SIGSTOP)
    pause(STALL_S)
    paced.process.send_signal(signal.SIGCONT)
    ended = paced.end()
    miss = the_stall(ended, "RELEASE", "STOPPED")
    assert miss["lateness_ns"] > STALL_S / 2 * 1e9
    assert ended["max_ns"] >= miss["lateness_ns"]


def test_a_core_taken_by_another_thread(project, library):
    core = min(os.sched_getaffinity(0))
    hog = f"""
import os, sys, time
os.sched_setaffinity(0, [{core}])
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except PermissionError:
    sys.exit(77)
until = time.monotonic() + {STALL_S}
while time.monotonic() < until:
    pass
"""
    paced = Paced(project, library("none"), core)
    status = subprocess.run([sys.executable, "-c", hog], check=False).returncode
    ended = paced.end()
    if status == 77:
        pytest.skip("no right to SCHED_FIFO: an ordinary thread cannot keep another from its core for long enough")
    the_stall(ended, "RELEASE", "SWITCH")


@pytest.mark.parametrize(("stall", "cause"), [("spin", "BUDGET"), ("sleep", "STOPPED"), ("fault", "PAGE_FAULT")])
def test_a_shot_that_takes_too_long(project, library, stall, cause):
    """On a busy machine the thread may not have had its core for most of the stall; then that is the cause, and must be named."""
    ended = Paced(project, library(stall)).end()
    waited = 0.0 if stall == "sleep" else 1 - ended["stall_ran_ns"] / ended["stall_ns"]
    causes = (cause,) if waited < WAITED - EITHER else ("SWITCH",) if waited > WAITED + EITHER else (cause, "SWITCH")
    the_stall(ended, "RELEASE", *causes)


def test_a_reader_that_does_not_read(project, library):
    paced = Paced(project, library("none"), slots=16)
    pause(STALL_S)  # the child reads no row before its standard input is closed
    the_stall(paced.end(), "SINK", "SINK")
