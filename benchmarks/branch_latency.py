"""From the last sample in host memory to the branch: ten channels of 1000 samples demodulated, decided, read and branched on.

The kernel plays a real sequence on a port in C (branch_latency.c): ten captures end at the same tick, ten outcomes are read, their parity
decides which of two segments is played. The figure goes from the instant at which the last sample is there to the play; the samples
come at 1 GS/s, and the port tells how many have come. They lie in the caches of the kernel's core, where they were written before the
shot; which of them are there is decided by the clock. Beside it the same with samples that another core is just writing, whose
last ones have to come from its cache; with a port that tells only when all have come; and numpy,
jitted JAX and, where it is installed, numba on the same memory: both quadratures of each channel, compared with the threshold, and
the parity; called in a bare loop, with nothing of what a kernel does besides. numpy and JAX compute in float32, which is not exact.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, bootstrap, machine

PROJECT = Path(__file__).resolve().parent.parent
CHANNELS, SAMPLES = 10, 1000
SHOTS, TURNS, PEER_CALLS = 20_000, 10, 4_000
WARM_UP = 200
GOALS_US = {0.5: 0.5, 0.99: 1.0}
END, PLAY, CAPTURE, WAIT, READ, ALU, BRANCH = 0, 1, 2, 3, 8, 10, 11
CHUNKED = "chunked_port"
STREAMED = "streamed_port"
PORTS = {
    CHUNKED: "as the samples come",
    STREAMED: "the kernel where another core writes the samples",
    "whole_port": "the kernel where a port tells only the end",
}
ALU_XOR, IF_ALWAYS, IF_NONZERO = 6, 0, 2

Call = Callable[[], int]


def measure(scale: float) -> list[Figure]:
    """Return p50 and p99 of the kernel's latency in µs, and what the peers take."""
    shots, calls = max(int(SHOTS * scale), 1000), max(int(PEER_CALLS * scale), 500)
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
        weights = weights_of()
        level = np.clip(np.round(weights[0] / 8), -4000, 4000).astype(np.int16)
        library.set_levels(level.ctypes.data_as(ctypes.c_void_p))
        samples = np.ctypeslib.as_array((ctypes.c_int16 * (CHANNELS * SAMPLES)).in_dll(library, "samples"))
        peers = peers_of(samples.reshape(CHANNELS, SAMPLES), weights)
        ports = [name for name in PORTS if name != STREAMED or has_two_cores()]
        taken: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*ports, *peers)}
        for _ in range(TURNS):
            for name in ports:
                taken[name].append(kernel_us(library, name, weights, shots))
            for name, call in peers.items():
                taken[name].append(peer_us(library, call, calls))
    others = {PORTS.get(name, name): turns for name, turns in taken.items() if name != CHUNKED}
    return [figure_of(taken[CHUNKED], others, quantile, goal) for quantile, goal in GOALS_US.items()]


def quantile_of(turns: list[NDArray[np.float64]], quantile: float) -> float:
    """Return a quantile over all turns together."""
    return float(np.quantile(np.concatenate(turns), quantile))


def figure_of(
    turns: list[NDArray[np.float64]], others: dict[str, list[NDArray[np.float64]]], quantile: float, goal: float
) -> Figure:
    """Return a quantile with its bootstrap interval over turns."""
    figure = quantile_of(turns, quantile)
    beside = ", ".join(f"{name} {quantile_of(taken, quantile):.3g} µs" for name, taken in others.items())
    singles = [float(np.quantile(turn, quantile)) for turn in turns]
    return Figure(
        name=f"last sample to branch, {CHANNELS} channels of {SAMPLES} samples, p{quantile * 100:g}",
        figure=figure,
        unit="µs",
        goal=f"<= {goal:g}",
        floor_or_peer=beside,
        ratio=None,
        met=figure <= goal,
        spread=(min(singles), max(singles)),
        interval=bootstrap(len(turns), lambda chosen: quantile_of([turns[turn] for turn in chosen], quantile)),
        machine=machine(),
    )


# ---- The kernel ------------------------------------------------------------------------------------------------------


def code() -> list[tuple[int, ...]]:
    """Return ten captures, the parity of their outcomes in register 0, and segment 1 or 0 by it."""
    captures = [(CAPTURE, 0, channel, 0, 0) for channel in range(CHANNELS)]
    reads = [step for bit in range(CHANNELS) for step in ((READ, 1, bit, 0, 0), (ALU, 0, ALU_XOR, 1, 0))]
    odd = CHANNELS + 1 + 2 * CHANNELS + 3
    return [
        *captures,
        (WAIT, 0, 0, 0, SAMPLES),
        *reads,
        (BRANCH, 0, IF_NONZERO, odd, 0),
        (PLAY, 0, 0, 1000, 0),
        (BRANCH, 0, IF_ALWAYS, odd + 1, 0),
        (PLAY, 0, 1, 1000, 0),
        (END, 0, 0, 0, 0),
    ]


