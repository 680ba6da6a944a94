"""Sweeps of instrument settings: what was set is read back, settles and is counted, and the plant answers as its parameters say."""

import itertools
from math import pi

import msgspec
import numpy as np
import pytest

import qrt.loop
from qrt import scpi
from qrt.against import compare
from qrt.client import open_run
from qrt.commands.screen import summary_line, sweep_rows
from qrt.drivers.lab import OpenLab
from qrt.drivers.settings import settings_of
from qrt.errors import InstrumentError, ProgramError, RecordError, RunError
from qrt.events import Progress
from qrt.firmware_sim.plant_config import AdcConfig, QubitConfig
from qrt.firmware_sim.twin import open_twin, plant_from_bytes
from qrt.journal import Kind, scan
from qrt.layout import decode_image
from qrt.legs import recorded_legs
from qrt.loop import IDLE_S, Loop
from qrt.playback import playback_of
from qrt.reasons import StoppedError
from qrt.replay import replay
from qrt.run import run
from qrt.store import bound_hash
from qrt.types import Mailbox, Segment
from tests.reference_readout import Readout
from tests.short_programs import READ_TWICE, REPEATED, TURNED

WATCHED = """OPENQASM 3;
qubit q;
bit c;
c = measure q;
c = measure q;
"""  # a bit that is read twice has no estimate: no batch process starts
FREQUENCY, POWER, RANGE = "lo_readout.frequency_hz", "lo_readout.power_dbm", "dig.range_v"


@pytest.fixture
def play(given):
    """Return `run` with what a short run needs."""
    return lambda program, **options: run(program, **given | {"shots": 50} | options)


# ---- Physics -----------------------------------------------------------------------------------------------------------------


def readout_of(lab, calibration, source_hz, resonator_hz=None):
    """Return the readout of q0 by the twin's own parameters, worked out in closed form."""
    one = lab.twin.parameters["qubits"]["q0"]
    qubit = QubitConfig(
        frequency_hz=one["frequency_hz"],
        t1_s=one["t1_s"],
        t2_s=one["t2_s"],
        thermal_population=one["thermal_population"],
        drive_rad_per_s_per_v=2 * pi * one["rabi_hz_per_v"],
        resonator_hz=one["resonator_hz"] if resonator_hz is None else resonator_hz,
        kappa_rad_per_s=2 * pi * one["kappa_hz"],
        chi_rad_per_s=2 * pi * one["chi_hz"],
        readout_rad_per_s_per_v=2 * pi * one["readout_hz_per_v"],
        efficiency=one["efficiency"],
        output_phase_rad=one["output_phase_rad"],
    )
    converter = lab.twin.parameters["adc"]
    adc = AdcConfig(
        volts_per_count=lab.digitizer.range_v / 2 ** (converter["bits"] - 1),
        volts_per_sqrt_hz_root=converter["volts_per_root_photon_rate"],
        bits=converter["bits"],
        input_on=True,
    )
    found, line = calibration.qubits["q0"], lab.lines["readout"]
    volt = line.amplitude_v * found.readout_amplitude
    tone_hz = found.readout_hz - line.source_hz  # the sweep moves the source, and this with it
    return Readout(qubit, adc, source_hz, tone_hz, volt, found.weights.shape[1], found.weights)


