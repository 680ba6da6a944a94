"""frequency_tracker: keeps a program's frame on a qubit that drifts, from Ramsey sequences in quadrature.

The program plays, in a frame that the output shifts by v in Hz,

    reset q;  sx q;  delay[tau] q;  rz(-pi/2) q;  sx q;  c = measure q;

from the ground state; the shift is what it makes up during tau, `rz(-pi/2 - 2*pi*2e-6*v) q;` for 2 us (`examples/track_frequency.qasm`).
With x the qubit's place on the same axis (detuning of the qubit against the frame at v = 0), the bit's mean is

    P1 - setpoint = V/2 sin(2 pi (x - v) tau)

setpoint: P1 at no detuning, 1/2 where readout errors are symmetric; V: visibility, of readout and of decay during tau together.
v is the value that was *in force* in the batch (`Observation.value`), so each batch measures x itself, and a delay of the
loop costs no stability: there is no loop gain. x is taken for a random walk, and estimated by a Kalman filter with one state:

    P-  = P + q                        q = drift^2                               Hz^2 per batch
    e   = x - v                        within +-1/(6 tau), where the fringe has half its slope or more
    h   = pi V tau cos(2 pi e tau)     slope of the fringe there                 1/Hz
    K   = P- h / (h^2 P- + r)          r = 1/(4 n), binomial, n valid shots
    x   = v + e + K (signal - V/2 sin(2 pi e tau)),  P = (1 - K h) P-
    v[next] = x

Locked, h = pi V tau, and P settles at (-q + sqrt(q^2 + 4 q R)) / 2 with R = r / h^2, which is the variance of the estimate; that of what is
in force with a delay of d batches is larger by (d + 1) q. A steady ramp of a Hz per batch is followed a (1/K + d) behind.

What it cannot see: a detuning beyond 1/(4 tau) looks like a smaller one. Where estimate and value in force are further apart than
1/(6 tau), or a batch asks for more, the difference is held there and counted (`lost_count`): tau is then too long for the drift.
Source: fringe: Ramsey, Phys. Rev. 78 (1950) 695; filter: Kalman, J. Basic Eng. 82 (1960) 35.
"""

from __future__ import annotations

from math import pi, tau
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import msgspec

from qrt.control import Array, Law, Observation, kalman


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The delay must be the program's, so it has no default."""

    delay_s: Annotated[float, msgspec.Meta(ge=1e-9, le=1.0)]  # tau, between the pulses' middles
    visibility: Annotated[float, msgspec.Meta(ge=0.01, le=1.0)] = 1.0  # V, of the fringe
    drift_hz: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = (
        100.0  # rms step of the qubit's frequency from batch to batch
    )


class State(NamedTuple):
    """Estimate of the qubit's place."""

    frequency_hz: Array  # float64 [], x
    variance: Array  # float64 [], P, Hz^2
    lost_count: Array  # int64 [], batches in which the difference was held at +-1/(6 tau)


def init(parameters: Parameters, value: Array) -> State:
    """Return the state that expects the qubit within the middle of the fringe, +-1/(8 tau), around `value`."""
    start_hz = 1.0 / (8.0 * parameters.delay_s)
    return State(value, jnp.full((), start_hz**2, dtype=jnp.float64), jnp.zeros((), dtype=jnp.int64))


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return the estimate x of the qubit's place, Hz. Without a valid shot it stays, and its variance grows."""
    delay_s, visibility = parameters.delay_s, parameters.visibility
    reach_hz = 1.0 / (6.0 * delay_s)
    shots = jnp.sum(seen.valid).astype(jnp.float64)
    in_force_hz = jnp.sum(jnp.where(seen.valid, seen.value, 0.0)) / jnp.maximum(shots, 1.0)
    expected_hz = state.frequency_hz - in_force_hz
    start_hz = jnp.clip(expected_hz, -reach_hz, reach_hz)
    phase = tau * delay_s * start_hz
    slope = pi * visibility * delay_s * jnp.cos(phase)
    gain, variance = kalman(state.variance + parameters.drift_hz**2, slope, 0.25 / shots)
    asked_hz = start_hz + gain * (seen.signal - 0.5 * visibility * jnp.sin(phase))
    detuning_hz = jnp.clip(asked_hz, -reach_hz, reach_hz)
    some = shots > 0.0
    lost = some & ((start_hz != expected_hz) | (detuning_hz != asked_hz))
    frequency_hz = jnp.where(some, in_force_hz + detuning_hz, state.frequency_hz)
    return State(frequency_hz, variance, state.lost_count + lost.astype(jnp.int64)), frequency_hz


LAW = Law(Parameters, init, step)
