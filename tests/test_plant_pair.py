"""Two-qubit gates in the plant: joint states against density matrices that are integrated here, closed forms, and outcomes counted.

The reference is in textbook physics, H = h f |1><1| and rotating frames, so that signs are tested too; the plant's own frame
(ffi/plant/plant.h) is its mirror image. Statistical tests have a fixed seed; each states its error rate if the seed were free.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, reduce
from math import inf, pi, tau

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from qrt.firmware_sim.plant import (
    AdcConfig,
    CouplerConfig,
    LineConfig,
    Plant,
    PlantConfig,
    QubitConfig,
)

MHZ = 1e6 * tau
FULL = 32767
VOLT = 0.5 / FULL
PERIOD = 20_000
PULSE = 20  # samples of segment 1, square
TONE = 40  # samples of segment 2, with soft edges
OMEGA_PER_V = 50 * MHZ
Q0 = QubitConfig(4.65e9, 2.5e-6, 3.1e-6, 0.03, OMEGA_PER_V, 7.10e9, 5 * MHZ, -1.5 * MHZ, 20 * MHZ, 0.3)
Q1 = replace(Q0, frequency_hz=5.37e9, t1_s=1.9e-6, t2_s=2.2e-6, thermal_population=0.02, resonator_hz=7.20e9)
Q2 = replace(Q0, frequency_hz=4.91e9, t1_s=4e-6, t2_s=1.4e-6, thermal_population=0.0, resonator_hz=7.30e9)
IDEAL = tuple(replace(q, t1_s=inf, t2_s=inf, thermal_population=0.0) for q in (Q0, Q1, Q2))
COUPLERS = (CouplerConfig((0, 1), -90e6, (30e6, -21e6)), CouplerConfig((2, 1), 70e6, (-12e6, 44e6)))
FEED, COUPLED = 3, (4, 5)  # lines
LINES = (
    *(LineConfig(index, qubit.frequency_hz, VOLT, VOLT) for index, qubit in enumerate((Q0, Q1, Q2))),
    LineConfig(None, 7.0e9, VOLT, VOLT),
    *(LineConfig(None, 6.1e9, VOLT, VOLT, coupler=index) for index in range(2)),
)
ADC = AdcConfig(volts_per_count=0.5 / 8192, volts_per_sqrt_hz_root=200 * 0.5 / 8192 / 22360, bits=14)
CONFIG = PlantConfig((Q0, Q1, Q2), LINES, ADC, couplers=COUPLERS)
COHERENT = replace(CONFIG, qubits=IDEAL)
EDGE = np.sin(np.linspace(0, pi / 2, 8)) ** 2
SHAPE = np.round(np.concatenate((EDGE, np.ones(TONE - 16), EDGE[::-1])) * FULL).astype(np.int16)
WEIGHT_S = float(np.sum((SHAPE * VOLT) ** 2)) * 1e-9  # integral of V^2 over a full tone, V^2 s


def plant_of(config: PlantConfig = CONFIG, seed: int = 1) -> Plant:
    """Return a plant at the start of shot 0, with a square segment of 1000 and of 20 samples and a soft one of 40 on each line."""
    plant = Plant(config)
    for line in range(len(config.lines)):
        for index, samples in enumerate((np.full(1000, FULL), np.full(PULSE, FULL), SHAPE)):
            plant.segment(line, index, samples.astype(np.int16), np.zeros(samples.size, np.int16))
    plant.start(seed)
    plant.port().begin_shot(0, 0)
    return plant


def rotate(plant: Plant, qubit: int, tick: int, angle: float, axis: float = 0.0) -> None:
    """Rotate by `angle` about the axis at `axis` rad from x, within 20 samples from `tick`."""
    plant.port().play(qubit, 1, tick, amplitude=angle / (OMEGA_PER_V * 0.5 * PULSE * 1e-9), phase=axis)


def amplitude_for(turns: float, coupler: int = 0) -> float:
    """Return the amplitude of a soft tone whose conditional phase is `turns` of 2 pi, with the coupler's sign."""
    return math.sqrt(turns / (abs(COUPLERS[coupler].zz_hz_per_v2) * WEIGHT_S))


