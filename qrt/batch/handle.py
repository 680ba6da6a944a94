"""The run's handle on its batch process: spawn, wait, hand over, listen, put another in its place.

Estimates alone can do without their process: if it dies, its place at the rows ring is given up, so that the record goes on without
it. With controllers a process that dies, or whose laws exceed their deadline, is replaced, at most `restarts_max` times: what it had told
is done, the law that was at work is refused for that batch, and the rest goes on from the last good states.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.batch.gathering import NOBODY, BatchMemory
from qrt.batch.messages import (
    BATCH_READER,
    MESSAGE_BYTES_MAX,
    Consume,
    EpochsTo,
    Points,
    Refused,
    Resume,
    Shape,
    Update,
    decoded,
    send,
    send_with,
    still_needed,
)
from qrt.errors import ConfigError, RunError
from qrt.kernel import Ring
from qrt.types import Control

READY_TIMEOUT_S: Final = 120.0  # importing JAX and compiling, on a slow or loaded machine
ENDING_TIMEOUT_S: Final = 30.0  # silence after the run's last shot: a batch takes a millisecond
LOOK_S: Final = 0.1  # how often a wait for the process looks whether there is still something to wait for
SILENCE: Final[dict[str, Any]] = {}
DEFAULTS: Final = Control()
ONE_POINT: Final = Points()
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


class BatchProcess:
    """The run's handle on its batch process. Inert until `start`; a context manager that ends the process."""

    def __init__(self, shape: Shape, control: Control = DEFAULTS) -> None:
        self.shape, self.control = shape, control
        self.failure: str | None = None
        self.versions: dict[str, str] = {}
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()  # of `_ended` with `_process`: a process that was ended is not replaced
        self._ended = False
        self._ring: Ring | None = None
        self._epochs: Ring | None = None
        self._memory: BatchMemory | None = None
        self._consume: Consume | None = None
        self._resume = Resume()
        self._law_at: dict[str, Any] | None = None  # the law that a process which is not ready was at last

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Spawn the process and have it compile; returns at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from qrt.batch.process import serve; serve({theirs.fileno()})"
        with theirs, self._lock:
            if self._ended:
                ours.close()
                return
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],  # -P: nothing is imported from the folder where the run was called
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # a Ctrl-C at the terminal is the run's to handle
            )
            self._socket = ours
        send(ours, self.shape)

    def wait_ready(self, asked_to_end: Callable[[], bool] = lambda: False) -> None:
        """Return once the process has compiled and passed its self-test, or the run is asked to end.

        ConfigError for controllers that cannot be used, with everything that is wrong with them; RunError for neither.
        """
        if self.versions:
            return
        message = self._awaited(asked_to_end)
        if message is SILENCE:
            return
        if message is not None and "problems" in message:
            raise ConfigError("\n".join(["the controllers cannot be used; nothing was opened", *message["problems"]]))
        if message is None and (at := self._law_at) is not None:
            raise ConfigError(
                f"controllers.{at['law']}.law: while it was {at['is']}, {self.failure}; nothing was opened"
            )
        if message is None or "versions" not in message:
            raise RunError(f"the batch process did not become ready: {self.failure or message}; see its lines above")
        self.versions = message["versions"]

    def consume(
        self,
        ring: Ring,
        tables: NDArray[np.float64],
        points: Points = ONE_POINT,
        epochs: EpochsTo | None = None,
        epochs_ring: Ring | None = None,
        *,
        refused: tuple[Refused, ...] = (),
    ) -> None:
        """Hand over the rows ring (as its second reader), the tables [bits, 2] that every batch of the run uses, and where epochs go.

        epochs_ring: None if nobody takes them. refused: updates that are not to be tried, as a recorded run has them.
        If the process has died meanwhile the run goes on without it, or with another: `messages` says how.
        """
        self._ring, self._epochs = ring, epochs_ring
        self._memory = BatchMemory.create(ring.slot_size, self.shape.batch_shots)
        self._consume = Consume(
            ring.size,
            self._memory.size,
            tables.tolist(),
            points,
            0 if epochs_ring is None else epochs_ring.size,
            epochs,
        )
        self._resume = Resume(refused=refused)
        self._hand_over()

    def messages(self) -> Iterator[dict[str, Any] | Update]:
        """Yield the sums of each batch and the updates of its controllers, in order, until the ring is closed and empty.

        Ends early, with `failure` set, where the process is of no more use; the kernel then goes on without this reader of the
        ring. A process that says nothing for `ENDING_TIMEOUT_S` after the ring was closed is ended.
        """
        heard_s = time.monotonic()
        while True:
            message = self._receive()
            if message is SILENCE:
                if self._ring is None or not self._ring.closed or self._stepping_s > 0.0:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > ENDING_TIMEOUT_S:
                    self.kill()
                if self._late():
                    self._overdue()  # what it had sent before is still read
            if message is None:
                if self._replaced():
                    continue
                self.give_up()
                return
            if message is SILENCE:
                continue
            heard_s = time.monotonic()
            if "end" in message:
                return
            if "error" in message:
                self.failure = message["error"]
                self.give_up()
                return
            yield from self._noted(message)

    def give_up(self) -> None:
        """End the process and let the kernel go on without this reader of the ring. Safe more than once."""
        self.kill()
        if self._process is not None:
            self._process.wait()  # a dead process no longer moves its place at the ring
        if self._ring is not None:
            self._ring.detach(BATCH_READER)

    def kill(self) -> None:
        """End the process now, for good; it holds nothing that must be saved. Safe from any thread, and more than once."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process and forget it. Not while another thread reads `messages`. Safe to call twice."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        if self._socket is not None:
            self._socket.close()
        if self._memory is not None:
            self._memory.__exit__()
        self._process = self._socket = self._memory = None

    # ---- One process after the other ------------------------------------------------------------------------------------------

    def _noted(self, message: dict[str, Any]) -> Iterator[dict[str, Any] | Update]:
        """Remember what a process that takes this one's place must know, and yield what is for the run."""
        if "epoch" in message:
            update = msgspec.convert(message, Update)
            self._resume = Resume(
                batches_summed=self._resume.batches_summed,
                last=update,
                values=still_needed(self._resume.values, update),
                refused=tuple(one for one in self._resume.refused if one.batch > update.batch),
            )
            yield update
            if update.refused and self.control.policy == "abort":
                self.failure = f"{update.refused[0].text}; `control.policy` is abort"
                self.kill()
            return
        self._resume = msgspec.structs.replace(self._resume, batches_summed=message["batch"] + 1)
        yield message

    @property
    def _stepping_s(self) -> float:
        """How long the laws have been at work on a batch; 0 if none is."""
        return 0.0 if self._memory is None else self._memory.stepping_s

    def _late(self) -> bool:
        """Say whether the laws take longer over a batch than they may."""
        return self.failure is None and self._stepping_s > self.control.deadline_s

    def _overdue(self) -> None:
        """End a process whose laws are late."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.failure = f"gave nothing for {self.control.deadline_s:g} s, `control.deadline_s`, and was ended"

    def _replaced(self) -> bool:
        """Put a new process in the place of one that has ended, if controllers need it and it may be; return whether it was."""
        assert self._memory is not None
        assert self._consume is not None
        with self._lock:
            if self._ended or self._consume.epochs is None:
                return False
        how = self.failure or ""
        if (law := self._memory.stepping) != NOBODY:
            refused = self._refusal(law, how)
            how = refused.text
            self._resume = msgspec.structs.replace(self._resume, refused=(*self._resume.refused, refused))
        if self.control.policy == "abort":
            self.failure = f"{how}; `control.policy` is abort"
            return False
        if self.restarts >= self.control.restarts_max:
            self.failure = f"{how}; restarted {self.restarts} times, `control.restarts_max`"
            return False
        self.restarts += 1
        return self._restarted()

    def _given_up(self) -> bool:
        return self._ended

    def _said(self) -> str:
        return self.failure or "nothing is known"

    def _refusal(self, law: int, how: str) -> Refused:
        """Return the refusal of the law that was at work when its process ended."""
        assert self._consume is not None
        assert self._consume.epochs is not None
        asked, last = self.shape.controllers[law], self._resume.last
        values = self._consume.epochs.values if last is None else last.values
        batch = 0 if last is None else last.batch + 1
        return Refused(asked.name, batch, values[asked.output], how.removeprefix("the batch process "), ended=True)

    def _restarted(self) -> bool:
        """Start another process, wait for it and hand over; return whether it works."""
        assert self._memory is not None
        assert self._socket is not None
        self._socket.close()
        self._memory.at(NOBODY)
        self.failure = None
        self.start()
        message = self._awaited(self._given_up)
        if self._given_up():
            return False
        if message is None or "versions" not in message:
            said = self._said() if message is None else "; ".join(map(str, message.get("problems", (message,))))
            self.failure = f"the batch process did not become ready again: {said}"
            return False
        self._hand_over()
        return True

    def _hand_over(self) -> None:
        """Send the descriptors, and where to go on."""
        assert self._socket is not None
        assert self._ring is not None
        assert self._memory is not None
        assert self._consume is not None
        descriptors = [self._ring.descriptor, self._memory.descriptor]
        descriptors += [] if self._epochs is None else [self._epochs.descriptor]
        with suppress(ConnectionError):
            send_with(self._socket, msgspec.structs.replace(self._consume, resume=self._resume), descriptors)

    def _awaited(self, asked_to_end: Callable[[], bool]) -> dict[str, Any] | None:
        """Return the process's first message, SILENCE if the run is asked to end, or None with `failure` set if there will be none."""
        self._law_at = None
        allowed_s, since_s = READY_TIMEOUT_S, time.monotonic()
        while (message := self._receive()) is SILENCE or (message is not None and "law" in message):
            if message:
                self._law_at = message if message["law"] else None
                allowed_s = self.control.deadline_s if message["is"] == "tried" else READY_TIMEOUT_S
                since_s = time.monotonic()
            elif asked_to_end():
                return SILENCE
            elif time.monotonic() - since_s > allowed_s:
                self.failure = f"no answer for {allowed_s:g} s"
                return None
        return message

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
            return decoded(body)
        if self.failure is not None:
            return None  # said already
        try:
            code = self._process.wait(ENDING_TIMEOUT_S)  # its end of the socket is closed: it has ended, or is about to
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        self.failure = f"the batch process was ended {how}"
        return None
