"""Seeded faults: what `twin.parameters.faults` of an instrument does to its model and to its wire.

Faults of the instrument itself (a wrong identity, a setting that stays below what was asked, an output that does not go
off, memory that stores a wrong bit) are changes of its command table, which is data. Faults of the way (silence, delay,
garbage, half a block) change what a connection replies, and when. The engine and the drivers know of neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qrt.firmware_sim.parameters import Faults
from qrt.scpi import Action, Call, Connection, Data, Instrument, Model, Refusal, Setting

GARBAGE = b"\xff\x00)]qz\x80"


def faulty_instrument(model: Model, serial: str, faults: Faults) -> Instrument:
    """Return an instrument of the model with the faults of its own."""
    instrument = Instrument(
        replace(model, entries=tuple(_faulty_entry(entry, faults) for entry in model.entries)), serial
    )
    if faults.idn is not None:
        instrument.identity = faults.idn
    if faults.starts_on:
        instrument.values |= {key: True for key in instrument.values if key[0] == "output"}
    return instrument


def _faulty_entry(entry: Setting | Action, faults: Faults) -> Setting | Action:
    if isinstance(entry, Setting):
        if entry.key in faults.clamp:
            return replace(entry, store=_clamped(entry.store, faults.clamp[entry.key]))
        if entry.key == "output" and faults.refuses_off:
            return replace(entry, guard=_refuse_off, initial=True)  # nor does *RST help
        if entry.key == "output" and faults.ignores_off:
            return replace(entry, store=lambda _value: True)
    elif faults.corrupt_block and entry.kinds and isinstance(entry.kinds[-1], Data):
        return replace(entry, run=_corrupted(entry.run))
    return entry


def _clamped(store: Callable[[Any], Any], limit: float) -> Callable[[Any], Any]:
    return lambda value: min(store(value), limit)


def _refuse_off(instrument: Instrument, suffixes: tuple[int, ...], value: Any) -> None:
    if not value:
        raise Refusal(-200, "output relay")


def _corrupted(run: Callable[[Instrument, Call], Any]) -> Callable[[Instrument, Call], Any]:
    def corrupt(instrument: Instrument, call: Call) -> Any:
        data = bytearray(call.values[-1])
        if data:
            data[len(data) // 2] ^= 1
        return run(instrument, Call(call.suffixes, (*call.values[:-1], bytes(data))))

    return corrupt


class Wire:
    """A connection with the faults of the way: gives replies with the delay after which they arrive."""

    def __init__(self, instrument: Instrument, faults: Faults) -> None:
        self._connection = Connection(instrument)
        self._faults = faults
        self._reply_count = 0

    def receive(self, data: bytes, *, end: bool = False) -> tuple[float, bytes]:
        """Take bytes; return the delay in seconds and what arrives after it."""
        reply = self._connection.receive(data, end=end)
        faults = self._faults
        if not reply:
            return 0.0, b""
        self._reply_count += 1
        if faults.silent_after is not None and self._reply_count > faults.silent_after:
            return 0.0, b""
        if faults.garbage:
            return 0.0, GARBAGE + reply[::-1]
        if faults.half_block and reply.startswith(b"#"):
            return 0.0, reply[: len(reply) // 2]
        late = faults.late_after < self._reply_count <= faults.late_after + faults.late_count
        return faults.late_s if late else 0.0, reply

    def clear(self) -> None:
        """Do a device clear."""
        self._connection.clear()
