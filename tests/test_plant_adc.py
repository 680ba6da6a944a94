"""What the ADC delivers: noise, quantisation, the signal in it; and that it is the same whatever computes it, and when.

Statistical tests have a fixed seed; each states its error rate if the seed were free.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from math import pi, tau

import numpy as np
import pytest
from scipy import stats
from scipy.special import erfc

from qrt.errors import BugError
from qrt.firmware_sim.plant import Plant, isa_names, isa_select, isa_selected
from qrt.firmware_sim.plant_config import AdcConfig, LineConfig, PlantConfig, QubitConfig

MHZ = 1e6 * tau
FULL = 32767
KAPPA, CHI, ETA = 5 * MHZ, -1.5 * MHZ, 0.45
VOLT = 0.5 / FULL
FEED, IF0 = 2, 100e6
LSB = 0.5 / 8192
SIGMA = 200.0  # counts
GAIN = SIGMA * LSB / math.sqrt(0.5 / 1e-9)
Q0 = QubitConfig(4.95e9, 1.0, 1.0, 0.0, 50 * MHZ, 7.1e9, KAPPA, CHI, 20 * MHZ, ETA, 0.7)
Q1 = replace(Q0, frequency_hz=5.25e9, resonator_hz=7.18e9, output_phase_rad=-1.1)
LINES = (LineConfig(0, 4.85e9, VOLT, VOLT), LineConfig(1, 5.15e9, VOLT, VOLT), LineConfig(None, 7.0e9, VOLT, VOLT))
CONFIG = PlantConfig((Q0, Q1), LINES, AdcConfig(LSB, GAIN, 14))
REAL = replace(CONFIG, qubits=tuple(replace(q, t1_s=20e-6, t2_s=25e-6, thermal_population=0.02) for q in (Q0, Q1)))
TONE = {"amplitude": 0.25, "frequency": IF0}
PI_AMPLITUDE = pi / (50 * MHZ * 0.5 * 25e-9)


@pytest.fixture(autouse=True)
def _best_isa() -> Iterator[None]:
    selected = isa_selected()
    yield
    isa_select(selected)


def plant_of(config: PlantConfig = CONFIG, seed: int = 1) -> Plant:
    plant = Plant(config)
    for line in range(len(config.lines)):
        for index, count in enumerate((1000, 25)):
            plant.segment(line, index, np.full(count, FULL, np.int16), np.zeros(count, np.int16))
    plant.start(seed)
    plant.port().begin_shot(0, 0)
    return plant


def noise(count: int, config: PlantConfig = CONFIG, seed: int = 5) -> np.ndarray:
    """Return the samples of silent shots of 8000 samples, int16 [count, 8000]."""
    plant = plant_of(config, seed)
    rows = []
    for shot in range(count):
        plant.port().begin_shot(shot, shot * 8000)
        plant.port().capture_begin(shot * 8000, 8000)
        rows.append(plant.port().capture_end(8000))
    return np.array(rows)


def shots(plant: Plant, count: int, *, excite: bool, samples: int = 1000, first: int = 0) -> np.ndarray:
    """Return captures of a tone, int16 [count, samples]; a pi pulse before it if `excite`. Forty T1 of 1 s apart."""
    rows = []
    for shot in range(first, first + count):
        start = shot * 40_000_000_000
        plant.port().begin_shot(shot, start)
        if excite:
            plant.port().play(0, 1, start, amplitude=PI_AMPLITUDE, frequency=IF0)
        plant.port().capture_begin(start + 100, samples)
        plant.port().play(FEED, 0, start + 100, **TONE)
        rows.append(plant.port().capture_end(samples))
    return np.array(rows)


def mean_of(level: int, samples: int = 1000) -> np.ndarray:
    """Return the noiseless capture of a level in counts, by the equation, sample by sample in numpy."""
    rate = -KAPPA / 2 + 1j * (tau * 100e6 - (1 - 2 * level) * CHI)
    amplitude = round(TONE["amplitude"] * 65536) / 65536
    field, fields = 0j, []
    for n in range(samples):
        fields.append(field)
        epsilon = 20 * MHZ * 0.5 * amplitude * np.exp(2j * pi * 0.1 * n) if n < 1000 else 0.0
        field = field * np.exp(rate * 1e-9) - 1j * epsilon * (np.exp(rate * 1e-9) - 1) / rate
    return math.sqrt(2) * GAIN / LSB * np.real(math.sqrt(KAPPA * ETA) * np.exp(0.7j) * np.array(fields))


# ---- Noise --------------------------------------------------------------------------------------------------------------


def test_noise_is_white_and_gaussian() -> None:
    """4e6 samples: mean, variance, kurtosis, autocorrelation within 4 sigma, KS at 1e-3, together below 2e-3."""
    x = noise(500).astype(float)
    n = x.size
    assert abs(x.mean()) < 4 * SIGMA / math.sqrt(n)
    assert x.var() == pytest.approx(SIGMA**2 + 1 / 12, rel=4 * math.sqrt(2 / n))
    assert abs(stats.skew(x.ravel())) < 4 * math.sqrt(6 / n)
    assert abs(stats.kurtosis(x.ravel())) < 4 * math.sqrt(24 / n)
    spectrum = np.abs(np.fft.rfft(x, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum.mean(axis=0))[1:300] / x.shape[1] / SIGMA**2
    assert np.abs(correlation).max() < 5 / math.sqrt(n)  # 300 lags at 6e-7
    between = np.mean(x[:-1] * x[1:]) / SIGMA**2
    assert abs(between) < 4 / math.sqrt(n)
    dithered = x.ravel()[:200_000] + np.random.default_rng(0).uniform(-0.5, 0.5, 200_000)
    assert stats.kstest(dithered / math.sqrt(SIGMA**2 + 1 / 12), "norm").pvalue > 1e-3


@pytest.mark.parametrize("threshold", [3.0, 4.0, 4.8])
def test_noise_has_a_gaussian_tail(threshold: float) -> None:
    """Counts beyond a threshold are Poisson with the Gaussian's mean: within 4 sigma on each side (6e-5 each)."""
    x = noise(1500, seed=11)
    edge = round(threshold * SIGMA)
    tail = x.size * 0.5 * erfc((edge + 0.5) / SIGMA / math.sqrt(2))
    for count in (int((x > edge).sum()), int((x < -edge).sum())):
        assert abs(count - tail) < 4 * math.sqrt(tail) + 1


