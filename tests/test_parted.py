"""Operands that follow a sweep and a controller at once are played as sums: the same shots as the parts written one after the other."""

from fractions import Fraction
from functools import partial

import msgspec
import numpy as np
import pytest

from qrt.errors import ProgramError
from qrt.image import from_image
from qrt.parted import parted
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.qasm.expressions import Duration, Exact
from qrt.replay import replay
from qrt.run import run
from qrt.sources import compiled_again
from qrt.types import Control, Controller

HEAD = 'OPENQASM 3;\ninclude "stdgates.inc";\ninput float a;\ninput float theta;\ninput duration t;\nqubit q;\nbit c;\n'
TOGETHER = "reset q;\nsx q;\nrz(2 * (a - theta) + 0.25) q;\nsx q;\nc = measure q;\n"
APART = "reset q;\nsx q;\nrz(2 * a + 0.25) q;\nrz(-2 * theta) q;\nsx q;\nc = measure q;\n"
W = 50


@pytest.fixture
def both(demo_lab, demo_calibration, tmp_path):
    """Return `qrt.run` of a program with a on an axis and a servo that sets theta."""
    lab = msgspec.structs.replace(demo_lab, control=Control(batch_shots=W))
    servo = Controller("integrator", "theta", "c", 0.5, 0.0, 1.0, parameters={"gain": -1.0})
    given = {"lab": lab, "calibration": demo_calibration, "runs": tmp_path, "shots": 2 * W, "seed": 1, "publish": False}
    given |= {"inputs": {"theta": 0.4, "t": 1e-6}, "controllers": {"servo": servo}, "sweep": {"a": "linspace(0, 1, 3)"}}
    return lambda body, **changes: partial(run, HEAD + body, **given)(**changes)


def test_a_sum_of_a_sweep_and_a_controller_is_what_its_parts_are_and_replays(both) -> None:
    together, apart = both(TOGETHER), both(APART)
    for name in ("bits", "iq", "epoch"):
        np.testing.assert_array_equal(together.record.rows[name], apart.record.rows[name])
    assert len(np.unique(together.record.rows["epoch"])) > 2
    assert replay(together.folder).same
    again = compiled_again(together.record).sequence.instructions
    assert again.tobytes() == from_image(together.record.image()).sequence.instructions.tobytes()
    pulse = both("reset q;\nrx((a + theta) / 2) q;\nc = measure q;\n")
    assert replay(pulse.folder).same


def test_a_product_of_both_is_refused_with_what_to_write(both) -> None:
    with pytest.raises(
        ProgramError, match=r"depends on a, swept, and on theta, which a controller sets: they can meet in a sum"
    ):
        both("rz(a * theta) q;\nc = measure q;\n")


def test_the_parts_of_an_operand_add_up_to_it_and_each_follows_one_kind(demo_lab) -> None:
    """Exactly, where its numbers are exact; `d` stands for a duration that a controller sets."""
    head = HEAD + "input duration d;\n"
    turns = "rx(-(theta - a / 2) / 3 + 0.1) q;\nrz(pi * (a + 2 * theta)) q;\n"
    body = turns + "delay[2 * (t + d) - 100ns] q;\nbox[t + d + 3us] { rx(a) q; rx(theta) q; }"
    program, varied = parse_program(head + body, "p.qasm"), ("a", "theta", "t", "d")
    whole = lower(program, demo_lab, None, {}, varied).blocks["q0"]
    found = parted(lower(program, demo_lab, None, {}, varied), {"theta", "d"}).blocks["q0"]
    values = {"a": Exact(Fraction(3, 7)), "theta": Exact(Fraction(-2, 5))}
    values |= {"t": Duration(Fraction(3, 10**6)), "d": Duration(Fraction(1, 10**6))}

    def at(*parts) -> float:
        return float(sum(part.word.at(values) for part in parts))

    turn, shift, first, second, box = found
    assert [[set(part.word.names) for part in (op.left, op.right)] for op in (turn.amplitude, shift.phase_rad)] == [
        [{"a"}, {"theta"}]
    ] * 2
    assert at(turn.amplitude.left, turn.amplitude.right) == pytest.approx(at(whole[0].amplitude), rel=1e-15)
    assert at(shift.phase_rad.left, shift.phase_rad.right) == pytest.approx(at(whole[1].phase_rad), rel=1e-15)
    assert [first.ticks.word.names, second.ticks.word.names] == [("t",), ("d",)]
    assert at(first.ticks, second.ticks) == at(whole[2].ticks) == 7900
    assert box == whole[3]  # no sum of ticks ends a box: refused, as it was
