"""The laws of a run, compiled ahead for one shape, and tried. Only the batch process imports this, since JAX starts here.

`qrt.laws` finds and checks them. Whatever is wrong with one, from a file that does not import to a function that gives different
results for the same batch, is told before the first pulse. After that nothing is compiled: `compilations` counts, and a count that moves
while the lab is armed ends the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import monitoring
from numpy.typing import NDArray

from qrt.batch.gathering import Shots
from qrt.batch.messages import STATE_BYTES_MAX, Asked, Shape
from qrt.control import Array, Observation, Steps, blank
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


class Stepped(NamedTuple):
    """What a law made of a batch."""

    state: Leaves
    value: float
    counters: dict[str, int]  # what it has counted
    sound: bool  # its state holds no NaN


class CompiledLaw:
    """A controller's law, configured and compiled for one shape; its state is a list of arrays, which the caller keeps.

    Pure like the law. Another shape or dtype is a TypeError, never a second compilation. What is the same for every batch is compiled
    in, and lists go in and out: taking named tuples apart had cost as much as the law itself.
    """

    def __init__(self, asked: Asked, steps: Steps, shape: Shape) -> None:
        self.asked = asked
        seen = blank(shape.batch_shots, shape.bit_count, shape.capture_count)
        state = jax.eval_shape(steps.init, seen.signal)
        kinds, tree = jax.tree.flatten(state)
        own, nothing = np.asarray(asked.own, bool), np.float64(0.0)  # nothing: the configured law fills these in

        def step(leaves: list[Array], shots: Shots, value: Array) -> tuple[list[Array], Array, dict[str, Array], Array]:
            in_force = jnp.broadcast_to(value, (shape.batch_shots,))
            arrays: Any = (*shots, in_force, own, nothing, nothing)
            after, action = steps.step(jax.tree.unflatten(tree, leaves), Observation(*arrays))
            found = jax.tree.leaves(after)
            unsound = [jnp.any(jnp.isnan(leaf)) for leaf in found if leaf.dtype.kind in "fc"]
            return found, action.value, action.counters, ~jnp.any(jnp.array(unsound, bool))

        shots: Any = seen[: len(Shots._fields)]
        self._init = jax.jit(steps.init).lower(seen.signal).compile()
        self._step = jax.jit(step).lower(kinds, Shots(*shots), seen.signal).compile()
        self._types = [(np.dtype(kind.dtype), kind.shape) for kind in kinds]
        self.state_bytes = sum(math.prod(size) * dtype.itemsize for dtype, size in self._types)

    def init(self, value: float) -> Leaves:
        """Return the first state."""
        return [np.asarray(leaf) for leaf in jax.tree.leaves(self._init(np.float64(value)))]

    def step(self, state: Leaves, shots: Shots, value: float) -> Stepped:
        """Return what the law makes of a batch with this value of its own output in force. Raises whatever the law raises."""
        leaves, after, counters, sound = self._step(state, shots, np.float64(value))
        counted = {name: int(count) for name, count in counters.items()}
        return Stepped([np.asarray(leaf) for leaf in leaves], float(after), counted, bool(sound))

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
    seen = blank(shape.batch_shots, shape.bit_count, shape.capture_count)
    for asked in shape.controllers:
        rhythm = Rhythm(asked.bit, asked.setpoint, asked.minimum, asked.maximum, asked.every)
        tell(asked.name, "compiled")
        try:
            law = CompiledLaw(
                asked, assemble(asked.name, asked.law, asked.parameters, rhythm, seen, source=asked.source), shape
            )
        except ConfigError as error:
            problems += str(error).splitlines()
            continue
        laws.append(law)
        tell(asked.name, "tried")
        if wrong := tried(law, shape):
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


def tried(law: CompiledLaw, shape: Shape) -> str:
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
        first, *others = [_bits(law.step(law.init(value), nothing, value)) for _ in range(3)]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's law raises
        return f"fails on a batch of zeros: {reason_of(error)}"
    return (
        "" if all(other == first for other in others) else "gives different results for the same batch; it must be pure"
    )


def _bits(after: Stepped) -> tuple[Any, ...]:
    """Return a result as something that is equal only if every bit is, NaN included."""
    return [leaf.tobytes() for leaf in after.state], np.float64(after.value).tobytes(), after.counters
