"""The laws that track: many chains side by side with binomial counts and a truth that drifts, then on the twin for their signs.

What they should settle at is in closed form (the scalar Riccati equation, the lag of a ramp) or solved for (the middle of two cut
Gaussians). Statistical tests have fixed seeds and say how often they would fail.
"""

from functools import cache
from math import pi, sqrt

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from scipy import optimize, stats

from qrt.control import step_of
from qrt.controllers import amplitude_servo, frequency_tracker, threshold_tracker
from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from tests.law_batches import CAPTURES, SHOTS, observation


@pytest.fixture(autouse=True)
def _wide():
    """Have 64 bits also where another test has started JAX without them."""
    with jax.enable_x64(True):
        yield


@cache
def many(law, parameters, shots):
    """Return init and step of a law over chains side by side: a step takes states, values in force and counts of ones. [chains]"""
    steps = step_of(law, parameters, bit=0)
    blank = observation(shots=shots)
    places = jnp.arange(shots)

    def one(state, value, ones):
        bits = jnp.broadcast_to((places < ones)[:, None], blank.bits.shape).astype(jnp.uint8)
        return steps.step(state, blank._replace(bits=bits, value=jnp.broadcast_to(value, (shots,))))

    return jax.vmap(steps.init), jax.jit(jax.vmap(one))


def chains(law, parameters, truth, mean, delay, shots, rng, start=0.0):
    """Return the values in force [batches + delay + 1, chains] of loops on a truth [batches, chains], and their last states.

    Batch k is measured under the value that batch k - 1 - delay led to; `mean(truth, value)` is the probability of a 1.
    """
    count = truth.shape[1]
    init, step = many(law, parameters, shots)
    state = init(jnp.full(count, start, dtype=jnp.float64))
    force = [np.full(count, start)] * (delay + 1)
    for index, now in enumerate(truth):
        ones = rng.binomial(shots, mean(now, force[index]))
        state, action = step(state, jnp.asarray(force[index]), jnp.asarray(ones))
        force.append(np.asarray(action.value))
    return np.stack(force), state


TAU, VISIBILITY, TRACK_SHOTS = 2e-6, 0.8, 200
NOISE_HZ2 = 1.0 / (4.0 * TRACK_SHOTS * (pi * VISIBILITY * TAU) ** 2)
DRIFT_HZ = sqrt(0.05 * NOISE_HZ2)
TRACKER = frequency_tracker.Parameters(delay_s=TAU, visibility=VISIBILITY, drift_hz=DRIFT_HZ)


def fringe(truth_hz, value_hz):
    return 0.5 * (1.0 + VISIBILITY * np.sin(2.0 * pi * (truth_hz - value_hz) * TAU))


def riccati(q, r):
    return (-q + sqrt(q * q + 4.0 * q * r)) / 2.0


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_frequency_trackers_variance_is_the_riccati_value(delay, rng):
    # 400 chains of 300 batches; errors are correlated over 1/K = 5 batches. The variance of 10^4 independent ones scatters by
    # 1.4 %, so that 5 % would be missed once in 3000 times. Measured errors: estimate, then what is in force.
    batches, burn = 300, 60
    truth = np.cumsum(DRIFT_HZ * rng.standard_normal((batches, 400)), axis=0)
    force, state = chains(frequency_tracker.LAW, TRACKER, truth, fringe, delay, TRACK_SHOTS, rng)
    q, predicted = DRIFT_HZ**2, riccati(DRIFT_HZ**2, NOISE_HZ2)
    np.testing.assert_allclose(np.asarray(state.inner.inner.inner.variance), predicted, rtol=0.01)
    estimates = force[delay + 1 :]
    seen = np.mean((estimates - truth)[burn:] ** 2)
    assert seen == pytest.approx(predicted, rel=0.05)
    behind = np.mean((force[: -delay - 1] - truth)[burn:] ** 2)
    assert behind == pytest.approx(predicted + (delay + 1) * q, rel=0.05)
    assert not np.any(np.asarray(state.inner.inner.inner.lost_count))


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_frequency_tracker_follows_a_ramp_as_far_behind_as_predicted(delay, rng):
    # The mean of 200 chains x 100 batches, correlated over 5: its standard error is sqrt(P / 4000), 1.6 % of sqrt(P) = 0.45 sqrt(R).
    batches, burn, rate_hz = 200, 100, 0.5 * DRIFT_HZ
    truth = np.repeat(rate_hz * np.arange(1.0, batches + 1.0)[:, None], 200, axis=1)
    force, _ = chains(frequency_tracker.LAW, TRACKER, truth, fringe, delay, TRACK_SHOTS, rng)
    gain = riccati(DRIFT_HZ**2, NOISE_HZ2) / NOISE_HZ2
    behind = np.mean((truth - force[: -delay - 1])[burn:])
    error = sqrt(riccati(DRIFT_HZ**2, NOISE_HZ2) / 4000.0)
    assert behind == pytest.approx(rate_hz * (1.0 / gain + delay), abs=4.0 * error)  # false once in 16 000 times


