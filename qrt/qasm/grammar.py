"""The standard's grammar, run so that every refusal is an error with a place and nothing is printed.

`openqasm3.parse` prints to stderr and forgets where the parser stopped; its lexer, parser and visitor are the same here, with a
listener of ours, which raises at the first error with line, column and ANTLR's own words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import openqasm3.parser
from antlr4 import CommonTokenStream, InputStream, Token
from antlr4.error.ErrorListener import ErrorListener
from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.types import Source

standard: Any = openqasm3.parser  # it is without types
CHOICES_MAX = 8  # what could stand at a place is told up to here; beyond, it is half of the grammar


class _Refusal(Exception):  # noqa: N818 - never leaves this module
    """What the lexer or the parser does not accept: line from 1, column from 0."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class _Listener(ErrorListener):  # type: ignore[misc]  # antlr4 has no types
    """Raises the first error instead of printing it."""

    def syntaxError(  # noqa: N802, PLR0917 - ANTLR's name and arguments
        self, recognizer: Any, offendingSymbol: Any, line: int, column: int, msg: str, e: Any
    ) -> NoReturn:
        raise _Refusal(line, column, msg)


def read_program(path: str | Path) -> str:
    """Return the text of a program's file. Raises ProgramError if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read: {error.strerror}; give the path of an OpenQASM 3 file") from error
    except UnicodeDecodeError as error:
        data = error.object
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        where = Source(line, column, path=str(path)).where
        raise ProgramError(
            f"{where}not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}; give the path of an OpenQASM 3 file"
        ) from error


def syntax_tree(text: str, path: str) -> ast.Program:
    """Return the standard's syntax tree of a program. Raises ProgramError at the first error of syntax."""
    lines = text.splitlines()

    def refuse(line: int, column: int, message: str) -> ProgramError:
        source = Source(line, column, lines[line - 1].strip() if 0 < line <= len(lines) else "", path)
        message, expecting, choices = message.partition(" expecting ")
        if choices.count(",") < CHOICES_MAX:
            message += expecting + choices
        shown = f"\n    {source.text}" if source.text else ""
        return ProgramError(_printable(f"{source.where}not OpenQASM 3: {message}{shown}"))

    try:
        lexer = standard.qasm3Lexer(InputStream(text))
        lexer.removeErrorListeners()
        lexer.addErrorListener(_Listener())
        tokens = CommonTokenStream(lexer)
        tokens.fill()
        if all(token.type == Token.EOF or token.channel != Token.DEFAULT_CHANNEL for token in tokens.tokens):
            raise refuse(1, 1, "there is no statement")
        parser = standard.qasm3Parser(tokens)
        parser.removeErrorListeners()
        parser.addErrorListener(_Listener())
        tree: ast.Program = standard.QASMNodeVisitor().visitProgram(parser.program())
        return tree
    except _Refusal as error:
        raise refuse(error.line, error.column + 1, str(error)) from error
    except standard.QASM3ParsingError as error:
        place, _, message = str(error).partition(": ")
        line, _, column = place.removeprefix("L").partition(":C")
        raise refuse(int(line), int(column) + 1, message) from error
    except RecursionError as error:
        raise refuse(1, 1, "expressions or blocks are nested too deeply") from error


def _printable(text: str) -> str:
    """Return text in which a control character of the program shows as its escape."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text
    )
