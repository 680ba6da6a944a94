"""The decimal grammar of IEEE 488.2 (NR1, NR2, NR3), read strictly and written so that it reads back exactly.

Python's own `float` also takes `1_000`, `nan`, `Infinity` and Unicode digits; an instrument's reply with any of these
is wrong and is refused. SCPI has its own words for what is not a number: 9.9E37 is infinity (over-range) and 9.91E37 is
not a number. Neither becomes a value here.
"""

from __future__ import annotations

import re
from math import isinf

from qrt.scpi.faults import ReplyError

DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
NOT_A_NUMBER = 9.91e37
INFINITE = 9.9e37
CHARACTERS_MAX = 64


def read_number(text: str) -> float:
    """Return the number that a reply consists of. Raises ReplyError, also for over-range and not-a-number."""
    if len(text) > CHARACTERS_MAX or not DECIMAL.fullmatch(text):
        raise ReplyError(f"expected a number, got {text[:CHARACTERS_MAX]!r}")
    value = float(text)
    if abs(value) == NOT_A_NUMBER:
        raise ReplyError(f"expected a number, got {text}, which is SCPI for not a number")
    if isinf(value) or abs(value) >= INFINITE:
        raise ReplyError(f"expected a number, got {text}, which is SCPI for over-range")
    return value


def read_integer(text: str) -> int:
    """Return the whole number that a reply consists of; `1E3` is one, `1.5` is not. Raises ReplyError."""
    value = read_number(text)
    if not value.is_integer():
        raise ReplyError(f"expected a whole number, got {text!r}")
    return int(value)


def read_boolean(text: str) -> bool:
    """Return the boolean that a reply consists of: 1, 0, ON or OFF. Raises ReplyError."""
    values = {"1": True, "0": False, "+1": True, "+0": False, "ON": True, "OFF": False}
    if text.upper() not in values:
        raise ReplyError(f"expected 1, 0, ON or OFF, got {text!r}")
    return values[text.upper()]


def write_number(value: float) -> str:
    """Return a number as NR1 or NR3, in the fewest digits that read back as the same value."""
    if isinstance(value, int):
        return str(value)
    return "9.9E37" if value == float("inf") else repr(value).upper()
