"""Lengths of time: `durationof`, and durations that outcomes decide as ticks."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

from openqasm3 import ast

from qrt.qasm import exactness, fixed, flow
from qrt.qasm.context import Run
from qrt.qasm.expressions import Duration
from qrt.qasm.fixed import WORDS_MAX, Fixed
from qrt.qasm.kinds import DURATION, Typed
from qrt.qasm.values import located
from qrt.types import Lasting, Lookup


def duration_of(run: Run, node: ast.DurationOf) -> Typed:
    """Return how long statements take; nothing of them is executed."""
    inside = flow.apart(run, lambda: flow.block(run, node.target))
    if not inside:
        raise run.refuse(node, "durationof of statements that act on no qubit")
    lengths = run.facts.lengths_s(inside, run.qubit_names)
    return Typed(DURATION, Duration(max(lengths.values())))


def in_ticks(run: Run, node: ast.QASMNode, value: Fixed, what: str) -> Lasting:
    """Return a duration that outcomes decide in ticks. Raises ProgramError where it can be negative, or no whole number of them."""
    if value.error or value.words is None:
        raise run.refuse(
            node,
            f"{what} that outcomes decide is exact and has at most {WORDS_MAX} lengths, each of which is looked at; this one is {value}"
            + (f", exact to {float(value.error):.2g} s" if value.error else ""),
        )
    tick_s = run.facts.tick_s
    lengths = {word: word * value.step / tick_s for word in sorted(value.words)}
    shortest, off = min(lengths.values()), next((one for one in lengths.values() if one.denominator != 1), None)
    tick_ns = float(tick_s * 10**9)
    if shortest < 0:
        raise run.refuse(
            node, f"{what} that outcomes decide could be {float(shortest) * tick_ns:g} ns, which is negative"
        )
    if off is not None and not run.rounds:
        below = floor(off)
        raise run.refuse(
            node,
            f"{what} that outcomes decide could be {float(off) * tick_ns:.12g} ns, no whole number of ticks of {tick_ns:g} ns; nearest: "
            f"{below * tick_ns:.12g} ns and {(below + 1) * tick_ns:.12g} ns",
        )
    ticks = tuple(sorted({round(one) for one in lengths.values()}))
    if off is None:
        word = fixed.stepped(value, tick_s).word
    else:
        run.round(
            node,
            f"{what} that outcomes decide was rounded to whole ticks of {tick_ns:g} ns: {float(off) * tick_ns:.12g} ns, say",
        )
        index, possible = located(run, node, what, lambda: exactness.combined([value]))
        word = Lookup(tuple(0 if one is None else round(one[0] / tick_s) for one in possible), index)
    run.decided_count += 1
    return Lasting(word, ticks, run.decided_count - 1)


EVALUATORS: dict[type, Callable[[Run, Any], Typed]] = {ast.DurationOf: duration_of}
