"""The sequencer in C against a second one in Python, on sequences that hypothesis writes.

The reference follows qrt_core.h by its words and in the plainest way: at each step it looks over everything that is due and takes the
first by (tick, phase, sequencer, program order). Compared are the events, their hash, every call of the port, the row and the error's
place. The port is written in Python: it notes the calls, and answers captures with levels that hypothesis chose.
"""

import importlib.util
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cffi import FFI
from hypothesis import event, given, settings
from hypothesis import strategies as st

from qrt import kernel
from qrt.kernel import Status

PERIOD, BUDGET, FRAMES, CAPTURES, LATENCY = 1500, 100, 2, 3, 37
END, PLAY, CAPTURE, WAIT, WAIT_UNTIL, SYNC, SET_FREQUENCY, SHIFT_PHASE, READ, WRITE, ALU, BRANCH = range(12)
LOAD, LOOKUP, DRAW, WEIGH, EMIT = range(12, 17)
PLAY_REGISTER, WAIT_REGISTER, SET_FREQUENCY_REGISTER, SHIFT_PHASE_REGISTER = range(17, 21)
DIRECT = {
    PLAY_REGISTER: PLAY,
    WAIT_REGISTER: WAIT,
    SET_FREQUENCY_REGISTER: SET_FREQUENCY,
    SHIFT_PHASE_REGISTER: SHIFT_PHASE,
}
TABLE, FACTORS, EMITS = (5, -3, 0, 40, 1 << 40, -(1 << 63)), (1.0, -1.25, 0.3, 1.7), 3
MASK = (1 << 64) - 1


