"""cz: the amplitude at which a coupler's pulse turns level 11 by pi against the others, and the turns about Z that go with it.

Conditional Ramsey scans, each qubit in turn the target: the other in level 0 or 1, sx, the pulse at amplitude a, rz(-q), sx. Of the tone's
power P = a^2 the fringe's phase is k P with the other in level 0, and (k + m) P in level 1; `partner` knows how often it is in either. The
phase at P = 0 is of sx. Two steps in P are odd: no faster phase looks the same. |m| P = pi makes cz; rz must take k P back.
"""

from __future__ import annotations

from functools import partial
from math import pi
from typing import Final

import numpy as np

from qrt.calibrate.bench import Bench
from qrt.calibrate.finding import Drawn, Finding, Findings, Result, judged, together
from qrt.calibrate.fit import conditional, conditional_start, times, weighted, wrapped
from qrt.calibrate.partner import Partner, partner_of, require_assigned
from qrt.calibrate.ramsey import QUADRATURES
from qrt.calibrate.sequences import Qubits
from qrt.calibrate.signals import Scan, Signal, require_change, require_fit, signal
from qrt.types import CouplerCalibration, Estimated

PROGRAM: Final = """OPENQASM 3.0; include "stdgates.inc"; defcalgrammar "openpulse";
input angle other; input float a; input angle phi; qubit[QUBITS] q; bit[QUBITS] c;
rx(other) q[{other}]; sx q[{target}]; barrier q; cal {{ play({name}_drive, scale({name}_cz, a)); }} barrier q;
rz(-phi) q[{target}]; sx q[{target}]; barrier q; c = measure q;
"""
POWERS: Final = np.insert(np.linspace(0.0, 1.0, 13), 1, (0.06 / 12.0, 0.43 / 12.0))
POINTS: Final = np.stack([one.ravel() for one in np.meshgrid((0.0, 1.0), POWERS, QUADRATURES, indexing="ij")])
DRAWN: Final = Drawn("power, of full scale; level 0 | 1", POINTS[1] + 1.1 * POINTS[0], by=POINTS[2])
SWEEP: Final = {"other": np.array([0.0, pi]), "a": np.sqrt(POWERS), "phi": np.array(QUADRATURES)}
ADVICE: Final = "Check couplers.{name}: line, frequency_hz, pulse_ns; a tone too strong turns too fast: let lines.{line}.amplitude_v shrink"
SHOTS, SURE = 1500, 5.0  # SURE: standard errors
FULL: Final = CouplerCalibration(Estimated(1.0, 0.0), Estimated(0.0, 0.0), (Estimated(0.0, 0.0), Estimated(0.0, 0.0)))


def find(bench: Bench, qubits: Qubits) -> Findings:
    """Scan the couplers, one after the other."""
    found: Findings = {}
    for name, coupler in bench.lab.couplers.items():
        probing, sides, pair = bench.knowing({name: FULL}), [], {one: qubits[one] for one in coupler.qubits}
        require_assigned(f"{name}: cz", pair)
        for target, (qubit, other) in enumerate((coupler.qubits, coupler.qubits[::-1])):
            of = Scan(name, f"cz, {qubit} in superposition", ADVICE.format(name=name, line=coupler.line))
            scanned = probing.scan(PROGRAM.format(name=name, target=target, other=1 - target), pair, SHOTS, SWEEP)
            partner = partner_of(scanned[other], pair[other], coupler, bench.lab.qubits[qubit])
            seen = signal(scanned[qubit])
            sides.append(judged(of, seen, DRAWN, partial(analyse, of, seen, partner)))
        both = together(name, "cz", sides)
        found[name] = both if both.problem else joined(both, sides)
    return found


def analyse(of: Scan, seen: Signal, partner: Partner) -> Result:
    """Return the phases of a target's fringe at full power: with the other in level 0, and what level 1 adds."""
    require_change(of, seen)
    points, beside = np.insert(POINTS, 3, partner.lost, axis=0), partner.behind(seen)
    start = conditional_start(seen.values.reshape(2, len(POWERS), len(QUADRATURES)), POWERS)
    fit = require_fit(of, conditional, points, beside, (*start, *beside.values[-2:]))
    phases = {"alone_rad": fit.estimated(4), "more_rad": fit.estimated(5)}
    return Result("", phases, conditional(fit.values, points)[:-2])


def joined(both: Finding, sides: list[Finding]) -> Finding:
    """Return a coupler's finding, from those of its two targets."""
    seen = [side.numbers["more_rad"] for side in sides]
    more, apart, error = weighted(seen), seen[0].value - seen[1].value, np.hypot(seen[0].stderr, seen[1].stderr)
    if abs(more.value) < pi or abs(apart) > SURE * error:
        shown = f"{seen[0].value:.3f} and {seen[1].value:.3f} +- {error:.3f} rad by either qubit, at full scale"
        advice = f"at least pi is needed, of both: let couplers.{both.qubit}.pulse_ns or the line's amplitude_v grow"
        return both._replace(problem=f"{both.qubit}: cz: the conditional phase is {shown}; {advice}")
    power, relative = pi / abs(more.value), more.stderr / abs(more.value)
    rz = tuple(wrapped(times(side.numbers["alone_rad"], -power)) for side in sides)
    amplitude, left = Estimated(power**0.5, power**0.5 * relative / 2.0), Estimated(0.0, pi * relative)
    after = " and ".join(f"{turn.value:+.3f} +- {turn.stderr:.3f}" for turn in rz)
    text = f"amplitude {amplitude.value:.4f} +- {amplitude.stderr:.4f}, conditional phase pi +- {left.stderr:.3f} rad, then rz by {after}"
    found = {"cz_amplitude": amplitude, "conditional_rad": left}
    return both._replace(text=text, numbers=found, changes=found | {"rz_rad": rz})
