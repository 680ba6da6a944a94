"""A program of 1000 operations: from its text to the syntax tree, from there to the sequence, and again with one value changed.

Reading a text is the standard parser's time, of gates openqasm3's, of pulses openpulse's, and what is ours on top has a goal. Of the rest
the first figure elaborates, lowers, schedules and compiles with nothing kept from before; the second asks again with another value of the
one input, which 50 of the operations turn by. The third does what the first does with operations of all kinds, drawn at random, of which
few are alike: gates by angles of their own, delays, loops, measurements, branches, and pulses on the drive lines. The instruments' and
the batch process's part of arming is not in it.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import openpulse
import openqasm3

from benchmarks.figure import Figure, against, at_most
from qrt.config import load
from qrt.loop import limits_of
from qrt.qasm import parse_program
from qrt.templates import Asked, Templates

OPERATIONS = 1000
MEASURED_MAX = 40
ROUNDS, READINGS = 40, 12
HEAD = 'OPENQASM 3.0;\ndefcalgrammar "openpulse";\nqubit q;\n'
LAB = Path(__file__).parent.parent / "configs" / "demo.toml"


def measure(scale: float) -> list[Figure]:
    """Return both figures over a number of rounds that scales."""
    lab = load(LAB)
    lab = msgspec.structs.replace(lab, timing=msgspec.structs.replace(lab.timing, shot_period_ns=1e6))
    program, limits = parse_program(text(), "compile.qasm"), limits_of(lab)
    mix = parse_program(mixed(), "mixed.qasm")
    templates = Templates()
    first, again, various = [], [], []
    for index in range(max(round(ROUNDS * scale), 5) + 1):
        asked = Asked(program, {"theta": 0.1 + 0.001 * index}, lab, None, limits)
        first.append(timed(Templates(), asked))
        again.append(timed(templates, asked))
        various.append(timed(Templates(), asked._replace(program=mix)))
    assert (templates.hits, templates.misses) == (len(again) - 1, 1)
    gates, pulses = text(), HEAD + "cal { play(q0_drive, gaussian(0.1, 40ns, 10ns)); }\n" * (OPERATIONS // 4)
    return [
        against("reading a text of gates", reading(gates, openqasm3.parse), "ms", "openqasm3's own", most=1.2),
        against("reading a text of pulses", reading(pulses, openpulse.parse), "ms", "openpulse's own", most=1.2),
        at_most(f"{OPERATIONS} operations, tree to sequence", first[1:], "ms", 10.0),
        at_most("again with one value changed", again[1:], "ms", 1.0),
        at_most(f"{OPERATIONS} operations of all kinds, tree to sequence", various[1:], "ms", 10.0),
    ]


def text() -> str:
    """Return the program: five kinds of operations on two qubits, one in twenty of them by the input."""
    constant = ["sx q[0];", "rz(pi/7) q[1];", "x q[1];", "rz(0.3) q[0];"]
    varied = ["rx(theta / 3) q[0];", "rz(2 * theta) q[1];"]
    lines = [varied[k // 20 % 2] if k % 20 == 19 else constant[k % 4] for k in range(OPERATIONS - 2)]
    head = ["OPENQASM 3.0;", 'include "stdgates.inc";', "input float theta;", "qubit[2] q;", "bit[2] c;"]
    return "\n".join([*head, *lines, "c[0] = measure q[0];", "c[1] = measure q[1];", ""])


def mixed() -> str:
    """Return a program of operations of all kinds, drawn at random but for the seed; a loop counts as what it executes."""
    draw = random.Random(1)
    lines: list[str] = []
    measured = count = 0
    while count < OPERATIONS:
        qubit, bit, angle = draw.randrange(2), draw.randrange(8), draw.uniform(0.1, 1.0)
        kinds = ["turn"] * 8 + ["delay", "loop", "pulse", "branch"] + ["measure"] * (measured < MEASURED_MAX)
        kind = draw.choice(kinds)
        measured += kind == "measure"
        count += 8 if kind == "loop" else 2 if kind in {"pulse", "branch"} else 1
        gate = draw.choice(["sx", "x", "h", f"rz({angle})", f"rx({angle} * theta)", f"ry({angle})"])
        lines.append(
            {
                "turn": f"{gate} q[{qubit}];",
                "delay": f"delay[{draw.randrange(4, 400)}ns] q[{qubit}];",
                "loop": f"for int k in [1:4] {{ rz(k * pi / 16) q[{qubit}]; sx q[{qubit}]; }}",
                "pulse": f"cal {{ play(q{qubit}_drive, gaussian({angle / 4}, 40ns, 10ns)); shift_phase(q{qubit}_drive, {angle}); }}",
                "branch": f"if (c[{bit}]) {gate} q[{qubit}];",
                "measure": f"c[{bit}] = measure q[{qubit}];",
            }[kind]
        )
    head = ["OPENQASM 3.0;", 'include "stdgates.inc";', 'defcalgrammar "openpulse";', "input float theta;"]
    return "\n".join([*head, "qubit[2] q;", "bit[8] c;", *lines, ""])


def reading(program: str, parse: Callable[[str], object]) -> list[tuple[float, float]]:
    """Return pairs of milliseconds: ours from text to program, and the standard's parser alone; each goes first in every other pair."""
    pairs = []
    for index in range(READINGS):
        sides = [lambda: parse_program(program, "read.qasm"), lambda: parse(program)]
        order = (0, 1) if index % 2 == 0 else (1, 0)
        found = {side: alone(sides[side]) for side in order}
        pairs.append((found[0], found[1]))
    return pairs


def alone(read: Callable[[], object]) -> float:
    """Return the milliseconds of a call without the collector, as timeit does: what lies around in memory is neither side's."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    try:
        read()
        return (time.perf_counter() - started) * 1e3
    finally:
        gc.enable()


def timed(templates: Templates, asked: Asked) -> float:
    """Return the milliseconds that a sequence takes."""
    started = time.perf_counter()
    templates.compiled(asked)
    return (time.perf_counter() - started) * 1e3
