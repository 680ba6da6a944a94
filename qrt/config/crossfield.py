"""What no single field of a lab can know: names that must meet, channels in use twice, frequencies and durations that must fit.

Each check is a generator of problems over a Lab whose fields are each in order. Arithmetic is exact: a TOML number is taken as the
decimal that it prints as, so that 0.1 ns is a tenth, and a whole multiple is one or is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import combinations

from qrt.config.address import stream_address
from qrt.config.controlled import controller_problems
from qrt.config.coupled import coupler_problems
from qrt.errors import Problem, nearest
from qrt.types import Lab, Line, Qubit

NS_PER_S = 10**9
PS_PER_NS = 1000
PS_PER_S = 10**12
SHOT_TICKS_MAX = 1 << 48  # qrt_core.h: of a period, stretched too


def cross_problems(lab: Lab) -> Iterator[Problem]:
    """Yield everything that does not fit between the fields of a lab."""
    yield from _names_meet(lab)
    yield from _addresses(lab)
    yield from _channels(lab)
    yield from _sources(lab)
    yield from _feedline(lab)
    yield from coupler_problems(lab)
    yield from _durations(lab)
    yield from _frequencies(lab)
    yield from _spacing(lab)
    yield from _stream(lab)
    yield from _mailbox(lab)
    yield from _stretch(lab)
    yield from controller_problems(lab)


def exact(value: float) -> Fraction:
    """Return a TOML number as the decimal that it prints as."""
    return Fraction(repr(value))


def _names_meet(lab: Lab) -> Iterator[Problem]:
    """Yield names of instruments and lines that are not there."""
    instruments, lines = list(lab.instruments), list(lab.lines)
    wanted: list[tuple[tuple[str, ...], str, str, list[str]]] = []
    for name, line in lab.lines.items():
        wanted.append((("lines", name, "awg"), line.awg, "instruments", instruments))
        wanted.append((("lines", name, "source"), line.source, "instruments", instruments))
    wanted.append((("digitizer", "instrument"), lab.digitizer.instrument, "instruments", instruments))
    for name, qubit in lab.qubits.items():
        wanted.append((("qubits", name, "drive_line"), qubit.drive_line, "lines", lines))
        wanted.append((("qubits", name, "readout_line"), qubit.readout_line, "lines", lines))
    for path, name, table, allowed in wanted:
        if name not in allowed:
            yield Problem(path, f"{name!r} is not in [{table}]; {nearest(name, allowed)}")


def _addresses(lab: Lab) -> Iterator[Problem]:
    """Yield instruments that share an address, and serial addresses without a device."""
    seen: dict[str, str] = {}
    for name, instrument in lab.instruments.items():
        path = ("instruments", name, "address")
        if instrument.address in seen:
            yield Problem(path, f"{instrument.address!r} is the address of {seen[instrument.address]!r} already")
        seen.setdefault(instrument.address, name)
        if instrument.address.startswith("serial:") and not instrument.address.removeprefix("serial:").strip():
            yield Problem(
                path, f"{instrument.address!r} names no device; allowed: serial:<device>, or a VISA resource name"
            )


def _channels(lab: Lab) -> Iterator[Problem]:
    """Yield AWG channels that two lines, or both halves of one line, would play on."""
    seen: dict[tuple[str, int], str] = {}
    for name, line in lab.lines.items():
        for key, channel in (("i_channel", line.i_channel), ("q_channel", line.q_channel)):
            user = f"{key} of line {name!r}"
            if other := seen.get((line.awg, channel)):
                yield Problem(("lines", name, key), f"channel {channel} of {line.awg!r} is {other} already")
            seen.setdefault((line.awg, channel), user)


def _sources(lab: Lab) -> Iterator[Problem]:
    """Yield settings of a source that two lines share and want differently."""
    first: dict[str, tuple[str, Line]] = {}
    for name, line in lab.lines.items():
        other_name, other = first.setdefault(line.source, (name, line))
        for key, value, shared in (
            ("source_hz", line.source_hz, other.source_hz),
            ("source_dbm", line.source_dbm, other.source_dbm),
        ):
            if value != shared:
                yield Problem(
                    ("lines", name, key),
                    f"{value:g} differs from {shared:g} of line {other_name!r}, which shares {line.source!r}",
                )


def _feedline(lab: Lab) -> Iterator[Problem]:
    """Yield readout lines beyond the one that the digitizer sees, and lines that both drive and read."""
    readout = next(iter(lab.qubits.values())).readout_line
    drives = {qubit.drive_line: name for name, qubit in lab.qubits.items()}
    for name, qubit in lab.qubits.items():
        path = ("qubits", name, "readout_line")
        if qubit.readout_line != readout:
            yield Problem(path, f"{qubit.readout_line!r} differs from {readout!r}; the one digitizer sees one feedline")
        if qubit.readout_line in drives:
            yield Problem(
                path,
                f"{qubit.readout_line!r} is the drive line of {drives[qubit.readout_line]!r}; a line drives or reads",
            )


def _durations(lab: Lab) -> Iterator[Problem]:
    """Yield durations that are not whole numbers of samples, with the nearest two that are."""
    step_ns = Fraction(lab.timing.tick_ps * lab.timing.sample_ticks, PS_PER_NS)
    wanted: list[tuple[tuple[str, ...], float]] = [(("timing", "shot_period_ns"), lab.timing.shot_period_ns)]
    for name, qubit in lab.qubits.items():
        wanted.append((("qubits", name, "pulse_ns"), qubit.pulse_ns))
        wanted.append((("qubits", name, "readout", "duration_ns"), qubit.readout.duration_ns))
        wanted.append((("qubits", name, "readout", "depletion_ns"), qubit.readout.depletion_ns))
    wanted += [(("couplers", name, "pulse_ns"), coupler.pulse_ns) for name, coupler in lab.couplers.items()]
    for path, value in wanted:
        below = exact(value) // step_ns * step_ns
        if below != exact(value):
            near = [
                f"{float(choice):.12g}"
                for choice in (below, below + step_ns)
                if choice > 0 or path[-1] == "depletion_ns"
            ]
            grid = f"{float(step_ns):.12g} ns (timing.tick_ps x timing.sample_ticks)"
            yield Problem(path, f"{value:.12g} is not a whole multiple of {grid}; nearest: {' and '.join(near)}")


def _placed(lab: Lab) -> Iterable[tuple[str, Qubit]]:
    """Return the qubits whose lines exist; the others have their problem already."""
    return [(n, q) for n, q in lab.qubits.items() if q.drive_line in lab.lines and q.readout_line in lab.lines]


def _frequencies(lab: Lab) -> Iterator[Problem]:
    """Yield frequencies that the line's DACs, or the digitizer, cannot reach from the line's source."""
    nyquist_hz = Fraction(PS_PER_S, 2 * lab.timing.tick_ps * lab.timing.sample_ticks)
    band = f"{float(nyquist_hz):g} Hz, half the sample rate"
    for name, qubit in _placed(lab):
        offset_hz, words = _offset(lab, qubit.frequency_hz, qubit.drive_line)
        if abs(offset_hz) >= nyquist_hz:
            yield Problem(("qubits", name, "frequency_hz"), f"{words}; allowed: within +-{band}")
        offset_hz, words = _offset(lab, qubit.readout.frequency_hz, qubit.readout_line)
        if not 0 < offset_hz < nyquist_hz:
            allowed = f"above 0 (upper sideband, one real ADC) and below {band}"
            yield Problem(("qubits", name, "readout", "frequency_hz"), f"{words}; allowed: {allowed}")
    for name, coupler in lab.couplers.items():
        if coupler.line in lab.lines:
            offset_hz, words = _offset(lab, coupler.frequency_hz, coupler.line)
            if abs(offset_hz) >= nyquist_hz:
                yield Problem(("couplers", name, "frequency_hz"), f"{words}; allowed: within +-{band}")


def _offset(lab: Lab, frequency_hz: float, line: str) -> tuple[Fraction, str]:
    """Return how far a frequency is from the source of a line, and that in words."""
    source_hz = lab.lines[line].source_hz
    offset_hz = exact(frequency_hz) - exact(source_hz)
    return (
        offset_hz,
        f"{frequency_hz:.10g} is {float(offset_hz):+g} Hz from the source of line {line!r} at {source_hz:.10g}",
    )


def _spacing(lab: Lab) -> Iterator[Problem]:
    """Yield readout tones of one feedline that are not orthogonal over each other's integration time."""
    for (name, qubit), (other_name, other) in combinations(_placed(lab), 2):
        if qubit.readout_line != other.readout_line:
            continue
        spacing_hz = exact(other.readout.frequency_hz) - exact(qubit.readout.frequency_hz)
        path = ("qubits", other_name, "readout", "frequency_hz")
        if spacing_hz == 0:
            yield Problem(path, f"{other.readout.frequency_hz:.10g} is the readout frequency of {name!r} already")
            continue
        for owner in {qubit.readout.duration_ns: name, other.readout.duration_ns: other_name}.values():
            step_hz = NS_PER_S / exact(lab.qubits[owner].readout.duration_ns)
            turns = spacing_hz / step_hz
            if turns.denominator != 1:
                base_hz, below = exact(qubit.readout.frequency_hz), math.floor(turns)
                near = [f"{float(base_hz + count * step_hz):.12g}" for count in (below, below + 1) if count]
                yield Problem(
                    path,
                    f"{other.readout.frequency_hz:.12g} is {float(spacing_hz):g} Hz from that of {name!r}, not a whole multiple of "
                    f"{float(step_hz):g} Hz, 1 / readout.duration_ns of {owner!r}, so that the two would disturb each other; "
                    f"nearest: {' and '.join(near)}",
                )


