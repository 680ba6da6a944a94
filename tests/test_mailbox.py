"""The mailbox in parts: the proof that shots are alike, the port against answers that are wrong, and the instruments that serve it."""

import threading
import tomllib
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import event, given, settings

from qrt import kernel
from qrt.drivers.lab import OpenLab
from qrt.errors import BugError, InstrumentError, ProgramError
from qrt.firmware_sim.awg2 import AWG2, ENTRY
from qrt.firmware_sim.dig1 import DIG1, HEAD, WINDOW
from qrt.firmware_sim.twin import open_twin
from qrt.kernel import MailboxFailure, RequestKind, Status
from qrt.mailbox import PLAY_DTYPE, Alike, Answer, Asked, Trigger, difference, programme_of, put_answer
from qrt.scpi import Connection, Instrument
from qrt.types import Lab, PortLimits
from tests import test_kernel_reference as reference

LIMITS = PortLimits(37, 1, 1, 64, 256, 65536, 16)


# ---- The proof -------------------------------------------------------------------------------------------------------


class Stream(reference.ScriptedPort):
    """A port whose captures see other samples in every shot."""

    def begin_shot(self, _, shot, tick):
        return self.note("begin", shot, tick)


def alike_or_not(sequence):
    sequence.source_lines = ()
    banks = sequence.captures["weights_slot"] != kernel.SLOT_NONE
    sequence.captures["weights_slot"][banks], sequence.captures["bank_count"] = (
        3,
        3,
    )  # a run's slot counts what is there
    why = difference(sequence)
    event("alike" if not why else "may differ")
    if why:
        return
    port = Stream(levels=(-30000, 7, 30000, -5, 1))
    reference.play(sequence, port, shots=6, seed=5)
    shots, start = [], 0
    for call in port.calls[:-1]:
        if call[0] == "begin":
            start = call[2]
            shots.append([])
        elif call[0] in {"play", "capture"}:
            shots[-1].append((call[0], call[1] - start, *call[2:]))
    assert all(shot == shots[0] for shot in shots)


@settings(max_examples=40)
@given(reference.sequences())
def test_shots_that_are_proved_alike_ask_for_the_same_whatever_they_see(sequence):
    alike_or_not(sequence)


@pytest.mark.prove
@settings(max_examples=400)
@given(reference.sequences())
def test_many_shots_that_are_proved_alike(sequence):
    alike_or_not(sequence)


def lone(*code):
    sequence = reference.make([*code, (reference.END, 0, 0, 0, 0)])
    sequence.source_lines = tuple(range(10, 11 + len(code)))
    return sequence


R = reference


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ([(R.READ, 1, 0, 0, 0), (R.EMIT, 1, 0, 0, 0)], ""),
        ([(R.READ, 1, 0, 0, 0), (R.BRANCH, 1, 0, 2, 0)], ""),  # taken whatever the register is
        ([(R.READ, 1, 0, 0, 0), (R.BRANCH, 1, 2, 2, 0)], "line 11: a branch follows an outcome"),
        ([(R.LOAD, 1, 0, 0, 0), (R.PLAY_REGISTER, 0, 0, 1, 0)], "line 11: a amplitude follows a value of the sweep"),
        ([(R.DRAW, 2, 0, 0, 3), (R.ALU, 1, 2, 2, 0), (R.WAIT_REGISTER, 1, 0, 0, 0)], "line 12: a duration follows a random"),
        ([(R.DRAW, 2, 0, 0, 1), (R.LOOKUP, 1, 2, 0, 2), (R.SET_FREQUENCY_REGISTER, 0, 1, 0, 0)], "line 12: a frequency"),
        ([(R.LOOKUP, 1, 2, 0, 2), (R.SHIFT_PHASE_REGISTER, 0, 1, 0, 0)], ""),
        ([(R.READ, 2, 0, 0, 0), (R.ALU, 1, 0, 2, 5), (R.WAIT_REGISTER, 1, 0, 0, 0)], ""),  # set to a constant
        ([(R.END, 0, 0, 0, 0), (R.READ, 1, 0, 0, 0), (R.BRANCH, 1, 2, 0, 0)], ""),  # never reached
        ([(R.WAIT_REGISTER, 1, 0, 0, 0), (R.READ, 1, 0, 0, 0), (R.BRANCH, 0, 0, 0, 0)], "line 10: a duration"),  # the second time
    ],
)  # fmt: skip
def test_what_steers_a_shot_is_found(code, why):
    assert difference(lone(*code)).startswith(why)
    assert bool(difference(lone(*code))) is bool(why)


