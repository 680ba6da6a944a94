"""Shots longer than their period: judged with what they may be stretched by, and then played so, replayed, and told by the check."""

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.commands.check import check
from qrt.errors import ConfigError, ProgramError
from qrt.replay import replay
from qrt.run import run
from qrt.store import bound_hash
from qrt.timeline import event_slacks, schedule, survey
from qrt.types import Assign, Bits, Capture, Computed, Emit, If, Mailbox, Source, Variable, Wait
from tests.test_classical import LIMITS, hand, played
from tests.test_config import TEXT, refusal, replaced


def stretched(pulses, stretch_max):
    return msgspec.structs.replace(pulses, stretch_max=stretch_max)


def test_the_period_is_judged_with_its_stretch() -> None:
    pulses = stretched(hand(period=100, a=(Wait(250, Source(2, 1, "", "p")),)), 2)
    timeline = schedule(pulses, LIMITS)
    assert (timeline.shot_ticks, timeline.period_ticks, timeline.stretch_max) == (250, 100, 2)
    assert [(one.ticks, one.due) for one in event_slacks(timeline)] == [(50, "the period, stretched by 2 more")]
    (late,) = survey(stretched(pulses, 1), LIMITS).late
    assert (late.ticks, late.due) == (50, "the period of 100 ticks, stretched by 1 more")
    wanted = r"^p:2:1: the shot takes 250 ticks, 50 more than its period of 100 \(timing.shot_period_ns\) and the 1 by which it may be"
    with pytest.raises(ProgramError, match=wanted + r".*\(--stretch 2\)"):
        schedule(stretched(pulses, 1), LIMITS)


def test_repeat_until_success_takes_the_periods_that_it_needs() -> None:
    tries, count = 6, Variable(0)
    ops = ()
    for _ in range(tries):
        again = (Capture("w", 0), Wait(40), Assign(0, Computed("+", count, 1)))
        ops = (*again, If(Bits((0,)), ops, (Emit(0, count),), pad=False))
    pulses = stretched(hand(1, 1, period=100, a=ops), 2)
    wanted = [1, 4, 2, 5, 3, 1]
    outcomes = [level for count in wanted for level in [1] * (count - 1) + [0]]
    _, rows, _, sequence, _ = played(pulses, outcomes, len(wanted))
    assert sequence.stretch_max == 2
    assert rows["emitted"][:, 0].tolist() == wanted
    periods = [-(-40 * count // 100) for count in wanted]
    assert rows["tick"].tolist() == [100 * sum(periods[:k]) for k in range(len(wanted))]


PROGRAM = "OPENQASM 3;\nqubit q;\nbit c;\nc = measure q;\ndelay[1us] q;\n"


def test_a_run_of_stretched_shots_is_replayed_and_checked(demo_lab, demo_calibration, tmp_path) -> None:
    timing = msgspec.structs.replace(demo_lab.timing, shot_period_ns=1500.0, stretch_max=1)
    lab = msgspec.structs.replace(demo_lab, timing=timing)
    assert bound_hash(lab) == bound_hash(demo_lab)  # so that a calibration holds
    result = run(PROGRAM, lab=lab, calibration=demo_calibration, runs=tmp_path, shots=50, seed=1, publish=False)
    assert (np.diff(result.record.rows["tick"]) == 3000).all()
    assert replay(result.folder).same
    again = msgspec.structs.replace(lab, timing=msgspec.structs.replace(timing, stretch_max=0))
    with pytest.raises(ProgramError, match="1000 more than its period of 1500"):
        run(PROGRAM, lab=again, calibration=demo_calibration, runs=tmp_path, shots=50, seed=1, publish=False)


def test_the_check_says_by_how_much(tmp_path, capsys) -> None:
    (tmp_path / "p.qasm").write_text(PROGRAM)
    text = replaced("shot_period_ns = 7000.0", "shot_period_ns = 1500.0\nstretch_max = 1")
    (tmp_path / "lab.toml").write_text(text)
    found = check(str(tmp_path / "p.qasm"), str(tmp_path / "lab.toml"), {}, silent=False)
    assert (found["shot_ticks"], found["period_ticks"], found["stretch_max"], found["late"]) == (2500, 1500, 1, [])
    assert "period 1500 and up to 1 more (timing.stretch_max), 500 to spare" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("-1", "-1 is out of range; a whole number, at least 0 and at most 65536"),
        ("1.5", "1.5 is not a whole number"),
    ],
)
def test_a_stretch_that_is_no_count_is_refused(value, wanted) -> None:
    message = refusal(replaced("shot_period_ns", f"stretch_max = {value}\nshot_period_ns"))
    assert "timing.stretch_max" in message
    assert wanted in message


def test_what_the_kernel_or_a_mailbox_cannot_play_is_refused() -> None:
    lab = config.parse(TEXT, "lab.toml")

    def checked(**changes):
        timing = msgspec.structs.replace(lab.timing, stretch_max=1000, **changes)
        return config.checked(msgspec.structs.replace(lab, timing=timing), "lab")

    assert checked().timing.stretch_max == 1000
    with pytest.raises(
        ConfigError, match=r"timing.stretch_max: 1000 more periods are 1.001e\+15 ticks; a shot has at most 2\^48"
    ):
        checked(shot_period_ns=1e12)
    lab = msgspec.structs.replace(lab, mailbox=Mailbox())
    with pytest.raises(ConfigError, match=r"timing.stretch_max: 1000, but a mailbox plays its shots one period apart"):
        checked()
