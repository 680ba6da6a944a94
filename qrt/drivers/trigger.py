"""What every driver of an instrument with a trigger shares: let it wait for triggers, or abort; read back."""

from __future__ import annotations

from typing import Final

from qrt.drivers.link import Link

WAITING_FOR_TRIGGER: Final = 32  # bit of the operation condition register


def is_running(link: Link) -> bool:
    """Return whether the instrument waits for triggers. Raises InstrumentError."""
    return bool(int(link.query_number("STATus:OPERation:CONDition?")) & WAITING_FOR_TRIGGER)


def run(link: Link, *, on: bool) -> None:
    """Wait for triggers, or abort. Raises InstrumentError if the instrument does not say afterwards that it does."""
    message = "INITiate" if on else "ABORt"
    link.command(message)
    if is_running(link) is not on:
        raise link.error(message, f"operation condition does not show {'' if on else 'no '}waiting for trigger")
