"""A run looked at while it goes, and ended by its reader: batches, a loop that is left, Ctrl-C once and twice, what a notebook shows."""

import base64
import pickle
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import msgspec
import numpy as np
import pytest

from qrt.client import open_run
from qrt.errors import ConfigError, InstrumentError, ProgramError, RunError
from qrt.events import CalibrationStep, Playing, Progress
from qrt.live import stream
from qrt.replay import replay
from qrt.run import run
from qrt.store import bound_hash
from tests.short_programs import READ_TWICE, TURNED
from tests.test_report import read

MANY = 5_000_000  # shots that nobody waits for
WAIT_S = 60.0  # a bound for a machine that hangs, never reached


@pytest.fixture
def given(demo_lab, demo_calibration, tmp_path):
    """Return what a short run needs, beside its program and its shots."""
    more = {"inputs": {"theta": 1.0}, "seed": 1, "publish": False}
    return {"lab": demo_lab, "calibration": demo_calibration, "runs": tmp_path} | more


class Press:
    """Presses Ctrl-C at the first event of a kind, as often as told."""

    def __init__(self, wanted, count=1):
        self._wanted, self.count = wanted, count

    def __call__(self, event):
        if self._wanted(event) and self.count:
            self.count -= 1
            signal.raise_signal(signal.SIGINT)


def is_underway(event):
    return isinstance(event, Progress) and event.done > 0


# ---- Batches ----------------------------------------------------------------------------------------------------------------


def test_batches_are_the_run_in_pieces(given):
    told = []
    live = stream(TURNED, shots=2550, batch_shots=400, events=told.append, **given)
    batches = list(live)
    record = live.result.record
    assert [(one.index, one.first, one.end) for one in batches] == [
        (index, 400 * index, min(400 * index + 400, 2550)) for index in range(7)
    ]
    assert np.array_equal(np.concatenate([one.rows for one in batches]), record.rows)
    for one in batches:
        assert np.array_equal(one.bits["c"], record.bits["c"][one.first : one.end])
        assert np.array_equal(one.iq["c"].coords["shot"], np.arange(one.first, one.end))
        assert one.mean["c"].values == pytest.approx(record.bits["c"][one.first : one.end].mean())
        so_far = 1.0 - 2.0 * record.bits["c"][: one.end]
        assert one.estimates["Z(c)"].raw == pytest.approx(so_far.mean())
        assert one.raw["Z(c)"].values == one.estimates["Z(c)"].raw
        assert one.estimates["Z(c)"].shots == one.end
        assert one.sweep is None
    assert batches[-1].estimates["Z(c)"].value == pytest.approx(live.result.estimates["Z(c)"].value)
    assert repr(batches[1]) == "<batch 1: shots 400 to 799 of 2550>"
    assert not live.result.stopped
    assert any(isinstance(event, Playing) for event in told)


def test_without_a_size_batches_are_those_of_the_controllers(given):
    lab = msgspec.structs.replace(given["lab"], control=msgspec.structs.replace(given["lab"].control, batch_shots=90))
    assert [one.end for one in stream(READ_TWICE, shots=200, **given | {"lab": lab})] == [90, 180, 200]


def test_a_batch_is_durable_when_it_comes(given, tmp_path):
    for batch in stream(READ_TWICE, shots=3000, batch_shots=500, **given):
        (folder,) = [path for path in tmp_path.iterdir() if path.name != "calibrations"]
        record = open_run(folder)
        assert len(record.rows) >= batch.end
        assert np.array_equal(record.rows[batch.first : batch.end], batch.rows)


