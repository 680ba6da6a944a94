"""Two runs, one against the other: what they were made of, and where they part, named by shot, tick, sequencer and field."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from qrt import documents, kernel
from qrt.__main__ import cli
from qrt.against import VALUE_SIZE_MAX, Comparison, _program_difference, compare
from qrt.client import open_run
from qrt.errors import RecordError
from qrt.image import from_image, to_image
from qrt.layout import decode_image, encode_image
from qrt.playback import armed, bytes_of, logged, playback_of, rows_of
from qrt.record import RunFolder, new_uid
from qrt.run import run
from qrt.store import bound_hash, decode_calibration

SHOTS = 120
TURNED = """OPENQASM 3;
include "stdgates.inc";
input angle theta;
qubit q;
bit c;
sx q; rz(theta) q; sx q;
c = measure q;
if (c) x q;
c = measure q;
"""  # a bit that is written twice has no estimate, so that no batch process starts
LATER = TURNED.replace("if (c) x q;", "if (c) sx q;")
BOTH = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
c[0] = measure q[0];
c[1] = measure q[1];
c[0] = measure q[0];
c[1] = measure q[1];
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, demo_lab, demo_calibration):
    """Return a function that gives the folder of a run, made once for each set of options."""
    runs, known = tmp_path_factory.mktemp("against"), {}

    def make(name="", **changes):
        if name not in known:
            given = {"program": TURNED, "lab": demo_lab, "calibration": demo_calibration, "shots": SHOTS, "seed": 3}
            given |= {"inputs": {"theta": 1.5}, "runs": runs, "publish": False} | changes
            known[name] = run(given.pop("program"), **given).folder
        return known[name]

    return make


@pytest.fixture
def base(made):
    return made()


def sources(found):
    """Return the differences of what a person has written or chosen."""
    return {one.name: (one.a, one.b) for one in found.sources if not one.name.startswith("image.")}


def images(found):
    """Return which parts of the armed images differ."""
    return {one.name.removeprefix("image.") for one in found.sources if one.name.startswith("image.")}


def mirrored(found, folder, other):
    """Check that the runs in the other order part at the same place, with the values swapped."""
    back = compare(other, folder)
    assert (back.same, back.shots, back.digests) == (found.same, found.shots[::-1], found.digests[::-1])
    assert sources(back) == {name: (b, a) for name, (a, b) in sources(found).items()}
    if found.first is None:
        assert back.first is None
    else:
        assert (back.first.shot, back.first.tick) == (found.first.shot, found.first.tick)
        if found.first.field != "length":
            assert (back.first.field, back.first.a, back.first.b) == (found.first.field, found.first.b, found.first.a)


def test_a_run_and_its_repetition_are_the_same_in_everything(made, base):
    found = compare(base, made("again"))
    assert found.same
    assert (found.first, found.difference, found.sources, found.notes) == (None, "", (), ())
    assert found.shots == (SHOTS, SHOTS)
    assert found.digests == (open_run(base).digest(), open_run(base).digest())


def test_another_seed_is_named_and_parts_at_the_first_outcome(made, base):
    other = made("seed", seed=4)
    found = compare(base, other)
    assert not found.same
    assert sources(found) == {"seed": ("3", "4")}
    assert images(found) == {"seed", "plant"}
    assert (found.first.shot, found.first.sequencer) == (0, "q0")
    assert found.first.field in {"outcome", "iq[0]"}
    rows = [open_run(folder).rows[0] for folder in (base, other)]
    column = "outcomes" if found.first.field == "outcome" else "iq"
    assert [found.first.a, found.first.b] == [int(row[column].flat[0]) for row in rows]
    # Its tick is that at which the capture ends, which both images' timelines agree upon.
    _, events = logged(playback_of(open_run(base))[0], 0)
    ends = events["tick"][events["op"] == kernel.EVENT_OUTCOME]
    assert found.first.tick == ends[0]
    said = f"shot 0: tick {ends[0]}, sequencer q0: field {found.first.field} of the capture that ends there: A"
    assert found.difference.startswith(said)
    mirrored(found, base, other)


def test_another_seed_of_the_arm_is_told_though_nothing_that_was_written_differs(base, tmp_path):
    """A session that takes its calibration arms the lab before its run does, and each arm has a seed of its own."""
    record = open_run(base)
    image = record.image()
    other = rewritten(
        record, tmp_path, image.arrays | {"plant": image.arrays["plant"][::-1]}, image.fields | {"seed": 8}
    )
    found = compare(base, other)
    assert found.same
    assert sources(found) == {}
    assert images(found) == {"seed", "plant"}
    assert [one.b for one in found.sources if one.name == "image.seed"] == ["8"]


def rewritten(record, runs, arrays, fields):
    """Write a run again with another image, and return its folder."""
    with RunFolder.create(runs, new_uid(0), record.layout) as folder:
        folder.write_image(arrays, fields)
        for name in ("lab.json", "program.qasm", "calibration.json"):
            folder.put(name, record.file(name))
        folder.document("start", "control", record.start | {"uid": folder.uid}, t_ns=0)
        folder.append(record.rows, np.zeros(len(record.rows), np.int64))
        folder.commit()
    return folder.path


def test_another_input_is_named_and_parts_at_the_pulse_that_it_sets(made, base):
    other = made("input", inputs={"theta": 1.25})
    found = compare(base, other)
    assert sources(found) == {"inputs.theta": ("1.5", "1.25")}
    assert images(found) == {"instructions"}
    assert (found.first.shot, found.first.sequencer) == (0, "q0")
    assert found.first.event in {"play", "shift_phase"}
    _, events = logged(playback_of(open_run(base))[0], 0)
    first_end = events["tick"][events["op"] == kernel.EVENT_OUTCOME][0]
    assert found.first.tick < first_end  # long before anything that was measured
    mirrored(found, base, other)


def test_another_program_is_named_by_its_line_and_parts_where_a_shot_takes_the_changed_branch(made, base):
    other = made("program", program=LATER)
    found = compare(base, other)
    assert sources(found)["program line 8"] == ("if (c) x q;", "if (c) sx q;")
    assert "program_hash" in sources(found)
    a, b = (open_run(folder).rows for folder in (base, other))
    wrong = int(np.flatnonzero(a["trace_hash"] != b["trace_hash"])[0])
    assert found.first.shot == wrong
    assert a["outcomes"][wrong, 0] == b["outcomes"][wrong, 0] == 1  # the branch was taken, and no outcome differs yet
    assert (a["outcomes"][:wrong, 0] == 0).all()
    assert found.first.event in {"play", "shift_phase", "wait"}
    mirrored(found, base, other)


@pytest.mark.parametrize(
    ("name", "change", "event", "field"),
    [
        ("weights", lambda one: {"weights": np.where(np.arange(one.weights.size).reshape(2, -1) == 7, 99, one.weights)
                                 .astype(np.int16)}, "capture", "weights[7]"),
        ("threshold", lambda _: {"threshold": 1 << 50}, "capture", "threshold"),
        ("frequency", lambda one: {"frequency_hz": msgspec.structs.replace(one.frequency_hz,
                                   value=one.frequency_hz.value + 3e6)}, "play", "frame.frequency"),
        ("amplitude", lambda one: {"sx_amplitude": msgspec.structs.replace(one.sx_amplitude,
                                   value=one.sx_amplitude.value * 0.99)}, "play", "amplitude"),
    ],
)  # fmt: skip
def test_another_calibration_is_named_by_its_value_and_parts_at_the_first_use_of_it(
    made, base, demo_calibration, name, change, event, field
):
    qubits = demo_calibration.qubits
    changed = msgspec.structs.replace(qubits["q0"], **change(qubits["q0"]))
    calibration = msgspec.structs.replace(demo_calibration, qubits=qubits | {"q0": changed})
    other = made(name, calibration=calibration)
    found = compare(base, other)
    named = set(sources(found))
    assert "calibration_hash" in named
    assert all(path.startswith("calibration") for path in named)
    assert any(path.startswith("calibration.qubits.q0.") for path in named)
    assert not any(path.startswith("calibration.qubits.q1") for path in named)
    assert (found.first.event, found.first.field) == (event, field)
    mirrored(found, base, other)


def test_what_the_plant_does_alone_is_named_by_the_lab_and_by_the_iq(made, base, demo_lab):
    parameters = json.loads(json.dumps(demo_lab.twin.parameters))
    parameters["qubits"]["q0"]["efficiency"] = 0.15
    twin = msgspec.structs.replace(demo_lab.twin, parameters=parameters)
    lab = msgspec.structs.replace(demo_lab, twin=twin)
    calibration = msgspec.structs.replace(open_calibration(base), lab_hash=bound_hash(lab))
    other = made("plant", lab=lab, calibration=calibration)
    found = compare(base, other)
    assert "lab.twin.parameters.qubits.q0.efficiency" in sources(found)
    assert found.first.event in {"outcome", "iq"}


def open_calibration(folder):
    return decode_calibration(open_run(folder).file("calibration.json"), "base")


def test_a_long_value_is_cut_on_both_sides_and_says_so():
    text = "x" * 50
    (one,) = _program_difference(f"{text}a{'y' * 100}".encode(), f"{text}b{'z' * 10}".encode())
    assert (one.name, len(one.a)) == ("program line 1", VALUE_SIZE_MAX + 2)
    assert one.a[0] == one.a[-1] == "…"
    assert "xay" in one.a
    assert (one.b[0], one.b[-11:]) == ("…", "b" + 10 * "z")


def test_a_shorter_run_is_the_same_as_far_as_it_goes(made, base):
    other = made("shorter", shots=SHOTS - 50)
    found = compare(base, other)
    assert not found.same
    assert sources(found) == {"shots": (str(SHOTS), str(SHOTS - 50))}
    assert (found.first.shot, found.first.field, found.first.a, found.first.b) == (SHOTS - 50, "length", SHOTS, None)
    assert found.difference.startswith(f"shot {SHOTS - 50}: A goes on, B ends before it")
    mirrored(found, base, other)


def test_another_period_is_told_by_the_rows_alone(made, base):
    other = made("period", period_ns=9000.0)
    found = compare(base, other)
    assert sources(found)["period_ticks"] == ("7000", "9000")
    assert sources(found)["lab.timing.shot_period_ns"] == ("7000.0", "9000.0")
    assert (found.first.shot, found.first.field, found.first.a, found.first.b) == (1, "tick", 7000, 9000)
    assert found.difference == "shot 1: field tick of the row: A 7000, B 9000"


def test_the_real_clock_without_misses_is_the_same_trace_though_not_the_same_source(made, base, demo_lab):
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=1e9)
    lab = msgspec.structs.replace(demo_lab, timing=timing)
    found = compare(base, made("paced", lab=lab, pacing="real", calibration=open_calibration(base)))
    assert found.same
    assert sources(found)["clock"] == ("virtual", "real")
    assert sources(found)["lab.timing.late_tolerance_ns"] == ("50000.0", "1000000000.0")


def with_misses(base, runs, skips):
    """Write the run again with some shots skipped, as a paced run records it; return its folder."""
    record = open_run(base)
    wanted = np.zeros(len(record.rows), record.layout.dtype)
    for shot, count in skips:
        wanted["flags"][shot : shot + count] = kernel.ROW_SKIPPED
    playback = playback_of(record)[0]._replace(rows=wanted)
    with armed(playback, len(wanted)) as (loop, ring):
        parts = [bytes_of(part).copy() for part in rows_of(loop, ring, wanted.dtype)]
    rows = np.concatenate(parts).reshape(-1).view(wanted.dtype)
    image = record.image()
    with RunFolder.create(runs, new_uid(0), record.layout) as folder:
        folder.write_image(image.arrays, image.fields)
        for name in ("lab.json", "program.qasm", "calibration.json"):
            folder.put(name, record.file(name))
        folder.document("start", "control", record.start | {"uid": folder.uid}, t_ns=0)
        folder.append(rows, np.zeros(len(rows), np.int64))
        for shot, count in skips:
            row = np.zeros(1, kernel.MISS_DTYPE)
            row["shot"], row["skipped_count"], row["lateness_ns"] = shot, count, 654321
            folder.document("miss", "control", documents.miss(row[0]), t_ns=0)
        folder.commit()
        told = {"exit_status": "success", "reason": "", "shots": len(rows), "counters": {}}
        folder.document("stop", "control", documents.stop(folder.uid, 0.0, digest=folder.digest(), **told), t_ns=0)
    return folder.path


def test_a_missed_shot_is_told_with_its_miss(base, tmp_path):
    other = with_misses(base, tmp_path, ((57, 3), (80, 1)))
    found = compare(base, other)
    assert (found.sources, found.notes) == ((), ())
    assert (found.first.shot, found.first.field, found.first.a) == (57, "skipped", "played")
    assert found.first.b == "skipped (late_release, 654321 ns late, cause sink)"
    mirrored(found, base, other)
    later = with_misses(base, tmp_path, ((57, 3), (90, 1)))
    found = compare(other, later)
    assert (found.first.shot, found.first.b) == (80, "played")


def test_a_miss_changes_what_comes_after_it_and_two_runs_with_the_same_misses_are_the_same(base, tmp_path):
    one, again = (with_misses(base, tmp_path, ((5, 2),)) for _ in range(2))
    assert compare(one, again).same


# ---- Damage, and what cannot be compared ---------------------------------------------------------------------------------------


@pytest.fixture
def copy(base, tmp_path):
    return shutil.copytree(base, tmp_path / base.name)


def test_a_changed_row_is_found_and_the_record_is_said_not_to_match(base, copy):
    rows = np.memmap(copy / "shots.bin", open_run(copy).layout.dtype, "r+")
    rows["iq"][33, 0, 0] ^= 1
    rows.flush()
    found = compare(base, copy)
    assert found.first.shot == 33
    assert any("CRC-32" in note for note in found.notes)
    assert any("no longer plays shot 33 as recorded" in note for note in found.notes)
    assert (found.first.field, found.first.tick) == ("iq", None)  # both images play the same; only the row is another


def test_an_image_that_was_changed_is_noted(made, base, copy):
    played = from_image(decode_image((copy / "image").read_bytes()))
    weights = played.sequence.weights.copy()
    weights[100] ^= 1 << 6
    changed = msgspec.structs.replace(played, sequence=msgspec.structs.replace(played.sequence, weights=weights))
    (copy / "image").write_bytes(encode_image(*to_image(changed)))
    assert compare(base, copy).same  # the rows are what was recorded; nothing is executed
    found = compare(made("seed", seed=4), copy)
    assert any("image: not the bytes on record" in note for note in found.notes)
    assert any("no longer plays shot 0 as recorded" in note for note in found.notes)


def test_an_image_whose_segments_are_gone_is_refused(made, base, copy):
    played = from_image(decode_image((copy / "image").read_bytes()))
    empty = dict.fromkeys(played.sequence.segments, ())
    changed = msgspec.structs.replace(played, sequence=msgspec.structs.replace(played.sequence, segments=empty))
    (copy / "image").write_bytes(encode_image(*to_image(changed)))
    with pytest.raises(RecordError, match="not whole: a shot plays what is not in it"):
        compare(copy, made("seed", seed=4))


def test_a_run_that_was_cut_is_compared_as_far_as_it_is_on_record(base, copy):
    size = (copy / "journal").stat().st_size
    with (copy / "journal").open("r+b") as journal:
        journal.truncate(size - 40)  # the stop document
    found = compare(base, copy)
    assert found.same
    assert any("no stop document" in note for note in found.notes)


def test_without_start_documents_the_files_and_rows_are_compared(base, tmp_path):
    record = open_run(base)
    image = record.image()
    with RunFolder.create(tmp_path, new_uid(0), record.layout) as folder:
        folder.write_image(image.arrays, image.fields)
        folder.put("program.qasm", LATER.encode())
        folder.append(record.rows, np.zeros(len(record.rows), np.int64))
        folder.commit()
    found = compare(base, folder.path)
    assert found.same
    assert set(sources(found)) == {"program line 8"}
    assert any("no start document" in note for note in found.notes)
    assert any("no file 'lab.json' on record; there are: image, program.qasm; not compared" in n for n in found.notes)


def test_runs_of_other_captures_are_refused_with_both(made, base):
    other = made("both", program=BOTH, inputs={}, period_ns=300_000.0)
    with pytest.raises(RecordError, match=r"captures of its rows: c\[0\], .*c\[1\]#3; there: c, c#1\. Give two runs"):
        compare(base, other)


def test_a_run_on_hardware_is_refused(base, tmp_path):
    record = open_run(base)
    with RunFolder.create(tmp_path, new_uid(0), record.layout) as folder:
        folder.document("start", "control", record.start | {"simulated": False}, t_ns=0)
        folder.append(record.rows, np.zeros(len(record.rows), np.int64))
        folder.commit()
    for pair in ((base, folder.path), (folder.path, base)):
        with pytest.raises(RecordError, match=f"{folder.path}: a run on hardware"):
            compare(*pair)


def test_a_folder_that_is_no_run_is_refused_whichever_it_is(base, tmp_path):
    for pair in ((base, tmp_path), (tmp_path, base)):
        with pytest.raises(RecordError, match="not a run's folder"):
            compare(*pair)


# ---- The command -------------------------------------------------------------------------------------------------------------


def call(*arguments):
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)])


def test_the_command_tells_both_runs_what_they_were_made_of_and_where_they_part(made, base):
    other = made("seed", seed=4)
    answer = call(base, "--against", other)
    assert answer.exit_code == 1
    lines = answer.stdout.splitlines()
    assert lines[0] == f"   A: {base}: {SHOTS} shots"
    assert lines[1] == f"   B: {other}: {SHOTS} shots"
    assert lines[2] == "   not made of the same: 3 differences"
    assert lines[3].split() == ["seed", "A", "3", "B", "4"]
    assert [line.split()[0] for line in lines[4:6]] == ["image.seed", "image.plant"]
    assert lines[6].startswith("   first difference: shot 0: tick ")
    answer = call(base, "--against", other, "--json")
    assert answer.exit_code == 1
    found = msgspec.json.decode(answer.stdout, type=Comparison)
    assert found == compare(base, other)


def test_the_command_says_that_runs_are_the_same(made, base):
    answer = call(base, "--against", made("again"))
    assert answer.exit_code == 0
    assert "the same in every bit, and made of the same: digest" in answer.stdout
    answer = call(base, "--against", made("shorter", shots=SHOTS - 50))
    assert answer.exit_code == 1


def test_one_thing_is_asked_of_a_replay_at_a_time(base):
    answer = call(base, "--against", base, "--verify")
    assert answer.exit_code == 2
    assert "give one of them" in answer.stderr
