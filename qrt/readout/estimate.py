"""From sums over shots to estimates with error bars.

Here live the layout of the sums that the batch process sends (`Sums`), the tables that a shot's weight is looked up in, and
`combine`, which makes estimates of them. No JAX and no plant: numpy and closed forms, cheap enough to call after every batch.

The weight of a shot for the observable Z on the bits S is w = prod_{k in S} a_k(b_k), with a_k(b) = (s_b - delta_k) / eta_k, s_0 = 1,
s_1 = -1, delta = eps1 - eps0, eta = 1 - eps0 - eps1, eps0 = A[1, 0], eps1 = A[0, 1] (mitigation.md 5.2). The mean weight is what a perfect
readout would have averaged. Its standard error has these parts:

shot         spread of the weights over the shots. Successive shots are not independent where the period is below T1, since a qubit
             keeps its level from one shot to the next; so autocovariances enter, from lag 1 to the first that cannot be told from 0.
             Of a sweep it is their spread around the mean of their own point: steps between points are no noise (`Within`).
             Shots that all agree have no spread, and yet n of them do not prove that the next one agrees: the rule of succession
             (a flat prior, of which n agreeing shots leave Beta(n + 1, 1)) gives the least that the bar may be.
calibration  sampling of the reference shots, by the delta method: dz/deps0_k = (z_R + z_S) / eta_k, dz/deps1_k = -(z_R - z_S) / eta_k with
             R = S without k, summed over the bits of one qubit before squaring, as they share its assignment matrix.
preparation  the same derivatives times what is not known of the reference shots' preparation.
drift        0: nothing tracks a drift yet.

The mean of 1/eta over calibrations is not 1/mean(eta): the tables carry the second-order correction, so that the average over
calibrations is unbiased, too. Products of two bits of one qubit keep a remainder of order v = eps (1 - eps) / reference_count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.errors import ProgramError
from qrt.types import Estimate, QubitCalibration, StdErr

LAG_COUNT: Final = 32  # autocovariances kept; beyond it the decay is continued geometrically

Observable = tuple[int, ...]  # ascending bit indices: the product of Z on these bits


class Sums(NamedTuple):
    """Sums over valid shots; sums of two disjoint sets of whole batches add.

    `supports` (below) gives the order of `weight`: the observables first, then each with one bit left out.
    """

    shots: int  # valid ones
    weight: NDArray[np.float64]  # [supports] sum of w
    raw: NDArray[np.float64]  # [observables] sum of the product of signs as read
    square: NDArray[np.float64]  # [observables, observables] sum of w_i w_j
    pairs: NDArray[np.int64]  # [lags] valid pairs of shots at distance 1, 2, ... in one batch
    weight_lagged: NDArray[np.float64]  # [lags, observables] sum over these pairs of w_s w_{s + lag}
    raw_lagged: NDArray[np.float64]  # [lags, observables] the same for the raw signs


class Within(NamedTuple):
    """What the error bar of all shots of a sweep needs beside their sums: the means m of its points, of which n shots each count, N in all.

    A shot scatters around the mean of its own point. Of two shots, each is taken from its own mean, at one point or at two.
    """

    points: int  # that have shots
    unseen: float  # sum of (n / N)^2 unseen_variance(n)
    weight: NDArray[np.float64]  # [observables] mean over shots of m^2 of their points' mean weights
    raw: NDArray[np.float64]  # [observables] the same of the raw signs
    own: NDArray[np.float64]  # [lags] share of the pairs whose shots are at one point
    weight_lagged: NDArray[
        np.float64
    ]  # [lags, observables] mean over pairs of the product of their points' mean weights
    raw_lagged: NDArray[np.float64]  # [lags, observables] the same of the raw signs


class _Scatter(NamedTuple):
    """Of one quantity, around what its shots are expected to be."""

    variance: float  # mean square deviation from it
    divisor: int  # by which that is divided for the variance of the mean, were shots independent
    lagged: NDArray[np.float64]  # [lags] the mean product of what both shots of a pair are expected to be


def no_sums(observables: Sequence[Observable]) -> Sums:
    """Return the sums over no shot."""
    count, lagged = len(observables), (LAG_COUNT, len(observables))
    support_count = len(supports(observables))
    return Sums(
        0,
        np.zeros(support_count),
        np.zeros(count),
        np.zeros((count, count)),
        np.zeros(LAG_COUNT, np.int64),
        np.zeros(lagged),
        np.zeros(lagged),
    )


def add_sums(total: Sums, message: Mapping[str, Any]) -> Sums:
    """Return `total` plus the sums of one batch as the compiled function returns them (a mapping with the fields' names)."""
    added = (old + np.asarray(message[name]) for name, old in zip(Sums._fields[1:], total[1:], strict=True))
    return Sums(total.shots + int(message["shots"]), *added)


def supports(observables: Sequence[Observable]) -> tuple[Observable, ...]:
    """Return the bit sets whose mean weights `combine` needs: the observables, then each without one of its bits, once each."""
    inner = [tuple(k for k in bits if k != left) for bits in observables for left in bits]
    return tuple(observables) + tuple(dict.fromkeys(bits for bits in inner if bits not in set(observables)))


def observable_name(bits: Observable, bit_names: Sequence[str]) -> str:
    """Return `Z(a)*Z(b)` for the bits a, b."""
    return "*".join(f"Z({bit_names[k]})" for k in bits)


def parse_observable(name: str, bit_names: Sequence[str]) -> Observable:
    """Return the bits of `Z(a)*Z(b)`. ProgramError for anything else; a bit named twice is one too, as Z*Z is 1."""
    known = {observable_name((k,), bit_names): k for k in range(len(bit_names))}
    factors = [factor.strip() for factor in name.split("*")]
    unknown = [factor for factor in factors if factor not in known]
    if unknown or len(set(factors)) != len(factors):
        raise ProgramError(
            f"observable {name!r}: {unknown[0] if unknown else 'a bit named twice'!r} is not one factor of it; "
            f"allowed are products of different factors out of {', '.join(known)}"
        )
    return tuple(sorted(known[factor] for factor in factors))


def tables(bit_qubits: Sequence[str | None], qubits: Mapping[str, QubitCalibration]) -> NDArray[np.float64]:
    """Return the factors a_k(b), float64 [bits, 2], for bits that are read from these qubits (None: a bit that is not read).

    a = (s - delta) / eta, less its second-order bias [(1 + a) v0 - (1 - a) v1] / eta^2, where v_p is the variance of A[1, p].
    """
    return np.array([[1.0, -1.0] if name is None else _factors(qubits[name]) for name in bit_qubits]).reshape(-1, 2)


def _factors(qubit: QubitCalibration) -> NDArray[np.float64]:
    error0, error1, eta = _errors(qubit)
    variance = qubit.assignment_stderr[1] ** 2 + qubit.preparation_stderr[1] ** 2
    exact = (np.array([1.0, -1.0]) - (error1 - error0)) / eta
    return np.asarray(exact - ((1.0 + exact) * variance[0] - (1.0 - exact) * variance[1]) / eta**2)


def _errors(qubit: QubitCalibration) -> tuple[float, float, float]:
    """Return eps0, eps1, eta."""
    error0, error1 = float(qubit.assignment[1, 0]), float(qubit.assignment[0, 1])
    return error0, error1, 1.0 - error0 - error1


def effective_shots(value: float, variance: float) -> float:
    """Return how many independent shots with a perfect readout would give the same shot error: (1 - value^2) / variance.

    variance: of `value`, from shot noise alone. 0 where nothing can be said: where the variance is 0, since all shots agreed, and where
    |value| >= 1, since a perfect readout of such a mean has no spread.
    """
    return (1.0 - min(value**2, 1.0)) / variance if variance > 0.0 else 0.0


def combine(
    sums: Sums,
    observables: Sequence[Observable],
    bit_names: Sequence[str],
    bit_qubits: Sequence[str | None],
    qubits: Mapping[str, QubitCalibration],
    *,
    within: Within | None = None,
) -> tuple[Estimate, ...]:
    """Return one estimate per observable from the sums of at least two valid shots; fewer give no estimates.

    within: of the points of a sweep that these shots went through; None: all of them are at one.
    """
    if sums.shots < 2:
        return ()
    means = dict(zip(supports(observables), (sums.weight / sums.shots).tolist(), strict=True))
    means[()] = 1.0
    factors = tables(bit_qubits, qubits)
    unseen = unseen_variance(sums.shots) if within is None else within.unseen
    estimates = []
    for index, bits in enumerate(observables):
        square = float(sums.square[index, index])
        raw = float(sums.raw[index]) / sums.shots
        scatter = _scatter(square / sums.shots, means[bits], sums.shots, within)
        raw_scatter = _scatter(1.0, raw, sums.shots, within)
        if within is not None and within.points < sums.shots:
            mean_squares = square / sums.shots, float(within.weight[index])
            scatter = _scatter_within(*mean_squares, within.weight_lagged[:, index], sums.shots, within)
            raw_squares = 1.0, float(within.raw[index])
            raw_scatter = _scatter_within(*raw_squares, within.raw_lagged[:, index], sums.shots, within)
        shot = _mean_variance(scatter, sums.pairs, sums.weight_lagged[:, index])
        shot = max(shot, _span(bits, factors) ** 2 * unseen)
        raw_variance = _mean_variance(raw_scatter, sums.pairs, sums.raw_lagged[:, index])
        raw_variance = max(raw_variance, 2.0**2 * unseen)  # signs are 2 apart
        calibration, preparation = _reference_variances(bits, means, bit_qubits, qubits)
        estimates.append(
            Estimate(
                name=observable_name(bits, bit_names),
                raw=raw,
                value=means[bits],
                stderr=StdErr(
                    shot=float(shot**0.5), calibration=calibration**0.5, drift=0.0, preparation=preparation**0.5
                ),
                raw_stderr=float(raw_variance**0.5),
                shots=sums.shots,
                effective_shots=effective_shots(means[bits], shot),
            )
        )
    return tuple(estimates)


def unseen_variance(shots: Any) -> Any:
    """Return the variance of a probability of which so many shots, all of them alike, are all that is known: that of Beta(n + 1, 1).

    shots: a number, or an array of them. Where one of the shots differs, the sample's own variance of the mean, 1/n^2 or more, is above it.
    """
    return (shots + 1.0) / ((shots + 2.0) ** 2 * (shots + 3.0))


def _span(bits: Observable, factors: NDArray[np.float64]) -> float:
    """Return how far apart the weights of two shots can be: the range of prod_k a_k(b_k) over all outcomes."""
    low = high = 1.0
    for bit in bits:
        corners = [bound * factor for bound in (low, high) for factor in factors[bit].tolist()]
        low, high = min(corners), max(corners)
    return high - low


def _reference_variances(
    bits: Observable,
    means: Mapping[Observable, float],
    bit_qubits: Sequence[str | None],
    qubits: Mapping[str, QubitCalibration],
) -> tuple[float, float]:
    """Return the variances (calibration, preparation) of the mean weight by the delta method."""
    gradients: dict[str, NDArray[np.float64]] = {}
    for left in bits:
        name = bit_qubits[left]
        if name is not None:
            _, _, eta = _errors(qubits[name])
            inner = means[tuple(k for k in bits if k != left)]
            part = np.array([inner + means[bits], means[bits] - inner]) / eta
            gradients[name] = gradients.get(name, np.zeros(2)) + part
    calibration = sum(float(np.sum((g * qubits[name].assignment_stderr[1]) ** 2)) for name, g in gradients.items())
    preparation = sum(float(np.sum((g * qubits[name].preparation_stderr[1]) ** 2)) for name, g in gradients.items())
    return calibration, preparation


def _scatter(square: float, mean: float, shots: int, within: Within | None) -> _Scatter:
    """Return that around the mean of all shots. square: the mean of their squares.

    Where no point has two shots this is all that is known of their scatter, and more than it is; nothing is known of pairs.
    """
    expected = mean**2 if within is None else np.inf
    return _Scatter(square - mean**2, shots - 1, np.full(LAG_COUNT, expected))


def _scatter_within(
    square: float, of_means: float, lagged: NDArray[np.float64], shots: int, within: Within
) -> _Scatter:
    """Return that around the mean of each shot's own point; of_means, lagged: the fields of `within` for this quantity.

    The square of a mean of n shots is by 1/n of their variance above that of what was to be expected; so is a pair's product at one point.
    """
    variance = max(square - of_means, 0.0) * shots / (shots - within.points)
    return _Scatter(variance, shots, lagged - within.own * variance * within.points / shots)


def _mean_variance(scatter: _Scatter, pairs: NDArray[np.int64], lagged: NDArray[np.float64]) -> float:
    """Return the variance of the mean of values with this scatter: (c_0 + 2 sum_l c_l) / divisor.

    The sum over autocovariances c_l ends before the first whose correlation is below 2 / sqrt(pairs): of independent shots that keeps
    none (in 2 of 100 cases the first, which widens the bar a little). Negative ones would narrow the bar and are left out. If none
    of the lags ends it, the rest is the tail of the geometric decay through the first and the last one.
    """
    variance = max(scatter.variance, 0.0)
    if variance == 0.0:
        return 0.0
    correlations: list[float] = []
    for product, pair_count, expected in zip(lagged.tolist(), pairs.tolist(), scatter.lagged.tolist(), strict=True):
        correlation = (product / pair_count - expected) / variance if pair_count > 1 else 0.0
        if correlation * max(pair_count, 1) ** 0.5 < 2.0:
            break
        correlations.append(correlation)
    total = sum(correlations)
    if len(correlations) == len(pairs) > 1:
        ratio = min((correlations[-1] / correlations[0]) ** (1.0 / (len(pairs) - 1)), 0.999)
        total += correlations[-1] * ratio / (1.0 - ratio)
    return variance * (1.0 + 2.0 * total) / scatter.divisor


def singles_and_pairs(bits: Iterable[int]) -> tuple[Observable, ...]:
    """Return Z of each of the bits, then the product of each two."""
    ordered = sorted(set(bits))
    return tuple((k,) for k in ordered) + tuple((j, k) for j in ordered for k in ordered if j < k)
