"""The proof of calibrations: a hundred seeds of four labs agree with the device, each number within what it says of itself.

The labs: the reference lab; ten times the noise; nominal values 3 MHz off, up and down; both (tests/calibrations). Each seed is a whole
`calibrate all` from design values, somewhat shortened, and its numbers are held against the truth in their own standard errors: 200
pulls for each, of two qubits. Printed is, for each number, the share within 1.96 standard errors, chi2 over its count, the mean pull in
units of what a mean of 200 scatters by, and the largest. A calibration that fails counts as a failure of the proof.

What is required of every number, up to 20 of them in each of four labs: a share of 95 % less what chance takes from it (1 in 10^4), a
chi2 below what chance adds (1 in 10^4), and of at least 0.36 of its count: bars may be 5/3 of what they need be, no more. A code without a
fault fails in 2 % of changes of the seeds.

By the same judge a hundred seeds of the reference lab with a coupler, from gates as on paper on: cz, its turns, and the Bell state that
it makes, eight numbers (tests/coupled_calibrations). There a code without a fault fails in 0.2 % of changes of the seeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.stats import binom, chi2

from tests.calibrations import LABS, Row, rows_of_lab, shorten
from tests.coupled_calibrations import rows_of_seed

SEEDS = 100
WITHIN = 1.959964  # standard errors, of 95 % of a normal law
CHANCE = 1e-4
CAUTION = 0.36  # of chi2: bars that are 5/3 too long; the readout's tone, a mean over possible tops, has 4/3


def pulls_of(
    rows_of: Callable[[int], list[Row]], seeds: range, begin: Callable[[], None] | None = None
) -> dict[str, np.ndarray]:
    """Return the pulls of every number over seeds and qubits; a process for each core takes seeds in turn, and calls `begin` before."""
    found: dict[str, list[float]] = {}
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn"), initializer=begin) as pool:
        for rows in pool.map(rows_of, seeds):
            for row in rows:
                found.setdefault(row.what, []).append(row.pull)
    return {what: np.array(pulls) for what, pulls in found.items()}


def table(lab: str, pulls: dict[str, np.ndarray]) -> str:
    """Return what was found, a line for each number."""
    lines = [f"{lab + ' lab':42s} {'count':>5s} {'within':>7s} {'chi2/n':>7s} {'mean':>6s} {'max':>5s}"]
    for what, away in pulls.items():
        within, mean = np.mean(np.abs(away) < WITHIN), away.mean() * len(away) ** 0.5
        lines.append(
            f"{what:42s} {len(away):5d} {within:7.1%} {np.mean(away**2):7.2f} {mean:+6.1f} {np.abs(away).max():5.1f}"
        )
    return "\n".join(lines)


def faults(pulls: dict[str, np.ndarray]) -> list[str]:
    """Return the numbers that do not agree as often as they say."""
    return [
        what
        for what, away in pulls.items()
        if np.sum(np.abs(away) < WITHIN) < binom.ppf(CHANCE, len(away), 0.95)
        or not CAUTION * len(away) < np.sum(away**2) < chi2.ppf(1.0 - CHANCE, len(away))
    ]


def test_the_judge_sees_bars_that_are_too_small_too_large_and_numbers_that_are_biased():
    rng = np.random.default_rng(3)
    right = rng.normal(size=200)
    pulls = {"right": right, "small bars": 1.3 * right, "large bars": 0.5 * right, "biased": right + 0.8}
    assert faults(pulls) == ["small bars", "large bars", "biased"]


@pytest.mark.prove
@pytest.mark.parametrize("lab", LABS)
def test_a_hundred_seeds_agree_within_their_stated_uncertainty(lab, capsys):
    pulls = pulls_of(partial(rows_of_lab, lab), range(1000, 1000 + SEEDS), shorten)
    with capsys.disabled():
        print(f"\n{table(lab, pulls)}")
    assert {len(away) for away in pulls.values()} == {2 * SEEDS}
    assert not faults(pulls)


@pytest.mark.prove
def test_a_hundred_seeds_of_a_coupler_agree_within_their_stated_uncertainty(capsys):
    pulls = pulls_of(rows_of_seed, range(2000, 2000 + SEEDS))
    with capsys.disabled():
        print(f"\n{table('coupled', pulls)}")
    assert {len(away) for away in pulls.values()} == {SEEDS}
    assert not faults(pulls)
