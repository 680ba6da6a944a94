"""What `qrt.run` takes as a program, brought to one form: text with a name, and where in Python each line of it was made.

A program is a path, a text, a syntax tree of the standard (openqasm3.ast.Program) or one that oqpy builds. A tree is written as text,
since the text is what a record keeps and an error points at; while it is written, every node gets the place (`span`) at which it stands
there. The tree itself goes on to be compiled: nothing is parsed again.

oqpy keeps no line of the Python that called it. `Program` here is oqpy's own with that one thing added, and every function of
oqpy takes it; with it an error names the Python line, too. oqpy is loaded only by who uses it.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from openpulse.printer import Printer as Untyped
from openqasm3 import ast

from qrt.errors import ProgramError, WorldError
from qrt.qasm import read_program

Printer: Any = Untyped  # openpulse has no types
MADE = "made"  # attribute of a node of the tree: the Place that made it; written by qrt.building


class Place(NamedTuple):
    """A line of Python."""

    file: str
    line: int

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.line).strip()
        return f"{self.file}:{self.line}" + (f": {text}" if text else "")


class Given(NamedTuple):
    """A program as it was given. tree: None where it has to be parsed; made: by line of the text, from 1."""

    text: str
    path: str
    tree: ast.Program | None = None
    made: Mapping[int, Place] = {}

    def place(self, error: WorldError) -> None:
        """Add to an error about the program the Python line that made what it is about, if that is known."""
        pattern = rf"{re.escape(self.path)}:(\d+):\d+: |line (\d+) of the program"
        found = re.search(pattern, str(error))
        lines = [line for line in self.made if found and line <= int(found[1] or found[2])]
        if lines:
            error.args = (f"{error}\n    made at {self.made[max(lines)]}",)


def given(program: Any) -> Given:
    """Return a program in the one form. Raises ProgramError for what is none, or a file that cannot be read."""
    if isinstance(program, str) and ("\n" in program or ";" in program):
        return Given(program, "<program>")
    if isinstance(program, str | Path):
        return Given(read_program(program), str(program))
    if isinstance(program, ast.Program):
        return _written(program, "<tree>")
    oqpy: Any = sys.modules.get("oqpy")
    if oqpy is not None and isinstance(program, oqpy.Program):
        pulse = (oqpy.PortVar, oqpy.FrameVar, oqpy.WaveformVar)
        encal = any(isinstance(one, pulse) for one in program.undeclared_vars.values())
        try:
            tree = program.to_ast(encal_declarations=encal)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ProgramError(f"oqpy cannot write this program: {error}") from error
        return _written(tree, "<oqpy>", getattr(program, "places", {}))
    raise ProgramError(
        f"a program of type {type(program).__name__}; allowed: the path of an OpenQASM 3 file, its text, an openqasm3.ast.Program, "
        "an oqpy.Program"
    )


def _written(tree: ast.Program, path: str, places: Mapping[str, Place] | None = None) -> Given:
    """Return a tree as text, its nodes with their places there. places: of variables by name, that have none of their own."""
    text, made = _Text(), dict[int, Place]()
    _Printer(text, made, places or {}).visit(tree)
    return Given("".join(text.parts), path, tree, made)


class _Text:
    """A stream that knows where it is: line from 1, column from 0."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.line, self.column = 1, 0

    def write(self, text: str) -> None:
        """Take a piece; the printer writes a line's end only at the end of a piece, or several lines together."""
        self.parts.append(text)
        count = text.count("\n")
        self.line += count
        self.column = len(text) - text.rfind("\n") - 1 if count else self.column + len(text)


class _Printer(Printer):  # type: ignore[misc]
    """The standard's printer, which notes where every node begins and ends."""

    def __init__(self, text: _Text, made: dict[int, Place], places: Mapping[str, Place]) -> None:
        super().__init__(text)
        self._text, self._made, self._places = text, made, places

    def visit(self, node: ast.QASMNode, context: Any = None) -> None:
        """Write a node."""
        text = self._text
        line, column = text.line, text.column
        if isinstance(node, ast.Statement | ast.Pragma):
            if column == 0 and context is not None:
                column = context.current_indent * len(self.indent)
            place = getattr(node, MADE, None) or self._places.get(_declared(node))
            if place is not None:
                self._made[line] = place
        super().visit(node, context)
        node.span = ast.Span(line, column, text.line, text.column)


def _declared(node: ast.QASMNode) -> str:
    """Return the name that a statement declares; empty if it declares none."""
    named = getattr(node, "identifier", None) or getattr(node, "qubit", None)
    if isinstance(node, ast.ExternDeclaration):
        named = node.name
    return named.name if isinstance(named, ast.Identifier) else ""
