"""Every program of examples/: short, the same from text and from oqpy to the last byte, and its physics as the twin's parameters say.

Truth are the parameters of the twin in configs/demo.toml, here once more as numbers. Tolerances are standard errors of the results
themselves: each comparison of a point is beyond 4.5 of them in 7 of a million seeds; fitted numbers are said with their own. Seeds are
fixed.
"""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.optimize import curve_fit

from qrt.calibrate import cz
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import coupled as joining
from qrt.compile import compile_pulses
from qrt.config import load
from qrt.controlling import bound_to
from qrt.loop import Loop, limits_of
from qrt.run import Prepared, run
from qrt.store import bound_hash
from qrt.types import Stream
from tests.example_programs import BUILDERS

LINES_MAX = 30
TOLERANCE = 4.5
T1_S, T2_S, THERMAL = 31e-6, 39e-6, 0.010  # of q0
T2_OTHER_S, THERMAL_OTHER = 38e-6, 0.012  # of q1
GATES_S = 240e-9  # h, cx, ry
PERIOD_NS = 300e3  # ten T1: shots begin in equilibrium
GIVEN = {  # what each needs to be compiled
    "rabi": {"sweep": {"theta": [0.0, 1.0, 2.0], "t": "linspace(0, 20us, 3)"}},
    "t1": {"sweep": {"t": "linspace(0, 120us, 7)"}},
    "ramsey": {"sweep": {"t": "linspace(0, 40us, 41)"}, "inputs": {"detuning_hz": 1e5}},
    "echo": {"sweep": {"half": "linspace(0, 40us, 5)"}, "inputs": {"detuning_hz": 1e5}},
    "iq_clouds": {"sweep": {"level": [0, 1]}},
    "active_reset": {},
    "track_frequency": {"inputs": {"detuning_hz": 4000.0}},
    "repeat_until_success": {},
    "conditional_phase": {"sweep": {"theta": "linspace(0, 2*pi, 5)"}},
    "bell": {"sweep": {"a": "values(0, pi/2)", "b": "values(pi/4, 3*pi/4)"}},
}


@pytest.fixture(scope="module")
def coupled(project, demo_calibration):
    """Return the lab with a coupler, and its calibration: the demo lab's, whose qubits are the same, and the coupler's own."""
    lab = msgspec.structs.replace(load(project / "configs/coupled.toml"), stream=Stream("tcp://127.0.0.1:*"))
    with Loop(lab, 12) as loop:
        found = cz.find(Bench(lab, loop.measure, print, loop.measure_swept), demo_calibration.qubits)
    return lab, msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab), couplers=joining({}, found))


@pytest.fixture(scope="module")
def played(project, demo_lab, demo_calibration, tmp_path_factory):
    """Return a function that runs an example."""
    runs = tmp_path_factory.mktemp("examples")

    def play(name, **more):
        given = {"lab": demo_lab, "calibration": demo_calibration, "runs": runs, "publish": False, "seed": 11}
        return run(project / f"examples/{name}.qasm", **given | {"period_ns": PERIOD_NS} | more)

    return play


# ---- Text and oqpy ---------------------------------------------------------------------------------------------------------


def compiled(program, lab, calibration, name):
    """Return the sequence and the sweep that a kernel would be armed with."""
    options = {"lab": lab, "calibration": calibration, "shots": 10, "period_ns": PERIOD_NS}
    session = Prepared(program, options | GIVEN[name]).session
    sequence = compile_pulses(session.compiling.pulses(), session.lab, limits_of(session.lab), session.reach)
    return bound_to(session.lab, sequence, session.reach, {})