def test_clipping_is_counted_and_as_frequent_as_the_tail() -> None:
    config = replace(CONFIG, adc=AdcConfig(LSB, GAIN, 10))
    plant = plant_of(config, 3)
    x = []
    for shot in range(100):
        plant.port().begin_shot(shot, shot * 8000)
        plant.port().capture_begin(shot * 8000, 8000)
        x.append(plant.port().capture_end(8000))
    samples = np.array(x)
    assert (samples.min(), samples.max()) == (-512, 511)
    expected = samples.size * 0.5 * (erfc(511.5 / SIGMA / math.sqrt(2)) + erfc(512.5 / SIGMA / math.sqrt(2)))
    assert abs(plant.truth().adc_clip_count - expected) < 4 * math.sqrt(expected)


# ---- Signal -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("excite", [False, True])
def test_the_mean_capture_is_the_field_of_the_level(excite: bool) -> None:
    """Ring-up, IF, phase and ring-down: chi squared of the mean over 2000 shots at 1e-3 on each side."""
    plant = plant_of()
    got = shots(plant, 2000, excite=excite, samples=1400).mean(axis=0)
    expected = mean_of(int(excite), 1400)
    chi2 = np.sum((got - expected) ** 2) / ((SIGMA**2 + 1 / 12) / 2000)
    assert stats.chi2.cdf(chi2, 1400) == pytest.approx(0.5, abs=0.4995)
    wrong = np.sum((got - mean_of(1 - int(excite), 1400)) ** 2) / (SIGMA**2 / 2000)
    assert wrong > 3 * 1400


def test_assignment_error_is_that_of_two_gaussians() -> None:
    """Matched filter in numpy, T1 = 1 s: (d/sigma)^2 = 2 kappa eta int |da|^2 dt and error erfc(d / 2 sqrt2 sigma) / 2."""
    plant = plant_of(CONFIG)
    difference = mean_of(1) - mean_of(0)
    count = 6000
    ground = shots(plant, count, excite=False) @ difference
    excited = shots(plant, count, excite=True, first=count) @ difference
    threshold = difference @ (mean_of(0) + mean_of(1)) / 2
    d2 = difference @ difference / (SIGMA**2 + 1 / 12)
    level = np.array([ground, excited])
    assert (level[1].mean() - level[0].mean()) / level.std(axis=1).mean() == pytest.approx(math.sqrt(d2), rel=0.02)
    plant_free = plant_of(replace(CONFIG, projective_exponent=1e12, negligible_exponent=1e11))
    plant_free.port().play(FEED, 0, 0, **TONE)
    fields = np.array([plant_free.peek(0, n).fields for n in range(1000)])
    envelope = 2 * KAPPA * ETA * np.sum(np.abs(fields[:, 1] - fields[:, 0]) ** 2) * 1e-9
    assert d2 == pytest.approx(envelope, rel=0.01)  # the IF's whole periods average cos^2
    expected = 0.5 * erfc(math.sqrt(d2) / (2 * math.sqrt(2)))
    population = plant.truth().population_sum[0, 0] / count  # of the pi pulse
    expected_1 = expected + (1 - population) * (1 - 2 * expected)
    for error, wanted in (((ground > threshold).mean(), expected), ((excited < threshold).mean(), expected_1)):
        assert abs(error - wanted) < 4 * math.sqrt(wanted / count)  # 6e-5


