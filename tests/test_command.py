"""The command: how it is called, how it ends, and what it writes; what a command does is tested where that lives."""

import json
import signal

import click
import numpy as np
import pytest
from click.testing import CliRunner

import qrt.errors
from qrt import documents
from qrt.__main__ import Commands, as_json, cli
from qrt.commands import demo, watch
from qrt.commands.check import SLACK_COLUMNS
from qrt.commands.interrupt import SIGNALS, Interrupt
from qrt.commands.screen import Screen, columns, estimate_rows, misses_line, printable
from qrt.publisher import Seen
from qrt.types import Estimate, StdErr
from qrt.wire import Header, Message

ERRORS = [
    kind for kind in vars(qrt.errors).values() if isinstance(kind, type) and issubclass(kind, qrt.errors.WorldError)
]


def call(*arguments: str, group: click.Group = cli):
    return CliRunner().invoke(group, list(arguments))


def failing(error: BaseException) -> click.Group:
    """Return a group with one command, `fail`, that raises."""
    group = Commands("qrt")

    @group.command()
    @as_json
    def fail(*, as_json: bool) -> None:
        raise error

    return group


@pytest.mark.parametrize("command", ["demo", "run", "check", "watch", "replay", "doctor"])
def test_every_command_has_help_and_json(command):
    answer = call(command, "--help")
    assert answer.exit_code == 0
    assert "--json" in answer.output


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_of_the_world_is_a_message_and_a_status(kind):
    answer = call("fail", group=failing(kind("x.toml: 'a' is not a number\nand more")))
    assert answer.exit_code == kind.exit_code
    assert answer.stderr == "error: x.toml: 'a' is not a number\nand more\n"
    assert answer.stdout == ""
    answer = call("fail", "--json", group=failing(kind("é")))
    assert answer.exit_code == kind.exit_code
    assert json.loads(answer.stdout) == {"error": {"message": "é", "exit_status": kind.exit_code}}


def test_an_interruption_says_where_things_are():
    stopped = KeyboardInterrupt()
    stopped.add_note("shots 0 to 7 are kept in runs/x")
    answer = call("fail", group=failing(stopped))
    assert answer.exit_code == 130
    assert answer.stderr == "error: interrupted\nshots 0 to 7 are kept in runs/x\n"


def test_our_own_error_keeps_its_traceback():
    answer = call("fail", group=failing(qrt.errors.BugError("impossible")))
    assert isinstance(answer.exception, qrt.errors.BugError)


def test_a_core_that_is_not_built_names_the_fix():
    error = ImportError("no such file", name="qrt._core")
    answer = call("fail", group=failing(error))
    assert answer.exit_code == 7
    assert "make venv" in answer.stderr
    assert answer.stderr.count("\n") == 1
    other = ImportError("x", name="somewhere")
    assert call("fail", group=failing(other)).exception is other


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "program.qasm", "--lab", "lab.toml", "--shots", "0"], "--shots"),
        (["run", "program.qasm"], "--lab"),
        (["run", "program.qasm", "--bogus"], "--bogus"),
        (["runn"], "runn"),
    ],
)
def test_a_wrong_option_is_an_object_too(arguments, said):
    for place in (1, len(arguments)):
        answer = call(*arguments[:place], "--json", *arguments[place:])
        assert answer.exit_code == 2
        assert said in json.loads(answer.stdout)["error"]["message"]


@pytest.mark.parametrize("text", ["theta", "theta=", "=1", "theta=one", "2=1", "theta=1=2", ""])
def test_an_input_is_a_name_and_a_number(text):
    answer = call("check", "program.qasm", "--lab", "lab.toml", "--input", text)
    assert answer.exit_code == 2
    assert "NAME=VALUE" in answer.stderr


def test_an_input_is_given_once():
    answer = call("check", "program.qasm", "--lab", "lab.toml", "--input", "a=1", "--input", "a=2")
    assert answer.exit_code == 2
    assert "twice" in answer.stderr


def test_the_doctor_writes_lines_and_one_object():
    lines = call("doctor").stdout.splitlines()
    assert all(line.split()[0] in {"ok", "warn", "fail", "fix:"} for line in lines)
    written = call("doctor", "--json").stdout
    assert written.count("\n") == 1
    found = json.loads(written)
    assert found["status"] in {"ok", "warn", "fail"}
    assert {"name", "status", "detail", "fix"} == set(found["checks"][0])


def test_watch_does_not_say_that_it_listens_where_it_cannot():
    answer = call("watch", "nowhere")
    assert answer.exit_code == qrt.errors.MachineError.exit_code
    assert answer.stdout == ""
    assert "nowhere: cannot be connected to" in answer.stderr


@pytest.mark.parametrize("number", SIGNALS)
def test_ctrl_c_and_its_kin_stop_then_abort_then_interrupt(number, capfd):
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert not interrupt.stop.is_set()
        signal.raise_signal(number)
        assert interrupt.stop.is_set()
        assert not interrupt.abort.is_set()
        signal.raise_signal(number)
        assert interrupt.abort.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert "kept" in capfd.readouterr().err


