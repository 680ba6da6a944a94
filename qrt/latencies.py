"""Published controllers and how long each takes from an outcome's last sample to the pulse that depends on it; and a lab on one.

Every figure is as its authors state it, for what they state it for; `span` says from what to what, and what comes on top. None was
measured here, and none says anything about those controllers' qubits or results. A granularity stands only where the source gives
one; elsewhere the lab's own holds. With `lab_on` a program is checked, or run on the twin, as if its port had these properties.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

import msgspec

from qrt.config import checked
from qrt.errors import ConfigError, nearest
from qrt.types import Lab

PS_PER_NS = 1000


class Published(NamedTuple):
    """A controller's feedback latency as its authors state it."""

    name: str  # for --on
    title: str
    latency_ns: float
    granularity_ns: float | None  # the grid on which a pulse may start; None: not stated
    span: str  # from what to what
    source: str
    url: str


# In the order of their latencies; tests hold it.
PUBLISHED = (
    Published(
        "eth-fpga",
        "FPGA, Salathé et al. 2018",
        110.0,
        None,
        "from the analogue input to the feedback trigger; the pulse's generator comes on top",
        "arXiv:1709.01030, abstract",
        "https://arxiv.org/abs/1709.01030",
    ),
    Published(
        "zju-fpga",
        "FPGA, Xiang et al. 2019",
        140.0,
        None,
        "the room-temperature electronics",
        "arXiv:1909.10022, abstract",
        "https://arxiv.org/abs/1909.10022",
    ),
    Published(
        "opx-plus",
        "Quantum Machines OPX+",
        250.0,
        None,
        "active reset, analogue to analogue; stated as “under 250 ns”",
        "the maker's page on feedback, “OPX+ Latency Benchmarks”",
        "https://www.quantum-machines.co/technology/comprehensive-quantum-feedback-and-feed-forward/",
    ),
    Published(
        "presto",
        "Presto (Intermodulation Products)",
        254.0,
        None,
        "feedback of the platform; stated as “184–254 ns”, the longest taken here",
        "Rev. Sci. Instrum. 93, 104711, abstract",
        "https://pubs.aip.org/aip/rsi/article/93/10/104711/2845130/Measurement-and-control-of-a-superconducting",
    ),
    Published(
        "qblox",
        "Qblox Cluster, trigger network",
        364.0,
        None,
        "from the last sample at an analogue input to the first at an analogue output, within a module or between two",
        "the maker's documentation v0.12, Feedback, table “In-to-out latency”",
        "https://docs.qblox.com/en/v0.12.0/cluster/feedback.html",
    ),
    Published(
        "zi-shfsg",
        "Zurich Instruments SHFQA + PQSC + SHFSG",
        364.0,
        4.0,
        "from the start of the shortest integration to the outcome in the generator's sequencer, registers forwarded: 91 cycles of 4 ns; "
        "the generator's output path comes on top",
        "the maker's zhinst-utils, src/zhinst/utils/feedback_model.py at 021dee3",
        "https://github.com/zhinst/zhinst-utils/blob/021dee340ee83c4ebbb70f5092c521695588d46a/src/zhinst/utils/feedback_model.py",
    ),
    Published(
        "zi-hdawg",
        "Zurich Instruments SHFQA + PQSC + HDAWG",
        384.0,
        4.0,
        "from the start of the shortest integration to the outcome in the generator's sequencer, registers forwarded: 96 cycles of 4 ns; "
        "the generator's output path comes on top",
        "the maker's zhinst-utils, src/zhinst/utils/feedback_model.py at 021dee3",
        "https://github.com/zhinst/zhinst-utils/blob/021dee340ee83c4ebbb70f5092c521695588d46a/src/zhinst/utils/feedback_model.py",
    ),
    Published(
        "artiq-2015",
        "ARTIQ core device, 2015",
        2100.0,
        None,
        "from a rising edge at a digital input to the edge that a user's kernel answers with, the compiler's arithmetic bypassed",
        "m-labs/artiq, issue 47, first message",
        "https://github.com/m-labs/artiq/issues/47",
    ),
)


def published(name: str) -> Published:
    """Return a controller by its name. ConfigError names the nearest, and all there are."""
    for one in PUBLISHED:
        if one.name == name:
            return one
    raise ConfigError(f"--on {name}: no such controller; {nearest(name, [one.name for one in PUBLISHED])}")


def check_simulated(lab: Lab) -> None:
    """Raise ConfigError for a lab whose port is what it is."""
    if lab.twin is None:
        raise ConfigError(
            f"lab {lab.name!r} has no [twin]: only a simulated port can take another controller's latency; leave --on away, or "
            "take a lab with a twin"
        )


def lab_on(lab: Lab, controller: Published) -> Lab:
    """Return the lab with its twin's port as the controller's, checked as a file's is.

    A latency between two ticks is taken as the later one. Raises ConfigError for a lab without a twin, or whose durations do not fit on the
    controller's grid.
    """
    check_simulated(lab)
    assert lab.twin is not None
    tick = Fraction(lab.timing.tick_ps, PS_PER_NS)
    latency_ns = float(ceil(Fraction(controller.latency_ns) / tick) * tick)
    port: dict[str, Any] = {**lab.twin.parameters.get("port", {}), "feedback_latency_ns": latency_ns}
    if controller.granularity_ns is not None:
        port["granularity_ns"] = controller.granularity_ns
    twin = msgspec.structs.replace(lab.twin, parameters={**lab.twin.parameters, "port": port})
    return checked(msgspec.structs.replace(lab, twin=twin), f"lab {lab.name!r} on {controller.name}")
