"""integrator: the output moves in proportion to the signal, until the signal is gone.

    u[k+1] = u[k] + gain * signal[k]

with u[k] as the limits left it, so that nothing winds up. Against something that answers with slope b = d(signal)/du, G = -gain * b is
the loop gain, and a delay of d batches makes the error follow e[k+1] = e[k] - G e[k-d]. That is stable for 0 < G < 2 sin(pi / (2 (2 d +
1))): 2, 1, 0.618, 0.445 for d = 0, 1, 2, 3 (Levin and May, "A note on difference-delay equations", Theor. Popul. Biol. 9 (1976) 178).
It falls fastest without overshoot at G = d^d / (d + 1)^(d + 1): 1, 0.25, 0.148, 0.105, where two roots of the equation meet.

The gain carries the sign: negative where a larger output makes the signal larger.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from qrt.control import Array, Law, Observation


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gain has no default: its size and sign are the lab's."""

    gain: Annotated[
        float, msgspec.Meta(ge=-1e12, le=1e12)
    ]  # output's unit per unit of signal (of probability, for a bit)


class State(NamedTuple):
    """Nothing: the observation says what the last step led to."""


def init(parameters: Parameters, value: Array) -> State:
    """Return the empty state."""
    return State()


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return u[k] + gain * signal. The signal is 0 without a valid shot, so the output then stays."""
    return state, seen.previous + parameters.gain * seen.signal


LAW = Law(Parameters, init, step)
