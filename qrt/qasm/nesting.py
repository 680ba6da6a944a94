"""How deep a program may nest while it is read, elaborated and lowered: Python's own limit is meant for endless recursion."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FRAMES_MAX: Final = 20_000  # of Python: branches on outcomes are nested as deep as a loop has iterations
READING_FRAMES_MAX: Final = (
    2_000  # the time of the standard's parser grows with the square of the depth: some seconds, here
)


@contextmanager
def deep(frames_max: int = FRAMES_MAX) -> Iterator[None]:
    """Let functions call themselves as deep as programs nest."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, frames_max))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
