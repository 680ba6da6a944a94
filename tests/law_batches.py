"""Batches for laws: observations made from what a test knows, and parameters where a law has no default for them."""

from functools import cache
from importlib.metadata import entry_points
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from msgspec import inspect

from qrt.control import Observation, Steps, step_of
from qrt.controllers import template

INSTALLED = {entry.name: entry for entry in entry_points(group="qrt.controllers")}
LIMITS = (0.25, 4.0)
START = 1.0
SHOTS, BITS, CAPTURES = 64, 3, 2


def observation(value: float = 0.0, *, ones: int = 0, shots: int = SHOTS, **arrays: Any) -> Observation:
    """Return a batch whose bit 0 is 1 in `ones` of its valid shots; anything may be given instead."""
    first = np.arange(shots) < ones
    seen = {
        "bits": np.repeat(first[:, None], BITS, axis=1).astype(np.uint8),
        "outcomes": np.repeat(first[:, None], CAPTURES, axis=1).astype(np.uint8),
        "iq": np.zeros((shots, CAPTURES, 2)),
        "valid": np.ones(shots, dtype=bool),
        "point": np.zeros(shots, dtype=np.int64),
        "epoch": np.zeros(shots, dtype=np.int64),
        "value": np.full(shots, value, dtype=np.float64),
        "own": np.ones(CAPTURES, dtype=bool),
        "signal": np.float64(0.0),
        "previous": np.float64(value),
    }
    return Observation(**{name: jnp.asarray(array) for name, array in (seen | arrays).items()})


def random_observation(
    rng: np.random.Generator, value: float, *, share: float = 0.9, scale: float = 1e4
) -> Observation:
    """Return a batch of chance: any bits, outcomes up to the one for `none`, iq of any size, a share of the shots valid."""
    return observation(
        value,
        bits=(rng.random((SHOTS, BITS)) < rng.random()).astype(np.uint8),
        outcomes=rng.choice([0, 1, 255], (SHOTS, CAPTURES), p=[0.45, 0.45, 0.1]).astype(np.uint8),
        iq=scale * rng.standard_normal((SHOTS, CAPTURES, 2)),
        valid=rng.random(SHOTS) < share,
        point=rng.integers(0, 9, SHOTS),
        epoch=rng.integers(0, 9, SHOTS),
    )


def some_parameters(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return parameters of this type: defaults, and for what has none a plain value within its bounds."""
    return msgspec.convert(_given(inspect.type_info(kind)), kind)


def _given(kind: inspect.Type) -> Any:
    """Return the least that must be given for a type."""
    match kind:
        case inspect.StructType():
            return {field.encode_name: _given(field.type) for field in kind.fields if field.required}
        case inspect.FloatType() | inspect.IntType():
            low = kind.ge if kind.ge is not None else kind.gt
            high = kind.le if kind.le is not None else kind.lt
            one = 1 if isinstance(kind, inspect.IntType) else 1e-3
            return min(max(one, low or 0), high if high is not None else one)
        case _:
            raise AssertionError(f"no value for {kind}; give this law a default")


@cache
def steps_of(name: str, limits: tuple[float | None, float | None] = LIMITS) -> tuple[Steps, Any]:
    """Return an installed law, or the template, with some parameters, and its step under jit."""
    law = INSTALLED[name].load() if name in INSTALLED else template.LAW
    steps = step_of(law, some_parameters(law.parameters), bit=1, minimum=limits[0], maximum=limits[1])
    return steps, jax.jit(steps.step)


def closed_loop(name: str) -> tuple[list[float], list[Any]]:
    """Return what a law gives over batches of chance, its own values in force, and the leaves of its last state."""
    rng = np.random.default_rng(1)
    steps, step = steps_of(name)
    state, value, values = steps.init(jnp.float64(START)), START, []
    for index in range(5):
        state, action = step(state, random_observation(rng, value, share=0.0 if index == 3 else 0.8))
        value = float(action.value)
        values.append(value)
    return values, [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(state)]
