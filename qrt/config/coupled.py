"""What couplers must be: each on a line of its own, between two qubits that no other joins, under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator

from qrt.errors import Problem, nearest
from qrt.types import Lab


def coupler_problems(lab: Lab) -> Iterator[Problem]:
    """Yield names that are not there or taken, and lines and pairs in use twice."""
    used: dict[str, str] = {}
    for name, qubit in lab.qubits.items():
        used |= {qubit.drive_line: f"the drive line of {name!r}", qubit.readout_line: f"the readout line of {name!r}"}
    pairs: dict[frozenset[str], str] = {}
    for name, coupler in lab.couplers.items():
        path = ("couplers", name)
        if name in lab.qubits:
            yield Problem(path, f"{name!r} is the name of a qubit already")
        for qubit_name in coupler.qubits:
            if qubit_name not in lab.qubits:
                yield Problem(
                    (*path, "qubits"), f"{qubit_name!r} is not in [qubits]; {nearest(qubit_name, lab.qubits)}"
                )
        pair = frozenset(coupler.qubits)
        if len(pair) == 1:
            yield Problem((*path, "qubits"), f"{coupler.qubits[0]!r} twice; a coupler joins two qubits")
        elif pair in pairs:
            yield Problem((*path, "qubits"), f"{' and '.join(coupler.qubits)} are joined by {pairs[pair]!r} already")
        pairs.setdefault(pair, name)
        if coupler.line not in lab.lines:
            yield Problem(
                (*path, "line"), f"{coupler.line!r} is not in [lines]; {nearest(coupler.line, list(lab.lines))}"
            )
        elif coupler.line in used:
            yield Problem(
                (*path, "line"), f"{coupler.line!r} is {used[coupler.line]} already; a coupler has a line of its own"
            )
        used.setdefault(coupler.line, f"the line of coupler {name!r}")
