"""cz and its Bell state: the analysis against closed forms, the calibration against what the twin was configured with, the command."""

import json
from math import pi

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.calibrate import bell, cz
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import coupled
from qrt.calibrate.order import ALL, suiting
from qrt.calibrate.signals import Scan, Signal
from qrt.errors import CalibrationError
from qrt.loop import Loop
from qrt.store import bound_hash, decode_calibration, encode_calibration, load_calibration, save_calibration
from qrt.types import Calibration, CouplerCalibration, Estimated
from tests.test_calibrate_command import called

OF = Scan("q0_q1", "cz, q0 in superposition", "Look there")
BIAS = 0.015  # rad: the other qubit is in level 1 once in a hundred shots that want it in level 0
FIDELITY = 0.968  # of the state: 2 % begin in level 1, and what T1 and T2 of either qubit take in 240 ns


@pytest.fixture(scope="module")
def lab(request):
    text = (request.config.rootpath / "configs" / "coupled.toml").read_text()
    return config.parse(text.replace("127.0.0.1:5557", "127.0.0.1:*"), "coupled.toml")


def side(alone: float, more: float, seed: int, contrast: float = 0.45) -> Signal:
    """What a target's scan sees of these phases at full power; the two levels of the other give other contrasts and middles."""
    level, power, quadrature = cz.POINTS
    clean = 0.1 + 0.02 * level + (contrast - 0.01 * level) * np.cos((alone + more * level) * power - quadrature)
    sigma = 0.01
    return Signal(clean + np.random.default_rng(seed).normal(0, sigma, len(level)), np.full(len(level), sigma))


@pytest.mark.parametrize(("alone", "more"), [(3.1, -5.8), (-11.0, 4.0), (0.0, 3.3), (20.0, 9.0)])
@pytest.mark.parametrize("contrast", [0.45, -0.45])
def test_phases_are_found_whichever_way_up_the_signal_is(alone, more, contrast):
    pulls = []
    for seed in range(10):
        numbers = cz.analyse(OF, side(alone, more, seed, contrast)).numbers
        assert numbers["alone_rad"].stderr < 0.01
        pulls += [
            (numbers[name].value - true) / numbers[name].stderr
            for name, true in (("alone_rad", alone), ("more_rad", more))
        ]
    assert np.max(np.abs(pulls)) < 4.5


def finding(*sides: tuple[float, float]):
    """The coupler's finding of two targets with these phases."""
    judged = [cz.judged(OF, one, cz.Drawn("", cz.POINTS[1]), lambda one=one: cz.analyse(OF, one))
              for one in (side(alone, more, 7 + k) for k, (alone, more) in enumerate(sides))]  # fmt: skip
    both = cz.together("q0_q1", "cz", judged)
    return both if both.problem else cz.joined(both, judged)


def test_the_amplitude_makes_pi_and_rz_takes_back_what_is_left():
    found = finding((3.0, -5.0), (-8.0, -5.0))
    one = CouplerCalibration(**found.changes)
    assert abs(one.cz_amplitude.value**2 * 5.0 - pi) < 5 * one.conditional_rad.stderr < 0.05
    for turn, alone in zip(one.rz_rad, (3.0, -8.0), strict=True):
        left = turn.value + alone * pi / 5.0
        assert abs(left - 2 * pi * round(left / (2 * pi))) < 5 * turn.stderr < 0.05
        assert abs(turn.value) <= pi
    assert len(found.pictures) == 2
    assert coupled({"other": one}, {"q0_q1": found}) == {"other": one, "q0_q1": one}


def test_what_is_no_cz_is_said_with_what_was_seen():
    weak = finding((3.0, -2.5), (1.0, -2.5))
    assert "q0_q1: cz: the conditional phase is -2.4" in weak.problem
    assert "at least pi is needed, of both: let couplers.q0_q1.pulse_ns or the line's amplitude_v grow" in weak.problem
    assert "of both" in finding((3.0, -5.0), (1.0, -5.5)).problem
    dead = Signal(np.random.default_rng(1).normal(0, 0.01, cz.POINTS.shape[1]), np.full(cz.POINTS.shape[1], 0.01))
    with pytest.raises(CalibrationError, match=r"nothing changes over 104 points.*Look there"):
        cz.analyse(OF, dead)


