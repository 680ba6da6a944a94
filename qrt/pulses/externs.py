"""Functions that a lab provides to programs (`extern`): from the lab's file, or of installed packages.

In the lab's file, `[externs]` has `name = "path/file.py:function"`; a package has an entry point of group `qrt.externs`. The lab's own come
first. What a file holds is executed once, when a program declares the function; a run keeps it, so that its program can be compiled again.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

import msgspec
from openqasm3 import ast

from qrt.errors import ConfigError
from qrt.packages import offered
from qrt.qasm.program import Program
from qrt.types import Lab

GROUP: Final = "qrt.externs"


class Externs(Mapping[str, Callable[..., Any]]):
    """The functions by name; each is loaded when it is looked up. Raises ConfigError for one that cannot be."""

    def __init__(self, lab: Lab) -> None:
        self._written = lab.externs
        self._installed = offered(GROUP)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter({**self._written, **self._installed})

    def __len__(self) -> int:
        """Return how many there are."""
        return len({**self._written, **self._installed})

    def __contains__(self, name: object) -> bool:
        """Say whether there is one, without loading it."""
        return name in self._written or name in self._installed

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """Return a function."""
        if name in self._written:
            return _from_file(self._written[name], f"externs.{name}")
        entry = self._installed[name]
        try:
            found: Callable[..., Any] = entry.load()
        except Exception as error:  # whatever a package raises while it is imported
            raise ConfigError(
                f"externs.{name}: {entry.value} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        return found


def declared(program: Program) -> tuple[str, ...]:
    """Return the functions that a program declares at its top, of which some may be OpenPulse's own."""
    tops = (one for one in program.tree.statements if isinstance(one, ast.ExternDeclaration))
    return tuple(dict.fromkeys(one.name.name for one in tops))


def sources_of(program: Program, lab: Lab) -> dict[str, bytes]:
    """Return what the lab's files of a program's functions hold, by function. One that cannot be read is for loading it to tell."""
    found = {}
    for name in declared(program):
        if name in lab.externs:
            with suppress(OSError):
                found[name] = Path(lab.externs[name].rpartition(":")[0]).read_bytes()
    return found


def with_files(lab: Lab, files: Mapping[str, Path]) -> Lab:
    """Return the lab with these files in place of those that its functions were in."""
    moved = {name: f"{path}:{lab.externs[name].rpartition(':')[2]}" for name, path in files.items()}
    return msgspec.structs.replace(lab, externs=lab.externs | moved)


def _from_file(written: str, where: str) -> Callable[..., Any]:
    """Return the function that `file.py:function` names."""
    file, colon, function = written.rpartition(":")
    path = Path(file)
    if not colon or path.suffix != ".py" or not function.isidentifier():
        raise ConfigError(f'{where} = {written!r}: needed is "path/file.py:function"')
    if not path.is_file():
        names = sorted(one.name for one in path.parent.glob("*.py")) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, 1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "the path counts from where the command is called"
        raise ConfigError(f"{where}: {path}: no such file; {hint}")
    resolved = path.resolve()
    name = f"qrt_externs_{hashlib.sha256(str(resolved).encode()).hexdigest()[:16]}"
    spec = spec_from_file_location(name, resolved)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises; to leave is its way to raise, too
        raise ConfigError(f"{where}: {path} cannot be loaded: {type(error).__name__}: {error}") from error
    found: Callable[..., Any] | None = getattr(module, function, None)
    if not callable(found):
        known = [one for one in vars(module) if callable(getattr(module, one)) and not one.startswith("_")]
        near = difflib.get_close_matches(function, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"
        raise ConfigError(f"{where}: {path} has no function {function!r}; {hint}")
    return found
