"""Conditions of `if`: which bits, and which value they must have together.

`c[0]`, `!c[0]`, `c[0] == 1`, `c == 2`, `c == "10"`, `c != 2`, with the constant on either side. A register reads with its first bit as the
lowest, as the language casts bits to integers; a register alone is true where it is not zero. Everything else is refused.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from openqasm3 import ast

from qrt.errors import ProgramError

ALLOWED = "c[0], !c[0], c[0] == 1, c == 2, c != 2 with declared bits and constants"


class Condition(NamedTuple):
    """True where sum(bits[k] << k) equals the value; the other way round if inverted."""

    bits: tuple[int, ...]
    value: int
    inverted: bool


class Names(Protocol):
    """What a condition needs of the reader: names to bits, constants to numbers, and located errors."""

    def bits(self, node: ast.QASMNode) -> list[int]:
        """Return the indices of the bits that an operand names."""

    def integer(self, node: ast.QASMNode) -> int:
        """Return a constant whole number."""

    def refuse(self, node: ast.QASMNode, message: str) -> ProgramError:
        """Return the error that `message` is about a node."""


def read_condition(reader: Names, node: ast.Expression) -> Condition:
    """Return the condition that an expression means. Raises ProgramError with the allowed forms."""
    match node:
        case ast.UnaryExpression(op=op, expression=inner) if op.name == "!":
            condition = read_condition(reader, inner)
            return condition._replace(inverted=not condition.inverted)
        case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name in {"==", "!="}:
            if _is_constant(left) and not _is_constant(right):
                left, right = right, left
            if not isinstance(left, ast.Identifier | ast.IndexExpression) or not _is_constant(right):
                raise reader.refuse(node, f"this condition is not supported; supported: {ALLOWED}")
            bits = tuple(reader.bits(left))
            value = _constant(reader, right, len(bits))
            return Condition(bits, value, inverted=op.name == "!=")
        case ast.Identifier() | ast.IndexExpression():
            bits = tuple(reader.bits(node))
            return Condition(bits, 1, inverted=False) if len(bits) == 1 else Condition(bits, 0, inverted=True)
    raise reader.refuse(node, f"this condition is not supported; supported: {ALLOWED}")


def _is_constant(node: ast.Expression) -> bool:
    """Say whether a side of a comparison is written as a constant."""
    if isinstance(node, ast.UnaryExpression):
        return _is_constant(node.expression)
    return isinstance(node, ast.IntegerLiteral | ast.BooleanLiteral | ast.BitstringLiteral)


def _constant(reader: Names, node: ast.Expression, width: int) -> int:
    """Return the value that `width` bits are compared with."""
    if isinstance(node, ast.BitstringLiteral):
        if node.width != width:
            raise reader.refuse(node, f"{width} bits are compared with a string of {node.width}")
        return int(node.value)
    value = int(node.value) if isinstance(node, ast.BooleanLiteral) else reader.integer(node)
    if not 0 <= value < 1 << width:
        raise reader.refuse(node, f"{width} bits are compared with {value}; allowed: 0 to {(1 << width) - 1}")
    return value
