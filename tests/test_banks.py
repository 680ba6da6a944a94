"""Banks of integration weights: what a captured frame whose frequency or phase is swept makes the kernel hold, and what cannot be held."""

from pathlib import Path

import numpy as np
import pytest

from qrt import kernel
from qrt.compile import compile_pulses
from qrt.config import load
from qrt.errors import ProgramError
from qrt.grids import grid_of
from qrt.loop import limits_of
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.slots import bind
from qrt.sweeps import Reach
from qrt.templates import Asked, Templates

LAB = load(Path(__file__).parent.parent / "configs/demo.toml")
PROGRAM = """OPENQASM 3.0;
defcalgrammar "openpulse";
input float f;
input angle a;
cal {
    frame ear = newframe(digitizer, f, 0);
    frame fixed = newframe(digitizer, 7.1e9, 0);
    complex one = capture_v1(ear, 1us);
    complex other = capture_v1(fixed, 1us);
    shift_phase(ear, a);
    complex again = capture_v1(ear, 600ns);
}
"""


def asked(sweep, controlled=(), inputs=None):
    program = parse_program(PROGRAM, "p.qasm")
    grid = grid_of(sweep, program, inputs or {}, "point", 1) if sweep else None
    reach = Reach(program, grid, dict.fromkeys(controlled, (0.0, 1.0)))
    return Asked(program, inputs or {}, LAB, None, limits_of(LAB), reach)


def compiled(one):
    pulses = lower(one.program, LAB, None, one.inputs, one.reach.varied)
    return compile_pulses(pulses, LAB, one.limits, one.reach)


def test_a_bank_has_a_set_for_each_point_and_a_slot_that_counts_them():
    one = asked(
        {"f": "linspace(7.08e9, 7.1e9, 5)", "a": "values(0, 1)"}, inputs={}
    )  # one for each point of the product
    sequence = compiled(one)
    assert 10 in sequence.captures["bank_count"]
    slot = sequence.captures["weights_slot"][sequence.captures["bank_count"].tolist().index(10)]
    slots = kernel.sweep_slots(bind(sequence.parameters, one.reach).sweep, np.arange(10))
    assert slots[:, slot].tolist() == list(range(10))
    one = asked({("f", "a"): "zip(linspace(7.08e9, 7.1e9, 5), linspace(0, 1, 5))"})
    sequence = compiled(one)
    assert sequence.captures["bank_count"].tolist() == [5, 5, 1]  # sequencer by sequencer
    one_slot, again_slot, other_slot = sequence.captures["weights_slot"].tolist()
    assert other_slot == kernel.SLOT_NONE
    assert len(sequence.weights) == 5 * 2 * 1000 + 2 * 1000 + 5 * 2 * 600
    slots = kernel.sweep_slots(bind(sequence.parameters, one.reach).sweep, np.arange(5))
    assert slots[:, one_slot].tolist() == slots[:, again_slot].tolist() == [0, 1, 2, 3, 4]


def test_another_grid_compiles_nothing_and_has_weights_of_its_own():
    kept = Templates()
    sweeps = [
        {("f", "a"): f"zip(linspace(7.08e9, {last}, {count}), linspace(0, 1, {count}))"}
        for last, count in (("7.1e9", 5), ("7.11e9", 3))
    ]
    found = [kept.compiled(asked(sweep)) for sweep in (*sweeps, *sweeps)]
    assert [one.hit for one in found] == [False, True, True, True]
    for one, sweep in zip(found, (*sweeps, *sweeps), strict=True):
        fresh = compiled(asked(sweep))
        assert np.array_equal(one.sequence.weights, fresh.weights)
        assert np.array_equal(one.sequence.captures, fresh.captures)


@pytest.mark.parametrize(
    ("sweep", "controlled", "inputs", "words"),
    [
        (
            {"f": "linspace(7.08e9, 7.6e9, 5)"},
            (),
            {"a": 0.0},
            [
                "p.qasm:8:19",
                "+6e+08 Hz from its port's source",
                "less than 5e+08 Hz",
                "at f = 7600000000 (point 4 of 5)",
            ],
        ),
        (
            {"f": "linspace(7.08e9, 7.1e9, 40000)"},
            (),
            {"a": 0.0},
            ["p.qasm:8:19", "each point of (f): 40000 times 2000 numbers", "room for 67108864", "fewer points"],
        ),
        ({}, ("a",), {"f": 7.09e9}, ["p.qasm:11:21", "a are set by a controller", "integration weights"]),
    ],
)
def test_what_no_bank_can_hold_is_refused_at_its_place(sweep, controlled, inputs, words):
    with pytest.raises(ProgramError) as caught:
        compiled(asked(sweep, controlled, inputs))
    assert all(word in str(caught.value) for word in words), str(caught.value)