def data(value):
    """Return a value's bytes: arrays as they lie in memory, everything else as it is written."""
    if isinstance(value, np.ndarray):
        return (value.dtype, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {key: data(one) for key, one in value.items()}
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return [data(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return {name: data(getattr(value, name)) for name in value.__struct_fields__ if name not in PLACES}
    return value


PLACES = {"source_lines", "parameters", "line"}  # where in a text something stands differs between two texts


@pytest.mark.parametrize("name", BUILDERS)
def test_text_and_oqpy_give_the_same_sequence(name, project, coupled):
    texts = compiled(project / f"examples/{name}.qasm", *coupled, name)
    built = compiled(BUILDERS[name](), *coupled, name)
    again = compiled(BUILDERS[name]().to_qasm(), *coupled, name)
    for other in (built, again):
        for field in set(texts[0].__struct_fields__) - PLACES:
            assert data(getattr(other[0], field)) == data(getattr(texts[0], field)), field
        for field in ("points", "slots", "table", "order", "shots_per_point"):
            assert data(getattr(other[1].sweep, field)) == data(getattr(texts[1].sweep, field)), field
    assert len(texts[0].instructions) > 3


def test_every_example_is_here_and_short(project):
    files = sorted((project / "examples").glob("*.qasm"))
    assert {file.stem for file in files} == set(BUILDERS) == set(GIVEN)
    for file in files:
        assert len(file.read_text().splitlines()) <= LINES_MAX, file


# ---- Physics ---------------------------------------------------------------------------------------------------------------


def away(found, expected):
    """Return by how many of its own standard errors each value is off."""
    return np.abs(found.values - expected) / found.stderr


def test_t1(played):
    found = played("t1", shots=1500, sweep={"t": "linspace(0, 120us, 7)"}).mitigated["Z(c)"]
    t = found.coords["t"].values
    (t1_s, swing, rest), spread = curve_fit(
        lambda t, t1, a, b: a * np.exp(-t / t1) + b,
        t,
        found.values,
        (2e-5, -2.0, 1.0),
        found.stderr,
        absolute_sigma=True,
    )
    assert abs(t1_s - T1_S) < TOLERANCE * spread[0, 0] ** 0.5
    assert spread[0, 0] ** 0.5 < 0.08 * T1_S
    assert rest == pytest.approx(1 - 2 * THERMAL, abs=TOLERANCE * spread[2, 2] ** 0.5)
    assert swing < -1.8


@pytest.mark.parametrize("detuning_hz", [100e3, -60e3])
def test_ramsey(played, detuning_hz):
    sweep = {"t": "linspace(0, 40us, 41)"}
    found = played("ramsey", shots=250, sweep=sweep, inputs={"detuning_hz": detuning_hz}).mitigated["Z(c)"]
    t = found.coords["t"].values

    def fringe(t, hz, t2, a, b):
        return a * np.cos(2 * np.pi * hz * t) * np.exp(-t / t2) + b

    start = (abs(detuning_hz), 3e-5, -1.0, 0.0)
    (hz, t2_s, swing, _), spread = curve_fit(fringe, t, found.values, start, found.stderr, absolute_sigma=True)
    # The calibrated frame is within a kilohertz of the qubit.
    assert abs(hz - abs(detuning_hz)) < 1e3 + TOLERANCE * spread[0, 0] ** 0.5
    assert abs(t2_s - T2_S) < TOLERANCE * spread[1, 1] ** 0.5
    assert spread[1, 1] ** 0.5 < 0.1 * T2_S
    assert swing < -0.9


def test_an_echo_does_not_see_the_frame(played):
    sweep = {"half": "linspace(0, 30us, 4)"}
    for detuning_hz in (0.0, 100e3):
        found = played("echo", shots=1000, sweep=sweep, inputs={"detuning_hz": detuning_hz}).mitigated["Z(c)"]
        half = found.coords["half"].values
        # Pulses of 30 ns each, in which the qubit loses phase, too: half of a per cent.
        assert away(found, (1 - 2 * THERMAL) * np.exp(-2 * half / T2_S)).max() < TOLERANCE + 0.5


def test_rabi(played):
    found = played("rabi", shots=500, sweep={"theta": "linspace(0, pi, 13)"}, inputs={"t": 0.0}).mitigated["Z(c)"]
    theta = found.coords["theta"].values
    assert away(found, (1 - 2 * THERMAL) * np.cos(theta)).max() < TOLERANCE + 0.5


def test_iq_clouds(played, demo_calibration):
    result = played("iq_clouds", shots=4000, sweep={"level": [0, 1]})
    clouds, threshold = result.iq["c"].values[..., 0], demo_calibration.qubits["q0"].threshold
    assert result.iq["c"].dims == ("level", "shot", "quadrature")
    share = (clouds > threshold).mean(axis=1)
    assert share[0] < 0.05 < 0.9 < share[1]
    assert np.array_equal(result.outcomes["c"].values, clouds > threshold)
    centre = result.mean_iq["c"]
    assert np.linalg.norm(centre.values[1] - centre.values[0]) > 100 * np.linalg.norm(centre.stderr)
    assert away(result.mitigated["Z(c)"], np.array([1 - 2 * THERMAL, 2 * THERMAL - 1])).max() < TOLERANCE + 1


def test_active_reset(played):
    result = played("active_reset", shots=4000)
    before, after = (result.estimates[f"Z({name})"] for name in ("before", "after"))
    assert abs(before.value) < TOLERANCE * before.raw_stderr * 1.1
    assert (1 - after.value) / 2 < 0.06  # wrong outcomes, and what decayed on the way
    assert abs(after.value - after.truth) < TOLERANCE * np.linalg.norm(msgspec.structs.astuple(after.stderr))


def test_repeat_until_success(played):
    """A fair coin each time, that a wrong outcome or a decay bends by some per cent: tries are geometric."""
    result = played("repeat_until_success", shots=8000)
    tries = result.values["tries"].values
    counts = np.bincount(tries, minlength=11)[1:]
    assert counts.sum() == 8000
    going_on = 1 - np.cumsum(counts) / 8000
    for k in range(4):
        left = 1.0 if k == 0 else going_on[k - 1]
        assert going_on[k] / left == pytest.approx(0.5, abs=0.03 + TOLERANCE * 0.5 / (left * 8000) ** 0.5)
    found = result.bits["found"].values
    assert (found[tries < 10] == 0).all()
    assert found.mean() < 0.01


def test_conditional_phase(played):
    result = played("conditional_phase", shots=1200, sweep={"theta": "linspace(0, 2*pi, 9)"})
    phase, both = result.mitigated["Z(phase)"], result.mitigated["Z(look)*Z(phase)"]
    theta = phase.coords["theta"].values
    # Qubit 1 stands on the equator for 1.5 us between its two pulses; on half of the shots it is turned.
    kept = (1 - 2 * THERMAL_OTHER) * np.exp(-1.53e-6 / T2_OTHER_S)
    assert away(phase, -kept * (1 + np.cos(theta)) / 2).max() < TOLERANCE + 1
    assert (
        away(both, -kept * (1 - np.cos(theta)) / 2).max() < TOLERANCE + 2
    )  # outcomes that are wrong turn the wrong way
    assert both.values[4] < -0.85
    over_all = result.estimates["Z(look)*Z(phase)"]  # read one after the other
    assert abs(over_all.value - over_all.truth) < (TOLERANCE + 1) * np.linalg.norm(
        msgspec.structs.astuple(over_all.stderr)
    )


def test_bell(played, coupled):
    """Correlations that no settled outcomes have (CHSH), as large as T1, T2 and the shots' beginning leave them."""
    lab, calibration = coupled
    result = played("bell", lab=lab, calibration=calibration, shots=6000, **GIVEN["bell"])
    both = result.mitigated["Z(seen[0])*Z(seen[1])"]
    kept = (1 - 2 * THERMAL + 1 - 2 * THERMAL_OTHER) / 2 * (1 - GATES_S * (1 / T1_S + 1 / T2_S + 2 / T2_OTHER_S) / 2)
    expected = kept * np.array([[1, -1], [1, 1]]) / 2**0.5
    assert away(both, expected).max() < TOLERANCE + 1
    over_all = result.estimates["Z(seen[0])*Z(seen[1])"]  # of all points together
    assert over_all.truth == pytest.approx(expected.mean(), abs=0.01)
    assert abs(over_all.value - over_all.truth) < TOLERANCE * np.linalg.norm(msgspec.structs.astuple(over_all.stderr))
    chsh, error = (both.values * [[1, -1], [1, 1]]).sum(), (both.stderr**2).sum() ** 0.5
    print(f"CHSH {chsh:.3f} +- {error:.3f}, expected {4 * kept / 2**0.5:.3f}")
    assert chsh > 2 + 20 * error
    for alone in ("Z(seen[0])", "Z(seen[1])"):
        assert away(result.mitigated[alone], 0.0).max() < TOLERANCE + 1


def test_track_frequency_compiles_as_its_head_says(project):
    """What it does over 20 000 shots is in test_tracking."""
    assert "frequency_tracker:output=detuning_hz" in Path(project / "examples/track_frequency.qasm").read_text()
