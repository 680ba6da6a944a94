"""How late releases are under real pacing, beside the machine's floor, measured in turns A/B/A/B in the same minute.

Sleep only is compared with cyclictest (Debian: rt-tests) at the same period, priority and core, or, where that is not installed, with a
loop of clock_nanosleep (pacing.c). Sleep and spin is compared with a loop that only spins, and with the cost of a look at the clock.
The loop that only spins runs as an ordinary thread, since the system stops a real-time one that does not sleep; all others run as
the preflight allows, with deep sleep states off. No loop skips a release, so that a stall counts in full on either side.

Quantiles are taken over all turns together. The interval is a bootstrap over turns, 95 %, of the ratio. The tail belongs to the machine:
on a shared one a single stall decides p99.9, and the interval shows it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, bootstrap, machine

if TYPE_CHECKING:
    from qrt.preflight import Plan

PROJECT = Path(__file__).resolve().parent.parent
TURNS = 12
# Of each side, by period in ns; all together some three minutes. Behind p99.9 lie 30 releases a side at 1 ms, 120 at 100 µs.
TURN_S = {1_000_000: 2.5, 100_000: 1.0}
SLEEP_GOALS = {0.5: 1.1, 0.999: 1.2}
SPIN_GOAL_READS, SPIN_GOAL_TAIL = 2.0, 1.2
CYCLICTEST_MAX_US = 20_000
LATE_NS = 10**11  # no release is late enough to be skipped: the floor skips none either

Turns = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


def measure(scale: float) -> list[Figure]:
    """Return sleep only, then sleep and spin, at two periods."""
    from qrt import preflight

    figures = []
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
        turns = max(round(TURNS * scale), 2)
        for period_ns, turn_s in TURN_S.items():
            count = max(int(turn_s * min(scale * 4, 1.0) * 1e9 / period_ns), 200)
            with preflight.hold(period_ns) as held:
                asked = held.plan.thread
                floor = floor_of(library, asked, period_ns, count)
                sleeps = [(ours(library, asked, period_ns, count, 0), floor()) for _ in range(turns)]
                name = f"pacing, sleep only, {period_ns // 1000} µs"
                peer = "cyclictest" if shutil.which("cyclictest") else "clock_nanosleep loop"
                figures += [beside(name, sleeps, quantile, goal, peer) for quantile, goal in SLEEP_GOALS.items()]
                figures += spins(library, held.plan, period_ns, count, turns)
    return figures


def spins(library: Any, plan: Plan, period_ns: int, count: int, turns: int) -> list[Figure]:
    """Return p50 beside a look at the clock, and p99.9 beside a loop that only spins."""
    from qrt.kernel import ThreadAsked

    ordinary = ThreadAsked(cores=plan.thread.cores)
    taken: Turns = []
    reads = []
    for _ in range(turns):
        spun = ours(library, plan.thread, period_ns, count, plan.spin_share_permille)
        reads.append(np.array([library.clock_read_ns(200_000)]))
        taken.append((spun, loop(library.spin_loop, ordinary, period_ns, count)))
    looks = [(spun, read) for (spun, _), read in zip(taken, reads, strict=True)]
    name = f"pacing, sleep and spin, {period_ns // 1000} µs"
    return [
        beside(name, looks, 0.5, SPIN_GOAL_READS, "look at the clock"),
        beside(name, taken, 0.999, SPIN_GOAL_TAIL, "pure spin"),
    ]


def beside(name: str, turns: Turns, quantile: float, goal: float, peer: str) -> Figure:
    """Return a quantile over all turns, its ratio to the peer's, and the ratio's interval."""

    def ratio_of(chosen: Iterable[int]) -> tuple[float, float]:
        first = np.quantile(np.concatenate([turns[turn][0] for turn in chosen]), quantile)
        second = np.quantile(np.concatenate([turns[turn][1] for turn in chosen]), quantile)
        return float(first), float(second)

    figure, floor = ratio_of(range(len(turns)))
    singles = [float(np.quantile(first, quantile)) for first, _ in turns]
    text = f"{peer}: {floor:.4g} ns; {sum(len(a) for a, _ in turns)} releases"
    return Figure(
        name=f"{name}, p{quantile * 100:g}",
        figure=figure,
        unit="ns",
        goal=f"<= {goal:g} x {peer}",
        floor_or_peer=text,
        ratio=figure / floor,
        met=figure / floor <= goal,
        spread=(min(singles), max(singles)),
        interval=bootstrap(len(turns), lambda chosen: float(np.divide(*ratio_of(chosen)))),
        machine=machine(),
    )


def ours(library: Any, asked: Any, period_ns: int, count: int, share: int) -> NDArray[np.float64]:
    """Return the lateness in ns of each release of the kernel: [count]. A share of 0 spins not at all."""
    from benchmarks.bare import bare_sequence
    from qrt import kernel

    slots = 1 << (count - 1).bit_length()
    rings = kernel.Rings(kernel.Ring.create(kernel.row_dtype(0).itemsize, slots, 1), kernel.Ring.create(8, slots, 1))
    sequence = bare_sequence(period_ns, plays=False)
    address = ctypes.addressof(ctypes.c_char.in_dll(library, "port"))
    config = kernel.Config(
        sequence,
        address,
        rings,
        count,
        pacing=kernel.Pacing.REAL,
        late_tolerance_ns=LATE_NS,
        spin_ns=0,
        spin_share_permille=share,
        thread=asked,
    )
    with kernel.Kernel(config) as running:
        running.start()
        report = running.join()
    assert (report.status, report.shots_executed) == (kernel.Status.OK, count), report
    assert rings.lateness is not None
    return rings.lateness.peek(0, np.int64).astype(np.float64)


def loop(function: Any, asked: Any, period_ns: int, count: int) -> NDArray[np.float64]:
    """Return the lateness of a bare loop on a thread of its own, with the same settings: [count]."""
    lateness = np.zeros(count, np.int64)

    def run() -> None:
        if asked.cores:
            os.sched_setaffinity(0, asked.cores)
        if asked.priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(asked.priority))
        function(lateness.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(count), ctypes.c_int64(period_ns))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return lateness.astype(np.float64)


def floor_of(library: Any, asked: Any, period_ns: int, count: int) -> Callable[[], NDArray[np.float64]]:
    """Return what measures the floor of sleeping: cyclictest where there is one."""
    program = shutil.which("cyclictest")
    if program is None:
        return lambda: loop(library.sleep_loop, asked, period_ns, count)
    command = [program, "-q", "-m", "-t1", f"-i{period_ns // 1000}", f"-l{count}", f"-h{CYCLICTEST_MAX_US}"]
    command += [f"-p{asked.priority}"] if asked.priority else ["--policy=other"]
    command += [f"-a{asked.cores[0]}"] if asked.cores else []
    return lambda: histogram(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def histogram(text: str) -> NDArray[np.float64]:
    """Return the lateness in ns of each release from cyclictest's histogram; it cuts to whole µs, so half of one is added."""
    lines = [line.split() for line in text.splitlines() if line[:1].isdigit()]
    counts = np.array([(int(at), int(count)) for at, count in lines])
    late = np.repeat((counts[:, 0] + 0.5) * 1000.0, counts[:, 1])
    beyond = next((int(line.split()[-1]) for line in text.splitlines() if line.startswith("# Histogram Overflows:")), 0)
    return np.concatenate([late, np.full(beyond, CYCLICTEST_MAX_US * 1000.0)])


def compiled(folder: Path) -> Any:
    """Return pacing.c as a library."""
    path = folder / "pacing.so"
    flags = ["-std=c11", "-O2", "-D_GNU_SOURCE", f"-I{PROJECT / 'ffi'}", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, str(PROJECT / "benchmarks/pacing.c"), "-o", str(path)], check=True)
    library = ctypes.CDLL(str(path))
    library.clock_read_ns.restype = ctypes.c_double
    library.clock_read_ns.argtypes = [ctypes.c_int64]
    return library
