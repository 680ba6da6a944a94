"""Bell: whether cz does what it is for. h and cx make (|00> + |11>) / sqrt(2); its fidelity is (1 + <XX> - <YY> + <ZZ>) / 4.

Both qubits are turned so that X, Y or Z becomes what is measured, and each correlator is mitigated by the two assignment matrices: what
is left are the gates, and how well the shot began in level 0. The standard error holds the shots, and the matrices, whose errors are common
to all three correlators.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qrt.calibrate.bench import Bench, program_for
from qrt.calibrate.finding import Finding, Findings, Picture
from qrt.calibrate.partner import require_assigned
from qrt.calibrate.sequences import Qubits, capture_index
from qrt.types import Estimated, QubitCalibration

PROGRAM: Final = """OPENQASM 3.0; include "stdgates.inc"; qubit[QUBITS] q; bit[QUBITS] c;
h q; barrier q; cz q[0], q[1]; barrier q; h q[1]; {turn} barrier q; c = measure q;
"""
TURNS: Final = {"XX": "h q;", "YY": "sx q;", "ZZ": ""}  # what brings an axis to the readout's
SIGNS: Final = np.array([1.0, -1.0, 1.0])  # of the state's correlators
SHOTS: Final = 4000
FIDELITY_MIN: Final = 0.75  # half way from what any product of two states may have to a Bell state


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Make the state with every coupler's cz that is known, one after the other."""
    found: Findings = {}
    for name in bench.couplers:
        pair = {one: qubits[one] for one in bench.lab.couplers[name].qubits}
        require_assigned(f"{name}: bell", pair)
        correlators = []
        for turn in TURNS.values():
            pulses = bench.pulses(program_for(PROGRAM.format(turn=turn), len(pair)), pair, {}, None)
            rows = bench.measure(pulses, SHOTS).rows
            outcomes = rows["outcomes"][rows["flags"] == 0][
                :, [capture_index(pulses, "c", k) for k in range(len(pair))]
            ]
            correlators.append(correlator(outcomes, tuple(pair.values())))
        found[name] = analyse(name, correlators, matrices_error(tuple(pair.values())))
    return found


def correlator(outcomes: NDArray[Any], pair: tuple[QubitCalibration, ...]) -> Estimated:
    """Return the mean of the product of +1 for level 0 and -1 for level 1, as perfect readouts would give it; outcomes [shots, 2]."""
    product = np.ones(len(outcomes))
    for which, qubit in zip(outcomes.T, pair, strict=True):
        product = product * (np.array([1.0, -1.0]) @ np.linalg.inv(qubit.assignment))[which]
    return Estimated(float(product.mean()), float(product.std() / np.sqrt(len(product))))


def matrices_error(pair: tuple[QubitCalibration, ...]) -> float:
    """Return the relative error of every correlator of a Bell state, whose qubits are in either level equally often."""
    relative = 0.0
    for qubit in pair:
        contrast = 1.0 - qubit.assignment[1, 0] - qubit.assignment[0, 1]
        errors = np.hypot(qubit.assignment_stderr, qubit.preparation_stderr)
        relative = float(np.hypot(relative, np.hypot(errors[1, 0], errors[0, 1]) / contrast))
    return relative


def analyse(name: str, correlators: list[Estimated], relative: float) -> Finding:
    """Return the fidelity of the state whose <XX>, <YY>, <ZZ> these are, with a relative error that they have in common."""
    values, shots = (np.array([getattr(one, part) for one in correlators]) for part in ("value", "stderr"))
    errors, common = np.hypot(shots, values * relative), float(SIGNS @ values) * relative
    fidelity = Estimated(float((1.0 + SIGNS @ values) / 4.0), float(np.hypot(np.linalg.norm(shots), common) / 4.0))
    shown = ", ".join(f"<{axes}> {one.value:+.3f}" for axes, one in zip(TURNS, correlators, strict=True))
    text = f"fidelity {fidelity.value:.4f} +- {fidelity.stderr:.4f} ({shown})"
    axis = "0: <XX>, 1: <YY>, 2: <ZZ>; of a Bell state 1, -1, 1"
    none = np.zeros(0)  # nothing lies between the three, so no line goes through them
    picture = Picture(f"{name}: Bell state", axis, "correlator", np.arange(3.0), values, errors, none)
    bare = Finding(name, "Bell state", text, {"fidelity": fidelity}, {}, (picture,))
    if fidelity.value > FIDELITY_MIN:
        return bare
    advice = "calibrate cz, or train, ramsey and drag where single qubits are off"
    return bare._replace(problem=f"{name}: Bell state: {text}; above {FIDELITY_MIN} is needed: {advice}")
