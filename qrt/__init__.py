"""Q-RT: a real-time edge controller for control electronics.

`run` executes a program on a lab and returns its results; `stream` does so while it is looped over, batch by batch; `open` reads a run
folder; `Program` is oqpy's, and remembers the Python line of each statement. All are loaded on first use, so that `import qrt` stays
cheaper than the libraries behind it.

The function `run` lives in a module of the same name, and Python binds a module in its package when it is first imported. `_Package` keeps
the name for the function, whoever imports the module, and whenever.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrt.building import Program
    from qrt.client import open_run as open  # noqa: A004 - qrt.open is the public name
    from qrt.live import stream
    from qrt.run import run

__all__ = ["Program", "open", "run", "stream"]
__version__ = "0.1.0"


PUBLIC = {
    "run": "qrt.run:run",
    "stream": "qrt.live:stream",
    "open": "qrt.client:open_run",
    "Program": "qrt.building:Program",
}


def __getattr__(name: str) -> Any:
    """Load the public functions on first use (PEP 562)."""
    if name in PUBLIC:
        module, _, function = PUBLIC[name].partition(":")
        return getattr(import_module(module), function)
    message = f"module 'qrt' has no attribute {name!r}"
    raise AttributeError(message)


class _Package(ModuleType):
    """This package, whose name `run` is always the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.run if name == "run" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
