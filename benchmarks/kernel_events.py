"""What the kernel costs beside a loop written by hand, and how many instructions a second its sequencers do.

The program is an active reset: pulse, tone, capture, read, branch, pulse on one side, tone and capture again; a port that does next to
nothing answers. kernel_events.c has the loop by hand, compiled in the same run with the core's own flags, and calls the same
functions, the demodulation of 64 samples and the ring included. Both rings have lost their reader, so that nobody is waited for.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Figure, against, at_least

PROJECT = Path(__file__).resolve().parent.parent
PERIOD_TICKS = 7000
SAMPLES = 64
SHOTS = 400_000
ROUNDS = 15
LOOP_TURNS = 2_000_000
GOAL_RATIO = 1.3
GOAL_RATE = 50.0  # million instructions a second
END, PLAY, CAPTURE, WAIT, WAIT_UNTIL, SYNC, SET_FREQUENCY, SHIFT_PHASE, READ, WRITE, ALU, BRANCH = range(12)

RESET = [
    (PLAY, 0, 1, 30000, 0),
    (WAIT, 0, 0, 0, 60),
    (SHIFT_PHASE, 0, 0, 0, 0),
    (WAIT_UNTIL, 0, 0, 0, 100),
    (CAPTURE, 0, 0, 0, 0),
    (PLAY, 1, 2, 20000, 1),
    (WAIT, 0, 0, 0, 64),
    (READ, 1, 0, 0, 0),
    (ALU, 0, 2, 1, 0),
    (WAIT_UNTIL, 0, 0, 0, 300),
    (BRANCH, 0, 1, 13, 0),
    (PLAY, 0, 1, 30000, 0),
    (WAIT, 0, 0, 0, 60),
    (WAIT_UNTIL, 0, 0, 0, 400),
    (CAPTURE, 0, 1, 0, 0),
    (PLAY, 1, 2, 20000, 1),
    (WAIT, 0, 0, 0, 64),
    (READ, 1, 1, 0, 0),
    (END, 0, 0, 0, 0),
]
LOOP = [
    (ALU, 0, 0, 0, LOOP_TURNS),
    (ALU, 1, 2, 0, 3),
    (SHIFT_PHASE, 0, 0, 0, 1 << 40),
    (WAIT, 0, 0, 0, 0),
    (ALU, 0, 3, 2, 1),
    (BRANCH, 0, 2, 1, 0),
    (END, 0, 0, 0, 0),
]


def measure(scale: float) -> list[Figure]:
    """Return the kernel beside the loop by hand, in ns a shot, and the sequencer's rate."""
    from qrt import kernel

    shots = max(int(SHOTS * scale), 1000)
    with tempfile.TemporaryDirectory() as folder:
        library = ctypes.CDLL(str(compiled(Path(folder))))
        library.by_hand_ns.restype = ctypes.c_int64
        library.by_hand_ns.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        port = ctypes.addressof(ctypes.c_char.in_dll(library, "port"))
        pairs = []
        for _ in range(ROUNDS):
            ours = kernel_ns(sequence(RESET), port, shots)[0]
            ring = kernel.Ring.create(kernel.row_dtype(2).itemsize, 64, 1)
            ring.detach(0)
            floor = library.by_hand_ns(port, int(kernel.ffi.cast("uintptr_t", ring.pointer)), shots)
            assert floor > 0
            pairs.append((ours / shots, floor / shots))
        rates = []
        for _ in range(ROUNDS):
            wall_ns, instructions = kernel_ns(sequence(LOOP, 10 * LOOP_TURNS), port, 1)
            rates.append(instructions / wall_ns * 1e3)
    return [
        against("kernel, virtual, 19 instructions a shot", pairs, "ns/shot", "the loop by hand", most=GOAL_RATIO),
        at_least("sequencer alone", rates, "M instructions/s", GOAL_RATE),
    ]


def sequence(code: list[tuple[int, ...]], budget: int = 100) -> Any:
    """Return a sequence of two captures of 64 samples on two frames."""
    from qrt import kernel
    from qrt.types import Sequence

    frames = np.zeros(2, kernel.FRAME_DTYPE)
    frames["frequency"], frames["phase"], frames["line"] = (12345678901, 5), (7, 0), (0, 1)
    captures = np.zeros(2, kernel.CAPTURE_DTYPE)
    captures["sample_count"], captures["bit"] = SAMPLES, (0, 1)
    return Sequence(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=frames,
        captures=captures,
        weights=np.repeat(np.array([2, -1], np.int16), SAMPLES),
        budget=budget,
        period_ticks=PERIOD_TICKS,
        segments={},
        lines=(),
        sequencers=(),
        bits=(),
        slots=(),
        source_lines=(),
    )


def kernel_ns(played: Any, port: int, shots: int) -> tuple[int, int]:
    """Return wall time in ns and instructions of a run, without a reader."""
    from qrt import kernel

    rows = kernel.Ring.create(kernel.row_dtype(2).itemsize, 64, 1)
    rows.detach(0)
    with kernel.Kernel(kernel.Config(played, port, kernel.Rings(rows), shots)) as loop:
        loop.start()
        report = loop.join()
    assert report.status == kernel.Status.OK, report
    return report.wall_ns, report.instructions


def compiled(folder: Path) -> Path:
    """Return kernel_events.c with the core's files as a library."""
    spec = importlib.util.spec_from_file_location("ffi_build", PROJECT / "ffi/build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    library = folder / "kernel_events.so"
    sources = [str(PROJECT / "benchmarks/kernel_events.c"), *map(str, sorted((PROJECT / "ffi/core").glob("*.c")))]
    command = ["cc", *build.FLAGS, f"-I{PROJECT / 'ffi'}", "-shared", "-fPIC", *sources, "-lm", "-o", str(library)]
    subprocess.run(command, check=True)
    return library