def couple(plant: Plant, coupler: int, tick: int, turns: float = 0.5) -> None:
    plant.port().play(COUPLED[coupler], 2, tick, amplitude=amplitude_for(turns, coupler))


def undo_stark(coupler: int) -> dict[int, float]:
    """Return the phases, rad, by which a tone of half a turn turns each qubit beside its conditional phase: frames follow them."""
    one = COUPLERS[coupler]
    share = 0.5 / abs(one.zz_hz_per_v2)
    return {qubit: tau * share * stark for qubit, stark in zip(one.qubits, one.stark_hz_per_v2, strict=True)}


Play = tuple[int, int, float, float]  # line, tick, amplitude, phase


# ---- The reference: density matrices of n qubits, step by step ----------------------------------------------------------

PAULI = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
LOWER, EXCITED = np.array([[0, 1], [0, 0]], complex), np.diag([0.0, 1.0]).astype(complex)


def on(operator: NDArray, qubit: int, count: int) -> NDArray:
    """Return the operator of one qubit on the space of `count`, the first one leftmost."""
    return reduce(np.kron, [operator if k == qubit else np.eye(2) for k in range(count)])


def commutator(hamiltonian: NDArray) -> NDArray:
    """Return -i [H, .] on a density matrix written row by row."""
    eye = np.eye(len(hamiltonian))
    return -1j * (np.kron(hamiltonian, eye) - np.kron(eye, hamiltonian.T))


def dissipator(jump: NDArray) -> NDArray:
    eye, loss = np.eye(len(jump)), jump.conj().T @ jump
    return np.kron(jump, jump.conj()) - (np.kron(loss, eye) + np.kron(eye, loss.T)) / 2


MIRRORED = (1, -1, 1, 1)  # the plant's frame: complex conjugate, turned by half a turn about z


@cache
def rates_of(config: PlantConfig) -> tuple[NDArray, NDArray, NDArray]:
    """Return the generator of the joint state without any tone, per volt of drive, shape [qubits, 2 (re, im), ...], and per V^2.

    They are Lindblad's, written in the Pauli words as the plant has them; real.
    """
    count = len(config.qubits)
    signs = reduce(np.multiply.outer, [np.array(MIRRORED)] * count).reshape(-1)
    words = [reduce(np.kron, [PAULI[mu] for mu in index]).reshape(-1) for index in np.ndindex((4,) * count)]
    from_joint = (np.array(words) * signs[:, None]).T / 2**count
    to_joint = np.conj(np.array(words)) * signs[:, None]

    def generator(of_density: NDArray) -> NDArray[np.float64]:
        return (to_joint @ of_density @ from_joint).real

    free = np.zeros((4**count, 4**count), complex)
    for k, qubit in enumerate(config.qubits):
        up, down = qubit.thermal_population / qubit.t1_s, (1 - qubit.thermal_population) / qubit.t1_s
        dephasing = 2 * (1 / qubit.t2_s - 0.5 / qubit.t1_s)
        for rate, jump in ((down, LOWER), (up, LOWER.T), (dephasing, EXCITED)):
            free += rate * dissipator(on(jump, k, count))
    # Omega cos(w t + phi) X in the frame at w, where |1><0| has become |1><0| e^{i w t}; what rotates twice as fast is left out.
    raise_by = [OMEGA_PER_V / 2 * on(LOWER.T, k, count) for k in range(count)]
    drives = [[generator(commutator(np.conj(unit) * up + unit * up.T)) for unit in (1, 1j)] for up in raise_by]
    powers = []
    for coupler in config.couplers:
        a, b = (on(EXCITED, k, count) for k in coupler.qubits)
        shifts = coupler.zz_hz_per_v2 * a @ b + coupler.stark_hz_per_v2[0] * a + coupler.stark_hz_per_v2[1] * b
        powers.append(generator(commutator(tau * shifts)))
    return generator(free), np.array(drives), np.array(powers)


