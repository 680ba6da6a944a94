"""A whole calibration against a small lab of its own: qubits, resonators and a feedline in numpy, written from closed forms.

The world here shares nothing with the calibration or the plant: it takes pulses, turns Bloch vectors by ordered affine maps, lets levels
jump during readout tones, rings resonators up, and returns rows and captures. What it was built with is the truth that the
calibration must find. A second jump within one tone is left out, in the truth as well.
"""

from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from qrt.calibrate import calibrate, flips, order, rabi, ramsey, references, sequences, tone
from qrt.calibrate.bench import program_for
from qrt.calibrate.finding import require_found, updated
from qrt.errors import CalibrationError
from qrt.types import (
    Capture,
    Digitizer,
    Estimated,
    Instrument,
    Lab,
    Line,
    Measured,
    Play,
    Qubit,
    Readout,
    ShiftPhase,
    Wait,
)

TAU = 2 * np.pi
SAMPLE_S = 1e-9
ERROR_SHOTS = 100_000  # from which the true errors of a readout are taken: several times the calibration's own


class True_(NamedTuple):  # noqa: N801
    """What a qubit really is."""

    frequency_hz: float
    resonator_hz: float
    t1_s: float = 22e-6
    t2_s: float = 17e-6
    thermal: float = 0.02
    rabi_hz: float = 65e6  # at full scale, resonant
    kappa: float = TAU * 5e6
    chi: float = TAU * 2.2e6
    gain: float = 30.0  # counts per unit of field
    phase: float = 0.6


def lab_of(truths, errors_hz):
    """Return a lab whose nominal frequencies are off by (qubit, readout) errors."""
    where = Instrument(driver="none", address="none")
    lines = {"feed": Line(awg="a", i_channel=1, q_channel=2, source="s", source_hz=7.0e9)}
    qubits = {}
    for k, (name, true) in enumerate(truths.items()):
        drive = f"drive{k}"
        lines[drive] = Line(awg="a", i_channel=1, q_channel=2, source="s", source_hz=4.85e9 + 0.3e9 * k)
        qubits[name] = Qubit(
            drive_line=drive,
            readout_line="feed",
            frequency_hz=true.frequency_hz + errors_hz[k][0],
            pulse_ns=30.0,
            t1_ns=20e3,
            readout=Readout(frequency_hz=true.resonator_hz + errors_hz[k][1], amplitude=0.25),
        )
    return Lab(
        name="world",
        instruments={"a": where, "s": where},
        lines=lines,
        digitizer=Digitizer(instrument="a", channel=1, range_v=0.5),
        qubits=qubits,
    )


