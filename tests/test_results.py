"""Arrays with names: where each shot of a run comes to stand, against plain loops; means and their errors; the same in xarray."""

import itertools
import pickle

import msgspec
import numpy as np
import pytest
import xarray

import qrt
from qrt.arrays import NamedArray
from qrt.axes import Axis, Grid
from qrt.errors import MachineError, ProgramError
from qrt.kernel import row_dtype
from qrt.layout import Layout
from qrt.points import point_estimates, swept_of
from qrt.qasm.expressions import Exact
from qrt.results import at_points, axes_of
from qrt.run import run
from qrt.shots import Shots, points_of

LAYOUT = Layout(row_dtype(2), ("c", "d"), ("c", "d"))


def axis(name, *values, **more):
    return Axis(name, tuple(Exact(value) for value in values), **more)


GRIDS = {
    "one axis": Grid((axis("x", 1, 2, 5),), "point", 4),
    "zipped": Grid((axis("x", 1, 2, 5, beside=(axis("y", 7, 8, 9),)),), "point", 2),
    "two axes": Grid((axis("x", 1, 2, 5), axis("t", 0, 1, duration=True)), "point", 3),
    "by shot": Grid((axis("x", 1, 2, 5), axis("t", 0, 1, duration=True)), "shot", 3),
    "passes": Grid((axis("x", 1, 2, 5), axis("t", 0, 1)), "point", 3, averages=4),
    "passes by shot": Grid((axis("x", 1, 2, 5), axis("t", 0, 1)), "shot", 3, averages=4),
    "one shot a pass": Grid((axis("x", 1, 2, 5),), "point", 1, averages=5),
    "legs": Grid((axis("lo.f", 1, 2, setting="Hz"), axis("x", 1, 2, 5)), "shot", 3, averages=2),
    "a name that is taken": Grid((axis("shot", 1, 2, 5),), "point", 2),
}


def played(grid):
    """Yield what every shot of a run is, in the order of time, by plain loops: its place in each axis, its pass, its number."""
    outer = [axis for axis in grid.axes if axis.setting is not None]
    inner = [axis for axis in grid.axes if axis.setting is None]
    for leg in itertools.product(*(range(axis.count) for axis in outer)):
        for average in range(grid.averages):
            points = itertools.product(*(range(axis.count) for axis in inner))
            shots = range(grid.shots_per_point)
            if grid.order == "point":
                yield from (((*leg, *point), average, shot) for point in points for shot in shots)
            else:
                points = list(points)
                yield from (((*leg, *point), average, shot) for shot in shots for point in points)


def rows_of(grid, rng):
    rows = np.zeros(len(list(played(grid))), row_dtype(2))
    rows["shot"] = np.arange(len(rows))
    rows["iq"] = rng.integers(-1000, 1000, rows["iq"].shape)
    rows["outcomes"] = rng.integers(0, 2, rows["outcomes"].shape)
    rows["bits"] = rows["outcomes"][:, 0] | rows["outcomes"][:, 1] << 1
    return rows


@pytest.mark.parametrize("name", GRIDS)
def test_every_shot_stands_where_it_was_played(name, rng):
    grid = GRIDS[name]
    rows = rows_of(grid, rng)
    shots = Shots(rows, LAYOUT, grid)
    iq, bits, outcomes = shots.iq["d"], shots.bits["d"], shots.outcomes["d"]
    axes = [axis.name for axis in grid.axes]
    last = "shot_" if "shot" in axes else "shot"
    assert iq.dims == (*axes, *(["average"] if grid.averages > 1 else []), last, "quadrature")
    assert bits.dims == outcomes.dims == iq.dims[:-1]
    assert iq.unit == "counts"
    assert np.shares_memory(iq.values, rows)
    assert np.shares_memory(outcomes.values, rows)
    for number, (point, average, shot) in enumerate(played(grid)):
        place = (*point, *([average] if grid.averages > 1 else []), shot)
        assert iq.values[place].tolist() == rows["iq"][number, 1].tolist()
        assert bits.values[place] == outcomes.values[place] == rows["outcomes"][number, 1]
    found = points_of(grid, rows["shot"])
    assert found.tolist() == [int(np.ravel_multi_index(point, grid.shape)) for point, _, _ in played(grid)]


