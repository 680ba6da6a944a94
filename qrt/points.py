"""The points of a sweep: an estimate with its error bar for each observable at each of them, from the recorded rows. Numpy alone.

A shot's weight is the exact product weight of `qrt.readout.estimate`, and each point's sums go through the same `combine`, so that a
point's value and its standard errors mean what a run's do; the shots of a point are taken in the order in which they were played. They are
kept as one table, a row a point in the grid's order, the last axis fastest: `sweep.npy` in the run's folder, which `numpy.load` reads.
Its columns: every name that varies, settings as they were read back; `point.shots`, those that count; and for each observable
`Z(c).value`, `.stderr` (all terms together), its terms `.shot`, `.calibration`, `.drift`, `.preparation`, and what was read, `.raw` and
`.raw_stderr`. A point with fewer than two shots has no estimate: NaN.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from math import hypot
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.axes import Grid, from_document
from qrt.errors import ProgramError, RecordError
from qrt.legs import PlayedLeg
from qrt.observables import Observables
from qrt.readout.estimate import LAG_COUNT, Observable, Sums, combine, observable_name, supports, tables
from qrt.types import Estimate, QubitCalibration

FILE: Final = "sweep.npy"
SHOTS: Final = "point.shots"  # no input of a program can have this name
POINT: Final = "point"  # the axis of an adaptive sweep
TERMS: Final = ("shot", "calibration", "drift", "preparation")
COLUMNS: Final = ("value", "stderr", *TERMS, "raw", "raw_stderr")
NOTHING_HELD: Final[Mapping[str, float]] = {}
CHUNK_SHOTS: Final = 1 << 20  # held at a time
ESTIMATED_MAX: Final = 1 << 20  # points; beyond, a table of them is nobody's to read


def check_points(grid: Grid) -> None:
    """Raise ProgramError for more points than a run keeps estimates of."""
    if grid.points > ESTIMATED_MAX:
        raise ProgramError(f"a sweep of {grid.points} points; a run keeps estimates of up to {ESTIMATED_MAX}")


def leg_estimates(
    rows: NDArray[Any], legs: Sequence[PlayedLeg], observables: Observables, qubits: Mapping[str, QubitCalibration]
) -> NDArray[Any]:
    """Return the table of all legs of a run, structured [points], one leg after the other; rows: as far as they were played."""
    parts = []
    for one in legs:
        own = rows[one.shot_first : one.shot_first + one.grid.shots]
        parts.append(point_estimates(own, one.grid, observables, qubits, one.values))
    return np.concatenate(parts)


def point_estimates(
    rows: NDArray[Any],
    grid: Grid,
    observables: Observables,
    qubits: Mapping[str, QubitCalibration],
    held: Mapping[str, float] = NOTHING_HELD,
) -> NDArray[Any]:
    """Return the table of the points of a grid, structured [points]; rows: [shots] from its first shot on, all of it or a part.

    held: settings and inputs that have one value, which is theirs whatever the grid says.
    """
    names = [observable_name(bits, observables.bit_names) for bits in observables.terms]
    fields = [(name, "<f8") for name in dict.fromkeys((*held, *grid.names))] + [(SHOTS, "<i8")]
    fields += [(f"{name}.{column}", "<f8") for name in names for column in COLUMNS]
    table = np.zeros(grid.points, fields)
    for name, kind in fields:
        table[name] = np.nan if kind == "<f8" else 0
    places = np.unravel_index(np.arange(grid.points), grid.shape) if grid.axes else ()
    for axis, place in zip(grid.axes, places, strict=True):
        for column in axis.together:
            table[column.name] = column.floats()[place]
    for name, value in held.items():
        table[name] = value
    factors = tables(observables.bit_qubits, qubits)
    for point, (bits, valid) in enumerate(_points(rows, grid)):
        row = table[point]
        row[SHOTS] = np.count_nonzero(valid)
        for one in _combined(bits, valid, observables, factors, qubits):
            terms = {name: getattr(one.stderr, name) for name in TERMS}
            found = {"value": one.value, "stderr": hypot(*terms.values()), "raw": one.raw, "raw_stderr": one.raw_stderr}
            for column, number in (found | terms).items():
                row[f"{one.name}.{column}"] = number
    return table


def estimates_of(
    rows: NDArray[Any], observables: Observables, qubits: Mapping[str, QubitCalibration]
) -> tuple[Estimate, ...]:
    """Return the estimates of one point, all of whose shots these rows are; none of fewer than two shots."""
    factors = tables(observables.bit_qubits, qubits)
    return _combined(rows["bits"].astype(np.uint64), rows["flags"] == 0, observables, factors, qubits)


def _combined(
    bits: NDArray[np.uint64],
    valid: NDArray[np.bool_],
    observables: Observables,
    factors: NDArray[np.float64],
    qubits: Mapping[str, QubitCalibration],
) -> tuple[Estimate, ...]:
    sums = sums_of(bits, valid, observables, factors)
    return combine(sums, observables.terms, observables.bit_names, observables.bit_qubits, qubits)


def _points(rows: NDArray[Any], grid: Grid) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.bool_]]]:
    """Yield the bits and the validity of each point's shots, as far as there are rows, in the order of the points."""
    size = grid.shots // grid.legs
    for leg in range(grid.legs):
        yield from _leg_points(rows[leg * size : (leg + 1) * size], grid)


