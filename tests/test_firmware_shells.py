"""The models behind pyvisa and pyserial, spoken to as anybody's program would, without Q-RT's own drivers."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import pyvisa
import serial

from qrt.firmware_sim import serial as serial_module
from qrt.firmware_sim.awg2 import AWG2, MEMORY_SAMPLES, SEGMENT_COUNT_MAX
from qrt.firmware_sim.dig1 import DIG1
from qrt.firmware_sim.parameters import Faults
from qrt.firmware_sim.serial import SerialRack
from qrt.firmware_sim.source1 import SRC1
from qrt.firmware_sim.visa import SimulatedVisaLibrary, visa_rack
from qrt.scpi import Connection, Instrument, write_block

ADDRESS = "TCPIP0::awg::INSTR"


@pytest.fixture
def manager() -> Iterator[pyvisa.ResourceManager]:
    rack = visa_rack(
        {ADDRESS: (Instrument(AWG2, "1"), Faults()), "USB0::1::2::A::INSTR": (Instrument(DIG1, "2"), Faults())}
    )
    yield rack
    rack.close()


def opened(manager: pyvisa.ResourceManager, address: str = ADDRESS) -> Any:
    return manager.open_resource(address, write_termination="\n", read_termination="\n", timeout=5000)


def test_it_is_the_pyvisa_sim_backend(manager: pyvisa.ResourceManager) -> None:
    from pyvisa_sim.highlevel import SimVisaLibrary

    assert isinstance(manager.visalib, SimVisaLibrary)
    assert issubclass(SimulatedVisaLibrary, SimVisaLibrary)
    assert set(manager.list_resources()) == {"TCPIP0::awg::inst0::INSTR", "USB0::1::2::A::0::INSTR"}


def test_query_write_raw_read_raw_and_clear(manager: pyvisa.ResourceManager) -> None:
    awg = opened(manager)
    assert awg.query("*idn?") == "Q-RT,AWG2,1,1.0"
    data = b";\n\"'#15\xff\x00" * 400
    awg.read_termination = None  # messages end with END, blocks may hold newlines
    awg.write_raw(b"TRAC2:DATA 7," + write_block(data))
    awg.write("TRAC2:DATA? 7")
    assert awg.read_raw() == write_block(data) + b"\n"
    assert awg.query_binary_values("TRAC2:DATA? 7", datatype="B", container=bytes) == data
    awg.write("*IDN?")
    assert awg.read_bytes(4) == b"Q-RT"
    awg.clear()
    awg.read_termination = "\n"
    assert awg.query("TRAC2:CAT?").startswith("1,7,1800,")


def test_a_session_has_buffers_of_its_own(manager: pyvisa.ResourceManager) -> None:
    first, second = opened(manager), opened(manager, "tcpip::awg")
    first.write("*IDN?")
    assert second.query("SOUR2:VOLT 0.5;:SOUR2:VOLT?") == "0.5"
    assert first.read() == "Q-RT,AWG2,1,1.0"
    assert first.query("SOUR2:VOLT?") == "0.5"


def test_reading_nothing_times_out(manager: pyvisa.ResourceManager) -> None:
    awg = opened(manager)
    awg.timeout = 20
    with pytest.raises(pyvisa.VisaIOError) as caught:
        awg.read()
    assert caught.value.error_code == pyvisa.constants.StatusCode.error_timeout
    with pytest.raises(pyvisa.VisaIOError):
        manager.open_resource("TCPIP0::nowhere::INSTR")


def talk(connection: Connection, message: str) -> str:
    return connection.receive(message.encode() + b"\n").decode().removesuffix("\n")


def test_the_generators_memory() -> None:
    connection = Connection(Instrument(AWG2, "1"))
    assert talk(connection, "TRAC1:CAT?;FREE?") == f"0;{MEMORY_SAMPLES},0"
    for index, size in ((0, 2000), (3, 40), (0, 30)):
        connection.receive(b"TRAC1:DATA %d," % index + write_block(bytes(size)))
    assert talk(connection, "TRAC1:CAT?").split(",")[:3] == ["2", "0", "15"]
    assert talk(connection, "TRAC1:FREE?") == f"{MEMORY_SAMPLES - 35},35"
    assert talk(connection, "TRAC2:CAT?") == "0"
    assert (
        talk(connection, "TRAC:DEL 3;DEL 3;CAT?;:SYST:ERR?").split(";", 1)[1]
        == '-224,"Illegal parameter value;no segment 3"'
    )
    assert talk(connection, "TRAC:DEL:ALL;:TRAC:CAT?") == "0"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"TRAC1:DATA 0,#13abc", b"-161"),
        (b"TRAC1:DATA 0,#10", b"-161"),
        (b"TRAC1:DATA %d,#12ab" % SEGMENT_COUNT_MAX, b"-222"),
        (b"TRAC1:DATA 1.5E9,#12ab", b"-222"),
        (b"TRAC3:DATA 0,#12ab", b"-114"),
        (b"TRAC1:DATA? 9\n", b"-224"),
        (b"INIT;:TRAC1:DATA 0,#12ab", b"-221"),
        (b"INIT;:TRAC1:DEL:ALL\n", b"-221"),
        (b"TRAC1:DATA 0," + write_block(bytes(2 * MEMORY_SAMPLES)) + b"TRAC1:DATA 1,#12ab", b"-225"),
        (b"SOUR1:VOLT 5.1\n", b"-222"),
    ],
)
def test_the_generator_refuses_as_hardware_does(message: bytes, code: bytes) -> None:
    connection = Connection(Instrument(AWG2, "1"))
    connection.receive(message)
    assert connection.receive(b"\nSYST:ERR:CODE:ALL?\n") == code + b"\n"


def test_the_digitizer_and_the_source() -> None:
    digitizer, source = Connection(Instrument(DIG1, "1")), Connection(Instrument(SRC1, "1"))
    assert (
        talk(digitizer, "SENS:VOLT:RANG 0.5;RANG?;:INP ON;:INP?;:INIT;:STAT:OPER:COND?;:ABOR;:STAT:OPER:COND?")
        == "0.5;1;32;0"
    )
    assert talk(digitizer, "SWE:POIN 1E3;POIN?;:VOLT:RANG 51;RANG?;:SYST:ERR?").startswith(
        '1000;0.5;-222,"Data out of range'
    )
    assert (
        talk(source, "FREQ 7.1GHZ;FREQ?;POW 10.004;POW?;:OUTP ON;:OUTP?;:ROSC:LOCK?;SOUR?")
        == "7100000000.0;10.0;1;1;EXT"
    )


def test_a_serial_line_is_a_real_one() -> None:
    with SerialRack({"serial:lo": (Instrument(SRC1, "1"), Faults())}) as lines:
        for _ in range(2):  # the line may be closed and opened again; the instrument stays as it is
            with serial.Serial(lines.path("serial:lo"), timeout=5.0) as line:
                line.write(b"*IDN?\nFREQ 5E9\nFRE")
                assert line.readline() == b"Q-RT,SRC1,1,1.0\n"
                line.write(b"Q?\n")
                assert line.readline() == b"5000000000.0\n"
                line.write(bytes(range(256)) + b"\n*CLS;*IDN?\n")
                assert line.readline() == b"Q-RT,SRC1,1,1.0\n"
        with pytest.raises(KeyError):
            lines.path("serial:other")


def test_a_rack_of_lines_ends_its_thread() -> None:
    rack = SerialRack({"serial:lo": (Instrument(SRC1, "1"), Faults())})
    assert rack._thread is None
    with rack:
        thread = rack._thread
        assert thread is not None
        assert thread.is_alive()
    assert not thread.is_alive()


def test_a_client_that_does_not_read_costs_bounded_memory_and_the_loss_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serial_module, "QUEUE_SIZE_MAX", 4096)
    line = serial_module._SerialLine(Instrument(SRC1, "1"), Faults())
    for _ in range(100):
        os.write(line.slave, b"*IDN?;" * 40 + b"\n")
        line.receive(0.0)
        assert sum(len(reply) for _, reply in line.queue) <= 4096
    assert line.dropped_bytes > 50_000
    line.close()
