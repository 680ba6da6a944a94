"""A run as its user sees it: what it returns, what it tells on the way, what it refuses before anything is opened."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from qrt.client import open_run
from qrt.errors import CalibrationError, ConfigError, MachineError, ProgramError
from qrt.events import Calibrated, Compiled, InstrumentsFound, Playing, Progress
from qrt.publisher import Publisher
from qrt.run import run
from qrt.store import bound_hash, calibration_hash, save_calibration
from qrt.types import Stream

EXCITED = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
x q[0];
c[0] = measure q[0];
c[1] = measure q[1];
"""


def tree(folder):
    return sorted(path.name for path in folder.rglob("*") if "calibrations" not in path.parts)


@pytest.fixture(scope="module")
def two(demo_lab, demo_calibration, tmp_path_factory):
    """Return a run of two qubits with estimates, and what it told."""
    told = []
    runs = tmp_path_factory.mktemp("two")
    given = {"calibration": demo_calibration, "runs": runs, "events": told.append, "period_ns": 300_000.0}
    result = run(EXCITED, lab=demo_lab, shots=3000, seed=1, **given)
    return result, told


def test_results_are_arrays_by_name(two):
    result, _ = two
    assert list(result.bits) == list(result.outcomes) == ["c[0]", "c[1]"]
    assert result.bits["c[0]"].dtype == np.uint8
    assert result.iq["c[1]"].shape == (3000, 2)
    assert np.array_equal(result.bits["c[0]"], result.outcomes["c[0]"])
    assert result.bits["c[0]"].values.mean() > 0.9 > 0.1 > result.bits["c[1]"].values.mean()
    assert result.summary.shots == len(result.record.rows) == 3000
    assert result.record.complete


def test_estimates_are_those_of_the_recorded_bits_and_agree_with_the_plant(two):
    result, _ = two
    signs = {name: 1.0 - 2.0 * bits for name, bits in result.bits.items()}
    assert list(result.estimates) == ["Z(c[0])", "Z(c[1])", "Z(c[0])*Z(c[1])"]
    assert result.estimates["Z(c[0])"].raw == pytest.approx(signs["c[0]"].mean())
    assert result.estimates["Z(c[0])*Z(c[1])"].raw == pytest.approx((signs["c[0]"] * signs["c[1]"]).mean())
    for name in ("Z(c[0])", "Z(c[1])"):
        one = result.estimates[name]
        error = sum(part**2 for part in msgspec.structs.astuple(one.stderr)) ** 0.5
        assert abs(one.value - one.truth) < 5 * error
        assert one.shots == 3000
    assert result.record.estimates == result.summary.estimates


def test_events_come_in_order(two):
    result, told = two
    kinds = [type(event) for event in told if not isinstance(event, Progress)]
    assert kinds == [InstrumentsFound, Calibrated, Compiled, Playing]
    assert told[0].found == result.found
    assert len(result.found) == 7
    assert told[1].taken_now is False
    counters = result.counters
    assert (told[2].hits, told[2].misses) == (counters["compile.hits"], counters["compile.misses"])
    assert told[3].folder == str(result.folder)
    assert told[3].stream.startswith("tcp://127.0.0.1:")
    done = [event.done for event in told if isinstance(event, Progress)]
    assert done[-1] == result.summary.shots
    assert done == sorted(done)


def test_the_folder_holds_what_the_run_was_made_of(two, demo_calibration):
    result, _ = two
    start = result.record.start
    assert result.record.file("program.qasm").decode() == EXCITED
    assert start["calibration_hash"] == calibration_hash(demo_calibration)
    assert (start["seed"], start["shots"], start["simulated"]) == (1, 3000, True)
    assert {"jax", "numpy", "qrt", "python"} <= start["versions"].keys()
    stop = result.record.stop
    assert (stop["exit_status"], stop["num_events"], stop["digest"]) == (
        "success",
        {"primary": 3000},
        result.summary.digest,
    )
    assert stop["counters"]["kernel.shots_executed"] == 3000
    assert stop["counters"]["awg_readout.segment_sent_count"] > 0


