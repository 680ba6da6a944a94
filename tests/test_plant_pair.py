"""Two-qubit gates in the plant: joint states against Lindblad's equation and closed forms; states saved; what is refused."""

import math
from dataclasses import replace
from math import pi, tau

import numpy as np
import pytest

from qrt.errors import BugError, ConfigError
from qrt.firmware_sim.plant import Plant, isa_names, isa_select, isa_selected
from qrt.firmware_sim.plant_config import CouplerConfig
from tests.coupled_plant import (
    COHERENT,
    CONFIG,
    COUPLED,
    COUPLERS,
    FEED,
    FULL,
    IDEAL,
    LINES,
    PULSE,
    Q0,
    Q1,
    Q2,
    TONE,
    VOLT,
    WEIGHT_S,
    Play,
    controlled_flip,
    couple,
    entangle,
    plant_of,
    play_all,
    random_plays,
    read,
    rotate,
    turned,
    undo_stark,
)
from tests.reference_joint import equilibrium, reference_joint


@pytest.mark.parametrize(("seed", "couplers"), [(1, 1), (2, 2), (3, 2)])
def test_random_sequences_follow_the_density_matrix(seed: int, couplers: int) -> None:
    """Without relaxation to rounding; with it, to what the plant's drive pulses are good for (half a sample's relaxation at a time)."""
    plays, end = random_plays(seed, couplers)
    for config, bound in ((COHERENT, 1e-12), (CONFIG, 3e-5)):
        plant = plant_of(config)
        play_all(plant, plays)
        expected = reference_joint(config, equilibrium(config), plays, 0, end)
        np.testing.assert_allclose(plant.joint(end), expected, atol=bound)


def test_tones_that_relax_follow_the_density_matrix() -> None:
    """From the joint state that the plant says, so that drive pulses are left out: three tones on two couplers, two of them overlapping."""
    plant = plant_of()
    for qubit in range(3):
        rotate(plant, qubit, 0, 1.0 + 0.3 * qubit, 0.4 * qubit)
    start = plant.joint(PULSE)
    plays: list[Play] = [
        (COUPLED[0], 25, 0.9, 0.3),
        (COUPLED[0], 40, 0.4, 2.0),
        (COUPLED[1], 81, 0.8, 0.0),
        (COUPLED[0], 400, 0.7, 0.0),
    ]
    expected = reference_joint(CONFIG, start, plays, PULSE, 1000)
    for frequency in (0.0, 77e6):  # the same for every play on a line: nothing beats
        plant = plant_of()
        for qubit in range(3):
            rotate(plant, qubit, 0, 1.0 + 0.3 * qubit, 0.4 * qubit)
        for line, tick, amplitude, phase in plays:
            advanced = phase + tau * frequency * (tick - 25) * 1e-9
            plant.port().play(line, 2, tick, amplitude=amplitude, phase=advanced, frequency=frequency)
        np.testing.assert_allclose(plant.joint(1000), expected, atol=3e-6)  # half a sample's relaxation at a time


def test_a_look_in_the_middle_of_a_tone_changes_nothing() -> None:
    """A tone that is cut into stretches does what it does in one."""
    plays, end = random_plays(11, 2)
    whole, looked = plant_of(), plant_of()
    play_all(whole, plays)
    for line, tick, amplitude, phase in plays:
        play_all(looked, [(line, tick, amplitude, phase)])
        if line in COUPLED:
            looked.joint(tick + 11)
            looked.peek(1, tick + 12)
    np.testing.assert_allclose(looked.joint(end), whole.joint(end), atol=1e-13)


