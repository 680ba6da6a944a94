"""Control flow: if, for, while, switch, break, continue, end, blocks. Known conditions are decided now, loops are unrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from openqasm3 import ast

from qrt.qasm import flow
from qrt.qasm.completion import Completion, Signal, Split, goes_on
from qrt.qasm.context import ITERATIONS_MAX, Run
from qrt.qasm.indices import range_of
from qrt.qasm.kinds import BOOL, KNOWN, LITERAL, Type, Typed
from qrt.qasm.runtime import cast_word
from qrt.qasm.scope import Cell, Scope
from qrt.qasm.sequenced import compute
from qrt.qasm.values import cast, constants, located, operate
from qrt.qasm.words import a
from qrt.qasm.written import type_of
from qrt.types import Classical

NESTED_MAX: Final = 256  # iterations of a loop on outcomes, each nested in the one before


def condition(run: Run, node: ast.Expression) -> bool | Classical:
    """Return a condition: decided, or as a word that is 0 or 1."""
    value = cast(run, node, run.value(node), BOOL)
    if type(value.value) in KNOWN:
        return bool(value.value)
    return located(run, node, "the condition", lambda: cast_word(value, BOOL, run.source(node)))


def block(run: Run, node: ast.CompoundStatement) -> Completion:
    """Execute a block of its own."""
    return flow.block(run, node.statements)


def branch(run: Run, node: ast.BranchingStatement) -> Completion:
    """Execute one side, or both if only outcomes tell which."""
    chosen = condition(run, node.condition)
    if isinstance(chosen, bool):
        return flow.block(run, node.if_block if chosen else node.else_block)
    return flow.branch(
        run, chosen, lambda: flow.block(run, node.if_block), lambda: flow.block(run, node.else_block), run.source(node)
    )


def switch(run: Run, node: ast.SwitchStatement) -> Completion:
    """Execute the case of a value, or each if only outcomes tell which."""
    target = run.value(node.target)
    if target.type.kind not in {"int", "uint", "bit", "bool"}:
        raise run.refuse(node.target, f"a switch is on whole numbers, not on {a(target.type)}")
    cases = [([_case(run, target, one) for one in values], body) for values, body in node.cases]
    seen: set[int] = set()
    for (values, _), (written, _) in zip(cases, node.cases, strict=True):
        for value, place in zip(values, written, strict=True):
            if value.value in seen:
                raise run.refuse(place, f"case {value.value} is there already")
            seen.add(value.value)
    return _switched(run, node, target, cases)


def _case(run: Run, target: Typed, node: ast.Expression) -> Typed:
    (value,) = constants(run, [node])
    if value.type.kind not in {"int", "uint", "bit", "bool"}:
        raise run.refuse(node, f"a case is a whole number, not {a(value.type)}")
    return cast(run, node, value, target.type) if target.type.width else value


def _switched(
    run: Run,
    node: ast.SwitchStatement,
    target: Typed,
    cases: Sequence[tuple[list[Typed], ast.CompoundStatement]],
) -> Completion:
    if not cases:
        return flow.block(run, node.default.statements) if node.default is not None else None
    (values, body), *others = cases
    if type(target.value) in KNOWN:
        chosen = any(value.value == target.value for value in values)
        return flow.block(run, body.statements) if chosen else _switched(run, node, target, others)
    word: Classical = 0
    for value in values:
        equal = operate(run, node, "==", target, value)
        word = compute("|", word, equal.value)
    return flow.branch(
        run,
        word,
        lambda: flow.block(run, body.statements),
        lambda: _switched(run, node, target, others),
        run.source(node),
    )


# ---- Loops -------------------------------------------------------------------------------------------------------------


def for_loop(run: Run, node: ast.ForInLoop) -> Completion:
    """Execute a body for each value of a range, a set, an array or the bits of a register."""
    type_ = type_of(run, node.type)
    name = node.identifier.name
    completion: Completion = None
    run.loops.append(node)
    for value in _values(run, node, type_):
        completion = flow.resume(run, completion, lambda value=value: _iteration(run, node, name, type_, value))  # type: ignore[misc]
        completion = flow.settle(run, completion, Signal.CONTINUE)
        if not goes_on(completion):
            break
    run.loops.pop()
    return flow.settle(run, completion, Signal.BREAK)


def _iteration(run: Run, node: ast.ForInLoop, name: str, type_: Type, value: Typed) -> Completion:
    run.iteration_count += 1
    if run.iteration_count > ITERATIONS_MAX:
        raise run.too_many(f"more than {ITERATIONS_MAX} iterations", run.source(node))
    scope = Scope(run.scope)
    scope.names[name] = Cell(name, type_, cast(run, node, value, type_).value, scope)
    return flow.block(run, node.block, scope)


def _values(run: Run, node: ast.ForInLoop, type_: Type) -> Iterable[Typed]:
    """Return what a loop goes through."""
    over = node.set_declaration
    if isinstance(over, ast.RangeDefinition):
        if type_.kind in {"float", "angle", "duration"}:
            raise run.refuse(
                over, f"a range of {a(type_)} is not exact; loop over whole numbers and compute, or over a set"
            )
        return [Typed(LITERAL, number) for number in range_of(run, over)]
    if isinstance(over, ast.DiscreteSet):
        return constants(run, over.values)
    values = run.value(over)
    if values.type.of is not None and len(values.type.shape) == 1:
        of = values.type.of
        return [Typed(of, one) for one in values.value]
    if values.type.kind == "bit":
        bit = Type("bit", 1)
        return [operate_bit(run, over, values, position, bit) for position in range(values.type.width)]
    raise run.refuse(
        over, f"a loop goes through a range, a set, an array of one dimension or bits, not through {a(values.type)}"
    )


def operate_bit(run: Run, node: ast.QASMNode, values: Typed, position: int, type_: Type) -> Typed:
    """Return a bit of a value."""
    if type(values.value) in KNOWN:
        return Typed(type_, values.value >> position & 1)
    word = cast_word(values, values.type, run.source(node))
    return Typed(type_, compute("&", compute(">>", word, position), 1))


def while_loop(run: Run, node: ast.WhileLoop) -> Completion:
    """Execute a body as long as a condition holds; where outcomes decide, each iteration stands inside the one before."""
    completion: Completion = None
    nested = 0
    run.loops.append(node)
    while goes_on(completion):
        run.iteration_count += 1
        if run.iteration_count > ITERATIONS_MAX:
            raise run.too_many(f"more than {ITERATIONS_MAX} iterations", run.source(node))
        nested = nested + 1 if isinstance(completion, Split) else 0
        if nested > NESTED_MAX:
            raise run.refuse(
                node,
                f"a loop without bound ({NESTED_MAX} iterations are possible where outcomes decide): count, as in "
                "while (c && n < 10) { n += 1; ... }, in every iteration",
            )
        completion = flow.settle(
            run, flow.resume(run, completion, lambda: _while_iteration(run, node)), Signal.CONTINUE
        )
    run.loops.pop()
    return flow.settle(run, completion, Signal.BREAK)


def _while_iteration(run: Run, node: ast.WhileLoop) -> Completion:
    chosen = condition(run, node.while_condition)
    if not isinstance(chosen, bool):
        low, high = run.span(chosen)  # a count that is not the same on all ways, but far enough on each
        chosen = chosen if low <= 0 < high else bool(low)
    if isinstance(chosen, bool):
        return flow.block(run, node.block) if chosen else Signal.BREAK
    return flow.branch(run, chosen, lambda: flow.block(run, node.block), lambda: Signal.BREAK, run.source(node))


# ---- Leaving -----------------------------------------------------------------------------------------------------------


def leave(signal: Signal) -> Callable[[Run, Any], Completion]:
    """Return the handler of break or continue."""

    def handler(run: Run, node: ast.Statement) -> Completion:
        if not run.loops:
            raise run.refuse(node, f"{signal.value} stands in no loop")
        return signal

    return handler


def end(run: Run, node: ast.EndStatement) -> Completion:
    """End the shot."""
    if run.calls:
        raise run.refuse(node, f"end in {run.calls[-1]!r}: let it return a value, and end where it is called")
    return Signal.END


HANDLERS: dict[type, Callable[[Run, Any], Completion]] = {
    ast.CompoundStatement: block,
    ast.BranchingStatement: branch,
    ast.SwitchStatement: switch,
    ast.ForInLoop: for_loop,
    ast.WhileLoop: while_loop,
    ast.BreakStatement: leave(Signal.BREAK),
    ast.ContinueStatement: leave(Signal.CONTINUE),
    ast.EndStatement: end,
}
