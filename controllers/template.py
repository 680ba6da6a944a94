"""NAME: says here, in one line, what the law keeps where.

    u[k+1] = u[k] + gain * signal[k]    where |signal| is above dead_band, else u[k]

This file works as it is: an integrator that leaves small signals alone. Change the equation, its units, the parameters and the state.
To use it, name the file in a lab's [controllers.<name>] as `law`, or after --controller; a package of your own can offer its laws under
names of their own, as entry points of the group qrt.controllers.

A law is two pure functions of arrays (JAX, float64). Of everything that may change, it knows what it is given: no clock, no file, no
global. Branches on values are `jnp.where`, never `if`; a batch may have no valid shot; the state keeps its shapes and dtypes. A field
of the state whose name ends in `_count` is shown with every action and goes into the record.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import msgspec

from qrt.control import Array, Law, Observation


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a lab may set, each with unit and bounds; one without a default must be given."""

    gain: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] = 0.1  # output's unit per unit of signal
    dead_band: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.0  # in units of the signal


class State(NamedTuple):
    """What the law remembers from batch to batch."""

    quiet_count: Array  # int64 [], batches in which the signal was left alone


def init(parameters: Parameters, value: Array) -> State:
    """Return the state at the beginning; `value` is the output in force then, float64 []."""
    return State(jnp.zeros((), dtype=jnp.int64))


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return the state after a batch and the new absolute value of the output, float64 []."""
    moved = jnp.abs(seen.signal) > parameters.dead_band
    value = seen.previous + jnp.where(moved, parameters.gain * seen.signal, 0.0)
    return State(state.quiet_count + (~moved).astype(jnp.int64)), value


LAW = Law(Parameters, init, step)
