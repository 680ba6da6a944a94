"""What a lab names that must be there: its drivers, the laws of its controllers, the kind and parameters' type of its twin.

A name resolves through an entry point of its group, so that neither a driver nor a twin is imported by name. Only the type of a twin's
parameters is loaded here; drivers and twins are loaded by those who open them, laws in the batch process. The tables are read as TOML
gives them, so that these problems are told in one list with all others, whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from qrt.errors import Problem, nearest
from qrt.packages import offered
from qrt.types import Lab

DRIVERS: Final = "qrt.drivers"
TWINS: Final = "qrt.twins"
CONTROLLERS: Final = "qrt.controllers"
TWIN_PARAMETERS: Final = "qrt.twin_parameters"


class TwinParameters(Protocol):
    """What the type of a twin's parameters can do beside being a msgspec Struct."""

    def problems(self, lab: Lab) -> Iterable[Problem]:
        """Yield what does not fit between the parameters, or between them and the lab; paths are those of the lab's document."""


def name_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the drivers and the kind of twin that nothing installed goes by."""
    instruments = data.get("instruments")
    if isinstance(instruments, dict):
        for name, table in instruments.items():
            yield from _unknown(("instruments", name, "driver"), table, DRIVERS)
    yield from _unknown(("twin", "kind"), data.get("twin"), TWINS)
    controllers = data.get("controllers")
    if isinstance(controllers, dict):
        for name, table in controllers.items():
            yield from _no_law(("controllers", name, "law"), table)


def _no_law(path: tuple[str, ...], table: Any) -> Iterator[Problem]:
    """Yield a law that is neither installed nor a file."""
    law = table.get("law") if isinstance(table, dict) else None
    if not (isinstance(law, str) and law.endswith(".py")):
        yield from _unknown(path, table, CONTROLLERS)
    elif not Path(law).is_file():
        yield Problem(
            path, f"{law!r} is no file (looked for in {Path.cwd()}); `qrt new controller` writes one to start from"
        )


def parameters_type(data: Mapping[str, Any]) -> type[TwinParameters] | None:
    """Return the type of the parameters of the lab's twin; None without a twin, or for a kind that does not tell it."""
    twin = data.get("twin")
    kind = twin.get("kind") if isinstance(twin, dict) else None
    entry = offered(TWIN_PARAMETERS).get(kind) if isinstance(kind, str) else None
    if entry is None:
        return None
    loaded: type[TwinParameters] = entry.load()
    return loaded


def _unknown(path: tuple[str, ...], table: Any, group: str) -> Iterator[Problem]:
    """Yield the name that a table has under the path's last key, if it is a name, and of nothing that is installed."""
    name = table.get(path[-1]) if isinstance(table, dict) else None
    if isinstance(name, str) and name.strip() and name not in offered(group):
        allowed = nearest(name, sorted(offered(group)))
        yield Problem(path, f"{name!r} is not installed; {allowed} (entry points of group {group})")
