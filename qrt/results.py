"""What a run came to: `Result`, which `qrt.run` returns.

Arrays have named axes (arrays.NamedArray): first those of the sweep, then `average` where the run has several, then `shot`. They are
views of the record on disk; eight million shots take no memory before they are looked at. The pictures are those of the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.arrays import Columns, NamedArray, xarray_module
from qrt.axes import Axis, Grid, from_document
from qrt.client import Run
from qrt.image import from_image
from qrt.points import FILE, POINT, Curve, Swept, read_points
from qrt.qasm.expressions import Exact
from qrt.report import cells, collect
from qrt.report.data import Cloud
from qrt.shots import Shots
from qrt.types import Calibration, Estimate, Found, Summary


class Result:
    """What a run came to.

    Of every shot (shots.Shots says more):
      bits[name]: uint8 [axes.., shot], the program's bits: 0, 1, 255 where the shot does not count
      outcomes[capture]: uint8 [axes.., shot]; iq[capture]: int64 [axes.., shot, quadrature], in counts
      captures[name]: int16 [shots that executed it, samples], the raw records of capture_v3, in the order of time
      values[output]: [axes.., shot], of the program's outputs, an angle in rad, a duration in s
    At every point, each float64 [axes..] with `stderr`, one standard error; without a sweep a single value:
      mitigated["Z(c)"]: what a perfect readout would have averaged; its error holds shots, calibration, drift and preparation
      raw["Z(c)"]: the average of the signs as read, +1 for outcome 0; its error knows that neighbouring shots hang together
      mean[bit], mean_iq[capture]: the share of ones as read; the mean iq, in counts. Errors as of independent shots
    Of all shots together, of a sweep their mean over its points: estimates["Z(c)"], a types.Estimate with the parts of its error.

    sweep: the same per point as one table (points.Swept), None without a sweep. stopped: whether the run was ended before its last shot, by
    Ctrl-C or the end of a loop over qrt.stream. rounded: durations that were, with their places, of a run with `round`. record: the run as
    recorded (client.Run), every shot in the order of time. A pickled result has its folder in it by name, and is opened from there again.
    """

    def __init__(
        self,
        summary: Summary,
        record: Run,
        found: tuple[Found, ...],
        calibration: Calibration,
        counters: Mapping[str, int],
        *,
        stopped: bool = False,
    ) -> None:
        self.summary = summary
        self.record = record
        self.found = found
        self.calibration = calibration
        self.counters = dict(counters)
        self.stopped = stopped
        self.folder = record.path
        self.rounded = tuple((record.start or {}).get("rounded", ()))
        self.estimates = {estimate.name: estimate for estimate in summary.estimates}
        self.sweep = swept(record)
        dims, coords = ((), {}) if self.sweep is None else axes_of(self.sweep)
        shots = Shots(record.rows, record.layout, grid_of_record(record), coords)
        self.bits, self.outcomes, self.iq = shots.bits, shots.outcomes, shots.iq
        self.captures = record.captures
        self.values, self.mean, self.mean_iq = shots.values, shots.mean, shots.mean_iq
        self.mitigated, self.raw = at_points(self.sweep.curves if self.sweep else self.estimates, dims, coords)

    def to_xarray(self) -> Any:
        """Return everything as an `xarray.Dataset` of the same memory, except bits: those are made for it. MachineError without xarray.

        Names: `Z(c)` and `Z(c).raw` of an observable; of a bit or capture `c` its `c.mean`, `c.mean_iq`, `c.bit`, `c.outcome`, `c.iq`; of
        an output `n` its `n.value`. Those with an error have it as, for instance, `Z(c).stderr`.
        """
        families = {"": self.mitigated, ".raw": self.raw, ".mean": self.mean, ".mean_iq": self.mean_iq}
        families |= {".value": self.values, ".bit": self.bits, ".outcome": self.outcomes, ".iq": self.iq}
        found = {}
        for suffix, arrays in families.items():
            for name, array in arrays.items():
                whole = array.to_xarray()
                found[f"{name}{suffix}"] = whole.drop_vars("stderr", errors="ignore")
                if array.stderr is not None:
                    found[f"{name}{suffix}.stderr"] = whole["stderr"].drop_vars("stderr")
        return xarray_module().Dataset(found, attrs={"run": str(self.folder), "shots": self.summary.shots})

    def __reduce__(self) -> tuple[Any, ...]:
        made_of = (self.summary, self.record, self.found, self.calibration, self.counters)
        return Result, made_of, {"stopped": self.stopped}

    def __repr__(self) -> str:
        stopped = ", stopped before its last" if self.stopped else ""
        lines = [f"<run {self.folder}: {self.summary.shots} shots{stopped}>"]
        if self.sweep is not None:
            axes = " x ".join(f"{name}: {len(values)}" for name, values in self.sweep.axes.items())
            lines += [f"  {name} at {axes} points" for name in self.sweep.curves]
        else:
            lines += [f"  {one.name} = {one.value:+.5f} ± {stderr_of(one):.5f}" for one in self.summary.estimates]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the run's line, its estimates, and pictures of the sweep or the iq clouds."""
        pictured = collect.swept(self.sweep)
        seen = () if pictured else clouds_of(self.record, self.record.rows, self.calibration)
        note = f"{self.summary.shots:,} shots{', stopped before its last' if self.stopped else ''} · {self.folder}"
        return cells.cell(
            str((self.record.start or {}).get("lab", "run")), note, self.summary.estimates, pictured, seen
        )


