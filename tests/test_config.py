"""The lab file: what holds is loaded, and what does not is listed, all of it, with its place."""

import copy
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from qrt import config
from qrt.config import installed
from qrt.config.schema import schema_problems
from qrt.errors import ConfigError
from qrt.types import Lab

TEXT = Path(__file__).with_name("lab.toml").read_text(encoding="utf-8")
DATA = tomli.loads(TEXT)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "lab.toml")
    return str(caught.value)


def replaced(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def line_of(text: str, fragment: str) -> int:
    return text[: text.index(fragment)].count("\n") + 1


def test_demo_lab_holds(project: Path) -> None:
    lab = config.load(project / "configs" / "demo.toml")
    assert list(lab.qubits) == ["q0", "q1"]
    assert {line for qubit in lab.qubits.values() for line in (qubit.drive_line, qubit.readout_line)} == set(lab.lines)
    assert lab.twin is not None
    assert lab.timing.shot_period_ns == 7000


@pytest.mark.parametrize(
    ("old", "new", "path", "wanted"),
    [
        (
            "tick_ps = 1000 ",
            "tick_ps = 1000.5 ",
            "timing.tick_ps",
            ["1000.5 is not a whole number in ps", "at least 1"],
        ),
        ("tick_ps = 1000 ", "tick_ps = true ", "timing.tick_ps", ["true is not a whole number"]),
        (
            "range_v = 0.5 ",
            'range_v = "0.5 V" ',
            "digitizer.range_v",
            ["'0.5 V' is not a number in V, above 0 and at most 50"],
        ),
        ("range_v = 0.5 ", "range_v = nan ", "digitizer.range_v", ["nan is not a finite number"]),
        ("range_v = 0.5 ", "range_v = inf ", "digitizer.range_v", ["inf is not a finite number"]),
        ("range_v = 0.5 ", f"range_v = 1{'0' * 400} ", "digitizer.range_v", ["not a finite number"]),
        ("range_v = 0.5 ", "range_v = -0.5 ", "digitizer.range_v", ["-0.5 is out of range", "above 0"]),
        ('pacing = "virtual"', 'pacing = "virtul"', "timing.pacing", ["did you mean virtual?", "real, virtual"]),
        ("frequency_hz = ", "frequncy_hz = ", "qubits.q0.frequncy_hz", ["unknown key; did you mean frequency_hz?"]),
        ("frequency_hz = ", "frequncy_hz = ", "qubits.q0.frequency_hz", ["missing; a number in Hz, at least 1e+06"]),
        ("name = ", "#name = ", "name", ["missing; a text"]),
        ('name = "demo"', 'name = ""', "name", ["not a text of at least one character"]),
        (
            "[stream]\n",
            '[controllers.f]\nlaw = "integrator"\noutput = "x"\ngain = 0.1\n\n[stream]\n',
            "controllers.f.gain",
            ["unknown key", "; parameters of what it names belong in [controllers.f.parameters]"],
        ),
        ("[stream]\n", "[strem]\n", "strem", ["unknown key; did you mean stream?"]),
        ('driver = "qrt_dig1"', "driver = 3", "instruments.dig.driver", ["3 is not a text"]),
        (
            'instrument = "dig"',
            'instrument = "digg"',
            "digitizer.instrument",
            ["'digg' is not in [instruments]", "did you mean dig?"],
        ),
        (
            'drive_line = "drive_q0"',
            'drive_line = "drive_q"',
            "qubits.q0.drive_line",
            ["is not in [lines]", "did you mean drive_q"],
        ),
        (
            'source = "lo_q1"',
            'source = "lo_q0"',
            "lines.drive_q1.source_hz",
            ["differs from", "'drive_q0', which shares 'lo_q0'"],
        ),
        (
            'awg = "awg_q1"',
            'awg = "awg_q0"',
            "lines.drive_q1.i_channel",
            ["channel 1 of 'awg_q0' is i_channel of line 'drive_q0'"],
        ),
        ("q_channel = 2", "q_channel = 1", "lines.drive_q0.q_channel", ["is i_channel of line 'drive_q0' already"]),
        (
            "TCPIP0::awg-q1::INSTR",
            "TCPIP0::awg-q0::INSTR",
            "instruments.awg_q1.address",
            ["the address of 'awg_q0' already"],
        ),
        ('"serial:lo-q0"', '"serial:"', "instruments.lo_q0.address", ["names no device; allowed: serial:<device>"]),
        (
            "shot_period_ns = 7000.0",
            "shot_period_ns = 7000.4",
            "timing.shot_period_ns",
            ["whole multiple of 1 ns", "nearest: 7000 and 7001"],
        ),
        ("pulse_ns = 30.0", "pulse_ns = 0.4", "qubits.q0.pulse_ns", ["0.4 is not a whole multiple", "nearest: 1"]),
        ("tcp://127.0.0.1:5557", "tcp://127.0.0.1:99999", "stream.address", ["not an address", "tcp://127.0.0.1:PORT"]),
        ("tcp://127.0.0.1:5557", "tcp://0.0.0.0:5557", "stream.address", ["anyone could listen", "tcp://[::1]:PORT"]),
        (
            'readout_line = "readout"',
            'readout_line = "drive_q1"',
            "qubits.q0.readout_line",
            ["is the drive line of 'q1'"],
        ),
        ("[lines.readout]", '[lines."read out"]', "lines.read out", ["'read out' is no name"]),
        ('[twin]\nkind = "two_transmons"', "twin = 3", "qubits.q1.readout.twin", ["unknown key"]),
        (
            'kind = "two_transmons"',
            'kind = "two_transmon"',
            "twin.kind",
            ["'two_transmon' is not installed", "did you mean two_transmons?", "qrt.twins"],
        ),
        (
            'driver = "qrt_dig1"',
            'driver = "qrt_dgi1"',
            "instruments.dig.driver",
            ["is not installed; did you mean qrt_dig1? Allowed: qrt_awg2, qrt_dig1, qrt_source1"],
        ),
        (
            'driver = "qrt_dig1"',
            'driver = ""',
            "instruments.dig.driver",
            ["'' is not a text of at least one character"],
        ),
        (
            "kappa_hz = 2.0e6",
            "kapa_hz = 2.0e6",
            "twin.parameters.qubits.q0.kapa_hz",
            ["unknown key; did you mean kappa_hz?"],
        ),
        (
            "kappa_hz = 2.0e6",
            "",
            "twin.parameters.qubits.q0.kappa_hz",
            ["missing; a number in Hz, above 0"],
        ),
        (
            "rabi_hz_per_v = 65e6",
            "rabi_hz_per_v = -65e6",
            "twin.parameters.qubits.q0.rabi_hz_per_v",
            ["-6.5e+07 is out of range; a number in Hz/V, above 0"],
        ),
        (
            'drives = "q0"',
            'drives = "q0"\nleakage_v_i = 0.6\nswap_iq = 1',
            "twin.parameters.lines.drive_q0.leakage_v_i",
            ["0.6 is out of range; a number in V, at least -0.5 and at most 0.5"],
        ),
        (
            'drives = "q0"',
            'drives = "q0"\nswap_iq = 1',
            "twin.parameters.lines.drive_q0.swap_iq",
            ["1 is not true or false"],
        ),
        (
            'drives = "q0"',
            'drives = "q7"',
            "twin.parameters.lines.drive_q0.drives",
            ["'q7' is nothing to drive; did you mean q1? Allowed: feedline, q0, q1"],
        ),
        (
            "t2_s = 25e-6",
            "t2_s = 50e-6",
            "twin.parameters.qubits.q0.t2_s",
            ["5e-05 is above 2 t1_s; allowed: up to 4e-05 s"],
        ),
        (
            "[twin.parameters.qubits.q1]",
            "[twin.parameters.qubits.q2]",
            "twin.parameters.qubits.q2",
            ["not in the lab's [qubits]; did you mean q"],
        ),
        (
            "[twin.parameters.adc]",
            "[twin.parameters.faults.digg]\nabsent = true\n[twin.parameters.adc]",
            "twin.parameters.faults.digg",
            ["no such instrument; did you mean dig?"],
        ),
        (
            "[twin.parameters.adc]",
            "[twin.parameters.faults.dig.clamp]\nrange = 0.1\n[twin.parameters.adc]",
            "twin.parameters.faults.dig.clamp.range",
            ["no such setting; did you mean range_v?"],
        ),
        (
            "feedback_latency_ns = 300.0",
            "granularity_ns = 16.0",
            "qubits.q0.pulse_ns",
            ["30 is not a whole multiple of 16 ns (twin.parameters.port.granularity_ns); nearest: 16 and 32"],
        ),
    ],
)
def test_each_problem_is_named_with_path_value_and_allowed_set(
    old: str, new: str, path: str, wanted: list[str]
) -> None:
    message = refusal(replaced(old, new))
    lines = [line for line in message.splitlines() if f": {path}: " in line]
    assert lines, message
    assert all(any(fragment in line for line in lines) for fragment in wanted), message
    assert "nothing was opened" in message


def test_all_problems_come_in_one_list_in_the_order_of_the_file() -> None:
    text = (
        replaced("tick_ps = 1000 ", "tick_ps = 0 ")
        .replace("range_v = 0.5 ", "range_v = 99 ", 1)
        .replace("[stream]", "[stream]\nport = 1", 1)
    )
    lines = refusal(text).splitlines()
    assert lines[0] == "lab.toml: 3 problems; nothing was opened"
    places = [f"lab.toml:{line_of(text, fragment)}:" for fragment in ("tick_ps = 0", "port = 1", "range_v = 99")]
    assert [line.split()[0] for line in lines[1:]] == places


def test_the_twin_and_the_lab_are_checked_together() -> None:
    text = replaced("pulse_ns = 30.0", "pulse_ns = 30.5").replace("bits = 14", "bits = 40").replace("_dig1", "_dig2")
    head, *lines = refusal(text).splitlines()
    assert head == "lab.toml: 3 problems; nothing was opened"
    places = [f"lab.toml:{line_of(text, fragment)}:" for fragment in ("_dig2", "pulse_ns = 30.5", "bits = 40")]
    assert [line.split()[0] for line in lines] == places
    text = replaced("pulse_ns = 30.0", "pulse_ns = 30.5").replace("t2_s = 25e-6", "t2_s = 50e-6")
    assert refusal(text).startswith("lab.toml: 2 problems")


def test_a_lab_made_in_python_is_checked_as_a_file_is() -> None:
    lab = config.parse(TEXT, "lab.toml")
    assert config.checked(lab, "lab") == lab
    assert config.checked(msgspec.structs.replace(lab, twin=None), "rack").twin is None
    qubit = msgspec.structs.replace(lab.qubits["q0"], pulse_ns=30.25)
    changed = msgspec.structs.replace(lab, qubits=lab.qubits | {"q0": qubit})
    with pytest.raises(ConfigError, match=r"lab: qubits\.q0\.pulse_ns: 30\.25 is not a whole multiple of 1 ns"):
        config.checked(changed, "lab")
    with pytest.raises(ConfigError, match=r"^lab: holds a value that no lab file could: .*object"):
        config.checked(msgspec.structs.replace(lab, name=object()), "lab")


def test_a_twin_that_does_not_tell_the_type_of_its_parameters_reads_them_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = installed.offered
    monkeypatch.setattr(installed, "offered", lambda group: {} if group == installed.TWIN_PARAMETERS else known(group))
    text = replaced("kappa_hz = 2.0e6", "kapa_hz = 2.0e6")
    assert config.parse(text, "lab.toml").twin is not None


def test_frequency_in_gigahertz_is_told() -> None:
    assert "for 4.95 GHz write 4.95e+09" in refusal(replaced("frequency_hz = 4.95e9", "frequency_hz = 4.95"))


def changed(change: Any) -> str:
    """Return what is said about the demo lab after a change of its data; the change is made on the parsed document."""
    data = copy.deepcopy(DATA)
    change(data)
    return refusal(as_toml(data))


def as_toml(data: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Write plain tables as TOML: enough for what this file needs."""
    leaves = [f"{key} = {leaf(value)}\n" for key, value in data.items() if not isinstance(value, dict)]
    tables = [as_toml(value, (*path, key)) for key, value in data.items() if isinstance(value, dict)]
    head = f"[{'.'.join(path)}]\n" if path else ""
    return head + "".join(leaves) + "".join(tables)


def leaf(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(leaf(one) for one in value) + "]"
    return repr(value)


def set_readout(qubit: str, **values: float) -> Any:
    return lambda data: data["qubits"][qubit]["readout"].update(values)


def test_readout_frequencies_keep_the_upper_sideband_and_nyquist() -> None:
    source_hz = DATA["lines"]["readout"]["source_hz"]
    for offset_hz in (0.0, -50e6, 500e6, 900e6):
        message = changed(set_readout("q0", frequency_hz=source_hz + offset_hz))
        assert "qubits.q0.readout.frequency_hz" in message
        assert "above 0 (upper sideband, one real ADC) and below 5e+08 Hz" in message


def test_drive_frequencies_keep_nyquist() -> None:
    source_hz = DATA["lines"]["drive_q0"]["source_hz"]
    for offset_hz in (-500e6, 500e6):
        message = changed(lambda data, o=offset_hz: data["qubits"]["q0"].update(frequency_hz=source_hz + o))
        assert f"is {offset_hz:+g} Hz from the source of line 'drive_q0'" in message


def test_readout_tones_are_orthogonal_over_both_integration_times() -> None:
    first_hz = DATA["qubits"]["q0"]["readout"]["frequency_hz"]
    message = changed(set_readout("q1", frequency_hz=first_hz + 20.25e6))
    assert "2.025e+07 Hz from that of 'q0', not a whole multiple of 1e+06 Hz" in message
    assert f"nearest: {first_hz + 20e6:.12g} and {first_hz + 21e6:.12g}" in message
    assert f"is the readout frequency of 'q0' already" in changed(set_readout("q1", frequency_hz=first_hz))  # noqa: F541
    message = changed(set_readout("q1", frequency_hz=first_hz + 21e6, duration_ns=500.0))
    assert "whole multiple of 2e+06 Hz, 1 / readout.duration_ns of 'q1'" in message


def test_durations_are_held_against_the_sample_not_only_the_tick() -> None:
    def change(data: dict[str, Any]) -> None:
        data["timing"].update(tick_ps=500, sample_ticks=4)
        data["qubits"]["q0"].update(pulse_ns=31.0)

    assert "qubits.q0.pulse_ns: 31 is not a whole multiple of 2 ns" in changed(change)


def test_tenths_of_nanoseconds_are_exact() -> None:
    # 0.3 / 0.1 is no whole number in floats.
    data = copy.deepcopy(DATA)
    data["timing"].update(tick_ps=100, sample_ticks=1, shot_period_ns=7000.3)
    assert config.parse(as_toml(data), "lab.toml").timing.shot_period_ns == 7000.3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("name = \n", "lab.toml:1:8: not valid TOML"),
        ('name = "a"\nname = "b"\n', "lab.toml:2:11: not valid TOML: Cannot overwrite a value"),
        ("[timing]\ntick_ps = 1\n[timing]\n", "lab.toml:3:"),
        ("x = " + "[" * 100_000, "lab.toml: not readable as TOML: nested too deeply"),
        ("", "instruments: missing"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, wanted: str) -> None:
    assert wanted in refusal(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mylab.toml").write_bytes(b'name = "a\xff"\n')
    for path, wanted in (
        (tmp_path / "mylab.tml", "no such lab file; did you mean"),
        (tmp_path / "none" / "lab.toml", "no such lab file; configs/demo.toml"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "mylab.toml", "mylab.toml:1: not UTF-8 text: byte 0xff at offset 9"),
    ):
        with pytest.raises(ConfigError, match=r".") as caught:
            config.load(path)
        assert wanted in str(caught.value)


def test_hash_names_the_content_and_not_the_writing() -> None:
    lab = config.parse(TEXT, "a")
    assert config.lab_hash(lab) == config.lab_hash(config.parse(as_toml(DATA), "b"))
    assert config.lab_hash(lab) != config.lab_hash(config.parse(replaced("pulse_ns = 30.0", "pulse_ns = 31.0"), "a"))


# ---- Against msgspec's own conversion, which knows nothing of our walk ---------------------------------------------------

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["virtual", "awg_q0", 1.0, 7, 1e9]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def paths(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the paths of all tables and values."""
    inner = (
        [found for key, value in data.items() for found in paths(value, (*path, key))] if isinstance(data, dict) else []
    )
    return ([path] if path else []) + inner


PATHS = paths(DATA)


@given(
    st.sampled_from(PATHS), st.sampled_from(["replace", "delete", "rename"]), VALUES, st.text(min_size=1, max_size=12)
)
def test_walk_refuses_all_that_msgspec_refuses_and_names_the_path(
    path: tuple[str, ...], how: str, value: Any, name: str
) -> None:
    data = copy.deepcopy(DATA)
    table = data
    for key in path[:-1]:
        table = table[key]
    if how == "replace":
        table[path[-1]] = value
    else:
        old = table.pop(path[-1])
        if how == "rename":
            table[name] = old
    problems = schema_problems(data, Lab)
    try:
        lab = msgspec.convert(data, Lab)
    except (msgspec.ValidationError, OverflowError):
        assert problems
    else:
        if not problems:
            assert msgspec.to_builtins(lab)["name"] == data["name"]
    for problem in problems:
        assert problem.path[: len(path) - 1] == path[:-1]


@given(st.integers(0, len(TEXT.splitlines()) - 1), st.sampled_from(["delete", "double", "cut", "digit"]), st.data())
def test_mutated_files_are_refused_with_a_place_or_mean_what_they_say(
    index: int, how: str, data: st.DataObject
) -> None:
    lines = TEXT.splitlines()
    line = lines[index]
    if how == "delete":
        del lines[index]
    elif how == "double":
        lines.insert(index, line)
    elif how == "cut":
        lines[index] = line[: data.draw(st.integers(0, len(line)))]
    else:
        position = data.draw(st.integers(0, max(len(line) - 1, 0)))
        lines[index] = line[:position] + data.draw(st.sampled_from("0195.-_e\"'=[]#xq")) + line[position + 1 :]
    text = "\n".join(lines)
    try:
        lab = config.parse(text, "lab.toml")
    except ConfigError as error:
        assert str(error).startswith("lab.toml")  # noqa: PT017 - the mutation may also be one that holds
        return
    means = msgspec.to_builtins(lab)
    assert_within(tomli.loads(text), means)


def assert_within(said: Any, means: Any) -> None:
    """Check that every value of the document is in the lab as it stands."""
    if isinstance(said, dict):
        for key, value in said.items():
            assert_within(value, means[key])
    else:
        assert said == means
        assert not isinstance(said, float) or math.isfinite(said)
