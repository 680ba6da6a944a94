"""The two-channel arbitrary waveform generator `Q-RT,AWG2`, as a command table.

Each channel has a segment memory of 16-bit samples, its full scale and offset in volts peak, and an output switch. The
sample clock is common. Segments are blocks of little-endian int16. Memory can be written while the instrument is
aborted; INITiate makes it wait for triggers, which is when its segments can be played. The catalogue names
size and CRC-32 of each segment, so that a client can know what is in memory without reading it back.

What a trigger plays is the sequence table: plays of segments of the I+Q pair of channels, each with its sample after the trigger,
amplitude, and frequency and phase of the NCO. It can be written while the instrument waits for a trigger. Its entries, 32 bytes each,
little-endian, by ascending start:

    int64 start_sample      uint64 phase, 2^-64 turns at the start       uint16 segment
    int64 frequency, 2^-64 turns per sample      int32 amplitude, 65536 = 1.0       uint16 0
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from qrt.firmware_sim.trigger import TRIGGER
from qrt.scpi import Action, Boolean, Call, Data, Instrument, Model, Number, Refusal, Setting

CHANNEL_COUNT = 2
SEGMENT_COUNT_MAX = 256
MEMORY_SAMPLES = 65536  # per channel, all segments together
SAMPLE_BYTES = 2
FULL_SCALE_COUNTS = 32768  # of int16: the amplitude in volts belongs to this count

TABLE_ENTRIES_MAX = 4096
ENTRY = struct.Struct("<qqQiHH")  # start, frequency, phase, amplitude, segment, 0
AMPLITUDE_ONE = 65536

SEGMENT = Number(0, SEGMENT_COUNT_MAX - 1, whole=True)


@dataclass
class AwgMemory:
    """What the instrument holds beside its settings."""

    segments: dict[int, dict[int, bytes]] = field(default_factory=lambda: {n: {} for n in range(1, CHANNEL_COUNT + 1)})
    running: bool = False
    table: bytes = b""


def _channel(instrument: Instrument, call: Call) -> dict[int, bytes]:
    """Return the memory of the channel that a header names."""
    segments: dict[int, bytes] = instrument.memory.segments[call.suffixes[0]]
    return segments


def _writable(instrument: Instrument, call: Call) -> dict[int, bytes]:
    """Return the memory of a channel for a change."""
    if instrument.memory.running:
        raise Refusal(-221, "memory is in use; ABORt first")
    return _channel(instrument, call)


def _used_samples(segments: dict[int, bytes]) -> int:
    return sum(map(len, segments.values())) // SAMPLE_BYTES


def store(instrument: Instrument, call: Call) -> None:
    """Do TRACe:DATA: write a segment, in place of one with the same index."""
    segments = _writable(instrument, call)
    index, data = call.values
    if not data or len(data) % SAMPLE_BYTES:
        raise Refusal(-161, f"{len(data)} bytes are no int16 samples")
    rest = {key: value for key, value in segments.items() if key != index}
    if _used_samples(rest) + len(data) // SAMPLE_BYTES > MEMORY_SAMPLES:
        raise Refusal(-225, f"{MEMORY_SAMPLES - _used_samples(rest)} samples free")
    segments[index] = data


def recall(instrument: Instrument, call: Call) -> bytes:
    """Do TRACe:DATA?."""
    segments = _channel(instrument, call)
    if call.values[0] not in segments:
        raise Refusal(-224, f"no segment {call.values[0]}")
    return segments[call.values[0]]


def _delete(instrument: Instrument, call: Call) -> None:
    segments = _writable(instrument, call)
    if segments.pop(call.values[0], None) is None:
        raise Refusal(-224, f"no segment {call.values[0]}")


def _delete_all(instrument: Instrument, call: Call) -> None:
    _writable(instrument, call).clear()


def _catalogue(instrument: Instrument, call: Call) -> str:
    """Reply count, then index, samples and CRC-32 of each segment."""
    segments = sorted(_channel(instrument, call).items())
    fields = [len(segments)]
    for index, data in segments:
        fields += [index, len(data) // SAMPLE_BYTES, zlib.crc32(data)]
    return ",".join(map(str, fields))


def _free(instrument: Instrument, call: Call) -> str:
    """Reply free samples and used samples."""
    used = _used_samples(_channel(instrument, call))
    return f"{MEMORY_SAMPLES - used},{used}"


def _store_table(instrument: Instrument, call: Call) -> None:
    """Do STABle:DATA: the whole table."""
    (data,) = call.values
    if len(data) % ENTRY.size:
        raise Refusal(-161, f"{len(data)} bytes are no entries of {ENTRY.size}")
    if len(data) > TABLE_ENTRIES_MAX * ENTRY.size:
        raise Refusal(-223, f"{len(data) // ENTRY.size} entries, at most {TABLE_ENTRIES_MAX}")
    before = 0
    for index, (start, _, _, amplitude, segment, zero) in enumerate(ENTRY.iter_unpack(data)):
        if start < before or abs(amplitude) > AMPLITUDE_ONE or segment >= SEGMENT_COUNT_MAX or zero:
            raise Refusal(-222, f"entry {index}: start {start} amplitude {amplitude} segment {segment}")
        before = start
    instrument.memory.table = data


def _recall_table(instrument: Instrument, call: Call) -> bytes:
    """Do STABle:DATA?."""
    table: bytes = instrument.memory.table
    return table


def _table_catalogue(instrument: Instrument, call: Call) -> str:
    """Reply entries and CRC-32 of the table."""
    table: bytes = instrument.memory.table
    return f"{len(table) // ENTRY.size},{zlib.crc32(table)}"


AWG2 = Model(
    manufacturer="Q-RT",
    name="AWG2",
    firmware="1.0",
    suffix_max=CHANNEL_COUNT,
    block_size_max=MEMORY_SAMPLES * SAMPLE_BYTES,
    memory=AwgMemory,
    entries=(
        Setting(
            "[SOURce<n>]:VOLTage[:LEVel][:IMMediate][:AMPLitude]", "amplitude_v", Number(0.001, 5.0, 0.1, "V"), 0.1
        ),
        Setting("[SOURce<n>]:VOLTage[:LEVel][:IMMediate]:OFFSet", "offset_v", Number(-1.0, 1.0, 0.0, "V"), 0.0),
        Setting("[SOURce]:FREQuency:RASTer", "sample_rate_hz", Number(1e6, 4e9, 1e9, "HZ"), 1e9),
        Setting("OUTPut<n>[:STATe]", "output", Boolean(), initial=False),
        Action("TRACe<n>[:DATA]", store, (SEGMENT, Data())),
        Action("TRACe<n>[:DATA]?", recall, (SEGMENT,)),
        Action("TRACe<n>:DELete[:NAME]", _delete, (SEGMENT,)),
        Action("TRACe<n>:DELete:ALL", _delete_all),
        Action("TRACe<n>:CATalog?", _catalogue),
        Action("TRACe<n>:FREE?", _free),
        Action("STABle[:DATA]", _store_table, (Data(),)),
        Action("STABle[:DATA]?", _recall_table),
        Action("STABle:CATalog?", _table_catalogue),
        *TRIGGER,
    ),
)
