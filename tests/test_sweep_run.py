"""A sweep from the program's text to estimates at every point: on the twin against closed forms, and from made rows against plain loops."""

import itertools
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from qrt.__main__ import cli
from qrt.client import open_run
from qrt.commands.screen import SWEEP_ROWS_MAX, sweep_rows
from qrt.commands.sheet import report_data
from qrt.errors import ProgramError, RecordError
from qrt.grids import grid_of
from qrt.kernel import row_dtype
from qrt.observables import Observables
from qrt.points import COLUMNS, ESTIMATED_MAX, SHOTS, check_points, encode_points, point_estimates, read_points
from qrt.qasm import parse_program
from qrt.readout.estimate import tables
from qrt.recompute import recompute
from qrt.replay import replay
from qrt.report.page import page
from qrt.results import swept
from qrt.run import run
from tests.short_programs import REPEATED

RABI = Path(__file__).parents[1].joinpath("examples/rabi.qasm").read_text(encoding="utf-8")
SWEEP = {"theta": "linspace(0, pi, 7)", "t": "linspace(0, 60us, 4)"}
T1_S, THERMAL = 31e-6, 0.010  # of the plant's first qubit, configs/demo.toml
TOLERANCE = 4.0  # standard errors: of 56 comparisons one is beyond it in 1 of 280 seeds; the seeds are fixed


@pytest.fixture(scope="module")
def runs(demo_lab, demo_calibration, tmp_path_factory):
    """Return the sweep in either order."""
    folder = tmp_path_factory.mktemp("sweeps")
    given = {"calibration": demo_calibration, "runs": folder, "publish": False, "period_ns": 300e3, "sweep": SWEEP}
    return {order: run(RABI, lab=demo_lab, shots=400, seed=5, order=order, **given) for order in ("point", "shot")}


def relaxed(theta, t):
    """<Z> at the tone: a turn of the thermal state by theta, 30 ns of which half relax, then a decay towards the thermal state."""
    thermal = 1 - 2 * THERMAL
    return thermal + (thermal * np.cos(theta) - thermal) * np.exp(-(t + 15e-9) / T1_S)


@pytest.mark.parametrize("order", ["point", "shot"])
def test_rabi_and_t1_are_those_of_the_plant_at_every_point(runs, order):
    found = runs[order].sweep
    assert (found.order, found.shots_per_point, list(found.axes)) == (order, 400, ["theta", "t"])
    assert (found.shots == 400).all()
    assert found.units == {"theta": "", "t": "s"}
    theta, t = np.meshgrid(*found.axes.values(), indexing="ij")
    curve = found.curves["Z(c)"]
    assert curve.value.shape == (7, 4)
    assert np.abs((curve.value - relaxed(theta, t)) / curve.stderr).max() < TOLERANCE
    assert curve.value[-1, 0] < -0.9  # it is a sweep: a pi pulse inverts
    late = -np.log((relaxed(0, 0) - curve.value[-1]) / (2 * (1 - 2 * THERMAL)))
    slope = np.polyfit(found.axes["t"], late, 1)[0]
    assert 1 / slope == pytest.approx(T1_S, rel=0.15)


def test_both_orders_give_the_same_estimates_within_their_errors(runs):
    one, other = (runs[order].sweep.curves["Z(c)"] for order in ("point", "shot"))
    assert not np.array_equal(one.value, other.value)
    assert (np.abs(one.value - other.value) < TOLERANCE * np.hypot(one.shot, other.shot)).all()
    assert np.sum((one.value - other.value) ** 2 / (one.shot**2 + other.shot**2)) < 28 + 4 * 56**0.5