# ---- The port under the kernel ---------------------------------------------------------------------------------------


def box(deadline_s=60.0):
    return kernel.Mailbox(LIMITS, line_count=4, capture_samples_max=8, request_count=256, deadline_s=deadline_s)


def run(mailbox, serve, shots=20, **given):
    """Play shots of one capture, its requests served by `serve(request)` on a thread; return report, rows."""
    code = [(R.PLAY, 0, 1, 5, 0), (R.CAPTURE, 0, 0, 0, 0), (R.WAIT, 0, 0, 0, 50), (R.END, 0, 0, 0, 0)]
    sequence = reference.make(code)
    sequence.captures = sequence.captures[:1]
    dtype = kernel.row_dtype(1, sequence.emit_count)
    ended = threading.Event()

    def pump():
        while not ended.is_set():
            if mailbox.requests.wait(0, 1, 0.01):
                part = mailbox.requests.peek(0, kernel.REQUEST_DTYPE).copy()
                mailbox.requests.release(0, len(part))
                for one in part:
                    serve(one)

    thread = threading.Thread(target=pump)
    with kernel.Ring.create(dtype.itemsize, 64, 1) as rows:
        config = kernel.Config(sequence, mailbox.address, kernel.Rings(rows), shots, **given)
        with kernel.Kernel(config) as loop:
            thread.start()
            loop.start()
            report = loop.join()
        ended.set()
        thread.join()
        return report, rows.peek(0, dtype).copy(), sequence


def samples_of(request):
    return np.arange(8, dtype=np.int16) * (1 + int(request["shot"]))


def test_what_is_answered_is_what_is_demodulated():
    with box() as mailbox:
        fetched = []

        def serve(one):
            if one["kind"] == RequestKind.FETCH:
                fetched.append((int(one["ticket"]), int(one["shot"]), int(one["start_tick"]), int(one["tick"])))
                put_answer(mailbox, Answer(int(one["ticket"]), samples_of(one)))

        report, rows, sequence = run(mailbox, serve)
        assert report.status is Status.OK
        weights = sequence.weights[:16].reshape(2, 8).astype(np.int64)
        for shot, row in enumerate(rows):
            assert row["iq"][0].tolist() == (weights @ (np.arange(8) * (1 + shot))).tolist()
        assert fetched == [(shot, shot, shot * reference.PERIOD, 0) for shot in range(20)]
        counts = mailbox.counts()
        assert (counts.request_count, counts.answer_count, counts.failure) == (20 * 4 + 1, 20, MailboxFailure.WORKS)


def test_an_answer_that_comes_twice_or_for_nothing_is_counted_and_never_used():
    with box() as mailbox:

        def serve(one):
            if one["kind"] == RequestKind.FETCH:
                ticket = int(one["ticket"])
                put_answer(mailbox, Answer(ticket + 1000, np.full(8, -1, np.int16)))
                put_answer(mailbox, Answer(ticket, samples_of(one)))
                put_answer(mailbox, Answer(ticket, np.full(8, -1, np.int16)))

        report, rows, _ = run(mailbox, serve)
        with box() as other:

            def plain(one):
                if one["kind"] == RequestKind.FETCH:
                    put_answer(other, Answer(int(one["ticket"]), samples_of(one)))

            _, expected, _ = run(other, plain)
        assert report.status is Status.OK
        assert np.array_equal(rows, expected)
        counts = mailbox.counts()
        assert (counts.answer_count, counts.twice_count, counts.unasked_count, counts.late_count) == (20, 20, 20, 0)


