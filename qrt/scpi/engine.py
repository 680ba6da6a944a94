"""A connection to a simulated instrument: bytes in, replies out, errors into the queue, never an exception.

The instrument (settings, memory, status) outlives its connections; what has been half said or half answered belongs to
one connection. Units of a message run in order as they come; their replies are joined by `;` and end with a newline.
A header without a leading colon continues at the level of the one before it; common commands (`*...`) do not change
that level. All operations here are complete when they return, so *OPC? answers at once and *WAI waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qrt.scpi.arguments import Number
from qrt.scpi.blocks import write_block
from qrt.scpi.faults import Refusal
from qrt.scpi.headers import TYPED
from qrt.scpi.scanner import BLANKS, End, Item, Scanner, Unit
from qrt.scpi.status import Event, Status
from qrt.scpi.table import Action, Call, Data, Instrument, Model, Setting

RESPONSE_SIZE_MAX = 1 << 22  # bytes of one message's responses
BYTE = Number(0, 255, whole=True)
SPACES = bytes.maketrans(bytes(BLANKS), b" " * len(BLANKS))


def execute(
    instrument: Instrument, path: tuple[str, ...], tokens: list[str | bytes], *, query: bool
) -> str | bytes | None:
    """Carry out one command or query and return its reply. Raises Refusal."""
    model = instrument.model
    found = (STANDARD_QUERIES if query else STANDARD_COMMANDS).find(path)
    found = found or (model.queries if query else model.commands).find(path)
    if found is None:
        raise Refusal(-113, ":".join(path) + "?" * query)
    entry, suffixes = found
    if any(not 1 <= suffix <= model.suffix_max for suffix in suffixes):
        raise Refusal(-114, ":".join(path))
    if isinstance(entry, Action):
        return entry.run(instrument, Call(suffixes, read_arguments(entry.kinds, tokens)))
    if query:
        return _ask(instrument, entry, suffixes, tokens)
    (value,) = read_arguments((entry.kind,), tokens)
    entry.guard(instrument, suffixes, value)
    instrument.values[entry.key, suffixes] = entry.store(value)
    return None


def _ask(instrument: Instrument, setting: Setting, suffixes: tuple[int, ...], tokens: list[str | bytes]) -> str:
    """Return a setting, or the limit that is asked for. Raises Refusal."""
    if not tokens:
        return setting.kind.write(instrument.values[setting.key, suffixes])
    limit = tokens[0]
    if (
        not isinstance(setting.kind, Number)
        or not isinstance(limit, str)
        or limit.upper()[:3] not in {"MIN", "MAX", "DEF"}
    ):
        raise Refusal(-108)
    return setting.kind.write(*read_arguments((setting.kind,), tokens))


class Connection:
    """One session with an instrument, on any interface."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._scanner = Scanner(instrument.model.block_size_max)
        self._level: tuple[str, ...] = ()
        self._responses: list[bytes] = []

    def receive(self, data: bytes, *, end: bool = False) -> bytes:
        """Take bytes, with END if the interface has one; return the replies of the messages that they complete."""
        replies = b"".join(self._take(item) for item in self._scanner.feed(data))
        return replies + b"".join(self._take(item) for item in self._scanner.end()) if end else replies

    def clear(self) -> None:
        """Do a device clear: forget what is half said and half answered, keep the state."""
        self._scanner.clear()
        self._level = ()
        self._responses.clear()

    def _take(self, item: Item) -> bytes:
        match item:
            case Unit(text, block):
                try:
                    self._execute(text, block)
                except Refusal as refusal:
                    self.instrument.status.put(refusal.code, refusal.detail)
            case Refusal():
                self.instrument.status.put(item.code, item.detail)
            case End():
                self._level = ()
                response = b";".join(self._responses)
                self._responses.clear()
                return response + b"\n" if response else b""
        return b""

    def _execute(self, raw: bytes, block: bytes | None) -> None:
        text, tokens = split_unit(raw, block)
        if TYPED.fullmatch(text) is None:
            raise Refusal(-102 if text[:1].isalpha() or text[:1] in {"*", ":"} else -101, text)
        query = text.endswith("?")
        header = text.removesuffix("?").upper()
        if header.startswith("*"):
            path: tuple[str, ...] = (header,)
        else:
            path = (() if header.startswith(":") else self._level) + tuple(header.removeprefix(":").split(":"))
            self._level = path[:-1]
        if path == ("*STB",) and query and not tokens:
            response: str | bytes | None = str(self.instrument.status.byte(message_available=bool(self._responses)))
        else:
            response = execute(self.instrument, path, tokens, query=query)
        if response is not None:
            self._respond(response.encode("ascii") if isinstance(response, str) else write_block(response))

    def _respond(self, response: bytes) -> None:
        if sum(map(len, self._responses)) + len(response) > RESPONSE_SIZE_MAX:
            raise Refusal(-430, f"more than {RESPONSE_SIZE_MAX} bytes of response")
        self._responses.append(response)


