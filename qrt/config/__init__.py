"""The lab as configured: from a TOML file to a `types.Lab` that holds, or to one error that lists everything that does not.

Nothing is opened here and nothing is guessed: a file either becomes a complete, checked `Lab`, or a ConfigError with each
problem on a line of its own (line of the file, TOML path, value, what is allowed, nearest name). `schema` walks the declared types,
`crossfield` checks what no single field can know (names that must meet, channels in use twice, intermediate frequencies,
durations on the grid of ticks), `controlled` does so for controllers, `installed` looks names of drivers, twins and laws up, and
finds the type that a twin declares for its own `[twin.parameters]`, `places` finds the line of a path. A lab that was made in Python is
checked by the same function.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import tomli

from qrt.config.crossfield import cross_problems
from qrt.config.installed import TwinParameters, name_problems, parameters_type
from qrt.config.places import Places
from qrt.config.schema import schema_problems
from qrt.errors import ConfigError, Problem
from qrt.types import Lab

SIZE_MAX = 1 << 20  # bytes; a lab file beyond this is some other file, named by mistake


def load(path: str | Path) -> Lab:
    """Return the lab in a TOML file. Raises ConfigError with every problem of the file in one list."""
    return parse(_read(Path(path)), str(path))


def parse(text: str, name: str) -> Lab:
    """Return the lab in TOML text; `name` is what errors call the text. Raises ConfigError."""
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(
            f"{name}:{error.lineno}:{error.colno}: not valid TOML: {error.msg}; nothing was opened"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{name}: not readable as TOML: nested too deeply; nothing was opened") from error
    return checked(data, name, text)


def checked(given: Lab | dict[str, Any], name: str, text: str = "") -> Lab:
    """Return the lab that a Lab or plain tables describe, checked as a TOML file's. Raises ConfigError with every problem in one list.

    `name` is what errors call it; `text` is what the tables were read from, if anything: problems are then given its lines.
    """
    data = given if isinstance(given, dict) else _tables(given, name)
    lab, problems = None, schema_problems(data, Lab)
    if not problems:
        lab = msgspec.convert(data, Lab)
        problems += cross_problems(lab)
    problems += name_problems(data)
    if (kind := parameters_type(data)) is not None:
        problems += _parameter_problems(data, kind, lab, {one.path for one in problems})
    if lab is None or problems:
        raise refusal(name, text, problems)
    return lab


def _parameter_problems(
    data: dict[str, Any], kind: type[TwinParameters], lab: Lab | None, named: set[tuple[str, ...]]
) -> list[Problem]:
    """Return what is wrong with a twin's parameters; against the lab only where that can be read, and no path of `named` again."""
    parameters = data["twin"].get("parameters", {})
    problems = [one for one in schema_problems(parameters, kind, ("twin", "parameters")) if one.path not in named]
    if problems or lab is None:
        return problems
    return [one for one in msgspec.convert(parameters, kind).problems(lab) if one.path not in named]


def _tables(lab: Lab, name: str) -> dict[str, Any]:
    """Return a lab as plain tables. Raises ConfigError for values that no lab file could hold."""
    try:
        tables: dict[str, Any] = msgspec.to_builtins(lab)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: holds a value that no lab file could: {error}; nothing was opened") from error
    return tables


def encode_lab(lab: Lab) -> bytes:
    """Return the lab's canonical encoding: JSON with sorted keys, defaults written out."""
    return msgspec.json.encode(lab, order="sorted")


def lab_hash(lab: Lab) -> str:
    """Return the SHA-256, in hex, of the lab's canonical encoding."""
    return hashlib.sha256(encode_lab(lab)).hexdigest()


def _read(path: Path) -> str:
    """Return the file's text. Raises ConfigError that names the nearest file where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX + 1)
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, _names(path.parent), 1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "configs/demo.toml is one to start from"
        raise ConfigError(f"{path}: no such lab file; {hint}") from error
    except OSError as error:
        raise ConfigError(f"{path}: the lab file cannot be read: {error.strerror}") from error
    if len(data) > SIZE_MAX:
        raise ConfigError(f"{path}: more than {SIZE_MAX} bytes; this is no lab file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}"
        ) from error


def _names(folder: Path) -> list[str]:
    """Return the names of the TOML files in a folder, none where there is no such folder."""
    return sorted(entry.name for entry in folder.glob("*.toml")) if folder.is_dir() else []


def refusal(name: str, text: str, problems: Iterable[Problem]) -> ConfigError:
    """Return the one error for all problems, in the order of the file's lines."""
    places = Places(text)
    lines = sorted((places.line(problem.path), ".".join(problem.path), problem.text) for problem in problems)
    count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
    body = [
        f"  {name}:{line}: {path}: {message}" if line else f"  {name}: {path}: {message}"
        for line, path, message in lines
    ]
    return ConfigError("\n".join([f"{name}: {count}; nothing was opened", *body]))
