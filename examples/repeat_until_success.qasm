// Repeat until success: make a fair coin of a qubit and look, again and again, until it is found in level 0.
//   qrt run examples/repeat_until_success.qasm --lab configs/demo.toml --period-ns 40000 --shots 10000
// `tries` says for every shot how often it looked: k times in (1/2)^k of them, about.
OPENQASM 3;
include "stdgates.inc";

output int[8] tries;

qubit q;
bit found = "1";

tries = 0;
while (found == 1 && tries < 10) {
  h q;
  found = measure q;
  tries += 1;
}
