"""The order of a calibration, and why it is this one.

1. Rabi with the nominal numbers. A pulse of tens of ns does not mind a MHz, and the mean iq moves although the tone is not the best yet.
2. The tone that tells the levels apart best, now that there is an x to make the other level.
3. Ramsey at short delays: the frequency, with its sign, or the refusal of a nominal one that is too far off.
4. Weights and threshold from raw captures. From here on neighbours on the feedline are invisible.
5. T1, which says how long the fine Ramsey may be and how long a shot must rest.
6. Fine amplitude, fine frequency and T2, then the errors of x by the gates as they are now.
7. The assignment matrix by reference shots with all of this fixed. It comes last since it is what estimates rest on.

About 200 arms and 200 000 shots for two qubits. Nothing is taken from the twin: only what `measure` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from qrt.calibrate.references import assignments, weights_and_threshold
from qrt.calibrate.sequences import DELAY_GRID_NS, nominal
from qrt.calibrate.signals import Bench
from qrt.calibrate.steps import (
    Found,
    fine_amplitude,
    fine_frequency,
    frequency,
    rabi_amplitude,
    readout_tone,
    relaxation,
    x_errors,
)
from qrt.config import lab_hash
from qrt.errors import CalibrationError, ProgramError
from qrt.types import Calibration, Lab, Measure

STEPS: tuple[Callable[[Bench, Found], Found], ...] = (
    rabi_amplitude,
    readout_tone,
    frequency,
    weights_and_threshold,
    relaxation,
    fine_amplitude,
    fine_frequency,
    x_errors,
    assignments,
)

ADVICE: Final = (
    f"The pulses of a calibration follow from qubits.<name>: pulse_ns, readout.duration_ns, readout.depletion_ns (whole multiples of the "
    f"port's grid, which must divide {DELAY_GRID_NS:g} ns) and readout.amplitude (tones that play together add)"
)


def calibrate(lab: Lab, measure: Measure, seed: int, progress: Callable[[str], None] | None = None) -> Calibration:
    """Return what the loop finds about every qubit of the lab.

    Args:
      lab: as configured; its nominal qubit frequencies may be off by 5 MHz, its tones by about one
      measure: runs pulses on the lab
      seed: of the session that `measure` belongs to, for the record
      progress: is called with one line per finding

    Raises CalibrationError, with what was seen, at the first step that did not find what it looked for, or whose
    pulses the port cannot take.

    """
    bench = Bench(lab, measure, progress or _silent)
    found = nominal(lab)
    for step in STEPS:
        try:
            found = step(bench, found)
        except (
            ProgramError
        ) as error:  # pulses that the port cannot take, and of no program: the lab's numbers made them
            raise CalibrationError(f"{step.__name__}: {error}. {ADVICE}") from error
    return Calibration(lab_hash=lab_hash(lab), taken_ns=time.time_ns(), seed=seed, qubits=found)


def _silent(_: str) -> None:
    """Tell nobody."""
