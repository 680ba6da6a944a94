"""A rack without a fast path, as data: what a shot asks for becomes tables and windows, and what is recorded becomes answers.

The mailbox port (ffi/core/mailbox.c) puts the kernel's requests into a ring; here is what is made of them, with no thread and no
instrument (those are pump.py's). There are two ways to play:

    alike   every shot plays the same, proved from the instructions. A rehearsal (the kernel on a mailbox that answers zeros) says what a
            shot asks for; tables and windows are written once, and each arm plays `shots_per_arm` shots from the instruments' own
            memory. Every request is compared with the rehearsal before its answer is given. A shot whose answer came too late was
            played to its end all the same, and is announced so.
    asked   what is played depends on the shot. At each capture that is wanted, what was asked for since the last one is written and
            triggered. Between a capture's end and the feedback latency nothing can start, which the schedule must keep. A shot
            whose answer came too late ends there.

Ticks become samples here, and only here: instruments know no ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.errors import BugError, ProgramError
from qrt.kernel import RequestKind
from qrt.timeline import Timeline, span
from qrt.types import Lab, PortLimits
from qrt.types import Sequence as ShotSequence

PLAY_DTYPE: Final = np.dtype(
    [("start", "<i8"), ("frequency", "<i8"), ("phase", "<u8"), ("amplitude", "<i4"), ("segment", "<u2")]
)
"""One play of a generator's table: start in samples after the trigger, 2^-64 turns per sample, 2^-64 turns at the start, 65536 = 1.0."""

REHEARSED_SHOTS: Final = 2  # the second one tells how far shots are apart
REQUESTS_MAX: Final = 1 << 16
SHORTEN = "or use a port with a fast path: leave [mailbox] out"

# qrt_op, qrt_condition: as qrt_core.h numbers them.
END, BRANCH, READ, ALU, LOAD, LOOKUP, DRAW = 0, 11, 8, 10, 12, 13, 14
STEERING = {
    17: "amplitude",
    18: "duration",
    19: "frequency",
    20: "phase",
}  # the operations that take it from a register
FROM: Final = {READ: "an outcome", LOAD: "a value of the sweep or of an epoch", DRAW: "a random number"}
IF_ALWAYS, ALU_SET = 0, 0


class Programme(NamedTuple):
    """What instruments are told of a shot, or of a part of one."""

    plays: Mapping[int, NDArray[Any]]  # line -> PLAY_DTYPE, by start
    windows: tuple[tuple[int, int], ...]  # start after the trigger, samples
    places: tuple[int, ...]  # window of each capture, in the order of their announcement


class Trigger(NamedTuple):
    """What is played: so many shots, and when, in samples of the rack's clock."""

    shot: int
    start: int
    shots: int
    distance: int  # from one shot to the next
    goes_on: bool = False  # with a shot that was begun already


class Instruments(Protocol):
    """What pump.py's rack does."""

    def program(self, programme: Programme) -> None:
        """Write tables and windows, verified."""

    def play(self, trigger: Trigger) -> list[NDArray[np.int16]]:
        """Trigger, and return int16 [shots, samples] of each window."""


class Answer(NamedTuple):
    """Samples for a ticket."""

    ticket: int
    samples: NDArray[np.int16]


# ---- What may be played ------------------------------------------------------------------------------------------------


def difference(sequence: ShotSequence) -> str:
    """Return why one shot may play other than the next, `line 7: ...`; empty if all are alike whatever comes.

    A register is unsure if it was ever given something unsure, wherever that stands in its sequencer: a loop may come back.
    """
    for entry in sequence.entries:
        reached = _reached(sequence.instructions, int(entry))
        unsure = _unsure(sequence.instructions[reached])
        for index in reached:
            one = sequence.instructions[index]
            op = int(one["op"])
            register = int(one["b"] if op in {19, 20} else one["c"] if op == 17 else one["a"])
            steers = "branch" if op == BRANCH and one["b"] != IF_ALWAYS else STEERING.get(op, "")
            if steers and register in unsure:
                line = sequence.source_lines[index] if index < len(sequence.source_lines) else 0
                where = f"line {line}" if line else f"instruction {index}"
                return f"{where}: a {steers} follows {unsure[register]}"
    return ""


