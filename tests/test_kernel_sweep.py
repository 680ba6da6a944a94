"""Sweeps: exact at every point, in either order, the same in the kernel's rows; what is no sweep is refused."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt import kernel
from qrt.errors import BugError
from qrt.kernel import Order, Rule, Sweep, sweep_slots

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def affine(start, stop, k, count):
    """Python's round of an exact fraction: to the nearest, ties to even."""
    return start if count == 1 else round(Fraction(start * (count - 1 - k) + stop * k, count - 1))


@st.composite
def sweeps(draw):
    points = draw(st.lists(st.one_of(st.integers(1, 7), st.integers(1, 31)), min_size=1, max_size=8))
    table = draw(st.lists(INT64, min_size=31, max_size=40))
    slots = []
    for _ in range(draw(st.integers(0, 6))):
        axis = draw(st.integers(0, len(points) - 1))
        if draw(st.booleans()):
            slots.append((draw(st.integers(0, 3)), 0, 0, Rule.EPOCH))
        elif draw(st.booleans()):
            slots.append((draw(st.integers(0, len(table) - points[axis])), 0, axis, Rule.TABLE))
        else:
            slots.append((draw(INT64), draw(INT64), axis, Rule.AFFINE))
    table, slots = np.array(table, np.int64), np.array(slots, kernel.SLOT_DTYPE)
    return Sweep(tuple(points), slots, table, draw(st.sampled_from(Order)), draw(st.integers(1, 5)))


SHOTS = st.lists(st.one_of(st.integers(0, 100), st.integers(0, (1 << 63) - 1)), min_size=1, max_size=20)


@given(sweeps(), SHOTS, st.lists(INT64, min_size=4, max_size=4))
def test_slots_are_what_exact_fractions_give(sweep, shots, values):
    points = int(np.prod([int(n) for n in sweep.points], dtype=object))
    expected = []
    for shot in shots:
        point = (shot // sweep.shots_per_point if sweep.order == Order.POINT else shot) % points
        at = []
        for count in reversed(sweep.points):
            at.insert(0, point % count)
            point //= count
        row = []
        for start, stop, axis, rule in sweep.slots.tolist():
            k = at[axis]
            if rule == Rule.EPOCH:
                row.append(values[start])
            else:
                row.append(int(sweep.table[start + k]) if rule else affine(start, stop, k, sweep.points[axis]))
        expected.append(row)
    assert sweep_slots(sweep, np.array(shots, np.int64), np.array(values)).tolist() == expected


def test_the_grid_is_the_product_of_the_axes_the_last_fastest():
    slots = np.array([(0, 2, 0, 0), (10, 11, 1, 0), (20, 21, 1, 0)], kernel.SLOT_DTYPE)
    grid = [[a, b, b + 10] for a, b in product((0, 1, 2), (10, 11))]
    assert sweep_slots(Sweep((3, 2), slots, order=Order.SHOT), np.arange(12)).tolist() == grid * 2
    by_point = sweep_slots(Sweep((3, 2), slots, shots_per_point=4), np.arange(48))
    assert by_point.tolist() == [row for row in grid * 2 for _ in range(4)]


def test_ties_go_to_even_and_the_ends_are_exact():
    low, high = -(1 << 63), (1 << 63) - 1
    ranges = [(0, 1), (-1, 0), (-3, 0), (low, high), (high, low)]
    slots = np.array([(*ends, 0, 0) for ends in ranges], kernel.SLOT_DTYPE)
    assert sweep_slots(Sweep((3,), slots, order=Order.SHOT), np.arange(3)).tolist() == [
        [0, -1, -3, low, high],
        [0, 0, -2, 0, 0],
        [1, 0, 0, high, low],
    ]
    many = np.array([(low, high, 0, 0)], kernel.SLOT_DTYPE)
    ends = np.array([0, (1 << 40) - 1])
    assert sweep_slots(Sweep((1 << 40,), many, order=Order.SHOT), ends).tolist() == [[low], [high]]


SLOT = [(0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("points", "slots", "table", "shots_per_point"),
    [
        ((), SLOT, (), 1),
        ((3,), [(0, 0, 1, 0)], (), 1),
        ((3,), [(0, 0, 0, 3)], (), 1),
        ((3,), [(0, 0, 0, 2)], (), 1),
        ((3, 3), [(0, 0, 1, 2)], (), 1),
        ((3,), [(0, 1, 0, 2)], (), 1),
        ((3,), [(64, 0, 0, 2)], (), 1),
        ((3,), [(-1, 0, 0, 2)], (), 1),
        ((3,), [(0, 0, 0, 1)], (1, 2), 1),
        ((3,), [(1, 0, 0, 1)], (1, 2, 3), 1),
        ((3,), [(-1, 0, 0, 1)], (1, 2, 3), 1),
        ((3,), [(0, 1, 0, 1)], (1, 2, 3), 1),
        ((0,), SLOT, (), 1),
        ((-1,), SLOT, (), 1),
        ((3,), SLOT, (), 0),
        ((1 << 20, (1 << 20) + 1), SLOT, (), 1),
        ((1 << 62, 1 << 62), SLOT, (), 1),
        ((2,) * 9, SLOT, (), 1),
        ((3,), SLOT * 65, (), 1),
    ],
)
def test_what_is_no_sweep_is_refused(points, slots, table, shots_per_point):
    sweep = Sweep(points, np.array(slots, kernel.SLOT_DTYPE), np.array(table, np.int64), Order.POINT, shots_per_point)
    with pytest.raises(BugError, match="sweep"):
        sweep_slots(sweep, np.arange(2))
