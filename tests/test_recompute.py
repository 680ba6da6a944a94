"""The batch side computed again: every recorded estimate comes out as it was, and one number that was changed is named."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from qrt import documents
from qrt.__main__ import cli
from qrt.client import open_run
from qrt.commands.replay import verdict_lines
from qrt.errors import RecordError
from qrt.observables import observables_of
from qrt.playback import recorded_image
from qrt.readout.estimate import combine
from qrt.recompute import Recomputed, found_of, recompute, tallied, totals
from qrt.record import RunFolder, new_uid
from qrt.run import run
from qrt.store import decode_calibration
from qrt.tally import SCALE_MIN, TOLERANCE, deviation

TWO = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
x q[0];
c[0] = measure q[0];
c[1] = measure q[1];
"""
NAMES = ["Z(c[0])", "Z(c[1])", "Z(c[0])*Z(c[1])"]
PARTS = ("value", "raw", "raw_stderr", "effective_shots", "shot", "calibration", "drift", "preparation")

BATCH = 1000  # shots of a batch, as a lab has it that says nothing else


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, demo_lab, demo_calibration):
    """Return the folder of a run with estimates, whose last batch is not full."""
    runs = tmp_path_factory.mktemp("recompute")
    given = {"calibration": demo_calibration, "runs": runs, "period_ns": 300_000.0, "publish": False}
    return run(TWO, lab=demo_lab, shots=5000, seed=1, **given).folder


def rewritten(folder, runs, change, *, rows=None, estimates=None):
    """Write a run folder again; `change` gets each estimate's body. Return the new folder."""
    record = open_run(folder)
    rows = record.rows if rows is None else rows
    bodies = [document.body for document in record.documents("estimate")] if estimates is None else estimates
    with RunFolder.create(runs, new_uid(0), record.layout) as new:
        for name in record.files:
            new.put(name, record.file(name))
        new.document("start", "control", record.start, t_ns=0)
        new.append(rows, np.zeros(len(rows), np.int64))
        for body in bodies:
            new.document("estimate", "estimates", change(json.loads(json.dumps(body))), t_ns=0)
        new.commit()
        told = {"exit_status": "success", "reason": "", "shots": len(rows), "counters": {}}
        new.document("stop", "control", documents.stop(new.uid, 0.0, digest=new.digest(), **told), t_ns=0)
    return new.path


def test_every_number_of_every_estimate_comes_out_again(recorded):
    found = recompute(recorded)
    record = open_run(recorded)
    assert (found.same, found.difference, found.off, found.notes) == (True, "", None, ())
    assert found.estimates == len(record.documents("estimate")) >= 3
    assert found.numbers == found.estimates * len(PARTS)
    assert found.largest is None  # the same machine and the same compiler: in every bit


@pytest.fixture(scope="module")
def again(recorded):
    """Return what `tallied` needs beside the recorded estimates, from one batch process for all tests."""
    record = open_run(recorded)
    calibration = decode_calibration(record.file("calibration.json"), "recorded")
    wanted = observables_of(recorded_image(record)[0].sequence)
    return list(totals(record.rows, wanted, calibration, BATCH)), wanted, calibration


def estimates_of(recorded, change=lambda one: one):
    """Return the run's last estimates, each as `change` returns it, by the shots that they are of."""
    found = {}
    for one in map(change, open_run(recorded).estimates):
        found.setdefault(one.shots, []).append(one)
    return found


def test_estimates_on_the_way_are_found_by_the_shots_that_they_are_of(recorded, again):
    """What a run publishes at the end of some batch: its raw part here made from the rows by plain numpy."""
    sums, wanted, calibration = again
    record = open_run(recorded)
    signs = 1.0 - 2.0 * np.stack([record.bits[name] for name in ("c[0]", "c[1]")], axis=1)[: 3 * BATCH]
    raw = dict(zip(NAMES, (*signs.mean(axis=0), signs.prod(axis=1).mean()), strict=True))
    combined = combine(sums[2], wanted.terms, wanted.bit_names, wanted.bit_qubits, calibration.qubits)
    early = [msgspec.structs.replace(one, raw=float(raw[one.name])) for one in combined]
    tally = tallied({3 * BATCH: early}, *again)
    assert (tally.numbers, tally.off) == (3 * len(PARTS), None)
    assert [one.shots for one in early] == [3 * BATCH] * 3
    tally = tallied({2 * BATCH: early}, *again)
    assert tally.off.batch == 1


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", [NAMES[0], NAMES[2]])
def test_one_changed_number_is_named_by_estimate_batch_and_both_values(recorded, again, name, part):
    last = {one.name: one for one in open_run(recorded).estimates}[name]
    inner = hasattr(last.stderr, part)
    before = getattr(last.stderr if inner else last, part)
    after = before + 3 * TOLERANCE * max(abs(before), SCALE_MIN)

    def change(one):
        if one.name != name:
            return one
        values = {"stderr": msgspec.structs.replace(one.stderr, **{part: after})} if inner else {part: after}
        return msgspec.structs.replace(one, **values)

    tally = tallied(estimates_of(recorded, change), *again)
    assert tally.off == tally.largest
    assert (tally.off.name, tally.off.batch) == (name, 4)
    assert tally.off.field == (f"stderr.{part}" if inner else part)
    assert (tally.off.recorded, tally.off.computed) == (after, before)
    assert tally.off.relative == pytest.approx(3 * TOLERANCE, rel=1e-3)
    assert tally.off.text.startswith(f"{name}, batch 4: ")
    assert repr(after) in tally.off.text
    assert repr(before) in tally.off.text