def reference_joint(
    config: PlantConfig, joint: NDArray, plays: list[Play], start: int, end: int
) -> NDArray[np.float64]:
    """Return what a joint state at tick `start` has become at `end`; plays are (line, tick, amplitude, phase)."""
    count = len(config.qubits)
    free, drives, powers = rates_of(config)
    volts = np.zeros((len(config.lines), end), complex)
    for line, tick, amplitude, phase in plays:
        samples = SHAPE if line in COUPLED else np.full(PULSE, FULL)
        volts[line, tick : tick + samples.size] += (
            samples * VOLT * round(amplitude * 65536) / 65536 * np.exp(1j * phase)
        )
    state = joint.reshape(-1)
    for n in range(start, end):
        both = np.stack((volts[:count, n].real, volts[:count, n].imag), axis=1)
        rate = free + np.tensordot(both, drives, 2) + np.tensordot(np.abs(volts[list(COUPLED), n]) ** 2, powers, 1)
        term = state
        for order in range(
            1, 13
        ):  # Taylor's series of the exponential, to rounding: the norm of a sample's rate is below 1/2
            term = rate @ term * (1e-9 / order)
            state = state + term
    return state.reshape(joint.shape)


def product(*vectors: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the joint state of qubits that are not correlated, from their Bloch vectors."""
    return reduce(np.multiply.outer, [np.array([1.0, *vector]) for vector in vectors])


def equilibrium(config: PlantConfig) -> NDArray[np.float64]:
    return product(*((0.0, 0.0, 1 - 2 * qubit.thermal_population) for qubit in config.qubits))


def play_all(plant: Plant, plays: list[tuple[int, int, float, float]]) -> None:
    for line, tick, amplitude, phase in plays:
        plant.port().play(
            line,
            2 if line in COUPLED else 1,
            tick,
            amplitude=amplitude,
            phase=phase,
            frequency=13e6 * (line in COUPLED),
        )


def random_plays(seed: int, couplers: int) -> tuple[list[Play], int]:
    """Return plays at random and the tick at which all have ended: drives of all qubits, tones of the first `couplers`, gaps."""
    random = np.random.default_rng(seed)
    plays: list[Play] = []
    tick = 3
    for _ in range(5):
        plays += [(q, tick + int(random.integers(3)), random.uniform(-1, 1), random.uniform(-pi, pi)) for q in range(3)]
        tick += PULSE + 2 + int(random.integers(30))
        plays.append((COUPLED[int(random.integers(couplers))], tick, random.uniform(0.5, 1), random.uniform(-pi, pi)))
        tick += TONE + int(random.integers(9))
    return sorted(plays, key=lambda play: play[1]), tick


@pytest.mark.parametrize(("seed", "couplers"), [(1, 1), (2, 2), (3, 2)])
def test_random_sequences_follow_the_density_matrix(seed: int, couplers: int) -> None:
    """Without relaxation to rounding; with it, to what the plant's drive pulses are good for (half a sample's relaxation at a time)."""
    plays, end = random_plays(seed, couplers)
    for config, bound in ((COHERENT, 1e-12), (CONFIG, 3e-5)):
        plant = plant_of(config)
        play_all(plant, plays)
        expected = reference_joint(config, equilibrium(config), plays, 0, end)
        np.testing.assert_allclose(plant.joint(end), expected, atol=bound)


def test_tones_that_relax_follow_the_density_matrix() -> None:
    """From the joint state that the plant says, so that drive pulses are left out: three tones on two couplers, two of them overlapping."""
    plant = plant_of()
    for qubit in range(3):
        rotate(plant, qubit, 0, 1.0 + 0.3 * qubit, 0.4 * qubit)
    start = plant.joint(PULSE)
    plays: list[Play] = [
        (COUPLED[0], 25, 0.9, 0.3),
        (COUPLED[0], 40, 0.4, 2.0),
        (COUPLED[1], 81, 0.8, 0.0),
        (COUPLED[0], 400, 0.7, 0.0),
    ]
    expected = reference_joint(CONFIG, start, plays, PULSE, 1000)
    for frequency in (0.0, 77e6):  # the same for every play on a line: nothing beats
        plant = plant_of()
        for qubit in range(3):
            rotate(plant, qubit, 0, 1.0 + 0.3 * qubit, 0.4 * qubit)
        for line, tick, amplitude, phase in plays:
            advanced = phase + tau * frequency * (tick - 25) * 1e-9
            plant.port().play(line, 2, tick, amplitude=amplitude, phase=advanced, frequency=frequency)
        np.testing.assert_allclose(plant.joint(1000), expected, atol=3e-6)  # half a sample's relaxation at a time


# ---- Closed forms -------------------------------------------------------------------------------------------------------


def turned(plant: Plant, qubit: int, tick: int) -> float:
    """Return the angle, rad, of a qubit's Bloch vector in the equator."""
    peek = plant.peek(qubit, tick)
    return math.atan2(peek.y, peek.x)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("which", [0, 1])