def test_what_happens_to_one_of_two_correlated_qubits_acts_on_it_alone() -> None:
    """Photons, pulses that overlap among them, drift: the joint state takes the map that four Bloch vectors of a single qubit show."""
    drifting = replace(Q0, frequency_drift_hz_per_s=1e9)
    still = replace(IDEAL[1], chi_rad_per_s=0.0)
    qubits = (drifting, still, replace(IDEAL[2], chi_rad_per_s=0.0))
    config = replace(CONFIG, qubits=qubits, projective_exponent=1e12, negligible_exponent=1e11)
    start, tick, end = 1_000_000, 1_000_100, 1_002_000  # 1 MHz up

    def disturb(plant: Plant, tick: int) -> None:
        plant.port().play(FEED, 1, tick, amplitude=1.0, frequency=100e6)  # 20 samples at qubit 0's resonator
        rotate(plant, 0, tick + 40, 0.7, 0.2)
        rotate(plant, 0, tick + 50, -0.5, 1.3)
        rotate(plant, 0, tick + 900, 0.4, 0.9)

    def at_start() -> Plant:
        plant = plant_of(config)
        plant.port().begin_shot(1, start)
        return plant

    before, after = [], []
    for angle, axis in ((0.0, 0.0), (pi / 2, 0.0), (pi / 2, pi / 2), (2.5, 0.3)):
        for vectors, look in ((before, tick), (after, end)):
            plant = at_start()
            rotate(plant, 0, start + 80, angle, axis)
            if look == end:
                disturb(plant, tick)
            vectors.append([1.0, *(getattr(plant.peek(0, look), name) for name in "xyz")])
    on_index = np.linalg.solve(np.array(before), np.array(after)).T
    joints = []
    for look in (tick, end):
        plant = at_start()
        entangle(plant, start)
        if look == end:
            disturb(plant, tick)
        joints.append(plant.joint(look))
    np.testing.assert_allclose(joints[1], np.tensordot(on_index, joints[0], 1), atol=1e-9)
    assert np.abs(joints[1] - joints[0]).max() > 0.2


# ---- Closed forms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("which", [0, 1])
def test_a_tone_shifts_a_frequency_by_its_power(which: int, level: int) -> None:
    """Stark and conditional phase of either qubit are 2 pi |V|^2 t (stark + zz level), in sign and size, whatever the tone's phase."""
    one = COUPLERS[0]
    for amplitude, count in ((0.3, 1), (0.6, 1), (0.3, 4)):
        plant = plant_of(COHERENT)
        rotate(plant, 1 - which, 0, pi * level)
        rotate(plant, which, 0, pi / 2)
        before = turned(plant, which, PULSE)
        for k in range(count):
            plant.port().play(COUPLED[0], 2, 30 + TONE * k, amplitude=amplitude, phase=1.1 * k, frequency=31e6 * k)
        after = turned(plant, which, 30 + TONE * count)
        power_s = WEIGHT_S * (round(amplitude * 65536) / 65536) ** 2 * count
        expected = tau * power_s * (one.stark_hz_per_v2[which] + one.zz_hz_per_v2 * level)
        assert math.remainder(after - before - expected, tau) == pytest.approx(0, abs=1e-9)
        assert plant.peek(1 - which, 30 + TONE * count).z == pytest.approx(1 - 2 * level, abs=1e-9)


def test_a_frequency_that_rises_turns_as_one_that_has_drifted_up() -> None:
    """The sign of a shift is that of the 0-1 frequency, as the plant's drift has it."""
    up = replace(COHERENT, couplers=(CouplerConfig((0, 1), 0.0, (40e6, 0.0)),), lines=LINES[:5])
    plant = plant_of(up)
    rotate(plant, 0, 0, pi / 2)
    before = turned(plant, 0, PULSE)
    plant.port().play(COUPLED[0], 2, 30, amplitude=0.3)
    risen = math.remainder(turned(plant, 0, 30 + TONE) - before, tau)
    drifting = replace(COHERENT, qubits=(replace(IDEAL[0], frequency_drift_hz_per_s=1e9), *IDEAL[1:]))
    plant = plant_of(drifting)
    plant.port().begin_shot(1, 1_000_000)  # 1 MHz up
    rotate(plant, 0, 1_000_000, pi / 2)
    before = turned(plant, 0, 1_000_000 + PULSE)
    drifted = math.remainder(turned(plant, 0, 1_000_000 + PULSE + 50) - before, tau)
    assert risen > 0.1
    assert drifted == pytest.approx(tau * 1e6 * 50e-9)


