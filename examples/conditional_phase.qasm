// A phase that depends on an outcome: qubit 1, on the equator, is turned about z by theta only where qubit 0 was found in level 1.
//   qrt run examples/conditional_phase.qasm --lab configs/demo.toml --period-ns 300000 --sweep 'theta=linspace(0, 2*pi, 21)' --shots 400
// <Z(look) Z(phase)> is -(1 - cos theta) / 2: with theta = pi qubit 1 tells what was seen of qubit 0.
OPENQASM 3;
include "stdgates.inc";

input float theta;

qubit[2] q;
bit look;
bit phase;

h q[0];
look = measure q[0];
sx q[1];
if (look) rz(theta) q[1];  // decided in the loop, without a pulse: only the frame of qubit 1 turns
sx q[1];
phase = measure q[1];
