"""Runs with sweeps, epochs and misses of every class replay bit for bit, from their image, rows and `epoch` documents.

The runs are made by the kernel on the recorded plant of a real one, in virtual time and against the clock, with this file in the place of
the batch process: it publishes epochs in time, late, or not at all. The threshold of the first capture follows the epoch, the amplitude of
the first pulse the sweep, so that a wrong word shows in an outcome or in what is played. How fast a tick passes is free: that is how
a run is made to keep up with the clock, or not to.
"""

import itertools
import threading

import msgspec
import numpy as np
import pytest

from qrt import documents, kernel
from qrt.against import compare
from qrt.client import open_run
from qrt.compile import BRANCH, PLAY
from qrt.epochs import entries_of, epochs_of
from qrt.errors import RecordError, WorldError
from qrt.firmware_sim.twin import plant_from_bytes
from qrt.image import ArmedEpochs, from_image, sweep_points, to_image
from qrt.layout import Layout, decode_image, encode_image
from qrt.loop import power_of_two
from qrt.playback import RING_SLOTS
from qrt.record import RunFolder, new_uid
from qrt.replay import replay
from qrt.run import run

LOAD, PLAY_REGISTER = 12, 17
HIGH = 1 << 60  # a threshold that no iq reaches
POINTS, SHOTS_PER_POINT = 5, 3
AMPLITUDES = {"amp": np.linspace(0.0, 0.25, POINTS)}


@pytest.fixture(scope="module")
def base(tmp_path_factory, demo_lab, demo_calibration, feedback):
    """Return the image of a run whose first pulse follows a sweep and whose first threshold follows the epoch, and its layout."""
    runs = tmp_path_factory.mktemp("base")
    given = {"lab": demo_lab, "calibration": demo_calibration, "runs": runs, "shots": 1, "seed": 3, "publish": False}
    record = run(feedback, **given).record
    played = from_image(record.image())
    return with_slots(played), record.layout


def with_slots(played):
    """Return the image with slot 0 (epoch) as the first capture's threshold and slot 1 (sweep) as the first play's amplitude."""
    sequence = played.sequence
    entry = int(sequence.entries[0])
    load = np.zeros(1, kernel.INSTRUCTION_DTYPE)
    load["op"], load["a"], load["b"] = LOAD, 10, 1
    code = np.concatenate([sequence.instructions[:entry], load, sequence.instructions[entry:]])
    code["c"][(code["op"] == BRANCH) & (code["c"] >= entry)] += 1
    first = np.flatnonzero(code["op"] == PLAY)[0]
    code["op"][first], code["c"][first] = PLAY_REGISTER, 10
    captures = sequence.captures.copy()
    captures["threshold_slot"][0] = 0
    lines = (*sequence.source_lines[:entry], 0, *sequence.source_lines[entry:])
    entries = sequence.entries + (sequence.entries > entry)
    changed = {"instructions": code, "captures": captures, "source_lines": lines, "entries": entries}
    slots = np.zeros(2, kernel.SLOT_DTYPE)
    slots["rule"] = kernel.Rule.EPOCH, kernel.Rule.AFFINE
    slots["stop"][1] = 16384
    sweep = kernel.Sweep((POINTS,), slots, shots_per_point=SHOTS_PER_POINT)
    sequence = msgspec.structs.replace(sequence, budget=sequence.budget + 1, **changed)
    return msgspec.structs.replace(played, sequence=sequence, sweep=sweep, axes=AMPLITUDES)


def threshold(number):
    """Return the word of an epoch: every second one lets no outcome be 1, no two are the same."""
    return number + (HIGH if number % 2 else 0)


