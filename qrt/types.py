"""The values that travel between the parts of Q-RT.

Four families, in the order in which a run meets them: the lab as configured; the pulses of a program before they are scheduled;
the armed image, which is everything that the kernel plays from; the calibration and the record. All are frozen. Arrays carry their
dtype and shape in the comment beside the field. No behaviour lives here beyond small derived properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

# ---- The lab -----------------------------------------------------------------------------------------------------------
# Field names are the TOML keys; `Meta` bounds are the allowed sets that config.py names in its errors.

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
SOME = msgspec.Meta(min_length=1)  # of a table of names: it must not be empty


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument: its driver (an entry point of group `qrt.drivers`), where it is, and how long it may take to answer."""

    driver: str
    address: str  # a VISA resource name, or `serial:<device>` for a serial line
    timeout_s: Positive = 2.0
    settle_s: NonNegative | None = None  # after one of its settings was changed; None: what its driver says


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An I+Q pair of DAC channels with the source that its mixer converts up with."""

    awg: str  # instrument name
    i_channel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    q_channel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    source: str  # instrument name
    source_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]
    source_dbm: Annotated[float, msgspec.Meta(ge=-30.0, le=25.0)] = 10.0
    amplitude_v: Annotated[float, msgspec.Meta(gt=0.0, le=5.0)] = 1.0  # full scale of each channel, peak


class Digitizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The real ADC channel that sees the feedline's intermediate frequency."""

    instrument: str
    channel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    range_v: Annotated[float, msgspec.Meta(gt=0.0, le=50.0)]  # full scale, peak: clips at +-range_v


class Readout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nominal readout of one qubit; the calibration refines frequency, weights and threshold."""

    frequency_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]  # nominal, of the tone
    amplitude: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]  # of full scale
    duration_ns: Positive = 1000.0  # of the tone and of the integration
    depletion_ns: NonNegative = 500.0  # after the tone, for the photons to leave before the next pulse


class Qubit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One qubit as its owner knows it before calibration."""

    drive_line: str
    readout_line: str
    frequency_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]  # nominal, 0-1 transition
    pulse_ns: Positive  # duration of the sx pulse
    t1_ns: Positive  # expected, to size waits; never used as a result
    readout: Readout


class Coupler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What joins two qubits: a tone on a line of its own shifts the phase of level 11 against the others while it is on."""

    qubits: tuple[str, str]
    line: str
    frequency_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]  # of the tone
    pulse_ns: Positive  # duration of the cz pulse


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where results are published."""

    address: str = "tcp://127.0.0.1:5557"


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lab's quantum of time and the period of its shots."""

    tick_ps: Count = 1000
    sample_ticks: Count = 1
    shot_period_ns: Positive = 7000.0
    pacing: Literal["virtual", "real", "external"] = "virtual"  # external: by the hardware's trigger
    late_tolerance_ns: NonNegative = 50_000.0
    late_policy: Literal["skip", "abort"] = "skip"
    late_port_policy: Literal["erase", "abort"] = "erase"  # a late decision or answer, of a port with its own clock
    stretch_max: Annotated[int, msgspec.Meta(ge=0, le=65536)] = 0  # periods that a shot may take beyond its own


class Mailbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rack without a fast path: shots are played from the generators' tables, triggered and fetched over SCPI."""

    shots_per_arm: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1  # through the digitizer's segmented memory
    deadline_s: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)] = 5.0  # from the request of a capture to its samples
    feedback_latency_ns: NonNegative = 5e6  # from the last sample of a capture to the first tick of a branch


