"""The twin: what the instruments were told by SCPI is what the plant plays, and what an arm was made of can be made again."""

import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from qrt.config import checked
from qrt.drivers.lab import OpenLab
from qrt.errors import ConfigError, InstrumentError, RecordError
from qrt.firmware_sim.plant_config import CouplerConfig
from qrt.firmware_sim.twin import ArmedPort, TwoTransmons, open_twin, plant_from_bytes
from qrt.types import Lab, Segment

SAMPLES = 400


def read_lab(project: Path, **changes: Any) -> Lab:
    """Return the lab of the tests, some parameters of its twin changed."""
    raw = tomllib.loads((project / "tests" / "lab.toml").read_text())
    raw["twin"]["parameters"] |= changes
    return msgspec.convert(raw, Lab)


class Bench:
    """An opened lab with its twin."""

    def __init__(self, lab: Lab, ending: ExitStack) -> None:
        self.lab = lab
        self.twin: TwoTransmons = open_twin(lab)
        ending.callback(self.twin.close)
        self.opened = ending.enter_context(OpenLab(lab, self.twin))
        self.opened.configure()


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bench(project: Path, ending: ExitStack) -> Bench:
    return Bench(read_lab(project), ending)


def tone(rng: np.random.Generator) -> Segment:
    i = np.full(SAMPLES, 16000, np.int16)
    return Segment(i, (i // 2 + rng.integers(-99, 99, SAMPLES)).astype(np.int16))


def capture(armed: ArmedPort, line: int = 2, shots: int = 3) -> np.ndarray:
    """Play segment 0 on a line at 100 MHz and capture: int16 [shots, samples]."""
    port, found = armed.plant.port(), []
    for shot in range(shots):
        port.begin_shot(shot, shot * 7000)
        port.capture_begin(shot * 7000, SAMPLES)
        port.play(line, 0, shot * 7000, amplitude=0.5, frequency=100e6)
        found.append(port.capture_end(SAMPLES))
    return np.array(found)


def test_the_plant_has_what_the_generators_hold(bench: Bench, rng: np.random.Generator) -> None:
    segments = {"drive_q0": (tone(rng), tone(rng)), "readout": (tone(rng),)}
    bench.opened.upload(segments)
    bench.opened.outputs(True)
    image = bench.twin.arm(1, 0.0).image
    places = [(segment.line, segment.index) for segment in image.segments]
    assert places == [(0, 0), (0, 1), (2, 0)]
    assert image.segments[2].q == segments["readout"][0].q.tobytes()
    # Nothing bypasses the firmware: what SCPI changes, the plant plays.
    bench.opened.outputs(False)
    awg = bench.opened._drivers["awg_readout"].link
    awg.command("TRAC1:DEL 0")
    assert bench.twin.arm(1, 0.0).image.segments[2].i == bytes(2 * SAMPLES)


def test_lines_are_as_the_instruments_were_told(bench: Bench) -> None:
    bench.opened.outputs(True)
    line = bench.twin.arm(1, 0.0).image.config.lines[0]
    assert (line.qubit, line.source_hz, line.output_on) == (0, 4.85e9, True)
    assert line.volts_per_count_i == line.volts_per_count_q == pytest.approx(0.5 / 32768)
    assert bench.twin.arm(1, 0.0).image.config.lines[2].qubit is None
    bench.opened._drivers["lo_q0"].link.set_number("SOUR:POW", 4.0)
    bench.opened._drivers["awg_q0"].link.command("SOUR2:VOLT 0.25;:SOUR1:VOLT:OFFS 10 MV")
    line = bench.twin.arm(1, 0.0).image.config.lines[0]
    assert line.volts_per_count_i == pytest.approx(0.5 / 32768 * 10 ** (-6 / 20))
    assert line.volts_per_count_q == pytest.approx(line.volts_per_count_i / 2)
    assert line.offset_v_i == pytest.approx(0.01 * 10 ** (-6 / 20))


@pytest.mark.parametrize(
    ("name", "command"), [("lo_q0", "OUTP OFF"), ("awg_q0", "ABOR"), ("awg_q0", "OUTP1 0;:OUTP2 0")]
)
def test_what_is_off_sends_nothing(bench: Bench, name: str, command: str) -> None:
    bench.opened.outputs(True)
    bench.opened._drivers[name].link.command(command)
    bench.opened._drivers[name].link.query("*OPC?")
    lines = bench.twin.arm(1, 0.0).image.config.lines
    assert [line.output_on for line in lines] == [False, True, True]


def test_one_channel_that_is_off_is_silent(bench: Bench) -> None:
    bench.opened.outputs(True)
    bench.opened._drivers["awg_q0"].link.command("OUTP2 0")
    line = bench.twin.arm(1, 0.0).image.config.lines[0]
    assert line.output_on
    assert line.volts_per_count_i > 0
    assert line.volts_per_count_q == 0


def test_the_converter_is_as_the_digitizer_was_told(bench: Bench) -> None:
    adc = bench.twin.arm(1, 0.0).image.config.adc
    assert adc.volts_per_count == pytest.approx(0.5 / 2**13)
    assert not adc.input_on
    bench.opened.outputs(True)
    assert bench.twin.arm(1, 0.0).image.config.adc.input_on


def test_another_sample_clock_is_refused(bench: Bench) -> None:
    bench.opened._drivers["awg_q1"].link.command("FREQ:RAST 2E9")
    bench.opened._drivers["awg_q1"].link.query("*OPC?")
    with pytest.raises(
        InstrumentError, match=r"awg_q1: sample clock is 2e\+09 Hz, the lab's \[timing\] needs 1e\+09 Hz"
    ):
        bench.twin.arm(1, 0.0)


def test_the_same_bytes_make_the_same_samples(bench: Bench, rng: np.random.Generator) -> None:
    bench.opened.upload({"readout": (tone(rng),)})
    bench.opened.outputs(True)
    capture(bench.twin.arm(3, 1e-3))
    again = bench.twin.arm(4, 0.0)  # the field of the run before still rings
    data = bench.twin.plant_bytes()
    samples = capture(again)
    replayed = plant_from_bytes(data)
    assert np.array_equal(capture(replayed), samples)
    assert np.array_equal(replayed.truth().population_sum, again.truth().population_sum)
    assert samples.std() > 0
    for change in ({"seed": 5}, {"state": None, "state_crc": 0}, {"idle_s": 1e-3}):
        other = msgspec.msgpack.encode(msgspec.structs.replace(again.image, **change))
        assert not np.array_equal(capture(plant_from_bytes(other)), samples)


def test_the_state_goes_on_when_the_instruments_are_set_anew(bench: Bench, rng: np.random.Generator) -> None:
    bench.opened.upload({"readout": (tone(rng),)})
    bench.opened.outputs(True)
    first = bench.twin.arm(3, 1e-3)
    capture(first)
    kept = bench.twin.arm(4, 1e-3)
    assert kept.plant is first.plant
    assert kept.image.state is not None
    bench.opened.upload({"readout": (tone(rng),)})
    other = bench.twin.arm(4, 1e-3)
    assert other.plant is not kept.plant
    assert other.image.state is not None


def test_an_aborted_run_does_not_stop_the_next(bench: Bench, rng: np.random.Generator) -> None:
    bench.opened.upload({"readout": (tone(rng),)})
    bench.opened.outputs(True)
    port = bench.twin.arm(1, 0.0).plant.port()
    port.begin_shot(0, 0)
    port.capture_begin(0, SAMPLES)
    assert bench.twin.arm(2, 0.0).image.state is not None


def test_limits_are_those_of_port_and_memory(bench: Bench) -> None:
    armed = bench.twin.arm(1, 0.0)
    limits, port = armed.limits, armed.plant.port()
    assert (limits.feedback_latency_ticks, limits.granularity_ticks, limits.sample_ticks) == (300, 1, 1)
    assert (port.feedback_latency_ticks, port.granularity_ticks, port.sample_ticks) == (300, 1, 1)
    assert limits.capture_samples_max == port.capture_samples_max
    assert (limits.segment_count_max, limits.segment_samples_max) == (256, 65536)
    assert bench.twin.limits == limits


def test_limits_are_known_before_anything_is_opened(project: Path, ending: ExitStack) -> None:
    twin = open_twin(read_lab(project, port={"feedback_latency_ns": 17.0}))
    ending.callback(twin.close)
    assert twin.limits.feedback_latency_ticks == 17


def test_truth_by_name(bench: Bench, rng: np.random.Generator) -> None:
    bench.opened.upload({"readout": (tone(rng),)})
    bench.opened.outputs(True)
    capture(bench.twin.arm(1, 0.0), shots=20)
    known = bench.twin.known()
    assert set(known.population) == {("q0", 0)}
    assert 0.0 <= known.population["q0", 0] <= 0.5
    assert known.counters["plant.dac_clip_count"] == known.counters["plant.adc_clip_count"] == 0


def test_cables_are_swapped_behind_the_instrument(project: Path, ending: ExitStack, rng: np.random.Generator) -> None:
    wiring = {
        "drive_q0": {"drives": "q0"},
        "drive_q1": {"drives": "q1"},
        "readout": {"drives": "feedline", "swap_iq": True},
    }
    segment, samples, images = tone(rng), [], []
    for lab in (read_lab(project), read_lab(project, lines=wiring)):
        bench = Bench(lab, ending)
        bench.opened.upload({"readout": (segment,)})
        bench.opened.outputs(True)
        images.append(bench.twin.arm(1, 0.0).image)
        samples.append(capture(bench.twin.arm(1, 0.0)))
    assert images[1].segments == images[0].segments  # memory is what was uploaded; the sideband is what is wrong
    assert [line.swap_iq for line in images[1].config.lines] == [False, False, True]
    assert not np.array_equal(*samples)


@pytest.mark.parametrize("cut", [0, 1, 10, 500])
def test_bytes_that_are_no_plant(bench: Bench, cut: int) -> None:
    bench.twin.arm(1, 0.0)
    with pytest.raises(RecordError, match="armed plant"):
        plant_from_bytes(bench.twin.plant_bytes()[:cut])


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_bit_of_the_saved_state_is_refused_before_anything_runs_on_it(bench: Bench, place: int) -> None:
    bench.twin.arm(1, 0.0)
    image = bench.twin.arm(1, 0.0).image  # the second arm goes on from a saved state
    assert image.state is not None
    state = bytearray(image.state)
    state[place] ^= 1
    with pytest.raises(RecordError, match="CRC-32"):
        plant_from_bytes(msgspec.msgpack.encode(msgspec.structs.replace(image, state=bytes(state))))


def test_another_version_is_named(bench: Bench) -> None:
    image = bench.twin.arm(1, 0.0).image
    with pytest.raises(RecordError, match="version 99"):
        plant_from_bytes(msgspec.msgpack.encode(msgspec.structs.replace(image, version=99)))


def test_an_instrument_without_a_model(project: Path) -> None:
    lab = read_lab(project)
    other = msgspec.structs.replace(lab.instruments["dig"], driver="acme")
    with pytest.raises(
        ConfigError, match=r"instruments\.dig\.driver: 'acme' has no simulated model; allowed: qrt_awg2"
    ):
        open_twin(msgspec.structs.replace(lab, instruments=lab.instruments | {"dig": other}))


def test_every_problem_of_the_parameters_is_listed(project: Path) -> None:
    lab = read_lab(project)
    assert lab.twin is not None
    given = msgspec.to_builtins(lab.twin.parameters)
    given["qubits"]["q0"] |= {"t1_s": -1.0, "kapa_hz": 1.0}
    del given["qubits"]["q0"]["kappa_hz"]
    given["qubits"]["q1"] = 3
    given["lines"]["readout"]["drives"] = 4
    given["adc"]["bits"] = 40
    given["colour"] = "red"
    changed = msgspec.structs.replace(lab, twin=msgspec.structs.replace(lab.twin, parameters=given))
    with pytest.raises(ConfigError) as caught:
        checked(changed, "lab")
    head, *lines = str(caught.value).splitlines()
    for path, what in (
        ("qubits.q0.kapa_hz", "did you mean kappa_hz"), ("qubits.q0.kappa_hz", "missing; a number in Hz"),
        ("qubits.q0.t1_s", "-1 is out of range; a number in s, above 0"), ("qubits.q1", "not a table"),
        ("lines.readout.drives", "4 is not a text"), ("adc.bits", "40 is out of range; a whole number, at least 2"),
        ("colour", "unknown key"),
    ):  # fmt: skip
        assert any(line.startswith(f"  lab: twin.parameters.{path}: ") and what in line for line in lines), (
            path,
            lines,
        )
    assert (head, len(lines)) == ("lab: 7 problems; nothing was opened", 7)
    with pytest.raises(ConfigError, match=r"^twin\.parameters: "):
        open_twin(changed)  # what nobody checked is refused, too


def test_names_that_do_not_meet_are_listed(project: Path) -> None:
    lines = {"drive_q0": {"drives": "q9"}, "drive_q1": {"drives": "q1"}, "spare": {"drives": "q0"}}
    port = {"feedback_latency_ns": 0.5}
    lab = read_lab(project, lines=lines, port=port, faults={"nobody": {}}, negligible_exponent=9.0)
    with pytest.raises(ConfigError) as caught:
        open_twin(lab)
    text = str(caught.value)
    for what in (
        "lines.readout: missing; the lab has it in [lines]", "lines.spare: not in the lab's [lines]",
        "lines.drive_q0.drives: 'q9' is nothing to drive; did you mean q1? Allowed: feedline, q0, q1",
        "faults.nobody: no such instrument",
        "port.feedback_latency_ns: 0.5 is not a whole multiple of 1 ns", "negligible_exponent: 9 is not below",
    ):  # fmt: skip
        assert "twin.parameters." + what in text


def test_couplers_are_wired_as_the_parameters_say(project: Path) -> None:
    raw = tomllib.loads((project / "configs" / "coupled.toml").read_text())
    parameters = raw["twin"]["parameters"]
    config = open_twin(msgspec.convert(raw, Lab)).arm(1, 0.0).image.config
    assert config.couplers == (CouplerConfig((0, 1), -45e6, (-24e6, 31e6)),)
    assert [(line.qubit, line.coupler) for line in config.lines] == [(0, None), (1, None), (None, 0), (None, None)]
    parameters["lines"]["coupler"] = {"couples": "q0q1"}
    parameters["lines"]["drive_q0"] = {"drives": "q0", "couples": "q0_q1"}
    parameters["lines"]["readout"] = {}
    parameters["couplers"] = {
        "other": {"qubits": ["q0", "q0"], "zz_hz_per_v2": 1.0},
        "more": {"qubits": ["q0", "q7"], "zz_hz_per_v2": 1.0},
    }
    with pytest.raises(ConfigError) as caught:
        open_twin(msgspec.convert(raw, Lab))
    for what in (
        "lines.coupler.couples: 'q0q1' is nothing to couple", "lines.drive_q0: leads to one place", "lines.readout: leads to one place",
        "couplers.q0_q1: missing; the lab has it in [couplers]", "couplers.other.qubits: 'q0' twice",
        "couplers.more.qubits: 'q7' is no qubit of the twin", 'couplers.other: no line leads to it; add `couples = "other"`',
    ):  # fmt: skip
        assert "twin.parameters." + what in str(caught.value)


def test_a_fault_of_a_setting_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^twin\.parameters\.faults\.dig\.clamp\.range: no such setting; did you mean range_v"
    ):
        open_twin(read_lab(project, faults={"dig": {"clamp": {"range": 0.1, "range_v": 0.1}}}))


def test_a_port_starts_on_every_sample_unless_it_says_otherwise(project: Path, ending: ExitStack) -> None:
    for sample_ticks, port, ticks in ((1, {}, 1), (2, {}, 2), (2, {"granularity_ns": 10.0}, 10)):
        lab = read_lab(project, port=port)
        lab = msgspec.structs.replace(lab, timing=msgspec.structs.replace(lab.timing, sample_ticks=sample_ticks))
        twin = open_twin(lab)
        ending.callback(twin.close)
        assert twin.limits.granularity_ticks == ticks


def test_a_qubit_drifts_as_its_parameters_say(project: Path, ending: ExitStack) -> None:
    """The rates reach the plant, the drift goes on from arm to arm, and the bytes of an arm hold it."""
    qubits = msgspec.to_builtins(read_lab(project).twin.parameters)["qubits"]  # type: ignore[union-attr]
    qubits["q1"] |= {"frequency_drift_hz_per_s": -2e3, "frequency_walk_hz_per_root_s": 0.0}
    qubits["q0"] |= {"frequency_walk_hz_per_root_s": 500.0, "phase_walk_rad_per_root_s": 0.5}
    bench = Bench(read_lab(project, qubits=qubits, drift_interval_ns=21000.0), ending)
    armed = bench.twin.arm(1, 0.0)
    moved = []
    for shot in range(7):
        armed.plant.port().begin_shot(shot, shot * 7000)
        moved.append(armed.plant.drift(0))
    assert [len(set(moved[: count + 1])) for count in range(7)] == [1, 1, 1, 2, 2, 2, 3]
    bench.twin.arm(2, 1.5)
    again = plant_from_bytes(bench.twin.plant_bytes()).plant
    assert again.drift(0) == bench.twin.arm(2, 0.0).plant.drift(0) != moved[-1]
    assert again.drift(1)[0] == pytest.approx(-2e3 * (1.5 + 42e-6), rel=1e-9)


def test_a_drift_that_cannot_be_is_named(project: Path) -> None:
    lab = read_lab(project, drift_interval_ns=0.5)
    with pytest.raises(ConfigError, match=r"twin\.parameters\.drift_interval_ns: 0\.5 is not a whole multiple of 1 ns"):
        open_twin(lab)
    assert lab.twin is not None
    qubits = msgspec.to_builtins(lab.twin.parameters)["qubits"]
    qubits["q0"]["frequency_walk_hz_per_root_s"] = -1.0
    with pytest.raises(ConfigError, match=r"frequency_walk_hz_per_root_s: -1 is out of range; a number, at least 0"):
        checked(read_lab(project, qubits=qubits), "lab")
