"""Driver of the digitizer `Q-RT,DIG1`: set up and armed here, and, on a rack without a fast path, triggered and read.

Records of the segmented memory come as one block. Each carries the number of its trigger, its time and its window, and all of them are
compared with what was asked for, so that a missed or doubled trigger is an error and never a shifted row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qrt.drivers import trigger
from qrt.drivers.link import Link
from qrt.drivers.switch import CLOCKED, SWITCHED, Driver
from qrt.scpi import ReplyError, read_integer
from qrt.types import Setting

RECORDED = "what is recorded, and for how long, the program's captures say"
TRIGGERED = (
    "it belongs to the triggers of each arm, which follow from the program, the period and mailbox.shots_per_arm"
)
ERROR_QUEUE = 4  # bit of the status byte
HEAD = [("counter", "<i8"), ("time", "<i8"), ("window", "<u4"), ("size", "<u4")]
WINDOW_DTYPE = np.dtype([("start", "<i8"), ("size", "<i8")])


class Dig1(Driver):
    """The instrument, opened and identified by the lab. It has no output; safe means that its input is disconnected."""

    manufacturer = "Q-RT"
    model = "DIG1"
    switches = ("INPut1",)
    settings = (
        Setting("range_v", "V", "SENSe1:VOLTage:RANGe", 0.01, 50.0, resolution=1e-6, settle_s=1e-3),
        Setting("input1", "", "INPut1", 0.0, 1.0, resolution=0.0, kept=SWITCHED),
        Setting("sample_rate_hz", "Hz", "SENSe:FREQuency:RASTer", 1e6, 4e9, resolution=0.0, kept=CLOCKED),
        Setting("record_samples", "", "SENSe:SWEep:POINts", 1.0, 65536.0, resolution=0.0, kept=RECORDED),
        Setting("segment_count", "", "ACQuire:SEGMented:COUNt", 1.0, 4096.0, resolution=0.0, kept=TRIGGERED),
        Setting("timer_samples", "", "TRIGger:TIMer", 1.0, 2.0**52, resolution=0.0, kept=TRIGGERED),
        Setting("trigger_mode", "", "TRIGger:MODE", 0.0, 1.0, resolution=0.0, words=("STAR", "CONT"), kept=TRIGGERED),
    )
    window_count_max: ClassVar[int] = 1024

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.forget_windows()

    def configure(self, channel: int, range_v: float, sample_rate_hz: float) -> None:
        """Set full scale and sample clock, each read back."""
        low, high = next((one.low, one.high) for one in self.settings if one.name == "range_v")
        fix = f"digitizer.range_v = {range_v} in the lab file: this instrument takes {low:g} to {high:g} V; change it there"
        self.link.set_number(f"SENSe{channel}:VOLTage:RANGe", range_v, fix=fix)
        self.link.set_number("SENSe:FREQuency:RASTer", sample_rate_hz)
        self.link.check_errors("configure")

    def input(self, channel: int, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch an input, read back."""
        self.link.set_boolean(f"INPut{channel}", on)

    def run(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Wait for triggers, or abort; read back."""
        trigger.run(self.link, on=on)

    # ---- Segmented memory ---------------------------------------------------------------------------------------------

    @staticmethod
    def room() -> tuple[int, int]:
        """Return the samples of the longest record, and of all records of one arm together."""
        return 65536, 1 << 20

    def forget_windows(self) -> None:
        """Take windows and trigger settings for unknown: the next ones are sent and verified whatever they are."""
        self._windows: tuple[tuple[int, int], ...] | None = None
        self._burst: tuple[int, int] | None = None  # triggers, samples between them
        self._goes_on: bool | None = None
        self._next: tuple[int, int] | None = None  # number and time of the next trigger

    def windows(self, windows: Sequence[tuple[int, int]]) -> None:
        """Record these at each trigger: start after it and size, in samples; read back. Raises InstrumentError."""
        if tuple(windows) == self._windows:
            return
        message = "SENSe:SWEep:GATE "
        if len(windows) > self.window_count_max:
            raise self.link.error(message, f"{len(windows)} windows in a shot; it holds {self.window_count_max}")
        self._windows = None
        data = np.array(list(windows), WINDOW_DTYPE).tobytes()
        self.link.command(message, data)
        self.link.check_errors(message.strip())
        found = self.link.query_block("SENSe:SWEep:GATE?", len(data))
        if found != data:
            held = np.frombuffer(found, WINDOW_DTYPE).tolist()
            place = next(index for index, window in enumerate(windows) if held[index] != tuple(window))
            raise self.link.error(
                message, f"window {place} read back differs: sent {windows[place]}, holds {held[place]}"
            )
        self._windows = tuple(windows)

    def play(self, number: int, time: int, count: int, distance: int, *, goes_on: bool) -> list[NDArray[np.int16]]:
        """Trigger `count` shots from shot `number` on, `distance` samples apart, and return int16 [shots, samples] of each window.

        `goes_on`: one trigger more of the shot that was triggered last. Raises InstrumentError.
        """
        assert self._windows is not None
        self._set_burst(count, distance, goes_on=goes_on)
        if not goes_on and self._next != (number, time):
            self.link.command(f"TRIGger:COUNter {number}")
            self.link.command(f"TRIGger:TTAG {time}")
        self._next = None
        self._trigger()
        found = self._fetch(number, time, count, distance)
        self._next = (number + count, time + count * distance)
        return found

    def _set_burst(self, count: int, distance: int, *, goes_on: bool) -> None:
        """Set how many triggers come and how, read back where it changed."""
        if self._burst != (count, distance):
            self._burst = None
            self.link.set_number("ACQuire:SEGMented:COUNt", count, tolerance=0.0)
            self.link.set_number("TRIGger:TIMer", distance, tolerance=0.0)
            self._burst = (count, distance)
        if self._goes_on is not goes_on:
            self._goes_on = None
            word = "CONT" if goes_on else "STAR"
            message = f"TRIGger:MODE {word}"
            self.link.command(message)
            found = self.link.query("TRIGger:MODE?")
            if found != word:
                raise self.link.error(message, f"setting not taken: sent {word}, read back {found}")
            self._goes_on = goes_on

    def _trigger(self) -> None:
        """Trigger, and wait until all is recorded."""
        message = "*TRG;*OPC?;*STB?"
        reply = self.link.query_once(message)
        try:
            status = read_integer(reply.removeprefix("1;"))
        except ReplyError as error:
            raise self.link.error(message, str(error)) from None
        if status & ERROR_QUEUE:
            self.link.check_errors("*TRG")

    def _fetch(self, number: int, time: int, count: int, distance: int) -> list[NDArray[np.int16]]:
        assert self._windows is not None
        if not self._windows:
            return []
        parts = [
            (f"{place}", np.dtype([*HEAD, ("samples", "<i2", (size,))]))
            for place, (_, size) in enumerate(self._windows)
        ]
        dtype = np.dtype(parts)
        message = f"FETCh:SEGMented? 0,{count}"
        records = np.frombuffer(self.link.query_block(message, count * dtype.itemsize), dtype)
        numbers = number + np.arange(count)
        for place, (start, size) in enumerate(self._windows):
            record = records[f"{place}"]
            wanted: dict[str, Any] = {"counter": numbers, "time": time + start + distance * np.arange(count)}
            wanted |= {"window": place, "size": size}
            for name, values in wanted.items():
                wrong = np.flatnonzero(record[name] != values)
                if len(wrong):
                    value = np.broadcast_to(values, count)[wrong[0]]
                    raise self.link.error(
                        message,
                        f"record {wrong[0]}, window {place}: {name} is {record[name][wrong[0]]}, expected {value}: a trigger was missed or "
                        "came twice; nothing of this arm is used",
                    )
        return [records[f"{place}"]["samples"] for place in range(len(self._windows))]
