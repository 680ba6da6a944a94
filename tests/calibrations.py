"""Whole calibrations of the reference lab, from its design values, and each number that they find beside the truth.

`LABS` are the devices behind the one lab file. Ten times the noise is a tenth of the readout's efficiency: the tones keep their photons,
and the white noise at the ADC has ten times the power over them. (Ten times its amplitude leaves clouds less than a sigma apart,
and is refused.) Nominal values 3 MHz off are those of qubits and of resonators, to opposite sides, the other way in every second seed.
Only where they are off are they looked for by spectroscopy, which takes half of such a calibration's time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from qrt.calibrate import rb
from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Finding, require_found, updated
from qrt.calibrate.order import ALL, BY_NAME, suiting, take
from qrt.calibrate.sequences import nominal
from qrt.loop import Loop
from qrt.types import Calibration
from tests.reference_calibration import Found, numbers, steps
from tests.reference_lab import QUBITS, lab_of

Device = dict[str, dict[str, float]]
NOMINAL_HZ: Final = {"q0": (4.95e9, 7.1e9), "q1": (5.25e9, 7.18e9)}


class Row(NamedTuple):
    """One number of one calibration."""

    qubit: str
    what: str
    value: float
    stderr: float
    truth: float

    @property
    def pull(self) -> float:
        return (self.value - self.truth) / self.stderr


def noisy(device: Device) -> Device:
    """Return the device with ten times the noise in its readout."""
    return {name: one | {"efficiency": one["efficiency"] / 10.0} for name, one in device.items()}


def off(device: Device, offset_hz: float) -> Device:
    """Return the device with its qubits so far above what the lab file says, and its resonators below."""
    return {
        name: one | {"frequency_hz": NOMINAL_HZ[name][0] + offset_hz, "resonator_hz": NOMINAL_HZ[name][1] - offset_hz}
        for name, one in device.items()
    }


class Behind(NamedTuple):
    """Two devices behind the lab file, for even and odd seeds, and what is calibrated."""

    even: Device
    odd: Device
    steps: tuple[str, ...]


NEAR: Final = tuple(step for step in ALL if not step.endswith("spectroscopy"))
LABS: Final = {
    "reference": Behind(QUBITS, QUBITS, NEAR),
    "noisy": Behind(noisy(QUBITS), noisy(QUBITS), NEAR),
    "off": Behind(off(QUBITS, -3e6), off(QUBITS, 3e6), ALL),
    "noisy and off": Behind(noisy(off(QUBITS, -3e6)), noisy(off(QUBITS, 3e6)), ALL),
}


def shorten() -> None:
    """Make this process's calibrations as quick as hundreds of seeds need them, where that costs nothing but longer error bars.

    Benchmarking has fewer and shorter sequences and fewer shots.
    """
    rb.LENGTH_MAX, rb.SEQUENCES, rb.SHOTS = 400, 3, 600  # type: ignore[misc]


def rows_of_lab(lab: str, seed: int) -> list[Row]:
    """Return what a seed of a lab of the proof finds."""
    behind = LABS[lab]
    return rows_of(behind.odd if seed % 2 else behind.even, seed, behind.steps)


def rows_of(device: Device, seed: int, names: tuple[str, ...]) -> list[Row]:
    """Calibrate the lab with this device by some steps, in turn, and return everything found that has a truth."""
    findings: dict[tuple[str, str], Finding] = {}
    with Loop(lab_of(7e3, device), seed) as loop:
        bench, known = Bench(loop.lab, loop.measure, lambda _: None, loop.measure_swept), nominal(loop.lab)
        for name in suiting(names, loop.lab):
            found = take(bench, known, BY_NAME[name])
            require_found(found)
            known = updated(known, found)
            findings |= {(name, qubit): of for qubit, of in found.items()}
    one = Found(device, Calibration("", 0, seed, known))
    return [row for qubit in device for row in _rows(one, qubit, findings)]


def _rows(one: Found, qubit: str, findings: dict[tuple[str, str], Finding]) -> list[Row]:
    rows = [Row(qubit, what, *three) for what, three in numbers(one, qubit).items()]
    for (step, what), truth in steps(one, qubit).items():
        if (step, qubit) in findings:
            found = findings[step, qubit].numbers[what]
            rows.append(Row(qubit, f"{step} {what}", found.value, found.stderr, truth))
    return rows
