"""The calibration store: immutable JSON files, each named by the SHA-256 of its bytes.

A calibration is written once and never changed; a run names the hash of the one it used, and carries a copy. Loading checks the bytes
against the name, the arrays against their shapes, and refuses a number that is not finite; using one checks that again, and that it
belongs to the lab. JSON, so that a person can read it.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from qrt.config import lab_hash
from qrt.errors import CalibrationError, MachineError
from qrt.types import Calibration, Control, Lab, Stream, Timing

FOLDER = "calibrations"
SUFFIX = ".json"


def encode_calibration(calibration: Calibration) -> bytes:
    """Return the one byte string that stands for this calibration: JSON with sorted keys."""
    return msgspec.json.format(msgspec.json.encode(calibration, enc_hook=_encode_array, order="sorted"), indent=1)


def decode_calibration(data: bytes, where: str) -> Calibration:
    """Return the calibration; CalibrationError names `where` and what does not hold."""
    try:
        calibration = msgspec.json.decode(data, type=Calibration, dec_hook=_decode_array)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CalibrationError(f"{where}: not a calibration of this version: {error}; take a new one") from error
    for problem in _problems(calibration):
        raise CalibrationError(f"{where}: {problem}; take a new one")
    return calibration


def check_calibration(calibration: Calibration, lab: Lab, bound: str, where: str) -> None:
    """Raise CalibrationError unless the calibration holds, belongs to this lab (`bound_hash`) and has all its qubits."""
    problems = list(_problems(calibration))
    if missing := sorted(lab.qubits.keys() - calibration.qubits.keys()):
        problems.append(f"has no {', '.join(missing)}")
    if calibration.lab_hash != bound:
        problems.append(f"taken on another lab (hash {calibration.lab_hash[:12]}, this lab {bound[:12]})")
    if problems:
        raise CalibrationError(f"{where}: {problems[0]}; leave --calibration out to take a new one")


RUN_TIMING: Final = ("shot_period_ns", "pacing", "late_tolerance_ns", "late_policy", "late_port_policy", "stretch_max")


def bound_hash(lab: Lab) -> str:
    """Return what a calibration belongs to: the hash of the lab without what says where results go and how runs are played."""
    timing = msgspec.structs.replace(
        lab.timing,
        **{name: getattr(Timing(), name) for name in RUN_TIMING},
    )
    changes = {
        "timing": timing,
        "stream": Stream(),
        "runs": "",
        "mailbox": None,
        "controllers": {},
        "control": Control(),
        "externs": {},
    }
    return lab_hash(msgspec.structs.replace(lab, **changes))


def _problems(calibration: Calibration) -> Iterator[str]:
    """Yield what no calibration may hold: arrays of other shapes or kinds, numbers that are not finite or no probabilities."""
    for name, qubit in calibration.qubits.items():
        samples = qubit.weights.shape[-1] if qubit.weights.ndim else 0
        shapes = {
            "weights": (2, samples),
            "assignment": (2, 2),
            "assignment_stderr": (2, 2),
            "preparation_stderr": (2, 2),
        }
        for field, shape in shapes.items():
            array = getattr(qubit, field)
            dtype = np.int16 if field == "weights" else np.float64
            if array.shape != shape or array.dtype != dtype or not np.all(np.isfinite(array)):
                yield f"qubits.{name}.{field} is not a finite {np.dtype(dtype)} array of shape {shape}"
                return
        if not samples or qubit.weights.min() == np.iinfo(np.int16).min:
            yield f"qubits.{name}.weights are not within +-32767, or none"
        for field in ("frequency_hz", "sx_amplitude", "x_error", "t1_s", "t2_s", "drag_s"):
            number = getattr(qubit, field)
            if not (math.isfinite(number.value) and math.isfinite(number.stderr) and number.stderr >= 0.0):
                yield f"qubits.{name}.{field}: {number.value} +- {number.stderr} is not finite"
        if not (math.isfinite(qubit.readout_hz) and 0.0 < qubit.readout_amplitude <= 1.0):
            yield f"qubits.{name}: a readout of {qubit.readout_hz} Hz at {qubit.readout_amplitude} of full scale"
        assignment = qubit.assignment
        if assignment.min() < 0.0 or np.any(np.abs(assignment.sum(axis=0) - 1.0) > 1e-9):
            yield f"qubits.{name}.assignment: its columns are no probabilities that add to 1"
        elif assignment[1, 0] + assignment[0, 1] >= 1.0:
            yield f"qubits.{name}.assignment: level 1 is read as 1 no more often than level 0, which nothing can mitigate"
        if min(qubit.assignment_stderr.min(), qubit.preparation_stderr.min()) < 0.0:
            yield f"qubits.{name}: a negative standard error"
    for name, coupler in calibration.couplers.items():
        for number in (coupler.cz_amplitude, coupler.conditional_rad, *coupler.rz_rad):
            if not (math.isfinite(number.value) and math.isfinite(number.stderr) and number.stderr >= 0.0):
                yield f"couplers.{name}: {number.value} +- {number.stderr} is not finite"
        if not 0.0 < coupler.cz_amplitude.value <= 1.0:
            yield f"couplers.{name}: a cz pulse of {coupler.cz_amplitude.value} of full scale"


def calibration_hash(calibration: Calibration) -> str:
    """Return the calibration's name: SHA-256, in hex, of its encoding."""
    return hashlib.sha256(encode_calibration(calibration)).hexdigest()


