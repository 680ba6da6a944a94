"""The simulated trigger against exact rational arithmetic: when it comes, how many there were, how far it strays.

What the kernel makes of it is in test_external.py.
"""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.errors import ConfigError
from qrt.firmware_sim.plant import Plant
from qrt.firmware_sim.plant_config import AdcConfig, PlantConfig, QubitConfig

QUBIT = QubitConfig(5e9, 1e-5, 1e-5, 0.0, 1e8, 7e9, 1e7, -1e6, 1e8, 0.5)
ORIGIN_NS = 12_345_678_901


def plant(period_fs: int, jitter_ns: int = 0) -> Plant:
    adc = AdcConfig(1e-4, 1e-6)
    return Plant(PlantConfig((QUBIT,), (), adc, trigger_period_fs=period_fs, trigger_jitter_ns=jitter_ns))


def started(period_fs: int, jitter_ns: int = 0, seed: int = 1) -> Plant:
    one = plant(period_fs, jitter_ns)
    one.start(seed, 0.0)
    return one


def test_a_plant_without_a_trigger_has_none() -> None:
    assert not started(0).port().has_trigger
    assert started(10**9).port().has_trigger


@given(st.integers(10**9, 10**13), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_a_steady_trigger_is_counted_exactly(period_fs: int, elapsed: list[int]) -> None:
    port = started(period_fs).port()
    assert port.triggers(ORIGIN_NS) == (0, ORIGIN_NS)
    for ns in sorted(elapsed):
        count, last = port.triggers(ORIGIN_NS + ns)
        happened = Fraction((ns + 1) * 10**6 - 1, period_fs)  # one that comes within the nanosecond counts
        assert count == int(happened)
        assert last == (ORIGIN_NS + count * period_fs // 10**6)


@given(st.integers(2 * 10**9, 10**12), st.integers(0, 2**64 - 1), st.data())
def test_a_late_trigger_is_late_by_less_than_its_jitter_and_never_comes_twice(
    period_fs: int, seed: int, data: st.DataObject
) -> None:
    jitter_ns = data.draw(st.integers(0, period_fs // 10**6 // 2 - 1))
    port = started(period_fs, jitter_ns, seed).port()
    port.triggers(ORIGIN_NS)
    for number in range(1, 12):
        due_ns = ORIGIN_NS + number * period_fs // 10**6
        assert port.triggers(due_ns - 1)[0] == number - 1
        count, last = port.triggers(due_ns + jitter_ns)
        assert count == number
        assert due_ns <= last <= due_ns + jitter_ns
        if last > due_ns:
            assert port.triggers(last - 1)[0] == number - 1
        assert port.triggers(last) == (number, last)


def test_the_jitter_is_spread_evenly_and_is_its_seeds_own() -> None:
    def lateness(seed: int) -> list[int]:
        port = started(10**10, 999, seed).port()
        port.triggers(0)
        return [port.triggers(n * 10_000 + 999)[1] - n * 10_000 for n in range(1, 4001)]

    once = lateness(7)
    assert once == lateness(7)
    assert once != lateness(8)
    assert abs(sum(once) / 4000 - 499.5) < 4 * 1000 / (12 * 4000) ** 0.5  # 4 s.e.: fails by chance once in 16 000 seeds


def test_a_drifting_trigger_gains_nothing_by_rounding() -> None:
    period_fs = 7_000_000_000 + 350_003  # 7 us, longer by 50.0004 ppm
    port = started(period_fs).port()
    port.triggers(0)
    number = 10**9  # two hours
    due = number * period_fs // 10**6
    assert port.triggers(due) == (number, due)
    assert port.triggers(due - 1)[0] == number - 1


@pytest.mark.parametrize(("period_fs", "jitter_ns"), [(10**9 - 1, 0), (10**15 + 1, 0), (10**9, 500), (0, 1), (-1, 0)])
def test_a_trigger_that_cannot_be_is_refused(period_fs: int, jitter_ns: int) -> None:
    with pytest.raises(ConfigError, match="trigger_"):
        plant(period_fs, jitter_ns)