def _reached(instructions: NDArray[Any], entry: int) -> list[int]:
    """Return the instructions that a sequencer may come to, ascending."""
    found: set[int] = set()
    waiting = [entry]
    while waiting:
        index = waiting.pop()
        if index in found or index >= len(instructions):
            continue
        found.add(index)
        one = instructions[index]
        if one["op"] == BRANCH:
            waiting.append(int(one["c"]))
        if one["op"] != END and not (one["op"] == BRANCH and one["b"] == IF_ALWAYS):
            waiting.append(index + 1)
    return sorted(found)


def _unsure(instructions: NDArray[Any]) -> dict[int, str]:
    """Return the registers that may differ from shot to shot, and what makes them."""
    unsure: dict[int, str] = {int(one["a"]): FROM[int(one["op"])] for one in instructions if int(one["op"]) in FROM}
    while True:
        before = len(unsure)
        for one in instructions:
            source = {LOOKUP: int(one["b"]), ALU: int(one["c"])}.get(int(one["op"]))
            if source in unsure and not (one["op"] == ALU and one["b"] == ALU_SET):
                unsure.setdefault(int(one["a"]), unsure[source])
        if len(unsure) == before:
            return unsure


def check_playable(sequence: ShotSequence, timeline: Callable[[], Timeline], lab: Lab, limits: PortLimits) -> str:
    """Return `difference`; raise ProgramError for what a mailbox cannot play, with the reason and what to do."""
    mailbox = lab.mailbox
    assert mailbox is not None
    if not len(sequence.captures):
        raise ProgramError(
            f"the lab's mailbox cannot play a program without a measurement: nothing would tell that a shot is over; measure, {SHORTEN}"
        )
    why = difference(sequence)
    if why and mailbox.shots_per_arm > 1:
        raise ProgramError(
            f"{why}, and mailbox.shots_per_arm = {mailbox.shots_per_arm} plays that many shots from the instruments' memory before the "
            f"first of them is read; set mailbox.shots_per_arm = 1, {SHORTEN}"
        )
    if why:
        _check_gaps(timeline(), lab, limits)
    return why


def _check_gaps(timeline: Timeline, lab: Lab, limits: PortLimits) -> None:
    """Raise ProgramError where something starts while the mailbox still waits for the samples of a capture."""
    latency, graph = limits.feedback_latency_ticks, timeline.graph
    ends = [
        (event.end_tick, graph.ticks.after(graph.at[event.instant], event.duration_ticks))
        for event in timeline.events
        if event.kind == "capture"
    ]
    for event in timeline.events:
        if event.kind not in {"play", "capture"}:
            continue
        for end, tick in ends:
            low, high = graph.ticks.ahead(graph.at[event.instant], tick)
            if high >= 0 and low < latency:
                at = span(event.tick, event.later_ticks)
                raise ProgramError(
                    f"{event.source.where}{event.kind} {event.operands} on {event.sequencer} starts at tick {at}, while the lab's "
                    f"mailbox port waits for the capture that ends at tick {end}: it is not through before tick {end + latency} "
                    f"(mailbox.feedback_latency_ns = {lab.mailbox.feedback_latency_ns if lab.mailbox else 0:g}); start it before or after, "
                    f"take the branch out of the shot, {SHORTEN}"
                )


# ---- What a shot asks for ----------------------------------------------------------------------------------------------


