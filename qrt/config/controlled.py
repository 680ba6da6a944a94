"""Controllers: what does not fit between them and the lab, and how one is written on a command line.

Whether an output is an input of the program, and a bit one of its bits, only the run can tell; whether parameters fit their law, the
batch process, which alone loads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

import msgspec

from qrt.errors import ConfigError, Problem, nearest
from qrt.types import Controller, Lab

THRESHOLD: Final = "threshold."  # an output with this beginning is the threshold of a qubit's captures
OWN: Final = tuple(name for name in Controller.__struct_fields__ if name not in {"law", "parameters"})
FORM: Final = "NAME:key=value,key=value"
_OUTPUT: Final = re.compile(r"[^\W\d]\w*")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")


def controller_problems(lab: Lab) -> Iterator[Problem]:
    """Yield what does not fit in or between the lab's controllers."""
    setters: dict[str, str] = {}
    for name, one in lab.controllers.items():
        path = ("controllers", name)
        qubit = one.output.removeprefix(THRESHOLD)
        if one.output.startswith(THRESHOLD) and qubit not in lab.qubits:
            yield Problem((*path, "output"), f"{qubit!r} is not in [qubits]; {nearest(qubit, lab.qubits)}")
        elif not one.output.startswith(THRESHOLD) and not _OUTPUT.fullmatch(one.output):
            allowed = f"an input of the program, or {', '.join(THRESHOLD + known for known in lab.qubits)}"
            yield Problem((*path, "output"), f"{one.output!r} is nothing that a controller sets; allowed: {allowed}")
        if one.output in setters:
            yield Problem((*path, "output"), f"{one.output!r} is set by controller {setters[one.output]!r} already")
        setters.setdefault(one.output, name)
        if one.minimum is not None and one.maximum is not None and one.minimum > one.maximum:
            yield Problem((*path, "minimum"), f"{one.minimum:g} is above the maximum {one.maximum:g}")


def parse_controller(text: str) -> tuple[str, Controller]:
    """Return name and controller of `LAW:key=value,...`. ConfigError says what is wrong with it.

    The law, an entry point or a file, gives the name. Keys of a Controller are its fields, all others are parameters of the law;
    numbers, true and false are values of these types, everything else is text.
    """
    law, _, rest = text.partition(":")
    fields: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not (equals and key and value):
            raise _refused(text, f"{part!r} is not key=value")
        if key in fields or key in parameters:
            raise _refused(text, f"{key!r} is given twice")
        (fields if key in OWN else parameters)[key] = _value(value)
    if not law.strip():
        raise _refused(text, "no law is named")
    if "output" not in fields:
        raise _refused(text, "output= is missing: an input of the program, or threshold.<qubit>")
    try:
        one = msgspec.convert({"law": law.strip(), **fields, "parameters": parameters}, Controller)
    except msgspec.ValidationError as error:
        expected, _, key = str(error).partition(" - at `$.")
        key = key.rstrip("`")
        raise _refused(text, f"{key}: {fields.get(key, '')!r}: {expected}" if key else expected) from error
    return _NOT_IN_NAMES.sub("_", PurePath(law.strip()).stem), one


def parse_controllers(texts: Iterable[str]) -> dict[str, Controller]:
    """Return the controllers by name; a law that is used again gets a number: `integrator`, `integrator-2`."""
    found: dict[str, Controller] = {}
    for text in texts:
        name, one = parse_controller(text)
        unique, number = name, 1
        while unique in found:
            number += 1
            unique = f"{name}-{number}"
        found[unique] = one
    return found


def with_controllers(lab: Lab, given: Mapping[str, Controller]) -> Lab:
    """Return the lab with these controllers beside its own; one of the same name takes its place."""
    return msgspec.structs.replace(lab, controllers={**lab.controllers, **given}) if given else lab


def _value(text: str) -> bool | int | float | str:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _refused(text: str, reason: str) -> ConfigError:
    return ConfigError(
        f"--controller {text!r}: {reason}; allowed: {FORM}, with the keys {', '.join(OWN)} and those of the law"
    )
