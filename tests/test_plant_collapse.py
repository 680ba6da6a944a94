"""Readout of correlated qubits in the plant: what is found of one makes the state of the others.

Statistical tests have a fixed seed; each states its error rate if the seed were free.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from math import pi, tau

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from qrt.firmware_sim.plant import Plant
from tests.coupled_plant import (
    COHERENT,
    CONFIG,
    COUPLED,
    COUPLERS,
    FULL,
    IDEAL,
    PULSE,
    TONE,
    VOLT,
    couple,
    entangle,
    found,
    plant_of,
    play_all,
    random_plays,
    read,
    rotate,
    turned,
    undo_stark,
)

PERIOD = 20_000  # ticks from shot to shot: ten T1


def shots_of(plant: Plant, count: int) -> Iterator[int]:
    """Yield the starting tick of each of so many shots, the first one's path being kept."""
    for shot in range(count):
        plant.log_path(64)
        plant.port().begin_shot(shot, shot * PERIOD)
        yield shot * PERIOD


def test_bell_outcomes_agree_and_one_measurement_makes_the_other_state() -> None:
    """Both orders and both at once; the part of 11 within its 1e-6 bounds, so an error rate of 3e-6."""
    count = 300
    for first, second in (((0,), (1,)), ((1,), (0,)), ((0, 1), ())):
        plant = plant_of(replace(COHERENT, qubits=tuple(replace(q, t1_s=2e-6, t2_s=4e-6) for q in IDEAL)), seed=5)
        both = 0
        for start in shots_of(plant, count):
            tick = entangle(plant, start)
            read(plant, tick, *first)
            (other,) = set(range(2)) - {first[0]}
            level, population = found(plant, tick)[first[0]]
            assert population == pytest.approx(0.5, abs=0.03)
            if second:
                assert plant.peek(other, tick).z == pytest.approx(1 - 2 * level, abs=0.06)  # relaxation during the gate
                read(plant, tick + 1100, *second)
                assert found(plant, tick + 1100)[other][1] == pytest.approx(level * math.exp(-1100 / 2000), abs=0.05)
            else:
                assert found(plant, tick)[other][1] == pytest.approx(level, abs=0.03)
            both += level
        assert stats.binomtest(both, count).pvalue > 1e-6


def test_populations_after_a_collapse_are_conditional_probabilities() -> None:
    """Exactly those of the joint state just before, level by level, for three correlated qubits that are measured at once."""
    seen = set()
    for seed in range(12):
        plays, end = random_plays(7, 2)
        plant, twin = plant_of(seed=seed), plant_of(seed=seed)
        for one in (plant, twin):
            play_all(one, plays)
        joint = twin.joint(end)
        plant.log_path(64)
        read(plant, end, 0, 1, 2)
        known = found(plant, end)
        for qubit in range(3):  # the tones come in this order, each at once
            level, population = known[qubit]
            joint = np.moveaxis(joint, qubit, 0)
            assert population == pytest.approx((1 - joint[(3, 0, 0)]) / 2, abs=1e-12)
            given = joint[0] + (1 - 2 * level) * joint[3]
            rest = given / given[0, 0]
            joint = np.moveaxis(np.multiply.outer([1, 0, 0, 1 - 2 * level], rest), 0, qubit)
        seen.add(tuple(known[qubit][0] for qubit in range(3)))
    assert len(seen) > 3


