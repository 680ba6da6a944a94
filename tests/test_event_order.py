"""Event order enumerated at small scope: every program of up to three sequencers over a small alphabet, against the Python reference.

The alphabet is chosen for ties: waits of 0 and 1, captures of one sample whose outcomes are ready one tick later, reads and writes of one
bit, syncs, plays. Compared are the events by their hash, every call of the port, outcomes, bits and ticks, or the error's place.

Programs that run to their ends are the shots of few runs: each sequencer takes, by a slot, the program of the shot from a tree
of branches at its head, which takes no time. So the order of what follows is the program's own; that it is, is seen by running
part of the same programs alone. A program that ends in an error ends its run, and is always run alone.
"""

import itertools

import numpy as np
import pytest

from qrt import kernel
from qrt.kernel import Status
from tests import test_kernel_reference as reference
from tests.test_kernel_reference import (
    ALU,
    BRANCH,
    CAPTURE,
    END,
    LOAD,
    PLAY,
    READ,
    SYNC,
    WAIT,
    WRITE,
    Reference,
    ScriptedPort,
    make,
    play,
    trace_hash,
)

LATENCY, PERIOD, BUDGET = 1, 64, 400
LEVELS = (1, -1, -1)  # outcomes by the order in which captures end
LESS, LESS_VALUE = BRANCH, 3  # jump if the register is below a constant
CHOICE, ONE, TOLD = 0, 1, 2  # registers: the program of the shot, what is written, what was read
PART = 40  # of the programs that are shots, one in so many is run alone, too


def alphabet(sequencers: int) -> list[tuple[int, ...]]:
    return [
        (WAIT, 0, 0, 0, 0),
        (WAIT, 0, 0, 0, 1),
        (CAPTURE, 0, 0, 0, 0),
        (READ, TOLD, 0, 0, 0),
        (WRITE, ONE, 0, 0, 0),
        (SYNC, 0, 0, 0, (1 << sequencers) - 1),
        (PLAY, 0, 1, 500, 0),
    ]


def programs(sequencers: int, length: int) -> list[tuple[tuple[int, ...], ...]]:
    """Every program of one sequencer up to a length; each tells its sequencers apart by nothing but its place."""
    letters = alphabet(sequencers)
    return [one for count in range(length + 1) for one in itertools.product(letters, repeat=count)]


def body(program):
    return [(ALU, ONE, 0, 0, 1), *program, (END, 0, 0, 0, 0)]


def alone(chosen):
    """Return the sequence in which each sequencer has one program."""
    code, entries = [], []
    for program in chosen:
        entries.append(len(code))
        code += body(program)
    return sequence_of(code, entries)


def sequence_of(code, entries):
    return make(code, entries, lengths=(1, 1, 1), bits=(0, 0, 0), period=PERIOD, budget=BUDGET)


def tree(low: int, high: int, targets: dict[int, int], at: int):
    """Return the instructions that jump from `at` to the target of the number in CHOICE, which is low to high - 1."""
    if high - low == 1:
        return [(BRANCH, CHOICE, 0, targets[low], 0)]
    middle = (low + high) // 2
    upper = tree(middle, high, targets, at + 1)
    lower = tree(low, middle, targets, at + 1 + len(upper))
    return [(BRANCH, CHOICE, LESS_VALUE, at + 1 + len(upper), middle), *upper, *lower]


def together(listed, sequencers: int):
    """Return the sequence that holds all programs, each sequencer with a tree at its head that its own slot leads through."""
    code, targets, entries = [], {}, []
    for number, program in enumerate(listed):
        targets[number] = len(code)
        code += body(program)
    for sequencer in range(sequencers):
        entries.append(len(code))
        code.append((LOAD, CHOICE, sequencer, 0, 0))
        code += tree(0, len(listed), targets, len(code))
    return sequence_of(code, entries)


