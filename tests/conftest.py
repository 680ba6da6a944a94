"""What holds for every test: strict arrays, no hidden chance, one seed that is printed.

JAX is told through its environment, so that a test which needs no JAX does not load it. Hypothesis draws the same
examples in every run and has no deadline: a test says what is right, a benchmark says how fast. Ctrl-C is heard, even where
a shell that started the tests in the background had it ignored.
"""

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from qrt.results import Result
    from qrt.types import Calibration, Lab

# An int16 sample that silently becomes float32, or a vector that is silently stretched, is an error. Set before any
# test module is imported, for this process and for those that tests start.
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Inherited by what tests start: a program whose parent ignores SIGINT would ignore it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("qrt", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("qrt")

SEED_DEFAULT = 20250711
CALIBRATION_SEED = 7
FEEDBACK = """OPENQASM 3;
include "stdgates.inc";
qubit q;
bit c;
h q;
c = measure q;
if (c) x q;
c = measure q;
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one flag that reproduces a failure: --seed, printed at the head of every run."""
    parser.addoption("--seed", type=int, default=SEED_DEFAULT, help="seed of the fixtures `seed` and `rng`")


def pytest_report_header(config: pytest.Config) -> str:
    """Return the line of the report's head that holds the seed."""
    return f"seed: {config.getoption('--seed')} (--seed N; hypothesis is derandomized)"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run."""
    return int(request.config.getoption("--seed"))


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Return a generator that starts anew from the seed for each test, so that tests do not depend on their order."""
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the folder of the project."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def demo_lab(project: Path) -> "Lab":
    """Return the lab of configs/demo.toml, publishing on a port that the system chooses."""
    import msgspec

    from qrt.config import load
    from qrt.types import Stream

    return msgspec.structs.replace(load(project / "configs/demo.toml"), stream=Stream("tcp://127.0.0.1:*"))


@pytest.fixture(scope="session")
def demo_calibration(demo_lab: "Lab") -> "Calibration":
    """Return a calibration of that lab, taken once for all tests, with CALIBRATION_SEED."""
    import msgspec

    from qrt.calibrate import calibrate
    from qrt.loop import Loop
    from qrt.store import bound_hash

    with Loop(demo_lab, CALIBRATION_SEED) as loop:
        calibration = calibrate(demo_lab, loop.measure, CALIBRATION_SEED)
    return msgspec.structs.replace(calibration, lab_hash=bound_hash(demo_lab))


@pytest.fixture(scope="session")
def feedback() -> str:
    """Return a program with a branch and without estimates, so that no batch process starts."""
    return FEEDBACK


@pytest.fixture
def given(tmp_path: Path, demo_lab: "Lab", demo_calibration: "Calibration") -> "dict[str, Any]":
    """Return what a short quick run is given beside its program."""
    return {
        "lab": demo_lab,
        "calibration": demo_calibration,
        "runs": tmp_path,
        "shots": 500,
        "seed": 1,
        "publish": False,
    }


@pytest.fixture
def play(given: "dict[str, Any]") -> "Callable[..., Result]":
    """Return `qrt.run` with everything given that a short quick run needs."""
    from functools import partial

    from qrt.run import run

    return partial(run, FEEDBACK, **given)


FOUR = """OPENQASM 3;
include "stdgates.inc";
input float theta;
input float a;
input float b;
qubit q;
bit c;
rx(theta) q;
rz(a) q;
rz(b) q;
c = measure q;
"""


@pytest.fixture(scope="session")
def refused_run(tmp_path_factory: pytest.TempPathFactory, demo_lab: "Lab", demo_calibration: "Calibration") -> "Result":
    """Return a run of six batches and a bit in which one law is refused and one ends its process; their file is changed afterwards."""
    import msgspec

    from qrt.run import run
    from qrt.types import Control, Controller

    runs = tmp_path_factory.mktemp("refused")
    file = shutil.copy(Path(__file__).with_name("bad_law.py"), runs / "mine.py")
    controllers = {
        "servo": Controller("integrator", "theta", "c", 0.5, 0.0, 3.1, parameters={"gain": -1.0}),
        "fails": Controller(str(file), "a", parameters={"kind": "raise", "at": 2, "gain": 0.125}),
        "dies": Controller(str(file), "b", parameters={"kind": "exit", "at": 3, "gain": 0.125}),
        "cut": Controller(str(file), "threshold.q0", parameters={"gain": 1000.0}),
    }
    found = run(
        FOUR,
        lab=msgspec.structs.replace(demo_lab, control=Control(batch_shots=100)),
        shots=630,
        seed=1,
        inputs={"theta": 1.5, "a": 0.0, "b": 0.0},
        controllers=controllers,
        calibration=demo_calibration,
        runs=runs,
        publish=False,
    )
    Path(file).write_text("LAW = None  # what its user has made of it since\n", encoding="utf-8")
    return found
