"""What can be wrong with bytes, on either end: `ReplyError` for a reply that we read, `Refusal` for a command that an
instrument refuses.

A Refusal carries a SCPI error number; the engine puts it into the error queue, where the client finds it. Numbers and
texts are those of SCPI-1999, volume 2, chapter 21.
"""

from __future__ import annotations

from qrt.errors import InstrumentError

MESSAGES = {
    0: "No error",
    -100: "Command error",
    -101: "Invalid character",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -121: "Invalid character in number",
    -123: "Exponent too large",
    -124: "Too many digits",
    -131: "Invalid suffix",
    -138: "Suffix not allowed",
    -141: "Invalid character data",
    -151: "Invalid string data",
    -161: "Invalid block data",
    -168: "Block data not allowed",
    -200: "Execution error",
    -211: "Trigger ignored",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -225: "Out of memory",
    -230: "Data corrupt or stale",
    -240: "Hardware error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    -430: "Query DEADLOCKED",
}


class ReplyError(InstrumentError):
    """A reply that is not what its grammar says; names what was expected and what came."""


class Refusal(Exception):  # noqa: N818 - an instrument refuses; nothing is in error on our side
    """A command that an instrument does not carry out, as a SCPI error number and what it is about."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
