// A Bell state, looked at along two directions: <Z(seen[0]) Z(seen[1])> is cos(a - b), where either qubit alone shows nothing.
//   qrt calibrate all --lab configs/coupled.toml
//   qrt run examples/bell.qasm --lab configs/coupled.toml --calibration latest --period-ns 300000 --shots 4000 --sweep 'a=values(0, pi/2)' --sweep 'b=values(pi/4, 3*pi/4)'
// CHSH: E(0, pi/4) - E(0, 3pi/4) + E(pi/2, pi/4) + E(pi/2, 3pi/4) is 2 sqrt 2 here, and at most 2 where either outcome was settled beforehand.
OPENQASM 3;
include "stdgates.inc";

input float a;
input float b;

qubit[2] q;
bit[2] seen;

h q[0];
cx q[0], q[1];
ry(-a) q[0];  // the direction at angle a from Z towards X becomes Z
ry(-b) q[1];
seen = measure q;