@pytest.mark.parametrize(
    ("policy", "ended", "kept"),
    [(kernel.Policy.ABORT, Status.TOO_LATE, 3), (kernel.Policy.ERASE, Status.ERASED, 3 + kernel.ERASED_MAX)],
)
def test_an_answer_that_never_comes_ends_the_run_at_its_deadline_and_is_late_after_it(policy, ended, kept):
    with box(deadline_s=0.02) as mailbox:

        def serve(one):
            if one["kind"] == RequestKind.FETCH and one["shot"] < 3:
                put_answer(mailbox, Answer(int(one["ticket"]), samples_of(one)))

        report, rows, _ = run(mailbox, serve, late_port_policy=policy)
        last = 3 if policy is kernel.Policy.ABORT else kept - 1
        assert (report.status, report.safe_status, report.error_shot, len(rows)) == (ended, Status.OK, last, kept)
        assert rows["flags"].tolist() == [0] * 3 + [kernel.ROW_ERASED] * (kept - 3)
        assert report.wall_ns >= 20_000_000 * (1 + last - 3)
        put_answer(mailbox, Answer(3, np.zeros(8, np.int16)))
        counts = mailbox.counts()
        assert (counts.failure, counts.shot, counts.capture) == (MailboxFailure.NO_ANSWER, last, 0)
        assert (counts.answer_count, counts.late_count, counts.twice_count) == (3, 1, 0)


def test_a_deadline_longer_than_the_kernels_own_patience_holds():
    with box(deadline_s=60.0) as mailbox:
        released = threading.Timer(1.3, lambda: put_answer(mailbox, Answer(0, np.zeros(8, np.int16))))

        def serve(one):
            if one["kind"] == RequestKind.FETCH:
                released.start()

        report, _, _ = run(mailbox, serve, shots=1)
        assert report.status is Status.OK
        assert report.wall_ns > 1_200_000_000
        assert report.ran_ns < report.wall_ns / 2  # waiting, it slept


def test_a_pump_that_ends_ends_the_run_at_once():
    with box() as mailbox:

        def serve(one):
            if one["kind"] == RequestKind.FETCH and one["shot"] == 2:
                mailbox.answers.finish()
            elif one["kind"] == RequestKind.FETCH:
                put_answer(mailbox, Answer(int(one["ticket"]), samples_of(one)))

        report, rows, _ = run(mailbox, serve)
        assert (report.status, len(rows), mailbox.counts().failure) == (Status.PORT, 2, MailboxFailure.ENDED)


def test_what_cannot_be_made_is_a_bug():
    with pytest.raises(BugError, match="deadline_s = 0"):
        box(deadline_s=0.0)
    with box() as mailbox:
        for ticket in range(16):
            put_answer(mailbox, Answer(ticket, np.zeros(1, np.int16)))
        with pytest.raises(BugError, match="ticket 16"):
            put_answer(mailbox, Answer(16, np.zeros(1, np.int16)))


# ---- Requests to tables ----------------------------------------------------------------------------------------------


def requests(*rows):
    """Return requests from (kind, ticket, tick, line, item, frequency)."""
    made = np.zeros(len(rows), kernel.REQUEST_DTYPE)
    for one, (kind, ticket, tick, line, item, frequency) in zip(made, rows, strict=True):
        one["kind"], one["ticket"], one["tick"], one["line"], one["item"] = kind, ticket, tick, line, item
        one["frequency"], one["amplitude"], one["phase"] = frequency, -7, 1 << 63
        one["capture"] = ticket
    return made