def test_the_resonators_line_is_found_where_the_plant_has_it(play, demo_lab, demo_calibration):
    asked = np.linspace(6.9965e9, 7.0035e9, 15)
    shots = 200
    result = play(WATCHED, shots=shots, sweep={FREQUENCY: asked})
    source = result.record.swept[FREQUENCY].reshape(15, shots)
    assert (source == asked[:, None]).all()
    population = demo_lab.twin.parameters["qubits"]["q0"]["thermal_population"]
    iq = result.record.iq["c"][:, 0].reshape(15, shots)
    error = readout_of(demo_lab, demo_calibration, asked[0]).sigma / shots**0.5

    def misfit(shift_hz):
        resonator_hz = demo_lab.twin.parameters["qubits"]["q0"]["resonator_hz"] + shift_hz
        readouts = [readout_of(demo_lab, demo_calibration, one, resonator_hz) for one in asked]
        clouds = np.array([one.clouds for one in readouts])
        mean = clouds @ [1 - population, population]
        spread = error**2 + population * (1 - population) * np.diff(clouds, axis=1)[:, 0] ** 2 / shots
        return float(np.sum((iq.mean(axis=1) - mean) ** 2 / spread))

    shifts = np.array([-3e5, 0.0, 3e5])
    misfits = [misfit(one) for one in shifts]
    assert misfits[1] < 15 + 4 * 30**0.5  # chi squared of 15 points, 4 sigma
    curvature = (misfits[0] - 2 * misfits[1] + misfits[2]) / (2 * shifts[2] ** 2)
    best = -(misfits[2] - misfits[0]) / (4 * shifts[2] * curvature)
    assert abs(best) < 4 / curvature**0.5  # the line's place, 4 standard errors ...
    assert 1 / curvature**0.5 < 0.1e6  # ... of which a shift by a fiftieth of kappa would be many


def test_the_tone_scales_with_the_sources_power(play, demo_lab, demo_calibration):
    shots = 400
    result = play(WATCHED, shots=shots, sweep={POWER: [7.0, 8.5, 10.0, 11.0]})
    power = np.array([leg.values[POWER] for leg in result.record.legs])
    iq = result.record.iq["c"][:, 0].reshape(4, shots).mean(axis=1)
    readout = readout_of(demo_lab, demo_calibration, 7e9)
    population = demo_lab.twin.parameters["qubits"]["q0"]["thermal_population"]
    expected = np.dot(readout.clouds, [1 - population, population]) * 10 ** ((power - 10) / 20)
    spread = readout.sigma**2 + population * np.diff(readout.clouds)[0] ** 2
    assert (np.abs(iq - expected) < 4 * (spread / shots) ** 0.5).all()
    assert iq[3] / iq[0] == pytest.approx(10 ** (4 / 20), rel=0.1)


# ---- One run -----------------------------------------------------------------------------------------------------------------


GRID = {"theta": "linspace(0, pi, 2)", RANGE: "values(0.5, 1.0, 2.0)", FREQUENCY: "linspace(6.999e9, 7.001e9, 2)"}


@pytest.fixture(scope="module")
def runs(demo_lab, demo_calibration, tmp_path_factory):
    """Return a run over two settings and an input, in either order."""
    folder = tmp_path_factory.mktemp("settings")
    given = {"lab": demo_lab, "calibration": demo_calibration, "runs": folder, "publish": False, "seed": 5}
    return {order: run(TURNED, shots=30, order=order, sweep=GRID, **given) for order in ("point", "shot")}


@pytest.mark.parametrize("order", ["point", "shot"])
def test_a_run_has_a_leg_for_each_setting_and_an_estimate_at_each_point(runs, order):
    result = runs[order]
    assert list(result.sweep.axes) == [RANGE, FREQUENCY, "theta"]  # settings come first
    assert result.sweep.units == {RANGE: "V", FREQUENCY: "Hz", "theta": ""}
    assert (result.summary.shots, result.summary.legs) == (3 * 2 * 2 * 30, 6)
    assert (result.sweep.shots == 30).all()
    record = result.record
    assert (record.rows["shot"] == np.arange(360)).all()
    assert (record.rows["tick"] == 7000 * record.rows["shot"]).all()
    odometer = []  # what each shot is at, written out
    for volts, hertz in itertools.product([0.5, 1.0, 2.0], [6.999e9, 7.001e9]):
        inner = [0.0, pi]
        thetas = np.repeat(inner, 30) if order == "point" else np.tile(inner, 30)
        odometer += [(volts, hertz, theta) for theta in thetas]
    assert [tuple(one) for one in zip(*record.swept.values(), strict=True)] == odometer
    curve = result.sweep.curves["Z(c)"]
    for index, point in enumerate(itertools.product([0.5, 1.0, 2.0], [6.999e9, 7.001e9], [0.0, pi])):
        own = [bit for bit, one in zip(result.record.bits["c"], odometer, strict=True) if one == point]
        assert curve.raw.reshape(-1)[index] == pytest.approx(1 - 2 * np.mean(own))
    assert list(record.axes[RANGE]) == [0.5, 1.0, 2.0]
    assert open_run(result.folder).complete


