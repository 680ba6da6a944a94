"""The state of OpenPulse in one elaboration: the lab's ports, the frames in use, the tables that statements point into, names of `cal`.

Frames of a drive line share the clock of the qubit that has the line: what plays on them plays one after another, with the qubit's gates.
Any other frame has a clock, and so a sequencer, of its own. The calibration's measurement of a qubit meets the qubit's `_readout` and
`_acquire` frames before and after, where the program uses them; so do barriers and delays of the qubit.

What is declared in a `cal` is seen by later `cal` and `defcal` bodies of the same block and those inside it, not by the program.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from openqasm3 import ast

from qrt.qasm import frames, waves
from qrt.qasm.expressions import Exact, as_float
from qrt.qasm.facts import Facts
from qrt.qasm.frames import Frame
from qrt.qasm.ports import Port, Ports
from qrt.qasm.pulses import Filter, FrameBarrier, FrameFrequency, FramePhase, Oscillator, Tables
from qrt.qasm.quantum import physical
from qrt.qasm.scope import Scope
from qrt.qasm.waves import ZERO, Amount, Wave

if TYPE_CHECKING:
    from qrt.qasm.completion import Completion
from qrt.qasm.context import Run

T = TypeVar("T")
OWN_NAMES = "\0cal"  # in a scope: the names that its `cal` blocks have declared; no identifier looks like it


class Pulsing:
    """One for each elaboration."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.frames: dict[str, Frame] = {}  # the lab's, in use
        self.made: dict[int, Frame] = {}  # by the call of newframe
        self.oscillators: dict[str, Oscillator] = {}
        self.envelopes: dict[str, Any] = {}
        self.shapes: dict[Any, Any] = {}  # qrt.qasm.waveform_calls.Shape, by what makes it
        self.weights: dict[str, Any] = {}
        self.captures: dict[str, str] = {}
        self.sequencers: dict[str, None] = {}
        # Tables of the language, and those outside of `cal`, which know defcals.
        self.language: dict[type, Callable[..., Any]] = {}
        self.values: dict[type, Callable[..., Any]] = {}
        self.outside: dict[type, Callable[..., Any]] = {}
        self.defcals: dict[str, list[Any]] = {}
        self.inside: Callable[[Run], AbstractContextManager[None]] = lambda run: (
            nullcontext()
        )  # reads what follows as OpenPulse
        self.gate: Callable[..., bool] = _unset  # by the program's defcal, where one matches
        self.measure: Callable[..., None] = _unset  # of qubits: by the program's defcal or the calibration
        self.reset: Callable[..., None] = _unset
        self.target: str | None = None  # the variable that takes what is captured
        # Of the defcal at hand: what it returned, the caller's bits, the name that it returns at its end.
        self.returned: list[Any] = []
        self.register: Any = None
        self.alias: str | None = None
        self.depth: int | None = None  # how many subroutines are around it
        self._envelope_names: dict[bytes, str] = {}
        self._met: list[dict[Frame, None]] = []  # of each defcal around: the frames that count from its beginning

    @property
    def lab(self) -> Ports:
        """What OpenPulse sees of the lab, found when a program first asks: most that could use it never do."""
        return self._facts.pulses

    def tables(self) -> Tables:
        """Return what the statements point into."""
        return Tables(self.oscillators, self.envelopes, self.weights, self.captures, tuple(self.sequencers))

    # ---- Names -----------------------------------------------------------------------------------------------------------

    def scope(self, run: Run) -> Scope:
        """Return the scope of a `cal` that stands here."""
        layers: list[dict[str, Any]] = []
        around: Scope | None = run.scope
        while around is not None:
            if around is run.scope or OWN_NAMES in around.names:
                layers.append(around.names.setdefault(OWN_NAMES, {}))
            around = around.parent
        scope = run.scope
        for names in reversed(layers):
            scope = Scope(scope)
            scope.names = names
        return scope

    def port(self, run: Run, node: ast.QASMNode, name: str) -> Port:
        """Return a port of the lab."""
        return _known(run, node, name, self.lab.ports, "port")

    def waveform(self, run: Run, node: ast.QASMNode, name: str) -> Wave:
        """Return a calibrated waveform of the lab."""
        found = _known(run, node, name, self.lab.waveforms, "calibrated waveform")
        self._envelope_names.setdefault(found.samples.tobytes(), name)
        return Wave(name, found.samples, waves.number_of(found.amplitude))

    def frame(self, run: Run, node: ast.QASMNode, name: str) -> Frame:
        """Return a calibrated frame of the lab."""
        if name not in self.frames:
            found = _known(run, node, name, self.lab.frames, "calibrated frame")
            port = self.lab.ports[found.port]
            hz = Exact(found.frequency_hz)
            frame = Frame(name, port, found.nco, (hz, ZERO), run.globals, qubit=found.qubit, weights=found.weights)
            self._enter(run, node, frame)
            self.frames[name] = frame
        return self.frames[name]

    def new_frame(self, run: Run, node: ast.FunctionCall, port: Port, frequency_hz: Amount, phase_rad: Amount) -> Frame:
        """Return the frame of a call of newframe: a new one, or once more that of the same call as it was at first."""
        frame = self.made.get(id(node))
        if frame is None:
            name = self._free_name(self.target or "frame")
            frame = Frame(name, port, name if port.plays else None, (frequency_hz, phase_rad), run.globals)
            self.made[id(node)] = frame
            self._enter(run, node, frame)
            return frame
        frames.set_frequency(run, node, frame, frequency_hz)
        frames.shift_phase(run, node, frame, frames.phase_to(run, node, frame, phase_rad))
        run.hold(frame.carrier, ZERO)
        return frame

    def _free_name(self, name: str) -> str:
        """Return a name that no other frame, and no sequencer of the lab, has."""
        taken = {*self.lab.qubits, *self.lab.frames, *(frame.name for frame in self.made.values())}
        return _unlike(name, "_", taken)

    def _enter(self, run: Run, node: ast.QASMNode, frame: Frame) -> None:
        """Give a frame its NCO, and the sequencer that it needs."""
        self.sequencers.setdefault(frame.sequencer)
        if frame.nco is None or frame.nco in self.oscillators:
            return
        frequency_hz, phase_rad, source = frame.frequency.value, frame.phase.value, run.source(node)
        run.shape.by(frequency_hz, phase_rad)  # known ones are what the frame begins with
        known = isinstance(frequency_hz, Exact | float)
        relative = frame.above_source(frequency_hz)
        start_hz = Fraction(0)
        if known:
            start_hz = self.nco_hz(run, node, frame, relative)
        else:
            run.add(FrameFrequency(frame.sequencer, frame.nco, relative, source))
        start_rad = as_float(phase_rad) if isinstance(phase_rad, Exact | float) else 0.0
        if not isinstance(phase_rad, Exact | float):
            run.add(FramePhase(frame.sequencer, frame.nco, phase_rad, source))
        self.oscillators[frame.nco] = Oscillator(frame.port.name, start_hz, start_rad)

    def nco_hz(self, run: Run, node: ast.QASMNode, frame: Frame, relative_hz: Amount) -> Fraction:
        """Return a known frequency of an NCO. Raises ProgramError beyond its range."""
        assert isinstance(relative_hz, Exact | float)
        exact = isinstance(relative_hz, Exact) and not relative_hz.pi
        hertz = relative_hz.rational if exact else Fraction(as_float(relative_hz))  # type: ignore[union-attr]
        if not -self.lab.nco_hz_max <= hertz < self.lab.nco_hz_max:
            source, reach = frame.port.source_hz, self.lab.nco_hz_max
            raise run.refuse(
                node,
                f"{frame.name} at {float(hertz + source):.10g} Hz is {float(hertz):+.6g} Hz from the source of {frame.port.name} at "
                f"{float(source):.10g} Hz; its NCO reaches {float(source - reach):.10g} to {float(source + reach):.10g} Hz: change the "
                "frequency, or the line's source_hz",
            )
        return hertz

    # ---- Tables ----------------------------------------------------------------------------------------------------------

    def envelope(self, one: Wave) -> str:
        """Return the name under which a shape stands, each shape once."""
        key = one.shape.tobytes()
        name = self._envelope_names.get(key)
        if name is None:
            name = self._numbered(one.label, self._envelope_names.values())
            self._envelope_names[key] = name
        self.envelopes[name] = one.shape
        return name

    def capture(self, name: str, weights: Any) -> str:
        """Return the name under which the integration weights of a capture stand; equal ones of one name stand once."""
        for key, called in self.captures.items():
            if called == name and _same(self.weights[key], weights):
                return key
        key = self._numbered(name, self.weights)
        self.weights[key], self.captures[key] = weights, name
        return key

    def _numbered(self, name: str, taken: Iterable[str]) -> str:
        names = {*taken, *self.lab.waveforms}
        return _unlike(name, "#", names)

    # ---- Meetings --------------------------------------------------------------------------------------------------------

    def at(self, run: Run, frame: Frame) -> Frame:
        """Return a frame that is about to be used: in a defcal its carrier counts from the body's beginning."""
        if self._met and frame not in self._met[-1]:
            run.hold(frame.carrier, ZERO)
            self._met[-1][frame] = None
        return frame

    @contextmanager
    def body(self, run: Run) -> Iterator[None]:
        """Be the body of a defcal, whose frames meet at its beginning and at its end."""
        self._met.append({})
        yield
        for frame in self._met.pop():
            run.hold(frame.carrier, ZERO)
            if self._met:
                self._met[-1][frame] = None

    def meet(self, run: Run, node: ast.QASMNode, found: Sequence[Frame], others: Sequence[str] = ()) -> None:
        """Let frames, and sequencers of qubits beside them, go on together."""
        for frame in found:
            run.hold(self.at(run, frame).carrier, ZERO)
        sequencers = tuple(dict.fromkeys((*others, *(frame.sequencer for frame in found))))
        if len(sequencers) > 1:
            run.add(FrameBarrier(sequencers, run.source(node)))

    def companions(self, qubit: str) -> list[Frame]:
        """Return the frames of a qubit that have clocks of their own and are in use."""
        return [frame for frame in self.frames.values() if frame.qubit == qubit and not frame.is_free]

    def with_companions(self, run: Run, node: ast.QASMNode, qubits: Iterable[int]) -> None:
        """Let the frames of qubits go on with them."""
        for qubit in qubits if self.frames else ():
            name = self.lab_qubit(run, qubit)
            found = self.companions(name) if name is not None else []
            if found:
                assert name is not None
                self.meet(run, node, found, [name])

    def start_hz(self, frame: Frame) -> Exact:
        """Return the frequency that the calibration has found for a frame of the lab."""
        return Exact(self.lab.frames[frame.name].frequency_hz)

    def lab_qubit(self, run: Run, index: int) -> str | None:
        """Return the lab's name of a qubit of the program; None for one that the lab has not, which lowering refuses."""
        place = physical(run, index)
        return self.lab.qubits[place] if place < len(self.lab.qubits) else None


