"""oqpy's `Program`, with the Python line of every statement: `qrt.Program`.

oqpy builds the standard's syntax tree and forgets who asked for a statement. Here the line outside of oqpy that caused it is kept with
the statement's node, so that an error about it can name that line. Nothing else is changed, and all of oqpy's functions take it.
"""

from __future__ import annotations

import sys
from typing import Any

import oqpy
from oqpy.program import ProgramState

from qrt.programs import MADE, Place

INSIDE = ("oqpy", "contextlib", __name__)  # modules between the line that is meant and here


class _State(ProgramState):  # type: ignore[misc]  # oqpy's types do not reach here
    """What of the program is open at one level; the last two methods are all ways by which a statement comes in."""

    def add_statement(self, stmt: Any) -> None:
        """Take a statement."""
        if not hasattr(stmt, MADE):
            setattr(stmt, MADE, caller())
        super().add_statement(stmt)

    def add_if_clause(self, condition: Any, if_clause: Any) -> None:
        """Take a branch, to which an `else` may come: it becomes a statement only later."""
        super().add_if_clause(condition, if_clause)
        setattr(self.if_clause, MADE, caller())


class Program(oqpy.Program):  # type: ignore[misc]
    """An oqpy.Program of which `qrt.run` can tell the Python line that made a statement."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stack: list[ProgramState] = [_State()]
        self.places: dict[str, Place] = {}  # of variables, ports and externs, at their first use

    def _push(self) -> None:
        self.stack.append(_State())

    def _add_var(self, var: Any) -> None:
        for name in (var.name, _port_of(var)):
            if name:
                self.places.setdefault(name, caller())
        super()._add_var(var)

    def _add_statement(self, stmt: Any) -> None:
        for name in self.externs:  # the ones that the statement calls are among them by now
            self.places.setdefault(name, caller())
        super()._add_statement(stmt)


def _port_of(var: Any) -> str:
    """Return the port of a frame, of which oqpy itself hears only while the program is written; empty for all else."""
    arguments = getattr(getattr(var, "init_expression", None), "args", None)
    port = arguments.get("port") if isinstance(var, oqpy.FrameVar) and isinstance(arguments, dict) else None
    return port.name if isinstance(port, oqpy.PortVar) else ""


def caller() -> Place:
    """Return the innermost line outside of oqpy and of this module."""
    frame = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe is made of
    while frame.f_back is not None and _inside(frame):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _inside(frame: Any) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name in INSIDE or name.startswith("oqpy.")
