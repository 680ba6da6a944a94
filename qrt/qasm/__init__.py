"""OpenQASM 3: text to a `Program`, and a program with values of its inputs to statements that a lab can execute.

The text is read by the standard's own parser (package openqasm3), so that there is no second grammar. `grammar` reads files,
runs it and turns what it refuses into `file:line:column:`; `reading` makes a `Program` of the tree; `elaborate` executes the classical
language as far as it is known and leaves `program`'s statements, with registers resolved to indices; `expressions` evaluates angles and
durations exactly. What a qubit of the program is in the lab, and what a gate is in pulses, is decided in `qrt.pulses`.
"""

from qrt.qasm.elaborate import elaborate
from qrt.qasm.grammar import read_program
from qrt.qasm.program import Elaborated, Program
from qrt.qasm.reading import parse_program, program_of

__all__ = ["Elaborated", "Program", "elaborate", "parse_program", "program_of", "read_program"]