def test_a_sweep_so_far(given):
    live = stream(TURNED, sweep={"theta": [0.0, 1.5, 3.0]}, averages=60, batch_shots=45, **given | {"inputs": {}})
    seen = list(live)
    assert [one.end for one in seen] == [45, 90, 135, 180]
    for one in seen:
        assert one.mitigated["Z(c)"].dims == ("theta",)
        assert one.sweep.shots.tolist() == [one.end // 3] * 3
        assert one.bits["c"].coords["theta"].values.tolist() == [0.0, 1.5, 3.0] * 15
    assert np.allclose(seen[-1].mitigated["Z(c)"].values, live.result.mitigated["Z(c)"].values)
    assert np.allclose(seen[-1].mitigated["Z(c)"].stderr, live.result.mitigated["Z(c)"].stderr)


def test_the_points_of_a_generator_are_an_axis(given):
    def search():
        seen = yield {"theta": 0.25}
        while seen.values["theta"] < 3.0:
            seen = yield {"theta": seen.values["theta"] + 1.0}

    live = stream(TURNED, sweep=search, shots=50, batch_shots=100, period_ns=300e3, **given | {"inputs": {}})
    seen = list(live)
    assert [one.end for one in seen] == [100, 200]
    assert seen[0].bits["c"].coords["theta"].values.tolist() == [0.25] * 50 + [1.25] * 50
    assert seen[1].mitigated["Z(c)"].coords["theta"].values.tolist() == [0.25, 1.25, 2.25, 3.25]
    result = live.result
    assert result.bits["c"].dims == ("point", "shot")
    assert result.bits["c"].shape == (4, 50)
    assert result.mitigated["Z(c)"].coords["theta"].values.tolist() == [0.25, 1.25, 2.25, 3.25]
    assert np.allclose(
        result.mean["c"].values, [result.record.bits["c"][k * 50 : k * 50 + 50].mean() for k in range(4)]
    )
    assert "run-dot" in ET.tostring(pictures(result._repr_html_())[0][0], encoding="unicode")


def test_a_setting_has_its_unit_and_the_value_that_was_read_back(given):
    sweep = {"lo_q0.power_dbm": [9.0, 10.0], "theta": [0.0, 3.0]}
    result = run(TURNED, sweep=sweep, shots=40, averages=2, period_ns=300e3, **given | {"inputs": {}})
    iq = result.iq["c"]
    assert iq.dims == ("lo_q0.power_dbm", "theta", "average", "shot", "quadrature")
    assert (iq.coords["lo_q0.power_dbm"].unit, iq.coords["lo_q0.power_dbm"].values.tolist()) == ("dBm", [9.0, 10.0])
    rows = result.record.iq["c"].reshape(2, 2, 2, 40, 2)  # in time: leg, pass, theta, shot
    assert np.array_equal(iq.values, rows.transpose(0, 2, 1, 3, 4))
    assert np.array_equal(result.record.swept["theta"].reshape(2, 2, 2, 40)[1, 1, 1], np.full(40, 3.0))


def test_what_cannot_run_is_refused_at_once_and_what_fails_later_in_the_loop(given):
    with pytest.raises(ProgramError, match="batch_shots = 0"):
        stream(TURNED, shots=10, batch_shots=0, **given)
    with pytest.raises(ProgramError, match="input 'theta' has no value"):
        stream(TURNED, shots=10, **given | {"inputs": {}})
    with pytest.raises(ConfigError):
        stream(TURNED, shots=10, **given | {"lab": "absent.toml"})
    parameters = given["lab"].twin.parameters | {"faults": {"dig": {"absent": True}}}
    twin = msgspec.structs.replace(given["lab"].twin, parameters=parameters)
    lab = msgspec.structs.replace(given["lab"], twin=twin)
    calibration = msgspec.structs.replace(given["calibration"], lab_hash=bound_hash(lab))
    live = stream(TURNED, shots=10, **given | {"lab": lab, "calibration": calibration})
    with pytest.raises(InstrumentError, match="dig at"):
        list(live)
    with pytest.raises(InstrumentError, match="dig at"):
        _ = live.result


def test_a_stream_is_looped_over_once(given):
    live = stream(READ_TWICE, shots=10, **given)
    with pytest.raises(RunError, match="the run begins when the stream is looped over"):
        _ = live.result
    assert len(list(live)) == 1
    with pytest.raises(RunError, match="was looped over"):
        list(live)


# ---- A loop that is left ----------------------------------------------------------------------------------------------------


def test_a_loop_that_is_left_ends_the_run_and_keeps_everything(given):
    live = stream(TURNED, shots=MANY, batch_shots=300, **given)
    for batch in live:
        if batch.index == 3:
            break
    result = live.result
    assert result.stopped
    assert 1200 <= result.summary.shots < MANY
    assert result.record.cut == ""
    assert result.record.stop["exit_status"] == "abort"
    assert np.array_equal(result.record.rows[900:1200], batch.rows)
    assert result.estimates["Z(c)"].shots == result.summary.shots
    assert replay(result.folder).same
    assert "stopped before its last" in repr(result)
    assert threading.active_count() == 1


def test_an_error_in_the_loop_ends_the_run_too(given):
    live = stream(READ_TWICE, shots=MANY, batch_shots=300, **given)
    with pytest.raises(ZeroDivisionError):
        _ = [1 / (2 - batch.index) for batch in live]
    assert live.result.stopped
    assert live.result.record.cut == ""


# ---- Ctrl-C -----------------------------------------------------------------------------------------------------------------


def test_the_first_ctrl_c_ends_the_loop_after_what_was_played(given, capfd):
    live = stream(READ_TWICE, shots=MANY, batch_shots=300, **given)
    end = 0
    for batch in live:
        end = batch.end
        if batch.index == 2:
            signal.raise_signal(signal.SIGINT)
    assert live.result.stopped
    assert end == live.result.summary.shots == len(live.result.record.rows)
    assert "everything is kept; Ctrl-C again aborts" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_aborts(given, tmp_path):
    live = stream(READ_TWICE, shots=MANY, batch_shots=300, **given)

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"ed as asked after \d+ shots\n.* kept in"):
        _ = [twice() for _ in live]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    (folder,) = tmp_path.glob("2*")
    assert open_run(folder).cut == ""


