"""Simulated instruments on serial lines: a pseudo terminal each, in raw mode, and one thread that pumps all of them.

`SerialRack` is inert until it is entered; leaving it ends the thread and closes the lines. The thread sleeps until a byte
comes, a late reply (a seeded fault) is due, or it is told to end. A reader that does not read fills its line's
queue; what exceeds `QUEUE_SIZE_MAX` is dropped, as an instrument's full output buffer does, and counted.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
import tty
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from qrt.firmware_sim.faults import Wire
from qrt.firmware_sim.parameters import Faults
from qrt.scpi import Instrument

READ_SIZE = 4096
QUEUE_SIZE_MAX = 1 << 20


class _SerialLine:
    """One instrument behind a pseudo terminal."""

    def __init__(self, instrument: Instrument, faults: Faults) -> None:
        self.wire = Wire(instrument, faults)
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)  # the slave stays open here, so that a client may close the line and open it again
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self.slave)
        self.queue: deque[tuple[float, bytes]] = deque()  # (due, bytes)
        self.dropped_bytes = 0

    def receive(self, now_s: float) -> None:
        """Take what has come and queue what is replied."""
        try:
            data = os.read(self.master, READ_SIZE)
        except BlockingIOError:
            return
        delay_s, reply = self.wire.receive(data)
        if sum(len(waiting) for _, waiting in self.queue) + len(reply) > QUEUE_SIZE_MAX:
            self.dropped_bytes += len(reply)
        elif reply:
            self.queue.append((now_s + delay_s, reply))

    def send(self, now_s: float) -> None:
        """Write what is due and fits."""
        while self.queue and self.queue[0][0] <= now_s:
            due_s, reply = self.queue.popleft()
            try:
                written = os.write(self.master, reply)
            except BlockingIOError:
                written = 0
            if written < len(reply):
                self.queue.appendleft((due_s, reply[written:]))
                return

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


class SerialRack:
    """Instruments at serial addresses."""

    def __init__(self, rack: Mapping[str, tuple[Instrument, Faults]]) -> None:
        self._rack = rack
        self._lines: dict[str, _SerialLine] = {}
        self._wake_read, self._wake_write = -1, -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Open the lines and start the pump."""
        self._lines = {address: _SerialLine(*place) for address, place in self._rack.items()}
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="simulated serial lines", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the pump and close the lines."""
        if self._thread is None:
            return
        os.write(self._wake_write, b"end")
        self._thread.join()
        self._thread = None
        for line in self._lines.values():
            line.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._lines = {}

    def path(self, address: str) -> str:
        """Return the device file behind a serial address. Raises KeyError if nothing is there."""
        return self._lines[address].path

    def _pump(self) -> None:
        with contextlib.closing(selectors.DefaultSelector()) as selector:
            selector.register(self._wake_read, selectors.EVENT_READ, None)
            for line in self._lines.values():
                selector.register(line.master, selectors.EVENT_READ, line)
            while True:
                for key, events in selector.select(self._wait_s(time.monotonic())):
                    if key.data is None:
                        return
                    if events & selectors.EVENT_READ:
                        key.data.receive(time.monotonic())
                now_s = time.monotonic()
                for line in self._lines.values():
                    line.send(now_s)
                    full = bool(line.queue) and line.queue[0][0] <= now_s
                    selector.modify(line.master, selectors.EVENT_READ | selectors.EVENT_WRITE * full, line)

    def _wait_s(self, now_s: float) -> float | None:
        """Return how long nothing is due: None for ever."""
        due = [line.queue[0][0] for line in self._lines.values() if line.queue]
        waits = [at_s - now_s for at_s in due if at_s > now_s]
        return min(waits) if waits else None
