"""The batch process: estimates beside the loop, in one process of its own.

The kernel's rows ring lies in memory that two processes map. Here are both ends: `BatchProcess`, the handle that a run holds, and
`serve`, what the process does. It maps the ring as its second reader, fills padded batches of `BATCH_SHOTS` rows, calls the
function that `qrt.readout` compiled for exactly that shape, and sends the sums of every batch back. Nothing is ever pickled: messages are
small msgpack maps on a socket pair that keeps their boundaries; the ring crosses as a file descriptor.

Why a process: JAX is set up through its environment (one thread, synchronous dispatch, 64-bit) before it starts, whatever the
user's own JAX does; a controller that hangs can be ended; and the loop's process never waits for a compiler. Estimates have no
deadline: if the process falls behind, virtual time waits. If it dies, the handle detaches its reader from the ring, so that the
record goes on without it.

What is not nice yet: one message a batch, though a run of 10^7 shots sends 10^4 of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Self

import msgpack
import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.errors import RunError
from qrt.kernel import Ring, row_dtype

BATCH_SHOTS: Final = 1024
BATCH_READER: Final = 1  # which reader of the rows ring the batch process is
READY_TIMEOUT_S: Final = 120.0  # importing JAX and compiling, on a slow or loaded machine
ENDING_TIMEOUT_S: Final = 30.0  # silence after the run's last shot: a batch takes a millisecond
LOOK_S: Final = 0.1  # how often a wait for the process looks whether there is still something to wait for
MESSAGE_BYTES_MAX: Final = 1 << 17  # 64 bits, the most there are, need 80 kB; a socket takes 200 kB
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
SILENCE: Final[dict[str, Any]] = {}
_ENVIRONMENT: Final = {
    "JAX_ENABLE_X64": "1",
    "JAX_PLATFORMS": "cpu",
    "JAX_CPU_ENABLE_ASYNC_DISPATCH": "0",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "PJRT_NPROC": "1",
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Shape(msgspec.Struct, frozen=True):
    """What the estimates of a run are compiled for."""

    bit_count: int
    observables: tuple[tuple[int, ...], ...]  # each a product of Z on these bits


class Consume(msgspec.Struct, frozen=True):
    """Where the rows are and how a bit becomes a factor; sent with the ring's descriptor."""

    capture_count: int
    ring_bytes: int
    tables: list[list[float]]  # [bits][outcome]: a_k(b), the product weights of mitigation.md 5.2


class BatchProcess:
    """The run's handle on its batch process. Inert until `start`; a context manager that ends the process."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.failure: str | None = None
        self.versions: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._ring: Ring | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Spawn the process and have it compile; returns at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from qrt.batch import serve; serve({theirs.fileno()})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],  # -P: nothing is imported from the folder where the run was called
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # a Ctrl-C at the terminal is the run's to handle
            )
        self._socket = ours
        _send(ours, msgspec.to_builtins(self.shape))

    def wait_ready(self, asked_to_end: Callable[[], bool] = lambda: False) -> None:
        """Return once the process has compiled and passed its self-test, or the run is asked to end; RunError if it does neither."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while (message := self._receive()) is SILENCE:
            if asked_to_end():
                return
            if time.monotonic() > deadline_s:
                self.failure = f"no answer for {READY_TIMEOUT_S:g} s"
                message = None
                break
        if message is None or "versions" not in message:
            raise RunError(f"the batch process did not become ready: {self.failure or message}; see its lines above")
        self.versions = message["versions"]

    def consume(self, ring: Ring, capture_count: int, tables: NDArray[np.float64]) -> None:
        """Hand over the rows ring (as its second reader) and the tables [bits, 2] that every batch of the run uses.

        If the process has died meanwhile the run goes on without it: `sums` says how.
        """
        assert self._socket is not None
        self._ring = ring
        consume = Consume(capture_count, ring.size, tables.tolist())
        body = msgpack.packb(msgspec.to_builtins(consume))
        with suppress(ConnectionError):
            socket.send_fds(self._socket, [body], [ring.descriptor])

    def sums(self) -> Iterator[dict[str, Any]]:
        """Yield the sums of each batch, in order, until the ring is closed and empty, or the process has died.

        After a death `failure` says how, and the kernel goes on without this reader of the ring. A process that says nothing for
        `ENDING_TIMEOUT_S` after the ring was closed is ended.
        """
        heard_s = time.monotonic()
        while True:
            message = self._receive()
            if message is None:
                self.give_up()
                return
            if message is SILENCE:
                if self._ring is None or not self._ring.closed:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > ENDING_TIMEOUT_S:
                    self.kill()
                continue
            if "end" in message:
                return
            heard_s = time.monotonic()
            yield message

    def give_up(self) -> None:
        """End the process and let the kernel go on without this reader of the ring. Safe more than once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()  # a dead process no longer moves its place at the ring
        if self._ring is not None:
            self._ring.detach(BATCH_READER)

    def kill(self) -> None:
        """End the process now; it holds nothing that must be saved. Safe from any thread, and more than once."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and forget it. Not while another thread reads `sums`. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._socket is not None:
            self._socket.close()
        self._process = self._socket = None

    def _receive(self) -> dict[str, Any] | None:
        """Return the next message, SILENCE if none came for `LOOK_S`, or None with `failure` set if there will be none."""
        assert self._socket is not None
        assert self._process is not None
        self._socket.settimeout(LOOK_S)
        try:
            body = self._socket.recv(MESSAGE_BYTES_MAX)
        except TimeoutError:
            return SILENCE
        except ConnectionError:
            body = b""
        if body:
            message: dict[str, Any] = msgpack.unpackb(body)
            return message
        try:
            code = self._process.wait(ENDING_TIMEOUT_S)  # its end of the socket is closed: it has ended, or is about to
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        self.failure = f"the batch process was ended {how}"
        return None


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.send(msgpack.packb(message))