def test_a_tone_shifts_a_frequency_by_its_power(which: int, level: int) -> None:
    """Stark and conditional phase of either qubit are 2 pi |V|^2 t (stark + zz level), in sign and size, whatever the tone's phase."""
    one = COUPLERS[0]
    for amplitude, count in ((0.3, 1), (0.6, 1), (0.3, 4)):
        plant = plant_of(COHERENT)
        rotate(plant, 1 - which, 0, pi * level)
        rotate(plant, which, 0, pi / 2)
        before = turned(plant, which, PULSE)
        for k in range(count):
            plant.port().play(COUPLED[0], 2, 30 + TONE * k, amplitude=amplitude, phase=1.1 * k, frequency=31e6 * k)
        after = turned(plant, which, 30 + TONE * count)
        power_s = WEIGHT_S * (round(amplitude * 65536) / 65536) ** 2 * count
        expected = tau * power_s * (one.stark_hz_per_v2[which] + one.zz_hz_per_v2 * level)
        assert math.remainder(after - before - expected, tau) == pytest.approx(0, abs=1e-9)
        assert plant.peek(1 - which, 30 + TONE * count).z == pytest.approx(1 - 2 * level, abs=1e-9)


def test_a_frequency_that_rises_turns_as_one_that_has_drifted_up() -> None:
    """The sign of a shift is that of the 0-1 frequency, as the plant's drift has it."""
    up = replace(COHERENT, couplers=(CouplerConfig((0, 1), 0.0, (40e6, 0.0)),), lines=LINES[:5])
    plant = plant_of(up)
    rotate(plant, 0, 0, pi / 2)
    before = turned(plant, 0, PULSE)
    plant.port().play(COUPLED[0], 2, 30, amplitude=0.3)
    risen = math.remainder(turned(plant, 0, 30 + TONE) - before, tau)
    drifting = replace(COHERENT, qubits=(replace(IDEAL[0], frequency_drift_hz_per_s=1e9), *IDEAL[1:]))
    plant = plant_of(drifting)
    plant.port().begin_shot(1, 1_000_000)  # 1 MHz up
    rotate(plant, 0, 1_000_000, pi / 2)
    before = turned(plant, 0, 1_000_000 + PULSE)
    drifted = math.remainder(turned(plant, 0, 1_000_000 + PULSE + 50) - before, tau)
    assert risen > 0.1
    assert drifted == pytest.approx(tau * 1e6 * 50e-9)


def entangle(plant: Plant, tick: int = 0, qubits: tuple[int, int] = (0, 1), coupler: int = 0) -> int:
    """Make a Bell state of two qubits in level 0, (|00> - i|11>) / sqrt 2 up to phases that z cannot see; return the tick after it."""
    a, b = qubits
    rotate(plant, a, tick, pi / 2, pi / 2)
    return controlled_flip(plant, tick, b, coupler, already=(a,))


def controlled_flip(plant: Plant, tick: int, target: int, coupler: int, already: tuple[int, ...] = ()) -> int:
    """Flip `target` where the coupler's other qubit is in level 1: a quarter turn, the tone, the frames shifted, a quarter turn back."""
    rotate(plant, target, tick, pi / 2, pi / 2)
    couple(plant, coupler, tick + PULSE)
    shift = undo_stark(coupler)[target]
    rotate(plant, target, tick + PULSE + TONE, pi / 2, -pi / 2 + shift)
    return tick + 2 * PULSE + TONE


