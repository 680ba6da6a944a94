"""One instrument's session on its transport: the pump, and what every driver says through it.

The session (qrt.scpi.Session) decides; this shell does: it reads the clock, moves the bytes, and turns a failed request into
one message with the instrument's name, its address, the command, the elapsed time and the last messages. Settings are
verified: what was set is asked for, and a difference beyond the tolerance is an error, with what the instrument's own
error queue says about it.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import fields

from qrt.errors import InstrumentError
from qrt.scpi import (
    BlockReply,
    Clear,
    Done,
    Failed,
    LineReply,
    Receive,
    ReplyError,
    Request,
    Send,
    Session,
    read_boolean,
    read_number,
    write_block,
    write_number,
)
from qrt.scpi.session import TOKEN_COUNT
from qrt.transport import Library, Transport, TransportError, open_transport

ERRORS_MAX = 64  # an instrument that never says `0,"No error"` is broken in another way
CATALOGUE_SIZE_MAX = 1 << 16
RELATIVE_TOLERANCE = 1e-6


class Link:
    """An open session with one instrument."""

    def __init__(self, name: str, address: str, timeout_s: float, transport: Transport) -> None:
        self.name = name
        self.address = address
        self.timeout_s = timeout_s
        self.transport = transport.name
        self._transport = transport
        self._session = Session(secrets.randbelow(TOKEN_COUNT))
        self._elapsed_s = 0.0  # of the last request

    @property
    def counters(self) -> dict[str, int]:
        """Everything that the session counts."""
        counters = self._session.counters
        return {field.name: getattr(counters, field.name) for field in fields(counters)}

    def command(self, message: str, data: bytes | None = None) -> None:
        """Send a command, with a block as its last parameter if there is data. Raises InstrumentError."""
        self._run(Request(message.encode("ascii") + (b"" if data is None else write_block(data))), message)

    def query(self, message: str, size_max: int = CATALOGUE_SIZE_MAX) -> str:
        """Return the line that a query is answered with. Raises InstrumentError."""
        reply = self._run(Request(message.encode("ascii"), LineReply(size_max), repeatable=True), message)
        return reply.decode("ascii")

    def query_once(self, message: str) -> str:
        """Return the line that is answered to a message that does something: it is never sent again. Raises InstrumentError."""
        return self._run(Request(message.encode("ascii"), LineReply()), message).decode("ascii")

    def query_number(self, message: str) -> float:
        """Return the number that a query is answered with. Raises InstrumentError."""
        try:
            return read_number(self.query(message))
        except ReplyError as error:
            raise self.error(message, str(error)) from None

    def query_boolean(self, message: str) -> bool:
        """Return the boolean that a query is answered with. Raises InstrumentError."""
        try:
            return read_boolean(self.query(message))
        except ReplyError as error:
            raise self.error(message, str(error)) from None

    def query_block(self, message: str, size_expected: int) -> bytes:
        """Return the block that a query is answered with. Raises InstrumentError."""
        reply = BlockReply(size_expected, size_expected)
        return self._run(Request(message.encode("ascii"), reply, repeatable=True), message)

    def set_number(self, header: str, value: float, tolerance: float | None = None, *, fix: str = "") -> float:
        """Set a number and return what is read back. The tolerance is absolute; by default a millionth of the value.

        fix: what the error says that has to be done where the instrument does not take it.
        """
        message = f"{header} {write_number(float(value))}"
        self.command(message)
        found = self.query_number(f"{header}?")
        allowed = abs(value) * RELATIVE_TOLERANCE if tolerance is None else tolerance
        if not abs(found - value) <= allowed:
            raise self.error(
                message,
                f"setting not taken: sent {value!r}, read back {found!r}, tolerance {allowed:g}{self._complaint()}",
                fix,
            )
        return found

    def set_boolean(self, header: str, value: bool) -> None:  # noqa: FBT001 - the value itself
        """Set a switch and read it back."""
        message = f"{header} {int(value)}"
        self.command(message)
        found = self.query_boolean(f"{header}?")
        if found is not value:
            raise self.error(
                message, f"setting not taken: sent {int(value)}, read back {int(found)}{self._complaint()}"
            )

    def check_errors(self, what: str) -> None:
        """Empty the instrument's error queue; raises InstrumentError if there was anything in it."""
        errors = self.take_errors()
        if errors:
            raise self.error(what, f"the instrument reports {'; '.join(errors)}")

    def take_errors(self) -> list[str]:
        """Return and remove what is in the instrument's error queue."""
        errors: list[str] = []
        while len(errors) < ERRORS_MAX:
            reply = self.query("SYSTem:ERRor?")
            if reply.lstrip("+").startswith("0,"):
                break
            errors.append(reply)
        return errors

    def close(self) -> None:
        """End the session and close the transport."""
        self._session.close()
        self._transport.close()

    def error(self, command: str, reason: str, fix: str = "") -> InstrumentError:
        """Return an error that names the instrument, the command, the reason, the elapsed time, the fix and the last messages."""
        newest_s = self._session.messages[-1][0] if self._session.messages else 0.0
        lines = [
            f"    {direction} {data!r} ({at_s - newest_s:+.3f} s)" for at_s, direction, data in self._session.messages
        ]
        last = "\n  last messages (> sent, < received):\n" + "\n".join(lines) if lines else ""
        return InstrumentError(
            f"{self.name} at {self.address}: `{command}`: {reason} (after {self._elapsed_s:.3f} s){'; ' if fix else ''}{fix}{last}"
        )

    def _complaint(self) -> str:
        errors = self.take_errors()
        return f"; the instrument reports {'; '.join(errors)}" if errors else ""

    def _run(self, request: Request, what: str) -> bytes:
        """Pump one request to its end; one that is interrupted poisons the session, so that the next one fences."""
        started_s = time.monotonic()
        try:
            self._session.ask(request, started_s + self.timeout_s)
            while True:
                step = self._session.step(time.monotonic())
                self._elapsed_s = time.monotonic() - started_s
                match step:
                    case Done(reply):
                        return reply
                    case Failed(reason, fix):
                        raise self.error(what, reason, fix)
                    case _:
                        self._do(step)
        finally:
            self._session.abandon()

    def _do(self, step: Clear | Send | Receive) -> None:
        """Do one step on the transport."""
        try:
            match step:
                case Clear(deadline_s):
                    self._transport.clear(deadline_s)
                case Send(data, deadline_s):
                    self._transport.write(data, deadline_s)
                case Receive(size, deadline_s):
                    data = self._transport.read(size, deadline_s)
                    self._session.receive(data, time.monotonic())
        except TransportError as error:
            self._session.fail(str(error))


def open_link(name: str, address: str, timeout_s: float, library: Library | None) -> Link:
    """Open the way to an instrument and return its session, not yet fenced. Raises InstrumentError."""
    started_s = time.monotonic()
    try:
        transport = open_transport(address, library, timeout_s)
    except TransportError as error:
        said, took = str(error).rstrip(". "), f"(after {time.monotonic() - started_s:.2f} s)"
        fix = f"check that it is switched on and connected, and `instruments.{name}.address`"
        raise InstrumentError(f"{name} at {address}: open: {said} {took}; {fix}") from error
    return Link(name, address, timeout_s, transport)
