"""OpenPulse in the elaborator: `cal` blocks, and the calls and declarations that stand in them and in the bodies of `defcal`.

Inside a body the tables of the language are overlaid with those at the end of this file; everything classical is the language's own.
Ports are the lab's lines and its `digitizer`; `frame q0_drive;` (or `extern frame`) is a calibrated frame, `waveform q0_sx;` a calibrated
waveform, and either may be used without being declared. play and capture take their frame before or after the waveform: the standard
has had both orders.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import openpulse.ast
from openqasm3 import ast

from qrt.qasm import captures, defcals, frames, functions, templates, waveforms
from qrt.qasm.assignment import set_bits
from qrt.qasm.captures import CAPTURED, CAPTURES, REFUSED
from qrt.qasm.context import Completion, Run
from qrt.qasm.defcals import Use
from qrt.qasm.expressions import Duration, as_float
from qrt.qasm.frames import Frame
from qrt.qasm.kinds import ANGLE, FLOAT, KNOWN, RUNTIME, VARIED, VOID, Typed
from qrt.qasm.measure import measure
from qrt.qasm.ports import Port
from qrt.qasm.pulsing import Pulsing
from qrt.qasm.quantum import qubits
from qrt.qasm.runtime import word_of
from qrt.qasm.scope import Cell, Lost, Qubits
from qrt.qasm.templates import TEMPLATES, WAVEFORM, amount
from qrt.qasm.values import located
from qrt.qasm.waves import Wave, calculated, is_known

GRAMMAR: Final = "openpulse"
ROUNDING: Final = 1e-9  # of a known amplitude: what products of floats may make of exactly 1


def enter(run: Run, tree: ast.Program) -> None:
    """Let a program with pulses be elaborated."""
    run.pulsing = Pulsing(run.facts.pulses)
    run.pulsing.inside, run.pulsing.measure, run.pulsing.reset = _inside, defcals.measure, defcals.reset
    run.pulsing.defcals = defcals.enter(run, tree.statements)
    run.pulsing.language, run.pulsing.values = dict(run.handlers), dict(run.evaluators)
    run.pulsing.outside = run.handlers = {**run.handlers, **OUTSIDE}


@contextmanager
def _inside(run: Run) -> Iterator[None]:
    """Read what follows as OpenPulse."""
    around = run.handlers, run.evaluators
    run.handlers = {**run.handlers, **HANDLERS}
    run.evaluators = {**run.evaluators, **EVALUATORS}
    yield
    run.handlers, run.evaluators = around


def _as_language(run: Run, node: ast.QASMNode) -> Completion:
    """Execute a statement as the language does."""
    completion: Completion = run.pulsing.language[type(node)](run, node)
    return completion


def _as_outside(run: Run, node: ast.QASMNode) -> Completion:
    """Execute a statement as outside of a body."""
    completion: Completion = run.pulsing.outside[type(node)](run, node)
    return completion


def grammar(run: Run, node: ast.CalibrationGrammarDeclaration) -> Completion:
    """Take the one grammar that there is."""
    if node.name != GRAMMAR:
        raise run.refuse(node, f'defcalgrammar "{node.name}" is not supported; supported: defcalgrammar "{GRAMMAR}"')
    return None


def cal(run: Run, node: Any) -> Completion:
    """Execute a block of OpenPulse."""
    around, run.scope = run.scope, run.pulsing.scope(run)
    with _inside(run):
        completion = run.statements(node.body)
    run.scope = around
    return completion


def definition(run: Run, node: Any) -> Completion:
    """Pass over a defcal: it was entered before."""
    if run.depth:
        raise run.refuse(node, "a defcal stands at the top of a program")
    return None


# ---- Declarations ------------------------------------------------------------------------------------------------------


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
                    raise run.refuse(node, f"an outcome is a bit: bit {name} = ...")
                run.declare(node, name, Cell(name, value.type, value.value, run.scope))
            case _:
                return _as_language(run, node)
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


def wave(run: Run, node: ast.QASMNode) -> Typed:
    """Return a waveform: a variable, a call, samples; or what a raw capture leaves."""
    if isinstance(node, ast.ArrayLiteral):
        return Typed(WAVEFORM, templates.literal(run, node))
    value: Typed = run.value(node)
    if value.type == CAPTURED["raw"]:
        return value
    if value.type != WAVEFORM:
        raise run.refuse(node, f"a waveform is needed here, not {value.type}")
    return value


def assignment(run: Run, node: ast.ClassicalAssignment) -> Completion:
    """Set a waveform, or let a variable name what is captured; everything else is the language's."""
    target = node.lvalue
    if not isinstance(target, ast.Identifier):
        return _as_language(run, node)
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
        return _as_language(run, node)
    finally:
        run.pulsing.target = around