def test_a_shot_as_tables_in_samples():
    shot = requests(
        (RequestKind.SHOT, 0, 0, 0, 0, 0),
        (RequestKind.PLAY, 0, 4, 2, 9, 1 << 60),
        (RequestKind.CAPTURE, 0, 8, 0, 100, 0),
        (RequestKind.CAPTURE, 1, 8, 0, 100, 0),
        (RequestKind.PLAY, 2, 10, 0, 1, -5),
        (RequestKind.CAPTURE, 2, 12, 0, 50, 0),
        (RequestKind.PLAY, 3, 60, 2, 3, 0),
    )
    programme = programme_of(shot, 2)
    assert programme.windows == ((4, 100), (6, 50))
    assert programme.places == (0, 0, 1)
    assert {line: table.tolist() for line, table in programme.plays.items()} == {
        0: [(5, -10, 1 << 63, -7, 1)],
        2: [(2, 1 << 61, 1 << 63, -7, 9), (30, 0, 1 << 63, -7, 3)],
    }
    with pytest.raises(ProgramError, match="line 2 is more than half the sample rate"):
        programme_of(shot[1:2], 8)
    with pytest.raises(BugError, match="not whole samples"):
        programme_of(shot, 3)


class Recorder:
    """Instruments that note what they are told; a window's samples are shot and window."""

    def __init__(self):
        self.told = []

    def program(self, programme):
        self.programme = programme
        self.told.append([table["start"].tolist() for table in programme.plays.values()])

    def play(self, trigger):
        self.told.append(trigger)
        shots = trigger.shot + np.arange(trigger.shots)
        return [
            np.repeat((10 * shots + place).astype(np.int16)[:, None], size, 1)
            for place, (_, size) in enumerate(self.programme.windows)
        ]


def shots_of(count, first=0):
    """Return the requests of shots of a play and two captures."""
    made = []
    for shot in range(first, first + count):
        ticket = 2 * shot
        one = requests(
            (RequestKind.SHOT, ticket, 0, 0, 0, 0),
            (RequestKind.PLAY, ticket, 4, 1, 0, 0),
            (RequestKind.CAPTURE, ticket, 4, 0, 3, 0),
            (RequestKind.CAPTURE, ticket + 1, 6, 0, 2, 0),
            (RequestKind.FETCH, ticket + 1, 6, 0, 2, 0),
            (RequestKind.FETCH, ticket, 4, 0, 3, 0),
        )
        one["capture"] = [0, 0, 0, 1, 1, 0]
        one["shot"], one["start_tick"] = shot, 100 * shot
        made.append(one)
    return np.concatenate(made)


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 7, 100])
def test_alike_shots_are_played_by_the_arm_however_their_requests_come(cut):
    rack = Recorder()
    desk = Alike(rack, shots_of(2), 5, 2, 2)
    asked = np.concatenate([shots_of(5), requests((RequestKind.SAFE, 10, 0, 0, 0, 0))])
    answers = [
        (answer.ticket, answer.samples.tolist())
        for place in range(0, len(asked), cut)
        for answer in desk.take(asked[place : place + cut])
    ]
    assert answers == [
        (2 * shot + window, [10 * shot + window] * size) for shot in range(5) for window, size in ((1, 2), (0, 3))
    ]
    assert rack.told == [[[2]], Trigger(0, 0, 2, 50), Trigger(2, 100, 2, 50), Trigger(4, 200, 1, 50)]
    assert desk.ended
    assert desk.counters == {"arm_count": 3, "shots_unused": 0}


def test_a_request_that_is_not_the_rehearsed_one_is_our_bug():
    for field, value in (("tick", 5), ("item", 1), ("amplitude", 1), ("phase", 0), ("frequency", 1), ("line", 2)):
        wrong = shots_of(3)
        wrong[field][13] = value
        with pytest.raises(BugError, match="request 1 of shot 2 is not the rehearsed one"):
            list(Alike(Recorder(), shots_of(2), 3, 2, 2).take(wrong))
    moved = shots_of(2)
    moved["start_tick"][6:] = 200
    with pytest.raises(BugError, match="shot 1 starts at tick 200, not where it was played"):
        list(Alike(Recorder(), shots_of(2), 2, 2, 2).take(moved))
    again = shots_of(2)
    again["item"][7] = 3
    with pytest.raises(BugError, match="are not the same"):
        Alike(Recorder(), again, 2, 2, 2)


