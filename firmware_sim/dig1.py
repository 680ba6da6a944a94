"""The digitizer `Q-RT,DIG1`, one real channel, as a command table.

Full scale in volts peak, sample clock, record length and input switch; INITiate makes it wait for triggers. Its records leave
on the fast path (the port), not over SCPI, as those of a card do.
"""

from __future__ import annotations

from dataclasses import dataclass

from qrt.firmware_sim.trigger import TRIGGER
from qrt.scpi import Boolean, Model, Number, Setting

CHANNEL_COUNT = 1
RECORD_SAMPLES_MAX = 65536


@dataclass
class DigitizerMemory:
    """What the instrument holds beside its settings."""

    running: bool = False


DIG1 = Model(
    manufacturer="Q-RT",
    name="DIG1",
    firmware="1.0",
    suffix_max=CHANNEL_COUNT,
    memory=DigitizerMemory,
    entries=(
        Setting("[SENSe<n>]:VOLTage[:DC]:RANGe[:UPPer]", "range_v", Number(0.01, 50.0, 1.0, "V"), 1.0),
        Setting("[SENSe]:FREQuency:RASTer", "sample_rate_hz", Number(1e6, 4e9, 1e9, "HZ"), 1e9),
        Setting("[SENSe]:SWEep:POINts", "record_samples", Number(1, RECORD_SAMPLES_MAX, 1024, whole=True), 1024),
        Setting("INPut<n>[:STATe]", "input", Boolean(), initial=False),
        *TRIGGER,
    ),
)
