"""The plant against closed forms and independent numpy references: fields, qubits, measurement.

Statistical tests have a fixed seed; each states its error rate if the seed were free.
"""

import math
from dataclasses import replace
from math import inf, pi, tau

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from qrt.errors import BugError
from qrt.firmware_sim.plant import Plant
from qrt.firmware_sim.plant_config import AdcConfig, LineConfig, PlantConfig, QubitConfig

MHZ = 1e6 * tau
FULL = 32767
KAPPA, CHI, EPSILON_PER_V, OMEGA_PER_V = 5 * MHZ, -1.5 * MHZ, 20 * MHZ, 40 * MHZ
FEED = 2
QUIET_ADC = AdcConfig(volts_per_count=1e-6, volts_per_sqrt_hz_root=0.0, bits=16)
Q0 = QubitConfig(4.95e9, inf, inf, 0.0, OMEGA_PER_V, 7.1e9, KAPPA, CHI, EPSILON_PER_V, 0.3)
Q1 = QubitConfig(5.25e9, inf, inf, 0.0, OMEGA_PER_V, 7.18e9, KAPPA, CHI, EPSILON_PER_V, 0.3)
VOLT = 0.5 / FULL
LINES = (LineConfig(0, 4.85e9, VOLT, VOLT), LineConfig(1, 5.15e9, VOLT, VOLT), LineConfig(None, 7.0e9, VOLT, VOLT))
CONFIG = PlantConfig((Q0, Q1), LINES, QUIET_ADC)
RESONANT = replace(
    CONFIG, lines=(replace(LINES[0], source_hz=Q0.frequency_hz), *LINES[1:])
)  # no IF: no hold to correct
FREE = replace(CONFIG, projective_exponent=1e12, negligible_exponent=1e11)  # no tone collapses anything
PI_HALF = 25  # samples of the short segment
IF0 = 100e6  # of qubit 0 and of resonator 0 above their sources


def plant_of(config: PlantConfig = CONFIG, seed: int = 1) -> Plant:
    """Return a plant at the start of shot 0 with a square segment 0 of 1000 samples on each line and segment 1 of 25."""
    plant = Plant(config)
    for line in range(len(config.lines)):
        for index, count in enumerate((1000, PI_HALF)):
            plant.segment(line, index, np.full(count, FULL, np.int16), np.zeros(count, np.int16))
    plant.start(seed)
    plant.port().begin_shot(0, 0)
    return plant


def with_qubit(**changes: float) -> PlantConfig:
    return replace(CONFIG, qubits=(replace(Q0, **changes), Q1))


def amplitude_of(angle: float, samples: int = PI_HALF) -> float:
    """Return the play amplitude whose resonant square pulse rotates by `angle`."""
    return angle / (OMEGA_PER_V * 0.5 * samples * 1e-9)


def rotate(plant: Plant, tick: int, angle: float, axis: float, frequency: float = IF0) -> None:
    """Rotate qubit 0 by `angle` about the axis at `axis` rad from x, with the NCO as the kernel would advance it."""
    phase = math.remainder(tau * frequency * tick * 1e-9 + axis, tau)
    plant.port().play(0, 1, tick, amplitude=amplitude_of(angle), frequency=frequency, phase=phase)


# ---- Fields -----------------------------------------------------------------------------------------------------------


def steady(delta: float, level: int, epsilon: float) -> complex:
    """mitigation.md §7: -i eps / (kappa/2 + i (Delta + s_j chi)), Delta = w_tone - w_resonator, s = +1, -1."""
    return -1j * epsilon / (KAPPA / 2 + 1j * (delta + (1 - 2 * level) * CHI))


def reference_field(frequency: float, amplitude: float, level: int, count: int) -> np.ndarray:
    """Integrate the equation over one square tone held sample by sample, independently of the plant's recurrence."""
    rate = -KAPPA / 2 + 1j * (tau * 100e6 - (1 - 2 * level) * CHI)
    field, fields = 0j, [0j]
    for n in range(count):
        epsilon = EPSILON_PER_V * 0.5 * amplitude * np.exp(1j * tau * frequency * n * 1e-9)
        solution = solve_ivp(lambda _, a, e=epsilon: rate * a - 1j * e, (0, 1e-9), [field], rtol=1e-10, atol=1e-14)
        field = solution.y[0, -1]
        fields.append(field)
    return np.array(fields)