def as_language(run: Run, node: ast.QASMNode) -> Completion:
    """Execute a statement as the language does."""
    completion: Completion = run.pulsing.language[type(node)](run, node)
    return completion


def as_outside(run: Run, node: ast.QASMNode) -> Completion:
    """Execute a statement as outside of a body."""
    completion: Completion = run.pulsing.outside[type(node)](run, node)
    return completion


def _unlike(name: str, mark: str, taken: Collection[str]) -> str:
    """Return a name, with a number if it is taken."""
    number = 1
    while (one := name if number == 1 else f"{name}{mark}{number}") in taken:
        number += 1
    return one


def _unset(*arguments: Any) -> Any:
    raise AssertionError(arguments)


def _same(one: Any, other: Any) -> bool:
    """Say whether two sets of weights are the same."""
    if type(one) is not type(other):
        return False
    arrays = (one.shape, other.shape) if isinstance(one, Filter) else (one.samples, other.samples)
    return arrays[0].shape == arrays[1].shape and bool((arrays[0] == arrays[1]).all()) and one[1:] == other[1:]


def _known(run: Run, node: ast.QASMNode, name: str, table: dict[str, T], kind: str) -> T:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise run.refuse(node, f"the lab has no {kind} {name!r}; {hint}{kind}s: {', '.join(table) or 'none'}")
