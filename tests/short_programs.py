"""Programs that several tests play."""

TURNED = """OPENQASM 3;
input float theta;
qubit q;
bit c;
rx(theta) q;
c = measure q;
"""

# A bit that is read twice has no estimate, so that no batch process starts: for what is not about estimates.
READ_TWICE = TURNED + "c = measure q;\n"

REPEATED = """OPENQASM 3;
input float theta;
input duration t;
qubit q;
bit c;
rx(theta) q;
delay[t] q;
c = measure q;
if (c) x q;
c = measure q;
"""