def test_each_leg_is_told_with_what_it_took(runs):
    result = runs["point"]
    bodies = [document.body for document in result.record.documents("leg")]
    assert [body["first_shot"] for body in bodies] == [60 * leg for leg in range(6)]
    assert bodies[3]["values"] == bodies[3]["asked"] == {RANGE: 1.0, FREQUENCY: 7.001e9}
    assert [body["settle_s"] for body in bodies] == [
        2e-3
    ] * 6  # the source's is the longer one, and it changes each time
    assert [body["dead_s"] > 0 for body in bodies] == [False] + [True] * 5
    assert result.summary.dead_s == pytest.approx(sum(body["dead_s"] for body in bodies))
    assert "; 6 legs, " in summary_line(result.summary)
    for one, body in zip(playback_of(result.record)[0].images, bodies, strict=True):
        image = plant_from_bytes(one.plant).image  # what the plant was told, by SCPI alone
        assert image.idle_s == pytest.approx(IDLE_S + 2e-3)
        assert image.config.lines[2].source_hz == body["values"][FREQUENCY]
        assert image.config.adc.volts_per_count == body["values"][RANGE] / 2**13
    _, head, rows = sweep_rows(result.sweep)
    assert head[:3] == ("dig.range_v [V]", "lo_readout.frequency_hz [Hz]", "theta")
    assert rows[0][:3] == ("0.5", "6.999e+09", "0")


def test_nothing_is_sent_that_did_not_change(runs, play):
    counters = runs["point"].counters
    assert counters["settings.set_count"] == 3 + 6  # the range at every other leg
    assert counters["settings.kept_count"] == 3
    assert (
        counters["upload.lines_kept"]
        == 5 * len([name for name in counters if name.endswith("_readout.segment_sent_count")]) * 2
    )
    short = play(READ_TWICE, shots=5, sweep={"theta": [0.0, 1.0], RANGE: [0.5]})
    long = play(READ_TWICE, shots=5, sweep={"theta": [0.0, 1.0], RANGE: [0.5, 1.0, 2.0, 0.5]})
    for name in ("awg_q0", "awg_readout", "lo_q0", "lo_readout"):  # nobody says a word to them between legs
        assert long.counters[f"{name}.request_count"] == short.counters[f"{name}.request_count"]
        assert long.counters[f"{name}.sent_bytes"] == short.counters[f"{name}.sent_bytes"]
    assert long.counters["dig.request_count"] > short.counters["dig.request_count"]


def test_a_replay_plays_every_leg_and_names_what_was_changed_in_one(runs, tmp_path):
    folder = runs["shot"].folder
    assert replay(folder).same
    copy = tmp_path / folder.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    rows = np.fromfile(copy / "shots.bin", runs["shot"].record.layout.dtype)
    rows["iq"][250, 0, 0] += 1
    rows.tofile(copy / "shots.bin")
    verdict = replay(copy)
    assert not verdict.same
    assert verdict.difference.startswith("shot 250: tick ")
    assert "field iq[0] of capture 0" in verdict.difference


def test_a_leg_whose_image_is_lost_ends_what_can_be_played_again(runs, tmp_path):
    folder = runs["point"].folder
    copy = tmp_path / folder.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    data = bytearray((copy / "journal").read_bytes())
    fourth = [record for record in scan(bytes(data)).records if record.kind is Kind.IMAGE][3]
    data[fourth.offset + 40] ^= 1
    (copy / "journal").write_bytes(data)
    verdict = replay(copy)
    assert (verdict.shots, verdict.same) == (180, True)
    assert any("the armed image of the leg from shot 180 on is not on record" in note for note in verdict.notes)


