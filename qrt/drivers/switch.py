"""What every driver does: prove that it talks to the instrument it was written for, switch its outputs off, and set what a sweep changes.

Safe means read back. An output that stays on after OFF is tried on a second path, *RST; if that does not help, the error
says what was read; if nothing can be read, it says that the state is UNKNOWN. An instrument that does not answer costs
two time-outs, no more.
"""

from __future__ import annotations

from typing import ClassVar, Final

from qrt.drivers.link import Link
from qrt.errors import InstrumentError
from qrt.types import Setting

IDN_FIELDS = 4
SWITCHED: Final = "a run switches it on before its first shot, and off at its end; an amplitude or a power can be swept"
CLOCKED: Final = "samples and ticks of the whole lab hang on it: timing.tick_ps and timing.sample_ticks"


class Driver:
    """A driver of instruments that answer *IDN? with `manufacturer,model,serial,firmware`."""

    manufacturer: ClassVar[str]
    model: ClassVar[str]
    switches: ClassVar[tuple[str, ...]]  # headers of the switches that are off when the instrument is safe
    settings: ClassVar[tuple[Setting, ...]] = ()  # what it has to be set, for sweeps

    def __init__(self, link: Link) -> None:
        self.link = link
        self.idn = ""
        self.safe_by_reset_count = 0  # how often the outputs went off by *RST only

    @property
    def counters(self) -> dict[str, int]:
        """What this instrument's session and driver have counted."""
        return self.link.counters | {"safe_by_reset_count": self.safe_by_reset_count}

    def identify(self) -> str:
        """Ask who it is, and return it. Raises InstrumentError if it is not who the driver is for."""
        idn = self.link.query("*IDN?", 256)
        words = [word.strip() for word in idn.split(",")]
        if len(words) != IDN_FIELDS or words[:2] != [self.manufacturer, self.model]:
            fix = f"check `instruments.{self.link.name}`: driver and address"
            raise self.link.error(
                "*IDN?", f"expected `{self.manufacturer},{self.model},<serial>,<firmware>`, got {idn!r}; {fix}"
            )
        self.idn = idn
        self.link.command("*CLS")
        return idn

    def get(self, setting: Setting) -> float:
        """Return what one of the settings is; of one with words, the number of its word. Raises InstrumentError."""
        query = f"{setting.header}?"
        if not setting.words:
            return self.link.query_number(query)
        word = self.link.query(query)
        if word not in setting.words:
            raise self.link.error(query, f"it says {word!r}, which is none of {', '.join(setting.words)}")
        return float(setting.words.index(word))

    def set(self, setting: Setting, value: float) -> float:
        """Set one of the settings and return what the instrument says that it is now.

        InstrumentError where that is further from what was asked for than the instrument rounds, or another word.
        """
        if setting.words:
            return self._set_word(setting, round(value))
        found = self.link.set_number(setting.header, value, setting.resolution)
        self.link.check_errors(setting.header)
        return found

    def _set_word(self, setting: Setting, number: int) -> float:
        word = setting.words[number]
        message = f"{setting.header} {word}"
        self.link.command(message)
        found = self.get(setting)
        if found != number:
            raise self.link.error(message, f"setting not taken: sent {word}, read back {setting.words[int(found)]}")
        self.link.check_errors(setting.header)
        return found

    def safe(self) -> None:
        """Switch every output off and read it back. Raises InstrumentError where that could not be verified."""
        first = self._try(*(f"{header} 0" for header in self.switches))
        if first is None:
            return
        second = self._try("*RST")
        if second is not None:
            raise InstrumentError(f"{second}\n  the first try, switching off: {first}")
        self.safe_by_reset_count += 1
        self.link.take_errors()

    def _try(self, *commands: str) -> str | None:
        """Send the commands, then look at every switch. Return None if all are off, else what is known."""
        try:
            for command in commands:
                self.link.command(command)
            still_on = [header for header in self.switches if self.link.query_boolean(f"{header}?")]
            if not still_on:
                return None
            reports = "; ".join(self.link.take_errors())
        except InstrumentError as error:
            return f"output state UNKNOWN: {error}"
        said = f"; the instrument reports {reports}" if reports else ""
        return str(self.link.error("; ".join(commands), f"{', '.join(still_on)} still ON{said}"))
