"""Combinators, the signal, and whole loops with a delay against the difference equations that they should follow."""

import itertools
from math import pi, sin
from typing import NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

from qrt.batch import Asked, Shape
from qrt.batch.compiled import CompiledLaw, tried
from qrt.batch.gathering import Shots
from qrt.control import (
    Array,
    Law,
    blank,
    chain,
    every,
    kalman,
    limit,
    mean_signal,
    step_of,
    trace,
)
from qrt.controllers.integrator import LAW as INTEGRATOR
from qrt.controllers.integrator import Parameters as Gain
from qrt.errors import BugError
from tests.law_batches import BITS, CAPTURES, SHOTS, observation


@pytest.fixture(autouse=True)
def _wide():
    """Have 64 bits also where another test has started JAX without them."""
    with jax.enable_x64(True):
        yield


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Seen(NamedTuple):
    signals: Array  # float64 [], sum of the signals
    odd_count: Array  # int64 [], batches


def counting(parameters, state, seen):
    """Return the sum of all signals since the start."""
    state = Seen(state.signals + seen.signal, state.odd_count + 1)
    return state, state.signals


COUNTING = Law(Nothing, lambda parameters, value: Seen(value, jnp.zeros((), dtype=jnp.int64)), counting)
GIVING = Law(Nothing, lambda parameters, value: Seen(value, jnp.int64(0)), lambda p, state, seen: (state, seen.signal))


def half(sign=1):
    """Return a batch whose signal is +-1/2."""
    return observation(ones=SHOTS if sign > 0 else 0)


NO_SHOT = observation(valid=np.zeros(SHOTS, dtype=bool))


def values(steps, batches, start=0.0):
    state, found, action = steps.init(jnp.float64(start)), [], None
    for seen in batches:
        state, action = steps.step(state, seen)
        found.append(float(action.value))
    return found, {name: int(count) for name, count in action.counters.items()}


# ---- The signal --------------------------------------------------------------------------------------------------------


def test_the_signal_is_the_mean_over_valid_shots_minus_the_setpoint(rng):
    bits, valid = rng.integers(0, 2, (SHOTS, BITS)).astype(np.uint8), rng.random(SHOTS) < 0.5
    for bit in range(BITS):
        seen = mean_signal(jnp.asarray(bits), jnp.asarray(valid), bit, 0.3)
        assert float(seen) == pytest.approx(bits[valid, bit].mean() - 0.3, rel=1e-14)
    assert float(mean_signal(jnp.asarray(bits), jnp.zeros(SHOTS, bool), 0, 0.3)) == 0.0


def test_a_controller_without_a_bit_sees_a_signal_of_zero():
    found, _ = values(step_of(GIVING, Nothing()), [half()], start=3.0)
    assert found == [0.0]


# ---- Combinators -------------------------------------------------------------------------------------------------------


def test_a_limit_clamps_and_counts_and_lets_what_is_no_number_through():
    def giving(number):
        return Law(Nothing, COUNTING.init, lambda p, state, seen: (state, jnp.float64(number)))

    for number, kept, count in ((5.0, 2.0, 1), (-5.0, -1.0, 1), (0.5, 0.5, 0), (2.0, 2.0, 0)):
        found, counters = values(step_of(giving(number), Nothing(), minimum=-1.0, maximum=2.0), [half()])
        assert (found, counters["clamped_count"]) == ([kept], count)
    for number in (np.nan, np.inf, -np.inf):
        found, counters = values(step_of(giving(number), Nothing(), minimum=-1.0, maximum=2.0), [half()])
        np.testing.assert_equal(found, [number])
        assert counters["clamped_count"] == 0
    assert values(step_of(giving(1e300), Nothing()), [half()])[0] == [1e300]


def test_every_steps_at_the_first_batch_and_each_nth_after_it():
    found, counters = values(step_of(COUNTING, Nothing(), bit=0, every_batches=3), [half()] * 7)
    assert found == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.5]
    assert counters["odd_count"] == 3


