"""A qubit and its readout worked out by hand: what the loop must show, from closed forms and integrals over jump times.

It shares nothing with the plant or the runtime but three structs that only carry numbers. Pulses are products of matrix exponentials of
the Bloch equation (scipy), one per held DAC sample. Fields are geometric sums in closed form, no recurrence. The level is a Markov
chain with leaving rates r_0 = p_thermal / T1 and r_1 = (1 - p_thermal) / T1; outcomes come from a Gaussian for each path, and paths are
integrated over the times of the first and the second jump (Simpson). Three jumps within one capture are left out: 1e-5 at most here.

Conventions (mitigation.md 7): d alpha_j/dt = -(kappa/2 + i (Delta + s_j chi)) alpha_j - i eps(t), s_0 = +1, s_1 = -1; at the ADC stands
sqrt(2) Re[sqrt(kappa eta) alpha e^{i phi}] and white noise of 1/2 per quadrature: a variance of 1/(2 dt) per sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt, tau

import numpy as np
from scipy.integrate import simpson
from scipy.linalg import expm
from scipy.special import ndtr

from qrt.firmware_sim.plant_config import AdcConfig, QubitConfig

SAMPLE_S = 1e-9
JUMPS = 51  # points of the integral over one jump
PAIRS = 13  # per axis of the integral over two
WEIGHT_MAX = 4095


# ---- Pulses ------------------------------------------------------------------------------------------------------------


def cosine(count: int) -> np.ndarray:
    """Return a pulse that rises and falls as (1 - cos) / 2, its samples in the middles. [samples]"""
    return 0.5 - 0.5 * np.cos(tau * (np.arange(count) + 0.5) / count)


def amplitude_for(angle: float, qubit: QubitConfig, volts: float, envelope: np.ndarray, offset_hz: float) -> float:
    """Return the amplitude that turns a resonant qubit by `angle`: a held sample has sinc(f dt) of its volts at f."""
    area_s = float(np.sum(envelope)) * SAMPLE_S * np.sinc(offset_hz * SAMPLE_S)
    return angle / (qubit.drive_rad_per_s_per_v * volts * area_s)


def pulse(qubit: QubitConfig, source_hz: float, volts: np.ndarray) -> np.ndarray:
    """Return what complex volts, each held for a sample, do to (1, x, y, z) in the frame of the source. [4, 4]

    The Bloch equation with relaxation to z = 1 - 2 p_thermal and T2, level 0 at z = +1.
    """
    total, delta = np.eye(4), tau * (qubit.frequency_hz - source_hz)
    for volt in volts:
        w = qubit.drive_rad_per_s_per_v * volt
        law = np.zeros((4, 4))
        law[1:, 1:] = [
            [-1 / qubit.t2_s, -delta, w.imag],
            [delta, -1 / qubit.t2_s, -w.real],
            [-w.imag, w.real, -1 / qubit.t1_s],
        ]
        law[3, 0] = (1 - 2 * qubit.thermal_population) / qubit.t1_s
        total = expm(law * SAMPLE_S) @ total
    return total


def tone_volts(volt: float, envelope: np.ndarray, offset_hz: float, phase: float = 0.0) -> np.ndarray:
    """Return the volts of an envelope on an oscillator, as the DAC holds them."""
    return volt * envelope * np.exp(1j * (tau * offset_hz * SAMPLE_S * np.arange(len(envelope)) + phase))


def flip(qubit: QubitConfig, source_hz: float, volts: np.ndarray) -> np.ndarray:
    """Return P(level k after | level j before) of a pulse between definite levels. [after, before]"""
    z = pulse(qubit, source_hz, volts) @ np.array([[1, 1], [0, 0], [0, 0], [1, -1]])
    ones = (1 - z[3]) / 2
    return np.array([1 - ones, ones])


def decay(qubit: QubitConfig, seconds: float) -> np.ndarray:
    """Return P(level k after | level j before) of waiting. [after, before]"""
    rest = np.array([1 - qubit.thermal_population, qubit.thermal_population])
    return rest[:, None] + np.exp(-seconds / qubit.t1_s) * (np.eye(2) - rest[:, None])


# ---- Readout -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Readout:
    """One square tone of `count` samples on an empty resonator, captured while it plays."""

    qubit: QubitConfig
    adc: AdcConfig
    source_hz: float
    tone_hz: float  # above the source
    volt: float
    count: int = 1000
    played: np.ndarray | None = None  # weights of somebody else, int16 [2, count]

    def _law(self, level: int) -> tuple[complex, complex, complex]:
        """Return the factor of one sample of a level's field, what one volt adds to it, and the carrier's step."""
        q = self.qubit
        rate = -q.kappa_rad_per_s / 2 + 1j * (
            tau * (q.resonator_hz - self.source_hz) - (1 - 2 * level) * q.chi_rad_per_s
        )
        step = np.exp(rate * SAMPLE_S)
        return step, -1j * q.readout_rad_per_s_per_v * (step - 1) / rate, np.exp(1j * tau * self.tone_hz * SAMPLE_S)

    def field(self, level: int, start: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return the field of a level from sample `start` on, when it was `before`; [..., count], of use where n >= start."""
        step, kick, turn = self._law(level)
        n = np.arange(self.count + 1)
        since = np.maximum(n - start[..., None], 0)
        free = step**n  # a table: powers of whole numbers of samples
        driven = (self.volt * kick / (turn - step)) * (turn**n - free)
        return before[..., None] * free[since] + turn ** start[..., None] * driven[since]

    def path(self, level: int, *jumps: np.ndarray) -> np.ndarray:
        """Return the field for a level that jumps at these samples, ascending, of equal shapes [...]: [..., count + 1]."""
        shape = jumps[0].shape if jumps else ()
        fields = self.field(level, np.zeros(shape, int), np.zeros(shape, complex))
        for k, jump in enumerate(jumps):
            at = np.take_along_axis(fields, jump[..., None], axis=-1)[..., 0]
            later = self.field((level + k + 1) % 2, jump, at)
            fields = np.where(np.arange(self.count + 1) >= jump[..., None], later, fields)
        return fields

    def counts(self, level: int, *jumps: np.ndarray) -> np.ndarray:
        """Return the capture without noise and rounding, [..., count]."""
        q = self.qubit
        gain = self.adc.volts_per_sqrt_hz_root / self.adc.volts_per_count * sqrt(2 * q.kappa_rad_per_s * q.efficiency)
        return gain * np.real(self.path(level, *jumps)[..., : self.count] * np.exp(1j * q.output_phase_rad))

    @cached_property
    def weights(self) -> np.ndarray:
        """Return weights matched to the levels' difference, int16 [2, count]; the second row is nobody's business here."""
        if self.played is not None:
            return self.played
        difference = self.counts(1) - self.counts(0)
        row = np.rint(difference * WEIGHT_MAX / np.abs(difference).max()).astype(np.int16)
        return np.stack([row, np.roll(row, 2)])

    @cached_property
    def sigma(self) -> float:
        """Return the noise of iq[0]: white noise, and the ADC's rounding."""
        per_sample = (self.adc.volts_per_sqrt_hz_root / self.adc.volts_per_count) ** 2 * 0.5 / SAMPLE_S + 1 / 12
        return sqrt(per_sample * float(np.sum(self.weights[0].astype(float) ** 2)))

    def iq(self, level: int, *jumps: np.ndarray) -> np.ndarray:
        """Return the mean iq[0] of a path."""
        return self.counts(level, *jumps) @ self.weights[0].astype(float)

    @cached_property
    def clouds(self) -> tuple[float, float]:
        """Return the means of iq[0] without a jump."""
        return float(self.iq(0)), float(self.iq(1))

    @property
    def middle(self) -> float:
        """Return the threshold between the clouds."""
        return sum(self.clouds) / 2

    @cached_property
    def _paths(self) -> tuple[list, np.ndarray, np.ndarray]:
        """Return, over jump samples, iq[0] of paths with one and with two jumps per starting level, and the samples."""
        one = np.linspace(0, self.count, JUMPS).astype(int)
        two = np.linspace(0, self.count, PAIRS).astype(int)
        first, second = np.meshgrid(two, two, indexing="ij")
        pairs = [self.iq(j, np.minimum(first, second), np.maximum(first, second)) for j in (0, 1)]
        return [(self.iq(j, one), pairs[j]) for j in (0, 1)], one * SAMPLE_S, two * SAMPLE_S

    def joint(self, threshold: float) -> np.ndarray:
        """Return P(outcome m, level k at the capture's end | level j at its start). [m, k, j]"""
        q, end = self.qubit, self.count * SAMPLE_S
        rate = np.array([q.thermal_population, 1 - q.thermal_population]) / q.t1_s
        paths, t, pair = self._paths
        first, second = np.meshgrid(pair, pair, indexing="ij")
        result = np.zeros((2, 2, 2))
        for j in (0, 1):
            stay, leave = rate[j], rate[1 - j]
            none = np.exp(-stay * end)
            one = stay * np.exp(-stay * t - leave * (end - t))
            # Both orders of the two times are on the square: half of it.
            gap = np.abs(second - first)
            two = 0.5 * stay * leave * np.exp(-stay * (end - gap) - leave * gap)
            for m in (0, 1):
                p = [ndtr((2 * m - 1) * (iq - threshold) / self.sigma) for iq in (self.clouds[j], *paths[j])]
                result[m, j, j] = none * p[0] + simpson(simpson(two * p[2], x=pair), x=pair)
                result[m, 1 - j, j] = simpson(one * p[1], x=t)
        return result

    def assignment(self, threshold: float) -> np.ndarray:
        """Return P(outcome m | level j at the start). [m, j]"""
        return self.joint(threshold).sum(axis=1)