def test_the_mean_excited_trace_decays_with_t1() -> None:
    """Projection on the two levels' means in windows: e^{-t/T1} after the field's delay, within 4 sigma."""
    t1 = 3e-6
    config = replace(CONFIG, qubits=(replace(Q0, t1_s=t1, t2_s=t1), Q1))
    count = 8000
    plant = plant_of(config)
    got = shots(plant, count, excite=True).mean(axis=0)
    difference = mean_of(1) - mean_of(0)
    population = plant.truth().population_sum[0, 0] / count
    for first in (300, 500, 700, 900):
        window = slice(first, first + 100)
        fraction = difference[window] @ (got - mean_of(0))[window] / (difference[window] @ difference[window])
        error = SIGMA / math.sqrt(count * (difference[window] @ difference[window]))
        lag = 2 / KAPPA  # the field follows the level
        middle = (first + 50) * 1e-9
        expected = population * math.exp(-(middle - lag) / t1)
        assert abs(fraction - expected) < 4 * math.hypot(error, 0.5 / math.sqrt(count)) + 0.02


# ---- The same, whatever computes it, and when ---------------------------------------------------------------------------


def active_reset(plant: Plant, shot: int) -> bytes:
    """Measure, flip if the first sample pattern says so, measure again; the branch is taken from the data."""
    start, port = shot * 7000, plant.port()
    port.begin_shot(shot, start)
    data = b""
    for at in (0, 3000):
        port.capture_begin(start + at, 1000, slot=0)
        port.capture_begin(start + at, 1000, slot=1)
        port.play(FEED, 0, start + at, phase=math.remainder(tau * 0.1 * at, tau), **TONE)
        port.play(FEED, 0, start + at, amplitude=0.28, frequency=180e6)
        samples = port.capture_end(1000, slot=0)
        assert np.array_equal(samples, port.capture_end(1000, slot=1))
        data += samples.tobytes()
        if at == 0 and int(samples.sum()) % 2:
            port.play(0, 1, start + 2000, amplitude=PI_AMPLITUDE, frequency=IF0)
            port.play(1, 1, start + 2010, amplitude=PI_AMPLITUDE / 2, frequency=IF0)
    return data


def test_every_instruction_set_gives_the_same_bytes() -> None:
    results = {}
    for name in isa_names():
        isa_select(name)
        plant = plant_of(REAL, seed=77)
        results[name] = [active_reset(plant, shot) for shot in range(40)]
    assert all(rows == results["baseline"] for rows in results.values())
    with pytest.raises(ValueError, match="must be one of"):
        isa_select("mmx")


def test_a_run_repeats_and_another_seed_does_not() -> None:
    runs = [[active_reset(p, s) for s in range(20)] for p in (plant_of(REAL, 7), plant_of(REAL, 7), plant_of(REAL, 8))]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_a_replay_from_a_saved_state_is_identical() -> None:
    """Whatever the caches hold: the replaying plant has never played the tones before."""
    plant = plant_of(REAL, seed=9)
    for shot in range(30):
        active_reset(plant, shot)
    state = plant.save()
    later = [active_reset(plant, shot) for shot in range(30, 60)]
    again = plant_of(REAL, seed=1)
    again.restore(state)
    assert [active_reset(again, shot) for shot in range(30, 60)] == later
    with pytest.raises(ValueError, match="bytes"):
        again.restore(state[:-1])


