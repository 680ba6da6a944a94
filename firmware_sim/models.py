"""The simulated instruments by the name of the driver that speaks to them: those here, and of packages by entry points of `qrt.models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qrt.firmware_sim.awg2 import AWG2
from qrt.firmware_sim.dig1 import DIG1
from qrt.firmware_sim.source1 import SRC1
from qrt.packages import offered
from qrt.scpi import Model, Setting

MODELS: Final[Mapping[str, Model]] = {"qrt_awg2": AWG2, "qrt_dig1": DIG1, "qrt_source1": SRC1}
GROUP: Final = "qrt.models"


def models() -> dict[str, Model]:
    """Return all of them; a package's own driver may have one that is here, as in `mine = "qrt.firmware_sim.source1:SRC1"`."""
    return {name: entry.load() for name, entry in offered(GROUP).items()} | dict(MODELS)


def settings(model: Model) -> list[str]:
    """Return the names of a model's settings, sorted."""
    return sorted({entry.key for entry in model.entries if isinstance(entry, Setting)})
