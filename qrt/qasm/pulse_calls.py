"""Calls in the bodies of OpenPulse: play, captures, a frame's frequency and phase, waveforms; all others are the language's.

play and capture take their frame before or after the waveform: the standard has had both orders. A frame or waveform of the calibration
needs no declaration.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Final

from openqasm3 import ast

from qrt.qasm import captures, frames, functions, waveform_calls, waveforms
from qrt.qasm.captures import CAPTURED, CAPTURES, REFUSED
from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.expressions import as_float
from qrt.qasm.frames import Frame
from qrt.qasm.gates import angle
from qrt.qasm.kinds import ANGLE, FLOAT, KNOWN, VARIED, VOID, Typed
from qrt.qasm.scope import Lost
from qrt.qasm.waveform_calls import TEMPLATES, WAVEFORM, amount
from qrt.qasm.waves import Wave, calculated, is_known
from qrt.qasm.words import a, counted

ROUNDING: Final = 1e-9  # of a known amplitude: what products of floats may make of exactly 1


def found_frame(run: Run, node: ast.QASMNode) -> Frame | None:
    """Return the frame that an operand names; None if it is none."""
    if not isinstance(node, ast.Identifier):
        return None
    found = run.scope.find(node.name)
    if found is None and node.name in run.pulsing.lab.frames:
        found = run.pulsing.frame(run, node, node.name)
    return found if isinstance(found, Frame) else None


def frame_of(run: Run, node: ast.QASMNode) -> Frame:
    """Return the frame that an operand names."""
    found = found_frame(run, node)
    if found is None:
        known = sorted(
            {*run.pulsing.lab.frames, *(one for one in run.scope.all_names() if isinstance(run.scope.find(one), Frame))}
        )
        name = node.name if isinstance(node, ast.Identifier) else "this"
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise run.refuse(node, f"{name!r} is no frame; {hint}frames: {', '.join(known) or 'none'}")
    frame: Frame = run.pulsing.at(run, found)
    return frame


def wave(run: Run, node: ast.QASMNode) -> Typed:
    """Return a waveform: a variable, a call, samples; or what a raw capture leaves."""
    if isinstance(node, ast.ArrayLiteral):
        return Typed(WAVEFORM, waveform_calls.literal(run, node))
    value: Typed = run.value(node)
    if value.type == CAPTURED["raw"]:
        return value
    if value.type.of is not None and len(value.type.shape) == 1:
        return Typed(WAVEFORM, waveform_calls.samples(run, node, value))
    if value.type != WAVEFORM:
        raise run.refuse(node, f"a waveform is needed here, not {a(value.type)}")
    return value


def call(run: Run, node: ast.FunctionCall) -> Typed:
    """Return the value of a call: of OpenPulse, or the language's."""
    name = node.name.name
    if name in TEMPLATES:
        return waveform_calls.call(run, node)
    if name in REFUSED:
        raise run.refuse(node, f"{name} is not supported: {REFUSED[name]}")
    if name in CAPTURES or name in CALLS:
        named = [(one, found_frame(run, one)) for one in node.arguments]
        found = [frame for _, frame in named if frame is not None]
        rest = [one for one, frame in named if frame is None]
        if len(found) != 1:
            shown = node.arguments[0] if node.arguments else node
            if found or not isinstance(shown, ast.Identifier):
                raise run.refuse(
                    node, f"{name} takes one frame, not {len(found)}: {FORMS.get(name, f'{name}(frame, ...)')}"
                )
            frame_of(run, shown)
        frame = run.pulsing.at(run, found[0])
        if name in CAPTURES:
            return captures.capture(run, node, frame, rest)
        count, function = CALLS[name]
        if len(rest) != count:
            raise run.refuse(
                node, f"{name} takes {counted(count + 1, 'argument')}, not {len(node.arguments)}: {FORMS[name]}"
            )
        return function(run, node, frame, rest)
    if run.scope.find(name) is None and name not in functions.NAMES:
        known = (*TEMPLATES, *CAPTURES, *CALLS)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join((*known, *functions.NAMES))}"
        raise run.refuse(node, f"{name!r} is no function; {hint}")
    value: Typed = run.pulsing.values[ast.FunctionCall](run, node)
    return value


NOTHING: Final = Typed(VOID, Lost("this call has no value"))