def test_chsh_with_relaxation() -> None:
    """Four settings of a Bell state that has waited: each correlation counted against the joint state's, S above 2. Error rate 1e-5."""
    config = replace(
        CONFIG, qubits=tuple(replace(q, t1_s=8 * q.t1_s, t2_s=8 * q.t2_s, thermal_population=0) for q in CONFIG.qubits)
    )
    count, wait = 500, 700
    total, expected_total = 0.0, 0.0
    for a, b, sign in ((0, pi / 4, 1), (0, -pi / 4, 1), (pi / 2, pi / 4, -1), (pi / 2, -pi / 4, 1)):
        product_sum, expected = 0, math.nan
        plant = plant_of(config)
        for seed in range(count):  # each from equilibrium
            plant.start(seed, idle_s=1.0)
            plant.port().begin_shot(0, 0)
            tick = entangle(plant) + wait
            phases = undo_stark(0)
            rotate(plant, 0, tick, a, phases[0] + pi / 2)
            rotate(plant, 1, tick, b, phases[1] + pi / 2)
            if seed == 0:
                expected = float(plant.joint(tick + PULSE)[3, 3, 0])
                continue
            plant.log_path(8)
            read(plant, tick + PULSE, 0, 1)
            known = found(plant, tick + PULSE)
            product_sum += (1 - 2 * known[0][0]) * (1 - 2 * known[1][0])
        bound = stats.norm.isf(1e-6) * math.sqrt((1 - expected**2) / (count - 1))
        assert product_sum / (count - 1) == pytest.approx(expected, abs=bound + 1e-9)
        total += sign * product_sum / (count - 1)
        expected_total += sign * expected
    assert 2.0 < abs(expected_total) < 2 * math.sqrt(2)
    assert abs(total) > 2.0


class Frames:
    """Three qubits whose frames follow the Stark shifts of the tones, as a controller's virtual z gates would."""

    def __init__(self, plant: Plant, tick: int) -> None:
        self.plant, self.tick, self.phases = plant, tick, dict.fromkeys(range(3), 0.0)

    def ry(self, angle: float, *qubits: int) -> None:
        for qubit in qubits:
            rotate(self.plant, qubit, self.tick, angle, pi / 2 + self.phases[qubit])
        self.tick += PULSE

    def rx(self, angle: float, *qubits: int) -> None:
        for qubit in qubits:
            rotate(self.plant, qubit, self.tick, angle, self.phases[qubit])
        self.tick += PULSE

    def cz(self, coupler: int) -> None:
        couple(self.plant, coupler, self.tick)
        self.tick += TONE
        for qubit, phase in undo_stark(coupler).items():
            self.phases[qubit] += phase

    def vector(self, qubit: int) -> NDArray[np.float64]:
        """Return the Bloch vector in the qubit's frame."""
        peek = self.plant.peek(qubit, self.tick)
        m = complex(peek.x, peek.y) * np.exp(-1j * self.phases[qubit])
        return np.array([m.real, m.imag, peek.z])


@pytest.mark.parametrize("message", [(0.4, 1.1), (2.2, -0.7), (1.3, 2.9)])
def test_teleportation_with_feed_forward(message: tuple[float, float]) -> None:
    """Qubit 0's state appears on qubit 2, which it never met, in every shot: what two readouts find says which pulses follow."""
    blind = replace(IDEAL[2], chi_rad_per_s=0.0)  # else the readout's photons turn it a little
    seen = set()
    for seed in range(16):
        plant = plant_of(replace(COHERENT, qubits=(*IDEAL[:2], blind)), seed)
        frames = Frames(plant, 0)
        frames.ry(message[0], 0)
        frames.rx(message[1], 0)
        sent = frames.vector(0)
        frames.ry(pi / 2, 1, 2)  # a pair of 1 and 2
        frames.cz(1)
        frames.ry(-pi / 2, 2)
        frames.ry(pi / 2, 1)  # which of the four pairs are 0 and 1?
        frames.cz(0)
        frames.ry(-pi / 2, 0, 1)
        plant.log_path(8)
        read(plant, frames.tick, 0, 1)
        first, second = (found(plant, frames.tick)[qubit][0] for qubit in (0, 1))
        frames.tick += 1800  # the photons have left
        if second:
            frames.rx(pi, 2)
        if first:  # z, of an x and a y
            frames.rx(pi, 2)
            frames.ry(pi, 2)
        seen.add((first, second))
        np.testing.assert_allclose(frames.vector(2), sent, atol=2e-3)
    assert len(seen) == 4


