"""The digitizer `Q-RT,DIG1`, one real channel, as a command table. It is the one that triggers the rack, too.

Full scale in volts peak, sample clock, record length and input switch; INITiate makes it wait for triggers. Its records leave on the
fast path (the port), as those of a card do, or from its segmented memory over SCPI.

*TRG sends triggers through its trigger output, which the generators are wired to: `ACQuire:SEGMented:COUNt` of them, `TRIGger:TIMer`
samples apart, the first at `TRIGger:TTAG` samples of the rack's common clock. At each, every window of the gate table becomes a
record. A trigger in the mode CONTinue does not start at zero again: tables and windows count from the last one that did. A record
carries the number of its trigger (`TRIGger:COUNter`, which counts on) and its time, so that none can be taken for another.

The gate table has 16 bytes a window, little-endian: int64 start_sample after the trigger, int64 sample_count. FETCh:SEGMented? <first>,
<count> replies the records of so many triggers, in the order of triggers and windows, each of them:

    int64 trigger number      int64 time of its first sample      uint32 window      uint32 sample_count      int16 samples
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from qrt.firmware_sim.trigger import TRIGGER
from qrt.scpi import Action, Boolean, Call, Choice, Data, Instrument, Model, Number, Refusal, Setting

CHANNEL_COUNT = 1
RECORD_SAMPLES_MAX = 65536
MEMORY_SAMPLES = 1 << 20  # of all records together
SEGMENT_COUNT_MAX = 4096
WINDOW_COUNT_MAX = 1024
TIME_MAX = 1 << 52  # samples: what a number in a command can tell exactly
WINDOW = struct.Struct("<qq")
HEAD = struct.Struct("<qqII")

TIME = Number(0, TIME_MAX, whole=True)


class Burst(NamedTuple):
    """What a *TRG asks of the rack. Times are in samples."""

    counter: int
    timestamp: int
    triggers: int
    timer: int
    continues: bool
    windows: tuple[tuple[int, int], ...]  # start after the trigger, samples


class TriggerLine(Protocol):
    """What the trigger output leads to."""

    def fire(self, burst: Burst) -> list[list[bytes]]:
        """Return the samples of each window at each trigger, little-endian int16. Raises Refusal."""


@dataclass
class DigitizerMemory:
    """What the instrument holds beside its settings."""

    running: bool = False
    gate: bytes = b""
    counter: int = 0  # number of the next trigger
    timestamp: int = 0  # its time
    last: tuple[int, int] | None = None  # number and time of the last trigger that started at zero
    records: list[bytes] = field(default_factory=list)  # of each trigger of the last *TRG


def _store_gate(instrument: Instrument, call: Call) -> None:
    """Do SENSe:SWEep:GATE: the whole table of windows."""
    (data,) = call.values
    if len(data) % WINDOW.size:
        raise Refusal(-161, f"{len(data)} bytes are no windows of {WINDOW.size}")
    if len(data) > WINDOW_COUNT_MAX * WINDOW.size:
        raise Refusal(-223, f"{len(data) // WINDOW.size} windows, at most {WINDOW_COUNT_MAX}")
    for index, (start, size) in enumerate(WINDOW.iter_unpack(data)):
        if start < 0 or not 1 <= size <= RECORD_SAMPLES_MAX:
            raise Refusal(-222, f"window {index}: start {start}, {size} samples")
    instrument.memory.gate = data


def _recall_gate(instrument: Instrument, call: Call) -> bytes:
    """Do SENSe:SWEep:GATE?."""
    gate: bytes = instrument.memory.gate
    return gate


def _set_counter(instrument: Instrument, call: Call) -> None:
    (instrument.memory.counter,) = call.values


def _counter(instrument: Instrument, call: Call) -> str:
    return str(instrument.memory.counter)


def _set_timestamp(instrument: Instrument, call: Call) -> None:
    (instrument.memory.timestamp,) = call.values


def _timestamp(instrument: Instrument, call: Call) -> str:
    return str(instrument.memory.timestamp)


def _trigger(instrument: Instrument, call: Call) -> None:
    """Do *TRG."""
    memory: DigitizerMemory = instrument.memory
    memory.records = []
    if not memory.running:
        raise Refusal(-211, "INITiate first")
    if instrument.wires is None:
        raise Refusal(-211, "the trigger output leads nowhere")
    windows = tuple(WINDOW.iter_unpack(memory.gate))
    count = instrument.value("segment_count")
    continues = instrument.value("trigger_mode") == "CONT"
    if continues and (count > 1 or memory.last is None):
        raise Refusal(-221, f"{count} triggers of mode CONTinue, or nothing to go on from")
    if count * sum(size for _, size in windows) > MEMORY_SAMPLES:
        raise Refusal(-225, f"{count} triggers with these windows; memory for {MEMORY_SAMPLES} samples")
    timer = instrument.value("timer_samples")
    counter, timestamp = (memory.counter, memory.timestamp) if memory.last is None or not continues else memory.last
    line: TriggerLine = instrument.wires
    found = line.fire(Burst(counter, timestamp, count, timer, continues, windows))
    for index, record in enumerate(found):
        start = timestamp + index * timer
        parts = [
            HEAD.pack(counter + index, start + windows[place][0], place, windows[place][1]) + samples
            for place, samples in enumerate(record)
        ]
        memory.records.append(b"".join(parts))
    if not continues:
        memory.last = (counter + count - 1, timestamp + (count - 1) * timer)
        memory.counter = counter + count
        memory.timestamp = timestamp + count * timer


def _fetch(instrument: Instrument, call: Call) -> bytes:
    """Do FETCh:SEGMented?."""
    first, count = call.values
    records = instrument.memory.records
    if first + count > len(records):
        raise Refusal(-230, f"{len(records)} triggers in memory, not {first + count}")
    return b"".join(records[first : first + count])


def _record_count(instrument: Instrument, call: Call) -> str:
    return str(len(instrument.memory.records))


DIG1 = Model(
    manufacturer="Q-RT",
    name="DIG1",
    firmware="1.0",
    suffix_max=CHANNEL_COUNT,
    block_size_max=WINDOW_COUNT_MAX * WINDOW.size,
    memory=DigitizerMemory,
    entries=(
        Setting("[SENSe<n>]:VOLTage[:DC]:RANGe[:UPPer]", "range_v", Number(0.01, 50.0, 1.0, "V"), 1.0),
        Setting("[SENSe]:FREQuency:RASTer", "sample_rate_hz", Number(1e6, 4e9, 1e9, "HZ"), 1e9),
        Setting("[SENSe]:SWEep:POINts", "record_samples", Number(1, RECORD_SAMPLES_MAX, 1024, whole=True), 1024),
        Setting("INPut<n>[:STATe]", "input", Boolean(), initial=False),
        Setting("ACQuire:SEGMented:COUNt", "segment_count", Number(1, SEGMENT_COUNT_MAX, 1, whole=True), 1),
        Setting("TRIGger:TIMer", "timer_samples", Number(1, TIME_MAX, 1, whole=True), 1),
        Setting("TRIGger:MODE", "trigger_mode", Choice(("STARt", "CONTinue")), "STAR"),
        Action("TRIGger:COUNter", _set_counter, (TIME,)),
        Action("TRIGger:COUNter?", _counter),
        Action("TRIGger:TTAG", _set_timestamp, (TIME,)),
        Action("TRIGger:TTAG?", _timestamp),
        Action("[SENSe]:SWEep:GATE", _store_gate, (Data(),)),
        Action("[SENSe]:SWEep:GATE?", _recall_gate),
        Action(
            "FETCh:SEGMented?",
            _fetch,
            (Number(0, SEGMENT_COUNT_MAX, whole=True), Number(1, SEGMENT_COUNT_MAX, whole=True)),
        ),
        Action("FETCh:SEGMented:COUNt?", _record_count),
        Action("*TRG", _trigger),
        *TRIGGER,
    ),
)
