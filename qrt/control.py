"""Feedback across shots: what a law sees of a batch, what a law is, and how laws are put together.

A **law** is a pair of pure functions in the manner of an optimiser, `init(parameters, value)` and `step(parameters, state,
observation)`; its result is the new absolute value of one output, an `input` of the program or a threshold. It owns no thread, no clock
and no instrument. Laws live in `controllers/`, in other packages, and in users' files; finding and checking one is the business of
`qrt.laws`.

`chain`, `limit` and `every` make a law from laws. `step_of` makes the pair of functions that the batch process compiles: the law with
its parameters, the signal of its bit, its limits and its rhythm (`qrt.batch.compiled` does). Everything is pure, works under `jit` and
`vmap`, keeps its shapes, and is float64: whoever calls it has set JAX_ENABLE_X64 before JAX started, and is told with a BugError if
not.

Nothing is clamped in silence. Whatever a state counts in a field whose name ends in `_count`, at any depth, is in `Action.counters`:
how often a limit held a value back, and what a law itself had to leave out. A number that is none passes a limit as it is, for the
caller to refuse.

What is not here: refusing an update, deadlines, words of slots. The batch process does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qrt.errors import BugError

Array = jax.Array


class Observation(NamedTuple):
    """One batch as a law sees it. Lengths are fixed; padding, skipped and erased shots are in it, and not valid."""

    bits: Array  # uint8 [batch, bits]
    outcomes: Array  # uint8 [batch, captures]; 0 or 1, anything else where the shot's path had no such capture
    iq: Array  # float64 [batch, captures, 2], counts
    valid: Array  # bool [batch]
    point: Array  # int64 [batch], point of the sweep
    epoch: Array  # int64 [batch], number of the epoch in force
    value: Array  # float64 [batch], value of the controller's output in force in that shot
    own: Array  # bool [captures], those of the controller's qubit
    signal: Array  # float64 [], what to act on: mean of a bit over valid shots minus setpoint, or what the law before gave; 0 without one
    previous: (
        Array  # float64 [], what this law's last step led to, limits included; with a delay it is not in force yet
    )


class Law(NamedTuple):
    """A feedback law. State is a NamedTuple of arrays whose shapes and dtypes never change."""

    parameters: type[msgspec.Struct]  # frozen, forbid_unknown_fields, bounds as msgspec.Meta
    init: Callable[[Any, Array], Any]  # (parameters, value float64 []) -> state
    step: Callable[[Any, Any, Observation], tuple[Any, Array]]  # -> state, new absolute value of the output, float64 []


class Action(NamedTuple):
    """What a step decided."""

    value: Array  # float64 [], absolute; within the limits, or not finite, and then to be refused
    counters: dict[
        str, Array
    ]  # int64 [], sums since the start of all fields of the state that end in `_count`, by name


class Steps(NamedTuple):
    """A configured law, ready to be compiled: pure functions of arrays alone."""

    init: Callable[[Array], Any]  # value float64 [] -> state
    step: Callable[
        [Any, Observation], tuple[Any, Action]
    ]  # `own` is the caller's; `signal` and `previous` are filled in here


# ---- Combinators -------------------------------------------------------------------------------------------------------


class Chained(NamedTuple):
    """State of a chain."""

    first: Any
    second: Any
    between: Array  # float64 [], what `first` gave last


class Limited(NamedTuple):
    """State of a limit."""

    inner: Any
    clamped_count: Array  # int64 []


class Paced(NamedTuple):
    """State of `every`."""

    inner: Any
    value: Array  # float64 [], kept between steps
    phase: Array  # int64 [], batches since the last step


def chain(first: Law, second: Law) -> Law:
    """Return the law in which `second` acts on what `first` gives: a filter before a controller, an outer loop before an inner one.

    The parameters are two tables, `first` and `second`. `first` starts from 0, for what it gives is a signal; the output is that of
    `second`, which sees a signal of 0 without a valid shot, whatever `first` gives.
    """
    tables = [(name, law.parameters) for name, law in (("first", first), ("second", second))]
    fields = [
        (name, kind, msgspec.field(default_factory=kind)) if _has_defaults(kind) else (name, kind)
        for name, kind in tables
    ]
    parameters = msgspec.defstruct("Chain", fields, frozen=True, forbid_unknown_fields=True, kw_only=True)

    def init(given: Any, value: Array) -> Chained:
        nothing = jnp.zeros((), dtype=jnp.float64)
        return Chained(first.init(given.first, nothing), second.init(given.second, value), nothing)

    def step(given: Any, state: Chained, seen: Observation) -> tuple[Chained, Array]:
        one, between = first.step(given.first, state.first, seen._replace(previous=state.between))
        signal = jnp.where(jnp.any(seen.valid), between, jnp.zeros_like(between))
        two, value = second.step(given.second, state.second, seen._replace(signal=signal))
        return Chained(one, two, between), value

    return Law(parameters, init, step)


def limit(law: Law, minimum: float | None = None, maximum: float | None = None) -> Law:
    """Return the law with its value held within minimum..maximum, each clamp counted. What is not finite is let through, to be refused."""
    lowest = -jnp.inf if minimum is None else minimum
    highest = jnp.inf if maximum is None else maximum
    assert lowest <= highest, f"{minimum} to {maximum} holds no value"

    def init(given: Any, value: Array) -> Limited:
        return Limited(law.init(given, value), jnp.zeros((), dtype=jnp.int64))

    def step(given: Any, state: Limited, seen: Observation) -> tuple[Limited, Array]:
        inner, value = law.step(given, state.inner, seen)
        within = jnp.where(jnp.isfinite(value), jnp.clip(value, lowest, highest), value)
        clamped = jnp.isfinite(value) & (within != value)
        return Limited(inner, state.clamped_count + clamped.astype(jnp.int64)), within

    return Law(law.parameters, init, step)


def every(law: Law, batches: int) -> Law:
    """Return the law that steps at the first batch and at every `batches`-th after it, on that batch alone; else its value stays.

    With batches = d + 1, d the delay, each step sees what the step before it did, and nothing older: a loop without delay, slower.
    """
    assert batches >= 1, f"every {batches} batches"

    def init(given: Any, value: Array) -> Paced:
        return Paced(law.init(given, value), value, jnp.zeros((), dtype=jnp.int64))

    def step(given: Any, state: Paced, seen: Observation) -> tuple[Paced, Array]:
        inner, value = law.step(given, state.inner, seen)
        due = state.phase == 0
        inner, value = jax.tree.map(
            lambda new, old: jnp.where(due, new, old), (inner, value), (state.inner, state.value)
        )
        return Paced(inner, value, (state.phase + 1) % batches), value

    return Law(law.parameters, init, step)


# ---- What the batch process steps --------------------------------------------------------------------------------------


class Stepped(NamedTuple):
    """State of a configured law."""

    inner: Any
    previous: Array  # float64 []


def mean_signal(bits: Array, valid: Array, bit: int, setpoint: float) -> Array:
    """Return the mean of a bit over the valid shots minus the setpoint, float64 []; 0 where no shot is valid.

    Args:
      bits: uint8 [batch, bits]
      valid: bool [batch]
      bit: which column
      setpoint: the mean that is wanted

    """
    shots = jnp.sum(valid).astype(jnp.float64)
    ones = jnp.sum(valid & (bits[:, bit] != jnp.uint8(0))).astype(jnp.float64)
    return jnp.where(shots > 0.0, ones / jnp.maximum(shots, 1.0) - setpoint, 0.0)


def step_of(
    law: Law,
    parameters: msgspec.Struct,
    *,
    bit: int | None = None,
    setpoint: float = 0.5,
    minimum: float | None = None,
    maximum: float | None = None,
    every_batches: int = 1,
) -> Steps:
    """Return the configured law.

    Args:
      law: what steps
      parameters: of the type law.parameters
      bit: column of `bits` that the signal is the mean of; None: the signal is 0, and the law looks at the rest
      setpoint: mean of that bit that is wanted
      minimum: the output is never below it, in the output's unit
      maximum: the output is never above it
      every_batches: step at every so many batches

    The functions raise TypeError, while they are traced, where the law gives something else than a float64 [], or a state of other
    structure, shapes or dtypes than its init's.

    """
    if jnp.zeros(0, dtype=float).dtype != jnp.float64:
        raise BugError("qrt.control needs 64-bit numbers: JAX_ENABLE_X64=1 must be set before JAX starts")
    made = limit(every(_keeping(law), every_batches), minimum, maximum)

    def init(value: Array) -> Stepped:
        start = jnp.asarray(value, dtype=jnp.float64)
        return Stepped(made.init(parameters, start), start)

    def step(state: Stepped, seen: Observation) -> tuple[Stepped, Action]:
        signal = jnp.zeros((), dtype=jnp.float64) if bit is None else mean_signal(seen.bits, seen.valid, bit, setpoint)
        inner, value = made.step(parameters, state.inner, seen._replace(signal=signal, previous=state.previous))
        return Stepped(inner, value), Action(value, _counters(inner))

    return Steps(init, step)


def blank(batch_shots: int, bit_count: int, capture_count: int) -> Observation:
    """Return an observation of numpy zeros: no shot is valid. Its arrays are buffers to be filled, and its shapes those to compile for."""
    kinds: dict[str, tuple[tuple[int, ...], type]] = {
        "bits": ((batch_shots, bit_count), np.uint8),
        "outcomes": ((batch_shots, capture_count), np.uint8),
        "iq": ((batch_shots, capture_count, 2), np.float64),
        "valid": ((batch_shots,), np.bool_),
        "point": ((batch_shots,), np.int64),
        "epoch": ((batch_shots,), np.int64),
        "value": ((batch_shots,), np.float64),
        "own": ((capture_count,), np.bool_),
        "signal": ((), np.float64),
        "previous": ((), np.float64),
    }
    made: dict[str, Any] = {name: np.zeros(shape, dtype=kind) for name, (shape, kind) in kinds.items()}
    return Observation(**made)


def trace(steps: Steps, seen: Observation) -> None:
    """Trace init and step once for these shapes, computing nothing; raises whatever the law raises, and TypeError as `step_of` says."""
    jax.eval_shape(steps.step, jax.eval_shape(steps.init, np.float64(0.0)), seen)


# ---- Arithmetic that several laws share --------------------------------------------------------------------------------


def kalman(variance: Array, slope: Array, noise: Array) -> tuple[Array, Array]:
    """Return (gain, variance after) of a scalar measurement: K = P h / (h^2 P + r), P' = (1 - K h) P.

    Args:
      variance: of the estimate before, P >= 0
      slope: of what is measured against what is estimated, h
      noise: variance of the measurement, r > 0; infinite for none at all: the gain is then 0

    In steady state with a random walk of variance q a step and h = 1, P' = (-q + sqrt(q^2 + 4 q r)) / 2 (the scalar Riccati equation).

    """
    gain = variance * slope / (slope * slope * variance + noise)
    return gain, (1.0 - gain * slope) * variance


def _keeping(law: Law) -> Law:
    """Return the law with arrays of dtypes of their own for every number, and a TypeError where it breaks its word on shapes."""

    def init(given: Any, value: Array) -> Any:
        return jax.tree.map(_strong, law.init(given, value))

    def step(given: Any, state: Any, seen: Observation) -> tuple[Any, Array]:
        inner, value = jax.tree.map(_strong, law.step(given, state, seen))
        if not isinstance(value, Array) or (value.shape, value.dtype) != ((), jnp.float64):
            raise TypeError(f"step gave {_layout(value)} for its value; a law gives float64[]")
        if (now := _layout(inner)) != (before := _layout(state)):
            raise TypeError(f"step made a state of {now}; init made {before}, and a state keeps its shapes and dtypes")
        return inner, value

    return Law(law.parameters, init, step)


def _has_defaults(kind: type[msgspec.Struct]) -> bool:
    """Say whether no field must be given."""
    return not any(field.required for field in msgspec.structs.fields(kind))


def _strong(leaf: Any) -> Array:
    """Return a leaf as an array with a dtype of its own: the weak one of a Python number would be compiled for anew."""
    return jnp.asarray(leaf, dtype=jnp.result_type(leaf))


def _told(leaf: Array) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _layout(state: Any) -> str:
    """Return structure, dtypes and shapes of a state as text."""
    return str(jax.tree.map(_told, state))


def _counters(state: Any) -> dict[str, Array]:
    """Return the sums of a state's counts, by name."""
    found: dict[str, list[Array]] = {}
    for name, count in _counts(state):
        found.setdefault(name, []).append(jnp.asarray(count, dtype=jnp.int64))
    return {name: reduce(jnp.add, counts) for name, counts in sorted(found.items())}


def _counts(state: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of the NamedTuples inside a state that end in `_count`."""
    if not isinstance(state, tuple):
        return
    names = getattr(state, "_fields", ("",) * len(state))
    for name, part in zip(names, state, strict=True):
        if name.endswith("_count"):
            yield name, part
        else:
            yield from _counts(part)
