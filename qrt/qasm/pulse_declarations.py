"""Declarations and assignments in the bodies of OpenPulse: ports, frames, waveforms, what is captured; all others are the language's.

A port is the lab's line of that name, or its `digitizer`. A frame or waveform without a value is a calibrated one: `frame q0_drive;`.
"""

from __future__ import annotations

from typing import Any

import openpulse.ast
from openqasm3 import ast

from qrt.qasm import waveform_calls
from qrt.qasm.assignment import set_bits
from qrt.qasm.captures import CAPTURED, CAPTURES
from qrt.qasm.completion import Completion
from qrt.qasm.context import Run
from qrt.qasm.frames import Frame
from qrt.qasm.measure import measure
from qrt.qasm.ports import Port
from qrt.qasm.pulse_calls import CALLS, wave
from qrt.qasm.pulsing import as_language
from qrt.qasm.scope import Cell, Lost
from qrt.qasm.waveform_calls import TEMPLATES, WAVEFORM, amount


def declaration(run: Run, node: ast.ClassicalDeclaration) -> Completion:
    """Declare a port, a frame, a waveform, what is captured, or anything of the language."""
    name, pulsing = node.identifier.name, run.pulsing
    initial: Any = node.init_expression
    around, pulsing.target = pulsing.target, name
    try:
        match node.type:
            case openpulse.ast.PortType():
                run.declare(node, name, pulsing.port(run, node, name))
            case openpulse.ast.FrameType():
                run.declare(node, name, _frame(run, node, name, initial))
            case openpulse.ast.WaveformType():
                value = _waveform(run, node, name, initial)
                run.declare(node, name, Cell(name, WAVEFORM, value, run.scope))
            case ast.BitType(size=None) if name == pulsing.alias and pulsing.register is not None:
                run.declare(node, name, pulsing.register)
                if isinstance(initial, ast.QuantumMeasurement):
                    measure(run, node, initial, pulsing.register)
                elif initial is not None:
                    set_bits(run, node, pulsing.register, initial)
            case ast.BitType(size=None) if _is_call(initial, CAPTURES):
                register = run.new_bits(name, None)
                run.declare(node, name, register)
                set_bits(run, node, register, initial)
            case _ if _is_call(initial, CAPTURES):
                value = run.value(initial)
                if value.type not in CAPTURED.values():
                    gone = isinstance(value.value, Lost)
                    raise run.refuse(node, value.value.reason if gone else f"an outcome is a bit: bit {name} = ...")
                run.declare(node, name, Cell(name, value.type, value.value, run.scope))
            case _:
                return as_language(run, node)
    finally:
        pulsing.target = around
    return None


def _is_call(node: Any, names: Any) -> bool:
    return isinstance(node, ast.FunctionCall) and node.name.name in names


def _frame(run: Run, node: ast.QASMNode, name: str, initial: Any) -> Frame:
    if initial is None:
        calibrated: Frame = run.pulsing.frame(run, node, name)
        return calibrated
    if not _is_call(initial, {"newframe"}):
        raise run.refuse(
            node,
            "a frame begins as newframe(port, frequency, phase); without a value it is a calibrated frame of that name",
        )
    if len(initial.arguments) != 3:
        raise run.refuse(
            node,
            f"newframe takes a port, a frequency in Hz and a phase in radians, not {len(initial.arguments)} arguments",
        )
    first, frequency, phase = initial.arguments
    port = _port(run, first)
    hertz = amount(run, node, "the frequency of a frame", run.value(frequency))
    made: Frame = run.pulsing.new_frame(
        run, initial, port, hertz, amount(run, node, "the phase of a frame", run.value(phase))
    )
    return made


def _port(run: Run, node: ast.QASMNode) -> Port:
    found = run.scope.find(node.name) if isinstance(node, ast.Identifier) else None
    if isinstance(found, Port):
        return found
    if found is not None or not isinstance(node, ast.Identifier):
        raise run.refuse(node, "a frame is made on a port: newframe(port, frequency, phase)")
    port: Port = run.pulsing.port(run, node, node.name)
    return port


def _waveform(run: Run, node: ast.QASMNode, name: str, initial: Any) -> Any:
    if initial is None:
        return run.pulsing.waveform(run, node, name)
    value = wave(run, initial)
    return value.value


def assignment(run: Run, node: ast.ClassicalAssignment) -> Completion:
    """Set a waveform, or let a variable name what is captured; everything else is the language's."""
    target = node.lvalue
    if not isinstance(target, ast.Identifier):
        return as_language(run, node)
    found = run.scope.find(target.name)
    around, run.pulsing.target = run.pulsing.target, target.name
    try:
        if isinstance(found, Cell) and node.op.name == "=":
            if found.type == WAVEFORM:
                run.hold(found, wave(run, node.rvalue).value)
                return None
            if _is_call(node.rvalue, [name for name, kind in CAPTURES.items() if kind != "bit"]):
                run.hold(found, run.value(node.rvalue).value)
                return None
        return as_language(run, node)
    finally:
        run.pulsing.target = around


def extern(run: Run, node: ast.ExternDeclaration) -> Completion:
    """Take the declaration of what is built in here, if it is the standard's; everything else is the language's."""
    name = node.name.name
    if name in CAPTURES or name in CALLS:
        return None
    if name not in TEMPLATES:
        return as_language(run, node)
    found = [type(one.type).__name__.removesuffix("Type").lower() for one in node.arguments]
    wanted = [kind for kind, _ in TEMPLATES[name]]
    numbers = {"complex", "float", "angle"}
    if len(found) != len(wanted) or any(
        one != kind and not {one, kind} <= numbers for one, kind in zip(found, wanted, strict=True)
    ):
        raise run.refuse(
            node, f"extern {name}({', '.join(found)}) is not the standard's, which is {waveform_calls.signature(name)}"
        )
    return None
