"""Published controllers as properties of the twin's port: in the limits, in a check, in a run and its replay, and in the physics.

Ticks by hand: h 30 long, tone 1000, depletion 500, so that the branch of an active reset decides at 30 + 1000 + max(500, latency).
Populations against the joint-probability formula of test_active_reset; each of the 2 x 3 comparisons exceeds 4 standard errors with
0.006 %, if seeds were free.
"""

import json

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from qrt.__main__ import cli
from qrt.client import open_run
from qrt.compile import BRANCH, IF_ALWAYS
from qrt.config import load
from qrt.errors import ConfigError, ProgramError
from qrt.firmware_sim.twin import plant_from_bytes
from qrt.image import from_image
from qrt.latencies import PUBLISHED, lab_on, published
from qrt.loop import limits_of
from qrt.replay import replay
from qrt.run import run
from qrt.store import save_calibration
from tests.test_active_reset import T1_S, bench_of, expectation, played, reset_pulses, threshold_of
from tests.test_compile import logged

SHOTS = 10_000


def call(*arguments):
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def with_pulses(lab, pulse_ns, depletion_ns):
    """Return the lab's qubits with other durations."""
    change = msgspec.structs.replace
    return {
        name: change(qubit, pulse_ns=pulse_ns, readout=change(qubit.readout, depletion_ns=depletion_ns))
        for name, qubit in lab.qubits.items()
    }


@pytest.fixture
def short(demo_lab):
    """Return the demo lab with 100 ns of depletion, so that a branch waits for its outcome on any controller, and a grid of 4 ns fits."""
    return msgspec.structs.replace(demo_lab, qubits=with_pulses(demo_lab, pulse_ns=32.0, depletion_ns=100.0))


def test_the_table_is_complete_and_in_order():
    assert [one.latency_ns for one in PUBLISHED] == sorted(one.latency_ns for one in PUBLISHED)
    assert len({one.name for one in PUBLISHED}) == len({one.title for one in PUBLISHED}) == len(PUBLISHED)
    for one in PUBLISHED:
        assert one.url.startswith("https://")
        assert one.span
        assert one.source
        assert published(one.name) is one


@pytest.mark.parametrize("controller", PUBLISHED, ids=lambda one: one.name)
def test_the_twins_port_takes_latency_and_grid(controller, short):
    found = limits_of(lab_on(short, controller))
    assert found.feedback_latency_ticks == controller.latency_ns
    assert found.granularity_ticks == (controller.granularity_ns or 1)
    before = limits_of(short)
    assert msgspec.structs.replace(found, feedback_latency_ticks=300, granularity_ticks=1) == before


def test_a_latency_between_two_ticks_is_the_later_one(demo_lab):
    timing = msgspec.structs.replace(demo_lab.timing, tick_ps=1600)
    lab = msgspec.structs.replace(
        demo_lab, timing=timing, qubits=with_pulses(demo_lab, pulse_ns=32.0, depletion_ns=480.0)
    )
    assert limits_of(lab_on(lab, published("qblox"))).feedback_latency_ticks == 228  # 364.8 ns; 227 would be 363.2


def test_what_cannot_be_is_refused(demo_lab, short):
    with pytest.raises(
        ConfigError, match=r"--on qblok: no such controller; did you mean qblox\? Allowed: eth-fpga, .*artiq-2015"
    ):
        published("qblok")
    with pytest.raises(
        ConfigError, match=r"lab 'demo' has no \[twin\]: only a simulated port can take another controller's latency"
    ):
        lab_on(msgspec.structs.replace(demo_lab, twin=None), PUBLISHED[0])
    with pytest.raises(
        ConfigError, match=r"on zi-shfsg: 2 problems(.|\n)*q0.pulse_ns: 30 is not a whole multiple of 4 ns"
    ):
        lab_on(demo_lab, published("zi-shfsg"))
    assert lab_on(short, published("zi-shfsg")).twin is not None


