"""cz: the amplitude at which a coupler's pulse turns level 11 by pi against the others, and the turns about Z that go with it.

A conditional Ramsey scan, with either qubit as the target: the other in level 0 or 1, sx, the pulse at amplitude a, rz(-q), sx. The tone
shifts frequencies in proportion to its power P = a^2, so that the fringe's phase is k P with the other in level 0, and (k + m) P in level
1. Steps are even in P, quadratures q as in `ramsey`. |m| P = pi makes cz, and k P is what rz must take back.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Finding, Findings, Result, judged, together
from qrt.calibrate.fit import conditional, times, weighted
from qrt.calibrate.ramsey import QUADRATURES
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, require_change, require_fit, signal
from qrt.types import CouplerCalibration, Estimated

PROGRAM: Final = """OPENQASM 3.0; include "stdgates.inc"; defcalgrammar "openpulse";
input angle other; input float a; input angle phi; qubit[QUBITS] q; bit[QUBITS] c;
rx(other) q[{other}]; sx q[{target}]; barrier q; cal {{ play({name}_drive, scale({name}_cz, a)); }} barrier q;
rz(-phi) q[{target}]; sx q[{target}]; barrier q; c = measure q;
"""
POWERS: Final = np.linspace(0.0, 1.0, 13)
POINTS: Final = np.stack([one.ravel() for one in np.meshgrid((0.0, 1.0), POWERS, QUADRATURES, indexing="ij")])
SWEEP: Final = {"other": np.array([0.0, pi]), "a": np.sqrt(POWERS), "phi": np.array(QUADRATURES)}
SHOTS, SURE = 1500, 5.0  # SURE: standard errors
FULL: Final = CouplerCalibration(Estimated(1.0, 0.0), Estimated(0.0, 0.0), (Estimated(0.0, 0.0), Estimated(0.0, 0.0)))


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Scan the couplers, one after the other."""
    found: Findings = {}
    for name, coupler in bench.lab.couplers.items():
        probing, sides = bench.knowing({name: FULL}), []
        for target, qubit in enumerate(coupler.qubits):
            text = PROGRAM.format(name=name, target=target, other=1 - target)
            of = Scan(name, f"cz, {qubit} in superposition", f"Check couplers.{name}: line, frequency_hz, pulse_ns")
            seen = signal(probing.scan(text, {one: qubits[one] for one in coupler.qubits}, SHOTS, SWEEP)[qubit])
            drawn = Drawn("power, of full scale; level 0 | 1", POINTS[1] + 1.1 * POINTS[0])
            sides.append(judged(of, seen, drawn, partial(analyse, of, seen)))
        both = together(name, "cz", sides)
        found[name] = both if both.problem else joined(both, sides)
    return found


def analyse(of: Scan, seen: Signal) -> Result:
    """Return the phases of a target's fringe at full power: with the other in level 0, and what level 1 adds."""
    require_change(of, seen)
    y = seen.values.reshape(2, len(POWERS), len(QUADRATURES))
    fringe = y[..., 0] - y[..., 2] + 1j * (y[..., 1] - y[..., 3])
    rates = np.linspace(-pi, pi, 1201)[:-1] * (len(POWERS) - 1)  # faster ones look the same as these
    alone, other = rates[np.abs(fringe @ np.exp(-1j * np.outer(POWERS, rates))).argmax(axis=1)]
    contrast = np.abs(fringe).mean(axis=1) / 2.0 * np.sign((fringe[0] @ np.exp(-1j * alone * POWERS)).real)
    fit = require_fit(of, conditional, POINTS, seen, (*y.mean(axis=(1, 2)), *contrast, alone, other - alone))
    numbers = {"alone_rad": fit.estimated(4), "more_rad": fit.estimated(5)}
    return Result("", numbers, conditional(fit.values, POINTS))


def joined(both: Finding, sides: list[Finding]) -> Finding:
    """Return a coupler's finding, from those of its two targets."""
    seen = [side.numbers["more_rad"] for side in sides]
    more, apart, error = weighted(seen), seen[0].value - seen[1].value, np.hypot(seen[0].stderr, seen[1].stderr)
    if abs(more.value) < pi or abs(apart) > SURE * error:
        shown = f"{seen[0].value:.3f} and {seen[1].value:.3f} +- {error:.3f} rad by either qubit, at full scale"
        advice = f"at least pi is needed, of both: let couplers.{both.qubit}.pulse_ns or the line's amplitude_v grow"
        return both._replace(problem=f"{both.qubit}: cz: the conditional phase is {shown}; {advice}")
    power, relative = pi / abs(more.value), more.stderr / abs(more.value)
    turns = [times(side.numbers["alone_rad"], -power) for side in sides]
    rz = tuple(Estimated((turn.value + pi) % (2.0 * pi) - pi, turn.stderr) for turn in turns)
    amplitude, left = Estimated(power**0.5, power**0.5 * relative / 2.0), Estimated(0.0, pi * relative)
    text = f"amplitude {amplitude.value:.4f} +- {amplitude.stderr:.4f}, conditional phase pi +- {left.stderr:.3f} rad, then rz by "
    text += " and ".join(f"{turn.value:+.3f} +- {turn.stderr:.3f}" for turn in rz)
    numbers = {"cz_amplitude": amplitude, "conditional_rad": left}
    return both._replace(text=text, numbers=numbers, changes={**numbers, "rz_rad": rz})
