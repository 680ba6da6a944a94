"""The pulses of a program before they are scheduled: what programs and calibrations compile from.

Blocks of operations, one block per sequencer: a qubit has one, which plays on its drive frame `<qubit>.drive` and readout frame
`<qubit>.readout`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray


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
