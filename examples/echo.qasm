// Echo: a Ramsey sequence with a half turn in the middle, which undoes what a frame beside the qubit has done before it.
//   qrt run examples/echo.qasm --lab configs/demo.toml --period-ns 300000 --input detuning_hz=100e3 \
//     --sweep 'half=linspace(0, 40us, 21)' --shots 500
// However large detuning_hz is, `c` does not oscillate: it rises from 0 to 1/2 as (1 - exp(-2 half / T2)) / 2.
OPENQASM 3;
include "stdgates.inc";

input duration half;
input float detuning_hz;

qubit q;
bit c;

sx q;
delay[half] q;
rz(2*pi*detuning_hz * (half/1s)) q;
x q;
delay[half] q;
rz(2*pi*detuning_hz * (half/1s)) q;
sx q;
c = measure q;
