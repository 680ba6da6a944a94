"""cz and its Bell state: the analyses against joint states on paper, the calibration on the twin, the command.

Many seeds of it are in test_calibrate_seeds.
"""

import json
from math import pi

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.calibrate import bell, cz
from qrt.calibrate.bench import Bench, program_for
from qrt.calibrate.finding import coupled
from qrt.calibrate.order import ALL, suiting
from qrt.calibrate.partner import Partner, partner_of
from qrt.calibrate.signals import Points, Scan, Signal
from qrt.errors import CalibrationError
from qrt.loop import Loop
from qrt.report.scan import figure
from qrt.store import bound_hash, decode_calibration, encode_calibration, load_calibration, save_calibration
from qrt.types import Calibration, CouplerCalibration, Estimated
from tests.coupled_calibrations import rows_of_seed
from tests.reference_coupled import COUPLER, CoupledPaper, coupled_lab_of, full_scale
from tests.reference_lab import Paper, calibration_of
from tests.test_calibrate_command import called

OF = Scan("q0_q1", "cz, q0 in superposition", "Look there")
STILL = Partner((Estimated(0.0, 1e-4), Estimated(1.0, 1e-4)), 0.0)  # of which every shot is as it shall be


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


@pytest.mark.parametrize(("alone", "more"), [(3.1, -5.8), (-11.0, 4.0), (0.0, 3.3), (20.0, 9.0), (-70.0, 30.0)])
@pytest.mark.parametrize("contrast", [0.45, -0.45])
def test_phases_are_found_whichever_way_up_the_signal_is(alone, more, contrast):
    pulls = []
    for seed in range(10):
        numbers = cz.analyse(OF, side(alone, more, seed, contrast), STILL).numbers
        assert numbers["alone_rad"].stderr < 0.02
        pulls += [
            (numbers[name].value - true) / numbers[name].stderr
            for name, true in (("alone_rad", alone), ("more_rad", more))
        ]
    assert np.max(np.abs(pulls)) < 4.5


