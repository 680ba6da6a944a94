"""From a run and what it was made of to what a page says.

Bars come from the timeline, clouds from the shot rows, and the reset's facts from the first pulse that plays on an outcome of 1: the
capture that decided it, the capture that follows it, and the estimates of the two bits. A program without such a pulse, or whose captures
depend on the path, has a page without the curve. Nothing is computed here but differences of ticks and populations, P1 = (1 - <Z>) / 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from math import hypot
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrt.client import Run
from qrt.points import Swept
from qrt.report.data import Bar, Cloud, Feedback, HeatMap, MissRow, Panels, QubitFacts, ResetFacts, Trace, Updates
from qrt.report.data import Swept as Pictured
from qrt.timeline import Event, Timeline
from qrt.types import (
    Box,
    Calibration,
    CaptureSlot,
    Estimate,
    Estimated,
    If,
    Lab,
    Op,
    Play,
    Pulses,
    QubitCalibration,
)

CLOUD_SHOTS_MAX = 500_000  # of a longer run the first ones are drawn, and the title says so
CLOUD_COUNT_MAX = 6
SWEPT_COUNT_MAX = 3
LABEL_SIZE_MAX = 18


class Deciding(NamedTuple):
    """A pulse that plays on an outcome of 1: with the capture that decides it and the one that sees what it left."""

    qubit: str
    capture: Event
    first: Event  # of the pulse
    last: Event
    following: Event | None


def bars(timeline: Timeline, pulses: Pulses, tick_ns: float) -> tuple[Bar, ...]:
    """Return a bar for every play and capture; plays of one statement that touch are one bar."""
    readouts, couplers = _envelopes_of(pulses, ".readout"), _envelopes_of(pulses, ".cz")
    slack = {(event.sequencer, event.decides): event.slack_ticks for event in timeline.events if event.kind == "if"}
    found: list[Bar] = []
    for events in _statements(timeline, {*readouts, *couplers}):
        first, last = events[0], events[-1]
        kind = "capture" if first.kind == "capture" else "readout" if first.envelope in readouts else "drive"
        spare = slack.get((first.sequencer, first.branches[-1].number)) if first.branches else None
        found.append(
            Bar(
                row=f"{couplers.get(first.envelope, first.sequencer)} {kind}",
                kind=kind,
                label=_label(first, kind),
                start_ns=first.tick * tick_ns,
                duration_ns=(last.tick + last.duration_ticks - first.tick) * tick_ns,
                slack_ns=None if spare is None else spare * tick_ns,
                conditional=bool(first.branches),
                line=first.source.line,
                source=first.source.text.partition("//")[0].strip(),
            )
        )
    order = {name: rank for rank, name in enumerate((*pulses.blocks, *couplers.values()))}
    kinds = {"drive": 0, "readout": 1, "capture": 2}
    return tuple(sorted(found, key=lambda bar: (order[bar.row.rpartition(" ")[0]], kinds[bar.kind], bar.start_ns)))


def decisions(timeline: Timeline, pulses: Pulses) -> tuple[Deciding, ...]:
    """Return the pulses that play when a bit of their own sequencer is 1, in order."""
    readouts, couplers = _envelopes_of(pulses, ".readout"), _envelopes_of(pulses, ".cz")
    captures = [event for event in timeline.events if event.kind == "capture"]
    found = []
    for events in _statements(timeline, {*readouts, *couplers}):
        first, last = events[0], events[-1]
        if first.kind != "play" or first.envelope in readouts or [side.outcome for side in first.branches] != [1]:
            continue
        (bit,) = first.branches[0].bits
        own = [event for event in captures if event.sequencer == first.sequencer]
        before = [event for event in own if event.bit == bit and _end(event) <= first.tick]
        after = [event for event in own if event.tick >= _end(last)]
        if before:
            found.append(Deciding(first.sequencer, before[-1], first, last, after[0] if after else None))
    return tuple(found)


def feedbacks(found: Sequence[Deciding], tick_ns: float) -> tuple[Feedback, ...]:
    """Return the way from each deciding capture to its pulse."""
    return tuple(Feedback(f"{one.qubit} drive", _end(one.capture) * tick_ns, one.first.tick * tick_ns) for one in found)


def reset(
    found: Sequence[Deciding], estimates: Sequence[Estimate], calibration: Calibration, lab: Lab
) -> ResetFacts | None:
    """Return the facts of the first pulse whose two captures have an estimate each; None if there is none."""
    by_name = {estimate.name: estimate for estimate in estimates}
    tick_ns = lab.timing.tick_ps / 1000
    for one in found:
        before = by_name.get(f"Z({one.capture.bit})")
        after = by_name.get(f"Z({one.following.bit})") if one.following is not None else None
        if before is None or after is None or one.following is None or one.qubit not in calibration.qubits:
            continue
        qubit = calibration.qubits[one.qubit]
        return ResetFacts(
            qubit=one.qubit,
            gap_ns=(one.first.tick - _end(one.capture)) * tick_ns,
            depletion_ns=lab.qubits[one.qubit].readout.depletion_ns,
            tone_ns=one.capture.duration_ticks * tick_ns,
            after_ns=(one.following.tick - _end(one.last)) * tick_ns,
            before=_population(before),
            residual=_population(after),
            truth=None if after.truth is None else (1.0 - after.truth) / 2,
            t1_ns=Estimated(qubit.t1_s.value * 1e9, qubit.t1_s.stderr * 1e9),
            error_0=_error(qubit, 1, 0),
            error_1=_error(qubit, 0, 1),
            x_error=qubit.x_error,
        )
    return None


def swept(found: Swept | None) -> tuple[Pictured, ...]:
    """Return a picture's data for each observable of a sweep, the first SWEPT_COUNT_MAX of them.

    Where one axis has two points or more a trace, where two have a heat map, where more have one at each point of the first ones.
    """
    if found is None:
        return ()
    moving = [(name, values) for name, values in found.axes.items() if len(values) > 1]
    curves = [(title, one) for title, one in found.curves.items() if np.isfinite(one.value).any()][:SWEPT_COUNT_MAX]
    match moving:
        case [(name, x)]:
            axis = _axis(found, name)
            return tuple(Trace(title, axis, x, one.value.ravel(), one.stderr.ravel()) for title, one in curves)
        case [(first, y), (last, x)]:
            axes, shape = (_axis(found, first), _axis(found, last)), (len(y), len(x))
            return tuple(
                HeatMap(title, axes, y, x, one.value.reshape(shape), one.stderr.reshape(shape)) for title, one in curves
            )
        case [*others, (first, y), (last, x)]:
            axes, each = (_axis(found, first), _axis(found, last)), (-1, len(y), len(x))
            outer = tuple(_axis(found, name) for name, _ in others)
            places = np.array(list(product(*(values for _, values in others))))
            return tuple(
                Panels(title, axes, y, x, outer, places, one.value.reshape(each), one.stderr.reshape(each))
                for title, one in curves
            )
    return ()


def _axis(found: Swept, name: str) -> str:
    return f"{name} ({unit})" if (unit := found.units[name]) else name


def misses(run: Run) -> tuple[MissRow, ...]:
    """Return the misses by class, cause and policy, the most frequent first."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for miss in run.misses:
        groups.setdefault((miss["class"], miss["cause"], miss["policy"]), []).append(miss)
    rows = [
        MissRow(*key, len(own), sum(one["skipped_count"] for one in own), max(one["lateness_ns"] for one in own))
        for key, own in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.what, row.cause)))


