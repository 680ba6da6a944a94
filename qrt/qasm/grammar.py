"""The standard's grammars, run so that every refusal is an error with a place and nothing is printed.

`openqasm3.parse` prints to stderr and forgets where the parser stopped; its lexer, parser and visitor are the same here, with a
listener of ours, which raises at the first error with line, column and ANTLR's own words.

The bodies of `cal` and `defcal` are another grammar's, OpenPulse (package openpulse, imported with the first body). `openpulse.parse` gives
their nodes places that count from the body's beginning; here the body's lexer begins to count where the body stands in the file. The
grammar in the package lacks `extern port p;` and `extern frame f;`, which the text of the standard has: the word is skipped, since a
declaration without a value already names what the lab has.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NoReturn

import openqasm3.parser
from antlr4 import CommonTokenStream, InputStream, Token
from antlr4.error.ErrorListener import ErrorListener
from antlr4.error.Errors import ParseCancellationException
from antlr4.error.ErrorStrategy import BailErrorStrategy, DefaultErrorStrategy
from openqasm3 import ast

from qrt.errors import ProgramError
from qrt.qasm.nesting import READING_FRAMES_MAX, deep
from qrt.qasm.words import clipped, excerpt
from qrt.types import Source

standard: Any = openqasm3.parser  # it is without types
CHOICES_MAX = 8  # what could stand at a place is told up to here; beyond, it is half of the grammar
HINTS = {  # the token at which the grammar of OpenPulse stops -> how it is written there
    ".": "a frame's frequency and phase are set_frequency(f, value), shift_frequency(f, value), get_frequency(f), and the same of _phase",
    "[": "samples are written in braces: waveform w = {0.1, 0.2 + 0.1im};",
    "{": "samples have a name before they are used: waveform w = {0.1, 0.2}; play(frame, w);",
}


class _Refusal(Exception):  # noqa: N818 - never leaves this module
    """What the lexer or the parser does not accept: line from 1, column from 0."""

    def __init__(self, line: int, column: int, grammar: str, message: str, token: str | None) -> None:
        super().__init__(message)
        self.line, self.column, self.grammar, self.token = line, column, grammar, token


class _Listener(ErrorListener):  # type: ignore[misc]  # antlr4 has no types
    """Raises the first error instead of printing it."""

    def __init__(self, grammar: str) -> None:
        super().__init__()
        self._grammar = grammar

    def syntaxError(  # noqa: N802, PLR0917 - ANTLR's name and arguments
        self, recognizer: Any, offendingSymbol: Any, line: int, column: int, msg: str, e: Any
    ) -> NoReturn:
        raise _Refusal(line, column, self._grammar, msg, getattr(offendingSymbol, "text", None))


class _Tree(standard.QASMNodeVisitor):  # type: ignore[misc]  # without types
    """The standard's visitor, with trees for the bodies of `cal` and `defcal`."""

    def visitCalStatement(self, ctx: Any) -> Any:  # noqa: N802 - ANTLR's name
        return _with_body(super().visitCalStatement(ctx), ctx, in_defcal=False)

    def visitDefcalStatement(self, ctx: Any) -> Any:  # noqa: N802 - ANTLR's name
        return _with_body(super().visitDefcalStatement(ctx), ctx, in_defcal=True)


def _with_body(node: Any, ctx: Any, *, in_defcal: bool) -> Any:
    """Return a `cal` or `defcal` of the standard as openpulse's, its body a list of statements that stand where they stand in the file."""
    import openpulse  # a program without pulses does without its tables

    block = ctx.CalibrationBlock()
    node.body = [] if block is None else _pulse_statements(block.symbol, in_defcal=in_defcal)
    kinds = openpulse.ast.CalibrationDefinition if in_defcal else openpulse.ast.CalibrationStatement
    node.__class__ = kinds
    return node


def _pulse_statements(body: Any, *, in_defcal: bool) -> list[ast.Statement]:
    """Return the statements in the body of a `cal` or `defcal`, a token of the standard's. Raises _Refusal."""
    import openpulse.parser

    grammar: Any = openpulse.parser
    listener = _Listener("OpenPulse")
    lexer = grammar.openpulseLexer(InputStream(body.text))
    lexer.line, lexer.column = body.line, body.column
    lexer.removeErrorListeners()
    lexer.addErrorListener(listener)
    tokens = CommonTokenStream(lexer)
    tokens.fill()
    _skip_extern(tokens, grammar.openpulseLexer)
    _name_pow(tokens, grammar.openpulseLexer)
    tree = _ruled(grammar.openpulseParser, tokens, "calibrationBlock", listener)
    rest = tokens.LT(1)
    if rest.type != Token.EOF:  # the grammar's block ends wherever no statement follows
        raise _Refusal(rest.line, rest.column, "OpenPulse", f"no statement begins with {rest.text!r}", rest.text)
    if not tree.children:
        return []
    statements: list[ast.Statement] = grammar.OpenPulseNodeVisitor(in_defcal).visitCalibrationBlock(tree).body
    return statements


