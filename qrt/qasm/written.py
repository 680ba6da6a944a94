"""Types as the tree writes them."""

from __future__ import annotations

from typing import Final

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.kinds import VOID, Type
from qrt.qasm.sequenced import WORD_BITS

KINDS: Final[dict[type, str]] = {
    ast.IntType: "int",
    ast.UintType: "uint",
    ast.FloatType: "float",
    ast.AngleType: "angle",
    ast.DurationType: "duration",
    ast.StretchType: "stretch",
    ast.BoolType: "bool",
    ast.BitType: "bit",
    ast.ComplexType: "complex",
}
ELEMENTS_MAX: Final = 1 << 16  # of an array, whose constants stand in the kernel's tables at most
FLOAT_WIDTHS: Final = (16, 32, 64)


def type_of(run: Run, node: ast.ClassicalType | None) -> Type:
    """Return the type that a node writes; of bits, what a size makes them. Raises ProgramError for a width that cannot be."""
    if node is None:
        return VOID
    if isinstance(node, ast.ArrayType | ast.ArrayReferenceType):
        return _array(run, node)
    kind = KINDS.get(type(node))
    if kind is None:
        raise run.refuse(node, f"{type(node).__name__.removesuffix('Type').lower()} is no type of a value here")
    size = getattr(node, "size", None)
    if size is None:
        width = {"int": WORD_BITS, "uint": WORD_BITS, "bit": 1, "bool": 1}.get(kind, 0)
        return Type(kind, width)
    width = run.integer(size)
    if kind == "float" and width not in FLOAT_WIDTHS:
        raise run.refuse(node, f"float[{width}] is not supported; supported: float[64], float[32], float[16]")
    if kind == "bit":
        if width < 1:
            raise run.refuse(node, f"bit[{width}] has no bits; at least 1 is needed")
    elif not 1 <= width <= WORD_BITS:
        raise run.refuse(node, f"{kind}[{width}] is not supported; widths: 1 to {WORD_BITS}")
    return Type(kind, width if kind != "float" else 0)


def _array(run: Run, node: ast.ArrayType | ast.ArrayReferenceType) -> Type:
    element = type_of(run, node.base_type)
    if not isinstance(node.dimensions, list):
        return Type("array", 0, element, (-1,) * run.integer(node.dimensions))
    shape = tuple(run.integer(one) for one in node.dimensions)
    count = 1
    for size in shape:
        count *= size
        if size < 0 or count > ELEMENTS_MAX:
            raise run.refuse(node, f"an array of shape {list(shape)}; possible are {ELEMENTS_MAX} elements")
    return Type("array", 0, element, shape)
