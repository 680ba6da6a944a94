"""The exact product weights of shots, batch by batch, in JAX; and what is counted of them.

`product_weights` is one shot; `weight_sums` maps it over a padded batch and adds up; `compile_batch` compiles that ahead of time
for one shape, so that nothing is compiled while a lab is armed; `self_test` checks that the same input gives the same bits. The
layout of the sums and all that follows from them is in `estimate.py`.

Sums of unmitigated outcomes are whole numbers, the same in any order of adding: numpy counts them (`counts`), since to compile them
took as long as all the rest, at the start of every run.

Everything else is float64 and pure. The batch process sets JAX_ENABLE_X64 (and one thread, synchronous dispatch) in its environment before
JAX starts; importing this file changes no setting. Without 64 bits `compile_batch` refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from qrt.errors import BugError
from qrt.readout.estimate import LAG_COUNT, Observable, supports

BatchFunction = Callable[[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float64]], dict[str, Any]]


def product_weights(bits: jax.Array, tables: jax.Array, masks: jax.Array) -> jax.Array:
    """Return the weights of one shot, w_S = prod_{k in S} a_k(b_k).

    Args:
      bits: outcomes 0 or 1. uint8 [bits]
      tables: a_k(b), see `estimate.tables`. float64 [bits, 2]
      masks: which bits are in each support S. bool [supports, bits]

    Returns:
      float64 [supports]

    """
    factors = jnp.where(bits == jnp.uint8(0), tables[:, 0], tables[:, 1])
    return jnp.prod(jnp.where(masks, factors[None, :], jnp.float64(1.0)), axis=1)


def weight_sums(
    bits: jax.Array, valid: jax.Array, tables: jax.Array, masks: NDArray[np.bool_], observable_count: int
) -> dict[str, jax.Array]:
    """Return the sums of weights over one batch, of which some shots may be padding or skipped.

    Args:
      bits: uint8 [batch, bits]; invalid shots may hold anything
      valid: which shots count. bool [batch]
      tables: float64 [bits, 2]
      masks: supports, the observables first. bool [supports, bits]
      observable_count: how many of the supports are observables

    Returns:
      An array for each field of `Sums` that depends on the tables.

    """
    weights = jax.vmap(product_weights, in_axes=(0, None, None))
    weight = jnp.where(valid[:, None], weights(bits, tables, jnp.asarray(masks)), jnp.float64(0.0))
    own = weight[:, :observable_count]
    lags = jnp.arange(1, LAG_COUNT + 1)
    return {
        "weight": jnp.sum(weight, axis=0),
        "square": jnp.sum(own[:, :, None] * own[:, None, :], axis=0),
        "weight_lagged": jax.vmap(partial(_lagged, own))(lags),
    }


def _lagged(values: jax.Array, lag: jax.Array) -> jax.Array:
    """Return sum_s v[s] v[s + lag] over the batch, [columns], for values [batch, columns]."""
    padded = jnp.concatenate([values, jnp.zeros((LAG_COUNT, values.shape[1]), dtype=values.dtype)])
    return jnp.sum(values * jax.lax.dynamic_slice_in_dim(padded, lag, values.shape[0]), axis=0)


def counts(bits: NDArray[np.uint8], valid: NDArray[np.bool_], observables: Sequence[Observable]) -> dict[str, Any]:
    """Return the other fields of `Sums`: how many shots and pairs of shots there are, and the sums of unmitigated outcomes, +1 or -1.

    Of two outcomes the product is +1 where both or neither are 1, so that of an observable's bits only the parity matters. `bits` are
    uint8 [batch, bits], `valid` bool [batch]; a shot that is not valid adds nothing.
    """
    outcomes = np.zeros(
        (1 + len(observables), len(valid) + LAG_COUNT)
    )  # the first row counts; sums of whole numbers are exact
    outcomes[0, : len(valid)] = valid
    for row, one in enumerate(observables, start=1):
        outcomes[row, : len(valid)] = valid * (1.0 - 2.0 * (bits[:, one].sum(axis=1) & 1))
    later = sliding_window_view(outcomes, len(valid), axis=1)[:, 1:]  # [columns, lags, batch]
    lagged = np.einsum("clb,cb->lc", later, outcomes[:, : len(valid)])
    return {
        "shots": int(valid.sum()),
        "raw": outcomes[1:].sum(axis=1).tolist(),
        "pairs": lagged[:, 0].astype(np.int64).tolist(),
        "raw_lagged": lagged[:, 1:].tolist(),
    }


def compile_batch(batch_size: int, bit_count: int, observables: Sequence[Observable]) -> BatchFunction:
    """Return the sums of a batch for one shape, compiled: f(bits uint8 [batch, bits], valid bool [batch], tables float64 [bits, 2]).

    The result is a mapping with the names of `Sums`, of plain numbers and lists, ready for a message. The same input gives the same
    bits at each call. A wrong shape or dtype is a TypeError, never a second compilation.
    """
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise BugError("readout.mitigation needs 64-bit numbers: JAX_ENABLE_X64=1 must be set before JAX starts")
    for bits in observables:
        assert bits, "an observable has at least one bit"
        assert tuple(sorted(set(bits))) == bits, f"bits ascend: {bits}"
        assert bits[-1] < bit_count, f"{bits} of {bit_count} bits"
    if not observables or not bit_count:
        return _count_only
    masks = np.zeros((len(supports(observables)), bit_count), dtype=bool)
    for row, bits in enumerate(supports(observables)):
        masks[row, list(bits)] = True
    function = jax.jit(partial(weight_sums, masks=masks, observable_count=len(observables)))
    compiled = function.lower(
        _shape((batch_size, bit_count), jnp.uint8),
        _shape((batch_size,), jnp.bool_),
        _shape((bit_count, 2), jnp.float64),
    ).compile()
    return _Compiled(compiled, batch_size, bit_count, tuple(observables))


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


def _count_only(bits: NDArray[np.uint8], valid: NDArray[np.bool_], tables: NDArray[np.float64]) -> dict[str, Any]:
    """Return the sums of a program without observables: how many shots there were, and which pairs."""
    nothing = {"weight": [], "square": np.zeros((0, 0)).tolist(), "weight_lagged": [[] for _ in range(LAG_COUNT)]}
    return {**counts(bits, valid, ()), **nothing}


class _Compiled:
    """A compiled batch function that speaks plain Python numbers."""

    def __init__(
        self, compiled: jax.stages.Compiled, batch_size: int, bit_count: int, observables: tuple[Observable, ...]
    ) -> None:
        self._compiled = compiled
        self.batch_size = batch_size
        self.bit_count = bit_count
        self.observables = observables

    def __call__(
        self, bits: NDArray[np.uint8], valid: NDArray[np.bool_], tables: NDArray[np.float64]
    ) -> dict[str, Any]:
        sums: Mapping[str, Any] = self._compiled(bits, valid, tables)
        weights = {name: np.asarray(value).tolist() for name, value in sums.items()}
        return {**counts(bits, valid, self.observables), **weights}


def self_test(function: BatchFunction) -> dict[str, str]:
    """Return the versions that the numbers depend on, after three calls with one input gave one result; BugError if not."""
    versions = {"jax": jax.__version__, "jaxlib": version("jaxlib"), "numpy": np.__version__}
    if not isinstance(function, _Compiled):
        return versions
    shape = (function.batch_size, function.bit_count)
    pattern = np.arange(shape[0] * shape[1], dtype=np.uint64).reshape(shape) * np.uint64(0x9E3779B97F4A7C15)
    bits = (pattern >> np.uint64(63)).astype(np.uint8)
    valid = pattern[:, 0] % np.uint64(7) != 0
    tables = np.tile(np.array([[1.0 / 0.9, -1.1 / 0.9]]), (shape[1], 1))
    first = function(bits, valid, tables)
    if any(function(bits, valid, tables) != first for _ in range(2)):
        raise BugError(f"the batch function gives other bits for the same input; {versions}")
    return versions
