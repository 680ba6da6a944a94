"""The walk along declared types: every departure of a TOML document from a msgspec Struct, not only the first.

msgspec converts quickly and stops at the first error; a person who writes a lab file wants all of them. So the declared
types are read by introspection (`msgspec.inspect`), and the document is walked beside them. Types and bounds live in qrt.types
alone: a field added there is checked here without a change. The unit in a message is the one that the key's name ends with. A twin's
own parameters are walked along the types that the twin declares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import NODEFAULT, inspect

from qrt.errors import Problem, nearest

UNITS = {"hz": "Hz", "dbm": "dBm", "v": "V", "s": "s", "ns": "ns", "ps": "ps", "ticks": "ticks", "rad": "rad"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9}  # what people have in mind who write a number too small, in Hz


def schema_problems(data: Any, kind: type, path: tuple[str, ...] = ()) -> list[Problem]:
    """Return every departure of `data`, as TOML gives it at that path, from the type, in document order."""
    return list(_walk(path, data, inspect.type_info(kind)))


def show(value: Any) -> str:
    """Return a value as a person would find it in the file, shortened."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _walk(path: tuple[str, ...], value: Any, kind: inspect.Type) -> Iterator[Problem]:
    """Yield the problems of one value and of all inside it."""
    match kind:
        case inspect.StructType():
            yield from _struct(path, value, kind)
        case inspect.DictType():
            yield from _names(path, value, kind)
        case inspect.FloatType() | inspect.IntType():
            yield from _number(path, value, kind)
        case inspect.StrType():
            if not isinstance(value, str) or not value.strip():
                yield Problem(path, f"{show(value)} is not a text of at least one character")
        case inspect.LiteralType():
            if value not in kind.values or not isinstance(value, str):
                allowed = sorted(str(choice) for choice in kind.values)
                yield Problem(path, f"{show(value)} is not allowed; {nearest(str(value), allowed)}")
        case inspect.BoolType():
            if not isinstance(value, bool):
                yield Problem(path, f"{show(value)} is not {_expected(path, kind)}")
        case inspect.UnionType():  # only `something | None`: TOML has no null, so None is what a lab made in Python left out
            if value is not None:
                yield from _walk(path, value, _written(kind))
        case inspect.TupleType():
            yield from _listed(path, value, kind)
        case inspect.AnyType():
            yield from _finite(path, value)
        case _:
            message = f"no rule for {kind!r} at {'.'.join(path)}"
            raise AssertionError(message)


def _struct(path: tuple[str, ...], value: Any, kind: inspect.StructType) -> Iterator[Problem]:
    """Yield the problems of a table with declared keys: unknown ones, missing ones, and those of its values."""
    fields = {field.encode_name: field for field in kind.fields}
    if not isinstance(value, dict):
        yield Problem(path, f"{show(value)} is not a table with the keys {', '.join(fields)}")
        return
    for key, inner in value.items():
        if key in fields:
            yield from _walk((*path, key), inner, fields[key].type)
        else:
            yield Problem((*path, key), f"unknown key; {nearest(key, list(fields))}{_elsewhere(path, fields)}")
    for name, field in fields.items():
        if name not in value and field.default is NODEFAULT and field.default_factory is NODEFAULT:
            yield Problem((*path, name), f"missing; {_expected((*path, name), field.type)}")


def _elsewhere(path: tuple[str, ...], fields: Mapping[str, inspect.Field]) -> str:
    """Return where a key belongs that is not this table's own: a free table in it holds those of what it names, as a law."""
    free = [name for name, field in fields.items() if _is_free(field.type)]
    return f"; parameters of what it names belong in [{'.'.join((*path, free[0]))}]" if free else ""


def _is_free(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.DictType) and isinstance(kind.value_type, inspect.AnyType)


def _names(path: tuple[str, ...], value: Any, kind: inspect.DictType) -> Iterator[Problem]:
    """Yield the problems of a table whose keys are names that the lab's owner gives."""
    if _is_free(kind):
        if not isinstance(value, dict):
            yield Problem(path, f"{show(value)} is not a table")
        yield from _finite(path, value)
        return
    if not isinstance(value, dict) or len(value) < (kind.min_length or 0):
        yield Problem(path, f"{show(value)} is not {_expected(path, kind)}")
        return
    for name, inner in value.items():
        if not NAME.fullmatch(name):
            yield Problem((*path, name), f"{name!r} is no name; allowed: a letter, then letters, digits, _ and -")
        yield from _walk((*path, name), inner, kind.value_type)


