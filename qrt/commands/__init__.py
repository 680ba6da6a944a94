"""What the commands do once they are chosen, one module each; `qrt.__main__` holds their names and options and imports click alone.

`screen` writes for a person, `interrupt` turns Ctrl-C into a stop at a shot's end, and the others are a command each. A command
returns what it found as a plain value, which `--json` prints; without it, the same value was written line by line.
"""

from __future__ import annotations