def test_ring_up_and_ring_down_have_their_closed_form() -> None:
    """Slow baseband (no IF): the hold of the DAC is invisible, and the textbook expressions hold to rounding."""
    lines = (*LINES[:2], replace(LINES[2], source_hz=7.1e9))
    for level in (0, 1):
        for tick in (1, 10, 100, 999, 1000, 1100, 1300):
            config = replace(FREE, lines=lines)
            plant = plant_of(config)
            plant.port().play(FEED, 0, 0, amplitude=0.125)
            t = min(tick, 1000) * 1e-9
            rate = KAPPA / 2 + 1j * (1 - 2 * level) * CHI
            up = steady(0.0, level, EPSILON_PER_V * 0.0625) * (1 - np.exp(-rate * t))
            expected = up * np.exp(-rate * max(tick - 1000, 0) * 1e-9)
            assert plant.peek(0, tick).fields[level] == pytest.approx(expected, rel=1e-11, abs=1e-15)


def test_a_tone_at_an_intermediate_frequency_follows_the_equation() -> None:
    for level in (0, 1):
        plant = plant_of(FREE)
        plant.port().play(FEED, 0, 0, amplitude=0.125, frequency=101e6)
        expected = reference_field(101e6, 0.125, level, 60)
        got = [plant.peek(0, n).fields[level] for n in range(61)]
        np.testing.assert_allclose(got, expected, atol=2e-9)


@pytest.mark.parametrize(("level", "offset"), [(0, -CHI), (1, CHI)])
def test_the_resonance_of_a_level_is_on_its_side(level: int, offset: float) -> None:
    """Level 0 resonates at resonator - chi, level 1 at + chi: a flipped sideband or sign of chi fails."""

    def photons(detuning: float) -> float:
        plant = plant_of(FREE)
        plant.port().play(FEED, 0, 0, amplitude=0.125, frequency=100e6 + detuning / tau)
        return abs(plant.peek(0, 1000).fields[level]) ** 2

    assert photons(offset) > 1.3 * photons(-offset)
    held = EPSILON_PER_V * 0.0625 * np.sinc(0.1)  # the fundamental of samples that are held
    assert photons(offset) == pytest.approx(abs(steady(offset, level, held)) ** 2, rel=0.005)


def test_back_action_identity() -> None:
    """Coherence left by a tone is exp(-kappa/2 int |a0 - a1|^2), from peeked fields; identity of mitigation.md §7."""
    plant = plant_of(FREE)
    rotate(plant, 0, pi / 2, 0.0)
    before = plant.peek(0, 25)
    plant.port().play(FEED, 0, 100, amplitude=0.08, frequency=100.4e6, phase=1.0)
    gaps, product = [], []
    for tick in range(100, 3000):
        fields = plant.peek(0, tick).fields
        gaps.append(abs(fields[0] - fields[1]) ** 2)
        product.append(np.conj(fields[0]) * fields[1])
    after = plant.peek(0, 3000)
    factor = complex(after.x, after.y) / complex(before.x, before.y)
    exponent = KAPPA / 2 * np.sum(gaps) * 1e-9
    assert exponent > 0.3
    assert -math.log(abs(factor)) == pytest.approx(exponent, rel=2e-5)  # the sum is a trapezoid over samples
    stark = 2 * CHI * np.sum(np.real(product)) * 1e-9
    assert math.remainder(np.angle(factor) - stark, tau) == pytest.approx(0.0, abs=2e-3 * abs(stark))


def test_tones_superpose() -> None:
    both, one, other = plant_of(FREE), plant_of(FREE), plant_of(FREE)
    for plant, plays in ((both, (0, 1)), (one, (0,)), (other, (1,))):
        if 0 in plays:
            plant.port().play(FEED, 0, 10, amplitude=0.2, frequency=100e6, phase=0.3)
        if 1 in plays:
            plant.port().play(FEED, 0, 300, amplitude=-0.3, frequency=180e6, phase=-2.0)
    for tick in (301, 700, 1005, 1200, 1400):
        for q in (0, 1):
            f = [np.array(p.peek(q, tick).fields) for p in (both, one, other)]
            np.testing.assert_allclose(f[0], f[1] + f[2], atol=1e-9)


def test_overlapping_tones_that_clip_are_clipped_together_and_counted() -> None:
    plant, limited = plant_of(FREE), plant_of(FREE)
    plant.port().play(FEED, 0, 0, amplitude=0.75)
    plant.port().play(FEED, 0, 0, amplitude=0.75)
    limited.port().play(FEED, 0, 0, amplitude=1.0)
    np.testing.assert_allclose(plant.peek(0, 500).fields, limited.peek(0, 500).fields, rtol=1e-9)
    assert plant.truth().dac_clip_count == 1000
    assert limited.truth().dac_clip_count == 0


# ---- Qubits: independent matrices -------------------------------------------------------------------------------------

