// Follow a qubit that drifts: a Ramsey sequence in quadrature, whose second pulse a controller turns with the qubit.
//   qrt run examples/track_frequency.qasm --lab configs/demo.toml --shots 20000 --period-ns 300000 --input detuning_hz=4000
//     --controller frequency_tracker:output=detuning_hz,bit=c,setpoint=0.494,delay_s=20e-6,visibility=0.57,drift_hz=200
// (one line). The frame begins 4 kHz beside the qubit; the controller finds it within a few batches of 1000 shots and stays. `c` is then 1 in
// about half of the shots. For a qubit that moves, give the simulated one `frequency_walk_hz_per_root_s = 500.0` in [twin.parameters.qubits.q0].
//
// setpoint and visibility are the middle and the height of the fringe: sweep detuning_hz over +-25 kHz to see it. T2 and the readout make them.
OPENQASM 3;
include "stdgates.inc";

input float detuning_hz;  // of the frame against the calibrated frequency

qubit q;
bit c;

sx q;
delay[19963ns] q;                          // 20 us between the pulses, with what counts of their 30 ns
rz(-pi/2 - 2*pi*20e-6*detuning_hz) q;      // a quarter turn, so that the slope is steepest, and what the frame makes up in 20 us
sx q;
c = measure q;
