"""The walk along declared types: every departure of a TOML document from a msgspec Struct, not only the first.

msgspec converts quickly and stops at the first error; a person who writes a lab file wants all of them. So the declared
types are read by introspection (`msgspec.inspect`), and the document is walked beside them. Types and bounds live in types.py
alone: a field added there is checked here without a change. The unit in a message is the one that the key's name ends with.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import NODEFAULT, inspect

UNITS = {"hz": "Hz", "dbm": "dBm", "v": "V", "s": "s", "ns": "ns", "ps": "ps", "ticks": "ticks", "rad": "rad"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9}  # what people have in mind who write a number too small, in Hz


class Problem(NamedTuple):
    """Something that does not hold: where in the document, and what about it."""

    path: tuple[str, ...]
    text: str


def schema_problems(data: Any, kind: type) -> list[Problem]:
    """Return every departure of `data` (as TOML gives it) from the type, in document order."""
    return list(_walk((), data, inspect.type_info(kind)))


def nearest(name: str, allowed: list[str]) -> str:
    """Return the clause that names the nearest of the allowed names, and all of them."""
    near = difflib.get_close_matches(name, allowed, 1, cutoff=0.5)
    listed = ", ".join(allowed) if allowed else "none"
    return f"did you mean {near[0]}? Allowed: {listed}" if near else f"allowed: {listed}"


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
        case inspect.UnionType():  # only `Struct | None`: TOML has no null, so what is written is the struct
            yield from _walk(path, value, kind.types[0])
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
            yield Problem((*path, key), f"unknown key; {nearest(key, list(fields))}")
    for name, field in fields.items():
        if name not in value and field.default is NODEFAULT and field.default_factory is NODEFAULT:
            yield Problem((*path, name), f"missing; {_expected(name, field.type)}")


def _names(path: tuple[str, ...], value: Any, kind: inspect.DictType) -> Iterator[Problem]:
    """Yield the problems of a table whose keys are names that the lab's owner gives."""
    if isinstance(kind.value_type, inspect.AnyType):
        if not isinstance(value, dict):
            yield Problem(path, f"{show(value)} is not a table")
        yield from _finite(path, value)
        return
    if not isinstance(value, dict) or not value:
        yield Problem(path, f"{show(value)} is not a table of at least one [{'.'.join(path)}.<name>]")
        return
    for name, inner in value.items():
        if not NAME.fullmatch(name):
            yield Problem((*path, name), f"{name!r} is no name; allowed: a letter, then letters, digits, _ and -")
        yield from _walk((*path, name), inner, kind.value_type)


def _number(path: tuple[str, ...], value: Any, kind: inspect.FloatType | inspect.IntType) -> Iterator[Problem]:
    """Yield what is wrong with a number: its type, that it is none, its range."""
    expected = _expected(path[-1], kind)
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


def _expected(key: str, kind: inspect.Type) -> str:
    """Return what a key's value must be, with its unit and range, in words."""
    match kind:
        case inspect.FloatType() | inspect.IntType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            suffix = key.rpartition("_")[2]
            unit = f" in {UNITS[suffix]}" if suffix in UNITS else ""
            bounds = ((kind.gt, "above"), (kind.ge, "at least"), (kind.lt, "below"), (kind.le, "at most"))
            ranges = [f"{word} {bound:g}" for bound, word in bounds if bound is not None]
            return f"{noun}{unit}{', ' if ranges else ''}{' and '.join(ranges)}"
        case inspect.StructType():
            return f"a table with the keys {', '.join(field.encode_name for field in kind.fields)}"
        case inspect.DictType():
            return f"a table of at least one [{key}.<name>]"
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