X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])


def gate(angle: float, x: float, y: float, z: float) -> np.ndarray:
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * (x * X + y * Y + z * Z)


def bloch_of(psi: np.ndarray) -> np.ndarray:
    return np.array([np.real(psi.conj() @ m @ psi) for m in (X, Y, Z)])


@pytest.mark.parametrize("theta", [0.7, -0.7, 2.2, -2.2])
def test_sx_rz_ry_against_matrices(theta: float) -> None:
    """rz(theta) = e^{-i theta Z/2} is a frame whose phase goes back by theta; both signs are told apart."""
    plant = plant_of(RESONANT)
    rotate(plant, 0, pi / 2, 0.0, 0.0)
    rotate(plant, PI_HALF, pi / 2, pi / 2 - theta, 0.0)
    got = plant.peek(0, 2 * PI_HALF)
    psi = gate(pi / 2, 0, 1, 0) @ gate(theta, 0, 0, 1) @ gate(pi / 2, 1, 0, 0) @ np.array([1, 0])
    assert got.z == pytest.approx(bloch_of(psi)[2], abs=2e-4)  # the amplitude has 16 bits
    assert abs(bloch_of(psi)[2]) > 0.3
    # All of the vector, in the frame that the virtual z has turned and at the tick where it is read.
    m = complex(got.x, got.y) * np.exp(1j * theta)
    assert m == pytest.approx(complex(*bloch_of(psi)[:2]), abs=2e-4)


def test_rabi_formula_with_detuning() -> None:
    for detuning in (-8e6, 0.0, 5e6):
        plant = plant_of()
        plant.port().play(0, 0, 0, amplitude=0.125, frequency=IF0 - detuning)
        omega = OMEGA_PER_V * 0.0625
        # The DAC holds each sample: the fundamental is down by sinc(f dt), 1.6 % at 100 MHz.
        held = omega * np.sinc((IF0 - detuning) * 1e-9)
        general = math.hypot(held, tau * detuning)
        expected = held**2 / general**2 * math.sin(general * 1e-6 / 2) ** 2
        assert (1 - plant.peek(0, 1000).z) / 2 == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("detuning", [0.4e6, -0.4e6])
def test_quadrature_ramsey(detuning: float) -> None:
    """P1 = (1 + e^{-t/T2} sin(Delta t)) / 2, Delta = f_qubit - f_frame, at any start within the run."""
    t2 = 3e-6
    lines = (replace(LINES[0], source_hz=Q0.frequency_hz), *LINES[1:])
    config = replace(with_qubit(t1_s=1.0, t2_s=t2), lines=lines)
    for start, wait in ((0, 300), (123457, 900), (10**12 + 7, 1500)):
        plant = plant_of(config)
        plant.port().begin_shot(0, start)
        f = -detuning
        for tick, axis in ((start, 0.0), (start + wait, pi / 2)):
            phase = math.remainder(tau * f * (tick - start) * 1e-9 + axis, tau)
            plant.port().play(0, 1, tick, amplitude=amplitude_of(pi / 2), frequency=f, phase=phase)
        p1 = (1 - plant.peek(0, start + wait + PI_HALF).z) / 2
        t = wait * 1e-9  # between the pulses' middles
        expected = 0.5 * (1 + math.exp(-t / t2) * math.sin(tau * detuning * t))
        assert p1 == pytest.approx(expected, abs=0.02)
        assert abs(expected - 0.5) > 0.1


def test_phase_is_kept_exactly_over_a_long_run() -> None:
    """Two pulses 40 ms apart, whole periods of every frequency, act as if they were 1 us apart: no rounding adds up."""
    results = []
    for later in (1000, 40_000_000):
        plant = plant_of()
        rotate(plant, 0, pi / 2, 0.0)
        plant.port().begin_shot(1, later)
        plant.port().play(0, 1, later, amplitude=amplitude_of(pi / 2), frequency=IF0, phase=pi / 3)
        got = plant.peek(0, later + PI_HALF)
        results.append((got.x, got.y, got.z))
    assert results[0] == pytest.approx(
        results[1], abs=1e-8
    )  # 1e-17 turns a sample: what a float64 holds of the frequency
    assert abs(results[0][2]) > 0.2


def test_t1_and_t2_decay() -> None:
    plant = plant_of(with_qubit(t1_s=30e-6, t2_s=40e-6, thermal_population=0.03))
    rotate(plant, 0, pi / 2, 0.0)
    first = plant.peek(0, 25)
    then = plant.peek(0, 20025)
    assert abs(complex(then.x, then.y)) == pytest.approx(abs(complex(first.x, first.y)) * math.exp(-20 / 40), rel=1e-12)
    assert then.z - 0.94 == pytest.approx((first.z - 0.94) * math.exp(-20 / 30), rel=1e-12)


