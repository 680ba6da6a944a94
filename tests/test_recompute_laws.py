"""The laws of a recorded run, stepped again over its rows: every epoch comes out as it was, and what was changed is named."""

import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qrt.batch import Update
from qrt.client import open_run
from qrt.commands.replay import verdict_lines
from qrt.compile import PLAY
from qrt.controlling import law_sources
from qrt.errors import ConfigError, RecordError
from qrt.image import from_image
from qrt.observables import observables_of
from qrt.recompute import found_of, recompute, tallied, totals
from qrt.replay import replay
from qrt.sources import compiled_again
from qrt.tally import TOLERANCE
from qrt.types import Controller
from qrt.updates import laws_of
from tests.test_replay import change_image, place, with_array

W, BATCHES = 100, 6
BAD = Path(__file__).with_name("bad_law.py")


@pytest.fixture
def recorded(refused_run):
    return refused_run.folder


@pytest.fixture(scope="module")
def again(refused_run):
    """Return what one batch process gives for the run's rows, and what comparing needs beside it."""
    record = refused_run.record
    sources = compiled_again(record)
    laws, notes = laws_of(record, len(record.rows))
    assert notes == ()
    wanted = observables_of(from_image(record.image()).sequence)
    return list(totals(record.rows, wanted, sources.calibration, W, laws)), wanted, sources.calibration, laws


def test_every_epoch_comes_out_again_from_the_recorded_files_of_its_laws(recorded, again):
    messages, _, _, laws = again
    tally = tallied({}, *again)
    assert tally.off is None
    assert tally.largest is None  # the same machine and the same compiler: in every bit
    assert len(laws.epochs) == sum(isinstance(one, Update) for one in messages) == BATCHES
    words = len(laws.epochs[0].words)
    assert tally.numbers == BATCHES * (1 + 2 * 4 + words)
    assert [(one.controller, one.batch) for one in laws.refused] == [("dies", 3)]
    record = open_run(recorded)
    files = {one["controller"]: one["file"] for one in record.start["laws"]}
    assert files.keys() == {"fails", "dies", "cut"}
    for name in files.values():
        assert record.file(name) == BAD.read_bytes()
        assert name == f"law-{hashlib.sha256(BAD.read_bytes()).hexdigest()[:16]}.py"


def changed(laws, batch, **parts):
    """Return the laws with another document for one batch."""
    epochs = [msgspec.structs.replace(one, **parts) if one.batch == batch else one for one in laws.epochs]
    return laws._replace(epochs=tuple(epochs))


@pytest.mark.parametrize(
    ("name", "output"), [("servo", "theta"), ("fails", "a"), ("dies", "b"), ("cut", "threshold.q0")]
)
@pytest.mark.parametrize("batch", [0, 3])
def test_one_changed_value_is_named_by_controller_batch_and_both_values(again, name, output, batch):
    messages, wanted, calibration, laws = again
    before = laws.epochs[batch].values[output]
    after = before * (1 + 3 * TOLERANCE) + (before == 0) * 1e-9
    tally = tallied(
        {}, messages, wanted, calibration, changed(laws, batch, values=laws.epochs[batch].values | {output: after})
    )
    assert (tally.off.name, tally.off.batch, tally.off.field) == (f"controller '{name}'", batch, output)
    assert (tally.off.recorded, tally.off.computed) == (after, before)
    assert tally.off.text.startswith(f"controller '{name}', batch {batch}: {output}: recorded {after!r}, ")


def test_one_changed_word_is_off_however_little_it_is(again):
    messages, wanted, calibration, laws = again
    for index, word in enumerate(laws.epochs[4].words):
        words = list(laws.epochs[4].words)
        words[index] += 1
        tally = tallied({}, messages, wanted, calibration, changed(laws, 4, words=tuple(words)))
        assert (tally.off.name, tally.off.batch) == (f"epoch {laws.epochs[4].number}", 4)
        assert tally.off.field.startswith(f"word {index}, of ")
        assert (tally.off.recorded, tally.off.computed) == (word + 1, word)


def test_refusals_and_epochs_that_are_not_the_recorded_ones_are_named(again):
    messages, wanted, calibration, laws = again
    tally = tallied({}, messages, wanted, calibration, changed(laws, 2, refused=()))
    assert tally.off.text == "controller 'fails', batch 2: updates refused: recorded 0, computed again 1: off by 1"
    tally = tallied({}, messages, wanted, calibration, changed(laws, 1, number=9))
    assert tally.off.text.startswith("epoch 9, batch 1: epoch: recorded 9, computed again 3")
    cut = [one for one in messages if not (isinstance(one, Update) and one.batch == BATCHES - 1)]
    tally = tallied({}, cut, wanted, calibration, laws)
    assert (
        tally.off.text
        == f"epoch {BATCHES + 1}, batch {BATCHES - 1}: epoch: recorded {BATCHES + 1}, not there again: off by 1"
    )
    lines = verdict_lines(found_of("run", 3, tally, (), BATCHES))
    assert lines[0].endswith(f"numbers in 3 estimates and {BATCHES} epochs computed again")


def test_the_whole_run_computed_again_is_the_same(recorded):
    found = recompute(recorded)
    assert (found.same, found.largest, found.notes, found.epochs) == (True, None, (), BATCHES)
    assert found.estimates > 0


def test_what_does_not_belong_together_is_refused(recorded, tmp_path):
    copy = Path(shutil.copytree(recorded, tmp_path / "copy"))
    (law,) = copy.glob("law-*.py")
    law.write_text("LAW = None")
    with pytest.raises(RecordError, match=r"law-.*\.py: SHA-256 .* changed or damaged"):
        recompute(copy)


def test_rows_that_are_not_on_record_leave_their_epochs_out(recorded):
    record = open_run(recorded)
    laws, notes = laws_of(record, 3 * W + 50)
    assert [one.batch for one in laws.epochs] == [0, 1, 2]
    assert notes == ("epoch 5 and later are of batches whose rows are not all on record: not compared",)


def test_the_files_of_laws_are_not_larger_than_a_message(demo_lab, tmp_path):
    file = tmp_path / "long.py"
    file.write_bytes(b"#" * 70_000)
    lab = msgspec.structs.replace(demo_lab, controllers={"long": Controller(str(file), "theta")})
    with pytest.raises(
        ConfigError, match=r"controllers\.long\.law: the files of laws hold 70000 bytes together; 65536 are"
    ):
        law_sources(lab)


# ---- The same run replayed -------------------------------------------------------------------------------------------------


def test_a_run_with_controllers_compiles_to_what_it_was_armed_with(recorded):
    assert replay(recorded).same
    record = open_run(recorded)
    again, armed = compiled_again(record), from_image(record.image())
    np.testing.assert_array_equal(again.sequence.instructions, armed.sequence.instructions)
    np.testing.assert_array_equal(again.sequence.captures, armed.sequence.captures)
    np.testing.assert_array_equal(again.bound.sweep.slots, armed.sweep.slots)
    np.testing.assert_array_equal(again.bound.epoch_values, armed.epochs.values)


def test_a_changed_instruction_of_a_run_with_controllers_is_named_where_it_acts(recorded, tmp_path):
    copy = Path(shutil.copytree(recorded, tmp_path / "copy"))

    def softer(code):
        code["c"][np.flatnonzero(code["op"] == PLAY)[0]] ^= 8

    change_image(copy, lambda played: with_array(played, "instructions", softer))
    verdict = replay(copy)
    assert not verdict.same
    assert place(verdict.difference)[3] == "play"
    assert "the image is not what the folder's program, lab and calibration compile to" in verdict.difference
