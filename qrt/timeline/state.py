"""Where a path of the shot stands: the instants of its cursors and outcomes, the order of accesses to bits, the readout tones so far.

A branch is walked with a copy of the state on either side, and `join` makes one of them again. Ticks are the graph's.
"""

from __future__ import annotations

from collections.abc import Iterable

from qrt.timeline.graph import Edge, Graph
from qrt.timeline.order import Order
from qrt.timeline.ticks import Tick, gap


class State:
    """One path, or what holds on any of several."""

    def __init__(self, sequencers: Iterable[str], graph: Graph) -> None:
        names = tuple(sequencers)
        self.graph = graph
        self.cursors = dict(zip(names, graph.split(0, len(names)), strict=True))  # instants
        self.ready: dict[int, int] = {}  # bit -> instant from which it can be read, on the latest path
        self.unsure: set[int] = set()  # bits that can be read earlier on another path
        self.tones: dict[str, int | None] = {}  # readout frame -> tones so far, None if that depends on the path
        self.order = Order(names)

    def cursor(self, name: str) -> Tick:
        """Return the tick of a sequencer's cursor."""
        return self.graph.at[self.cursors[name]]

    def ready_tick(self, bit: int) -> Tick:
        """Return the tick from which a bit can be read."""
        return self.graph.at[self.ready[bit]] if bit in self.ready else 0

    def copy(self) -> State:
        """Return an independent copy, whose cursors can be delayed alone."""
        other = State((), self.graph)
        other.cursors = {name: self.graph.add(Edge(instant)) for name, instant in self.cursors.items()}
        other.ready, other.unsure, other.tones = dict(self.ready), set(self.unsure), dict(self.tones)
        other.order = self.order.copy()
        return other

    def join(self, then: State, otherwise: State) -> None:
        """Become what holds on either side."""
        self.cursors = {
            name: self.graph.add(Edge(instant), Edge(otherwise.cursors[name])) for name, instant in then.cursors.items()
        }
        bits = sorted(then.ready.keys() | otherwise.ready.keys())
        differ = {bit for bit in bits if gap(then.ready_tick(bit), otherwise.ready_tick(bit)) != 0}
        self.unsure = then.unsure | otherwise.unsure | differ
        self.ready = {
            bit: self.graph.add(*(Edge(one.ready[bit]) for one in (then, otherwise) if bit in one.ready))
            for bit in bits
        }
        frames = then.tones.keys() | otherwise.tones.keys()
        counts = {frame: (then.tones.get(frame, 0), otherwise.tones.get(frame, 0)) for frame in frames}
        self.tones = {frame: left if left == right else None for frame, (left, right) in counts.items()}
        self.order = then.order.joined(otherwise.order)
