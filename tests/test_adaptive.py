"""Adaptive sweeps: a generator that sees each point and yields the next, and everything that it can do wrong."""

from collections import deque
from itertools import islice
from math import inf, nan, pi

import numpy as np
import pytest

import qrt.loop
from qrt.adaptive import Adaptive, Seen
from qrt.client import open_run
from qrt.commands.screen import sweep_rows
from qrt.commands.sheet import report_data
from qrt.drivers.settings import settings_of
from qrt.errors import ProgramError, RunError
from qrt.events import Progress
from qrt.grids import LEGS_MAX
from qrt.points import COLUMNS
from qrt.qasm import parse_program
from qrt.reasons import StoppedError
from qrt.replay import replay
from qrt.report.page import page
from qrt.run import run
from tests.short_programs import READ_TWICE, TURNED

WAITS = """OPENQASM 3;
input duration t;
input int n;
qubit q;
bit c;
rx(n * pi) q;
delay[t] q;
c = measure q;
c = measure q;
"""
FREQUENCY, POWER = "lo_readout.frequency_hz", "lo_readout.power_dbm"


@pytest.fixture
def play(given):
    """Return `run` with what a short run needs."""
    return lambda program, **options: run(program, **given | {"shots": 40} | {"period_ns": 100e3} | options)


def recorded(runs):
    (folder,) = [path for path in runs.iterdir() if path.name != "calibrations"]
    return open_run(folder)


def test_a_search_finds_where_a_curve_crosses_zero(play):
    seen = []

    def search():
        low, high = 0.0, pi
        for _ in range(7):
            seen.append((yield {"theta": (low + high) / 2}))
            above = seen[-1].estimates["Z(c)"].value > 0
            low, high = (seen[-1].values["theta"], high) if above else (low, seen[-1].values["theta"])

    result = play(TURNED, shots=600, sweep=search)
    found = result.sweep
    assert list(found.axes["point"]) == list(range(7))
    theta = found.beside["point"]["theta"]
    assert found.units == {"point": "", "theta": ""}
    curve = found.curves["Z(c)"]
    # <Z> = (1 - 2 p) cos(theta) but for what relaxes in a pulse: each point within 4 standard errors, the last near pi / 2.
    assert (np.abs(curve.value - 0.98 * np.cos(theta)) < 4 * curve.stderr + 0.003).all()
    assert theta[-1] == pytest.approx(pi / 2, abs=4 * 0.041 + pi / 2**7)
    assert theta.tolist() == [one.values["theta"] for one in seen]
    rows = result.record.rows
    for index, one in enumerate(seen):
        own = rows[600 * index : 600 * (index + 1)]
        assert np.array_equal(one.rows["trace_hash"], own["trace_hash"])
        assert np.array_equal(one.iq("c"), own["iq"][:, 0])
        table = np.load(result.folder / "sweep.npy")
        assert table["Z(c).value"][index] == one.estimates["Z(c)"].value
    assert table.dtype.names == ("theta", "point.shots", *(f"Z(c).{column}" for column in COLUMNS))
    assert (result.summary.shots, result.summary.legs) == (4200, 7)
    assert replay(result.folder).same
    record = open_run(result.folder)
    assert record.swept["theta"].reshape(7, 600)[:, 0].tolist() == theta.tolist()
    assert list(record.axes["point"]) == list(range(7))
    assert record.start["sweep"]["adaptive"] == [{"name": "theta", "unit": ""}]
    _, head, told = sweep_rows(found)
    assert head == ("point", "theta", "Z(c)")
    assert told[0][:2] == ("0", "1.5708")
    assert "(theta): 7 points" in page(report_data(result, "p.qasm", {}, replayed=False))


def test_inputs_of_every_kind_and_settings_go_through_a_generator(play):
    def points():
        seen = yield {"t": 1e-6, "n": 1, POWER: 9.8766}
        assert seen.values == {"t": 1e-6, "n": 1.0, POWER: 9.88}
        assert seen.estimates == {}  # a bit that is read twice has none
        yield {POWER: np.float64(10.0), "n": np.int64(0), "t": 20e-6}

    generator = points()
    result = play(WAITS, sweep=generator, pacing="virtual")
    assert replay(result.folder).same
    assert result.sweep.units == {"point": "", "t": "s", "n": "", POWER: "dBm"}
    assert result.sweep.beside["point"][POWER].tolist() == [9.88, 10.0]
    assert list(result.sweep.curves) == []
    assert result.record.outcomes["c"].reshape(2, 40).mean(axis=1) == pytest.approx([0.97, 0.02], abs=0.15)
    ticks = result.record.rows["tick"]
    assert (np.diff(ticks) == 100_000).all()
    again = play(WAITS, sweep=points, pacing="real", period_ns=1e6)
    assert replay(again.folder).same


def test_the_same_points_from_the_same_seed_are_the_same_run(play):
    def points():
        for theta in (0.1, 0.2, 0.1):
            yield {"theta": theta}

    one, other = (play(READ_TWICE, sweep=points, seed=9) for _ in range(2))
    assert one.summary.digest == other.summary.digest
    hashes = one.record.rows["trace_hash"].reshape(3, 40)
    assert not np.array_equal(hashes[0], hashes[2])  # drawn anew


# ---- What a generator does wrong -------------------------------------------------------------------------------------------------


