"""A measured figure with its goal: what every benchmark returns, and how it is judged.

A figure is the median over repeats; `spread` holds the smallest and the largest. `floor_or_peer` is what was measured beside it, in the
same run, that the ratio is taken of: the machine's own floor, or another program. The goal holds for `figure`, or for `ratio` where
there is a floor or peer; `interval` is of the same, 95 %, by drawing the repeats anew with replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RESAMPLES = 2000
SEED = 20261122


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
    interval: tuple[float, float]
    machine: str

    def row(self) -> dict[str, Any]:
        """Return the figure as JSON can hold it."""
        return asdict(self)


def at_least(name: str, repeats: Sequence[float], unit: str, goal: float) -> Figure:
    """Return a figure that must reach a goal."""
    figure = median(repeats)
    return Figure(name, figure, unit, f">= {goal:g}", "", None, figure >= goal, *_scatter(repeats), machine())


def at_most(name: str, repeats: Sequence[float], unit: str, goal: float) -> Figure:
    """Return a figure that must stay below a goal."""
    figure = median(repeats)
    return Figure(name, figure, unit, f"<= {goal:g}", "", None, figure <= goal, *_scatter(repeats), machine())


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
    ratios = [ours / theirs for ours, theirs in pairs]
    ratio = median(ratios)
    met = (least is None or ratio >= least) and (most is None or ratio <= most)
    bounds = [f">= {least:g}" if least is not None else "", f"<= {most:g}" if most is not None else ""]
    goal = " and ".join(filter(None, bounds)) + f" x {peer}"
    ours = [pair[0] for pair in pairs]
    beside = f"{peer}: {median(pair[1] for pair in pairs):.4g} {unit}"
    return Figure(
        name, median(ours), unit, goal, beside, ratio, met, (min(ours), max(ours)), interval_of(ratios), machine()
    )


def interval_of(repeats: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    return bootstrap(len(repeats), lambda chosen: median(repeats[index] for index in chosen))


def bootstrap(count: int, statistic: Callable[[Sequence[int]], float]) -> tuple[float, float]:
    """Return the 95 % interval of a statistic of `count` repeats, given as a function of the indices of those chosen."""
    rng = np.random.default_rng(SEED)
    resampled = [statistic(rng.integers(count, size=count).tolist()) for _ in range(RESAMPLES)]
    low, high = np.quantile(resampled, (0.025, 0.975))
    return float(low), float(high)


def _scatter(repeats: Sequence[float]) -> tuple[tuple[float, float], tuple[float, float]]:
    return (min(repeats), max(repeats)), interval_of(repeats)


def machine() -> str:
    """Return the processor's name and the number of its cores."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {max(len(names), 1)} cores"