def test_the_frequency_tracker_locks_on_from_afar_and_counts_what_it_cannot_tell(rng):
    start = np.full((30, 50), 0.15 / TAU)  # beyond the middle of the fringe
    force, _ = chains(frequency_tracker.LAW, TRACKER, start, fringe, 1, TRACK_SHOTS, rng)
    assert np.max(np.abs(force[-1] - start[-1])) < 6.0 * sqrt(riccati(DRIFT_HZ**2, NOISE_HZ2) + DRIFT_HZ**2)
    jump = np.concatenate([np.zeros((10, 50)), np.full((40, 50), 0.22 / TAU)])
    force, _ = chains(frequency_tracker.LAW, TRACKER, jump, fringe, 0, TRACK_SHOTS, rng)
    assert np.max(np.abs(force[-1] - jump[-1])) < 6.0 * sqrt(riccati(DRIFT_HZ**2, NOISE_HZ2) + DRIFT_HZ**2)
    hard = observation(1.0 / TAU, ones=SHOTS)  # the value in force is a whole turn away from what is believed
    steps = step_of(frequency_tracker.LAW, TRACKER, bit=0)
    _, action = steps.step(steps.init(jnp.float64(0.0)), hard)
    assert int(action.counters["lost_count"]) == 1


SERVO = amplitude_servo.Parameters(turns=2, visibility=0.9, drift=2e-3)
PULSES = 9


def train(truth, value):
    """Return P1 after nine pulses from Bloch's sphere itself: one turn about x by nine times the angle."""
    angle = PULSES * (pi / 2.0) * value / truth
    return 0.5 * (1.0 - SERVO.visibility * np.cos(angle))


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_amplitude_servo_keeps_a_quarter_turn_with_the_predicted_error(delay, rng):
    # 300 chains of 300 batches; as above, 5 % is missed once in 1000 times.
    batches, burn = 300, 60
    truth = 0.4 * np.exp(np.cumsum(SERVO.drift * rng.standard_normal((batches, 300)), axis=0))
    force, state = chains(amplitude_servo.LAW, SERVO, truth, train, delay, TRACK_SHOTS, rng, start=0.42)
    slope = 0.25 * pi * SERVO.visibility * PULSES
    predicted = riccati(SERVO.drift**2, 1.0 / (4.0 * TRACK_SHOTS * slope**2))
    np.testing.assert_allclose(np.asarray(state.inner.inner.inner.variance), predicted, rtol=0.02)
    seen = np.mean((force[delay + 1 :] / truth - 1.0)[burn:] ** 2)
    assert seen == pytest.approx(predicted, rel=0.05)
    behind = np.mean((force[: -delay - 1] / truth - 1.0)[burn:] ** 2)
    assert behind == pytest.approx(predicted + (delay + 1) * SERVO.drift**2, rel=0.05)
    assert not np.any(np.asarray(state.inner.inner.inner.lost_count))


def test_the_amplitude_servo_waits_while_there_is_no_amplitude():
    steps = step_of(amplitude_servo.LAW, SERVO, bit=0)
    _, action = steps.step(steps.init(jnp.float64(0.4)), observation(-0.4, ones=SHOTS))
    assert float(action.value) == 0.4
    assert int(action.counters["lost_count"]) == 1


