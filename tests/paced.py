"""Run a kernel against the real clock as a process of its own, and print what became of it: the child of tests/test_misses.py.

Arguments: the port's library, the period in ns, the number of shots, the number of slots for rows, and ThreadAsked's cores, if any.
One line on standard output when a few shots have been played, then, at the end, one line of JSON. Standard input closed: go on and
read the rows. The rows are compared with those of a replay in virtual time, with the misses as skips.
"""

import ctypes
import json
import sys

import numpy as np

from benchmarks.bare import bare_sequence
from qrt import kernel

library, period_ns, shots, slots = ctypes.CDLL(sys.argv[1]), *map(int, sys.argv[2:5])
port = ctypes.addressof(ctypes.c_char.in_dll(library, "port"))
SEQUENCE = bare_sequence(period_ns, plays=True)
ROW = kernel.row_dtype(0)


def rings(rows: int) -> kernel.Rings:
    return kernel.Rings(
        kernel.Ring.create(ROW.itemsize, rows, 1), misses=kernel.Ring.create(kernel.MISS_DTYPE.itemsize, 64, 1)
    )


def drained(ring, dtype):
    parts = [np.zeros(0, dtype)]
    while not ring.closed or ring.wait(0, 1, 0.0):
        ring.wait(0, 1, 0.1)
        view = ring.peek(0, dtype)
        parts.append(view.copy())
        ring.release(0, len(view))
    return np.concatenate(parts)


def main() -> None:
    thread = kernel.ThreadAsked(cores=tuple(map(int, sys.argv[5:])))
    options = {"late_tolerance_ns": 100_000_000, "spin_share_permille": 100, "thread": thread}
    real = rings(slots)
    config = kernel.Config(SEQUENCE, port, real, shots, pacing=kernel.Pacing.REAL, **options)
    with kernel.Kernel(config) as loop:
        loop.start()
        real.rows.wait(0, min(8, slots), 20.0)
        print("paced", flush=True)
        sys.stdin.read()
        rows = drained(real.rows, ROW)
        report = loop.join()
    misses = drained(real.misses, kernel.MISS_DTYPE)
    taken = misses[misses["skipped_count"] > 0]
    skips = np.zeros(len(taken), kernel.SKIP_DTYPE)
    skips["shot"], skips["count"] = taken["shot"], taken["skipped_count"]
    again = rings(1 << (shots - 1).bit_length())
    with kernel.Kernel(kernel.Config(SEQUENCE, port, again, shots, skips=skips)) as loop:
        loop.start()
        loop.join()
    same = drained(again.rows, ROW).tobytes() == rows.tobytes()
    named = [
        {
            "what": kernel.MissClass(miss["miss_class"]).name,
            "cause": kernel.Cause(miss["cause"]).name,
            "lateness_ns": int(miss["lateness_ns"]),
            "skipped": int(miss["skipped_count"]),
        }
        for miss in misses
    ]
    stall = {name: ctypes.c_int64.in_dll(library, name).value for name in ("stall_ns", "stall_ran_ns")}
    lateness = {"max_ns": report.lateness.max_ns, "count": report.lateness.count}
    print(
        json.dumps(
            {"status": report.status.name, "misses": named, "skipped": report.shots_skipped, "same": same}
            | lateness
            | stall
        )
    )


main()
