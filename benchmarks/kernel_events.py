"""What the kernel costs beside a loop written by hand, and how many instructions a second its sequencers do.

The program is an active reset: pulse, tone, capture, read, branch, pulse on one side, tone and capture again: 19 instructions.
kernel_events.c has the loop by hand, compiled in the same run with the core's own flags: it makes the same calls of the port with the
same arguments, calls the core's demodulation and ring, and leaves the same rows, byte for byte, trace hash included; both are checked.
It knows the program and all ticks, and orders, interprets, counts and checks nothing. Beside it stands the same loop without the trace
hash. Two ports answer: the twin's plant, which is what a kernel's shots cost, and one that does next to nothing, which leaves the
kernel alone with its bookkeeping. The rings have lost their readers, so that nobody is waited for.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figure import Figure, against, at_least
from qrt.kernel import (
    CAPTURE_DTYPE,
    FRAME_DTYPE,
    INSTRUCTION_DTYPE,
    SLOT_NONE,
    Config,
    Kernel,
    Report,
    Ring,
    Rings,
    Status,
    row_dtype,
)
from qrt.types import Sequence

PROJECT = Path(__file__).resolve().parent.parent
SHOTS, PLANT_SHOTS = 400_000, 10_000
ROUNDS = 15
SLOTS = 64
LOOP_TURNS = 2_000_000
GOAL_RATIO = 1.3
GOAL_RATE = 50.0  # million instructions a second
FULL = 32767
ROW = row_dtype(2)
END, PLAY, CAPTURE, WAIT, WAIT_UNTIL, SYNC, SET_FREQUENCY, SHIFT_PHASE, READ, WRITE, ALU, BRANCH = range(12)


class Program(ctypes.Structure):
    """The numbers of the program, as kernel_events.c has them."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("period", "second_pulse", "second_capture")),
        *((name, ctypes.c_int64) for name in ("drive_frequency", "tone_frequency")),
        *((name, ctypes.c_int32) for name in ("drive_amplitude", "tone_amplitude", "sample_count", "tone_line")),
        *((name, ctypes.c_int32) for name in ("drive_segment", "tone_segment")),
    ]


