"""Calibrations of the demo lab through everything: SCPI, kernel, plant; against what the twin was configured with.

The lab's nominal frequencies are off; magnitude and sign of that are found, and the mitigated values of programs agree with what the plant
knows of the populations at the start of the readout tone.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.calibrate import calibrate, sequences
from qrt.calibrate.bench import Bench, program_for
from qrt.errors import CalibrationError
from qrt.loop import Loop
from qrt.readout import estimate

SESSIONS, EXPERIMENTS, SHOTS = 200, 25, 1000  # times two qubits: 10^4 short experiments


@pytest.fixture(scope="module")
def lab(project_root):
    return config.load(project_root / "configs" / "demo.toml")


@pytest.fixture(scope="module")
def project_root(request):
    return request.config.rootpath


def test_the_demo_lab_is_found_as_it_is(lab):
    lines = []
    with Loop(lab, 21) as loop:
        found = calibrate(lab, loop.measure, 21, lines.append).qubits
        arms = loop.arm_count
    print("\n".join(lines), f"\n{arms} arms")
    assert arms < 400
    for name, one in found.items():
        true = lab.twin.parameters["qubits"][name]
        x_error = 0.25 * 2e-9 * lab.qubits[name].pulse_ns * (1 / true["t1_s"] + 1 / true["t2_s"])
        assert abs(lab.qubits[name].frequency_hz - true["frequency_hz"]) > 0.2e6, (
            "the nominal frequency is off, or nothing is found"
        )
        for value, truth in (
            (one.frequency_hz, true["frequency_hz"]),
            (one.t1_s, true["t1_s"]),
            (one.t2_s, true["t2_s"]),
            (one.x_error, x_error),
        ):
            print(f"{name}: {value.value:.9g} +- {value.stderr:.2g}, configured {truth:.9g}")
            assert abs(value.value - truth) < 5 * value.stderr
        assert one.frequency_hz.stderr < 2e3
        assert abs(one.readout_hz - true["resonator_hz"]) < 0.7e6
        assert one.assignment[1, 0] < 0.05
        assert one.assignment[0, 1] < 0.1


def test_resonators_that_were_taken_for_each_other_are_told(lab):
    """Rabi and Ramsey see the neighbour, since both qubits do the same; the balanced design of the reference shots does not."""
    first, second = lab.qubits.values()
    tones = {"q0": second.readout.frequency_hz, "q1": first.readout.frequency_hz}
    readouts = {n: msgspec.structs.replace(q.readout, frequency_hz=tones[n]) for n, q in lab.qubits.items()}
    exchanged = {n: msgspec.structs.replace(q, readout=readouts[n]) for n, q in lab.qubits.items()}
    wanted = r"q0: weights: the readout follows the level of q1, by \d\.\d+ sigma, and its own by 0\.\d+: .*\nq1: .*of q0, by"
    lab = msgspec.structs.replace(lab, qubits=exchanged)
    with Loop(lab, 3) as loop, pytest.raises(CalibrationError, match=wanted) as caught:
        calibrate(lab, loop.measure, 3, swept=loop.measure_swept)
    print(caught.value)


def short_experiments(lab, found, loop, rng):
    """Yield (mitigated value - true value, raw - true, its error bar) of one arm with all qubits, each at an angle of its own."""
    turns = "".join(
        f"sx q[{k}]; rz({float(np.arccos(rng.uniform(-0.8, 0.8)))!r}) q[{k}]; sx q[{k}]; " for k in range(len(found))
    )
    text = f'OPENQASM 3.0; include "stdgates.inc"; qubit[QUBITS] q; bit[QUBITS] c; {turns} barrier q; c = measure q;'
    bench = Bench(lab, loop.measure, lambda _: None)
    pulses = bench.pulses(program_for(text, len(found)), found, {}, None)
    measured, truth = loop.measure(pulses, SHOTS), loop.truth
    for k, name in enumerate(found):
        outcomes = measured.rows["outcomes"][:, sequences.capture_index(pulses, "c", k)]
        weights, signs = estimate.tables((name,), found)[0][outcomes], 1.0 - 2.0 * outcomes
        none = np.zeros((estimate.LAG_COUNT, 1))  # shots far apart in T1 do not depend on each other
        sums = estimate.Sums(
            SHOTS,
            np.array([weights.sum(), SHOTS]),
            np.array([signs.sum()]),
            np.array([[weights @ weights]]),
            np.zeros(estimate.LAG_COUNT, int),
            none,
            none,
        )
        (result,) = estimate.combine(sums, ((0,),), ("c",), (name,), found)
        true = 1.0 - 2.0 * truth.population[name, 0]
        bar = np.sqrt(np.sum(np.square(msgspec.structs.astuple(result.stderr))))
        yield result.value - true, result.raw - true, bar


def session(lab, seed):
    """Return [experiments x qubits, 3] of a whole session, with a calibration of its own."""
    rng = np.random.default_rng(seed)
    with Loop(lab, seed) as loop:
        found = calibrate(lab, loop.measure, seed).qubits
        return [one for _ in range(EXPERIMENTS) for one in short_experiments(lab, found, loop, rng)]


def sessions(lab, seeds):
    """Return [seeds, experiments x qubits, 3]; a process for each core takes seeds in turn."""
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        return np.array(list(pool.map(partial(session, lab), seeds)))


@pytest.mark.prove
def test_mitigated_values_are_unbiased_over_200_seeds_and_their_intervals_cover(lab):
    results = sessions(lab, range(SESSIONS))
    away = results[:, :, 0].mean(axis=1)
    error = away.std() / SESSIONS**0.5
    coverage = np.mean(np.abs(results[:, :, 0]) < 1.959964 * results[:, :, 2])
    print(
        f"bias {away.mean():.2e} +- {error:.1e}, raw {results[:, :, 1].mean():.2e}; coverage of {results[:, :, 0].size}: {coverage:.4f}"
    )
    assert abs(away.mean()) < 3 * error
    assert 0.94 <= coverage <= 0.96