def _play(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    if not frame.port.plays:
        allowed = ", ".join(name for name, port in run.pulsing.lab.ports.items() if port.plays)
        raise run.refuse(
            node,
            f"{frame.name} is on port {frame.port.name}, which only records; ports that can be played on: {allowed}",
        )
    value = wave(run, rest[0])
    if isinstance(value.value, Lost):
        raise run.refuse(node, value.value.reason)
    one: Wave = value.value
    if is_known(one.amplitude):
        one = _within_full_scale(run, node, one)
    frames.play(run, node, frame, run.pulsing.envelope(one), one)
    return NOTHING


def _within_full_scale(run: Run, node: ast.QASMNode, one: Wave) -> Wave:
    """Return a waveform of known amplitude as one that can be played."""
    amplitude = as_float(one.amplitude)  # type: ignore[arg-type]
    if abs(amplitude) <= 1:
        return one
    shape, peak, at = waveforms.normalised(one.shape)
    if abs(amplitude) * peak > 1 + ROUNDING:
        raise run.refuse(
            node,
            f"{one.label} has a sample of {abs(amplitude) * peak:.6g} of full scale (sample {at} of {len(shape)}); allowed: up to 1: lower "
            "its amplitude, or raise the line's amplitude_v",
        )
    return Wave(one.label, shape, max(-1.0, min(1.0, amplitude * peak)), one.phase_rad)


def _frequency(run: Run, node: ast.QASMNode, frame: Frame, hertz: Any) -> Typed:
    if is_known(hertz):
        run.pulsing.nco_hz(run, node, frame, frame.above_source(hertz))
    frames.set_frequency(run, node, frame, hertz)
    return NOTHING


def _set_frequency(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    return _frequency(run, node, frame, amount(run, node, "a frequency", run.value(rest[0])))


def _shift_frequency(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    shift = amount(run, node, "a frequency", run.value(rest[0]))
    return _frequency(run, node, frame, calculated("+", frames.held(run, node, frame.frequency), shift))


def _get_frequency(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    return Typed(FLOAT, frames.held(run, node, frame.frequency))


def _set_phase(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    phase = amount(run, node, "the phase to set", run.value(rest[0]))
    frames.shift_phase(run, node, frame, frames.phase_to(run, node, frame, phase))
    return NOTHING


def _shift_phase(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    value = run.value(rest[0])
    if type(value.value) in KNOWN | VARIED:
        frames.shift_phase(run, node, frame, amount(run, node, "a phase", value))
    else:
        frames.shift_phase_by_outcome(run, node, frame, angle(run, node, value))
    return NOTHING


def _get_phase(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    return Typed(ANGLE, frames.held(run, node, frame.phase))


Call = Callable[[Run, ast.FunctionCall, Frame, list[ast.Expression]], Typed]
CALLS: Final[dict[str, tuple[int, Call]]] = {
    "play": (1, _play),
    "set_frequency": (1, _set_frequency),
    "shift_frequency": (1, _shift_frequency),
    "get_frequency": (0, _get_frequency),
    "set_phase": (1, _set_phase),
    "shift_phase": (1, _shift_phase),
    "get_phase": (0, _get_phase),
}
FORMS: Final = {
    "play": "play(frame, waveform)",
    "set_frequency": "set_frequency(frame, Hz)",
    "shift_frequency": "shift_frequency(frame, Hz)",
    "get_frequency": "get_frequency(frame)",
    "set_phase": "set_phase(frame, radians)",
    "shift_phase": "shift_phase(frame, radians)",
    "get_phase": "get_phase(frame)",
}


def statement(run: Run, node: ast.ExpressionStatement) -> Completion:
    """Execute a call for what it does."""
    if isinstance(node.expression, ast.FunctionCall):
        call(run, node.expression)
        return None
    raise run.refuse(node, "an expression on its own does nothing; a call such as play(frame, waveform) does")


def name(run: Run, node: ast.Identifier) -> Typed:
    """Return what a name holds; a calibrated waveform needs no declaration."""
    if run.scope.find(node.name) is None and node.name in run.pulsing.lab.waveforms:
        return Typed(WAVEFORM, run.pulsing.waveform(run, node, node.name))
    found: Typed = run.pulsing.values[ast.Identifier](run, node)
    return found