def test_the_record_has_the_axes_and_numpy_alone_reads_the_points(runs):
    result = runs["shot"]
    sweep = result.record.start["sweep"]
    assert [(axis["name"], axis["unit"], axis["points"]) for axis in sweep["axes"]] == [("theta", "", 7), ("t", "s", 4)]
    assert (sweep["order"], sweep["shots_per_point"], result.record.start["shots"]) == ("shot", 400, 11200)
    assert sweep["axes"][1]["values"] == [0.0, 2e-5, 4e-5, 6e-5]
    table = np.load(result.folder / "sweep.npy")
    assert table.dtype.names == ("theta", "t", SHOTS, *(f"Z(c).{column}" for column in COLUMNS))
    assert np.array_equal(table["Z(c).value"].reshape(7, 4), result.sweep.curves["Z(c)"].value)
    assert np.array_equal(table["theta"].reshape(7, 4)[:, 0], result.sweep.axes["theta"])
    again = swept(open_run(result.folder))
    assert np.array_equal(again.curves["Z(c)"].stderr, result.sweep.curves["Z(c)"].stderr)
    # Every point is played as often as every other, so that their mean is the run's own estimate.
    mean = result.sweep.curves["Z(c)"].value.mean()
    assert mean == pytest.approx(result.estimates["Z(c)"].value, abs=1e-9)


@pytest.mark.parametrize("order", ["point", "shot"])
def test_the_bar_of_all_points_together_is_made_of_theirs_and_comes_out_again(runs, order):
    """Steps between points are no noise; what is on record was published on the way, too, by what was on disk then."""
    result = runs[order]
    one, curve = result.estimates["Z(c)"], result.sweep.curves["Z(c)"]
    assert one.stderr.shot == pytest.approx(np.linalg.norm(curve.shot) / curve.shot.size, rel=0.05)
    assert one.raw_stderr == pytest.approx(np.linalg.norm(curve.raw_stderr) / curve.shot.size, rel=0.05)
    found = recompute(result.folder)
    assert (found.same, found.difference) == (True, "")


def test_the_page_draws_a_sweep_of_one_axis(runs, play):
    result = run(
        RABI, **play.keywords | {"shots": 40}, sweep={"theta": [0.0, 0.5, 1.0]}, inputs={"t": 1e-6}, period_ns=300e3
    )
    drawn = page(report_data(result, "rabi.qasm", {"t": 1e-6}, replayed=False))
    assert "Z(c) along theta: 3 points from 0 to 1" in drawn
    assert drawn.count('class="run-dot"') == 3
    assert "theta: 3 points, 40 shots each" in drawn
    both = page(report_data(runs["point"], "rabi.qasm", {}, replayed=False))
    assert "Z(c) along" not in both
    assert "theta: 7 x t: 4 points, 400 shots each" in both


def test_a_table_of_a_few_points_says_where_the_rest_is(runs):
    told, head, rows = sweep_rows(runs["point"].sweep)
    assert told == "mitigated, 400 shots a point, 9 of 28 points"
    assert head == ("theta", "t [s]", "Z(c)")
    assert len(rows) == SWEEP_ROWS_MAX
    assert (rows[0][:2], rows[-1][:2]) == (("0", "0"), ("3.14159", "6e-05"))
    curve = runs["point"].sweep.curves["Z(c)"]
    assert rows[-1][2] == f"{curve.value[-1, -1]:+.4f} ± {curve.stderr[-1, -1]:.4f}"


def test_virtual_and_real_time_give_the_same_rows(play, demo_lab):
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=60e9)
    lab = msgspec.structs.replace(demo_lab, timing=timing)
    given = {
        "lab": lab,
        "shots": 5,
        "period_ns": 500e3,
        "order": "shot",
        "sweep": {"theta": "linspace(0, 2, 3)", "t": [0, 9e-7, 2e-5]},
    }
    given = play.keywords | given
    virtual = run(REPEATED, **given)
    assert run(REPEATED, pacing="real", **given).summary.digest == virtual.summary.digest
    assert virtual.summary.shots == 45
    assert list(virtual.sweep.curves) == []  # a bit that is read twice has no expectation value
    assert (virtual.sweep.shots == 5).all()
    hashes = virtual.record.rows["trace_hash"].reshape(5, 9)
    assert len(set(hashes.ravel().tolist())) > 9  # no two points play the same


# ---- Made rows ---------------------------------------------------------------------------------------------------------------

WATCHED = Observables(("a", "b"), ("q0", "q1"), (0, 0), ((0,), (1,), (0, 1)), ())
PROGRAM = parse_program("input float x; input float y; qubit q; x q;", "p")


def made(count, rng):
    rows = np.zeros(count, row_dtype(2))
    rows["bits"] = rng.integers(0, 4, count) & rng.integers(0, 4, count)
    rows["flags"] = rng.random(count) < 0.1
    return rows


