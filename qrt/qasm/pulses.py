"""What elaboration makes of OpenPulse: flat statements on sequencers by name, and the tables that they point into.

A statement names the sequencer that executes it: a qubit of the lab, or a frame that has a clock of its own. Frequencies are those of an
NCO, relative to the port's source; phases are turns, in the sense of e^(i 2 pi (f t + phase)).
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.qasm.expressions import Exact, Expression
from qrt.qasm.ports import LabWeights
from qrt.types import NOWHERE, Classical, Source

Amount = Exact | float | Expression


class FramePlay(NamedTuple):
    """Send an envelope on a frame."""

    sequencer: str
    frame: str
    envelope: str  # in Tables.envelopes
    amplitude: Amount  # of full scale
    restart: bool  # the carrier counts from this play
    sample_count: int
    source: Source = NOWHERE


class FramePhase(NamedTuple):
    """Add to a frame's phase: radians, or of outcomes 2^-64 turns."""

    sequencer: str
    frame: str
    phase_rad: Amount | Classical
    source: Source = NOWHERE


class FrameFrequency(NamedTuple):
    """Set an NCO's frequency."""

    sequencer: str
    frame: str
    frequency_hz: Amount
    source: Source = NOWHERE


class FrameCapture(NamedTuple):
    """Record the digitizer; the cursor stays."""

    sequencer: str
    weights: str  # in Tables.weights
    bit: int | None
    raw: bool
    source: Source = NOWHERE


class FrameDelay(NamedTuple):
    """Wait on one sequencer."""

    sequencer: str
    duration: Expression
    source: Source = NOWHERE


class FrameBarrier(NamedTuple):
    """Let sequencers go on together."""

    sequencers: tuple[str, ...]
    source: Source = NOWHERE


PulseStatement = FramePlay | FramePhase | FrameFrequency | FrameCapture | FrameDelay | FrameBarrier
PULSES = (FramePlay, FramePhase, FrameFrequency, FrameCapture, FrameDelay, FrameBarrier)


class Oscillator(NamedTuple):
    """A frame's NCO at the shot's start."""

    line: str
    frequency_hz: Fraction
    phase_rad: float


class Filter(NamedTuple):
    """Integration weights to be: the conjugate of `shape` on the conjugate carrier, which has `phase_rad` at the first sample."""

    shape: NDArray[np.complex128]  # [samples]
    frequency_hz: Amount
    phase_rad: Amount
    threshold: int = 0


class Tables(msgspec.Struct, frozen=True):
    """What the statements of a program point into."""

    oscillators: dict[str, Oscillator] = {}
    envelopes: dict[str, NDArray[np.complex128]] = {}
    weights: dict[str, Filter | LabWeights] = {}
    captures: dict[str, str] = {}  # weights -> what the program calls the capture
    sequencers: tuple[str, ...] = ()  # beside those of the program's qubits, in the order of their first use


def sequencers_of(one: PulseStatement) -> tuple[str, ...]:
    """Return the sequencers that a statement acts on."""
    return one.sequencers if isinstance(one, FrameBarrier) else (one.sequencer,)
