"""Programs of textbooks whose answer is known beforehand: the whole stack must find it, and the reference interpreter, too.

They feed many outcomes forward: the inverse Fourier transform with measurements in between (4 qubits, each turned by what those before it
gave), and phase estimation with one qubit (an angle whose bits are measured, and which turns the next attempt).
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


@pytest.mark.parametrize(("text", "qubits"), [(FOURIER, 4), (ESTIMATION, 2)], ids=["fourier", "estimation"])
def test_numbers_are_found(text, qubits):
    with Loop(ideal_lab(qubits), 314) as loop:
        for number in (0, 5, 11, 15):
            ((certain, probability),) = joint(openqasm3.parse(text), {"number": number}).items()
            assert probability == pytest.approx(1)
            assert sum(int(bit) << place for place, (_, bit) in enumerate(certain)) == number
            pulses = lower(parse_program(text, "book"), loop.lab, ideal_calibration(qubits), {"number": number})
            places = [pulses.bits.index(name) for name, _ in certain]
            rows = loop.measure(pulses, SHOTS).rows[1:]  # the first finds the lab as it was before
            seen = Counter(
                sum((int(bits) >> place & 1) << k for k, place in enumerate(places)) for bits in rows["bits"]
            )
            assert seen[number] > RIGHT_MIN * len(rows), seen
