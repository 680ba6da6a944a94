"""The calibration and the record: what was measured, what was estimated from it, and what is known on the twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.types.pulses import Pulses


class Estimated(msgspec.Struct, frozen=True):
    """A number and its standard error."""

    value: float
    stderr: float


class QubitCalibration(msgspec.Struct, frozen=True):
    """What the loop itself found about one qubit."""

    frequency_hz: Estimated  # of the qubit
    sx_amplitude: Estimated  # of full scale, for a rotation by pi/2
    x_error: Estimated  # probability that x fails; as estimated, so by chance it may lie below 0
    readout_hz: float  # of the tone
    readout_amplitude: float
    weights: NDArray[np.int16]  # [2, samples]
    threshold: int
    assignment: NDArray[np.float64]  # [outcomes, prepared]: A[m, p] = P(outcome m | level p at the tone's start)
    assignment_stderr: NDArray[np.float64]  # [2, 2], sampling of the reference shots
    preparation_stderr: NDArray[np.float64]  # [2, 2], from what is not known of the preparation
    reference_count: int  # reference shots per prepared level
    t1_s: Estimated
    t2_s: Estimated
    drag_s: Estimated = Estimated(0.0, 0.0)  # of sx: its quadrature is so many seconds times the slope of its envelope


class CouplerCalibration(msgspec.Struct, frozen=True):
    """What the loop itself found about one coupler."""

    cz_amplitude: Estimated  # of full scale
    conditional_rad: Estimated  # the phase of level 11 against the others at that amplitude, less pi
    rz_rad: tuple[
        Estimated, Estimated
    ]  # the turn about Z that follows the pulse on either qubit, which its Stark shift has turned


class Calibration(msgspec.Struct, frozen=True):
    """An immutable calibration, stored in a file named by its hash."""

    lab_hash: str
    taken_ns: int  # UNIX time
    seed: int
    qubits: dict[str, QubitCalibration]
    couplers: dict[str, CouplerCalibration] = {}


class Measured(msgspec.Struct, frozen=True):
    """What a `measure` function brings back: the shot rows of a short run and, where asked for, the captures themselves."""

    rows: NDArray[Any]  # [shots] kernel.row_dtype
    raw: Mapping[int, NDArray[np.int16]]  # capture index -> [shots, samples], for captures with raw=True


class Measure(Protocol):
    """Runs pulses on the lab through the loop; calibration receives one and knows nothing else of the lab's hardware."""

    def __call__(self, pulses: Pulses, shots: int) -> Measured: ...


class Truth(msgspec.Struct, frozen=True):
    """What a twin's plant knows of a run and no lab would."""

    population: Mapping[
        tuple[str, int], float
    ]  # (qubit, k) -> mean population of level 1 at the start of its k-th readout tone in the shot
    counters: Mapping[str, int]  # clipped samples, jumps
    product: float | None = None  # mean product of Z at the readout tones that were asked for; None: none were


class StdErr(msgspec.Struct, frozen=True):
    """The standard errors of an estimate, one per origin; they add in quadrature."""

    shot: float
    calibration: float
    drift: float
    preparation: float


class Estimate(msgspec.Struct, frozen=True):
    """One expectation value: as read, as a perfect readout would have averaged it, and what the plant knows."""

    name: str
    raw: float
    value: float
    stderr: StdErr
    truth: float | None = None
    raw_stderr: float = 0.0
    shots: int = 0
    effective_shots: float = (
        0.0  # independent shots of a perfect readout with the same shot error; 0 where it or 1 - value^2 is 0
    )
    method: str = "exact product weights"


class Found(msgspec.Struct, frozen=True):
    """An instrument that answered."""

    name: str
    address: str
    transport: str  # "VISA (pyvisa-sim)", "serial (pty)", ...
    idn: str


class Controlled(msgspec.Struct, frozen=True):
    """What a controller came to in a run."""

    name: str
    output: str
    value: float | None  # that it gave last; None if no batch was whole
    refused: int  # updates that were not taken


class Summary(msgspec.Struct, frozen=True):
    """What a run has to say for itself: the JSON object that `qrt run --json` ends with."""

    run: str  # folder
    shots: int
    shots_per_s: float
    sim_over_wall: float
    misses: int
    digest: str  # SHA-256 of shots.bin, in hex
    estimates: tuple[Estimate, ...]
    controllers: tuple[Controlled, ...] = ()
    legs: int = 1  # between which instruments were set
    dead_s: float = 0.0  # wall time in which that was done, and nothing played
