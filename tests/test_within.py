"""The error bar of all points of a sweep together: shots scatter around the mean of their own point, and nothing else is noise.

Truth: made outcomes of known expectation at each point, whose mean's variance has a closed form: for independent shots
sum_p (n_p / N)^2 (1 - z_p^2) / n_p. Pulls over 400 sweeps: their sum of squares is chi^2 with 400 degrees of freedom, and leaves the range
below in 1 of 1000 sittings; seeds are fixed.
"""

import itertools

import numpy as np
import pytest

from qrt.axes import Grid
from qrt.grids import grid_of
from qrt.kernel import row_dtype
from qrt.observables import Observables
from qrt.points import sums_of
from qrt.qasm import parse_program
from qrt.readout.estimate import add_sums, combine, no_sums, tables
from qrt.within import PointSums

WATCHED = Observables(("c",), ("q0",), (0,), ((0,),), ())
PROGRAM = parse_program("input float x; qubit q; x q;", "p")
SWEEPS = 400
CHI2 = (312.0, 499.0)  # scipy.stats.chi2.ppf([5e-4, 1 - 5e-4], 400), outwards
BATCH = 300  # begins and ends inside points


def grid_with(points: int, order: str, each: int, averages: int = 1) -> Grid:
    values = ", ".join(map(str, range(points)))
    found = grid_of([f"x=values({values})"], PROGRAM, {}, order, each)
    return Grid(found.axes, order, found.shots_per_point, averages)


def estimated(bits, grid, qubits, flags=None, batch=BATCH):
    """Return the estimate of all these shots, batch by batch as a run makes it."""
    rows = np.zeros(len(bits), row_dtype(1))
    rows["bits"], rows["flags"] = bits, 0 if flags is None else flags
    factors = tables(WATCHED.bit_qubits, qubits)
    points, total = PointSums(grid, WATCHED, factors, batch), no_sums(WATCHED.terms)
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        points.add(part)
        total = add_sums(total, sums_of(part["bits"].astype(np.uint64), part["flags"] == 0, WATCHED, factors)._asdict())
    (one,) = combine(total, WATCHED.terms, WATCHED.bit_names, WATCHED.bit_qubits, qubits, within=points.within())
    return one


def point_of(shots, grid):
    each = grid.shots_per_point if grid.order == "point" else 1
    return np.arange(shots) // each % grid.points


def outcomes(rng, z, keep=0.0):
    """Return outcomes whose Z has these means; the uniform number that decides one decides the next, too, with this probability."""
    new = rng.random(len(z)) >= keep
    new[0] = True
    drawn = rng.random(len(z))[np.maximum.accumulate(np.where(new, np.arange(len(z)), 0))]
    return (drawn > (1 + z) / 2).astype(np.uint64)


@pytest.mark.parametrize(
    ("order", "averages", "keep"),
    [*itertools.product(["point", "shot"], [1, 3], [0.0]), ("point", 1, 0.6), ("shot", 1, 0.6)],
)
def test_pulls_of_all_points_together(order, averages, keep, rng, demo_calibration):
    grid = grid_with(7, order, 140, averages)
    means = np.cos(np.arange(7) * 0.6)
    z = means[point_of(grid.shots, grid)]
    pulls = []
    for _ in range(SWEEPS):
        one = estimated(outcomes(rng, z, keep), grid, demo_calibration.qubits)
        pulls.append((one.raw - means.mean()) / one.raw_stderr)
    found = np.sum(np.square(pulls))
    print(f"chi2/n {found / SWEEPS:.3f}")
    assert CHI2[0] < found < CHI2[1]


@pytest.mark.parametrize(("order", "erased"), list(itertools.product(["point", "shot"], [0.0, 0.3])))
def test_the_bar_is_that_of_independent_binomial_points(order, erased, rng, demo_calibration):
    grid = grid_with(5, order, 4000)
    means = np.array([-0.9, -0.3, 0.0, 0.5, 0.95])
    point = point_of(grid.shots, grid)
    flags = rng.random(grid.shots) < erased * point / 4  # more and more of them, unequal counts
    one = estimated(outcomes(rng, means[point]), grid, demo_calibration.qubits, flags)
    kept = np.bincount(point[~flags])
    expected = np.sum(kept * (1 - means**2)) ** 0.5 / kept.sum()
    assert one.raw_stderr == pytest.approx(expected, rel=0.02)
    assert one.raw == pytest.approx(np.sum(kept * means) / kept.sum(), abs=4 * expected)


def test_legs_are_points_too(rng, demo_calibration):
    """What an adaptive sweep plays: a point a leg, of few shots each."""
    grid = Grid((), "point", 50)
    means = np.cos(np.arange(40))
    bits = outcomes(rng, np.repeat(means, 50))
    one = estimated(bits, grid, demo_calibration.qubits, batch=130)
    assert one.raw_stderr == pytest.approx(np.mean(1 - means**2) ** 0.5 / 2000**0.5, rel=0.1)


def test_errors_of_the_calibration_are_common_to_all_points(rng, demo_calibration):
    grid, alone = grid_with(10, "point", 400), grid_with(1, "point", 4000)
    bits = outcomes(rng, np.zeros(4000))
    swept, plain = (estimated(bits, one, demo_calibration.qubits) for one in (grid, alone))
    assert swept.value == plain.value
    assert swept.stderr.calibration == plain.stderr.calibration
    assert swept.stderr.preparation == plain.stderr.preparation


def test_a_single_shot_at_each_point_has_the_whole_spread(rng, demo_calibration):
    grid = grid_with(500, "point", 1)
    bits = outcomes(rng, np.linspace(-1, 1, 500))
    one = estimated(bits, grid, demo_calibration.qubits)
    assert one.raw_stderr == pytest.approx(((1 - one.raw**2) / 499) ** 0.5)


def test_points_that_all_agree_leave_what_each_leaves_open(demo_calibration):
    grid = grid_with(2, "point", 100)
    one = estimated(np.repeat(np.array([0, 1], np.uint64), 100), grid, demo_calibration.qubits)
    each = 4 * 101 / (102**2 * 103)  # of a point, Beta(101, 1), signs 2 apart
    assert one.raw_stderr == pytest.approx((2 * each / 4) ** 0.5)
