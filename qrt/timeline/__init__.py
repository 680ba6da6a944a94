"""The schedule of a shot, proved before the run: every event's tick, duration and slack, on every path.

`schedule` walks pulses exactly as the kernel will, with the port's latencies, and refuses what could not run: a shot longer than its
period, a play off the port's grid, too many captures at once, a line that would clip. `order` is the relation "certainly before"
between sequencers that share bits, `ticks` the arithmetic of ticks that varied durations move. The result also carries what the
compiler needs of the walk: the tick at which each branch decides and the tick at which its two sides join again.
"""

from qrt.timeline.events import COLUMNS, Branch, Event, Step, Timeline, format_timeline
from qrt.timeline.order import Order
from qrt.timeline.ticks import Reach
from qrt.timeline.walk import schedule

__all__ = ["COLUMNS", "Branch", "Event", "Order", "Reach", "Step", "Timeline", "format_timeline", "schedule"]
