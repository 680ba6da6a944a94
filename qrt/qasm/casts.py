"""Conversions of known values between types, as the standard's table of casts allows."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from qrt.qasm.expressions import Exact, as_float
from qrt.qasm.kinds import WHOLE, Type, Typed, wrapped
from qrt.qasm.operators import angle_of, angle_word, as_complex, quantised, truth
from qrt.qasm.scope import Lost


def cast_known(value: Typed, to: Type, sample_s: Fraction) -> Any:
    """Return a known value in another type. Raises ValueError where the standard has no such cast."""
    source, number = value
    if type(number) is Lost:
        raise ValueError(number.reason)
    if source == to:
        return number
    if to.of is not None or source.of is not None:
        return _cast_array(value, to, sample_s)
    if to.kind == "bool":
        return int(truth(value))
    if to.kind in {"int", "uint", "bit"}:
        return _to_whole(value, to)
    if to.kind == "float" and source.kind in {*WHOLE, "float", "angle"}:
        return Exact(Fraction(number)) if type(number) is int else number
    if to.kind == "angle" and (source.kind in {"int", "uint", "float", "angle", "bit", "bool"}):
        return _to_angle(value, to)
    if to.kind == "complex" and source.kind != "duration":
        return as_complex(value)
    if to.kind in {"duration", "stretch"} and source.kind == "duration":
        return number
    raise ValueError(f"{source} cannot be converted to {to}")


def _to_whole(value: Typed, to: Type) -> int:
    source, number = value
    if source.kind == "bit" and to.kind == "bit" and source.width != to.width:
        raise ValueError(f"{source} cannot be converted to {to}: the widths differ")
    if source.kind in WHOLE:
        return wrapped(number, to)
    if source.kind == "angle" and to.kind in {"bit", "uint", "int"} and source.width:
        if to.kind == "bit" and to.width != source.width:
            raise ValueError(f"{source} cannot be converted to {to}: the widths differ")
        return wrapped(angle_word(number, source.width), to)
    if source.kind == "float" and to.kind != "bit":
        exact = number.rational if isinstance(number, Exact) and not number.pi else Fraction(as_float(number))
        return wrapped(int(exact), to)
    raise ValueError(f"{source} cannot be converted to {to}")


def _to_angle(value: Typed, to: Type) -> Exact | float:
    source, number = value
    if source.kind == "bit":
        if to.width != source.width:
            raise ValueError(f"{source} cannot be converted to {to}: the widths differ")
        return angle_of(number, to.width)
    if source.kind == "bool":
        raise ValueError(f"{source} cannot be converted to {to}")
    number = Exact(Fraction(number)) if type(number) is int else number
    return quantised(number, to.width) if to.width else number


def _cast_array(value: Typed, to: Type, sample_s: Fraction) -> Any:
    source, elements = value
    if to.of is None or source.of is None or len(source.shape) != len(to.shape):
        raise ValueError(f"{source} cannot be converted to {to}")
    if any(wanted not in {-1, found} for wanted, found in zip(to.shape, source.shape, strict=True)):
        raise ValueError(f"{source} cannot be converted to {to}: the shapes differ")
    if source.of == to.of:
        return elements
    of, element = source.of, to.of

    def converted(part: Any, depth: int) -> Any:
        if not depth:
            return cast_known(Typed(of, part), element, sample_s)
        return tuple(converted(one, depth - 1) for one in part)

    return converted(elements, len(source.shape))
