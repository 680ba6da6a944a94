"""A plant of three qubits with two couplers for tests, small enough for density matrices, and what a controller would play on it.

Qubits 0 and 1 are joined by coupler 0, qubits 2 and 1 by coupler 1. Lifetimes are short, so that relaxation shows within a gate; COHERENT
has none. Drive pulses are square and resonant, couplers' tones have soft edges.
"""

import math
from dataclasses import replace
from math import inf, pi, tau

import numpy as np

from qrt.firmware_sim.plant import Plant
from qrt.firmware_sim.plant_config import AdcConfig, CouplerConfig, LineConfig, PlantConfig, QubitConfig

Play = tuple[int, int, float, float]  # line, tick, amplitude, phase

MHZ = 1e6 * tau
FULL = 32767
VOLT = 0.5 / FULL
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


def play_all(plant: Plant, plays: list[Play]) -> None:
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


def turned(plant: Plant, qubit: int, tick: int) -> float:
    """Return the angle, rad, of a qubit's Bloch vector in the equator."""
    peek = plant.peek(qubit, tick)
    return math.atan2(peek.y, peek.x)


def entangle(plant: Plant, tick: int = 0, qubits: tuple[int, int] = (0, 1), coupler: int = 0) -> int:
    """Make a Bell state of two qubits in level 0, |00> and |11> with some phase between them; return the tick after it."""
    a, b = qubits
    rotate(plant, a, tick, pi / 2, pi / 2)
    return controlled_flip(plant, tick, b, coupler)


def controlled_flip(plant: Plant, tick: int, target: int, coupler: int) -> int:
    """Flip `target` where the coupler's other qubit is in level 1: a quarter turn, the tone, the frames shifted, a quarter turn back."""
    rotate(plant, target, tick, pi / 2, pi / 2)
    couple(plant, coupler, tick + PULSE)
    shift = undo_stark(coupler)[target]
    rotate(plant, target, tick + PULSE + TONE, pi / 2, -pi / 2 + shift)
    return tick + 2 * PULSE + TONE


def read(plant: Plant, tick: int, *qubits: int) -> None:
    """Play a projective tone of 1000 samples at each qubit's resonator."""
    for qubit in qubits:
        plant.port().play(FEED, 0, tick, amplitude=0.3, frequency=CONFIG.qubits[qubit].resonator_hz - 7.0e9)


def found(plant: Plant, tick: int) -> dict[int, tuple[int, float]]:
    """Return the level that a tone at `tick` found of each qubit, and its population just before."""
    rows = plant.path[plant.path["tick"] == tick]
    return {int(row["qubit"]): (int(row["level"]), float(row["population"])) for row in rows}
