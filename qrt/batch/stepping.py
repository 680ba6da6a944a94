"""What the laws make of a batch: which values are taken, which are refused, and the words that follow.

A step that raises, a value or state that is no number, words that no sequence could play: the update of that controller is refused, its
value and state stay as they were, and the reason is told with controller, batch and value. The others go on. Laws step in the
order of the configuration, and each sees the values that were in force, not what those before it want now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from qrt.batch.gathering import Shots
from qrt.batch.messages import Asked, EpochsTo, Refused, Resume, Update, still_needed

Leaves = list[NDArray[Any]]


class SteppingLaw(Protocol):
    """What is stepped: compiled.CompiledLaw."""

    asked: Asked

    def init(self, value: float) -> Leaves: ...
    def step(self, state: Leaves, shots: Shots, value: float) -> tuple[Leaves, float, dict[str, int], bool]: ...
    def restored(self, state: list[tuple[str, list[int], bytes]]) -> Leaves: ...


class CompiledError(Exception):
    """A law compiled something while the lab is armed: what it costs is not known beforehand, and so it ends the run."""


class Stepping:
    """The controllers of a run between two batches."""

    def __init__(
        self,
        laws: Sequence[SteppingLaw],
        to: EpochsTo,
        resume: Resume,
        *,
        words: Callable[[Mapping[str, float]], list[int]],
        reason_of: Callable[[BaseException], str],
        compilations: Callable[[], int],
    ) -> None:
        """words: of values, by output; ValueError for values that no word can hold. reason_of: an exception in one line.

        compilations: how often this process has compiled anything.
        """
        self._laws, self._delay = laws, to.delay
        self._words, self._reason_of, self._compilations = words, reason_of, compilations
        self._refused = list(resume.refused)
        last = resume.last
        self._values = dict(to.values if last is None else last.values)
        self._words_now = words(self._values)
        self._by_epoch = dict(resume.values) or {0: dict(to.values)}
        self._counters: dict[str, dict[str, int]] = {} if last is None else dict(last.counters)
        if last is None:
            self._states = [law.init(to.values[law.asked.output]) for law in laws]
        else:
            self._states = [law.restored(state) for law, state in zip(laws, last.states, strict=True)]

    def step(self, batch: int, shots: Shots, at: Callable[[int], None]) -> Update:
        """Return what the laws make of a batch; `at` is called with the index of each law before it steps. Raises CompiledError."""
        started_ns, compilations = time.monotonic_ns(), self._compilations()
        refused = [one for one in self._refused if one.batch == batch]
        skipped = {one.controller for one in refused}
        in_force = int(
            shots.epoch[-1]
        )  # the same for every shot of a batch: an epoch is taken at a batch's first shot, or never
        for index, law in enumerate(self._laws):
            asked = law.asked
            if asked.name in skipped:
                continue
            at(index)
            value, reason = self._values[asked.output], self._step(index, law, shots, in_force)
            if self._compilations() != compilations:
                reason = "it compiled a function while the lab is armed; all that a law calls must keep its shapes"
                raise CompiledError(Refused(asked.name, batch, value, reason).text)
            if reason:
                refused.append(Refused(asked.name, batch, value, reason))
        number = batch + 1 + self._delay
        update = Update(
            epoch=number,
            batch=batch,
            values=dict(self._values),
            words=self._words_now,
            states=[[(leaf.dtype.str, list(leaf.shape), leaf.tobytes()) for leaf in state] for state in self._states],
            counters=dict(self._counters),
            in_force=in_force,
            refused=tuple(refused),
            busy_ns=time.monotonic_ns() - started_ns,
        )
        self._by_epoch = still_needed(self._by_epoch, update)
        return update

    def _step(self, index: int, law: SteppingLaw, shots: Shots, in_force: int) -> str:
        """Let one law step; return why its update is refused, or nothing."""
        output = law.asked.output
        try:
            state, value, counters, sound = law.step(self._states[index], shots, self._by_epoch[in_force][output])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's law raises
            return self._reason_of(error)
        if not math.isfinite(value):
            return f"gave {value}, no finite number"
        if not sound:
            return f"gave {value:.9g} with a state that holds NaN"
        values = self._values | {output: value}
        try:
            words = self._words(values)
        except (ValueError, OverflowError) as error:
            return f"gave {value:.9g}: {error}"
        self._values, self._words_now = values, words
        self._states[index], self._counters[law.asked.name] = state, counters
        return ""
