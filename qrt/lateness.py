"""Histograms of durations, as the kernel fills them, and what is read from them: how late releases were.

The kernel adds each release's lateness to a histogram of constant size (ffi/core/histogram.c): below 256 ns every value has a bucket
of its own, above, each octave is cut into 128 of equal width. Here is the same rule in numpy, in integers, and the quantiles of
a histogram that is done. Nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

HISTOGRAM_BUCKETS: Final = 7296
HISTOGRAM_DTYPE: Final = np.dtype([("count", "<i8"), ("maximum", "<i8"), ("buckets", "<i8", (HISTOGRAM_BUCKETS,))])


def bucket_of(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the histogram's bucket of each value [values]: exact below 256 ns, then 128 to the octave."""
    values = np.maximum(values_ns, 0)
    shifts = np.zeros(values.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):  # the position of the highest bit, in integers: a float logarithm would round
        shifts += step * (values >> (shifts + step) > 0)
    shifts = np.maximum(shifts - 7, 0)
    buckets: NDArray[np.int64] = 128 * shifts + (values >> shifts)
    return buckets


def bucket_ends() -> NDArray[np.int64]:
    """Return the largest value of each bucket, in ns: [buckets]."""
    buckets = np.arange(HISTOGRAM_BUCKETS, dtype=np.uint64)
    shifts = np.maximum(buckets // np.uint64(128), np.uint64(1)) - np.uint64(1)
    ends = ((buckets - np.uint64(128) * shifts + np.uint64(1)) << shifts) - np.uint64(1)  # 2^63 - 1 at the last
    signed: NDArray[np.int64] = ends.astype(np.int64)
    return signed


@dataclass(frozen=True)
class Lateness:
    """How late releases were, in ns: quantiles to 1/128 of their value, the largest exactly. All 0 where there were none."""

    count: int
    p50_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


def lateness_of(buckets: NDArray[np.int64], maximum_ns: int) -> Lateness:
    """Return the quantiles of counts [buckets]: the end of the bucket that the quantile falls in, at the most the maximum."""
    below = np.cumsum(buckets)
    count = int(below[-1])
    ranks = [max(-(-count * per_mille // 1000), 1) for per_mille in (500, 990, 999)]
    ends = bucket_ends()[np.minimum(np.searchsorted(below, ranks), len(buckets) - 1)]
    p50, p99, p999 = (min(int(end), maximum_ns) for end in ends)
    return Lateness(count, p50, p99, p999, maximum_ns)