@pytest.mark.parametrize("fault", ["swap", "negative", "sideband"])
def test_a_wrong_sideband_does_not_drive_the_qubit(fault: str) -> None:
    lines = {
        "swap": (replace(LINES[0], swap_iq=True), *LINES[1:]),
        "negative": (replace(LINES[0], volts_per_count_q=-VOLT), *LINES[1:]),
        "sideband": LINES,
    }[fault]
    plant = plant_of(replace(CONFIG, lines=lines))
    frequency = -IF0 if fault == "sideband" else IF0
    plant.port().play(0, 1, 0, amplitude=amplitude_of(pi), frequency=frequency)
    assert plant.peek(0, PI_HALF).z > 0.95
    right = plant_of()
    right.port().play(0, 1, 0, amplitude=amplitude_of(pi), frequency=IF0)
    assert right.peek(0, PI_HALF).z < -0.99


def test_image_and_leakage_against_matrices() -> None:
    """Imbalance, skew and offset: the product of exact steps with I and Q put through the mixer by hand."""
    line = replace(LINES[0], gain_imbalance=0.1, skew_rad=0.05, offset_v_i=0.004, offset_v_q=-0.003)
    plant = plant_of(replace(CONFIG, lines=(line, *LINES[1:])))
    amplitude = round(amplitude_of(pi / 2) * 65536) / 65536
    psi = np.array([1, 0], complex)
    for n in range(PI_HALF):
        s = 0.5 * amplitude * np.exp(1j * (tau * IF0 * n * 1e-9 + 0.8))
        v = 0.95 * s.real + 1.05j * np.exp(0.05j) * s.imag + 0.004 - 0.003j
        w = np.array([OMEGA_PER_V * v.real, OMEGA_PER_V * v.imag, tau * 100e6]) * 1e-9
        psi = gate(np.linalg.norm(w), *(w / np.linalg.norm(w))) @ psi
    plant.port().play(0, 1, 0, amplitude=amplitude, frequency=IF0, phase=0.8)
    got = plant.peek(0, PI_HALF)
    expected = bloch_of(psi)
    m = complex(expected[0], expected[1]) * np.exp(-1j * tau * 100e6 * PI_HALF * 1e-9)
    assert (got.x, got.y, got.z) == pytest.approx((m.real, m.imag, expected[2]), abs=1e-9)


def test_overlapping_pulses_add() -> None:
    whole, halves = plant_of(), plant_of()
    whole.port().play(0, 1, 7, amplitude=0.6, frequency=IF0, phase=0.4)
    for _ in range(2):
        halves.port().play(0, 1, 7, amplitude=0.3, frequency=IF0, phase=0.4)
    a, b = whole.peek(0, 40), halves.peek(0, 40)
    assert (a.x, a.y, a.z) == pytest.approx((b.x, b.y, b.z), abs=1e-12)


def test_residual_photons_shift_a_pulse() -> None:
    """Stark shift and dephasing during a pulse, against a direct integration with the peeked fields."""
    plant, fields = plant_of(FREE), plant_of(FREE)
    for p in (plant, fields):
        p.port().play(FEED, 0, 0, amplitude=0.125, frequency=100e6)
    alphas = np.array([fields.peek(0, 900 + n).fields for n in range(PI_HALF + 1)])
    plant.port().play(0, 1, 900, amplitude=amplitude_of(pi / 2), frequency=IF0)
    got = plant.peek(0, 900 + PI_HALF)
    v, amplitude = np.array([0, 0, 1.0]), round(amplitude_of(pi / 2) * 65536) / 65536
    for n in range(PI_HALF):
        product = np.mean(np.conj(alphas[n : n + 2, 0]) * alphas[n : n + 2, 1])
        shift = 2j * CHI * product  # of x + iy
        drive = OMEGA_PER_V * 0.5 * amplitude * np.exp(1j * tau * IF0 * n * 1e-9)
        delta, decay = tau * 100e6 + shift.imag, -shift.real
        law = np.array([[-decay, -delta, drive.imag], [delta, -decay, -drive.real], [-drive.imag, drive.real, 0]])
        v = solve_ivp(lambda _, y, m=law: m @ y, (0, 1e-9), v, rtol=1e-10, atol=1e-12).y[:, -1]
    m = complex(v[0], v[1]) * np.exp(-1j * tau * 100e6 * PI_HALF * 1e-9)
    rotation = np.exp(-1j * tau * 100e6 * 900e-9)  # the frame of the source has turned before the pulse
    assert complex(got.x, got.y) == pytest.approx(m * rotation, abs=2e-4)
    assert got.z == pytest.approx(v[2], abs=2e-4)
    assert abs(v[2]) > 5e-3  # the shift is seen