def test_correlators_are_as_perfect_readouts_would_give_them(demo_calibration):
    """Outcomes drawn from a joint distribution and read through the assignment matrices: the mean is the distribution's own."""
    rng, shots = np.random.default_rng(5), 200_000
    pair = tuple(
        msgspec.structs.replace(one, assignment=matrix)
        for one, matrix in zip(
            demo_calibration.qubits.values(),
            (np.array([[0.95, 0.12], [0.05, 0.88]]), np.array([[0.9, 0.2], [0.1, 0.8]])),
            strict=True,
        )
    )
    levels = rng.choice(4, shots, p=[0.5, 0.1, 0.15, 0.25])
    true = 0.5 + 0.25 - 0.1 - 0.15
    outcomes = np.stack(
        [
            (rng.random(shots) < one.assignment[1, level]).astype(int)
            for one, level in zip(pair, (levels >> 1, levels & 1), strict=True)
        ],
        axis=1,
    )
    found = bell.correlator(outcomes, pair)
    assert abs(found.value - true) < 4 * found.stderr < 0.03


def test_a_bell_state_that_is_none_is_refused():
    good = [Estimated(one, 0.01) for one in (0.96, -0.95, 0.97)]
    assert bell.analyse("q0_q1", good).numbers["fidelity"].value == pytest.approx(0.97)
    assert not bell.analyse("q0_q1", good).problem
    turned = [Estimated(one, 0.01) for one in (-0.94, -0.37, -0.40)]
    assert "fidelity 0.0075 +- 0.0043 (<XX> -0.940, <YY> -0.370, <ZZ> -0.400)" in bell.analyse("q0_q1", turned).problem


def test_on_the_twin_cz_is_what_it_was_configured_with_and_makes_a_bell_state(lab, demo_calibration):
    with Loop(lab, 31) as loop:
        bench = Bench(lab, loop.measure, print, loop.measure_swept)
        (found,) = cz.find(bench, demo_calibration.qubits).values()
        bench = bench.knowing(coupled({}, {"q0_q1": found}))
        (state,) = bell.find(bench, demo_calibration.qubits).values()
    print(found.text, state.text)
    (true,) = lab.twin.parameters["couplers"].values()
    one = bench.couplers["q0_q1"]
    for turn, hz in zip(one.rz_rad, true["stark_hz_per_v2"], strict=True):
        expected = -pi * hz / abs(true["zz_hz_per_v2"])
        assert abs(turn.value - expected) < 4.5 * turn.stderr + BIAS
        assert turn.stderr < 0.01
    assert abs(state.numbers["fidelity"].value - FIDELITY) < 4.5 * state.numbers["fidelity"].stderr + 0.005


def test_by_the_command_couplers_are_stored_and_labs_without_are_told(request, tmp_path, lab, demo_calibration):
    file = tmp_path / "lab.toml"
    file.write_text(
        (request.config.rootpath / "configs" / "coupled.toml").read_text().replace("127.0.0.1:5557", "127.0.0.1:*")
    )
    bound = bound_hash(config.load(file))
    save_calibration(tmp_path / "runs", msgspec.structs.replace(demo_calibration, lab_hash=bound))
    status, text = called("calibrate", "cz", "bell", "--lab", file, "--runs", tmp_path / "runs", "--seed", 9, "--json")
    assert status == 0, text
    told = json.loads(text.splitlines()[-1])
    assert [(one["step"], one["qubit"]) for one in told["findings"]] == [("cz", "q0_q1"), ("bell", "q0_q1")]
    stored = load_calibration(tmp_path / "runs", told["hash"], config.load(file), bound)
    numbers = {
        one: msgspec.to_builtins(getattr(stored.couplers["q0_q1"], one)) for one in told["findings"][0]["numbers"]
    }
    assert numbers == told["findings"][0]["numbers"]
    demo = request.config.rootpath / "configs" / "demo.toml"
    status, text = called("calibrate", "cz", "--lab", demo, "--runs", tmp_path / "runs")
    assert status != 0
    assert "'cz' is of couplers, and the lab 'demo' has none: [couplers.NAME] in its file" in text
    assert suiting(ALL, config.load(demo)) == [one for one in ALL if one not in {"cz", "bell"}]


def test_a_stored_coupler_that_cannot_be_is_refused(demo_calibration):
    good = CouplerCalibration(Estimated(0.5, 0.1), Estimated(0.0, 0.1), (Estimated(0.1, 0.1), Estimated(0.2, 0.1)))
    for change, wanted in (
        ({"cz_amplitude": Estimated(1.5, 0.1)}, "couplers.q0_q1: a cz pulse of 1.5 of full scale"),
        ({"conditional_rad": Estimated(0.0, -1.0)}, r"couplers.q0_q1: 0.0 \+- -1.0 is not finite"),
    ):
        bad = {"q0_q1": msgspec.structs.replace(good, **change)}
        with pytest.raises(CalibrationError, match=wanted):
            decode_calibration(encode_calibration(msgspec.structs.replace(demo_calibration, couplers=bad)), "there")
    whole = msgspec.structs.replace(demo_calibration, couplers={"q0_q1": good})
    back: Calibration = decode_calibration(encode_calibration(whole), "there")
    assert back.couplers == whole.couplers