class Twin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated counterpart: an entry point of group `qrt.twins`, and its own parameters.

    The entry point of the same name in group `qrt.twin_parameters` is their type: a msgspec Struct, along which they are checked with the
    rest of the lab, and whose method `problems(lab)` yields an errors.Problem for whatever does not fit between them and the lab.
    """

    kind: str
    parameters: dict[str, Any] = {}


class Controller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feedback law in the loop: what it acts on and what it sets, from batch to batch.

    `parameters` are the law's own: checked along the type that it declares where it is loaded, in the batch process.
    """

    law: str  # an entry point of group `qrt.controllers`, or the path of a file that ends in `.py`
    output: str  # an input of the program, or `threshold.<qubit>`
    bit: str | None = (
        None  # the bit whose mean, less the setpoint, is the law's signal; None: a law that looks at the shots itself
    )
    setpoint: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.5
    minimum: float | None = None  # of the output
    maximum: float | None = None
    every: Count = 1  # step at every so many batches
    parameters: dict[str, Any] = {}


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How batches and their results are handed over."""

    batch_shots: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 1000
    delay_batches: Annotated[int, msgspec.Meta(ge=0, le=64)] = (
        1  # results of batch k act from batch k + 1 + d on; 0: stop and wait
    )
    policy: Literal["hold", "abort"] = "hold"  # for an update that is refused, or late
    deadline_s: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)] = 5.0  # wall time for the laws of one batch
    restarts_max: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3  # of the batch process, in one run


class Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A configured set of instruments, lines and qubits. Without `twin` it is a real rack."""

    name: str
    instruments: Annotated[dict[str, Instrument], SOME]
    lines: Annotated[dict[str, Line], SOME]
    digitizer: Digitizer
    qubits: Annotated[dict[str, Qubit], SOME]
    couplers: dict[str, Coupler] = {}
    timing: Timing = Timing()
    stream: Stream = Stream()
    runs: str = "runs"  # folder, relative to where the command is called
    mailbox: Mailbox | None = None  # None: the port is a fast path
    twin: Twin | None = None
    controllers: dict[str, Controller] = {}
    externs: dict[str, str] = {}  # functions for programs, each `path/file.py:function`
    control: Control = Control()


class Setting(msgspec.Struct, frozen=True):
    """A setting of an instrument as its driver declares it, for sweeps: how it is set, within what, and when it holds, or why not."""

    name: str  # its end is its unit: `frequency_hz`
    unit: str
    header: str  # SCPI: `<header> <value>` sets it, `<header>?` reads it back
    low: float  # what the instrument takes
    high: float
    resolution: float  # what it rounds to: what is read back may differ by as much from what was asked for, and no more
    settle_s: float = 0.0  # from the command until the signal holds
    words: tuple[str, ...] = ()  # what the instrument is told and says for 0, 1, ...; empty: the number itself
    kept: str = ""  # why no sweep changes it; empty: any may


# ---- Pulses ------------------------------------------------------------------------------------------------------------
# What programs and calibrations compile from: blocks of operations, one block per sequencer (a qubit has one sequencer, which
# plays on the qubit's drive frame `<qubit>.drive` and readout frame `<qubit>.readout`).


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where in a program an operation comes from; line and column count from 1, 0 means nowhere."""

    line: int = 0
    column: int = 0
    text: str = ""
    path: str = ""

    @property
    def where(self) -> str:
        """Return `file:line:column: `, the start of a ProgramError, or nothing for nowhere."""
        return f"{self.path}:{self.line}:{self.column}: " if self.line else ""


NOWHERE = Source()


class Frame(msgspec.Struct, frozen=True):
    """Frequency and phase reference of a line at the shot's start."""

    line: str
    frequency_hz: float  # relative to the line's source: the NCO's frequency
    phase_rad: float = 0.0


class Formula(Protocol):
    """A function of a program's inputs (qrt.qasm.formula.Formula), as data: equal ones mean the same."""

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that it depends on."""

    @property
    def affine(self) -> bool:
        """Whether a straight line of inputs gives a straight line of values."""

    def at(self, values: Mapping[str, Any]) -> Fraction:
        """Return the value at these inputs' values, not rounded."""

    def times(self, factor: Fraction) -> Formula:
        """Return it in other units."""


class Parameter(msgspec.Struct, frozen=True):
    """An operand that may be another one in every shot. `word` is the function that the kernel's word is rounded from.

    Its units: amplitude 1/65536 of full scale, ticks, phase 2^-64 turns (more than one, too), frequency 2^-64 turns per tick; an
    integer is what it is. A place is no value of the word but where it has it: which point of the axis that its inputs go along.
    """

    unit: Literal["amplitude", "ticks", "phase", "frequency", "threshold", "integer", "place"]
    word: Formula
    text: str  # for a person
    source: Source = NOWHERE


class Bits(msgspec.Struct, frozen=True, gc=False):
    """sum(bit_k << k) over bits, once all of them are ready."""

    bits: tuple[int, ...]


class Variable(msgspec.Struct, frozen=True, gc=False):
    """What a variable of the program holds, in a register of each sequencer that needs it; 0 at the shot's start."""

    index: int  # in Pulses.variables


class Lookup(msgspec.Struct, frozen=True):
    """values[index], from a table in the kernel; an index outside of it ends the run."""

    values: tuple[int, ...]
    index: Classical