def updates(run: Run, lab: Lab) -> tuple[Updates, ...]:
    """Return what each controller gave, from the documents of the epochs and the rows at which they were due."""
    bodies = [one.body for one in run.documents("epoch")]
    if not bodies:
        return ()
    found = []
    for name, controller in lab.controllers.items():
        told = [[text for text in body["refused"] if text.startswith(f"controller {name!r} ")] for body in bodies]
        found.append(
            Updates(
                controller=name,
                output=controller.output,
                start=int(bodies[0]["epoch"]),
                value=np.array([body["values"][controller.output] for body in bodies]),
                refused=np.array([bool(texts) for texts in told]),
                late=np.array([_is_late(run, body) for body in bodies]),
                reasons=tuple(text for texts in told for text in texts),
            )
        )
    return tuple(found)


def _is_late(run: Run, body: Mapping[str, Any]) -> bool:
    """Whether an epoch did not take effect at its shot, though the run came that far."""
    shot = int(body["first_shot"])
    return bool(shot < len(run.rows) and run.rows["epoch"][shot] != body["epoch"])


def clouds(
    rows: NDArray[Any],
    slots: Sequence[CaptureSlot],
    bit_names: Sequence[str],
    calibration: Calibration,
    reset_facts: ResetFacts | None,
) -> tuple[Cloud, ...]:
    """Return the first and the last capture of each qubit, over the shots that executed them."""
    used = rows["flags"][:CLOUD_SHOTS_MAX] == 0
    some = f" (first {CLOUD_SHOTS_MAX} shots)" if len(rows) > CLOUD_SHOTS_MAX else ""
    found = []
    for qubit in dict.fromkeys(slot.qubit for slot in slots):
        own = [index for index, slot in enumerate(slots) if slot.qubit == qubit]
        for index in dict.fromkeys((own[0], own[-1])):
            taken = used & (rows["outcomes"][:CLOUD_SHOTS_MAX, index] <= 1)
            iq = rows["iq"][:CLOUD_SHOTS_MAX, index][taken]
            if len(iq) == 0 or qubit not in calibration.qubits:
                continue
            place = f"into {bit_names[bit]}" if (bit := slots[index].bit) is not None else "into no bit"
            if reset_facts is not None and reset_facts.qubit == qubit and len(own) > 1:
                place = "before the reset" if index == own[0] else "after the reset"
            found.append(Cloud(f"{qubit}, {place}{some}", iq[:, 0], iq[:, 1], calibration.qubits[qubit].threshold))
    return tuple(found[:CLOUD_COUNT_MAX])