@pytest.mark.parametrize("name", GRIDS)
def test_the_values_along_an_axis_are_those_of_the_sweep(name, rng):
    grid = GRIDS[name]
    array = Shots(rows_of(grid, rng), LAYOUT, grid).bits["c"]
    for axis in grid.axes:
        for one in axis.together:
            coord = array.coords[one.name]
            assert coord.dims == (axis.name,)
            assert coord.values.tolist() == [float(value.rational) for value in one.points]
            assert coord.unit == {"t": "s" if one.duration else "", "lo.f": "Hz"}.get(one.name, "")


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("missing", [1, 5])
def test_a_run_that_ended_early_fills_what_it_did_not_play(name, missing, rng):
    grid = GRIDS[name]
    rows = rows_of(grid, rng)[:-missing]
    shots = Shots(rows, LAYOUT, grid)
    absent = {number for number, _ in enumerate(played(grid)) if number >= len(rows)}
    for number, (point, average, shot) in enumerate(played(grid)):
        place = (*point, *([average] if grid.averages > 1 else []), shot)
        assert (
            (shots.bits["c"].values[place] == 255) == (shots.outcomes["c"].values[place] == 255) == (number in absent)
        )
        if number in absent:
            assert shots.iq["c"].values[place].tolist() == [0, 0]


@pytest.mark.parametrize("name", GRIDS)
def test_means_are_those_of_the_shots_that_count(name, rng):
    grid = GRIDS[name]
    rows = rows_of(grid, rng)[:-1]
    rows["flags"] = rng.random(len(rows)) < 0.2
    rows["outcomes"][rng.random(len(rows)) < 0.2, 0] = 255
    shots = Shots(rows, LAYOUT, grid)
    listed = dict(enumerate(point for point, _, _ in played(grid)))
    for point in itertools.product(*(range(axis.count) for axis in grid.axes)):
        mine = [number for number, at in listed.items() if at == point and number < len(rows)]
        counted = [number for number in mine if not rows["flags"][number]]
        read = [number for number in counted if rows["outcomes"][number, 0] != 255]
        bits = np.array([rows["bits"][number] & 1 for number in counted], float)
        iq = rows["iq"][read, 0].astype(float)
        assert_mean(shots.mean["c"].values[point], shots.mean["c"].stderr[point], bits)
        for quadrature in (0, 1):
            place = (*point, quadrature)
            assert_mean(shots.mean_iq["c"].values[place], shots.mean_iq["c"].stderr[place], iq[:, quadrature])


def assert_mean(value, stderr, samples):
    assert value == pytest.approx(samples.mean() if len(samples) else np.nan, nan_ok=True)
    expected = np.std(samples, ddof=1) / len(samples) ** 0.5 if len(samples) > 1 else np.nan
    assert stderr == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_shots_without_a_sweep_and_without_any(rng):
    rows = rows_of(GRIDS["one axis"], rng)
    shots = Shots(rows, LAYOUT)
    assert (shots.iq["c"].dims, shots.iq["c"].coords["quadrature"].values.tolist()) == (
        ("shot", "quadrature"),
        ["I", "Q"],
    )
    assert shots.mean["c"].dims == ()
    assert shots.mean["c"].values == pytest.approx((rows["bits"] & 1).mean())
    none = Shots(rows[:0], LAYOUT)
    assert none.bits["c"].shape == (0,)
    assert np.isnan(none.mean["c"].values)
    with pytest.raises(KeyError, match="no bit 'e'; there are: c, d"):
        shots.bits["e"]


@pytest.mark.parametrize("name", GRIDS)
def test_points_have_the_estimates_of_their_own_shots(name, rng, demo_calibration):
    """What a run keeps of its points, over passes and legs: the mean of the signs of those shots, however the run went through them."""
    from tests.test_sweep_run import WATCHED

    grid = GRIDS[name]
    rows = rows_of(grid, rng)[:-2]
    found = swept_of(point_estimates(rows, grid, WATCHED, demo_calibration.qubits), grid)
    raw = at_points(found.curves, *axes_of(found))[1]["Z(a)"]
    assert raw.dims == tuple(axis.name for axis in grid.axes)
    for point in itertools.product(*(range(axis.count) for axis in grid.axes)):
        mine = [number for number, (at, _, _) in enumerate(played(grid)) if at == point and number < len(rows)]
        assert found.shots[point] == len(mine)
        signs = [1 - 2 * int(rows["bits"][number] & 1) for number in mine]
        assert raw.values[point] == pytest.approx(np.mean(signs) if len(mine) > 1 else np.nan, nan_ok=True)


