"""Bytes over a real VISA session and a real pseudo terminal, without anyone who understands them."""

import time
from collections.abc import Iterator

import pytest

from qrt.firmware_sim.awg2 import AWG2
from qrt.firmware_sim.parameters import Faults
from qrt.firmware_sim.serial import SerialRack
from qrt.firmware_sim.source1 import SRC1
from qrt.firmware_sim.visa import visa_rack
from qrt.scpi import Instrument
from qrt.transport import Transport, TransportError, open_transport

VISA, SERIAL = "TCPIP0::awg::INSTR", "serial:lo"
SILENT = Faults(silent_after=0)


class Rack:
    """A library with one instrument on each way, and a silent one beside it."""

    def __init__(self, lines: SerialRack) -> None:
        self.visa_library = visa_rack(
            {VISA: (Instrument(AWG2, "1"), Faults()), "TCPIP0::mute::INSTR": (Instrument(AWG2, "2"), SILENT)}
        )
        self.serial_path = lines.path


@pytest.fixture
def rack() -> Iterator[Rack]:
    with SerialRack(
        {SERIAL: (Instrument(SRC1, "3"), Faults()), "serial:mute": (Instrument(SRC1, "4"), SILENT)}
    ) as lines:
        rack = Rack(lines)
        yield rack
        rack.visa_library.close()


def soon() -> float:
    return time.monotonic() + 5.0


@pytest.mark.parametrize(("address", "name"), [(VISA, "VISA (pyvisa-sim)"), (SERIAL, "serial (pty)")])
def test_bytes_go_both_ways(rack: Rack, address: str, name: str) -> None:
    transport = open_transport(address, rack)
    assert transport.name == name
    transport.write(b"*IDN?\n", soon())
    reply = b""
    while not reply.endswith(b"\n"):
        reply += transport.read(4, soon())
        assert len(reply) <= 64
    assert reply.startswith(b"Q-RT,")
    transport.close()
    transport.close()


@pytest.mark.parametrize("address", ["TCPIP0::mute::INSTR", "serial:mute"])
def test_silence_ends_at_the_deadline_and_not_before(rack: Rack, address: str) -> None:
    transport = open_transport(address, rack)
    transport.write(b"*IDN?\n", soon())
    deadline_s = time.monotonic() + 0.05
    data = b"begin"
    while data or time.monotonic() < deadline_s:
        data = transport.read(64, deadline_s)
        assert data == b""
    assert transport.read(64, deadline_s) == b""  # a deadline that is past is answered at once
    transport.close()


@pytest.mark.parametrize("address", [VISA, SERIAL])
def test_clear_drops_what_is_half_said_and_half_read(rack: Rack, address: str) -> None:
    transport = open_transport(address, rack)
    transport.write(b"*IDN?\n", soon())
    assert transport.read(1, soon()) == b"Q"
    transport.clear(soon())
    transport.write(b"*ESE 7;*ESE?\n", soon())
    reply = b""
    while not reply.endswith(b"7\n"):
        reply += transport.read(64, soon())
    transport.close()


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("TCPIP0::nowhere::INSTR", "VISA cannot open it"),
        ("no resource", "VISA cannot open it"),
        ("serial:nowhere", "no serial line 'nowhere'"),
    ],
)
def test_nothing_at_the_address(rack: Rack, address: str, what: str) -> None:
    with pytest.raises(TransportError, match=what):
        open_transport(address, rack)


def test_a_device_file_that_is_none() -> None:
    with pytest.raises(TransportError, match="cannot open the serial line"):
        open_transport("serial:/dev/null/nothing")


def test_a_line_that_goes_away_is_a_transport_error() -> None:
    with SerialRack({SERIAL: (Instrument(SRC1, "3"), Faults())}) as lines:
        transport = open_transport("serial:" + lines.path(SERIAL))
    transport.read(1, time.monotonic())
    with pytest.raises(TransportError, match="serial line"):
        talk_to_nobody(transport)
    transport.close()


def talk_to_nobody(transport: Transport) -> None:
    """Write and read; whether the first or the second notices is the system's affair."""
    transport.write(b"*IDN?\n", soon())
    transport.read(64, soon())