def yields(*points):
    def generator():
        for point in points:
            _ = yield point

    return generator


FIRST = [
    (yields(), "generator ended without a point"),
    (yields(3), "point 0 of the sweep: its generator yielded 3; a mapping of names to numbers"),
    (yields({}), r"point 0 of the sweep: its generator yielded \{\}"),
    (yields({5: 1.0}), r"yielded \{5: 1.0\}"),
    (yields({"thetta": 1.0}), "no input 'thetta'; did you mean theta"),
    (yields({"lo.power_dbm": 1.0}), "no instrument 'lo' has settings"),
    (yields({"theta": nan}), "theta = nan is not a finite number"),
    (yields({"theta": inf}), "theta = inf is not a finite number"),
    (yields({"theta": "1"}), "theta = '1' is not a finite number"),
    (yields({"theta": True}), "theta = True is not a finite number"),
    (yields({"theta": 50.0}), "at theta = 50 the pulse has"),
    (
        yields({POWER: 26.0}),
        "point 0 of the sweep: lo_readout.power_dbm = 26 dBm: possible is -30 to 25 dBm",
    ),
    (lambda: 5, "sweep = .*: no generator"),
    (iter([{"theta": 0.1}]), r"a generator of points, .* \(of an iterator: \(one for one in it\)\)"),
]


@pytest.mark.parametrize(("sweep", "said"), FIRST)
def test_a_first_point_that_cannot_be_is_refused_before_anything_is_opened(play, monkeypatch, sweep, said):
    monkeypatch.setattr(qrt.loop.Loop, "__enter__", lambda _: pytest.fail("opened"))
    with pytest.raises(ProgramError, match=said):
        play(TURNED, sweep=sweep)


def test_values_of_the_wrong_kind_are_refused(play):
    for point, said in (
        ({"t": -1e-6, "n": 0}, "a duration is a number of seconds, at least 0"),
        ({"t": 1e-6, "n": 0.5}, "int is a whole number"),
        ({"t": 1.5e-9, "n": 0}, "this duration is 1.5 ticks"),
    ):
        with pytest.raises(ProgramError, match=said):
            play(WAITS, sweep=yields(point))
    with pytest.raises(ProgramError, match=r"theta has a value already \(1.0\)"):
        play(TURNED, sweep=yields({"theta": 1.0}), inputs={"theta": 1.0})
    with pytest.raises(ProgramError, match="order = 'shot': an adaptive sweep plays all shots of a point together"):
        play(TURNED, sweep=yields({"theta": 1.0}), order="shot")


def raises():
    seen = yield {"theta": 0.5}
    yield {"theta": 1.0}
    raise ZeroDivisionError(f"after {seen.values['theta']}")


LATER = [
    (
        raises,
        2,
        r"point 2 of the sweep: its generator raised ZeroDivisionError: after 0.5 \(.*test_adaptive.py:\d+: raise Zero",
    ),
    (yields({"theta": 0.5}, None), 1, "point 1 of the sweep: its generator yielded None"),
    (
        yields({"theta": 0.5}, {"theta": 0.5, POWER: 1.0}),
        1,
        "yielded lo_readout.power_dbm, theta; its first point has theta",
    ),
    (yields({"theta": 0.5}, {"theta": nan}), 1, "point 1 of the sweep: theta = nan"),
    (yields({"theta": 0.5}, {"theta": 50.0}), 1, "^leg 1, theta = 50: .*at theta = 50 the pulse has"),
]


@pytest.mark.parametrize(("sweep", "played", "said"), LATER)
def test_a_later_point_that_cannot_be_ends_the_run_with_what_was_played_on_record(play, tmp_path, sweep, played, said):
    with pytest.raises(RunError, match=said) as caught:
        play(READ_TWICE, sweep=sweep)
    assert f"shots 0 to {40 * played - 1} are kept in" in str(caught.value)
    record = recorded(tmp_path)
    assert (len(record.rows), len(record.legs), record.stop["exit_status"]) == (40 * played, played, "fail")
    assert len(np.load(record.path / "sweep.npy")) == played
    assert replay(record.path).same


def test_a_generator_that_never_ends_is_ended(demo_lab):
    program = parse_program(TURNED, "p.qasm")

    def forever():
        while True:
            yield {"theta": 0.5}

    asked = Adaptive(forever, program, settings_of(demo_lab), {}, 10)
    legs = asked.legs(lambda leg: Seen({}, {}, np.zeros(0), ()))
    assert deque(islice(legs, LEGS_MAX), 1)[0].shot_first == 10 * (LEGS_MAX - 1)
    with pytest.raises(RunError, match=f"has not ended after {LEGS_MAX} points"):
        next(legs)


def test_a_run_that_is_told_to_stop_asks_for_no_further_point(play, tmp_path):
    class Told:
        set = False

        def is_set(self):
            return self.set

    told, asked = Told(), []

    def tell(event):
        told.set = told.set or (isinstance(event, Progress) and event.done >= 80)

    def forever():
        while True:
            asked.append(1)
            yield {"theta": 0.5}

    with pytest.raises(StoppedError, match="stopped as asked after"):
        play(READ_TWICE, sweep=forever, stop=told, events=tell)
    record = recorded(tmp_path)
    assert len(record.rows) == 40 * len(asked)
    assert record.stop["exit_status"] == "abort"
