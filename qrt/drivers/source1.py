"""Driver of the microwave source `Q-RT,SRC1`, usually on a serial line."""

from __future__ import annotations

from qrt.drivers.switch import Driver

FREQUENCY_TOLERANCE_HZ = 1e-3  # its resolution
LEVEL_TOLERANCE_DB = 0.01  # its resolution


class Source1(Driver):
    """The instrument, opened and identified by the lab."""

    manufacturer = "Q-RT"
    model = "SRC1"
    switches = ("OUTPut",)

    def tune(self, frequency_hz: float, level_dbm: float) -> None:
        """Set frequency and level, each read back, and see that the oscillator follows its reference."""
        self.link.set_number("SOURce:FREQuency", frequency_hz, FREQUENCY_TOLERANCE_HZ)
        self.link.set_number("SOURce:POWer", level_dbm, LEVEL_TOLERANCE_DB)
        if not self.link.query_boolean("SOURce:ROSCillator:LOCKed?"):
            raise self.link.error(
                "SOURce:ROSCillator:LOCKed?",
                "the oscillator does not follow its reference; check the reference's cable",
            )
        self.link.check_errors("tune")

    def output(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch the output, read back."""
        self.link.set_boolean("OUTPut", on)
