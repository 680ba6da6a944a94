"""Ctrl-C: once to stop at the end of a shot and keep everything, twice to abort.

The signals by which a machine or a closing terminal ends a program count as Ctrl-C: outputs must not stay on because of them. Python runs
signal handlers on the main thread between two instructions, so a handler only sets an event; the run looks at it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Final, Self

import click

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """While entered, the first signal sets `stop`, the second sets `abort`, and a third is Python's own KeyboardInterrupt."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.abort = threading.Event()
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        self._before = {one: signal.signal(one, self._handle) for one in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.stop.is_set():
            self.stop.set()
            click.echo("\nstopping at the end of a shot, everything is kept; Ctrl-C again aborts", err=True)
        elif not self.abort.is_set():
            self.abort.set()
            click.echo("\naborting", err=True)
        else:
            signal.default_int_handler(number, frame)
