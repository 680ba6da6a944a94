"""`qrt new controller`: writes a law's file that works as it is, to be changed.

The text is that of controllers/template.py, which is linted, typed and tested with the laws; it is read here, never imported.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from qrt.errors import ConfigError, MachineError

NAME = re.compile(r"[a-z][a-z0-9_]*")


def controller(name: str, path: str | None) -> dict[str, str]:
    """Write the file and return its path. Refuses a name that is none, a path that is no Python file's, and to write over anything."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a law; allowed: a lower-case letter, then lower-case letters, digits and _"
        )
    target = Path(path or f"{name}.py")
    if target.suffix != ".py":
        raise ConfigError(f"--path {target}: a law's file ends in .py, as in {target.with_suffix('.py')}")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text(name))
    except FileExistsError as error:
        raise MachineError(
            f"{target} exists and is not written over; choose another name or --path, or move it away"
        ) from error
    except OSError as error:
        raise MachineError(f"{target} cannot be written: {error.strerror}; choose another --path") from error
    return {"path": str(target)}


def text(name: str) -> str:
    """Return the template under a law's name."""
    template = (files("qrt") / "controllers" / "template.py").read_text(encoding="utf-8")
    return template.replace("NAME:", f"{name}:", 1)
