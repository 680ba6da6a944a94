"""threshold_tracker: keeps a qubit's threshold midway between its two clouds, which drift along the discriminator's axis.

The output is `threshold.<qubit>`, in counts of iq[0], the axis along which the kernel decides (outcome 1 above the threshold). Of each
batch, over all captures of the qubit in valid shots, the outcomes as decided split the points into two classes of n0 and n1:

    m_c = mean of iq[0] over class c,    s^2 = pooled variance within the classes
    P_c- = P_c + drift^2,   K_c = P_c- / (P_c- + 1/n_c),   c_c += K_c (m_c - c_c),   P_c = (1 - K_c) P_c-
    threshold = (c_0 + c_1) / 2

one scalar Kalman filter a centre, taken for a random walk, with variances in units of s^2; where the classes keep their sizes it is
the exponential average with weight K.
Unlike a law that acts on outcomes alone it needs no setpoint: where the clouds are, the points say.

A batch teaches nothing, and is counted (`held_count`), unless both classes hold at least `share` of 16 points or more and their means
are `separation` widths s apart. A single cloud cut in two anywhere with 5 % or more on each side has 2.75 widths at most, so that a
qubit which is never excited does not pull its threshold into the cloud of level 0.

Limits of the method. Classes are cut at the threshold, so their means are those of cut clouds: with equal shares the errors cancel by
symmetry; with unequal ones the fixed point lies off the middle, by 0.08 s for clouds 5 s apart with one in ten excited (two-means
clustering; tests/test_trackers.py solves for it). Points that decayed during the capture pull in the same way. Source: Kalman, J.
Basic Eng. 82 (1960) 35; classes by decision: Lloyd, IEEE Trans. Inf. Theory 28 (1982) 129.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import jax.numpy as jnp
import msgspec

from qrt.control import Array, Law, Observation, kalman

POINTS_MIN: Final = 16.0  # fewer give no width worth the name


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything is in units of what the clouds themselves show."""

    drift: Annotated[float, msgspec.Meta(ge=0.0, le=10.0)] = (
        0.01  # rms step of a centre from batch to batch, in widths of a cloud
    )
    share: Annotated[float, msgspec.Meta(ge=0.01, le=0.5)] = 0.05  # of the points, in the smaller class
    separation: Annotated[float, msgspec.Meta(ge=0.0, le=100.0)] = 3.5  # of the classes, in widths


class State(NamedTuple):
    """The two centres."""

    centres: Array  # float64 [2], counts, of level 0 and 1
    variance: Array  # float64 [2], P, squares of a cloud's width
    seen: Array  # bool [], whether the centres are known
    held_count: Array  # int64 [], batches that taught nothing


def init(parameters: Parameters, value: Array) -> State:
    """Return the state that has seen nothing yet."""
    zeros = jnp.zeros(2, dtype=jnp.float64)
    return State(zeros, zeros, jnp.zeros((), dtype=jnp.bool_), jnp.zeros((), dtype=jnp.int64))


def step(parameters: Parameters, state: State, seen: Observation) -> tuple[State, Array]:
    """Return the middle between the centres, counts; the value as it was until both were seen."""
    mine = seen.valid[:, None] & seen.own[None, :]
    place = seen.iq[:, :, 0]
    classes = [mine & (seen.outcomes == jnp.uint8(level)) for level in (0, 1)]
    counts = jnp.stack([jnp.sum(one).astype(jnp.float64) for one in classes])
    divisors = jnp.maximum(counts, 1.0)
    means = jnp.stack([jnp.sum(jnp.where(one, place, 0.0)) for one in classes]) / divisors
    squares = [jnp.sum(jnp.where(one, (place - mean) ** 2, 0.0)) for one, mean in zip(classes, means, strict=True)]
    points = counts[0] + counts[1]
    width = jnp.sqrt((squares[0] + squares[1]) / jnp.maximum(points - 2.0, 1.0))
    apart = means[1] - means[0] >= parameters.separation * width
    good = (points >= POINTS_MIN) & (jnp.min(counts) >= parameters.share * points) & apart
    before = state.variance + parameters.drift**2
    gain, after = kalman(before, jnp.ones_like(means), 1.0 / divisors)
    centres = jnp.where(state.seen, state.centres + gain * (means - state.centres), means)
    variance = jnp.where(state.seen, after, 1.0 / divisors)
    new = State(
        centres=jnp.where(good, centres, state.centres),
        variance=jnp.where(good, variance, before),
        seen=state.seen | good,
        held_count=state.held_count + (~good).astype(jnp.int64),
    )
    return new, jnp.where(new.seen, jnp.mean(new.centres), seen.previous)


LAW = Law(Parameters, init, step)