def clouds(rng, centres, excited, threshold, shots=SHOTS, width=100.0):
    """Return a batch of two clouds along the axis, decided at a threshold; the second capture belongs to another qubit."""
    level = rng.random(shots) < excited
    place = np.where(level, centres[1], centres[0]) + width * rng.standard_normal(shots)
    iq = np.full((shots, CAPTURES, 2), 1e7)
    iq[:, 0, 0] = place
    outcomes = np.zeros((shots, CAPTURES), dtype=np.uint8)
    outcomes[:, 0] = place > threshold
    return observation(threshold, shots=shots, iq=iq, outcomes=outcomes, own=np.array([True, False]))


THRESHOLDS = threshold_tracker.Parameters()


@cache
def threshold_steps(parameters):
    steps = step_of(threshold_tracker.LAW, parameters)
    return steps, jax.jit(steps.step)


def tracked(rng, centres, excited, threshold, batches, shots, parameters=THRESHOLDS):
    """Return thresholds [batches] and the last state, of a loop without delay on centres [batches, 2]."""
    steps, step = threshold_steps(parameters)
    state, values = steps.init(jnp.float64(threshold)), []
    for index in range(batches):
        state, action = step(state, clouds(rng, centres[index], excited, threshold, shots))
        threshold = float(action.value)
        values.append(threshold)
    return np.array(values), state.inner.inner.inner


def two_means(centres, excited, width):
    """Return the threshold that is midway between the means of the two cut clouds: solved for, from the Gaussians."""

    def distance(threshold):
        above = [stats.norm.sf(threshold, centre, width) for centre in centres]
        inside = [width**2 * stats.norm.pdf(threshold, centre, width) for centre in centres]
        shares = (1.0 - excited, excited)
        high = sum(s * (c * a + i) for s, c, a, i in zip(shares, centres, above, inside, strict=True))
        low = sum(s * (c * (1.0 - a) - i) for s, c, a, i in zip(shares, centres, above, inside, strict=True))
        mass = sum(s * a for s, a in zip(shares, above, strict=True))
        return threshold - 0.5 * (high / mass + low / (1.0 - mass))

    return optimize.brentq(distance, *centres)


@pytest.mark.parametrize("excited", [0.5, 0.1])
def test_the_threshold_tracker_settles_midway_between_the_means_of_its_classes(excited, rng):
    centres, shots, batches = (-700.0, -200.0), 2000, 160
    values, state = tracked(rng, [centres] * batches, excited, -520.0, batches, shots)
    wanted = two_means(centres, excited, 100.0)
    # P a centre: (-q + sqrt(q^2 + 4 q/n)) / 2, with q = 1e-4; the threshold is their mean. Averaged over 100 batches, correlated over
    # 2/K = 15 and 5 of them: at least six independent ones, within four standard errors, missed once in 16 000 times.
    counts = np.array([1.0 - excited, excited]) * shots
    spread = 100.0 * sqrt(sum(riccati(1e-4, 1.0 / count) for count in counts) / 4.0)
    assert np.mean(values[60:]) == pytest.approx(wanted, abs=4.0 * spread / sqrt(6.0))
    assert wanted == pytest.approx(-450.0 if excited == 0.5 else -457.6, abs=0.1)  # 0.08 widths, as the head says
    np.testing.assert_allclose(state.variance, [riccati(1e-4, 1.0 / count) for count in counts], rtol=0.1)
    assert int(state.held_count) == 0


def test_the_threshold_tracker_follows_clouds_that_drift(rng):
    batches, shots = 200, 1000
    middle = -450.0 + 2.0 * np.arange(batches)  # four widths in all
    centres = np.stack([middle - 250.0, middle + 250.0], axis=1)
    values, state = tracked(rng, centres, 0.5, -450.0, batches, shots, threshold_tracker.Parameters(drift=0.02))
    gain = riccati(4e-4, 1.0 / 500.0) * 500.0
    lag = 2.0 * (1.0 / gain - 1.0)  # behind the batch that it has just seen
    spread = 100.0 * sqrt(riccati(4e-4, 1.0 / 500.0) / 2.0)
    assert np.mean((middle - values)[100:]) == pytest.approx(lag, abs=4.0 * spread / sqrt(100.0 * gain / 2.0))
    assert int(state.held_count) == 0