def test_runs_with_other_settings_part_where_the_first_one_acts(runs, play):
    other = play(TURNED, shots=30, seed=5, sweep=GRID | {FREQUENCY: "linspace(6.999e9, 7.0011e9, 2)"})
    found = compare(runs["point"].folder, other.folder)
    assert found.first.shot == 60  # the second leg
    assert any(one.name.startswith("sweep") for one in found.sources)


def test_virtual_and_real_time_give_the_same_rows(play, demo_lab, demo_calibration):
    timing = msgspec.structs.replace(demo_lab.timing, late_tolerance_ns=60e9)
    instruments = demo_lab.instruments | {
        "lo_readout": msgspec.structs.replace(demo_lab.instruments["lo_readout"], settle_s=0.03)
    }
    lab = msgspec.structs.replace(demo_lab, timing=timing, instruments=instruments)
    given = {"lab": lab, "shots": 5, "period_ns": 500e3, "sweep": {FREQUENCY: [6.999e9, 7.0e9], "theta": [0.1, 0.2]}}
    given["calibration"] = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab))
    virtual, real = (play(READ_TWICE, pacing=pacing, **given) for pacing in ("virtual", "real"))
    assert real.summary.digest == virtual.summary.digest
    assert [one.body["settle_s"] for one in real.record.documents("leg")] == [0.03, 0.03]  # the lab's own
    assert real.summary.dead_s > 0.03 > 0  # waited for
    assert replay(real.folder).same


def test_what_drifts_goes_on_from_leg_to_leg_by_the_time_that_has_passed(play, demo_lab, demo_calibration):
    parameters = msgspec.to_builtins(demo_lab.twin.parameters)
    parameters["qubits"]["q0"] |= {"frequency_drift_hz_per_s": 1e9, "phase_walk_rad_per_root_s": 20.0}
    lab = msgspec.structs.replace(demo_lab, twin=msgspec.structs.replace(demo_lab.twin, parameters=parameters))
    calibration = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab))
    found = play(WATCHED, lab=lab, calibration=calibration, sweep={POWER: [9.9, 10.0, 9.8, 10.0]}, shots=100)
    assert replay(found.folder).same
    images = playback_of(found.record)[0].images
    drifts = [plant_from_bytes(one.plant).plant.drift(0)[0] for one in images]  # at the start of each leg
    passed_s = 100 * 7e-6 + IDLE_S + 1e-3  # its shots, arming, and the settling of the level
    assert np.diff(drifts) == pytest.approx([1e9 * passed_s] * 3, rel=0, abs=1e9 * 7e-6)


def test_an_input_goes_along_with_a_setting(play):
    found = play(
        REPEATED, shots=40, sweep={(POWER, "theta", "t"): ([9.0, 10.0], [0.0, pi], [0.0, 3e-7])}, period_ns=50e3
    )
    assert list(found.sweep.axes) == [POWER]
    assert {name: list(one) for name, one in found.sweep.beside[POWER].items()} == {"theta": [0, pi], "t": [0, 3e-7]}
    assert found.record.bits["c"].reshape(2, 40).mean(axis=1) == pytest.approx([0, 0], abs=0.4)  # reset either way
    hashes = found.record.rows["trace_hash"].reshape(2, 40)
    assert not set(hashes[0]) & set(hashes[1])
    assert found.record.outcomes["c"].reshape(2, 40).mean(axis=1) == pytest.approx([0.03, 0.97], abs=0.15)
    assert replay(found.folder).same
    assert list(found.record.swept["t"][[0, -1]]) == [0.0, 3e-7]


