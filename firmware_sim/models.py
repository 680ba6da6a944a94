"""The simulated instruments by the name of the driver that speaks to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qrt.firmware_sim.awg2 import AWG2
from qrt.firmware_sim.dig1 import DIG1
from qrt.firmware_sim.source1 import SRC1
from qrt.scpi import Model, Setting

MODELS: Final[Mapping[str, Model]] = {"qrt_awg2": AWG2, "qrt_dig1": DIG1, "qrt_source1": SRC1}


def settings(model: Model) -> list[str]:
    """Return the names of a model's settings, sorted."""
    return sorted({entry.key for entry in model.entries if isinstance(entry, Setting)})
