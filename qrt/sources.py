"""What a recorded run was compiled from, and what that compiles to: the sequence, its slots, and what controllers begin with."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from qrt.client import Run
from qrt.compile import compile_pulses
from qrt.controlling import begin_with, bound_to, reach_of
from qrt.errors import RecordError
from qrt.legs import leg_at
from qrt.loop import limits_of
from qrt.parted import lower_along
from qrt.pulses.externs import with_files
from qrt.qasm import parse_program
from qrt.slots import Bound
from qrt.store import decode_calibration
from qrt.types import Calibration, Lab, Sequence


class Compiled(NamedTuple):
    """A run's sources and what they compile to."""

    lab: Lab
    calibration: Calibration
    values: dict[str, float]  # of the controlled outputs, before the first update
    sequence: Sequence
    bound: Bound


def recorded_lab(run: Run) -> Lab:
    """Return the lab of a run, with the run's own options in it, and the functions for its program from the folder's files.

    RecordError for a lab of another version.
    """
    try:
        lab = msgspec.json.decode(run.file("lab.json"), type=Lab)
    except msgspec.MsgspecError as error:
        raise RecordError(f"{run.path / 'lab.json'}: a lab of another version: {error}") from error
    kept = (run.start or {}).get("externs", ())
    return with_files(lab, {one["function"]: run.path / one["file"] for one in kept if one["function"] in lab.externs})


def compiled_again(run: Run, shot: int = 0) -> Compiled:
    """Return what the program, lab and calibration in a run's folder compile to, for its inputs and its sweep, in the leg of a shot.

    A WorldError where one of them is not there, not the one on record, or does not compile any more.
    """
    lab, start = recorded_lab(run), run.start or {}
    calibration = decode_calibration(run.file("calibration.json"), str(run.path / "calibration.json"))
    program = parse_program(run.file("program.qasm").decode(), str(run.path / "program.qasm"))
    inputs = start.get("inputs", {})
    legs = run.legs
    reach = reach_of(lab, program, leg_at(legs, shot).grid if legs else None)
    rounded: list[str] | None = [] if start.get("round") else None
    pulses = lower_along(program, lab, calibration, inputs, reach, rounded=rounded)
    values = begin_with(lab, inputs, calibration)
    return Compiled(
        lab, calibration, values, *bound_to(lab, compile_pulses(pulses, lab, limits_of(lab), reach), reach, values)
    )
