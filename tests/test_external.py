"""External pacing on the demo lab: the hardware's trigger owns the shots, and the trace is the one of any other clock.

Which triggers release which shot is tested in ffi/test_core_external.c, when the simulated one comes in test_trigger.py.
"""

import msgspec
import numpy as np
import pytest

from qrt.errors import ConfigError, RunError
from qrt.replay import replay
from qrt.store import bound_hash

PERIOD_NS = 5_000_000.0  # a busy machine may stall for less than this
CALM_NS = 1e9


def with_trigger(lab, trigger, tolerance_ns=CALM_NS, policy="skip"):
    parameters = {key: value for key, value in lab.twin.parameters.items() if key != "trigger"}
    parameters |= {} if trigger is None else {"trigger": trigger}
    timing = msgspec.structs.replace(lab.timing, late_tolerance_ns=tolerance_ns, late_policy=policy)
    return msgspec.structs.replace(lab, twin=msgspec.structs.replace(lab.twin, parameters=parameters), timing=timing)


@pytest.fixture
def on(play, demo_calibration):
    """Return `play` on a lab that differs from the demo's in its trigger, with the same calibration."""

    def run(lab, **given):
        return play(lab=lab, calibration=msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab)), **given)

    return run


@pytest.mark.parametrize("trigger", [{}, {"drift_ppm": 900.0, "jitter_ns": 50_000.0}, {"drift_ppm": -900.0}])
def test_the_trace_is_that_of_virtual_time(on, demo_lab, trigger):
    lab = with_trigger(demo_lab, trigger)
    external = on(lab, shots=60, pacing="external", period_ns=PERIOD_NS)
    assert external.summary.misses == 0
    assert external.summary.digest == on(lab, shots=60, period_ns=PERIOD_NS).summary.digest
    assert external.record.start["clock"] == "external"
    assert replay(external.folder).same


def test_lateness_is_after_the_trigger_and_never_before(on, demo_lab):
    """A shot is released by the question that saw its trigger: in no run of 60 would it be late by a period, or early at all."""
    lab = with_trigger(demo_lab, {"drift_ppm": 1000.0, "jitter_ns": 2_000_000.0})
    result = on(lab, shots=60, pacing="external", period_ns=PERIOD_NS)
    lateness = np.fromfile(result.folder / "lateness.bin", "<i8")
    assert len(lateness) == 60
    assert (lateness >= 0).all()
    assert np.median(lateness) < PERIOD_NS


def test_triggers_that_passed_are_misses_and_repeat(on, demo_lab):
    """With a trigger every 20 µs and no tolerance to speak of some shots are missed on any machine, and more on a busy one."""
    lab = with_trigger(demo_lab, {"drift_ppm": 50.0, "jitter_ns": 500.0}, tolerance_ns=100.0)
    result = on(lab, shots=3000, pacing="external", period_ns=20_000.0)
    rows = result.record.rows
    assert np.array_equal(rows["tick"], np.arange(3000) * 20_000)
    skipped = rows["flags"] == 1
    assert sum(miss["skipped_count"] for miss in result.record.misses) == skipped.sum() > 0
    assert {miss["class"] for miss in result.record.misses} == {"late_release"}
    for miss in result.record.misses:
        assert skipped[miss["shot"] : miss["shot"] + miss["skipped_count"]].all()
    assert replay(result.folder).same


def test_a_miss_may_end_the_run(on, demo_lab):
    lab = with_trigger(demo_lab, {}, tolerance_ns=0.0, policy="abort")
    with pytest.raises(RunError, match=r"missed its release"):
        on(lab, shots=3000, pacing="external", period_ns=10_000.0)


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        (None, r"timing\.pacing: 'external' needs a trigger"),
        ({"jitter_ns": 3500.0}, r"trigger\.jitter_ns: 3500 is not a whole number of ns below half"),
        ({"jitter_ns": 1.5}, r"trigger\.jitter_ns: 1\.5 is not a whole number"),
        ({"drift_ppm": 1001.0}, r"drift_ppm"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_opened(on, demo_lab, trigger, said):
    with pytest.raises(ConfigError, match=said):
        on(with_trigger(demo_lab, trigger), shots=10, pacing="external")


def test_a_trigger_every_two_seconds_is_refused(on, demo_lab):
    with pytest.raises(ConfigError, match=r"a trigger comes every 1000 to 1e\+09 ns, not every 2e\+09"):
        on(with_trigger(demo_lab, {}), shots=10, pacing="external", period_ns=2e9)