class World:
    """The lab's hardware: `measure` is what the loop would be."""

    def __init__(self, lab, truths, seed, noise=100.0):
        self.lab, self.truths, self.noise = lab, truths, noise
        self.rng = np.random.default_rng(seed)
        self.arms, self.shots = 0, 0
        self.maps = {}  # pulses seen before

    def measure(self, pulses, shots):
        self.arms += 1
        self.shots += shots
        readouts = {name: _readout_ticks(ops, pulses) for name, ops in pulses.blocks.items()}
        ticks = sorted({tick for own in readouts.values() for tick, _ in own})
        capture_count = sum(len(own) for own in readouts.values())
        rows = np.zeros(
            shots, [("flags", "u4"), ("outcomes", "u1", (capture_count,)), ("iq", "i8", (capture_count, 2))]
        )
        raw, state = {}, {}
        for name, true in self.truths.items():
            state[name] = _Spin(true, np.array([[0.0, 0.0, 1.0 - 2.0 * true.thermal]]), self.maps)
        first = dict(zip(readouts, np.cumsum([0, *(len(own) for own in readouts.values())]), strict=False))
        for tick in ticks:
            present = [name for name in readouts if any(t == tick for t, _ in readouts[name])]
            traces, tones = {}, {}
            for name in present:
                spin = state[name]
                spin.run(pulses, self.lab, name, tick)
                level = (self.rng.random(shots) < (1.0 - spin.bloch[:, 2]) / 2.0).astype(int)
                tone = _Tone(self.truths[name], self.lab, pulses, name)
                jump, after = tone.jumps(level, self.rng)
                traces[name], tones[name] = (level, jump), tone
                spin.bloch = np.stack([np.zeros(shots), np.zeros(shots), 1.0 - 2.0 * after], axis=1)
                spin.tick = tick + tone.samples
            for name in present:
                ordinal = [t for t, _ in readouts[name]].index(tick)
                capture = readouts[name][ordinal][1]
                index, weights = int(first[name] + ordinal), pulses.weights[capture.weights]
                if capture.raw:
                    clean = sum(tones[other].full(*traces[other]) for other in present)
                    captures = np.rint(clean + self.rng.normal(0.0, self.noise, size=clean.shape)).astype(np.int16)
                    raw[index] = captures
                    iq = captures.astype(float) @ weights.samples.T.astype(float)
                else:
                    iq = sum(tones[other].seen(weights.samples.astype(float), *traces[other]) for other in present)
                    spread = np.linalg.cholesky(
                        weights.samples.astype(float) @ weights.samples.T.astype(float) + 1e-6 * np.eye(2)
                    )
                    iq = iq + self.noise * self.rng.normal(size=(shots, 2)) @ spread.T
                rows["iq"][:, index] = np.rint(iq)
                rows["outcomes"][:, index] = rows["iq"][:, index, 0] > weights.threshold
        return Measured(rows, raw)

    def errors(self, name, found):
        """Return the true P(1|0), P(0|1) of the readout with these weights, sampled, with all tones on and neighbours mixed."""
        result = []
        pulses = _tone_only(self.lab, found)
        for p in (0, 1):
            iq = 0.0
            for other, true in self.truths.items():
                tone = _Tone(true, self.lab, pulses, other)
                level = np.full(ERROR_SHOTS, p) if other == name else (self.rng.random(ERROR_SHOTS) < 0.5).astype(int)
                jump, _ = tone.jumps(level, self.rng)
                iq = iq + tone.seen(found[name].weights.astype(float), level, jump)[:, 0]
            sigma = self.noise * np.linalg.norm(found[name].weights[0].astype(float))
            ones = np.mean(iq + sigma * self.rng.normal(size=ERROR_SHOTS) > found[name].threshold)
            result.append(ones if p == 0 else 1.0 - ones)
        return result


def _tone_only(lab, found):
    """Return an object with the frames of the found tones."""
    frames = {
        f"{name}.readout": type("F", (), {"line": "feed", "frequency_hz": one.readout_hz - 7.0e9})()
        for name, one in found.items()
    }
    return type("P", (), {"frames": frames, "envelopes": {f"{name}.tone": np.ones(1000) for name in found}})()


def _readout_ticks(ops, pulses):
    """Return (tick, capture) of a block's readouts."""
    tick, result = 0, []
    for op in ops:
        if isinstance(op, Capture):
            result.append((tick, op))
        elif isinstance(op, Play):
            tick += len(pulses.envelopes[op.envelope])
        elif isinstance(op, Wait):
            tick += op.ticks
    return result