def rehearse(sequence: ShotSequence, limits: PortLimits, tick_ps: int) -> tuple[NDArray[Any], kernel.Report]:
    """Return what the kernel asks for in REHEARSED_SHOTS shots of a program whose shots are alike, every sample being 0."""
    captures = sequence.captures.copy()
    captures["raw"] = 0
    captures["threshold_slot"] = captures["weights_slot"] = kernel.SLOT_NONE
    slots = np.zeros(_slot_count(sequence), kernel.SLOT_DTYPE)  # what is loaded steers nothing
    row = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
    asked: list[NDArray[Any]] = []
    with make_mailbox(sequence, limits, 3600.0) as box, kernel.Ring.create(row.itemsize, REHEARSED_SHOTS, 1) as rows:
        config = kernel.Config(
            sequence=msgspec.structs.replace(sequence, captures=captures),
            port=box.address,
            rings=kernel.Rings(rows=rows),
            shot_count=REHEARSED_SHOTS,
            sweep=kernel.Sweep((1,), slots),
            tick_ps=tick_ps,
        )
        with kernel.Kernel(config) as loop:
            loop.start()
            while loop.running or box.requests.published > sum(map(len, asked)):
                box.requests.wait(0, 1, 0.001)
                part = box.requests.peek(0, kernel.REQUEST_DTYPE).copy()
                box.requests.release(0, len(part))
                asked.append(part)
                for one in part[part["kind"] == RequestKind.FETCH]:
                    put_answer(box, Answer(int(one["ticket"]), np.zeros(int(one["item"]), np.int16)))
            report = loop.join()
    return np.concatenate(asked) if asked else np.zeros(0, kernel.REQUEST_DTYPE), report


def _slot_count(sequence: ShotSequence) -> int:
    loads = sequence.instructions[sequence.instructions["op"] == LOAD]
    return int(loads["b"].max()) + 1 if len(loads) else 0


def make_mailbox(
    sequence: ShotSequence, limits: PortLimits, deadline_s: float, *, plays_on: bool = False
) -> kernel.Mailbox:
    """Return a mailbox for a sequence: room for all that shots can ask for while the pump is away, in a row up to the run's end."""
    wanted = min((kernel.ERASED_MAX + 2) * (sequence.budget + len(sequence.captures) + 3), REQUESTS_MAX)
    return kernel.Mailbox(
        limits,
        line_count=len(sequence.lines),
        capture_samples_max=int(sequence.captures["sample_count"].max(initial=1)),
        request_count=1 << (wanted - 1).bit_length(),
        deadline_s=deadline_s,
        plays_on=plays_on,
    )


def put_answer(box: kernel.Mailbox, answer: Answer) -> None:
    """Publish an answer. There is room: the port asks for one capture at a time."""
    record = np.zeros(1, box.answer_dtype)
    record["ticket"], record["sample_count"] = answer.ticket, len(answer.samples)
    record["samples"][0, : len(answer.samples)] = answer.samples
    if box.answers.write(record) != 1:
        raise BugError(f"no room for the answer to ticket {answer.ticket}: the port has stopped taking them")


def programme_of(requests: NDArray[Any], sample_ticks: int) -> Programme:
    """Return tables and windows of what was asked for in a shot or a part of one. ProgramError for what no table can hold."""
    plays: dict[int, NDArray[Any]] = {}
    wanted = requests[requests["kind"] == RequestKind.PLAY]
    for line in np.unique(wanted["line"]).tolist():
        of_line = wanted[wanted["line"] == line]
        if (np.abs(of_line["frequency"].astype(float)) * sample_ticks >= 2.0**63).any():
            raise ProgramError(
                f"a play on line {line} is more than half the sample rate from its source; no table holds that"
            )
        table = np.zeros(len(of_line), PLAY_DTYPE)
        table["start"] = _samples(of_line["tick"], sample_ticks)
        table["frequency"] = of_line["frequency"] * sample_ticks
        table["phase"], table["amplitude"], table["segment"] = of_line["phase"], of_line["amplitude"], of_line["item"]
        plays[line] = table
    captures = requests[requests["kind"] == RequestKind.CAPTURE]
    starts = _samples(captures["tick"], sample_ticks)
    spans = [(int(start), int(size)) for start, size in zip(starts, captures["item"], strict=True)]
    windows = tuple(dict.fromkeys(spans))  # captures that see the same samples share a window
    return Programme(plays, windows, tuple(windows.index(span) for span in spans))