def test_a_fetch_that_was_not_rehearsed_is_our_bug():
    for field, value in (("capture", 2), ("tick", 5), ("item", 7)):
        wrong = shots_of(1)
        wrong[field][4] = value
        with pytest.raises(BugError, match=r"the fetch of capture \d of shot 0 is not the rehearsed one"):
            list(Alike(Recorder(), shots_of(2), 3, 2, 2).take(wrong))
    with pytest.raises(BugError, match="shot 0 ended after 2 of its 4 requests"):
        list(Alike(Recorder(), shots_of(2), 3, 2, 2).take(np.concatenate([shots_of(1)[:2], shots_of(1, 1)])))
    with pytest.raises(BugError, match="request 4 of shot 0 is not the rehearsed one"):
        list(Alike(Recorder(), shots_of(2), 3, 2, 2).take(np.concatenate([shots_of(1), shots_of(1)[1:]])))


@pytest.mark.parametrize("cut", [1, 3, 100])
def test_a_shot_that_is_given_up_is_announced_whole_and_its_answers_come_all_the_same(cut):
    rack = Recorder()
    desk = Alike(rack, shots_of(2), 3, 3, 2)
    erase = requests((RequestKind.ERASE, 2, 0, 0, 0, 0))
    asked = np.concatenate(
        [shots_of(3)[:-2][:5], erase, shots_of(3)[6:]]
    )  # of shot 0 one capture is fetched, and given up
    answers = [one.ticket for place in range(0, len(asked), cut) for one in desk.take(asked[place : place + cut])]
    assert answers == [1, 3, 2, 5, 4]
    assert desk.counters["arm_count"] == 1


def test_what_a_shot_that_is_given_up_has_not_played_is_not_played():
    rack = Recorder()
    desk = Asked(rack, 100, 2)
    erase = requests((RequestKind.ERASE, 2, 0, 0, 0, 0))
    late = requests((RequestKind.PLAY, 2, 40, 1, 5, 0))
    asked = np.concatenate([shots_of(1)[:5], late, erase, shots_of(1, 1), requests((RequestKind.SAFE, 4, 0, 0, 0, 0))])
    assert [one.ticket for one in desk.take(asked)] == [1, 3, 2]
    assert rack.told == [[[2]], Trigger(0, 0, 1, 50), [[2]], Trigger(1, 50, 1, 50)]
    assert desk.counters == {"arm_count": 2, "plays_unplayed": 1}


def test_an_arm_that_is_cut_short_counts_what_nobody_read():
    desk = Alike(Recorder(), shots_of(2), 100, 8, 2)
    list(desk.take(np.concatenate([shots_of(3)[:-2], requests((RequestKind.SAFE, 4, 0, 0, 0, 0))])))
    assert desk.ended
    assert desk.counters == {"arm_count": 1, "shots_unused": 5}


def test_shots_that_differ_are_played_part_by_part():
    rack = Recorder()
    desk = Asked(rack, 100, 2)
    late = requests((RequestKind.PLAY, 2, 40, 1, 5, 0), (RequestKind.PLAY, 2, 50, 1, 5, 0))
    empty = requests((RequestKind.SHOT, 2, 0, 0, 0, 0))
    empty["shot"], empty["start_tick"] = 1, 100
    third = shots_of(1, 2)
    third["ticket"] -= 2
    asked = np.concatenate([shots_of(1), late, empty, third, late, requests((RequestKind.SAFE, 4, 0, 0, 0, 0))])
    answers = [answer.ticket for answer in desk.take(asked)]
    assert answers == [1, 0, 3, 2]
    first, after, nothing = Trigger(0, 0, 1, 50), Trigger(0, 0, 1, 50, goes_on=True), Trigger(1, 50, 1, 50)
    assert rack.told == [[[2]], first, [[20, 25]], after, [], nothing, [[2]], Trigger(2, 100, 1, 50)]
    assert desk.counters == {"arm_count": 4, "plays_unplayed": 2}