def test_a_single_shot_is_a_run_and_has_no_estimate(demo_lab, demo_calibration, tmp_path):
    result = run(EXCITED, lab=demo_lab, shots=1, seed=1, calibration=demo_calibration, runs=tmp_path, publish=False)
    assert result.summary.shots == 1
    assert result.summary.estimates == ()
    assert result.record.complete


def test_a_stored_calibration_is_found_by_latest_by_hash_and_by_path(play, tmp_path, demo_calibration):
    given = play()
    path = save_calibration(tmp_path, demo_calibration)
    for name in ("latest", path.stem[:10], str(path)):
        assert play(calibration=name).summary.digest == given.summary.digest


def test_where_results_go_and_when_shots_start_is_not_what_a_calibration_belongs_to(demo_lab):
    moved = msgspec.structs.replace(demo_lab, stream=Stream("tcp://127.0.0.1:7000"), runs="elsewhere")
    timing = msgspec.structs.replace(demo_lab.timing, shot_period_ns=9000.0, pacing="real")
    assert bound_hash(msgspec.structs.replace(moved, timing=timing)) == bound_hash(demo_lab)
    tuned = msgspec.structs.replace(demo_lab.digitizer, range_v=0.25)
    assert bound_hash(msgspec.structs.replace(demo_lab, digitizer=tuned)) != bound_hash(demo_lab)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"program": "OPENQASM 3; qubit q; cx q, q;\n"}, ProgramError, "<program>:1:"),
        ({"program": "absent.qasm"}, ProgramError, "absent.qasm: cannot be read"),
        ({"lab": "absent.toml"}, ConfigError, "absent.toml"),
        ({"calibration": "latest"}, CalibrationError, "no calibration of this lab"),
        ({"calibration": "00ff"}, CalibrationError, "00ff"),
        ({"inputs": {"angle": 1.0}}, ProgramError, "angle"),
        ({"shots": 0}, ProgramError, "shots = 0"),
        ({"shots": 1 << 62}, ProgramError, "shots = "),
        ({"seed": -1}, ProgramError, "seed = -1"),
        ({"seed": 1 << 64}, ProgramError, "seed = "),
        ({"pacing": "sometimes"}, ConfigError, "pacing"),
        ({"period_ns": -1.0}, ConfigError, "shot_period_ns"),
        ({"period_ns": 100.0}, ProgramError, "period"),
        ({"period_ns": 7000.5}, ConfigError, "7000.5"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_before_anything_is_opened(wrong, error, said, play, tmp_path, demo_lab):
    with Publisher(
        "tcp://127.0.0.1:*", "another"
    ) as other:  # a port that is taken would be the first thing to be opened
        lab = msgspec.structs.replace(demo_lab, stream=Stream(other.address))
        told = []
        given = {"lab": lab, "publish": True, "events": told.append} | wrong
        program = given.pop("program", play.args[0])
        with pytest.raises(error, match=said):
            run(program, **(play.keywords | given))
    assert told == []
    assert tree(tmp_path) == []


def test_a_calibration_that_does_not_hold_is_refused(play, demo_calibration, demo_lab, tmp_path):
    broken = demo_calibration.qubits["q0"].assignment.copy()
    broken[0, 0] = np.nan
    spoiled = msgspec.structs.replace(demo_calibration.qubits["q0"], assignment=broken)
    for calibration, said in (
        (msgspec.structs.replace(demo_calibration, lab_hash="0" * 64), "another lab"),
        (msgspec.structs.replace(demo_calibration, qubits={"q0": demo_calibration.qubits["q0"]}), "has no q1"),
        (msgspec.structs.replace(demo_calibration, qubits=demo_calibration.qubits | {"q0": spoiled}), "assignment"),
    ):
        with pytest.raises(CalibrationError, match=said):
            play(calibration=calibration)
    assert tree(tmp_path) == []


def test_a_taken_port_is_named_and_nothing_is_left(play, demo_lab, tmp_path):
    with Publisher("tcp://127.0.0.1:*", "another") as other:
        lab = msgspec.structs.replace(demo_lab, stream=Stream(other.address))
        with pytest.raises(MachineError, match=f"{other.address}: taken"):
            play(lab=lab, publish=True)
    assert tree(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(play, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    told = []
    with pytest.raises(MachineError, match=r"file/runs: cannot be written: Not a directory.*--runs"):
        play(runs=tmp_path / "file" / "runs", events=told.append)
    assert told == []


def test_missed_shots_are_rows_too_and_repeat(play, demo_lab):
    """Whether shots are missed is the machine's business; that nothing shifts is ours."""
    from qrt.replay import replay

    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=200.0)
    lab = msgspec.structs.replace(demo_lab, timing=timing)
    result = play(lab=lab, shots=3000, pacing="real", period_ns=20_000.0)
    rows = result.record.rows
    assert np.array_equal(rows["shot"], np.arange(3000))
    assert np.array_equal(rows["tick"], np.arange(3000) * 20_000)
    skipped = rows["flags"] == 1
    assert result.counters["kernel.shots_skipped"] == skipped.sum() == result.counters["skipped_shots"]
    assert sum(miss["skipped_count"] for miss in result.record.misses) == skipped.sum()
    assert result.summary.misses == len(result.record.misses)
    for miss in result.record.misses:
        assert skipped[miss["shot"] : miss["shot"] + miss["skipped_count"]].all()
    assert (rows["outcomes"][skipped] == 255).all()
    assert replay(result.folder).same


def test_a_miss_that_aborts_ends_the_run_with_everything_before_it(play, demo_lab, tmp_path):
    from qrt.errors import RunError

    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=0.0, late_policy="abort")
    lab = msgspec.structs.replace(demo_lab, timing=timing)
    with pytest.raises(RunError, match=r"late_policy.*\n.* kept in"):
        play(lab=lab, shots=3000, pacing="real", period_ns=10_000.0)
    (folder,) = [path for path in tmp_path.iterdir() if path.name != "calibrations"]
    record = open_run(folder)
    assert record.stop["exit_status"] == "fail"
    assert record.cut == ""


def test_memory_stays_flat(play):
    resident = []

    def look(event):
        if isinstance(event, Progress):
            with Path("/proc/self/status").open(encoding="ascii") as status:
                kib = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
            resident.append((event.done, kib))

    shots = 200_000
    play(shots=shots, events=look, publish=True)
    settled = [kib for done, kib in resident if done >= shots // 4]
    assert max(settled) - settled[0] < 16 * 1024


OFF_GRID = """OPENQASM 3;
qubit q;
bit c;
x q;
delay[100.3ns] q;
c = measure q;
c = measure q;
"""  # a bit that is read twice has no estimate: no batch process starts


def test_a_duration_off_the_grid_is_refused_or_rounded_and_told(play):
    given = play.keywords | {"events": (told := []).append}
    with pytest.raises(ProgramError, match=r"<program>:5:1: a delay of 100.3 ns .* nearest: 100 ns and 101 ns"):
        run(OFF_GRID, **given)
    result = run(OFF_GRID, round=True, **given)
    line = "<program>:5:1: a delay of 100.3 ns was rounded to 100 ns"
    assert result.rounded == (line,)
    assert next(event for event in told if isinstance(event, Playing)).rounded == (line,)
    whole = run(OFF_GRID.replace("100.3", "100"), **given)
    assert whole.summary.digest == result.summary.digest
    assert whole.rounded == ()
    assert result.record.start["rounded"] == [line]


def test_a_shot_that_is_longer_than_its_period_stretches_where_it_may(play):
    program = OFF_GRID.replace("100.3ns", "9us")
    with pytest.raises(ProgramError, match="period of 7000"):
        run(program, **play.keywords)
    result = run(program, stretch=1, **play.keywords)
    assert np.array_equal(result.record.rows["tick"], np.arange(500) * 14_000)