def swept(record: Run) -> Swept | None:
    """Return the estimates at each point of a recorded sweep; None for a run without one, or that ended before its first shot."""
    return read_points(record.file(FILE), (record.start or {}).get("sweep")) if FILE in record.files else None


def clouds_of(record: Run, rows: NDArray[Any], calibration: Calibration) -> tuple[Cloud, ...]:
    """Return the iq clouds of some rows of a run."""
    sequence = from_image(record.image()).sequence
    return collect.clouds(rows, sequence.slots, sequence.bits, calibration, None)


def stderr_of(estimate: Estimate) -> float:
    """Return the standard error of an estimate, all terms together."""
    return float(np.hypot.reduce(msgspec.structs.astuple(estimate.stderr)))


def grid_of_record(record: Run) -> Grid | None:
    """Return the grid that the arrays of a run have axes of; of an adaptive sweep the points as they came, None without a sweep."""
    document = (record.start or {}).get("sweep")
    grid = from_document(document)
    if grid is None or document is None or "adaptive" not in document:
        return grid
    points = Axis(POINT, tuple(Exact(Fraction(index)) for index in range(len(record.legs))))
    return msgspec.structs.replace(grid, axes=(points,))


def axes_of(sweep: Swept) -> tuple[tuple[str, ...], dict[str, NamedArray]]:
    """Return the names of a sweep's axes, and the values along them of all that goes along: settings as they were read back."""
    coords = {}
    for axis, values in sweep.axes.items():
        for name, along in ({axis: values} | sweep.beside[axis]).items():
            coords[name] = NamedArray(name, along, (axis,), unit=sweep.units[name])
    return tuple(sweep.axes), coords


def at_points(
    curves: Mapping[str, Curve | Estimate], dims: tuple[str, ...], coords: Mapping[str, NamedArray]
) -> tuple[Columns[NamedArray], Columns[NamedArray]]:
    """Return what observables came to at each point of a sweep, or as single values: mitigated, and as read."""
    names = list(curves)
    listed: list[Any] = list(curves.values())

    def named(index: int, value: Any, stderr: Any) -> NamedArray:
        return NamedArray(names[index], value, dims, coords=coords, stderr=stderr)

    def mitigated(index: int) -> NamedArray:
        one = listed[index]
        return named(index, one.value, stderr_of(one) if isinstance(one, Estimate) else one.stderr)

    return (
        Columns(names, mitigated, "observable"),
        Columns(names, lambda k: named(k, listed[k].raw, listed[k].raw_stderr), "observable"),
    )