class Made(msgspec.Struct):
    """What came of a run, with what it was made from."""

    played: object
    layout: object
    rows: np.ndarray
    misses: np.ndarray
    report: object
    clock: str
    words: dict

    def record(self, runs, *, words=None, documents_of=lambda bodies: bodies):
        """Write it as a run folder and return that."""
        words, armed = self.words if words is None else words, self.played.epochs
        image = to_image(self.played)
        with RunFolder.create(runs, new_uid(0), self.layout) as folder:
            folder.write_image(*image)
            start = {"uid": folder.uid, "time": 0.0, "clock": self.clock, "simulated": True}
            folder.document("start", "control", start, t_ns=0)
            folder.append(self.rows, np.zeros(len(self.rows), np.int64))
            for body in documents_of([epoch_body(number, word, armed) for number, word in words.items()]):
                folder.document("epoch", "control", body, t_ns=0, sync=False)
            for row in self.misses:
                folder.document("miss", "control", documents.miss(row), t_ns=0)
            folder.commit()
            told = {"exit_status": "success", "reason": "", "shots": len(self.rows), "counters": {}}
            folder.document("stop", "control", documents.stop(folder.uid, 0.0, digest=folder.digest(), **told), t_ns=0)
        return folder.path


def epoch_body(number, word, armed):
    return {
        "epoch": number,
        "first_shot": number * armed.batch_shots,
        "batch": number - 1 - armed.delay,
        "values": {"threshold.q0": float(word)},
        "words": [word],
        "controllers": ["tracker"],
        "refused": [],
        "busy_ns": 5,
    }


class Writer:
    """In the place of the batch process: publishes each epoch once its batch is in, or as it is told."""

    def __init__(self, armed, batches, *, early=0, late=(), held=(), slow=()):
        """early: so many are there before the first shot; late: published after they were due; slow: 3 ms after their batch."""
        self.armed = armed
        self.due = list(range(armed.delay + 1, batches))
        self.early, self.late, self.held, self.slow = early, set(late), set(held), set(slow)
        dtype = kernel.epoch_dtype(1)
        self.ring = kernel.Ring.create(dtype.itemsize, power_of_two(max(len(self.due), 1)), 1)
        self.words = {}
        for _ in range(early):
            self.publish()

    def publish(self):
        number = self.due.pop(0)
        entry = np.zeros(1, kernel.epoch_dtype(1))
        entry["number"], entry["values"][0] = number, threshold(number)
        entry["flags"] = kernel.EPOCH_HELD if number in self.held else 0
        if number not in self.held:
            self.words[number] = threshold(number)
        if number in self.slow:
            threading.Event().wait(0.003)  # the length of an injected delay
        assert self.ring.write(entry) == 1

    def seen(self, shots):
        """Take note of how many rows there are."""
        armed = self.armed
        while self.due:
            number = self.due[0]
            needed = (
                number * armed.batch_shots + 1 if number in self.late else (number - armed.delay) * armed.batch_shots
            )
            if shots < needed:
                return
            self.publish()


