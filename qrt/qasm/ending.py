"""How a program ends: a branch on outcomes that is the last thing of a shot need not be padded.

So a loop until success ends early, and the shot with it. What takes no time and follows the branch (columns, bits, variables) moves
into both of its sides.
"""

from __future__ import annotations

from collections.abc import Sequence

from qrt.qasm.program import Assign, Branch, Emit, SetBit, Statement

TIMELESS = (Assign, Emit, SetBit)


def finished(statements: Sequence[Statement]) -> Sequence[Statement]:
    """Return a program whose last loop on outcomes, or branch that ends the shot, is not padded."""
    last = len(statements)
    while last and isinstance(statements[last - 1], TIMELESS):
        last -= 1
    if not last:
        return statements
    branch = statements[last - 1]
    if not isinstance(branch, Branch) or not branch.leaves:
        return statements
    return [*statements[: last - 1], _open(branch, tuple(statements[last:]))]


def _open(branch: Branch, rest: tuple[Statement, ...]) -> Branch:
    """Return a branch with what follows it in both of its sides, not padded, nor the last ones inside it."""
    then, otherwise = (tuple(finished((*side, *rest))) for side in (branch.then, branch.otherwise))
    return branch._replace(then=then, otherwise=otherwise, pad=False)
