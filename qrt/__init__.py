"""Q-RT: a real-time edge controller for control electronics.

`run` executes a program on a lab and returns its results by name; `open` reads a run folder. Both are loaded on first use, so that
`import qrt` stays cheaper than the libraries behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrt.client import open_run as open  # noqa: A004 - qrt.open is the public name
    from qrt.run import run

__all__ = ["open", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the public functions on first use (PEP 562)."""
    if name == "run":
        from qrt.run import run

        return run
    if name == "open":
        from qrt.client import open_run

        return open_run
    message = f"module 'qrt' has no attribute {name!r}"
    raise AttributeError(message)