def test_a_deviation_within_the_tolerance_is_reported_and_passes(recorded, again):
    def change(one):
        return msgspec.structs.replace(one, value=one.value * (1 + TOLERANCE / (4 if one.name == NAMES[1] else 8)))

    tally = tallied(estimates_of(recorded, change), *again)
    assert tally.off is None
    assert (tally.largest.name, tally.largest.field) == (NAMES[1], "value")
    assert tally.largest.relative == pytest.approx(TOLERANCE / 4, rel=1e-3)


def test_an_estimate_that_no_batch_ends_with_and_one_of_another_name_are_off(recorded, again):
    tally = tallied(estimates_of(recorded, lambda one: msgspec.structs.replace(one, shots=4999)), *again)
    assert tally.off.text == "Z(c[0]), batch 4: shots: recorded 4999, not there again: off by 1"
    tally = tallied(estimates_of(recorded, lambda one: msgspec.structs.replace(one, name="Z(d)")), *again)
    assert (tally.off.name, tally.off.field, tally.off.computed) == ("Z(d)", "value", None)


def test_changed_rows_are_seen_in_the_estimates(recorded, tmp_path):
    record = open_run(recorded)
    rows = np.array(record.rows)
    rows["bits"][1700] ^= 1
    found = recompute(rewritten(recorded, tmp_path, lambda body: body, rows=rows))
    assert not found.same
    assert found.off.name == NAMES[0]
    assert found.off.recorded != found.off.computed
    assert found.difference == found.off.text


def test_deviation_is_relative_to_the_larger_with_a_floor():
    assert deviation(2.0, 2.0) == deviation(0.0, 0.0) == 0.0
    assert deviation(1.0, 2.0) == deviation(2.0, 1.0) == deviation(-2.0, -1.0) == 0.5
    assert deviation(1e-15, -1e-15) == pytest.approx(2e-15 / SCALE_MIN)
    assert deviation(0.0, None) == 1.0


def test_a_run_without_estimates_is_refused(recorded, tmp_path):
    folder = rewritten(recorded, tmp_path, lambda body: body, estimates=[])
    with pytest.raises(RecordError, match="no estimate and no epoch on record"):
        recompute(folder)


def test_an_estimate_of_another_version_and_a_changed_calibration_are_refused(recorded, tmp_path):
    def change(body):
        del body["stderr"]["drift"]
        return body

    with pytest.raises(RecordError, match=r"an estimate of another version: .*drift"):
        recompute(rewritten(recorded, tmp_path, change))
    copy = shutil.copytree(recorded, tmp_path / "copy")
    (copy / "calibration.json").write_text("{}")
    with pytest.raises(RecordError, match="changed or damaged"):
        recompute(copy)


def test_the_command_ends_with_status_1_where_a_number_is_off(recorded, tmp_path):
    folder = rewritten(recorded, tmp_path, lambda body: body | {"value": body["value"] + 1e-3})
    answer = CliRunner().invoke(cli, ["replay", str(folder), "--recompute", "--json"])
    assert answer.exit_code == 1
    found = msgspec.json.decode(answer.stdout, type=Recomputed)
    assert (found.run, found.same, found.off.name, found.off.field) == (str(folder), False, NAMES[0], "value")
    assert found.numbers == 8 * found.estimates == 8 * len(open_run(recorded).documents("estimate"))


def test_the_three_outcomes_are_told_apart(recorded, again):
    told = []
    for factor in (1.0, 1.0 + 1e-10, 1.0 + 1e-8):
        change = lambda one, by=factor: msgspec.structs.replace(one, value=one.value * by)  # noqa: E731 - an argument
        tally = tallied(estimates_of(recorded, change), *again)
        told.append(verdict_lines(found_of(str(recorded), 3, tally)))
    assert told[0][-1] == "the same in every bit"
    assert told[1][-1].startswith("within 1e-09; the largest deviation: Z(c[")
    assert told[2][-2].startswith("beyond 1e-09: Z(c[0]), batch 4: value: recorded")
