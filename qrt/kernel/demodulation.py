"""Demodulation, and which instruction set it uses: one choice for the whole process."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from qrt.errors import MachineError
from qrt.kernel.binding import ffi, lib, pointer
from qrt.kernel.codes import Status


def isa_names() -> tuple[str, ...]:
    """Return the instruction sets that this machine can run, best first."""
    return tuple(ffi.string(lib.qrt_isa_name(index)).decode() for index in range(lib.qrt_isa_count()))


def isa_selected() -> str:
    """Return the instruction set in use."""
    return str(ffi.string(lib.qrt_isa_selected()).decode())


def select_isa(name: str | None) -> None:
    """Use the named instruction set from now on: the value of QRT_ISA. None or nothing: leave the choice. MachineError."""
    if name and lib.qrt_isa_select(name.encode()) != Status.OK:
        raise MachineError(
            f"QRT_ISA={name}: this machine has {', '.join(isa_names())}; set one of these, or unset QRT_ISA"
        )


select_isa(os.environ.get("QRT_ISA"))  # for the whole process; forces one instruction set, for tests and benchmarks


def demodulate(samples: NDArray[np.int16], weights: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return iq = sum over samples of samples * weights, exactly.

    samples: int16 [samples] or [captures, samples], any value. weights: int16 [2, samples] (I, Q), within +-32767.
    iq: int64 [2] or [captures, 2]. ValueError for other shapes or dtypes, or a weight of -32768.
    """
    if samples.dtype != np.int16 or weights.dtype != np.int16 or samples.ndim not in (1, 2):
        raise ValueError(
            f"samples {samples.dtype}{samples.shape}, weights {weights.dtype}: int16 [n] or [m, n] is needed"
        )
    count = samples.shape[-1]
    if weights.shape != (2, count) or weights.min(initial=0) == np.iinfo(np.int16).min:
        raise ValueError(f"weights {weights.shape}: int16 [2, {count}] within +-32767 is needed")
    captures, weights = np.ascontiguousarray(np.atleast_2d(samples)), np.ascontiguousarray(weights)
    iq = np.zeros((len(captures), 2), np.int64)
    if iq.size and count:
        taps = pointer(weights, "int16_t[]")
        headroom = lib.qrt_weights_headroom(taps, taps + count, count)
        lib.qrt_demodulate_many(
            pointer(iq, "int64_t[]"),
            pointer(captures, "int16_t[]"),
            len(captures),
            taps,
            taps + count,
            count,
            headroom,
        )
    return iq if samples.ndim == 2 else iq[0]


def read_floor(samples: NDArray[np.int16]) -> int:
    """Return the sum of all samples (int16, contiguous): reads memory and does next to nothing else, for benchmarks."""
    assert samples.dtype == np.int16
    return int(lib.qrt_read_floor(pointer(samples, "int16_t[]"), samples.size)) if samples.size else 0
