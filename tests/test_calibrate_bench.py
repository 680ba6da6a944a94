"""The bench: a scan in one arm and one arm a point are the same experiment, and shorter pulses wait in front."""

import msgspec
import numpy as np
import pytest

from qrt.calibrate import ramsey, rb, t1, train
from qrt.calibrate.bench import Bench, delays_to, program_for, seconds
from qrt.calibrate.sequences import nominal
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


def test_one_arm_for_all_points_sees_what_one_arm_for_each_sees(lab):
    """Mean iq of 24 points of two qubits on two axes: differences over their noise, chi2 outside the bounds in 0.2 % of seeds."""
    with Loop(lab, 5) as loop:
        delays = delays_to(lab, 4e-6, 6)
        sweep = {"phi": ramsey.QUADRATURES, "t": delays}
        one = Bench(lab, loop.measure, lambda _: None, loop.measure_swept).scan(
            ramsey.PROGRAM, nominal(lab), 400, sweep
        )
        arms = loop.arm_count
        each = Bench(lab, loop.measure, lambda _: None).scan(ramsey.PROGRAM, nominal(lab), 400, sweep)
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
