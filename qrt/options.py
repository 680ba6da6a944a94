"""What a run can be asked for, and each of it read as what it has to be. Pure.

`Options` has the types, for a checker of types; `read` makes sure of them while running, and before anything else is done, for the
person at a prompt: a number of numpy becomes Python's, and what would only fail somewhere inside, or after the last shot, is refused here
with its name, its value and what is needed. What a value means, and whether it is possible, is for those who use it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, Required, TypedDict, cast, get_args

import numpy as np

from qrt.adaptive import Points
from qrt.axes import OrderName
from qrt.errors import ProgramError
from qrt.events import RunEvent
from qrt.grids import Sweeps
from qrt.types import Calibration, Controller, Lab

SHOWN_MAX: Final = 80  # characters of a value in a message
ORDERS: Final = get_args(OrderName)


class Options(TypedDict, total=False):
    """What a run can be asked for; `qrt.run` says what each means."""

    lab: Required[str | Path | Lab]
    shots: int | None
    averages: int
    inputs: Mapping[str, float] | None
    sweep: Sweeps | Points | Callable[[], Points] | None
    order: OrderName
    seed: int | None
    calibration: str | Path | Calibration | None
    pacing: str | None
    period_ns: float | None
    stretch: int | None
    round: bool
    on: str | None
    controllers: Mapping[str, Controller] | None
    runs: str | Path | None
    publish: bool
    events: Callable[[RunEvent], None]


def read(options: Options) -> Options:
    """Return the options with every value of its type. ProgramError for one that is not, TypeError for an unknown or a missing name."""
    for name in options:
        if name not in READERS:
            raise TypeError(f"unexpected keyword argument {name!r}; there are: {', '.join(READERS)}")
    if "lab" not in options:
        raise TypeError("missing keyword argument 'lab': the path of a lab file, or a lab")
    return cast("Options", {name: READERS[name](name, value) for name, value in options.items()})


Reader = Callable[[str, Any], Any]


def _refused(name: str, value: Any, needed: str) -> ProgramError:
    shown = repr(value)
    return ProgramError(f"{name} = {shown if len(shown) <= SHOWN_MAX else shown[:SHOWN_MAX] + '…'}: {needed} is needed")


def whole(name: str, value: Any) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _refused(name, value, "a whole number")
    return int(value)


def _number(name: str, value: Any) -> float:
    """Return a number; a whole one stays whole, since 64 bits have more digits than a float."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if not isinstance(value, Real):
        raise _refused(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        raise _refused(name, value, "a number within the range of a float") from None
    return int(value) if isinstance(value, Integral) else number


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise _refused(name, value, "True or False")
    return bool(value)


def _of(kinds: type | tuple[type, ...], needed: str) -> Reader:
    """Return a reader that takes values of some types as they are."""

    def one(name: str, value: Any) -> Any:
        if not isinstance(value, kinds):
            raise _refused(name, value, needed)
        return value

    return one


def _called(name: str, value: Any) -> Any:
    if not callable(value):
        raise _refused(name, value, "a function")
    return value


def _by_name(reader: Reader, needed: str) -> Reader:
    """Return a reader of mappings of names to what another one reads."""

    def named(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _refused(name, value, needed)
        return {key: reader(f"{name}[{key!r}]", one) for key, one in value.items()}

    return named


def _sweep(name: str, value: Any) -> Any:
    if not callable(value) and not isinstance(value, Generator | Mapping | list | tuple):
        allowed = (
            "{'NAME': values}, a list of 'NAME=form' texts, or a generator of points, which is sent what each one gave"
        )
        raise _refused(name, value, f"{allowed} (of an iterator: (one for one in it)),")
    return value


def asked(name: str, value: Any) -> Any:
    """Return what tells a run to end, if it is something that can."""
    if value is not None and not callable(getattr(value, "is_set", None)):
        raise _refused(name, value, "a threading.Event, or anything with its is_set,")
    return value


def _order(name: str, value: Any) -> str:
    if value not in ORDERS:
        raise ProgramError(
            f"{name} = {value!r} is not allowed; allowed: point (all shots of a point together), shot (every shot another point)"
        )
    return str(value)


def _or_none(reader: Reader) -> Reader:
    return lambda name, value: None if value is None else reader(name, value)


_text = _of(str, "a text")
_place = _of((str, Path), "a path")

READERS: Final[Mapping[str, Reader]] = {
    "lab": _of((str, Path, Lab), "the path of a lab file, or a lab (qrt.config.load reads one),"),
    "shots": _or_none(whole),
    "averages": whole,
    "inputs": _or_none(_by_name(_number, "a mapping of names to numbers, such as {'theta': 0.3},")),
    "sweep": _or_none(_sweep),
    "order": _order,
    "seed": _or_none(whole),
    "calibration": _or_none(_of((str, Path, Calibration), "'latest', a hash, a path, or a calibration")),
    "pacing": _or_none(_text),
    "period_ns": _or_none(_number),
    "stretch": _or_none(whole),
    "round": _truth,
    "on": _or_none(_text),
    "controllers": _or_none(_by_name(_of(Controller, "a Controller"), "a mapping of names to Controllers")),
    "runs": _or_none(_place),
    "publish": _truth,
    "events": _called,
}
