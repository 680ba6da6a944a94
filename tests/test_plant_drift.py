"""What drifts in the plant: ramps and walks against closed forms, what they do to a qubit and a readout, and that a state holds them.

Statistical tests have a fixed seed; each states its error rate if the seed were free.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from math import inf, pi, tau

import numpy as np
import pytest
from scipy import stats

from qrt.errors import BugError, ConfigError
from qrt.firmware_sim.plant import Plant, isa_names, isa_select, isa_selected
from qrt.firmware_sim.plant_config import AdcConfig, LineConfig, PlantConfig, QubitConfig

MHZ = 1e6 * tau
FULL = 32767
VOLT = 0.5 / FULL
PERIOD = 10_000  # ticks from shot to shot, 10 us
PULSE = 25  # samples of segment 1
OMEGA_PER_V = 40 * MHZ
QUARTER = pi / 2 / (OMEGA_PER_V * 0.5 * PULSE * 1e-9)
Q0 = QubitConfig(4.85e9, inf, inf, 0.0, OMEGA_PER_V, 7.1e9, 5 * MHZ, -1.5 * MHZ, 20 * MHZ, 0.3)
Q1 = replace(Q0, frequency_hz=5.15e9, resonator_hz=7.18e9)
LINES = (LineConfig(0, 4.85e9, VOLT, VOLT), LineConfig(1, 5.15e9, VOLT, VOLT), LineConfig(None, 7.0e9, VOLT, VOLT))
NOISE = AdcConfig(volts_per_count=0.5 / 8192, volts_per_sqrt_hz_root=200 * 0.5 / 8192 / 22360, bits=14)
CONFIG = PlantConfig((Q0, Q1), LINES, NOISE)


def plant_of(config: PlantConfig = CONFIG, seed: int = 1) -> Plant:
    """Return a plant at a run's start with a square segment 0 of 1000 samples on each line and segment 1 of 25."""
    plant = Plant(config)
    for line in range(len(config.lines)):
        for index, count in enumerate((1000, PULSE)):
            plant.segment(line, index, np.full(count, FULL, np.int16), np.zeros(count, np.int16))
    plant.start(seed)
    return plant


def drifting(**rates: float) -> PlantConfig:
    return replace(CONFIG, qubits=(replace(Q0, **rates), Q1))


def offsets(plant: Plant, ticks: np.ndarray, first: int = 0, qubit: int = 0) -> np.ndarray:
    """Return (frequency in Hz, phase in rad) of the drift in each of the shots that begin at `ticks`, shape [shots, 2]."""
    found = np.empty((ticks.size, 2))
    for index, tick in enumerate(ticks.tolist()):
        plant.port().begin_shot(first + index, tick)
        found[index] = plant.drift(qubit)
    return found


def quadrature_ramsey(plant: Plant, start: int, wait: int) -> float:
    """Return the population of level 1 after two quarter turns at the configured frequency, the second a quarter of a turn later."""
    for tick, phase in ((start, 0.0), (start + wait, pi / 2)):
        plant.port().play(0, 1, tick, amplitude=QUARTER, phase=phase)
    return (1 - plant.peek(0, start + wait + PULSE).z) / 2


def shot_with_readout(plant: Plant, shot: int) -> np.ndarray:
    """Play a quarter turn and a readout tone; return the samples."""
    start = shot * PERIOD
    plant.port().begin_shot(shot, start)
    plant.port().play(0, 1, start, amplitude=QUARTER)
    plant.port().play(0, 1, start + 1500, amplitude=QUARTER, phase=pi / 2)
    plant.port().capture_begin(start + 1600, 1200)
    plant.port().play(2, 0, start + 1600, frequency=100e6)
    return plant.port().capture_end(1200)


@pytest.mark.parametrize("rate", [3e4, -1.7e3, 0.01])
def test_a_ramp_is_exact_and_goes_on_between_runs(rate: float) -> None:
    """Offset = rate x time since the first run's start, to the resolution of 2^-64 turns a sample, however far the shots are apart."""
    plant = plant_of(drifting(frequency_drift_hz_per_s=rate))
    ticks = np.array([0, 7, 10_000, 10_001, 123_456_789, 40_000_000_000])
    step_hz = 1e9 / 2**64
    assert offsets(plant, ticks)[:, 0] == pytest.approx(rate * ticks * 1e-9, rel=1e-14, abs=0.51 * step_hz)
    plant.start(2, idle_s=3.0)
    plant.port().begin_shot(0, 0)
    assert plant.drift(0)[0] == pytest.approx(rate * 43.0, rel=1e-12, abs=1.1 * step_hz)
    assert plant.drift(1) == (0.0, 0.0)


