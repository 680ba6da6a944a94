"""Calibrations of cz, from gates known on paper, and each number that they find beside the truth of what was then played."""

from __future__ import annotations

from math import pi, tau

import msgspec
import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Findings, coupled, require_found, updated
from qrt.calibrate.order import BY_NAME, take
from qrt.loop import Loop
from qrt.types import Calibration, Lab
from tests.calibrations import Row
from tests.reference_coupled import COUPLER, CoupledPaper, coupled_lab_of, full_scale
from tests.reference_lab import Paper, calibration_of

STEPS = ("weights", "flips", "assignment", "cz", "bell")


def found_by(lab: Lab, seed: int, steps: tuple[str, ...] = STEPS) -> tuple[Calibration, Findings]:
    """Return what the steps find, beginning with the gates as on paper, and the findings of couplers by step."""
    known, findings = calibration_of(Paper("q0"), Paper("q1")), {}
    with Loop(lab, seed) as loop:
        bench = Bench(lab, loop.measure, lambda _: None, loop.measure_swept)
        for name in steps:
            found = take(bench.knowing(known.couplers), known.qubits, BY_NAME[name])
            require_found(found)
            findings.update((name, of) for one, of in found.items() if one in lab.couplers)
            now = {"qubits": updated(known.qubits, found), "couplers": coupled(known.couplers, found)}
            known = msgspec.structs.replace(known, **now)
    return known, findings


def rows_of_seed(seed: int) -> list[Row]:
    """Return everything that a seed finds of the coupler, beside the truth."""
    known, findings = found_by(coupled_lab_of(), seed)
    one, (more, alone) = known.couplers["q0_q1"], full_scale(COUPLER)
    power = (round(one.cz_amplitude.value * 65536) / 65536) ** 2
    pairs = {
        "cz amplitude": (one.cz_amplitude, (pi / abs(more)) ** 0.5),
        "conditional phase": (one.conditional_rad, abs(more) * power - pi),
        **{
            f"turn of {name}": (turn, turned(turn.value, -phase * power))
            for name, turn, phase in zip(("q0", "q1"), one.rz_rad, alone, strict=True)
        },
    }
    truths = CoupledPaper(known).bell()
    state = findings["bell"]
    pairs["Bell fidelity"] = (state.numbers["fidelity"], (1.0 + truths[0] - truths[1] + truths[2]) / 4.0)
    (picture,) = state.pictures
    rows = [Row("q0_q1", what, found.value, found.stderr, truth) for what, (found, truth) in pairs.items()]
    of = zip(("<XX>", "<YY>", "<ZZ>"), picture.y, picture.bars, truths, strict=True)
    return [*rows, *(Row("q0_q1", what, *numbers) for what, *numbers in of)]


def turned(near: float, angle: float) -> float:
    """Return the angle, of all that differ by whole turns, next to another."""
    return near + float(np.remainder(angle - near + pi, tau)) - pi