def test_a_chain_hands_on_and_each_part_has_its_own_parameters():
    law = chain(INTEGRATOR, INTEGRATOR)
    parameters = msgspec.convert({"first": {"gain": 2.0}, "second": {"gain": -1.0}}, law.parameters)
    found, _ = values(step_of(law, parameters, bit=0), [half()] * 3, start=10.0)
    assert found == [9.0, 7.0, 4.0]  # first: 1, 2, 3, from zero; the second sums them with the other sign, from 10
    found, _ = values(step_of(law, parameters, bit=0), [half(), NO_SHOT, half()], start=10.0)
    assert found == [9.0, 9.0, 7.0]
    with pytest.raises(msgspec.ValidationError, match=r"missing required field `gain` - at `\$.second`"):
        msgspec.convert({"first": {"gain": 2.0}, "second": {}}, law.parameters)
    assert chain(COUNTING, GIVING).parameters().first == Nothing()  # all defaults: nothing need be given


def test_counts_are_found_at_any_depth_and_added_by_name():
    law = chain(limit(COUNTING, maximum=0.25), every(limit(COUNTING, maximum=0.5), 2))
    found, counters = values(step_of(law, law.parameters(), bit=0, maximum=0.4), [half()] * 3)
    assert found == [0.25, 0.25, 0.4]
    assert counters == {"clamped_count": 3 + 0 + 1, "odd_count": 3 + 2}


def test_what_the_limits_left_is_what_the_next_step_starts_from():
    steps = step_of(INTEGRATOR, Gain(1.0), bit=0, maximum=1.0)
    found, counters = values(steps, [half()] * 4 + [half(-1)])
    assert found == [0.5, 1.0, 1.0, 1.0, 0.5]
    assert counters == {"clamped_count": 2}


def test_kalman_is_the_textbooks_scalar():
    # Bayes for Gaussians: 1/P' = 1/P + h^2/r, and the mean is weighted by precision.
    gain, after = kalman(jnp.float64(4.0), jnp.float64(-3.0), jnp.float64(2.0))
    assert float(after) == pytest.approx(1.0 / (1.0 / 4.0 + 9.0 / 2.0), rel=1e-14)
    assert float(gain) == pytest.approx(float(after) * -3.0 / 2.0, rel=1e-14)
    gain, after = kalman(jnp.float64(4.0), jnp.float64(-3.0), jnp.float64(np.inf))
    assert (float(gain), float(after)) == (0.0, 4.0)


# ---- What is refused while it is traced --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda p, state, seen: (state, jnp.float32(1)), r"step gave float32\[\] for its value; a law gives float64\[\]"),
        (lambda p, state, seen: (state, jnp.zeros(1)), r"step gave float64\[1\]"),
        (lambda p, state, seen: (state, seen.bits[0, 0]), r"step gave uint8\[\]"),
        (lambda p, state, seen: (state, ()), r"step gave \(\) for its value"),
        (lambda p, state, seen: (state._replace(signals=jnp.zeros(2)), seen.signal), "step made a state of Seen.*a state keeps its"),
        (lambda p, state, seen: (state._replace(odd_count=jnp.int32(1)), seen.signal), r"odd_count='int32\[\]'"),
        (lambda p, state, seen: ((state, 1), seen.signal), "step made a state of"),
        (lambda p, state, seen: seen.signal, "."),
        (lambda p, state, seen: (state, 1.0 / 0.0), "division"),
    ],
)  # fmt: skip
def test_a_law_that_breaks_its_word_on_shapes_is_told_so_while_it_is_traced(step, said):
    steps = step_of(COUNTING._replace(step=step), Nothing(), bit=0, every_batches=2, maximum=1.0)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError), match=said):
        trace(steps, blank(SHOTS, BITS, CAPTURES))


def test_python_numbers_are_arrays_of_one_dtype_and_compile_once():
    law = Law(Nothing, lambda p, value: (0, 1.5), lambda p, state, seen: ((state[0] + 1, state[1] * 2.0), 7.0))
    steps = step_of(law, Nothing(), bit=0)
    trace(steps, blank(SHOTS, BITS, CAPTURES))
    step, state = jax.jit(steps.step), steps.init(jnp.float64(0.0))
    for _ in range(3):
        state, action = step(state, half())
    assert step._cache_size() == 1
    assert (int(state.inner.inner.inner[0]), float(state.inner.inner.inner[1]), float(action.value)) == (3, 12.0, 7.0)


