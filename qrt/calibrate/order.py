"""The order of a calibration, and why it is this one.

1. Rabi with the nominal numbers. A pulse of tens of ns does not mind a MHz, and the mean iq moves although the tone is not the best yet.
2. The tone that tells the levels apart best, now that there is an x to make the other level.
3. Ramsey at short delays: the frequency, with its sign, or the refusal of a nominal one that is too far off.
4. Weights and threshold from raw captures. From here on neighbours on the feedline are invisible.
5. T1, which says how long the fine Ramsey may be and how long a shot must rest.
6. Fine amplitude, fine frequency and T2, then the errors of x by the gates as they are now.
7. The assignment matrix by reference shots with all of this fixed: what estimates rest on, and how often a qubit at rest is in level 1.
8. cz where couplers join qubits, which takes that into account.

That is what a run does when it has no calibration (`AUTOMATIC`). `ALL` looks for the resonator and the qubit first, raises the readout's
amplitude where that is needed, and proves the gates at the end. Nothing is taken from the twin: only what `measure` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from qrt.calibrate import (
    allxy,
    assignment,
    bell,
    cz,
    drag,
    echo,
    flips,
    qubit_spectroscopy,
    rabi,
    ramsey,
    rb,
    readout,
    resonator_spectroscopy,
    t1,
    tone,
    train,
    weights,
)
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Findings, Step, coupled, require_found, updated
from qrt.calibrate.sequences import DELAY_GRID_NS, Qubits, nominal
from qrt.config import lab_hash
from qrt.errors import CalibrationError, ProgramError, RunError
from qrt.sweeps import MeasureSwept
from qrt.types import Calibration, Lab, Measure

STEPS: Final = (
    Step("rabi", rabi.find),
    Step("tone", tone.find),
    Step("detuning", ramsey.coarse),
    Step("weights", weights.find),
    Step("t1", t1.find),
    Step("train", train.find),
    Step("ramsey", ramsey.find),
    Step("flips", flips.find),
    Step("assignment", assignment.find),
    Step("resonator_spectroscopy", resonator_spectroscopy.find),
    Step("qubit_spectroscopy", qubit_spectroscopy.find),
    Step("readout", readout.find),
    Step("echo", echo.find),
    Step("drag", drag.find),
    Step("allxy", allxy.find),
    Step("rb", rb.find),
    Step("cz", cz.find),
    Step("bell", bell.find),
)
BY_NAME: Final = {step.name: step for step in STEPS}
AUTOMATIC: Final = ("rabi", "tone", "detuning", "weights", "t1", "train", "ramsey", "flips", "assignment", "cz")
ALL: Final = (
    "resonator_spectroscopy",
    "qubit_spectroscopy",
    "rabi",
    "tone",
    "detuning",
    "readout",
    "t1",
    "train",
    "ramsey",
    "drag",
    "train",
    "flips",
    "assignment",
    "echo",
    "allxy",
    "rb",
    "cz",
    "bell",
)
BETWEEN_QUBITS: Final = frozenset({"cz", "bell"})

ADVICE: Final = (
    f"The pulses of a calibration follow from qubits.<name>: pulse_ns, readout.duration_ns, readout.depletion_ns (whole multiples of the "
    f"port's grid, which must divide {DELAY_GRID_NS:g} ns) and readout.amplitude (tones that play together add)"
)


def calibrate(
    lab: Lab,
    measure: Measure,
    seed: int,
    progress: Callable[[str], None] | None = None,
    swept: MeasureSwept | None = None,
) -> Calibration:
    """Return what the loop finds about every qubit of the lab.

    Args:
      lab: as configured; its nominal qubit frequencies may be off by 5 MHz, its tones by about one
      measure: runs pulses on the lab
      seed: of the session that `measure` belongs to, for the record
      progress: is called with one line per finding
      swept: runs pulses over a grid in one arm; without it every point is an arm

    Raises CalibrationError, with what was seen, at the first step that did not find what it looked for, or whose
    pulses the port cannot take.

    """
    bench = Bench(lab, measure, progress or _silent, swept)
    found = nominal(lab)
    for name in suiting(AUTOMATIC, lab):
        findings = take(bench, found, BY_NAME[name])
        require_found(findings)
        bench.tell(told(name, findings))
        found = updated(found, findings)
        bench = bench.knowing(coupled(bench.couplers, findings))
    return Calibration(lab_hash(lab), time.time_ns(), seed, found, dict(bench.couplers))


def suiting(names: Iterable[str], lab: Lab) -> list[str]:
    """Return the steps that this lab can take: without couplers, those on single qubits."""
    return [name for name in names if lab.couplers or name not in BETWEEN_QUBITS]


def take(bench: Bench, qubits: Qubits, step: Step) -> Findings:
    """Return what a step finds. CalibrationError for pulses that the port cannot take: the lab's numbers made them, no program.

    A loop that ended is told with the step that it played: the lines of its program are this package's.
    """
    try:
        return step.find(bench, qubits)
    except RunError as error:
        error.add_note(f"while {step.name} was calibrated")
        raise
    except ProgramError as error:
        raise CalibrationError(f"{step.name}: {error}. {ADVICE}") from error


def told(name: str, findings: Findings) -> str:
    """Return the findings of a step as a line."""
    return f"{name}: " + ", ".join(f"{one.qubit} {one.text}" for one in findings.values())


def _silent(_: str) -> None:
    """Tell nobody."""
