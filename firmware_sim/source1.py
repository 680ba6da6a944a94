"""The microwave source `Q-RT,SRC1`, as a command table.

One output: frequency to a thousandth of a hertz, level to a hundredth of a dB, a switch, and the lock of its reference.
"""

from __future__ import annotations

from functools import partial

from qrt.scpi import Action, Boolean, Call, Choice, Instrument, Model, Number, Setting

FREQUENCY_RESOLUTION_DIGITS = 3
LEVEL_RESOLUTION_DIGITS = 2


def _locked(instrument: Instrument, call: Call) -> str:
    """Reply whether the oscillator follows its reference: the simulated one always does."""
    return "1"


SRC1 = Model(
    manufacturer="Q-RT",
    name="SRC1",
    firmware="1.0",
    entries=(
        Setting(
            "[SOURce]:FREQuency[:CW]",
            "frequency_hz",
            Number(1e6, 40e9, 1e9, "HZ"),
            1e9,
            store=partial(round, ndigits=FREQUENCY_RESOLUTION_DIGITS),
        ),
        Setting(
            "[SOURce]:POWer[:LEVel][:IMMediate][:AMPLitude]",
            "power_dbm",
            Number(-30.0, 25.0, -30.0, "DBM"),
            -30.0,
            store=partial(round, ndigits=LEVEL_RESOLUTION_DIGITS),
        ),
        Setting("OUTPut[:STATe]", "output", Boolean(), initial=False),
        Setting("[SOURce]:ROSCillator:SOURce", "reference", Choice(("INTernal", "EXTernal")), "EXT"),
        Action("[SOURce]:ROSCillator:LOCKed?", _locked),
    ),
)