class Computed(msgspec.Struct, frozen=True):
    """Two values with an operator of the sequencer between them, modulo 2^64; == and < give 0 or 1, >> is arithmetic and by a constant."""

    operator: Literal["+", "-", "*", "&", "|", "^", "==", "<", ">>"]
    left: Classical
    right: Classical


# What a sequencer computes while the shot runs, in int64: a bool is 0 or 1, an angle 2^-64 turns, a duration ticks. An operand of a pulse
# that is `Dynamic` is in the units of Parameter.
Dynamic = Parameter | Bits | Variable | Lookup | Computed
Classical = int | Dynamic


class Lasting(msgspec.Struct, frozen=True, gc=False):
    """A duration that outcomes decide: a word of ticks, and all that it can be, ascending. Those of one number are always equal."""

    word: Classical
    ticks: tuple[int, ...]
    number: int


class Play(msgspec.Struct, frozen=True, gc=False):
    """Send an envelope on a frame. The cursor moves by the envelope's length."""

    frame: str
    envelope: str  # name in Pulses.envelopes
    amplitude: float | Dynamic  # [-1, 1]
    restart: bool = False  # the NCO counts from this play (readout tones) instead of from the shot's start
    source: Source = NOWHERE


class Capture(msgspec.Struct, frozen=True, gc=False):
    """Record the digitizer from the cursor on. The cursor does not move."""

    weights: str  # name in Pulses.weights
    bit: int | None = None  # index of the bit that gets the outcome
    raw: bool = False
    source: Source = NOWHERE


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Move the cursor."""

    ticks: int | Parameter | Lasting
    source: Source = NOWHERE


class ShiftPhase(msgspec.Struct, frozen=True, gc=False):
    """Add to a frame's phase: a virtual rz(theta) on a drive frame is a shift of -theta.

    `turns` is the same shift as an exact fraction of a turn, where the program writes a rational multiple of pi; it goes before
    `phase_rad`, so that three shifts of pi/3 are one of pi to the last bits of the NCO's phase word.
    """

    frame: str
    phase_rad: float | Dynamic
    source: Source = NOWHERE
    turns: Fraction | None = None


class SetFrequency(msgspec.Struct, frozen=True, gc=False):
    """Change a frame's frequency at the cursor, phase-continuous."""

    frame: str
    frequency_hz: float | Dynamic
    source: Source = NOWHERE


class Sync(msgspec.Struct, frozen=True, gc=False):
    """Continue at the largest cursor of the named sequencers. Appears in the block of each of them."""

    sequencers: tuple[str, ...]
    source: Source = NOWHERE


class If(msgspec.Struct, frozen=True):
    """Branch once the bits of the condition are ready: `then` where it is not 0, else `otherwise`.

    With `pad`, the shorter branch is padded, so that what follows keeps one tick on both paths. Where one branch of a program acts on
    several sequencers, each has an If of its own in its block, and `sequencers` names all of them: they take the same side, and may
    hold syncs among each other. None named: the branch is this sequencer's alone.
    """

    condition: Classical
    then: tuple[Op, ...]
    otherwise: tuple[Op, ...] = ()
    pad: bool = True
    source: Source = NOWHERE
    sequencers: tuple[str, ...] = ()


class Box(msgspec.Struct, frozen=True):
    """Operations that begin together, and have `ticks` until all of them must have ended; what follows starts then, not earlier.

    Where one box of a program acts on several sequencers, each has a Box of its own in its block, and `sequencers` names all of them.
    None named: the box is this sequencer's alone.
    """

    ticks: int | Parameter
    ops: tuple[Op, ...]
    source: Source = NOWHERE
    sequencers: tuple[str, ...] = ()


class WriteBit(msgspec.Struct, frozen=True, gc=False):
    """Set a bit to a constant."""

    bit: int
    value: int
    source: Source = NOWHERE


class Assign(msgspec.Struct, frozen=True):
    """Set a variable, on this sequencer; it waits until the bits that the value needs are ready."""

    variable: int  # in Pulses.variables
    value: Classical
    source: Source = NOWHERE


class Emit(msgspec.Struct, frozen=True):
    """Put a value into a column of the shot's row."""

    column: int  # in Pulses.outputs
    value: Classical
    source: Source = NOWHERE


OutputKind = Literal[
    "int", "uint", "bool", "angle", "duration", "float"
]  # of an emitted column: an angle is 2^-64 turns, a duration ticks, a float 2^-32

Op = Play | Capture | Wait | ShiftPhase | SetFrequency | Sync | If | Box | WriteBit | Assign | Emit


