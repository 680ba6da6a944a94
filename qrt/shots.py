"""The shots of a run as named arrays: first the axes of its sweep, then the shots at each point. Pure, numpy alone.

Rows lie on disk in the order of time. A column of them becomes an array with named axes as a view (reshaped, its axes put in order), so
that eight million shots cost nothing until they are looked at; `bits` alone are taken out of a word, and are made when they are asked
for. A run that ended early fills what it did not play with 255 (bits, outcomes) or 0 (iq), for which it has to copy.

Means go through the rows once, in pieces. Their errors take shots for independent of one another; the estimates of a run (results.py)
know better, and see what neighbouring shots share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qrt import units
from qrt.arrays import Columns, NamedArray
from qrt.axes import Grid
from qrt.layout import Layout

MISSING: Final = 255  # a bit or an outcome of a shot that was not played, or a capture that was not executed
CHUNK_SHOTS: Final = 1 << 20  # looked at together for a mean
UNITS: Final = {"angle": "rad", "duration": "s"}
IQ: Final = np.array(["I", "Q"])


class Shots:
    """Arrays by name. The axes before the last ones are those of the sweep, `average` too where a run has several, and then `shot`.

    bits[name]: uint8 [.., shot], of the program's bits at the shot's end: 0, 1, or 255 in a shot that was not played or does not count
    outcomes[capture]: uint8 [.., shot], of each capture (named after the bit that it writes): 0, 1, or 255 where it was not executed
    iq[capture]: int64 [.., shot, quadrature], in counts; 0 where it was not executed
    values[output]: [.., shot], what an output of the program came to: int64, uint64, bool, of an angle float64 in rad from 0 to 2 pi, of a
        duration float64 in s; 0 in a shot that was not played
    mean[bit]: float64 [..], the share of ones as read, over the shots that count, with its standard error; NaN without any
    mean_iq[capture]: float64 [.., quadrature], in counts, with its standard error
    """

    def __init__(
        self,
        rows: NDArray[Any],
        layout: Layout,
        grid: Grid | None = None,
        coords: Mapping[str, NamedArray] | None = None,
    ) -> None:
        """Take all rows of a run, from its first shot on, or as many as there are, and the grid of its sweep; or any rows, without one.

        coords: of the rows along `shot`, or in place of the grid's: what was read back is truer than what was asked for.
        """
        self.rows = rows
        self._grid = grid
        self._coords = coords_of(grid) | dict(coords or {})
        self._taken = _names(grid)
        bits, captures = layout.bits, layout.captures
        self.bits = Columns(bits, lambda k: self._placed(bits[k], bit_column(rows, k), MISSING), "bit")
        self.outcomes = Columns(
            captures, lambda k: self._placed(captures[k], rows["outcomes"][:, k], MISSING), "capture"
        )
        self.iq = Columns(captures, lambda k: self._placed(captures[k], rows["iq"][:, k], 0, "counts"), "capture")
        outputs = layout.outputs
        self.values = Columns(
            outputs,
            lambda k: self._placed(
                outputs[k], output_column(rows, layout, k), 0, UNITS.get(layout.output_kinds[k], "")
            ),
            "output",
        )
        self.mean = Columns(bits, lambda k: self._mean_bit(bits[k], k), "bit")
        self.mean_iq = Columns(captures, lambda k: self._mean_iq(captures[k], k), "capture")

    def _placed(self, name: str, column: NDArray[Any], missing: int, unit: str = "") -> NamedArray:
        """Return a column [rows, ...] with the axes of the sweep before that of the shots."""
        quadratures = column.ndim > 1
        last = {self._free("quadrature"): IQ} if quadratures else {}
        coords = self._coords | {dim: NamedArray(dim, values, (dim,)) for dim, values in last.items()}
        if self._grid is None:
            return NamedArray(name, column, (self._free("shot"), *last), coords=coords, unit=unit)
        total = self._grid.shots
        if len(column) < total:
            filled = np.full((total, *column.shape[1:]), missing, column.dtype)
            filled[: len(column)] = column
            column = filled
        sizes, order = self._in_time()
        column = column.reshape(*sizes.values(), *column.shape[1:])
        names = list(sizes)
        axes = [names.index(dim) for dim in order]
        values = column.transpose(*axes, *range(len(names), column.ndim))
        return NamedArray(name, values, (*order, *last), coords=coords, unit=unit)

    def _in_time(self) -> tuple[dict[str, int], list[str]]:
        """Return the axes in the order of time, the slowest first, and their names in the order of results."""
        grid = self._grid
        assert grid is not None
        outer = {axis.name: axis.count for axis in grid.outer}
        inner = {axis.name: axis.count for axis in grid.axes[len(outer) :]}
        shot = {self._free("shot"): grid.shots_per_point}
        average = {self._free("average"): grid.averages} if grid.averages > 1 else {}
        turns = inner | shot if grid.order == "point" else shot | inner
        return outer | average | turns, [*outer, *inner, *average, *shot]

    def _free(self, name: str) -> str:
        """Return a name of an axis that no input of the program has taken."""
        while name in self._taken:
            name += "_"
        return name

    def _mean_bit(self, name: str, index: int) -> NamedArray:
        def taken(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            column = bit_column(rows, index)
            return (column != MISSING) & (rows["flags"] == 0), column[:, None]

        value, stderr = self._mean(1, taken)
        return NamedArray(name, value[..., 0], self._axes, coords=self._means, stderr=stderr[..., 0])

    def _mean_iq(self, name: str, index: int) -> NamedArray:
        def taken(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            return (rows["outcomes"][:, index] != MISSING) & (rows["flags"] == 0), rows["iq"][:, index]

        value, stderr = self._mean(2, taken)
        last = self._free("quadrature")
        coords = self._means | {last: NamedArray(last, IQ, (last,))}
        return NamedArray(name, value, (*self._axes, last), coords=coords, unit="counts", stderr=stderr)

    @property
    def _means(self) -> dict[str, NamedArray]:
        """What belongs to an array without its shots."""
        return {name: one for name, one in self._coords.items() if set(one.dims) <= set(self._axes)}

    @property
    def _axes(self) -> tuple[str, ...]:
        return () if self._grid is None else tuple(axis.name for axis in self._grid.axes)

    def _mean(
        self, columns: int, taken: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard error at each point, [axes.., columns]; taken: which rows count, and their values [rows, columns]."""
        points = 1 if self._grid is None else self._grid.points
        count, total = np.zeros(points), np.zeros((columns, 2, points))
        for first in range(0, len(self.rows), CHUNK_SHOTS):
            rows = self.rows[first : first + CHUNK_SHOTS]
            valid, values = taken(rows)
            point = points_of(self._grid, rows["shot"])[valid]
            count += np.bincount(point, minlength=points)
            for column, one in enumerate(values[valid].astype(np.float64).T):
                total[column] += [np.bincount(point, one**power, points) for power in (1, 2)]
        with np.errstate(invalid="ignore", divide="ignore"):
            value = total[:, 0] / count
            spread = np.maximum(total[:, 1] / count - value**2, 0.0)
            stderr = np.where(count > 1, np.sqrt(spread / (count - 1)), np.nan)
        shape = () if self._grid is None else self._grid.shape
        return value.T.reshape(*shape, -1), stderr.T.reshape(*shape, -1)