def extern(run: Run, node: ast.ExternDeclaration) -> Completion:
    """Take the declaration of what is built in here, if it is the standard's; everything else is the language's."""
    name = node.name.name
    if name in CAPTURES or name in CALLS:
        return None
    if name not in TEMPLATES:
        return _as_language(run, node)
    found = [type(one.type).__name__.removesuffix("Type").lower() for one in node.arguments]
    wanted = [kind for kind, _ in TEMPLATES[name]]
    numbers = {"complex", "float", "angle"}
    if len(found) != len(wanted) or any(
        one != kind and not {one, kind} <= numbers for one, kind in zip(found, wanted, strict=True)
    ):
        raise run.refuse(
            node, f"extern {name}({', '.join(found)}) is not the standard's, which is {templates.signature(name)}"
        )
    return None


# ---- Time --------------------------------------------------------------------------------------------------------------


def _found_frame(run: Run, node: ast.QASMNode) -> Frame | None:
    """Return the frame that an operand names; None if it is none."""
    if not isinstance(node, ast.Identifier):
        return None
    found = run.scope.find(node.name)
    if found is None and node.name in run.pulsing.lab.frames:
        found = run.pulsing.frame(run, node, node.name)
    return found if isinstance(found, Frame) else None


def _frame_of(run: Run, node: ast.QASMNode) -> Frame:
    """Return the frame that an operand names."""
    found = _found_frame(run, node)
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


def delay(run: Run, node: ast.DelayInstruction) -> Completion:
    """Wait on frames; on qubits as in the program."""
    if not any(_found_frame(run, one) for one in node.qubits):
        return _as_outside(run, node)
    value = run.value(node.duration)
    if value.type.kind != "duration" or type(value.value) in RUNTIME:
        raise run.refuse(node, "a delay of frames is a duration that does not depend on outcomes")
    duration = value.value
    if run.rounds and isinstance(duration, Duration):
        duration = templates.rounded(run, node, "a delay", value)
    for one in node.qubits:
        frames.delay(run, node, _frame_of(run, one), duration)
    return None


def barrier(run: Run, node: ast.QuantumBarrier) -> Completion:
    """Let frames, and qubits beside them, go on together; all frames in use where none is named."""
    found = [frame for one in node.qubits if (frame := _found_frame(run, one)) is not None]
    if node.qubits and not found:
        return _as_outside(run, node)
    if not node.qubits:
        found = [*run.pulsing.frames.values(), *run.pulsing.made.values()]
    named = [index for one in node.qubits if _found_frame(run, one) is None for index in qubits(run, one).indices]
    others = [name for index in named if (name := run.pulsing.lab_qubit(run, index)) is not None]
    run.pulsing.meet(run, node, found, others)
    return None


def qubits_delay(run: Run, node: ast.DelayInstruction) -> Completion:
    """Wait on qubits, with their frames."""
    indices = [index for one in node.qubits for index in qubits(run, one).indices] or range(len(run.qubit_names))
    run.pulsing.with_companions(run, node, indices)
    completion = _as_language(run, node)
    run.pulsing.with_companions(run, node, indices)
    return completion


def qubits_barrier(run: Run, node: ast.QuantumBarrier) -> Completion:
    """Hold qubits together, with their frames."""
    completion = _as_language(run, node)
    indices = [index for one in node.qubits for index in qubits(run, one).indices] or range(len(run.qubit_names))
    run.pulsing.with_companions(run, node, indices)
    return completion


# ---- Calls -------------------------------------------------------------------------------------------------------------