def serve(descriptor: int) -> None:
    """Be the batch process: compile, say so, then turn rows into sums until the ring is closed and empty.

    It ends with the run, whatever ended that: the system kills it when its parent dies, and where that was before it could ask
    for this, the run's end of the socket is closed.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    from qrt.readout.mitigation import compile_batch, self_test  # JAX starts here, with the environment set

    with socket.socket(fileno=descriptor) as channel, suppress(ConnectionError):
        body = channel.recv(MESSAGE_BYTES_MAX)
        if not body:
            return  # the run ended before it began
        shape = msgspec.convert(msgpack.unpackb(body), Shape)
        function = compile_batch(BATCH_SHOTS, shape.bit_count, shape.observables)
        _send(channel, {"versions": self_test(function)})
        body, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES_MAX, 1)
        if not body:
            return
        consume = msgspec.convert(msgpack.unpackb(body), Consume)
        _pump(channel, Ring.map(descriptors[0], consume.ring_bytes), consume, shape, function)


def _run_is_gone(channel: socket.socket) -> bool:
    """Return whether the run's end of the socket is closed. It sends nothing more once the ring was handed over."""
    try:
        return not channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _pump(channel: socket.socket, ring: Ring, consume: Consume, shape: Shape, function: Any) -> None:
    """Fill batches from the ring, call the compiled function, send its sums."""
    dtype = row_dtype(consume.capture_count)
    tables = np.asarray(consume.tables, dtype=np.float64).reshape(shape.bit_count, 2)
    columns = np.arange(shape.bit_count, dtype=np.uint64)
    bits = np.zeros((BATCH_SHOTS, shape.bit_count), dtype=np.uint8)
    valid = np.zeros(BATCH_SHOTS, dtype=bool)
    index, filled = 0, 0
    while True:
        closed = ring.closed  # read first: what was published before the close is taken below
        if not ring.wait(BATCH_READER, BATCH_SHOTS - filled, 0.05) and not closed and _run_is_gone(channel):
            return
        while filled < BATCH_SHOTS and len(rows := ring.peek(BATCH_READER, dtype)[: BATCH_SHOTS - filled]):
            part = slice(filled, filled + len(rows))
            bits[part] = (rows["bits"][:, None] >> columns) & np.uint64(1)
            valid[part] = rows["flags"] == 0
            ring.release(BATCH_READER, len(rows))
            filled += len(rows)
        drained = closed and filled < BATCH_SHOTS
        if filled == BATCH_SHOTS or (drained and filled):
            valid[filled:] = False
            started_ns = time.monotonic_ns()
            sums = function(bits, valid, tables)
            busy_ns = time.monotonic_ns() - started_ns
            _send(channel, {"batch": index, "busy_ns": busy_ns, **sums})
            index, filled = index + 1, 0
        elif drained:
            _send(channel, {"end": index})
            return
