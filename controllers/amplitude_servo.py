"""amplitude_servo: keeps the amplitude of a pulse at a quarter turn, from a train of such pulses.

The program plays 4 k + 1 pulses sx of amplitude v from the ground state, k whole turns and a quarter, and measures:

    P1 - setpoint = V/2 sin((pi/2) m e),    m = 4 k + 1,    e = v/a - 1

a: the amplitude that turns by a quarter, which drifts with attenuators and amplifiers; e: the over-rotation, as a fraction; setpoint: P1 at
e = 0, 1/2 where readout errors are symmetric; V: visibility. The train multiplies the slope by m, and divides the range by m. No gain
has to be found: the slope follows from m, V and a itself. As in frequency_tracker.py, v is the value that was in force, so that a
delay costs no stability, and a is estimated by a Kalman filter with one state, here with fractions of a as unit:

    P-  = P + q                               q = drift^2, per batch
    e   = v/a - 1                             within +-2/(3 m), where the fringe has half its slope or more
    h   = (pi/4) V m cos((pi/2) m e)
    K   = P- h / (h^2 P- + r)                 r = 1/(4 n), binomial, n valid shots
    e'  = e + K (signal - V/2 sin((pi/2) m e)),  P = (1 - K h) P-
    v[next] = a = v / (1 + e')

P settles where frequency_tracker.py says, with h = (pi/4) V m. An over-rotation beyond 1/m looks like a smaller one; where e is held at its
bound, or the value in force is not above 0, the batch is counted (`lost_count`). Source: the rotation angle of a resonant pulse is
proportional to its amplitude (Rabi); error amplification by trains as in Sheldon et al., Phys. Rev. A 93, 012301 (2016).
"""

from __future__ import annotations

from math import pi
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import msgspec

from qrt.control import Array, Law, Observation, kalman


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The train must be the program's, so it has no default."""

    turns: Annotated[int, msgspec.Meta(ge=0, le=1000)]  # k: the train is 4 k + 1 pulses
    visibility: Annotated[float, msgspec.Meta(ge=0.01, le=1.0)] = 1.0  # V, of readout and of decay during the train
    drift: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = (
        1e-4  # rms step of a from batch to batch, as a fraction of it
    )


class State(NamedTuple):
    """Estimate of the amplitude of a quarter turn."""

    amplitude: Array  # float64 [], a, in the output's unit
    variance: Array  # float64 [], P, of a as a fraction of itself
    lost_count: Array  # int64 [], batches in which e was held at its bound, or the output was not above 0


def init(parameters: Parameters, value: Array) -> State:
    """Return the state that expects the quarter turn at `value`, to within half of what the fringe can tell."""
    start = 1.0 / (3.0 * _pulses(parameters))
    return State(value, jnp.full((), start**2, dtype=jnp.float64), jnp.zeros((), dtype=jnp.int64))


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return the estimate of a. Without a valid shot, or with no amplitude in force, it stays, and its variance grows."""
    pulses, visibility = _pulses(parameters), parameters.visibility
    reach = 2.0 / (3.0 * pulses)
    shots = jnp.sum(seen.valid).astype(jnp.float64)
    in_force = jnp.sum(jnp.where(seen.valid, seen.value, 0.0)) / jnp.maximum(shots, 1.0)
    usable = in_force > 0.0
    known = usable & (state.amplitude > 0.0)
    expected = jnp.where(known, in_force, 1.0) / jnp.where(known, state.amplitude, 1.0) - 1.0
    start = jnp.clip(expected, -reach, reach)
    phase = 0.5 * pi * pulses * start
    slope = 0.25 * pi * visibility * pulses * jnp.cos(phase)
    gain, after = kalman(state.variance + parameters.drift**2, slope, 0.25 / shots)
    asked = start + gain * (seen.signal - 0.5 * visibility * jnp.sin(phase))
    excess = jnp.clip(asked, -reach, reach)
    lost = (shots > 0.0) & (~usable | (start != expected) | (excess != asked))
    amplitude = jnp.where(usable, in_force / (1.0 + excess), state.amplitude)
    variance = jnp.where(usable, after, state.variance + parameters.drift**2)
    return State(amplitude, variance, state.lost_count + lost.astype(jnp.int64)), amplitude


def _pulses(parameters: Parameters) -> float:
    """Return m, how many quarter turns the train has."""
    return 4.0 * parameters.turns + 1.0


LAW = Law(Parameters, init, step)