def split_unit(raw: bytes, block: bytes | None) -> tuple[str, list[str | bytes]]:
    """Return header and parameters of a unit. Raises Refusal."""
    try:
        text = raw.translate(SPACES).decode("ascii")
    except UnicodeDecodeError:
        raise Refusal(-101, raw[:32].decode("latin-1")) from None
    header, _, rest = text.partition(" ")
    tokens: list[str | bytes] = []
    start, quote = 0, ""
    for index, letter in enumerate(rest):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in {'"', "'"}:
            quote = letter
        elif letter == ",":
            tokens.append(rest[start:index].strip())
            start = index + 1
    last = rest[start:].strip()
    if block is not None:
        if last:
            raise Refusal(-103, last)
        tokens.append(block)
    elif last or tokens:
        tokens.append(last)
    if "" in tokens:
        raise Refusal(-102, "empty parameter")
    return header, tokens


def read_arguments(kinds: tuple[Any, ...], tokens: list[str | bytes]) -> tuple[Any, ...]:
    """Return the values of the parameters. Raises Refusal."""
    if len(tokens) > len(kinds):
        raise Refusal(-108, f"{len(tokens)} parameters, at most {len(kinds)}")
    if len(tokens) < len(kinds):
        raise Refusal(-109, f"{len(tokens)} parameters of {len(kinds)}")
    values: list[Any] = []
    for kind, token in zip(kinds, tokens, strict=True):
        if isinstance(kind, Data):
            if isinstance(token, str):
                raise Refusal(-104, f"{token} is not a block")
            values.append(token)
        elif isinstance(token, bytes):
            raise Refusal(-168)
        else:
            values.append(kind.read(token))
    return tuple(values)


# ---- What every instrument understands ---------------------------------------------------------------------------------


def _status(reply: Callable[[Status], str]) -> Callable[[Instrument, Call], str]:
    """Make an action of a question about the status."""
    return lambda instrument, _: reply(instrument.status)


def _answer(reply: str) -> Callable[[Instrument, Call], str]:
    """Make an action that always replies the same."""
    return lambda _instrument, _call: reply


def _clear_status(instrument: Instrument, call: Call) -> None:
    instrument.status.clear()


def _enable_events(instrument: Instrument, call: Call) -> None:
    (instrument.status.events_enabled,) = call.values


def _enable_requests(instrument: Instrument, call: Call) -> None:
    instrument.status.requests_enabled = call.values[0] & 0xBF  # bit 6 is the request itself


def _reset(instrument: Instrument, call: Call) -> None:
    instrument.reset()


def _complete(instrument: Instrument, call: Call) -> None:
    instrument.status.events |= int(Event.OPERATION_COMPLETE)


def _wait(instrument: Instrument, call: Call) -> None:
    """Do *WAI: nothing is under way."""


def _all_errors(status: Status) -> str:
    return ",".join(status.take() for _ in range(max(1, len(status))))


def _all_codes(status: Status) -> str:
    return ",".join(status.take_code() for _ in range(max(1, len(status))))


STANDARD = Model(
    "",
    "",
    "",
    (
        Action("*CLS", _clear_status),
        Action("*ESE", _enable_events, (BYTE,)),
        Action("*ESE?", _status(lambda status: str(status.events_enabled))),
        Action("*ESR?", _status(lambda status: str(status.take_events()))),
        Action("*IDN?", lambda instrument, _: instrument.identity),
        Action("*OPC", _complete),
        Action("*OPC?", _answer("1")),
        Action("*OPT?", lambda instrument, _: instrument.model.options),
        Action("*RST", _reset),
        Action("*SRE", _enable_requests, (BYTE,)),
        Action("*SRE?", _status(lambda status: str(status.requests_enabled))),
        Action("*TST?", _answer("0")),
        Action("*WAI", _wait),
        Action("SYSTem:ERRor[:NEXT]?", _status(Status.take)),
        Action("SYSTem:ERRor:ALL?", _status(_all_errors)),
        Action("SYSTem:ERRor:COUNt?", _status(lambda status: str(len(status)))),
        Action("SYSTem:ERRor:CODE[:NEXT]?", _status(Status.take_code)),
        Action("SYSTem:ERRor:CODE:ALL?", _status(_all_codes)),
        Action("SYSTem:VERSion?", _answer("1999.0")),
    ),
)
STANDARD_COMMANDS = STANDARD.commands
STANDARD_QUERIES = STANDARD.queries