def test_a_walk_has_independent_normal_steps_of_the_right_size() -> None:
    """Error rate of the whole test below 1e-5: each of ten statistics within its 1e-6 bounds."""
    count, walk, turn = 20_000, 300.0, 2.0
    both = replace(Q0, frequency_walk_hz_per_root_s=walk, phase_walk_rad_per_root_s=turn)
    plant = plant_of(replace(CONFIG, qubits=(both, replace(Q1, frequency_walk_hz_per_root_s=walk))), seed=7)
    gaps = np.tile([1, 1, 4, 9], count // 4) * PERIOD
    found, other = np.empty((count, 2)), np.empty(count)
    for index, tick in enumerate(np.cumsum(gaps).tolist()):
        plant.port().begin_shot(index, tick)
        found[index], other[index] = plant.drift(0), plant.drift(1)[0]
    root_s = np.sqrt(gaps * 1e-9)
    frequency = np.diff(found[:, 0], prepend=0.0) / (walk * root_s)
    phase = np.diff(np.unwrap(found[:, 1]), prepend=0.0) / (turn * root_s)
    neighbour = np.diff(other, prepend=0.0) / (walk * root_s)
    bound = stats.norm.isf(0.5e-6) / math.sqrt(count)
    for steps in (frequency, phase, neighbour):
        assert abs(steps.mean()) < bound
        assert stats.chi2.ppf(0.5e-6, count) < (steps**2).sum() < stats.chi2.isf(0.5e-6, count)
    assert stats.kstest(frequency, "norm").pvalue > 1e-6
    for one, two in ((frequency, phase), (frequency, neighbour), (frequency[1:], frequency[:-1])):
        assert abs(np.mean(one * two)) < bound
    longer = frequency[gaps == 9 * PERIOD]
    assert stats.chi2.ppf(0.5e-6, longer.size) < (longer**2).sum() < stats.chi2.isf(0.5e-6, longer.size)


def test_a_walk_goes_on_while_nothing_runs() -> None:
    """Sigma after an idle time of 4 s is 2 walk: 200 seeds, chi-square bounds of 1e-6."""
    plant = plant_of(drifting(frequency_walk_hz_per_root_s=50.0))
    before, steps = 0.0, []
    for seed in range(200):
        plant.start(seed, idle_s=4.0)
        now = plant.drift(0)[0]
        steps.append((now - before) / 100.0)
        before = now
    assert stats.chi2.ppf(0.5e-6, 200) < np.square(steps).sum() < stats.chi2.isf(0.5e-6, 200)


def test_a_drift_may_move_at_intervals_of_several_shots() -> None:
    """At the first shot of each 40 us of the run, by what 40 us amount to; a shot that is missing delays the move to the next."""
    config = replace(
        drifting(frequency_drift_hz_per_s=1e6, frequency_walk_hz_per_root_s=300.0), drift_interval_ticks=4 * PERIOD
    )
    shots = np.array([0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12])  # 8 is missing
    found = offsets(plant_of(config), shots * PERIOD)[:, 0]
    assert np.array_equal(np.flatnonzero(np.diff(found)) + 1, [4, 7, 10])
    ramp = offsets(plant_of(replace(config, qubits=(replace(Q0, frequency_drift_hz_per_s=1e6), Q1))), shots * PERIOD)
    assert ramp[:, 0] == pytest.approx([0, 0, 0, 0, 40, 40, 40, 90, 90, 90, 120], rel=1e-12)
    with pytest.raises(ConfigError, match="drift_interval_ticks"):
        Plant(replace(config, drift_interval_ticks=-1))


def test_a_seed_and_a_shot_name_a_step() -> None:
    ticks = np.arange(1, 40) * PERIOD
    config = drifting(frequency_walk_hz_per_root_s=300.0, phase_walk_rad_per_root_s=1.0)
    one, same, another = (offsets(plant_of(config, seed), ticks) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.isclose(one, another).any()


@pytest.mark.parametrize("rate", [2e7, -2e7])
def test_a_drifted_qubit_is_a_qubit_of_another_frequency(rate: float) -> None:
    """Pulses and waits act as on a plant that was configured there; the frames differ by the turn since the pulse's start."""
    shot_at = 10**7  # 10 ms: 0.2 MHz
    drifted = plant_of(drifting(frequency_drift_hz_per_s=rate, t1_s=5e-6, t2_s=4e-6))
    offset = rate * shot_at * 1e-9
    there = plant_of(drifting(frequency_hz=Q0.frequency_hz + offset, t1_s=5e-6, t2_s=4e-6))
    for plant in (drifted, there):
        for shot, start in enumerate(
            (0, shot_at)
        ):  # the same pulses before the drift: nothing of theirs may be taken for these
            plant.port().begin_shot(shot, start)
            for tick, phase in ((0, 0.3), (700, 1.9), (710, 0.0), (1100, 4.0)):  # the two in the middle overlap
                plant.port().play(0, 1, start + tick, amplitude=QUARTER, phase=phase)
    one, two = drifted.peek(0, shot_at + 1500), there.peek(0, shot_at + 1500)
    turned = complex(two.x, two.y) * np.exp(1j * tau * offset * (shot_at + 1500) * 1e-9)
    assert complex(one.x, one.y) == pytest.approx(turned, abs=1e-6)
    assert one.z == pytest.approx(two.z, abs=1e-6)
    still = plant_of(drifting(t1_s=5e-6, t2_s=4e-6))
    still.port().begin_shot(1, shot_at)
    for tick, phase in ((0, 0.3), (700, 1.9), (710, 0.0), (1100, 4.0)):
        still.port().play(0, 1, shot_at + tick, amplitude=QUARTER, phase=phase)
    unmoved = still.peek(0, shot_at + 1500)
    assert math.dist((unmoved.x, unmoved.y, unmoved.z), (one.x, one.y, one.z)) > 0.05


def test_a_quadrature_ramsey_shows_the_offset_of_its_shot() -> None:
    """P1 = (1 + e^{-t/T2} sin(2 pi offset t)) / 2, in each shot of a walk. The pulses' own length leaves less than 0.01."""
    t2, wait = 3e-6, 700
    plant = plant_of(drifting(frequency_walk_hz_per_root_s=4e6, t1_s=2e-6, t2_s=t2))
    seen = []
    for shot in range(60):
        start = shot * 20 * PERIOD  # 200 us: equilibrium again
        plant.port().begin_shot(shot, start)
        offset = plant.drift(0)[0]
        expected = 0.5 * (1 + math.exp(-wait * 1e-9 / t2) * math.sin(tau * offset * wait * 1e-9))
        seen.append((quadrature_ramsey(plant, start, wait), expected))
    got, wanted = np.array(seen).T
    assert np.abs(got - wanted).max() < 0.012
    assert wanted.max() - wanted.min() > 0.3


def test_a_frequency_stands_still_within_a_shot() -> None:
    """A coherence that two shots share turns by each shot's own offset, for as long as that shot lasts."""
    plant = plant_of(drifting(frequency_drift_hz_per_s=1e9))
    plant.port().begin_shot(0, 0)
    plant.port().play(0, 1, 0, amplitude=QUARTER)
    before = plant.peek(0, 100)
    plant.port().begin_shot(1, 4000)
    first = plant.peek(0, 4000)
    plant.port().begin_shot(2, 6000)
    second = plant.peek(0, 6000)
    angles = [math.atan2(one.y, one.x) for one in (before, first, second)]
    assert angles[1] - angles[0] == pytest.approx(0.0, abs=1e-12)  # shot 0: no offset yet
    assert angles[2] - angles[1] == pytest.approx(tau * 4000 * 2e-6, abs=1e-9)  # 4 kHz for 2 us


def test_the_phase_of_a_path_turns_the_readout() -> None:
    """A strong tone, so that the phase of 400 samples is known to 1e-3 rad: noise of one sample 22 counts, signal thousands."""
    qubit = replace(Q0, phase_walk_rad_per_root_s=300.0, readout_rad_per_s_per_v=2000 * MHZ, efficiency=1.0)
    adc = AdcConfig(volts_per_count=1.0, volts_per_sqrt_hz_root=1e-3, bits=16)
    plant = plant_of(replace(CONFIG, adc=adc, qubits=(qubit,), lines=(LINES[0], LINES[2])))
    carrier = np.exp(-1j * tau * 0.1 * np.arange(400))
    points, phases = [], []
    for shot in range(8):
        start = shot * PERIOD
        plant.port().begin_shot(shot, start)
        plant.port().play(1, 0, start, frequency=100e6)
        plant.port().capture_begin(start + 600, 400)
        points.append(np.mean(plant.port().capture_end(400) * carrier))
        phases.append(plant.drift(0)[1])
    assert np.array(points) == pytest.approx(points[0] * np.exp(1j * np.array(phases)), rel=3e-3)
    assert np.ptp(phases) > 1.0


@pytest.fixture
def instruction_sets() -> Iterator[tuple[str, ...]]:
    before = isa_selected()
    yield isa_names()
    isa_select(before)


def test_a_saved_state_goes_on_the_same_on_every_instruction_set(instruction_sets: tuple[str, ...]) -> None:
    config = drifting(
        frequency_drift_hz_per_s=1e6,
        frequency_walk_hz_per_root_s=1e6,
        phase_walk_rad_per_root_s=30.0,
        t1_s=20e-6,
        t2_s=15e-6,
    )
    plant = plant_of(config, seed=5)
    for shot in range(10):
        shot_with_readout(plant, shot)
    state = plant.save()
    wanted = [shot_with_readout(plant, shot) for shot in range(10, 20)]
    for name in instruction_sets:
        isa_select(name)
        again = plant_of(config, seed=6)
        again.restore(state)
        assert all(
            np.array_equal(shot_with_readout(again, shot), samples) for shot, samples in enumerate(wanted, start=10)
        )
        assert again.drift(0) == plant.drift(0)
    assert plant.drift(0)[0] != 0.0


def test_a_drift_out_of_range_is_refused() -> None:
    for name, value in (
        ("frequency_walk_hz_per_root_s", -1.0),
        ("phase_walk_rad_per_root_s", inf),
        ("frequency_drift_hz_per_s", -2e9),
    ):
        with pytest.raises(ConfigError, match=rf"qubits\[0\]\.{name}"):
            Plant(drifting(**{name: value}))
    plant = plant_of(drifting(frequency_drift_hz_per_s=1e9))
    plant.port().begin_shot(0, 249_000_000)
    with pytest.raises(BugError, match="QRT_ERR_PORT"):  # a quarter of the sample rate
        plant.port().begin_shot(1, 251_000_000)
