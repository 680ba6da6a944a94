"""Replay: the recorded run again in every bit, or the first difference by tick, sequencer and field, whatever was changed."""

import re
import shutil

import msgspec
import numpy as np
import pytest

from qrt import kernel
from qrt.client import open_run
from qrt.errors import RecordError, WorldError
from qrt.image import Played, from_image, to_image
from qrt.layout import decode_image, encode_image
from qrt.loop import power_of_two
from qrt.playback import skips_of
from qrt.record import RunFolder, new_uid
from qrt.replay import first_event_difference, replay
from qrt.run import run

PLACE = re.compile(
    r"shot (\d+): tick (\d+), sequencer q0: field (\S+) of (.+): (recorded|expected) (-?\d+), replayed (-?\d+)"
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, demo_lab, demo_calibration, feedback):
    """Return the folder of one run, for copies."""
    runs = tmp_path_factory.mktemp("recorded")
    return run(feedback, lab=demo_lab, calibration=demo_calibration, runs=runs, shots=400, seed=3, publish=False).folder


@pytest.fixture
def folder(recorded, tmp_path):
    """Return a copy of the run that may be spoiled."""
    return shutil.copytree(recorded, tmp_path / recorded.name)


def change_image(folder, change):
    """Put the image as `change` returns it, given what it holds, into the folder."""
    path = folder / "image"
    path.write_bytes(encode_image(*to_image(change(from_image(decode_image(path.read_bytes()))))))


def change_rows(folder, change):
    """Let `change` alter the recorded rows."""
    rows = np.memmap(folder / "shots.bin", open_run(folder).layout.dtype, "r+")
    change(rows)
    rows.flush()


def with_array(played, name, change):
    array = getattr(played.sequence, name).copy()
    change(array)
    return msgspec.structs.replace(played, sequence=msgspec.structs.replace(played.sequence, **{name: array}))


def place(difference):
    found = PLACE.match(difference)
    assert found, difference
    return found.groups()


def test_a_run_repeats_in_every_bit(recorded):
    verdict = replay(recorded)
    assert verdict.same
    assert verdict.digest == verdict.recorded == open_run(recorded).digest()
    assert (verdict.shots, verdict.difference, verdict.notes) == (400, "", ())


@pytest.mark.parametrize("shot", [0, 7, 399])
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda row: row["iq"].__setitem__((1, 0), row["iq"][1, 0] ^ 1), "iq[0]"),
        (lambda row: row["iq"].__setitem__((0, 1), row["iq"][0, 1] ^ (1 << 40)), "iq[1]"),
        (lambda row: row["outcomes"].__setitem__(1, row["outcomes"][1] ^ 1), "outcome"),
    ],
)
def test_a_flipped_bit_of_a_recorded_result_is_named_by_tick_sequencer_and_field(recorded, folder, shot, change, field):
    before = open_run(recorded).rows[shot]
    change_rows(folder, lambda rows: change(rows[shot]))
    verdict = replay(folder)
    assert not verdict.same
    found = place(verdict.difference)
    assert int(found[0]) == shot
    assert int(found[1]) > 0
    assert found[2] == field
    assert found[6] in {str(value) for value in (*before["iq"].flat, *before["outcomes"])}
    assert any("CRC-32" in note for note in verdict.notes)


@pytest.mark.parametrize("field", ["shot", "tick", "epoch", "flags", "bits", "trace_hash", "capture_count"])
def test_a_flipped_bit_elsewhere_in_a_row_is_named_by_its_field(folder, field):
    def flip(rows):
        rows[field][11] ^= rows[field].dtype.type(4)

    change_rows(folder, flip)
    difference = replay(folder).difference
    assert difference.startswith("shot 11, tick 0: field ")
    assert f"field {field} of the row" in difference


def test_a_shot_that_is_recorded_as_skipped_and_was_not(folder):
    def skip(rows):
        rows["flags"][11] |= kernel.ROW_SKIPPED

    change_rows(folder, skip)
    assert replay(folder).difference.startswith("shot 11, tick 0: field ")


