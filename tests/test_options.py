"""What a run can be asked for from Python: values of the wrong type are told by name before anything is opened, numpy's become Python's."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import qrt
from qrt.errors import MachineError, ProgramError
from qrt.options import READERS, Options, read
from qrt.run import run

LAB = str(Path(__file__).parent.parent / "configs" / "demo.toml")
FLIP = "OPENQASM 3; qubit q; bit c; c = measure q;"
GOOD = {"lab": LAB, "shots": 10}

WRONG = [
    ("shots", 1.5, r"^shots = 1\.5: a whole number is needed$"),
    ("shots", "100", r"^shots = '100': a whole number is needed$"),
    ("shots", True, r"^shots = True: a whole number is needed$"),
    ("shots", np.float64(10), "a whole number is needed"),
    ("averages", None, r"^averages = None: a whole number is needed$"),
    ("seed", 1.0, "a whole number is needed"),
    ("stretch", "2", "a whole number is needed"),
    ("inputs", [1], r"^inputs = \[1\]: a mapping of names to numbers, such as \{'theta': 0.3\}, is needed$"),
    ("inputs", {1: 2}, "a mapping of names to numbers"),
    ("inputs", {"theta": "pi"}, r"^inputs\['theta'\] = 'pi': a number is needed$"),
    ("inputs", {"theta": 1j}, "a number is needed"),
    ("inputs", {"theta": np.arange(2)}, "a number is needed"),
    ("inputs", {"theta": 10**400}, r"= 10{79}…: a number within the range of a float is needed$"),
    ("sweep", "theta=linspace(0, 1, 3)", r"a list of 'NAME=form' texts"),
    ("sweep", np.arange(3), r"^sweep = array\(\[0, 1, 2\]\): \{'NAME': values\}"),
    ("order", "row", r"^order = 'row' is not allowed; allowed: point .*, shot"),
    ("order", None, "order = None is not allowed"),
    ("calibration", 3, r"^calibration = 3: 'latest', a hash, a path, or a calibration is needed$"),
    ("pacing", 1, "a text is needed"),
    ("period_ns", "1", "a number is needed"),
    ("round", "yes", r"^round = 'yes': True or False is needed$"),
    ("on", 3, "a text is needed"),
    ("controllers", {"loop": 1}, r"^controllers\['loop'\] = 1: a Controller is needed$"),
    ("runs", 3, "a path is needed"),
    ("publish", "no", "True or False is needed"),
    ("events", None, "a function is needed"),
    ("lab", {}, r"^lab = \{\}: the path of a lab file, or a lab \(qrt\.config\.load reads one\), is needed$"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_value_of_the_wrong_type_is_told_by_its_name(name, value, message):
    with pytest.raises(ProgramError, match=message):
        run(FLIP, **{**GOOD, name: value})
    with pytest.raises(ProgramError, match=message):
        qrt.stream(FLIP, **{**GOOD, name: value})


def test_names_that_a_stream_does_not_know_are_refused_as_python_does():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'shot'; there are: lab, shots, "):
        qrt.stream(FLIP, lab=LAB, shot=3)
    with pytest.raises(TypeError, match="missing keyword argument 'lab'"):
        qrt.stream(FLIP, shots=3)
    with pytest.raises(ProgramError, match=r"^batch_shots = 1\.5: a whole number is needed$"):
        qrt.stream(FLIP, lab=LAB, shots=3, batch_shots=1.5)
    with pytest.raises(ProgramError, match=r"^stop = True: a threading\.Event"):
        run(FLIP, **GOOD, stop=True)
    assert set(READERS) == set(Options.__annotations__)


def test_numbers_of_numpy_become_those_of_python():
    inputs = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": Fraction(1, 4),
        "d": np.array(2.0),
        "e": np.True_,
        "f": 2**62 + 1,
    }
    found = read({"lab": LAB, "shots": np.int64(10), "period_ns": np.float64(7e3), "inputs": inputs})
    assert found == {
        "lab": LAB,
        "shots": 10,
        "period_ns": 7000.0,
        "inputs": {"a": 0.5, "b": 3, "c": 0.25, "d": 2.0, "e": True, "f": 2**62 + 1},
    }
    assert [type(one) for one in found["inputs"].values()] == [float, int, float, float, bool, int]
    assert [type(found[name]) for name in ("shots", "period_ns")] == [int, float]


def test_more_shots_than_the_disk_has_room_for_are_refused_before_anything_is_opened(tmp_path):
    opened = []
    with pytest.raises(MachineError, match=r"the run would take .* GiB, and .* GiB are free: take fewer shots"):
        run(FLIP, lab=LAB, shots=10**12, runs=tmp_path, events=opened.append)
    assert opened == []
