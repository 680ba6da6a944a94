"""`qrt calibrate`: calibrations by name, in the order given, on a lab; what each found, the new calibration, and a page of their scans.

`all` starts from the design values in the lab file. Others start from the lab's newest calibration, or from the one that is named, and from
design values where there is none. What was found by one step is what the next one plays with. The first step that does not find what it
looks for ends the command, with what was seen; nothing is stored then, and the page shows the scan.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from qrt import config
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Findings, coupled, require_found, updated
from qrt.calibrate.order import ALL, BETWEEN_QUBITS, BY_NAME, suiting, take
from qrt.calibrate.sequences import nominal
from qrt.commands.interrupt import Interrupt
from qrt.commands.screen import (
    CALIBRATION_HEAD,
    COUPLER_HEAD,
    Screen,
    calibration_rows,
    coupler_rows,
    found_rows,
    printable,
)
from qrt.errors import CalibrationError, ConfigError, RunError, nearest
from qrt.loop import Loop
from qrt.record import check_writable, new_uid
from qrt.report import CalibrationSheet, write_calibration
from qrt.store import FOLDER, bound_hash, calibration_hash, check_calibration, load_calibration, save_calibration
from qrt.types import Calibration, Lab

EVERYTHING: Final = "all"
Steps = list[tuple[str, Findings]]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None leaves it to the lab, or to chance."""

    names: tuple[str, ...]
    lab: str
    seed: int | None = None
    runs: str | None = None
    calibration: str | None = None


def execute(request: Request, screen: Screen) -> dict[str, Any]:
    """Run the calibrations, store what they found, write the page, and return all of it."""
    lab = config.load(request.lab)
    names = step_names(request.names, lab)
    runs, seed = Path(request.runs or lab.runs), secrets.randbits(32) if request.seed is None else request.seed
    check_writable(runs / FOLDER)
    start = beginning(request, lab, runs)
    page = runs / FOLDER / f"{new_uid(time.time_ns())}.html"
    told = f"{lab.name} · {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())} · seed {seed}"
    steps: Steps = []

    def sheet(outcome: str) -> CalibrationSheet:
        return CalibrationSheet(f"Calibration: {', '.join(request.names)}", told, steps, outcome, lab.twin is not None)

    begun_s = time.monotonic()
    try:
        with Interrupt() as interrupt:
            loop = Loop(lab, seed, stop=interrupt.stop, abort=interrupt.abort)
            taken = played(loop, start, names, steps, screen)
    except (CalibrationError, RunError) as error:
        error.add_note(f"nothing is stored; the scans: {write_calibration(page, sheet('Nothing is stored.'))}")
        raise
    taken = msgspec.structs.replace(taken, lab_hash=bound_hash(lab), taken_ns=time.time_ns(), seed=seed)
    check_calibration(taken, lab, taken.lab_hash, "the calibration that was taken")
    stored = stored_at(runs, taken)
    write_calibration(page, sheet(stored))
    screen.step("Calibration")
    screen.table(CALIBRATION_HEAD, calibration_rows(taken, lab))
    if taken.couplers:
        screen.table(COUPLER_HEAD, coupler_rows(taken))
    screen.line(f"   {stored}")
    screen.line(f"   scans: {page}")
    return {
        "lab": lab.name,
        "seed": seed,
        "wall_s": round(time.monotonic() - begun_s, 3),
        "hash": calibration_hash(taken) if is_whole(taken) else None,
        "page": str(page),
        "findings": [one for name, findings in steps for one in plain(name, findings)],
    }


def step_names(names: tuple[str, ...], lab: Lab) -> list[str]:
    """Return the steps that names mean. ConfigError for one that is none, or that this lab cannot take."""
    for name in names:
        if name != EVERYTHING and name not in BY_NAME:
            raise ConfigError(f"{name!r} is no calibration; {nearest(name, (EVERYTHING, *BY_NAME))}")
        if name in BETWEEN_QUBITS and not lab.couplers:
            raise ConfigError(
                f"{name!r} is of couplers, and the lab {lab.name!r} has none: [couplers.NAME] in its file"
            )
    return [step for name in names for step in (suiting(ALL, lab) if name == EVERYTHING else (name,))]


def beginning(request: Request, lab: Lab, runs: Path) -> Calibration:
    """Return what is known before: of the calibration that was named, of the lab's newest, or by design."""
    if request.calibration is not None:
        return load_calibration(runs, request.calibration, lab, bound_hash(lab))
    if EVERYTHING not in request.names:
        try:
            return load_calibration(runs, "latest", lab, bound_hash(lab))
        except CalibrationError:
            pass  # none was taken yet
    return Calibration(lab_hash="", taken_ns=0, seed=0, qubits=nominal(lab))


def played(loop: Loop, known: Calibration, names: Iterable[str], steps: Steps, screen: Screen) -> Calibration:
    """Play the steps, each with what the one before found, and return what is known then; `steps` gets every one's findings."""
    with loop:
        screen.step("Instruments")
        screen.table(("", "*IDN?", "address", "transport"), found_rows(loop.found))
        bench = Bench(loop.lab, loop.measure, lambda _: None, loop.measure_swept)
        for name in names:
            findings = take(bench.knowing(known.couplers), known.qubits, BY_NAME[name])
            steps.append((name, findings))
            screen.step(name)
            for one in findings.values():
                screen.line(f"   {one.qubit}  {printable(one.problem or one.text)}")
            require_found(findings)
            found = {"qubits": updated(known.qubits, findings), "couplers": coupled(known.couplers, findings)}
            known = msgspec.structs.replace(known, **found)
        loop.safe()
        screen.line(f"   sequences compiled: {loop.compiled_count}, kept from before: {loop.kept_count}")
    return known


def is_whole(taken: Calibration) -> bool:
    """Return whether every qubit's readout has reference shots: without them no estimate can be made."""
    return all(qubit.reference_count > 0 for qubit in taken.qubits.values())


def stored_at(runs: Path, taken: Calibration) -> str:
    """Store a whole calibration, and say where it is, or why it is nowhere."""
    if is_whole(taken):
        return f"stored as {save_calibration(runs, taken).stem}"
    missing = ", ".join(name for name, qubit in taken.qubits.items() if not qubit.reference_count)
    return f"not stored: the readout of {missing} has no assignment matrix; calibrate assignment as well, or all"


def plain(step: str, findings: Findings) -> Iterable[dict[str, Any]]:
    """Yield findings as plain data."""
    for one in findings.values():
        numbers = {name: {"value": value.value, "stderr": value.stderr} for name, value in one.numbers.items()}
        yield {"step": step, "qubit": one.qubit, "what": one.what, "numbers": numbers, "text": one.text}
