"""Small least-squares fits with uncertainties, for the handful of closed forms that a calibration meets.

`least_squares` is Levenberg's method with a numerical Jacobian: a few parameters, tens of points, known standard errors. `scan` finds the
start for it where the model is periodic and a wrong start ends in a wrong valley: the one parameter that is not linear is tried on
a grid, with all others solved for. Below them are the models; each takes (parameters, x), in the units of its caller.

Numpy alone: the fits run once per calibration, in the host's process. tests/test_calibrate_fit.py compares them with scipy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.types import Estimated

Array = NDArray[np.float64]
Model = Callable[[Array, Array], Array]
ITERATIONS_MAX: Final = 200


class Fit(NamedTuple):
    """A minimum of chi2 = sum ((y - model) / sigma)^2."""

    values: Array  # [parameters]
    covariance: Array  # [parameters, parameters], from the given standard errors alone
    chi2: float
    freedom: int  # points minus parameters
    converged: bool

    def estimated(self, index: int) -> Estimated:
        """Return a parameter; where the points scatter more than their standard errors say, its own grows with them."""
        inflation = max(1.0, self.chi2 / self.freedom) if self.freedom > 0 else 1.0
        return Estimated(float(self.values[index]), float(np.sqrt(max(self.covariance[index, index], 0.0) * inflation)))


def times(estimated: Estimated, factor: float) -> Estimated:
    """Return a number in other units."""
    return Estimated(estimated.value * factor, estimated.stderr * abs(factor))


def wrapped(estimated: Estimated) -> Estimated:
    """Return an angle in rad, taken to [-pi, pi)."""
    return Estimated((estimated.value + np.pi) % (2.0 * np.pi) - np.pi, estimated.stderr)


def inverse(estimated: Estimated) -> Estimated:
    """Return 1 / a number that is far from 0."""
    return Estimated(1.0 / estimated.value, estimated.stderr / estimated.value**2)


def weighted(several: Sequence[Estimated]) -> Estimated:
    """Return the mean of estimates of one number, each weighing as its standard error says."""
    weights = np.array([one.stderr for one in several]) ** -2.0
    return Estimated(float(np.average([one.value for one in several], weights=weights)), float(weights.sum() ** -0.5))


def least_squares(model: Model, x: Array, y: Array, sigma: Array, start: Sequence[float]) -> Fit:
    """Return the minimum near `start`.

    Args:
      model: f(parameters [parameters], x) -> [points]
      x: whatever the model takes; its first axis need not be the points
      y: measured values. [points]
      sigma: their standard errors, above 0. [points]
      start: parameters to start from, each of the size that it will have; 1 is taken for the size of one that starts at 0

    """
    scale = np.array([abs(value) if abs(value) > 1e-9 else 1.0 for value in start])
    position = np.asarray(start, dtype=float) / scale

    def residuals(at: Array) -> Array:
        return np.asarray((y - model(at * scale, x)) / sigma)

    damping, now = 1e-3, residuals(position)
    chi2, converged = float(now @ now), False
    assert np.isfinite(chi2), f"the model or the points are not finite at the start {list(start)}"
    for _ in range(ITERATIONS_MAX):
        jacobian = _jacobian(residuals, position)
        curvature, slope = jacobian.T @ jacobian, jacobian.T @ now
        size = _column_sizes(curvature)
        lowered = curvature / np.outer(size, size) + damping * np.eye(len(size))
        step = -np.linalg.lstsq(lowered, slope / size, rcond=None)[0] / size
        then = residuals(position + step)
        chi2_then = float(then @ then)
        if np.isfinite(chi2_then) and chi2_then <= chi2:
            converged = chi2 - chi2_then <= 1e-9 * (chi2 + 1e-12) and bool(np.max(np.abs(step * size)) < 1e-3)
            position, now, chi2 = position + step, then, chi2_then
            damping = max(damping / 5.0, 1e-12)
            if converged:
                break
        else:
            damping *= 4.0
            if damping > 1e12:  # no direction goes down: the numerical floor of a minimum
                converged = True
                break
    jacobian = _jacobian(residuals, position)
    curvature = jacobian.T @ jacobian
    size = _column_sizes(curvature)
    inverse = np.linalg.pinv(curvature / np.outer(size, size), rcond=1e-12)
    covariance = np.asarray(inverse * np.outer(scale / size, scale / size), float)
    return Fit(position * scale, covariance, chi2, len(y) - len(position), converged)


def _column_sizes(curvature: Array) -> Array:
    """Return the lengths of the Jacobian's columns, so that parameters of any size weigh alike; 1 for one without effect."""
    diagonal = np.diag(curvature)
    return np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))


