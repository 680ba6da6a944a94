"""The state of an elaboration: where statements go, what names mean, and what cells hold.

How a program goes on, and what becomes of this state on the two sides of a branch on outcomes, is `flow`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqasm3 import ast

from qrt.classical import INT64, Span, span, variables_of
from qrt.errors import ProgramError
from qrt.qasm.completion import Completion
from qrt.qasm.facts import Facts
from qrt.qasm.fixed import Fixed
from qrt.qasm.kinds import KNOWN, RUNTIME, Type, Typed
from qrt.qasm.program import Assign, Branch, Output, SetBit, Statement
from qrt.qasm.scope import BitRegister, Cell, Scope, bit_cell
from qrt.qasm.shape import Shaping
from qrt.qasm.words import LINE_MAX, a, clipped, excerpt, what
from qrt.types import Bits, Classical, Source, Variable

BOUNDS = Type("bounds")  # of a cell that holds what a variable can be
NOTHING: Mapping[Cell, Any] = {}
STATEMENTS_MAX = 100_000
ITERATIONS_MAX = 100_000  # of loops whose bodies leave no statement
LISTED_MAX = 24  # names in an error; more would hide the message

Handler = Callable[["Run", Any], Completion]


class Run:
    """One elaboration of a program."""

    def __init__(
        self,
        text: str,
        path: str,
        handlers: Mapping[type, Handler],
        evaluators: Mapping[type, Any],
        facts: Facts,
    ) -> None:
        self.path, self.facts = path, facts
        self.handlers, self.evaluators = handlers, evaluators
        lines = map(str.strip, text.splitlines())
        self.lines = ["", *(line if len(line) <= LINE_MAX else excerpt(line) for line in lines)]  # counted from 1
        self.scope = self.globals = Scope()
        self.out: list[Statement] = []
        self.statement_count = self.iteration_count = 0
        self.qubit_names: list[str] = []
        self.bit_names: list[str] = []
        self.variable_names: list[str] = []
        self._bounds: dict[int, Cell] = {}  # of each variable what it can be, as cells, so that each way has its own
        self.outputs: list[tuple[Output, Cell, ast.QASMNode]] = []
        self.pulsing: Any = None  # qrt.qasm.pulsing.Pulsing, where the program has pulses
        self.gathered: list[Any] | None = None  # qrt.qasm.controlled.Applied: of a gate's body, for modifiers
        self.rounds = False  # durations off the samples' grid, instead of refusing them; each is told
        self.events: list[str] = []
        self.shape = Shaping()  # what depends on open inputs beside words
        self.tree: Any = None  # of the whole program
        self.input_values: Mapping[str, Any] = {}
        self.calls: list[str] = []  # subroutines and gates that are being inlined
        self.frames: list[Any] = []  # where the results of these go
        self.loops: list[ast.QASMNode] = []
        self.depth = 0  # of blocks, and of branches on outcomes
        self.recorded: dict[Cell, Any] | None = None  # on a side of a branch: what cells held before it
        # What is written alike is one object, by how it is written: durations, angles, native gates of those without an angle.
        self.literals: dict[Any, Any] = {}
        self.durations: dict[Any, Typed] = {}
        self.turns: dict[Any, tuple[Any, Any]] = {}
        self.natives: dict[str, Any] = {}
        self.defined: set[str] = set()  # names of gates and subroutines that the program defines
        self.in_gate = False  # in the body of one of these gates
        self.bodies: dict[Any, Sequence[Statement]] = {}  # what such gates became, by all that decides it
        self.lab_calls = 0  # of functions that the lab provides
        self.free_variables: list[int] = []
        self.free_bits: list[int] = []
        self.decided_count = 0  # delays that outcomes decide
        self.stretch_names: list[str] = []
        self.target: BitRegister | None = None  # bits that a call may measure into

    # ---- Places --------------------------------------------------------------------------------------------------------

    def source(self, node: ast.QASMNode) -> Source:
        """Return where a node of the syntax tree stands."""
        span = node.span
        if span is None:
            return Source(1, 1, "", self.path)
        line = span.start_line
        try:
            text = self.lines[line]
        except IndexError:  # of a tree that has no text
            text = ""
        return Source(line, span.start_column + 1, text, self.path)

    def refuse(self, node: ast.QASMNode, message: str) -> ProgramError:
        """Return the error that `message` is about a node."""
        return self.refused(self.source(node), message)

    @staticmethod
    def refused(source: Source, message: str) -> ProgramError:
        """Return the error that `message` is about a place."""
        return ProgramError(f"{source.where}{clipped(message)}" + (f"\n    {source.text}" if source.text else ""))

    def round(self, node: ast.QASMNode, what_: str) -> None:
        """Note that a duration is rounded, once for each place."""
        event = f"{self.source(node).where}{what_}"
        if event not in self.events:
            self.events.append(event)

    # ---- Names ---------------------------------------------------------------------------------------------------------

    def find(self, node: ast.QASMNode, name: str, kind: str, classes: tuple[type, ...]) -> Any:
        """Return what a name stands for, of these classes. Raises ProgramError with the nearest name that there is."""
        found = self.scope.find(name)
        if isinstance(found, classes):
            return found
        if found is not None:
            raise self.refuse(node, f"{name!r} is no declared {kind}: it is {what(found)}")
        known = [one for one in self.scope.all_names() if isinstance(self.scope.find(one), classes)]
        known += ["pi", "tau"] * (Typed in classes and kind == "value")
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"declared: {', '.join(known[:LISTED_MAX]) or 'none'}"
        if self.scope.find(name) is None and self.globals.names.get(name) is not None:
            hint = "a subroutine sees constants of the program alone: hand it over as an argument"
        raise self.refuse(node, f"{name!r} is no declared {kind}; {hint}")

    def declare(self, node: ast.QASMNode, name: str, meaning: Any) -> None:
        """Give a name a meaning in this block. Raises ProgramError where it has one."""
        if name in self.scope.names:
            raise self.refuse(node, f"{name!r} is declared already")
        self.scope.names[name] = meaning

    def new_bits(self, name: str, size: int | None) -> BitRegister:
        """Return new bits of the program."""
        cells = []
        for position in range(size or 1):
            written = name if size is None else f"{name}[{position}]"
            index = None if self.depth else len(self.bit_names)
            if index is not None:
                self.bit_names.append(written)
            cells.append(bit_cell(written, self.scope, index))
        return BitRegister(tuple(cells), size is not None)

    def bit_index(self, cell: Cell) -> int:
        """Return the program's bit that holds a cell; of a block's bits, one that is free again when the block ends."""
        if cell.bit is None:
            if self.free_bits:
                cell.bit = self.free_bits.pop()
            else:
                cell.bit = len(self.bit_names)
                self.bit_names.append(cell.name)
            cell.life.bits.append(cell.bit)
        return cell.bit

    def outcome_bit(self, cell: Cell) -> int:
        """Return the program's bit of a cell into which an outcome comes now."""
        index = self.bit_index(cell)
        self.hold(cell, Bits((index,)))
        return index

    # ---- Statements and cells ------------------------------------------------------------------------------------------

    def add(self, statement: Statement) -> None:
        """Append a statement. Raises ProgramError beyond what is sensible, naming the loop, or the statement that is too many."""
        count = self.statement_count = self.statement_count + 1
        if count > STATEMENTS_MAX:
            raise self.too_many(f"more than {STATEMENTS_MAX} statements", statement.source)
        self.out.append(statement)

    def too_many(self, what_: str, source: Source) -> ProgramError:
        """Return the error that a program does not end while it is unrolled; `source` is for what stands in no loop."""
        where = "this loop makes" if self.loops else "the program has"
        source = self.source(self.loops[-1]) if self.loops else source
        return self.refused(source, f"{where} {what_}: a shot is unrolled, so take fewer repetitions")

    def hold(self, cell: Cell, value: Any) -> None:
        """Let a cell hold a value; nothing is executed for it."""
        if self.recorded is not None and cell not in self.recorded:
            self.recorded[cell] = cell.value
        cell.value = value

    def variable(self, cell: Cell) -> int:
        """Return the sequencers' variable of a cell."""
        if cell.variable is None:
            if self.free_variables:
                cell.variable = self.free_variables.pop()
                names = self.variable_names[cell.variable]
                if cell.name not in names.split(", "):
                    self.variable_names[cell.variable] = f"{names}, {cell.name}"
            else:
                cell.variable = len(self.variable_names)
                self.variable_names.append(cell.name)
            cell.life.variables.append(cell.variable)
        return cell.variable

    def store(self, cell: Cell, value: Any, source: Source) -> None:
        """Let a cell hold a value of its type, with the statements that this takes."""
        if cell.is_bit:
            self._store_bit(cell, value, source)
        elif type(value) in RUNTIME:
            index, word = self.variable(cell), value.word if type(value) is Fixed else value
            if word != Variable(index):
                self.assign(index, word, source)
            self.hold(cell, value._replace(word=Variable(index)) if type(value) is Fixed else Variable(index))
        else:
            self.hold(cell, value)

    def assign(self, index: int, word: Classical, source: Source) -> None:
        """Set a variable."""
        self.shape.computes(word)
        self.bound(index, self.span(word))
        self.add(Assign(index, word, source))

    def span(self, word: Classical, held: Mapping[Cell, Any] = NOTHING) -> Span:
        """Return bounds of a word here, on the way through the program on which it stands; `held`: at the end of a side."""
        cells = [(one, self._bounds[one]) for one in variables_of(word) if one in self._bounds]
        return span(word, lambda _: INT64, {one: held.get(cell, cell.value) for one, cell in cells})

    def bound(self, index: int, bounds: Span) -> None:
        """Note what a variable can be from here on."""
        if index not in self._bounds:
            self._bounds[index] = Cell(self.variable_names[index], BOUNDS, INT64, self.globals)
        self.hold(self._bounds[index], bounds)

    def _store_bit(self, cell: Cell, value: Any, source: Source) -> None:
        if type(value) is int:
            if not cell.is_local and cell.value != value:
                self.add(SetBit(self.bit_index(cell), value, source))
            self.hold(cell, value)
            return
        index = self.bit_index(cell)
        if value != Bits((index,)):
            self.add(Branch(value, (SetBit(index, 1, source),), (SetBit(index, 0, source),), source=source))
        self.hold(cell, Bits((index,)))

    # ---- Values --------------------------------------------------------------------------------------------------------

    def value(self, node: ast.QASMNode) -> Typed:
        """Return the value of an expression."""
        evaluator = self.evaluators.get(type(node))
        if evaluator is None:
            raise self.refuse(node, f"{type(node).__name__} is no value here")
        found: Typed = evaluator(self, node)
        return found

    def integer(self, node: ast.QASMNode) -> int:
        """Return a whole number that is known, such as an index."""
        type_, value = self.value(node)
        if type(value) is int:
            return value
        rational = getattr(value, "rational", None)
        if rational is not None and not value.pi and rational.denominator == 1:
            return int(rational)
        reason = (
            ""
            if type(value) in KNOWN
            else "; this one is not known before the run: a switch over its values has constants, and a while counts"
        )
        raise self.refuse(node, f"a constant whole number is needed here, not {a(type_)}{reason}")
