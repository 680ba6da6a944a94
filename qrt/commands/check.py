"""`qrt check`: the timeline of one shot, from nominal durations, with nothing opened; what is late in it, and the slack of all of it.

Ticks come from the same walk that a run's sequence is compiled from; pulse amplitudes are nominal, since no calibration is taken. With
`--on` the twin's port is that of a published controller; `--on all` asks of each of them whether the program would make it. On a lab with
a mailbox it is told how shots would be played there, and why. Something late, of a sweep at any of its points, ends with the exit status
of a refused program. What else could not run is refused with the message that a run would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from qrt import config
from qrt.commands.screen import Screen, printable
from qrt.compile import compile_pulses
from qrt.controlling import reach_of
from qrt.drivers.settings import settings_of
from qrt.errors import ConfigError, ProgramError
from qrt.grids import Sweeps, grid_of
from qrt.latencies import PUBLISHED, Published, check_simulated, lab_on, published
from qrt.loop import limits_of
from qrt.parted import lower_along
from qrt.pump import Rehearsal, rehearsal
from qrt.qasm import Program, parse_program, read_program
from qrt.reasons import raise_for
from qrt.timeline import COLUMNS, Reach, Timeline, event_slacks, format_timeline, outcome_slacks, survey
from qrt.types import Lab, Pulses

LATE_STATUS: Final = ProgramError.exit_code
ALL: Final = "all"
SLACK_COLUMNS: Final = (*COLUMNS[:2], "slack", "due", *COLUMNS[2:])


class Lowered(NamedTuple):
    """A program as pulses, open where operands vary."""

    pulses: Pulses
    reach: Reach | None


class Asked(NamedTuple):
    """What is judged: a program with the values of its inputs, and what it sweeps."""

    program: Program
    inputs: Mapping[str, float]
    sweeps: Sweeps
    rounded: list[str] | None = None  # takes what durations were rounded; None: they are refused

    def lowered(self, lab: Lab) -> Lowered:
        """Return its nominal pulses on a lab."""
        grid = None
        if self.sweeps:
            grid = grid_of(self.sweeps, self.program, self.inputs, "point", 1, settings=settings_of(lab)).of_inputs
        reach = reach_of(lab, self.program, grid)
        return Lowered(lower_along(self.program, lab, None, self.inputs, reach, rounded=self.rounded), reach)

    def timeline(self, lab: Lab) -> Timeline:
        """Return the timeline of a shot on a lab, with nominal pulses."""
        pulses, reach = self.lowered(lab)
        return survey(pulses, limits_of(lab), reach)

    def on_mailbox(self, lab: Lab, timeline: Timeline) -> Rehearsal:
        """Return how a lab's mailbox would play it; ProgramError, RunError with what a run would say before its first shot."""
        pulses, reach = self.lowered(lab)
        limits = limits_of(lab)
        sequence = compile_pulses(pulses, lab, limits, reach)
        found = rehearsal(sequence, lambda: timeline, lab, limits)
        if found.report is not None:
            raise_for(found.report, sequence)
        return found


def check(
    program_path: str,
    lab_path: str,
    inputs: Mapping[str, float],
    *,
    on: str | None = None,
    silent: bool,
    sweeps: Sweeps = (),
    rounds: bool = False,
) -> dict[str, Any]:
    """Write the timeline and return it: events in the order of their ticks, what is late, the shot's length and its period, in ticks."""
    lab = config.load(Path(lab_path))
    asked = Asked(parse_program(read_program(program_path), program_path), inputs, sweeps, [] if rounds else None)
    screen = Screen(silent=silent)
    if on is not None:
        check_simulated(lab)
    if on == ALL:
        return _on_all(asked, lab, screen)
    if on is not None:
        controller = published(on)
        lab = lab_on(lab, controller)
        screen.line(f"   on {controller.title}: {_span(controller)}")
    timeline = asked.timeline(lab)
    told = _told(timeline, lab.timing.tick_ps, screen)
    for one in (*asked.program.ignored, *(asked.rounded or ())):
        screen.line(f"   {printable(one)}")
    told |= {"ignored": list(asked.program.ignored), "rounded": list(asked.rounded or ())}
    if lab.mailbox is not None and not timeline.late:
        found = asked.on_mailbox(lab, timeline)
        screen.line()
        screen.line(f"   mailbox: {found.words}")
        told["mailbox"] = {"alike": not found.difference, "reason": found.difference, "words": found.words}
    return told


