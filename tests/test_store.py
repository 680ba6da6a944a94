"""The calibration store: what is read is what was written, under its own name, or it is refused."""

import msgspec
import numpy as np
import pytest

from qrt.errors import CalibrationError, MachineError
from qrt.store import (
    FOLDER,
    bound_hash,
    calibration_hash,
    decode_calibration,
    encode_calibration,
    load_calibration,
    save_calibration,
)
from qrt.types import Calibration, Estimated, QubitCalibration


def qubit(**changes):
    number = Estimated(1e-5, 1e-7)
    fields = {
        "frequency_hz": Estimated(4.65e9, 300.0),
        "sx_amplitude": Estimated(0.4, 1e-4),
        "x_error": Estimated(1e-3, 1e-4),
        "readout_hz": 7.09e9,
        "readout_amplitude": 0.25,
        "weights": np.array([[1, -32767, 3], [4, 5, 32767]], np.int16),
        "threshold": -12345678901,
        "assignment": np.array([[0.99, 0.03], [0.01, 0.97]]),
        "assignment_stderr": np.full((2, 2), 1e-3),
        "preparation_stderr": np.zeros((2, 2)),
        "reference_count": 20000,
        "t1_s": number,
        "t2_s": number,
    }
    return QubitCalibration(**(fields | changes))


def calibration(lab, taken_ns=1, **changes):
    return Calibration(bound_hash(lab), taken_ns, 7, {"q0": qubit(**changes), "q1": qubit()})


def test_what_is_written_is_what_is_read(demo_lab, tmp_path):
    first = calibration(demo_lab)
    path = save_calibration(tmp_path, first)
    assert path.stem == calibration_hash(first)
    assert save_calibration(tmp_path, first) == path
    read = load_calibration(tmp_path, path.stem, demo_lab, bound_hash(demo_lab))
    assert encode_calibration(read) == encode_calibration(first)
    assert read.qubits["q0"].weights.dtype == np.int16
    assert read.qubits["q0"].threshold == -12345678901
    assert read.qubits["q0"].preparation_stderr.dtype == np.float64
    assert [entry.name for entry in (tmp_path / FOLDER).iterdir()] == [path.name]


def test_latest_is_the_newest_of_this_lab(demo_lab, tmp_path):
    other = msgspec.structs.replace(calibration(demo_lab, 9), lab_hash="0" * 64)
    for one in (calibration(demo_lab, 5), calibration(demo_lab, 7), other, calibration(demo_lab, 6)):
        save_calibration(tmp_path, one)
    assert load_calibration(tmp_path, "latest", demo_lab, bound_hash(demo_lab)).taken_ns == 7
    with pytest.raises(CalibrationError, match="another lab"):
        load_calibration(tmp_path, calibration_hash(other), demo_lab, bound_hash(demo_lab))


def test_names_that_mean_nothing_or_too_much_are_refused_with_those_there_are(demo_lab, tmp_path):
    known = [save_calibration(tmp_path, calibration(demo_lab, taken)).stem for taken in range(40)]
    shared = next(start for start in "0123456789abcdef" if sum(name.startswith(start) for name in known) > 1)
    for name in (shared, "g", "../calibrations/", "*", ""):
        with pytest.raises(CalibrationError, match=known[0][:3] if name != shared else "files match"):
            load_calibration(tmp_path, name, demo_lab, bound_hash(demo_lab))


def test_a_changed_byte_is_refused(demo_lab, tmp_path):
    path = save_calibration(tmp_path, calibration(demo_lab))
    path.write_bytes(path.read_bytes().replace(b"20000", b"20001", 1))
    for name in ("latest", path.stem, str(path)):
        with pytest.raises(CalibrationError, match="changed or damaged"):
            load_calibration(tmp_path, name, demo_lab, bound_hash(demo_lab))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": np.array([[1, -32768], [0, 0]], np.int16)}, "weights"),
        ({"weights": np.zeros((2, 0), np.int16)}, "weights"),
        ({"weights": np.zeros((3, 2), np.int16)}, "weights"),
        ({"weights": np.array(5, np.int16)}, "weights"),
        ({"weights": np.zeros((2, 4))}, "int16"),
        ({"assignment": np.array([[0.5, 0.5], [0.5, 0.5]])}, "mitigate"),
        ({"assignment": np.array([[0.9, 0.1], [0.2, 0.9]])}, "probabilities"),
        ({"assignment": np.array([[1.1, 0.0], [-0.1, 1.0]])}, "probabilities"),
        ({"assignment": np.eye(3)}, "shape"),
        ({"assignment_stderr": np.full((2, 2), -1.0)}, "negative"),
        ({"t1_s": Estimated(1e-5, -1.0)}, "t1_s"),
        ({"readout_amplitude": 2.0}, "readout"),
    ],
    ids=str,
)
def test_what_no_calibration_may_hold_is_named(demo_lab, changes, said):
    data = encode_calibration(calibration(demo_lab, **changes))
    with pytest.raises(CalibrationError, match=said) as caught:
        decode_calibration(data, "here.json")
    assert str(caught.value).startswith("here.json: ")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text[:0],
        lambda text: b"[" * 100_000 + text,
        lambda text: text.replace(b"0.99", b"null"),
        lambda text: text.replace(b"0.99", b"1e999"),
        lambda text: text.replace(b"0.99", b'"0.99"'),
        lambda text: text.replace(b"0.99,", b""),
        lambda text: text.replace(b"32767", b"32768"),
        lambda text: b"\xff" + text,
    ],
)
def test_a_file_that_is_no_calibration_is_refused(demo_lab, change):
    with pytest.raises(CalibrationError, match=r"here\.json: "):
        decode_calibration(change(encode_calibration(calibration(demo_lab))), "here.json")


def test_a_folder_that_cannot_be_written_is_named(demo_lab, tmp_path):
    (tmp_path / FOLDER).write_text("not a folder")
    with pytest.raises(MachineError, match="cannot write the calibration"):
        save_calibration(tmp_path, calibration(demo_lab))