NULL = Program(7000, 300, 400, 12345678901, 5, 30000, 20000, 64, 1, 1, 2)
PLANT = Program(7000, 2000, 2100, (1 << 64) // 10, (1 << 64) // 10, 26214, 16384, 1000, 2, 1, 0)


def reset(p: Program) -> list[tuple[int, ...]]:
    """Return the program's instructions."""
    return [
        (PLAY, 0, p.drive_segment, p.drive_amplitude, 0),
        (WAIT, 0, 0, 0, 60),
        (SHIFT_PHASE, 0, 0, 0, 0),
        (WAIT_UNTIL, 0, 0, 0, 100),
        (CAPTURE, 0, 0, 0, 0),
        (PLAY, 1, p.tone_segment, p.tone_amplitude, 1),
        (WAIT, 0, 0, 0, p.sample_count),
        (READ, 1, 0, 0, 0),
        (ALU, 0, 2, 1, 0),
        (WAIT_UNTIL, 0, 0, 0, p.second_pulse),
        (BRANCH, 0, 1, 13, 0),
        (PLAY, 0, p.drive_segment, p.drive_amplitude, 0),
        (WAIT, 0, 0, 0, 60),
        (WAIT_UNTIL, 0, 0, 0, p.second_capture),
        (CAPTURE, 0, 1, 0, 0),
        (PLAY, 1, p.tone_segment, p.tone_amplitude, 1),
        (WAIT, 0, 0, 0, p.sample_count),
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
    """Return the kernel beside the loop by hand, in ns a shot, on both ports, and the sequencer's rate."""
    shots, plant_shots = max(int(SHOTS * scale), 1000), max(int(PLANT_SHOTS * scale), 1000)
    with tempfile.TemporaryDirectory() as folder:
        library = ctypes.CDLL(str(compiled(Path(folder))))
        library.by_hand_ns.restype = ctypes.c_int64
        port = ctypes.addressof(ctypes.c_char.in_dll(library, "port"))
        on_plant, on_null, untraced, rates = [], [], [], []
        check_same(library, port)
        for _ in range(ROUNDS):
            plants = plant(), plant()  # each from the same state
            addresses = [one.port().address for one in plants]
            ours = by_kernel(sequence(PLANT, reset(PLANT)), addresses[0], plant_shots)[0].wall_ns
            theirs = by_hand(library, PLANT, addresses[1], plant_shots, reset(PLANT))[0]
            on_plant.append((ours / plant_shots, theirs / plant_shots))
            ours = by_kernel(sequence(NULL, reset(NULL)), port, shots)[0].wall_ns
            on_null.append((ours / shots, by_hand(library, NULL, port, shots, reset(NULL))[0] / shots))
            untraced.append((ours / shots, by_hand(library, NULL, port, shots, None)[0] / shots))
            alone = by_kernel(sequence(NULL, LOOP, 10 * LOOP_TURNS), port, 1)[0]
            rates.append(alone.instructions / alone.wall_ns * 1e3)
    return [
        against("kernel, virtual, on the twin's plant", on_plant, "ns/shot", "the loop by hand", most=GOAL_RATIO),
        beside_untraced(
            against("kernel, virtual, on a port of nothing", on_null, "ns/shot", "the loop by hand", most=GOAL_RATIO),
            untraced,
        ),
        at_least("sequencer alone", rates, "M instructions/s", GOAL_RATE),
    ]


def beside_untraced(figure: Figure, pairs: list[tuple[float, float]]) -> Figure:
    """Return the figure with what the loop by hand takes that makes no trace hash, and the ratio to that."""
    theirs, ratio = median(pair[1] for pair in pairs), median(ours / by_hand for ours, by_hand in pairs)
    return replace(
        figure, floor_or_peer=f"{figure.floor_or_peer}; without the trace hash {theirs:.4g} ns/shot, ratio {ratio:.3f}"
    )


def plant() -> Any:
    """Return a plant with a qubit on line 0, another on line 1 and the feedline on line 2, started."""
    from qrt.firmware_sim.plant import Plant
    from qrt.firmware_sim.plant_config import AdcConfig, LineConfig, PlantConfig, QubitConfig

    mhz, volt = 2e6 * np.pi, 0.5 / FULL
    qubits = [
        QubitConfig(ghz, 20e-6, 25e-6, 0.02, 50 * mhz, resonator, 5 * mhz, -1.5 * mhz, 20 * mhz, 0.45, 0.7)
        for ghz, resonator in ((4.95e9, 7.1e9), (5.25e9, 7.18e9))
    ]
    lines = [LineConfig(k, hz, volt, volt) for k, hz in ((0, 4.85e9), (1, 5.15e9), (None, 7.0e9))]
    made = Plant(PlantConfig(tuple(qubits), tuple(lines), AdcConfig(0.5 / 8192, 200 * 0.5 / 8192 * np.sqrt(2e-9), 14)))
    for line in range(3):
        for index, count in enumerate((1000, 25)):
            made.segment(line, index, np.full(count, FULL, np.int16), np.zeros(count, np.int16))
    made.start(1)
    return made


def weights_of(program: Program) -> Any:
    """Return int16 [2, samples] at the tone's frequency."""
    turns = program.tone_frequency / 2**64 * np.arange(program.sample_count)
    wave = 20000 * np.exp(2j * np.pi * turns + 0.3j)
    return np.ascontiguousarray(np.array([wave.real, wave.imag]).round().astype(np.int16))


def by_hand(
    library: Any, program: Program, port: int, shots: int, code: list[tuple[int, ...]] | None
) -> tuple[int, bytes]:
    """Return wall time in ns and rows of the loop by hand; without the instructions, of the one that makes no trace hash."""
    weights = weights_of(program)
    instructions = np.array(code or [], INSTRUCTION_DTYPE)
    with ring_for(shots) as ring:
        wall_ns = library.by_hand_ns(
            ctypes.c_void_p(port),
            ctypes.c_void_p(ring.address),
            ctypes.c_int64(shots),
            ctypes.byref(program),
            ctypes.c_void_p(weights.ctypes.data),
            ctypes.c_void_p(instructions.ctypes.data if code else None),
        )
        assert wall_ns > 0
        return int(wall_ns), left_in(ring, shots)


def by_kernel(played: Sequence, port: int, shots: int) -> tuple[Report, bytes]:
    """Return report and rows of a run."""
    with ring_for(shots) as ring, Kernel(Config(played, port, Rings(ring), shots)) as loop:
        loop.start()
        report = loop.join()
        assert report.status == Status.OK, report
        return report, left_in(ring, shots)


def ring_for(shots: int) -> Ring:
    """Return a ring of rows, which has lost its reader where it does not hold all shots."""
    ring = Ring.create(ROW.itemsize, SLOTS, 1)
    if shots > SLOTS:
        ring.detach(0)
    return ring


def left_in(ring: Ring, shots: int) -> bytes:
    """Return the rows of all shots, nothing where the ring does not hold them."""
    return b"" if shots > SLOTS else ring.peek(0, ROW).tobytes()


def check_same(library: Any, port: int) -> None:
    """Assert that both leave the same rows, byte for byte, and ask the port for the same."""
    asked = ctypes.c_uint64.in_dll(library, "plays")
    asked.value = 0
    by_kernel_left = by_kernel(sequence(NULL, reset(NULL)), port, SLOTS)[1], asked.value
    asked.value = 0
    assert by_kernel_left == (by_hand(library, NULL, port, SLOTS, reset(NULL))[1], asked.value)
    assert len(by_kernel_left[0]) == SLOTS * ROW.itemsize


def sequence(program: Program, code: list[tuple[int, ...]], budget: int = 100) -> Sequence:
    """Return a sequence with two captures and a drive and a tone frame."""
    frames = np.zeros(2, FRAME_DTYPE)
    frames["frequency"] = program.drive_frequency, program.tone_frequency
    frames["phase"], frames["line"] = (7, 0), (0, program.tone_line)
    captures = np.zeros(2, CAPTURE_DTYPE)
    captures["sample_count"], captures["bit"] = program.sample_count, (0, 1)
    captures["threshold_slot"] = captures["weights_slot"] = SLOT_NONE
    return Sequence(
        instructions=np.array(code, INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=frames,
        captures=captures,
        weights=weights_of(program).ravel(),
        budget=budget,
        period_ticks=program.period,
        segments={},
        lines=(),
        sequencers=(),
        bits=(),
        slots=(),
        source_lines=(),
    )


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
