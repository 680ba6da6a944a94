"""What every instrument with a trigger shares: INITiate makes it wait for triggers, ABORt ends that, and a status bit tells which.

The instrument's memory has a field `running`.
"""

from __future__ import annotations

from typing import Final

from qrt.scpi import Action, Call, Instrument

WAITING_FOR_TRIGGER: Final = 32  # bit of the operation condition register


def _initiate(instrument: Instrument, call: Call) -> None:
    instrument.memory.running = True


def _abort(instrument: Instrument, call: Call) -> None:
    instrument.memory.running = False


def _condition(instrument: Instrument, call: Call) -> str:
    return str(WAITING_FOR_TRIGGER * instrument.memory.running)


TRIGGER: Final = (
    Action("INITiate[:IMMediate]", _initiate),
    Action("ABORt", _abort),
    Action("STATus:OPERation:CONDition?", _condition),
)
