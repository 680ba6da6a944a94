"""The preflight: what to ask is a rule, what holds is judged from what was read back, and nothing of it stays."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace

import pytest

from qrt import kernel, preflight
from qrt.kernel import ThreadAsked, ThreadFound
from qrt.preflight import Machine, Plan

GOOD = Machine(
    cores=(0, 1, 2, 3),
    isolated=(2, 3),
    locked_bytes=-1,
    priority_max=99,
    bandwidth=(950_000, 1_000_000),
    clock_source="tsc",
    latency_us=0,
    latency_writable=True,
    steal_ticks=0,
    ticks=1000,
)
ASKED = Plan(ThreadAsked(cores=(3,), priority=49), 900, 1 << 26)
FOUND = ThreadFound((3,), 0, os.SCHED_FIFO, 49, 0, 0, 0)
NAMES = [
    "locked memory",
    "real-time priority",
    "core",
    "timer slack",
    "sleep states",
    "real-time bandwidth",
    "clock source",
    "host steal",
]


def missing(machine=GOOD, asked=ASKED, found=FOUND, **known):
    properties = preflight.judge(machine, asked, found, **known)
    assert [one.name for one in properties] == NAMES
    assert all(bool(one.cost) == bool(one.fix) == (not one.holds) for one in properties)
    return [one.name for one in properties if not one.holds]


def test_a_good_machine_gives_everything():
    assert missing() == []
    assert missing(locked=True) == []


@pytest.mark.parametrize(
    ("name", "machine", "found", "known"),
    [
        ("locked memory", {"locked_bytes": 1 << 16}, {}, {}),
        ("locked memory", {}, {}, {"locked": False}),
        ("real-time priority", {}, {"policy": os.SCHED_OTHER, "priority": 0, "priority_error": 1}, {}),
        ("real-time priority", {}, {"priority": 48}, {}),
        ("core", {}, {"cores": (1, 3)}, {}),
        ("core", {"isolated": ()}, {}, {}),
        ("timer slack", {}, {"slack_ns": 50_000}, {}),
        ("timer slack", {}, {"slack_ns": -1}, {}),
        ("sleep states", {"latency_us": 2000}, {}, {}),
        ("sleep states", {"latency_us": None, "latency_writable": False}, {}, {"held": False}),
        ("real-time bandwidth", {"bandwidth": (900_000, 1_000_000)}, {}, {}),
        ("clock source", {"clock_source": "hpet"}, {}, {}),
        ("host steal", {"steal_ticks": 1}, {}, {}),
    ],
)
def test_each_property_that_does_not_hold_is_named(name, machine, found, known):
    assert missing(replace(GOOD, **machine), ASKED, replace(FOUND, **found), **known) == [name]


def test_what_holds_only_when_asked():
    assert missing(replace(GOOD, latency_us=2000), held=False) == []  # it could be had
    assert missing(replace(GOOD, bandwidth=(-1, 1_000_000))) == []
    refused = preflight.judge(GOOD, ASKED, replace(FOUND, policy=0, priority=0, priority_error=1))
    assert "not permitted" in refused[1].in_force


def test_the_plan_asks_for_no_more_than_is_allowed_and_wise():
    assert preflight.plan(GOOD, 1_000_000).thread == ThreadAsked(cores=(3,), priority=preflight.PRIORITY)
    assert preflight.plan(replace(GOOD, isolated=()), 1_000_000).thread.cores == (3,)
    ordinary = preflight.plan(replace(GOOD, isolated=(), priority_max=0), 1_000_000)
    assert ordinary.thread == ThreadAsked()
    assert preflight.plan(replace(GOOD, priority_max=20), 1_000_000).thread.priority == 20
    assert preflight.plan(replace(GOOD, cores=(0,), isolated=()), 1_000_000).thread.cores == ()
    short = preflight.plan(GOOD, 10_000)
    assert (short.thread.priority, short.spin_share_permille) == (0, 1000)
    assert "10000 ns" in short.reason
    assert all(preflight.plan(GOOD, period).spin_share_permille <= 900 for period in (100_000, 10**9))


def test_lists_and_steal_are_read():
    assert preflight.cores_of("") == ()
    assert preflight.cores_of("0-2,5,7-7") == (0, 1, 2, 5, 7)
    assert preflight.steal_of("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 0 0") == (8, 36)
    assert preflight.steal_of("cpu  1 2 3 4") == (0, 10)
    assert preflight.steal_of("") == (0, 0)


def test_a_survey_changes_nothing_of_the_caller():
    def own():
        limits = [resource.getrlimit(limit) for limit in (resource.RLIMIT_MEMLOCK, resource.RLIMIT_RTPRIO)]
        return os.sched_getaffinity(0), os.sched_getscheduler(0), limits, preflight.look().latency_us

    before = own()
    assert [one.name for one in preflight.survey()] == NAMES
    assert own() == before
    with preflight.hold(1_000_000) as held:
        assert [one.name for one in held.before] == NAMES
        if not held.refusals:
            assert preflight.look().latency_us == 0
    assert own() == before


def test_what_the_kernel_read_back_is_judged():
    with preflight.hold(1_000_000) as held:
        got = kernel.try_thread(held.plan.thread)
        after = held.after(got, locked=False)
    assert not after[0].holds
    assert [one.name for one in after] == NAMES


def test_it_works_unprivileged_and_says_what_that_costs(project):
    program = """
import json, resource
resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
from qrt import preflight
with preflight.hold(1_000_000) as held:
    print(json.dumps([[one.name, one.holds, one.cost] for one in held.before]))
    print(json.dumps([held.plan.thread.priority, held.plan.spin_share_permille]))
"""
    # A user without rights, as whom the environment may be unreadable: then capabilities are dropped, and the user kept.
    drop = "import ctypes; ctypes.CDLL(None).prctl(24, 23, 0, 0, 0); ctypes.CDLL(None).prctl(24, 14, 0, 0, 0)\n"
    launch = f"{drop}import os, sys; os.execv(sys.executable, [sys.executable, '-c', {program!r}])"
    answer = subprocess.run([sys.executable, "-c", launch], cwd=project, capture_output=True, text=True, check=True)
    properties, plan = map(json.loads, answer.stdout.splitlines())
    costs = {name: cost for name, holds, cost in properties if not holds}
    assert plan == [0, 900]
    assert "evicted" in costs["locked memory"]
    assert "milliseconds" in costs["real-time priority"]
