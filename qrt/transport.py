"""Moves bytes between Q-RT and an instrument: over VISA, or over a serial line. Understands none of them.

One small interface, two classes. Deadlines are absolute, on CLOCK_MONOTONIC as `time.monotonic` reads it; a wait is one call
of the operating system or of the VISA library that is told how long, never a loop of naps. A transport reports what the
system says (`TransportError`); what it means for the session is decided in `scpi`.

Addresses: a VISA resource name, or `serial:<device>`. A simulated lab hands in its `library`, which has the VISA library to
open with and knows the device file behind a serial address.

A serial line whose device file lies in /dev/pts is called "serial (pty)": on Linux a pseudo-terminal is there and nowhere else. A link
to one from elsewhere is called "serial". The name is for people; nothing depends on it.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import pyvisa
import serial
from pyvisa.constants import InterfaceType, StatusCode

from qrt.errors import InstrumentError

SERIAL_PREFIX = "serial:"
SERIAL_BAUD = 115200
BACKENDS = {"pyvisa_sim": "pyvisa-sim", "pyvisa_py": "pyvisa-py"}
TIMEOUT_MS_MIN = 1  # VISA takes 0 for "at once", which would not wait for what is a microsecond away


class Library(Protocol):
    """What a simulated lab opens with."""

    @property
    def visa_library(self) -> Any:
        """A pyvisa.ResourceManager."""

    def serial_path(self, address: str) -> str:
        """Return the device file of a serial address. Raises KeyError if nothing is there."""


class TransportError(InstrumentError):
    """The system or the VISA library could not move bytes; in its words."""


class Transport(Protocol):
    """An open way to one instrument."""

    name: str

    def write(self, data: bytes, deadline_s: float) -> None:
        """Write all bytes. Raises TransportError."""

    def read(self, size: int, deadline_s: float) -> bytes:
        """Return up to `size` bytes as soon as there are some; empty if none came by the deadline. Raises TransportError."""

    def clear(self, deadline_s: float) -> None:
        """Clear the device as far as the way allows, and drop what is in both buffers. Raises TransportError."""

    def close(self) -> None:
        """Close; never raises for a way that is gone already."""


def open_transport(address: str, library: Library | None = None, timeout_s: float = 2.0) -> Transport:
    """Open the way to an address. Raises TransportError."""
    if address.startswith(SERIAL_PREFIX):
        return SerialTransport(address, library, timeout_s)
    return VisaTransport(address, library, timeout_s)


class VisaTransport:
    """A VISA resource."""

    def __init__(self, address: str, library: Library | None, timeout_s: float) -> None:
        try:
            rack: Any = library.visa_library if library is not None else pyvisa.ResourceManager()
            self._resource: Any = rack.open_resource(address, open_timeout=round(timeout_s * 1e3))
        except (pyvisa.Error, ValueError, OSError) as error:
            raise TransportError(f"VISA cannot open it: {error}") from error
        self._visa = self._resource.visalib
        modules = [kind.__module__.partition(".")[0] for kind in type(self._visa).__mro__]
        backend = next((BACKENDS[module] for module in modules if module in BACKENDS), str(self._visa.library_path))
        self.name = f"VISA ({backend})"
        if self._resource.interface_type == InterfaceType.asrl or "SOCKET" in address.upper():
            self._resource.read_termination = "\n"  # no END on these: a read may stop at a newline instead

    def write(self, data: bytes, deadline_s: float) -> None:
        """Write all bytes as one message."""
        self._set_timeout(deadline_s)
        try:
            self._resource.write_raw(data)
        except (pyvisa.Error, OSError) as error:
            raise TransportError(f"VISA cannot write: {error}") from error

    def read(self, size: int, deadline_s: float) -> bytes:
        """Return up to `size` bytes of a message, fewer at its END."""
        if time.monotonic() >= deadline_s:
            return b""
        self._set_timeout(deadline_s)
        accepted = (StatusCode.success_max_count_read, StatusCode.success_device_not_present)
        try:
            with self._resource.ignore_warning(*accepted):
                data, _ = self._visa.read(self._resource.session, size)
        except pyvisa.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                return b""
            raise TransportError(f"VISA cannot read: {error}") from error
        except OSError as error:
            raise TransportError(f"VISA cannot read: {error}") from error
        return bytes(data)

    def clear(self, deadline_s: float) -> None:
        """Do viClear."""
        self._set_timeout(deadline_s)
        try:
            self._resource.clear()
        except (pyvisa.Error, OSError) as error:
            raise TransportError(f"VISA cannot clear: {error}") from error

    def close(self) -> None:
        """Close the resource."""
        try:
            self._resource.close()
        except (pyvisa.Error, OSError):
            return  # gone already, which is what was wanted

    def _set_timeout(self, deadline_s: float) -> None:
        self._resource.timeout = max(TIMEOUT_MS_MIN, round((deadline_s - time.monotonic()) * 1e3))


class SerialTransport:
    """A serial line."""

    def __init__(self, address: str, library: Library | None, timeout_s: float) -> None:
        device = address.removeprefix(SERIAL_PREFIX)
        try:
            path = library.serial_path(address) if library is not None else device
            self._line = serial.Serial(path, SERIAL_BAUD, timeout=timeout_s, write_timeout=timeout_s, exclusive=True)
        except KeyError:
            raise TransportError(f"no serial line {device!r} in the simulated lab") from None
        except (serial.SerialException, ValueError, OSError) as error:
            raise TransportError(f"cannot open the serial line: {error}") from error
        self.name = "serial (pty)" if path.startswith("/dev/pts/") else "serial"

    def write(self, data: bytes, deadline_s: float) -> None:
        """Write all bytes."""
        try:
            self._line.write_timeout = max(0.001, deadline_s - time.monotonic())
            self._line.write(data)
        except (serial.SerialException, OSError) as error:
            raise TransportError(f"cannot write to the serial line: {error}") from error

    def read(self, size: int, deadline_s: float) -> bytes:
        """Return up to `size` bytes."""
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            return b""
        try:
            self._line.timeout = remaining_s
            first: bytes = self._line.read(1)
            waiting = min(size - len(first), self._line.in_waiting) if first else 0
            return first + (self._line.read(waiting) if waiting else b"")
        except (serial.SerialException, OSError) as error:
            raise TransportError(f"cannot read from the serial line: {error}") from error

    def clear(self, deadline_s: float) -> None:
        """Drop both buffers, and end what the instrument may have of a message."""
        try:
            self._line.reset_output_buffer()
            self._line.reset_input_buffer()
        except (serial.SerialException, OSError) as error:
            raise TransportError(f"cannot clear the serial line: {error}") from error
        self.write(b"\n", deadline_s)

    def close(self) -> None:
        """Close the line."""
        try:
            self._line.close()
        except (serial.SerialException, OSError):
            return  # gone already, which is what was wanted
