"""The state of an elaboration: where statements go, what names mean, and the ways in which a program can go on.

A block is executed statement by statement through a table from the node's type to a handler `(run, node) -> Completion`. Most complete with
None: go on. A `Signal` (break, continue, return, end) leaves what is around it. Where one side of a branch on outcomes leaves and
the other does not, the branch stays open as a `Split`, and what follows is executed in each side that goes on (`resume`), until the signal
has reached what it leaves (`settle`) and both sides go on together again. So `while`, `break` and `return` on outcomes become
nested branches, and each path holds exactly the statements that it executes.

What variables hold is recorded while a side is elaborated and taken back at its end; where the sides differ, the variable becomes one of
the sequencers', assigned at the end of either side.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqasm3 import ast

from qrt.classical import INT64, Span, span, variables_of
from qrt.errors import ProgramError
from qrt.qasm import fixed
from qrt.qasm.completion import Completion, Side, Signal, Split, goes_on, ways
from qrt.qasm.facts import Facts
from qrt.qasm.fixed import Fixed
from qrt.qasm.kinds import KNOWN, RUNTIME, Type, Typed
from qrt.qasm.program import Assign, Branch, Output, SetBit, Statement
from qrt.qasm.reals import number
from qrt.qasm.runtime import word_of
from qrt.qasm.scope import BitRegister, Cell, Lost, Scope, bit_cell
from qrt.qasm.words import a, what
from qrt.types import Bits, Classical, Computed, Source, Variable

SEQUENCED = frozenset({"bool", "bit", "int", "uint", "angle"})  # kinds that a sequencer holds as they are
REAL = frozenset({"float", "duration"})  # kinds that it holds in steps (qrt.qasm.fixed)
BOUNDS = Type("bounds")  # of a cell that holds what a variable can be
NOTHING: Mapping[Cell, Any] = {}
STATEMENTS_MAX = 100_000
ITERATIONS_MAX = 100_000  # of loops whose bodies leave no statement
LISTED_MAX = 24  # names in an error; more would hide the message

# What is refused, as the language calls it.
CONSTRUCTS: dict[type, str] = {
    ast.CalibrationDefinition: "defcal",
    ast.CalibrationStatement: "cal",
}


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
        self.lines = [line.strip() for line in text.splitlines()]
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
        self.tree: Any = None  # of the whole program
        self.input_values: Mapping[str, Any] = {}
        self.calls: list[str] = []  # subroutines and gates that are being inlined
        self.frames: list[Any] = []  # where the results of these go
        self.loops: list[ast.QASMNode] = []
        self.depth = 0  # of blocks, and of branches on outcomes
        self._recorded: dict[Cell, Any] | None = None
        self._sources: dict[int, Source] = {}
        # What is written alike is one object, by how it is written: durations, angles, native gates of those without an angle.
        self.literals: dict[Any, Any] = {}
        self.turns: dict[Any, tuple[Any, Any]] = {}
        self.natives: dict[str, Any] = {}
        self.defined: set[str] = set()  # names of gates that the program defines
        self.bodies: dict[Any, Sequence[Statement]] = {}  # what such gates became, by all that decides it
        self.lab_calls = 0  # of functions that the lab provides
        self._free: list[int] = []
        self._free_bits: list[int] = []
        self.decided_count = 0  # delays that outcomes decide
        self.stretch_names: list[str] = []
        self.target: BitRegister | None = None  # bits that a call may measure into

    # ---- Places --------------------------------------------------------------------------------------------------------

    def source(self, node: ast.QASMNode) -> Source:
        """Return where a node of the syntax tree stands."""
        known = self._sources.get(id(node))
        if known is not None:
            return known
        span = node.span
        if span is None:
            found = Source(1, 1, "", self.path)
        else:
            line = span.start_line
            text = self.lines[line - 1] if line <= len(self.lines) else ""
            found = Source(line, span.start_column + 1, text, self.path)
        self._sources[id(node)] = found
        return found

    def refuse(self, node: ast.QASMNode, message: str) -> ProgramError:
        """Return the error that `message` is about a node."""
        source = self.source(node)
        return ProgramError(f"{source.where}{message}" + (f"\n    {source.text}" if source.text else ""))

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
            if self._free_bits:
                cell.bit = self._free_bits.pop()
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
        """Append a statement. Raises ProgramError beyond what is sensible, naming the loop."""
        self.statement_count += 1
        if self.statement_count > STATEMENTS_MAX:
            raise self.too_many(f"more than {STATEMENTS_MAX} statements")
        self.out.append(statement)

    def too_many(self, what_: str) -> ProgramError:
        """Return the error that a program does not end while it is unrolled."""
        node = self.loops[-1] if self.loops else ast.Program([])
        where = "this loop makes" if self.loops else "the program has"
        return self.refuse(node, f"{where} {what_}: a shot is unrolled, so take fewer repetitions")

    def hold(self, cell: Cell, value: Any) -> None:
        """Let a cell hold a value; nothing is executed for it."""
        if self._recorded is not None and cell not in self._recorded:
            self._recorded[cell] = cell.value
        cell.value = value

    def variable(self, cell: Cell) -> int:
        """Return the sequencers' variable of a cell."""
        if cell.variable is None:
            if self._free:
                cell.variable = self._free.pop()
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
        self._bound(index, self.span(word))
        self.add(Assign(index, word, source))

    def span(self, word: Classical, held: Mapping[Cell, Any] = NOTHING) -> Span:
        """Return bounds of a word here, on the way through the program on which it stands; `held`: at the end of a side."""
        cells = [(one, self._bounds[one]) for one in variables_of(word) if one in self._bounds]
        return span(word, lambda _: INT64, {one: held.get(cell, cell.value) for one, cell in cells})

    def _bound(self, index: int, bounds: Span) -> None:
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

    # ---- Blocks --------------------------------------------------------------------------------------------------------

    def block(self, nodes: Sequence[ast.QASMNode], scope: Scope | None = None) -> Completion:
        """Execute a block in a scope of its own."""
        around, self.scope = self.scope, scope or Scope(self.scope)
        self.depth += 1
        life = self.scope.life
        completion = self.statements(nodes)
        life.is_over = True
        self._free += life.variables
        self._free_bits += life.bits
        self.depth -= 1
        self.scope = around
        return completion

    def statements(self, nodes: Sequence[Any]) -> Completion:
        """Execute statements one after another, in the scope that is open."""
        handlers = self.handlers
        for index, node in enumerate(nodes):
            handler = handlers.get(type(node))
            if handler is None:
                raise self.refuse(node, f"{CONSTRUCTS.get(type(node), type(node).__name__)} is not supported")
            completion = handler(self, node)
            if completion is None:
                continue
            if isinstance(completion, Signal):
                return completion
            rest = functools.partial(self.statements, nodes[index + 1 :])
            return self.resume(completion, rest)
        return None

    # ---- Branches on outcomes ------------------------------------------------------------------------------------------

    def branch(
        self, condition: Classical, then: Callable[[], Completion], otherwise: Callable[[], Completion], source: Source
    ) -> Completion:
        """Execute both sides of a branch on what is not known yet."""
        one, other = self._side(then, [], {}), self._side(otherwise, [], {})
        if (
            isinstance(condition, Computed) and condition.operator == "^" and condition.right == 1
        ):  # not: the sides change
            return self._joined(Split(condition.left, (other, one), source))
        return self._joined(Split(condition, (one, other), source))

    def _side(self, body: Callable[[], Completion], out: list[Statement], held: Mapping[Cell, Any]) -> Side:
        """Execute a body as the continuation of one side of a branch."""
        around = (self.out, self._recorded, self.scope, self.globals)
        self.out, self._recorded, self.scope = out, {}, self.scope.copied()
        if around[2] is around[3]:  # what is declared from here on is seen by gates and subroutines, too
            self.globals = self.scope
        for cell, value in held.items():
            self.hold(cell, value)
        completion = body()
        after = {cell: cell.value for cell in self._recorded}
        for cell, value in self._recorded.items():
            cell.value = value
        self.out, self._recorded, self.scope, self.globals = around
        return Side(out, after, completion)

    def apart(self, body: Callable[[], Completion]) -> list[Statement]:
        """Return the statements of a body that is not part of the program: what it sets is as before afterwards."""
        return self._side(body, [], {}).out

    def resume(self, completion: Completion, rest: Callable[[], Completion]) -> Completion:
        """Execute what follows, wherever the program goes on."""
        if completion is None:
            return rest()
        if isinstance(completion, Signal):
            return completion
        sides = [
            self._side(lambda side=side: self.resume(side.completion, rest), side.out, side.held)  # type: ignore[misc]
            if goes_on(side.completion)
            else side
            for side in completion.sides
        ]
        return self._joined(completion._replace(sides=(sides[0], sides[1])))

    def settle(self, completion: Completion, *signals: Signal) -> Completion:
        """Let these signals go on from here; sides that go on together again become one."""
        if completion is None or isinstance(completion, Signal):
            return None if completion in signals else completion
        if completion.ways.isdisjoint(signals):
            return completion
        sides = [
            self._side(lambda side=side: self.settle(side.completion, *signals), side.out, side.held)  # type: ignore[misc]
            for side in completion.sides
        ]
        return self._joined(completion._replace(sides=(sides[0], sides[1])))

    def _joined(self, split: Split) -> Completion:
        """Return an open branch, closed if both of its sides go on in one way."""
        then, otherwise = split.sides
        if isinstance(then.completion, Split) or then.completion is not otherwise.completion:
            return split._replace(leaves=True, ways=ways(then.completion) | ways(otherwise.completion))
        cells = [cell for cell in dict.fromkeys((*then.held, *otherwise.held)) if not cell.life.is_over]
        for cell in cells:
            if cell.type is BOUNDS:
                (one, other) = (side.held.get(cell, cell.value) for side in split.sides)
                self.hold(cell, (min(one[0], other[0]), max(one[1], other[1])))
        for cell in cells:
            if cell.type is not BOUNDS:
                self._meet(cell, [(side, side.held.get(cell, cell.value)) for side in split.sides], split.source)
        if then.out or otherwise.out:
            self.out.append(
                Branch(split.condition, tuple(then.out), tuple(otherwise.out), source=split.source, leaves=split.leaves)
            )
        return then.completion

    def _meet(self, cell: Cell, sides: Sequence[tuple[Side, Any]], source: Source) -> None:
        """Let a cell hold what is true after either side of a branch."""
        (_, one), (_, other) = sides
        if type(one) is type(other) and one == other:
            self.hold(cell, one)
        elif cell.is_bit:
            index = self.bit_index(cell)
            if cell.is_local:  # one that is known was not written
                for side, value in sides:
                    if type(value) is int:
                        side.out.append(SetBit(index, value, source))
            self.hold(cell, Bits((index,)))
        elif cell.type.kind in SEQUENCED and not isinstance(one, Lost) and not isinstance(other, Lost):
            index = self.variable(cell)
            words = [word_of(Typed(cell.type, value), source) for _, value in sides]
            self._set_on_sides(index, [(side, word) for (side, _), word in zip(sides, words, strict=True)], source)
            self.hold(cell, Variable(index))
        elif cell.type.kind in REAL and not isinstance(one, Lost) and not isinstance(other, Lost):
            self._meet_real(cell, sides, source)
        else:
            self.hold(
                cell,
                Lost(
                    f"{cell.name!r} of type {cell.type} differs on the two sides of the branch of line {source.line}, which depends on "
                    "outcomes; only bool, bit, int, uint, angle, float and duration can: use it inside the branch"
                ),
            )

    def _set_on_sides(self, index: int, sides: Sequence[tuple[Side, Classical]], source: Source) -> None:
        """Set a variable at the end of either side, and note what it can be from there on."""
        found = []
        for side, word in sides:
            found.append(self.span(word, side.held))
            if word != Variable(index):
                side.out.append(Assign(index, word, source))
        self._bound(index, (min(low for low, _ in found), max(high for _, high in found)))

    def _meet_real(self, cell: Cell, sides: Sequence[tuple[Side, Any]], source: Source) -> None:
        """Let a cell hold a real number or a duration that differs on the two sides: in steps that both have."""
        try:
            numbers = fixed.together([number(self, Typed(cell.type, value)) for _, value in sides])
        except ValueError as error:
            self.hold(
                cell, Lost(f"{cell.name!r} differs on the two sides of the branch of line {source.line}: {error}")
            )
            return
        index = self.variable(cell)
        self._set_on_sides(index, [(side, one.word) for (side, _), one in zip(sides, numbers, strict=True)], source)
        self.hold(cell, fixed.joined(numbers)._replace(word=Variable(index)))

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
        reason = "" if type(value) in KNOWN else "; this one is not known before the run"
        raise self.refuse(node, f"a constant whole number is needed here, not {a(type_)}{reason}")
