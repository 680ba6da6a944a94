"""What a sequencer computes (types.Classical): what it needs, when it is one outcome, its text for a person, what it can be. Pure.

Nothing here recurses deeper than a person reads, since programs write expressions of any depth; parts that are one object are looked at
once, so that an expression which uses another twice costs no more than it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from qrt.types import Bits, Classical, Computed, Lookup, Parameter, Variable

DEPTH_MAX: Final = 6  # of a text; what is deeper is "..."
INT64: Final = (-(1 << 63), (1 << 63) - 1)
ROUNDS: Final = 4  # in which bounds of variables may grow by what they are computed from, before they are given up

Span = tuple[int, int]  # the least and the largest


def nodes(value: Classical) -> Iterator[Classical]:
    """Yield a value and all that it is computed from, each object once."""
    waiting, seen = [value], {id(value)}
    while waiting:
        one = waiting.pop()
        yield one
        for part in parts(one):
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)


def parts(value: Classical) -> tuple[Classical, ...]:
    """Return what a value is computed from, directly."""
    match value:
        case Computed(left=left, right=right):
            return (left, right)
        case Lookup(index=index):
            return (index,)
    return ()


def bits_of(value: Classical) -> tuple[int, ...]:
    """Return the bits that it needs, ascending."""
    if type(value) is Bits and len(value.bits) == 1:  # as most conditions are
        return value.bits
    return tuple(sorted({bit for one in nodes(value) if isinstance(one, Bits) for bit in one.bits}))


def variables_of(value: Classical) -> tuple[int, ...]:
    """Return the variables that it needs, ascending."""
    return tuple(sorted({one.index for one in nodes(value) if isinstance(one, Variable)}))


def parameters_of(value: Classical) -> tuple[Parameter, ...]:
    """Return the operands from slots that it needs, in no particular order."""
    return tuple(one for one in nodes(value) if isinstance(one, Parameter))


def compared(bits: Sequence[int], value: int) -> Computed:
    """Return the condition that bits, read together, are a value."""
    return Computed("==", Bits(tuple(bits)), value)


def outcome_of(condition: Classical) -> tuple[int, int] | None:
    """Return the one bit and the outcome at which a condition holds; None for one on anything else."""
    match condition:
        case Bits(bits=(bit,)):
            return bit, 1
        case Computed(operator="==", left=Bits(bits=(bit,)), right=int() as value) if value in {0, 1}:
            return bit, value
        case Computed(operator="==", left=int() as value, right=Bits(bits=(bit,))) if value in {0, 1}:
            return bit, value
    return None


def text(value: Classical, bits: Sequence[str] = (), variables: Sequence[str] = ()) -> str:
    """Return a value as a program would write it, with the names of bits and variables where they are given."""
    return _text(value, bits, variables, 0)


def _text(value: Classical, bits: Sequence[str], variables: Sequence[str], depth: int) -> str:
    if depth > DEPTH_MAX and parts(value):
        return "..."
    match value:
        case Bits(bits=indices):
            return _bits_text([bits[one] if one < len(bits) else f"bit {one}" for one in indices])
        case Variable(index=index):
            return variables[index] if index < len(variables) else f"variable {index}"
        case Parameter():
            return value.text
        case Lookup(values=values, index=index):
            return f"table of {len(values)}[{_text(index, bits, variables, depth + 1)}]"
        case Computed(operator=operator):
            inner = [_text(part, bits, variables, depth + 1) for part in parts(value)]
            left, right = (
                f"({one})" if isinstance(part, Computed) and one != "..." else one
                for part, one in zip(parts(value), inner, strict=True)
            )
            return f"{left} {operator} {right}"
        case _:
            return str(value)


def _bits_text(names: Sequence[str]) -> str:
    """Return several bits as one operand: a slice of their register, or a concatenation, the lowest bit first."""
    if len(names) < 2:
        return names[0] if names else "0"
    register, bracket, first = names[0].partition("[")
    start = int(first[:-1]) if bracket and first[:-1].isdigit() else 0
    if list(names) == [f"{register}[{start + k}]" for k in range(len(names))]:
        return f"{register}[{start}:{start + len(names) - 1}]"
    return " ++ ".join(names)


# ---- What a value can be -------------------------------------------------------------------------------------------------


def in_order(value: Classical, arranged: Callable[[Classical], Sequence[Classical]] | None = None) -> list[Classical]:
    """Return a value and all that it is computed from, each object once, what is needed before what needs it.

    arranged: the parts of a value, the one first that comes first; as they stand if None.
    """
    of = parts if arranged is None else arranged
    ordered: list[Classical] = []
    done: set[int] = set()
    waiting = [(value, False)]
    while waiting:
        one, ready = waiting.pop()
        if ready:
            ordered.append(one)
        elif id(one) not in done:
            done.add(id(one))
            waiting.append((one, True))
            waiting += [(part, False) for part in reversed(of(one))]
    return ordered


def span(value: Classical, words: Callable[[Parameter], Span], variables: Mapping[int, Span]) -> Span:
    """Return bounds of a value; `words`: those of an operand from a slot, `variables`: those of a variable where they are known."""
    found: dict[int, Span] = {}
    for one in in_order(value):
        match one:
            case Bits(bits=bits):
                found[id(one)] = (0, (1 << len(bits)) - 1) if len(bits) < 64 else INT64
            case Variable(index=index):
                found[id(one)] = variables.get(index, INT64)
            case Parameter():
                found[id(one)] = words(one)
            case Lookup(values=values):
                found[id(one)] = (min(values), max(values))
            case Computed(operator=operator, left=left, right=right):
                low, high = _computed(operator, found[id(left)], found[id(right)])
                found[id(one)] = (low, high) if INT64[0] <= low and high <= INT64[1] else INT64
            case _:
                found[id(one)] = (one, one)
    return found[id(value)]


def _computed(operator: str, left: Span, right: Span) -> Span:
    """Return bounds of two values with an operator between them, before it wraps."""
    match operator:
        case "+":
            return left[0] + right[0], left[1] + right[1]
        case "-":
            return left[0] - right[1], left[1] - right[0]
        case "*":
            products = [one * other for one in left for other in right]
            return min(products), max(products)
        case "<" if left[1] < right[0]:
            return 1, 1
        case "<" if left[0] >= right[1]:
            return 0, 0
        case "==" if left[1] < right[0] or right[1] < left[0]:
            return 0, 0
        case "==" | "<":
            return 0, 1
        case ">>":
            return left[0] >> right[0], left[1] >> right[0]
        case "&" if right[0] == right[1] >= left[1] and left[0] >= 0 and not right[0] & (right[0] + 1):
            return left  # a mask that has all of its bits
        case "&" if max(left[0], right[0]) >= 0:
            return 0, min(side[1] for side in (left, right) if side[0] >= 0)
        case "|" | "^" if right[0] == right[1] >= 0 <= left[0] and not right[0] & ((1 << left[1].bit_length()) - 1):
            return left[0] + right[0], left[1] + right[0]  # bits that the other side never has
        case "|" | "^" if min(left[0], right[0]) >= 0:
            return 0, (1 << max(left[1].bit_length(), right[1].bit_length())) - 1
    return INT64


def variable_spans(assigned: Iterable[tuple[int, Classical]], words: Callable[[Parameter], Span]) -> dict[int, Span]:
    """Return bounds of each variable: of all that is ever assigned to it, and the 0 that it begins with. What keeps growing has none."""
    pairs = list(assigned)
    found: dict[int, Span] = {index: (0, 0) for index, _ in pairs}
    for turn in range(len(found) + ROUNDS + 1):
        before = dict(found)
        for index, value in pairs:
            low, high = span(value, words, found)
            found[index] = (min(found[index][0], low), max(found[index][1], high))
            if turn >= ROUNDS and found[index] != before[index]:
                found[index] = INT64
        if found == before:
            break
    return found
