"""Programs of pulses, run on the twin, against Bloch equations that are solved here and know nothing of frames or sequencers.

Each bound is in the standard errors that the run states of itself; seeds are fixed.
"""

import itertools

import numpy as np
import pytest
from scipy.linalg import expm

from qrt.client import open_run
from qrt.errors import ProgramError, RecordError
from qrt.replay import replay
from qrt.run import run

SAMPLE_S = 1e-9
FULL_V, RABI_HZ_PER_V = 0.5 * 32767 / 32768, 85e6  # configs/demo.toml: line drive_q0, plant's q0
T1_S, T2_S, THERMAL, QUBIT_HZ = 31e-6, 39e-6, 0.010, 4.65e9
TOLERANCE = 4.0  # of some 60 comparisons one is beyond it in 1 of 260 seeds
SHOTS = 600


def bloch(samples, detuning_hz=0.0, start=None):
    """The Bloch vector (x, y, z, 1) after drive samples (complex, of full scale) in a frame at a detuning f_qubit - f_frame."""
    state = np.array([0, 0, 1 - 2 * THERMAL, 1.0]) if start is None else start
    for sample, count in runs_of(samples):
        state = expm(generator(sample, detuning_hz) * SAMPLE_S * count) @ state
    return state


def runs_of(samples):
    """Equal samples in a row, as the sample and how many."""
    for sample, group in itertools.groupby(samples.tolist()):
        yield sample, sum(1 for _ in group)


def generator(sample, detuning_hz):
    rabi = 2 * np.pi * RABI_HZ_PER_V * FULL_V * sample
    x, y, z = rabi.real, rabi.imag, 2 * np.pi * detuning_hz
    turn = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], float)
    matrix = np.zeros((4, 4))
    matrix[:3, :3] = turn - np.diag([1 / T2_S, 1 / T2_S, 1 / T1_S])
    matrix[2, 3] = (1 - 2 * THERMAL) / T1_S
    return matrix


def gaussian(count, sigma):
    t = np.arange(count) + 0.5 - count / 2
    return np.exp(-(t**2) / (2 * sigma**2)) + 0j


@pytest.fixture(scope="module")
def played(demo_lab, demo_calibration, tmp_path_factory):
    """Return a function that runs a program, with rare shots so that each begins in equilibrium."""
    folder = tmp_path_factory.mktemp("pulses")

    def go(text, **more):
        given = {"shots": SHOTS, "seed": 11, "period_ns": 300e3, "publish": False, "runs": folder} | more
        return run(
            f'OPENQASM 3.0;\ndefcalgrammar "openpulse";\n{text}', lab=demo_lab, calibration=demo_calibration, **given
        )

    return go


def agree(curve, expected):
    """Every point is as expected within its error, which near 1 rests on a handful of shots, and so is taken from what is expected."""
    expected = np.array(expected)
    stderr = np.maximum(curve.stderr, np.sqrt((1.1 - expected**2) / SHOTS))
    pulls = np.abs(curve.value - expected) / stderr
    assert pulls.max() < TOLERANCE, pulls


def test_rabi_by_the_amplitude_of_a_gaussian(played):
    found = played(
        """
        input float amp;
        qubit q;
        cal { frame q0_drive; play(q0_drive, gaussian(amp, 40ns, 10ns)); }
        bit c = measure q;
        """,
        sweep={"amp": "linspace(-1, 1, 13)"},
    )
    offset = QUBIT_HZ - found.calibration.qubits["q0"].frequency_hz.value
    amps = found.sweep.axes["amp"]
    expected = [bloch(amp * gaussian(40, 10), offset)[2] for amp in amps]
    assert min(expected) < -0.9  # the sweep goes through inversions
    agree(found.sweep.curves["Z(c)"], expected)


def test_spectroscopy_by_the_frequency_of_a_frame(played):
    found = played(
        """
        input float f;
        cal { port drive_q0; frame probe = newframe(drive_q0, f, 0.0); waveform w = constant(0.0118, 1us); }
        cal { play(probe, w); }
        bit c = measure $0;
        """,
        sweep={"f": "linspace(4.6475e9, 4.6525e9, 17)"},
    )
    detunings = QUBIT_HZ - found.sweep.axes["f"]
    agree(found.sweep.curves["Z(c)"], [bloch(np.full(1000, 0.0118 + 0j), one)[2] for one in detunings])


