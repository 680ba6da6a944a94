"""What each gate is on a qubit of the lab.

Conventions, tested against matrices: rz(theta) = exp(-i theta Z / 2); a play of phase phi turns the qubit about
cos(phi) X + sin(phi) Y; so a virtual rz(theta), which moves through all later pulses, is a shift of the drive frame's phase by
-theta. One calibrated number makes all gates: the amplitude of sx. x is sx twice; h is rz(pi/2) sx rz(pi/2) up to a global
phase; id waits as long as x. rx(theta) is one pulse of sx's envelope whose amplitude is proportional to theta, so that a
sweep of theta is one of the amplitude: an angle is not taken modulo a turn, and one beyond full scale is an error. ry(theta) is
rx(theta) in a frame turned by pi/2. cz is a pulse on a coupler's line, from which both qubits begin and end together; the turns about
Z that its Stark shift leaves on either are taken back, virtually. The coupler's first qubit plays it.

Names: a qubit `q0` has the frames `q0.drive` and `q0.readout`, the envelopes `q0.sx` and `q0.tone`, the weights `q0.weights`,
and the sequencer `q0`; a coupler `q0_q1` has the frame and the envelope `q0_q1.cz`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import pi

import numpy as np
from numpy.typing import NDArray

from qrt.errors import CalibrationError, ProgramError
from qrt.readout.discriminate import boxcar_weights
from qrt.types import (
    NOWHERE,
    Bits,
    Calibration,
    Capture,
    Formula,
    Frame,
    If,
    Lab,
    Op,
    Parameter,
    Play,
    Qubit,
    QubitCalibration,
    ShiftPhase,
    Source,
    Wait,
    Weights,
)
from qrt.units import AMPLITUDE_ONE, TURN

PS_PER_NS = 1000
NOMINAL_SX_AMPLITUDE = (
    0.25  # of full scale, until the calibration has found the real one; leaves room to scan on both sides
)
NOMINAL_CZ_AMPLITUDE = 0.5
EDGE = 0.25  # of a cz pulse, at either end: a step would drive more than it shifts
QUARTER, THREE_QUARTERS = Fraction(1, 4), Fraction(3, 4)  # of a turn: what frames are shifted by


def cosine_envelope(sample_count: int) -> NDArray[np.complex128]:
    """Return (1 - cos(2 pi (k + 1/2) / n)) / 2 for k = 0 ... n-1: smooth, its ends near zero, its sum exactly n / 2. Shape [samples]."""
    k = np.arange(sample_count)
    return ((1 - np.cos(2 * np.pi * (k + 0.5) / sample_count)) / 2).astype(np.complex128)


def slope_envelope(sample_count: int) -> NDArray[np.float64]:
    """Return the slope of that cosine, per sample: pi / n sin(2 pi (k + 1/2) / n). Shape [samples]."""
    k = np.arange(sample_count)
    return np.asarray(np.pi / sample_count * np.sin(2 * np.pi * (k + 0.5) / sample_count))


def flat_top_envelope(sample_count: int) -> NDArray[np.complex128]:
    """Return 1 with a rise and a fall like half a cosine, EDGE of the samples each. Shape [samples]."""
    edge = max(round(EDGE * sample_count), 1)
    rise = (1 - np.cos(np.pi * (np.arange(edge) + 0.5) / edge)) / 2
    envelope = np.ones(sample_count, np.complex128)
    envelope[:edge], envelope[-edge:] = rise, rise[::-1]
    return envelope


def _text(word: Formula) -> str:
    """Return what an operand varies with, for a person."""
    return f"({', '.join(word.names)})"


class GateSet:
    """The gates of a lab's qubits as operations. With calibration None, nominal values stand in."""

    def __init__(self, lab: Lab, calibration: Calibration | None = None) -> None:
        """Take the lab and, if there is one, its calibration; a qubit that the calibration lacks is an error when it is used."""
        self._lab = lab
        self._found = {} if calibration is None else calibration.qubits
        self._coupled = {} if calibration is None else calibration.couplers
        self._couplers = {frozenset(one.qubits): name for name, one in lab.couplers.items()}
        self._is_nominal = calibration is None
        self._ticks: dict[float, int] = {}  # of the durations that were asked for

    @property
    def known(self) -> tuple[str, ...]:
        """The qubits that have values."""
        return tuple(name for name in self._lab.qubits if self._is_nominal or name in self._found)

    @property
    def known_couplers(self) -> tuple[str, ...]:
        """The couplers that have values."""
        return tuple(name for name in self._lab.couplers if self._is_nominal or name in self._coupled)

    # ---- Durations -----------------------------------------------------------------------------------------------------

    def ticks(self, duration_ns: float) -> int:
        """Return a duration of the lab's configuration in ticks; the configuration was checked, so that it is whole."""
        found = self._ticks.get(duration_ns)
        if found is None:
            ticks = Fraction(repr(duration_ns)) * PS_PER_NS / self._lab.timing.tick_ps
            assert ticks.denominator == 1
            found = self._ticks[duration_ns] = int(ticks)
        return found

    def sx_ticks(self, qubit: str) -> int:
        """Return the duration of an sx pulse in ticks."""
        return self.ticks(self._qubit(qubit).pulse_ns)

    def readout_ticks(self, qubit: str) -> int:
        """Return the duration of the readout tone in ticks."""
        return self.ticks(self._qubit(qubit).readout.duration_ns)

    def readout_samples(self, qubit: str) -> int:
        """Return the number of samples of a capture."""
        return self.readout_ticks(qubit) // self._lab.timing.sample_ticks

    def cz_ticks(self, one: str, other: str) -> int:
        """Return the duration of a cz pulse in ticks."""
        return self.ticks(self._lab.couplers[self.coupler(one, other)].pulse_ns)

    # ---- Gates ---------------------------------------------------------------------------------------------------------

    def sx(self, qubit: str, source: Source = NOWHERE) -> tuple[Op, ...]:
        """A turn by pi/2 about X."""
        return (Play(f"{qubit}.drive", f"{qubit}.sx", self.sx_amplitude(qubit), source=source),)

    def x(self, qubit: str, source: Source = NOWHERE) -> tuple[Op, ...]:
        """A turn by pi about X: sx twice."""
        return self.sx(qubit, source) * 2

    def rz(
        self, qubit: str, angle_rad: float, source: Source = NOWHERE, turns: Fraction | None = None
    ) -> tuple[Op, ...]:
        """A turn about Z, virtual. `turns` is the same angle as an exact fraction of a turn, where there is one."""
        shift = None if turns is None else Fraction(-turns.numerator % turns.denominator, turns.denominator)
        return (ShiftPhase(f"{qubit}.drive", -angle_rad, source, shift),)

    def rx(self, qubit: str, turns: Fraction | float | Formula, source: Source = NOWHERE) -> tuple[Op, ...]:
        """A turn about X, in one pulse, by turns that are exact, the nearest float's, or vary. ProgramError beyond full scale."""
        full = 4 * float(self.sx_amplitude(qubit))  # the amplitude of a whole turn, exact: by a power of two
        if type(turns) is float:
            amplitude = turns * full
        elif type(turns) is Fraction:
            amplitude = float(turns * Fraction(full))
        else:
            word = turns.times(Fraction(full) * AMPLITUDE_ONE)  # type: ignore[union-attr]
            return (
                Play(f"{qubit}.drive", f"{qubit}.sx", Parameter("amplitude", word, _text(word), source), source=source),
            )
        if abs(amplitude) > 1.0:
            raise ProgramError(
                f"{source.where}a turn by {float(turns) * 2:.6g} pi in one pulse needs {amplitude:.4g} of full scale on {qubit}; possible "
                f"are angles up to {float(2 / full):.4g} pi: turn twice by half of it"
            )
        return (Play(f"{qubit}.drive", f"{qubit}.sx", amplitude, source=source),)

    def ry(self, qubit: str, turns: Fraction | float | Formula, source: Source = NOWHERE) -> tuple[Op, ...]:
        """A turn about Y, in one pulse. Raises ProgramError as rx does."""
        frame = f"{qubit}.drive"
        there, back = ShiftPhase(frame, pi / 2, source, QUARTER), ShiftPhase(frame, -pi / 2, source, THREE_QUARTERS)
        return (there, *self.rx(qubit, turns, source), back)

    def rz_varied(self, qubit: str, turns: Formula, source: Source = NOWHERE) -> tuple[Op, ...]:
        """A turn about Z by an angle that varies between shots."""
        word = turns.times(Fraction(-TURN))
        return (ShiftPhase(f"{qubit}.drive", Parameter("phase", word, _text(word), source), source),)

    def h(self, qubit: str, source: Source = NOWHERE) -> tuple[Op, ...]:
        """Hadamard, up to a global phase."""
        quarter = ShiftPhase(f"{qubit}.drive", -pi / 2, source, THREE_QUARTERS)
        return (quarter, *self.sx(qubit, source), quarter)

    def id(self, qubit: str, source: Source = NOWHERE) -> tuple[Op, ...]:
        """Nothing, for as long as x takes."""
        return self.delay(qubit, 2 * self.sx_ticks(qubit), source)

    def uncoupled(self, one: str, other: str) -> str | None:
        """Return why there is no cz between two qubits, and what there is; None where there is one."""
        name = self._couplers.get(frozenset((one, other)))
        if name in self.known_couplers:
            return None
        if name is not None:
            return f"the calibration has no coupler {name!r}, which joins them: qrt calibrate cz, or write a defcal cz"
        joined = ", ".join(f"{pair.qubits[0]} and {pair.qubits[1]}" for pair in self._lab.couplers.values())
        routed = "use these, let a transpiler such as Qiskit's route the program over them"
        there = f"its couplers join {joined}: {routed}" if joined else "it has none: [couplers.NAME] in the lab file"
        return f"the lab {self._lab.name!r} has no coupler between {one} and {other}; {there}, or write a defcal cz"

    def coupler(self, one: str, other: str) -> str:
        """Return what joins two qubits."""
        return self._couplers[frozenset((one, other))]

    def cz(self, one: str, other: str, source: Source = NOWHERE) -> dict[str, tuple[Op, ...]]:
        """A sign where both are at level 1: what either qubit does from the tick on at which both are free. Both take as long."""
        name = self.coupler(one, other)
        found, ops = self._coupled.get(name), dict[str, tuple[Op, ...]]()
        for place, qubit in enumerate(self._lab.couplers[name].qubits):
            turn = () if found is None else self.rz(qubit, found.rz_rad[place].value, source)
            pulse = Play(f"{name}.cz", f"{name}.cz", self.cz_amplitude(name), source=source)
            ops[qubit] = (Wait(self.cz_ticks(one, other), source) if place else pulse, *turn)
        return ops

    def delay(self, qubit: str, ticks: int | Formula, source: Source = NOWHERE) -> tuple[Op, ...]:
        """Nothing, for so many ticks."""
        return (Wait(ticks if isinstance(ticks, int) else self.ticks_varied(ticks, source), source),)

    def ticks_varied(self, word: Formula, source: Source = NOWHERE) -> Parameter:
        """Return a duration that varies between shots."""
        return Parameter("ticks", word, _text(word), source)

    def measure(self, qubit: str, bit: int | None, source: Source = NOWHERE, raw: bool = False) -> tuple[Op, ...]:  # noqa: FBT001, FBT002
        """Capture and readout tone at one tick, then the wait for the photons to leave."""
        depletion = self.ticks(self._qubit(qubit).readout.depletion_ns)
        return (
            Capture(f"{qubit}.weights", bit, raw, source),
            Play(f"{qubit}.readout", f"{qubit}.tone", self.readout_amplitude(qubit), restart=True, source=source),
            *((Wait(depletion, source),) if depletion else ()),
        )

    def reset(self, qubit: str, bit: int, source: Source = NOWHERE) -> tuple[Op, ...]:
        """Measure into a bit, and x if it is 1; as long if it is 0."""
        return (*self.measure(qubit, bit, source), If(Bits((bit,)), self.x(qubit, source), (), pad=True, source=source))

    # ---- What gates play on and with -------------------------------------------------------------------------------------

    def sx_amplitude(self, qubit: str) -> float:
        """Return the amplitude of sx, of full scale."""
        found = self._calibrated(qubit)
        return NOMINAL_SX_AMPLITUDE if found is None else found.sx_amplitude.value

    def cz_amplitude(self, coupler: str) -> float:
        """Return the amplitude of a coupler's cz pulse, of full scale."""
        found = self._coupled.get(coupler)
        return NOMINAL_CZ_AMPLITUDE if found is None else found.cz_amplitude.value

    def readout_amplitude(self, qubit: str) -> float:
        """Return the amplitude of the readout tone, of full scale."""
        found = self._calibrated(qubit)
        return self._qubit(qubit).readout.amplitude if found is None else found.readout_amplitude

    def frames(self, qubits: Iterable[str] | None = None) -> dict[str, Frame]:
        """Return the drive and readout frames of the qubits, of all where none are named; frequencies relative to the line's source."""
        frames: dict[str, Frame] = {}
        for name in self._lab.qubits if qubits is None else qubits:
            qubit, found = self._qubit(name), self._calibrated(name)
            drive_hz = qubit.frequency_hz if found is None else found.frequency_hz.value
            readout_hz = qubit.readout.frequency_hz if found is None else found.readout_hz
            frames[f"{name}.drive"] = Frame(qubit.drive_line, drive_hz - self._lab.lines[qubit.drive_line].source_hz)
            frames[f"{name}.readout"] = Frame(
                qubit.readout_line, readout_hz - self._lab.lines[qubit.readout_line].source_hz
            )
        return frames

    def envelopes(self, qubits: Iterable[str] | None = None) -> dict[str, NDArray[np.complex128]]:
        """Return the envelopes of the qubits, of all where none are named. Shapes [samples].

        A cosine for sx, with as much of its slope in quadrature as the calibration says (DRAG), and a constant for the tone.
        """
        envelopes: dict[str, NDArray[np.complex128]] = {}
        sample_s = self._lab.timing.tick_ps * self._lab.timing.sample_ticks * 1e-12
        for name in self._lab.qubits if qubits is None else qubits:
            count, found = self.sx_ticks(name) // self._lab.timing.sample_ticks, self._calibrated(name)
            drag = 0.0 if found is None else found.drag_s.value / sample_s
            envelopes[f"{name}.sx"] = cosine_envelope(count) + 1j * drag * slope_envelope(count)
            envelopes[f"{name}.tone"] = np.ones(self.readout_samples(name), np.complex128)
        return envelopes

    def cz_frames(self, couplers: Iterable[str]) -> dict[str, Frame]:
        """Return the frames of couplers; frequencies relative to the line's source."""
        named = {name: self._lab.couplers[name] for name in couplers}
        return {
            f"{name}.cz": Frame(one.line, one.frequency_hz - self._lab.lines[one.line].source_hz)
            for name, one in named.items()
        }

    def cz_envelopes(self, couplers: Iterable[str]) -> dict[str, NDArray[np.complex128]]:
        """Return the envelopes of couplers' cz pulses. Shapes [samples]."""
        sample_ticks = self._lab.timing.sample_ticks
        counts = {name: self.ticks(self._lab.couplers[name].pulse_ns) // sample_ticks for name in couplers}
        return {f"{name}.cz": flat_top_envelope(count) for name, count in counts.items()}

    def weights(self, qubits: Iterable[str] | None = None) -> dict[str, Weights]:
        """Return the integration weights of the qubits, of all where none are named.

        Nominal ones demodulate at the tone's intermediate frequency, counted from the capture's start; their threshold of 0 separates
        nothing yet.
        """
        weights: dict[str, Weights] = {}
        frames = self.frames(qubits)
        sample_s = self._lab.timing.tick_ps * self._lab.timing.sample_ticks * 1e-12
        for name in self._lab.qubits if qubits is None else qubits:
            found = self._calibrated(name)
            if found is not None:
                weights[f"{name}.weights"] = Weights(found.weights, found.threshold, name)
                continue
            samples = boxcar_weights(frames[f"{name}.readout"].frequency_hz, sample_s, self.readout_samples(name))
            weights[f"{name}.weights"] = Weights(samples, 0, name)
        return weights

    def _qubit(self, name: str) -> Qubit:
        return self._lab.qubits[name]

    def _calibrated(self, name: str) -> QubitCalibration | None:
        """Return what the calibration says of a qubit, None if there is none. Raises CalibrationError if it does not fit the lab."""
        if self._is_nominal:
            return None
        if name not in self._found:
            known = ", ".join(self._found) or "none"
            raise CalibrationError(f"the calibration has no qubit {name!r}; it has {known}: calibrate this lab")
        shape, samples = self._found[name].weights.shape, self.readout_samples(name)
        if shape != (2, samples):
            raise CalibrationError(
                f"the calibration's weights for {name!r} have shape {list(shape)}; its readout.duration_ns makes [2, {samples}]: "
                "calibrate this lab"
            )
        return self._found[name]