def test_cz_on_two_superpositions() -> None:
    """Of |++> it makes <X Z> = <Z X> = <Y Y> = 1, and the single qubits know nothing, in frames shifted by the Stark phases."""
    plant = plant_of(COHERENT)
    for qubit in (0, 1):
        rotate(plant, qubit, 0, pi / 2, pi / 2)  # level 0 to +x
    couple(plant, 0, PULSE)
    joint = plant.joint(PULSE + TONE)[:, :, 0]
    for qubit, phase in undo_stark(0).items():
        c, s = math.cos(phase), math.sin(phase)
        back = np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0], [0, 0, 0, 1]])
        joint = np.moveaxis(np.tensordot(back, joint, (1, qubit)), 0, qubit)
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[1, 3] = expected[3, 1] = expected[2, 2] = 1.0
    np.testing.assert_allclose(joint, expected, atol=2e-5)  # the amplitude's 17 bits


def test_a_bell_state_relaxes_as_its_closed_form() -> None:
    """Cold qubits: <ZZ> from the levels' decay; <X X> and <Y Y> with both T2; then the correlation ends and is forgotten."""
    cold = tuple(replace(q, thermal_population=0.0) for q in (Q0, Q1, Q2))
    plant = plant_of(replace(CONFIG, qubits=cold))
    start = entangle(plant)
    first = plant.joint(start)[:, :, 0]
    a, b = cold[:2]
    for wait in (1, 300, 2_000, 9_000):
        joint = plant.joint(start + wait)[:, :, 0]
        t = wait * 1e-9
        coherence = math.exp(-t / a.t2_s - t / b.t2_s)
        np.testing.assert_allclose(joint[1:3, 1:3], first[1:3, 1:3] * coherence, atol=1e-12)
        da, db = math.exp(-t / a.t1_s), math.exp(-t / b.t1_s)
        z = [1 + (first[3, 0] - 1) * da, 1 + (first[0, 3] - 1) * db]
        both = 1 - da - db + da * db + da * (1 - db) * first[3, 0] + db * (1 - da) * first[0, 3] + da * db * first[3, 3]
        np.testing.assert_allclose([joint[3, 0], joint[0, 3], joint[3, 3]], [*z, both], atol=1e-12)
    plant.joint(60_000)
    plant.port().begin_shot(1, 60_000)
    joint = plant.joint(60_000)[:, :, 0]
    assert np.array_equal(joint, np.multiply.outer(joint[:, 0], joint[0, :]))  # exactly: two Bloch vectors


def test_three_qubits_over_two_couplers() -> None:
    """A GHZ state: pairs of z agree, no smaller part has a direction, and the eight words of x and y are cosines of one phase."""
    plant = plant_of(COHERENT)
    tick = entangle(plant, qubits=(0, 1))
    tick = controlled_flip(plant, tick, 2, 1)
    joint = plant.joint(tick)
    for index in ((3, 3, 0), (0, 3, 3), (3, 0, 3)):
        assert joint[index] == pytest.approx(1, abs=1e-4)
    for index in ((1, 0, 0), (0, 0, 3), (0, 2, 0), (1, 1, 0), (0, 2, 1), (3, 3, 3)):
        assert joint[index] == pytest.approx(0, abs=5e-3)
    # The phase between |000> and |111> is what the Stark shifts left; along it the eight words have their closed form.
    phase = math.atan2(joint[2, 1, 1], joint[1, 1, 1])
    for index in np.ndindex(2, 2, 2):
        expected = math.cos(phase - pi / 2 * sum(index))
        assert joint[tuple(1 + k for k in index)] == pytest.approx(expected, abs=1e-3)


# ---- State, refusals ----------------------------------------------------------------------------------------------------


def test_a_saved_state_goes_on_with_the_same_bits_on_every_instruction_set() -> None:
    """Saved in the middle of a tone on two qubits that are correlated with a third one."""
    plays, end = random_plays(3, 2)
    plant = plant_of()
    play_all(plant, plays)
    rotate(plant, 2, end, 0.5)
    plant.port().play(COUPLED[0], 2, end, amplitude=0.8)
    plant.peek(0, end + 17)
    state = plant.save()

    def go_on(one: Plant) -> bytes:
        read(one, end + TONE + 5, 1)
        one.port().capture_begin(end + TONE + 100, 600)
        samples = one.port().capture_end(600)
        return samples.tobytes() + one.joint(end + 2500).tobytes() + one.save()

    wanted = go_on(plant)
    selected = isa_selected()
    for name in isa_names():
        isa_select(name)
        again = plant_of(seed=77)
        again.restore(state)
        assert go_on(again) == wanted
    isa_select(selected)