def test_a_mailbox_plays_legs_too(demo_lab, demo_calibration, tmp_path):
    parameters = msgspec.to_builtins(demo_lab.twin.parameters)
    parameters["port"]["feedback_latency_ns"] = 2e6
    twin = msgspec.structs.replace(demo_lab.twin, parameters=parameters)
    digests = []
    for mailbox in (None, Mailbox(feedback_latency_ns=2e6), Mailbox(shots_per_arm=4, feedback_latency_ns=2e6)):
        lab = msgspec.structs.replace(demo_lab, twin=twin, mailbox=mailbox)
        calibration = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(lab))
        sweep = {FREQUENCY: [6.999e9, 7e9, 7.001e9]}
        given = {"calibration": calibration, "runs": tmp_path, "publish": False, "seed": 2, "sweep": sweep}
        found = run(WATCHED, lab=lab, shots=10, **given)
        assert replay(found.folder).same
        digests.append(found.summary.digest)
    assert len(set(digests)) == 1


# ---- The instruments ---------------------------------------------------------------------------------------------------------


def test_what_is_read_back_counts_and_all_of_it_is_put_back(demo_lab, play):
    with Loop(demo_lab, 1) as loop:
        source = loop._open.driver("lo_readout")
        values, settle_s = loop.dials.set({POWER: 9.8766, FREQUENCY: 6.9e9})
        assert (values, settle_s) == ({POWER: 9.88, FREQUENCY: 6.9e9}, 2e-3)
        assert loop.dials.set({POWER: 9.8766}) == ({POWER: 9.88}, 0.0)  # it has that
        counters = loop.dials.counters
        assert list(counters.values()) == [2, 1, 1]
        loop.dials.put_back()
        assert source.link.query_number("SOURce:POWer?") == 10.0
        assert source.link.query_number("SOURce:FREQuency?") == 7.0e9
    found = play(WATCHED, shots=3, sweep={POWER: [9.8766, 10.0]})
    assert list(found.sweep.axes[POWER]) == [9.88, 10.0]
    assert list(found.record.swept[POWER]) == [9.88] * 3 + [10.0] * 3
    assert found.record.documents("leg")[0].body["asked"] == {POWER: 9.8766}


def test_every_declared_setting_is_taken_by_its_instrument(demo_lab):
    settings = settings_of(demo_lab)
    assert sum(not one.kept for one in settings.values()) == 3 * 4 + 1 + 3 * 2
    with Loop(demo_lab, 1) as loop:
        before = {name: loop._open.driver(name.partition(".")[0]).get(one) for name, one in settings.items()}
        for name, one in settings.items():  # those that no sweep changes, too: what is declared of them holds
            for value in (one.low, one.high):
                assert loop.dials.set({name: value})[0] == {name: value}
        loop.dials.put_back()
        assert before == {name: loop._open.driver(name.partition(".")[0]).get(one) for name, one in settings.items()}


def test_all_that_an_instrument_can_be_set_to_is_declared_by_its_driver(demo_lab):
    settings = settings_of(demo_lab)
    with open_twin(demo_lab) as twin:
        for name, instrument in twin.instruments.items():
            declared = {one.split(".")[1] for one in settings if one.startswith(f"{name}.")}
            held = {one.key for one in instrument.model.entries if isinstance(one, scpi.Setting)}
            channels = ("", "1", "2")
            assert {one for one in held if not any(joined(one, channel) in declared for channel in channels)} == set()


def joined(name, channel):
    """A setting's name with its channel, before the unit."""
    return name.replace("_v", f"{channel}_v") if "_v" in name else name + channel


def test_the_angle_of_a_pulse_goes_with_the_full_scale_of_its_generator(play, demo_lab):
    scales = [0.5, 0.75, 1.0, 1.25]
    full = demo_lab.lines["drive_q0"].amplitude_v
    volts = [full * one for one in scales]
    both = ("awg_q0.amplitude1_v", "awg_q0.amplitude2_v")
    found = play(TURNED, shots=1500, inputs={"theta": pi / 2}, sweep={both: (volts, volts)}, period_ns=500e3)
    curve = found.sweep.curves["Z(c)"]
    assert list(found.sweep.axes[both[0]]) == pytest.approx(volts, abs=1e-6)
    thermal = demo_lab.twin.parameters["qubits"]["q0"]["thermal_population"]
    wanted = (1 - 2 * thermal) * np.cos(pi / 2 * np.array(scales))
    assert (np.abs(curve.value - wanted) < 4 * curve.stderr + 0.02).all()  # 0.02: what decays in pulse and readout
    assert replay(found.folder).same


