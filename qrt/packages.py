"""What installed packages offer by name: drivers, twins, laws, functions of a lab; entry points, by their group.

Nothing of them is imported here; whoever uses one loads it. To read what all packages say of themselves takes as long as much else of a
short run, so it is done once for each group and search path: what is installed does not change while a process runs.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points


def offered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name."""
    return dict(_read(group, tuple(sys.path)))


@lru_cache(maxsize=32)
def _read(group: str, search_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Return what the packages of a search path say, which is that of Python now."""
    assert search_path == tuple(sys.path)
    return {entry.name: entry for entry in entry_points(group=group)}
