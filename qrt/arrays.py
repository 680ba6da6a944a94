"""Arrays that say what their axes are: the type in which results are handed over. Numpy alone; pure.

A `NamedArray` is a numpy array with a name for every axis, the values along them (`coords`), a unit, and, where it is a mean or an
estimate, one standard error for every value. It is the same type on every machine: whether xarray is installed decides only whether
`to_xarray` can be called. Numpy's functions, the methods of its arrays (`x.mean(axis=-1)`) and Python's operators take it for its `values`;
they give plain arrays, since what becomes of names, units and errors under an operation is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from qrt.errors import MachineError

A = TypeVar("A")
SHOWN_MAX = 12  # values that `repr` lists


class NamedArray(NDArrayOperatorsMixin):
    """An array with named axes.

    values: [one axis for each of dims], often a view of the record on disk: nothing is loaded before it is used
    dims: the names of its axes
    coords: values along axes by name, each a NamedArray over one or more of these dims; a swept input's has its own name as dim
    unit: of the values: "s", "Hz", "counts", ...; empty for a pure number
    stderr: one standard error for each value, of the same shape and unit; None where the values are no estimates
    """

    __slots__ = ("coords", "dims", "name", "stderr", "unit", "values")

    def __init__(
        self,
        name: str,
        values: Any,
        dims: tuple[str, ...] = (),
        *,
        coords: Mapping[str, NamedArray] | None = None,
        unit: str = "",
        stderr: Any = None,
    ) -> None:
        self.name = name
        self.values: NDArray[Any] = np.asanyarray(values)
        self.dims = dims
        self.coords = dict(coords or {})
        self.unit = unit
        self.stderr: NDArray[Any] | None = None if stderr is None else np.asarray(stderr)
        assert len(set(dims)) == len(dims) == self.values.ndim, (name, dims, self.values.shape)
        assert self.stderr is None or self.stderr.shape == self.values.shape, name
        sizes = self.sizes
        for key, coord in self.coords.items():
            assert coord.values.shape == tuple(sizes[dim] for dim in coord.dims), (name, key)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values along each axis."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a value."""
        return self.values.dtype

    @property
    def sizes(self) -> dict[str, int]:
        """How many values along each axis, by its name."""
        return dict(zip(self.dims, self.values.shape, strict=True))

    def to_xarray(self) -> Any:
        """Return an `xarray.DataArray` of the same memory: units in `attrs`, a standard error as the coordinate `stderr`.

        MachineError if xarray is not installed.
        """
        coords = {name: (one.dims, one.values, _attributes(one)) for name, one in self.coords.items()}
        if self.stderr is not None:
            coords["stderr"] = (self.dims, self.stderr, {"units": self.unit} if self.unit else {})
        return xarray_module().DataArray(
            self.values, dims=self.dims, coords=coords, name=self.name, attrs=_attributes(self)
        )

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Any:
        """Return what numpy's indexing gives of the values."""
        return self.values[key]

    def __getattr__(self, name: str) -> Any:
        """Return what numpy's array of the values has by that name: `ndim`, `T`, `mean`, ..."""
        if name.startswith("_") or name in NamedArray.__slots__ or not hasattr(np.ndarray, name):
            raise AttributeError(f"a NamedArray has no {name!r}, and neither has a numpy array")
        return getattr(self.values, name)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __format__(self, form: str) -> str:
        return format(self.values.item(), form) if form and self.values.ndim == 0 else format(repr(self), form)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        if dtype is None or dtype == self.values.dtype:
            return self.values.copy() if copy else self.values
        return self.values.astype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*(one.values if isinstance(one, NamedArray) else one for one in inputs), **kwargs)

    def __repr__(self) -> str:
        axes = ", ".join(f"{dim}: {size}" for dim, size in self.sizes.items())
        unit = f" {self.unit}" if self.unit else ""
        if self.values.ndim == 0 and self.stderr is not None:
            return f"<{self.name}: {float(self.values):.6g} ± {float(self.stderr):.2g}{unit}>"
        listed = ""
        if self.values.size <= SHOWN_MAX:
            listed = f" {np.array2string(np.asarray(self.values), precision=5, separator=', ')}"
        return f"<{self.name} ({axes}) {self.dtype}{unit}{', with stderr' if self.stderr is not None else ''}{listed}>"


class Columns(Mapping[str, A]):
    """Arrays by name, made when they are asked for; an unknown name says which there are."""

    def __init__(self, names: Sequence[str], take: Callable[[int], A], what: str) -> None:
        self._indices = {name: index for index, name in enumerate(names)}
        self._take = take
        self._what = what

    def __getitem__(self, name: str) -> A:
        if name not in self._indices:
            raise KeyError(f"no {self._what} {name!r}; there are: {', '.join(self._indices) or 'none'}")
        return self._take(self._indices[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __repr__(self) -> str:
        return f"<{self._what}s: {', '.join(self._indices) or 'none'}>"

    def _ipython_key_completions_(self) -> list[str]:
        """Return what a notebook offers behind `[`."""
        return list(self._indices)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled with all arrays."""
        return columns_of, (dict(self), self._what)


def columns_of(arrays: Mapping[str, A], what: str) -> Columns[A]:
    """Return columns of arrays that are there."""
    return Columns(tuple(arrays), list(arrays.values()).__getitem__, what)


def xarray_module() -> Any:
    """Return the package xarray, which is nothing that Q-RT needs. MachineError if it is not installed."""
    try:
        return import_module("xarray")
    except ImportError as error:
        raise MachineError("xarray is not installed; install it beside Q-RT: pip install xarray") from error


def _attributes(array: NamedArray) -> dict[str, str]:
    """Return what xarray writes beside an axis."""
    return {"units": array.unit} if array.unit else {}
