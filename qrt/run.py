"""A run, from a program and a lab to a record, a stream and results: the function `qrt.run`.

Its steps are in session.py and playing.py, what it returns in results.py, what it takes in programs.py and options.py. A run is first
prepared, which checks all that can be checked with nothing open, and then played; qrt.stream plays it in a thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from qrt.adaptive import Points
from qrt.axes import OrderName
from qrt.client import open_run
from qrt.config import checked, lab_hash, load
from qrt.config.controlled import with_controllers
from qrt.errors import ProgramError, WorldError
from qrt.events import RunEvent, silent
from qrt.grids import Sweeps
from qrt.interrupt import Interrupt, is_ours_to_take
from qrt.latencies import lab_on, published
from qrt.loop import NEVER, Stop
from qrt.options import Options, asked, read
from qrt.playing import Play
from qrt.programs import Given, given
from qrt.qasm import Program, parse_program, program_of
from qrt.reasons import StoppedError
from qrt.results import Result
from qrt.session import Session
from qrt.store import bound_hash
from qrt.types import Calibration, Controller, Lab


def run(
    program: Any,
    *,
    lab: str | Path | Lab,
    shots: int | None = None,
    averages: int = 1,
    inputs: Mapping[str, float] | None = None,
    sweep: Sweeps | Points | Callable[[], Points] | None = None,
    order: OrderName = "point",
    seed: int | None = None,
    calibration: str | Path | Calibration | None = None,
    pacing: str | None = None,
    period_ns: float | None = None,
    stretch: int | None = None,
    round: bool = False,  # noqa: A002 - as the command's option
    on: str | None = None,
    controllers: Mapping[str, Controller] | None = None,
    runs: str | Path | None = None,
    publish: bool = True,
    events: Callable[[RunEvent], None] = silent,
    stop: Stop | None = None,
    abort: Stop | None = None,
) -> Result:
    """Run a program on a lab and return its results: arrays with named axes and units (results.Result).

    Args:
      program: path of an OpenQASM 3 file, its text, an openqasm3.ast.Program, or an oqpy.Program. Spans of a tree's nodes are set to their
        places in the text that is recorded. `qrt.Program` is oqpy's, and keeps the Python lines for errors; oqpy itself forgets them
      lab: path of a lab file, or a lab (types.Lab)
      shots: how many, >= 1; of a sweep at each point, one pass after the other
      averages: how often all points are gone through, >= 1, each time with `shots` of them. With it alone a shot a point: slow drifts then
        are the same at every point. Where instruments are set between points, passes are made before the next setting
      inputs: values of the program's `input` variables, of a duration in seconds
      sweep: what inputs and settings of instruments (`lo_readout.frequency_hz`) go through, by name: `linspace(0, 2*pi, 41)`,
        `logspace(-8, -5, 31)`, `values(1, 2, 5)`, or an array; those under a tuple of names go along together. The points are the
        product of them all, the last one fastest, settings before inputs; every array of the result has an axis for each. Or a
        generator, which yields a point, `{"amp": 0.3}`, is sent what came of it (adaptive.Seen), and yields the next: the axis `point`
      order: `point`: all shots of a point, then the next; `shot`: every shot another point
      seed: 64-bit; decides every random number of a twin, and with them the digest. None draws one, and records it
      calibration: None takes one now; else `latest`, a hash or its beginning, a file, or a calibration
      pacing, period_ns: `virtual`, `real` or `external`, and the shot period, instead of the lab's
      stretch: periods that a shot may take beyond its own, instead of the lab's; the next one starts at the next multiple of the period
      round: whether a duration off the grid of samples or ticks is rounded to the nearest and told (Result.rounded), not refused
      on: a published controller (qrt.latencies): the twin's port takes its feedback latency and granularity
      controllers: feedback laws in the loop, beside the lab's; one of the same name takes its place
      runs: folder for the record, instead of the lab's. It has no page, which is the command's: a result shows itself in a notebook
      publish, events: whether results are streamed while they come; called on this thread with what happens
      stop, abort: looked at all the time: end at a shot boundary, end at once, both as a StoppedError that says where the record is

    Without these two Ctrl-C is taken, in a notebook the button: the first ends the run at the end of a shot, and what was played so far is
    returned, with `stopped`; the second is a KeyboardInterrupt. Only on the main thread, and where SIGINT has Python's own handler.

    Raises ConfigError, ProgramError, InstrumentError, CalibrationError, MachineError before the first shot. After it RunError, or an
    InstrumentError whose outputs do not go off: the record is closed and readable, and the error says where it is.
    """
    # fmt: off
    options = Options(
        lab=lab, shots=shots, averages=averages, inputs=inputs, sweep=sweep, order=order, seed=seed, calibration=calibration,
        pacing=pacing, period_ns=period_ns, stretch=stretch, round=round, on=on, controllers=controllers, runs=runs,
        publish=publish, events=events,
    )
    # fmt: on
    prepared = Prepared(program, options)
    if stop is not None or abort is not None or not is_ours_to_take():
        return prepared.play(asked("stop", stop) or NEVER, asked("abort", abort) or NEVER)
    with Interrupt() as interrupt:
        try:
            return prepared.play(interrupt.stop, interrupt.abort, keep_stopped=True)
        except StoppedError as error:
            raise KeyboardInterrupt(str(error)) from error


class Prepared:
    """A run of which everything has been checked that can be with nothing open."""

    def __init__(self, program: Any, options: Options) -> None:
        """Raise what `run` raises before it opens anything."""
        options = read(options)
        self.given = given(program)
        self.publish = options.get("publish", True)
        try:
            self.session = _session(self.given, options)
            self.session.prepare(options.get("calibration"))
        except WorldError as error:
            self.given.place(error)
            raise

    def play(self, stop: Stop, abort: Stop, *, keep_stopped: bool = False) -> Result:
        """Open, calibrate, play; keep_stopped: a run that `stop` ends has a result, and no error."""
        session = self.session
        try:
            with ExitStack() as stack:
                session.open(stack, publish=self.publish, stop=stop, abort=abort)
                session.calibrate()
                play = Play(session)
                summary, counters = play.play(keep_stopped=keep_stopped)
        except WorldError as error:
            self.given.place(error)
            raise
        record = open_run(summary.run)
        return Result(summary, record, session.loop.found, session.calibration, counters, stopped=play.stopped)


def _session(program: Given, options: Options) -> Session:
    """Return the session of what was asked for."""
    lab = options["lab"] if isinstance(options["lab"], Lab) else load(options["lab"])
    shots, averages = _counts(options.get("shots"), options.get("averages", 1))
    on, runs, seed, sweep = options.get("on"), options.get("runs"), options.get("seed"), options.get("sweep")
    return Session(
        lab=_with_options(lab if on is None else lab_on(lab, published(on)), options),
        lab_hash=lab_hash(lab),  # of the lab itself: pacing, period, port and controllers may change from run to run
        bound_hash=bound_hash(lab),
        program=_read(program),
        text=program.text,
        inputs=options.get("inputs") or {},
        shots=shots,
        averages=averages,
        rounds=options.get("round", False),
        sweep=() if sweep is None else sweep,
        order=options.get("order", "point"),
        seed=secrets.randbits(63) if seed is None else seed,
        runs=Path(runs if runs is not None else lab.runs),
        events=options.get("events", silent),
    )


def _read(program: Given) -> Program:
    if program.tree is None:
        return parse_program(program.text, program.path)
    return program_of(program.tree, program.path, program.text)


def _counts(shots: int | None, averages: int) -> tuple[int, int]:
    """Return shots of one pass, and passes."""
    if averages < 1:
        raise ProgramError(f"averages = {averages}: at least 1 is needed")
    if shots is None and averages == 1:
        raise ProgramError("how many shots? Give shots=, averages= (passes through all points of a sweep), or both")
    return 1 if shots is None else shots, averages


def _with_options(lab: Lab, options: Options) -> Lab:
    """Return the lab with what the run has otherwise, checked as a file's is: it may have been made in Python."""
    wanted = {
        "pacing": options.get("pacing"),
        "shot_period_ns": options.get("period_ns"),
        "stretch_max": options.get("stretch"),
    }
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    controllers = options.get("controllers") or {}
    if not changes and not controllers:
        return checked(lab, f"lab {lab.name!r}")
    changed = msgspec.structs.replace(lab, timing=msgspec.structs.replace(lab.timing, **changes))
    return checked(with_controllers(changed, controllers), f"lab {lab.name!r} with the run's options")
