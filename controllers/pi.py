"""pi: proportional and integral action, with anti-windup by back-calculation.

    I[k]   = I[k-1] + integral * signal[k] + back * (u[k] - v[k])
    v[k+1] = I[k] + proportional * signal[k]

v is what the law asked for and u what the limits made of it (`Observation.previous`), so that while the output rests at a limit, I
stays in its reach: with back = 1 the output leaves the limit within one batch of the signal's change of sign, with back = 0 it winds up.
Source of the scheme: Astrom and Haegglund, PID Controllers: Theory, Design, and Tuning, 2nd ed. (1995), section 3.5.

Both gains carry the sign: negative where a larger output makes the signal larger. See integrator.py for what a delay allows.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import msgspec

from qrt.control import Array, Law, Observation


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gains have no default: their size and sign are the lab's."""

    integral: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]  # output's unit per unit of signal, a batch
    proportional: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] = 0.0  # output's unit per unit of signal
    back: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0  # share of what was clamped that a step takes back


class State(NamedTuple):
    """In the output's unit."""

    integral: Array  # float64 [], I
    asked: Array  # float64 [], v


def init(parameters: Parameters, value: Array) -> State:
    """Return the state that rests at `value`."""
    return State(value, value)


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return I + proportional * signal. Without a valid shot the state stays, and so does what is asked for."""
    integral = state.integral + parameters.integral * seen.signal + parameters.back * (seen.previous - state.asked)
    new = State(integral, integral + parameters.proportional * seen.signal)
    shots = jnp.any(seen.valid)
    kept = State(*(jnp.where(shots, after, before) for after, before in zip(new, state, strict=True)))
    return kept, kept.asked


LAW = Law(Parameters, init, step)
