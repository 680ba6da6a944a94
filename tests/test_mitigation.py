"""Product weights: exact where they can be exact, and error bars that cover what they claim.

The oracles are enumerations and closed forms written out here: the average over all outcomes, the variance formula, the parity of a
GHZ state. The sampled ones print what they saw.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.errors import BugError, ProgramError
from qrt.readout import estimate, mitigation
from qrt.types import Estimated, QubitCalibration


@pytest.fixture(autouse=True)
def _wide():
    """Have 64 bits also where another test has started JAX without them."""
    with jax.enable_x64(True):
        yield


def qubit(error0, error1, sampling=(0.0, 0.0), preparation=(0.0, 0.0), reference_count=1):
    """Return a calibration with this assignment matrix and these standard errors of its row A[1]."""
    nothing = Estimated(0.0, 0.0)
    return QubitCalibration(
        frequency_hz=nothing,
        sx_amplitude=nothing,
        x_error=nothing,
        readout_hz=0.0,
        readout_amplitude=0.0,
        weights=np.zeros((2, 1), np.int16),
        threshold=0,
        assignment=np.array([[1.0 - error0, error1], [error0, 1.0 - error1]]),
        assignment_stderr=np.array([sampling, sampling], dtype=float),
        preparation_stderr=np.array([preparation, preparation], dtype=float),
        reference_count=reference_count,
        t1_s=nothing,
        t2_s=nothing,
    )


def all_bits(count):
    """Return every outcome of `count` bits, uint8 [2^count, count]."""
    return np.array(list(itertools.product((0, 1), repeat=count)), dtype=np.uint8)


def assigned(qubits, probability):
    """Return A p for a product readout, by applying each 2 x 2 matrix along its own axis."""
    measured = probability.reshape((2,) * len(qubits))
    for axis, one in enumerate(qubits):
        measured = np.moveaxis(np.tensordot(one.assignment, measured, axes=(1, axis)), 0, axis)
    return measured.reshape(-1)


def sums_of(bits, observables, tables, batch_size=None, valid=None):
    """Return the Sums of all these shots, batch by batch through the compiled function."""
    batch_size = batch_size or len(bits)
    function = mitigation.compile_batch(batch_size, bits.shape[1], observables)
    total = estimate.no_sums(observables)
    valid = np.ones(len(bits), bool) if valid is None else valid
    for start in range(0, len(bits), batch_size):
        part, keep = np.zeros((batch_size, bits.shape[1]), np.uint8), np.zeros(batch_size, bool)
        rows = bits[start : start + batch_size]
        part[: len(rows)], keep[: len(rows)] = rows, valid[start : start + batch_size]
        total = estimate.add_sums(total, function(part, keep, tables))
    return total


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 12])
def test_weights_averaged_over_all_outcomes_return_the_population(count, rng):
    # O1, for every product of Z: the observables are all supports of up to 3 bits, and the full parity.
    qubits = [qubit(*rng.uniform(0.01, 0.2, size=2)) for _ in range(count)]
    names = [str(k) for k in range(count)]
    probability = rng.dirichlet(np.ones(2**count))
    measured = assigned(qubits, probability)
    assert abs(measured.sum() - 1.0) < 1e-12
    tables = estimate.tables(names, dict(zip(names, qubits, strict=True)))
    supports = [s for size in (1, 2, 3, count) for s in itertools.combinations(range(count), size)]
    masks = np.zeros((len(supports), count), bool)
    for row, support in enumerate(supports):
        masks[row, list(support)] = True
    weights = jax.vmap(mitigation.product_weights, in_axes=(0, None, None))(
        jnp.asarray(all_bits(count)), jnp.asarray(tables), jnp.asarray(masks)
    )
    signs = 1.0 - 2.0 * all_bits(count).astype(float)
    truth = np.array([probability @ np.prod(signs[:, list(s)], axis=1) for s in supports])
    assert np.max(np.abs(measured @ np.asarray(weights) - truth)) < 1e-12


@given(st.floats(0.0, 0.3), st.floats(0.0, 0.3), st.floats(0.0, 0.3), st.floats(0.0, 0.3), st.floats(0.0, 1.0))
def test_two_bits_for_every_assignment(e0, e1, f0, f1, p):
    qubits = {"a": qubit(e0, e1), "b": qubit(f0, f1)}
    tables = estimate.tables(("a", "b"), qubits)
    measured = assigned(list(qubits.values()), np.array([p, 0.0, 0.0, 1.0 - p]))
    weights = np.prod(np.stack([tables[k, all_bits(2)[:, k]] for k in range(2)]), axis=0)
    assert abs(measured @ weights - 1.0) < 1e-12


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_ghz_parity(count, rng):
    # Raw: 1/2 [prod(1 - 2 eps0) + (-1)^n prod(1 - 2 eps1)]; mitigated: 1/2 [1 + (-1)^n].
    errors = rng.uniform(0.01, 0.07, size=(count, 2))
    qubits = [qubit(*pair) for pair in errors]
    names = [str(k) for k in range(count)]
    probability = np.zeros(2**count)
    probability[[0, -1]] = 0.5
    measured = assigned(qubits, probability)
    parity = tuple(range(count))
    tables = estimate.tables(names, dict(zip(names, qubits, strict=True)))
    function = mitigation.compile_batch(1, count, (parity,))
    outcomes = [function(bits[None], np.ones(1, bool), tables) for bits in all_bits(count)]
    raw = measured @ np.array([sums["raw"][0] for sums in outcomes])
    value = measured @ np.array([sums["weight"][0] for sums in outcomes])
    expected = 0.5 * (np.prod(1 - 2 * errors[:, 0]) + (-1) ** count * np.prod(1 - 2 * errors[:, 1]))
    assert abs(raw - expected) < 1e-12
    assert abs(value - 0.5 * (1 + (-1) ** count)) < 1e-12


def test_sums_against_plain_numpy(rng):
    observables = ((0,), (2,), (0, 2), (0, 1, 2))
    tables = rng.normal(size=(3, 2))
    bits = rng.integers(0, 2, size=(500, 3), dtype=np.uint8)
    valid = rng.random(500) < 0.8
    total = sums_of(bits, observables, tables, batch_size=256, valid=valid)
    factors = np.stack([tables[k, bits[:, k]] for k in range(3)], axis=1)
    supports = estimate.supports(observables)
    weights = np.stack([np.prod(factors[:, list(s)], axis=1) for s in supports], axis=1)
    weights[~valid] = 0.0
    assert supports[4:] == ((), (1, 2), (0, 1))
    assert total.shots == valid.sum()
    np.testing.assert_allclose(total.weight, weights.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(total.square, weights[:, :4].T @ weights[:, :4], rtol=1e-12)
    signs = np.where(valid, np.prod(1.0 - 2.0 * bits[:, [0, 2]], axis=1), 0.0)
    assert total.raw[2] == signs.sum()
    for lag in (1, 7, estimate.LAG_COUNT):
        own = weights[:, 2]
        expected = sum(own[a:b][lag:] @ own[a:b][:-lag] for a, b in ((0, 256), (256, 500)))
        assert total.weight_lagged[lag - 1, 2] == pytest.approx(expected, rel=1e-12)
        expected = sum((valid[a:b][lag:] & valid[a:b][:-lag]).sum() for a, b in ((0, 256), (256, 500)))
        assert total.pairs[lag - 1] == expected


def test_padding_changes_nothing(rng):
    bits = rng.integers(0, 2, size=(64, 2), dtype=np.uint8)
    function = mitigation.compile_batch(64, 2, ((0,), (0, 1)))
    tables = rng.normal(size=(2, 2))
    valid = np.arange(64) < 40
    noise = bits.copy()
    noise[40:] = 255
    assert function(bits, valid, tables) == function(noise, valid, tables)


def test_compiled_function_takes_its_shape_only_and_repeats_itself():
    function = mitigation.compile_batch(128, 2, ((0,), (1,), (0, 1)))
    assert set(mitigation.self_test(function)) == {"jax", "jaxlib", "numpy"}
    with pytest.raises(TypeError):
        function(np.zeros((64, 2), np.uint8), np.ones(64, bool), np.ones((2, 2)))
    with pytest.raises(TypeError):
        function(np.zeros((128, 2), np.uint8), np.ones(128, bool), np.ones((2, 2), np.float32))


def test_self_test_catches_a_function_that_does_not_repeat_itself():
    function = mitigation.compile_batch(8, 1, ((0,),))
    answers = iter(range(3))
    function._compiled = lambda *_: {"shots": next(answers)}
    with pytest.raises(BugError, match="other bits for the same input"):
        mitigation.self_test(function)


def test_a_program_without_observables_counts_its_shots():
    function = mitigation.compile_batch(16, 0, ())
    sums = function(np.zeros((16, 0), np.uint8), np.arange(16) < 10, np.zeros((0, 2)))
    total = estimate.add_sums(estimate.no_sums(()), sums)
    assert total.shots == 10
    assert total.pairs[:2].tolist() == [9, 8]
    assert estimate.combine(total, (), (), (), {}) == ()
    assert mitigation.self_test(function)


def test_32_bits_are_refused():
    with jax.enable_x64(False), pytest.raises(BugError, match="JAX_ENABLE_X64"):
        mitigation.compile_batch(8, 1, ((0,),))


def test_observables_have_names():
    bits = ("before", "c[0]", "c[1]")
    for observable in estimate.singles_and_pairs((2, 0, 1)):
        assert estimate.parse_observable(estimate.observable_name(observable, bits), bits) == observable
    assert estimate.observable_name((1, 2), bits) == "Z(c[0])*Z(c[1])"
    assert estimate.parse_observable("Z(c[1]) * Z(before)", bits) == (0, 2)
    with pytest.raises(ProgramError, match=r"X\(before\).*allowed.*Z\(c\[0\]\)"):
        estimate.parse_observable("X(before)", bits)
    with pytest.raises(ProgramError, match="named twice"):
        estimate.parse_observable("Z(before)*Z(before)", bits)


def test_variance_formula_of_one_qubit(rng):
    # Var = [(1 - m^2)/N + v0 (1+z)^2 + v1 (1-z)^2] / eta^2, with m = eta z + delta, against the parts that combine reports.
    error0, error1, z, shots, references = 0.02, 0.06, 0.3, 4000, 1000
    variance = [error0 * (1 - error0) / references, error1 * (1 - error1) / references]
    one = qubit(error0, error1, sampling=np.sqrt(variance))
    eta, delta = 1 - error0 - error1, error1 - error0
    mean = eta * z + delta
    ones = round(shots * (1 - mean) / 2)
    bits = (np.arange(shots) < ones).astype(np.uint8)[:, None]
    rng.shuffle(bits)
    tables = estimate.tables(("q",), {"q": one})
    sums = sums_of(bits, ((0,),), tables)
    (result,) = estimate.combine(sums, ((0,),), ("c",), ("q",), {"q": one})
    assert result.raw == pytest.approx(mean, abs=1 / shots)
    assert result.stderr.shot**2 == pytest.approx((1 - mean**2) / shots / eta**2, rel=2e-2)
    predicted = (variance[0] * (1 + z) ** 2 + variance[1] * (1 - z) ** 2) / eta**2
    assert result.stderr.calibration**2 == pytest.approx(predicted, rel=1e-3)
    assert result.stderr.preparation == 0.0
    assert result.stderr.drift == 0.0
    assert result.shots == shots
    assert result.effective_shots == pytest.approx(shots * eta**2 * (1 - z**2) / (1 - mean**2), rel=3e-2)


def posterior_stderr(shots, ones):
    """Return the standard deviation of 1 - 2p for a flat prior of p and `ones` of so many shots: by sums over a grid."""
    p = (np.arange(400_000) + 0.5) / 400_000
    density = p**ones * (1 - p) ** (shots - ones)
    density /= density.sum()
    mean = (density * p).sum()
    return 2 * np.sqrt((density * (p - mean) ** 2).sum())


@pytest.mark.parametrize("shots", [2, 30, 1000])
@pytest.mark.parametrize("outcome", [0, 1])
def test_shots_that_all_agree_leave_the_error_of_the_rule_of_succession(shots, outcome):
    error0, error1 = 0.02, 0.06
    one, eta = qubit(error0, error1), 1 - error0 - error1
    bits = np.full((shots, 1), outcome, np.uint8)
    sums = sums_of(bits, ((0,),), estimate.tables(("q",), {"q": one}))
    (result,) = estimate.combine(sums, ((0,),), ("c",), ("q",), {"q": one})
    assert result.raw == 1 - 2 * outcome
    assert result.raw_stderr == pytest.approx(posterior_stderr(shots, outcome * shots), rel=1e-4)
    assert result.stderr.shot == pytest.approx(result.raw_stderr / eta, rel=1e-12)


@pytest.mark.parametrize("shots", [3, 30, 1000])
def test_one_shot_that_differs_has_the_error_of_the_sample(shots):
    one = qubit(0.0, 0.0)
    bits = (np.arange(shots) == 1).astype(np.uint8)[:, None]
    sums = sums_of(bits, ((0,),), estimate.tables(("q",), {"q": one}))
    (result,) = estimate.combine(sums, ((0,),), ("c",), ("q",), {"q": one})
    signs = 1.0 - 2.0 * bits[:, 0]
    assert result.raw_stderr == pytest.approx(signs.std(ddof=1) / np.sqrt(shots), rel=1e-9)
    assert result.stderr.shot == pytest.approx(result.raw_stderr, rel=1e-9)


def test_products_that_all_agree_have_the_error_of_their_whole_range():
    qubits = {"q": qubit(0.02, 0.06), "r": qubit(0.1, 0.01)}
    tables = estimate.tables(("q", "r"), qubits)
    bits = np.zeros((50, 2), np.uint8)
    (result,) = estimate.combine(sums_of(bits, ((0, 1),), tables), ((0, 1),), ("a", "b"), ("q", "r"), qubits)
    products = [tables[0][a] * tables[1][b] for a in (0, 1) for b in (0, 1)]
    wanted = posterior_stderr(50, 0) / 2 * (max(products) - min(products))
    assert result.stderr.shot == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("value", "variance", "shots"),
    [(0.0, 1e-4, 1e4), (0.6, 1e-4, 6400.0), (-1.0, 1e-4, 0.0), (1.2, 1e-4, 0.0), (0.5, 0.0, 0.0)],
)
def test_effective_shots_are_those_of_a_perfect_readout(value, variance, shots):
    assert estimate.effective_shots(value, variance) == pytest.approx(shots)


def test_a_mean_near_0_has_nearly_all_its_shots(rng):
    bits = rng.integers(0, 2, size=(200_000, 1)).astype(np.uint8)
    one = qubit(0.01, 0.03)
    (result,) = estimate.combine(
        sums_of(bits, ((0,),), estimate.tables(("q",), {"q": one})), ((0,),), ("c",), ("q",), {"q": one}
    )
    assert result.effective_shots == pytest.approx(200_000 * 0.96**2, rel=2e-2)


def test_bits_of_one_qubit_share_its_errors():
    one = qubit(0.03, 0.05, sampling=(0.001, 0.002), preparation=(0.0005, 0.0005))
    bits = np.zeros((100, 2), np.uint8)
    tables = estimate.tables(("q", "q"), {"q": one})
    sums = sums_of(bits, ((0, 1),), tables)
    (same,) = estimate.combine(sums, ((0, 1),), ("a", "b"), ("q", "q"), {"q": one})
    (apart,) = estimate.combine(sums, ((0, 1),), ("a", "b"), ("q", "r"), {"q": one, "r": one})
    assert same.stderr.calibration == pytest.approx(apart.stderr.calibration * 2**0.5, rel=1e-12)
    assert same.stderr.preparation == pytest.approx(apart.stderr.preparation * 2**0.5, rel=1e-12)


def levels(rng, chains, shots, keep):
    """Return levels of a qubit that keeps its level with probability `keep`, else takes a new one; int [chains, shots]."""
    fresh = rng.integers(0, 2, size=(chains, shots))
    held = rng.random((chains, shots)) < keep
    held[:, 0] = False
    index = np.maximum.accumulate(np.where(held, 0, np.arange(shots)), axis=1)
    return np.take_along_axis(fresh, index, axis=1)


def read(rng, population, error0, error1):
    """Return outcomes of a readout with these errors, uint8, for levels."""
    return (rng.random(population.shape) < np.where(population == 1, 1.0 - error1, error0)).astype(np.uint8)


@pytest.mark.parametrize("keep", [0.0, 0.8])
def test_successive_shots_that_depend_on_each_other_widen_the_bar(keep, rng):
    one = qubit(0.02, 0.05)
    tables = estimate.tables(("q",), {"q": one})
    outcomes = read(rng, levels(rng, 300, 4096, keep), 0.02, 0.05)
    function = mitigation.compile_batch(1024, 1, ((0,),))
    results = []
    for chain in outcomes:
        total = estimate.no_sums(((0,),))
        for start in range(0, 4096, 1024):
            total = estimate.add_sums(total, function(chain[start : start + 1024, None], np.ones(1024, bool), tables))
        results += estimate.combine(total, ((0,),), ("c",), ("q",), {"q": one})
    spread = np.std([result.value for result in results])
    claimed = np.sqrt(np.mean([result.stderr.shot**2 for result in results]))
    raw_spread = np.std([result.raw for result in results])
    raw_claimed = np.sqrt(np.mean([result.raw_stderr**2 for result in results]))
    print(f"keep {keep}: claimed / spread = {claimed / spread:.3f}, raw {raw_claimed / raw_spread:.3f}")
    assert claimed / spread == pytest.approx(1.0, abs=0.15)
    assert raw_claimed / raw_spread == pytest.approx(1.0, abs=0.15)


def experiments(rng, count, z, errors, shots, references):
    """Return (value, raw, error bar) of `count` short experiments, each with a calibration of its own.

    Sums are written out in closed form for one bit: the sums of the batch function are compared with numpy above.
    """
    population1 = (1.0 - z) / 2.0
    ones0 = rng.binomial(references, errors[0], size=count)
    ones1 = rng.binomial(references, 1.0 - errors[1], size=count)
    read1 = rng.binomial(shots, population1 * (1.0 - errors[1]) + (1.0 - population1) * errors[0], size=count)
    result = []
    for n0, n1, m in zip(ones0, ones1, read1, strict=True):
        e0, e1 = n0 / references, 1.0 - n1 / references
        guard = [(n + 0.5) / (references + 1) for n in (n0, n1)]
        one = qubit(e0, e1, sampling=[(g * (1 - g) / references) ** 0.5 for g in guard])
        a, b = estimate.tables(("q",), {"q": one})[0]
        weight, raw = (shots - m) * a + m * b, shots - 2 * m
        square = (shots - m) * a**2 + m * b**2
        pairs = np.arange(shots - 1, shots - 1 - estimate.LAG_COUNT, -1)
        lagged = pairs[:, None] * np.array([[(weight / shots) ** 2]])
        raw_lagged = pairs[:, None] * np.array([[(raw / shots) ** 2]])
        sums = estimate.Sums(
            shots, np.array([weight, shots]), np.array([raw]), np.array([[square]]), pairs, lagged, raw_lagged
        )
        (found,) = estimate.combine(sums, ((0,),), ("c",), ("q",), {"q": one})
        result.append((found.value, found.raw, np.hypot(found.stderr.shot, found.stderr.calibration)))
    return np.array(result).T


@pytest.mark.prove
@pytest.mark.parametrize(
    ("z", "errors", "shots", "references"),
    [(0.3, (0.02, 0.06), 2000, 1000), (0.9, (0.02, 0.06), 4000, 4000), (-0.8, (0.1, 0.2), 1000, 500)],
)
def test_coverage_of_short_experiments(z, errors, shots, references, rng):
    # O7: 95 % intervals cover 94 to 96 %; the formula's variance is the one that is seen; no bias.
    value, _, bar = experiments(rng, 10_000, z, errors, shots, references)
    coverage = np.mean(np.abs(value - z) < 1.959964 * bar)
    eta, mean = 1 - sum(errors), (1 - sum(errors)) * z + errors[1] - errors[0]
    v = [e * (1 - e) / references for e in errors]
    predicted = ((1 - mean**2) / shots + v[0] * (1 + z) ** 2 + v[1] * (1 - z) ** 2) / eta**2
    bias = np.mean(value - z)
    print(f"coverage {coverage:.4f}, variance {np.var(value):.4e}, formula {predicted:.4e}, bias {bias:.1e}")
    assert 0.94 <= coverage <= 0.96
    assert np.var(value) == pytest.approx(predicted, rel=0.05)
    assert abs(bias) < 3 * np.std(value) / 100
    assert np.mean(bar**2) == pytest.approx(predicted, rel=0.05)


@pytest.mark.prove
def test_average_over_few_reference_shots_is_unbiased(rng):
    # With 60 reference shots per level the ratio's second-order bias is several standard errors of the mean, and is removed.
    z, errors, references = 0.9, (0.1, 0.2), 60
    value, _, _ = experiments(rng, 40_000, z, errors, 100_000, references)
    eta = 1 - sum(errors)
    v = [e * (1 - e) / references for e in errors]
    uncorrected = ((1 + z) * v[0] - (1 - z) * v[1]) / eta**2
    bias, error = np.mean(value) - z, np.std(value) / 200
    print(f"bias {bias:.2e} +- {error:.1e}; without the correction it would be {uncorrected:.2e}")
    assert abs(uncorrected) > 5 * error
    assert abs(bias) < 4 * error


@pytest.mark.prove
def test_coverage_of_dependent_shots(rng):
    one = qubit(0.02, 0.05)
    tables = estimate.tables(("q",), {"q": one})
    function = mitigation.compile_batch(1024, 1, ((0,),))
    for keep in (0.0, 0.5, 0.8):
        outcomes = read(rng, levels(rng, 5_000, 4096, keep), 0.02, 0.05)
        inside = 0
        for chain in outcomes:
            total = estimate.no_sums(((0,),))
            for start in range(0, 4096, 1024):
                sums = function(chain[start : start + 1024, None], np.ones(1024, bool), tables)
                total = estimate.add_sums(total, sums)
            (result,) = estimate.combine(total, ((0,),), ("c",), ("q",), {"q": one})
            inside += abs(result.value) < 1.959964 * result.stderr.shot
        print(f"keep {keep}: coverage {inside / len(outcomes):.4f}")
        assert 0.935 <= inside / len(outcomes) <= 0.962