# ---- A run -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["qblox", "artiq-2015"])
def test_a_run_branches_at_the_predicted_tick_and_replays_so(name, play):
    controller = published(name)
    result = play(on=name)
    image = from_image(result.record.image())
    port = plant_from_bytes(image.plant)
    assert port.limits.feedback_latency_ticks == controller.latency_ns
    lab = msgspec.json.decode(result.record.file("lab.json"))
    assert lab["twin"]["parameters"]["port"]["feedback_latency_ns"] == controller.latency_ns
    log = logged(image.sequence, port.address)
    decided = log[(log["op"] == BRANCH) & (log["b"] != IF_ALWAYS)]
    assert decided["tick"].tolist() == [30 + 1000 + max(500, controller.latency_ns)]
    assert replay(result.folder).same


def test_runs_on_two_controllers_differ(play):
    digests = [play(on=name).summary.digest for name in (None, "qblox", "artiq-2015")]
    assert (
        digests[0] == digests[1] != digests[2]
    )  # an outcome after 300 or 364 ns is there before the photons have left


SWEPT = """OPENQASM 3;
include "stdgates.inc";
input duration t;
qubit q;
delay[t] q;
box[3us] {
  reset q;
}
"""


def test_a_sweep_runs_on_a_controller_and_replays(demo_lab, demo_calibration, tmp_path):
    given = {"lab": demo_lab, "calibration": demo_calibration, "runs": tmp_path, "seed": 1, "publish": False}
    result = run(SWEPT, shots=20, sweep={"t": "linspace(0, 400ns, 5)"}, on="qblox", **given)
    assert result.summary.shots == 100
    assert plant_from_bytes(from_image(result.record.image()).plant).limits.feedback_latency_ticks == 364
    assert replay(result.folder).same
    # The outcome is there 1000 + 2100 ticks after the box begins, at any delay.
    message = r":7:3: if q0.reset == 1 on q0 ends up to 100 ticks after the end of the box of line 6"
    with pytest.raises(ProgramError, match=message):
        run(SWEPT, shots=20, sweep={"t": "linspace(0, 400ns, 5)"}, on="artiq-2015", **given)


def test_check_of_a_sweep_on_controllers(project, tmp_path):
    program = tmp_path / "swept.qasm"
    program.write_text(SWEPT)
    arguments = [
        "check",
        program,
        "--lab",
        project / "configs/demo.toml",
        "--sweep",
        "t=linspace(0, 400ns, 5)",
        "--json",
    ]
    answer = call(*arguments, "--on", "qblox")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    (branch,) = [one for one in told["events"] if one["event"] == "if"]
    assert (branch["tick"], branch["later_ticks"], branch["duration_ticks"], branch["early_ticks"]) == (
        1500,
        400,
        0,
        136,
    )
    assert (branch["slack_ticks"], branch["due"]) == (3000 - 1500 - 60, "the box of line 6")
    answer = call(*arguments, "--on", "artiq-2015")
    assert answer.exit_code == ProgramError.exit_code
    late = json.loads(answer.stdout)["late"]
    assert [(one["line"], one["late_ticks"], one["tick"], one["due"]) for one in late if one["event"] == "play"] == [
        (7, 130, 400 + 1000 + 2100 + 30, "the box of line 6"),
        (7, 160, 400 + 1000 + 2100 + 60, "the box of line 6"),
    ]
    told = {one["controller"]: one for one in json.loads(call(*arguments, "--on", "all").stdout)["controllers"]}
    assert [name for name, one in told.items() if not one["makes_it"]] == ["zi-shfsg", "zi-hdawg", "artiq-2015"]
    assert told["qblox"]["slack_ticks"] == 3000 - 1500 - 60 + 136  # of the outcome


def test_the_command_runs_on_a_controller_and_says_so(project, tmp_path, feedback, demo_calibration):
    program = tmp_path / "feedback.qasm"
    program.write_text(feedback)
    calibration = save_calibration(tmp_path, demo_calibration)
    arguments = ["run", program, "--lab", project / "configs/demo.toml", "--shots", 20, "--no-publish"]
    arguments += ["--runs", tmp_path, "--calibration", calibration]
    answer = call(*arguments, "--on", "presto")
    assert answer.exit_code == 0, answer.output
    assert "port as Presto (Intermodulation Products) states it: 254 ns" in answer.stdout
    (folder,) = {one.parent for one in tmp_path.glob("*/image*")}
    limits = plant_from_bytes(from_image(open_run(folder).image()).plant).limits
    assert limits.feedback_latency_ticks == 254
    answer = call(*arguments, "--on", "prest")
    assert answer.exit_code == ConfigError.exit_code
    assert "did you mean presto?" in answer.stderr


