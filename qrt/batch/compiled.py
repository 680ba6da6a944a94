"""The laws of a run, compiled ahead for one shape, and tried. Only the batch process imports this, since JAX starts here.

`qrt.laws` finds and checks them. Whatever is wrong with one, from a file that does not import to a function that gives different
results for the same batch, is told before the first pulse. After that nothing is compiled: `compilations` counts, and a count that moves
while the lab is armed ends the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import jax
import numpy as np
from jax import monitoring
from numpy.typing import NDArray

from qrt.batch.gathering import Shots
from qrt.batch.messages import STATE_BYTES_MAX, Asked, Shape
from qrt.control import Observation, Steps, shapes
from qrt.errors import ConfigError
from qrt.laws import Rhythm, assemble

COMPILED: Final = (
    "/jax/core/compile/backend_compile_duration"  # what JAX reports every compilation as (jax._src.dispatch)
)
REASON_MAX: Final = 300  # characters

Leaves = list[NDArray[Any]]
_compilations = [0]


def _count(event: str, duration_secs: float, **_: Any) -> None:
    _compilations[0] += event == COMPILED


monitoring.register_event_duration_secs_listener(_count)


def compilations() -> int:
    """Return how many functions this process has compiled."""
    return _compilations[0]


class CompiledLaw:
    """A controller's law, configured and compiled for one shape; its state is a list of arrays."""

    def __init__(self, asked: Asked, steps: Steps, shape: Shape) -> None:
        self.asked = asked
        seen = shapes(shape.batch_shots, shape.bit_count, shape.capture_count)
        state = jax.eval_shape(steps.init, seen.signal)
        self._init = jax.jit(steps.init).lower(seen.signal).compile()
        self._step = jax.jit(steps.step).lower(state, seen).compile()
        leaves, self._tree = jax.tree.flatten(state)
        self._types = [(np.dtype(leaf.dtype), leaf.shape) for leaf in leaves]
        self.state_bytes = sum(math.prod(size) * dtype.itemsize for dtype, size in self._types)
        self._own = np.asarray(asked.own, bool)

    def init(self, value: float) -> Leaves:
        """Return the first state."""
        return [np.asarray(leaf) for leaf in jax.tree.leaves(self._init(np.float64(value)))]

    def step(self, state: Leaves, shots: Shots, value: NDArray[np.float64]) -> tuple[Leaves, float, dict[str, int]]:
        """Return the next state, the new value and what the law has counted. Raises whatever the law raises.

        value: float64 [batch], of its own output in force in each shot.
        """
        nothing: Any = np.float64(0.0)  # signal and previous: the configured law fills them in
        arrays: Any = (*shots, value, self._own, nothing, nothing)
        seen = Observation(*arrays)
        after, action = self._step(jax.tree.unflatten(self._tree, state), seen)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(after)]
        return leaves, float(action.value), {name: int(count) for name, count in action.counters.items()}

    def restored(self, state: list[tuple[str, list[int], bytes]]) -> Leaves:
        """Return a state that another process has sent."""
        found = [np.frombuffer(data, dtype).reshape(size) for dtype, size, data in state]
        assert [(leaf.dtype, leaf.shape) for leaf in found] == self._types
        return found


def compiled_laws(shape: Shape, tell: Callable[[str, str], None]) -> tuple[list[CompiledLaw], list[str]]:
    """Return the laws of the controllers, compiled and tried; and what is wrong with them, a line each.

    `tell` is called with a controller and what is about to be done with its law, `compiled` or `tried`: either may never return. An
    empty name says that all are done.
    """
    laws: list[CompiledLaw] = []
    problems: list[str] = []
    seen = shapes(shape.batch_shots, shape.bit_count, shape.capture_count)
    for asked in shape.controllers:
        rhythm = Rhythm(asked.bit, asked.setpoint, asked.minimum, asked.maximum, asked.every)
        tell(asked.name, "compiled")
        try:
            law = CompiledLaw(asked, assemble(asked.name, asked.law, asked.parameters, rhythm, seen), shape)
        except ConfigError as error:
            problems += str(error).splitlines()
            continue
        laws.append(law)
        tell(asked.name, "tried")
        if wrong := _tried(law, shape):
            problems.append(f"controllers.{asked.name}.law: {asked.law} {wrong}")
    tell("", "")
    size = sum(law.state_bytes for law in laws)
    if size > STATE_BYTES_MAX:
        problems.append(f"controllers: their states take {size} bytes together; at most {STATE_BYTES_MAX} are possible")
    return laws, problems


def reason_of(error: BaseException) -> str:
    """Return what an exception says in one line: where JAX wraps that of a callback, the last one has it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [] if isinstance(error, jax.errors.JaxRuntimeError) else [type(error).__name__]
    return f"raised {': '.join([*said, *lines[-1:]])}"[:REASON_MAX]


def _tried(law: CompiledLaw, shape: Shape) -> str:
    """Return what is wrong with what a law gives for a batch in which nothing has happened, three times; nothing if all is well."""
    batch, captures, asked = shape.batch_shots, shape.capture_count, law.asked
    nothing = Shots(
        np.zeros((batch, shape.bit_count), np.uint8),
        np.zeros((batch, captures), np.uint8),
        np.zeros((batch, captures, 2)),
        np.ones(batch, bool),
        np.zeros(batch, np.int64),
        np.zeros(batch, np.int64),
    )
    value = 0.0 if asked.maximum is None else min(0.0, asked.maximum)
    value = value if asked.minimum is None else max(value, asked.minimum)
    try:
        first, *others = [_bits(*law.step(law.init(value), nothing, np.full(batch, value))) for _ in range(3)]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's law raises
        return f"fails on a batch of zeros: {reason_of(error)}"
    return (
        "" if all(other == first for other in others) else "gives different results for the same batch; it must be pure"
    )


def _bits(state: Leaves, value: float, counters: dict[str, int]) -> tuple[Any, ...]:
    """Return a result as something that is equal only if every bit is, NaN included."""
    return [leaf.tobytes() for leaf in state], np.float64(value).tobytes(), counters