def _jacobian(function: Callable[[Array], Array], position: Array) -> Array:
    """Return d function / d position by central differences, [points, parameters]."""
    columns = []
    for index in range(len(position)):
        step = 1e-6 * max(abs(position[index]), 1e-2)
        move = np.zeros(len(position))
        move[index] = step
        columns.append((function(position + move) - function(position - move)) / (2.0 * step))
    return np.stack(columns, axis=1)


def scan(columns: Callable[[float], Array], y: Array, sigma: Array, grid: Array) -> tuple[float, Array]:
    """Return (best grid value, linear coefficients) of y = columns(value) @ coefficients, columns [points, coefficients]."""
    best: tuple[float, float, Array] | None = None
    for value in grid.tolist():
        matrix = columns(value) / sigma[:, None]
        coefficients = np.asarray(np.linalg.lstsq(matrix, y / sigma, rcond=1e-9)[0], float)
        rest = y / sigma - matrix @ coefficients
        chi2 = float(rest @ rest)
        if best is None or chi2 < best[0]:
            best = (chi2, value, coefficients)
    assert best is not None, "a grid has at least one value"
    return best[1], best[2]


def straight(values: Array, sigma: Array) -> float:
    """Return chi2 of `values` against their weighted mean: how much they change at all."""
    mean = np.sum(values / sigma**2) / np.sum(1.0 / sigma**2)
    return float(np.sum(((values - mean) / sigma) ** 2))


# ---- Models --------------------------------------------------------------------------------------------------------


def rabi(parameters: Array, amplitude: Array) -> Array:
    """Return c - b cos(k a): one resonant pulse of amplitude a turns by k a. Parameters c, b, k."""
    c, b, k = parameters
    return np.asarray(c - b * np.cos(k * amplitude))


def train(parameters: Array, count: Array) -> Array:
    """Return c - b r^n cos(n theta): n equal pulses, each turns by theta and keeps r of the contrast. Parameters c, b, r, theta."""
    c, b, keep, theta = parameters
    return np.asarray(c - b * np.abs(keep) ** count * np.cos(count * theta))


def flips(parameters: Array, count: Array) -> Array:
    """Return c - b (-r)^n: n flips, each keeps r of the contrast. Parameters c, b, r."""
    c, b, keep = parameters
    return np.asarray(c - b * np.abs(keep) ** count * np.cos(np.pi * count))


def decay(parameters: Array, time: Array) -> Array:
    """Return c + b exp(-g t). Parameters c, b, g."""
    c, b, rate = parameters
    return np.asarray(c + b * np.exp(-rate * time))


def ramsey(parameters: Array, points: Array) -> Array:
    """Return c + b exp(-g t) cos(w t + p - q). Parameters c, b, g, w, p; points [2, points]: t, and q, the quadrature."""
    c, b, rate, omega, phase = parameters
    time, quadrature = points
    return np.asarray(c + b * np.exp(-rate * time) * np.cos(omega * time + phase - quadrature))


def echo(parameters: Array, points: Array) -> Array:
    """Return c + s b exp(-g t). Parameters c, b, g; points [2, points]: t, and the sign s."""
    c, b, rate = parameters
    time, sign = points
    return np.asarray(c + sign * b * np.exp(-rate * time))


def power(parameters: Array, count: Array) -> Array:
    """Return a p^m. Parameters a, p."""
    a, keep = parameters
    return np.asarray(a * np.abs(keep) ** count)


def sine(parameters: Array, x: Array) -> Array:
    """Return b sin(k (x - x0)). Parameters b, k, x0."""
    b, k, middle = parameters
    return np.asarray(b * np.sin(k * (x - middle)))


