"""Directives: pragmas and annotations, which are for whoever knows them. None is known here.

The standard has a compiler pass by those that it does not know (directives.rst: what a program means does not depend on them). Nothing
is passed by in silence: what there is becomes a line each, which `qrt check` and `qrt run` show and the record keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

from openqasm3 import ast
from openqasm3.visitor import QASMVisitor


class _Directives(QASMVisitor[None]):
    """Collects the directives of a tree, in the order in which they stand."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.QASMNode, str]] = []

    def visit(self, node: ast.QASMNode, context: None = None) -> None:
        """Look at a node, then at those inside."""
        self.found += [(one, f"annotation @{one.keyword}") for one in getattr(node, "annotations", ())]
        if isinstance(node, ast.Pragma):
            self.found.append((node, "pragma"))
        self.generic_visit(node, context)


def directives(tree: ast.Program) -> Sequence[tuple[ast.QASMNode, str]]:
    """Return every directive of a program with what it is called."""
    visitor = _Directives()
    visitor.visit(tree)
    return visitor.found
