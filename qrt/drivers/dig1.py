"""Driver of the digitizer `Q-RT,DIG1`. Its records come on the fast path; here it is set up and armed."""

from __future__ import annotations

from qrt.drivers import trigger
from qrt.drivers.switch import Driver


class Dig1(Driver):
    """The instrument, opened and identified by the lab. It has no output; safe means that its input is disconnected."""

    manufacturer = "Q-RT"
    model = "DIG1"
    switches = ("INPut1",)

    def configure(self, channel: int, range_v: float, sample_rate_hz: float) -> None:
        """Set full scale and sample clock, each read back."""
        self.link.set_number(f"SENSe{channel}:VOLTage:RANGe", range_v)
        self.link.set_number("SENSe:FREQuency:RASTer", sample_rate_hz)
        self.link.check_errors("configure")

    def input(self, channel: int, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch an input, read back."""
        self.link.set_boolean(f"INPut{channel}", on)

    def run(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Wait for triggers, or abort; read back."""
        trigger.run(self.link, on=on)