def make(
    base,
    *,
    count,
    delay=1,
    batch_shots=50,
    pacing="virtual",
    tick_ps=1000,
    stall=False,
    slots=None,
    tolerance_ns=20_000,
    **given,
):
    """Play a run and return it; stall: the reader of the rows lets the ring overflow once."""
    played, layout = base
    epochs = ArmedEpochs(np.array([threshold(0)]), delay, batch_shots)
    played = msgspec.structs.replace(played, epochs=epochs, shot_count=count, tick_ps=tick_ps)
    writer = Writer(epochs, -(-count // batch_shots), **given)
    port = plant_from_bytes(played.plant)
    rows = kernel.Ring.create(layout.dtype.itemsize, slots or power_of_two(count), 1)
    misses = kernel.Ring.create(kernel.MISS_DTYPE.itemsize, 4096, 1)
    config = kernel.Config(
        sequence=played.sequence,
        port=port.address,
        rings=kernel.Rings(rows=rows, misses=misses),
        shot_count=count,
        sweep=played.sweep,
        epochs=kernel.Epochs(writer.ring, epochs.values, delay, batch_shots),
        pacing=kernel.Pacing[pacing.upper()],
        tick_ps=tick_ps,
        late_tolerance_ns=tolerance_ns,
        seed=played.seed,
    )
    parts, seen = [], 0
    with kernel.Kernel(config) as loop:
        loop.start()
        if stall:
            assert rows.wait(0, slots, 10.0) == slots
            threading.Event().wait(0.02)
        closed = False
        while not closed or seen < rows.published:
            closed = rows.closed
            rows.wait(0, 1, 0.01)
            part = rows.peek(0, layout.dtype)
            parts.append(part.view(np.uint8).copy())
            rows.release(0, len(part))
            seen += len(part)
            writer.seen(seen)
        report = loop.join()
    assert report.status is kernel.Status.OK
    assert report.misses_dropped == 0
    data = np.concatenate(parts).view(layout.dtype)
    assert len(data) == count
    layout = Layout(layout.dtype, layout.captures, layout.bits, tick_ps)
    found = misses.peek(0, kernel.MISS_DTYPE).copy()
    return Made(played, layout, data, found, report, pacing, writer.words)


def classes(made):
    return {documents.miss(row)["class"] for row in made.misses}


def check_same(made, tmp_path):
    folder = made.record(tmp_path)
    verdict = replay(folder)
    assert (verdict.difference, verdict.same, verdict.notes) == ("", True, ())
    assert verdict.shots == len(made.rows)
    assert verdict.digest == open_run(folder).digest()
    return folder


# ---- Bit for bit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_run_in_virtual_time_with_epochs_and_a_sweep(base, tmp_path, delay):
    made = make(base, count=625, delay=delay, held={7, 8})
    due = np.arange(625) // 50
    expected = np.where(due > delay, due, 0)
    expected[(due == 7) | (due == 8)] = 6
    assert np.array_equal(made.rows["epoch"], expected)
    ones = made.rows["outcomes"][:, 0] == 1
    assert not ones[expected % 2 == 1].any()  # those thresholds are in force
    assert ones[expected % 2 == 0].any()
    check_same(made, tmp_path)


@pytest.mark.parametrize("delay", [1, 3])
def test_epochs_that_came_late_are_held_again(base, tmp_path, delay):
    late = {delay + 2, delay + 3, 9}
    made = make(base, count=600, delay=delay, pacing="real", tick_ps=8000, early=1, late=late)
    assert made.report.epochs_held >= len(late)
    boundaries = made.rows["epoch"][np.arange(12) * 50]
    assert boundaries[delay + 1] == delay + 1
    assert all(boundaries[number] < number for number in late)
    assert "late_epoch" in classes(made)
    assert made.words.keys() >= late  # they were computed, and are on record, but never in force
    check_same(made, tmp_path)


def test_shots_that_were_skipped_because_nobody_read_their_rows(base, tmp_path):
    made = make(
        base, count=600, pacing="real", tick_ps=8000, stall=True, slots=64, tolerance_ns=10**9, early=2, late={5}
    )
    assert "late_sink" in classes(made)
    skipped = made.rows["flags"] == kernel.ROW_SKIPPED
    assert skipped[50:].any()
    check_same(made, tmp_path)


def test_shots_that_were_skipped_because_the_clock_is_too_fast_for_them(base, tmp_path):
    """A period is 1.4 µs, and a shot takes several: the kernel falls behind, whatever else the machine does."""
    made = make(base, count=6000, pacing="real", tick_ps=200, early=3)
    assert "late_release" in classes(made)
    skipped = made.rows["flags"] == kernel.ROW_SKIPPED
    assert skipped.sum() == made.misses["skipped_count"].sum() > 0
    check_same(made, tmp_path)


def test_a_run_that_stops_and_waits_pauses_again(base, tmp_path):
    made = make(base, count=400, delay=0, pacing="real", tick_ps=8000, slow={2, 5})
    assert made.report.paused_periods > 0
    gaps = np.diff(made.rows["tick"]) // made.played.sequence.period_ticks - 1
    assert gaps.sum() == made.report.paused_periods
    assert (np.flatnonzero(gaps) % 50 == 49).all()
    assert gaps[2 * 50 - 1] > 0  # 3 ms are fifty periods
    assert gaps[5 * 50 - 1] > 0
    assert made.rows["epoch"].tolist() == (np.arange(400) // 50).tolist()
    check_same(made, tmp_path)


def test_a_run_that_stops_and_waits_and_whose_shots_are_stretched(base, tmp_path):
    """Every shot takes two periods; behind the fiftieth, the run pauses besides."""
    played, layout = base
    short = msgspec.structs.replace(played.sequence, period_ticks=played.sequence.period_ticks // 4, stretch_max=3)
    made = make(
        (msgspec.structs.replace(played, sequence=short), layout),
        count=200,
        delay=0,
        pacing="real",
        tick_ps=8000,
        slow={2},
    )
    gaps = np.diff(made.rows["tick"]) // short.period_ticks - 1
    assert (gaps >= (made.rows["flags"][:-1] == 0)).all()
    assert made.report.stretched_periods == made.report.shots_executed > 0
    assert made.report.paused_periods > 0
    assert gaps[2 * 50 - 1] > 1
    check_same(made, tmp_path)


def test_a_run_that_stops_and_waits_and_whose_rows_find_no_place(base, tmp_path):
    made = make(base, count=600, delay=0, pacing="real", tick_ps=8000, stall=True, slots=32, tolerance_ns=10**9)
    assert "late_sink" in classes(made)
    check_same(made, tmp_path)


def test_more_epochs_than_the_ring_of_a_replay_holds(base, tmp_path):
    count = RING_SLOTS + 700
    made = make(base, count=count, batch_shots=1, early=count - 2, held={RING_SLOTS + 5})
    assert made.report.epochs_applied == count - 3
    check_same(made, tmp_path)


# ---- What is not as it was ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def virtual(base):
    return make(base, count=400, held={4})


def test_another_word_of_an_epoch_is_named_where_it_acts_first(virtual, tmp_path):
    words = virtual.words | {6: threshold(5)}
    verdict = replay(virtual.record(tmp_path, words=words))
    assert not verdict.same
    ones = np.flatnonzero(virtual.rows["outcomes"][:, 0] == 1)
    first = ones[ones >= 6 * 50][0]
    assert verdict.difference.startswith(f"shot {first}: tick ")
    assert "field outcome of capture 0: recorded 1, replayed 0" in verdict.difference


@pytest.mark.parametrize("shot", [150, 151, 200, 399])
def test_another_epoch_in_a_row_is_named(virtual, tmp_path, shot):
    rows = virtual.rows.view(np.uint8).copy().view(virtual.layout.dtype)
    rows["epoch"][shot] ^= 1 << 40
    verdict = replay(msgspec.structs.replace(virtual, rows=rows).record(tmp_path))
    assert not verdict.same
    assert verdict.difference.startswith(
        f"shot {shot}, tick 0: field epoch of the row: recorded {rows['epoch'][shot]}, "
    )


def test_a_run_is_replayed_up_to_the_first_epoch_without_a_document(virtual, tmp_path):
    def without(bodies):
        return [body for body in bodies if body["epoch"] != 6]

    folder = virtual.record(tmp_path, documents_of=without)
    verdict = replay(folder)
    assert (verdict.same, verdict.shots) == (True, 300)
    assert verdict.notes == (f"{folder}: epoch 6 is in force from shot 300 on, and no document has its values",)
    found = compare(folder, virtual.record(tmp_path))
    assert found.same  # the rows are all there, and nothing is executed


def test_an_epoch_that_was_held_needs_no_document(virtual, tmp_path):
    assert 4 not in virtual.words
    check_same(virtual, tmp_path)


def changed(number, **values):
    return lambda bodies: [body | values if body["epoch"] == number else body for body in bodies]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(3, words=[1, 2]), "epoch 3 has 2 words; the armed image has 1"),
        (changed(3, words=[1 << 63]), r"epoch 3: a word of \(9223372036854775808,\) is beyond 64 bits"),
        (changed(3, words=["1"]), r"an epoch of another version: .*words"),
        (changed(3, values={"a": None}), r"an epoch of another version: .*values"),
        (lambda bodies: [*bodies, bodies[2] | {"words": [5]}], "epoch 5 is on record twice, with other words"),
        (
            lambda bodies: [{k: v for k, v in body.items() if k != "batch"} for body in bodies],
            "another version: .*batch",
        ),
    ],
)
def test_documents_that_do_not_hold_are_refused_by_the_epoch(virtual, tmp_path, change, said):
    with pytest.raises(RecordError, match=said):
        replay(virtual.record(tmp_path, documents_of=change))


def test_a_document_that_is_there_twice_with_the_same_words_is_one(virtual, tmp_path):
    assert replay(virtual.record(tmp_path, documents_of=lambda bodies: [*bodies, *bodies])).same


def test_a_run_that_waits_is_told_when_its_epochs_began(virtual):
    rows = np.zeros(200, virtual.layout.dtype)
    rows["shot"] = np.arange(200)
    rows["epoch"] = rows["shot"] // 50
    period = virtual.played.sequence.period_ticks
    rows["tick"] = (rows["shot"] + 2 * (rows["shot"] >= 100)) * period
    epochs = epochs_of([epoch_body(n, n, virtual.played.epochs) for n in (1, 2, 3)], "x")
    waits = msgspec.structs.replace(virtual.played, epochs=ArmedEpochs(np.array([0]), 0, 50))
    for paced, begins in (True, [50, 102, 152]), (False, [0, 0, 0]):
        found = entries_of(waits, epochs, rows, paced=paced, where="x")
        assert found.entries["begin_period"].tolist() == begins


def test_two_runs_of_which_one_missed_an_epoch_part_there(base, virtual, tmp_path):
    other = make(base, count=400, held={4, 6})
    found = compare(virtual.record(tmp_path), other.record(tmp_path))
    assert found.difference == "shot 300: field epoch of the row: A 6, B 5"


def test_two_runs_with_other_epochs_part_at_the_outcome_that_they_make(virtual, tmp_path):
    words = {number: threshold(number + 1) for number in virtual.words}
    rows = virtual.rows.view(np.uint8).copy().view(virtual.layout.dtype)
    one = virtual.record(tmp_path)
    shot = int(np.flatnonzero((rows["outcomes"][:, 0] == 1) & (rows["epoch"] > 0))[0])
    rows["outcomes"][shot, 0] = 0
    found = compare(one, msgspec.structs.replace(virtual, rows=rows).record(tmp_path, words=words))
    assert found.first.shot == shot
    assert any("no longer plays shot" in note for note in found.notes)  # the rows are not what those words make


# ---- The image ---------------------------------------------------------------------------------------------------------------


def test_an_image_comes_back_with_its_sweep_and_epochs(virtual):
    played = msgspec.structs.replace(virtual.played, stretched_first=7)
    again = from_image(decode_image(encode_image(*to_image(played))))
    assert again.stretched_first == 7
    assert (again.sweep.points, again.sweep.order, again.sweep.shots_per_point) == ((5,), kernel.Order.POINT, 3)
    assert np.array_equal(again.sweep.slots, played.sweep.slots)
    assert np.array_equal(again.sweep.table, played.sweep.table)
    assert list(again.axes) == ["amp"]
    assert np.array_equal(again.axes["amp"], AMPLITUDES["amp"])
    assert (again.epochs.delay, again.epochs.batch_shots) == (1, 50)
    assert np.array_equal(again.epochs.values, played.epochs.values)
    assert again.sequence.captures["threshold_slot"].tolist() == played.sequence.captures["threshold_slot"].tolist()
    plain = msgspec.structs.replace(played, sweep=kernel.NO_SWEEP, axes={}, epochs=None)
    again = from_image(decode_image(encode_image(*to_image(plain))))
    assert (again.epochs, again.axes, again.sweep.points) == (None, {}, ())


@pytest.mark.parametrize(
    ("fields", "arrays", "said"),
    [
        ({"v": 3}, {}, "version 3; this program reads version 4"),
        ({"epochs": {"delay": -1, "batch_shots": 5}}, {}, "not whole"),
        ({"epochs": {"delay": 1, "batch_shots": 0}}, {}, "not whole"),
        ({"epochs": {"delay": 1}}, {}, "not whole.*batch_shots"),
        ({"epochs": 5}, {}, "not whole"),
        ({"sweep": {"points": [5], "order": "zigzag", "shots_per_point": 1}}, {}, "not whole.*ZIGZAG"),
        ({"sweep": {"points": [4], "order": "shot", "shots_per_point": 1}}, {}, r"not whole.*axes of \[5\]"),
        ({"axes": ["amp", "phase"]}, {}, "not whole.*axis.1"),
        ({}, {"epoch.values": np.zeros(1, np.int32)}, "epoch.values is not a vector of int64"),
        ({}, {"sweep.slots": np.zeros(3, np.int64)}, "sweep.slots is not a vector"),
        ({}, {"axis.0": np.zeros((5, 1))}, "axis.0 is not a vector"),
    ],
)
def test_an_image_that_is_not_whole_is_refused(virtual, fields, arrays, said):
    own, values = to_image(virtual.played)
    with pytest.raises(RecordError, match=said):
        from_image(decode_image(encode_image(own | arrays, values | fields)))


def test_any_flipped_byte_of_such_an_image_is_a_difference_or_an_error_of_the_world(virtual, tmp_path, rng):
    folder = virtual.record(tmp_path)
    whole = (folder / "image").read_bytes()
    marks = [whole.index(mark.encode()) for mark in ("batch_shots", "shots_per_point", "epoch.values", "axis.0")]
    offsets = [int(rng.integers(mark, mark + 60)) for mark in marks for _ in range(10)]
    changed = 0
    for offset in offsets:
        data = bytearray(whole)
        data[offset] ^= 1 << int(rng.integers(8))
        (folder / "image").write_bytes(data)
        try:
            verdict = replay(folder)
        except WorldError:
            changed += 1
            continue
        assert any("image: not the bytes on record" in note for note in verdict.notes)
        changed += not verdict.same
    assert changed > 10


# ---- To be read --------------------------------------------------------------------------------------------------------------


def test_a_run_gives_its_epochs_and_what_was_swept(virtual, tmp_path):
    record = open_run(virtual.record(tmp_path, documents_of=lambda bodies: bodies[::-1]))
    epochs = record.epochs
    assert [one.number for one in epochs] == sorted(virtual.words)
    assert [one.shot for one in epochs] == [50 * one.number for one in epochs]
    assert [one.batch for one in epochs] == [one.number - 2 for one in epochs]
    assert [one.words for one in epochs] == [(threshold(one.number),) for one in epochs]
    assert epochs[0].values == {"threshold.q0": float(threshold(2))}
    assert (epochs[0].controllers, epochs[0].refused) == (("tracker",), ())
    assert list(record.axes) == list(record.swept) == ["amp"]
    point = itertools.cycle(value for value in AMPLITUDES["amp"] for _ in range(SHOTS_PER_POINT))
    assert record.swept["amp"].tolist() == list(itertools.islice(point, 400))


@pytest.mark.parametrize("order", kernel.Order)
def test_points_of_a_grid_are_those_of_an_odometer(order):
    each = 4 if order is kernel.Order.POINT else 1
    odometer = itertools.cycle([pair for pair in itertools.product(range(2), range(3)) for _ in range(each)])
    expected = list(itertools.islice(odometer, 60))
    for walked in ((2, 3), (6,)):  # by the kernel: both axes, or joined as one
        sweep = kernel.Sweep(walked, np.zeros(0, kernel.SLOT_DTYPE), order=order, shots_per_point=4)
        assert sweep_points(sweep, (2, 3), np.arange(60)).T.tolist() == [list(pair) for pair in expected]


def test_a_run_without_a_sweep_has_no_axes(base, tmp_path):
    made = make((msgspec.structs.replace(base[0], axes={}), base[1]), count=50)
    record = open_run(made.record(tmp_path))
    assert (record.axes, list(record.swept), record.epochs) == ({}, [], ())
