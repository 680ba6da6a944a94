"""The bench: a scan in one arm and one arm a point are the same experiment, and shorter pulses wait in front."""

import msgspec
import numpy as np
import pytest

from qrt.calibrate import ramsey, rb, resonator_spectroscopy, t1, train
from qrt.calibrate.bench import Bench, delays_to, program_for, seconds
from qrt.calibrate.sequences import boxcar, nominal
from qrt.calibrate.signals import Points, pooled
from qrt.config import load
from qrt.errors import CalibrationError
from qrt.loop import Loop
from qrt.timeline import schedule
from qrt.types import Capture, Play, Sync, Wait

ECHOED = """OPENQASM 3.0; include "stdgates.inc"; input duration t; qubit[QUBITS] q; bit[QUBITS] c;
x q; delay[t] q; sx q; barrier q; c = measure q;
"""


@pytest.fixture(scope="module")
def lab(request):
    return load(request.config.rootpath / "configs" / "demo.toml")


def uneven(lab):
    """Return the lab with a second qubit whose pulses are longer."""
    qubits = lab.qubits | {"q1": msgspec.structs.replace(lab.qubits["q1"], pulse_ns=50.0)}
    return msgspec.structs.replace(lab, qubits=qubits)


def quiet(lab):
    return Bench(lab, None, lambda _: None)


def tones(lab):
    """Return the program of a resonator spectroscopy, with tones that are not weak."""
    several = (resonator_spectroscopy.TONE.format(name=name, k=k, weak=1.0) for k, name in enumerate(lab.qubits))
    return resonator_spectroscopy.PROGRAM + "".join(several)


@pytest.mark.parametrize("name", ["ramsey", "resonator_spectroscopy"])
def test_one_arm_for_all_points_sees_what_one_arm_for_each_sees(lab, name):
    """Mean iq of 24 points of two qubits: differences over their noise, chi2 outside the bounds in 0.2 % of seeds."""
    text, sweep = {
        "ramsey": (ramsey.PROGRAM, {"phi": ramsey.QUADRATURES, "t": delays_to(lab, 4e-6, 6)}),
        "resonator_spectroscopy": (tones(lab), {"offset_hz": np.linspace(-3e6, 3e6, 24)}),
    }[name]
    with Loop(lab, 5) as loop:
        one = Bench(lab, loop.measure, lambda _: None, loop.measure_swept).scan(text, nominal(lab), 400, sweep)
        arms = loop.arm_count
        each = Bench(lab, loop.measure, lambda _: None).scan(text, nominal(lab), 400, sweep)
        assert (arms, loop.arm_count) == (1, 25)
    for name in lab.qubits:
        assert one[name].mean.shape == (24, 2)
        assert np.all(one[name].shots == 400)
        apart = one[name].mean - each[name].mean
        chi2 = np.einsum("ni,nij,nj->", apart, np.linalg.inv(one[name].covariance + each[name].covariance), apart)
        moved = np.ptp(one[name].mean, axis=0).max() / np.sqrt(one[name].covariance[:, 0, 0].mean())
        print(f"{name}: chi2 {chi2:.1f} of 48, the scan moves by {moved:.0f} sigma")
        assert moved > 20
        assert 22.0 < chi2 < 84.0


def test_a_swept_tone_is_demodulated_at_its_own_frequency(lab):
    """Each point beside a `measure` of a lab whose tones are there: the same mean iq, within 5 standard errors of either quadrature."""
    offsets = np.array([-3e6, 0.0, 2e6])
    with Loop(lab, 6) as loop:
        bench = Bench(lab, loop.measure, lambda _: None, loop.measure_swept)
        swept = bench.scan(tones(lab), nominal(lab), 1000, {"offset_hz": offsets})
        text = "OPENQASM 3.0; qubit[QUBITS] q; bit[QUBITS] c = measure q;"
        moved = [
            {
                n: boxcar(lab, n, msgspec.structs.replace(q, readout_hz=q.readout_hz + hz))
                for n, q in nominal(lab).items()
            }
            for hz in offsets.tolist()
        ]
        measured = bench.each([(text, at) for at in moved], 1000)
    for name in lab.qubits:
        apart = swept[name].mean - measured[name].mean
        noise = np.sqrt(np.einsum("nii->ni", swept[name].covariance + measured[name].covariance))
        print((apart / noise).round(1))
        assert np.all(np.abs(apart) < 5.0 * noise)
        assert np.ptp(swept[name].mean, axis=0).max() > 50.0 * noise.max()


def test_tones_of_different_lengths_begin_together(lab):
    readout = msgspec.structs.replace(lab.qubits["q1"].readout, duration_ns=600.0)
    short = msgspec.structs.replace(
        lab, qubits=lab.qubits | {"q1": msgspec.structs.replace(lab.qubits["q1"], readout=readout)}
    )
    pulses = quiet(short).pulses(program_for(tones(short), 2), nominal(short), {"offset_hz": 1e6}, None)
    with Loop(short, 1) as loop:
        events = schedule(pulses, loop.limits, None).events
    assert {e.tick for e in events if e.kind in {"play", "capture"}} == {0}
    assert 121_000 <= pulses.period_ticks <= 122_000


