"""Conversions between SI and machine units, done once at the edge.

Inside, time is int64 ticks and NCO words are 64-bit turns. Here alone live the two ways across: exact rationals for durations
(a duration that is not a whole number of ticks is an error, never rounded silently) and round-to-nearest for frequencies and phases,
whose step of 2^-64 turns is far below anything physical.
"""

from __future__ import annotations

from fractions import Fraction
from math import tau

TURN = 1 << 64
FLOAT_ONE = 1 << 32  # a float in a column of a row counts 2^-32
AMPLITUDE_ONE = 65536
PS_PER_S = 10**12


def signed64(value: int) -> int:
    """Return `value` modulo 2^64 as a signed 64-bit integer."""
    value &= TURN - 1
    return value - TURN if value >= TURN // 2 else value


def frequency_word(frequency_hz: float, tick_ps: int) -> int:
    """Return the NCO increment, signed, in 2^-64 turns per tick. |frequency| must be below half a turn per tick."""
    turns_per_tick = Fraction(frequency_hz) * tick_ps / PS_PER_S
    if not -Fraction(1, 2) <= turns_per_tick < Fraction(1, 2):
        message = f"frequency {frequency_hz} Hz is outside +-{PS_PER_S / tick_ps / 2:g} Hz, half a turn per tick"
        raise ValueError(message)
    return round(turns_per_tick * TURN)


def frequency_hz(word: int, tick_ps: int) -> float:
    """Return the frequency in Hz of an NCO increment."""
    return float(Fraction(word, TURN) * PS_PER_S / tick_ps)


def phase_word(phase_rad: float) -> int:
    """Return a phase in 2^-64 turns as a signed 64-bit integer."""
    return signed64(round(phase_rad / tau * TURN))


def turns_word(turns: Fraction) -> int:
    """Return a phase in 2^-64 turns as a signed 64-bit integer: signed64(round(turns * TURN)), but five times as fast."""
    below = turns.denominator
    word, rest = divmod(turns.numerator << 64, below)
    return signed64(word + (2 * rest > below or (2 * rest == below and word & 1)))


def amplitude_word(amplitude: float) -> int:
    """Return an amplitude in [-1, 1] in units of 1/65536."""
    if not -1.0 <= amplitude <= 1.0:
        message = f"amplitude {amplitude} is outside [-1, 1]"
        raise ValueError(message)
    return round(amplitude * AMPLITUDE_ONE)


def exact_ticks(duration_s: Fraction, tick_ps: int) -> int | None:
    """Return the duration as a whole number of ticks, or None if it is not one."""
    ticks = duration_s * PS_PER_S / tick_ps
    return ticks.numerator if ticks.denominator == 1 else None
