"""`qrt run`: what a run tells, written line by line; then its estimates, its page, and where everything is.

The run itself is `qrt.run`; here are only its lines. Ctrl-C is passed on: once to stop at the end of a shot, twice to abort.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from qrt import config
from qrt.axes import OrderName
from qrt.commands.interrupt import Interrupt
from qrt.commands.replay import again
from qrt.commands.screen import (
    CALIBRATION_HEAD,
    CONTROLLER_HEAD,
    COUPLER_HEAD,
    ESTIMATE_HEAD,
    Screen,
    calibration_rows,
    controller_rows,
    coupler_rows,
    erased_line,
    estimate_rows,
    found_rows,
    misses_line,
    printable,
    refusal_lines,
    spaced,
    summary_line,
    sweep_rows,
)
from qrt.commands.sheet import report_data
from qrt.config.controlled import parse_controllers
from qrt.errors import RunError
from qrt.events import Calibrated, CalibrationStep, Compiled, InstrumentsFound, Playing, Progress, RunEvent
from qrt.latencies import published
from qrt.report import write
from qrt.results import Result
from qrt.run import run
from qrt.types import Lab, Summary


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None leaves it to the lab, or to chance."""

    program: str
    lab: str
    shots: int
    averages: int = 1
    seed: int | None = None
    inputs: Mapping[str, float] = {}
    sweeps: tuple[str, ...] = ()
    order: OrderName = "point"
    pacing: str | None = None
    period_ns: float | None = None
    stretch: int | None = None
    round: bool = False
    on: str | None = None
    runs: str | None = None
    calibration: str | None = None
    controllers: tuple[str, ...] = ()  # as the command line writes them
    publish: bool = True


def execute(request: Request, screen: Screen, *, verified: bool = False) -> Summary:
    """Run what was asked for, write its page, and return its summary; `verified`: replay it first, RunError if it differs."""
    lab = config.load(request.lab)
    if request.on is not None:
        controller = published(request.on)
        screen.line(
            f"   port as {controller.title} states it: {controller.latency_ns:g} ns {controller.span} ({controller.source})"
        )
    result = play(request, lab, Writer(screen, lab))
    screen.line(f"   {summary_line(result.summary)}")
    if missed := misses_line(result.summary.misses, request.pacing or lab.timing.pacing):
        screen.line(f"   {missed}")
    if erased := erased_line(result.record):
        screen.line(f"   {erased}")
    screen.step(
        "Estimates",
        "Raw: as read. Mitigated: what a perfect readout would have averaged. Truth: what the simulation knows.",
    )
    if result.sweep is not None:
        told, head, rows = sweep_rows(result.sweep)
        screen.line(f"   {told}; all of them, with their errors, are in {result.folder / 'sweep.npy'}" if told else "")
        screen.table(head, rows)
    elif result.summary.estimates:
        screen.table(ESTIMATE_HEAD, estimate_rows(result.summary.estimates))
    else:
        screen.line("   none: no bit of the program has an expectation value")
    if result.summary.controllers:
        screen.step(
            "Controllers",
            "Each value acts from a shot known beforehand; `epoch` documents in the journal have them all.",
        )
        screen.table(CONTROLLER_HEAD, controller_rows(result.summary.controllers))
        first = (lab.control.delay_batches + 1) * lab.control.batch_shots
        if result.summary.shots <= first:
            screen.line(
                f"   no value has acted: the first would from shot {spaced(first)} on; raise --shots, or lower control.batch_shots"
            )
        for line in refusal_lines(result.record):
            screen.line(f"   {line}")
    if verified:
        screen.step(
            "Replay", "The same image of program and simulation once more: every row must be the same in every bit."
        )
        verdict = again(result.folder, screen)
        if not verdict.same:
            raise RunError(f"the replay differs from the run in {result.folder}: {verdict.difference}")
    screen.step("Results", "Every shot is on disk; numpy alone can read it, the folder's README.txt says how.")
    page = write(result.folder, report_data(result, Path(request.program).name, request.inputs, replayed=verified))
    screen.table((), [("folder", str(result.folder)), ("digest", result.summary.digest), ("page", str(page))])
    return result.summary


def play(request: Request, lab: Lab, writer: Writer) -> Result:
    """Run what was asked for, with Ctrl-C passed on and the bar taken away however it ends."""
    with Interrupt() as interrupt:
        try:
            return run(
                request.program,
                lab=lab,
                shots=request.shots,
                averages=request.averages,
                inputs=request.inputs,
                sweep=request.sweeps,
                order=request.order,
                seed=request.seed,
                calibration=request.calibration,
                controllers=parse_controllers(request.controllers),
                pacing=request.pacing,
                period_ns=request.period_ns,
                stretch=request.stretch,
                round=request.round,
                on=request.on,
                runs=Path(request.runs) if request.runs is not None else None,
                publish=request.publish,
                events=writer.write,
                stop=interrupt.stop,
                abort=interrupt.abort,
            )
        finally:
            writer.screen.close()


class Writer:
    """Writes the events of a run."""

    def __init__(self, screen: Screen, lab: Lab) -> None:
        self.screen = screen
        self._lab = lab
        self._calibrating = False

    def write(self, event: RunEvent) -> None:
        """Write one event."""
        screen = self.screen
        match event:
            case InstrumentsFound():
                screen.step(
                    "Instruments",
                    "Opened by VISA and serial line; each said who it is (*IDN?), and its outputs are off.",
                )
                screen.table(("", "*IDN?", "address", "transport"), found_rows(event.found))
            case CalibrationStep():
                self._begin_calibration()
                screen.line(f"   {printable(event.text)}")
            case Calibrated():
                self._begin_calibration()
                screen.table(CALIBRATION_HEAD, calibration_rows(event.calibration, self._lab))
                if event.calibration.couplers:
                    screen.table(COUPLER_HEAD, coupler_rows(event.calibration))
                screen.line(f"   {'stored as' if event.taken_now else 'reused:'} {event.hash}")
            case Compiled():
                screen.step(
                    "Run",
                    "The kernel, a C thread, plays every shot at exact ticks and decides by itself; rows go to disk first.",
                )
                own = f"; compiled for the calibration: {event.measured}, kept: {event.measured_kept}"
                own *= event.measured + event.measured_kept > 0
                again = f"; compiled again for another value of {', '.join(event.causes)}" if event.causes else ""
                screen.line(f"   sequences compiled: {event.misses}, kept from before: {event.hits}{again}{own}")
            case Playing():
                if event.stream:
                    screen.line(f"   streaming on {event.stream}; to listen: qrt watch {event.stream}")
                for missing in event.missing:
                    screen.line(f"   not in force: {missing}")
                for told in (*event.ignored, *event.rounded):
                    screen.line(f"   {printable(told)}")
                for reason in event.excluded:
                    screen.line(f"   no expectation value for {printable(reason)}")
            case Progress():
                screen.progress("shots on disk", event.done, event.total)

    def _begin_calibration(self) -> None:
        if not self._calibrating:
            self._calibrating = True
            self.screen.step(
                "Calibration",
                "The lab measures its own qubits through the loop of the run; nothing is copied from the simulation.",
            )
