"""A model of an instrument as data: settings and actions under their headers.

A `Setting` is a stored value: its kind (bounds, unit, words), what it is after *RST, what the hardware makes of it
(`store`: rounding to a resolution), and what it depends on (`guard`: refuses with a settings conflict). It answers its
query, also with MIN, MAX or DEF. An `Action` is a function with typed parameters: a command, or a query if its header
ends in `?`. What a model stores beyond settings (a segment memory) is its `memory`, new at *RST. An `Instrument` is one
of a model: all that it remembers, whoever talks to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from qrt.scpi.headers import HeaderTree
from qrt.scpi.status import Status


class Kind(Protocol):
    """What a parameter may be."""

    def read(self, token: str, /) -> Any:
        """Return the value of a token. Raises Refusal."""

    def write(self, value: Any, /) -> str:
        """Return the reply for a value."""


@dataclass(frozen=True, slots=True)
class Data:
    """A parameter that is a block; always the last one."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a command was given: the numeric suffixes of its header, and its parameters as values."""

    suffixes: tuple[int, ...]
    values: tuple[Any, ...]


def as_is(value: Any) -> Any:
    """Return the value: hardware that takes each one exactly."""
    return value


def unguarded(instrument: Instrument, suffixes: tuple[int, ...], value: Any) -> None:
    """Refuse nothing."""


@dataclass(frozen=True)
class Setting:
    """A value that is set and asked for. `key` and the header's suffixes find it in the instrument's `values`."""

    header: str
    key: str
    kind: Kind
    initial: Any
    store: Callable[[Any], Any] = as_is
    guard: Callable[[Instrument, tuple[int, ...], Any], None] = unguarded


@dataclass(frozen=True)
class Action:
    """A command, or a query if the header ends in `?`. The function returns the reply of a query. May raise Refusal."""

    header: str
    run: Callable[[Instrument, Call], str | bytes | None]
    kinds: tuple[Kind | Data, ...] = ()


@dataclass(frozen=True)
class Model:
    """An instrument's type."""

    manufacturer: str
    name: str
    firmware: str
    entries: tuple[Setting | Action, ...]
    suffix_max: int = 1  # of every <n>
    block_size_max: int = 0  # 0: takes no blocks
    memory: Callable[[], Any] = dict
    options: str = "0"

    @cached_property
    def commands(self) -> HeaderTree[Setting | Action]:
        """What can be commanded."""
        return self._tree(query=False)

    @cached_property
    def queries(self) -> HeaderTree[Setting | Action]:
        """What can be asked."""
        return self._tree(query=True)

    @cached_property
    def initial(self) -> Mapping[tuple[str, tuple[int, ...]], Any]:
        """Every setting after *RST."""
        settings = [entry for entry in self.entries if isinstance(entry, Setting)]
        indices = range(1, self.suffix_max + 1)
        return {(s.key, (n,) if "<n>" in s.header else ()): s.initial for s in settings for n in indices}

    def _tree(self, *, query: bool) -> HeaderTree[Setting | Action]:
        tree: HeaderTree[Setting | Action] = HeaderTree()
        for entry in self.entries:
            if isinstance(entry, Setting) or entry.header.endswith("?") == query:
                tree.add(entry.header.removesuffix("?"), entry)
        return tree


class Instrument:
    """An instrument of a model, with its serial number."""

    def __init__(self, model: Model, serial: str) -> None:
        self.model = model
        self.identity = f"{model.manufacturer},{model.name},{serial},{model.firmware}"
        self.status = Status()
        self.values: dict[tuple[str, tuple[int, ...]], Any] = dict(model.initial)
        self.memory = model.memory()
        self.wires: Any = None  # what its trigger output leads to; *RST does not pull a cable

    def reset(self) -> None:
        """Do *RST."""
        self.values = dict(self.model.initial)
        self.memory = self.model.memory()

    def value(self, key: str, *suffixes: int) -> Any:
        """Return a setting."""
        return self.values[key, suffixes]