OWN = """
from qrt.drivers.source1 import REFERENCE, Source1
from qrt.types import Setting

class Mine(Source1):
    settings = (
        Setting("reference", "", REFERENCE.header, 0.0, 1.0, resolution=0.0, settle_s=5e-3, words=("INT", "EXT")),
        Setting("power_dbm", "dBm", "SOURce:POWer", -30.0, 12.0, resolution=0.01, kept="the amplifier behind it is tuned by hand"),
    )
"""


@pytest.fixture
def own(demo_lab, tmp_path, monkeypatch):
    """Return the demo lab with a user's driver, installed as a package is, for one of its sources."""
    folder = tmp_path / "site"
    info = folder / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "mine.py").write_text(OWN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[qrt.drivers]\nmine = mine:Mine\n[qrt.models]\nmine = qrt.firmware_sim.source1:SRC1\n"
    )
    monkeypatch.syspath_prepend(folder)
    source = msgspec.structs.replace(demo_lab.instruments["lo_readout"], driver="mine")
    return msgspec.structs.replace(demo_lab, instruments=demo_lab.instruments | {"lo_readout": source})


def test_what_a_users_driver_declares_is_swept_read_back_settled_and_put_back(own, play, demo_calibration):
    calibration = msgspec.structs.replace(demo_calibration, lab_hash=bound_hash(own))
    found = play(
        WATCHED, lab=own, calibration=calibration, shots=5, sweep={"lo_readout.reference": "linspace(1, 0, 2)"}
    )
    assert list(found.sweep.axes["lo_readout.reference"]) == [1, 0]
    assert [one.body["settle_s"] for one in found.record.documents("leg")] == [5e-3, 5e-3]
    with Loop(own, 1) as loop:
        held = loop._twin.instruments["lo_readout"]
        for number, word in enumerate(("INT", "EXT", "INT")):
            assert loop.dials.set({"lo_readout.reference": number % 2})[0] == {"lo_readout.reference": number % 2}
            assert held.value("reference") == word
        loop.dials.put_back()
        assert held.value("reference") == "EXT"
        held.values["reference", ()] = "ELSE"
        with pytest.raises(InstrumentError, match=r"it says 'ELSE', which is none of INT, EXT"):
            loop.dials.set({"lo_readout.reference": 0.0})


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"lo_readout.reference": [0.5]}, r"lo_readout.reference = 0.5 at point 0: possible is 0 = INT, 1 = EXT$"),
        ({"lo_readout.reference": "linspace(0, 1, 3)"}, r"lo_readout.reference = 0.5 at point 1: possible is 0 = INT"),
        (
            {"lo_readout.power_dbm": [3.0]},
            r"lo_readout.power_dbm is not swept: the amplifier behind it is tuned by hand; what can be swept",
        ),
        (
            {"lo_readout.frequency_hz": [3e9]},
            r"no setting .*what can be swept of lo_readout: lo_readout.reference \(0 = INT, 1 = EXT\)$",
        ),
    ],
)
def test_what_a_users_driver_does_not_let_be_swept_is_told(own, play, demo_calibration, sweep, said):
    with pytest.raises(ProgramError, match=said):
        play(WATCHED, lab=own, sweep=sweep)


