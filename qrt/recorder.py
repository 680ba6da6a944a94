"""The recorder: the thread that brings rows from the kernel's rings to the disk, and then to the stream.

It is reader 0 of the rows ring and the only reader of the lateness and misses rings. A turn of its loop: sleep until enough rows
are there or a commit is due; copy them out and release them; once `COMMIT_S` has passed or the buffer is full, write, sync and
commit the lot in one go; only then publish it, in pages of at most `PAGE_ROWS` shots. So rows are durable before anyone sees them,
a page comes at the latest `COMMIT_S` and a sync after its last shot, and the page grows with the rate instead of costing the run a
message every 256 rows: at 150 000 shots/s that would be six hundred messages a second. No row is left out of the pages. Neither
this thread nor the kernel ever waits for a listener: a PUB socket drops, and the listener counts.

Documents (`document`) may come from any thread. They go into the journal in the order of arrival, before the next commit, and are
published after it. Before `start` and after `join` they are written at once, on the caller's thread.

If the disk fails, `on_failure` is called once (stop the kernel at the next shot), what was accepted before is committed and
published if that is still possible, and the rings are read on and their rows counted as lost until the kernel closes them: it is
never left waiting. `join` then raises the failure.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from qrt import documents, wire
from qrt.errors import BugError, WorldError
from qrt.record import RunFolder

READER: Final = 0  # which reader of the rows ring the recorder is
COMMIT_S: Final = 0.05
BUFFER_ROWS: Final = 16384  # a commit's rows at most
PAGE_ROWS: Final = 4096
WAKE_ROWS: Final = 512  # sleep until so many rows are there, or the commit is due; rings have several times as many
HURRY_S: Final = 0.002  # the longest sleep in a run whose next point depends on what is on disk
IMAGE: Final = "image"  # of a leg: recorded with the documents, and not streamed
WAITING_COUNT_MAX: Final = 65536  # documents between two commits
HEARTBEAT_S: Final = 1.0


class RingReader(Protocol):
    """What the recorder needs of `kernel.Ring`."""

    @property
    def closed(self) -> bool: ...
    def wait(self, reader: int, minimum: int, timeout_s: float) -> int: ...
    def peek(self, reader: int, dtype: Any) -> NDArray[Any]: ...
    def release(self, reader: int, count: int) -> None: ...


class Finishing(Protocol):
    """What can be closed as its writer: `kernel.Ring`."""

    def finish(self) -> None: ...


class Sink(Protocol):
    """Where committed documents go: `stream.Publisher`. Never blocks."""

    def send(self, doc: str, body: Mapping[str, Any], *, rec: int, tick: int, t_ns: int, durable_shot: int) -> None: ...
    def heartbeat(
        self, counters: Mapping[str, int], state: str, *, rec: int, tick: int, t_ns: int, durable_shot: int
    ) -> None: ...


class Recorder:
    """Pumps rings into a run folder and a sink. Inert until `start`; `join` after the kernel has closed its rings."""

    def __init__(
        self,
        folder: RunFolder,
        rows: RingReader,
        lateness: RingReader,
        misses: RingReader | None = None,
        *,
        miss_dtype: Any = None,
        sink: Sink | None = None,
        time_s: float = 0.0,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """time_s: the run's start, UNIX; miss_dtype: kernel.MISS_DTYPE, with `misses`."""
        self.folder = folder
        self.failure: WorldError | None = None
        self.counters = {"rows_recorded": 0, "rows_lost": 0, "pages": 0, "misses": 0, "skipped_shots": 0}
        self._rows, self._lateness, self._misses, self._miss_dtype = rows, lateness, misses, miss_dtype
        self._sink = sink
        self._time_s = time_s
        self._on_failure = on_failure
        dtype = folder.layout.dtype
        self._buffer = np.zeros(BUFFER_ROWS, dtype=dtype)
        self._buffer_bytes = self._buffer.view(np.uint8).reshape(BUFFER_ROWS, dtype.itemsize)
        self._buffer_lateness = np.zeros(BUFFER_ROWS, dtype=np.int64)
        self._filled = 0
        self._waiting: deque[tuple[str, Mapping[str, Any], int]] = deque()
        self._lock = threading.RLock()  # of `_waiting` and `_running`, and of the folder while the thread does not run
        self._running = False
        self._clean = False
        self._wanted = 0  # somebody waits until every shot below it is on disk
        self.hurries = False  # somebody will
        self._heartbeat_due = 0.0
        self._thread = threading.Thread(target=self._run, name="qrt-recorder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def join(self) -> None:
        """Wait until the rings are closed and drained; raise what went wrong, if anything did."""
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        if not self._clean:
            raise BugError("the recorder's thread ended early; its traceback is above")

    def document(self, doc: str, body: Mapping[str, Any]) -> None:
        """Record and then publish a document. While the thread runs: returns at once, durable with the next commit.

        RecordError if it is none: a key lacking, a number that is not finite. MachineError, without the thread, if the disk fails.
        """
        wire.pack_document(doc, body)  # here, and not on the thread: what is wrong with it is the caller's to know
        with self._lock:
            if len(self._waiting) >= WAITING_COUNT_MAX:
                raise BugError(f"{WAITING_COUNT_MAX} documents wait for one commit")
            self._waiting.append((doc, body, time.time_ns()))
            if not self._running:
                self._write_waiting()
                if doc == "stop":  # the last numbers, so that a viewer can count what it missed at the end
                    self._beat(math.inf, "stopped")

    def leg(self, body: Mapping[str, Any], part: bytes) -> None:
        """Record and publish that a leg begins, and record what its armed image has otherwise; before its first row is written."""
        with self._lock:
            self._waiting.append((IMAGE, {"leg": body["leg"], "part": part}, time.time_ns()))
            self.document("leg", body)

    def until(self, shot: int) -> None:
        """Return when every shot below this one is on disk, or none will come any more. All of them are in the ring."""
        self._wanted = shot
        while self.folder.durable_shot < shot and self._thread.is_alive():
            time.sleep(HURRY_S / 4)

    # ---- The thread --------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._pump()
            with self._lock:
                self._write_waiting()  # what came after the last commit
                self._running = False
                self._clean = True
        except WorldError as error:
            self.failure = error
        finally:
            if not self._clean:
                self._on_failure()
                self._discard()
                with self._lock:
                    self._running = False

    def _pump(self) -> None:
        due = time.monotonic() + COMMIT_S
        closed = False
        while not closed:
            closed = self._rows.closed  # read first: what was published before the close is drained below
            sleep_s = max(0.0, due - time.monotonic())
            self._rows.wait(READER, 1 if closed else WAKE_ROWS, min(sleep_s, HURRY_S) if self.hurries else sleep_s)
            full = self._drain()
            now = time.monotonic()
            awaited = self.folder.durable_shot < self._wanted <= self.folder.appended_shot + self._filled
            if full or closed or awaited or now >= due:
                self._commit()
                due = now + COMMIT_S
            closed = closed and not full
            self._beat(now, "running")
        if rest := len(self._rows.peek(READER, self._buffer.dtype)):
            raise BugError(f"{rest} rows have no lateness though the kernel has ended")

    def _drain(self) -> bool:
        """Copy rows with their lateness out of the rings; return whether the buffer is full, with more to come."""
        while self._filled < BUFFER_ROWS:
            rows = self._rows.peek(READER, self._buffer.dtype)
            count = min(len(rows), BUFFER_ROWS - self._filled)
            if count:
                lateness = self._lateness.peek(READER, np.dtype(np.int64))
                count = min(count, len(lateness))
                if not count:  # the kernel is between the two
                    break
                part = slice(self._filled, self._filled + count)
                self._buffer_bytes[part] = rows[:count].view(np.uint8).reshape(count, -1)
                self._buffer_lateness[part] = lateness[:count]
                self._filled += count
                self._rows.release(READER, count)
                self._lateness.release(READER, count)
            else:
                break
        return self._filled == BUFFER_ROWS

    def _commit(self) -> None:
        """Put rows, misses and waiting documents on the disk, then publish them."""
        self._take_misses()
        rows, lateness = self._buffer[: self._filled], self._buffer_lateness[: self._filled]
        self._filled = 0
        refused: WorldError | None = None
        try:
            self.folder.append(rows, lateness)
        except WorldError as error:  # no room: close what there is, then fail
            self.counters["rows_lost"] += len(rows)
            rows, lateness, refused = rows[:0], lateness[:0], error
        first_rec, written = self._journal_waiting()
        try:
            rec = self.folder.commit()
        except WorldError:
            self.counters["rows_lost"] += len(rows)
            raise
        self.counters["rows_recorded"] += len(rows)
        self.counters["skipped_shots"] += int(np.count_nonzero(rows["flags"] & 1))
        self._publish_rows(rows, lateness, rec)
        for index, (doc, body, t_ns) in enumerate(written):
            self._send(doc, body, first_rec + index, t_ns)
        if refused is not None:
            raise refused

    def _journal_waiting(self) -> tuple[int, list[tuple[str, Mapping[str, Any], int]]]:
        """Write the waiting documents into the journal, synced; return the number of the first, and all of them."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for index, (doc, body, t_ns) in enumerate(waiting):
            last = index == len(waiting) - 1
            if doc == IMAGE:
                self.folder.image_part(body["leg"], body["part"], sync=last)
            else:
                self.folder.document(doc, documents.STREAM_OF[doc], body, t_ns=t_ns, sync=last)
        return self.folder.rec - len(waiting) + 1, waiting

    def _write_waiting(self) -> None:
        first_rec, written = self._journal_waiting()
        for index, (doc, body, t_ns) in enumerate(written):
            self._send(doc, body, first_rec + index, t_ns)

    def _take_misses(self) -> None:
        if self._misses is None:
            return
        while len(rows := self._misses.peek(READER, self._miss_dtype)):
            with self._lock:
                self._waiting.extend(("miss", documents.miss(row), time.time_ns()) for row in rows)
            self._misses.release(READER, len(rows))
            self.counters["misses"] += len(rows)

    def _publish_rows(self, rows: NDArray[Any], lateness: NDArray[np.int64], rec: int) -> None:
        if self._sink is None:
            return
        tick_ps = self.folder.layout.tick_ps
        for first in range(0, len(rows), PAGE_ROWS):
            part = slice(first, first + PAGE_ROWS)
            page = documents.event_page(
                self.folder.uid, rows[part], lateness[part], time_s=self._time_s, tick_ps=tick_ps
            )
            self._send("event_page", page, rec, time.time_ns(), int(rows["tick"][part][-1]))
            self.counters["pages"] += 1

    def _send(self, doc: str, body: Mapping[str, Any], rec: int, t_ns: int, tick: int | None = None) -> None:
        if self._sink is not None and doc != IMAGE:
            tick = self.folder.tick if tick is None else tick
            self._sink.send(doc, body, rec=rec, tick=tick, t_ns=t_ns, durable_shot=self.folder.durable_shot)

    def _beat(self, now: float, state: str) -> None:
        if self._sink is not None and now >= self._heartbeat_due:
            self._heartbeat_due = now + HEARTBEAT_S
            folder = self.folder
            counters = self.counters | folder.counters
            self._sink.heartbeat(
                counters, state, rec=folder.rec, tick=folder.tick, t_ns=time.time_ns(), durable_shot=folder.durable_shot
            )

    def _discard(self) -> None:
        """Read the rings on until they are closed, so that nothing waits for this thread; count the rows as lost."""
        self.counters["rows_lost"] += self._filled
        self._filled = 0
        closed = False
        while not closed:
            closed = self._rows.closed
            self._rows.wait(READER, 1, 0.0 if closed else COMMIT_S)
            while count := len(self._rows.peek(READER, self._buffer.dtype)):
                self._rows.release(READER, count)
                self.counters["rows_lost"] += count
            while count := len(self._lateness.peek(READER, np.dtype(np.int64))):
                self._lateness.release(READER, count)
            while self._misses is not None and (count := len(self._misses.peek(READER, self._miss_dtype))):
                self._misses.release(READER, count)
                self.counters["misses"] += count


class Recording:
    """The recorder at work: leaving closes the rings, if no kernel did, and waits until all that they held is on disk."""

    def __init__(self, recorder: Recorder, rows: Finishing) -> None:
        self.failure: WorldError | None = None
        self.ended_s = 0.0
        self._recorder, self._rows = recorder, rows

    def __enter__(self) -> None:
        self._recorder.start()

    def __exit__(self, *_: object) -> None:
        self._rows.finish()
        try:
            self._recorder.join()
        except WorldError as error:
            self.failure = error
        self.ended_s = time.monotonic()