def call(run: Run, node: ast.FunctionCall) -> Typed:
    """Return the value of a call: of OpenPulse, or the language's."""
    name = node.name.name
    if name in TEMPLATES:
        return templates.call(run, node)
    if name in REFUSED:
        raise run.refuse(node, f"{name} is not supported: {REFUSED[name]}")
    if name in CAPTURES or name in CALLS:
        found = [one for one in node.arguments if _found_frame(run, one) is not None]
        rest = [one for one in node.arguments if one not in found]
        if len(found) != 1:
            shown = node.arguments[0] if node.arguments else node
            if found or not isinstance(shown, ast.Identifier):
                raise run.refuse(
                    node, f"{name} takes one frame, not {len(found)}: {FORMS.get(name, f'{name}(frame, ...)')}"
                )
            _frame_of(run, shown)
        frame = _frame_of(run, found[0])
        if name in CAPTURES:
            return captures.capture(run, node, frame, rest)
        count, function = CALLS[name]
        if len(rest) != count:
            raise run.refuse(node, f"{name} takes {count + 1} arguments, not {len(node.arguments)}: {FORMS[name]}")
        return function(run, node, frame, rest)
    near = difflib.get_close_matches(name, (*TEMPLATES, *CAPTURES, *CALLS), 1)
    if near and run.scope.find(name) is None and name not in functions.NAMES:
        raise run.refuse(node, f"{name!r} is no function; did you mean {near[0]}?")
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
        if value.type.kind != "angle":
            raise run.refuse(
                node,
                f"a phase that depends on outcomes is of type angle, not {value.type}: angle[32] t = ...; shift_phase(f, t)",
            )
        frames.shift_phase_by_outcome(
            run, node, frame, located(run, node, "a phase", lambda: word_of(value, run.source(node)))
        )
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


# ---- Gates -------------------------------------------------------------------------------------------------------------


def gate(run: Run, node: ast.QuantumGate) -> Completion:
    """Apply a gate: by the program's defcal where one matches, else as the language does."""
    called = node.name.name
    if called not in run.pulsing.defcals:
        return _as_language(run, node)
    arguments = [run.value(one) for one in node.arguments]
    completion = None
    for combination in _combinations(run, node, [qubits(run, one) for one in node.qubits]):
        found = defcals.match(run, called, combination, arguments)
        if found is None:
            around, run.scope = run.scope, run.scope.copied()
            completion = _as_language(run, _on(run, node, combination))
            run.scope = around
            continue
        if node.modifiers or node.duration is not None:
            what = "a duration" if node.duration is not None else f"the modifier {node.modifiers[0].modifier.name}"
            raise run.refuse(node, f"{called} is a defcal of this program, which says nothing of it with {what}")
        defcals.execute(run, found, Use(node, combination, arguments), None)
    return completion


def _combinations(run: Run, node: ast.QuantumGate, operands: list[Qubits]) -> list[tuple[int, ...]]:
    """Return the qubits of each application: registers go through their elements together, single qubits stay."""
    sizes = {len(one.indices) for one in operands if one.sized}
    if len(sizes) > 1:
        raise run.refuse(
            node, f"registers of {' and '.join(map(str, sorted(sizes)))} qubits in one gate; they must be of one size"
        )
    count = sizes.pop() if sizes else 1
    return [tuple(one.indices[k if one.sized else 0] for one in operands) for k in range(count)]


def _on(run: Run, node: ast.QuantumGate, indices: tuple[int, ...]) -> ast.QuantumGate:
    """Return a gate on single qubits, under names that no program can write."""
    operands: list[ast.IndexedIdentifier | ast.Identifier] = []
    for index in indices:
        run.scope.names[f"\0{index}"] = Qubits((index,), sized=False)
        operands.append(ast.Identifier(f"\0{index}"))
        operands[-1].span = node.span
    made = ast.QuantumGate(node.modifiers, node.name, node.arguments, operands, node.duration)
    made.span = node.span
    return made


OUTSIDE: Final[dict[type, Callable[[Run, Any], Completion]]] = {
    ast.CalibrationGrammarDeclaration: grammar,
    openpulse.ast.CalibrationStatement: cal,
    openpulse.ast.CalibrationDefinition: definition,
    ast.QuantumGate: gate,
    ast.DelayInstruction: qubits_delay,
    ast.QuantumBarrier: qubits_barrier,
}
HANDLERS: Final[dict[type, Callable[[Run, Any], Completion]]] = {
    ast.ClassicalDeclaration: declaration,
    ast.ClassicalAssignment: assignment,
    ast.ExternDeclaration: extern,
    ast.DelayInstruction: delay,
    ast.QuantumBarrier: barrier,
    ast.ExpressionStatement: statement,
    ast.ReturnStatement: defcals.returns,
}
EVALUATORS: Final[dict[type, Callable[[Run, Any], Typed]]] = {ast.FunctionCall: call, ast.Identifier: name}
