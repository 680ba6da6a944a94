"""What qubits of one feedline have to do with one another: who shares it, and tones that do not see each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import gcd, lcm, pi, tau
from typing import Final

import numpy as np

from qrt.types import Lab

GRID_HZ_MAX: Final = 2e6  # a tone moves by half of it at most


def sharing(lab: Lab, name: str, names: Iterable[str]) -> list[str]:
    """Return those of the names whose feedline is that of `name`, itself among them if it is one."""
    line = lab.qubits[name].readout_line
    return [one for one in names if lab.qubits[one].readout_line == line]


def spaced(lab: Lab, tones_hz: Mapping[str, float]) -> dict[str, float]:
    """Return the tones moved onto one grid per feedline, spaced by whole multiples of 1 / duration_ns of each of its qubits.

    So a tone vanishes in its neighbours' boxcar weights, and matched weights lose nothing by being blind to it. The grid lies where the
    tones move least (their mean on a circle of one step). A step so wide that it would spoil a tone, of durations that have little in
    common, leaves the feedline as found: its weights are blind to the neighbours anyway.
    """
    result = {name: round(hz, -3) for name, hz in tones_hz.items()}
    for line in {lab.qubits[name].readout_line for name in tones_hz}:
        names = [name for name in tones_hz if lab.qubits[name].readout_line == line]
        steps = [Fraction(10**9) / Fraction(repr(lab.qubits[name].readout.duration_ns)) for name in names]
        step_hz = lcm(*(one.numerator for one in steps)) / gcd(*(one.denominator for one in steps))
        if len(names) == 1 or step_hz > GRID_HZ_MAX:
            continue
        turns = np.array([tones_hz[name] / step_hz for name in names])
        base_hz = round(float(np.angle(np.exp(2j * pi * turns).mean())) / tau * step_hz, -3)
        for name in names:
            result[name] = base_hz + round((tones_hz[name] - base_hz) / step_hz) * step_hz
    return result