def instruction(op):
    return lambda played: int(np.flatnonzero(played.sequence.instructions["op"] == op)[0])


@pytest.mark.parametrize(
    ("op", "operand", "bit", "what"),
    [(1, "c", 1 << 3, "play"), (1, "d", 1, "play"), (3, "d", 1 << 2, "wait"), (7, "d", 1 << 40, "shift_phase")],
)
def test_a_flipped_bit_of_an_instruction_is_named_where_it_acts(folder, op, operand, bit, what):
    def flip(played):
        index = instruction(op)(played)
        return with_array(
            played, "instructions", lambda array: array[operand].__setitem__(index, array[operand][index] ^ bit)
        )

    change_image(folder, flip)
    verdict = replay(folder)
    assert not verdict.same
    found = place(verdict.difference)
    assert found[0] == "0"
    assert found[3] == what or found[2] == "tick"
    assert "not what the folder's program, lab and calibration compile to" in verdict.difference
    assert any("image: not the bytes on record" in note for note in verdict.notes)


def flipped_plant(played, key, bit=44):
    """Return the image with one bit of a float of the plant's first qubit flipped."""
    plant = msgspec.msgpack.decode(played.plant)
    value = np.array(plant["config"]["qubits"][0][key])
    value.view(np.uint64)[...] ^= np.uint64(1 << bit)
    plant["config"]["qubits"][0][key] = float(value)
    return msgspec.structs.replace(played, plant=msgspec.msgpack.encode(plant))


@pytest.mark.parametrize(
    ("key", "bit"), [("t1_s", 44), ("frequency_hz", 44), ("kappa_rad_per_s", 44), ("drive_rad_per_s_per_v", 51)]
)
def test_a_flipped_bit_of_a_plant_parameter_is_named_by_what_it_changes_first(folder, key, bit):
    change_image(folder, lambda played: flipped_plant(played, key, bit))
    found = place(replay(folder).difference)
    assert found[2] in {"iq[0]", "iq[1]", "outcome"}


def test_another_seed_of_the_plant_is_another_run(folder):
    def reseed(played):
        plant = msgspec.msgpack.decode(played.plant)
        return msgspec.structs.replace(played, plant=msgspec.msgpack.encode(plant | {"seed": plant["seed"] ^ 1}))

    change_image(folder, reseed)
    assert place(replay(folder).difference)[0] == "0"


@pytest.mark.parametrize("name", ["weights", "captures"])
def test_a_flipped_bit_of_a_weight_or_a_threshold_is_seen_in_the_outcome(folder, name):
    def flip(array):
        if name == "weights":
            array[500] ^= 1 << 9
        else:
            array["threshold"][0] ^= 1 << 60

    change_image(folder, lambda played: with_array(played, name, flip))
    assert place(replay(folder).difference)[2] in {"outcome", "iq[0]"}


def test_sources_that_were_changed_do_not_hide_the_difference(folder):
    change_image(folder, lambda played: flipped_plant(played, "t1_s"))
    (folder / "program.qasm").write_text("OPENQASM 3; nothing")
    difference = replay(folder).difference
    assert "sequencer q0: field" in difference
    assert "changed or damaged" in difference


def test_an_image_that_ends_the_kernel_is_told_by_its_place(folder):
    def shorten(array):
        first = np.flatnonzero(array["op"] == 4)[0]  # wait_until before the branch: an absolute tick that is past
        array["d"][first] = 1

    change_image(folder, lambda played: with_array(played, "instructions", shorten))
    verdict = replay(folder)
    assert not verdict.same
    assert "shot 0" in verdict.difference