def reset_population(
    joint: np.ndarray, start: np.ndarray, idle: np.ndarray, on_zero: np.ndarray, on_one: np.ndarray
) -> np.ndarray:
    """Return the populations at the second tone [level]: mitigation.md 7, active reset.

    Args:
      joint: P(m, k at the capture's end | j)
      start: populations at the first tone
      idle: from the capture's end to the decision, [after, before]
      on_zero: from the decision to the second tone where the outcome was 0
      on_one: the same where it was 1: the flip

    """
    decided = np.einsum("lk,mkj,j->ml", idle, joint, start)
    return on_zero @ decided[0] + on_one @ decided[1]


def rabi(omega: float, detuning: float, seconds: float) -> float:
    """Return the population of level 1 after a square pulse: Omega^2/(Omega^2 + Delta^2) sin^2(sqrt(Omega^2 + Delta^2) t / 2)."""
    general = np.hypot(omega, detuning)
    return float(omega**2 / general**2 * np.sin(general * seconds / 2) ** 2)


def turn(angle: float, axis: str) -> np.ndarray:
    """Return e^{-i angle sigma / 2}. [2, 2]"""
    sigma = {"x": [[0, 1], [1, 0]], "y": [[0, -1j], [1j, 0]], "z": [[1, 0], [0, -1]]}[axis]
    return expm(-0.5j * angle * np.array(sigma))
