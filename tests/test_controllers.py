"""Every installed law, by one generic test; then the integrators against closed forms. What tracks is in test_trackers.py.

The generic test asks what the batch process relies on: pure, one compilation, the same under jit, in Python and in a process set up
like the batch process, finite and within its limits whatever it sees.
"""

import json
import os
import subprocess
import sys
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qrt import batch
from qrt.control import step_of
from qrt.controllers import hold as hold_law
from qrt.controllers import integrator
from qrt.controllers import pi as pi_law
from tests.law_batches import (
    INSTALLED,
    LIMITS,
    SHOTS,
    START,
    closed_loop,
    observation,
    random_observation,
    steps_of,
)

OURS = {"amplitude_servo", "frequency_tracker", "hold", "integrator", "pi", "threshold_tracker"}
NAMES = [*sorted(INSTALLED), "template"]


@pytest.fixture(autouse=True)
def _wide():
    """Have 64 bits also where another test has started JAX without them."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def in_the_batch_process(project):
    """Return what `closed_loop` gives for every law, by name, in a process with the batch process's environment."""
    code = "import json, sys; sys.path[:0] = ['.']; from tests.law_batches import closed_loop; "
    code += "print(json.dumps({name: closed_loop(name) for name in sys.argv[1:]}))"
    answer = subprocess.run(
        [sys.executable, "-c", code, *NAMES],
        cwd=project,
        env={**os.environ, **batch._ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_ours_are_installed():
    assert set(INSTALLED) >= OURS


@pytest.mark.parametrize("name", NAMES)
def test_a_law_is_pure_and_compiled_once(name, rng):
    steps, step = steps_of(name)
    state = steps.init(jnp.float64(START))
    layout = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), state)
    for _ in range(8):
        seen = random_observation(rng, START)
        kept = jax.tree.map(np.array, (state, seen))
        new, action = step(state, seen)
        again, repeated = step(state, seen)
        for one, other in zip(jax.tree.leaves((new, action)), jax.tree.leaves((again, repeated)), strict=True):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
        for one, other in zip(jax.tree.leaves(kept), jax.tree.leaves((state, seen)), strict=True):
            np.testing.assert_array_equal(one, other)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), new) == layout
        assert (action.value.shape, action.value.dtype) == ((), jnp.float64)
        state = new
    assert step._cache_size() == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_law_gives_the_same_jitted_in_python_and_in_the_batch_process(name, in_the_batch_process):
    with jax.disable_jit():
        plain = closed_loop(name)
    for other in (closed_loop(name), in_the_batch_process[name]):
        for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
            assert two == pytest.approx(one, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_law_is_finite_and_within_its_limits_whatever_it_sees(name, rng):
    (steps, step), (free, free_step) = steps_of(name), steps_of(name, (None, None))
    state, loose = steps.init(jnp.float64(START)), free.init(jnp.float64(START))
    ends = np.zeros(SHOTS, dtype=bool), np.ones(SHOTS, dtype=bool)
    for value in (START, 0.0, -1.0, 1e15, -1e15, 1e-300, START):
        for scale in (0.0, 1.0, 2.0**62):
            for valid in (*ends, np.arange(SHOTS) == 5):
                seen = random_observation(rng, value, scale=scale)._replace(valid=jnp.asarray(valid))
                for level in (0, 1):
                    seen = seen._replace(bits=jnp.full_like(seen.bits, level))
                    state, action = step(state, seen)
                    assert LIMITS[0] <= float(action.value) <= LIMITS[1]
                    loose, action = free_step(loose, seen)
                    leaves = jax.tree.leaves((state, loose, action))
                    assert all(np.all(np.isfinite(np.asarray(leaf))) for leaf in leaves)


@pytest.mark.parametrize("name", NAMES)
def test_a_law_keeps_its_output_over_batches_without_a_valid_shot(name, rng):
    steps, step = steps_of(name, (None, None))
    far = 1e4  # beyond what a tracker can tell from 0, which is the mean of no value
    state, _ = step(steps.init(jnp.float64(far)), random_observation(rng, far))
    before = float(state.previous)
    for _ in range(3):
        state, action = step(state, random_observation(rng, 1e9, share=0.0))
        assert float(action.value) == before


# ---- Integrators -------------------------------------------------------------------------------------------------------


def signal_batches(signals):
    """Return observations whose bit has these means minus 1/2, with SHOTS shots each."""
    return [observation(ones=round((signal + 0.5) * SHOTS)) for signal in signals]


@cache
def steps_with(law, parameters, maximum):
    steps = step_of(law, parameters, bit=0, maximum=maximum)
    return steps, jax.jit(steps.step)


def played(law, parameters, batches, start=0.0, maximum=None):
    """Return the values [batches] of a law over given batches, and its last action."""
    steps, step = steps_with(law, parameters, maximum)
    state, values, action = steps.init(jnp.float64(start)), [], None
    for seen in batches:
        state, action = step(state, seen)
        values.append(float(action.value))
    return np.array(values), action


def test_hold_holds():
    values, _ = played(hold_law.LAW, hold_law.Parameters(), signal_batches([0.5, -0.5]), start=3.25)
    assert values.tolist() == [3.25, 3.25]


def test_an_integrator_is_a_running_sum(rng):
    signals = rng.integers(-32, 33, 30) / SHOTS
    values, _ = played(integrator.LAW, integrator.Parameters(-0.7), signal_batches(signals), start=2.0)
    np.testing.assert_allclose(values, 2.0 - 0.7 * np.cumsum(signals), rtol=1e-13)


def test_pi_is_its_closed_form_where_nothing_clamps(rng):
    signals = rng.integers(-32, 33, 30) / SHOTS
    values, _ = played(pi_law.LAW, pi_law.Parameters(0.3, -1.25, 0.5), signal_batches(signals), start=2.0)
    np.testing.assert_allclose(values, 2.0 + 0.3 * np.cumsum(signals) - 1.25 * signals, rtol=1e-13)


def test_pi_takes_back_what_was_clamped():
    # Clamped at 1: I grows by 1/2 a batch and gives back what exceeds 1, so that v is 1.5 at rest: I = 1.5 - 0.5 + 0.5.
    parameters = pi_law.Parameters(integral=1.0, back=1.0)
    signals = [0.5] * 20 + [-0.5] * 3
    values, action = played(pi_law.LAW, parameters, signal_batches(signals), maximum=1.0)
    np.testing.assert_allclose(values[:3], [0.5, 1.0, 1.0])
    np.testing.assert_allclose(values[20:], [0.5, 0.0, -0.5])  # it leaves the limit in the very batch
    assert int(action.counters["clamped_count"]) == 18
    wound, _ = played(pi_law.LAW, pi_law.Parameters(1.0, back=0.0), signal_batches(signals), maximum=1.0)
    np.testing.assert_allclose(wound[20:], [1.0, 1.0, 1.0])  # 9.5 above the limit: nineteen batches to come back
    integrated, _ = played(integrator.LAW, integrator.Parameters(1.0), signal_batches(signals), maximum=1.0)
    np.testing.assert_allclose(integrated[20:], [0.5, 0.0, -0.5])


def test_pi_without_a_valid_shot_asks_for_the_same_again():
    nothing = observation(valid=np.zeros(SHOTS, dtype=bool))
    up, down = signal_batches([0.5, -0.5])
    law, parameters = pi_law.LAW, pi_law.Parameters(1.0, 0.5)
    values, _ = played(law, parameters, [up, up, nothing, nothing, down], maximum=1.0)
    straight, _ = played(law, parameters, [up, up, down], maximum=1.0)
    np.testing.assert_allclose(values[[0, 1, 4]], straight)
    np.testing.assert_allclose(values[2:4], 1.0)
