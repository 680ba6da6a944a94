"""From a run's result to the data of its report page: the one place where a record, its program and its lab meet again.

Everything comes from the run folder: program, lab and calibration as they were, the armed image, the rows. The timeline is walked anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from qrt.commands.screen import spaced
from qrt.controlling import reach_of
from qrt.image import from_image
from qrt.loop import named_entry
from qrt.parted import lower_along
from qrt.points import POINT, Swept
from qrt.qasm import parse_program
from qrt.report import ReportData, collect
from qrt.results import Result
from qrt.sources import recorded_lab
from qrt.store import calibration_hash
from qrt.timeline import schedule


def report_data(result: Result, program_name: str, inputs: Mapping[str, float], *, replayed: bool) -> ReportData:
    """Return everything that the page of a run says; `replayed`: a replay has given the same bits."""
    record = result.record
    lab = recorded_lab(record)
    text = record.file("program.qasm").decode()
    played = from_image(record.image())
    sequence = played.sequence
    program, start = parse_program(text, program_name), result.record.start or {}
    reach = reach_of(lab, program, record.legs[0].grid if record.legs else None)
    rounded: list[str] | None = [] if start.get("round") else None
    pulses = lower_along(program, lab, result.calibration, inputs, reach, rounded=rounded)
    timeline = schedule(pulses, named_entry("qrt.ports", played.twin, "image: twin")(played.plant).limits, reach)
    tick_ns = lab.timing.tick_ps / 1000
    decisions = collect.decisions(timeline, pulses)
    reset = collect.reset(decisions, result.summary.estimates, result.calibration, lab)
    return ReportData(
        run=result.folder.name,
        program=program_name,
        program_text=text,
        lab=lab.name,
        simulated=lab.twin is not None,
        taken_ns=round(float(start.get("time", 0.0)) * 1e9),
        facts=facts(result, start, replayed=replayed),
        digest=result.summary.digest,
        counters=tuple(result.counters.items()),
        found=result.found,
        estimates=result.summary.estimates,
        calibration_hash=calibration_hash(result.calibration),
        qubits=collect.qubits(result.calibration, lab),
        couplers=result.calibration.couplers,
        clouds=collect.clouds(record.rows, sequence.slots, sequence.bits, result.calibration, reset),
        bars=collect.bars(timeline, pulses, tick_ns),
        feedbacks=collect.feedbacks(decisions, tick_ns),
        period_ns=timeline.period_ticks * tick_ns,
        reset=reset,
        limits=collect.limits(simulated=lab.twin is not None),
        swept=collect.swept(result.sweep),
        updates=collect.updates(record, lab),
        misses=collect.misses(record),
    )


def facts(result: Result, start: Mapping[str, object], *, replayed: bool) -> tuple[tuple[str, str], ...]:
    """Return what was run and how it went."""
    summary = result.summary
    told = (
        ("shots", spaced(summary.shots)),
        ("sweep", "" if result.sweep is None else _sweep(result.sweep)),
        ("shots per second", spaced(round(summary.shots_per_s))),
        ("simulated time / wall time", f"{summary.sim_over_wall:.2f}"),
        ("legs", f"{summary.legs}, {summary.dead_s:.3g} s between them" if summary.legs > 1 else ""),
        ("misses", spaced(summary.misses)),
        ("pacing", str(start.get("clock", ""))),
        ("seed", str(start.get("seed", ""))),
        ("replay", "the same in every bit" if replayed else ""),
        ("missing from the record", result.record.cut or "nothing"),
    )
    return tuple((name, value) for name, value in told if value)


def _sweep(swept: Swept) -> str:
    """Return what was swept: `theta: 41 x t: 11 points, 100 shots each`."""
    named = {
        axis: "(" + ", ".join(swept.beside[axis]) + ")" if axis == POINT else ",".join((axis, *swept.beside[axis]))
        for axis in swept.axes
    }
    axes = " x ".join(f"{named[axis]}: {len(values)}" for axis, values in swept.axes.items())
    return f"{axes} points, {spaced(swept.shots_per_point)} shots each"
