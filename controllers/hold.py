"""hold: the output stays where it was when the run began.

    u[k+1] = u[k]

For the loop that is open on purpose, and as the floor that a law is compared with: same batches, same epochs, no feedback.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from qrt.control import Array, Law, Observation


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class State(NamedTuple):
    """What the run began with."""

    value: Array  # float64 [], in the output's unit


def init(parameters: Parameters, value: Array) -> State:
    """Return the state that keeps `value`."""
    return State(value)


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return the value unchanged."""
    return state, state.value


LAW = Law(Parameters, init, step)
