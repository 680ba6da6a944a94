// T1: excite the qubit, wait, and look how often it is still excited.
//   qrt run examples/t1.qasm --lab configs/demo.toml --period-ns 300000 --sweep 't=linspace(0, 120us, 25)' --shots 500
// The share of ones falls as exp(-t / T1) to what is excited by warmth alone.
OPENQASM 3;
include "stdgates.inc";

input duration t;

qubit q;
bit c;

x q;
delay[t] q;
c = measure q;