@pytest.mark.parametrize("name", ["presto", "artiq-2015"])
def test_an_active_reset_leaves_what_the_formula_says(name):
    latency = int(published(name).latency_ns)
    bench = bench_of(T1_S[0], latency)
    threshold = threshold_of(bench, 0.0)
    rows, plant = played(bench.config, reset_pulses(bench, threshold), SHOTS, 5)
    population = plant.truth().population_sum[0, :2] / SHOTS
    expected, _ = expectation(bench, threshold, latency, np.array([1 - population[0], population[0]]))
    before, after = rows["outcomes"].mean(axis=0)
    sigma = np.sqrt(expected * (1 - expected) / SHOTS)
    assert (np.abs(np.array([before, population[1], after]) - expected) < 4 * sigma).all()
    # With the other controller's latency the formula is another, and the same truth is far from it.
    other, _ = expectation(
        bench, threshold, 2100 if latency < 1000 else 254, np.array([1 - population[0], population[0]])
    )
    assert abs(population[1] - other[1]) > 10 * sigma[1]


# ---- qrt check -------------------------------------------------------------------------------------------------------------


def test_check_on_a_controller_moves_the_branch(project, tmp_path):
    program = project / "examples/active_reset.qasm"
    answer = call("check", program, "--lab", project / "configs/demo.toml", "--on", "artiq-2015", "--json")
    assert answer.exit_code == 0
    (branch,) = [one for one in json.loads(answer.stdout)["events"] if one["event"] == "if"]
    assert branch["tick"] + branch["duration_ticks"] == 30 + 1000 + 2100
    shown = call("check", program, "--lab", project / "configs/demo.toml", "--on", "artiq-2015").stdout
    assert "on ARTIQ core device, 2015: 2100 ns from a rising edge" in shown
    assert "https://github.com/m-labs/artiq/issues/47" in shown


def test_check_on_all_says_who_makes_it(project, tmp_path):
    lab = tmp_path / "lab.toml"
    text = (project / "configs/demo.toml").read_text()
    lab.write_text(text.replace("shot_period_ns = 7000.0", "shot_period_ns = 3600.0"))
    program = project / "examples/active_reset.qasm"
    answer = call("check", program, "--lab", lab, "--on", "all", "--json")
    assert answer.exit_code == 0
    told = {one["controller"]: one for one in json.loads(answer.stdout)["controllers"]}
    assert list(told) == [one.name for one in PUBLISHED]
    # Decides at 1530 unless the outcome is later; 60 + 1500 follow: it may be ready at 3600 - 1560 at the latest, and is at 1030 + latency.
    for one in told.values():
        if one["granularity_ns"] is None:
            assert one["slack_ticks"] == 3600 - 1560 - 1030 - one["latency_ns"]
            assert one["makes_it"] == (one["slack_ticks"] >= 0) == (one["late_count"] == 0) == (not one["first_late"])
        else:
            assert "pulse_ns: 30 is not a whole multiple of 4 ns" in one["first_late"]
    assert [one["controller"] for one in told.values() if not one["makes_it"]] == ["zi-shfsg", "zi-hdawg", "artiq-2015"]
    assert ":15:1: the shot takes 4690 ticks, 1090 more than its period of 3600" in told["artiq-2015"]["first_late"]
    shown = call("check", program, "--lab", lab, "--on", "all").stdout.splitlines()
    assert len([line for line in shown if line.split()[:1] and line.split()[0] in told]) == len(PUBLISHED)


def test_check_on_needs_a_twin_and_a_name(project, tmp_path):
    program = project / "examples/active_reset.qasm"
    answer = call("check", program, "--lab", project / "configs/demo.toml", "--on", "opx")
    assert answer.exit_code == ConfigError.exit_code
    assert "did you mean opx-plus?" in answer.stderr
    rack = tmp_path / "rack.toml"
    rack.write_text((project / "configs/demo.toml").read_text().partition("\n[twin]")[0])
    assert load(rack).twin is None
    for name in ("qblox", "all"):
        answer = call("check", program, "--lab", rack, "--on", name)
        assert answer.exit_code == ConfigError.exit_code
        assert "has no [twin]: only a simulated port" in answer.stderr
