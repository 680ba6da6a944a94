"""Run the demo lab against the real clock with two controllers and a stream, until told to end: the child of tests/test_stalls.py.

Arguments: folder for the run, calibration, stream address. It writes the events of the run, a line each, and takes two commands on its
standard input: `disk SECONDS`, from then on the system's fdatasync returns no sooner than that, as on a disk that stalls; `end`.
"""

import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from qrt.config import load
from qrt.events import Playing, Progress
from qrt.reasons import StoppedError
from qrt.run import run
from qrt.types import Control, Controller, Stream

PROJECT = Path(__file__).resolve().parent.parent
PERIOD_NS, TOLERANCE_NS = 2_000_000, 100_000_000
W, DELAY = 100, 1
SLOW_BATCH = 2
PROGRAM = """OPENQASM 3;
include "stdgates.inc";
input float theta;
input float phi;
qubit q;
bit c;
reset q;
rz(phi) q;
rx(theta) q;
c = measure q;
"""
CONTROLLERS = {
    "servo": Controller("integrator", "theta", "c", 0.5, 0.0, 3.1, parameters={"gain": -1.0}),
    "slow": Controller(
        str(PROJECT / "tests/bad_law.py"), "phi", parameters={"kind": "slow", "at": SLOW_BATCH, "gain": 0.01}
    ),
}


class Disk:
    """The system's fdatasync, which may stall."""

    def __init__(self) -> None:
        self.until_s = 0.0
        self._sync = os.fdatasync

    def sync(self, descriptor: int) -> None:
        while (left_s := self.until_s - time.monotonic()) > 0.0:
            threading.Event().wait(left_s)
        self._sync(descriptor)


def listen(disk: Disk, end: threading.Event) -> None:
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "disk":
            disk.until_s = time.monotonic() + float(rest[0])
        else:
            end.set()
    end.set()


def tell(event: object) -> None:
    if isinstance(event, Playing | Progress):
        print(type(event).__name__, getattr(event, "done", 0), flush=True)


def main() -> None:
    runs, calibration, address = sys.argv[1:]
    lab = load(PROJECT / "configs/demo.toml")
    timing = msgspec.structs.replace(lab.timing, late_tolerance_ns=float(TOLERANCE_NS))
    lab = msgspec.structs.replace(lab, timing=timing, stream=Stream(address), control=Control(W, DELAY))
    disk, end = Disk(), threading.Event()
    os.fdatasync = disk.sync
    threading.Thread(target=listen, args=(disk, end), daemon=True).start()
    given = {"inputs": {"theta": 0.8, "phi": 0.0}, "controllers": CONTROLLERS, "calibration": calibration}
    try:
        run(
            PROGRAM,
            lab=lab,
            shots=1_000_000,
            seed=1,
            pacing="real",
            period_ns=PERIOD_NS,
            runs=Path(runs),
            events=tell,
            stop=end,
            **given,
        )
    except StoppedError as ended:
        print("ended", ended, flush=True)


if __name__ == "__main__":
    main()