def test_what_an_earlier_session_left_in_memory_is_read_back_and_not_sent(demo_lab, rng):
    memory = {
        line: tuple(Segment(*rng.integers(-999, 999, (2, 40)).astype(np.int16)) for _ in range(2))
        for line in ("drive_q0", "readout")
    }
    changed = memory | {"drive_q0": (memory["drive_q0"][1], memory["drive_q0"][1])}
    with open_twin(demo_lab) as twin:
        found = []
        for wanted in (memory, memory, changed):
            with OpenLab(demo_lab, twin) as opened:
                opened.upload(wanted)
                names = [
                    f"{one}.segment_{what}_count" for what in ("sent", "found") for one in ("awg_q0", "awg_readout")
                ]
                found.append([opened.counters[name] for name in names])
                opened.upload_changed(wanted)
                assert opened.line_kept_count == 2
            for line, segments in wanted.items():
                held = twin.instruments[demo_lab.lines[line].awg].memory.segments
                assert [held[1][0], held[2][1]] == [segments[0].i.tobytes(), segments[1].q.tobytes()]
    assert found == [[4, 4, 0, 0], [0, 0, 4, 4], [2, 0, 2, 4]]


def faulty(lab, calibration, name, **faults):
    """Return the lab with faults of one instrument, and the calibration for it."""
    parameters = lab.twin.parameters | {"faults": {name: faults}}
    lab = msgspec.structs.replace(lab, twin=msgspec.structs.replace(lab.twin, parameters=parameters))
    return {"lab": lab, "calibration": msgspec.structs.replace(calibration, lab_hash=bound_hash(lab))}


def test_an_instrument_that_sets_something_else_ends_the_run_before_that_leg(
    play, demo_lab, demo_calibration, tmp_path
):
    clamped = faulty(demo_lab, demo_calibration, "lo_readout", clamp={"frequency_hz": 7.0005e9})
    with pytest.raises(
        RunError,
        match=r"^leg 2, lo_readout.frequency_hz = 7001000000: lo_readout at .*: setting not taken: sent",
    ) as caught:
        play(WATCHED, shots=20, sweep={FREQUENCY: [6.999e9, 7e9, 7.001e9]}, **clamped)
    assert "shots 0 to 39 are kept" in str(caught.value)
    (folder,) = [path for path in tmp_path.iterdir() if path.name != "calibrations"]
    record = open_run(folder)
    assert (len(record.rows), len(record.legs), record.stop["exit_status"]) == (40, 2, "fail")
    assert "setting not taken" in record.stop["reason"]
    table = np.load(folder / "sweep.npy")
    assert table["point.shots"].tolist() == [20, 20, 0]
    assert replay(folder).same


def test_one_that_does_not_take_the_first_value_ends_it_before_anything_is_recorded(
    play, demo_lab, demo_calibration, tmp_path
):
    clamped = faulty(demo_lab, demo_calibration, "lo_readout", clamp={"frequency_hz": 7.0005e9})
    with pytest.raises(InstrumentError, match="setting not taken"):
        play(WATCHED, shots=20, sweep={FREQUENCY: [7.001e9]}, **clamped)
    assert [path.name for path in tmp_path.iterdir()] == ["calibrations"]


def test_a_setting_that_cannot_be_put_back_is_told_with_its_value(demo_lab):
    with Loop(demo_lab, 1) as loop:
        loop.dials.set({POWER: 9.0, RANGE: 2.0})
        loop._twin.instruments["lo_readout"].values[("power_dbm", 0)] = (
            3.0  # somebody turned it; it is put back all the same
        )
        link = loop._open.driver("dig").link
        link.error_before, link.query_number = None, lambda message: 2.0  # a digitizer whose answers stand still
        with pytest.raises(InstrumentError, match=r"dig.range_v is not back at 0.5 V: dig at .*setting not taken"):
            loop.dials.put_back()
        assert loop._open.driver("lo_readout").link.query_number("SOURce:POWer?") == 10.0