def kernel_us(library: Any, name: str, weights: NDArray[np.int16], shots: int) -> NDArray[np.float64]:
    """Return the latency of each shot of a run in µs: [shots]."""
    from qrt import kernel
    from qrt.types import Sequence

    captures = np.zeros(CHANNELS, kernel.CAPTURE_DTYPE)
    captures["sample_count"] = SAMPLES
    captures["channel"] = captures["bit"] = np.arange(CHANNELS)
    captures["threshold_slot"] = captures["weights_slot"] = kernel.SLOT_NONE
    captures["weights_offset"] = 2 * SAMPLES * np.arange(CHANNELS)
    sequence = Sequence(
        instructions=np.array(code(), kernel.INSTRUCTION_DTYPE),
        entries=np.zeros(1, np.uint32),
        frames=np.zeros(1, kernel.FRAME_DTYPE),
        captures=captures,
        weights=np.tile(weights.ravel(), CHANNELS),
        budget=1000,
        period_ticks=10 * SAMPLES,
        segments={},
        lines=(),
        sequencers=(),
        bits=(),
        slots=(),
        source_lines=(),
    )
    rows = kernel.Ring.create(kernel.row_dtype(CHANNELS).itemsize, 64, 1)
    rows.detach(0)
    port = ctypes.addressof(ctypes.c_char.in_dll(library, name))
    if name == STREAMED:
        assert library.writer_start() == 0
    with kernel.Kernel(kernel.Config(sequence, port, kernel.Rings(rows), shots + WARM_UP)) as loop:
        loop.start()
        report = loop.join()
    if name == STREAMED:
        library.writer_stop()
    assert report.status == kernel.Status.OK, report
    assert ctypes.c_int64.in_dll(library, "wrong_branches").value == 0
    latency_ns = np.ctypeslib.as_array((ctypes.c_int64 * (shots + WARM_UP)).in_dll(library, "latency_ns"))
    return latency_ns[WARM_UP:] / 1000


def has_two_cores() -> bool:
    """Return whether another core can write the samples; says so where not."""
    if len(os.sched_getaffinity(0)) > 1:
        return True
    print("  one core: no figure of samples that another one writes")
    return False


def weights_of() -> NDArray[np.int16]:
    """Return int16 [2, samples]: a tone's two quadratures."""
    wave = 4000 * np.exp(2j * np.pi * 0.1 * np.arange(SAMPLES) + 0.3j)
    return np.ascontiguousarray(np.array([wave.real, wave.imag]).round().astype(np.int16))


def compiled(folder: Path) -> Any:
    """Return branch_latency.c as a library."""
    path = folder / "branch_latency.so"
    flags = ["-std=c11", "-O2", "-D_GNU_SOURCE", f"-I{PROJECT / 'ffi'}", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["cc", *flags, str(PROJECT / "benchmarks/branch_latency.c"), "-o", str(path)], check=True)
    return ctypes.CDLL(str(path))


# ---- The peers -------------------------------------------------------------------------------------------------------


def peers_of(samples: NDArray[np.int16], weights: NDArray[np.int16]) -> dict[str, Call]:
    """Return what each peer does with samples [channels, samples]: a call that returns the parity."""
    peers = {"numpy": numpy_call(samples, weights), "JAX": jax_call(samples, weights)}
    if importlib.util.find_spec("numba") is None:
        print("  numba is not installed here: no figure of it")
    else:
        peers["numba"] = numba_call(samples, weights)
    return peers


def numpy_call(samples: NDArray[np.int16], weights: NDArray[np.int16]) -> Call:
    """Return one matrix product in float32, into memory that is reused."""
    columns = np.ascontiguousarray(weights.T.astype(np.float32))
    wide = np.empty(samples.shape, np.float32)
    iq = np.empty((CHANNELS, 2), np.float32)

    def call() -> int:
        wide[:] = samples
        np.matmul(wide, columns, out=iq)
        return int(np.count_nonzero(iq[:, 0] > 0)) & 1

    return call


def jax_call(samples: NDArray[np.int16], weights: NDArray[np.int16]) -> Call:
    """Return one jitted function."""
    import jax
    import jax.numpy as jnp

    columns = jnp.asarray(weights.T.astype(np.float32))

    @jax.jit
    def parity(given: Any) -> Any:
        iq = given.astype(jnp.float32) @ columns
        return jnp.sum(iq[:, 0] > 0) & 1, iq

    def call() -> int:
        return int(parity(samples)[0])

    call()
    return call


def numba_call(samples: NDArray[np.int16], weights: NDArray[np.int16]) -> Call:
    """Return compiled loops, exact."""
    import numba

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator]
    def parity(given: NDArray[np.int16], w: NDArray[np.int16], iq: NDArray[np.int64]) -> int:
        odd = 0
        for channel in range(given.shape[0]):
            i = np.int64(0)
            q = np.int64(0)
            for k in range(given.shape[1]):
                i += np.int32(given[channel, k]) * np.int32(w[0, k])
                q += np.int32(given[channel, k]) * np.int32(w[1, k])
            iq[channel, 0] = i
            iq[channel, 1] = q
            odd ^= i > 0
        return odd

    iq = np.zeros((CHANNELS, 2), np.int64)

    def call() -> int:
        return int(parity(samples, weights, iq))

    call()
    return call


def peer_us(library: Any, call: Call, calls: int) -> NDArray[np.float64]:
    """Return how long each call takes in µs, new samples every time: [calls]."""
    taken = np.empty(calls)
    for index in range(-WARM_UP, calls):
        expected = library.next_samples()
        started = time.perf_counter_ns()
        parity = call()
        ended = time.perf_counter_ns()
        assert parity == expected
        taken[max(index, 0)] = (ended - started) / 1000
    return taken
