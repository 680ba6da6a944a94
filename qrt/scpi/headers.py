"""Header patterns as manuals write them, `[SOURce<n>]:VOLTage[:LEVel][:AMPLitude]`, and the tree that finds a header.

Capitals are the short form, brackets are optional, `<n>` takes a numeric suffix whose absence means 1, a `?` at the end
names a query that has no command. The tree holds every spelling (long and short) of every variant (with and without
the optional nodes), so that finding a header costs one look-up a node; two patterns that could mean the same header are
a bug of the table, found when the tree is built and not when it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product
from typing import Generic, TypeVar

from qrt.scpi.faults import Refusal

T = TypeVar("T")

NODE = re.compile(r"(\[?):?(\*?[A-Za-z0-9]+)(<n>)?(\]?)")
TYPED = re.compile(r":?[A-Za-z][A-Za-z0-9_]*(?::[A-Za-z][A-Za-z0-9_]*)*\??|\*[A-Za-z]+\??")
SUFFIXED = re.compile(r"(.*?)([0-9]*)")
SUFFIX_DIGITS_MAX = 9
DEFAULT_SUFFIX = 1


def spellings(word: str) -> tuple[str, str]:
    """Return short and long form of a word such as `VOLTage`, both in upper case."""
    return "".join(letter for letter in word if not letter.islower()), word.upper()


@dataclass(frozen=True, slots=True)
class _Node:
    word: str
    suffixed: bool
    optional: bool


@dataclass(slots=True)
class _Branch(Generic[T]):
    """Where a header may go on from here, and what it means if it ends here."""

    plain: dict[str, _Branch[T]] = field(default_factory=dict)
    suffixed: dict[str, _Branch[T]] = field(default_factory=dict)
    meaning: tuple[T, tuple[bool, ...]] | None = None  # and which of the pattern's suffixes this variant writes


def parse_pattern(pattern: str) -> tuple[_Node, ...]:
    """Return the nodes of a pattern (without a `?`)."""
    nodes, position = [], 0
    while position < len(pattern):
        found = NODE.match(pattern, position)
        assert found is not None, pattern
        opening, word, suffix, closing = found.groups()
        assert (opening == "[") == (closing == "]"), pattern
        nodes.append(_Node(word, suffix is not None, opening == "["))
        position = found.end()
    return tuple(nodes)


class HeaderTree(Generic[T]):
    """Finds what a header means. Commands and queries are two trees."""

    def __init__(self) -> None:
        self._root: _Branch[T] = _Branch()

    def add(self, pattern: str, meaning: T) -> None:
        """Add every variant and spelling of a pattern."""
        nodes = parse_pattern(pattern)
        for kept in product(*((True, False) if node.optional else (True,) for node in nodes)):
            variant = [node for node, keep in zip(nodes, kept, strict=True) if keep]
            written = tuple(keep for node, keep in zip(nodes, kept, strict=True) if node.suffixed)
            if variant:
                self._add_variant(self._root, variant, (meaning, written), pattern)

    def find(self, path: tuple[str, ...]) -> tuple[T, tuple[int, ...]] | None:
        """Return what the nodes mean and the pattern's suffixes, 1 where none is written; None if they mean nothing."""
        found = _find(self._root, path)
        if found is None:
            return None
        (meaning, written), given = found
        suffixes = iter(given)
        return meaning, tuple(next(suffixes) if here else DEFAULT_SUFFIX for here in written)

    def _add_variant(
        self, branch: _Branch[T], nodes: list[_Node], meaning: tuple[T, tuple[bool, ...]], pattern: str
    ) -> None:
        if not nodes:
            same = branch.meaning is None or branch.meaning[0] is meaning[0]
            assert same, f"{pattern} could also mean {branch.meaning}"
            branch.meaning = branch.meaning or meaning
            return
        node = nodes[0]
        table = branch.suffixed if node.suffixed else branch.plain
        short, long = spellings(node.word)
        child = table.get(short) or table.get(long) or _Branch()
        for spelling in (short, long):
            assert table.setdefault(spelling, child) is child, f"{pattern}: {spelling} is two things"
        self._add_variant(child, nodes[1:], meaning, pattern)


def _find(branch: _Branch[T], path: tuple[str, ...]) -> tuple[tuple[T, tuple[bool, ...]], tuple[int, ...]] | None:
    """Follow the path; `SOUR` may be a plain node, or one whose suffix is left out. Depth is that of the deepest pattern."""
    if not path:
        return None if branch.meaning is None else (branch.meaning, ())
    plain = branch.plain.get(path[0])
    found = None if plain is None else _find(plain, path[1:])
    if found is not None:
        return found
    split = SUFFIXED.fullmatch(path[0])
    assert split is not None
    word, digits = split.groups()
    suffixed = branch.suffixed.get(word)
    found = None if suffixed is None else _find(suffixed, path[1:])
    if found is None:
        return None
    if len(digits) > SUFFIX_DIGITS_MAX:
        raise Refusal(-114, path[0])
    return found[0], (int(digits) if digits else DEFAULT_SUFFIX, *found[1])
