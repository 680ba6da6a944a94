"""What OpenPulse sees of a lab: its ports, its calibrated frames and waveforms. Values alone; `qrt.pulses.ports` makes them of a lab."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Port(NamedTuple):
    """A line of the lab, or its digitizer. A frame's frequency is absolute in the program; its NCO gets what it lies above `source_hz`."""

    name: str
    source_hz: Fraction
    plays: bool  # waveforms can be sent on it
    captures: bool  # what comes back on it reaches the digitizer
    sequencer: str | None = (
        None  # whose clock its frames share: the qubit's that it drives. None: each frame has a clock of its own
    )


class LabWeights(NamedTuple):
    """Integration weights and threshold that the calibration has found."""

    samples: NDArray[np.int16]  # [2, samples]
    threshold: int


class LabFrame(NamedTuple):
    """A frame that the lab has, with the frequency that the calibration has found."""

    port: str
    frequency_hz: Fraction
    qubit: str
    nco: str | None  # the frame that the calibration's gates play on; None: it only captures
    weights: LabWeights | None = None


class LabWaveform(NamedTuple):
    """An envelope of the lab, with the amplitude that the calibration has found."""

    samples: NDArray[np.complex128]  # [samples]
    amplitude: float


class Ports(NamedTuple):
    """All of it."""

    ports: dict[str, Port]
    frames: dict[str, LabFrame]
    waveforms: dict[str, LabWaveform]
    qubits: tuple[str, ...]  # in the lab's order: `$k` is the k-th
    sample_s: Fraction
    nco_hz_max: Fraction  # an NCO's frequency is below it in magnitude