def test_scans_played_several_times_are_one_whose_shots_count_alike(rng):
    parts = np.split(rng.normal(size=(700, 2)), [100, 400])
    points = [
        {"q": Points(one.mean(axis=0)[None], np.cov(one.T)[None] / len(one), one[:1, 0], np.array([len(one)]))}
        for one in parts
    ]
    together = pooled(points)["q"]
    whole = np.concatenate(parts)
    np.testing.assert_allclose(together.mean[0], whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(together.covariance[0], np.cov(whole.T) / 700, rtol=0.1, atol=2e-4)
    assert together.shots == [700]
    assert together.ones[0] == pytest.approx(sum(len(one) * one[0, 0] for one in parts) / 700)


def test_a_scan_is_repeated_until_every_qubit_is_seen_well_enough(lab):
    with Loop(lab, 7) as loop:
        bench = Bench(lab, loop.measure, lambda _: None, loop.measure_swept)

        def repeated(enough, most):
            before = loop.arm_count
            seen = bench.repeated(t1.PROGRAM, nominal(lab), 20, {"t": (0.0, 1e-6)}, enough=enough, most=most)
            assert all(np.all(one.shots == 20 * (loop.arm_count - before)) for one in seen.values())
            return loop.arm_count - before

        assert repeated(lambda points: points.shots[0] > 50, 5) == 3
        assert repeated(lambda _: False, 2) == 2
        assert repeated(lambda _: True, 5) == 1


def ticks_before_captures(pulses, limits):
    """Return when each qubit's last drive pulse ends, and when its capture begins."""
    events = schedule(pulses, limits, None).events
    ends = {e.sequencer: e.tick + e.duration_ticks for e in events if e.kind == "play" and ".sx" in str(e.operands)}
    begins = {e.sequencer: e.tick for e in events if e.kind == "capture"}
    return ends, begins


@pytest.mark.parametrize("count", [1, 2, 9])
def test_trains_of_different_pulses_end_together(lab, count):
    lab = uneven(lab)
    program = program_for(train.PROGRAM.format(gates="sx q;" * count), 2)
    pulses = quiet(lab).pulses(program, nominal(lab), {}, None)
    with Loop(lab, 1) as loop:
        ends, begins = ticks_before_captures(pulses, loop.limits)
    assert set(begins.values()) == {50 * count}
    assert ends == begins
    first = next(op for op in pulses.blocks["q0"] if not isinstance(op, Sync))
    assert first == Wait(20 * count)


def test_stages_end_together_and_delays_are_left_alone(lab):
    lab = uneven(lab)
    pulses = quiet(lab).pulses(program_for(ECHOED, 2), nominal(lab), {"t": 1e-6}, None)
    with Loop(lab, 1) as loop:
        events = schedule(pulses, loop.limits, None).events
    plays = {
        name: [(e.tick, e.duration_ticks) for e in events if e.kind == "play" and e.sequencer == name][:3]
        for name in ("q0", "q1")
    }
    assert plays["q0"] == [(40, 30), (70, 30), (1120, 30)]
    assert plays["q1"] == [(0, 50), (50, 50), (1100, 50)]


def test_equal_pulses_wait_for_nobody_and_readouts_are_as_the_program_has_them(lab):
    pulses = quiet(lab).pulses(program_for(ECHOED, 2), nominal(lab), {"t": 0.0}, None)
    for ops in pulses.blocks.values():
        assert sum(isinstance(op, Wait) for op in ops) == 2  # the delay itself, and the photons' after the tone
        assert [type(op) for op in ops if isinstance(op, Capture | Play)][-2:] == [Capture, Play]


def test_a_shot_leaves_time_to_relax(lab):
    known = nominal(lab)
    long = {
        name: msgspec.structs.replace(q, t1_s=msgspec.structs.replace(q.t1_s, value=50e-6)) for name, q in known.items()
    }
    program = program_for(t1.PROGRAM, 2)
    short_ns, long_ns = (quiet(lab).pulses(program, one, {"t": 10e-6}, None).period_ticks for one in (known, long))
    assert short_ns >= 10_000 + 6 * 20_000
    assert long_ns - short_ns == 6 * 30_000
    assert short_ns % 1000 == 0


def test_qubits_that_are_not_calibrated_do_not_play(lab):
    known = {"q1": nominal(lab)["q1"]}
    pulses = quiet(lab).pulses(program_for(t1.PROGRAM, 1), known, {"t": 1e-6}, None)
    assert list(pulses.blocks) == ["q1"]


def test_durations_are_whole_ticks_as_decimals(lab):
    assert seconds(lab, [3, 80, 7]).tolist() == [3e-9, 80e-9, 7e-9]
    assert delays_to(lab, 13e-6, 14).tolist() == [float(f"{960 * k}e-9") for k in range(14)]
    assert delays_to(lab, 1e-9, 3).tolist() == [0.0, 80e-9, 160e-9]


def test_randomised_benchmarking_needs_the_times_that_it_compares_with(lab):
    with pytest.raises(CalibrationError, match=r"q0, q1: T1 or T2 is not known: calibrate t1, ramsey before"):
        rb.find(quiet(lab), nominal(lab))