def test_any_flipped_byte_of_the_image_is_a_difference_or_an_error_of_the_world(folder, rng):
    path = folder / "image"
    whole = path.read_bytes()
    changed = 0
    for offset in rng.choice(len(whole), 60, replace=False):
        data = bytearray(whole)
        data[offset] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            verdict = replay(folder)
        except WorldError:
            changed += 1
            continue
        assert any("image: not the bytes on record" in note for note in verdict.notes)
        assert verdict.same == (verdict.digest == verdict.recorded)
        changed += not verdict.same
    assert changed > 10


def test_a_run_that_was_cut_is_replayed_as_far_as_it_is_on_record(folder):
    size = (folder / "journal").stat().st_size
    with (folder / "journal").open("r+b") as journal:
        journal.truncate(size - 40)  # the stop document
    verdict = replay(folder)
    assert verdict.same
    assert any("no stop document" in note for note in verdict.notes)


@pytest.mark.parametrize("name", ["image", "journal", "shots.bin", "layout.json"])
def test_a_folder_without_one_of_its_files_is_refused_by_its_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(RecordError, match=name):
        replay(folder)


def test_a_run_without_a_shot_is_refused(folder):
    (folder / "journal").write_bytes(b"")
    with pytest.raises(RecordError, match="nothing to replay"):
        replay(folder)


# ---- Skipped shots --------------------------------------------------------------------------------------------------------


def play_image(played: Played, skips, count):
    """Return the rows of `count` shots of an image, of which some are skipped."""
    from qrt.firmware_sim.twin import plant_from_bytes

    port = plant_from_bytes(played.plant)
    dtype = kernel.row_dtype(len(played.sequence.slots))
    with kernel.Ring.create(dtype.itemsize, power_of_two(count), 1) as ring:
        config = kernel.Config(
            sequence=played.sequence,
            port=port.address,
            rings=kernel.Rings(rows=ring),
            shot_count=count,
            tick_ps=played.tick_ps,
            skips=skips,
        )
        with kernel.Kernel(config) as loop:
            loop.start()
            loop.join()
        return ring.peek(0, dtype).view(np.uint8).copy().view(dtype)  # a structured copy leaves the padding out


def ranges(*pairs):
    found = np.zeros(len(pairs), kernel.SKIP_DTYPE)
    for row, (shot, count) in zip(found, pairs, strict=True):
        row["shot"], row["count"] = shot, count
    return found


@pytest.mark.parametrize("pairs", [((0, 1),), ((3, 4), (7, 1)), ((5, 1), (20, 30), (255, 1)), ((0, 256),)])
def test_skipped_shots_are_skipped_again(recorded, tmp_path, pairs):
    run = open_run(recorded)
    image = run.image()
    rows = play_image(from_image(image), ranges(*pairs), 256)
    assert np.flatnonzero(rows["flags"]).tolist() == [s for shot, count in pairs for s in range(shot, shot + count)]
    with RunFolder.create(tmp_path, new_uid(0), run.layout) as folder:
        folder.write_image(image.arrays, image.fields)
        folder.append(rows, np.zeros(256, np.int64))
        folder.commit()
        assert replay(folder.path).same


def test_ranges_of_skipped_rows_are_joined_and_ascend():
    rows = np.zeros(12, kernel.row_dtype(0))
    rows["flags"][[0, 1, 4, 9, 10, 11]] = kernel.ROW_SKIPPED
    rows["flags"][5] = kernel.ROW_ERASED
    assert skips_of(rows).tolist() == [(0, 2), (4, 1), (9, 3)]
    assert len(skips_of(rows[2:4])) == 0


def test_an_event_that_only_one_log_has_is_named():
    events = np.zeros(2, kernel.EVENT_DTYPE)
    events["tick"], events["op"] = [5, 9], [1, 0]
    names = type("Names", (), {"sequencers": ("q0",)})
    assert first_event_difference(events, events, names) == ""
    assert first_event_difference(events, events[:1], names) == "tick 9, sequencer q0: end expected only"
    assert first_event_difference(events[:1], events, names) == "tick 9, sequencer q0: end replayed only"
