"""Which accesses to a bit are certainly before which: vector clocks over the sequencers of a shot.

Sequencers run side by side and share bits. Without a sync between them, whether one reads a bit before or after another writes it
would depend on ticks that a changed pulse length moves. So every pair of accesses of which one writes must be ordered: by being on the
same sequencer, or by a sync in between. `access` tells with whom a sequencer is not in order yet; who compiles inserts a sync there,
who checks refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Order:
    """Counts each sequencer's accesses; `seen[a][b]` is how many of b's are certainly before a's next."""

    def __init__(self, sequencers: Iterable[str]) -> None:
        self._seen: dict[str, dict[str, int]] = {name: {} for name in sequencers}
        self._reads: dict[int, dict[str, int]] = {}  # bit -> sequencer -> its count at the last read
        self._writes: dict[int, dict[str, int]] = {}

    def conflicts(self, sequencer: str, bit: int, *, write: bool) -> set[str]:
        """Return the sequencers whose accesses to the bit are not ordered with an access by this one now."""
        others = dict(self._writes.get(bit, {}))
        if write:
            for name, count in self._reads.get(bit, {}).items():
                others[name] = max(count, others.get(name, 0))
        seen = self._seen[sequencer]
        return {name for name, count in others.items() if name != sequencer and seen.get(name, 0) < count}

    def access(self, sequencer: str, bit: int, *, write: bool) -> None:
        """Note that the sequencer reads or writes the bit."""
        count = self._seen[sequencer].get(sequencer, 0) + 1
        self._seen[sequencer][sequencer] = count
        (self._writes if write else self._reads).setdefault(bit, {})[sequencer] = count

    def sync(self, sequencers: Iterable[str]) -> None:
        """Note that the sequencers went on together: each has seen what any of them had."""
        group = list(sequencers)
        merged: dict[str, int] = {}
        for name in group:
            for other, count in self._seen[name].items():
                merged[other] = max(count, merged.get(other, 0))
        for name in group:
            self._seen[name] = dict(merged)

    def copy(self) -> Order:
        """Return an independent copy, for one side of a branch."""
        other = Order(())
        other._seen = {name: dict(seen) for name, seen in self._seen.items()}
        other._reads = {bit: dict(counts) for bit, counts in self._reads.items()}
        other._writes = {bit: dict(counts) for bit, counts in self._writes.items()}
        return other

    def joined(self, other: Order) -> Order:
        """Return the order after a branch of which either side was taken: in order only if both sides say so."""
        result = Order(())
        for name, mine_seen in self._seen.items():
            theirs_seen = other._seen[name]
            result._seen[name] = {}
            for key in mine_seen.keys() | theirs_seen.keys():
                left, right = mine_seen.get(key, 0), theirs_seen.get(key, 0)
                everything = left == self._seen[key].get(key, 0) and right == other._seen[key].get(key, 0)
                result._seen[name][key] = max(left, right) if everything else min(left, right)
        result._reads = _latest(self._reads, other._reads)
        result._writes = _latest(self._writes, other._writes)
        return result


def _latest(one: Mapping[int, Mapping[str, int]], other: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    """Return for each bit and sequencer the later of two accesses."""
    latest: dict[int, dict[str, int]] = {}
    for bit in one.keys() | other.keys():
        left, right = one.get(bit, {}), other.get(bit, {})
        latest[bit] = {name: max(left.get(name, 0), right.get(name, 0)) for name in left.keys() | right.keys()}
    return latest