def _ruled(parser_class: Any, tokens: Any, rule: str, listener: _Listener) -> Any:
    """Return the parse tree of a rule. Raises _Refusal.

    Watching for errors costs a sixth of the time: only where there is one, the text is read once more, to tell it.
    """
    for strategy in (BailErrorStrategy(), DefaultErrorStrategy()):
        tokens.seek(0)
        parser = parser_class(tokens)
        parser.removeErrorListeners()
        parser.addErrorListener(listener)
        parser._errHandler = strategy  # noqa: SLF001 - ANTLR's runtime for Python has no setter
        try:
            return getattr(parser, rule)()
        except ParseCancellationException:
            continue
    raise AssertionError("an error of syntax that is none the second time")


def _skip_extern(tokens: Any, lexer: Any) -> None:
    """Hide `extern` before `port`, `frame` and `waveform`."""
    seen = [token for token in tokens.tokens if token.channel == Token.DEFAULT_CHANNEL]
    kinds = {lexer.PORT, lexer.FRAME, lexer.WAVEFORM}
    for token, following in itertools.pairwise(seen):
        if token.type == lexer.EXTERN and following.type in kinds:
            token.channel = Token.HIDDEN_CHANNEL
    tokens.seek(0)


def _name_pow(tokens: Any, lexer: Any) -> None:
    """Let `pow(a, b)` be a call: the grammar has the word for the modifier alone, which `@` follows."""
    seen = [token for token in tokens.tokens if token.channel == Token.DEFAULT_CHANNEL]
    for index, token in enumerate(seen):
        if token.type == lexer.POW:
            depth = itertools.accumulate(
                (one.type == lexer.LPAREN) - (one.type == lexer.RPAREN) for one in seen[index + 1 :]
            )
            inside = sum(1 for _ in itertools.takewhile(bool, depth))  # tokens before the bracket that closes
            after = seen[index + 2 + inside : index + 3 + inside]
            if after and after[0].type != lexer.AT:
                token.type = lexer.Identifier


def read_program(path: str | Path) -> str:
    """Return the text of a program's file. Raises ProgramError if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # some editors begin a file with the mark of their encoding
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

    def refuse(
        line: int, column: int, message: str, grammar: str = "OpenQASM 3", hint: str | None = None
    ) -> ProgramError:
        source = Source(line, column, excerpt(lines[line - 1]) if 0 < line <= len(lines) else "", path)
        message, expecting, choices = message.partition(" expecting ")
        if choices.count(",") < CHOICES_MAX:
            message += expecting + choices
        if hint is not None:
            message += f"; {hint}"
        shown = f"\n    {source.text}" if source.text else ""
        return ProgramError(_printable(f"{source.where}not {grammar}: {clipped(message)}{shown}"))

    listener = _Listener("OpenQASM 3")
    try:
        lexer = standard.qasm3Lexer(InputStream(text))
        lexer.removeErrorListeners()
        lexer.addErrorListener(listener)
        tokens = CommonTokenStream(lexer)
        tokens.fill()
        if all(token.type == Token.EOF or token.channel != Token.DEFAULT_CHANNEL for token in tokens.tokens):
            raise refuse(1, 1, "there is no statement")
        if "pow" in text:
            _name_pow(tokens, standard.qasm3Lexer)
        with deep(READING_FRAMES_MAX):
            tree: ast.Program = _Tree().visitProgram(_ruled(standard.qasm3Parser, tokens, "program", listener))
        return tree
    except _Refusal as error:
        hint = HINTS.get(error.token or "") if error.grammar == "OpenPulse" else None
        raise refuse(error.line, error.column + 1, str(error), error.grammar, hint) from error
    except standard.QASM3ParsingError as error:
        place, _, message = str(error).partition(": ")
        line, _, column = place.removeprefix("L").partition(":C")
        raise refuse(int(line), int(column) + 1, message) from error
    except RecursionError as error:
        raise refuse(*_stopped(error), "expressions or blocks are nested too deeply; name parts of it") from error
    except ValueError as error:  # of int(), which reads no number of so many digits
        raise refuse(*_stopped(error), "a whole number of thousands of digits; the widest type has 64 bits") from error


def _stopped(error: BaseException) -> tuple[int, int]:
    """Return the line and column of what the parser was reading when it stopped without a word."""
    line, column, frames = 1, 1, error.__traceback__
    while frames is not None:
        names = frames.tb_frame.f_locals
        token = getattr(names.get("ctx", names.get("localctx")), "start", None)
        if token is not None:
            line, column = token.line, token.column + 1
        frames = frames.tb_next
    return line, column


def _printable(text: str) -> str:
    """Return text in which a control character of the program shows as its escape."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text
    )
