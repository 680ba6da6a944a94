"""Controllers in a lab file and on the command line: what is read, and what is refused with its place."""

import msgspec
import pytest

from qrt.config import load, parse
from qrt.config.controlled import parse_controller, parse_controllers, with_controllers
from qrt.errors import ConfigError
from qrt.run import run
from qrt.store import bound_hash
from qrt.types import Control, Controller


@pytest.fixture
def lab_text(project, tmp_path):
    """Return a function from tables to the demo lab's text with them, and a law's file in `law.py`."""
    (tmp_path / "law.py").write_text("LAW = None\n")
    text = (project / "configs/demo.toml").read_text(encoding="utf-8")
    return lambda tables: text + tables.replace("LAW", str(tmp_path / "law.py"))


def test_a_lab_has_its_controllers_and_the_defaults_of_control(lab_text, tmp_path):
    lab = parse(
        lab_text("""
[control]
batch_shots = 200
[controllers.servo]
law = "LAW"
output = "amp"
bit = "c"
minimum = -1
parameters = { gain = 0.5 }
"""),
        "lab.toml",
    )
    expected = Controller(str(tmp_path / "law.py"), "amp", "c", minimum=-1.0, parameters={"gain": 0.5})
    assert lab.controllers == {"servo": expected}
    assert lab.control == Control(batch_shots=200)
    assert (lab.control.delay_batches, lab.control.policy, lab.control.restarts_max) == (1, "hold", 3)


WRONG = """
[control]
batch_shots = 0
delay_batches = -1
policy = "hope"
deadline_s = 0
[controllers.a]
law = "LAW"
output = "threshold.q7"
[controllers.b]
law = "LAW"
output = "amp"
minimum = 2
maximum = 1
[controllers.c]
law = "LAW"
output = "amp"
every = 0
[controllers.d]
law = "integrater"
output = "two words"
setpoint = 2
[controllers.e]
law = "nowhere.py"
"""


def test_every_problem_is_told_at_its_line(lab_text):
    with pytest.raises(ConfigError) as caught:
        parse(lab_text(WRONG), "lab.toml")
    text = str(caught.value)
    start = lab_text("").count("\n")
    for line, told in (
        (3, "control.batch_shots: 0 is out of range; a whole number, at least 1 and at most 65536"),
        (4, "control.delay_batches: -1 is out of range"),
        (5, "control.policy: 'hope' is not allowed; did you mean hold? Allowed: abort, hold"),
        (6, "control.deadline_s: 0 is out of range"),
        (18, "controllers.c.every: 0 is out of range"),
        (20, "controllers.d.law: 'integrater' is not installed; "),
        (22, "controllers.d.setpoint: 2 is out of range"),
        (24, "controllers.e.law: 'nowhere.py' is no file"),
    ):
        assert f"lab.toml:{start + line}: {told}" in text
    assert "controllers.e.output: missing" in text


def test_what_does_not_fit_between_controllers_and_lab_is_told(lab_text):
    sound = WRONG.replace("= 0", "= 1").replace("= -1", "= 1").replace("hope", "hold").replace("setpoint = 2", "")
    sound = sound.replace("integrater", "LAW").replace('law = "nowhere.py"', 'law = "LAW"\noutput = "threshold.q0"')
    with pytest.raises(ConfigError) as caught:
        parse(lab_text(sound), "lab.toml")
    text = str(caught.value)
    assert "controllers.a.output: 'q7' is not in [qubits]; " in text
    assert "controllers.b.minimum: 2 is above the maximum 1" in text
    assert "controllers.c.output: 'amp' is set by controller 'b' already" in text
    assert (
        "controllers.d.output: 'two words' is nothing that a controller sets; allowed: an input of the program, or "
        in text
    )
    assert "controllers.e" not in text


def test_the_command_line_writes_a_controller_in_one_word():
    name, one = parse_controller(
        "laws/my servo.py:output=amp,bit=c[0],setpoint=0.25,every=2,gain=-1e-3,fast=true,mode=a,n=3"
    )
    assert name == "my_servo"
    parameters = {"gain": -1e-3, "fast": True, "mode": "a", "n": 3}
    assert one == Controller("laws/my servo.py", "amp", "c[0]", 0.25, every=2, parameters=parameters)
    assert list(parse_controllers(["pi:output=a", "pi:output=b"])) == ["pi", "pi-2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pi", "output= is missing"),
        ("pi:gain=1", "output= is missing"),
        (":output=a", "no law is named"),
        ("pi:output=a,gain", "'gain' is not key=value"),
        ("pi:output=a,gain=", "'gain=' is not key=value"),
        ("pi:output=a,gain=1,gain=2", "'gain' is given twice"),
        ("pi:output=a,setpoint=high", "setpoint: 'high': Expected `float`, got `str`"),
        ("pi:output=a,every=0", "every: 0: Expected `int` >= 1"),
    ],
)
def test_what_is_no_controller_is_refused_with_the_form(text, told):
    with pytest.raises(ConfigError) as caught:
        parse_controller(text)
    assert str(caught.value).startswith(f"--controller {text!r}: {told}")
    assert "allowed: NAME:key=value,key=value, with the keys output, bit, setpoint, " in str(caught.value)


def test_a_calibration_belongs_to_the_lab_whatever_is_in_its_loop(project):
    lab = load(project / "configs/demo.toml")
    more = with_controllers(lab, {"a": Controller("pi", "amp")})
    more = msgspec.structs.replace(more, control=Control(batch_shots=7))
    assert bound_hash(more) == bound_hash(lab)


def test_controllers_of_a_run_are_checked_as_the_labs(feedback, demo_lab, tmp_path):
    with pytest.raises(
        ConfigError, match=r"with the run's options: .*\n.*controllers.a.law: 'nothing' is not installed"
    ):
        run(
            feedback,
            lab=demo_lab,
            shots=1,
            runs=tmp_path,
            publish=False,
            controllers={"a": Controller("nothing", "amp")},
        )


def test_check_proves_a_program_for_all_that_a_controller_may_set(project, tmp_path):
    """The amplitude that the schedule is checked with is the largest within the controller's bounds; no value need be given."""
    from qrt.commands.check import check

    table = '[controllers.servo]\nlaw = "integrator"\noutput = "theta"\nbit = "c"\nminimum = 0.0\nmaximum = 3.0\n'
    lab = tmp_path / "lab.toml"
    lab.write_text((project / "configs/demo.toml").read_text() + "\n" + table + "parameters = { gain = 0.5 }\n")
    told = check(str(project / "examples/rabi.qasm"), str(lab), {"t": 0.0}, silent=True)
    play = next(event for event in told["events"] if event["event"] == "play")
    assert play["operands"] == "q0.sx x 0..0.477463 (theta)"  # 3 rad of the nominal 0.25 for a quarter turn
