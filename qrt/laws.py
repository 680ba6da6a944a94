"""Finding and checking laws: from what a lab names to a configured law that has been traced once, or to one error that says where.

A law is named by an entry point of the group `qrt.controllers`, or by a path ending in `.py` whose file holds `LAW`. Either runs a
user's code while it is loaded, so this happens in the batch process only, never in the host's. Every refusal is a ConfigError with one
line for each problem, which begins with the TOML path of what is wrong.

A file is one module: its folder is not on the search path. Laws that share code of their own belong in a package with entry points.
"""

from __future__ import annotations

import difflib
import hashlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from qrt import control
from qrt.config.schema import schema_problems, show
from qrt.control import Law, Observation, Steps, step_of, trace
from qrt.errors import ConfigError, nearest
from qrt.packages import offered

GROUP: Final = "qrt.controllers"
ATTRIBUTE: Final = "LAW"


class Rhythm(msgspec.Struct, frozen=True):
    """What a lab says of a controller beside its law and the law's parameters."""

    bit: int | None = None  # column of the signal's bit
    setpoint: float = 0.5
    minimum: float | None = None
    maximum: float | None = None
    every: int = 1


def assemble(
    name: str, law: str, table: Mapping[str, Any], rhythm: Rhythm, seen: Observation, *, source: bytes | None = None
) -> Steps:
    """Return the controller `name` of a lab, loaded, configured, and traced for observations of these shapes (`control.blank`).

    source: what its file holds, if it was read already. Raises ConfigError, with paths below controllers.<name>.
    """
    where = f"controllers.{name}"
    found = load_law(law, f"{where}.law", source)
    steps = step_of(
        found,
        law_parameters(found, table, f"{where}.parameters"),
        bit=rhythm.bit,
        setpoint=rhythm.setpoint,
        minimum=rhythm.minimum,
        maximum=rhythm.maximum,
        every_batches=rhythm.every,
    )
    try:
        trace(steps, seen)
    except Exception as error:  # whatever a user's function raises
        raise ConfigError(f"{where}.law: {law} cannot be traced: {told(error)}") from error
    return steps


def load_law(name: str, where: str, source: bytes | None = None) -> Law:
    """Return the law that an entry point or a file names; ConfigError, beginning with `where`, if there is none or it is no law.

    source: what the file holds, instead of looking.
    """
    if name.endswith(".py"):
        path = Path(name)
        found = _from_source(_read(path, where) if source is None else source, path, where)
    else:
        installed = offered(GROUP)
        if name not in installed:
            raise ConfigError(
                f"{where}: {name!r} is not installed; {nearest(name, sorted(installed))} (entry points of group {GROUP}), "
                "or the path of a file that ends in .py"
            )
        try:
            found = installed[name].load()
        except Exception as error:  # whatever a package raises while it is imported
            raise ConfigError(f"{where}: {name} ({installed[name].value}) cannot be loaded: {told(error)}") from error
    problem = _law_problem(found)
    if problem:
        raise ConfigError(f"{where}: {name}: {problem}")
    law: Law = found
    return law


def law_parameters(law: Law, table: Mapping[str, Any], where: str) -> msgspec.Struct:
    """Return a law's parameters from what a lab says; ConfigError that lists every departure, paths below `where`."""
    path = tuple(where.split("."))
    problems = [(*one.path, one.text) for one in schema_problems(dict(table), law.parameters, path)]
    if problems:
        raise ConfigError("\n".join(f"{'.'.join(keys)}: {text}" for *keys, text in problems))
    try:
        return msgspec.convert(dict(table), law.parameters)
    except msgspec.ValidationError as error:  # what no single field can know: the type's own __post_init__
        raise ConfigError(f"{where}: {error}") from error


def told(error: BaseException) -> str:
    """Return an exception as `Kind: message (file:line)`, at the innermost line that is not a library's."""
    text = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    libraries = (sys.prefix, sys.base_prefix, "<frozen ")
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(libraries)]
    outside = [one for one in frames if one.filename not in {__file__, control.__file__}]
    return f"{text} ({outside[-1].filename}:{outside[-1].lineno})" if outside else text


def _read(path: Path, where: str) -> bytes:
    """Return what a law's file holds."""
    if not path.is_file():
        names = sorted(one.name for one in path.parent.glob("*.py")) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, 1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "qrt new controller NAME writes one to start from"
        raise ConfigError(f"{where}: {path}: no such file; {hint}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: {path} cannot be loaded: {error.strerror}") from error


def _from_source(source: bytes, path: Path, where: str) -> Any:
    """Return the LAW of a file that holds this. The module stays loaded under a name of its own, where msgspec looks its annotations up."""
    resolved = path.resolve()
    name = f"qrt_law_{hashlib.sha256(str(resolved).encode()).hexdigest()[:16]}"
    spec = spec_from_file_location(name, resolved)
    assert spec is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        exec(compile(source, str(resolved), "exec"), module.__dict__)  # noqa: S102 - a user's law, as an import would run it
    except (Exception, SystemExit) as error:  # whatever a user's file raises; to leave is its way to raise, too
        raise ConfigError(f"{where}: {path} cannot be loaded: {told(error)}") from error
    if not hasattr(module, ATTRIBUTE):
        raise ConfigError(
            f"{where}: {path} has no {ATTRIBUTE}; a law's file ends in {ATTRIBUTE} = Law(Parameters, init, step)"
        )
    return getattr(module, ATTRIBUTE)


def _law_problem(found: Any) -> str:
    """Return what is wrong with something that should be a law; nothing if it is one."""
    if not isinstance(found, Law):
        return f"{ATTRIBUTE} is {show(found)}, of type {type(found).__name__}, not a qrt.control.Law(Parameters, init, step)"
    kind: Any = found.parameters
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return f"its parameters are {show(kind)}, not a type made from msgspec.Struct"
    if not (kind.__struct_config__.frozen and kind.__struct_config__.forbid_unknown_fields):
        return f"{kind.__name__} is not declared with frozen=True, forbid_unknown_fields=True"
    functions: tuple[tuple[str, Any], ...] = (("init", found.init), ("step", found.step))
    for role, function in functions:
        if not callable(function):
            return f"its {role} is {show(function)}, not a function"
    try:
        strange = list(_strange(kind.__name__, inspect.type_info(kind)))
    except (NameError, TypeError, AttributeError) as error:  # annotations are code, and may name what is not there
        return f"the fields of {kind.__name__} cannot be read: {told(error)}"
    return (
        f"{strange[0]}; parameters are of float, int, bool, str, a Literal of texts, a Struct of these, or one of them | None"
        if strange
        else ""
    )


def _strange(place: str, kind: inspect.Type) -> Iterator[str]:
    """Yield the fields whose types no lab file is checked along."""
    match kind:
        case inspect.StructType():
            for field in kind.fields:
                yield from _strange(f"{place}.{field.name}", field.type)
        case inspect.UnionType():
            parts = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            if len(parts) != 1:
                yield f"{place} has a choice of types"
            else:
                yield from _strange(place, parts[0])
        case inspect.LiteralType():
            if not all(isinstance(value, str) for value in kind.values):
                yield f"{place} is a Literal that is not of texts"
        case inspect.FloatType() | inspect.IntType() | inspect.BoolType() | inspect.StrType():
            pass
        case _:
            yield f"{place} is of type {type(kind).__name__.removesuffix('Type').lower()}"