def output_column(rows: NDArray[Any], layout: Layout, index: int) -> NDArray[Any]:
    """Return what an output came to, [rows]: int64 or uint64, of a bool bool; float64 of a float, an angle (rad), a duration (s)."""
    column: NDArray[np.int64] = np.ascontiguousarray(rows["emitted"][:, index])
    match layout.output_kinds[index]:
        case "uint":
            return column.view(np.uint64)
        case "bool":
            return np.asarray(column != 0)
        case "angle":
            return np.asarray(column.view(np.uint64) * (2 * np.pi / units.TURN))
        case "duration":
            return np.asarray(column * (layout.tick_ps * 1e-12))
        case "float":
            return np.asarray(column / units.FLOAT_ONE)
    return column


def bit_column(rows: NDArray[Any], index: int) -> NDArray[np.uint8]:
    """Return uint8 [rows]: a bit of each shot, MISSING where the shot does not count."""
    column = ((rows["bits"] >> np.uint64(index)) & np.uint64(1)).astype(np.uint8)
    column[rows["flags"] != 0] = MISSING
    return column


def points_of(grid: Grid | None, shots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64 [shots]: the point, in the grid's order, at which each of these shots is played; 0 without a sweep."""
    if grid is None:
        return np.zeros(len(shots), np.int64)
    each = grid.shots_per_point if grid.order == "point" else 1
    leg, inside = np.divmod(shots, grid.shots // grid.legs)
    count = grid.points // grid.legs
    return np.asarray(leg * count + inside // each % count)


def _names(grid: Grid | None) -> set[str]:
    return set() if grid is None else set(grid.names)


def coords_of(grid: Grid | None) -> dict[str, NamedArray]:
    """Return the values along each axis of a sweep; names that go along one together are several of the same axis."""
    axes = () if grid is None else grid.axes
    return {
        one.name: NamedArray(one.name, one.floats(), (axis.name,), unit=one.unit)
        for axis in axes
        for one in axis.together
    }