# ---- The type ---------------------------------------------------------------------------------------------------------------


def test_an_array_is_its_values_wherever_numpy_wants_one():
    one = NamedArray("x", [1.0, 2.0, 4.0], ("t",), unit="s", stderr=[0.1, 0.2, 0.3])
    assert np.array_equal(one, [1.0, 2.0, 4.0])
    assert (1 - 2 * one).tolist() == [-1.0, -3.0, -7.0]
    assert np.exp2(one).tolist() == [2.0, 4.0, 16.0]
    assert np.asarray(one, dtype=np.int32).dtype == np.int32
    assert one[1] == 2.0
    assert (len(one), one.shape, one.sizes) == (3, (3,), {"t": 3})
    assert np.asarray(one) is one.values


def test_it_says_what_it_is():
    assert repr(NamedArray("Z(c)", 0.25, stderr=0.0123)) == "<Z(c): 0.25 ± 0.012>"
    assert repr(NamedArray("c", [0, 1], ("shot",))) == "<c (shot: 2) int64 [0, 1]>"
    assert (
        repr(NamedArray("t", np.zeros(40), ("t",), unit="s", stderr=np.ones(40)))
        == "<t (t: 40) float64 s, with stderr>"
    )


def test_axes_must_fit():
    for wrong in ({"dims": ("x", "y")}, {"dims": ("x",), "stderr": np.zeros(3)}, {"dims": ()}):
        with pytest.raises(AssertionError):
            NamedArray("x", np.zeros(2), **wrong)


def test_without_xarray_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MachineError, match=r"xarray is not installed; .*pip install xarray"):
        NamedArray("x", 1.0).to_xarray()


# ---- Of a run ----------------------------------------------------------------------------------------------------------------

RABI = """OPENQASM 3;
input float theta;
input duration t;
qubit q;
bit c;
rx(theta) q;
delay[t] q;
c = measure q;
"""


@pytest.fixture(scope="module")
def averaged(demo_lab, demo_calibration, tmp_path_factory):
    given = {
        "lab": demo_lab,
        "calibration": demo_calibration,
        "runs": tmp_path_factory.mktemp("averaged"),
        "publish": False,
    }
    sweep = {"theta": [0.0, 1.0, 2.0, 3.0], "t": "values(0, 20us)"}
    return run(RABI, sweep=sweep, shots=10, averages=30, period_ns=300e3, seed=3, **given)


def test_a_sweep_comes_back_with_its_axes(averaged):
    assert averaged.summary.shots == 4 * 2 * 10 * 30
    assert averaged.iq["c"].dims == ("theta", "t", "average", "shot", "quadrature")
    assert averaged.iq["c"].shape == (4, 2, 30, 10, 2)
    assert np.shares_memory(averaged.iq["c"].values, averaged.record.rows)
    assert averaged.mitigated["Z(c)"].dims == averaged.mean["c"].dims == ("theta", "t")
    assert averaged.mean["c"].coords["t"].unit == "s"
    assert averaged.record.start["sweep"]["averages"] == 30
    raw = averaged.raw["Z(c)"]
    assert np.allclose(raw.values, 1 - 2 * averaged.mean["c"].values)
    assert averaged.sweep.shots_per_point == 300
    assert (averaged.sweep.shots == 300).all()


def test_the_shots_say_the_same_as_the_kernel_played(averaged):
    """The record's own account of which value was in force in which shot, from the armed image: another path than the grid's."""
    record = averaged.record
    for name in ("theta", "t"):
        column = record.swept[name]
        for theta, t, average, shot in [(0, 0, 0, 0), (3, 1, 29, 9), (2, 0, 17, 4), (1, 1, 0, 9)]:
            number = ((average * 4 + theta) * 2 + t) * 10 + shot
            assert averaged.iq["c"].values[theta, t, average, shot].tolist() == record.iq["c"][number].tolist()
            assert column[number] == averaged.iq["c"].coords[name].values[theta if name == "theta" else t]


