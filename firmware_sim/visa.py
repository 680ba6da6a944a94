"""Simulated instruments on VISA: pyvisa with the pyvisa-sim backend, whose devices are our models.

pyvisa-sim's own devices are made from YAML, which cannot carry binary blocks, and hand over one byte at a time. Here its
sessions, attributes and rules of reading (VPP-4.3) stay, and the device behind a session is a connection to one of our
instruments. Three things are added that a lab needs: each session has a connection of its own, `clear` is a device
clear, and what came before a time-out is handed over, as viRead does, so that half a block can be told from none.

Replies may be late (a seeded fault). They become readable when the clock says so; as on a wire, their order stays.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import pyvisa
from pyvisa import rname
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.errors import VisaIOError
from pyvisa_sim.devices import Devices
from pyvisa_sim.highlevel import SimVisaLibrary

from qrt.firmware_sim.faults import Wire
from qrt.firmware_sim.parameters import Faults
from qrt.scpi import Instrument

_library_index = itertools.count()


class SimulatedDevice:
    """What pyvisa-sim calls a device, for one session."""

    def __init__(self, instrument: Instrument, faults: Faults) -> None:
        self._wire = Wire(instrument, faults)
        self._messages: deque[tuple[float, bytearray, bool]] = deque()  # (readable from, bytes, complete with END)
        self.piece_size = (
            1  # how much one `read` may hand over, and all of them together until `piece_size` is set again
        )
        self.room_size = 1

    def write(self, data: bytes) -> None:
        """Take one message; a VISA write ends with END."""
        delay_s, reply = self._wire.receive(data, end=True)
        if reply:
            self._messages.append((time.monotonic() + delay_s, bytearray(reply), reply.endswith(b"\n")))

    def read(self) -> tuple[bytes, bool]:
        """Return the next bytes and whether END comes with them; nothing if nothing is readable."""
        if not self._messages or self._messages[0][0] > time.monotonic():
            return b"", False
        _, message, complete = self._messages[0]
        piece = bytes(message[: min(self.piece_size, self.room_size)])
        del message[: len(piece)]
        self.room_size -= len(piece)
        if not message:
            self._messages.popleft()
        return piece, complete and not message

    def clear(self) -> None:
        """Do a device clear. What is on its way comes nevertheless."""
        now_s = time.monotonic()
        self._wire.clear()
        self._messages = deque(message for message in self._messages if message[0] > now_s)


class SimulatedVisaLibrary(SimVisaLibrary):  # type: ignore[misc]  # pyvisa-sim has no types
    """The pyvisa-sim backend over our instruments. Each rack has its own, made by `visa_rack`."""

    def _init(self) -> None:
        self.sessions: dict[Any, Any] = {}
        self.devices = Devices()
        self.rack: dict[str, tuple[Instrument, Faults]] = {}

    def open(
        self, session: Any, resource_name: str, access_mode: Any = 0, open_timeout: Any = 0
    ) -> tuple[Any, StatusCode]:
        """Open a session to an instrument, with a connection of its own. Raises VisaIOError, as VISA libraries do."""
        try:
            name = rname.to_canonical_name(resource_name)
        except rname.InvalidResourceName as error:
            raise VisaIOError(StatusCode.error_invalid_resource_name) from error
        if name not in self.rack:
            raise VisaIOError(StatusCode.error_resource_not_found)
        self.devices._internal[name] = SimulatedDevice(*self.rack[name])  # noqa: SLF001 - it has no setter for a device that is no YAML
        handle, status = super().open(session, name, access_mode, open_timeout)
        return handle, status

    def list_resources(self, session: Any, query: str = "?*::INSTR") -> tuple[str, ...]:
        """Return the addresses that match."""
        return tuple(rname.filter(self.rack, query))

    def read(self, session: Any, count: int) -> tuple[bytes, StatusCode]:
        """Read up to `count` bytes; raises VisaIOError if none came in time."""
        opened = self.sessions.get(session)
        if opened is None:
            return b"", StatusCode.error_invalid_object
        by_character, _ = opened.get_attribute(ResourceAttribute.termchar_enabled)
        opened.device.piece_size = 1 if by_character else count
        opened.device.room_size = count
        data, status = opened.read(count)
        if status != StatusCode.error_timeout:
            return bytes(data), status
        if not data:
            raise VisaIOError(StatusCode.error_timeout)
        return bytes(data), StatusCode.success_max_count_read

    def write(self, session: Any, data: bytes) -> tuple[int, StatusCode]:
        """Write a message."""
        opened = self.sessions.get(session)
        if opened is None:
            return 0, StatusCode.error_invalid_object
        opened.device.write(bytes(data))
        return len(data), StatusCode.success

    def clear(self, session: Any) -> StatusCode:
        """Clear the device."""
        opened = self.sessions.get(session)
        if opened is None:
            return StatusCode.error_invalid_object
        opened.device.clear()
        return StatusCode.success


def visa_rack(rack: Mapping[str, tuple[Instrument, Faults]]) -> pyvisa.ResourceManager:
    """Return a resource manager on which the instruments stand at their addresses."""
    library = SimulatedVisaLibrary(f"rack {next(_library_index)}")
    library.rack = {rname.to_canonical_name(address): place for address, place in rack.items()}
    return pyvisa.ResourceManager(library)
