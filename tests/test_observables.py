"""Which bits have an expectation value, and which do not and why."""

import pytest

from qrt.compile import compile_pulses
from qrt.loop import limits_of
from qrt.observables import observables_of, with_truth
from qrt.pulses import lower
from qrt.qasm import parse_program
from qrt.types import Estimate, StdErr, Truth

HEAD = 'OPENQASM 3; include "stdgates.inc"; qubit[2] q; bit a; bit b;\n'


@pytest.fixture(scope="module")
def limits(demo_lab):
    return limits_of(demo_lab)


@pytest.fixture
def observed(demo_lab, limits):
    """Return what can be observed of a program, given its statements."""

    def observe(text):
        pulses = lower(parse_program(HEAD + text, "p"), demo_lab, None, {})
        return observables_of(compile_pulses(pulses, demo_lab, limits))

    return observe


@pytest.mark.parametrize(
    ("text", "terms", "excluded"),
    [
        ("a = measure q[0];", ((0,),), {"b": "never measured"}),
        ("a = measure q[0]; b = measure q[1];", ((0,), (1,), (0, 1)), {}),
        ("a = measure q[0]; b = measure q[0];", ((0,), (1,)), {}),  # a jump ties the two: no product
        ("a = measure q[0]; a = measure q[0]; b = measure q[1];", ((1,),), {"a": "several times"}),
        ("a = measure q[0]; a = measure q[1];", (), {"a": "several qubits: q0, q1", "b": "never"}),
        ("a = measure q[0]; if (a) { b = measure q[1]; }", ((0,),), {"b": "only on some paths"}),
        ("a = measure q[0]; if (a) { b = measure q[0]; }", ((0,),), {"b": "only on some paths"}),
        ("a = measure q[0]; if (a) { b = measure q[0]; } else { b = measure q[0]; }", ((0,), (1,)), {}),
        ("a = measure q[0]; if (a) { x q[1]; } b = measure q[1];", ((0,), (1,), (0, 1)), {}),
        ("a = measure q[0]; if (a) { b = measure q[1]; } b = measure q[0];", ((0,),), {"b": "several qubits"}),
        ("reset q[0]; a = measure q[0]; b = measure q[1];", ((0,), (1,), (0, 1)), {}),
    ],
)
def test_bits_with_an_expectation_value(observed, text, terms, excluded):
    found = observed(text)
    assert found.terms == terms
    reasons = dict(reason.split(": ", 1) for reason in found.excluded)
    assert reasons.keys() == excluded.keys()
    for name, reason in excluded.items():
        assert reason in reasons[name]


def test_truth_stands_beside_what_the_plant_knows(observed):
    found = observed("a = measure q[0]; b = measure q[1];")
    assert found.product == {"q0": 0, "q1": 0}
    estimates = [Estimate(name, 0.0, 0.0, StdErr(0.1, 0.0, 0.0, 0.0)) for name in ("Z(a)", "Z(b)", "Z(a)*Z(b)")]
    told = with_truth(estimates, found, Truth({("q0", 0): 0.25}, {}))
    assert [one.truth for one in told] == [0.5, None, None]
    told = with_truth(estimates, found, Truth({("q0", 0): 0.25, ("q1", 0): 0.5}, {}, -0.75))
    assert [one.truth for one in told] == [0.5, 0.0, -0.75]
    assert observed("reset q[0]; a = measure q[0]; b = measure q[1];").product == {"q0": 1, "q1": 0}
    assert observed("a = measure q[0]; b = measure q[0];").product == {}
    assert with_truth(estimates, found, None) == tuple(estimates)
    assert with_truth((), found, Truth({}, {})) == ()