def test_a_drag_pulse_turns_about_the_axis_that_its_samples_make(played):
    """Its quadrature does something on a qubit, too: between two of them with a phase between, the result depends on beta."""
    found = played(
        """
        input angle phi;
        cal { frame q0_drive; waveform w = drag(0.25, 40ns, 10ns, 6.0); }
        cal { play(q0_drive, w); shift_phase(q0_drive, phi); play(q0_drive, w); }
        bit c = measure $0;
        """,
        sweep={"phi": "linspace(0, 2*pi, 9)"},
    )
    offset = QUBIT_HZ - found.calibration.qubits["q0"].frequency_hz.value
    t = np.arange(40) + 0.5 - 20
    samples = 0.25 * gaussian(40, 10) * (1 - 6j * t / 100)
    plain = 0.25 * gaussian(40, 10)
    phases = np.exp(1j * found.sweep.axes["phi"])
    expected = [bloch(phase * samples, offset, bloch(samples, offset))[2] for phase in phases]
    without = [bloch(phase * plain, offset, bloch(plain, offset))[2] for phase in phases]
    assert np.abs(np.array(expected) - without).max() > 0.2  # the test would see a beta that is ignored
    agree(found.sweep.curves["Z(c)"], expected)


def test_an_echo_of_a_defcal_refocuses_what_a_ramsey_sequence_shows(played):
    body = """
        input duration t;
        cal { frame q0_drive; shift_frequency(q0_drive, 300e3); }
        defcal x $0 { play(q0_drive, gaussian(0.4934, 40ns, 10ns)); }
        sx $0; delay[t] $0; MIDDLE delay[t] $0; sx $0;
        bit c = measure $0;
    """
    sweep = {"t": "linspace(0, 4us, 9)"}
    echo, ramsey = (played(body.replace("MIDDLE", middle), sweep=sweep) for middle in ("x $0;", ""))
    detuning = QUBIT_HZ - echo.calibration.qubits["q0"].frequency_hz.value - 300e3
    half = echo.calibration.qubits["q0"].sx_amplitude.value
    sx = half * (1 - np.cos(2 * np.pi * (np.arange(30) + 0.5) / 30)) / 2 + 0j
    expected: dict[str, list[float]] = {"echo": [], "ramsey": []}
    for wait in echo.sweep.axes["t"]:
        idle = np.zeros(round(wait / SAMPLE_S), complex)
        for name, middle in (("echo", 0.4934 * gaussian(40, 10)), ("ramsey", np.zeros(0, complex))):
            expected[name].append(bloch(np.concatenate([sx, idle, middle, idle, sx]), detuning)[2])
    agree(echo.sweep.curves["Z(c)"], expected["echo"])
    agree(ramsey.sweep.curves["Z(c)"], expected["ramsey"])
    assert np.ptp(expected["ramsey"]) > 1.5
    assert np.ptp(expected["echo"]) < 0.3


RAW = """
    cal {
        frame tone = newframe(readout, 7.0911e9, 0);
        frame ear = newframe(digitizer, 7.0911e9, 0);
        frame other = newframe(digitizer, 7.0911e9, 0);
        barrier tone, ear, other;
        play(tone, constant(0.45, 800ns));
        waveform record = capture_v3(ear, 600ns);
        complex iq = capture_v1(other, gaussian(1, 600ns, 100ns));
    }
"""


