"""`qrt calibrate`: by name, in order, stored under its hash, with a page; and each way in which it ends without one."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from qrt.__main__ import cli
from qrt.calibrate import heralds
from qrt.calibrate.finding import Finding, Picture
from qrt.calibrate.order import ALL, AUTOMATIC, BY_NAME
from qrt.report import CalibrationSheet, calibration, scan
from qrt.store import bound_hash, decode_calibration, load_calibration, save_calibration

EXAMPLE = "configs/demo.toml"


@pytest.fixture
def lab_file(request, tmp_path):
    return write_lab(request.config.rootpath, tmp_path)


def write_lab(root: Path, folder: Path, **changes: str) -> Path:
    """Return the demo lab in a file of its own, with lines `key = value` put in place of the first of the same key."""
    text = (root / EXAMPLE).read_text().replace('address = "tcp://127.0.0.1:5557"', 'address = "tcp://127.0.0.1:*"')
    for key, value in changes.items():
        text, count = re.subn(rf"^{key} = \S+", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
        assert count
    path = folder / "lab.toml"
    path.write_text(text)
    return path


def called(*arguments: object):
    """Return (exit status, everything printed)."""
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_named_calibrations_start_from_the_newest_and_are_stored(lab_file, tmp_path, demo_lab, demo_calibration):
    runs = tmp_path / "runs"
    old = save_calibration(runs, demo_calibration)
    status, text = called("calibrate", "t1", "ramsey", "--lab", lab_file, "--runs", runs, "--seed", 4, "--json")
    assert status == 0, text
    told = json.loads(text.splitlines()[-1])
    assert [(one["step"], one["qubit"]) for one in told["findings"]] == [
        ("t1", "q0"), ("t1", "q1"), ("ramsey", "q0"), ("ramsey", "q1"),
    ]  # fmt: skip
    new = load_calibration(runs, told["hash"], demo_lab, bound_hash(demo_lab))
    assert new.seed == 4
    for one in told["findings"]:
        numbers = {name: msgspec.to_builtins(getattr(new.qubits[one["qubit"]], name)) for name in one["numbers"]}
        assert one["numbers"] == numbers
    for name, qubit in new.qubits.items():
        was = demo_calibration.qubits[name]
        assert qubit.t1_s != was.t1_s
        assert qubit.sx_amplitude == was.sx_amplitude
        np.testing.assert_array_equal(qubit.weights, was.weights)
    assert decode_calibration(old.read_bytes(), "old").qubits.keys() == new.qubits.keys()
    page = Path(told["page"]).read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert f"stored as {told['hash']}" in page


def test_without_an_assignment_matrix_nothing_is_stored(lab_file, tmp_path):
    runs = tmp_path / "runs"
    status, text = called("calibrate", "rabi", "--lab", lab_file, "--runs", runs, "--seed", 4)
    assert status == 0
    assert "not stored: the readout of q0, q1 has no assignment matrix; calibrate assignment as well, or all" in text
    assert not list(runs.glob("calibrations/*.json"))
    assert re.search(r"\n   sequences compiled: \d+, kept from before: \d+\n", text)
    assert re.search(r"q0  sx at 0\.[34]\d+ \+- 0\.00\d+ of full scale", text)


def test_a_new_readout_makes_the_old_assignment_matrix_void(lab_file, tmp_path, demo_calibration):
    runs = tmp_path / "runs"
    save_calibration(runs, demo_calibration)
    status, text = called("calibrate", "tone", "--lab", lab_file, "--runs", runs, "--seed", 4)
    assert status == 0
    assert "not stored: the readout of q0, q1" in text
    assert len(list(runs.glob("calibrations/*.json"))) == 1


def test_a_scan_that_finds_nothing_ends_with_what_was_seen_and_the_page(request, tmp_path):
    lab = write_lab(request.config.rootpath, tmp_path, rabi_hz_per_v="0.001")
    runs = tmp_path / "runs"
    status, text = called("calibrate", "rabi", "t1", "--lab", lab, "--runs", runs, "--seed", 4)
    assert status == 4
    assert re.search(
        r"error: q0: Rabi scan of the drive amplitude: nothing changes over 41 points.*drive line 'drive_q0'", text
    )
    (page,) = runs.glob("calibrations/*.html")
    assert f"nothing is stored; the scans: {page}" in text
    written = page.read_text(encoding="utf-8")
    assert written.count("<svg") == 2
    assert "nothing changes over 41 points" in written
    assert "<h2>t1</h2>" not in written


def test_a_name_that_is_no_calibration_is_refused_before_anything_opens(lab_file, tmp_path):
    status, text = called("calibrate", "rabbi", "--lab", lab_file, "--runs", tmp_path / "runs")
    assert status == 2
    assert "'rabbi' is no calibration; did you mean rabi? Allowed: all, rabi, " in text
    assert not (tmp_path / "runs").exists()


def test_a_tone_that_the_twin_refuses_leaves_a_page_as_well(request, tmp_path):
    lab = write_lab(request.config.rootpath, tmp_path, amplitude="0.03")
    status, text = called("calibrate", "rabi", "--lab", lab, "--runs", tmp_path / "runs")
    assert status == 5
    assert "the twin refuses the readout tone of q0" in text
    assert "nothing is stored; the scans: " in text


def test_a_spectroscopys_tone_that_is_too_strong_is_told_with_qubit_and_step(request, tmp_path):
    lab = write_lab(request.config.rootpath, tmp_path, amplitude="0.49")
    status, text = called("calibrate", "resonator_spectroscopy", "--lab", lab, "--runs", tmp_path / "runs", "--seed", 3)
    assert status == 5
    assert "the twin refuses the readout tone of q0: " in text
    assert "raise `qubits.q0.readout.amplitude`" in text
    assert "lower them where the tone shall not measure" in text
    assert "while resonator_spectroscopy was calibrated" in text


def test_every_name_of_the_issue_is_one_and_help_lists_all():
    wanted = {
        "resonator_spectroscopy",
        "qubit_spectroscopy",
        "rabi",
        "ramsey",
        "t1",
        "echo",
        "drag",
        "readout",
        "assignment",
        "allxy",
        "rb",
        "cz",
    }
    assert wanted <= set(BY_NAME)
    assert set(ALL) | set(AUTOMATIC) == set(BY_NAME)
    _, text = called("calibrate", "--help")
    assert all(re.search(rf"\b{name}\b", text) for name in BY_NAME)


def test_files_of_calibrations_are_short(request):
    for name, step in BY_NAME.items():
        if name == "detuning":
            continue  # Ramsey's other scan
        path = request.config.rootpath / "qrt" / "calibrate" / f"{name}.py"
        assert step.find.__module__ == f"qrt.calibrate.{name}"
        assert len(path.read_text().splitlines()) <= 80, path


class Tags(HTMLParser):
    """Counts what is opened and closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text.append(text)


