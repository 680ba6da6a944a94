"""How the values of controlled inputs become the words of an epoch, and what words can be: plain data, exact rationals as text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import lcm
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.units import AMPLITUDE_ONE, TURN, signed64

INT64: Final = (-(1 << 63), (1 << 63) - 1)
RANGES: Final = {
    "amplitude": (-AMPLITUDE_ONE, AMPLITUDE_ONE),
    "ticks": (0, 1 << 48),
    "frequency": (-TURN // 2, TURN // 2 - 1),
    "integer": INT64,
}


def beyond(unit: str, word: int) -> str:
    """Say that a word of this unit is out of its range."""
    match unit:
        case "integer":
            return f"the integer is {word}; possible are those of 64 bits"
        case "amplitude":
            return f"the pulse has {word / AMPLITUDE_ONE:.4g} of full scale; possible is -1 to 1: smaller angles, or two turns"
        case "ticks":
            return f"the duration is {word} ticks; possible is 0 to {RANGES['ticks'][1]}"
    if unit == "frequency":
        return "the frequency is out of range: half a turn per tick or more from its line's source, beyond what an NCO can add"
    return f"the {unit} is out of range"


class Encode(msgspec.Struct, frozen=True):
    """How values of controlled inputs become the words of an epoch: plain data, exact rationals as text."""

    units: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    factors: tuple[dict[str, str], ...] = ()


def words(encode: Encode, values: Mapping[str, float]) -> NDArray[np.int64]:
    """Return the words of an epoch, int64 [values]. ValueError names the value whose word is out of range."""
    return np.array(encoder(encode)(values), np.int64)


def encoder(encode: Encode) -> Callable[[Mapping[str, float]], list[int]]:
    """Return `words` for many epochs: rationals are brought to whole numbers once, and each word is one division, exact as before."""
    lines = tuple(_Line.of(*parts) for parts in zip(encode.units, encode.offsets, encode.factors, strict=True))
    return lambda values: [line.word(values) for line in lines]


class _Line(NamedTuple):
    """A word as (offset + sum of factor * value) / scale, all whole numbers but the values."""

    unit: str
    offset: int
    factors: tuple[tuple[str, int], ...]
    scale: int

    @classmethod
    def of(cls, unit: str, offset: str, factors: Mapping[str, str]) -> _Line:
        exact = {name: Fraction(factor) for name, factor in factors.items()}
        scale = lcm(Fraction(offset).denominator, *(factor.denominator for factor in exact.values()))
        whole = tuple((name, int(factor * scale)) for name, factor in exact.items())
        return cls(unit, int(Fraction(offset) * scale), whole, scale)

    def word(self, values: Mapping[str, float]) -> int:
        """Return it, rounded to nearest, ties to even. ValueError out of range, and for what is no number; OverflowError for infinity."""
        ratios = [(factor, *values[name].as_integer_ratio()) for name, factor in self.factors]
        power = lcm(*(below for _, _, below in ratios))
        total = self.offset * power + sum(factor * above * (power // below) for factor, above, below in ratios)
        word, rest = divmod(total, self.scale * power)
        twice = 2 * rest - self.scale * power
        word += twice > 0 or (twice == 0 and word % 2 == 1)
        if self.unit == "phase":
            return signed64(word)
        low, high = RANGES.get(self.unit, INT64)
        if not low <= word <= high:
            given = ", ".join(f"{name} = {values[name]:.9g}" for name, _ in self.factors)
            raise ValueError(f"{given}: {beyond(self.unit, word)}")
        return word
