"""Programs mean what they say: random ones, through the whole stack on a lab without noise, against the interpreter of their syntax tree.

Text -> parse -> lower -> compile -> SCPI -> kernel -> plant -> outcomes on one side, `reference_interpreter` on the other: density
matrices from the standard's tree, nothing of the compiler. What is compared is the joint distribution of all bits and outputs.

Statistic: Pearson's chi^2 over the cells of that distribution, cells that expect fewer than 5 shots thrown together. Outcomes that cannot
be are counted apart: at most one shot in 500, since the lab's readout and gates err by less. A program fails beyond the 1e-5 tail of its
chi^2, all of them together beyond the 0.27 % tail (3 standard errors) of the chi^2 of their sums. Were seeds free, that would be the rate
of false alarms; they are fixed.

What no program can tell is a mirror image: if rz and ry turned the other way together, every distribution would be the same. That
rz turns the right way is for tests of the wiring (test_truth).
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import openqasm3
import pytest
from scipy.stats import chi2

from qrt.errors import ProgramError
from qrt.loop import Loop
from qrt.pulses import lower
from qrt.qasm import parse_program
from tests.reference_ideal import ideal_calibration, ideal_lab
from tests.reference_interpreter import Distribution, Outcome, joint
from tests.reference_programs import INPUTS, random_program

SHOTS = 1000
EXPECTED_MIN = 5.0
IMPOSSIBLE = 1e-6  # probabilities below are none
STRAY = 1 / 500
# Real numbers may become too long to be exact; outcomes may decide which side of a branch is the longer one.
REFUSALS = (" exact to ", "which side of this branch is longer")
REFUSED = 1 / 50  # of the programs
PROGRAM_TAIL, TOGETHER_TAIL = 1e-5, 0.0027
CALIBRATION = ideal_calibration(3, coupled=True)
LEVELS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def loop():
    with Loop(ideal_lab(), 2718) as opened:
        yield opened


@pytest.fixture(scope="module")
def coupled():
    with Loop(ideal_lab(3, coupled=True), 2719) as opened:
        yield opened


@pytest.fixture
def suiting(request, level):
    return request.getfixturevalue("coupled" if level > 2 else "loop")


class Score(NamedTuple):
    """How far a program's shots are from its distribution."""

    chi2: float
    freedom: int
    stray: int  # shots whose outcome cannot be

    @property
    def agrees(self) -> bool:
        """Say whether chance would do this."""
        tail = chi2.sf(self.chi2, self.freedom) if self.freedom else 1.0
        return self.stray <= STRAY * SHOTS and bool(tail > PROGRAM_TAIL)


def played(loop: Loop, text: str, names: Collection[str]) -> Counter[Outcome]:
    """Return how often each combination of bits and outputs came; `names` are those that the interpreter tells."""
    program = parse_program(text, "random")
    inputs = {one.name: INPUTS[one.name] for one in program.inputs}
    pulses = lower(program, loop.lab, CALIBRATION, inputs)
    rows = loop.measure(pulses, SHOTS).rows[1:]  # the first finds the lab as it was before
    columns: dict[str, list[float]] = {}
    for place, name in enumerate(pulses.bits):
        columns[name] = [int(bits) >> place & 1 for bits in rows["bits"]]
    for place, name in enumerate(pulses.outputs):
        columns[name] = [float(value) for value in rows["emitted"][:, place]]
    return Counter(zip(*([(name, value) for value in columns[name]] for name in names), strict=True))


def score(expected: Distribution, seen: Mapping[Outcome, int]) -> Score:
    """Return Pearson's chi^2 of what was seen."""
    shots = sum(seen.values())
    wanted = {key: probability * shots for key, probability in expected.items() if probability > IMPOSSIBLE}
    stray = sum(count for key, count in seen.items() if key not in wanted)
    cells = sorted((mean, seen.get(key, 0)) for key, mean in wanted.items())
    merged: list[tuple[float, int]] = []
    mean, count = 0.0, 0
    for more, seen_here in cells:  # from the rarest on
        mean, count = mean + more, count + seen_here
        if mean >= EXPECTED_MIN:
            merged.append((mean, count))
            mean, count = 0.0, 0
    return Score(sum((count - mean) ** 2 / mean for mean, count in merged), max(len(merged) - 1, 0), stray)


def compare(loop: Loop, seeds: range, level: int) -> None:
    """Play the programs of some seeds, and demand what the interpreter says."""
    total, freedom, refused = 0.0, 0, 0
    for seed in seeds:
        text = random_program(seed, level)
        expected = joint(openqasm3.parse(text), INPUTS)
        try:
            shots = played(loop, text, [name for name, _ in next(iter(expected))])
        except ProgramError as error:
            if not any(one in str(error) for one in REFUSALS):
                raise
            refused += 1
            continue
        found = score(expected, shots)
        assert found.agrees, f"seed {seed}, level {level}: {found}\n{text}"
        total, freedom = total + found.chi2, freedom + found.freedom
    print(f"level {level}: {len(seeds)} programs, chi^2 {total:.1f} of {freedom}")
    assert refused <= REFUSED * len(seeds)
    assert freedom > len(seeds) / 2, "programs without chance prove little"
    assert chi2.sf(total, freedom) > TOGETHER_TAIL


@pytest.mark.parametrize("level", LEVELS)
def test_random_programs(suiting, level):
    compare(suiting, range(6 if level > 2 else 12), level)  # of several qubits they take longest


@pytest.mark.prove
@pytest.mark.parametrize("level", LEVELS)
def test_many_random_programs(suiting, level):
    compare(suiting, range(1000, 1250), level)