def _leg_points(rows: NDArray[Any], grid: Grid) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.bool_]]]:
    """Yield the same of the points of one leg, which go round and round, some shots at each."""
    count = grid.points // grid.legs
    each = grid.shots_per_point if grid.order == "point" else 1
    rounds, more = divmod(len(rows), count * each)  # `more` shots of a last round that did not end
    held = rounds + (more > 0)
    if held == 1:  # one pass, or a part of one: nothing has to be put together
        parts = (rows[point * each : (point + 1) * each] for point in range(count))
        yield from ((part["bits"].astype(np.uint64), part["flags"] == 0) for part in parts)
        return
    group = max(CHUNK_SHOTS // max(held * each, 1), 1)
    rest = rows[rounds * count * each :]
    for first in range(0, count, group):
        last = min(first + group, count)
        shape = (last - first, held, each)
        bits, flags = np.zeros(shape, np.uint64), np.ones(shape, np.uint32)
        for name, array in (("bits", bits), ("flags", flags)):
            whole = rows[name][: rounds * count * each].reshape(rounds, count, each)
            array[:, :rounds] = whole[:, first:last].transpose(1, 0, 2)
            if more:
                part = rest[name][first * each : min(last * each, more)]
                array[:, rounds].flat[: len(part)] = part
        yield from zip(bits.reshape(last - first, -1), flags.reshape(last - first, -1) == 0, strict=True)


def sums_of(
    bits: NDArray[np.uint64], valid: NDArray[np.bool_], observables: Observables, factors: NDArray[np.float64]
) -> Sums:
    """Return the sums over the valid ones of some shots that follow one another, float64 throughout."""
    weights, signs = products_of(bits, valid, observables, factors, supports(observables.terms))
    count = len(observables.terms)
    pairs = np.zeros(LAG_COUNT, np.int64)
    weight_lagged, raw_lagged = np.zeros((LAG_COUNT, count)), np.zeros((LAG_COUNT, count))
    for lag in range(1, min(LAG_COUNT + 1, len(bits))):
        pairs[lag - 1] = np.count_nonzero(valid[:-lag] & valid[lag:])
        for index in range(count):
            weight_lagged[lag - 1, index] = weights[index][:-lag] @ weights[index][lag:]
            raw_lagged[lag - 1, index] = signs[index][:-lag] @ signs[index][lag:]
    return Sums(
        shots=int(np.count_nonzero(valid)),
        weight=np.array([weight.sum() for weight in weights]),
        raw=np.array([sign.sum() for sign in signs]),
        square=np.diag([float(weights[index] @ weights[index]) for index in range(count)]),
        pairs=pairs,
        weight_lagged=weight_lagged,
        raw_lagged=raw_lagged,
    )


def products_of(
    bits: NDArray[np.uint64],
    valid: NDArray[np.bool_],
    observables: Observables,
    factors: NDArray[np.float64],
    weighed: Sequence[Observable] | None = None,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return the weights of these supports, else of the observables, and the observables' signs as read.

    Each is float64 [shots], 0 where a shot does not count.
    """
    used = sorted({bit for term in observables.terms for bit in term})
    read = {bit: ((bits >> np.uint64(bit)) & np.uint64(1)).astype(np.intp) for bit in used}
    terms = observables.terms if weighed is None else weighed
    plus_minus = np.array([1.0, -1.0])
    return (
        [_product(valid, [factors[bit][read[bit]] for bit in term]) for term in terms],
        [_product(valid, [plus_minus[read[bit]] for bit in term]) for term in observables.terms],
    )


def _product(valid: NDArray[np.bool_], factors: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the product over bits for each shot, 0 where it does not count."""
    product = valid.astype(np.float64)
    for factor in factors:
        product = product * factor
    return product


def encode_points(table: NDArray[Any]) -> bytes:
    """Return the table as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, table, allow_pickle=False)
    return file.getvalue()


class Curve(msgspec.Struct, frozen=True):
    """One observable over the grid: each float64 [axes' counts]."""

    value: NDArray[np.float64]
    stderr: NDArray[np.float64]
    shot: NDArray[np.float64]
    calibration: NDArray[np.float64]
    drift: NDArray[np.float64]
    preparation: NDArray[np.float64]
    raw: NDArray[np.float64]
    raw_stderr: NDArray[np.float64]


class Swept(msgspec.Struct, frozen=True):
    """What a sweep came to. `axes` by name, in their order; `curves` by observable, with one array axis for each.

    Of several names that go along one axis together the first is the axis's; `beside` has the others. A setting's values are those that
    were read back. The points of an adaptive sweep lie on one axis, `point`, with all that its generator has set beside it.
    """

    axes: dict[str, NDArray[np.float64]]
    units: dict[str, str]  # of every name, those beside an axis too: "s" of a duration, a setting's own, else empty
    beside: dict[str, dict[str, NDArray[np.float64]]]  # by axis and name
    order: str
    shots_per_point: int  # of all passes together
    shots: NDArray[np.int64]  # that count, of each point
    curves: dict[str, Curve]

    @property
    def points(self) -> int:
        """How many points there are."""
        return self.shots.size

    @property
    def columns(self) -> dict[str, tuple[int, NDArray[np.float64]]]:
        """Everything that varies, by name: along which axis, and its values there."""
        return {
            name: (index, values)
            for index, axis in enumerate(self.axes)
            for name, values in ({axis: self.axes[axis]} | self.beside.get(axis, {})).items()
        }


def read_points(data: bytes, document: Mapping[str, Any] | None) -> Swept | None:
    """Return what `sweep.npy` and the field `sweep` of a run's start document say; None for a run without a sweep."""
    if not document:
        return None
    table = np.load(io.BytesIO(data), allow_pickle=False)
    grid = from_document(document)
    assert grid is not None
    if table.dtype.names is None or not ("adaptive" in document or len(table) == grid.points):
        raise RecordError(f"{FILE}: {table.shape} of {table.dtype}; the run's grid has {grid.points} points")
    return swept_of(table, grid, document.get("adaptive"))


def swept_of(table: NDArray[Any], grid: Grid, adaptive: Sequence[Mapping[str, Any]] | None = None) -> Swept:
    """Return what a table of points says: of a grid, or of an adaptive sweep that sets these names."""
    assert table.dtype.names is not None
    names = [name.removesuffix(".value") for name in table.dtype.names if name.endswith(".value")]
    if adaptive is not None:
        shape: tuple[int, ...] = (len(table),)
        axes = {POINT: np.arange(len(table), dtype=np.float64)}
        units = {POINT: ""} | {one["name"]: one["unit"] for one in adaptive}
        beside = {POINT: {name: table[name] for name in units if name != POINT}}
    else:
        shape = grid.shape
        axes = {axis.name: _along(table, grid, index, axis.name) for index, axis in enumerate(grid.axes)}
        units = {one.name: one.unit for axis in grid.axes for one in axis.together}
        beside = {
            axis.name: {one.name: _along(table, grid, index, one.name) for one in axis.beside}
            for index, axis in enumerate(grid.axes)
        }
    return Swept(
        axes=axes,
        units=units,
        beside=beside,
        order=grid.order,
        shots_per_point=grid.shots_per_point * grid.averages,
        shots=table[SHOTS].reshape(shape),
        curves={
            name: Curve(**{column: table[f"{name}.{column}"].reshape(shape) for column in COLUMNS}) for name in names
        },
    )


def _along(table: NDArray[Any], grid: Grid, index: int, name: str) -> NDArray[np.float64]:
    """Return a name's values along its axis, where all other axes are at their first point."""
    values: NDArray[np.float64] = table[name].reshape(grid.shape)
    return values[tuple(slice(None) if axis == index else 0 for axis in range(len(grid.axes)))]
