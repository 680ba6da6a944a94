"""Controllers in the batch process: rows that a ring brings, epochs that another takes away, and every way in which a law can fail."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from qrt.batch import BATCH_READER, Asked, BatchProcess, EpochsTo, Points, Shape, Update
from qrt.errors import ConfigError
from qrt.kernel import ROW_SKIPPED, Ring, epoch_dtype, row_dtype
from qrt.types import Control

BAD = str(Path(__file__).with_name("bad_law.py"))
W = 50
ROW = row_dtype(1)
TABLES = np.array([[1.0, -1.0]])
START, GAIN = 0.25, 0.01
ONE_POINT = Points()
CALM_S = 120.0  # of wall time, in which a law on a busy machine has its turn, where its deadline is not what is tested


def asked(name, law=BAD, *, minimum=None, maximum=None, every=1, bit=None, **parameters):
    return Asked(name, law, f"out_{name}", bit, (True,), 0.5, minimum, maximum, every, parameters)


def failing(kind, at=3):
    """Return a controller that adds GAIN at each step, and fails in that way at one batch."""
    return asked(kind, kind=kind, at=at, gain=GAIN)


GOOD = asked("good", gain=GAIN)


class Bench:
    """A batch process between two rings, with us for a kernel: rows by hand, each epoch in force when it is due."""

    def __init__(self, controllers, *, delay=1, batches=8, points=ONE_POINT, **control):
        self.shape = Shape(1, ((0,),), W, 1, tuple(controllers))
        self.control = Control(**{"batch_shots": W, "delay_batches": delay, "deadline_s": CALM_S, **control})
        self.values = {one.output: START for one in controllers}
        self.points = points
        self.rows = np.zeros(batches * W, ROW)
        self.rows["shot"] = np.arange(len(self.rows))
        batch = self.rows["shot"] // W
        self.rows["epoch"] = np.where(batch > delay, batch, 0)
        self.sums, self.updates = [], []

    def run(self, after=None):
        """Return self once all rows went through, with sums, updates, what the epochs ring holds, and how the process ended.

        after: called with the handle and each message; the rows then come batch by batch, each after the update before it.
        """
        outputs = list(self.values)
        encode = {"units": ["amplitude"] * len(outputs), "offsets": ["0"] * len(outputs)}
        encode["factors"] = [{output: "65536"} for output in outputs]
        to = EpochsTo(self.control.delay_batches, self.control.policy == "abort", encode, self.values)
        dtype = epoch_dtype(len(self.values))
        with (
            Ring.create(ROW.itemsize, 4096, 2) as ring,
            Ring.create(dtype.itemsize, 64, 1) as epochs,
            BatchProcess(self.shape, self.control) as batch,
        ):
            ring.detach(1 - BATCH_READER)
            batch.wait_ready()
            batch.consume(ring, TABLES, points=self.points, epochs=to, epochs_ring=epochs)
            given = len(self.rows) if after is None else W
            assert ring.write(self.rows[:given]) == given
            for message in batch.messages() if given < len(self.rows) else self._finished(ring, batch):
                (self.updates if isinstance(message, Update) else self.sums).append(message)
                if after is not None:
                    after(batch, message)
                if isinstance(message, Update) and given < len(self.rows):
                    given += ring.write(self.rows[given : given + W])
                    if given == len(self.rows):
                        ring.finish()
            self.entries = epochs.peek(0, dtype).copy()
            self.failure, self.restarts = batch.failure, batch.restarts
        return self

    @staticmethod
    def _finished(ring, batch):
        ring.finish()
        return batch.messages()

    @property
    def reasons(self):
        """What was refused: {(controller, batch): reason}."""
        return {(one.controller, one.batch): one.reason for update in self.updates for one in update.refused}

    def check(self, count=8):
        """Every batch is summed and stepped once; every value is what its taken steps add up to, and went out as a word."""
        batches = list(range(count))
        assert [sums["batch"] for sums in self.sums][:count] == batches
        assert [update.batch for update in self.updates] == batches
        delay = self.control.delay_batches
        assert self.entries["number"].tolist() == [batch + 1 + delay for batch in batches]
        assert not self.entries["flags"].any()
        for update, entry in zip(self.updates, self.entries, strict=True):
            assert entry["values"].tolist() == update.words
            for index, one in enumerate(self.shape.controllers):
                taken = update.batch + 1 - sum(who == one.name and k <= update.batch for who, k in self.reasons)
                assert update.values[one.output] == pytest.approx(START + GAIN * taken, rel=1e-12)
                assert update.words[index] == round(update.values[one.output] * 65536)
                assert update.counters.get(one.name, {"step_count": 0})["step_count"] == taken


REFUSALS = {
    "raise": "raised ZeroDivisionError: division by zero",
    "nan": "gave nan, no finite number",
    "inf": "gave inf, no finite number",
    "shape": "Expected: (), Actual: (3,)",
    "dtype": "not a valid JAX array type",
    "range": "gave 1000000.29: ",
    "leave": "SystemExit: enough",
}


def test_an_update_that_cannot_be_taken_is_refused_with_the_reason_and_nothing_else_changes():
    harmless = [failing("print"), failing("write"), GOOD]
    bench = Bench([*map(failing, REFUSALS), *harmless]).run()
    assert (bench.failure, bench.restarts) == (None, 0)
    bench.check()
    assert bench.reasons.keys() == {(kind, 3) for kind in REFUSALS}
    for kind, reason in REFUSALS.items():
        assert reason in bench.reasons[kind, 3]
    (told,) = [one.text for one in bench.updates[3].refused if one.controller == "nan"]
    assert told == "controller 'nan' at batch 3, value 0.28: gave nan, no finite number"


def test_a_law_that_hangs_or_ends_its_process_is_refused_and_the_next_process_goes_on_exactly_there():
    ends = [failing("hang", 2), failing("exit", 4), GOOD, failing("killed", 6)]
    bench = Bench(ends, deadline_s=0.5, restarts_max=2).run()
    bench.check(6)
    assert bench.reasons == {
        ("hang", 2): "gave nothing for 0.5 s, `control.deadline_s`, and was ended",
        ("exit", 4): "was ended with status 7",
    }
    assert bench.restarts == 2
    told = "controller 'killed' at batch 6, value 0.31: was ended by SIGKILL; restarted 2 times, `control.restarts_max`"
    assert bench.failure == told
    assert [sums["batch"] for sums in bench.sums] == list(range(6))  # those of the last batch come after its laws


@pytest.mark.prove
def test_a_process_that_is_killed_at_any_moment_loses_nothing_and_repeats_nothing():
    seen = [0]

    def kill(batch, _message):
        seen[0] += 1
        if seen[0] in {5, 10}:  # after the update of batch 2, with its sums under way, and after the update of batch 4
            os.kill(batch._process.pid, signal.SIGKILL)

    bench = Bench([GOOD, asked("other", gain=GAIN)]).run(kill)
    assert bench.failure is None
    assert bench.restarts == 2
    bench.check()
    assert sum(sums["shots"] for sums in bench.sums) == 8 * W
    assert set(bench.reasons.values()) <= {"was ended by SIGKILL"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "gave nan, no finite number"),
        pytest.param("raise", "raised ZeroDivisionError: division by zero", marks=pytest.mark.prove),
        pytest.param("shape", "Expected: (), Actual: (3,)", marks=pytest.mark.prove),
        pytest.param("exit", "was ended with status 7", marks=pytest.mark.prove),
        pytest.param("hang", "gave nothing for 0.5 s, `control.deadline_s`, and was ended", marks=pytest.mark.prove),
    ],
)
def test_under_the_policy_abort_the_first_refusal_is_the_last(kind, reason):
    limit = {"deadline_s": 0.5} if kind == "hang" else {}
    bench = Bench([failing(kind), GOOD], policy="abort", **limit).run()
    assert bench.failure.startswith(f"controller '{kind}' at batch 3, value 0.28: ")
    assert reason in bench.failure
    assert bench.failure.endswith("; `control.policy` is abort")
    assert bench.restarts == 0
    assert bench.entries["number"].tolist() == [2, 3, 4]  # of batches 0, 1, 2


def test_what_is_compiled_while_the_lab_is_armed_ends_the_run():
    bench = Bench([GOOD, failing("compile")]).run()
    assert bench.failure.startswith("controller 'compile' at batch 3, value 0.28: it compiled a function")
    assert bench.restarts == 0
    assert [update.batch for update in bench.updates] == [0, 1, 2]


SEEN = """
from typing import NamedTuple
import jax, msgspec
from qrt.control import Law

