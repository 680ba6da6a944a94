"""Demodulation of int16 samples, one channel, against the machine's read bandwidth, measured in the same run, interleaved A/B.

The captures of a benchmark are 1000 samples each and together larger than any cache, so that both read memory. The floor adds up all
samples and does nothing else. Bytes are those of the samples; the weights stay in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.figure import Figure, against

CAPTURE_SAMPLES = 1000
BUFFER_BYTES = 256 << 20
ROUNDS = 21
GOAL = 0.8


def measure(scale: float) -> list[Figure]:
    """Return the ratio for the instruction set that the core chose."""
    from qrt import kernel

    rng = np.random.default_rng(7)
    capture_count = max(int(BUFFER_BYTES * scale) // (2 * CAPTURE_SAMPLES), 1000)
    samples = rng.integers(-(1 << 13), 1 << 13, (capture_count, CAPTURE_SAMPLES), dtype=np.int16)
    weights = rng.integers(-4095, 4096, (2, CAPTURE_SAMPLES), dtype=np.int16)
    check = samples[:3].astype(np.int64) @ weights.T.astype(np.int64)
    assert np.array_equal(kernel.demodulate(samples[:3], weights), check)
    pairs = []
    for _ in range(ROUNDS):
        ours = timed(lambda: kernel.demodulate(samples, weights))
        floor = timed(lambda: kernel.read_floor(samples))
        pairs.append((samples.nbytes / ours / 1e9, samples.nbytes / floor / 1e9))
    name = f"demodulation, int16, {kernel.isa_selected()}"
    return [against(name, pairs, "GB/s", "read bandwidth", least=GOAL)]


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
