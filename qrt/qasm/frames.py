"""Frames while a program is elaborated: frequency, phase and clock of each, and the statements that keep its NCO in step.

Frequency and phase are cells of the program (qrt.qasm.scope), so that a branch on outcomes that changes them on one side leaves what
cannot be read afterwards, and says where. `get_phase` is what was set and shifted, without what the carrier turns by itself.

The carrier. A frame on a drive line turns freely from the shot's start, as the standard says. On a readout line, and for the digitizer,
it turns from the frame's last *origin*: the shot's start, a barrier, or the beginning of a defcal. Frames that meet there count from
the same tick, so a tone and its capture stay in phase, wherever in a shot they stand and whatever branches lie before: this is what
the standard's own example of a measurement is after ("force time of carrier to 0"). From there the phase goes on through plays and
delays; a varied delay on such a frame alone loses count, and a barrier finds it again.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from qrt.qasm.expressions import Duration, Exact, Literal
from qrt.qasm.kinds import Type
from qrt.qasm.operators import seconds_of
from qrt.qasm.ports import LabWeights, Port
from qrt.qasm.pulses import FrameDelay, FrameFrequency, FramePhase, FramePlay
from qrt.qasm.scope import Cell, Lost, Scope
from qrt.qasm.waves import ZERO, Amount, Wave, calculated

if TYPE_CHECKING:
    from qrt.qasm.context import Run

MINUS = Exact(Fraction(-1))


class Frame:
    """One frame of the program."""

    def __init__(
        self,
        name: str,
        port: Port,
        nco: str | None,
        held: tuple[Amount, Amount],
        scope: Scope,
        *,
        qubit: str | None = None,
        weights: LabWeights | None = None,
    ) -> None:
        """Take what it is, the frequency and phase that it holds at first, and the scope whose life it has.

        nco: the kernel's frame, if it plays; qubit: whose calibrated frame it is.
        """
        self.name, self.port, self.nco, self.qubit, self.weights = name, port, nco, qubit, weights
        self.frequency = Cell(f"the frequency of {name}", Type("frequency"), held[0], scope)
        self.phase = Cell(f"the phase of {name}", Type("phase"), held[1], scope)
        self.carrier = Cell(f"the carrier of {name}", Type("phase"), ZERO, scope)  # radians since the frame's origin

    @property
    def sequencer(self) -> str:
        """Whose clock it has."""
        return self.port.sequencer or self.name

    @property
    def is_free(self) -> bool:
        """Whether its carrier turns freely from the shot's start."""
        return self.port.sequencer is not None

    def above_source(self, frequency_hz: Amount) -> Amount:
        """Return what an NCO has to add to the port's source."""
        return calculated("-", frequency_hz, Exact(self.port.source_hz))


def held(run: Run, node: Any, cell: Cell) -> Any:
    """Return what is held of a frame. Raises ProgramError where that depends on the path."""
    if isinstance(cell.value, Lost):
        raise run.refuse(node, cell.value.reason)
    return cell.value


def advance(run: Run, node: Any, frame: Frame, duration: Any) -> None:
    """Let a frame's carrier turn for a duration, or for one that varies."""
    if frame.is_free or isinstance(frame.carrier.value, Lost):
        return
    if not isinstance(duration, Duration):
        line = run.source(node).line
        reason = (
            f"{frame.name} has waited for a duration that varies (line {line}), so its carrier has no known phase; put a barrier with the "
            "frames that it goes on with"
        )
        run.hold(frame.carrier, Lost(reason))
        return
    seconds = seconds_of(duration, run.facts.sample_s)
    relative_hz = frame.above_source(held(run, node, frame.frequency))
    turned_rad = calculated("*", relative_hz, Exact(Fraction(0), 2 * seconds))
    run.hold(frame.carrier, calculated("+", frame.carrier.value, turned_rad))


def play(run: Run, node: Any, frame: Frame, envelope: str, one: Wave) -> None:
    """Send a waveform whose shape is `envelope`. Its own phase and that of a counted carrier are the frame's while it plays."""
    source = run.source(node)
    assert frame.nco is not None
    extra_rad = one.phase_rad
    if not frame.is_free:
        extra_rad = calculated("+", held(run, node, frame.carrier), extra_rad)
    run.shape.apart(extra_rad, ZERO)
    if extra_rad != ZERO:
        run.add(FramePhase(frame.sequencer, frame.nco, extra_rad, source))
    count = len(one.shape)
    run.add(FramePlay(frame.sequencer, frame.nco, envelope, one.amplitude, not frame.is_free, count, source))
    if extra_rad != ZERO:
        run.add(FramePhase(frame.sequencer, frame.nco, calculated("*", extra_rad, MINUS), source))
    advance(run, node, frame, Duration(Fraction(0), Fraction(count)))


def delay(run: Run, node: Any, frame: Frame, duration: Any) -> None:
    """Wait on a frame."""
    source = run.source(node)
    expression = Literal(duration, source) if isinstance(duration, Duration) else duration
    run.add(FrameDelay(frame.sequencer, expression, source))
    advance(run, node, frame, duration)


def set_frequency(run: Run, node: Any, frame: Frame, frequency_hz: Amount) -> None:
    """Set a frame's frequency; the carrier's phase is continuous."""
    if frame.nco is None:
        run.shape.by(frequency_hz)  # nobody plays at it; whether an NCO could is asked of a known one
    elif not isinstance(frame.frequency.value, Lost):
        run.shape.apart(frequency_hz, frame.frequency.value)
    if frame.nco is not None and frequency_hz != frame.frequency.value:
        run.add(FrameFrequency(frame.sequencer, frame.nco, frame.above_source(frequency_hz), run.source(node)))
    run.hold(frame.frequency, frequency_hz)


def shift_phase(run: Run, node: Any, frame: Frame, phase_rad: Amount) -> None:
    """Add to a frame's phase."""
    run.shape.apart(phase_rad, ZERO)
    if frame.nco is not None and phase_rad != ZERO:
        run.add(FramePhase(frame.sequencer, frame.nco, phase_rad, run.source(node)))
    if not isinstance(frame.phase.value, Lost):
        run.hold(frame.phase, calculated("+", frame.phase.value, phase_rad))


def shift_phase_by_outcome(run: Run, node: Any, frame: Frame, word: Any) -> None:
    """Add to a frame's phase what depends on outcomes, in 2^-64 turns."""
    source = run.source(node)
    if frame.nco is not None:
        run.add(FramePhase(frame.sequencer, frame.nco, word, source))
    reason = (
        f"{frame.phase.name} depends on outcomes since line {source.line}: shift it further, but do not read or set it"
    )
    run.hold(frame.phase, Lost(reason))


def phase_to(run: Run, node: Any, frame: Frame, phase_rad: Amount) -> Amount:
    """Return the shift that sets a frame's phase."""
    return calculated("-", phase_rad, held(run, node, frame.phase))
