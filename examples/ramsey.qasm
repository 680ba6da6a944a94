// Ramsey: two quarter turns with a wait between them show how far the frame is from the qubit, and how long the phase lasts (T2*).
//   qrt run examples/ramsey.qasm --lab configs/demo.toml --period-ns 300000 --input detuning_hz=100e3 \
//     --sweep 't=linspace(0, 40us, 41)' --shots 500
// `c` oscillates with t, detuning_hz times a second and whatever the frame is off, and its swing falls off as exp(-t / T2).
OPENQASM 3;
include "stdgates.inc";

input duration t;
input float detuning_hz;  // added to the frame, so that a fringe is seen and its direction tells the sign

qubit q;
bit c;

sx q;
delay[t] q;
rz(2*pi*detuning_hz * (t/1s)) q;
sx q;
c = measure q;