def test_physics_through_the_named_axes(averaged):
    """A pi pulse inverts, and 20 us later less is left; the clouds' mean moves on a line."""
    at = averaged.mitigated["Z(c)"]
    assert at.values[0, 0] > 0.85
    assert at.values[3, 0] < -0.85
    assert at.values[3, 1] > at.values[3, 0] + 5 * at.stderr[3, 0]
    iq = averaged.mean_iq["c"]
    along = iq.values[3, 0] - iq.values[0, 0]
    across = iq.values[1, 0] - iq.values[0, 0]
    assert abs(along[0] * across[1] - along[1] * across[0]) < 5 * np.linalg.norm(along) * np.linalg.norm(
        iq.stderr[1, 0]
    )


def test_counts_that_are_none_are_refused(play):
    for wrong, said in (
        ({"shots": None}, r"how many shots\? Give shots=, averages="),
        ({"averages": 0}, "averages = 0: at least 1"),
    ):
        with pytest.raises(ProgramError, match=said):
            play(**wrong)


def test_averages_alone_are_a_shot_a_pass_and_without_a_sweep_shots(play):
    found = play(shots=None, averages=40)
    assert found.summary.shots == 40
    assert found.bits["c"].dims == ("shot",)


def test_a_run_opened_later_has_what_the_result_had(averaged):
    again = qrt.open(averaged.folder)
    assert np.array_equal(again.iq["c"].reshape(30, 4, 2, 10, 2).transpose(1, 2, 0, 3, 4), averaged.iq["c"].values)
    assert msgspec.structs.astuple(again.estimates[0])[:3] == msgspec.structs.astuple(averaged.estimates["Z(c)"])[:3]


def test_xarray_has_the_same_memory_axes_units_and_errors(averaged):
    one = averaged.mitigated["Z(c)"].to_xarray()
    assert isinstance(one, xarray.DataArray)
    assert (one.dims, one.name) == (("theta", "t"), "Z(c)")
    assert one.coords["t"].attrs == {"units": "s"}
    assert np.array_equal(one.coords["stderr"], averaged.mitigated["Z(c)"].stderr)
    assert one.sel(theta=3.0, t=0.0).item() == averaged.mitigated["Z(c)"].values[3, 0]
    iq = averaged.iq["c"].to_xarray()
    assert np.shares_memory(iq.values, averaged.record.rows)
    whole = averaged.to_xarray()
    assert set(whole) >= {"Z(c)", "Z(c).stderr", "Z(c).raw", "c.mean", "c.mean_iq", "c.bit", "c.outcome", "c.iq"}
    assert whole["c.iq"].sel(quadrature="I", theta=1.0, t=2e-5).dims == ("average", "shot")


def test_an_array_is_used_like_one_of_numpy():
    array = NamedArray("x", np.arange(6.0).reshape(2, 3), ("a", "b"))
    assert (array.ndim, array.size, array.T.shape, array.tolist()) == (2, 6, (3, 2), [[0, 1, 2], [3, 4, 5]])
    assert array.mean() == 2.5
    assert array.max(axis=0).tolist() == [3, 4, 5]
    with pytest.raises(AttributeError, match="a NamedArray has no 'unti', and neither has a numpy array"):
        _ = array.unti
    with pytest.raises(ValueError, match="ambiguous"):
        bool(array)
    one = NamedArray("y", 0.25, stderr=0.5)
    assert (float(one), f"{one:.3f}", f"{one}", int(NamedArray("z", 3)), bool(one)) == (
        0.25,
        "0.250",
        repr(one),
        3,
        True,
    )


def test_a_pickled_result_is_the_same(averaged):
    again = pickle.loads(pickle.dumps(averaged))
    assert repr(again) == repr(averaged)
    assert (again.summary, again.stopped, again.counters) == (averaged.summary, averaged.stopped, averaged.counters)
    assert again.to_xarray().identical(averaged.to_xarray())
    bits = pickle.loads(pickle.dumps(averaged.bits))
    assert repr(bits) == repr(averaged.bits) == "<bits: c>"
    assert np.array_equal(bits["c"].values, averaged.bits["c"].values)
    assert bits["c"].coords.keys() == averaged.bits["c"].coords.keys()