def test_what_a_tone_does_not_commute_with_is_refused_on_its_qubits_only() -> None:
    """A drive pulse on a coupled qubit, a tone on a driven one, two couplers on one qubit; a pulse on the third qubit is welcome."""
    for first, second in ((COUPLED[0], 1), (1, COUPLED[0]), (0, COUPLED[0]), (COUPLED[0], COUPLED[1])):
        plant = plant_of()
        plant.port().play(first, 2, 100)
        with pytest.raises(BugError, match="QRT_ERR_DRIVE_IN_COUPLING"):
            plant.port().play(second, 2, 100 + TONE - 1)
        plant.port().play(second, 2, 100 + TONE)
    plant = plant_of()
    plant.port().play(COUPLED[0], 2, 100)
    rotate(plant, 2, 110, 1.0)


def test_a_tone_ends_when_the_outputs_go_off_and_acts_again_after_the_next_start() -> None:
    plant = plant_of(COHERENT)
    rotate(plant, 0, 0, pi / 2)
    before = turned(plant, 0, PULSE)
    plant.port().play(COUPLED[0], 0, 100, amplitude=0.25)
    plant.peek(2, 400)
    plant.port().safe()
    power_s = (0.25 * FULL * VOLT) ** 2 * 300e-9
    expected = tau * power_s * COUPLERS[0].stark_hz_per_v2[0]
    assert math.remainder(turned(plant, 0, 1000) - before - expected, tau) == pytest.approx(0, abs=1e-9)
    with pytest.raises(BugError, match="QRT_ERR_LINE"):
        plant.port().play(COUPLED[0], 2, 1000)
    plant.start(2)
    plant.port().play(COUPLED[0], 2, 0)


def test_a_line_that_is_off_couples_nothing_and_a_run_ends_its_tones() -> None:
    off = replace(COHERENT, lines=(*LINES[:4], replace(LINES[4], output_on=False), LINES[5]))
    plant = plant_of(off)
    rotate(plant, 0, 0, pi / 2)
    before = turned(plant, 0, PULSE)
    plant.port().play(COUPLED[0], 2, 30)
    assert turned(plant, 0, 100) == pytest.approx(before, abs=1e-12)
    whole, ended = plant_of(COHERENT), plant_of(COHERENT)
    for one in (whole, ended):
        rotate(one, 0, 0, pi / 2)
        one.port().play(COUPLED[0], 2, 30)
    ended.start(9)  # after the tone
    np.testing.assert_array_equal(ended.joint(0), whole.joint(30 + TONE))


def test_configs_that_cannot_be_are_named() -> None:
    for change, what in (
        ({"couplers": (CouplerConfig((0, 0), 1e6), COUPLERS[1])}, r"couplers\[0\]\.qubits = \(0, 0\): must be two of 0 to 2"),
        ({"couplers": (CouplerConfig((0, 3), 1e6), COUPLERS[1])}, r"couplers\[0\]\.qubits = \(0, 3\)"),
        ({"couplers": (CouplerConfig((0, 1), math.nan), COUPLERS[1])}, r"couplers\[0\]: \(zz, stark, stark\) = .*within"),
        ({"couplers": COUPLERS[:1]}, r"lines\[5\]\.coupler = 1: must be None or, without a qubit, 0 to 0"),
        ({"couplers": COUPLERS * 4}, "couplers = 8: must be at most 6 of them"),
        ({"lines": (*LINES[:5], replace(LINES[5], coupler=0))}, r"lines\[4\]: \(qubit, coupler\) = \(None, 0\): must be on one"),
        ({"lines": (*LINES[:5], replace(LINES[5], qubit=0))}, r"lines\[5\]\.coupler = 1: must be None or, without a qubit"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=what):
            Plant(replace(CONFIG, **change))