class _Spin:
    """A Bloch vector in the frame of the drive, advanced along a block; bloch [shots or 1, 3]."""

    def __init__(self, true, bloch, maps):
        self.true, self.bloch, self.tick, self.maps = true, bloch, 0, maps
        self.cursor, self.index, self.phase = 0, 0, 0.0

    def run(self, pulses, lab, name, until):
        """Execute the block's gates up to this tick."""
        frame = pulses.frames[f"{name}.drive"]
        detuning = TAU * (self.true.frequency_hz - lab.lines[frame.line].source_hz - frame.frequency_hz)
        ops = pulses.blocks[name]
        while self.index < len(ops) and (self.cursor < until or isinstance(ops[self.index], ShiftPhase)):
            op = ops[self.index]
            self.index += 1
            if isinstance(op, ShiftPhase):
                self.phase += op.phase_rad
            elif isinstance(op, Wait):
                self._apply(self._free(op.ticks * SAMPLE_S, detuning))
                self.cursor += op.ticks
            elif isinstance(op, Play) and op.frame == f"{name}.drive":
                key = (op.envelope, op.amplitude, self.phase, detuning)
                if key not in self.maps:
                    self.maps[key] = self._pulse(pulses.envelopes[op.envelope] * op.amplitude, detuning)
                self._apply(self.maps[key])
                self.cursor += len(pulses.envelopes[op.envelope])
            elif isinstance(op, Play):
                self.cursor += len(pulses.envelopes[op.envelope])
        assert self.cursor == until

    def _apply(self, affine):
        self.bloch = self.bloch @ affine[:3, :3].T + affine[:3, 3]

    def _free(self, seconds, detuning):
        """Return precession and relaxation as an affine map, [4, 4]."""
        angle, decay2, decay1 = detuning * seconds, np.exp(-seconds / self.true.t2_s), np.exp(-seconds / self.true.t1_s)
        rest = 1.0 - 2.0 * self.true.thermal
        return np.array(
            [
                [decay2 * np.cos(angle), -decay2 * np.sin(angle), 0.0, 0.0],
                [decay2 * np.sin(angle), decay2 * np.cos(angle), 0.0, 0.0],
                [0.0, 0.0, decay1, (1.0 - decay1) * rest],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    def _pulse(self, envelope, detuning):
        """Return the ordered product of one small turn and one small free evolution per sample."""
        total = np.eye(4)
        for value in envelope:
            angle = TAU * self.true.rabi_hz * abs(value) * SAMPLE_S
            phase = self.phase + np.angle(value)
            axis = np.array([np.cos(phase), np.sin(phase), 0.0])
            cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
            turn = np.eye(4)
            turn[:3, :3] = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
            total = self._free(SAMPLE_S, detuning) @ turn @ total
        return total


class _Tone:
    """The field behind one readout tone, for levels that jump at most once."""

    def __init__(self, true, lab, pulses, name):
        frame = pulses.frames[f"{name}.readout"]
        self.true, self.if_hz = true, frame.frequency_hz
        self.samples = len(pulses.envelopes[f"{name}.tone"])
        offset = TAU * (true.resonator_hz - lab.lines[frame.line].source_hz - frame.frequency_hz)
        self.pole = [true.kappa / 2 + 1j * (offset - true.chi), true.kappa / 2 + 1j * (offset + true.chi)]
        self.drive = true.kappa / 2  # a field of 1 on resonance
        self.time = np.arange(self.samples) * SAMPLE_S

    @cached_property
    def carrier(self):
        return self.true.gain * np.exp(1j * (TAU * self.if_hz * self.time + self.true.phase))

    @cached_property
    def steady(self):
        """Return the field for a level that stays, [2, samples]."""
        return np.stack([-1j * self.drive / pole * (1.0 - np.exp(-pole * self.time)) for pole in self.pole])

    def jumps(self, level, rng):
        """Return (sample of the jump, or -1; level at the end)."""
        rates = np.array([self.true.thermal, 1.0 - self.true.thermal]) / self.true.t1_s
        jump = np.floor(rng.exponential(1.0 / rates[level]) / SAMPLE_S).astype(int)
        jump = np.where(jump < self.samples, jump, -1)
        return jump, np.where(jump >= 0, 1 - level, level)

    def full(self, level, jump):
        """Return the traces of all shots, [shots, samples]."""
        traces = (self.steady[level] * self.carrier).real
        moved = np.flatnonzero(jump >= 0)
        traces[moved] = self._jumped(level[moved], jump[moved])
        return traces

    def _jumped(self, level, jump):
        before = self.steady[level]
        start = np.take_along_axis(before, jump[:, None], axis=1)
        pole = np.array(self.pole)[1 - level][:, None]
        rest = -1j * self.drive / pole
        passed = self.time[None, :] - self.time[jump][:, None]
        after = rest + (start - rest) * np.exp(-pole * np.maximum(passed, 0.0))
        return (np.where(passed > 0, after, before) * self.carrier).real

    def seen(self, weights, level, jump):
        """Return the noiseless iq of all shots, [shots, 2], without making every trace."""
        iq = ((self.steady * self.carrier).real @ weights.T)[level]
        moved = np.flatnonzero(jump >= 0)
        iq[moved] = self._jumped(level[moved], jump[moved]) @ weights.T
        return iq


TRUTHS = {
    "q0": True_(frequency_hz=4.951e9, resonator_hz=7.1011e9),
    "q1": True_(
        frequency_hz=5.2490e9,
        resonator_hz=7.1792e9,
        t1_s=25e-6,
        t2_s=14e-6,
        thermal=0.03,
        phase=-2.0,
        rabi_hz=80e6,
        gain=25.0,
    ),
}
OFF = [(-1.0e6, 0.9e6), (1.1e6, -0.8e6)]


@pytest.fixture(scope="module")
def calibrated():
    """Return (lab, world, calibration, lines told) of one calibration of two qubits."""
    lab = lab_of(TRUTHS, OFF)
    world, lines = World(lab, TRUTHS, 7), []
    return lab, world, calibrate(lab, world.measure, 7, lines.append), lines


def test_a_calibration_is_bounded(calibrated):
    lab, world, _, lines = calibrated
    print(f"{world.arms} arms, {world.shots} shots")
    print("\n".join(lines))
    assert world.arms <= 400
    assert world.shots <= 500_000
    assert len(lines) == len(order.suiting(order.AUTOMATIC, lab))


def separation(true, tone_hz):
    """Return the distance of the two steady fields."""
    offset = TAU * (true.resonator_hz - tone_hz)
    return abs(np.subtract(*[1.0 / (true.kappa / 2 + 1j * (offset + sign * true.chi)) for sign in (-1, 1)]))


@pytest.mark.parametrize("name", TRUTHS)
def test_numbers_of_the_qubit_are_found(calibrated, name):
    _, _, calibration, _ = calibrated
    true, found = TRUTHS[name], calibration.qubits[name]
    for value, truth in (
        (found.frequency_hz, true.frequency_hz),
        (found.sx_amplitude, 0.25 / (0.5 * 30e-9 * true.rabi_hz)),
        (found.t1_s, true.t1_s),
        (found.t2_s, true.t2_s),
        (found.x_error, 0.25 * 60e-9 * (1 / true.t1_s + 1 / true.t2_s)),
    ):
        print(
            f"{name}: {value.value:.9g} +- {value.stderr:.2g}, true {truth:.9g}, {(value.value - truth) / value.stderr:+.1f} sigma"
        )
        assert abs(value.value - truth) < 5 * value.stderr
    assert found.frequency_hz.stderr < 1000
    assert found.sx_amplitude.stderr < 2e-3 * found.sx_amplitude.value
    assert found.t1_s.stderr < 0.1 * found.t1_s.value
    assert found.x_error.stderr < 5e-4
    assert separation(true, found.readout_hz) > 0.97 * max(
        separation(true, true.resonator_hz + hz) for hz in np.linspace(-4e6, 4e6, 81)
    )


@pytest.mark.parametrize("name", TRUTHS)
def test_assignment_matrix_is_that_of_the_readout(calibrated, name):
    _, world, calibration, _ = calibrated
    found = calibration.qubits[name]
    error0, error1 = world.errors(name, calibration.qubits)
    own = [(e * (1 - e) / ERROR_SHOTS) ** 0.5 for e in (error0, error1)]
    bars = np.sqrt(found.assignment_stderr[1] ** 2 + found.preparation_stderr[1] ** 2 + np.square(own))
    print(
        f"{name}: found {found.assignment[1, 0]:.5f} {found.assignment[0, 1]:.5f}, true {error0:.5f} {error1:.5f}, bars {bars}"
    )
    assert abs(found.assignment[1, 0] - error0) < 4 * bars[0]
    assert abs(found.assignment[0, 1] - error1) < 4 * bars[1]
    assert found.reference_count > 15_000
    assert np.all(found.assignment.sum(axis=0) == pytest.approx(1.0))
    assert found.weights.dtype == np.int16
    assert np.abs(found.weights).max() == 4095


@pytest.mark.parametrize("sign", [-1, 1])
def test_sign_of_a_detuning_is_found(sign):
    truths = {"q": TRUTHS["q0"]}
    lab = lab_of(truths, [(sign * 1.3e6, 0.0)])
    world = World(lab, truths, 3)
    found = order.nominal(lab)
    for find in (rabi.find, tone.find, ramsey.coarse):
        found = taken(find, bench(lab, world), found)
    assert found["q"].frequency_hz.value == pytest.approx(truths["q"].frequency_hz, abs=20e3)


@pytest.mark.parametrize("megahertz", [-30.0, -10.0, 5.5, 10.0, 20.0])
def test_a_nominal_frequency_too_far_off_is_refused_with_the_place_of_the_qubit(megahertz):
    # 12.5 MHz turn once in a step of 80 ns: with such steps alone most of these look like other, smaller detunings.
    truths = {"q": TRUTHS["q0"]}
    lab = lab_of(truths, [(megahertz * 1e6, 0.0)])
    world = World(lab, truths, 3)
    side = "below" if megahertz > 0 else "above"
    wanted = (
        rf"q: Ramsey: the qubit is at 4\.95(10|09)\d+ GHz, .* MHz {side} qubits\.q\.frequency_hz .* up to 5 MHz off\. "
        r"Set qubits\.q\.frequency_hz to 4\.9510e9"
    )
    with pytest.raises(CalibrationError, match=wanted) as caught:
        calibrate(lab, world.measure, 3)
    print(caught.value)
    assert world.arms < 110


@pytest.mark.parametrize("megahertz", [-60.0, -40.0, -25.0, -12.5, -7.0, 7.0, 12.5, 25.0, 40.0, 60.0])
def test_no_nominal_frequency_too_far_off_is_taken_for_another(megahertz):
    # Where x hardly works any more a scan before the Ramsey may end first; it names the frequency, too.
    truths = {"q": TRUTHS["q0"]}
    lab = lab_of(truths, [(megahertz * 1e6, 0.0)])
    with pytest.raises(CalibrationError, match=r"qubits\.q\.frequency_hz .*5 MHz") as caught:
        calibrate(lab, World(lab, truths, 3).measure, 3)
    print(caught.value)


@pytest.mark.parametrize("megahertz", [-4.5, 4.5])
def test_a_nominal_frequency_within_the_range_is_mended(megahertz):
    truths = {"q": TRUTHS["q0"]}
    lab = lab_of(truths, [(megahertz * 1e6, 0.0)])
    found = calibrate(lab, World(lab, truths, 3).measure, 3).qubits["q"]
    assert abs(found.frequency_hz.value - truths["q"].frequency_hz) < 5 * found.frequency_hz.stderr
    assert abs(found.sx_amplitude.value - 0.25 / (0.5 * 30e-9 * 65e6)) < 5 * found.sx_amplitude.stderr


@pytest.mark.parametrize(("pulse_ns", "tick_ps", "ticks"), [(30.0, 1000, 10), (32.0, 1000, 12), (30.0, 500, 20)])
def test_durations_are_of_time_and_suit_the_port(pulse_ns, tick_ps, ticks):
    lab = lab_of({"q": TRUTHS["q0"]}, [(0.0, 0.0)])
    qubit = msgspec.structs.replace(lab.qubits["q"], pulse_ns=pulse_ns)
    timing = msgspec.structs.replace(lab.timing, tick_ps=tick_ps)
    lab = msgspec.structs.replace(lab, qubits={"q": qubit}, timing=timing)
    assert sequences.short_delay_ticks(lab) == ticks
    assert sequences.whole_ticks(lab, sequences.DELAY_GRID_NS) == 80_000 // tick_ps
    pulses = single(bench(lab, None), order.nominal(lab), "x q;")
    assert pulses.period_ticks % (1_000_000 // tick_ps) == 0


def flawless(seed):
    """Return (lab, world, what is known of the qubit) of a qubit whose x has next to no error."""
    truths = {"q": TRUTHS["q0"]._replace(t1_s=50e-3, t2_s=50e-3)}
    lab = lab_of(truths, [(0.0, 0.0)])
    known = msgspec.structs.replace(order.nominal(lab)["q"], sx_amplitude=Estimated(0.25 / (0.5 * 30e-9 * 65e6), 0.0))
    return lab, World(lab, truths, seed), {"q": known}


def test_an_error_of_x_is_not_clamped_at_0():
    errors = []
    for seed in range(12):
        lab, world, known = flawless(seed)
        errors.append(taken(flips.find, bench(lab, world), known)["q"].x_error)
    away = np.array([error.value / error.stderr for error in errors])
    print(away)
    assert away.min() < 0.0 < away.max()
    assert abs(away.mean()) < 4 / 12**0.5


def test_a_contrast_that_grows_with_the_number_of_x_is_refused():
    lab, world, known = flawless(1)
    seen = []

    def measure(pulses, shots):
        measured = world.measure(pulses, shots)
        iq = measured.rows["iq"][:, 0].astype(float)
        seen.append(iq.mean(axis=0))
        if len(seen) > 2:  # the first two are the levels without any gain
            middle, count = (seen[0] + seen[1]) / 2, flips.COUNTS[len(seen) - 1]
            measured.rows["iq"][:, 0] = np.rint(middle + (iq - middle) * 1.004**count)
        return measured

    with pytest.raises(CalibrationError, match=r"q: train of x: the contrast grows .* is allowed"):
        taken(flips.find, order.Bench(lab, measure, lambda _: None), known)


def bench(lab, world):
    """Return a bench that tells nobody."""
    return order.Bench(lab, world.measure if world else None, lambda _: None)


def taken(find, on, known):
    """Return what is known of the qubits after a step."""
    findings = find(on, known)
    require_found(findings)
    return updated(known, findings)


def single(on, qubits, gates):
    """Return the shot: these gates, then a readout of every qubit."""
    text = f'OPENQASM 3.0; include "stdgates.inc"; qubit[QUBITS] q; bit[QUBITS] c; {gates} barrier q; c = measure q;'
    return on.pulses(program_for(text, len(qubits)), qubits, {}, None)


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_design_is_balanced(names):
    sets = references.design(names)
    signs = np.array([[1 if name in one else -1 for name in names] for one in sets])
    np.testing.assert_array_equal(signs.T @ signs, len(sets) * np.eye(len(names)))
    np.testing.assert_array_equal(signs.sum(axis=0), 0)


BROKEN = {
    "dead drive": ({"rabi_hz": 0.0}, {}, r"q: Rabi scan.*nothing changes.*drive line 'drive0'"),
    "dead readout": ({"gain": 0.0}, {}, r"q: Rabi scan.*nothing changes.*readout tone"),
    "weak drive": (
        {"rabi_hz": 12e6},
        {},
        r"q: Rabi scan.*sx needs amplitude .* of full scale.*Raise lines.drive0.amplitude_v",
    ),
    "short T1": ({"t1_s": 1e-6, "t2_s": 1e-6}, {}, r"q: "),
    "long T1": ({"t1_s": 500e-6}, {}, r"q: relaxation.*t1_ns is 20000"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_lab_that_cannot_be_calibrated_is_told_why(what):
    changes, _, message = BROKEN[what]
    truths = {"q": TRUTHS["q0"]._replace(**changes)}
    lab = lab_of(truths, [(0.0, 0.0)])
    with pytest.raises(CalibrationError, match=message) as caught:
        calibrate(lab, World(lab, truths, 1).measure, 1)
    print(caught.value)


def test_noise_instead_of_clouds_is_told():
    truths = {"q": TRUTHS["q0"]}
    lab = lab_of(truths, [(0.0, 0.0)])
    with pytest.raises(
        CalibrationError, match=r"q: with boxcar weights the means .* sigma apart.*readout: amplitude"
    ) as caught:
        calibrate(lab, World(lab, truths, 1, noise=700.0).measure, 1)
    print(caught.value)


def test_shots_that_were_skipped_are_left_out(rng):
    truths = {"q": TRUTHS["q0"]}
    lab = lab_of(truths, [(0.0, 0.0)])
    world = World(lab, truths, 5)

    def measure(pulses, shots):
        measured = world.measure(pulses, shots)
        skipped = rng.random(shots) < 0.1
        measured.rows["flags"][skipped] = 1
        measured.rows["iq"][skipped] = 10**12
        return measured

    found = taken(rabi.find, order.Bench(lab, measure, lambda _: None), order.nominal(lab))
    assert found["q"].sx_amplitude.value == pytest.approx(0.25 / (0.5 * 30e-9 * 65e6), rel=0.02)

    def nothing(pulses, shots):
        measured = world.measure(pulses, shots)
        measured.rows["flags"] = 1
        return measured

    with pytest.raises(CalibrationError, match="0 of 200 shots were executed"):
        taken(rabi.find, order.Bench(lab, nothing, lambda _: None), order.nominal(lab))
