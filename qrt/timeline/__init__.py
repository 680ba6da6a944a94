"""The schedule of a shot, proved before the run: every event's tick, duration and slack, on every path.

`schedule` walks pulses exactly as the kernel will, with the port's latencies, and refuses what could not run: a shot longer than its
period, a box longer than its time, a play off the port's grid, too many captures at once, a line that would clip. `survey` tells
everything that is late instead, and `event_slacks` how much later each event could begin. `order` is the relation "certainly before"
between sequencers that share bits, `ticks` the arithmetic of ticks that varied durations move, `graph` what each tick comes from. The
result also carries what the compiler needs of the walk: the tick at which each branch decides, and how its two sides meet again.
"""

from qrt.timeline.events import COLUMNS, Branch, Event, Late, Pad, Step, Timeline, format_timeline, span
from qrt.timeline.order import Order
from qrt.timeline.slack import Slack, event_slacks, outcome_slacks
from qrt.timeline.ticks import POINTS_MAX, Reach
from qrt.timeline.walk import schedule, survey

__all__ = [
    "COLUMNS",
    "POINTS_MAX",
    "Branch",
    "Event",
    "Late",
    "Order",
    "Pad",
    "Reach",
    "Slack",
    "Step",
    "Timeline",
    "event_slacks",
    "format_timeline",
    "outcome_slacks",
    "schedule",
    "span",
    "survey",
]
