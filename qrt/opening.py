"""What a run puts on record before its first shot: the files that it is made of, and the documents that begin it."""

from __future__ import annotations

import getpass
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from qrt import documents, kernel
from qrt.image import Played, to_image
from qrt.layout import Layout
from qrt.preflight import Held
from qrt.record import RunFolder
from qrt.store import encode_calibration
from qrt.types import Calibration, Lab, Sequence


def put_files(
    record: RunFolder,
    played: Played,
    *,
    lab: Lab,
    program: str,
    calibration: Calibration,
    sources: Mapping[str, bytes],
) -> None:
    """Put what the run is made of into its folder. program: its text; sources: what the files of laws hold, by controller."""
    record.write_image(*to_image(played))
    record.put("lab.json", msgspec.json.format(msgspec.json.encode(lab, order="sorted"), indent=1))
    record.put("program.qasm", program.encode())
    record.put("calibration.json", encode_calibration(calibration))
    for file, source in {_law_file(source): source for source in sources.values()}.items():
        record.put(file, source)


def law_files(sources: Mapping[str, bytes]) -> list[dict[str, str]]:
    """Return which file of the folder each controller's law is in, for those that came from a file."""
    return [{"controller": name, "file": _law_file(source)} for name, source in sources.items()]


def _law_file(source: bytes) -> str:
    return f"law-{hashlib.sha256(source).hexdigest()[:16]}.py"


def start_document(
    uid: str,
    started_ns: int,
    lab: Lab,
    *,
    program: str,
    batch_versions: Mapping[str, str],
    held: Held | None,
    **extra: Any,
) -> dict[str, Any]:
    """Return the `start` document. program: its text; held: what a paced run asked of the machine."""
    return documents.start(
        uid,
        started_ns / 1e9,
        program_hash=hashlib.sha256(program.encode()).hexdigest(),
        clock=lab.timing.pacing,
        versions={**versions(), **batch_versions},
        operator=_operator(),
        simulated=lab.twin is not None,
        lab=lab.name,
        tick_ps=lab.timing.tick_ps,
        isa=kernel.isa_selected(),
        machine=_machine(held),
        **extra,
    )


def descriptor_document(uid: str, started_ns: int, layout: Layout) -> dict[str, Any]:
    """Return the `descriptor` of the run's rows."""
    return documents.descriptor(
        uid,
        started_ns / 1e9,
        dtype=layout.dtype,
        captures=layout.captures,
        bits=layout.bits,
        tick_ps=layout.tick_ps,
    )


def _machine(held: Held | None) -> dict[str, Any]:
    """Return what a paced run asked of the machine and what was in force before it."""
    if held is None:
        return {}
    asked = [
        {"name": one.name, "asked": one.asked, "in_force": one.in_force, "holds": one.holds} for one in held.before
    ]
    return {"properties": asked, "refusals": list(held.refusals)}


def lacking(held: Held | None) -> tuple[str, ...]:
    """Return what of it is not in force, with the cost."""
    found = () if held is None else held.before
    return tuple(f"{one.name}: {one.in_force}: {one.cost}" for one in found if not one.holds)


def capture_names(sequence: Sequence) -> tuple[str, ...]:
    """Return a unique name for each capture: the bit that it writes or what the program calls it, with a number where several are alike."""
    names: list[str] = []
    for index, slot in enumerate(sequence.slots):
        name = (slot.name or f"capture {index}") if slot.bit is None else sequence.bits[slot.bit]
        names.append(name if name not in names else f"{name}#{index}")
    return tuple(names)


def versions() -> dict[str, str]:
    """Return the versions that a record should name."""
    from qrt import __version__

    return {"qrt": __version__, "python": sys.version.split()[0], "numpy": np.__version__}


def _operator() -> str:
    """Return who runs this, as the system knows them: a name, or a number where it has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