@pytest.mark.parametrize(("order", "missing"), list(itertools.product(["point", "shot"], [0, 1, 5, 190])))
def test_points_are_what_plain_loops_give(order, missing, rng, demo_calibration):
    qubits = demo_calibration.qubits
    grid = grid_of(["x=values(1, 2, 4)", "y=linspace(0, 1, 2)"], PROGRAM, {}, order, 40)
    rows = made(grid.shots, rng)[: grid.shots - missing]
    table = point_estimates(rows, grid, WATCHED, qubits)
    factors = tables(WATCHED.bit_qubits, qubits)
    assert [(row["x"], row["y"]) for row in table] == list(itertools.product([1, 2, 4], [0, 1]))
    for point, row in enumerate(table):
        mine = [
            shot
            for shot in range(len(rows))
            if (shot // 40 if order == "point" else shot % 6) == point and not rows["flags"][shot]
        ]
        assert row[SHOTS] == len(mine)
        for name, bits in (("Z(a)", (0,)), ("Z(b)", (1,)), ("Z(a)*Z(b)", (0, 1))):
            weights = [np.prod([factors[bit][int(rows["bits"][shot]) >> bit & 1] for bit in bits]) for shot in mine]
            signs = [np.prod([1 - 2 * (int(rows["bits"][shot]) >> bit & 1) for bit in bits]) for shot in mine]
            if len(mine) < 2:
                assert np.isnan([row[f"{name}.{column}"] for column in COLUMNS]).all()
                continue
            assert row[f"{name}.value"] == pytest.approx(np.mean(weights), abs=1e-12)
            assert row[f"{name}.raw"] == pytest.approx(np.mean(signs), abs=1e-12)
            n = len(mine)
            span = np.ptp([np.prod(one) for one in itertools.product(*(factors[bit] for bit in bits))])
            agreeing = span * ((n + 1) / ((n + 2) ** 2 * (n + 3))) ** 0.5  # Beta(n + 1, 1): what equal shots leave open
            independent = max(np.std(weights) / (n - 1) ** 0.5, agreeing)
            assert independent * (1 - 1e-9) <= row[f"{name}.shot"] <= 3 * independent
            terms = [row[f"{name}.{term}"] for term in ("shot", "calibration", "drift", "preparation")]
            assert row[f"{name}.stderr"] == pytest.approx(np.linalg.norm(terms))
            assert terms[1] > 0


def test_shots_of_a_point_that_hang_together_widen_its_bar(rng, demo_calibration):
    grid = grid_of(["x=values(1, 2)"], PROGRAM, {}, "shot", 4000)
    level = np.repeat(rng.integers(0, 2, 800), 5)  # each level is kept for five shots of the point
    rows = np.zeros(8000, row_dtype(2))
    rows["bits"][0::2], rows["bits"][1::2] = level, rng.integers(0, 2, 4000)
    table = point_estimates(rows, grid, WATCHED, demo_calibration.qubits)
    ratio = table["Z(a).raw_stderr"][0] / table["Z(a).raw_stderr"][1]
    assert ratio == pytest.approx(5**0.5, rel=0.15)


def test_what_a_run_does_not_keep_is_refused():
    with pytest.raises(
        ProgramError, match=f"a sweep of 2097152 points; a run keeps estimates of up to {ESTIMATED_MAX}"
    ):
        check_points(grid_of(["x=linspace(0, 1, 2**21)"], PROGRAM, {}, "point", 1))
    grid = grid_of(["x=values(1, 2)"], PROGRAM, {}, "point", 1)
    table = np.zeros(3, [("x", "<f8")])
    document = {
        "axes": [{"name": "x", "unit": "", "points": 2, "form": "values", "exact": ["1+0*pi", "2+0*pi"]}],
        "order": "point",
        "shots_per_point": 1,
    }
    assert grid.points == 2
    with pytest.raises(RecordError, match=r"sweep.npy: \(3,\) of .*; the run's grid has 2 points"):
        read_points(encode_points(table), document)
    assert read_points(b"", None) is None


# ---- The command ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--sweep", "thet=values(1)", "--input", "t=0"], "the program has no input 'thet'; did you mean theta?"),
        (
            ["--sweep", "theta=values(1)", "--input", "theta=2"],
            "theta has a value already (2.0): give --input or --sweep, not both",
        ),
        (["--sweep", "theta=values(1)", "--sweep", "theta=values(2)"], "theta is swept already"),
        (
            ["--sweep", "theta=values(1)"],
            ":8:1: input 't' has no value; give one for each of: theta, t (--input t=100e-9, in seconds; or a --sweep)",
        ),
        (["--sweep", "theta=values(one)", "--input", "t=0"], "--sweep:1:14: 'one' is no declared value"),
        (
            ["--sweep", "theta=linspace(0, 100, 3)", "--input", "t=0"],
            ":13:1: at theta = 100 (point 2 of 3) the pulse has",
        ),
        (
            ["--sweep", "t=linspace(0, 10ns, 4)", "--input", "theta=1"],
            ":14:1: at t = 3.33333333333e-09 (point 1 of 4) this duration is",
        ),
        (["--sweep", "t=linspace(0, 1ms, 5)", "--input", "theta=1"], "period of 7000"),
    ],
)
def test_what_cannot_be_swept_is_told_by_check_and_by_run(arguments, wanted, project, tmp_path):
    path = tmp_path / "p.qasm"
    path.write_text(RABI)
    for command in (["check"], ["run", "--runs", str(tmp_path / "runs"), "--no-publish"]):
        answer = CliRunner().invoke(cli, [*command, str(path), "--lab", str(project / "configs/demo.toml"), *arguments])
        assert answer.exit_code == 2, answer.output
        assert wanted in answer.output
    assert not list(tmp_path.glob("runs/*"))


