"""What the batch process does: gather a batch, sum it, step the laws, publish the epoch; until the rows ring is closed and empty.

It ends with the run, whatever ended that: the system kills it when its parent dies, and where that was before it could ask for this,
the run's end of the socket is closed. It is the epochs ring's one writer. What the run must know goes to it before it takes effect: sums
before the laws step, an update before its epoch is published. So a process that takes this one's place can do exactly what is left.
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

from qrt.batch.gathering import NOBODY, STEPPING, BatchMemory, Gathering, Shots
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
from qrt.kernel import Ring, epoch_dtype, row_dtype
from qrt.sweeps import Encode, words

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
LOOK_S: Final = 0.05


class Work(NamedTuple):
    """What is done with each batch."""

    bit_count: int
    points: Points
    tables: Any  # float64 [bits, 2]
    sums: Callable[[Any, Any, Any], dict[str, Any]]
    stepping: Stepping | None
    at: Callable[[int], None]  # told which law is about to step
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
            laws,
            to,
            consume.resume,
            words=lambda values: words(encode, values),
            reason_of=reason_of,
            compilations=compilations,
        )

    def at(law: int) -> None:
        memory.header[STEPPING] = law

    publish = _publisher(descriptors[2:], consume)
    tables = np.asarray(consume.tables, dtype=np.float64).reshape(shape.bit_count, 2)
    resume, abort = consume.resume, to is not None and to.abort
    work = Work(shape.bit_count, consume.points, tables, function, stepping, at, publish, abort, resume.batches_summed)
    gathering = Gathering(memory, row_dtype(shape.capture_count), shape.batch_shots)
    if resume.last is not None:  # it may have ended between telling the run and the next batch
        publish(resume.last)
        if resume.last.batch == gathering.batch:
            gathering.next()
    pump(channel, ring, gathering, work)


def _publisher(descriptors: list[int], consume: Consume) -> Callable[[Update], None]:
    """Return what puts an update into the epochs ring, in order, each once."""
    to = consume.epochs
    if to is None:
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
        drained = closed and gathering.missing
        if gathering.missing == 0 or (drained and gathering.count):
            shots = gathering.shots(work.bit_count, work.points)
            _sum(channel, gathering, shots, work)
            if drained:
                send(channel, {"end": gathering.batch + 1})
                return
            if not _step(channel, gathering, shots, work):
                return
        elif drained:
            send(channel, {"end": gathering.batch})
            return


def _sum(channel: socket.socket, gathering: Gathering, shots: Shots, work: Work) -> None:
    """Send a batch's sums, unless the process before this one has."""
    steps = work.stepping is not None and gathering.missing == 0
    if gathering.batch < work.batches_summed:
        send(channel, {"steps": steps})
        return
    started_ns = time.monotonic_ns()
    sums = work.sums(shots.bits, shots.valid, work.tables)
    busy_ns = time.monotonic_ns() - started_ns
    send(channel, {"batch": gathering.batch, "busy_ns": busy_ns, "steps": steps, **sums})


def _step(channel: socket.socket, gathering: Gathering, shots: Shots, work: Work) -> bool:
    """Let the laws step and begin the next batch; return whether there is more to do."""
    if work.stepping is not None:
        try:
            update = work.stepping.step(gathering.batch, shots, work.at)
        except CompiledError as error:
            send(channel, {"error": str(error)})
            return False
        work.at(NOBODY)
        send(channel, update)
        if update.refused and work.abort:
            return False
        work.publish(update)
    gathering.next()
    return True


def _run_is_gone(channel: socket.socket) -> bool:
    """Return whether the run's end of the socket is closed. It sends nothing more once the rings were handed over."""
    try:
        return not channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
