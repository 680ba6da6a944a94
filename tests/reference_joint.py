"""Joint states of several qubits by Lindblad's equation, sample by sample: the reference of the plant's two-qubit gates.

In textbook physics, H = h f |1><1| and rotating frames, so that signs are tested, too; the plant's own frame (ffi/plant/plant.h) is its
mirror image. A joint state is < sigma_mu (x) sigma_nu (x) ... >, sigma = 1, X, Y, Z, one axis of four a qubit, as `Plant.joint` has it.
"""

from functools import cache, reduce
from math import tau

import numpy as np
from numpy.typing import NDArray

from qrt.firmware_sim.plant_config import PlantConfig
from tests.coupled_plant import COUPLED, FULL, PULSE, SHAPE, VOLT, Play

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
    raise_by = [qubit.drive_rad_per_s_per_v / 2 * on(LOWER.T, k, count) for k, qubit in enumerate(config.qubits)]
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
