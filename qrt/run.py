"""A run, from a program and a lab to a record, a stream and estimates: the function `qrt.run` and what it returns.

Its steps are in session.py; here it is read what was asked for.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from qrt.client import Run, open_run
from qrt.config import checked, lab_hash, load
from qrt.config.controlled import with_controllers
from qrt.events import RunEvent, silent
from qrt.grids import Sweeps
from qrt.latencies import lab_on, published
from qrt.loop import NEVER, Stop
from qrt.points import FILE, Swept, read_points
from qrt.qasm import parse_program, read_program
from qrt.session import Session
from qrt.store import bound_hash
from qrt.types import Calibration, Controller, Found, Lab, Summary


class Result:
    """What a run came to. Arrays by name: `bits[name]`, `outcomes[name]` uint8 [shots], `iq[name]` int64 [shots, 2],
    `values[name]` [shots]: what an output of the program came to (client.Run).

    `sweep`: axes and estimates of a sweep's points (points.Swept); None without one.
    """

    def __init__(
        self,
        summary: Summary,
        record: Run,
        found: tuple[Found, ...],
        calibration: Calibration,
        counters: Mapping[str, int],
    ) -> None:
        self.summary = summary
        self.record = record
        self.found = found
        self.calibration = calibration
        self.counters = dict(counters)
        self.folder = record.path
        self.bits, self.outcomes, self.iq, self.values = record.bits, record.outcomes, record.iq, record.values
        self.estimates = {estimate.name: estimate for estimate in summary.estimates}
        self.sweep = swept(record)

    def __repr__(self) -> str:
        lines = [f"<run {self.folder}: {self.summary.shots} shots>"]
        lines += [
            f"  {one.name} = {one.value:+.5f} ± {sum(part**2 for part in msgspec.structs.astuple(one.stderr)) ** 0.5:.5f}"
            for one in self.summary.estimates
        ]
        return "\n".join(lines)


def run(
    program: str | Path,
    *,
    lab: str | Path | Lab,
    shots: int,
    inputs: Mapping[str, float] | None = None,
    sweep: Sweeps | None = None,
    order: str = "point",
    seed: int | None = None,
    calibration: str | Calibration | None = None,
    pacing: str | None = None,
    period_ns: float | None = None,
    on: str | None = None,
    controllers: Mapping[str, Controller] | None = None,
    runs: str | Path | None = None,
    publish: bool = True,
    events: Callable[[RunEvent], None] = silent,
    stop: Stop = NEVER,
    abort: Stop = NEVER,
) -> Result:
    """Run a program on a lab and return its results.

    Args:
      program: path of an OpenQASM 3 file, or its text (anything with a newline)
      lab: path of a lab file, or a lab
      shots: how many, >= 1; of a sweep at each point
      inputs: values of the program's `input` variables, of a duration in seconds
      sweep: what inputs go through, by name: `linspace(0, 2*pi, 41)`, `logspace(-8, -5, 31)`, `values(1, 2, 5)`, or an array. The points
        are the product of them all, the last one fastest; `Result.sweep` has an estimate at each
      order: `point`: all shots of a point, then the next; `shot`: every shot another point
      seed: 64-bit; decides every random number of a twin, and with them the digest. None draws one, and records it
      calibration: None takes one now; else `latest`, a hash or its beginning, a file, or a calibration
      pacing: `virtual`, `real` or `external`, instead of the lab's
      period_ns: shot period, instead of the lab's
      on: a published controller (qrt.latencies): the twin's port takes its feedback latency and granularity
      controllers: feedback laws in the loop, beside the lab's; one of the same name takes its place
      runs: folder for the record, instead of the lab's
      publish: whether results are streamed while they come
      events: called on this thread with what happens
      stop, abort: looked at all the time: end at a shot boundary, end at once

    Raises ConfigError, ProgramError, InstrumentError, CalibrationError, MachineError before the first shot. After it RunError, or an
    InstrumentError whose outputs do not go off: the record is closed and readable, and the error says where it is.

    """
    lab = load(lab) if not isinstance(lab, Lab) else lab
    text, path = _read_program(program)
    session = Session(
        lab=_with_options(lab if on is None else lab_on(lab, published(on)), pacing, period_ns, controllers or {}),
        lab_hash=lab_hash(lab),  # of the lab itself: pacing, period, port and controllers may change from run to run
        bound_hash=bound_hash(lab),
        program=parse_program(text, path),
        text=text,
        inputs=dict(inputs or {}),
        shots=shots,
        sweep=sweep or (),
        order=order,
        seed=secrets.randbits(63) if seed is None else seed,
        runs=Path(runs if runs is not None else lab.runs),
        events=events,
    )
    session.prepare(calibration)
    with ExitStack() as stack:
        session.open(stack, publish=publish, stop=stop, abort=abort)
        session.calibrate()
        summary, counters = session.play()
    return Result(summary, open_run(summary.run), session.loop.found, session.calibration, counters)


def swept(record: Run) -> Swept | None:
    """Return the estimates at each point of a recorded sweep; None for a run without one, or that ended before its first shot."""
    return read_points(record.file(FILE), (record.start or {}).get("sweep")) if FILE in record.files else None


def _with_options(lab: Lab, pacing: str | None, period_ns: float | None, controllers: Mapping[str, Controller]) -> Lab:
    """Return the lab with what the run has otherwise, checked as a file's is: it may have been made in Python."""
    changes: dict[str, Any] = {}
    if pacing is not None:
        changes["pacing"] = pacing
    if period_ns is not None:
        changes["shot_period_ns"] = period_ns
    if not changes and not controllers:
        return checked(lab, f"lab {lab.name!r}")
    changed = msgspec.structs.replace(lab, timing=msgspec.structs.replace(lab.timing, **changes))
    return checked(with_controllers(changed, controllers), f"lab {lab.name!r} with the run's options")


def _read_program(program: str | Path) -> tuple[str, str]:
    """Return text and name of a program."""
    if isinstance(program, str) and "\n" in program:
        return program, "<program>"
    return read_program(program), str(program)
