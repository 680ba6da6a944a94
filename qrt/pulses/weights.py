"""Integration weights: of the calibration, of a program's own filters, and banks of them where a carrier varies from shot to shot.

Weights are a filter's conjugate on the conjugate carrier, with the carrier's phase at the capture's first sample, scaled to int16 like
those of a calibration. A carrier whose frequency or phase follows inputs has other weights at each of their values. All of them are made
before the run, one set for each point, and the kernel takes those of the point that a shot is at.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import tau
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.errors import ProgramError
from qrt.qasm.expressions import Exact, Function, Name, Value, as_float, evaluate, names
from qrt.qasm.formula import Formula
from qrt.qasm.ports import LabWeights
from qrt.qasm.pulses import Amount, Filter, Tables
from qrt.qasm.waves import is_known
from qrt.readout.discriminate import WEIGHT_MAX
from qrt.types import NOWHERE, Lab, Parameter, Source, Weights
from qrt.units import PS_PER_S


def weights(tables: Tables, lab: Lab) -> dict[str, Weights]:
    """Return the integration weights of a program's captures."""
    found = {}
    for name, one in tables.weights.items():
        called = tables.captures[name]
        if isinstance(one, LabWeights):
            found[name] = Weights(one.samples, one.threshold, "", called)
            continue
        bank = Bank(one, lab.timing.tick_ps, lab.timing.sample_ticks)
        known = is_known(one.frequency_hz) and is_known(one.phase_rad)
        found[name] = Weights(bank.at({}) if known else bank, one.threshold, "", called)
    return found


class Bank(NamedTuple):
    """The weights of a filter at any values of the inputs that its carrier follows: types.Bank."""

    filter: Filter
    tick_ps: int
    sample_ticks: int

    @property
    def sample_count(self) -> int:
        """Of the capture."""
        return len(self.filter.shape)

    def place(self, source: Source) -> Parameter:
        """Return the operand that says which of the weights count: the same for all carriers that follow the same inputs."""
        carrier = [
            one for one in (self.filter.frequency_hz, self.filter.phase_rad) if not isinstance(one, Exact | float)
        ]
        inputs = sorted({name for one in carrier for name in names(one)})
        word = Formula(Function("place", _no_number, tuple(Name(one, NOWHERE) for one in inputs), NOWHERE), plain=True)
        return Parameter("place", word, f"({', '.join(inputs)})", source)

    def at(self, values: Mapping[str, Value]) -> NDArray[np.int16]:
        """Return conj(shape * carrier) as int16 [2, samples], its largest entry WEIGHT_MAX.

        Raises ProgramError, without a place, for a carrier beyond half a turn per tick.
        """
        hertz, phase_rad = _at(self.filter.frequency_hz, values), _at(self.filter.phase_rad, values)
        hertz_max = PS_PER_S / (2 * self.tick_ps)
        if not -hertz_max <= hertz < hertz_max:
            raise ProgramError(
                f"the carrier of the capture is {hertz:+.6g} Hz from its port's source, which its NCO does not reach; possible is less "
                f"than {hertz_max:.6g} Hz:"
            )
        sample_s = self.tick_ps * self.sample_ticks / PS_PER_S
        carrier = np.exp(1j * (tau * hertz * sample_s * np.arange(self.sample_count) + phase_rad))
        conjugate = np.conj(self.filter.shape * carrier)
        rows = np.stack([conjugate.real, conjugate.imag])
        return np.asarray(np.rint(rows * (WEIGHT_MAX / np.abs(rows).max())), np.int16)


def _no_number(*inputs: Value) -> Value:
    raise AssertionError(f"a place has no value of its own: {inputs}")


def _at(amount: Amount, values: Mapping[str, Value]) -> float:
    """Return an amount at these values of the inputs."""
    value = amount if isinstance(amount, Exact | float) else evaluate(amount, values)
    assert isinstance(value, Exact | float)
    return as_float(value)