# ---- What is no sweep --------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"lo.frequency_hz": [1e9]}, r"no instrument 'lo' has settings; did you mean lo_q\d\?"),
    ({"lo_readout.power": [1.0]}, r"instrument 'lo_readout' has no setting .*did you mean lo_readout.power_dbm\?"),
    (
        {"dig.sample_rate_hz": [1e9]},
        r"dig.sample_rate_hz is not swept: samples and ticks .*; what can be swept of dig: dig.range_v \(0.01 to 50 V\)$",
    ),
    (
        {"awg_q0.output1": [0, 1]},
        r"awg_q0.output1 is not swept: a run switches it on .*awg_q0.offset2_v \(-1 to 1 V\)$",
    ),
    ({POWER: [10.0, 26.0]}, r"lo_readout.power_dbm = 26 dBm at point 1: possible is -30 to 25 dBm"),
    (
        {FREQUENCY: "linspace(1e6, 50e9, 3)"},
        r"frequency_hz = 50000000000 Hz at point 2: possible is 1000000 to 40000000000 Hz",
    ),
    ({POWER: "values(3us)"}, r"only values of a duration have a unit"),
    ([f"{POWER}=values(1)", f"{POWER}=values(2)"], r"lo_readout.power_dbm is swept already"),
    ([f"{POWER},theta=zip(values(1), values(2, 3))"], r"as many points each; lo_readout.power_dbm has 1, theta has 2"),
    ([f"{POWER},theta=linspace(0, 1, 3)"], r"linspace alone for 2 names; NAME,NAME=zip"),
    ({(POWER, "theta"): ([1.0],)}, r"as many forms or arrays are needed as there are names, 2"),
    (["theta=zip(values(1), values(2))"], r"zip is for several names"),
    ([f"{POWER},theta=zip(values(1))"], r"zip of 1 forms for 2 names"),
    ([f"{POWER},theta=zip(values(1), 2)"], r"zip takes a form for each name"),
    ([f"{POWER},theta=zip(values(1), values(50))"], r"at theta = 50 the pulse has"),
    (
        {POWER: f"linspace(0, 1, {(1 << 14) + 1})"},
        r"instruments would be set 16385 times, at every point of lo_readout.power_dbm",
    ),
]


@pytest.mark.parametrize(("sweep", "said"), REFUSED)
def test_what_is_no_sweep_is_refused_before_anything_is_opened(play, monkeypatch, sweep, said):
    monkeypatch.setattr(qrt.loop.Loop, "__enter__", lambda _: pytest.fail("opened"))
    with pytest.raises(ProgramError, match=said):
        play(TURNED, sweep=sweep)


def test_a_stop_between_or_in_legs_keeps_what_was_played(play, tmp_path):
    class Asked:
        told = False

        def is_set(self):
            return self.told

    asked = Asked()

    def tell(event):
        asked.told = asked.told or (isinstance(event, Progress) and event.done >= 40)

    given = {"stop": asked, "events": tell, "shots": 40, "period_ns": 50e3}
    with pytest.raises(StoppedError, match="stopped as asked after"):
        play(WATCHED, sweep={FREQUENCY: np.linspace(6.999e9, 7.001e9, 200)}, **given)
    (folder,) = [path for path in tmp_path.iterdir() if path.name != "calibrations"]
    record = open_run(folder)
    assert 40 <= len(record.rows) < 200 * 40
    assert record.stop["exit_status"] == "abort"
    assert replay(folder).same
    assert len(np.load(folder / "sweep.npy")) == 200


def test_legs_of_another_record_are_refused(runs):
    record = runs["point"].record
    bodies = [document.body for document in record.documents("leg")]
    sweep = record.start["sweep"]
    assert len(recorded_legs(sweep, bodies, "x")) == 6
    with pytest.raises(RecordError, match="x: leg 2 from shot 120 on, where leg 1 is due"):
        recorded_legs(sweep, [bodies[0], bodies[2]], "x")
    with pytest.raises(RecordError, match="x: legs of another version"):
        recorded_legs(sweep, [{"leg": 0}], "x")
    part = decode_image(record.image_parts[2])
    assert {"plant.places", "plant.bytes"} <= part.arrays.keys()
    assert len(part.arrays["plant.bytes"]) < 2000  # of 23 kB: what a leg has otherwise is little