def test_a_tone_while_the_other_qubit_is_read() -> None:
    """The qubit that is not read turns by what the other one's level is at each sample, jumps included: known exactly shot by shot."""
    blind = replace(IDEAL[0], chi_rad_per_s=0.0)  # the readout tone leaves no trace on it
    quick = replace(IDEAL[1], t1_s=0.4e-6, t2_s=0.8e-6, thermal_population=0.5)
    config = replace(COHERENT, qubits=(blind, quick, IDEAL[2]))
    starts, end, jump_count = (200, 500), 1500, 0
    volts = np.zeros(end)
    for tick in starts:
        volts[tick : tick + 1000] += FULL * VOLT * round(0.1 * 65536) / 65536
    for seed in range(20):
        plant = plant_of(config, seed)
        plant.log_path(256)
        rotate(plant, 0, 0, pi / 2)
        before = turned(plant, 0, PULSE)
        read(plant, 100, 1)
        for tick in starts:
            plant.port().play(COUPLED[0], 0, tick, amplitude=0.1)
        plant.port().capture_begin(600, 400)  # asks for the level in the middle of both
        plant.port().capture_end(400)
        after = turned(plant, 0, end)
        levels = np.zeros(end)
        for row in plant.path[plant.path["qubit"] == 1]:  # the tone's start, then jumps
            levels[row["tick"] :] = row["level"]
            jump_count += 1
        shift_hz = COUPLERS[0].stark_hz_per_v2[0] + COUPLERS[0].zz_hz_per_v2 * levels
        expected = tau * 1e-9 * float(np.sum(volts**2 * shift_hz))
        assert math.remainder(after - before - expected, tau) == pytest.approx(0, abs=1e-9)
        assert math.hypot(plant.peek(0, end).x, plant.peek(0, end).y) == pytest.approx(1)
    assert jump_count > 50


def counted(plant: Plant, tones: dict[int, int], shots: list[dict[int, list[int]]]) -> int:
    """Return how many shots of readouts, qubits by tick after the shot's start, had all of the product's tones."""
    plant.watch(tones)
    for shot, ticks in enumerate(shots):
        plant.port().begin_shot(shot, shot * PERIOD)
        for tick, qubits in ticks.items():
            read(plant, shot * PERIOD + tick, *qubits)
    return plant.truth().product_count


def test_a_product_of_z_is_that_of_the_joint_state_where_tones_begin_together() -> None:
    """Exactly, whatever the levels that are found: of pairs and of all three, at the first tone and after one."""
    for tones, word in (({0: 0, 1: 0}, (3, 3, 0)), ({0: 0, 2: 0}, (3, 0, 3)), ({0: 0, 1: 0, 2: 0}, (3, 3, 3))):
        plays, end = random_plays(7, 2)
        for seed in range(2):
            plant, twin = plant_of(seed=seed), plant_of(seed=seed)
            plant.watch(tones)
            plant.port().begin_shot(0, 0)
            for one in (plant, twin):
                play_all(one, plays)
            read(plant, end, 0, 1, 2)
            truth = plant.truth()
            assert truth.product_count == 1
            assert truth.product_sum == pytest.approx(float(twin.joint(end)[word]), abs=1e-12)


def test_a_product_of_z_knows_the_levels_of_tones_that_began_before() -> None:
    """Qubit 0 is read first: its level, times what the joint state given that level has of qubit 1 when that is read."""
    plays, end = random_plays(7, 2)
    signs = set()
    for seed in range(12):
        plant = plant_of(seed=seed)
        plant.watch({0: 0, 1: 0})
        plant.port().begin_shot(0, 0)
        play_all(plant, plays)
        plant.log_path(64)
        read(plant, end, 0)
        assert plant.truth().product_count == 0
        read(plant, end + 700, 1)
        sign = 1 - 2 * found(plant, end)[0][0]
        known = sign * (1 - 2 * found(plant, end + 700)[1][1])
        assert plant.truth().product_sum == pytest.approx(known, abs=1e-12)
        signs.add(sign)
    assert signs == {-1, 1}


def test_a_product_of_z_counts_shots_that_have_all_of_its_tones() -> None:
    shots = [{0: [0, 1]}, {0: [0], 3000: [0, 1]}, {0: [1], 3000: [0]}, {0: [1, 0], 3000: [0]}]
    for tones, count in (({0: 1, 1: 0}, 2), ({0: 0, 1: 0}, 4), ({0: 0, 1: 1}, 0), ({}, 0)):
        assert counted(plant_of(), tones, shots) == count
