"""The bits that statements read and write, in the order in which they are met: what the syncs between sequencers come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qrt.classical import bits_of
from qrt.qasm.kinds import RUNTIME
from qrt.qasm.program import Assign, Box, Branch, Delay, Emit, Gate, Measurement, SetBit, Statement
from qrt.qasm.pulses import FrameCapture, FramePhase
from qrt.types import Lasting

Accesses = dict[tuple[int, bool], None]  # a bit and whether it is written, as an ordered set


def accesses(statements: Iterable[Statement], known: dict[int, Accesses]) -> Accesses:
    """Return the bits that statements and those inside them read or write; `known`: of branches looked at before, by identity."""
    found: Accesses = {}
    for one in statements:
        match one:
            case Measurement(bit=int() as bit) | SetBit(bit=bit) | FrameCapture(bit=int() as bit):
                found[bit, True] = None
            case Branch():
                if id(one) not in known:
                    inside = _read(one.condition) | accesses(one.then, known) | accesses(one.otherwise, known)
                    known[id(one)] = inside
                found |= known[id(one)]
            case Box():
                found |= accesses(one.inside, known)
            case Gate(angle=value) | FramePhase(phase_rad=value) | Assign(value=value) | Emit(value=value):
                found |= _read(value)
            case Delay(duration=Lasting(word=word)):
                found |= _read(word)
    return found


def _read(value: Any) -> Accesses:
    """Return the bits of a value as read."""
    return dict.fromkeys((bit, False) for bit in bits_of(value)) if type(value) in RUNTIME else {}
