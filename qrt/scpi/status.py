"""The status of an instrument: IEEE 488.2 registers and SCPI's error queue.

Errors set a bit of the event status register by their class (-1xx command, -2xx execution, -3xx device, -4xx query) and
stand in a queue of bounded depth; when it is full its last entry becomes -350 and newer ones are lost, which is what
the standard asks for and what the client can see.
"""

from __future__ import annotations

from collections import deque
from enum import IntFlag

from qrt.scpi.faults import MESSAGES

QUEUE_DEPTH = 20
DETAIL_SIZE_MAX = 120


class Event(IntFlag):
    """Bits of the event status register."""

    OPERATION_COMPLETE = 1
    QUERY_ERROR = 4
    DEVICE_ERROR = 8
    EXECUTION_ERROR = 16
    COMMAND_ERROR = 32
    POWER_ON = 128


class StatusByte(IntFlag):
    """Bits of the status byte."""

    ERROR_QUEUE = 4
    MESSAGE_AVAILABLE = 16
    EVENT_SUMMARY = 32
    REQUEST = 64


CLASSES = {1: Event.COMMAND_ERROR, 2: Event.EXECUTION_ERROR, 3: Event.DEVICE_ERROR, 4: Event.QUERY_ERROR}


class Status:
    """Registers and error queue of one instrument. Power has just come on."""

    def __init__(self) -> None:
        self.events = int(Event.POWER_ON)
        self.events_enabled = 0
        self.requests_enabled = 0
        self.lost_count = 0  # errors that found the queue full
        self._errors: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        """Return the number of errors in the queue."""
        return len(self._errors)

    def clear(self) -> None:
        """Do *CLS: events and errors go, enable registers stay."""
        self.events = 0
        self._errors.clear()

    def put(self, code: int, detail: str = "") -> None:
        """Record an error."""
        self.events |= int(CLASSES[-code // 100])
        if len(self._errors) < QUEUE_DEPTH:
            self._errors.append((code, detail))
        else:
            self._errors[-1] = (-350, "")
            self.events |= int(Event.DEVICE_ERROR)
            self.lost_count += 1

    def take(self) -> str:
        """Return and remove the oldest error, in the form of SYSTem:ERRor?."""
        code, detail = self._errors.popleft() if self._errors else (0, "")
        return error_text(code, detail)

    def take_code(self) -> str:
        """Return and remove the oldest error's number."""
        return str(self._errors.popleft()[0]) if self._errors else "0"

    def take_events(self) -> int:
        """Return and clear the event status register."""
        events, self.events = self.events, 0
        return events

    def byte(self, *, message_available: bool) -> int:
        """Return the status byte."""
        value = StatusByte.ERROR_QUEUE * bool(self._errors) | StatusByte.MESSAGE_AVAILABLE * message_available
        value |= StatusByte.EVENT_SUMMARY * bool(self.events & self.events_enabled)
        return int(value | StatusByte.REQUEST * bool(value & self.requests_enabled & ~StatusByte.REQUEST))


def error_text(code: int, detail: str) -> str:
    """Return `-113,"Undefined header;FOO"`; the detail is cut and made printable."""
    shown = "".join(letter if " " <= letter <= "~" else "." for letter in detail[:DETAIL_SIZE_MAX]).replace('"', '""')
    return f'{code},"{MESSAGES[code]}{";" if shown else ""}{shown}"'