class Bank(Protocol):
    """Integration weights that depend on a program's inputs (qrt.pulses.weights.Bank), as data: equal ones mean the same."""

    @property
    def sample_count(self) -> int:
        """Of the capture."""

    def place(self, source: Source) -> Parameter:
        """Return the operand, of unit place, that says which of the weights count."""

    def at(self, values: Mapping[str, Any]) -> NDArray[np.int16]:
        """Return the weights at these inputs' values, [2, samples]."""


class Weights(msgspec.Struct, frozen=True):
    """Integration weights and threshold of one capture: outcome = sum(x*samples[0]) > threshold."""

    samples: NDArray[np.int16] | Bank  # [2, samples], within +-32767; calibration scales to +-4095
    threshold: int
    qubit: str  # whose level the outcome is; "" for a capture of the program's own, of which nobody knows that
    name: str = ""  # what the program calls the capture

    @property
    def sample_count(self) -> int:
        """Of the capture."""
        return self.samples.shape[1] if isinstance(self.samples, np.ndarray) else self.samples.sample_count


class Pulses(msgspec.Struct, frozen=True):
    """A program as pulses, one shot of it, before scheduling. `blocks` keys are the sequencers, in order."""

    blocks: Mapping[str, tuple[Op, ...]]
    frames: Mapping[str, Frame]
    envelopes: Mapping[str, NDArray[np.complex128]]  # [samples], |re|, |im| <= 1
    weights: Mapping[str, Weights]
    bits: tuple[str, ...] = ()  # names as the program writes them: ("c[0]", "c[1]", "flag")
    period_ticks: int = 0
    variables: tuple[str, ...] = ()  # names of what Assign sets
    outputs: tuple[str, ...] = ()  # names of the columns that Emit fills
    output_kinds: tuple[OutputKind, ...] = ()  # what they mean, in the same order; none given: whole numbers
    stretch_max: int = 0  # periods that the shot may take beyond its own


# ---- The armed image ---------------------------------------------------------------------------------------------------


class Segment(msgspec.Struct, frozen=True):
    """Baseband samples as they stand in the two channels of a line's instrument."""

    i: NDArray[np.int16]  # [samples]
    q: NDArray[np.int16]  # [samples]


class CaptureSlot(msgspec.Struct, frozen=True):
    """What one capture statement of the sequence is, for whoever reads the rows."""

    qubit: str  # "" where no qubit is known, of a capture that the program makes itself
    bit: int | None
    tone_index: int | None  # the k-th readout tone of this qubit in the shot where that is static
    line: int  # source line, 0 for none
    name: str = ""  # what the program calls it, where that is not its bit


class Sequence(msgspec.Struct, frozen=True):
    """The compiled program of one shot: arrays as qrt_core.h lays them out, plus names for the people who read."""

    instructions: NDArray[Any]  # [instructions] kernel.INSTRUCTION_DTYPE
    entries: NDArray[np.uint32]  # [sequencers]
    frames: NDArray[Any]  # [frames] kernel.FRAME_DTYPE
    captures: NDArray[Any]  # [captures] kernel.CAPTURE_DTYPE
    weights: NDArray[np.int16]  # [all weights]
    budget: int
    period_ticks: int
    segments: Mapping[str, tuple[Segment, ...]]  # line name -> segment memory
    lines: tuple[str, ...]  # line index -> name
    sequencers: tuple[str, ...]
    bits: tuple[str, ...]
    slots: tuple[CaptureSlot, ...]  # [captures]
    source_lines: tuple[int, ...]  # [instructions] source line, 0 for none
    table: NDArray[np.int64] = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))  # of `lookup`
    factors: NDArray[np.float64] = msgspec.field(default_factory=lambda: np.zeros(0))  # of `weigh`, finite
    emit_count: int = 0  # emitted columns of a row
    outputs: tuple[str, ...] = ()  # [emit_count] their names; or none
    output_kinds: tuple[OutputKind, ...] = ()  # [outputs]
    parameters: tuple[Parameter, ...] = ()  # [slots] what each slot of the kernel means
    stretch_max: int = 0  # periods that a shot may take beyond its own; 0: a shot longer than its period is an error


class PortLimits(msgspec.Struct, frozen=True):
    """What a port can do, for the compiler to hold a program against."""

    feedback_latency_ticks: int
    granularity_ticks: int
    sample_ticks: int
    capture_samples_max: int
    segment_count_max: int
    segment_samples_max: int
    outstanding_max: int


# ---- Calibration and record ----------------------------------------------------------------------------------------------


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