def signed(value):
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def random_word(seed, stream, shot, index):
    """The first 64 bits of Philox 4x32-10."""
    low = (1 << 32) - 1
    c, k = [index, stream, shot & low, shot >> 32], [seed & low, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & low, p >> 32 ^ c[3] ^ k[1], p & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c[0] << 32 | c[1]


# ---- The port --------------------------------------------------------------------------------------------------------


def port_declarations():
    project = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location("ffi_build", project / "ffi/build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    ffi = FFI()
    ffi.cdef(build.declarations((project / "ffi/qrt_port.h").read_text()))
    return ffi


FFI_PORT = port_declarations()


class ScriptedPort:
    """A qrt_port in Python. `calls` is what the kernel asked for; `levels` are the samples of the captures, in order.

    Of a shot's plays and captures the one of number `late_at` comes too late.
    """

    def __init__(self, levels=(0,), granularity=1, fail_on=None, late_at=None):
        self.calls, self.levels, self.fail_on, self.late_at = [], list(levels), fail_on, late_at
        self.begun = self.ended = 0
        self.samples = FFI_PORT.new("int16_t[64]")
        bind = FFI_PORT.callback
        self._callbacks = [
            bind("qrt_status(void *, int64_t, int64_t)", self.begin_shot),
            bind("qrt_status(void *, const qrt_play *)", self.play),
            bind("qrt_status(void *, const qrt_capture *)", self.capture_begin),
            bind("qrt_status(void *, uint16_t, const int16_t **)", self.capture_end),
            bind("qrt_status(void *)", self.safe),
        ]
        size = FFI_PORT.sizeof("qrt_port")
        limits = (LATENCY, granularity, 1, 4, 1, 64, 16)
        self._port = FFI_PORT.new("qrt_port *", (3, size, FFI_PORT.NULL, *self._callbacks, FFI_PORT.NULL, *limits))
        if late_at is not None:
            self._callbacks.append(bind("qrt_status(void *, int64_t *)", self.erase_shot))
            self._port.erase_shot = self._callbacks[-1]
        self.address = int(FFI_PORT.cast("uintptr_t", self._port))

    def note(self, *call):
        self.calls.append(call)
        return Status.PORT if call[0] == self.fail_on else Status.OK

    def begin_shot(self, _, shot, tick):
        self.begun = self.ended = 0
        return self.note("begin", shot, tick)

    def erase_shot(self, _, late_ns_out):
        late_ns_out[0] = 1
        return Status.OK

    def start(self, *call):
        self.begun += 1
        return Status.TOO_LATE if self.begun - 1 == self.late_at else self.note(*call)

    def play(self, _, p):
        return self.start("play", p.tick, p.line, p.segment, p.amplitude, p.frequency, p.phase)

    def capture_begin(self, _, c):
        return self.start("capture", c.tick, c.channel, c.sample_count, c.slot)

    def capture_end(self, _, slot, samples_out):
        level = self.levels[self.ended % len(self.levels)]
        self.ended += 1
        self.samples[0:64] = [level] * 64
        samples_out[0] = self.samples
        return self.note("end", slot)

    def safe(self, _):
        return self.note("safe")


# ---- The reference ---------------------------------------------------------------------------------------------------


@dataclass
class Sequencer:
    pc: int
    cursor: int = 0
    waits: object = None  # "end", ("sync", mask) or ("bit", b)
    draws: int = 0
    registers: list = field(default_factory=lambda: [0] * 64)


class FaultError(Exception):
    """What ends a shot: its status."""


class Reference:
    """One shot: what can be seen of it. `end` is the tick at which it is over.

    `error` is None or (status, tick, sequencer, instruction).
    """

    def __init__(self, sequence, shot, levels, granularity, tick=None, slots=(), seed=0, late_at=None):
        self.s, self.shot, self.levels, self.grid = sequence, shot, levels, granularity
        self.slots, self.seed, self.late_at = slots, seed, late_at
        self.base = shot * sequence.period_ticks if tick is None else tick
        self.limit, self.end = sequence.period_ticks * (1 + sequence.stretch_max), 0
        self.emitted, self.weight = [0] * sequence.emit_count, 1.0
        self.code = [tuple(map(int, one)) for one in sequence.instructions]
        self.sequencers = [Sequencer(int(entry)) for entry in sequence.entries]
        self.frames = [[int(f["frequency"]), int(f["phase"]), 0] for f in sequence.frames]  # frequency, phase, carried
        self.bits, self.ready = [0] * 64, [0] * 64
        self.pending = []  # (end tick, 0, sequencer, order, capture, slot, instruction, first weight)
        self.begun = self.ended = self.executed = 0
        self.events, self.calls = [], [("begin", shot, self.base)]
        self.outcomes, self.iq = [255] * len(sequence.captures), [(0, 0)] * len(sequence.captures)
        self.error = self.run()

    def run(self):
        while True:
            ready = [(s.cursor, 1, k) for k, s in enumerate(self.sequencers) if s.waits is None]
            if not ready and not self.pending:
                break
            first = min([*ready, *self.pending], key=lambda due: due[:4])
            if first[1] == 0:
                self.end_capture(first)
                continue
            s = self.sequencers[first[2]]
            tick, pc = s.cursor, s.pc
            try:
                self.step(s, first[2], *self.code[pc])
            except FaultError as fault:
                return fault.args[0], tick, first[2], pc
        stuck = [(k, s) for k, s in enumerate(self.sequencers) if s.waits != "end"]
        return (Status.DEADLOCK, stuck[0][1].cursor, stuck[0][0], stuck[0][1].pc - 1) if stuck else None

    def end_capture(self, due):
        self.pending.remove(due)
        tick, _, sequencer, _, index, slot, _, offset = due
        spec = self.s.captures[index]
        count = int(spec["sample_count"])
        level = self.levels[self.ended % len(self.levels)]
        self.ended += 1
        self.calls.append(("end", slot))
        self.end = max(self.end, tick)
        weights = self.s.weights[offset : offset + 2 * count].reshape(2, count).astype(int)
        iq = tuple(int(one.sum()) * level for one in weights)
        slot = int(spec["threshold_slot"])
        outcome = int(iq[0] > (spec["threshold"] if slot == kernel.SLOT_NONE else self.slots[slot]))
        self.outcomes[index], self.iq[index] = outcome, iq
        self.events.append((tick, kernel.EVENT_OUTCOME, 0, index, outcome, iq[0], sequencer))
        self.events.append((tick, kernel.EVENT_IQ, 0, index, 0, iq[1], sequencer))
        if (bit := int(spec["bit"])) != kernel.BIT_NONE:
            self.bits[bit], self.ready[bit] = outcome, -(-(tick + LATENCY) // self.grid) * self.grid
            if not self.awaited(bit):
                for s in self.sequencers:
                    if s.waits == ("bit", bit):
                        s.waits, s.cursor = None, tick

    def awaited(self, bit):
        return any(int(self.s.captures[due[4]]["bit"]) == bit for due in self.pending)

    def move(self, s, tick):
        if tick > self.limit:
            raise FaultError(Status.OVERRUN)
        s.cursor = tick

    def step(self, s, me, op, a, b, c, d):
        if op in (READ, WRITE):
            if self.awaited(b):
                s.waits = ("bit", b)
                return
            if self.ready[b] > s.cursor:
                self.move(s, self.ready[b])
                return
        if self.executed == self.s.budget:
            raise FaultError(Status.BUDGET)
        self.executed += 1
        if op >= LOAD:
            value = self.find(s, me, op, a, b, c, d)
            c, d = (value, d) if op == PLAY_REGISTER else (c, value)
        self.events.append((s.cursor, op, a, b, c, d, me))
        s.pc += 1
        op = DIRECT.get(op, op)
        if op == END:
            s.waits, self.end = "end", max(self.end, s.cursor)
        elif op in (LOAD, LOOKUP, DRAW):
            s.registers[a] = d
        elif op == EMIT:
            self.emitted[b] = d
        elif op in (PLAY, CAPTURE):
            self.start(s, me, op, a, b, c, d)
        elif op == WAIT:
            self.move(s, s.cursor + d)
        elif op == WAIT_UNTIL:
            if d < s.cursor:
                raise FaultError(Status.UNDERFLOW)
            self.move(s, d)
        elif op == SYNC:
            if not d >> me & 1:
                raise FaultError(Status.INSTRUCTION)
            s.waits = ("sync", d)
            members = [one for k, one in enumerate(self.sequencers) if d >> k & 1]
            if all(one.waits == ("sync", d) for one in members):
                for one in members:
                    one.waits, one.cursor = None, max(every.cursor for every in members)
        elif op == SET_FREQUENCY:
            frame = self.frames[a]
            frame[2] += (frame[0] - d) * s.cursor
            frame[0] = d
        elif op == SHIFT_PHASE:
            self.frames[a][1] += d
        elif op == READ:
            s.registers[a] = self.bits[b]
        elif op == WRITE:
            self.bits[b], self.ready[b] = s.registers[a] & 1, s.cursor
        elif op == ALU:
            r, x = s.registers[a], s.registers[c]
            compared = r == signed(x + d), r < signed(x + d)
            results = (d, x, r + x + d, r - x - d, r & x, r | x, r ^ x ^ d, *compared, r * x + d, x >> (d & 63))
            s.registers[a] = signed(int(results[b]))
        elif op == BRANCH:
            value = s.registers[a]
            s.pc = c if (True, value == d, value != d, value < d, value >= d)[b] else s.pc

    def find(self, s, me, op, a, b, c, d):
        """What an instruction from LOAD on takes from elsewhere."""
        r = s.registers
        if op in (LOOKUP, WEIGH) and not 0 <= r[b] < d:
            raise FaultError(Status.TABLE)
        if (op == PLAY_REGISTER and abs(r[c]) > 65536) or (op == WAIT_REGISTER and r[a] < 0):
            raise FaultError(Status.OPERAND)
        if op == LOAD:
            return self.slots[b]
        if op == LOOKUP:
            return TABLE[c + r[b]]
        if op == WEIGH:
            self.weight *= FACTORS[c + r[b]]
            return int(np.float64(FACTORS[c + r[b]]).view(np.int64))
        if op == DRAW:
            s.draws += 1
            return random_word(self.seed, 0x100 + me, self.shot, s.draws - 1) >> (64 - d)
        return r[{EMIT: a, WAIT_REGISTER: a, PLAY_REGISTER: c}.get(op, b)]

    def start(self, s, me, op, a, b, c, d):
        count = int(self.s.captures[b]["sample_count"]) if op == CAPTURE else 0
        if s.cursor + count > self.limit or (op == PLAY and s.cursor == self.limit):
            raise FaultError(Status.OVERRUN)
        if s.cursor % self.grid:
            raise FaultError(Status.INSTRUCTION)
        if sum(call[0] in ("play", "capture") for call in self.calls) == self.late_at:
            raise FaultError(Status.TOO_LATE)
        if op == PLAY:
            frequency, phase, carried = self.frames[a]
            phase += 0 if d else carried + frequency * s.cursor
            line = int(self.s.frames[a]["line"])
            self.calls.append(("play", self.base + s.cursor, line, b, c, frequency, phase & MASK))
            return
        free = sorted(set(range(16)) - {due[5] for due in self.pending})
        if not free:
            raise FaultError(Status.CHANNEL)
        first = self.first_weight(self.s.captures[b])
        self.pending.append((s.cursor + count, 0, me, self.begun, b, free[0], s.pc - 1, first))
        self.begun += 1
        self.calls.append(("capture", self.base + s.cursor, 0, count, free[0]))

    def first_weight(self, spec):
        """Where the weights of a capture stand: of a bank, those that its slot names."""
        first, slot = int(spec["weights_offset"]), int(spec["weights_slot"])
        if slot == kernel.SLOT_NONE:
            return first
        if not 0 <= self.slots[slot] < spec["bank_count"]:
            raise FaultError(Status.OPERAND)
        return first + self.slots[slot] * 2 * int(spec["sample_count"])


K = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xFF51AFD7ED558CCD)


def mix(h):
    return ((h ^ h >> 32) * K[3]) & MASK


def turned(product):
    return (product << 32 | (product & MASK) >> 32) & MASK


def head_word(op, a, b, c):
    return turned((op | a << 8 | b << 16 | (c & 0xFFFFFFFF) << 32) * K[1])


def sections(events):
    """The events of one sequencer, cut at what depends on what is known only while running."""
    section = []
    for one in events:
        op = one[1]
        if section and (op in (READ, WRITE) or op >= LOAD):
            yield section
            section = []
        section.append(one)
        if op in (END, WAIT_UNTIL, SYNC, BRANCH) or op >= LOAD:
            yield section
            section = []
    if section:
        yield section


def trace_hash(events, sequencer_count):
    """The formula at the head of trace.h."""
    ends = [one for one in events if one[1] in (kernel.EVENT_OUTCOME, kernel.EVENT_IQ)]
    total = K[0]
    for (tick, op, a, b, c, i, sequencer), (*_, q, _) in zip(ends[::2], ends[1::2], strict=True):
        x = (tick + (sequencer << 56)) * K[0] + head_word(op, a, b, c) + i * K[2] + turned(q * K[2])
        total = mix((total + x) & MASK)
    for sequencer in range(sequencer_count):
        h = K[0]
        for section in sections([one for one in events if one[6] == sequencer and one not in ends]):
            w = K[0]
            for _, op, a, b, c, d, _ in reversed(section):
                w = mix((w + head_word(op, a, b, c) + d * K[2]) & MASK)
            h = mix((h + section[0][0] * K[0] + w) & MASK)
        total = mix((total + h) & MASK)
    return mix(total)


# ---- Sequences -------------------------------------------------------------------------------------------------------

WORD = st.one_of(st.integers(-3, 3), st.integers(-(1 << 63), (1 << 63) - 1))
FRAME, BIT, REGISTER = st.integers(0, FRAMES - 1), st.integers(0, 3), st.integers(0, 3)


ZERO = st.just(0)


def same(*fields):
    """An instruction that may stand anywhere. Made once: hypothesis takes longer to make strategies than to draw from them."""
    each = st.tuples(*fields)
    return lambda *_: each


@cache
def sync(place, count, sequencers):
    every = (1 << sequencers) - 1
    return st.tuples(st.just(SYNC), ZERO, ZERO, ZERO, st.one_of(st.just(every), st.integers(1, every)))


@cache
def branch(place, count, sequencers):
    ahead = st.integers(place + 1, count)
    target = st.one_of(ahead, ahead, st.integers(0, count))
    return st.tuples(st.just(BRANCH), REGISTER, st.integers(0, 4), target, st.one_of(ZERO, WORD))


PAUSES = st.one_of(st.integers(1, 40), st.integers(1, 40), st.integers(0, 900))
KINDS = [  # how often each is chosen, and what it is at a place
    (10, same(st.just(PLAY), FRAME, st.integers(0, 9), st.integers(-65536, 65536), st.integers(0, 1))),
    (6, same(st.just(CAPTURE), ZERO, st.integers(0, CAPTURES - 1), ZERO, ZERO)),
    (8, same(st.just(WAIT), ZERO, ZERO, ZERO, PAUSES)),
    (2, sync),
    (5, same(st.just(SET_FREQUENCY), FRAME, ZERO, ZERO, WORD)),
    (2, same(st.just(SHIFT_PHASE), FRAME, ZERO, ZERO, WORD)),
    (5, same(st.just(READ), REGISTER, BIT, ZERO, ZERO)),
    (2, same(st.just(WRITE), REGISTER, BIT, ZERO, ZERO)),
    (4, same(st.just(ALU), REGISTER, st.integers(0, 9), REGISTER, WORD)),
    (1, same(st.just(ALU), REGISTER, st.just(10), REGISTER, st.integers(0, 63))),
    (3, branch),
    (1, same(st.just(WAIT_UNTIL), ZERO, ZERO, ZERO, st.integers(0, PERIOD))),
    (1, same(st.just(END), ZERO, ZERO, ZERO, ZERO)),
    (3, same(st.just(LOAD), REGISTER, st.integers(0, 2), ZERO, ZERO)),
    (2, same(st.just(LOOKUP), REGISTER, REGISTER, st.integers(0, 2), st.integers(1, 4))),
    (3, same(st.just(DRAW), REGISTER, ZERO, ZERO, st.sampled_from([1, 2, 5, 63]))),
    (2, same(st.just(WEIGH), ZERO, REGISTER, st.integers(0, 1), st.integers(1, 3))),
    (3, same(st.just(EMIT), REGISTER, st.integers(0, EMITS - 1), ZERO, ZERO)),
    (3, same(st.just(PLAY_REGISTER), FRAME, st.integers(0, 9), REGISTER, st.integers(0, 1))),
    (3, same(st.just(WAIT_REGISTER), REGISTER, ZERO, ZERO, ZERO)),
    (2, same(st.sampled_from([SET_FREQUENCY_REGISTER, SHIFT_PHASE_REGISTER]), FRAME, REGISTER, ZERO, ZERO)),
]
KIND = st.sampled_from([kind for weight, kind in KINDS for _ in range(weight)])


@st.composite
def sequences(draw):
    sequencers = draw(st.integers(1, 3))
    count = draw(st.integers(4, 40))
    code = [*(draw(draw(KIND)(place, count, sequencers)) for place in range(count)), (END, 0, 0, 0, 0)]
    entries = [draw(st.integers(0, count // 2)) for _ in range(sequencers)]
    lengths = [draw(st.integers(1, 64)) for _ in range(CAPTURES)]
    bits = [draw(st.sampled_from([*range(4), kernel.BIT_NONE])) for _ in range(CAPTURES)]
    sequence = make(code, entries, lengths, bits, stretch=draw(st.integers(0, 2)))
    slot = st.sampled_from([kernel.SLOT_NONE, 0, 1, 2])
    sequence.captures["threshold_slot"] = [draw(slot) for _ in range(CAPTURES)]
    sequence.captures["weights_slot"] = [draw(st.one_of(st.just(3), slot)) for _ in range(CAPTURES)]
    sequence.captures["bank_count"] = [draw(st.integers(1, 4)) for _ in range(CAPTURES)]
    return sequence


def make(code, entries=(0,), lengths=(8, 8, 8), bits=(0, 1, kernel.BIT_NONE), period=PERIOD, stretch=0, budget=BUDGET):
    frames = np.zeros(FRAMES, kernel.FRAME_DTYPE)
    frames["frequency"], frames["phase"], frames["line"] = [5, -(1 << 62)], [1, (1 << 64) - 1], [3, 1]
    captures = np.zeros(CAPTURES, kernel.CAPTURE_DTYPE)
    captures["sample_count"], captures["bit"], captures["threshold"] = lengths, bits, [0, -100, 100]
    captures["threshold_slot"] = captures["weights_slot"] = kernel.SLOT_NONE
    return SimpleNamespace(
        instructions=np.array(code, kernel.INSTRUCTION_DTYPE),
        entries=np.array(entries, np.uint32),
        frames=frames,
        captures=captures,
        weights=np.arange(-20, -20 + 4 * 2 * 64, dtype=np.int16),
        budget=budget,
        period_ticks=period,
        table=np.array(TABLE, np.int64),
        factors=np.array(FACTORS),
        emit_count=EMITS,
        stretch_max=stretch,
    )


# Four slots: one goes -5, 0, 5, one through a table, which is slower, one is the second value of the epoch, one counts 0, 1, 2, as of
# a bank of weights; and what they are worth in a shot. A batch has two shots, and its results come into force at once.
SLOTS = np.array([(-5, 5, 1, 0), (1, 0, 0, 1), (1, 0, 0, 2), (0, 2, 1, 0)], kernel.SLOT_DTYPE)
SWEEP = kernel.Sweep((2, 3), SLOTS, np.array([9, 3, -(1 << 40)]), kernel.Order.SHOT)


def slots_of(shot):
    return (-5, 0, 5)[shot % 3], (3, -(1 << 40))[shot // 3 % 2], values_of(shot // BATCH)[1], shot % 3


BATCH, ENTRY = 2, kernel.epoch_dtype(2)


def values_of(epoch):
    return 1 << 62, (epoch * 37) % 11 - 5


def begin_of(epoch, pause):
    """The period with which an epoch's first shot begins at the earliest: `pause` more than the shots before it take at least."""
    return epoch * (BATCH + pause) if pause else 0


def epochs_from(shot_first, pause, ring):
    """Write all epochs of a short run into the ring."""
    for number in range(1, 5):
        (entry,) = ring.claim(ENTRY)
        entry["number"], entry["flags"], entry["values"] = number, 0, values_of(number)
        entry["begin_period"] = begin_of(number, pause)
        ring.publish()
    first = shot_first // BATCH
    return kernel.Epochs(ring, np.array(values_of(first)), 0, BATCH, first=first)


def play(sequence, port, shots=1, pause=0, **options):
    """Return report, rows and the events of the last shot."""
    dtype = kernel.row_dtype(len(sequence.captures), sequence.emit_count)
    with kernel.Ring.create(dtype.itemsize, 64, 1) as rows, kernel.Ring.create(ENTRY.itemsize, 4, 1) as ring:
        epochs = epochs_from(options.get("shot_first", 0), pause, ring)
        config = kernel.Config(
            sequence, port.address, kernel.Rings(rows), shots, **{"sweep": SWEEP, "epochs": epochs, **options}
        )
        with kernel.Kernel(config) as loop:
            loop.log_shot(config.shot_first + shots - 1, 4 * sequence.budget)
            loop.start()
            report = loop.join()
            return report, rows.peek(0, dtype).copy(), loop.events


def compare(sequence, levels, granularity, shots=1, seed=0, pause=1):
    """Run the kernel and the reference from shot 3 on, compare all that can be seen, and return the reference's last shot."""
    port = ScriptedPort(levels, granularity)
    report, rows, events = play(sequence, port, shots, pause, shot_first=3, seed=seed)
    expected, tick, period, paused = [], 3 * sequence.period_ticks, sequence.period_ticks, 0
    while len(expected) < shots and not (expected and expected[-1].error):
        shot = 3 + len(expected)
        if shot % BATCH == 0:
            begin = max(tick, begin_of(shot // BATCH, pause) * period)
            paused, tick = paused + (begin - tick) // period, begin
        expected.append(Reference(sequence, shot, levels, granularity, tick, slots_of(shot), seed))
        tick += max(1, -(-expected[-1].end // period)) * period
    last = expected[-1]
    if last.shot == 3 + shots - 1:
        assert [tuple(map(int, one)) for one in events] == last.events
    assert port.calls == [*(call for one in expected for call in one.calls), ("safe",)]
    assert report.instructions == sum(one.executed for one in expected)
    if last.error is not None:
        place = (report.error_tick, report.error_sequencer, report.error_instruction)
        assert (report.status, *place) == last.error
        assert report.error_shot == last.shot
        expected.pop()
    else:
        assert report.status == Status.OK
        assert report.paused_periods == paused
        assert report.stretched_periods == tick // period - 3 - shots - report.paused_periods
    assert len(rows) == len(expected)
    for row, one in zip(rows, expected, strict=True):
        assert (row["shot"], row["tick"], row["epoch"]) == (one.shot, one.base, one.shot // BATCH)
        assert row["outcomes"].tolist() == one.outcomes
        assert [tuple(map(int, pair)) for pair in row["iq"]] == one.iq
        assert row["emitted"].tolist() == one.emitted
        assert row["shot_weight"] == one.weight
        assert row["bits"] == sum(bit << k for k, bit in enumerate(one.bits))
        assert row["trace_hash"] == trace_hash(one.events, len(sequence.entries))
    return last


LEVELS = st.lists(st.integers(-32768, 32767), min_size=1, max_size=4)


@settings(max_examples=250)
@given(sequences(), LEVELS, st.sampled_from([1, 1, 4]), st.integers(0, (1 << 64) - 1))
def test_kernel_does_what_the_reference_does(sequence, levels, granularity, seed):
    waits = np.isin(sequence.instructions["op"], [WAIT, WAIT_UNTIL])
    sequence.instructions["d"][waits] //= granularity  # on the grid, but for what captures and their latency do
    sequence.instructions["d"][waits] *= granularity
    last = compare(sequence, levels, granularity, shots=2, seed=seed)
    event(last.error[0].name if last.error else "shots completed")


# ---- Loops -----------------------------------------------------------------------------------------------------------
# Targets are relative to the branch until `placed`. Registers 10, 11, 12 count the turns of the loops; 15 is zero.


def counted(body, turns, depth):
    counter = 10 + depth
    code = [(ALU, counter, 0, 0, 0), *body, (ALU, counter, 2, 15, 1)]
    return [*code, (BRANCH, counter, 3, -len(code) + 1, turns)]


def until_success(capture, turns, depth):
    """Capture and read until the outcome is 1, at most `turns` times."""
    counter, bit = 10 + depth, (0, 1, 0)[capture]
    body = [(CAPTURE, 0, capture, 0, 0), (WAIT, 0, 0, 0, 8), (READ, 1, bit, 0, 0), (ALU, counter, 2, 15, 1)]
    return [(ALU, counter, 0, 0, 0), *body, (BRANCH, counter, 4, 2, turns), (BRANCH, 1, 1, -5, 0)]


STEPS = st.sampled_from(
    [
        (PLAY, 0, 3, 900, 0),
        (WAIT, 0, 0, 0, 7),
        (DRAW, 2, 0, 0, 2),
        (LOOKUP, 3, 2, 0, 4),
        (WEIGH, 0, 2, 0, 4),
        (EMIT, 3, 1, 0, 0),
        (SHIFT_PHASE_REGISTER, 1, 3, 0, 0),
        (LOAD, 4, 1, 0, 0),
        (ALU, 5, 9, 4, 1),
        (WAIT_REGISTER, 2, 0, 0, 0),
        (EMIT, 5, 2, 0, 0),
    ]
)


@st.composite
def loops(draw, depth=0):
    code = []
    for kind in draw(st.lists(st.sampled_from(["step", "step", "loop", "until"]), min_size=1, max_size=4)):
        if kind == "loop" and depth < 2:
            code += counted(draw(loops(depth + 1)), draw(st.integers(1, 4)), depth)
        elif kind == "until":
            code += until_success(draw(st.integers(0, 1)), draw(st.integers(1, 5)), depth)
        else:
            code.append(draw(STEPS))
    return code


def placed(*programs):
    """Return code and entries of sequencers whose branches are relative."""
    code, entries = [], []
    for program in programs:
        entries.append(len(code))
        for op, a, b, c, d in [*program, (SYNC, 0, 0, 0, (1 << len(programs)) - 1), (END, 0, 0, 0, 0)]:
            code.append((op, a, b, c + len(code) if op == BRANCH else c, d))
    return code, entries


@settings(max_examples=150)
@given(st.lists(loops(), min_size=1, max_size=3), LEVELS, st.integers(0, 4), st.integers(0, (1 << 64) - 1))
def test_loops_in_loops_and_until_success(programs, levels, stretch, seed):
    code, entries = placed(*programs)
    last = compare(make(code, entries, stretch=stretch, budget=3000), levels, 1, shots=3, seed=seed)
    event(last.error[0].name if last.error else "shots completed")


def test_repeat_until_success_takes_its_turns():
    code, entries = placed(until_success(0, 20, 0))
    for failures in (0, 1, 7):
        port = ScriptedPort([1] * failures + [-1])  # the weights' sum is negative
        report, rows, _ = play(make(code, entries), port)
        assert report.status == Status.OK
        assert rows["bits"][0] == 1
        assert sum(call[0] == "capture" for call in port.calls) == failures + 1
    assert play(make(code, entries, budget=1000), ScriptedPort([1]))[1]["bits"][0] == 0  # the bound


def test_a_long_shot_moves_those_after_it():
    code, entries = placed([(LOAD, 1, 0, 0, 0), (ALU, 2, 0, 0, 480), (ALU, 1, 9, 2, 2500), (WAIT_REGISTER, 1, 0, 0, 0)])
    # 100, 2500 and 4900 ticks by turns: 1, 2 and 4 periods of 1500.
    for stretch, expected in ((3, [0, 1, 3, 7, 8]), (2, [0, 1])):
        report, rows, _ = play(make(code, entries, stretch=stretch), ScriptedPort(), shots=5)
        assert (rows["tick"] // PERIOD).tolist() == expected
        assert (report.status, report.error_shot) == ((Status.OK, -1) if stretch == 3 else (Status.OVERRUN, 2))
    assert report.error_tick == 0
    assert play(make(code, entries), ScriptedPort(), shots=2)[0].status == Status.OVERRUN  # without: an error


def test_every_word_of_an_event_moves_the_hash(rng):
    base = [(5, PLAY, 1, 2, 3, 4, 0), (9, WAIT, 0, 0, 0, 7, 1)]
    hashes = {
        trace_hash(base, 16),
        trace_hash(base[:1], 16),
        trace_hash([*base, (9, END, 0, 0, 0, 0, 1)], 16),
    }
    for place in range(7):
        for bit in range((48, 7, 8, 16, 32, 64, 4)[place]):
            changed = list(base[0])
            changed[place] = signed(changed[place] ^ 1 << bit)
            hashes.add(trace_hash([tuple(changed), base[1]], 16))
    assert len(hashes) == 3 + 48 + 7 + 8 + 16 + 32 + 64 + 4


def test_the_hash_of_an_erased_shot_is_of_what_was_executed():
    """Wherever it is cut: in the section of one sequencer, with the others in the middle of theirs, logged or not."""
    first = [(PLAY, 0, 1, 9, 0), (WAIT, 0, 0, 0, 10), (PLAY, 0, 2, 9, 0), (ALU, 1, 0, 0, 5), (WAIT, 0, 0, 0, 5)]
    first += [(CAPTURE, 0, 0, 0, 0), (PLAY, 1, 3, 9, 1), (WAIT, 0, 0, 0, 8), (READ, 2, 0, 0, 0)]
    first += [(PLAY_REGISTER, 0, 4, 1, 0), (BRANCH, 2, 1, 2, 0), (PLAY, 0, 5, 9, 0)]
    second = [(SHIFT_PHASE, 1, 0, 0, 77), (WAIT, 0, 0, 0, 4), (PLAY, 1, 6, 9, 0), (WAIT, 0, 0, 0, 10)]
    second += [(WAIT, 0, 0, 0, 3), (PLAY, 1, 7, 9, 0), (WAIT_UNTIL, 0, 0, 0, 60), (PLAY, 1, 8, 9, 0)]
    code, entries = placed(first, second)
    sequence, hashes = make(code, entries), set()
    for late_at in range(9):
        _, rows, _ = play(sequence, ScriptedPort(late_at=late_at), shots=2)
        for shot, row in enumerate(rows):
            one = Reference(sequence, shot, [0], 1, slots=slots_of(shot), late_at=late_at)
            assert (one.error is None) == (row["flags"] == 0)
            assert row["trace_hash"] == trace_hash(one.events, 2), late_at
            hashes.add(int(row["trace_hash"]))
        assert len(rows) == 2
    assert len(hashes) == 9


@pytest.mark.parametrize("call", ["begin", "play", "capture", "end"])
def test_a_port_that_fails_is_named_and_made_safe(call):
    code = [(WAIT, 0, 0, 0, 9), (PLAY, 0, 1, 1, 0), (CAPTURE, 0, 1, 0, 0), (END, 0, 0, 0, 0)]
    port = ScriptedPort(fail_on=call)
    report, rows, _ = play(make(code), port, shots=2)
    places = {"begin": (-1, -1, -1), "play": (9, 0, 1), "capture": (9, 0, 2), "end": (17, 0, 2)}
    assert report.status == Status.PORT
    assert (report.error_tick, report.error_sequencer, report.error_instruction) == places[call]
    assert (report.error_shot, len(rows), port.calls[-1]) == (0, 0, ("safe",))