def test_misses_in_real_pacing_name_the_doctor():
    assert "`qrt doctor`" in misses_line(3, "real")
    assert misses_line(0, "real") == misses_line(3, "virtual") == ""


def test_columns_are_aligned_and_cells_are_kept():
    lines = columns(("a", "bb"), [("1", "2"), ("333", "4")])
    assert lines == ["a    bb", "1    2", "333  4"]
    assert columns((), []) == []


def test_an_answer_cannot_move_the_cursor():
    assert printable("QRT\x1b[2J,\r1") == "QRT�[2J,�1"


def test_estimates_show_every_error_term():
    estimate = Estimate("Z", 0.9, 0.95, StdErr(0.003, 0.004, 0.0, 0.0), None, 0.002)
    (row,) = estimate_rows([estimate])
    assert row == ("Z", "+0.9000 ± 0.0020", "+0.9500 ± 0.0050", "0.0030", "0.0040", "0.0000", "0.0000", "unknown")


def test_plain_progress_always_says_the_end(capsys):
    screen = Screen()
    for done in (0, 500, 1000):
        screen.progress("shots", done, 1000)
    assert capsys.readouterr().out.splitlines()[-1] == "   shots: 1 000 of 1 000"
    Screen(silent=True).progress("shots", 1, 1)
    assert capsys.readouterr().out == ""


def message(doc: str, body: dict, durable_shot: int = 8) -> Message:
    header = Header(doc=doc, seq=0, rec=1, run="uid", tick=0, t_ns=0, durable_shot=durable_shot)
    return Message(f"run/uid/control/{doc}", header, body)


@pytest.mark.parametrize("doc", list(documents.STREAM_OF))
def test_every_document_has_a_line_even_if_it_is_empty(doc):
    assert "\n" not in watch.describe(message(doc, {}))


def test_documents_are_told_in_a_line_and_as_json():
    estimate = Estimate("Z(c)", 0.9, 0.95, StdErr(0.003, 0.004, 0.0, 0.0), shots=4096)
    told = message("estimate", documents.estimate(estimate))
    assert watch.describe(told) == "Z(c) = +0.9500 ± 0.0050, from 4096 shots"
    page = message("event_page", {"data": {"shot": np.arange(4, 8)}})
    assert watch.describe(page) == "4 shots up to 7, durable up to 7"
    early = message("heartbeat", {"state": "running"}, durable_shot=0)
    assert watch.describe(early) == "running, nothing durable yet"
    assert json.loads(watch.as_object(Seen(page, 2)))["body"]["data"]["shot"] == [4, 5, 6, 7]
    assert json.loads(watch.as_object(Seen(None, 0, "not a message"))) == {"refusal": "not a message"}


def test_the_demo_finds_its_files_from_any_folder(tmp_path, monkeypatch, project):
    monkeypatch.chdir(tmp_path)
    assert demo.find(demo.LAB).samefile(project / demo.LAB)
    (tmp_path / "configs").mkdir()
    (tmp_path / demo.LAB).write_text("")
    assert demo.find(demo.LAB).samefile(tmp_path / demo.LAB)
    with pytest.raises(qrt.errors.ConfigError, match="clone"):
        demo.find("examples/absent.qasm")


def test_check_prints_every_event_with_its_line(project):
    arguments = ("check", str(project / demo.PROGRAM), "--lab", str(project / demo.LAB))
    lines = call(*arguments).stdout.splitlines()
    assert lines[0].split() == list(SLACK_COLUMNS)
    assert any("if (before) x q;" in line and " 200 " in line for line in lines)
    found = json.loads(call(*arguments, "--json").stdout)
    assert found["shot_ticks"] <= found["period_ticks"] == 7000
    ticks = [event["tick"] for event in found["events"]]
    assert ticks == sorted(ticks)
    assert all(event["line"] > 0 for event in found["events"])


@pytest.mark.parametrize("name", ["absent.qasm", "binary.qasm"])
def test_a_program_that_cannot_be_read_is_named(name, tmp_path, project):
    (tmp_path / "binary.qasm").write_bytes(b"\xff\xfe")
    answer = call("check", str(tmp_path / name), "--lab", str(project / demo.LAB))
    assert answer.exit_code == 2
    assert name in answer.stderr
    assert "OpenQASM 3 file" in answer.stderr


def test_a_folder_that_is_no_run_is_named(tmp_path):
    answer = call("replay", str(tmp_path), "--json")
    assert answer.exit_code == qrt.errors.RecordError.exit_code
    assert str(tmp_path) in json.loads(answer.stdout)["error"]["message"]


def test_the_last_estimate_before_the_stop_is_always_told(capsys):
    sparing = watch.Sparing()
    for shots in (1024, 2048, 3072):
        estimate = Estimate("Z(c)", 0.9, 0.95, StdErr(0.003, 0.004, 0.0, 0.0), shots=shots)
        sparing.write(message("estimate", documents.estimate(estimate)))
    sparing.write(message("stop", {"exit_status": "success", "reason": ""}))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["estimate", "estimate", "stop"]
    assert "1024" in lines[0]
    assert "3072" in lines[1]
