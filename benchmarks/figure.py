"""A measured figure with its goal: what every benchmark returns, and how it is judged.

A figure is the median over repeats; `spread` holds the smallest and the largest. `floor_or_peer` is what was measured beside it, in the
same run, that the ratio is taken of: the machine's own floor, or another program. The goal holds for `figure`, or for `ratio` where
there is a floor or peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of results.json."""

    name: str
    figure: float
    unit: str
    goal: str
    floor_or_peer: str
    ratio: float | None  # figure / floor or peer
    met: bool
    spread: tuple[float, float]
    machine: str

    def row(self) -> dict[str, Any]:
        """Return the figure as JSON can hold it."""
        return asdict(self)


def at_least(name: str, repeats: Sequence[float], unit: str, goal: float) -> Figure:
    """Return a figure that must reach a goal."""
    figure = median(repeats)
    return Figure(name, figure, unit, f">= {goal:g}", "", None, figure >= goal, (min(repeats), max(repeats)), machine())


def at_most(name: str, repeats: Sequence[float], unit: str, goal: float) -> Figure:
    """Return a figure that must stay below a goal."""
    figure = median(repeats)
    return Figure(name, figure, unit, f"<= {goal:g}", "", None, figure <= goal, (min(repeats), max(repeats)), machine())


def against(
    name: str,
    pairs: Sequence[tuple[float, float]],
    unit: str,
    peer: str,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Figure:
    """Return a figure measured in pairs with its floor or peer, A/B/A/B; the ratio is the median of the pairs' ratios."""
    ratio = median(ours / theirs for ours, theirs in pairs)
    met = (least is None or ratio >= least) and (most is None or ratio <= most)
    bounds = [f">= {least:g}" if least is not None else "", f"<= {most:g}" if most is not None else ""]
    goal = " and ".join(filter(None, bounds)) + f" x {peer}"
    ours = [pair[0] for pair in pairs]
    beside = f"{peer}: {median(pair[1] for pair in pairs):.4g} {unit}"
    return Figure(name, median(ours), unit, goal, beside, ratio, met, (min(ours), max(ours)), machine())


def machine() -> str:
    """Return the processor's name and the number of its cores."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {max(len(names), 1)} cores"