def _listed(path: tuple[str, ...], value: Any, kind: inspect.TupleType) -> Iterator[Problem]:
    """Yield the problems of a list with so many values."""
    if not isinstance(value, list | tuple) or len(value) != len(kind.item_types):
        yield Problem(path, f"{show(value)} is not {_expected(path, kind)}")
        return
    for index, (inner, one) in enumerate(zip(value, kind.item_types, strict=True)):
        yield from (Problem(path, f"value {index + 1}: {each.text}") for each in _walk(path, inner, one))


def _number(path: tuple[str, ...], value: Any, kind: inspect.FloatType | inspect.IntType) -> Iterator[Problem]:
    """Yield what is wrong with a number: its type, that it is none, its range."""
    expected = _expected(path, kind)
    types = (int,) if isinstance(kind, inspect.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, types):
        yield Problem(path, f"{show(value)} is not {expected}")
    elif not _is_finite(value):
        yield Problem(path, f"{value} is not a finite number; {expected}")
    elif not _within(value, kind):
        yield Problem(path, f"{value:g} is out of range; {expected}{_hint(path[-1], value, kind)}")


def _within(value: float, kind: inspect.FloatType | inspect.IntType) -> bool:
    """Say whether the value keeps every declared bound."""
    return (
        (kind.gt is None or value > kind.gt)
        and (kind.ge is None or value >= kind.ge)
        and (kind.lt is None or value < kind.lt)
        and (kind.le is None or value <= kind.le)
    )


def _is_finite(value: float) -> bool:
    """Say whether a number is finite as a float: an integer of four hundred digits is not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _hint(key: str, value: float, kind: inspect.FloatType | inspect.IntType) -> str:
    """Return a hint where a frequency is in range if read in kHz, MHz or GHz."""
    if not key.endswith("_hz") or value <= 0:
        return ""
    fits = [f"{value * factor:g}" for prefix, factor in reversed(PREFIXES.items()) if _within(value * factor, kind)]
    return f"; for {value:g} GHz write {value * 1e9:g}" if f"{value * 1e9:g}" in fits else ""


def _written(kind: inspect.UnionType) -> inspect.Type:
    """Return the part of `something | None` that can be written."""
    (part,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
    return part


def _unit(key: str) -> str:
    """Return the unit that a key ends with, as ` in Hz` or ` in Hz/V`; nothing where it ends with none. A channel may follow: `_v_i`."""
    head, _, per = key.rpartition("_per_")
    if head:
        units = [UNITS.get(head.rpartition("_")[2]), UNITS.get(per)]
    else:
        units = [UNITS.get(key.removesuffix("_i").removesuffix("_q").rpartition("_")[2])]
    known = [one for one in units if one is not None]
    return f" in {'/'.join(known)}" if len(known) == len(units) else ""


def _expected(path: tuple[str, ...], kind: inspect.Type) -> str:
    """Return what the value of the key at a path must be, with its unit and range, in words."""
    match kind:
        case inspect.FloatType() | inspect.IntType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            bounds = ((kind.gt, "above"), (kind.ge, "at least"), (kind.lt, "below"), (kind.le, "at most"))
            ranges = [f"{word} {bound:g}" for bound, word in bounds if bound is not None]
            return f"{noun}{_unit(path[-1])}{', ' if ranges else ''}{' and '.join(ranges)}"
        case inspect.StructType():
            return f"a table with the keys {', '.join(field.encode_name for field in kind.fields)}"
        case inspect.DictType():
            least = "at least one " if kind.min_length else ""
            return f"a table of {least}[{'.'.join(path)}.<name>]"
        case inspect.BoolType():
            return "true or false"
        case inspect.TupleType():
            return f"a list of {len(kind.item_types)}: [{', '.join(_expected(path, one) for one in kind.item_types)}]"
        case inspect.UnionType():
            return _expected(path, _written(kind))
        case _:
            return "a text"


def _finite(path: tuple[str, ...], value: Any) -> Iterator[Problem]:
    """Yield the numbers that are none inside a free table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _finite((*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _finite((*path, str(index)), inner)
    elif isinstance(value, (int, float)) and not _is_finite(value):
        yield Problem(path, f"{value} is not a finite number")
