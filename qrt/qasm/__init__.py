"""OpenQASM 3 text to a `Program`: the part of the language that the lab can execute, and a located error for the rest.

The text is read by the standard's own parser (package openqasm3), so that there is no second grammar. `grammar` reads files,
runs it and turns what it refuses into `file:line:column:`; `reader` walks the standard's syntax tree into `program`'s statements, with
registers resolved to indices and conditions to bits and values; `expressions` evaluates angles and durations exactly. What
a qubit of the program is in the lab, and what a gate is in pulses, is decided in `qrt.pulses`.
"""

from qrt.qasm.grammar import read_program
from qrt.qasm.program import Program
from qrt.qasm.reader import parse_program

__all__ = ["Program", "parse_program", "read_program"]
