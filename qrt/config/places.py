"""Line numbers of TOML paths, for messages.

tomli gives values without their places. A TOML file's tables and keys stand at the start of their lines, which is enough
to find a line by its path; a key inside an inline table or a string of several lines is found at the line of what holds it.
This is for the reader's eye only: no value is taken from here.
"""

from __future__ import annotations

import re

KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
DOTTED = rf"{KEY}(?:\s*\.\s*{KEY})*"
TABLE = re.compile(rf"^\s*\[\[?\s*({DOTTED})\s*\]\]?")
ENTRY = re.compile(rf"^\s*({DOTTED})\s*=")


class Places:
    """Knows on which line of a TOML text a path stands, counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if head := TABLE.match(line):
                table = _split(head.group(1))
                self._add(table, number)
            elif entry := ENTRY.match(line):
                self._add(table + _split(entry.group(1)), number)

    def line(self, path: tuple[str, ...]) -> int:
        """Return the line of the path or of the nearest table around it; 0 where even that is not written."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 0)

    def _add(self, path: tuple[str, ...], number: int) -> None:
        for size in range(1, len(path) + 1):
            self._lines.setdefault(path[:size], number)


def _split(dotted: str) -> tuple[str, ...]:
    """Return the keys of a dotted key, without their quotes."""
    return tuple(key.strip("\"'") for key in re.findall(KEY, dotted))