def test_a_blank_batch_has_the_shapes_and_dtypes_of_any():
    made, real = blank(SHOTS, BITS, CAPTURES), observation()
    assert [(one.shape, one.dtype) for one in made] == [(one.shape, one.dtype) for one in real]
    assert not made.valid.any()
    made.valid[:3] = True  # a buffer to be filled


ASKED = Asked("law", "law", "out", 0, (True,) * CAPTURES, 0.5, None, None, 1, {})
SHAPE = Shape(BITS, (), SHOTS, CAPTURES, (ASKED,))


def compiled(steps):
    return CompiledLaw(ASKED, steps, SHAPE)


def test_a_compiled_law_steps_as_the_law_does_and_never_compiles_again(rng):
    law = chain(INTEGRATOR, every(limit(COUNTING, maximum=0.75), 2))
    steps = step_of(law, law.parameters(first=Gain(1.0)), bit=0, maximum=2.0)
    made = compiled(steps)
    batches = [observation(0.1 * k, ones=k) for k in rng.integers(0, SHOTS, 7)]
    wanted, counters = values(steps, batches, start=0.3)
    state, found, counts = made.init(0.3), [], {}
    for seen in batches:
        shots = Shots(*map(np.asarray, seen[: len(Shots._fields)]))
        sent = [(leaf.dtype.str, list(leaf.shape), leaf.tobytes()) for leaf in state]
        again = made.step(made.restored(sent), shots, float(seen.value[0]))  # as another process would go on with it
        state, value, counts, sound = made.step(state, shots, float(seen.value[0]))
        assert [leaf.tobytes() for leaf in again.state] == [leaf.tobytes() for leaf in state]
        assert again.value == value
        assert sound
        found.append(value)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert counts == counters
    with pytest.raises(TypeError, match="compiled"):
        made.step(state, Shots(*(np.asarray(one)[:-1] for one in shots)), 0.0)
    with pytest.raises(TypeError, match="compiled"):
        made.step(state, shots._replace(iq=np.zeros((SHOTS, CAPTURES, 2), np.float32)), 0.0)


def test_a_compiled_law_sees_the_value_in_force_and_its_own_captures_and_tells_of_nan(rng):
    def look(parameters, state, seen):
        kept = Looked(seen.value, seen.own, jnp.where(seen.value[0] > 1.0, jnp.nan, 0.0))
        return kept, seen.value[-1] * 2.0

    def init(parameters, value):
        return Looked(jnp.zeros(SHOTS), jnp.zeros(CAPTURES, bool), jnp.float64(0.0))

    made = compiled(step_of(Law(Nothing, init, look), Nothing()))
    shots = Shots(*map(np.asarray, observation()[: len(Shots._fields)]))
    for value in (0.75, 1.5):
        after = made.step(made.init(0.0), shots, value)
        assert (after.value, after.sound) == (2 * value, value < 1.0)
        assert any(leaf.shape == (SHOTS,) and (leaf == value).all() for leaf in after.state)
        assert any(leaf.dtype == bool and leaf.tolist() == [True] * CAPTURES for leaf in after.state)


def test_a_law_that_does_not_repeat_is_found():
    calls = itertools.count()
    number = jax.ShapeDtypeStruct((), jnp.float64)
    ask = Law(
        Nothing, lambda p, v: (), lambda p, s, seen: (s, jax.pure_callback(lambda: np.float64(next(calls)), number))
    )
    assert "gives different results for the same batch" in tried(compiled(step_of(ask, Nothing())), SHAPE)
    assert tried(compiled(step_of(COUNTING, Nothing())), SHAPE) == ""


class Looked(NamedTuple):
    value: Array
    own: Array
    maybe: Array


