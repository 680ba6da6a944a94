"""Which accesses to a bit are certainly before which: vector clocks over the sequencers of a shot.

Sequencers run side by side and share bits. Without a sync between them, whether one reads a bit before or after another writes it
would depend on ticks that a changed pulse length moves. So every pair of accesses of which one writes must be ordered: by being on the
same sequencer, or by a sync in between. `access` tells with whom a sequencer is not in order yet; who compiles inserts a sync there,
who checks refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

NONE: Final[Mapping[str, int]] = {}


class Order:
    """Counts each sequencer's accesses; `seen[a][b]` is how many of b's are certainly before a's next.

    Inner tables are never changed but replaced, so that copies share them, and what is one object on both sides of a branch is the same.
    """

    def __init__(self, sequencers: Iterable[str]) -> None:
        self._seen: dict[str, Mapping[str, int]] = dict.fromkeys(sequencers, NONE)
        self._reads: dict[int, Mapping[str, int]] = {}  # bit -> sequencer -> its count at the last read
        self._writes: dict[int, Mapping[str, int]] = {}

    def conflicts(self, sequencer: str, bit: int, *, write: bool) -> set[str]:
        """Return the sequencers whose accesses to the bit are not ordered with an access by this one now."""
        others, seen = self._writes.get(bit, NONE), self._seen[sequencer]
        if write:
            others = _later(others, self._reads.get(bit, NONE))
        return {name for name, count in others.items() if name != sequencer and seen.get(name, 0) < count}

    def access(self, sequencer: str, bit: int, *, write: bool) -> None:
        """Note that the sequencer reads or writes the bit."""
        count = self._seen[sequencer].get(sequencer, 0) + 1
        self._seen[sequencer] = {**self._seen[sequencer], sequencer: count}
        table = self._writes if write else self._reads
        table[bit] = {**table.get(bit, NONE), sequencer: count}

    def sync(self, sequencers: Iterable[str]) -> None:
        """Note that the sequencers went on together: each has seen what any of them had."""
        group, merged = list(sequencers), NONE
        for name in group:
            merged = _later(merged, self._seen[name])
        self._seen |= dict.fromkeys(group, merged)

    def copy(self) -> Order:
        """Return an independent copy, for one side of a branch."""
        other = Order(())
        other._seen, other._reads, other._writes = dict(self._seen), dict(self._reads), dict(self._writes)
        return other

    def joined(self, other: Order) -> Order:
        """Return the order after a branch of which either side was taken: in order only if both sides say so."""
        result = Order(())
        for name, mine in self._seen.items():
            theirs, seen = other._seen[name], dict[str, int]()
            result._seen[name] = mine if mine is theirs else seen
            for key in () if mine is theirs else mine.keys() | theirs.keys():
                left, right = mine.get(key, 0), theirs.get(key, 0)
                everything = left == self._seen[key].get(key, 0) and right == other._seen[key].get(key, 0)
                seen[key] = max(left, right) if everything else min(left, right)
        result._reads = _latest(self._reads, other._reads)
        result._writes = _latest(self._writes, other._writes)
        return result


def _latest(
    one: Mapping[int, Mapping[str, int]], other: Mapping[int, Mapping[str, int]]
) -> dict[int, Mapping[str, int]]:
    """Return for each bit and sequencer the later of two accesses."""
    return {bit: _later(one.get(bit, NONE), other.get(bit, NONE)) for bit in one.keys() | other.keys()}


def _later(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    """Return for each sequencer the larger of two counts."""
    if one is other or not other:
        return one
    if not one:
        return other
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in one.keys() | other.keys()}
