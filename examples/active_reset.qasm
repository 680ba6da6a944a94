// Active reset: make a fair coin of a qubit, look, and flip it back if it is excited.
//
// `before` is 1 in about half of the shots; `after` is 1 only where the first outcome was wrong, the qubit decayed while the
// loop was thinking, or the second outcome is wrong. Run it:  qrt run examples/active_reset.qasm --lab configs/demo.toml
OPENQASM 3;
include "stdgates.inc";

qubit q;
bit before;
bit after;

h q;                  // level 0 and level 1, half each
before = measure q;   // 1 us of readout tone; then the photons leave
if (before) x q;      // decided in the loop, at one exact tick of the shot
after = measure q;