def finding(*sides: tuple[float, float]):
    """The coupler's finding of two targets with these phases."""
    judged = [cz.judged(OF, one, cz.Drawn("", cz.POINTS[1]), lambda one=one: cz.analyse(OF, one, STILL))
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
    with pytest.raises(CalibrationError, match=r"nothing changes over 120 points.*Look there"):
        cz.analyse(OF, dead, STILL)


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


def test_errors_of_the_matrices_are_common_to_the_three_correlators(demo_calibration):
    """A thousand pairs of matrices, each off by its own error: the fidelity of a Bell state scatters as is said."""
    rng, pair = np.random.default_rng(8), tuple(demo_calibration.qubits.values())
    true = np.zeros((2, 2, 3))  # of both levels, of each correlator
    for axis, sign in enumerate(bell.SIGNS):
        true[..., axis] = (1 + sign * np.outer((1, -1), (1, -1))) / 4
    read = np.einsum("ab,cd,bdk->ack", *(one.assignment for one in pair), true)

    def fidelity() -> float:
        weights = []
        for one in pair:
            errors = rng.normal(0, np.hypot(one.assignment_stderr, one.preparation_stderr))
            off = np.array([[-errors[1, 0], errors[0, 1]], [errors[1, 0], -errors[0, 1]]])
            weights.append(np.array([1.0, -1.0]) @ np.linalg.inv(one.assignment + off))
        return (1 + bell.SIGNS @ np.einsum("a,c,ack->k", *weights, read)) / 4

    spread = np.std([fidelity() for _ in range(1000)])
    said = bell.analyse("q0_q1", [Estimated(one, 0.0) for one in bell.SIGNS], bell.matrices_error(pair))
    assert said.numbers["fidelity"].stderr == pytest.approx(spread, rel=0.1)


def test_a_bell_state_that_is_none_is_refused():
    good = [Estimated(one, 0.01) for one in (0.96, -0.95, 0.97)]
    assert bell.analyse("q0_q1", good, 0.0).numbers["fidelity"].value == pytest.approx(0.97)
    assert not bell.analyse("q0_q1", good, 0.0).problem
    (picture,) = bell.analyse("q0_q1", good, 0.0).pictures
    assert "polyline" not in str(figure(picture))
    turned = [Estimated(one, 0.01) for one in (-0.94, -0.37, -0.40)]
    assert (
        "fidelity 0.0075 +- 0.0043 (<XX> -0.940, <YY> -0.370, <ZZ> -0.400)"
        in bell.analyse("q0_q1", turned, 0.0).problem
    )


@pytest.mark.parametrize("target", [0, 1])
def test_a_partner_that_is_not_always_where_it_shall_be_moves_nothing(target):
    """Scans of joint states on paper, without noise: 3 % of level 1 in equilibrium, decay, and an sx that turns about Z as well."""
    calibration = calibration_of(Paper("q0"), Paper("q1"))
    paper, (more, alone) = CoupledPaper(calibration), full_scale(COUPLER)
    z, of_other = paper.scan(target, cz.POWERS)
    other = calibration.qubits[("q1", "q0")[target]]
    read = (1 - of_other.reshape(-1)) / 2 * (1 - 0.05 - 0.1) + 0.05
    other = msgspec.structs.replace(other, assignment=np.array([[0.95, 0.1], [0.05, 0.9]]), reference_count=1000)
    lab = coupled_lab_of()
    points = Points(np.zeros(0), np.zeros(0), read, np.full(len(read), 1500.0))
    partner = partner_of(points, other, lab.couplers["q0_q1"], lab.qubits[("q0", "q1")[target]])
    thermal = paper.qubits[1 - target].thermal_population
    assert partner.ones[0].value == pytest.approx(thermal, abs=1e-9)
    assert 0.0 < 1.0 - thermal - partner.ones[1].value < 0.005  # what the flip loses
    seen = Signal((1 - z.reshape(-1)) / 2, np.full(len(read), 0.01))
    found = cz.analyse(OF, seen, partner).numbers
    assert found["alone_rad"].value == pytest.approx(alone[target], abs=1e-3)
    assert found["more_rad"].value == pytest.approx(more, abs=3e-3)
    taken_for_still = cz.analyse(OF, seen, STILL).numbers
    assert abs(taken_for_still["alone_rad"].value - alone[target]) > 0.005
    assert abs(taken_for_still["more_rad"].value - more) > 0.01


def test_a_tone_so_strong_that_steps_of_power_pass_more_than_a_turn_is_refused():
    for turns in (2, 3, 4, -2, 7, -14, 40):
        seen = side(2.0 + 24 * pi * turns, -5.0, turns + 99)
        with pytest.raises(CalibrationError, match=r"do not follow conditional.*Look there"):
            cz.analyse(OF, seen, STILL)


def test_without_an_assignment_matrix_neither_is_begun(lab, demo_calibration):
    bare = {name: msgspec.structs.replace(one, reference_count=0) for name, one in demo_calibration.qubits.items()}
    bench = Bench(lab, None, print, None, {"q0_q1": cz.FULL})
    for step in (cz, bell):
        with pytest.raises(
            CalibrationError, match=r"the readout of q0 and q1 has no assignment matrix.*calibrate assignment"
        ):
            step.find(bench, bare)


def test_the_twin_s_truth_of_the_bell_state_is_that_of_joint_states_on_paper():
    """To 3e-4: what is left of the levels that the shot before has found differs from shot to shot."""
    (more, alone), exactly = full_scale(COUPLER), lambda value: Estimated(float(value), 0.0)
    power = pi / abs(more)
    known = CouplerCalibration(exactly(power**0.5), exactly(0.0), tuple(exactly(-one * power) for one in alone))
    calibration = msgspec.structs.replace(calibration_of(Paper("q0"), Paper("q1")), couplers={"q0_q1": known})
    with Loop(coupled_lab_of(), 77) as loop:
        bench = Bench(loop.lab, loop.measure, print, None, calibration.couplers)
        loop.watch({"q0": 0, "q1": 0})
        for turn, expected in zip(bell.TURNS.values(), CoupledPaper(calibration).bell(), strict=True):
            program = program_for(bell.PROGRAM.format(turn=turn), 2)
            loop.measure(bench.pulses(program, calibration.qubits, {}, None), 1500)
            assert loop.truth.product == pytest.approx(expected, abs=3e-4)


def test_on_the_twin_cz_is_what_it_was_configured_with_and_makes_a_bell_state():
    rows = rows_of_seed(31)
    assert [one.what for one in rows][-4:] == ["Bell fidelity", "<XX>", "<YY>", "<ZZ>"]
    assert max(abs(one.pull) for one in rows) < 4.5
    assert max(one.stderr for one in rows) < 0.012


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
