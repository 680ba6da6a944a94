"""What a run puts on record before its first shot: the files that it is made of, and the documents that begin it."""

from __future__ import annotations

import getpass
import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

import msgspec
import numpy as np

from qrt import documents, kernel
from qrt.captured import raw_ring
from qrt.errors import ProgramError
from qrt.image import Played, to_image
from qrt.layout import Layout
from qrt.loop import power_of_two
from qrt.preflight import Held
from qrt.pulses.externs import sources_of
from qrt.qasm import Program
from qrt.record import RunFolder
from qrt.store import encode_calibration
from qrt.types import Calibration, Lab, Sequence
from qrt.units import PS_PER_S

ROWS_S: Final = 2.0  # what the rows ring holds at the least, of the run's own time
ROWS_BYTES_MAX: Final = 1 << 28
MISS_SLOTS: Final = 4096
TIME_MAX: Final = (2**63 - 1) // 8  # ticks, and ns, that the kernel counts to


def put_files(
    record: RunFolder,
    played: Played,
    *,
    lab: Lab,
    program: str,
    calibration: Calibration,
    laws: Mapping[str, bytes],
    externs: Mapping[str, bytes],
) -> None:
    """Put what the run is made of into its folder. program: its text; laws, externs: what their files hold, by controller and function."""
    record.write_image(*to_image(played))
    record.put("lab.json", msgspec.json.format(msgspec.json.encode(lab, order="sorted"), indent=1))
    record.put("program.qasm", program.encode())
    record.put("calibration.json", encode_calibration(calibration))
    for kind, sources in (("law", laws), ("extern", externs)):
        for file, source in {_python_file(kind, source): source for source in sources.values()}.items():
            record.put(file, source)


def law_files(sources: Mapping[str, bytes]) -> list[dict[str, str]]:
    """Return which file of the folder each controller's law is in, for those that came from a file."""
    return [{"controller": name, "file": _python_file("law", source)} for name, source in sources.items()]


def extern_files(sources: Mapping[str, bytes]) -> list[dict[str, str]]:
    """Return which file of the folder each function of the lab is in, for those that came from a file."""
    return [{"function": name, "file": _python_file("extern", source)} for name, source in sources.items()]


def check_unchanged(program: Program, lab: Lab, sources: Mapping[str, bytes]) -> None:
    """Raise ProgramError if a file of a function is not any more what it was: nobody knows then what was compiled."""
    now = sources_of(program, lab)
    for name, source in sources.items():
        if now.get(name) != source:
            raise ProgramError(
                f"externs.{name}: {lab.externs[name].rpartition(':')[0]} was changed while the run was made ready: start it again"
            )


def _python_file(kind: str, source: bytes) -> str:
    return f"{kind}-{hashlib.sha256(source).hexdigest()[:16]}.py"


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


def layout_of(sequence: Sequence, tick_ps: int) -> Layout:
    """Return the layout of a sequence's rows."""
    dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
    outputs, kinds = sequence.outputs, sequence.output_kinds
    return Layout(dtype, capture_names(sequence), sequence.bits, tick_ps, outputs=outputs, output_kinds=kinds)


def descriptor_document(uid: str, started_ns: int, layout: Layout) -> dict[str, Any]:
    """Return the `descriptor` of the run's rows."""
    return documents.descriptor(
        uid,
        started_ns / 1e9,
        dtype=layout.dtype,
        captures=layout.captures,
        bits=layout.bits,
        tick_ps=layout.tick_ps,
        outputs=layout.outputs,
        output_kinds=layout.output_kinds,
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


def check_counts(shots: int, seed: int, period_ticks: int, tick_ps: int) -> None:
    """Raise ProgramError for what the kernel or the record cannot count to."""
    ticks_max = TIME_MAX // max(1, tick_ps // 1000)
    if not 1 <= shots <= ticks_max // period_ticks:
        raise ProgramError(f"shots = {shots}: 1 to {ticks_max // period_ticks} are possible")
    if not 0 <= seed < 1 << 64:
        raise ProgramError(f"seed = {seed}: 0 to {(1 << 64) - 1} are possible")


def rings_of(stack: ExitStack, sequence: Sequence, tick_ps: int, shots: int, readers: int) -> kernel.Rings:
    """Return the rings of a run: rows for two seconds of its own time at least, within a bound. readers: of the rows."""
    dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
    period_s = sequence.period_ticks * tick_ps / PS_PER_S
    slots = power_of_two(min(int(ROWS_S / period_s) + 1, ROWS_BYTES_MAX // dtype.itemsize // 2, max(shots, 1024)))
    return kernel.Rings(
        rows=stack.enter_context(kernel.Ring.create(dtype.itemsize, slots, readers)),
        lateness=stack.enter_context(kernel.Ring.create(8, slots, 1)),
        misses=stack.enter_context(kernel.Ring.create(kernel.MISS_DTYPE.itemsize, MISS_SLOTS, 1)),
        raw=raw_ring(stack, sequence, shots),
    )
