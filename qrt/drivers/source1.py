"""Driver of the microwave source `Q-RT,SRC1`, usually on a serial line."""

from __future__ import annotations

from qrt.drivers.switch import SWITCHED, Driver
from qrt.types import Setting

FREQUENCY = Setting("frequency_hz", "Hz", "SOURce:FREQuency", 1e6, 40e9, resolution=1e-3, settle_s=2e-3)
LEVEL = Setting("power_dbm", "dBm", "SOURce:POWer", -30.0, 25.0, resolution=0.01, settle_s=1e-3)
SWITCH = Setting("output", "", "OUTPut", 0.0, 1.0, resolution=0.0, kept=SWITCHED)
REFERENCE = Setting(
    "reference",
    "",
    "SOURce:ROSCillator:SOURce",
    0.0,
    1.0,
    resolution=0.0,
    words=("INT", "EXT"),
    kept="its phase to every other instrument is lost where the reference changes",
)


class Source1(Driver):
    """The instrument, opened and identified by the lab."""

    manufacturer = "Q-RT"
    model = "SRC1"
    switches = ("OUTPut",)
    settings = (FREQUENCY, LEVEL, SWITCH, REFERENCE)

    def tune(self, frequency_hz: float, level_dbm: float) -> None:
        """Set frequency and level, each read back, and see that the oscillator follows its reference."""
        self.link.set_number(FREQUENCY.header, frequency_hz, FREQUENCY.resolution)
        self.link.set_number(LEVEL.header, level_dbm, LEVEL.resolution)
        self._see_lock()
        self.link.check_errors("tune")

    def set(self, setting: Setting, value: float) -> float:
        """Set frequency or level, read back, and see that the oscillator follows its reference; returns what was read."""
        found = super().set(setting, value)
        self._see_lock()
        return found

    def _see_lock(self) -> None:
        if not self.link.query_boolean("SOURce:ROSCillator:LOCKed?"):
            raise self.link.error(
                "SOURce:ROSCillator:LOCKed?",
                "the oscillator does not follow its reference; check the reference's cable",
            )

    def output(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch the output, read back."""
        self.link.set_boolean("OUTPut", on)
