"""What sweeps change on instruments: the settings that a lab has, and the opened instruments' being set, read back and put back.

A setting is named `<instrument>.<setting>`, and what it is its driver declares (types.Setting), a driver of one's own as ours do: nothing
else is needed for it to be swept, and a setting that must keep still is declared with the reason. Setting one means: the command, the
value read back and compared within what the instrument rounds, its error queue empty, and then the time until the signal holds. What was
read is what counts from then on. A value that an instrument has already is not sent again. At the end each is put back to what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from qrt.drivers.switch import Driver
from qrt.errors import InstrumentError
from qrt.packages import offered
from qrt.types import Lab, Setting

GROUP: Final = "qrt.drivers"


def settings_of(lab: Lab) -> dict[str, Setting]:
    """Return what drivers declare of a lab's instruments, by `<instrument>.<setting>`, also what is kept; nothing is opened.

    The time that an instrument needs is the lab's, where it says one. A driver that is not there is another's to tell.
    """
    known = offered(GROUP)
    found = {}
    for name, instrument in lab.instruments.items():
        kind = known[instrument.driver].load() if instrument.driver in known else None
        for one in getattr(kind, "settings", ()):
            settle_s = one.settle_s if instrument.settle_s is None else instrument.settle_s
            found[f"{name}.{one.name}"] = msgspec.structs.replace(one, settle_s=settle_s)
    return found


class Dials:
    """The settings of opened instruments. Inert until `set`."""

    def __init__(self, lab: Lab, driver: Callable[[str], Driver]) -> None:
        self._settings = settings_of(lab)
        self._driver = driver
        self._now: dict[str, tuple[float, float]] = {}  # asked for, and read back; not there while not known
        self._before: dict[str, float] = {}
        self.counters: dict[str, int] = dict.fromkeys(
            ("settings.set_count", "settings.kept_count", "settings.rounded_count"), 0
        )

    def set(self, values: Mapping[str, float]) -> tuple[dict[str, float], float]:
        """Set them, in this order; return what was read back, and how long it takes until all of it holds, in s.

        InstrumentError names the setting that an instrument does not take. Nobody has waited yet.
        """
        settle_s = 0.0
        for name, value in values.items():
            if name in self._now and self._now[name][0] == value:
                self.counters["settings.kept_count"] += 1
                continue
            setting, driver = self._settings[name], self._of(name)
            if name not in self._before:
                self._before[name] = driver.get(setting)
            self._now.pop(name, None)
            found = driver.set(setting, value)
            self._now[name] = (value, found)
            self.counters["settings.set_count"] += 1
            self.counters["settings.rounded_count"] += found != value
            settle_s = max(settle_s, setting.settle_s)
        return {name: self._now[name][1] for name in values}, settle_s

    def put_back(self) -> None:
        """Set everything to what it was before; InstrumentError names all that could not be, with the value that was to be set."""
        failures = []
        while self._before:
            name, value = self._before.popitem()
            self._now.pop(name, None)
            try:
                self._of(name).set(self._settings[name], value)
            except InstrumentError as error:
                failures.append(f"{name} is not back at {value:.12g} {self._settings[name].unit}: {error}")
        if failures:
            raise InstrumentError("\n".join(failures))

    def _of(self, name: str) -> Any:
        return self._driver(name.partition(".")[0])