def test_without_64_bits_nothing_is_made():
    with jax.enable_x64(False), pytest.raises(BugError, match="JAX_ENABLE_X64"):
        step_of(COUNTING, Nothing())


# ---- Loops with a delay ------------------------------------------------------------------------------------------------
# A twin of one line: the mean of the bit is 1/2 + b (u - w), and each batch shows it exactly (a count of 2^20 shots would).
# The results of batch k take effect in batch k + 1 + d, so that u obeys a difference equation, and e = u - w with it.


def loop(gain, slope, delay, disturbance, *, every_batches=1):
    """Return the values in force [batches] of an integrator's loop; the disturbance w is given per batch."""
    law = chain(Law(Nothing, lambda p, value: (), lambda p, state, seen: (state, seen.value[0])), INTEGRATOR)
    parameters = law.parameters(second=Gain(gain))
    steps = step_of(law, parameters, every_batches=every_batches)
    step, state = jax.jit(steps.step), steps.init(jnp.float64(0.0))
    force, seen = [0.0] * (delay + 1), observation()
    for index, now in enumerate(disturbance):
        # Through `value`, the chain's first part gives the exact signal: the mean over infinitely many shots.
        state, action = step(state, seen._replace(value=np.full(SHOTS, slope * (force[index] - now))))
        force.append(float(action.value))
    return np.array(force[: len(disturbance)])


def predicted(loop_gain, delay, disturbance):
    """Return u of u[k+1+d] = u[k+d] - G (u[k] - w[k]), with u = 0 up to d."""
    u = np.zeros(len(disturbance) + delay + 1)
    for k, now in enumerate(disturbance):
        u[k + 1 + delay] = u[k + delay] - loop_gain * (u[k] - now)
    return u[: len(disturbance)]


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_loop_with_a_delay_follows_its_difference_equation(delay, rng):
    disturbance = np.concatenate([np.ones(30), rng.standard_normal(30)])
    np.testing.assert_allclose(
        loop(-0.25, 0.8, delay, disturbance), predicted(0.2, delay, disturbance), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_loop_answers_a_frequency_as_its_transfer_function_says(delay):
    # U/W = G z^-(d+1) / (1 - z^-1 + G z^-(d+1)) at z = exp(i 2 pi / 16), after the start has died out.
    gain, period = 0.15, 16
    turn = np.exp(2j * pi * np.arange(30 * period) / period)
    z = turn[1]
    answer = [np.mean((loop(-gain, 1.0, delay, part) * np.conj(turn))[-period:]) for part in (turn.real, turn.imag)]
    wanted = gain * z ** -(delay + 1) / (1.0 - 1.0 / z + gain * z ** -(delay + 1))
    assert answer[0] + 1j * answer[1] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("delay", "limit_gain"), [(0, 2.0), (1, 1.0), (3, 0.445)])
def test_a_loop_is_stable_up_to_the_gain_that_its_delay_allows(delay, limit_gain):
    bound = 2.0 * sin(pi / (2.0 * (2 * delay + 1)))
    assert bound == pytest.approx(limit_gain, abs=1e-3)
    # From the characteristic equation itself: z^(d+1) - z^d + G has its roots inside the unit circle below the bound alone.
    for factor, stable in ((0.98, True), (1.02, False)):
        roots = np.roots([1.0, -1.0, *[0.0] * (delay - 1), factor * bound] if delay else [1.0, factor * bound - 1.0])
        assert (np.max(np.abs(roots)) < 1.0) == stable
        force = loop(-factor * bound, 1.0, delay, np.ones(400))
        early, late = (np.max(np.abs(force[part] - 1.0)) for part in (slice(0, 40), slice(360, 400)))
        assert (late < 0.5 * early) if stable else (late > 2.0 * early)


def test_a_step_at_every_batch_of_its_own_delay_has_no_delay_left():
    # d = 3 and every 4th batch: at its steps it is the loop with d = 0, and G = 1 is there in one step.
    force = loop(-1.0, 1.0, 3, np.ones(12), every_batches=4)
    np.testing.assert_allclose(force, [0.0] * 4 + [1.0] * 8)