def save_calibration(runs: Path, calibration: Calibration) -> Path:
    """Write the calibration under `runs`/calibrations, durable before its name appears; return its path."""
    data = encode_calibration(calibration)
    path = runs / FOLDER / (hashlib.sha256(data).hexdigest() + SUFFIX)
    if path.exists():
        return path
    partial = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.partial")  # two runs may take the same one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MachineError(
            f"{path}: cannot write the calibration: {error.strerror}; choose another folder with --runs"
        ) from error
    return path


def load_calibration(runs: Path, name: str | Path, lab: Lab, bound: str) -> Calibration:
    """Return the calibration that `name` means: a file's path, a hash or the start of one, or `latest` for this lab's newest.

    CalibrationError if there is none, more than one, if the bytes do not match the name, or if it does not belong to this lab.
    """
    if name == "latest":
        path = _latest(runs, bound)
    elif Path(name).is_file():
        path = Path(name)
    else:
        path = _by_prefix(runs, str(name))
    calibration = _read(path)
    check_calibration(calibration, lab, bound, str(path))
    return calibration


def _read(path: Path) -> Calibration:
    """Return a file's calibration; CalibrationError also where a file that is named by a hash holds other bytes."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CalibrationError(
            f"{path}: cannot be read: {error.strerror}; leave --calibration out to take a new one"
        ) from error
    if len(path.stem) == 64 and hashlib.sha256(data).hexdigest() != path.stem:
        raise CalibrationError(
            f"{path}: its bytes are not the ones it is named by; it was changed or damaged: remove it, and take a new calibration"
        )
    return decode_calibration(data, str(path))


def _by_prefix(runs: Path, prefix: str) -> Path:
    matches = sorted((runs / FOLDER).glob(f"{prefix}*{SUFFIX}")) if prefix.isalnum() else []
    if len(matches) != 1:
        known = ", ".join(path.stem[:12] for path in _all(runs)) or "none"
        raise CalibrationError(
            f"calibration {prefix!r}: {len(matches)} files match in {runs / FOLDER}; there are: {known}"
        )
    return matches[0]


def _latest(runs: Path, bound: str) -> Path:
    taken = [(one.taken_ns, path) for path in _all(runs) if (one := _read(path)).lab_hash == bound]
    if not taken:
        raise CalibrationError(
            f"no calibration of this lab (hash {bound[:12]}) in {runs / FOLDER}; leave --calibration out to take one"
        )
    return max(taken)[1]


def _all(runs: Path) -> list[Path]:
    return sorted((runs / FOLDER).glob(f"*{SUFFIX}"))


def _encode_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value))


def _decode_array(kind: type, value: Any) -> Any:
    """Arrays of a calibration are weights (integers) or probabilities (floats); JSON keeps the difference."""
    if getattr(kind, "__origin__", kind) is not np.ndarray:
        raise NotImplementedError(kind)
    array = np.asarray(value)
    if array.dtype.kind not in "if":
        raise ValueError("an array of numbers is needed")
    if array.dtype.kind == "i" and np.all(np.abs(array) <= 32767):
        return array.astype(np.int16)
    return array.astype(np.float64)
