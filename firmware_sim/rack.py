"""The trigger line: what happens on the rack when the digitizer triggers, as calls of the plant's port.

The generators' tables and the digitizer's windows are merged by time and played, for each trigger. Where several things happen at one
sample, windows end first, then plays and windows begin, in the order of the lab's lines and of each table: the order in which a kernel
on the direct port asks for them, but for what different instruments do at the very same sample, which has no order on a rack.

Every trigger that starts at zero begins a shot of the plant, by the digitizer's trigger number and clock. What the plant refuses is a
hardware error in the digitizer's queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from qrt.firmware_sim._plant import ffi, lib
from qrt.firmware_sim.awg2 import ENTRY
from qrt.firmware_sim.dig1 import Burst
from qrt.scpi import Instrument, Refusal

_ffi: Any = ffi
_lib: Any = lib

SLOT_COUNT = 16  # windows open at once: what the plant holds
ENDS, BEGINS = 0, 1  # phases of one sample


class _Event(NamedTuple):
    """Something at a sample after the trigger; events sort by their first three fields."""

    sample: int
    phase: int
    order: int
    act: Callable[[int], None]  # at so many ticks after the run's start, the trigger's


class Rack:
    """The generators, by the index of the line that they play on, and the plant's port."""

    def __init__(self, port_address: int, generators: Mapping[int, Instrument], sample_ticks: int) -> None:
        self._port = _ffi.cast("qrt_port *", port_address)
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
            if not burst.continues:
                self._must(self._port.begin_shot(self._port.self, shot, start_tick), f"trigger {shot}")
            self._samples.clear()
            for event in events:
                event.act(start_tick)
            found.append([self._samples[window] for window in range(len(burst.windows))])
        return found

    def _plays(self) -> list[_Event]:
        """Return the entries of every table; a generator that does not wait for triggers plays nothing."""
        events: list[_Event] = []
        for line, generator in self._generators.items():
            table = generator.memory.table if generator.memory.running else b""
            for start, frequency, phase, amplitude, segment, _ in ENTRY.iter_unpack(table):
                if frequency % self._sample_ticks:
                    raise Refusal(-222, f"line {line} at sample {start}: a frequency between two of the clock's ticks")
                play = _ffi.new("qrt_play *")
                play.line, play.segment, play.amplitude = line, segment, amplitude
                play.frequency, play.phase = frequency // self._sample_ticks, phase
                events.append(_Event(start, BEGINS, len(events), self._player(play, start)))
        return events

    def _player(self, play: Any, start: int) -> Callable[[int], None]:
        def act(start_tick: int) -> None:
            play.tick = start_tick + start * self._sample_ticks
            self._must(self._port.play(self._port.self, play), f"line {play.line} at sample {start}")

        return act

    def _windows(self, windows: Sequence[tuple[int, int]]) -> list[_Event]:
        """Return begin and end of every window."""
        events: list[_Event] = []
        free_at = [0] * SLOT_COUNT  # the sample from which a slot may be used again
        for window, (start, size) in sorted(enumerate(windows), key=lambda one: one[1]):
            slot = next((slot for slot in range(SLOT_COUNT) if free_at[slot] <= start), None)
            if slot is None:
                raise Refusal(-221, f"more than {SLOT_COUNT} windows open at sample {start}")
            free_at[slot] = start + size
            events.append(_Event(start, BEGINS, -1, self._opener(start, size, slot)))
            events.append(_Event(start + size, ENDS, window, self._closer(window, size, slot)))
        return events

    def _opener(self, start: int, size: int, slot: int) -> Callable[[int], None]:
        capture = _ffi.new("qrt_capture *", (0, size, 0, slot))

        def act(start_tick: int) -> None:
            capture.tick = start_tick + start * self._sample_ticks
            self._must(self._port.capture_begin(self._port.self, capture), f"window at sample {start}")

        return act

    def _closer(self, window: int, size: int, slot: int) -> Callable[[int], None]:
        samples = _ffi.new("const int16_t **")

        def act(start_tick: int) -> None:
            self._must(self._port.capture_end(self._port.self, slot, samples), f"window {window}")
            self._samples[window] = bytes(_ffi.buffer(samples[0], 2 * size))

        return act

    def _must(self, status: int, where: str) -> None:
        if status != _lib.QRT_OK:
            name = str(_ffi.string(_ffi.cast("qrt_status", status)))
            raise Refusal(-240, f"{where}: {name.removeprefix('QRT_ERR_')}")
