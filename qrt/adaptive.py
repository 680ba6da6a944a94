"""Adaptive sweeps: a Python generator that sees the results of each point and yields the next.

    def search():
        seen = yield {"theta": 0.1}
        while abs(seen.estimates["Z(c)"].value) > 0.05:
            seen = yield {"theta": seen.values["theta"] + 0.1}

A point names inputs of the program and settings of instruments, the same ones each time. It is a leg of the run (legs.py): the
generator is asked between two legs, with the kernel at rest, and nothing is compiled for what it yields. The first point is asked for
before anything is opened. Whatever the generator does wrong is told with the number of the point and, where it raised, with its own
line; nothing is played after it. It may ask for as many legs as a run can have. Pure but for the generator itself.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from fractions import Fraction
from math import isfinite
from numbers import Real
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.errors import ProgramError, RunError, WorldError
from qrt.grids import LEGS_MAX, Settings, Swept, allowed_of, swept_of, takes, told
from qrt.legs import Leg, leg_of
from qrt.qasm.program import Program
from qrt.types import Estimate


class Seen(NamedTuple):
    """What a generator is sent: a point that was played."""

    values: Mapping[str, float]  # what it was, settings as they were read back
    estimates: Mapping[str, Estimate]  # by observable, of this point alone
    rows: NDArray[Any]  # of its shots, as in shots.bin
    captures: tuple[str, ...]  # names of the rows' captures

    def iq(self, name: str) -> NDArray[np.int64]:
        """Return the points of a capture, int64 [shots, 2]."""
        iq: NDArray[np.int64] = self.rows["iq"][:, self.captures.index(name), :]
        return iq


Points = Generator[Mapping[str, float], Seen, None]
GIVEN: Final = "a mapping of names to numbers, such as {'amp': 0.3}"


class Adaptive:
    """The legs that a generator asks for, one after another."""

    def __init__(
        self,
        points: Points | Callable[[], Points],
        program: Program,
        settings: Settings,
        inputs: Mapping[str, float],
        shots: int,
    ) -> None:
        """Ask for the first point. ProgramError for what it cannot be."""
        self._points = points() if callable(points) else points
        self._program, self._settings, self._inputs = program, settings, inputs
        self._shots = shots
        self._swept: dict[str, Swept] = {}
        if not isinstance(self._points, Generator):
            raise ProgramError(f"sweep = {points!r}: no generator; give one, or a function that returns one")
        first = self._asked(0, None)
        if first is None:
            once = (
                ""
                if callable(points)
                else "; one that was gone through is at its end: give the function that returns it"
            )
            raise ProgramError(f"the sweep's generator ended without a point: nothing is to be played{once}")
        self.first = first

    @property
    def document(self) -> dict[str, Any]:
        """Return the sweep as plain data for a `start` document; what the points were, `leg` documents say."""
        names = [{"name": name, "unit": unit or ""} for name, unit in self.units.items()]
        return {"axes": [], "adaptive": names, "order": "point", "shots_per_point": self._shots}

    @property
    def units(self) -> dict[str, str | None]:
        """Of what it sets: of a setting its own, "s" of a duration."""
        return {
            name: one.unit if one.setting else "s" if one.kind == "duration" else None
            for name, one in self._swept.items()
        }

    def legs(self, seen: Callable[[Leg], Seen]) -> Iterator[Leg]:
        """Yield leg after leg; `seen` tells what came of one. RunError for what the generator does wrong."""
        leg: Leg | None = self.first
        while leg is not None:
            yield leg
            if leg.index + 1 >= LEGS_MAX:
                raise RunError(
                    f"the sweep's generator has not ended after {LEGS_MAX} points, as many as a run can have"
                )
            try:
                leg = self._asked(leg.index + 1, seen(leg))
            except ProgramError as error:
                raise RunError(str(error)) from error

    def close(self) -> None:
        """End the generator, wherever it is."""
        if isinstance(self._points, Generator):
            self._points.close()

    def _asked(self, index: int, seen: Seen | None) -> Leg | None:
        """Return the next leg, None at the end. ProgramError for whatever else the generator does."""
        try:
            found = next(self._points) if seen is None else self._points.send(seen)
        except StopIteration:
            return None
        except WorldError as error:
            raise ProgramError(f"point {index} of the sweep: {error}") from error
        except Exception as error:
            raise ProgramError(
                f"point {index} of the sweep: its generator raised {type(error).__name__}: {error}{_line(error, self._points)}"
            ) from error
        return leg_of(index, self._checked(index, found), self.units, self._shots)

    def _checked(self, index: int, found: Any) -> dict[str, Fraction | float]:
        """Return the values of a point, if they are ones."""
        where = f"point {index} of the sweep: "
        if not isinstance(found, Mapping) or not found or not all(isinstance(name, str) for name in found):
            raise ProgramError(f"{where}its generator yielded {found!r:.200}; {GIVEN} is needed")
        if not self._swept:
            for name in found:
                if name in self._inputs:
                    raise ProgramError(
                        f"{where}{name} has a value already ({self._inputs[name]}): leave one of the two out"
                    )
            self._swept = {name: swept_of(name, self._program, self._settings, where) for name in found}
        if set(found) != set(self._swept):
            raise ProgramError(
                f"{where}its generator yielded {', '.join(sorted(found))}; its first point has {', '.join(self._swept)}: "
                "each has a value at every point"
            )
        return {name: _number(one, found[name], where) for name, one in self._swept.items()}


def _number(one: Swept, value: Any, where: str) -> Fraction | float:
    """Return a value, if it is one that can be taken."""
    if isinstance(value, bool) or not isinstance(value, (Real, np.number)) or not isfinite(float(value)):
        raise ProgramError(f"{where}{one.name} = {value!r:.200} is not a finite number")
    number = float(value)
    if one.setting is not None:
        if not takes(one.setting, number):
            possible = allowed_of(one.setting)
            raise ProgramError(f"{where}{one.name} = {told(one.setting, number)}: possible is {possible}")
    elif one.kind == "duration" and number < 0:
        raise ProgramError(f"{where}{one.name} = {number:g}: a duration is a number of seconds, at least 0")
    elif one.kind in {"int", "uint"} and (not number.is_integer() or (one.kind == "uint" and number < 0)):
        raise ProgramError(
            f"{where}{one.name} = {number:g}: {one.kind} is a whole number{', at least 0' * (one.kind == 'uint')}"
        )
    return number


def _line(error: BaseException, points: Points) -> str:
    """Return where in the generator an error came from."""
    code = getattr(points, "gi_code", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    return f" ({own[-1].filename}:{own[-1].lineno}: {own[-1].line})" if own else ""
