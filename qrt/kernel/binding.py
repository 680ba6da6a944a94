"""The one importer of `qrt._core`, and how arrays become pointers. Every call into C releases the interpreter lock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qrt._core import ffi, lib

__all__ = ["ffi", "lend", "lib", "pointer"]


def pointer(array: NDArray[Any], c_type: str) -> Any:
    """Return a pointer to a contiguous array's data; NULL if it has none."""
    assert array.flags.c_contiguous
    return ffi.from_buffer(c_type, array) if array.size else ffi.NULL


def lend(lent: list[Any], array: NDArray[Any], dtype: DTypeLike, c_type: str) -> tuple[Any, int]:
    """Return pointer and count of an array that lives as long as `lent`."""
    kept = np.ascontiguousarray(array, dtype=dtype)
    address = pointer(kept, c_type)
    lent += [kept, address]
    return address, len(kept)