def test_raw_captures_are_what_iq_points_are_made_of(played):
    """The kernel's integer sums over recorded samples, made again here from the definition of the filter."""
    result = played(RAW, shots=50)
    samples = result.captures["record"]
    assert samples.shape == (50, 600)
    assert samples.dtype == np.int16
    t = np.arange(600)
    envelope = np.exp(-((t + 0.5 - 300) ** 2) / (2 * 100**2))
    conjugate = envelope * np.exp(-2j * np.pi * 0.0911 * t)  # 91.1 MHz above the line's source, by the nanosecond
    scale = 4095 / max(np.abs(conjugate.real).max(), np.abs(conjugate.imag).max())
    weights = np.rint(np.stack([conjugate.real, conjugate.imag]) * scale).astype(np.int64)
    assert np.array_equal(result.iq["iq"].values, samples.astype(np.int64) @ weights.T)
    assert np.array_equal(open_run(result.folder).captures["record"], samples)
    with pytest.raises(KeyError, match=r"no raw capture .* 'rekord'; there are: record"):
        _ = result.captures["rekord"]
    with (result.folder / "captures.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RecordError, match=r"captures.bin: not the 50 records"):
        _ = open_run(result.folder).captures


SWEPT_EAR = """
    input float f;
    input angle phi;
    cal {
        frame tone = newframe(readout, f, 0);
        frame ear = newframe(digitizer, f, 0);
        frame other = newframe(digitizer, f, 0.25);
        barrier tone, ear, other;
        play(tone, constant(0.00625, 800ns));
        delay[100ns] ear;
        waveform record = capture_v3(ear, 600ns);
        delay[100ns] other;
        shift_phase(other, phi);
        complex iq = capture_v1(other, gaussian(1, 600ns, 100ns));
    }
"""


@pytest.mark.parametrize("order", ["point", "shot"])
def test_a_swept_frame_is_captured_with_the_weights_of_each_point(played, order):
    """As above, at each frequency and phase: what the carrier turns by in the 100 ns before the capture included. And as replayed."""
    hertz, phases = np.array([7.0831e9, 7.091e9, 7.2e9]), np.array([0.0, 1.5, -0.7])
    result = played(
        SWEPT_EAR,
        sweep={("f", "phi"): f"zip(values({', '.join(map(str, hertz))}), values(0, 1.5, -0.7))"},
        shots=20,
        order=order,
    )
    t = np.arange(600)
    envelope = np.exp(-((t + 0.5 - 300) ** 2) / (2 * 100**2))
    samples, seen = result.captures["record"], result.iq["iq"].values
    samples = samples.reshape(3, 20, 600) if order == "point" else samples.reshape(20, 3, 600).swapaxes(0, 1)
    for k, (f, phi) in enumerate(zip(hertz - 7e9, phases, strict=True)):
        conjugate = envelope * np.exp(-1j * (2 * np.pi * f * 1e-9 * (t + 100) + 0.25 + phi))
        scale = 4095 / max(np.abs(conjugate.real).max(), np.abs(conjugate.imag).max())
        weights = np.rint(np.stack([conjugate.real, conjugate.imag]) * scale).astype(np.int64)
        assert np.array_equal(seen[k], samples[k].astype(np.int64) @ weights.T)
    assert replay(result.folder).same


def test_a_resonator_answers_along_a_swept_tone_as_its_equation_says(played):
    """The field a' = -z a + drive, z = kappa/2 + 2 pi i (f - f0), summed with the tone's conjugate: one complex factor for all points."""
    resonator_hz, kappa_hz, length_s = 7.0916e9, 5e6, 1e-6  # configs/demo.toml; of level 0, whose population is 0.99
    found = played(
        """
        input float f;
        cal {
            frame tone = newframe(readout, f, 0);
            frame ear = newframe(digitizer, f, 0);
            barrier tone, ear;
            play(tone, constant(0.00625, 1us));
            complex iq = capture_v1(ear, 1us);
        }
        """,
        sweep={"f": "linspace(7.082e9, 7.1e9, 19)"},
        shots=40000,
    )
    counts = found.iq["iq"].values @ np.array([1, 1j])
    z = np.pi * kappa_hz + 2j * np.pi * (np.linspace(7.082e9, 7.1e9, 19) - resonator_hz)
    expected = (length_s - (1 - np.exp(-z * length_s)) / z) / z
    mean, sigma = counts.mean(axis=1), counts.std() / np.sqrt(counts.shape[1])  # of both quadratures together
    factor = np.vdot(expected, mean) / np.vdot(expected, expected)
    chi2 = np.sum(np.abs(mean - factor * expected) ** 2) / (sigma**2 / 2)
    assert np.abs(mean).max() > 20 * sigma
    assert chi2 < 36 + 4 * np.sqrt(72), chi2


def test_more_raw_samples_than_a_run_may_write_are_refused(played):
    with pytest.raises(ProgramError, match=r"raw captures of 90000000 shots would be 101.\d GiB; possible are 64 GiB"):
        played(RAW, shots=90_000_000)


def test_nothing_is_invented_of_tones_that_the_program_plays_itself(played):
    """Own captures have no estimate; a calibrated one keeps its own, but nobody knows any more which of the plant's tones it saw."""
    body = "qubit q; bit c; bit d; CAL c = measure q;"
    own = "cal { play(q0_readout, q0_tone); d = capture_v2(q0_acquire); }"
    with_own, without = (played(body.replace("CAL", cal), shots=100) for cal in (own, ""))
    assert list(with_own.estimates) == list(without.estimates) == ["Z(c)"]
    assert with_own.estimates["Z(c)"].truth is None
    assert without.estimates["Z(c)"].truth is not None
    assert any(one.startswith("d: captured by the program itself") for one in with_own.record.start["excluded"])


MEASURE = """
    defcal measure $0 -> bit { play(q0_readout, q0_tone); return capture_v2(q0_acquire); }
"""


def test_a_defcal_of_the_calibrations_own_measurement_reads_as_it_does(played):
    body = "bit[2] c; {gate} c[0] = measure $0; delay[40us] $0; c[1] = measure $0;"
    shares = {}
    for gate in ("", "x $0;"):
        own = played(MEASURE + body.format(gate=gate), shots=4000)
        calibrated = played(body.format(gate=gate), shots=4000, seed=12)
        shares[gate] = [np.mean(result.bits["c[0]"]) for result in (own, calibrated)]
        assert np.array_equal(own.bits["c[0]"], own.outcomes["c[0]"])
        spread = np.sqrt(2 * 0.25 / 4000)
        assert abs(shares[gate][0] - shares[gate][1]) < TOLERANCE * spread
    assert shares[""][0] < 0.2
    assert shares["x $0;"][0] > 0.8


def test_iq_points_have_the_name_of_their_variable_and_do_not_depend_on_where_they_stand(played):
    """Carrier and demodulation count from one barrier: so a tone gives the same iq at any place of a shot, and in any number of pieces."""
    result = played(
        """
        cal {
            port readout; port digitizer;
            frame tone = newframe(readout, 7.0911e9, 0.3);
            frame ear = newframe(digitizer, 7.0911e9, 0.0);
            barrier tone, ear;
            play(tone, constant(0.45, 800ns)); complex[float[32]] one = capture_v1(ear, 800ns);
            delay[1137ns] tone; barrier tone, ear;
            play(tone, constant(0.45, 800ns)); complex[float[32]] two = capture_v1(ear, constant(1, 800ns));
            delay[1031ns] tone; barrier tone, ear;
            play(tone, constant(0.45, 333ns)); play(tone, constant(0.45, 467ns)); complex[float[32]] three = capture_v1(ear, 800ns);
            delay[1031ns] tone; barrier tone, ear;
            delay[77ns] tone; delay[77ns] ear;
            play(tone, constant(0.45, 800ns)); complex[float[32]] four = capture_v1(ear, 800ns);
            shift_phase(ear, pi/2); delay[1031ns] tone; barrier tone, ear;
            play(tone, constant(0.45, 800ns)); complex[float[32]] five = capture_v1(ear, 800ns);
        }
        qubit q;
        """,
        shots=2000,
    )
    assert list(result.iq) == ["one", "two", "three", "four", "five"]
    means = {name: np.mean(result.iq[name].values, axis=0) @ [1, 1j] for name in result.iq}
    spread = max(np.std(result.iq[name].values.astype(float), axis=0).max() for name in result.iq) / np.sqrt(2000)
    assert abs(means["one"]) > 50 * spread
    for name in ("two", "three", "four"):
        assert abs(means[name] - means["one"]) < 6 * spread
    assert abs(means["five"] - means["one"] * np.exp(-1j * np.pi / 2)) < 6 * spread
