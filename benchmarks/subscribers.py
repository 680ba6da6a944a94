"""What listeners cost the kernel: CPU time of its thread per shot with eight ZeroMQ subscribers, one of which stalls, against none.

The whole of `qrt.run` on the demo lab, in this process, in turns A/B/B/A. The subscribers are a process of their own: seven read all that
comes, the eighth subscribes to everything and never reads. The kernel's thread shares nothing with the stream, so what remains is
what the machine's cores do to each other; the time that other threads take is not part of the figure.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.active_reset import LAB, PROGRAM, drop_shots
from benchmarks.figure import Figure, against

SHOTS, PAIRS = 300_000, 10
GOAL = 1.02
# Says how many messages the seven got, when its input is closed.
LISTENERS = """
import select, sys, zmq
context = zmq.Context()
def listener(address):
    made = context.socket(zmq.SUB)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.SUBSCRIBE, b"")
    made.connect(address)
    return made
readers = [listener(sys.argv[1]) for _ in range(7)]
stalled = listener(sys.argv[1])
counts = {reader: 0 for reader in readers}
poller = zmq.Poller()
for reader in readers:
    poller.register(reader, zmq.POLLIN)
poller.register(sys.stdin.fileno(), zmq.POLLIN)
print("connected", flush=True)
ended = False
while not ended:
    for ready, _ in poller.poll():
        if ready == sys.stdin.fileno():
            ended = True
        else:
            ready.recv_multipart()
            counts[ready] += 1
print(min(counts.values()))
context.destroy(linger=0)
"""


def measure(scale: float) -> list[Figure]:
    """Return CPU time in ns per shot with subscribers, against none."""
    import msgspec

    from qrt.config import load
    from qrt.types import Stream

    shots = max(int(SHOTS * scale), 10_000)
    address = f"tcp://127.0.0.1:{free_port()}"
    lab = msgspec.structs.replace(load(LAB), stream=Stream(address=address))
    with tempfile.TemporaryDirectory(prefix="qrt-bench-") as runs, reports() as seen:
        alone(lab, runs, 1000, seen)  # takes the calibration that the others use
        pairs = []
        for pair in range(max(round(PAIRS * min(scale * 2, 1.0)), 3)):
            order = (True, False) if pair % 2 == 0 else (False, True)
            taken = {heard: (listened if heard else alone)(lab, runs, shots, seen) for heard in order}
            pairs.append((taken[True], taken[False]))
    return [against("CPU time of the kernel, 8 subscribers, one stalled", pairs, "ns/shot", "no subscriber", most=GOAL)]


def alone(lab: Any, runs: str, shots: int, seen: list[Any]) -> float:
    """Return the CPU time per shot in ns of a run, whoever listens."""
    from qrt.run import run

    calibration = "latest" if any(Path(runs).glob("calibrations/*.json")) else None
    result = run(PROGRAM, lab=lab, shots=shots, seed=1, calibration=calibration, runs=runs)
    assert result.summary.shots == shots
    drop_shots(result.folder)
    return float(seen[-1].ran_ns / shots)


def listened(lab: Any, runs: str, shots: int, seen: list[Any]) -> float:
    """Return the same with the subscribers, each of which must have heard something."""
    command = [sys.executable, "-c", LISTENERS, lab.stream.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listeners:
        assert listeners.stdout is not None
        assert listeners.stdout.readline() == "connected\n"
        cost_ns = alone(lab, runs, shots, seen)
        heard, _ = listeners.communicate()
    assert int(heard) > 0, "a subscriber heard nothing: no figure"
    return cost_ns


@contextmanager
def reports() -> Iterator[list[Any]]:
    """Collect what every kernel of this process reports at its end: a run's summary leaves the thread's CPU time out."""
    from qrt import kernel

    seen: list[Any] = []
    join = kernel.Kernel.join

    def collected(loop: kernel.Kernel) -> kernel.Report:
        report = join(loop)
        seen.append(report)
        return report

    kernel.Kernel.join = collected  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        kernel.Kernel.join = join  # type: ignore[method-assign]


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
