"""The pump: serves a mailbox port with the instruments of a rack, over SCPI, on a thread of its own.

`Rack` is what the lab's drivers can do together, `MailboxPort` a mailbox that is armed, `Pump` the thread. What is decided about
requests and answers is mailbox.py's. Whatever goes wrong on the thread closes the answers, which ends the kernel's run at once, and is
raised by `join`. Whichever way a run ends, the rack is aborted, read back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.drivers.lab import OpenLab, SegmentedInput, TableGenerator, driver_kinds
from qrt.errors import InstrumentError, ProgramError
from qrt.mailbox import (
    PLAY_DTYPE,
    SHORTEN,
    Alike,
    Asked,
    Desk,
    Programme,
    Trigger,
    check_playable,
    make_mailbox,
    programme_of,
    put_answer,
    rehearse,
)
from qrt.timeline import Timeline
from qrt.types import Lab, PortLimits, Sequence
from qrt.units import exact_ticks

READER: Final = 0
LOOKS: Final = 20  # at the ring before the pump sleeps or takes what there is: some 50 us, in which the kernel asks for a whole shot
WAITED_FOR: Final = (
    kernel.RequestKind.FETCH,
    kernel.RequestKind.SAFE,
)  # requests after which the kernel waits, or has ended
WAIT_S: Final = 0.05  # how often a pump without requests looks whether it shall end
OUTSTANDING_MAX: Final = 16  # captures at once, as qrt_port.h allows


def rack_limits(lab: Lab) -> PortLimits:
    """Return what the mailbox port of a rack can do, with nothing opened: the least that the instruments' drivers say."""
    assert lab.mailbox is not None
    kinds = driver_kinds(lab)
    rooms = [kinds[line.awg].room() for line in lab.lines.values()]
    latency = exact_ticks(exact_ns(lab.mailbox.feedback_latency_ns), lab.timing.tick_ps)
    assert latency is not None, "checked with the lab"
    return PortLimits(
        feedback_latency_ticks=latency,
        granularity_ticks=lab.timing.sample_ticks,
        sample_ticks=lab.timing.sample_ticks,
        capture_samples_max=kinds[lab.digitizer.instrument].room()[0],
        segment_count_max=min(count for count, _ in rooms),
        segment_samples_max=min(samples for _, samples in rooms),
        outstanding_max=OUTSTANDING_MAX,
    )


def exact_ns(duration_ns: float) -> Any:
    """Return a duration in seconds, exactly as the number in the lab file prints."""
    from fractions import Fraction

    return Fraction(repr(duration_ns)) / 10**9


class Rack:
    """Generators and digitizer of a lab, played from their tables."""

    def __init__(self, lab: Lab, opened: OpenLab) -> None:
        self._generators: dict[int, TableGenerator] = {}
        for place, line in enumerate(lab.lines.values()):
            generator = opened.driver(line.awg)
            assert isinstance(generator, TableGenerator), "driver_kinds has seen to it"
            self._generators[place] = generator
        digitizer = opened.driver(lab.digitizer.instrument)
        assert isinstance(digitizer, SegmentedInput), "driver_kinds has seen to it"
        self._digitizer: SegmentedInput = digitizer
        self.waits = True  # for triggers, all of them: outputs on leaves them so

    def arm(self) -> None:
        """Empty every table, and let the instruments wait for triggers: the digitizer last, since it gives them."""
        for generator in self._generators.values():
            generator.forget_table()
            generator.table(np.zeros(0, PLAY_DTYPE))
        self._digitizer.forget_windows()
        if not self.waits:
            for generator in self._generators.values():
                generator.run(on=True)
            self._digitizer.run(on=True)
            self.waits = True

    def program(self, programme: Programme) -> None:
        """Write tables and windows, verified."""
        for place, generator in self._generators.items():
            generator.table(programme.plays.get(place, np.zeros(0, PLAY_DTYPE)))
        self._digitizer.windows(programme.windows)

    def play(self, trigger: Trigger) -> list[NDArray[np.int16]]:
        """Trigger, and return int16 [shots, samples] of each window."""
        where = (trigger.shot, trigger.start, trigger.shots, trigger.distance)
        return self._digitizer.play(*where, goes_on=trigger.goes_on)

    def abort(self) -> None:
        """End waiting for triggers on every instrument, read back. Raises InstrumentError that names all that would not."""
        self.waits = False
        failures = []
        instruments: list[TableGenerator | SegmentedInput] = [self._digitizer, *self._generators.values()]
        for instrument in instruments:
            try:
                instrument.run(on=False)
            except InstrumentError as error:
                failures.append(str(error))
        if failures:
            raise InstrumentError("\n".join(failures))


