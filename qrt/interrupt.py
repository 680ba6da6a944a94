"""Ctrl-C: once to stop at the end of a shot and keep everything, twice to abort.

Python runs signal handlers on the main thread between two instructions, so a handler only sets a flag, and the run looks at it. No lock is
taken: the next signal may come in the middle of the handler, and would wait for it for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self


class Flag:
    """Set once."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


class Interrupt:
    """While entered, the first signal sets `stop`, the second sets `abort`, and a third is Python's own KeyboardInterrupt."""

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
        self.stop = Flag()
        self.abort = Flag()
        self._signals = signals
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        self._before = {one: signal.signal(one, self._handle) for one in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.stop.is_set():
            self.stop.set()
            _say("stopping at the end of a shot, everything is kept; Ctrl-C again aborts")
        elif not self.abort.is_set():
            self.abort.set()
            _say("aborting")
        else:
            signal.default_int_handler(number, frame)


def is_ours_to_take() -> bool:
    """Return whether Ctrl-C may be taken here: on the main thread, and only where nobody has set a handler of their own."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _say(text: str) -> None:
    """Write to standard error past Python's buffers, in whose middle a handler may have come; a terminal that is gone hears nothing."""
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"\n{text}\n".encode())