def test_cz_on_two_superpositions() -> None:
    """Of |++> it makes <X Z> = <Z X> = <Y Y> = 1, and the single qubits know nothing, in frames shifted by the Stark phases."""
    plant = plant_of(COHERENT)
    for qubit in (0, 1):
        rotate(plant, qubit, 0, pi / 2, pi / 2)  # level 0 to +x
    couple(plant, 0, PULSE)
    joint = plant.joint(PULSE + TONE)[:, :, 0]
    for qubit, phase in undo_stark(0).items():
        c, s = math.cos(phase), math.sin(phase)
        back = np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0], [0, 0, 0, 1]])
        joint = np.moveaxis(np.tensordot(back, joint, (1, qubit)), 0, qubit)
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[1, 3] = expected[3, 1] = expected[2, 2] = 1.0
    np.testing.assert_allclose(joint, expected, atol=2e-5)  # the amplitude's 17 bits


def test_a_bell_state_relaxes_as_its_closed_form() -> None:
    """Cold qubits: <ZZ> from the levels' decay; <X X> and <Y Y> with both T2; then the correlation ends and is forgotten."""
    cold = tuple(replace(q, thermal_population=0.0) for q in (Q0, Q1, Q2))
    plant = plant_of(replace(CONFIG, qubits=cold))
    start = entangle(plant)
    first = plant.joint(start)[:, :, 0]
    a, b = cold[:2]
    for wait in (1, 300, 2_000, 9_000):
        joint = plant.joint(start + wait)[:, :, 0]
        t = wait * 1e-9
        coherence = math.exp(-t / a.t2_s - t / b.t2_s)
        np.testing.assert_allclose(joint[1:3, 1:3], first[1:3, 1:3] * coherence, atol=1e-12)
        da, db = math.exp(-t / a.t1_s), math.exp(-t / b.t1_s)
        z = [1 + (first[3, 0] - 1) * da, 1 + (first[0, 3] - 1) * db]
        both = 1 - da - db + da * db + da * (1 - db) * first[3, 0] + db * (1 - da) * first[0, 3] + da * db * first[3, 3]
        np.testing.assert_allclose([joint[3, 0], joint[0, 3], joint[3, 3]], [*z, both], atol=1e-12)
    plant.joint(60_000)
    plant.port().begin_shot(1, 60_000)
    joint = plant.joint(60_000)[:, :, 0]
    assert np.array_equal(joint, np.multiply.outer(joint[:, 0], joint[0, :]))  # exactly: two Bloch vectors


def test_three_qubits_over_two_couplers() -> None:
    """A GHZ state: pairs of z agree, no qubit has a direction, and the four words of three x and y are +-1 with the product -1."""
    plant = plant_of(COHERENT)
    tick = entangle(plant, qubits=(0, 1))
    tick = controlled_flip(plant, tick, 2, 1)
    joint = plant.joint(tick)
    for index in ((3, 3, 0), (0, 3, 3), (3, 0, 3)):
        assert joint[index] == pytest.approx(1, abs=1e-4)
    for index in ((1, 0, 0), (0, 0, 3), (0, 2, 0), (1, 1, 0), (0, 2, 1), (3, 3, 3)):
        assert joint[index] == pytest.approx(0, abs=5e-3)
    # The phase between |000> and |111> is what the Stark shifts left; along it the eight words have their closed form.
    phase = math.atan2(joint[2, 1, 1], joint[1, 1, 1])
    for index in np.ndindex(2, 2, 2):
        expected = math.cos(phase - pi / 2 * sum(index))
        assert joint[tuple(1 + k for k in index)] == pytest.approx(expected, abs=1e-3)


# ---- Measurement ------------------------------------------------------------------------------------------------------


def read(plant: Plant, tick: int, *qubits: int) -> None:
    """Play a projective tone of 1000 samples at each qubit's resonator."""
    for qubit in qubits:
        plant.port().play(FEED, 0, tick, amplitude=0.3, frequency=CONFIG.qubits[qubit].resonator_hz - 7.0e9)


def found(plant: Plant, tick: int) -> dict[int, tuple[int, float]]:
    """Return the level that a tone at `tick` found of each qubit, and its population just before."""
    rows = plant.path[plant.path["tick"] == tick]
    return {int(row["qubit"]): (int(row["level"]), float(row["population"])) for row in rows}


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