def driven(parameters: Array, points: Array) -> Array:
    """Return c + b W^2 / (W^2 + D^2) sin^2(T sqrt(W^2 + D^2) / 2), D = 2 pi (f - f0): a level after a square pulse of length T.

    Parameters c, b, f0; points [3, points]: f, T, W.
    """
    c, b, middle = parameters
    hz, length, omega = points
    whole = omega**2 + (2.0 * np.pi * (hz - middle)) ** 2
    return np.asarray(c + b * omega**2 / whole * np.sin(length * np.sqrt(whole) / 2.0) ** 2)


def rung(parameters: Array, points: Array) -> Array:
    """Return b |(T - (1 - e^(-z T)) / z) / z|, z = k / 2 + 2 pi i (f - f0): a resonator's field summed over a tone from its start on.

    The field obeys a' = -z a + drive. Parameters b, f0, k; points [2, points]: f, and T.
    """
    b, middle, kappa = parameters
    hz, length = points
    z = kappa / 2.0 + 2j * np.pi * (hz - middle)
    return np.asarray(b * np.abs((length - (1.0 - np.exp(-z * length)) / z) / z))


def conditional(parameters: Array, points: Array) -> Array:
    """Return c_l + b_l Re[e^{i (p + k P - q)} G(n_l, m P)], and behind it n_0, n_1, which are measured beside the fringe. [points + 2]

    A fringe whose phase goes with a power P, k P, and m P more in the shots in which another qubit is in level 1. Wanted in level l, it is
    there in a share n_l of them; of these a share g returns to level 0 at any time while the power is on. So the mean over the shots is

        G(n, x) = 1 - n + n [(1 - g) e^{ix} + g (e^{ix} - 1) / ix]

    Parameters c_0, c_1, b_0, b_1, k, m, p, n_0, n_1; points [4, points]: l, P, q, the quadrature, and g.
    """
    alone, more, phase = parameters[4:7]
    level, power, quadrature, lost = points
    c, b, n = (np.where(level > 0.0, pair[1], pair[0]) for pair in (parameters[:2], parameters[2:4], parameters[7:]))
    x = more * power
    there = (1.0 - lost) * np.exp(1j * x) + lost * np.exp(0.5j * x) * np.sinc(x / (2.0 * np.pi))
    fringe = np.exp(1j * (phase + alone * power - quadrature)) * (1.0 - n + n * there)
    return np.append(c + b * fringe.real, parameters[7:])


def conditional_start(y: Array, power: Array) -> tuple[float, ...]:
    """Return where to look for c_0 to p: y [levels, powers, quadratures], which are 0, pi/2, pi, 3 pi/2.

    Phases are followed up to a turn a step of the power, which steps out of line tell from slower ones.
    """
    fringe = y[..., 0] - y[..., 2] + 1j * (y[..., 1] - y[..., 3])
    rates = np.linspace(-2.0 * np.pi, 2.0 * np.pi, 2401) / np.diff(power).max()
    alone, other = rates[np.abs(fringe @ np.exp(-1j * np.outer(power, rates))).argmax(axis=1)]
    contrast = np.abs(fringe).mean(axis=1) / 2.0 * np.sign((fringe[0] @ np.exp(-1j * alone * power)).real)
    return (*y.mean(axis=(1, 2)).tolist(), *contrast.tolist(), alone, other - alone, 0.0)


def turn(vector: Array) -> Array:
    """Return the rotation about a vector by its length (Rodrigues). [3, 3]"""
    size = float(np.linalg.norm(vector)) or 1.0
    x, y, z = vector / size
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(size) * cross + (1.0 - np.cos(size)) * cross @ cross)


# ---- Columns of `scan` ---------------------------------------------------------------------------------------------


def turning_by(count: Array, angle: float) -> Array:
    """Return the columns 1, cos(n angle) of a scan over n."""
    return np.stack([np.ones_like(count), np.cos(count * angle)], axis=1)


def precessing(points: Array, detuning_hz: float) -> Array:
    """Return the columns 1, cos, sin of a Ramsey scan over [2, points]: times, quadratures."""
    angle = 2.0 * np.pi * detuning_hz * points[0] - points[1]
    return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=1)