def _stream(lab: Lab) -> Iterator[Problem]:
    """Yield an address that results cannot be published on."""
    try:
        stream_address(lab.stream.address)
    except ValueError as error:
        yield Problem(("stream", "address"), str(error))


def _stretch(lab: Lab) -> Iterator[Problem]:
    """Yield a stretch that the kernel does not count to, or that a mailbox cannot play."""
    path, timing = ("timing", "stretch_max"), lab.timing
    ticks = exact(timing.shot_period_ns) * PS_PER_NS / timing.tick_ps * (1 + timing.stretch_max)
    if ticks > SHOT_TICKS_MAX:
        yield Problem(path, f"{timing.stretch_max} more periods are {float(ticks):.4g} ticks; a shot has at most 2^48")
    if timing.stretch_max and lab.mailbox is not None:
        yield Problem(
            path,
            f"{timing.stretch_max}, but a mailbox plays its shots one period apart; allowed: 0, or leave [mailbox] out",
        )


def _mailbox(lab: Lab) -> Iterator[Problem]:
    """Yield a feedback latency off the grid, and pacings that a rack which the PC triggers cannot keep."""
    mailbox = lab.mailbox
    if mailbox is None:
        return
    tick_ns = Fraction(lab.timing.tick_ps, PS_PER_NS)
    below = exact(mailbox.feedback_latency_ns) // tick_ns * tick_ns
    if below != exact(mailbox.feedback_latency_ns):
        near = f"{float(below):.12g} and {float(below + tick_ns):.12g}"
        grid = f"{float(tick_ns):.12g} ns (timing.tick_ps)"
        text = f"{mailbox.feedback_latency_ns:.12g} is not a whole multiple of {grid}; nearest: {near}"
        yield Problem(("mailbox", "feedback_latency_ns"), text)
    if mailbox.shots_per_arm > 1 and lab.timing.pacing == "real":
        yield Problem(
            ("mailbox", "shots_per_arm"),
            f"{mailbox.shots_per_arm} shots of an arm are played by the rack's own trigger, not released by the PC's clock: the first of "
            "them is read when all are played, so that the others would be late by whole periods; allowed with "
            'timing.pacing = "real": 1; or choose timing.pacing = "virtual"',
        )
    if lab.timing.pacing == "external":
        yield Problem(
            ("timing", "pacing"),
            "'external' needs a trigger of the hardware's own that starts the shots, and a rack on a mailbox is triggered by the PC, over "
            "SCPI, once its tables are written; choose virtual or real, or a port with a fast path: leave [mailbox] out",
        )