class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass

class State(NamedTuple):
    seen: tuple

def init(parameters, value):
    import jax.numpy as jnp
    W = 50
    return State((jnp.zeros((W, 1), "uint8"), jnp.zeros((W, 1), "uint8"), jnp.zeros((W, 1, 2)), jnp.zeros(W, bool), jnp.zeros(W, int),
                  jnp.zeros(W, int), jnp.zeros(W), jnp.zeros(1, bool), jnp.float64(0.0), jnp.float64(0.0)))

def step(parameters, state, seen):
    return State(tuple(seen)), seen.previous + 0.0625

LAW = Law(Parameters, init, step)
"""


def test_an_observation_is_the_rows_of_the_batch_with_the_value_in_force_in_each_shot(rng, tmp_path):
    law = tmp_path / "seen.py"
    law.write_text(SEEN)
    bench = Bench([asked("seen", str(law), bit=0)], batches=5, points=Points(7, 3))
    rows = bench.rows
    rows["bits"], rows["outcomes"] = rng.integers(0, 2, len(rows)), rng.integers(0, 3, (len(rows), 1))
    rows["iq"] = rng.integers(-(1 << 40), 1 << 40, (len(rows), 1, 2))
    rows["flags"] = ROW_SKIPPED * (rng.random(len(rows)) < 0.1)
    rows["epoch"][3 * W : 4 * W] = 2  # epoch 3 came too late
    bench.run()
    values = {0: START, 2: START + 0.0625, 4: START + 3 * 0.0625}
    for update in bench.updates:
        part = rows[update.batch * W : (update.batch + 1) * W]
        ((*_, bits, outcomes, iq, valid, point, epoch, value, own, signal, previous),) = [
            [np.frombuffer(data, dtype).reshape(shape) for dtype, shape, data in state][:10] for state in update.states
        ]
        ok = part["flags"] == 0
        np.testing.assert_array_equal(bits[:, 0], part["bits"])
        np.testing.assert_array_equal(outcomes, part["outcomes"])
        np.testing.assert_array_equal(iq, part["iq"])
        np.testing.assert_array_equal(valid, ok)
        np.testing.assert_array_equal(point, part["shot"] // 3 % 7)
        np.testing.assert_array_equal(epoch, part["epoch"])
        np.testing.assert_array_equal(value, [values[number] for number in part["epoch"]])
        assert own.tolist() == [True]
        assert signal == pytest.approx(part["bits"][ok].mean() - 0.5, abs=1e-12)
        assert previous == START + update.batch * 0.0625


def test_what_is_wrong_with_laws_is_told_before_anything_is_played(tmp_path):
    law = tmp_path / "seen.py"
    law.write_text(SEEN.replace("W = 50", "W = 49"))
    wrong = [asked("few", str(law)), asked("typo", kinds="nan"), asked("first", kind="raise", at=0)]
    shape = Shape(1, (), W, 1, tuple(wrong))
    with BatchProcess(shape, Control(deadline_s=CALM_S)) as batch, pytest.raises(ConfigError) as caught:
        batch.wait_ready()
    text = str(caught.value)
    assert "controllers.few.law: " in text
    assert "controllers.typo.parameters.kinds: unknown key" in text
    assert f"controllers.first.law: {BAD} fails on a batch of zeros: raised ZeroDivisionError" in text


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("segfault", "the batch process was ended by SIGSEGV"),
        pytest.param("hang", "no answer for 0.5 s", marks=pytest.mark.prove),
    ],
)
def test_a_law_that_does_not_come_back_from_its_trial_is_named(kind, how):
    shape = Shape(1, (), W, 1, (failing(kind, 0),))
    told = f"controllers.{kind}.law: while it was tried, {how}"
    with BatchProcess(shape, Control(deadline_s=0.5)) as batch, pytest.raises(ConfigError, match=told):
        batch.wait_ready()