# ---- Measurement ------------------------------------------------------------------------------------------------------

TONE = {"amplitude": 0.25, "frequency": 100e6}


def test_measuring_twice_agrees_and_population_is_the_bloch_vectors() -> None:
    """2000 shots of P1 = 1/2: the mean of levels within 4 sigma (6e-5), and the second tone always agrees."""
    plant = plant_of()
    plant.log_path(10000)
    for shot in range(2000):
        start = shot * 5000
        plant.port().begin_shot(shot, start)
        plant.port().play(0, 1, start, amplitude=amplitude_of(pi / 2), frequency=IF0)
        for tone in (100, 3000):
            plant.port().play(FEED, 0, start + tone, **TONE)
    path = plant.path.reshape(2000, 2)
    assert np.array_equal(path["level"][:, 0], path["level"][:, 1])
    assert abs(path["level"][:, 0].mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)
    assert set(np.unique(path["population"][:, 1])) == {0.0, 1.0}
    truth = plant.truth()
    assert truth.shot_count[0, :3].tolist() == [2000, 2000, 0]
    assert truth.population_sum[0, 0] == pytest.approx(path["population"][:, 0].sum())
    assert truth.shot_count[1].sum() == 0


def test_jumps_follow_t1() -> None:
    """Level 1 at the end of a tone: e^{-t/T1} within 4 sigma (6e-5); the other qubit does not notice."""
    t1 = 2e-6
    plant = plant_of(with_qubit(t1_s=t1, t2_s=t1))
    shots, survived = 4000, 0
    for shot in range(shots):
        start = shot * 40_000
        plant.port().begin_shot(shot, start)
        plant.port().play(0, 1, start, amplitude=amplitude_of(pi), frequency=IF0)
        plant.port().play(FEED, 0, start + 25, **TONE)
        survived += plant.peek(0, start + 1025).z < 0
    truth = plant.truth()
    expected = truth.population_sum[0, 0] * math.exp(-1e-6 / t1)
    assert abs(survived - expected) < 4 * math.sqrt(shots / 4)
    assert truth.jump_count >= truth.population_sum[0, 0] * 0.4


def test_refusals() -> None:
    plant = plant_of()
    with pytest.raises(BugError, match="QRT_ERR_WEAK_TONE"):
        plant.port().play(FEED, 0, 0, amplitude=0.02, frequency=100e6)
    plant = plant_of()
    plant.port().play(FEED, 0, 0, **TONE)
    with pytest.raises(BugError, match="QRT_ERR_DRIVE_IN_TONE"):
        plant.port().play(0, 1, 500, frequency=IF0)
    plant = plant_of()
    plant.port().play(0, 1, 0, frequency=IF0)
    with pytest.raises(BugError, match="QRT_ERR_DRIVE_IN_TONE"):
        plant.port().play(FEED, 0, 10, **TONE)
    with pytest.raises(BugError, match="QRT_ERR_TICK_ORDER"):
        plant.port().play(0, 1, 5, frequency=IF0)
    with pytest.raises(BugError, match="QRT_ERR_LINE"):
        plant.port().play(3, 0, 20)
    with pytest.raises(BugError, match="QRT_ERR_SEGMENT"):
        plant.port().play(0, 9, 20)
    plant.port().safe()
    with pytest.raises(BugError, match="QRT_ERR_LINE"):
        plant.port().play(0, 1, 20)


def test_safe_ends_what_is_playing() -> None:
    plant = plant_of()
    plant.port().play(FEED, 0, 0, **TONE)
    at_500 = plant.peek(0, 500).fields[0]
    plant.port().safe()
    expected = at_500 * np.exp((-KAPPA / 2 + 1j * (tau * 100e6 - CHI)) * 100e-9)
    assert plant.peek(0, 600).fields[0] == pytest.approx(expected, rel=1e-9)


def test_idle_time_relaxes_to_equilibrium() -> None:
    plant = plant_of(with_qubit(t1_s=30e-6, t2_s=40e-6, thermal_population=0.02))
    plant.port().play(0, 1, 0, amplitude=amplitude_of(pi), frequency=IF0)
    end = plant.peek(0, 25).z
    plant.start(2, idle_s=60e-6)
    assert plant.peek(0, 0).z == pytest.approx(0.96 + (end - 0.96) * math.exp(-2.0), rel=1e-9)
