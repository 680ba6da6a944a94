"""What holds for every test: strict arrays, no hidden chance, one seed that is printed.

JAX is told through its environment, so that a test which needs no JAX does not load it. Hypothesis draws the same
examples in every run and has no deadline: a test says what is right, a benchmark says how fast.
"""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# An int16 sample that silently becomes float32, or a vector that is silently stretched, is an error. Set before any
# test module is imported, for this process and for those that tests start.
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

hypothesis.settings.register_profile("qrt", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("qrt")

SEED_DEFAULT = 20250711


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
