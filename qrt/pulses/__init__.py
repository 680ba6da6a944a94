"""Gates as pulses, and programs as blocks of them.

`gates` says what each gate of the set is on a qubit of the lab, with the calibration's numbers or the nominal ones; it is the one place
where a convention of signs or durations lives. `lowering` writes a program as one block of operations per qubit, with the syncs
that shared bits need. Ticks are not known here: the schedule finds them.
"""

from qrt.pulses.gates import GateSet
from qrt.pulses.lowering import lower

__all__ = ["GateSet", "lower"]
