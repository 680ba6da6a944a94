"""The two families of errors.

Ours are bugs: an `assert`, or a status code from the C core that only our own mistake can cause. They stop the program loudly.
The world's are a user's, an instrument's, a file's: `WorldError` and its kin, one class per side of the world, each with a
message that says what happened, where, the value, the allowed set, and what to do next. The command prints those without a
traceback and exits with the class's `exit_code`.

What does not hold in a lab is a list of `Problem`s before it is one ConfigError; `nearest` is how every list of allowed names is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """Something that does not hold in a lab's configuration: where in the document, and what about it."""

    path: tuple[str, ...]  # of TOML keys
    text: str  # value, allowed set, nearest


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return the clause that names the nearest of the allowed names, and all of them."""
    import difflib  # here, since every start of the command imports this module, and few need it

    names = list(allowed)
    near = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    listed = ", ".join(names) if names else "none"
    return f"did you mean {near[0]}? Allowed: {listed}" if near else f"allowed: {listed}"


class QrtError(Exception):
    """Base of every error that Q-RT raises on purpose."""


class BugError(QrtError):
    """Our side: a state that correct code cannot reach. Report it."""


class WorldError(QrtError):
    """Their side: a user, an instrument, a file, the operating system."""

    exit_code = 1


class ConfigError(WorldError):
    """A lab file that does not hold; the message lists every problem, one a line."""

    exit_code = 2


class ProgramError(WorldError):
    """A program that cannot be compiled for this lab; the message starts with `file:line:column:`."""

    exit_code = 2


class InstrumentError(WorldError):
    """An instrument that is absent, silent, wrong or refuses; names address, command, elapsed time and the last messages."""

    exit_code = 3


class CalibrationError(WorldError):
    """A calibration step that did not find what it looked for; says what was seen."""

    exit_code = 4


class RunError(WorldError):
    """A run that ended early; the record is closed and readable, and the message says where it is."""

    exit_code = 5


class RecordError(WorldError):
    """A run folder or a message that cannot be read as what it claims to be."""

    exit_code = 6


class MachineError(WorldError):
    """The machine: a taken port, an unwritable folder, a missing right. The message names the fix."""

    exit_code = 7