class MailboxPort:
    """A mailbox for one sequence, and how it will be served. Its ring memory lives as long as the object."""

    def __init__(
        self, lab: Lab, rack: Rack, sequence: Sequence, limits: PortLimits, rehearsed: NDArray[Any] | None
    ) -> None:
        """Make it; `rehearsed` is what two shots ask for, None where shots differ."""
        assert lab.mailbox is not None
        self.limits = limits
        self.box = make_mailbox(sequence, limits, lab.mailbox.deadline_s, plays_on=rehearsed is not None)
        self.address = self.box.address
        self._lab, self._mailbox, self._rack, self._rehearsed = lab, lab.mailbox, rack, rehearsed
        self.sequence = sequence

    def pump(self, shot_end: int) -> Pump:
        """Return what will serve a run up to this shot, not included. Tables of shots that are alike are written now."""
        sample_ticks = self._lab.timing.sample_ticks
        if self._rehearsed is None:
            return Pump(self.box, self._rack, Asked(self._rack, self.sequence.period_ticks, sample_ticks))
        per_arm = self._mailbox.shots_per_arm
        return Pump(self.box, self._rack, Alike(self._rack, self._rehearsed, shot_end, per_arm, sample_ticks))

    def failure(self) -> str:
        """Return what went wrong last in the port, and what to do; empty if nothing did. While no kernel plays."""
        counts = self.box.counts()
        where = f"shot {counts.shot}" if counts.capture < 0 else f"capture {counts.capture} of shot {counts.shot}"
        return {
            kernel.MailboxFailure.WORKS: "",
            kernel.MailboxFailure.NO_ANSWER: f"the mailbox had no answer for {where} within mailbox.deadline_s = "
            f"{self._mailbox.deadline_s:g} s; if the rack only needs longer, raise it, or lower mailbox.shots_per_arm",
            kernel.MailboxFailure.ENDED: f"the mailbox's pump ended before it answered {where}",
            kernel.MailboxFailure.FULL: f"the mailbox's pump does not keep up: no room for a request of {where}; a shot without "
            f"a measurement leaves it no time: measure in each shot, {SHORTEN}",
            kernel.MailboxFailure.LENGTH: f"the mailbox's answer for {where} has another number of samples than was asked for",
        }[counts.failure]

    @property
    def counters(self) -> dict[str, int]:
        """What the mailbox has counted. While no kernel plays."""
        counts = self.box.counts()
        names = ("request_count", "answer_count", "late_count", "twice_count", "unasked_count")
        return {name: getattr(counts, name) for name in names}


class Pump:
    """The thread that serves one run."""

    def __init__(self, box: kernel.Mailbox, rack: Rack, desk: Desk) -> None:
        self.desk = desk
        self._box, self._rack = box, rack
        self._error: BaseException | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qrt-pump", daemon=True)

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def join(self) -> None:
        """End when all requests are taken, and wait for that; raise what went wrong. Call when no kernel plays any more."""
        self._leaving.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - handed to whoever joins
            self._error = error
        finally:
            self._box.answers.finish()  # the kernel ends now, not at its deadline
        try:
            self._rack.abort()
        except InstrumentError as error:
            if self._error is None:
                self._error = error
            else:
                self._error.add_note(f"while ending the triggers: {error}")

    def _serve(self) -> None:
        """Take requests and give answers until the kernel has ended."""
        requests = self._box.requests
        while not self.desk.ended:
            part = self._look()
            if not len(part) and not requests.wait(READER, 1, WAIT_S) and self._leaving.is_set():
                return
            for answer in self.desk.take(part):
                put_answer(self._box, answer)
            requests.release(READER, len(part))

    def _look(self) -> NDArray[Any]:
        """Return the requests that are there, soon: the kernel goes on until it wants samples, and what it asks till then comes at once."""
        part = self._box.requests.peek(READER, kernel.REQUEST_DTYPE)
        for _ in range(LOOKS):
            if len(part) and part["kind"][-1] in WAITED_FOR:
                break
            part = self._box.requests.peek(READER, kernel.REQUEST_DTYPE)
        return part


class Rehearsal(NamedTuple):
    """How a program will be played on a mailbox."""

    difference: str  # why one shot may play other than the next; empty: all are alike
    requests: NDArray[Any] | None  # what two shots that are alike ask for
    words: str  # the same for a person
    report: kernel.Report | None = None  # how the rehearsal of shots that are alike ended, for the caller to judge


def rehearsal(sequence: Sequence, timeline: Callable[[], Timeline], lab: Lab, limits: PortLimits) -> Rehearsal:
    """Return how a program will be played. ProgramError for what a mailbox cannot play, with the reason, and nothing opened."""
    assert lab.mailbox is not None
    why, per_arm = check_playable(sequence, timeline, lab, limits), lab.mailbox.shots_per_arm
    if why:
        return Rehearsal(
            why, None, f"shots may differ ({why}): each is written, triggered and read on its own, part by part"
        )
    requests, report = rehearse(sequence, limits, lab.timing.tick_ps)
    if report.status is not kernel.Status.OK:
        return Rehearsal("", requests, "", report)
    programme = programme_of(requests[: len(requests) // 2], lab.timing.sample_ticks)
    samples, held = check_room(programme, lab, driver_kinds(lab)[lab.digitizer.instrument].room())
    words = f"all shots are alike: tables are written once, and {per_arm} of at most {held // samples} shots are played an arm"
    return Rehearsal("", requests, f"{words} ({samples} samples a shot, memory for {held})", report)


def check_room(programme: Programme, lab: Lab, room: tuple[int, int]) -> tuple[int, int]:
    """Return the samples of a shot and those that fit; ProgramError where the digitizer's memory does not hold the shots of an arm."""
    assert lab.mailbox is not None
    samples = sum(size for _, size in programme.windows)
    if samples * lab.mailbox.shots_per_arm > room[1]:
        raise ProgramError(
            f"mailbox.shots_per_arm = {lab.mailbox.shots_per_arm}: a shot records {samples} samples and the digitizer's memory holds "
            f"{room[1]}; at most {room[1] // samples} shots fit"
        )
    return samples, room[1]
