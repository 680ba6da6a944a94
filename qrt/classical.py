"""What a sequencer computes (types.Classical): what it needs, when it is one outcome, and its text for a person. Pure.

Nothing here recurses deeper than a person reads, since programs write expressions of any depth; parts that are one object are looked at
once, so that an expression which uses another twice costs no more than it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qrt.types import Bits, Classical, Computed, Lookup, Parameter, Variable

DEPTH_MAX = 6  # of a text; what is deeper is "..."


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
    if depth > DEPTH_MAX:
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
                f"({one})" if isinstance(part, Computed) else one for part, one in zip(parts(value), inner, strict=True)
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