def test_ctrl_c_in_a_run_returns_what_there_is(given):
    result = run(READ_TWICE, shots=MANY, events=Press(is_underway), **given)
    assert result.stopped
    assert 0 < result.summary.shots == len(result.bits["c"]) < MANY
    assert result.record.stop["reason"] == f"stopped as asked after {result.summary.shots} shots"
    assert result.record.cut == ""
    assert replay(result.folder).same


def test_a_sweep_that_was_stopped_has_the_points_it_came_to(given):
    sweep = {"theta": [0.0, 3.0]}
    result = run(TURNED, shots=MANY, sweep=sweep, events=Press(is_underway), **given | {"inputs": {}})
    assert result.sweep.shots.tolist() == [result.summary.shots, 0]
    assert result.mitigated["Z(c)"].values[0] > 0.8
    assert np.isnan(result.mitigated["Z(c)"].values[1])


def test_twice_aborts_a_run_and_says_where_it_is(given):
    with pytest.raises(KeyboardInterrupt, match=r"(stopped|aborted) as asked after \d+ shots\n.* kept in"):
        run(READ_TWICE, shots=MANY, events=Press(is_underway, 2), **given)


def test_before_the_first_shot_there_is_nothing_to_return(given, tmp_path):
    press = Press(lambda event: isinstance(event, CalibrationStep))
    with pytest.raises(KeyboardInterrupt, match="before the first shot"):
        run(READ_TWICE, shots=10, events=press, **given | {"calibration": None})
    assert not list(tmp_path.glob("2*"))


def test_a_handler_of_the_users_own_stays(given):
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        result = run(READ_TWICE, shots=2000, events=Press(is_underway), **given)
        batches = list(stream(READ_TWICE, shots=2000, events=Press(lambda event: isinstance(event, Progress)), **given))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(pressed) >= 1
    assert not result.stopped
    assert batches[-1].end == 2000


def test_in_a_thread_of_the_users_own_ctrl_c_is_left_alone(given):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(READ_TWICE, shots=500, **given)))
    thread.start()
    thread.join()
    assert found[0].summary.shots == 500


# ---- In a notebook ------------------------------------------------------------------------------------------------------------


LEFT_OPEN = """
import sys, pathlib, pickle, qrt
given = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
batches = iter(qrt.stream(sys.argv[2], shots=int(sys.argv[3]), batch_shots=100, **given))
print(next(batches).index)
"""


def test_a_program_that_ends_with_a_stream_open_ends_its_run(given, tmp_path):
    (file := tmp_path / "given").write_bytes(pickle.dumps(given))
    command = [sys.executable, "-c", LEFT_OPEN, str(file), TURNED, str(MANY)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "0\n", "")
    (folder,) = tmp_path.glob("*/journal")
    record = open_run(folder.parent)
    assert record.stop["exit_status"] == "abort"
    assert record.cut == ""
    assert 100 <= len(record.rows) < MANY


def pictures(html):
    """Return the drawings in a cell, each a whole XML document, and the text around them."""
    reader = read(html)
    assert set(reader.names) <= {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "img"}
    sources = [value for name, value in reader.attributes if name == "src"]
    drawn = [base64.b64decode(re.fullmatch(r"data:image/svg\+xml;base64,(.*)", one)[1]) for one in sources]
    return [ET.fromstring(one) for one in drawn], " ".join(reader.text)


def test_a_result_and_a_batch_are_shown_with_a_picture(given):
    live = stream(TURNED, shots=900, batch_shots=500, **given)
    shown = [batch._repr_html_() for batch in live] + [live.result._repr_html_()]
    for html, told in zip(shown, ("shots 0 to 499 of 900", "shots 500 to 899 of 900", "900 shots"), strict=True):
        (drawing,), text = pictures(html)
        assert told in text
        assert "Z(c)" in text
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        assert "into c" in "".join(drawing.itertext())
        assert ".level0" in "".join(drawing.itertext())  # its style is its own
    one = live.result.estimates["Z(c)"]
    assert f"{one.raw:+.4f}".replace("-", "−") in pictures(shown[-1])[1]


def test_a_sweep_is_shown_as_a_curve(given):
    result = run(TURNED, shots=30, sweep={"theta": [0.0, 1.0, 2.0, 3.0]}, period_ns=300e3, **given | {"inputs": {}})
    (drawing,), _ = pictures(result._repr_html_())
    dots = [one for one in drawing.iter() if one.get("class") == "run-dot"]
    assert len(dots) == 4
    heights = [float(dot.get("cy")) for dot in dots]
    assert heights == sorted(heights)  # cos falls, and y points down


def test_what_a_lab_is_called_becomes_no_markup(given):
    lab = msgspec.structs.replace(given["lab"], name="<script>alert(1)</script>")
    calibration = msgspec.structs.replace(given["calibration"], lab_hash=bound_hash(lab))
    html = run(READ_TWICE, shots=10, **given | {"lab": lab, "calibration": calibration})._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
