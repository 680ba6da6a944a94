"""Kinds of parameters: what a token of text may be, and what it becomes.

A kind is data (bounds, unit, words) with one function, `read`, which returns the value or raises a Refusal, and one,
`write`, which says a value as a query replies it. Numbers take the units and prefixes of IEEE 488.2 stuck to them
(`50OHM`, `1.0e+00VPP`, `5 MHZ`; M is milli, except in MHZ and MOHM) and the words MIN, MAX and DEF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from qrt.scpi.faults import Refusal
from qrt.scpi.headers import spellings
from qrt.scpi.numbers import write_number

TOKEN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:\s?[eE]\s?([+-]?\d+))?)\s*([A-Za-z%/.]*)", re.ASCII)
BASES = {"H": 16, "Q": 8, "B": 2}
DIGITS_MAX = 255
EXPONENT_MAX = 32000
PREFIXES = {"": 1.0, "EX": 1e18, "PE": 1e15, "T": 1e12, "G": 1e9, "MA": 1e6, "K": 1e3}
PREFIXES |= {"M": 1e-3, "U": 1e-6, "N": 1e-9, "P": 1e-12, "F": 1e-15, "A": 1e-18}
MEGA_UNITS = {"HZ", "OHM"}  # where M alone means a million
PLAIN_UNITS = {"DBM", "DB", "PCT", "DEG", "VPP"}  # take no prefix


def unit_factor(suffix: str, unit: str) -> float:
    """Return what a number with this suffix is multiplied by to be in `unit`. Raises Refusal."""
    text = suffix.upper()
    if not text:
        return 1.0
    if not unit:
        raise Refusal(-138, suffix)
    if text == unit:
        return 1.0
    prefix = text.removesuffix(unit)
    if unit in PLAIN_UNITS or prefix == text or prefix not in PREFIXES:
        raise Refusal(-131, f"{suffix}, unit is {unit}")
    return 1e6 if prefix == "M" and unit in MEGA_UNITS else PREFIXES[prefix]


def read_decimal(token: str, unit: str) -> float:
    """Return a number token in `unit`. Raises Refusal."""
    if token[:1] == "#" and token[1:2].upper() in BASES:
        try:
            return float(int(token[2:], BASES[token[1].upper()])) if token[2:].isalnum() else _bad_number(token)
        except (ValueError, OverflowError):
            return _bad_number(token)
    found = TOKEN.fullmatch(token)
    if found is None:
        return _bad_number(token)
    number, exponent, suffix = found.groups()
    if exponent is not None and abs(int(exponent[:8])) > EXPONENT_MAX:
        raise Refusal(-123, exponent[:8])
    if len(number) > DIGITS_MAX:
        raise Refusal(-124)
    return float(re.sub(r"\s", "", number)) * unit_factor(suffix, unit)


def _bad_number(token: str) -> float:
    raise Refusal(-121 if token[:1] in set("+-.0123456789#") else -104, token)


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds; what lies outside is refused with -222, and changes nothing."""

    minimum: float
    maximum: float
    default: float | None = None
    unit: str = ""
    whole: bool = False

    def read(self, token: str) -> float | int:
        """Return the value of a token: a number, or MIN, MAX, DEF. Raises Refusal."""
        words = {"MINIMUM": self.minimum, "MIN": self.minimum, "MAXIMUM": self.maximum, "MAX": self.maximum}
        if self.default is not None:
            words |= {"DEFAULT": self.default, "DEF": self.default}
        word = words.get(token.upper())
        value = read_decimal(token, self.unit) if word is None else word
        if not isfinite(value) or not self.minimum <= value <= self.maximum:
            limits = f"{write_number(self.minimum)} to {write_number(self.maximum)}"
            raise Refusal(-222, f"{token} is not in {limits}")
        return round(value) if self.whole else float(value)

    def write(self, value: float) -> str:
        """Return the reply for a value."""
        return write_number(int(value) if self.whole else float(value))


@dataclass(frozen=True, slots=True)
class Boolean:
    """ON, OFF, or a number that is rounded: 0 is off."""

    def read(self, token: str) -> bool:
        """Return the value of a token. Raises Refusal."""
        word = {"ON": True, "OFF": False}.get(token.upper())
        if word is not None:
            return word
        value = read_decimal(token, "")
        if not isfinite(value):
            raise Refusal(-222, token)
        return round(value) != 0

    def write(self, value: bool) -> str:  # noqa: FBT001 - the value itself
        """Return the reply for a value."""
        return "1" if value else "0"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, each written as in headers: the capitals are its short form, which is also the reply."""

    words: tuple[str, ...]

    def read(self, token: str) -> str:
        """Return the short form of a token. Raises Refusal."""
        for word in self.words:
            if token.upper() in spellings(word):
                return spellings(word)[0]
        raise Refusal(-141 if token[:1].isalpha() else -104, f"{token} is not one of {'|'.join(self.words)}")

    def write(self, value: str) -> str:
        """Return the reply for a value."""
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string; a quote inside is doubled."""

    size_max: int = 64

    def read(self, token: str) -> str:
        """Return the text inside the quotes. Raises Refusal."""
        quote = token[:1]
        if len(token) < 2 or quote not in {'"', "'"} or token[-1] != quote:
            raise Refusal(-104 if quote not in {'"', "'"} else -151, token)
        inside = token[1:-1].replace(quote * 2, "\0")
        if quote in inside or len(inside) > self.size_max:
            raise Refusal(-151, token)
        return inside.replace("\0", quote)

    def write(self, value: str) -> str:
        """Return the reply for a value."""
        return '"' + value.replace('"', '""') + '"'