def test_check_shows_how_far_a_sweep_moves_what(project, tmp_path):
    path = tmp_path / "p.qasm"
    path.write_text(RABI)
    arguments = [
        "--lab",
        str(project / "configs/demo.toml"),
        "--sweep",
        "theta=linspace(-1, 1, 5)",
        "--sweep",
        "t=linspace(0, 2us, 5)",
    ]
    lines = CliRunner().invoke(cli, ["check", str(path), *arguments]).output.splitlines()
    cells = [line.split() for line in lines]
    slack = ["3470", "the", "period"]
    assert ["30", "0..2000", *slack, "q0", "wait", "14", "delay[t]", "q;"] in cells
    assert any(cell[:7] == ["30..2030", "1000", *slack, "q0", "capture"] for cell in cells)
    assert any("shot 3530 ticks" in line for line in lines)
    answer = json.loads(CliRunner().invoke(cli, ["check", str(path), *arguments, "--json"]).output)
    (capture,) = [event for event in answer["events"] if event["event"] == "capture"]
    assert (capture["tick"], capture["later_ticks"], capture["longer_ticks"]) == (30, 2000, 0)


TWICE = """OPENQASM 3;
input float a;
input float b;
input duration t;
input int n;
qubit q;
bit c;
rx(a + b) q;
delay[n * t] q;
c = measure q;
"""


@pytest.mark.parametrize("order", ["point", "shot"])
def test_a_turn_by_the_sum_of_two_axes_and_a_delay_by_a_product_are_those_of_the_point(play, demo_lab, order):
    sweep = {"a": "linspace(0, pi, 3)", "b": "values(0, -2)", "n": "values(0, 3)", "t": "values(0, 20us)"}
    result = play.func(TWICE, **play.keywords | {"shots": 800}, sweep=sweep, order=order, period_ns=1e6)
    parameters = demo_lab.twin.parameters["qubits"]["q0"]
    a, b, n, t = np.meshgrid([0, np.pi / 2, np.pi], [0, -2], [0, 3], [0, 20e-6], indexing="ij")
    thermal = parameters["thermal_population"]
    prepared = thermal + (1 - 2 * thermal) * np.sin((a + b) / 2) ** 2
    excited = thermal + (prepared - thermal) * np.exp(-n * t / parameters["t1_s"])
    curve = result.sweep.curves["Z(c)"]
    assert curve.value.shape == (3, 2, 2, 2)
    assert (np.abs(curve.value - (1 - 2 * excited)) < 4.5 * curve.stderr + 0.03).all()  # decays, in pulse and readout
    assert list(result.record.swept["b"][[0, -1]]) == [0, -2]
    assert replay(result.folder).same