def test_the_page_draws_every_series_and_escapes_what_it_is_told():
    x = np.tile(np.linspace(0.0, 1.0, 5), 2)
    picture = Picture("<q0>: scan", "delay (us)", "signal", x, np.sin(x), np.full(10, 0.1), np.sin(x), series=2)
    bare = picture._replace(fitted=np.zeros(0), series=1)
    found = {
        "q0": Finding("q0", "scan", "T1 <b>", {}, {}, (picture, bare)),
        "q1": Finding("q1", "scan", "", {}, {}, (), "seen & lost"),
    }
    parser = Tags()
    page = calibration.page(CalibrationSheet("all", "lab", [("t1", found)], "stored", simulated=True))
    parser.feed(page)
    assert parser.open == []
    assert {"T1 <b>", "seen & lost", "<q0>: scan"} <= {text.strip() for text in parser.text}
    assert page.count("<circle") == 20
    assert page.count('class="curve"') == 2


def test_a_histogram_has_its_threshold_between_the_names_of_its_sides(rng):
    classes = tuple(np.rint(rng.normal(place, 30.0, 4000)).astype(int) for place in (-100.0, 300.0))
    picture = heralds.clouds("q0: readouts", classes, 100)
    assert picture.y[:60].sum() == pytest.approx(100.0)
    assert picture.x[:60] @ picture.y[:60] / 100.0 == pytest.approx(-0.5, abs=0.01)
    assert picture.x[60:] @ picture.y[60:] / 100.0 == pytest.approx(0.5, abs=0.01)
    drawn = str(scan.figure(picture))
    (at,) = re.findall(r'<line x1="([\d.]+)"[^>]*class="threshold"', drawn)
    names = {name: float(x) for x, name in re.findall(r'<text x="([\d.]+)"[^>]*>(no x|x)<', drawn)}
    assert names["no x"] < float(at) < names["x"]
    assert drawn.index('class="level0"') < drawn.index('class="level1"')


def test_a_scan_of_one_value_is_drawn(rng):
    one = Picture("q: scan", "x", "y", np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(0))
    page = calibration.page(
        CalibrationSheet("all", "lab", [("t1", {"q": Finding("q", "scan", "", {}, {}, (one,))})], "", simulated=False)
    )
    assert "NaN" not in page
    assert "nan" not in re.findall(r'c[xy]="([^"]*)"', page)
