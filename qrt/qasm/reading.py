"""Text or tree to a `Program`: syntax, version, and what the program wants and gives. Nothing is executed."""

from __future__ import annotations

from typing import Any, Final, cast

from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm.directives import directives
from qrt.qasm.elaborate import Constants
from qrt.qasm.grammar import syntax_tree
from qrt.qasm.program import Input, Output, Program
from qrt.qasm.words import excerpt
from qrt.qasm.written import KINDS
from qrt.types import Source

INPUT_KINDS: Final = ("int", "uint", "float", "angle", "duration", "bool", "bit")

CHANGES: Final = {  # what to do about a program of another version
    "2": '. Write OPENQASM 3; and include "stdgates.inc"; of qreg, creg and measure q -> c nothing changes, but 1/2 is 0 there, a half is '
    "0.5, and ^ is no power"
}


def parse_program(text: str, path: str) -> Program:
    """Return the program in OpenQASM 3 text. Raises ProgramError `path:line:column: ...` for what is none."""
    return _program(text, syntax_tree(text, path), path)


def program_of(tree: ast.Program, path: str, text: str = "") -> Program:
    """Return the program of a syntax tree, as a builder makes it. text: what the spans of its nodes point into, if they do."""
    return _program(text, tree, path)


def _program(text: str, tree: ast.Program, path: str) -> Program:
    if tree.version is not None and tree.version.split(".")[0] != "3":
        raise _version(text, tree.version, path)
    constants = Constants(text, path)
    inputs: list[Input] = []
    outputs: list[Output] = []
    for node in tree.statements:
        if isinstance(node, ast.IODeclaration):
            name, source = node.identifier.name, constants.source(node)
            kind = KINDS.get(type(node.type), type(node.type).__name__.removesuffix("Type").lower())
            if node.io_identifier is ast.IOKeyword.input:
                if kind not in INPUT_KINDS:
                    raise constants.refuse(
                        node, f"an input of type {kind} is not supported; supported: {', '.join(INPUT_KINDS)}"
                    )
                inputs.append(Input(name, cast("Any", kind), source))
            elif kind != "bit":
                outputs.append(Output(name, cast("Any", kind), source))
    return Program(path, text, tree, tuple(inputs), tuple(outputs), _ignored(constants, tree, text))


def _ignored(constants: Constants, tree: ast.Program, text: str) -> tuple[str, ...]:
    """Return a line for each directive; most texts are without, and their trees need no walk."""
    if text and "@" not in text and "pragma" not in text:
        return ()
    told = "is not known here, and ignored"
    return tuple(f"{constants.source(node).where}{name} {told}" for node, name in directives(tree))


def _version(text: str, version: str, path: str) -> ProgramError:
    """Return the error that the program is of another OpenQASM; the parser keeps no place of that statement, so it is looked for."""
    lines = text.splitlines()
    line = next((k for k, one in enumerate(lines, 1) if one.lstrip().startswith("OPENQASM")), 1)
    written = lines[line - 1] if lines else ""
    source = Source(line, written.find("OPENQASM") + 1 or 1, excerpt(written), path)
    change = CHANGES.get(version.split(".", maxsplit=1)[0], "")
    return ProgramError(f"{source.where}this is OpenQASM {version}; supported: OPENQASM 3{change}\n    {source.text}")
