"""Words of a sequencer put together: operators on them, folded where nothing is left to compute.

What is known stays a Python int; everything else is a tree of types.Classical, whose arithmetic is that of int64 modulo 2^64.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Final, Literal

from qrt.types import Classical, Computed
from qrt.units import signed64

WORD_BITS: Final = 64  # of a sequencer's register

Operator = Literal["+", "-", "*", "&", "|", "^", "==", "<", ">>"]
FOLDED: Final[dict[str, Callable[[int, int], int]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "&": operator.and_, "|": operator.or_, "^": operator.xor,
    "==": lambda left, right: int(left == right), "<": lambda left, right: int(left < right), ">>": operator.rshift,
}  # fmt: skip


def compute(name: Operator, left: Classical, right: Classical) -> Classical:
    """Return an operator of the sequencer on two words; of constants, and with one that changes nothing, there is nothing to do."""
    if type(left) is int and type(right) is int:
        return signed64(FOLDED[name](left, right))
    if type(left) is int and name in {"+", "*", "&", "|", "^", "=="}:
        left, right = right, left
    if type(right) is int:
        if (right == 0 and name in {"+", "-", "|", "^", ">>"}) or (right, name) in {(1, "*"), (-1, "&")}:
            return left
        if right == 0 and name in {"*", "&"}:
            return 0
        if (
            type(left) is Computed
            and left.operator == name
            and name in {"+", "^", "&", "*"}
            and type(left.right) is int
        ):
            return compute(name, left.left, signed64(FOLDED[name](left.right, right)))
    return Computed(name, left, right)


def logical_shift(word: Classical, count: int) -> Classical:
    """Return a word moved down with zeros on top."""
    return compute("&", compute(">>", word, count), (1 << (WORD_BITS - count)) - 1) if count else word


def towards_zero(word: Classical, count: int) -> Classical:
    """Return a signed word divided by 2^count, towards zero."""
    if not count:
        return word
    bias = compute("&", compute(">>", word, WORD_BITS - 1), (1 << count) - 1)
    return compute(">>", compute("+", word, bias), count)


def exact_quotient(word: Classical, divisor: int) -> Classical:
    """Return a word divided by a positive number of which it is a multiple: odd numbers have inverses modulo 2^64."""
    places = (divisor & -divisor).bit_length() - 1
    odd = divisor >> places
    whole = word if odd == 1 else compute("*", word, signed64(pow(odd, -1, 1 << WORD_BITS)))
    return compute(">>", whole, places)
