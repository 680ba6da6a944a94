// A pulse of any angle, then any delay: a Rabi oscillation and a T1 decay in one program.
//   qrt run examples/rabi.qasm --lab configs/demo.toml --period-ns 300000 --input t=0 --sweep 'theta=linspace(0, pi, 41)' --shots 400
//   ... --input theta=3.14159 --sweep 't=linspace(0, 60us, 13)'
OPENQASM 3;
include "stdgates.inc";

input float theta;  // the amplitude of the one pulse is proportional to it
input duration t;

qubit q;
bit c;

rx(theta) q;
delay[t] q;
c = measure q;
