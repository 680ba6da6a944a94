"""Captures: `capture_v0` gives nothing, `_v1` an iq point, `_v2` an outcome, `_v3` the raw record; arguments as in the standard's examples.

capture_vN(frame, filter) or (frame, duration). The filter is a waveform; a duration is one of ones. The signal is multiplied by the
filter's conjugate on the conjugate carrier of the frame and summed: a signal like the filter, in phase with the frame, comes out real
and positive. Weights are scaled so that the largest is that of calibrated ones: an iq point is in counts, and the filter's amplitude
drops out.

An outcome needs a threshold: capture_v2(frame, filter, threshold) is 1 where the real part of iq is above it. A frame of the calibration,
`<qubit>_readout` or `<qubit>_acquire`, has weights and threshold of its own: capture_v2(frame) or capture_v2(frame, duration) takes
those, as long as nothing of the frame has been changed and the duration is theirs. Nothing else says what is 1: refused.

The standard's capture_v0(frame) returns nothing and does not say how long it records. On a frame of the calibration both are known, and
what comes is for the record alone. On any other frame it needs a filter or a duration.

Weights stand in the kernel before the run. Where frequency or phase of a frame vary from shot to shot with inputs that are swept, there is
a set of them for each point (qrt.pulses.weights).

iq points and raw records are for the record: no value of the program can depend on them while the shot runs.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from openqasm3 import ast

from qrt.qasm import frames, waves
from qrt.qasm.expressions import Duration, Exact
from qrt.qasm.kinds import BIT, VOID, Type, Typed
from qrt.qasm.ports import LabWeights
from qrt.qasm.pulses import Filter, FrameCapture
from qrt.qasm.scope import BitRegister, Lost
from qrt.qasm.waveform_calls import WAVEFORM, known, sample_count
from qrt.types import Bits

if TYPE_CHECKING:
    from qrt.qasm.context import Run
    from qrt.qasm.frames import Frame

CAPTURES: Final = {"capture_v0": "nothing", "capture_v1": "iq", "capture_v2": "bit", "capture_v3": "raw"}
CAPTURED: Final = {"iq": Type("iq point"), "raw": Type("raw record")}
REFUSED: Final = {
    "capture_v4": "no instrument of a lab counts events; use capture_v1 for an iq point, capture_v2 for an outcome",
}


def capture(run: Run, node: ast.FunctionCall, frame: Frame, rest: list[ast.Expression]) -> Typed:
    """Record on a frame; return what the program can do with it."""
    kind = CAPTURES[node.name.name]
    if not frame.port.captures:
        allowed = ", ".join(name for name, port in run.pulsing.lab.ports.items() if port.captures)
        raise run.refuse(
            node,
            f"{frame.name} is on port {frame.port.name}, where nothing comes back; ports that can be captured: {allowed}",
        )
    _check_count(run, node, kind, frame, rest)
    frame = run.pulsing.at(run, frame)
    values = [run.value(one) for one in rest]
    weights, count = _weights(run, node, kind, frame, values)
    bit, result = _bit(run, frame) if kind == "bit" else (None, _for_the_record(kind))
    name = run.bit_names[bit] if bit is not None else run.pulsing.target or frame.name
    key = run.pulsing.capture(name, weights)
    run.add(FrameCapture(frame.sequencer, key, bit, kind == "raw", run.source(node)))
    frames.delay(run, node, frame, Duration(Fraction(0), Fraction(count)))
    return result


def _for_the_record(kind: str) -> Typed:
    """Return what the program has of a capture that it cannot look at."""
    if kind == "nothing":
        return Typed(VOID, Lost("capture_v0 returns nothing; capture_v2 gives an outcome"))
    later = (
        "are for the record: no value of the program depends on them while the shot runs; capture_v2 gives an outcome"
    )
    return Typed(CAPTURED[kind], Lost(f"{CAPTURED[kind]}s {later}"))


def _check_count(run: Run, node: ast.FunctionCall, kind: str, frame: Frame, rest: list[ast.Expression]) -> None:
    most = 2 if kind == "bit" else 1
    least = 0 if kind in {"bit", "nothing"} and frame.weights is not None else 1
    if not least <= len(rest) <= most:
        threshold = "[, int threshold]" if kind == "bit" else ""
        calibrated = "; (frame) alone for a frame of the calibration" if kind in {"bit", "nothing"} else ""
        raise run.refuse(
            node,
            f"{node.name.name} takes (frame, waveform filter{threshold}) or (frame, duration{threshold}), not {len(rest) + 1} "
            f"arguments{calibrated}",
        )


def _bit(run: Run, frame: Frame) -> tuple[int, Typed]:
    """Return the bit that takes an outcome: that of the assignment at hand, or a new one."""
    register = run.target
    if isinstance(register, BitRegister) and len(register.cells) == 1:
        run.target = None
    else:
        count = sum(one.startswith(f"{frame.name}.outcome") for one in run.bit_names)
        register = run.new_bits(f"{frame.name}.outcome" + f"#{count + 1}" * bool(count), None)
    (cell,) = register.cells
    bit = run.outcome_bit(cell)
    return bit, Typed(BIT, Bits((bit,)))


def _weights(
    run: Run, node: ast.FunctionCall, kind: str, frame: Frame, values: list[Typed]
) -> tuple[Filter | LabWeights, int]:
    """Return the weights of a capture and its length in samples."""
    threshold = 0
    if len(values) == 2:
        threshold = _threshold(run, node, values[1])
    turned: waves.Amount = waves.ZERO
    by_length = not values or values[0].type.kind == "duration"
    if kind == "nothing" and not values:
        assert frame.weights is not None
        return _calibrated(run, node, frame, frame.weights, values)
    if kind == "bit" and len(values) < 2:
        if not by_length or frame.weights is None:
            raise run.refuse(
                node,
                f"nothing says above which value of {frame.name} an outcome is 1: give a threshold, {node.name.name}(frame, filter, "
                "threshold), or capture a calibrated frame for its duration",
            )
        return _calibrated(run, node, frame, frame.weights, values)
    if by_length:
        count = sample_count(run, node, "a capture", values[0])
        shape = np.ones(count, np.complex128)
    else:
        shape, turned = _filter(run, node, values[0])
    return Filter(shape, *_carrier(run, node, frame, turned), threshold), len(shape)


def _threshold(run: Run, node: ast.QASMNode, value: Typed) -> int:
    found = known(run, node, "the threshold of a capture", value)
    if type(found) is not int:
        raise run.refuse(node, f"the threshold of a capture is {value.type}; a whole number of counts is needed")
    return found


def _filter(run: Run, node: ast.QASMNode, value: Typed) -> tuple[Any, waves.Amount]:
    """Return the samples of a filter, and a phase by which all of them are turned."""
    if value.type != WAVEFORM:
        raise run.refuse(node, f"a capture takes a waveform or a duration, not {value.type}")
    wave = value.value
    if not waves.is_known(wave.amplitude):
        raise run.refuse(
            node,
            "the amplitude of a capture's filter varies from shot to shot, and none of it would be seen, since weights are scaled to their "
            "largest: leave it out",
        )
    known = waves.is_known(wave.phase_rad)
    samples = waves.samples_of(wave if known else replace(wave, phase_rad=waves.ZERO))
    if not samples.any():
        raise run.refuse(node, "the filter of a capture is zero throughout, so that nothing would be seen")
    return samples, waves.ZERO if known else wave.phase_rad


def _carrier(run: Run, node: ast.QASMNode, frame: Frame, turned: waves.Amount) -> tuple[waves.Amount, waves.Amount]:
    """Return frequency, relative to the port's source, and phase of the carrier at the capture's start; what varies stays open."""
    relative = frame.above_source(frames.held(run, node, frame.frequency))
    phase = waves.calculated("+", frames.held(run, node, frame.carrier), frames.held(run, node, frame.phase))
    known = waves.is_known(relative)
    return Exact(run.pulsing.nco_hz(run, node, frame, relative)) if known else relative, waves.calculated(
        "+", phase, turned
    )


def _calibrated(
    run: Run, node: ast.QASMNode, frame: Frame, weights: LabWeights, values: list[Typed]
) -> tuple[LabWeights, int]:
    """Return the calibration's weights, if they are for this capture."""
    count = weights.samples.shape[1]
    given = sample_count(run, node, "a capture", values[0]) if values else count
    if given != count:
        raise run.refuse(
            node,
            f"the calibrated weights of {frame.name} are for {count} samples, not {given}: capture for {count}dt, or give a filter and a "
            "threshold",
        )
    hertz = frames.held(run, node, frame.frequency)
    phase = waves.calculated("+", frames.held(run, node, frame.carrier), frames.held(run, node, frame.phase))
    if hertz != Exact(run.pulsing.lab.frames[frame.name].frequency_hz) or phase != waves.ZERO:
        raise run.refuse(
            node,
            f"frequency or phase of {frame.name} is not the calibration's here, and so are not its weights: put a barrier before, with the "
            "frame that plays the tone, or give a filter and a threshold",
        )
    return weights, count
