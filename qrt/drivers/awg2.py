"""Driver of the two-channel arbitrary waveform generator `Q-RT,AWG2`.

Segments go as blocks of little-endian int16 into a channel's memory and are read back in full. What is in memory already
stays: a segment is sent when it differs from what was last sent and verified, or when the instrument's catalogue (index,
samples, CRC-32) does not agree. One that an earlier session left there, as the catalogue has it, is read back instead of
sent. Memory is written while the instrument is aborted. The sequence table, what a trigger plays, is written as one block
and verified by its CRC-32.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qrt.drivers import trigger
from qrt.drivers.link import Link
from qrt.drivers.switch import CLOCKED, SWITCHED, Driver
from qrt.scpi import ReplyError, read_integer
from qrt.types import Setting

SAMPLE_BYTES = 2
CHANNELS = (1, 2)
ENTRY_DTYPE = np.dtype(
    [
        ("start", "<i8"),
        ("frequency", "<i8"),
        ("phase", "<u8"),
        ("amplitude", "<i4"),
        ("segment", "<u2"),
        ("reserved", "<u2"),
    ]
)


def _channel_settings(channel: int) -> tuple[Setting, ...]:
    """Return what a channel has to be set."""
    volts = f"SOURce{channel}:VOLTage"
    return (
        Setting(f"amplitude{channel}_v", "V", volts, 0.001, 5.0, resolution=1e-6, settle_s=1e-3),
        Setting(f"offset{channel}_v", "V", f"{volts}:OFFSet", -1.0, 1.0, resolution=1e-4, settle_s=1e-3),
        Setting(f"output{channel}", "", f"OUTPut{channel}", 0.0, 1.0, resolution=0.0, kept=SWITCHED),
    )


class Awg2(Driver):
    """The instrument, opened and identified by the lab."""

    manufacturer = "Q-RT"
    model = "AWG2"
    switches = ("OUTPut1", "OUTPut2")
    settings = (
        *(one for channel in CHANNELS for one in _channel_settings(channel)),
        Setting("sample_rate_hz", "Hz", "FREQuency:RASTer", 1e6, 4e9, resolution=0.0, kept=CLOCKED),
    )
    table_entries_max: ClassVar[int] = 4096

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._sent: dict[int, dict[int, bytes]] = {channel: {} for channel in CHANNELS}  # verified content
        self._table: bytes | None = None  # verified content; None: not known
        self.sent_count = 0  # segments
        self.sent_bytes = 0
        self.kept_count = 0
        self.found_count = 0  # of those kept, that an earlier session has left
        self.lost_count = 0  # segments that the instrument no longer had as they were sent

    @property
    def counters(self) -> dict[str, int]:
        """What the session has counted, and segments sent, kept and lost."""
        own = {
            "segment_sent_count": self.sent_count,
            "segment_sent_bytes": self.sent_bytes,
            "segment_kept_count": self.kept_count,
            "segment_found_count": self.found_count,
            "segment_lost_count": self.lost_count,
        }
        return super().counters | own

    def configure(self, channel: int, amplitude_v: float, sample_rate_hz: float) -> None:
        """Set full scale, offset and sample clock, each read back."""
        self.link.set_number(f"SOURce{channel}:VOLTage", amplitude_v)
        self.link.set_number(f"SOURce{channel}:VOLTage:OFFSet", 0.0, tolerance=1e-4)
        self.link.set_number("FREQuency:RASTer", sample_rate_hz)
        self.link.check_errors("configure")

    def output(self, channel: int, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch an output, read back."""
        self.link.set_boolean(f"OUTPut{channel}", on)

    def run(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Wait for triggers (segments can be played), or abort (they can be written); read back."""
        trigger.run(self.link, on=on)

    def upload(self, channel: int, segments: Sequence[bytes]) -> None:
        """Make a channel's memory hold exactly these segments, by index. Little-endian int16 each."""
        stored = self._catalogue(channel)
        sent = self._sent[channel]
        for index, data in enumerate(segments):
            if (
                index not in sent
                and stored.get(index) == _entry(data)
                and self._read_back(channel, index, data) == data
            ):
                sent[index] = data
                self.found_count += 1
        changed = [
            index for index, data in enumerate(segments) if sent.get(index) != data or stored.get(index) != _entry(data)
        ]
        surplus = [index for index in stored if index >= len(segments)]
        self.lost_count += sum(
            stored.get(index) != _entry(data) for index, data in sent.items() if index < len(segments)
        )
        self.kept_count += len(segments) - len(changed)
        if not changed and not surplus:
            return
        was_running = trigger.is_running(self.link)
        if was_running:
            self.run(on=False)
        for index in surplus + [index for index in changed if index in stored]:
            sent.pop(index, None)
            self.link.command(f"TRACe{channel}:DELete {index}")
        for index in changed:
            sent.pop(index, None)
            self._send(channel, index, segments[index])
            sent[index] = segments[index]
        if was_running:
            self.run(on=True)
        self.link.check_errors("upload")

    @staticmethod
    def room() -> tuple[int, int]:
        """Return how many segments a channel holds, and how many samples in all."""
        return 256, 65536

    def forget_table(self) -> None:
        """Take the table for unknown: the next one is sent and verified whatever it is."""
        self._table = None

    def table(self, plays: NDArray[Any]) -> None:
        """Make a trigger play these, mailbox.PLAY_DTYPE by start, on the pair of channels. Raises InstrumentError."""
        entries = np.zeros(len(plays), ENTRY_DTYPE)
        for name in plays.dtype.names or ():
            entries[name] = plays[name]
        data = entries.tobytes()
        if data == self._table:
            return
        message = "STABle:DATA "
        if len(plays) > self.table_entries_max:
            raise self.link.error(message, f"{len(plays)} plays in a shot; its table holds {self.table_entries_max}")
        self._table = None
        self.link.command(message, data)
        found = self.link.query("STABle:CATalog?")
        if found != f"{len(plays)},{zlib.crc32(data)}":
            raise self.link.error(message, self._table_difference(entries, found))
        self._table = data

    def _table_difference(self, entries: NDArray[Any], catalogue: str) -> str:
        """Return what is wrong with the table that the instrument holds."""
        errors = self.link.take_errors()
        if errors:
            return f"table of {len(entries)} plays refused: {'; '.join(errors)}"
        size = int(catalogue.partition(",")[0]) if catalogue.partition(",")[0].isdigit() else -1
        if size != len(entries):
            return f"sent {len(entries)} plays, the catalogue says {catalogue!r}"
        held = np.frombuffer(self.link.query_block("STABle:DATA?", entries.nbytes), ENTRY_DTYPE)
        wrong = np.flatnonzero(held != entries)
        if not len(wrong):
            return f"the catalogue says {catalogue!r}, which is not what its table holds"
        return f"play {wrong[0]} read back differs: sent {entries[wrong[0]]}, holds {held[wrong[0]]}"

    def _send(self, channel: int, index: int, data: bytes) -> None:
        """Write one segment and compare what is read back."""
        message = f"TRACe{channel}:DATA {index},"
        self.link.command(message, data)
        self.sent_count += 1
        self.sent_bytes += len(data)
        errors = self.link.take_errors()
        if errors:
            raise self.link.error(message, f"segment of {len(data)} bytes refused: {'; '.join(errors)}")
        found = self._read_back(channel, index, data)
        if found != data:
            at = next(place for place in range(len(data)) if found[place] != data[place])
            raise self.link.error(
                message, f"segment read back differs at sample {at // SAMPLE_BYTES} of {len(data) // SAMPLE_BYTES}"
            )

    def _read_back(self, channel: int, index: int, data: bytes) -> bytes:
        """Return what a segment that should be `data` is in memory."""
        return self.link.query_block(f"TRACe{channel}:DATA? {index}", len(data))

    def _catalogue(self, channel: int) -> dict[int, tuple[int, int]]:
        """Return samples and CRC-32 of each segment in memory."""
        message = f"TRACe{channel}:CATalog?"
        reply = self.link.query(message)
        try:
            count, *numbers = (read_integer(word) for word in reply.split(","))
        except ReplyError as error:
            raise self.link.error(message, str(error)) from None
        if len(numbers) != 3 * count:
            raise self.link.error(message, f"expected {count} segments of three numbers, got {len(numbers)} numbers")
        return {numbers[at]: (numbers[at + 1], numbers[at + 2]) for at in range(0, len(numbers), 3)}


def _entry(data: bytes) -> tuple[int, int]:
    """Return how the catalogue names a segment."""
    return len(data) // SAMPLE_BYTES, zlib.crc32(data)
