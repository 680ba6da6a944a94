"""Calls that make waveforms: `gaussian(amp, duration, sigma)` and its like, and what combines them.

Each takes what the standard's declaration of it says; `extern` may declare it in a program, in the same way. Durations become samples
here: one that is no whole number of them is refused with the nearest two, or rounded and told where rounding was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from openqasm3 import ast

from qrt.qasm import waveforms, waves
from qrt.qasm.expressions import Duration, Exact, as_float
from qrt.qasm.kinds import KNOWN, VARIED, Type, Typed
from qrt.qasm.operators import as_complex, seconds_of
from qrt.qasm.values import located, reason
from qrt.qasm.waves import Amount, Wave
from qrt.qasm.words import counted, digits

if TYPE_CHECKING:
    from qrt.qasm.context import Run

WAVEFORM: Final = Type("waveform")
EXACT: Final = frozenset({int, Exact, Duration})  # of these, equal ones are the same; 0.0 and -0.0 are equal, too
SAMPLES_MAX: Final = 1 << 24  # of one waveform: beyond any instrument; stops constant(1, 1000s)

# name -> the kinds of its arguments; the names are those of the standard's text.
TEMPLATES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "constant": (("complex", "amp"), ("duration", "d")),
    "gaussian": (("complex", "amp"), ("duration", "d"), ("duration", "sigma")),
    "sech": (("complex", "amp"), ("duration", "d"), ("duration", "sigma")),
    "gaussian_square": (("complex", "amp"), ("duration", "d"), ("duration", "square_width"), ("duration", "sigma")),
    "drag": (("complex", "amp"), ("duration", "d"), ("duration", "sigma"), ("float", "beta")),
    "sine": (("complex", "amp"), ("duration", "d"), ("float", "frequency"), ("angle", "phase")),
    "mix": (("waveform", "wf1"), ("waveform", "wf2")),
    "sum": (("waveform", "wf1"), ("waveform", "wf2")),
    "scale": (("waveform", "wf"), ("float", "factor")),
    "phase_shift": (("waveform", "wf"), ("angle", "ang")),
}


class Shape(NamedTuple):
    """A template for an amplitude of 1, and what to call it."""

    label: str
    samples: waveforms.Samples
    normalised: waveforms.Normalised


def signature(name: str) -> str:
    """Return how a function is called."""
    return f"{name}({', '.join(f'{kind} {argument}' for kind, argument in TEMPLATES[name])})"


def call(run: Run, node: ast.FunctionCall) -> Typed:
    """Return the waveform of a call."""
    name = node.name.name
    wanted = TEMPLATES[name]
    if len(node.arguments) != len(wanted):
        raise run.refuse(
            node, f"{name} takes {counted(len(wanted), 'argument')}, not {len(node.arguments)}: {signature(name)}"
        )
    values = [run.value(one) for one in node.arguments]
    if wanted[0][0] == "waveform" and wanted[1][0] != "waveform" and values[0].type != WAVEFORM:
        values.reverse()  # scale(factor, w): the standard writes both
    for (kind, argument), value in zip(wanted, values, strict=True):
        if not _is_of(value.type.kind, kind):
            raise run.refuse(node, f"{argument} of {name} is {value.type}; {signature(name)} is needed")
    return Typed(WAVEFORM, MAKERS[name](run, node, name, values))


def _is_of(found: str, kind: str) -> bool:
    """Say whether an argument may be of a kind. Beta may be a duration: then it is no number of samples."""
    numbers = {"int", "uint", "float", "angle", "bool"}
    return (
        found == kind
        or (kind not in {"duration", "waveform"} and found in numbers)
        or (found, kind) == ("duration", "float")
    )


# ---- Arguments ---------------------------------------------------------------------------------------------------------


def known(run: Run, node: ast.QASMNode, what: str, value: Typed) -> Any:
    """Return a value that makes samples. Raises ProgramError for one that varies."""
    if type(value.value) not in KNOWN:
        raise run.refuse(
            node,
            f"{what} depends on {reason(value)}; it makes samples, which stand in the instrument's memory before the run: only amplitude "
            "and phase of a waveform can vary",
        )
    return value.value


def amount(run: Run, node: ast.QASMNode, what: str, value: Typed) -> Amount:
    """Return a real number, known or of inputs that vary."""
    if type(value.value) in VARIED:
        return value.value  # type: ignore[no-any-return]
    if type(value.value) not in KNOWN:
        raise run.refuse(node, f"{what} depends on outcomes, which is not supported: play on either side of an if")
    if type(value.value) in {complex, Duration, tuple}:
        raise run.refuse(node, f"{what} is {value.type}; a real number is needed")
    return waves.number(value.value)


def factor(run: Run, node: ast.QASMNode, what: str, value: Typed) -> Amount | complex:
    """Return a number that may be complex if it is known."""
    return value.value if isinstance(value.value, complex) else amount(run, node, what, value)


def in_samples(run: Run, node: ast.QASMNode, what: str, value: Typed) -> Fraction:
    """Return a known duration in samples."""
    duration = known(run, node, what, value)
    if not isinstance(duration, Duration):
        raise run.refuse(node, f"{what} is {value.type}; a duration is needed")
    return located(run, node, what, lambda: seconds_of(duration, run.facts.sample_s)) / run.facts.sample_s


def sample_count(run: Run, node: ast.QASMNode, what: str, value: Typed) -> int:
    """Return how many samples a known duration is. Raises ProgramError off their grid, unless it is to be rounded."""
    samples = in_samples(run, node, what, value)
    if samples.denominator == 1 and 0 < samples <= SAMPLES_MAX:
        return int(samples)
    sample_ns = run.facts.sample_s * 10**9
    shown = f"{what} of {digits(samples * sample_ns)} ns"
    if samples <= 0:
        raise run.refuse(
            node,
            f"{shown} is {'negative' if samples else 'empty'}; at least one sample of {float(sample_ns):g} ns is needed",
        )
    if samples > SAMPLES_MAX:
        raise run.refuse(node, f"{shown} is {digits(samples)} samples; possible are {SAMPLES_MAX}")
    below = math.floor(samples)
    nearest = [f"{float(count * sample_ns):.12g} ns" for count in (below, below + 1) if count]
    if not run.rounds:
        raise run.refuse(
            node,
            f"{shown} is no whole number of samples of {float(sample_ns):g} ns; nearest: {' and '.join(nearest)} (or round: --round)",
        )
    count = max(1, round(samples))
    run.round(node, f"{shown} was rounded to {float(count * sample_ns):.12g} ns")
    return count


def rounded(run: Run, node: ast.QASMNode, what: str, value: Typed) -> Duration:
    """Return a known duration on the grid of samples, and tell if it was not there."""
    samples = in_samples(run, node, what, value)
    if samples.denominator != 1:
        sample_ns = run.facts.sample_s * 10**9
        shown = f"{what} of {float(samples * sample_ns):.12g} ns"
        run.round(node, f"{shown} was rounded to {float(round(samples) * sample_ns):.12g} ns")
    return Duration(Fraction(0), Fraction(round(samples)))


# ---- What they make ----------------------------------------------------------------------------------------------------


def _template(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Wave:
    """Return one of the shapes with an amplitude. A shape is made once of equal arguments, but where each that is rounded is told."""
    may_be_kept = not run.rounds and {type(one.value) for one in values[1:]} <= EXACT
    key = (name, *((one.type.kind, one.value) for one in values[1:])) if may_be_kept else None
    known: Shape | None = run.pulsing.shapes.get(key)
    if known is None:
        known = _shape(run, node, name, values)
        if key is not None:
            run.pulsing.shapes[key] = known
    label, samples, shape = known
    amp = factor(run, node, f"amp of {name}", values[0])
    if isinstance(amp, complex):
        return located(run, node, name, lambda: waves.wave(label, samples, amp))
    return located(run, node, name, lambda: waves.shaped(label, shape, amp))


def _shape(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Shape:
    """Return one of the shapes."""
    count = sample_count(run, node, f"{name}'s duration", values[1])
    rest: list[float] = []
    for (kind, argument), value in zip(TEMPLATES[name][2:], values[2:], strict=True):
        what = f"{argument} of {name}"
        if kind == "duration" or value.type.kind == "duration":
            length = in_samples(run, node, what, value)
            rest.append(located(run, node, what, lambda length=length: float(length)))  # type: ignore[misc]
        else:
            number = known(run, node, what, value)
            rest.append(float(number) if type(number) is int else as_float(number))
    if name == "sine":
        rest[0] *= float(run.facts.sample_s)
    make: Callable[..., waveforms.Samples] = getattr(waveforms, name)

    def made() -> Shape:
        samples = make(count, *rest)
        return Shape(f"{name}_{count}", samples, waveforms.normalised(samples))

    return located(run, node, name, made)


def _scale(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Wave:
    by = factor(run, node, "factor of scale", values[1])
    return located(run, node, name, lambda: waves.scaled(values[0].value, by))


def _turn(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Wave:
    angle = amount(run, node, "ang of phase_shift", values[1])
    run.shape.by(angle)  # a known one turns the samples
    return waves.turned(values[0].value, angle)


def _mix(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Wave:
    return located(run, node, name, lambda: waves.mixed(values[0].value, values[1].value))


def _sum(run: Run, node: ast.FunctionCall, name: str, values: Sequence[Typed]) -> Wave:
    return located(run, node, name, lambda: waves.summed(values[0].value, values[1].value))


MAKERS: Final[dict[str, Callable[[Run, ast.FunctionCall, str, Sequence[Typed]], Wave]]] = {
    **dict.fromkeys(("constant", "gaussian", "sech", "gaussian_square", "drag", "sine"), _template),
    "scale": _scale,
    "phase_shift": _turn,
    "mix": _mix,
    "sum": _sum,
}


def literal(run: Run, node: ast.ArrayLiteral) -> Wave:
    """Return a waveform of samples that the program writes out."""
    numbers = []
    for one in node.values:
        value = run.value(one)
        known(run, one, "a sample", value)
        if value.type.of is not None:
            raise run.refuse(one, f"a sample is {value.type}; a waveform is a list of numbers")
        numbers.append(located(run, one, "a sample", lambda value=value: as_complex(value)))  # type: ignore[misc]
    return _sampled(run, node, numbers)


def samples(run: Run, node: ast.QASMNode, value: Typed) -> Wave:
    """Return a waveform of the elements of an array."""
    of: Any = value.type.of
    elements = [Typed(of, one) for one in value.value]
    return _sampled(run, node, located(run, node, "a sample", lambda: [as_complex(one) for one in elements]))


def _sampled(run: Run, node: ast.QASMNode, numbers: Sequence[complex]) -> Wave:
    label = f"samples_{len(numbers)}"
    return located(run, node, "this waveform", lambda: waves.wave(label, np.array(numbers, np.complex128)))