def qubits(calibration: Calibration, lab: Lab) -> tuple[QubitFacts, ...]:
    """Return what the calibration found, beside what the lab's owner knew."""
    return tuple(
        QubitFacts(
            name=name,
            nominal_hz=lab.qubits[name].frequency_hz,
            **{
                field: getattr(qubit, field)
                for field in QubitFacts.__struct_fields__
                if field not in {"name", "nominal_hz"}
            },
        )
        for name, qubit in calibration.qubits.items()
    )


def limits(*, simulated: bool) -> tuple[str, ...]:
    """Return what a reader of the page must know about what it does not show."""
    told = [
        "Mitigated values are averages. No single shot, and no branch that was taken, is corrected.",
        "Estimates used one calibration throughout, whatever controllers set: the drift term is zero by construction, not by measurement.",
        "Estimates are unbiased if outcomes of different qubits err independently, and if the calibration still held.",
    ]
    if simulated:
        told.insert(
            0,
            "Every instrument was simulated. Nothing on this page comes from a real qubit, and this software has never run on one.",
        )
        told.append("The simulated qubits have two levels and no leakage; readout is fully projective.")
    return tuple(told)


def _envelopes_of(pulses: Pulses, end: str) -> dict[str, str]:
    """Return the envelopes that frames of this end play, and whose they are."""
    plays = (play for block in pulses.blocks.values() for play in _plays(block))
    return {play.envelope: play.frame.removesuffix(end) for play in plays if play.frame.endswith(end)}


def _statements(timeline: Timeline, alone: set[str]) -> Iterator[list[Event]]:
    """Yield plays and captures, those drive plays together that belong to one statement and follow one another without a gap.

    alone: envelopes that are no drive pulse of their sequencer's qubit.
    """
    chosen = [event for event in timeline.events if event.kind in {"play", "capture"}]
    chosen.sort(key=lambda event: (event.sequencer, event.kind, event.branches, event.tick))
    group: list[Event] = chosen[:1]
    for before, event in pairwise(chosen):
        together = (
            event.kind == "play"
            and event.envelope not in alone
            and before.envelope not in alone
            and (before.sequencer, before.kind, before.branches) == (event.sequencer, event.kind, event.branches)
            and (before.source.line, before.source.column) == (event.source.line, event.source.column)
            and _end(before) == event.tick
        )
        if not together:
            yield group
            group = []
        group.append(event)
    if group:
        yield group


def _plays(block: Sequence[Op]) -> Iterator[Play]:
    for op in block:
        if isinstance(op, Play):
            yield op
        elif isinstance(op, If):
            yield from _plays((*op.then, *op.otherwise))
        elif isinstance(op, Box):
            yield from _plays(op.ops)


def _label(event: Event, kind: str) -> str:
    """Return a few words for a bar: its statement as the program writes it, or the bit that a capture fills."""
    if kind == "readout":
        return ""
    statement = event.source.text[max(event.source.column - 1, 0) :].partition("//")[0].partition(";")[0].strip()
    text = f"→ {event.bit}" if kind == "capture" and event.bit else statement or event.envelope
    return text if len(text) <= LABEL_SIZE_MAX else text[: LABEL_SIZE_MAX - 1] + "…"


def _end(event: Event) -> int:
    return event.tick + event.duration_ticks


def _population(estimate: Estimate) -> Estimated:
    terms = estimate.stderr
    total = hypot(terms.shot, terms.calibration, terms.drift, terms.preparation)
    return Estimated((1.0 - estimate.value) / 2, total / 2)


def _error(qubit: QubitCalibration, outcome: int, level: int) -> Estimated:
    stderr = hypot(qubit.assignment_stderr[outcome, level], qubit.preparation_stderr[outcome, level])
    return Estimated(float(qubit.assignment[outcome, level]), float(stderr))