def test_results_do_not_depend_on_cache_hits() -> None:
    """More tones than the cache has places, then the first again: computed anew, to the same bits."""
    config = replace(REAL, projective_exponent=1e12, negligible_exponent=1e11)
    plant, fresh = plant_of(config, seed=4), plant_of(config, seed=4)
    for k in range(40):
        plant.port().play(FEED, 0, k * 10_000, amplitude=0.3, frequency=90e6 + k * 5e5)
    assert plant.truth().response_miss_count == 40
    for p in (plant, fresh):
        p.start(4, idle_s=1.0)
        p.port().begin_shot(0, 0)
    samples = []
    for p in (plant, fresh):
        p.port().capture_begin(0, 1000)
        p.port().play(FEED, 0, 0, amplitude=0.3, frequency=90e6)
        samples.append(p.port().capture_end(1000))
    assert np.array_equal(*samples)
    assert plant.truth().response_miss_count == 1


def test_overlapping_captures_see_the_same_samples() -> None:
    plant = plant_of(REAL)
    port = plant.port()
    port.begin_shot(0, 0)
    port.capture_begin(3, 500, slot=1)
    port.play(FEED, 0, 10, **TONE)
    port.capture_begin(100, 777, slot=2)
    first = port.capture_end(500, slot=1)
    second = port.capture_end(777, slot=2)
    assert np.array_equal(first[97:], second[:403])


def test_capture_refusals() -> None:
    port = plant_of().port()
    with pytest.raises(BugError, match="QRT_ERR_CAPTURE_LENGTH"):
        port.capture_begin(0, 100_000)
    port.capture_begin(0, 10, slot=3)
    with pytest.raises(BugError, match="QRT_ERR_CHANNEL"):
        port.capture_begin(0, 10, slot=3)
    with pytest.raises(BugError, match="QRT_ERR_CHANNEL"):
        port.capture_end(10, slot=4)
    assert port.capture_end(10, slot=3).shape == (10,)
    with pytest.raises(BugError, match="QRT_ERR_TICK_ORDER"):
        port.capture_begin(5, 10)


def test_input_off_is_silence() -> None:
    assert not noise(1, replace(CONFIG, adc=replace(CONFIG.adc, input_on=False))).any()


def test_both_resonators_are_in_the_capture_at_their_own_frequency() -> None:
    """The same noise with and without tones: what is left is the field, to a count. Level 0 and 1, ring-down, crosstalk."""
    config = replace(CONFIG, qubits=tuple(replace(q, efficiency=1.0) for q in (Q0, Q1)))
    played, silent = plant_of(config, 21), plant_of(config, 21)
    for plant in (played, silent):
        plant.port().play(0, 1, 0, amplitude=PI_AMPLITUDE, frequency=IF0)
        plant.port().capture_begin(50, 1300)
    played.port().play(FEED, 0, 60, amplitude=0.5, frequency=IF0, phase=1.0)
    played.port().play(FEED, 0, 160, amplitude=-0.4, frequency=180e6, phase=-2.0)
    expected = np.zeros(1300)
    for n in range(110, 1300):
        for q, qubit in enumerate((Q0, Q1)):
            peeked = played.peek(q, 50 + n)
            field = peeked.fields[int(peeked.z < 0)]
            expected[n] += math.sqrt(2 * KAPPA) * (field * np.exp(1j * qubit.output_phase_rad)).real * GAIN / LSB
    got = played.port().capture_end(1300).astype(int) - silent.port().capture_end(1300)
    assert np.abs(got - expected)[110:].max() < 1.01
    assert np.abs(expected).max() > 150
    assert not got[:11].any()  # the field at a tone's first sample is still empty


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 from the paper, in Python integers."""
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [p1 >> 32 ^ counter[1] ^ key[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ counter[3] ^ key[1], p0 & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def test_a_jump_is_drawn_from_the_words_of_its_shot() -> None:
    """A level that is definite at a shot's start waits for what (seed, stream, shot, index) say, whatever was before."""
    seed, t1, stream = 0x0123456789ABCDEF, 0.2e-6, 0x200
    plant = plant_of(replace(REAL, qubits=(replace(Q0, t1_s=t1, t2_s=t1, thermal_population=0.5), Q1)), seed)
    plant.log_path(1000)
    plant.port().play(FEED, 0, 0, **TONE)
    plant.port().begin_shot(31, 400)
    plant.peek(0, 1500)
    jumps = plant.path[(plant.path["shot"] == 31) & (plant.path["tick"] > 400)]["tick"]
    tick = 400
    for index, jump in enumerate(jumps):
        words = philox([index, stream, 31, 0], [seed & 0xFFFFFFFF, seed >> 32])
        uniform = (((words[0] << 32 | words[1]) >> 11) + 0.5) / 2**53
        tick += 1 + int(-math.log(uniform) * t1 / 0.5 / 1e-9)
        assert jump == tick
    assert len(jumps) > 1
