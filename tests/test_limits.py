"""What plays on one line at once: the quick way of saying that nothing does, against all pairs of intervals."""

from hypothesis import event, given
from hypothesis import strategies as st

from qrt.timeline.limits import Interval, _in_turn, _overlaps
from qrt.timeline.ticks import Still, Ticks
from qrt.types import NOWHERE

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
            found.append(Interval(tick, cursor, sides, 0.7, NOWHERE))
            continue
        number, ends = next(numbers), []
        for side, inner in enumerate(item[:2]):
            plays, end = intervals_of(inner, cursor, (*sides, (number, side)), numbers)
            found += plays
            ends.append(end)
        cursor = max(ends) if item[2] else min(ends)
    return found, cursor


@given(BLOCK)
def test_what_is_in_turn_has_no_two_plays_at_once_on_any_way(block):
    intervals, _ = intervals_of(block, 0, (), iter(range(1000)))
    together = any(others for _, others in _overlaps(Ticks(Still()), intervals))
    in_turn = _in_turn(intervals)
    event(f"together: {together}, in turn: {in_turn}")
    if together:
        assert not in_turn
    elif joins_late(block) and all(distance >= 0 for distance, _ in plays_of(block)):
        assert in_turn  # every play begins at its cursor or later: it is seen


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
