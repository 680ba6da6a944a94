"""Why a kernel ended: its report in words, with the place in the program. Pure."""

from __future__ import annotations

from typing import Final

from qrt import kernel
from qrt.errors import RunError
from qrt.types import Sequence


class StoppedError(RunError):
    """A run that ended because it was asked to."""


def raise_for(report: kernel.Report, sequence: Sequence) -> None:
    """Raise RunError, with the place in the program, unless the kernel played every shot and left the port safe."""
    status, safe = report.status, report.safe_status
    unsafe = "" if safe is kernel.Status.OK else f"; the port did not go safe: {safe.name}: output state UNKNOWN"
    if status in {kernel.Status.STOPPED, kernel.Status.ABORTED}:
        raise StoppedError(f"{status.name.lower()} as asked after {report.shots_executed} shots{unsafe}")
    if status is not kernel.Status.OK:
        where = place_of(report, sequence)
        reason = REASONS.get(status, status.name).format(qubit=qubit_of(report, sequence))
        raise RunError(f"the kernel stopped{where}: {reason}{unsafe}")
    if unsafe:
        raise RunError(f"every shot was played{unsafe}")


def place_of(report: kernel.Report, sequence: Sequence) -> str:
    """Return where the kernel ended inside a shot: ` in shot 3, tick 40, sequencer q0, line 7 of the program`; empty if nowhere."""
    if report.error_shot < 0:
        return ""
    where = f" in shot {report.error_shot}, tick {report.error_tick}"
    if report.error_sequencer >= 0:
        where += f", sequencer {sequence.sequencers[report.error_sequencer]}"
    if 0 <= report.error_instruction < len(sequence.source_lines):
        line = sequence.source_lines[report.error_instruction]
        where += f", line {line} of the program" if line else f", instruction {report.error_instruction}"
    return where


def qubit_of(report: kernel.Report, sequence: Sequence) -> str:
    """Return the qubit whose operation the kernel ended at, as a TOML key names it: a qubit's sequencer and its readout's frame tell it."""
    if report.error_sequencer < 0:
        return "<name>"
    name = sequence.sequencers[report.error_sequencer]
    return (
        name.removesuffix("_readout")
        if name.endswith("_readout") or name in {one.qubit for one in sequence.slots}
        else "<name>"
    )


PORT_FAILED: Final = frozenset({kernel.Status.PORT, kernel.Status.TOO_LATE, kernel.Status.ERASED})
SUSTAINED: Final = f"{kernel.ERASED_MAX} shots in a row were erased, so that the hardware cannot be said to work: "
REASONS: Final = {
    kernel.Status.WEAK_TONE: "the twin refuses the readout tone of {qubit}: too weak to collapse a qubit, too strong to leave it alone; "
    "raise `qubits.{qubit}.readout.amplitude` or `qubits.{qubit}.readout.duration_ns`, or the tone's own where the program plays it; lower "
    "them where the tone shall not measure, as in a spectroscopy of the resonator",
    kernel.Status.DRIVE_IN_TONE: "a drive pulse on a qubit while its readout tone is on, which the twin does not model; "
    "put a barrier or delay before it",
    kernel.Status.DRIVE_IN_COUPLING: "a drive pulse, or the tone of another coupler, on a qubit while a coupler's tone is on it, or the "
    "other way round, which the twin does not model; put a barrier between them over both qubits' frames and the coupler's",
    kernel.Status.OVERRUN: "the shot is longer than its period; raise `timing.shot_period_ns`",
    kernel.Status.LATE: "a shot missed its release or found no place for its row and `timing.late_policy` is abort, "
    "or an epoch its shot and `control.policy` is; "
    "the last `miss` of the journal says which: raise `timing.shot_period_ns` or `control.batch_shots`, or choose skip and hold",
    kernel.Status.EPOCH: "the values that the batches compute for this shot did not come within the time that a run waits for them",
    kernel.Status.TRIGGER: "the hardware's trigger stayed away for a second; start it, or choose another `timing.pacing`",
    kernel.Status.PORT: "the port never gave the samples of a capture, or told what cannot be; look at the hardware behind it",
    kernel.Status.TOO_LATE: "the port was too late for this shot and `timing.late_port_policy` is abort; the last `miss` of the journal "
    "says whether a decision or the samples of a capture came late, and by how much: give branches more time, or choose erase",
    kernel.Status.ERASED: SUSTAINED
    + "the misses of the journal say what came late, and by how much: give branches more time, or look at "
    "the hardware behind the port",
    kernel.Status.DEADLOCK: "sequencers wait for each other, or for an outcome that nothing in this shot captures",
    kernel.Status.BUDGET: "the instruction budget of a shot is used up",
    kernel.Status.UNDERFLOW: "a pulse was due before it could be played",
}
