"""One seed, one digest, with controllers and a sweep at work: on every pacing, in other processes, on every instruction set.

Beside the rows every word that the batches computed is compared: rows alone would not see a law whose last values came out differently.
"""

from functools import partial

import msgspec
import pytest

from qrt import kernel
from qrt.client import open_run
from qrt.replay import replay
from qrt.run import run
from qrt.store import bound_hash, save_calibration
from qrt.types import Control, Controller
from tests.test_controlled_runs import BAD
from tests.test_determinism import command

W, DELAY, BATCHES, POINTS = 100, 2, 6, 3
PERIOD_NS = 2e6  # 400 ms for the laws of a batch
TRIES = (
    5  # a trigger of the hardware waits for nobody: a run that the host held up for a period has misses, and other rows
)
SWEEP = {"phi": f"linspace(0, 1.5, {POINTS})"}
INPUTS = {"theta": 0.8}
PROGRAM = """OPENQASM 3;
include "stdgates.inc";
input float theta;
input float phi;
qubit q;
bit c;
reset q;
rx(theta) q;
rx(phi) q;
c = measure q;
"""
CONTROLLERS = {
    "integrator": Controller("integrator", "theta", "c", 0.5, 0.0, 3.1, parameters={"gain": -1.0}),
    "bad_law": Controller(BAD, "threshold.q0", parameters={"gain": 1000.0}),
}


@pytest.fixture(scope="module")
def controlled(demo_lab, demo_calibration, tmp_path_factory):
    """Return `qrt.run` of the program, on the demo lab with a hardware trigger that drifts and jitters."""
    twin = msgspec.structs.replace(
        demo_lab.twin,
        parameters=demo_lab.twin.parameters | {"trigger": {"drift_ppm": 400.0, "jitter_ns": 20_000.0}},
    )
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=60e9)
    lab = msgspec.structs.replace(demo_lab, twin=twin, timing=timing, control=Control(W, DELAY))
    given = {
        "lab": lab,
        "calibration": msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab)),
        "runs": tmp_path_factory.mktemp("controlled"),
        "shots": BATCHES * W // POINTS,
        "seed": 1,
        "publish": False,
        "period_ns": PERIOD_NS,
        "inputs": INPUTS,
        "controllers": CONTROLLERS,
        "sweep": SWEEP,
        "order": "shot",
    }
    return partial(run, PROGRAM, **given)


@pytest.fixture(scope="module")
def virtual(controlled):
    return controlled()


def made(record):
    """Return all that must be the same: the digest, and what every batch computed."""
    return record.digest(), [
        (one.body["epoch"], one.body["words"], one.body["refused"]) for one in record.documents("epoch")
    ]


def test_the_run_has_something_to_compare(virtual):
    digest, epochs = made(virtual.record)
    assert digest == virtual.summary.digest
    assert len({tuple(words) for _, words, _ in epochs}) == BATCHES
    assert set(virtual.record.rows["epoch"].tolist()) == {0, *range(DELAY + 1, BATCHES)}
    assert len(virtual.sweep.curves["Z(c)"].value) == POINTS


@pytest.mark.parametrize("pacing", ["real", "external"])
def test_every_pacing_gives_the_same_rows_and_the_same_words(controlled, virtual, pacing):
    runs = (controlled(pacing=pacing) for _ in range(TRIES))
    paced = next((one for one in runs if one.record.misses == ()), None)
    assert paced is not None
    assert paced.record.start["clock"] == pacing
    assert made(paced.record) == made(virtual.record)
    assert replay(paced.folder).same


def elsewhere(controlled, tmp_path, project, calibration, isa):
    """Return the record of the same run by the command, in a process of its own on that instruction set."""
    (tmp_path / "program.qasm").write_text(PROGRAM)
    text = (project / "configs/demo.toml").read_text(encoding="utf-8")
    text = text.replace("drift_ppm = 20.0 ", "drift_ppm = 400.0 ").replace("jitter_ns = 10.0", "jitter_ns = 20000.0")
    (tmp_path / "lab.toml").write_text(f"{text}\n[control]\nbatch_shots = {W}\ndelay_batches = {DELAY}\n")
    asked = (
        "integrator:output=theta,bit=c,setpoint=0.5,minimum=0,maximum=3.1,gain=-1",
        f"{BAD}:output=threshold.q0,gain=1000",
    )
    answer = command(
        "run",
        tmp_path / "program.qasm",
        *("--lab", tmp_path / "lab.toml", "--shots", BATCHES * W // POINTS, "--seed", 1, "--no-publish"),
        *("--runs", tmp_path, "--calibration", save_calibration(tmp_path, calibration), "--period-ns", PERIOD_NS),
        *("--input", "theta=0.8", "--sweep", f"phi={SWEEP['phi']}", "--order", "shot"),
        *(word for one in asked for word in ("--controller", one)),
        QRT_ISA=isa,
    )
    return open_run(answer["run"])


SETS = [pytest.param(isa, marks=() if isa == "baseline" else pytest.mark.prove, id=isa) for isa in kernel.isa_names()]


@pytest.mark.parametrize("isa", SETS)
def test_every_instruction_set_in_a_process_of_its_own_gives_the_same(controlled, virtual, tmp_path, project, isa):
    calibration = controlled.keywords["calibration"]
    record = elsewhere(controlled, tmp_path, project, calibration, isa)
    assert record.start["isa"] == isa
    assert made(record) == made(virtual.record)
