"""Demodulation in C equals numpy's int64 in every bit, on each instruction set of this machine, whatever the values and lengths are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qrt import kernel
from qrt.errors import MachineError

EXTREMES = st.sampled_from([-32768, -32767, -1, 0, 1, 32766, 32767])
SAMPLES = st.one_of(EXTREMES, st.integers(-32768, 32767))
WEIGHTS = st.one_of(EXTREMES.filter(lambda value: value > -32768), st.integers(-32767, 32767), st.integers(-100, 100))


@pytest.fixture(params=kernel.isa_names())
def isa(request):
    before = kernel.isa_selected()
    kernel.select_isa(request.param)
    assert kernel.isa_selected() == request.param
    yield request.param
    kernel.select_isa(before)


@st.composite
def captures_and_weights(draw):
    count = draw(st.one_of(st.integers(0, 80), st.integers(81, 700)))
    captures = draw(hnp.arrays(np.int16, (draw(st.integers(1, 4)), count), elements=SAMPLES, fill=EXTREMES))
    weights = draw(hnp.arrays(np.int16, (2, count), elements=WEIGHTS, fill=WEIGHTS))
    return captures, weights


def expected(captures, weights):
    return captures.astype(np.int64) @ weights.astype(np.int64).T


@given(captures_and_weights())
def test_equals_numpy_on_every_instruction_set(drawn):
    captures, weights = drawn
    before = kernel.isa_selected()
    for name in kernel.isa_names():
        kernel.select_isa(name)
        assert np.array_equal(kernel.demodulate(captures, weights), expected(captures, weights))
        assert np.array_equal(kernel.demodulate(captures[0], weights), expected(captures[0], weights))
    kernel.select_isa(before)


@pytest.mark.parametrize("weight", [-32767, 32767, 4095, 4096, 1])
@pytest.mark.parametrize("sample", [-32768, 32767])
def test_every_lane_is_widened_before_it_overflows(isa, sample, weight):
    captures = np.full((2, 40_001), sample, np.int16)
    weights = np.stack([np.full(40_001, weight, np.int16), np.full(40_001, -weight, np.int16)])
    assert np.array_equal(kernel.demodulate(captures, weights), expected(captures, weights))


def test_unaligned_and_strided_arrays(isa, rng):
    samples = rng.integers(-32768, 32768, (9, 511), dtype=np.int16)
    weights = rng.integers(-32767, 32768, (2, 1021), dtype=np.int16)
    assert np.array_equal(
        kernel.demodulate(samples[1::3, 1:], weights[:, 1::2]), expected(samples[1::3, 1:], weights[:, 1::2])
    )


def test_read_floor_is_the_sum(isa, rng):
    samples = rng.integers(-32768, 32768, 100_003, dtype=np.int16)
    assert kernel.read_floor(samples) == samples.sum(dtype=np.int64)
    assert kernel.read_floor(np.full(1 << 20, -32768, np.int16)) == -(1 << 35)


def test_what_cannot_be_exact_is_refused():
    samples, weights = np.zeros(4, np.int16), np.zeros((2, 4), np.int16)
    weights[1, 2] = -32768
    for bad_samples, bad_weights in (
        (samples, weights),
        (samples, weights[:, :3]),
        (samples.astype(np.int32), np.zeros((2, 4), np.int16)),
        (samples.reshape(1, 1, 4), np.zeros((2, 4), np.int16)),
    ):
        with pytest.raises(ValueError, match="weights"):
            kernel.demodulate(bad_samples, bad_weights)


def test_isa_is_chosen_by_name():
    before = kernel.isa_selected()
    kernel.select_isa(None)
    kernel.select_isa("")
    assert kernel.isa_selected() == before
    with pytest.raises(MachineError, match=r"QRT_ISA=mmx: this machine has .*baseline"):
        kernel.select_isa("mmx")
