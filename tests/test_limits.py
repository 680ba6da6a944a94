"""What plays on one line at once: the two ways of saying so, against every way through the branches."""

import itertools

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from qrt.timeline.limits import Interval, in_turn, most_together
from qrt.timeline.ticks import Still, Ticks
from qrt.types import NOWHERE

AMPLITUDE, BRANCHES_MAX = 0.7, 9
# A block: plays as (distance from the cursor, which may be negative, and length), and branches with two blocks.
PLAY = st.tuples(st.integers(-1, 2), st.integers(1, 3))
BLOCK = st.recursive(
    st.lists(PLAY, max_size=3), lambda inner: st.lists(PLAY | st.tuples(inner, inner, st.booleans()), max_size=4)
)


def intervals_of(block, cursor, sides, numbers):
    """The intervals of a block in the order of its program, and the cursor behind it, as a sequencer moves it."""
    found = []
    for item in block:
        if isinstance(item[0], int):
            tick = max(cursor + item[0], 0)
            cursor = tick + item[1]
            found.append(Interval(tick, cursor, sides, AMPLITUDE, NOWHERE))
            continue
        number, ends = next(numbers), []
        for side, inner in enumerate(item[:2]):
            plays, end = intervals_of(inner, cursor, (*sides, (number, side)), numbers)
            found += plays
            ends.append(end)
        cursor = max(ends) if item[2] else min(ends)
    return found, cursor


def branches_of(intervals):
    return sorted({number for one in intervals for number, _ in one.sides})


def most_on_any_way(intervals):
    """The most that is open when each interval starts, itself included: a look at each way, one after another."""
    numbers = branches_of(intervals)
    most = [0.0] * len(intervals)
    for chosen in itertools.product((0, 1), repeat=len(numbers)):
        way = dict(zip(numbers, chosen, strict=True))
        there = [k for k, one in enumerate(intervals) if all(way[number] == side for number, side in one.sides)]
        for k in there:
            one = intervals[k]
            before = [j for j in there if (intervals[j].tick, intervals[j].end, j) <= (one.tick, one.end, k)]
            most[k] = max(most[k], AMPLITUDE * sum(intervals[j].end > one.tick for j in before))
    return most


@given(BLOCK)
def test_what_can_be_together_is_the_most_of_all_ways(block):
    intervals, _ = intervals_of(block, 0, (), iter(range(1000)))
    if len(branches_of(intervals)) > BRANCHES_MAX:
        return
    found = most_together(Ticks(Still()), intervals, [AMPLITUDE] * len(intervals))
    ordered = sorted(range(len(intervals)), key=lambda k: (intervals[k].tick, intervals[k].end))
    expected = most_on_any_way(intervals)
    assert [most for _, most in found] == pytest.approx([expected[k] for k in ordered])


def test_sides_may_lie_as_deep_as_a_program_of_many_alternatives():
    sides = [((*((k, 1) for k in range(index)), (index, 0))) for index in range(2000)]
    intervals = [Interval(0, 10, one, AMPLITUDE, NOWHERE) for one in sides]
    assert {most for _, most in most_together(Ticks(Still()), intervals, [AMPLITUDE] * 2000)} == {AMPLITUDE}
    assert in_turn(intervals)


@given(BLOCK)
def test_what_is_in_turn_has_no_two_plays_at_once_on_any_way(block):
    intervals, _ = intervals_of(block, 0, (), iter(range(1000)))
    found = most_together(Ticks(Still()), intervals, [AMPLITUDE] * len(intervals))
    together = any(most > AMPLITUDE * 1.5 for _, most in found)
    event(f"together: {together}, in turn: {in_turn(intervals)}")
    if together:
        assert not in_turn(intervals)
    elif joins_late(block) and all(distance >= 0 for distance, _ in plays_of(block)):
        assert in_turn(intervals)  # every play begins at its cursor or later: it is seen


def plays_of(block):
    """All plays in a block and in what is inside it."""
    for item in block:
        if isinstance(item[0], int):
            yield item
        else:
            for inner in item[:2]:
                yield from plays_of(inner)


def joins_late(block):
    """Whether the sides of every branch meet at the later of their ends."""
    return all(item[2] and all(map(joins_late, item[:2])) for item in block if not isinstance(item[0], int))