# ---- Instruments -----------------------------------------------------------------------------------------------------


def entry(start=0, frequency=0, phase=0, amplitude=65536, segment=0, reserved=0):
    return ENTRY.pack(start, frequency, phase, amplitude, segment, reserved)


def block(data):
    return b"#%d%d%s" % (len(str(len(data))), len(data), data)


@pytest.mark.parametrize(
    ("model", "message", "said"),
    [
        (AWG2, b"STAB:DATA " + block(entry()[:-1]), b'-161,"Invalid block data;31 bytes'),
        (AWG2, b"STAB:DATA " + block(entry(5) + entry(4)), b'-222,"Data out of range;entry 1'),
        (AWG2, b"STAB " + block(entry(amplitude=65537)), b'-222,"Data out of range;entry 0'),
        (AWG2, b"STAB " + block(entry(segment=256)), b'-222,"Data out of range;entry 0'),
        (AWG2, b"STAB " + block(entry(reserved=1)), b'-222,"Data out of range;entry 0'),
        (AWG2, b"STAB " + block(entry(start=-1)), b'-222,"Data out of range;entry 0'),
        (AWG2, b"STAB " + block(entry() * 4097), b"-223"),
        (DIG1, b"SENS:SWE:GATE " + block(WINDOW.pack(0, 1)[:-1]), b'-161,"Invalid block data;15 bytes'),
        (DIG1, b"SWE:GATE " + block(WINDOW.pack(-1, 1)), b'-222,"Data out of range;window 0'),
        (DIG1, b"SWE:GATE " + block(WINDOW.pack(0, 65537)), b'-222,"Data out of range;window 0'),
        (DIG1, b"*TRG", b'-211,"Trigger ignored;INITiate first'),
        (DIG1, b"INIT;*TRG", b'-211,"Trigger ignored;the trigger output leads nowhere'),
        (DIG1, b"FETC:SEGM? 0,1", b'-230,"Data corrupt or stale;0 triggers in memory, not 1'),
        (DIG1, b"ACQ:SEGM:COUN 4097", b"-222"),
    ],
)
def test_what_the_instruments_refuse(model, message, said):
    connection = Connection(Instrument(model, "1"))
    reply = connection.receive(message + b"\nSYST:ERR?\n")
    assert reply.startswith(said), reply


def test_tables_are_read_back_as_they_were_written():
    awg, dig = Connection(Instrument(AWG2, "1")), Connection(Instrument(DIG1, "1"))
    table, gate = entry(3, -9, 1 << 63, -65536, 255) + entry(3), WINDOW.pack(4, 65536)
    assert awg.receive(b"STABle:DATA " + block(table) + b"\nSTAB:DATA?\n") == block(table) + b"\n"
    assert awg.receive(b"STAB:CAT?\n").startswith(b"2,")
    assert dig.receive(b"SENS:SWE:GATE " + block(gate) + b";GATE?\n") == block(gate) + b"\n"
    assert dig.receive(b"TRIG:COUN 7;TTAG 123456789012345;:TRIG:COUN?;TTAG?;MODE?\n") == b"7;123456789012345;STAR\n"


def read_lab(project: Path, **faults: dict) -> Lab:
    raw = tomllib.loads((project / "tests" / "lab.toml").read_text())
    raw["twin"]["parameters"]["faults"] = faults
    raw["mailbox"] = {}
    for instrument in raw["instruments"].values():
        instrument["timeout_s"] = 0.5
    return msgspec.convert(raw, Lab)


@pytest.fixture
def opened(project):
    """Open a lab with a mailbox, with these faults, its plant at a run's start."""
    with ExitStack() as stack:

        def build(**faults):
            lab = read_lab(project, **faults)
            twin = open_twin(lab)
            stack.callback(twin.close)
            found = stack.enter_context(OpenLab(lab, twin))
            found.configure()
            found.outputs(True)
            twin.arm(1, 0.0)
            return found

        yield build


