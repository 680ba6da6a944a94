"""Programs of textbooks whose answer is known beforehand: the whole stack must find it, and the reference interpreter, too.

They feed many outcomes forward: the inverse Fourier transform with measurements in between (4 qubits, each turned by what those before it
gave), and phase estimation with one qubit (an angle whose bits are measured, and which turns the next attempt). Others couple qubits: the
inverse Fourier transform as it stands in books, phase estimation by kickback, teleportation, and a rotation that is repeated until
it succeeded, behind two Toffoli gates.
"""

from collections import Counter

import openqasm3
import pytest

from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from tests.reference_ideal import ideal_calibration, ideal_lab
from tests.reference_interpreter import joint

SHOTS = 400
RIGHT_MIN = 0.99  # of four neighbouring tones each turns the others' qubits by a few hundredths

FOURIER = """OPENQASM 3.0;
include "stdgates.inc";
const int n = 4;
input int number;
qubit[n] q;
bit[n] found;
reset q;
h q;
for int i in [0 : n - 1] rz(2 * pi * number * 2 ** (n - 1 - i) / 16.0) q[i];  // the Fourier state of the number
for int i in [0 : n - 1] {
  for int j in [0 : i - 1] {
    if (found[j]) rz(-pi / 2 ** (i - j)) q[i];
  }
  h q[i];
  found[i] = measure q[i];
}
"""
ESTIMATION = """OPENQASM 3.0;
include "stdgates.inc";
const int n = 4;
input int number;
bit[n] found;
qubit q;
angle[n] known = 0;
for int i in [1 : n] {
  reset q;
  h q;
  p(2 * pi * number * 2 ** (n - i) / 16.0) q;  // the unknown gate, so many times
  known >>= 1;
  inv @ p(known) q;
  h q;
  measure q -> known[n - 1];
}
found = bit[n](known);
"""
COUPLED_FOURIER = """OPENQASM 3.0;
include "stdgates.inc";
input int number;
qubit[4] q;
bit[4] found;
gate transform a, b, c, d {
  h d; cp(pi / 2) c, d; cp(pi / 4) b, d; cp(pi / 8) a, d;
  h c; cp(pi / 2) b, c; cp(pi / 4) a, c;
  h b; cp(pi / 2) a, b;
  h a; swap a, d; swap b, c;
}
reset q;
for int i in [0 : 3] if ((number >> i) % 2 == 1) x q[i];
transform q[0], q[1], q[2], q[3];
barrier q;
inv @ transform q[0], q[1], q[2], q[3];
found = measure q;
"""
KICKBACK = """OPENQASM 3.0;
include "stdgates.inc";
const int n = 4;
input int number;
bit[n] found;
qubit q;
qubit r;
angle[n] known = 0;
uint[8] power = 8;
for int i in [1 : n] {
  reset q;
  reset r;
  x r;
  h q;
  ctrl @ pow(power) @ p(2 * pi * number / 16.0) q, r;  // r stands in the eigenstate, and q takes the phase
  power >>= 1;
  known >>= 1;
  inv @ p(known) q;
  h q;
  measure q -> known[n - 1];
}
found = bit[n](known);
"""


@pytest.mark.parametrize(
    ("text", "qubits", "coupled"),
    [(FOURIER, 4, False), (ESTIMATION, 2, False), (COUPLED_FOURIER, 4, True), (KICKBACK, 2, True)],
    ids=["fourier", "estimation", "coupled fourier", "kickback"],
)
def test_numbers_are_found(text, qubits, coupled):
    with Loop(ideal_lab(qubits, coupled=coupled), 314) as loop:
        for number in (0, 5, 11, 15):
            ((certain, probability),) = joint(openqasm3.parse(text), {"number": number}).items()
            assert probability == pytest.approx(1)
            assert sum(int(bit) << place for place, (_, bit) in enumerate(certain)) == number
            pulses = lower(
                parse_program(text, "book"), loop.lab, ideal_calibration(qubits, coupled=coupled), {"number": number}
            )
            places = [pulses.bits.index(name) for name, _ in certain]
            rows = loop.measure(pulses, SHOTS).rows[1:]  # the first finds the lab as it was before
            seen = Counter(
                sum((int(bits) >> place & 1) << k for k, place in enumerate(places)) for bits in rows["bits"]
            )
            assert seen[number] > RIGHT_MIN * len(rows), seen


TELEPORT = """OPENQASM 3.0;
include "stdgates.inc";
qubit[3] q;
bit[2] seen;
bit wrong;
reset q;
U(0.7, 0.4, 1.1) q[0];
h q[1];
cx q[1], q[2];
cx q[0], q[1];
h q[0];
seen = measure q[0:1];
if (seen[1]) x q[2];
if (seen[0]) z q[2];
inv @ U(0.7, 0.4, 1.1) q[2];
wrong = measure q[2];
"""
REPEATED = """OPENQASM 3.0;
include "stdgates.inc";
def segment(qubit[2] helpers, qubit target) -> bit[2] {
  reset helpers;
  h helpers;
  ccx helpers[0], helpers[1], target;
  s target;
  ccx helpers[0], helpers[1], target;
  z target;
  h helpers;
  return measure helpers;
}
qubit target;
qubit[2] helpers;
bit[2] flags = "11";
bit wrong = 0;
bit read;
uint[4] tries = 0;
reset target;
h target;
while (flags != "00" && tries < 4) {
  tries += 1;
  flags = segment(helpers, target);
}
rz(pi - arccos(3 / 5.0)) target;
h target;
read = measure target;
if (flags == "00") wrong = read;
"""


@pytest.mark.parametrize("text", [TELEPORT, REPEATED], ids=["teleport", "repeated"])
def test_states_arrive_as_they_were(text):
    """Nothing is wrong, whatever was seen on the way, by the interpreter; and but for a few shots on the lab."""
    expected = joint(openqasm3.parse(text))
    assert sum(dict(said)["wrong"] * probability for said, probability in expected.items()) == pytest.approx(
        0, abs=1e-9
    )
    assert len(expected) >= 4
    with Loop(ideal_lab(3, coupled=True), 315) as loop:
        pulses = lower(parse_program(text, "book"), loop.lab, ideal_calibration(3, coupled=True), {})
        rows = loop.measure(pulses, SHOTS).rows[1:]
        wrong = rows["bits"] >> pulses.bits.index("wrong") & 1
        assert wrong.mean() < 1 - RIGHT_MIN + 0.02, wrong.mean()