def run_alone(chosen) -> Reference:
    """Run one program on the kernel and on the reference; return the reference's shot."""
    port = ScriptedPort(LEVELS)
    sequence = alone(chosen)
    report, rows, events = play(sequence, port, sweep=kernel.NO_SWEEP)
    expected = Reference(sequence, 0, LEVELS, 1)
    assert [tuple(map(int, one)) for one in events] == expected.events
    assert port.calls == [*expected.calls, ("safe",)]
    if expected.error:
        assert (report.status, report.error_tick, report.error_sequencer, report.error_instruction) == expected.error
    else:
        assert report.status is Status.OK
        assert rows["trace_hash"][0] == trace_hash(expected.events, len(sequence.entries))
    return expected


def run_together(listed, chosen, sequencers: int) -> None:
    """Run programs as the shots of one run; `chosen` [shots][sequencers] are numbers in `listed`."""
    sequence = together(listed, sequencers)
    table = np.array(chosen, np.int64).T
    slots = np.zeros(sequencers, kernel.SLOT_DTYPE)
    slots[:] = [(number * len(chosen), 0, 0, int(kernel.Rule.TABLE)) for number in range(sequencers)]
    sweep = kernel.Sweep((len(chosen),), slots, np.ascontiguousarray(table).reshape(-1), kernel.Order.SHOT)
    port, dtype = ScriptedPort(LEVELS), kernel.row_dtype(len(sequence.captures), sequence.emit_count)
    with kernel.Ring.create(dtype.itemsize, 1 << (len(chosen) - 1).bit_length(), 1) as ring:
        config = kernel.Config(sequence, port.address, kernel.Rings(ring), len(chosen), sweep=sweep)
        with kernel.Kernel(config) as loop:
            loop.start()
            assert loop.join().status is Status.OK
        rows = ring.peek(0, dtype).copy()
    assert len(rows) == len(chosen)
    calls = iter(port.calls)
    for shot, (row, values) in enumerate(zip(rows, chosen, strict=True)):
        expected = Reference(sequence, shot, LEVELS, 1, shot * PERIOD, tuple(values))
        assert expected.error is None
        assert list(itertools.islice(calls, len(expected.calls))) == expected.calls, values
        assert row["trace_hash"] == trace_hash(expected.events, len(sequence.entries)), values
        assert row["outcomes"].tolist() == expected.outcomes
        assert row["bits"] == sum(bit << k for k, bit in enumerate(expected.bits))
    assert list(calls) == [("safe",)]


def ends_well(chosen) -> bool:
    return Reference(alone(chosen), 0, LEVELS, 1).error is None


def enumerate_all(sequencers: int, length: int, errors_every: int = 1) -> tuple[int, int]:
    """Compare every program; return how many run to their ends, and how many to an error: of those one in `errors_every` is run."""
    listed = programs(sequencers, length)
    good, bad = [], []
    for values in itertools.product(range(len(listed)), repeat=sequencers):
        (good if ends_well([listed[value] for value in values]) else bad).append(values)
    for first in range(0, len(good), 1 << 14):
        run_together(listed, good[first : first + (1 << 14)], sequencers)
    for values in good[::PART]:
        assert run_alone([listed[value] for value in values]).error is None
    kinds = {run_alone([listed[value] for value in values]).error[0] for values in bad[::errors_every]}
    assert kinds <= {Status.DEADLOCK}, kinds
    return len(good), len(bad)


@pytest.fixture(autouse=True)
def _short_latency(monkeypatch):
    monkeypatch.setattr(reference, "LATENCY", LATENCY)


@pytest.mark.parametrize(("sequencers", "length"), [(1, 2), (2, 2), (3, 1)])
def test_every_small_program_has_the_references_order(sequencers, length):
    good, bad = enumerate_all(sequencers, length, errors_every=20)
    assert good + bad == len(programs(sequencers, length)) ** sequencers
    assert good > 50


@pytest.mark.prove
@pytest.mark.parametrize(("sequencers", "length"), [(1, 3)])
def test_every_longer_program_has_the_references_order(sequencers, length):
    good, bad = enumerate_all(sequencers, length, errors_every=4)
    assert good + bad == len(programs(sequencers, length)) ** sequencers