def plays(*rows):
    return np.array(list(rows), PLAY_DTYPE)


def test_records_carry_number_time_window_and_samples(opened):
    dig = opened().driver("dig")
    dig.windows([(10, 4), (12, 6)])
    found = dig.play(5, 1000, 3, 500, goes_on=False)
    assert [part.shape for part in found] == [(3, 4), (3, 6)]
    assert (found[0][:, 2:] == found[1][:, :2]).all()  # windows that overlap see the same samples
    assert len(np.unique(found[1])) > 6
    data = dig.link.query_block("FETC:SEGM? 1,2", 2 * (2 * HEAD.size + 20))
    assert HEAD.unpack_from(data) == (6, 1510, 0, 4)
    assert HEAD.unpack_from(data, HEAD.size + 8) == (6, 1512, 1, 6)
    assert np.frombuffer(data, "<i2", 4, HEAD.size).tolist() == found[0][1].tolist()


def test_a_trigger_that_was_missed_or_came_twice_is_never_a_shifted_row(opened):
    dig = opened().driver("dig")
    dig.windows([(0, 4)])
    dig.play(0, 0, 2, 500, goes_on=False)
    dig.link.command("TRIG:COUN 3")
    with pytest.raises(
        InstrumentError, match=r"dig at .*record 0, window 0: counter is 3, expected 2: a trigger was missed"
    ):
        dig.play(2, 1000, 2, 500, goes_on=False)
    dig.play(4, 3000, 1, 500, goes_on=False)  # told anew where it is
    dig.link.command("TRIG:TTAG 4000")
    with pytest.raises(InstrumentError, match="time is 4000, expected 3500"):
        dig.play(5, 3500, 1, 500, goes_on=False)


def test_what_the_plant_refuses_is_a_hardware_error_with_its_place(opened):
    lab = opened()
    lab.driver("awg_q0").table(plays((40, 0, 0, 65536, 3)))
    dig = lab.driver("dig")
    dig.windows([(0, 4)])
    with pytest.raises(InstrumentError, match=r"dig at .*`\*TRG`: .*-240,.*line 0 at sample 40: SEGMENT"):
        dig.play(0, 0, 1, 500, goes_on=False)
    dig.windows([(0, 65536)])
    with pytest.raises(InstrumentError, match="memory for 1048576 samples"):
        dig.play(0, 0, 17, 500, goes_on=False)


def test_a_table_that_is_not_held_as_it_was_sent_is_named(opened):
    awg = opened(awg_q0={"corrupt_block": True}).driver("awg_q0")
    with pytest.raises(
        InstrumentError, match=r"awg_q0 at .*`STABle:DATA `: (play \d read back differs: sent|table of 2 plays refused)"
    ):
        awg.table(plays((0, 5, 6, 100, 1), (9, 5, 6, 100, 1)))
    with pytest.raises(InstrumentError, match="4097 plays in a shot; its table holds 4096"):
        awg.table(np.zeros(4097, PLAY_DTYPE))


def test_windows_and_triggers_that_are_not_taken_are_named(opened):
    dig = opened(dig={"corrupt_block": True, "clamp": {"segment_count": 2}}).driver("dig")
    with pytest.raises(
        InstrumentError, match=r"dig at .*SWEep:GATE.*(window 0 read back differs|the instrument reports)"
    ):
        dig.windows([(0, 4)])
    dig.windows([])
    with pytest.raises(InstrumentError, match=r"ACQuire:SEGMented:COUNt.*sent 3, read back 2"):
        dig.play(0, 0, 3, 500, goes_on=False)
    with pytest.raises(InstrumentError, match="1025 windows in a shot"):
        dig.windows([(0, 4)] * 1025)


def test_going_on_needs_a_shot_to_go_on_with(opened):
    dig = opened().driver("dig")
    dig.windows([(0, 4)])
    with pytest.raises(InstrumentError, match="-221"):
        dig.play(0, 0, 1, 500, goes_on=True)
