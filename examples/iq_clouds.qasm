// Two clouds in the iq plane: what the readout makes of a qubit in level 0 and in level 1.
//   qrt run examples/iq_clouds.qasm --lab configs/demo.toml --period-ns 300000 --sweep 'level=values(0, 1)' --shots 5000
// In Python: clouds = qrt.run(...).iq["c"], with the axes level, shot, quadrature; the page draws them.
OPENQASM 3;
include "stdgates.inc";

input int level;

qubit q;
bit c;

if (level == 1) x q;  // decided by the sweep, not by an outcome: nothing waits
c = measure q;