def test_the_threshold_tracker_is_an_exponential_average_where_classes_keep_their_sizes(rng):
    batches = [
        observation(
            ones=32,
            iq=rng.normal(0.0, 1.0, (SHOTS, CAPTURES, 2)) + np.where(np.arange(SHOTS) < 32, 9.0, -9.0)[:, None, None],
        )
        for _ in range(60)
    ]
    steps = step_of(threshold_tracker.LAW, threshold_tracker.Parameters(drift=0.1))
    step, state, value = jax.jit(steps.step), steps.init(jnp.float64(0.0)), 0.0
    gain = riccati(0.01, 1.0 / 64.0) * 64.0
    for index, seen in enumerate(batches):
        state, action = step(state, seen)
        middle = 0.5 * sum(float(jnp.mean(seen.iq[part, :, 0])) for part in (slice(32), slice(32, 64)))
        value = value + gain * (middle - value) if index > 30 else float(action.value)
    assert float(action.value) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("excited", [0.0, 1.0, 0.01])
def test_one_cloud_alone_does_not_move_the_threshold(excited, rng):
    for threshold in (-450.0, -600.0, -700.0, -200.0):
        values, state = tracked(rng, [(-700.0, -200.0)] * 5, excited, threshold, 5, 400)
        assert values.tolist() == [threshold] * 5
        assert int(state.held_count) == 5


def test_one_cloud_cut_in_two_is_never_as_wide_as_the_law_says():
    # Means and pooled variance of a cut Gaussian in closed form; 5 % to 95 % on one side.
    cut = stats.norm.ppf(np.linspace(0.05, 0.95, 1001))
    above, density = stats.norm.sf(cut), stats.norm.pdf(cut)
    high, low = density / above, -density / (1.0 - above)
    width = np.sqrt(1.0 - above * high**2 - (1.0 - above) * low**2)
    assert np.max((high - low) / width) < 2.75 < threshold_tracker.Parameters().separation


# ---- Signs: on the twin, which knows nothing of the laws -----------------------------------------------------------------

PROGRAM = """OPENQASM 3;
include "stdgates.inc";
qubit q;
bit c;
reset q;
{}
c = measure q;
"""


def on_the_twin(lab, calibration, gates, field, law, parameters, start, places):
    """Return the values of a law over batches on the simulated lab; `places` turns a value into one of the calibrated field."""
    (name, qubit), *_ = calibration.qubits.items()
    steps = step_of(law, parameters, bit=0)
    state, value, values = steps.init(jnp.float64(start)), start, []
    with Loop(lab, 3) as loop:
        for _ in range(4):
            given = msgspec.structs.replace(
                getattr(qubit, field), value=float(places(getattr(qubit, field).value, value))
            )
            qubits = calibration.qubits | {name: msgspec.structs.replace(qubit, **{field: given})}
            used = msgspec.structs.replace(calibration, qubits=qubits)
            rows = loop.measure(lower(parse_program(PROGRAM.format(gates), "program"), lab, used, {}), 2000).rows
            seen = observation(value, shots=2000, bits=rows["outcomes"][:, -1:], valid=rows["flags"] == 0)
            state, action = steps.step(state, seen)
            value = float(action.value)
            values.append(value)
    return values


@pytest.mark.parametrize("start_hz", [-90e3, 90e3])
def test_the_frequency_tracker_finds_the_twins_qubit_from_either_side(start_hz, demo_lab, demo_calibration):
    # The calibration's frequency is right to some 100 Hz; 8000 shots tell the qubit's place to 2 kHz. A wrong sign runs away.
    parameters = frequency_tracker.Parameters(delay_s=1.02e-6, visibility=0.9, drift_hz=10.0)
    gates = "sx q; delay[1us] q; rz(-pi/2) q; sx q;"
    found = on_the_twin(
        demo_lab, demo_calibration, gates, "frequency_hz", frequency_tracker.LAW, parameters, start_hz, np.add
    )
    assert abs(found[-1]) < 8e3


@pytest.mark.parametrize("start", [0.95, 1.05])
def test_the_amplitude_servo_finds_the_twins_quarter_turn_from_either_side(start, demo_lab, demo_calibration):
    # In units of the calibrated amplitude, which is right to some 0.1 %; readout errors are not quite symmetric: 0.3 % each way.
    parameters = amplitude_servo.Parameters(turns=1, visibility=0.9, drift=1e-4)
    found = on_the_twin(
        demo_lab, demo_calibration, "sx q;" * 5, "sx_amplitude", amplitude_servo.LAW, parameters, start, np.multiply
    )
    assert found[-1] == pytest.approx(1.0, abs=0.01)
