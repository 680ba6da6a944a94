"""The trigger line: what happens on the rack when the digitizer triggers, as calls of the plant's port.

The generators' tables and the digitizer's windows are merged by time and played, for each trigger. Where several things happen at one
sample, windows end first, then plays and windows begin, in the order of the lab's lines and of each table: the order in which a kernel
on the direct port asks for them, but for what different instruments do at the very same sample, which has no order on a rack.

Every trigger that starts at zero begins a shot of the plant, by the digitizer's trigger number and clock. What the plant refuses is a
hardware error in the digitizer's queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from qrt.firmware_sim.awg2 import ENTRY
from qrt.firmware_sim.dig1 import Burst
from qrt.firmware_sim.plant import PortWords
from qrt.scpi import Instrument, Refusal

SLOT_COUNT = 16  # windows open at once: what the plant holds
ENDS, BEGINS = 0, 1  # phases of one sample


class _Event(NamedTuple):
    """Something at a sample after the trigger; events sort by their first three fields."""

    sample: int
    phase: int
    order: int
    act: Callable[[int], None]  # takes the trigger's tick
    where: str


class Rack:
    """The generators, by the index of the line that they play on, and the plant's port."""

    def __init__(self, port_address: int, generators: Mapping[int, Instrument], sample_ticks: int) -> None:
        self._port = PortWords(port_address)
        self._generators = generators
        self._sample_ticks = sample_ticks
        self._samples: dict[int, bytes] = {}  # window -> what it recorded at this trigger

    def fire(self, burst: Burst) -> list[list[bytes]]:
        """Return the samples of each window at each trigger. Raises Refusal."""
        events = sorted((*self._plays(), *self._windows(burst.windows)), key=lambda event: event[:3])
        found = []
        for index in range(burst.triggers):
            start_tick = (burst.timestamp + index * burst.timer) * self._sample_ticks
            shot = burst.counter + index
            where = f"trigger {shot}"
            self._samples.clear()
            try:
                if not burst.continues:
                    self._port.begin_shot(shot, start_tick)
                for event in events:
                    where = event.where
                    event.act(start_tick)
            except ValueError as error:
                raise Refusal(-240, f"{where}: {error}") from None
            found.append([self._samples[window] for window in range(len(burst.windows))])
        return found

    def _plays(self) -> list[_Event]:
        """Return the entries of every table; a generator that does not wait for triggers plays nothing."""
        events: list[_Event] = []
        for line, generator in self._generators.items():
            table = generator.memory.table if generator.memory.running else b""
            for start, frequency, phase, amplitude, segment, _ in ENTRY.iter_unpack(table):
                where = f"line {line} at sample {start}"
                if frequency % self._sample_ticks:
                    raise Refusal(-222, f"{where}: a frequency between two of the clock's ticks")
                play = self._port.make_play(line, segment, amplitude, frequency // self._sample_ticks, phase)
                act = partial(self._play, play, start * self._sample_ticks)
                events.append(_Event(start, BEGINS, len(events), act, where))
        return events

    def _windows(self, windows: Sequence[tuple[int, int]]) -> list[_Event]:
        """Return begin and end of every window."""
        events: list[_Event] = []
        free_at = [0] * SLOT_COUNT  # the sample from which a slot may be used again
        for window, (start, size) in sorted(enumerate(windows), key=lambda one: one[1]):
            slot = next((slot for slot in range(SLOT_COUNT) if free_at[slot] <= start), None)
            if slot is None:
                raise Refusal(-221, f"more than {SLOT_COUNT} windows open at sample {start}")
            free_at[slot] = start + size
            capture, where = self._port.make_capture(size, slot), f"window {window} at sample {start}"
            begin = partial(self._begin, capture, start * self._sample_ticks)
            events.append(_Event(start, BEGINS, -1, begin, where))
            events.append(_Event(start + size, ENDS, window, partial(self._end, capture, window), where))
        return events

    def _play(self, play: Any, ticks: int, start_tick: int) -> None:
        self._port.play(play, start_tick + ticks)

    def _begin(self, capture: Any, ticks: int, start_tick: int) -> None:
        self._port.capture_begin(capture, start_tick + ticks)

    def _end(self, capture: Any, window: int, _start_tick: int) -> None:
        self._samples[window] = self._port.capture_end(capture)
