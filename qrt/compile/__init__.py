"""Pulses to the armed sequence: the kernel's arrays, and the segments that the instruments must hold.

Most operations become one instruction. A play is followed by a wait of its length, since the kernel's own play does not move the
cursor; waits that follow one another are one. A branch computes its condition, waits until the tick that the schedule has found for it, and
jumps; both sides end by waiting until the tick at which they join. So every tick of the shot is the one that `qrt check`
printed, and if the hardware ever disagreed, the kernel would stop with an underflow instead of playing late. Nothing loops, so
the number of instructions bounds what a shot executes.

An operand that varies from shot to shot is loaded from its slot right before the instruction that uses it, always into the same
register; operands that are always equal share a slot. At a tick that varied waits move there is no absolute wait: a branch decides when
its outcomes are ready, and its sides and boxes are padded by what the schedule has proved to lead to the same tick: a constant, or
one and a sum of varied operands.

A line's index is its place in the lab's file, and the one digitizer is channel 0. `instructions` has the numbers, `values` what a
sequencer computes and its registers, `writer` the instructions of each operation, `segments` and `captures` what they play and record
with, `sequence` puts all of it together, `template` what holds for other values of inputs, too.
"""

from qrt.compile.instructions import (
    ALU,
    ALU_SET,
    BRANCH,
    CAPTURE,
    END,
    IF_ALWAYS,
    PLAY,
    SET_FREQUENCY,
    SHIFT_PHASE,
    SLOTS_MAX,
    SYNC,
    WRITE,
)
from qrt.compile.operands import Operands
from qrt.compile.sequence import (
    Decided,
    Written,
    compile_pulses,
    compile_template,
    decided,
    scheduled,
    weighted,
    written,
    written_template,
)
from qrt.compile.template import Template

__all__ = [
    "ALU",
    "ALU_SET",
    "BRANCH",
    "CAPTURE",
    "END",
    "IF_ALWAYS",
    "PLAY",
    "SET_FREQUENCY",
    "SHIFT_PHASE",
    "SLOTS_MAX",
    "SYNC",
    "WRITE",
    "Decided",
    "Operands",
    "Template",
    "Written",
    "compile_pulses",
    "compile_template",
    "decided",
    "scheduled",
    "weighted",
    "written",
    "written_template",
]
