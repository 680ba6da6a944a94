"""`qrt check`: the timeline of one shot, from nominal durations, with nothing opened.

Ticks and slack come from the same walk that a run's sequence is compiled from; pulse amplitudes are nominal, since no calibration is
taken. A program that could not run is refused here with the message that a run would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qrt import config
from qrt.commands.screen import Screen
from qrt.grids import Sweeps, grid_of
from qrt.loop import limits_of
from qrt.pulses import lower
from qrt.qasm import parse_program, read_program
from qrt.sweeps import Reach
from qrt.timeline import COLUMNS, Timeline, format_timeline, schedule
from qrt.types import Lab


def check(
    program_path: str, lab_path: str, inputs: Mapping[str, float], *, silent: bool, sweeps: Sweeps = ()
) -> dict[str, Any]:
    """Write the timeline and return it: events in the order of their ticks, the shot's length and its period, in ticks."""
    lab = config.load(Path(lab_path))
    timeline = timeline_of(program_path, lab, inputs, sweeps)
    screen = Screen(silent=silent)
    rows = [tuple(without_comment(cell) for cell in row) for row in format_timeline(timeline)]
    screen.table(COLUMNS, rows)
    screen.line()
    tick_ns = lab.timing.tick_ps / 1000
    spare = timeline.period_ticks - timeline.shot_ticks
    screen.line(
        f"   shot {timeline.shot_ticks} ticks of {tick_ns:g} ns, period {timeline.period_ticks}, {spare} to spare; "
        f"slack: how much later an outcome could have come without moving its branch"
    )
    return {
        "tick_ps": lab.timing.tick_ps,
        "shot_ticks": timeline.shot_ticks,
        "period_ticks": timeline.period_ticks,
        "events": [
            {
                "tick": event.tick,
                "duration_ticks": event.duration_ticks,
                "later_ticks": event.later_ticks,
                "longer_ticks": event.longer_ticks,
                "slack_ticks": event.slack_ticks,
                "sequencer": event.sequencer,
                "event": event.kind,
                "operands": event.operands,
                "condition": event.condition,
                "line": event.source.line,
                "source": event.source.text,
            }
            for event in timeline.events
        ],
    }


def timeline_of(program_path: str, lab: Lab, inputs: Mapping[str, float], sweeps: Sweeps = ()) -> Timeline:
    """Return the timeline of a program's shot on a lab, with nominal pulses."""
    program = parse_program(read_program(program_path), program_path)
    reach = Reach(program, grid_of(sweeps, program, inputs, "point", 1)) if sweeps else None
    pulses = lower(program, lab, None, inputs, reach.varied if reach else ())
    return schedule(pulses, limits_of(lab), reach)


def without_comment(text: str) -> str:
    """Return a source line without the comment at its end."""
    return text.partition("//")[0].rstrip()