def _told(timeline: Timeline, tick_ps: int, screen: Screen) -> dict[str, Any]:
    """Write one timeline and return it."""
    slacks = event_slacks(timeline)
    rows = []
    for row, slack in zip(format_timeline(timeline), slacks, strict=True):
        words = ("" if slack.ticks is None else str(slack.ticks), slack.due)
        rows.append(tuple(without_comment(cell) for cell in (*row[:2], *words, *row[2:])))
    screen.table(SLACK_COLUMNS, rows)
    screen.line()
    spare = timeline.period_ticks * (1 + timeline.stretch_max) - timeline.shot_ticks
    more = f" and up to {timeline.stretch_max} more (timing.stretch_max)" if timeline.stretch_max else ""
    screen.line(
        f"   shot {timeline.shot_ticks} ticks of {tick_ps / 1000:g} ns, period {timeline.period_ticks}{more}, {spare} to spare; "
        "slack: how much later it could begin before something is late for what `due` names; early: how long before a branch its "
        "outcome is ready"
    )
    if timeline.late:
        screen.line()
        screen.line(f"   LATE: {len(timeline.late)} events")
        columns = ("line", "late by", "ends at", "sequencer", "event", "operands", "condition", "late for", "source")
        screen.table(columns, [tuple(map(str, row)) for row in _late_rows(timeline)])
    return {
        "tick_ps": tick_ps,
        "shot_ticks": timeline.shot_ticks,
        "period_ticks": timeline.period_ticks,
        "stretch_max": timeline.stretch_max,
        "late": [
            {
                "line": late.source.line,
                "late_ticks": late.ticks,
                "tick": late.at_tick,
                "sequencer": late.sequencer,
                "event": late.kind,
                "operands": late.operands,
                "condition": late.condition,
                "due": late.due,
                "source": late.source.text,
            }
            for late in timeline.late
        ],
        "events": [
            {
                "tick": event.tick,
                "duration_ticks": event.duration_ticks,
                "slack_ticks": slack.ticks,
                "due": slack.due,
                "early_ticks": event.slack_ticks,
                "later_ticks": event.later_ticks,
                "longer_ticks": event.longer_ticks,
                "sequencer": event.sequencer,
                "event": event.kind,
                "operands": event.operands,
                "condition": event.condition,
                "line": event.source.line,
                "source": event.source.text,
            }
            for event, slack in zip(timeline.events, slacks, strict=True)
        ],
    }


def _late_rows(timeline: Timeline) -> list[tuple[object, ...]]:
    return [
        (
            late.source.line or "",
            late.ticks,
            late.at_tick,
            late.sequencer,
            late.kind,
            late.operands,
            late.condition,
            late.due,
            without_comment(late.source.text),
        )
        for late in timeline.late
    ]


def _on_all(asked: Asked, lab: Lab, screen: Screen) -> dict[str, Any]:
    """Write for each published controller whether the program would make it, and return that."""
    asked.timeline(lab)  # what is wrong with it on any controller is said once
    found = [_judged(asked, lab, controller) for controller in PUBLISHED]
    rows = [
        (
            str(one["controller"]),
            f"{one['latency_ns']:g} ns",
            "yes" if one["makes_it"] else "no",
            "" if one["slack_ticks"] is None else str(one["slack_ticks"]),
            str(one["first_late"]),
        )
        for one in found
    ]
    screen.table(("controller", "latency", "makes it", "slack", "first late event, or what does not fit"), rows)
    screen.line()
    screen.line(
        f"   slack: how many ticks of {lab.timing.tick_ps / 1000:g} ns later the outcome of the tightest branch could be ready; "
        "--on NAME for one of them in full"
    )
    return {"tick_ps": lab.timing.tick_ps, "controllers": found, "late": []}


def _judged(asked: Asked, lab: Lab, controller: Published) -> dict[str, Any]:
    """Return whether the program would make it on a controller, with the slack of its tightest branch and the first late event."""
    told = {
        "controller": controller.name,
        "title": controller.title,
        "latency_ns": controller.latency_ns,
        "granularity_ns": controller.granularity_ns,
        "span": controller.span,
        "source": controller.source,
        "url": controller.url,
    }
    try:
        timeline = asked.timeline(lab_on(lab, controller))
    except (ConfigError, ProgramError) as error:
        lines = str(error).splitlines()
        first = (
            lines[1] if isinstance(error, ConfigError) and len(lines) > 1 else lines[0]
        )  # after how many problems there are
        return {**told, "makes_it": False, "slack_ticks": None, "late_count": 0, "first_late": first.strip()}
    slacks = [slack.ticks for slack in outcome_slacks(timeline) if slack.ticks is not None]
    first = f"{timeline.late[0].source.where}{timeline.late[0].message}" if timeline.late else ""
    tightest = min(slacks, default=None)
    return {
        **told,
        "makes_it": not timeline.late,
        "slack_ticks": tightest,
        "late_count": len(timeline.late),
        "first_late": first,
    }


def _span(controller: Published) -> str:
    return f"{controller.latency_ns:g} ns {controller.span} ({controller.source}, {controller.url})"


def without_comment(text: str) -> str:
    """Return a source line without the comment at its end."""
    return text.partition("//")[0].rstrip()
