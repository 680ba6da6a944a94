"""The batch process: estimates and controllers beside the loop, in one process of its own.

The kernel's rows ring lies in memory that two processes map. `handle` has the run's end, `process` what the process does: it maps
the ring as its second reader, gathers the shots of a batch (`gathering`), lets each controller's law step (`compiled`, `stepping`),
publishes the epoch that came of it in the ring that the kernel takes epochs from, and sends the batch's sums, made by the function that
`qrt.readout` compiled for exactly that shape. `messages` is what the two say to each other. Nothing is ever pickled: messages are
small msgpack maps on a socket pair that keeps their boundaries; rings cross as file descriptors.

Why a process: JAX is set up through its environment (one thread, synchronous dispatch, 64-bit) before it starts, whatever the
user's own JAX does; a law that hangs can be ended; and the loop's process never waits for a compiler. Estimates have no deadline: if the
process falls behind, virtual time waits. A law has one: a process that exceeds it, or dies, is ended and another one goes on from the
last good states, at the row where the first had stopped.

What is not nice yet: two messages a batch, though a run of 10^7 shots sends 10^4 of them.
"""

from qrt.batch.handle import BatchProcess
from qrt.batch.messages import BATCH_READER, Asked, EpochsTo, Points, Refused, Shape, Update

__all__ = ["BATCH_READER", "Asked", "BatchProcess", "EpochsTo", "Points", "Refused", "Shape", "Update"]
