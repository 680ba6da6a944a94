"""What the batch process does: gather a batch, step the laws, publish the epoch, sum the batch; until the rows ring is closed and empty.

It ends with the run, whatever ended that: the system kills it when its parent dies, and where that was before it could ask for this,
the run's end of the socket is closed. It is the epochs ring's one writer.

The kernel may wait for the epoch and nobody waits for the sums, which take longer: so the laws go first. What the run must know goes to
it before it takes effect, an update before its epoch is published; and a batch stays in the shared memory until its sums were sent. So
a process that takes this one's place can do exactly what is left.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from qrt.batch.gathering import NOBODY, BatchMemory, Gathering, Shots
from qrt.batch.messages import (
    BATCH_READER,
    MESSAGE_BYTES_MAX,
    Consume,
    Points,
    Shape,
    Update,
    decoded,
    send,
)
from qrt.batch.stepping import CompiledError, Stepping
from qrt.encode import Encode, encoder
from qrt.kernel import Ring, epoch_dtype, row_dtype

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
LOOK_S: Final = 0.05


class Work(NamedTuple):
    """What is done with each batch."""

    bit_count: int
    points: Points
    tables: Any  # float64 [bits, 2]
    sums: Callable[[Any, Any, Any], dict[str, Any]]
    stepping: Stepping | None
    publish: Callable[[Update], None]
    abort: bool  # a refused update is the last
    batches_summed: int  # by the process before this one


def serve(descriptor: int) -> None:
    """Be the batch process: compile, say so, then turn rows into sums and epochs until the ring is closed and empty."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with socket.socket(fileno=descriptor) as channel, suppress(ConnectionError):
        body = channel.recv(MESSAGE_BYTES_MAX)
        if body:  # else the run ended before it began
            _serve(channel, msgspec.convert(decoded(body), Shape))
    os._exit(0)  # nothing is left to do, and no thread that a law may have started keeps the process


def _serve(channel: socket.socket, shape: Shape) -> None:
    """Compile, wait for the rings, work."""
    from qrt.batch.compiled import compilations, compiled_laws, reason_of  # JAX starts here, with the environment set
    from qrt.readout.mitigation import compile_batch, self_test

    laws, problems = compiled_laws(shape, lambda name, doing: send(channel, {"law": name, "is": doing}))
    if problems:
        send(channel, {"problems": problems})
        return
    function = compile_batch(shape.batch_shots, shape.bit_count, shape.observables)
    send(channel, {"versions": self_test(function)})
    body, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES_MAX, 3)
    if not body:
        return
    consume = msgspec.convert(decoded(body), Consume)
    ring = Ring.map(descriptors[0], consume.ring_bytes)
    memory = BatchMemory(descriptors[1], consume.memory_bytes)
    stepping = None
    to = consume.epochs
    if to is not None:
        encode = msgspec.convert(to.encode, Encode)
        stepping = Stepping(
            laws, to, consume.resume, words=encoder(encode), reason_of=reason_of, compilations=compilations
        )
    tables = np.asarray(consume.tables, dtype=np.float64).reshape(shape.bit_count, 2)
    resume, abort = consume.resume, to is not None and to.abort
    publish = _publisher(descriptors[2:], consume)
    work = Work(shape.bit_count, consume.points, tables, function, stepping, publish, abort, resume.batches_summed)
    gathering = Gathering(memory, row_dtype(shape.capture_count, shape.emit_count), shape.batch_shots)
    if resume.last is not None:  # the process before this one may have ended between telling the run and the next batch
        publish(resume.last)
        if resume.last.batch == gathering.batch:
            _sum(channel, gathering, gathering.shots(work.bit_count, work.points), work)
            gathering.next()
    pump(channel, ring, gathering, work)


def _publisher(descriptors: list[int], consume: Consume) -> Callable[[Update], None]:
    """Return what puts an update into the epochs ring, in order, each once."""
    to = consume.epochs
    if to is None or not descriptors:
        return lambda _: None
    ring = Ring.map(descriptors[0], consume.epochs_bytes)

    def publish(update: Update) -> None:
        if ring.published >= update.epoch - to.delay:  # by the process before this one
            return
        entry = np.zeros(1, epoch_dtype(len(update.words)))
        entry["number"], entry["values"] = update.epoch, update.words
        written = ring.write(entry)
        assert written == 1, "the ring has room for every epoch that can be under way"

    return publish


def pump(channel: socket.socket, ring: Any, gathering: Gathering, work: Work) -> None:
    """Work on batch after batch, the last one padded; say that it was the last."""
    wake = max(1, getattr(ring, "size", 0) // gathering.dtype.itemsize // 4)
    while True:
        closed = ring.closed  # read first: what was published before the close is taken below
        wanted = min(gathering.missing, wake)
        if not ring.wait(BATCH_READER, wanted, LOOK_S) and not closed and _run_is_gone(channel):
            return
        while gathering.missing and len(rows := ring.peek(BATCH_READER, gathering.dtype)):
            count = gathering.take(rows)
            ring.release(BATCH_READER, count)
        if gathering.missing == 0:
            shots = gathering.shots(work.bit_count, work.points)
            if work.stepping is not None and not _step(channel, gathering, shots, work.stepping, work):
                return
            _sum(channel, gathering, shots, work)
            gathering.next()
        elif closed:
            if gathering.count:
                _sum(channel, gathering, gathering.shots(work.bit_count, work.points), work)
            send(channel, {"end": gathering.batch + (gathering.count > 0)})
            return


def _sum(channel: socket.socket, gathering: Gathering, shots: Shots, work: Work) -> None:
    """Send a batch's sums, unless the process before this one has."""
    if gathering.batch < work.batches_summed:
        return
    started_ns = time.monotonic_ns()
    sums = work.sums(shots.bits, shots.valid, work.tables)
    send(channel, {"batch": gathering.batch, "busy_ns": time.monotonic_ns() - started_ns, **sums})


def _step(channel: socket.socket, gathering: Gathering, shots: Shots, stepping: Stepping, work: Work) -> bool:
    """Let the laws step and publish what came of it; return whether there is more to do."""
    memory = gathering.memory
    memory.begin()
    try:
        update = stepping.step(gathering.batch, shots, memory.at)
    except CompiledError as error:
        memory.at(NOBODY)
        _sum(channel, gathering, shots, work)
        send(channel, {"error": str(error)})
        return False
    memory.at(NOBODY)
    if update.refused and work.abort:
        _sum(channel, gathering, shots, work)  # the run ends this process as soon as it hears
        send(channel, update)
        return False
    send(channel, update)
    work.publish(update)
    return True


def _run_is_gone(channel: socket.socket) -> bool:
    """Return whether the run's end of the socket is closed. It sends nothing more once the rings were handed over."""
    try:
        return not channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