def _samples(ticks: Any, sample_ticks: int) -> Any:
    samples, rest = np.divmod(ticks, sample_ticks)
    if np.any(rest):
        raise BugError(
            f"ticks {ticks}: not whole samples of {sample_ticks} ticks, which the port's granularity excludes"
        )
    return samples


# ---- Playing -----------------------------------------------------------------------------------------------------------


class Desk(Protocol):
    """Takes requests in their order, has them played, and gives answers."""

    ended: bool  # the kernel has asked for outputs off
    counters: dict[str, int]

    def take(self, requests: NDArray[Any]) -> Iterator[Answer]:
        """Yield the answers to some requests. Raises what the instruments raise, BugError for a request that cannot be."""


class Alike:
    """Shots that are alike, `shots_per_arm` at a time."""

    def __init__(
        self, rack: Instruments, rehearsed: NDArray[Any], shot_end: int, shots_per_arm: int, sample_ticks: int
    ) -> None:
        """Compare the rehearsed shots with each other, and write the tables."""
        begins = np.flatnonzero(rehearsed["kind"] == RequestKind.SHOT)
        shot = rehearsed[begins[0] : begins[1]]
        again = rehearsed[begins[1] : begins[1] + len(shot)]
        if not np.array_equal(_body(shot), _body(again)):
            raise BugError("two shots of a program that was proved to play the same in every shot are not the same")
        self.ended = False
        self.counters = {"arm_count": 0, "shots_unused": 0}
        self.programme = programme_of(shot, sample_ticks)
        self._rack = rack
        fetches = shot["kind"] == RequestKind.FETCH
        self._bodies = _body(shot[~fetches])
        self._fetches = dict(zip(shot["capture"][fetches].tolist(), _body(shot[fetches]), strict=True))
        self._distance_ticks = int(rehearsed["start_tick"][begins[1]] - rehearsed["start_tick"][begins[0]])
        self._shot_end, self._shots_per_arm, self._sample_ticks = shot_end, shots_per_arm, sample_ticks
        self._at = len(self._bodies)  # in the shot, without its fetches: at its end
        self._shot = -1
        self._armed = Trigger(0, 0, 0, self._distance_ticks // sample_ticks)
        self._records: list[NDArray[np.int16]] = []
        rack.program(self.programme)

    def take(self, requests: NDArray[Any]) -> Iterator[Answer]:
        """Yield the answers to some requests."""
        borders = np.flatnonzero(np.isin(requests["kind"], (RequestKind.SHOT, RequestKind.ERASE, RequestKind.SAFE)))
        for part in np.split(requests, borders):
            kind = int(part["kind"][0]) if len(part) else 0
            if kind == RequestKind.SAFE:
                self.ended = True
                self.counters["shots_unused"] += max(0, self._armed.shot + self._armed.shots - 1 - self._shot)
                return
            if kind == RequestKind.SHOT:
                self._begin(part[0])
            fetches = part["kind"] == RequestKind.FETCH
            self._compare(part[~fetches & (part["kind"] != RequestKind.ERASE)])
            for one in part[fetches]:
                yield Answer(int(one["ticket"]), self._records[self._window(one)][self._shot - self._armed.shot])

    def _begin(self, request: Any) -> None:
        """See that the shot is in the instruments' memory, at its time; else play the next ones."""
        if self._at != len(self._bodies):
            raise BugError(f"shot {self._shot} ended after {self._at} of its {len(self._bodies)} requests")
        self._at = 0
        self._shot, start_tick = int(request["shot"]), int(request["start_tick"])
        ahead = self._shot - self._armed.shot
        if not 0 <= ahead < self._armed.shots:
            start = int(_samples(start_tick, self._sample_ticks))
            count = min(self._shots_per_arm, self._shot_end - self._shot)
            self._armed = Trigger(self._shot, start, count, self._distance_ticks // self._sample_ticks)
            self.counters["arm_count"] += 1
            self._records = self._rack.play(self._armed)
        elif start_tick != self._armed.start * self._sample_ticks + ahead * self._distance_ticks:
            raise BugError(f"shot {self._shot} starts at tick {start_tick}, not where it was played")

    def _compare(self, part: NDArray[Any]) -> None:
        """Take requests that are the next of the rehearsed ones."""
        wanted = self._bodies[self._at : self._at + len(part)]
        wrong = np.flatnonzero((_body(part[: len(wanted)]) != wanted).any(axis=1))
        if len(wrong) or len(wanted) < len(part):
            place = int(wrong[0]) if len(wrong) else len(wanted)
            raise self._other(f"request {self._at + place}", part[place])
        self._at += len(part)

    def _window(self, fetch: Any) -> int:
        """Return the window of a capture that is wanted, which is one of the rehearsed ones."""
        capture = int(fetch["capture"])
        if capture not in self._fetches or (_body(np.array([fetch]))[0] != self._fetches[capture]).any():
            raise self._other(f"the fetch of capture {capture}", fetch)
        return self.programme.places[capture]

    def _other(self, what: str, request: Any) -> BugError:
        return BugError(
            f"{what} of shot {self._shot} is not the rehearsed one: {request}, though every shot was proved to play the same"
        )


def _body(requests: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of requests that are the same in each of the shots that are alike, [requests, bytes]."""
    whole = np.ascontiguousarray(requests).view(np.uint8).reshape(len(requests), kernel.REQUEST_DTYPE.itemsize)
    fields = kernel.REQUEST_DTYPE.fields
    assert fields is not None
    return whole[:, fields["tick"][1] :]


class Asked:
    """Shots that differ: at each capture that is wanted, what was asked for by then."""

    def __init__(self, rack: Instruments, period_ticks: int, sample_ticks: int) -> None:
        self.ended = False
        self.counters = {"arm_count": 0, "plays_unplayed": 0}
        self._rack, self._sample_ticks = rack, sample_ticks
        self._distance = int(_samples(period_ticks, sample_ticks))
        self._pending: list[Any] = []
        self._shot, self._start = -1, 0
        self._begun = False  # the shot in hand has been triggered
        self._records: dict[int, NDArray[np.int16]] = {}  # ticket -> samples that nobody has asked for yet

    def take(self, requests: NDArray[Any]) -> Iterator[Answer]:
        """Yield the answers to some requests."""
        for one in requests:
            match int(one["kind"]):
                case RequestKind.SHOT:
                    if self._pending or (self._shot >= 0 and not self._begun):
                        self._play()
                    self._shot, self._start = int(one["shot"]), int(_samples(one["start_tick"], self._sample_ticks))
                    self._begun = False
                case RequestKind.PLAY | RequestKind.CAPTURE:
                    self._pending.append(one.copy())
                case RequestKind.FETCH:
                    ticket = int(one["ticket"])
                    if ticket not in self._records:
                        self._play()
                    yield Answer(ticket, self._records.pop(ticket))
                case RequestKind.ERASE:  # what was played was played; nobody will ask for the rest
                    self._drop()
                    self._begun = True
                case RequestKind.SAFE:
                    self.ended = True
                    self._drop()

    def _drop(self) -> None:
        """Forget what was asked for and is not to be played any more."""
        self.counters["plays_unplayed"] += sum(one["kind"] == RequestKind.PLAY for one in self._pending)
        self._pending = []
        self._records = {}

    def _play(self) -> None:
        """Have what was asked for played."""
        pending = np.array(self._pending, kernel.REQUEST_DTYPE)
        self._pending = []
        programme = programme_of(pending, self._sample_ticks)
        self._rack.program(programme)
        found = self._rack.play(Trigger(self._shot, self._start, 1, self._distance, goes_on=self._begun))
        self._begun = True
        self.counters["arm_count"] += 1
        tickets = pending["ticket"][pending["kind"] == RequestKind.CAPTURE].tolist()
        self._records |= {ticket: found[place][0] for ticket, place in zip(tickets, programme.places, strict=True)}
